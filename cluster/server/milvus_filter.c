/* milvus_filter.c - filters and the values that their templates name; see milvus.h. */
#include <string.h>

#include "server/milvus.h"

struct filter_entry {
  const char *name;
  struct pb_bytes value;
};
static const struct pb_field filter_entry_table[] = {
    {1, PB_TEXT, offsetof(struct filter_entry, name)},
    {2, PB_BYTES, offsetof(struct filter_entry, value)},
};

/* TemplateValue is a choice: the field that comes says which. Each is read as a list to see it. */
struct filter_value {
  struct pb_numbers boolean, integer;
  double real;
  struct pb_list text;
  struct pb_bytes array;
};
static const struct pb_field filter_value_table[] = {
    {1, PB_NUMBERS, offsetof(struct filter_value, boolean)},
    {2, PB_NUMBERS, offsetof(struct filter_value, integer)},
    {3, PB_DOUBLE, offsetof(struct filter_value, real)},
    {4, PB_LIST, offsetof(struct filter_value, text)},
    {5, PB_BYTES, offsetof(struct filter_value, array)},
};

struct filter_array {
  struct pb_bytes boolean, integer, real, text;
};
static const struct pb_field filter_array_table[] = {
    {1, PB_BYTES, offsetof(struct filter_array, boolean)},
    {2, PB_BYTES, offsetof(struct filter_array, integer)},
    {3, PB_BYTES, offsetof(struct filter_array, real)},
    {4, PB_BYTES, offsetof(struct filter_array, text)},
};
static const struct pb_field filter_numbers_table[] = {{1, PB_NUMBERS, 0}};
static const struct pb_field filter_reals_table[] = {{1, PB_BYTES, 0}};
static const struct pb_field filter_texts_table[] = {{1, PB_LIST, 0}};

static bool filter_array_set(struct milvus *m, int32_t type, const void *data, size_t n,
                             vecdb_value *out) {
  if (n > UINT32_MAX)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a list of the filter is too long");
  out->type = VECDB_ARRAY;
  out->element_type = type;
  out->length = (uint32_t)n;
  out->as.data = data;
  return true;
}

static bool filter_texts(struct milvus *m, struct pb_bytes in, vecdb_value *out) {
  struct pb_list list;
  if (!MILVUS_PART(m, in, filter_texts_table, &list))
    return false;
  vecdb_string *strings = srv_arena_array(&m->call->arena, list.n, sizeof *strings);
  if (!strings)
    return milvus_no_memory(m);
  for (size_t i = 0; i < list.n; i++)
    strings[i] = (vecdb_string){(const char *)list.items[i].data, list.items[i].n};
  return filter_array_set(m, VECDB_VARCHAR, strings, list.n, out);
}

static bool filter_reals(struct milvus *m, struct pb_bytes in, vecdb_value *out) {
  struct pb_bytes packed;
  if (!MILVUS_PART(m, in, filter_reals_table, &packed))
    return false;
  double *reals = srv_arena_array(&m->call->arena, packed.n, 1);
  if (!reals)
    return milvus_no_memory(m);
  if (packed.n)
    memcpy(reals, packed.data, packed.n);
  return filter_array_set(m, VECDB_DOUBLE, reals, packed.n / sizeof *reals, out);
}

static bool filter_array(struct milvus *m, struct pb_bytes in, vecdb_value *out) {
  struct filter_array array;
  struct pb_numbers numbers;
  if (!MILVUS_PART(m, in, filter_array_table, &array))
    return false;
  if (array.text.data)
    return filter_texts(m, array.text, out);
  if (array.real.data)
    return filter_reals(m, array.real, out);
  if (!MILVUS_PART(m, array.integer.data ? array.integer : array.boolean, filter_numbers_table,
                   &numbers))
    return false;
  if (array.integer.data || !array.boolean.data)
    return filter_array_set(m, VECDB_INT64, numbers.items, numbers.n, out);
  bool *flags = srv_arena_array(&m->call->arena, numbers.n, sizeof *flags);
  if (!flags)
    return milvus_no_memory(m);
  for (size_t i = 0; i < numbers.n; i++)
    flags[i] = numbers.items[i] != 0;
  return filter_array_set(m, VECDB_BOOL, flags, numbers.n, out);
}

static bool filter_value(struct milvus *m, struct pb_bytes in, vecdb_value *out) {
  struct filter_value v;
  if (!MILVUS_PART(m, in, filter_value_table, &v))
    return false;
  if (v.array.data)
    return filter_array(m, v.array, out);
  if (v.text.n) {
    out->type = VECDB_VARCHAR;
    out->length = (uint32_t)v.text.items[0].n;
    out->as.data = v.text.items[0].data;
  } else if (v.boolean.n) {
    out->type = VECDB_BOOL;
    out->as.boolean = v.boolean.items[0] != 0;
  } else if (v.integer.n) {
    out->type = VECDB_INT64;
    out->as.integer = v.integer.items[0];
  } else {
    out->type = VECDB_DOUBLE;
    out->as.number = v.real;
  }
  return true;
}

bool milvus_filter_read(struct milvus *m, const struct milvus_open *open, const char *text,
                        const struct pb_list *values, vecdb_filter *out) {
  vecdb_param *params = srv_arena_array(&m->call->arena, values->n, sizeof *params);
  memset(out, 0, sizeof *out);
  if (!params)
    return milvus_no_memory(m);
  for (size_t i = 0; i < values->n; i++) {
    struct filter_entry entry;
    if (!MILVUS_PART(m, values->items[i], filter_entry_table, &entry) ||
        !filter_value(m, entry.value, &params[i].value))
      return false;
    params[i].name = entry.name;
  }
  if (text[strspn(text, " \t\r\n")] == '\0')
    return true;
  text = milvus_dynamic(m, open, text);
  if (!text)
    return false;
  *out = (vecdb_filter){text, strlen(text), params, values->n};
  return true;
}
