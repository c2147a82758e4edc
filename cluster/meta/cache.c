/* cache.c - following the store: full reads, the watch, and which of them is believed. */
#include "meta/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "meta/cache_entry.h"

enum { CACHE_PAGE = 64 };
static const int64_t cache_reread_us = 10000000, cache_retry_us = 200000;

struct cache {
  struct meta_store *store;
  struct cache_config config;
  struct cache_state state;
  pthread_mutex_t mutex;         /* holds `view` */
  const struct cache_view *view; /* its own reference */
  int64_t now_us;
  int64_t read_us; /* when the next full read begins */
  bool reading;
  bool watching;
  uint64_t watch;
  struct cache_list page; /* what the full read has so far */
  int64_t page_revision;  /* 0: the first page is yet to come */
  char next[META_KEY_MAX + 1];
  size_t n_next;
};

static void cache_watch(struct cache *cache);

const struct cache_view *cache_take(struct cache *cache) {
  pthread_mutex_lock(&cache->mutex);
  const struct cache_view *view = cache->view ? cache_view_share(cache->view) : NULL;
  pthread_mutex_unlock(&cache->mutex);
  return view;
}

/* ---- From one view to the next ---- */

/* Tells what differs between two views in order; gives how much. */
static size_t cache_tell(struct cache *cache, const struct cache_view *old,
                         const struct cache_view *now) {
  size_t i = 0, j = 0, changes = 0, n_old = old ? old->n : 0;
  while (i < n_old || j < now->n) {
    const struct cache_entry *x = i < n_old ? old->entries[i] : NULL;
    const struct cache_entry *y = j < now->n ? now->entries[j] : NULL;
    int order = !x ? 1 : !y ? -1 : cache_entry_order(x, y);
    i += order <= 0;
    j += order >= 0;
    if (order == 0 && x->mod == y->mod)
      continue;
    changes++;
    if (cache->config.changed)
      cache->config.changed(cache->config.arg, order <= 0 ? x : NULL, order >= 0 ? y : NULL);
  }
  return changes;
}

/* The list becomes the view. False: no memory, nothing changed. */
static bool cache_swap(struct cache *cache, struct cache_list *list, int64_t revision,
                       size_t *changes) {
  struct cache_view *made = cache_view_make(list, revision);
  if (!made)
    return false;
  const struct cache_view *old = cache->view;
  pthread_mutex_lock(&cache->mutex);
  cache->view = made;
  pthread_mutex_unlock(&cache->mutex);
  cache->state.revision = revision;
  *changes = cache_tell(cache, old, made);
  cache_give(old);
  return true;
}

/* The entry of a key and its value: the one that is in the view already, if it is of this revision.
 */
static const struct cache_entry *cache_entry_of(struct cache *cache, const struct meta_kv *kv) {
  uint32_t a, b;
  enum doc_kind kind = doc_path_parse(cache->config.cluster, kv->key, &a, &b);
  const struct cache_entry *old = cache->view ? cache_find(cache->view, kind, a, b) : NULL;
  if (old && old->mod == kv->mod_revision)
    return cache_entry_share(old);
  struct cache_entry *made = cache_entry_make(cache->config.cluster, kv);
  cache->state.bad += made && made->status;
  return made;
}

static bool cache_known(const struct cache *cache, struct meta_bytes key) {
  uint32_t a, b;
  return doc_path_parse(cache->config.cluster, key, &a, &b) != DOC_PATH_OTHER;
}

/* ---- Full reads, page by page at one revision ---- */

static void cache_read_ends(struct cache *cache, int64_t again_us) {
  cache_list_free(&cache->page);
  cache->page_revision = 0;
  cache->n_next = 0;
  cache->reading = false;
  cache->read_us = again_us;
}

/* All pages are there. */
static void cache_adopt(struct cache *cache) {
  int64_t revision = cache->page_revision;
  bool first = !cache->state.loaded;
  size_t changes = 0;
  cache->state.rereads++;
  if (!first && revision < cache->state.revision) {
    cache->state.stale++;
    cache_read_ends(cache, cache->now_us + cache_retry_us);
    return;
  }
  if (!cache_swap(cache, &cache->page, revision, &changes)) {
    cache_read_ends(cache, cache->now_us + cache_retry_us);
    return;
  }
  cache->state.loaded = true;
  cache->state.repairs += !first && changes;
  cache_read_ends(cache, cache->now_us + cache->config.reread_us);
  if (cache->watching && changes) { /* the watch is slow or has lost something: begin a new one */
    meta_cancel(cache->store, cache->watch);
    cache->watching = false;
  }
  cache_watch(cache);
}

static void cache_page(struct cache *cache);

static bool cache_page_add(struct cache *cache, const struct meta_answer *answer) {
  for (size_t i = 0; i < answer->n; i++) {
    if (!cache_known(cache, answer->kvs[i].key))
      continue;
    const struct cache_entry *entry = cache_entry_of(cache, &answer->kvs[i]);
    if (!entry || !cache_list_add(&cache->page, entry))
      return false;
  }
  return true;
}

