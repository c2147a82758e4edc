/*
 * test_api_search.c - search through the public interface against a small brute force in double
 * precision: every vector type and metric, ranges, batches of queries, iterators and their
 * snapshots, result rows, the numbers of vecdb_search_info, and explain.
 *
 * SCALAR: yes
 */
#include <math.h>

#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum { DIM = 24, ROWS = TEST_SIZES(700, 420, 300), K = 25, MAX_BYTES = DIM * 4 };

struct kind {
  int32_t type;
  int32_t metric;
};
static const struct kind kinds[] = {
    {VECDB_FLOAT_VECTOR, VECDB_L2},          {VECDB_FLOAT_VECTOR, VECDB_IP},
    {VECDB_FLOAT_VECTOR, VECDB_COSINE},      {VECDB_FLOAT16_VECTOR, VECDB_L2},
    {VECDB_FLOAT16_VECTOR, VECDB_IP},        {VECDB_FLOAT16_VECTOR, VECDB_COSINE},
    {VECDB_BFLOAT16_VECTOR, VECDB_L2},       {VECDB_BFLOAT16_VECTOR, VECDB_IP},
    {VECDB_BFLOAT16_VECTOR, VECDB_COSINE},   {VECDB_INT8_VECTOR, VECDB_L2},
    {VECDB_INT8_VECTOR, VECDB_IP},           {VECDB_INT8_VECTOR, VECDB_COSINE},
    {VECDB_BINARY_VECTOR, VECDB_HAMMING},    {VECDB_BINARY_VECTOR, VECDB_JACCARD},
};

/* Rows with the ids 0 to ROWS - 1, as the model knows them. */
struct model {
  struct kind kind;
  size_t bytes;
  uint8_t vectors[ROWS][MAX_BYTES];
  bool gone[ROWS];
};

static size_t kind_bytes(int32_t type) {
  return type == VECDB_FLOAT_VECTOR    ? DIM * 4
         : type == VECDB_INT8_VECTOR   ? DIM
         : type == VECDB_BINARY_VECTOR ? DIM / 8
                                       : DIM * 2;
}

static void random_vector(int32_t type, uint32_t *seed, uint8_t *out) {
  float x[DIM];
  for (int i = 0; i < DIM; i++)
    x[i] = (float)(at_unit(seed) * 2 - 0.9);
  if (type == VECDB_FLOAT_VECTOR)
    memcpy(out, x, sizeof x);
  else if (type == VECDB_FLOAT16_VECTOR)
    vecdb_to_float16(x, (uint16_t *)(void *)out, DIM);
  else if (type == VECDB_BFLOAT16_VECTOR)
    vecdb_to_bfloat16(x, (uint16_t *)(void *)out, DIM);
  else
    for (size_t i = 0; i < kind_bytes(type); i++)
      out[i] = (uint8_t)at_random(seed);
}

/* The elements as doubles; bits for binary vectors. */
static void decode(int32_t type, const uint8_t *in, double *out) {
  float x[DIM];
  if (type == VECDB_FLOAT_VECTOR)
    memcpy(x, in, sizeof x);
  else if (type == VECDB_FLOAT16_VECTOR)
    vecdb_from_float16((const uint16_t *)(const void *)in, x, DIM);
  else if (type == VECDB_BFLOAT16_VECTOR)
    vecdb_from_bfloat16((const uint16_t *)(const void *)in, x, DIM);
  for (int i = 0; i < DIM; i++) {
    if (type == VECDB_INT8_VECTOR)
      out[i] = (int8_t)in[i];
    else if (type == VECDB_BINARY_VECTOR)
      out[i] = in[i / 8] >> i % 8 & 1;
    else
      out[i] = (double)x[i];
  }
}

