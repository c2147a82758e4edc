/* rows.c - JSON objects and files of vectors into batches for a collection. */
#include "rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shell.h"
#include "value.h"

struct rows_column {
  char *data;
  size_t width;      /* of a value here */
  uint32_t *lengths; /* VARCHAR, JSON and ARRAY */
  uint8_t *valid;
  bool elsewhere;
  bool used; /* some row of the batch has a value */
};

int schema_find(const vecdb_schema *schema, const char *name) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (strcmp(schema->fields[i].name, name) == 0)
      return (int)i;
  return -1;
}

/* fail with the name of the field. */
static int fail_field(vecdb_error *error, const vecdb_field *field, int code, const char *what) {
  fail(error, code, "field '%s': %s", field->name, what);
  strncpy(error->field, field->name, sizeof error->field - 1);
  return code;
}

/* ---- Memory ---- */

static size_t column_width(const vecdb_field *field) {
  if (type_is_text(field->type) || field->type == VECDB_ARRAY)
    return sizeof(void *);
  if (field->type == VECDB_SPARSE_VECTOR)
    return sizeof(vecdb_sparse);
  return type_bytes(field->type, field->dim);
}

void rows_begin(struct rows *rows, const vecdb_schema *schema, size_t capacity) {
  memset(rows, 0, sizeof *rows);
  rows->schema = schema;
  rows->capacity = capacity;
  rows->columns = mem_new(schema->n_fields, sizeof *rows->columns);
  rows->objects = mem_new(capacity, sizeof(json_t *));
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    struct rows_column *c = &rows->columns[i];
    c->width = column_width(&schema->fields[i]);
    c->data = mem_new(capacity, c->width);
    c->lengths = mem_new(capacity, sizeof *c->lengths);
    c->valid = mem_new(capacity, 1);
  }
}

void rows_clear(struct rows *rows) {
  for (size_t i = 0; i < rows->n; i++) {
    json_decref(rows->objects[i]);
    rows->objects[i] = NULL;
  }
  for (size_t i = 0; i < rows->n_blocks; i++)
    free(rows->blocks[i]);
  rows->n_blocks = 0;
  for (uint32_t i = 0; i < rows->schema->n_fields; i++)
    rows->columns[i].used = false;
  rows->n = 0;
}

void rows_end(struct rows *rows) {
  rows_clear(rows);
  for (uint32_t i = 0; i < rows->schema->n_fields; i++) {
    free(rows->columns[i].data);
    free(rows->columns[i].lengths);
    free(rows->columns[i].valid);
  }
  free(rows->columns);
  free(rows->objects);
  free(rows->blocks);
  memset(rows, 0, sizeof *rows);
}

static void rows_keep(struct rows *rows, void *block) {
  rows->blocks = mem_resize(rows->blocks, rows->n_blocks + 1, sizeof *rows->blocks);
  rows->blocks[rows->n_blocks++] = block;
}

void rows_elsewhere(struct rows *rows, size_t field) { rows->columns[field].elsewhere = true; }

/* ---- Values ---- */

/* A whole number into an integer of `bytes`. */
static int integer_store(int64_t x, size_t bytes, void *out) {
  int64_t most = bytes == 8 ? INT64_MAX : ((int64_t)1 << (bytes * 8 - 1)) - 1;
  if (x > most || x < -most - 1)
    return VECDB_ERR_RANGE;
  memcpy(out, &x, bytes); /* the low bytes come first on every platform that vecdb runs on */
  return VECDB_OK;
}

/* A scalar of fixed size. */
static int scalar_store(const json_t *json, int32_t type, void *out) {
  if (type == VECDB_BOOL) {
    *(bool *)out = json_is_true(json);
    return json_is_boolean(json) ? VECDB_OK : VECDB_ERR_TYPE;
  }
  if (type == VECDB_FLOAT || type == VECDB_DOUBLE) {
    double x = json_number_value(json);
    float f = (float)x;
    memcpy(out, type == VECDB_FLOAT ? (void *)&f : (void *)&x, type_bytes(type, 0));
    return json_is_number(json) ? VECDB_OK : VECDB_ERR_TYPE;
  }
  if (!json_is_integer(json))
    return VECDB_ERR_TYPE;
  return integer_store(json_integer_value(json), type_bytes(type, 0), out);
}

