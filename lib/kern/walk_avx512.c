/* walk_avx512.c - walk.h with AVX-512, and with VNNI; the loops over codes are in walk_body.h. */
#include "walk.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                              \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,popcnt"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,popcnt")
#endif

typedef __m512i walk_sum_avx512;

VDB_INLINE __m512i walk_zero_avx512(void) { return _mm512_setzero_si512(); }

VDB_INLINE __m512i walk_bytes_avx512(const void *p, size_t n) {
  return n == 64 ? _mm512_loadu_si512(p)
                 : _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}

/* Pairs of products with halves of a byte, at most 4 * 15 * 127, fit 16 bits. */
VDB_INLINE __m512i walk_add4_avx512(__m512i sum, const uint8_t *code, size_t n, const int8_t *low,
                                    const int8_t *high) {
  const __m512i half = _mm512_set1_epi8(15);
  __m512i v = walk_bytes_avx512(code, n);
  __m512i a = _mm512_maddubs_epi16(_mm512_and_si512(v, half), _mm512_loadu_si512(low));
  __m512i b = _mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(v, 4), half),
                                   _mm512_loadu_si512(high));
  return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_add_epi16(a, b), _mm512_set1_epi16(1)));
}

/* Even and odd bytes apart, as whole ones do not fit the instruction above. */
VDB_INLINE __m512i walk_add8_avx512(__m512i sum, const uint8_t *code, size_t n, const int8_t *t) {
  __m512i v = walk_bytes_avx512(code, n);
  __m512i q = _mm512_loadu_si512(t);
  __m512i even = _mm512_madd_epi16(_mm512_and_si512(v, _mm512_set1_epi16(255)),
                                   _mm512_srai_epi16(_mm512_slli_epi16(q, 8), 8));
  __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(v, 8), _mm512_srai_epi16(q, 8));
  return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
}

/* The lanes of each of four vectors summed, as four lanes. */
VDB_INLINE __m128i walk_sum4_avx512(__m512i a, __m512i b, __m512i c, __m512i d) {
  __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  __m512i x = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  __m256i y = _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
}

/* Four sums and the pairs of factors of their rows, made keys. */
VDB_INLINE __m128 walk_keys_avx512(const float *const factors[4], __m128i sum, float weight,
                                   float shift, float add) {
  __m128 f = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[0]),
                                        (const void *)factors[1]));
  __m128 g = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[2]),
                                        (const void *)factors[3]));
  __m128 y = _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_set1_ps(weight), _mm_set1_ps(shift));
  return _mm_fmadd_ps(y, _mm_shuffle_ps(f, g, 0xdd),
                      _mm_add_ps(_mm_shuffle_ps(f, g, 0x88), _mm_set1_ps(add)));
}

VDB_INLINE void walk_finish_avx512(const struct vdb_walk_query *q, const float *const factors[4],
                                   __m512i a, __m512i b, __m512i c, __m512i d, float *keys) {
  __m128i sum = walk_sum4_avx512(a, b, c, d);
  _mm_storeu_ps(keys, walk_keys_avx512(factors, sum, q->weight, q->shift, q->add));
}

static int32_t walk_narrow_avx512(const float *x, size_t n, float by, int8_t *t) {
  __m512i sum = _mm512_setzero_si512();
  for (size_t i = 0; i < n; i += 16) {
    __m512 y = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(by));
    y = _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps(-127)), _mm512_set1_ps(127));
    __m512i v = _mm512_cvtps_epi32(y);
    sum = _mm512_add_epi32(sum, v);
    _mm_storeu_si128((void *)(t + i), _mm512_cvtsepi32_epi8(v));
  }
  return _mm512_reduce_add_epi32(sum);
}

static void walk_widen_avx512(const uint32_t *pairs, size_t n, float by, float *factors) {
  for (size_t i = 0; i < n; i += 4) {
    __m256 four = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(pairs + i)));
    _mm256_storeu_ps(factors + 2 * i, _mm256_mul_ps(four, _mm256_set1_ps(by)));
  }
}

