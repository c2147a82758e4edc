/* bitmap.c - counting; see bitmap.h. */
#include "base/bitmap.h"

enum { BITMAP_ROUNDS = 31 }; /* vectors whose counts of bytes, at most 8, fit a byte */

/* Two words at any address of a word. Without an instruction of the processor, which not all have:
   calling a function for each word takes ten times as long. */
typedef uint64_t bitmap_two __attribute__((vector_size(16), aligned(8), may_alias));

/* The set bits of each byte. */
VDB_INLINE bitmap_two bitmap_bytes(bitmap_two v) {
  const uint64_t pairs = UINT64_C(0x5555555555555555), fours = UINT64_C(0x3333333333333333);
  v -= (v >> 1) & pairs;
  v = (v & fours) + ((v >> 2) & fours);
  return (v + (v >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
}

/* The sum of all bytes. */
VDB_INLINE size_t bitmap_sum(bitmap_two bytes) {
  const uint64_t even = UINT64_C(0x00ff00ff00ff00ff);
  bytes = (bytes & even) + ((bytes >> 8) & even);
  return (size_t)(((bytes[0] + bytes[1]) * UINT64_C(0x0001000100010001)) >> 48);
}

VDB_INTERNAL size_t vdb_bits_count(const uint64_t *bits, size_t n) {
  size_t words = vdb_bits_words(n), total = 0, w = 0;
  while (w + 2 <= words) {
    bitmap_two sums = {0, 0};
    for (size_t end = vdb_min_size(words, w + 2 * (size_t)BITMAP_ROUNDS); w + 2 <= end; w += 2)
      sums += bitmap_bytes(*(const bitmap_two *)(const void *)(bits + w));
    total += bitmap_sum(sums);
  }
  if (w < words)
    total += bitmap_sum(bitmap_bytes((bitmap_two){bits[w], 0}));
  return total;
}
