/* milvus_rest_rows.c - rows and searches of Milvus's REST interface; see milvus_rest.h. */
#include <string.h>

#include "server/guard.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus_names.h"
#include "server/milvus_rest.h"
#include "server/server.h"
#include "server/tenant.h"

enum { ROWS_LIMIT = 100 };
#define ROWS_COUNT "count(*)"

/* ---- Writes ---------------------------------------------------------------------------------- */

typedef int milvus_write(struct srv_call *call, struct engine_collection *collection,
                         const vecdb_batch *batch, int64_t *ids, vecdb_error *error);

static void milvus_put(struct srv_call *call, struct engine_collection *collection, json_t *rows,
                       milvus_write *write, const char *count_name, const char *ids_name) {
  const vecdb_schema *schema = engine_collection_schema(collection);
  const vecdb_field *key = srv_schema_key(schema);
  vecdb_batch batch;
  vecdb_error error;
  if (!srv_rows_read(call, schema, rows, &batch) || !srv_milvus_written(call, schema, &batch))
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

/* Fields that rows do not name stay as they are in rows that are there. */
static int milvus_partial(struct srv_call *call, struct engine_collection *collection,
                          const vecdb_batch *batch, int64_t *ids, vecdb_error *error) {
  const vecdb_field *key = srv_schema_key(engine_collection_schema(collection));
  const vecdb_column *column = srv_batch_column(batch, key->name);
  for (uint32_t i = 0; ids && column && i < batch->n_rows; i++)
    ids[i] = srv_batch_value(key, column, i).as.integer;
  return srv_guard_update(call, collection, batch, VECDB_UPDATE_INSERT, NULL, error);
}

/* "data" is a row or an array of rows. */
static void milvus_rows(struct srv_call *call, milvus_write *write, const char *count_name,
                        const char *ids_name) {
  json_t *data = json_object_get(call->json, "data");
  if (!json_is_object(data) && !json_is_array(data)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"data\" must be a row or an array of rows");
    return;
  }
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  json_t *given = json_is_object(data) ? json_pack("[O]", data) : json_incref(data);
  json_t *rows = srv_milvus_fold(call, engine_collection_schema(collection), given);
  if (rows)
    milvus_put(call, collection, rows, write, count_name, ids_name);
  json_decref(rows);
  json_decref(given);
  engine_collection_release(collection);
}

void srv_milvus_insert(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "data", NULL};
  if (srv_only_keys(call, call->json, keys))
    milvus_rows(call, srv_guard_insert, "insertCount", "insertIds");
}

void srv_milvus_upsert(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "data", "partialUpdate", NULL};
  bool partial = false;
  if (srv_only_keys(call, call->json, keys) &&
      srv_take_flag(call, call->json, "partialUpdate", &partial))
    milvus_rows(call, partial ? milvus_partial : srv_guard_upsert, "upsertCount", "upsertIds");
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
static bool milvus_fields(struct srv_call *call, bool all, struct srv_milvus_wanted *wanted) {
  static const char *const none[] = {NULL};
  memset(wanted, 0, sizeof *wanted);
  if (!srv_take_names(call, call->json, "outputFields", &wanted->fields, &wanted->n_fields))
    return false;
  for (size_t i = 0; i < wanted->n_fields; i++)
    if (strcmp(wanted->fields[i], "*") == 0) {
      wanted->fields = NULL;
      wanted->n_fields = 0;
      return true;
    }
  if (wanted->n_fields == 0)
    wanted->fields = all ? NULL : none;
  return true;
}

static json_t *milvus_list(const struct srv_milvus_wanted *wanted, const struct engine_rows *rows) {
  json_t *out = json_array();
  for (size_t i = 0; i < engine_rows_count(rows); i++)
    json_array_append_new(out, srv_milvus_row(wanted, rows, i, SIZE_MAX));
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
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  if (srv_milvus_names(call, engine_collection_schema(collection), &filter)) {
    if (srv_guard_delete_where(call, collection, &filter, NULL, &error) != VECDB_OK)
      srv_call_error(call, &error);
    else
      srv_milvus_answer(call, json_object());
  }
  engine_collection_release(collection);
}

/* Whether no rows are asked for, but how many there are: "limit" and "offset" mean nothing then. */
static bool milvus_counts(const struct srv_milvus_wanted *wanted) {
  return wanted->fields && wanted->n_fields == 1 && strcmp(wanted->fields[0], ROWS_COUNT) == 0;
}

