/*
 * test_hnsw.c - the HNSW index: recall against exact answers for each element type and metric, with
 * and without filters; equal bytes for any number of workers; reachability, copies, tiny sizes;
 * progress, cancelling and stopping. Damage and lack of memory are in test_hnsw_damage.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixgraph.h"
#include "../tlib/thorough.h"

enum { K = 10 };

struct built {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  struct vdb_index *index;
};

/* Builds and opens over b->data. */
static void built_open_with(struct built *b, vecdb_index_params params) {
  vecdb_error err = {0};
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  int rc = ix_build_with(&b->mem, &b->data, 2, params, &b->sections, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(b->mem.used, 0);
  assert_int_equal(ix_open(&b->mem, &b->data, &b->sections, &b->index, &err), VECDB_OK);
}

static void built_open(struct built *b, uint32_t m) {
  vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
  params.type = VECDB_INDEX_HNSW;
  params.m = m;
  params.ef_construction = 100;
  built_open_with(b, params);
}

static void built_close(struct built *b) {
  b->index->ops->close(&b->mem, b->index);
  assert_int_equal(b->mem.used, 0);
  ix_sections_free(&b->sections);
  ix_data_free(&b->data);
}

static void built_search(const struct built *b, size_t query, struct vdb_search *s) {
  vecdb_error err = {0};
  struct vdb_query_vec q = ix_prepare(&b->data, ix_query(&b->data, query));
  s->query = &q;
  s->mem = (struct vdb_mem *)(uintptr_t)&b->mem;
  assert_int_equal(b->index->ops->search(b->index, s, &err), VECDB_OK);
  for (size_t i = 1; i < s->top.n; i++) {
    assert_true(vdb_near_before(s->top.items[i - 1], s->top.items[i]));
    for (size_t k = 0; k < i; k++)
      assert_true(s->top.items[k].row != s->top.items[i].row);
  }
  free(q.data);
}

/* The share of results as near as the true ones; each result's key must be its true key. */
static double recall(const struct built *b, struct vdb_search how, bool *full) {
  size_t good = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = how;
    s.top = (struct vdb_topk){items, K, 0};
    built_search(b, i, &s);
    const uint8_t *query = ix_query(&b->data, i);
    double kth = ix_true_kth(&b->data, query, how.allow, K);
    double slack = 1e-5 * (1 + fabs(kth));
    *full &= s.top.n == K;
    for (size_t k = 0; k < s.top.n; k++) {
      double key = ix_true_key(&b->data, query, items[k].row);
      assert_true(fabs(key - (double)items[k].key) <= 1e-4 * (1 + fabs(key)));
      assert_true(!how.allow || vdb_bit_get(how.allow, items[k].row));
      good += key <= kth + slack;
    }
  }
  return (double)good / (double)(b->data.n_queries * K);
}

static void recall_floors(void **state) {
  (void)state;
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
    double floor;
  } cases[] = {{VDB_F32, VECDB_L2, .97},       {VDB_F32, VECDB_IP, .97},
               {VDB_F32, VECDB_COSINE, .97},   {VDB_F16, VECDB_L2, .97},
               {VDB_F16, VECDB_COSINE, .97},   {VDB_BF16, VECDB_IP, .97},
               {VDB_BF16, VECDB_L2, .97},      {VDB_I8, VECDB_L2, .97},
               {VDB_I8, VECDB_IP, .97},        {VDB_I8, VECDB_COSINE, .97},
               {VDB_BITS, VECDB_HAMMING, .95}, {VDB_BITS, VECDB_JACCARD, .95}};
  for (size_t i = 0; i < VDB_COUNT(cases); i += TEST_SIZE(1, 5)) {
    struct built b;
    bool full = true;
    ix_data_make(&b.data, cases[i].elem, cases[i].metric, TEST_SIZE(3000, 600), 64, 1);
    built_open(&b, 16);
    double got = recall(&b, (struct vdb_search){.effort = 64}, &full);
    if (got < cases[i].floor)
      print_error("elem %d metric %d: recall %.3f\n", (int)cases[i].elem, (int)cases[i].metric,
                  got);
    assert_true(got >= cases[i].floor);
    assert_true(full);
    built_close(&b);
  }
}

