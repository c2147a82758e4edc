/* plan.c - what should move, from the documents alone; see plan.h. */
#include "ctl/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double plan_tolerance = 0.1;

static enum ctl_status plan_say(struct ctl_plan *plan, enum ctl_status status, const char *text) {
  snprintf(plan->why, sizeof plan->why, "%s", text);
  return status;
}

void ctl_plan_free(struct ctl_plan *plan) {
  free(plan->moves);
  plan->moves = NULL;
  plan->n = 0;
}

uint32_t ctl_collection(const struct cache_view *view, const char *name) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  char *end;
  unsigned long id = strtoul(name, &end, 10);
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (coll && (strcmp(coll->name, name) == 0 || (!*end && *name && coll->id == id)))
      return coll->id;
  }
  return 0;
}

/* ---- From documents to what spread.h takes ---- */

struct plan_input {
  struct spread_node nodes[SPREAD_NODES_MAX];
  struct spread spread;
  struct spread_shard *before; /* owned: with open moves done */
  struct spread_shard *after;  /* owned */
  uint32_t *number;            /* owned: of each shard in its collection */
};

static void plan_end(struct plan_input *in) {
  free(in->before);
  free(in->after);
  free(in->number);
}

static bool plan_fits(const struct doc_node *node, const char *need) {
  for (uint32_t i = 0; i < node->n_labels; i++)
    if (strcmp(node->labels[i].name, need) == 0)
      return true;
  return !*need;
}

/* Zones get the number of the first node that is in them. */
static uint32_t plan_zone(const struct cache_entry *const *all, size_t n, const char *zone) {
  for (size_t i = 0; i < n && *zone; i++) {
    const struct doc_node *node = all[i]->doc;
    if (node && strcmp(node->zone, zone) == 0)
      return (uint32_t)i + 1;
  }
  return 0;
}

size_t ctl_spread_nodes(const struct cache_view *view, const char *need, uint32_t leaving,
                        struct spread_node *out) {
  size_t n, count = 0;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_NODE, 0, &n);
  for (size_t i = 0; i < n && count < SPREAD_NODES_MAX; i++) {
    const struct doc_node *node = all[i]->doc;
    if (!node || node->state == DOC_NODE_REMOVED)
      continue;
    out[count++] =
        (struct spread_node){.id = node->id,
                             .zone = plan_zone(all, n, node->zone),
                             .weight = node->weight,
                             .leaves = node->state == DOC_NODE_DRAINING || node->id == leaving,
                             .fits = plan_fits(node, need)};
  }
  return count;
}

static bool plan_open(const struct doc_move *move) {
  return move && move->step != DOC_MOVE_DONE && move->step != DOC_MOVE_CANCELLED;
}

/* Where the replicas will be once the shard's open move is done. */
static void plan_shard(const struct cache_view *view, const struct doc_shard *doc,
                       struct spread_shard *out) {
  const struct doc_move *move = cache_doc(view, DOC_PATH_MOVE, doc->collection, doc->number);
  bool there = false;
  out->n = 0;
  move = plan_open(move) ? move : NULL;
  for (uint32_t i = 0; i < doc->n_replicas; i++) {
    if (move && doc->replicas[i].node == move->source)
      continue;
    there = there || (move && doc->replicas[i].node == move->target);
    out->node[out->n++] = doc->replicas[i].node;
  }
  if (move && !there && out->n < SPREAD_REPLICAS_MAX)
    out->node[out->n++] = move->target;
}

static bool plan_begin(const struct cache_view *view, const struct doc_coll *coll, uint32_t leaving,
                       struct plan_input *in) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, coll->id, &n);
  memset(in, 0, sizeof *in);
  in->spread.nodes = in->nodes;
  in->spread.n_nodes = ctl_spread_nodes(view, coll->need, leaving, in->nodes);
  in->before = calloc(n + 1, sizeof *in->before);
  in->after = calloc(n + 1, sizeof *in->after);
  in->number = calloc(n + 1, sizeof *in->number);
  if (!in->before || !in->after || !in->number) {
    plan_end(in);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *doc = all[i]->doc;
    if (!doc)
      continue;
    plan_shard(view, doc, &in->before[in->spread.n_shards]);
    in->number[in->spread.n_shards++] = doc->number;
  }
  memcpy(in->after, in->before, n * sizeof *in->after);
  in->spread.shards = in->after;
  in->spread.replicas = coll->replicas;
  return true;
}

