/* value.c - single values: checks and column form; see value.h. */
#include "attr/value.h"

#include <float.h>

#include "attr/json.h"
#include "attr/sparse.h"
#include "base/check.h"

static const char *value_type_name(int32_t type) {
  static const char *const scalars[] = {"null",  "BOOL",  "INT8",   "INT16",   "INT32",
                                        "INT64", "FLOAT", "DOUBLE", "VARCHAR", "ARRAY",
                                        "JSON"};
  if (type >= 0 && (size_t)type < VDB_COUNT(scalars))
    return scalars[type];
  return vdb_type_is_vector(type) ? "a vector" : "an unknown type";
}

static bool value_type_fits(int32_t field_type, int32_t type) {
  if (vdb_type_is_integer(field_type))
    return vdb_type_is_integer(type);
  if (field_type == VECDB_FLOAT || field_type == VECDB_DOUBLE)
    return type == VECDB_FLOAT || type == VECDB_DOUBLE;
  return type == field_type;
}

static int value_too_long(const struct vdb_field *field, int64_t row, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_TOO_LONG, row, field->name,
                     "a text of field '%s' is longer than %u bytes", field->name,
                     field->max_length);
}

static int value_no_pointer(const struct vdb_field *field, int64_t row, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_ARGUMENT, row, field->name,
                     "a value of field '%s' is a NULL pointer", field->name);
}

