/*
 * control.h - what a long call checks on its way: the caller's cancel flag, progress function and
 * deadline. Checked often from hot loops, so the cheap tests come first.
 */
#ifndef VDB_CONTROL_H
#define VDB_CONTROL_H

#include "os/env.h"

struct vdb_control {
  const struct vdb_env *env;
  const volatile int32_t *cancel;
  int (*progress)(void *user, const char *phase, uint64_t done, uint64_t total);
  void *user;
  uint64_t deadline_ns; /* UINT64_MAX: none */
  _Atomic int stopped;  /* VECDB_ERR_CANCELLED or VECDB_ERR_TIMEOUT once seen, else 0 */
};

/* public may be NULL; its size must have been checked. */
VDB_INTERNAL void vdb_control_init(struct vdb_control *control, const struct vdb_env *env,
                                   const vecdb_control *public_control);
/* 0 or the reason to stop; sticky. Any thread. */
VDB_INTERNAL int vdb_control_poll(struct vdb_control *control);
/* As poll, after telling the progress function; calls must not overlap. */
VDB_INTERNAL int vdb_control_progress(struct vdb_control *control, const char *phase, uint64_t done,
                                      uint64_t total);
/* Fills err for a stopped control and returns its code. */
VDB_INTERNAL int vdb_control_fail(struct vdb_control *control, vecdb_error *err);
/* Takes a lock that others may hold for long; the code of a control (NULL: none) that stops first.
   Then the lock is not taken. */
VDB_INTERNAL int vdb_control_lock(struct vdb_control *control, struct vdb_mutex *mutex,
                                  vecdb_error *err);
/* A `stop` function for layers that do not know controls; arg is the control. */
VDB_INTERNAL bool vdb_control_stop(void *arg);

#endif
