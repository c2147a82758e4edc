/*
 * test_device.c - a database that uses a device, against itself without one: the same hits with the
 * same scores from scans, as many true neighbours from graphs;
 * and a device that fails, has too little memory, or is not there.
 */
#include "gpu/gputest.h"
#include "tlib/apitest.h"

enum { ROWS = 8200, DIM = 24, QUERIES = 64, WALKS = 20, K = 10, FEW = 2400 };
/* Bytes of the rows of a sealed segment of ROWS / 2 on the device. */
#define SEGMENT ((size_t)4224 * (32 * 2 + 16))

static const char *module_path;
static void (*emu_fail_at)(uint64_t);
static void (*emu_hold)(int);
static size_t (*emu_used)(void);

static vecdb_options with_device(const char *device) {
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.device = device;
  o.device_module = module_path;
  o.seal_rows = ROWS / 2; /* two segments, and some rows that are not sealed */
  o.index_rows = ROWS * 2;
  o.flags = VECDB_HOST_DRIVEN;
  return o;
}

static float rows[ROWS + 50][DIM], queries[QUERIES][DIM];

/* Rows of id, n = id % 10 and the same vector twice: "flat" with COSINE, "graph" with L2. So many
   in two sealed segments, and 50 that are not sealed; some are deleted. */
static vecdb_collection *fill_with(vecdb *db, int n_rows) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT32},
      {.name = "flat", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_COSINE},
      {.name = "graph", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  static int64_t ids[ROWS + 50];
  static int32_t ns[ROWS + 50];
  uint32_t seed = 7;
  vecdb_collection *c;
  at_ok(vecdb_collection_create(db, "c", &schema, &c, &at_err));
  for (int i = 0; i < n_rows + 50; i++) {
    ids[i] = i;
    ns[i] = i % 10;
    for (int j = 0; j < DIM; j++)
      rows[i][j] = (float)(at_unit(&seed) - 0.5) * (float)(1 + i % 3);
  }
  for (int i = 0; i < QUERIES; i++)
    for (int j = 0; j < DIM; j++)
      queries[i][j] = (float)(at_unit(&seed) - 0.5);
  for (int first = 0; first < n_rows + 50; first += n_rows / 2) {
    uint32_t n = (uint32_t)(first + n_rows / 2 > n_rows + 50 ? 50 : n_rows / 2);
    const vecdb_column columns[] = {{.field = "id", .data = ids + first},
                                    {.field = "n", .data = ns + first},
                                    {.field = "flat", .data = rows[first], .dim = DIM},
                                    {.field = "graph", .data = rows[first], .dim = DIM}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, n};
    at_ok(vecdb_insert(c, &batch, NULL, &at_err));
    if (n > 50)
      at_ok(vecdb_flush(c, NULL, &at_err));
  }
  at_ok(vecdb_delete_where(c, &(vecdb_filter){.text = "id % 17 == 3"}, NULL, NULL, &at_err));
  return c;
}

static vecdb_collection *fill(vecdb *db) { return fill_with(db, ROWS); }

struct answer {
  vecdb_hit hits[QUERIES * K];
  uint32_t counts[QUERIES];
  vecdb_search_info info;
};

static void ask_params(vecdb_collection *c, vecdb_search_params *p, struct answer *a) {
  p->k = K;
  p->queries = queries;
  a->info = (vecdb_search_info)VECDB_SEARCH_INFO_INIT;
  at_ok(vecdb_search(c, p, a->hits, a->counts, &a->info, NULL, &at_err));
}

static void ask(vecdb_collection *c, const char *field, const char *filter, uint32_t n,
                uint32_t flags, struct answer *a) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.plan = VECDB_PLAN_EXACT;
  p.field = field;
  p.n_queries = n;
  p.flags = flags;
  p.filter.text = filter;
  ask_params(c, &p, a);
}

static void same(const struct answer *a, const struct answer *b, uint32_t n) {
  for (uint32_t q = 0; q < n; q++) {
    assert_int_equal(a->counts[q], b->counts[q]);
    for (uint32_t i = 0; i < a->counts[q]; i++) {
      assert_int_equal(a->hits[q * K + i].id, b->hits[q * K + i].id);
      assert_memory_equal(&a->hits[q * K + i].score, &b->hits[q * K + i].score, sizeof(float));
    }
  }
}

static uint32_t in_common(const struct answer *a, const struct answer *b, uint32_t queries_asked) {
  uint32_t n = 0;
  for (uint32_t q = 0; q < queries_asked; q++)
    for (uint32_t i = 0; i < K; i++)
      for (uint32_t j = 0; j < K; j++)
        n += a->hits[q * K + i].id == b->hits[q * K + j].id;
  return n;
}

