/* value.c - values of the database as JSON and for people. */
#include "value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shell.h"

#define CELL_ELEMENTS 4  /* of a vector in a table */
#define CELL_STRINGS  16 /* of an array */

/* ---- Types ---- */

static const struct {
  int32_t type;
  const char *word;
  size_t bytes; /* of a value, or of an element */
} type_table[] = {
    {VECDB_BOOL, "bool", 1},
    {VECDB_INT8, "int8", 1},
    {VECDB_INT16, "int16", 2},
    {VECDB_INT32, "int32", 4},
    {VECDB_INT64, "int64", 8},
    {VECDB_FLOAT, "float", 4},
    {VECDB_DOUBLE, "double", 8},
    {VECDB_VARCHAR, "varchar", 0},
    {VECDB_ARRAY, "array", 0},
    {VECDB_JSON, "json", 0},
    {VECDB_FLOAT_VECTOR, "float", 4},
    {VECDB_FLOAT16_VECTOR, "float16", 2},
    {VECDB_BFLOAT16_VECTOR, "bfloat16", 2},
    {VECDB_INT8_VECTOR, "int8", 1},
    {VECDB_BINARY_VECTOR, "binary", 0},
    {VECDB_SPARSE_VECTOR, "sparse", 0},
};
#define N_TYPES (sizeof type_table / sizeof *type_table)

bool type_is_text(int32_t type) { return type == VECDB_VARCHAR || type == VECDB_JSON; }

bool type_is_vector(int32_t type) { return type >= VECDB_FLOAT_VECTOR; }

const char *type_word(int32_t type) {
  for (size_t i = 0; i < N_TYPES; i++)
    if (type_table[i].type == type)
      return type_table[i].word;
  return "?";
}

size_t type_bytes(int32_t type, uint32_t dim) {
  if (type == VECDB_BINARY_VECTOR)
    return dim / 8;
  for (size_t i = 0; i < N_TYPES; i++)
    if (type_table[i].type == type)
      return type_table[i].bytes * (type_is_vector(type) ? dim : 1);
  return 0;
}

/* ---- To text ---- */

void put_string(struct text *out, const char *s, size_t n) {
  text_puts(out, "\"");
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i];
    int width;
    size_t used = c < 0x80 ? 1 : text_character(s + i, n - i, &width);
    if (c == '"' || c == '\\')
      text_printf(out, "\\%c", c);
    else if (c == '\n')
      text_puts(out, "\\n");
    else if (c < 0x20 || c == 0x7f)
      text_printf(out, "\\u%04x", c);
    else if (c >= 0x80 && used == 1)
      text_puts(out, "\xef\xbf\xbd");
    else
      text_add(out, s + i, used);
    i += used;
  }
  text_puts(out, "\"");
}

void put_float(struct text *out, float x) {
  char digits[32];
  for (int precision = 6; precision <= 9; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, (double)x);
    if (strtof(digits, NULL) == x)
      break;
  }
  text_puts(out, digits);
}

void put_double(struct text *out, double x) {
  char digits[40];
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, x);
    if (strtod(digits, NULL) == x)
      break;
  }
  text_puts(out, digits);
}

/* Element i of an array, as a value of its own. */
static vecdb_value array_element(const vecdb_value *array, size_t i) {
  vecdb_value v = {.type = array->element_type};
  const char *at = array->as.data;
  if (v.type == VECDB_VARCHAR) {
    const vecdb_string *s = (const vecdb_string *)array->as.data + i;
    v.as.data = s->data;
    v.length = (uint32_t)s->length;
    return v;
  }
  at += i * type_bytes(v.type, 0);
  switch (v.type) {
    case VECDB_BOOL:
      v.as.boolean = *(const bool *)at;
      break;
    case VECDB_INT8:
      v.as.integer = *(const int8_t *)at;
      break;
    case VECDB_INT16:
      v.as.integer = *(const int16_t *)(const void *)at;
      break;
    case VECDB_INT32:
      v.as.integer = *(const int32_t *)(const void *)at;
      break;
    case VECDB_INT64:
      v.as.integer = *(const int64_t *)(const void *)at;
      break;
    case VECDB_FLOAT:
      v.as.number = (double)*(const float *)(const void *)at;
      break;
    case VECDB_DOUBLE:
      v.as.number = *(const double *)(const void *)at;
      break;
    default:
      v.type = 0;
  }
  return v;
}

