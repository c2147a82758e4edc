/*
 * growing.h - rows in memory, appended by the writer while readers read. Columns stand in chunks
 * that are never moved or freed before the segment, so a reader who knows how many rows are visible
 * needs no lock. The number of visible rows is published by the collection, not here.
 */
#ifndef VDB_GROWING_H
#define VDB_GROWING_H

#include "seg/keymap.h"
#include "seg/seg.h"

#define VDB_CHUNK_ROWS 1024u

struct vdb_growing_chunk {
  struct vdb_column *columns; /* one per field */
  struct vdb_vecs *vecs;      /* one per field */
  void **blocks;              /* memory of the columns: three per field */
};

/* Bytes of variable values, filled from the front. */
struct vdb_growing_block {
  struct vdb_growing_block *next;
  size_t used;
  size_t capacity;
  uint8_t data[];
};

struct vdb_growing {
  struct vdb_growing_chunk **chunks; /* NULL until reached */
  struct vdb_growing_block *block;   /* newest */
  struct vdb_keymap keys;
  uint32_t n_chunks;
  uint32_t capacity; /* rows */
  uint32_t n_rows;   /* appended; under the writer's lock */
  uint64_t bytes;    /* of values; under the writer's lock */
  uint64_t last_seq; /* of the last row; under the writer's lock */
  bool frozen;       /* no more appends; under the writer's lock */
  _Atomic uint32_t visible; /* rows a new snapshot sees; under the view lock */
};

/* A growing segment for up to `capacity` rows, with one reference. */
VDB_INTERNAL int vdb_growing_new(struct vdb_env *env, const struct vdb_schema *schema, uint64_t id,
                                 uint32_t capacity, struct vdb_seg **out, vecdb_error *err);
/* For vdb_seg_unref. */
VDB_INTERNAL void vdb_growing_free(struct vdb_seg *seg);

/* Makes sure that appending the batch will not need memory. The batch must fit the capacity.
   Writer's lock. */
VDB_INTERNAL int vdb_growing_reserve(struct vdb_seg *seg, const struct vdb_batch *batch,
                                     vecdb_error *err);
/* Appends a reserved batch written under `seq`. Writer's lock. */
VDB_INTERNAL void vdb_growing_append(struct vdb_seg *seg, const struct vdb_batch *batch,
                                     uint64_t seq);

/* The end of a growing segment, to go back to when a commit fails. */
struct vdb_growing_mark {
  struct vdb_growing_block *block; /* where variable values go, and how full it is */
  size_t used;
  uint32_t n_rows;
  uint64_t bytes;
  uint64_t last_seq;
};
/* Both under the writer's lock. Rows that are taken back no reader can have seen. */
VDB_INTERNAL struct vdb_growing_mark vdb_growing_mark(const struct vdb_seg *seg);
VDB_INTERNAL void vdb_growing_truncate(struct vdb_seg *seg, struct vdb_growing_mark mark);

#endif
