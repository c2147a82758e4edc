/* batch_decode.c - records read back as columns, whatever their bytes, and keys; see batch.h. */
#include "attr/batch.h"
#include "attr/json.h"
#include "attr/sparse.h"
#include "attr/value.h"
#include "base/check.h"

static int decode_fail(const struct vdb_field *f, const char *what, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_CORRUPT, -1, f->name, "a stored batch: field '%s': %s", f->name,
                     what);
}

/* The fault that a check of values found, as damage. */
static int decode_fault(vecdb_error *err) {
  vecdb_error why = *err;
  return vdb_fail_at(err, VECDB_ERR_CORRUPT, why.row, why.field, "a stored batch: %s", why.message);
}

static bool decode_zeros(const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (p[i])
      return false;
  return true;
}

/* Skips to the next multiple of 8 bytes from `start`; the bytes between must be zero. */
static void decode_pad(struct vdb_reader *in, const uint8_t *start) {
  size_t n = (size_t)(in->at - start);
  size_t pad = (size_t)vdb_round_up(n, 8) - n;
  const uint8_t *p = vdb_read_bytes(in, pad);
  if (p && !decode_zeros(p, pad))
    in->bad = true;
}

/* Where a record is read. */
struct decode_state {
  struct vdb_reader in;
  const uint8_t *start;
  uint32_t n;   /* rows */
  bool trusted; /* values are not looked at */
};

static int decode_nulls(struct decode_state *d, const struct vdb_field *f, struct vdb_column *c,
                        vecdb_error *err) {
  uint8_t has_nulls = vdb_read_u8(&d->in);
  decode_pad(&d->in, d->start);
  if (d->in.bad || has_nulls > 1 || (has_nulls && !(f->flags & VECDB_NULLABLE)))
    return decode_fail(f, "its column does not start as one", err);
  if (!has_nulls)
    return VECDB_OK;
  c->nulls = vdb_read_bytes(&d->in, d->n);
  decode_pad(&d->in, d->start);
  if (d->in.bad)
    return decode_fail(f, "its nulls are cut", err);
  unsigned bad = 0;
  for (uint32_t i = 0; i < d->n; i++)
    bad |= c->nulls[i] > 1;
  return bad ? decode_fail(f, "its nulls are not 0 or 1", err) : VECDB_OK;
}

static int decode_fixed(struct decode_state *d, const struct vdb_field *f, struct vdb_column *c,
                        vecdb_error *err) {
  c->data = vdb_read_bytes(&d->in, (size_t)d->n * f->width);
  decode_pad(&d->in, d->start);
  if (d->in.bad)
    return decode_fail(f, "its values are cut", err);
  if (d->trusted)
    return VECDB_OK;
  for (uint32_t i = 0; c->nulls && i < d->n; i++)
    if (c->nulls[i] && !decode_zeros(c->data + (size_t)i * f->width, f->width))
      return decode_fail(f, "a null has a value", err);
  if (!vdb_type_is_vector(f->type))
    return vdb_elements_check(f, c->data, d->n, 0, err) ? decode_fault(err) : VECDB_OK;
  for (uint32_t i = 0; i < d->n; i++)
    if (vdb_vector_check(f, c->data + (size_t)i * f->width, i, err))
      return decode_fault(err);
  return VECDB_OK;
}

static int decode_text(const struct vdb_field *f, const uint8_t *text, size_t n, uint32_t row,
                       vecdb_error *err) {
  if (n <= f->max_length && vdb_utf8_valid((const char *)text, n))
    return VECDB_OK;
  return vdb_fail_at(err, VECDB_ERR_CORRUPT, row, f->name,
                     "a stored batch: field '%s': a text is too long or not valid UTF-8", f->name);
}