static double score(struct kind kind, const uint8_t *a, const uint8_t *b) {
  double x[DIM], y[DIM], dot = 0, xx = 0, yy = 0, square = 0;
  decode(kind.type, a, x);
  decode(kind.type, b, y);
  for (int i = 0; i < DIM; i++) {
    dot += x[i] * y[i];
    xx += x[i] * x[i];
    yy += y[i] * y[i];
    square += (x[i] - y[i]) * (x[i] - y[i]);
  }
  switch (kind.metric) {
  case VECDB_L2:
  case VECDB_HAMMING:
    return square;
  case VECDB_IP:
    return dot;
  case VECDB_COSINE:
    return dot / sqrt(xx * yy);
  default:
    return xx + yy - dot == 0 ? 0 : 1 - dot / (xx + yy - dot);
  }
}

static bool smaller_is_nearer(int32_t metric) {
  return metric != VECDB_IP && metric != VECDB_COSINE;
}

static double slack(double x) { return 1e-5 * (fabs(x) + 1); }

static vecdb_collection *create(vecdb *db, struct kind kind, bool allow_zero) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT64},
      {.name = "v", .type = kind.type, .dim = DIM, .metric = kind.metric,
       .flags = allow_zero ? VECDB_ALLOW_ZERO : 0},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 3};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "vectors", &schema, &coll, &at_err));
  return coll;
}

static void insert(vecdb_collection *coll, const struct model *m, int64_t first, uint32_t n) {
  int64_t ids[ROWS];
  for (uint32_t i = 0; i < n; i++)
    ids[i] = first + i;
  const vecdb_column columns[] = {
      {.field = "id", .data = ids},
      {.field = "n", .data = ids},
      {.field = "v", .data = m->vectors[first], .stride = MAX_BYTES, .dim = DIM}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, n};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
}

/* The model and a collection like it: a third in files, the rest in memory, some deleted. */
static vecdb_collection *build(vecdb *db, struct kind kind, struct model *m) {
  uint32_t seed = (uint32_t)(kind.type * 10 + kind.metric);
  memset(m, 0, sizeof *m);
  m->kind = kind;
  m->bytes = kind_bytes(kind.type);
  for (int i = 0; i < ROWS; i++)
    random_vector(kind.type, &seed, m->vectors[i]);
  vecdb_collection *coll = create(db, kind, false);
  insert(coll, m, 0, ROWS / 3);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  insert(coll, m, ROWS / 3, ROWS - ROWS / 3);
  at_delete(coll, 100, 50);
  at_delete(coll, 600, 30);
  for (int i = 0; i < ROWS; i++)
    m->gone[i] = (i >= 100 && i < 150) || (i >= 600 && i < 630);
  return coll;
}

/* How many live rows with id % modulo == 0 come strictly before `than`, beyond rounding. */
static uint32_t count_nearer(const struct model *m, const double *scores, double than,
                             uint32_t modulo) {
  uint32_t n = 0;
  bool smaller = smaller_is_nearer(m->kind.metric);
  for (uint32_t i = 0; i < ROWS; i += modulo)
    n += !m->gone[i] && (smaller ? scores[i] < than - slack(than) : scores[i] > than + slack(than));
  return n;
}

/* Hits are live rows that pass, with their true scores, in order, none twice; and exact: each is
   among the nearest, up to rounding. */
static void check_hits(const struct model *m, const uint8_t *query, const vecdb_hit *hits,
                       uint32_t n, uint32_t modulo) {
  bool seen[ROWS] = {false};
  bool smaller = smaller_is_nearer(m->kind.metric);
  double scores[ROWS];
  for (uint32_t i = 0; i < ROWS; i++)
    scores[i] = score(m->kind, query, m->vectors[i]);
  for (uint32_t i = 0; i < n; i++) {
    assert_in_range(hits[i].id, 0, ROWS - 1);
    assert_false(m->gone[hits[i].id]);
    assert_false(seen[hits[i].id]);
    assert_int_equal(hits[i].id % modulo, 0);
    seen[hits[i].id] = true;
    double expected = scores[hits[i].id];
    assert_true(fabs((double)hits[i].score - expected) <= slack(expected));
    if (i > 0)
      assert_true(smaller ? hits[i - 1].score <= hits[i].score
                          : hits[i - 1].score >= hits[i].score);
    if (i > 0 && hits[i - 1].score == hits[i].score)
      assert_true(hits[i - 1].id < hits[i].id);
    assert_true(count_nearer(m, scores, expected, modulo) <= i);
  }
}

