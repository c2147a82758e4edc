/*
 * test_api_alone.c - one file of a segment opened by itself: it holds what its database held when
 * it was written, answers as that does, and can become a database again. Other files, older and
 * damaged ones are errors that say so, and wrong rows never come out.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "tlib/apitest.h"
#include "tlib/format6.h"
#include "tlib/memfault.h"

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

struct found {
  const char *end;
  char path[400];
  int n;
};

static void note_file(void *arg, const char *path) {
  struct found *found = arg;
  if (!ends_with(path, found->end))
    return;
  snprintf(found->path, sizeof found->path, "%s", path);
  found->n++;
}

/* The one file of the database whose name ends so. */
static const char *file_of(const char *database, const char *end) {
  static struct found found;
  found = (struct found){.end = end};
  at_each_file(database, note_file, &found);
  assert_int_equal(found.n, 1);
  return found.path;
}

/* Copies a file to where nothing of its database is, under another name. */
static void copy_file(const char *from, const char *to) {
  size_t n;
  unsigned char *bytes = at_read(from, &n);
  at_write(to, bytes, n);
  free(bytes);
}

static vecdb_options reading(void) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY;
  return options;
}

static vecdb_options by_hand(void) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN; /* nothing is merged but what a test merges */
  return options;
}

/* What stands in the file at `path`, through all that reads it. */
static struct at_content look(const char *path) {
  vecdb_options options = reading();
  vecdb *db = at_open(path, &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  struct at_content content = at_content(coll);
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.rows, content.rows);
  assert_int_equal(stats.segments_sealed, 1);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_refresh_info info = VECDB_REFRESH_INFO_INIT;
  at_ok(vecdb_refresh(db, 0, &info, &at_err));
  assert_int_equal(info.reloaded + info.records, 0);
  vecdb_collection_release(coll);
  at_close(db);
  return content;
}

/* A database of one segment: rows 0 to 299, of which 0 to 49 were written twice and 100 to 119
   deleted, all before the file was. */
static struct at_content make_database(const char *path) {
  vecdb_options options = by_hand();
  vecdb *db = at_open(path, &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 300);
  at_put(coll, 0, 50);
  at_delete(coll, 100, 20);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  struct at_content content = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(content.rows, 280);
  return content;
}

