/* pack.cu - rows as they come from the host into those of set.cuh. A warp does one row. */
#include "set.cuh"

enum { PACK_BLOCK = 256, PACK_EXPONENT = 14 };

struct pack_job {
  const void *raw;
  const float *inv_norms;
  __half *halves;
  struct gpu_row_facts *facts;
  uint32_t n;
  uint32_t dim;
  uint32_t padded;
  int32_t elem;
};

__device__ __forceinline__ float pack_element(const struct pack_job *job, uint32_t row,
                                              uint32_t i) {
  size_t at = (size_t)row * job->dim + i;
  float x;
  if (job->elem == VDB_ACCEL_F32)
    x = ((const float *)job->raw)[at];
  else if (job->elem == VDB_ACCEL_F16)
    x = __half2float(__ushort_as_half(((const uint16_t *)job->raw)[at]));
  else if (job->elem == VDB_ACCEL_BF16)
    x = __uint_as_float((uint32_t)((const uint16_t *)job->raw)[at] << 16);
  else
    x = (float)((const int8_t *)job->raw)[at];
  return job->inv_norms ? x * job->inv_norms[row] : x;
}

__device__ __forceinline__ float pack_sum(float x) {
  for (uint32_t apart = GPU_WARP / 2; apart > 0; apart /= 2)
    x += __shfl_xor_sync(GPU_ALL, x, apart);
  return x;
}

__device__ __forceinline__ float pack_largest(float x) {
  for (uint32_t apart = GPU_WARP / 2; apart > 0; apart /= 2)
    x = fmaxf(x, __shfl_xor_sync(GPU_ALL, x, apart));
  return x;
}

__global__ void pack_kernel(struct pack_job job) {
  uint32_t lane = threadIdx.x % GPU_WARP;
  uint32_t row = (blockIdx.x * blockDim.x + threadIdx.x) / GPU_WARP;
  if (row >= job.n)
    return;
  float largest = 0, square = 0, lost = 0; /* the latter two of the scaled row */
  for (uint32_t i = lane; i < job.dim; i += GPU_WARP)
    largest = fmaxf(largest, fabsf(pack_element(&job, row, i)));
  largest = pack_largest(largest);
  int exponent = 0;
  frexpf(largest, &exponent);
  /* Below, 2^-down would not be a float. */
  int down = largest > 0 && exponent > -100 ? exponent - 1 - PACK_EXPONENT : -100;
  float scale = ldexpf(1, down), back = ldexpf(1, -down);
  for (uint32_t i = lane; i < job.padded; i += GPU_WARP) {
    float x = i < job.dim ? pack_element(&job, row, i) * back : 0;
    __half half = __float2half_rn(x);
    float off = x - __half2float(half);
    square += x * x;
    lost += off * off;
    job.halves[(size_t)row * job.padded + i] = half;
  }
  square = pack_sum(square);
  lost = pack_sum(lost);
  if (lane == 0) {
    struct gpu_row_facts facts;
    facts.scale = scale;
    facts.norm = sqrtf(square) * scale;
    facts.square = facts.norm * facts.norm;
    facts.lost = sqrtf(lost) * scale;
    job.facts[row] = facts;
  }
}

void gpu_pack(cudaStream_t stream, const void *raw, int32_t elem, const float *inv_norms, uint32_t n,
              uint32_t dim, uint32_t padded, __half *halves, struct gpu_row_facts *facts) {
  struct pack_job job = {raw, inv_norms, halves, facts, n, dim, padded, elem};
  uint32_t a_block = PACK_BLOCK / GPU_WARP;
  GPU_LAUNCH(pack_kernel, dim3((n + a_block - 1) / a_block), dim3(PACK_BLOCK), 0, stream, job);
}

struct pack_bits_job {
  const uint8_t *raw;
  uint32_t *words;
  uint32_t n;
  uint32_t bytes;
  uint32_t first;
  uint32_t n_padded;
};

__global__ void pack_bits_kernel(struct pack_bits_job job) {
  uint32_t row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= job.n)
    return;
  const uint8_t *raw = job.raw + (size_t)row * job.bytes;
  for (uint32_t w = 0; w * 4 < job.bytes; w++) {
    uint32_t word = 0;
    for (uint32_t b = 0; b < 4 && w * 4 + b < job.bytes; b++)
      word |= (uint32_t)raw[w * 4 + b] << 8 * b;
    job.words[(size_t)w * job.n_padded + job.first + row] = word;
  }
}

void gpu_pack_bits(cudaStream_t stream, const uint8_t *raw, uint32_t n, uint32_t bytes,
                   uint32_t first, uint32_t n_padded, uint32_t *words) {
  struct pack_bits_job job = {raw, words, n, bytes, first, n_padded};
  GPU_LAUNCH(pack_bits_kernel, dim3((n + PACK_BLOCK - 1) / PACK_BLOCK), dim3(PACK_BLOCK), 0, stream,
             job);
}
