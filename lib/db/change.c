/*
 * change.c - every change of what the files hold goes through here: the manifest is built from
 * memory with the change applied, written, and only then memory follows. See db/README.md.
 */
#include "base/check.h"
#include "db/db.h"

/* Versions may grow by this many segments between the reservation of memory and the swap without
   the swap needing memory. */
enum { CHANGE_SLACK = 64 };

VDB_INTERNAL uint64_t vdb_change_file(struct vecdb *db) {
  return atomic_fetch_add_explicit(&db->next_file, 1, memory_order_relaxed);
}

VDB_INTERNAL void vdb_change_remove(struct vecdb *db, enum vdb_blob_kind kind, uint64_t number) {
  char path[4096];
  vecdb_error ignored;
  if (number != 0 && vdb_blob_path(path, sizeof path, db->dir, kind, number, &ignored) == 0)
    db->env.vfs->remove(db->env.vfs, path); /* what stays is removed at the next open */
}

static bool change_removes(const struct vdb_change *change, const struct vdb_seg *seg) {
  for (uint32_t i = 0; i < change->n_removed; i++)
    if (change->removed[i] == seg)
      return true;
  return false;
}

/* The sealed segments of a collection after the change, in order; returns how many. `out` has
   room. */
static uint32_t change_segments(const struct vecdb_collection *coll,
                                const struct vdb_version *version, const struct vdb_change *change,
                                struct vdb_seg **out) {
  uint32_t n = 0;
  bool placed = change->coll != coll || !change->added;
  if (change->coll == coll && change->shape) {
    memcpy(out, change->reshaped, change->n_reshaped * sizeof(struct vdb_seg *));
    return change->n_reshaped;
  }
  for (uint32_t i = 0; i < version->n; i++) {
    struct vdb_seg *seg = version->segs[i];
    if (change->coll == coll && change_removes(change, seg)) {
      if (!placed)
        out[n++] = change->added;
      placed = true;
    } else if (seg->sealed) {
      out[n++] = seg;
    }
  }
  return n;
}

/* New tombstone files written for a change, beside the segments they belong to. */
struct change_tombs {
  struct vdb_seg *seg;
  struct vdb_blob_id blob;
  uint64_t n;
};

struct change_work {
  struct vecdb *db;
  const struct vdb_change *change;
  struct vdb_seg **segs; /* of change->coll, after the change */
  uint32_t n_segs;
  struct vdb_version *version; /* with room for them, until it is in force */
  uint64_t files_seq;          /* of change->coll, after the change */
  struct change_tombs *tombs;
  uint32_t n_tombs;
};

/* Writes the deletes that are not in files yet, as far as the change claims them. */
static int change_write_tombs(struct change_work *w, vecdb_error *err) {
  struct vecdb *db = w->db;
  w->tombs = vdb_alloc_array(&db->env.mem, w->n_segs, sizeof *w->tombs);
  if (!w->tombs)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < w->n_segs; i++) {
    struct vdb_seg *seg = w->segs[i];
    if (vdb_tombs_count(seg->tombs) == seg->tombs_saved ||
        vdb_seg_tombs_until(seg, w->files_seq) == seg->tombs_saved)
      continue;
    struct change_tombs *t = &w->tombs[w->n_tombs];
    t->seg = seg;
    VDB_TRY(vdb_seg_tombs_write(seg, &db->env, db->dir, vdb_change_file(db), w->files_seq,
                                &t->blob, &t->n, err));
    w->n_tombs++;
  }
  return VECDB_OK;
}

static void change_fill_segment(const struct change_work *w, struct vdb_seg *seg,
                                struct vdb_manifest_segment *out,
                                struct vdb_manifest_index *indexes) {
  out->id = seg->id;
  out->rows = seg->sealed->n_rows;
  out->blob = seg->sealed->blob_id;
  out->tombs = seg->tombs_blob;
  out->deleted = seg->tombs_saved;
  for (uint32_t i = 0; w && i < w->n_tombs; i++) {
    if (w->tombs[i].seg == seg) {
      out->tombs = w->tombs[i].blob;
      out->deleted = w->tombs[i].n;
    }
  }
  out->indexes = indexes;
  for (uint32_t f = 0; f < seg->schema->n_fields; f++) {
    if (!seg->indexes[f])
      continue;
    struct vdb_manifest_index index = {f, seg->indexes[f]->params, seg->indexes[f]->curve,
                                       seg->indexes[f]->blob_id};
    indexes[out->n_indexes++] = index;
  }
}

