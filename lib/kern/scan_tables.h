/* scan_tables.h - what the files of the fast scan share: the tables of the instruction sets. */
#ifndef VDB_SCAN_TABLES_H
#define VDB_SCAN_TABLES_H

#include "cpu.h"
#include "fastscan.h"

#if defined(__x86_64__)
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx2(void);
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx512(void);
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx512vbmi(void);
#elif defined(__aarch64__)
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_neon(void);
#endif

/* Sums of bytes in plain C, for instruction sets without a look-up in 256 entries. */
VDB_INTERNAL void vdb_scan_byte_sums(const struct vdb_scan_table *q, const uint8_t *block,
                                     uint16_t sums[VDB_SCAN_ROWS]);

#endif
