/* walk_neon.c - walk.h with NEON; the loops over codes are in walk_body.h. */
#include "walk.h"

#if defined(__aarch64__)

#include <arm_neon.h>

typedef int32x4_t walk_sum_neon;

VDB_INLINE int32x4_t walk_zero_neon(void) { return vdupq_n_s32(0); }

/* Products with halves of a byte, at most 15 * 127: four of them fit 16 bits. */
VDB_INLINE int32x4_t walk_add4_neon(int32x4_t sum, const uint8_t *code, size_t n,
                                    const int8_t *low, const int8_t *high) {
  (void)n;
  uint8x16_t v = vld1q_u8(code);
  int8x16_t a = vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15)));
  int8x16_t b = vreinterpretq_s8_u8(vshrq_n_u8(v, 4));
  int8x16_t p = vld1q_s8(low), q = vld1q_s8(high);
  int16x8_t x = vmull_s8(vget_low_s8(a), vget_low_s8(p));
  x = vmlal_high_s8(x, a, p);
  x = vmlal_s8(x, vget_low_s8(b), vget_low_s8(q));
  return vpadalq_s16(sum, vmlal_high_s8(x, b, q));
}

VDB_INLINE int32x4_t walk_add8_neon(int32x4_t sum, const uint8_t *code, size_t n,
                                    const int8_t *t) {
  (void)n;
  uint8x16_t v = vld1q_u8(code);
  int8x16_t q = vld1q_s8(t);
  int16x8_t a = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(v)));
  int16x8_t b = vreinterpretq_s16_u16(vmovl_high_u8(v));
  int16x8_t p = vmovl_s8(vget_low_s8(q)), r = vmovl_high_s8(q);
  sum = vmlal_s16(sum, vget_low_s16(a), vget_low_s16(p));
  sum = vmlal_high_s16(sum, a, p);
  sum = vmlal_s16(sum, vget_low_s16(b), vget_low_s16(r));
  return vmlal_high_s16(sum, b, r);
}

VDB_INLINE void walk_finish_neon(const struct vdb_walk_query *q, const float *const factors[4],
                                 int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d,
                                 float *keys) {
  int32x4_t sum = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
  float32x4_t f = vcombine_f32(vld1_f32(factors[0]), vld1_f32(factors[1]));
  float32x4_t g = vcombine_f32(vld1_f32(factors[2]), vld1_f32(factors[3]));
  float32x4_t add = vaddq_f32(vuzp1q_f32(f, g), vdupq_n_f32(q->add));
  float32x4_t y = vfmaq_n_f32(vdupq_n_f32(q->shift), vcvtq_f32_s32(sum), q->weight);
  vst1q_f32(keys, vfmaq_f32(add, y, vuzp2q_f32(f, g)));
}

/* maxnm takes the number where the other operand is NaN. */
VDB_INLINE int32x4_t walk_round_neon(const float *x, float by) {
  float32x4_t y = vmaxnmq_f32(vmulq_n_f32(vld1q_f32(x), by), vdupq_n_f32(-127));
  return vcvtnq_s32_f32(vminq_f32(y, vdupq_n_f32(127)));
}

static int32_t walk_narrow_neon(const float *x, size_t n, float by, int8_t *t) {
  int32x4_t sum = vdupq_n_s32(0);
  for (size_t i = 0; i < n; i += 8) {
    int32x4_t a = walk_round_neon(x + i, by), b = walk_round_neon(x + i + 4, by);
    int8x8_t bytes = vqmovn_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)));
    sum = vaddw_s16(sum, vget_low_s16(vmovl_s8(bytes)));
    sum = vaddw_high_s16(sum, vmovl_s8(bytes));
    vst1_s8(t + i, bytes);
  }
  return vaddvq_s32(sum);
}

static void walk_widen_neon(const uint32_t *pairs, size_t n, float by, float *factors) {
  for (size_t i = 0; i < n; i += 2) {
    float16x4_t two = vld1_f16((const void *)(pairs + i));
    vst1q_f32(factors + 2 * i, vmulq_n_f32(vcvt_f32_f16(two), by));
  }
}

/* ---- Sketches -------------------------------------------------------------------------------- */

enum { WALK_BLOCK = 128, WALK_BLOCKS = 64 }; /* elements in a vector of bits; chunks whose sums
                                                    fit 16 bits: at most 256 in a lane each */

/* Bit k of byte j of a chunk is its element 8 j + k. */
static int32_t walk_spread_neon(const int8_t *t, size_t words, int8_t *out) {
  int32_t sum = 0;
  memset(out, 0, vdb_walk_spread_bytes(words));
  for (size_t i = 0; i < 64 * words; i++) {
    int x = vdb_walk_5_bits(t[i]);
    size_t chunk = i / WALK_BLOCK * WALK_BLOCK, byte = i % WALK_BLOCK / 8;
    out[chunk + 16 * (i % 8) + byte] = (int8_t)x;
    sum += x;
  }
  return sum;
}

/* The elements of a chunk whose bits are set; eight of them, -16 to 15, fit a byte. */
VDB_INLINE int16x8_t walk_add1_neon(int16x8_t sum, const uint64_t *bits, const int8_t *t) {
  uint8x16_t v = vreinterpretq_u8_u64(vld1q_u64(bits));
  int8x16_t eight = vdupq_n_s8(0);
  for (int k = 0; k < 8; k++) {
    int8x16_t set = vreinterpretq_s8_u8(vtstq_u8(v, vdupq_n_u8((uint8_t)(1 << k))));
    eight = vaddq_s8(eight, vandq_s8(set, vld1q_s8(t + 16 * k)));
  }
  return vpadalq_s8(sum, eight);
}

/* Past the last word, where the factors lie, elements are 0. */
static float walk_bound_neon(const struct vdb_walk_sketch_query *query, const uint64_t *row,
                             size_t words) {
  size_t chunks = (words + 1) / 2;
  int32_t sum = 0;
  float factors[2];
  for (size_t c = 0; c < chunks; c += WALK_BLOCKS) {
    int16x8_t part = vdupq_n_s16(0);
    for (size_t i = c; i < vdb_min_size(c + WALK_BLOCKS, chunks); i++)
      part = walk_add1_neon(part, row + 2 * i, query->t + WALK_BLOCK * i);
    sum += vaddlvq_s16(part);
  }
  memcpy(factors, row + words, sizeof factors);
  return query->add + factors[0] + factors[1] * (query->weight * (float)sum + query->shift);
}

#define WB_SUFFIX neon
#define WB_STEP 16
#include "walk_sift.h"
#include "walk_body.h"

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_neon(void) {
  static const struct vdb_walk_kern table = {"neon", walk_keys4_neon, walk_keys8_neon,
                                             walk_widen_neon, walk_narrow_neon,
                                             walk_spread_neon, walk_sift_neon, vdb_walk_offer};
  return &table;
}

#endif
