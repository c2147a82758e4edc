/* deadlines.c - a list of connections and a thread that looks through it; see deadlines.h. */
#include "server/deadlines.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

struct srv_deadlines {
  pthread_mutex_t mutex; /* of the list; the times in it are changed without */
  pthread_cond_t stop_signal;
  pthread_t thread;
  int64_t seconds, idle;
  bool stopping;
  struct srv_deadline *first;
};

static int64_t deadlines_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return t.tv_sec;
}

/* The connection's owner then sees its end. The system would go on for as long as the client likes
   with sending what it has of an answer, so it is told to drop that. */
static void deadlines_cut(const struct srv_deadline *e) {
  const struct linger drop = {1, 0};
  if (atomic_load(&e->taking))
    setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
  shutdown(e->fd, SHUT_RDWR);
}

/* Cuts off who is late. */
static void deadlines_look(struct srv_deadlines *d) {
  int64_t now = deadlines_now();
  for (const struct srv_deadline *e = d->first; e; e = e->next)
    if (atomic_load(&e->due) <= now || atomic_load(&e->silent) <= now)
      deadlines_cut(e);
}

static void *deadlines_work(void *arg) {
  struct srv_deadlines *d = arg;
  pthread_mutex_lock(&d->mutex);
  while (!d->stopping) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    pthread_cond_timedwait(&d->stop_signal, &d->mutex, &until);
    deadlines_look(d);
  }
  pthread_mutex_unlock(&d->mutex);
  return NULL;
}

struct srv_deadlines *srv_deadlines_start(unsigned seconds, unsigned idle) {
  struct srv_deadlines *d = calloc(1, sizeof *d);
  if (!d)
    return NULL;
  d->seconds = seconds;
  d->idle = idle;
  pthread_mutex_init(&d->mutex, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&d->stop_signal, &attributes);
  pthread_condattr_destroy(&attributes);
  if (pthread_create(&d->thread, NULL, deadlines_work, d) == 0)
    return d;
  pthread_cond_destroy(&d->stop_signal);
  pthread_mutex_destroy(&d->mutex);
  free(d);
  return NULL;
}

void srv_deadlines_stop(struct srv_deadlines *d) {
  if (!d)
    return;
  pthread_mutex_lock(&d->mutex);
  d->stopping = true;
  pthread_cond_signal(&d->stop_signal);
  pthread_mutex_unlock(&d->mutex);
  pthread_join(d->thread, NULL);
  pthread_cond_destroy(&d->stop_signal);
  pthread_mutex_destroy(&d->mutex);
  free(d);
}

void srv_deadlines_come(struct srv_deadlines *d, struct srv_deadline *e, int fd) {
  e->fd = fd;
  e->prev = NULL;
  srv_deadlines_set(d, e);
  pthread_mutex_lock(&d->mutex);
  e->next = d->first;
  if (e->next)
    e->next->prev = e;
  d->first = e;
  pthread_mutex_unlock(&d->mutex);
}

void srv_deadlines_gone(struct srv_deadlines *d, struct srv_deadline *e) {
  pthread_mutex_lock(&d->mutex);
  if (e->next)
    e->next->prev = e->prev;
  if (e->prev)
    e->prev->next = e->next;
  else
    d->first = e->next;
  pthread_mutex_unlock(&d->mutex);
}

void srv_deadlines_met(struct srv_deadline *e) {
  atomic_store_explicit(&e->due, INT64_MAX, memory_order_relaxed);
  atomic_store_explicit(&e->silent, INT64_MAX, memory_order_relaxed);
}

void srv_deadlines_set(struct srv_deadlines *d, struct srv_deadline *e) {
  atomic_store_explicit(&e->due, deadlines_now() + d->seconds, memory_order_relaxed);
  atomic_store_explicit(&e->taking, false, memory_order_relaxed);
  srv_deadlines_heard(d, e);
}

void srv_deadlines_owe(struct srv_deadlines *d, struct srv_deadline *e, uint64_t bytes,
                       uint64_t rate) {
  atomic_store_explicit(&e->taking, true, memory_order_relaxed);
  if (atomic_load_explicit(&e->due, memory_order_relaxed) == INT64_MAX)
    atomic_store_explicit(&e->due, deadlines_now() + d->seconds + (int64_t)(bytes / rate),
                          memory_order_relaxed);
}

void srv_deadlines_heard(struct srv_deadlines *d, struct srv_deadline *e) {
  int64_t silent = d->idle ? deadlines_now() + d->idle : INT64_MAX;
  atomic_store_explicit(&e->silent, silent, memory_order_relaxed);
}
