/*
 * test_filter_search.c - search under filters, over segments with graphs: as many hits as there are
 * rows that pass, up to k, at every selectivity, by every plan, with filters that have to do with
 * the distance and such that have not, before and after deletes; and a floor under the recall.
 */
#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum { DIM = 16, CLUSTERS = 20, SPREAD = 10000, MAX_K = 100, QUERIES = TEST_SIZE(6, 3) };

/* Rows in clusters. n is random in [0, SPREAD), so `n < x` passes x of SPREAD rows; c is the
   cluster, so filters on it have to do with the distance. */
struct model {
  uint32_t rows;
  float (*v)[DIM];
  int32_t *n;
  int32_t *c;
  uint8_t *gone;
  float centres[CLUSTERS][DIM];
};

static void near_centre(const struct model *m, int c, uint32_t *seed, float *out) {
  for (int k = 0; k < DIM; k++)
    out[k] = m->centres[c][k] + (float)(at_unit(seed) - 0.5) * 0.6f;
}

static void model_make(struct model *m, uint32_t rows) {
  uint32_t seed = 42;
  m->rows = rows;
  m->v = calloc(rows, sizeof *m->v);
  m->n = calloc(rows, sizeof *m->n);
  m->c = calloc(rows, sizeof *m->c);
  m->gone = calloc(rows, 1);
  for (int c = 0; c < CLUSTERS; c++)
    for (int k = 0; k < DIM; k++)
      m->centres[c][k] = (float)(at_unit(&seed) * 2 - 1);
  for (uint32_t i = 0; i < rows; i++) {
    m->c[i] = (int32_t)(at_random(&seed) % CLUSTERS);
    m->n[i] = (int32_t)(at_random(&seed) % SPREAD);
    near_centre(m, m->c[i], &seed, m->v[i]);
  }
}

static void model_free(struct model *m) {
  free(m->v);
  free(m->n);
  free(m->c);
  free(m->gone);
}

static void insert(vecdb_collection *coll, const struct model *m, uint32_t first, uint32_t n) {
  int64_t *ids = calloc(n, sizeof *ids);
  for (uint32_t i = 0; i < n; i++)
    ids[i] = first + i;
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "n", .data = m->n + first},
                                  {.field = "c", .data = m->c + first},
                                  {.field = "v", .data = m->v[first]}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, n};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  free(ids);
}

/* Two segments with graphs, and some rows in memory. */
static vecdb_collection *build(vecdb *db, const struct model *m) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT32},
      {.name = "c", .type = VECDB_INT32},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  uint32_t part = m->rows * 2 / 5;
  for (uint32_t first = 0; first < 2 * part; first += part) {
    insert(coll, m, first, part);
    at_ok(vecdb_flush(coll, NULL, &at_err));
    at_ok(vecdb_wait(coll, NULL, &at_err));
  }
  insert(coll, m, 2 * part, m->rows - 2 * part);
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.segments_indexed, 2);
  return coll;
}

/* What a filter asks of n and c; c_is is one cluster, c_not another; -1: any. */
struct want {
  int32_t n_below;
  int32_t c_is;
  int32_t c_not;
};

static void want_text(const struct want *w, char *out, size_t size) {
  int at = snprintf(out, size, "n < %d", w->n_below);
  if (w->c_is >= 0)
    at += snprintf(out + at, size - (size_t)at, " and c == %d", w->c_is);
  if (w->c_not >= 0)
    snprintf(out + at, size - (size_t)at, " and not (c == %d)", w->c_not);
}

static bool want_row(const struct model *m, const struct want *w, int64_t i) {
  return !m->gone[i] && m->n[i] < w->n_below && (w->c_is < 0 || m->c[i] == w->c_is) &&
         m->c[i] != w->c_not;
}

static double distance(const float *a, const float *b) {
  double sum = 0;
  for (int k = 0; k < DIM; k++)
    sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
  return sum;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The distances of all rows that pass, nearest first. */
static uint32_t nearest(const struct model *m, const struct want *w, const float *query,
                        double *out) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < m->rows; i++)
    if (want_row(m, w, i))
      out[n++] = distance(query, m->v[i]);
  qsort(out, n, sizeof *out, compare);
  return n;
}

