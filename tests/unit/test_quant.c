/*
 * test_quant.c - transforms, product quantizers and one-bit quantizers: factors, tables and keys
 * against the formulas in double; recall on real text vectors against that of the exact estimate;
 * sections, damaged ones and memory that runs out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixtest.h"
#include "../tlib/thorough.h"
#include "index/opq.h"
#include "index/pq.h"
#include "index/rabitq.h"
#include "index/rotate.h"

enum { SLOTS = VDB_SCAN_ROWS, REAL_DIM = 384, REAL_ROWS = TEST_SIZE(2048, 300), REAL_QUERIES = 40 };

static struct vdb_par par = {ix_par_run, 3, NULL};

static float *gauss_rows(uint32_t n, uint32_t dim, uint64_t seed) {
  struct vdb_rng rng = {seed};
  float *rows = malloc((size_t)n * dim * sizeof *rows);
  for (size_t i = 0; i < (size_t)n * dim; i++)
    rows[i] = (float)ix_gauss(&rng) * (float)(1 + i % dim % 3) / 2; /* unequal dimensions */
  return rows;
}

/* Rows of the demo's data, of which every so-many-th is taken. */
static float *real_rows(uint32_t n, uint32_t step, uint32_t first) {
  FILE *f = fopen("examples/data/vectors.bin", "rb");
  uint32_t head[2];
  assert_non_null(f);
  assert_int_equal(fread(head, 4, 2, f), 2);
  assert_true(head[1] == REAL_DIM && first + n * step <= head[0]);
  float *rows = malloc((size_t)n * REAL_DIM * sizeof *rows), scale;
  int8_t bytes[REAL_DIM];
  for (uint32_t i = 0; i < n; i++) {
    uint32_t row = first + i * step;
    fseek(f, 8 + 4 * (long)row, SEEK_SET);
    assert_int_equal(fread(&scale, 4, 1, f), 1);
    fseek(f, 8 + 4 * (long)head[0] + (long)row * REAL_DIM, SEEK_SET);
    assert_int_equal(fread(bytes, REAL_DIM, 1, f), 1);
    for (uint32_t d = 0; d < REAL_DIM; d++)
      rows[(size_t)i * REAL_DIM + d] = scale * (float)bytes[d];
  }
  fclose(f);
  return rows;
}

IX_PLAIN static double dot(const float *x, const float *y, uint32_t dim) {
  double sum = 0;
  for (uint32_t i = 0; i < dim; i++)
    sum += (double)x[i] * (double)y[i];
  return sum;
}

IX_PLAIN static double distance(const float *x, const float *y, uint32_t dim) {
  double sum = 0;
  for (uint32_t i = 0; i < dim; i++)
    sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
  return sum;
}

static void *wide(size_t bytes) {
  void *p = NULL;
  assert_int_equal(posix_memalign(&p, 64, bytes), 0);
  return p;
}

/* ---- Quantizers ------------------------------------------------------------------------------ */

enum { RABITQ = 0 }; /* in place of nbits */

static struct vdb_quant *quant_make(struct vdb_mem *mem, const float *rows, uint32_t n,
                                    uint32_t dim, int32_t metric, uint32_t m, uint32_t nbits) {
  struct vdb_quant *q = NULL;
  vecdb_error err;
  struct vdb_pq_train t = {.mem = mem, .par = &par, .rows = rows, .n = n, .dim = dim,
                           .metric = metric, .params = {m, nbits}, .seed = 2};
  int rc = nbits == RABITQ ? vdb_rabitq_new(mem, dim, metric, &q, &err)
                           : vdb_pq_train(&t, &q, &err);
  assert_int_equal(rc, VECDB_OK);
  return q;
}

/* A quantizer over residuals of rows from one centre, all of them coded. */
struct coded {
  struct vdb_quant *q;
  uint32_t n;
  float *residuals, *centre, *decoded;
  uint8_t *blocks, *codes;
  struct vdb_quant_row *rows;
  bool damaged; /* keys may be anything */
};

