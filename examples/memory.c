/*
 * memory.c - a database that lives in memory only, with a limit on what it may take. Going over the
 * limit is an error of the one call that did; what was there stays, and can be searched.
 */
#include "check.h"

enum { DIM = 64, BATCH = 500 };

static int insert_random(vecdb_collection *coll, uint32_t *seed, vecdb_error *error) {
  static uint16_t embeddings[BATCH][DIM]; /* 16-bit floats: half the memory */
  for (int i = 0; i < BATCH; i++) {
    float row[DIM];
    for (int k = 0; k < DIM; k++) {
      *seed = *seed * 1664525u + 1013904223u;
      row[k] = (float)(*seed >> 8) / (float)(1 << 24) - 0.5f;
    }
    vecdb_to_float16(row, embeddings[i], DIM);
  }
  vecdb_column column = {.field = "embedding", .data = embeddings};
  vecdb_batch batch = {sizeof batch, sizeof column, &column, 1, BATCH};
  return vecdb_insert(coll, &batch, NULL, error);
}

int main(void) {
  vecdb_error error;
  vecdb *db;
  vecdb_collection *coll;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.memory_limit = 16u << 20;
  check(vecdb_open(":memory:", &options, &db, &error), &error);
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "embedding", .type = VECDB_FLOAT16_VECTOR, .dim = DIM, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  check(vecdb_collection_create(db, "scratch", &schema, &coll, &error), &error);

  uint32_t seed = 1;
  int rc = VECDB_OK;
  while (rc == VECDB_OK)
    rc = insert_random(coll, &seed, &error);
  printf("%s: %s\n", vecdb_status_name(rc), error.message);

  vecdb_stats stats = VECDB_STATS_INIT;
  check(vecdb_collection_stats(coll, &stats, &error), &error);
  printf("%llu rows fit; %.1f MB allocated\n", (unsigned long long)stats.rows,
         (double)stats.bytes_allocated / 1e6);

  static uint16_t query[DIM]; /* zeros */
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = 1;
  params.queries = query;
  vecdb_hit hit;
  uint32_t n;
  check(vecdb_search(coll, &params, &hit, &n, NULL, NULL, &error), &error);
  printf("the shortest vector is row %lld, squared length %.3f\n", (long long)hit.id,
         (double)hit.score);

  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error); /* and it is gone */
  return rc == VECDB_ERR_NO_MEMORY ? EXIT_SUCCESS : EXIT_FAILURE;
}