/* The largest difference between the key of a hit and the true one. */
static double key_error(const struct built *b) {
  double most = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = {.effort = 64, .top = {items, K, 0}};
    built_search(b, i, &s);
    for (size_t k = 0; k < s.top.n; k++) {
      double key = ix_true_key(&b->data, ix_query(&b->data, i), items[k].row);
      most = fmax(most, fabs(key - (double)items[k].key) / (1 + fabs(key)));
    }
  }
  return most;
}

/* Each kind of codes with each way to score hits again: which codes there are, whether the rows are
   read, and how far scores may be off. */
static void codes_and_refines(void **state) {
  (void)state;
  static const struct {
    int32_t metric;
    uint32_t nbits;
    int32_t refine;
    enum vdb_hnsw_refine got;
    double error;
  } cases[] = {{VECDB_L2, 4, VECDB_REFINE_AUTO, VDB_HNSW_REFINE_ROWS, 1e-5},
               {VECDB_L2, 8, VECDB_REFINE_F32, VDB_HNSW_REFINE_ROWS, 1e-5},
               {VECDB_L2, 4, VECDB_REFINE_F16, VDB_HNSW_REFINE_COPY, 2e-3},
               {VECDB_IP, 4, VECDB_REFINE_I8, VDB_HNSW_REFINE_CODES, 2e-2},
               {VECDB_COSINE, 4, VECDB_REFINE_I8, VDB_HNSW_REFINE_CODES, 2e-2},
               {VECDB_COSINE, 8, VECDB_REFINE_I8, VDB_HNSW_REFINE_NONE, 2e-2},
               {VECDB_L2, 8, VECDB_REFINE_NONE, VDB_HNSW_REFINE_NONE, 2e-2},
               {VECDB_IP, 4, VECDB_REFINE_NONE, VDB_HNSW_REFINE_NONE, .4}};
  for (size_t i = 0; i < VDB_COUNT(cases); i += TEST_SIZE(1, 3)) {
    struct built b;
    vecdb_index_params params = VECDB_INDEX_PARAMS_INIT;
    params.type = VECDB_INDEX_HNSW_SQ;
    params.nbits = cases[i].nbits;
    params.refine = cases[i].refine;
    ix_data_make(&b.data, VDB_F32, cases[i].metric, 2000, 48, 1);
    built_open_with(&b, params);
    const struct vdb_hnsw_graph *g = &((const struct vdb_hnsw *)b.index)->graph;
    assert_string_equal(g->codes.ops->name, cases[i].nbits == 4 ? "sq4" : "sq8");
    assert_int_equal(g->refine, cases[i].got);
    double error = key_error(&b);
    if (error > cases[i].error)
      print_error("case %zu: scores are off by %g\n", i, error);
    assert_true(error <= cases[i].error);
    built_close(&b);
  }
}

/* Values that lose nothing in 16 bits: hits are scored with copies, and exactly. */
static void copies_that_are_exact(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 2000, 200, 1);
  float *values = (float *)(void *)b.data.rows;
  for (size_t i = 0; i < 2000 * 200; i++)
    values[i] = roundf(values[i] * 64) / 64;
  built_open(&b, 16);
  const struct vdb_hnsw_graph *g = &((const struct vdb_hnsw *)b.index)->graph;
  assert_int_equal(g->refine, VDB_HNSW_REFINE_COPY);
  memset(b.data.rows, 0xff, 8); /* the rows are not read */
  for (size_t i = 0; i < b.data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = {.effort = 64, .top = {items, K, 0}};
    built_search(&b, i, &s);
    for (size_t k = 0; k < K; k++) {
      if (items[k].row == 0)
        continue;
      struct vdb_query_vec q = ix_prepare(&b.data, ix_query(&b.data, i));
      assert_true(vdb_key_one(&b.data.vecs, &q, items[k].row) == items[k].key);
      free(q.data);
    }
  }
  built_close(&b);
}

