/* local.c - the engine that is a database of this process: each call is the library's. */
#include <stdlib.h>

#include "engine/ops.h"

struct local {
  struct engine engine;
  vecdb *db;
};

struct local_collection {
  struct engine_collection base;
  vecdb_collection *collection;
};

struct local_rows {
  struct engine_rows base;
  vecdb_rows *rows;
};

static vecdb *local_db(struct engine *engine) { return ((struct local *)engine)->db; }

vecdb *engine_local_db(struct engine *engine) { return local_db(engine); }

static vecdb_collection *local_of(const struct engine_collection *collection) {
  return ((const struct local_collection *)collection)->collection;
}

static vecdb_rows *local_rows_of(const struct engine_rows *rows) {
  return ((const struct local_rows *)rows)->rows;
}

static int local_no_memory(vecdb_error *error) {
  return engine_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

/* ---- Rows ---- */

static void local_rows_free(struct engine_rows *rows) {
  vecdb_rows_free(local_rows_of(rows));
  free(rows);
}

static size_t local_rows_count(const struct engine_rows *rows) {
  return vecdb_rows_count(local_rows_of(rows));
}

static size_t local_rows_n_fields(const struct engine_rows *rows) {
  return vecdb_rows_n_fields(local_rows_of(rows));
}

static const char *local_rows_field(const struct engine_rows *rows, size_t i) {
  return vecdb_rows_field(local_rows_of(rows), i);
}

static int local_rows_find(const struct engine_rows *rows, const char *field) {
  return vecdb_rows_find(local_rows_of(rows), field);
}

static vecdb_value local_rows_value(const struct engine_rows *rows, size_t row, size_t column) {
  return vecdb_rows_value(local_rows_of(rows), row, column);
}

static const struct engine_rows_ops local_rows_ops = {
    .free = local_rows_free,
    .count = local_rows_count,
    .n_fields = local_rows_n_fields,
    .field = local_rows_field,
    .find = local_rows_find,
    .value = local_rows_value,
};

/* A frame for the rows that a call is to give; none where the caller wants none. */
static int local_rows_begin(struct engine_rows **wanted, struct local_rows **out,
                            vecdb_error *error) {
  if (!wanted)
    return VECDB_OK;
  *wanted = NULL;
  *out = calloc(1, sizeof **out);
  if (!*out)
    return local_no_memory(error);
  (*out)->base.ops = &local_rows_ops;
  return VECDB_OK;
}

/* Gives them, or nothing when the call has failed. */
static int local_rows_end(struct engine_rows **wanted, struct local_rows *own, int rc) {
  if (own && !rc)
    *wanted = &own->base;
  else
    free(own);
  return rc;
}

/* ---- Databases ---- */

static int local_close(struct engine *engine, vecdb_error *error) {
  int flushed = vecdb_flush_all(local_db(engine), NULL, error);
  int closed = vecdb_close(local_db(engine), error);
  free(engine);
  return flushed ? flushed : closed;
}

static int local_backup(struct engine *engine, const char *path, vecdb_error *error) {
  return vecdb_backup(local_db(engine), path, NULL, error);
}

static int local_memory_stats(struct engine *engine, vecdb_memory *out, vecdb_error *error) {
  return vecdb_memory_stats(local_db(engine), out, error);
}

static int local_rekey(struct engine *engine, const char *key_id, uint32_t flags,
                       vecdb_error *error) {
  return vecdb_rekey(local_db(engine), key_id, flags, error);
}

/* ---- Collections ---- */

static void local_collection_release(struct engine_collection *collection) {
  vecdb_collection_release(local_of(collection));
  free(collection);
}

/* A frame for a collection; what it shall hold is put there by a call of the library. */
static struct local_collection *local_frame(struct engine *engine, vecdb_error *error) {
  struct local_collection *own = calloc(1, sizeof *own);
  if (own)
    own->base.ops = engine->ops;
  else
    local_no_memory(error);
  return own;
}

static int local_give(struct local_collection *own, struct engine_collection **out, int rc) {
  if (!rc)
    *out = &own->base;
  else
    free(own);
  return rc;
}

static int local_collection_get(struct engine *engine, const char *name,
                                struct engine_collection **out, vecdb_error *error) {
  struct local_collection *own = local_frame(engine, error);
  *out = NULL;
  if (!own)
    return VECDB_ERR_NO_MEMORY;
  return local_give(own, out, vecdb_collection_get(local_db(engine), name, &own->collection,
                                                   error));
}

static int local_collection_create(struct engine *engine, const char *name,
                                   const vecdb_schema *schema, struct engine_collection **out,
                                   vecdb_error *error) {
  if (!out)
    return vecdb_collection_create(local_db(engine), name, schema, NULL, error);
  struct local_collection *own = local_frame(engine, error);
  *out = NULL;
  if (!own)
    return VECDB_ERR_NO_MEMORY;
  return local_give(own, out, vecdb_collection_create(local_db(engine), name, schema,
                                                      &own->collection, error));
}

static int local_collection_drop(struct engine *engine, const char *name, vecdb_error *error) {
  return vecdb_collection_drop(local_db(engine), name, error);
}

static int local_collection_list(struct engine *engine, int (*visit)(void *user, const char *name),
                                 void *user, vecdb_error *error) {
  return vecdb_collection_list(local_db(engine), visit, user, error);
}

static const char *local_collection_name(const struct engine_collection *collection) {
  return vecdb_collection_name(local_of(collection));
}

static const vecdb_schema *local_collection_schema(const struct engine_collection *collection) {
  return vecdb_collection_schema(local_of(collection));
}

static const char *local_expiry(const struct engine_collection *collection, uint64_t *ttl_ms) {
  return vecdb_expiry(local_of(collection), ttl_ms);
}

static int local_collection_stats(struct engine_collection *collection, vecdb_stats *out,
                                  vecdb_error *error) {
  return vecdb_collection_stats(local_of(collection), out, error);
}

static int local_fields_add(struct engine_collection *collection, const vecdb_schema *fields,
                            const vecdb_control *control, vecdb_error *error) {
  return vecdb_fields_add(local_of(collection), fields, control, error);
}

static int local_field_drop(struct engine_collection *collection, const char *field,
                            const vecdb_control *control, vecdb_error *error) {
  return vecdb_field_drop(local_of(collection), field, control, error);
}

static int local_field_rename(struct engine_collection *collection, const char *field,
                              const char *name, const vecdb_control *control, vecdb_error *error) {
  return vecdb_field_rename(local_of(collection), field, name, control, error);
}

static int local_json_index_create(struct engine_collection *collection, const char *field,
                                   const vecdb_json_index *index, const vecdb_control *control,
                                   vecdb_error *error) {
  return vecdb_json_index_create(local_of(collection), field, index, control, error);
}

static int local_json_index_drop(struct engine_collection *collection, const char *field,
                                 const vecdb_json_index *index, const vecdb_control *control,
                                 vecdb_error *error) {
  return vecdb_json_index_drop(local_of(collection), field, index, control, error);
}

static int local_expire(struct engine_collection *collection, const char *field, uint64_t ttl_ms,
                        const vecdb_control *control, vecdb_error *error) {
  return vecdb_expire(local_of(collection), field, ttl_ms, control, error);
}

static int local_optimizer_set(struct engine_collection *collection, const char *field,
                               const vecdb_optimizer *optimizer, const vecdb_control *control,
                               vecdb_error *error) {
  return vecdb_optimizer_set(local_of(collection), field, optimizer, control, error);
}

static int local_optimizer_get(struct engine_collection *collection, const char *field,
                               vecdb_optimizer *optimizer, vecdb_error *error) {
  return vecdb_optimizer_get(local_of(collection), field, optimizer, error);
}

static int local_flush(struct engine_collection *collection, const vecdb_control *control,
                       vecdb_error *error) {
  return vecdb_flush(local_of(collection), control, error);
}

static int local_compact(struct engine_collection *collection, const vecdb_control *control,
                         vecdb_error *error) {
  return vecdb_compact(local_of(collection), control, error);
}

static int local_index_create(struct engine_collection *collection, const char *field,
                              const vecdb_index_params *params, const vecdb_control *control,
                              vecdb_error *error) {
  return vecdb_index_create(local_of(collection), field, params, control, error);
}

static int local_index_drop(struct engine_collection *collection, const char *field,
                            vecdb_error *error) {
  return vecdb_index_drop(local_of(collection), field, error);
}

/* ---- Writes ---- */

static int local_insert(struct engine_collection *collection, const vecdb_batch *batch,
                        int64_t *ids, vecdb_error *error) {
  return vecdb_insert(local_of(collection), batch, ids, error);
}

static int local_upsert(struct engine_collection *collection, const vecdb_batch *batch,
                        int64_t *ids, vecdb_error *error) {
  return vecdb_upsert(local_of(collection), batch, ids, error);
}

static int local_update(struct engine_collection *collection, const vecdb_batch *batch,
                        uint32_t flags, uint8_t *found, vecdb_error *error) {
  return vecdb_update(local_of(collection), batch, flags, found, error);
}

static int local_push(struct engine_collection *collection, const vecdb_push_params *params,
                      uint64_t *versions, vecdb_error *error) {
  return vecdb_push(local_of(collection), params, versions, error);
}

static int local_delete(struct engine_collection *collection, const vecdb_keys *keys,
                        uint64_t *deleted, vecdb_error *error) {
  return vecdb_delete(local_of(collection), keys, deleted, error);
}

static int local_delete_where(struct engine_collection *collection, const vecdb_filter *filter,
                              uint64_t *deleted, const vecdb_control *control, vecdb_error *error) {
  return vecdb_delete_where(local_of(collection), filter, deleted, control, error);
}

/* ---- Reads ---- */

static int local_search(struct engine_collection *collection, const vecdb_search_params *params,
                        vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                        struct engine_rows **rows, vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(rows, &own, error);
  if (!rc)
    rc = vecdb_search(local_of(collection), params, hits, counts, info, own ? &own->rows : NULL,
                      error);
  return local_rows_end(rows, own, rc);
}

static int local_search_range(struct engine_collection *collection,
                              const vecdb_search_params *params, float radius, vecdb_hit *hits,
                              uint32_t *count, vecdb_search_info *info, struct engine_rows **rows,
                              vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(rows, &own, error);
  if (!rc)
    rc = vecdb_search_range(local_of(collection), params, radius, hits, count, info,
                            own ? &own->rows : NULL, error);
  return local_rows_end(rows, own, rc);
}

static int local_search_groups(struct engine_collection *collection,
                               const vecdb_search_params *params, const vecdb_group_by *by,
                               vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                               struct engine_rows **rows, vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(rows, &own, error);
  if (!rc)
    rc = vecdb_search_groups(local_of(collection), params, by, hits, counts, info,
                             own ? &own->rows : NULL, error);
  return local_rows_end(rows, own, rc);
}

static int local_search_hybrid(struct engine_collection *collection,
                               const vecdb_hybrid_params *params, vecdb_hit *hits, uint32_t *counts,
                               vecdb_search_info *info, struct engine_rows **rows,
                               vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(rows, &own, error);
  if (!rc)
    rc = vecdb_search_hybrid(local_of(collection), params, hits, counts, info,
                             own ? &own->rows : NULL, error);
  return local_rows_end(rows, own, rc);
}

static int local_explain(struct engine_collection *collection, const vecdb_search_params *params,
                         char *text, size_t capacity, size_t *length, vecdb_error *error) {
  return vecdb_explain(local_of(collection), params, text, capacity, length, error);
}

static int local_query(struct engine_collection *collection, const vecdb_query_params *params,
                       struct engine_rows **out, vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(out, &own, error);
  if (!rc)
    rc = vecdb_query(local_of(collection), params, own ? &own->rows : NULL, error);
  return local_rows_end(out, own, rc);
}

static int local_count(struct engine_collection *collection, const vecdb_filter *filter,
                       uint64_t *count, vecdb_error *error) {
  return vecdb_count(local_of(collection), filter, count, error);
}

static int local_sparse_counts(struct engine_collection *collection, const char *field,
                               const vecdb_filter *filter, const uint32_t *indices, size_t n,
                               uint64_t *counts, uint64_t *rows, vecdb_error *error) {
  return vecdb_sparse_counts(local_of(collection), field, filter, indices, n, counts, rows, error);
}

static int local_get(struct engine_collection *collection, const vecdb_keys *keys,
                     const char *const *fields, size_t n_fields, uint8_t *found,
                     struct engine_rows **out, vecdb_error *error) {
  struct local_rows *own = NULL;
  int rc = local_rows_begin(out, &own, error);
  if (!rc)
    rc = vecdb_get(local_of(collection), keys, fields, n_fields, found, own ? &own->rows : NULL,
                   error);
  return local_rows_end(out, own, rc);
}

static int local_pull(struct engine_collection *collection, const char *field,
                      const vecdb_keys *keys, float *values, size_t stride, uint64_t *versions,
                      vecdb_error *error) {
  return vecdb_pull(local_of(collection), field, keys, values, stride, versions, error);
}

/* ---- The table ---- */

static const struct engine_ops local_ops = {
    .close = local_close,
    .backup = local_backup,
    .rekey = local_rekey,
    .memory_stats = local_memory_stats,
    .collection_create = local_collection_create,
    .collection_get = local_collection_get,
    .collection_drop = local_collection_drop,
    .collection_list = local_collection_list,
    .collection_release = local_collection_release,
    .collection_name = local_collection_name,
    .collection_schema = local_collection_schema,
    .expiry = local_expiry,
    .collection_stats = local_collection_stats,
    .fields_add = local_fields_add,
    .field_drop = local_field_drop,
    .field_rename = local_field_rename,
    .json_index_create = local_json_index_create,
    .json_index_drop = local_json_index_drop,
    .expire = local_expire,
    .optimizer_set = local_optimizer_set,
    .optimizer_get = local_optimizer_get,
    .flush = local_flush,
    .compact = local_compact,
    .index_create = local_index_create,
    .index_drop = local_index_drop,
    .insert = local_insert,
    .upsert = local_upsert,
    .update = local_update,
    .push = local_push,
    .delete = local_delete,
    .delete_where = local_delete_where,
    .search = local_search,
    .search_range = local_search_range,
    .search_groups = local_search_groups,
    .search_hybrid = local_search_hybrid,
    .explain = local_explain,
    .query = local_query,
    .count = local_count,
    .sparse_counts = local_sparse_counts,
    .get = local_get,
    .pull = local_pull,
};

struct engine *engine_local_open(const char *path, const vecdb_options *options,
                                 vecdb_error *error) {
  struct local *local = calloc(1, sizeof *local);
  if (!local) {
    local_no_memory(error);
    return NULL;
  }
  local->engine.ops = &local_ops;
  if (vecdb_open(path, options, &local->db, error) == VECDB_OK)
    return &local->engine;
  free(local);
  return NULL;
}
