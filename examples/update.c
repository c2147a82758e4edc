/* update.c - changing rows: insert, upsert, delete by key and by filter. Each call is atomic. */
#include "check.h"

static int write_rows(vecdb_collection *coll, bool replace, const int64_t *ids,
                      const int32_t *years, uint32_t n, vecdb_error *error) {
  float embeddings[8][2];
  for (uint32_t i = 0; i < n; i++) {
    embeddings[i][0] = (float)ids[i];
    embeddings[i][1] = (float)years[i];
  }
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "year", .data = years},
      {.field = "embedding", .data = embeddings},
  };
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, n};
  return replace ? vecdb_upsert(coll, &batch, NULL, error)
                 : vecdb_insert(coll, &batch, NULL, error);
}

/* All rows, in the order of their keys. */
static void show(vecdb_collection *coll, const char *what) {
  const char *fields[] = {"year"};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  params.fields = fields;
  params.n_fields = 1;
  vecdb_rows *rows;
  vecdb_error error;
  check(vecdb_query(coll, &params, &rows, &error), &error);
  printf("%-36s", what);
  for (size_t i = 0; i < vecdb_rows_count(rows); i++)
    printf(" %lld:%lld", (long long)vecdb_rows_value(rows, i, 0).as.integer,
           (long long)vecdb_rows_value(rows, i, 1).as.integer);
  printf("\n");
  vecdb_rows_free(rows);
}

int main(void) {
  vecdb_error error;
  vecdb *db;
  vecdb_collection *coll;
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "year", .type = VECDB_INT32},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  check(vecdb_collection_create(db, "films", &schema, &coll, &error), &error);

  check(write_rows(coll, false, (int64_t[]){1, 2, 3}, (int32_t[]){1931, 1954, 1968}, 3, &error),
        &error);
  show(coll, "inserted 1, 2, 3");

  /* A key that is there makes insert fail, and nothing of the batch is written. */
  if (write_rows(coll, false, (int64_t[]){4, 2}, (int32_t[]){1979, 1980}, 2, &error))
    printf("insert of 4, 2: %s\n", error.message);
  show(coll, "as before");

  check(write_rows(coll, true, (int64_t[]){4, 2}, (int32_t[]){1979, 1980}, 2, &error), &error);
  show(coll, "upserted 4, 2");

  uint64_t deleted;
  vecdb_keys keys = {.integers = (int64_t[]){1, 99}, .n = 2}; /* an absent key is no error */
  check(vecdb_delete(coll, &keys, &deleted, &error), &error);
  printf("deleted %llu of the keys 1, 99\n", (unsigned long long)deleted);

  vecdb_filter filter = {.text = "year >= 1979"};
  check(vecdb_delete_where(coll, &filter, &deleted, NULL, &error), &error);
  printf("deleted %llu rows where %s\n", (unsigned long long)deleted, filter.text);
  show(coll, "what is left");

  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
