/*
 * env.h - everything nondeterministic in one table, filled at open from the host's hooks: memory,
 * files, clock, log, seed. A database whose env is scripted behaves the same each time.
 */
#ifndef VDB_ENV_H
#define VDB_ENV_H

#include "base/err.h"
#include "base/mem.h"
#include "os/thread.h"

struct vdb_env {
  struct vdb_mem mem;                 /* for whatever has no purpose of its own */
  struct vdb_mem doors[VDB_PURPOSES]; /* to the same memory */
  const vecdb_vfs *vfs;
  vecdb_clock clock;
  vecdb_log_fn log;
  void *log_user;
  struct vdb_mutex log_mutex;
  uint64_t seed;
  unsigned threads; /* workers for parallel work, at least 1 */
  vecdb_vfs *owned_vfs; /* of a ":memory:" database; freed with the env */
  struct vdb_device *device; /* that searches may use (accel/device.h), borrowed; NULL: none */
  struct vdb_keys *keys; /* that files are encrypted by (store/keys.h), borrowed; NULL: none are */
  struct vdb_hot *hot;   /* where blocks of files are kept (base/hot.h), borrowed; NULL: nowhere */
};

/* options must have been checked. On failure nothing is to be released. */
VDB_INTERNAL int vdb_env_init(struct vdb_env *env, const vecdb_options *options, bool in_memory,
                              vecdb_error *err);
VDB_INTERNAL void vdb_env_fini(struct vdb_env *env);

VDB_INLINE struct vdb_mem *vdb_env_for(struct vdb_env *env, enum vdb_purpose purpose) {
  return &env->doors[purpose];
}

VDB_INTERNAL uint64_t vdb_now_ns(const struct vdb_env *env);
VDB_INTERNAL uint64_t vdb_wall_ns(const struct vdb_env *env);
VDB_INLINE int64_t vdb_wall_ms(const struct vdb_env *env) {
  return (int64_t)(vdb_wall_ns(env) / 1000000);
}
VDB_INTERNAL void vdb_log(struct vdb_env *env, int level, const char *format, ...) VDB_PRINTF(3, 4);

/* The system's files (vfs_posix.c) and clock (clock_posix.c). */
VDB_INTERNAL const vecdb_vfs *vdb_vfs_posix(void);
VDB_INTERNAL vecdb_clock vdb_clock_posix(void);
/* A file tree in memory of its own (vfs_mem.c); NULL when out of memory. */
VDB_INTERNAL vecdb_vfs *vdb_vfs_mem_new(struct vdb_mem *mem);
VDB_INTERNAL void vdb_vfs_mem_free(struct vdb_mem *mem, vecdb_vfs *vfs);

#endif
