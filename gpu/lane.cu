/* lane.cu - see lane.cuh. */
#include "lane.cuh"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe.cuh"
#include "scan.cuh"
#include "walk.cuh"

static pthread_mutex_t lane_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct gpu_lane *lane_idle;

int gpu_fail(struct vdb_accel_why *why, int status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(why->text, sizeof why->text, format, args);
  va_end(args);
  return status;
}

int gpu_check(struct vdb_accel_why *why, cudaError_t error, const char *what) {
  if (error == cudaSuccess)
    return VDB_ACCEL_OK;
  cudaGetLastError(); /* or the next call would find it */
  int status = error == cudaErrorMemoryAllocation ? VDB_ACCEL_NO_MEMORY
               : error == cudaErrorNoDevice       ? VDB_ACCEL_NO_DEVICE
                                                  : VDB_ACCEL_FAILED;
  return gpu_fail(why, status, "%s: %s", what, cudaGetErrorString(error));
}

static void lane_close(struct gpu_lane *lane) {
  cudaFree(lane->memory);
  cudaFreeHost(lane->host);
  if (lane->stream)
    cudaStreamDestroy(lane->stream);
  free(lane);
}

/* Closes lanes that are not in use, for their memory. */
static void lane_trim(void) {
  pthread_mutex_lock(&lane_mutex);
  struct gpu_lane *idle = lane_idle;
  lane_idle = NULL;
  pthread_mutex_unlock(&lane_mutex);
  while (idle) {
    struct gpu_lane *next = idle->next;
    lane_close(idle);
    idle = next;
  }
}

static int lane_open(int device, struct gpu_lane **out, struct vdb_accel_why *why) {
  int processors = 0;
  struct gpu_lane *lane = (struct gpu_lane *)calloc(1, sizeof *lane);
  if (!lane)
    return gpu_fail(why, VDB_ACCEL_NO_MEMORY, "out of memory");
  lane->device = device;
  int status = gpu_check(
      why, cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
      "looking at the device");
  if (status == VDB_ACCEL_OK)
    status = gpu_check(why, cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking),
                       "making a stream");
  if (status == VDB_ACCEL_OK)
    status = gpu_check(why, gpu_scan_prepare(), "preparing a scan");
  if (status == VDB_ACCEL_OK)
    status = gpu_check(why, gpu_walk_prepare(), "preparing a walk");
  if (status == VDB_ACCEL_OK)
    status = gpu_check(why, gpu_probe_prepare(), "preparing to look through lists");
  if (status != VDB_ACCEL_OK) {
    lane_close(lane);
    return status;
  }
  lane->processors = (uint32_t)processors;
  *out = lane;
  return VDB_ACCEL_OK;
}

static struct gpu_lane *lane_find(int device) {
  struct gpu_lane *found = NULL;
  pthread_mutex_lock(&lane_mutex);
  for (struct gpu_lane **at = &lane_idle; *at; at = &(*at)->next)
    if ((*at)->device == device) {
      found = *at;
      *at = found->next;
      break;
    }
  pthread_mutex_unlock(&lane_mutex);
  return found;
}

static int lane_grow(struct gpu_lane *lane, size_t bytes, size_t host_bytes,
                     struct vdb_accel_why *why) {
  if (lane->bytes < bytes) {
    cudaFree(lane->memory);
    lane->memory = NULL;
    lane->bytes = 0;
    GPU_TRY(gpu_check(why, cudaMalloc((void **)&lane->memory, bytes), "memory for a search"));
    lane->bytes = bytes;
  }
  if (lane->host_bytes < host_bytes) {
    cudaFreeHost(lane->host);
    lane->host = NULL;
    lane->host_bytes = 0;
    GPU_TRY(gpu_check(why, cudaMallocHost((void **)&lane->host, host_bytes),
                      "the host's memory for a search"));
    lane->host_bytes = host_bytes;
  }
  return VDB_ACCEL_OK;
}

int gpu_lane_take(int device, size_t bytes, size_t host_bytes, struct gpu_lane **out,
                  struct vdb_accel_why *why) {
  GPU_TRY(gpu_check(why, cudaSetDevice(device), "choosing the device"));
  struct gpu_lane *lane = lane_find(device);
  if (!lane)
    GPU_TRY(lane_open(device, &lane, why));
  int status = lane_grow(lane, bytes, host_bytes, why);
  if (status == VDB_ACCEL_NO_MEMORY) {
    lane_trim();
    status = lane_grow(lane, bytes, host_bytes, why);
  }
  if (status != VDB_ACCEL_OK) {
    lane_close(lane);
    return status;
  }
  *out = lane;
  return VDB_ACCEL_OK;
}

void gpu_lane_give(struct gpu_lane *lane, bool spoilt) {
  if (spoilt) {
    cudaStreamSynchronize(lane->stream);
    cudaGetLastError();
    lane_close(lane);
    return;
  }
  pthread_mutex_lock(&lane_mutex);
  lane->next = lane_idle;
  lane_idle = lane;
  pthread_mutex_unlock(&lane_mutex);
}
