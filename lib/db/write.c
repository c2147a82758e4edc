/* write.c - insert, upsert and delete: check, record, apply, commit; the order is in
   db/README.md. */
#include "attr/filter.h"
#include "base/check.h"
#include "db/db.h"
#include "query/query.h"

/* Most frozen segments in memory before a writer helps to seal them. */
enum { WRITE_MAX_FROZEN = 4 };

VDB_INTERNAL int vdb_write_allowed(struct vecdb_collection *coll, vecdb_error *err) {
  VDB_TRY(vdb_collection_alive(coll, err));
  if (!coll->db->wal)
    return vdb_fail(err, VECDB_ERR_READ_ONLY, "the database is open for reading only");
  return vdb_change_settle(coll->db, err);
}

VDB_INTERNAL int vdb_write_enter(struct vecdb_collection *coll, vecdb_error *err) {
  struct vecdb *db = coll->db;
  for (;;) {
    vdb_mutex_lock(&db->write_mu);
    vdb_commit_enter(db);
    if (!atomic_load(&db->manifest_doubt))
      return VECDB_OK;
    vdb_mutex_unlock(&db->write_mu); /* it came while this write waited */
    VDB_TRY(vdb_change_settle(db, err));
  }
}

/* A failure to seal is no failure of the write: the rows are in the log, and sealing is tried
   again. */
VDB_INTERNAL void vdb_write_help(struct vecdb_collection *coll) {
  struct vecdb *db = coll->db;
  if (vdb_frozen_count(coll) <= WRITE_MAX_FROZEN)
    return;
  vecdb_error err;
  bool did;
  vdb_mutex_lock(&coll->seal_mu);
  if (vdb_seal_one(coll, NULL, &did, &err))
    vdb_log(&db->env, VECDB_LOG_WARN, "sealing failed: %s", err.message);
  vdb_mutex_unlock(&coll->seal_mu);
}

/* Adds the record, changes memory and waits for the log; write_mu held, `pending` reserved. */
static int write_commit(struct vecdb_collection *coll, enum vdb_wal_type type,
                        struct vdb_wal_part body, const struct vdb_batch *batch,
                        struct vdb_pending *pending, vecdb_error *err) {
  struct vecdb *db = coll->db;
  uint64_t seq = 0;
  int rc = vdb_wal_add(db->wal, coll->id, type, &body, 1, &seq, err);
  if (!rc) {
    vdb_apply_commit(pending, batch, seq);
    vdb_commit_enqueue(db, pending);
    rc = vdb_commit_wait(db, pending, err);
  }
  if (!rc)
    atomic_fetch_add_explicit(&coll->commits, 1, memory_order_relaxed);
  return rc;
}

VDB_INTERNAL int vdb_write_record(struct vecdb_collection *coll, const struct vdb_writer *record,
                                  const struct vdb_batch *batch, bool replace,
                                  const uint32_t *source, struct vdb_pending *pending,
                                  vecdb_error *err) {
  struct vdb_wal_part body = {record->data, record->n};
  memset(pending, 0, sizeof *pending);
  VDB_TRY(vdb_apply_rows(coll, batch, replace, source, pending, err));
  return write_commit(coll, VDB_WAL_ROWS, body, batch, pending, err);
}

VDB_INTERNAL void vdb_write_leave(struct vecdb_collection *coll, struct vdb_pending *pending) {
  struct vecdb *db = coll->db;
  bool kick = coll->version->n > 1 || vdb_wal_bytes(db->wal) > db->wal_bytes;
  vdb_mutex_unlock(&db->write_mu);
  if (pending->coll)
    vdb_apply_release(pending);
  if (kick)
    vdb_jobs_kick(db);
}

/* A batch, encoded for a schema. */
struct write_rows {
  struct vecdb_collection *coll;
  const vecdb_batch *batch;
  const struct vdb_schema *schema;
  uint32_t *source; /* row of the batch of each that is encoded */
  int64_t first_auto_id;
  bool replace;
};

