/*
 * bin_ivf.h - BIN_IVF over binary rows: lists of rows around binary centroids. The bits of the rows
 * are held once more, list by list, so that a list is read in one piece and keys are exact. Over
 * other rows BIN_IVF is an index of ivf.h whose lists hold a bit an element.
 *
 *   bin_ivf.c        opening, checking, searching
 *   bin_ivf_build.c  centroids, lists, writing
 *
 *   BIVH  struct vdb_bin_ivf_header
 *   BIVC  centroids, bits as rows have them
 *   BIVL  u32 starts[n_lists + 1]: where each list starts among the slots, and the end
 *   BIVR  u32 rows[n], by slot; ascending within a list
 *   BIVB  bits of the rows, by slot
 */
#ifndef VDB_BIN_IVF_H
#define VDB_BIN_IVF_H

#include "index/index.h"

#define VDB_BIN_IVF_TAG VDB_TAG('B', 'I', 'V', 'H')
#define VDB_BIN_IVF_TAG_CENTRES VDB_TAG('B', 'I', 'V', 'C')
#define VDB_BIN_IVF_TAG_STARTS VDB_TAG('B', 'I', 'V', 'L')
#define VDB_BIN_IVF_TAG_ROWS VDB_TAG('B', 'I', 'V', 'R')
#define VDB_BIN_IVF_TAG_BITS VDB_TAG('B', 'I', 'V', 'B')

enum { VDB_BIN_IVF_VERSION = 1 };

struct vdb_bin_ivf_header {
  uint32_t version;
  uint32_t n;
  uint32_t dim;
  int32_t metric;
  uint32_t n_lists; /* 0 only without rows */
  uint32_t zero;
};

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_ivf_ops(void);
/* As vdb_index_ops.build. */
VDB_INTERNAL int vdb_bin_ivf_build(const struct vdb_index_build *b, vecdb_error *err);

#endif
