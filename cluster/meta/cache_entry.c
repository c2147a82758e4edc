/* cache_entry.c - entries and views of the cache; see cache_entry.h. */
#include "meta/cache_entry.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct entry_cell {
  struct cache_entry entry; /* first: a pointer to it is one to the cell */
  atomic_uint refs;
  union {
    struct doc_cluster cluster;
    struct doc_node node;
    struct doc_live live;
    struct doc_coll coll;
    struct doc_slots slots;
    struct doc_splits splits;
    struct doc_shard shard;
    struct doc_move move;
    struct doc_split split;
  } doc;
};

struct view_cell {
  struct cache_view view;
  atomic_uint refs;
};

static enum doc_status entry_read(struct entry_cell *cell) {
  struct meta_bytes text = cell->entry.text;
  char *why = cell->entry.why;
  switch (cell->entry.kind) {
    case DOC_PATH_CLUSTER:
      return doc_cluster_read(text, &cell->doc.cluster, why);
    case DOC_PATH_NODE:
      return doc_node_read(text, &cell->doc.node, why);
    case DOC_PATH_LIVE:
      return doc_live_read(text, &cell->doc.live, why);
    case DOC_PATH_COLL:
      return doc_coll_read(text, &cell->doc.coll, why);
    case DOC_PATH_SLOTS:
      return doc_slots_read(text, &cell->doc.slots, why);
    case DOC_PATH_SPLITS:
      return doc_splits_read(text, &cell->doc.splits, why);
    case DOC_PATH_SHARD:
      return doc_shard_read(text, &cell->doc.shard, why);
    case DOC_PATH_MOVE:
      return doc_move_read(text, &cell->doc.move, why);
    case DOC_PATH_SPLIT:
      return doc_split_read(text, &cell->doc.split, why);
    case DOC_PATH_CONTROL:
    case DOC_PATH_IDS:
    case DOC_PATH_NUMBERS:
    case DOC_PATH_OTHER:
      break; /* plain text */
  }
  return DOC_OK;
}

struct cache_entry *cache_entry_make(struct doc_uuid cluster, const struct meta_kv *kv) {
  struct entry_cell *cell = calloc(1, sizeof *cell);
  char *text = malloc(kv->value.n + 1);
  if (!cell || !text) {
    free(cell);
    free(text);
    return NULL;
  }
  if (kv->value.n)
    memcpy(text, kv->value.data, kv->value.n);
  text[kv->value.n] = 0;
  struct cache_entry *entry = &cell->entry;
  atomic_init(&cell->refs, 1);
  entry->text = (struct meta_bytes){text, kv->value.n};
  entry->kind = doc_path_parse(cluster, kv->key, &entry->a, &entry->b);
  entry->mod = kv->mod_revision;
  entry->create = kv->create_revision;
  entry->status = entry_read(cell);
  if (entry->status == DOC_NO_MEMORY) {
    free(cell);
    free(text);
    return NULL;
  }
  entry->doc = entry->status ? NULL : (const void *)&cell->doc;
  return entry;
}

struct cache_entry *cache_entry_share(const struct cache_entry *entry) {
  struct entry_cell *cell = (struct entry_cell *)(void *)entry;
  atomic_fetch_add_explicit(&cell->refs, 1, memory_order_relaxed);
  return &cell->entry;
}

void cache_entry_drop(const struct cache_entry *entry) {
  struct entry_cell *cell = (struct entry_cell *)(void *)entry;
  if (!entry || atomic_fetch_sub_explicit(&cell->refs, 1, memory_order_acq_rel) != 1)
    return;
  if (entry->doc && entry->kind == DOC_PATH_COLL)
    doc_coll_free(&cell->doc.coll);
  if (entry->doc && entry->kind == DOC_PATH_SLOTS)
    doc_slots_free(&cell->doc.slots);
  if (entry->doc && entry->kind == DOC_PATH_SPLITS)
    doc_splits_free(&cell->doc.splits);
  if (entry->doc && entry->kind == DOC_PATH_SPLIT)
    doc_split_free(&cell->doc.split);
  free((void *)entry->text.data);
  free(cell);
}

