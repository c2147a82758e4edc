/*
 * workload.h - random use of a database on any VFS, and the model of what must be in it. One call
 * at a time is in flight; when it fails, the state is that before the call or that after it. In the
 * modes that do not sync every commit, a power cut may also bring back an earlier state, but none
 * from before the last call that made things durable.
 *
 *   workload_init(&w, &config);
 *   rc = workload_open(&w);
 *   while (!rc) rc = workload_next(&w);     // a random operation
 *   workload_abandon(&w);                   // closes the handle, whatever comes of it
 *   ... power cut, open, model_load(db, &found) ...
 *   workload_accepts(&w, &found)
 *
 * workload_next returns a vecdb_status, or WORKLOAD_WRONG with a text in model_trouble().
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "tlib/model.h"
#include "tlib/probe.h"

enum { WORKLOAD_WRONG = -1 };

enum workload_op {
  WORKLOAD_CREATE,
  WORKLOAD_DROP,
  WORKLOAD_INSERT,
  WORKLOAD_UPSERT,
  WORKLOAD_UPDATE,
  WORKLOAD_DELETE,
  WORKLOAD_DELETE_WHERE,
  WORKLOAD_FLUSH,
  WORKLOAD_FLUSH_ALL,
  WORKLOAD_COMPACT,
  WORKLOAD_INDEX_CREATE,
  WORKLOAD_INDEX_DROP,
  WORKLOAD_STEP,
  WORKLOAD_REOPEN,
  WORKLOAD_BACKUP,
  WORKLOAD_ALTER,  /* adds, renames or drops the extra field */
  WORKLOAD_EXPIRE, /* lets rows expire from now on */
  WORKLOAD_TICK,   /* sets the clock forward */
  WORKLOAD_PUSH,   /* zeros to vectors: the rows are written anew, and stay what they are */
  WORKLOAD_REKEY,  /* of an encrypted database: other keys */
  WORKLOAD_OPS
};

struct workload_config {
  uint64_t seed;
  const vecdb_vfs *vfs;
  const vecdb_allocator *allocator; /* NULL: malloc */
  const char *dir;
  int32_t durability;
  uint32_t flags; /* of the opening */
  uint32_t n_keys;
  uint32_t seal_rows;
  uint32_t index_rows;
  uint64_t wal_bytes;
  uint32_t batch_rows; /* at most */
  const uint8_t *weights; /* per operation; NULL: a mixture */
  bool trace; /* says on stderr what is done */
};

struct workload {
  struct workload_config config;
  struct vdb_rng rng;
  vecdb *db; /* NULL: closed */
  struct model now;  /* all calls that returned VECDB_OK */
  struct model next; /* with the call in flight, if there is one */
  bool in_flight;
  bool opened; /* an open has succeeded, so the database is there */
  uint64_t stamp;
  uint64_t born;
  uint64_t clock_ns;
  uint64_t ticks; /* of the wall clock */
  /* States that a power cut may bring back: from `durable` on. */
  struct model *history;
  uint32_t n_history, capacity, durable;
  uint32_t shape; /* from here on the collections are what is durable, in all modes */
  uint32_t changed[MODEL_COLLS]; /* where in history the collection changed last */
  struct model backup; /* what the last backup holds */
  uint32_t n_backups, backup_number; /* begun; finished, 0: none */
  enum workload_op op; /* the last one */
  uint32_t n_done[WORKLOAD_OPS];
  vecdb_error err;
};

const char *workload_op_name(enum workload_op op);

void workload_init(struct workload *w, const struct workload_config *config);
void workload_fini(struct workload *w);
/* A second workload in the same state, closed, on another VFS. */
void workload_fork(struct workload *out, const struct workload *w, const vecdb_vfs *vfs);

/* Whether databases are to be encrypted: VDB_ENCRYPT is set. Operations come in another order
   then. */
bool workload_encrypted(void);
/* The options that the workload opens with. */
vecdb_options workload_options(struct workload *w);
int workload_open(struct workload *w);
int workload_close(struct workload *w);
/* Closes without expecting anything of it. */
void workload_abandon(struct workload *w);
int workload_next(struct workload *w);
int workload_do(struct workload *w, enum workload_op op);
/* The folder of backup number n. */
void workload_backup_path(const struct workload *w, uint32_t n, char out[64]);

/* Whether the database may hold this after a power cut, or, with `kill`, after the process died. */
bool workload_accepts(struct workload *w, const struct model *found, bool kill);
/* Goes on from what was found, which after a power cut is durable, but not after a kill. */
void workload_rebase(struct workload *w, const struct model *found, bool kill);
/* The state in memory now, after a call failed: false if it is neither the one before nor the one
   after the call. Goes on from what it is. */
bool workload_settle(struct workload *w, const struct model *found);

#endif
