/* failures.c - a table of sets, in one of which an origin is found; see failures.h. */
#include "server/failures.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/peer.h"

enum { FAILURES_SETS = 1024, FAILURES_WAYS = 8, FAILURES_DOUBLINGS = 32 };

#define FAILURES_SECOND UINT64_C(1000000000)

struct failures_entry {
  uint64_t origin; /* 0: nobody's */
  uint64_t last;   /* when it failed last */
  uint64_t until;  /* when the wait ends */
  uint64_t n;      /* failures that are remembered */
};

struct srv_failures {
  pthread_mutex_t mutex;
  uint64_t seed;
  struct failures_entry sets[FAILURES_SETS][FAILURES_WAYS];
};

struct srv_failures *srv_failures_new(void) {
  struct srv_failures *f = calloc(1, sizeof *f);
  if (!f)
    return NULL;
  if (getrandom(&f->seed, sizeof f->seed, 0) != sizeof f->seed) {
    free(f);
    return NULL;
  }
  pthread_mutex_init(&f->mutex, NULL);
  return f;
}

void srv_failures_free(struct srv_failures *f) {
  if (f)
    pthread_mutex_destroy(&f->mutex);
  free(f);
}

static struct failures_entry *failures_set(struct srv_failures *f, uint64_t origin) {
  return f->sets[srv_peer_hash(origin, f->seed) % FAILURES_SETS];
}

/* NULL: it has not failed. */
static struct failures_entry *failures_find(struct failures_entry *set, uint64_t origin) {
  for (int i = 0; origin && i < FAILURES_WAYS; i++)
    if (set[i].origin == origin)
      return &set[i];
  return NULL;
}

/* A place that is free, or was used longest ago. */
static struct failures_entry *failures_oldest(struct failures_entry *set) {
  struct failures_entry *oldest = set;
  for (int i = 1; i < FAILURES_WAYS; i++)
    if (set[i].last < oldest->last)
      oldest = &set[i];
  return oldest;
}

unsigned srv_failures_wait(struct srv_failures *f, uint64_t origin, uint64_t now) {
  pthread_mutex_lock(&f->mutex);
  const struct failures_entry *e = failures_find(failures_set(f, origin), origin);
  uint64_t left = e && e->until > now ? e->until - now : 0;
  pthread_mutex_unlock(&f->mutex);
  return (unsigned)((left + FAILURES_SECOND - 1) / FAILURES_SECOND);
}

static uint64_t failures_seconds(uint64_t n, const struct srv_failure_limits *limits) {
  uint64_t doublings = n > limits->allowed ? n - limits->allowed : 0;
  if (!limits->allowed || !doublings)
    return 0;
  uint64_t seconds = UINT64_C(1) << (doublings < FAILURES_DOUBLINGS ? doublings - 1
                                                                    : FAILURES_DOUBLINGS);
  return seconds < limits->longest ? seconds : limits->longest;
}

void srv_failures_add(struct srv_failures *f, uint64_t origin,
                      const struct srv_failure_limits *limits, uint64_t now) {
  if (!origin)
    return;
  pthread_mutex_lock(&f->mutex);
  struct failures_entry *set = failures_set(f, origin), *e = failures_find(set, origin);
  if (!e) {
    e = failures_oldest(set);
    *e = (struct failures_entry){.origin = origin};
  }
  if (now > e->last + 2 * limits->longest * FAILURES_SECOND)
    e->n = 0;
  e->n++;
  e->last = now;
  e->until = now + failures_seconds(e->n, limits) * FAILURES_SECOND;
  pthread_mutex_unlock(&f->mutex);
}
