/* handle_rows.c - writing and reading rows by key and by filter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/dynamic.h"
#include "server/guard.h"
#include "server/handlers.h"
#include "server/json_read.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/server.h"

enum {
  ROWS_STREAM_BATCH = 500, /* lines that are written, and acknowledged, together */
  ROWS_QUERY_LIMIT = 1000  /* rows of a query that says no limit */
};

typedef int rows_write(struct srv_call *call, struct engine_collection *collection,
                       const vecdb_batch *batch, int64_t *ids, vecdb_error *error);

/* ---- Writes ---------------------------------------------------------------------------------- */

/* Writes an array of row objects, which the schema names all of, and gives their keys; NULL after
   answering. */
static json_t *rows_put_named(struct srv_call *call, struct engine_collection *collection,
                              json_t *rows, rows_write *write) {
  const vecdb_schema *schema = engine_collection_schema(collection);
  const vecdb_field *key = srv_schema_key(schema);
  vecdb_batch batch;
  vecdb_error error;
  if (!srv_rows_read(call, schema, rows, &batch))
    return NULL;
  bool integers = key->type != VECDB_VARCHAR;
  int64_t *ids = integers ? srv_arena_array(&call->arena, batch.n_rows, sizeof *ids) : NULL;
  if (integers && !ids) {
    srv_call_no_memory(call);
    return NULL;
  }
  if (write(call, collection, &batch, ids, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return NULL;
  }
  json_t *out = json_array();
  for (uint32_t i = 0; i < batch.n_rows; i++) {
    if (integers)
      json_array_append_new(out, json_integer(ids[i]));
    else
      json_array_append(out, json_object_get(json_array_get(rows, i), key->name));
  }
  if (!out)
    srv_call_no_memory(call);
  return out;
}

static json_t *rows_put(struct srv_call *call, struct engine_collection *collection, json_t *rows,
                        rows_write *write) {
  json_t *named = srv_milvus_fold(call, engine_collection_schema(collection), rows);
  json_t *out = named ? rows_put_named(call, collection, named, write) : NULL;
  json_decref(named);
  return out;
}

static void rows_write_call(struct srv_call *call, rows_write *write) {
  static const char *const keys[] = {"rows", NULL};
  json_t *rows = NULL;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_array(call, call->json, "rows", &rows))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  json_t *ids = rows_put(call, collection, rows, write);
  if (ids)
    srv_call_answer(call, 200,
                    json_pack("{s:i, s:o}", "written", (int)json_array_size(ids), "ids", ids));
  engine_collection_release(collection);
}

void srv_rows_insert(struct srv_call *call) {
  rows_write_call(call, srv_guard_insert);
}

void srv_rows_upsert(struct srv_call *call) {
  rows_write_call(call, srv_guard_upsert);
}

/* ---- JSON lines ------------------------------------------------------------------------------ */

struct rows_stream {
  struct srv_call *call;
  struct engine_collection *collection;
  json_t *batch;
  json_t *acknowledged;
  size_t line;  /* of the input, from 1 */
  size_t first; /* line of the batch's first row */
  size_t written;
};

/* Writes what has been collected, and notes it; false after answering with what stands so far. */
static bool stream_flush(struct rows_stream *s) {
  size_t n = json_array_size(s->batch);
  if (n == 0)
    return true;
  struct srv_arena outer = s->call->arena; /* each batch has memory of its own */
  s->call->arena = (struct srv_arena){.limit = outer.limit};
  json_t *ids = rows_put(s->call, s->collection, s->batch, srv_guard_upsert);
  srv_arena_free(&s->call->arena);
  s->call->arena = outer;
  if (!ids)
    return false;
  json_decref(ids);
  s->written += n;
  json_array_append_new(s->acknowledged,
                        json_pack("{s:I, s:I, s:I}", "first_line", (json_int_t)s->first,
                                  "last_line", (json_int_t)s->line, "rows", (json_int_t)n));
  json_array_clear(s->batch);
  return true;
}

