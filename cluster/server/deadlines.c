/* deadlines.c - a table of connections and a thread that looks through it; see deadlines.h. */
#include "server/deadlines.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { DEADLINES_SLOTS = 4096 };

struct deadlines_entry {
  struct deadlines_entry *next;
  const void *who;
  int64_t due; /* seconds of the monotonic clock; 0: none */
  int fd;
};

struct srv_deadlines {
  pthread_mutex_t mutex;
  pthread_cond_t stop_signal;
  pthread_t thread;
  int64_t seconds;
  bool stopping;
  struct deadlines_entry *slots[DEADLINES_SLOTS];
};

static int64_t deadlines_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

/* Cuts off who is late: the HTTP library then sees the end of the connection. */
static void deadlines_look(struct srv_deadlines *d) {
  int64_t now = deadlines_now();
  for (size_t i = 0; i < DEADLINES_SLOTS; i++)
    for (struct deadlines_entry *e = d->slots[i]; e; e = e->next)
      if (e->due && e->due <= now) {
        shutdown(e->fd, SHUT_RDWR);
        e->due = 0;
      }
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

struct srv_deadlines *srv_deadlines_start(unsigned seconds) {
  struct srv_deadlines *d = calloc(1, sizeof *d);
  if (!d)
    return NULL;
  d->seconds = seconds;
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
  for (size_t i = 0; i < DEADLINES_SLOTS; i++)
    while (d->slots[i]) {
      struct deadlines_entry *next = d->slots[i]->next;
      free(d->slots[i]);
      d->slots[i] = next;
    }
  pthread_cond_destroy(&d->stop_signal);
  pthread_mutex_destroy(&d->mutex);
  free(d);
}

/* Where the pointer to the entry stands, or would stand. */
static struct deadlines_entry **deadlines_find(struct srv_deadlines *d, const void *who) {
  struct deadlines_entry **at = &d->slots[((uintptr_t)who >> 6) % DEADLINES_SLOTS];
  while (*at && (*at)->who != who)
    at = &(*at)->next;
  return at;
}

void srv_deadlines_come(struct srv_deadlines *d, const void *who, int fd) {
  struct deadlines_entry *e = fd < 0 ? NULL : malloc(sizeof *e);
  if (!e)
    return;
  *e = (struct deadlines_entry){NULL, who, deadlines_now() + d->seconds, fd};
  pthread_mutex_lock(&d->mutex);
  *deadlines_find(d, who) = e;
  pthread_mutex_unlock(&d->mutex);
}

void srv_deadlines_gone(struct srv_deadlines *d, const void *who) {
  pthread_mutex_lock(&d->mutex);
  struct deadlines_entry **at = deadlines_find(d, who), *e = *at;
  if (e)
    *at = e->next;
  pthread_mutex_unlock(&d->mutex);
  free(e);
}

static void deadlines_due(struct srv_deadlines *d, const void *who, int64_t due) {
  pthread_mutex_lock(&d->mutex);
  struct deadlines_entry *e = *deadlines_find(d, who);
  if (e)
    e->due = due;
  pthread_mutex_unlock(&d->mutex);
}

void srv_deadlines_met(struct srv_deadlines *d, const void *who) {
  deadlines_due(d, who, 0);
}

void srv_deadlines_set(struct srv_deadlines *d, const void *who) {
  deadlines_due(d, who, deadlines_now() + d->seconds);
}
