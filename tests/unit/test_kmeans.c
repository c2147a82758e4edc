/*
 * test_kmeans.c - k-means against plain Lloyd in double, and the nearest of many centroids against
 * a search in double; results do not depend on the number of workers.
 *
 * TSAN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixtest.h"
#include "../tlib/thorough.h"
#include "index/kmeans.h"

struct rows {
  float *data;
  uint32_t n, dim;
};

/* Gaussian clusters of different sizes. */
static struct rows rows_make(uint32_t n, uint32_t dim, uint32_t clusters) {
  struct vdb_rng rng = {5};
  struct rows r = {malloc((size_t)n * dim * sizeof(float)), n, dim};
  float *centres = malloc((size_t)clusters * dim * sizeof *centres);
  for (size_t i = 0; i < (size_t)clusters * dim; i++)
    centres[i] = 2 * (float)ix_gauss(&rng);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t c = vdb_rng_below(&rng, 1 + vdb_rng_below(&rng, clusters));
    for (uint32_t d = 0; d < dim; d++)
      r.data[(size_t)i * dim + d] = centres[(size_t)c * dim + d] + (float)ix_gauss(&rng);
  }
  free(centres);
  return r;
}

IX_PLAIN static double distance(const float *x, const float *y, uint32_t dim) {
  double sum = 0;
  for (uint32_t d = 0; d < dim; d++)
    sum += ((double)x[d] - (double)y[d]) * ((double)x[d] - (double)y[d]);
  return sum;
}

static uint32_t nearest_of(const float *x, const float *centroids, uint32_t k, uint32_t dim) {
  uint32_t best = 0;
  double least = (double)INFINITY;
  for (uint32_t c = 0; c < k; c++) {
    double d = distance(x, centroids + (size_t)c * dim, dim);
    best = d < least ? c : best;
    least = d < least ? d : least;
  }
  return best;
}

static double objective(const struct rows *r, const float *centroids, uint32_t k) {
  double sum = 0;
  for (uint32_t i = 0; i < r->n; i++) {
    const float *x = r->data + (size_t)i * r->dim;
    sum += distance(x, centroids + (size_t)nearest_of(x, centroids, k, r->dim) * r->dim, r->dim);
  }
  return sum / r->n;
}

/* Lloyd's rounds from random rows. */
static double plain_objective(const struct rows *r, uint32_t k, int rounds) {
  struct vdb_rng rng = {9};
  uint32_t dim = r->dim;
  float *centroids = malloc((size_t)k * dim * sizeof *centroids);
  double *sums = malloc((size_t)k * dim * sizeof *sums);
  uint32_t *counts = malloc(k * sizeof *counts);
  for (uint32_t c = 0; c < k; c++)
    memcpy(centroids + (size_t)c * dim, r->data + (size_t)vdb_rng_below(&rng, r->n) * dim,
           dim * sizeof *centroids);
  for (int round = 0; round < rounds; round++) {
    memset(sums, 0, (size_t)k * dim * sizeof *sums);
    memset(counts, 0, k * sizeof *counts);
    for (uint32_t i = 0; i < r->n; i++) {
      const float *x = r->data + (size_t)i * dim;
      uint32_t c = nearest_of(x, centroids, k, dim);
      counts[c]++;
      for (uint32_t d = 0; d < dim; d++)
        sums[(size_t)c * dim + d] += (double)x[d];
    }
    for (uint32_t c = 0; c < k; c++)
      for (uint32_t d = 0; counts[c] && d < dim; d++)
        centroids[(size_t)c * dim + d] = (float)(sums[(size_t)c * dim + d] / counts[c]);
  }
  double result = objective(r, centroids, k);
  free(centroids);
  free(sums);
  free(counts);
  return result;
}

static struct vdb_kmeans job_of(struct vdb_mem *mem, const struct vdb_par *par,
                                const struct rows *r, uint32_t k) {
  return (struct vdb_kmeans){
      .mem = mem, .par = par, .rows = r->data, .n = r->n, .dim = r->dim, .k = k, .seed = 3};
}

static void as_good_as_plain(void **state) {
  (void)state;
  static const struct {
    uint32_t n, dim, clusters, k;
  } cases[] = {{400, 3, 5, 1}, {1500, 8, 12, 12}, {2000, 17, 40, 64}, {3000, 12, 90, 150}};
  struct vdb_par par = vdb_par_serial();
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct rows r = rows_make(cases[i].n, cases[i].dim, cases[i].clusters);
    struct vdb_kmeans job = job_of(&mem, &par, &r, cases[i].k);
    job.sample = r.n;
    float *centroids = malloc((size_t)job.k * r.dim * sizeof *centroids);
    assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
    assert_true(objective(&r, centroids, job.k) <= 1.03 * plain_objective(&r, job.k, 12));
    free(centroids);
    free(r.data);
  }
  assert_int_equal(mem.used, 0);
}

