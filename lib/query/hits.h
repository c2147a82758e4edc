/*
 * hits.h - what a query finds, across segments: order and merging. Nearer first; equal keys in the
 * order of the primary keys, which are distinct among the rows of one snapshot.
 */
#ifndef VDB_HITS_H
#define VDB_HITS_H

#include "seg/seg.h"

struct vdb_qhit {
  float key;
  uint32_t seg; /* index in the snapshot */
  uint32_t row;
};

struct vdb_qhit_list {
  const struct vdb_qhit *items;
  size_t n;
};

/* Whether a comes before b. */
VDB_INTERNAL bool vdb_qhit_before(const struct vdb_snapshot *snapshot, struct vdb_qhit a,
                                  struct vdb_qhit b);
/* Sorts; cheap when the hits are in order already. */
VDB_INTERNAL void vdb_qhits_sort(const struct vdb_snapshot *snapshot, struct vdb_qhit *hits,
                                 size_t n);
/* Writes the rows of one segment, sorted by key, as hits in order. */
VDB_INTERNAL void vdb_qhits_of(const struct vdb_snapshot *snapshot, uint32_t seg,
                               const struct vdb_near *near, size_t n, struct vdb_qhit *out);
/* The first k of two ordered lists; returns how many there are. `out` is apart from both. */
VDB_INTERNAL size_t vdb_qhits_merge(const struct vdb_snapshot *snapshot, struct vdb_qhit_list a,
                                    struct vdb_qhit_list b, size_t k, struct vdb_qhit *out);
/* The INT64 key of a hit; -1 where keys are texts. */
VDB_INTERNAL int64_t vdb_qhit_id(const struct vdb_snapshot *snapshot, struct vdb_qhit hit);

#endif
