/* json_sparse.c - sparse vectors as JSON; see json_sparse.h. */
#include "server/json_sparse.h"

#include <stdlib.h>

#include "server/json_numbers.h"

bool srv_is_sparse(json_t *value) {
  json_t *values = json_object_get(value, "values");
  return json_object_size(value) == 2 && json_is_array(json_object_get(value, "indices")) &&
         (json_is_array(values) || srv_is_numbers(values));
}

static int sparse_compare(const void *a, const void *b) {
  const vecdb_sparse_pair *x = a, *y = b;
  return (x->index > y->index) - (x->index < y->index);
}

static bool sparse_pair(json_t *index, json_t *values, size_t at, vecdb_sparse_pair *out) {
  json_int_t i = json_integer_value(index);
  json_t *value = json_array_get(values, at);
  bool numbers = srv_is_numbers(values);
  if (!json_is_integer(index) || i < 0 || i > UINT32_MAX || !(numbers || json_is_number(value)))
    return false;
  double number = numbers ? srv_numbers_get(values, at) : json_number_value(value);
  *out = (vecdb_sparse_pair){(uint32_t)i, (float)number};
  return true;
}

bool srv_sparse_read(struct srv_call *call, json_t *value, vecdb_sparse *out) {
  json_t *indices = json_object_get(value, "indices"), *values = json_object_get(value, "values");
  size_t n = json_array_size(indices);
  bool sorted = true;
  if (!srv_is_sparse(value) || srv_numbers_count(values) != n)
    return false;
  vecdb_sparse_pair *pairs = srv_arena_array(&call->arena, n + 1, sizeof *pairs);
  if (!pairs)
    return false;
  for (size_t i = 0; i < n; i++) {
    if (!sparse_pair(json_array_get(indices, i), values, i, &pairs[i]))
      return false;
    sorted = sorted && (i == 0 || pairs[i - 1].index < pairs[i].index);
  }
  if (!sorted)
    qsort(pairs, n, sizeof *pairs, sparse_compare);
  for (size_t i = 1; i < n; i++)
    if (pairs[i - 1].index == pairs[i].index)
      return false;
  *out = (vecdb_sparse){pairs, n};
  return true;
}

json_t *srv_sparse_write(vecdb_value value) {
  const vecdb_sparse_pair *pairs = value.as.data;
  json_t *indices = json_array(), *values = json_array();
  for (uint32_t i = 0; i < value.length; i++) {
    json_array_append_new(indices, json_integer(pairs[i].index));
    json_array_append_new(values, json_real((double)pairs[i].value));
  }
  return json_pack("{s:o, s:o}", "indices", indices, "values", values);
}