static void code_all(struct coded *c, struct vdb_quant *q, const float *x, const float *centre,
                     uint32_t n) {
  uint32_t dim = q->dim;
  *c = (struct coded){.q = q, .n = n};
  c->residuals = malloc((size_t)n * dim * sizeof(float));
  c->decoded = malloc((size_t)n * dim * sizeof(float));
  c->centre = malloc(dim * sizeof(float));
  c->codes = malloc((size_t)n * q->m);
  c->rows = malloc(n * sizeof *c->rows);
  c->blocks = wide((size_t)(n + SLOTS - 1) / SLOTS * q->block_bytes);
  memcpy(c->centre, centre, dim * sizeof(float));
  for (uint32_t i = 0; i < n; i++) {
    float *r = c->residuals + (size_t)i * dim;
    uint8_t *block = c->blocks + (size_t)(i / SLOTS) * q->block_bytes;
    for (uint32_t d = 0; d < dim; d++)
      r[d] = x[(size_t)i * dim + d] - centre[d];
    if (i % SLOTS == 0)
      vdb_quant_block_clear(q, block);
    c->rows[i].codes = c->codes + (size_t)i * q->m;
    q->ops->encode(q, r, centre, &c->rows[i]);
    q->ops->decode(q, &c->rows[i], c->decoded + (size_t)i * dim);
    vdb_quant_put(q, block, i % SLOTS, &c->rows[i]);
  }
}

static void coded_free(struct coded *c, struct vdb_mem *mem) {
  c->q->ops->close(mem, c->q);
  free(c->residuals);
  free(c->decoded);
  free(c->centre);
  free(c->codes);
  free(c->rows);
  free(c->blocks);
}

/* keys[i] of all rows, by the scan. */
static void scan_all(const struct coded *c, const float *query, float *keys) {
  struct vdb_scan_table table;
  void *memory = wide(c->q->table_bytes);
  float base = vdb_quant_base(c->q, query, c->centre), block_keys[SLOTS];
  c->q->ops->table(c->q, query, memory, &table);
  vdb_scan_fn scan = vdb_quant_scan(c->q);
  for (uint32_t b = 0; b * SLOTS < c->n; b++) {
    uint32_t left = c->n - b * SLOTS;
    uint32_t below = scan(&table, c->blocks + (size_t)b * c->q->block_bytes, base, 1e30f,
                          block_keys);
    if (!c->damaged)
      assert_int_equal(below, left >= SLOTS ? UINT32_MAX : (UINT32_C(1) << left) - 1);
    for (uint32_t i = 0; i < SLOTS && i < left; i++)
      keys[b * SLOTS + i] = block_keys[i];
  }
  free(memory);
}

/*
 * The estimate of a key in double from what a row decodes to. PQ: the key of c + p. RABITQ: <q - c,
 * r> is estimated by <q - c, p>, |r| is known.
 */
static double estimate(const struct coded *c, const float *query, uint32_t row) {
  uint32_t dim = c->q->dim;
  const float *p = c->decoded + (size_t)row * dim, *r = c->residuals + (size_t)row * dim;
  double with_p = dot(query, p, dim) - dot(c->centre, p, dim);
  if (c->q->metric == VECDB_L2)
    return distance(query, c->centre, dim) - 2 * with_p +
           (c->q->rescaled ? dot(r, r, dim) : dot(p, p, dim));
  double part = c->q->rescaled ? with_p + dot(c->centre, r, dim) : dot(query, p, dim);
  return -dot(query, c->centre, dim) - part;
}

static void check_keys(struct vdb_mem *mem, int32_t metric, uint32_t dim, uint32_t m,
                       uint32_t nbits) {
  enum { N = 300 };
  float *x = gauss_rows(N, dim, 3), *queries = gauss_rows(8, dim, 4), *centre = gauss_rows(1, dim,
  5); float keys[N];
  struct coded c;
  code_all(&c, quant_make(mem, x, N, dim, metric, m, nbits), x, centre, N);
  assert_int_equal(c.q->block_bytes % 64, 0);
  for (int k = 0; k < 8; k++) {
    const float *query = queries + (size_t)k * dim;
    struct vdb_scan_table table;
    void *memory = wide(c.q->table_bytes);
    scan_all(&c, query, keys);
    c.q->ops->table(c.q, query, memory, &table);
    for (uint32_t i = 0; i < N; i++) {
      /* each look-up is rounded by half a step at most, each factor by 2^-11 of itself */
      double want = estimate(&c, query, i);
      double rescale = fabs((double)c.rows[i].rescale), add = fabs((double)c.rows[i].add);
      double slack = rescale * (double)table.scale * c.q->m * 0.5 + add * 0x1p-11 + 1e-3;
      if (c.q->rescaled)
        slack += fabs(rescale * (double)table.scale * 31 * c.q->m) * 0x1p-11;
      assert_true(fabs((double)keys[i] - want) <= slack);
    }
    free(memory);
  }
  /* blocks give back what was put in */
  for (uint32_t i = 0; i < N; i++) {
    uint8_t codes[64];
    struct vdb_quant_row row = {.codes = codes};
    vdb_quant_get(c.q, c.blocks + (size_t)(i / SLOTS) * c.q->block_bytes, i % SLOTS, &row);
    assert_memory_equal(codes, c.rows[i].codes, c.q->m);
    assert_true(fabs((double)(row.add - c.rows[i].add)) <= 0x1p-11 * fabs((double)row.add) + 1e-7);
    assert_true(fabs((double)(row.rescale - c.rows[i].rescale)) <=
                0x1p-11 * fabs((double)row.rescale) + 1e-7);
  }
  coded_free(&c, mem);
  free(x);
  free(queries);
  free(centre);
}

