/*
 * milvus_rows.c - rows as they come in FieldData messages, into a batch. Vectors and numbers of
 * eight bytes are used where they lie in the message when they are aligned there.
 */
#include <stdio.h>
#include <string.h>

#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus_rows.h"

static const struct pb_field rows_data_table[] = {
    {2, PB_TEXT, offsetof(struct milvus_data, name)},
    {3, PB_BYTES, offsetof(struct milvus_data, scalars)},
    {4, PB_BYTES, offsetof(struct milvus_data, vectors)},
    {6, PB_NUMBER, offsetof(struct milvus_data, dynamic)},
    {7, PB_NUMBERS, offsetof(struct milvus_data, valid)},
};

/* The arrays of ScalarField, and of what they hold: one field, `data`. */
struct rows_scalars {
  struct pb_bytes boolean, small, large, narrow, wide, text, json, array;
};
static const struct pb_field rows_scalars_table[] = {
    {1, PB_BYTES, offsetof(struct rows_scalars, boolean)},
    {2, PB_BYTES, offsetof(struct rows_scalars, small)},
    {3, PB_BYTES, offsetof(struct rows_scalars, large)},
    {4, PB_BYTES, offsetof(struct rows_scalars, narrow)},
    {5, PB_BYTES, offsetof(struct rows_scalars, wide)},
    {6, PB_BYTES, offsetof(struct rows_scalars, text)},
    {8, PB_BYTES, offsetof(struct rows_scalars, array)},
    {9, PB_BYTES, offsetof(struct rows_scalars, json)},
};
static const struct pb_field rows_numbers_table[] = {{1, PB_NUMBERS, 0}};
static const struct pb_field rows_fixed_table[] = {{1, PB_BYTES, 0}};
static const struct pb_field rows_list_table[] = {{1, PB_LIST, 0}};

struct rows_vectors {
  int64_t dim;
  struct pb_bytes floats, binary, f16, bf16, sparse, i8;
};
static const struct pb_field rows_vectors_table[] = {
    {1, PB_NUMBER, offsetof(struct rows_vectors, dim)},
    {2, PB_BYTES, offsetof(struct rows_vectors, floats)},
    {3, PB_BYTES, offsetof(struct rows_vectors, binary)},
    {4, PB_BYTES, offsetof(struct rows_vectors, f16)},
    {5, PB_BYTES, offsetof(struct rows_vectors, bf16)},
    {6, PB_BYTES, offsetof(struct rows_vectors, sparse)},
    {7, PB_BYTES, offsetof(struct rows_vectors, i8)},
};

static bool rows_count_wrong(const struct milvus_column *c, size_t have) {
  return milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "field %.255s: %zu values for %u rows",
                     c->field->name, have, c->n_rows);
}

bool milvus_rows_wrong(const struct milvus_column *c) {
  return milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "field %.255s: the data is not of its type",
                     c->field->name);
}

/* The nulls: one byte a row. */
static bool rows_valid(struct milvus_column *c) {
  const struct pb_numbers *valid = &c->in->valid;
  if (valid->n == 0)
    return true;
  if (valid->n != c->n_rows)
    return rows_count_wrong(c, valid->n);
  uint8_t *bytes = srv_arena_array(&c->m->call->arena, valid->n, 1);
  if (!bytes)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < valid->n; i++)
    bytes[i] = valid->items[i] != 0;
  c->out->valid = bytes;
  return true;
}

bool milvus_rows_spread(struct milvus_column *c, const void *data, size_t size, size_t have) {
  if (have == c->n_rows && (uintptr_t)data % 8 == 0) {
    c->out->data = data;
    return true;
  }
  uint8_t *out = srv_arena_array(&c->m->call->arena, c->n_rows, size);
  size_t from = 0;
  if (!out)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < c->n_rows; i++) {
    if (have != c->n_rows && (!c->out->valid || !c->out->valid[i]))
      continue;
    if (from == have)
      return rows_count_wrong(c, have);
    memcpy(out + i * size, (const uint8_t *)data + from++ * size, size);
  }
  c->out->data = out;
  return from == have || rows_count_wrong(c, have);
}

static bool rows_fixed(struct milvus_column *c, struct pb_bytes in, size_t size) {
  struct pb_bytes data;
  if (!MILVUS_PART(c->m, in, rows_fixed_table, &data))
    return false;
  return data.n % size ? milvus_rows_wrong(c)
                       : milvus_rows_spread(c, data.data, size, data.n / size);
}

static size_t rows_width(int32_t type) {
  return type == VECDB_INT64 ? 8 : type == VECDB_INT32 ? 4 : type == VECDB_INT16 ? 2 : 1;
}

