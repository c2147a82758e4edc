/*
 * lane.cuh - what one call at a time works with on a device: a stream, and memory of the device and of
 * the host that grows to what the largest call took. Lanes are kept between calls.
 */
#ifndef GPU_LANE_CUH
#define GPU_LANE_CUH

#include "accel/accel.h"
#include "launch.cuh"

struct gpu_lane {
  struct gpu_lane *next;
  int device;
  uint32_t processors;
  cudaStream_t stream;
  unsigned char *memory; /* of the device */
  size_t bytes;
  unsigned char *host;   /* that a device copies from and to directly */
  size_t host_bytes;
};

/* Says why a call failed; the accel status that stands for it. */
int gpu_fail(struct vdb_accel_why *why, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same of an error of the driver, in doing `what`; VDB_ACCEL_OK when there is none. */
int gpu_check(struct vdb_accel_why *why, cudaError_t error, const char *what);

#define GPU_TRY(call)                                                                              \
  do {                                                                                             \
    int gpu_try_status = (call);                                                                   \
    if (gpu_try_status != VDB_ACCEL_OK)                                                            \
      return gpu_try_status;                                                                       \
  } while (0)

/* A lane of a device with at least so much memory, to be given back. The calling thread's device is
   then this one. Any thread. */
int gpu_lane_take(int device, size_t bytes, size_t host_bytes, struct gpu_lane **out,
                  struct vdb_accel_why *why);
/* `spoilt` after a failed call: the lane is closed, as nobody knows what its stream still does. */
void gpu_lane_give(struct gpu_lane *lane, bool spoilt);

/* Lays out parts of a block one after the other. */
struct gpu_layout {
  size_t at;
};
#define GPU_ALIGN ((size_t)256)
static inline size_t gpu_part(struct gpu_layout *l, size_t n, size_t size) {
  size_t at = l->at;
  l->at += (n * size + GPU_ALIGN - 1) / GPU_ALIGN * GPU_ALIGN;
  return at;
}

#endif
