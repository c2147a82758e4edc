/*
 * walk.cu - see walk.cuh. A block walks for one query: it keeps the `width` nearest rows it has met
 * in order, expands the nearest that is not expanded, and ends when all are. Lanes share a row's
 * elements, so that its half floats come in wide reads; warps share the links of a node. New rows
 * are sorted, and merged with the pool by rank: each item's place is its own plus the number of the
 * other list's items that are less. (After Ootomo et al., CAGRA: highly parallel graph construction
 * and approximate nearest neighbor search for GPUs, 2024, with a bitmap for the rows that were met
 * instead of a hash table.)
 *
 * Under a bitmap of allowed rows a walk goes through all rows, and keeps beside the pool the k
 * nearest of those that are allowed.
 */
#include "walk.cuh"

enum { WALK_BLOCK = 128, WALK_WARPS = WALK_BLOCK / 32, WALK_WIDE = 8 /* half floats of a read */ };

struct walk_view {
  struct gpu_walk walk;
  const __half *halves;
  const struct gpu_row_facts *facts;
  const uint32_t *links;
  const uint32_t *starts;
  uint32_t n_starts;
  uint32_t padded;
  uint32_t degree;
  uint32_t fresh; /* room for rows of a step, a power of two */
  uint32_t seen;
  int32_t key;
};

/* What a block shares. Items are row and a bit that says whether it is expanded; so rows of a
   graph have 31 bits. */
struct walk_block {
  gpu_item *pool;   /* `width` of them, in order */
  gpu_item *best;   /* under a bitmap: the k nearest that are allowed, in order; room as the pool */
  gpu_item *merged; /* the next of either */
  gpu_item *fresh;
  float *query;
  uint32_t *ids;    /* of fresh rows, before they have keys */
};

__device__ __forceinline__ uint32_t walk_row(gpu_item item) { return (uint32_t)item >> 1; }
__device__ __forceinline__ bool walk_expanded(gpu_item item) { return item & 1; }

/* The product of the query and a packed row, by a warp; all lanes have it. */
__device__ __forceinline__ float walk_product(const struct walk_view *v, const float *query,
                                              uint32_t row) {
  const __half *halves = v->halves + (size_t)row * v->padded;
  float sum = 0;
  for (uint32_t at = threadIdx.x % GPU_WARP * WALK_WIDE; at < v->padded;
       at += GPU_WARP * WALK_WIDE) {
    uint4 wide = *reinterpret_cast<const uint4 *>(halves + at);
    const uint32_t words[4] = {wide.x, wide.y, wide.z, wide.w};
    for (uint32_t i = 0; i < 4; i++) {
      sum += __half2float(__ushort_as_half((unsigned short)(words[i] & 0xffff))) *
             query[at + 2 * i];
      sum += __half2float(__ushort_as_half((unsigned short)(words[i] >> 16))) *
             query[at + 2 * i + 1];
    }
  }
  for (uint32_t apart = GPU_WARP / 2; apart > 0; apart /= 2)
    sum += __shfl_xor_sync(GPU_ALL, sum, apart);
  return sum;
}

/* The query as floats, with its scale. */
__device__ __forceinline__ void walk_load_query(const struct walk_view *v, float *query) {
  const __half *halves = v->walk.queries + (size_t)blockIdx.x * v->padded;
  float scale = v->walk.facts[blockIdx.x].scale;
  for (uint32_t i = threadIdx.x; i < v->padded; i += WALK_BLOCK)
    query[i] = __half2float(halves[i]) * scale;
}

/* Scores b->ids[0 .. n - 1] into b->fresh, sorts these, and fills up with NO_ITEM. */
__device__ __forceinline__ void walk_score(const struct walk_view *v, const struct walk_block *b,
                                           uint32_t n, float bound) {
  uint32_t warp = threadIdx.x / GPU_WARP;
  float square = v->walk.facts[blockIdx.x].square;
  for (uint32_t i = warp; i < v->fresh; i += WALK_WARPS) {
    gpu_item item = GPU_NO_ITEM;
    if (i < n) {
      struct gpu_row_facts x = v->facts[b->ids[i]];
      float product = walk_product(v, b->query, b->ids[i]) * x.scale;
      float key = v->key == VDB_ACCEL_L2 ? fmaxf(square + x.square - 2 * product, 0.0f) : -product;
      if (key <= bound) /* not NaN */
        item = gpu_item_of(key, b->ids[i] << 1);
    }
    if (threadIdx.x % GPU_WARP == 0)
      b->fresh[i] = item;
  }
  __syncthreads();
  if (warp == 0)
    gpu_sort(b->fresh, v->fresh);
  __syncthreads();
}

