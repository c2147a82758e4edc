/*
 * test_api_rows.c - writing and reading rows through the public interface: upsert and delete, keys
 * that are given, text or automatic, paging, shapes of batches, result tables, defaults that are
 * computed.
 */
#include <ctype.h>

#include "tlib/apitest.h"
#include "tlib/memfault.h"

/* ---- Keys, upsert and delete ----------------------------------------------------------------- */

/* The value of n in the row with this key; -1 when there is none. */
static int64_t number_of(vecdb_collection *coll, int64_t id) {
  static const char *const fields[] = {"n"};
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_rows *rows;
  at_ok(vecdb_get(coll, &keys, fields, 1, NULL, &rows, &at_err));
  int64_t n = vecdb_rows_count(rows) ? vecdb_rows_value(rows, 0, 1).as.integer : -1;
  vecdb_rows_free(rows);
  return n;
}

/* Writes rows (id, n) with a vector each. */
static int write_numbers(vecdb_collection *coll, bool replace, const int64_t *ids,
                         const int32_t *numbers, uint32_t n) {
  static const float v[8][4];
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "n", .data = numbers},
                                  {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, n};
  int64_t out[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
  int rc = replace ? vecdb_upsert(coll, &batch, out, &at_err)
                   : vecdb_insert(coll, &batch, out, &at_err);
  for (uint32_t i = 0; i < n && !rc; i++)
    assert_int_equal(out[i], ids[i]);
  return rc;
}

/* The same steps over rows in memory (flush false) and in files. */
static void upsert_and_delete(bool flush) {
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_ok(write_numbers(coll, false, (int64_t[]){1, 2, 3}, (int32_t[]){10, 20, 30}, 3));
  if (flush)
    at_ok(vecdb_flush(coll, NULL, &at_err));
  at_fails(VECDB_ERR_EXISTS,
           write_numbers(coll, false, (int64_t[]){4, 5, 2}, (int32_t[]){40, 50, 99}, 3));
  assert_int_equal(at_err.row, 2);
  assert_string_equal(at_err.field, "id");
  assert_int_equal(at_count(coll, NULL), 3);
  assert_int_equal(number_of(coll, 2), 20);
  at_ok(write_numbers(coll, true, (int64_t[]){4, 2}, (int32_t[]){40, 21}, 2));
  if (flush)
    at_ok(vecdb_flush(coll, NULL, &at_err));
  assert_int_equal(at_count(coll, NULL), 4);
  assert_int_equal(number_of(coll, 2), 21);

  uint64_t deleted = 77;
  vecdb_keys keys = {.integers = (int64_t[]){2, 2, 9, 3}, .n = 4};
  at_ok(vecdb_delete(coll, &keys, &deleted, &at_err));
  assert_int_equal(deleted, 2);
  at_ok(vecdb_delete(coll, &keys, &deleted, &at_err));
  assert_int_equal(deleted, 0);
  assert_int_equal(number_of(coll, 2), -1);
  at_ok(write_numbers(coll, false, (int64_t[]){2}, (int32_t[]){22}, 1)); /* free again */
  assert_int_equal(number_of(coll, 2), 22);
  vecdb_filter filter = {.text = "n >= 22"};
  at_ok(vecdb_delete_where(coll, &filter, &deleted, NULL, &at_err));
  assert_int_equal(deleted, 2);
  assert_int_equal(at_count(coll, NULL), 1);
  at_ok(vecdb_delete_where(coll, &filter, &deleted, NULL, &at_err));
  assert_int_equal(deleted, 0);
  keys.n = 0;
  deleted = 77;
  at_ok(vecdb_delete(coll, &keys, &deleted, &at_err));
  assert_int_equal(deleted, 0);
  assert_int_equal(number_of(coll, 1), 10);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_upsert_and_delete(void **state) {
  (void)state;
  upsert_and_delete(false);
  upsert_and_delete(true);
}

static void test_last_of_a_batch_wins(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_ok(write_numbers(coll, false, (int64_t[]){5, 1, 5, 1, 5}, (int32_t[]){1, 2, 3, 4, 5}, 5));
  assert_int_equal(at_count(coll, NULL), 2);
  assert_int_equal(number_of(coll, 5), 5);
  assert_int_equal(number_of(coll, 1), 4);
  at_ok(write_numbers(coll, true, (int64_t[]){5, 5, 7}, (int32_t[]){6, 7, 8}, 3));
  assert_int_equal(at_count(coll, NULL), 3);
  assert_int_equal(number_of(coll, 5), 7);
  /* A fault in a row that would not stay is a fault all the same. */
  float v[][4] = {{0, 0, 0, 1}, {0, 0, 0, 1}};
  v[0][1] = at_nan();
  const vecdb_column columns[] = {{.field = "id", .data = (int64_t[]){8, 8}},
                                  {.field = "n", .data = (int32_t[]){1, 2}},
                                  {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 2};
  at_fails(VECDB_ERR_NOT_FINITE, vecdb_upsert(coll, &batch, NULL, &at_err));
  assert_int_equal(at_err.row, 0);
  assert_int_equal(at_count(coll, NULL), 3);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Keys as text ---------------------------------------------------------------------------- */

static vecdb_collection *texts_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "key", .type = VECDB_VARCHAR, .max_length = 12, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_IP},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "texts", &schema, &coll, &at_err));
  return coll;
}

