/*
 * store.h - the log as the host keeps it: one journal. Every call adds a record to it, in the order
 * of the calls, and is seen by later reads at once. After a crash a prefix of the records is there,
 * with at least those that were there when the last finished sync was asked for.
 */
#ifndef CLUSTER_REPLICA_STORE_H
#define CLUSTER_REPLICA_STORE_H

#include "replica/types.h"

enum rep_status {
  REP_OK = 0,
  REP_FULL,   /* no space: nothing was changed, try later */
  REP_FAILED  /* the disk or the memory failed: the replica stops */
};

struct rep_state {
  uint64_t promised;
  uint64_t rev; /* the largest C seen */
  uint64_t heal; /* was broken, and must have this entry before it may lead */
  bool broken;   /* acknowledges nothing, and wants a snapshot */
};

/* What is there when a replica is opened: entries base.seq + 1 to last. */
struct rep_found {
  struct rep_state state;
  struct rep_pos base;
  uint64_t last;
};

struct rep_store {
  void *arg;
  void (*load)(void *arg, struct rep_found *found);
  /* Takes a copy. Space for save and cut is kept apart: only append says REP_FULL. */
  enum rep_status (*append)(void *arg, const struct rep_entry *e);
  /* Removes the entries behind `after`, into a file of orphans of their own. */
  enum rep_status (*cut)(void *arg, uint64_t after);
  enum rep_status (*save)(void *arg, const struct rep_state *state);
  /* Removes everything, what lies behind `after` into orphans (some of it may have been committed
     after all; op ids tell); the log goes on behind `base`. */
  enum rep_status (*reset)(void *arg, const struct rep_pos *base, uint64_t after);
  /* Entries up to base->seq may be removed; `base` is the position of the last of them. */
  enum rep_status (*trim)(void *arg, const struct rep_pos *base);
  /* body is valid until the next change, while REP_BATCH entries of REP_BATCH_BYTES and one more
     are read besides. False: not there, or damaged. */
  bool (*read)(void *arg, uint64_t seq, struct rep_entry *out);
};

#endif
