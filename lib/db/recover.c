/*
 * recover.c - from files to memory at open: the manifest's collections and segments, then the log
 * records that are not in files yet. Nothing is written here but the manifest of a new database;
 * files that no manifest names are removed at the end, so that a crash in the middle of recovery
 * changes nothing.
 */
#include <errno.h>

#include "base/check.h"
#include "db/db.h"

enum { RECOVER_TRIES = 16 }; /* of a reader that a writer overtakes */

struct recover_work {
  struct vecdb *db;
  struct vdb_control *control;
  struct vdb_recovered *out;
  uint64_t replayed;
};

/* ---- segments ---- */

static bool recover_same_file(const struct vdb_blob_id *a, const struct vdb_blob_id *b) {
  return a->file == b->file && a->length == b->length && a->hash == b->hash;
}

/* What a reader that loads anew has open already: files never change. */
static int recover_indexes(struct recover_work *w, struct vdb_seg *seg,
                           const struct vdb_seg *open_now,
                           const struct vdb_manifest_segment *from, vecdb_error *err) {
  struct vecdb *db = w->db;
  for (uint32_t i = 0; i < from->n_indexes; i++) {
    if (vdb_control_poll(w->control))
      return vdb_control_fail(w->control, err);
    const struct vdb_manifest_index *index = &from->indexes[i];
    if (index->field >= seg->schema->n_fields || seg->indexes[index->field] ||
        !vdb_type_is_dense(seg->schema->fields[index->field].type))
      return vdb_fail(err, VECDB_ERR_CORRUPT, "the manifest names an index of field %u",
                      index->field);
    struct vdb_seg_index *same = open_now ? open_now->indexes[index->field] : NULL;
    if (same && recover_same_file(&same->blob_id, &index->blob)) {
      seg->indexes[index->field] = vdb_seg_index_ref(same);
      continue;
    }
    struct vdb_seg_index_open open = {seg, db->dir, index->blob, index->field, index->params,
                                      &index->curve, db->verify_full, w->control};
    VDB_TRY(vdb_seg_index_open(&open, &seg->indexes[index->field], err));
  }
  return VECDB_OK;
}

/* The segment of a version whose rows are in that file, or NULL. */
static const struct vdb_seg *recover_open_now(const struct vdb_version *version,
                                              const struct vdb_blob_id *blob) {
  for (uint32_t i = 0; version && i < version->n; i++) {
    const struct vdb_seg *seg = version->segs[i];
    if (seg->sealed && recover_same_file(&seg->sealed->blob_id, blob))
      return seg;
  }
  return NULL;
}

static int recover_segment(struct recover_work *w, struct vecdb_collection *coll,
                           const struct vdb_seg *open_now, const struct vdb_manifest_segment *from,
                           struct vdb_seg **out, vecdb_error *err) {
  struct vecdb *db = w->db;
  const struct vdb_schema *schema = coll->lender ? coll->lender->schema : coll->schema;
  struct vdb_sealed_open open = {&db->env,   db->dir,         schema, from->blob,
                                 from->rows, db->verify_full, NULL,   w->control};
  struct vdb_sealed *sealed;
  struct vdb_seg *seg;
  *out = NULL;
  if (vdb_control_poll(w->control))
    return vdb_control_fail(w->control, err);
  if (open_now)
    sealed = vdb_sealed_ref(open_now->sealed);
  else
    VDB_TRY(vdb_sealed_open(&open, &sealed, err));
  int rc = vdb_seg_of_sealed(sealed, coll->schema, from->id, NULL, &seg, err);
  vdb_sealed_unref(sealed);
  VDB_TRY(rc);
  if (from->tombs.file != 0)
    rc = vdb_seg_tombs_read(seg, db->dir, &from->tombs, from->deleted, err);
  if (!rc)
    rc = recover_indexes(w, seg, open_now, from, err);
  if (rc) {
    vdb_seg_unref(seg);
    return rc;
  }
  *out = seg;
  return VECDB_OK;
}

