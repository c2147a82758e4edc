/*
 * launch.cuh - what of CUDA has a syntax of its own: launching a kernel, memory shared by a block
 * whose size the launch says. tests/gpu/emu has both as a host's compiler can read them.
 */
#ifndef GPU_LAUNCH_CUH
#define GPU_LAUNCH_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __CUDACC__
#define GPU_LAUNCH(kernel, grid, block, shared, stream, ...)                                       \
  kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#define GPU_DYNAMIC_SHARED(type, name)                                                             \
  extern __shared__ __align__(32) unsigned char gpu_dynamic_shared[];                              \
  type *name = reinterpret_cast<type *>(gpu_dynamic_shared)
#endif

#define GPU_WARP 32u
#define GPU_ALL 0xffffffffu

#endif
