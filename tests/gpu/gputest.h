/* gputest.h - what the tests of the GPU module share: where the emulated one is, its symbols. */
#ifndef GPUTEST_H
#define GPUTEST_H

#include <dlfcn.h>
#include <string.h>

#define GPU_EMULATED "build/gpu-emulated/libvecdb_gpu.so" /* as gpu/rules.mk builds it */

/* A function of a module, NULL if it has none of that name, into a pointer to such. */
static inline void gpu_find(void *module, const char *name, void *out) {
  void *at = dlsym(module, name);
  memcpy(out, &at, sizeof at);
}

#endif
