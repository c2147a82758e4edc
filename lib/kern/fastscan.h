/*
 * fastscan.h - keys of 32 coded rows at a time, by look-ups in registers: each row is m small
 * numbers (sub-codes), a query is a table of bytes for each place, and a row's sum of look-ups
 * stands for its distance. After André, Kermarrec and Le Scouarnec, Cache locality is not enough:
 * high-performance nearest neighbor search with product quantization fast scan (2015); the layout
 * of Guo et al.'s ScaNN (2020) and FAISS.
 *
 * Two kinds of sub-code: nibbles (16 values) and bytes (256). A block of 32 rows is
 *
 *   nibbles  for each sub-code 16 bytes: byte 2i + h holds row 8h + i in its low half, and row
 *            16 + 8h + i in its high half (i < 8, h < 2). Up to a multiple of 4 sub-codes are
 *            added, which nobody looks up: their tables are zeroes.
 *   bytes    for each sub-code 32 bytes, row i's at i. Up to a multiple of 2 sub-codes are added.
 *   add      32 f16, of a row each
 *   rescale  32 f16, only in quantizers that say so
 *
 * and padded to 64 bytes. The key of a row is
 *
 *   base + add + rescale * (q->scale * sum + q->offset)      (without rescale: 1)
 *
 * Free slots have add = infinity, so that no bound lets them pass. Whatever the bytes of a block,
 * reading it is safe; keys may then be NaN, which passes no bound either.
 *
 * Nibble sums are integers, and equal in every table; keys may differ in their last bits.
 */
#ifndef VDB_FASTSCAN_H
#define VDB_FASTSCAN_H

#include "base/base.h"

enum { VDB_SCAN_ROWS = 32 };

/* A query's table. No sum over all sub-codes may exceed 65,535. */
struct vdb_scan_table {
  const uint8_t *lut; /* nibbles: 16 bytes for each sub-code, bytes: 256; 64-byte aligned */
  uint32_t m;         /* sub-codes, those added counted */
  uint32_t depth;     /* nibbles: look-ups that fit a byte when summed, 8, 4 or 1: no entry is above
                         255 / depth */
  bool rescaled;      /* blocks have factors `rescale` */
  float scale, offset;
};

/* Keys of the 32 rows of a block, and the set of those below `bound` (bit i: row i). Keys are
   written when there is one; else they are undefined. */
typedef uint32_t (*vdb_scan_fn)(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                float bound, float keys[VDB_SCAN_ROWS]);

struct vdb_fastscan {
  const char *name;
  vdb_scan_fn nibbles;
  vdb_scan_fn bytes;
  /* The sums alone. */
  void (*nibble_sums)(const struct vdb_scan_table *q, const uint8_t *block,
                      uint16_t sums[VDB_SCAN_ROWS]);
  void (*byte_sums)(const struct vdb_scan_table *q, const uint8_t *block,
                    uint16_t sums[VDB_SCAN_ROWS]);
};

/* The one that goes with vdb_kern(). Any thread. */
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan(void);
/* The i-th that this processor can run (0: scalar), or NULL past the last; for tests. */
VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_available(size_t i);

/* Bytes of a block up to its factors: of sub-codes, m without those added. */
VDB_INLINE size_t vdb_scan_nibbles_bytes(size_t m) { return vdb_round_up(m, 4) * 16; }
VDB_INLINE size_t vdb_scan_bytes_bytes(size_t m) { return vdb_round_up(m, 2) * VDB_SCAN_ROWS; }

#endif