/* What the manifest says of one collection. */
static int change_fill_collection(const struct change_work *w, struct vecdb_collection *coll,
                                  struct vdb_manifest_collection *out, vecdb_error *err) {
  struct vdb_mem *mem = &w->db->env.mem;
  const struct vdb_change *change = w->change;
  bool changed = change->coll == coll;
  const struct vdb_shape *shape = changed && change->shape ? change->shape : coll->shape;
  uint32_t n_fields = shape->schema->n_fields;
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_seg **segs = vdb_alloc_array(mem, (size_t)version->n + 1, sizeof(struct vdb_seg *));
  out->indexes = vdb_alloc_array(mem, n_fields, sizeof *out->indexes);
  uint32_t n = segs ? change_segments(coll, version, change, segs) : 0;
  out->segments = vdb_alloc_zero(mem, n * sizeof *out->segments);
  struct vdb_manifest_index *indexes =
      vdb_alloc_array(mem, (size_t)n * n_fields, sizeof(struct vdb_manifest_index));
  int rc = VECDB_OK;
  if (!segs || !out->indexes || !out->segments || !indexes) {
    vdb_free(mem, indexes);
    rc = vdb_fail_memory(err);
  } else {
    out->n_segments = n;
    for (uint32_t i = 0; i < n; i++)
      change_fill_segment(changed ? w : NULL, segs[i], &out->segments[i],
                          indexes + (size_t)i * n_fields);
    if (n == 0)
      vdb_free(mem, indexes);
    memcpy(out->indexes, changed && change->index ? change->index : coll->index,
           n_fields * sizeof *out->indexes);
  }
  out->id = coll->id;
  out->name = coll->name;
  out->schema = shape->bytes.data;
  out->schema_bytes = (uint32_t)shape->bytes.n;
  out->n_fields = n_fields;
  out->next_auto_id = atomic_load(&coll->next_auto_id);
  vdb_free(mem, segs);
  vdb_version_unref(mem, version);
  return rc;
}

static void change_manifest_free(struct vecdb *db, struct vdb_manifest *manifest) {
  struct vdb_mem *mem = &db->env.mem;
  for (uint32_t i = 0; i < manifest->n_collections; i++) {
    struct vdb_manifest_collection *c = &manifest->collections[i];
    if (c->n_segments > 0)
      vdb_free(mem, c->segments[0].indexes); /* one block for all segments */
    vdb_free(mem, c->segments);
    vdb_free(mem, c->indexes);
  }
  vdb_free(mem, manifest->collections);
  memset(manifest, 0, sizeof *manifest);
}

/* Where the log begins: behind what every collection has in files. The place never goes back: the
   next write of a collection that has all in files begins at what is synced (vdb_apply_commit). */
static void change_log_floor(const struct change_work *w, struct vdb_manifest *out) {
  struct vecdb *db = w->db;
  vdb_mutex_lock(&db->write_mu);
  uint64_t floor = db->synced_seq;
  struct vdb_manifest_collection *c = out->collections; /* in the order of change_build */
  for (size_t i = 0; i < db->n_colls + 1; i++) {
    const struct vecdb_collection *coll = i < db->n_colls ? db->colls[i] : w->change->created;
    if (!coll || coll == w->change->dropped)
      continue;
    c->flushed_seq = coll->files_seq;
    if (coll == w->change->coll && w->files_seq > c->flushed_seq)
      c->flushed_seq = w->files_seq;
    if (coll->last_seq > c->flushed_seq && c->flushed_seq < floor)
      floor = c->flushed_seq;
    c++;
  }
  out->wal_floor = floor;
  out->wal_synced = db->synced_seq;
  out->wal_first = db->n_marks ? db->marks[0].file : 1;
  for (size_t i = 0; i < db->n_marks; i++)
    if (db->marks[i].base <= floor)
      out->wal_first = db->marks[i].file;
  vdb_mutex_unlock(&db->write_mu);
}

