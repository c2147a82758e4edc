/* cache.c - the least recently used results, in sixteen parts with a lock each; see cache.h. */
#include "query/cache.h"

enum {
  CACHE_PARTS = 16,
  CACHE_PART_SHIFT = 60, /* of a hash: the bits that say which part, */
  CACHE_TAG_SHIFT = 28,  /* and those by which one that was turned away is known again */
  CACHE_ENTRY = 1024,    /* bytes of an entry, about: a bucket for each */
};

/* The key follows, then the hits. */
struct cache_entry {
  struct cache_entry *next;         /* in its bucket */
  struct cache_entry *newer, *older;
  uint64_t hash;
  size_t n_key, n_hits;
  size_t bytes;
};

struct cache_part {
  struct vdb_mutex mu;
  struct cache_entry **buckets;
  uint32_t *seen; /* per bucket, part of the hash of the last one that was turned away */
  struct cache_entry *newest, *oldest;
  uint64_t bytes, limit;
  uint64_t added; /* entries, ever */
  uint64_t entries, hits, misses;
};

struct vdb_cache {
  struct vdb_mem *mem;
  uint64_t mask; /* of buckets */
  unsigned n_locks;
  struct cache_part parts[CACHE_PARTS];
};

static const uint8_t *cache_key_of(const struct cache_entry *e) { return (const uint8_t *)(e + 1); }

static size_t cache_hits_at(size_t n_key) { return (size_t)vdb_round_up(n_key, 16); }

static struct vdb_qhit *cache_hits_of(struct cache_entry *e) {
  return (struct vdb_qhit *)(void *)((uint8_t *)(e + 1) + cache_hits_at(e->n_key));
}

VDB_INTERNAL int vdb_cache_new(struct vdb_mem *mem, uint64_t bytes, struct vdb_cache **out,
                               vecdb_error *err) {
  struct vdb_cache *cache = vdb_alloc_zero(mem, sizeof *cache);
  uint64_t buckets = 4;
  *out = NULL;
  if (!cache)
    return vdb_fail_memory(err);
  while (buckets * CACHE_ENTRY * CACHE_PARTS < bytes)
    buckets *= 2;
  cache->mem = mem;
  cache->mask = buckets - 1;
  for (int i = 0; i < CACHE_PARTS; i++) {
    struct cache_part *part = &cache->parts[i];
    part->limit = bytes / CACHE_PARTS;
    part->buckets = vdb_alloc_zero(mem, (size_t)buckets * sizeof(struct cache_entry *));
    part->seen = vdb_alloc_zero(mem, (size_t)buckets * sizeof *part->seen);
    bool memory = part->buckets && part->seen;
    int os = memory ? vdb_mutex_init(&part->mu) : 0;
    if (!memory || os) {
      vdb_cache_free(cache);
      return os ? vdb_fail_os(err, os, "make", "mutex") : vdb_fail_memory(err);
    }
    cache->n_locks++;
  }
  *out = cache;
  return VECDB_OK;
}

static struct cache_part *cache_part_of(struct vdb_cache *cache, const struct vdb_cache_key *key) {
  return &cache->parts[key->hash >> CACHE_PART_SHIFT];
}

static struct cache_entry **cache_bucket(const struct vdb_cache *cache, struct cache_part *part,
                                         uint64_t hash) {
  return &part->buckets[hash & cache->mask];
}

static struct cache_entry *cache_find(const struct vdb_cache *cache, struct cache_part *part,
                                      const struct vdb_cache_key *key) {
  for (struct cache_entry *e = *cache_bucket(cache, part, key->hash); e; e = e->next)
    if (e->hash == key->hash && e->n_key == key->bytes.n &&
        memcmp(cache_key_of(e), key->bytes.data, key->bytes.n) == 0)
      return e;
  return NULL;
}

static void cache_unlink(struct cache_part *part, struct cache_entry *e) {
  *(e->newer ? &e->newer->older : &part->newest) = e->older;
  *(e->older ? &e->older->newer : &part->oldest) = e->newer;
}

static void cache_link(struct cache_part *part, struct cache_entry *e) {
  e->newer = NULL;
  e->older = part->newest;
  *(e->older ? &e->older->newer : &part->oldest) = e;
  part->newest = e;
}

/* Takes the oldest entry out; NULL when there is none. The lock is held. */
static struct cache_entry *cache_take_oldest(struct vdb_cache *cache, struct cache_part *part) {
  struct cache_entry *e = part->oldest;
  if (!e)
    return NULL;
  struct cache_entry **at = cache_bucket(cache, part, e->hash);
  while (*at != e)
    at = &(*at)->next;
  *at = e->next;
  cache_unlink(part, e);
  part->bytes -= e->bytes;
  part->entries--;
  return e;
}

/* The same, and frees it; its bytes, or 0. */
static uint64_t cache_drop_oldest(struct vdb_cache *cache, struct cache_part *part) {
  struct cache_entry *e = cache_take_oldest(cache, part);
  uint64_t bytes = e ? e->bytes : 0;
  vdb_free(cache->mem, e);
  return bytes;
}

/* Takes out entries until `bytes` more have room, and gives them as a list along `next`. The lock
   is held. */
static struct cache_entry *cache_make_room(struct vdb_cache *cache, struct cache_part *part,
                                           size_t bytes) {
  struct cache_entry *gone = NULL, *e;
  while (part->bytes + bytes > part->limit && (e = cache_take_oldest(cache, part)) != NULL) {
    e->next = gone;
    gone = e;
  }
  return gone;
}

/* A block of `bytes` or somewhat more, of what was taken out if one fits, for a new one costs more
   than all the rest; the others are freed. NULL: no memory. Sets its bytes. */
