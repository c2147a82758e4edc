/*
 * backup.c - copies of a database as of one moment, and back. A backup is a database folder without
 * a log. It is written from snapshots of all collections, which keep their segments and files, so
 * that no lock is held meanwhile: files of sealed segments are copied as they are, growing segments
 * and deletes become files of the copy; an encrypted one has all data keys. The manifest comes
 * last: what a crash cuts off is not a database. What fails or is cancelled is removed.
 */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "db/db.h"

enum { BACKUP_PIECE = 1 << 20 };

/* A collection as of the moment of the backup. */
struct backup_part {
  struct vdb_snapshot *snapshot;
  struct vdb_manifest_collection *entry; /* what is copied of it so far */
  struct vdb_manifest_index *indexes;    /* of all its segments */
  struct vdb_writer schema;              /* encoded, once its memory is set */
};

struct backup {
  struct vecdb *db;
  struct vdb_env *env; /* where the copy goes: the files of a database in memory are elsewhere */
  const char *to;
  struct vdb_control *control;
  struct backup_part *parts;
  struct vdb_manifest manifest; /* one entry per part; of the copy so far */
  uint64_t done;
  uint64_t total;
};

/* ---- files ---- */

/* Copies a file from its mapping: its name may be gone, the mapping stays with its segment. */
static int backup_copy_bytes(struct backup *b, vecdb_file *out, const struct vdb_blob *blob,
                             const char *path, vecdb_error *err) {
  size_t length;
  const uint8_t *bytes = vdb_blob_bytes(blob, &length);
  for (size_t at = 0; at < length;) {
    size_t n = vdb_min_size(length - at, BACKUP_PIECE);
    int os = out->vfs->write(out, bytes + at, n, at);
    if (os)
      return vdb_fail_os(err, os, "writing", path);
    at += n;
    b->done += n;
    if (vdb_control_progress(b->control, "copy", b->done, b->total))
      return vdb_control_fail(b->control, err);
  }
  int os = out->vfs->sync(out);
  return os ? vdb_fail_os(err, os, "syncing", path) : VECDB_OK;
}

static int backup_copy_file(struct backup *b, enum vdb_blob_kind kind, const struct vdb_blob *blob,
                            const struct vdb_blob_id *id, struct vdb_blob_id *out,
                            vecdb_error *err) {
  char path[4096];
  const vecdb_vfs *vfs = b->env->vfs;
  VDB_TRY(vdb_blob_path(path, sizeof path, b->to, kind, id->file, err));
  *out = *id; /* to be removed from here on */
  vecdb_file *file;
  int os = vfs->open(vfs, path, VECDB_OPEN_CREATE, &file);
  if (os)
    return vdb_fail_os(err, os, "making", path);
  int rc = backup_copy_bytes(b, file, blob, path, err);
  vfs->close(file);
  return rc;
}

/* ---- segments ---- */

static int backup_sealed(struct backup *b, const struct backup_part *part,
                         const struct vdb_seg *seg, struct vdb_manifest_segment *out,
                         vecdb_error *err) {
  const struct vdb_sealed *sealed = seg->sealed;
  out->id = seg->id;
  out->rows = sealed->n_rows;
  VDB_TRY(backup_copy_file(b, VDB_BLOB_ROWS, sealed->blob, &sealed->blob_id, &out->blob, err));
  if (vdb_seg_tombs_until(seg, part->snapshot->seq) > 0) {
    out->tombs.file = vdb_change_file(b->db);
    VDB_TRY(vdb_seg_tombs_write(seg, b->env, b->to, out->tombs.file, part->snapshot->seq,
                                &out->tombs, &out->deleted, err));
  }
  for (uint32_t f = 0; f < seg->schema->n_fields; f++) {
    const struct vdb_seg_index *index = seg->indexes[f];
    if (!index)
      continue;
    struct vdb_manifest_index *entry = &out->indexes[out->n_indexes++];
    entry->field = f;
    entry->params = index->params;
    entry->curve = index->curve;
    VDB_TRY(backup_copy_file(b, VDB_BLOB_INDEX, index->blob, &index->blob_id, &entry->blob, err));
  }
  return VECDB_OK;
}

