/* gpus.c - see gpus.h. */
#include "server/gpus.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/observe.h"

enum { GPUS_MOST = 64 };
#define GPUS_OLD_NS 10000000000 /* readings are shown until they are so old */

struct gpus_seen {
  unsigned n;
  char names[GPUS_MOST][12]; /* numbers, as the driver counts */
  struct srv_gpu_use use[GPUS_MOST];
  struct srv_gpu_memory memory[GPUS_MOST];
};

struct srv_gpus {
  void *library;
  struct srv_gpu_calls calls;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t stop_signal;
  bool begun;   /* with the driver; the thread's alone */
  bool reading; /* the thread is in the driver */
  bool stopping;
  uint64_t seen_ns; /* when `seen` was read; 0: not yet */
  struct gpus_seen seen;
};

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

static void gpus_unload(void *library) {
  if (library)
    dlclose(library);
}

static void gpus_free(struct srv_gpus *gpus) {
  if (gpus->begun)
    gpus->calls.end();
  gpus_unload(gpus->library);
  pthread_cond_destroy(&gpus->stop_signal);
  pthread_mutex_destroy(&gpus->mutex);
  free(gpus);
}

/* One reading, the first after a beginning, without the mutex; false: who closed meanwhile has left
   the rest to the thread. */
static bool gpus_read(struct srv_gpus *gpus) {
  struct gpus_seen seen = {0};
  gpus->reading = true;
  pthread_mutex_unlock(&gpus->mutex);
  if (!gpus->begun)
    gpus->begun = gpus->calls.begin() == 0;
  if (gpus->begun)
    gpus_see(&gpus->calls, &seen);
  pthread_mutex_lock(&gpus->mutex);
  gpus->reading = false;
  gpus->seen = seen;
  gpus->seen_ns = srv_now_ns();
  return !gpus->stopping;
}

static void *gpus_work(void *arg) {
  struct srv_gpus *gpus = arg;
  pthread_mutex_lock(&gpus->mutex);
  while (!gpus->stopping) {
    if (!gpus_read(gpus)) {
      pthread_mutex_unlock(&gpus->mutex);
      gpus_free(gpus);
      return NULL;
    }
    if (!gpus->begun) /* there is no driver */
      break;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    while (!gpus->stopping &&
           pthread_cond_timedwait(&gpus->stop_signal, &gpus->mutex, &until) == 0)
      ;
  }
  pthread_mutex_unlock(&gpus->mutex);
  return NULL;
}

struct srv_gpus *srv_gpus_start(void *library, const struct srv_gpu_calls *calls) {
  struct srv_gpus *gpus = calloc(1, sizeof *gpus);
  if (!gpus) {
    gpus_unload(library);
    return NULL;
  }
  gpus->library = library;
  gpus->calls = *calls;
  pthread_mutex_init(&gpus->mutex, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&gpus->stop_signal, &attributes);
  pthread_condattr_destroy(&attributes);
  if (pthread_create(&gpus->thread, NULL, gpus_work, gpus) == 0)
    return gpus;
  gpus_free(gpus);
  return NULL;
}

/* A function of the library, to where a pointer to it is kept. */
static bool gpus_function(void *library, const char *name, void *to) {
  void *function = dlsym(library, name);
  memcpy(to, &function, sizeof function);
  return function != NULL;
}

static bool gpus_functions(void *library, struct srv_gpu_calls *calls) {
  return gpus_function(library, "nvmlInit_v2", &calls->begin) &&
         gpus_function(library, "nvmlDeviceGetCount_v2", &calls->count) &&
         gpus_function(library, "nvmlDeviceGetHandleByIndex_v2", &calls->find) &&
         gpus_function(library, "nvmlDeviceGetUtilizationRates", &calls->use) &&
         gpus_function(library, "nvmlDeviceGetMemoryInfo", &calls->memory) &&
         gpus_function(library, "nvmlShutdown", &calls->end);
}

struct srv_gpus *srv_gpus_open(const char *library) {
  struct srv_gpu_calls calls = {NULL, NULL, NULL, NULL, NULL, NULL};
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return NULL;
  if (gpus_functions(handle, &calls))
    return srv_gpus_start(handle, &calls);
  gpus_unload(handle);
  return NULL;
}

void srv_gpus_close(struct srv_gpus *gpus) {
  if (!gpus)
    return;
  pthread_t thread = gpus->thread;
  pthread_mutex_lock(&gpus->mutex);
  bool reading = gpus->reading;
  gpus->stopping = true;
  pthread_cond_signal(&gpus->stop_signal);
  if (reading)
    pthread_detach(thread); /* frees all once the driver has answered */
  pthread_mutex_unlock(&gpus->mutex);
  if (reading)
    return;
  pthread_join(thread, NULL);
  gpus_free(gpus);
}

/* The last readings, unless they are too old. */
static void gpus_last(struct srv_gpus *gpus, struct gpus_seen *seen) {
  pthread_mutex_lock(&gpus->mutex);
  if (gpus->seen_ns && srv_now_ns() - gpus->seen_ns < GPUS_OLD_NS)
    *seen = gpus->seen;
  pthread_mutex_unlock(&gpus->mutex);
}

void srv_gpus_page(struct srv_gpus *gpus, struct srv_page *p) {
  struct gpus_seen seen = {0};
  if (gpus)
    gpus_last(gpus, &seen);
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