static void keys_by_formula(void **state) {
  (void)state;
  static const uint32_t pq[][3] = {{8, 1, 3},  {8, 8, 1},  {12, 6, 4}, {30, 15, 2}, {21, 7, 4},
                                   {8, 2, 8},  {24, 3, 5}, {20, 20, 8}, {36, 9, 6}, {33, 11, 7}};
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t i = 0; i < VDB_COUNT(pq); i++) {
    check_keys(&mem, VECDB_L2, pq[i][0], pq[i][1], pq[i][2]);
    check_keys(&mem, VECDB_IP, pq[i][0], pq[i][1], pq[i][2]);
  }
  for (uint32_t dim = 1; dim < 50; dim += 3) {
    check_keys(&mem, VECDB_L2, dim, 0, RABITQ);
    check_keys(&mem, VECDB_IP, dim, 0, RABITQ);
  }
  assert_int_equal(mem.used, 0);
}

/* Each part gets its nearest centroid, and more bits or parts come nearer. */
static void reconstruction(void **state) {
  (void)state;
  enum { N = 1500, DIM = 24 };
  float *x = gauss_rows(N, DIM, 8), zero[DIM] = {0};
  double before = INFINITY;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  for (uint32_t nbits = 1; nbits <= 8; nbits++) {
    struct coded c;
    double error = 0;
    code_all(&c, quant_make(&mem, x, N, DIM, VECDB_L2, 8, nbits), x, zero, N);
    for (uint32_t i = 0; i < N; i++) {
      double mine = distance(c.residuals + i * DIM, c.decoded + i * DIM, DIM);
      error += mine / N;
      if (i % 100)
        continue;
      for (uint32_t j = 0; j < 8; j++) { /* no other code is nearer */
        uint8_t codes[8];
        float other[DIM];
        memcpy(codes, c.rows[i].codes, 8);
        for (uint32_t code = 0; code < UINT32_C(1) << nbits; code++) {
          codes[j] = (uint8_t)code;
          vdb_pq_decode(c.q, codes, other);
          assert_true(distance(c.residuals + i * DIM, other, DIM) >= mine - 1e-4);
        }
      }
    }
    assert_true(error < 0.85 * before);
    before = error;
    coded_free(&c, &mem);
  }
  free(x);
  assert_int_equal(mem.used, 0);
}

static void float_tables(void **state) {
  (void)state;
  float *x = gauss_rows(400, 20, 8), *tables = malloc(5 * 256 * sizeof *tables);
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  for (uint32_t nbits = 2; nbits <= 8; nbits += 3) {
    struct vdb_quant *q = quant_make(&mem, x, 400, 20, VECDB_L2, 5, nbits);
    uint32_t width = vdb_pq_of(q)->width;
    uint8_t codes[5];
    float p[20];
    vdb_pq_float_table(q, x, tables);
    for (uint32_t i = 0; i < 20; i++) {
      double sum = 0;
      vdb_pq_codes(q, x + i * 20, codes);
      vdb_pq_decode(q, codes, p);
      for (uint32_t j = 0; j < 5; j++)
        sum += (double)tables[j * width + codes[j]];
      assert_true(fabs(sum + 2 * dot(x, p, 20)) < 1e-4);
    }
    q->ops->close(&mem, q);
  }
  free(x);
  free(tables);
  assert_int_equal(mem.used, 0);
}

/* ---- Real vectors ---------------------------------------------------------------------------- */