/* The rows of a growing segment that live become a sealed one; *rows 0 when there are none. */
static int backup_growing(struct backup *b, const struct backup_part *part,
                          const struct vdb_seg_view *view, struct vdb_manifest_segment *out,
                          vecdb_error *err) {
  struct vdb_mem *mem = &b->env->mem;
  uint64_t *bits = vdb_alloc_array(mem, vdb_bits_words(view->n), sizeof *bits);
  if (!bits)
    return vdb_fail_memory(err);
  vdb_bits_fill(bits, view->n);
  vdb_tombs_clear_dead(view->seg->tombs, 0, view->n, part->snapshot->seq, bits);
  out->rows = vdb_bits_count(bits, view->n);
  int rc = VECDB_OK;
  if (out->rows > 0) {
    struct vdb_sealed_source source = {*view, bits, (uint32_t)out->rows};
    struct vdb_sealed_write write = {.env = b->env,
                                     .dir = b->to,
                                     .name = part->entry->name,
                                     .schema = view->seg->schema,
                                     .number = vdb_change_file(b->db),
                                     .sources = &source,
                                     .n_sources = 1,
                                     .control = b->control};
    out->id = b->manifest.next_segment++;
    out->blob.file = write.number;
    rc = vdb_sealed_write(&write, &out->blob, err);
  }
  vdb_free(mem, bits);
  return rc;
}

static int backup_collection(struct backup *b, const struct backup_part *part, vecdb_error *err) {
  const struct vdb_snapshot *s = part->snapshot;
  struct vdb_manifest_collection *entry = part->entry;
  for (uint32_t i = 0; i < s->n_segs; i++) {
    struct vdb_manifest_segment *out = &entry->segments[entry->n_segments++];
    out->indexes = part->indexes + (size_t)i * entry->n_fields;
    if (s->segs[i].seg->sealed)
      VDB_TRY(backup_sealed(b, part, s->segs[i].seg, out, err));
    else
      VDB_TRY(backup_growing(b, part, &s->segs[i], out, err));
    entry->n_segments -= out->rows == 0;
  }
  return VECDB_OK;
}

/* ---- the folder ---- */

static void backup_remove_blob(const struct backup *b, enum vdb_blob_kind kind,
                               const struct vdb_blob_id *id) {
  char path[4096];
  vecdb_error ignored;
  if (id->file && vdb_blob_path(path, sizeof path, b->to, kind, id->file, &ignored) == VECDB_OK)
    b->env->vfs->remove(b->env->vfs, path);
}

/* Removes what was made of the copy, the manifest first, as far as that is possible. */
static void backup_remove(const struct backup *b) {
  static const char *const names[] = {"/MANIFEST", "/MANIFEST.tmp", "/KEYS", "/KEYS.tmp"};
  const vecdb_vfs *vfs = b->env->vfs;
  for (size_t i = 0; i < VDB_COUNT(names); i++) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s%s", b->to, names[i]);
    if (n > 0 && (size_t)n < sizeof path)
      vfs->remove(vfs, path);
  }
  for (uint32_t c = 0; c < b->manifest.n_collections; c++)
    for (uint32_t s = 0; s < b->manifest.collections[c].n_segments; s++) {
      const struct vdb_manifest_segment *seg = &b->manifest.collections[c].segments[s];
      backup_remove_blob(b, VDB_BLOB_ROWS, &seg->blob);
      backup_remove_blob(b, VDB_BLOB_TOMBS, &seg->tombs);
      for (uint32_t i = 0; i < seg->n_indexes; i++)
        backup_remove_blob(b, VDB_BLOB_INDEX, &seg->indexes[i].blob);
    }
  vfs->remove(vfs, b->to);
}

/* Completes the copy: no other data keys can come between KEYS and the manifest. */
static int backup_finish(struct backup *b, vecdb_error *err) {
  const vecdb_vfs *vfs = b->env->vfs;
  if (b->db->keys)
    VDB_TRY(vdb_keys_copy(b->db->keys, b->env, b->to, err));
  int os = vfs->sync_dir(vfs, b->to);
  if (os)
    return vdb_fail_os(err, os, "syncing folder", b->to);
  VDB_TRY(vdb_db_sync_parent(b->env, b->to, err));
  b->manifest.next_file = vdb_change_file(b->db);
  bool unknown;
  return vdb_manifest_write(b->env, b->to, &b->manifest, &unknown, err);
}