static int change_build(const struct change_work *w, struct vdb_manifest *out, vecdb_error *err) {
  struct vecdb *db = w->db;
  const struct vdb_change *change = w->change;
  memset(out, 0, sizeof *out);
  out->generation = db->generation;
  out->next_file = atomic_load(&db->next_file);
  out->next_segment = db->next_segment;
  out->next_collection = db->next_collection;
  /* The list only changes under manifest_mu, which is held. */
  size_t room = db->n_colls + 1;
  out->collections = vdb_alloc_zero(&db->env.mem, room * sizeof *out->collections);
  if (!out->collections)
    return vdb_fail_memory(err);
  for (size_t i = 0; i < db->n_colls + 1; i++) {
    struct vecdb_collection *coll = i < db->n_colls ? db->colls[i] : change->created;
    if (!coll || coll == change->dropped)
      continue;
    int rc = change_fill_collection(w, coll, &out->collections[out->n_collections++], err);
    if (rc) {
      change_manifest_free(db, out);
      return rc;
    }
  }
  change_log_floor(w, out);
  return VECDB_OK;
}

/* Puts the shape of the change in force, and its segments in the place of all others, none of which
   holds rows that are in no file; write_mu held, and no write in flight. */
static int change_reshape(struct change_work *w, vecdb_error *err) {
  const struct vdb_change *change = w->change;
  struct vecdb_collection *coll = change->coll;
  size_t bytes = change->shape->schema->n_fields * sizeof(vecdb_index_params);
  vecdb_index_params *index = vdb_alloc(&w->db->env.mem, bytes);
  if (!index)
    return vdb_fail_memory(err);
  memcpy(index, change->index, bytes);
  vdb_assert(coll->last_seq <= coll->files_seq);
  for (uint32_t i = 0; i < coll->version->n; i++)
    vdb_assert(coll->version->segs[i]->sealed || coll->version->segs[i]->growing->n_rows == 0);
  for (uint32_t i = 0; i < change->n_reshaped; i++)
    w->version->segs[w->version->n++] = vdb_seg_ref(change->reshaped[i]);
  coll->active = NULL;
  vdb_collection_reshape(coll, change->shape, index, w->version);
  w->version = NULL;
  return VECDB_OK;
}

/* Exchanges the segments in memory; write_mu held. */
static int change_swap(struct change_work *w, vecdb_error *err) {
  const struct vdb_change *change = w->change;
  struct vecdb_collection *coll = change->coll;
  const struct vdb_version *old = coll->version;
  if (old->n + 1 > w->version->capacity) { /* more came meanwhile than there is slack */
    struct vdb_version *larger = vdb_version_new(&w->db->env.mem, old->n + 1);
    if (!larger)
      return vdb_fail_memory(err);
    vdb_version_unref(&w->db->env.mem, w->version);
    w->version = larger;
  }
  struct vdb_version *version = w->version;
  bool placed = !change->added;
  for (uint32_t i = 0; i < old->n; i++) {
    if (!change_removes(change, old->segs[i])) {
      version->segs[version->n++] = vdb_seg_ref(old->segs[i]);
    } else if (!placed) {
      version->segs[version->n++] = vdb_seg_ref(change->added);
      placed = true;
    }
  }
  vdb_assert(placed);
  if (change->index) {
    vdb_mutex_lock(&coll->view_mu);
    memcpy(coll->index, change->index, coll->schema->n_fields * sizeof *coll->index);
    vdb_mutex_unlock(&coll->view_mu);
  }
  vdb_version_set(coll, version);
  w->version = NULL;
  coll->merges += change->added && change->added->tombs != change->removed[0]->tombs;
  if (w->files_seq > coll->files_seq)
    coll->files_seq = w->files_seq;
  return VECDB_OK;
}

/* After the swap: new tombstone files are in force, the old ones go. */
static void change_adopt_tombs(struct change_work *w) {
  for (uint32_t i = 0; i < w->n_tombs; i++) {
    struct change_tombs *t = &w->tombs[i];
    vdb_change_remove(w->db, VDB_BLOB_TOMBS, t->seg->tombs_blob.file);
    t->seg->tombs_blob = t->blob;
    t->seg->tombs_saved = t->n;
  }
}

/* Memory follows the manifest. Where it cannot, the manifest on disk is in doubt, and replaced by
   one of what memory holds before the next write. */
