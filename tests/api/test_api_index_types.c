/*
 * test_api_index_types.c - every index type by name, with every metric that it goes with: created,
 * filled, sealed, merged, opened again, searched plainly, with filters and after deletes, by range
 * and by iterator; always held against all keys in double. Then indexed anew in every other way,
 * and refused or adjusted where the parameters make no sense.
 */
#include <math.h>

#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum {
  DIM = 32,
  BITS = 128,
  ROWS = TEST_SIZE(1100, 900),
  FIRST = ROWS * 2 / 3, /* rows of the first batch */
  CLUSTERS = 30,
  QUERIES = TEST_SIZE(12, 8),
  K = 10,
  IN_RANGE = 25,
  STEP = 333 /* hits that an iterator is asked for at a time */
};

/* Where all is slow each way has its turn with one metric only, and with the plain kernels, too:
   one way of five. */
static size_t turns(void) { return test_size(1, 5); }

/* Rows and queries as the API takes them, and as numbers. */
struct data {
  int32_t type; /* a vecdb_type */
  int32_t metric;
  uint32_t dim;
  size_t bytes; /* of a vector */
  int64_t ids[ROWS];
  int32_t n[ROWS]; /* id % 100 */
  bool gone[ROWS];
  uint8_t rows[ROWS][DIM * sizeof(float)];
  uint8_t queries[QUERIES][DIM * sizeof(float)];
  double values[ROWS + QUERIES][BITS];
  double keys[QUERIES][ROWS]; /* smaller is nearer */
};

/* ---- Data ------------------------------------------------------------------------------------ */

/* Stores numbers as a type holds them, and back what became of them. */
static void encode(const struct data *d, const float *in, uint8_t *out, double *values) {
  uint16_t halves[DIM];
  float back[DIM];
  memset(out, 0, d->bytes);
  for (uint32_t i = 0; d->type == VECDB_BINARY_VECTOR && i < d->dim; i++) {
    out[i / 8] = (uint8_t)(out[i / 8] | (in[i] > 0) << i % 8);
    values[i] = in[i] > 0;
  }
  if (d->type == VECDB_BINARY_VECTOR)
    return;
  memcpy(back, in, sizeof back);
  if (d->type == VECDB_FLOAT16_VECTOR) {
    vecdb_to_float16(in, halves, DIM);
    vecdb_from_float16(halves, back, DIM);
  } else if (d->type == VECDB_BFLOAT16_VECTOR) {
    vecdb_to_bfloat16(in, halves, DIM);
    vecdb_from_bfloat16(halves, back, DIM);
  }
  for (uint32_t i = 0; i < DIM; i++) {
    if (d->type == VECDB_INT8_VECTOR) {
      back[i] = roundf(in[i] * 80);
      out[i] = (uint8_t)(int8_t)back[i];
    }
    values[i] = (double)back[i];
  }
  if (d->type == VECDB_FLOAT_VECTOR)
    memcpy(out, back, sizeof back);
  else if (d->type != VECDB_INT8_VECTOR)
    memcpy(out, halves, sizeof halves);
}

static double key_of(const struct data *d, const double *q, const double *r) {
  double squares = 0, dot = 0, qq = 0, rr = 0, either = 0;
  for (uint32_t i = 0; i < d->dim; i++) {
    squares += (q[i] - r[i]) * (q[i] - r[i]);
    dot += q[i] * r[i];
    qq += q[i] * q[i];
    rr += r[i] * r[i];
    either += q[i] + r[i] > 0;
  }
  switch (d->metric) {
  case VECDB_IP:
    return -dot;
  case VECDB_COSINE:
    return -dot / sqrt(qq * rr);
  case VECDB_JACCARD:
    return either > 0 ? 1 - dot / either : 0;
  default: /* of bits, squares are differing ones */
    return squares;
  }
}