/* Writes an encoded batch; *again: the schema has changed since. */
static int write_rows_locked(const struct write_rows *w, const struct vdb_writer *record,
                             const struct vdb_batch *batch, bool *again, vecdb_error *err) {
  struct vdb_pending pending = {0};
  int rc = VECDB_OK;
  VDB_TRY(vdb_write_enter(w->coll, err));
  *again = w->coll->schema != w->schema;
  if (!*again) {
    vdb_versions_count(w->coll, record, batch);
    rc = vdb_write_record(w->coll, record, batch, w->replace, w->source, &pending, err);
  }
  vdb_write_leave(w->coll, &pending);
  return rc;
}

/* Encodes the batch for the schema of the moment, and writes it. */
static int write_rows_try(struct write_rows *w, bool *again, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&w->coll->db->env, VDB_FOR_WRITES);
  struct vdb_writer record = VDB_WRITER(mem);
  struct vdb_batch decoded = {0};
  struct vdb_computed *computed;
  const vecdb_batch *batch;
  uint32_t n_rows;
  w->schema = w->coll->schema;
  VDB_TRY(vdb_computed_new(w->coll, w->schema, w->batch->n_rows, &computed, err));
  int rc = vdb_computed_batch(computed, w->schema, w->batch, true, &batch, err);
  if (!rc)
    rc = vdb_batch_encode(mem, w->schema, batch, w->first_auto_id, &record, &n_rows, w->source,
                          err);
  if (!rc)
    rc = vdb_batch_view(mem, w->schema, record.data, record.n, &decoded, err);
  if (!rc)
    rc = write_rows_locked(w, &record, &decoded, again, err);
  vdb_batch_fini(mem, &decoded);
  vdb_writer_free(&record);
  vdb_computed_free(computed);
  return rc;
}

/* Gives the caller the keys of its rows. Of rows with the same key all get it. */
static void write_ids(const struct vdb_schema *schema, const vecdb_batch *batch,
                      int64_t first_auto_id, int64_t *ids) {
  const struct vdb_field *key = &schema->fields[schema->key];
  for (uint32_t i = 0; (key->flags & VECDB_AUTO_ID) && i < batch->n_rows; i++)
    ids[i] = first_auto_id + (int64_t)i;
  for (uint32_t c = 0; !(key->flags & VECDB_AUTO_ID) && c < batch->n_columns; c++) {
    const vecdb_column *column = &batch->columns[c];
    if (strcmp(column->field, key->name) != 0)
      continue;
    size_t stride = column->stride ? column->stride : sizeof(int64_t);
    for (uint32_t i = 0; i < batch->n_rows; i++)
      memcpy(&ids[i], (const char *)column->data + i * stride, sizeof(int64_t));
  }
}

VDB_INTERNAL int vdb_write_rows(struct vecdb_collection *coll, const vecdb_batch *batch,
                                bool replace, int64_t *ids, vecdb_error *err) {
  VDB_TRY(vdb_write_allowed(coll, err));
  struct vdb_mem *mem = vdb_env_for(&coll->db->env, VDB_FOR_WRITES);
  const struct vdb_schema *schema = coll->schema;
  if (!batch || batch->size != sizeof *batch)
    return vdb_fail(err, batch ? VECDB_ERR_OPTION : VECDB_ERR_ARGUMENT,
                    "the batch is missing or of unknown size");
  if (batch->n_rows == 0 || batch->n_rows > VECDB_MAX_BATCH_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a batch has 1 to %d rows, not %u", VECDB_MAX_BATCH_ROWS,
                    batch->n_rows);
  if (ids && schema->fields[schema->key].type != VECDB_INT64)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "ids are for INT64 keys; this key is VARCHAR");
  struct write_rows w = {.coll = coll, .batch = batch, .first_auto_id = 1, .replace = replace};
  w.source = vdb_alloc_array(mem, batch->n_rows, sizeof *w.source);
  int rc = w.source ? VECDB_OK : vdb_fail_memory(err);
  if (!rc && (schema->fields[schema->key].flags & VECDB_AUTO_ID))
    w.first_auto_id = atomic_fetch_add(&coll->next_auto_id, batch->n_rows);
  for (bool again = true; !rc && again;)
    rc = write_rows_try(&w, &again, err);
  if (!rc && ids)
    write_ids(w.schema, batch, w.first_auto_id, ids);
  vdb_free(mem, w.source);
  if (!rc)
    vdb_write_help(coll);
  return rc;
}

