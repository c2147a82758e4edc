/*
 * set.cuh - rows on a device, and what kernels see of them.
 *
 * Rows of numbers are kept as half floats, each scaled by a power of two so that its largest element
 * has the exponent 14: then rounding is all that is lost, down to elements of 2^-28 of the largest.
 * How much was lost is measured when a row is packed, not estimated: by the inequality of Cauchy and
 * Schwarz a product of row x and query q, packed as x' and q', is off by at most
 *
 *   |x - x'| |q| + |q - q'| |x'| + c |x| |q|
 *
 * where c bounds what adding up `dim` products in single precision loses, here and in the library.
 */
#ifndef GPU_SET_CUH
#define GPU_SET_CUH

#include "accel/accel.h"
#include "launch.cuh"

/* Of a packed row. */
struct gpu_row_facts {
  float scale; /* what elements are to be multiplied by */
  float square; /* of the norm */
  float norm;
  float lost; /* |x - x'| */
};

/* Lists and centroids, as struct vdb_accel_lists has them. */
struct gpu_list_set {
  int8_t *centroids;
  float *scales;
  float *biases;
  float *spreads; /* or NULL */
  uint32_t *starts;
  uint32_t *rows;
  uint8_t *blocks;
  uint32_t stride;
  uint32_t n;     /* 0: there are no lists, but rows */
  uint32_t n_rows;
  uint32_t n_blocks;
  uint32_t m;
  size_t block_bytes;
  int32_t code;
  bool rescaled;
};

struct vdb_accel_set {
  struct gpu_list_set lists;
  int device;
  uint32_t processors; /* of the device */
  int32_t elem;
  int32_t key;
  uint32_t n;
  uint32_t dim;
  uint32_t padded;   /* half floats a row, a multiple of 16 */
  uint32_t n_padded; /* rows, a multiple of GPU_TILE */
  __half *halves;
  struct gpu_row_facts *facts;
  uint32_t *words;   /* of BITS: word w of row i at w * n_padded + i */
  uint32_t n_words;
  uint32_t *links;
  uint32_t width;
  uint32_t *starts;
  uint32_t n_starts;
};

/* Packs n rows that follow one another, as floats or whatever `elem` is; inv_norms may be NULL. */
void gpu_pack(cudaStream_t stream, const void *raw, int32_t elem, const float *inv_norms, uint32_t n,
              uint32_t dim, uint32_t padded, __half *halves, struct gpu_row_facts *facts);
/* Turns rows of bytes into words, for rows first to first + n - 1. */
void gpu_pack_bits(cudaStream_t stream, const uint8_t *raw, uint32_t n, uint32_t bytes,
                   uint32_t first, uint32_t n_padded, uint32_t *words);

#endif
