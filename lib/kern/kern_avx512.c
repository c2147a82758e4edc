/*
 * kern_avx512.c - primitives for AVX-512 (F, BW, DQ, VL), 32 registers of 16 floats or 64 bytes;
 * the loops are in kern_body.h. Two further tables replace the I8 kernels where there is VNNI, and
 * the BITS kernels where there is also VPOPCNTDQ.
 */
#include "cpu.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif

/* The lowest n < 64 lanes. */
VDB_INLINE uint64_t kern_lanes_avx512(size_t n) { return ((uint64_t)1 << n) - 1; }

VDB_INLINE __m512 kern_zero_f_avx512(void) { return _mm512_setzero_ps(); }
VDB_INLINE __m512 kern_add_avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
VDB_INLINE __m512 kern_sub_avx512(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
VDB_INLINE __m512 kern_fma_avx512(__m512 a, __m512 b, __m512 c) {
  return _mm512_fmadd_ps(a, b, c);
}

VDB_INLINE __m512 kern_load_f32_avx512(const void *p) { return _mm512_loadu_ps(p); }
VDB_INLINE __m512 kern_part_f32_avx512(const void *p, size_t n) {
  return _mm512_maskz_loadu_ps((__mmask16)kern_lanes_avx512(n), p);
}
VDB_INLINE void kern_store_f32_avx512(void *p, __m512 v) { _mm512_storeu_ps(p, v); }
VDB_INLINE __m512 kern_one_f_avx512(const float *p) { return _mm512_set1_ps(*p); }

VDB_INLINE __m512 kern_load_f16_avx512(const void *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
VDB_INLINE __m512 kern_part_f16_avx512(const void *p, size_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)kern_lanes_avx512(n), p));
}
VDB_INLINE void kern_store_f16_avx512(void *p, __m512 v) {
  _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

VDB_INLINE __m512 kern_widen_bf16_avx512(__m256i v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}
VDB_INLINE __m512 kern_load_bf16_avx512(const void *p) {
  return kern_widen_bf16_avx512(_mm256_loadu_si256(p));
}
VDB_INLINE __m512 kern_part_bf16_avx512(const void *p, size_t n) {
  return kern_widen_bf16_avx512(_mm256_maskz_loadu_epi16((__mmask16)kern_lanes_avx512(n), p));
}
/* By hand: the instruction for it treats denormals as zero. */
VDB_INLINE void kern_store_bf16_avx512(void *p, __m512 v) {
  __m512i x = _mm512_castps_si512(v);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
  __m512i round = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  __m512i quiet = _mm512_or_si512(x, _mm512_set1_epi32(0x400000));
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  x = _mm512_srli_epi32(_mm512_mask_blend_epi32(nan, round, quiet), 16);
  _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(x));
}

VDB_INLINE __m128 kern_quarter_sum_avx512(__m512 v) {
  __m256 x = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  return _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
}
VDB_INLINE float kern_sum_avx512(__m512 v) {
  __m128 x = kern_quarter_sum_avx512(v);
  x = _mm_hadd_ps(x, x);
  return _mm_cvtss_f32(_mm_hadd_ps(x, x));
}
VDB_INLINE void kern_sum2_avx512(float *out, __m512 v, __m512 w) {
  __m128 x = _mm_hadd_ps(kern_quarter_sum_avx512(v), kern_quarter_sum_avx512(w));
  _mm_storel_epi64((void *)out, _mm_castps_si128(_mm_hadd_ps(x, x)));
}

VDB_INLINE __m512i kern_zero_i_avx512(void) { return _mm512_setzero_si512(); }
VDB_INLINE __m512i kern_xor_avx512(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
VDB_INLINE __m512i kern_or_avx512(__m512i a, __m512i b) { return _mm512_or_si512(a, b); }
VDB_INLINE __m512i kern_sub_i16_avx512(__m512i a, __m512i b) { return _mm512_sub_epi16(a, b); }
VDB_INLINE __m512i kern_dot_i16_avx512(__m512i sum, __m512i a, __m512i b) {
  return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}

VDB_INLINE __m512i kern_load_i8_avx512(const void *p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p));
}
VDB_INLINE __m512i kern_part_i8_avx512(const void *p, size_t n) {
  return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8((__mmask32)kern_lanes_avx512(n), p));
}

VDB_INLINE __m512i kern_load_bytes_avx512(const void *p) { return _mm512_loadu_si512(p); }
VDB_INLINE __m512i kern_part_bytes_avx512(const void *p, size_t n) {
  return _mm512_maskz_loadu_epi8(kern_lanes_avx512(n), p);
}

/* Bits of each half byte from a table of 16, summed over 8 bytes at a time (Mula 2008). */
VDB_INLINE __m512i kern_count_avx512(__m512i sum, __m512i v) {
  const __m512i bits =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m512i low = _mm512_set1_epi8(15);
  __m512i a = _mm512_shuffle_epi8(bits, _mm512_and_si512(v, low));
  __m512i b = _mm512_shuffle_epi8(bits, _mm512_and_si512(_mm512_srli_epi16(v, 4), low));
  __m512i eights = _mm512_sad_epu8(_mm512_add_epi8(a, b), _mm512_setzero_si512());
  return _mm512_add_epi64(sum, eights);
}

