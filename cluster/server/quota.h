/*
 * quota.h - what one tenant, or one who is bound to none, may use up: requests and rows by the
 * second, and requests at a time. A second's worth may come at once. Rows are counted when they are
 * known, so a debt may come of them, and no request is taken until it is paid off.
 */
#ifndef SRV_QUOTA_H
#define SRV_QUOTA_H

#include <stdint.h>

#include "server/policy.h"

struct srv_quotas;
struct srv_quota_user; /* one of them, while it has requests */

/* NULL: no memory. */
struct srv_quotas *srv_quotas_new(void);
/* All have left. NULL is fine. */
void srv_quotas_free(struct srv_quotas *quotas);
/* Takes a request in. NULL: it is too much now, and may come after *wait seconds (0: there is no
   memory). */
struct srv_quota_user *srv_quota_enter(struct srv_quotas *quotas, const char *name,
                                       const struct srv_quota *limits, uint64_t now_ns,
                                       unsigned *wait);
/* Counts rows of a request that is in. NULL: nobody's. */
void srv_quota_rows(struct srv_quotas *quotas, struct srv_quota_user *user, uint64_t n);
void srv_quota_leave(struct srv_quotas *quotas, struct srv_quota_user *user);
/* The lane of the pool's queue for it, from 1 on; 0 for nobody. */
unsigned srv_quota_lane(const struct srv_quota_user *user);

#endif