static void check_texts(const vecdb_rows *rows, const char *const *expected, size_t n) {
  assert_int_equal(vecdb_rows_count(rows), n);
  for (size_t i = 0; i < n; i++) {
    vecdb_value v = vecdb_rows_value(rows, i, 0);
    assert_int_equal(v.type, VECDB_VARCHAR);
    assert_int_equal(v.length, strlen(expected[i]));
    assert_memory_equal(v.as.data, expected[i], v.length);
  }
}

static void test_text_keys(void **state) {
  (void)state;
  static const char *const sorted[] = {"", "B", "a", "a b", "ab", "b", "\xc3\xa4"};
  static const char *const given[] = {"b", "", "ab", "\xc3\xa4", "a", "B", "a b"};
  const float v[] = {1, 2, 3, 4, 5, 6, 7};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = texts_create(db);
  const vecdb_column columns[] = {{.field = "key", .data = given}, {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 7};
  int64_t ids[7];
  at_fails(VECDB_ERR_ARGUMENT, vecdb_insert(coll, &batch, ids, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_fails(VECDB_ERR_EXISTS, vecdb_insert(coll, &batch, NULL, &at_err));

  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, &params, &rows, &at_err));
  check_texts(rows, sorted, 7);
  vecdb_rows_free(rows);
  const vecdb_string after = {"a", 1};
  params.after.strings = &after;
  params.after.n = 1;
  params.limit = 2;
  at_ok(vecdb_query(coll, &params, &rows, &at_err));
  check_texts(rows, sorted + 3, 2);
  vecdb_rows_free(rows);

  const vecdb_string wanted[] = {{"ab", 2}, {"zz", 2}, {"abc", 1}, {NULL, 0}};
  const char *const there[] = {"ab", "a", ""};
  vecdb_keys keys = {.strings = wanted, .n = 4};
  at_ok(vecdb_get(coll, &keys, NULL, 0, NULL, &rows, &at_err));
  check_texts(rows, there, 3);
  vecdb_rows_free(rows);

  const float query = 1;
  vecdb_search_params search = at_search(&query, 2, NULL);
  vecdb_hit hits[2];
  uint32_t count;
  at_ok(vecdb_search(coll, &search, hits, &count, NULL, &rows, &at_err));
  assert_int_equal(hits[0].id, -1);
  check_texts(rows, (const char *const[]){"a b", "B"}, 2);
  vecdb_rows_free(rows);
  uint64_t deleted;
  at_ok(vecdb_delete(coll, &keys, &deleted, &at_err));
  assert_int_equal(deleted, 3);
  assert_int_equal(at_count(coll, "key like \"a%\""), 1);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Automatic keys -------------------------------------------------------------------------- */

static vecdb_collection *auto_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "auto", &schema, &coll, &at_err));
  return coll;
}

/* Inserts n rows; their ids must be larger than `last`. Returns the largest. */
static int64_t auto_insert(vecdb_collection *coll, uint32_t n, int64_t last) {
  const float v[10] = {0};
  int64_t ids[10] = {0};
  vecdb_column column = {.field = "v", .data = v};
  vecdb_batch batch = {sizeof batch, sizeof column, &column, 1, n};
  at_ok(vecdb_insert(coll, &batch, ids, &at_err));
  for (uint32_t i = 0; i < n; i++) {
    assert_true(ids[i] > last);
    last = ids[i];
  }
  return last;
}

