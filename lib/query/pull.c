/* pull.c - vectors that take pushes, with their versions, straight into the caller's memory; see
   query.h. */
#include "query/fields.h"
#include "query/query.h"

static int pull_check(const struct vdb_snapshot *snapshot, const struct vdb_pull_want *want,
                      uint32_t *field, vecdb_error *err) {
  VDB_TRY(vdb_fields_learned(snapshot->schema, want->field, field, err));
  if (want->keys->n)
    VDB_TRY(vdb_keys_check(snapshot->schema, want->keys, err));
  uint32_t width = snapshot->schema->fields[*field].width;
  if (want->stride && want->stride < width)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the stride is %zu, and a vector takes %u bytes",
                    want->stride, width);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_pull(const struct vdb_snapshot *snapshot,
                                const struct vdb_pull_want *want, vecdb_error *err) {
  uint32_t f, row;
  VDB_TRY(pull_check(snapshot, want, &f, err));
  const struct vdb_field *field = &snapshot->schema->fields[f];
  size_t stride = want->stride ? want->stride : field->width;
  for (size_t i = 0; i < want->keys->n; i++) {
    const struct vdb_seg_view *view;
    uint64_t version = 0;
    if (vdb_query_find(snapshot, vdb_key_at(want->keys, i), &view, &row)) {
      struct vdb_seg_part part = vdb_seg_part_of(view, row);
      struct vdb_bytes at = vdb_column_bytes(&part.columns[field->version], row - part.first);
      memcpy(&version, at.data, sizeof version);
      if (want->values)
        memcpy((char *)want->values + i * stride,
               vdb_column_bytes(&part.columns[f], row - part.first).data, field->width);
    }
    if (want->versions)
      want->versions[i] = version;
  }
  return VECDB_OK;
}
