/*
 * pool.h - the server's threads. Each waits until something is ready, a socket say, and has its
 * source look at it; what work that brings, it does itself. So a request is read, answered and
 * written by one thread, and no other need be woken for it. At most `workers` do work at a time:
 * the others look, and what they bring meanwhile waits in a bounded queue. What does not fit is
 * refused at once, so that under overload requests are turned away instead of growing old.
 * A source that has become ready is no longer watched: it is the thread's that looks, or whom that
 * thread gives it to, until somebody asks for it to be watched again.
 */
#ifndef SRV_POOL_H
#define SRV_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct srv_pool;

/* Something that becomes ready; its owner keeps it while it is watched. */
struct srv_source {
  int fd;
  void (*look)(void *who); /* must not wait */
  void *who;
  _Atomic bool asking; /* the pool's: a thread is just having it watched */
};

/* What is waited for. The end of a connection is always seen. */
enum srv_ready { SRV_READABLE = 1, SRV_WRITABLE = 2 };

/* workers + watchers threads, once started, and room for `capacity` waiting items; NULL when the
   system refuses. While pauses are shorter than poll_us, one idle thread looks for so long without
   sleeping, unless others want its processor: a processor that sleeps takes its time to wake, a
   virtual one longer than much of the work. */
struct srv_pool *srv_pool_new(unsigned workers, unsigned watchers, size_t capacity,
                              unsigned poll_us);
/* Begins to look at the sources; false when the system refuses. */
bool srv_pool_start(struct srv_pool *pool);
/* Has the source looked at, once, when it is ready; false when the system refuses. It is forgotten
   when its descriptor is closed. Any thread. */
bool srv_pool_watch(struct srv_pool *pool, struct srv_source *source, enum srv_ready what);
/* The same of one that has been watched before. It may be looked at before this returns. */
void srv_pool_await(struct srv_pool *pool, struct srv_source *source, enum srv_ready what);
/* No longer looks at a source that is looking; its descriptor may then be watched by another. */
void srv_pool_forget(struct srv_pool *pool, const struct srv_source *source);
/* Has run(item) called by a thread; false when the queue, or the lane's part of it (lanes.h), is
   full, or the pool stopping. Called by a source that is looking or an item that runs: its thread
   then sees to it. */
bool srv_pool_add(struct srv_pool *pool, unsigned lane, void (*run)(void *item), void *item);
/* Whether an item would be refused now. Cheap; any thread. */
bool srv_pool_full(struct srv_pool *pool, unsigned lane);
/* Runs what waits, and ends the threads: nothing is looked at from here on. NULL is fine. */
void srv_pool_stop(struct srv_pool *pool);
/* Of one that has stopped, or never started. */
void srv_pool_free(struct srv_pool *pool);

#endif
