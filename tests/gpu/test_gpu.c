/*
 * test_gpu.c - the GPU module against sums in double over all rows. With VECDB_GPU_MODULE naming a
 * module, on its device; else on the emulated one (emu/), whose failures the last tests script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "accel/accel.h"
#include "gpu/gputest.h"
#include "kern/kern.h"

static const struct vdb_accel_ops *gpu;
static void (*emu_fail_at)(uint64_t);
static uint64_t (*emu_calls)(void);
static void (*emu_memory)(size_t);
static size_t (*emu_used)(void);
static void (*emu_devices)(int);

/* ---- Rows, and what is true of them ---------------------------------------------------------- */

struct rows {
  struct vdb_accel_rows as;
  unsigned char *data;
  float *inv_norms;
  double *exact; /* element i of row r at r * dim + i */
};

static uint64_t dice_state;
static uint32_t dice(void) {
  dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(dice_state >> 33);
}
static float dice_float(void) {
  return (float)(dice() % 20001) / 10000 - 1;
}

/* One element into `at`; its value. */
static double put_element(unsigned char *at, int32_t elem, float x) {
  const struct vdb_kern_table *kern = vdb_kern_available(0);
  uint16_t half;
  int8_t small = (int8_t)(x * 127);
  switch (elem) {
  case VDB_ACCEL_F32:
    memcpy(at, &x, 4);
    return (double)x;
  case VDB_ACCEL_F16:
    kern->f32_to_f16(&x, &half, 1);
    kern->f16_to_f32(&half, &x, 1);
    memcpy(at, &half, 2);
    return (double)x;
  case VDB_ACCEL_BF16:
    kern->f32_to_bf16(&x, &half, 1);
    kern->bf16_to_f32(&half, &x, 1);
    memcpy(at, &half, 2);
    return (double)x;
  default:
    memcpy(at, &small, 1);
    return small;
  }
}

static size_t elem_bytes(int32_t elem) {
  return elem == VDB_ACCEL_F32 ? 4 : elem == VDB_ACCEL_I8 ? 1 : 2;
}

/* Rows of very different lengths, now and then zero or a copy of the one before. */
static struct rows rows_make(int32_t elem, int32_t key, uint32_t n, uint32_t dim) {
  struct rows r = {.as = {.n = n, .dim = dim, .elem = elem, .key = key}};
  bool bits = elem == VDB_ACCEL_BITS;
  r.as.stride = (bits ? dim / 8 : dim * elem_bytes(elem)) + (n % 2 ? 8 : 0);
  r.data = calloc(n, r.as.stride);
  r.exact = calloc((size_t)n * dim, sizeof *r.exact);
  r.inv_norms = calloc(n, sizeof *r.inv_norms);
  for (uint32_t i = 0; i < n; i++) {
    bool copy = i % 20 == 3 && i > 0;
    float scale = elem == VDB_ACCEL_I8 ? 1 : i % 50 == 7 ? 0 : ldexpf(1, (int)(dice() % 8));
    double norm = 0;
    unsigned char *row = r.data + i * r.as.stride;
    for (uint32_t j = 0; j < dim; j++) {
      double *x = &r.exact[(size_t)i * dim + j];
      if (copy)
        *x = r.exact[(size_t)(i - 1) * dim + j];
      else if (bits)
        *x = dice() & 1;
      else
        *x = put_element(row + j * elem_bytes(elem), elem, dice_float() * scale);
      if (bits)
        row[j / 8] |= (unsigned char)((int)*x << j % 8);
      norm += *x * *x;
    }
    if (copy && !bits)
      memcpy(row, row - r.as.stride, dim * elem_bytes(elem));
    r.inv_norms[i] = norm > 0 ? (float)(1 / sqrt(norm)) : 0;
  }
  r.as.data = r.data;
  r.as.inv_norms = key == VDB_ACCEL_COSINE ? r.inv_norms : NULL;
  return r;
}

static void rows_free(struct rows *r) {
  free(r->data);
  free(r->exact);
  free(r->inv_norms);
}

