/*
 * batch_encode.c - a caller's batch, checked and written as one record; see batch.h. It goes in
 * passes: what the columns are, which rows stay (the last one of each key), how many bytes that
 * makes, and then, column by column into space taken at once, the values with their checks. A fault
 * found in the last pass takes the record back. JSON is made compact there, and so the record may
 * end before the space does.
 */
#include "attr/batch.h"
#include "attr/json.h"
#include "attr/value.h"
#include "base/check.h"
#include "base/sum.h"

/* Where the values of a field come from. */
struct encode_column {
  const char *data;         /* NULL: default, auto id or null */
  const uint32_t *lengths;
  const uint8_t *valid;     /* NULL: no row is null */
  const vecdb_column *from; /* NULL: the batch has no such column */
  size_t stride;
  uint64_t bytes;           /* variable: of the values of all rows that stay */
  bool all_null;
};

struct encode_state {
  const struct vdb_schema *schema;
  const vecdb_batch *batch;
  int64_t first_auto_id;
  const uint32_t *source; /* rows that stay, ascending */
  uint32_t n;             /* of them */
  struct vdb_json_keys *json;
  struct encode_column columns[VECDB_MAX_FIELDS];
};

VDB_INTERNAL int vdb_batch_check(const vecdb_batch *batch, vecdb_error *err) {
  if (!batch)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the batch is NULL");
  if (batch->size != sizeof(vecdb_batch))
    return vdb_fail(err, VECDB_ERR_OPTION, "the size of the batch struct is unknown");
  if (batch->column_size != sizeof(vecdb_column))
    return vdb_fail(err, VECDB_ERR_OPTION, "the size of the column struct is unknown");
  if (batch->n_rows == 0)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the batch has no rows");
  if (batch->n_rows > VECDB_MAX_BATCH_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the batch has %u rows, at most %d", batch->n_rows,
                    VECDB_MAX_BATCH_ROWS);
  if (batch->n_columns > VECDB_MAX_FIELDS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the batch has %u columns, at most %d", batch->n_columns,
                    VECDB_MAX_FIELDS);
  if (batch->n_columns && !batch->columns)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the columns of the batch are NULL");
  return VECDB_OK;
}

/* Bytes from row to row when the rows are packed. */
static size_t encode_packed_stride(const struct vdb_field *f) {
  if (f->type == VECDB_SPARSE_VECTOR)
    return sizeof(vecdb_sparse);
  return f->width ? f->width : sizeof(const void *);
}

static int encode_bind_column(const struct vdb_field *f, const vecdb_column *from,
                              struct encode_column *c, vecdb_error *err) {
  if (f->flags & VECDB_AUTO_ID)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name,
                       "field '%s' is numbered by the database and takes no column", f->name);
  if (c->from)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name, "field '%s' has two columns", f->name);
  if (from->dim && !vdb_type_is_vector(f->type))
    return vdb_fail_at(err, VECDB_ERR_DIMENSION, -1, f->name,
                       "the column of field '%s' has dimension %u, but it is no vector", f->name,
                       from->dim);
  if (from->dim && from->dim != f->dim)
    return vdb_fail_at(err, VECDB_ERR_DIMENSION, -1, f->name,
                       "the column of field '%s' has dimension %u, and the field %u", f->name,
                       from->dim, f->dim);
  size_t packed = encode_packed_stride(f);
  if (from->data && from->stride && from->stride < packed)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name,
                       "the stride of field '%s' is %zu, and a value takes %zu bytes", f->name,
                       from->stride, packed);
  if (from->data && f->type == VECDB_ARRAY && !from->lengths)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name,
                       "the column of field '%s' needs lengths", f->name);
  c->from = from;
  c->data = from->data;
  c->lengths = from->lengths;
  c->stride = from->stride ? from->stride : packed;
  return VECDB_OK;
}

static int encode_bind(struct encode_state *e, vecdb_error *err) {
  for (uint32_t i = 0; i < e->batch->n_columns; i++) {
    const vecdb_column *from = &e->batch->columns[i];
    if (!from->field)
      return vdb_fail(err, VECDB_ERR_ARGUMENT, "column %u has no field name", i);
    int f = vdb_schema_find(e->schema, from->field, strlen(from->field));
    if (f < 0)
      return vdb_fail_at(err, VECDB_ERR_UNKNOWN_FIELD, -1, from->field,
                         "the collection has no field '%.255s'", from->field);
    VDB_TRY(encode_bind_column(&e->schema->fields[f], from, &e->columns[f], err));
  }
  return VECDB_OK;
}

