/* milvus_rest_alter.c - properties of collections in Milvus's REST interface, and of these the time
   to live. They are in the record that Milvus's gRPC interface has of the collection. */
#include <stdlib.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus.h"
#include "server/milvus_rest.h"

enum { ALTER_DIGITS = 10 }; /* of the seconds of a time to live, at most */

/* ---- Records --------------------------------------------------------------------------------- */

/* The label of the collection's record, in the arena; NULL after answering. */
static const char *rest_label(struct srv_call *call, const char *physical) {
  char *found = srv_milvus_record_of(call->server->milvus, physical);
  const char *label = found ? found : physical;
  label = srv_arena_text(&call->arena, label, strlen(label));
  free(found);
  if (!label)
    srv_call_no_memory(call);
  return label;
}

/* A copy, made where there is none; NULL after answering. */
static json_t *rest_record(struct srv_call *call, const char *label,
                           struct engine_collection *collection) {
  json_t *record = srv_milvus_record(call->server->milvus, label);
  if (!record) {
    const vecdb_field *key = srv_schema_key(engine_collection_schema(collection));
    record = json_pack("{s:s, s:b, s:b, s:{}}", "physical", engine_collection_name(collection),
                       "auto_id", (key->flags & VECDB_AUTO_ID) != 0, "loaded", 1, "indexes");
  }
  if (record && !json_object_get(record, "properties"))
    json_object_set_new(record, "properties", json_object());
  if (!record)
    srv_call_no_memory(call);
  return record;
}

/* Puts the record's time to live in force, and keeps the record: what is refused is not in it. */
static bool rest_keep(struct srv_call *call, const char *label,
                      struct engine_collection *collection, json_t *record) {
  vecdb_error error;
  if (milvus_expire(collection, record, &error) != VECDB_OK) {
    srv_call_error(call, &error);
    return false;
  }
  if (srv_milvus_record_put(call->server->milvus, label, json_deep_copy(record)))
    return true;
  srv_call_fail(call, 500, "IO", "the collection's record cannot be written");
  return false;
}

/* Sets properties, texts by key, and takes out those named in an array; both may be NULL. */
static bool rest_change(struct srv_call *call, struct engine_collection *collection, json_t *set,
                        json_t *gone) {
  struct srv_milvus_state *state = call->server->milvus;
  bool good = false;
  pthread_mutex_lock(&state->change);
  const char *label = rest_label(call, engine_collection_name(collection));
  json_t *record = label ? rest_record(call, label, collection) : NULL;
  json_t *properties = json_object_get(record, "properties");
  if (record) {
    if (set)
      json_object_update(properties, set);
    for (size_t i = 0; i < json_array_size(gone); i++)
      json_object_del(properties, json_string_value(json_array_get(gone, i)));
    good = rest_keep(call, label, collection, record);
  }
  json_decref(record);
  pthread_mutex_unlock(&state->change);
  return good;
}

/* ---- Properties ------------------------------------------------------------------------------ */

/* A property's value as the text that records have; NULL after answering. */
static json_t *rest_text(struct srv_call *call, const char *key, json_t *value) {
  json_t *text = json_is_string(value) ? json_incref(value) : NULL;
  if (json_is_integer(value))
    text = json_sprintf("%lld", (long long)json_integer_value(value));
  else if (json_is_boolean(value))
    text = json_string(json_is_true(value) ? "true" : "false");
  const char *digits = json_string_value(text);
  bool seconds = strcmp(key, MILVUS_TTL) == 0;
  size_t n = digits ? strspn(digits, "0123456789") : 0;
  if (text && (!seconds || (n > 0 && n <= ALTER_DIGITS && digits[n] == '\0')))
    return text;
  json_decref(text);
  srv_call_fail(call, 400, "ARGUMENT", "property \"%.100s\" must be %s", key,
                seconds ? "a number of seconds" : "a text, an integer, true or false");
  return NULL;
}