/* Also of samples, spherical and balanced, and of more centroids than meet rows at a time. */
static void any_workers(void **state) {
  (void)state;
  struct rows r = rows_make(TEST_SIZE(2600, 1300), 20, 30);
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  float *one = malloc(600 * 20 * sizeof *one), *other = malloc(600 * 20 * sizeof *other);
  for (int variant = 0; variant < 8; variant += (int)test_size(1, TEST_SIZES(3, 1, 3))) {
    struct vdb_par pars[3] = {{ix_par_run, 1, NULL}, {ix_par_run, 2, NULL}, {ix_par_run, 5, NULL}};
    for (size_t p = 0; p < 3; p++) {
      struct vdb_kmeans job = job_of(&mem, &pars[p], &r, variant % 2 ? 600 : 50);
      job.sample = variant == 2 ? 10 : 0;
      job.spherical = variant & 4;
      job.balanced = variant & 2;
      assert_int_equal(vdb_kmeans(&job, p ? other : one, &err), VECDB_OK);
      if (p)
        assert_memory_equal(one, other, job.k * r.dim * sizeof *one);
      for (uint32_t c = 0; c < job.k && job.spherical; c++) {
        double square = 0;
        for (uint32_t d = 0; d < r.dim; d++)
          square += pow((double)(p ? other : one)[c * r.dim + d], 2);
        assert_true(fabs(square - 1) < 1e-5);
      }
    }
  }
  free(one);
  free(other);
  free(r.data);
  assert_int_equal(mem.used, 0);
}

static uint32_t largest_cluster(const struct rows *r, const float *centroids, uint32_t k) {
  uint32_t *counts = calloc(k, sizeof *counts), most = 0;
  for (uint32_t i = 0; i < r->n; i++)
    counts[nearest_of(r->data + (size_t)i * r->dim, centroids, k, r->dim)]++;
  for (uint32_t c = 0; c < k; c++)
    most = counts[c] > most ? counts[c] : most;
  free(counts);
  return most;
}

static void balanced(void **state) {
  (void)state;
  struct rows r = rows_make(4000, 6, 60);
  struct vdb_par par = vdb_par_serial();
  struct vdb_mem mem;
  vecdb_error err;
  float centroids[40 * 6];
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_kmeans job = job_of(&mem, &par, &r, 40);
  job.iterations = 10;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  uint32_t before = largest_cluster(&r, centroids, 40);
  job.balanced = true;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  assert_true(largest_cluster(&r, centroids, 40) < before);
  free(r.data);
}

/* Few different rows, as many centroids as rows, one row. */
static void degenerate(void **state) {
  (void)state;
  struct vdb_par par = vdb_par_serial();
  struct vdb_mem mem;
  vecdb_error err;
  vdb_mem_init(&mem, NULL, 0);
  struct rows r = rows_make(700, 5, 3);
  float *centroids = malloc(700 * 5 * sizeof *centroids);
  struct vdb_kmeans job = job_of(&mem, &par, &r, 700);
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  assert_true(objective(&r, centroids, 700) < 0.3);
  for (uint32_t i = 0; i < r.n; i++)
    memcpy(r.data + (size_t)i * 5, r.data + (size_t)(i % 4) * 5, 5 * sizeof(float));
  job.k = 300;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  assert_true(objective(&r, centroids, 300) < 1e-10);
  memset(r.data, 0, 700 * 5 * sizeof(float));
  job.spherical = true;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  for (size_t i = 0; i < 300 * 5; i++)
    assert_true(centroids[i] == 0);
  job.n = job.k = 1;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  job.k = 2;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_ERR_INDEX_PARAM);
  job.k = 0;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_ERR_INDEX_PARAM);
  free(centroids);
  free(r.data);
  assert_int_equal(mem.used, 0);
}

struct told {
  uint64_t calls, last, cancel_at;
};

static bool tell(void *arg, uint64_t done, uint64_t total) {
  struct told *told = arg;
  assert_true(done <= total && done > told->last);
  told->last = done;
  return ++told->calls == told->cancel_at;
}

