/*
 * kern.h - distance kernels, chosen once at run time for the processor. A table of kernels exists
 * per element type and operation; the query is prepared by the caller in the form given below. All
 * pointers may be unaligned; rows are `stride` bytes apart; no kernel reads past `dim` elements of
 * a row.
 *
 *   element   query      operations     accumulated in
 *   F32       float      L2, DOT        float, at least 8 lanes summed pairwise at the end
 *   F16       float      L2, DOT        float
 *   BF16      float      L2, DOT        float
 *   I8        int8_t     L2, DOT        integers, exact up to VECDB_MAX_DIM, then float
 *   BITS      uint8_t    HAMMING, JACCARD   integers; dim counts bits, a multiple of 8
 *
 * L2 is the squared distance, DOT the inner product, HAMMING the number of differing bits, JACCARD
 * 1 - |and| / |or| (0 when both are empty). Different tables may differ in the last bits of a
 * float.
 */
#ifndef VDB_KERN_H
#define VDB_KERN_H

#include "base/base.h"

enum vdb_elem { VDB_F32, VDB_F16, VDB_BF16, VDB_I8, VDB_BITS, VDB_ELEM_COUNT };
enum vdb_op { VDB_OP_L2, VDB_OP_DOT, VDB_OP_HAMMING, VDB_OP_JACCARD, VDB_OP_COUNT };

struct vdb_kern {
  float (*one)(const void *query, const void *row, size_t dim);
  /* out[i] for the n rows at rows + i * stride */
  void (*many)(const void *query, const void *rows, size_t stride, size_t n, size_t dim,
               float *out);
  /* out[i] for the rows ids[i] at base + ids[i] * stride; prefetches rows ahead of their use */
  void (*gather)(const void *query, const void *base, size_t stride, const uint32_t *ids, size_t n,
                 size_t dim, float *out);
};

struct vdb_tile_step; /* cpu.h */

struct vdb_kern_table {
  const char *name; /* "scalar", "avx2", "avx512", "neon" */
  struct vdb_kern kern[VDB_ELEM_COUNT][VDB_OP_COUNT]; /* NULLs where the operation has no meaning */
  /* Conversions, round to nearest even; overflow gives infinity, NaN stays NaN. */
  void (*f32_to_f16)(const float *in, uint16_t *out, size_t n);
  void (*f16_to_f32)(const uint16_t *in, float *out, size_t n);
  void (*f32_to_bf16)(const float *in, uint16_t *out, size_t n);
  void (*bf16_to_f32)(const uint16_t *in, float *out, size_t n);
  /* Products of up to 12 rows and those of the panels, each sum in order with one rounding a
     product. For tile.c. */
  void (*tile)(const struct vdb_tile_step *step);
};

/* The best table of this processor, or the one the environment variable VECDB_KERN names if the
   processor has it. Any thread. */
VDB_INTERNAL const struct vdb_kern_table *vdb_kern(void);
/* The i-th table this processor can run (0: scalar), or NULL past the last; for tests. */
VDB_INTERNAL const struct vdb_kern_table *vdb_kern_available(size_t i);

/* The float of a BITS kernel's counts: of bits that differ, and of bits that one of the two has.
   JACCARD is 1 - |and| / |or| with one rounding; no branch, so that four are done at once. */
VDB_INLINE float vdb_bits_float(enum vdb_op op, uint32_t differ, uint32_t any) {
  float x = (float)(int32_t)differ;
  return op == VDB_OP_HAMMING ? x : x / (float)(int32_t)(any + (any == 0));
}

/* Bytes of one row. */
VDB_INLINE size_t vdb_elem_row_bytes(enum vdb_elem elem, size_t dim) {
  switch (elem) {
  case VDB_F32:
    return dim * 4;
  case VDB_F16:
  case VDB_BF16:
    return dim * 2;
  case VDB_I8:
    return dim;
  default:
    return dim / 8;
  }
}

#endif
