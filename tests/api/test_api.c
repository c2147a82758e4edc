/*
 * test_api.c - the life of a database and its collections through the public interface: open,
 * close, create, describe, list, drop, flush, compact, indexes, stats, check, backup and restore,
 * databases in memory, readers beside a writer; and the helpers that need no database.
 */
#include <math.h>

#include "tlib/apitest.h"

/* ---- Without a database ---------------------------------------------------------------------- */

static void test_versions_and_names(void **state) {
  (void)state;
  assert_string_equal(vecdb_version(), VECDB_VERSION_STRING);
  assert_int_equal(vecdb_version_number(), VECDB_VERSION_MAJOR * 10000 + VECDB_VERSION_MINOR * 100 +
                                               VECDB_VERSION_PATCH);
  assert_true(strlen(vecdb_kernels()) > 0);
  assert_string_equal(vecdb_status_name(VECDB_OK), "VECDB_OK");
  assert_string_equal(vecdb_status_name(VECDB_ERR_DISK_FULL), "VECDB_ERR_DISK_FULL");
  size_t known = 0;
  for (int code = -3; code <= 120; code++) {
    assert_true(strlen(vecdb_status_text(code)) > 0);
    known += strncmp(vecdb_status_name(code), "VECDB_", 6) == 0 &&
             strcmp(vecdb_status_name(code), vecdb_status_name(-1)) != 0;
  }
  assert_int_equal(known, 41); /* of vecdb.h */
}

static void test_normalize(void **state) {
  (void)state;
  float v[4][3] = {{3, 0, 4}, {0, 0, 0}, {-1e19f, 1e19f, 0}, {1e-30f, 0, 0}};
  at_ok(vecdb_normalize(v[0], 4, 3, &at_err));
  assert_true(v[0][0] == 0.6f && v[0][1] == 0 && v[0][2] == 0.8f);
  assert_true(v[1][0] == 0 && v[1][1] == 0 && v[1][2] == 0);
  assert_true(fabsf(v[2][1] - (float)sqrt(0.5)) < 1e-6f);
  assert_true(v[3][0] == 1);
  float bad[3][2] = {{3, 4}, {1, at_nan()}, {3, 4}};
  at_fails(VECDB_ERR_NOT_FINITE, vecdb_normalize(bad[0], 3, 2, &at_err));
  assert_int_equal(at_err.row, 1);
  assert_true(bad[0][0] == 0.6f); /* those before it are done, */
  assert_true(bad[2][0] == 3);    /* and those behind it not */
  float large[2] = {3e38f, 3e38f};
  at_fails(VECDB_ERR_OVERFLOW, vecdb_normalize(large, 1, 2, &at_err));
  assert_int_equal(at_err.row, 0);
  assert_true(large[0] == 3e38f);
  at_fails(VECDB_ERR_ARGUMENT, vecdb_normalize(NULL, 1, 2, &at_err));
  at_ok(vecdb_normalize(NULL, 0, 2, &at_err));
}

static void test_half_floats(void **state) {
  (void)state;
  const float in[] = {0, -0.0f, 1, -2.5f, 65504, 1e9f, 6e-8f, 1.0009765625f, 3.14159f};
  const uint16_t halves[] = {0, 0x8000, 0x3c00, 0xc100, 0x7bff, 0x7c00, 1, 0x3c01, 0x4248};
  const uint16_t brains[] = {0, 0x8000, 0x3f80, 0xc020, 0x4780, 0x4e6e, 0x3381, 0x3f80, 0x4049};
  uint16_t out[AT_COUNT(in)];
  vecdb_to_float16(in, out, AT_COUNT(in));
  assert_memory_equal(out, halves, sizeof halves);
  vecdb_to_bfloat16(in, out, AT_COUNT(in));
  assert_memory_equal(out, brains, sizeof brains);
  for (uint32_t x = 0; x < 65536; x += 7) { /* there and back is the same, but for NaN */
    uint16_t one = (uint16_t)x, back;
    float f;
    vecdb_from_float16(&one, &f, 1);
    vecdb_to_float16(&f, &back, 1);
    if (f == f)
      assert_int_equal(back, one);
    vecdb_from_bfloat16(&one, &f, 1);
    vecdb_to_bfloat16(&f, &back, 1);
    if (f == f)
      assert_int_equal(back, one);
  }
}

/* ---- Databases ------------------------------------------------------------------------------- */

