/*
 * test_api_memory.c - memory through the public interface: every byte is counted by purpose, the
 * estimate of a build is held against what an allocator saw, and memory_limit is kept with nothing
 * lost.
 */
#include <pthread.h>

#include "tlib/apitest.h"
#include "tlib/thorough.h"

/* An allocator that knows how much it has given out, and how much at most. */
struct counting {
  pthread_mutex_t mu;
  size_t used, peak;
};
static struct counting counted = {PTHREAD_MUTEX_INITIALIZER, 0, 0};

enum { HEAD = 16 };

static void count_add(size_t n) {
  pthread_mutex_lock(&counted.mu);
  counted.used += n;
  counted.peak = counted.used > counted.peak ? counted.used : counted.peak;
  pthread_mutex_unlock(&counted.mu);
}

static void *count_alloc(void *user, size_t n) {
  char *raw = malloc(n + HEAD);
  (void)user;
  if (!raw)
    return NULL;
  memcpy(raw, &n, sizeof n);
  count_add(n);
  return raw + HEAD;
}

static void count_release(void *user, void *block) {
  size_t n;
  (void)user;
  if (!block)
    return;
  memcpy(&n, (char *)block - HEAD, sizeof n);
  pthread_mutex_lock(&counted.mu);
  counted.used -= n;
  pthread_mutex_unlock(&counted.mu);
  free((char *)block - HEAD);
}

static void *count_resize(void *user, void *block, size_t n) {
  size_t old = 0;
  if (!block)
    return count_alloc(user, n);
  memcpy(&old, (char *)block - HEAD, sizeof old);
  void *moved = count_alloc(user, n);
  if (!moved)
    return NULL;
  memcpy(moved, block, old < n ? old : n);
  count_release(user, block);
  return moved;
}

static const vecdb_allocator counting_table = {count_alloc, count_resize, count_release, NULL};

static vecdb_options host_driven(uint64_t limit) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.allocator = &counting_table;
  o.durability = VECDB_DURABLE_OFF;
  o.memory_limit = limit;
  o.seal_rows = 4096;
  o.index_rows = 256;
  return o;
}

static vecdb_memory memory_of(vecdb *db) {
  vecdb_memory m = VECDB_MEMORY_INIT;
  at_ok(vecdb_memory_stats(db, &m, &at_err));
  return m;
}

/* Purposes add up to the total, which is what the allocator gave out. */
static void check_sum(vecdb *db) {
  vecdb_memory m = memory_of(db);
  uint64_t sum = m.rows + m.writes + m.files + m.indexes + m.builds + m.searches + m.results +
                 m.cache + m.other;
  assert_int_equal(m.total, sum);
  assert_int_equal(m.total, counted.used);
}

enum { DIM = 24, ROWS = 1500 };

static vecdb_collection *create_vectors(vecdb *db, uint32_t dim, bool bits) {
  vecdb_field f[2] = {{.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
                      {.name = "v", .type = bits ? VECDB_BINARY_VECTOR : VECDB_FLOAT_VECTOR}};
  f[1].dim = dim;
  f[1].metric = bits ? VECDB_HAMMING : VECDB_L2;
  f[1].index = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  f[1].index.type = VECDB_INDEX_FLAT;
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  schema.fields = f;
  schema.n_fields = 2;
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "v", &schema, &coll, &at_err));
  return coll;
}