/* The version that a reader has of a collection already, if its schema is the same; or NULL. */
static int recover_version_now(struct vecdb *db, struct vecdb_collection *next,
                               const struct vdb_manifest_collection *from,
                               struct vdb_version **out, vecdb_error *err) {
  *out = NULL;
  struct vecdb_collection *coll = vdb_collection_from(db, from->id);
  struct vdb_writer bytes = VDB_WRITER(&db->env.mem);
  if (coll && coll->id == from->id) {
    vdb_schema_encode(coll->schema, &bytes);
    if (bytes.n == from->schema_bytes && memcmp(bytes.data, from->schema, bytes.n) == 0) {
      *out = vdb_version_get(coll);
      next->lender = vdb_collection_ref(coll->lender ? coll->lender : coll);
    }
  }
  bool failed = bytes.failed;
  vdb_writer_free(&bytes);
  vdb_collection_unref(coll);
  return failed ? vdb_fail_memory(err) : VECDB_OK;
}

static int recover_segments(struct recover_work *w, struct vecdb_collection *coll,
                            const struct vdb_manifest_collection *from, vecdb_error *err) {
  struct vecdb *db = w->db;
  struct vdb_version *now;
  VDB_TRY(recover_version_now(db, coll, from, &now, err));
  struct vdb_version *version = vdb_version_new(&db->env.mem, from->n_segments);
  int rc = version ? VECDB_OK : vdb_fail_memory(err);
  for (uint32_t i = 0; !rc && i < from->n_segments; i++) {
    const struct vdb_seg *open_now = recover_open_now(now, &from->segments[i].blob);
    rc = recover_segment(w, coll, open_now, &from->segments[i], &version->segs[i], err);
    version->n += rc == VECDB_OK;
  }
  vdb_version_unref(&db->env.mem, now);
  if (rc)
    vdb_version_unref(&db->env.mem, version);
  else
    vdb_version_set(coll, version);
  return rc;
}

/* ---- collections ---- */

static int recover_collection(struct recover_work *w, const struct vdb_manifest_collection *from,
                              uint64_t floor, vecdb_error *err) {
  struct vecdb *db = w->db;
  struct vdb_recovered *out = w->out;
  struct vdb_schema *schema;
  if (out->n_colls > 0 && out->colls[out->n_colls - 1]->id >= from->id)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the manifest's collections are out of order");
  VDB_TRY(vdb_schema_decode(&db->env.mem, from->schema, from->schema_bytes, &schema, err));
  if (schema->n_fields != from->n_fields) {
    vdb_schema_free(&db->env.mem, schema);
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the manifest does not fit the schema of '%s'",
                    from->name);
  }
  struct vecdb_collection *coll;
  int rc = vdb_collection_new(db, from->id, from->name, schema, &coll, err);
  if (rc) {
    vdb_schema_free(&db->env.mem, schema);
    return rc;
  }
  memcpy(coll->index, from->indexes, from->n_fields * sizeof *coll->index);
  coll->files_seq = coll->last_seq = from->flushed_seq > floor ? from->flushed_seq : floor;
  atomic_store(&coll->next_auto_id, from->next_auto_id);
  rc = recover_segments(w, coll, from, err);
  if (!rc && !VDB_GROW(&db->env.mem, out->colls, out->colls_capacity, out->n_colls + 1))
    rc = vdb_fail_memory(err);
  if (rc)
    vdb_collection_unref(coll);
  else
    out->colls[out->n_colls++] = coll;
  return rc;
}

/* ---- the log ---- */

/* Keys that a replayed batch brings are taken: the next auto id lies above them. */
static void recover_auto_id(struct vecdb_collection *coll, const struct vdb_batch *batch) {
  const struct vdb_schema *schema = coll->schema;
  if (!(schema->fields[schema->key].flags & VECDB_AUTO_ID))
    return;
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    int64_t id;
    memcpy(&id, vdb_key_of(&batch->columns[schema->key], i).data, sizeof id);
    if (id >= atomic_load(&coll->next_auto_id) && id < INT64_MAX)
      atomic_store(&coll->next_auto_id, id + 1);
  }
}

