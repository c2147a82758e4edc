/*
 * milvus_rows.h - one column of FieldData on its way into a batch, between milvus_rows.c and
 * milvus_nested.c.
 */
#ifndef SRV_MILVUS_ROWS_H
#define SRV_MILVUS_ROWS_H

#include "server/milvus.h"

struct milvus_data {
  const char *name;
  struct pb_bytes scalars, vectors;
  int64_t dynamic;
  struct pb_numbers valid;
};

struct milvus_column {
  struct milvus *m;
  const struct milvus_open *open;
  const struct milvus_data *in;
  const vecdb_field *field;
  uint32_t n_rows;
  vecdb_column *out;
};

/* Fails: the data is not of the field's type. */
bool milvus_rows_wrong(const struct milvus_column *c);
/* Takes `have` values: one a row, or one a row that is not null, which then find their places in
   c->out->data. */
bool milvus_rows_spread(struct milvus_column *c, const void *data, size_t size, size_t have);
/* Varints as packed values of an integer type or BOOL; NULL after failing. */
void *milvus_rows_integers(struct milvus_column *c, const struct pb_numbers *numbers, int32_t type);

/* A column of arrays (a message ArrayArray), and one of JSON texts, which must be valid, for a
   VARCHAR field. */
bool milvus_rows_arrays(struct milvus_column *c, struct pb_bytes in);
bool milvus_rows_json(struct milvus_column *c, struct pb_bytes in);
/* A column of texts (a message with one repeated field). */
bool milvus_rows_texts(struct milvus_column *c, struct pb_bytes in);

#endif