static int value_array_shape(const struct vdb_field *field, const vecdb_value *value, int64_t row,
                             vecdb_error *err) {
  if (value->element_type != field->element_type)
    return vdb_fail_at(err, VECDB_ERR_TYPE, row, field->name,
                       "an array of field '%s' has elements of %s, and %s is expected", field->name,
                       value_type_name(value->element_type), value_type_name(field->element_type));
  if (value->length > field->max_capacity)
    return vdb_fail_at(err, VECDB_ERR_TOO_LONG, row, field->name,
                       "an array of field '%s' has %u elements, and %u are allowed", field->name,
                       value->length, field->max_capacity);
  if (value->length && !value->as.data)
    return value_no_pointer(field, row, err);
  if (field->element_type != VECDB_VARCHAR)
    return VECDB_OK;
  for (uint32_t i = 0; i < value->length; i++) {
    vecdb_string s = vdb_value_string(value, i);
    if (s.length > field->max_length)
      return value_too_long(field, row, err);
    if (s.length && !s.data)
      return value_no_pointer(field, row, err);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_value_shape(const struct vdb_field *field, const vecdb_value *value,
                                 int64_t row, vecdb_error *err) {
  if (!value_type_fits(field->type, value->type))
    return vdb_fail_at(err, VECDB_ERR_TYPE, row, field->name,
                       "a value of field '%s' is of %s, and %s is expected", field->name,
                       value_type_name(value->type), value_type_name(field->type));
  if (field->type == VECDB_ARRAY)
    return value_array_shape(field, value, row, err);
  if (field->type == VECDB_SPARSE_VECTOR)
    return vdb_sparse_shape(field, value->as.data, value->length, row, err);
  if (!vdb_type_is_text(field->type))
    return VECDB_OK;
  if (value->length > field->max_length)
    return value_too_long(field, row, err);
  if (value->length && !value->as.data)
    return value_no_pointer(field, row, err);
  return VECDB_OK;
}

static int value_text(const struct vdb_field *field, const char *text, size_t n, int64_t row,
                      vecdb_error *err) {
  if (vdb_utf8_valid(text, n))
    return VECDB_OK;
  return vdb_fail_at(err, VECDB_ERR_UTF8, row, field->name,
                     "a text of field '%s' is not valid UTF-8 or holds a NUL byte", field->name);
}

static int value_integer(const struct vdb_field *field, int64_t x, int64_t row, vecdb_error *err) {
  unsigned bits = vdb_type_width(field->type) * 8;
  int64_t most = (int64_t)(UINT64_MAX >> (65 - bits));
  if (x > most || x < -most - 1)
    return vdb_fail_at(err, VECDB_ERR_RANGE, row, field->name, "%lld does not fit field '%s'",
                       (long long)x, field->name);
  return VECDB_OK;
}

static int value_not_finite(const struct vdb_field *field, int64_t row, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_NOT_FINITE, row, field->name,
                     "a number of field '%s' is NaN or infinite", field->name);
}

static int value_number(const struct vdb_field *field, double x, int64_t row, vecdb_error *err) {
  if (!__builtin_isfinite(x))
    return value_not_finite(field, row, err);
  if (field->type == VECDB_FLOAT && (x > (double)FLT_MAX || x < -(double)FLT_MAX))
    return vdb_fail_at(err, VECDB_ERR_RANGE, row, field->name, "%g does not fit field '%s'", x,
                       field->name);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_value_content(const struct vdb_field *field, const vecdb_value *value,
                                   int64_t row, vecdb_error *err) {
  switch (field->type) {
  case VECDB_BOOL:
    return vdb_elements_check(field, &value->as.boolean, 1, row, err);
  case VECDB_FLOAT:
  case VECDB_DOUBLE:
    return value_number(field, value->as.number, row, err);
  case VECDB_VARCHAR:
    return value_text(field, value->as.data, value->length, row, err);
  case VECDB_JSON:
    return vdb_json_check(field, value->as.data, value->length, row, err);
  case VECDB_SPARSE_VECTOR:
    return vdb_sparse_check(field, value->as.data, value->length, row, err);
  case VECDB_ARRAY:
    break;
  default:
    return value_integer(field, value->as.integer, row, err);
  }
  if (field->element_type != VECDB_VARCHAR)
    return vdb_elements_check(field, value->as.data, value->length, row, err);
  for (uint32_t i = 0; i < value->length; i++) {
    vecdb_string s = vdb_value_string(value, i);
    VDB_TRY(value_text(field, s.data, s.length, row, err));
  }
  return VECDB_OK;
}

/* The first of n elements that is not 0 or 1 (BOOL), or has all exponent bits set; n: none. */
static size_t value_first_bad(int32_t type, const uint8_t *data, size_t n) {
  size_t i = 0;
  for (; i < n; i++) {
    if (type == VECDB_BOOL && data[i] > 1)
      break;
    uint64_t x = 0;
    size_t width = vdb_type_width(type);
    uint64_t exponent = width == 4 ? 0x7f800000u : 0x7ff0000000000000u;
    memcpy(&x, data + i * width, width);
    if (type != VECDB_BOOL && (x & exponent) == exponent)
      break;
  }
  return i;
}

/* Whether one of the n elements is bad; without branches, so that the compiler makes it wide. */
#define VALUE_ANY(type, data, n, test)                      \
  do {                                                      \
    unsigned value_bad = 0;                                 \
    for (size_t i = 0; i < (n); i++) {                      \
      type x;                                               \
      memcpy(&x, (data) + i * sizeof x, sizeof x);          \
      value_bad |= (test);                                  \
    }                                                       \
    return value_bad != 0;                                  \
  } while (0)

static bool value_any_bad(int32_t type, const uint8_t *data, size_t n) {
  if (type == VECDB_BOOL)
    VALUE_ANY(uint8_t, data, n, x > 1);
  if (type == VECDB_FLOAT)
    VALUE_ANY(uint32_t, data, n, (x & 0x7f800000u) == 0x7f800000u);
  if (type == VECDB_DOUBLE)
    VALUE_ANY(uint64_t, data, n, (x & 0x7ff0000000000000u) == 0x7ff0000000000000u);
  return false;
}
#undef VALUE_ANY

VDB_INTERNAL int vdb_elements_check(const struct vdb_field *field, const void *data, size_t n,
                                    int64_t row, vecdb_error *err) {
  bool array = field->type == VECDB_ARRAY;
  int32_t type = array ? field->element_type : field->type;
  if (VDB_LIKELY(!value_any_bad(type, data, n)))
    return VECDB_OK;
  int64_t bad = array ? row : row + (int64_t)value_first_bad(type, data, n);
  if (type != VECDB_BOOL)
    return value_not_finite(field, bad, err);
  return vdb_fail_at(err, VECDB_ERR_RANGE, bad, field->name,
                     "a BOOL of field '%s' is neither 0 nor 1", field->name);
}

VDB_INTERNAL size_t vdb_value_bytes(const vecdb_value *value) {
  if (vdb_type_is_text(value->type))
    return value->length;
  if (value->type == VECDB_SPARSE_VECTOR)
    return value->length * sizeof(vecdb_sparse_pair);
  if (value->type != VECDB_ARRAY)
    return vdb_type_width(value->type);
  if (value->element_type != VECDB_VARCHAR)
    return sizeof(uint32_t) + (size_t)value->length * vdb_type_width(value->element_type);
  size_t n = sizeof(uint32_t) + (size_t)value->length * sizeof(uint32_t);
  for (uint32_t i = 0; i < value->length; i++)
    n += vdb_value_string(value, i).length;
  return n;
}

static void value_put_array(const vecdb_value *value, uint8_t *out) {
  memcpy(out, &value->length, sizeof value->length);
  out += sizeof value->length;
  if (value->length == 0)
    return;
  if (value->element_type != VECDB_VARCHAR) {
    memcpy(out, value->as.data, (size_t)value->length * vdb_type_width(value->element_type));
    return;
  }
  uint8_t *text = out + (size_t)value->length * sizeof(uint32_t);
  for (uint32_t i = 0; i < value->length; i++) {
    vecdb_string s = vdb_value_string(value, i);
    uint32_t n = (uint32_t)s.length;
    memcpy(out + (size_t)i * sizeof n, &n, sizeof n);
    if (n)
      memcpy(text, s.data, n);
    text += n;
  }
}

VDB_INTERNAL void vdb_value_put(const vecdb_value *value, uint8_t *out) {
  float single;
  switch (value->type) {
  case VECDB_BOOL:
    out[0] = value->as.boolean;
    return;
  case VECDB_FLOAT:
    single = (float)value->as.number;
    memcpy(out, &single, sizeof single);
    return;
  case VECDB_DOUBLE:
    memcpy(out, &value->as.number, sizeof value->as.number);
    return;
  case VECDB_VARCHAR:
  case VECDB_JSON:
  case VECDB_SPARSE_VECTOR:
    if (value->length)
      memcpy(out, value->as.data, vdb_value_bytes(value));
    return;
  case VECDB_ARRAY:
    value_put_array(value, out);
    return;
  default:
    vdb_assert(vdb_type_is_integer(value->type));
    memcpy(out, &value->as.integer, vdb_type_width(value->type)); /* little-endian: low bytes */
  }
}
