/*
 * fuzz_blob.c - section files from hostile bytes: opened, all sections found and read, verified; or
 * the rows of a segment, opened as a database, of which everything is asked. Input: a byte of flags
 * (1: make the checksums fit; 2: full check at opening; 4: rows of a segment), the bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/blob.h"
#include "store/store_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Makes header, sections, table and trailer fit each other, as far as they lie in the file. */
static void fuzz_mend(uint8_t *data, size_t n, enum vdb_blob_kind kind) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  if (n < sizeof h + sizeof t)
    return;
  memcpy(&h, data, sizeof h);
  memcpy(h.magic, STORE_BLOB_MAGIC, sizeof h.magic);
  h.kind = kind;
  h.number = 1;
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(data, &h, sizeof h);
  memcpy(&t, data + n - sizeof t, sizeof t);
  t.kind = h.kind;
  t.number = h.number;
  t.length = n;
  uint64_t table = (uint64_t)t.sections * sizeof(struct store_blob_entry);
  if (t.table <= n && table <= n - t.table) {
    for (uint64_t at = t.table; at < t.table + table; at += sizeof(struct store_blob_entry)) {
      struct store_blob_entry e;
      memcpy(&e, data + at, sizeof e);
      if (e.offset <= n && e.length <= n - e.offset)
        e.hash = vdb_hash64(data + e.offset, (size_t)e.length);
      memcpy(data + at, &e, sizeof e);
    }
    t.table_hash = vdb_hash64(data + t.table, (size_t)table);
  }
  t.hash = vdb_store_hash(&t, sizeof t);
  memcpy(data + n - sizeof t, &t, sizeof t);
}

static void fuzz_use(const struct vdb_blob *blob, const struct store_blob_trailer *t,
                     const uint8_t *data) {
  const struct vdb_sect_reader *r = vdb_blob_reader(blob);
  vecdb_error err;
  size_t length;
  vdb_blob_bytes(blob, &length);
  for (uint32_t i = 0; i < t->sections; i++) {
    struct store_blob_entry e;
    const void *bytes;
    size_t n;
    memcpy(&e, data + t->table + i * sizeof e, sizeof e);
    if (r->find(r, e.tag, e.number, i % 2, &bytes, &n, &err) == VECDB_OK &&
        (!bytes || n > length || vdb_hash64(bytes, n) == 1))
      abort();
  }
  vdb_blob_verify(blob, NULL, NULL, &err);
}

/* Searches by a vector of zeros and ones, whatever the type. */
static void fuzz_search(vecdb_collection *coll, const vecdb_field *field) {
  static const vecdb_sparse_pair pairs[] = {{0, 1}, {7, 1}};
  const vecdb_sparse sparse = {pairs, 2};
  bool is_sparse = field->type == VECDB_SPARSE_VECTOR;
  float *query = is_sparse ? NULL : calloc(field->dim, sizeof *query);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[8];
  vecdb_rows *rows;
  uint32_t n;
  vecdb_error err;
  if (query)
    memset(query, 1, sizeof *query);
  params.field = field->name;
  params.k = 8;
  params.queries = is_sparse ? (const void *)&sparse : query;
  if (params.queries &&
      vecdb_search(coll, &params, hits, &n, NULL, &rows, &err) == VECDB_OK)
    vecdb_rows_free(rows);
  free(query);
}

/* All rows with all their fields, and filters that look at each. */
static void fuzz_ask(vecdb_collection *coll) {
  const vecdb_schema *schema = vecdb_collection_schema(coll);
  vecdb_query_params query = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  vecdb_error err;
  if (vecdb_query(coll, &query, &rows, &err) == VECDB_OK) {
    for (size_t i = 0; i < vecdb_rows_count(rows); i++)
      for (size_t f = 0; f < vecdb_rows_n_fields(rows); f++)
        vecdb_rows_value(rows, i, f);
    vecdb_rows_free(rows);
  }
  for (uint32_t f = 0; f < schema->n_fields; f++) {
    static const char *const filters[] = {"%s > 3", "%s >= \"b\"", "%s == true", "%s is null",
                                          "%s[\"a\"] < 4", "array_contains(%s, 1)"};
    if (schema->fields[f].type >= VECDB_FLOAT_VECTOR)
      fuzz_search(coll, &schema->fields[f]);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
      char text[VECDB_MAX_NAME + 40];
      uint64_t n;
      snprintf(text, sizeof text, filters[i], schema->fields[f].name);
      vecdb_count(coll, &(vecdb_filter){.text = text}, &n, &err);
    }
  }
}

static int fuzz_visit(void *user, const char *name) {
  vecdb_collection *coll;
  vecdb_error err;
  if (vecdb_collection_get(user, name, &coll, &err) != VECDB_OK)
    return 0;
  fuzz_ask(coll);
  vecdb_collection_release(coll);
  return 0;
}

static void fuzz_alone(struct vdb_env *env, const char *path, bool full) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_error err;
  vecdb *db;
  options.flags = VECDB_READ_ONLY;
  options.memory_limit = 64 << 20;
  options.threads = 1;
  options.vfs = env->vfs;
  options.verify = full ? VECDB_VERIFY_FULL : VECDB_VERIFY_META;
  if (vecdb_open(path, &options, &db, &err) != VECDB_OK)
    return;
  vecdb_collection_list(db, fuzz_visit, db, &err);
  vecdb_check(db, NULL, NULL, NULL, &err);
  vecdb_close(db, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char path[] = "db/0000000000000001.idx";
  struct vdb_env env;
  vecdb_error err;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 64 << 20;
  if (size < 1 || size > 1 << 20)
    return 0;
  if (vdb_env_init(&env, &options, true, &err) != VECDB_OK ||
      env.vfs->make_dir(env.vfs, "db") != 0)
    abort();
  size_t n = size - 1;
  uint8_t *copy = malloc(n + 1);
  vecdb_file *file;
  if (!copy)
    abort();
  memcpy(copy, data + 1, n);
  bool rows = data[0] & 4;
  if (data[0] & 1)
    fuzz_mend(copy, n, rows ? VDB_BLOB_ROWS : VDB_BLOB_INDEX);
  if (env.vfs->open(env.vfs, path, VECDB_OPEN_CREATE, &file) != 0 ||
      env.vfs->write(file, copy, n, 0) != 0)
    abort();
  env.vfs->close(file);
  struct vdb_blob_id id = {1, n, 0};
  struct store_blob_trailer t;
  if (n >= sizeof t) {
    memcpy(&t, copy + n - sizeof t, sizeof t);
    id.hash = t.table_hash;
  }
  struct vdb_blob *blob = NULL;
  if (rows)
    fuzz_alone(&env, path, data[0] & 2);
  else if (vdb_blob_open(&env, "db", VDB_BLOB_INDEX, &id, data[0] & 2, &blob, &err) == VECDB_OK)
    fuzz_use(blob, &t, copy);
  vdb_blob_close(blob);
  free(copy);
  vdb_env_fini(&env);
  return 0;
}
