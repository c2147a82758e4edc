/*
 * test_sq.c - scalar codes: keys against true ones for each metric, element type and many
 * dimensions; rows as queries; the rotation; equal bytes for any number of workers; opening.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixtest.h"
#include "index/sq.h"

enum { N = 300 };

/* Learns from the first n_order rows of a mixed order. */
static void make_codes_of(struct vdb_mem *mem, const struct ix_data *d,
                          const struct vdb_codes_ops *ops, unsigned workers, uint32_t n_order,
                          struct vdb_codes *out) {
  struct vdb_par par = {ix_par_run, workers, NULL};
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_error err = {0};
  uint32_t order[N];
  for (uint32_t i = 0; i < N; i++)
    order[i] = (i * 7 + 3) % N;
  struct vdb_codes_make make = {mem, &d->vecs, &par, &params, order, n_order, 42};
  assert_true(ops->fits(&d->vecs));
  assert_int_equal(ops->make(&make, out, &err), VECDB_OK);
}

static void make_codes(struct vdb_mem *mem, const struct ix_data *d,
                       const struct vdb_codes_ops *ops, unsigned workers, struct vdb_codes *out) {
  make_codes_of(mem, d, ops, workers, N, out);
}

static int compare_floats(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The correlation of keys by code with true ones, over all rows and some queries. */
static double correlation(const struct ix_data *d, const struct vdb_codes *codes) {
  uint32_t ids[N];
  float keys[N];
  void *query = NULL;
  double least = 1;
  if (posix_memalign(&query, 64, codes->ops->query_bytes(codes)))
    abort();
  for (uint32_t i = 0; i < N; i++)
    ids[i] = i;
  for (size_t q = 0; q < 5; q++) {
    struct vdb_query_vec raw = ix_prepare(d, ix_query(d, q));
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    codes->ops->query(codes, &raw, query);
    codes->ops->keys(codes, query, ids, N, keys);
    for (uint32_t i = 0; i < N; i++) {
      double t = ix_true_key(d, ix_query(d, q), i), k = (double)keys[i];
      x += t / N;
      y += k / N;
      xx += t * t / N;
      yy += k * k / N;
      xy += t * k / N;
    }
    least = fmin(least, (xy - x * y) / sqrt((xx - x * x) * (yy - y * y)));
    free(raw.data);
  }
  free(query);
  return least;
}

static void keys_are_nearly_true(void **state) {
  (void)state;
  static const size_t dims[] = {2, 3, 8, 16, 17, 31, 32, 33, 64, 65, 100, 128, 200, 384, 1000};
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  static const enum vdb_elem elems[] = {VDB_F32, VDB_F16, VDB_BF16};
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t i = 0; i < VDB_COUNT(dims) * 9; i++) {
    struct ix_data d;
    size_t dim = dims[i / 9];
    ix_data_make(&d, elems[i % 3], metrics[i / 3 % 3], N, dim, 1);
    for (int is4 = 0; is4 < 2; is4++) {
      struct vdb_codes codes;
      const struct vdb_codes_ops *ops = is4 ? vdb_sq4_ops() : vdb_sq8_ops();
      make_codes(&mem, &d, ops, 1, &codes);
      double got = correlation(&d, &codes), floor = is4 ? .97 : .9995;
      if (got < floor)
        print_error("%s, dim %zu, elem %d, metric %d: %.5f\n", ops->name, dim, (int)d.vecs.elem,
                    (int)d.vecs.metric, got);
      assert_true(got >= floor);
      ops->close(&mem, &codes, true);
    }
    ix_data_free(&d);
  }
  assert_int_equal(mem.used, 0);
}

/* Recall of a scan of codes of rows of length `scale`, and one in fifty a thousand times as long:
   the nearest of a long query are among these, by keys that are off a thousand times as far. */
static double scan_of_uneven_rows(double scale) {
  enum { ROWS = 2000, DIM = 96, QUERIES = 20, WANTED = 10, LONG = 50 };
  uint32_t good = 0;
  struct ix_data d;
  struct vdb_mem mem;
  struct vdb_codes codes;
  struct vdb_rng rng = {9};
  struct vdb_par par = {ix_par_run, 1, NULL};
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  vecdb_error err = {0};
  float one[DIM];
  uint32_t order[ROWS];
  uint64_t all[ROWS / 64 + 1];
  memset(all, 0xff, sizeof all);
  vdb_mem_init(&mem, NULL, 0);
  ix_data_alloc(&d, VDB_F32, VECDB_IP, ROWS, DIM);
  for (uint32_t i = 0; i < ROWS + d.n_queries; i++) {
    double length = i % LONG == 0 || i >= ROWS ? 1000 : 1;
    for (size_t k = 0; k < DIM; k++)
      one[k] = (float)(scale * length * ix_gauss(&rng) / sqrt(DIM));
    uint8_t *out = i < ROWS ? d.rows + i * d.vecs.stride : d.queries + (i - ROWS) * d.vecs.stride;
    ix_encode(out, one, VDB_F32, DIM);
    if (i < ROWS)
      order[i] = i;
  }
  struct vdb_codes_make make = {&mem, &d.vecs, &par, &params, order, ROWS, 42};
  assert_int_equal(vdb_sq4_ops()->make(&make, &codes, &err), VECDB_OK);
  for (size_t q = 0; q < QUERIES; q++) {
    struct vdb_near items[WANTED];
    struct vdb_query_vec query = ix_prepare(&d, ix_query(&d, q));
    struct vdb_search s = {.mem = &mem, .query = &query, .effort = ROWS, .allow = all,
                           .top = {items, WANTED, 0}};
    assert_int_equal(vdb_codes_scan(&codes, &d.vecs, &s, &err), VECDB_OK);
    assert_int_equal(s.top.n, WANTED);
    double kth = ix_true_kth(&d, ix_query(&d, q), NULL, WANTED);
    for (size_t i = 0; i < WANTED; i++)
      good += ix_true_key(&d, ix_query(&d, q), items[i].row) <= kth + fabs(kth) * 1e-4;
    free(query.data);
  }
  codes.ops->close(&mem, &codes, true);
  ix_data_free(&d);
  assert_int_equal(mem.used, 0);
  return (double)good / (QUERIES * WANTED);
}

