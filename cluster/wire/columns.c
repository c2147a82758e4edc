/* columns.c - the bytes of columns; see columns.h. */
#include "wire/columns.h"

#include <string.h>

enum { COLUMN_VALUES = 1, COLUMN_VALID = 2 }; /* what follows a column's head */
enum { COLUMN_ALIGN = 8 };                    /* of values that are no vectors */

static const uint8_t column_bytes[] = {
    [VECDB_BOOL] = 1,
    [VECDB_INT8] = 1,
    [VECDB_INT16] = 2,
    [VECDB_INT32] = 4,
    [VECDB_INT64] = 8,
    [VECDB_FLOAT] = 4,
    [VECDB_DOUBLE] = 8,
    [VECDB_VARCHAR] = sizeof(char *),
    [VECDB_ARRAY] = sizeof(void *),
    [VECDB_JSON] = sizeof(char *),
};

bool wire_type_dense(int32_t type) {
  return type >= VECDB_FLOAT_VECTOR && type <= VECDB_BINARY_VECTOR;
}

bool wire_type_text(int32_t type) {
  return type == VECDB_VARCHAR || type == VECDB_JSON;
}

bool wire_type_known(int32_t type) {
  return (type >= VECDB_BOOL && type <= VECDB_JSON) || wire_type_dense(type) ||
         type == VECDB_SPARSE_VECTOR;
}

size_t wire_type_bytes(int32_t type, uint32_t dim) {
  switch (type) {
    case VECDB_FLOAT_VECTOR:
      return (size_t)dim * 4;
    case VECDB_FLOAT16_VECTOR:
    case VECDB_BFLOAT16_VECTOR:
      return (size_t)dim * 2;
    case VECDB_INT8_VECTOR:
      return dim;
    case VECDB_BINARY_VECTOR:
      return dim / 8;
    case VECDB_SPARSE_VECTOR:
      return sizeof(vecdb_sparse);
    default:
      return type >= VECDB_BOOL && type <= VECDB_JSON ? column_bytes[type] : 0;
  }
}

/* The size of an array's elements in memory. */
static size_t column_element(int32_t type) {
  return type == VECDB_VARCHAR ? sizeof(vecdb_string) : wire_type_bytes(type, 0);
}

/* ---- Writing ---- */

static uint32_t column_row(const struct wire_columns *c, uint32_t i) {
  return c->pick ? c->pick[i] : i;
}

static bool column_is_valid(const struct wire_column *c, uint32_t row) {
  return !c->valid || c->valid[row];
}

static const void *column_at(const struct wire_column *c, uint32_t row) {
  size_t stride = c->stride ? c->stride : wire_type_bytes(c->type, c->dim);
  return (const char *)c->data + row * stride;
}

/* The row's text, elements or pairs, and how many; n is 0 where it is null. */
static const void *column_list(const struct wire_column *c, uint32_t row, size_t *n) {
  const void *list;
  *n = 0;
  if (!column_is_valid(c, row))
    return NULL;
  if (c->type == VECDB_SPARSE_VECTOR) {
    const vecdb_sparse *sparse = column_at(c, row);
    *n = sparse->n;
    return sparse->pairs;
  }
  memcpy(&list, column_at(c, row), sizeof list);
  if (!list)
    return NULL;
  *n = c->lengths ? c->lengths[row] : wire_type_text(c->type) ? strlen(list) : 0;
  return list;
}

static void column_put_lengths(struct wire_out *out, const struct wire_columns *columns,
                               const struct wire_column *c) {
  size_t n;
  wire_pad(out, 4);
  for (uint32_t i = 0; i < columns->n_rows; i++) {
    column_list(c, column_row(columns, i), &n);
    if (n > VECDB_MAX_BATCH_BYTES && !out->status)
      out->status = WIRE_TOO_LARGE;
    wire_put32(out, (uint32_t)n);
  }
}

/* Arrays of texts: the length of each, then the bytes of all. */
static void column_put_strings(struct wire_out *out, const struct wire_columns *columns,
                               const struct wire_column *c) {
  size_t n;
  for (int bytes = 0; bytes < 2; bytes++)
    for (uint32_t i = 0; i < columns->n_rows; i++) {
      const vecdb_string *s = column_list(c, column_row(columns, i), &n);
      for (size_t j = 0; j < n; j++)
        if (bytes)
          wire_put(out, s[j].data, s[j].length);
        else
          wire_put32(out, s[j].length > UINT32_MAX ? UINT32_MAX : (uint32_t)s[j].length);
    }
}

