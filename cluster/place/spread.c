/* spread.c - placing replicas: what must go, what is missing, what each node's share is. */
#include "place/spread.h"

#include <stdlib.h>
#include <string.h>

#include "place/ring.h"
#include "place/spread_int.h"

bool spread_takes(const struct spread_node *node) {
  return node->fits && !node->leaves && node->weight > 0;
}

bool spread_holds(const struct spread_shard *shard, uint32_t node) {
  for (uint32_t i = 0; i < shard->n; i++)
    if (shard->node[i] == node)
      return true;
  return false;
}

/* ---- Zones and shares ---- */

/* Numbers the zones from 0; a node without one has its own. */
static uint32_t spread_zones(const struct spread *spread, uint32_t *zone) {
  uint32_t n = 0;
  for (size_t i = 0; i < spread->n_nodes; i++) {
    zone[i] = n;
    for (size_t j = 0; j < i && spread->nodes[i].zone; j++)
      if (spread->nodes[j].zone == spread->nodes[i].zone)
        zone[i] = zone[j];
    n += zone[i] == n;
  }
  return n;
}

static bool spread_suffice(const struct spread *spread, const uint32_t *zone, uint32_t n_zones) {
  uint32_t with = 0;
  for (uint32_t z = 0; z < n_zones; z++)
    for (size_t i = 0; i < spread->n_nodes; i++)
      if (zone[i] == z && spread_takes(&spread->nodes[i])) {
        with++;
        break;
      }
  return with >= spread->replicas;
}

bool spread_zones_suffice(const struct spread *spread) {
  uint32_t zone[SPREAD_NODES_MAX];
  return spread_suffice(spread, zone, spread_zones(spread, zone));
}

/* Divides `total` among n by weight, none above `cap`: what is over a cap goes to the others. */
static void spread_divide(double total, double cap, const double *weight, size_t n, double *out) {
  bool full[SPREAD_NODES_MAX] = {false};
  for (size_t i = 0; i < n; i++)
    out[i] = 0;
  for (bool again = true; again;) {
    double left = total, weights = 0;
    again = false;
    for (size_t i = 0; i < n; i++) {
      left -= full[i] ? cap : 0;
      weights += full[i] ? 0 : weight[i];
    }
    for (size_t i = 0; i < n && weights > 0; i++) {
      if (full[i])
        continue;
      out[i] = left * weight[i] / weights;
      if (out[i] > cap) {
        out[i] = cap;
        full[i] = again = true;
      }
    }
  }
}

static void spread_shares_of(const struct spread *spread, const uint32_t *zone, uint32_t n_zones,
                             bool apart, double *share) {
  double weight[SPREAD_NODES_MAX], zones[SPREAD_NODES_MAX] = {0}, of_zone[SPREAD_NODES_MAX];
  double shards = (double)spread->n_shards, total = shards * spread->replicas;
  size_t takers = 0;
  for (size_t i = 0; i < spread->n_nodes; i++) {
    weight[i] = spread_takes(&spread->nodes[i]) ? spread->nodes[i].weight : 0;
    zones[zone[i]] += weight[i];
    takers += weight[i] > 0;
  }
  total = (double)takers < spread->replicas ? shards * (double)takers : total;
  if (!apart) {
    spread_divide(total, shards, weight, spread->n_nodes, share);
    return;
  }
  spread_divide(total, shards, zones, n_zones, of_zone);
  for (uint32_t z = 0; z < n_zones; z++) {
    double mine[SPREAD_NODES_MAX] = {0}, part[SPREAD_NODES_MAX];
    for (size_t i = 0; i < spread->n_nodes; i++)
      mine[i] = zone[i] == z ? weight[i] : 0;
    spread_divide(of_zone[z], shards, mine, spread->n_nodes, part);
    for (size_t i = 0; i < spread->n_nodes; i++)
      if (zone[i] == z)
        share[i] = part[i];
  }
}

bool spread_shares(const struct spread *spread, double *share) {
  uint32_t zone[SPREAD_NODES_MAX];
  if (spread->n_nodes > SPREAD_NODES_MAX)
    return false;
  uint32_t n = spread_zones(spread, zone);
  spread_shares_of(spread, zone, n, spread_suffice(spread, zone, n), share);
  return true;
}

/* ---- Placing ---- */

bool spread_allowed(const struct spread_state *s, const struct spread_shard *shard, uint32_t node,
                    uint32_t instead) {
  if (!spread_takes(&s->spread->nodes[node]))
    return false;
  for (uint32_t i = 0; i < shard->n; i++) {
    if (shard->node[i] == instead)
      continue;
    if (shard->node[i] == node)
      return false;
    if (s->apart && s->zone[shard->node[i]] == s->zone[node])
      return false;
  }
  return true;
}

/* Ids become places; nodes that are not listed, or must not hold anything, lose their replicas, and
   of two in one zone the later goes. */
