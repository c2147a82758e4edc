/*
 * test_tile.c - products of all pairs of rows: every table gives the bits that the header promises,
 * for all sizes around the blocks; the public calls agree with them (or, where OpenBLAS does the
 * work, come close to sums in double).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "kern/tile.h"
#include "tlib/thorough.h"

enum { MAX_ROWS = 67, MAX_COLUMNS = 70, MAX_LEN = 1100, ROOM = MAX_COLUMNS * (MAX_LEN + 7) };

static float a_data[ROOM], b_data[ROOM];
static float out[MAX_ROWS * MAX_COLUMNS + 1], want[MAX_ROWS * MAX_COLUMNS];
static float *packed;

/* As tile.h has it: in order within 256 elements, with one rounding each, then the sums. */
static float dot_as_promised(const float *a, const float *b, size_t dim) {
  float total = 0;
  for (size_t at = 0; at < dim; at += 256) {
    float sum = 0;
    for (size_t k = at; k < dim && k < at + 256; k++)
      sum = fmaf(a[k], b[k], sum);
    total = at ? total + sum : sum;
  }
  return total;
}

/* Values of very different sizes, so that roundings differ when the order does. */
static void fill(float *data, size_t n, struct vdb_rng *rng) {
  for (size_t i = 0; i < n; i++)
    data[i] = (float)ldexp(vdb_rng_unit(rng) * 2 - 1, (int)(vdb_rng_next(rng) % 24) - 12);
}

struct shape {
  size_t na, nb, dim;
};

static struct vdb_tile_rows rows_of(const float *data, size_t n, size_t dim, size_t gap) {
  return (struct vdb_tile_rows){data, dim + gap, n};
}

static void set_want(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b, size_t dim) {
  for (size_t i = 0; i < a->n; i++)
    for (size_t j = 0; j < b->n; j++)
      want[i * b->n + j] = dot_as_promised(a->data + i * a->stride, b->data + j * b->stride, dim);
}

static void expect_bits(const char *name, struct shape s) {
  const float untouched = -7777;
  for (size_t i = 0; i < s.na * s.nb; i++)
    if (memcmp(&out[i], &want[i], sizeof *out) != 0)
      fail_msg("%s, %zu x %zu of %zu: product %zu is %.9g, not %.9g", name, s.na, s.nb, s.dim, i,
               (double)out[i], (double)want[i]);
  assert_memory_equal(&out[s.na * s.nb], &untouched, sizeof untouched);
}

static void clear_out(struct shape s) {
  for (size_t i = 0; i <= s.na * s.nb; i++)
    out[i] = -7777;
}

/* However the sum is formed, it is off by at most about dim roundings of the terms' sizes. */
static void expect_near(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b, size_t dim) {
  for (size_t i = 0; i < a->n * b->n; i++) {
    const float *x = a->data + i / b->n * a->stride, *y = b->data + i % b->n * b->stride;
    double sum = 0, terms = 0;
    for (size_t k = 0; k < dim; k++) {
      sum += (double)x[k] * (double)y[k];
      terms += fabs((double)x[k] * (double)y[k]);
    }
    if (!(fabs((double)out[i] - sum) <= (double)(dim + 2) * 0x1p-24 * terms * 1.01))
      fail_msg("product %zu of dim %zu is %.9g, not %.9g", i, dim, (double)out[i], sum);
  }
}

/* The calls that choose by themselves. */
static void check_public(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                         struct shape s) {
  clear_out(s);
  vdb_tile_dot(a, b, s.dim, out);
  expect_near(a, b, s.dim);
  clear_out(s);
  vdb_tile_pack(b, s.dim, packed);
  vdb_tile_dot_packed(a, packed, s.nb, s.dim, out);
  expect_near(a, b, s.dim);
  if (!vdb_tile_by_blas())
    expect_bits("packed", s);
}

static void check_shape(struct shape s, size_t gap) {
  struct vdb_tile_rows a = rows_of(a_data, s.na, s.dim, gap);
  struct vdb_tile_rows b = rows_of(b_data, s.nb, s.dim, gap * 2);
  set_want(&a, &b, s.dim);
  for (size_t t = 0; vdb_kern_available(t); t++) {
    clear_out(s);
    vdb_tile_dot_by(vdb_kern_available(t), &a, &b, s.dim, out);
    expect_bits(vdb_kern_available(t)->name, s);
  }
  check_public(&a, &b, s);
}