/* How many of the 10 nearest by `truth` are among the 40 least of `keys`. */
static double recall_of(const double *truth, const double *keys, uint32_t n) {
  uint32_t found = 0;
  double *sorted = malloc(n * sizeof *sorted);
  memcpy(sorted, truth, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, ix_compare_doubles);
  double tenth = sorted[9];
  memcpy(sorted, keys, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, ix_compare_doubles);
  for (uint32_t i = 0; i < n; i++)
    found += truth[i] <= tenth && keys[i] <= sorted[39];
  free(sorted);
  return found / 10.0;
}

struct recalls {
  double scan, exact; /* by the scan's keys; by the estimate in double */
};

/* Of a quantizer over real rows after a random rotation. */
static struct recalls real_recalls(int32_t metric, uint32_t m, uint32_t nbits) {
  float *x = real_rows(REAL_ROWS, 8, 0), *queries = real_rows(REAL_QUERIES, 400, 5);
  struct recalls out = {0, 0};
  struct vdb_transform *t;
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  assert_int_equal(vdb_transform_new(&mem, VDB_ROTATE_RANDOM, REAL_DIM, 1, NULL, &t, &err), 0);
  vdb_transform_fit(t, x, REAL_ROWS, true);
  float *centre = calloc(REAL_DIM, sizeof *centre), keys[REAL_ROWS];
  static double truth[REAL_ROWS], scanned[REAL_ROWS], exact[REAL_ROWS];
  for (uint32_t i = 0; i < REAL_ROWS; i++)
    vdb_transform_apply(t, x + (size_t)i * REAL_DIM, x + (size_t)i * REAL_DIM);
  for (uint32_t i = 0; i < REAL_DIM; i++) /* some centre, as of a list */
    centre[i] = (x[i] + x[REAL_DIM + i] + x[2 * REAL_DIM + i]) / 6;
  float *residuals = malloc((size_t)REAL_ROWS * REAL_DIM * sizeof *residuals);
  for (size_t i = 0; i < (size_t)REAL_ROWS * REAL_DIM; i++)
    residuals[i] = x[i] - centre[i % REAL_DIM];
  struct coded c;
  code_all(&c, quant_make(&mem, residuals, REAL_ROWS, REAL_DIM, metric, m, nbits), x, centre,
           REAL_ROWS);
  for (uint32_t k = 0; k < REAL_QUERIES; k++) {
    float *query = queries + (size_t)k * REAL_DIM;
    vdb_transform_apply(t, query, query);
    scan_all(&c, query, keys);
    for (uint32_t i = 0; i < REAL_ROWS; i++) {
      const float *row = x + (size_t)i * REAL_DIM;
      truth[i] = metric == VECDB_L2 ? distance(query, row, REAL_DIM) : -dot(query, row, REAL_DIM);
      scanned[i] = (double)keys[i];
      exact[i] = estimate(&c, query, i);
    }
    out.scan += recall_of(truth, scanned, REAL_ROWS) / REAL_QUERIES;
    out.exact += recall_of(truth, exact, REAL_ROWS) / REAL_QUERIES;
  }
  coded_free(&c, &mem);
  vdb_transform_close(&mem, t);
  free(x);
  free(queries);
  free(centre);
  free(residuals);
  assert_int_equal(mem.used, 0);
  return out;
}

/* Rounding of tables costs almost nothing beside what coding costs. */
static void real_recall(void **state) {
  (void)state;
  static const struct {
    int32_t metric;
    uint32_t m, nbits;
    double least; /* what the estimate in double reaches, less a margin */
  } cases[] = {{VECDB_L2, 0, RABITQ, 0.9}, {VECDB_IP, 0, RABITQ, 0.9}, {VECDB_L2, 96, 4, 0.9},
               {VECDB_IP, 192, 4, 0.9},    {VECDB_L2, 48, 8, 0.9},     {VECDB_IP, 96, 5, 0.9}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct recalls r = real_recalls(cases[i].metric, cases[i].m, cases[i].nbits);
    if (getenv("VDB_PRINT"))
      printf("%u x %u: %.4f by scan, %.4f in double\n", cases[i].m, cases[i].nbits, r.scan,
             r.exact);
    assert_true(r.scan >= r.exact - 0.02);
    assert_true(r.scan >= cases[i].least);
  }
}