static void scans_of_uneven_rows(void **state) {
  (void)state;
  static const double scales[] = {1, 1e14}; /* 2.1e15 on average: squares are near 1e31 */
  for (size_t i = 0; i < VDB_COUNT(scales); i++) {
    double recall = scan_of_uneven_rows(scales[i]);
    if (recall < .99)
      print_error("rows of length %g: %.3f\n", scales[i], recall);
    assert_true(recall >= .99);
  }
}

/* Sketches keep nearly all rows whose keys are not above a limit, and of the others only few: with
   2,000 dimensions a bound is close to the key. */
static void sketches_keep_what_is_near(void **state) {
  (void)state;
  static const size_t dims[] = {384, 390, 1000, 2000};
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  for (size_t i = 0; i < VDB_COUNT(dims) * VDB_COUNT(metrics); i++) {
    struct ix_data d;
    struct vdb_mem mem;
    struct vdb_codes codes;
    uint32_t ids[N], beside[N], near = 0, kept_near = 0, kept = 0;
    float keys[N], sorted[N];
    void *query = NULL;
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_F32, metrics[i % 3], N, dims[i / 3], 1);
    make_codes(&mem, &d, vdb_sq4_ops(), 1, &codes);
    assert_non_null(codes.sketches);
    if (posix_memalign(&query, 64, codes.ops->query_bytes(&codes)))
      abort();
    for (size_t q = 0; q < 8; q++) {
      struct vdb_query_vec raw = ix_prepare(&d, ix_query(&d, q));
      codes.ops->query(&codes, &raw, query);
      for (uint32_t r = 0; r < N; r++)
        ids[r] = beside[r] = r;
      codes.ops->keys(&codes, query, ids, N, keys);
      memcpy(sorted, keys, sizeof sorted);
      qsort(sorted, N, sizeof *sorted, compare_floats);
      float limit = sorted[N / 10];
      size_t n = codes.ops->sift(&codes, query, ids, beside, N, limit);
      for (uint32_t r = 0; r < N; r++)
        near += keys[r] <= limit;
      for (size_t r = 0; r < n; r++) {
        assert_true(ids[r] == beside[r] && ids[r] < N && (r == 0 || ids[r] > ids[r - 1]));
        kept_near += keys[ids[r]] <= limit;
      }
      kept += (uint32_t)n;
      free(raw.data);
    }
    if (kept_near < near * .93 || kept > 8 * N * .8)
      print_error("dim %zu, metric %d: %u of %u near, %u in all\n", dims[i / 3],
                  (int)metrics[i % 3], (unsigned)kept_near, (unsigned)near, (unsigned)kept);
    assert_true(kept_near >= near * .93 && kept <= 8 * N * .8);
    free(query);
    codes.ops->close(&mem, &codes, true);
    ix_data_free(&d);
  }
}

/* Keys by briefs are those by the factors themselves, but for rounding to 16 bits. */
static void briefs_score_the_same(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++) {
    struct ix_data d;
    struct vdb_mem mem;
    struct vdb_codes codes;
    uint32_t ids[N], briefs[N];
    float keys[N], brief[N];
    void *query = NULL;
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_F32, i / 2 == 0 ? VECDB_L2 : i / 2 == 1 ? VECDB_IP : VECDB_COSINE, N,
                 96, 1);
    make_codes(&mem, &d, i % 2 ? vdb_sq4_ops() : vdb_sq8_ops(), 1, &codes);
    if (posix_memalign(&query, 64, codes.ops->query_bytes(&codes)))
      abort();
    struct vdb_query_vec raw = ix_prepare(&d, ix_query(&d, 0));
    codes.ops->query(&codes, &raw, query);
    double low = 1e30, high = -1e30;
    for (uint32_t r = 0; r < N; r++) {
      ids[r] = N - 1 - r;
      assert_true(codes.ops->brief(&codes, ids[r], &briefs[r]));
    }
    codes.ops->keys(&codes, query, ids, N, keys);
    codes.ops->keys_brief(&codes, query, ids, briefs, N, brief);
    for (uint32_t r = 0; r < N; r++) {
      low = fmin(low, (double)keys[r]);
      high = fmax(high, (double)keys[r]);
    }
    for (uint32_t r = 0; r < N; r++)
      assert_true(fabs((double)keys[r] - (double)brief[r]) <= 4e-3 * (high - low));
    free(query);
    free(raw.data);
    codes.ops->close(&mem, &codes, true);
    ix_data_free(&d);
  }
}

