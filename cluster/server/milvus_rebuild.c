/* milvus_rebuild.c - copying a collection page by page; see milvus_rebuild.h. */
#include "server/milvus_rebuild.h"

#include <stdio.h>
#include <string.h>

#include "server/json_rows.h"
#include "server/json_schema.h"

enum { REBUILD_PAGE = 1000, REBUILD_NAMES = 1000 };

/* ---- The new collection ---------------------------------------------------------------------- */

static void rebuild_metric(vecdb_field *field, int32_t metric, bool later) {
  field->metric = metric;
  field->index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  if (later) /* an index is made when all rows are there */
    field->index.type = VECDB_INDEX_FLAT;
  field->flags &= ~(uint32_t)VECDB_ALLOW_ZERO;
  field->flags |= metric == VECDB_COSINE ? VECDB_ALLOW_ZERO : 0;
}

/* The schema with the changes. */
static bool rebuild_schema(struct milvus *m, const struct milvus_open *open,
                           const struct milvus_rebuild *change, vecdb_schema *out) {
  const vecdb_schema *from = open->schema;
  bool later = engine_takes_index(open->collection);
  vecdb_field *fields = srv_arena_array(&m->call->arena, from->n_fields, sizeof *fields);
  if (!fields)
    return milvus_no_memory(m);
  memcpy(fields, from->fields, from->n_fields * sizeof *fields);
  for (uint32_t i = 0; i < from->n_fields; i++)
    if (change->field && strcmp(fields[i].name, change->field) == 0)
      rebuild_metric(&fields[i], change->metric, later);
  *out = *from;
  out->fields = fields;
  return true;
}