static void check_kind(struct kind kind) {
  vecdb *db = at_open(":memory:", NULL);
  struct model *m = malloc(sizeof *m);
  vecdb_collection *coll = build(db, kind, m);
  uint32_t seed = 99;
  int rounds = (int)test_size(6, 2);
  for (int round = 0; round < rounds; round++) {
    if (round == rounds / 2)
      at_ok(vecdb_compact(coll, NULL, &at_err));
    uint8_t query[MAX_BYTES];
    random_vector(kind.type, &seed, query);
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    params.field = round % 2 ? "v" : NULL;
    params.k = K;
    params.queries = query;
    params.dim = round % 2 ? DIM : 0;
    vecdb_hit hits[ROWS];
    uint32_t n;
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, K);
    check_hits(m, query, hits, n, 1);
    params.filter.text = "n % 7 == 0";
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, K);
    check_hits(m, query, hits, n, 7);
    params.k = ROWS; /* more than there are */
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, at_count(coll, "n % 7 == 0"));
    check_hits(m, query, hits, n, 7);
  }
  free(m);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_types_and_metrics(void **state) {
  (void)state;
  for (size_t i = 0; i < AT_COUNT(kinds); i++)
    check_kind(kinds[i]);
}

/* A graph is an approximation; what it says must be true all the same. */
static void test_graph_of_every_kind(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 100;
  for (size_t i = 0; i < AT_COUNT(kinds); i++) {
    vecdb *db = at_open(":memory:", &options);
    struct model *m = malloc(sizeof *m);
    vecdb_collection *coll = build(db, kinds[i], m);
    at_ok(vecdb_compact(coll, NULL, &at_err));
    vecdb_stats stats = VECDB_STATS_INIT;
    at_ok(vecdb_collection_stats(coll, &stats, &at_err));
    assert_int_equal(stats.segments_indexed, 1);
    uint32_t seed = 5, common = 0;
    for (int round = 0; round < (int)test_size(20, 5); round++) {
      uint8_t query[MAX_BYTES];
      random_vector(kinds[i].type, &seed, query);
      vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
      params.k = K;
      params.queries = query;
      vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
      vecdb_hit exact[K], hits[K];
      uint32_t n;
      params.plan = VECDB_PLAN_EXACT;
      at_ok(vecdb_search(coll, &params, exact, &n, NULL, NULL, &at_err));
      check_hits(m, query, exact, n, 1);
      params.plan = VECDB_PLAN_GRAPH;
      at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
      assert_int_equal(n, K);
      assert_int_equal(info.segments_graph, 1);
      for (uint32_t h = 0; h < K; h++) {
        double expected = score(kinds[i], query, m->vectors[hits[h].id]);
        assert_true(fabs((double)hits[h].score - expected) <= slack(expected));
        common += !smaller_is_nearer(kinds[i].metric)
                      ? (double)hits[h].score >= (double)exact[K - 1].score - slack(expected)
                      : (double)hits[h].score <= (double)exact[K - 1].score + slack(expected);
      }
    }
    assert_true(common >= test_size(20, 5) * K * 9 / 10);
    free(m);
    vecdb_collection_release(coll);
    at_close(db);
  }
}

static void test_zero_vectors_allowed(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  struct kind kind = {VECDB_FLOAT_VECTOR, VECDB_COSINE};
  struct model *m = calloc(1, sizeof *m);
  uint32_t seed = 3;
  m->kind = kind;
  random_vector(kind.type, &seed, m->vectors[1]); /* row 0 is zero */
  vecdb_collection *coll = create(db, kind, true);
  insert(coll, m, 0, 2);
  vecdb_search_params params = at_search((const float *)(const void *)m->vectors[1], 2, NULL);
  vecdb_hit hits[2];
  uint32_t n;
  at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 2);
  assert_int_equal(hits[0].id, 1);
  assert_true(hits[1].score == 0);
  params.queries = m->vectors[0]; /* a zero query, too: all cosines are 0 */
  at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
  assert_int_equal(n, 2);
  assert_true(hits[0].score == 0 && hits[1].score == 0);
  assert_int_equal(hits[0].id, 0);
  free(m);
  vecdb_collection_release(coll);
  at_close(db);
}