static bool accept_bits(void *arg, uint32_t row) { return vdb_bit_get((const uint64_t *)arg, row); }

static void filtered_recall(void **state) {
  (void)state;
  static const unsigned shares[] = {90, 50, 20, 10, 5};
  enum { N = TEST_SIZE(6000, 1000) };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 32, 1);
  built_open(&b, 16);
  for (size_t i = 0; i < VDB_COUNT(shares); i++) {
    struct vdb_rng rng = {i};
    uint64_t allow[N / 64 + 1] = {0};
    bool full = true;
    for (size_t row = 0; row < N; row++)
      if (vdb_rng_below(&rng, 100) < shares[i])
        vdb_bit_set(allow, row);
    double by_bitmap = recall(&b, (struct vdb_search){.effort = 64, .allow = allow}, &full);
    if (by_bitmap < .9)
      print_error("%u %% allowed: recall %.3f\n", shares[i], by_bitmap);
    assert_true(by_bitmap >= .9);
    assert_true(full);
    /* the same rows by callback, and half by each */
    for (size_t query = 0; query < 5; query++) {
      struct vdb_near late[K], both[K];
      struct vdb_search s = {.effort = 64, .accept = accept_bits, .accept_arg = allow};
      s.top = (struct vdb_topk){late, K, 0};
      built_search(&b, query, &s);
      assert_int_equal(s.top.n, K);
      s.allow = allow;
      s.top = (struct vdb_topk){both, K, 0};
      built_search(&b, query, &s);
      for (size_t k = 0; k < K; k++)
        assert_true(vdb_bit_get(allow, late[k].row) && vdb_bit_get(allow, both[k].row));
    }
  }
  built_close(&b);
}

static bool astray_accepts(void *arg, uint32_t row) { return vdb_bit_get(arg, row); }

/* Rows that are a tenth of all, the nearest or the farthest: where only a search among those near
   is to go on, the other one says so, whether a set or a callback tells which rows they are. */
static void filters_that_lead_astray(void **state) {
  (void)state;
  enum { N = TEST_SIZE(4000, 1000) };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 16, 1);
  built_open(&b, 8);
  const uint8_t *query = ix_query(&b.data, 0);
  double tenth = ix_true_kth(&b.data, query, NULL, N / 10);
  double last_tenth = ix_true_kth(&b.data, query, NULL, N - N / 10);
  uint64_t near[N / 64 + 1] = {0}, far[N / 64 + 1] = {0};
  for (uint32_t i = 0; i < N; i++) {
    double key = ix_true_key(&b.data, query, i);
    if (key <= tenth)
      vdb_bit_set(near, i);
    if (key > last_tenth)
      vdb_bit_set(far, i);
  }
  struct vdb_near items[K];
  struct vdb_search s = {.effort = 50, .allow = near, .least_share = .03f, .top = {items, K, 0}};
  built_search(&b, 0, &s);
  assert_false(s.astray);
  assert_int_equal(s.top.n, K);
  s.allow = far;
  s.top.n = 0;
  built_search(&b, 0, &s);
  assert_true(s.astray);
  assert_int_equal(s.top.n, 0);
  s = (struct vdb_search){.effort = 50, .accept = astray_accepts, .accept_arg = near,
                          .least_share = .2f, .top = {items, K, 0}};
  built_search(&b, 0, &s);
  assert_false(s.astray);
  assert_int_equal(s.top.n, K);
  s.accept_arg = far;
  s.top.n = 0;
  built_search(&b, 0, &s);
  assert_true(s.astray);
  assert_int_equal(s.top.n, 0);
  assert_true(s.astray_at < N && !vdb_bit_get(far, s.astray_at));
  s = (struct vdb_search){.effort = 50, .allow = far, .top = {items, K, 0}};
  built_search(&b, 0, &s);
  assert_false(s.astray);
  assert_int_equal(s.top.n, K);
  built_close(&b);
}

