/* handle_alter.c - changes of what is there: some fields of rows, the fields of a collection, and
   when its rows expire. */
#include <string.h>

#include "server/guard.h"
#include "server/handlers.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/server.h"

/* ---- Rows ------------------------------------------------------------------------------------ */

/* A field that one row names and another does not would be null in that other one. */
static bool alter_alike(struct srv_call *call, json_t *rows) {
  json_t *first = json_array_get(rows, 0);
  for (size_t i = 1; i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i);
    const char *name;
    json_t *value;
    bool alike = json_object_size(row) == json_object_size(first);
    json_object_foreach(row, name, value) {
      alike = alike && json_object_get(first, name);
    }
    if (!alike) {
      srv_call_fail(call, 400, "ARGUMENT", "row %zu: the rows of an update name the same fields",
                    i);
      return false;
    }
  }
  return true;
}

static json_t *alter_found(const uint8_t *found, const vecdb_batch *batch) {
  json_t *list = json_array();
  json_int_t n = 0;
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    json_array_append_new(list, json_boolean(found[i]));
    n += found[i];
  }
  return json_pack("{s:I, s:o}", "found", n, "rows", list);
}

/* {"rows": [...], "insert": whether rows that are not there are made}. */
void srv_rows_update(struct srv_call *call) {
  static const char *const keys[] = {"rows", "insert", NULL};
  json_t *rows = NULL;
  bool insert = false;
  vecdb_batch batch;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_array(call, call->json, "rows", &rows) ||
      !srv_take_flag(call, call->json, "insert", &insert))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  if (alter_alike(call, rows) &&
      srv_rows_read(call, engine_collection_schema(collection), rows, &batch)) {
    uint8_t *found = srv_arena_take(&call->arena, batch.n_rows);
    if (!found)
      srv_call_no_memory(call);
    else if (srv_guard_update(call, collection, &batch, insert ? VECDB_UPDATE_INSERT : 0, found,
                              &error) != VECDB_OK)
      srv_call_error(call, &error);
    else
      srv_call_answer(call, 200, alter_found(found, &batch));
  }
  engine_collection_release(collection);
}

/* ---- Fields ---------------------------------------------------------------------------------- */

/* Answers with the collection as it is now, or with the error. */
static void alter_answer(struct srv_call *call, struct engine_collection *collection, int rc,
                         const vecdb_error *error) {
  if (rc != VECDB_OK)
    srv_call_error(call, error);
  else
    srv_call_answer(call, 200, srv_collection_json(collection));
}

void srv_fields_add(struct srv_call *call) {
  static const char *const keys[] = {"fields", NULL};
  vecdb_schema schema;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_schema_read(call, call->json, &schema))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  int rc = engine_fields_add(collection, &schema, NULL, &error);
  alter_answer(call, collection, rc, &error);
  engine_collection_release(collection);
}

void srv_field_drop(struct srv_call *call) {
  vecdb_error error;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  int rc = engine_field_drop(collection, call->args[1], NULL, &error);
  alter_answer(call, collection, rc, &error);
  engine_collection_release(collection);
}

/* {"name": its new name}. */
void srv_field_rename(struct srv_call *call) {
  static const char *const keys[] = {"name", NULL};
  const char *name = "";
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_text(call, call->json, "name", &name))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  int rc = engine_field_rename(collection, call->args[1], name, NULL, &error);
  alter_answer(call, collection, rc, &error);
  engine_collection_release(collection);
}

/* {"path", "type"}; to drop it, without a type all that the path has. */
static void alter_json_index(struct srv_call *call, bool create) {
  vecdb_json_index index;
  vecdb_error error;
  if (!srv_json_index_read(call, call->json, create, &index))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  int rc = create ? engine_json_index_create(collection, call->args[1], &index, NULL, &error)
                  : engine_json_index_drop(collection, call->args[1], &index, NULL, &error);
  alter_answer(call, collection, rc, &error);
  engine_collection_release(collection);
}

void srv_json_index_create(struct srv_call *call) {
  alter_json_index(call, true);
}

void srv_json_index_drop(struct srv_call *call) {
  alter_json_index(call, false);
}

/* {"field", "ttl_ms"}; without a field rows expire no longer. */
void srv_collection_expire(struct srv_call *call) {
  static const char *const keys[] = {"field", "ttl_ms", NULL};
  const char *field = NULL;
  uint64_t ttl_ms = 0;
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys) || !srv_take_text(call, call->json, "field", &field) ||
      !srv_take_number(call, call->json, "ttl_ms", INT64_MAX, &ttl_ms))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  int rc = engine_expire(collection, field, ttl_ms, NULL, &error);
  alter_answer(call, collection, rc, &error);
  engine_collection_release(collection);
}
