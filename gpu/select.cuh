/*
 * select.cuh - the nearest candidates of many: items of 64 bits, of which the upper half orders keys
 * as floats do and the lower half is the row, so that equal keys go by row. Lists are sorted by one
 * warp, in memory that the block shares.
 */
#ifndef GPU_SELECT_CUH
#define GPU_SELECT_CUH

#include "launch.cuh"

typedef unsigned long long gpu_item;

#define GPU_NO_ITEM ((gpu_item)~0ull)

__device__ __forceinline__ gpu_item gpu_item_of(float key, uint32_t row) {
  uint32_t bits = __float_as_uint(key);
  bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
  return (gpu_item)bits << 32 | row;
}

__device__ __forceinline__ float gpu_item_key(gpu_item item) {
  uint32_t bits = (uint32_t)(item >> 32);
  return __uint_as_float(bits ^ (bits >> 31 ? 0x80000000u : 0xffffffffu));
}

/* Sorts n items, a power of two, by one warp (Batcher, Sorting networks and their applications,
   1968: the bitonic sorter). */
__device__ __forceinline__ void gpu_sort(gpu_item *items, uint32_t n) {
  uint32_t lane = threadIdx.x % GPU_WARP;
  for (uint32_t run = 2; run <= n; run *= 2)
    for (uint32_t apart = run / 2; apart > 0; apart /= 2) {
      for (uint32_t i = lane; i < n / 2; i += GPU_WARP) {
        uint32_t low = 2 * i - (i & (apart - 1)), high = low + apart;
        bool up = (low & run) == 0;
        gpu_item a = items[low], b = items[high];
        if ((a > b) == up) {
          items[low] = b;
          items[high] = a;
        }
      }
      __syncwarp();
    }
}

/*
 * The lists of a block's queries: each grows by appending whatever is not above its bound, and is cut to
 * its k least when it might not have room for another GPU_TILE. Items are in the device's memory, the
 * rest in that of the block.
 */
#define GPU_TILE 128u /* rows between two cuts */

struct gpu_lists {
  gpu_item *items; /* of query q from q * capacity on */
  float *bounds;
  uint32_t *counts;
  gpu_item *room; /* of the calling warp: `capacity` items */
  uint32_t capacity; /* a power of two, at least k + GPU_TILE */
  uint32_t k;
};

__device__ __forceinline__ void gpu_offer(const struct gpu_lists *l, uint32_t q, float key,
                                          uint32_t row) {
  if (!(key <= l->bounds[q])) /* NaN is offered, too, by damaged rows */
    return;
  uint32_t at = atomicAdd(&l->counts[q], 1u);
  l->items[(size_t)q * l->capacity + at] = gpu_item_of(key, row);
}

/* Cuts list q, by one warp. */
__device__ __forceinline__ void gpu_cut(const struct gpu_lists *l, uint32_t q) {
  uint32_t lane = threadIdx.x % GPU_WARP, n = l->counts[q];
  gpu_item *list = l->items + (size_t)q * l->capacity;
  for (uint32_t i = lane; i < l->capacity; i += GPU_WARP)
    l->room[i] = i < n ? list[i] : GPU_NO_ITEM;
  __syncwarp();
  gpu_sort(l->room, l->capacity);
  for (uint32_t i = lane; i < l->k; i += GPU_WARP)
    list[i] = l->room[i];
  if (lane == 0 && n >= l->k) {
    l->counts[q] = l->k;
    l->bounds[q] = gpu_item_key(l->room[l->k - 1]);
  }
  __syncwarp();
}

/* Cuts the lists of n queries that are longer than `most`, by the whole block. */
__device__ __forceinline__ void gpu_cut_all(const struct gpu_lists *l, uint32_t n, uint32_t most) {
  __syncthreads();
  for (uint32_t q = threadIdx.x / GPU_WARP; q < n; q += blockDim.x / GPU_WARP)
    if (l->counts[q] > most)
      gpu_cut(l, q);
  __syncthreads();
}

#endif