static void test_automatic_keys(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll = auto_create(db);
  int64_t last = auto_insert(coll, 3, 0);
  assert_int_equal(last, 3);
  const float bad[] = {1, at_nan()};
  vecdb_column columns[] = {{.field = "v", .data = bad}, {.field = "id", .data = &last}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 1, 2};
  at_fails(VECDB_ERR_NOT_FINITE, vecdb_insert(coll, &batch, NULL, &at_err));
  batch.n_columns = 2;
  batch.n_rows = 1;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_insert(coll, &batch, NULL, &at_err));
  last = auto_insert(coll, 2, last);
  at_delete(coll, 1, (uint32_t)last); /* no key comes again, whoever has gone */
  for (int round = 0; round < 4; round++) {
    if (round % 2)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
    db = at_open(folder, NULL);
    at_ok(vecdb_collection_get(db, "auto", &coll, &at_err));
    int64_t before = last;
    last = auto_insert(coll, 2, last);
    assert_int_equal(at_count(coll, NULL), 2);
    at_delete(coll, before + 1, (uint32_t)(last - before));
  }
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- Paging and shapes of batches ------------------------------------------------------------ */

static void check_page(vecdb_collection *coll, const vecdb_query_params *params,
                       const int64_t *expected, size_t n) {
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, params, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), n);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(vecdb_rows_value(rows, i, 0).as.integer, expected[i]);
  vecdb_rows_free(rows);
}

static void test_paging(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 500, 500); /* the keys in no order, in files and in memory */
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, -100, 300);
  at_put(coll, 200, 300);
  at_delete(coll, 0, 100);
  int64_t expected[1000];
  size_t n = 0;
  for (int64_t id = -100; id < 1000; id++)
    if (id < 0 || id >= 100)
      expected[n++] = id;
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  check_page(coll, &params, expected, n);
  params.limit = 64;
  for (params.offset = 0; params.offset < n; params.offset += 64)
    check_page(coll, &params, expected + params.offset,
               n - params.offset < 64 ? n - (size_t)params.offset : 64);
  params.offset = n;
  check_page(coll, &params, expected, 0);
  params.offset = UINT64_MAX;
  check_page(coll, &params, expected, 0);
  params.offset = 3;
  params.limit = UINT32_MAX;
  check_page(coll, &params, expected + 3, n - 3);

  int64_t last = INT64_MIN; /* page by page behind the last key */
  params.after.integers = &last;
  params.after.n = 1;
  params.offset = 0;
  params.limit = 70;
  for (size_t at = 0; at < n; at += 70) {
    check_page(coll, &params, expected + at, n - at < 70 ? n - at : 70);
    last = expected[at + 70 <= n ? at + 69 : n - 1];
  }
  check_page(coll, &params, expected, 0);
  last = 0; /* a key that is not there */
  params.filter.text = "id % 10 == 0";
  params.limit = 3;
  check_page(coll, &params, (const int64_t[]){100, 110, 120}, 3);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Rows as an array of structs, with strides, some of them beyond a struct's own size. */
static void test_strides(void **state) {
  (void)state;
  struct row {
    float v[4];
    int64_t id;
    const char *s;
    int32_t n;
  };
  enum { STRIDE_ROWS = 5000 };
  struct row *rows = calloc(STRIDE_ROWS, sizeof *rows);
  for (int i = 0; i < STRIDE_ROWS; i++) {
    rows[i].id = i * 2;
    rows[i].n = i;
    rows[i].s = i % 2 ? "odd" : "even";
    rows[i].v[0] = (float)i;
  }
  const vecdb_column columns[] = {
      {.field = "v", .data = rows[0].v, .stride = sizeof *rows},
      {.field = "s", .data = &rows[0].s, .stride = sizeof *rows},
      {.field = "id", .data = &rows[0].id, .stride = sizeof *rows},
      {.field = "n", .data = &rows[0].n, .stride = sizeof *rows},
  };
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, STRIDE_ROWS};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  int64_t *ids = calloc(STRIDE_ROWS, sizeof *ids);
  at_ok(vecdb_insert(coll, &batch, ids, &at_err)); /* one call */
  for (int i = 0; i < STRIDE_ROWS; i++)
    assert_int_equal(ids[i], i * 2);
  memset(rows, 0xff, STRIDE_ROWS * sizeof *rows); /* the library has its own copy */
  assert_int_equal(at_count(coll, NULL), STRIDE_ROWS);
  assert_int_equal(at_count(coll, "s == \"odd\" and n % 2 == 1"), STRIDE_ROWS / 2);
  assert_int_equal(number_of(coll, 4000), 2000);
  free(ids);
  free(rows);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Which fields come, and how the table answers outside itself. */
