/*
 * together.h - questions of several callers about the same rows, asked as one. Nobody waits for
 * others to come: a question that finds few others under way is asked at once, and those that come
 * meanwhile are asked together when one of these is answered. So a question waits for the device at
 * most as long as one that went before it takes, and what many threads ask is read from the rows
 * once.
 */
#ifndef VDB_TOGETHER_H
#define VDB_TOGETHER_H

#include "accel/accel.h"
#include "base/mem.h"
#include "os/thread.h"

struct vdb_together_asker;

/* Those who ask about some rows; zeroes at first. */
struct vdb_together {
  struct vdb_together_asker *waiting; /* the first to come first */
  uint32_t under_way;
};

/* How they ask; the same for all who share a group, but for `walk`. */
struct vdb_together_how {
  struct vdb_mem *mem;
  struct vdb_mutex *mutex;   /* of the group and the counters */
  struct vdb_cond *answered;
  uint64_t *waiting;         /* counters: questions that wait now, */
  uint64_t *together;        /* and those that were answered with others */
  size_t query_bytes;
  bool walk;                 /* told to `call`; only questions of the same are asked together */
  bool (*call)(void *arg, bool walk, const struct vdb_accel_ask *ask);
  void *arg;
};

/* Answers `ask` as call does. Without the mutex. */
VDB_INTERNAL bool vdb_together_ask(struct vdb_together *group, const struct vdb_together_how *how,
                                const struct vdb_accel_ask *ask);

#endif
