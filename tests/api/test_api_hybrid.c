/* test_api_hybrid.c - one ranking out of several searches, against sums in double over places and
   scores that are found by looking at every row. */
#include <math.h>

#include "tlib/apitest.h"

enum { ROWS = 400, DIM = 8, PAIRS = 3, TERMS = 40, K = 25, QUERIES = 3, FOUND = 60 };

/* Two dense vectors and a sparse one per row. */
static float a[ROWS][DIM], b[ROWS][DIM];
static vecdb_sparse_pair pairs[ROWS][PAIRS];
static float query_a[QUERIES][DIM], query_b[QUERIES][DIM];
static vecdb_sparse_pair query_pairs[QUERIES][PAIRS];
static vecdb_sparse sparse[ROWS], query_sparse[QUERIES];

static void make_sparse(vecdb_sparse_pair *out, vecdb_sparse *of, uint32_t *random) {
  for (uint32_t i = 0; i < PAIRS; i++) {
    out[i].index = i * TERMS + at_random(random) % TERMS;
    out[i].value = (float)at_unit(random) + 0.1f;
  }
  of->pairs = out;
  of->n = PAIRS;
}

static void make_vectors(void) {
  uint32_t random = 5;
  for (int i = 0; i < ROWS + QUERIES; i++) {
    float *x = i < ROWS ? a[i] : query_a[i - ROWS], *y = i < ROWS ? b[i] : query_b[i - ROWS];
    for (int j = 0; j < DIM; j++) {
      x[j] = (float)at_unit(&random) - 0.5f;
      y[j] = (float)at_unit(&random) - 0.5f;
    }
    if (i < ROWS)
      make_sparse(pairs[i], &sparse[i], &random);
    else
      make_sparse(query_pairs[i - ROWS], &query_sparse[i - ROWS], &random);
  }
}

