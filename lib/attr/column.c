/* column.c - values out of columns, and the form of arrays inside them; see column.h. */
#include "attr/column.h"

#include "base/check.h"

VDB_INTERNAL struct vdb_column vdb_column_fill(const struct vdb_field *field) {
  static const uint8_t null = 1;
  struct vdb_column c = {.width = field->width, .constant = true, .type = field->type,
                         .element_type = field->element_type};
  c.data = field->fill;
  c.offsets = field->width ? NULL : field->fill_offsets;
  c.nulls = field->flags & VECDB_HAS_DEFAULT ? NULL : &null;
  return c;
}

VDB_INTERNAL bool vdb_row_expired(const struct vdb_schema *schema, const struct vdb_column *columns,
                                  size_t row, int64_t now_ms) {
  if (schema->expiry == 0)
    return false;
  const struct vdb_column *c = &columns[schema->expiry - 1];
  int64_t value;
  memcpy(&value, vdb_column_bytes(c, row).data, sizeof value);
  return !vdb_column_is_null(c, row) && value <= now_ms - (int64_t)schema->ttl_ms;
}

VDB_INTERNAL uint32_t vdb_array_count(struct vdb_bytes array) {
  uint32_t count = 0;
  if (array.n >= sizeof count)
    memcpy(&count, array.data, sizeof count);
  return count;
}

VDB_INTERNAL bool vdb_array_valid(struct vdb_bytes array, int32_t element_type) {
  if (array.n < sizeof(uint32_t))
    return false;
  size_t count = vdb_array_count(array);
  size_t left = array.n - sizeof(uint32_t);
  if (element_type != VECDB_VARCHAR) {
    size_t width = vdb_type_width(element_type);
    return width != 0 && left == count * width;
  }
  if (left / sizeof(uint32_t) < count)
    return false;
  left -= count * sizeof(uint32_t);
  const uint8_t *lengths = array.data + sizeof(uint32_t);
  for (size_t i = 0; i < count; i++) {
    uint32_t n;
    memcpy(&n, lengths + i * sizeof n, sizeof n);
    if (n > left)
      return false;
    left -= n;
  }
  return left == 0;
}

static vecdb_value column_array(struct vdb_bytes bytes, int32_t element_type,
                                vecdb_string *strings) {
  vecdb_value v = {0};
  v.type = VECDB_ARRAY;
  v.element_type = element_type;
  v.length = vdb_array_count(bytes);
  const uint8_t *at = bytes.data + sizeof(uint32_t);
  if (element_type != VECDB_VARCHAR) {
    v.as.data = at;
    return v;
  }
  const char *text = (const char *)at + (size_t)v.length * sizeof(uint32_t);
  for (uint32_t i = 0; i < v.length; i++) {
    uint32_t n;
    memcpy(&n, at + (size_t)i * sizeof n, sizeof n);
    strings[i].data = text;
    strings[i].length = n;
    text += n;
  }
  v.as.data = strings;
  return v;
}

#define COLUMN_LOAD(type, at)       \
  do {                              \
    type column_x;                  \
    memcpy(&column_x, (at), sizeof column_x); \
    return column_x;                \
  } while (0)

static int64_t column_integer(int32_t type, const uint8_t *at) {
  switch (type) {
  case VECDB_INT8:
    COLUMN_LOAD(int8_t, at);
  case VECDB_INT16:
    COLUMN_LOAD(int16_t, at);
  case VECDB_INT32:
    COLUMN_LOAD(int32_t, at);
  default:
    COLUMN_LOAD(int64_t, at);
  }
}

static double column_number(int32_t type, const uint8_t *at) {
  if (type == VECDB_FLOAT)
    COLUMN_LOAD(float, at);
  COLUMN_LOAD(double, at);
}
#undef COLUMN_LOAD

/* Elements of a vector of n bytes; of a sparse one, pairs. */
static uint32_t column_dim(int32_t type, size_t n) {
  switch (type) {
  case VECDB_FLOAT_VECTOR:
    return (uint32_t)(n / 4);
  case VECDB_FLOAT16_VECTOR:
  case VECDB_BFLOAT16_VECTOR:
    return (uint32_t)(n / 2);
  case VECDB_INT8_VECTOR:
    return (uint32_t)n;
  case VECDB_SPARSE_VECTOR:
    return (uint32_t)(n / sizeof(vecdb_sparse_pair));
  default:
    return (uint32_t)(n * 8);
  }
}

VDB_INTERNAL vecdb_value vdb_column_value(const struct vdb_column *c, size_t row,
                                          vecdb_string *strings) {
  vecdb_value v = {0};
  if (vdb_column_is_null(c, row))
    return v;
  struct vdb_bytes bytes = vdb_column_bytes(c, row);
  v.type = c->type;
  if (c->type == VECDB_ARRAY)
    return column_array(bytes, c->element_type, strings);
  if (vdb_type_is_text(c->type) || vdb_type_is_vector(c->type)) {
    v.length = vdb_type_is_text(c->type) ? (uint32_t)bytes.n : column_dim(c->type, bytes.n);
    v.as.data = bytes.data;
  } else if (c->type == VECDB_BOOL) {
    v.as.boolean = bytes.data[0] != 0;
  } else if (vdb_type_is_integer(c->type)) {
    v.as.integer = column_integer(c->type, bytes.data);
  } else {
    v.as.number = column_number(c->type, bytes.data);
  }
  return v;
}
