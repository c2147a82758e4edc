/*
 * machine.h - the data of a shard (replica/machine.h) as a vecdb database. Replication's thread
 * puts committed entries into a queue and goes on; one job at a time applies them, in order.
 * README.md says why a crash at any moment leaves the data of exactly one position.
 */
#ifndef CLUSTER_NODE_MACHINE_H
#define CLUSTER_NODE_MACHINE_H

#include "node/work.h"
#include "replica/dedup.h"
#include "replica/machine.h"
#include "wire/message.h"

enum { MACHINE_WHY = 512 };

struct machine;

/* How the write of an entry went. */
struct machine_outcome {
  uint64_t seq;
  uint64_t ticket; /* of machine_ticket; 0: nobody waits */
  bool replaced;   /* other data has come in its place: what came of writes is not known */
  uint64_t number; /* deletes: rows; writes: rows of the batch */
  bool checked;    /* it was a check: `digest` is of the rows */
  uint64_t digest;
  uint8_t *found;  /* updates: by row of the batch, as vecdb_update says; else NULL */
  int32_t code;    /* a vecdb_status */
  vecdb_error error;
};

struct machine_options {
  const char *folder; /* made when it is not there; its parent is */
  const vecdb_schema *schema;
  struct work *work;    /* outlives the machine */
  const vecdb_vfs *vfs; /* NULL: the system's files */
  uint32_t flush;       /* entries after which the data is made durable at the latest; 0: 1,024 */
  void *arg;
  /* An entry was applied, and so all before it. */
  void (*applied)(void *arg, const struct machine_outcome *outcome);
  /* The data failed: nothing more will be applied. NULL: nobody is told before the next entry. */
  void (*failed)(void *arg);
};

/* NULL with the reason in `why` (MACHINE_WHY bytes). */
struct machine *machine_open(const struct machine_options *o, char *why);
/* Whether nothing is under way: only then it may be closed. After machine_stop nothing begins. */
bool machine_idle(const struct machine *m);
void machine_stop(struct machine *m);
void machine_close(struct machine *m);

/* For rep_open. */
struct rep_machine machine_of(struct machine *m);
/* The entry at `seq` is waited for, if it is of this op, in the queue, and waited for by nobody. */
void machine_ticket(struct machine *m, uint64_t seq, struct rep_op op, uint64_t ticket);
/* What searches see: everything up to here. */
uint64_t machine_seen(const struct machine *m);
/* What the last check gave: the rows as of `seq`. False: there was none since the data is here. */
bool machine_checked(const struct machine *m, uint64_t *seq, uint64_t *digest);
/* Of the schema that the rows have, for what searches see: the count of the last op id of
   MACHINE_SCHEMA, and 1 before there was any. */
#define MACHINE_SCHEMA REP_CLIENT_KEPT
uint64_t machine_schema(const struct machine *m);
/* Bytes of entries that wait. */
uint64_t machine_waiting(const struct machine *m);
/* The rows as of now; on the owner's thread, until it returns to its loop. */
vecdb_collection *machine_rows(struct machine *m);
/* The data for other threads, which may use it until the owner's thread drops it. */
struct machine_data *machine_hold(struct machine *m);
vecdb_collection *machine_data_rows(struct machine_data *d);
/* How the write of this op went, which the data has and the client's window, too: out->code is 0
   unless it was refused. Any thread; 0, or why it cannot be told. */
int machine_refused(struct machine_data *d, struct rep_op op, struct machine_outcome *out);
void machine_drop(struct machine_data *d);
/* Now and then: entries that waited, copies that nobody fetched. */
void machine_tick(struct machine *m, int64_t now_us);

#endif
