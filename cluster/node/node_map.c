/*
 * node_map.c - where the rows of a collection are, as this node knows: by the documents, and of a
 * shard that is being split by its data, which knows sooner than these, and also while the metadata
 * store is away.
 */
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"
#include "router/map.h"

/* Takes over the text, which the document has then, at least as new as the split's. */
static bool map_text(struct wire_document *d, char *text, size_t n, int64_t mod,
                     struct wire_mem *mem) {
  char *copy = text ? wire_mem_get(mem, n, 1) : NULL;
  if (copy)
    memcpy(copy, text, n);
  free(text);
  d->text = copy;
  d->n = (uint32_t)n;
  d->mod = mod > d->mod ? mod : d->mod;
  return copy != NULL;
}

/* The documents as they will be: the new shard is among them, and has its slots. They stay as they
   are where that cannot be made: whoever has asked will ask again. */
static void map_divided(const struct node_replica *r, const struct cache_view *view,
                        const struct cache_entry *split, struct wire_mem *mem,
                        struct wire_message *out) {
  const struct doc_split *doc = split->doc;
  const struct cache_entry *child = cache_find(view, DOC_PATH_SHARD, r->collection, doc->child);
  const struct doc_slots *slots = cache_doc(view, DOC_PATH_SLOTS, r->collection, 0);
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, r->collection, 0);
  const uint32_t n = out->n_documents;
  struct wire_document *all = wire_mem_get(mem, n + 1, sizeof *all);
  bool good = all && child && child->doc && slots && coll;
  if (!good)
    return;
  memcpy(all, out->documents, n * sizeof *all);
  for (uint32_t i = 0; i < n && good; i++) {
    size_t bytes = 0;
    char *text = NULL;
    if (all[i].kind == DOC_PATH_SLOTS)
      text = node_split_slots(r, slots, doc, &bytes);
    else if (all[i].kind == DOC_PATH_COLL)
      text = node_split_coll(coll, &bytes);
    else
      continue;
    good = map_text(&all[i], text, bytes, split->mod, mem);
  }
  all[n] = (struct wire_document){child->kind, child->a,         child->b,
                                  child->mod,  child->text.data, child->text.n};
  if (good) {
    out->documents = all;
    out->n_documents = n + 1;
  }
}

static uint32_t map_collection(const struct wire_message *m) {
  for (uint32_t i = 0; i < m->n_documents; i++)
    if (m->documents[i].kind == DOC_PATH_COLL)
      return m->documents[i].a;
  return 0;
}

bool node_map(struct node *n, const struct cache_view *view, const char *name, struct wire_mem *mem,
              struct wire_message *out) {
  if (!router_map_documents(view, name, mem, &out->documents, &out->n_documents))
    return false;
  const uint32_t collection = map_collection(out);
  for (const struct node_replica *r = n->replicas; r; r = r->next) {
    const struct cache_entry *split =
        r->collection == collection && r->rep && !r->closing
            ? cache_find(view, DOC_PATH_SPLIT, collection, r->number)
            : NULL;
    if (split && split->doc && node_split_released(r, split->doc)) {
      map_divided(r, view, split, mem, out);
      break; /* one is open at a time */
    }
  }
  return true;
}