/* Clusters, some of their rows far out. */
static void data_make(struct data *d, int32_t type, int32_t metric) {
  static float centres[CLUSTERS][BITS];
  float one[BITS];
  uint32_t seed = 11;
  bool bits = type == VECDB_BINARY_VECTOR;
  memset(d, 0, sizeof *d);
  d->type = type;
  d->metric = metric;
  d->dim = bits ? BITS : DIM;
  d->bytes = bits ? BITS / 8 : type == VECDB_INT8_VECTOR ? DIM : type == VECDB_FLOAT_VECTOR
             ? DIM * sizeof(float) : DIM * sizeof(uint16_t);
  for (int c = 0; c < CLUSTERS; c++)
    for (int k = 0; k < BITS; k++)
      centres[c][k] = (float)at_unit(&seed) - 0.5f;
  for (uint32_t i = 0; i < ROWS + QUERIES; i++) {
    uint32_t c = at_random(&seed) % CLUSTERS;
    uint8_t *out = i < ROWS ? d->rows[i] : d->queries[i - ROWS];
    for (int k = 0; k < BITS; k++)
      one[k] = centres[c][k] + ((float)at_unit(&seed) - 0.5f) * 0.7f;
    encode(d, one, out, d->values[i]);
  }
  for (uint32_t i = 0; i < ROWS; i++) {
    d->ids[i] = i;
    d->n[i] = (int32_t)(i % 100);
  }
  for (uint32_t q = 0; q < QUERIES; q++)
    for (uint32_t i = 0; i < ROWS; i++)
      d->keys[q][i] = key_of(d, d->values[ROWS + q], d->values[i]);
}

static void insert(vecdb_collection *coll, const struct data *d, uint32_t first, uint32_t n) {
  const vecdb_column columns[] = {
      {.field = "id", .data = d->ids + first},
      {.field = "n", .data = d->n + first},
      {.field = "v", .data = d->rows + first, .stride = sizeof d->rows[0]}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), n};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
}

static vecdb *open_db(const char *folder) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 400;
  return at_open(folder, &options);
}

static int create(vecdb *db, const struct data *d, const char *way, vecdb_collection **out) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "n", .type = VECDB_INT32},
      {.name = "v", .type = d->type, .dim = d->dim, .metric = d->metric},
  };
  at_ok(vecdb_index_params_parse(way, &fields[2].index, &at_err));
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  return vecdb_collection_create(db, "c", &schema, out, &at_err);
}

static const char *doing; /* the way at work, for messages */

/* ---- What a collection must answer ----------------------------------------------------------- */

/* A filter as text, and as what it means: rows whose n is from low to high. */
struct filter {
  const char *text;
  int32_t low, high;
};
static const struct filter all_rows = {NULL, 0, 100};

