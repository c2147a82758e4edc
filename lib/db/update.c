/*
 * update.c - changing some fields of rows that are there. The given values are checked and encoded
 * without a lock, as a batch of a schema of just these fields. Under the lock they are put together
 * with the values that stand, and the whole rows are written as an upsert of them is: so the log,
 * recovery and snapshots know nothing of updates, and no write between reading and writing is lost.
 */
#include "base/check.h"
#include "db/db.h"

struct update {
  struct vecdb_collection *coll;
  const struct vdb_schema *schema; /* the given fields are encoded for */
  const vecdb_batch *batch;
  bool insert;               /* rows of absent keys */
  uint8_t *found;            /* the caller's; NULL: not wanted */
  struct vdb_schema part;    /* the fields that are given, the key among them */
  int at[VECDB_MAX_FIELDS];  /* place in `part` of each field of the schema; -1: not given */
  struct vdb_writer given;   /* a record of `part` */
  struct vdb_batch rows;     /* its columns */
  struct vdb_computed *computed;
  uint32_t *source;          /* row of the caller's batch of each */
  struct vdb_batch_patch *patches;
  uint32_t n;                /* of them */
};

static bool update_gives(const vecdb_batch *batch, const char *field) {
  for (uint32_t i = 0; i < batch->n_columns; i++)
    if (batch->columns[i].field && strcmp(batch->columns[i].field, field) == 0)
      return true;
  return false;
}

/* Whether the batch has a say in field f: hidden ones go with their vector. */
static bool update_takes(const struct update *u, uint32_t f) {
  uint32_t of = f < u->schema->n_public ? f : u->schema->fields[f].owner;
  return f == u->schema->key || update_gives(u->batch, u->schema->fields[of].name);
}

/* Makes the schema of the given fields. Encoding finds names that are not in it unknown, and a
   missing key missing. */
static int update_part(struct update *u, vecdb_error *err) {
  const struct vdb_schema *schema = u->schema;
  u->part.fields = vdb_alloc_array(vdb_env_for(&u->coll->db->env, VDB_FOR_WRITES), schema->n_fields,
                                   sizeof *u->part.fields);
  if (!u->part.fields)
    return vdb_fail_memory(err);
  for (uint32_t f = 0; f < schema->n_fields; f++) {
    u->at[f] = -1;
    if (!update_takes(u, f))
      continue;
    if (f == schema->key)
      u->part.key = u->part.n_fields;
    u->at[f] = (int)u->part.n_fields;
    u->part.fields[u->part.n_fields] = schema->fields[f];
    u->part.fields[u->part.n_fields++].flags &= ~(uint32_t)VECDB_AUTO_ID; /* it takes a column */
    u->part.n_public += f < schema->n_public;
  }
  return VECDB_OK;
}

/* What can be done without a lock. */
static int update_prepare(struct update *u, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&u->coll->db->env, VDB_FOR_WRITES);
  uint32_t n;
  VDB_TRY(vdb_computed_new(u->coll, u->schema, u->batch->n_rows, &u->computed, err));
  VDB_TRY(vdb_computed_batch(u->computed, u->schema, u->batch, false, &u->batch, err));
  VDB_TRY(update_part(u, err));
  u->source = vdb_alloc_array(mem, u->batch->n_rows, sizeof *u->source);
  u->patches = vdb_alloc_array(mem, u->batch->n_rows, sizeof *u->patches);
  if (!u->source || !u->patches)
    return vdb_fail_memory(err);
  VDB_TRY(vdb_batch_encode(mem, &u->part, u->batch, 1, &u->given, &n, u->source, err));
  return vdb_batch_view(mem, &u->part, u->given.data, u->given.n, &u->rows, err);
}

/* Counts the versions of given vectors on from the row that stands. */
static void update_versions(struct update *u, const struct vdb_batch_patch *patch) {
  for (uint32_t f = u->schema->n_public; f < u->schema->n_fields; f += 2)
    if (u->at[f] >= 0)
      vdb_version_put(&u->given, &u->rows.columns[u->at[f]], patch->given,
                      vdb_version_of(&patch->stands[f], patch->row) + 1);
}

