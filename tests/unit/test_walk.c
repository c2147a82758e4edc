/*
 * test_walk.c - the kernels of walks: keys by each table against sums in double, for all sizes of
 * codes and numbers of rows; sketches against bits counted one by one; pools by each table against
 * a sorted array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>

#include "base/rng.h"
#include "kern/walk.h"

enum { ROWS = 13 };

struct walk_case {
  const struct vdb_walk_kern *kern;
  bool is4;
};

/* Blocks of exactly these sizes, so that ASan sees their ends. */
struct codes {
  struct vdb_walk_codes view;
  struct vdb_walk_query query;
  uint8_t *bytes;
  float *factors;
  int8_t *t;
};

static void codes_make(struct codes *c, size_t bytes, uint64_t seed) {
  struct vdb_rng rng = {seed};
  c->bytes = malloc(ROWS * bytes);
  c->factors = malloc(ROWS * 2 * sizeof *c->factors);
  c->t = calloc(2 * bytes + VDB_WALK_T_ROOM, 1);
  for (size_t i = 0; i < ROWS * bytes; i++)
    c->bytes[i] = (uint8_t)vdb_rng_below(&rng, 256);
  for (size_t i = 0; i < 2 * bytes; i++)
    c->t[i] = (int8_t)((int)vdb_rng_below(&rng, 255) - 127);
  for (size_t i = 0; i < 2 * ROWS; i++)
    c->factors[i] = (float)vdb_rng_unit(&rng);
  if (seed % 3 == 0) /* the largest sums */
    for (size_t i = 0; i < ROWS * bytes; i++)
      c->bytes[i] = 255;
  if (seed % 3 == 0)
    memset(c->t, 127, 2 * bytes);
  c->view = (struct vdb_walk_codes){c->bytes, bytes, c->factors};
  c->query = (struct vdb_walk_query){c->t, -.25f, 3, .5f};
}

static void codes_free(struct codes *c) {
  free(c->bytes);
  free(c->factors);
  free(c->t);
}

/* `factors` are those of the row. */
static double true_key(const struct codes *c, uint32_t row, bool is4, const float *factors) {
  const uint8_t *code = c->bytes + row * c->view.bytes;
  double sum = 0;
  for (size_t i = 0; i < c->view.bytes; i++)
    sum += is4 ? (code[i] & 15) * c->t[i] + (code[i] >> 4) * c->t[c->view.bytes + i]
               : code[i] * c->t[i];
  return (double)c->query.add + (double)factors[0] + (double)factors[1] * (-.25 * sum + 3);
}

/* Keys of n rows, with factors by row, or with others that are given. */
static void check_keys(const struct walk_case *w, const struct codes *c, size_t n, bool given) {
  uint32_t *ids = malloc(n * sizeof *ids + !n);
  float *keys = malloc(n * sizeof *keys + !n);
  float *factors = malloc(n * 2 * sizeof *factors + !n);
  for (size_t i = 0; i < n; i++) {
    ids[i] = (uint32_t)(i * 5 % ROWS);
    factors[2 * i] = (float)i * .5f;
    factors[2 * i + 1] = .125f - (float)i;
  }
  (w->is4 ? w->kern->keys4 : w->kern->keys8)(&c->view, &c->query, ids, given ? factors : NULL, n,
                                             keys);
  for (size_t i = 0; i < n; i++) {
    double want = true_key(c, ids[i], w->is4, given ? factors + 2 * i : c->factors + 2 * ids[i]);
    if (!(fabs((double)keys[i] - want) <= 1e-5 * (1 + fabs(want))))
      print_error("%s, %d bits, %zu bytes, row %zu of %zu: %g, not %g\n", w->kern->name,
                  w->is4 ? 4 : 8, c->view.bytes, i, n, (double)keys[i], want);
    assert_true(fabs((double)keys[i] - want) <= 1e-5 * (1 + fabs(want)));
  }
  free(ids);
  free(keys);
  free(factors);
}

static void keys_are_true(void **state) {
  (void)state;
  static const size_t sizes[] = {16, 32, 64, 128, 192, 256, 768, 1536, 65536};
  const struct vdb_walk_kern *kern;
  for (size_t k = 0; (kern = vdb_walk_kern_available(k)) != NULL; k++)
    for (size_t s = 0; s < VDB_COUNT(sizes); s++)
      for (size_t n = 0; n <= ROWS; n++) {
        struct codes c;
        codes_make(&c, sizes[s], n);
        for (int is4 = 0; is4 < 2; is4++) {
          const struct walk_case w = {kern, is4 != 0};
          if (is4 == 0 && sizes[s] > 65535)
            continue; /* longer than any row */
          check_keys(&w, &c, n, false);
          check_keys(&w, &c, n, true);
        }
        codes_free(&c);
      }
}