static bool passes(const struct data *d, const struct filter *f, uint32_t row) {
  return !d->gone[row] && d->n[row] >= f->low && d->n[row] <= f->high;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The keys of the rows that pass, nearest first, and how many they are. */
static uint32_t true_keys(const struct data *d, uint32_t q, const struct filter *f, double *keys) {
  uint32_t n = 0;
  for (uint32_t row = 0; row < ROWS; row++)
    if (passes(d, f, row))
      keys[n++] = d->keys[q][row];
  qsort(keys, n, sizeof *keys, by_value);
  return n;
}

static bool near_to(double key, double other) {
  return fabs(key - other) <= 1e-4 * (1 + fabs(other));
}

static double key_of_score(const struct data *d, float score) {
  return d->metric == VECDB_IP || d->metric == VECDB_COSINE ? -(double)score : (double)score;
}

/* Hits must pass the filter, have the score of their row, come nearest first and once. How many are
   as near as the true neighbours. */
static uint32_t judge(const struct data *d, uint32_t q, const struct filter *f,
                      const vecdb_hit *hits, uint32_t n) {
  double keys[ROWS];
  uint32_t good = 0, most = true_keys(d, q, f, keys);
  assert_true(n <= most);
  for (uint32_t i = 0; i < n; i++) {
    double key = key_of_score(d, hits[i].score);
    assert_true(hits[i].id >= 0 && hits[i].id < ROWS && passes(d, f, (uint32_t)hits[i].id));
    assert_true(near_to(key, d->keys[q][hits[i].id]));
    assert_true(i == 0 || key >= key_of_score(d, hits[i - 1].score));
    for (uint32_t k = 0; k < i; k++)
      assert_true(hits[k].id != hits[i].id);
    good += key <= keys[n - 1] || near_to(key, keys[n - 1]);
  }
  return good;
}

static vecdb_search_params search_for(const struct data *d, uint32_t q, const struct filter *f) {
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.queries = d->queries[q];
  params.k = K;
  params.filter.text = f->text;
  return params;
}

/* Fewer hits than k only where fewer rows pass; `plan` AUTO, or GRAPH where the index itself is to
   answer; effort 0: as the index was set. */
static void expect_found(vecdb_collection *coll, const struct data *d, const struct filter *f,
                         int32_t plan, uint32_t effort, double floor) {
  uint32_t good = 0, all = 0;
  for (uint32_t q = 0; q < QUERIES; q++) {
    vecdb_search_params params = search_for(d, q, f);
    vecdb_hit hits[K];
    uint32_t n, most = 0;
    params.plan = plan;
    params.ef = params.nprobe = effort;
    for (uint32_t row = 0; row < ROWS; row++)
      most += passes(d, f, row);
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, most < K ? most : K);
    good += judge(d, q, f, hits, n);
    all += n;
  }
  if (good < floor * all)
    print_error("%s, metric %d, filter %s, plan %d, effort %u: recall %.3f\n", doing,
                (int)d->metric, f->text ? f->text : "none", (int)plan, (unsigned)effort,
                (double)good / all);
  assert_true(good >= floor * all);
}

