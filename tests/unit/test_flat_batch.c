/*
 * test_flat_batch.c - the exact scan for many queries at once gives each query what a scan of its
 * own gives, bit by bit: for all types and metrics, with sets of allowed rows, callbacks, ties,
 * values at the ends of the range, over several parts; and that is right beside sums in double.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tlib/ixtest.h"
#include "tlib/thorough.h"

enum { QUERIES = 50, BASE = 1000 };

struct batch_case {
  struct ix_data data;
  size_t n_queries, k;
  const uint64_t *allow;
  bool (*accept)(void *arg, uint32_t row);
  uint32_t parts; /* the rows are scanned in so many */
};

static bool accept_some(void *arg, uint32_t row) {
  (void)arg;
  return row % 3 != 0;
}

static struct vdb_search search_of(const struct batch_case *c, struct vdb_mem *mem,
                                   const struct vdb_query_vec *q, struct vdb_near *items) {
  struct vdb_search s = {.mem = mem, .query = q, .accept = c->accept, .top = {items, c->k, 0}};
  return s;
}

/* Part p of the rows, from a multiple of 64 on. */
static struct vdb_vecs part_of(const struct batch_case *c, uint32_t p, uint32_t *first) {
  struct vdb_vecs part = c->data.vecs;
  uint32_t step = (uint32_t)vdb_round_up(part.n / c->parts + 1, 64);
  *first = vdb_min_u32(p * step, part.n);
  part.n = p + 1 == c->parts ? part.n - *first : vdb_min_u32(step, part.n - *first);
  part.data += *first * part.stride;
  part.inv_norms = part.inv_norms ? part.inv_norms + *first : NULL;
  return part;
}

static void same_hits(const struct batch_case *c, size_t query, const struct vdb_search *got,
                      const struct vdb_search *want) {
  assert_int_equal(got->top.n, want->top.n);
  for (size_t i = 0; i < want->top.n; i++)
    if (memcmp(&got->top.items[i], &want->top.items[i], sizeof *got->top.items) != 0)
      fail_msg("elem %d metric %d dim %u k %zu query %zu hit %zu: row %u at %.9g, not %u at %.9g",
               (int)c->data.vecs.elem, c->data.vecs.metric, c->data.vecs.dim, c->k, query, i,
               got->top.items[i].row, (double)got->top.items[i].key, want->top.items[i].row,
               (double)want->top.items[i].key);
}

/* Compares the two ways. */
static void check(struct batch_case *c) {
  struct vdb_mem mem;
  struct vdb_query_vec q[QUERIES];
  struct vdb_search s[QUERIES];
  struct vdb_near *got = malloc(QUERIES * c->k * sizeof *got + 1);
  struct vdb_near *want = malloc(c->k * sizeof *want + 1);
  struct vdb_flat_batch *batch;
  vecdb_error err;
  uint32_t first;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t j = 0; j < c->n_queries; j++) {
    q[j] = ix_prepare(&c->data, ix_query(&c->data, j));
    s[j] = search_of(c, &mem, &q[j], got + j * c->k);
  }
  assert_int_equal(vdb_flat_batch_new(&c->data.vecs, s, (uint32_t)c->n_queries, &batch, &err), 0);
  for (uint32_t p = 0; p < c->parts; p++) {
    struct vdb_vecs part = part_of(c, p, &first);
    vdb_flat_batch_scan(batch, &part, BASE + first, c->allow ? c->allow + first / 64 : NULL);
  }
  vdb_flat_batch_free(batch);
  for (size_t j = 0; j < c->n_queries; j++) {
    struct vdb_search one = search_of(c, &mem, &q[j], want);
    for (uint32_t p = 0; p < c->parts; p++) {
      struct vdb_vecs part = part_of(c, p, &first);
      one.allow = c->allow ? c->allow + first / 64 : NULL;
      vdb_flat_scan(&part, BASE + first, &one);
    }
    vdb_topk_sort(&one.top);
    vdb_topk_sort(&s[j].top);
    same_hits(c, j, &s[j], &one);
    free(q[j].data);
  }
  assert_int_equal(mem.used, 0);
  free(want);
  free(got);
}