static bool stream_line(struct rows_stream *s, const char *text, size_t n) {
  static const struct srv_json_place members[] = {{NULL, 0, 0, NULL}};
  s->line++;
  if (strspn(text, " \t\r") >= n)
    return true;
  json_error_t why;
  json_t *row = srv_json_read_at(text, n, members, &why);
  if (!row) {
    srv_call_fail(s->call, 400, "JSON", "line %zu, column %d: %s", s->line, why.column, why.text);
    return false;
  }
  if (json_array_size(s->batch) == 0)
    s->first = s->line;
  json_array_append_new(s->batch, row);
  return json_array_size(s->batch) < ROWS_STREAM_BATCH || stream_flush(s);
}

/* Adds to an error how far the lines were written, since those batches stay. */
static void stream_note(struct rows_stream *s) {
  json_t *answer = s->call->answer;
  if (!answer)
    return;
  json_object_set_new(answer, "written", json_integer((json_int_t)s->written));
  json_object_set(answer, "batches", s->acknowledged);
}

/* One row per line; every ROWS_STREAM_BATCH rows are upserted as one atomic batch, and the answer
   acknowledges each by its lines. */
void srv_rows_stream(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  struct rows_stream s = {call, collection, json_array(), json_array(), 0, 1, 0};
  bool good = s.batch && s.acknowledged;
  const char *at = call->body, *end = call->body + call->body_bytes;
  while (good && at && at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop)
      stop = end;
    good = stream_line(&s, at, (size_t)(stop - at));
    at = stop + 1;
  }
  if (good && stream_flush(&s))
    srv_call_answer(
        call, 200,
        json_pack("{s:I, s:O}", "written", (json_int_t)s.written, "batches", s.acknowledged));
  else
    stream_note(&s);
  json_decref(s.batch);
  json_decref(s.acknowledged);
  engine_collection_release(collection);
}

/* ---- Deletes --------------------------------------------------------------------------------- */

void srv_rows_delete(struct srv_call *call) {
  static const char *const keys[] = {"keys", "filter", "params", NULL};
  json_t *array = NULL;
  vecdb_filter filter = {NULL, 0, NULL, 0};
  if (!srv_only_keys(call, call->json, keys) || !srv_take_array(call, call->json, "keys", &array) ||
      !srv_filter_read(call, call->json, &filter))
    return;
  if (!array == !filter.text) {
    srv_call_fail(call, 400, "ARGUMENT", "a delete takes either \"keys\" or \"filter\"");
    return;
  }
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  const vecdb_schema *schema = engine_collection_schema(collection);
  vecdb_keys list;
  vecdb_error error;
  uint64_t deleted = 0;
  if (array ? srv_keys_read(call, srv_schema_key(schema), array, &list)
            : srv_milvus_names(call, schema, &filter)) {
    int rc = array ? srv_guard_delete(call, collection, &list, &deleted, &error)
                   : srv_guard_delete_where(call, collection, &filter, &deleted, &error);
    if (rc != VECDB_OK)
      srv_call_error(call, &error);
    else
      srv_call_answer(call, 200, json_pack("{s:I}", "deleted", (json_int_t)deleted));
  }
  engine_collection_release(collection);
}

/* ---- Reads ----------------------------------------------------------------------------------- */

static json_t *rows_list(const struct srv_dynamic *dynamic, const struct engine_rows *rows) {
  json_t *out = json_array();
  for (size_t i = 0; i < engine_rows_count(rows); i++)
    json_array_append_new(out, srv_dynamic_row(dynamic, rows, i, SIZE_MAX));
  return out;
}

void srv_rows_get(struct srv_call *call) {
  static const char *const keys[] = {"keys", "fields", "max_staleness_ms", NULL};
  json_t *array = NULL;
  const char *const *fields = NULL;
  size_t n_fields = 0;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_array(call, call->json, "keys", &array) ||
      !srv_take_names(call, call->json, "fields", &fields, &n_fields))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  const vecdb_schema *schema = engine_collection_schema(collection);
  struct srv_dynamic dynamic;
  vecdb_keys list;
  struct engine_rows *rows;
  vecdb_error error;
  if (srv_keys_read(call, srv_schema_key(schema), array, &list) &&
      srv_dynamic_settle(call, schema, NULL, &fields, &n_fields, &dynamic)) {
    struct srv_guard_fields wanted = {fields, n_fields};
    if (srv_guard_get(call, collection, &list, wanted, NULL, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      srv_call_answer(call, 200, json_pack("{s:o}", "rows", rows_list(&dynamic, rows)));
      engine_rows_free(rows);
    }
  }
  engine_collection_release(collection);
}

