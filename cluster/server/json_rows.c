/* json_rows.c - rows, keys and filters in JSON; see json_rows.h. */
#include "server/json_rows.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "server/json_field.h"
#include "server/json_numbers.h"
#include "server/json_schema.h"
#include "server/json_sparse.h"

/* ---- Values in ------------------------------------------------------------------------------- */

size_t srv_value_bytes(const vecdb_field *field) {
  switch (field->type) {
  case VECDB_BOOL:
  case VECDB_INT8:
    return 1;
  case VECDB_INT16:
    return 2;
  case VECDB_INT32:
  case VECDB_FLOAT:
    return 4;
  case VECDB_INT64:
  case VECDB_DOUBLE:
    return 8;
  case VECDB_VARCHAR:
  case VECDB_ARRAY:
  case VECDB_JSON:
    return sizeof(void *);
  case VECDB_FLOAT_VECTOR:
    return (size_t)field->dim * 4;
  case VECDB_FLOAT16_VECTOR:
  case VECDB_BFLOAT16_VECTOR:
    return (size_t)field->dim * 2;
  case VECDB_INT8_VECTOR:
    return field->dim;
  case VECDB_SPARSE_VECTOR:
    return sizeof(vecdb_sparse);
  default:
    return field->dim / 8;
  }
}

static bool value_integer(json_t *value, int64_t low, int64_t high, int64_t *out) {
  *out = json_integer_value(value);
  return json_is_integer(value) && *out >= low && *out <= high;
}

static bool value_scalar(int32_t type, json_t *value, void *to) {
  int64_t n = 0;
  float single;
  double number = json_number_value(value);
  switch (type) {
  case VECDB_BOOL:
    *(bool *)to = json_is_true(value);
    return json_is_boolean(value);
  case VECDB_INT8:
    return value_integer(value, INT8_MIN, INT8_MAX, &n) && (memcpy(to, &(int8_t){(int8_t)n}, 1), 1);
  case VECDB_INT16:
    return value_integer(value, INT16_MIN, INT16_MAX, &n) &&
           (memcpy(to, &(int16_t){(int16_t)n}, 2), 1);
  case VECDB_INT32:
    return value_integer(value, INT32_MIN, INT32_MAX, &n) &&
           (memcpy(to, &(int32_t){(int32_t)n}, 4), 1);
  case VECDB_INT64:
    return value_integer(value, INT64_MIN, INT64_MAX, &n) && (memcpy(to, &n, 8), 1);
  case VECDB_FLOAT:
    single = (float)number;
    memcpy(to, &single, 4);
    return json_is_number(value);
  case VECDB_DOUBLE:
    memcpy(to, &number, 8);
    return json_is_number(value);
  default:
    return false;
  }
}

/* Elements of an INT8 or a BINARY vector: small integers. */
static bool value_bytes(json_t *array, size_t n, int64_t low, int64_t high, uint8_t *to) {
  for (size_t i = 0; i < n; i++) {
    int64_t element;
    if (!value_integer(json_array_get(array, i), low, high, &element))
      return false;
    to[i] = (uint8_t)element;
  }
  return true;
}

static bool value_floats(json_t *value, float *to) {
  if (srv_numbers_floats(value, to))
    return true;
  for (size_t i = 0; i < json_array_size(value); i++) {
    json_t *element = json_array_get(value, i);
    if (!json_is_number(element))
      return false;
    to[i] = (float)json_number_value(element);
  }
  return true;
}

static bool value_vector(struct srv_call *call, const vecdb_field *field, json_t *value, void *to) {
  size_t n = field->type == VECDB_BINARY_VECTOR ? field->dim / 8 : field->dim;
  if (srv_numbers_count(value) != n)
    return false;
  if (field->type == VECDB_INT8_VECTOR)
    return value_bytes(value, n, INT8_MIN, INT8_MAX, to);
  if (field->type == VECDB_BINARY_VECTOR)
    return value_bytes(value, n, 0, UINT8_MAX, to);
  bool wide = field->type == VECDB_FLOAT_VECTOR;
  float *floats = wide ? to : srv_arena_array(&call->arena, n, sizeof *floats);
  if (!floats)
    return false;
  if (!value_floats(value, floats))
    return false;
  if (field->type == VECDB_FLOAT16_VECTOR)
    vecdb_to_float16(floats, to, n);
  else if (field->type == VECDB_BFLOAT16_VECTOR)
    vecdb_to_bfloat16(floats, to, n);
  return true;
}

/* Numbers that are not all integers. */
static bool value_numbers(int32_t type, const json_t *value, void *to) {
  double *doubles = to;
  if (type == VECDB_FLOAT)
    return srv_numbers_floats(value, to);
  for (size_t i = 0; type == VECDB_DOUBLE && i < srv_numbers_count(value); i++)
    doubles[i] = srv_numbers_get(value, i);
  return type == VECDB_DOUBLE;
}

