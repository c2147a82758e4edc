/* index.c - an index on a vector field: what it finds of the true neighbours, and at what cost. */
#include "check.h"

enum { ROWS = 20000, DIM = 24, QUERIES = 50, K = 10 };

static float rows[ROWS][DIM], queries[QUERIES][DIM];

/* Points on a few lines through space, so that near ones are alike. */
static void fill(float (*to)[DIM], size_t n, uint32_t seed) {
  for (size_t i = 0; i < n; i++)
    for (size_t d = 0; d < DIM; d++) {
      seed = seed * 1664525 + 1013904223;
      float along = (float)((i * 7 + d * (i % 50)) % 1000) / 1000;
      to[i][d] = along + (float)(seed >> 8) / (float)(1 << 24) / 2;
    }
}

static vecdb_collection *make(vecdb *db, vecdb_error *error) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "place", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2}};
  const vecdb_column column = {.field = "place", .data = rows, .dim = DIM};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_batch batch = {sizeof batch, sizeof column, &column, 1, ROWS};
  vecdb_collection *coll;
  check(vecdb_collection_create(db, "places", &schema, &coll, error), error);
  check(vecdb_insert(coll, &batch, NULL, error), error);
  return coll;
}

/* All queries in one call; how many vectors were compared for each. */
static uint64_t search(vecdb_collection *coll, int32_t plan, float recall, vecdb_hit *hits,
                       vecdb_error *error) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  uint32_t counts[QUERIES];
  params.k = K;
  params.queries = queries;
  params.n_queries = QUERIES;
  params.plan = plan;
  params.recall = recall;
  check(vecdb_search(coll, &params, hits, counts, &info, NULL, error), error);
  return info.distances / QUERIES;
}

int main(void) {
  static vecdb_hit truth[QUERIES * K], hits[QUERIES * K];
  const float recalls[] = {0.9f, 0.95f, 0.99f};
  vecdb_index_params index = VECDB_INDEX_PARAMS_INIT;
  vecdb_error error;
  vecdb *db;
  fill(rows, ROWS, 1);
  fill(queries, QUERIES, 2);
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  vecdb_collection *coll = make(db, &error);

  check(vecdb_flush(coll, NULL, &error), &error); /* rows in memory have no index */
  index.type = VECDB_INDEX_HNSW;                  /* or AUTO, IVF_PQ, DISK... */
  check(vecdb_index_create(coll, "place", &index, NULL, &error), &error);
  search(coll, VECDB_PLAN_EXACT, 0, truth, &error);
  for (size_t r = 0; r < sizeof recalls / sizeof *recalls; r++) {
    uint64_t compared = search(coll, VECDB_PLAN_AUTO, recalls[r], hits, &error);
    unsigned found = 0;
    for (size_t i = 0; i < QUERIES * K; i++)
      for (size_t j = i / K * K; j < (i / K + 1) * K; j++)
        found += hits[i].id == truth[j].id;
    printf("asked for %.2f: found %.3f with %llu of %d vectors compared\n", (double)recalls[r],
           (double)found / (QUERIES * K), (unsigned long long)compared, ROWS);
  }
  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
