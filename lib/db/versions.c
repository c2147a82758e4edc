/*
 * versions.c - the versions of vectors that take pushes, counted on by every write: a record of
 * rows is made without a lock, with versions as of new rows, and gets those that follow the rows it
 * replaces under the lock, before it goes into the log.
 */
#include "base/check.h"
#include "db/db.h"

VDB_INTERNAL uint64_t vdb_version_of(const struct vdb_column *version, size_t row) {
  uint64_t value;
  memcpy(&value, vdb_column_bytes(version, row).data, sizeof value);
  return value;
}

VDB_INTERNAL void vdb_version_put(const struct vdb_writer *record, const struct vdb_column *version,
                                  size_t row, uint64_t value) {
  size_t at = (size_t)(version->data - record->data) + row * sizeof value;
  vdb_assert(!version->constant && at + sizeof value <= record->n);
  memcpy(record->data + at, &value, sizeof value);
}

VDB_INTERNAL bool vdb_apply_stands(struct vecdb_collection *coll, struct vdb_bytes key,
                                   int64_t now_ms, struct vdb_batch_patch *out) {
  struct vdb_place place = vdb_apply_find(coll, key);
  if (!place.seg || vdb_apply_expired(place, now_ms))
    return false;
  struct vdb_seg_view view = {place.seg, place.row + 1};
  struct vdb_seg_part part = vdb_seg_part_of(&view, place.row);
  out->stands = part.columns;
  out->row = place.row - part.first;
  return true;
}

VDB_INTERNAL void vdb_versions_count(struct vecdb_collection *coll, const struct vdb_writer *record,
                                     const struct vdb_batch *batch) {
  const struct vdb_schema *schema = coll->schema;
  if (schema->n_fields == schema->n_public)
    return;
  int64_t now = vdb_apply_now(coll);
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    struct vdb_batch_patch old = {0};
    if (!vdb_apply_stands(coll, vdb_key_of(&batch->columns[schema->key], i), now, &old))
      continue;
    for (uint32_t f = schema->n_public; f < schema->n_fields; f += 2)
      vdb_version_put(record, &batch->columns[f], i, vdb_version_of(&old.stands[f], old.row) + 1);
  }
}
