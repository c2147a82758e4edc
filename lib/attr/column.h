/*
 * column.h - columns of rows as they are read, whether in a growing segment, in a mapped file or in
 * a decoded batch. A view borrows; whoever made it says for how long.
 *
 * Values of fixed width are packed. Values of variable width are bytes: a VARCHAR or JSON is its
 * text; an ARRAY is a u32 count and then, for fixed-width elements, the packed elements, or for
 * VARCHAR elements `count` u32 lengths and then the texts one after the other; a sparse vector is
 * its pairs (vecdb_sparse_pair), packed. Multi-byte values may be unaligned.
 *
 * In a constant column every row has the value of row 0, the only one that is there: so rows show a
 * field that came after they were written.
 */
#ifndef VDB_COLUMN_H
#define VDB_COLUMN_H

#include "attr/schema.h"

struct vdb_bytes {
  const uint8_t *data;
  size_t n;
};

struct vdb_column {
  /* fixed: row i at data + i * width; variable: the bytes that offsets cut */
  const uint8_t *data;
  /* variable: row i is data[offsets[i] .. offsets[i + 1]); or NULL, and then */
  const uint64_t *offsets;
  const struct vdb_bytes *refs; /* row i is refs[i] */
  const uint8_t *nulls;         /* one byte per row, 1: null; NULL: no nulls */
  uint32_t width;               /* 0: variable */
  bool constant;
  int32_t type;
  int32_t element_type;
};

/* Where the value of a row stands. */
VDB_INLINE size_t vdb_column_at(const struct vdb_column *c, size_t row) {
  return c->constant ? 0 : row;
}

VDB_INLINE bool vdb_column_is_null(const struct vdb_column *c, size_t row) {
  return c->nulls && c->nulls[vdb_column_at(c, row)];
}

/* The bytes of a variable value, or of a fixed one. */
VDB_INLINE struct vdb_bytes vdb_column_bytes(const struct vdb_column *c, size_t row) {
  row = vdb_column_at(c, row);
  if (c->width) {
    struct vdb_bytes fixed = {c->data + row * c->width, c->width};
    return fixed;
  }
  if (c->refs)
    return c->refs[row];
  struct vdb_bytes b = {c->data + c->offsets[row], (size_t)(c->offsets[row + 1] - c->offsets[row])};
  return b;
}

/* The constant column of a scalar field that rows lack: its default, or null. Borrows from it. */
VDB_INTERNAL struct vdb_column vdb_column_fill(const struct vdb_field *field);
/* Whether a row has expired, as the schema says, at a time in milliseconds since 1970. */
VDB_INTERNAL bool vdb_row_expired(const struct vdb_schema *schema, const struct vdb_column *columns,
                                  size_t row, int64_t now_ms);
/* A value as the API gives it; strings, arrays of fixed-width elements and vectors are borrowed,
   and may be unaligned. ARRAYs of VARCHAR need `strings`, room for their elements
   (vdb_array_count). */
VDB_INTERNAL vecdb_value vdb_column_value(const struct vdb_column *c, size_t row,
                                          vecdb_string *strings);
/* Elements of an encoded array. */
VDB_INTERNAL uint32_t vdb_array_count(struct vdb_bytes array);
/* Whether bytes are a well-formed array of that element type: every length inside. */
VDB_INTERNAL bool vdb_array_valid(struct vdb_bytes array, int32_t element_type);

#endif
