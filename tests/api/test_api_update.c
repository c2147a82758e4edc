/* test_api_update.c - changing some fields of rows by key, through the public interface. That it is
   atomic, durable and loses nothing is for tests/model, tests/crash and tests/fault to find. */
#include "tlib/apitest.h"

/* Row `id` of the small collection, and the rows that hold the values. */
struct small_row {
  vecdb_rows *rows;
  vecdb_value n, s, t, v;
};

static struct small_row get(vecdb_collection *coll, int64_t id) {
  static const char *const fields[] = {"n", "s", "t", "v"};
  struct small_row row;
  vecdb_keys keys = {.integers = &id, .n = 1};
  at_ok(vecdb_get(coll, &keys, fields, 4, NULL, &row.rows, &at_err));
  assert_int_equal(vecdb_rows_count(row.rows), 1);
  row.n = vecdb_rows_value(row.rows, 0, 1);
  row.s = vecdb_rows_value(row.rows, 0, 2);
  row.t = vecdb_rows_value(row.rows, 0, 3);
  row.v = vecdb_rows_value(row.rows, 0, 4);
  return row;
}

/* As at_put made it, but for n and s (NULL: null). */
static void check_row(vecdb_collection *coll, int64_t id, int32_t n, const char *s) {
  const float v[] = {(float)id, (float)(id % 7), 0, 1};
  struct small_row row = get(coll, id);
  assert_int_equal(row.n.as.integer, n);
  assert_int_equal(row.s.type, s ? VECDB_VARCHAR : 0);
  if (s) {
    assert_int_equal(row.s.length, strlen(s));
    assert_memory_equal(row.s.as.data, s, row.s.length);
  }
  assert_int_equal(row.t.length, 0);
  assert_memory_equal(row.v.as.data, v, sizeof v);
  vecdb_rows_free(row.rows);
}

static int update(vecdb_collection *coll, const vecdb_column *columns, uint32_t n_columns,
                  uint32_t n_rows, uint32_t flags, uint8_t *found) {
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, n_columns, n_rows};
  return vecdb_update(coll, &batch, flags, found, &at_err);
}

/* The same over rows in memory, in files, and in both. */
static void test_fields(void **state) {
  (void)state;
  for (int kind = 0; kind < 3; kind++) {
    vecdb *db = at_open(":memory:", NULL);
    vecdb_collection *coll = at_small(db, "c");
    at_put(coll, 0, 20);
    if (kind)
      at_ok(vecdb_flush(coll, NULL, &at_err));
    if (kind == 2)
      at_put(coll, 3, 1);
    uint8_t found[4] = {9, 9, 9, 9};
    const vecdb_column columns[] = {
        {.field = "s", .data = (const char *[]){"x", "y", "new", "z"},
         .valid = (const uint8_t[]){1, 1, 0, 1}},
        {.field = "id", .data = (int64_t[]){3, 99, 7, 3}}};
    at_ok(update(coll, columns, 2, 4, 0, found));
    assert_memory_equal(found, ((uint8_t[]){0, 0, 1, 1}), 4);
    check_row(coll, 3, 3, "z");
    check_row(coll, 7, 7, NULL);
    check_row(coll, 8, 8, "s8");
    assert_int_equal(at_count(coll, NULL), 20);
    assert_int_equal(at_count(coll, "s == \"z\""), 1);
    assert_int_equal(at_count(coll, "s == \"s7\""), 1); /* of 17 */
    const vecdb_column numbers[] = {{.field = "id", .data = (int64_t[]){3}},
                                    {.field = "n", .data = (int32_t[]){-1}}};
    at_ok(update(coll, numbers, 2, 1, 0, NULL));
    check_row(coll, 3, -1, "z");
    at_ok(vecdb_compact(coll, NULL, &at_err));
    check_row(coll, 3, -1, "z");
    vecdb_collection_release(coll);
    at_close(db);
  }
}

/* A vector that is given is searched for at its new place, others at theirs. */
static void test_vectors(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 50);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  const float v[] = {1000, 0, 0, 1};
  const vecdb_column moved[] = {{.field = "id", .data = (int64_t[]){7}}, {.field = "v", .data = v}};
  const vecdb_column named[] = {{.field = "id", .data = (int64_t[]){8}},
                                {.field = "n", .data = (int32_t[]){-8}}};
  at_ok(update(coll, moved, 2, 1, 0, NULL));
  at_ok(update(coll, named, 2, 1, 0, NULL));
  const float query[] = {999, 0, 0, 1}, other[] = {8, 1, 0, 1};
  vecdb_search_params params = at_search(query, 1, NULL);
  vecdb_hit hit;
  uint32_t count;
  at_ok(vecdb_search(coll, &params, &hit, &count, NULL, NULL, &at_err));
  assert_int_equal(hit.id, 7);
  params.queries = other;
  params.filter.text = "n == -8";
  at_ok(vecdb_search(coll, &params, &hit, &count, NULL, NULL, &at_err));
  assert_int_equal(count, 1);
  assert_int_equal(hit.id, 8);
  assert_true(hit.score == 0);
  struct small_row row = get(coll, 7);
  assert_int_equal(row.n.as.integer, 7);
  assert_memory_equal(row.v.as.data, v, sizeof v);
  vecdb_rows_free(row.rows);
  vecdb_collection_release(coll);
  at_close(db);
}

