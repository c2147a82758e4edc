/*
 * sq.h - scalar codes: elements in 8 or 4 bits, of rows that are centred and rotated (sq_rotate.h),
 * with a scale for each row. With r the centred row and c its code less the middle of the range,
 *
 *   <q, r> is estimated as f <q, c>,   f = |r|^2 / <r, c>,
 *
 * which is right on average over rotations (Gao et al., RaBitQ, 2024). A query is centred, rotated
 * and rounded to 8 bits; what is left is an integer sum and two factors of the row (kern/walk.h).
 */
#ifndef VDB_SQ_H
#define VDB_SQ_H

#include "index/codes.h"
#include "kern/walk.h"

VDB_INTERNAL const struct vdb_codes_ops *vdb_sq8_ops(void);
VDB_INTERNAL const struct vdb_codes_ops *vdb_sq4_ops(void);

/* Makes a row in 8-bit codes that were made, not opened, a query among `codes`: these same codes,
   and then keys are the same from either side, or 4-bit ones made of the same rows with the same
   seed. Room as for a query of `codes`, and of `rows`. */
VDB_INTERNAL void vdb_sq_row_query(const struct vdb_codes *rows, uint32_t row,
                                   const struct vdb_codes *codes, void *out);

#endif
