/*
 * cpu.h - what the processor and the operating system offer, and what the files of kernel tables
 * share: their getters, the entries of a table, reading short tails, prefetching.
 */
#ifndef VDB_CPU_H
#define VDB_CPU_H

#include "kern.h"

enum vdb_cpu_bit {
  VDB_CPU_AVX2 = 1,      /* with FMA and F16C */
  VDB_CPU_AVX512 = 2,    /* F, BW, DQ and VL, on top of AVX2 */
  VDB_CPU_VNNI = 4,      /* products of bytes, on top of AVX512 */
  VDB_CPU_VPOPCNTDQ = 8, /* counting bits, on top of VNNI */
  VDB_CPU_NEON = 16      /* every aarch64 */
};

/* The set of vdb_cpu_bit whose instructions exist and whose registers the system saves. */
VDB_INTERNAL unsigned vdb_cpu_bits(void);

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_scalar(void);
#if defined(__x86_64__)
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx2(void);
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512(void);
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512vnni(void);
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_avx512vpop(void);
#elif defined(__aarch64__)
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_neon(void);
#endif

/* An entry of a table: the three functions that kern_body.h makes of one element and operation. */
#define VDB_KERN_ENTRY(name, suffix) \
  {kern_##name##_one_##suffix, kern_##name##_many_##suffix, kern_##name##_gather_##suffix}

/* The next n < 8 bytes, zeroes above them; reads nothing behind them. */
VDB_INLINE uint64_t kern_short_bytes(const uint8_t *p, size_t n) {
  uint64_t v = 0;
  uint32_t four;
  uint16_t two;
  if (n & 1)
    v = p[n - 1];
  if (n & 2) {
    memcpy(&two, p + (n & 4), sizeof two);
    v = v << 16 | two;
  }
  if (n & 4) {
    memcpy(&four, p, sizeof four);
    v = v << 32 | four;
  }
  return v;
}

/* The next n < 16 bytes as two words. */
VDB_INLINE void kern_short_words(const void *from, size_t n, uint64_t out[2]) {
  const uint8_t *p = from;
  out[0] = out[1] = 0;
  if (n >= 8) {
    memcpy(out, p, 8);
    out[1] = kern_short_bytes(p + 8, n - 8);
  } else {
    out[0] = kern_short_bytes(p, n);
  }
}

/* The JACCARD distance of sets with `both` members in common and `any` together. */
VDB_INLINE float kern_jaccard(uint32_t both, uint32_t any) {
  return any == 0 ? 0.0f : 1.0f - (float)both / (float)any;
}

/*
 * The float of an I8 kernel's sum modulo 2^32. That is the true sum: L2 is at most 65,535 * 255^2,
 * below 2^32, and DOT is between -2^30 and 2^30.
 */
VDB_INLINE float kern_i8_float(enum vdb_op op, uint32_t sum) {
  return op == VDB_OP_L2 ? (float)sum : (float)(int32_t)sum;
}

/*
 * How gathering reads ahead. Beyond VDB_KERN_AHEAD_BYTES of one row the processor's own prefetcher
 * has found the pattern; more rows than VDB_KERN_AHEAD_ROWS ahead gain nothing and push out others.
 */
enum { VDB_KERN_AHEAD_BYTES = 4096, VDB_KERN_AHEAD_ROWS = 8 };

/* How many rows of `bytes` bytes to be ahead: a multiple of the group of 4. */
VDB_INLINE size_t kern_rows_ahead(size_t bytes) {
  return bytes <= 1024 ? VDB_KERN_AHEAD_ROWS : VDB_KERN_AHEAD_ROWS / 2;
}

/* Asks for each cache line of a row. */
VDB_INLINE void kern_prefetch_row(const uint8_t *row, size_t bytes) {
  size_t n = vdb_min_size(bytes, VDB_KERN_AHEAD_BYTES);
  for (size_t i = 0; i < n; i += 64)
    VDB_PREFETCH(row + i);
  VDB_PREFETCH(row + n - 1);
}

#endif
