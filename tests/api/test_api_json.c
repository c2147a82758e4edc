/* test_api_json.c - JSON fields through the interface: given loosely, read compact, updated, added
   to a live collection, and asked by path; on disk, in a backup, for a reader. Texts and filters
   in all forms: tests/unit/test_filter_json.c; random use with crashes: tests/model. */
#include "tlib/apitest.h"

static const vecdb_field fields[] = {
    {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
    {.name = "meta", .type = VECDB_JSON, .flags = VECDB_NULLABLE},
    {.name = "kind", .type = VECDB_JSON, .max_length = 40, .flags = VECDB_HAS_DEFAULT,
     .default_value = {VECDB_JSON, 23, {.data = "{ \"a\" : 0, \"a\": [ 1 ] }"}, 0}},
    {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};

static vecdb_collection *create(vecdb *db) {
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  return coll;
}

static int put(vecdb_collection *coll, int64_t id, const char *field, const char *json) {
  const float v[2] = {(float)id, 1};
  const uint8_t valid = json != NULL;
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "v", .data = v},
                                  {.field = field, .data = &json, .valid = &valid}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 1};
  return vecdb_upsert(coll, &batch, NULL, &at_err);
}

/* The value of a field must be that text, or null. */
static void check(vecdb_collection *coll, int64_t id, const char *field, const char *json) {
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_rows *rows;
  at_ok(vecdb_get(coll, &keys, &field, 1, NULL, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), 1);
  vecdb_value v = vecdb_rows_value(rows, 0, 1);
  assert_int_equal(v.type, json ? VECDB_JSON : 0);
  if (json && (v.length != strlen(json) || memcmp(v.as.data, json, v.length) != 0))
    fail_msg("%s of row %d is %.*s, not %s", field, (int)id, (int)v.length,
             (const char *)v.as.data, json);
  vecdb_rows_free(rows);
}

static void fill(vecdb_collection *coll) {
  at_ok(put(coll, 1, "meta", " {\"tags\": [\"x\", \"y\"], \"n\": {\"deep\": 5}} "));
  at_ok(put(coll, 2, "meta", "{\"tags\":[\"y\"],\"n\":\"five\",\"n\":null}"));
  at_ok(put(coll, 3, "meta", NULL));
  at_ok(put(coll, 4, "kind", "\"\\u0061\""));
  at_ok(put(coll, 5, "meta", "[9007199254740993, 1.50]"));
}

static void check_filled(vecdb_collection *coll) {
  check(coll, 1, "meta", "{\"tags\":[\"x\",\"y\"],\"n\":{\"deep\":5}}");
  check(coll, 2, "meta", "{\"tags\":[\"y\"],\"n\":null}");
  check(coll, 3, "meta", NULL);
  check(coll, 3, "kind", "{\"a\":[1]}");
  check(coll, 4, "kind", "\"a\"");
  check(coll, 5, "meta", "[9007199254740993,1.50]");
  assert_int_equal(at_count(coll, "meta[\"n\"][\"deep\"] > 3"), 1);
  assert_int_equal(at_count(coll, "meta['tags'][0] == 'y'"), 1);
  assert_int_equal(at_count(coll, "json_contains(meta['tags'], 'y')"), 2);
  assert_int_equal(at_count(coll, "exists meta['tags']"), 2);
  assert_int_equal(at_count(coll, "meta is null"), 2);
  assert_int_equal(at_count(coll, "meta['n'] is null"), 4);
  assert_int_equal(at_count(coll, "meta[0] == 9007199254740993"), 1);
  assert_int_equal(at_count(coll, "meta[0] == 9007199254740992"), 0);
  assert_int_equal(at_count(coll, "kind['a'][0] == 1"), 4);
  assert_int_equal(at_count(coll, "kind == 'a'"), 1);
  const float query[2] = {9, 1};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[2];
  uint32_t n;
  params.k = 2;
  params.queries = query;
  params.filter.text = "meta['tags'][0] in ['x', 'y']";
  at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 2);
  assert_int_equal(hits[0].id, 2);
}

