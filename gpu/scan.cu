/*
 * scan.cu - see scan.cuh. A block takes tiles of GPU_TILE rows, and keeps for each query the nearest of
 * those it has seen; merge.cu puts the lists of the blocks together. Products of half floats go
 * through the matrix units: a warp has 16 rows of a tile, and all queries of the launch. Rows are thus
 * read once, for up to 128 queries.
 */
#include "scan.cuh"

#include <mma.h>

#include "merge.cuh"

using namespace nvcuda;

enum {
  SCAN_BLOCK = 256,
  SCAN_WARPS = SCAN_BLOCK / 32,
  SCAN_SIDE = 16, /* of the matrices */
  SCAN_BITS_BLOCK = GPU_TILE,
  SCAN_BITS_GROUP = 16
};

#define SCAN_LEAST 0x1p-100f /* of products of what is too small for floats */

typedef wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> scan_queries;
typedef wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> scan_rows;
typedef wmma::fragment<wmma::accumulator, 16, 16, 16, float> scan_sums;

struct scan_view {
  struct gpu_scan scan;
  const __half *halves;
  const struct gpu_row_facts *facts;
  const uint32_t *words;
  uint32_t n;
  uint32_t n_padded;
  uint32_t padded;
  uint32_t n_words;
  uint32_t capacity;
  int32_t key;
  float adding; /* c of set.cuh */
};

__device__ __forceinline__ bool scan_allows(const struct scan_view *v, uint32_t row) {
  return row < v->n && (!v->scan.allow || (v->scan.allow[row / 32] >> row % 32 & 1));
}

/* The least that the key can be; of rows or queries that are too large or no numbers, as damaged files
   may hold, it is not known. */
__device__ __forceinline__ float scan_key(const struct scan_view *v, float sum,
                                          const struct gpu_row_facts *q,
                                          const struct gpu_row_facts *x) {
  float product = sum * q->scale * x->scale;
  float off = x->lost * q->norm + q->lost * (x->norm + x->lost) + v->adding * x->norm * q->norm;
  float key = -product - off;
  if (v->key == VDB_ACCEL_L2) {
    float squares = q->square + x->square;
    key = fmaxf(squares + 2 * key - 2 * v->adding * squares, 0.0f);
  }
  key -= SCAN_LEAST;
  return key == key ? key : __uint_as_float(0xff800000u);
}

/* Offers the products of 16 queries and the 16 rows of a warp, which are at `sums`. */
__device__ __forceinline__ void scan_offer(const struct scan_view *v, const struct gpu_lists *lists,
                                           const float *sums, uint32_t first_query,
                                           uint32_t first_row) {
  uint32_t lane = threadIdx.x % GPU_WARP, row = first_row + lane % SCAN_SIDE;
  if (scan_allows(v, row)) {
    struct gpu_row_facts x = v->facts[row];
    for (uint32_t i = lane / SCAN_SIDE; i < SCAN_SIDE; i += GPU_WARP / SCAN_SIDE) {
      uint32_t q = first_query + i;
      if (q < v->scan.n) {
        struct gpu_row_facts facts = v->scan.facts[q];
        gpu_offer(lists, q, scan_key(v, sums[i * SCAN_SIDE + lane % SCAN_SIDE], &facts, &x), row);
      }
    }
  }
  __syncwarp();
}

__device__ __forceinline__ void scan_begin(const struct scan_view *v, struct gpu_lists *lists,
                                           gpu_item *room, float *bounds, uint32_t *counts,
                                           uint32_t group) {
  lists->items = v->scan.lists + (size_t)blockIdx.x * group * v->capacity;
  lists->bounds = bounds;
  lists->counts = counts;
  lists->room = room + (size_t)(threadIdx.x / GPU_WARP) * v->capacity;
  lists->capacity = v->capacity;
  lists->k = v->scan.k;
  for (uint32_t q = threadIdx.x; q < group; q += blockDim.x) {
    bounds[q] = __uint_as_float(0x7f800000u);
    counts[q] = 0;
  }
  __syncthreads();
}

/* Leaves the k nearest, in order. */
__device__ __forceinline__ void scan_end(const struct scan_view *v, const struct gpu_lists *lists,
                                         uint32_t group) {
  gpu_cut_all(lists, v->scan.n, 0);
  for (uint32_t q = threadIdx.x; q < v->scan.n; q += blockDim.x)
    v->scan.counts[(size_t)blockIdx.x * group + q] = lists->counts[q];
}

template <int SIXTEENS>
__global__ void __launch_bounds__(SCAN_BLOCK) scan_kernel(struct scan_view v) {
  GPU_DYNAMIC_SHARED(gpu_item, room);
  __shared__ float bounds[SIXTEENS * SCAN_SIDE];
  __shared__ uint32_t counts[SIXTEENS * SCAN_SIDE];
  __shared__ __align__(32) float staged[SCAN_WARPS][SCAN_SIDE * SCAN_SIDE];
  const uint32_t group = SIXTEENS * SCAN_SIDE;
  struct gpu_lists lists;
  uint32_t warp = threadIdx.x / GPU_WARP;
  scan_begin(&v, &lists, room, bounds, counts, group);
  for (uint32_t tile = blockIdx.x; tile < v.n_padded / GPU_TILE; tile += gridDim.x) {
    uint32_t first = tile * GPU_TILE + warp * SCAN_SIDE;
    const __half *rows = v.halves + (size_t)first * v.padded;
    scan_sums sums[SIXTEENS];
    for (int f = 0; f < SIXTEENS; f++)
      wmma::fill_fragment(sums[f], 0.0f);
    for (uint32_t at = 0; at < v.padded; at += SCAN_SIDE) {
      scan_rows b;
      wmma::load_matrix_sync(b, rows + at, v.padded);
      for (int f = 0; f < SIXTEENS; f++) {
        scan_queries a;
        wmma::load_matrix_sync(a, v.scan.queries + (size_t)f * SCAN_SIDE * v.padded + at, v.padded);
        wmma::mma_sync(sums[f], a, b, sums[f]);
      }
    }
    for (int f = 0; f < SIXTEENS; f++) {
      wmma::store_matrix_sync(staged[warp], sums[f], SCAN_SIDE, wmma::mem_row_major);
      __syncwarp();
      scan_offer(&v, &lists, staged[warp], f * SCAN_SIDE, first);
    }
    gpu_cut_all(&lists, v.scan.n, v.capacity - GPU_TILE);
  }
  scan_end(&v, &lists, group);
}

