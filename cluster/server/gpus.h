/*
 * gpus.h - what the machine's GPUs do, for /metrics: by the management library that comes with
 * NVIDIA's driver (NVML), where it is installed. A thread alone begins with it and reads it once a
 * second, so that a driver that hangs keeps nobody waiting: no start, no page and no stop.
 */
#ifndef SRV_GPUS_H
#define SRV_GPUS_H

#include "server/page.h"

#define SRV_GPUS_LIBRARY "libnvidia-ml.so.1"

/* As NVML declares them; 0 is success. */
struct srv_gpu_use {
  unsigned busy, memory_busy; /* percent of the time */
};
struct srv_gpu_memory {
  unsigned long long total, free, used; /* bytes */
};

/* Functions of NVML: each may be called by any thread. */
struct srv_gpu_calls {
  int (*begin)(void);
  int (*end)(void);
  int (*count)(unsigned *n);
  int (*find)(unsigned i, void **gpu);
  int (*use)(void *gpu, struct srv_gpu_use *out);
  int (*memory)(void *gpu, struct srv_gpu_memory *out);
};

struct srv_gpus;

/* NULL: there is no such library, or no memory or thread. */
struct srv_gpus *srv_gpus_open(const char *library);
/* With these functions, of a library that may be NULL and is closed with it, or now if there is no
   memory or thread (NULL). */
struct srv_gpus *srv_gpus_start(void *library, const struct srv_gpu_calls *calls);
/* NULL is fine, here and below. A reading under way is not waited for. */
void srv_gpus_close(struct srv_gpus *gpus);
/* Families of each GPU that has answered in the last seconds; none where there is none. */
void srv_gpus_page(struct srv_gpus *gpus, struct srv_page *page);

#endif
