/*
 * fastscan_avx512.c - fast scan with AVX-512: four sub-codes of 32 rows a step; see fastscan.h. A
 * second table looks up bytes by VBMI, 32 rows in 256 entries by two instructions and a choice.
 */
#include "scan_tables.h"

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

/* Sums of bytes in even and in odd places, in 16 bits: even lanes wrap around with the odd bytes in
   them, which scan_even_avx512 takes off. */
struct scan_sums_avx512 {
  __m512i both, odd;
};

VDB_INLINE void scan_widen_avx512(struct scan_sums_avx512 *s, __m512i bytes) {
  s->both = _mm512_add_epi16(s->both, bytes);
  s->odd = _mm512_add_epi16(s->odd, _mm512_srli_epi16(bytes, 8));
}

VDB_INLINE __m512i scan_even_avx512(struct scan_sums_avx512 s) {
  return _mm512_sub_epi16(s.both, _mm512_slli_epi16(s.odd, 8));
}

/* One step: 16 bytes each of four sub-codes. */
#define SCAN_STEP_AVX512(at)                                                                     \
  do {                                                                                           \
    __m512i codes = _mm512_loadu_si512(block + (at));                                            \
    __m512i table = _mm512_loadu_si512(lut + (at));                                              \
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), low);                           \
    bytes_a = _mm512_add_epi8(bytes_a, _mm512_shuffle_epi8(table, _mm512_and_si512(codes, low))); \
    bytes_b = _mm512_add_epi8(bytes_b, _mm512_shuffle_epi8(table, high));                        \
  } while (0)

/* Sums of all 32 rows, in order. */
VDB_INLINE __m512i scan_sum_avx512(const struct vdb_scan_table *q, const uint8_t *block) {
  const __m512i low = _mm512_set1_epi8(15);
  const uint8_t *lut = q->lut;
  struct scan_sums_avx512 a = {_mm512_setzero_si512(), _mm512_setzero_si512()}, b = a;
  size_t at = 0, end = (size_t)q->m * 16;
  for (; q->depth == 8 && at + 512 <= end; at += 512) {
    __m512i bytes_a = _mm512_setzero_si512(), bytes_b = bytes_a;
    for (size_t i = 0; i < 512; i += 64)
      SCAN_STEP_AVX512(at + i);
    scan_widen_avx512(&a, bytes_a);
    scan_widen_avx512(&b, bytes_b);
  }
  while (at < end) {
    __m512i bytes_a = _mm512_setzero_si512(), bytes_b = bytes_a;
    for (size_t stop = vdb_min_size(end, at + (size_t)q->depth * 64); at < stop; at += 64)
      SCAN_STEP_AVX512(at);
    scan_widen_avx512(&a, bytes_a);
    scan_widen_avx512(&b, bytes_b);
  }
  /* Quarters are added: first halves, to 256 bits of each of two, then quarters of all four. */
  __m512i even_a = scan_even_avx512(a), even_b = scan_even_avx512(b);
  __m512i x = _mm512_add_epi16(_mm512_shuffle_i64x2(even_a, a.odd, 0x44),
                               _mm512_shuffle_i64x2(even_a, a.odd, 0xee));
  __m512i y = _mm512_add_epi16(_mm512_shuffle_i64x2(even_b, b.odd, 0x44),
                               _mm512_shuffle_i64x2(even_b, b.odd, 0xee));
  return _mm512_add_epi16(_mm512_shuffle_i64x2(x, y, 0x88), _mm512_shuffle_i64x2(x, y, 0xdd));
}
#undef SCAN_STEP_AVX512

/* Keys of the 16 rows whose sums and factors are given. */
VDB_INLINE __m512 scan_sixteen_avx512(const struct vdb_scan_table *q, __m256i sums,
                                      const uint8_t *factors, float base) {
  __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums));
  __m512 value = _mm512_fmadd_ps(x, _mm512_set1_ps(q->scale), _mm512_set1_ps(q->offset));
  __m512 add = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)factors));
  __m512 key = _mm512_add_ps(_mm512_set1_ps(base), add);
  if (!q->rescaled)
    return _mm512_add_ps(key, value);
  __m256i by = _mm256_loadu_si256((const void *)(factors + VDB_SCAN_ROWS * 2));
  return _mm512_fmadd_ps(_mm512_cvtph_ps(by), value, key);
}