/* ---- Ranges ---------------------------------------------------------------------------------- */

static void test_ranges(void **state) {
  (void)state;
  for (size_t i = 0; i < AT_COUNT(kinds); i++) {
    vecdb *db = at_open(":memory:", NULL);
    struct model *m = malloc(sizeof *m);
    vecdb_collection *coll = build(db, kinds[i], m);
    uint32_t seed = 7, n, rank = 40;
    uint8_t query[MAX_BYTES];
    random_vector(kinds[i].type, &seed, query);
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    params.k = ROWS;
    params.queries = query;
    vecdb_hit all[ROWS], hits[ROWS];
    at_ok(vecdb_search(coll, &params, all, &n, NULL, NULL, &at_err));
    while (all[rank].score == all[rank - 1].score)
      rank++;
    float radius = all[rank - 1].score; /* the border is inside */
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    at_ok(vecdb_search_range(coll, &params, radius, hits, &n, &info, NULL, &at_err));
    assert_int_equal(n, rank);
    for (uint32_t h = 0; h < n; h++)
      assert_int_equal(hits[h].id, all[h].id);
    params.k = 5; /* the nearest of them */
    at_ok(vecdb_search_range(coll, &params, radius, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 5);
    assert_int_equal(hits[4].id, all[4].id);
    params.filter.text = "n < 0";
    at_ok(vecdb_search_range(coll, &params, radius, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 0);
    params.filter.text = NULL;
    radius = smaller_is_nearer(kinds[i].metric) ? -1.0f : 1e30f;
    at_ok(vecdb_search_range(coll, &params, radius, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 0);
    free(m);
    vecdb_collection_release(coll);
    at_close(db);
  }
}

/* ---- Batches of queries ---------------------------------------------------------------------- */

static void test_batches_of_queries(void **state) {
  (void)state;
  enum { QUERIES = 37, STRIDE = MAX_BYTES + 12 };
  vecdb *db = at_open(":memory:", NULL);
  struct model *m = malloc(sizeof *m);
  vecdb_collection *coll = build(db, kinds[0], m);
  uint8_t *queries = calloc(QUERIES, STRIDE);
  uint32_t seed = 11, counts[QUERIES], n;
  for (int q = 0; q < QUERIES; q++)
    random_vector(VECDB_FLOAT_VECTOR, &seed, queries + q * STRIDE);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  const char *const fields[] = {"n"};
  params.k = K;
  params.queries = queries;
  params.query_stride = STRIDE;
  params.n_queries = QUERIES;
  params.fields = fields;
  params.n_fields = 1;
  vecdb_hit *hits = calloc(QUERIES * K, sizeof *hits), one[K];
  vecdb_rows *rows;
  for (params.threads = 0; params.threads <= 3; params.threads += 3) {
    vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
    at_ok(vecdb_search(coll, &params, hits, counts, &info, &rows, &at_err));
    assert_int_equal(vecdb_rows_count(rows), QUERIES * K);
    assert_int_equal(info.partial, 0);
    assert_true(info.distances >= QUERIES * K);
    vecdb_search_params single = params;
    single.n_queries = 1;
    for (uint32_t q = 0; q < QUERIES; q++) {
      assert_int_equal(counts[q], K);
      single.queries = queries + q * STRIDE;
      at_ok(vecdb_search(coll, &single, one, &n, NULL, NULL, &at_err));
      for (uint32_t i = 0; i < K; i++) {
        vecdb_hit hit = hits[q * K + i];
        assert_int_equal(hit.id, one[i].id);
        assert_int_equal(vecdb_rows_value(rows, hit.row, 0).as.integer, hit.id);
        assert_int_equal(vecdb_rows_value(rows, hit.row, 1).as.integer, hit.id);
      }
    }
    vecdb_rows_free(rows);
  }
  free(hits);
  free(queries);
  free(m);
  vecdb_collection_release(coll);
  at_close(db);
}

/* Many queries in one call and the same queries one by one: the same bits, whatever the filter, for
   sealed, growing and deleted rows, with any number of threads. */
static void batch_as_singles(const struct model *m, vecdb_collection *coll, const char *filter) {
  enum { QUERIES = 21 };
  uint8_t queries[QUERIES * MAX_BYTES];
  vecdb_hit hits[QUERIES * K], one[K];
  uint32_t seed = 5, counts[QUERIES], n;
  for (size_t q = 0; q < QUERIES; q++)
    random_vector(m->kind.type, &seed, queries + q * m->bytes);
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.queries = queries;
  params.n_queries = QUERIES;
  params.filter.text = filter;
  for (params.k = 3; params.k <= K; params.k += 11)
    for (params.threads = 1; params.threads <= 4; params.threads += 3) {
      vecdb_search_params single = params;
      single.n_queries = 1;
      at_ok(vecdb_search(coll, &params, hits, counts, NULL, NULL, &at_err));
      for (uint32_t q = 0; q < QUERIES; q++) {
        single.queries = queries + q * m->bytes;
        at_ok(vecdb_search(coll, &single, one, &n, NULL, NULL, &at_err));
        assert_int_equal(counts[q], n);
        for (uint32_t i = 0; i < n; i++) {
          assert_int_equal(hits[q * params.k + i].id, one[i].id);
          assert_memory_equal(&hits[q * params.k + i].score, &one[i].score, sizeof one[i].score);
        }
        if (!filter)
          check_hits(m, single.queries, hits + q * params.k, n, 1);
      }
    }
}

static void test_batches_are_as_singles(void **state) {
  (void)state;
  struct model *m = malloc(sizeof *m);
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    vecdb *db = at_open(":memory:", NULL);
    vecdb_collection *coll = build(db, kinds[k], m);
    batch_as_singles(m, coll, NULL);
    batch_as_singles(m, coll, "n % 2 == 1");
    batch_as_singles(m, coll, "n > 50 and n < 690");
    vecdb_collection_release(coll);
    at_close(db);
  }
  free(m);
}

/* ---- Iterators ------------------------------------------------------------------------------- */

/* Walks to the end in uneven batches; the hits must be `n` in order. Returns them, to be freed. */
static vecdb_hit *walk(vecdb_iterator *it, uint32_t n, bool smaller) {
  vecdb_hit *all = calloc(ROWS + 10, sizeof *all);
  uint32_t total = 0, count = 1;
  for (uint32_t batch = 1; count > 0; batch = batch * 2 % 97 + 1) {
    vecdb_rows *rows = NULL;
    assert_true(total + batch <= ROWS + 10 || batch > 10);
    uint32_t room = ROWS + 10 - total < batch ? ROWS + 10 - total : batch;
    at_ok(vecdb_iterator_next(it, room, all + total, &count, batch % 2 ? &rows : NULL, &at_err));
    assert_true(count <= room);
    if (rows)
      assert_int_equal(vecdb_rows_count(rows), count);
    for (uint32_t i = 0; rows && i < count; i++)
      assert_int_equal(vecdb_rows_value(rows, all[total + i].row, 0).as.integer,
                       all[total + i].id);
    vecdb_rows_free(rows);
    total += count;
  }
  assert_int_equal(total, n);
  for (uint32_t i = 1; i < n; i++)
    assert_true(smaller ? all[i - 1].score <= all[i].score : all[i - 1].score >= all[i].score);
  vecdb_hit hit;
  at_ok(vecdb_iterator_next(it, 1, &hit, &count, NULL, &at_err)); /* the end stays the end */
  assert_int_equal(count, 0);
  return all;
}

static void test_iterators(void **state) {
  (void)state;
  for (size_t i = 0; i < AT_COUNT(kinds); i += 3) {
    vecdb *db = at_open(":memory:", NULL);
    struct model *m = malloc(sizeof *m);
    vecdb_collection *coll = build(db, kinds[i], m);
    uint32_t seed = 13;
    uint8_t query[MAX_BYTES];
    random_vector(kinds[i].type, &seed, query);
    vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
    params.queries = query; /* k is ignored */
    char filter[20] = "n % 2 == 0";
    params.filter.text = filter;
    vecdb_iterator *it;
    at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
    memset(query, 0x55, sizeof query); /* both were copied */
    memset(filter, 'x', sizeof filter - 1);
    seed = 13;
    random_vector(kinds[i].type, &seed, query);
    vecdb_hit *hits = walk(it, (uint32_t)at_count(coll, "n % 2 == 0"),
                           smaller_is_nearer(kinds[i].metric));
    check_hits(m, query, hits, (uint32_t)at_count(coll, "n % 2 == 0"), 2);
    free(hits);
    vecdb_iterator_close(it);
    free(m);
    vecdb_collection_release(coll);
    at_close(db);
  }
}

/* An iterator sees the state of its opening, whatever is written, sealed, merged or dropped. */
static void test_iterator_snapshot(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 50;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 200);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_put(coll, 200, 100);
  const float query[] = {0, 0, 0, 1};
  vecdb_search_params params = at_search(query, 0, NULL);
  vecdb_iterator *it;
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  vecdb_hit hits[100];
  uint32_t n;
  at_ok(vecdb_iterator_next(it, 100, hits, &n, NULL, &at_err));
  assert_int_equal(n, 100);
  at_delete(coll, 100, 120);
  at_put(coll, 300, 500);
  at_put(coll, 250, 50); /* replaces */
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_ok(vecdb_collection_drop(db, "c", &at_err));
  vecdb_collection_release(coll);
  bool seen[300] = {false};
  uint32_t total = 0;
  for (;;) {
    for (uint32_t i = 0; i < n; i++) {
      assert_in_range(hits[i].id, 0, 299);
      assert_false(seen[hits[i].id]);
      seen[hits[i].id] = true;
    }
    total += n;
    vecdb_rows *rows;
    at_ok(vecdb_iterator_next(it, 100, hits, &n, &rows, &at_err));
    vecdb_rows_free(rows);
    if (n == 0)
      break;
  }
  assert_int_equal(total, 300);
  vecdb_iterator_close(it);
  vecdb_iterator_close(NULL);
  at_close(db);
}

/* ---- Words and numbers about searches -------------------------------------------------------- */

static void test_explain_buffers(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 50);
  vecdb_search_params params = at_search(NULL, 3, "n > 10 and s is null");
  size_t length = 0, again = 0;
  at_fails(VECDB_ERR_BUFFER, vecdb_explain(coll, &params, NULL, 0, &length, &at_err));
  assert_true(length > 50);
  char *text = malloc(length + 2);
  memset(text, 'x', length + 2);
  at_ok(vecdb_explain(coll, &params, text, length + 1, &again, &at_err));
  assert_int_equal(again, length);
  assert_int_equal(strlen(text), length);
  assert_int_equal(text[length + 1], 'x');
  assert_non_null(strstr(text, "is null"));
  assert_non_null(strstr(text, "50 rows"));
  assert_non_null(strstr(text, "EXACT"));
  char *cut = malloc(length + 1);
  for (size_t room = 1; room <= length; room += 17) {
    memset(cut, 'x', length + 1);
    at_fails(VECDB_ERR_BUFFER, vecdb_explain(coll, &params, cut, room, &again, &at_err));
    assert_int_equal(again, length);
    assert_int_equal(strlen(cut), room - 1);
    assert_memory_equal(cut, text, room - 1);
    assert_int_equal(cut[room], 'x');
  }
  at_ok(vecdb_explain(coll, &params, text, length + 1, NULL, &at_err)); /* length is optional */
  free(cut);
  free(text);
  vecdb_collection_release(coll);
  at_close(db);
}