static int change_apply(struct change_work *w, vecdb_error *err) {
  struct vecdb *db = w->db;
  const struct vdb_change *change = w->change;
  if (!change->coll)
    return VECDB_OK;
  vdb_mutex_lock(&db->write_mu);
  if (change->before_swap) {
    vdb_commit_hold(db);
    change->before_swap(change->arg);
  }
  int rc = change->shape ? change_reshape(w, err) : change_swap(w, err);
  if (change->before_swap)
    vdb_commit_release(db);
  vdb_mutex_unlock(&db->write_mu);
  if (rc)
    atomic_store(&db->manifest_doubt, true);
  else
    change_adopt_tombs(w);
  return rc;
}

static void change_trim_log(struct vecdb *db, uint64_t wal_first) {
  if (!db->wal)
    return;
  vdb_mutex_lock(&db->write_mu);
  size_t old = 0;
  while (old + 1 < db->n_marks && db->marks[old + 1].file <= wal_first)
    old++;
  memmove(db->marks, db->marks + old, (db->n_marks - old) * sizeof *db->marks);
  db->n_marks -= old;
  vdb_mutex_unlock(&db->write_mu);
  vdb_wal_trim(db->wal, wal_first);
}

static int change_run(struct change_work *w, bool *keep_files, vecdb_error *err) {
  struct vecdb *db = w->db;
  if (w->change->coll)
    VDB_TRY(change_write_tombs(w, err));
  struct vdb_manifest manifest;
  VDB_TRY(change_build(w, &manifest, err));
  bool unknown = false;
  int os = db->env.vfs->sync_dir(db->env.vfs, db->dir);
  int rc = os ? vdb_fail_os(err, os, "syncing the folder", db->dir) : VECDB_OK;
  if (!rc)
    rc = vdb_manifest_write(&db->env, db->dir, &manifest, &unknown, err);
  if (!rc || unknown)
    atomic_store(&db->manifest_doubt, rc != VECDB_OK);
  uint64_t wal_first = manifest.wal_first;
  if (!rc)
    db->noted_seq = manifest.wal_synced;
  db->generation = manifest.generation;
  change_manifest_free(db, &manifest);
  *keep_files = rc == VECDB_OK || unknown;
  if (!rc)
    rc = change_apply(w, err);
  if (!rc)
    change_trim_log(db, wal_first);
  return rc;
}

VDB_INTERNAL int vdb_change_settle(struct vecdb *db, vecdb_error *err) {
  if (!atomic_load(&db->manifest_doubt))
    return VECDB_OK;
  struct vdb_change nothing = {0};
  bool keep;
  vdb_mutex_lock(&db->manifest_mu);
  int rc = VECDB_OK;
  if (atomic_load(&db->manifest_doubt))
    rc = vdb_change_commit(db, &nothing, &keep, err);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

VDB_INTERNAL int vdb_change_commit(struct vecdb *db, const struct vdb_change *change,
                                   bool *keep_files, vecdb_error *err) {
  struct vdb_mem *mem = &db->env.mem;
  struct change_work w = {.db = db, .change = change};
  struct vdb_version *current = NULL;
  int rc = VECDB_OK;
  *keep_files = false;
  if (change->coll) {
    current = vdb_version_get(change->coll);
    w.version = vdb_version_new(mem, current->n + CHANGE_SLACK);
    w.segs = vdb_alloc_array(mem, (size_t)current->n + 1, sizeof(struct vdb_seg *));
    if (!w.version || !w.segs)
      rc = vdb_fail_memory(err);
    else
      w.n_segs = change_segments(change->coll, current, change, w.segs);
    vdb_mutex_lock(&db->write_mu);
    w.files_seq =
        change->flushed_seq ? change->flushed_seq : change->coll->files_seq;
    vdb_mutex_unlock(&db->write_mu);
  }
  if (!rc)
    rc = change_run(&w, keep_files, err);
  vdb_version_unref(mem, w.version);
  for (uint32_t i = 0; rc && !*keep_files && i < w.n_tombs; i++)
    vdb_change_remove(db, VDB_BLOB_TOMBS, w.tombs[i].blob.file);
  vdb_free(mem, w.tombs);
  vdb_free(mem, w.segs);
  vdb_version_unref(mem, current);
  return rc;
}