/* A row so much longer than the others that 16 bits do not hold its factors has no brief. */
static void outliers_have_no_brief(void **state) {
  (void)state;
  struct ix_data d;
  struct vdb_mem mem;
  struct vdb_codes codes;
  uint32_t brief;
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, N, 96, 1);
  uint32_t last = ((N - 1) * 7 + 3) % N;
  float *row = (float *)(void *)(d.rows + last * d.vecs.stride);
  for (size_t i = 0; i < 96; i++)
    row[i] *= 1e5f;
  make_codes_of(&mem, &d, vdb_sq4_ops(), 1, N - 1, &codes);
  assert_true(codes.ops->brief(&codes, 7, &brief));
  assert_false(codes.ops->brief(&codes, last, &brief));
  codes.ops->close(&mem, &codes, true);
  ix_data_free(&d);
}

/* Keys of coded rows to coded rows do not depend on the side, and order rows as true ones do. */
static void rows_are_queries(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  for (size_t i = 0; i < VDB_COUNT(metrics); i++) {
    struct ix_data d;
    struct vdb_mem mem;
    struct vdb_codes codes;
    static float keys[N][N];
    uint32_t ids[N];
    void *query = NULL;
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_F32, metrics[i], N, 50, 1);
    make_codes(&mem, &d, vdb_sq8_ops(), 1, &codes);
    if (posix_memalign(&query, 64, codes.ops->query_bytes(&codes)))
      abort();
    for (uint32_t k = 0; k < N; k++)
      ids[k] = k;
    for (uint32_t k = 0; k < N; k++) {
      vdb_sq_row_query(&codes, k, &codes, query);
      codes.ops->keys(&codes, query, ids, N, keys[k]);
    }
    for (uint32_t a = 0; a < N; a++)
      for (uint32_t b = 0; b < N; b++) {
        double t = ix_true_key(&d, d.rows + a * d.vecs.stride, b), k = (double)keys[a][b];
        assert_true(fabsf(keys[a][b] - keys[b][a]) <= 1e-4f * (1 + fabsf(keys[a][b])));
        x += t / N / N;
        y += k / N / N;
        xx += t * t / N / N;
        yy += k * k / N / N;
        xy += t * k / N / N;
      }
    assert_true((xy - x * y) / sqrt((xx - x * x) * (yy - y * y)) > .9995);
    free(query);
    codes.ops->close(&mem, &codes, true);
    ix_data_free(&d);
  }
}

static void workers_and_files(void **state) {
  (void)state;
  struct ix_data d;
  struct vdb_mem mem;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, N, 70, 1);
  for (int is4 = 0; is4 < 2; is4++) {
    const struct vdb_codes_ops *ops = is4 ? vdb_sq4_ops() : vdb_sq8_ops();
    struct vdb_codes one, four, opened;
    make_codes(&mem, &d, ops, 1, &one);
    make_codes(&mem, &d, ops, 4, &four);
    assert_int_equal(one.data_size, four.data_size);
    assert_memory_equal(one.data, four.data, one.data_size);
    assert_memory_equal(one.params, four.params, one.params_size);
    opened = (struct vdb_codes){.ops = ops, .data = four.data, .data_size = four.data_size,
                                .params = four.params, .params_size = four.params_size};
    assert_int_equal(ops->open(&mem, &d.vecs, &opened, &err), VECDB_OK);
    assert_true(correlation(&d, &opened) == correlation(&d, &one));
    ops->close(&mem, &opened, false);
    for (int wrong = 0; wrong < 4; wrong++) {
      opened = (struct vdb_codes){.ops = ops, .data = four.data, .data_size = four.data_size,
                                  .params = four.params, .params_size = four.params_size};
      opened.data_size += wrong == 0 ? 1 : wrong == 1 ? (size_t)-1 : 0;
      opened.params_size += wrong == 2 ? 1 : wrong == 3 ? (size_t)-1 : 0;
      assert_int_equal(ops->open(&mem, &d.vecs, &opened, &err), VECDB_ERR_CORRUPT);
    }
    ops->close(&mem, &one, true);
    ops->close(&mem, &four, true);
  }
  ix_data_free(&d);
  assert_int_equal(mem.used, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_nearly_true), cmocka_unit_test(sketches_keep_what_is_near),
      cmocka_unit_test(briefs_score_the_same), cmocka_unit_test(outliers_have_no_brief),
      cmocka_unit_test(rows_are_queries), cmocka_unit_test(workers_and_files),
      cmocka_unit_test(scans_of_uneven_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
