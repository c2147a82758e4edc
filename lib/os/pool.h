/*
 * pool.h - a fixed set of threads that run loops in parallel. The thread that asks takes part in
 * its own loop, so a loop makes progress even when all pool threads are busy elsewhere, and a pool
 * of one worker has no threads at all. Several loops may run at once, also from within loops; each
 * is served by whoever is free.
 */
#ifndef VDB_POOL_H
#define VDB_POOL_H

#include "base/par.h"
#include "os/env.h"

struct vdb_pool;

/* workers counts the calling thread: workers - 1 threads are started. */
VDB_INTERNAL int vdb_pool_new(struct vdb_env *env, unsigned workers, struct vdb_pool **out,
                              vecdb_error *err);
/* No loop may be running. NULL is fine. */
VDB_INTERNAL void vdb_pool_free(struct vdb_pool *pool);
/* A par that runs on the pool with at most `limit` workers (0: all). Borrowed from the pool. Worker
   numbers are unique among the threads of one loop. */
VDB_INTERNAL struct vdb_par vdb_pool_par(struct vdb_pool *pool, unsigned limit);

#endif
