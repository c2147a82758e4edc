/* columns_make.c - columns from batches and tables, and back to batches and values. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "wire/columns.h"

__attribute__((format(printf, 4, 5))) static int make_fail(vecdb_error *error, int code,
                                                           const char *field, const char *format,
                                                           ...) {
  if (!error)
    return code;
  va_list args;
  va_start(args, format);
  *error = (vecdb_error){.code = code, .row = -1, .position = -1};
  snprintf(error->field, sizeof error->field, "%s", field);
  vsnprintf(error->message, sizeof error->message, format, args);
  va_end(args);
  return code;
}

static const vecdb_field *make_field(const vecdb_schema *schema, const char *name) {
  for (uint32_t i = 0; name && i < schema->n_fields; i++)
    if (!strcmp(schema->fields[i].name, name))
      return &schema->fields[i];
  return NULL;
}

int wire_columns_of_batch(const vecdb_schema *schema, const vecdb_batch *batch,
                          struct wire_mem *mem, struct wire_columns *out, vecdb_error *error) {
  if (!batch->n_rows || !batch->n_columns || !batch->columns)
    return make_fail(error, VECDB_ERR_ARGUMENT, "", "the batch has no rows or no columns");
  if (batch->n_rows > VECDB_MAX_BATCH_ROWS || batch->n_columns > VECDB_MAX_FIELDS)
    return make_fail(error, VECDB_ERR_LIMIT, "", "too many rows or columns in a batch");
  struct wire_column *columns = wire_mem_get(mem, batch->n_columns, sizeof *columns);
  if (!columns)
    return make_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  for (uint32_t i = 0; i < batch->n_columns; i++) {
    const vecdb_column *c = &batch->columns[i];
    const vecdb_field *f = make_field(schema, c->field);
    if (!f)
      return make_fail(error, VECDB_ERR_UNKNOWN_FIELD, c->field ? c->field : "",
                       "the collection has no field \"%.64s\"", c->field ? c->field : "");
    if (c->dim && c->dim != f->dim && wire_type_dense(f->type))
      return make_fail(error, VECDB_ERR_DIMENSION, f->name, "%.64s has %u dimensions, not %u",
                       f->name, f->dim, c->dim);
    columns[i] = (struct wire_column){c->field,
                                      f->type,
                                      f->type == VECDB_ARRAY ? f->element_type : 0,
                                      wire_type_dense(f->type) ? f->dim : 0,
                                      c->data,
                                      c->stride,
                                      c->lengths,
                                      c->valid};
  }
  *out = (struct wire_columns){batch->n_rows, batch->n_columns, columns, NULL};
  return VECDB_OK;
}

static bool make_fits(const struct wire_column *c, const vecdb_field *f) {
  if (!c->data)
    return !c->type || c->type == f->type;
  return c->type == f->type && (c->type != VECDB_ARRAY || c->element_type == f->element_type);
}

int wire_batch_of_columns(const vecdb_schema *schema, const struct wire_columns *columns,
                          struct wire_mem *mem, vecdb_batch *out, vecdb_error *error) {
  vecdb_column *made = wire_mem_get(mem, columns->n_columns, sizeof *made);
  if (!made)
    return make_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  for (uint32_t i = 0; i < columns->n_columns; i++) {
    const struct wire_column *c = &columns->columns[i];
    const vecdb_field *f = make_field(schema, c->name);
    if (!f)
      return make_fail(error, VECDB_ERR_UNKNOWN_FIELD, c->name,
                       "the collection has no field \"%.64s\"", c->name);
    if (!make_fits(c, f))
      return make_fail(error, VECDB_ERR_TYPE, c->name, "%.64s is of another type", c->name);
    made[i] = (vecdb_column){c->name, c->data, c->stride, c->lengths, c->valid, c->dim};
  }
  *out = (vecdb_batch){sizeof *out, sizeof *made, made, columns->n_columns, columns->n_rows};
  return VECDB_OK;
}

/* ---- Tables ---- */

/* The type of a column by its first value. */
static void make_type(const struct wire_table *table, uint32_t column, struct wire_column *c) {
  vecdb_value v = {0};
  for (uint32_t row = 0; row < table->n_rows && !v.type; row++)
    v = table->value(table->arg, row, column);
  c->type = v.type;
  c->element_type = v.type == VECDB_ARRAY ? v.element_type : 0;
  c->dim = wire_type_dense(v.type) ? v.length : 0;
}

static void make_number(void *to, const vecdb_value *v) {
  const int64_t i = v->as.integer;
  switch (v->type) {
    case VECDB_BOOL:
      memcpy(to, &(uint8_t){v->as.boolean}, 1);
      break;
    case VECDB_INT8:
      memcpy(to, &(int8_t){(int8_t)i}, 1);
      break;
    case VECDB_INT16:
      memcpy(to, &(int16_t){(int16_t)i}, 2);
      break;
    case VECDB_INT32:
      memcpy(to, &(int32_t){(int32_t)i}, 4);
      break;
    case VECDB_INT64:
      memcpy(to, &i, 8);
      break;
    case VECDB_FLOAT:
      memcpy(to, &(float){(float)v->as.number}, 4);
      break;
    default:
      memcpy(to, &v->as.number, 8);
  }
}