bool milvus_physical_free(struct milvus *m, const char *base, char out[MILVUS_PHYSICAL]) {
  for (unsigned i = 1; i < REBUILD_NAMES; i++) {
    struct engine_collection *there;
    vecdb_error error;
    snprintf(out, MILVUS_PHYSICAL, i > 1 ? "%.255s-%u" : "%.255s", base, i);
    int rc = engine_collection_get(m->call->server->engine, out, &there, &error);
    if (rc == VECDB_ERR_NOT_FOUND)
      return true;
    if (rc != VECDB_OK)
      return milvus_error(m, &error);
    engine_collection_release(there);
  }
  return milvus_fail(m, SRV_MILVUS_UNEXPECTED, "there are too many collections named %.255s", base);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool rebuild_column(struct srv_arena *arena, const vecdb_field *field,
                           const struct engine_rows *rows, vecdb_column *out) {
  size_t n = engine_rows_count(rows), size = srv_value_bytes(field);
  int column = engine_rows_find(rows, field->name);
  bool lengths = srv_type_is_text(field->type) || field->type == VECDB_ARRAY;
  uint8_t *data = srv_arena_array(arena, n, lengths ? sizeof(void *) : size);
  uint32_t *counts = srv_arena_array(arena, n, sizeof *counts);
  uint8_t *valid = srv_arena_array(arena, n, 1);
  if (!data || !counts || !valid || column < 0)
    return false;
  for (size_t i = 0; i < n; i++) {
    vecdb_value v = engine_rows_value(rows, i, (size_t)column);
    float narrow = v.type == VECDB_FLOAT ? (float)v.as.number : 0;
    valid[i] = v.type != 0;
    counts[i] = v.length;
    if (lengths)
      memcpy(data + i * sizeof(void *), &v.as.data, v.type ? sizeof(void *) : 0);
    else if (field->type == VECDB_SPARSE_VECTOR)
      memcpy(data + i * size, &(vecdb_sparse){v.as.data, v.length}, size);
    else if (srv_type_is_vector(field->type))
      memcpy(data + i * size, v.as.data, size);
    else if (field->type == VECDB_FLOAT)
      memcpy(data + i * size, &narrow, size);
    else if (v.type)
      memcpy(data + i * size, &v.as, size); /* little-endian: the low bytes of an integer */
  }
  *out = (vecdb_column){.field = field->name, .data = data};
  out->lengths = lengths ? counts : NULL;
  out->valid = field->flags & VECDB_NULLABLE ? valid : NULL;
  return true;
}

/* Writes one page of rows. */
static bool rebuild_page(struct milvus *m, const struct milvus_open *from,
                         struct engine_collection *to, const struct engine_rows *rows,
                         struct srv_arena *arena) {
  uint32_t n = from->schema->n_fields;
  vecdb_column *columns = srv_arena_array(arena, n, sizeof *columns);
  vecdb_batch batch = VECDB_BATCH_INIT;
  vecdb_error error;
  if (!columns)
    return milvus_no_memory(m);
  for (uint32_t i = 0; i < n; i++)
    if (!rebuild_column(arena, &from->schema->fields[i], rows, &columns[i]))
      return milvus_no_memory(m);
  batch.columns = columns;
  batch.n_columns = n;
  batch.n_rows = (uint32_t)engine_rows_count(rows);
  return engine_insert(to, &batch, NULL, &error) == VECDB_OK || milvus_error(m, &error);
}

/* Copies all rows in the order of their keys. */
static bool rebuild_rows(struct milvus *m, const struct milvus_open *from,
                         struct engine_collection *to) {
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_error error;
  struct engine_rows *last = NULL; /* whose last key the next page follows */
  vecdb_string text;
  int64_t number;
  bool good = true;
  params.limit = REBUILD_PAGE;
  for (;;) {
    struct srv_arena arena = {.limit = m->call->arena.limit};
    struct engine_rows *rows;
    if (engine_query(from->collection, &params, &rows, &error) != VECDB_OK) {
      good = milvus_error(m, &error);
      break;
    }
    engine_rows_free(last);
    last = rows;
    size_t n = engine_rows_count(rows);
    if (n == 0)
      break;
    good = rebuild_page(m, from, to, rows, &arena);
    srv_arena_free(&arena);
    if (!good)
      break;
    vecdb_value key = engine_rows_value(rows, n - 1, 0);
    number = key.type == VECDB_INT64 ? key.as.integer : 0;
    text = (vecdb_string){key.type == VECDB_VARCHAR ? key.as.data : NULL, key.length};
    params.after = (vecdb_keys){key.type == VECDB_INT64 ? &number : NULL,
                                key.type == VECDB_INT64 ? NULL : &text, 1};
  }
  engine_rows_free(last);
  return good;
}

/* ---- The change ------------------------------------------------------------------------------ */

static bool rebuild_switch(struct milvus *m, struct milvus_open *open,
                           struct engine_collection *to) {
  json_object_set_new(milvus_record(open), "physical", json_string(engine_collection_name(to)));
  return milvus_record_keep(m, open);
}

/* What a collection has beside its schema: expiry and optimizers. */
static bool rebuild_settings(struct milvus *m, const struct milvus_open *from,
                             struct engine_collection *to) {
  vecdb_error error;
  uint64_t ttl;
  const char *expiry = engine_expiry(from->collection, &ttl);
  if (expiry && engine_expire(to, expiry, ttl, NULL, &error) != VECDB_OK)
    return milvus_error(m, &error);
  for (uint32_t i = 0; i < from->schema->n_fields; i++) {
    const char *name = from->schema->fields[i].name;
    vecdb_optimizer optimizer = VECDB_OPTIMIZER_INIT;
    int rc = engine_optimizer_get(from->collection, name, &optimizer, &error);
    if (rc == VECDB_OK)
      rc = engine_optimizer_set(to, name, &optimizer, NULL, &error);
    else if (rc == VECDB_ERR_NOT_FOUND || rc == VECDB_ERR_UNSUPPORTED)
      continue; /* the field has none, or none has */
    if (rc != VECDB_OK)
      return milvus_error(m, &error);
  }
  return true;
}

static bool rebuild_locked(struct milvus *m, struct milvus_open *open,
                           const struct milvus_rebuild *change) {
  struct engine *engine = m->call->server->engine;
  char physical[MILVUS_PHYSICAL];
  struct engine_collection *to;
  vecdb_schema schema;
  vecdb_error error;
  if (!rebuild_schema(m, open, change, &schema))
    return false;
  if (!milvus_physical_free(m, open->name, physical))
    return false;
  if (engine_collection_create(engine, physical, &schema, &to, &error) != VECDB_OK)
    return milvus_error(m, &error);
  bool good = (change->empty || rebuild_rows(m, open, to)) && rebuild_settings(m, open, to);
  if (good && engine_flush(to, NULL, &error) != VECDB_OK)
    good = milvus_error(m, &error);
  good = good && rebuild_switch(m, open, to);
  struct engine_collection *gone = good ? open->collection : to;
  engine_collection_drop(engine, engine_collection_name(gone), NULL);
  engine_collection_release(gone);
  if (!good)
    return false;
  open->collection = to;
  milvus_opened(open);
  return true;
}

bool milvus_rebuild(struct milvus *m, struct milvus_open *open,
                    const struct milvus_rebuild *change) {
  struct srv_milvus_state *state = m->call->server->milvus;
  pthread_rwlock_wrlock(&state->writes);
  bool good = rebuild_locked(m, open, change);
  pthread_rwlock_unlock(&state->writes);
  return good && milvus_index_again(m, open);
}
