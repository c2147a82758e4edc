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

/* Four sums and the pairs of factors of their rows, made keys. */
VDB_INLINE __m128 walk_keys_avx2(const float *const factors[4], __m128i sum, float weight,
                                 float shift, float add) {
  __m128 f = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[0]),
                                        (const void *)factors[1]));
  __m128 g = _mm_castpd_ps(_mm_loadh_pd(_mm_load_sd((const void *)factors[2]),
                                        (const void *)factors[3]));
  __m128 y = _mm_fmadd_ps(_mm_cvtepi32_ps(sum), _mm_set1_ps(weight), _mm_set1_ps(shift));
  return _mm_fmadd_ps(y, _mm_shuffle_ps(f, g, 0xdd),
                      _mm_add_ps(_mm_shuffle_ps(f, g, 0x88), _mm_set1_ps(add)));
}

VDB_INLINE void walk_finish_avx2(const struct vdb_walk_query *q, const float *const factors[4],
                                 __m256i a, __m256i b, __m256i c, __m256i d, float *keys) {
  __m128i sum = walk_sum4_avx2(a, b, c, d);
  _mm_storeu_ps(keys, walk_keys_avx2(factors, sum, q->weight, q->shift, q->add));
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

/* ---- Sketches -------------------------------------------------------------------------------- */

enum {
  WALK_CHUNK = 256,     /* elements in a vector of bits */
  WALK_NARROW_SUM = 16, /* chunks whose sums fit 16 bits: each is at most 2,048 either way */
};

/* 32 elements rounded as by vdb_walk_5_bits, and 16 more. */
VDB_INLINE __m256i walk_5_bits_avx2(const int8_t *t) {
  __m256i x = _mm256_adds_epi8(_mm256_loadu_si256((const void *)t), _mm256_set1_epi8(4));
  x = _mm256_srli_epi16(_mm256_xor_si256(x, _mm256_set1_epi8(-128)), 3);
  return _mm256_and_si256(x, _mm256_set1_epi8(31)); /* without what came in from the next byte */
}

/* Puts 8 elements for each of n bytes of bits in order: first those of all lowest bits. */
VDB_INLINE void walk_transpose_avx2(const int8_t *x, size_t n, int8_t *out) {
  for (size_t byte = 0; byte < n; byte++) {
    uint64_t eight;
    memcpy(&eight, x + 8 * byte, sizeof eight);
    for (size_t bit = 0; bit < 8; bit++, eight >>= 8)
      out[32 * bit + byte] = (int8_t)(uint8_t)eight;
  }
}

/* Bit k of byte j of a chunk is its element 8 j + k, and bits 4 to 7 are moved down to where bits 0
   to 3 are. A bit thus counts as 1 << k % 4, and the element is made 8 times itself with this:
   a product of bits, as they lie, and elements is the sum wanted. Of a last half of a chunk there
   are two, for two rows. */
static int32_t walk_spread_avx2(const int8_t *t, size_t words, int8_t *out) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sums = zero;
  memset(out, 0, vdb_walk_spread_bytes(words));
  for (size_t c = 0; c < 64 * words; c += WALK_CHUNK) {
    size_t n = vdb_min_size(64 * words - c, WALK_CHUNK);
    int8_t rounded[WALK_CHUNK];
    for (size_t i = 0; i < n; i += 32) {
      __m256i x = walk_5_bits_avx2(t + c + i);
      sums = _mm256_add_epi64(sums, _mm256_sad_epu8(x, zero));
      _mm256_storeu_si256((void *)(rounded + i), _mm256_sub_epi8(x, _mm256_set1_epi8(16)));
    }
    walk_transpose_avx2(rounded, n / 8, out + c);
    if (n <= WALK_CHUNK / 2)
      walk_transpose_avx2(rounded, n / 8, out + c + 16);
    for (int bit = 0; bit < 8; bit++) {
      __m256i *at = (void *)(out + c + 32 * bit);
      const __m128i by = _mm_cvtsi32_si128(3 - bit % 4);
      *at = _mm256_and_si256(_mm256_sll_epi16(*at, by),
                             _mm256_set1_epi8((char)(255 << (3 - bit % 4))));
    }
  }
  uint64_t sum[4];
  _mm256_storeu_si256((void *)sum, sums);
  return (int32_t)(sum[0] + sum[1] + sum[2] + sum[3]) - 16 * 64 * (int32_t)words;
}

