/* qdrant_read.c - points by id and by filter in Qdrant's dialect; see qdrant.h. */
#include <string.h>

#include "server/guard.h"
#include "server/qdrant.h"
#include "server/server.h"

enum { READ_LIMIT = 10 };

static json_t *read_list(const struct srv_qdrant_want *want, const struct engine_rows *rows,
                         size_t n) {
  json_t *out = json_array();
  for (size_t i = 0; i < n; i++)
    json_array_append_new(out, srv_qdrant_point(want, rows, i));
  return out;
}

void srv_qdrant_retrieve(struct srv_call *call) {
  static const char *const keys[] = {"ids",          "with_payload", "with_vector",
                                     "with_vectors", "shard_key",    NULL};
  static const char *const refused[] = {"shard_key", NULL};
  struct srv_qdrant_want want = {.by_default = true};
  json_t *ids = NULL;
  vecdb_keys list;
  struct engine_rows *rows;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_qdrant_refuse(call, call->json, refused) ||
      !srv_take_array(call, call->json, "ids", &ids))
    return;
  if (!ids) {
    srv_call_fail(call, 400, "ARGUMENT", "\"ids\" is missing");
    return;
  }
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  if (srv_qdrant_want_read(call, call->json, engine_collection_schema(collection), &want) &&
      srv_qdrant_keys(call, ids, &list)) {
    struct srv_guard_fields fields = {want.fields, want.n_fields};
    if (srv_guard_get(call, collection, &list, fields, NULL, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      srv_qdrant_answer(call, read_list(&want, rows, engine_rows_count(rows)));
      engine_rows_free(rows);
    }
  }
  engine_collection_release(collection);
}

/* The id in a path: digits, or a UUID. */
static json_t *read_path_id(const char *text) {
  size_t n = strlen(text);
  bool digits = n > 0 && n <= 19 && strspn(text, "0123456789") == n;
  return digits ? json_loadb(text, n, JSON_DECODE_ANY, NULL) : json_string(text);
}

void srv_qdrant_retrieve_one(struct srv_call *call) {
  struct srv_qdrant_want want = {.by_default = true};
  vecdb_string key;
  struct engine_rows *rows;
  vecdb_error error;
  json_t *all = json_pack("{s:b, s:b}", "with_payload", 1, "with_vector", 1);
  json_t *id = read_path_id(call->args[1]);
  struct engine_collection *collection =
      all && srv_qdrant_key(call, id, &key) ? srv_qdrant_collection(call) : NULL;
  if (collection && srv_qdrant_want_read(call, all, engine_collection_schema(collection), &want)) {
    vecdb_keys one = {NULL, &key, 1};
    struct srv_guard_fields fields = {want.fields, want.n_fields};
    if (srv_guard_get(call, collection, &one, fields, NULL, &rows, &error) != VECDB_OK) {
      srv_call_error(call, &error);
    } else {
      if (engine_rows_count(rows))
        srv_qdrant_answer(call, srv_qdrant_point(&want, rows, 0));
      else
        srv_call_fail(call, 404, "NOT_FOUND", "Not found: Point with id %.100s does not exist!",
                      call->args[1]);
      engine_rows_free(rows);
    }
  }
  engine_collection_release(collection);
  json_decref(all);
  json_decref(id);
}

/* A page from the point `offset` on; one row more than the page tells where the next one begins. */
static void read_page(struct srv_call *call, struct engine_collection *collection,
                      const struct srv_qdrant_want *want, const vecdb_filter *filter,
                      uint32_t limit) {
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  struct engine_rows *rows;
  vecdb_error error;
  control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  params.control = &control;
  params.limit = limit + 1;
  params.filter = *filter;
  params.fields = want->fields;
  params.n_fields = want->n_fields;
  if (srv_guard_query(call, collection, &params, &rows, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  size_t n = engine_rows_count(rows);
  bool more = n > limit;
  srv_qdrant_answer(
      call,
      json_pack("{s:o, s:o}", "points", read_list(want, rows, more ? limit : n), "next_page_offset",
                more ? srv_qdrant_id(engine_rows_value(rows, limit, 0)) : json_null()));
  engine_rows_free(rows);
}

void srv_qdrant_scroll(struct srv_call *call) {
  static const char *const keys[] = {"filter",       "limit",        "offset",
                                     "with_payload", "with_vector",  "order_by",
                                     "shard_key",    "with_vectors", NULL};
  static const char *const refused[] = {"order_by", "shard_key", NULL};
  struct srv_qdrant_want want = {.by_default = true};
  json_t *offset = json_object_get(call->json, "offset");
  vecdb_string from = {NULL, 0};
  vecdb_filter filter;
  uint32_t limit = READ_LIMIT;
  if (json_is_null(offset))
    offset = NULL;
  if (!srv_only_keys(call, call->json, keys) || !srv_qdrant_refuse(call, call->json, refused) ||
      !srv_take_u32(call, call->json, "limit", &limit) ||
      (offset && !srv_qdrant_key(call, offset, &from)) ||
      !srv_qdrant_filter(call, json_object_get(call->json, "filter"),
                         offset ? QDRANT_KEY " >= " : NULL, from, &filter))
    return;
  if (limit == 0 || limit >= VECDB_MAX_BATCH_ROWS) {
    srv_call_fail(call, 400, "LIMIT", "\"limit\" must be from 1 to %d", VECDB_MAX_BATCH_ROWS - 1);
    return;
  }
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  if (srv_qdrant_want_read(call, call->json, engine_collection_schema(collection), &want))
    read_page(call, collection, &want, &filter, limit);
  engine_collection_release(collection);
}

void srv_qdrant_count(struct srv_call *call) {
  static const char *const keys[] = {"filter", "exact", "shard_key", NULL};
  static const char *const refused[] = {"shard_key", NULL};
  vecdb_filter filter;
  vecdb_error error;
  uint64_t count;
  bool exact = true;
  if (!srv_only_keys(call, call->json, keys) || !srv_qdrant_refuse(call, call->json, refused) ||
      !srv_take_flag(call, call->json, "exact", &exact) ||
      !srv_qdrant_filter(call, json_object_get(call->json, "filter"), NULL, (vecdb_string){NULL, 0},
                         &filter))
    return;
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  if (srv_guard_count(call, collection, &filter, &count, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_qdrant_answer(call, json_pack("{s:I}", "count", (json_int_t)count));
  engine_collection_release(collection);
}
