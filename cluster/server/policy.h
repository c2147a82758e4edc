/*
 * policy.h - what roles may do, and what tenants may use up: the built-in roles, and those of a
 * file.
 *
 *   [role analyst]
 *   read = articles, public_*     collections; a name may end in *
 *   write = scratch               who may write may read
 *   admin = scratch               who administers may write
 *   monitor = yes                 metrics
 *   operate = yes                 the whole server: databases, snapshots; and monitor
 *   [tenant acme]
 *   requests_per_second = 50      and rows_per_second, concurrency: instead of those in [quota]
 *   [revoked]
 *   token = JTI                   tokens that are not valid any more; may come many times
 *
 * The built-in roles are reader, writer, admin (these on all collections; admin operates, too) and
 * monitor. A file may define them anew.
 */
#ifndef SRV_POLICY_H
#define SRV_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"
#include "server/routes.h"

struct srv_policy;
struct srv_role;

/* 0 each: no limit. */
struct srv_quota {
  uint64_t requests_per_second;
  uint64_t rows_per_second;
  uint64_t concurrency; /* requests at work or waiting */
};

/* Of a file's text, named `path` in errors; NULL: the built-in roles alone. NULL with a sentence in
   `error` (SRV_CONFIG_ERROR bytes). */
struct srv_policy *srv_policy_read(const char *path, const char *text, char *error);
void srv_policy_free(struct srv_policy *policy);
/* NULL: there is no such role. */
const struct srv_role *srv_policy_role(const struct srv_policy *policy, const char *name);
bool srv_policy_is_revoked(const struct srv_policy *policy, const char *id);
/* The tenant's own limits over those in `quota`. */
void srv_policy_quota(const struct srv_policy *policy, const char *tenant, struct srv_quota *quota);

/* Whether a role may do this, READ or more, on the collection, NULL: on any at all. A grant of NAME
   covers NAME-2 and so on: the copies that Milvus's dialect makes. */
bool srv_role_may(const struct srv_role *role, enum srv_permission permission,
                  const char *collection);
/* Whether it may on every collection. */
bool srv_role_may_all(const struct srv_role *role, enum srv_permission permission);

#endif
