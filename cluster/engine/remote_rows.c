/* remote_rows.c - answers of a cluster as rows: nothing is copied. See remote.h. */
#include <stdlib.h>
#include <string.h>

#include "engine/remote.h"

struct remote_rows {
  struct engine_rows base;
  vecdb_client_answer *answer;
  const char **names; /* the key's, then those of the other fields; the schema has the texts */
  size_t n_names;
  size_t *starts; /* where each query's rows begin, and where the last one's end */
  size_t n_queries;
};

static const struct remote_rows *rows_of(const struct engine_rows *rows) {
  return (const struct remote_rows *)rows;
}

static void rows_free(struct engine_rows *rows) {
  struct remote_rows *r = (struct remote_rows *)rows;
  vecdb_client_answer_free(r->answer);
  free(r->names);
  free(r->starts);
  free(r);
}

static size_t rows_count(const struct engine_rows *rows) {
  const struct remote_rows *r = rows_of(rows);
  return r->starts[r->n_queries];
}

static size_t rows_n_fields(const struct engine_rows *rows) { return rows_of(rows)->n_names; }

static const char *rows_field(const struct engine_rows *rows, size_t i) {
  const struct remote_rows *r = rows_of(rows);
  return i < r->n_names ? r->names[i] : NULL;
}

static int rows_find(const struct engine_rows *rows, const char *field) {
  const struct remote_rows *r = rows_of(rows);
  for (size_t i = 0; i < r->n_names; i++)
    if (strcmp(r->names[i], field) == 0)
      return (int)i;
  return -1;
}

/* The query whose rows have the number among them. */
static size_t rows_query(const struct remote_rows *r, size_t row) {
  size_t low = 0, high = r->n_queries - 1;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (row < r->starts[middle + 1])
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

static vecdb_value rows_value(const struct engine_rows *rows, size_t row, size_t column) {
  const struct remote_rows *r = rows_of(rows);
  if (row >= rows_count(rows) || column >= r->n_names)
    return (vecdb_value){0};
  size_t query = rows_query(r, row);
  row -= r->starts[query];
  return column ? vecdb_client_answer_value(r->answer, query, row, r->names[column])
                : vecdb_client_answer_key(r->answer, query, row);
}

static const struct engine_rows_ops rows_ops = {.free = rows_free,
                                                .count = rows_count,
                                                .n_fields = rows_n_fields,
                                                .field = rows_field,
                                                .find = rows_find,
                                                .value = rows_value};

/* The name as the schema has it, which lives as long as the collection's handle; the caller's where
   the schema has none, which nodes have refused then. */
static const char *rows_name(const vecdb_schema *schema, const char *name) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (strcmp(schema->fields[i].name, name) == 0)
      return schema->fields[i].name;
  return name;
}

static void rows_names(struct remote_rows *r, const struct remote_known *known,
                       const char *const *fields, size_t n) {
  r->names[r->n_names++] = known->key->name;
  for (size_t i = 0; i < n; i++) {
    const char *name = rows_name(known->schema, fields ? fields[i] : known->schema->fields[i].name);
    if (rows_find(&r->base, name) < 0)
      r->names[r->n_names++] = name;
  }
}

struct engine_rows *remote_rows(const struct remote_known *known, vecdb_client_answer *answer,
                                const char *const *fields, size_t n_fields, uint32_t n_queries) {
  struct remote_rows *r = calloc(1, sizeof *r);
  size_t n = fields ? n_fields : known->schema->n_fields;
  if (!r) {
    vecdb_client_answer_free(answer);
    return NULL;
  }
  r->base.ops = &rows_ops;
  r->answer = answer;
  r->n_queries = n_queries;
  r->names = calloc(n + 1, sizeof *r->names);
  r->starts = calloc(n_queries + 1, sizeof *r->starts);
  if (!r->names || !r->starts) {
    rows_free(&r->base);
    return NULL;
  }
  rows_names(r, known, fields, n);
  for (uint32_t q = 0; q < n_queries; q++)
    r->starts[q + 1] = r->starts[q] + vecdb_client_answer_rows(answer, q);
  return &r->base;
}