/* Adds 8 times the products of bits k and k + 4 of a chunk, in lanes of 16 bits. */
VDB_INLINE __m256i walk_add_bits_avx2(__m256i sum, __m256i low, __m256i high, const int8_t *t,
                                      int k) {
  const __m256i bit = _mm256_set1_epi8((char)(1 << k)), *at = (const void *)t;
  sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_and_si256(low, bit), at[k]));
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_and_si256(high, bit), at[k + 4]));
}

VDB_INLINE __m256i walk_add1_avx2(__m256i sum, __m256i low, const int8_t *t) {
  __asm__("" : "+r"(t)); /* elements stay operands in memory: there are too few registers */
  __m256i high = _mm256_srli_epi16(low, 4);
  sum = walk_add_bits_avx2(sum, low, high, t, 0);
  sum = walk_add_bits_avx2(sum, low, high, t, 1);
  sum = walk_add_bits_avx2(sum, low, high, t, 2);
  return walk_add_bits_avx2(sum, low, high, t, 3);
}

VDB_INLINE __m256i walk_widen_sum_avx2(__m256i sum) {
  return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

/* The sums of four sketches, times 8, in lanes of 32 bits. */
struct walk_four_avx2 {
  __m256i a, b, c, d;
};

/* Adds what lies in whole chunks. */
VDB_INLINE void walk_add_chunks_avx2(struct walk_four_avx2 *sums, const uint64_t *const rows[4],
                                     size_t chunks, const int8_t *t) {
  for (size_t c = 0; c < chunks; c += WALK_NARROW_SUM) {
    __m256i x = _mm256_setzero_si256(), y = x, z = x, w = x;
    size_t end = 4 * vdb_min_size(c + WALK_NARROW_SUM, chunks);
    for (size_t i = 4 * c; i < end; i += 4, t += WALK_CHUNK) {
      x = walk_add1_avx2(x, _mm256_loadu_si256((const void *)(rows[0] + i)), t);
      y = walk_add1_avx2(y, _mm256_loadu_si256((const void *)(rows[1] + i)), t);
      z = walk_add1_avx2(z, _mm256_loadu_si256((const void *)(rows[2] + i)), t);
      w = walk_add1_avx2(w, _mm256_loadu_si256((const void *)(rows[3] + i)), t);
    }
    sums->a = _mm256_add_epi32(sums->a, walk_widen_sum_avx2(x));
    sums->b = _mm256_add_epi32(sums->b, walk_widen_sum_avx2(y));
    sums->c = _mm256_add_epi32(sums->c, walk_widen_sum_avx2(z));
    sums->d = _mm256_add_epi32(sums->d, walk_widen_sum_avx2(w));
  }
}

/* Adds a last half of a chunk: that of one sketch stands beside that of the next. */
VDB_INLINE void walk_add_half_avx2(__m256i *a, __m256i *b, const uint64_t *row,
                                   const uint64_t *next, const int8_t *t) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i both = _mm256_loadu2_m128i((const void *)next, (const void *)row);
  both = walk_widen_sum_avx2(walk_add1_avx2(zero, both, t));
  *a = _mm256_add_epi32(*a, _mm256_blend_epi32(both, zero, 0xf0));
  *b = _mm256_add_epi32(*b, _mm256_blend_epi32(both, zero, 0x0f));
}

/* Which of four rows have a bound that is not above the limit. Past the last word, where the
   factors lie, elements are 0. */
