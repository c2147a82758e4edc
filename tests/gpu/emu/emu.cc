/*
 * emu.cc - the emulated device: see cuda_runtime.h. One launch at a time. A fiber runs until it
 * waits for its warp or its block, or ends; then the next one does. All that can be asked of a warp
 * (votes, shuffles) is one exchange of 64 bits a lane. Threads that wait for each other in vain end
 * the process: that is a fault of the kernel.
 */
#include "emu.h"

#include <condition_variable>
#include <mutex>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector>

#include "cuda_fp16.h"

namespace {

enum Wait { RUNS, FOR_WARP, FOR_BLOCK, ENDED };

struct Fiber {
  ucontext_t context; /* begins it; from then on jumps do, which ask nothing of the system */
  jmp_buf at;
  bool begun;
  std::vector<char> stack;
  emu_place place;
  Wait wait;
  uint64_t value; /* given to an exchange */
};

const size_t STACK = 128 * 1024, WARP = 32;
std::mutex one_launch, bookkeeping, holding;
std::condition_variable let_go;
bool held;
std::vector<Fiber> fibers;
jmp_buf scheduler;
Fiber *current;
const std::function<void()> *body_now;
std::vector<unsigned char> dynamic_shared;
uint64_t given[WARP]; /* by the lanes of the warp whose exchange is over */
int block_or;

uint64_t calls, fail_at;
size_t memory_total = size_t(1) << 30, memory_used, blocks;
int n_devices = 1;
cudaError_t last_error;

[[noreturn]] void stuck(const char *what) {
  fprintf(stderr, "emulated device: %s\n", what);
  abort();
}

void yield(Wait wait) {
  current->wait = wait;
  if (_setjmp(current->at) == 0)
    _longjmp(scheduler, 1);
}

void enter() {
  (*body_now)();
  yield(ENDED);
}

void start(Fiber &f) {
  f.stack.resize(STACK);
  f.wait = RUNS;
  f.begun = false;
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.data();
  f.context.uc_stack.ss_size = STACK;
  f.context.uc_link = nullptr;
  makecontext(&f.context, enter, 0);
}

void resume(Fiber &f) {
  current = &f;
  f.wait = RUNS;
  if (_setjmp(scheduler) != 0)
    return;
  if (f.begun)
    _longjmp(f.at, 1);
  f.begun = true;
  setcontext(&f.context);
}

/* Runs the lanes from `first` on until all have ended or wait for the block. */
void run_warp(size_t first) {
  size_t n = fibers.size() - first < WARP ? fibers.size() - first : WARP;
  for (;;) {
    size_t in_exchange = 0, waiting = 0;
    for (size_t i = 0; i < n; i++) {
      Fiber &f = fibers[first + i];
      if (f.wait == RUNS)
        resume(f);
    }
    for (size_t i = 0; i < n; i++) {
      in_exchange += fibers[first + i].wait == FOR_WARP;
      waiting += fibers[first + i].wait == FOR_BLOCK;
    }
    if (in_exchange == 0)
      return;
    if (waiting > 0)
      stuck("lanes of a warp wait for different things");
    for (size_t i = 0; i < n; i++)
      given[i] = fibers[first + i].wait == FOR_WARP ? fibers[first + i].value : 0;
    for (size_t i = 0; i < n; i++)
      if (fibers[first + i].wait == FOR_WARP)
        resume(fibers[first + i]);
  }
}

void run_block() {
  for (auto &f : fibers)
    start(f);
  for (;;) {
    size_t waiting = 0, ended = 0;
    for (size_t w = 0; w < fibers.size(); w += WARP)
      run_warp(w);
    for (auto &f : fibers) {
      waiting += f.wait == FOR_BLOCK;
      ended += f.wait == ENDED;
    }
    if (waiting == 0)
      return;
    if (ended > 0)
      stuck("some threads ended, others wait for the block");
    int any = 0;
    for (auto &f : fibers)
      any |= f.value != 0;
    block_or = any;
    for (auto &f : fibers)
      f.wait = RUNS;
  }
}

/* Whether this call is the one that is to fail. */
bool fails() {
  std::lock_guard<std::mutex> lock(bookkeeping);
  calls++;
  return fail_at > 0 && --fail_at == 0;
}

} // namespace

/* ---- What a thread sees ---------------------------------------------------------------------- */

const emu_place &emu_here() { return current->place; }
void *emu_dynamic_shared() { return dynamic_shared.data(); }
void __syncthreads() { __syncthreads_or(0); }
int __syncthreads_or(int value) {
  current->value = value != 0;
  yield(FOR_BLOCK);
  return block_or;
}
uint64_t emu_exchange(uint64_t value, unsigned from) {
  current->value = value;
  yield(FOR_WARP);
  return given[from % WARP];
}
void __syncwarp(unsigned) { emu_exchange(0, 0); }
unsigned __ballot_sync(unsigned, int value) {
  unsigned vote = 0;
  emu_exchange(value != 0, 0);
  for (size_t i = 0; i < WARP; i++)
    vote |= (unsigned)(given[i] != 0) << i;
  return vote;
}

