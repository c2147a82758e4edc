/* seg.c - one face for growing and sealed segments; see seg.h. */
#include "seg/seg.h"

#include "base/check.h"
#include "seg/growing.h"
#include "seg/sealed.h"

VDB_INTERNAL struct vdb_seg *vdb_seg_ref(struct vdb_seg *seg) {
  atomic_fetch_add_explicit(&seg->refs, 1, memory_order_relaxed);
  return seg;
}

VDB_INTERNAL void vdb_seg_unref(struct vdb_seg *seg) {
  if (!seg || atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) != 1)
    return;
  struct vdb_mem *mem = &seg->env->mem;
  for (uint32_t f = 0; seg->indexes && f < seg->schema->n_fields; f++)
    vdb_seg_index_unref(seg->indexes[f]);
  vdb_free(mem, seg->indexes);
  vdb_sealed_unref(seg->sealed);
  vdb_growing_free(seg);
  vdb_tombs_unref(mem, seg->tombs);
  vdb_free(mem, seg);
}

VDB_INTERNAL void vdb_snapshot_release(struct vdb_snapshot *snapshot) {
  if (!snapshot)
    return;
  for (uint32_t i = 0; i < snapshot->n_segs; i++)
    vdb_seg_unref(snapshot->segs[i].seg);
  void (*release_owner)(void *) = snapshot->release_owner;
  void *owner = snapshot->owner;
  vdb_free(&snapshot->env->mem, snapshot);
  if (release_owner)
    release_owner(owner);
}

VDB_INTERNAL uint32_t vdb_seg_parts(const struct vdb_seg_view *view) {
  if (view->seg->sealed)
    return view->n > 0;
  return (view->n + VDB_CHUNK_ROWS - 1) / VDB_CHUNK_ROWS;
}

VDB_INTERNAL struct vdb_seg_part vdb_seg_part(const struct vdb_seg_view *view, uint32_t i) {
  vdb_assert(i < vdb_seg_parts(view));
  struct vdb_seg_part part = {0};
  const struct vdb_sealed *sealed = view->seg->sealed;
  if (sealed) {
    part.n = view->n;
    part.columns = sealed->columns;
    part.vecs = sealed->vecs;
    part.indexes = (const struct vdb_attr_index *const *)sealed->attr;
    part.inverted = sealed->inverted;
    return part;
  }
  const struct vdb_growing_chunk *chunk = view->seg->growing->chunks[i];
  part.first = i * VDB_CHUNK_ROWS;
  part.n = vdb_min_u32(VDB_CHUNK_ROWS, view->n - part.first);
  part.columns = chunk->columns;
  part.vecs = chunk->vecs;
  return part;
}

VDB_INTERNAL struct vdb_seg_part vdb_seg_part_of(const struct vdb_seg_view *view, uint32_t row) {
  return vdb_seg_part(view, view->seg->sealed ? 0 : row / VDB_CHUNK_ROWS);
}

VDB_INTERNAL const struct vdb_seg_index *vdb_seg_vector_index(const struct vdb_seg_view *view,
                                                              uint32_t field) {
  const struct vdb_seg *seg = view->seg;
  return seg->indexes ? seg->indexes[field] : NULL;
}

VDB_INTERNAL bool vdb_seg_has_dead(const struct vdb_seg_view *view) {
  return vdb_tombs_count(view->seg->tombs) > 0;
}

VDB_INTERNAL bool vdb_seg_row_dead(const struct vdb_seg_view *view, uint32_t row, uint64_t seq) {
  uint64_t at = vdb_tombs_at(view->seg->tombs, row);
  return at != 0 && at <= seq;
}

VDB_INTERNAL bool vdb_seg_row_expired(const struct vdb_seg_view *view, uint32_t row,
                                      int64_t now_ms) {
  struct vdb_seg_part part = vdb_seg_part_of(view, row);
  return vdb_row_expired(view->seg->schema, part.columns, row - part.first, now_ms);
}

VDB_INTERNAL struct vdb_bytes vdb_seg_key(const struct vdb_seg_view *view, uint32_t row) {
  struct vdb_seg_part part = vdb_seg_part_of(view, row);
  return vdb_key_of(&part.columns[view->seg->schema->key], row - part.first);
}

VDB_INTERNAL int64_t vdb_seg_find(const struct vdb_seg_view *view, struct vdb_bytes key,
                                  uint64_t hash, uint64_t seq) {
  const struct vdb_seg *seg = view->seg;
  const struct vdb_keymap *map = seg->sealed ? &seg->sealed->keys : &seg->growing->keys;
  struct vdb_keymap_walk walk = vdb_keymap_walk(map, hash);
  int64_t row;
  while ((row = vdb_keymap_next(map, &walk)) >= 0) {
    if ((uint64_t)row >= view->n)
      continue;
    struct vdb_bytes found = vdb_seg_key(view, (uint32_t)row);
    if (found.n == key.n && memcmp(found.data, key.data, key.n) == 0 &&
        !vdb_seg_row_dead(view, (uint32_t)row, seq))
      return row;
  }
  return -1;
}