/* Nine rows of ten pass, or none of the nearest but those where a walk begins: they are taken out
   of what a walk through all has found, and where too few of that pass, another finds them. */
static void nearly_all_pass(void **state) {
  (void)state;
  enum { N = TEST_SIZE(4000, 1000), QUERIES = 20, EF = 20 };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 16, 1);
  built_open(&b, 8);
  const struct vdb_hnsw *hnsw = (const struct vdb_hnsw *)b.index;
  for (int nearest = 0; nearest < 2; nearest++) {
    struct vdb_rng rng = {5};
    uint32_t good = 0;
    for (size_t query = 0; query < QUERIES; query++) {
      uint64_t allow[N / 64 + 1] = {0};
      const uint8_t *q = ix_query(&b.data, query);
      struct vdb_near items[K];
      struct vdb_search s = {.effort = EF, .accept = accept_bits, .accept_arg = allow,
                             .least_share = 1, .top = {items, K, 0}};
      built_search(&b, query, &s); /* none passes: it says where it begins */
      const uint32_t *links = vdb_hnsw_links(&hnsw->graph.layers[0], s.astray_at);
      double few = ix_true_kth(&b.data, q, NULL, 4 * EF);
      for (uint32_t i = 0; i < N; i++)
        if (nearest ? ix_true_key(&b.data, q, i) > few : vdb_rng_below(&rng, 10) > 0)
          vdb_bit_set(allow, i);
      for (uint32_t i = 0; i < hnsw->graph.layers[0].width && links[i] != VDB_HNSW_NONE; i++)
        vdb_bit_set(allow, links[i]);
      s = (struct vdb_search){.effort = EF, .stretch = .3f, .least_share = .1f,
                              .accept = accept_bits, .accept_arg = allow, .top = {items, K, 0}};
      built_search(&b, query, &s);
      assert_int_equal(s.top.n, K);
      double kth = ix_true_kth(&b.data, q, allow, K) * (1 + 1e-5);
      for (size_t k = 0; k < K; k++) {
        assert_true(vdb_bit_get(allow, items[k].row));
        good += ix_true_key(&b.data, q, items[k].row) <= kth;
      }
    }
    assert_in_range(good, QUERIES * K * 9 / 10, QUERIES * K);
  }
  built_close(&b);
}

/* Rows that are no nodes but copies of nodes: where all of these pass, and no node does, every
   second row does, and a search that a callback decides is not astray. */
static void copies_do_not_lead_astray(void **state) {
  (void)state;
  enum { N = 1000 };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 16, 2);
  built_open(&b, 8);
  const struct vdb_hnsw *hnsw = (const struct vdb_hnsw *)b.index;
  uint64_t copies[N / 64 + 1] = {0};
  for (uint32_t i = 0; i < N; i++)
    if (vdb_hnsw_links(&hnsw->graph.layers[0], i)[0] == VDB_HNSW_NONE)
      vdb_bit_set(copies, i);
  struct vdb_near items[K];
  struct vdb_search s = {.effort = 50, .accept = astray_accepts, .accept_arg = copies,
                         .least_share = .5f, .top = {items, K, 0}};
  built_search(&b, 0, &s);
  assert_false(s.astray);
  assert_int_equal(s.top.n, K);
  built_close(&b);
}

