/*
 * follow.c - a reader that follows a writer in another process: it looks whether the manifest or
 * the log has gone on, and takes over what is new. It holds no lock that a writer could meet, so it
 * may be killed at any moment. See db/README.md.
 */
#include "base/check.h"
#include "db/db.h"

/* ---- the log goes on ---- */

struct follow_work {
  struct vecdb *db;
  uint64_t records;
};

static int follow_record(void *arg, const struct vdb_wal_record *record, vecdb_error *err) {
  struct follow_work *w = arg;
  struct vecdb *db = w->db;
  VDB_TRY(vdb_recover_record(db->colls, db->n_colls, record, err));
  db->published_seq = record->seq;
  w->records++;
  return VECDB_OK;
}

/* Applies what was added to the last file of the log. *moved: there is more than that. */
static int follow_log(struct vecdb *db, uint64_t *records, bool *moved, vecdb_error *err) {
  struct follow_work w = {db, 0};
  vdb_mutex_lock(&db->write_mu);
  int rc = vdb_wal_read_on(&db->env, db->dir, &db->tail, follow_record, &w, moved, err);
  vdb_mutex_unlock(&db->write_mu);
  *records += w.records;
  return rc;
}

/* ---- the segments have changed ---- */

/* Takes an object out of force, with its segments. */
static void follow_retire(struct vecdb_collection *coll, struct vdb_version *empty, bool dropped) {
  if (dropped)
    atomic_store_explicit(&coll->dropped, true, memory_order_release);
  vdb_mutex_lock(&coll->view_mu);
  struct vdb_version *old = coll->version;
  coll->version = empty;
  coll->active = NULL;
  atomic_store_explicit(&coll->replaced, true, memory_order_release);
  vdb_mutex_unlock(&coll->view_mu);
  vdb_version_unref(&coll->db->env.mem, old);
}

static bool follow_has(const struct vdb_recovered *r, uint32_t id) {
  for (size_t i = 0; i < r->n_colls; i++)
    if (r->colls[i]->id == id)
      return true;
  return false;
}

/* Puts what was read in force; the old objects go to `r`. */
static void follow_exchange(struct vecdb *db, struct vdb_recovered *r, struct vdb_version *empty) {
  vdb_mutex_lock(&db->write_mu);
  vdb_mutex_lock(&db->colls_mu);
  struct vdb_recovered old = {.colls = db->colls, .n_colls = db->n_colls};
  db->colls = r->colls;
  db->n_colls = r->n_colls;
  db->colls_capacity = r->colls_capacity;
  vdb_mutex_unlock(&db->colls_mu);
  db->generation = r->generation;
  db->published_seq = r->last_seq;
  db->tail = r->tail;
  for (size_t i = 0; i < old.n_colls; i++)
    follow_retire(old.colls[i], vdb_version_ref(empty), !follow_has(r, old.colls[i]->id));
  vdb_mutex_unlock(&db->write_mu);
  *r = old;
}

static int follow_reload(struct vecdb *db, vecdb_error *err) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = db->flags; /* nothing is made where the database is gone */
  struct vdb_version *empty = vdb_version_new(&db->env.mem, 0);
  if (!empty)
    return vdb_fail_memory(err);
  struct vdb_recovered r;
  int rc = vdb_recover_read(db, &options, &r, err);
  if (!rc) {
    follow_exchange(db, &r, empty);
    vdb_recovered_free(db, &r);
    db->reloads++;
  }
  vdb_version_unref(&db->env.mem, empty);
  return rc;
}

/* ---- both ---- */

/* Whether another manifest stands there than the one that is in force. */
static int follow_changed(struct vecdb *db, bool *changed, vecdb_error *err) {
  struct vdb_manifest manifest;
  VDB_TRY(vdb_manifest_read(&db->env, db->dir, &manifest, err));
  *changed = manifest.generation != db->generation;
  vdb_manifest_fini(&db->env.mem, &manifest);
  return VECDB_OK;
}

static int follow_look(struct vecdb *db, vecdb_refresh_info *info, vecdb_error *err) {
  bool reload;
  VDB_TRY(follow_changed(db, &reload, err));
  int rc = VECDB_OK;
  if (!reload)
    rc = follow_log(db, &info->records, &reload, err);
  /* What makes no sense may be a file that is no longer the log: the manifest says. */
  if (rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_IO || rc == VECDB_ERR_KEY)
    reload = vdb_recover_overtaken(db, db->generation);
  if (!reload)
    return rc;
  uint64_t before = db->published_seq;
  VDB_TRY(follow_reload(db, err));
  info->reloaded = 1;
  info->records += db->published_seq > before ? db->published_seq - before : 0;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_follow(struct vecdb *db, uint32_t max_age_ms, vecdb_refresh_info *info,
                            vecdb_error *err) {
  int rc = VECDB_OK;
  vdb_mutex_lock(&db->manifest_mu);
  uint64_t now = vdb_now_ns(&db->env);
  info->age_ms = (now - db->looked_ns) / 1000000;
  if (db->alone) /* such a file never changes */
    info->age_ms = 0;
  else if (max_age_ms != UINT32_MAX && info->age_ms >= max_age_ms)
    rc = follow_look(db, info, err);
  else
    now = db->looked_ns;
  if (!rc)
    db->looked_ns = now;
  info->sequence = db->published_seq;
  info->reloads = db->reloads;
  vdb_mutex_unlock(&db->manifest_mu);
  return rc;
}

VDB_INTERNAL void vdb_follow_thread(void *arg) {
  struct vecdb *db = arg;
  bool failed = false;
  while (!atomic_load(&db->closing)) {
    vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
    vecdb_error err;
    int rc = vdb_follow(db, 0, &info, &err);
    if (rc && !failed) /* once, not at each interval */
      vdb_log(&db->env, VECDB_LOG_WARN, "following %s: %s", db->dir, err.message);
    failed = rc != VECDB_OK;
    vdb_mutex_lock(&db->jobs_mu);
    while (!atomic_load(&db->closing) &&
           vdb_cond_wait_ns(&db->jobs_cond, &db->jobs_mu, db->interval_ns))
      ;
    vdb_mutex_unlock(&db->jobs_mu);
  }
}
