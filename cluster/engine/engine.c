/* engine.c - calls through the table of an engine; see engine.h. */
#include <stdio.h>
#include <string.h>

#include "client/vecdb_client.h"
#include "engine/ops.h"

int engine_fail(vecdb_error *error, int code, const char *words) {
  if (error) {
    *error = (vecdb_error){.code = code, .row = -1, .position = -1};
    snprintf(error->message, sizeof error->message, "%s", words);
  }
  return code;
}

/* Behind its prefix: VECDB_ERR_ or VECDB_CLIENT_. */
const char *engine_code_name(int code) {
  static const char ours[] = "VECDB_CLIENT_", library[] = "VECDB_ERR_";
  const char *name = vecdb_client_code_name(code);
  if (*name)
    return name + sizeof ours - 1;
  name = vecdb_status_name(code);
  return strncmp(name, library, sizeof library - 1) == 0 ? name + sizeof library - 1 : name;
}

/* What the engine does not offer is named by `what`. */
static int engine_lacks(vecdb_error *error, const char *what) {
  char words[sizeof error->message];
  snprintf(words, sizeof words, "a cluster does not offer this yet: %s", what);
  return engine_fail(error, VECDB_ERR_UNSUPPORTED, words);
}

#define ENGINE_CALL(of, name, what, ...) \
  ((of)->ops->name ? (of)->ops->name(of, __VA_ARGS__) : engine_lacks(error, what))

/* ---- Databases and collections ---- */

int engine_close(struct engine *engine, vecdb_error *error) {
  return engine->ops->close(engine, error);
}

int engine_backup(struct engine *engine, const char *path, vecdb_error *error) {
  return ENGINE_CALL(engine, backup, "snapshots", path, error);
}

int engine_memory_stats(struct engine *engine, vecdb_memory *out, vecdb_error *error) {
  return ENGINE_CALL(engine, memory_stats, "memory by purpose", out, error);
}

int engine_rekey(struct engine *engine, const char *key_id, uint32_t flags, vecdb_error *error) {
  return ENGINE_CALL(engine, rekey, "keys", key_id, flags, error);
}

int engine_collection_create(struct engine *engine, const char *name, const vecdb_schema *schema,
                             struct engine_collection **out, vecdb_error *error) {
  return engine->ops->collection_create(engine, name, schema, out, error);
}

int engine_collection_get(struct engine *engine, const char *name, struct engine_collection **out,
                          vecdb_error *error) {
  return engine->ops->collection_get(engine, name, out, error);
}

int engine_collection_drop(struct engine *engine, const char *name, vecdb_error *error) {
  return engine->ops->collection_drop(engine, name, error);
}

int engine_collection_list(struct engine *engine, int (*visit)(void *user, const char *name),
                           void *user, vecdb_error *error) {
  return engine->ops->collection_list(engine, visit, user, error);
}

void engine_collection_release(struct engine_collection *collection) {
  if (collection)
    collection->ops->collection_release(collection);
}

const char *engine_collection_name(const struct engine_collection *collection) {
  return collection->ops->collection_name(collection);
}

const vecdb_schema *engine_collection_schema(const struct engine_collection *collection) {
  return collection->ops->collection_schema(collection);
}

const char *engine_expiry(const struct engine_collection *collection, uint64_t *ttl_ms) {
  return collection->ops->expiry ? collection->ops->expiry(collection, ttl_ms) : NULL;
}

int engine_collection_stats(struct engine_collection *collection, vecdb_stats *out,
                            vecdb_error *error) {
  return collection->ops->collection_stats(collection, out, error);
}

int engine_replicas(struct engine_collection *collection,
                    void (*visit)(void *user, const struct engine_replica *replica), void *user,
                    vecdb_error *error) {
  return collection->ops->replicas ? collection->ops->replicas(collection, visit, user, error)
                                   : VECDB_OK;
}

bool engine_age(const struct engine_collection *collection, uint64_t *age_ms) {
  return collection->ops->age && collection->ops->age(collection, age_ms);
}

