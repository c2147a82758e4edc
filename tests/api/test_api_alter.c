/* test_api_alter.c - fields that come, go and get other names in a collection that is in use, and
   rows that expire. Random ones, with crashes: tests/model; beside writers: tests/fault. */
#include "tlib/apitest.h"

static const vecdb_field score_field = {.name = "score", .type = VECDB_INT32,
                                        .flags = VECDB_HAS_DEFAULT,
                                        .default_value = {.type = VECDB_INT32, .as.integer = 7}};
static const vecdb_field note_field = {.name = "note", .type = VECDB_VARCHAR, .max_length = 2000,
                                       .flags = VECDB_NULLABLE};

static int add(vecdb_collection *coll, const vecdb_field *fields, uint32_t n) {
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, n};
  return vecdb_fields_add(coll, &schema, NULL, &at_err);
}

/* The value of a field in one row, and the rows that hold it. */
static vecdb_value value_of(vecdb_collection *coll, int64_t id, const char *field,
                            vecdb_rows **rows) {
  vecdb_keys keys = {.integers = &id, .n = 1};
  at_ok(vecdb_get(coll, &keys, &field, 1, NULL, rows, &at_err));
  assert_int_equal(vecdb_rows_count(*rows), 1);
  return vecdb_rows_value(*rows, 0, 1);
}

static void check_text(vecdb_collection *coll, int64_t id, const char *field, const char *text) {
  vecdb_rows *rows;
  vecdb_value v = value_of(coll, id, field, &rows);
  assert_int_equal(v.type, text ? VECDB_VARCHAR : 0);
  if (text) {
    assert_int_equal(v.length, strlen(text));
    assert_memory_equal(v.as.data, text, v.length);
  }
  vecdb_rows_free(rows);
}

static void check_number(vecdb_collection *coll, int64_t id, const char *field, int64_t number) {
  vecdb_rows *rows;
  assert_int_equal(value_of(coll, id, field, &rows).as.integer, number);
  vecdb_rows_free(rows);
}

static void write_one(vecdb_collection *coll, int64_t id, const char *name, const char *note,
                      int32_t score) {
  const float v[4] = {(float)id, 0, 0, 1};
  const int32_t n = 5;
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "n", .data = &n},
                                  {.field = "v", .data = v},
                                  {.field = "score", .data = &score},
                                  {.field = name, .data = &note}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 5, 1};
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
}

/* What must hold of rows 0 .. 99 from before the fields, and 100, 101 and 3 from after. */
static void check_added(vecdb_collection *coll, const char *note) {
  char filter[80];
  check_text(coll, 5, note, NULL);
  check_number(coll, 5, "score", 7);
  check_text(coll, 101, note, "new");
  check_number(coll, 101, "score", 9);
  check_text(coll, 3, note, "replaced");
  assert_int_equal(at_count(coll, NULL), 102);
  assert_int_equal(at_count(coll, "score == 7"), 99);
  assert_int_equal(at_count(coll, "score in [7, 9]"), 100);
  assert_int_equal(at_count(coll, "score < 9 and n < 50"), 50);
  snprintf(filter, sizeof filter, "%s is null", note);
  assert_int_equal(at_count(coll, filter), 99);
  snprintf(filter, sizeof filter, "%s is not null", note);
  assert_int_equal(at_count(coll, filter), 3);
  snprintf(filter, sizeof filter, "%s like \"%%e%%\"", note);
  assert_int_equal(at_count(coll, filter), 3);
  snprintf(filter, sizeof filter, "not (%s == \"new\")", note);
  assert_int_equal(at_count(coll, filter), 2);
  const float query[] = {100, 0, 0, 1};
  vecdb_search_params params = at_search(query, 3, "score == 7");
  vecdb_hit hits[3];
  uint32_t count;
  at_ok(vecdb_search(coll, &params, hits, &count, NULL, NULL, &at_err));
  assert_int_equal(count, 3);
  assert_int_equal(hits[0].id, 99);
}