/* Finds the rows that stand; write_mu held. */
static void update_find(struct update *u) {
  const struct vdb_column *keys = &u->rows.columns[u->part.key];
  if (u->found)
    memset(u->found, 0, u->batch->n_rows);
  u->n = 0;
  int64_t now = vdb_apply_now(u->coll);
  for (uint32_t i = 0; i < u->rows.n_rows; i++) {
    struct vdb_batch_patch patch = {.given = i};
    bool stands = vdb_apply_stands(u->coll, vdb_key_of(keys, i), now, &patch);
    if (!stands && !u->insert)
      continue;
    if (stands)
      update_versions(u, &patch);
    if (u->found)
      u->found[u->source[i]] = stands;
    u->patches[u->n++] = patch;
  }
}

/* Puts the rows together and writes them; write_mu held, given up meanwhile. */
static int update_write(struct update *u, struct vdb_pending *pending, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(&u->coll->db->env, VDB_FOR_WRITES);
  const struct vdb_batch_merge merge = {u->schema, &u->rows, u->at, u->patches, u->n,
                                        vdb_computed_fills(u->computed)};
  struct vdb_writer record = VDB_WRITER(mem);
  struct vdb_batch whole = {0};
  int rc = vdb_batch_merge(&merge, &record, err);
  if (rc == VECDB_ERR_MISSING_FIELD) /* it names a row of `rows` */
    err->row = u->source[err->row];
  if (!rc)
    rc = vdb_batch_view(mem, u->schema, record.data, record.n, &whole, err);
  if (!rc)
    rc = vdb_write_record(u->coll, &record, &whole, true, NULL, pending, err);
  vdb_batch_fini(mem, &whole);
  vdb_writer_free(&record);
  return rc;
}

/* *again: the schema has changed since the given fields were encoded. */
static int update_locked(struct update *u, bool *again, vecdb_error *err) {
  struct vecdb *db = u->coll->db;
  struct vdb_pending pending = {0};
  VDB_TRY(vdb_write_enter(u->coll, err));
  int rc = vdb_collection_alive(u->coll, err);
  *again = u->coll->schema != u->schema;
  if (!rc && !*again) {
    update_find(u);
    rc = u->n ? update_write(u, &pending, err) : vdb_write_settle(db, again, err);
  }
  vdb_write_leave(u->coll, &pending);
  return rc;
}

static void update_end(struct update *u) {
  struct vdb_mem *mem = vdb_env_for(&u->coll->db->env, VDB_FOR_WRITES);
  vdb_batch_fini(mem, &u->rows);
  vdb_writer_free(&u->given);
  vdb_free(mem, u->patches);
  vdb_free(mem, u->source);
  vdb_free(mem, u->part.fields);
  vdb_computed_free(u->computed);
}

VDB_INTERNAL int vdb_write_update(struct vecdb_collection *coll, const vecdb_batch *batch,
                                  uint32_t flags, uint8_t *found, vecdb_error *err) {
  const struct vdb_schema *schema = coll->schema;
  VDB_TRY(vdb_write_allowed(coll, err));
  VDB_TRY(vdb_batch_check(batch, err));
  if (flags & ~(uint32_t)VECDB_UPDATE_INSERT)
    return vdb_fail(err, VECDB_ERR_OPTION, "flags is %#x; VECDB_UPDATE_INSERT is known", flags);
  if (flags && (schema->fields[schema->key].flags & VECDB_AUTO_ID))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the keys of field '%s' are the database's to give",
                    schema->fields[schema->key].name);
  int rc = VECDB_OK;
  for (bool again = true; !rc && again;) {
    struct update u = {.coll = coll, .schema = coll->schema, .batch = batch, .insert = flags != 0,
                       .found = found};
    u.given.mem = vdb_env_for(&coll->db->env, VDB_FOR_WRITES);
    rc = update_prepare(&u, err);
    if (!rc)
      rc = update_locked(&u, &again, err);
    update_end(&u);
  }
  if (!rc)
    vdb_write_help(coll);
  return rc;
}