/* Half way between the keys of two rows, so that rounding does not matter. */
static void expect_range(vecdb_collection *coll, const struct data *d) {
  for (uint32_t q = 0; q < 3; q++) {
    double keys[ROWS];
    vecdb_search_params params = search_for(d, q, &all_rows);
    vecdb_hit hits[ROWS];
    uint32_t n, most = true_keys(d, q, &all_rows, keys), within = IN_RANGE;
    params.k = ROWS;
    while (within < most && near_to(keys[within], keys[within - 1]))
      within++;
    float radius = (float)((keys[within - 1] + keys[within]) / 2);
    if (d->metric == VECDB_IP || d->metric == VECDB_COSINE)
      radius = -radius;
    at_ok(vecdb_search_range(coll, &params, radius, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, within);
    assert_int_equal(judge(d, q, &all_rows, hits, n), n);
  }
}

/* Every row comes, once, and the first ones are the near ones. */
static void expect_iterator(vecdb_collection *coll, const struct data *d, const struct filter *f) {
  vecdb_search_params params = search_for(d, 0, f);
  bool seen[ROWS] = {0};
  double keys[ROWS];
  uint32_t n, total = 0, most = true_keys(d, 0, f, keys);
  vecdb_iterator *it;
  at_ok(vecdb_iterator_open(coll, &params, &it, &at_err));
  for (;;) {
    vecdb_hit hits[STEP];
    at_ok(vecdb_iterator_next(it, STEP, hits, &n, NULL, &at_err));
    if (n == 0)
      break;
    if (total == 0)
      assert_true(judge(d, 0, f, hits, n) >= 0.65 * n);
    for (uint32_t i = 0; i < n; i++) {
      assert_true(passes(d, f, (uint32_t)hits[i].id) && !seen[hits[i].id]);
      seen[hits[i].id] = true;
    }
    total += n;
  }
  assert_int_equal(total, most);
  vecdb_iterator_close(it);
}

/* Any rows of any index can be brought into memory, and are counted. */
static void expect_warm(vecdb_collection *coll, const struct data *d, const struct filter *f) {
  vecdb_filter filter = {f->text, 0, NULL, 0};
  uint64_t rows, passing = 0;
  for (uint32_t row = 0; row < ROWS; row++)
    passing += passes(d, f, row);
  at_ok(vecdb_warm_rows(coll, &filter, &rows, NULL, &at_err));
  assert_int_equal(rows, passing);
}

/* The recall that indexes are set to is .95, of queries mixed from rows: these here are others, so
   what is held is less. Wide searches find nearly all, in every type. */
static void expect_all(vecdb_collection *coll, const struct data *d) {
  static const struct filter filters[] = {
      {"n < 50", 0, 49}, {"n == 7", 7, 7}, {"n >= 3 and n < 5", 3, 4}, {"n > 100", 101, 200}};
  expect_found(coll, d, &all_rows, VECDB_PLAN_GRAPH, 0, 0.85);
  expect_found(coll, d, &all_rows, VECDB_PLAN_GRAPH, 400, 0.97);
  for (size_t i = 0; i < AT_COUNT(filters); i++) {
    expect_found(coll, d, &filters[i], VECDB_PLAN_AUTO, 0, 0.85);
    expect_found(coll, d, &filters[i], VECDB_PLAN_FILTER_LATE, 400, 0.9);
  }
  expect_found(coll, d, &filters[0], VECDB_PLAN_GRAPH, 0, 0.85);
  expect_range(coll, d);
  expect_iterator(coll, d, &all_rows);
  expect_iterator(coll, d, &filters[0]);
  expect_warm(coll, d, &filters[0]);
}

static void delete_most(vecdb_collection *coll, struct data *d) {
  vecdb_filter old = {.text = "n >= 55 or n == 7"};
  uint64_t gone, expected = 0;
  for (uint32_t row = 0; row < ROWS; row++) {
    d->gone[row] = d->n[row] >= 55 || d->n[row] == 7;
    expected += d->gone[row];
  }
  at_ok(vecdb_delete_where(coll, &old, &gone, NULL, &at_err));
  assert_int_equal(gone, expected);
}

/* ---- Parameters that make no sense ---------------------------------------------------------- */

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int32_t type; /* of the vectors */
    const char *says;
  } cases[] = {
      {"HNSW(m=3)", VECDB_FLOAT_VECTOR, "m is 3, outside 4 to 128"},
      {"HNSW(ef=20000)", VECDB_FLOAT_VECTOR, "ef is 20000"},
      {"HNSW(ef_construction=7)", VECDB_FLOAT_VECTOR, "ef_construction is 7"},
      {"HNSW(nlist=8)", VECDB_FLOAT_VECTOR, "takes no nlist"},
      {"HNSW(refine=none)", VECDB_FLOAT_VECTOR, "refine is NONE"},
      {"HNSW(recall=0.3)", VECDB_FLOAT_VECTOR, "recall is 0.3"},
      {"HNSW_SQ(nbits=6)", VECDB_FLOAT_VECTOR, "nbits is 6"},
      {"HNSW_PQ(pq_m=5)", VECDB_FLOAT_VECTOR, "does not divide dimension 32"},
      {"HNSW_PQ(nbits=9)", VECDB_FLOAT_VECTOR, "nbits is 9, outside 1 to 8"},
      {"IVF_FLAT(nlist=2000000)", VECDB_FLOAT_VECTOR, "nlist is 2000000"},
      {"IVF_FLAT(nlist=4, nprobe=5)", VECDB_FLOAT_VECTOR, "nprobe is 5, above nlist 4"},
      {"IVF_FLAT(nbits=8)", VECDB_FLOAT_VECTOR, "takes no nbits"},
      {"IVF_PQ(m=33)", VECDB_FLOAT_VECTOR, "pq_m is 33"},
      {"IVF_SQ8(rotation=opq)", VECDB_FLOAT_VECTOR, "takes no rotation"},
      {"IVF_RABITQ(nbits=9)", VECDB_FLOAT_VECTOR, "nbits is 9"},
      {"IVF_HNSW(m=200)", VECDB_FLOAT_VECTOR, "m is 200"},
      {"BIN_FLAT(refine=f16)", VECDB_FLOAT_VECTOR, "refine is a copy"},
      {"BIN_HNSW(rotation=opq)", VECDB_FLOAT_VECTOR, "rotation is OPQ"},
      {"BIN_IVF(m=8)", VECDB_FLOAT_VECTOR, "takes no pq_m"},
      {"BIN_FLAT(ef=100)", VECDB_BINARY_VECTOR, "takes no ef"},
      {"HNSW(refine=i8)", VECDB_INT8_VECTOR, "refine is I8"},
      {"DISK", VECDB_INT8_VECTOR, "not for vectors of 8-bit integers"},
      {"IVF_PQ", VECDB_BINARY_VECTOR, "not for binary vectors; use BIN_IVF"},
      {"HNSW_PQ", VECDB_BINARY_VECTOR, "not for binary vectors; use BIN_HNSW"},
  };
  struct data *d = calloc(1, sizeof *d);
  vecdb *db = open_db(":memory:");
  for (size_t i = 0; i < AT_COUNT(cases); i++) {
    vecdb_collection *coll;
    d->type = cases[i].type;
    d->metric = d->type == VECDB_BINARY_VECTOR ? VECDB_HAMMING : VECDB_L2;
    d->dim = DIM;
    at_fails(VECDB_ERR_INDEX_PARAM, create(db, d, cases[i].text, &coll));
    assert_string_equal(at_err.field, "v");
    if (!strstr(at_err.message, cases[i].says))
      print_error("%s: '%s' does not say '%s'\n", cases[i].text, at_err.message, cases[i].says);
    assert_non_null(strstr(at_err.message, cases[i].says));
  }
  at_close(db);
  free(d);
}

