/*
 * test_api_live.c - the live estimate of recall in vecdb_stats: which queries are checked, that the
 * estimate is what these queries found by brute force in double, its weights, its rest, and off.
 */
#include <math.h>

#include "tlib/apitest.h"

enum { DIM = 48, ROWS = 900, QUERIES = 100, K = 10, EVERY = 3, MEMORY = 64 };

struct data {
  int64_t ids[ROWS];
  float rows[ROWS][DIM];
  float queries[QUERIES][DIM];
  double recalls[QUERIES]; /* of the index, at the `ef` of the test */
};

/* A clock that moves a step at each look. */
struct ticking {
  uint64_t now, step;
};

static uint64_t tick(void *user) {
  struct ticking *clock = user;
  return clock->now += clock->step;
}

static void data_make(struct data *d) {
  uint32_t seed = 9;
  for (int i = 0; i < ROWS + QUERIES; i++) {
    float *out = i < ROWS ? d->rows[i] : d->queries[i - ROWS];
    for (int k = 0; k < DIM; k++)
      out[k] = (float)at_unit(&seed);
  }
  for (int i = 0; i < ROWS; i++)
    d->ids[i] = i;
}

static vecdb_collection *fill(vecdb *db, const struct data *d, const char *index) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2}};
  at_ok(vecdb_index_params_parse(index, &fields[1].index, &at_err));
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  const vecdb_column columns[] = {{.field = "id", .data = d->ids}, {.field = "v", .data = d->rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), ROWS};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  return coll;
}

/* A database whose background work is done by step_all alone. */
static vecdb *open_db(uint32_t every, const vecdb_clock *clock) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.index_rows = 500;
  options.recall_every = every;
  options.clock = clock;
  return at_open(":memory:", &options);
}

static void step_all(vecdb *db) {
  for (bool more = true; more;)
    at_ok(vecdb_step(db, 0, 0, &more, &at_err));
}

static vecdb_stats stats_of(vecdb_collection *coll) {
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  return stats;
}

static vecdb_search_params search_for(const struct data *d, uint32_t q) {
  vecdb_search_params params = at_search(d->queries[q % QUERIES], K, NULL);
  params.ef = 12;
  return params;
}

/* The share of the true neighbours among the hits. */
static double truth(const struct data *d, uint32_t q, const vecdb_hit *hits) {
  double keys[ROWS], reach = INFINITY;
  uint32_t good = 0;
  for (int i = 0; i < ROWS; i++) {
    keys[i] = 0;
    for (int k = 0; k < DIM; k++) {
      double x = (double)d->rows[i][k] - (double)d->queries[q][k];
      keys[i] += x * x;
    }
  }
  for (int rank = 0; rank < K; rank++) { /* the K-th key from below, by selection */
    double next = INFINITY;
    for (int i = 0; i < ROWS; i++)
      if ((rank == 0 || keys[i] > reach) && keys[i] < next)
        next = keys[i];
    reach = next;
  }
  for (int i = 0; i < K; i++)
    good += keys[hits[i].id] <= reach;
  return (double)good / K;
}

static void search(vecdb_collection *coll, struct data *d, uint32_t q) {
  vecdb_search_params params = search_for(d, q);
  vecdb_hit hits[K];
  uint32_t n;
  at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, K);
  d->recalls[q] = truth(d, q, hits);
}

/* Every third query is checked, at the ef that it had; the estimate is a mean, later a mean in
   which the latest weigh most. */
static void estimate(void **state) {
  (void)state;
  struct data *d = calloc(1, sizeof *d);
  struct ticking still = {1000, 0};
  vecdb_clock clock = {tick, tick, &still};
  vecdb *db = open_db(EVERY, &clock);
  data_make(d);
  vecdb_collection *coll = fill(db, d, "HNSW(m=4, ef_construction=16)");
  assert_true(stats_of(coll).recall_checks == 0 && stats_of(coll).recall == 0);
  double expected = 0;
  uint32_t checks = 0;
  for (uint32_t round = 0; round < 3; round++)
    for (uint32_t q = 0; q < QUERIES - 1; q++) { /* a multiple of EVERY */
      search(coll, d, q);
      assert_int_equal(stats_of(coll).jobs_pending, q % EVERY == EVERY - 1);
      step_all(db);
      if (q % EVERY != EVERY - 1)
        continue;
      checks++;
      expected += (d->recalls[q] - expected) / (checks < MEMORY ? checks : MEMORY);
      assert_int_equal(stats_of(coll).recall_checks, checks);
      assert_true(fabs(stats_of(coll).recall - expected) < 1e-9);
    }
  assert_true(checks > MEMORY && expected > 0.05 && expected < 0.99);
  vecdb_collection_release(coll);
  at_close(db);
  free(d);
}