VDB_INLINE unsigned walk_near_avx2(const struct vdb_walk_sketches *sketches,
                                   const struct vdb_walk_sketch_query *query,
                                   const uint64_t *const rows[4], float limit) {
  size_t words = sketches->words, whole = (words + 1) / 4 * 4;
  const int8_t *rest = query->t + 64 * whole;
  struct walk_four_avx2 s = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                             _mm256_setzero_si256(), _mm256_setzero_si256()};
  walk_add_chunks_avx2(&s, rows, whole / 4, query->t);
  if (words > whole) {
    walk_add_half_avx2(&s.a, &s.b, rows[0] + whole, rows[1] + whole, rest);
    walk_add_half_avx2(&s.c, &s.d, rows[2] + whole, rows[3] + whole, rest);
  }
  const float *factors[4];
  for (size_t j = 0; j < 4; j++)
    factors[j] = (const void *)(rows[j] + words);
  __m128 bounds = walk_keys_avx2(factors, walk_sum4_avx2(s.a, s.b, s.c, s.d),
                                 query->weight / VDB_WALK_SPREAD_STEP, query->shift, query->add);
  __m128 far = _mm_cmp_ps(bounds, _mm_set1_ps(limit), _CMP_GT_OQ); /* not NaN, of damaged rows */
  return (unsigned)_mm_movemask_ps(far) ^ 15;
}

/* The ids of four whose bits are set, moved together. */
VDB_INLINE void walk_compress_avx2(uint32_t *out, __m128i ids, unsigned set) {
  static const int orders[16][4] = {
      {0}, {0}, {1}, {0, 1}, {2}, {0, 2}, {1, 2}, {0, 1, 2}, {3}, {0, 3}, {1, 3}, {0, 1, 3},
      {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};
  __m128i order = _mm_loadu_si128((const void *)orders[set]);
  _mm_storeu_ps((float *)(void *)out, _mm_permutevar_ps(_mm_castsi128_ps(ids), order));
}

static size_t walk_sift_avx2(const struct vdb_walk_sketches *sketches,
                             const struct vdb_walk_sketch_query *query, uint32_t *ids,
                             uint32_t *beside, size_t n, float limit) {
  size_t kept = 0, i = 0;
  const uint64_t *rows[4];
  for (; i + 4 <= n; i += 4) { /* what is kept never passes what has been read */
    __m128i four = _mm_loadu_si128((const void *)(ids + i));
    __m128i with = _mm_loadu_si128((const void *)(beside + i));
    for (size_t j = 0; j < 4; j++)
      rows[j] = sketches->rows + ids[i + j] * sketches->stride;
    unsigned near = walk_near_avx2(sketches, query, rows, limit);
    walk_compress_avx2(ids + kept, four, near);
    walk_compress_avx2(beside + kept, with, near);
    kept += (size_t)__builtin_popcount(near);
  }
  if (i == n)
    return kept;
  for (size_t j = 0; j < 4; j++)
    rows[j] = sketches->rows + ids[vdb_min_size(i + j, n - 1)] * sketches->stride;
  for (unsigned near = walk_near_avx2(sketches, query, rows, limit); i < n; i++, near >>= 1) {
    ids[kept] = ids[i];
    beside[kept] = beside[i];
    kept += near & 1;
  }
  return kept;
}

#define WB_SUFFIX avx2
#define WB_STEP 32
#include "walk_body.h"

/* ---- The pool -------------------------------------------------------------------------------- */

/* Which items of a vector are smaller, as all ones. There is only a comparison with signs. */
VDB_INLINE __m256i walk_less_avx2(__m256i items, __m256i than) {
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  return _mm256_cmpgt_epi64(_mm256_xor_si256(than, sign), _mm256_xor_si256(items, sign));
}

/* Puts an item that the pool wants in its place: finds the vector it belongs into, opens a gap
   there, and hands the last item of each vector on to the next. All loads and stores are of whole
   aligned vectors, so that one insertion can read what the one before it wrote. */
VDB_INLINE size_t walk_insert_avx2(struct vdb_walk_pool *pool, uint64_t item) {
  __m256i *items = (void *)pool->items;
  const __m256i new = _mm256_set1_epi64x((long long)item);
  size_t i = 0, end = pool->n / 4;
  while (i < end && pool->items[4 * i + 3] < item)
    i++;
  __m256i v = items[i], less = walk_less_avx2(v, new);
  __m256i moved = _mm256_permute4x64_epi64(v, 0x93); /* its last item first */
  __m256i up_to = _mm256_blend_epi32(_mm256_permute4x64_epi64(less, 0x93),
                                     _mm256_set1_epi32(-1), 0x03);
  size_t at = 4 * i + (size_t)__builtin_popcount(
                          (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(less)));
  pool->n += pool->n < pool->width;
  items[i] = _mm256_blendv_epi8(_mm256_blendv_epi8(moved, new, up_to), v, less);
  for (size_t last = (pool->n - 1) / 4; i < last; i++) {
    __m256i carry = moved;
    moved = _mm256_permute4x64_epi64(items[i + 1], 0x93);
    items[i + 1] = _mm256_blend_epi32(moved, carry, 0x03);
  }
  if (pool->width % 4) { /* what has left the last place must not stay behind it */
    const __m256i places = _mm256_setr_epi64x(0, 1, 2, 3);
    __m256i *end_of = items + pool->width / 4;
    __m256i inside = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)pool->width % 4), places);
    *end_of = _mm256_or_si256(*end_of, _mm256_xor_si256(inside, _mm256_set1_epi32(-1)));
  }
  return at;
}