/* ---- Sketches -------------------------------------------------------------------------------- */

enum { WALK_BYTE_WORDS = 8 }; /* words whose elements, summed as bytes, fit a byte */

/* The bytes of a vector summed four by four. */
VDB_INLINE __m512i walk_widen_bytes_avx512(__m512i bytes) {
  __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), bytes);
  return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

static int32_t walk_spread_avx512(const int8_t *t, size_t words, int8_t *out) {
  const __m512i step = _mm512_set1_epi8(VDB_WALK_SPREAD_STEP / 2);
  const __m512i sign = _mm512_set1_epi8(-128), five = _mm512_set1_epi8(31);
  __m512i sum = _mm512_setzero_si512();
  memset(out, 0, vdb_walk_spread_bytes(words));
  for (size_t w = 0; w < words; w++) {
    __m512i x = _mm512_adds_epi8(_mm512_loadu_si512(t + 64 * w), step);
    x = _mm512_srli_epi16(_mm512_xor_si512(x, sign), 3); /* of bytes, but for what comes in */
    x = _mm512_sub_epi8(_mm512_and_si512(x, five), _mm512_set1_epi8(16));
    _mm512_storeu_si512(out + 64 * w, x);
    sum = _mm512_add_epi32(sum, walk_widen_bytes_avx512(x));
  }
  return _mm512_reduce_add_epi32(sum);
}

/* Adds the elements whose bits are set. */
VDB_INLINE __m512i walk_add1_avx512(__m512i sum, uint64_t bits, const int8_t *t) {
  return _mm512_mask_add_epi8(sum, bits, sum, _mm512_load_si512(t));
}

/* Which of four rows have a bound that is not above the limit. */
VDB_INLINE __mmask8 walk_near_avx512(const struct vdb_walk_sketches *sketches,
                                     const struct vdb_walk_sketch_query *query,
                                     const uint64_t *const rows[4], float limit) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i a = zero, b = zero, c = zero, d = zero;
  for (size_t w = 0; w < sketches->words;) {
    __m512i x = zero, y = zero, z = zero, v = zero;
    for (size_t end = vdb_min_size(w + WALK_BYTE_WORDS, sketches->words); w < end; w++) {
      const int8_t *t = query->t + 64 * w;
      x = walk_add1_avx512(x, rows[0][w], t);
      y = walk_add1_avx512(y, rows[1][w], t);
      z = walk_add1_avx512(z, rows[2][w], t);
      v = walk_add1_avx512(v, rows[3][w], t);
    }
    a = _mm512_add_epi32(a, walk_widen_bytes_avx512(x));
    b = _mm512_add_epi32(b, walk_widen_bytes_avx512(y));
    c = _mm512_add_epi32(c, walk_widen_bytes_avx512(z));
    d = _mm512_add_epi32(d, walk_widen_bytes_avx512(v));
  }
  const float *factors[4];
  for (size_t j = 0; j < 4; j++)
    factors[j] = (const void *)(rows[j] + sketches->words);
  __m128 bounds = walk_keys_avx512(factors, walk_sum4_avx512(a, b, c, d), query->weight,
                                   query->shift, query->add);
  return _mm_cmp_ps_mask(bounds, _mm_set1_ps(limit), _CMP_NGT_UQ); /* NaN, of damaged rows, too */
}