/* The key in double, of row i and a query of floats or bits. */
static double true_key(const struct rows *r, uint32_t i, const unsigned char *query) {
  double sum = 0;
  for (uint32_t j = 0; j < r->as.dim; j++) {
    double x = r->exact[(size_t)i * r->as.dim + j], q;
    if (r->as.elem == VDB_ACCEL_BITS) {
      q = query[j / 8] >> j % 8 & 1;
    } else {
      float f;
      memcpy(&f, query + 4 * (size_t)j, 4);
      q = (double)f;
    }
    x *= r->as.inv_norms ? (double)r->as.inv_norms[i] : 1;
    sum += r->as.key == VDB_ACCEL_L2        ? (x - q) * (x - q)
           : r->as.key == VDB_ACCEL_HAMMING ? x != q
                                            : -x * q;
  }
  return sum;
}

struct question {
  struct vdb_accel_ask ask;
  unsigned char *queries;
  size_t bytes; /* of a query */
  uint64_t *allow;
};

static struct question question_make(const struct rows *r, uint32_t n, uint32_t k, bool filtered) {
  struct question q = {.ask = {.n = n, .k = k, .width = k}};
  bool bits = r->as.elem == VDB_ACCEL_BITS;
  q.bytes = bits ? (r->as.dim + 31) / 32 * 4 : r->as.dim * sizeof(float);
  q.queries = calloc(n, q.bytes);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t j = 0; j < r->as.dim; j++) {
      float x = dice_float();
      if (bits)
        q.queries[i * q.bytes + j / 8] |= (unsigned char)((dice() & 1) << j % 8);
      else
        memcpy(q.queries + i * q.bytes + 4 * (size_t)j, &x, 4);
    }
  if (filtered) {
    q.allow = calloc(r->as.n / 64 + 1, 8);
    for (uint32_t i = 0; i < r->as.n; i++)
      q.allow[i / 64] |= (uint64_t)(dice() % 4 == 0) << i % 64;
  }
  q.ask.queries = q.queries;
  q.ask.allow = q.allow;
  q.ask.rows = calloc((size_t)n * k, sizeof *q.ask.rows);
  q.ask.keys = calloc((size_t)n * k, sizeof *q.ask.keys);
  q.ask.counts = calloc(n, sizeof *q.ask.counts);
  return q;
}

static void question_free(struct question *q) {
  free(q->queries);
  free(q->allow);
  free(q->ask.rows);
  free(q->ask.keys);
  free(q->ask.counts);
}

static bool allowed(const struct question *q, uint32_t row) {
  return !q->allow || (q->allow[row / 64] >> row % 64 & 1);
}

/* ---- Scans ----------------------------------------------------------------------------------- */

/* How far below the true key a key may be, so that candidates are of use: 2^-9 of the sizes. */
static double slack(const struct rows *r, uint32_t row, const unsigned char *query) {
  double x = 0, q = 0;
  if (r->as.elem == VDB_ACCEL_BITS)
    return 0;
  for (uint32_t j = 0; j < r->as.dim; j++) {
    double e = r->exact[(size_t)row * r->as.dim + j];
    float f;
    memcpy(&f, query + 4 * (size_t)j, 4);
    x += e * e;
    q += (double)f * (double)f;
  }
  x *= r->as.inv_norms ? (double)r->as.inv_norms[row] * (double)r->as.inv_norms[row] : 1;
  return 0x1p-9 * (sqrt(x * q) + (r->as.key == VDB_ACCEL_L2 ? x + q : 0)) + 1e-30;
}