/* ---- Balance ---- */

static uint32_t plan_held(const struct plan_input *in, uint32_t node) {
  uint32_t held = 0;
  for (size_t i = 0; i < in->spread.n_shards; i++)
    for (uint32_t r = 0; r < in->before[i].n; r++)
      held += in->before[i].node[r] == node;
  return held;
}

/* How far the fullest node is over its share; 0 within one replica of it. */
static double plan_worst(const struct plan_input *in) {
  double share[SPREAD_NODES_MAX], worst = 0;
  if (!spread_shares(&in->spread, share))
    return 0;
  for (size_t i = 0; i < in->spread.n_nodes; i++) {
    double over = plan_held(in, in->nodes[i].id) - share[i];
    double part = over > 1 && share[i] > 0 ? over / share[i] : 0;
    worst = part > worst ? part : worst;
  }
  return worst;
}

static bool plan_add(struct ctl_plan *plan, const struct cache_view *view, uint32_t collection,
                     uint32_t shard, const struct spread_move *move) {
  struct doc_move *grown = realloc(plan->moves, (plan->n + 1) * sizeof *grown);
  const struct doc_move *old = cache_doc(view, DOC_PATH_MOVE, collection, shard);
  if (!grown)
    return false;
  plan->moves = grown;
  grown[plan->n++] = (struct doc_move){.collection = collection,
                                       .shard = shard,
                                       .id = old ? old->id + 1 : 1,
                                       .source = move->source,
                                       .target = move->target,
                                       .step = DOC_MOVE_PLANNED};
  return true;
}

/* Whether the shard is being split, or is what comes of that: it may go again. */
static bool plan_splits(const struct cache_view *view, uint32_t collection, uint32_t shard) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SPLIT, collection, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_split *split = all[i]->doc;
    if (doc_split_open(split) && (split->shard == shard || split->child == shard))
      return true;
  }
  return false;
}

/* The moves of one collection. A shard whose move is open gets no second one: it is planned for
   when that is done. */
static enum ctl_status plan_collection(const struct cache_view *view, const struct doc_coll *coll,
                                       uint32_t leaving, struct ctl_plan *out) {
  struct plan_input *in = malloc(sizeof *in);
  if (!in || !plan_begin(view, coll, leaving, in)) {
    free(in);
    return CTL_NO_MEMORY;
  }
  double worst = plan_worst(in);
  out->worst = worst > out->worst ? worst : out->worst;
  out->replicas += in->spread.n_shards * coll->replicas;
  enum ctl_status status = CTL_OK;
  struct spread_move *moves = calloc(in->spread.n_shards * SPREAD_REPLICAS_MAX + 1, sizeof *moves);
  enum spread_status placed =
      moves ? spread_place(&in->spread, worst > plan_tolerance) : SPREAD_NO_MEMORY;
  if (placed == SPREAD_NO_MEMORY)
    status = CTL_NO_MEMORY;
  else if (placed == SPREAD_NO_NODE || (placed == SPREAD_TOO_FEW && leaving))
    status = plan_say(out, CTL_NOT_ALLOWED, "the other nodes are too few for all replicas");
  size_t n = status ? 0 : spread_moves(in->before, in->after, in->spread.n_shards, moves);
  for (size_t i = 0; i < n && !status; i++) {
    uint32_t shard = in->number[moves[i].shard];
    bool busy = plan_open(cache_doc(view, DOC_PATH_MOVE, coll->id, shard)) ||
                plan_splits(view, coll->id, shard);
    bool again = out->n && out->moves[out->n - 1].collection == coll->id &&
                 out->moves[out->n - 1].shard == shard;
    if (!busy && !again && moves[i].target && !plan_add(out, view, coll->id, shard, &moves[i]))
      status = CTL_NO_MEMORY;
  }
  free(moves);
  plan_end(in);
  free(in);
  return status;
}