/* The estimate has no bias, and is within its bound as often as the header says. */
static void one_bit_bounds(void **state) {
  (void)state;
  enum { N = 600, DIM = 128, QUERIES = 50 };
  float *x = gauss_rows(N, DIM, 21), *queries = gauss_rows(QUERIES, DIM, 22);
  float *centre = calloc(DIM, sizeof *centre), keys[N];
  struct vdb_transform *t;
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  assert_int_equal(vdb_transform_new(&mem, VDB_ROTATE_RANDOM, DIM, 7, NULL, &t, &err), 0);
  for (uint32_t i = 0; i < N; i++)
    vdb_transform_apply(t, x + i * DIM, x + i * DIM);
  struct coded c;
  code_all(&c, quant_make(&mem, x, N, DIM, VECDB_L2, 0, RABITQ), x, centre, N);
  double bias = 0, spread = 0;
  uint32_t off = 0;
  for (uint32_t k = 0; k < QUERIES; k++) {
    float *query = queries + k * DIM;
    vdb_transform_apply(t, query, query);
    scan_all(&c, query, keys);
    double length = sqrt(dot(query, query, DIM));
    for (uint32_t i = 0; i < N; i++) {
      double error = (double)keys[i] - distance(query, x + i * DIM, DIM);
      bias += error;
      spread += error * error;
      off += fabs(error) > (double)c.rows[i].error * length;
    }
  }
  double n = (double)N * QUERIES;
  spread = sqrt(spread / n);
  assert_true(fabs(bias / n) < 0.05 * spread);
  assert_true(off / n > 0.03 && off / n < 0.09);
  coded_free(&c, &mem);
  vdb_transform_close(&mem, t);
  free(x);
  free(queries);
  free(centre);
  assert_int_equal(mem.used, 0);
}

/* ---- Parameters, extremes -------------------------------------------------------------------- */

static void bad_params(void **state) {
  (void)state;
  static const struct {
    uint32_t m, nbits, n, dim;
    int rc;
  } cases[] = {{4, 4, 16, 16, 0},  {5, 4, 16, 16, 1}, {0, 4, 16, 16, 1}, {17, 4, 100, 16, 1},
               {4, 0, 100, 16, 1}, {4, 9, 999, 16, 1}, {4, 4, 15, 16, 1}, {16, 8, 256, 16, 0}};
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  float *x = gauss_rows(1000, 16, 1);
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct vdb_pq_params params = {cases[i].m, cases[i].nbits};
    struct vdb_pq_train t = {.mem = &mem, .par = &par, .rows = x, .n = cases[i].n,
                             .dim = cases[i].dim, .metric = VECDB_L2, .params = params};
    struct vdb_quant *q;
    int want = cases[i].rc ? VECDB_ERR_INDEX_PARAM : VECDB_OK;
    assert_int_equal(vdb_pq_check(&params, cases[i].n, cases[i].dim, "v", &err), want);
    assert_int_equal(vdb_pq_train(&t, &q, &err), want);
    if (want == VECDB_OK)
      q->ops->close(&mem, q);
  }
  free(x);
  assert_int_equal(mem.used, 0);
}

/* Rows that are all equal, residuals of 0, factors over the range of f16. */
static void extremes(void **state) {
  (void)state;
  enum { N = 300, DIM = 16 };
  float *x = calloc(N * DIM, sizeof *x), *centre = calloc(DIM, sizeof *centre), keys[N];
  struct vdb_mem mem;
  struct coded c;
  vdb_mem_init(&mem, NULL, 0);
  for (uint32_t nbits = 0; nbits <= 8; nbits += 4) {
    float query[DIM] = {3};
    for (uint32_t i = 0; i < N * DIM; i++)
      x[i] = 0;
    code_all(&c, quant_make(&mem, x, N, DIM, VECDB_L2, 4, nbits), x, centre, N);
    scan_all(&c, query, keys);
    for (uint32_t i = 0; i < N; i++)
      assert_true(keys[i] == 9);
    coded_free(&c, &mem);
    for (uint32_t i = 0; i < N * DIM; i++)
      x[i] = (float)(i % 7) * 1e4f;
    code_all(&c, quant_make(&mem, x, N, DIM, VECDB_L2, 4, nbits), x, centre, N);
    scan_all(&c, query, keys); /* all are found, if far away */
    coded_free(&c, &mem);
  }
  free(x);
  free(centre);
  assert_int_equal(mem.used, 0);
}

static bool stop_at_third(void *arg) {
  _Atomic int *calls = arg;
  return atomic_fetch_add(calls, 1) == 2;
}

