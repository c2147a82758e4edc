/*
 * attr_index.h - indexes over one scalar column of a sealed segment: sorted distinct values with
 * their rows. Built once when a segment is written, then only read in place.
 */
#ifndef VDB_ATTR_INDEX_H
#define VDB_ATTR_INDEX_H

#include "attr/column.h"
#include "base/sect.h"

struct vdb_attr_index;

/* Values from `low` to `high`; a NULL bound is open. Values are in column form (column.h), of the
   column's type: fixed-width values in `width` bytes, text as bytes. Numbers are in numeric order
   (-0.0 is 0.0, and no value is within a NaN bound), texts in bytewise order. */
struct vdb_attr_range {
  const struct vdb_bytes *low;
  const struct vdb_bytes *high;
  bool low_open;  /* exclusive */
  bool high_open;
};

struct vdb_attr_index_build {
  struct vdb_mem *mem;
  const struct vdb_column *column;
  size_t n;
  int32_t kind; /* a vecdb_scalar_index */
  struct vdb_sect_writer *out;
  uint32_t number;         /* of the sections: the field's */
  bool (*stop)(void *arg); /* asked now and then; true cancels. NULL: never */
  void *stop_arg;
};

/*
 * Builds the index of a column and writes its sections. AUTO makes a SORTED one, and writes nothing
 * at all where no index pays: under 256 rows, and for long texts (over 64 bytes in the mean) that
 * are distinct in more than half of the rows. NONE, ARRAYs and vectors write nothing. Errors: LIMIT
 * (rows past 2^32 - 1), NO_MEMORY, CANCELLED when stopped, those of `out`.
 */
VDB_INTERNAL int vdb_attr_index_build(const struct vdb_attr_index_build *build, vecdb_error *err);
/* Opens from sections after checking structure in O(size); *out NULL when the field has none. The
   sections stay borrowed. Errors: CORRUPT, NO_MEMORY. */
VDB_INTERNAL int vdb_attr_index_open(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                                     uint32_t number, const struct vdb_field *field, size_t n,
                                     struct vdb_attr_index **out, vecdb_error *err);
VDB_INTERNAL void vdb_attr_index_close(struct vdb_mem *mem, struct vdb_attr_index *index);

/* False when this kind of index is not meant for ranges (HASH), only for single values. */
VDB_INTERNAL bool vdb_attr_index_ranges(const struct vdb_attr_index *index);
/* How many rows hold a value in the range (nulls never do). A single value is a range with equal
   bounds. */
VDB_INTERNAL size_t vdb_attr_index_count(const struct vdb_attr_index *index,
                                         struct vdb_attr_range range);
/* Sets the bits of those rows (others stay). */
VDB_INTERNAL void vdb_attr_index_mark(const struct vdb_attr_index *index,
                                      struct vdb_attr_range range, uint64_t *bits);
/* The column's null rows. */
VDB_INTERNAL size_t vdb_attr_index_nulls(const struct vdb_attr_index *index);
/* The vecdb_type of its values. */
VDB_INTERNAL int32_t vdb_attr_index_type(const struct vdb_attr_index *index);
/* Rows of which the index does not know the value, *n of them, ascending: they are among the nulls,
   and only the rows themselves tell. */
VDB_INTERNAL const uint32_t *vdb_attr_index_apart(const struct vdb_attr_index *index, size_t *n);
/* Whether the index of a JSON path knows where nothing stands, or JSON's null: in *n rows. */
VDB_INTERNAL bool vdb_attr_index_nothing(const struct vdb_attr_index *index, size_t *n);
/* Sets the bits of those rows, and leaves no other; only after vdb_attr_index_nothing was true. */
VDB_INTERNAL void vdb_attr_index_mark_nothing(const struct vdb_attr_index *index, uint64_t *bits);

#endif
