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
#include "replica/split.h"
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
/* The position of that. */
struct rep_pos machine_at(const struct machine *m);
/* What the last check gave: the rows as of `seq`. False: there was none since the data is here. */
bool machine_checked(const struct machine *m, uint64_t *seq, uint64_t *digest);
/* Of the schema that the rows have, for what searches see: the count of the last op id of
   MACHINE_SCHEMA, and 1 before there was any. */
#define MACHINE_SCHEMA (UINT64_MAX - 1)
uint64_t machine_schema(const struct machine *m);

/*
 * A split (replica/split.h). Its entries are writes under op ids that say all of them: of
 * MACHINE_SPLIT twice the split's id for FENCE, and 1 more for CANCEL; of MACHINE_GENERATION the
 * generation that RELEASE makes. So what the data is in goes where op ids go.
 */
#define MACHINE_SPLIT (UINT64_MAX - 2)
#define MACHINE_GENERATION (UINT64_MAX - 3)
struct rep_op machine_split_op(enum rep_split_entry entry, uint64_t id, uint64_t generation);
/* Whether an entry's body says all that its rows are divided by, as replicas ask of it when it is
   too late to refuse it; else why not (MACHINE_WHY bytes). */
bool machine_split_good(const uint8_t *body, size_t n, uint64_t id, char *why);
/* As of the last entry that replication has applied: what is in the queue counts. */
struct rep_split machine_split(const struct machine *m);
/* Some of the rows have gone before a crash, and the rest will when the release is applied again:
   until then nobody may look. */
bool machine_split_torn(const struct machine *m);
/* Has the child's data made in its folder, of the moved rows and op ids at the fence; `body` is
   that of the split's entries. The folder's file `forked` has `mark`, which is this split's alone:
   what another one has left there goes. To be asked again until machine_forked. */
void machine_fork(struct machine *m, const char *folder, const uint8_t *body, size_t n,
                  const char *mark);
/* Whether there is one that survives a crash, of the split of that id, made in this life. */
bool machine_forked(const struct machine *m, uint64_t id);
/* Whether one is being made. */
bool machine_forks(const struct machine *m);
/* Why the last try to make one of this split has failed; "": it has not. */
const char *machine_fork_why(const struct machine *m);
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