/* A record holds no key twice: of such rows the last one is logged. A forged record may, and would
   make two rows live under one key. */
static int recover_distinct(struct vecdb_collection *coll, const struct vdb_batch *batch,
                            vecdb_error *err) {
  struct vdb_mem *mem = &coll->db->env.mem;
  const struct vdb_column *keys = &batch->columns[coll->schema->key];
  uint64_t slots = vdb_keymap_slots(batch->n_rows);
  struct vdb_keymap map = {vdb_alloc_zero(mem, slots * sizeof(uint64_t)), slots - 1};
  int rc = map.slots ? VECDB_OK : vdb_fail_memory(err);
  for (uint32_t i = 0; !rc && i < batch->n_rows; i++) {
    struct vdb_bytes key = vdb_key_of(keys, i);
    uint64_t hash = vdb_seg_key_hash(key);
    struct vdb_keymap_walk walk = vdb_keymap_walk(&map, hash);
    int64_t row;
    while (!rc && (row = vdb_keymap_next(&map, &walk)) >= 0) {
      struct vdb_bytes other = vdb_key_of(keys, (uint32_t)row);
      if (other.n == key.n && memcmp(other.data, key.data, key.n) == 0)
        rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a record of the log holds a key twice");
    }
    vdb_keymap_insert(&map, hash, i);
  }
  vdb_free(mem, (void *)map.slots);
  return rc;
}

static int recover_rows(struct vecdb_collection *coll, const struct vdb_wal_record *record,
                        vecdb_error *err) {
  struct vdb_mem *mem = &coll->db->env.mem;
  struct vdb_batch batch = {0};
  struct vdb_pending pending;
  int rc = vdb_batch_decode(mem, coll->schema, record->body, record->n, &batch, err);
  if (!rc)
    rc = recover_distinct(coll, &batch, err);
  if (!rc)
    rc = vdb_apply_rows(coll, &batch, true, NULL, &pending, err);
  if (!rc) {
    vdb_apply_commit(&pending, &batch, record->seq);
    vdb_apply_publish(&pending);
    vdb_apply_release(&pending);
    recover_auto_id(coll, &batch);
  }
  vdb_batch_fini(mem, &batch);
  return rc;
}

