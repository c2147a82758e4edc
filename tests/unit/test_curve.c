/*
 * test_curve.c - recall curves: the same for any number of workers, rising, kept as they are in
 * bytes and refused when they make no sense; and what they promise is found, by queries of their
 * own over made data and by real questions over real passages (examples/data).
 * TSAN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "index/curve.h"
#include "tlib/ixreal.h"
#include "tlib/ixtest.h"
#include "tlib/thorough.h"

enum { MAX_K = 100 };

/* Among kinds of data and numbers of results. */
static size_t step(void) { return test_size(1, 4); }

struct built {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  struct vdb_index *index;
};

static void built_open(struct built *b) {
  vecdb_error err = {0};
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  assert_int_equal(ix_build(&b->mem, &b->data, 2, 16, &b->sections, &err), VECDB_OK);
  assert_int_equal(ix_open(&b->mem, &b->data, &b->sections, &b->index, &err), VECDB_OK);
}

static void built_close(struct built *b) {
  b->index->ops->close(&b->mem, b->index);
  assert_int_equal(b->mem.used, 0);
  ix_sections_free(&b->sections);
  ix_data_free(&b->data);
}

static void measure(struct built *b, unsigned workers, struct vdb_curve *out) {
  vecdb_error err = {0};
  struct vdb_par par = {ix_par_run, workers, NULL};
  if (workers == 1)
    par = vdb_par_serial();
  struct vdb_curve_measure m = {.mem = &b->mem, .index = b->index, .par = &par, .seed = 7};
  assert_int_equal(vdb_curve_measure(&m, out, &err), VECDB_OK);
}

/* The keys of the nearest rows of each query, by looking at all rows. */
struct truth {
  float keys[60][MAX_K];
};

static struct truth *truth_of(struct built *b) {
  struct truth *truth = malloc(sizeof *truth);
  assert_in_range(b->data.n_queries, 1, VDB_COUNT(truth->keys));
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[MAX_K];
    struct vdb_query_vec q = ix_prepare(&b->data, ix_query(&b->data, i));
    struct vdb_search exact = {.mem = &b->mem, .query = &q, .top = {items, MAX_K, 0}};
    vdb_flat_scan(&b->data.vecs, 0, &exact);
    vdb_topk_sort(&exact.top);
    assert_int_equal(exact.top.n, MAX_K);
    for (size_t k = 0; k < MAX_K; k++)
      truth->keys[i][k] = items[k].key;
    free(q.data);
  }
  return truth;
}

/* Mean share of the true k found at an effort, and its standard error. */
static double recall(struct built *b, const struct truth *truth, uint32_t k,
                     const struct vdb_curve *curve, uint32_t effort, double *error) {
  double sum = 0, squares = 0, n = (double)b->data.n_queries;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    vecdb_error err = {0};
    struct vdb_near found[MAX_K];
    struct vdb_query_vec q = ix_prepare(&b->data, ix_query(&b->data, i));
    struct vdb_search s = {.mem = &b->mem, .query = &q, .top = {found, k, 0}};
    s.effort = effort > k ? effort : k;
    s.stretch = vdb_curve_stretch(curve, k, s.effort);
    assert_int_equal(b->index->ops->search(b->index, &s, &err), VECDB_OK);
    size_t good = 0;
    for (size_t j = 0; j < s.top.n; j++)
      good += found[j].key <= truth->keys[i][k - 1];
    double x = (double)good / k;
    sum += x;
    squares += x * x;
    free(q.data);
  }
  *error = sqrt(fmax(squares / n - sum / n * (sum / n), 1e-4) / n);
  return sum / n;
}

static void keeps_promises(struct built *b, const char *what) {
  static const uint32_t ks[] = {1, 3, 10, 30, 100};
  static const float targets[] = {.8f, .9f, .95f, .99f};
  struct vdb_curve curve;
  measure(b, 2, &curve);
  assert_true(curve.n > 1);
  struct truth *truth = truth_of(b);
  for (size_t i = 0; i < VDB_COUNT(ks); i += step()) {
    uint32_t before = 0;
    for (size_t j = 0; j < VDB_COUNT(targets); j++) {
      uint32_t effort = vdb_curve_effort(&curve, VDB_EFFORT_EF, ks[i], targets[j]);
      assert_true(effort >= before && effort > 0);
      before = effort;
      double error;
      double got = recall(b, truth, ks[i], &curve, effort, &error);
      if (got + 3 * error < (double)targets[j])
        print_error("%s: k %u, recall %.2f promised, ef %u gives %.3f (error %.3f)\n", what, ks[i],
                    (double)targets[j], effort, got, error);
      assert_true(got + 3 * error >= (double)targets[j]);
    }
  }
  free(truth);
}

