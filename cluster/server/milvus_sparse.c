/*
 * milvus_sparse.c - sparse vectors as Milvus's messages have them: per vector the packed pairs of a
 * u32 index and a float, as the library takes them, used where they lie in the message.
 */
#include <strings.h>

#include "server/json_schema.h"
#include "server/milvus.h"

struct sparse_array {
  struct pb_list contents;
};
static const struct pb_field sparse_array_table[] = {
    {1, PB_LIST, offsetof(struct sparse_array, contents)},
};

bool milvus_sparse_one(struct milvus *m, const char *field, struct pb_bytes in, vecdb_sparse *out) {
  if (in.n % sizeof(vecdb_sparse_pair))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT,
                       "field %.255s: a sparse vector has pairs of 8 bytes, not %zu bytes", field,
                       in.n);
  *out = (vecdb_sparse){(const void *)in.data, in.n / sizeof(vecdb_sparse_pair)};
  return true;
}

bool milvus_sparse_read(struct milvus *m, const vecdb_field *field, struct pb_bytes in, size_t n,
                        vecdb_column *out) {
  struct sparse_array array;
  if (!MILVUS_PART(m, in, sparse_array_table, &array))
    return false;
  if (array.contents.n != n)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "field %.255s: %zu values for %zu rows", field->name,
                       array.contents.n, n);
  vecdb_sparse *rows = srv_arena_array(&m->call->arena, n, sizeof *rows);
  if (!rows)
    return milvus_no_memory(m);
  for (size_t i = 0; i < n; i++)
    if (!milvus_sparse_one(m, field->name, array.contents.items[i], &rows[i]))
      return false;
  out->data = rows;
  return true;
}

void milvus_sparse_write(struct pb_out *out, const vecdb_value *values, size_t n) {
  uint64_t dim = 0;
  size_t array = srv_pb_open(out, 6);
  for (size_t i = 0; i < n; i++) {
    const vecdb_sparse_pair *pairs = values[i].as.data;
    srv_pb_bytes(out, 1, pairs, values[i].length * sizeof *pairs);
    if (values[i].length && pairs[values[i].length - 1].index >= dim)
      dim = (uint64_t)pairs[values[i].length - 1].index + 1;
  }
  srv_pb_number(out, 2, (int64_t)dim);
  srv_pb_close(out, array);
  srv_pb_number(out, 1, (int64_t)dim);
}

bool milvus_sparse_index(struct milvus *m, const struct milvus_pairs *pairs) {
  static const char *const types[] = {"SPARSE_INVERTED_INDEX", "SPARSE_WAND", "AUTOINDEX", ""};
  const char *type = milvus_pair(pairs, "index_type"), *metric = milvus_pair(pairs, "metric_type");
  if (metric && *metric && strcasecmp(metric, "IP") != 0)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT,
                       "the metric of a sparse vector is IP, not %.60s", metric);
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (strcasecmp(types[i], type ? type : "") == 0)
      return true;
  return milvus_fail(m, SRV_MILVUS_ARGUMENT, "invalid index type: %.60s for a sparse vector", type);
}
