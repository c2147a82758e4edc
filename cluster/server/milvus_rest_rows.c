/* milvus_rest_rows.c - rows and searches of Milvus's REST interface; see milvus_rest.h. */
#include <string.h>

#include "server/guard.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus_names.h"
#include "server/milvus_rest.h"
#include "server/observe.h"
#include "server/server.h"

enum { ROWS_LIMIT = 100 };

/* ---- Writes ---------------------------------------------------------------------------------- */

typedef int milvus_write(struct srv_call *call, vecdb_collection *collection,
                         const vecdb_batch *batch, int64_t *ids, vecdb_error *error);

static void milvus_put(struct srv_call *call, vecdb_collection *collection, json_t *rows,
                       milvus_write *write, const char *count_name, const char *ids_name) {
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  const vecdb_field *key = srv_schema_key(schema);
  vecdb_batch batch;
  vecdb_error error;
  if (!srv_rows_read(call, schema, rows, &batch))
    return;
  int64_t *ids = srv_arena_array(&call->arena, batch.n_rows, sizeof *ids);
  if (!ids) {
    srv_call_no_memory(call);
    return;
  }
  bool integers = key->type != VECDB_VARCHAR;
  if (write(call, collection, &batch, integers ? ids : NULL, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  json_t *out = json_array();
  for (uint32_t i = 0; i < batch.n_rows; i++) {
    if (integers)
      json_array_append_new(out, json_integer(ids[i]));
    else
      json_array_append(out, json_object_get(json_array_get(rows, i), key->name));
  }
  srv_milvus_answer(call, json_pack("{s:i, s:o}", count_name, (int)batch.n_rows, ids_name, out));
}

/* "data" is a row or an array of rows. */
static void milvus_rows(struct srv_call *call, milvus_write *write, const char *count_name,
                        const char *ids_name) {
  static const char *const keys[] = {"collectionName", "dbName", "data", NULL};
  json_t *data = json_object_get(call->json, "data");
  if (!srv_only_keys(call, call->json, keys))
    return;
  if (!json_is_object(data) && !json_is_array(data)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"data\" must be a row or an array of rows");
    return;
  }
  vecdb_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  json_t *rows = json_is_object(data) ? json_pack("[O]", data) : json_incref(data);
  milvus_put(call, collection, rows, write, count_name, ids_name);
  json_decref(rows);
  vecdb_collection_release(collection);
}

void srv_milvus_insert(struct srv_call *call) {
  milvus_rows(call, srv_guard_insert, "insertCount", "insertIds");
}

void srv_milvus_upsert(struct srv_call *call) {
  milvus_rows(call, srv_guard_upsert, "upsertCount", "upsertIds");
}

/* ---- Filters and fields ---------------------------------------------------------------------- */

/* "filter" with "exprParams"; "" is none. */
static bool milvus_filter(struct srv_call *call, vecdb_filter *out) {
  *out = (vecdb_filter){NULL, 0, NULL, 0};
  json_t *words = json_pack("{s:O*, s:O*}", "filter", json_object_get(call->json, "filter"),
                            "params", json_object_get(call->json, "exprParams"));
  if (!words) {
    srv_call_no_memory(call);
    return false;
  }
  bool good = srv_filter_read(call, words, out);
  json_decref(words); /* the call's JSON holds what the filter borrows */
  if (good && out->text && !*out->text)
    *out = (vecdb_filter){NULL, 0, NULL, 0};
  return good;
}

/* "outputFields"; "*" among them, and in `all` none, stands for every field. */
static bool milvus_fields(struct srv_call *call, bool all, const char *const **fields, size_t *n) {
  static const char *const none[] = {NULL};
  *fields = NULL;
  *n = 0;
  if (!srv_take_names(call, call->json, "outputFields", fields, n))
    return false;
  for (size_t i = 0; i < *n; i++)
    if (strcmp((*fields)[i], "*") == 0) {
      *fields = NULL;
      *n = 0;
      return true;
    }
  if (*n == 0)
    *fields = all ? NULL : none;
  return true;
}

static json_t *milvus_list(const vecdb_rows *rows) {
  json_t *out = json_array();
  for (size_t i = 0; i < vecdb_rows_count(rows); i++)
    json_array_append_new(out, srv_row_write(rows, i, SIZE_MAX));
  return out;
}

/* ---- Reads ----------------------------------------------------------------------------------- */

void srv_milvus_delete(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "filter", "exprParams", NULL};
  vecdb_filter filter;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !milvus_filter(call, &filter))
    return;
  if (!filter.text) {
    srv_call_fail(call, 400, "ARGUMENT", "\"filter\" is missing");
    return;
  }
  vecdb_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  if (srv_guard_delete_where(call, collection, &filter, NULL, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_object());
  vecdb_collection_release(collection);
}

