/* fastscan_avx2.c - fast scan with AVX2: two sub-codes of 32 rows a step; see fastscan.h. */
#include "scan_tables.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

/* Sums of bytes in even and in odd places, in 16 bits: even lanes wrap around with the odd bytes in
   them, which scan_even_avx2 takes off. */
struct scan_sums_avx2 {
  __m256i both, odd;
};

VDB_INLINE void scan_widen_avx2(struct scan_sums_avx2 *s, __m256i bytes) {
  s->both = _mm256_add_epi16(s->both, bytes);
  s->odd = _mm256_add_epi16(s->odd, _mm256_srli_epi16(bytes, 8));
}

VDB_INLINE __m256i scan_even_avx2(struct scan_sums_avx2 s) {
  return _mm256_sub_epi16(s.both, _mm256_slli_epi16(s.odd, 8));
}

/* The two halves of a and of b added: rows 0 to 7 from a, 8 to 15 from b. */
VDB_INLINE __m256i scan_fold_avx2(__m256i a, __m256i b) {
  return _mm256_add_epi16(_mm256_permute2x128_si256(a, b, 0x20),
                          _mm256_permute2x128_si256(a, b, 0x31));
}

/* Look-ups of rows 0 to 15 and 16 to 31 by two sub-codes, added up in bytes. */
struct scan_bytes_avx2 {
  __m256i a, b;
};

VDB_INLINE void scan_step_avx2(struct scan_bytes_avx2 *sums, const uint8_t *block,
                               const uint8_t *lut) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i codes = _mm256_loadu_si256((const void *)block);
  __m256i table = _mm256_loadu_si256((const void *)lut);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), low);
  sums->a = _mm256_add_epi8(sums->a, _mm256_shuffle_epi8(table, _mm256_and_si256(codes, low)));
  sums->b = _mm256_add_epi8(sums->b, _mm256_shuffle_epi8(table, high));
  /* Else compilers collect look-ups to add them in another order, for which there are too few
     registers. */
  __asm__("" : "+x"(sums->a), "+x"(sums->b));
}

/* Eight sub-codes by pairs, one after the other. */
VDB_INLINE void scan_steps_avx2(struct scan_bytes_avx2 *sums, const uint8_t *block,
                                const uint8_t *lut) {
  scan_step_avx2(sums, block, lut);
  scan_step_avx2(sums, block + 32, lut + 32);
  scan_step_avx2(sums, block + 64, lut + 64);
  scan_step_avx2(sums, block + 96, lut + 96);
}

/* Sums of rows 0 to 15 and 16 to 31. */
VDB_INLINE void scan_sum_avx2(const struct vdb_scan_table *q, const uint8_t *block,
                              __m256i out[2]) {
  const struct scan_bytes_avx2 none = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  const uint8_t *lut = q->lut;
  struct scan_sums_avx2 a = {none.a, none.a}, b = a;
  size_t at = 0, end = (size_t)q->m * 16;
  for (; q->depth == 8 && at + 256 <= end; at += 256) {
    struct scan_bytes_avx2 bytes = none;
    scan_steps_avx2(&bytes, block + at, lut + at);
    scan_steps_avx2(&bytes, block + at + 128, lut + at + 128);
    scan_widen_avx2(&a, bytes.a);
    scan_widen_avx2(&b, bytes.b);
  }
  while (at < end) {
    struct scan_bytes_avx2 bytes = none;
    for (size_t stop = vdb_min_size(end, at + (size_t)q->depth * 32); at < stop; at += 32)
      scan_step_avx2(&bytes, block + at, lut + at);
    scan_widen_avx2(&a, bytes.a);
    scan_widen_avx2(&b, bytes.b);
  }
  out[0] = scan_fold_avx2(scan_even_avx2(a), a.odd);
  out[1] = scan_fold_avx2(scan_even_avx2(b), b.odd);
}

/* Keys of eight rows, from sums and factors; those below the bound. */
VDB_INLINE uint32_t scan_eight_avx2(const struct vdb_scan_table *q, __m128i sums,
                                    const uint8_t *factors, float base, float bound, float *keys) {
  __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(sums));
  __m256 value = _mm256_fmadd_ps(x, _mm256_set1_ps(q->scale), _mm256_set1_ps(q->offset));
  __m256 add = _mm256_cvtph_ps(_mm_loadu_si128((const void *)factors));
  __m256 key = _mm256_add_ps(_mm256_set1_ps(base), add);
  if (q->rescaled) {
    __m128i by = _mm_loadu_si128((const void *)(factors + VDB_SCAN_ROWS * 2));
    key = _mm256_fmadd_ps(_mm256_cvtph_ps(by), value, key);
  } else {
    key = _mm256_add_ps(key, value);
  }
  _mm256_storeu_ps(keys, key);
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(key, _mm256_set1_ps(bound), _CMP_LT_OQ));
}

VDB_INLINE uint32_t scan_keys_avx2(const struct vdb_scan_table *q, const uint8_t *factors,
                                   const __m256i sums[2], float base, float bound, float *keys) {
  uint32_t below = 0;
  for (int i = 0; i < 2; i++) {
    __m128i first = _mm256_castsi256_si128(sums[i]), second = _mm256_extracti128_si256(sums[i], 1);
    below |= scan_eight_avx2(q, first, factors + i * 32, base, bound, keys + i * 16) << i * 16;
    below |= scan_eight_avx2(q, second, factors + i * 32 + 16, base, bound, keys + i * 16 + 8)
             << (i * 16 + 8);
  }
  return below;
}

static uint32_t scan_nibbles_avx2(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                  float bound, float *keys) {
  __m256i sums[2];
  scan_sum_avx2(q, block, sums);
  return scan_keys_avx2(q, block + (size_t)q->m * 16, sums, base, bound, keys);
}

static void scan_nibble_sums_avx2(const struct vdb_scan_table *q, const uint8_t *block,
                                  uint16_t *sums) {
  __m256i two[2];
  scan_sum_avx2(q, block, two);
  _mm256_storeu_si256((void *)sums, two[0]);
  _mm256_storeu_si256((void *)(sums + 16), two[1]);
}

static uint32_t scan_bytes_avx2(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  vdb_scan_byte_sums(q, block, sums);
  __m256i two[2] = {_mm256_loadu_si256((const void *)sums),
                    _mm256_loadu_si256((const void *)(sums + 16))};
  return scan_keys_avx2(q, block + (size_t)q->m * VDB_SCAN_ROWS, two, base, bound, keys);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx2(void) {
  static const struct vdb_fastscan table = {.name = "avx2",
                                            .nibbles = scan_nibbles_avx2,
                                            .bytes = scan_bytes_avx2,
                                            .nibble_sums = scan_nibble_sums_avx2,
                                            .byte_sums = vdb_scan_byte_sums};
  return &table;
}

#endif