static struct cache_entry *cache_block(struct vdb_cache *cache, struct cache_entry *gone,
                                       size_t bytes) {
  struct cache_entry *block = NULL, *next;
  for (; gone; gone = next) {
    next = gone->next;
    if (!block && gone->bytes >= bytes && gone->bytes / 2 <= bytes)
      block = gone;
    else
      vdb_free(cache->mem, gone);
  }
  if (block)
    return block;
  block = vdb_alloc(cache->mem, bytes);
  if (block)
    block->bytes = bytes;
  return block;
}

VDB_INTERNAL void vdb_cache_free(struct vdb_cache *cache) {
  if (!cache)
    return;
  for (unsigned i = 0; i < CACHE_PARTS; i++) {
    struct cache_part *part = &cache->parts[i];
    while (cache_drop_oldest(cache, part) > 0)
      ;
    vdb_free(cache->mem, part->buckets);
    vdb_free(cache->mem, part->seen);
    if (i < cache->n_locks)
      vdb_mutex_destroy(&part->mu);
  }
  vdb_free(cache->mem, cache);
}

VDB_INTERNAL void vdb_cache_count(struct vdb_cache *cache, struct vdb_cache_counts *out) {
  *out = (struct vdb_cache_counts){0, 0, 0};
  for (int i = 0; cache && i < CACHE_PARTS; i++) {
    struct cache_part *part = &cache->parts[i];
    vdb_mutex_lock(&part->mu);
    out->hits += part->hits;
    out->misses += part->misses;
    out->entries += part->entries;
    vdb_mutex_unlock(&part->mu);
  }
}

VDB_INTERNAL uint64_t vdb_cache_shrink(struct vdb_cache *cache, uint64_t bytes) {
  uint64_t freed = 0;
  for (int i = 0; i < CACHE_PARTS && freed < bytes; i++) {
    vdb_mutex_lock(&cache->parts[i].mu);
    for (uint64_t one = 1; freed < bytes && one > 0; freed += one)
      one = cache_drop_oldest(cache, &cache->parts[i]);
    vdb_mutex_unlock(&cache->parts[i].mu);
  }
  return freed;
}

VDB_INTERNAL bool vdb_cache_get(struct vdb_cache *cache, const struct vdb_cache_key *key,
                                struct vdb_qhit *hits, size_t room, size_t *n) {
  struct cache_part *part = cache_part_of(cache, key);
  vdb_mutex_lock(&part->mu);
  struct cache_entry *e = cache_find(cache, part, key);
  bool found = e && e->n_hits <= room;
  if (found) {
    *n = e->n_hits;
    memcpy(hits, cache_hits_of(e), e->n_hits * sizeof *hits);
    cache_unlink(part, e);
    cache_link(part, e);
  }
  part->hits += found;
  part->misses += !found;
  vdb_mutex_unlock(&part->mu);
  return found;
}

VDB_INTERNAL bool vdb_cache_has(struct vdb_cache *cache, const struct vdb_cache_key *key) {
  struct cache_part *part = cache_part_of(cache, key);
  vdb_mutex_lock(&part->mu);
  bool found = cache_find(cache, part, key) != NULL;
  vdb_mutex_unlock(&part->mu);
  return found;
}

/* Whether an entry of so many bytes may come in: where others would have to go, only what was
   turned away a moment ago, so that what is asked once costs next to nothing and drives out
   nothing. The lock is held. */
static bool cache_admits(const struct vdb_cache *cache, struct cache_part *part, uint64_t hash,
                         size_t bytes) {
  uint32_t *seen = &part->seen[hash & cache->mask], tag = (uint32_t)(hash >> CACHE_TAG_SHIFT) | 1;
  if (part->bytes + bytes <= part->limit || *seen == tag)
    return true;
  *seen = tag;
  return false;
}

VDB_INTERNAL void vdb_cache_put(struct vdb_cache *cache, const struct vdb_cache_key *key,
                                const struct vdb_qhit *hits, size_t n) {
  struct cache_part *part = cache_part_of(cache, key);
  size_t n_key = key->bytes.n;
  size_t bytes = sizeof(struct cache_entry) + cache_hits_at(n_key) + n * sizeof *hits;
  if (bytes > part->limit / 2)
    return;
  vdb_mutex_lock(&part->mu);
  bool comes = cache_admits(cache, part, key->hash, bytes) &&
               cache_find(cache, part, key) == NULL; /* by another thread, meanwhile */
  struct cache_entry *gone = comes ? cache_make_room(cache, part, bytes) : NULL;
  uint64_t added = part->added;
  vdb_mutex_unlock(&part->mu);
  struct cache_entry *e = comes ? cache_block(cache, gone, bytes) : NULL;
  if (!e)
    return;
  *e = (struct cache_entry){.hash = key->hash, .n_key = n_key, .n_hits = n, .bytes = e->bytes};
  memcpy(e + 1, key->bytes.data, n_key);
  if (n > 0)
    memcpy(cache_hits_of(e), hits, n * sizeof *hits);
  vdb_mutex_lock(&part->mu);
  bool fits = part->bytes + e->bytes <= part->limit &&
              (part->added == added || !cache_find(cache, part, key));
  if (fits) {
    struct cache_entry **bucket = cache_bucket(cache, part, key->hash);
    e->next = *bucket;
    *bucket = e;
    cache_link(part, e);
    part->bytes += e->bytes;
    part->added++;
    part->entries++;
  }
  vdb_mutex_unlock(&part->mu);
  if (!fits)
    vdb_free(cache->mem, e);
}