void *milvus_rows_integers(struct milvus_column *c, const struct pb_numbers *numbers,
                           int32_t type) {
  size_t size = rows_width(type);
  uint8_t *narrow = srv_arena_array(&c->m->call->arena, numbers->n, size);
  int64_t high = type == VECDB_BOOL ? 1 : (int64_t)(UINT64_MAX >> 1 >> (64 - 8 * size));
  int64_t low = type == VECDB_BOOL ? 0 : -high - 1;
  if (!narrow)
    milvus_no_memory(c->m);
  for (size_t i = 0; narrow && i < numbers->n; i++) {
    if (numbers->items[i] < low || numbers->items[i] > high) {
      milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "field %.255s: %lld is out of range", c->field->name,
                  (long long)numbers->items[i]);
      return NULL;
    }
    memcpy(narrow + i * size, &numbers->items[i], size); /* little-endian: the low bytes */
  }
  return narrow;
}

static bool rows_integers(struct milvus_column *c, struct pb_bytes in) {
  struct pb_numbers numbers;
  if (!MILVUS_PART(c->m, in, rows_numbers_table, &numbers))
    return false;
  const void *narrow = milvus_rows_integers(c, &numbers, c->field->type);
  return narrow && milvus_rows_spread(c, narrow, rows_width(c->field->type), numbers.n);
}

bool milvus_rows_texts(struct milvus_column *c, struct pb_bytes in) {
  struct pb_list list;
  if (!MILVUS_PART(c->m, in, rows_list_table, &list))
    return false;
  if (!milvus_rows_spread(c, list.items, sizeof *list.items, list.n))
    return false;
  const struct pb_bytes *items = c->out->data;
  const char **texts = srv_arena_array(&c->m->call->arena, c->n_rows, sizeof *texts);
  uint32_t *lengths = srv_arena_array(&c->m->call->arena, c->n_rows, sizeof *lengths);
  if (!texts || !lengths)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < c->n_rows; i++) {
    if (items[i].n > UINT32_MAX)
      return milvus_rows_wrong(c);
    texts[i] = items[i].data ? (const char *)items[i].data : "";
    lengths[i] = (uint32_t)items[i].n;
  }
  c->out->data = texts;
  c->out->lengths = lengths;
  return true;
}

static bool rows_scalars(struct milvus_column *c) {
  struct rows_scalars in;
  if (!MILVUS_PART(c->m, c->in->scalars, rows_scalars_table, &in))
    return false;
  switch (c->field->type) {
  case VECDB_BOOL:
    return rows_integers(c, in.boolean);
  case VECDB_INT64:
    return rows_integers(c, in.large);
  case VECDB_FLOAT:
    return rows_fixed(c, in.narrow, sizeof(float));
  case VECDB_DOUBLE:
    return rows_fixed(c, in.wide, sizeof(double));
  case VECDB_VARCHAR:
    return milvus_is_json(c->open, c->field->name) ? milvus_rows_json(c, in.json)
                                                   : milvus_rows_texts(c, in.text);
  case VECDB_JSON:
    return milvus_rows_texts(c, in.json);
  case VECDB_ARRAY:
    return milvus_rows_arrays(c, in.array);
  default:
    return rows_integers(c, in.small);
  }
}

static bool rows_vectors(struct milvus_column *c) {
  struct rows_vectors in;
  struct pb_bytes data;
  if (!MILVUS_PART(c->m, c->in->vectors, rows_vectors_table, &in))
    return false;
  if (c->field->type == VECDB_SPARSE_VECTOR)
    return milvus_sparse_read(c->m, c->field, in.sparse, c->n_rows, c->out);
  size_t dim = c->field->dim, size = dim;
  if (in.dim != (int64_t)dim)
    return milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "field %.255s: vectors of %lld, not %zu",
                       c->field->name, (long long)in.dim, dim);
  switch (c->field->type) {
  case VECDB_FLOAT_VECTOR:
    return rows_fixed(c, in.floats, dim * sizeof(float));
  case VECDB_BINARY_VECTOR:
    data = in.binary;
    size = dim / 8;
    break;
  case VECDB_INT8_VECTOR:
    data = in.i8;
    break;
  default:
    data = c->field->type == VECDB_FLOAT16_VECTOR ? in.f16 : in.bf16;
    size = 2 * dim;
  }
  return data.n % size ? milvus_rows_wrong(c)
                       : milvus_rows_spread(c, data.data, size, data.n / size);
}

/* A null is the default of a field that has one and is not nullable. */
static bool rows_default(struct milvus_column *c) {
  const vecdb_field *f = c->field;
  uint32_t wanted = VECDB_HAS_DEFAULT;
  vecdb_column *out = c->out;
  if (!out->valid || (f->flags & (VECDB_HAS_DEFAULT | VECDB_NULLABLE)) != wanted)
    return true;
  size_t size = srv_value_bytes(f);
  uint8_t *data = srv_arena_array(&c->m->call->arena, c->n_rows, size);
  uint32_t *lengths = srv_arena_array(&c->m->call->arena, c->n_rows, sizeof *lengths);
  float narrow = (float)(f->type == VECDB_FLOAT ? f->default_value.as.number : 0);
  const void *value = f->type == VECDB_FLOAT ? (const void *)&narrow : &f->default_value.as;
  if (!data || !lengths)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < c->n_rows; i++) {
    const void *from = out->valid[i] ? (const uint8_t *)out->data + i * size : value;
    memcpy(data + i * size, from, size); /* little-endian: the low bytes of an integer */
    lengths[i] = f->default_value.length;
    if (out->valid[i] && out->lengths)
      lengths[i] = out->lengths[i];
  }
  out->data = data;
  out->lengths = srv_type_is_text(f->type) ? lengths : NULL;
  out->valid = NULL;
  return true;
}