static void check_scan(const struct rows *r, const struct question *q) {
  for (uint32_t i = 0; i < q->ask.n; i++) {
    const unsigned char *query = q->queries + i * q->bytes;
    const uint32_t *rows = q->ask.rows + (size_t)i * q->ask.k;
    const float *keys = q->ask.keys + (size_t)i * q->ask.k;
    uint32_t n_allowed = 0, n = q->ask.counts[i];
    unsigned char *found = calloc(r->as.n, 1);
    for (uint32_t row = 0; row < r->as.n; row++)
      n_allowed += allowed(q, row);
    assert_int_equal(n, n_allowed < q->ask.k ? n_allowed : q->ask.k);
    for (uint32_t j = 0; j < n; j++) {
      assert_true(rows[j] < r->as.n && allowed(q, rows[j]) && !found[rows[j]]);
      found[rows[j]] = 1;
      double exact = true_key(r, rows[j], query);
      assert_true((double)keys[j] <= exact);
      assert_true((double)keys[j] >= exact - slack(r, rows[j], query));
      if (j > 0)
        assert_true(keys[j - 1] < keys[j] || (keys[j - 1] == keys[j] && rows[j - 1] < rows[j]));
    }
    for (uint32_t row = 0; n > 0 && row < r->as.n; row++)
      if (!found[row] && allowed(q, row))
        assert_true(true_key(r, row, query) >= (double)keys[n - 1]);
    free(found);
  }
}

static struct vdb_accel_set *load(const struct vdb_accel_rows *rows) {
  struct vdb_accel_set *set = NULL;
  struct vdb_accel_why why = {""};
  int status = gpu->load(0, rows, &set, &why);
  if (status != VDB_ACCEL_OK)
    fail_msg("load: %s", why.text);
  return set;
}

static void scan_case(int32_t elem, int32_t key, uint32_t n, uint32_t dim, uint32_t queries,
                      uint32_t k, bool filtered) {
  struct vdb_accel_why why = {""};
  struct rows r = rows_make(elem, key, n, dim);
  struct question q = question_make(&r, queries, k, filtered);
  struct vdb_accel_set *set = load(&r.as);
  if (gpu->scan(set, &q.ask, &why) != VDB_ACCEL_OK)
    fail_msg("scan: %s", why.text);
  check_scan(&r, &q);
  gpu->drop(set);
  question_free(&q);
  rows_free(&r);
}

static void test_scan_types(void **state) {
  (void)state;
  static const int32_t keys[] = {VDB_ACCEL_L2, VDB_ACCEL_DOT, VDB_ACCEL_COSINE};
  for (int32_t elem = VDB_ACCEL_F32; elem <= VDB_ACCEL_I8; elem++)
    for (uint32_t i = 0; i < 3; i++)
      scan_case(elem, keys[i], 300, 17 + i * 20, 3, 10, i == 1);
  scan_case(VDB_ACCEL_BITS, VDB_ACCEL_HAMMING, 700, 72, 20, 40, true);
  scan_case(VDB_ACCEL_BITS, VDB_ACCEL_HAMMING, 129, 8, 3, 200, false);
}

static void test_scan_sizes(void **state) {
  (void)state;
  static const uint32_t rows[] = {1, 127, 128, 129, 400, 2500};
  static const uint32_t queries[] = {1, 16, 17, 33, 65, 131};
  static const uint32_t ks[] = {1, 10, 128, 129, 400, VDB_ACCEL_MAX_K};
  for (uint32_t i = 0; i < 6; i++)
    scan_case(VDB_ACCEL_F32, VDB_ACCEL_DOT, rows[i], i < 4 ? 16 : 5, queries[5 - i], ks[i], i == 5);
}

/* Many rows of the same key: those of the lower numbers are taken. */
static void test_scan_ties(void **state) {
  (void)state;
  struct vdb_accel_why why;
  struct rows r = rows_make(VDB_ACCEL_I8, VDB_ACCEL_L2, 600, 4);
  memset(r.data, 1, r.as.n * r.as.stride);
  struct question q = question_make(&r, 2, 100, false);
  struct vdb_accel_set *set = load(&r.as);
  assert_int_equal(gpu->scan(set, &q.ask, &why), VDB_ACCEL_OK);
  for (uint32_t i = 0; i < 200; i++)
    assert_int_equal(q.ask.rows[i], i % 100);
  gpu->drop(set);
  question_free(&q);
  rows_free(&r);
}