/* The nearest rows to (x, 0, 0, 1) with n < below, by looking at all ids. */
static void check_search(vecdb_collection *coll, float x, int below) {
  const float query[] = {x, 0, 0, 1};
  vecdb_search_params search = at_search(query, 10, below == 100 ? NULL : "n < 40");
  vecdb_hit hits[10];
  uint32_t n;
  at_ok(vecdb_search(coll, &search, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 10);
  double worst = (double)hits[9].score;
  int nearer = 0;
  for (int id = 0; id < 300; id++) {
    if ((id >= 100 && id < 120) || id % 100 >= below)
      continue;
    double a = id - (double)x, b = id % 7;
    nearer += a * a + b * b < worst;
  }
  assert_true(nearer <= 9);
  for (uint32_t i = 0; i < n; i++) {
    double a = (double)hits[i].id - (double)x, b = (double)(hits[i].id % 7);
    assert_true((double)hits[i].score == a * a + b * b);
    assert_true(hits[i].id % 100 < below && (hits[i].id < 100 || hits[i].id >= 120));
  }
}

static void test_one_file(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *database = at_path(folder, "db"), *alone = at_path(folder, "alone");
  struct at_content before = make_database(database);
  copy_file(file_of(database, ".rows"), alone);
  at_same(before, look(alone));
  at_same(before, look(file_of(database, ".rows"))); /* beside its database, too */
  vecdb_options options = reading();
  options.verify = VECDB_VERIFY_FULL;
  vecdb *db = at_open(alone, &options);
  vecdb_collection *coll;
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_get(db, "d", &coll, &at_err));
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_int_equal(at_count(coll, "s == \"s3\""), 28); /* of 30, two were deleted */
  assert_int_equal(at_count(coll, "s is null"), 56);
  check_search(coll, 90, 100);
  check_search(coll, 210, 40);
  const int64_t ids[] = {7, 105};
  const vecdb_keys keys = {.integers = ids, .n = 2};
  vecdb_rows *rows;
  uint8_t found[2];
  at_ok(vecdb_get(coll, &keys, NULL, 0, found, &rows, &at_err));
  assert_true(found[0] && !found[1]);
  vecdb_rows_free(rows);
  at_fails(VECDB_ERR_READ_ONLY, vecdb_delete(coll, &keys, NULL, &at_err));
  at_fails(VECDB_ERR_READ_ONLY, vecdb_compact(coll, NULL, &at_err));
  at_fails(VECDB_ERR_READ_ONLY, vecdb_collection_drop(db, "c", &at_err));
  at_fails(VECDB_ERR_READ_ONLY, vecdb_flush_all(db, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* What happens to rows after their file was written does not show in it, and what merges wrote has
   no deleted rows. */
static void test_as_it_was_written(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *database = at_path(folder, "db"), *alone = at_path(folder, "alone");
  struct at_content before = make_database(database);
  vecdb_options options = by_hand();
  vecdb *db = at_open(database, &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_delete(coll, 200, 30);
  at_put(coll, 30, 10);
  copy_file(file_of(database, ".rows"), alone);
  at_same(before, look(alone));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  copy_file(file_of(database, ".rows"), alone);
  at_same(at_content(coll), look(alone));
  at_ok(vecdb_field_rename(coll, "n", "number", NULL, &at_err)); /* writes no file anew */
  copy_file(file_of(database, ".rows"), alone);
  vecdb_collection_release(coll);
  at_close(db);
  options = reading();
  db = at_open(alone, &options);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_true(at_count(coll, "n < 40") > 0);
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_count(coll, &(vecdb_filter){.text = "number < 40"},
                                                &(uint64_t){0}, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

static uint64_t clock_ms;

static uint64_t clock_monotonic(void *user) {
  (void)user;
  return 1;
}

static uint64_t clock_wall(void *user) {
  (void)user;
  return clock_ms * 1000000;
}

static const vecdb_clock test_clock = {clock_monotonic, clock_wall, NULL};

/* Rows of other types, numbered by the database, which expire at the times 1,000 to 1,007. */
static void put_documents(vecdb_collection *coll) {
  static const char *const texts[] = {"{\"a\":1}", "[2]", "3", "null"};
  const vecdb_sparse_pair pairs[] = {{3, 1.5f}, {9, 2}};
  for (int64_t i = 0; i < 8; i++) {
    const int64_t until = 1000 + i;
    const vecdb_sparse words = {pairs, (size_t)(i % 3)};
    const vecdb_column columns[] = {{.field = "until", .data = &until},
                                    {.field = "meta", .data = &texts[i % 4]},
                                    {.field = "words", .data = &words}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), 1};
    at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  }
}

static vecdb_collection *make_documents(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "until", .type = VECDB_INT64},
      {.name = "meta", .type = VECDB_JSON, .flags = VECDB_NULLABLE},
      {.name = "words", .type = VECDB_SPARSE_VECTOR}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, "texts", fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "texts-1", &schema, &coll, &at_err));
  at_ok(vecdb_expire(coll, "until", 0, NULL, &at_err));
  return coll;
}

/* A backup of one file is a database, which can be written to. */
static void test_back_to_a_database(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options options = by_hand();
  options.clock = &test_clock;
  clock_ms = 0;
  vecdb *db = at_open(at_path(folder, "db"), &options);
  vecdb_collection *coll = make_documents(db);
  put_documents(coll);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  struct at_content before = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  copy_file(file_of(at_path(folder, "db"), ".rows"), at_path(folder, "alone"));
  vecdb_options read = reading();
  read.clock = &test_clock;
  db = at_open(at_path(folder, "alone"), &read);
  at_ok(vecdb_backup(db, at_path(folder, "copy"), NULL, &at_err));
  at_ok(vecdb_collection_get(db, "texts-1", &coll, &at_err));
  assert_string_equal(vecdb_collection_schema(coll)->description, "texts");
  at_same(before, at_content(coll));
  clock_ms = 1005; /* that of 1,005 is gone with it */
  assert_int_equal(at_count(coll, NULL), 2);
  clock_ms = 0;
  const vecdb_sparse_pair want = {9, 1};
  const vecdb_sparse query = {&want, 1};
  vecdb_search_params search = at_search((const float *)&query, 10, "meta[\"a\"] == 1");
  search.field = "words";
  vecdb_hit hits[10];
  uint32_t n;
  at_ok(vecdb_search(coll, &search, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 0); /* rows 1 and 5 have no pairs, or one */
  search.filter.text = NULL;
  at_ok(vecdb_search(coll, &search, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 2); /* 3 and 6 */
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(at_path(folder, "copy"), &options);
  at_ok(vecdb_collection_get(db, "texts-1", &coll, &at_err));
  at_same(before, at_content(coll));
  put_documents(coll); /* under keys that are free */
  assert_int_equal(at_count(coll, NULL), 16);
  assert_int_equal(at_count(coll, "id == 16"), 1);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* Files of before format 7 are read in their folder, and by themselves say what they lack. */
static void test_older_format(void **state) {
  (void)state;
  char *folder = at_folder();
  at_write(at_path(folder, "MANIFEST"), format6_manifest, sizeof format6_manifest - 1);
  const char *rows = at_path(folder, "0000000000000001.rows");
  at_write(rows, format6_rows, sizeof format6_rows - 1);
  vecdb_options options = reading();
  options.verify = VECDB_VERIFY_FULL;
  vecdb *db = at_open(folder, &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "docs", &coll, &at_err));
  assert_int_equal(at_count(coll, NULL), 3);
  assert_int_equal(at_count(coll, "topic == \"fruit\" and meta[\"price\"] > 3"), 1);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_fails(VECDB_ERR_NOT_A_DATABASE, vecdb_open(rows, &options, &db, &at_err));
  assert_non_null(strstr(at_err.message, "format 7"));
  options = by_hand();
  db = at_open(folder, &options); /* and written again, in today's */
  at_ok(vecdb_collection_get(db, "docs", &coll, &at_err));
  at_delete(coll, 3, 1);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  options = reading();
  db = at_open(file_of(folder, ".rows"), &options);
  at_ok(vecdb_collection_get(db, "docs", &coll, &at_err));
  assert_int_equal(at_count(coll, "meta[\"price\"] >= 3"), 2);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

static void refuse(int code, const char *path, uint32_t flags) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = flags;
  vecdb *db = (vecdb *)&options;
  at_fails(code, vecdb_open(path, &options, &db, &at_err));
  assert_null(db);
}

static void test_other_files(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *database = at_path(folder, "db");
  make_database(database);
  vecdb_options options = by_hand();
  options.index_rows = 100;
  vecdb *db = at_open(database, &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_ok(vecdb_index_create(coll, "v", NULL, NULL, &at_err));
  at_delete(coll, 0, 5);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 0, 5);
  vecdb_collection_release(coll);
  at_close(db);
  const char *const others[] = {".idx", ".del", ".wal", "MANIFEST"};
  for (size_t i = 0; i < AT_COUNT(others); i++)
    refuse(VECDB_ERR_NOT_A_DATABASE, file_of(database, others[i]), VECDB_READ_ONLY);
  char rows[400];
  snprintf(rows, sizeof rows, "%s", file_of(database, ".rows"));
  refuse(VECDB_ERR_NOT_A_DATABASE, rows, 0);
  assert_non_null(strstr(at_err.message, "VECDB_READ_ONLY"));
  refuse(VECDB_ERR_NOT_A_DATABASE, rows, VECDB_MUST_EXIST);
  refuse(VECDB_ERR_ARGUMENT, rows, VECDB_READ_ONLY | VECDB_FOLLOW);
  refuse(VECDB_ERR_NOT_FOUND, at_path(folder, "none"), VECDB_READ_ONLY);
  refuse(VECDB_ERR_NOT_A_DATABASE, at_path(rows, "below"), VECDB_READ_ONLY);
  assert_int_equal(mkfifo(at_path(folder, "pipe"), 0600), 0);
  refuse(VECDB_ERR_NOT_A_DATABASE, at_path(folder, "pipe"), VECDB_READ_ONLY);
  assert_non_null(strstr(at_err.message, "plain file"));
  assert_int_equal(symlink(rows, at_path(folder, "link")), 0);
  refuse(VECDB_ERR_NOT_A_DATABASE, at_path(folder, "link"), VECDB_READ_ONLY);
  assert_non_null(strstr(at_err.message, "plain file"));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_restore(rows, at_path(folder, "to"), NULL, &at_err));
  assert_false(at_exists(at_path(folder, "to")));
  at_remove(folder);
}

static bool is_damage(int rc) {
  return rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT || rc == VECDB_ERR_NOT_A_DATABASE;
}

/* Whether the bytes, as a file, are refused or found to be damaged; else they must hold the rows of
   before. */
static bool damaged(const char *path, const unsigned char *bytes, size_t n,
                    struct at_content before) {
  vecdb_options options = reading();
  vecdb *db;
  at_write(path, bytes, n);
  int rc = vecdb_open(path, &options, &db, &at_err);
  if (rc == VECDB_OK) {
    rc = vecdb_check(db, NULL, NULL, NULL, &at_err);
    if (rc == VECDB_OK) {
      vecdb_collection *coll;
      at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
      at_same(before, at_content(coll));
      vecdb_collection_release(coll);
    }
    at_close(db);
  }
  assert_true(rc == VECDB_OK || is_damage(rc));
  return rc != VECDB_OK;
}

static void test_damage(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options options = by_hand();
  vecdb *db = at_open(at_path(folder, "db"), &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 10);
  at_put(coll, 0, 5);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  struct at_content before = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  const char *path = at_path(folder, "alone");
  size_t n;
  unsigned char *bytes = at_read(file_of(at_path(folder, "db"), ".rows"), &n);
  uint32_t seed = 1;
  for (size_t at = 0; at < n; at += 7) { /* no byte is not told of, be it padding */
    unsigned char bit = (unsigned char)(1u << at_random(&seed) % 8);
    bytes[at] ^= bit;
    assert_true(damaged(path, bytes, n, before));
    bytes[at] ^= bit;
  }
  for (size_t cut = 0; cut < n; cut += 1 + cut / 16)
    assert_true(damaged(path, bytes, cut, before));
  assert_false(damaged(path, bytes, n, before));
  free(bytes);
  at_remove(folder);
}

/* Each allocation of an opening failing in turn. */
static void test_memory(void **state) {
  (void)state;
  char *folder = at_folder();
  make_database(at_path(folder, "db"));
  const char *rows = file_of(at_path(folder, "db"), ".rows");
  vecdb_options options = reading();
  struct memfault memory;
  memfault_init(&memory);
  options.allocator = &memory.table;
  vecdb *db = NULL;
  for (uint64_t nth = 1; !db; nth++) {
    memfault_fail(&memory, nth, false);
    int rc = vecdb_open(rows, &options, &db, &at_err);
    assert_int_equal(rc, memfault_failed(&memory) ? VECDB_ERR_NO_MEMORY : VECDB_OK);
    if (rc)
      assert_int_equal(memfault_live(&memory), 0);
    assert_true(nth < 1000);
  }
  at_close(db);
  assert_int_equal(memfault_live(&memory), 0);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_file),           cmocka_unit_test(test_as_it_was_written),
      cmocka_unit_test(test_back_to_a_database), cmocka_unit_test(test_older_format),
      cmocka_unit_test(test_other_files),        cmocka_unit_test(test_damage),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