static int fail_scalar(vecdb_error *error, const vecdb_field *field, int32_t type, int code) {
  char what[64];
  snprintf(what, sizeof what,
           code == VECDB_ERR_RANGE ? "a number that does not fit %s" : "a value that is no %s",
           type_word(type));
  return fail_field(error, field, code, what);
}

/* Pairs of an object from index to value, by ascending index. */
static int sparse_compare(const void *a, const void *b) {
  uint32_t x = ((const vecdb_sparse_pair *)a)->index, y = ((const vecdb_sparse_pair *)b)->index;
  return (x > y) - (x < y);
}

static int sparse_read(const json_t *json, const vecdb_field *field, vecdb_sparse *out,
                       vecdb_error *error) {
  if (!json_is_object(json))
    return fail_field(error, field, VECDB_ERR_TYPE, "a sparse vector is {\"INDEX\": VALUE, ...}");
  size_t n = json_object_size(json), i = 0;
  if (n > VECDB_MAX_SPARSE)
    return fail_field(error, field, VECDB_ERR_TOO_LONG, "too many pairs in a sparse vector");
  vecdb_sparse_pair *pairs = mem_new(n, sizeof *pairs);
  for (void *it = json_object_iter((json_t *)(uintptr_t)json); it;
       it = json_object_iter_next((json_t *)(uintptr_t)json, it), i++) {
    const char *key = json_object_iter_key(it);
    const json_t *value = json_object_iter_value(it);
    char *end;
    errno = 0;
    unsigned long long index = strtoull(key, &end, 10);
    bool digits = key[0] >= '0' && key[0] <= '9' && !*end;
    if (!digits || errno || index > UINT32_MAX || !json_is_number(value)) {
      free(pairs);
      return fail_field(
          error, field, !digits || !json_is_number(value) ? VECDB_ERR_TYPE : VECDB_ERR_RANGE,
          "an index of a sparse vector is a whole number of 32 bits, a value a number");
    }
    pairs[i] = (vecdb_sparse_pair){(uint32_t)index, (float)json_number_value(value)};
  }
  if (n)
    qsort(pairs, n, sizeof *pairs, sparse_compare);
  *out = (vecdb_sparse){pairs, n};
  return VECDB_OK;
}

/* Element i of a dense vector. */
static int element_store(const json_t *json, int32_t type, size_t i, char *out) {
  float x = (float)json_number_value(json);
  if (type == VECDB_INT8_VECTOR || type == VECDB_BINARY_VECTOR) {
    int64_t least = type == VECDB_INT8_VECTOR ? INT8_MIN : 0;
    int64_t most = type == VECDB_INT8_VECTOR ? INT8_MAX : UINT8_MAX;
    int64_t whole = json_integer_value(json);
    out[i] = (char)(uint8_t)whole;
    return !json_is_integer(json)          ? VECDB_ERR_TYPE
           : whole < least || whole > most ? VECDB_ERR_RANGE
                                           : VECDB_OK;
  }
  if (!json_is_number(json))
    return VECDB_ERR_TYPE;
  if (type == VECDB_FLOAT_VECTOR)
    ((float *)(void *)out)[i] = x;
  else if (type == VECDB_FLOAT16_VECTOR)
    vecdb_to_float16(&x, (uint16_t *)(void *)out + i, 1);
  else
    vecdb_to_bfloat16(&x, (uint16_t *)(void *)out + i, 1);
  return VECDB_OK;
}

int vector_read(const json_t *json, const vecdb_field *field, void *out, vecdb_error *error) {
  if (field->type == VECDB_SPARSE_VECTOR)
    return sparse_read(json, field, out, error);
  if (!json_is_array(json))
    return fail_field(error, field, VECDB_ERR_TYPE, "a vector is an array of numbers");
  size_t n = field->type == VECDB_BINARY_VECTOR ? field->dim / 8 : field->dim;
  char what[96];
  if (json_array_size(json) != n) {
    snprintf(what, sizeof what, "a vector of %zu elements instead of %zu", json_array_size(json),
             n);
    return fail_field(error, field, VECDB_ERR_DIMENSION, what);
  }
  for (size_t i = 0; i < n; i++) {
    int code = element_store(json_array_get(json, i), field->type, i, out);
    snprintf(what, sizeof what, "element %zu of the vector is no such number", i);
    if (code)
      return fail_field(error, field, code, what);
  }
  return VECDB_OK;
}