static void vector_element(struct text *out, const vecdb_value *v, size_t i, bool rounded) {
  float x = 0;
  switch (v->type) {
    case VECDB_FLOAT_VECTOR:
      x = ((const float *)v->as.data)[i];
      break;
    case VECDB_FLOAT16_VECTOR:
      vecdb_from_float16((const uint16_t *)v->as.data + i, &x, 1);
      break;
    case VECDB_BFLOAT16_VECTOR:
      vecdb_from_bfloat16((const uint16_t *)v->as.data + i, &x, 1);
      break;
    case VECDB_INT8_VECTOR:
      text_printf(out, "%d", ((const int8_t *)v->as.data)[i]);
      return;
    default:
      text_printf(out, "%u", ((const uint8_t *)v->as.data)[i]);
      return;
  }
  if (rounded)
    text_printf(out, "%.3g", (double)x);
  else
    put_float(out, x);
}

/* The elements; `rounded` for people: a few of them, with a few digits. */
static void put_elements(struct text *out, const vecdb_value *v, bool rounded) {
  size_t n = v->type == VECDB_BINARY_VECTOR ? v->length / 8 : v->length;
  size_t most = type_is_vector(v->type) ? CELL_ELEMENTS : CELL_STRINGS;
  size_t shown = rounded && n > most ? most : n;
  bool sparse = v->type == VECDB_SPARSE_VECTOR;
  const vecdb_sparse_pair *pairs = v->as.data;
  text_puts(out, sparse ? "{" : "[");
  for (size_t i = 0; i < shown; i++) {
    if (i)
      text_puts(out, ", ");
    if (v->type == VECDB_ARRAY) {
      vecdb_value element = array_element(v, i);
      put_value(out, &element);
    } else if (sparse) {
      text_printf(out, "\"%" PRIu32 "\": ", pairs[i].index);
      put_float(out, pairs[i].value);
    } else {
      vector_element(out, v, i, rounded);
    }
  }
  if (shown < n)
    text_printf(out, ", ... %zu in all", n);
  text_puts(out, sparse ? "}" : "]");
}

void put_value(struct text *out, const vecdb_value *v) {
  switch (v->type) {
    case 0:
      text_puts(out, "null");
      break;
    case VECDB_BOOL:
      text_puts(out, v->as.boolean ? "true" : "false");
      break;
    case VECDB_INT8:
    case VECDB_INT16:
    case VECDB_INT32:
    case VECDB_INT64:
      text_printf(out, "%" PRId64, v->as.integer);
      break;
    case VECDB_FLOAT:
      put_float(out, (float)v->as.number);
      break;
    case VECDB_DOUBLE:
      put_double(out, v->as.number);
      break;
    case VECDB_VARCHAR:
      put_string(out, v->as.data, v->length);
      break;
    case VECDB_JSON:
      text_add(out, v->as.data, v->length);
      break;
    default:
      put_elements(out, v, false);
  }
}

void put_cell(struct text *out, const vecdb_value *v) {
  if (type_is_text(v->type))
    text_add(out, v->as.data, v->length);
  else if (v->type == VECDB_ARRAY || type_is_vector(v->type))
    put_elements(out, v, true);
  else
    put_value(out, v);
}

/* ---- From text ---- */

bool key_is_string(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & VECDB_PRIMARY_KEY)
      return schema->fields[i].type == VECDB_VARCHAR;
  return false;
}

int key_parse(const char *word, bool is_string, int64_t *integer, vecdb_string *string,
              vecdb_error *error) {
  *string = (vecdb_string){word, strlen(word)};
  if (is_string)
    return VECDB_OK;
  char *end;
  errno = 0;
  *integer = strtoll(word, &end, 10);
  if (end == word || *end)
    return fail(error, VECDB_ERR_TYPE, "'%s' is no key: the keys here are whole numbers", word);
  if (errno)
    return fail(error, VECDB_ERR_RANGE, "the key %s does not fit 64 bits", word);
  return VECDB_OK;
}