static int see_params(void *user, const vecdb_segment_index *index) {
  *(vecdb_index_params *)user = index->params;
  return 0;
}

/* What a segment is too small for becomes less, is told, and finds as much. */
static void adjusted(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t nlist, nprobe;
  } cases[] = {{"IVF_FLAT(nlist=100000, nprobe=90000)", ROWS / 8, ROWS / 8},
               {"IVF_PQ(nlist=100000, m=8, nbits=8)", ROWS / 8, 0},
               {"BIN_IVF(nlist=100000, nprobe=50)", ROWS / 8, 50},
               {"HNSW_PQ(pq_m=32, nbits=8)", 0, 0}};
  struct data *d = malloc(sizeof *d);
  vecdb *db = open_db(":memory:");
  data_make(d, VECDB_FLOAT_VECTOR, VECDB_L2);
  for (size_t i = 0; i < AT_COUNT(cases); i++) {
    vecdb_collection *coll;
    vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
    doing = cases[i].text;
    at_ok(create(db, d, cases[i].text, &coll));
    insert(coll, d, 0, ROWS);
    at_ok(vecdb_compact(coll, NULL, &at_err));
    at_ok(vecdb_index_list(coll, "v", see_params, &params, &at_err));
    assert_int_equal(params.nlist, cases[i].nlist);
    assert_int_equal(params.nprobe, cases[i].nprobe);
    expect_found(coll, d, &all_rows, VECDB_PLAN_GRAPH, 0, 0.85);
    vecdb_collection_release(coll);
    at_ok(vecdb_collection_drop(db, "c", &at_err));
  }
  at_close(db);
  free(d);
}

/* What an index keeps in memory, and of how many rows. */
struct kept {
  uint64_t memory;
  int32_t type;
};

static int see_memory(void *user, const vecdb_segment_index *index) {
  *(struct kept *)user = (struct kept){index->bytes_memory, index->params.type};
  return 0;
}

/* explain says what the index takes of its memory. */
static void expect_explained(vecdb_collection *coll, const struct data *d, struct kept kept,
                             uint64_t budget) {
  vecdb_search_params params = search_for(d, 0, &all_rows);
  char text[4096], expected[100];
  size_t n;
  at_ok(vecdb_explain(coll, &params, text, sizeof text, &n, &at_err));
  snprintf(expected, sizeof expected, "%llu bytes of memory_bytes %llu",
           (unsigned long long)kept.memory, (unsigned long long)budget);
  assert_non_null(strstr(text, kept.type < 0 ? "no index fits memory_bytes" : expected));
}