static int array_store(struct rows *rows, const json_t *json, const vecdb_field *field, void **out,
                       uint32_t *length, vecdb_error *error) {
  if (!json_is_array(json))
    return fail_field(error, field, VECDB_ERR_TYPE, "an array is wanted");
  size_t n = json_array_size(json);
  if (n > VECDB_MAX_ARRAY)
    return fail_field(error, field, VECDB_ERR_TOO_LONG, "too many elements in an array");
  bool strings = field->element_type == VECDB_VARCHAR;
  size_t width = strings ? sizeof(vecdb_string) : type_bytes(field->element_type, 0);
  char *block = mem_new(n, width);
  rows_keep(rows, block);
  for (size_t i = 0; i < n; i++) {
    const json_t *e = json_array_get(json, i);
    int code = VECDB_OK;
    if (!strings)
      code = scalar_store(e, field->element_type, block + i * width);
    else if (!json_is_string(e))
      code = VECDB_ERR_TYPE;
    else
      ((vecdb_string *)(void *)block)[i] =
          (vecdb_string){json_string_value(e), json_string_length(e)};
    if (code)
      return fail_scalar(error, field, field->element_type, code);
  }
  *out = block;
  *length = (uint32_t)n;
  return VECDB_OK;
}

/* The text of a value, for a JSON field, with as few digits as give the same numbers. */
static void json_store(struct rows *rows, const json_t *json, void **out, uint32_t *length) {
  char *text = NULL;
  bool same = false;
  for (size_t digits = 15; digits <= 17 && !same; digits++) {
    free(text);
    text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
    json_t *read = text ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    same = json_equal(read, (json_t *)(uintptr_t)json);
    json_decref(read);
  }
  rows_keep(rows, text);
  *out = text;
  *length = text ? (uint32_t)strlen(text) : 0;
}

/* Sets the value of field i in the row that is being added. */
static int rows_store(struct rows *rows, size_t i, const json_t *json, vecdb_error *error) {
  const vecdb_field *field = &rows->schema->fields[i];
  struct rows_column *c = &rows->columns[i];
  char *out = c->data + rows->n * c->width;
  int code = VECDB_OK;
  if (json_is_null(json) && !(field->flags & VECDB_NULLABLE))
    return fail_field(error, field, VECDB_ERR_NULL_VALUE, "null, which the field does not take");
  c->used = true;
  c->valid[rows->n] = !json_is_null(json);
  if (json_is_null(json))
    return VECDB_OK;
  if (type_is_vector(field->type)) {
    code = vector_read(json, field, out, error);
    if (!code && field->type == VECDB_SPARSE_VECTOR)
      rows_keep(rows, (void *)(uintptr_t)((vecdb_sparse *)(void *)out)->pairs);
    return code;
  }
  if (field->type == VECDB_ARRAY)
    return array_store(rows, json, field, (void **)(void *)out, &c->lengths[rows->n], error);
  if (field->type == VECDB_JSON) {
    json_store(rows, json, (void **)(void *)out, &c->lengths[rows->n]);
  } else if (field->type != VECDB_VARCHAR) {
    code = scalar_store(json, field->type, out);
  } else if (!json_is_string(json)) {
    code = VECDB_ERR_TYPE;
  } else {
    *(const char **)(void *)out = json_string_value(json);
    size_t length = json_string_length(json);
    c->lengths[rows->n] = length > UINT32_MAX ? UINT32_MAX : (uint32_t)length;
  }
  return code ? fail_scalar(error, field, field->type, code) : VECDB_OK;
}

/* The default of field i, or null, in the row that is being added. */
static int rows_absent(struct rows *rows, size_t i, vecdb_error *error) {
  const vecdb_field *field = &rows->schema->fields[i];
  struct rows_column *c = &rows->columns[i];
  const vecdb_value *v = &field->default_value;
  void *out = c->data + rows->n * c->width;
  if (field->flags & VECDB_AUTO_ID || c->elsewhere || rows->partial)
    return VECDB_OK;
  c->valid[rows->n] = 0;
  if (!(field->flags & VECDB_HAS_DEFAULT))
    return field->flags & (VECDB_NULLABLE | VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID)
               ? VECDB_OK
               : fail_field(error, field, VECDB_ERR_MISSING_FIELD, "not in the row");
  c->valid[rows->n] = v->type != 0;
  c->used = true;
  float f = (float)v->as.number;
  if (type_is_text(field->type)) {
    *(const void **)out = v->as.data;
    c->lengths[rows->n] = v->length;
  } else if (field->type == VECDB_FLOAT) {
    memcpy(out, &f, sizeof f);
  } else { /* the low bytes of the union */
    memcpy(out, &v->as, c->width);
  }
  return VECDB_OK;
}