static void test_result_tables(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 1, 3);
  const char *const fields[] = {"s", "n", "s", "id"};
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  params.fields = fields;
  params.n_fields = 4;
  vecdb_rows *rows;
  at_ok(vecdb_query(coll, &params, &rows, &at_err));
  assert_int_equal(vecdb_rows_n_fields(rows), 3); /* the key first, each field once */
  assert_string_equal(vecdb_rows_field(rows, 0), "id");
  assert_string_equal(vecdb_rows_field(rows, 1), "s");
  assert_string_equal(vecdb_rows_field(rows, 2), "n");
  assert_null(vecdb_rows_field(rows, 3));
  assert_int_equal(vecdb_rows_find(rows, "n"), 2);
  assert_int_equal(vecdb_rows_find(rows, "v"), -1);
  assert_int_equal(vecdb_rows_find(rows, NULL), -1);
  assert_int_equal(vecdb_rows_value(rows, 2, 2).as.integer, 3);
  assert_int_equal(vecdb_rows_value(rows, 3, 0).type, 0);
  assert_int_equal(vecdb_rows_value(rows, 0, 3).type, 0);
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  vecdb_value s = vecdb_rows_value(rows, 0, 1); /* rows outlive what they were read from */
  assert_int_equal(s.length, 2);
  assert_memory_equal(s.as.data, "s1", 2);
  vecdb_rows_free(rows);
  assert_int_equal(vecdb_rows_count(NULL), 0);
  assert_int_equal(vecdb_rows_n_fields(NULL), 0);
  assert_null(vecdb_rows_field(NULL, 0));
  assert_int_equal(vecdb_rows_find(NULL, "n"), -1);
  assert_int_equal(vecdb_rows_value(NULL, 0, 0).type, 0);
  vecdb_rows_free(NULL);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Defaults that are computed -------------------------------------------------------------- */

static uint64_t clock_ms;

static uint64_t clock_monotonic(void *user) {
  (void)user;
  return 1;
}

static uint64_t clock_wall(void *user) {
  (void)user;
  return clock_ms * 1000000 + 999999;
}

static const vecdb_clock test_clock = {clock_monotonic, clock_wall, NULL};

static vecdb *computed_open(const char *path, uint64_t seed) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.clock = &test_clock;
  options.seed = seed;
  return at_open(path, &options);
}

static vecdb_collection *computed_create(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "at", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW},
      {.name = "u", .type = VECDB_VARCHAR, .max_length = 40, .flags = VECDB_DEFAULT_UUID},
      {.name = "maybe", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  assert_int_equal(vecdb_collection_schema(coll)->fields[2].flags, VECDB_DEFAULT_UUID);
  return coll;
}

enum { COMPUTED_ROWS = 300 };

/* Rows `first` and on with the columns `more`. */
static void computed_put(vecdb_collection *coll, int64_t first, uint32_t n,
                         const vecdb_column *more, uint32_t n_more) {
  int64_t ids[COMPUTED_ROWS];
  float v[COMPUTED_ROWS];
  for (uint32_t i = 0; i < n; i++)
    v[i] = (float)(ids[i] = first + i);
  vecdb_column columns[8] = {{.field = "id", .data = ids}, {.field = "v", .data = v}};
  for (uint32_t i = 0; i < n_more; i++)
    columns[2 + i] = more[i];
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2 + n_more, n};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
}

/* The times and the UUID of a row; times are -1 when null. */
struct computed {
  int64_t at, maybe;
  char u[41];
};