static void milvus_count(struct srv_call *call, struct engine_collection *collection,
                         const vecdb_filter *filter) {
  uint64_t count;
  vecdb_error error;
  if (srv_guard_count(call, collection, filter->text ? filter : NULL, &count, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_pack("[{s:I}]", ROWS_COUNT, (json_int_t)count));
}

static void milvus_query_rows(struct srv_call *call, struct engine_collection *collection,
                              struct srv_milvus_wanted *wanted, vecdb_query_params *params) {
  struct engine_rows *rows;
  vecdb_error error;
  if (!srv_milvus_settle(call, engine_collection_schema(collection), wanted))
    return;
  params->fields = wanted->fields;
  params->n_fields = wanted->n_fields;
  if (srv_guard_query(call, collection, params, &rows, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  srv_milvus_answer(call, milvus_list(wanted, rows));
  engine_rows_free(rows);
}

void srv_milvus_query(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName",           "filter",
                                     "exprParams",     "outputFields",     "limit",
                                     "offset",         "consistencyLevel", NULL};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  struct srv_milvus_wanted wanted;
  params.limit = ROWS_LIMIT;
  control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  params.control = &control;
  if (!srv_only_keys(call, call->json, keys) || !milvus_filter(call, &params.filter) ||
      !milvus_fields(call, true, &wanted) ||
      !srv_take_u32(call, call->json, "limit", &params.limit) ||
      !srv_take_number(call, call->json, "offset", INT64_MAX, &params.offset))
    return;
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  if (srv_milvus_names(call, engine_collection_schema(collection), &params.filter)) {
    if (milvus_counts(&wanted))
      milvus_count(call, collection, &params.filter);
    else
      milvus_query_rows(call, collection, &wanted, &params);
  }
  engine_collection_release(collection);
}

void srv_milvus_get(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "id", "outputFields", NULL};
  struct srv_milvus_wanted wanted;
  vecdb_keys list;
  struct engine_rows *rows;
  vecdb_error error;
  json_t *id = json_object_get(call->json, "id");
  if (!srv_only_keys(call, call->json, keys) || !milvus_fields(call, true, &wanted))
    return;
  if (!id) {
    srv_call_fail(call, 400, "ARGUMENT", "\"id\" is missing");
    return;
  }
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  json_t *ids = json_is_array(id) ? json_incref(id) : json_pack("[O]", id);
  const vecdb_schema *schema = engine_collection_schema(collection);
  if (srv_keys_read(call, srv_schema_key(schema), ids, &list) &&
      srv_milvus_settle(call, schema, &wanted)) {
    struct srv_guard_fields fields = {wanted.fields, wanted.n_fields};
    if (srv_guard_get(call, collection, &list, fields, NULL, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      srv_milvus_answer(call, milvus_list(&wanted, rows));
      engine_rows_free(rows);
    }
  }
  json_decref(ids);
  engine_collection_release(collection);
}

/* ---- Search ---------------------------------------------------------------------------------- */

struct milvus_search {
  struct srv_call *call;
  const vecdb_field *field;
  vecdb_search_params params;
  struct srv_milvus_wanted wanted;
  vecdb_control control;
  vecdb_group_by group; /* field NULL: hits are not grouped; "limit" and "offset" count groups */
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

/* "groupingField" and "groupSize". Groups are full wherever there are rows for it, so that
   "strictGroupSize" asks for nothing more. */
static bool milvus_grouping(struct milvus_search *s, const vecdb_schema *schema) {
  struct srv_call *call = s->call;
  const char *name = NULL;
  bool strict;
  s->group = (vecdb_group_by)VECDB_GROUP_BY_INIT;
  s->group.hits = 1;
  if (!srv_take_text(call, call->json, "groupingField", &name) ||
      !srv_take_u32(call, call->json, "groupSize", &s->group.hits) ||
      !srv_take_flag(call, call->json, "strictGroupSize", &strict))
    return false;
  const vecdb_field *field = name && *name ? srv_schema_field(schema, name) : NULL;
  if (name && *name && !field) {
    srv_call_fail(call, 400, "UNKNOWN_FIELD", "there is no field \"%.100s\"", name);
    return false;
  }
  s->group.field = field ? field->name : NULL;
  if (!field)
    s->group.hits = 1;
  if (s->group.hits > 0 && s->group.hits <= VECDB_MAX_K / s->params.k)
    return true;
  srv_call_fail(call, 400, "K", "\"limit\" and \"offset\" times \"groupSize\" must be 1 to %d",
                VECDB_MAX_K);
  return false;
}

static bool milvus_options(struct milvus_search *s, const vecdb_schema *schema) {
  static const char *const keys[] = {
      "collectionName",   "dbName",        "data",       "annsField",       "limit",
      "offset",           "filter",        "exprParams", "outputFields",    "searchParams",
      "consistencyLevel", "groupingField", "groupSize",  "strictGroupSize", NULL};
  struct srv_call *call = s->call;
  const char *name = NULL;
  s->limit = ROWS_LIMIT;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_take_text(call, call->json, "annsField", &name) ||
      !srv_take_u32(call, call->json, "limit", &s->limit) ||
      !srv_take_u32(call, call->json, "offset", &s->offset) ||
      !milvus_filter(call, &s->params.filter) ||
      !srv_milvus_names(call, schema, &s->params.filter) ||
      !milvus_fields(call, false, &s->wanted) || !srv_milvus_settle(call, schema, &s->wanted))
    return false;
  s->params.fields = s->wanted.fields;
  s->params.n_fields = s->wanted.n_fields;
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
    return milvus_effort(s) && milvus_queries(s) && milvus_grouping(s, schema);
  srv_call_fail(call, 400, "K", "\"limit\" and \"offset\" must be 1 to %d together", VECDB_MAX_K);
  return false;
}

static int milvus_find(struct milvus_search *s, struct engine_collection *collection,
                       vecdb_hit *hits, uint32_t *counts, struct engine_rows **rows,
                       vecdb_error *error) {
  if (!s->group.field)
    return srv_guard_search(s->call, collection, &s->params, hits, counts, NULL, rows, error);
  return srv_guard_search_groups(s->call, collection, &s->params, &s->group, hits, counts, NULL,
                                 rows, error);
}

/* Adds the hits of a list after the first `skip`; how many. */
static uint32_t milvus_hits(const struct srv_milvus_wanted *wanted, const vecdb_hit *hits,
                            uint32_t n, uint32_t skip, const struct engine_rows *rows,
                            json_t *out) {
  uint32_t first = skip < n ? skip : n;
  for (uint32_t i = first; i < n; i++) {
    json_t *one = srv_milvus_row(wanted, rows, hits[i].row, SIZE_MAX);
    json_object_set_new(one, "distance", json_real((double)hits[i].score));
    json_array_append_new(out, one);
  }
  return n - first;
}

/* The hits of query q after the offset: of one list, or of groups, one after the other. */
static uint32_t milvus_hits_of(const struct milvus_search *s, uint32_t q, const vecdb_hit *hits,
                               const uint32_t *counts, const struct engine_rows *rows,
                               json_t *out) {
  size_t k = s->params.k, size = s->group.hits;
  uint32_t n = 0;
  if (!s->group.field)
    return milvus_hits(&s->wanted, hits + q * k, counts[q], s->offset, rows, out);
  for (size_t g = q * k + s->offset; g < (q + 1) * k; g++)
    n += milvus_hits(&s->wanted, hits + g * size, counts[g], 0, rows, out);
  return n;
}

/* The hits of all queries, one after the other; "topks" tells how many each has. */
static void milvus_run(struct milvus_search *s, struct engine_collection *collection) {
  struct srv_call *call = s->call;
  size_t lists = (size_t)s->params.n_queries * s->params.k;
  vecdb_hit *hits = srv_arena_array(&call->arena, lists * s->group.hits, sizeof *hits);
  uint32_t *counts = srv_arena_array(&call->arena, lists, sizeof *counts);
  struct engine_rows *rows;
  vecdb_error error;
  if (!hits || !counts) {
    srv_call_no_memory(call);
    return;
  }
  if (milvus_find(s, collection, hits, counts, &rows, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  json_t *out = json_array(), *topks = json_array();
  for (uint32_t q = 0; q < s->params.n_queries; q++)
    json_array_append_new(topks, json_integer(milvus_hits_of(s, q, hits, counts, rows, out)));
  engine_rows_free(rows);
  srv_call_answer(
      call, 200,
      json_pack("{s:i, s:o, s:o, s:i}", "code", 0, "data", out, "topks", topks, "cost", 0));
}

void srv_milvus_search(struct srv_call *call) {
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  struct milvus_search s = {.call = call};
  s.params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  s.control = (vecdb_control)VECDB_CONTROL_INIT;
  if (milvus_options(&s, engine_collection_schema(collection)))
    milvus_run(&s, collection);
  engine_collection_release(collection);
}