/* New rows take nulls and defaults, and cannot do without what has none. */
static void test_inserting(void **state) {
  (void)state;
  const float v[2][4] = {{20, 6, 0, 1}, {5, 5, 0, 1}};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  uint8_t found[2];
  vecdb_column columns[] = {{.field = "id", .data = (int64_t[]){5, 20}},
                            {.field = "n", .data = (int32_t[]){50, 200}},
                            {.field = "v", .data = v}};
  at_fails(VECDB_ERR_MISSING_FIELD, update(coll, columns, 2, 2, VECDB_UPDATE_INSERT, found));
  assert_int_equal(at_err.row, 1);
  assert_string_equal(at_err.field, "v");
  check_row(coll, 5, 5, "s5");
  columns[0].data = (int64_t[]){20, 5};
  columns[1].data = (int32_t[]){200, 50};
  at_ok(update(coll, columns, 3, 2, VECDB_UPDATE_INSERT, found));
  assert_memory_equal(found, ((uint8_t[]){0, 1}), 2);
  check_row(coll, 5, 50, "s5");
  check_row(coll, 20, 200, NULL);
  assert_int_equal(at_count(coll, NULL), 11);
  columns[1].data = NULL; /* the default, and n has none */
  at_fails(VECDB_ERR_NULL_VALUE, update(coll, columns, 2, 1, 0, NULL));
  const vecdb_column tags[] = {{.field = "id", .data = (int64_t[]){5}}, {.field = "t"}};
  at_ok(update(coll, tags, 2, 1, 0, NULL));
  check_row(coll, 5, 50, "s5");
  vecdb_collection_release(coll);
  at_close(db);
}

/* Keys that the database gives can be updated and not made. */
static void test_automatic_keys(void **state) {
  (void)state;
  const vecdb_field fields[] = {
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_L2},
      {.name = "word", .type = VECDB_VARCHAR, .max_length = 9, .flags = VECDB_NULLABLE},
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "auto", &schema, &coll, &at_err));
  const vecdb_column v = {.field = "v", .data = (float[]){1, 2}};
  vecdb_batch batch = {sizeof batch, sizeof v, &v, 1, 2};
  int64_t ids[2];
  at_ok(vecdb_insert(coll, &batch, ids, &at_err));
  const vecdb_column words[] = {{.field = "id", .data = ids},
                                {.field = "word", .data = (const char *[]){"one", "two"}}};
  at_fails(VECDB_ERR_ARGUMENT, update(coll, words, 2, 2, VECDB_UPDATE_INSERT, NULL));
  at_ok(update(coll, words, 2, 2, 0, NULL));
  assert_int_equal(at_count(coll, "word == \"two\""), 1);
  assert_int_equal(at_count(coll, NULL), 2);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_mistakes(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  struct at_content before = at_content(coll);
  const vecdb_column id = {.field = "id", .data = (int64_t[]){1, 2}};
  const vecdb_column n = {.field = "n", .data = (int32_t[]){5, 6}};
  const vecdb_column odd = {.field = "m", .data = (int32_t[]){5, 6}};
  const vecdb_column none = {.data = (int32_t[]){5, 6}};
  const vecdb_column v = {.field = "v", .data = (float[]){1, 2, at_nan(), 4}};
  const vecdb_column s = {.field = "s", .data = (const char *[]){"a", "\xff"}};
  at_fails(VECDB_ERR_MISSING_FIELD, update(coll, &n, 1, 2, 0, NULL));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, update(coll, (vecdb_column[]){id, odd}, 2, 2, 0, NULL));
  at_fails(VECDB_ERR_ARGUMENT, update(coll, (vecdb_column[]){id, n, n}, 3, 2, 0, NULL));
  at_fails(VECDB_ERR_ARGUMENT, update(coll, (vecdb_column[]){id, none}, 2, 2, 0, NULL));
  at_fails(VECDB_ERR_NOT_FINITE, update(coll, (vecdb_column[]){id, v}, 2, 1, 0, NULL));
  at_fails(VECDB_ERR_UTF8, update(coll, (vecdb_column[]){id, s}, 2, 2, 0, NULL));
  assert_int_equal(at_err.row, 1);
  at_fails(VECDB_ERR_OPTION, update(coll, (vecdb_column[]){id, n}, 2, 2, 2, NULL));
  at_fails(VECDB_ERR_ARGUMENT, update(coll, (vecdb_column[]){id, n}, 2, 0, 0, NULL));
  at_fails(VECDB_ERR_ARGUMENT, update(coll, NULL, 2, 2, 0, NULL));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_update(coll, NULL, 0, NULL, &at_err));
  at_same(before, at_content(coll));
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  at_fails(VECDB_ERR_CLOSED, update(coll, (vecdb_column[]){id, n}, 2, 2, 0, NULL));
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fields),         cmocka_unit_test(test_vectors),
      cmocka_unit_test(test_inserting),      cmocka_unit_test(test_automatic_keys),
      cmocka_unit_test(test_mistakes),
  };
  return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
