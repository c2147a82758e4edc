/*
 * bin_flat.h - BIN_FLAT over rows that are not binary: a scan of all rows in one bit an element
 * (bit_codes.h), the best of which are scored again with the rows. Over binary rows BIN_FLAT is the
 * exact scan (flat.c) and has no file.
 */
#ifndef VDB_BIN_FLAT_H
#define VDB_BIN_FLAT_H

#include "index/index.h"

VDB_INTERNAL const struct vdb_index_ops *vdb_bin_flat_ops(void);

#endif
