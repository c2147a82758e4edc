/*
 * kern_neon.c - primitives for NEON of any aarch64, 32 registers of 4 floats or 16 bytes; the loops
 * are in kern_body.h.
 */
#include "cpu.h"

#if defined(__aarch64__)

#include <arm_neon.h>

VDB_INLINE float32x4_t kern_zero_f_neon(void) { return vdupq_n_f32(0); }
VDB_INLINE float32x4_t kern_add_neon(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
VDB_INLINE float32x4_t kern_sub_neon(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
VDB_INLINE float32x4_t kern_fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}

/* The next n < 16 bytes, zeroes above them. */
VDB_INLINE uint8x16_t kern_short_neon(const void *p, size_t n) {
  uint64_t words[2];
  kern_short_words(p, n, words);
  return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(words[0]), vcreate_u64(words[1])));
}

/* Loads and stores are of bytes, because addresses need not be aligned to elements. */
VDB_INLINE float32x4_t kern_load_f32_neon(const void *p) {
  return vreinterpretq_f32_u8(vld1q_u8(p));
}
VDB_INLINE float32x4_t kern_part_f32_neon(const void *p, size_t n) {
  return vreinterpretq_f32_u8(kern_short_neon(p, n * 4));
}
VDB_INLINE void kern_store_f32_neon(void *p, float32x4_t v) {
  vst1q_u8(p, vreinterpretq_u8_f32(v));
}
VDB_INLINE float32x4_t kern_one_f_neon(const float *p) { return vld1q_dup_f32(p); }

VDB_INLINE float32x4_t kern_load_f16_neon(const void *p) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
VDB_INLINE float32x4_t kern_part_f16_neon(const void *p, size_t n) {
  return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(kern_short_bytes(p, n * 2))));
}
VDB_INLINE void kern_store_f16_neon(void *p, float32x4_t v) {
  vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(v)));
}