int cache_entry_order(const struct cache_entry *x, const struct cache_entry *y) {
  if (x->kind != y->kind)
    return x->kind < y->kind ? -1 : 1;
  if (x->a != y->a)
    return x->a < y->a ? -1 : 1;
  return (x->b > y->b) - (x->b < y->b);
}

bool cache_list_add(struct cache_list *list, const struct cache_entry *entry) {
  if (list->n == list->capacity) {
    size_t wanted = 2 * list->capacity + 16;
    const struct cache_entry **grown = realloc(list->items, wanted * sizeof(*grown));
    if (!grown) {
      cache_entry_drop(entry);
      return false;
    }
    list->items = grown;
    list->capacity = wanted;
  }
  list->items[list->n++] = entry;
  return true;
}

void cache_list_free(struct cache_list *list) {
  for (size_t i = 0; i < list->n; i++)
    cache_entry_drop(list->items[i]);
  free(list->items);
  *list = (struct cache_list){0};
}

static int entry_sort(const void *x, const void *y) {
  return cache_entry_order(*(const struct cache_entry *const *)x,
                           *(const struct cache_entry *const *)y);
}

struct cache_view *cache_view_make(struct cache_list *list, int64_t revision) {
  struct view_cell *cell = calloc(1, sizeof *cell);
  if (!cell)
    return NULL;
  if (list->n)
    qsort(list->items, list->n, sizeof *list->items, entry_sort);
  atomic_init(&cell->refs, 1);
  cell->view = (struct cache_view){revision, list->n, list->items};
  *list = (struct cache_list){0};
  return &cell->view;
}

const struct cache_view *cache_view_share(const struct cache_view *view) {
  struct view_cell *cell = (struct view_cell *)(void *)view;
  atomic_fetch_add_explicit(&cell->refs, 1, memory_order_relaxed);
  return view;
}

void cache_give(const struct cache_view *view) {
  struct view_cell *cell = (struct view_cell *)(void *)view;
  if (!view || atomic_fetch_sub_explicit(&cell->refs, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < view->n; i++)
    cache_entry_drop(view->entries[i]);
  free((void *)view->entries);
  free(cell);
}

/* The first entry that is not below (kind, a, b). */
static size_t entry_lower(const struct cache_view *view, enum doc_kind kind, uint32_t a,
                          uint32_t b) {
  const struct cache_entry key = {.kind = kind, .a = a, .b = b};
  size_t low = 0, high = view->n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (cache_entry_order(view->entries[mid], &key) < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

size_t cache_index(const struct cache_view *view, enum doc_kind kind, uint32_t a, uint32_t b) {
  size_t at = entry_lower(view, kind, a, b);
  const struct cache_entry key = {.kind = kind, .a = a, .b = b};
  return at < view->n && cache_entry_order(view->entries[at], &key) == 0 ? at : view->n;
}

const struct cache_entry *cache_find(const struct cache_view *view, enum doc_kind kind, uint32_t a,
                                     uint32_t b) {
  size_t at = cache_index(view, kind, a, b);
  return at < view->n ? view->entries[at] : NULL;
}

const void *cache_doc(const struct cache_view *view, enum doc_kind kind, uint32_t a, uint32_t b) {
  const struct cache_entry *entry = cache_find(view, kind, a, b);
  return entry ? entry->doc : NULL;
}

const struct cache_entry *const *cache_all(const struct cache_view *view, enum doc_kind kind,
                                           uint32_t a, size_t *n) {
  size_t first = entry_lower(view, kind, a, 0), last = first;
  while (last < view->n && view->entries[last]->kind == kind && (!a || view->entries[last]->a == a))
    last++;
  *n = last - first;
  return view->entries + first;
}
