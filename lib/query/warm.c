/*
 * warm.c - bringing into memory what reads and searches of some rows touch: their values and
 * vectors, and their part of each vector index. See query.h.
 */
#include "base/touch.h"
#include "index/index.h"
#include "query/allow.h"
#include "query/query.h"

enum { WARM_ROWS = 1024 }; /* between two looks at the control */

struct warm {
  const struct vdb_snapshot *snapshot;
  struct vdb_control *control;
};

static int warm_part(const struct warm *w, const struct vdb_seg_part *part, const uint64_t *bits,
                     vecdb_error *err) {
  uint32_t turn = 0;
  for (size_t i = vdb_bits_next(bits, part->n, 0); i < part->n;
       i = vdb_bits_next(bits, part->n, i + 1)) {
    for (uint32_t f = 0; f < w->snapshot->schema->n_fields; f++) {
      const struct vdb_column *column = &part->columns[f];
      struct vdb_bytes value = vdb_column_bytes(column, i);
      vdb_touch(value.data, value.n);
      (void)vdb_column_is_null(column, i);
    }
    if (++turn % WARM_ROWS == 0 && vdb_control_poll(w->control))
      return vdb_control_fail(w->control, err);
  }
  return VECDB_OK;
}

static int warm_indexes(const struct warm *w, const struct vdb_seg_view *view,
                        const struct vdb_allow_set *set, vecdb_error *err) {
  struct vdb_index_warm rows = {set->bits, vdb_control_stop, w->control};
  for (uint32_t f = 0; f < w->snapshot->schema->n_fields; f++) {
    const struct vdb_seg_index *index = vdb_seg_vector_index(view, f);
    if (index)
      VDB_TRY(index->index->ops->warm(index->index, &rows, err));
  }
  return vdb_control_poll(w->control) ? vdb_control_fail(w->control, err) : VECDB_OK;
}

static int warm_view(const struct warm *w, const struct vdb_seg_view *view,
                     const struct vdb_allow_set *set, vecdb_error *err) {
  for (uint32_t i = 0; i < vdb_seg_parts(view); i++) {
    struct vdb_seg_part part = vdb_seg_part(view, i);
    VDB_TRY(warm_part(w, &part, set->bits + part.first / 64, err));
  }
  return warm_indexes(w, view, set, err);
}

VDB_INTERNAL int vdb_query_warm(const struct vdb_snapshot *snapshot, const vecdb_filter *filter,
                                struct vdb_control *control, uint64_t *rows, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct warm w = {snapshot, control};
  struct vdb_filter *compiled;
  int rc = VECDB_OK;
  *rows = 0;
  VDB_TRY(vdb_query_filter(snapshot, filter, &compiled, err));
  struct vdb_allow allow = {mem, compiled, snapshot->seq, control};
  for (uint32_t i = 0; !rc && i < snapshot->n_segs; i++) {
    const struct vdb_seg_view *view = &snapshot->segs[i];
    struct vdb_allow_set *set;
    rc = vdb_allow_make(&allow, view, &set, err);
    if (rc)
      break;
    if (set->n > 0)
      rc = warm_view(&w, view, set, err);
    *rows += set->n;
    vdb_free(mem, set);
    if (!rc && vdb_control_progress(control, "warm", i + 1u, snapshot->n_segs))
      rc = vdb_control_fail(control, err);
  }
  vdb_filter_free(mem, compiled);
  return rc;
}
