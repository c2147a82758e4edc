/* quota.c - buckets that fill by the second; see quota.h. */
#include "server/quota.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/lanes.h"

enum { QUOTA_CHAINS = 1024 };

#define QUOTA_IDLE 60000000000u /* nanoseconds after which who has nothing to do is forgotten */

struct srv_quota_user {
  struct srv_quota_user *next;
  uint64_t last;         /* when the buckets were filled last */
  double requests, rows; /* what is left; rows below 0: a debt */
  struct srv_quota limits; /* of then */
  uint64_t in_flight;
  unsigned lane;
  char name[];
};

struct srv_quotas {
  pthread_mutex_t mutex;
  struct srv_quota_user *chains[QUOTA_CHAINS];
};

struct srv_quotas *srv_quotas_new(void) {
  struct srv_quotas *q = calloc(1, sizeof *q);
  if (q)
    pthread_mutex_init(&q->mutex, NULL);
  return q;
}

void srv_quotas_free(struct srv_quotas *q) {
  for (int i = 0; q && i < QUOTA_CHAINS; i++)
    while (q->chains[i]) {
      struct srv_quota_user *next = q->chains[i]->next;
      free(q->chains[i]);
      q->chains[i] = next;
    }
  if (q)
    pthread_mutex_destroy(&q->mutex);
  free(q);
}

/* ---- Users ----------------------------------------------------------------------------------- */

static uint32_t quota_hash(const char *name) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *name; name++)
    hash = (hash ^ (unsigned char)*name) * 1099511628211u;
  return (uint32_t)(hash >> 32);
}

static bool quota_owes(const struct srv_quota_user *user, uint64_t now) {
  double seconds = (double)(now - user->last) / 1e9;
  return user->rows + seconds * (double)user->limits.rows_per_second < 0;
}

/* The user, or a new one with full buckets. Those of the chain that have long been idle are
   forgotten, unless they owe something. */
static struct srv_quota_user *quota_find(struct srv_quotas *q, const char *name,
                                         const struct srv_quota *limits, uint64_t now) {
  uint32_t hash = quota_hash(name);
  struct srv_quota_user **at = &q->chains[hash % QUOTA_CHAINS], *found = NULL;
  while (*at) {
    struct srv_quota_user *user = *at;
    bool idle = user->in_flight == 0 && now > user->last + QUOTA_IDLE && !quota_owes(user, now);
    if (strcmp(user->name, name) == 0) {
      found = user;
    } else if (idle) {
      *at = user->next;
      free(user);
      continue;
    }
    at = &user->next;
  }
  if (found)
    return found;
  size_t n = strlen(name) + 1;
  struct srv_quota_user *user = calloc(1, sizeof *user + n);
  if (!user)
    return NULL;
  memcpy(user->name, name, n);
  user->last = now;
  user->requests = (double)limits->requests_per_second;
  user->rows = (double)limits->rows_per_second;
  user->lane = 1 + hash % (SRV_LANES - 1);
  *at = user;
  return user;
}

static double quota_filled(double left, uint64_t rate, double seconds) {
  return fmin(left + seconds * (double)rate, (double)rate);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static unsigned quota_seconds(double missing, uint64_t rate) {
  return (unsigned)fmin(ceil(missing / (double)rate), 3600);
}

/* The seconds until a request may come; 0: now. */
static unsigned quota_wait(const struct srv_quota_user *user, const struct srv_quota *limits) {
  if (limits->concurrency && user->in_flight >= limits->concurrency)
    return 1;
  if (limits->requests_per_second && user->requests < 1)
    return quota_seconds(1 - user->requests, limits->requests_per_second);
  if (limits->rows_per_second && user->rows < 0)
    return quota_seconds(-user->rows, limits->rows_per_second);
  return 0;
}

struct srv_quota_user *srv_quota_enter(struct srv_quotas *q, const char *name,
                                       const struct srv_quota *limits, uint64_t now,
                                       unsigned *wait) {
  *wait = 0;
  pthread_mutex_lock(&q->mutex);
  struct srv_quota_user *user = quota_find(q, name, limits, now);
  if (user && now > user->last) {
    double seconds = (double)(now - user->last) / 1e9;
    user->requests = quota_filled(user->requests, limits->requests_per_second, seconds);
    user->rows = quota_filled(user->rows, limits->rows_per_second, seconds);
    user->last = now;
  }
  if (user && (*wait = quota_wait(user, limits)) > 0)
    user = NULL;
  if (user) {
    user->limits = *limits;
    user->requests -= limits->requests_per_second ? 1 : 0;
    user->in_flight++;
  }
  pthread_mutex_unlock(&q->mutex);
  return user;
}

void srv_quota_rows(struct srv_quotas *q, struct srv_quota_user *user, uint64_t n) {
  if (!user)
    return;
  pthread_mutex_lock(&q->mutex);
  user->rows -= user->limits.rows_per_second ? (double)n : 0;
  pthread_mutex_unlock(&q->mutex);
}

void srv_quota_leave(struct srv_quotas *q, struct srv_quota_user *user) {
  pthread_mutex_lock(&q->mutex);
  user->in_flight--;
  pthread_mutex_unlock(&q->mutex);
}

unsigned srv_quota_lane(const struct srv_quota_user *user) {
  return user ? user->lane : 0;
}
