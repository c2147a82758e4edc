/*
 * sq_rotate.h - a random rotation that takes O(d log d): three rounds of random signs and a fast
 * Hadamard transform, on the first, the last and again the first power of two of the elements. It
 * spreads what a vector holds evenly over its elements, so that few bits for each will do (Ailon
 * and Chazelle, The fast Johnson-Lindenstrauss transform, 2009).
 */
#ifndef VDB_SQ_ROTATE_H
#define VDB_SQ_ROTATE_H

#include "base/base.h"

enum { VDB_SQ_ROUNDS = 3 };

/* Fills signs, VDB_SQ_ROUNDS * dim numbers. */
VDB_INTERNAL void vdb_sq_signs(uint64_t seed, uint32_t dim, uint32_t *signs);
/* Rotates x, dim elements, in place. */
VDB_INTERNAL void vdb_sq_rotate(const uint32_t *signs, uint32_t dim, float *x);

#endif
