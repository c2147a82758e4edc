/* clock_posix.c - the system's clock, the only file that reads it; see env.h. */
#include <time.h>

#include "os/env.h"

static uint64_t clock_read_ns(clockid_t id) {
  struct timespec now;
  if (clock_gettime(id, &now) != 0)
    return 0;
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t clock_monotonic_ns(void *user) {
  (void)user;
  return clock_read_ns(CLOCK_MONOTONIC);
}

static uint64_t clock_wall_ns(void *user) {
  (void)user;
  return clock_read_ns(CLOCK_REALTIME);
}

VDB_INTERNAL vecdb_clock vdb_clock_posix(void) {
  vecdb_clock clock = {clock_monotonic_ns, clock_wall_ns, NULL};
  return clock;
}