static size_t walk_sift_avx512(const struct vdb_walk_sketches *sketches,
                               const struct vdb_walk_sketch_query *query, uint32_t *ids,
                               uint32_t *beside, size_t n, float limit) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i += 4) {
    __mmask8 lanes = (__mmask8)(n - i < 4 ? (1u << (n - i)) - 1 : 15);
    __m128i four = _mm_maskz_loadu_epi32(lanes, ids + i);
    __m128i with = _mm_maskz_loadu_epi32(lanes, beside + i);
    const uint64_t *rows[4];
    for (size_t j = 0; j < 4; j++)
      rows[j] = sketches->rows + ids[vdb_min_size(i + j, n - 1)] * sketches->stride;
    __mmask8 near = walk_near_avx512(sketches, query, rows, limit) & lanes;
    size_t n_near = (size_t)__builtin_popcount(near);
    __mmask8 first = (__mmask8)((1u << n_near) - 1);
    _mm_mask_storeu_epi32(ids + kept, first, _mm_maskz_compress_epi32(near, four));
    _mm_mask_storeu_epi32(beside + kept, first, _mm_maskz_compress_epi32(near, with));
    kept += n_near;
  }
  return kept;
}

#define WB_SUFFIX avx512
#define WB_STEP 64
#include "walk_body.h"

/* ---- The pool -------------------------------------------------------------------------------- */

/* Puts an item that the pool wants in its place: finds the vector it belongs into, opens a gap
   there, and hands the last item of each vector on to the next. All loads and stores are of whole
   aligned vectors, so that one insertion can read what the one before it wrote. */
VDB_INLINE size_t walk_insert_avx512(struct vdb_walk_pool *pool, uint64_t item) {
  __m512i *items = (void *)pool->items;
  size_t i = 0, end = pool->n / 8;
  __mmask8 less;
  __m512i v;
  while (i < end && pool->items[8 * i + 7] < item)
    i++;
  v = items[i];
  less = _mm512_cmplt_epu64_mask(v, _mm512_set1_epi64((long long)item));
  size_t at = 8 * i + (size_t)__builtin_popcount(less);
  pool->n += pool->n < pool->width;
  items[i] = _mm512_mask_expand_epi64(_mm512_set1_epi64((long long)item),
                                      (__mmask8) ~(1u << (at % 8)), v);
  for (size_t last = (pool->n - 1) / 8; i < last; i++) {
    __m512i carry = v;
    v = items[i + 1];
    items[i + 1] = _mm512_alignr_epi64(v, carry, 7);
  }
  if (pool->width % 8) { /* what has left the last place must not stay behind it */
    __m512i *end_of = items + pool->width / 8;
    *end_of = _mm512_mask_mov_epi64(*end_of, (__mmask8)(0xff << pool->width % 8),
                                    _mm512_set1_epi64(-1));
  }
  return at;
}

VDB_INLINE __m512i walk_sortable_avx512(__m512 keys) {
  const __m512i sign = _mm512_set1_epi32(INT32_MIN);
  __m512i bits = _mm512_castps_si512(_mm512_add_ps(keys, _mm512_setzero_ps()));
  bits = _mm512_mask_mov_epi32(bits, _mm512_cmp_ps_mask(keys, keys, _CMP_UNORD_Q),
                               _mm512_set1_epi32(0x7fc00000));
  return _mm512_xor_si512(bits, _mm512_or_si512(_mm512_srai_epi32(bits, 31), sign));
}

