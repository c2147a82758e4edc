/*
 * speaks.c - whether the nodes know what is about to be asked of them; see create.h. What all of a
 * cluster's nodes have spoken once is written down, so that one that is away later need not be
 * asked.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/create.h"

struct speaks {
  const struct cache_view *view;
  uint32_t collection; /* 0: any */
  uint32_t version;
  uint32_t older, away; /* a node of the collection that is; 0: none */
  bool all;             /* every node of the cluster runs and is new enough */
};

static bool speaks_has(const struct speaks *s, uint32_t node) {
  size_t n;
  const struct cache_entry *const *all = cache_all(s->view, DOC_PATH_SHARD, s->collection, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *shard = all[i]->doc;
    for (uint32_t k = 0; shard && k < shard->n_replicas; k++)
      if (shard->replicas[k].node == node)
        return true;
  }
  return !s->collection;
}

static void speaks_look(struct speaks *s) {
  size_t n;
  const struct cache_entry *const *all = cache_all(s->view, DOC_PATH_NODE, 0, &n);
  s->all = true;
  for (size_t i = 0; i < n; i++) {
    const struct doc_node *node = all[i]->doc;
    if (!node || node->state == DOC_NODE_REMOVED)
      continue;
    const struct doc_live *live = cache_doc(s->view, DOC_PATH_LIVE, node->id, 0);
    bool older = live && live->protocol_max < s->version;
    s->all = s->all && live && !older;
    if (older && speaks_has(s, node->id))
      s->older = node->id;
    else if (!live && speaks_has(s, node->id))
      s->away = node->id;
  }
}

/* From now on the cluster is of this version, but if another was quicker, perhaps with less. */
static enum ctl_status speaks_write(struct ctl *ctl, const struct doc_cluster *of, int64_t mod,
                                    uint32_t version) {
  struct doc_cluster doc = *of;
  bool held;
  size_t n;
  doc.protocol_min = version;
  char *text = doc_cluster_write(&doc, &n);
  enum ctl_status status =
      ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_CLUSTER, 0, 0), text, n, mod, &held);
  free(text);
  if (!status && !held) {
    snprintf(ctl->why, sizeof ctl->why, "the cluster's version was changed meanwhile: try again");
    status = CTL_NOT_ALLOWED;
  }
  return status;
}

enum ctl_status ctl_speaks(struct ctl *ctl, uint32_t collection, uint32_t version) {
  struct speaks s = {.view = ctl_view(ctl), .collection = collection, .version = version};
  const struct cache_entry *entry = cache_find(s.view, DOC_PATH_CLUSTER, 0, 0);
  const struct doc_cluster *doc = entry ? entry->doc : NULL;
  bool known = doc && doc->protocol_min >= version;
  enum ctl_status status = CTL_OK;
  speaks_look(&s);
  if (s.older) {
    snprintf(ctl->why, sizeof ctl->why,
             "node %u runs a version that cannot do this: upgrade it first", s.older);
    status = CTL_OLDER;
  } else if (!known && s.away) {
    snprintf(ctl->why, sizeof ctl->why,
             "node %u does not run, and may be of a version that cannot do this: start it, or take "
             "its replicas elsewhere, first",
             s.away);
    status = CTL_OLDER;
  } else if (!known && doc && s.all) {
    status = speaks_write(ctl, doc, entry->mod, version);
  }
  cache_give(s.view);
  return status;
}