/* Elements whose squares are no floats any more: keys are not above the true ones nevertheless. */
static void test_scan_tiny(void **state) {
  (void)state;
  struct vdb_accel_why why;
  static const float scales[] = {1e-20f, 1e-30f, 1e18f};
  for (size_t s = 0; s < 3; s++) {
    struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_DOT, 300, 3);
    for (uint32_t i = 0; i < 300; i++)
      for (uint32_t j = 0; j < 3; j++) {
        float x = (1 + dice_float() / 1000) * scales[s];
        memcpy(r.data + i * r.as.stride + 4 * j, &x, 4);
        r.exact[i * 3 + j] = (double)x;
      }
    struct question q = question_make(&r, 2, 20, false);
    struct vdb_accel_set *set = load(&r.as);
    assert_int_equal(gpu->scan(set, &q.ask, &why), VDB_ACCEL_OK);
    check_scan(&r, &q);
    gpu->drop(set);
    question_free(&q);
    rows_free(&r);
  }
}

/* Rows with elements that are no numbers, as damaged files may hold, and rows too large for floats
   to say how far they are, do not hide others. */
static void test_scan_damaged(void **state) {
  (void)state;
  struct vdb_accel_why why;
  struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_DOT, 200, 8);
  static const float bad[] = {NAN, INFINITY, -INFINITY, 1.8e19f};
  for (uint32_t i = 0; i < 4; i++)
    memcpy(r.data + (10 + i) * r.as.stride + 4, &bad[i], 4);
  struct question q = question_make(&r, 1, 200, false);
  struct vdb_accel_set *set = load(&r.as);
  assert_int_equal(gpu->scan(set, &q.ask, &why), VDB_ACCEL_OK);
  bool found[200] = {false};
  for (uint32_t i = 0; i < q.ask.counts[0]; i++)
    found[q.ask.rows[i]] = true;
  for (uint32_t i = 0; i < 200; i++)
    assert_true(found[i] || (i >= 10 && i < 13));
  gpu->drop(set);
  question_free(&q);
  rows_free(&r);
}

/* ---- Walks ----------------------------------------------------------------------------------- */

/* Each row is linked with its neighbours in number, and some at random: all can be reached. */
static uint32_t *graph_make(uint32_t n, uint32_t width) {
  uint32_t *links = malloc((size_t)n * width * sizeof *links);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t j = 0; j < width; j++)
      links[i * width + j] = j == 0          ? (i + 1) % n
                             : j == 1        ? (i + n - 1) % n
                             : j + 1 < width ? dice() % n
                                             : UINT32_MAX;
  return links;
}

/* A walk that keeps as many rows as there are meets all of them, and brings the allowed ones. */
static void walk_case(int32_t elem, int32_t key, uint32_t n, uint32_t dim, uint32_t width,
                      bool filtered) {
  struct vdb_accel_why why = {""};
  static const uint32_t starts[] = {0, 3, 0};
  struct rows r = rows_make(elem, key, n, dim);
  uint32_t *links = graph_make(n, width);
  r.as.links = links;
  r.as.width = width;
  r.as.starts = starts;
  r.as.n_starts = 3;
  struct question q = question_make(&r, 5, 20, filtered);
  q.ask.width = n;
  struct vdb_accel_set *set = load(&r.as);
  if (gpu->walk(set, &q.ask, &why) != VDB_ACCEL_OK)
    fail_msg("walk: %s", why.text);
  for (uint32_t i = 0; i < q.ask.n; i++) {
    assert_int_equal(q.ask.counts[i], 20);
    const uint32_t *rows = q.ask.rows + (size_t)i * 20;
    const unsigned char *query = q.queries + i * q.bytes;
    double last = true_key(&r, rows[19], query);
    uint32_t nearer = 0;
    for (uint32_t row = 0; row < n; row++)
      nearer += allowed(&q, row) && true_key(&r, row, query) < last - 2 * slack(&r, row, query);
    assert_true(nearer < 20);
    for (uint32_t j = 0; j < 20; j++) {
      double off = fabs((double)q.ask.keys[i * 20 + j] - true_key(&r, rows[j], query));
      assert_true(off <= slack(&r, rows[j], query) && allowed(&q, rows[j]));
      for (uint32_t other = 0; other < j; other++)
        assert_int_not_equal(rows[j], rows[other]);
    }
  }
  gpu->drop(set);
  question_free(&q);
  free(links);
  rows_free(&r);
}

