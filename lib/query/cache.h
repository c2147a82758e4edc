/*
 * cache.h - results of searches that are asked again. A result is found by the bytes of its key,
 * all of which are compared: what was asked (query bits, filter text, values bound to it, every
 * option) and of what (the collection as it is loaded, its schema, the last write seen, and each
 * segment with its rows and index file). So nothing has to be thrown away when data changes: a key
 * of before is never asked for again, and what nobody asks for goes first when room is short. What
 * changes without a write, by rows that expire, is not kept at all.
 *
 * Any number of threads at once. Locks are held for moments, and none within another; memory is
 * never asked for under them, so that it can be had back from here (vdb_cache_shrink) wherever
 * there is none left.
 */
#ifndef VDB_CACHE_H
#define VDB_CACHE_H

#include "query/hits.h"
#include "query/request.h"

struct vdb_cache;

struct vdb_cache_counts {
  uint64_t hits, misses, entries;
};

/* A cache of at most so many bytes, 4,096 or more. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_cache_new(struct vdb_mem *mem, uint64_t bytes, struct vdb_cache **out,
                               vecdb_error *err);
VDB_INTERNAL void vdb_cache_free(struct vdb_cache *cache);
VDB_INTERNAL void vdb_cache_count(struct vdb_cache *cache, struct vdb_cache_counts *out);
/* Frees at least so many bytes, or all that there are; what it freed. */
VDB_INTERNAL uint64_t vdb_cache_shrink(struct vdb_cache *cache, uint64_t bytes);

/* A key with its hash, which is worked out once for all calls. */
struct vdb_cache_key {
  struct vdb_bytes bytes;
  uint64_t hash;
};

/* Whether there is a result for the key: its hits, of which there are at most `room`. */
VDB_INTERNAL bool vdb_cache_get(struct vdb_cache *cache, const struct vdb_cache_key *key,
                                struct vdb_qhit *hits, size_t room, size_t *n);
/* Whether there is one; counts nothing and changes no order. */
VDB_INTERNAL bool vdb_cache_has(struct vdb_cache *cache, const struct vdb_cache_key *key);
/* Keeps a result, if there is room and memory for it; where others would have to go, only from the
   second time on that it is offered. */
VDB_INTERNAL void vdb_cache_put(struct vdb_cache *cache, const struct vdb_cache_key *key,
                                const struct vdb_qhit *hits, size_t n);

/* cache_key.c: the key of a checked request for the nearest rows of one query; params are those it
   was made of. Its bytes are those of `out`. False: such a result is not kept, or there is no
   memory. */
VDB_INTERNAL bool vdb_cache_key_make(const struct vdb_request *r,
                                     const vecdb_search_params *params, struct vdb_writer *out,
                                     struct vdb_cache_key *key);

#endif