static int encode_null_value(const struct vdb_field *f, int64_t row, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_NULL_VALUE, row, f->name, "field '%s' is not nullable",
                     f->name);
}

/* Settles the nulls of a field, and what stands in for a column that is not there. */
static int encode_bind_nulls(const struct encode_state *e, const struct vdb_field *f,
                             struct encode_column *c, vecdb_error *err) {
  if (!c->data) {
    if (f->flags & (VECDB_HAS_DEFAULT | VECDB_AUTO_ID))
      return VECDB_OK;
    c->all_null = (f->flags & VECDB_NULLABLE) != 0;
    if (c->all_null)
      return VECDB_OK;
    if (c->from)
      return encode_null_value(f, 0, err);
    return vdb_fail_at(err, VECDB_ERR_MISSING_FIELD, -1, f->name,
                       "the batch has no column for field '%s'", f->name);
  }
  const uint8_t *valid = c->from->valid;
  const uint8_t *null = valid ? memchr(valid, 0, e->batch->n_rows) : NULL;
  if (null && !(f->flags & VECDB_NULLABLE))
    return encode_null_value(f, null - valid, err);
  c->valid = null ? valid : NULL;
  return VECDB_OK;
}

/* A sparse row. */
static vecdb_value encode_sparse(const struct encode_column *c, size_t row) {
  vecdb_sparse sparse;
  memcpy(&sparse, c->data + row * c->stride, sizeof sparse);
  vecdb_value v = {0};
  v.type = VECDB_SPARSE_VECTOR;
  v.length = (uint32_t)vdb_min_size(sparse.n, UINT32_MAX);
  v.as.data = sparse.pairs;
  return v;
}

/* The value of a VARCHAR, JSON, ARRAY or sparse row that is not null, its shape checked. */
static int encode_value(const struct vdb_field *f, const struct encode_column *c, size_t row,
                        vecdb_value *out, vecdb_error *err) {
  if (f->type == VECDB_SPARSE_VECTOR) {
    *out = encode_sparse(c, row);
    return vdb_value_shape(f, out, (int64_t)row, err);
  }
  const void *pointer;
  memcpy(&pointer, c->data + row * c->stride, sizeof pointer);
  vecdb_value v = {0};
  v.type = f->type;
  v.element_type = f->element_type;
  v.as.data = pointer;
  if (c->lengths)
    v.length = c->lengths[row];
  else
    v.length = pointer ? (uint32_t)strnlen(pointer, (size_t)f->max_length + 1) : 1;
  *out = v;
  return vdb_value_shape(f, out, (int64_t)row, err);
}

static int encode_key(const struct encode_state *e, size_t row, struct vdb_bytes *key,
                      vecdb_error *err) {
  const struct vdb_field *f = &e->schema->fields[e->schema->key];
  const struct encode_column *c = &e->columns[e->schema->key];
  if (f->type == VECDB_INT64) {
    key->data = (const uint8_t *)c->data + row * c->stride;
    key->n = sizeof(int64_t);
    return VECDB_OK;
  }
  vecdb_value v;
  VDB_TRY(encode_value(f, c, row, &v, err));
  key->data = v.as.data;
  key->n = v.length;
  return VECDB_OK;
}

/* Checks the shape of the keys and tells whether they ascend strictly, as they mostly do. */
static int encode_keys_ascend(const struct encode_state *e, bool *ascend, vecdb_error *err) {
  int32_t type = e->schema->fields[e->schema->key].type;
  struct vdb_bytes last = {NULL, 0};
  *ascend = true;
  for (size_t row = 0; row < e->batch->n_rows; row++) {
    struct vdb_bytes key;
    VDB_TRY(encode_key(e, row, &key, err));
    if (row && *ascend)
      *ascend = vdb_key_compare(last, key, type) < 0;
    last = key;
  }
  return VECDB_OK;
}

/* A place of the table of keys seen. */
struct encode_slot {
  uint32_t tag; /* high half of the key's hash */
  uint32_t row; /* + 1; 0: empty */
};

