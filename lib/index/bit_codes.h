/*
 * bit_codes.h - rows that are not binary in one bit an element, as codes to walk among or to scan
 * (codes.h): after Gao and Long, RaBitQ (2024). With r the row less the mean of all rows, rotated
 * at random, and s the signs of its elements, 1 or -1,
 *
 *   <q', r> is estimated as |r|^2 / sum |r_i| * <q', s>
 *
 * which is right on average over rotations; q' is the query less the same mean, rotated, in 4 bits
 * an element. These are four vectors of signs, so <q', s> is four Hamming distances.
 */
#ifndef VDB_BIT_CODES_H
#define VDB_BIT_CODES_H

#include "index/codes.h"

/* Of the parameters `rotation` counts: NONE leaves rows as they are. */
VDB_INTERNAL const struct vdb_codes_ops *vdb_bit_codes_ops(void);

#endif