static int rows_fields(struct rows *rows, json_t *object, vecdb_error *error) {
  bool seen[VECDB_MAX_FIELDS] = {false};
  const char *key;
  json_t *value;
  json_object_foreach(object, key, value) {
    int i = schema_find(rows->schema, key);
    bool taken = i >= 0 && !rows->columns[i].elsewhere;
    if (!taken && rows->skip_unknown)
      continue;
    if (i < 0)
      return fail(error, VECDB_ERR_UNKNOWN_FIELD,
                  "'%.80s' is no field (extra=skip leaves such out)", key);
    if (!taken)
      return fail(error, VECDB_ERR_ARGUMENT, "'%s' is in the row and comes from a file, too", key);
    seen[i] = true;
    int status = rows_store(rows, (size_t)i, value, error);
    if (status)
      return status;
  }
  for (uint32_t i = 0; i < rows->schema->n_fields; i++) {
    int status = seen[i] ? VECDB_OK : rows_absent(rows, i, error);
    if (status)
      return status;
  }
  return VECDB_OK;
}

int rows_add(struct rows *rows, json_t *object, vecdb_error *error) {
  if (!json_is_object(object)) {
    json_decref(object);
    return fail(error, VECDB_ERR_TYPE, "a row is a JSON object");
  }
  int status = rows_fields(rows, object, error);
  if (status) {
    json_decref(object);
    return status;
  }
  rows->objects[rows->n++] = object;
  return VECDB_OK;
}

/* ---- From files ---- */

void rows_add_empty(struct rows *rows, size_t n) { rows->n += n; }

int rows_fill(struct rows *rows, size_t field, struct vecfile *file, uint64_t first,
              vecdb_error *error) {
  struct rows_column *c = &rows->columns[field];
  c->used = true;
  memset(c->valid, 1, rows->n);
  return vecfile_read(file, first, rows->n, rows->schema->fields[field].type, c->data, error);
}

void rows_number(struct rows *rows, size_t field, int64_t first) {
  struct rows_column *c = &rows->columns[field];
  c->used = true;
  memset(c->valid, 1, rows->n);
  for (size_t i = 0; i < rows->n; i++)
    ((int64_t *)(void *)c->data)[i] = first + (int64_t)i;
}

vecdb_batch rows_batch(struct rows *rows, vecdb_column *columns) {
  vecdb_batch batch = VECDB_BATCH_INIT;
  for (uint32_t i = 0; i < rows->schema->n_fields; i++) {
    const vecdb_field *field = &rows->schema->fields[i];
    struct rows_column *c = &rows->columns[i];
    if (!c->used) /* the database knows what that means */
      continue;
    bool variable = type_is_text(field->type) || field->type == VECDB_ARRAY;
    columns[batch.n_columns++] =
        (vecdb_column){.field = field->name,
                       .data = c->data,
                       .lengths = variable ? c->lengths : NULL,
                       .valid = field->flags & VECDB_NULLABLE ? c->valid : NULL};
  }
  batch.columns = columns;
  batch.n_rows = (uint32_t)rows->n;
  return batch;
}

int rows_write(struct rows *rows, vecdb_collection *collection, bool insert, vecdb_error *error) {
  vecdb_column columns[VECDB_MAX_FIELDS];
  vecdb_batch batch = rows_batch(rows, columns);
  return (insert ? vecdb_insert : vecdb_upsert)(collection, &batch, NULL, error);
}

int rows_update(struct rows *rows, vecdb_collection *collection, bool *found, vecdb_error *error) {
  vecdb_column columns[VECDB_MAX_FIELDS];
  vecdb_batch batch = rows_batch(rows, columns);
  uint8_t there = 0;
  int status = vecdb_update(collection, &batch, 0, &there, error);
  *found = there != 0;
  return status;
}
