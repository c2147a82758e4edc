/* merge.cu - see merge.cuh. One warp a query. */
#include "merge.cuh"

/* Appends this warp's items that are not above the bound to n items at `room`; how many
   there are. */
__device__ __forceinline__ uint32_t merge_append(gpu_item *room, uint32_t n, gpu_item item,
                                                gpu_item bound) {
  uint32_t lane = threadIdx.x % GPU_WARP;
  uint32_t votes = __ballot_sync(GPU_ALL, item < bound);
  if (item < bound)
    room[n + __popc(votes & ((1u << lane) - 1))] = item;
  __syncwarp();
  return n + __popc(votes);
}

/* Sorts n items at `room`, by one warp. */
__device__ __forceinline__ void merge_sort(gpu_item *room, uint32_t n, uint32_t capacity) {
  for (uint32_t i = n + threadIdx.x % GPU_WARP; i < capacity; i += GPU_WARP)
    room[i] = GPU_NO_ITEM;
  __syncwarp();
  gpu_sort(room, capacity);
}

__global__ void merge_kernel(struct gpu_merge m) {
  GPU_DYNAMIC_SHARED(gpu_item, room);
  uint32_t lane = threadIdx.x, q = blockIdx.x, k = m.k, n = 0;
  gpu_item bound = GPU_NO_ITEM;
  for (uint32_t b = 0; b < m.blocks; b++) {
    const gpu_item *list = m.lists + ((size_t)b * m.group + q) * m.capacity;
    uint32_t count = m.counts[(size_t)b * m.group + q];
    for (uint32_t first = 0, before; first < count; first += GPU_WARP) {
      before = n;
      n = merge_append(room, n, first + lane < count ? list[first + lane] : GPU_NO_ITEM, bound);
      if (n == before)
        break; /* the rest of the list is farther */
      if (n + GPU_WARP > m.capacity) {
        merge_sort(room, n, m.capacity);
        n = k;
        bound = room[k - 1];
      }
    }
  }
  merge_sort(room, n, m.capacity);
  n = n < k ? n : k;
  for (uint32_t i = lane; i < n; i += GPU_WARP) {
    m.rows[(size_t)q * k + i] = (uint32_t)room[i];
    m.keys[(size_t)q * k + i] = gpu_item_key(room[i]);
  }
  if (lane == 0)
    m.found[q] = n;
}

uint32_t gpu_capacity(uint32_t k) {
  uint32_t capacity = 2 * GPU_TILE;
  while (capacity < k + GPU_TILE)
    capacity *= 2;
  return capacity;
}

void gpu_merge_launch(cudaStream_t stream, const struct gpu_merge *merge) {
  size_t room = merge->capacity * sizeof(gpu_item);
  GPU_LAUNCH(merge_kernel, dim3(merge->n), dim3(GPU_WARP), room, stream, *merge);
}
