/*
 * sealed.h - segments in files: written once from rows of other segments, then mapped. Sections of
 * a rows file, by tag (the number is the field's id):
 *
 *   META 0  u32 version, u32 fields, u64 rows, and their u32 ids
 *   DATA f  fixed width: the values, packed; variable: the bytes, one value after the other
 *   OFFS f  variable: rows + 1 u64 offsets into DATA
 *   NULL f  nullable: one byte per row, 1 for null
 *   NORM f  COSINE vectors: one float per row, the inverse norm
 *   KEYM 0  the key map (keymap.h)
 *   SCHM 0  u32 version, u32 n, n bytes of the collection's name, the schema (schema_codec.c)
 *   TOMB 0  the rows that were deleted when the file was written; where there are some
 *   and those of attr_index.h, also by the ids of the schema's JSON paths, and of inverted.h for
 *   sparse vectors
 *
 * A file has the fields of its time. Those that came later are constant columns of their default or
 * null; those that were dropped are left alone, until a merge writes the rows without them.
 *
 * The manifest says all that SCHM and TOMB say, of a later time, so they are read only where there
 * is none: where the file is opened by itself. They are there since format 7.
 */
#ifndef VDB_SEALED_H
#define VDB_SEALED_H

#include "os/control.h"
#include "seg/keymap.h"
#include "seg/seg.h"

/* The mapped columns, in the order of a schema; shared by the vdb_seg versions that differ in
   indexes only. */
struct vdb_sealed {
  _Atomic uint32_t refs;
  struct vdb_sealed *base; /* whose file and indexes these are, seen by another schema; or NULL */
  struct vdb_env *env;
  const char *dir;
  struct vdb_blob_id blob_id;
  struct vdb_blob *blob;
  struct vdb_column *columns;
  struct vdb_vecs *vecs;
  struct vdb_attr_index **attr; /* per field, and then per JSON path */
  uint32_t n_attr;
  struct vdb_inverted *inverted;
  struct vdb_keymap keys;
  uint32_t n_rows;
  uint32_t n_fields;
  bool stale; /* the file has fields that were dropped, or lacks the index of a JSON path */
  _Atomic bool obsolete; /* the file goes with the last reference */
};

/* Rows to write: those of a view whose bit is set (all when bits is NULL). */
struct vdb_sealed_source {
  struct vdb_seg_view view;
  const uint64_t *bits;
  uint32_t n; /* rows to take */
};

/* Writes the rows of the sources, in order, as rows file `number` of `dir`, synced. There is at
   least one row. Errors: IO, DISK_FULL, NO_MEMORY, and those of the control (may be NULL). */
struct vdb_sealed_write {
  struct vdb_env *env;
  const char *dir;
  const char *name; /* of the collection */
  const struct vdb_schema *schema;
  uint64_t number;
  const struct vdb_sealed_source *sources;
  uint32_t n_sources;
  const struct vdb_tombs *tombs; /* of one source, all of it: the file says what was deleted, */
  uint64_t until;                /* by writes up to this one; or NULL */
  struct vdb_control *control;
};
VDB_INTERNAL int vdb_sealed_write(const struct vdb_sealed_write *w, struct vdb_blob_id *id,
                                  vecdb_error *err);

/* Opens a rows file of `rows` rows. `dir` and schema stay borrowed. Whatever its bytes, its columns
   are safe to read afterwards. Errors: CORRUPT, NEWER_FORMAT, IO, NO_MEMORY, those of the
   control. */
struct vdb_sealed_open {
  struct vdb_env *env;
  const char *dir;
  const struct vdb_schema *schema;
  struct vdb_blob_id blob;
  uint64_t rows;
  bool full;               /* verify every byte */
  struct vdb_blob *opened; /* the file, taken over whatever comes of it; NULL: is opened here */
  struct vdb_control *control; /* looked at while bytes are verified; or NULL */
};
VDB_INTERNAL int vdb_sealed_open(const struct vdb_sealed_open *o, struct vdb_sealed **out,
                                 vecdb_error *err);
/* Verifies every byte of a file of a segment. Errors: CORRUPT, and those of the control, which may
   be NULL. */
VDB_INTERNAL int vdb_seg_verify(const struct vdb_blob *blob, struct vdb_control *control,
                                vecdb_error *err);
/* The same rows as columns of another schema of the collection, with one reference; no file is
   touched. */
VDB_INTERNAL int vdb_sealed_view(struct vdb_sealed *sealed, const struct vdb_schema *from,
                                 const struct vdb_schema *to, struct vdb_sealed **out,
                                 vecdb_error *err);

/* What a rows file says of itself, for who has no manifest. */
struct vdb_sealed_alone {
  struct vdb_blob *blob;
  struct vdb_blob_id id;
  uint64_t rows;
  char *name; /* of the collection */
  struct vdb_schema *schema;
};
/* Opens the rows file at `path`, whatever its name. Errors: NOT_A_DATABASE for what is no rows
   file, or is one of before format 7; CORRUPT, NEWER_FORMAT, IO, NO_MEMORY, KEY, UNSUPPORTED. */