/* How many of n items in order are less. */
__device__ __forceinline__ uint32_t walk_rank(const gpu_item *items, uint32_t n, gpu_item item) {
  uint32_t low = 0;
  while (n > 0) {
    uint32_t half = n / 2;
    if (items[low + half] < item) {
      low += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return low;
}

/* Merges b->fresh into a list of n. An expanded item stands behind no other row of its key, as rows
   differ; NO_ITEMs keep what is already NO_ITEM there. */
__device__ __forceinline__ void walk_merge(const struct walk_view *v, struct walk_block *b,
                                           gpu_item **list, uint32_t n) {
  for (uint32_t i = threadIdx.x; i < n; i += WALK_BLOCK)
    b->merged[i] = GPU_NO_ITEM;
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < n + v->fresh; i += WALK_BLOCK) {
    bool old = i < n;
    gpu_item item = old ? (*list)[i] : b->fresh[i - n];
    uint32_t at = old ? i + walk_rank(b->fresh, v->fresh, item)
                      : i - n + walk_rank(*list, n, item);
    if (item != GPU_NO_ITEM && at < n)
      b->merged[at] = item;
  }
  __syncthreads();
  gpu_item *swap = *list;
  *list = b->merged;
  b->merged = swap;
}

/* Leaves those of b->fresh that are allowed, in order. */
__device__ __forceinline__ void walk_sift(const struct walk_view *v, const struct walk_block *b) {
  uint32_t lane = threadIdx.x % GPU_WARP, n = 0;
  for (uint32_t first = 0; threadIdx.x < GPU_WARP && first < v->fresh; first += GPU_WARP) {
    gpu_item item = first + lane < v->fresh ? b->fresh[first + lane] : GPU_NO_ITEM;
    uint32_t row = walk_row(item);
    bool passes = item != GPU_NO_ITEM && (v->walk.allow[row / 32] >> row % 32 & 1);
    uint32_t votes = __ballot_sync(GPU_ALL, passes);
    if (passes)
      b->fresh[n + __popc(votes & ((1u << lane) - 1))] = item;
    n += __popc(votes);
    __syncwarp();
  }
  for (uint32_t i = n + lane; threadIdx.x < GPU_WARP && i < v->fresh; i += GPU_WARP)
    b->fresh[i] = GPU_NO_ITEM;
  __syncthreads();
}

/* The key of the last of n items, with which others may still get in. */
__device__ __forceinline__ float walk_bound(const gpu_item *items, uint32_t n) {
  gpu_item last = items[n - 1];
  return last == GPU_NO_ITEM ? __uint_as_float(0x7f800000u) : gpu_item_key(last);
}

/* Scores n new rows, and takes the near ones. */
__device__ __forceinline__ void walk_take(const struct walk_view *v, struct walk_block *b,
                                          uint32_t n) {
  float bound = walk_bound(b->pool, v->walk.width);
  if (v->walk.allow)
    bound = fmaxf(bound, walk_bound(b->best, v->walk.k));
  walk_score(v, b, n, bound);
  walk_merge(v, b, &b->pool, v->walk.width);
  if (!v->walk.allow)
    return;
  walk_sift(v, b);
  walk_merge(v, b, &b->best, v->walk.k);
}

/* Takes unseen ones of n nodes (NONEs are left out) to b->ids; how many, to all threads. */
__device__ __forceinline__ uint32_t walk_collect(const struct walk_view *v,
                                                 const struct walk_block *b, const uint32_t *nodes,
                                                 uint32_t n, uint32_t *count) {
  uint32_t *seen = v->walk.seen + (size_t)blockIdx.x * v->seen;
  if (threadIdx.x == 0)
    *count = 0;
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < n; i += WALK_BLOCK) {
    uint32_t node = nodes[i];
    if (node != UINT32_MAX && !(atomicOr(&seen[node / 32], 1u << node % 32) >> node % 32 & 1))
      b->ids[atomicAdd(count, 1u)] = node;
  }
  __syncthreads();
  return *count;
}

/* The first item of the pool that is not expanded, marked as such; `width` when there is none. To
   be called by all threads. */
