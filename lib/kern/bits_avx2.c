/* bits_avx2.c - distances of turned bits with AVX2, 32 rows a register; see bits.h. */
#include "bits_tables.h"

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

VDB_INLINE __m256i bits_zero_avx2(void) { return _mm256_setzero_si256(); }
VDB_INLINE __m256i bits_add_avx2(__m256i a, __m256i b) { return _mm256_add_epi8(a, b); }
VDB_INLINE __m256i bits_load_avx2(const uint8_t *p) {
  return _mm256_loadu_si256((const void *)p);
}
VDB_INLINE __m256i bits_low_avx2(__m256i v) {
  return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
VDB_INLINE __m256i bits_high_avx2(__m256i v) {
  return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}
VDB_INLINE __m256i bits_table_avx2(const uint8_t *p) {
  return _mm256_broadcastsi128_si256(_mm_load_si128((const void *)p));
}
VDB_INLINE __m256i bits_look_avx2(__m256i table, __m256i v) {
  return _mm256_shuffle_epi8(table, v);
}
VDB_INLINE void bits_widen_avx2(uint16_t *out, __m256i v, bool add) {
  __m256i first = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(v));
  __m256i second = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(v, 1));
  if (add) {
    first = _mm256_add_epi16(first, _mm256_loadu_si256((const void *)out));
    second = _mm256_add_epi16(second, _mm256_loadu_si256((const void *)(out + 16)));
  }
  _mm256_storeu_si256((void *)out, first);
  _mm256_storeu_si256((void *)(out + 16), second);
}

#define BB_SUFFIX avx2
#define BB_V __m256i
#define BB_ROWS 32
#include "bits_body.h"

/* Up to 16 bytes of two rows, 16 apart, in the halves of a vector. */
VDB_INLINE __m256i bits_pair_avx2(const uint8_t *a, const uint8_t *b, size_t n) {
  uint64_t first[2], second[2];
  if (n == 16)
    return _mm256_setr_m128i(_mm_loadu_si128((const void *)a), _mm_loadu_si128((const void *)b));
  kern_short_words(a, n, first);
  kern_short_words(b, n, second);
  return _mm256_setr_epi64x((long long)first[0], (long long)first[1], (long long)second[0],
                            (long long)second[1]);
}

/* Sixteen columns at a time: what four times deals rows i and i + 8 alternately is turned. */
static void bits_pack_avx2(const uint8_t *const rows[VDB_BITS_ROWS], size_t bytes,
                           uint8_t *block) {
  __m256i x[16], y[16];
  for (size_t at = 0, n; at < bytes; at += n) {
    n = vdb_min_size(bytes - at, 16);
    for (size_t i = 0; i < 16; i++)
      x[i] = bits_pair_avx2(rows[i] + at, rows[i + 16] + at, n);
    for (size_t round = 0; round < 4; round++) {
      for (size_t i = 0; i < 8; i++) {
        y[2 * i] = _mm256_unpacklo_epi8(x[i], x[i + 8]);
        y[2 * i + 1] = _mm256_unpackhi_epi8(x[i], x[i + 8]);
      }
      memcpy(x, y, sizeof x);
    }
    for (size_t i = 0; i < n; i++)
      _mm256_storeu_si256((void *)(block + (at + i) * VDB_BITS_ROWS), x[i]);
  }
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_bits_table *vdb_bits_avx2(void) {
  static const struct vdb_bits_table table = {
      .name = "avx2", .distances = bits_distances_avx2, .pack = bits_pack_avx2};
  return &table;
}

#endif
