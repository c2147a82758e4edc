/*
 * half_rows.h - copies of f32 rows in 16 bits (binary16), to score the best of a search again by:
 * half as many bytes as the rows have. Where all values are such that nothing is lost, keys are
 * those of the rows, bit by bit, and a search need not touch the rows.
 */
#ifndef VDB_HALF_ROWS_H
#define VDB_HALF_ROWS_H

#include "base/par.h"
#include "base/sect.h"
#include "index/vecs.h"

/* Whether nothing is lost; v holds f32. */
VDB_INTERNAL bool vdb_half_lossless(const struct vdb_par *par, const struct vdb_vecs *v);
/* Bytes of a copy. */
VDB_INTERNAL size_t vdb_half_stride(uint32_t dim);
/* Copies of v's rows, borrowed, as they were written: to be compared as v's are. */
VDB_INTERNAL struct vdb_vecs vdb_half_view(const struct vdb_vecs *v, const void *data);
/* Appends the copies to a section that has been begun. */
VDB_INTERNAL int vdb_half_write(struct vdb_mem *mem, const struct vdb_vecs *v,
                                struct vdb_sect_writer *out, vecdb_error *err);

#endif