static void test_open_and_close(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb_options options = VECDB_OPTIONS_INIT;
  vecdb *db = (vecdb *)folder;
  options.flags = VECDB_MUST_EXIST;
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_open(path, &options, &db, &at_err));
  assert_null(db);
  assert_false(at_exists(path));
  options.flags = VECDB_READ_ONLY;
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_open(path, &options, &db, &at_err));
  assert_false(at_exists(path));
  options.flags = 0;
  at_ok(vecdb_open(path, &options, &db, &at_err)); /* made */
  vecdb *second = db;
  at_fails(VECDB_ERR_BUSY, vecdb_open(path, NULL, &second, &at_err));
  assert_null(second);
  at_close(db);
  options.flags = VECDB_MUST_EXIST;
  at_ok(vecdb_open(at_path(path, "./"), &options, &db, &at_err)); /* there */
  at_close(db);
  at_fails(VECDB_ERR_IO, vecdb_open(at_path(folder, "no/such"), NULL, &db, &at_err));
  assert_non_null(strstr(at_err.message, "no/such"));
  assert_true(at_err.os_code != 0);
  at_ok(vecdb_close(NULL, &at_err));
  at_ok(vecdb_close(NULL, NULL));
  at_remove(folder);
}

static void test_in_memory(void **state) {
  (void)state;
  vecdb *a = at_open(":memory:", NULL), *b = at_open(":memory:", NULL); /* two of them */
  vecdb_collection *coll = at_small(a, "c"), *none = coll;
  at_put(coll, 0, 5000);
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_get(b, "c", &none, &at_err));
  assert_null(none);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_int_equal(at_count(coll, "n == 7"), 50);
  at_ok(vecdb_check(a, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(a);
  at_close(b);
  assert_false(at_exists(":memory:"));
  a = at_open(":memory:", NULL);
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_get(a, "c", &none, &at_err));
  at_close(a);
}

/* ---- Collections ----------------------------------------------------------------------------- */

static int note_name(void *user, const char *name) {
  char *all = user;
  snprintf(all + strlen(all), 100 - strlen(all), "%s;", name);
  return strcmp(name, "stop") == 0;
}

static void test_create_list_drop(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  char names[100] = "";
  at_ok(vecdb_collection_list(db, note_name, names, &at_err));
  assert_string_equal(names, "");
  vecdb_collection *zoo = at_small(db, "zoo"), *b = at_small(db, "B-2"), *again = zoo;
  vecdb_collection_release(at_small(db, "_x"));
  vecdb_schema schema = *vecdb_collection_schema(zoo);
  at_fails(VECDB_ERR_EXISTS, vecdb_collection_create(db, "zoo", &schema, &again, &at_err));
  assert_null(again);
  at_ok(vecdb_collection_create(db, "copy", &schema, NULL, &at_err)); /* a schema as described */
  at_ok(vecdb_collection_list(db, note_name, names, &at_err));
  assert_string_equal(names, "B-2;_x;copy;zoo;");
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_drop(db, "Zoo", &at_err));
  at_ok(vecdb_collection_drop(db, "_x", &at_err));
  at_ok(vecdb_collection_create(db, "stop", &schema, NULL, &at_err));
  names[0] = '\0';
  at_ok(vecdb_collection_list(db, note_name, names, &at_err));
  assert_string_equal(names, "B-2;copy;stop;");
  vecdb_collection_release(zoo);
  vecdb_collection_release(b);
  vecdb_collection_release(NULL);
  at_close(db);
  db = at_open(folder, NULL);
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_collection_get(db, "_x", &again, &at_err));
  at_ok(vecdb_collection_get(db, "B-2", &b, &at_err));
  assert_string_equal(vecdb_collection_name(b), "B-2");
  vecdb_collection_release(b);
  at_close(db);
  at_remove(folder);
}

