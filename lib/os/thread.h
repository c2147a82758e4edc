/*
 * thread.h - threads, mutexes and conditions. thread_posix.c is the only file that calls pthreads.
 * Locking never fails; misuse is a bug, caught by assertions in debug builds.
 */
#ifndef VDB_THREAD_H
#define VDB_THREAD_H

#include <pthread.h>

#include "base/base.h"

struct vdb_mutex {
  pthread_mutex_t os;
};
struct vdb_cond {
  pthread_cond_t os;
};
struct vdb_thread {
  pthread_t os;
  void (*body)(void *arg);
  void *arg;
};

/* init returns 0 or an errno value; an object whose init failed is not destroyed. */
VDB_INTERNAL int vdb_mutex_init(struct vdb_mutex *mutex);
VDB_INTERNAL void vdb_mutex_destroy(struct vdb_mutex *mutex);
VDB_INTERNAL void vdb_mutex_lock(struct vdb_mutex *mutex);
VDB_INTERNAL bool vdb_mutex_try(struct vdb_mutex *mutex);
/* As lock, for about `ns` nanoseconds at most; false when the time ran out. */
VDB_INTERNAL bool vdb_mutex_lock_ns(struct vdb_mutex *mutex, uint64_t ns);
VDB_INTERNAL void vdb_mutex_unlock(struct vdb_mutex *mutex);

VDB_INTERNAL int vdb_cond_init(struct vdb_cond *cond);
VDB_INTERNAL void vdb_cond_destroy(struct vdb_cond *cond);
/* May wake without cause: callers loop on their predicate. */
VDB_INTERNAL void vdb_cond_wait(struct vdb_cond *cond, struct vdb_mutex *mutex);
/* As wait, for at most `ns` nanoseconds of the system's clock; false when the time ran out. */
VDB_INTERNAL bool vdb_cond_wait_ns(struct vdb_cond *cond, struct vdb_mutex *mutex, uint64_t ns);
VDB_INTERNAL void vdb_cond_signal(struct vdb_cond *cond);
VDB_INTERNAL void vdb_cond_broadcast(struct vdb_cond *cond);

/* Starts `body(arg)` with all signals blocked; to be joined. Returns 0 or an errno value. *thread
   must stay where it is until joined. */
VDB_INTERNAL int vdb_thread_start(struct vdb_thread *thread, void (*body)(void *arg), void *arg);
VDB_INTERNAL void vdb_thread_join(struct vdb_thread *thread);
/* Processors this process may use, at least 1. */
VDB_INTERNAL unsigned vdb_thread_processors(void);

#endif