/* All of them as texts, to be released; NULL after answering. */
static json_t *rest_texts(struct srv_call *call, json_t *properties) {
  json_t *out = json_object(), *value;
  const char *key;
  json_object_foreach(properties, key, value) {
    json_t *text = rest_text(call, key, value);
    if (text && json_object_set_new(out, key, text) == 0)
      continue;
    if (text)
      srv_call_no_memory(call);
    json_decref(out);
    return NULL;
  }
  if (!out)
    srv_call_no_memory(call);
  return out;
}

bool srv_milvus_live(struct srv_call *call, struct engine_collection *collection, json_t *seconds) {
  if (!seconds || json_is_null(seconds))
    return true;
  json_t *set = json_pack("{s:O}", MILVUS_TTL, seconds);
  json_t *texts = rest_texts(call, set);
  bool good = texts && rest_change(call, collection, texts, NULL);
  json_decref(texts);
  json_decref(set);
  return good;
}

void srv_milvus_alter(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "properties", NULL};
  json_t *properties = json_object_get(call->json, "properties");
  if (!srv_only_keys(call, call->json, keys))
    return;
  if (!json_is_object(properties)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"properties\" must be an object");
    return;
  }
  struct engine_collection *collection = srv_milvus_collection(call);
  json_t *texts = collection ? rest_texts(call, properties) : NULL;
  if (texts && rest_change(call, collection, texts, NULL))
    srv_milvus_answer(call, json_object());
  json_decref(texts);
  engine_collection_release(collection);
}

void srv_milvus_alter_drop(struct srv_call *call) {
  static const char *const keys[] = {"collectionName", "dbName", "propertyKeys", NULL};
  const char *const *names = NULL;
  size_t n = 0;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_take_names(call, call->json, "propertyKeys", &names, &n))
    return;
  struct engine_collection *collection = srv_milvus_collection(call);
  if (collection &&
      rest_change(call, collection, NULL, json_object_get(call->json, "propertyKeys")))
    srv_milvus_answer(call, json_object());
  engine_collection_release(collection);
}

json_t *srv_milvus_properties(struct srv_call *call, const char *physical) {
  const char *label = rest_label(call, physical), *key;
  json_t *record = label ? srv_milvus_record(call->server->milvus, label) : NULL;
  json_t *out = json_array(), *value;
  json_object_foreach(json_object_get(record, "properties"), key, value)
    json_array_append_new(out, json_pack("{s:s, s:O}", "key", key, "value", value));
  json_decref(record);
  return out;
}

/* A new collection of that name has none. */
void srv_milvus_forget(struct srv_call *call, const char *physical) {
  struct srv_milvus_state *state = call->server->milvus;
  pthread_mutex_lock(&state->change);
  char *label = srv_milvus_record_of(state, physical);
  if (label)
    srv_milvus_record_put(state, label, NULL);
  free(label);
  pthread_mutex_unlock(&state->change);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

bool srv_milvus_written(struct srv_call *call, const vecdb_schema *schema, vecdb_batch *batch) {
  const vecdb_field *field = srv_schema_field(schema, MILVUS_WRITTEN);
  if (!field || field->type != VECDB_INT64)
    return true;
  vecdb_column *columns = srv_arena_array(&call->arena, batch->n_columns + 1, sizeof *columns);
  const int64_t *times = milvus_written(&call->arena, batch->n_rows);
  if (!columns || !times) {
    srv_call_no_memory(call);
    return false;
  }
  uint32_t n = 0;
  for (uint32_t i = 0; i < batch->n_columns; i++)
    if (strcmp(batch->columns[i].field, MILVUS_WRITTEN) != 0)
      columns[n++] = batch->columns[i];
  columns[n++] = (vecdb_column){.field = MILVUS_WRITTEN, .data = times};
  batch->columns = columns;
  batch->n_columns = n;
  return true;
}