/* What a described schema says, for a schema of the kind in test_describe. */
static void check_description(const vecdb_schema *s) {
  assert_int_equal(s->size, sizeof *s);
  assert_int_equal(s->field_size, sizeof(vecdb_field));
  assert_string_equal(s->description, "a h\xc3\xa4user list");
  assert_int_equal(s->n_fields, 4);
  const vecdb_field *f = s->fields;
  assert_string_equal(f[0].name, "key");
  assert_int_equal(f[0].type, VECDB_VARCHAR);
  assert_int_equal(f[0].max_length, 65535);
  assert_int_equal(f[0].flags, VECDB_PRIMARY_KEY);
  assert_string_equal(f[1].description, "what it costs");
  assert_int_equal(f[1].scalar_index, VECDB_SCALAR_INDEX_SORTED);
  assert_int_equal(f[1].flags, VECDB_HAS_DEFAULT | VECDB_NULLABLE);
  assert_int_equal(f[1].default_value.type, VECDB_DOUBLE);
  assert_true(f[1].default_value.as.number == 9.5);
  assert_int_equal(f[2].type, VECDB_ARRAY);
  assert_int_equal(f[2].element_type, VECDB_BOOL);
  assert_int_equal(f[2].max_capacity, 4096);
  assert_int_equal(f[3].type, VECDB_BFLOAT16_VECTOR);
  assert_int_equal(f[3].dim, 65535);
  assert_int_equal(f[3].metric, VECDB_COSINE); /* the default, named */
  assert_int_equal(f[3].flags, VECDB_ALLOW_ZERO);
  assert_int_equal(f[3].index.type, VECDB_INDEX_HNSW);
  assert_int_equal(f[3].index.m, 7);
  assert_int_equal(f[3].index.ef_construction, 50);
  assert_int_equal(f[3].index.ef, 40);
}

static void test_describe(void **state) {
  (void)state;
  const vecdb_field fields[] = {
      {.name = "key", .type = VECDB_VARCHAR, .max_length = 65535, .flags = VECDB_PRIMARY_KEY},
      {.name = "price", .description = "what it costs", .type = VECDB_DOUBLE,
       .flags = VECDB_HAS_DEFAULT | VECDB_NULLABLE, .scalar_index = VECDB_SCALAR_INDEX_SORTED,
       .default_value = {.type = VECDB_FLOAT, .as.number = 9.5}},
      {.name = "flags", .type = VECDB_ARRAY, .element_type = VECDB_BOOL, .max_capacity = 4096},
      {.name = "v", .type = VECDB_BFLOAT16_VECTOR, .dim = 65535, .flags = VECDB_ALLOW_ZERO,
       .index = {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW, .m = 7,
                 .ef_construction = 50, .ef = 40}},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, "a h\xc3\xa4user list", fields, 4};
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "houses", &schema, &coll, &at_err));
  check_description(vecdb_collection_schema(coll));
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, NULL);
  at_ok(vecdb_collection_get(db, "houses", &coll, &at_err));
  check_description(vecdb_collection_schema(coll));
  vecdb_collection_release(coll);
  at_close(db);
  assert_null(vecdb_collection_schema(NULL));
  assert_string_equal(vecdb_collection_name(NULL), "");
  at_remove(folder);
}

/* Every call on a handle of a dropped collection. */
static void check_closed(vecdb_collection *coll) {
  const float query[] = {0, 0, 0, 1};
  const int64_t id = 1;
  vecdb_search_params search = at_search(query, 1, NULL);
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  vecdb_keys keys = {.integers = &id, .n = 1};
  vecdb_filter filter = {.text = "n == 1"};
  const vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "n", .data = &id},
                                  {.field = "v", .data = query}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  vecdb_rows *rows;
  vecdb_iterator *it;
  vecdb_hit hit;
  vecdb_stats stats = VECDB_STATS_INIT;
  uint32_t n;
  uint64_t count;
  char text[100];
  const int code = VECDB_ERR_CLOSED;
  at_fails(code, vecdb_insert(coll, &batch, NULL, &at_err));
  at_fails(code, vecdb_upsert(coll, &batch, NULL, &at_err));
  at_fails(code, vecdb_delete(coll, &keys, NULL, &at_err));
  at_fails(code, vecdb_delete_where(coll, &filter, NULL, NULL, &at_err));
  at_fails(code, vecdb_get(coll, &keys, NULL, 0, NULL, &rows, &at_err));
  at_fails(code, vecdb_query(coll, &params, &rows, &at_err));
  at_fails(code, vecdb_count(coll, NULL, &count, &at_err));
  at_fails(code, vecdb_search(coll, &search, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_search_range(coll, &search, 1, &hit, &n, NULL, NULL, &at_err));
  at_fails(code, vecdb_iterator_open(coll, &search, &it, &at_err));
  at_fails(code, vecdb_explain(coll, &search, text, sizeof text, NULL, &at_err));
  at_fails(code, vecdb_flush(coll, NULL, &at_err));
  at_fails(code, vecdb_compact(coll, NULL, &at_err));
  at_fails(code, vecdb_index_create(coll, "v", NULL, NULL, &at_err));
  at_fails(code, vecdb_index_drop(coll, "v", &at_err));
  at_fails(code, vecdb_warm(coll, NULL, &at_err));
  at_fails(code, vecdb_warm_rows(coll, NULL, NULL, NULL, &at_err));
  at_fails(code, vecdb_wait(coll, NULL, &at_err));
  at_fails(code, vecdb_collection_stats(coll, &stats, &at_err));
}