static void promises_over_made_data(void **state) {
  (void)state;
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
  } cases[] = {{VDB_F32, VECDB_L2},      {VDB_F32, VECDB_IP},  {VDB_F16, VECDB_COSINE},
               {VDB_BF16, VECDB_COSINE}, {VDB_I8, VECDB_L2},   {VDB_I8, VECDB_COSINE},
               {VDB_BITS, VECDB_HAMMING}, {VDB_BITS, VECDB_JACCARD}};
  for (size_t i = 0; i < VDB_COUNT(cases); i += step()) {
    char what[64];
    struct built b;
    snprintf(what, sizeof what, "elem %d metric %d", (int)cases[i].elem, (int)cases[i].metric);
    ix_data_make(&b.data, cases[i].elem, cases[i].metric, test_size(3000, VDB_CURVE_ROWS), 64, 1);
    built_open(&b);
    keeps_promises(&b, what);
    built_close(&b);
  }
}

/* ---- Real data ------------------------------------------------------------------------------- */

static void promises_over_real_data(void **state) {
  (void)state;
  struct built b;
  size_t rows = test_size(8000, VDB_CURVE_ROWS);
  ix_data_real(&b.data, VDB_F32, VECDB_IP, (uint32_t)rows);
  built_open(&b);
  keeps_promises(&b, "passages");
  built_close(&b);
}

/* ---- The curve itself ------------------------------------------------------------------------ */

static void same_for_any_workers(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_COSINE, test_size(2000, VDB_CURVE_ROWS), 32, 1);
  built_open(&b);
  struct vdb_curve one, three;
  measure(&b, 1, &one);
  measure(&b, 3, &three);
  assert_memory_equal(&one, &three, sizeof one);
  for (uint32_t i = 1; i < one.n; i++) {
    assert_true(one.points[i].effort > one.points[i - 1].effort);
    assert_true(one.points[i].distances >= one.points[i - 1].distances);
    for (size_t k = 0; k < VDB_CURVE_SLOTS; k++)
      assert_true(one.points[i].recall[k] >= one.points[i - 1].recall[k]);
  }
  double distances = vdb_curve_distances(&one, one.points[1].effort);
  assert_true(fabs(distances - (double)one.points[1].distances) < 1e-3 * distances);
  assert_true(vdb_curve_distances(&one, 1) < distances);
  assert_true(vdb_curve_distances(&one, 1e6) > distances);
  built_close(&b);
}

static void few_rows_are_not_measured(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, VDB_CURVE_ROWS - 1, 8, 1);
  built_open(&b);
  struct vdb_curve curve;
  measure(&b, 1, &curve);
  assert_int_equal(curve.n, 0);
  built_close(&b);
}

static bool stop_at_once(void *arg) {
  ++*(int *)arg;
  return true;
}

static void stops_and_fails_without_traces(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, VDB_CURVE_ROWS, 8, 1);
  built_open(&b);
  struct vdb_par par = vdb_par_serial();
  struct vdb_curve curve;
  vecdb_error err = {0};
  int polls = 0;
  struct vdb_curve_measure m = {.mem = &b.mem, .index = b.index, .par = &par};
  m.stop = stop_at_once;
  m.stop_arg = &polls;
  uint64_t used = b.mem.used;
  assert_int_equal(vdb_curve_measure(&m, &curve, &err), VECDB_ERR_CANCELLED);
  assert_in_range(polls, 1, 17); /* by a batch of scans, be they one or 16, and after it */
  assert_int_equal(curve.n, 0);
  m.stop = NULL;
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory memory;
    ix_memory_init(&memory, left);
    m.mem = &memory.mem;
    rc = vdb_curve_measure(&m, &curve, &err);
    assert_true(rc == VECDB_OK || (rc == VECDB_ERR_NO_MEMORY && curve.n == 0));
    assert_int_equal(memory.mem.used, 0);
    assert_true(left < 100);
  }
  assert_true(b.mem.used >= used);
  built_close(&b);
}

static struct vdb_curve sample(void) {
  struct vdb_curve curve = {.n = 3};
  for (uint32_t i = 0; i < 3; i++) {
    struct vdb_curve_point *p = &curve.points[i];
    p->effort = 8u << i;
    p->distances = 100.0f * (float)(i + 1);
    p->stretch[0] = .1f * (float)i;
    p->stretch[1] = .3f * (float)i;
    for (size_t k = 0; k < VDB_CURVE_SLOTS; k++) {
      p->recall[k] = .7f + .1f * (float)i;
      p->sure[k] = .69f + .1f * (float)i;
    }
  }
  return curve;
}

