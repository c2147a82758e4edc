/* milvus_rest.c - answers and collections of Milvus's REST interface; see milvus_rest.h. */
#include "server/guard.h"
#include "server/milvus_rest.h"

#include <stdlib.h>
#include <string.h>

#include "server/json_schema.h"
#include "server/milvus.h"
#include "server/milvus_names.h"
#include "server/observe.h"
#include "server/server.h"

/* ---- Answers --------------------------------------------------------------------------------- */

void srv_milvus_answer(struct srv_call *call, json_t *data) {
  srv_call_answer(call, 200, data ? json_pack("{s:i, s:o}", "code", 0, "data", data) : NULL);
}

/* The library's code of that name, without its prefix; ARGUMENT for the server's own. */
static int milvus_status(const char *code) {
  static const char prefix[] = "VECDB_ERR_";
  for (int i = 1; i <= VECDB_ERR_INTERNAL; i++) {
    const char *name = vecdb_status_name(i);
    if (strncmp(name, prefix, sizeof prefix - 1) == 0 &&
        strcmp(name + sizeof prefix - 1, code) == 0)
      return i;
  }
  return VECDB_ERR_ARGUMENT;
}

json_t *srv_milvus_error(int *status, const char *code, const char *message) {
  /* What no request can help keeps its status; Milvus has no word for it. */
  if (*status != 401 && *status != 403 && *status != 405 && *status != 413 &&
      *status != 429 && *status < 500)
    *status = 200;
  return json_pack("{s:i, s:s}", "code", srv_milvus_code_of(milvus_status(code)), "message",
                   message);
}

const char *srv_milvus_collection_name(struct srv_call *call) {
  const char *name = NULL;
  if (!srv_take_text(call, call->json, "collectionName", &name))
    return NULL;
  if (!name)
    srv_call_fail(call, 400, "ARGUMENT", "\"collectionName\" is missing");
  else
    srv_call_about(call, name);
  return name;
}

struct engine_collection *srv_milvus_collection(struct srv_call *call) {
  const char *name = srv_milvus_collection_name(call);
  return name ? srv_call_collection(call, name) : NULL;
}

/* ---- Schemas --------------------------------------------------------------------------------- */

static bool milvus_metric(struct srv_call *call, json_t *json, int32_t *metric) {
  const char *name = NULL;
  if (!srv_take_text(call, json, "metricType", &name))
    return false;
  if (!name)
    return true;
  *metric = srv_milvus_metric(name);
  if (*metric)
    return true;
  srv_call_fail(call, 400, "OPTION", "\"metricType\" is \"%.60s\", which is not known", name);
  return false;
}

/* A number that clients give as a number or as text, "dim" and the like. */
static bool milvus_number(struct srv_call *call, json_t *json, const char *key, uint32_t *out) {
  json_t *value = json_object_get(json, key);
  if (!json_is_string(value))
    return srv_take_u32(call, json, key, out);
  const char *text = json_string_value(value);
  size_t n = strlen(text);
  if (n > 0 && n < 10 && strspn(text, "0123456789") == n) {
    *out = (uint32_t)strtoul(text, NULL, 10);
    return true;
  }
  srv_call_fail(call, 400, "ARGUMENT", "\"%s\" must be a number", key);
  return false;
}

static bool milvus_type(struct srv_call *call, json_t *json, const char *key, int32_t *type) {
  const char *name = NULL;
  if (!srv_take_text(call, json, key, &name))
    return false;
  *type = name ? srv_milvus_type_parse(name) : 0;
  if (*type)
    return true;
  srv_call_fail(call, 400, "SCHEMA", "\"%s\" is \"%.60s\", which is not served", key,
                name ? name : "");
  return false;
}