VDB_INTERNAL int vdb_write_settle(struct vecdb *db, bool *again, vecdb_error *err) {
  uint64_t failures = db->failures;
  int rc = VECDB_OK;
  if (db->durability == VECDB_DURABLE_COMMIT) {
    rc = vdb_commit_sync(db, db->last ? db->last->seq : db->published_seq, err);
  } else {
    vdb_commit_hold(db);
    vdb_commit_release(db);
  }
  *again = db->failures != failures;
  return rc;
}

/* Logs and applies a DELETE record; write_mu held. `body` starts with the number of keys. */
static int write_delete_locked(struct vecdb_collection *coll, const struct vdb_writer *body,
                               uint64_t *deleted, vecdb_error *err) {
  struct vdb_pending pending;
  if (body->failed)
    return vdb_fail_memory(err);
  VDB_TRY(vdb_apply_delete(coll, body->data, body->n, &pending, err));
  uint64_t n = pending.n_undo, expired = pending.n_expired;
  int rc = VECDB_OK;
  bool again = false;
  if (n > 0) {
    struct vdb_wal_part part = {body->data, body->n};
    rc = write_commit(coll, VDB_WAL_DELETE, part, NULL, &pending, err);
  } else {
    rc = vdb_write_settle(coll->db, &again, err);
  }
  vdb_apply_release(&pending);
  if (!rc && again)
    return write_delete_locked(coll, body, deleted, err);
  if (!rc && deleted)
    *deleted = n - expired;
  return rc;
}

/* Orders keys, so that repeated ones come together. */
VDB_INTERNAL int vdb_write_key_compare(const vecdb_keys *keys, size_t a, size_t b) {
  if (keys->integers)
    return (keys->integers[a] > keys->integers[b]) - (keys->integers[a] < keys->integers[b]);
  const vecdb_string *x = &keys->strings[a], *y = &keys->strings[b];
  size_t n = vdb_min_size(x->length, y->length);
  int c = n ? memcmp(x->data, y->data, n) : 0; /* an empty key may be a NULL pointer */
  return c ? c : (x->length > y->length) - (x->length < y->length);
}

/* Heap sort: no memory, no worst case. */
VDB_INTERNAL void vdb_write_keys_sort(const vecdb_keys *keys, uint32_t *order, size_t n) {
  for (size_t built = n / 2, end = n; end > 1;) {
    uint32_t moving;
    if (built > 0) {
      moving = order[--built];
    } else {
      moving = order[--end];
      order[end] = order[0];
    }
    size_t i = built;
    for (size_t child; (child = 2 * i + 1) < end; i = child) {
      if (child + 1 < end && vdb_write_key_compare(keys, order[child], order[child + 1]) < 0)
        child++;
      if (vdb_write_key_compare(keys, moving, order[child]) >= 0)
        break;
      order[i] = order[child];
    }
    order[i] = moving;
  }
}

