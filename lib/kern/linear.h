/*
 * linear.h - short loops over floats that quantizers spend their time in: rotations, tables of a
 * query, the nearest of a few centroids. Chosen once for the processor, as the tables of kern.h
 * are.
 *
 * Centroids are kept in columns: element d of centroid c at columns[d * width + c], where width is
 * their number rounded up to 16; the columns added are copies of column 0.
 */
#ifndef VDB_LINEAR_H
#define VDB_LINEAR_H

#include "base/base.h"

enum { VDB_LINEAR_UNIT = 16, VDB_LINEAR_ROUNDS = 3 };

struct vdb_linear {
  const char *name; /* "plain", "avx2", "avx512" */
  /* sum[i] += x[i] */
  void (*add)(float *sum, const float *x, size_t n);
  /*
   * Rotates x in place, in VDB_LINEAR_ROUNDS rounds: all elements are flipped where signs, dim
   * words of 0 or 0x80000000 a round, say so; then the Hadamard transform of the first (second
   * round: last) 2^k elements, the most there are, is taken, scaled so that lengths stay.
   */
  void (*rotate)(const uint32_t *signs, size_t dim, float *x);
  /* Of each of n rows of dim elements: which c < width has the least halves[c] - <row, column c>,
     and at ties the first. Added columns need halves of infinity. Without fused products, so that
     every table finds the same. */
  void (*nearest)(const float *rows, size_t n, const float *columns, const float *halves,
                  size_t dim, size_t width, uint32_t *which);
  /* The place of the least halves[c] - dots[c] of n, at ties the first; *key becomes it if it is
     less than *key, else the result is n. NaN is not less. */
  size_t (*least)(const float *dots, const float *halves, size_t n, float *key);
  /* out[c] = weight * <x, column c> */
  void (*products)(const float *x, const float *columns, size_t dim, size_t width, float weight,
                   float *out);
  /*
   * Rounds m tables of width entries to bytes: lut[i] * *scale + (a number of each table) is near
   * tables[i], and *offset is the sum of these numbers. No byte is above `most`, and no sum of one
   * byte of each table above 65,535. Spoils `tables`.
   */
  void (*narrow)(float *tables, size_t m, size_t width, uint32_t most, uint8_t *lut, float *scale,
                 float *offset);
  /*
   * Makes such bytes for codes of one bit an element, x of dim elements: entry c < 16 of table j
   * stands for the sum over b < 4 of x[4 j + b] / 2, negative where c lacks bit b. Elements that x
   * lacks are 0.
   */
  void (*signs)(const float *x, size_t dim, uint32_t most, uint8_t *lut, float *scale,
                float *offset);
};

/* The one that goes with vdb_kern(). Any thread. */
VDB_INTERNAL const struct vdb_linear *vdb_linear(void);
/* The i-th that this processor can run (0: plain), or NULL past the last; for tests. */
VDB_INTERNAL const struct vdb_linear *vdb_linear_available(size_t i);

#if defined(__x86_64__)
VDB_INTERNAL const struct vdb_linear *vdb_linear_avx2(void);
VDB_INTERNAL const struct vdb_linear *vdb_linear_avx512(void);
#endif

#endif
