/* cache_entry.h - entries and views of the cache: made, shared and given back. */
#ifndef CLUSTER_META_CACHE_ENTRY_H
#define CLUSTER_META_CACHE_ENTRY_H

#include "meta/cache.h"

/* An entry with one reference; NULL: no memory. */
struct cache_entry *cache_entry_make(struct doc_uuid cluster, const struct meta_kv *kv);
struct cache_entry *cache_entry_share(const struct cache_entry *entry);
void cache_entry_drop(const struct cache_entry *entry);
/* By kind, a, b. */
int cache_entry_order(const struct cache_entry *x, const struct cache_entry *y);

/* A list that becomes a view. It owns a reference to each of its entries. */
struct cache_list {
  const struct cache_entry **items;
  size_t n;
  size_t capacity;
};
/* Takes over the reference; false: no memory, and the reference was dropped. */
bool cache_list_add(struct cache_list *list, const struct cache_entry *entry);
void cache_list_free(struct cache_list *list);
/* The view of what is in the list, in order, with one reference; the list is empty then. NULL: no
   memory, and the list is as before. */
struct cache_view *cache_view_make(struct cache_list *list, int64_t revision);
/* Where the entry is in the view; the view's n when it is not there. */
size_t cache_index(const struct cache_view *view, enum doc_kind kind, uint32_t a, uint32_t b);
const struct cache_view *cache_view_share(const struct cache_view *view);

#endif
