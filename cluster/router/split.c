/* split.c - which shards a request concerns; see split.h. */
#include "router/split.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int split_fail(vecdb_error *error, int code, const char *field, int64_t row,
                      const char *text) {
  *error = (vecdb_error){.code = code, .row = row, .position = -1};
  snprintf(error->field, sizeof error->field, "%s", field);
  snprintf(error->message, sizeof error->message, "%s", text);
  return code;
}

static int split_no_memory(vecdb_error *error) {
  return split_fail(error, VECDB_ERR_NO_MEMORY, "", -1, "out of memory");
}

/* Items by their shard, which `of` says: a counting sort. */
static bool split_sort(const struct router_map *map, const uint16_t *of, uint32_t n,
                       struct wire_mem *mem, struct router_shares *out) {
  uint32_t *first = wire_mem_get(mem, map->n_shards + 1, sizeof *first);
  uint32_t *at = wire_mem_get(mem, n, sizeof *at), used = 0;
  struct router_share *shares = wire_mem_get(mem, map->n_shards, sizeof *shares);
  if (!first || !at || !shares)
    return false;
  for (uint32_t i = 0; i < n; i++)
    first[of[i] + 1]++;
  for (uint32_t s = 0; s < map->n_shards; s++) {
    if (first[s + 1])
      shares[used++] = (struct router_share){s, first[s + 1], at + first[s]};
    first[s + 1] += first[s];
  }
  for (uint32_t i = 0; i < n; i++)
    at[first[of[i]]++] = i;
  *out = (struct router_shares){used, shares};
  return true;
}

/* ---- One row's place ---- */

static uint64_t split_hash(const vecdb_value *v) {
  return v->type == VECDB_VARCHAR ? place_hash(v->as.data, v->length)
                                  : place_hash_number(v->as.integer);
}

/* IEEE binary16; only the size matters, the sign does not. */
static double split_half(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
}

static double split_bfloat(uint16_t bits) {
  float wide;
  memcpy(&wide, &(uint32_t){(uint32_t)bits << 16}, sizeof wide);
  return (double)wide;
}

static double split_element(const vecdb_value *v, uint32_t i) {
  switch (v->type) {
    case VECDB_FLOAT_VECTOR:
      return (double)((const float *)v->as.data)[i];
    case VECDB_INT8_VECTOR:
      return (double)((const int8_t *)v->as.data)[i];
    case VECDB_FLOAT16_VECTOR:
      return split_half(((const uint16_t *)v->as.data)[i]);
    default:
      return split_bfloat(((const uint16_t *)v->as.data)[i]);
  }
}

static double split_norm(const vecdb_value *v) {
  double sum = 0;
  for (uint32_t i = 0; i < v->length; i++)
    sum += split_element(v, i) * split_element(v, i);
  return sqrt(sum);
}

/* A value as what ranges are of. */
static struct doc_key split_key(const vecdb_value *v) {
  struct doc_key key = {.kind = DOC_KEY_INT};
  if (v->type == VECDB_VARCHAR) {
    size_t n = v->length < DOC_NAME_MAX ? v->length : DOC_NAME_MAX - 1;
    key.kind = DOC_KEY_TEXT;
    memcpy(key.text, v->as.data, n);
  } else if (v->type >= VECDB_FLOAT_VECTOR) {
    key.kind = DOC_KEY_FLOAT;
    key.real = split_norm(v);
  } else if (v->type == VECDB_FLOAT || v->type == VECDB_DOUBLE) {
    key.kind = DOC_KEY_FLOAT;
    key.real = v->as.number;
  } else {
    key.number = v->type == VECDB_BOOL ? v->as.boolean : v->as.integer;
  }
  return key;
}

static struct doc_key split_range_key(const struct doc_splits *ranges, const vecdb_value *by) {
  struct doc_key key = split_key(by);
  if (key.kind == DOC_KEY_INT && ranges->ranges[0].from.kind == DOC_KEY_FLOAT) {
    key.kind = DOC_KEY_FLOAT;
    key.real = (double)key.number;
  }
  return key;
}

struct doc_key router_split_key(const struct router_map *map, const vecdb_value *by) {
  return split_range_key(&map->splits, by);
}

static struct place_window split_window(const struct place_route *route, const vecdb_value *by) {
  if (route->policy == DOC_TENANT)
    return place_window(route, split_hash(by), NULL);
  if (route->policy == DOC_HASH)
    return place_window(route, 0, NULL);
  struct doc_key key = split_range_key(route->splits, by);
  return place_window(route, 0, &key);
}

struct place_window router_split_window(const struct router_map *map, const vecdb_value *by) {
  return split_window(&map->route, by);
}

uint32_t router_split_slot(const struct place_route *route, const vecdb_value *key,
                           const vecdb_value *by) {
  return place_slot(split_window(route, by), split_hash(key));
}

