/*
 * batch.h - rows on their way in: checked against the schema, copied nowhere until they are encoded
 * into one log record, and read back from such a record by the write path and by recovery alike.
 *
 * Record of a batch (little-endian, columns in schema order; zero padding counts from its start):
 *   u32 n_rows, u32 n_fields
 *   per field: u8 has_nulls, pad to 8; [n_rows null bytes, pad to 8];
 *              fixed: n_rows * width bytes, pad to 8;
 *              variable: (n_rows + 1) u64 offsets, then the bytes, pad to 8
 * Null rows of fixed columns hold zeros, of variable columns nothing.
 *
 * Vectors are compared in float arithmetic, so every one must have a squared norm that is finite as
 * a float (else OVERFLOW): then inner products are finite, too. Under COSINE, unless the field
 * allows zero vectors, it must also be at least FLT_MIN (else ZERO_VECTOR): below, cosines would be
 * noise. The norm of a sparse vector is so limited, too (sparse.h).
 */
#ifndef VDB_BATCH_H
#define VDB_BATCH_H

#include "attr/column.h"

/* A batch inside the library: one column per field of the schema, borrowed from a record. */
struct vdb_batch {
  uint32_t n_rows;
  uint32_t n_columns;
  struct vdb_column *columns; /* owned */
};

/*
 * Checks a caller's batch and appends its record to `out`. Every error that vecdb.h lists for
 * inserts is found here, naming field and row, before anything changes: OPTION, LIMIT,
 * UNKNOWN_FIELD, MISSING_FIELD, ARGUMENT (no rows; a column twice; a column for an auto id; a
 * stride below a value's size; a NULL pointer to text or elements), DIMENSION, NOT_FINITE,
 * ZERO_VECTOR, OVERFLOW, NULL_VALUE, TOO_LONG, UTF8, RANGE (BOOL), SPARSE, JSON, NO_MEMORY; `out`
 * is then as before. Of rows with the same key only the last is encoded (all are checked); *n_rows
 * says how many were, and source[i], room for batch->n_rows, which row of the caller's batch row i
 * was. auto ids: keys first_auto_id, first_auto_id + 1, ... in row order.
 */
VDB_INTERNAL int vdb_batch_encode(struct vdb_mem *mem, const struct vdb_schema *schema,
                                  const vecdb_batch *batch, int64_t first_auto_id,
                                  struct vdb_writer *out, uint32_t *n_rows, uint32_t *source,
                                  vecdb_error *err);
/*
 * Reads a record, which stays borrowed and starts 8-byte aligned. Whatever the bytes, the columns
 * are then safe to read: sizes, padding, offsets, arrays and all that encode checks of values. Keys
 * are not compared with each other. Errors: CORRUPT, NO_MEMORY. Release with vdb_batch_fini.
 */
VDB_INTERNAL int vdb_batch_decode(struct vdb_mem *mem, const struct vdb_schema *schema,
                                  const void *data, size_t n, struct vdb_batch *out,
                                  vecdb_error *err);
/* As decode, for a record that vdb_batch_encode has just made: its values were checked there. */
VDB_INTERNAL int vdb_batch_view(struct vdb_mem *mem, const struct vdb_schema *schema,
                                const void *data, size_t n, struct vdb_batch *out,
                                vecdb_error *err);
VDB_INTERNAL void vdb_batch_fini(struct vdb_mem *mem, struct vdb_batch *batch);

/* What encode checks before it looks at columns: sizes and numbers of a caller's batch. ARGUMENT,
   OPTION, LIMIT. */
VDB_INTERNAL int vdb_batch_check(const vecdb_batch *batch, vecdb_error *err);

/* A row of which some fields are given, and the row that has the others. */
struct vdb_batch_patch {
  uint32_t given;                  /* row of the batch of given fields */
  uint32_t row;                    /* row in */
  const struct vdb_column *stands; /* one column per field; NULL: there is no such row */
};
/* Rows put together: `given`'s column at[f] holds field f of the schema, of patch i in row
   rows[i].given; at[f] negative: it stands, or is the default or null of a new row. */
struct vdb_batch_merge {
  const struct vdb_schema *schema;
  const struct vdb_batch *given;
  const int *at;
  const struct vdb_batch_patch *rows;
  uint32_t n_rows; /* at least 1 */
  const struct vdb_column *fills; /* per field, by rows of `given`: what new rows get that it is not
                                     given for; where there is nothing, or NULL: as said */
};
/* Appends the record of whole rows, as encode would write it, to `out`. Errors: MISSING_FIELD of a
   new row, naming it by `given`; LIMIT, NO_MEMORY; `out` is then as before. */
VDB_INTERNAL int vdb_batch_merge(const struct vdb_batch_merge *merge, struct vdb_writer *out,
                                 vecdb_error *err);

/* Checks one dense query or row vector of the field (it may be unaligned): NOT_FINITE, ZERO_VECTOR,
   OVERFLOW; `row` is named. */
VDB_INTERNAL int vdb_vector_check(const struct vdb_field *field, const void *vector, int64_t row,
                                  vecdb_error *err);

/* Keys given by the caller, checked against the schema's key type: ARGUMENT (of the other type, or
   NULL), TOO_LONG, UTF8, LIMIT (over VECDB_MAX_BATCH_ROWS). */
VDB_INTERNAL int vdb_keys_check(const struct vdb_schema *schema, const vecdb_keys *keys,
                                vecdb_error *err);

/* A key inside the library: 8 bytes of an int64, or text. Integers compare by value, texts
   bytewise. */
VDB_INLINE struct vdb_bytes vdb_key_of(const struct vdb_column *keys, size_t row) {
  return vdb_column_bytes(keys, row);
}
/* The i-th key of a caller's, checked by vdb_keys_check. */
VDB_INLINE struct vdb_bytes vdb_key_at(const vecdb_keys *keys, size_t i) {
  struct vdb_bytes key = {(const uint8_t *)"", 0};
  if (keys->integers) {
    key.data = (const uint8_t *)&keys->integers[i];
    key.n = sizeof keys->integers[i];
  } else if (keys->strings[i].length) {
    key.data = (const uint8_t *)keys->strings[i].data;
    key.n = keys->strings[i].length;
  }
  return key;
}
VDB_INTERNAL int vdb_key_compare(struct vdb_bytes a, struct vdb_bytes b, int32_t key_type);

#endif