enum ctl_status ctl_plan_balance(const struct cache_view *view, uint32_t collection,
                                 uint32_t leaving, struct ctl_plan *out) {
  size_t n, seen = 0;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  *out = (struct ctl_plan){0};
  if (leaving && !cache_doc(view, DOC_PATH_NODE, leaving, 0))
    return plan_say(out, CTL_NO_SUCH, "no such node");
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (!coll || coll->state != DOC_COLL_ACTIVE || (collection && coll->id != collection))
      continue;
    seen++;
    enum ctl_status status = plan_collection(view, coll, leaving, out);
    if (status) {
      ctl_plan_free(out);
      return status;
    }
  }
  if (collection && !seen)
    return plan_say(out, CTL_NO_SUCH, "no such collection");
  return out->n ? CTL_OK : CTL_NOTHING;
}

/* ---- One shard ---- */

/* The replica that gives way: with the target's zone, when zones suffice; else on the fullest node.
 */
static uint32_t plan_source(const struct plan_input *in, const struct spread_shard *shard,
                            uint32_t target) {
  uint32_t best = 0, most = 0, zone = 0;
  for (size_t i = 0; i < in->spread.n_nodes; i++)
    zone = in->nodes[i].id == target ? in->nodes[i].zone : zone;
  for (uint32_t r = 0; r < shard->n; r++) {
    uint32_t held = plan_held(in, shard->node[r]);
    for (size_t i = 0; i < in->spread.n_nodes; i++)
      if (in->nodes[i].id == shard->node[r] && zone && in->nodes[i].zone == zone &&
          spread_zones_suffice(&in->spread))
        return shard->node[r];
    if (!best || held > most) {
      best = shard->node[r];
      most = held;
    }
  }
  return best;
}

static bool plan_on(const struct spread_shard *shard, uint32_t node) {
  return doc_has(shard->node, shard->n, node);
}

/* Whether the shard may go there instead. */
static enum ctl_status plan_judge(const struct plan_input *in, const struct spread_shard *shard,
                                  uint32_t source, uint32_t target, struct ctl_plan *out) {
  const struct spread_node *to = NULL;
  for (size_t i = 0; i < in->spread.n_nodes; i++)
    to = in->nodes[i].id == target ? &in->nodes[i] : to;
  if (!to)
    return plan_say(out, CTL_NO_SUCH, "no such node");
  if (to->leaves || !to->fits)
    return plan_say(out, CTL_NOT_ALLOWED,
                    to->leaves ? "the node is being drained" : "the node lacks the label");
  if (!source || !plan_on(shard, source))
    return plan_say(out, CTL_NO_SUCH, "no replica of the shard is on the source");
  if (plan_on(shard, target))
    return plan_say(out, CTL_NOT_ALLOWED, "the node has a replica of the shard already");
  for (size_t i = 0; i < in->spread.n_nodes; i++) {
    const struct spread_node *other = &in->nodes[i];
    if (to->zone && other->zone == to->zone && other->id != source && plan_on(shard, other->id) &&
        spread_zones_suffice(&in->spread))
      return plan_say(out, CTL_NOT_ALLOWED, "another replica of the shard is in the node's zone");
  }
  return CTL_OK;
}

enum ctl_status ctl_plan_move(const struct cache_view *view, uint32_t collection, uint32_t shard,
                              uint32_t source, uint32_t target, struct ctl_plan *out) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, collection, 0);
  const struct doc_shard *doc = cache_doc(view, DOC_PATH_SHARD, collection, shard);
  *out = (struct ctl_plan){0};
  if (!coll || !doc)
    return plan_say(out, CTL_NO_SUCH, "no such collection or shard");
  if (plan_open(cache_doc(view, DOC_PATH_MOVE, collection, shard)))
    return plan_say(out, CTL_NOT_ALLOWED, "the shard is being moved already");
  if (plan_splits(view, collection, shard))
    return plan_say(out, CTL_NOT_ALLOWED, "the shard is being split");
  struct plan_input *in = malloc(sizeof *in);
  if (!in || !plan_begin(view, coll, 0, in)) {
    free(in);
    return CTL_NO_MEMORY;
  }
  struct spread_shard present;
  plan_shard(view, doc, &present);
  source = source ? source : plan_source(in, &present, target);
  enum ctl_status status = plan_judge(in, &present, source, target, out);
  const struct spread_move move = {0, source, target};
  if (!status && !plan_add(out, view, collection, shard, &move))
    status = CTL_NO_MEMORY;
  plan_end(in);
  free(in);
  return status;
}