static vecdb_collection *make(vecdb *db) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "a", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_COSINE},
      {.name = "b", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2},
      {.name = "s", .type = VECDB_SPARSE_VECTOR}};
  static int64_t ids[ROWS];
  for (int i = 0; i < ROWS; i++)
    ids[i] = i;
  const vecdb_column columns[] = {{.field = "id", .data = ids}, {.field = "a", .data = a},
                                  {.field = "b", .data = b},    {.field = "s", .data = sparse}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 4};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 4, ROWS};
  vecdb_collection *coll;
  make_vectors();
  at_ok(vecdb_collection_create(db, "h", &schema, &coll, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  return coll;
}

/* ---- The truth ------------------------------------------------------------------------------- */

struct place {
  int id;
  double score;
};

static double score_of(int field, int row, int q) {
  double dot = 0, square = 0, x2 = 0, y2 = 0;
  for (int i = 0; field == 2 && i < PAIRS; i++)
    if (pairs[row][i].index == query_pairs[q][i].index)
      dot += (double)pairs[row][i].value * (double)query_pairs[q][i].value;
  for (int i = 0; field < 2 && i < DIM; i++) {
    double x = field ? (double)b[row][i] : (double)a[row][i];
    double y = field ? (double)query_b[q][i] : (double)query_a[q][i];
    dot += x * y;
    square += (x - y) * (x - y);
    x2 += x * x;
    y2 += y * y;
  }
  return field == 0 ? dot / sqrt(x2 * y2) : field == 1 ? square : dot;
}

static int larger_first(const void *x, const void *y) {
  const struct place *p = x, *q = y;
  if (p->score != q->score)
    return p->score < q->score ? 1 : -1;
  return (p->id > q->id) - (p->id < q->id);
}

static double normal(int field, double s) {
  const double pi = acos(-1.0);
  return field == 0 ? (1 + s) / 2 : field == 1 ? 1 - 2 * atan(s) / pi : 0.5 + atan(s) / pi;
}

/* Adds what the hits of one search count to sums[]; `half`: only even rows pass its filter. */
static void add_search(int field, int q, const vecdb_hybrid_search *search, int32_t fusion,
                       double rrf_k, bool half, double *sums) {
  struct place places[ROWS];
  int n = 0;
  for (int row = 0; row < ROWS; row++) {
    double score = score_of(field, row, q);
    if ((half && row % 2) || (field == 2 && score == 0))
      continue;
    places[n].id = row;
    places[n++].score = field == 1 ? -score : score;
  }
  qsort(places, (size_t)n, sizeof *places, larger_first);
  for (int i = 0; i < n && i < (int)search->search.k; i++) {
    double score = field == 1 ? -places[i].score : places[i].score;
    double radius = (double)search->radius;
    if (search->bounded && (field == 1 ? score > radius : score < radius))
      continue;
    double worth = fusion == VECDB_FUSION_RRF        ? 1 / (rrf_k + i)
                   : fusion == VECDB_FUSION_WEIGHTED ? normal(field, score)
                                                     : score;
    sums[places[i].id] += (search->weight != 0 ? (double)search->weight : 1) * worth;
  }
}

static vecdb_hybrid_search search_of(int field, float weight) {
  vecdb_hybrid_search s = {.search = VECDB_SEARCH_PARAMS_INIT, .weight = weight};
  s.search.field = field == 0 ? "a" : field == 1 ? "b" : "s";
  s.search.queries = field == 0   ? (const void *)query_a
                     : field == 1 ? (const void *)query_b
                                  : (const void *)query_sparse;
  s.search.n_queries = QUERIES;
  s.search.k = FOUND;
  return s;
}

/* Each hit has the sum of its row, and none counts more than those given. */
static void check(const vecdb_hit *hits, uint32_t n, const double *sums) {
  struct place best[ROWS];
  int there = 0;
  for (int row = 0; row < ROWS; row++) {
    best[there].id = row;
    best[there].score = sums[row];
    there += sums[row] != 0;
  }
  qsort(best, (size_t)there, sizeof *best, larger_first);
  assert_int_equal(n, there < K ? there : K);
  for (uint32_t i = 0; i < n; i++) {
    assert_true(fabs((double)hits[i].score - best[i].score) < 1e-5);
    assert_true(fabs((double)hits[i].score - sums[hits[i].id]) < 1e-5);
    for (uint32_t j = 0; j < i; j++)
      assert_true(hits[j].id != hits[i].id);
    if (i > 0)
      assert_true(hits[i].score < hits[i - 1].score ||
                  (hits[i].score == hits[i - 1].score && hits[i].id > hits[i - 1].id));
  }
}

static void ranking(vecdb_collection *coll, int32_t fusion, float rrf_k, bool bounded) {
  vecdb_hybrid_search searches[] = {search_of(0, 0.7f), search_of(1, 0), search_of(2, 0.4f)};
  searches[1].search.filter.text = "id % 2 == 0";
  searches[0].bounded = bounded;
  searches[0].radius = 0.6f;
  searches[1].bounded = bounded;
  searches[1].radius = 0.5f;
  vecdb_hybrid_params params = VECDB_HYBRID_PARAMS_INIT;
  params.searches = searches;
  params.n_searches = 3;
  params.k = K;
  params.fusion = fusion;
  params.rrf_k = rrf_k;
  vecdb_hit hits[QUERIES * K];
  uint32_t counts[QUERIES];
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  vecdb_rows *rows;
  at_ok(vecdb_search_hybrid(coll, &params, hits, counts, &info, &rows, &at_err));
  assert_true(info.segments >= 9 && !info.partial);
  for (int q = 0; q < QUERIES; q++) {
    double sums[ROWS] = {0};
    for (int f = 0; f < 3; f++)
      add_search(f, q, &searches[f], fusion, rrf_k > 0 ? (double)rrf_k : 61, f == 1, sums);
    check(&hits[q * K], counts[q], sums);
    for (uint32_t i = 0; i < counts[q]; i++)
      assert_int_equal(vecdb_rows_value(rows, hits[q * K + (int)i].row, 0).as.integer,
                       hits[q * K + (int)i].id);
  }
  vecdb_rows_free(rows);
}

static void test_rankings(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  for (int round = 0; round < 2; round++) {
    for (int bounded = 0; bounded < 2; bounded++) {
      ranking(coll, VECDB_FUSION_RRF, 0, bounded);
      ranking(coll, VECDB_FUSION_RRF, 1, bounded);
      ranking(coll, VECDB_FUSION_WEIGHTED, 0, bounded);
      ranking(coll, VECDB_FUSION_SCORES, 0, bounded);
    }
    at_ok(vecdb_flush(coll, NULL, &at_err));
  }
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_mistakes(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = make(db);
  vecdb_hybrid_search searches[] = {search_of(0, 0), search_of(1, 0)};
  vecdb_hybrid_params params = VECDB_HYBRID_PARAMS_INIT;
  vecdb_hit hits[QUERIES * K];
  uint32_t counts[QUERIES];
  params.searches = searches;
  params.n_searches = 2;
  at_fails(VECDB_ERR_K, vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  params.k = K;
  params.n_searches = 0;
  at_fails(VECDB_ERR_LIMIT, vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  params.n_searches = 2;
  params.fusion = 3;
  at_fails(VECDB_ERR_OPTION, vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  params.fusion = 0;
  params.rrf_k = -1;
  at_fails(VECDB_ERR_OPTION, vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  params.rrf_k = 0;
  params.search_size = 8;
  at_fails(VECDB_ERR_OPTION, vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  params.search_size = sizeof *searches;
  searches[1].search.n_queries = 1;
  at_fails(VECDB_ERR_ARGUMENT,
           vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  searches[1].search.n_queries = QUERIES;
  searches[1].search.field = "c";
  at_fails(VECDB_ERR_UNKNOWN_FIELD,
           vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  searches[1].search.field = "b";
  searches[1].weight = at_nan();
  at_fails(VECDB_ERR_NOT_FINITE,
           vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  searches[1].weight = 0;
  at_fails(VECDB_ERR_ARGUMENT, vecdb_search_hybrid(coll, &params, NULL, counts, NULL, NULL,
                                                   &at_err));
  at_fails(VECDB_ERR_ARGUMENT, vecdb_search_hybrid(coll, NULL, hits, counts, NULL, NULL, &at_err));
  int32_t cancel = 1;
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &cancel;
  params.control = &control;
  at_fails(VECDB_ERR_CANCELLED,
           vecdb_search_hybrid(coll, &params, hits, counts, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
}

/* A clock that leaps once it has been asked so many times. */
static uint64_t asked, leaps_at;

static uint64_t leaping(void *user) {
  (void)user;
  return ++asked > leaps_at ? (uint64_t)10000000000 : 1;
}

/* Whenever the time runs out, in whichever search: without an info it is an error, with one the
   answer is called partial; what is called an answer is the whole one. */
static void test_deadlines(void **state) {
  (void)state;
  static const vecdb_clock clock = {leaping, leaping, NULL};
  vecdb_options o = VECDB_OPTIONS_INIT;
  o.flags = VECDB_HOST_DRIVEN;
  o.clock = &clock;
  leaps_at = UINT64_MAX;
  vecdb *db = at_open(":memory:", &o);
  vecdb_collection *coll = make(db);
  vecdb_hybrid_search searches[] = {search_of(0, 0), search_of(1, 0), search_of(2, 0)};
  vecdb_hybrid_params params = VECDB_HYBRID_PARAMS_INIT;
  vecdb_control control = VECDB_CONTROL_INIT;
  vecdb_hit hits[QUERIES * K];
  params.searches = searches;
  params.n_searches = 3;
  params.k = K;
  params.control = &control;
  control.timeout_ms = 1000;
  for (int told = 0; told < 2; told++) {
    uint32_t late = 0, n;
    bool over = false;
    for (n = 0; !over; n++) {
      uint32_t counts[QUERIES] = {0};
      vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
      asked = 0;
      leaps_at = n;
      int rc = vecdb_search_hybrid(coll, &params, hits, counts, told ? &info : NULL, NULL,
                                   &at_err);
      over = asked <= leaps_at;
      late += told ? info.partial : rc == VECDB_ERR_TIMEOUT;
      assert_true(rc == VECDB_OK || (!told && rc == VECDB_ERR_TIMEOUT));
      for (int q = 0; !rc && !(told && info.partial) && q < QUERIES; q++)
        assert_int_equal(counts[q], K);
    }
    assert_in_range(late, 5, n - 1);
  }
  leaps_at = UINT64_MAX;
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rankings),
      cmocka_unit_test(test_mistakes),
      cmocka_unit_test(test_deadlines),
  };
  return cmocka_run_group_tests_name("hybrid", tests, NULL, NULL);
}