/* A thread a row, and SCAN_BITS_GROUP queries at a time. */
__global__ void __launch_bounds__(SCAN_BITS_BLOCK) scan_bits_kernel(struct scan_view v) {
  GPU_DYNAMIC_SHARED(gpu_item, room);
  __shared__ float bounds[GPU_SCAN_MOST];
  __shared__ uint32_t counts[GPU_SCAN_MOST];
  struct gpu_lists lists;
  scan_begin(&v, &lists, room, bounds, counts, GPU_SCAN_MOST);
  for (uint32_t tile = blockIdx.x; tile < v.n_padded / GPU_TILE; tile += gridDim.x) {
    uint32_t row = tile * GPU_TILE + threadIdx.x;
    bool allowed = scan_allows(&v, row);
    for (uint32_t first = 0; first < v.scan.n; first += SCAN_BITS_GROUP) {
      uint32_t differ[SCAN_BITS_GROUP] = {0};
      for (uint32_t w = 0; w < v.n_words; w++) {
        uint32_t word = v.words[(size_t)w * v.n_padded + row];
        for (uint32_t i = 0; i < SCAN_BITS_GROUP; i++)
          differ[i] += __popc(word ^ v.scan.words[(size_t)(first + i) * v.n_words + w]);
      }
      for (uint32_t i = 0; i < SCAN_BITS_GROUP; i++)
        if (allowed && first + i < v.scan.n)
          gpu_offer(&lists, first + i, (float)differ[i], row);
    }
    gpu_cut_all(&lists, v.scan.n, v.capacity - GPU_TILE);
  }
  scan_end(&v, &lists, GPU_SCAN_MOST);
}

uint32_t gpu_scan_group(uint32_t n) {
  uint32_t group = SCAN_SIDE;
  while (group < n)
    group *= 2;
  return group;
}

uint32_t gpu_scan_blocks(const struct vdb_accel_set *set, uint32_t processors) {
  uint32_t tiles = set->n_padded / GPU_TILE;
  return tiles < processors ? tiles : processors;
}

static uint32_t scan_room(uint32_t capacity, uint32_t block) {
  return (uint32_t)sizeof(gpu_item) * capacity * (block / GPU_WARP);
}

template <int SIXTEENS> static cudaError_t scan_allow_room(void) {
  return cudaFuncSetAttribute(scan_kernel<SIXTEENS>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              (int)scan_room(gpu_capacity(VDB_ACCEL_MAX_K), SCAN_BLOCK));
}

cudaError_t gpu_scan_prepare(void) {
  cudaError_t error = scan_allow_room<1>();
  error = error == cudaSuccess ? scan_allow_room<2>() : error;
  error = error == cudaSuccess ? scan_allow_room<4>() : error;
  return error == cudaSuccess ? scan_allow_room<8>() : error;
}

template <int SIXTEENS> static void scan_start(cudaStream_t stream, const struct scan_view *v) {
  GPU_LAUNCH(scan_kernel<SIXTEENS>, dim3(v->scan.blocks), dim3(SCAN_BLOCK),
             scan_room(v->capacity, SCAN_BLOCK), stream, *v);
}

void gpu_scan_launch(cudaStream_t stream, const struct vdb_accel_set *set,
                     const struct gpu_scan *scan) {
  struct scan_view v = {};
  v.scan = *scan;
  v.halves = set->halves;
  v.facts = set->facts;
  v.words = set->words;
  v.n = set->n;
  v.n_padded = set->n_padded;
  v.padded = set->padded;
  v.n_words = set->n_words;
  v.capacity = gpu_capacity(scan->k);
  v.key = set->key;
  v.adding = ((float)set->dim + 64) * 0x1p-23f; /* matrix units cut off what they add */
  uint32_t group = set->elem == VDB_ACCEL_BITS ? (uint32_t)GPU_SCAN_MOST : gpu_scan_group(scan->n);
  if (set->elem == VDB_ACCEL_BITS)
    GPU_LAUNCH(scan_bits_kernel, dim3(scan->blocks), dim3(SCAN_BITS_BLOCK),
               scan_room(v.capacity, SCAN_BITS_BLOCK), stream, v);
  else if (group == 16)
    scan_start<1>(stream, &v);
  else if (group == 32)
    scan_start<2>(stream, &v);
  else if (group == 64)
    scan_start<4>(stream, &v);
  else
    scan_start<8>(stream, &v);
  struct gpu_merge merge = {scan->lists, scan->counts, scan->n, group,      scan->blocks,
                            scan->k,     v.capacity,   scan->rows, scan->keys, scan->found};
  gpu_merge_launch(stream, &merge);
}