/* Enters a key; false when it is there already. `mask` + 1 slots, at least one of them empty. */
static bool encode_enter(const struct encode_state *e, struct encode_slot *slots, size_t mask,
                         uint32_t row) {
  struct vdb_bytes key, other;
  vecdb_error ignored; /* the shape of every key was checked before */
  if (encode_key(e, row, &key, &ignored))
    return false;
  /* The seed makes a flood of chosen keys miss: the table's address is not known outside. */
  uint64_t hash = vdb_hash64_seed(key.data, key.n, (uint64_t)(uintptr_t)slots);
  uint32_t tag = (uint32_t)(hash >> 32);
  size_t at = hash & mask;
  for (; slots[at].row; at = (at + 1) & mask) {
    if (slots[at].tag != tag || encode_key(e, slots[at].row - 1, &other, &ignored))
      continue;
    if (key.n == other.n && (key.n == 0 || memcmp(key.data, other.data, key.n) == 0))
      return false;
  }
  slots[at].tag = tag;
  slots[at].row = row + 1;
  return true;
}

/* Fills `source` with the rows that are the last of their key, ascending. */
static int encode_pick_rows(struct vdb_mem *mem, struct encode_state *e, uint32_t *source,
                            vecdb_error *err) {
  uint32_t n = e->batch->n_rows;
  bool distinct = true;
  e->source = source;
  e->n = n;
  if (e->columns[e->schema->key].data)
    VDB_TRY(encode_keys_ascend(e, &distinct, err));
  if (distinct) {
    for (uint32_t i = 0; i < n; i++)
      source[i] = i;
    return VECDB_OK;
  }
  size_t size = 16;
  while (size < (size_t)n * 2)
    size *= 2;
  struct encode_slot *slots = vdb_alloc_zero(mem, size * sizeof *slots);
  if (!slots)
    return vdb_fail_memory(err);
  uint32_t first = n; /* from the last row back, into the end of `source` */
  for (uint32_t row = n; row-- > 0;)
    if (encode_enter(e, slots, size - 1, row))
      source[--first] = row;
  vdb_free(mem, slots);
  e->n = n - first;
  memmove(source, source + first, e->n * sizeof *source);
  return VECDB_OK;
}

static bool encode_is_null(const struct encode_column *c, size_t row) {
  return c->valid && !c->valid[row];
}

/* Checks the shape of every value of a variable column and adds up those of the rows that stay. */
static int encode_measure(const struct encode_state *e, const struct vdb_field *f,
                          struct encode_column *c, vecdb_error *err) {
  if (!c->data) {
    c->bytes = c->all_null ? 0 : (uint64_t)e->n * vdb_value_bytes(&f->default_value);
    return VECDB_OK;
  }
  uint32_t kept = 0;
  for (uint32_t row = 0; row < e->batch->n_rows; row++) {
    bool stays = kept < e->n && e->source[kept] == row;
    kept += stays;
    if (encode_is_null(c, row))
      continue;
    vecdb_value v;
    VDB_TRY(encode_value(f, c, row, &v, err));
    if (stays)
      c->bytes += vdb_value_bytes(&v);
  }
  return VECDB_OK;
}

/* Bytes of the record. Limits on rows, fields and values keep the sums below 2^57. */
static int encode_size(struct encode_state *e, uint64_t *size, vecdb_error *err) {
  uint64_t total = 2 * sizeof(uint32_t);
  for (uint32_t i = 0; i < e->schema->n_fields; i++) {
    const struct vdb_field *f = &e->schema->fields[i];
    struct encode_column *c = &e->columns[i];
    total += 8;
    if (c->valid || c->all_null)
      total += vdb_round_up(e->n, 8);
    if (f->width) {
      total += vdb_round_up((uint64_t)e->n * f->width, 8);
      continue;
    }
    VDB_TRY(encode_measure(e, f, c, err));
    total += ((uint64_t)e->n + 1) * sizeof(uint64_t) + vdb_round_up(c->bytes, 8);
  }
  if (total > VECDB_MAX_BATCH_BYTES)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the batch takes %llu bytes, at most %u",
                    (unsigned long long)total, VECDB_MAX_BATCH_BYTES);
  *size = total;
  return VECDB_OK;
}

/* Zeros from p to the next multiple of 8 bytes from `start`, which it returns. */
static uint8_t *encode_pad(uint8_t *p, const uint8_t *start) {
  size_t n = (size_t)(p - start);
  size_t pad = (size_t)vdb_round_up(n, 8) - n;
  memset(p, 0, pad);
  return p + pad;
}