struct recall {
  uint64_t expected[5], found[5]; /* by plan */
  uint64_t fallbacks;
};

/* One query under one filter, by every plan and with several k. */
static void check_query(vecdb_collection *coll, const struct model *m, const struct want *w,
                        const float *query, struct recall *recall) {
  static const uint32_t ks[] = {1, 10, MAX_K};
  char filter[80];
  want_text(w, filter, sizeof filter);
  double *truth = calloc(m->rows, sizeof *truth);
  uint32_t passing = nearest(m, w, query, truth);
  for (int32_t plan = VECDB_PLAN_AUTO; plan <= VECDB_PLAN_CODES; plan++)
    for (size_t i = 0; i < AT_COUNT(ks); i++) {
      vecdb_search_params params = at_search(query, ks[i], filter);
      vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
      vecdb_hit hits[MAX_K];
      uint32_t n = 0, expected = passing < ks[i] ? passing : ks[i];
      params.plan = plan;
      at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
      if (n != expected)
        print_error("'%s', plan %d, k %u: %u hits of %u\n", filter, plan, ks[i], n, expected);
      assert_int_equal(n, expected);
      recall->expected[plan] += expected;
      recall->fallbacks += info.fallbacks;
      for (uint32_t h = 0; h < n; h++) {
        assert_true(want_row(m, w, hits[h].id));
        assert_true(h == 0 || hits[h - 1].score <= hits[h].score);
        for (uint32_t other = 0; other < h; other++)
          assert_int_not_equal(hits[other].id, hits[h].id);
        double d = distance(query, m->v[hits[h].id]);
        assert_true((double)hits[h].score <= d * 1.00001 + 1e-6 &&
                    (double)hits[h].score >= d * 0.99999 - 1e-6);
        recall->found[plan] += d <= truth[expected - 1] + 1e-9;
      }
    }
  free(truth);
}

/* All selectivities; filters that are blind to the distance, that pass the query's own cluster, one
   far away, and all but the query's own. */
static void check_all(vecdb_collection *coll, const struct model *m) {
  static const int32_t below[] = {5000, 1000, 100, 10, 1}; /* 50, 10, 1, 0.1, 0.01 % */
  struct recall recall = {{0}, {0}, 0};
  uint32_t seed = 7;
  for (int q = 0; q < QUERIES; q++) {
    int own = (int)(at_random(&seed) % CLUSTERS), far = 0;
    float query[DIM];
    near_centre(m, own, &seed, query);
    for (int c = 0; c < CLUSTERS; c++)
      if (distance(query, m->centres[c]) > distance(query, m->centres[far]))
        far = c;
    for (size_t i = 0; i < AT_COUNT(below); i++) {
      const struct want wants[] = {
          {below[i], -1, -1}, {below[i], own, -1}, {below[i], far, -1}, {below[i], -1, own}};
      for (size_t k = 0; k < AT_COUNT(wants); k++)
        check_query(coll, m, &wants[k], query, &recall);
    }
    const struct want every = {SPREAD, -1, -1}, none = {0, -1, -1}, own_only = {SPREAD, own, -1},
                      far_only = {SPREAD, far, -1};
    check_query(coll, m, &every, query, &recall);
    check_query(coll, m, &none, query, &recall);
    check_query(coll, m, &own_only, query, &recall);
    check_query(coll, m, &far_only, query, &recall);
  }
  assert_int_equal(recall.found[VECDB_PLAN_EXACT], recall.expected[VECDB_PLAN_EXACT]);
  static const double floors[] = {0.97, 1, 0.95, 0.95};
  for (int plan = 0; plan < 4; plan++) {
    double share = (double)recall.found[plan] / (double)recall.expected[plan];
    if (share < floors[plan])
      print_error("plan %d: recall %.4f\n", plan, share);
    assert_true(share >= floors[plan]);
  }
}

