/*
 * kern_avx2.c - primitives for AVX2 with FMA and F16C, 16 registers of 8 floats or 32 bytes; the
 * loops are in kern_body.h.
 */
#include "cpu.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

VDB_INLINE __m256 kern_zero_f_avx2(void) { return _mm256_setzero_ps(); }
VDB_INLINE __m256 kern_add_avx2(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
VDB_INLINE __m256 kern_sub_avx2(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
VDB_INLINE __m256 kern_fma_avx2(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }

/* The next n < 16 bytes, zeroes above them. */
VDB_INLINE __m128i kern_short_avx2(const void *p, size_t n) {
  uint64_t words[2];
  kern_short_words(p, n, words);
  return _mm_set_epi64x((long long)words[1], (long long)words[0]);
}

VDB_INLINE __m256 kern_load_f32_avx2(const void *p) { return _mm256_loadu_ps(p); }
VDB_INLINE __m256 kern_part_f32_avx2(const void *p, size_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
}
VDB_INLINE void kern_store_f32_avx2(void *p, __m256 v) { _mm256_storeu_ps(p, v); }
VDB_INLINE __m256 kern_one_f_avx2(const float *p) { return _mm256_broadcast_ss(p); }

VDB_INLINE __m256 kern_load_f16_avx2(const void *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
VDB_INLINE __m256 kern_part_f16_avx2(const void *p, size_t n) {
  return _mm256_cvtph_ps(kern_short_avx2(p, n * 2));
}
VDB_INLINE void kern_store_f16_avx2(void *p, __m256 v) {
  _mm_storeu_si128(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

VDB_INLINE __m256 kern_widen_bf16_avx2(__m128i v) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}
VDB_INLINE __m256 kern_load_bf16_avx2(const void *p) {
  return kern_widen_bf16_avx2(_mm_loadu_si128(p));
}
VDB_INLINE __m256 kern_part_bf16_avx2(const void *p, size_t n) {
  return kern_widen_bf16_avx2(kern_short_avx2(p, n * 2));
}
VDB_INLINE void kern_store_bf16_avx2(void *p, __m256 v) {
  __m256i x = _mm256_castps_si256(v);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
  __m256i round = _mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  __m256i quiet = _mm256_or_si256(x, _mm256_set1_epi32(0x400000));
  __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  x = _mm256_srli_epi32(_mm256_blendv_epi8(round, quiet, nan), 16);
  x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
  _mm_storeu_si128(p, _mm256_castsi256_si128(x));
}

VDB_INLINE __m128 kern_half_sum_avx2(__m256 v) {
  return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}
VDB_INLINE float kern_sum_avx2(__m256 v) {
  __m128 x = kern_half_sum_avx2(v);
  x = _mm_hadd_ps(x, x);
  return _mm_cvtss_f32(_mm_hadd_ps(x, x));
}
VDB_INLINE void kern_sum2_avx2(float *out, __m256 v, __m256 w) {
  __m128 x = _mm_hadd_ps(kern_half_sum_avx2(v), kern_half_sum_avx2(w));
  _mm_storel_epi64((void *)out, _mm_castps_si128(_mm_hadd_ps(x, x)));
}

VDB_INLINE __m256i kern_zero_i_avx2(void) { return _mm256_setzero_si256(); }
VDB_INLINE __m256i kern_xor_avx2(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
VDB_INLINE __m256i kern_or_avx2(__m256i a, __m256i b) { return _mm256_or_si256(a, b); }
VDB_INLINE __m256i kern_sub_i16_avx2(__m256i a, __m256i b) { return _mm256_sub_epi16(a, b); }
VDB_INLINE __m256i kern_dot_i16_avx2(__m256i sum, __m256i a, __m256i b) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

VDB_INLINE __m256i kern_load_i8_avx2(const void *p) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
}
VDB_INLINE __m256i kern_part_i8_avx2(const void *p, size_t n) {
  return _mm256_cvtepi8_epi16(kern_short_avx2(p, n));
}

VDB_INLINE __m256i kern_load_bytes_avx2(const void *p) { return _mm256_loadu_si256(p); }
VDB_INLINE __m256i kern_part_bytes_avx2(const void *p, size_t n) {
  if (n == 16) /* the rest of rows of 384 bits */
    return _mm256_zextsi128_si256(_mm_loadu_si128(p));
  if (n < 16)
    return _mm256_zextsi128_si256(kern_short_avx2(p, n));
  return _mm256_setr_m128i(_mm_loadu_si128(p), kern_short_avx2((const uint8_t *)p + 16, n - 16));
}

/* Bits of each half byte from a table of 16, summed over 8 bytes at a time (Mula 2008). */
VDB_INLINE __m256i kern_count_avx2(__m256i sum, __m256i v) {
  const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                        1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  __m256i a = _mm256_shuffle_epi8(bits, _mm256_and_si256(v, low));
  __m256i b = _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
  __m256i eights = _mm256_sad_epu8(_mm256_add_epi8(a, b), _mm256_setzero_si256());
  return _mm256_add_epi64(sum, eights);
}

VDB_INLINE __m128i kern_half_isum_avx2(__m256i v) {
  return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
VDB_INLINE uint32_t kern_isum_avx2(__m256i v) {
  __m128i x = kern_half_isum_avx2(v);
  x = _mm_hadd_epi32(x, x);
  return (uint32_t)_mm_cvtsi128_si32(_mm_hadd_epi32(x, x));
}
VDB_INLINE void kern_isum4_avx2(uint32_t *out, __m256i a, __m256i b, __m256i c, __m256i d) {
  __m128i x = _mm_hadd_epi32(kern_half_isum_avx2(a), kern_half_isum_avx2(b));
  __m128i y = _mm_hadd_epi32(kern_half_isum_avx2(c), kern_half_isum_avx2(d));
  _mm_storeu_si128((void *)out, _mm_hadd_epi32(x, y));
}

#define KB_SUFFIX avx2
#define KB_F __m256
#define KB_I __m256i
#define KB_FLOATS 8
#define KB_I8 16
#define KB_BITS 32
#include "kern_body.h"

#define TB_SUFFIX avx2
#define TB_F __m256
#define TB_FLOATS 8
#define TB_ROWS 6
#define TB_PANELS 1
#include "tile_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx2(void) {
  static const struct vdb_kern_table table = {
      .name = "avx2",
      .kern = {[VDB_F32] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f32_l2, avx2),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f32_dot, avx2)},
               [VDB_F16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f16_l2, avx2),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f16_dot, avx2)},
               [VDB_BF16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(bf16_l2, avx2),
                             [VDB_OP_DOT] = VDB_KERN_ENTRY(bf16_dot, avx2)},
               [VDB_I8] = {[VDB_OP_L2] = VDB_KERN_ENTRY(i8_l2, avx2),
                           [VDB_OP_DOT] = VDB_KERN_ENTRY(i8_dot, avx2)},
               [VDB_BITS] = {[VDB_OP_HAMMING] = VDB_KERN_ENTRY(bits_hamming, avx2),
                             [VDB_OP_JACCARD] = VDB_KERN_ENTRY(bits_jaccard, avx2)}},
      .f32_to_f16 = kern_f32_to_f16_avx2,
      .f16_to_f32 = kern_f16_to_f32_avx2,
      .f32_to_bf16 = kern_f32_to_bf16_avx2,
      .bf16_to_f32 = kern_bf16_to_f32_avx2,
      .tile = kern_tile_avx2,
  };
  return &table;
}

#endif