static int recover_delete(struct vecdb_collection *coll, const struct vdb_wal_record *record,
                          vecdb_error *err) {
  struct vdb_pending pending;
  VDB_TRY(vdb_apply_delete(coll, record->body, record->n, &pending, err));
  vdb_apply_commit(&pending, NULL, record->seq);
  vdb_apply_publish(&pending);
  vdb_apply_release(&pending);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_recover_record(struct vecdb_collection *const *colls, size_t n,
                                    const struct vdb_wal_record *record, vecdb_error *err) {
  struct vecdb_collection *coll = NULL;
  for (size_t i = 0; i < n; i++)
    if (colls[i]->id == record->collection)
      coll = colls[i];
  if (!coll || record->seq <= coll->files_seq)
    return VECDB_OK; /* dropped since, or in files */
  if (record->type == VDB_WAL_ROWS)
    return recover_rows(coll, record, err);
  if (record->type == VDB_WAL_DELETE)
    return recover_delete(coll, record, err);
  return vdb_fail(err, VECDB_ERR_CORRUPT, "the log holds a record of unknown type %u",
                  record->type);
}

static int recover_replay(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  struct recover_work *w = arg;
  if (vdb_control_poll(w->control))
    return vdb_control_fail(w->control, err);
  w->replayed++;
  return vdb_recover_record(w->out->colls, w->out->n_colls, record, err);
}

VDB_INTERNAL int vdb_recover_scan(struct vecdb *db, const struct vdb_manifest *manifest,
                                  int (*apply)(void *arg, const struct vdb_wal_record *record,
                                               vecdb_error *err),
                                  void *arg, struct vdb_wal_scan *scan, vecdb_error *err) {
  VDB_TRY(vdb_wal_scan(&db->env, db->dir, manifest->wal_first, manifest->wal_floor, apply, arg,
                       scan, err));
  if (scan->last_seq < manifest->wal_synced)
    return vdb_fail(err, VECDB_ERR_CORRUPT,
                    "the log of %s ends with record %llu, but %llu were synced", db->dir,
                    (unsigned long long)scan->last_seq,
                    (unsigned long long)manifest->wal_synced);
  return VECDB_OK;
}

static int recover_log(struct recover_work *w, const struct vdb_manifest *manifest,
                       vecdb_error *err) {
  struct vecdb *db = w->db;
  struct vdb_wal_scan scan;
  VDB_TRY(vdb_recover_scan(db, manifest, recover_replay, w, &scan, err));
  w->out->last_seq = scan.last_seq;
  w->out->tail = scan.tail;
  if (db->flags & VECDB_READ_ONLY)
    return VECDB_OK;
  db->synced_seq = scan.doubt_file ? manifest->wal_synced : scan.last_seq;
  db->noted_seq = manifest->wal_synced;
  if (!VDB_GROW(&db->env.mem, db->marks, db->marks_capacity, 2))
    return vdb_fail_memory(err);
  struct vdb_wal_mark old = {manifest->wal_first, manifest->wal_floor};
  struct vdb_wal_mark next = {scan.next_file, scan.last_seq};
  db->marks[0] = old;
  db->marks[1] = next;
  db->n_marks = 2;
  return vdb_wal_new(&db->env, db->dir, &scan, &db->wal, err);
}

/* ---- leftovers ---- */

struct recover_names {
  struct vecdb *db;
  const struct vdb_manifest *manifest;
  char **orphans;
  size_t n, capacity;
};

static bool recover_names_blob(const struct vdb_manifest *m, uint64_t number) {
  for (uint32_t c = 0; c < m->n_collections; c++)
    for (uint32_t s = 0; s < m->collections[c].n_segments; s++) {
      const struct vdb_manifest_segment *seg = &m->collections[c].segments[s];
      if (seg->blob.file == number || seg->tombs.file == number)
        return true;
      for (uint32_t i = 0; i < seg->n_indexes; i++)
        if (seg->indexes[i].blob.file == number)
          return true;
    }
  return false;
}

static void recover_visit_orphan(void *arg, const char *name) {
  struct recover_names *names = arg;
  enum vdb_blob_kind kind;
  uint64_t number;
  bool orphan = false;
  if (vdb_blob_parse(name, &kind, &number))
    orphan = !recover_names_blob(names->manifest, number);
  else if (vdb_wal_parse(name, &number))
    orphan = number < names->manifest->wal_first;
  if (!orphan)
    return;
  struct vdb_mem *mem = &names->db->env.mem;
  char *copy = vdb_strndup(mem, name, strlen(name));
  if (copy && VDB_GROW(mem, names->orphans, names->capacity, names->n + 1))
    names->orphans[names->n++] = copy;
  else
    vdb_free(mem, copy); /* it stays until the next open */
}

/* Removes files that the manifest does not name: left by a crash, or by a removal that failed. */
static void recover_clean(struct vecdb *db, const struct vdb_manifest *manifest) {
  struct recover_names names = {.db = db, .manifest = manifest};
  struct vdb_mem *mem = &db->env.mem;
  db->env.vfs->list(db->env.vfs, db->dir, recover_visit_orphan, &names);
  for (size_t i = 0; i < names.n; i++) {
    struct vdb_writer path = VDB_WRITER(mem);
    vdb_write_bytes(&path, db->dir, strlen(db->dir));
    vdb_write_u8(&path, '/');
    vdb_write_bytes(&path, names.orphans[i], strlen(names.orphans[i]) + 1);
    if (!path.failed)
      db->env.vfs->remove(db->env.vfs, (const char *)path.data);
    vdb_writer_free(&path);
    vdb_free(mem, names.orphans[i]);
  }
  vdb_free(mem, names.orphans);
}

/* ---- new databases ---- */

struct recover_folder {
  bool manifest;
  bool ours;    /* section or log files: a database whose manifest is missing */
  bool foreign; /* something else */
};

/* Files that a database may leave before it has a manifest. */
static bool recover_harmless(const char *name) {
  static const char *const names[] = {"LOCK", "MANIFEST.tmp", "KEYS", "KEYS.tmp"};
  for (size_t i = 0; i < VDB_COUNT(names); i++)
    if (strcmp(name, names[i]) == 0)
      return true;
  return false;
}

static void recover_visit_folder(void *arg, const char *name) {
  struct recover_folder *folder = arg;
  enum vdb_blob_kind kind;
  uint64_t number;
  if (vdb_blob_parse(name, &kind, &number) || vdb_wal_parse(name, &number))
    folder->ours = true;
  else if (strcmp(name, "MANIFEST") == 0)
    folder->manifest = true;
  else if (!recover_harmless(name))
    folder->foreign = true;
}

VDB_INTERNAL int vdb_recover_look(struct vecdb *db, vecdb_error *err) {
  struct recover_folder folder = {false, false, false};
  int os = db->env.vfs->list(db->env.vfs, db->dir, recover_visit_folder, &folder);
  if (os == ENOTDIR)
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE,
                    "%s is not a folder; a file of a segment opens with VECDB_READ_ONLY alone",
                    db->dir);
  if (os == ENOENT || folder.manifest)
    return VECDB_OK;
  if (os)
    return vdb_fail_os(err, os, "listing", db->dir);
  if (folder.ours)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s holds database files but no MANIFEST", db->dir);
  if (folder.foreign)
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE, "%s holds other files", db->dir);
  return VECDB_OK;
}

