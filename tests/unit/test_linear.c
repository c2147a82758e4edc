/* test_linear.c - every table of the loops over floats against sums in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "kern/kern.h"
#include "kern/linear.h"

enum { MOST = 1200 };

static float uniform(struct vdb_rng *rng) { return (float)(vdb_rng_unit(rng) * 2 - 1); }

static void fill(struct vdb_rng *rng, float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    x[i] = uniform(rng);
}

static void add(void **state) {
  (void)state;
  struct vdb_rng rng = {1};
  float x[70], sum[70], want[70];
  for (size_t t = 0; vdb_linear_available(t); t++)
    for (size_t n = 0; n < 70; n++) {
      fill(&rng, x, n);
      fill(&rng, sum, n);
      for (size_t i = 0; i < n; i++)
        want[i] = sum[i] + x[i];
      vdb_linear_available(t)->add(sum, x, n);
      assert_memory_equal(sum, want, n * sizeof *x);
    }
}

/* The rounds of the header, by the definition of the transform: entry (i, k) is the parity of the
   bits that i and k share. */
static void rotate_slowly(const uint32_t *signs, size_t dim, double *x) {
  size_t part = 1;
  double in[MOST];
  while (2 * part <= dim)
    part *= 2;
  for (size_t round = 0; round < VDB_LINEAR_ROUNDS; round++) {
    double *from = x + (round % 2 ? dim - part : 0);
    for (size_t i = 0; i < dim; i++)
      x[i] = signs[round * dim + i] ? -x[i] : x[i];
    memcpy(in, from, part * sizeof *in);
    for (size_t i = 0; i < part; i++) {
      from[i] = 0;
      for (size_t k = 0; k < part; k++)
        from[i] += (__builtin_popcountll(i & k) % 2 ? -in[k] : in[k]) / sqrt((double)part);
    }
  }
}

static void rotate(void **state) {
  (void)state;
  static const size_t dims[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 128, 200, 384};
  struct vdb_rng rng = {2};
  static uint32_t signs[VDB_LINEAR_ROUNDS * MOST];
  float x[MOST], y[MOST];
  double want[MOST];
  for (size_t d = 0; d < VDB_COUNT(dims); d++) {
    size_t dim = dims[d];
    for (size_t i = 0; i < VDB_LINEAR_ROUNDS * dim; i++)
      signs[i] = (uint32_t)vdb_rng_next(&rng) & 0x80000000u;
    fill(&rng, x, dim);
    double length = 0;
    for (size_t i = 0; i < dim; i++) {
      want[i] = (double)x[i];
      length += want[i] * want[i];
    }
    rotate_slowly(signs, dim, want);
    for (size_t t = 0; vdb_linear_available(t); t++) {
      memcpy(y, x, dim * sizeof *y);
      vdb_linear_available(t)->rotate(signs, dim, y);
      for (size_t i = 0; i < dim; i++) /* some 30 roundings, each of a part of the length */
        assert_true(fabs((double)y[i] - want[i]) <= 32 * 0x1p-24 * sqrt(length));
    }
  }
}

static void nearest(void **state) {
  (void)state;
  enum { MOST_ROWS = 9 };
  struct vdb_rng rng = {3};
  static float columns[40 * 256], halves[256];
  for (int round = 0; round < 300; round++) {
    size_t dim = 1 + vdb_rng_below(&rng, 40), width = 16 * (1 + vdb_rng_below(&rng, 16));
    size_t n = width - vdb_rng_below(&rng, 16), rows = vdb_rng_below(&rng, MOST_ROWS + 1);
    float *x = malloc(rows * dim * sizeof *x + !rows); /* exact blocks, for the sanitizer */
    uint32_t *got = malloc(rows * sizeof *got + !rows), first[MOST_ROWS] = {0};
    fill(&rng, columns, dim * width);
    fill(&rng, x, rows * dim);
    /* few different values, so that there are ties */
    for (size_t i = 0; i < dim * width && round % 2; i++)
      columns[i] = (float)(int)(columns[i] * 2);
    for (size_t i = 0; i < rows * dim && round % 2; i++)
      x[i] = (float)(int)(x[i] * 2);
    for (size_t c = 0; c < width; c++) {
      float square = 0;
      for (size_t d = 0; d < dim; d++)
        square += columns[d * width + c] * columns[d * width + c];
      halves[c] = c < n ? square / 2 : INFINITY;
    }
    for (size_t r = 0; r < rows; r++) {
      float least = INFINITY;
      for (size_t c = 0; c < n; c++) {
        float dot = 0;
        for (size_t d = 0; d < dim; d++)
          dot += columns[d * width + c] * x[r * dim + d];
        if (halves[c] - dot < least) {
          least = halves[c] - dot;
          first[r] = (uint32_t)c;
        }
      }
    }
    for (size_t t = 0; vdb_linear_available(t); t++) {
      vdb_linear_available(t)->nearest(x, rows, columns, halves, dim, width, got);
      for (size_t r = 0; r < rows; r++)
        assert_int_equal(got[r], first[r]);
    }
    free(x);
    free(got);
  }
}

