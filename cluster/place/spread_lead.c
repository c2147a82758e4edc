/* spread_lead.c - which replica leads each shard: in proportion to weights, few changes. */
#include <stdlib.h>

#include "place/spread_int.h"

struct lead {
  const struct spread *spread;
  uint32_t *leads; /* by place of the node; the last is of nodes not listed */
};

static size_t lead_place(const struct lead *l, uint32_t id) {
  size_t i = 0;
  while (i < l->spread->n_nodes && l->spread->nodes[i].id != id)
    i++;
  return i;
}

/* Shards led for each unit of weight; a node that should lead nothing is over any other. */
static double lead_load(const struct lead *l, size_t node) {
  bool takes = node < l->spread->n_nodes && spread_takes(&l->spread->nodes[node]);
  return takes ? (double)l->leads[node] / l->spread->nodes[node].weight : 1e18;
}

static void lead_set(struct spread_shard *shard, uint32_t r) {
  uint32_t first = shard->node[0];
  shard->node[0] = shard->node[r];
  shard->node[r] = first;
}

/* Hands the shard to the replica whose node leads least, if that lowers the higher of the two. */
static bool lead_improve(struct lead *l, struct spread_shard *shard) {
  size_t now = lead_place(l, shard->node[0]), best = now;
  uint32_t best_r = 0;
  for (uint32_t r = 1; r < shard->n; r++) {
    size_t node = lead_place(l, shard->node[r]);
    if (lead_load(l, node) < lead_load(l, best)) {
      best = node;
      best_r = r;
    }
  }
  if (!best_r)
    return false;
  double before = lead_load(l, now);
  l->leads[now]--;
  l->leads[best]++;
  if (lead_load(l, best) < before) {
    lead_set(shard, best_r);
    return true;
  }
  l->leads[now]++;
  l->leads[best]--;
  return false;
}

bool spread_lead(struct spread *spread, const uint32_t *primary) {
  struct lead l = {spread, calloc(spread->n_nodes + 1, sizeof *l.leads)};
  if (!l.leads)
    return false;
  for (size_t i = 0; i < spread->n_shards; i++) {
    struct spread_shard *shard = &spread->shards[i];
    for (uint32_t r = 0; r < shard->n; r++)
      if (shard->node[r] == primary[i])
        lead_set(shard, r);
    if (shard->n)
      l.leads[lead_place(&l, shard->node[0])]++;
  }
  /* The largest load falls or its holders become fewer with each change: this ends. */
  for (bool again = true; again;) {
    again = false;
    for (size_t i = 0; i < spread->n_shards; i++)
      again = (spread->shards[i].n > 1 && lead_improve(&l, &spread->shards[i])) || again;
  }
  free(l.leads);
  return true;
}