static uint16_t split_shard(const struct router_map *map, struct place_window window,
                            uint64_t hash) {
  return map->slots.shard[place_slot(window, hash)];
}

/* ---- Rows and keys ---- */

/* The column of a field that every row must have. */
static int split_column(const struct wire_columns *rows, const vecdb_field *field, int *column,
                        vecdb_error *error) {
  *column = wire_columns_find(rows, field->name);
  if (*column >= 0 && rows->columns[*column].data)
    return VECDB_OK;
  if (field->flags & VECDB_AUTO_ID)
    return split_fail(error, VECDB_ERR_UNSUPPORTED, field->name, -1,
                      "shards do not number rows: take numbers for their keys");
  return split_fail(error, VECDB_ERR_MISSING_FIELD, field->name, -1,
                    "the batch lacks a field that says which shard a row belongs to");
}

int router_split_rows(const struct router_map *map, const struct wire_columns *rows,
                      struct wire_mem *mem, struct router_shares *out, vecdb_error *error) {
  int key, by = -1, code = split_column(rows, map->key, &key, error);
  if (!code && map->by)
    code = split_column(rows, map->by, &by, error);
  if (code)
    return code;
  uint16_t *of = wire_mem_get(mem, rows->n_rows, sizeof *of);
  if (!of)
    return split_no_memory(error);
  for (uint32_t i = 0; i < rows->n_rows; i++) {
    vecdb_value id = wire_columns_value(rows, i, (size_t)key), field = {0};
    if (by >= 0)
      field = wire_columns_value(rows, i, (size_t)by);
    if (!id.type || (by >= 0 && !field.type))
      return split_fail(error, VECDB_ERR_NULL_VALUE, id.type ? map->by->name : map->key->name, i,
                        "null where a row's shard depends on it");
    of[i] = split_shard(map, router_split_window(map, &field), split_hash(&id));
  }
  return split_sort(map, of, rows->n_rows, mem, out) ? VECDB_OK : split_no_memory(error);
}

int router_split_update(const struct router_map *map, const struct wire_columns *rows,
                        bool inserts, struct wire_mem *mem, struct router_shares *out,
                        vecdb_error *error) {
  int key;
  if (!map->by)
    return router_split_rows(map, rows, mem, out, error);
  if (inserts || wire_columns_find(rows, map->by->name) >= 0)
    return split_fail(error, VECDB_ERR_UNSUPPORTED, map->by->name, -1,
                      "an update neither moves rows between shards nor makes new ones where a "
                      "field says which shard they belong to: upsert them whole");
  int code = split_column(rows, map->key, &key, error);
  if (code)
    return code;
  uint32_t *all = wire_mem_get(mem, rows->n_rows, sizeof *all);
  struct router_share *shares = wire_mem_get(mem, map->n_shards, sizeof *shares);
  if (!all || !shares)
    return split_no_memory(error);
  *out = (struct router_shares){0, shares};
  for (uint32_t i = 0; i < rows->n_rows; i++)
    all[i] = i;
  for (uint32_t s = 0; s < map->n_shards; s++)
    if (map->shards[s].known)
      shares[out->n++] = (struct router_share){s, rows->n_rows, all};
  return VECDB_OK;
}

bool router_split_all(const struct router_map *map, struct wire_mem *mem,
                      struct router_shares *out) {
  struct router_share *shares = wire_mem_get(mem, map->n_shards, sizeof *shares);
  uint32_t n = 0;
  for (uint32_t s = 0; shares && s < map->n_shards; s++)
    if (map->shards[s].known)
      shares[n++] = (struct router_share){s, 0, NULL};
  *out = (struct router_shares){n, shares};
  return shares != NULL;
}

int router_split_keys(const struct router_map *map, const vecdb_keys *keys, struct wire_mem *mem,
                      struct router_shares *out, vecdb_error *error) {
  bool strings = map->key->type == VECDB_VARCHAR;
  if (strings ? !keys->strings : !keys->integers)
    return split_fail(error, keys->n ? VECDB_ERR_TYPE : VECDB_ERR_ARGUMENT, map->key->name, -1,
                      "keys of another type than the collection's, or none");
  if (map->by)
    return router_split_all(map, mem, out) ? VECDB_OK : split_no_memory(error);
  const struct place_window window = place_window(&map->route, 0, NULL);
  uint16_t *of = wire_mem_get(mem, keys->n, sizeof *of);
  if (!of)
    return split_no_memory(error);
  for (size_t i = 0; i < keys->n; i++) {
    uint64_t hash = strings ? place_hash(keys->strings[i].data, keys->strings[i].length)
                            : place_hash_number(keys->integers[i]);
    of[i] = split_shard(map, window, hash);
  }
  return split_sort(map, of, (uint32_t)keys->n, mem, out) ? VECDB_OK : split_no_memory(error);
}