/* The flag of the nulls and, when there are some, their bytes. */
static uint8_t *encode_put_nulls(const struct encode_state *e, const struct encode_column *c,
                                 uint8_t *p) {
  memset(p, 0, 8);
  p[0] = c->valid || c->all_null;
  p += 8;
  if (c->all_null) {
    memset(p, 1, e->n);
    return encode_pad(p + e->n, p);
  }
  if (!c->valid)
    return p;
  for (uint32_t i = 0; i < e->n; i++)
    p[i] = !c->valid[e->source[i]];
  return encode_pad(p + e->n, p);
}

/* A field without data: auto ids, zeros of null rows, or the default n times. */
static uint8_t *encode_fill_fixed(const struct encode_state *e, const struct vdb_field *f,
                                  const struct encode_column *c, uint8_t *p) {
  size_t total = (size_t)e->n * f->width;
  if (f->flags & VECDB_AUTO_ID) {
    for (uint32_t i = 0; i < e->n; i++) {
      int64_t id = e->first_auto_id + i;
      memcpy(p + (size_t)i * sizeof id, &id, sizeof id);
    }
  } else if (c->all_null) {
    memset(p, 0, total);
  } else {
    vdb_value_put(&f->default_value, p);
    for (size_t at = f->width; at < total; at += f->width)
      memcpy(p + at, p, f->width);
  }
  return p + total;
}

static uint8_t *encode_fill_variable(const struct encode_state *e, const struct vdb_field *f,
                                     const struct encode_column *c, uint8_t *p) {
  uint64_t each = c->bytes / e->n;
  for (uint64_t i = 0; i <= e->n; i++) {
    uint64_t offset = i * each;
    memcpy(p + i * sizeof offset, &offset, sizeof offset);
  }
  p += ((size_t)e->n + 1) * sizeof(uint64_t);
  if (c->bytes == 0)
    return p;
  vdb_value_put(&f->default_value, p);
  for (uint64_t at = each; at < c->bytes; at += each)
    memcpy(p + at, p, each);
  return p + c->bytes;
}

/* Copies one value; small sizes are spelt out so that they become single moves. */
static void encode_copy(uint8_t *to, const char *from, size_t width) {
  switch (width) {
  case 1:
    memcpy(to, from, 1);
    return;
  case 2:
    memcpy(to, from, 2);
    return;
  case 4:
    memcpy(to, from, 4);
    return;
  case 8:
    memcpy(to, from, 8);
    return;
  default:
    memcpy(to, from, width);
  }
}

static int encode_check_fixed(const struct vdb_field *f, const char *value, size_t row,
                              vecdb_error *err) {
  if (vdb_type_is_vector(f->type))
    return vdb_vector_check(f, value, (int64_t)row, err);
  return vdb_elements_check(f, value, 1, (int64_t)row, err);
}

/* Rows of a fixed-width column to p; *end is where they end. Rows that do not stay are checked
   too. */
static int encode_fixed(const struct encode_state *e, const struct vdb_field *f,
                        const struct encode_column *c, uint8_t *p, uint8_t **end,
                        vecdb_error *err) {
  uint32_t n = e->batch->n_rows;
  bool scalar = !vdb_type_is_vector(f->type);
  *end = p + (size_t)e->n * f->width;
  if (scalar && !c->valid && e->n == n && c->stride == f->width) {
    VDB_TRY(vdb_elements_check(f, c->data, n, 0, err));
    memcpy(p, c->data, (size_t)n * f->width);
    return VECDB_OK;
  }
  bool checked = vdb_type_is_integer(f->type) || f->type == VECDB_BINARY_VECTOR;
  uint32_t kept = 0;
  for (uint32_t row = 0; row < n; row++) {
    const char *from = c->data + row * c->stride;
    bool null = encode_is_null(c, row);
    if (!checked && !null)
      VDB_TRY(encode_check_fixed(f, from, row, err));
    if (kept == e->n || e->source[kept] != row)
      continue;
    if (null)
      memset(p, 0, f->width);
    else
      encode_copy(p, from, f->width);
    p += f->width;
    kept++;
  }
  return VECDB_OK;
}