static void same_and_cancelled(void **state) {
  (void)state;
  float *x = gauss_rows(900, 24, 6);
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  struct ix_sections sections[3];
  for (unsigned i = 0; i < 3; i++) {
    struct vdb_par workers = {ix_par_run, 1 + 2 * i, NULL};
    struct vdb_pq_train t = {.mem = &mem, .par = &workers, .rows = x, .n = 900, .dim = 24,
                             .metric = VECDB_IP, .params = {6, 5}, .seed = 4};
    struct vdb_quant *q;
    ix_sections_init(&sections[i]);
    assert_int_equal(vdb_pq_train(&t, &q, &err), VECDB_OK);
    assert_int_equal(q->ops->write(q, &sections[i].writer, 1, &err), VECDB_OK);
    assert_true(ix_sections_equal(&sections[0], &sections[i]));
    q->ops->close(&mem, q);
    _Atomic int calls = 0;
    t.stop = stop_at_third;
    t.stop_arg = &calls;
    assert_int_equal(vdb_pq_train(&t, &q, &err), VECDB_ERR_CANCELLED);
  }
  for (unsigned i = 0; i < 3; i++)
    ix_sections_free(&sections[i]);
  free(x);
  assert_int_equal(mem.used, 0);
}

/* ---- Transforms ------------------------------------------------------------------------------ */

static void transforms(void **state) {
  (void)state;
  static const uint32_t dims[] = {1, 3, 8, 50, 300};
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t i = 0; i < VDB_COUNT(dims); i++)
    for (int kind = VDB_ROTATE_NONE; kind <= VDB_ROTATE_LEARNED; kind++) {
      uint32_t dim = dims[i];
      struct vdb_transform *t, *again;
      struct ix_sections s;
      float *x = gauss_rows(40, dim, 1), *y = malloc(40 * dim * sizeof *y), *matrix = NULL;
      ix_sections_init(&s);
      if (kind == VDB_ROTATE_LEARNED) { /* a reflection: 1 - 2 v v' / |v|^2 */
        matrix = calloc((size_t)dim * dim, sizeof *matrix);
        for (uint32_t a = 0; a < dim; a++)
          for (uint32_t b = 0; b < dim; b++)
            matrix[a * dim + b] = (float)((a == b) - 2 * (double)x[a] * (double)x[b] / dot(x, x,
      dim)); }
      assert_int_equal(vdb_transform_new(&mem, (enum vdb_rotation)kind, dim, 9, matrix, &t, &err),
      0); for (uint32_t k = 0; k < 40 * dim; k++)
        x[k] += 5;
      vdb_transform_fit(t, x, 40, true);
      assert_int_equal(vdb_transform_write(t, &s.writer, 2, &err), 0);
      assert_int_equal(vdb_transform_open(&mem, &s.reader, 2, dim, &again, &err), 0);
      double norms = 0, scale = (double)t->scale;
      for (uint32_t k = 0; k < 40; k++) {
        float other[300], turned[300], difference[300];
        vdb_transform_apply(t, x + k * dim, y + k * dim);
        vdb_transform_apply(again, x + k * dim, other);
        assert_memory_equal(y + k * dim, other, dim * sizeof *y);
        norms += sqrt(dot(other, other, dim)) / 40;
        for (uint32_t d = 0; d < dim; d++)
          difference[d] = x[k * dim + d] - x[d];
        vdb_transform_rotate(t, difference, turned);
        assert_true(fabs(distance(y + k * dim, y, dim) -
                         scale * scale * distance(x + k * dim, x, dim)) < 1e-3);
        for (uint32_t d = 0; d < dim; d++)
          assert_true(fabs((double)(y[k * dim + d] - y[d]) - scale * (double)turned[d]) < 1e-4);
      }
      assert_true(fabs(norms - 1) < 1e-4);
      vdb_transform_close(&mem, t);
      vdb_transform_close(&mem, again);
      ix_sections_free(&s);
      free(x);
      free(y);
      free(matrix);
    }
  assert_int_equal(mem.used, 0);
}

/* ---- Damage ---------------------------------------------------------------------------------- */