static struct computed computed_of(vecdb_collection *coll, int64_t id) {
  static const char *const fields[] = {"at", "maybe", "u"};
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_rows *rows;
  at_ok(vecdb_get(coll, &keys, fields, 3, NULL, &rows, &at_err));
  assert_int_equal(vecdb_rows_count(rows), 1);
  vecdb_value at = vecdb_rows_value(rows, 0, 1), maybe = vecdb_rows_value(rows, 0, 2);
  vecdb_value u = vecdb_rows_value(rows, 0, 3);
  struct computed out = {.at = at.as.integer, .maybe = maybe.type ? maybe.as.integer : -1};
  memcpy(out.u, u.as.data, u.length);
  vecdb_rows_free(rows);
  return out;
}

/* A UUID of version 7 and of that time. */
static void check_uuid(const char *u, uint64_t ms) {
  char time[14];
  snprintf(time, sizeof time, "%08x-%04x", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff));
  assert_int_equal(strlen(u), 36);
  assert_memory_equal(u, time, 13);
  for (int i = 0; i < 36; i++)
    if (i == 8 || i == 13 || i == 18 || i == 23)
      assert_int_equal(u[i], '-');
    else
      assert_true(isdigit((unsigned char)u[i]) || (u[i] >= 'a' && u[i] <= 'f'));
  assert_int_equal(u[14], '7');
  assert_non_null(strchr("89ab", u[19]));
}

static int compare_texts(const void *a, const void *b) { return strcmp(a, b); }

/* Where a batch leaves them out they are there, no two UUIDs alike though the clock stands. */
static void test_computed(void **state) {
  (void)state;
  static char seen[COMPUTED_ROWS][41];
  vecdb *db = computed_open(":memory:", 0);
  vecdb_collection *coll = computed_create(db);
  clock_ms = 0x18f12345678;
  for (int i = 0; i < COMPUTED_ROWS; i += 100)
    computed_put(coll, i, 100, NULL, 0);
  for (int i = 0; i < COMPUTED_ROWS; i++) {
    struct computed row = computed_of(coll, i);
    assert_int_equal(row.at, clock_ms);
    assert_int_equal(row.maybe, clock_ms);
    check_uuid(row.u, clock_ms);
    memcpy(seen[i], row.u, sizeof seen[i]);
  }
  qsort(seen, COMPUTED_ROWS, sizeof seen[0], compare_texts);
  for (int i = 1; i < COMPUTED_ROWS; i++)
    assert_string_not_equal(seen[i - 1], seen[i]);
  assert_int_equal(at_count(coll, "at == 1713997371000"), COMPUTED_ROWS);
  vecdb_collection_release(coll);
  at_close(db);
}

