/*
 * tile.h - all inner products of two sets of float rows: what k-means, the coarse quantizers and
 * batches of exact queries spend their time in. Like a product of matrices, each row is read from
 * memory once for many rows of the other set.
 *
 * Every table of kernels gives the same bits, and a result depends on nothing but its two rows:
 * within 256 elements products are added in order, each with one rounding (fused), then the sums of
 * the 256s are added in order. With BLAS=1, OpenBLAS does the work instead, unless VECDB_KERN names
 * a table: its results may differ in the last bits between processors and with the number of rows.
 * It is told to use one thread, in the whole process: work is spread by our callers.
 */
#ifndef VDB_TILE_H
#define VDB_TILE_H

#include "kern/kern.h"

/* n rows, `stride` floats apart, aligned as floats are. */
struct vdb_tile_rows {
  const float *data;
  size_t stride;
  size_t n;
};

/* out[i * b->n + j] becomes the inner product of row i of a and row j of b. Any thread. */
VDB_INTERNAL void vdb_tile_dot(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                               size_t dim, float *out);

/* The same in two steps, which is faster where b meets many sets of rows a: b is packed once into
   `packed`, 64-byte aligned, with room for vdb_tile_packed_floats(b->n, dim). */
VDB_INTERNAL size_t vdb_tile_packed_floats(size_t n, size_t dim);
VDB_INTERNAL void vdb_tile_pack(const struct vdb_tile_rows *b, size_t dim, float *packed);
VDB_INTERNAL void vdb_tile_dot_packed(const struct vdb_tile_rows *a, const float *packed, size_t nb,
                                      size_t dim, float *out);

/* Whether the products take less time than row by row: not with the scalar kernels. */
VDB_INTERNAL bool vdb_tile_fast(void);
/* Whether OpenBLAS does it. */
VDB_INTERNAL bool vdb_tile_by_blas(void);
/* vdb_tile_dot with the kernels of one table; for tests and measurements. */
VDB_INTERNAL void vdb_tile_dot_by(const struct vdb_kern_table *table,
                                  const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                                  size_t dim, float *out);

#endif
