/*
 * backup.c - copies of a database: of a live one as of one moment, and back. A backup is a database
 * folder without a log: everything is flushed first, then the files that the manifest names are
 * copied, and a manifest is written last, so that a copy that was cut off is not a database.
 */
#include <errno.h>

#include "base/check.h"
#include "db/db.h"

enum { BACKUP_PIECE = 1 << 20 };

/* ---- copying files ---- */

struct backup_copy {
  struct vdb_env *env;
  const vecdb_vfs *source; /* the files of a database in memory are not where the copy goes */
  const char *from;
  const char *to;
  struct vdb_control *control;
  uint8_t *piece; /* BACKUP_PIECE bytes */
  uint64_t done;
  uint64_t total;
};

static int backup_copy_bytes(struct backup_copy *c, vecdb_file *in, vecdb_file *out,
                             uint64_t length, const char *path, vecdb_error *err) {
  for (uint64_t at = 0; at < length;) {
    size_t n = (size_t)(length - at < BACKUP_PIECE ? length - at : BACKUP_PIECE);
    int os = in->vfs->read(in, c->piece, n, at);
    if (!os)
      os = out->vfs->write(out, c->piece, n, at);
    if (os)
      return vdb_fail_os(err, os, "copying", path);
    at += n;
    c->done += n;
    if (vdb_control_progress(c->control, "copy", c->done, c->total))
      return vdb_control_fail(c->control, err);
  }
  int os = out->vfs->sync(out);
  return os ? vdb_fail_os(err, os, "syncing the copy of", path) : VECDB_OK;
}

static int backup_copy_file(struct backup_copy *c, enum vdb_blob_kind kind,
                            const struct vdb_blob_id *id, vecdb_error *err) {
  char from[4096], to[4096];
  const vecdb_vfs *vfs = c->env->vfs;
  VDB_TRY(vdb_blob_path(from, sizeof from, c->from, kind, id->file, err));
  VDB_TRY(vdb_blob_path(to, sizeof to, c->to, kind, id->file, err));
  vecdb_file *in, *out;
  int os = c->source->open(c->source, from, VECDB_OPEN_READ, &in);
  if (os)
    return vdb_fail_os(err, os, "opening", from);
  os = vfs->open(vfs, to, VECDB_OPEN_CREATE, &out);
  if (os) {
    c->source->close(in);
    return vdb_fail_os(err, os, "making", to);
  }
  int rc = backup_copy_bytes(c, in, out, id->length, from, err);
  vfs->close(out);
  c->source->close(in);
  return rc;
}

/* Calls `each` for every file that the manifest names. */
static int backup_each_file(const struct vdb_manifest *m, struct backup_copy *c,
                            int (*each)(struct backup_copy *c, enum vdb_blob_kind kind,
                                        const struct vdb_blob_id *id, vecdb_error *err),
                            vecdb_error *err) {
  for (uint32_t k = 0; k < m->n_collections; k++)
    for (uint32_t s = 0; s < m->collections[k].n_segments; s++) {
      const struct vdb_manifest_segment *seg = &m->collections[k].segments[s];
      VDB_TRY(each(c, VDB_BLOB_ROWS, &seg->blob, err));
      if (seg->tombs.file)
        VDB_TRY(each(c, VDB_BLOB_TOMBS, &seg->tombs, err));
      for (uint32_t i = 0; i < seg->n_indexes; i++)
        VDB_TRY(each(c, VDB_BLOB_INDEX, &seg->indexes[i].blob, err));
    }
  return VECDB_OK;
}

static int backup_count_file(struct backup_copy *c, enum vdb_blob_kind kind,
                             const struct vdb_blob_id *id, vecdb_error *err) {
  (void)kind;
  (void)err;
  c->total += id->length;
  return VECDB_OK;
}

/* Copies what `manifest` names from c->from into the new folder c->to, and the manifest last. */
static int backup_copy_all(struct backup_copy *c, struct vdb_manifest *manifest,
                           vecdb_error *err) {
  const vecdb_vfs *vfs = c->env->vfs;
  int os = vfs->make_dir(vfs, c->to);
  if (os == EEXIST)
    return vdb_fail(err, VECDB_ERR_EXISTS, "%s is there already", c->to);
  if (os)
    return vdb_fail_os(err, os, "making folder", c->to);
  c->piece = vdb_alloc(&c->env->mem, BACKUP_PIECE);
  if (!c->piece)
    return vdb_fail_memory(err);
  int rc = backup_each_file(manifest, c, backup_count_file, err);
  if (!rc)
    rc = backup_each_file(manifest, c, backup_copy_file, err);
  os = rc ? 0 : vfs->sync_dir(vfs, c->to);
  if (os)
    rc = vdb_fail_os(err, os, "syncing folder", c->to);
  bool unknown;
  if (!rc)
    rc = vdb_db_sync_parent(c->env, c->to, err);
  if (!rc)
    rc = vdb_manifest_write(c->env, c->to, manifest, &unknown, err);
  vdb_free(&c->env->mem, c->piece);
  return rc;
}

/* ---- backup ---- */

/* No merge may end between the flush and the copy: it would leave out a row that was replaced after
   the flush, and the copy would have neither the old one nor the new. */
static void backup_lock(struct vecdb_collection **colls, size_t n) {
  for (size_t i = 0; i < n; i++) {
    atomic_fetch_add(&colls[i]->preempt, 1);
    vdb_mutex_lock(&colls[i]->merge_mu);
    atomic_fetch_sub(&colls[i]->preempt, 1);
  }
  for (size_t i = 0; i < n; i++)
    vdb_mutex_lock(&colls[i]->seal_mu);
}