/* What is given stays, and a null is null only where that can be. */
static void test_computed_or_given(void **state) {
  (void)state;
  vecdb *db = computed_open(":memory:", 0);
  vecdb_collection *coll = computed_create(db);
  const int64_t times[][2] = {{7, 0}, {8, 0}, {9, 0}};
  const char *texts[] = {"first", "second", "third..."};
  const uint32_t lengths[] = {5, 6, 5};
  const uint8_t some[] = {1, 0, 1};
  clock_ms = 1000;
  const vecdb_column given[] = {
      {.field = "at", .data = times, .stride = sizeof times[0], .valid = some},
      {.field = "u", .data = texts, .lengths = lengths, .valid = some},
      {.field = "maybe", .data = times, .stride = sizeof times[0], .valid = some}};
  computed_put(coll, 0, 3, given, 3);
  const vecdb_column without_data[] = {{.field = "u"}, {.field = "maybe"}};
  computed_put(coll, 3, 1, without_data, 2);
  struct computed rows[4];
  for (int i = 0; i < 4; i++)
    rows[i] = computed_of(coll, i);
  assert_int_equal(rows[0].at, 7);
  assert_int_equal(rows[1].at, 1000);
  assert_int_equal(rows[2].at, 9);
  assert_int_equal(rows[0].maybe, 7);
  assert_int_equal(rows[1].maybe, -1);
  assert_int_equal(rows[3].maybe, 1000);
  assert_string_equal(rows[0].u, "first");
  check_uuid(rows[1].u, 1000);
  assert_string_equal(rows[2].u, "third");
  check_uuid(rows[3].u, 1000);
  const int64_t id = 9;
  const float v = 1;
  const char *long_text = "0123456789012345678901234567890123456789!";
  const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "v", .data = &v},
                                  {.field = "u", .data = &long_text},
                                  {.field = "u", .data = &long_text},
                                  {.field = "at", .data = &id, .stride = 4}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  at_fails(VECDB_ERR_TOO_LONG, vecdb_insert(coll, &batch, NULL, &at_err));
  batch.n_columns = 4;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_insert(coll, &batch, NULL, &at_err));
  const vecdb_column narrow[] = {columns[0], columns[1], columns[4]};
  batch.columns = narrow;
  batch.n_columns = 3;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_insert(coll, &batch, NULL, &at_err));
  batch.columns = NULL;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_insert(coll, &batch, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* An update computes only what it is told to, and for new rows; a push for new rows. */
static void test_computed_updates(void **state) {
  (void)state;
  vecdb *db = computed_open(":memory:", 0);
  vecdb_collection *coll = computed_create(db);
  clock_ms = 1000;
  computed_put(coll, 0, 2, NULL, 0);
  struct computed before = computed_of(coll, 0), old = computed_of(coll, 1);
  clock_ms = 2000;
  const int64_t ids[] = {0, 5};
  const float v[] = {9, 9};
  const vecdb_column columns[] = {
      {.field = "id", .data = ids}, {.field = "v", .data = v}, {.field = "at"}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 2};
  at_ok(vecdb_update(coll, &batch, VECDB_UPDATE_INSERT, NULL, &at_err));
  struct computed after = computed_of(coll, 0), fresh = computed_of(coll, 5);
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(fresh.at, 2000);
  assert_int_equal(fresh.maybe, 2000);
  check_uuid(fresh.u, 2000);
  clock_ms = 3000;
  batch.n_columns = 3;
  batch.n_rows = 1;
  at_ok(vecdb_update(coll, &batch, 0, NULL, &at_err));
  after = computed_of(coll, 0);
  assert_int_equal(after.at, 3000);
  assert_int_equal(after.maybe, 1000);
  assert_string_equal(after.u, before.u);
  at_ok(vecdb_optimizer_set(coll, "v", &(vecdb_optimizer)VECDB_OPTIMIZER_INIT, NULL, &at_err));
  const int64_t pushed[] = {6, 1, 7};
  vecdb_keys keys = {.integers = pushed, .n = 3};
  vecdb_push_params push = VECDB_PUSH_PARAMS_INIT;
  const float deltas[] = {1, 2, 3};
  push.kind = VECDB_PUSH_DELTA;
  push.flags = VECDB_PUSH_INSERT;
  push.field = "v";
  push.keys = &keys;
  push.values = deltas;
  clock_ms = 4000;
  at_ok(vecdb_push(coll, &push, NULL, &at_err));
  struct computed six = computed_of(coll, 6), seven = computed_of(coll, 7);
  assert_int_equal(six.at, 4000);
  check_uuid(seven.u, 4000);
  assert_string_not_equal(six.u, seven.u);
  struct computed one = computed_of(coll, 1);
  assert_memory_equal(&one, &old, sizeof old);
  vecdb_collection_release(coll);
  at_close(db);
}

/* The same values after a crash, for a reader, and in files; others from another seed. */
static void test_computed_once(void **state) {
  (void)state;
  char *folder = at_folder();
  struct at_content content[3];
  clock_ms = 5000;
  for (int i = 0; i < 3; i++) {
    vecdb *db = computed_open(at_path(folder, i == 0 ? "a" : i == 1 ? "b" : "c"), i == 2);
    vecdb_collection *coll = computed_create(db);
    computed_put(coll, 0, 100, NULL, 0);
    content[i] = at_content(coll);
    vecdb_collection_release(coll);
    at_close(db);
  }
  at_same(content[0], content[1]);
  assert_true(content[0].hash != content[2].hash);
  clock_ms = 6000;
  for (int round = 0; round < 3; round++) {
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.flags = round == 1 ? VECDB_READ_ONLY : VECDB_HOST_DRIVEN;
    vecdb *db = at_open(at_path(folder, "a"), &options);
    vecdb_collection *coll;
    at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
    at_same(content[0], at_content(coll));
    if (round == 0)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    vecdb_collection_release(coll);
    at_close(db);
  }
  at_remove(folder);
}

/* Each allocation of a write failing in turn: the rows are not there, or all of them. */
static void test_computed_memory(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  struct memfault memory;
  memfault_init(&memory);
  options.flags = VECDB_HOST_DRIVEN;
  options.clock = &test_clock;
  options.allocator = &memory.table;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = computed_create(db);
  const int64_t ids[] = {1, 2};
  const float v[] = {1, 2};
  const char *texts[] = {"first", NULL};
  const uint8_t valid[] = {1, 0};
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "v", .data = v},
                                  {.field = "u", .data = texts, .valid = valid}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 2};
  int rc = VECDB_ERR_NO_MEMORY;
  for (uint64_t nth = 1; rc; nth++) {
    memfault_fail(&memory, nth, false);
    rc = nth % 2 ? vecdb_insert(coll, &batch, NULL, &at_err)
                 : vecdb_update(coll, &batch, VECDB_UPDATE_INSERT, NULL, &at_err);
    bool failed = memfault_failed(&memory) > 0;
    memfault_fail(&memory, 0, false);
    assert_true(rc == VECDB_OK || (rc == VECDB_ERR_NO_MEMORY && failed));
    assert_int_equal(at_count(coll, NULL), rc ? 0 : 2);
  }
  assert_string_equal(computed_of(coll, 1).u, "first");
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(memfault_live(&memory), 0);
}

