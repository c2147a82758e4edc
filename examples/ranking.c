/* ranking.c - one ranking out of two vectors of a row, and hits in groups of a field's values. */
#include "check.h"

enum { K = 3 };

static vecdb_collection *make(vecdb *db, vecdb_error *error) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "book", .type = VECDB_INT64},
      {.name = "title", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_COSINE},
      {.name = "text", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_COSINE}};
  const int64_t ids[] = {1, 2, 3, 4, 5}, books[] = {7, 7, 8, 8, 9};
  const float titles[][2] = {{1, 0}, {1, 0.1f}, {0.7f, 0.7f}, {0.6f, 0.8f}, {0, 1}};
  const float texts[][2] = {{0, 1}, {1, 0}, {1, 0.2f}, {0.5f, 0.5f}, {0.9f, 0.1f}};
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "book", .data = books},
                                  {.field = "title", .data = titles},
                                  {.field = "text", .data = texts}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, 5};
  vecdb_collection *coll;
  check(vecdb_collection_create(db, "pages", &schema, &coll, error), error);
  check(vecdb_insert(coll, &batch, NULL, error), error);
  return coll;
}

/* What is near by its title and what is near by its text, by places: reciprocal rank fusion. */
static void rank(vecdb_collection *coll, const float *query, vecdb_error *error) {
  static const char *const fields[] = {"title", "text"};
  vecdb_hybrid_search searches[2] = {{.weight = 1}, {.weight = 2}};
  vecdb_hybrid_params params = VECDB_HYBRID_PARAMS_INIT;
  vecdb_hit hits[K];
  uint32_t n;
  for (int i = 0; i < 2; i++) {
    searches[i].search = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
    searches[i].search.field = fields[i];
    searches[i].search.queries = query;
    searches[i].search.k = 5;
  }
  params.searches = searches;
  params.n_searches = 2;
  params.k = K;
  params.fusion = VECDB_FUSION_RRF;
  check(vecdb_search_hybrid(coll, &params, hits, &n, NULL, NULL, error), error);
  for (uint32_t i = 0; i < n; i++)
    printf("by title and text: page %lld, %.4f\n", (long long)hits[i].id, (double)hits[i].score);
}

/* The nearest page of each of the two nearest books. */
static void group(vecdb_collection *coll, const float *query, vecdb_error *error) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_group_by by = VECDB_GROUP_BY_INIT;
  vecdb_hit hits[2];
  uint32_t counts[2];
  params.k = 2;
  params.field = "title";
  params.queries = query;
  by.field = "book";
  check(vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, error), error);
  for (uint32_t i = 0; i < 2 && counts[i] > 0; i++)
    printf("of a book each: page %lld, %.4f\n", (long long)hits[i].id, (double)hits[i].score);
}

int main(void) {
  const float query[] = {1, 0};
  vecdb_error error;
  vecdb *db;
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  vecdb_collection *coll = make(db, &error);
  rank(coll, query, &error);
  group(coll, query, &error);
  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