bool engine_copies(const struct engine *engine, bool *up,
                   void (*visit)(void *user, const struct engine_copy *copy), void *user) {
  return engine->ops->copies && engine->ops->copies(engine, up, visit, user);
}

int engine_fields_add(struct engine_collection *collection, const vecdb_schema *fields,
                      const vecdb_control *control, vecdb_error *error) {
  return ENGINE_CALL(collection, fields_add, "new fields", fields, control, error);
}

int engine_field_drop(struct engine_collection *collection, const char *field,
                      const vecdb_control *control, vecdb_error *error) {
  return ENGINE_CALL(collection, field_drop, "dropping a field", field, control, error);
}

int engine_field_rename(struct engine_collection *collection, const char *field, const char *name,
                        const vecdb_control *control, vecdb_error *error) {
  return ENGINE_CALL(collection, field_rename, "renaming a field", field, name, control, error);
}

int engine_json_index_create(struct engine_collection *collection, const char *field,
                             const vecdb_json_index *index, const vecdb_control *control,
                             vecdb_error *error) {
  return ENGINE_CALL(collection, json_index_create, "an index of a JSON path", field, index,
                     control, error);
}

int engine_json_index_drop(struct engine_collection *collection, const char *field,
                           const vecdb_json_index *index, const vecdb_control *control,
                           vecdb_error *error) {
  return ENGINE_CALL(collection, json_index_drop, "dropping an index of a JSON path", field, index,
                     control, error);
}

int engine_expire(struct engine_collection *collection, const char *field, uint64_t ttl_ms,
                  const vecdb_control *control, vecdb_error *error) {
  return ENGINE_CALL(collection, expire, "rows that expire", field, ttl_ms, control, error);
}

int engine_optimizer_set(struct engine_collection *collection, const char *field,
                         const vecdb_optimizer *optimizer, const vecdb_control *control,
                         vecdb_error *error) {
  return ENGINE_CALL(collection, optimizer_set, "vectors that learn", field, optimizer, control,
                     error);
}

int engine_optimizer_get(struct engine_collection *collection, const char *field,
                         vecdb_optimizer *optimizer, vecdb_error *error) {
  return ENGINE_CALL(collection, optimizer_get, "vectors that learn", field, optimizer, error);
}

int engine_flush(struct engine_collection *collection, const vecdb_control *control,
                 vecdb_error *error) {
  return ENGINE_CALL(collection, flush, "flush", control, error);
}

int engine_compact(struct engine_collection *collection, const vecdb_control *control,
                   vecdb_error *error) {
  return ENGINE_CALL(collection, compact, "compact", control, error);
}

int engine_index_create(struct engine_collection *collection, const char *field,
                        const vecdb_index_params *params, const vecdb_control *control,
                        vecdb_error *error) {
  return ENGINE_CALL(collection, index_create, "another index", field, params, control, error);
}

bool engine_plans_here(const struct engine_collection *collection) {
  return collection->ops->explain && !collection->ops->replicas;
}

bool engine_takes_index(const struct engine_collection *collection) {
  return collection->ops->index_create != NULL;
}

int engine_index_drop(struct engine_collection *collection, const char *field, vecdb_error *error) {
  return ENGINE_CALL(collection, index_drop, "dropping an index", field, error);
}

/* ---- Writes ---- */

bool engine_has_numbers(const struct engine *engine) { return engine->ops->numbers != NULL; }

int engine_numbers(struct engine *engine, uint32_t n, int64_t *first, vecdb_error *error) {
  return engine->ops->numbers
             ? engine->ops->numbers(engine, n, first, error)
             : engine_fail(error, VECDB_ERR_UNSUPPORTED, "rows are numbered by the database");
}

int engine_insert(struct engine_collection *collection, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error) {
  return collection->ops->insert(collection, batch, ids, error);
}

int engine_upsert(struct engine_collection *collection, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error) {
  return collection->ops->upsert(collection, batch, ids, error);
}

int engine_update(struct engine_collection *collection, const vecdb_batch *batch, uint32_t flags,
                  uint8_t *found, vecdb_error *error) {
  return ENGINE_CALL(collection, update, "updates of some fields", batch, flags, found, error);
}