static bool rows_column(struct milvus_column *c) {
  const char *name = c->in->dynamic ? MILVUS_DYNAMIC : c->in->name;
  c->field = srv_schema_field(c->open->schema, name);
  if (!c->field || (!c->in->dynamic && milvus_hidden(name)))
    return milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "there is no field %.255s", c->in->name);
  c->out->field = c->field->name;
  if (srv_type_is_vector(c->field->type))
    return rows_valid(c) && rows_vectors(c);
  return rows_valid(c) && rows_scalars(c) && rows_default(c);
}

/* Keys that the client leaves to us; VARCHAR ones are the digits. */
static bool rows_make_keys(struct milvus *m, const struct milvus_open *open, uint32_t n,
                           vecdb_column *out) {
  enum { DIGITS = 24 };
  struct engine *engine = m->call->server->engine;
  vecdb_error error;
  int64_t first;
  if (!engine_has_numbers(engine))
    first = srv_milvus_ids(m->call->server->milvus, n);
  else if (engine_numbers(engine, n, &first, &error) != VECDB_OK)
    return milvus_error(m, &error);
  int64_t *ids = srv_arena_array(&m->call->arena, n, sizeof *ids);
  const char **texts = srv_arena_array(&m->call->arena, n, sizeof *texts);
  char *digits = srv_arena_array(&m->call->arena, n, DIGITS);
  if (!ids || !texts || !digits)
    return milvus_no_memory(m);
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    texts[i] = digits + (size_t)i * DIGITS;
    snprintf(digits + (size_t)i * DIGITS, DIGITS, "%lld", (long long)ids[i]);
  }
  out->field = open->key->name;
  out->data = open->key->type == VECDB_VARCHAR ? (const void *)texts : ids;
  return true;
}

static const vecdb_column *rows_key_column(const struct milvus_open *open,
                                           const vecdb_batch *batch) {
  for (uint32_t i = 0; i < batch->n_columns; i++)
    if (strcmp(batch->columns[i].field, open->key->name) == 0)
      return &batch->columns[i];
  return NULL;
}

bool milvus_rows_read(struct milvus *m, const struct milvus_open *open, const char *partition,
                      const struct pb_list *data, uint32_t n_rows, vecdb_batch *out) {
  vecdb_column *columns = srv_arena_array(&m->call->arena, data->n + 3, sizeof *columns);
  *out = (vecdb_batch)VECDB_BATCH_INIT;
  if (!columns)
    return milvus_no_memory(m);
  if (n_rows == 0 || n_rows > VECDB_MAX_BATCH_ROWS)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "num_rows must be from 1 to %d",
                       VECDB_MAX_BATCH_ROWS);
  for (size_t i = 0; i < data->n; i++) {
    struct milvus_data in;
    struct milvus_column column = {m, open, &in, NULL, n_rows, &columns[i]};
    if (!MILVUS_PART(m, data->items[i], rows_data_table, &in) || !rows_column(&column))
      return false;
  }
  out->columns = columns;
  out->n_columns = (uint32_t)data->n;
  out->n_rows = n_rows;
  if (!milvus_partition_column(m, open, partition, n_rows, columns, &out->n_columns) ||
      !milvus_ttl_column(m, open, n_rows, columns, &out->n_columns))
    return false;
  if (!open->auto_id || rows_key_column(open, out))
    return true;
  m->call->numbered = true;
  return rows_make_keys(m, open, n_rows, &columns[out->n_columns++]);
}

void milvus_keys_write(struct milvus *m, uint32_t number, const struct milvus_open *open,
                       const vecdb_batch *batch) {
  const vecdb_column *column = rows_key_column(open, batch);
  bool texts = open->key->type == VECDB_VARCHAR;
  if (!column)
    return;
  size_t ids = srv_pb_open(&m->out, number), list = srv_pb_open(&m->out, texts ? 2 : 1);
  size_t packed = texts ? 0 : srv_pb_open(&m->out, 1);
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    if (!texts) {
      srv_pb_varint(&m->out, (uint64_t)((const int64_t *)column->data)[i]);
      continue;
    }
    const char *text = ((const char *const *)column->data)[i];
    srv_pb_bytes(&m->out, 1, text, column->lengths ? column->lengths[i] : strlen(text));
  }
  if (!texts)
    srv_pb_close(&m->out, packed);
  srv_pb_close(&m->out, list);
  srv_pb_close(&m->out, ids);
}
