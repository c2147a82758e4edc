/*
 * jobs.c - background work: which piece comes next, and who does it: a thread of the database, or
 * the host through vecdb_step. Order: seal what is frozen (it frees memory and log), then bring
 * down the log when it is long, then merge, then build indexes, then check what searches find
 * (live.c); but when many segments wait to be merged, that is done beside sealing.
 */
#include "base/check.h"
#include "db/db.h"

enum {
  JOBS_FAN_IN = 4,       /* segments of one size class that are merged, at least */
  JOBS_FAN_MAX = 16,     /* and at most */
  JOBS_CLASSES = 16,
  JOBS_CLASS_FACTOR = 4, /* rows from one size class to the next */
  JOBS_RETRY_MS = 1000,  /* after a failure */
};
#define JOBS_MERGE_MAX_ROWS (2u << 20)

VDB_INTERNAL void vdb_jobs_kick(struct vecdb *db) {
  if (!db->jobs_running)
    return;
  vdb_mutex_lock(&db->jobs_mu);
  db->jobs_kicked = true;
  if (!db->jobs_resting)
    vdb_cond_signal(&db->jobs_cond);
  vdb_mutex_unlock(&db->jobs_mu);
}

static uint32_t jobs_size_class(uint32_t n_rows) {
  uint32_t size_class = 0;
  for (uint64_t limit = 1024; n_rows >= limit; limit *= JOBS_CLASS_FACTOR)
    size_class++;
  return size_class;
}

/* Picks segments of one size class to merge: a rotten one, or JOBS_FAN_IN and more. `out` has room
   for JOBS_FAN_MAX. */
static uint32_t jobs_pick_class(struct vecdb_collection *coll, const struct vdb_version *version,
                                uint32_t size_class, struct vdb_seg *out[]) {
  uint32_t n = 0;
  uint64_t rows = 0;
  for (uint32_t i = 0; i < version->n && n < JOBS_FAN_MAX; i++) {
    struct vdb_seg *seg = version->segs[i];
    if (!seg->sealed || jobs_size_class(seg->sealed->n_rows) != size_class)
      continue;
    if (vdb_merge_rotten(seg)) {
      out[0] = seg;
      return 1;
    }
    rows += seg->sealed->n_rows;
    if (rows > JOBS_MERGE_MAX_ROWS || !vdb_budget_merges(coll, rows))
      break;
    out[n++] = seg;
  }
  return n >= JOBS_FAN_IN ? n : 0;
}

/* Picks segments to merge out of a version, small ones first. */
static uint32_t jobs_pick_merge(struct vecdb_collection *coll, const struct vdb_version *version,
                                struct vdb_seg *out[]) {
  uint32_t n = 0;
  for (uint32_t size_class = 0; n == 0 && size_class < JOBS_CLASSES; size_class++)
    n = jobs_pick_class(coll, version, size_class, out);
  return n;
}

VDB_INTERNAL uint64_t vdb_jobs_merge_bytes(struct vecdb_collection *coll) {
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_seg *segs[JOBS_FAN_MAX];
  uint64_t bytes = 0;
  for (uint32_t size_class = 0; size_class < JOBS_CLASSES; size_class++) {
    uint32_t n = jobs_pick_class(coll, version, size_class, segs);
    for (uint32_t i = 0; i < n; i++)
      bytes += segs[i]->sealed->blob_id.length;
  }
  vdb_version_unref(&coll->db->env.mem, version);
  return bytes;
}

/* Whether so many segments wait to be merged that merging must not wait for sealing: a writer that
   keeps the background at sealing would else slow down all readers. */
static bool jobs_crowded(struct vecdb_collection *coll) {
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_seg *segs[JOBS_FAN_MAX];
  bool crowded = jobs_pick_merge(coll, version, segs) > 2 * JOBS_FAN_IN;
  vdb_version_unref(&coll->db->env.mem, version);
  return crowded;
}

