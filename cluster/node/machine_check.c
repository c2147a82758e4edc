/*
 * machine_check.c - a digest of a shard's rows: all their fields, in the order of their keys, so
 * that it is equal on every node that has equal rows, however they lie on its disk.
 */
#include <stdio.h>

#include "node/machine_db.h"
#include "node/rows.h"
#include "place/route.h"
#include "wire/schema.h"

enum { CHECK_BYTES = 8 << 20, CHECK_ROWS_MIN = 16, CHECK_ROWS_MAX = 4096 };
static const size_t check_limit = (size_t)1 << 30; /* bytes of a page */

/* Rows that are hashed at a time. It follows from the schema alone, for the digest depends on it.
   */
static uint32_t check_page(const vecdb_schema *schema) {
  size_t bytes = 1;
  for (uint32_t i = 0; i < schema->n_fields; i++)
    bytes += wire_type_bytes(schema->fields[i].type, schema->fields[i].dim);
  size_t rows = CHECK_BYTES / bytes;
  rows = rows < CHECK_ROWS_MIN ? CHECK_ROWS_MIN : rows;
  return (uint32_t)(rows < CHECK_ROWS_MAX ? rows : CHECK_ROWS_MAX);
}

static int check_hash(const vecdb_rows *rows, uint64_t *digest) {
  struct wire_mem mem = {0};
  struct wire_columns columns;
  struct wire_out out;
  wire_out_init(&out, check_limit);
  bool good = rows_columns(rows, &mem, &columns);
  if (good)
    wire_columns_write(&out, &columns);
  good = good && !out.status;
  if (good)
    *digest = rep_mix(*digest, place_hash(out.data, out.n));
  wire_out_free(&out);
  wire_mem_free(&mem);
  return good ? VECDB_OK : VECDB_ERR_NO_MEMORY;
}

/* The page behind the last row of the one before, which `rows` is and is freed. */
static int check_next(vecdb_collection *collection, vecdb_rows **rows, vecdb_error *e) {
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *before = *rows;
  vecdb_string text;
  q.limit = check_page(schema);
  vecdb_value last = {0};
  if (before) {
    int key = vecdb_rows_find(before, wire_schema_key(schema)->name);
    last = vecdb_rows_value(before, vecdb_rows_count(before) - 1, (size_t)key);
    text = (vecdb_string){last.as.data, last.length};
    q.after = last.type == VECDB_VARCHAR ? (vecdb_keys){NULL, &text, 1}
                                         : (vecdb_keys){&last.as.integer, NULL, 1};
  }
  *rows = NULL;
  int code = vecdb_query(collection, &q, rows, e);
  vecdb_rows_free(before);
  return code;
}

/* Rows that cannot be read have a digest of their own: whoever has them is replaced. */
int machine_db_check(struct machine_db *d, struct machine_outcome *out) {
  vecdb_rows *rows = NULL;
  size_t n = 0;
  uint64_t digest = 0;
  if (vecdb_expiry(d->rows, NULL)) {
    snprintf(out->error.message, sizeof out->error.message,
             "rows that expire do so by each node's clock, so replicas are not compared");
    return VECDB_ERR_UNSUPPORTED;
  }
  int code = VECDB_OK;
  do {
    code = check_next(d->rows, &rows, &out->error);
    n = code ? 0 : vecdb_rows_count(rows);
    if (n)
      code = check_hash(rows, &digest);
    out->number += n;
  } while (!code && n);
  vecdb_rows_free(rows);
  out->checked = !code || code == VECDB_ERR_CORRUPT || code == VECDB_ERR_IO;
  out->digest = code ? REP_DIGEST_UNREADABLE : rep_mix(digest, out->number);
  return code;
}