int engine_push(struct engine_collection *collection, const vecdb_push_params *params,
                uint64_t *versions, vecdb_error *error) {
  return ENGINE_CALL(collection, push, "vectors that learn", params, versions, error);
}

int engine_delete(struct engine_collection *collection, const vecdb_keys *keys, uint64_t *deleted,
                  vecdb_error *error) {
  return collection->ops->delete (collection, keys, deleted, error);
}

int engine_delete_where(struct engine_collection *collection, const vecdb_filter *filter,
                        uint64_t *deleted, const vecdb_control *control, vecdb_error *error) {
  return collection->ops->delete_where(collection, filter, deleted, control, error);
}

/* ---- Reads ---- */

int engine_search(struct engine_collection *collection, const vecdb_search_params *params,
                  vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                  struct engine_rows **rows, vecdb_error *error) {
  return collection->ops->search(collection, params, hits, counts, info, rows, error);
}

int engine_search_range(struct engine_collection *collection, const vecdb_search_params *params,
                        float radius, vecdb_hit *hits, uint32_t *count, vecdb_search_info *info,
                        struct engine_rows **rows, vecdb_error *error) {
  return ENGINE_CALL(collection, search_range, "searches by radius", params, radius, hits, count,
                     info, rows, error);
}

int engine_search_groups(struct engine_collection *collection, const vecdb_search_params *params,
                         const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                         vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error) {
  return ENGINE_CALL(collection, search_groups, "searches for groups", params, by, hits, counts,
                     info, rows, error);
}

int engine_search_hybrid(struct engine_collection *collection, const vecdb_hybrid_params *params,
                         vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                         struct engine_rows **rows, vecdb_error *error) {
  return ENGINE_CALL(collection, search_hybrid, "searches of several vectors", params, hits, counts,
                     info, rows, error);
}

int engine_explain(struct engine_collection *collection, const vecdb_search_params *params,
                   char *text, size_t capacity, size_t *length, vecdb_error *error) {
  return ENGINE_CALL(collection, explain, "plans", params, text, capacity, length, error);
}

int engine_query(struct engine_collection *collection, const vecdb_query_params *params,
                 struct engine_rows **out, vecdb_error *error) {
  return collection->ops->query(collection, params, out, error);
}

int engine_count(struct engine_collection *collection, const vecdb_filter *filter, uint64_t *count,
                 vecdb_error *error) {
  return collection->ops->count(collection, filter, count, error);
}

int engine_sparse_counts(struct engine_collection *collection, const char *field,
                         const vecdb_filter *filter, const uint32_t *indices, size_t n,
                         uint64_t *counts, uint64_t *rows, vecdb_error *error) {
  return ENGINE_CALL(collection, sparse_counts, "counts of sparse indices", field, filter, indices,
                     n, counts, rows, error);
}

int engine_get(struct engine_collection *collection, const vecdb_keys *keys,
               const char *const *fields, size_t n_fields, uint8_t *found, struct engine_rows **out,
               vecdb_error *error) {
  return collection->ops->get(collection, keys, fields, n_fields, found, out, error);
}

int engine_pull(struct engine_collection *collection, const char *field, const vecdb_keys *keys,
                float *values, size_t stride, uint64_t *versions, vecdb_error *error) {
  return ENGINE_CALL(collection, pull, "vectors that learn", field, keys, values, stride, versions,
                     error);
}

/* ---- Rows ---- */

void engine_rows_free(struct engine_rows *rows) {
  if (rows)
    rows->ops->free(rows);
}

size_t engine_rows_count(const struct engine_rows *rows) { return rows->ops->count(rows); }

size_t engine_rows_n_fields(const struct engine_rows *rows) { return rows->ops->n_fields(rows); }

const char *engine_rows_field(const struct engine_rows *rows, size_t i) {
  return rows->ops->field(rows, i);
}

int engine_rows_find(const struct engine_rows *rows, const char *field) {
  return rows->ops->find(rows, field);
}

vecdb_value engine_rows_value(const struct engine_rows *rows, size_t row, size_t column) {
  return rows->ops->value(rows, row, column);
}
