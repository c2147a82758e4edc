/*
 * probe.cu - see probe.cuh. Four kernels: the keys of all lists, in 8 bits; the nearest lists, by
 * one block a query; their rows, by `splits` blocks a query, each of which keeps the nearest of its
 * share; and merge.cu.
 *
 * A warp compares the 32 rows of a block. Its lanes read the codes in the order in which they lie,
 * so that each has sums of some rows over some sub-codes; these are added up by shuffles, after
 * which a lane has the sum of one row. Keys are computed as the library's plain kernels do
 * (kern/fastscan.c, index/ivf_code.c), product by product, and are the same but for what wider ones
 * do in their last bits.
 */
#include "probe.cuh"

enum {
  PROBE_BLOCK = 128,
  PROBE_WARPS = PROBE_BLOCK / 32,
  PROBE_GROUP = 8, /* queries that a read of a centroid serves */
  PROBE_FILL = 4   /* blocks a multiprocessor */
};
/* The key of a list that damage made infinite or no number; as index/ivf_probe.c. */
#define PROBE_FAR 3e38f

struct probe_view {
  struct gpu_probe probe;
  struct gpu_list_set set;
  uint32_t capacity;      /* of a list of k */
  uint32_t near_capacity; /* of one of `probes` */
  uint32_t table;         /* bytes */
};

/* ---- Lists ----------------------------------------------------------------------------------- */

__device__ __forceinline__ int probe_dot(const uint4 *a, const uint4 *b, int sum) {
  sum = __dp4a((int)a->x, (int)b->x, sum);
  sum = __dp4a((int)a->y, (int)b->y, sum);
  sum = __dp4a((int)a->z, (int)b->z, sum);
  return __dp4a((int)a->w, (int)b->w, sum);
}

__device__ __forceinline__ float probe_list_key(const struct probe_view *v, uint32_t q,
                                                uint32_t list, int dot) {
  float by = __fmul_rn(v->probe.facts[q].by, v->set.scales[list]);
  float key = __fadd_rn(v->set.biases[list], __fmul_rn(by, (float)dot));
  if (v->set.spreads)
    key = __fadd_rn(key, v->set.spreads[list]);
  return key < __uint_as_float(0x7f800000u) ? key : PROBE_FAR;
}

/* A warp a list, for the PROBE_GROUP queries of the block. */
__global__ void __launch_bounds__(PROBE_BLOCK) probe_keys_kernel(struct probe_view v) {
  GPU_DYNAMIC_SHARED(uint4, codes);
  uint32_t lane = threadIdx.x % GPU_WARP, wide = v.set.stride / 16;
  uint32_t first = blockIdx.y * PROBE_GROUP;
  uint32_t n = min(v.probe.n - first, (uint32_t)PROBE_GROUP);
  const uint4 *from = reinterpret_cast<const uint4 *>(v.probe.codes) + (size_t)first * wide;
  for (uint32_t i = threadIdx.x; i < PROBE_GROUP * wide; i += PROBE_BLOCK)
    codes[i] = from[i < n * wide ? i : i % wide]; /* in place of queries that are not there */
  __syncthreads();
  for (uint32_t list = blockIdx.x * PROBE_WARPS + threadIdx.x / GPU_WARP; list < v.set.n;
       list += gridDim.x * PROBE_WARPS) {
    const uint4 *centroid = reinterpret_cast<const uint4 *>(v.set.centroids) + (size_t)list * wide;
    int sums[PROBE_GROUP] = {0};
    for (uint32_t i = lane; i < wide; i += GPU_WARP) {
      uint4 c = centroid[i];
      for (uint32_t q = 0; q < PROBE_GROUP; q++)
        sums[q] = probe_dot(&c, &codes[q * wide + i], sums[q]);
    }
    for (uint32_t q = 0; q < PROBE_GROUP; q++) {
      for (uint32_t apart = GPU_WARP / 2; apart > 0; apart /= 2)
        sums[q] += __shfl_xor_sync(GPU_ALL, sums[q], apart);
      if (lane == q && q < n)
        v.probe.list_keys[(size_t)(first + q) * v.set.n + list] =
            probe_list_key(&v, first + q, list, sums[q]);
    }
  }
}