/* Makes the first manifest, if the folder is free for it. */
static int recover_create(struct vecdb *db, const vecdb_options *options, vecdb_error *err) {
  if (options->flags & (VECDB_READ_ONLY | VECDB_MUST_EXIST))
    return vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no database in %s", db->dir);
  VDB_TRY(vdb_recover_look(db, err));
  /* Also when the folder was there: a process that made it may have ended before it did this. */
  VDB_TRY(vdb_db_sync_parent(&db->env, db->dir, err));
  if (db->keys)
    VDB_TRY(vdb_keys_create(db->keys, err));
  struct vdb_change change = {0};
  bool keep;
  vdb_mutex_lock(&db->manifest_mu);
  int rc = vdb_change_commit(db, &change, &keep, err);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

/* Numbers only grow, so those of a forged manifest must leave room. */
static bool recover_plausible(const struct vdb_manifest *m) {
  const uint64_t most = UINT64_MAX / 4;
  return m->generation < most && m->next_file < most && m->next_segment < most &&
         m->wal_first < most && m->wal_synced < most && m->wal_floor <= m->wal_synced &&
         m->next_collection < UINT32_MAX;
}

static int recover_load(struct recover_work *w, const struct vdb_manifest *manifest,
                        vecdb_error *err) {
  struct vecdb *db = w->db;
  if (!recover_plausible(manifest))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the manifest of %s holds numbers that cannot be",
                    db->dir);
  struct vdb_recovered *out = w->out;
  out->generation = manifest->generation;
  out->wal_first = manifest->wal_first;
  for (uint32_t i = 0; i < manifest->n_collections; i++)
    VDB_TRY(recover_collection(w, &manifest->collections[i], manifest->wal_floor, err));
  VDB_TRY(recover_log(w, manifest, err));
  for (size_t i = 0; i < out->n_colls; i++) {
    if (out->colls[i]->last_seq > out->last_seq)
      return vdb_fail(err, VECDB_ERR_CORRUPT, "collection '%s' is ahead of the log",
                      out->colls[i]->name);
    out->colls[i]->visible_seq = out->last_seq;
  }
  out->next_segment = manifest->next_segment;
  out->next_collection = manifest->next_collection;
  out->next_file = manifest->next_file;
  if (!(db->flags & VECDB_READ_ONLY)) {
    /* A process that was killed may have left the manifest's name unsynced; an older manifest that
       a power cut brings back would lack what was found here, and need other files. */
    int os = db->env.vfs->sync_dir(db->env.vfs, db->dir);
    if (os)
      return vdb_fail_os(err, os, "syncing the folder", db->dir);
    recover_clean(db, manifest);
  }
  if (w->replayed > 0)
    vdb_log(&db->env, VECDB_LOG_INFO, "replayed %llu log records",
            (unsigned long long)w->replayed);
  return VECDB_OK;
}