VDB_INLINE float32x4_t kern_load_bf16_neon(const void *p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
VDB_INLINE float32x4_t kern_part_bf16_neon(const void *p, size_t n) {
  uint16x4_t v = vreinterpret_u16_u64(vcreate_u64(kern_short_bytes(p, n * 2)));
  return vreinterpretq_f32_u32(vshll_n_u16(v, 16));
}
VDB_INLINE void kern_store_bf16_neon(void *p, float32x4_t v) {
  uint32x4_t x = vreinterpretq_u32_f32(v);
  uint32x4_t odd = vandq_u32(vshrq_n_u32(x, 16), vdupq_n_u32(1));
  uint32x4_t round = vaddq_u32(x, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  uint32x4_t quiet = vorrq_u32(x, vdupq_n_u32(0x400000));
  x = vbslq_u32(vceqq_f32(v, v), round, quiet);
  vst1_u8(p, vreinterpret_u8_u16(vshrn_n_u32(x, 16)));
}

VDB_INLINE float kern_sum_neon(float32x4_t v) {
  float32x4_t x = vpaddq_f32(v, v);
  return vgetq_lane_f32(vpaddq_f32(x, x), 0);
}
VDB_INLINE void kern_sum2_neon(float *out, float32x4_t v, float32x4_t w) {
  float32x4_t x = vpaddq_f32(v, w);
  x = vpaddq_f32(x, x);
  out[0] = vgetq_lane_f32(x, 0);
  out[1] = vgetq_lane_f32(x, 1);
}

/* Integer vectors are 16 bytes or 8 numbers of 16 bits or 4 of 32, known as uint8x16_t. */
VDB_INLINE uint8x16_t kern_zero_i_neon(void) { return vdupq_n_u8(0); }
VDB_INLINE uint8x16_t kern_xor_neon(uint8x16_t a, uint8x16_t b) { return veorq_u8(a, b); }
VDB_INLINE uint8x16_t kern_or_neon(uint8x16_t a, uint8x16_t b) { return vorrq_u8(a, b); }
VDB_INLINE uint8x16_t kern_sub_i16_neon(uint8x16_t a, uint8x16_t b) {
  return vreinterpretq_u8_s16(vsubq_s16(vreinterpretq_s16_u8(a), vreinterpretq_s16_u8(b)));
}
VDB_INLINE uint8x16_t kern_dot_i16_neon(uint8x16_t sum, uint8x16_t a, uint8x16_t b) {
  int16x8_t x = vreinterpretq_s16_u8(a), y = vreinterpretq_s16_u8(b);
  int32x4_t s = vmlal_s16(vreinterpretq_s32_u8(sum), vget_low_s16(x), vget_low_s16(y));
  return vreinterpretq_u8_s32(vmlal_s16(s, vget_high_s16(x), vget_high_s16(y)));
}

VDB_INLINE uint8x16_t kern_load_i8_neon(const void *p) {
  return vreinterpretq_u8_s16(vmovl_s8(vreinterpret_s8_u8(vld1_u8(p))));
}
VDB_INLINE uint8x16_t kern_part_i8_neon(const void *p, size_t n) {
  int8x8_t v = vreinterpret_s8_u64(vcreate_u64(kern_short_bytes(p, n)));
  return vreinterpretq_u8_s16(vmovl_s8(v));
}

VDB_INLINE uint8x16_t kern_load_bytes_neon(const void *p) { return vld1q_u8(p); }
VDB_INLINE uint8x16_t kern_part_bytes_neon(const void *p, size_t n) {
  return kern_short_neon(p, n);
}

VDB_INLINE uint8x16_t kern_count_neon(uint8x16_t sum, uint8x16_t v) {
  uint16x8_t pairs = vpaddlq_u8(vcntq_u8(v));
  return vreinterpretq_u8_u32(vpadalq_u16(vreinterpretq_u32_u8(sum), pairs));
}

VDB_INLINE uint32_t kern_isum_neon(uint8x16_t v) { return vaddvq_u32(vreinterpretq_u32_u8(v)); }
VDB_INLINE void kern_isum4_neon(uint32_t *out, uint8x16_t a, uint8x16_t b, uint8x16_t c,
                                uint8x16_t d) {
  uint32x4_t x = vpaddq_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b));
  uint32x4_t y = vpaddq_u32(vreinterpretq_u32_u8(c), vreinterpretq_u32_u8(d));
  vst1q_u32(out, vpaddq_u32(x, y));
}

#define KB_SUFFIX neon
#define KB_F float32x4_t
#define KB_I uint8x16_t
#define KB_FLOATS 4
#define KB_I8 8
#define KB_BITS 16
#include "kern_body.h"

#define TB_SUFFIX neon
#define TB_F float32x4_t
#define TB_FLOATS 4
#define TB_ROWS 6
#define TB_PANELS 1
#include "tile_body.h"

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_neon(void) {
  static const struct vdb_kern_table table = {
      .name = "neon",
      .kern = {[VDB_F32] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f32_l2, neon),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f32_dot, neon)},
               [VDB_F16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f16_l2, neon),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f16_dot, neon)},
               [VDB_BF16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(bf16_l2, neon),
                             [VDB_OP_DOT] = VDB_KERN_ENTRY(bf16_dot, neon)},
               [VDB_I8] = {[VDB_OP_L2] = VDB_KERN_ENTRY(i8_l2, neon),
                           [VDB_OP_DOT] = VDB_KERN_ENTRY(i8_dot, neon)},
               [VDB_BITS] = {[VDB_OP_HAMMING] = VDB_KERN_ENTRY(bits_hamming, neon),
                             [VDB_OP_JACCARD] = VDB_KERN_ENTRY(bits_jaccard, neon)}},
      .f32_to_f16 = kern_f32_to_f16_neon,
      .f16_to_f32 = kern_f16_to_f32_neon,
      .f32_to_bf16 = kern_f32_to_bf16_neon,
      .bf16_to_f32 = kern_bf16_to_f32_neon,
      .tile = kern_tile_neon,
  };
  return &table;
}

#endif
