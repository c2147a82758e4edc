/*
 * rabitq.h - one bit per dimension: Gao and Long, RaBitQ: quantizing high-dimensional vectors with
 * a theoretical error bound for approximate nearest neighbor search (2024). The code of a residual
 * r is the sign of each of its dimensions, which must have been rotated at random; x~ is the vector
 * of halves with those signs. With S1 = <r, x~> and S2 = <c, x~>
 *
 *   <q - c, r> is estimated by |r|^2 / S1 * <q - c, x~>
 *
 * without bias, and as <q - c, x~> = <q, x~> - S2, tables need no centre:
 *
 *   L2   add = |r|^2 + 2 |r|^2 S2 / S1         rescale = -2 |r|^2 / S1
 *   IP   add = |r|^2 S2 / S1 - <c, r>          rescale = -|r|^2 / S1
 *
 * Four dimensions are a nibble of a fast-scan block. An estimate is off by more than error * |q -
 * c| in about 6 % of all cases (1.9 standard deviations).
 */
#ifndef VDB_RABITQ_H
#define VDB_RABITQ_H

#include "index/quant.h"

/* There is nothing to learn: one-bit quantizers of the same dim and metric are equal, and write no
   section. Any dim from 1. NO_MEMORY. */
VDB_INTERNAL int vdb_rabitq_new(struct vdb_mem *mem, uint32_t dim, int32_t metric,
                                struct vdb_quant **out, vecdb_error *err);

#endif