static int recover_once(struct vecdb *db, const vecdb_options *options,
                        struct vdb_control *control, struct vdb_recovered *out,
                        vecdb_error *err) {
  struct vdb_manifest manifest;
  int rc = vdb_manifest_read(&db->env, db->dir, &manifest, err);
  if (rc == VECDB_ERR_NOT_FOUND) {
    VDB_TRY(recover_create(db, options, err));
    rc = vdb_manifest_read(&db->env, db->dir, &manifest, err);
  }
  VDB_TRY(rc);
  struct recover_work w = {db, control, out, 0};
  rc = recover_load(&w, &manifest, err);
  vdb_manifest_fini(&db->env.mem, &manifest);
  return rc;
}

VDB_INTERNAL bool vdb_recover_overtaken(struct vecdb *db, uint64_t generation) {
  struct vdb_manifest manifest;
  vecdb_error ignored;
  if (vdb_manifest_read(&db->env, db->dir, &manifest, &ignored))
    return false;
  bool other = manifest.generation != generation;
  vdb_manifest_fini(&db->env.mem, &manifest);
  return other;
}

/* Whether a writer may have trimmed the log that was read, so that it seemed to end too early. */
static bool recover_trimmed(struct vecdb *db, uint64_t wal_first) {
  struct vdb_manifest manifest;
  vecdb_error ignored;
  if (vdb_manifest_read(&db->env, db->dir, &manifest, &ignored))
    return false;
  bool trimmed = manifest.wal_first != wal_first;
  vdb_manifest_fini(&db->env.mem, &manifest);
  return trimmed;
}

VDB_INTERNAL void vdb_recovered_free(struct vecdb *db, struct vdb_recovered *r) {
  for (size_t i = 0; i < r->n_colls; i++)
    vdb_collection_unref(r->colls[i]);
  vdb_free(&db->env.mem, r->colls);
  memset(r, 0, sizeof *r);
}

/* A reader holds no lock: a writer may replace the manifest meanwhile, and remove files that the
   one before named. Then the reader begins again. */
VDB_INTERNAL int vdb_recover_read(struct vecdb *db, const vecdb_options *options,
                                  struct vdb_recovered *out, vecdb_error *err) {
  struct vdb_control control; /* one, however often it begins again */
  vdb_control_init(&control, &db->env, options->control);
  memset(out, 0, sizeof *out);
  int rc = recover_once(db, options, &control, out, err);
  for (int left = RECOVER_TRIES; db->flags & VECDB_READ_ONLY; left--) {
    bool again = false;
    if (rc == VECDB_OK)
      again = recover_trimmed(db, out->wal_first);
    else if (rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_IO || rc == VECDB_ERR_KEY)
      again = vdb_recover_overtaken(db, out->generation);
    if (!again)
      break;
    vdb_recovered_free(db, out);
    if (left == 0)
      return vdb_fail(err, VECDB_ERR_BUSY, "%s changes faster than it can be read", db->dir);
    rc = recover_once(db, options, &control, out, err);
  }
  if (rc)
    vdb_recovered_free(db, out);
  return rc;
}

VDB_INTERNAL int vdb_recover(struct vecdb *db, const vecdb_options *options, vecdb_error *err) {
  struct vdb_recovered r;
  db->looked_ns = vdb_now_ns(&db->env);
  VDB_TRY(vdb_recover_read(db, options, &r, err));
  db->colls = r.colls;
  db->n_colls = r.n_colls;
  db->colls_capacity = r.colls_capacity;
  db->generation = r.generation;
  db->next_segment = r.next_segment;
  db->next_collection = r.next_collection;
  atomic_store(&db->next_file, r.next_file);
  db->published_seq = r.last_seq;
  db->tail = r.tail;
  return VECDB_OK;
}
