/* choose.c - which node is asked. */
#include "router/state.h"

/* Of a node that is not known the time is none, so that it is tried. */
static uint64_t choose_cost(const struct node_health *n) {
  int64_t p95 = latency_p95(&n->latency);
  return (n->under_way + 1) * (uint64_t)(p95 == INT64_MAX ? 1 : p95);
}

/* The node that is the better bet of two. */
static uint32_t choose_better(struct router *r, uint32_t a, uint32_t b) {
  const struct node_health *x = state_node(r, a);
  uint64_t cost = x ? choose_cost(x) : 0;
  const struct node_health *y = state_node(r, b);
  return y && choose_cost(y) < cost ? b : a;
}

static bool choose_open(struct router *r, uint32_t node, int64_t now_us) {
  const struct node_health *h = state_node(r, node);
  return h && !breaker_allows(&h->breaker, now_us);
}

static bool choose_busy(struct router *r, uint32_t node, int64_t now_us) {
  const struct node_health *h = state_node(r, node);
  return h && now_us < h->busy_until_us;
}

/* Those of the shard that may be asked. When all are left alone, none is: then it is more likely
   that the way there is bad than that all of them are. */
static uint32_t choose_among(struct router *r, const struct part *p,
                             const struct router_shard *shard, uint32_t but, int64_t now_us,
                             uint32_t *out) {
  uint32_t open = 0, n = 0;
  for (uint32_t i = 0; i < shard->n; i++)
    open += choose_open(r, shard->nodes[i], now_us);
  bool all = open == shard->n;
  for (uint32_t i = 0; i < shard->n; i++) {
    uint32_t node = shard->nodes[i];
    if (node != but && (all || !choose_open(r, node, now_us)) && !choose_busy(r, node, now_us))
      out[n++] = node;
  }
  for (uint32_t i = 0; i < n && n > 1; i++)
    if (out[i] == p->avoid)
      out[i] = out[--n];
  return n;
}

uint32_t choose_node(struct router *r, const struct part *p, uint32_t but, int64_t now_us) {
  uint32_t nodes[DOC_REPLICAS_MAX + 1];
  const struct router_shard shard = state_shard(p->request->coll, p->share.shard);
  const struct wire_message *m = p->request->ask.message;
  if (!state_reads(p->request) || m->read.level == WIRE_STRONG || p->to_primary)
    return shard.primary != but ? shard.primary : 0;
  uint32_t n = choose_among(r, p, &shard, but, now_us, nodes);
  if (n < 2)
    return n ? nodes[0] : 0;
  uint32_t a = state_random(r, n), b = state_random(r, n - 1);
  return choose_better(r, nodes[a], nodes[b < a ? b : b + 1]);
}