/* Rows of one cluster only, and a query from another; and no row, and one row. */
static void filters_that_are_far(void **state) {
  (void)state;
  enum { N = TEST_SIZE(4000, 1000) };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 16, 1);
  built_open(&b, 8);
  struct vdb_near items[K];
  uint64_t allow[N / 64 + 1] = {0};
  struct vdb_search s = {.effort = 50, .allow = allow, .top = {items, K, 0}};
  built_search(&b, 0, &s);
  assert_int_equal(s.top.n, 0);
  vdb_bit_set(allow, N / 3);
  s.top.n = 0;
  built_search(&b, 0, &s);
  assert_int_equal(s.top.n, 1);
  assert_int_equal(items[0].row, N / 3);
  double edge = ix_true_kth(&b.data, ix_query(&b.data, 0), NULL, N - 400);
  for (uint32_t i = 0; i < N; i++)
    if (ix_true_key(&b.data, ix_query(&b.data, 0), i) > edge)
      vdb_bit_set(allow, i);
  s.top.n = 0;
  built_search(&b, 0, &s);
  assert_int_equal(s.top.n, K);
  built_close(&b);
}

static void same_bytes_for_any_workers(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_COSINE};
  for (size_t i = 0; i < VDB_COUNT(metrics); i++) {
    struct ix_data d;
    struct ix_sections one, other;
    struct vdb_mem mem;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, i ? VDB_F16 : VDB_F32, metrics[i], TEST_SIZE(5000, 800), 24, i + 1);
    ix_sections_init(&one);
    ix_sections_init(&other);
    assert_int_equal(ix_build(&mem, &d, 1, 12, &one, &err), VECDB_OK);
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
      assert_int_equal(ix_build(&mem, &d, workers, 12, &other, &err), VECDB_OK);
      assert_true(ix_sections_equal(&one, &other));
      ix_sections_free(&other);
    }
    ix_sections_free(&one);
    ix_data_free(&d);
  }
}

/* ---- The graph ------------------------------------------------------------------------------- */

static void check_graph(const struct built *b, uint32_t m) {
  ix_check_graph(&((const struct vdb_hnsw *)b->index)->graph, m);
}

static void every_row_is_reached(void **state) {
  (void)state;
  static const uint32_t ms[] = {4, 5, 16};
  for (size_t i = 0; i < VDB_COUNT(ms); i++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, i % 2 ? VECDB_IP : VECDB_L2, 3000, 8, 1);
    built_open(&b, ms[i]);
    check_graph(&b, ms[i]);
    built_close(&b);
  }
}

/* Each vector a hundred times: results are copies of the nearest, and there are enough of them. */
static void copies_keep_recall(void **state) {
  (void)state;
  static const size_t copies[] = {3, 100, 100000};
  for (size_t i = 0; i < VDB_COUNT(copies); i++) {
    struct built b;
    bool full = true;
    ix_data_make(&b.data, VDB_F32, VECDB_L2, TEST_SIZE(4000, 1000), 16, copies[i]);
    built_open(&b, 8);
    check_graph(&b, 8);
    double got = recall(&b, (struct vdb_search){.effort = 64}, &full);
    if (got < .97)
      print_error("%zu copies: recall %.3f\n", copies[i], got);
    assert_true(got >= .97);
    uint64_t allow[4000 / 64 + 1];
    memset(allow, 0, sizeof allow);
    for (size_t row = 0; row < 4000; row += 7)
      vdb_bit_set(allow, row);
    got = recall(&b, (struct vdb_search){.effort = 64, .allow = allow}, &full);
    if (got < .97)
      print_error("%zu copies, filtered: recall %.3f\n", copies[i], got);
    assert_true(got >= .97);
    assert_true(full);
    built_close(&b);
  }
}