static void test_added_fields(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = at_small(db, "c");
  const vecdb_field fields[] = {score_field, note_field};
  at_put(coll, 0, 50);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 50, 50); /* in memory */
  const vecdb_schema *before = vecdb_collection_schema(coll);
  at_ok(add(coll, fields, 2));
  assert_int_equal(before->n_fields, 5);
  assert_int_equal(vecdb_collection_schema(coll)->n_fields, 7);
  assert_string_equal(vecdb_collection_schema(coll)->fields[6].name, "note");
  write_one(coll, 100, "note", "some", 8);
  write_one(coll, 101, "note", "new", 9);
  write_one(coll, 3, "note", "replaced", 10);
  check_added(coll, "note");
  at_ok(vecdb_flush(coll, NULL, &at_err));
  check_added(coll, "note");
  at_ok(vecdb_field_rename(coll, "note", "remark", NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_count(coll, &(vecdb_filter){.text = "note is null"},
                                                &(uint64_t){0}, &at_err));
  for (int round = 0; round < 3; round++) {
    check_added(coll, "remark");
    if (round == 1)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    else
      at_ok(vecdb_backup(db, at_path(folder, round ? "copy2" : "copy1"), NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    check_added(coll, "remark");
  }
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(at_path(folder, "copy1"), NULL);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  check_added(coll, "remark");
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(strdup(at_path(folder, "copy1")));
  at_remove(strdup(at_path(folder, "copy2")));
  at_remove(folder);
}

/* A field of that name comes back empty, and its bytes go with a merge. */
static void test_dropped_fields(void **state) {
  (void)state;
  char *folder = at_folder(), text[1500];
  vecdb_stats stats = VECDB_STATS_INIT;
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = at_small(db, "c");
  const vecdb_field fields[] = {note_field, score_field};
  at_ok(add(coll, fields, 2));
  for (int i = 0; i < 100; i++) {
    for (size_t j = 0; j + 1 < sizeof text; j++)
      text[j] = (char)('a' + (i * 7 + (int)j * 31) % 26);
    text[sizeof text - 1] = '\0';
    write_one(coll, i, "note", text, i);
  }
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  uint64_t large = stats.bytes_files;
  at_ok(vecdb_field_drop(coll, "note", NULL, &at_err));
  assert_int_equal(vecdb_collection_schema(coll)->n_fields, 6);
  check_number(coll, 9, "score", 9); /* whose place has changed */
  assert_int_equal(at_count(coll, "score > 90"), 9);
  at_ok(add(coll, &note_field, 1));
  check_text(coll, 9, "note", NULL);
  write_one(coll, 9, "note", "short", 90);
  for (int round = 0; round < 2; round++) {
    check_text(coll, 9, "note", "short");
    assert_int_equal(at_count(coll, "note is null"), 99);
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    at_ok(vecdb_compact(coll, NULL, &at_err));
  }
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_true(stats.bytes_files + 140000 < large);
  check_text(coll, 9, "note", "short");
  check_number(coll, 9, "score", 90);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* The key and a vector under other names; the vector's index goes with it. */
static void test_renamed_fields(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 1000);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_ok(vecdb_field_rename(coll, "v", "where", NULL, &at_err));
  at_ok(vecdb_field_rename(coll, "id", "key", NULL, &at_err));
  at_ok(vecdb_field_drop(coll, "n", NULL, &at_err)); /* it stands before the vector */
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  flat.type = VECDB_INDEX_HNSW;
  const float query[] = {500, 3, 0, 1};
  vecdb_search_params params = at_search(query, 5, NULL);
  params.field = "where";
  params.plan = VECDB_PLAN_GRAPH;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[5];
  uint32_t count;
  for (int round = 0; round < 2; round++) {
    at_ok(vecdb_search(coll, &params, hits, &count, &info, NULL, &at_err));
    assert_int_equal(count, 5);
    assert_int_equal(hits[0].id, 500);
    assert_int_equal(info.segments_graph, 1);
    at_ok(vecdb_index_create(coll, "where", &flat, NULL, &at_err));
  }
  params.field = "v";
  at_fails(VECDB_ERR_UNKNOWN_FIELD,
           vecdb_search(coll, &params, hits, &count, NULL, NULL, &at_err));
  assert_int_equal(at_count(coll, "key < 10"), 10);
  vecdb_collection_release(coll);
  at_close(db);
}

/* What was begun before a change ends as it began. */
static void test_readers_meanwhile(void **state) {
  (void)state;
  static const char *const fields[] = {"n"};
  const float query[] = {0, 0, 0, 1};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 200);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 200, 100);
  vecdb_search_params params = at_search(query, 1, "n < 50");
  params.fields = fields;
  params.n_fields = 1;
  vecdb_iterator *it;
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  at_ok(vecdb_field_drop(coll, "n", NULL, &at_err));
  at_ok(add(coll, &score_field, 1));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  uint32_t all = 0, count = 1;
  while (count > 0) {
    vecdb_hit hits[16];
    vecdb_rows *rows;
    at_ok(vecdb_iterator_next(it, 16, hits, &count, &rows, &at_err));
    for (uint32_t i = 0; i < count; i++)
      assert_int_equal(vecdb_rows_value(rows, i, 1).as.integer, hits[i].id % 100);
    all += count;
    vecdb_rows_free(rows);
  }
  assert_int_equal(all, 150);
  vecdb_iterator_close(it);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_mistakes(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  struct at_content before = at_content(coll);
  vecdb_field bare = {.name = "bare", .type = VECDB_INT8};
  const vecdb_field vector = {.name = "w", .type = VECDB_FLOAT_VECTOR, .dim = 2};
  vecdb_field twice[] = {score_field, score_field};
  at_fails(VECDB_ERR_SCHEMA, add(coll, &bare, 1));
  bare.flags = VECDB_NULLABLE;
  bare.name = "not";
  at_fails(VECDB_ERR_NAME, add(coll, &bare, 1));
  bare.name = "n";
  at_fails(VECDB_ERR_EXISTS, add(coll, &bare, 1));
  at_fails(VECDB_ERR_SCHEMA, add(coll, &vector, 1));
  at_fails(VECDB_ERR_SCHEMA, add(coll, twice, 2));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_fields_add(coll, NULL, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_field_drop(coll, "m", NULL, &at_err));
  at_fails(VECDB_ERR_SCHEMA, vecdb_field_drop(coll, "id", NULL, &at_err));
  at_fails(VECDB_ERR_SCHEMA, vecdb_field_drop(coll, "v", NULL, &at_err));
  at_fails(VECDB_ERR_EXISTS, vecdb_field_rename(coll, "n", "s", NULL, &at_err));
  at_fails(VECDB_ERR_NAME, vecdb_field_rename(coll, "n", "a b", NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_field_rename(coll, "m", "o", NULL, &at_err));
  at_fails(VECDB_ERR_SCHEMA, vecdb_expire(coll, "n", 0, NULL, &at_err));
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_expire(coll, "m", 0, NULL, &at_err));
  at_fails(VECDB_ERR_LIMIT, vecdb_expire(coll, "id", UINT64_MAX, NULL, &at_err));
  at_same(before, at_content(coll));
  vecdb_field many[VECDB_MAX_FIELDS];
  char names[VECDB_MAX_FIELDS][8];
  for (uint32_t i = 0; i < VECDB_MAX_FIELDS; i++) {
    snprintf(names[i], sizeof names[i], "f%u", i);
    many[i] = bare;
    many[i].name = names[i];
  }
  at_fails(VECDB_ERR_LIMIT, add(coll, many, VECDB_MAX_FIELDS - 4));
  at_ok(add(coll, many, VECDB_MAX_FIELDS - 5));
  assert_int_equal(at_count(coll, "f100 is null and n < 5"), 5);
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  at_fails(VECDB_ERR_CLOSED, vecdb_field_drop(coll, "n", NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Rows that expire ------------------------------------------------------------------------ */

static uint64_t clock_ms;

static uint64_t clock_ns(void *user) {
  (void)user;
  return clock_ms * 1000000;
}

/* Rows id = 1 .. n, of which row i goes i seconds after the clock's 1000; every tenth stays. */
static vecdb_collection *expiring(vecdb *db, uint32_t n) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "until", .type = VECDB_INT64, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_L2}};
  int64_t ids[200], until[200];
  float v[200];
  uint8_t valid[200];
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = i + 1;
    until[i] = 1000 + 1000 * (i + 1);
    v[i] = (float)i;
    valid[i] = (i + 1) % 10 != 0;
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "until", .data = until, .valid = valid},
                                  {.field = "v", .data = v}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, n};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "e", &schema, &coll, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  return coll;
}

