/*
 * cuda_runtime.h - as much of CUDA as gpu/ uses, on the host: for tests where there is no device.
 * A block's threads are fibers that run in turn (emu.cc), so that barriers, shuffles and votes mean
 * what they mean on a device; blocks run one after the other. It shows that a kernel computes the
 * right thing with the synchronisation it has, not that it needs no more of it: a missing barrier
 * can go unseen, as a fiber runs on until the next one. Device memory is the host's, counted, and
 * made to run out by tests (emu.h).
 */
#ifndef EMU_CUDA_RUNTIME_H
#define EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#define __global__ static
#define __device__ static
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct uint4 {
  unsigned x, y, z, w;
};

/* ---- What a thread sees ---------------------------------------------------------------------- */

struct emu_place {
  dim3 thread, block, block_dim, grid_dim;
};
const emu_place &emu_here();
#define threadIdx (emu_here().thread)
#define blockIdx (emu_here().block)
#define blockDim (emu_here().block_dim)
#define gridDim (emu_here().grid_dim)

void *emu_dynamic_shared();
#define GPU_DYNAMIC_SHARED(type, name) type *name = (type *)emu_dynamic_shared()

void __syncthreads();
int __syncthreads_or(int value);
void __syncwarp(unsigned mask = 0xffffffffu);
unsigned __ballot_sync(unsigned mask, int value);
uint64_t emu_exchange(uint64_t value, unsigned from);

template <typename T> static inline T emu_from_lane(T value, unsigned lane) {
  uint64_t bits = 0;
  static_assert(sizeof(T) <= sizeof bits, "one register");
  memcpy(&bits, &value, sizeof value);
  bits = emu_exchange(bits, lane);
  memcpy(&value, &bits, sizeof value);
  return value;
}
static inline unsigned emu_lane() { return threadIdx.x % 32; }
template <typename T> static inline T __shfl_sync(unsigned, T value, unsigned lane) {
  return emu_from_lane(value, lane);
}
template <typename T> static inline T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  return emu_from_lane(value, emu_lane() ^ mask);
}

/* Fibers are not interrupted, so plain operations are atomic. */
template <typename T, typename U> static inline T atomicAdd(T *at, U value) {
  T old = *at;
  *at = (T)(old + value);
  return old;
}
template <typename T, typename U> static inline T atomicOr(T *at, U value) {
  T old = *at;
  *at = (T)(old | value);
  return old;
}
template <typename T, typename U> static inline T atomicMax(T *at, U value) {
  T old = *at;
  *at = old < (T)value ? (T)value : old;
  return old;
}
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(unsigned x) { return __builtin_ffs((int)x); }
static inline unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
static inline float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
static inline float __fadd_rn(float a, float b) { return a + b; } /* x86-64 contracts nothing */
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline int __dp4a(int a, int b, int sum) {
  for (int i = 0; i < 32; i += 8)
    sum += (int8_t)(a >> i) * (int8_t)(b >> i);
  return sum;
}
template <typename T> static inline T __ldg(const T *at) { return *at; }

/* ---- Launches -------------------------------------------------------------------------------- */

typedef struct emu_stream *cudaStream_t;
void emu_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &body);
#define GPU_LAUNCH(kernel, grid, block, shared, stream, ...)                                       \
  ((void)(stream), emu_run(grid, block, shared, [&] { kernel(__VA_ARGS__); }))

/* ---- The runtime ----------------------------------------------------------------------------- */

typedef int cudaError_t;
enum {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorNoDevice = 100,
  cudaErrorLaunchFailure = 719
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaStreamNonBlocking = 1 };
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  size_t sharedMemPerBlockOptin;
  int multiProcessorCount;
  int major;
};
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device);
enum { cudaDevAttrMultiProcessorCount = 16 };
cudaError_t cudaDeviceGetAttribute(int *out, int attribute, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaMalloc(void **out, size_t n);
cudaError_t cudaFree(void *at);
cudaError_t cudaMallocHost(void **out, size_t n);
cudaError_t cudaFreeHost(void *at);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, int kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *at, int value, size_t n, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaGetLastError();
const char *cudaGetErrorString(cudaError_t error);
template <typename F> static inline cudaError_t cudaFuncSetAttribute(F *, int, int) {
  return cudaSuccess;
}

#endif