static void column_put_lists(struct wire_out *out, const struct wire_columns *columns,
                             const struct wire_column *c) {
  size_t n, size = wire_type_text(c->type)         ? 1
                   : c->type == VECDB_SPARSE_VECTOR ? sizeof(vecdb_sparse_pair)
                                                    : column_element(c->element_type);
  column_put_lengths(out, columns, c);
  if (c->type == VECDB_ARRAY && c->element_type == VECDB_VARCHAR) {
    column_put_strings(out, columns, c);
    return;
  }
  if (!wire_type_text(c->type))
    wire_pad(out, COLUMN_ALIGN);
  for (uint32_t i = 0; i < columns->n_rows; i++) {
    const void *list = column_list(c, column_row(columns, i), &n);
    wire_put(out, list, n * size);
  }
}

static void column_put_fixed(struct wire_out *out, const struct wire_columns *columns,
                             const struct wire_column *c) {
  size_t size = wire_type_bytes(c->type, c->dim);
  wire_pad(out, wire_type_dense(c->type) ? WIRE_ALIGN : COLUMN_ALIGN);
  uint8_t *to = wire_space(out, columns->n_rows * size);
  for (uint32_t i = 0; to && i < columns->n_rows; i++, to += size) {
    uint32_t row = column_row(columns, i);
    if (column_is_valid(c, row))
      memcpy(to, column_at(c, row), size);
    else
      memset(to, 0, size);
  }
}

static bool column_listed(int32_t type) {
  return wire_type_text(type) || type == VECDB_ARRAY || type == VECDB_SPARSE_VECTOR;
}

static void column_write(struct wire_out *out, const struct wire_columns *columns,
                         const struct wire_column *c) {
  wire_put_text(out, c->name, strlen(c->name));
  wire_put8(out, (uint8_t)c->type);
  wire_put8(out, (uint8_t)c->element_type);
  wire_put16(out, (uint16_t)((c->data ? COLUMN_VALUES : 0) | (c->valid ? COLUMN_VALID : 0)));
  wire_put32(out, c->dim);
  for (uint32_t i = 0; c->valid && i < columns->n_rows; i++)
    wire_put8(out, c->valid[column_row(columns, i)] != 0);
  if (!c->data)
    return;
  if (column_listed(c->type))
    column_put_lists(out, columns, c);
  else
    column_put_fixed(out, columns, c);
}

void wire_columns_write(struct wire_out *out, const struct wire_columns *columns) {
  wire_put32(out, columns->n_rows);
  wire_put32(out, columns->n_columns);
  for (uint32_t i = 0; i < columns->n_columns; i++)
    column_write(out, columns, &columns->columns[i]);
}

/* What a list takes besides its length. */
static size_t column_list_bytes(const struct wire_column *c, const void *list, size_t n) {
  if (wire_type_text(c->type))
    return n;
  if (c->type == VECDB_SPARSE_VECTOR)
    return n * sizeof(vecdb_sparse_pair);
  if (c->element_type != VECDB_VARCHAR)
    return n * column_element(c->element_type);
  size_t bytes = n * 4;
  for (size_t i = 0; i < n; i++)
    bytes += ((const vecdb_string *)list)[i].length;
  return bytes;
}

size_t wire_columns_row_bytes(const struct wire_columns *columns, uint32_t i) {
  size_t bytes = 0, n;
  for (uint32_t j = 0; j < columns->n_columns; j++) {
    const struct wire_column *c = &columns->columns[j];
    bytes += c->valid != NULL;
    if (!c->data)
      continue;
    if (column_listed(c->type)) {
      const void *list = column_list(c, column_row(columns, i), &n);
      bytes += 4 + column_list_bytes(c, list, n);
    } else {
      bytes += wire_type_bytes(c->type, c->dim);
    }
  }
  return bytes;
}

/* ---- Reading ---- */

static bool column_bits(const uint8_t *bytes, size_t n) {
  uint8_t all = 0;
  for (size_t i = 0; i < n; i++)
    all |= bytes[i];
  return all <= 1;
}

/* Lengths of n lists, none over `max`; *total of all. */
static const uint32_t *column_take_lengths(struct wire_in *in, size_t n, uint32_t max,
                                           size_t *total) {
  const uint32_t *lengths = wire_take_items(in, n, 4, 4);
  *total = 0;
  for (size_t i = 0; lengths && i < n; i++) {
    in->bad |= lengths[i] > max;
    *total += lengths[i];
  }
  return in->bad ? NULL : lengths;
}

/* A pointer for each row to where its part of `data` begins. */
static const void *column_pointers(struct wire_mem *mem, const uint32_t *lengths, size_t n,
                                   const void *data, size_t size) {
  const char *at = data;
  const void **out = wire_mem_get(mem, n, sizeof *out);
  for (size_t i = 0; out && i < n; i++) {
    out[i] = at;
    at += lengths[i] * size;
  }
  return out;
}

