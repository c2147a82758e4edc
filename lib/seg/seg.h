/*
 * seg.h - segments as readers see them. A segment holds rows 0 .. n - 1 in the order they were
 * written, and is either growing (in memory, appended to by the writer while others read) or sealed
 * (an immutable file of columns, with its vector indexes in files of their own). Row numbers stay
 * the same when a growing segment is sealed.
 *
 * A reader holds a vdb_snapshot: a list of segments, how many rows of each it may see, and a
 * sequence number that decides which deletes it sees. Nothing a reader calls here takes a lock or
 * waits.
 */
#ifndef VDB_SEG_H
#define VDB_SEG_H

#include "attr/attr_index.h"
#include "attr/batch.h"
#include "index/bakeoff.h"
#include "index/curve.h"
#include "os/env.h"
#include "seg/tombs.h"
#include "sparse/inverted.h"
#include "store/blob.h"

struct vdb_growing;
struct vdb_sealed;

/* A file shared by the segments that use it; removed from disk when `obsolete` and no longer
   used. */
struct vdb_seg_index {
  _Atomic uint32_t refs;
  struct vdb_env *env;
  const char *dir; /* borrowed from the database */
  struct vdb_blob_id blob_id;
  struct vdb_blob *blob;
  struct vdb_index *index;
  vecdb_index_params params; /* it was built with; the type is never AUTO */
  struct vdb_curve curve;
  struct vdb_bakeoff bakeoff; /* all zero: none was held */
  uint32_t field;
  _Atomic bool obsolete;
};

struct vdb_seg {
  _Atomic uint32_t refs;
  struct vdb_env *env;
  const struct vdb_schema *schema; /* borrowed from the collection */
  uint64_t id;
  struct vdb_tombs *tombs;
  struct vdb_growing *growing; /* or NULL */
  struct vdb_sealed *sealed;   /* or NULL */
  struct vdb_seg_index **indexes; /* sealed: one per field, entries may be NULL */
  /* The tombstone file the manifest names, and the marks in it. Under the manifest lock. */
  struct vdb_blob_id tombs_blob;
  uint64_t tombs_saved;
};

/* A segment as one snapshot sees it. */
struct vdb_seg_view {
  struct vdb_seg *seg;
  uint32_t n; /* visible rows, deleted ones included */
};

/* References to segments keep them alive. db makes snapshots; release with vdb_snapshot_release. */
struct vdb_snapshot {
  struct vdb_env *env;
  void (*release_owner)(void *owner); /* called last; NULL: none */
  void *owner;                        /* what keeps the schema alive */
  const struct vdb_schema *schema;
  uint64_t seq;
  int64_t now_ms; /* wall clock, by which rows expire; of use where the schema says so */
  uint32_t n_segs;
  struct vdb_seg_view *segs;       /* oldest first */
  const vecdb_index_params *index; /* current settings, one per field */
  uint32_t index_rows;             /* smallest segment that gets an index */
  uint64_t serial;                 /* of the collection's object */
  struct vdb_cache *cache;         /* of results (query/cache.h); NULL: none */
};

VDB_INTERNAL void vdb_snapshot_release(struct vdb_snapshot *snapshot);

VDB_INTERNAL struct vdb_seg *vdb_seg_ref(struct vdb_seg *seg);
VDB_INTERNAL void vdb_seg_unref(struct vdb_seg *seg);

/* A run of rows whose columns are contiguous: a whole sealed segment, or one chunk of a growing
   one. All pointers are valid as long as the segment. */
struct vdb_seg_part {
  uint32_t first; /* row number of its first row, a multiple of 64 */
  uint32_t n;     /* visible rows in it */
  const struct vdb_column *columns;            /* one per field */
  const struct vdb_vecs *vecs; /* one per field, of use for dense vectors; its n may exceed ours */
  /* one per field, and then per JSON path of the schema, NULL entries; NULL: none */
  const struct vdb_attr_index *const *indexes;
  const struct vdb_inverted *inverted; /* one per field, of use for sparse ones; NULL: none */
};
VDB_INTERNAL uint32_t vdb_seg_parts(const struct vdb_seg_view *view);
VDB_INTERNAL struct vdb_seg_part vdb_seg_part(const struct vdb_seg_view *view, uint32_t i);
/* The part that holds a row. */
VDB_INTERNAL struct vdb_seg_part vdb_seg_part_of(const struct vdb_seg_view *view, uint32_t row);

/* The vector index of a field, or NULL. It covers rows 0 .. n - 1 of a sealed segment. */
VDB_INTERNAL const struct vdb_seg_index *vdb_seg_vector_index(const struct vdb_seg_view *view,
                                                              uint32_t field);
/* A vector field as index parameters are checked against it. */
VDB_INLINE struct vdb_index_field vdb_seg_index_field(const struct vdb_field *field) {
  struct vdb_index_field of = {field->name, vdb_elem_of(field->type), field->dim, field->metric};
  return of;
}
/* Whether any row may be deleted. */
VDB_INTERNAL bool vdb_seg_has_dead(const struct vdb_seg_view *view);
VDB_INTERNAL bool vdb_seg_row_dead(const struct vdb_seg_view *view, uint32_t row, uint64_t seq);

/* Whether a row has expired at that time. */
VDB_INTERNAL bool vdb_seg_row_expired(const struct vdb_seg_view *view, uint32_t row,
                                      int64_t now_ms);

/* The value of a key (see vdb_key_of) of a row. */
VDB_INTERNAL struct vdb_bytes vdb_seg_key(const struct vdb_seg_view *view, uint32_t row);
VDB_INTERNAL uint64_t vdb_seg_key_hash(struct vdb_bytes key);
/* The row of that key that is visible and not deleted at `seq`, or -1. */
VDB_INTERNAL int64_t vdb_seg_find(const struct vdb_seg_view *view, struct vdb_bytes key,
                                  uint64_t hash, uint64_t seq);

/* Largest row capacity of any segment. */
#define VDB_SEG_MAX_ROWS (1u << 30)

#endif
