/*
 * hello.c - the shortest useful program: a database in a folder, four rows, one search. Run it
 * twice: the second time the rows are there already.
 */
#include "check.h"

int main(int argc, char **argv) {
  vecdb_error error;
  vecdb *db;
  check(vecdb_open(argc > 1 ? argv[1] : "build/hello-db", NULL, &db, &error), &error);

  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "text", .type = VECDB_VARCHAR, .max_length = 100},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 3, .metric = VECDB_COSINE},
  };
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = fields;
  schema.n_fields = 3;
  vecdb_collection *coll;
  int rc = vecdb_collection_create(db, "colours", &schema, &coll, &error);
  if (rc == VECDB_ERR_EXISTS)
    rc = vecdb_collection_get(db, "colours", &coll, &error);
  check(rc, &error);
  uint64_t before;
  check(vecdb_count(coll, NULL, &before, &error), &error);
  printf("%llu rows from earlier runs\n", (unsigned long long)before);

  /* A batch is a set of columns; each points to one array. */
  const int64_t ids[] = {1, 2, 3, 4};
  const char *texts[] = {"red", "orange", "green", "blue"};
  const float embeddings[][3] = {{1, 0, 0}, {1, 0.6f, 0}, {0, 1, 0}, {0, 0, 1}};
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "text", .data = texts},
      {.field = "embedding", .data = embeddings, .dim = 3},
  };
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = 4;
  check(vecdb_upsert(coll, &batch, NULL, &error), &error); /* on the disk when it returns */

  const float query[] = {0.9f, 0.3f, 0.1f};
  const char *wanted[] = {"text"};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = 2;
  params.queries = query;
  params.fields = wanted;
  params.n_fields = 1;
  vecdb_hit hits[2];
  uint32_t n;
  vecdb_rows *rows;
  check(vecdb_search(coll, &params, hits, &n, NULL, &rows, &error), &error);
  for (uint32_t i = 0; i < n; i++) {
    vecdb_value text = vecdb_rows_value(rows, hits[i].row, 1); /* column 0 is the key */
    printf("%.3f  %lld  %.*s\n", (double)hits[i].score, (long long)hits[i].id, (int)text.length,
           (const char *)text.as.data);
  }

  vecdb_rows_free(rows);
  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
