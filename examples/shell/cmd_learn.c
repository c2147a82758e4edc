/* cmd_learn.c - vectors that learn: optimizers, pushes and pulls. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "rows.h"
#include "table.h"
#include "value.h"

static const char *const kinds[] = {"average", "adagrad", "adam"};

/* ---- Optimizers ---- */

static int optimizer_read(const struct call *call, vecdb_optimizer *out, vecdb_error *error) {
  double rate = 0, beta1 = 0, beta2 = 0, epsilon = 0;
  const char *unit = call_option(call, "unit");
  bool is_unit = false;
  uint64_t window = 0;
  int status = call_choice(call, "kind", kinds, 3, &out->kind, error);
  if (!status)
    status = call_number(call, "window", 0, UINT32_MAX, 0, &window, error);
  if (!status)
    status = call_real(call, "rate", &rate, error);
  if (!status)
    status = call_real(call, "beta1", &beta1, error);
  if (!status)
    status = call_real(call, "beta2", &beta2, error);
  if (!status)
    status = call_real(call, "epsilon", &epsilon, error);
  if (!status && unit)
    status = parse_switch(unit, &is_unit, error);
  out->window = (uint32_t)window;
  out->rate = (float)rate;
  out->beta1 = (float)beta1;
  out->beta2 = (float)beta2;
  out->epsilon = (float)epsilon;
  out->unit = is_unit;
  return status;
}