static int encode_variable(const struct encode_state *e, const struct vdb_field *f,
                           const struct encode_column *c, uint8_t *p, uint8_t **end,
                           vecdb_error *err) {
  uint8_t *offsets = p;
  uint8_t *bytes = p + ((size_t)e->n + 1) * sizeof(uint64_t);
  uint64_t at = 0;
  uint32_t kept = 0;
  for (uint32_t row = 0; row < e->batch->n_rows; row++) {
    bool stays = kept < e->n && e->source[kept] == row;
    if (stays) {
      memcpy(offsets + (size_t)kept * sizeof at, &at, sizeof at);
      kept++;
    }
    if (encode_is_null(c, row))
      continue;
    vecdb_value v;
    VDB_TRY(encode_value(f, c, row, &v, err));
    size_t n = vdb_value_bytes(&v);
    bool json = f->type == VECDB_JSON && stays; /* is checked when it has been copied */
    if (!json)
      VDB_TRY(vdb_value_content(f, &v, row, err));
    if (!stays)
      continue;
    if (n > c->bytes - at)
      return vdb_fail_at(err, VECDB_ERR_ARGUMENT, row, f->name,
                         "field '%s' was changed while it was written", f->name);
    vdb_value_put(&v, bytes + at);
    if (json)
      VDB_TRY(vdb_json_compact(e->json, f, bytes + at, &n, row, err));
    at += n;
  }
  memcpy(offsets + (size_t)kept * sizeof at, &at, sizeof at);
  *end = bytes + at; /* JSON has become shorter */
  return VECDB_OK;
}

static int encode_put(const struct encode_state *e, uint8_t *start, uint8_t **end,
                      vecdb_error *err) {
  uint32_t head[2] = {e->n, e->schema->n_fields};
  memcpy(start, head, sizeof head);
  uint8_t *p = start + sizeof head;
  for (uint32_t i = 0; i < e->schema->n_fields; i++) {
    const struct vdb_field *f = &e->schema->fields[i];
    const struct encode_column *c = &e->columns[i];
    p = encode_put_nulls(e, c, p);
    if (!c->data)
      p = f->width ? encode_fill_fixed(e, f, c, p) : encode_fill_variable(e, f, c, p);
    else if (f->width)
      VDB_TRY(encode_fixed(e, f, c, p, &p, err));
    else
      VDB_TRY(encode_variable(e, f, c, p, &p, err));
    p = encode_pad(p, start);
  }
  *end = p;
  return VECDB_OK;
}

static int encode_prepare(struct vdb_mem *mem, struct encode_state *e, uint32_t *source,
                          uint64_t *size, vecdb_error *err) {
  VDB_TRY(vdb_batch_check(e->batch, err));
  VDB_TRY(encode_bind(e, err));
  for (uint32_t i = 0; i < e->schema->n_fields; i++)
    VDB_TRY(encode_bind_nulls(e, &e->schema->fields[i], &e->columns[i], err));
  if ((e->schema->fields[e->schema->key].flags & VECDB_AUTO_ID) &&
      e->first_auto_id > INT64_MAX - (int64_t)e->batch->n_rows)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the collection has no automatic keys left");
  VDB_TRY(encode_pick_rows(mem, e, source, err));
  return encode_size(e, size, err);
}

VDB_INTERNAL int vdb_batch_encode(struct vdb_mem *mem, const struct vdb_schema *schema,
                                  const vecdb_batch *batch, int64_t first_auto_id,
                                  struct vdb_writer *out, uint32_t *n_rows, uint32_t *source,
                                  vecdb_error *err) {
  struct encode_state e;
  memset(&e, 0, sizeof e);
  e.schema = schema;
  e.batch = batch;
  e.first_auto_id = first_auto_id;
  struct vdb_json_keys json = {mem, NULL, 0};
  e.json = &json;
  uint64_t size = 0;
  VDB_TRY(encode_prepare(mem, &e, source, &size, err));
  size_t before = out->n;
  uint8_t *start = vdb_write_space(out, size);
  if (!start)
    return vdb_fail_memory(err);
  uint8_t *end = start;
  int rc = encode_put(&e, start, &end, err);
  vdb_json_keys_fini(&json);
  if (rc) {
    out->n = before;
    return rc;
  }
  out->n = before + (size_t)(end - start);
  *n_rows = e.n;
  return VECDB_OK;
}
