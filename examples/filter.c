/*
 * filter.c - filters with bound parameters. The text stays the same and values go in beside it, so
 * that text from users is never pasted into a filter.
 */
#include <string.h>

#include "check.h"

static vecdb_collection *make(vecdb *db, vecdb_error *error) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "category", .type = VECDB_VARCHAR, .max_length = 20},
      {.name = "price", .type = VECDB_DOUBLE, .flags = VECDB_NULLABLE},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  const char *categories[] = {"book", "book", "film", "film", "song", "song"};
  const double prices[] = {10, 25, 15, 40, 0, 1.5};
  const uint8_t priced[] = {1, 1, 1, 1, 0, 1};
  const float embeddings[][2] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}};
  const vecdb_column columns[] = {
      {.field = "category", .data = categories},
      {.field = "price", .data = prices, .valid = priced}, /* the fifth is null */
      {.field = "embedding", .data = embeddings},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 6};
  vecdb_collection *coll;
  check(vecdb_collection_create(db, "things", &schema, &coll, error), error);
  check(vecdb_insert(coll, &batch, NULL, error), error);
  return coll;
}

static void show(vecdb_collection *coll, vecdb_filter filter) {
  const float query[] = {0, 0};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = 3;
  params.queries = query;
  params.filter = filter;
  vecdb_hit hits[3];
  uint32_t n;
  vecdb_error error;
  printf("%s\n ", filter.text);
  if (vecdb_search(coll, &params, hits, &n, NULL, NULL, &error)) {
    printf("%*s^ %s\n", (int)error.position - 1, "", error.message);
    return;
  }
  for (uint32_t i = 0; i < n; i++)
    printf(" row %lld at distance %g;", (long long)hits[i].id, (double)hits[i].score);
  printf("\n");
}

int main(void) {
  vecdb_error error;
  vecdb *db;
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  vecdb_collection *coll = make(db, &error);

  const char *category = "film"; /* say, from a web form */
  const vecdb_string list[] = {{"book", 4}, {"song", 4}};
  const vecdb_param params[] = {
      {"category",
       {.type = VECDB_VARCHAR, .length = (uint32_t)strlen(category), .as.data = category}},
      {"most", {.type = VECDB_DOUBLE, .as.number = 20}},
      {"some", {.type = VECDB_ARRAY, .element_type = VECDB_VARCHAR, .length = 2, .as.data = list}},
  };
  show(coll, (vecdb_filter){"category == {category}", 0, &params[0], 1});
  show(coll, (vecdb_filter){"category == {category} and price <= {most}", 0, params, 2});
  show(coll, (vecdb_filter){"category in {some}", 0, &params[2], 1});
  show(coll, (vecdb_filter){"price is null or price * 1.2 < {most}", 0, &params[1], 1});
  show(coll, (vecdb_filter){"category like \"b%\" and not (price in [10, 11])", 0, NULL, 0});
  show(coll, (vecdb_filter){"price < 20 and catgory == \"book\"", 0, NULL, 0}); /* a mistake */

  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
