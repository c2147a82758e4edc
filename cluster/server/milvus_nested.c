/* milvus_nested.c - columns of arrays and of JSON, from FieldData messages; see milvus_rows.h. */
#include <string.h>

#include "server/milvus_rows.h"

/* The arrays of ScalarField that elements may come in, and of what they hold: one field. */
struct nested_scalars {
  struct pb_bytes boolean, small, large, narrow, wide, text;
};
static const struct pb_field nested_scalars_table[] = {
    {1, PB_BYTES, offsetof(struct nested_scalars, boolean)},
    {2, PB_BYTES, offsetof(struct nested_scalars, small)},
    {3, PB_BYTES, offsetof(struct nested_scalars, large)},
    {4, PB_BYTES, offsetof(struct nested_scalars, narrow)},
    {5, PB_BYTES, offsetof(struct nested_scalars, wide)},
    {6, PB_BYTES, offsetof(struct nested_scalars, text)},
};
static const struct pb_field nested_list_table[] = {{1, PB_LIST, 0}};
static const struct pb_field nested_numbers_table[] = {{1, PB_NUMBERS, 0}};
static const struct pb_field nested_bytes_table[] = {{1, PB_BYTES, 0}};

/* One array, as vecdb.h takes it. */
struct nested_array {
  const void *data;
  uint32_t n;
};

static bool nested_texts(struct milvus_column *c, struct pb_bytes in, struct nested_array *out) {
  struct pb_list list;
  if (!MILVUS_PART(c->m, in, nested_list_table, &list))
    return false;
  vecdb_string *strings = srv_arena_array(&c->m->call->arena, list.n, sizeof *strings);
  if (!strings)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < list.n; i++)
    strings[i] = (vecdb_string){list.items[i].n ? (const char *)list.items[i].data : "",
                                list.items[i].n};
  *out = (struct nested_array){strings, (uint32_t)list.n};
  return true;
}

static bool nested_integers(struct milvus_column *c, struct pb_bytes in, struct nested_array *out) {
  struct pb_numbers numbers;
  if (!MILVUS_PART(c->m, in, nested_numbers_table, &numbers))
    return false;
  const void *data = milvus_rows_integers(c, &numbers, c->field->element_type);
  *out = (struct nested_array){data, (uint32_t)numbers.n};
  return data != NULL;
}

/* Copied, as the library may want them aligned. */
static bool nested_fixed(struct milvus_column *c, struct pb_bytes in, size_t size,
                         struct nested_array *out) {
  struct pb_bytes data;
  if (!MILVUS_PART(c->m, in, nested_bytes_table, &data))
    return false;
  void *copy = srv_arena_array(&c->m->call->arena, data.n, 1);
  if (!copy)
    return milvus_no_memory(c->m);
  if (data.n)
    memcpy(copy, data.data, data.n);
  *out = (struct nested_array){copy, (uint32_t)(data.n / size)};
  return data.n % size == 0 || milvus_rows_wrong(c);
}

static bool nested_array(struct milvus_column *c, struct pb_bytes in, struct nested_array *out) {
  struct nested_scalars s;
  if (!MILVUS_PART(c->m, in, nested_scalars_table, &s))
    return false;
  switch (c->field->element_type) {
  case VECDB_VARCHAR:
    return nested_texts(c, s.text, out);
  case VECDB_FLOAT:
    return nested_fixed(c, s.narrow, sizeof(float), out);
  case VECDB_DOUBLE:
    return nested_fixed(c, s.wide, sizeof(double), out);
  case VECDB_BOOL:
    return nested_integers(c, s.boolean, out);
  case VECDB_INT64:
    return nested_integers(c, s.large, out);
  default:
    return nested_integers(c, s.small, out);
  }
}

bool milvus_rows_arrays(struct milvus_column *c, struct pb_bytes in) {
  struct srv_arena *arena = &c->m->call->arena;
  struct pb_list list;
  if (!MILVUS_PART(c->m, in, nested_list_table, &list) ||
      !milvus_rows_spread(c, list.items, sizeof *list.items, list.n))
    return false;
  const struct pb_bytes *items = c->out->data;
  const void **data = srv_arena_array(arena, c->n_rows, sizeof *data);
  uint32_t *lengths = srv_arena_array(arena, c->n_rows, sizeof *lengths);
  if (!data || !lengths)
    return milvus_no_memory(c->m);
  for (size_t i = 0; i < c->n_rows; i++) {
    struct nested_array array;
    if (!nested_array(c, items[i], &array))
      return false;
    data[i] = array.data;
    lengths[i] = array.n;
  }
  c->out->data = data;
  c->out->lengths = lengths;
  return true;
}

bool milvus_rows_json(struct milvus_column *c, struct pb_bytes in) {
  if (!milvus_rows_texts(c, in))
    return false;
  const char *const *texts = c->out->data;
  for (size_t i = 0; i < c->n_rows; i++) {
    json_error_t why;
    if (c->out->valid && !c->out->valid[i])
      continue;
    json_t *value =
        json_loadb(texts[i], c->out->lengths[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
    if (!value)
      return milvus_fail(c->m, SRV_MILVUS_ARGUMENT, "field %.255s, row %zu: no JSON: %.160s",
                         c->in->name, i, why.text);
    json_decref(value);
  }
  return true;
}