static bool milvus_field(struct srv_call *call, json_t *json, bool auto_id, vecdb_field *field) {
  json_t *params = json_object_get(json, "elementTypeParams");
  bool key = false, nullable = false;
  *field = (vecdb_field){.name = ""}; /* which is refused, as an absent one must be */
  if (!json_is_object(json)) {
    srv_call_fail(call, 400, "SCHEMA", "a field must be an object");
    return false;
  }
  json_t *other = json_object_get(json, "defaultValue");
  if (other && !json_is_null(other)) {
    srv_call_fail(call, 400, "OPTION", "\"defaultValue\" is not served here");
    return false;
  }
  if (!srv_take_text(call, json, "fieldName", &field->name) ||
      !milvus_type(call, json, "dataType", &field->type) ||
      !srv_take_flag(call, json, "isPrimary", &key) ||
      !srv_take_flag(call, json, "nullable", &nullable) ||
      !milvus_number(call, params, "dim", &field->dim) ||
      !milvus_number(call, params, "max_length", &field->max_length) ||
      !milvus_number(call, params, "max_capacity", &field->max_capacity) ||
      (field->type == VECDB_ARRAY &&
       !milvus_type(call, json, "elementDataType", &field->element_type)))
    return false;
  if (srv_type_is_dense(field->type))
    field->index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  field->flags = (key ? VECDB_PRIMARY_KEY : 0u) | (key && auto_id ? VECDB_AUTO_ID : 0u) |
                 (nullable ? VECDB_NULLABLE : 0u);
  return true;
}

/* Adds the index of a path to a JSON field that is being made. */
static bool milvus_index_path(struct srv_call *call, vecdb_field *field,
                              const struct srv_milvus_path *asked) {
  uint32_t n = field->n_json_indexes;
  vecdb_json_index *indexes = srv_arena_array(&call->arena, n + 1, sizeof *indexes);
  if (!indexes) {
    srv_call_no_memory(call);
    return false;
  }
  for (uint32_t i = 0; i < n; i++)
    indexes[i] = field->json_indexes[i];
  const char *fault = srv_milvus_json_index(&call->arena, field, asked, &indexes[n]);
  if (fault) {
    srv_call_fail(call, 400, "OPTION", "the index of \"%.100s\": %s", asked->field, fault);
    return false;
  }
  field->json_indexes = indexes;
  field->n_json_indexes = n + 1;
  return true;
}

/* The index of a field, from an element of "indexParams". */
static bool milvus_index(struct srv_call *call, json_t *json, vecdb_schema *schema) {
  const char *name = "", *type = "";
  if (!srv_take_text(call, json, "fieldName", &name) ||
      !srv_take_text(call, json, "indexType", &type))
    return false;
  const vecdb_field *found = srv_schema_field(schema, name);
  const vecdb_field *of = srv_milvus_json_field(schema, name);
  json_t *given = json_object_get(json, "params");
  struct srv_milvus_path asked = {name, NULL, NULL};
  if (json_is_object(given) && (!srv_take_text(call, given, "json_path", &asked.path) ||
                                !srv_take_text(call, given, "json_cast_type", &asked.cast)))
    return false;
  if (of && (!found || found == of) && (asked.path || asked.cast))
    return milvus_index_path(call, (vecdb_field *)(uintptr_t)of, &asked);
  if (!found) {
    srv_call_fail(call, 400, "UNKNOWN_FIELD", "there is no field \"%.100s\" to index", name);
    return false;
  }
  if (!srv_type_is_dense(found->type))
    return true; /* others have the index that suits them */
  vecdb_field *field = (vecdb_field *)(uintptr_t)found;
  json_t *params = json_object_get(json, "params");
  const char *key;
  json_t *value;
  if (!json_object_get(json, "indexType") && json_is_object(params) &&
      !srv_take_text(call, params, "index_type", &type))
    return false;
  if (!srv_milvus_index(type, &field->index)) {
    srv_call_fail(call, 400, "OPTION", "the index type \"%.60s\" is not known", type);
    return false;
  }
  json_object_foreach(params, key, value) {
    if (json_is_integer(value) && json_integer_value(value) > 0 &&
        json_integer_value(value) <= UINT32_MAX)
      srv_milvus_index_param(&field->index, key, (uint32_t)json_integer_value(value));
  }
  return milvus_metric(call, json, &field->metric);
}

static bool milvus_full(struct srv_call *call, json_t *json, vecdb_schema *schema) {
  json_t *list = NULL, *indexes = NULL;
  bool auto_id = false;
  if (!srv_take_array(call, json, "fields", &list) ||
      !srv_take_flag(call, json, json_object_get(json, "autoID") ? "autoID" : "autoId", &auto_id) ||
      !srv_take_array(call, call->json, "indexParams", &indexes))
    return false;
  size_t n = json_array_size(list);
  vecdb_field *fields = srv_arena_array(&call->arena, n + 1, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++)
    if (!milvus_field(call, json_array_get(list, i), auto_id, &fields[i]))
      return false;
  schema->fields = fields;
  schema->n_fields = (uint32_t)n;
  if (!srv_milvus_enable(call, json, &fields[n], &schema->n_fields))
    return false;
  for (size_t i = 0; i < json_array_size(indexes); i++)
    if (!milvus_index(call, json_array_get(indexes, i), schema))
      return false;
  return true;
}