/* Every way of reading sees `n` rows, and row 1 no longer. */
static void check_left(vecdb_collection *coll, uint32_t n) {
  const float query = 0;
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = 200;
  params.queries = &query;
  vecdb_hit hits[200];
  uint32_t count;
  vecdb_rows *rows;
  vecdb_iterator *it;
  size_t n_ids;
  vecdb_keys keys = {.integers = (int64_t[]){1, 10}, .n = 2};
  at_ok(vecdb_search(coll, &params, hits, &count, NULL, NULL, &at_err));
  assert_int_equal(count, n);
  at_ok(vecdb_search_range(coll, &params, 1e9f, hits, &count, NULL, NULL, &at_err));
  assert_int_equal(count, n);
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  at_ok(vecdb_iterator_next(it, 200, hits, &count, NULL, &at_err));
  assert_int_equal(count, n);
  vecdb_iterator_close(it);
  assert_int_equal(at_count(coll, NULL), n);
  free(at_ids(coll, NULL, &n_ids));
  assert_int_equal(n_ids, n);
  uint8_t found[2];
  at_ok(vecdb_get(coll, &keys, NULL, 0, found, &rows, &at_err));
  assert_memory_equal(found, ((uint8_t[]){0, 1}), 2);
  assert_int_equal(vecdb_rows_count(rows), 1);
  vecdb_rows_free(rows);
}