void srv_milvus_query(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName",           "filter",
                                     "exprParams",     "outputFields",     "limit",
                                     "offset",         "consistencyLevel", NULL};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  vecdb_rows *rows;
  vecdb_error error;
  params.limit = ROWS_LIMIT;
  control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  params.control = &control;
  if (!srv_only_keys(call, call->json, keys) || !milvus_filter(call, &params.filter) ||
      !milvus_fields(call, true, &params.fields, &params.n_fields) ||
      !srv_take_u32(call, call->json, "limit", &params.limit) ||
      !srv_take_number(call, call->json, "offset", INT64_MAX, &params.offset))
    return;
  vecdb_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  if (srv_guard_query(call, collection, &params, &rows, &error) != VECDB_OK) {
    srv_call_error(call, &error);
  } else {
    srv_milvus_answer(call, milvus_list(rows));
    vecdb_rows_free(rows);
  }
  vecdb_collection_release(collection);
}

void srv_milvus_get(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "id", "outputFields", NULL};
  const char *const *fields;
  size_t n_fields;
  vecdb_keys list;
  vecdb_rows *rows;
  vecdb_error error;
  json_t *id = json_object_get(call->json, "id");
  if (!srv_only_keys(call, call->json, keys) || !milvus_fields(call, true, &fields, &n_fields))
    return;
  if (!id) {
    srv_call_fail(call, 400, "ARGUMENT", "\"id\" is missing");
    return;
  }
  vecdb_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  json_t *ids = json_is_array(id) ? json_incref(id) : json_pack("[O]", id);
  const vecdb_field *key = srv_schema_key(vecdb_collection_schema(collection));
  if (srv_keys_read(call, key, ids, &list)) {
    struct srv_guard_fields wanted = {fields, n_fields};
    if (srv_guard_get(call, collection, &list, wanted, NULL, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      srv_milvus_answer(call, milvus_list(rows));
      vecdb_rows_free(rows);
    }
  }
  json_decref(ids);
  vecdb_collection_release(collection);
}

/* ---- Search ---------------------------------------------------------------------------------- */

struct milvus_search {
  struct srv_call *call;
  const vecdb_field *field;
  vecdb_search_params params;
  vecdb_control control;
  uint32_t limit, offset;
};

/* "searchParams": ef and nprobe stand in its "params", or beside them in older clients. */
static bool milvus_effort(struct milvus_search *s) {
  json_t *outer = json_object_get(s->call->json, "searchParams");
  json_t *inner = json_object_get(outer, "params");
  const char *metric = NULL;
  if (outer && !json_is_object(outer)) {
    srv_call_fail(s->call, 400, "ARGUMENT", "\"searchParams\" must be an object");
    return false;
  }
  if (!srv_take_text(s->call, outer, "metricType", &metric))
    return false;
  if (metric && srv_milvus_metric(metric) != s->field->metric) {
    srv_call_fail(s->call, 400, "ARGUMENT", "the metric is %s, not %.60s",
                  srv_milvus_metric_name(s->field->metric), metric);
    return false;
  }
  return srv_take_u32(s->call, outer, "ef", &s->params.ef) &&
         srv_take_u32(s->call, outer, "nprobe", &s->params.nprobe) &&
         srv_take_u32(s->call, inner, "ef", &s->params.ef) &&
         srv_take_u32(s->call, inner, "nprobe", &s->params.nprobe);
}

