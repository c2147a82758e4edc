/*
 * bin_ivf.h - BIN_IVF over binary rows: lists of rows around binary centroids. The bits of the rows
 * are held once more, list by list, so that a list is read in one piece and keys are exact. Over
 * other rows BIN_IVF is an index of ivf.h whose lists hold a bit an element.
 *
 *   bin_ivf.c        opening, checking, searching
 *   bin_ivf_build.c  centroids, lists, writing
 *
 *   BIVH  struct vdb_bin_ivf_header
 *   BIVC  centroids, in blocks
 *   BIVL  u32 starts[n_lists + 1]: the first block of each list, and the end
 *   BIVR  u32 rows, by slot, 32 a block; ascending within a list, then VDB_BIN_IVF_FREE
 *   BIVB  bits of the rows, in blocks
 *
 * A block is 32 rows turned (kern/bits.h) and, for JACCARD, u16 ones[32]: how many of the bits of
 * each are set. Format 1 had all rows and centroids as they are, one after the other, and starts
 * counted in rows.
 */
#ifndef VDB_BIN_IVF_H
#define VDB_BIN_IVF_H

#include "index/index.h"
#include "kern/bits.h"

#define VDB_BIN_IVF_TAG VDB_TAG('B', 'I', 'V', 'H')
#define VDB_BIN_IVF_TAG_CENTRES VDB_TAG('B', 'I', 'V', 'C')
#define VDB_BIN_IVF_TAG_STARTS VDB_TAG('B', 'I', 'V', 'L')
#define VDB_BIN_IVF_TAG_ROWS VDB_TAG('B', 'I', 'V', 'R')
#define VDB_BIN_IVF_TAG_BITS VDB_TAG('B', 'I', 'V', 'B')

enum { VDB_BIN_IVF_VERSION = 2, VDB_BIN_IVF_VERSION_ROWS = 1 };
#define VDB_BIN_IVF_FREE UINT32_MAX

struct vdb_bin_ivf_header {
  uint32_t version;
  uint32_t n;
  uint32_t dim;
  int32_t metric;
  uint32_t n_lists; /* 0 only without rows */
  uint32_t n_blocks; /* of all lists; format 1: 0 */
};

/* Bytes of a block, and how many blocks so many rows take. */
VDB_INLINE size_t vdb_bin_ivf_block_bytes(uint32_t dim, int32_t metric) {
  size_t ones = metric == VECDB_JACCARD ? VDB_BITS_ROWS * sizeof(uint16_t) : 0;
  return VDB_BITS_ROWS * vdb_elem_row_bytes(VDB_BITS, dim) + ones;
}
VDB_INLINE uint32_t vdb_bin_ivf_blocks(uint32_t rows) {
  return (uint32_t)(vdb_round_up(rows, VDB_BITS_ROWS) / VDB_BITS_ROWS);
}

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_ivf_ops(void);
/* As vdb_index_ops.build. */
VDB_INTERNAL int vdb_bin_ivf_build(const struct vdb_index_build *b, vecdb_error *err);

#endif