/* A collection from its dimension alone: a key and a vector. */
static bool milvus_quick(struct srv_call *call, vecdb_schema *schema) {
  json_t *json = call->json;
  bool auto_id = false;
  uint32_t max_length = 64;
  vecdb_field *fields = srv_arena_array(&call->arena, 3, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(call);
    return false;
  }
  fields[0] = (vecdb_field){.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY};
  fields[1] = (vecdb_field){.name = "vector", .type = VECDB_FLOAT_VECTOR, .metric = VECDB_COSINE};
  fields[1].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  if (!srv_take_text(call, json, "primaryFieldName", &fields[0].name) ||
      !srv_take_text(call, json, "vectorFieldName", &fields[1].name) ||
      (json_object_get(json, "idType") && !milvus_type(call, json, "idType", &fields[0].type)) ||
      !srv_take_flag(call, json, json_object_get(json, "autoID") ? "autoID" : "autoId", &auto_id) ||
      !milvus_number(call, json, "dimension", &fields[1].dim) ||
      !milvus_number(call, json_object_get(json, "params"), "max_length", &max_length) ||
      !milvus_metric(call, json, &fields[1].metric))
    return false;
  if (fields[0].type == VECDB_VARCHAR)
    fields[0].max_length = max_length;
  if (auto_id)
    fields[0].flags |= VECDB_AUTO_ID;
  schema->fields = fields;
  schema->n_fields = 2;
  bool here = json_object_get(json, "enableDynamicField") != NULL;
  json_t *asks = here ? json : json_object_get(json, "params");
  return srv_milvus_enable(call, asks, &fields[2], &schema->n_fields);
}

/* ---- Handlers -------------------------------------------------------------------------------- */

