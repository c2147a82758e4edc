/* db_open.c - opening and closing a database; see db.h. */
#include <errno.h>

#include "accel/device.h"
#include "base/check.h"
#include "base/hot.h"
#include "db/db.h"
#include "query/cache.h"

enum {
  OPEN_PATH_MAX = 3500,      /* bytes of a database's path; file names are added to it */
  OPEN_CACHE_LEAST = 1 << 16,  /* of results: bytes */
  OPEN_VECTORS_LEAST = 1 << 20 /* of blocks: bytes */
};

static bool open_vfs_whole(const vecdb_vfs *v) {
  return v->open && v->close && v->read && v->write && v->sync && v->truncate && v->length &&
         v->reserve && v->map && v->unmap && v->remove && v->rename && v->make_dir &&
         v->sync_dir && v->list && v->lock;
}

VDB_INTERNAL int vdb_db_check_options(const vecdb_options *o, vecdb_error *err) {
  if (o->size == sizeof *o && o->cache_bytes > 0 && o->cache_bytes < OPEN_CACHE_LEAST)
    return vdb_fail(err, VECDB_ERR_OPTION, "cache_bytes is %llu; a cache has at least %d",
                    (unsigned long long)o->cache_bytes, OPEN_CACHE_LEAST);
  if (o->size == sizeof *o && o->vector_cache_bytes > 0 &&
      o->vector_cache_bytes < OPEN_VECTORS_LEAST)
    return vdb_fail(err, VECDB_ERR_OPTION,
                    "vector_cache_bytes is %llu; a cache of vectors has at least %d",
                    (unsigned long long)o->vector_cache_bytes, OPEN_VECTORS_LEAST);
  const uint32_t flags = VECDB_READ_ONLY | VECDB_MUST_EXIST | VECDB_HOST_DRIVEN |
                         VECDB_FOLLOW;
  if (o->size != sizeof *o)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_options has size %zu here, not %u", sizeof *o,
                    o->size);
  if (o->flags & ~flags)
    return vdb_fail(err, VECDB_ERR_OPTION, "flags 0x%x are not all known", o->flags);
  if ((o->flags & VECDB_FOLLOW) && !(o->flags & VECDB_READ_ONLY))
    return vdb_fail(err, VECDB_ERR_OPTION, "only a reader can follow: VECDB_READ_ONLY is missing");
  if (o->durability < VECDB_DURABLE_COMMIT || o->durability > VECDB_DURABLE_OFF)
    return vdb_fail(err, VECDB_ERR_OPTION, "durability %d is unknown", o->durability);
  if (o->verify < VECDB_VERIFY_META || o->verify > VECDB_VERIFY_FULL)
    return vdb_fail(err, VECDB_ERR_OPTION, "verify %d is unknown", o->verify);
  if (o->threads > 1024 || o->seal_rows > VDB_SEG_MAX_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "threads are at most 1024 and seal_rows at most %u",
                    VDB_SEG_MAX_ROWS);
  if (o->allocator && !(o->allocator->alloc && o->allocator->resize && o->allocator->release))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the allocator lacks a function");
  if (o->clock && !(o->clock->monotonic_ns && o->clock->wall_ns))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the clock lacks a function");
  if (o->vfs && o->vfs->size != sizeof *o->vfs)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_vfs has size %zu here, not %u", sizeof *o->vfs,
                    o->vfs->size);
  if (o->vfs && !open_vfs_whole(o->vfs))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the VFS lacks a function");
  if (o->control && o->control->size != sizeof *o->control)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_control has size %zu here, not %u",
                    sizeof *o->control, o->control->size);
  return VECDB_OK;
}

static void open_set(struct vecdb *db, const vecdb_options *o) {
  db->flags = o->flags;
  db->durability = o->durability;
  db->interval_ns = (uint64_t)(o->interval_ms ? o->interval_ms : 100) * 1000000;
  db->seal_rows = o->seal_rows ? o->seal_rows : 65536;
  db->index_rows = o->index_rows ? o->index_rows : 4096;
  db->recall_every = o->recall_every;
  db->seal_bytes = o->seal_bytes ? o->seal_bytes : (uint64_t)128 << 20;
  db->wal_bytes = o->wal_bytes ? o->wal_bytes : (uint64_t)256 << 20;
  db->verify_full = o->verify == VECDB_VERIFY_FULL;
  db->next_segment = 1;
  db->next_collection = 1;
  atomic_init(&db->next_file, 1);
}