/* Fields of these kinds that make no sense, and one that comes later. */
static void test_computed_schemas(void **state) {
  (void)state;
  const vecdb_field bad[] = {
      {.name = "x", .type = VECDB_INT32, .flags = VECDB_DEFAULT_NOW},
      {.name = "x", .type = VECDB_VARCHAR, .max_length = 40, .flags = VECDB_DEFAULT_NOW},
      {.name = "x", .type = VECDB_INT64, .flags = VECDB_DEFAULT_UUID},
      {.name = "x", .type = VECDB_VARCHAR, .max_length = 35, .flags = VECDB_DEFAULT_UUID},
      {.name = "x", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID},
      {.name = "x", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_HAS_DEFAULT,
       .default_value = {.type = VECDB_INT64}},
      {.name = "x", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW}, /* and not nullable */
      {.name = "x", .type = VECDB_FLOAT_VECTOR, .dim = 2, .flags = VECDB_DEFAULT_NOW}};
  vecdb *db = computed_open(":memory:", 0);
  vecdb_collection *coll = computed_create(db);
  clock_ms = 1000;
  computed_put(coll, 0, 1, NULL, 0);
  vecdb_schema schema = {sizeof schema, sizeof *bad, NULL, bad, 1};
  for (size_t i = 0; i < AT_COUNT(bad); i++) {
    schema.fields = &bad[i];
    at_fails(VECDB_ERR_SCHEMA, vecdb_fields_add(coll, &schema, NULL, &at_err));
  }
  const vecdb_field key[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_DEFAULT_NOW},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2}};
  const vecdb_schema keyed = {sizeof keyed, sizeof *key, NULL, key, 2};
  at_fails(VECDB_ERR_SCHEMA, vecdb_collection_create(db, "d", &keyed, NULL, &at_err));
  const vecdb_field good = {
      .name = "later", .type = VECDB_INT64, .flags = VECDB_DEFAULT_NOW | VECDB_NULLABLE};
  schema.fields = &good;
  at_ok(vecdb_fields_add(coll, &schema, NULL, &at_err));
  clock_ms = 2000;
  computed_put(coll, 1, 1, NULL, 0);
  assert_int_equal(at_count(coll, "later is null"), 1);
  assert_int_equal(at_count(coll, "later == 2000 and id == 1"), 1);
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_upsert_and_delete), cmocka_unit_test(test_last_of_a_batch_wins),
      cmocka_unit_test(test_text_keys),         cmocka_unit_test(test_automatic_keys),
      cmocka_unit_test(test_paging),            cmocka_unit_test(test_strides),
      cmocka_unit_test(test_result_tables),     cmocka_unit_test(test_computed),
      cmocka_unit_test(test_computed_or_given), cmocka_unit_test(test_computed_updates),
      cmocka_unit_test(test_computed_once),     cmocka_unit_test(test_computed_schemas),
      cmocka_unit_test(test_computed_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
