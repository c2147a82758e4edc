/*
 * commit.c - group commit. Writers apply their change in memory, invisibly, put the record in the
 * log's buffer and queue up. One of those that wait becomes the leader: it takes the whole buffer,
 * writes and syncs it without the lock, then publishes what it wrote in order. When that fails,
 * every write in flight, also those that joined the next buffer meanwhile, is taken back, newest
 * first: they were applied on top of each other. A failed log file is never written again
 * (store/wal.h).
 */
#include "base/check.h"
#include "db/db.h"

VDB_INTERNAL void vdb_commit_enqueue(struct vecdb *db, struct vdb_pending *pending) {
  pending->prev = db->last;
  pending->next = NULL;
  *(db->last ? &db->last->next : &db->first) = pending;
  db->last = pending;
}

static void commit_unlink(struct vecdb *db, struct vdb_pending *pending) {
  *(pending->prev ? &pending->prev->next : &db->first) = pending->next;
  *(pending->next ? &pending->next->prev : &db->last) = pending->prev;
}

/* Makes all writes up to `seq` visible, in order. */
static void commit_publish(struct vecdb *db, uint64_t seq) {
  while (db->first && db->first->seq <= seq) {
    struct vdb_pending *pending = db->first;
    vdb_apply_publish(pending);
    commit_unlink(db, pending);
    pending->done = true;
  }
  db->published_seq = seq;
}

/* Takes back all writes in flight and tells their writers why. */
static void commit_fail(struct vecdb *db, int rc, const vecdb_error *why) {
  db->failures++;
  while (db->last) {
    struct vdb_pending *pending = db->last;
    vdb_apply_rollback(pending);
    commit_unlink(db, pending);
    pending->done = true;
    pending->rc = rc;
    pending->err = *why;
  }
  vdb_wal_rewind(db->wal, db->published_seq);
}

/* Whether this write of the log must also sync it. */
static bool commit_sync_due(const struct vecdb *db) {
  if (db->durability == VECDB_DURABLE_COMMIT)
    return true;
  return db->durability == VECDB_DURABLE_INTERVAL &&
         vdb_now_ns(&db->env) - db->last_sync_ns >= db->interval_ns;
}

/* Notes that records above the current end go to a new log file. */
static void commit_mark(struct vecdb *db) {
  struct vdb_wal_mark mark = {0, db->published_seq};
  if (!VDB_GROW(&db->env.mem, db->marks, db->marks_capacity, db->n_marks + 1))
    return; /* rotation only helps trimming: try again at the next write */
  db->rotate = false;
  vdb_wal_rotate(db->wal);
  mark.file = vdb_wal_next_file(db->wal);
  db->marks[db->n_marks++] = mark;
}

/* Writes what is buffered, as the only leader; write_mu is given up meanwhile. */
static void commit_lead(struct vecdb *db, bool sync) {
  if (db->rotate)
    commit_mark(db);
  uint64_t last_seq;
  if (!vdb_wal_take(db->wal, &last_seq))
    return;
  db->leading = true;
  sync = sync || commit_sync_due(db);
  vdb_mutex_unlock(&db->write_mu);
  vecdb_error err;
  int rc = vdb_wal_write(db->wal, sync, &err);
  uint64_t now = sync ? vdb_now_ns(&db->env) : 0;
  vdb_mutex_lock(&db->write_mu);
  db->leading = false;
  if (rc) {
    vdb_log(&db->env, VECDB_LOG_ERROR, "the log could not be written: %s", err.message);
    commit_fail(db, rc, &err);
  } else {
    commit_publish(db, last_seq);
    if (sync) {
      db->synced_seq = last_seq;
      db->last_sync_ns = now;
    }
  }
  vdb_cond_broadcast(&db->write_cond);
}

VDB_INTERNAL int vdb_commit_wait(struct vecdb *db, struct vdb_pending *pending, vecdb_error *err) {
  while (!pending->done) {
    if (db->leading)
      vdb_cond_wait(&db->write_cond, &db->write_mu);
    else
      commit_lead(db, false);
  }
  if (pending->rc)
    *err = pending->err;
  return pending->rc;
}

VDB_INTERNAL int vdb_commit_sync(struct vecdb *db, uint64_t seq, vecdb_error *err) {
  if (db->synced_seq >= seq)
    return VECDB_OK;
  while (db->leading || db->first) {
    if (db->leading)
      vdb_cond_wait(&db->write_cond, &db->write_mu);
    else
      commit_lead(db, true);
    if (db->synced_seq >= seq)
      return VECDB_OK;
  }
  if (db->synced_seq >= seq)
    return VECDB_OK;
  uint64_t published = db->published_seq;
  db->leading = true;
  vdb_mutex_unlock(&db->write_mu);
  int rc = vdb_wal_sync(db->wal, err);
  uint64_t now = vdb_now_ns(&db->env);
  vdb_mutex_lock(&db->write_mu);
  db->leading = false;
  if (rc) {
    commit_fail(db, rc, err);
  } else {
    db->synced_seq = published;
    db->last_sync_ns = now;
  }
  vdb_cond_broadcast(&db->write_cond);
  return rc;
}

VDB_INTERNAL void vdb_commit_enter(struct vecdb *db) {
  while (db->holds > 0)
    vdb_cond_wait(&db->write_cond, &db->write_mu);
}

VDB_INTERNAL void vdb_commit_hold(struct vecdb *db) {
  db->holds++;
  while (db->first || db->leading) {
    if (db->leading)
      vdb_cond_wait(&db->write_cond, &db->write_mu);
    else
      commit_lead(db, false);
  }
}

VDB_INTERNAL void vdb_commit_release(struct vecdb *db) {
  vdb_assert(db->holds > 0);
  db->holds--;
  vdb_cond_broadcast(&db->write_cond);
}

VDB_INTERNAL void vdb_commit_rotate(struct vecdb *db) {
  db->rotate = true;
  if (!db->leading && !db->first)
    commit_mark(db);
}