/* A segment that is large enough for a bake-off: explain tells of it, and of what was taken. */
static void bake_off(void **state) {
  (void)state;
  enum { LARGE = 1 << 15, SMALL_DIM = 4 };
  if (turns() > 1)
    return;
  struct data *d = calloc(1, sizeof *d);
  float *rows = malloc(LARGE * SMALL_DIM * sizeof *rows);
  int64_t *ids = malloc(LARGE * sizeof *ids);
  int32_t *n = calloc(LARGE, sizeof *n);
  uint32_t seed = 5;
  *d = (struct data){.type = VECDB_FLOAT_VECTOR, .metric = VECDB_L2, .dim = SMALL_DIM};
  for (uint32_t i = 0; i < LARGE * SMALL_DIM; i++)
    rows[i] = (float)at_unit(&seed);
  for (uint32_t i = 0; i < LARGE; i++)
    ids[i] = i;
  vecdb *db = open_db(":memory:");
  vecdb_collection *coll;
  at_ok(create(db, d, "AUTO(m=4, ef_construction=8)", &coll));
  const vecdb_column columns[] = {
      {.field = "id", .data = ids}, {.field = "n", .data = n}, {.field = "v", .data = rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), LARGE};
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  struct kept kept = {0, -1};
  at_ok(vecdb_index_list(coll, "v", see_memory, &kept, &at_err));
  assert_true(kept.type == VECDB_INDEX_HNSW || kept.type == VECDB_INDEX_IVF_RABITQ);
  vecdb_search_params params = search_for(d, 0, &all_rows);
  char text[4096], taken[100];
  at_ok(vecdb_explain(coll, &params, text, sizeof text, NULL, &at_err));
  snprintf(taken, sizeof taken, "by 8192 rows; taken: %s\n", vecdb_index_type_name(kept.type));
  assert_non_null(strstr(text, "  bake-off: recall 0.95 is expected of HNSW in "));
  assert_non_null(strstr(text, taken));
  vecdb_collection_release(coll);
  at_close(db);
  free(n);
  free(ids);
  free(rows);
  free(d);
}

/* AUTO stays below its memory, whatever it takes, and finds as much. */
static void budgets(void **state) {
  (void)state;
  static const uint64_t bytes[] = {60, 120, 260, 330, 400, 470, 2000};
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  struct data *d = malloc(sizeof *d);
  vecdb *db = open_db(":memory:");
  for (size_t m = 0; m < AT_COUNT(metrics); m += turns()) {
    data_make(d, m == 1 ? VECDB_INT8_VECTOR : VECDB_FLOAT_VECTOR, metrics[m]);
    vecdb_collection *coll;
    at_ok(create(db, d, "FLAT", &coll));
    insert(coll, d, 0, ROWS);
    at_ok(vecdb_flush(coll, NULL, &at_err));
    for (size_t i = 0; i < AT_COUNT(bytes); i++) {
      vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
      struct kept kept = {0, -1};
      doing = "AUTO(memory)";
      params.memory_bytes = bytes[i] * ROWS;
      at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
      at_ok(vecdb_index_list(coll, "v", see_memory, &kept, &at_err));
      if (kept.memory > params.memory_bytes)
        print_error("type %d takes %llu of %llu bytes\n", (int)kept.type,
                    (unsigned long long)kept.memory, (unsigned long long)params.memory_bytes);
      assert_true(kept.memory <= params.memory_bytes);
      assert_true(i + 1 < AT_COUNT(bytes) || kept.type == VECDB_INDEX_HNSW);
      expect_explained(coll, d, kept, params.memory_bytes);
      expect_found(coll, d, &all_rows, VECDB_PLAN_AUTO, 0, 0.85);
    }
    vecdb_collection_release(coll);
    at_ok(vecdb_collection_drop(db, "c", &at_err));
  }
  at_close(db);
  free(d);
}