/* A value of the column's type into its place; the length, where it has one. */
static void make_cell(const struct wire_column *c, const vecdb_value *v, void *to,
                      uint32_t *length) {
  if (c->type == VECDB_SPARSE_VECTOR) {
    memcpy(to, &(vecdb_sparse){v->as.data, v->length}, sizeof(vecdb_sparse));
  } else if (wire_type_text(c->type) || c->type == VECDB_ARRAY) {
    memcpy(to, &v->as.data, sizeof v->as.data);
    *length = v->length;
  } else if (wire_type_dense(c->type)) {
    memcpy(to, v->as.data, wire_type_bytes(c->type, c->dim));
  } else {
    make_number(to, v);
  }
}

static bool make_column(const struct wire_table *table, uint32_t column, struct wire_mem *mem,
                        struct wire_column *c) {
  c->name = table->name(table->arg, column);
  make_type(table, column, c);
  if (!c->type)
    return true;
  size_t size = wire_type_bytes(c->type, c->dim), n = table->n_rows;
  bool lengths = wire_type_text(c->type) || c->type == VECDB_ARRAY;
  char *data = wire_mem_get(mem, n, size);
  uint8_t *valid = wire_mem_get(mem, n, 1);
  uint32_t *length = lengths ? wire_mem_get(mem, n, sizeof *length) : NULL;
  if (!data || !valid || (lengths && !length))
    return false;
  bool nulls = false;
  for (uint32_t row = 0; row < n; row++) {
    vecdb_value v = table->value(table->arg, row, column);
    valid[row] = v.type == c->type && (!c->dim || v.length == c->dim);
    nulls |= !valid[row];
    if (valid[row])
      make_cell(c, &v, data + row * size, lengths ? &length[row] : NULL);
  }
  c->data = data;
  c->lengths = length;
  c->valid = nulls ? valid : NULL;
  return true;
}

bool wire_columns_of_table(const struct wire_table *table, struct wire_mem *mem,
                           struct wire_columns *out) {
  struct wire_column *columns = wire_mem_get(mem, table->n_columns, sizeof *columns);
  if (!columns)
    return false;
  for (uint32_t i = 0; i < table->n_columns; i++)
    if (!make_column(table, i, mem, &columns[i]))
      return false;
  *out = (struct wire_columns){table->n_rows, table->n_columns, columns, NULL};
  return true;
}

/* ---- Values ---- */

static int64_t make_integer(int32_t type, const void *at) {
  int8_t i8;
  int16_t i16;
  int32_t i32;
  int64_t i64;
  switch (type) {
    case VECDB_INT8:
      memcpy(&i8, at, sizeof i8);
      return i8;
    case VECDB_INT16:
      memcpy(&i16, at, sizeof i16);
      return i16;
    case VECDB_INT32:
      memcpy(&i32, at, sizeof i32);
      return i32;
    default:
      memcpy(&i64, at, sizeof i64);
      return i64;
  }
}

static double make_real(int32_t type, const void *at) {
  float single;
  double number;
  if (type == VECDB_FLOAT) {
    memcpy(&single, at, sizeof single);
    return (double)single;
  }
  memcpy(&number, at, sizeof number);
  return number;
}

vecdb_value wire_columns_value(const struct wire_columns *columns, size_t row, size_t column) {
  vecdb_value v = {0};
  if (row >= columns->n_rows || column >= columns->n_columns)
    return v;
  const struct wire_column *c = &columns->columns[column];
  if (!c->data || (c->valid && !c->valid[row]))
    return v;
  size_t size = wire_type_bytes(c->type, c->dim);
  const char *at = (const char *)c->data + row * (c->stride ? c->stride : size);
  v.type = c->type;
  v.element_type = c->element_type;
  if (c->type == VECDB_SPARSE_VECTOR) {
    const vecdb_sparse *sparse = (const void *)at;
    v.length = (uint32_t)sparse->n;
    v.as.data = sparse->pairs;
  } else if (wire_type_text(c->type) || c->type == VECDB_ARRAY) {
    memcpy(&v.as.data, at, sizeof v.as.data);
    v.length = c->lengths ? c->lengths[row] : v.as.data ? (uint32_t)strlen(v.as.data) : 0;
  } else if (wire_type_dense(c->type)) {
    v.length = c->dim;
    v.as.data = at;
  } else if (c->type == VECDB_BOOL) {
    v.as.boolean = *at != 0;
  } else if (c->type <= VECDB_INT64) {
    v.as.integer = make_integer(c->type, at);
  } else {
    v.as.number = make_real(c->type, at);
  }
  return v;
}

int wire_columns_find(const struct wire_columns *columns, const char *name) {
  for (uint32_t i = 0; i < columns->n_columns; i++)
    if (!strcmp(columns->columns[i].name, name))
      return (int)i;
  return -1;
}