static int jobs_merge(struct vecdb_collection *coll, bool *did, uint64_t *bytes,
                      struct vdb_control *control, vecdb_error *err) {
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_seg *segs[JOBS_FAN_MAX];
  uint32_t n = jobs_pick_merge(coll, version, segs);
  int rc = VECDB_OK;
  *did = n > 0;
  for (uint32_t i = 0; i < n; i++)
    *bytes += segs[i]->sealed->blob_id.length;
  if (n > 0)
    rc = vdb_merge(coll, segs, n, control, err);
  vdb_version_unref(&coll->db->env.mem, version);
  return rc;
}

static int jobs_index(struct vecdb_collection *coll, bool *did, uint64_t *bytes,
                      struct vdb_control *control, vecdb_error *err) {
  struct vdb_version *version = vdb_version_get(coll);
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && !*did && i < version->n; i++) {
    struct vdb_seg *seg = version->segs[i];
    if (!seg->sealed)
      continue;
    rc = vdb_index_segment(coll, seg, control, did, err);
    if (*did)
      *bytes += seg->sealed->blob_id.length;
  }
  vdb_version_unref(&coll->db->env.mem, version);
  return rc;
}

static int jobs_seal(struct vecdb_collection *coll, bool *did, uint64_t *bytes,
                     struct vdb_control *control, vecdb_error *err) {
  VDB_TRY(vdb_control_lock(control, &coll->seal_mu, err));
  int rc = vdb_seal_one(coll, control, did, err);
  vdb_mutex_unlock(&coll->seal_mu);
  if (*did)
    *bytes += coll->db->seal_bytes;
  return rc;
}

/* Whether no other collection needs older records of the log than this one. */
static bool jobs_holds_log(struct vecdb *db, const struct vecdb_collection *coll) {
  vdb_mutex_lock(&db->write_mu);
  bool holds = coll->last_seq > coll->files_seq;
  vdb_mutex_lock(&db->colls_mu);
  for (size_t i = 0; holds && i < db->n_colls; i++) {
    const struct vecdb_collection *other = db->colls[i];
    holds = other->last_seq <= other->files_seq || other->files_seq >= coll->files_seq;
  }
  vdb_mutex_unlock(&db->colls_mu);
  vdb_mutex_unlock(&db->write_mu);
  return holds;
}

/* With too long a log, the collection that holds it back is flushed: another one would be flushed
   over and over for nothing. */
static int jobs_shorten_log(struct vecdb *db, struct vecdb_collection *coll, bool *did,
                            struct vdb_control *control, vecdb_error *err) {
  if (vdb_wal_bytes(db->wal) <= db->wal_bytes || !jobs_holds_log(db, coll))
    return VECDB_OK;
  *did = true;
  return vdb_flush(coll, control, err);
}

VDB_INTERNAL void vdb_jobs_sync(struct vecdb *db) {
  if (db->durability != VECDB_DURABLE_INTERVAL)
    return;
  vecdb_error err;
  vdb_mutex_lock(&db->write_mu);
  bool due = db->published_seq > db->synced_seq &&
             vdb_now_ns(&db->env) - db->last_sync_ns >= db->interval_ns;
  if (due && vdb_commit_sync(db, db->published_seq, &err))
    vdb_log(&db->env, VECDB_LOG_ERROR, "syncing the log failed: %s", err.message);
  vdb_mutex_unlock(&db->write_mu);
}

/* Ends background work at close, or when a caller wants the merge lock that it holds. Long work
   must not keep the log from being synced in time. */
static int jobs_give_way(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct vecdb *db = user;
  (void)phase;
  (void)done;
  (void)total;
  if (atomic_load_explicit(&db->closing, memory_order_relaxed))
    return 1;
  vdb_jobs_sync(db);
  struct vecdb_collection *coll = atomic_load(&db->yielding);
  return coll && atomic_load_explicit(&coll->preempt, memory_order_relaxed) > 0;
}

