/* db_check.c - the integrity check of a whole database: every byte of every file, and what must
   hold between them. */
#include <errno.h>

#include "base/check.h"
#include "db/db.h"

enum { CHECK_TRIES = 16 }; /* of reading a log that is trimmed meanwhile */

struct check_work {
  struct vecdb *db;
  void (*report)(void *user, const char *line);
  void *user;
  struct vdb_control *control;
  uint64_t faults;
  vecdb_error first; /* fault */
};

/* Notes a fault; other errors (no memory, cancelled) end the check. */
static int check_note(struct check_work *w, int rc, vecdb_error *err) {
  if (rc == VECDB_ERR_CANCELLED) /* or out of time: the store does not know which */
    return vdb_control_fail(w->control, err);
  if (rc != VECDB_ERR_CORRUPT && rc != VECDB_ERR_NEWER_FORMAT)
    return rc;
  if (w->faults++ == 0)
    w->first = *err;
  if (w->report)
    w->report(w->user, err->message);
  return VECDB_OK;
}

/* The deletes of the sealed segments, as the manifest names them: its lock keeps these files in
   place while they are read. A reader may find that another process has removed one since. */
static int check_tombs(struct check_work *w, struct vecdb_collection *coll, vecdb_error *err) {
  struct vecdb *db = w->db;
  int rc = VECDB_OK;
  vdb_mutex_lock(&db->manifest_mu);
  struct vdb_version *version = vdb_version_get(coll);
  bool alive = !atomic_load(&coll->dropped);
  for (uint32_t i = 0; alive && !rc && i < version->n; i++) {
    const struct vdb_blob_id *id = &version->segs[i]->tombs_blob;
    struct vdb_blob *blob;
    if (id->file == 0)
      continue;
    rc = vdb_blob_open(&db->env, db->dir, VDB_BLOB_TOMBS, id, true, &blob, err);
    if (!rc)
      vdb_blob_close(blob);
    else if (err->os_code == ENOENT && vdb_recover_overtaken(db, db->generation))
      rc = VECDB_OK;
    rc = check_note(w, rc, err);
  }
  vdb_version_unref(&db->env.mem, version);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

/* No key may have two live rows. */
static int check_keys(struct check_work *w, const struct vdb_snapshot *s, vecdb_error *err) {
  for (uint32_t i = 0; i < s->n_segs; i++) {
    for (uint32_t row = 0; row < s->segs[i].n; row++) {
      if (row % 4096 == 0 && vdb_control_poll(w->control))
        return vdb_control_fail(w->control, err);
      if (vdb_seg_row_dead(&s->segs[i], row, s->seq))
        continue;
      struct vdb_bytes key = vdb_seg_key(&s->segs[i], row);
      uint64_t hash = vdb_seg_key_hash(key);
      uint32_t live = vdb_seg_find(&s->segs[i], key, hash, s->seq) != (int64_t)row;
      for (uint32_t k = i + 1; k < s->n_segs; k++)
        live += vdb_seg_find(&s->segs[k], key, hash, s->seq) >= 0;
      if (live > 0) {
        int rc = vdb_fail(err, VECDB_ERR_CORRUPT, "the key of row %u of segment %llu lives twice",
                          row, (unsigned long long)s->segs[i].seg->id);
        VDB_TRY(check_note(w, rc, err));
      }
    }
  }
  return VECDB_OK;
}

static int check_collection(struct check_work *w, struct vecdb_collection *coll,
                            vecdb_error *err) {
  struct vdb_snapshot *snapshot;
  int rc = vdb_snapshot_take(coll, &snapshot, err);
  if (rc == VECDB_ERR_CLOSED)
    return VECDB_OK;
  VDB_TRY(rc);
  rc = check_tombs(w, coll, err);
  for (uint32_t i = 0; !rc && i < snapshot->n_segs; i++) {
    if (snapshot->segs[i].seg->sealed)
      rc = check_note(w, vdb_seg_check(snapshot->segs[i].seg, w->control, err), err);
    if (!rc && vdb_control_progress(w->control, "check", i + 1, snapshot->n_segs))
      rc = vdb_control_fail(w->control, err);
  }
  if (!rc)
    rc = check_keys(w, snapshot, err);
  vdb_snapshot_release(snapshot);
  return rc;
}

static int check_ignore_record(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  (void)arg;
  (void)record;
  (void)err;
  return VECDB_OK;
}

/* Once. *generation: of the manifest that was read. */
static int check_log_once(struct check_work *w, uint64_t *generation, vecdb_error *err) {
  struct vecdb *db = w->db;
  struct vdb_manifest manifest;
  VDB_TRY(vdb_manifest_read(&db->env, db->dir, &manifest, err));
  struct vdb_wal_scan scan;
  *generation = manifest.generation;
  int rc = vdb_recover_scan(db, &manifest, check_ignore_record, NULL, &scan, err);
  vdb_manifest_fini(&db->env.mem, &manifest);
  return rc;
}

/* The log is written meanwhile: what is not whole yet at its end is no fault, and files that a
   newer manifest does not need may go. */
static int check_log_and_manifest(struct check_work *w, vecdb_error *err) {
  uint64_t generation = 0;
  int rc = check_log_once(w, &generation, err);
  for (int left = CHECK_TRIES; rc && left > 0 && vdb_recover_overtaken(w->db, generation); left--) {
    if (vdb_control_poll(w->control))
      return vdb_control_fail(w->control, err);
    rc = check_log_once(w, &generation, err);
  }
  return check_note(w, rc, err);
}

VDB_INTERNAL int vdb_check_all(struct vecdb *db, void (*report)(void *user, const char *line),
                               void *user, struct vdb_control *control, vecdb_error *err) {
  struct check_work w = {.db = db, .report = report, .user = user, .control = control};
  struct vecdb_collection *coll;
  int rc = db->alone ? VECDB_OK : check_log_and_manifest(&w, err);
  for (uint64_t id = 0; !rc && (coll = vdb_collection_from(db, id)) != NULL;) {
    id = coll->id + UINT64_C(1);
    rc = check_collection(&w, coll, err);
    vdb_collection_unref(coll);
  }
  if (rc || w.faults == 0)
    return rc;
  *err = w.first;
  if (w.faults > 1) {
    vecdb_error first = w.first;
    vdb_fail(err, first.code, "%.300s (and %llu more faults)", first.message,
             (unsigned long long)(w.faults - 1));
  }
  return VECDB_ERR_CORRUPT;
}
