/* frequency.c - in how many rows the indices of a sparse field occur; see query.h. */
#include "query/fields.h"
#include "query/query.h"
#include "seg/sealed.h"

/* What is counted, and for whom. */
struct frequency {
  const struct vdb_snapshot *snapshot;
  uint32_t field;
  const uint32_t *indices;
  size_t n;
  uint64_t *counts;
  uint64_t rows;
};

/* Rows of a sealed segment: by its postings, of which dead rows' do not count. */
static void frequency_sealed(struct frequency *f, const struct vdb_seg_view *view) {
  const struct vdb_inverted *inverted = &view->seg->sealed->inverted[f->field];
  bool dead = vdb_seg_has_dead(view);
  for (size_t i = 0; i < f->n; i++) {
    struct vdb_postings list = vdb_inverted_find(inverted, f->indices[i]);
    if (!dead) {
      f->counts[i] += list.n;
      continue;
    }
    for (uint64_t p = 0; p < list.n; p++)
      f->counts[i] += !vdb_seg_row_dead(view, list.items[p].row, f->snapshot->seq);
  }
}

static void frequency_growing(struct frequency *f, const struct vdb_seg_view *view) {
  for (uint32_t p = 0; p < vdb_seg_parts(view); p++) {
    struct vdb_seg_part part = vdb_seg_part(view, p);
    for (uint32_t row = 0; row < part.n; row++) {
      if (vdb_seg_row_dead(view, part.first + row, f->snapshot->seq))
        continue;
      struct vdb_bytes value = vdb_column_bytes(&part.columns[f->field], row);
      for (size_t i = 0; i < f->n; i++)
        f->counts[i] += vdb_sparse_has(value, f->indices[i]);
    }
  }
}

static uint64_t frequency_rows(const struct frequency *f, const struct vdb_seg_view *view) {
  uint64_t rows = view->n;
  for (uint32_t row = 0; vdb_seg_has_dead(view) && row < view->n; row++)
    rows -= vdb_seg_row_dead(view, row, f->snapshot->seq);
  return rows;
}

VDB_INTERNAL int vdb_query_sparse_counts(const struct vdb_snapshot *snapshot, const char *field,
                                         const uint32_t *indices, size_t n, uint64_t *counts,
                                         uint64_t *rows, vecdb_error *err) {
  struct frequency f = {.snapshot = snapshot, .indices = indices, .n = n, .counts = counts};
  VDB_TRY(vdb_fields_find(snapshot->schema, field, &f.field, err));
  const char *name = snapshot->schema->fields[f.field].name;
  if (snapshot->schema->fields[f.field].type != VECDB_SPARSE_VECTOR)
    return vdb_fail_at(err, VECDB_ERR_TYPE, -1, name, "field \"%.64s\" is not sparse", name);
  if (n > VECDB_MAX_SPARSE)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%zu indices, at most %d", n, VECDB_MAX_SPARSE);
  if (n && (!indices || !counts))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL", indices ? "counts" : "indices");
  if (n)
    memset(counts, 0, n * sizeof *counts);
  for (uint32_t i = 0; i < snapshot->n_segs; i++) {
    const struct vdb_seg_view *view = &snapshot->segs[i];
    f.rows += frequency_rows(&f, view);
    if (view->seg->sealed)
      frequency_sealed(&f, view);
    else
      frequency_growing(&f, view);
  }
  if (rows)
    *rows = f.rows;
  return VECDB_OK;
}