static void remove_rows(vecdb_collection *coll, struct model *m, const char *filter,
                        const struct want *w) {
  vecdb_filter f = {.text = filter};
  uint64_t deleted, expected = 0;
  for (uint32_t i = 0; i < m->rows; i++)
    if (want_row(m, w, i)) {
      m->gone[i] = 1;
      expected++;
    }
  at_ok(vecdb_delete_where(coll, &f, &deleted, NULL, &at_err));
  assert_int_equal(deleted, expected);
}

static void test_selectivities(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN; /* deleted rows stay in their segments */
  options.index_rows = 200;
  vecdb *db = at_open(":memory:", &options);
  struct model m;
  model_make(&m, TEST_SIZE(6000, 3000));
  vecdb_collection *coll = build(db, &m);
  check_all(coll, &m);
  const struct want tenth = {1000, -1, -1}, cluster = {SPREAD, 3, -1}, most = {7000, -1, -1};
  remove_rows(coll, &m, "n < 1000", &tenth);
  remove_rows(coll, &m, "c == 3", &cluster);
  check_all(coll, &m);
  remove_rows(coll, &m, "n < 7000", &most); /* more dead than alive */
  check_all(coll, &m);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  check_all(coll, &m);
  model_free(&m);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Batches of queries share what a filter needs; each gets its own k. */
static void test_batches(void **state) {
  (void)state;
  enum { MANY = 30 };
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 200;
  vecdb *db = at_open(":memory:", &options);
  struct model m;
  model_make(&m, 2000);
  vecdb_collection *coll = build(db, &m);
  float queries[MANY][DIM];
  uint32_t seed = 1, counts[MANY];
  for (int q = 0; q < MANY; q++)
    near_centre(&m, q % CLUSTERS, &seed, queries[q]);
  vecdb_hit *hits = calloc(MANY * 10, sizeof *hits);
  for (int32_t plan = VECDB_PLAN_AUTO; plan <= VECDB_PLAN_CODES; plan++) {
    vecdb_search_params params = at_search(queries[0], 10, "n < 2000 and c in [1, 5, 9]");
    params.n_queries = MANY;
    params.threads = 2;
    params.plan = plan;
    uint64_t passing = at_count(coll, params.filter.text);
    assert_true(passing > 10);
    at_ok(vecdb_search(coll, &params, hits, counts, NULL, NULL, &at_err));
    for (int q = 0; q < MANY; q++) {
      assert_int_equal(counts[q], 10);
      for (uint32_t h = 0; h < 10; h++) {
        int64_t id = hits[q * 10 + (int)h].id;
        assert_true(m.n[id] < 2000 && (m.c[id] == 1 || m.c[id] == 5 || m.c[id] == 9));
      }
    }
  }
  free(hits);
  model_free(&m);
  vecdb_collection_release(coll);
  at_close(db);
}

/* The same key again and again: old versions are never found, by any plan or filter. */
static void test_replaced_rows(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  for (int round = 0; round < 4; round++) {
    at_put(coll, round * 100, 400); /* 300 of them replace rows of the round before */
    at_ok(vecdb_flush(coll, NULL, &at_err));
    at_ok(vecdb_index_create(coll, "v", NULL, NULL, &at_err));
  }
  const float query[] = {350, 0, 0, 1};
  for (int32_t plan = VECDB_PLAN_AUTO; plan <= VECDB_PLAN_CODES; plan++) {
    vecdb_search_params params = at_search(query, 500, "id % 2 == 0 and n < 90");
    vecdb_hit hits[500];
    uint32_t n;
    bool seen[700] = {false};
    params.plan = plan;
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, at_count(coll, params.filter.text));
    assert_int_equal(n, 700 * 45 / 100);
    for (uint32_t h = 0; h < n; h++) {
      assert_false(seen[hits[h].id]);
      seen[hits[h].id] = true;
    }
  }
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_selectivities),
      cmocka_unit_test(test_batches),
      cmocka_unit_test(test_replaced_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