static void cache_page_done(void *arg, const struct meta_result *result) {
  struct cache *cache = arg;
  if (result->status || !result->n_answers || !cache_page_add(cache, &result->answers[0])) {
    cache_read_ends(cache, cache->now_us + cache_retry_us);
    return;
  }
  cache->state.heard_us = cache->now_us;
  if (!cache->page_revision)
    cache->page_revision = result->revision;
  if (!result->answers[0].more) {
    cache_adopt(cache);
    return;
  }
  struct meta_bytes last = result->answers[0].kvs[result->answers[0].n - 1].key;
  memcpy(cache->next, last.data, last.n);
  cache->next[last.n] = 0; /* the first key behind it */
  cache->n_next = last.n + 1;
  cache_page(cache);
}

static void cache_page(struct cache *cache) {
  struct doc_path root = doc_root(cache->config.cluster);
  char end[META_KEY_MAX];
  struct meta_op op = {.kind = META_GET,
                       .key = meta_text(root.text),
                       .end = meta_prefix_end(meta_text(root.text), end),
                       .revision = cache->page_revision,
                       .limit = CACHE_PAGE};
  if (cache->n_next)
    op.key = (struct meta_bytes){cache->next, cache->n_next};
  const struct meta_txn txn = {.then = &op, .n_then = 1};
  cache->reading = true;
  if (meta_txn(cache->store, &txn, 0, cache_page_done, cache))
    cache_read_ends(cache, cache->now_us + cache_retry_us);
}

/* ---- The watch ---- */

/* The present view with the events applied; false: no memory. */
static bool cache_merge(struct cache *cache, const struct meta_batch *batch,
                        struct cache_list *list) {
  const struct cache_view *view = cache->view;
  bool *gone = calloc(view->n + 1, sizeof *gone);
  bool ok = gone != NULL;
  for (size_t i = 0; ok && i < batch->n; i++) {
    const struct meta_event *event = &batch->events[i];
    uint32_t a, b;
    enum doc_kind kind = doc_path_parse(cache->config.cluster, event->kv.key, &a, &b);
    if (kind == DOC_PATH_OTHER || event->kv.mod_revision <= view->revision)
      continue;
    gone[cache_index(view, kind, a, b)] = true;
    for (size_t j = 0; j < list->n; j++) /* told twice in one batch: the later counts */
      if (list->items[j]->kind == kind && list->items[j]->a == a && list->items[j]->b == b) {
        cache_entry_drop(list->items[j]);
        list->items[j--] = list->items[--list->n];
      }
    if (event->deleted)
      continue;
    const struct cache_entry *made = cache_entry_of(cache, &event->kv);
    ok = made && cache_list_add(list, made);
  }
  for (size_t j = 0; ok && j < view->n; j++)
    if (!gone[j])
      ok = cache_list_add(list, cache_entry_share(view->entries[j]));
  free(gone);
  return ok;
}

static void cache_watched(void *arg, const struct meta_batch *batch) {
  struct cache *cache = arg;
  struct cache_list list = {0};
  size_t changes = 0;
  if (batch->status) { /* compacted, too much, or closed */
    cache->watching = false;
    cache->read_us = cache->now_us;
    return;
  }
  cache->state.heard_us = cache->now_us;
  if (batch->revision <= cache->view->revision)
    return;
  if (!cache_merge(cache, batch, &list) || !cache_swap(cache, &list, batch->revision, &changes)) {
    cache_list_free(&list);
    cache->read_us = cache->now_us; /* what was missed is read anew */
  }
}

static void cache_watch(struct cache *cache) {
  struct doc_path root = doc_root(cache->config.cluster);
  char end[META_KEY_MAX];
  if (cache->watching)
    return;
  cache->watching =
      !meta_watch(cache->store, meta_text(root.text), meta_prefix_end(meta_text(root.text), end),
                  cache->state.revision + 1, cache_watched, cache, &cache->watch);
  if (!cache->watching)
    cache->read_us = cache->now_us + cache_retry_us;
}

/* ---- The owner's calls ---- */

struct cache *cache_open(struct meta_store *store, const struct cache_config *config) {
  struct cache *cache = calloc(1, sizeof *cache);
  if (!cache)
    return NULL;
  cache->store = store;
  cache->config = *config;
  if (!cache->config.reread_us)
    cache->config.reread_us = cache_reread_us;
  pthread_mutex_init(&cache->mutex, NULL);
  return cache;
}

void cache_run(struct cache *cache, int64_t now_us) {
  cache->now_us = now_us;
  if (!cache->reading && cache->read_us <= now_us)
    cache_page(cache);
}

void cache_refresh(struct cache *cache) { cache->read_us = cache->now_us; }

int64_t cache_due(const struct cache *cache) { return cache->reading ? INT64_MAX : cache->read_us; }

struct cache_state cache_state(const struct cache *cache) {
  return cache->state;
}

void cache_close(struct cache *cache) {
  if (!cache)
    return;
  cache_list_free(&cache->page);
  cache_give(cache->view);
  pthread_mutex_destroy(&cache->mutex);
  free(cache);
}