static void test_dropped(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(folder, NULL);
  vecdb_collection *old = at_small(db, "c");
  at_put(old, 0, 100);
  at_ok(vecdb_flush(old, NULL, &at_err));
  at_put(old, 100, 10);
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  check_closed(old);
  assert_string_equal(vecdb_collection_name(old), "c");
  assert_int_equal(vecdb_collection_schema(old)->n_fields, 5);
  vecdb_collection *new = at_small(db, "c"); /* the same name, another collection */
  check_closed(old);
  assert_int_equal(at_count(new, NULL), 0);
  at_put(new, 0, 3);
  vecdb_collection_release(old);
  vecdb_collection_release(new);
  at_close(db);
  db = at_open(folder, NULL);
  at_ok(vecdb_collection_get(db, "c", &new, &at_err));
  assert_int_equal(at_count(new, NULL), 3);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(new);
  at_close(db);
  at_remove(folder);
}

/* ---- Maintenance ----------------------------------------------------------------------------- */

static vecdb_stats stats_of(vecdb_collection *coll) {
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.size, sizeof stats);
  return stats;
}

enum { TICK = 1000 };

/* A clock that goes on by TICK with each look. */
static uint64_t ticking(void *user) {
  return *(uint64_t *)user += TICK;
}

static void test_flush_compact_stats(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  uint64_t now = 0;
  vecdb_clock clock = {ticking, ticking, &now};
  options.clock = &clock;
  options.flags = VECDB_HOST_DRIVEN; /* so that nothing happens by itself */
  options.index_rows = 500;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 400);
  vecdb_stats s = stats_of(coll);
  assert_int_equal(s.rows, 400);
  assert_int_equal(s.segments_growing, 1);
  assert_int_equal(s.segments_sealed, 0);
  assert_true(s.bytes_memory > 400 * 16);
  assert_true(s.bytes_wal > 400 * 16);
  assert_true(s.bytes_allocated > s.bytes_memory);
  assert_int_equal(s.commits, 1);
  assert_true(s.syncs >= 1);
  assert_int_equal(s.sync_ns, s.syncs * TICK);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_flush(coll, NULL, &at_err)); /* nothing left to do */
  s = stats_of(coll);
  assert_int_equal(s.segments_growing, 0);
  assert_int_equal(s.segments_sealed, 1);
  assert_int_equal(s.segments_indexed, 0);
  assert_int_equal(s.bytes_memory, 0);
  assert_true(s.bytes_files > 400 * 16);
  at_put(coll, 400, 400);
  at_delete(coll, 100, 50);
  struct at_content before = at_content(coll);
  s = stats_of(coll);
  assert_int_equal(s.rows, 750);
  assert_int_equal(s.rows_deleted, 50);
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  s = stats_of(coll);
  assert_int_equal(s.segments_sealed, 2);
  assert_int_equal(s.merges, 0);
  assert_int_equal(s.merge_ns, 0);
  assert_int_equal(s.index_builds, 0);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  s = stats_of(coll);
  assert_int_equal(s.merges, 1);
  assert_int_equal(s.index_builds, 1);
  assert_true(s.index_build_ns > 0 && s.merge_ns > s.index_build_ns); /* which a merge includes */
  assert_int_equal(s.segments_sealed, 1);
  assert_int_equal(s.segments_indexed, 1);
  assert_int_equal(s.rows, 750);
  assert_int_equal(s.rows_deleted, 0);
  assert_true(s.bytes_index > 0 && s.bytes_index < s.bytes_files);
  assert_int_equal(s.jobs_pending, 0);
  at_same(before, at_content(coll));
  at_ok(vecdb_warm(coll, NULL, &at_err));
  at_ok(vecdb_wait(coll, NULL, &at_err));
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* What waits to be merged: nothing with three segments of a size, all of four, nothing when they
   are merged. */