/* Opens what is there; when that works, codes and decodes a row. */
static void try_open(struct vdb_mem *mem, const struct ix_sections *s, const float *x) {
  struct vdb_quant *q;
  struct vdb_transform *t;
  vecdb_error err;
  float y[12];
  if (vdb_pq_open(mem, &s->reader, 1, 12, VECDB_L2, &q, &err) == VECDB_OK) {
    struct coded c;
    float keys[40];
    code_all(&c, q, x, x, 40);
    c.damaged = true;
    scan_all(&c, x, keys);
    coded_free(&c, mem);
  }
  if (vdb_transform_open(mem, &s->reader, 1, 12, &t, &err) == VECDB_OK) {
    vdb_transform_apply(t, x, y);
    vdb_transform_close(mem, t);
  }
  assert_int_equal(mem->used, 0);
}

static void damaged(void **state) {
  (void)state;
  float *x = gauss_rows(300, 12, 6), matrix[144];
  struct vdb_mem mem;
  vecdb_error err;
  struct vdb_quant *q;
  struct vdb_transform *t;
  vdb_mem_init(&mem, NULL, 0);
  memcpy(matrix, x, sizeof matrix);
  for (uint32_t nbits = 3; nbits <= 5; nbits++) {
    struct ix_sections s;
    ix_sections_init(&s);
    q = quant_make(&mem, x, 300, 12, VECDB_L2, 4, nbits);
    enum vdb_rotation kind = nbits == 3 ? VDB_ROTATE_RANDOM : VDB_ROTATE_LEARNED;
    assert_int_equal(vdb_transform_new(&mem, kind, 12, 1, matrix, &t, &err), 0);
    assert_int_equal(q->ops->write(q, &s.writer, 1, &err), 0);
    assert_int_equal(vdb_transform_write(t, &s.writer, 1, &err), 0);
    q->ops->close(&mem, q);
    vdb_transform_close(&mem, t);
    assert_int_equal(vdb_pq_open(&mem, &s.reader, 1, 12, VECDB_IP, &q, &err), VECDB_ERR_CORRUPT);
    assert_int_equal(vdb_pq_open(&mem, &s.reader, 1, 24, VECDB_L2, &q, &err), VECDB_ERR_CORRUPT);
    assert_int_equal(vdb_pq_open(&mem, &s.reader, 2, 12, VECDB_L2, &q, &err), VECDB_ERR_CORRUPT);
    assert_int_equal(vdb_transform_open(&mem, &s.reader, 1, 11, &t, &err), VECDB_ERR_CORRUPT);
    for (size_t i = 0; i < s.n; i++)
      for (size_t at = 0; at < s.items[i].n; at++)
        for (int bit = 0; bit < 8; bit++) {
          s.items[i].data[at] ^= (uint8_t)(1 << bit);
          try_open(&mem, &s, x);
          s.items[i].data[at] ^= (uint8_t)(1 << bit);
        }
    for (size_t i = 0; i < s.n; i++)
      for (size_t n = 0, whole = s.items[i].n; n < whole; n += 1 + n / 9) { /* cut short */
        uint8_t *was = s.items[i].data;
        s.items[i].data = NULL;
        ix_section_set(&s.items[i], was, n, NULL, 0);
        assert_int_not_equal(i == 0 ? vdb_pq_open(&mem, &s.reader, 1, 12, VECDB_L2, &q, &err)
                                    : vdb_transform_open(&mem, &s.reader, 1, 12, &t, &err), 0);
        free(s.items[i].data);
        s.items[i].data = was;
        s.items[i].n = whole;
      }
    ix_sections_free(&s);
  }
  free(x);
  assert_int_equal(mem.used, 0);
}