static bool milvus_queries(struct milvus_search *s) {
  json_t *data = NULL;
  uint32_t unused;
  if (!srv_take_array(s->call, s->call->json, "data", &data))
    return false;
  size_t n = json_array_size(data), bytes = srv_value_bytes(s->field);
  if (n == 0 || n > VECDB_MAX_QUERIES) {
    srv_call_fail(s->call, 400, "LIMIT", "\"data\" must have 1 to %d vectors", VECDB_MAX_QUERIES);
    return false;
  }
  uint8_t *queries = srv_arena_array(&s->call->arena, n, bytes);
  if (!queries) {
    srv_call_no_memory(s->call);
    return false;
  }
  for (size_t i = 0; i < n; i++)
    if (!srv_value_read(s->call, s->field, json_array_get(data, i), queries + i * bytes, &unused)) {
      srv_call_fail(s->call, 400, "DIMENSION", "query %zu is no vector for \"%s\"", i,
                    s->field->name);
      return false;
    }
  s->params.queries = queries;
  s->params.n_queries = (uint32_t)n;
  return true;
}

static bool milvus_options(struct milvus_search *s, const vecdb_schema *schema) {
  static const char *const keys[] = {
      "collectionName",   "dbName", "data",       "annsField",    "limit",
      "offset",           "filter", "exprParams", "outputFields", "searchParams",
      "consistencyLevel", NULL};
  struct srv_call *call = s->call;
  const char *name = NULL;
  s->limit = ROWS_LIMIT;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_take_text(call, call->json, "annsField", &name) ||
      !srv_take_u32(call, call->json, "limit", &s->limit) ||
      !srv_take_u32(call, call->json, "offset", &s->offset) ||
      !milvus_filter(call, &s->params.filter) ||
      !milvus_fields(call, false, &s->params.fields, &s->params.n_fields))
    return false;
  s->field = name && *name ? srv_schema_field(schema, name) : srv_schema_vector(schema);
  if (!s->field || !srv_type_is_vector(s->field->type)) {
    srv_call_fail(call, 400, "UNKNOWN_FIELD", "there is no vector field \"%.100s\"",
                  name ? name : "");
    return false;
  }
  uint64_t k = (uint64_t)s->limit + s->offset;
  s->params.k = s->limit && k <= VECDB_MAX_K ? (uint32_t)k : 0;
  s->params.field = s->field->name;
  s->control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  s->params.control = &s->control;
  if (s->params.k)
    return milvus_effort(s) && milvus_queries(s);
  srv_call_fail(call, 400, "K", "\"limit\" and \"offset\" must be 1 to %d together", VECDB_MAX_K);
  return false;
}

/* The hits of all queries, one after the other; "topks" tells how many each has. */
static void milvus_run(struct milvus_search *s, vecdb_collection *collection) {
  struct srv_call *call = s->call;
  uint32_t k = s->params.k, n = s->params.n_queries;
  vecdb_hit *hits = srv_arena_array(&call->arena, (size_t)n * k, sizeof *hits);
  uint32_t *counts = srv_arena_array(&call->arena, n, sizeof *counts);
  vecdb_rows *rows;
  vecdb_error error;
  if (!hits || !counts) {
    srv_call_no_memory(call);
    return;
  }
  if (srv_search_run(call, collection, &s->params, hits, counts, NULL, &rows, &error) !=
      VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  json_t *out = json_array(), *topks = json_array();
  for (uint32_t q = 0; q < n; q++) {
    uint32_t first = s->offset < counts[q] ? s->offset : counts[q];
    json_array_append_new(topks, json_integer(counts[q] - first));
    for (uint32_t i = first; i < counts[q]; i++) {
      const vecdb_hit *hit = &hits[(size_t)q * k + i];
      json_t *one = srv_row_write(rows, hit->row, SIZE_MAX);
      json_object_set_new(one, "distance", json_real((double)hit->score));
      json_array_append_new(out, one);
    }
  }
  vecdb_rows_free(rows);
  srv_call_answer(
      call, 200,
      json_pack("{s:i, s:o, s:o, s:i}", "code", 0, "data", out, "topks", topks, "cost", 0));
}

void srv_milvus_search(struct srv_call *call) {
  vecdb_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  struct milvus_search s = {.call = call};
  s.params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  s.control = (vecdb_control)VECDB_CONTROL_INIT;
  if (milvus_options(&s, vecdb_collection_schema(collection)))
    milvus_run(&s, collection);
  vecdb_collection_release(collection);
}
