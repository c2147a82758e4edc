/* rows.h - JSON objects and files of vectors into batches for a collection. */
#ifndef SHELL_ROWS_H
#define SHELL_ROWS_H

#include <jansson.h>

#include "vecdb.h"
#include "vecfile.h"

struct rows_column;

struct rows {
  const vecdb_schema *schema;
  struct rows_column *columns; /* one a field */
  json_t **objects;            /* whose strings are borrowed until rows_clear */
  void **blocks;               /* of arrays and sparse vectors, likewise */
  size_t n_blocks;
  size_t n;          /* rows there are */
  size_t capacity;   /* rows there may be */
  bool partial;      /* absent fields are left as they are: for rows_update */
  bool skip_unknown; /* members of an object that are no field are left out */
};

/* For batches of up to `capacity` rows. */
void rows_begin(struct rows *rows, const vecdb_schema *schema, size_t capacity);
void rows_end(struct rows *rows);
void rows_clear(struct rows *rows); /* for the next batch */

/* A field whose values come from a file or are counted, so that objects need not have them. */
void rows_elsewhere(struct rows *rows, size_t field);

/*
 * Adds a row from a JSON object, which is taken over, also when it fails. Absent fields get their
 * default or null. Errors: TYPE, UNKNOWN_FIELD, MISSING_FIELD, RANGE, DIMENSION, NULL_VALUE, LIMIT,
 * with the field's name.
 */
int rows_add(struct rows *rows, json_t *object, vecdb_error *error);
/* Adds n rows of which nothing is known yet but what rows_fill and rows_number set. */
void rows_add_empty(struct rows *rows, size_t n);
/* Sets a vector field of all rows from a file, from its row `first` on. */
int rows_fill(struct rows *rows, size_t field, struct vecfile *file, uint64_t first,
              vecdb_error *error);
/* Sets an INT64 field of all rows to first, first + 1 and so on. */
void rows_number(struct rows *rows, size_t field, int64_t first);

/* The columns that are used, of which there may be VECDB_MAX_FIELDS, as a batch. */
vecdb_batch rows_batch(struct rows *rows, vecdb_column *columns);

/* Writes the batch. */
int rows_write(struct rows *rows, vecdb_collection *collection, bool insert, vecdb_error *error);

/* Changes the fields that the batch, which is partial and of one row, has. *found: the row is
 * there. */
int rows_update(struct rows *rows, vecdb_collection *collection, bool *found, vecdb_error *error);

/* The field of that name, or -1. */
int schema_find(const vecdb_schema *schema, const char *name);
/* A vector of a JSON array or object, as the field has it, into `out` (vectors but sparse ones:
   room for one; sparse: a vecdb_sparse whose pairs are to be freed). */
int vector_read(const json_t *json, const vecdb_field *field, void *out, vecdb_error *error);

#endif
