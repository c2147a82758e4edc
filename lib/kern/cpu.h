/*
 * cpu.h - what the processor and the operating system offer, and what the files of kernel tables
 * share: their getters, the entries of a table, the ends of rows, results of integer sums and
 * reading ahead.
 */
#ifndef VDB_CPU_H
#define VDB_CPU_H

#include "kern.h"

enum vdb_cpu_bit {
  VDB_CPU_AVX2 = 1,      /* with FMA and F16C */
  VDB_CPU_AVX512 = 2,    /* F, BW, DQ and VL, on top of AVX2 */
  VDB_CPU_VNNI = 4,      /* products of bytes, on top of AVX512 */
  VDB_CPU_VPOPCNTDQ = 8, /* counting bits, on top of VNNI */
  VDB_CPU_NEON = 16,     /* every aarch64 */
  VDB_CPU_VBMI = 32      /* look-ups among 128 bytes, on top of AVX512 */
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

/* The micro-kernel of tile.h. */
enum {
  VDB_TILE_ROWS = 12,
  VDB_TILE_PANEL = 16,                     /* rows that are packed side by side */
  VDB_TILE_COLUMNS = 2 * VDB_TILE_PANEL,
  VDB_TILE_LEN = 256,                      /* elements of a row that are multiplied at a time */
  VDB_TILE_ROW_STRIDE = VDB_TILE_LEN + 16  /* no power of two: rows must not share cache sets */
};

struct vdb_tile_step {
  const float *rows; /* 1 to 12, VDB_TILE_ROW_STRIDE apart */
  size_t n_rows;
  const float *panels; /* 1 or 2: element k of row j at k * 16 + j */
  size_t panel_stride;
  size_t n_panels;
  size_t len; /* up to VDB_TILE_LEN */
  float *out; /* 16 or 32 sums for each row, out_stride apart */
  size_t out_stride;
  bool add; /* to what is there */
};

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

/*
 * The float of an I8 kernel's sum modulo 2^32. That is the true sum: L2 is at most 65,535 * 255^2,
 * below 2^32, and DOT is between -2^30 and 2^30.
 */
VDB_INLINE float kern_i8_float(enum vdb_op op, uint32_t sum) {
  return op == VDB_OP_L2 ? (float)sum : (float)(int32_t)sum;
}

/*
 * Reading ahead: many and gather ask for rows 8 before their turn, a multiple of the 4 that are
 * done at a time. The first KB of a row is enough: there the processor's own prefetcher takes over,
 * and more would push out rows before their turn. bench_kern shows the effect.
 */
enum { VDB_KERN_AHEAD_ROWS = 8, VDB_KERN_AHEAD_BYTES = 1024 };

/* Forced inline: gcc takes a function that only prefetches for one without effect and drops calls
   of it. */
__attribute__((always_inline)) VDB_INLINE void kern_prefetch_row(const uint8_t *row,
                                                                 size_t bytes) {
  size_t n = vdb_min_size(bytes, VDB_KERN_AHEAD_BYTES);
  for (size_t i = 0; i < n; i += 64)
    VDB_PREFETCH(row + i);
  if (n) /* a row that starts within a cache line ends in one more */
    VDB_PREFETCH(row + n - 1);
}

#endif
