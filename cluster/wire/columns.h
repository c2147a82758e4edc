/*
 * columns.h - columns of rows, as batches bring them and answers have them: what is written is what
 * vecdb.h's structs point to, and what is read is used where it lies.
 */
#ifndef CLUSTER_WIRE_COLUMNS_H
#define CLUSTER_WIRE_COLUMNS_H

#include "vecdb.h"
#include "wire/bytes.h"

/* As vecdb_column, but it says its type itself. */
struct wire_column {
  const char *name;
  int32_t type;         /* a vecdb_type; 0: all rows are null and the type is not known */
  int32_t element_type; /* ARRAY */
  uint32_t dim;         /* of dense vectors; 0 otherwise */
  const void *data;     /* NULL: all rows are null, or have the default */
  size_t stride;        /* 0: packed */
  const uint32_t *lengths;
  const uint8_t *valid;
};

struct wire_columns {
  uint32_t n_rows;
  uint32_t n_columns;
  const struct wire_column *columns;
  /* Writing: which rows, and in which order; NULL: all of them. n_rows counts these. */
  const uint32_t *pick;
};

/* Whether it is a vecdb_type of a column, and its bytes a row of data where those are packed (of
   VARCHAR, JSON, ARRAY and SPARSE_VECTOR: of the pointers or structs that stand for it in
   memory). */
bool wire_type_known(int32_t type);
size_t wire_type_bytes(int32_t type, uint32_t dim);
bool wire_type_dense(int32_t type);
/* VARCHAR or JSON. */
bool wire_type_text(int32_t type);

/* The bytes of the columns to the message. Values are not looked at, but for lengths over what
   vecdb.h allows: WIRE_TOO_LARGE. */
void wire_columns_write(struct wire_out *out, const struct wire_columns *columns);
/* Bytes that a row adds to them, at most by rounding. */
size_t wire_columns_row_bytes(const struct wire_columns *columns, uint32_t i);
/* Reads them; what has no form of its own in the bytes (pointers to texts) lies in `mem`. A fault
   is in `in` or `mem`. */
void wire_columns_read(struct wire_in *in, struct wire_mem *mem, struct wire_columns *out);

/* A batch as columns that borrow from it, not from the schema; their types by the schema:
   UNKNOWN_FIELD and DIMENSION are found here, since the bytes could not be read otherwise;
   everything else by the node that has the rows. `error` is filled but for its code's text. */
int wire_columns_of_batch(const vecdb_schema *schema, const vecdb_batch *batch,
                          struct wire_mem *mem, struct wire_columns *out, vecdb_error *error);
/* Columns that were read as a batch: TYPE where a column is not of its field's type, UNKNOWN_FIELD,
   NO_MEMORY. */
int wire_batch_of_columns(const vecdb_schema *schema, const struct wire_columns *columns,
                          struct wire_mem *mem, vecdb_batch *out, vecdb_error *error);

/* A table by its cells, such as a vecdb_rows. */
struct wire_table {
  const void *arg;
  uint32_t n_rows;
  uint32_t n_columns;
  const char *(*name)(const void *arg, size_t column);
  vecdb_value (*value)(const void *arg, size_t row, size_t column);
};
/* Its columns; texts, arrays and pairs are borrowed from the table, everything else is copied.
   False: no memory. */
bool wire_columns_of_table(const struct wire_table *table, struct wire_mem *mem,
                           struct wire_columns *out);
/* The value at (row, column); a null value outside the table. */
vecdb_value wire_columns_value(const struct wire_columns *columns, size_t row, size_t column);
/* The column of that name, or -1. */
int wire_columns_find(const struct wire_columns *columns, const char *name);

#endif
