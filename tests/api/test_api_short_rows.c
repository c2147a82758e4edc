/*
 * test_api_short_rows.c - rows of very unequal lengths under L2: most are long, a tenth or fewer
 * are shorter by three or four decimal places, and queries lie among the short ones. Codes and
 * what stands beside them are made for rows of middling length; neighbours of the others must be
 * found all the same. Held against all distances in double, with the default index.
 */
#include <math.h>

#include "tlib/apitest.h"
#include "tlib/thorough.h"

enum { MAX_DIM = 128, ROWS = TEST_SIZE(6000, 1500), QUERIES = 40, K = 10 };

struct shape {
  uint32_t dim;
  uint32_t one_in; /* that many rows is short */
  float scale;     /* of these */
  uint32_t rows;
  uint32_t ef; /* 0: by default */
};

struct data {
  int64_t ids[ROWS];
  float rows[ROWS * MAX_DIM];
  float queries[QUERIES][MAX_DIM];
};

static float gauss(uint32_t *seed) {
  double u = at_unit(seed) + 1e-12;
  return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * at_unit(seed)));
}

/* Queries are short rows, moved by a third of their length. */
static void data_make(struct data *d, const struct shape *shape) {
  uint32_t seed = 5;
  for (uint32_t i = 0; i < shape->rows; i++) {
    float scale = i % shape->one_in == 0 ? shape->scale : 1;
    d->ids[i] = i;
    for (uint32_t k = 0; k < shape->dim; k++)
      d->rows[i * shape->dim + k] = scale * gauss(&seed);
  }
  for (uint32_t q = 0; q < QUERIES; q++) {
    uint32_t row = at_random(&seed) % (shape->rows / shape->one_in) * shape->one_in;
    for (uint32_t k = 0; k < shape->dim; k++)
      d->queries[q][k] = d->rows[row * shape->dim + k] + shape->scale * gauss(&seed) / 3;
  }
}

static double distance(const struct data *d, const struct shape *shape, uint32_t q, uint32_t row) {
  double sum = 0;
  for (uint32_t k = 0; k < shape->dim; k++) {
    double x = (double)d->queries[q][k] - (double)d->rows[row * shape->dim + k];
    sum += x * x;
  }
  return sum;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The share of hits as near as the k-th neighbour. */
static double found(vecdb_collection *coll, const struct data *d, const struct shape *shape) {
  static double all[ROWS];
  uint32_t good = 0;
  for (uint32_t q = 0; q < QUERIES; q++) {
    vecdb_search_params params = at_search(d->queries[q], K, NULL);
    vecdb_hit hits[K];
    uint32_t n;
    params.plan = VECDB_PLAN_GRAPH;
    params.ef = shape->ef;
    at_ok(vecdb_search(coll, &params, hits, &n, NULL, NULL, &at_err));
    assert_int_equal(n, K);
    for (uint32_t row = 0; row < shape->rows; row++)
      all[row] = distance(d, shape, q, row);
    qsort(all, shape->rows, sizeof *all, by_value);
    for (uint32_t i = 0; i < K; i++)
      good += distance(d, shape, q, (uint32_t)hits[i].id) <= all[K - 1] * (1 + 1e-6);
  }
  return (double)good / (QUERIES * K);
}

static vecdb_collection *fill(vecdb *db, const struct data *d, const struct shape *shape) {
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = shape->dim, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  const vecdb_column columns[] = {{.field = "id", .data = d->ids}, {.field = "v", .data = d->rows}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns),
                        shape->rows};
  vecdb_collection *coll;
  at_ok(vecdb_collection_create(db, "c", &schema, &coll, &at_err));
  at_ok(vecdb_insert(coll, &batch, NULL, &at_err));
  at_ok(vecdb_compact(coll, NULL, &at_err));
  return coll;
}

static void assert_found(struct data *d, const struct shape *shape) {
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.index_rows = 1000;
  vecdb *db = at_open(":memory:", &options);
  data_make(d, shape);
  vecdb_collection *coll = fill(db, d, shape);
  double share = found(coll, d, shape);
  if (share < 0.9)
    print_error("%u dimensions, one row in %u times %g: recall %.3f\n", (unsigned)shape->dim,
                (unsigned)shape->one_in, (double)shape->scale, share);
  assert_true(share >= 0.9);
  vecdb_collection_release(coll);
  at_close(db);
}

static void short_rows(void **state) {
  (void)state;
  static const struct shape shapes[] = {{128, 10, 1e-3f, 0, 0},
                                        {128, 10, 1e-4f, 0, 0},
                                        {128, 50, 1e-3f, 0, 0},
                                        {48, 10, 1e-3f, 0, 0},
                                        {48, 50, 1e-4f, 0, 0}};
  struct data *d = malloc(sizeof *d);
  for (size_t i = 0; i < AT_COUNT(shapes); i += test_size(2, 4)) {
    struct shape shape = shapes[i];
    shape.rows = (uint32_t)test_size(ROWS, 1500);
    assert_found(d, &shape);
  }
  free(d);
}

/* Codes cannot tell 120 rows apart: all that the walk has kept of them is to be scored again. */
static void alike_by_code(void **state) {
  (void)state;
  static const struct shape shape = {128, 10, 1e-3f, 1200, 256};
  struct data *d = malloc(sizeof *d);
  assert_found(d, &shape);
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(short_rows),
                                     cmocka_unit_test(alike_by_code)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
