/* apply.c - changing a collection in memory, for writers and recovery alike; see db.h. write_mu is
   held. */
#include "base/check.h"
#include "db/db.h"

VDB_INTERNAL struct vdb_place vdb_apply_find(struct vecdb_collection *coll, struct vdb_bytes key) {
  uint64_t hash = vdb_seg_key_hash(key);
  for (uint32_t i = coll->version->n; i-- > 0;) {
    struct vdb_seg *seg = coll->version->segs[i];
    struct vdb_seg_view view = {seg, seg->sealed ? seg->sealed->n_rows : seg->growing->n_rows};
    int64_t row = vdb_seg_find(&view, key, hash, UINT64_MAX);
    if (row >= 0) {
      struct vdb_place place = {seg, (uint32_t)row};
      return place;
    }
  }
  struct vdb_place none = {NULL, 0};
  return none;
}

VDB_INTERNAL int64_t vdb_apply_now(const struct vecdb_collection *coll) {
  return coll->schema->expiry == 0 ? 0 : vdb_wall_ms(&coll->db->env);
}

VDB_INTERNAL bool vdb_apply_expired(struct vdb_place place, int64_t now_ms) {
  struct vdb_seg_view view = {place.seg, place.row + 1};
  return vdb_seg_row_expired(&view, place.row, now_ms);
}

/* Notes that a row will be deleted, with the memory for it. `capacity` of pending->undo is the
   caller's. */
static int apply_note(struct vecdb_collection *coll, struct vdb_place place,
                      struct vdb_pending *pending, vecdb_error *err) {
  if (!vdb_tombs_reserve(vdb_env_for(&coll->db->env, VDB_FOR_ROWS), place.seg->tombs, place.row))
    return vdb_fail_memory(err);
  struct vdb_undo undo = {vdb_tombs_ref(place.seg->tombs), place.row};
  pending->undo[pending->n_undo++] = undo;
  return VECDB_OK;
}

static void apply_begin(struct vecdb_collection *coll, struct vdb_pending *pending) {
  memset(pending, 0, sizeof *pending);
  pending->coll = vdb_collection_ref(coll);
}

VDB_INTERNAL void vdb_apply_release(struct vdb_pending *pending) {
  struct vdb_mem *mem = vdb_env_for(&pending->coll->db->env, VDB_FOR_WRITES);
  for (size_t i = 0; i < pending->n_undo; i++)
    vdb_tombs_unref(mem, pending->undo[i].tombs);
  vdb_free(mem, pending->undo);
  vdb_seg_unref(pending->seg);
  vdb_collection_unref(pending->coll);
  memset(pending, 0, sizeof *pending);
}

VDB_INTERNAL void vdb_apply_freeze(struct vecdb_collection *coll) {
  if (!coll->active || coll->active->growing->n_rows == 0)
    return;
  coll->active->growing->frozen = true;
  coll->active = NULL;
}

/* Makes a growing segment with room for n rows the active one. */
static int apply_room(struct vecdb_collection *coll, uint32_t n, vecdb_error *err) {
  struct vecdb *db = coll->db;
  const struct vdb_growing *g = coll->active ? coll->active->growing : NULL;
  if (g && g->capacity - g->n_rows >= n && g->bytes < db->seal_bytes)
    return VECDB_OK;
  struct vdb_version *old = coll->version;
  struct vdb_version *version = vdb_version_new(&db->env.mem, old->n + 1);
  if (!version)
    return vdb_fail_memory(err);
  uint32_t capacity = n > db->seal_rows ? n : db->seal_rows;
  struct vdb_seg *seg;
  int rc = vdb_growing_new(&db->env, coll->schema, 0, capacity, &seg, err);
  if (rc) {
    vdb_version_unref(&db->env.mem, version);
    return rc;
  }
  for (uint32_t i = 0; i < old->n; i++) {
    /* An active segment that never got a row gives way to a larger one. */
    if (old->segs[i] != coll->active || g->n_rows > 0)
      version->segs[version->n++] = vdb_seg_ref(old->segs[i]);
  }
  version->segs[version->n++] = seg;
  bool rotate = g && g->n_rows > 0;
  vdb_apply_freeze(coll);
  coll->active = seg;
  vdb_version_set(coll, version);
  if (rotate && db->wal)
    vdb_commit_rotate(db);
  return VECDB_OK;
}