VDB_INLINE __m128i kern_quarter_isum_avx512(__m512i v) {
  __m256i x = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti32x8_epi32(v, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}
VDB_INLINE uint32_t kern_isum_avx512(__m512i v) {
  __m128i x = kern_quarter_isum_avx512(v);
  x = _mm_hadd_epi32(x, x);
  return (uint32_t)_mm_cvtsi128_si32(_mm_hadd_epi32(x, x));
}
VDB_INLINE void kern_isum4_avx512(uint32_t *out, __m512i a, __m512i b, __m512i c, __m512i d) {
  __m128i x = _mm_hadd_epi32(kern_quarter_isum_avx512(a), kern_quarter_isum_avx512(b));
  __m128i y = _mm_hadd_epi32(kern_quarter_isum_avx512(c), kern_quarter_isum_avx512(d));
  _mm_storeu_si128((void *)out, _mm_hadd_epi32(x, y));
}

#define KB_SUFFIX avx512
#define KB_F __m512
#define KB_I __m512i
#define KB_FLOATS 16
#define KB_I8 32
#define KB_BITS 64
#include "kern_body.h"

#define TB_SUFFIX avx512
#define TB_F __m512
#define TB_FLOATS 16
#define TB_ROWS 12
#define TB_PANELS 2
#include "tile_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- I8 with VNNI ------------------------------------------------------------------------------
 * The instruction multiplies unsigned by signed bytes. With u = r + 128 and w = q + 128, which are
 * unsigned and made by flipping the highest bit,
 *   q r      = u q - 128 q
 *   (q - r)^2 = (w - u)(q - r) = w q + u r - u q - w r.
 * Sums are modulo 2^32; see kern_i8_float. Bytes past a row's end are 0 in q and r, so they add
 * nothing whatever u and w are.
 */

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

VDB_INLINE __m512i kern_row_avx512vnni(const uint8_t *at, size_t n) {
  return n ? kern_part_bytes_avx512(at, n) : kern_load_bytes_avx512(at);
}

VDB_INLINE __m512i kern_up_avx512vnni(__m512i v) {
  return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
}

/* Sums of one row: `plus` of u q or u r, `less_u` of u q and `less_w` of w r (L2 only). */
struct kern_sums_avx512vnni {
  __m512i plus, less_u, less_w;
};

VDB_INLINE void kern_term_avx512vnni(enum vdb_op op, struct kern_sums_avx512vnni *s, __m512i q,
                                     __m512i r) {
  __m512i u = kern_up_avx512vnni(r);
  if (op == VDB_OP_DOT) {
    s->plus = _mm512_dpbusd_epi32(s->plus, u, q);
  } else {
    s->plus = _mm512_dpbusd_epi32(s->plus, u, r);
    s->less_u = _mm512_dpbusd_epi32(s->less_u, u, q);
    s->less_w = _mm512_dpbusd_epi32(s->less_w, kern_up_avx512vnni(q), r);
  }
}

/* What all rows have in common: the sums of w q for L2, of -128 q for DOT. */
VDB_INLINE __m512i kern_common_avx512vnni(enum vdb_op op, __m512i sum, __m512i q) {
  if (op == VDB_OP_L2)
    return _mm512_dpbusd_epi32(sum, kern_up_avx512vnni(q), q);
  return _mm512_sub_epi32(
      sum, _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(-128), q));
}

VDB_INLINE __m512i kern_total_avx512vnni(struct kern_sums_avx512vnni s, __m512i common) {
  return _mm512_sub_epi32(_mm512_add_epi32(common, s.plus),
                          _mm512_add_epi32(s.less_u, s.less_w));
}

VDB_INLINE float kern_i8_one_avx512vnni(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                        const uint8_t *row, size_t dim) {
  const __m512i zero = _mm512_setzero_si512();
  struct kern_sums_avx512vnni a = {zero, zero, zero};
  __m512i common = zero, q;
  size_t i = 0;
  (void)elem;
  for (; i + 64 <= dim; i += 64) {
    q = kern_row_avx512vnni(query + i, 0);
    common = kern_common_avx512vnni(op, common, q);
    kern_term_avx512vnni(op, &a, q, kern_row_avx512vnni(row + i, 0));
  }
  if (i < dim) {
    q = kern_row_avx512vnni(query + i, dim - i);
    common = kern_common_avx512vnni(op, common, q);
    kern_term_avx512vnni(op, &a, q, kern_row_avx512vnni(row + i, dim - i));
  }
  return kern_i8_float(op, kern_isum_avx512(kern_total_avx512vnni(a, common)));
}

