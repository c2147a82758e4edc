/*
 * rotate.h - the transform before quantization: y = R (x - mean) * scale. Distances between
 * transformed rows are those between rows times scale^2 (L2); R is orthogonal and one of
 *
 *   none     R is the identity
 *   random   three rounds of seeded sign flips and a Hadamard transform, of the first, the last and
 *            again the first 2^k dimensions, 2^k the largest power of two that is not above dim; so
 *            that dim needs no padding and a row costs O(dim log dim). It spreads what a vector
 *            holds evenly over its elements, so that few bits for each will do (Ailon and Chazelle,
 *            The fast Johnson-Lindenstrauss transform, 2009)
 *   learned  a dim x dim matrix that suits a product quantizer: Ge, He, Ke and Sun, Optimized
 *            product quantization (2013); its training is in opq.h
 */
#ifndef VDB_ROTATE_H
#define VDB_ROTATE_H

#include "base/err.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/sect.h"

enum vdb_rotation { VDB_ROTATE_NONE, VDB_ROTATE_RANDOM, VDB_ROTATE_LEARNED };

struct vdb_transform {
  enum vdb_rotation rotation;
  uint32_t dim;
  float scale;           /* finite and above 0 */
  float *mean;           /* dim */
  const uint32_t *signs; /* RANDOM: as vdb_linear()->rotate takes them */
  const float *matrix;   /* LEARNED: dim rows of R */
};

/* Fills the signs of a random rotation, as vdb_linear()->rotate takes them: VDB_LINEAR_ROUNDS * dim
   numbers. */
VDB_INTERNAL void vdb_rotate_signs(uint64_t seed, uint32_t dim, uint32_t *signs);

/* A transform with mean 0 and scale 1, to be closed. `matrix` is copied (LEARNED), else NULL.
   NO_MEMORY. */
VDB_INTERNAL int vdb_transform_new(struct vdb_mem *mem, enum vdb_rotation rotation, uint32_t dim,
                                   uint64_t seed, const float *matrix, struct vdb_transform **out,
                                   vecdb_error *err);
/* Learns mean and scale from n rows, f32, one behind the other: scale makes the mean norm 1 after
   the mean (if `centred`, else 0) is taken off. Rows that are all equal, or no rows: scale 1. */
VDB_INTERNAL void vdb_transform_fit(struct vdb_transform *t, const float *rows, size_t n,
                                    bool centred);
VDB_INTERNAL void vdb_transform_close(struct vdb_mem *mem, struct vdb_transform *t);
/* y = R (x - mean) * scale; x and y have dim floats and may be the same memory except for LEARNED.
   Any thread. */
VDB_INTERNAL void vdb_transform_apply(const struct vdb_transform *t, const float *x, float *y);
/* y = R x: for vectors that are differences. */
VDB_INTERNAL void vdb_transform_rotate(const struct vdb_transform *t, const float *x, float *y);

/* One section, tag VTRF. Opening checks sizes and numbers against dim: CORRUPT. The section stays
   borrowed, and fit must not be called. */
VDB_INTERNAL int vdb_transform_write(const struct vdb_transform *t, struct vdb_sect_writer *out,
                                     uint32_t number, vecdb_error *err);
VDB_INTERNAL int vdb_transform_open(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                                    uint32_t number, uint32_t dim, struct vdb_transform **out,
                                    vecdb_error *err);

#endif