static void test_walk(void **state) {
  (void)state;
  walk_case(VDB_ACCEL_F32, VDB_ACCEL_L2, 300, 20, 8, true);
  walk_case(VDB_ACCEL_F16, VDB_ACCEL_DOT, 130, 300, 17, false);
  walk_case(VDB_ACCEL_I8, VDB_ACCEL_COSINE, 512, 7, 33, true);
}

/* ---- What cannot be -------------------------------------------------------------------------- */

static void test_unfit(void **state) {
  (void)state;
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *set = NULL;
  struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_L2, 100, 8);
  struct vdb_accel_rows bad = r.as;
  bad.n = 0;
  assert_int_equal(gpu->load(0, &bad, &set, &why), VDB_ACCEL_UNFIT);
  assert_non_null(strstr(why.text, "0 rows"));
  bad = r.as;
  bad.dim = VDB_ACCEL_MAX_DIM + 1;
  assert_int_equal(gpu->load(0, &bad, &set, &why), VDB_ACCEL_UNFIT);
  bad = r.as;
  bad.key = VDB_ACCEL_HAMMING;
  assert_int_equal(gpu->load(0, &bad, &set, &why), VDB_ACCEL_UNFIT);
  assert_int_equal(gpu->load(99, &r.as, &set, &why), VDB_ACCEL_NO_DEVICE);
  set = load(&r.as);
  struct question q = question_make(&r, 1, VDB_ACCEL_MAX_K + 1, false);
  assert_int_equal(gpu->scan(set, &q.ask, &why), VDB_ACCEL_UNFIT);
  q.ask.k = 10;
  assert_int_equal(gpu->walk(set, &q.ask, &why), VDB_ACCEL_UNFIT); /* no graph */
  gpu->drop(set);
  question_free(&q);
  rows_free(&r);
}

/* ---- Many threads ---------------------------------------------------------------------------- */

struct caller {
  pthread_t thread;
  struct vdb_accel_set *set;
  struct question q;
  int status;
};