/* Writes the keys of a DELETE record, each once. */
static int write_keys_encode(struct vdb_mem *mem, const vecdb_keys *keys, struct vdb_writer *out,
                             vecdb_error *err) {
  uint32_t *order = vdb_alloc_array(mem, keys->n, sizeof *order);
  if (!order)
    return vdb_fail_memory(err);
  for (size_t i = 0; i < keys->n; i++)
    order[i] = (uint32_t)i;
  vdb_write_keys_sort(keys, order, keys->n);
  vdb_write_u32(out, 0);
  uint32_t n = 0;
  for (size_t i = 0; i < keys->n; i++) {
    if (i > 0 && vdb_write_key_compare(keys, order[i - 1], order[i]) == 0)
      continue;
    const void *data;
    size_t length = sizeof(int64_t);
    if (keys->integers) {
      data = &keys->integers[order[i]];
    } else {
      data = keys->strings[order[i]].data;
      length = keys->strings[order[i]].length;
    }
    vdb_write_u32(out, (uint32_t)length);
    vdb_write_bytes(out, data, length);
    n++;
  }
  vdb_free(mem, order);
  if (out->failed)
    return vdb_fail_memory(err);
  memcpy(out->data, &n, sizeof n);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_write_delete(struct vecdb_collection *coll, const vecdb_keys *keys,
                                  uint64_t *deleted, vecdb_error *err) {
  VDB_TRY(vdb_write_allowed(coll, err));
  VDB_TRY(vdb_keys_check(coll->schema, keys, err));
  if (deleted)
    *deleted = 0;
  if (keys->n == 0)
    return VECDB_OK;
  struct vdb_writer body = VDB_WRITER(vdb_env_for(&coll->db->env, VDB_FOR_WRITES));
  int rc = write_keys_encode(vdb_env_for(&coll->db->env, VDB_FOR_WRITES), keys, &body, err);
  if (!rc)
    rc = vdb_write_enter(coll, err);
  if (!rc) {
    rc = write_delete_locked(coll, &body, deleted, err);
    vdb_mutex_unlock(&coll->db->write_mu);
  }
  vdb_writer_free(&body);
  return rc;
}

/*
 * A delete by filter is one step among the other writes: it deletes what passes at the moment when
 * its record is made. The filter runs before, over a snapshot and without the lock. Under the lock
 * remain the rows written since, which are few, and dropping those found that are dead by now.
 */
struct write_where {
  struct vecdb_collection *coll;
  const vecdb_filter *filter;
  struct vdb_control *control;
  struct vdb_snapshot *seen; /* the rows looked at so far; keeps the found ones' segments */
  struct write_found {
    const struct vdb_tombs *tombs;
    uint32_t row;
    uint32_t key; /* bytes of its key in the body */
  } *found;
  size_t n, capacity;
  struct vdb_writer body; /* of a DELETE record */
};

/* How many rows of a segment a snapshot holds. A growing segment and what is made of it share their
   tombs. */
static uint32_t write_where_from(const struct vdb_snapshot *seen, const struct vdb_seg *seg) {
  for (uint32_t i = 0; i < seen->n_segs; i++)
    if (seen->segs[i].seg->tombs == seg->tombs)
      return seen->segs[i].n;
  return 0;
}

static int write_where_visit(void *arg, const struct vdb_seg_view *view, uint32_t row,
                             vecdb_error *err) {
  struct write_where *w = arg;
  struct vdb_bytes key = vdb_seg_key(view, row);
  if (w->seen && row < write_where_from(w->seen, view->seg))
    return VECDB_OK;
  vdb_write_u32(&w->body, (uint32_t)key.n);
  vdb_write_bytes(&w->body, key.data, key.n);
  if (w->body.n > VECDB_MAX_BATCH_BYTES)
    return vdb_fail(err, VECDB_ERR_LIMIT,
                    "the filter passes too many rows for one delete; delete them in portions");
  if (w->body.failed || !VDB_GROW(w->body.mem, w->found, w->capacity, w->n + 1))
    return vdb_fail_memory(err);
  struct write_found found = {view->seg->tombs, row, (uint32_t)key.n};
  w->found[w->n++] = found;
  return VECDB_OK;
}

/* Whether the text says nothing. As a search filter that passes every row; nobody means it here.
   What is too long is refused elsewhere. */
static bool write_where_blank(const vecdb_filter *filter) {
  size_t n = filter->text ? (filter->length ? filter->length : strlen(filter->text)) : 0;
  if (n > VECDB_MAX_FILTER_BYTES)
    return false;
  for (size_t i = 0; i < n; i++)
    if (!strchr(" \t\n\v\f\r", filter->text[i]) || filter->text[i] == '\0')
      return false;
  return true;
}

/* Forgets what was found. */
static void write_where_reset(struct write_where *w) {
  vdb_snapshot_release(w->seen);
  vdb_writer_free(&w->body);
  struct vdb_writer empty = VDB_WRITER(vdb_env_for(&w->coll->db->env, VDB_FOR_WRITES));
  w->seen = NULL;
  w->body = empty;
  w->n = 0;
}

/* Finds the rows of a snapshot of what is visible. *merges: the merges before it. */
static int write_where_find(struct write_where *w, uint64_t *merges, vecdb_error *err) {
  write_where_reset(w);
  vdb_write_u32(&w->body, 0); /* the number of keys */
  if (w->body.failed)
    return vdb_fail_memory(err);
  vdb_mutex_lock(&w->coll->db->write_mu);
  *merges = w->coll->merges;
  vdb_mutex_unlock(&w->coll->db->write_mu);
  struct vdb_snapshot *snapshot;
  VDB_TRY(vdb_snapshot_take(w->coll, &snapshot, err));
  int rc = vdb_query_each(snapshot, w->filter, w->control, write_where_visit, w, err);
  w->seen = snapshot;
  return rc;
}

/* Adds the rows written since, in flight or not; write_mu held. */
static int write_where_add(struct write_where *w, vecdb_error *err) {
  struct vdb_snapshot *latest;
  VDB_TRY(vdb_snapshot_latest(w->coll, &latest, err));
  uint32_t n = 0;
  for (uint32_t i = 0; i < latest->n_segs; i++) {
    struct vdb_seg_view view = latest->segs[i];
    if (view.n > write_where_from(w->seen, view.seg))
      latest->segs[n++] = view;
    else
      vdb_seg_unref(view.seg);
  }
  latest->n_segs = n;
  int rc = n ? vdb_query_each(latest, w->filter, NULL, write_where_visit, w, err) : VECDB_OK;
  vdb_snapshot_release(latest);
  return rc;
}

/* Leaves out of the body what is dead by now; write_mu held. */
static void write_where_keep(struct write_where *w) {
  uint32_t n = 0;
  size_t from = sizeof n, to = sizeof n;
  for (size_t i = 0; i < w->n; i++) {
    size_t size = sizeof(uint32_t) + w->found[i].key;
    if (vdb_tombs_at(w->found[i].tombs, w->found[i].row) == 0) {
      memmove(w->body.data + to, w->body.data + from, size);
      to += size;
      n++;
    }
    from += size;
  }
  w->body.n = to;
  memcpy(w->body.data, &n, sizeof n);
  w->n = n;
}

/* Deletes what was found; *again: a merge has moved rows, or writes were taken back that made it
   seem that there is nothing. write_mu held. */
static int write_where_commit(struct write_where *w, uint64_t merges, uint64_t *deleted,
                              bool *again, vecdb_error *err) {
  *again = w->coll->merges != merges;
  if (*again)
    return VECDB_OK;
  VDB_TRY(vdb_collection_alive(w->coll, err));
  VDB_TRY(write_where_add(w, err));
  write_where_keep(w);
  return w->n ? write_delete_locked(w->coll, &w->body, deleted, err)
              : vdb_write_settle(w->coll->db, again, err);
}

VDB_INTERNAL int vdb_write_delete_where(struct vecdb_collection *coll, const vecdb_filter *filter,
                                        uint64_t *deleted, struct vdb_control *control,
                                        vecdb_error *err) {
  VDB_TRY(vdb_write_allowed(coll, err));
  if (deleted)
    *deleted = 0;
  if (write_where_blank(filter))
    return vdb_fail_pos(err, VECDB_ERR_FILTER, 0,
                        "a delete needs a filter; \"true\" passes every row");
  struct write_where w = {.coll = coll, .filter = filter, .control = control};
  int rc = VECDB_OK;
  for (bool again = true; !rc && again;) {
    uint64_t merges = 0;
    rc = write_where_find(&w, &merges, err);
    if (!rc)
      rc = vdb_write_enter(coll, err);
    if (rc)
      break;
    rc = write_where_commit(&w, merges, deleted, &again, err);
    vdb_mutex_unlock(&coll->db->write_mu);
  }
  write_where_reset(&w);
  vdb_free(vdb_env_for(&coll->db->env, VDB_FOR_WRITES), w.found);
  return rc;
}
