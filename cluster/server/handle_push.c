/* handle_push.c - vectors that learn: which optimizer a field has, pushes, pulls. */
#include <string.h>

#include "server/guard.h"
#include "server/handlers.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/server.h"

/* The number of a word; -1 after answering. The first word is what none means. */
static int push_word(struct srv_call *call, const char *key, const char *const *words) {
  const char *word = words[0];
  if (!srv_take_text(call, call->json, key, &word))
    return -1;
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], word) == 0)
      return i;
  srv_call_fail(call, 400, "OPTION", "\"%.60s\" is no %s", word, key);
  return -1;
}

static void push_answer(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_optimizer *optimizer) {
  vecdb_error error;
  if (engine_optimizer_set(collection, call->args[1], optimizer, NULL, &error) != VECDB_OK)
    srv_call_error(call, &error);
  else
    srv_call_answer(call, 200, srv_collection_json(collection));
}

/* {"kind", "rate", "window", "beta1", "beta2", "epsilon", "unit"}, as vecdb_optimizer. */
void srv_optimizer_set(struct srv_call *call) {
  static const char *const keys[] = {"kind",  "rate",    "window", "beta1",
                                     "beta2", "epsilon", "unit",   NULL};
  static const char *const kinds[] = {"average", "adagrad", "adam", NULL};
  vecdb_optimizer optimizer = VECDB_OPTIMIZER_INIT;
  bool unit = false;
  if (!srv_only_keys(call, call->json, keys) ||
      (optimizer.kind = push_word(call, "kind", kinds)) < 0 ||
      !srv_take_float(call, call->json, "rate", &optimizer.rate) ||
      !srv_take_u32(call, call->json, "window", &optimizer.window) ||
      !srv_take_float(call, call->json, "beta1", &optimizer.beta1) ||
      !srv_take_float(call, call->json, "beta2", &optimizer.beta2) ||
      !srv_take_float(call, call->json, "epsilon", &optimizer.epsilon) ||
      !srv_take_flag(call, call->json, "unit", &unit))
    return;
  optimizer.unit = unit;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  push_answer(call, collection, &optimizer);
  engine_collection_release(collection);
}

void srv_optimizer_drop(struct srv_call *call) {
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  push_answer(call, collection, NULL);
  engine_collection_release(collection);
}

/* What push and pull have in common. */
struct push_request {
  const vecdb_field *field;
  vecdb_keys keys;
  uint64_t *versions; /* one per key */
  float *values;      /* one vector per key */
};

/* Reads "field" and "keys" of a request; false after answering. */
static bool push_read(struct srv_call *call, const struct engine_collection *collection,
                      struct push_request *out) {
  const vecdb_schema *schema = engine_collection_schema(collection);
  const char *name = NULL;
  json_t *array = NULL;
  if (!srv_take_text(call, call->json, "field", &name) ||
      !srv_take_array(call, call->json, "keys", &array))
    return false;
  for (uint32_t f = 0; name && f < schema->n_fields; f++)
    if (strcmp(schema->fields[f].name, name) == 0)
      out->field = &schema->fields[f];
  if (!name || !array || !out->field) {
    srv_call_fail(call, 400, name && array ? "UNKNOWN_FIELD" : "ARGUMENT",
                  "\"field\" names a vector, and \"keys\" rows");
    return false;
  }
  if (out->field->type != VECDB_FLOAT_VECTOR) {
    srv_call_fail(call, 400, "TYPE", "\"%.100s\" is no FLOAT_VECTOR", name);
    return false;
  }
  if (!srv_keys_read(call, srv_schema_key(schema), array, &out->keys))
    return false;
  out->versions = srv_arena_array(&call->arena, out->keys.n + 1, sizeof *out->versions);
  out->values = srv_arena_array(&call->arena, (out->keys.n + 1) * out->field->dim, sizeof(float));
  if (!out->versions || !out->values)
    srv_call_no_memory(call);
  return out->versions && out->values;
}

