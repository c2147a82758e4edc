/* control.c - cancelling, progress and deadlines of long calls; see control.h. */
#include "os/control.h"

#include "base/check.h"

enum { CONTROL_LOCK_NS = 5000000 }; /* between two looks while waiting for a lock */

VDB_INTERNAL void vdb_control_init(struct vdb_control *control, const struct vdb_env *env,
                                   const vecdb_control *public_control) {
  control->env = env;
  control->cancel = NULL;
  control->progress = NULL;
  control->user = NULL;
  control->deadline_ns = UINT64_MAX;
  atomic_init(&control->stopped, 0);
  if (!public_control)
    return;
  control->cancel = public_control->cancel;
  control->progress = public_control->progress;
  control->user = public_control->user;
  if (public_control->timeout_ms) {
    uint64_t wait = (uint64_t)public_control->timeout_ms * 1000000u;
    uint64_t now = vdb_now_ns(env);
    control->deadline_ns = now < UINT64_MAX - wait ? now + wait : UINT64_MAX;
  }
}

/* Records the first reason to stop, and returns it. */
static int control_stop_for(struct vdb_control *control, int reason) {
  int seen = 0;
  if (atomic_compare_exchange_strong_explicit(&control->stopped, &seen, reason,
                                              memory_order_relaxed, memory_order_relaxed))
    return reason;
  return seen;
}

VDB_INTERNAL int vdb_control_poll(struct vdb_control *control) {
  int stopped = atomic_load_explicit(&control->stopped, memory_order_relaxed);
  if (VDB_UNLIKELY(stopped != 0))
    return stopped;
  if (control->cancel && __atomic_load_n(control->cancel, __ATOMIC_RELAXED) != 0)
    return control_stop_for(control, VECDB_ERR_CANCELLED);
  if (control->deadline_ns != UINT64_MAX && vdb_now_ns(control->env) >= control->deadline_ns)
    return control_stop_for(control, VECDB_ERR_TIMEOUT);
  return 0;
}

VDB_INTERNAL int vdb_control_progress(struct vdb_control *control, const char *phase, uint64_t done,
                                      uint64_t total) {
  int stopped = vdb_control_poll(control);
  if (stopped != 0)
    return stopped;
  if (control->progress && control->progress(control->user, phase, done, total) != 0)
    return control_stop_for(control, VECDB_ERR_CANCELLED);
  return 0;
}

VDB_INTERNAL int vdb_control_fail(struct vdb_control *control, vecdb_error *err) {
  int code = atomic_load_explicit(&control->stopped, memory_order_relaxed);
  vdb_assert(code == VECDB_ERR_CANCELLED || code == VECDB_ERR_TIMEOUT);
  return vdb_fail(err, code, "%s", vecdb_status_text(code));
}

VDB_INTERNAL int vdb_control_lock(struct vdb_control *control, struct vdb_mutex *mutex,
                                  vecdb_error *err) {
  if (!control) {
    vdb_mutex_lock(mutex);
    return VECDB_OK;
  }
  while (!vdb_mutex_lock_ns(mutex, CONTROL_LOCK_NS))
    if (vdb_control_poll(control))
      return vdb_control_fail(control, err);
  return VECDB_OK;
}

VDB_INTERNAL bool vdb_control_stop(void *arg) { return vdb_control_poll(arg) != 0; }