__device__ __forceinline__ uint32_t walk_next(struct walk_block *b, uint32_t width,
                                              uint32_t *next) {
  uint32_t lane = threadIdx.x % GPU_WARP;
  if (threadIdx.x < GPU_WARP) {
    uint32_t at = width;
    for (uint32_t first = 0; first < width && at == width; first += GPU_WARP) {
      uint32_t i = first + lane;
      bool open = i < width && b->pool[i] != GPU_NO_ITEM && !walk_expanded(b->pool[i]);
      uint32_t votes = __ballot_sync(GPU_ALL, open);
      at = votes ? first + (uint32_t)__ffs((int)votes) - 1 : at;
    }
    if (lane == 0) {
      *next = at < width ? walk_row(b->pool[at]) : UINT32_MAX;
      if (at < width)
        b->pool[at] |= 1;
    }
  }
  __syncthreads();
  return *next;
}

__global__ void __launch_bounds__(WALK_BLOCK) walk_kernel(struct walk_view v) {
  GPU_DYNAMIC_SHARED(gpu_item, shared);
  __shared__ uint32_t count, next;
  uint32_t width = v.walk.width, k = v.walk.k;
  struct walk_block b = {};
  b.pool = shared;
  b.merged = b.pool + width;
  b.best = b.merged + width;
  b.fresh = v.walk.allow ? b.best + width : b.best;
  b.query = reinterpret_cast<float *>(b.fresh + v.fresh);
  b.ids = reinterpret_cast<uint32_t *>(b.query + v.padded);
  walk_load_query(&v, b.query);
  for (uint32_t i = threadIdx.x; i < width; i += WALK_BLOCK) {
    b.pool[i] = GPU_NO_ITEM;
    if (v.walk.allow)
      b.best[i] = GPU_NO_ITEM;
  }
  __syncthreads();
  for (uint32_t at = 0; at < v.n_starts; at += v.fresh) {
    uint32_t some = v.n_starts - at < v.fresh ? v.n_starts - at : v.fresh;
    uint32_t n = walk_collect(&v, &b, v.starts + at, some, &count);
    walk_take(&v, &b, n);
  }
  for (uint32_t node; (node = walk_next(&b, width, &next)) != UINT32_MAX;) {
    uint32_t n = walk_collect(&v, &b, v.links + (size_t)node * v.degree, v.degree, &count);
    if (n > 0)
      walk_take(&v, &b, n);
  }
  if (threadIdx.x == 0)
    count = 0;
  __syncthreads();
  const gpu_item *found = v.walk.allow ? b.best : b.pool;
  for (uint32_t i = threadIdx.x; i < k; i += WALK_BLOCK)
    if (found[i] != GPU_NO_ITEM) {
      v.walk.rows[(size_t)blockIdx.x * k + i] = walk_row(found[i]);
      v.walk.keys[(size_t)blockIdx.x * k + i] = gpu_item_key(found[i]);
      atomicAdd(&count, 1u);
    }
  __syncthreads();
  if (threadIdx.x == 0)
    v.walk.found[blockIdx.x] = count;
}

uint32_t gpu_walk_seen(const struct vdb_accel_set *set) { return (set->n + 31) / 32; }

static uint32_t walk_fresh(uint32_t degree) {
  uint32_t fresh = 2;
  while (fresh < degree)
    fresh *= 2;
  return fresh;
}

static size_t walk_shared(uint32_t width, uint32_t fresh, uint32_t padded, bool filtered) {
  size_t items = (filtered ? 3 : 2) * (size_t)width + fresh;
  return sizeof(gpu_item) * items + sizeof(float) * (size_t)padded +
         sizeof(uint32_t) * fresh;
}

cudaError_t gpu_walk_prepare(void) {
  size_t most = walk_shared(VDB_ACCEL_MAX_K, VDB_ACCEL_MAX_LINKS, VDB_ACCEL_MAX_DIM, true);
  return cudaFuncSetAttribute(walk_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)most);
}

void gpu_walk_launch(cudaStream_t stream, const struct vdb_accel_set *set,
                     const struct gpu_walk *walk) {
  struct walk_view v = {};
  v.walk = *walk;
  v.halves = set->halves;
  v.facts = set->facts;
  v.links = set->links;
  v.starts = set->starts;
  v.n_starts = set->n_starts;
  v.padded = set->padded;
  v.degree = set->width;
  v.fresh = walk_fresh(set->width);
  v.seen = gpu_walk_seen(set);
  v.key = set->key;
  GPU_LAUNCH(walk_kernel, dim3(walk->n), dim3(WALK_BLOCK),
             walk_shared(walk->width, v.fresh, v.padded, walk->allow != NULL), stream, v);
}