/* ---- Every type ------------------------------------------------------------------------------ */

/* What a text must become in each segment; -1: exact, without a file. */
struct way {
  const char *text;
  int32_t type;
};

static const struct way float_ways[] = {
    {"AUTO", VECDB_INDEX_HNSW},
    {"FLAT", -1},
    {"HNSW", VECDB_INDEX_HNSW},
    {"HNSW(m=8, ef_construction=60, ef=80, refine=f32)", VECDB_INDEX_HNSW},
    {"HNSW_SQ", VECDB_INDEX_HNSW_SQ},
    {"HNSW_SQ4", VECDB_INDEX_HNSW_SQ},
    {"HNSW_PQ", VECDB_INDEX_HNSW_PQ},
    {"HNSW_PQ(m=12, pq_m=8, nbits=8, rotation=opq)", VECDB_INDEX_HNSW_PQ},
    {"IVF_FLAT", VECDB_INDEX_IVF_FLAT},
    {"IVF_FLAT(nlist=40, nprobe=12)", VECDB_INDEX_IVF_FLAT},
    {"IVF_SQ8", VECDB_INDEX_IVF_SQ8},
    {"IVF_PQ", VECDB_INDEX_IVF_PQ},
    {"IVF_PQ(m=8, nbits=8)", VECDB_INDEX_IVF_PQ},
    {"OPQ", VECDB_INDEX_IVF_PQ},
    {"IVF_RABITQ", VECDB_INDEX_IVF_RABITQ},
    {"IVF_HNSW", VECDB_INDEX_IVF_HNSW},
    {"IVF_HNSW(nlist=60, nprobe=5, m=8, ef_construction=60, ef=40)", VECDB_INDEX_IVF_HNSW},
    {"BIN_FLAT", VECDB_INDEX_BIN_FLAT},
    {"BIN_IVF", VECDB_INDEX_BIN_IVF},
    {"BIN_HNSW", VECDB_INDEX_BIN_HNSW},
    {"DISK", VECDB_INDEX_DISK},
    {"DiskANN(m=8, ef_construction=60, ef=60, pq_m=16, nbits=8)", VECDB_INDEX_DISK},
};

static const struct way bit_ways[] = {
    {"AUTO", VECDB_INDEX_HNSW},       {"FLAT", -1},
    {"HNSW", VECDB_INDEX_HNSW},       {"BIN_FLAT", -1},
    {"BIN_IVF", VECDB_INDEX_BIN_IVF}, {"BIN_IVF(nlist=50, nprobe=20)", VECDB_INDEX_BIN_IVF},
    {"BIN_HNSW", VECDB_INDEX_BIN_HNSW},
};

struct seen {
  int32_t type; /* of all segments; -1: none has an index */
  uint64_t rows;
};

static int see(void *user, const vecdb_segment_index *index) {
  struct seen *seen = user;
  assert_true(seen->type < 0 || seen->type == index->params.type);
  seen->type = index->params.type;
  seen->rows += index->rows;
  return 0;
}

static void expect_type(vecdb_collection *coll, const struct way *way, uint64_t rows) {
  struct seen seen = {-1, 0};
  at_ok(vecdb_index_list(coll, "v", see, &seen, &at_err));
  assert_int_equal(seen.type, way->type);
  assert_int_equal(seen.rows, way->type < 0 ? 0 : rows);
}

/* Releases and closes, and opens again. */
static void reopen(const char *folder, vecdb **db, vecdb_collection **coll) {
  vecdb_collection_release(*coll);
  at_close(*db);
  *db = open_db(folder);
  at_ok(vecdb_collection_get(*db, "c", coll, &at_err));
}