static void told_and_cancelled(void **state) {
  (void)state;
  struct rows r = rows_make(900, 4, 9);
  struct vdb_par par = vdb_par_serial();
  struct vdb_mem mem;
  vecdb_error err;
  float centroids[100 * 4];
  vdb_mem_init(&mem, NULL, 0);
  struct vdb_kmeans job = job_of(&mem, &par, &r, 100);
  struct told told = {0, 0, 0};
  job.progress = tell;
  job.progress_arg = &told;
  assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_OK);
  assert_int_equal(told.calls, 1 + 10 + 2);
  for (uint64_t at = 1; at <= 13; at++) {
    told = (struct told){0, 0, at};
    assert_int_equal(vdb_kmeans(&job, centroids, &err), VECDB_ERR_CANCELLED);
    assert_int_equal(told.calls, at);
  }
  free(r.data);
  assert_int_equal(mem.used, 0);
}

static void nearest(void **state) {
  (void)state;
  static const uint32_t nears[] = {1, 2, 7, 64};
  struct rows r = rows_make(300, 13, 20), c = rows_make(1100, 13, 25);
  struct vdb_par par = {ix_par_run, 3, NULL};
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  float *halves = malloc(c.n * sizeof *halves), *keys = malloc(300 * 64 * sizeof *keys);
  uint32_t *ids = malloc(300 * 64 * sizeof *ids), *again = malloc(300 * 64 * sizeof *again);
  memcpy(c.data + 13 * 30, c.data + 13 * 900, 13 * sizeof(float)); /* a tie */
  vdb_centroid_halves(c.data, c.n, 13, halves);
  for (size_t v = 0; v < 16; v++) {
    uint32_t near = nears[v / 4], k = v % 2 ? 64 : c.n;
    struct vdb_centroids set = {c.data, v / 2 % 2 ? halves : NULL, k, 13};
    assert_int_equal(vdb_centroids_nearest(&mem, &par, &set, r.data, r.n, near, ids, keys), 0);
    assert_int_equal(vdb_centroids_nearest(&mem, &par, &set, r.data, r.n, near, again, NULL), 0);
    assert_memory_equal(ids, again, r.n * near * sizeof *ids);
    for (uint32_t i = 0; i < r.n; i++) {
      double true_keys[1100], sorted[1100];
      for (uint32_t j = 0; j < k; j++) {
        double dot = 0, square = 0;
        for (uint32_t d = 0; d < 13; d++) {
          dot += (double)r.data[i * 13 + d] * (double)c.data[j * 13 + d];
          square += (double)c.data[j * 13 + d] * (double)c.data[j * 13 + d];
        }
        sorted[j] = true_keys[j] = (set.halves ? square / 2 : 0) - dot;
      }
      qsort(sorted, k, sizeof *sorted, ix_compare_doubles);
      for (uint32_t j = 0; j < near; j++) {
        double slack = 1e-3; /* keys reach some hundreds */
        assert_true(fabs(true_keys[ids[i * near + j]] - sorted[j]) < slack);
        assert_true(fabs((double)keys[i * near + j] - sorted[j]) < slack);
        if (j)
          assert_true(keys[i * near + j - 1] < keys[i * near + j] ||
                      (keys[i * near + j - 1] == keys[i * near + j] &&
                       ids[i * near + j - 1] < ids[i * near + j]));
      }
    }
  }
  free(halves);
  free(keys);
  free(ids);
  free(again);
  free(r.data);
  free(c.data);
  assert_int_equal(mem.used, 0);
}

static void out_of_memory(void **state) {
  (void)state;
  struct rows r = rows_make(500, 4, 9);
  struct vdb_par par = vdb_par_serial();
  vecdb_error err;
  float centroids[100 * 4];
  uint32_t ids[500];
  struct ix_memory m;
  int rc = VECDB_ERR_NO_MEMORY;
  for (long fail = 0; rc; fail++) {
    ix_memory_init(&m, fail);
    struct vdb_kmeans job = job_of(&m.mem, &par, &r, 100);
    job.balanced = true;
    rc = vdb_kmeans(&job, centroids, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    assert_true(fail < 50);
  }
  struct vdb_centroids set = {centroids, NULL, 100, 4};
  for (long fail = 0; fail < 4; fail++) {
    ix_memory_init(&m, fail);
    rc = vdb_centroids_nearest(&m.mem, &par, &set, r.data, r.n, 1, ids, NULL);
    assert_int_equal(rc, fail < 3 ? VECDB_ERR_NO_MEMORY : VECDB_OK);
    assert_int_equal(m.mem.used, 0);
  }
  free(r.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(cmocka_unit_test(as_good_as_plain)),
      cmocka_unit_test(any_workers),
      TEST_ALONE(cmocka_unit_test(balanced)),
      TEST_ALONE(cmocka_unit_test(degenerate)),
      TEST_ALONE(cmocka_unit_test(told_and_cancelled)),
      cmocka_unit_test(nearest),
      TEST_ALONE(cmocka_unit_test(out_of_memory)),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