static void test_search_info(void **state) {
  (void)state;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 100;
  vecdb *db = at_open(":memory:", &options);
  vecdb_collection *coll = at_small(db, "c");
  at_put(coll, 0, 1000);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  at_put(coll, 1000, 20);
  const float query[] = {500, 0, 0, 1};
  vecdb_search_params params = at_search(query, 10, "n < 50");
  vecdb_hit hits[10];
  uint32_t n;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  params.plan = VECDB_PLAN_EXACT;
  at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
  assert_int_equal(info.segments, 2);
  assert_int_equal(info.segments_exact, 2);
  assert_int_equal(info.rows, 1020);
  assert_in_range(info.rows_allowed, 1, 1020); /* it may be an estimate */
  assert_in_range(info.distances, 520, 1020); /* some are compared that do not pass */
  const int32_t plans[] = {VECDB_PLAN_AUTO, VECDB_PLAN_GRAPH, VECDB_PLAN_FILTER_LATE,
                           VECDB_PLAN_CODES};
  for (size_t i = 0; i < AT_COUNT(plans); i++) {
    params.plan = plans[i];
    at_ok(vecdb_search(coll, &params, hits, &n, &info, NULL, &at_err));
    assert_int_equal(n, 10);
    assert_int_equal(info.segments, 2);
    assert_int_equal(info.segments_exact + info.segments_graph + info.segments_late +
                         info.segments_codes, 2);
    assert_true(info.segments_exact >= 1); /* the growing one */
    assert_true(info.distances > 0);
    for (uint32_t h = 0; h < n; h++)
      assert_true(hits[h].id % 100 < 50);
  }
  vecdb_stats stats = VECDB_STATS_INIT;
  at_ok(vecdb_collection_stats(coll, &stats, &at_err));
  assert_int_equal(stats.searches, 5);
  vecdb_collection_release(coll);
  at_close(db);
}

