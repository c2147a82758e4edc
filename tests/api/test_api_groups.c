/* test_api_groups.c - searching for groups of rows, through the public interface: values that hide
   others, groups that are hard to fill, several queries, mistakes. Random ones: tests/model. */
#include "tlib/apitest.h"

enum { ROWS = 6000, MAX_HITS = 64 };

/* Rows 0 .. ROWS - 1 lie at x = id, in group 7, but one row in 500: those, far between each other,
   are of the groups 100 + id / 1500, and null where id / 500 is 11. */
static vecdb_collection *make(vecdb *db, int32_t index) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "g", .type = VECDB_INT16, .flags = VECDB_NULLABLE},
      {.name = "name", .type = VECDB_VARCHAR, .max_length = 16, .flags = VECDB_NULLABLE},
      {.name = "d", .type = VECDB_DOUBLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2,
       .index = {.size = sizeof(vecdb_index_params), .type = index}}};
  static int64_t ids[ROWS];
  static int16_t groups[ROWS];
  static char text[ROWS][16];
  static const char *names[ROWS];
  static uint8_t valid[ROWS];
  static double d[ROWS];
  static float v[ROWS][2];
  for (int i = 0; i < ROWS; i++) {
    ids[i] = i;
    groups[i] = (int16_t)(i % 500 ? 7 : 100 + i / 1500);
    snprintf(text[i], sizeof text[i], "group %d", groups[i]);
    names[i] = text[i];
    valid[i] = i != 5500;
    v[i][0] = (float)i;
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "g", .data = groups, .valid = valid},
                                  {.field = "name", .data = names, .valid = valid},
                                  {.field = "d", .data = d},
                                  {.field = "v", .data = v}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 5};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 5, ROWS};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "g", &schema, &coll, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  return coll;
}

static vecdb_search_params search(const float *query, uint32_t k, const char *filter) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = k;
  params.queries = query;
  params.filter.text = filter;
  return params;
}

/* The ids of the group in that place. */
static void check_group(const vecdb_hit *hits, const uint32_t *counts, uint32_t place,
                        uint32_t size, const int64_t *ids, uint32_t n) {
  assert_int_equal(counts[place], n);
  for (uint32_t i = 0; i < n; i++)
    assert_int_equal(hits[place * size + i].id, ids[i]);
}

/* One group is everywhere near the query: the others still come, and all of their rows. */
static void hidden(vecdb_collection *coll, const char *field) {
  const float query[] = {0, 0};
  vecdb_search_params params = search(query, 8, NULL);
  vecdb_group_by by = {sizeof by, 4, field};
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[MAX_HITS];
  uint32_t counts[8];
  vecdb_rows *rows;
  at_ok(vecdb_search_groups(coll, &params, &by, hits, counts, &info, &rows, &at_err));
  check_group(hits, counts, 0, 4, (int64_t[]){0, 500, 1000}, 3);
  check_group(hits, counts, 1, 4, (int64_t[]){1, 2, 3, 4}, 4);
  check_group(hits, counts, 2, 4, (int64_t[]){1500, 2000, 2500}, 3);
  check_group(hits, counts, 3, 4, (int64_t[]){3000, 3500, 4000}, 3);
  check_group(hits, counts, 4, 4, (int64_t[]){4500, 5000}, 2);
  check_group(hits, counts, 5, 4, (int64_t[]){5500}, 1); /* null */
  assert_int_equal(counts[6], 0);
  assert_int_equal(counts[7], 0);
  assert_int_equal(vecdb_rows_count(rows), 16);
  assert_int_equal(vecdb_rows_value(rows, hits[5 * 4].row, 0).as.integer, 5500);
  assert_true(info.segments > 0 && info.elapsed_ns > 0 && !info.partial);
  vecdb_rows_free(rows);
  params.filter.text = "id >= 1200 and id < 4600";
  params.k = 3;
  by.hits = 2;
  at_ok(vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  check_group(hits, counts, 0, 2, (int64_t[]){1200, 1201}, 2);
  check_group(hits, counts, 1, 2, (int64_t[]){1500, 2000}, 2);
  check_group(hits, counts, 2, 2, (int64_t[]){3000, 3500}, 2);
}

static void test_hidden_groups(void **state) {
  (void)state;
  const int32_t indexes[] = {VECDB_INDEX_FLAT, VECDB_INDEX_HNSW, VECDB_INDEX_IVF_FLAT};
  for (size_t i = 0; i < AT_COUNT(indexes); i++) {
    vecdb *db = at_open(":memory:", NULL);
    vecdb_collection *coll = make(db, indexes[i]);
    hidden(coll, "g");
    at_ok(vecdb_compact(coll, NULL, &at_err));
    hidden(coll, "g");
    hidden(coll, "name");
    vecdb_collection_release(coll);
    at_close(db);
  }
}

/* Several queries have their own groups; a filter that passes nothing gives none. */
static void test_queries(void **state) {
  (void)state;
  const float queries[] = {3001, 0, 501, 0};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db, VECDB_INDEX_FLAT);
  vecdb_search_params params = search(queries, 2, NULL);
  vecdb_group_by by = {sizeof by, 0, "g"};
  vecdb_hit hits[4];
  uint32_t counts[4];
  params.n_queries = 2;
  at_ok(vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  for (int i = 0; i < 4; i++)
    assert_int_equal(counts[i], 1);
  assert_int_equal(hits[0].id, 3001);
  assert_int_equal(hits[1].id, 3000);
  assert_int_equal(hits[2].id, 501);
  assert_int_equal(hits[3].id, 500);
  params.filter.text = "g == 3";
  at_ok(vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  for (int i = 0; i < 4; i++)
    assert_int_equal(counts[i], 0);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_mistakes(void **state) {
  (void)state;
  const float query[] = {0, 0};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db, VECDB_INDEX_FLAT);
  vecdb_search_params params = search(query, 2, NULL);
  vecdb_group_by by = {sizeof by, 1, "d"};
  vecdb_hit hits[4];
  uint32_t counts[2];
  vecdb_rows *rows = (vecdb_rows *)(void *)&by;
  at_fails(VECDB_ERR_TYPE,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, &rows, &at_err));
  assert_null(rows);
  by.field = "v";
  at_fails(VECDB_ERR_TYPE,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  by.field = "G";
  at_fails(VECDB_ERR_UNKNOWN_FIELD,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  by.field = NULL;
  at_fails(VECDB_ERR_ARGUMENT,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  by.field = "g";
  by.hits = VECDB_MAX_K / 2 + 1;
  at_fails(VECDB_ERR_K, vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  by.hits = 1;
  by.size = 1;
  at_fails(VECDB_ERR_OPTION,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT,
           vecdb_search_groups(coll, &params, NULL, hits, counts, NULL, NULL, &at_err));
  by.size = sizeof by;
  at_fails(VECDB_ERR_ARGUMENT,
           vecdb_search_groups(coll, &params, &by, NULL, counts, NULL, NULL, &at_err));
  params.k = 0;
  at_fails(VECDB_ERR_K, vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  params.k = 2;
  int32_t cancel = 1;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &cancel;
  params.control = &control;
  at_fails(VECDB_ERR_CANCELLED,
           vecdb_search_groups(coll, &params, &by, hits, counts, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hidden_groups),
      cmocka_unit_test(test_queries),
      cmocka_unit_test(test_mistakes),
  };
  return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