static void backup_unlock(struct vecdb_collection **colls, size_t n) {
  while (n > 0) {
    vdb_mutex_unlock(&colls[--n]->seal_mu);
    vdb_mutex_unlock(&colls[n]->merge_mu);
    vdb_collection_unref(colls[n]);
  }
}

/* Flushes all collections as of one moment. */
static int backup_flush(struct vecdb *db, struct vecdb_collection **colls, size_t n,
                        struct vdb_control *control, vecdb_error *err) {
  uint64_t *until = vdb_alloc_array(&db->env.mem, n, sizeof *until);
  if (!until)
    return vdb_fail_memory(err);
  vdb_mutex_lock(&db->write_mu);
  for (size_t i = 0; i < n; i++) {
    vdb_apply_freeze(colls[i]);
    until[i] = colls[i]->last_seq;
  }
  vdb_commit_rotate(db);
  vdb_mutex_unlock(&db->write_mu);
  int rc = VECDB_OK;
  for (size_t i = 0; !rc && i < n; i++) {
    rc = vdb_flush_frozen(colls[i], until[i], control, err);
    if (rc == VECDB_ERR_CLOSED)
      rc = VECDB_OK; /* dropped meanwhile */
  }
  vdb_free(&db->env.mem, until);
  return rc;
}

/* Copies to where the database's files are; those of ":memory:" to the system's. */
static int backup_copy_out(struct vecdb *db, struct vdb_manifest *manifest, const char *path,
                           struct vdb_control *control, vecdb_error *err) {
  struct backup_copy copy = {.env = &db->env, .source = db->env.vfs, .from = db->dir, .to = path,
                             .control = control};
  if (!db->env.owned_vfs)
    return backup_copy_all(&copy, manifest, err);
  struct vdb_env system;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.allocator = &db->env.mem.table;
  VDB_TRY(vdb_env_init(&system, &options, false, err));
  copy.env = &system;
  int rc = backup_copy_all(&copy, manifest, err);
  vdb_env_fini(&system);
  return rc;
}

/* Copies the files as the manifest stands; it cannot change meanwhile. Collections above `last_id`
   came after the moment of the backup. */
static int backup_write(struct vecdb *db, uint32_t last_id, const char *path,
                        struct vdb_control *control, vecdb_error *err) {
  struct vdb_change nothing = {0};
  struct vdb_manifest manifest;
  vdb_mutex_lock(&db->manifest_mu);
  int rc = vdb_change_manifest(db, &nothing, &manifest, err);
  if (!rc) {
    uint32_t n_all = manifest.n_collections;
    while (manifest.n_collections > 0 &&
           manifest.collections[manifest.n_collections - 1].id > last_id)
      manifest.n_collections--;
    /* The copy has no log: numbering goes on behind everything that is in its files. */
    manifest.wal_first = 1;
    manifest.wal_floor = 0;
    for (uint32_t i = 0; i < manifest.n_collections; i++)
      if (manifest.collections[i].flushed_seq > manifest.wal_floor)
        manifest.wal_floor = manifest.collections[i].flushed_seq;
    rc = backup_copy_out(db, &manifest, path, control, err);
    manifest.n_collections = n_all;
    vdb_change_manifest_free(db, &manifest);
  }
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

VDB_INTERNAL int vdb_backup(struct vecdb *db, const char *path, struct vdb_control *control,
                            vecdb_error *err) {
  vdb_mutex_lock(&db->colls_mu);
  size_t n = db->n_colls;
  struct vecdb_collection **colls =
      vdb_alloc_array(&db->env.mem, n, sizeof(struct vecdb_collection *));
  for (size_t i = 0; colls && i < n; i++)
    colls[i] = vdb_collection_ref(db->colls[i]);
  vdb_mutex_unlock(&db->colls_mu);
  if (!colls)
    return vdb_fail_memory(err);
  backup_lock(colls, n);
  int rc = backup_flush(db, colls, n, control, err);
  if (!rc)
    rc = backup_write(db, n > 0 ? colls[n - 1]->id : 0, path, control, err);
  backup_unlock(colls, n);
  vdb_free(&db->env.mem, colls);
  vdb_jobs_kick(db); /* what gave way */
  return rc;
}

/* ---- restore ---- */

VDB_INTERNAL int vdb_restore(const char *from, const char *to, const vecdb_options *options,
                             vecdb_error *err) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  if (options)
    o = *options;
  if (o.size != sizeof o)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_options has size %zu here, not %u", sizeof o,
                    o.size);
  o.flags = VECDB_READ_ONLY;
  o.verify = VECDB_VERIFY_FULL;
  struct vecdb *db;
  VDB_TRY(vdb_db_open(from, &o, &db, err));
  struct vdb_control control;
  vdb_control_init(&control, &db->env, o.control);
  int rc = vdb_check_all(db, NULL, NULL, &control, err);
  struct vdb_manifest manifest;
  if (!rc)
    rc = vdb_manifest_read(&db->env, from, &manifest, err);
  if (!rc) {
    if (db->published_seq > manifest.wal_floor)
      rc = vdb_fail(err, VECDB_ERR_ARGUMENT, "%s has a log: it is a database, not a backup", from);
    struct backup_copy copy = {.env = &db->env, .source = db->env.vfs, .from = from, .to = to,
                               .control = &control};
    if (!rc)
      rc = backup_copy_all(&copy, &manifest, err);
    vdb_manifest_fini(&db->env.mem, &manifest);
  }
  vecdb_error ignored;
  vdb_db_close(db, &ignored);
  return rc;
}
