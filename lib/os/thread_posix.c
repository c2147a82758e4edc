/* thread_posix.c - threads on pthreads, the only file that calls them; see thread.h. */
#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "os/env.h"

enum { THREAD_NS_PER_S = 1000000000 };
/* Longer waits are cut to this (about 31 years), so that the deadline fits a timespec. */
#define THREAD_MAX_WAIT_NS ((uint64_t)1000000000 * THREAD_NS_PER_S)

/* Locking cannot fail unless it is misused. */
static void thread_must(int rc) {
  vdb_assert(rc == 0);
  (void)rc;
}

static struct timespec thread_timespec(uint64_t ns) {
  struct timespec at = {(time_t)(ns / THREAD_NS_PER_S), (long)(ns % THREAD_NS_PER_S)};
  return at;
}

VDB_INTERNAL int vdb_mutex_init(struct vdb_mutex *mutex) {
  pthread_mutexattr_t attr;
  int rc = pthread_mutexattr_init(&attr);
  if (rc != 0)
    return rc;
#ifdef VDB_DEBUG
  thread_must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
#endif
  rc = pthread_mutex_init(&mutex->os, &attr);
  pthread_mutexattr_destroy(&attr);
  return rc;
}

VDB_INTERNAL void vdb_mutex_destroy(struct vdb_mutex *mutex) {
  thread_must(pthread_mutex_destroy(&mutex->os));
}

VDB_INTERNAL void vdb_mutex_lock(struct vdb_mutex *mutex) {
  thread_must(pthread_mutex_lock(&mutex->os));
}

VDB_INTERNAL bool vdb_mutex_try(struct vdb_mutex *mutex) {
  int rc = pthread_mutex_trylock(&mutex->os);
  vdb_assert(rc == 0 || rc == EBUSY);
  return rc == 0;
}

VDB_INTERNAL bool vdb_mutex_lock_ns(struct vdb_mutex *mutex, uint64_t ns) {
  if (vdb_mutex_try(mutex))
    return true;
  /* POSIX knows this wait by the wall clock only: a clock that is set can make it shorter or, once,
     longer. */
  uint64_t until = vdb_clock_posix().wall_ns(NULL);
  until += ns < THREAD_MAX_WAIT_NS ? ns : THREAD_MAX_WAIT_NS;
  struct timespec at = thread_timespec(until);
  int rc = pthread_mutex_timedlock(&mutex->os, &at);
  vdb_assert(rc == 0 || rc == ETIMEDOUT);
  return rc == 0;
}

VDB_INTERNAL void vdb_mutex_unlock(struct vdb_mutex *mutex) {
  thread_must(pthread_mutex_unlock(&mutex->os));
}

VDB_INTERNAL int vdb_cond_init(struct vdb_cond *cond) {
  pthread_condattr_t attr;
  int rc = pthread_condattr_init(&attr);
  if (rc != 0)
    return rc;
  rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  if (rc == 0)
    rc = pthread_cond_init(&cond->os, &attr);
  pthread_condattr_destroy(&attr);
  return rc;
}

VDB_INTERNAL void vdb_cond_destroy(struct vdb_cond *cond) {
  thread_must(pthread_cond_destroy(&cond->os));
}

VDB_INTERNAL void vdb_cond_wait(struct vdb_cond *cond, struct vdb_mutex *mutex) {
  thread_must(pthread_cond_wait(&cond->os, &mutex->os));
}

VDB_INTERNAL bool vdb_cond_wait_ns(struct vdb_cond *cond, struct vdb_mutex *mutex, uint64_t ns) {
  /* The system's clock, whatever clock the host scripts: it is the one the condition waits on. */
  uint64_t now = vdb_clock_posix().monotonic_ns(NULL);
  uint64_t until = now + (ns < THREAD_MAX_WAIT_NS ? ns : THREAD_MAX_WAIT_NS);
  struct timespec at = thread_timespec(until);
  int rc = pthread_cond_timedwait(&cond->os, &mutex->os, &at);
  vdb_assert(rc == 0 || rc == ETIMEDOUT);
  return rc == 0;
}

VDB_INTERNAL void vdb_cond_signal(struct vdb_cond *cond) {
  thread_must(pthread_cond_signal(&cond->os));
}

VDB_INTERNAL void vdb_cond_broadcast(struct vdb_cond *cond) {
  thread_must(pthread_cond_broadcast(&cond->os));
}

static void *thread_main(void *arg) {
  struct vdb_thread *thread = arg;
  thread->body(thread->arg);
  return NULL;
}

VDB_INTERNAL int vdb_thread_start(struct vdb_thread *thread, void (*body)(void *arg), void *arg) {
  thread->body = body;
  thread->arg = arg;
  /* The host's signals are for the host's threads; a new thread inherits the mask. */
  sigset_t all, old;
  sigfillset(&all);
  int rc = pthread_sigmask(SIG_SETMASK, &all, &old);
  if (rc != 0)
    return rc;
  rc = pthread_create(&thread->os, NULL, thread_main, thread);
  thread_must(pthread_sigmask(SIG_SETMASK, &old, NULL));
  return rc;
}

VDB_INTERNAL void vdb_thread_join(struct vdb_thread *thread) {
  thread_must(pthread_join(thread->os, NULL));
}

VDB_INTERNAL unsigned vdb_thread_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int n = CPU_COUNT(&set);
    return n > 0 ? (unsigned)n : 1;
  }
  /* More processors than a cpu_set_t holds. */
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 && n < INT32_MAX ? (unsigned)n : 1;
}