static int decode_array(const struct vdb_field *f, struct vdb_bytes array, uint32_t row,
                        vecdb_error *err) {
  if (!vdb_array_valid(array, f->element_type) || vdb_array_count(array) > f->max_capacity)
    return vdb_fail_at(err, VECDB_ERR_CORRUPT, row, f->name,
                       "a stored batch: field '%s': an array is malformed or too long", f->name);
  size_t count = vdb_array_count(array);
  const uint8_t *at = array.data + sizeof(uint32_t);
  if (f->element_type != VECDB_VARCHAR)
    return vdb_elements_check(f, at, count, row, err) ? decode_fault(err) : VECDB_OK;
  const uint8_t *text = at + count * sizeof(uint32_t);
  for (size_t i = 0; i < count; i++) {
    uint32_t n;
    memcpy(&n, at + i * sizeof n, sizeof n);
    VDB_TRY(decode_text(f, text, n, row, err));
    text += n;
  }
  return VECDB_OK;
}

static int decode_json(const struct vdb_field *f, struct vdb_bytes b, uint32_t row,
                       vecdb_error *err) {
  VDB_TRY(decode_text(f, b.data, b.n, row, err));
  return vdb_json_check(f, b.data, b.n, row, err) ? decode_fault(err) : VECDB_OK;
}

/* One value of a variable column whose offsets have been checked. */
static int decode_variable_row(const struct vdb_field *f, const struct vdb_column *c, uint32_t row,
                               vecdb_error *err) {
  struct vdb_bytes b = vdb_column_bytes(c, row);
  if (vdb_column_is_null(c, row))
    return b.n ? decode_fail(f, "a null has a value", err) : VECDB_OK;
  if (f->type == VECDB_VARCHAR)
    return decode_text(f, b.data, b.n, row, err);
  if (f->type == VECDB_JSON)
    return decode_json(f, b, row, err);
  if (f->type == VECDB_SPARSE_VECTOR)
    return vdb_sparse_check_stored(f, b, row, err) ? decode_fault(err) : VECDB_OK;
  return decode_array(f, b, row, err);
}

static int decode_variable(struct decode_state *d, const struct vdb_field *f, struct vdb_column *c,
                           vecdb_error *err) {
  c->offsets = vdb_read_bytes(&d->in, ((size_t)d->n + 1) * sizeof(uint64_t));
  if (!c->offsets)
    return decode_fail(f, "its offsets are cut", err);
  unsigned falling = c->offsets[0] != 0;
  for (uint32_t i = 0; i < d->n; i++)
    falling |= c->offsets[i] > c->offsets[i + 1];
  if (falling)
    return decode_fail(f, "its offsets do not ascend", err);
  c->data = vdb_read_bytes(&d->in, c->offsets[d->n]);
  decode_pad(&d->in, d->start);
  if (d->in.bad)
    return decode_fail(f, "its values are cut", err);
  for (uint32_t i = 0; !d->trusted && i < d->n; i++)
    VDB_TRY(decode_variable_row(f, c, i, err));
  return VECDB_OK;
}

static int decode_columns(struct decode_state *d, const struct vdb_schema *schema,
                          struct vdb_column *columns, vecdb_error *err) {
  for (uint32_t i = 0; i < schema->n_fields; i++) {
    const struct vdb_field *f = &schema->fields[i];
    struct vdb_column *c = &columns[i];
    c->width = f->width;
    c->type = f->type;
    c->element_type = f->element_type;
    VDB_TRY(decode_nulls(d, f, c, err));
    if (f->width)
      VDB_TRY(decode_fixed(d, f, c, err));
    else
      VDB_TRY(decode_variable(d, f, c, err));
  }
  if (vdb_reader_left(&d->in))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "a stored batch has bytes behind its end");
  return VECDB_OK;
}

