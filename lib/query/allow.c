/* allow.c - filter and deletes as sets of rows; see allow.h. */
#include "query/allow.h"

#include "base/check.h"

static int allow_poll(const struct vdb_allow *allow, vecdb_error *err) {
  if (allow->control && vdb_control_poll(allow->control) != 0)
    return vdb_control_fail(allow->control, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_allow_part(const struct vdb_allow *allow, const struct vdb_seg_view *view,
                                const struct vdb_seg_part *part, uint64_t *bits, vecdb_error *err) {
  VDB_TRY(allow_poll(allow, err));
  if (allow->filter) {
    struct vdb_filter_rows rows = {part->columns, part->indexes, part->n};
    bool stopped = false;
    VDB_TRY(vdb_filter_bitmap(allow->mem, allow->filter, &rows,
                              allow->control ? vdb_control_stop : NULL, allow->control, bits,
                              &stopped, err));
    if (stopped)
      return vdb_control_fail(allow->control, err);
  } else {
    vdb_bits_fill(bits, part->n);
  }
  if (vdb_seg_has_dead(view))
    vdb_tombs_clear_dead(view->seg->tombs, part->first, part->n, allow->seq, bits);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_allow_make(const struct vdb_allow *allow, const struct vdb_seg_view *view,
                                struct vdb_allow_set **out, vecdb_error *err) {
  *out = NULL;
  size_t words = vdb_bits_words(view->n);
  struct vdb_allow_set *set = vdb_alloc(allow->mem, sizeof *set + words * sizeof *set->bits);
  if (!set)
    return vdb_fail_memory(err);
  uint32_t n_parts = vdb_seg_parts(view);
  for (uint32_t i = 0; i < n_parts; i++) {
    struct vdb_seg_part part = vdb_seg_part(view, i);
    vdb_assert(part.first % 64 == 0);
    int rc = vdb_allow_part(allow, view, &part, set->bits + part.first / 64, err);
    if (rc != VECDB_OK) {
      vdb_free(allow->mem, set);
      return rc;
    }
  }
  set->n = (uint32_t)vdb_bits_count(set->bits, view->n);
  *out = set;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_allow_walk(const struct vdb_allow *allow, const struct vdb_snapshot *snapshot,
                                int (*visit)(void *arg, uint32_t seg,
                                             const struct vdb_seg_part *part, const uint64_t *bits,
                                             vecdb_error *err),
                                void *arg, vecdb_error *err) {
  uint64_t *bits = NULL;
  size_t capacity = 0;
  int rc = VECDB_OK;
  for (uint32_t s = 0; s < snapshot->n_segs; s++) {
    const struct vdb_seg_view *view = &snapshot->segs[s];
    uint32_t n_parts = vdb_seg_parts(view);
    for (uint32_t i = 0; i < n_parts; i++) {
      struct vdb_seg_part part = vdb_seg_part(view, i);
      if (!VDB_GROW(allow->mem, bits, capacity, vdb_bits_words(part.n))) {
        rc = vdb_fail_memory(err);
        goto done;
      }
      rc = vdb_allow_part(allow, view, &part, bits, err);
      if (rc == VECDB_OK && vdb_bits_next(bits, part.n, 0) < part.n)
        rc = visit(arg, s, &part, bits, err);
      if (rc != VECDB_OK)
        goto done;
    }
  }
done:
  vdb_free(allow->mem, bits);
  return rc;
}
