/* frequency.c - in how many rows the indices of a sparse field occur; see query.h. */
#include "query/allow.h"
#include "query/fields.h"
#include "query/query.h"
#include "query/request.h"
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

static void frequency_all(struct frequency *f) {
  for (uint32_t i = 0; i < f->snapshot->n_segs; i++) {
    const struct vdb_seg_view *view = &f->snapshot->segs[i];
    f->rows += frequency_rows(f, view);
    if (view->seg->sealed)
      frequency_sealed(f, view);
    else
      frequency_growing(f, view);
  }
}

/* In how many rows that pass an index is, by its postings. */
static uint64_t frequency_postings(struct vdb_postings list, const uint64_t *bits, uint32_t n) {
  uint64_t count = 0;
  for (uint64_t p = 0; p < list.n; p++)
    count += list.items[p].row < n && vdb_bit_get(bits, list.items[p].row);
  return count;
}

/* Visitor of vdb_allow_walk. */
static int frequency_part(void *arg, uint32_t seg, const struct vdb_seg_part *part,
                          const uint64_t *bits, vecdb_error *err) {
  struct frequency *f = arg;
  (void)seg;
  (void)err;
  f->rows += vdb_bits_count(bits, part->n);
  for (size_t i = 0; part->inverted && i < f->n; i++)
    f->counts[i] += frequency_postings(
        vdb_inverted_find(&part->inverted[f->field], f->indices[i]), bits, part->n);
  if (part->inverted)
    return VECDB_OK;
  for (size_t row = vdb_bits_next(bits, part->n, 0); row < part->n;
       row = vdb_bits_next(bits, part->n, row + 1)) {
    struct vdb_bytes value = vdb_column_bytes(&part->columns[f->field], (uint32_t)row);
    for (size_t i = 0; i < f->n; i++)
      f->counts[i] += vdb_sparse_has(value, f->indices[i]);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_sparse_counts(const struct vdb_snapshot *snapshot, const char *field,
                                         const vecdb_filter *filter, const uint32_t *indices,
                                         size_t n, uint64_t *counts, uint64_t *rows,
                                         vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vdb_filter *compiled;
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
  VDB_TRY(vdb_query_filter(snapshot, filter, &compiled, err));
  int rc = VECDB_OK;
  if (compiled) {
    struct vdb_allow allow = {mem, compiled, snapshot->seq, NULL};
    rc = vdb_allow_walk(&allow, snapshot, frequency_part, &f, err);
  } else {
    frequency_all(&f);
  }
  vdb_filter_free(mem, compiled);
  if (rows)
    *rows = f.rows;
  return rc;
}
