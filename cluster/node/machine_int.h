/* machine_int.h - what the files of machine know of each other. For them alone. */
#ifndef CLUSTER_NODE_MACHINE_INT_H
#define CLUSTER_NODE_MACHINE_INT_H

#include <stdatomic.h>

#include "node/files.h"
#include "node/machine.h"
#include "node/machine_db.h"

enum { MACHINE_PATH = 4096 };

/* The data that the machine has, or had, or is to have: a folder `data`, or `data-NUMBER` when it
   came from another node. `current` names the one that counts. */
struct machine_data {
  struct machine_db db;
  struct machine *machine;
  struct work_job job;
  uint32_t number;
  uint32_t uses; /* of the owner's thread: for readers, and 1 as long as it is the machine's */
};

struct ship_file {
  char *name;
  uint64_t at, bytes; /* in the stream */
};

/* The copy that is sent (machine_ship.c). */
struct machine_ship {
  struct work_job job;
  struct machine_data *data; /* that is being copied */
  _Atomic bool captured;     /* what comes from now on is not in the copy */
  bool busy, wanted, ready;
  bool spent; /* somebody has had all of it */
  uint32_t refs;
  int64_t idle_us; /* since when nobody has it; 0: just now */
  uint64_t id;
  struct rep_pos pos;
  uint8_t *head;
  uint32_t n_head;
  struct ship_file *files;
  uint32_t n_files;
  uint64_t bytes; /* of the stream */
  vecdb_file *file; /* one of them */
  uint32_t file_at;
};

/* The copy that comes (machine_take.c). */
struct machine_take {
  struct work_job job;
  struct rep_snapshot snapshot;
  vecdb_file *file;
  uint64_t bytes;
  bool busy, begun, ready, dropped;
  struct machine_data *data;
  struct rep_pos pos;
  struct rep_client *clients;
  uint32_t n_clients;
  char why[MACHINE_WHY];
};

/* The child's data that is being made, when the shard is split (machine_split.c). */
struct machine_fork {
  struct work_job job;
  struct machine_data *data; /* that is being copied */
  bool busy, wanted;
  char folder[MACHINE_PATH];
  uint8_t *body; /* owned; of the split's entries */
  _Atomic bool captured; /* as for machine_ship; not beside flags, which are read together */
  uint32_t n;
  char mark[64];
  uint64_t id;   /* the split that it is of */
  uint64_t made; /* the last one that there is a copy for; 0: none */
  char why[MACHINE_WHY];
};

struct machine_item;

struct machine {
  struct machine_options o;
  char folder[MACHINE_PATH]; /* o's */
  const vecdb_vfs *vfs;
  struct machine_data *data;
  struct machine_ship ship;
  struct machine_take take;
  struct machine_fork fork;
  uint32_t retiring; /* former data that is being removed */
  /* Of the owner's thread. */
  struct rep_pos pos;
  struct rep_pos applied; /* what the data has */
  struct {
    uint64_t seq, digest;
  } check; /* the last one; seq 0: none */
  uint64_t schema;        /* its version there */
  struct rep_split split; /* as of pos */
  struct rep_dedup dedup;
  struct machine_item *first, *last; /* not given to the job yet */
  uint64_t waiting;
  bool busy, stopped;
  /* The job's, while it is under way; then the owner's. */
  struct work_job job;
  struct machine_item *todo;
  uint64_t did; /* the last of them that was applied */
  uint64_t unflushed_bytes, unflushed;
  _Atomic uint64_t durable;
  _Atomic bool failed;
};

/* machine.c: the schema's version and the state of a split, by the op ids that the data has. */
void machine_known_find(struct machine *m);
/* Begins what can be begun. */
void machine_begin(struct machine *m);

/* machine_data.c */
bool machine_path(const struct machine *m, const char *name, char *out);
/* "data-7" */
void machine_data_name(uint32_t number, char out[24]);
/* Which counts; what other lives have left is removed. False: it cannot be read. */
bool machine_data_current(struct machine *m, uint32_t *number, char *why);
/* NULL with the reason in `why`. `whole`: every byte is checked. */
struct machine_data *machine_data_open(struct machine *m, uint32_t number, bool whole, char *why);
void machine_data_close(struct machine_data *d);
/* Not the machine's any more: it is closed and removed when nobody uses it. */
void machine_data_retire(struct machine_data *d);

/* machine_ship.c, machine_take.c: for rep_machine. */
bool machine_ship_open(void *arg, struct rep_snapshot *out);
bool machine_ship_read(void *arg, const struct rep_snapshot *s, uint32_t i, uint8_t *out,
                       uint32_t *n);
void machine_ship_close(void *arg, struct rep_snapshot *s);
uint64_t machine_ship_keeps(void *arg);
/* Begins to copy, if that is wanted and no entry is being applied. */
void machine_ship_begin(struct machine *m);
/* Whether entries may be applied. */
bool machine_ship_lets(const struct machine *m);
/* machine_split.c: likewise. */
void machine_fork_begin(struct machine *m);
bool machine_fork_lets(const struct machine *m);
/* The entry by its op id, if it is one of a split; false: it is none. */
bool machine_split_entry(const struct rep_split *s, struct rep_op op, enum rep_split_entry *entry,
                         uint64_t *id);
void machine_ship_free(struct machine *m);
enum rep_status machine_take_begin(void *arg, const struct rep_snapshot *s);
enum rep_status machine_take_piece(void *arg, uint32_t i, const uint8_t *data, uint32_t n);
enum rep_status machine_take_finish(void *arg);
void machine_take_free(struct machine *m);
/* machine.c: the queue is forgotten, and everything up to the new position is told as applied. */
void machine_replaced(struct machine *m);

#endif