/* Reads "values", one per key. */
static bool push_values(struct srv_call *call, const struct push_request *request) {
  json_t *array = NULL;
  uint32_t ignored, dim = request->field->dim;
  if (!srv_take_array(call, call->json, "values", &array))
    return false;
  if (json_array_size(array) != request->keys.n) {
    srv_call_fail(call, 400, "ARGUMENT", "\"values\" has %zu vectors for %zu keys",
                  json_array_size(array), request->keys.n);
    return false;
  }
  for (size_t i = 0; i < request->keys.n; i++)
    if (!srv_value_read(call, request->field, json_array_get(array, i), request->values + i * dim,
                        &ignored)) {
      srv_call_fail(call, 400, "DIMENSION", "vector %zu is not one of %u numbers", i, dim);
      return false;
    }
  return true;
}

/* Reads "expected", one version per key, if it is there. */
static bool push_expected(struct srv_call *call, const struct push_request *request,
                          const uint64_t **out) {
  json_t *array = NULL;
  if (!srv_take_array(call, call->json, "expected", &array))
    return false;
  if (!array)
    return true;
  uint64_t *expected = srv_arena_array(&call->arena, request->keys.n + 1, sizeof *expected);
  bool good = json_array_size(array) == request->keys.n;
  for (size_t i = 0; expected && good && i < request->keys.n; i++) {
    json_t *version = json_array_get(array, i);
    good = json_is_integer(version) && json_integer_value(version) >= 0;
    expected[i] = (uint64_t)json_integer_value(version);
  }
  if (!expected)
    srv_call_no_memory(call);
  else if (!good)
    srv_call_fail(call, 400, "ARGUMENT", "\"expected\" has a version for each key");
  *out = expected;
  return expected && good;
}

static json_t *push_versions(const struct push_request *request) {
  json_t *list = json_array();
  for (size_t i = 0; i < request->keys.n; i++)
    json_array_append_new(list, json_integer((json_int_t)request->versions[i]));
  return list;
}

/* {"field", "keys", "values", "kind", "insert", "expected"}; gives the versions afterwards. */
void srv_rows_push(struct srv_call *call) {
  static const char *const keys[] = {"field", "keys",   "values",   "kind",
                                     "insert", "expected", NULL};
  static const char *const kinds[] = {"gradient", "delta", "value", NULL};
  struct push_request request = {.field = NULL};
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  vecdb_error error;
  bool insert = false;
  if (!srv_only_keys(call, call->json, keys) ||
      (params.kind = push_word(call, "kind", kinds)) < 0 ||
      !srv_take_flag(call, call->json, "insert", &insert))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  if (push_read(call, collection, &request) && push_values(call, &request) &&
      push_expected(call, &request, &params.expected)) {
    params.flags = insert ? VECDB_PUSH_INSERT : 0;
    params.field = request.field->name;
    params.keys = &request.keys;
    params.values = request.values;
    params.dim = request.field->dim;
    if (srv_guard_push(call, collection, &params, request.versions, &error) != VECDB_OK)
      srv_call_error(call, &error);
    else
      srv_call_answer(call, 200, json_pack("{s:o}", "versions", push_versions(&request)));
  }
  engine_collection_release(collection);
}

/* One vector per key, or null. */
static json_t *push_vectors(const struct push_request *request) {
  json_t *list = json_array();
  vecdb_value value = {.type = VECDB_FLOAT_VECTOR, .length = request->field->dim};
  for (size_t i = 0; i < request->keys.n; i++) {
    value.as.data = request->values + i * request->field->dim;
    json_array_append_new(list, request->versions[i] ? srv_value_write(value) : json_null());
  }
  return list;
}

/* {"field", "keys"}; gives versions, 0 where there is no such row, and vectors. */
void srv_rows_pull(struct srv_call *call) {
  static const char *const keys[] = {"field", "keys", NULL};
  struct push_request request = {.field = NULL};
  vecdb_error error;
  if (!srv_only_keys(call, call->json, keys))
    return;
  struct engine_collection *collection = srv_call_collection(call, call->args[0]);
  if (!collection)
    return;
  if (push_read(call, collection, &request)) {
    const struct srv_guard_pull pull = {request.field->name, &request.keys, request.field->dim,
                                        request.values, request.versions};
    if (srv_guard_pull(call, collection, &pull, &error) != VECDB_OK)
      srv_call_error(call, &error);
    else
      srv_call_answer(call, 200,
                      json_pack("{s:o, s:o}", "versions", push_versions(&request), "vectors",
                                push_vectors(&request)));
  }
  engine_collection_release(collection);
}
