/*
 * sparse.h - sparse vectors as they are given and stored: packed pairs of a u32 index and a float.
 * Indices ascend strictly, values are finite, and so is the squared norm as a float, so that no
 * inner product of two overflows one.
 */
#ifndef VDB_SPARSE_H
#define VDB_SPARSE_H

#include "attr/column.h"

_Static_assert(sizeof(vecdb_sparse_pair) == 8, "pairs are stored as they are");

/* Pair i of packed pairs, which may be unaligned. */
VDB_INLINE vecdb_sparse_pair vdb_sparse_at(const void *pairs, size_t i) {
  vecdb_sparse_pair pair;
  memcpy(&pair, (const uint8_t *)pairs + i * sizeof pair, sizeof pair);
  return pair;
}

/* How many pairs a stored value has. */
VDB_INLINE size_t vdb_sparse_count(struct vdb_bytes value) {
  return value.n / sizeof(vecdb_sparse_pair);
}

/* The first of n pairs whose index is at least `index`; n: none. */
VDB_INLINE size_t vdb_sparse_lower(const void *pairs, size_t n, uint32_t index) {
  size_t low = 0;
  while (low < n) {
    size_t middle = low + (n - low) / 2;
    if (vdb_sparse_at(pairs, middle).index < index)
      low = middle + 1;
    else
      n = middle;
  }
  return low;
}
VDB_INLINE bool vdb_sparse_has(struct vdb_bytes value, uint32_t index) {
  size_t n = vdb_sparse_count(value), at = vdb_sparse_lower(value.data, n, index);
  return at < n && vdb_sparse_at(value.data, at).index == index;
}

/* Checks number and pointer, without looking at the pairs. Errors, naming field and row: TOO_LONG,
   ARGUMENT. */
VDB_INTERNAL int vdb_sparse_shape(const struct vdb_field *field, const void *pairs, size_t n,
                                  int64_t row, vecdb_error *err);
/* Checks the pairs, whose shape must have been checked. Errors, naming field and row: SPARSE,
   NOT_FINITE, OVERFLOW. */
VDB_INTERNAL int vdb_sparse_check(const struct vdb_field *field, const void *pairs, size_t n,
                                  int64_t row, vecdb_error *err);
/* Both checks of a value from a file; SPARSE too where it does not end with a pair. */
VDB_INTERNAL int vdb_sparse_check_stored(const struct vdb_field *field, struct vdb_bytes value,
                                         int64_t row, vecdb_error *err);

#endif
