/*
 * topk.h - the k nearest of a stream of candidates: a bounded max-heap. A candidate's key is a
 * float, smaller is nearer; ties are broken by row, so results do not depend on the order of
 * arrival.
 */
#ifndef VDB_TOPK_H
#define VDB_TOPK_H

#include "base.h"

struct vdb_near {
  float key;
  uint32_t row;
};

VDB_INLINE bool vdb_near_before(struct vdb_near a, struct vdb_near b) {
  return a.key < b.key || (a.key == b.key && a.row < b.row);
}

/* `items` has room for `k`; the caller owns it. Start with n = 0. */
struct vdb_topk {
  struct vdb_near *items; /* a heap, farthest first */
  size_t k;
  size_t n;
};

/* Adds a candidate if it is among the k nearest so far. */
VDB_INTERNAL void vdb_topk_push(struct vdb_topk *top, struct vdb_near candidate);
/* Sorts the items, nearest first; the heap is then over. */
VDB_INTERNAL void vdb_topk_sort(struct vdb_topk *top);
/* Sorts n candidates, nearest first. */
VDB_INTERNAL void vdb_near_sort(struct vdb_near *items, size_t n);

/* Brings the k nearest of n candidates to the front, the k-th last of them; 0 < k <= n. */
VDB_INTERNAL void vdb_near_select(struct vdb_near *items, size_t n, size_t k);

/* The key that a candidate must not exceed to get in; infinity while there is room. */
VDB_INLINE float vdb_topk_bound(const struct vdb_topk *top) {
  return top->n < top->k ? __builtin_inff() : top->items[0].key;
}

#endif
