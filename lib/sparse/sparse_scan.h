/*
 * sparse_scan.h - the exact scan of sparse rows: each is compared with the query, pair by pair. A
 * row that has no index in common with the query is no hit. Products are exact in double, sums go
 * in the order of the indices, and are rounded to float once; searches of the inverted index do the
 * same, so that both give the same scores, bit by bit.
 */
#ifndef VDB_SPARSE_SCAN_H
#define VDB_SPARSE_SCAN_H

#include "attr/sparse.h"
#include "index/index.h"

/* The inner product of two checked vectors; false: no index in common. */
VDB_INTERNAL bool vdb_sparse_dot(const vecdb_sparse *query, struct vdb_bytes row, double *out);

/* Offers one row with its inner product to s->top. */
VDB_INLINE void vdb_sparse_offer(struct vdb_search *s, uint32_t row, double product) {
  s->distances++;
  vdb_flat_offer(s, row, (float)-product);
}

/* Offers the allowed ones of the n rows of a column, as row `base` + i; several scans may fill one
   top, so it is not sorted here. `allow` counts from row 0 of the column. */
VDB_INTERNAL void vdb_sparse_scan(const struct vdb_column *column, uint32_t n, uint32_t base,
                                  struct vdb_search *s);

#endif