void srv_milvus_create(struct srv_call *call) {
  static const char *const keys[] = {"collectionName",  "dbName", "dimension",   "metricType",
                                     "idType",          "autoId", "autoID",      "primaryFieldName",
                                     "vectorFieldName", "schema", "indexParams", "params",
                                     "description",     "enableDynamicField", NULL};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_error error;
  json_t *full = json_object_get(call->json, "schema");
  const char *name = srv_milvus_collection_name(call);
  if (!name || !srv_only_keys(call, call->json, keys) ||
      !srv_take_text(call, call->json, "description", &schema.description) ||
      !(json_is_object(full) ? milvus_full(call, full, &schema) : milvus_quick(call, &schema)))
    return;
  struct engine_collection *made;
  if (srv_guard_create(call, name, &schema, &made, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return;
  }
  json_t *seconds = json_object_get(json_object_get(call->json, "params"), "ttlSeconds");
  bool lives = srv_milvus_live(call, made, seconds);
  engine_collection_release(made);
  if (lives)
    srv_milvus_answer(call, json_object());
  else if (srv_guard_drop(call, name, &error) == VECDB_OK)
    srv_milvus_forget(call, name);
}

/* "schema" is the new field, as one of a collection is written; rows that are there have null. */
void srv_milvus_field_add(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "schema", NULL};
  vecdb_field field;
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  vecdb_error error;
  schema.fields = &field;
  schema.n_fields = 1;
  if (!srv_only_keys(call, call->json, keys) ||
      !milvus_field(call, json_object_get(call->json, "schema"), false, &field))
    return;
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  if (engine_fields_add(collection, &schema, NULL, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_object());
  engine_collection_release(collection);
}

static int milvus_add(void *user, const char *name) {
  return json_array_append_new(user, json_string(name));
}

void srv_milvus_list(struct srv_call *call) {
  json_t *names = json_array();
  vecdb_error error;
  if (names && srv_guard_list(call, milvus_add, names, &error) != VECDB_OK) {
    json_decref(names);
    srv_call_error(call, &error);
    return;
  }
  srv_milvus_answer(call, names);
}

static json_t *milvus_field_write(const vecdb_field *f) {
  json_t *params = json_array();
  static const char *const names[] = {"dim", "max_length", "max_capacity"};
  const uint32_t values[] = {f->dim, f->max_length, f->max_capacity};
  for (size_t i = 0; i < 3; i++)
    if (values[i])
      json_array_append_new(params, json_pack("{s:s, s:o}", "key", names[i], "value",
                                              json_sprintf("%u", (unsigned)values[i])));
  return json_pack("{s:s, s:s, s:b, s:b, s:b, s:s, s:o}", "name", f->name, "type",
                   srv_milvus_type_name(f->type), "primaryKey", (f->flags & VECDB_PRIMARY_KEY) != 0,
                   "autoId", (f->flags & VECDB_AUTO_ID) != 0, "nullable",
                   (f->flags & VECDB_NULLABLE) != 0, "description",
                   f->description ? f->description : "", "params", params);
}

void srv_milvus_describe(struct srv_call *call) {
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  const vecdb_schema *schema = engine_collection_schema(collection);
  json_t *fields = json_array(), *indexes = json_array();
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const vecdb_field *f = &schema->fields[i];
    if (!milvus_hidden(f->name))
      json_array_append_new(fields, milvus_field_write(f));
    if (srv_type_is_vector(f->type))
      json_array_append_new(indexes,
                            json_pack("{s:s, s:s, s:s}", "fieldName", f->name, "indexName", f->name,
                                      "metricType", srv_milvus_metric_name(f->metric)));
    for (uint32_t k = 0; k < f->n_json_indexes; k++)
      json_array_append_new(indexes,
                            json_pack("{s:s, s:s+, s:s}", "fieldName", f->name, "indexName",
                                      f->name, f->json_indexes[k].path, "metricType", ""));
  }
  bool auto_id = (srv_schema_key(schema)->flags & VECDB_AUTO_ID) != 0;
  bool dynamic = srv_milvus_is_dynamic(schema);
  srv_milvus_answer(
      call, json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:s, s:i, s:i, s:o}", "collectionName",
                      engine_collection_name(collection), "description",
                      schema->description ? schema->description : "", "fields", fields, "indexes",
                      indexes, "autoId", auto_id, "enableDynamicField", dynamic, "load",
                      "LoadStateLoaded", "partitionsNum", 1, "shardsNum", 1, "properties",
                      srv_milvus_properties(call, engine_collection_name(collection))));
  engine_collection_release(collection);
}

void srv_milvus_has(struct srv_call *call) {
  const char *name = srv_milvus_collection_name(call);
  struct engine_collection *collection = NULL;
  vecdb_error error;
  if (!name)
    return;
  int rc = srv_guard_get_collection(call, name, &collection, &error);
  if (rc != VECDB_OK && rc != VECDB_ERR_NOT_FOUND)
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_pack("{s:b}", "has", collection != NULL));
  engine_collection_release(collection);
}

void srv_milvus_drop(struct srv_call *call) {
  const char *name = srv_milvus_collection_name(call);
  vecdb_error error;
  if (!name)
    return;
  int rc = srv_guard_drop(call, name, &error);
  if (rc != VECDB_OK && rc != VECDB_ERR_NOT_FOUND) /* dropping what is not there is fine */
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_object());
  if (rc == VECDB_OK)
    srv_milvus_forget(call, name);
}

void srv_milvus_load(struct srv_call *call) {
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  srv_milvus_answer(call, json_object());
  engine_collection_release(collection);
}

void srv_milvus_load_state(struct srv_call *call) {
  struct engine_collection *collection = srv_milvus_collection(call);
  if (!collection)
    return;
  srv_milvus_answer(call, json_pack("{s:s, s:i, s:s}", "loadState", "LoadStateLoaded",
                                    "loadProgress", 100, "message", ""));
  engine_collection_release(collection);
}

void srv_milvus_stats(struct srv_call *call) {
  struct engine_collection *collection = srv_milvus_collection(call);
  vecdb_stats s = VECDB_STATS_INIT;
  vecdb_error error;
  if (!collection)
    return;
  if (srv_guard_stats(call, collection, &s, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_milvus_answer(call, json_pack("{s:I}", "rowCount", (json_int_t)s.rows));
  engine_collection_release(collection);
}