/* One query of a call of many. */
static void batches(void **state) {
  (void)state;
  struct data *d = calloc(1, sizeof *d);
  vecdb *db = open_db(40, NULL);
  data_make(d);
  vecdb_collection *coll = fill(db, d, "HNSW(m=4, ef_construction=16)");
  vecdb_search_params params = search_for(d, 0);
  static vecdb_hit hits[QUERIES * K];
  uint32_t n[QUERIES];
  params.n_queries = QUERIES;
  at_ok(vecdb_search(coll, &params, hits, n, NULL, NULL, &at_err));
  step_all(db);
  assert_int_equal(stats_of(coll).recall_checks, 1);
  double expected = truth(d, 39, hits + 39 * K);
  assert_true(fabs(stats_of(coll).recall - expected) < 1e-9);
  vecdb_collection_release(coll);
  at_close(db);
  free(d);
}

/* Not checked: queries with a filter, of another plan, of too large a k, exact ones; and none where
   the option says so. */
static void left_out(void **state) {
  (void)state;
  struct data *d = calloc(1, sizeof *d);
  data_make(d);
  for (int off = 0; off < 2; off++) {
    vecdb *db = open_db(off ? 0 : 1, NULL);
    vecdb_collection *coll = fill(db, d, "HNSW(m=4, ef_construction=16)");
    static vecdb_hit hits[2000];
    uint32_t n;
    for (int i = 0; i < 4; i++) {
      vecdb_search_params params = search_for(d, 0);
      params.filter.text = i == 0 ? "id < 2000" : NULL;
      params.plan = i == 1 ? VECDB_PLAN_EXACT : i == 2 ? VECDB_PLAN_GRAPH : VECDB_PLAN_AUTO;
      params.k = i == 3 ? 2000 : K;
      params.ef = 0;
      at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
      assert_int_equal(stats_of(coll).jobs_pending, 0);
    }
    search(coll, d, 0);
    step_all(db);
    assert_int_equal(stats_of(coll).recall_checks, off ? 0 : 1);
    at_ok(vecdb_index_drop(coll, "v", &at_err));
    search(coll, d, 1); /* exact: kept, but there is nothing to learn from it */
    step_all(db);
    assert_int_equal(stats_of(coll).recall_checks, off ? 0 : 1);
    vecdb_collection_release(coll);
    at_close(db);
  }
  free(d);
}

/* After a check no query is kept for a hundred times as long. */
static void rests(void **state) {
  (void)state;
  struct data *d = calloc(1, sizeof *d);
  struct ticking slow = {1000, 0};
  vecdb_clock clock = {tick, tick, &slow};
  vecdb *db = open_db(1, &clock);
  data_make(d);
  vecdb_collection *coll = fill(db, d, "HNSW(m=4, ef_construction=16)");
  search(coll, d, 0);
  slow.step = 1000;
  step_all(db);
  slow.step = 0;
  assert_int_equal(stats_of(coll).recall_checks, 1);
  for (int i = 0; i < 5; i++) {
    search(coll, d, 0);
    assert_int_equal(stats_of(coll).jobs_pending, 0);
  }
  slow.now += (uint64_t)1000 * 1000 * 1000;
  search(coll, d, 0);
  assert_int_equal(stats_of(coll).jobs_pending, 1);
  step_all(db);
  assert_int_equal(stats_of(coll).recall_checks, 2);
  search(coll, d, 1); /* kept, and never checked */
  vecdb_collection_release(coll);
  at_close(db);
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(estimate), cmocka_unit_test(batches),
                                     cmocka_unit_test(left_out), cmocka_unit_test(rests)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