static void put_vectors(vecdb_collection *coll, int64_t first, uint32_t n, uint32_t dim) {
  uint32_t state = (uint32_t)first + 7;
  int64_t *ids = malloc(n * sizeof *ids);
  float *v = malloc((size_t)n * dim * sizeof *v);
  for (uint32_t i = 0; i < n; i++) {
    ids[i] = first + i;
    for (uint32_t k = 0; k < dim; k++)
      v[(size_t)i * dim + k] = (float)at_unit(&state) + (float)(i % 11 == k % 11);
  }
  vecdb_column columns[2] = {{.field = "id", .data = ids}, {.field = "v", .data = v}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = n;
  at_ok(vecdb_upsert(coll, &batch, NULL, &at_err));
  free(ids);
  free(v);
}

static void search_small(vecdb_collection *coll, vecdb_rows **rows) {
  static const float query[4] = {17, 0, 0, 1};
  vecdb_search_params p = at_search(query, 5, NULL);
  vecdb_hit hits[5];
  uint32_t count;
  at_ok(vecdb_search(coll, &p, hits, &count, NULL, rows, &at_err));
  assert_int_equal(count, 5);
}

/* One step of the life of a collection, by number; false: there are no more. */
static bool one_step(vecdb_collection *coll, int step, vecdb_rows **rows) {
  vecdb_index_params hnsw = VECDB_INDEX_PARAMS_INIT;
  hnsw.type = VECDB_INDEX_HNSW;
  switch (step) {
  case 0:
    at_put(coll, 0, 400);
    return true;
  case 1:
    at_delete(coll, 10, 30);
    return true;
  case 2:
    search_small(coll, rows);
    return true;
  case 3:
    at_ok(vecdb_flush(coll, NULL, &at_err));
    return true;
  case 4:
    at_put(coll, 300, 400);
    return true;
  case 5:
    at_ok(vecdb_index_create(coll, "v", &hnsw, NULL, &at_err));
    return true;
  case 6:
    at_ok(vecdb_compact(coll, NULL, &at_err));
    return true;
  case 7:
    assert_int_equal(at_count(coll, "n < 50"), 320);
    return true;
  case 8:
    at_ok(vecdb_index_drop(coll, "v", &at_err));
    return true;
  case 9:
    vecdb_rows_free(*rows);
    *rows = NULL;
    return true;
  default:
    return false;
  }
}

static void steps_of(const char *path) {
  vecdb_options o = host_driven(0);
  size_t before = counted.used;
  assert_int_equal(before, 0);
  vecdb *db = at_open(path, &o);
  check_sum(db);
  vecdb_collection *coll = at_small(db, "c");
  vecdb_rows *rows = NULL;
  for (int step = 0; one_step(coll, step, &rows); step++) {
    check_sum(db);
    vecdb_memory m = memory_of(db);
    assert_int_equal(m.builds, 0); /* nothing is under way between two calls */
    assert_true(step < 2 || step == 9 ? m.results == 0 : m.results > 0);
    assert_int_equal(m.refused, 0);
  }
  vecdb_iterator *it;
  static const float query[4] = {1, 0, 0, 1};
  vecdb_search_params p = at_search(query, 0, NULL);
  at_ok(vecdb_iterator_open(coll, &p, &it, &at_err));
  check_sum(db);
  assert_true(memory_of(db).searches > 0);
  vecdb_iterator_close(it);
  assert_int_equal(memory_of(db).searches, 0);
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  check_sum(db);
  vecdb_collection_release(coll);
  check_sum(db);
  at_close(db);
  assert_int_equal(counted.used, 0);
}

static void test_every_byte(void **state) {
  (void)state;
  char *folder = at_folder();
  steps_of(":memory:");
  steps_of(at_path(folder, "db"));
  at_remove(folder);
}

/* Peak of a build beside its estimate: never above, and no less than half of it. */
static void check_estimate(vecdb_collection *coll, const char *type, uint32_t rows) {
  const vecdb_field *field = &vecdb_collection_schema(coll)->fields[1];
  vecdb_index_params params;
  vecdb_index_need need = VECDB_INDEX_NEED_INIT;
  at_ok(vecdb_index_params_parse(type, &params, &at_err));
  at_ok(vecdb_index_drop(coll, "v", &at_err));
  at_ok(vecdb_index_estimate(field, &params, rows, 1, &need, &at_err));
  assert_int_equal(need.build, need.codes + need.graph + need.lists + need.scratch);
  assert_true(need.type == params.type || params.type == VECDB_INDEX_AUTO);
  size_t before = counted.used;
  counted.peak = before;
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  size_t peak = counted.peak - before;
  if (peak > need.build || 2 * peak < need.build)
    fail_msg("%s over %u rows: %zu bytes were taken, %llu estimated", type, rows, peak,
             (unsigned long long)need.build);
}

static void test_estimates(void **state) {
  static const char *const floats[] = {
      "AUTO",     "HNSW",    "HNSW(m=32)", "HNSW_SQ(nbits=8)", "HNSW_SQ(nbits=4)",
      "HNSW_PQ",  "IVF_FLAT", "IVF_SQ8",   "IVF_PQ",           "IVF_PQ(nbits=8)",
      "OPQ",      "IVF_RABITQ", "IVF_HNSW", "BIN_FLAT",        "BIN_IVF",
      "BIN_HNSW", "DISK"};
  static const char *const bits[] = {"HNSW", "BIN_IVF", "BIN_HNSW"};
  const char *asked = getenv("MEMORY_ROWS"); /* for a campaign; as ever, sizes change the answer */
  uint32_t rows = asked ? (uint32_t)strtoul(asked, NULL, 10) : TEST_SIZE(400, 300);
  (void)state;
  char *folder = at_folder();
  for (int binary = 0; binary < 2; binary++) {
    vecdb_options o = host_driven(0);
    vecdb *db = at_open(at_path(folder, binary ? "bits" : "floats"), &o);
    vecdb_collection *coll = create_vectors(db, binary ? 64 : DIM, binary);
    put_vectors(coll, 0, rows, DIM);
    at_ok(vecdb_compact(coll, NULL, &at_err));
    for (size_t i = 0; i < (binary ? AT_COUNT(bits) : AT_COUNT(floats)); i++)
      check_estimate(coll, binary ? bits[i] : floats[i], rows);
    vecdb_collection_release(coll);
    at_close(db);
  }
  at_remove(folder);
}

static void test_bad_estimates(void **state) {
  vecdb_field text = {.name = "s", .type = VECDB_VARCHAR};
  vecdb_field field = {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 8};
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_index_need need = VECDB_INDEX_NEED_INIT, older = {.size = 8};
  vecdb_memory memory = {.size = 8};
  (void)state;
  at_ok(vecdb_index_estimate(&field, &params, 0, 0, &need, &at_err));
  assert_int_equal(need.build, 0);
  at_fails(VECDB_ERR_TYPE, vecdb_index_estimate(&text, &params, 9, 0, &need, &at_err));
  at_fails(VECDB_ERR_LIMIT, vecdb_index_estimate(&field, &params, 1ull << 40, 0, &need, &at_err));
  at_fails(VECDB_ERR_OPTION, vecdb_index_estimate(&field, &params, 9, 0, &older, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_estimate(NULL, &params, 9, 0, &need, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_estimate(&field, NULL, 9, 0, &need, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_index_estimate(&field, &params, 9, 0, NULL, &at_err));
  params.nprobe = 3;
  at_fails(VECDB_ERR_INDEX_PARAM, vecdb_index_estimate(&field, &params, 9, 0, &need, &at_err));
  vecdb *db = at_open(":memory:", NULL);
  at_fails(VECDB_ERR_OPTION, vecdb_memory_stats(db, &memory, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_memory_stats(db, NULL, &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_memory_stats(NULL, &memory, &at_err));
  at_close(db);
}

static const char *explained(vecdb_collection *coll) {
  static char text[4096];
  static const float query[DIM];
  vecdb_search_params p = at_search(query, 5, NULL);
  size_t n;
  p.field = "v";
  p.queries = query;
  at_ok(vecdb_explain(coll, &p, text, sizeof text, &n, &at_err));
  return text;
}

static uint64_t estimate_of(vecdb_collection *coll, int32_t type, uint64_t rows) {
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_index_need need = VECDB_INDEX_NEED_INIT;
  params.type = type;
  at_ok(vecdb_index_estimate(&vecdb_collection_schema(coll)->fields[1], &params, rows, 1, &need,
                             &at_err));
  return need.build;
}

/* A graph is refused, by name of need and budget, and what was there stays; AUTO takes lists. */
static void test_too_large(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = host_driven(0);
  vecdb *db = at_open(at_path(folder, "db"), &o);
  vecdb_collection *coll = create_vectors(db, DIM, false);
  put_vectors(coll, 0, ROWS, DIM);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  uint64_t graph = estimate_of(coll, VECDB_INDEX_HNSW, ROWS);
  uint64_t lists = estimate_of(coll, VECDB_INDEX_IVF_RABITQ, ROWS);
  assert_true(2 * lists < graph);
  vecdb_collection_release(coll);
  at_close(db);

  o.memory_limit = graph - 1;
  db = at_open(at_path(folder, "db"), &o);
  at_ok(vecdb_collection_get(db, "v", &coll, &at_err));
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_IVF_FLAT;
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  params.type = VECDB_INDEX_HNSW;
  char figures[2][32];
  snprintf(figures[0], sizeof figures[0], "%llu", (unsigned long long)graph);
  snprintf(figures[1], sizeof figures[1], "%llu", (unsigned long long)o.memory_limit);
  at_fails(VECDB_ERR_NO_MEMORY, vecdb_index_create(coll, "v", &params, NULL, &at_err));
  assert_non_null(strstr(at_err.message, figures[0]));
  assert_non_null(strstr(at_err.message, figures[1]));
  assert_non_null(strstr(explained(coll), "index IVF_FLAT"));
  params.type = VECDB_INDEX_AUTO;
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  assert_non_null(strstr(explained(coll), "index IVF_RABITQ"));
  assert_non_null(strstr(explained(coll), "built within memory_limit"));
  assert_int_equal(at_count(coll, NULL), ROWS);
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* Settings of before the limit: new segments stay without an index, merges stop where one would be
   lost, an index that is there stays, and background work comes to an end. */
static void test_in_pieces(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb_options o = host_driven(0);
  vecdb *db = at_open(at_path(folder, "db"), &o);
  vecdb_collection *coll = create_vectors(db, DIM, false);
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_HNSW;
  at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
  o.memory_limit = estimate_of(coll, VECDB_INDEX_HNSW, 900) + (1 << 20);
  vecdb_collection_release(coll);
  at_close(db);

  db = at_open(at_path(folder, "db"), &o);
  at_ok(vecdb_collection_get(db, "v", &coll, &at_err));
  for (int64_t part = 0; part < 5; part++) {
    put_vectors(coll, part * 300, 300, DIM);
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  at_ok(vecdb_compact(coll, NULL, &at_err));
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_true(stats.segments_sealed >= 2);
  assert_int_equal(stats.segments_indexed, stats.segments_sealed);
  assert_int_equal(stats.rows, 1500);
  vecdb_collection_release(coll);
  at_close(db);

  /* Less than any of these needs: what is there stays, new rows are found by scans. */
  o.memory_limit = 3 << 20;
  db = at_open(at_path(folder, "db"), &o);
  at_ok(vecdb_collection_get(db, "v", &coll, &at_err));
  put_vectors(coll, 1500, 1500, DIM);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_wait(coll, NULL, &at_err));
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.jobs_pending, 0);
  assert_int_equal(stats.rows, 3000);
  const char *text = explained(coll);
  assert_non_null(strstr(text, "index HNSW"));
  assert_non_null(strstr(text, "no index: building HNSW"));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_byte),     cmocka_unit_test(test_estimates),
      cmocka_unit_test(test_bad_estimates),  cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_in_pieces),
  };
  return cmocka_run_group_tests_name("test_api_memory", tests, NULL, NULL);
}