static int decode_record(struct decode_state *d, struct vdb_mem *mem,
                         const struct vdb_schema *schema, struct vdb_batch *out,
                         vecdb_error *err) {
  memset(out, 0, sizeof *out);
  vdb_assert((uintptr_t)d->start % 8 == 0);
  d->n = vdb_read_u32(&d->in);
  uint32_t n_fields = vdb_read_u32(&d->in);
  if (d->in.bad || d->n == 0 || d->n > VECDB_MAX_BATCH_ROWS)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "a stored batch has a wrong number of rows");
  if (n_fields != schema->n_fields)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "a stored batch has %u fields, and its collection %u",
                    n_fields, schema->n_fields);
  struct vdb_column *columns = vdb_alloc_zero(mem, n_fields * sizeof *columns);
  if (!columns)
    return vdb_fail_memory(err);
  int rc = decode_columns(d, schema, columns, err);
  if (rc) {
    vdb_free(mem, columns);
    return rc;
  }
  out->n_rows = d->n;
  out->n_columns = n_fields;
  out->columns = columns;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_batch_decode(struct vdb_mem *mem, const struct vdb_schema *schema,
                                  const void *data, size_t n, struct vdb_batch *out,
                                  vecdb_error *err) {
  struct decode_state d = {.in = vdb_reader_of(data, n), .start = data};
  return decode_record(&d, mem, schema, out, err);
}

VDB_INTERNAL int vdb_batch_view(struct vdb_mem *mem, const struct vdb_schema *schema,
                                const void *data, size_t n, struct vdb_batch *out,
                                vecdb_error *err) {
  struct decode_state d = {.in = vdb_reader_of(data, n), .start = data, .trusted = true};
  return decode_record(&d, mem, schema, out, err);
}

VDB_INTERNAL void vdb_batch_fini(struct vdb_mem *mem, struct vdb_batch *batch) {
  vdb_free(mem, batch->columns);
  memset(batch, 0, sizeof *batch);
}

static int batch_check_key(const struct vdb_field *f, vecdb_string key, size_t i,
                             vecdb_error *err) {
  int64_t row = (int64_t)i;
  if (key.length && !key.data)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, row, f->name, "key %zu is a NULL pointer", i);
  if (key.length > f->max_length)
    return vdb_fail_at(err, VECDB_ERR_TOO_LONG, row, f->name,
                       "key %zu has %zu bytes, and %u are allowed", i, key.length, f->max_length);
  if (!vdb_utf8_valid(key.data, key.length))
    return vdb_fail_at(err, VECDB_ERR_UTF8, row, f->name,
                       "key %zu is not valid UTF-8 or holds a NUL byte", i);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_keys_check(const struct vdb_schema *schema, const vecdb_keys *keys,
                                vecdb_error *err) {
  const struct vdb_field *f = &schema->fields[schema->key];
  if (!keys)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the keys are NULL");
  if (keys->n > VECDB_MAX_BATCH_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%zu keys, at most %d", keys->n, VECDB_MAX_BATCH_ROWS);
  bool text = f->type == VECDB_VARCHAR;
  if (text ? keys->integers != NULL : keys->strings != NULL)
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name, "the keys of field '%s' are %s",
                       f->name, text ? "texts" : "integers");
  if (keys->n && (text ? keys->strings == NULL : keys->integers == NULL))
    return vdb_fail_at(err, VECDB_ERR_ARGUMENT, -1, f->name, "the keys are NULL");
  for (size_t i = 0; text && i < keys->n; i++)
    VDB_TRY(batch_check_key(f, keys->strings[i], i, err));
  return VECDB_OK;
}

VDB_INTERNAL int vdb_key_compare(struct vdb_bytes a, struct vdb_bytes b, int32_t key_type) {
  if (key_type == VECDB_INT64) {
    int64_t x, y;
    memcpy(&x, a.data, sizeof x);
    memcpy(&y, b.data, sizeof y);
    return (x > y) - (x < y);
  }
  size_t n = vdb_min_size(a.n, b.n);
  int order = n ? memcmp(a.data, b.data, n) : 0;
  return order ? order : (a.n > b.n) - (a.n < b.n);
}
