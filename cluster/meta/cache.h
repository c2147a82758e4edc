/*
 * cache.h - all documents of a cluster, followed by a watch and served from memory: readers on any
 * thread take a view, which does not change under them. What the watch tells is checked by reading
 * everything anew now and then, because a watch may lose events. While the store is away the last
 * view stays, with its age; nothing that matters may be decided from it without a transaction that
 * compares.
 */
#ifndef CLUSTER_META_CACHE_H
#define CLUSTER_META_CACHE_H

#include "meta/key.h"

struct cache_entry {
  enum doc_kind kind;
  uint32_t a;
  uint32_t b;
  int64_t mod; /* for compares */
  int64_t create;
  enum doc_status status;
  const void *doc;        /* struct doc_KIND, by `kind`; NULL unless status is DOC_OK */
  struct meta_bytes text; /* as stored */
  char why[DOC_TEXT_MAX];
};

/* Entries ascend by kind, a, b. */
struct cache_view {
  int64_t revision; /* every entry is as of then */
  size_t n;
  const struct cache_entry *const *entries;
};

struct cache;

struct cache_config {
  struct doc_uuid cluster;
  int64_t reread_us; /* between two full reads; 0: 10 s */
  /* A document came (old NULL), changed or went (now NULL). Called on the owner's thread with the
     new view already in place; NULL: nobody wants to know. */
  void (*changed)(void *arg, const struct cache_entry *old, const struct cache_entry *now);
  void *arg;
};

struct cache_state {
  bool loaded; /* everything was read once */
  int64_t revision;
  int64_t heard_us; /* when the store last said something */
  uint64_t rereads;
  uint64_t repairs; /* full reads that found what the watch had not told */
  uint64_t stale;   /* full reads that were older than the view, and so ignored */
  uint64_t bad;     /* documents that could not be read, so far */
};

/* The cache uses the store, which is run by its owner, on one thread; NULL: no memory. */
struct cache *cache_open(struct meta_store *store, const struct cache_config *config);
/* After the store was closed, which ends what the cache asked of it. Views may be given back later.
 */
void cache_close(struct cache *cache);
/* To be called after meta_run, and at the latest when cache_due says. */
void cache_run(struct cache *cache, int64_t now_us);
/* The next full read is due at once. */
void cache_refresh(struct cache *cache);
int64_t cache_due(const struct cache *cache);
struct cache_state cache_state(const struct cache *cache);

/* Any thread. The present view, to be given back; NULL: nothing was read yet. */
const struct cache_view *cache_take(struct cache *cache);
void cache_give(const struct cache_view *view);

/* NULL: it is not there. */
const struct cache_entry *cache_find(const struct cache_view *view, enum doc_kind kind, uint32_t a,
                                     uint32_t b);
/* The document, NULL also when it cannot be read. */
const void *cache_doc(const struct cache_view *view, enum doc_kind kind, uint32_t a, uint32_t b);
/* All of a kind, or of kind and a when a is not 0: the first, and how many. */
const struct cache_entry *const *cache_all(const struct cache_view *view, enum doc_kind kind,
                                           uint32_t a, size_t *n);

#endif