static void tiny_sizes(void **state) {
  (void)state;
  for (size_t n = 0; n < 40; n += n < 10 ? 1 : 9) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, VECDB_L2, n, 4, 1);
    built_open(&b, 4);
    for (size_t query = 0; query < 5; query++) {
      struct vdb_near items[64];
      struct vdb_search s = {.effort = 64, .top = {items, 64, 0}};
      built_search(&b, query, &s);
      assert_int_equal(s.top.n, n);
      uint64_t allow[1] = {5};
      allow[0] &= ((uint64_t)1 << n) - 1;
      s.allow = allow;
      s.top.n = 0;
      built_search(&b, query, &s);
      assert_int_equal(s.top.n, (size_t)__builtin_popcountll(allow[0]));
      s.top.k = s.top.n = 0;
      built_search(&b, query, &s);
      assert_int_equal(s.top.n, 0);
    }
    built_close(&b);
  }
}

/* A search wider than the index, and results more than its width. */
static void wide_searches(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_IP, 1500, 16, 1);
  built_open(&b, 16);
  struct vdb_near *items = malloc(2000 * sizeof *items);
  struct vdb_search s = {.effort = 5, .top = {items, 2000, 0}};
  built_search(&b, 0, &s);
  assert_int_equal(s.top.n, 1500); /* the graph is connected */
  s = (struct vdb_search){.effort = 5000, .top = {items, 3, 0}};
  built_search(&b, 0, &s);
  assert_int_equal(s.top.n, 3);
  free(items);
  built_close(&b);
}

/* A search with a stretch keeps up to four times as many rows; what it says decides how far it
   goes: without end as one of four times the effort, with next to none hardly beyond its k rows. */
static void stretch_round(int32_t metric, uint32_t dim) {
  enum { EFFORT = 40 };
  struct built b;
  ix_data_make(&b.data, VDB_F32, metric, TEST_SIZE(3000, 500), dim, 5);
  built_open(&b, 16);
  uint64_t plain = 0, mean = 0;
  double stretch = 0;
  for (size_t i = 0; i < b.data.n_queries; i++) {
    struct vdb_near items[4][K];
    struct vdb_search s = {.effort = EFFORT, .top = {items[0], K, 0}};
    built_search(&b, i, &s);
    assert_true(s.stretched > 0 && s.stretched < 10);
    stretch += (double)s.stretched / (double)b.data.n_queries;
    plain += s.distances;
    struct vdb_search wide = {.effort = 4 * EFFORT, .top = {items[1], K, 0}};
    built_search(&b, i, &wide);
    struct vdb_search far = {.effort = EFFORT, .stretch = 1e6f, .top = {items[2], K, 0}};
    built_search(&b, i, &far);
    assert_int_equal(far.distances, wide.distances);
    assert_memory_equal(items[1], items[2], sizeof items[1]);
    struct vdb_search near = {.effort = EFFORT, .stretch = 1e-6f, .top = {items[3], K, 0}};
    built_search(&b, i, &near);
    assert_int_equal(near.top.n, K);
    assert_true(near.distances < s.distances);
  }
  for (size_t i = 0; i < b.data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = {.effort = EFFORT, .stretch = (float)stretch, .top = {items, K, 0}};
    built_search(&b, i, &s);
    mean += s.distances;
  }
  assert_in_range(mean, plain / 2, plain * 2); /* as far, on average */
  built_close(&b);
}

static void stretches(void **state) {
  (void)state;
  stretch_round(VECDB_L2, 24); /* 8 bits an element */
  stretch_round(VECDB_L2, 80); /* 4 bits */
  stretch_round(VECDB_IP, 80);
  stretch_round(VECDB_COSINE, 330); /* and sketches */
}

/* ---- Long calls ------------------------------------------------------------------------------ */

static bool stop_second(void *arg) { return ++*(int *)arg >= 2; }

static void searches_stop(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 4000, 16, 1);
  built_open(&b, 8);
  uint64_t allow[4000 / 64 + 1];
  memset(allow, 0x11, sizeof allow);
  for (int filtered = 0; filtered < 2; filtered++) {
    struct vdb_near items[K];
    int polls = 0;
    struct vdb_search s = {.effort = 3000, .stop = stop_second, .stop_arg = &polls};
    s.top = (struct vdb_topk){items, K, 0};
    s.allow = filtered ? allow : NULL;
    built_search(&b, 0, &s);
    assert_int_equal(polls, 2);
    assert_true(s.distances < 3000);
    assert_true(s.top.n > 0);
  }
  built_close(&b);
}