static void pairs_are_widened(void **state) {
  (void)state;
  static const struct {
    uint16_t half;
    float value;
  } known[] = {{0, 0},           {0x3c00, 1},     {0xbc00, -1},     {0x3800, .5f},
               {0x7bff, 65504},  {0xc248, -3.140625f}, {0x0001, 5.9604645e-8f}, {0x5640, 100}};
  const struct vdb_walk_kern *kern;
  for (size_t k = 0; (kern = vdb_walk_kern_available(k)) != NULL; k++)
    for (size_t n = 0; n <= 12; n += 4) {
      uint32_t *pairs = malloc(n * sizeof *pairs + !n);
      float *factors = malloc(n * 2 * sizeof *factors + !n);
      for (size_t i = 0; i < n; i++)
        pairs[i] = known[i % 8].half | (uint32_t)known[(i + 3) % 8].half << 16;
      kern->widen(pairs, n, .25f, factors);
      for (size_t i = 0; i < n; i++) {
        assert_true(factors[2 * i] == known[i % 8].value * .25f);
        assert_true(factors[2 * i + 1] == known[(i + 3) % 8].value * .25f);
      }
      free(pairs);
      free(factors);
    }
}

/* An element of 8 bits in 5, by division. */
static int five_bits(int8_t t) {
  int x = (int)floor((t + 4) / 8.0);
  return x > 15 ? 15 : x;
}

/* The rows whose bound, counted bit by bit, is not above that of row 0. */
static void sift_round(const struct vdb_walk_kern *kern, size_t words, uint64_t seed) {
  size_t stride = vdb_round_up(words + 1, 8), bytes = ROWS * stride * sizeof(uint64_t);
  struct vdb_rng rng = {seed};
  uint64_t *rows = aligned_alloc(64, bytes);
  int8_t *t = malloc(64 * words), *spread = aligned_alloc(64, vdb_walk_spread_bytes(words));
  struct vdb_walk_sketches sketches = {rows, stride, words};
  struct vdb_walk_sketch_query query = {spread, -.5f, 40, 2};
  uint32_t ids[ROWS], beside[ROWS], want[ROWS];
  double bounds[ROWS];
  size_t n_want = 0;
  int32_t all = 0;
  for (size_t i = 0; i < 64 * words; i++) {
    t[i] = (int8_t)(seed % 3 == 0 ? -127 : (int)vdb_rng_below(&rng, 255) - 127);
    all += five_bits(t[i]);
  }
  assert_int_equal(kern->spread(t, words, spread), all);
  for (size_t i = 0; i < ROWS * stride; i++) /* also past the words */
    rows[i] = seed % 3 == 0 && i >= stride ? UINT64_MAX : vdb_rng_next(&rng);
  for (uint32_t r = 0; r < ROWS; r++) {
    float factors[2] = {(float)vdb_rng_unit(&rng), (float)vdb_rng_unit(&rng)};
    int sum = 0;
    for (size_t i = 0; i < 64 * words; i++)
      sum += rows[r * stride + i / 64] >> i % 64 & 1 ? five_bits(t[i]) : 0;
    memcpy(rows + r * stride + words, factors, sizeof factors);
    bounds[r] = 2 + (double)factors[0] + (double)factors[1] * (40 - .5 * sum);
  }
  for (uint32_t i = 0; i < ROWS; i++) {
    ids[i] = (i * 5 + 2) % ROWS;
    beside[i] = 100 + ids[i];
    if (bounds[ids[i]] <= bounds[0])
      want[n_want++] = ids[i];
  }
  size_t n = kern->sift(&sketches, &query, ids, beside, ROWS, (float)bounds[0] + 1e-2f);
  assert_int_equal(n, n_want);
  assert_memory_equal(ids, want, n * sizeof *ids);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(beside[i], 100 + ids[i]);
  free(rows);
  free(t);
  free(spread);
}

static void sketches_are_sifted(void **state) {
  (void)state;
  const struct vdb_walk_kern *kern;
  for (size_t k = 0; (kern = vdb_walk_kern_available(k)) != NULL; k++)
    for (size_t words = 1; words < 160; words += 1 + words / 32)
      sift_round(kern, words, 17 + words);
}

