/*
 * test_api_disk.c - DISK through the API on a host's files: what a search reads is counted, and a
 * read that fails is an error of that search alone; blocks kept in memory; index parameters that
 * DISK refuses.
 */
#include <errno.h>

#include "tlib/apitest.h"
#include "tlib/apivfs.h"

enum { DIM = 24, ROWS = 3000, K = 10 };

static const vecdb_schema *schema_of(vecdb_field fields[2], int32_t type) {
  static vecdb_schema schema;
  fields[0] = (vecdb_field){.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY};
  fields[1] = (vecdb_field){.name = "v", .type = type, .dim = DIM, .metric = VECDB_L2};
  fields[1].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  fields[1].index.type = VECDB_INDEX_DISK;
  schema = (vecdb_schema){sizeof schema, sizeof *fields, NULL, fields, 2};
  return &schema;
}

static vecdb_collection *fill(vecdb *db, float *first) {
  static int64_t ids[ROWS];
  static float v[ROWS][DIM];
  uint32_t seed = 3;
  for (int i = 0; i < ROWS; i++) {
    ids[i] = i;
    for (int k = 0; k < DIM; k++)
      v[i][k] = (float)at_unit(&seed);
  }
  memcpy(first, v[0], sizeof v[0]);
  vecdb_field fields[2];
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", schema_of(fields, VECDB_FLOAT_VECTOR), &coll, &at_err));
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "v", .data = v}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), ROWS};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  return coll;
}

static void reads_fail(void **state) {
  (void)state;
  struct av_disk *disk = av_new();
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.vfs = av_vfs(disk);
  options.index_rows = 1000;
  vecdb *db = at_open("db", &options);
  float query[DIM];
  vecdb_collection *coll = fill(db, query);
  static const char *const filters[] = {NULL, "id < 1500", "id < 100"};
  for (size_t i = 0; i < 3; i++) {
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    vecdb_hit hits[K], again[K];
    uint32_t n, n_again;
    params.queries = query;
    params.k = K;
    params.filter.text = filters[i];
    params.plan = i == 2 ? VECDB_PLAN_CODES : VECDB_PLAN_GRAPH;
    at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
    assert_int_equal(n, K);
    assert_int_equal(hits[0].id, 0);
    assert_true(info.reads > 0);
    av_fail_reads(disk, EIO);
    at_fails(VECDB_ERR_IO, vecdb_search(coll, &params, again, &n_again, &info, NULL, &at_err));
    assert_int_equal(at_err.os_code, EIO);
    av_fail_reads(disk, 0);
    at_ok(vecdb_search(coll, &params, again, &n_again, &info, NULL, &at_err));
    assert_int_equal(n_again, n);
    for (uint32_t k = 0; k < n; k++)
      assert_int_equal(again[k].id, hits[k].id);
  }
  vecdb_collection_release(coll);
  at_close(db);
  assert_int_equal(av_open_files(disk), 0);
  av_free(disk);
}

static vecdb_memory memory_of(vecdb *db) {
  vecdb_memory m = VECDB_MEMORY_INIT;
  at_ok(vecdb_memory_stats(db, &m, &at_err));
  return m;
}

/* A database on a disk, which the tests below open in turn. */
struct made {
  struct av_disk *disk;
  vecdb_options options;
  float query[DIM];
  uint64_t memory; /* once it is filled */
};

static int make(void **state) {
  static struct made m;
  m.disk = av_new();
  m.options = (vecdb_options)VECDB_OPTIONS_INIT;
  m.options.vfs = av_vfs(m.disk);
  m.options.index_rows = 1000;
  m.options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open("db", &m.options);
  vecdb_collection_release(fill(db, m.query));
  m.memory = memory_of(db).total;
  at_close(db);
  m.options.vector_cache_bytes = 4 << 20;
  *state = &m;
  return 0;
}

static int unmake(void **state) {
  const struct made *m = *state;
  av_free(m->disk);
  return 0;
}

static vecdb *open_made(const vecdb_options *options, vecdb_collection **coll) {
  vecdb *db = at_open("db", options);
  at_ok(vecdb_collection_get(db, "c", coll, &at_err));
  return db;
}

/* Blocks that are kept are read no more, count as memory, and go with their index. */
static void kept_blocks(void **state) {
  const struct made *m = *state;
  struct av_disk *disk = m->disk;
  vecdb_options options = m->options;
  const float *query = m->query;
  vecdb_collection *coll;
  vecdb *db = open_made(&options, &coll);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[K], again[K];
  uint32_t n;
  params.queries = query;
  params.k = K;
  params.plan = VECDB_PLAN_GRAPH;
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  vecdb_memory before = memory_of(db);
  av_fail_reads(disk, EIO);
  at_ok(vecdb_search(coll, &params, again, &n, &info, NULL, &at_err));
  av_fail_reads(disk, 0);
  assert_int_equal(info.reads, 0);
  assert_memory_equal(again, hits, sizeof hits);
  vecdb_memory after = memory_of(db);
  assert_true(after.vector_hits > before.vector_hits);
  assert_int_equal(after.vector_misses, before.vector_misses);
  assert_true(after.vectors > 4096 * after.vector_entries && after.vectors <= 4 << 20);
  assert_int_equal(after.total, after.rows + after.writes + after.files + after.indexes +
                                    after.builds + after.searches + after.results + after.cache +
                                    after.other + after.vectors);
  at_ok(vecdb_index_drop(coll, "v", &at_err));
  assert_int_equal(memory_of(db).vector_entries, 0);
  vecdb_collection_release(coll);
  at_close(db);
  options.vector_cache_bytes = (1 << 20) - 1;
  at_fails(VECDB_ERR_OPTION, vecdb_open("db", &options, &db, &at_err));
}