/* The key that a path segment spells. */
static bool rows_path_key(const vecdb_field *key, const char *text, int64_t *integer,
                          vecdb_string *string, vecdb_keys *out) {
  char *end;
  errno = 0;
  *integer = strtoll(text, &end, 10);
  *string = (vecdb_string){text, strlen(text)};
  bool strings = key->type == VECDB_VARCHAR;
  *out = (vecdb_keys){strings ? NULL : integer, strings ? string : NULL, 1};
  return strings || (*end == '\0' && end != text && errno == 0);
}

void srv_row_get(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  struct srv_guard_fields all = {NULL, 0};
  struct srv_dynamic dynamic;
  int64_t integer;
  vecdb_string string;
  vecdb_keys one;
  struct engine_rows *rows = NULL;
  vecdb_error error;
  const vecdb_schema *schema = engine_collection_schema(collection);
  bool good = srv_dynamic_settle(call, schema, NULL, &all.names, &all.n, &dynamic);
  if (good && !rows_path_key(srv_schema_key(schema), call->args[1], &integer, &string, &one)) {
    srv_call_fail(call, 400, "TYPE", "the key \"%.100s\" is no INT64", call->args[1]);
    good = false;
  }
  if (good && srv_guard_get(call, collection, &one, all, NULL, &rows, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else if (good && engine_rows_count(rows) == 0)
    srv_call_fail(call, 404, "NOT_FOUND", "there is no row with the key %.100s", call->args[1]);
  else if (good)
    srv_call_answer(call, 200, srv_dynamic_row(&dynamic, rows, 0, SIZE_MAX));
  engine_rows_free(rows);
  engine_collection_release(collection);
}

/* The key to go on from, when the page is full. */
static json_t *rows_next(const struct engine_rows *rows, uint32_t limit) {
  size_t n = engine_rows_count(rows);
  return n < limit ? json_null() : srv_value_write(engine_rows_value(rows, n - 1, 0));
}

void srv_rows_query(struct srv_call *call) {
  static const char *const keys[] = {"filter", "params",     "fields",           "limit", "offset",
                                     "after",  "timeout_ms", "max_staleness_ms", NULL};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  params.control = &control;
  params.limit = ROWS_QUERY_LIMIT;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_filter_read(call, call->json, &params.filter) ||
      !srv_take_names(call, call->json, "fields", &params.fields, &params.n_fields) ||
      !srv_take_u32(call, call->json, "limit", &params.limit) ||
      !srv_take_u32(call, call->json, "timeout_ms", &control.timeout_ms) ||
      !srv_take_number(call, call->json, "offset", INT64_MAX, &params.offset))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  json_t *after = json_object_get(call->json, "after");
  json_t *list = after && !json_is_null(after) ? json_pack("[O]", after) : NULL;
  struct srv_dynamic dynamic;
  struct engine_rows *rows;
  vecdb_error error;
  const vecdb_schema *schema = engine_collection_schema(collection);
  if ((!list || srv_keys_read(call, srv_schema_key(schema), list, &params.after)) &&
      srv_dynamic_settle(call, schema, &params.filter, &params.fields, &params.n_fields,
                         &dynamic)) {
    if (srv_guard_query(call, collection, &params, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      srv_call_answer(call, 200,
                      json_pack("{s:o, s:o}", "rows", rows_list(&dynamic, rows), "next",
                                rows_next(rows, params.limit)));
      engine_rows_free(rows);
    }
  }
  json_decref(list);
  engine_collection_release(collection);
}

void srv_rows_count(struct srv_call *call) {
  static const char *const keys[] = {"filter", "params", "max_staleness_ms", NULL};
  vecdb_filter filter = {NULL, 0, NULL, 0};
  if (!srv_only_keys(call, call->json, keys) || !srv_filter_read(call, call->json, &filter))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  uint64_t count;
  vecdb_error error;
  if (!srv_milvus_names(call, engine_collection_schema(collection), &filter)) {
    engine_collection_release(collection);
    return;
  }
  if (srv_guard_count(call, collection, &filter, &count, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:I}", "count", (json_int_t)count));
  engine_collection_release(collection);
}
