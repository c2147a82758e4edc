/* flush.c - growing segments into files: freeze, write, name in the manifest, swap; see
   db/README.md. */
#include "base/check.h"
#include "db/db.h"

/* The oldest growing segment that is frozen, with a reference, or NULL. */
static struct vdb_seg *flush_oldest_frozen(struct vecdb_collection *coll) {
  struct vdb_seg *found = NULL;
  vdb_mutex_lock(&coll->db->write_mu);
  for (uint32_t i = 0; !found && i < coll->version->n; i++) {
    struct vdb_seg *seg = coll->version->segs[i];
    if (seg->growing && seg->growing->frozen)
      found = vdb_seg_ref(seg);
  }
  vdb_mutex_unlock(&coll->db->write_mu);
  return found;
}

VDB_INTERNAL uint32_t vdb_frozen_count(struct vecdb_collection *coll) {
  uint32_t n = 0;
  vdb_mutex_lock(&coll->db->write_mu);
  for (uint32_t i = 0; i < coll->version->n; i++) {
    const struct vdb_growing *g = coll->version->segs[i]->growing;
    n += g && g->frozen;
  }
  vdb_mutex_unlock(&coll->db->write_mu);
  return n;
}

/* Waits until all rows of a frozen segment are published (or taken back) and in the synced log.
   *until: a write, of the last of its rows or a later one, up to which deletes are as well. */
static int flush_settle(struct vecdb *db, struct vdb_seg *seg, uint32_t *n_rows, uint64_t *last_seq,
                        uint64_t *until, vecdb_error *err) {
  struct vdb_growing *g = seg->growing;
  int rc = VECDB_OK;
  vdb_mutex_lock(&db->write_mu);
  while (!rc && atomic_load(&g->visible) != g->n_rows)
    rc = vdb_commit_sync(db, g->last_seq, err);
  if (!rc && g->n_rows > 0)
    rc = vdb_commit_sync(db, g->last_seq, err);
  *n_rows = g->n_rows;
  *last_seq = g->last_seq;
  *until = db->synced_seq < db->published_seq ? db->synced_seq : db->published_seq;
  if (*until < g->last_seq)
    *until = g->last_seq;
  vdb_mutex_unlock(&db->write_mu);
  return rc;
}