/* All locks or none. */
static int open_locks(struct vecdb *db, vecdb_error *err) {
  struct vdb_mutex *mutexes[] = {&db->manifest_mu, &db->write_mu, &db->colls_mu, &db->jobs_mu,
                                 &db->step_mu};
  struct vdb_cond *conds[] = {&db->write_cond, &db->jobs_cond};
  size_t m = 0, c = 0;
  int os = 0;
  while (!os && m < VDB_COUNT(mutexes))
    os = vdb_mutex_init(mutexes[m++]);
  while (!os && c < VDB_COUNT(conds))
    os = vdb_cond_init(conds[c++]);
  if (!os)
    return VECDB_OK;
  /* The one that failed is the last one counted. */
  if (c > 0)
    c--;
  else
    m--;
  while (c > 0)
    vdb_cond_destroy(conds[--c]);
  while (m > 0)
    vdb_mutex_destroy(mutexes[--m]);
  return vdb_fail_os(err, os, "making locks for", db->dir);
}

static void open_unlock_all(struct vecdb *db) {
  vdb_cond_destroy(&db->jobs_cond);
  vdb_cond_destroy(&db->write_cond);
  vdb_mutex_destroy(&db->step_mu);
  vdb_mutex_destroy(&db->jobs_mu);
  vdb_mutex_destroy(&db->colls_mu);
  vdb_mutex_destroy(&db->write_mu);
  vdb_mutex_destroy(&db->manifest_mu);
}

VDB_INTERNAL void vdb_db_parent(const char *path, char *out, size_t n) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/')
    length--;
  while (length > 0 && path[length - 1] != '/')
    length--;
  if (length == 0) {
    memcpy(out, ".", 2);
  } else {
    length = length > 1 ? length - 1 : 1;
    length = vdb_min_size(length, n - 1);
    memcpy(out, path, length);
    out[length] = '\0';
  }
}

VDB_INTERNAL int vdb_db_sync_parent(struct vdb_env *env, const char *path, vecdb_error *err) {
  char parent[OPEN_PATH_MAX + 1];
  vdb_db_parent(path, parent, sizeof parent);
  int os = env->vfs->sync_dir(env->vfs, parent);
  return os ? vdb_fail_os(err, os, "syncing folder", parent) : VECDB_OK;
}

/* Makes the folder if it may and must. Its name is synced with the first manifest. */
static int open_folder(struct vecdb *db, vecdb_error *err) {
  const vecdb_vfs *vfs = db->env.vfs;
  if (db->flags & (VECDB_READ_ONLY | VECDB_MUST_EXIST))
    return VECDB_OK;
  int os = vfs->make_dir(vfs, db->dir);
  return os && os != EEXIST ? vdb_fail_os(err, os, "making folder", db->dir) : VECDB_OK;
}

static int open_lock_file(struct vecdb *db, vecdb_error *err) {
  if (db->flags & VECDB_READ_ONLY)
    return VECDB_OK;
  struct vdb_writer path = VDB_WRITER(&db->env.mem);
  vdb_write_bytes(&path, db->dir, strlen(db->dir));
  vdb_write_bytes(&path, "/LOCK", sizeof "/LOCK");
  bool ok = !path.failed;
  int os = ok ? db->env.vfs->lock(db->env.vfs, (const char *)path.data, &db->lock) : 0;
  vdb_writer_free(&path);
  if (!ok)
    return vdb_fail_memory(err);
  if (os == EBUSY)
    return vdb_fail(err, VECDB_ERR_BUSY, "database %s is already open for writing", db->dir);
  if (os == ENOENT)
    return vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no database in %s", db->dir);
  return os ? vdb_fail_os(err, os, "locking", db->dir) : VECDB_OK;
}

/* Frees what is there of a database that is not running. */
static void open_free(struct vecdb *db) {
  for (size_t i = 0; i < db->n_colls; i++)
    vdb_collection_unref(db->colls[i]);
  vdb_free(&db->env.mem, db->colls);
  vdb_free(&db->env.mem, db->marks);
  vdb_pool_free(db->pool);
  vdb_mem_reclaim(&db->env.mem, NULL, NULL);
  vdb_cache_free(db->cache);
  vdb_hot_free(db->env.hot);
  if (db->lock)
    db->lock->vfs->close(db->lock);
  vdb_keys_free(db->keys);
  vdb_device_close(db->env.device);
  vdb_free(&db->env.mem, db->alone);
  vdb_free(&db->env.mem, db->dir);
  open_unlock_all(db);
}

/* What stands in the files. */
static int open_files(struct vecdb *db, const vecdb_options *options, vecdb_error *err) {
  if (db->alone)
    return vdb_alone_open(db, err);
  VDB_TRY(open_folder(db, err));
  VDB_TRY(vdb_recover_look(db, err)); /* before the lock file: what is not ours is left as it is */
  VDB_TRY(open_lock_file(db, err));
  return vdb_recover(db, options, err);
}

/* Gives back what only makes searches faster, unless that cannot be enough. */
static uint64_t open_reclaim(void *arg, uint64_t bytes) {
  const struct vecdb *db = arg;
  uint64_t held = atomic_load(&db->env.mem.by[VDB_FOR_CACHE]) + vdb_hot_bytes(db->env.hot);
  if (bytes > vdb_mem_left(&db->env.mem) + held)
    return 0;
  uint64_t freed = db->cache ? vdb_cache_shrink(db->cache, bytes) : 0;
  return freed < bytes && db->env.hot ? freed + vdb_hot_shrink(db->env.hot, bytes - freed) : freed;
}