static int backup_fill(struct backup *b, vecdb_error *err) {
  for (uint32_t i = 0; i < b->manifest.n_collections; i++)
    VDB_TRY(backup_collection(b, &b->parts[i], err));
  vdb_mutex_lock(&b->db->manifest_mu);
  int rc = backup_finish(b, err);
  vdb_mutex_unlock(&b->db->manifest_mu);
  return rc;
}

static int backup_write(struct backup *b, vecdb_error *err) {
  const vecdb_vfs *vfs = b->env->vfs;
  if (vdb_control_poll(b->control))
    return vdb_control_fail(b->control, err);
  int os = vfs->make_dir(vfs, b->to);
  if (os == EEXIST)
    return vdb_fail(err, VECDB_ERR_EXISTS, "%s is there already", b->to);
  if (os)
    return vdb_fail_os(err, os, "making folder", b->to);
  int rc = backup_fill(b, err);
  if (rc)
    backup_remove(b);
  return rc;
}

/* ---- the moment ---- */

/* The entry of a collection in the manifest of the copy, as yet without segments. */
static int backup_begin_part(struct backup *b, struct backup_part *part,
                             const struct vecdb_collection *coll, vecdb_error *err) {
  struct vdb_mem *mem = &b->db->env.mem;
  const struct vdb_snapshot *s = part->snapshot;
  struct vdb_manifest_collection *entry = part->entry;
  entry->id = coll->id;
  entry->name = coll->name;
  part->schema.mem = mem;
  vdb_schema_encode(s->schema, &part->schema);
  if (part->schema.failed)
    return vdb_fail_memory(err);
  entry->schema = part->schema.data;
  entry->schema_bytes = (uint32_t)part->schema.n;
  entry->flushed_seq = b->manifest.wal_floor;
  entry->indexes = (vecdb_index_params *)(uintptr_t)s->index;
  entry->n_fields = s->schema->n_fields;
  entry->segments = vdb_alloc_zero(mem, s->n_segs * sizeof *entry->segments);
  part->indexes = vdb_alloc_zero(mem, (size_t)s->n_segs * entry->n_fields * sizeof *part->indexes);
  if (!entry->segments || !part->indexes)
    return vdb_fail_memory(err);
  b->manifest.next_collection = coll->id + 1;
  for (uint32_t i = 0; i < s->n_segs; i++) {
    const struct vdb_seg *seg = s->segs[i].seg;
    if (!seg->sealed)
      continue;
    if (seg->id >= b->manifest.next_segment)
      b->manifest.next_segment = seg->id + 1;
    b->total += seg->sealed->blob_id.length;
    for (uint32_t f = 0; f < entry->n_fields; f++)
      b->total += seg->indexes[f] ? seg->indexes[f]->blob_id.length : 0;
  }
  return VECDB_OK;
}

/* Snapshots of all collections with the writes up to one number; write_mu held. */
static int backup_snapshots(struct backup *b, struct vecdb_collection **colls, size_t n,
                            vecdb_error *err) {
  struct vdb_manifest *m = &b->manifest;
  for (size_t i = 0; i < n; i++) {
    int rc = vdb_snapshot_take(colls[i], &b->parts[m->n_collections].snapshot, err);
    if (rc == VECDB_ERR_CLOSED)
      continue; /* dropped this moment */
    VDB_TRY(rc);
    m->collections[m->n_collections].next_auto_id = atomic_load(&colls[i]->next_auto_id);
    b->parts[m->n_collections].entry = &m->collections[m->n_collections];
    m->n_collections++;
  }
  return VECDB_OK;
}

