/*
 * iterator.c - walking outward from a query until the caller has had enough: here, until the goods
 * found weigh 10 kg together, which no k given beforehand could say.
 */
#include "check.h"

enum { ROWS = 1000 };

int main(void) {
  vecdb_error error;
  vecdb *db;
  vecdb_collection *coll;
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "grams", .type = VECDB_INT32},
      {.name = "place", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  check(vecdb_open(":memory:", NULL, &db, &error), &error);
  check(vecdb_collection_create(db, "goods", &schema, &coll, &error), &error);

  static int32_t grams[ROWS];
  static float places[ROWS][2];
  for (int i = 0; i < ROWS; i++) {
    grams[i] = 100 + i * 37 % 900;
    places[i][0] = (float)(i % 40);
    places[i][1] = (float)i / 40;
  }
  const vecdb_column columns[] = {{.field = "grams", .data = grams},
                                  {.field = "place", .data = places}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, ROWS};
  check(vecdb_insert(coll, &batch, NULL, &error), &error);

  const float here[] = {20, 12};
  const char *wanted[] = {"grams"};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.queries = here;
  params.filter.text = "grams < 800";
  params.fields = wanted;
  params.n_fields = 1;
  vecdb_iterator *iterator;
  check(vecdb_iterator_open(coll, &params, &iterator, &error), &error);
  int64_t total = 0;
  uint32_t n = 1, taken = 0;
  float distance = 0;
  while (total < 10000 && n > 0) {
    vecdb_hit hits[8];
    vecdb_rows *rows;
    check(vecdb_iterator_next(iterator, 8, hits, &n, &rows, &error), &error);
    for (uint32_t i = 0; i < n && total < 10000; i++, taken++) {
      total += vecdb_rows_value(rows, hits[i].row, 1).as.integer;
      distance = hits[i].score;
    }
    vecdb_rows_free(rows);
  }
  vecdb_iterator_close(iterator);
  printf("%u goods weigh %lld g; the farthest is at squared distance %g\n", taken,
         (long long)total, (double)distance);

  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
