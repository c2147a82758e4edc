/* env.c - fills the environment of a database from the host's options; see env.h. */
#include "os/env.h"

#include <stdarg.h>
#include <stdio.h>

enum { ENV_LOG_LINE = 1024 };
/* Any fixed number will do; this one is 2^64 divided by the golden ratio. */
#define ENV_DEFAULT_SEED 0x9e3779b97f4a7c15u

VDB_INTERNAL int vdb_env_init(struct vdb_env *env, const vecdb_options *options, bool in_memory,
                              vecdb_error *err) {
  static const vecdb_options defaults = VECDB_OPTIONS_INIT;
  if (!options)
    options = &defaults;
  vdb_mem_init(&env->mem, options->allocator, options->memory_limit);
  for (int i = 0; i < VDB_PURPOSES; i++)
    vdb_mem_door(&env->doors[i], &env->mem, (enum vdb_purpose)i);
  env->clock = options->clock ? *options->clock : vdb_clock_posix();
  env->log = options->log;
  env->log_user = options->log_user;
  env->seed = options->seed ? options->seed : ENV_DEFAULT_SEED;
  env->threads = options->threads ? options->threads : vdb_thread_processors();
  env->vfs = options->vfs ? options->vfs : vdb_vfs_posix();
  env->owned_vfs = NULL;
  env->keys = NULL;
  env->device = NULL;
  env->hot = NULL;
  int rc = vdb_mutex_init(&env->log_mutex);
  if (rc != 0)
    return vdb_fail_os(err, rc, "make", "mutex");
  if (in_memory) {
    env->owned_vfs = vdb_vfs_mem_new(vdb_env_for(env, VDB_FOR_FILES));
    if (!env->owned_vfs) {
      vdb_mutex_destroy(&env->log_mutex);
      return vdb_fail_memory(err);
    }
    env->vfs = env->owned_vfs;
  }
  return VECDB_OK;
}

VDB_INTERNAL void vdb_env_fini(struct vdb_env *env) {
  if (env->owned_vfs)
    vdb_vfs_mem_free(&env->mem, env->owned_vfs);
  env->owned_vfs = NULL;
  env->vfs = NULL;
  vdb_mutex_destroy(&env->log_mutex);
}

VDB_INTERNAL uint64_t vdb_now_ns(const struct vdb_env *env) {
  return env->clock.monotonic_ns(env->clock.user);
}

VDB_INTERNAL uint64_t vdb_wall_ns(const struct vdb_env *env) {
  return env->clock.wall_ns(env->clock.user);
}

VDB_INTERNAL void vdb_log(struct vdb_env *env, int level, const char *format, ...) {
  if (!env->log)
    return;
  char line[ENV_LOG_LINE];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  vdb_mutex_lock(&env->log_mutex);
  env->log(env->log_user, level, line);
  vdb_mutex_unlock(&env->log_mutex);
}