static bool value_array(struct srv_call *call, const vecdb_field *field, json_t *value,
                        const void **to, uint32_t *length) {
  vecdb_field element = {.type = field->element_type};
  size_t n = srv_numbers_count(value);
  bool numbers = srv_is_numbers(value);
  if ((!numbers && !json_is_array(value)) || n > VECDB_MAX_ARRAY)
    return false;
  bool strings = element.type == VECDB_VARCHAR;
  size_t bytes = strings ? sizeof(vecdb_string) : srv_value_bytes(&element);
  uint8_t *packed = srv_arena_array(&call->arena, n + 1, bytes);
  *to = packed;
  *length = (uint32_t)n;
  if (!packed || numbers)
    return packed && value_numbers(element.type, value, packed);
  for (size_t i = 0; i < n; i++) {
    json_t *one = json_array_get(value, i);
    if (strings && json_is_string(one))
      ((vecdb_string *)(void *)packed)[i] =
          (vecdb_string){json_string_value(one), json_string_length(one)};
    else if (strings || !value_scalar(element.type, one, packed + i * bytes))
      return false;
  }
  return true;
}

bool srv_value_read(struct srv_call *call, const vecdb_field *field, json_t *value, void *to,
                    uint32_t *length) {
  if (field->type == VECDB_SPARSE_VECTOR)
    return srv_sparse_read(call, value, to);
  if (srv_type_is_vector(field->type))
    return value_vector(call, field, value, to);
  if (field->type == VECDB_ARRAY)
    return value_array(call, field, value, to, length);
  if (field->type == VECDB_JSON)
    return srv_json_field_read(call, value, to, length);
  if (field->type != VECDB_VARCHAR)
    return value_scalar(field->type, value, to);
  if (!json_is_string(value) || srv_is_numbers(value) || json_string_length(value) > UINT32_MAX)
    return false;
  const char *text = json_string_value(value);
  memcpy(to, &text, sizeof text);
  *length = (uint32_t)json_string_length(value);
  return true;
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void rows_wrong(struct srv_call *call, size_t row, const vecdb_field *field, json_t *value) {
  vecdb_error e = {.code = VECDB_ERR_TYPE, .row = (int64_t)row, .position = -1};
  snprintf(e.field, sizeof e.field, "%.60s", field->name);
  size_t wanted = field->type == VECDB_BINARY_VECTOR ? field->dim / 8 : field->dim;
  size_t n = srv_numbers_count(value);
  if (srv_type_is_dense(field->type) && (n || json_is_array(value)) && n != wanted) {
    e.code = VECDB_ERR_DIMENSION;
    snprintf(e.message, sizeof e.message, "row %zu: \"%.100s\" has %zu elements, not %zu", row,
             field->name, n, wanted);
  } else {
    snprintf(e.message, sizeof e.message, "row %zu: \"%.100s\" is no %s", row, field->name,
             srv_type_name(field->type));
  }
  srv_call_error(call, &e);
}

/* The value that stands for an absent one, in C form; false: there is none, so it is null. */
static bool rows_default(const vecdb_field *field, void *to, uint32_t *length) {
  const vecdb_value *v = &field->default_value;
  if (!(field->flags & VECDB_HAS_DEFAULT))
    return false;
  float single = (float)v->as.number;
  *length = v->length;
  if (field->type == VECDB_FLOAT)
    memcpy(to, &single, sizeof single);
  else if (field->type == VECDB_DOUBLE)
    memcpy(to, &v->as.number, sizeof v->as.number);
  else if (field->type == VECDB_BOOL)
    memcpy(to, &v->as.boolean, 1);
  else if (srv_type_is_text(field->type))
    memcpy(to, &v->as.data, sizeof v->as.data);
  else
    memcpy(to, &v->as.integer, srv_value_bytes(field)); /* little-endian */
  return true;
}

/* The column of a field; *present says whether any row brings it. */
static bool rows_column(struct srv_call *call, const vecdb_field *field, json_t *rows,
                        vecdb_column *column, bool *present) {
  size_t n = json_array_size(rows), bytes = srv_value_bytes(field);
  *present = false;
  for (size_t i = 0; i < n && !*present; i++)
    *present = json_object_get(json_array_get(rows, i), field->name) != NULL;
  if (!*present)
    return true;
  uint8_t *data = srv_arena_array(&call->arena, n, bytes);
  uint8_t *valid = srv_arena_take(&call->arena, n);
  uint32_t *lengths = srv_arena_array(&call->arena, n, sizeof *lengths);
  if (!data || !valid || !lengths) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    json_t *value = json_object_get(json_array_get(rows, i), field->name);
    valid[i] = value ? !json_is_null(value) : rows_default(field, data + i * bytes, &lengths[i]);
    if (value && valid[i] && !srv_value_read(call, field, value, data + i * bytes, &lengths[i])) {
      rows_wrong(call, i, field, value);
      return false;
    }
  }
  bool sized = srv_type_is_text(field->type) || field->type == VECDB_ARRAY;
  *column = (vecdb_column){.field = field->name, .data = data, .stride = bytes, .valid = valid};
  column->lengths = sized ? lengths : NULL;
  return true;
}