static void test_same_hits(void **state) {
  (void)state;
  static const char *const filters[] = {NULL, "n < 7"};
  static struct answer device, processor;
  vecdb_options o = with_device("gpu");
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *c = fill(db);
  for (size_t i = 0; i < AT_COUNT(filters); i++) {
    ask(c, "flat", filters[i], QUERIES, 0, &device);
    ask(c, "flat", filters[i], QUERIES, VECDB_SEARCH_CPU, &processor);
    assert_int_equal(processor.info.segments_device, 0);
    assert_int_equal(device.info.segments_device, 2 * QUERIES);
    same(&device, &processor, QUERIES);
  }
  ask(c, "flat", NULL, 3, 0, &device); /* too few to be worth it */
  assert_int_equal(device.info.segments_device, 0);
  vecdb_collection_release(c);
  at_close(db);
}

/* Indexes of "graph" over two segments of FEW / 2 rows, and none of "flat". */
static vecdb_collection *indexed(vecdb *db, const vecdb_index_params *params) {
  vecdb_index_params flat = VECDB_INDEX_PARAMS_INIT;
  vecdb_collection *c = fill_with(db, FEW);
  flat.type = VECDB_INDEX_FLAT;
  at_ok(vecdb_index_create(c, "flat", &flat, NULL, &at_err));
  at_ok(vecdb_index_create(c, "graph", params, NULL, &at_err));
  return c;
}

/* Searches the index of "graph". */
static void ask_index(vecdb_collection *c, const char *filter, struct answer *a) {
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.plan = VECDB_PLAN_GRAPH;
  p.field = "graph";
  p.n_queries = WALKS;
  p.filter.text = filter;
  ask_params(c, &p, a);
}

static vecdb_options indexing(void) {
  vecdb_options o = with_device("gpu:0");
  o.seal_rows = FEW / 2;
  o.index_rows = FEW / 4;
  return o;
}

/* Among all rows that are not deleted, and under a filter. */
static void test_graph(void **state) {
  (void)state;
  static const char *const filters[] = {NULL, "n < 7"};
  static struct answer device, exact;
  vecdb_options o = indexing();
  vecdb *db = at_open(":memory:", &o);
  vecdb_index_params graph = VECDB_INDEX_PARAMS_INIT;
  graph.type = VECDB_INDEX_HNSW;
  graph.m = 8;
  graph.ef_construction = 40;
  vecdb_collection *c = indexed(db, &graph);
  for (size_t i = 0; i < AT_COUNT(filters); i++) {
    ask_index(c, filters[i], &device);
    ask(c, "graph", filters[i], WALKS, VECDB_SEARCH_CPU, &exact);
    assert_int_equal(device.info.segments_device, 2 * WALKS);
    assert_true(in_common(&device, &exact, WALKS) * 100 >= WALKS * K * 95);
    for (uint32_t h = 0; h < WALKS * K; h++)
      assert_true(device.hits[h].id % 17 != 3 && (!filters[i] || device.hits[h].id % 10 < 7));
  }
  vecdb_collection_release(c);
  at_close(db);
}

/* Each call of the device fails in turn: the hits do not change. */
static void test_failing(void **state) {
  (void)state;
  static struct answer device, processor;
  vecdb_options o = with_device("gpu");
  for (uint64_t at = 2; at <= 24; at += 11) {
    vecdb *db = at_open(":memory:", &o);
    vecdb_collection *c = fill(db);
    ask(c, "flat", NULL, QUERIES, VECDB_SEARCH_CPU, &processor);
    emu_fail_at(at);
    ask(c, "flat", NULL, QUERIES, 0, &device);
    emu_fail_at(0);
    same(&device, &processor, QUERIES);
    ask(c, "flat", NULL, QUERIES, 0, &device); /* a failure is no reason to stay away */
    assert_int_equal(device.info.segments_device, 2 * QUERIES);
    same(&device, &processor, QUERIES);
    vecdb_collection_release(c);
    at_close(db);
  }
}

/* Room for the rows of one segment: those of the other stay with the processor, and do not push
   them out by turns. Once others are asked for, they make room. */
static void test_little_memory(void **state) {
  (void)state;
  static struct answer device, processor;
  vecdb_device d = VECDB_DEVICE_INIT;
  vecdb_options o = with_device("gpu");
  o.device_memory = SEGMENT + 20000;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *c = fill(db);
  ask(c, "flat", NULL, QUERIES, VECDB_SEARCH_CPU, &processor);
  for (int i = 0; i < 3; i++) {
    ask(c, "flat", NULL, QUERIES, 0, &device);
    assert_int_equal(device.info.segments_device, QUERIES);
    same(&device, &processor, QUERIES);
  }
  at_ok(vecdb_device_stats(db, &d, &at_err));
  assert_int_equal(d.evicted, 0);
  assert_int_equal(d.sets, 1);
  for (int i = 0; i < 12; i++)
    ask(c, "graph", "id >= 0", QUERIES, 0, &device);
  assert_int_equal(device.info.segments_device, QUERIES);
  at_ok(vecdb_device_stats(db, &d, &at_err));
  assert_int_equal(d.evicted, 1);
  assert_int_equal(d.sets, 1);
  assert_true(d.bytes <= o.device_memory);
  vecdb_collection_release(c);
  at_close(db);
  o.device_memory = 1000;
  db = at_open(":memory:", &o);
  c = fill(db);
  ask(c, "flat", NULL, QUERIES, 0, &device);
  assert_int_equal(device.info.segments_device, 0);
  same(&device, &processor, QUERIES);
  vecdb_collection_release(c);
  at_close(db);
}

