/* handle_collections.c - collections, their indexes and their upkeep. */
#include "server/dynamic.h"
#include "server/guard.h"
#include "server/handlers.h"
#include "server/json_schema.h"
#include "server/observe.h"
#include "server/server.h"

static int collections_add(void *user, const char *name) {
  return json_array_append_new(user, json_string(name));
}

void srv_collections_list(struct srv_call *call) {
  json_t *names = json_array();
  vecdb_error error;
  int rc =
      names ? srv_guard_list(call, collections_add, names, &error) : VECDB_OK;
  if (rc == VECDB_OK) {
    srv_call_answer(call, 200, json_pack("{s:o}", "collections", names));
    return;
  }
  json_decref(names);
  srv_call_error(call, &error);
}

json_t *srv_collection_json(struct engine_collection *collection) {
  uint64_t ttl_ms;
  const char *expiry = engine_expiry(collection, &ttl_ms);
  json_t *out = srv_schema_write(engine_collection_schema(collection));
  if (out && expiry)
    json_object_set_new(out, "expiry", json_pack("{s:s, s:I}", "field", expiry, "ttl_ms",
                                                 (json_int_t)ttl_ms));
  if (out)
    json_object_set_new(out, "name", json_string(engine_collection_name(collection)));
  return out;
}

void srv_collection_create(struct srv_call *call) {
  static const char *const keys[] = {"name", "description", "fields", "dynamic", NULL};
  const char *name = "";
  vecdb_schema schema;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_text(call, call->json, "name", &name))
    return;
  srv_call_about(call, name);
  if (!srv_schema_read(call, call->json, &schema) ||
      !srv_dynamic_enable(call, call->json, &schema))
    return;
  struct engine_collection *collection;
  vecdb_error error;
  if (srv_guard_create(call, name, &schema, &collection, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  srv_call_answer(call, 201, srv_collection_json(collection));
  engine_collection_release(collection);
}

void srv_collection_describe(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  srv_call_answer(call, 200, srv_collection_json(collection));
  engine_collection_release(collection);
}

void srv_collection_drop(struct srv_call *call) {
  vecdb_error error;
  srv_call_about(call, call->args[0]);
  if (srv_guard_drop(call, call->args[0], &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:s}", "dropped", call->args[0]));
}

void srv_collection_stats(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  vecdb_stats s = VECDB_STATS_INIT;
  vecdb_error error;
  if (srv_guard_stats(call, collection, &s, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200,
                    json_pack("{s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "rows",
                              (json_int_t)s.rows, "rows_deleted", (json_int_t)s.rows_deleted,
                              "segments_growing", (int)s.segments_growing, "segments_sealed",
                              (int)s.segments_sealed, "segments_indexed", (int)s.segments_indexed,
                              "bytes_memory", (json_int_t)s.bytes_memory, "bytes_files",
                              (json_int_t)s.bytes_files, "bytes_index", (json_int_t)s.bytes_index,
                              "bytes_log", (json_int_t)s.bytes_wal, "searches",
                              (json_int_t)s.searches, "jobs_pending", (json_int_t)s.jobs_pending));
  engine_collection_release(collection);
}

typedef int collection_job(struct engine_collection *collection, const vecdb_control *control,
                           vecdb_error *error);

static void collection_run(struct srv_call *call, collection_job *job) {
  static const char *const keys[] = {"timeout_ms", NULL};
  vecdb_control control = VECDB_CONTROL_INIT;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_take_u32(call, call->json, "timeout_ms", &control.timeout_ms))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  vecdb_error error;
  if (job(collection, &control, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:b}", "done", 1));
  engine_collection_release(collection);
}

void srv_collection_flush(struct srv_call *call) {
  collection_run(call, engine_flush);
}

void srv_collection_compact(struct srv_call *call) {
  collection_run(call, engine_compact);
}

void srv_index_create(struct srv_call *call) {
  vecdb_index_params params;
  if (!srv_index_read(call, call->json, &params))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  vecdb_error error;
  if (engine_index_create(collection, call->args[1], &params, NULL, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:s}", "field", call->args[1]));
  engine_collection_release(collection);
}

void srv_index_drop(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  vecdb_error error;
  if (engine_index_drop(collection, call->args[1], &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, json_pack("{s:s}", "field", call->args[1]));
  engine_collection_release(collection);
}