struct progress {
  uint64_t done;
  uint64_t total;
  uint64_t limit;
};

static bool note_progress(void *arg, uint64_t done, uint64_t total) {
  struct progress *p = arg;
  assert_true(done >= p->done && done <= total);
  p->done = done;
  p->total = total;
  return done >= p->limit;
}

static void builds_report_and_cancel(void **state) {
  (void)state;
  struct ix_data d;
  struct vdb_mem mem;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, 2000, 8, 1);
  struct vdb_par par = vdb_par_serial();
  for (int cancel = 0; cancel < 2; cancel++) {
    struct ix_sections out;
    struct progress p = {0, 0, cancel ? 700 : UINT64_MAX};
    ix_sections_init(&out);
    struct vdb_index_build b = {.mem = &mem, .vecs = &d.vecs, .par = &par,
                                .params = {.size = sizeof b.params, .type = VECDB_INDEX_HNSW,
                                           .m = 8, .ef_construction = 40},
                                .progress = note_progress, .progress_arg = &p,
                                .out = &out.writer};
    int rc = vdb_index_ops_of(VECDB_INDEX_HNSW, d.vecs.elem)->build(&b, &err);
    assert_int_equal(rc, cancel ? VECDB_ERR_CANCELLED : VECDB_OK);
    assert_int_equal(p.total, 2000);
    assert_true(cancel ? p.done < 1000 && out.n == 0 : p.done == 2000);
    assert_int_equal(mem.used, 0);
    ix_sections_free(&out);
  }
  ix_data_free(&d);
}

static void failed_writes_come_back(void **state) {
  (void)state;
  struct ix_data d;
  struct ix_sections out;
  struct vdb_mem mem;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F32, VECDB_L2, 100, 8, 1);
  ix_sections_init(&out);
  out.fail = true;
  assert_int_equal(ix_build(&mem, &d, 1, 8, &out, &err), VECDB_ERR_IO);
  assert_int_equal(mem.used, 0);
  ix_sections_free(&out);
  ix_data_free(&d);
}

struct many {
  const struct built *b;
  double recalls[8];
};

static void search_body(void *arg, size_t i, unsigned worker) {
  struct many *many = arg;
  bool full = true;
  (void)worker;
  many->recalls[i] = recall(many->b, (struct vdb_search){.effort = 40}, &full);
}

static void many_threads_search(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 1500, 16, 1);
  built_open(&b, 8);
  struct many many = {&b, {0}};
  struct vdb_par par = {ix_par_run, 4, NULL};
  par.run(&par, VDB_COUNT(many.recalls), search_body, &many);
  for (size_t i = 0; i < VDB_COUNT(many.recalls); i++)
    assert_true(many.recalls[i] == many.recalls[0] && many.recalls[0] > .9);
  built_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recall_floors),
      cmocka_unit_test(codes_and_refines),
      cmocka_unit_test(copies_that_are_exact),
      cmocka_unit_test(filtered_recall),
      cmocka_unit_test(filters_that_lead_astray),
      cmocka_unit_test(nearly_all_pass),
      cmocka_unit_test(copies_do_not_lead_astray),
      cmocka_unit_test(filters_that_are_far),
      cmocka_unit_test(same_bytes_for_any_workers),
      cmocka_unit_test(every_row_is_reached),
      cmocka_unit_test(copies_keep_recall),
      cmocka_unit_test(tiny_sizes),
      cmocka_unit_test(wide_searches),
      cmocka_unit_test(stretches),
      cmocka_unit_test(searches_stop),
      cmocka_unit_test(builds_report_and_cancel),
      cmocka_unit_test(failed_writes_come_back),
      cmocka_unit_test(many_threads_search),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