static void whole_life(const struct way *way, struct data *d) {
  char *folder = at_folder();
  vecdb *db = open_db(folder);
  vecdb_collection *coll;
  doing = way->text;
  at_ok(create(db, d, way->text, &coll));
  insert(coll, d, 0, FIRST);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  at_ok(vecdb_wait(coll, NULL, &at_err));
  expect_type(coll, way, FIRST);
  insert(coll, d, FIRST, ROWS - FIRST); /* beside the index, in memory */
  expect_found(coll, d, &all_rows, VECDB_PLAN_GRAPH, 0, 0.85);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  expect_type(coll, way, ROWS);
  reopen(folder, &db, &coll);
  expect_type(coll, way, ROWS);
  expect_all(coll, d);
  delete_most(coll, d);
  expect_all(coll, d);
  at_ok(vecdb_compact(coll, NULL, &at_err));
  reopen(folder, &db, &coll);
  expect_type(coll, way, at_count(coll, NULL));
  expect_all(coll, d);
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

static void lives(const struct way *ways, size_t n, int32_t metric, const int32_t *types,
                  size_t n_types) {
  struct data *d = malloc(sizeof *d);
  assert_non_null(d);
  size_t step = metric == VECDB_L2 ? turns() : test_size(2, 5); /* L2 sees all ways */
  for (size_t w = (size_t)metric % step; w < n; w += step) {
    int32_t type = types[w % n_types];
    if (ways[w].type == VECDB_INDEX_DISK && type == VECDB_INT8_VECTOR)
      type = VECDB_FLOAT16_VECTOR;
    if (strchr(ways[w].text, '(') && metric != VECDB_L2 && metric != VECDB_HAMMING)
      continue;
    data_make(d, type, metric);
    whole_life(&ways[w], d);
  }
  free(d);
}

static void floats_l2(void **state) {
  (void)state;
  static const int32_t types[] = {VECDB_FLOAT_VECTOR};
  lives(float_ways, AT_COUNT(float_ways), VECDB_L2, types, 1);
}

static void floats_ip(void **state) {
  (void)state;
  static const int32_t types[] = {VECDB_FLOAT16_VECTOR, VECDB_FLOAT_VECTOR, VECDB_INT8_VECTOR};
  lives(float_ways, AT_COUNT(float_ways), VECDB_IP, types, AT_COUNT(types));
}

static void floats_cosine(void **state) {
  (void)state;
  static const int32_t types[] = {VECDB_FLOAT_VECTOR, VECDB_INT8_VECTOR, VECDB_BFLOAT16_VECTOR};
  lives(float_ways, AT_COUNT(float_ways), VECDB_COSINE, types, AT_COUNT(types));
}

static void bits(void **state) {
  (void)state;
  static const int32_t types[] = {VECDB_BINARY_VECTOR};
  lives(bit_ways, AT_COUNT(bit_ways), VECDB_HAMMING, types, 1);
  lives(bit_ways, AT_COUNT(bit_ways), VECDB_JACCARD, types, 1);
}

/* One collection, indexed in each way after the other. */
static void index_anew(void **state) {
  (void)state;
  struct data *d = malloc(sizeof *d);
  vecdb *db = open_db(":memory:");
  vecdb_collection *coll;
  data_make(d, VECDB_FLOAT_VECTOR, VECDB_L2);
  at_ok(create(db, d, "FLAT", &coll));
  insert(coll, d, 0, ROWS);
  at_ok(vecdb_flush(coll, NULL, &at_err));
  for (size_t w = 0; w < AT_COUNT(float_ways); w += turns()) {
    vecdb_index_params params;
    doing = float_ways[w].text;
    at_ok(vecdb_index_params_parse(float_ways[w].text, &params, &at_err));
    at_ok(vecdb_index_create(coll, "v", &params, NULL, &at_err));
    expect_type(coll, &float_ways[w], ROWS);
    expect_found(coll, d, &all_rows, VECDB_PLAN_GRAPH, 0, 0.85);
  }
  vecdb_collection_release(coll);
  at_close(db);
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refused),   cmocka_unit_test(adjusted),
      cmocka_unit_test(bake_off), cmocka_unit_test(budgets),   cmocka_unit_test(floats_l2),
      cmocka_unit_test(floats_ip), cmocka_unit_test(floats_cosine),
      cmocka_unit_test(bits),      cmocka_unit_test(index_anew),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
