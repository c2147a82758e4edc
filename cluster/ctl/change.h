/*
 * change.h - changes of what the rows of a collection are like, as nodes are asked for them and as
 * commands make them: codes are those of answers (wire/message.h), with words in `error`.
 */
#ifndef CLUSTER_CTL_CHANGE_H
#define CLUSTER_CTL_CHANGE_H

#include "ctl/create.h"
#include "wire/message.h"

/* What a status of a session is to who asked a node. */
int change_code(const struct ctl *ctl, enum ctl_status status, vecdb_error *error);
/* Whether shards can make a collection of the schema; NULL: of none. */
int change_try(const char *schema, vecdb_error *error);
/* Fields, as a schema of theirs, are added; another change (wire/reshape.h) is made. `version` is
   the schema's then. */
int change_add(struct ctl *ctl, const char *name, const char *fields, uint64_t *version,
               vecdb_error *error);
int change_shape(struct ctl *ctl, const char *name, const char *change, uint64_t *version,
                 vecdb_error *error);
/* When rows go (wire/expiry.h); `revision` is that of the collection's document then. */
int change_expiry(struct ctl *ctl, const char *name, const char *expiry, uint64_t *revision,
                  vecdb_error *error);

#endif
