/*
 * fastscan_neon.c - fast scan with NEON: one sub-code of 32 rows a step, or 16 rows in 256 entries
 * by four look-ups of 64; see fastscan.h.
 */
#include "scan_tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* Sums of rows 0 to 7, 8 to 15, and so on: even bytes of a step are the first, odd the second. */
static void scan_nibble_sums_neon(const struct vdb_scan_table *q, const uint8_t *block,
                                  uint16_t *sums) {
  uint16x8_t both_a = vdupq_n_u16(0), odd_a = both_a, both_b = both_a, odd_b = both_a;
  for (size_t j = 0; j < q->m;) {
    uint8x16_t bytes_a = vdupq_n_u8(0), bytes_b = bytes_a;
    for (size_t stop = vdb_min_size(q->m, j + q->depth); j < stop; j++) {
      uint8x16_t codes = vld1q_u8(block + j * 16), table = vld1q_u8(q->lut + j * 16);
      bytes_a = vaddq_u8(bytes_a, vqtbl1q_u8(table, vandq_u8(codes, vdupq_n_u8(15))));
      bytes_b = vaddq_u8(bytes_b, vqtbl1q_u8(table, vshrq_n_u8(codes, 4)));
    }
    both_a = vaddq_u16(both_a, vreinterpretq_u16_u8(bytes_a));
    both_b = vaddq_u16(both_b, vreinterpretq_u16_u8(bytes_b));
    odd_a = vsraq_n_u16(odd_a, vreinterpretq_u16_u8(bytes_a), 8);
    odd_b = vsraq_n_u16(odd_b, vreinterpretq_u16_u8(bytes_b), 8);
  }
  vst1q_u16(sums, vsubq_u16(both_a, vshlq_n_u16(odd_a, 8)));
  vst1q_u16(sums + 8, odd_a);
  vst1q_u16(sums + 16, vsubq_u16(both_b, vshlq_n_u16(odd_b, 8)));
  vst1q_u16(sums + 24, odd_b);
}

/* Look-ups of 16 rows: an index out of a quarter leaves what was found before. */
VDB_INLINE uint8x16_t scan_look_neon(const uint8_t *lut, uint8x16_t code) {
  uint8x16_t found = vqtbl4q_u8(vld1q_u8_x4(lut), code);
  found = vqtbx4q_u8(found, vld1q_u8_x4(lut + 64), vsubq_u8(code, vdupq_n_u8(64)));
  found = vqtbx4q_u8(found, vld1q_u8_x4(lut + 128), vsubq_u8(code, vdupq_n_u8(128)));
  return vqtbx4q_u8(found, vld1q_u8_x4(lut + 192), vsubq_u8(code, vdupq_n_u8(192)));
}

static void scan_byte_sums_neon(const struct vdb_scan_table *q, const uint8_t *block,
                                uint16_t *sums) {
  for (size_t half = 0; half < VDB_SCAN_ROWS; half += 16) {
    uint16x8_t a = vdupq_n_u16(0), b = a;
    for (size_t j = 0; j < q->m; j++) {
      uint8x16_t code = vld1q_u8(block + j * VDB_SCAN_ROWS + half);
      uint8x16_t found = scan_look_neon(q->lut + j * 256, code);
      a = vaddw_u8(a, vget_low_u8(found));
      b = vaddw_u8(b, vget_high_u8(found));
    }
    vst1q_u16(sums + half, a);
    vst1q_u16(sums + half + 8, b);
  }
}

VDB_INLINE float32x4_t scan_halves_neon(const uint8_t *at) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at)));
}

static uint32_t scan_keys_neon(const struct vdb_scan_table *q, const uint8_t *factors,
                               const uint16_t *sums, float base, float bound, float *keys) {
  static const uint32_t bits[4] = {1, 2, 4, 8};
  uint32_t below = 0;
  for (size_t i = 0; i < VDB_SCAN_ROWS; i += 4) {
    float32x4_t x = vcvtq_f32_u32(vmovl_u16(vld1_u16(sums + i)));
    float32x4_t value = vfmaq_f32(vdupq_n_f32(q->offset), x, vdupq_n_f32(q->scale));
    float32x4_t key = vaddq_f32(vdupq_n_f32(base), scan_halves_neon(factors + i * 2));
    key = q->rescaled
              ? vfmaq_f32(key, scan_halves_neon(factors + VDB_SCAN_ROWS * 2 + i * 2), value)
              : vaddq_f32(key, value);
    vst1q_f32(keys + i, key);
    uint32x4_t less = vcltq_f32(key, vdupq_n_f32(bound));
    below |= vaddvq_u32(vandq_u32(less, vld1q_u32(bits))) << i;
  }
  return below;
}

static uint32_t scan_nibbles_neon(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                  float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  scan_nibble_sums_neon(q, block, sums);
  return scan_keys_neon(q, block + (size_t)q->m * 16, sums, base, bound, keys);
}

static uint32_t scan_bytes_neon(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  scan_byte_sums_neon(q, block, sums);
  return scan_keys_neon(q, block + (size_t)q->m * VDB_SCAN_ROWS, sums, base, bound, keys);
}

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_neon(void) {
  static const struct vdb_fastscan table = {.name = "neon",
                                            .nibbles = scan_nibbles_neon,
                                            .bytes = scan_bytes_neon,
                                            .nibble_sums = scan_nibble_sums_neon,
                                            .byte_sums = scan_byte_sums_neon};
  return &table;
}

#endif