static void least(void **state) {
  (void)state;
  struct vdb_rng rng = {4};
  float dots[80], halves[80];
  for (int round = 0; round < 2000; round++) {
    size_t n = vdb_rng_below(&rng, 80), first = n;
    float before = round % 3 ? INFINITY : (float)vdb_rng_below(&rng, 9) - 6, key = before;
    for (size_t i = 0; i < n; i++) {
      dots[i] = (float)vdb_rng_below(&rng, 5);
      halves[i] = vdb_rng_below(&rng, 30) ? (float)vdb_rng_below(&rng, 4) : NAN;
      if (halves[i] - dots[i] < key) {
        key = halves[i] - dots[i];
        first = i;
      }
    }
    for (size_t t = 0; vdb_linear_available(t); t++) {
      float got = before;
      assert_int_equal(vdb_linear_available(t)->least(dots, halves, n, &got), first);
      assert_true(got == key);
    }
  }
}

static void products(void **state) {
  (void)state;
  struct vdb_rng rng = {5};
  static float columns[40 * 256];
  float x[40], out[256];
  for (size_t dim = 1; dim <= 40; dim++)
    for (size_t width = 16; width <= 256; width *= 4) {
      fill(&rng, columns, dim * width);
      fill(&rng, x, dim);
      for (size_t t = 0; vdb_linear_available(t); t++) {
        vdb_linear_available(t)->products(x, columns, dim, width, -2, out);
        for (size_t c = 0; c < width; c++) {
          double dot = 0;
          for (size_t d = 0; d < dim; d++)
            dot += (double)x[d] * (double)columns[d * width + c];
          assert_true(fabs((double)out[c] + 2 * dot) <= (double)((2 * dim + 2) * dim) * 0x1p-23);
        }
      }
    }
}

static void check_narrow(const struct vdb_linear *linear, const float *tables, size_t m,
                         size_t width, uint32_t most) {
  float *spoilt = malloc(m * width * sizeof *spoilt), scale, offset;
  uint8_t *lut = malloc(m * width);
  uint64_t largest = 0;
  double offsets = 0, range = 0;
  memcpy(spoilt, tables, m * width * sizeof *spoilt);
  linear->narrow(spoilt, m, width, most, lut, &scale, &offset);
  for (size_t j = 0; j < m; j++) {
    const float *table = tables + j * width;
    double low = INFINITY;
    uint8_t high = 0;
    for (size_t c = 0; c < width; c++) {
      low = fmin(low, (double)table[c]);
      high = lut[j * width + c] > high ? lut[j * width + c] : high;
    }
    for (size_t c = 0; c < width; c++) {
      double off = (double)table[c] - low - (double)scale * lut[j * width + c];
      range = fmax(range, (double)table[c] - low);
      assert_true(fabs(off) <= (double)scale * 0.5001 + 1e-6);
    }
    offsets += low;
    largest += high;
    assert_true(high <= most);
  }
  assert_true(largest <= 65535);
  assert_true(fabs((double)offset - offsets) <= (double)m * 0x1p-20 * (1 + fabs(offsets)));
  if (m * most < 60000) /* no coarser than it must be */
    assert_true((double)scale <= range / most * 1.0001);
  free(spoilt);
  free(lut);
}