/* Merging and indexing give way when a caller wants to do them. */
static int jobs_optimise(struct vecdb_collection *coll, bool *did, uint64_t *bytes,
                         struct vdb_control *control, vecdb_error *err) {
  if (atomic_load(&coll->preempt) > 0 || !vdb_mutex_try(&coll->merge_mu))
    return VECDB_OK;
  bool yields = control->progress == jobs_give_way;
  if (yields)
    atomic_store(&coll->db->yielding, coll);
  int rc = jobs_merge(coll, did, bytes, control, err);
  if (!rc && !*did)
    rc = jobs_index(coll, did, bytes, control, err);
  if (yields)
    atomic_store(&coll->db->yielding, NULL);
  vdb_mutex_unlock(&coll->merge_mu);
  return rc;
}

static int jobs_run_collection(struct vecdb *db, struct vecdb_collection *coll, bool *did,
                               uint64_t *bytes, struct vdb_control *control, vecdb_error *err) {
  if (atomic_load(&coll->dropped))
    return VECDB_OK;
  VDB_TRY(jobs_seal(coll, did, bytes, control, err));
  if (!*did)
    VDB_TRY(jobs_shorten_log(db, coll, did, control, err));
  if (!*did || jobs_crowded(coll)) {
    bool optimised = false;
    VDB_TRY(jobs_optimise(coll, &optimised, bytes, control, err));
    *did = *did || optimised;
  }
  if (!*did)
    *did = vdb_live_check(coll, control);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_jobs_run_one(struct vecdb *db, struct vecdb_collection *only, bool *did,
                                  uint64_t *bytes, struct vdb_control *control, vecdb_error *err) {
  *did = false;
  if (only)
    return jobs_run_collection(db, only, did, bytes, control, err);
  struct vecdb_collection *coll;
  int failed = VECDB_OK; /* work that fails in one collection must not keep the others waiting */
  for (uint64_t id = 0; !*did && (coll = vdb_collection_from(db, id)) != NULL;) {
    vecdb_error why;
    id = coll->id + UINT64_C(1);
    int rc = jobs_run_collection(db, coll, did, bytes, control, &why);
    vdb_collection_unref(coll);
    if (!rc || rc == VECDB_ERR_CLOSED)
      continue;
    *did = false;
    if (!failed)
      *err = why;
    failed = failed ? failed : rc;
    if (vdb_control_poll(control))
      break;
  }
  return *did ? VECDB_OK : failed;
}

/* Whether a segment lacks an index that it should have. */
static bool jobs_unindexed(struct vecdb_collection *coll, const struct vdb_seg *seg) {
  bool lacks = false;
  vdb_mutex_lock(&coll->view_mu);
  const struct vdb_schema *schema = coll->schema;
  for (uint32_t f = 0; seg->schema == schema && f < schema->n_fields; f++) {
    const struct vdb_field *field = &schema->fields[f];
    if (vdb_type_is_dense(field->type) && !seg->indexes[f])
      lacks = lacks || vdb_index_wanted(coll->db, field, &coll->index[f], seg->sealed->n_rows);
  }
  vdb_mutex_unlock(&coll->view_mu);
  return lacks;
}

static uint64_t jobs_pending_in(struct vecdb_collection *coll) {
  uint64_t pending = vdb_frozen_count(coll) + vdb_live_waits(coll);
  struct vdb_version *version = vdb_version_get(coll);
  struct vdb_seg *segs[JOBS_FAN_MAX];
  pending += jobs_pick_merge(coll, version, segs) > 0;
  for (uint32_t i = 0; i < version->n; i++)
    pending += version->segs[i]->sealed && jobs_unindexed(coll, version->segs[i]);
  vdb_version_unref(&coll->db->env.mem, version);
  return pending;
}

VDB_INTERNAL uint64_t vdb_jobs_pending(struct vecdb *db, struct vecdb_collection *only) {
  if (only)
    return jobs_pending_in(only);
  uint64_t pending = 0;
  struct vecdb_collection *coll;
  for (uint64_t id = 0; (coll = vdb_collection_from(db, id)) != NULL;) {
    id = coll->id + UINT64_C(1);
    pending += jobs_pending_in(coll);
    vdb_collection_unref(coll);
  }
  return pending;
}

/* Waits for a kick, or for `ns`; returns with jobs_kicked taken. */
static void jobs_sleep(struct vecdb *db, uint64_t ns) {
  vdb_mutex_lock(&db->jobs_mu);
  while (!db->jobs_kicked && !atomic_load(&db->closing))
    if (ns == UINT64_MAX)
      vdb_cond_wait(&db->jobs_cond, &db->jobs_mu);
    else if (!vdb_cond_wait_ns(&db->jobs_cond, &db->jobs_mu, ns))
      break;
  db->jobs_kicked = false;
  vdb_mutex_unlock(&db->jobs_mu);
}

/* After a failure. Kicks wait: writers on a full disk would have the work tried again and again.
   The log is synced in time all the same. */
static void jobs_rest(struct vecdb *db, uint64_t idle_ns) {
  uint64_t left = (uint64_t)JOBS_RETRY_MS * 1000000;
  vdb_mutex_lock(&db->jobs_mu);
  db->jobs_resting = true;
  while (left > 0 && !atomic_load(&db->closing)) {
    uint64_t piece = left < idle_ns ? left : idle_ns;
    left -= piece;
    while (!atomic_load(&db->closing) && vdb_cond_wait_ns(&db->jobs_cond, &db->jobs_mu, piece))
      ;
    vdb_mutex_unlock(&db->jobs_mu);
    vdb_jobs_sync(db);
    vdb_mutex_lock(&db->jobs_mu);
  }
  db->jobs_resting = false;
  vdb_mutex_unlock(&db->jobs_mu);
}

static void jobs_thread_body(void *arg) {
  struct vecdb *db = arg;
  uint64_t idle_ns = db->durability == VECDB_DURABLE_INTERVAL ? db->interval_ns : UINT64_MAX;
  while (!atomic_load(&db->closing)) {
    vecdb_control limits = {sizeof limits, 0, &db->stop_jobs, jobs_give_way, db};
    struct vdb_control control;
    vdb_control_init(&control, &db->env, &limits);
    vecdb_error err;
    bool did = false;
    uint64_t bytes = 0;
    vdb_jobs_sync(db);
    int rc = vdb_jobs_run_one(db, NULL, &did, &bytes, &control, &err);
    if (rc && rc != VECDB_ERR_CANCELLED) {
      vdb_log(&db->env, VECDB_LOG_ERROR, "background work failed: %s", err.message);
      jobs_rest(db, idle_ns);
    } else if (rc || !did) {
      jobs_sleep(db, rc ? (uint64_t)10 * 1000000 : idle_ns);
    }
  }
}

VDB_INTERNAL int vdb_jobs_start(struct vecdb *db, vecdb_error *err) {
  bool follow = (db->flags & VECDB_FOLLOW) != 0;
  if ((db->flags & VECDB_HOST_DRIVEN) || !(db->wal || follow))
    return VECDB_OK;
  db->jobs_running = true;
  db->jobs_kicked = true;
  int os = vdb_thread_start(&db->jobs_thread, follow ? vdb_follow_thread : jobs_thread_body, db);
  if (os) {
    db->jobs_running = false;
    return vdb_fail_os(err, os, "starting the background thread of", db->dir);
  }
  return VECDB_OK;
}

VDB_INTERNAL void vdb_jobs_stop(struct vecdb *db) {
  atomic_store(&db->closing, true);
  __atomic_store_n(&db->stop_jobs, 1, __ATOMIC_RELAXED);
  if (!db->jobs_running)
    return;
  vdb_mutex_lock(&db->jobs_mu);
  vdb_cond_signal(&db->jobs_cond);
  vdb_mutex_unlock(&db->jobs_mu);
  vdb_thread_join(&db->jobs_thread);
  db->jobs_running = false;
}