static int insert(vecdb_collection *coll, int64_t id, int64_t until) {
  const float v = 0;
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "until", .data = &until},
                                  {.field = "v", .data = &v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  return vecdb_insert(coll, &batch, NULL, &at_err);
}

static void test_expiry(void **state) {
  (void)state;
  const vecdb_clock clock = {clock_ns, clock_ns, NULL};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.clock = &clock;
  options.flags = VECDB_HOST_DRIVEN;
  char *folder = at_folder();
  clock_ms = 1000;
  vecdb *db = at_open(folder, &options);
  vecdb_collection *coll = expiring(db, 200);
  uint64_t ttl = 1, deleted;
  assert_null(vecdb_expiry(coll, &ttl));
  clock_ms = 6500; /* the first five are over, when rows expire */
  assert_int_equal(at_count(coll, NULL), 200);
  at_ok(vecdb_expire(coll, "until", 0, NULL, &at_err));
  assert_string_equal(vecdb_expiry(coll, &ttl), "until");
  assert_int_equal(ttl, 0);
  check_left(coll, 195);
  at_fails(VECDB_ERR_SCHEMA, vecdb_field_drop(coll, "until", NULL, &at_err));
  at_ok(vecdb_field_rename(coll, "until", "when", NULL, &at_err));
  at_ok(vecdb_field_rename(coll, "when", "until", NULL, &at_err));
  clock_ms = 11500; /* 10 stays */
  check_left(coll, 191);
  /* A key that has gone is free; a row that has gone is neither deleted nor updated. */
  vecdb_keys keys = {.integers = (int64_t[]){1, 2, 20}, .n = 3};
  at_ok(vecdb_delete(coll, &keys, &deleted, &at_err));
  assert_int_equal(deleted, 1);
  at_fails(VECDB_ERR_EXISTS, insert(coll, 30, 5));
  at_ok(insert(coll, 3, 50000));
  at_ok(insert(coll, 4, 11500)); /* gone at once */
  const vecdb_column update[] = {{.field = "id", .data = (int64_t[]){3, 4, 5}},
                                 {.field = "until", .data = (int64_t[]){60000, 60000, 60000}}};
  vecdb_batch batch = {sizeof batch, sizeof *update, update, 2, 3};
  uint8_t found[3];
  at_ok(vecdb_update(coll, &batch, 0, found, &at_err));
  assert_memory_equal(found, ((uint8_t[]){1, 0, 0}), 3);
  at_ok(vecdb_delete_where(coll, &(vecdb_filter){.text = "id < 7"}, &deleted, NULL, &at_err));
  assert_int_equal(deleted, 1);
  check_left(coll, 190);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, &options);
  at_ok(vecdb_collection_get(db, "e", &coll, &at_err));
  assert_string_equal(vecdb_expiry(coll, NULL), "until");
  check_left(coll, 190);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* Merges leave expired rows out: those of the background where many have gone, and compact. */
static void test_reclaiming(void **state) {
  (void)state;
  const vecdb_clock clock = {clock_ns, clock_ns, NULL};
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb_stats stats = VECDB_STATS_INIT;
  bool more = true;
  options.clock = &clock;
  options.flags = VECDB_HOST_DRIVEN;
  clock_ms = 1000;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = expiring(db, 200);
  at_ok(vecdb_expire(coll, "until", 10000, NULL, &at_err)); /* ten seconds later than it says */
  clock_ms = 31500; /* rows 1 to 20, without 10 and 20 */
  check_left(coll, 182);
  while (more)
    at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, 200); /* too few for the background */
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, 182);
  clock_ms = 101500;
  for (more = true; more;)
    at_ok(vecdb_step(db, 0, 0, &more, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, 119);
  check_left(coll, 119);
  at_ok(vecdb_expire(coll, NULL, 0, NULL, &at_err)); /* what is left stays */
  clock_ms = 1000000;
  check_left(coll, 119);
  at_ok(vecdb_expire(coll, "until", 0, NULL, &at_err));
  check_left(coll, 20);
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_added_fields),      cmocka_unit_test(test_dropped_fields),
      cmocka_unit_test(test_renamed_fields),    cmocka_unit_test(test_readers_meanwhile),
      cmocka_unit_test(test_mistakes),          cmocka_unit_test(test_expiry),
      cmocka_unit_test(test_reclaiming),
  };
  return cmocka_run_group_tests_name("alter", tests, NULL, NULL);
}