static void efforts_between_points(void **state) {
  (void)state;
  struct vdb_curve curve = sample();
  assert_int_equal(vdb_curve_effort(&curve, VDB_EFFORT_EF, 10, .5f), 8);
  assert_int_equal(vdb_curve_effort(&curve, VDB_EFFORT_EF, 10, .79f), 16);
  uint32_t between = vdb_curve_effort(&curve, VDB_EFFORT_EF, 10, .84f);
  assert_in_range(between, 17, 31);
  assert_int_equal(vdb_curve_effort(&curve, VDB_EFFORT_EF, 10, .895f), 64); /* on average */
  assert_int_equal(vdb_curve_effort(&curve, VDB_EFFORT_EF, 10, .91f), 0);   /* nowhere */
  assert_in_range(vdb_curve_effort(&curve, VDB_EFFORT_EF, 1000, .84f), 10 * between - 10,
                  10 * between);
  assert_in_range(vdb_curve_effort(&curve, VDB_EFFORT_NPROBE, 400, .84f), 2 * between - 2,
                  2 * between);
}

static void stretches_between_points(void **state) {
  (void)state;
  struct vdb_curve curve = sample(); /* at 8, 16, 32: 0, .1 and .2, for a k of 100 0, .3 and .6 */
  static const struct {
    size_t k;
    uint32_t effort;
    double stretch;
  } want[] = {{10, 8, 0},    {10, 16, .1},  {10, 24, .15}, {1, 24, .15}, {100, 24, .45},
              {32, 16, .201}, {101, 24, 0}, {10, 4, 0},    {10, 33, 0}};
  for (size_t i = 0; i < VDB_COUNT(want); i++)
    assert_float_equal(vdb_curve_stretch(&curve, want[i].k, want[i].effort), want[i].stretch, 1e-3);
  curve.n = 0;
  assert_true(vdb_curve_stretch(&curve, 10, 16) == 0);
}

static bool read_back(const struct vdb_curve *curve, struct vdb_mem *mem, bool *same) {
  struct vdb_writer w = VDB_WRITER(mem);
  struct vdb_curve again;
  vdb_curve_write(&w, curve);
  struct vdb_reader r = vdb_reader_of(w.data, w.n);
  vdb_curve_read(&r, true, &again);
  *same = memcmp(curve, &again, sizeof again) == 0;
  bool whole = vdb_reader_left(&r) == 0;
  vdb_writer_free(&w);
  return !r.bad && whole;
}

static void bytes(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_curve curve = {0};
  bool same;
  assert_true(read_back(&curve, &mem, &same) && same);
  curve = sample();
  assert_true(read_back(&curve, &mem, &same) && same);
  curve.points[1].effort = 8;
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[0].effort = 0;
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[2].recall[1] = .1f;
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[2].sure[2] = 1.5f;
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[0].recall[0] = nanf("");
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[0].distances = nanf("");
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[1].stretch[0] = nanf("");
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[2].stretch[1] = .2f; /* falls */
  assert_false(read_back(&curve, &mem, &same));
  curve = sample(), curve.points[0].stretch[1] = -.1f;
  assert_false(read_back(&curve, &mem, &same));
  static const uint8_t many[4] = {VDB_CURVE_POINTS + 1};
  struct vdb_reader r = vdb_reader_of(many, sizeof many);
  vdb_curve_read(&r, true, &curve);
  assert_true(r.bad && curve.n == 0);
}

/* Curves of format 1 have no stretches. */
static void bytes_of_format_1(void **state) {
  (void)state;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_writer w = VDB_WRITER(&mem);
  struct vdb_curve curve = sample(), again;
  vdb_write_u32(&w, curve.n);
  for (uint32_t i = 0; i < curve.n; i++) {
    vdb_write_bytes(&w, &curve.points[i], VDB_CURVE_POINT_BYTES);
    memset(curve.points[i].stretch, 0, sizeof curve.points[i].stretch);
  }
  struct vdb_reader r = vdb_reader_of(w.data, w.n);
  vdb_curve_read(&r, false, &again);
  assert_true(!r.bad && vdb_reader_left(&r) == 0);
  assert_memory_equal(&curve, &again, sizeof curve);
  vdb_writer_free(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(promises_over_made_data)),
      TEST_ALONE(cmocka_unit_test(promises_over_real_data)),
      cmocka_unit_test(same_for_any_workers),
      TEST_ALONE(cmocka_unit_test(few_rows_are_not_measured)),
      TEST_ALONE(cmocka_unit_test(stops_and_fails_without_traces)),
      TEST_ALONE(cmocka_unit_test(efforts_between_points)),
      TEST_ALONE(cmocka_unit_test(stretches_between_points)),
      TEST_ALONE(cmocka_unit_test(bytes)),
      TEST_ALONE(cmocka_unit_test(bytes_of_format_1)),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