static void narrow(void **state) {
  (void)state;
  static const size_t ms[] = {1, 2, 16, 96, 257, 1024, 4096};
  static const uint32_t mosts[] = {31, 63, 255};
  struct vdb_rng rng = {6};
  float *tables = calloc(4096 * 256, sizeof *tables);
  for (size_t t = 0; vdb_linear_available(t); t++)
    for (size_t i = 0; i < VDB_COUNT(ms); i++)
      for (size_t k = 0; k < VDB_COUNT(mosts); k++)
        for (size_t width = 16; width <= 256; width *= 16) {
          fill(&rng, tables, ms[i] * width);
          check_narrow(vdb_linear_available(t), tables, ms[i], width, mosts[k]);
        }
  memset(tables, 0, 16 * 16 * sizeof *tables);
  for (size_t t = 0; vdb_linear_available(t); t++) {
    uint8_t lut[64];
    float scale, offset, strange[64];
    check_narrow(vdb_linear_available(t), tables, 16, 16, 255);
    for (size_t i = 0; i < 64; i++) /* what a damaged file can bring: some bytes come out */
      strange[i] = i % 3 ? NAN : i % 2 ? INFINITY : -1e38f;
    vdb_linear_available(t)->narrow(strange, 4, 16, 31, lut, &scale, &offset);
    for (size_t i = 0; i < 64; i++)
      assert_true(lut[i] <= 31);
  }
  free(tables);
}

static void choice(void **state) {
  (void)state;
  size_t at = 0;
  while (vdb_linear_available(at) && vdb_linear_available(at) != vdb_linear())
    at++;
  assert_non_null(vdb_linear_available(at));
  if (strcmp(vdb_kern()->name, "scalar") == 0)
    assert_string_equal(vdb_linear()->name, "plain");
}

/* The tables of signs are those of narrow, made of sums in double. */
static void signs(void **state) {
  (void)state;
  static const size_t dims[] = {1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 30, 31, 64, 100, 128, 384, 1199};
  struct vdb_rng rng = {8};
  float x[MOST], scale, offset;
  static uint8_t lut[(MOST + 3) / 4 * 16];
  for (size_t i = 0; i < VDB_COUNT(dims); i++) {
    size_t dim = dims[i], m = (dim + 3) / 4;
    double range = 0, low = 0;
    fill(&rng, x, MOST);
    for (size_t j = 0; j < m; j++) {
      double sum = 0;
      for (size_t b = 4 * j; b < 4 * j + 4 && b < dim; b++)
        sum += fabs((double)x[b]);
      range = fmax(range, sum);
      low -= sum / 2;
    }
    for (size_t t = 0; vdb_linear_available(t); t++) {
      vdb_linear_available(t)->signs(x, dim, 31, lut, &scale, &offset);
      assert_true(fabs((double)scale - range / 31) < 1e-5);
      assert_true(fabs((double)offset - low) < 1e-5 * (double)dim);
      for (size_t e = 0; e < m * 16; e++) {
        double want = 0, least = 0;
        for (size_t b = 0; b < 4 && e / 16 * 4 + b < dim; b++) {
          double value = (double)x[e / 16 * 4 + b];
          want += (e >> b & 1 ? value : -value) / 2;
          least -= fabs(value) / 2;
        }
        assert_true(fabs(want - least - (double)scale * lut[e]) <= (double)scale * 0.5001);
        assert_true(lut[e] <= 31);
      }
    }
  }
}

/* Of so many elements that bytes must be smaller for their sum; and of what is no number. */
static void signs_of_many(void **state) {
  (void)state;
  enum { MANY = 1 << 16 };
  float *x = malloc(MANY * sizeof *x), scale, offset;
  uint8_t *lut = malloc(MANY * 4);
  for (size_t t = 0; vdb_linear_available(t); t++) {
    uint64_t sum = 0;
    for (size_t i = 0; i < MANY; i++)
      x[i] = i % 2 ? -1 : 1;
    vdb_linear_available(t)->signs(x, MANY, 31, lut, &scale, &offset);
    for (size_t j = 0; j < MANY / 4; j++)
      sum += lut[j * 16 + 5]; /* the largest: elements 0 and 2 are 1 */
    assert_true(sum <= 65535 && sum > 65535 / 2);
    x[7] = NAN;
    vdb_linear_available(t)->signs(x, 8, 31, lut, &scale, &offset);
    for (size_t i = 0; i < 32; i++)
      assert_true(lut[i] <= 31);
  }
  free(x);
  free(lut);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(add),      cmocka_unit_test(rotate), cmocka_unit_test(nearest),
      cmocka_unit_test(least),    cmocka_unit_test(products), cmocka_unit_test(narrow),
      cmocka_unit_test(signs),    cmocka_unit_test(signs_of_many), cmocka_unit_test(choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
