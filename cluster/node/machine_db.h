/* machine_db.h - the database of a shard: its rows, and beside them, in the same log, the position
   and the op ids that they are of. For the files of machine alone. */
#ifndef CLUSTER_NODE_MACHINE_DB_H
#define CLUSTER_NODE_MACHINE_DB_H

#include <stdatomic.h>

#include "node/machine.h"
#include "replica/dedup.h"

enum { MACHINE_CLIENTS = 4096 }; /* whose op ids are remembered */

/* A write that was about to be done at this position, and that twice would not be as once: a push,
   with this version of its first row, or an insert of keys that were not there. */
struct machine_intent {
  uint64_t seq, version;
};

struct machine_db {
  vecdb *db;
  vecdb_collection *rows, *clients, *refused;
  struct machine_intent intent;
  /* The split whose rows have begun to go: no copy is made of them any more. The job sets it, while
     the owner's thread may look. */
  _Atomic uint64_t released;
};

/* What goes beside the rows of an entry. */
struct machine_mark {
  struct rep_pos pos;
  struct rep_client client; /* client 0: the entry has no op id that is new */
  uint64_t evicts;          /* a client that is forgotten for it; 0: none */
};

/* Gets a collection, or makes it. */
int machine_db_collection(vecdb *db, const char *name, const vecdb_schema *schema,
                          vecdb_collection **out, vecdb_error *e);
/* False with the reason in `why` (MACHINE_WHY bytes). `whole`: every byte is checked.
   machine_db_close in any case. */
bool machine_db_open(struct machine_db *d, const char *path, const struct machine_options *of,
                     bool whole, char *why);
void machine_db_close(struct machine_db *d);
/* The position, and the clients in the order of dedup.h: room for MACHINE_CLIENTS + 1. */
bool machine_db_load(struct machine_db *d, struct rep_pos *pos, struct rep_client *clients,
                     uint32_t *n, char *why);
/* Does the write of an entry's body. False: not by the write's fault; the data is as before or
   after, and the machine is of no more use. */
bool machine_db_write(struct machine_db *d, const uint8_t *body, uint32_t n,
                      struct machine_outcome *out);
/* machine_check.c: a digest of all rows, in `out`. */
int machine_db_check(struct machine_db *d, struct machine_outcome *out);
bool machine_db_mark(struct machine_db *d, const struct machine_mark *mark);
/* machine_refused.c: d->refused; how the write of an op went, if it was refused, or that it was
   not; forgetting what a client's were. Written before the entry's mark. */
int machine_refused_open(struct machine_db *d, vecdb_error *e);
bool machine_refused_settle(struct machine_db *d, struct rep_op op,
                            const struct machine_outcome *o);
bool machine_refused_forget(struct machine_db *d, uint64_t client);
/* Where the last entry of this client was; false: it has none, or it cannot be read. */
bool machine_db_where(struct machine_db *d, uint64_t client, struct rep_pos *pos);
/* Forgets a client. */
bool machine_db_forget(struct machine_db *d, uint64_t client);
/* The id in `max` of this client, of no position, is that of the last RELEASE that has begun. */
#define MACHINE_RELEASED REP_CLIENT_KEPT
_Static_assert(MACHINE_GENERATION > MACHINE_RELEASED, "no client has such an id, nor two of these");
/* machine_split.c: an entry of a split; what a fork does with the copy of the data. */
int machine_db_split(struct machine_db *d, const struct wire_message *m, vecdb_error *e);
bool machine_db_adopt(struct machine_db *d, const struct wire_message *m, vecdb_error *e);
/* Makes all of it durable. */
bool machine_db_flush(struct machine_db *d);

#endif