int cmd_optimizer_set(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_optimizer optimizer = VECDB_OPTIMIZER_INIT;
  int status = optimizer_read(call, &optimizer, error);
  if (!status)
    status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_optimizer_set(collection, call->place[1], &optimizer, control_begin("changing"),
                               error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_optimizer_drop(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_optimizer_set(collection, call->place[1], NULL, control_begin("changing"), error);
  control_end();
  vecdb_collection_release(collection);
  return status;
}

int cmd_optimizer_show(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_optimizer o = VECDB_OPTIMIZER_INIT;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = vecdb_optimizer_get(collection, call->place[1], &o, error);
  vecdb_collection_release(collection);
  if (status)
    return status;
  struct text line = {0};
  text_printf(&line, shell->json ? "{\"kind\": \"%s\", \"rate\": " : "kind=%s rate=",
              kinds[o.kind]);
  put_float(&line, o.rate);
  const char *form = shell->json ? ", \"%s\": " : " %s=";
  const struct {
    const char *name;
    float value;
  } numbers[] = {{"window", (float)o.window}, {"beta1", o.beta1}, {"beta2", o.beta2},
                 {"epsilon", o.epsilon}};
  for (size_t i = 0; i < 4; i++)
    if (numbers[i].value != 0) { /* what the kind has no use for is zero */
      text_printf(&line, form, numbers[i].name);
      put_float(&line, numbers[i].value);
    }
  text_printf(&line, form, "unit");
  text_puts(&line, shell->json ? (o.unit ? "true}" : "false}") : (o.unit ? "yes" : "no"));
  puts(text_string(&line));
  text_free(&line);
  return VECDB_OK;
}

/* ---- push ---- */

/* The FLOAT_VECTOR in the second place. */
static int learn_field(const struct call *call, const vecdb_schema *schema,
                       const vecdb_field **out, vecdb_error *error) {
  int at = schema_find(schema, call->place[1]);
  if (at < 0)
    return fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field '%.80s'", call->place[1]);
  *out = &schema->fields[at];
  return (*out)->type == VECDB_FLOAT_VECTOR
             ? VECDB_OK
             : fail(error, VECDB_ERR_TYPE, "'%s' is no vector of floats", call->place[1]);
}

static int push_options(const struct call *call, vecdb_push_params *params, uint64_t *expected,
                        vecdb_error *error) {
  static const char *const pushes[] = {"gradient", "delta", "value"};
  const char *insert = call_option(call, "insert");
  bool is_insert = false;
  int status = call_choice(call, "kind", pushes, 3, &params->kind, error);
  if (!status)
    status = call_number(call, "expected", 0, UINT64_MAX, 0, expected, error);
  if (!status && insert)
    status = parse_switch(insert, &is_insert, error);
  params->expected = call_option(call, "expected") ? expected : NULL;
  params->flags = is_insert ? VECDB_PUSH_INSERT : 0;
  return status;
}

static int push_vector(const struct call *call, const vecdb_field *field, float *out,
                       vecdb_error *error) {
  const char *text = call_option(call, "vector");
  json_error_t wrong;
  if (!text)
    return fail(error, VECDB_ERR_ARGUMENT, "say what is pushed: vector=[...]");
  json_t *json = json_loads(text, 0, &wrong);
  int status = json ? vector_read(json, field, out, error)
                    : fail(error, VECDB_ERR_TYPE, "no vector: %.200s", wrong.text);
  json_decref(json);
  return status;
}

int cmd_push(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  vecdb_push_params params = VECDB_PUSH_PARAMS_INIT;
  const vecdb_field *field;
  struct key_list keys = {0};
  uint64_t expected = 0, version = 0;
  float *vector = NULL;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = learn_field(call, vecdb_collection_schema(collection), &field, error);
  if (!status)
    status = keys_read(call, 2, vecdb_collection_schema(collection), &keys, error);
  if (!status)
    status = push_options(call, &params, &expected, error);
  if (!status) {
    vector = mem_new(field->dim, sizeof *vector);
    status = push_vector(call, field, vector, error);
  }
  params.field = call->place[1];
  params.keys = &keys.keys;
  params.values = vector;
  if (!status)
    status = vecdb_push(collection, &params, &version, error);
  if (!status)
    printf(shell->json ? "{\"version\": %" PRIu64 "}\n" : "version %" PRIu64 "\n", version);
  free(vector);
  keys_free(&keys);
  vecdb_collection_release(collection);
  return status;
}

/* ---- pull ---- */

static void pull_print(const struct shell *shell, const struct call *call,
                       const vecdb_field *field, const float *values, const uint64_t *versions) {
  struct table table;
  struct text cell = {0};
  table_begin(&table, 3);
  table_puts(&table, "key");
  table_puts(&table, "version");
  table_puts(&table, field->name);
  table_right(&table, 1);
  for (size_t i = 0; i < call->n_places - 2; i++) {
    const char *key = call->place[i + 2];
    vecdb_value vector = {.type = versions[i] ? VECDB_FLOAT_VECTOR : 0, .length = field->dim};
    vector.as.data = values + i * field->dim;
    text_clear(&cell);
    if (shell->json) {
      text_puts(&cell, "{\"key\": ");
      put_string(&cell, key, strlen(key));
      text_printf(&cell, ", \"version\": %" PRIu64 ", \"vector\": ", versions[i]);
      put_value(&cell, &vector);
      printf("%s}\n", text_string(&cell));
      continue;
    }
    char version[32];
    table_puts(&table, key);
    table_puts(&table, number_text(versions[i], version));
    put_cell(&cell, &vector);
    table_cell(&table, text_string(&cell), cell.length);
  }
  if (!shell->json)
    table_print(&table, table_width(shell));
  table_free(&table);
  text_free(&cell);
}

int cmd_pull(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  const vecdb_field *field;
  struct key_list keys = {0};
  float *values = NULL;
  uint64_t *versions = mem_new(call->n_places, sizeof *versions);
  int status = call_collection(shell, call, &collection, error);
  const vecdb_schema *schema = status ? NULL : vecdb_collection_schema(collection);
  if (!status)
    status = learn_field(call, schema, &field, error);
  if (!status)
    status = keys_read(call, 2, schema, &keys, error);
  if (!status) {
    values = mem_new(keys.keys.n * field->dim, sizeof *values);
    status = vecdb_pull(collection, field->name, &keys.keys, values, 0, versions, error);
  }
  if (!status)
    pull_print(shell, call, field, values, versions);
  free(values);
  free(versions);
  keys_free(&keys);
  vecdb_collection_release(collection);
  return status;
}