/* vdb_walk_sortable of eight keys. */
VDB_INLINE __m256i walk_sortable_avx2(__m256 keys) {
  const __m256i sign = _mm256_set1_epi32(INT32_MIN);
  __m256 plain = _mm256_blendv_ps(_mm256_add_ps(keys, _mm256_setzero_ps()),
                                  _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000)),
                                  _mm256_cmp_ps(keys, keys, _CMP_UNORD_Q));
  __m256i bits = _mm256_castps_si256(plain);
  return _mm256_xor_si256(bits, _mm256_or_si256(_mm256_srai_epi32(bits, 31), sign));
}

/* First looks which of eight the pool wants, as that is hard to predict. */
static size_t walk_offer_avx2(struct vdb_walk_pool *pool, const uint32_t *nodes,
                              const float *keys, size_t n) {
  const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  size_t first = pool->n;
  for (size_t i = 0; i < n; i += 8) {
    __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)vdb_min_size(n - i, 8)), places);
    __m256i worst = _mm256_set1_epi32((int)(pool->items[pool->width - 1] >> 32));
    __m256i key = walk_sortable_avx2(_mm256_maskload_ps(keys + i, lanes));
    __m256i near = _mm256_cmpeq_epi32(_mm256_max_epu32(key, worst), worst);
    near = _mm256_and_si256(near, lanes);
    unsigned wanted = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(near));
    uint32_t high[8];
    _mm256_storeu_si256((void *)high, key);
    for (; wanted; wanted &= wanted - 1) {
      unsigned k = (unsigned)__builtin_ctz(wanted);
      uint64_t item = (uint64_t)high[k] << 32 | (uint64_t)nodes[i + k] << 1;
      if (vdb_walk_pool_wants(pool, item))
        first = vdb_min_size(first, walk_insert_avx2(pool, item));
    }
  }
  return first;
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_avx2(void) {
  static const struct vdb_walk_kern table = {"avx2", walk_keys4_avx2, walk_keys8_avx2,
                                             walk_widen_avx2, walk_narrow_avx2,
                                             walk_spread_avx2, walk_sift_avx2, walk_offer_avx2};
  return &table;
}

#endif
