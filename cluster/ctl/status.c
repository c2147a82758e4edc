/* status.c - what the cluster looks like, as text for people; see status.h. */
#include "ctl/status.h"

#include <inttypes.h>

/* Replicas and primaries on the node. */
static void status_held(const struct cache_view *view, uint32_t node, uint32_t *replicas,
                        uint32_t *leads) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 0, &n);
  *replicas = *leads = 0;
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *shard = all[i]->doc;
    for (uint32_t r = 0; shard && r < shard->n_replicas; r++)
      *replicas += shard->replicas[r].node == node;
    *leads += shard && shard->primary == node;
  }
}

static void status_nodes(const struct cache_view *view, FILE *out) {
  static const char *const states[] = {"active", "draining", "removed"};
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_NODE, 0, &n);
  fprintf(out, "%-6s %-16s %-22s %-10s %-9s %-5s %6s %8s %9s\n", "node", "name", "address", "zone",
          "state", "runs", "weight", "replicas", "primaries");
  for (size_t i = 0; i < n; i++) {
    const struct doc_node *node = all[i]->doc;
    uint32_t replicas, leads;
    if (!node)
      continue;
    status_held(view, node->id, &replicas, &leads);
    fprintf(out, "%-6u %-16s %-22s %-10s %-9s %-5s %6u %8u %9u\n", node->id, node->name,
            node->address, *node->zone ? node->zone : "-", states[node->state],
            cache_find(view, DOC_PATH_LIVE, node->id, 0) ? "yes" : "no", node->weight, replicas,
            leads);
  }
}

static void status_collections(const struct cache_view *view, FILE *out) {
  static const char *const states[] = {"creating", "active", "dropping"};
  static const char *const policies[] = {"hash", "tenant", "range"};
  size_t n, shards;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  fprintf(out, "\n%-6s %-24s %-9s %-7s %6s %8s %7s %7s\n", "id", "collection", "state", "policy",
          "shards", "replicas", "min_isr", "whole");
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = all[i]->doc;
    if (!coll)
      continue;
    const struct cache_entry *const *list = cache_all(view, DOC_PATH_SHARD, coll->id, &shards);
    uint32_t whole = 0;
    for (size_t k = 0; k < shards; k++) {
      const struct doc_shard *shard = list[k]->doc;
      whole += shard && shard->state == DOC_SHARD_ACTIVE && shard->n_isr >= coll->replicas;
    }
    fprintf(out, "%-6u %-24s %-9s %-7s %6u %8u %7u %7u\n", coll->id, coll->name,
            states[coll->state], policies[coll->policy], coll->shards, coll->replicas,
            coll->min_isr, whole);
  }
}

static void status_nodes_of(const char *name, const uint32_t *nodes, uint32_t n, FILE *out) {
  fprintf(out, " %s", name);
  for (uint32_t i = 0; i < n; i++)
    fprintf(out, "%s%u", i ? "," : "", nodes[i]);
  if (!n)
    fprintf(out, "-");
}

/* Shards with fewer replicas in sync than their collection wants. */
static void status_shards(const struct cache_view *view, FILE *out) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 0, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *shard = all[i]->doc;
    const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, all[i]->a, 0);
    if (!shard) {
      fprintf(out, "shard %u/%u: its document cannot be read: %s\n", all[i]->a, all[i]->b,
              all[i]->why);
      continue;
    }
    if (shard->unclean)
      fprintf(out, "shard %u/%u: unclean start in epoch %" PRIu64 "\n", shard->collection,
              shard->number, shard->unclean);
    if (shard->state == DOC_SHARD_ACTIVE && coll && shard->n_isr >= coll->replicas)
      continue;
    fprintf(out, "shard %u/%u: %s, epoch %" PRIu64 ", primary %u,", shard->collection,
            shard->number, shard->state == DOC_SHARD_OFFLINE ? "OFFLINE" : "short of replicas",
            shard->epoch, shard->primary);
    status_nodes_of("in sync ", shard->isr, shard->n_isr, out);
    status_nodes_of("learners ", shard->learners, shard->n_learners, out);
    fprintf(out, "\n");
  }
}

void ctl_print_moves(const struct cache_view *view, const struct doc_move *moves, size_t n,
                     FILE *out) {
  for (size_t i = 0; i < n; i++) {
    const struct doc_move *m = &moves[i];
    const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, m->collection, 0);
    char source[24] = "a new replica";
    if (m->source)
      snprintf(source, sizeof source, "node %u", m->source);
    fprintf(out, "%s/%u: %s -> node %u, %s", coll ? coll->name : "?", m->shard, source, m->target,
            doc_step_name(m->step));
    if (m->bytes_total)
      fprintf(out, ", %.1f %% of %.1f MiB", 100.0 * (double)m->bytes_done / (double)m->bytes_total,
              (double)m->bytes_total / 1048576);
    fprintf(out, "%s%s\n", *m->why ? ": " : "", m->why);
  }
}

void ctl_print_split(const struct cache_view *view, const struct doc_split *split, FILE *out) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, split->collection, 0);
  const struct doc_shard *shard = cache_doc(view, DOC_PATH_SHARD, split->collection, split->shard);
  uint32_t moved = 0;
  for (uint32_t i = 0; i < split->n; i++)
    moved += split->moved[i];
  fprintf(out, "%s/%u: split, %u slots -> shard %u, %s", coll ? coll->name : "?", split->shard,
          moved, split->child, doc_split_step_name(split->step));
  if (split->step == DOC_SPLIT_PLANNED && shard)
    fprintf(out, ", %u copies, %u replicas in sync", split->n_forks, shard->n_isr);
  fprintf(out, "\n");
}

void ctl_print_status(const struct cache_view *view, FILE *out) {
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
  const struct cache_entry *fmt = cache_find(view, DOC_PATH_CLUSTER, 0, 0);
  const struct doc_cluster *cluster = fmt ? fmt->doc : NULL;
  fprintf(out, "cluster %s, metadata as of revision %" PRId64 "\n\n",
          cluster ? cluster->name : "without a description", view->revision);
  status_nodes(view, out);
  status_collections(view, out);
  fprintf(out, "\n");
  status_shards(view, out);
  for (size_t i = 0; i < n; i++) {
    const struct doc_move *move = all[i]->doc;
    if (move && move->step != DOC_MOVE_DONE && move->step != DOC_MOVE_CANCELLED)
      ctl_print_moves(view, move, 1, out);
  }
  all = cache_all(view, DOC_PATH_SPLIT, 0, &n);
  for (size_t i = 0; i < n; i++)
    if (doc_split_open(all[i]->doc))
      ctl_print_split(view, all[i]->doc, out);
}
