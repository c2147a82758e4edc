/*
 * walk.h - the kernels of walks over a graph: keys of rows in scalar codes of 4 and 8 bits, and the
 * pool of the nearest so far. Chosen once for the processor, as the tables of kern.h are.
 *
 * A code is `bytes` unsigned bytes: 16, 32 or a multiple of 64. With 8 bits, byte i is element i.
 * With 4 bits, the low half of byte i is element i and the high half element bytes + i: no element
 * has to be moved to where its partner in the query lies. Beside each code stand two factors, and
 *
 *   key = query.add + factor[0] + factor[1] * (query.weight * sum + query.shift)
 *
 * with the integer sum of code times query.t over all elements.
 *
 * A sketch has one bit an element, its sign, and costs a fraction of a code's lines: enough to tell
 * that most rows are too far. It is `words` words of 64 bits, element i in bit i % 64 of word
 * i / 64, and two factors. The query's elements are rounded to 5 bits, with sign, and
 *
 *   bound = query.add + factor[0] + factor[1] * (query.weight * sum + query.shift)
 *
 * with the integer sum of the query's elements whose bits are set.
 */
#ifndef VDB_WALK_H
#define VDB_WALK_H

#include "base/base.h"

struct vdb_walk_codes {
  const uint8_t *codes; /* code i at codes + i * bytes */
  size_t bytes;
  const float *factors; /* of code i at factors + 2 * i */
};

enum { VDB_WALK_T_ROOM = 64 }; /* bytes that must be readable behind the elements of a query */

struct vdb_walk_query {
  const int8_t *t; /* bytes elements, or twice that with 4 bits; 0 where codes are padded */
  float weight;
  float shift;
  float add;
};

struct vdb_walk_sketches {
  const uint64_t *rows; /* sketch i at rows + i * stride */
  size_t stride;        /* in words, a multiple of 8: whole lines are read */
  size_t words;         /* of bits; the factors are in the word behind */
};

struct vdb_walk_sketch_query {
  const int8_t *t; /* what `spread` made of the elements, 64-byte aligned */
  float weight;
  float shift;
  float add;
};

enum { VDB_WALK_SPREAD_STEP = 8 }; /* of elements, when they are rounded for sketches */

/* Bytes of a query for sketches of so many words. */
VDB_INLINE size_t vdb_walk_spread_bytes(size_t words) { return (words + 3) / 4 * 256; }

/*
 * The nearest nodes so far, nearest first. An item is the key of the node, made to sort as an
 * integer, above the node's number and a flag in the lowest bit, which is the caller's. Ties are
 * thus broken by number. Items from n on are UINT64_MAX, up to a multiple of 8 above width.
 */
struct vdb_walk_pool {
  uint64_t *items; /* 64-byte aligned */
  size_t n;
  size_t width;    /* kept at most; not 0 */
  size_t capacity; /* of items, a multiple of 8 */
};

struct vdb_walk_kern {
  const char *name; /* "scalar", "avx2", "avx512", "avx512vnni", "neon" */
  /* Keys of n codes. `factors` holds the two of each of them; NULL: they are looked up. */
  void (*keys4)(const struct vdb_walk_codes *codes, const struct vdb_walk_query *query,
                const uint32_t *ids, const float *factors, size_t n, float *keys);
  void (*keys8)(const struct vdb_walk_codes *codes, const struct vdb_walk_query *query,
                const uint32_t *ids, const float *factors, size_t n, float *keys);
  /* Factors from pairs of f16, the first in the low half, times `by`; n a multiple of 4. */
  void (*widen)(const uint32_t *pairs, size_t n, float by, float *factors);
  /* Rounds n values x * by, n a multiple of 16, to 8 bits; their sum. Those outside -127 to
     127, and NaN, become one of these. */
  int32_t (*narrow)(const float *x, size_t n, float by, int8_t *t);
  /* Rounds 64 * words elements to 5 bits and puts them in the order in which `sift` of this table
     wants them; fills vdb_walk_spread_bytes(words) and returns their sum. */
  int32_t (*spread)(const int8_t *t, size_t words, int8_t *out);
  /* Keeps those of n ids whose bound is not above `limit`, in their order, and of `beside`, which
     may be `ids`, what stands beside them; how many. */
  size_t (*sift)(const struct vdb_walk_sketches *sketches,
                 const struct vdb_walk_sketch_query *query, uint32_t *ids, uint32_t *beside,
                 size_t n, float limit);
  /* Offers n nodes to a pool; the first place that changed, or the number of items if none did. */
  size_t (*offer)(struct vdb_walk_pool *pool, const uint32_t *nodes, const float *keys, size_t n);
};

/* The table that goes with vdb_kern(). Any thread. */
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern(void);
/* The table that goes with vdb_kern_available(i), or NULL past the last; for tests. */
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_available(size_t i);

/* offer in plain C. */
VDB_INTERNAL size_t vdb_walk_offer(struct vdb_walk_pool *pool, const uint32_t *nodes,
                                   const float *keys, size_t n);

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_scalar(void);
#if defined(__x86_64__)
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx2(void);
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx512(void);
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx512vnni(void);
#elif defined(__aarch64__)
VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_neon(void);
#endif

/* An element rounded to 5 bits, -16 to 15. */
VDB_INLINE int vdb_walk_5_bits(int8_t t) {
  int up = t + VDB_WALK_SPREAD_STEP / 2;
  return ((up < 127 ? up : 127) + 128) / VDB_WALK_SPREAD_STEP - 16;
}

/* Smaller floats give smaller numbers; -0 equals 0, and NaN (of damaged rows) comes last. */
VDB_INLINE uint32_t vdb_walk_sortable(float key) {
  uint32_t bits;
  float plain = key == key ? key + 0.0f : __builtin_nanf("");
  memcpy(&bits, &plain, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

VDB_INLINE uint64_t vdb_walk_item(float key, uint32_t node) {
  return (uint64_t)vdb_walk_sortable(key) << 32 | (uint64_t)node << 1;
}

VDB_INLINE uint32_t vdb_walk_item_node(uint64_t item) { return (uint32_t)item >> 1; }

VDB_INLINE float vdb_walk_item_key(uint64_t item) {
  uint32_t bits = (uint32_t)(item >> 32);
  bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
  float key;
  memcpy(&key, &bits, sizeof key);
  return key;
}

/* Whether a pool would take the item. */
VDB_INLINE bool vdb_walk_pool_wants(const struct vdb_walk_pool *pool, uint64_t item) {
  return item < pool->items[pool->width - 1];
}

/* Puts an item that the pool wants in its place, which is returned; the last may fall out. */
VDB_INLINE size_t vdb_walk_pool_add(struct vdb_walk_pool *pool, uint64_t item) {
  const uint64_t *low = pool->items;
  for (size_t n = pool->n; n > 0;) {
    size_t half = n / 2;
    bool right = low[half] < item;
    low = right ? low + half + 1 : low;
    n = right ? n - half - 1 : half;
  }
  size_t at = (size_t)(low - pool->items);
  pool->n += pool->n < pool->width;
  memmove(pool->items + at + 1, pool->items + at, (pool->n - at - 1) * sizeof *pool->items);
  pool->items[at] = item;
  return at;
}

#endif
