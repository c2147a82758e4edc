/* crowd.c - counts in chains; see crowd.h. */
#include "server/crowd.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/peer.h"

enum { CROWD_CHAINS = 4096 };

struct crowd_count {
  struct crowd_count *next;
  uint64_t origin;
  uint64_t n; /* more than none */
};

struct srv_crowd {
  pthread_mutex_t mutex;
  uint64_t seed;
  struct crowd_count *chains[CROWD_CHAINS];
};

struct srv_crowd *srv_crowd_new(void) {
  struct srv_crowd *c = calloc(1, sizeof *c);
  if (c && getrandom(&c->seed, sizeof c->seed, 0) == sizeof c->seed) {
    pthread_mutex_init(&c->mutex, NULL);
    return c;
  }
  free(c);
  return NULL;
}

void srv_crowd_free(struct srv_crowd *c) {
  if (c)
    pthread_mutex_destroy(&c->mutex);
  free(c);
}

/* Where the origin's count hangs, or would. */
static struct crowd_count **crowd_find(struct srv_crowd *c, uint64_t origin) {
  struct crowd_count **at = &c->chains[srv_peer_hash(origin, c->seed) % CROWD_CHAINS];
  while (*at && (*at)->origin != origin)
    at = &(*at)->next;
  return at;
}

bool srv_crowd_enter(struct srv_crowd *c, uint64_t origin, uint64_t most) {
  pthread_mutex_lock(&c->mutex);
  struct crowd_count **at = crowd_find(c, origin);
  if (!*at && (*at = calloc(1, sizeof **at)) != NULL)
    (*at)->origin = origin;
  bool room = *at && (most == 0 || (*at)->n < most);
  if (room)
    (*at)->n++;
  pthread_mutex_unlock(&c->mutex);
  return room;
}

void srv_crowd_leave(struct srv_crowd *c, uint64_t origin) {
  pthread_mutex_lock(&c->mutex);
  struct crowd_count **at = crowd_find(c, origin), *count = *at;
  if (--count->n == 0) {
    *at = count->next;
    free(count);
  }
  pthread_mutex_unlock(&c->mutex);
}