static size_t walk_offer_avx512(struct vdb_walk_pool *pool, const uint32_t *nodes,
                                const float *keys, size_t n) {
  size_t first = pool->n;
  for (size_t i = 0; i < n; i += 16) {
    __mmask16 lanes = (__mmask16)(n - i < 16 ? (1u << (n - i)) - 1 : 0xffff);
    __m512i worst = _mm512_set1_epi32((int)(pool->items[pool->width - 1] >> 32));
    __m512i key = walk_sortable_avx512(_mm512_maskz_loadu_ps(lanes, keys + i));
    __mmask16 wanted = _mm512_mask_cmple_epu32_mask(lanes, key, worst);
    if (!wanted)
      continue;
    __m512i node = _mm512_maskz_loadu_epi32(lanes, nodes + i);
    uint32_t high[16], low[16];
    _mm512_storeu_si512(high, _mm512_maskz_compress_epi32(wanted, key));
    _mm512_storeu_si512(low, _mm512_maskz_compress_epi32(wanted, _mm512_slli_epi32(node, 1)));
    for (size_t k = 0, end = (size_t)__builtin_popcount(wanted); k < end; k++) {
      uint64_t item = (uint64_t)high[k] << 32 | low[k];
      if (vdb_walk_pool_wants(pool, item))
        first = vdb_min_size(first, walk_insert_avx512(pool, item));
    }
  }
  return first;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- Keys with VNNI -------------------------------------------------------------------------- */

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,popcnt")
#endif

/* Products with low halves, and 16 times those with high ones: so these need not be moved down. */
struct walk_pair_avx512vnni {
  __m512i low, high;
};
typedef struct walk_pair_avx512vnni walk_sum_avx512vnni;

VDB_INLINE walk_sum_avx512vnni walk_zero_avx512vnni(void) {
  return (walk_sum_avx512vnni){_mm512_setzero_si512(), _mm512_setzero_si512()};
}

VDB_INLINE walk_sum_avx512vnni walk_add4_avx512vnni(walk_sum_avx512vnni sum, const uint8_t *code,
                                                    size_t n, const int8_t *low,
                                                    const int8_t *high) {
  const __m512i half = _mm512_set1_epi8(15);
  __m512i v = walk_bytes_avx512(code, n);
  sum.low = _mm512_dpbusd_epi32(sum.low, _mm512_and_si512(v, half), _mm512_loadu_si512(low));
  sum.high = _mm512_dpbusd_epi32(sum.high, _mm512_andnot_si512(half, v), _mm512_loadu_si512(high));
  return sum;
}

VDB_INLINE walk_sum_avx512vnni walk_add8_avx512vnni(walk_sum_avx512vnni sum, const uint8_t *code,
                                                    size_t n, const int8_t *t) {
  sum.low = _mm512_dpbusd_epi32(sum.low, walk_bytes_avx512(code, n), _mm512_loadu_si512(t));
  return sum;
}

VDB_INLINE __m512i walk_whole_avx512vnni(walk_sum_avx512vnni sum) {
  return _mm512_add_epi32(sum.low, _mm512_srai_epi32(sum.high, 4));
}

VDB_INLINE void walk_finish_avx512vnni(const struct vdb_walk_query *q,
                                       const float *const factors[4], walk_sum_avx512vnni a,
                                       walk_sum_avx512vnni b, walk_sum_avx512vnni c,
                                       walk_sum_avx512vnni d, float *keys) {
  walk_finish_avx512(q, factors, walk_whole_avx512vnni(a), walk_whole_avx512vnni(b),
                     walk_whole_avx512vnni(c), walk_whole_avx512vnni(d), keys);
}

#define WB_SUFFIX avx512vnni
#define WB_STEP 64
#include "walk_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- The tables ------------------------------------------------------------------------------ */

#define WALK_ALL_BUT_KEYS_AVX512                                                            \
  .widen = walk_widen_avx512, .narrow = walk_narrow_avx512, .spread = walk_spread_avx512, \
  .sift = walk_sift_avx512, .offer = walk_offer_avx512

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx512(void) {
  static const struct vdb_walk_kern table = {.name = "avx512",
                                             .keys4 = walk_keys4_avx512,
                                             .keys8 = walk_keys8_avx512,
                                             WALK_ALL_BUT_KEYS_AVX512};
  return &table;
}

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx512vnni(void) {
  static const struct vdb_walk_kern table = {.name = "avx512vnni",
                                             .keys4 = walk_keys4_avx512vnni,
                                             .keys8 = walk_keys8_avx512vnni,
                                             WALK_ALL_BUT_KEYS_AVX512};
  return &table;
}
#undef WALK_ALL_BUT_KEYS_AVX512

#endif
