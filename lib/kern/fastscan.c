/*
 * fastscan.c - the choice among the fast scans, and the plain one, which is the truth for the
 * others; see fastscan.h.
 */
#include "fastscan.h"

#include <stdatomic.h>

#include "scan_tables.h"

/* ---- Plain C --------------------------------------------------------------------------------- */

static void scan_nibble_sums_scalar(const struct vdb_scan_table *q, const uint8_t *block,
                                    uint16_t sums[VDB_SCAN_ROWS]) {
  memset(sums, 0, VDB_SCAN_ROWS * sizeof *sums);
  for (size_t j = 0; j < q->m; j++)
    for (size_t b = 0; b < 16; b++) {
      uint8_t pair = block[j * 16 + b];
      size_t row = b % 2 * 8 + b / 2;
      sums[row] = (uint16_t)(sums[row] + q->lut[j * 16 + (pair & 15)]);
      sums[row + 16] = (uint16_t)(sums[row + 16] + q->lut[j * 16 + (pair >> 4)]);
    }
}

VDB_INTERNAL void vdb_scan_byte_sums(const struct vdb_scan_table *q, const uint8_t *block,
                                     uint16_t sums[VDB_SCAN_ROWS]) {
  uint32_t wide[VDB_SCAN_ROWS] = {0};
  for (size_t j = 0; j < q->m; j++)
    for (size_t row = 0; row < VDB_SCAN_ROWS; row++)
      wide[row] += q->lut[j * 256 + block[j * VDB_SCAN_ROWS + row]];
  for (size_t row = 0; row < VDB_SCAN_ROWS; row++)
    sums[row] = (uint16_t)wide[row];
}

/* Keys from sums; `factors` is what follows the sub-codes of a block. */
static uint32_t scan_keys_scalar(const struct vdb_scan_table *q, const uint8_t *factors,
                                 const uint16_t *sums, float base, float bound, float *keys) {
  float add[VDB_SCAN_ROWS], rescale[VDB_SCAN_ROWS];
  const struct vdb_kern_table *kern = vdb_kern_scalar();
  const void *second = factors + VDB_SCAN_ROWS * 2, *first = factors;
  uint32_t below = 0;
  kern->f16_to_f32(first, add, VDB_SCAN_ROWS);
  if (q->rescaled)
    kern->f16_to_f32(second, rescale, VDB_SCAN_ROWS);
  for (size_t row = 0; row < VDB_SCAN_ROWS; row++) {
    float value = q->scale * (float)sums[row] + q->offset;
    keys[row] = base + add[row] + (q->rescaled ? rescale[row] * value : value);
    below |= (uint32_t)(keys[row] < bound) << row;
  }
  return below;
}

static uint32_t scan_nibbles_scalar(const struct vdb_scan_table *q, const uint8_t *block,
                                    float base, float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  scan_nibble_sums_scalar(q, block, sums);
  return scan_keys_scalar(q, block + (size_t)q->m * 16, sums, base, bound, keys);
}

static uint32_t scan_bytes_scalar(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                  float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  vdb_scan_byte_sums(q, block, sums);
  return scan_keys_scalar(q, block + (size_t)q->m * VDB_SCAN_ROWS, sums, base, bound, keys);
}

static const struct vdb_fastscan *scan_scalar(void) {
  static const struct vdb_fastscan table = {.name = "scalar",
                                            .nibbles = scan_nibbles_scalar,
                                            .bytes = scan_bytes_scalar,
                                            .nibble_sums = scan_nibble_sums_scalar,
                                            .byte_sums = vdb_scan_byte_sums};
  return &table;
}

/* ---- Choice ---------------------------------------------------------------------------------- */

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_available(size_t i) {
  const struct vdb_fastscan *have[4] = {scan_scalar()};
  size_t n = 1;
  unsigned bits = vdb_cpu_bits();
  (void)bits;
#if defined(__x86_64__)
  if (bits & VDB_CPU_AVX2)
    have[n++] = vdb_fastscan_avx2();
  if (bits & VDB_CPU_AVX512)
    have[n++] = vdb_fastscan_avx512();
  if (bits & VDB_CPU_VBMI)
    have[n++] = vdb_fastscan_avx512vbmi();
#elif defined(__aarch64__)
  if (bits & VDB_CPU_NEON)
    have[n++] = vdb_fastscan_neon();
#endif
  return i < n ? have[i] : NULL;
}

/* The one named as the table of distance kernels in use; where that is AVX-512 with more, the last
   of AVX-512. */
static const struct vdb_fastscan *scan_choose(void) {
  const char *kern = vdb_kern()->name, *group = "avx512";
  bool more = strncmp(kern, group, strlen(group)) == 0 && strcmp(kern, group) != 0;
  const struct vdb_fastscan *best = scan_scalar(), *scan;
  for (size_t i = 0; (scan = vdb_fastscan_available(i)) != NULL; i++)
    if (more ? strncmp(scan->name, group, strlen(group)) == 0 : strcmp(scan->name, kern) == 0)
      best = scan;
  return best;
}

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan(void) {
  static const struct vdb_fastscan *_Atomic scan_chosen;
  const struct vdb_fastscan *scan = atomic_load_explicit(&scan_chosen, memory_order_acquire);
  if (VDB_UNLIKELY(scan == NULL)) {
    scan = scan_choose();
    atomic_store_explicit(&scan_chosen, scan, memory_order_release);
  }
  return scan;
}