static void test_shapes(void **state) {
  static const size_t rows[] = {0, 1, 4, 6, 11, 12, 13, 25, MAX_ROWS};
  static const size_t columns[] = {0, 1, 15, 16, 17, 31, 32, 33, 48, 65, MAX_COLUMNS};
  static const size_t dims[] = {0, 1, 7, 50};
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(rows); i++)
    for (size_t j = 0; j < VDB_COUNT(columns); j++)
      for (size_t d = 0; d < VDB_COUNT(dims); d++)
        check_shape((struct shape){rows[i], columns[j], dims[d]}, (i + j + d) % 3);
}

static void test_long(void **state) {
  static const size_t dims[] = {255, 256, 257, 384, 511, 512, 513, 768, 1024, MAX_LEN};
  (void)state;
  for (size_t d = 0; d < VDB_COUNT(dims); d += test_size(1, 3)) {
    check_shape((struct shape){13, 35, dims[d]}, d % 2);
    if (d % test_size(3, 6) == 0) /* fmaf takes long on a processor without it */
      check_shape((struct shape){MAX_ROWS, MAX_COLUMNS, dims[d]}, 0);
  }
}

/* More panels than are kept near at a time, and products so small that rounding twice shows. */
static void test_many_columns(void **state) {
  enum { N = 700, DIM = 300 };
  struct vdb_rng rng = {5};
  float *b = malloc(N * DIM * sizeof *b), *got = malloc(3 * N * sizeof *got);
  float *panels = aligned_alloc(64, vdb_tile_packed_floats(N, DIM) * sizeof *panels);
  (void)state;
  assert_true(b && got && panels);
  for (size_t i = 0; i < N * DIM; i++)
    b[i] = (float)ldexp(vdb_rng_unit(&rng) * 2 - 1, -130 - (int)(vdb_rng_next(&rng) % 20));
  struct vdb_tile_rows rows = rows_of(a_data, 3, DIM, 0), columns = rows_of(b, N, DIM, 0);
  for (size_t t = 0; vdb_kern_available(t); t++) {
    vdb_tile_dot_by(vdb_kern_available(t), &rows, &columns, DIM, got);
    for (size_t i = 0; i < 3 * N; i++)
      assert_true(got[i] == dot_as_promised(a_data + i / N * DIM, b + i % N * DIM, DIM));
  }
  vdb_tile_pack(&columns, DIM, panels);
  vdb_tile_dot_packed(&rows, panels, N, DIM, got);
  for (size_t i = 0; i < 3 * N && !vdb_tile_by_blas(); i++)
    assert_true(got[i] == dot_as_promised(a_data + i / N * DIM, b + i % N * DIM, DIM));
  free(panels);
  free(got);
  free(b);
}

static void test_not_finite(void **state) {
  float a[3] = {1, 1, 1}, b[3] = {1, INFINITY, 1}, c[3] = {NAN, 1, 1};
  struct vdb_tile_rows left = {a, 3, 1}, inf = {b, 3, 1}, nan = {c, 3, 1};
  (void)state;
  for (size_t t = 0; vdb_kern_available(t); t++) {
    vdb_tile_dot_by(vdb_kern_available(t), &left, &inf, 3, out);
    assert_true(isinf(out[0]));
    vdb_tile_dot_by(vdb_kern_available(t), &left, &nan, 3, out);
    assert_true(isnan(out[0]));
  }
}

static int set_up(void **state) {
  struct vdb_rng rng = {11};
  (void)state;
  fill(a_data, ROOM, &rng);
  fill(b_data, ROOM, &rng);
  packed = aligned_alloc(64, vdb_tile_packed_floats(96, MAX_LEN) * sizeof *packed);
  return packed ? 0 : -1;
}

static int tear_down(void **state) {
  (void)state;
  free(packed);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_long),
      cmocka_unit_test(test_many_columns),
      cmocka_unit_test(test_not_finite),
  };
  return cmocka_run_group_tests_name("tile", tests, set_up, tear_down);
}
