/* walk_avx2.c - walk.h with AVX2; the loops over codes are in walk_body.h. */
#include "walk.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,popcnt")
#endif

typedef __m256i walk_sum_avx2;

VDB_INLINE __m256i walk_zero_avx2(void) { return _mm256_setzero_si256(); }

VDB_INLINE __m256i walk_bytes_avx2(const void *p, size_t n) {
  return n == 16 ? _mm256_zextsi128_si256(_mm_loadu_si128(p)) : _mm256_loadu_si256(p);
}

/* Pairs of products with halves of a byte, at most 4 * 15 * 127, fit 16 bits. */
VDB_INLINE __m256i walk_add4_avx2(__m256i sum, const uint8_t *code, size_t n, const int8_t *low,
                                  const int8_t *high) {
  const __m256i half = _mm256_set1_epi8(15);
  __m256i v = walk_bytes_avx2(code, n);
  __m256i p = _mm256_loadu_si256((const void *)low), q = _mm256_loadu_si256((const void *)high);
  __m256i a = _mm256_maddubs_epi16(_mm256_and_si256(v, half), p);
  __m256i b = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(v, 4), half), q);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(a, b), _mm256_set1_epi16(1)));
}

/* Even and odd bytes apart, as whole ones do not fit the instruction above. */
VDB_INLINE __m256i walk_add8_avx2(__m256i sum, const uint8_t *code, size_t n, const int8_t *t) {
  __m256i v = walk_bytes_avx2(code, n);
  __m256i q = _mm256_loadu_si256((const void *)t);
  __m256i even = _mm256_madd_epi16(_mm256_and_si256(v, _mm256_set1_epi16(255)),
                                   _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8));
  __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(v, 8), _mm256_srai_epi16(q, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

/* The lanes of each of four vectors summed, as four lanes. */
VDB_INLINE __m128i walk_sum4_avx2(__m256i a, __m256i b, __m256i c, __m256i d) {
  __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
  __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
  __m256i x = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
  return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

VDB_INLINE void walk_finish_avx2(const struct vdb_walk_query *q, const float *const factors[4],
                                 __m256i a, __m256i b, __m256i c, __m256i d, float *keys) {
  __m128 f = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[0]),
                                        (const void *)factors[1]));
  __m128 g = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[2]),
                                        (const void *)factors[3]));
  __m128 add = _mm_add_ps(_mm_shuffle_ps(f, g, 0x88), _mm_set1_ps(q->add));
  __m128 y = _mm_fmadd_ps(_mm_cvtepi32_ps(walk_sum4_avx2(a, b, c, d)), _mm_set1_ps(q->weight),
                          _mm_set1_ps(q->shift));
  _mm_storeu_ps(keys, _mm_fmadd_ps(y, _mm_shuffle_ps(f, g, 0xdd), add));
}

/* Of NaN the second operand of a comparison is left. */
VDB_INLINE __m256i walk_round_avx2(const float *x, __m256 by) {
  __m256 y = _mm256_max_ps(_mm256_mul_ps(_mm256_loadu_ps(x), by), _mm256_set1_ps(-127));
  return _mm256_cvtps_epi32(_mm256_min_ps(y, _mm256_set1_ps(127)));
}

static int32_t walk_narrow_avx2(const float *x, size_t n, float by, int8_t *t) {
  const __m256 scale = _mm256_set1_ps(by);
  __m256i sum = _mm256_setzero_si256();
  for (size_t i = 0; i < n; i += 16) {
    __m256i a = walk_round_avx2(x + i, scale), b = walk_round_avx2(x + i + 8, scale);
    __m256i half = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(half, _mm256_set1_epi16(1)));
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(half),
                                    _mm256_extracti128_si256(half, 1));
    _mm_storeu_si128((void *)(t + i), bytes);
  }
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  s = _mm_hadd_epi32(s, s);
  return _mm_cvtsi128_si32(_mm_hadd_epi32(s, s));
}

static void walk_widen_avx2(const uint32_t *pairs, size_t n, float by, float *factors) {
  for (size_t i = 0; i < n; i += 4) {
    __m256 four = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(pairs + i)));
    _mm256_storeu_ps(factors + 2 * i, _mm256_mul_ps(four, _mm256_set1_ps(by)));
  }
}

static void walk_planes_avx2(const int8_t *t, size_t n, uint64_t *planes) {
  for (size_t i = 0; i < n; i += 64, planes += 4) {
    __m256i a = _mm256_loadu_si256((const void *)(t + i));
    __m256i b = _mm256_loadu_si256((const void *)(t + i + 32));
    a = _mm256_xor_si256(a, _mm256_set1_epi8(-128));
    b = _mm256_xor_si256(b, _mm256_set1_epi8(-128));
    for (unsigned j = 4; j-- > 0;) { /* the highest bit of a byte is what is taken */
      planes[j] = (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32 |
                  (uint32_t)_mm256_movemask_epi8(a);
      a = _mm256_add_epi8(a, a);
      b = _mm256_add_epi8(b, b);
    }
  }
}

#define WB_SUFFIX avx2
#define WB_STEP 32
#include "walk_sift.h"
#include "walk_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx2(void) {
  static const struct vdb_walk_kern table = {"avx2", walk_keys4_avx2, walk_keys8_avx2,
                                             walk_widen_avx2, walk_narrow_avx2,
                                             walk_planes_avx2, walk_sift_avx2, vdb_walk_offer};
  return &table;
}

#endif
