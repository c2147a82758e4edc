/* gpus.c - see gpus.h. */
#include "server/gpus.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GPUS_MOST = 64 };

struct gpus_seen {
  unsigned n;
  char names[GPUS_MOST][12]; /* numbers, as the driver counts */
  struct srv_gpu_use use[GPUS_MOST];
  struct srv_gpu_memory memory[GPUS_MOST];
};

/* A function of the library, to where a pointer to it is kept. */
static bool gpus_function(const struct srv_gpus *gpus, const char *name, void *to) {
  void *function = dlsym(gpus->library, name);
  memcpy(to, &function, sizeof function);
  return function != NULL;
}

static bool gpus_begin(struct srv_gpus *gpus, const char *library) {
  struct srv_gpu_calls *calls = &gpus->calls;
  gpus->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  return gpus->library && gpus_function(gpus, "nvmlInit_v2", &calls->begin) &&
         gpus_function(gpus, "nvmlDeviceGetCount_v2", &calls->count) &&
         gpus_function(gpus, "nvmlDeviceGetHandleByIndex_v2", &calls->find) &&
         gpus_function(gpus, "nvmlDeviceGetUtilizationRates", &calls->use) &&
         gpus_function(gpus, "nvmlDeviceGetMemoryInfo", &calls->memory) &&
         gpus_function(gpus, "nvmlShutdown", &calls->end) && calls->begin() == 0;
}

struct srv_gpus *srv_gpus_open(const char *library) {
  struct srv_gpus *gpus = calloc(1, sizeof *gpus);
  if (!gpus || gpus_begin(gpus, library))
    return gpus;
  gpus->calls.end = NULL; /* nothing has begun */
  srv_gpus_close(gpus);
  return NULL;
}

void srv_gpus_close(struct srv_gpus *gpus) {
  if (!gpus)
    return;
  if (gpus->calls.end)
    gpus->calls.end();
  if (gpus->library)
    dlclose(gpus->library);
  free(gpus);
}

/* A GPU that does not answer is left out. */
static void gpus_see(const struct srv_gpu_calls *calls, struct gpus_seen *seen) {
  unsigned count = 0;
  void *gpu;
  if (calls->count(&count) != 0)
    return;
  for (unsigned i = 0; i < count && seen->n < GPUS_MOST; i++) {
    if (calls->find(i, &gpu) != 0 || calls->use(gpu, &seen->use[seen->n]) != 0 ||
        calls->memory(gpu, &seen->memory[seen->n]) != 0)
      continue;
    snprintf(seen->names[seen->n++], sizeof seen->names[0], "%u", i);
  }
}

void srv_gpus_page(const struct srv_gpus *gpus, struct srv_page *p) {
  struct gpus_seen seen = {0};
  if (gpus)
    gpus_see(&gpus->calls, &seen);
  if (!seen.n)
    return;
  srv_page_family(p, "vecdb_gpu_busy_ratio", "gauge", "ratio",
                  "Share of the time in which a GPU of this machine worked, for whomever.");
  for (unsigned i = 0; i < seen.n; i++)
    srv_page_value(p, "", (srv_page_labels){"gpu", seen.names[i]}, seen.use[i].busy / 100.0);
  srv_page_family(p, "vecdb_gpu_memory_bytes", "gauge", "bytes", "Its memory.");
  for (unsigned i = 0; i < seen.n; i++) {
    srv_page_number(p, (srv_page_labels){"gpu", seen.names[i], "state", "used"},
                    seen.memory[i].used);
    srv_page_number(p, (srv_page_labels){"gpu", seen.names[i], "state", "free"},
                    seen.memory[i].free);
  }
}
