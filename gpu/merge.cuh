/* merge.cuh - the nearest of the lists that blocks have kept of their shares. */
#ifndef GPU_MERGE_CUH
#define GPU_MERGE_CUH

#include "select.cuh"

/* All on the device. The list of block b and query q is at (b * group + q) * capacity, in order. */
struct gpu_merge {
  const gpu_item *lists;
  const uint32_t *counts; /* of list (b, q) at b * group + q */
  uint32_t n;             /* queries */
  uint32_t group;
  uint32_t blocks;
  uint32_t k;
  uint32_t capacity;      /* gpu_capacity(k) */
  uint32_t *rows;         /* the answer, as in vdb_accel_ask */
  float *keys;
  uint32_t *found;
};

/* Items of a list of the k nearest. */
uint32_t gpu_capacity(uint32_t k);
void gpu_merge_launch(cudaStream_t stream, const struct gpu_merge *merge);

#endif