static const vecdb_string *column_take_strings(struct wire_in *in, struct wire_mem *mem, size_t n) {
  size_t total;
  const uint32_t *lengths = column_take_lengths(in, n, VECDB_MAX_VARCHAR, &total);
  const char *at = wire_take(in, total);
  vecdb_string *out = at ? wire_mem_get(mem, n, sizeof *out) : NULL;
  for (size_t i = 0; out && i < n; i++) {
    out[i] = (vecdb_string){at, lengths[i]};
    at += lengths[i];
  }
  return out;
}

static void column_take_texts(struct wire_in *in, struct wire_mem *mem, size_t n,
                              struct wire_column *c) {
  size_t total;
  c->lengths = column_take_lengths(in, n, VECDB_MAX_VARCHAR, &total);
  const void *bytes = wire_take(in, total);
  if (bytes)
    c->data = column_pointers(mem, c->lengths, n, bytes, 1);
}

static void column_take_arrays(struct wire_in *in, struct wire_mem *mem, size_t n,
                               struct wire_column *c) {
  size_t total, size = column_element(c->element_type);
  const void *elements;
  c->lengths = column_take_lengths(in, n, VECDB_MAX_ARRAY, &total);
  if (!c->lengths)
    return;
  if (c->element_type == VECDB_VARCHAR)
    elements = column_take_strings(in, mem, total);
  else
    elements = wire_take_items(in, total, size, COLUMN_ALIGN);
  if (elements && c->element_type == VECDB_BOOL)
    in->bad |= !column_bits(elements, total);
  if (elements)
    c->data = column_pointers(mem, c->lengths, n, elements, size);
}

static void column_take_sparse(struct wire_in *in, struct wire_mem *mem, size_t n,
                               struct wire_column *c) {
  size_t total;
  const uint32_t *lengths = column_take_lengths(in, n, VECDB_MAX_SPARSE, &total);
  const vecdb_sparse_pair *pairs = wire_take_items(in, total, sizeof *pairs, COLUMN_ALIGN);
  vecdb_sparse *out = pairs ? wire_mem_get(mem, n, sizeof *out) : NULL;
  for (size_t i = 0; out && i < n; i++) {
    out[i] = (vecdb_sparse){pairs, lengths[i]};
    pairs += lengths[i];
  }
  c->data = out;
}

static void column_take_fixed(struct wire_in *in, size_t n, struct wire_column *c) {
  size_t align = wire_type_dense(c->type) ? WIRE_ALIGN : COLUMN_ALIGN;
  c->data = wire_take_items(in, n, wire_type_bytes(c->type, c->dim), align);
  if (c->data && c->type == VECDB_BOOL)
    in->bad |= !column_bits(c->data, n);
}

/* What the head of a column says makes sense. */
static bool column_head_good(const struct wire_column *c, uint16_t flags) {
  bool array = c->type == VECDB_ARRAY, dense = wire_type_dense(c->type);
  bool element = c->element_type >= VECDB_BOOL && c->element_type <= VECDB_VARCHAR;
  if (!c->type)
    return !(flags & COLUMN_VALUES) && !c->element_type && !c->dim;
  if (c->type == VECDB_BINARY_VECTOR && c->dim % 8)
    return false;
  return wire_type_known(c->type) && (array ? element : !c->element_type) &&
         (dense ? c->dim && c->dim <= VECDB_MAX_DIM : !c->dim);
}

static void column_read(struct wire_in *in, struct wire_mem *mem, size_t n, struct wire_column *c) {
  c->name = wire_take_text(in, VECDB_MAX_NAME, NULL);
  c->type = wire_take8(in);
  c->element_type = wire_take8(in);
  uint16_t flags = wire_take16(in);
  c->dim = wire_take32(in);
  if (in->bad || !column_head_good(c, flags)) {
    in->bad = true;
    return;
  }
  if (flags & COLUMN_VALID) {
    c->valid = wire_take(in, n);
    in->bad |= c->valid && !column_bits(c->valid, n);
  }
  if (!(flags & COLUMN_VALUES))
    return;
  if (wire_type_text(c->type))
    column_take_texts(in, mem, n, c);
  else if (c->type == VECDB_ARRAY)
    column_take_arrays(in, mem, n, c);
  else if (c->type == VECDB_SPARSE_VECTOR)
    column_take_sparse(in, mem, n, c);
  else
    column_take_fixed(in, n, c);
}

void wire_columns_read(struct wire_in *in, struct wire_mem *mem, struct wire_columns *out) {
  *out = (struct wire_columns){.n_rows = wire_take_count(in, VECDB_MAX_BATCH_ROWS)};
  uint32_t n = wire_take_count(in, VECDB_MAX_FIELDS);
  struct wire_column *columns = n ? wire_mem_get(mem, n, sizeof *columns) : NULL;
  for (uint32_t i = 0; columns && i < n && !in->bad && !mem->failed; i++)
    column_read(in, mem, out->n_rows, &columns[i]);
  out->columns = columns;
  out->n_columns = columns ? n : 0;
}