static void test_merge_bytes(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  for (int i = 0; i < 4; i++) {
    assert_int_equal(stats_of(coll).merge_bytes, 0);
    at_put(coll, i * 100, 100);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  vecdb_stats s = stats_of(coll);
  assert_int_equal(s.segments_sealed, 4);
  assert_int_equal(s.merge_bytes, s.bytes_files); /* no index is in them */
  at_ok(vecdb_wait(coll, NULL, &at_err));
  s = stats_of(coll);
  assert_int_equal(s.segments_sealed, 1);
  assert_int_equal(s.merge_bytes, 0);
  assert_int_equal(s.merges, 1);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_index_create_and_drop(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(folder, &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 300);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  vecdb_index_params params = {.size = sizeof params, .type = VECDB_INDEX_HNSW, .m = 8,
                               .ef_construction = 40, .ef = 30};
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  assert_int_equal(stats_of(coll).segments_indexed, 1);
  vecdb_collection_release(coll);
  at_close(db);
  db = at_open(folder, &options); /* the settings stay */
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  assert_int_equal(stats_of(coll).segments_indexed, 1);
  at_put(coll, 300, 300);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_int_equal(stats_of(coll).segments_indexed, 1);
  at_ok(vecdb_index_drop(coll, "v", &at_err));
  assert_int_equal(stats_of(coll).segments_indexed, 0);
  assert_int_equal(stats_of(coll).bytes_index, 0);
  at_ok(vecdb_index_drop(coll, "v", &at_err)); /* nothing left to drop */
  const float query[] = {10, 3, 0, 1};
  vecdb_search_params search = at_search(query, 5, NULL);
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[5];
  uint32_t n;
  at_ok(vecdb_search(coll, &search, hits, &n, &info, NULL, &at_err));
  assert_int_equal(info.segments_exact, 1);
  assert_int_equal(hits[0].id, 10);
  at_ok(vecdb_index_create(coll, "v", NULL, NULL, &at_err)); /* AUTO: too small for a graph */
  assert_int_equal(stats_of(coll).segments_indexed, 0);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* ---- Backup, readers ------------------------------------------------------------------------- */

static struct at_content content_of(const char *path, uint32_t flags) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = flags | VECDB_MUST_EXIST;
  vecdb *db = at_open(path, &options);
  vecdb_collection *coll;
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  struct at_content content = at_content(coll);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  return content;
}

static void test_backup_and_restore(void **state) {
  (void)state;
  char *folder = at_folder();
  char live[400], copy[400], back[400];
  snprintf(live, sizeof live, "%s/live", folder);
  snprintf(copy, sizeof copy, "%s/copy", folder);
  snprintf(back, sizeof back, "%s/back", folder);
  vecdb *db = at_open(live, NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 500);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_put(coll, 500, 100);
  at_delete(coll, 50, 100);
  vecdb_collection_release(at_small(db, "empty"));
  struct at_content before = at_content(coll);
  at_ok(vecdb_backup(db, copy, NULL, &at_err));
  at_fails(VECDB_ERR_EXISTS, vecdb_backup(db, copy, NULL, &at_err));
  at_put(coll, 1000, 50); /* later than the copy */
  vecdb_collection_release(coll);
  at_close(db);
  at_same(before, content_of(copy, VECDB_READ_ONLY));
  at_ok(vecdb_restore(copy, back, NULL, &at_err));
  at_fails(VECDB_ERR_EXISTS, vecdb_restore(copy, back, NULL, &at_err));
  at_same(before, content_of(back, 0));
  assert_int_equal(content_of(live, 0).rows, before.rows + 50);
  db = at_open(back, NULL); /* a database of its own, empty collection and all */
  at_ok(vecdb_collection_get(db, "empty", &coll, &at_err));
  vecdb_collection_release(coll);
  at_ok(vecdb_collection_get(db, "c", &coll, &at_err));
  at_put(coll, 2000, 10);
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(content_of(back, 0).rows, before.rows + 10);
  at_fails(VECDB_ERR_NOT_FOUND,
           vecdb_restore(at_path(folder, "none"), at_path(folder, "x"), NULL, &at_err));
  assert_false(at_exists(at_path(folder, "x")));
  at_remove(folder);
}

/* A backup made by a reader holds the rows that are only in the log, too. */
static void test_backup_by_a_reader(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *live = at_path(folder, "live"), *copy = at_path(folder, "copy");
  vecdb *db = at_open(live, NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 50);
  struct at_content before = at_content(coll);
  vecdb_collection_release(coll);
  at_close(db);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY;
  db = at_open(live, &options);
  at_ok(vecdb_backup(db, copy, NULL, &at_err));
  at_close(db);
  at_same(before, content_of(copy, VECDB_READ_ONLY));
  at_remove(folder);
}

static void test_readers(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *writer = at_open(folder, NULL);
  vecdb_collection *coll = at_small(writer, "c"), *seen;
  at_put(coll, 0, 100);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_put(coll, 100, 100);
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_READ_ONLY;
  vecdb *first = at_open(folder, &options), *second = at_open(folder, &options);
  at_put(coll, 200, 100); /* readers see the state at their opening */
  at_ok(vecdb_collection_get(first, "c", &seen, &at_err));
  assert_int_equal(at_count(seen, NULL), 200);
  assert_int_equal(at_count(seen, "n == 5"), 2);
  const float query[] = {150, 3, 0, 1};
  vecdb_search_params search = at_search(query, 1, NULL);
  vecdb_hit hit;
  uint32_t n;
  at_ok(vecdb_search(seen, &search, &hit, &n, NULL, NULL, &at_err));
  assert_int_equal(hit.id, 150);
  vecdb_keys keys = {.integers = &hit.id, .n = 1};
  vecdb_filter all = {.text = NULL};
  const vecdb_schema *schema = vecdb_collection_schema(seen);
  const int code = VECDB_ERR_READ_ONLY;
  at_fails(code, vecdb_delete(seen, &keys, NULL, &at_err));
  at_fails(code, vecdb_delete_where(seen, &all, NULL, NULL, &at_err));
  at_fails(code, vecdb_flush(seen, NULL, &at_err));
  at_fails(code, vecdb_compact(seen, NULL, &at_err));
  at_fails(code, vecdb_index_create(seen, "v", NULL, NULL, &at_err));
  at_fails(code, vecdb_index_drop(seen, "v", &at_err));
  at_fails(code, vecdb_collection_create(first, "d", schema, NULL, &at_err));
  at_fails(code, vecdb_collection_drop(first, "c", &at_err));
  at_fails(code, vecdb_flush_all(first, NULL, &at_err));
  at_fails(code, vecdb_step(first, 0, 0, NULL, &at_err));
  const vecdb_column columns[] = {{.field = "id", .data = &hit.id}, {.field = "n", .data = &n},
                                  {.field = "v", .data = query}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  at_fails(code, vecdb_insert(seen, &batch, NULL, &at_err));
  at_fails(code, vecdb_upsert(seen, &batch, NULL, &at_err));
  at_ok(vecdb_check(second, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(seen);
  at_close(first);
  at_close(second);
  assert_int_equal(at_count(coll, NULL), 300);
  vecdb_collection_release(coll);
  at_close(writer);
  at_remove(folder);
}

/* A database of many collections, written in turn, with each way of being durable. */
static void test_durability_modes(void **state) {
  (void)state;
  for (int mode = VECDB_DURABLE_COMMIT; mode <= VECDB_DURABLE_OFF; mode++) {
    char *folder = at_folder();
    vecdb_options options = VECDB_OPTIONS_INIT;
    options.durability = mode;
    options.interval_ms = 1;
    vecdb *db = at_open(folder, &options);
    vecdb_collection *colls[5];
    struct at_content before[5];
    for (int i = 0; i < 5; i++)
      colls[i] = at_small(db, (const char *[]){"a", "b", "c", "d", "e"}[i]);
    for (int round = 0; round < 10; round++)
      at_put(colls[round * 3 % 5], round * 7, 10);
    at_delete(colls[2], 0, 30);
    for (int i = 0; i < 5; i++) {
      before[i] = at_content(colls[i]);
      vecdb_collection_release(colls[i]);
    }
    at_close(db);
    db = at_open(folder, NULL);
    for (int i = 0; i < 5; i++) {
      const char *name = (const char *[]){"a", "b", "c", "d", "e"}[i];
      at_ok(vecdb_collection_get(db, name, &colls[i], &at_err));
      at_same(before[i], at_content(colls[i]));
      vecdb_collection_release(colls[i]);
    }
    at_close(db);
    at_remove(folder);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_versions_and_names),    cmocka_unit_test(test_normalize),
      cmocka_unit_test(test_half_floats),           cmocka_unit_test(test_open_and_close),
      cmocka_unit_test(test_in_memory),             cmocka_unit_test(test_create_list_drop),
      cmocka_unit_test(test_describe),              cmocka_unit_test(test_dropped),
      cmocka_unit_test(test_flush_compact_stats),   cmocka_unit_test(test_merge_bytes),
      cmocka_unit_test(test_index_create_and_drop),
      cmocka_unit_test(test_backup_and_restore),    cmocka_unit_test(test_backup_by_a_reader),
      cmocka_unit_test(test_readers),               cmocka_unit_test(test_durability_modes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