/* In memory, in files, merged, opened again, in a backup, and for a reader. */
static void test_places(void **state) {
  (void)state;
  char *folder = at_folder();
  char path[512], copy[512];
  snprintf(path, sizeof path, "%s/db", folder);
  snprintf(copy, sizeof copy, "%s/copy", folder);
  vecdb *db = at_open(path, NULL), *reader;
  vecdb_collection *coll = create(db);
  fill(coll);
  check_filled(coll);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  check_filled(coll);
  fill(coll);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  check_filled(coll);
  at_ok(vecdb_backup(db, copy, NULL, &at_err));
  fill(coll); /* into the log */
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY;
  for (int round = 0; round < 3; round++) {
    at_ok(vecdb_open(round ? copy : path, round < 2 ? &options : NULL, &reader, &at_err));
    vecdb_collection *read;
    at_ok(vecdb_collection_get(reader, "c", &read, &at_err));
    check_filled(read);
    assert_int_equal(vecdb_collection_schema(read)->fields[1].max_length, VECDB_MAX_JSON);
    at_ok(vecdb_check(reader, NULL, NULL, NULL, &at_err));
    vecdb_collection_release(read);
    at_close(reader);
  }
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(path, NULL);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  check_filled(coll);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

static void test_refused(void **state) {
  (void)state;
  char *folder = at_folder(), *deep = calloc(1, 2000), *large = malloc(VECDB_MAX_JSON + 2);
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = create(db);
  fill(coll);
  at_fails(VECDB_ERR_JSON, put(coll, 1, "meta", "{\"a\": nan}"));
  assert_string_equal(at_err.field, "meta");
  assert_int_equal(at_err.row, 0);
  assert_non_null(strstr(at_err.message, "byte 6"));
  at_fails(VECDB_ERR_JSON, put(coll, 1, "meta", ""));
  at_fails(VECDB_ERR_UTF8, put(coll, 1, "meta", "\"\xff\""));
  memset(deep, '[', VECDB_MAX_JSON_DEPTH + 1);
  at_fails(VECDB_ERR_LIMIT, put(coll, 1, "meta", deep));
  memset(large, ' ', VECDB_MAX_JSON + 1);
  large[0] = '1';
  large[VECDB_MAX_JSON + 1] = '\0';
  at_fails(VECDB_ERR_TOO_LONG, put(coll, 1, "meta", large));
  at_fails(VECDB_ERR_TOO_LONG,
           put(coll, 1, "kind", "\"0123456789012345678901234567890123456789\""));
  at_fails(VECDB_ERR_NULL_VALUE, put(coll, 1, "kind", NULL));
  check_filled(coll);
  large[VECDB_MAX_JSON] = '\0';
  at_ok(put(coll, 6, "meta", large));
  check(coll, 6, "meta", "1");
  uint64_t count;
  vecdb_filter filter = {.text = "meta['a'] =="};
  at_fails(VECDB_ERR_FILTER, vecdb_count(coll, &filter, &count, &at_err));
  assert_int_equal(at_err.position, 12);
  filter.text = "meta['a'] == meta['b']";
  at_fails(VECDB_ERR_TYPE, vecdb_count(coll, &filter, &count, &at_err));
  filter.text = "meta[id] == 1";
  at_fails(VECDB_ERR_TYPE, vecdb_count(coll, &filter, &count, &at_err));
  assert_int_equal(at_err.position, 5);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
  free(deep);
  free(large);
}

/* One field of a row changes, and one comes to all rows, with a default value made compact. */
static void test_changes(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = create(db);
  const int64_t ids[] = {2, 3};
  const char *texts[] = {"{\"m\" : 1, \"m\" : 2}", "[ ]"};
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "meta", .data = texts}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 2};
  const vecdb_field more = {.name = "more", .type = VECDB_JSON, .flags = VECDB_HAS_DEFAULT,
                            .default_value = {VECDB_JSON, 9, {.data = "{\"a\" : 1}"}, 0}};
  const vecdb_schema added = {sizeof added, sizeof more, NULL, &more, 1};
  fill(coll);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_update(coll, &batch, 0, NULL, &at_err));
  at_ok(vecdb_fields_add(coll, &added, NULL, &at_err));
  for (int round = 0; round < 3; round++) {
    check(coll, 2, "meta", "{\"m\":2}");
    check(coll, 3, "meta", "[]");
    check(coll, 3, "kind", "{\"a\":[1]}");
    check(coll, 1, "more", "{\"a\":1}");
    assert_int_equal(at_count(coll, "more['a'] == 1"), 5);
    assert_int_equal(at_count(coll, "meta['m'] == 2"), 1);
    if (round == 0)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  }
  at_ok(vecdb_delete_where(coll, &(vecdb_filter){.text = "exists meta['m']"}, NULL, NULL, &at_err));
  assert_int_equal(at_count(coll, NULL), 4);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* A reader that follows sees values of JSON change by upserts, updates of one field, and merges. */
static void test_follower(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(folder, &options);
  vecdb_collection *coll = create(db), *seen;
  options.flags |= VECDB_READ_ONLY | VECDB_FOLLOW;
  vecdb *reader = at_open(folder, &options);
  at_ok(vecdb_collection_get(reader, "c", &seen, &at_err));
  const int64_t id = 2;
  const char *text = "{\"n\": {\"deep\" : 6}}";
  const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "meta", .data = &text}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  for (int round = 0; round < 3; round++) {
    fill(coll);
    if (round == 1)
      at_ok(vecdb_flush(coll, NULL, &at_err));
    if (round == 2)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    at_ok(vecdb_refresh(reader, 0, NULL, &at_err));
    check_filled(seen);
    at_ok(vecdb_update(coll, &batch, 0, NULL, &at_err));
    assert_int_equal(at_count(seen, "meta['n']['deep'] > 3"), 1);
    at_ok(vecdb_refresh(reader, 0, NULL, &at_err));
    assert_int_equal(at_count(seen, "meta['n']['deep'] > 3"), 2);
    check(seen, 2, "meta", "{\"n\":{\"deep\":6}}");
    check(seen, 2, "kind", "{\"a\":[1]}");
  }
  vecdb_collection_release(seen);
  at_close(reader);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_changes),
      cmocka_unit_test(test_follower),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