/* Commits a change of a collection, unless it was dropped meanwhile. */
static int flush_commit(struct vecdb_collection *coll, const struct vdb_change *change,
                        bool *keep_files, vecdb_error *err) {
  struct vecdb *db = coll->db;
  *keep_files = false;
  vdb_mutex_lock(&db->manifest_mu);
  int rc = vdb_collection_alive(coll, err);
  if (!rc)
    rc = vdb_change_commit(db, change, keep_files, err);
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

VDB_INTERNAL int vdb_seal_rows(struct vecdb_collection *coll,
                               const struct vdb_sealed_source *sources, uint32_t n_sources,
                               const struct vdb_seal_tombs *tombs, struct vdb_control *control,
                               struct vdb_seg **out, vecdb_error *err) {
  struct vecdb *db = coll->db;
  struct vdb_sealed_write write = {.env = &db->env,
                                   .dir = db->dir,
                                   .name = coll->name,
                                   .schema = coll->schema,
                                   .number = vdb_change_file(db),
                                   .sources = sources,
                                   .n_sources = n_sources,
                                   .tombs = tombs ? tombs->tombs : NULL,
                                   .until = tombs ? tombs->until : 0,
                                   .control = control};
  struct vdb_sealed_open open = {.env = &db->env, .dir = db->dir, .schema = coll->schema};
  for (uint32_t i = 0; i < n_sources; i++)
    open.rows += sources[i].n;
  *out = NULL;
  VDB_TRY(vdb_sealed_write(&write, &open.blob, err));
  struct vdb_sealed *sealed;
  int rc = vdb_sealed_open(&open, &sealed, err);
  if (rc) {
    vdb_change_remove(db, VDB_BLOB_ROWS, open.blob.file);
    return rc;
  }
  vdb_mutex_lock(&db->manifest_mu);
  uint64_t id = db->next_segment++;
  vdb_mutex_unlock(&db->manifest_mu);
  rc = vdb_seg_of_sealed(sealed, coll->schema, id, tombs ? tombs->tombs : NULL, out, err);
  if (rc)
    atomic_store(&sealed->obsolete, true);
  vdb_sealed_unref(sealed);
  return rc;
}

/* Seals one frozen segment. */
static int flush_segment(struct vecdb_collection *coll, struct vdb_seg *seg,
                         struct vdb_control *control, vecdb_error *err) {
  uint32_t n_rows;
  uint64_t last_seq, until;
  VDB_TRY(flush_settle(coll->db, seg, &n_rows, &last_seq, &until, err));
  struct vdb_seg *sealed = NULL;
  struct vdb_sealed_source source = {{seg, n_rows}, NULL, n_rows};
  struct vdb_seal_tombs tombs = {seg->tombs, until};
  if (n_rows > 0)
    VDB_TRY(vdb_seal_rows(coll, &source, 1, &tombs, control, &sealed, err));
  struct vdb_change change = {.coll = coll,
                              .removed = &seg,
                              .n_removed = 1,
                              .added = sealed,
                              .flushed_seq = last_seq};
  bool keep;
  int rc = flush_commit(coll, &change, &keep, err);
  if (rc && !keep && sealed)
    atomic_store(&sealed->sealed->obsolete, true);
  vdb_seg_unref(sealed);
  return rc;
}

VDB_INTERNAL int vdb_seal_one(struct vecdb_collection *coll, struct vdb_control *control, bool *did,
                              vecdb_error *err) {
  struct vdb_seg *seg = flush_oldest_frozen(coll);
  *did = seg != NULL;
  if (!seg)
    return VECDB_OK;
  int rc = flush_segment(coll, seg, control, err);
  vdb_seg_unref(seg);
  return rc;
}

/* The moment of a flush: what it brings into files. */
struct flush_moment {
  uint64_t until;     /* the collection's last write, perhaps still in flight */
  uint64_t published; /* the last write that is visible, and so is never taken back */
  uint64_t failures;  /* of the database so far */
};

/* What the manifest may claim; write_mu held. After a failure the numbers of what was in flight at
   the moment may stand for other writes, whose rows are not in files. */
static uint64_t flush_claim(const struct vecdb *db, const struct flush_moment *moment) {
  if (db->failures == moment->failures || moment->until < moment->published)
    return moment->until;
  return moment->published;
}

/* Brings the writes up to the moment into files, whose rows are frozen; seal_mu held. */
static int flush_frozen(struct vecdb_collection *coll, const struct flush_moment *moment,
                        struct vdb_control *control, vecdb_error *err) {
  struct vecdb *db = coll->db;
  for (;;) {
    struct vdb_seg *seg = flush_oldest_frozen(coll);
    if (!seg)
      break;
    vdb_mutex_lock(&db->write_mu); /* rows in flight may be taken back */
    bool later = seg->growing->last_seq > moment->until; /* frozen after it */
    vdb_mutex_unlock(&db->write_mu);
    if (later) {
      vdb_seg_unref(seg);
      break;
    }
    int rc = flush_segment(coll, seg, control, err);
    vdb_seg_unref(seg);
    VDB_TRY(rc);
  }
  vdb_mutex_lock(&db->write_mu);
  int rc = vdb_commit_sync(db, moment->until, err);
  uint64_t claim = flush_claim(db, moment);
  bool behind = coll->files_seq < claim && coll->last_seq > coll->files_seq;
  vdb_mutex_unlock(&db->write_mu);
  if (rc || !behind)
    return rc;
  struct vdb_change change = {.coll = coll, .flushed_seq = claim}; /* deletes after the last rows */
  bool keep;
  return flush_commit(coll, &change, &keep, err);
}

VDB_INTERNAL int vdb_flush_locked(struct vecdb_collection *coll, struct vdb_control *control,
                                  vecdb_error *err) {
  struct vecdb *db = coll->db;
  vdb_mutex_lock(&db->write_mu);
  if (coll->last_seq > coll->files_seq)
    vdb_commit_rotate(db);
  vdb_apply_freeze(coll);
  struct flush_moment moment = {coll->last_seq, db->published_seq, db->failures};
  vdb_mutex_unlock(&db->write_mu);
  return flush_frozen(coll, &moment, control, err);
}

VDB_INTERNAL int vdb_flush(struct vecdb_collection *coll, struct vdb_control *control,
                           vecdb_error *err) {
  struct vecdb *db = coll->db;
  VDB_TRY(vdb_collection_alive(coll, err));
  if (!db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  VDB_TRY(vdb_control_lock(control, &coll->seal_mu, err));
  int rc = vdb_flush_locked(coll, control, err);
  vdb_mutex_unlock(&coll->seal_mu);
  if (!rc)
    vdb_jobs_kick(db);
  return rc;
}