VDB_INTERNAL int vdb_sealed_alone_open(struct vdb_env *env, const char *path, bool full,
                                       struct vdb_sealed_alone *out, vecdb_error *err);
/* Releases what it holds still. */
VDB_INTERNAL void vdb_sealed_alone_close(struct vdb_env *env, struct vdb_sealed_alone *alone);
VDB_INTERNAL struct vdb_sealed *vdb_sealed_ref(struct vdb_sealed *sealed);
VDB_INTERNAL void vdb_sealed_unref(struct vdb_sealed *sealed);

/* A segment over a sealed file, with one reference, no indexes, and tombs (a reference is taken;
   NULL: new ones). Takes its own reference of `sealed`. */
VDB_INTERNAL int vdb_seg_of_sealed(struct vdb_sealed *sealed, const struct vdb_schema *schema,
                                   uint64_t id, struct vdb_tombs *tombs, struct vdb_seg **out,
                                   vecdb_error *err);
/* The same segment under another schema of the collection. */
VDB_INTERNAL int vdb_seg_view_as(const struct vdb_seg *seg, const struct vdb_schema *schema,
                                 struct vdb_seg **out, vecdb_error *err);
/* A copy of a sealed segment that shares everything, for changing its indexes before it is
   published. */
VDB_INTERNAL int vdb_seg_copy(const struct vdb_seg *seg, struct vdb_seg **out, vecdb_error *err);

/* Builds the vector index of a field over a sealed segment as index file `number`, synced. params:
   filled and settled. */
struct vdb_seg_index_build {
  const struct vdb_seg *seg;
  const char *dir;
  uint64_t number;
  uint32_t field;
  vecdb_index_params params;
  const struct vdb_par *par;
  const struct vdb_index_from *from; /* or NULL */
  uint64_t seed;
  struct vdb_control *control; /* or NULL */
  const struct vdb_bakeoff *bakeoff; /* by which the type was taken; NULL: none */
};
VDB_INTERNAL int vdb_seg_index_build(const struct vdb_seg_index_build *b, struct vdb_blob_id *id,
                                     vecdb_error *err);
/* Opens an index file, built with `params`, for a field of a sealed segment; one reference. */
struct vdb_seg_index_open {
  const struct vdb_seg *seg;
  const char *dir;
  struct vdb_blob_id blob;
  uint32_t field;
  vecdb_index_params params;
  const struct vdb_curve *curve; /* NULL: not measured yet */
  bool full; /* verify every byte */
  struct vdb_control *control; /* as for vdb_sealed_open */
};
VDB_INTERNAL int vdb_seg_index_open(const struct vdb_seg_index_open *o, struct vdb_seg_index **out,
                                    vecdb_error *err);
/*
 * Measures the curve of an index that was just built. It is kept in the manifest beside the name of
 * the file and not in the file: so the index is measured as it is opened for searches, whatever it
 * reads files by, and can be measured again without being written again; some hundred bytes.
 */
VDB_INTERNAL int vdb_seg_index_measure(struct vdb_seg_index *index, const struct vdb_par *par,
                                       uint64_t seed, struct vdb_control *control,
                                       vecdb_error *err);
VDB_INTERNAL struct vdb_seg_index *vdb_seg_index_ref(struct vdb_seg_index *index);
VDB_INTERNAL void vdb_seg_index_unref(struct vdb_seg_index *index);

/* Writes the rows marked at or before `seq` as tombstone file `number` of `dir`, synced; *n says
   how many. */
VDB_INTERNAL int vdb_seg_tombs_write(const struct vdb_seg *seg, struct vdb_env *env,
                                     const char *dir, uint64_t number, uint64_t seq,
                                     struct vdb_blob_id *id, uint64_t *n, vecdb_error *err);
/* Marks the rows of a tombstone file as deleted from 1 on. */
VDB_INTERNAL int vdb_seg_tombs_read(struct vdb_seg *seg, const char *dir,
                                    const struct vdb_blob_id *blob, uint64_t n, vecdb_error *err);
/* Marks the rows that were deleted when the rows file was written, as it says itself. */
VDB_INTERNAL int vdb_seg_tombs_alone(struct vdb_seg *seg, vecdb_error *err);
/* How many rows are marked at or before seq. */
VDB_INTERNAL uint64_t vdb_seg_tombs_until(const struct vdb_seg *seg, uint64_t seq);

/* Checks everything about a sealed segment: all bytes, the key map (each row found by its key),
   inverted indexes (each posting is a pair of its row). */
VDB_INTERNAL int vdb_seg_check(const struct vdb_seg *seg, struct vdb_control *control,
                               vecdb_error *err);

#endif