static void values_are_rounded(void **state) {
  (void)state;
  const struct vdb_walk_kern *kern;
  for (size_t k = 0; (kern = vdb_walk_kern_available(k)) != NULL; k++)
    for (size_t n = 0; n <= 160; n += 16) {
      struct vdb_rng rng = {n};
      float *x = malloc(n * sizeof *x + !n);
      int8_t *t = malloc(n + !n);
      int32_t sum = 0;
      for (size_t i = 0; i < n; i++)
        x[i] = (float)(vdb_rng_unit(&rng) * 508 - 254);
      int32_t got = kern->narrow(x, n, .5f, t);
      for (size_t i = 0; i < n; i++) {
        assert_true(fabsf((float)t[i] - x[i] * .5f) <= .5001f);
        sum += t[i];
      }
      assert_int_equal(got, sum);
      for (size_t i = 0; i < n; i++)
        x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -1e30f;
      kern->narrow(x, n, 1, t);
      for (size_t i = 0; i < n; i++)
        assert_true(t[i] == 127 || t[i] == -127);
      free(x);
      free(t);
    }
}

static int compare_items(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Few values, so that there are ties; and what damaged rows can give. */
static float some_key(struct vdb_rng *rng) {
  static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f};
  uint32_t i = vdb_rng_below(rng, 60);
  return i < VDB_COUNT(odd) ? odd[i] : (float)((int)vdb_rng_below(rng, 200) - 100);
}

static void offer_rounds(const struct vdb_walk_kern *kern, size_t width) {
  enum { MOST = 70, ROUNDS = 12 };
  struct vdb_rng rng = {width};
  uint64_t all[MOST * ROUNDS];
  struct vdb_walk_pool pool = {NULL, 0, width, (width + 7) / 8 * 8};
  if (posix_memalign((void **)&pool.items, 64, pool.capacity * sizeof *pool.items))
    abort();
  memset(pool.items, 0xff, pool.capacity * sizeof *pool.items);
  size_t n_all = 0;
  for (size_t round = 0; round < ROUNDS; round++) {
    uint32_t nodes[MOST];
    float keys[MOST];
    uint64_t before[200];
    size_t n = vdb_rng_below(&rng, MOST + 1), n_before = pool.n;
    memcpy(before, pool.items, pool.n * sizeof *before);
    for (size_t i = 0; i < n; i++) {
      nodes[i] = (uint32_t)(round * MOST + i) * 2001 % 1000003;
      keys[i] = some_key(&rng);
      all[n_all++] = vdb_walk_item(keys[i], nodes[i]);
    }
    size_t first = kern->offer(&pool, nodes, keys, n);
    qsort(all, n_all, sizeof *all, compare_items);
    assert_int_equal(pool.n, vdb_min_size(width, n_all));
    assert_memory_equal(pool.items, all, pool.n * sizeof *all);
    for (size_t i = pool.n; i < pool.capacity; i++)
      assert_true(pool.items[i] == UINT64_MAX);
    size_t same = 0;
    while (same < n_before && same < pool.n && before[same] == pool.items[same])
      same++;
    assert_true(first <= same);
    assert_true(first == same || first == n_before);
  }
  free(pool.items);
}

static void pools_keep_the_nearest(void **state) {
  (void)state;
  const struct vdb_walk_kern *kern;
  for (size_t k = 0; (kern = vdb_walk_kern_available(k)) != NULL; k++)
    for (size_t width = 1; width < 150; width++)
      offer_rounds(kern, width);
}

static void items_sort_as_keys(void **state) {
  (void)state;
  static const float keys[] = {-INFINITY, -3, -1e-40f, 0, 1e-40f, .5f, 2, INFINITY, NAN};
  for (size_t i = 0; i + 1 < VDB_COUNT(keys); i++) {
    assert_true(vdb_walk_item(keys[i], UINT32_C(0x7fffffff)) < vdb_walk_item(keys[i + 1], 0));
    assert_true(vdb_walk_item_key(vdb_walk_item(keys[i], 5)) == keys[i]);
  }
  assert_true(vdb_walk_item(-0.0f, 7) == vdb_walk_item(0.0f, 7));
  assert_true(vdb_walk_item(-NAN, 7) == vdb_walk_item(NAN, 7));
  assert_int_equal(vdb_walk_item_node(vdb_walk_item(-1, UINT32_C(0x7fffffff)) | 1), 0x7fffffff);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keys_are_true),
      cmocka_unit_test(pairs_are_widened),
      cmocka_unit_test(sketches_are_sifted),
      cmocka_unit_test(values_are_rounded),
      cmocka_unit_test(pools_keep_the_nearest),
      cmocka_unit_test(items_sort_as_keys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