/* An empty collection, and one that has lost all its rows, answer with nothing. */
static void test_nothing_to_find(void **state) {
  (void)state;
  vecdb *db = at_open(":memory:", NULL);
  vecdb_collection *coll = at_small(db, "c");
  const float query[] = {0, 0, 0, 1};
  for (int round = 0; round < 3; round++) {
    vecdb_search_params params = at_search(query, 5, round == 1 ? "n == 3" : NULL);
    vecdb_hit hits[5];
    uint32_t n = 9;
    vecdb_rows *rows;
    vecdb_iterator *it;
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, &rows, &at_err));
    assert_int_equal(n, 0);
    assert_int_equal(vecdb_rows_count(rows), 0);
    vecdb_rows_free(rows);
    n = 9;
    at_ok(vecdb_search_range(coll, &params, 1e9f, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, 0);
    at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
    at_ok(vecdb_iterator_next(it, 5, hits, &n, NULL, &at_err));
    assert_int_equal(n, 0);
    vecdb_iterator_close(it);
    at_put(coll, 0, 10);
    if (round == 1)
      at_ok(vecdb_flush(coll, NULL, &at_err));
    at_delete(coll, 0, 10);
  }
  at_ok(vecdb_compact(coll, NULL, &at_err));
  assert_int_equal(at_count(coll, NULL), 0);
  vecdb_collection_release(coll);
  at_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types_and_metrics),    cmocka_unit_test(test_graph_of_every_kind),
      cmocka_unit_test(test_zero_vectors_allowed), cmocka_unit_test(test_ranges),
      cmocka_unit_test(test_batches_of_queries),   cmocka_unit_test(test_batches_are_as_singles),
      cmocka_unit_test(test_iterators),
      cmocka_unit_test(test_iterator_snapshot),    cmocka_unit_test(test_explain_buffers),
      cmocka_unit_test(test_search_info),          cmocka_unit_test(test_nothing_to_find),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