void emu_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &body) {
  {
    std::unique_lock<std::mutex> lock(holding);
    let_go.wait(lock, [] { return !held; });
  }
  std::lock_guard<std::mutex> lock(one_launch);
  if (fails()) {
    last_error = cudaErrorLaunchFailure;
    return;
  }
  body_now = &body;
  fibers.resize(block.x);
  for (unsigned y = 0; y < grid.y; y++)
    for (unsigned x = 0; x < grid.x; x++) {
      dynamic_shared.assign(shared, 0xA5); /* as on a device: nothing says that it is zero */
      for (unsigned t = 0; t < block.x; t++)
        fibers[t].place = {dim3(t), dim3(x, y), block, grid};
      run_block();
    }
}

/* ---- The runtime ----------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *n) {
  *n = n_devices;
  return n_devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device) {
  memset(out, 0, sizeof *out);
  snprintf(out->name, sizeof out->name, "emulated %d", device);
  out->totalGlobalMem = memory_total;
  out->sharedMemPerBlockOptin = 160 * 1024;
  out->multiProcessorCount = 2;
  out->major = 8;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *out, int, int) {
  *out = 2;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device < n_devices ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  *total = memory_total;
  *free = memory_used < memory_total ? memory_total - memory_used : 0;
  return cudaSuccess;
}

static cudaError_t take(void **out, size_t n, bool device) {
  if (fails())
    return cudaErrorMemoryAllocation;
  std::lock_guard<std::mutex> lock(bookkeeping);
  if (device && (n > memory_total || memory_used > memory_total - n))
    return cudaErrorMemoryAllocation;
  size_t *block = (size_t *)malloc(n + 64);
  if (!block)
    return cudaErrorMemoryAllocation;
  block[0] = device ? n : 0;
  memory_used += block[0];
  blocks++;
  *out = (char *)block + 64;
  return cudaSuccess;
}
static cudaError_t give(void *at) {
  if (!at)
    return cudaSuccess;
  std::lock_guard<std::mutex> lock(bookkeeping);
  size_t *block = (size_t *)((char *)at - 64);
  memory_used -= block[0];
  blocks--;
  free(block);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void **out, size_t n) { return take(out, n, true); }
cudaError_t cudaFree(void *at) { return give(at); }
cudaError_t cudaMallocHost(void **out, size_t n) { return take(out, n, false); }
cudaError_t cudaFreeHost(void *at) { return give(at); }
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, int, cudaStream_t) {
  if (fails())
    return cudaErrorLaunchFailure;
  memcpy(to, from, n);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *at, int value, size_t n, cudaStream_t) {
  memset(at, value, n);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
  if (fails())
    return cudaErrorMemoryAllocation;
  *out = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaGetLastError(); }
cudaError_t cudaGetLastError() {
  cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
const char *cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "it was told to fail";
}

/* ---- Half floats ----------------------------------------------------------------------------- */

static float half_value(unsigned bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float x = exponent == 31 ? (fraction ? NAN : INFINITY)
            : exponent == 0 ? ldexpf((float)fraction, -24)
                            : ldexpf((float)(fraction + 1024), exponent - 25);
  return bits & 0x8000 ? -x : x;
}

static const float *half_values() {
  static float all[65536];
  for (unsigned i = 0; i < 65536; i++)
    all[i] = half_value(i);
  return all;
}

const float *const emu_halves = half_values();

uint16_t emu_float_to_half(float x) {
  uint16_t sign = signbit(x) ? 0x8000 : 0;
  float a = fabsf(x);
  if (x != x)
    return (uint16_t)(sign | 0x7e00);
  if (a >= 65520)
    return (uint16_t)(sign | 0x7c00);
  int exponent = a < 0x1p-14f ? -14 : ilogbf(a);
  float units = nearbyintf(ldexpf(a, 10 - exponent)); /* exact but for this rounding, to even */
  if (units < 1024)
    return (uint16_t)(sign | (uint16_t)units);
  if (units == 2048) {
    units = 1024;
    exponent++;
  }
  return (uint16_t)(sign | (exponent + 15) << 10 | ((int)units - 1024));
}

/* ---- For tests ------------------------------------------------------------------------------- */

extern "C" __attribute__((visibility("default"))) void emu_fail_at(uint64_t n) { fail_at = n; }
extern "C" __attribute__((visibility("default"))) void emu_hold(int hold) {
  std::lock_guard<std::mutex> lock(holding);
  held = hold != 0;
  let_go.notify_all();
}
extern "C" __attribute__((visibility("default"))) uint64_t emu_calls(void) { return calls; }
extern "C" __attribute__((visibility("default"))) void emu_memory(size_t n) { memory_total = n; }
extern "C" __attribute__((visibility("default"))) size_t emu_used(void) { return memory_used; }
extern "C" __attribute__((visibility("default"))) size_t emu_blocks(void) { return blocks; }
extern "C" __attribute__((visibility("default"))) void emu_devices(int n) { n_devices = n; }