static uint64_t *some_rows(size_t n, unsigned share, uint64_t seed) {
  uint64_t *bits = calloc(vdb_bits_words(n) + 1, sizeof *bits);
  struct vdb_rng rng = {seed};
  for (size_t i = 0; i < n; i++)
    if (vdb_rng_below(&rng, 100) < share)
      vdb_bit_set(bits, i);
  return bits;
}

static void check_all_ways(struct batch_case c) {
  static const unsigned shares[] = {0, 2, 40, 95};
  static const size_t ks[] = {1, 10, 100};
  for (size_t i = 0; i < VDB_COUNT(ks); i++) {
    c.k = ks[i];
    c.parts = 1 + (uint32_t)i;
    c.n_queries = i == 0 ? QUERIES : 5 + i * 12;
    c.allow = NULL;
    c.accept = NULL;
    check(&c);
    c.accept = accept_some;
    check(&c);
    for (size_t share = 0; share < VDB_COUNT(shares); share++) {
      uint64_t *allow = some_rows(c.data.vecs.n, shares[share], share + 1);
      c.allow = allow;
      c.accept = share % 2 ? accept_some : NULL;
      check(&c);
      free(allow);
    }
  }
}

static void all_types(void **state) {
  enum { EACH = TEST_SIZE(1, 4) };
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  static const size_t dims[] = {1, 24, 131, 300};
  (void)state;
  for (int elem = VDB_F32; elem <= VDB_I8; elem++)
    for (size_t m = 0; m < VDB_COUNT(metrics); m++)
      for (size_t d = ((size_t)elem + m) % EACH; d < VDB_COUNT(dims); d += EACH) {
        struct batch_case c = {.k = 0};
        ix_data_make(&c.data, (enum vdb_elem)elem, metrics[m], 777 + 300 * d, dims[d], 1 + d % 3);
        check_all_ways(c);
        ix_data_free(&c.data);
      }
}

static void bits(void **state) {
  static const int32_t metrics[] = {VECDB_HAMMING, VECDB_JACCARD};
  static const size_t dims[] = {8, 56, 256, 392, 1032};
  (void)state;
  for (size_t m = 0; m < VDB_COUNT(metrics); m++)
    for (size_t d = 0; d < VDB_COUNT(dims); d++) {
      struct batch_case c = {.k = 0};
      ix_data_make(&c.data, VDB_BITS, metrics[m], 777 + 300 * d, dims[d], 1 + d % 3);
      memset(c.data.rows + 5 * c.data.vecs.stride, 0, dims[d] / 8);
      memset(c.data.queries, 0, dims[d] / 8);
      check_all_ways(c);
      ix_data_free(&c.data);
    }
}

/* The nearest rows are right, and rows whose scores are equal come in order. */
static void beside_doubles(void **state) {
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  (void)state;
  for (size_t m = 0; m < VDB_COUNT(metrics); m++) {
    struct ix_data d;
    struct vdb_near items[10 * 7];
    struct vdb_query_vec q[10];
    struct vdb_search s[10];
    struct vdb_flat_batch *batch;
    struct vdb_mem mem;
    vecdb_error err;
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_I8, metrics[m], 3000, 20, 3);
    for (size_t j = 0; j < 10; j++) {
      q[j] = ix_prepare(&d, ix_query(&d, j));
      s[j] = (struct vdb_search){.mem = &mem, .query = &q[j], .top = {items + j * 7, 7, 0}};
    }
    assert_int_equal(vdb_flat_batch_new(&d.vecs, s, 10, &batch, &err), 0);
    vdb_flat_batch_scan(batch, &d.vecs, 0, NULL);
    vdb_flat_batch_free(batch);
    for (size_t j = 0; j < 10; j++) {
      vdb_topk_sort(&s[j].top);
      assert_int_equal(s[j].top.n, 7);
      assert_int_equal(s[j].distances, 3000);
      for (size_t i = 0; i < 7; i++) {
        double key = ix_true_kth(&d, ix_query(&d, j), NULL, i + 1);
        assert_true(fabs((double)s[j].top.items[i].key - key) <= 1e-5 * (1 + fabs(key)));
        assert_true(i == 0 || vdb_near_before(s[j].top.items[i - 1], s[j].top.items[i]));
      }
      free(q[j].data);
    }
    ix_data_free(&d);
  }
}