static void *call_scan(void *arg) {
  struct caller *c = arg;
  struct vdb_accel_why why;
  for (int i = 0; i < 5 && c->status == VDB_ACCEL_OK; i++)
    c->status = gpu->scan(c->set, &c->q.ask, &why);
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_L2, 300, 16);
  struct caller callers[4];
  struct vdb_accel_set *set = load(&r.as);
  for (int i = 0; i < 4; i++) {
    callers[i] = (struct caller){.set = set, .q = question_make(&r, 2 + (uint32_t)i, 5, i % 2)};
    assert_int_equal(pthread_create(&callers[i].thread, NULL, call_scan, &callers[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(callers[i].thread, NULL);
    assert_int_equal(callers[i].status, VDB_ACCEL_OK);
    check_scan(&r, &callers[i].q);
    question_free(&callers[i].q);
  }
  gpu->drop(set);
  rows_free(&r);
}

/* ---- A device that fails --------------------------------------------------------------------- */

static void need_emulated(void) {
  if (!emu_fail_at) {
    print_message("a real device cannot be told to fail\n");
    skip();
  }
}

static int load_and_ask(const struct rows *r, const struct question *q) {
  struct vdb_accel_why why = {""};
  struct vdb_accel_set *set = NULL;
  int status = gpu->load(0, &r->as, &set, &why);
  if (status == VDB_ACCEL_OK) {
    status = r->as.links ? gpu->walk(set, &q->ask, &why) : gpu->scan(set, &q->ask, &why);
    gpu->drop(set);
  }
  if (status != VDB_ACCEL_OK)
    assert_true(strlen(why.text) > 0);
  return status;
}

/* Each call that can fail does so once: an error with a message, and it goes on. */
static void fail_each(struct rows *r, struct question *q) {
  assert_int_equal(load_and_ask(r, q), VDB_ACCEL_OK); /* a lane has its memory now */
  uint64_t before = emu_calls();
  assert_int_equal(load_and_ask(r, q), VDB_ACCEL_OK);
  uint64_t n = emu_calls() - before;
  assert_true(n > 5);
  uint64_t failed = 0;
  for (uint64_t i = 1; i <= n + 8; i++) {
    emu_fail_at(i);
    int status = load_and_ask(r, q);
    emu_fail_at(0);
    failed += status != VDB_ACCEL_OK;
    assert_true(status == VDB_ACCEL_OK || status == VDB_ACCEL_NO_MEMORY ||
                status == VDB_ACCEL_FAILED);
    assert_int_equal(load_and_ask(r, q), VDB_ACCEL_OK);
  }
  assert_true(failed >= n);
}

static void test_failing(void **state) {
  (void)state;
  need_emulated();
  struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_COSINE, 200, 8);
  struct question q = question_make(&r, 3, 5, true);
  fail_each(&r, &q);
  check_scan(&r, &q);
  question_free(&q);
  static const uint32_t start = 0;
  uint32_t *links = graph_make(200, 4);
  r.as.links = links;
  r.as.width = 4;
  r.as.starts = &start;
  r.as.n_starts = 1;
  q = question_make(&r, 3, 5, false);
  fail_each(&r, &q);
  question_free(&q);
  free(links);
  rows_free(&r);
}

static void test_memory(void **state) {
  (void)state;
  need_emulated();
  struct vdb_accel_why why = {""};
  struct vdb_accel_device about;
  struct rows r = rows_make(VDB_ACCEL_F32, VDB_ACCEL_L2, 1000, 64);
  size_t before = emu_used();
  struct vdb_accel_set *set = load(&r.as);
  assert_int_equal(gpu->describe(0, &about, &why), VDB_ACCEL_OK);
  assert_int_equal(about.memory - about.free, emu_used());
  gpu->drop(set);
  size_t idle = emu_used(); /* what lanes keep */
  set = load(&r.as);
  assert_int_equal(emu_used() - idle, gpu->need(&r.as));
  gpu->drop(set);
  assert_int_equal(emu_used(), idle);
  assert_true(before <= idle);
  emu_memory(idle + gpu->need(&r.as) - 1);
  assert_int_equal(gpu->load(0, &r.as, &set, &why), VDB_ACCEL_NO_MEMORY);
  assert_non_null(strstr(why.text, "memory"));
  assert_true(emu_used() <= idle);
  emu_memory((size_t)1 << 30);
  rows_free(&r);
}

static void test_no_device(void **state) {
  (void)state;
  need_emulated();
  struct vdb_accel_why why = {""};
  struct vdb_accel_device about;
  emu_devices(0);
  assert_int_equal(gpu->devices(), 0);
  assert_int_equal(gpu->describe(0, &about, &why), VDB_ACCEL_NO_DEVICE);
  emu_devices(1);
  assert_int_equal(gpu->devices(), 1);
}

/* ---- The module ------------------------------------------------------------------------------ */

static int open_module(void **state) {
  (void)state;
  const struct vdb_accel_ops *(*table)(void);
  const char *path = getenv("VECDB_GPU_MODULE");
  void *module = dlopen(path ? path : GPU_EMULATED, RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    print_error("%s\n", dlerror());
    return -1;
  }
  gpu_find(module, VDB_ACCEL_SYMBOL, &table);
  gpu_find(module, "emu_fail_at", &emu_fail_at);
  gpu_find(module, "emu_calls", &emu_calls);
  gpu_find(module, "emu_memory", &emu_memory);
  gpu_find(module, "emu_used", &emu_used);
  gpu_find(module, "emu_devices", &emu_devices);
  gpu = table();
  if (path && gpu->devices() == 0) {
    print_message("skipped: %s finds no device\n", path);
    exit(0);
  }
  return gpu->version == VDB_ACCEL_VERSION && gpu->devices() > 0 ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scan_types), cmocka_unit_test(test_scan_sizes),
      cmocka_unit_test(test_scan_ties),  cmocka_unit_test(test_scan_damaged),
      cmocka_unit_test(test_scan_tiny),
      cmocka_unit_test(test_walk),       cmocka_unit_test(test_unfit),
      cmocka_unit_test(test_threads),    cmocka_unit_test(test_failing),
      cmocka_unit_test(test_memory),     cmocka_unit_test(test_no_device)};
  return cmocka_run_group_tests_name("gpu", tests, open_module, NULL);
}