static int open_caches(struct vecdb *db, const vecdb_options *options, vecdb_error *err) {
  if (options->cache_bytes > 0)
    VDB_TRY(vdb_cache_new(vdb_env_for(&db->env, VDB_FOR_CACHE), options->cache_bytes, &db->cache,
                          err));
  if (options->vector_cache_bytes > 0)
    VDB_TRY(vdb_hot_new(vdb_env_for(&db->env, VDB_FOR_VECTORS), options->vector_cache_bytes,
                        &db->env.hot, err));
  if (db->cache || db->env.hot)
    vdb_mem_reclaim(&db->env.mem, open_reclaim, db);
  return VECDB_OK;
}

static int open_parts(struct vecdb *db, const vecdb_options *options, vecdb_error *err) {
  VDB_TRY(vdb_alone_look(db, err));
  if (options->encryption)
    VDB_TRY(vdb_keys_new(&db->env, db->dir, options->encryption, &db->keys, err));
  db->env.keys = db->keys;
  struct vdb_device_options device = {options->device, options->device_module,
                                      options->device_memory, !(db->flags & VECDB_HOST_DRIVEN)};
  VDB_TRY(vdb_device_open(&db->env, &device, &db->env.device, err));
  VDB_TRY(vdb_pool_new(&db->env, db->flags & VECDB_HOST_DRIVEN ? 1 : db->env.threads, &db->pool,
                       err));
  VDB_TRY(open_caches(db, options, err));
  VDB_TRY(open_files(db, options, err));
  return vdb_jobs_start(db, err);
}

VDB_INTERNAL int vdb_db_open(const char *path, const vecdb_options *options, struct vecdb **out,
                             vecdb_error *err) {
  static const vecdb_options standard = VECDB_OPTIONS_INIT;
  const vecdb_options *o = options ? options : &standard;
  VDB_TRY(vdb_db_check_options(o, err));
  size_t length = path ? strlen(path) : 0;
  if (length == 0 || length > OPEN_PATH_MAX)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "a path has 1 to %d bytes, not %zu", OPEN_PATH_MAX,
                    length);
  struct vdb_mem first;
  vdb_mem_init(&first, o->allocator, 0);
  struct vecdb *db = vdb_alloc_zero(&first, sizeof *db);
  if (!db)
    return vdb_fail_memory(err);
  int rc = vdb_env_init(&db->env, o, strcmp(path, ":memory:") == 0 && !o->vfs, err);
  if (rc) {
    vdb_free(&first, db);
    return rc;
  }
  vdb_mem_adopt(&db->env.mem, db);
  open_set(db, o);
  db->dir = vdb_strndup(&db->env.mem, path, length);
  rc = db->dir ? open_locks(db, err) : vdb_fail_memory(err);
  if (rc) {
    vdb_free(&db->env.mem, db->dir);
    vdb_env_fini(&db->env);
    vdb_free(&first, db);
    return rc;
  }
  rc = open_parts(db, o, err);
  if (rc) {
    if (db->wal) {
      vecdb_error ignored;
      vdb_wal_close(db->wal, false, &ignored);
    }
    open_free(db);
    vdb_env_fini(&db->env);
    vdb_free(&first, db);
    return rc;
  }
  *out = db;
  return VECDB_OK;
}

/* Syncs the log and notes in the manifest how far it goes: the last of its records, or its last
   file, would else be missed by nobody. A note that cannot be made is no failure to close. */
static void close_note(struct vecdb *db) {
  vecdb_error err;
  vdb_mutex_lock(&db->write_mu);
  int rc = vdb_commit_sync(db, db->published_seq, &err);
  uint64_t synced = db->synced_seq;
  vdb_mutex_unlock(&db->write_mu);
  if (rc)
    return; /* vdb_wal_close tries again, and reports */
  struct vdb_change nothing = {0};
  bool keep;
  vdb_mutex_lock(&db->manifest_mu);
  if (db->noted_seq < synced && vdb_change_commit(db, &nothing, &keep, &err))
    vdb_log(&db->env, VECDB_LOG_WARN, "closing %s: %s", db->dir, err.message);
  vdb_mutex_unlock(&db->manifest_mu);
}

VDB_INTERNAL int vdb_db_close(struct vecdb *db, vecdb_error *err) {
  vdb_jobs_stop(db);
  int rc = VECDB_OK;
  if (db->wal) {
    close_note(db);
    rc = vdb_wal_close(db->wal, true, err);
  }
  open_free(db);
  struct vdb_mem last;
  vdb_mem_init(&last, &db->env.mem.table, 0);
  vdb_env_fini(&db->env);
  vdb_mem_adopt(&last, db);
  vdb_free(&last, db);
  return rc;
}