static void spread_keep(struct spread_state *s) {
  const struct spread *spread = s->spread;
  for (size_t i = 0; i < spread->n_shards; i++) {
    struct spread_shard *to = &s->shards[i];
    to->n = 0;
    for (uint32_t r = 0; r < spread->shards[i].n && to->n < spread->replicas; r++)
      for (uint32_t k = 0; k < spread->n_nodes; k++) {
        const struct spread_node *node = &spread->nodes[k];
        bool stays = node->fits && !node->leaves && node->id == spread->shards[i].node[r];
        for (uint32_t j = 0; stays && j < to->n; j++)
          stays = to->node[j] != k && !(s->apart && s->zone[to->node[j]] == s->zone[k]);
        if (stays) {
          to->node[to->n++] = k;
          s->held[k]++;
        }
      }
  }
}

/* How many replicas of the shard are in the node's zone. */
static uint32_t spread_near(const struct spread_state *s, const struct spread_shard *shard,
                            uint32_t node) {
  uint32_t near = 0;
  for (uint32_t i = 0; i < shard->n; i++)
    near += s->zone[shard->node[i]] == s->zone[node];
  return near;
}

/* The best node for one more replica: in the emptiest zone, then the one that is furthest below its
   share, then the next from the shard's place on a ring. PLACE_NONE: there is none. */
static uint32_t spread_best(const struct spread_state *s, size_t shard) {
  uint32_t best = PLACE_NONE, best_near = 0;
  double best_room = 0;
  uint64_t best_mark = 0;
  for (uint32_t k = 0; k < s->spread->n_nodes; k++) {
    if (!spread_allowed(s, &s->shards[shard], k, PLACE_NONE))
      continue;
    uint32_t near = spread_near(s, &s->shards[shard], k);
    double room = (s->share[k] - s->held[k]) / s->spread->nodes[k].weight;
    uint64_t mark = place_mark(place_mark(s->spread->nodes[k].id) ^ shard);
    bool better = near != best_near   ? near < best_near
                  : room != best_room ? room > best_room
                                      : mark < best_mark;
    if (best != PLACE_NONE && !better)
      continue;
    best = k;
    best_near = near;
    best_room = room;
    best_mark = mark;
  }
  return best;
}

/* False: there are too few nodes. */
static bool spread_add(struct spread_state *s) {
  bool whole = true;
  for (size_t i = 0; i < s->spread->n_shards; i++)
    while (s->shards[i].n < s->spread->replicas) {
      uint32_t node = spread_best(s, i);
      if (node == PLACE_NONE) {
        whole = false;
        break;
      }
      s->shards[i].node[s->shards[i].n++] = node;
      s->held[node]++;
    }
  return whole;
}

static bool spread_begin(struct spread_state *s, const struct spread *spread) {
  size_t n = spread->n_nodes + 1;
  *s = (struct spread_state){.spread = spread};
  if (spread->n_nodes > SPREAD_NODES_MAX)
    return false;
  s->shards = calloc(spread->n_shards + 1, sizeof *s->shards);
  s->zone = calloc(n, sizeof *s->zone);
  s->held = calloc(n, sizeof *s->held);
  s->share = calloc(n, sizeof *s->share);
  if (!s->shards || !s->zone || !s->held || !s->share)
    return false;
  s->n_zones = spread_zones(spread, s->zone);
  s->apart = spread_suffice(spread, s->zone, s->n_zones);
  spread_shares_of(spread, s->zone, s->n_zones, s->apart, s->share);
  return true;
}

static void spread_end(struct spread_state *s) {
  free(s->shards);
  free(s->zone);
  free(s->held);
  free(s->share);
}

static void spread_store(const struct spread_state *s, struct spread *spread) {
  for (size_t i = 0; i < spread->n_shards; i++) {
    spread->shards[i].n = s->shards[i].n;
    for (uint32_t r = 0; r < s->shards[i].n; r++)
      spread->shards[i].node[r] = spread->nodes[s->shards[i].node[r]].id;
  }
}

enum spread_status spread_place(struct spread *spread, bool balance) {
  struct spread_state s;
  enum spread_status status = SPREAD_NO_NODE;
  for (size_t i = 0; i < spread->n_nodes; i++)
    if (spread_takes(&spread->nodes[i]))
      status = SPREAD_OK;
  if (status)
    return status;
  if (!spread_begin(&s, spread)) {
    spread_end(&s);
    return SPREAD_NO_MEMORY;
  }
  spread_keep(&s);
  if (!spread_add(&s))
    status = SPREAD_TOO_FEW;
  if (balance && !spread_balance(&s))
    status = SPREAD_NO_MEMORY;
  else
    spread_store(&s, spread);
  spread_end(&s);
  return status;
}

/* ---- Moves ---- */

size_t spread_moves(const struct spread_shard *from, const struct spread_shard *to, size_t n,
                    struct spread_move *moves) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t next = 0; /* of the new ones */
    for (uint32_t r = 0; r < from[i].n; r++) {
      if (spread_holds(&to[i], from[i].node[r]))
        continue;
      while (next < to[i].n && spread_holds(&from[i], to[i].node[next]))
        next++;
      uint32_t target = next < to[i].n ? to[i].node[next++] : 0;
      moves[count++] = (struct spread_move){(uint32_t)i, from[i].node[r], target};
    }
    for (; next < to[i].n; next++)
      if (!spread_holds(&from[i], to[i].node[next]))
        moves[count++] = (struct spread_move){(uint32_t)i, 0, to[i].node[next]};
  }
  return count;
}