/* The moment of the backup: what is visible, in all collections. */
static int backup_begin(struct backup *b, vecdb_error *err) {
  struct vecdb *db = b->db;
  struct vecdb_collection **colls;
  size_t n;
  vdb_mutex_lock(&db->write_mu);
  int rc = vdb_collection_all(db, &colls, &n, err);
  if (rc) {
    vdb_mutex_unlock(&db->write_mu);
    return rc;
  }
  b->parts = vdb_alloc_zero(&db->env.mem, n * sizeof *b->parts);
  b->manifest.collections = vdb_alloc_zero(&db->env.mem, n * sizeof *b->manifest.collections);
  b->manifest.wal_first = 1;
  b->manifest.wal_floor = b->manifest.wal_synced = db->published_seq; /* the copy goes on behind */
  b->manifest.next_segment = 1;
  b->manifest.next_collection = 1;
  if (b->parts && b->manifest.collections)
    rc = backup_snapshots(b, colls, n, err);
  else
    rc = vdb_fail_memory(err);
  vdb_mutex_unlock(&db->write_mu);
  for (uint32_t i = 0; !rc && i < b->manifest.n_collections; i++)
    rc = backup_begin_part(b, &b->parts[i], b->parts[i].snapshot->owner, err);
  vdb_collection_free_all(db, colls, n);
  return rc;
}

static void backup_end(struct backup *b) {
  struct vdb_mem *mem = &b->db->env.mem;
  for (uint32_t i = 0; i < b->manifest.n_collections; i++) {
    vdb_free(mem, b->manifest.collections[i].segments);
    vdb_free(mem, b->parts[i].indexes);
    if (b->parts[i].schema.mem)
      vdb_writer_free(&b->parts[i].schema);
    vdb_snapshot_release(b->parts[i].snapshot);
  }
  vdb_free(mem, b->manifest.collections);
  vdb_free(mem, b->parts);
}

/* While there is a copy being made, no data key is given up. */
static void backup_count(struct vecdb *db, int more) {
  vdb_mutex_lock(&db->manifest_mu);
  db->copies += (uint32_t)more;
  vdb_mutex_unlock(&db->manifest_mu);
}

VDB_INTERNAL int vdb_backup(struct vecdb *db, const char *path, struct vdb_control *control,
                            vecdb_error *err) {
  struct backup b = {.db = db, .env = &db->env, .to = path, .control = control};
  struct vdb_env system;
  bool elsewhere = db->env.owned_vfs != NULL; /* ":memory:" is copied to the system's files */
  if (elsewhere) {
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.allocator = &db->env.mem.table;
    VDB_TRY(vdb_env_init(&system, &options, false, err));
    system.keys = db->keys;
    b.env = &system;
  }
  backup_count(db, 1);
  int rc = backup_begin(&b, err);
  if (!rc)
    rc = backup_write(&b, err);
  backup_end(&b);
  backup_count(db, -1);
  if (elsewhere)
    vdb_env_fini(&system);
  return rc;
}

/* ---- restore ---- */

/* Copies the backup that is open as `db`, once it has been checked. */
static int backup_restore(struct vecdb *db, const char *from, const char *to,
                          struct vdb_control *control, vecdb_error *err) {
  struct vdb_manifest manifest;
  if (db->alone)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is a file of a segment, not a backup", from);
  VDB_TRY(vdb_check_all(db, NULL, NULL, control, err));
  VDB_TRY(vdb_manifest_read(&db->env, from, &manifest, err));
  uint64_t floor = manifest.wal_floor;
  vdb_manifest_fini(&db->env.mem, &manifest);
  if (db->published_seq > floor)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s has a log: it is a database, not a backup", from);
  return vdb_backup(db, to, control, err);
}

VDB_INTERNAL int vdb_restore(const char *from, const char *to, const vecdb_options *options,
                             vecdb_error *err) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  if (options)
    o = *options;
  VDB_TRY(vdb_db_check_options(&o, err));
  o.flags = VECDB_READ_ONLY;
  o.verify = VECDB_VERIFY_FULL;
  struct vdb_env env; /* for the clock: the time of the whole call begins before the opening */
  VDB_TRY(vdb_env_init(&env, &o, false, err));
  struct vdb_control control;
  vdb_control_init(&control, &env, o.control);
  struct vecdb *db;
  int rc = vdb_db_open(from, &o, &db, err);
  if (!rc) {
    vecdb_error ignored;
    rc = backup_restore(db, from, to, &control, err);
    vdb_db_close(db, &ignored);
  }
  vdb_env_fini(&env);
  return rc;
}
