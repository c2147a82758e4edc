/*
 * bitmap.h - dense row sets: bit i of word i / 64 stands for row i. Bits past the last row are 0,
 * so that counts and walks need no mask; functions that set ranges keep it so.
 */
#ifndef VDB_BITMAP_H
#define VDB_BITMAP_H

#include "base.h"

VDB_INLINE size_t vdb_bits_words(size_t n) { return (n + 63) / 64; }
VDB_INLINE bool vdb_bit_get(const uint64_t *bits, size_t i) { return bits[i / 64] >> (i % 64) & 1; }
VDB_INLINE void vdb_bit_set(uint64_t *bits, size_t i) { bits[i / 64] |= (uint64_t)1 << (i % 64); }
VDB_INLINE void vdb_bit_clear(uint64_t *bits, size_t i) {
  bits[i / 64] &= ~((uint64_t)1 << (i % 64));
}

/* Set bits among the first n. */
VDB_INTERNAL size_t vdb_bits_count(const uint64_t *bits, size_t n);

/* Makes the first n bits 1 and the rest of the last word 0. */
VDB_INLINE void vdb_bits_fill(uint64_t *bits, size_t n) {
  memset(bits, 0xff, n / 64 * 8);
  if (n % 64)
    bits[n / 64] = ((uint64_t)1 << (n % 64)) - 1;
}

/* The first set bit at or after i, or n. */
VDB_INLINE size_t vdb_bits_next(const uint64_t *bits, size_t n, size_t i) {
  if (i >= n)
    return n;
  size_t w = i / 64;
  uint64_t word = bits[w] & (~(uint64_t)0 << (i % 64));
  while (word == 0) {
    if (++w >= vdb_bits_words(n))
      return n;
    word = bits[w];
  }
  return w * 64 + (size_t)__builtin_ctzll(word);
}

#endif
