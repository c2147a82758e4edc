/* create.h - the first documents: a cluster, its nodes, a collection with its slots and shards. */
#ifndef CLUSTER_CTL_CREATE_H
#define CLUSTER_CTL_CREATE_H

#include "ctl/session.h"
#include "vecdb.h"
#include "wire/expiry.h"

/*
 * Whether each node that has replicas of the collection (0: each node) is of a version that has
 * `version`, a doc_speaks. CTL_OLDER: one has not, or does not run and may not have.
 */
enum ctl_status ctl_speaks(struct ctl *ctl, uint32_t collection, uint32_t version);
/* Writes PREFIX/fmt; CTL_OK also when it is there. */
enum ctl_status ctl_init(struct ctl *ctl, const char *name);
/* Writes the node's document; one that is there is replaced, but keeps its state. */
enum ctl_status ctl_add_node(struct ctl *ctl, const struct doc_node *node);
/*
 * Creates the collection: an id of its own, the table of slots, every shard with its replicas by
 * zone and weight and all of them in sync (they are empty). `coll->id` and state are set here;
 * `splits` for DOC_RANGE. It is CREATING until everything is there: what a crash leaves is no
 * collection to anybody, but keeps its name.
 */
enum ctl_status ctl_create(struct ctl *ctl, struct doc_coll *coll, const struct doc_splits *splits);
/* Adds fields to the schema of the collection; `version` is that of the schema from then on.
   Whether they are good fields is the caller's to have looked at. CTL_EXISTS: there is one of such
   a name. CTL_OLDER: as ctl_speaks. */
enum ctl_status ctl_fields_add(struct ctl *ctl, const char *name, const vecdb_schema *fields,
                               uint64_t *version);
/* Changes the schema, of the version that the caller has seen, by one change (wire/reshape.h's
   text), after which it is `schema`; `out` is its version then. Whether that is a good change is
   the caller's to have looked at. Not held: the schema is of another version by now, and nothing
   was done. */
enum ctl_status ctl_reshape(struct ctl *ctl, const char *name, uint64_t version,
                            const char *change, const char *schema, uint64_t *out, bool *held);
/* When the collection's rows go from now on (wire/expiry.h), if its schema is still of that
   version; whether its field can say so is the caller's to have looked at. `mod` is the document's
   then. */
enum ctl_status ctl_expire(struct ctl *ctl, const char *name, uint64_t version,
                           const struct wire_expiry *expiry, int64_t *mod, bool *held);
/* Takes n numbers for rows, from `first` on, that nobody ever gets again. */
enum ctl_status ctl_numbers(struct ctl *ctl, uint64_t n, int64_t *first);
/* Removes the collection of that name with all its documents, in one transaction: to nodes it is
   gone, and they remove its data. CTL_NO_SUCH: there is none. */
enum ctl_status ctl_drop(struct ctl *ctl, const char *name);

#endif