VDB_INLINE void kern_i8_four_avx512vnni(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                        const uint8_t *const row[4], size_t dim, float *out) {
  const __m512i zero = _mm512_setzero_si512();
  struct kern_sums_avx512vnni a = {zero, zero, zero}, b = a, c = a, d = a;
  __m512i common = zero, q;
  uint32_t sum[4];
  size_t i = 0;
  (void)elem;
#define KERN_STEP_AVX512VNNI(n)                                        \
  q = kern_row_avx512vnni(query + i, n),                               \
  common = kern_common_avx512vnni(op, common, q),                      \
  kern_term_avx512vnni(op, &a, q, kern_row_avx512vnni(row[0] + i, n)), \
  kern_term_avx512vnni(op, &b, q, kern_row_avx512vnni(row[1] + i, n)), \
  kern_term_avx512vnni(op, &c, q, kern_row_avx512vnni(row[2] + i, n)), \
  kern_term_avx512vnni(op, &d, q, kern_row_avx512vnni(row[3] + i, n))
  for (; i + 64 <= dim; i += 64)
    KERN_STEP_AVX512VNNI(0);
  if (i < dim)
    KERN_STEP_AVX512VNNI(dim - i);
#undef KERN_STEP_AVX512VNNI
  kern_isum4_avx512(sum, kern_total_avx512vnni(a, common), kern_total_avx512vnni(b, common),
                    kern_total_avx512vnni(c, common), kern_total_avx512vnni(d, common));
  for (size_t j = 0; j < 4; j++)
    out[j] = kern_i8_float(op, sum[j]);
}

#define KB_SUFFIX avx512vnni
#define KB_FLOATS 0
#define KB_I8 -1
#define KB_BITS 0
#include "kern_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- BITS with VPOPCNTDQ --------------------------------------------------------------------- */

#if defined(__clang__)
#pragma clang attribute push(                                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")
#endif

VDB_INLINE __m512i kern_count_avx512vpop(__m512i sum, __m512i v) {
  return _mm512_add_epi64(sum, _mm512_popcnt_epi64(v));
}

#define KB_SUFFIX avx512vpop
#define KB_BASE avx512
#define KB_I __m512i
#define KB_FLOATS 0
#define KB_I8 0
#define KB_BITS 64
#include "kern_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- The tables ------------------------------------------------------------------------------ */

/* What all three have in common: the floats, conversions and tiles. */
#define KERN_FLOATS_AVX512                                      \
  [VDB_F32] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f32_l2, avx512),    \
               [VDB_OP_DOT] = VDB_KERN_ENTRY(f32_dot, avx512)}, \
  [VDB_F16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f16_l2, avx512),    \
               [VDB_OP_DOT] = VDB_KERN_ENTRY(f16_dot, avx512)}, \
  [VDB_BF16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(bf16_l2, avx512),  \
                [VDB_OP_DOT] = VDB_KERN_ENTRY(bf16_dot, avx512)}
#define KERN_I8_AVX512(suffix)                             \
  [VDB_I8] = {[VDB_OP_L2] = VDB_KERN_ENTRY(i8_l2, suffix), \
              [VDB_OP_DOT] = VDB_KERN_ENTRY(i8_dot, suffix)}
#define KERN_BITS_AVX512(suffix)                                         \
  [VDB_BITS] = {[VDB_OP_HAMMING] = VDB_KERN_ENTRY(bits_hamming, suffix), \
                [VDB_OP_JACCARD] = VDB_KERN_ENTRY(bits_jaccard, suffix)}
#define KERN_CONVERSIONS_AVX512                                               \
  .f32_to_f16 = kern_f32_to_f16_avx512, .f16_to_f32 = kern_f16_to_f32_avx512, \
  .f32_to_bf16 = kern_f32_to_bf16_avx512, .bf16_to_f32 = kern_bf16_to_f32_avx512, \
  .tile = kern_tile_avx512

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512(void) {
  static const struct vdb_kern_table table = {
      .name = "avx512",
      .kern = {KERN_FLOATS_AVX512, KERN_I8_AVX512(avx512), KERN_BITS_AVX512(avx512)},
      KERN_CONVERSIONS_AVX512};
  return &table;
}

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512vnni(void) {
  static const struct vdb_kern_table table = {
      .name = "avx512vnni",
      .kern = {KERN_FLOATS_AVX512, KERN_I8_AVX512(avx512vnni), KERN_BITS_AVX512(avx512)},
      KERN_CONVERSIONS_AVX512};
  return &table;
}

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512vpop(void) {
  static const struct vdb_kern_table table = {
      .name = "avx512vpop",
      .kern = {KERN_FLOATS_AVX512, KERN_I8_AVX512(avx512vnni), KERN_BITS_AVX512(avx512vpop)},
      KERN_CONVERSIONS_AVX512};
  return &table;
}
#undef KERN_FLOATS_AVX512
#undef KERN_I8_AVX512
#undef KERN_BITS_AVX512
#undef KERN_CONVERSIONS_AVX512

#endif
