/*
 * spread_balance.c - from nodes above their share to nodes below it. A replica goes directly where
 * a rule allows it; else along the shortest chain of nodes, each of which passes one replica on.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "place/ring.h"
#include "place/spread_int.h"

/* One replica above, or one below, would still be within one of the share. */
static bool balance_over(const struct spread_state *s, uint32_t node) {
  return s->held[node] > ceil(s->share[node] - 1e-9);
}
static bool balance_under(const struct spread_state *s, uint32_t node) {
  return s->held[node] < floor(s->share[node] + 1e-9);
}
static bool balance_room(const struct spread_state *s, uint32_t node) {
  return s->held[node] + 1 <= ceil(s->share[node] - 1e-9);
}
static bool balance_spare(const struct spread_state *s, uint32_t node) {
  return s->held[node] > floor(s->share[node] + 1e-9);
}

struct balance {
  struct spread_state *s;
  uint32_t *from;  /* who passes a replica to this node in the chain */
  uint32_t *shard; /* of which shard */
  uint32_t *queue;
};

static void balance_pass(struct spread_state *s, uint32_t shard, uint32_t from, uint32_t to) {
  struct spread_shard *at = &s->shards[shard];
  for (uint32_t r = 0; r < at->n; r++)
    if (at->node[r] == from)
      at->node[r] = to;
  s->held[from]--;
  s->held[to]++;
}

/* Looks for the nearest node that `ends`, over replicas that may pass from node to node. */
static uint32_t balance_search(struct balance *b, uint32_t start,
                               bool (*ends)(const struct spread_state *, uint32_t)) {
  struct spread_state *s = b->s;
  uint32_t n = (uint32_t)s->spread->n_nodes, head = 0, tail = 0;
  for (uint32_t k = 0; k < n; k++)
    b->from[k] = PLACE_NONE;
  b->from[start] = start;
  b->queue[tail++] = start;
  while (head < tail) {
    uint32_t x = b->queue[head++];
    for (uint32_t i = 0; i < s->spread->n_shards; i++) {
      if (!spread_holds(&s->shards[i], x))
        continue;
      for (uint32_t y = 0; y < n; y++) {
        if (b->from[y] != PLACE_NONE || !spread_allowed(s, &s->shards[i], y, x))
          continue;
        b->from[y] = x;
        b->shard[y] = i;
        b->queue[tail++] = y;
        if (ends(s, y))
          return y;
      }
    }
  }
  return PLACE_NONE;
}

/* Passes one replica along the chain to each node on it. The shards of a shortest chain's steps may
   meet: a step that is no longer allowed ends it, and what was done so far is allowed all the same.
 */
static bool balance_walk(struct balance *b, uint32_t start, uint32_t end) {
  bool first = true;
  for (uint32_t y = end; y != start; y = b->from[y]) {
    struct spread_shard *shard = &b->s->shards[b->shard[y]];
    if (!spread_holds(shard, b->from[y]) || !spread_allowed(b->s, shard, y, b->from[y]))
      return !first;
    balance_pass(b->s, b->shard[y], b->from[y], y);
    first = false;
  }
  return true;
}

/* A node that has too few, filled from whoever has one to spare: the search runs backwards by
   starting at every node that has one, in order. */
static bool balance_fill(struct balance *b, uint32_t under) {
  uint32_t n = (uint32_t)b->s->spread->n_nodes;
  uint32_t best = PLACE_NONE;
  double most = 0;
  for (uint32_t x = 0; x < n; x++) {
    double over = (double)b->s->held[x] - b->s->share[x];
    if (!balance_spare(b->s, x) || (best != PLACE_NONE && over <= most))
      continue;
    for (uint32_t i = 0; i < b->s->spread->n_shards; i++)
      if (spread_holds(&b->s->shards[i], x) && spread_allowed(b->s, &b->s->shards[i], under, x)) {
        best = x;
        most = over;
        b->from[under] = x;
        b->shard[under] = i;
        break;
      }
  }
  if (best == PLACE_NONE)
    return false;
  balance_pass(b->s, b->shard[under], best, under);
  return true;
}

static bool balance_step(struct balance *b) {
  uint32_t n = (uint32_t)b->s->spread->n_nodes;
  for (uint32_t x = 0; x < n; x++)
    if (balance_over(b->s, x)) {
      uint32_t end = balance_search(b, x, balance_under);
      end = end == PLACE_NONE ? balance_search(b, x, balance_room) : end;
      if (end != PLACE_NONE && balance_walk(b, x, end))
        return true;
    }
  for (uint32_t x = 0; x < n; x++)
    if (balance_under(b->s, x) && balance_fill(b, x))
      return true;
  return false;
}

bool spread_balance(struct spread_state *s) {
  size_t n = s->spread->n_nodes + 1;
  struct balance b = {s, malloc(n * sizeof(uint32_t)), malloc(n * sizeof(uint32_t)),
                      malloc(n * sizeof(uint32_t))};
  bool ok = b.from && b.shard && b.queue;
  /* Each step brings some node nearer to its share, so this is a bound that is not met. */
  size_t steps = 2 * s->spread->n_shards * s->spread->replicas + 1;
  while (ok && steps-- && balance_step(&b))
    ;
  free(b.from);
  free(b.shard);
  free(b.queue);
  return ok;
}