/* Each row is an object without unknown members. */
static bool rows_check(struct srv_call *call, const vecdb_schema *schema, json_t *rows) {
  for (size_t i = 0; i < json_array_size(rows); i++) {
    json_t *row = json_array_get(rows, i);
    if (!json_is_object(row)) {
      srv_call_fail(call, 400, "ARGUMENT", "row %zu is not an object", i);
      return false;
    }
    const char *key;
    json_t *value;
    json_object_foreach(row, key, value) {
      if (srv_schema_field(schema, key))
        continue;
      vecdb_error e = {.code = VECDB_ERR_UNKNOWN_FIELD, .row = (int64_t)i, .position = -1};
      snprintf(e.field, sizeof e.field, "%.60s", key);
      snprintf(e.message, sizeof e.message, "row %zu: there is no field \"%.100s\"", i, key);
      srv_call_error(call, &e);
      return false;
    }
  }
  return true;
}

bool srv_rows_read(struct srv_call *call, const vecdb_schema *schema, json_t *rows,
                   vecdb_batch *out) {
  *out = (vecdb_batch)VECDB_BATCH_INIT;
  size_t n = json_array_size(rows);
  if (n == 0 || n > VECDB_MAX_BATCH_ROWS) {
    srv_call_fail(call, 400, "LIMIT", "\"rows\" must be an array of 1 to %d rows",
                  VECDB_MAX_BATCH_ROWS);
    return false;
  }
  if (!rows_check(call, schema, rows))
    return false;
  vecdb_column *columns = srv_arena_array(&call->arena, schema->n_fields, sizeof *columns);
  if (!columns) {
    srv_call_no_memory(call);
    return false;
  }
  uint32_t n_columns = 0;
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    bool present;
    if (!rows_column(call, &schema->fields[i], rows, &columns[n_columns], &present))
      return false;
    n_columns += present;
  }
  out->columns = columns;
  out->n_columns = n_columns;
  out->n_rows = (uint32_t)n;
  return true;
}

/* ---- Values out ------------------------------------------------------------------------------ */

static json_t *value_number(double number) {
  return isfinite(number) ? json_real(number) : json_null();
}

static json_t *value_write_vector(vecdb_value v) {
  uint32_t n = v.type == VECDB_BINARY_VECTOR ? v.length / 8 : v.length;
  const uint8_t *data = v.as.data;
  json_t *out = json_array();
  for (uint32_t i = 0; i < n; i++) {
    float f;
    if (v.type == VECDB_FLOAT_VECTOR)
      memcpy(&f, data + (size_t)i * 4, 4);
    else if (v.type == VECDB_FLOAT16_VECTOR)
      vecdb_from_float16((const uint16_t *)v.as.data + i, &f, 1);
    else if (v.type == VECDB_BFLOAT16_VECTOR)
      vecdb_from_bfloat16((const uint16_t *)v.as.data + i, &f, 1);
    if (v.type >= VECDB_INT8_VECTOR)
      json_array_append_new(out,
                            json_integer(v.type == VECDB_INT8_VECTOR ? (int8_t)data[i] : data[i]));
    else
      json_array_append_new(out, value_number(f));
  }
  return out;
}

/* Element i of a packed array. */
static vecdb_value value_element(vecdb_value array, uint32_t i) {
  vecdb_value v = {.type = array.element_type};
  vecdb_field element = {.type = array.element_type};
  const uint8_t *at = (const uint8_t *)array.as.data;
  float single;
  if (v.type == VECDB_VARCHAR) {
    const vecdb_string *s = (const vecdb_string *)array.as.data + i;
    v.length = (uint32_t)s->length;
    v.as.data = s->data;
    return v;
  }
  at += i * srv_value_bytes(&element);
  switch (v.type) {
  case VECDB_BOOL:
    v.as.boolean = *at != 0;
    break;
  case VECDB_INT8:
    v.as.integer = (int8_t)*at;
    break;
  case VECDB_INT16:
    v.as.integer = *(const int16_t *)(const void *)at;
    break;
  case VECDB_INT32:
    v.as.integer = *(const int32_t *)(const void *)at;
    break;
  case VECDB_FLOAT:
    memcpy(&single, at, sizeof single);
    v.as.number = single;
    break;
  default:
    memcpy(&v.as, at, 8);
  }
  return v;
}