VDB_INLINE uint32_t scan_keys_avx512(const struct vdb_scan_table *q, const uint8_t *factors,
                                     __m512i sums, float base, float bound, float *keys) {
  __m512 first = scan_sixteen_avx512(q, _mm512_castsi512_si256(sums), factors, base);
  __m512 second =
      scan_sixteen_avx512(q, _mm512_extracti64x4_epi64(sums, 1), factors + 32, base);
  __m512 limit = _mm512_set1_ps(bound);
  uint32_t below = _mm512_cmp_ps_mask(first, limit, _CMP_LT_OQ) |
                   (uint32_t)_mm512_cmp_ps_mask(second, limit, _CMP_LT_OQ) << 16;
  if (below) {
    _mm512_storeu_ps(keys, first);
    _mm512_storeu_ps(keys + 16, second);
  }
  return below;
}

static uint32_t scan_nibbles_avx512(const struct vdb_scan_table *q, const uint8_t *block,
                                    float base, float bound, float *keys) {
  __m512i sums = scan_sum_avx512(q, block);
  return scan_keys_avx512(q, block + (size_t)q->m * 16, sums, base, bound, keys);
}

static void scan_nibble_sums_avx512(const struct vdb_scan_table *q, const uint8_t *block,
                                    uint16_t *sums) {
  _mm512_storeu_si512(sums, scan_sum_avx512(q, block));
}

static uint32_t scan_bytes_avx512(const struct vdb_scan_table *q, const uint8_t *block, float base,
                                  float bound, float *keys) {
  uint16_t sums[VDB_SCAN_ROWS];
  vdb_scan_byte_sums(q, block, sums);
  return scan_keys_avx512(q, block + (size_t)q->m * VDB_SCAN_ROWS, _mm512_loadu_si512(sums), base,
                          bound, keys);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/* ---- Bytes with VBMI ------------------------------------------------------------------------- */

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")
#endif

/* Look-ups of 32 rows in 256 entries: by the low 7 bits in each half of the table, then by the
   highest bit. */
VDB_INLINE __m256i scan_look_avx512vbmi(const uint8_t *lut, const uint8_t *codes) {
  __m256i code = _mm256_loadu_si256((const void *)codes);
  __m512i index = _mm512_castsi256_si512(code);
  __m512i low = _mm512_permutex2var_epi8(_mm512_loadu_si512(lut), index,
                                         _mm512_loadu_si512(lut + 64));
  __m512i high = _mm512_permutex2var_epi8(_mm512_loadu_si512(lut + 128), index,
                                          _mm512_loadu_si512(lut + 192));
  return _mm256_mask_blend_epi8(_mm256_movepi8_mask(code), _mm512_castsi512_si256(low),
                                _mm512_castsi512_si256(high));
}

VDB_INLINE __m512i scan_byte_sum_avx512vbmi(const struct vdb_scan_table *q,
                                            const uint8_t *block) {
  __m512i a = _mm512_setzero_si512(), b = a;
  for (size_t j = 0; j < q->m; j += 2) {
    const uint8_t *lut = q->lut + j * 256, *codes = block + j * VDB_SCAN_ROWS;
    a = _mm512_add_epi16(a, _mm512_cvtepu8_epi16(scan_look_avx512vbmi(lut, codes)));
    b = _mm512_add_epi16(b, _mm512_cvtepu8_epi16(scan_look_avx512vbmi(lut + 256, codes + 32)));
  }
  return _mm512_add_epi16(a, b);
}

static uint32_t scan_bytes_avx512vbmi(const struct vdb_scan_table *q, const uint8_t *block,
                                      float base, float bound, float *keys) {
  __m512i sums = scan_byte_sum_avx512vbmi(q, block);
  return scan_keys_avx512(q, block + (size_t)q->m * VDB_SCAN_ROWS, sums, base, bound, keys);
}

static void scan_byte_sums_avx512vbmi(const struct vdb_scan_table *q, const uint8_t *block,
                                      uint16_t *sums) {
  _mm512_storeu_si512(sums, scan_byte_sum_avx512vbmi(q, block));
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx512(void) {
  static const struct vdb_fastscan table = {.name = "avx512",
                                            .nibbles = scan_nibbles_avx512,
                                            .bytes = scan_bytes_avx512,
                                            .nibble_sums = scan_nibble_sums_avx512,
                                            .byte_sums = vdb_scan_byte_sums};
  return &table;
}

VDB_INTERNAL const struct vdb_fastscan *vdb_fastscan_avx512vbmi(void) {
  static const struct vdb_fastscan table = {.name = "avx512vbmi",
                                            .nibbles = scan_nibbles_avx512,
                                            .bytes = scan_bytes_avx512vbmi,
                                            .nibble_sums = scan_nibble_sums_avx512,
                                            .byte_sums = scan_byte_sums_avx512vbmi};
  return &table;
}

#endif