static int note_phase(void *user, const char *phase, uint64_t done, uint64_t total) {
  assert_string_equal(phase, "warm");
  assert_true(done <= total);
  *(bool *)user = true;
  return 0;
}

/* Rows that were warmed up are searched among without a read; others are not in memory. */
static void warm_rows(void **state) {
  const struct made *m = *state;
  struct av_disk *disk = m->disk;
  vecdb_collection *coll;
  vecdb *db = open_made(&m->options, &coll);
  const vecdb_param limit = {"n", {.type = VECDB_INT64, .as.integer = 100}};
  vecdb_filter filter = {"id < {n}", 0, &limit, 1};
  vecdb_control control = VECDB_CONTROL_INIT;
  int32_t cancel = 1;
  uint64_t rows;
  bool noted = false;
  control.cancel = &cancel;
  at_fails(VECDB_ERR_CANCELLED, vecdb_warm_rows(coll, &filter, &rows, &control, &at_err));
  av_fail_reads(disk, EIO);
  at_fails(VECDB_ERR_IO, vecdb_warm_rows(coll, &filter, &rows, NULL, &at_err));
  av_fail_reads(disk, 0);
  assert_int_equal(memory_of(db).vector_entries, 0);
  control = (vecdb_control)VECDB_CONTROL_INIT;
  control.progress = note_phase;
  control.user = &noted;
  at_ok(vecdb_warm_rows(coll, &filter, &rows, &control, &at_err));
  assert_int_equal(rows, 100);
  assert_true(noted);
  uint64_t kept = memory_of(db).vector_entries;
  assert_in_range(kept, 1, 100);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_hit hits[K];
  uint32_t n;
  params.queries = m->query;
  params.k = K;
  params.filter = filter;
  params.plan = VECDB_PLAN_CODES;
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  assert_int_equal(info.reads, 0);
  params.filter.text = "id >= {n}";
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  assert_true(info.reads > 0);
  filter.text = "none < {n}";
  at_fails(VECDB_ERR_UNKNOWN_FIELD, vecdb_warm_rows(coll, &filter, &rows, NULL, &at_err));
  at_ok(vecdb_warm_rows(coll, NULL, &rows, NULL, &at_err));
  assert_int_equal(rows, ROWS);
  vecdb_collection_release(coll);
  at_close(db);
}

/* A budget that others need takes the blocks back. */
static void kept_blocks_give_way(void **state) {
  const struct made *m = *state;
  vecdb_options options = m->options;
  vecdb_collection *coll;
  float wide[DIM];
  options.memory_limit = m->memory + (3 << 20);
  vecdb *db = open_made(&options, &coll);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[K];
  uint32_t n, seed = 4;
  params.queries = wide;
  params.k = K;
  params.ef = 300;
  params.plan = VECDB_PLAN_GRAPH;
  for (int i = 0; i < 20; i++) {
    for (int k = 0; k < DIM; k++)
      wide[k] = (float)at_unit(&seed);
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  }
  vecdb_memory full = memory_of(db);
  assert_true(full.vector_entries > 20);
  vecdb_keys keys = {NULL, NULL, 0};
  vecdb_rows *rows = NULL;
  static int64_t ids[ROWS];
  for (int i = 0; i < ROWS; i++)
    ids[i] = i;
  keys.integers = ids;
  keys.n = ROWS;
  vecdb_rows *held[16];
  int n_held = 0;
  while (n_held < 16 && memory_of(db).vector_entries == full.vector_entries) {
    at_ok(vecdb_get(coll, &keys, NULL, 0, NULL, &rows, &at_err));
    held[n_held++] = rows;
  }
  assert_true(memory_of(db).vector_entries < full.vector_entries);
  assert_int_equal(memory_of(db).refused, 0);
  while (n_held > 0)
    vecdb_rows_free(held[--n_held]);
  vecdb_collection_release(coll);
  at_close(db);
}

static void refused_parameters(void **state) {
  (void)state;
  static const char *const texts[] = {"DISK(refine=f16)", "DISK(nlist=5)", "DISK(pq_m=7)",
                                      "DISK(nbits=9)",    "DISK(m=2)",     "DISK(ef=99999)"};
  vecdb *db = at_open(":memory:", NULL);
  vecdb_field fields[2];
  vecdb_collection *coll;
  at_fails(VECDB_ERR_INDEX_PARAM,
           vecdb_collection_create(db, "i", schema_of(fields, VECDB_INT8_VECTOR), &coll, &at_err));
  for (size_t i = 0; i < AT_COUNT(texts); i++) {
    const vecdb_schema *schema = schema_of(fields, VECDB_FLOAT_VECTOR);
    at_ok(vecdb_index_params_parse(texts[i], &fields[1].index, &at_err));
    at_fails(VECDB_ERR_INDEX_PARAM, vecdb_collection_create(db, "c", schema, &coll, &at_err));
  }
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_fail),
      cmocka_unit_test(refused_parameters),
  };
  const struct CMUnitTest kept[] = {
      cmocka_unit_test(kept_blocks_give_way),
      cmocka_unit_test(warm_rows),
      cmocka_unit_test(kept_blocks), /* drops the index */
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  return failed + cmocka_run_group_tests(kept, make, unmake);
}