static json_t *value_write_array(vecdb_value v) {
  json_t *out = json_array();
  for (uint32_t i = 0; i < v.length; i++)
    json_array_append_new(out, srv_value_write(value_element(v, i)));
  return out;
}

json_t *srv_value_write(vecdb_value v) {
  switch (v.type) {
  case 0:
    return json_null();
  case VECDB_BOOL:
    return json_boolean(v.as.boolean);
  case VECDB_INT8:
  case VECDB_INT16:
  case VECDB_INT32:
  case VECDB_INT64:
    return json_integer(v.as.integer);
  case VECDB_FLOAT:
  case VECDB_DOUBLE:
    return value_number(v.as.number);
  case VECDB_VARCHAR:
    return json_stringn(v.as.data, v.length);
  case VECDB_ARRAY:
    return value_write_array(v);
  case VECDB_JSON:
    return srv_json_field_write(v);
  case VECDB_SPARSE_VECTOR:
    return srv_sparse_write(v);
  default:
    return value_write_vector(v);
  }
}

json_t *srv_row_write(const struct engine_rows *rows, size_t row, size_t skip) {
  json_t *out = json_object();
  for (size_t c = 0; out && c < engine_rows_n_fields(rows); c++)
    if (c != skip)
      json_object_set_new(out, engine_rows_field(rows, c),
                          srv_value_write(engine_rows_value(rows, row, c)));
  return out;
}

/* ---- Keys and filters ------------------------------------------------------------------------ */

bool srv_keys_read(struct srv_call *call, const vecdb_field *key, json_t *array, vecdb_keys *out) {
  size_t n = json_array_size(array);
  bool strings = key->type == VECDB_VARCHAR;
  int64_t *integers = srv_arena_array(&call->arena, n + 1, sizeof *integers);
  vecdb_string *texts = srv_arena_array(&call->arena, n + 1, sizeof *texts);
  if (!integers || !texts) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    json_t *one = json_array_get(array, i);
    if (strings ? !json_is_string(one) : !json_is_integer(one)) {
      srv_call_fail(call, 400, "TYPE", "key %zu is no %s", i, srv_type_name(key->type));
      return false;
    }
    integers[i] = json_integer_value(one);
    texts[i] = (vecdb_string){json_string_value(one), json_string_length(one)};
  }
  *out = (vecdb_keys){strings ? NULL : integers, strings ? texts : NULL, n};
  return true;
}

/* A value of any type that JSON has, for a filter's parameter. */
static bool filter_value(struct srv_call *call, json_t *json, vecdb_value *out) {
  if (json_is_boolean(json)) {
    out->type = VECDB_BOOL;
    out->as.boolean = json_is_true(json);
  } else if (json_is_integer(json)) {
    out->type = VECDB_INT64;
    out->as.integer = json_integer_value(json);
  } else if (json_is_real(json)) {
    out->type = VECDB_DOUBLE;
    out->as.number = json_real_value(json);
  } else if (json_is_string(json)) {
    out->type = VECDB_VARCHAR;
    out->as.data = json_string_value(json);
    out->length = (uint32_t)json_string_length(json);
  } else if (json_is_array(json)) {
    vecdb_value first = {.type = VECDB_INT64};
    json_t *head = json_array_get(json, 0);
    if (head && (json_is_array(head) || !filter_value(call, head, &first)))
      return false;
    vecdb_field list = {.type = VECDB_ARRAY, .element_type = first.type};
    out->type = VECDB_ARRAY;
    out->element_type = first.type;
    return value_array(call, &list, json, &out->as.data, &out->length);
  } else {
    return json_is_null(json);
  }
  return true;
}

bool srv_filter_read(struct srv_call *call, json_t *object, vecdb_filter *out) {
  json_t *params = json_object_get(object, "params");
  if (!srv_take_text(call, object, "filter", &out->text))
    return false;
  if (!params || json_is_null(params))
    return true;
  if (!json_is_object(params)) {
    srv_call_fail(call, 400, "ARGUMENT", "\"params\" must be an object of values by name");
    return false;
  }
  vecdb_param *list = srv_arena_array(&call->arena, json_object_size(params) + 1, sizeof *list);
  if (!list) {
    srv_call_no_memory(call);
    return false;
  }
  const char *name;
  json_t *value;
  size_t n = 0;
  json_object_foreach(params, name, value) {
    list[n].name = name;
    if (!filter_value(call, value, &list[n++].value)) {
      srv_call_fail(call, 400, "FILTER_PARAM",
                    "the parameter \"%.100s\" is neither a value nor an"
                    " array of values of one type, at most %d",
                    name, VECDB_MAX_ARRAY);
      return false;
    }
  }
  out->params = list;
  out->n_params = n;
  return true;
}