__device__ __forceinline__ void probe_begin(struct gpu_lists *lists, gpu_item *items,
                                            gpu_item *room, uint32_t capacity, uint32_t k) {
  lists->items = items;
  lists->room = room;
  lists->capacity = capacity;
  lists->k = k;
  if (threadIdx.x == 0) {
    lists->bounds[0] = __uint_as_float(0x7f800000u);
    lists->counts[0] = 0;
  }
  __syncthreads();
}

/* How many of the sorted lists of a query are within reach; by one warp, told to all its lanes. */
__device__ __forceinline__ uint32_t probe_within(const gpu_item *near, uint32_t n, float reach) {
  uint32_t lane = threadIdx.x % GPU_WARP, within = 0;
  float cut = __fadd_rn(gpu_item_key(near[0]), reach);
  for (uint32_t first = 0; first < n; first += GPU_WARP) {
    bool take = first + lane < n && gpu_item_key(near[first + lane]) <= cut;
    within += __popc(__ballot_sync(GPU_ALL, take));
  }
  return within;
}

/* A block a query: its nearest lists, in order, and how many blocks of rows they have. */
__global__ void __launch_bounds__(PROBE_BLOCK) probe_lists_kernel(struct probe_view v) {
  GPU_DYNAMIC_SHARED(gpu_item, room);
  __shared__ float bound;
  __shared__ uint32_t count;
  uint32_t q = blockIdx.x, lane = threadIdx.x % GPU_WARP;
  const float *keys = v.probe.list_keys + (size_t)q * v.set.n;
  gpu_item *near = v.probe.near + (size_t)q * v.near_capacity;
  struct gpu_lists lists;
  lists.bounds = &bound;
  lists.counts = &count;
  probe_begin(&lists, near, room, v.near_capacity, v.probe.probes);
  for (uint32_t first = 0; first < v.set.n; first += PROBE_BLOCK) {
    uint32_t list = first + threadIdx.x;
    if (list < v.set.n)
      gpu_offer(&lists, 0, keys[list], list);
    gpu_cut_all(&lists, 1, v.near_capacity - GPU_TILE);
  }
  gpu_cut_all(&lists, 1, 0);
  if (threadIdx.x >= GPU_WARP)
    return;
  uint32_t n = probe_within(near, count, v.probe.reach), total = 0;
  uint32_t *ends = v.probe.ends + (size_t)q * v.probe.probes;
  for (uint32_t first = 0; first < n; first += GPU_WARP) {
    uint32_t sum = 0;
    if (first + lane < n) {
      uint32_t list = (uint32_t)near[first + lane];
      sum = v.set.starts[list + 1] - v.set.starts[list];
    }
    for (uint32_t apart = 1; apart < GPU_WARP; apart *= 2) {
      uint32_t before = __shfl_sync(GPU_ALL, sum, lane >= apart ? lane - apart : lane);
      sum += lane >= apart ? before : 0;
    }
    if (first + lane < n)
      ends[first + lane] = total + sum;
    total += __shfl_sync(GPU_ALL, sum, GPU_WARP - 1);
  }
  if (lane == 0) {
    v.probe.chosen[q] = n;
    v.probe.blocks[q] = total;
  }
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* What a lane knows of its row. */
struct probe_sum {
  uint32_t slot;
  float sum;
};

/* Eight lanes read four bytes each of two nibbles of a sub-code; lanes of the same place in theirs
   have the same rows, eight of them, two to a register. */
__device__ __forceinline__ struct probe_sum probe_nibbles(const uint8_t *block,
                                                          const uint8_t *table, uint32_t m) {
  uint32_t lane = threadIdx.x % GPU_WARP, place = lane % 4, own = lane / 4;
  const uint32_t *words = reinterpret_cast<const uint32_t *>(block);
  uint32_t low[2] = {0, 0}, high[2] = {0, 0}; /* sums of bytes 0 and 2, 1 and 3 */
  for (uint32_t j = own; j < m; j += GPU_WARP / 4) {
    uint32_t word = words[j * 4 + place];
    const uint8_t *row = table + j * 16;
    for (uint32_t b = 0; b < 2; b++) {
      uint32_t pairs = word >> 8 * b;
      low[b] += row[pairs & 15] | (uint32_t)row[pairs >> 16 & 15] << 16;
      high[b] += row[pairs >> 4 & 15] | (uint32_t)row[pairs >> 20 & 15] << 16;
    }
  }
  for (uint32_t apart = 4; apart < GPU_WARP; apart *= 2)
    for (uint32_t b = 0; b < 2; b++) {
      low[b] += __shfl_xor_sync(GPU_ALL, low[b], apart);
      high[b] += __shfl_xor_sync(GPU_ALL, high[b], apart);
    }
  uint32_t byte = own % 4, at = 4 * place + byte;
  uint32_t both = own < 4 ? low[byte % 2] : high[byte % 2];
  struct probe_sum out = {at % 2 * 8 + at / 2 + own / 4 * 16,
                          (float)(byte < 2 ? both & 0xffff : both >> 16)};
  return out;
}

/* Eight lanes read the 32 bytes of a sub-code, four rows each. */
__device__ __forceinline__ struct probe_sum probe_bytes(const uint8_t *block, const uint8_t *table,
                                                        uint32_t m) {
  uint32_t lane = threadIdx.x % GPU_WARP, place = lane % 8, own = lane / 8;
  const uint32_t *words = reinterpret_cast<const uint32_t *>(block);
  uint32_t even = 0, odd = 0; /* sums of bytes 0 and 2, 1 and 3 */
  for (uint32_t j = own; j < m; j += GPU_WARP / 8) {
    uint32_t word = words[j * 8 + place];
    const uint8_t *row = table + j * 256;
    even += row[word & 255] | (uint32_t)row[word >> 16 & 255] << 16;
    odd += row[word >> 8 & 255] | (uint32_t)row[word >> 24] << 16;
  }
  for (uint32_t apart = 8; apart < GPU_WARP; apart *= 2) {
    even += __shfl_xor_sync(GPU_ALL, even, apart);
    odd += __shfl_xor_sync(GPU_ALL, odd, apart);
  }
  uint32_t both = own % 2 ? odd : even;
  struct probe_sum out = {4 * place + own, (float)(own < 2 ? both & 0xffff : both >> 16)};
  return out;
}

/* Eight lanes share a row, four rows at a time. */
__device__ __forceinline__ struct probe_sum probe_ints(const uint8_t *block, const uint8_t *table,
                                                       uint32_t m) {
  uint32_t lane = threadIdx.x % GPU_WARP, place = lane % 8, own = lane / 8;
  const uint4 *query = reinterpret_cast<const uint4 *>(table);
  const uint4 *rows = reinterpret_cast<const uint4 *>(block);
  struct probe_sum out = {4 * place + own, 0};
  for (uint32_t turn = 0; turn < 8; turn++) {
    int sum = 0;
    for (uint32_t i = place; i < m / 16; i += 8) {
      uint4 wide = rows[(4 * turn + own) * (m / 16) + i];
      sum = probe_dot(&wide, &query[i], sum);
    }
    for (uint32_t apart = 1; apart < 8; apart *= 2)
      sum += __shfl_xor_sync(GPU_ALL, sum, apart);
    out.sum = turn == place ? (float)sum : out.sum;
  }
  return out;
}

__device__ __forceinline__ float probe_half(const uint8_t *at, uint32_t slot) {
  return __half2float(__ushort_as_half(reinterpret_cast<const unsigned short *>(at)[slot]));
}

/* The key of this lane's row of a block. */
template <int CODE>
__device__ __forceinline__ float probe_key(const struct probe_view *v, const uint8_t *block,
                                           const uint8_t *table,
                                           const struct gpu_probe_facts *facts, float base,
                                           uint32_t *slot) {
  uint32_t m = v->set.m;
  struct probe_sum s = CODE == VDB_ACCEL_NIBBLES ? probe_nibbles(block, table, m)
                       : CODE == VDB_ACCEL_BYTES ? probe_bytes(block, table, m)
                                                 : probe_ints(block, table, m);
  const uint8_t *factors =
      block + (size_t)m * (CODE == VDB_ACCEL_NIBBLES ? 16 : VDB_ACCEL_SLOTS);
  float value = __fmul_rn(facts->scale, s.sum), add;
  *slot = s.slot;
  if (CODE == VDB_ACCEL_INTS) {
    const float *floats = reinterpret_cast<const float *>(factors);
    add = floats[s.slot];
    value = __fmul_rn(floats[VDB_ACCEL_SLOTS + s.slot], value);
  } else {
    add = probe_half(factors, s.slot);
    value = __fadd_rn(value, facts->offset);
    if (v->set.rescaled)
      value = __fmul_rn(probe_half(factors + 2 * VDB_ACCEL_SLOTS, s.slot), value);
  }
  return __fadd_rn(__fadd_rn(base, add), value);
}

/* Which of the query's lists the block belongs to, of all that they have. */
__device__ __forceinline__ uint32_t probe_list_of(const uint32_t *ends, uint32_t n,
                                                  uint32_t block) {
  uint32_t low = 0;
  while (n > 1) {
    uint32_t half = n / 2;
    low += ends[low + half - 1] <= block ? half : 0;
    n -= half;
  }
  return low;
}

__device__ __forceinline__ bool probe_allows(const struct probe_view *v, uint32_t row) {
  return row < v->set.n_rows && (!v->probe.allow || (v->probe.allow[row / 32] >> row % 32 & 1));
}

template <int CODE>
__global__ void __launch_bounds__(PROBE_BLOCK) probe_rows_kernel(struct probe_view v) {
  GPU_DYNAMIC_SHARED(gpu_item, room);
  __shared__ float bound;
  __shared__ uint32_t count;
  uint32_t q = blockIdx.x, total = v.probe.blocks[q];
  uint8_t *table = reinterpret_cast<uint8_t *>(room + v.capacity);
  const uint4 *from = reinterpret_cast<const uint4 *>(v.probe.tables + (size_t)q * v.table);
  for (uint32_t i = threadIdx.x; i < v.table / 16; i += PROBE_BLOCK)
    reinterpret_cast<uint4 *>(table)[i] = from[i];
  size_t share = (size_t)blockIdx.y * v.probe.n + q;
  struct gpu_lists lists;
  lists.bounds = &bound;
  lists.counts = &count;
  probe_begin(&lists, v.probe.lists + share * v.capacity, room, v.capacity, v.probe.k);
  const uint32_t *ends = v.probe.ends + (size_t)q * v.probe.probes;
  const gpu_item *near = v.probe.near + (size_t)q * v.near_capacity;
  struct gpu_probe_facts facts = v.probe.facts[q];
  for (uint32_t tile = blockIdx.y; tile * PROBE_WARPS < total; tile += gridDim.y) {
    uint32_t at = tile * PROBE_WARPS + threadIdx.x / GPU_WARP;
    if (at < total) {
      uint32_t i = probe_list_of(ends, v.probe.chosen[q], at), list = (uint32_t)near[i];
      uint32_t block = v.set.starts[list] + at - (i > 0 ? ends[i - 1] : 0), slot;
      float base = gpu_item_key(near[i]);
      if (v.set.spreads)
        base = __fadd_rn(base, -v.set.spreads[list]);
      float key = probe_key<CODE>(&v, v.set.blocks + block * v.set.block_bytes, table, &facts, base,
                                  &slot);
      uint32_t row = v.set.rows[(size_t)block * VDB_ACCEL_SLOTS + slot];
      if (probe_allows(&v, row))
        gpu_offer(&lists, 0, key, row);
    }
    gpu_cut_all(&lists, 1, v.capacity - GPU_TILE);
  }
  gpu_cut_all(&lists, 1, 0);
  if (threadIdx.x == 0)
    v.probe.counts[share] = count;
}

/* ---- Launches -------------------------------------------------------------------------------- */

uint32_t gpu_probe_table(const struct gpu_list_set *lists) {
  uint32_t bytes = lists->code == VDB_ACCEL_NIBBLES ? 16 : lists->code == VDB_ACCEL_BYTES ? 256 : 1;
  return lists->m * bytes;
}

uint32_t gpu_probe_splits(const struct gpu_list_set *lists, uint32_t n, uint32_t probes,
                          uint32_t processors) {
  uint32_t wanted = (processors * PROBE_FILL + n - 1) / n;
  uint64_t tiles = (uint64_t)lists->n_blocks / lists->n * probes / PROBE_WARPS + 1; /* on average */
  return wanted < tiles ? wanted : (uint32_t)tiles;
}

static size_t probe_shared(uint32_t capacity, uint32_t table) {
  return capacity * sizeof(gpu_item) + table;
}

template <int CODE> static cudaError_t probe_allow_room(void) {
  return cudaFuncSetAttribute(probe_rows_kernel<CODE>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              (int)probe_shared(gpu_capacity(VDB_ACCEL_MAX_K), GPU_PROBE_TABLE));
}

cudaError_t gpu_probe_prepare(void) {
  cudaError_t error = probe_allow_room<VDB_ACCEL_NIBBLES>();
  error = error == cudaSuccess ? probe_allow_room<VDB_ACCEL_BYTES>() : error;
  return error == cudaSuccess ? probe_allow_room<VDB_ACCEL_INTS>() : error;
}

template <int CODE> static void probe_start(cudaStream_t stream, const struct probe_view *v) {
  GPU_LAUNCH(probe_rows_kernel<CODE>, dim3(v->probe.n, v->probe.splits), dim3(PROBE_BLOCK),
             probe_shared(v->capacity, v->table), stream, *v);
}

void gpu_probe_launch(cudaStream_t stream, const struct gpu_list_set *lists,
                      const struct gpu_probe *probe) {
  struct probe_view v = {};
  v.probe = *probe;
  v.set = *lists;
  v.capacity = gpu_capacity(probe->k);
  v.near_capacity = gpu_capacity(probe->probes);
  v.table = gpu_probe_table(lists);
  uint32_t warps = (lists->n + PROBE_WARPS - 1) / PROBE_WARPS;
  uint32_t groups = (probe->n + PROBE_GROUP - 1) / PROBE_GROUP;
  GPU_LAUNCH(probe_keys_kernel, dim3(warps, groups), dim3(PROBE_BLOCK),
             (size_t)PROBE_GROUP * lists->stride, stream, v);
  GPU_LAUNCH(probe_lists_kernel, dim3(probe->n), dim3(PROBE_BLOCK),
             v.near_capacity * sizeof(gpu_item), stream, v);
  if (lists->code == VDB_ACCEL_NIBBLES)
    probe_start<VDB_ACCEL_NIBBLES>(stream, &v);
  else if (lists->code == VDB_ACCEL_BYTES)
    probe_start<VDB_ACCEL_BYTES>(stream, &v);
  else
    probe_start<VDB_ACCEL_INTS>(stream, &v);
  struct gpu_merge merge = {probe->lists, probe->counts, probe->n,    probe->n,    probe->splits,
                            probe->k,     v.capacity,    probe->rows, probe->keys, probe->found};
  gpu_merge_launch(stream, &merge);
}
