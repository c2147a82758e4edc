/* force.c - an unclean start; see force.h. */
#include "ctl/force.h"

#include <inttypes.h>
#include <string.h>

static const struct doc_replica *force_replica(const struct doc_shard *shard, uint32_t node) {
  for (uint32_t i = 0; i < shard->n_replicas; i++)
    if (shard->replicas[i].node == node)
      return &shard->replicas[i];
  return NULL;
}

/* In the record, the disk counts that the node has now. */
static void force_lead(struct doc_shard *shard, const struct doc_live *live) {
  shard->state = DOC_SHARD_ACTIVE;
  shard->unclean = ++shard->epoch;
  shard->primary = live->id;
  shard->isr[0] = live->id;
  shard->n_isr = 1;
  shard->n_learners = 0;
  for (uint32_t i = 0; i < shard->n_replicas; i++)
    if (shard->replicas[i].node == live->id)
      shard->replicas[i].store = live->store;
    else
      shard->learners[shard->n_learners++] = shard->replicas[i].node;
  for (uint32_t i = shard->n_learners; i < DOC_REPLICAS_MAX; i++)
    shard->learners[i] = 0;
  for (uint32_t i = 1; i < DOC_REPLICAS_MAX; i++)
    shard->isr[i] = 0;
}

bool ctl_force(const struct cache_view *view, uint32_t collection, uint32_t shard, uint32_t node,
               struct doc_shard *out, int64_t *mod, char *why) {
  const struct cache_entry *entry = cache_find(view, DOC_PATH_SHARD, collection, shard);
  const struct doc_live *live = cache_doc(view, DOC_PATH_LIVE, node, 0);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, collection, shard);
  /* Copies were made of a log that the node may not have: they must not become a shard. */
  bool splits = split && split->step == DOC_SPLIT_PLANNED;
  if (!entry || !entry->doc)
    snprintf(why, CTL_WHY, "no such shard");
  else if (splits)
    snprintf(why, CTL_WHY, "the shard is being split: cancel that first");
  else if (!force_replica(entry->doc, node))
    snprintf(why, CTL_WHY, "node %" PRIu32 " is no replica of the shard", node);
  else if (!live)
    snprintf(why, CTL_WHY, "node %" PRIu32 " does not run, so what it has is not known", node);
  if (!entry || !entry->doc || splits || !force_replica(entry->doc, node) || !live)
    return false;
  *out = *(const struct doc_shard *)entry->doc;
  *mod = entry->mod;
  force_lead(out, live);
  return true;
}

/* Whether the node runs with the disk that the record knows. */
static bool force_same(const struct cache_view *view, const struct doc_shard *now, uint32_t node) {
  const struct doc_live *live = cache_doc(view, DOC_PATH_LIVE, node, 0);
  const struct doc_replica *replica = force_replica(now, node);
  return live && replica && doc_uuid_same(live->store, replica->store);
}

void ctl_print_force(const struct cache_view *view, const struct doc_shard *forced, FILE *out) {
  const struct doc_shard *now =
      cache_doc(view, DOC_PATH_SHARD, forced->collection, forced->number);
  uint32_t node = forced->primary;
  if (!now)
    return;
  fprintf(out, "shard %u/%u goes on with what node %u has, in epoch %" PRIu64 "\n",
          forced->collection, forced->number, node, forced->epoch);
  bool in = doc_has(now->isr, now->n_isr, node) && force_same(view, now, node);
  fprintf(out, "  node %u %s\n", node,
          in ? "is in sync: nothing acknowledged is lost, unless its log is damaged"
             : "is not in sync: what was acknowledged since it was is lost");
  for (uint32_t i = 0; i < now->n_isr; i++) {
    const char *is = force_same(view, now, now->isr[i]) ? "it runs, and may have more"
                     : cache_find(view, DOC_PATH_LIVE, now->isr[i], 0)
                         ? "it runs, with another disk"
                         : "it does not run";
    if (now->isr[i] != node)
      fprintf(out, "  node %u is in sync: %s\n", now->isr[i], is);
  }
  fprintf(out, "  what others have besides is in their files of orphans once they follow again\n");
}
