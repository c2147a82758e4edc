/*
 * manifest.c - the manifest file: read whole, and replaced whole by a rename; see manifest.h.
 */
#include <errno.h>
#include <stdio.h>

#include "store/manifest.h"
#include "store/store_format.h"

static int man_path(char *out, size_t n, const char *dir, const char *name, vecdb_error *err) {
  int length = snprintf(out, n, "%s/%s", dir, name);
  if (length < 0 || (size_t)length >= n)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the path of the database is too long");
  return VECDB_OK;
}

/* ---- reading ---- */

static int man_load(struct vdb_env *env, vecdb_file *file, const char *path,
                    struct vdb_manifest *out, vecdb_error *err) {
  uint64_t length;
  int os = env->vfs->length(file, &length);
  if (os)
    return vdb_fail_os(err, os, "cannot read", path);
  if (length > STORE_MANIFEST_MAX)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s is damaged: it is too long", path);
  void *data = vdb_alloc(&env->mem, (size_t)length);
  if (!data)
    return vdb_fail_memory(err);
  os = length ? env->vfs->read(file, data, (size_t)length, 0) : 0;
  int rc = os ? vdb_fail_os(err, os, "cannot read", path)
              : vdb_manifest_decode(&env->mem, data, (size_t)length, out, err);
  vdb_free(&env->mem, data);
  return rc;
}

VDB_INTERNAL int vdb_manifest_read(struct vdb_env *env, const char *dir, struct vdb_manifest *out,
                                   vecdb_error *err) {
  char path[STORE_PATH_MAX];
  memset(out, 0, sizeof *out);
  VDB_TRY(man_path(path, sizeof path, dir, "MANIFEST", err));
  vecdb_file *file;
  int os = env->vfs->open(env->vfs, path, VECDB_OPEN_READ, &file);
  if (os == ENOENT)
    return vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no %s", path);
  if (os)
    return vdb_fail_os(err, os, "cannot open", path);
  int rc = man_load(env, file, path, out, err);
  env->vfs->close(file);
  return rc;
}

/* ---- writing ---- */

/* Writes and syncs a new file. On failure it is removed. */
static int man_store(struct vdb_env *env, const char *path, const struct vdb_writer *bytes,
                     vecdb_error *err) {
  const vecdb_vfs *vfs = env->vfs;
  vecdb_file *file;
  vfs->remove(vfs, path); /* one that a crash or failure has left: never written again */
  int os = vfs->open(vfs, path, VECDB_OPEN_CREATE, &file);
  if (os)
    return vdb_fail_os(err, os, "cannot create", path);
  os = vfs->write(file, bytes->data, bytes->n, 0);
  if (!os)
    os = vfs->sync(file);
  vfs->close(file);
  if (!os)
    return VECDB_OK;
  vfs->remove(vfs, path);
  return vdb_fail_os(err, os, "cannot write", path);
}

static int man_replace(struct vdb_env *env, const char *dir, const struct vdb_writer *bytes,
                       bool *unknown, vecdb_error *err) {
  const vecdb_vfs *vfs = env->vfs;
  char path[STORE_PATH_MAX];
  char temp[STORE_PATH_MAX];
  VDB_TRY(man_path(path, sizeof path, dir, "MANIFEST", err));
  VDB_TRY(man_path(temp, sizeof temp, dir, "MANIFEST.tmp", err));
  VDB_TRY(man_store(env, temp, bytes, err));
  *unknown = true;
  int os = vfs->rename(vfs, temp, path);
  if (os)
    return vdb_fail_os(err, os, "cannot replace", path);
  os = vfs->sync_dir(vfs, dir);
  if (os)
    return vdb_fail_os(err, os, "cannot sync", dir);
  *unknown = false;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_manifest_write(struct vdb_env *env, const char *dir,
                                    struct vdb_manifest *manifest, bool *unknown,
                                    vecdb_error *err) {
  struct vdb_writer bytes = VDB_WRITER(&env->mem);
  *unknown = false;
  manifest->generation++;
  vdb_manifest_encode(manifest, &bytes);
  int rc;
  if (bytes.failed)
    rc = vdb_fail_memory(err);
  else if (bytes.n > STORE_MANIFEST_MAX)
    rc = vdb_fail(err, VECDB_ERR_LIMIT, "the manifest is too large");
  else
    rc = man_replace(env, dir, &bytes, unknown, err);
  if (rc && !*unknown)
    manifest->generation--;
  vdb_writer_free(&bytes);
  return rc;
}