static void out_of_memory(void **state) {
  (void)state;
  float *x = gauss_rows(300, 12, 6), matrix[144];
  struct vdb_par serial = vdb_par_serial();
  struct ix_memory m;
  struct ix_sections s;
  vecdb_error err;
  ix_sections_init(&s);
  int rc = 1;
  for (long fail = 0; rc; fail++) {
    struct vdb_quant *q = NULL, *one = NULL, *opened = NULL;
    struct vdb_transform *t = NULL, *again = NULL;
    ix_memory_init(&m, fail);
    struct vdb_pq_train job = {.mem = &m.mem, .par = &serial, .rows = x, .n = 300, .dim = 12,
                               .metric = VECDB_L2, .params = {4, 4}};
    rc = vdb_pq_train(&job, &q, &err);
    rc = rc ? rc : vdb_rabitq_new(&m.mem, 12, VECDB_L2, &one, &err);
    rc = rc ? rc : vdb_opq_learn(&job, 2, matrix, &err);
    rc = rc ? rc : vdb_transform_new(&m.mem, VDB_ROTATE_LEARNED, 12, 0, matrix, &t, &err);
    if (rc == VECDB_OK && s.n == 0) {
      assert_int_equal(q->ops->write(q, &s.writer, 1, &err), 0);
      assert_int_equal(vdb_transform_write(t, &s.writer, 1, &err), 0);
    }
    rc = rc ? rc : vdb_pq_open(&m.mem, &s.reader, 1, 12, VECDB_L2, &opened, &err);
    rc = rc ? rc : vdb_transform_open(&m.mem, &s.reader, 1, 12, &again, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    struct vdb_quant *quants[] = {q, one, opened};
    for (size_t i = 0; i < 3; i++)
      if (quants[i])
        quants[i]->ops->close(&m.mem, quants[i]);
    vdb_transform_close(&m.mem, t);
    vdb_transform_close(&m.mem, again);
    assert_int_equal(m.mem.used, 0);
    assert_true(fail < 100);
  }
  ix_sections_free(&s);
  free(x);
}

/* ---- OPQ ------------------------------------------------------------------------------------- */

/* Rows that vary in few directions, across all dimensions: a rotation pays. */
static void learned_rotation(void **state) {
  (void)state;
  enum { N = 1200, DIM = 20, M = 5 };
  float *raw = gauss_rows(N, DIM, 6), *x = malloc(N * DIM * sizeof *x), *y = malloc(N * DIM * sizeof
  *y); float one[DIM * DIM], other[DIM * DIM], zero[DIM] = {0};
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  for (uint32_t i = 0; i < N; i++)
    for (uint32_t d = 0; d < DIM; d++) { /* each part has something of everything */
      const float *r = raw + i * DIM;
      x[i * DIM + d] = r[d % 3] * (d % 4 < 2 ? 2.0f : 1.0f) + 0.1f * r[d];
    }
  struct vdb_par serial = vdb_par_serial();
  struct vdb_pq_train t = {.mem = &mem, .par = &par, .rows = x, .n = N, .dim = DIM,
                           .metric = VECDB_L2, .params = {M, 4}, .seed = 1};
  assert_int_equal(vdb_opq_learn(&t, 0, one, &err), VECDB_OK);
  t.par = &serial;
  assert_int_equal(vdb_opq_learn(&t, 0, other, &err), VECDB_OK);
  assert_memory_equal(one, other, sizeof one);
  for (uint32_t a = 0; a < DIM; a++)
    for (uint32_t b = 0; b < DIM; b++) /* R R' = 1 */
      assert_true(fabs(dot(one + a * DIM, one + b * DIM, DIM) - (a == b)) < 1e-4);
  for (uint32_t i = 0; i < N; i++)
    for (uint32_t d = 0; d < DIM; d++)
      y[i * DIM + d] = (float)dot(one + d * DIM, x + i * DIM, DIM);
  double errors[2] = {0, 0};
  for (int k = 0; k < 2; k++) {
    struct coded c;
    float *rows = k ? y : x;
    code_all(&c, quant_make(&mem, rows, N, DIM, VECDB_L2, M, 4), rows, zero, N);
    for (uint32_t i = 0; i < N; i++)
      errors[k] += distance(rows + i * DIM, c.decoded + i * DIM, DIM);
    coded_free(&c, &mem);
  }
  if (getenv("VDB_PRINT"))
    printf("error %.4f, with a learned rotation %.4f\n", errors[0] / N, errors[1] / N);
  assert_true(errors[1] < 0.7 * errors[0]);
  memset(x, 0, N * DIM * sizeof *x); /* nothing to learn from: a rotation all the same */
  assert_int_equal(vdb_opq_learn(&t, 2, one, &err), VECDB_OK);
  for (uint32_t a = 0; a < DIM; a++)
    assert_true(fabs(dot(one + a * DIM, one + a * DIM, DIM) - 1) < 1e-4);
  free(raw);
  free(x);
  free(y);
  assert_int_equal(mem.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_by_formula), cmocka_unit_test(reconstruction),
      cmocka_unit_test(float_tables),    cmocka_unit_test(real_recall),
      cmocka_unit_test(one_bit_bounds),  cmocka_unit_test(bad_params),
      cmocka_unit_test(extremes),        cmocka_unit_test(same_and_cancelled),
      cmocka_unit_test(transforms),      cmocka_unit_test(damaged),
      cmocka_unit_test(out_of_memory),   cmocka_unit_test(learned_rotation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