/* Norms that leave the range of floats when squared or inverted, zeroes, and NaN. */
static void at_the_ends(void **state) {
  static const float sizes[] = {1e-38f, 1e-30f, 1e-20f, 1e-19f, 1, 1e9f, 1e17f, 1e18f, 1e19f};
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  (void)state;
  for (size_t m = 0; m < VDB_COUNT(metrics); m++)
    for (unsigned mixed = 0; mixed < 4; mixed++) {
      struct batch_case c = {.n_queries = 24, .k = 9, .parts = 1};
      ix_data_make(&c.data, VDB_F32, metrics[m], 900, 40, 1);
      float *rows = (float *)(void *)c.data.rows, *queries = (float *)(void *)c.data.queries;
      for (size_t i = 0; i < 900 * 40; i++)
        rows[i] *= mixed ? sizes[i / 40 * mixed % VDB_COUNT(sizes)] : i % 3 ? 1e-22f : 0;
      for (size_t i = 0; i < QUERIES * 40; i++)
        queries[i] *= mixed ? sizes[i / 40 % VDB_COUNT(sizes)] : i / 40 % 5 ? 1e-22f : 0;
      memset(rows + 300 * 40, 0, 40 * sizeof *rows);
      if (mixed == 3)
        memset(rows + 100 * 40, 0xff, 40 * 40 * sizeof *rows);
      free(c.data.inv_norms);
      c.data.inv_norms = NULL;
      ix_data_norms(&c.data);
      check(&c);
      ix_data_free(&c.data);
    }
}

/* Rows at odd addresses, as a host may hand them in, are copied first. */
static void odd_addresses(void **state) {
  struct batch_case c = {.n_queries = 20, .k = 5, .parts = 1};
  struct vdb_vecs whole;
  (void)state;
  ix_data_make(&c.data, VDB_F32, VECDB_L2, 500, 33, 1);
  whole = c.data.vecs;
  uint8_t *moved = malloc(500 * (whole.stride + 1) + 1);
  for (size_t i = 0; i < 500; i++)
    memcpy(moved + 1 + i * (whole.stride + 1), whole.data + i * whole.stride, whole.stride);
  c.data.vecs.data = moved + 1;
  c.data.vecs.stride++;
  uint8_t *spaced = malloc(QUERIES * c.data.vecs.stride);
  for (size_t j = 0; j < QUERIES; j++) /* queries lie as rows do */
    memcpy(spaced + j * c.data.vecs.stride, c.data.queries + j * whole.stride, whole.stride);
  free(c.data.queries);
  c.data.queries = spaced;
  check(&c);
  free(moved);
  ix_data_free(&c.data);
}

static bool stop_third(void *arg) { return ++*(int *)arg >= 3; }

static void stops(void **state) {
  struct batch_case c = {.n_queries = 8, .k = 5};
  struct vdb_query_vec q[8];
  struct vdb_search s[8];
  struct vdb_near items[8 * 5];
  struct vdb_flat_batch *batch;
  struct vdb_mem mem;
  vecdb_error err;
  int polls = 0;
  (void)state;
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&c.data, VDB_F32, VECDB_L2, 5000, 8, 1);
  for (size_t j = 0; j < 8; j++) {
    q[j] = ix_prepare(&c.data, ix_query(&c.data, j));
    s[j] = search_of(&c, &mem, &q[j], items + j * 5);
  }
  s[0].stop = stop_third;
  s[0].stop_arg = &polls;
  assert_int_equal(vdb_flat_batch_new(&c.data.vecs, s, 8, &batch, &err), 0);
  vdb_flat_batch_scan(batch, &c.data.vecs, 0, NULL);
  vdb_flat_batch_free(batch);
  assert_int_equal(polls, 3);
  assert_int_equal(s[7].top.n, 5);
  assert_true(s[7].distances < 1000);
  for (size_t j = 0; j < 8; j++)
    free(q[j].data);
  ix_data_free(&c.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_types),     cmocka_unit_test(beside_doubles),
      cmocka_unit_test(at_the_ends),   cmocka_unit_test(odd_addresses),
      cmocka_unit_test(stops),         cmocka_unit_test(bits),
  };
  return cmocka_run_group_tests_name("flat_batch", tests, NULL, NULL);
}