static void explained(vecdb_collection *c) {
  static char text[8192];
  vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
  p.k = K;
  p.field = "flat";
  p.n_queries = QUERIES;
  at_ok(vecdb_explain(c, &p, text, sizeof text, NULL, &at_err));
  assert_non_null(strstr(text, "  device: emulated 0\n"));
  p.flags = VECDB_SEARCH_CPU;
  at_ok(vecdb_explain(c, &p, text, sizeof text, NULL, &at_err));
  assert_null(strstr(text, "device"));
  p.flags = 2;
  at_fails(VECDB_ERR_OPTION, vecdb_explain(c, &p, text, sizeof text, NULL, &at_err));
}

/* Rows leave the device with their database, and stats say what is there. */
static void test_left(void **state) {
  (void)state;
  static struct answer device;
  vecdb_options o = with_device("gpu");
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *c = fill(db);
  size_t before = emu_used();
  ask(c, "flat", NULL, QUERIES, 0, &device);
  assert_true(emu_used() > before);
  size_t lanes = emu_used() - 2 * SEGMENT;
  vecdb_device d = VECDB_DEVICE_INIT;
  at_ok(vecdb_device_stats(db, &d, &at_err));
  assert_int_equal(d.present, 1);
  assert_string_equal(d.name, "emulated 0");
  assert_int_equal(d.sets, 2);
  assert_int_equal(d.bytes, 2 * SEGMENT);
  assert_int_equal(d.queries, 2 * QUERIES);
  assert_int_equal(d.failures + d.evicted, 0);
  explained(c);
  vecdb_collection_release(c);
  at_close(db);
  assert_int_equal(emu_used(), lanes);
}

/* A database with threads of its own: searches do not wait while rows are copied. */
static void test_background(void **state) {
  (void)state;
  static struct answer device, processor;
  vecdb_options o = with_device("gpu");
  o.flags = 0;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *c = fill(db);
  size_t before = emu_used();
  emu_hold(1);
  ask(c, "flat", NULL, QUERIES, 0, &device);
  ask(c, "flat", NULL, QUERIES, VECDB_SEARCH_CPU, &processor);
  assert_int_equal(device.info.segments_device, 0);
  same(&device, &processor, QUERIES);
  emu_hold(0);
  do
    ask(c, "flat", NULL, QUERIES, 0, &device);
  while (device.info.segments_device == 0);
  same(&device, &processor, QUERIES);
  assert_true(emu_used() >= before + SEGMENT);
  ask(c, "graph", NULL, QUERIES, 0, &device); /* may be under way when all is closed */
  vecdb_collection_release(c);
  at_close(db);
}

static void test_not_there(void **state) {
  (void)state;
  vecdb *db;
  vecdb_options o = with_device("gpu:9");
  at_fails(VECDB_ERR_UNSUPPORTED, vecdb_open(":memory:", &o, &db, &at_err));
  assert_non_null(strstr(at_err.message, "gpu:9"));
  o.device_module = "no-such-module.so";
  at_fails(VECDB_ERR_UNSUPPORTED, vecdb_open(":memory:", &o, &db, &at_err));
  assert_non_null(strstr(at_err.message, "no-such-module.so"));
  o.device = "auto";
  db = at_open(":memory:", &o);
  at_close(db);
  static const char *const names[] = {"",       "tpu",    "gpu:", "gpu:x",
                                      "gpu:1x", "gpu:-1", "gpu:99999999999"};
  for (size_t i = 0; i < AT_COUNT(names); i++) {
    o.device = names[i];
    at_fails(VECDB_ERR_OPTION, vecdb_open(":memory:", &o, &db, &at_err));
  }
  o.device = "cpu";
  db = at_open(":memory:", &o);
  at_close(db);
}

static int open_module(void **state) {
  (void)state;
  module_path = GPU_EMULATED;
  void *module = dlopen(module_path, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    print_error("%s\n", dlerror());
    return -1;
  }
  gpu_find(module, "emu_fail_at", &emu_fail_at);
  gpu_find(module, "emu_used", &emu_used);
  gpu_find(module, "emu_hold", &emu_hold);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_hits),     cmocka_unit_test(test_graph),

      cmocka_unit_test(test_failing),       cmocka_unit_test(test_little_memory),
      cmocka_unit_test(test_background),    cmocka_unit_test(test_left),
      cmocka_unit_test(test_not_there)};
  return cmocka_run_group_tests_name("device", tests, open_module, NULL);
}