static int apply_replaced(struct vecdb_collection *coll, const struct vdb_batch *batch,
                          bool replace, const uint32_t *source, struct vdb_pending *pending,
                          vecdb_error *err) {
  const struct vdb_field *field = &coll->schema->fields[coll->schema->key];
  const struct vdb_column *keys = &batch->columns[coll->schema->key];
  size_t capacity = 0;
  int64_t now = vdb_apply_now(coll);
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    struct vdb_place place = vdb_apply_find(coll, vdb_key_of(keys, i));
    if (!place.seg)
      continue;
    if (!replace && !vdb_apply_expired(place, now))
      return vdb_fail_at(err, VECDB_ERR_EXISTS, source ? source[i] : i, field->name,
                         "row %u: its key in field '%s' is already present", source ? source[i] : i,
                         field->name);
    if (!VDB_GROW(vdb_env_for(&coll->db->env, VDB_FOR_WRITES), pending->undo, capacity,
                  pending->n_undo + 1))
      return vdb_fail_memory(err);
    VDB_TRY(apply_note(coll, place, pending, err));
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_apply_rows(struct vecdb_collection *coll, const struct vdb_batch *batch,
                                bool replace, const uint32_t *source, struct vdb_pending *pending,
                                vecdb_error *err) {
  VDB_TRY(vdb_collection_alive(coll, err));
  VDB_TRY(apply_room(coll, batch->n_rows, err));
  VDB_TRY(vdb_growing_reserve(coll->active, batch, err));
  apply_begin(coll, pending);
  pending->seg = vdb_seg_ref(coll->active);
  int rc = apply_replaced(coll, batch, replace, source, pending, err);
  if (rc)
    vdb_apply_release(pending);
  return rc;
}

/* The keys of a DELETE record: u32 count, then per key u32 length and bytes. */
VDB_INTERNAL int vdb_apply_delete(struct vecdb_collection *coll, const void *body, size_t n,
                                  struct vdb_pending *pending, vecdb_error *err) {
  VDB_TRY(vdb_collection_alive(coll, err));
  struct vdb_reader r = vdb_reader_of(body, n);
  uint32_t n_keys = vdb_read_count(&r, 4);
  int64_t now = vdb_apply_now(coll);
  apply_begin(coll, pending);
  pending->undo = vdb_alloc_array(vdb_env_for(&coll->db->env, VDB_FOR_WRITES), n_keys,
                                  sizeof *pending->undo);
  int rc = pending->undo ? VECDB_OK : vdb_fail_memory(err);
  for (uint32_t i = 0; !rc && i < n_keys; i++) {
    struct vdb_bytes key = {NULL, vdb_read_u32(&r)};
    key.data = vdb_read_bytes(&r, key.n);
    if (!key.data)
      break;
    struct vdb_place place = vdb_apply_find(coll, key);
    if (!place.seg)
      continue;
    pending->n_expired += vdb_apply_expired(place, now);
    rc = apply_note(coll, place, pending, err);
  }
  if (!rc && (r.bad || vdb_reader_left(&r) != 0))
    rc = vdb_fail(err, VECDB_ERR_CORRUPT, "a delete record of the log is malformed");
  if (rc)
    vdb_apply_release(pending);
  return rc;
}

VDB_INTERNAL void vdb_apply_commit(struct vdb_pending *pending, const struct vdb_batch *batch,
                                   uint64_t seq) {
  struct vecdb_collection *coll = pending->coll;
  vdb_assert(seq > coll->last_seq);
  pending->seq = seq;
  pending->last_seq_before = coll->last_seq;
  /* Only a record of a forged log, replayed here, can name a row twice. */
  for (size_t i = 0; i < pending->n_undo; i++)
    if (vdb_tombs_at(pending->undo[i].tombs, pending->undo[i].row) == 0)
      vdb_tombs_mark(pending->undo[i].tombs, pending->undo[i].row, seq);
  if (batch) {
    pending->before = vdb_growing_mark(pending->seg);
    vdb_growing_append(pending->seg, batch, seq);
    pending->n_rows = batch->n_rows;
  }
  /* With everything in files, records of other collections before this one are none of ours. Only
     synced ones count: the numbers of others may come again, for records of this collection. */
  if (coll->last_seq <= coll->files_seq && coll->db->synced_seq > coll->files_seq)
    coll->files_seq = coll->db->synced_seq;
  coll->last_seq = seq;
}

VDB_INTERNAL void vdb_apply_rollback(struct vdb_pending *pending) {
  struct vecdb_collection *coll = pending->coll;
  vdb_assert(coll->last_seq == pending->seq);
  if (pending->seg)
    vdb_growing_truncate(pending->seg, pending->before);
  for (size_t i = pending->n_undo; i-- > 0;)
    vdb_tombs_unmark(pending->undo[i].tombs, pending->undo[i].row);
  coll->last_seq = pending->last_seq_before;
}

VDB_INTERNAL void vdb_apply_publish(struct vdb_pending *pending) {
  struct vecdb_collection *coll = pending->coll;
  vdb_mutex_lock(&coll->view_mu);
  if (pending->seg) {
    struct vdb_growing *g = pending->seg->growing;
    uint32_t end = pending->before.n_rows + pending->n_rows;
    atomic_store_explicit(&g->visible, end, memory_order_release);
  }
  coll->visible_seq = pending->seq;
  vdb_mutex_unlock(&coll->view_mu);
}
