/*
 * test_ivf.c - IVF indexes: recall against exact answers for each way of making one, element type
 * and metric, with and without filters; the nearest of all lists exactly; equal bytes for any
 * number of workers; rows that are equal, zero, or few; progress, cancelling and stopping. Damage
 * and lack of memory are in test_ivf_damage.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ivftest.h"
#include "../tlib/thorough.h"

enum {
  K = 10,
  ALL_LISTS = 1 << 20,
  PART = TEST_SIZE(3, 7), /* of many types of data, each way sees every third or seventh */
  TURN = TEST_SIZE(1, 4)  /* under the sanitizer each test sees every fourth way, another first */
};

struct built {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  struct vdb_index *index;
};

/* Builds and opens over b->data. */
static void built_open(struct built *b, const struct ivf_way *way) {
  vecdb_error err = {0};
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  int rc = ivf_build(&b->mem, &b->data, way, 2, &b->sections, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(b->mem.used, 0);
  rc = ivf_open_way(&b->mem, &b->data, way, &b->sections, &b->index, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
}

/* The index goes, the data stay, for the next way. */
static void built_drop(struct built *b) {
  b->index->ops->close(&b->mem, b->index);
  assert_int_equal(b->mem.used, 0);
  ix_sections_free(&b->sections);
}

static void built_close(struct built *b) {
  built_drop(b);
  ix_data_free(&b->data);
}

/* Searches, and holds the results against each other. */
static void built_search(const struct built *b, const uint8_t *query, struct vdb_search *s) {
  vecdb_error err = {0};
  struct vdb_query_vec q = ix_prepare(&b->data, query);
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

/* The share of results as near as the true ones; each result's key must be within `slack` of its
   true key. */
static double recall(const struct built *b, const struct ix_truth *truth, struct vdb_search how,
                     double slack) {
  size_t good = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = how;
    const uint8_t *query = ix_query(&b->data, i);
    s.top = (struct vdb_topk){items, K, 0};
    built_search(b, query, &s);
    double kth = truth->kth[i];
    assert_int_equal(s.top.n, K);
    for (size_t k = 0; k < K; k++) {
      double key = ix_true_key(&b->data, query, items[k].row);
      assert_true(fabs(key - (double)items[k].key) <= slack * (1 + fabs(key)));
      assert_true(!how.allow || vdb_bit_get(how.allow, items[k].row));
      good += key <= kth + 1e-5 * (1 + fabs(kth));
    }
  }
  return (double)good / (double)(b->data.n_queries * K);
}

static void expect_recall(const struct built *b, const struct ix_truth *truth,
                          struct vdb_search how, double floor, const char *what, size_t number) {
  double got = recall(b, truth, how, 1e-4);
  if (got < floor)
    print_error("%s %zu, effort %u: recall %.3f\n", what, number, (unsigned)how.effort, got);
  assert_true(got >= floor);
}

static void recall_floors(void **state) {
  (void)state;
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
  } cases[] = {{VDB_F32, VECDB_L2},  {VDB_F32, VECDB_IP}, {VDB_F32, VECDB_COSINE},
               {VDB_F16, VECDB_L2},  {VDB_F16, VECDB_IP}, {VDB_BF16, VECDB_COSINE},
               {VDB_BF16, VECDB_L2}, {VDB_I8, VECDB_L2},  {VDB_I8, VECDB_IP},
               {VDB_I8, VECDB_COSINE}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct built b;
    ix_data_make(&b.data, cases[i].elem, cases[i].metric, TEST_SIZE(2000, 500), 64, 1);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t w = i % PART; w < VDB_COUNT(ivf_ways); w += PART) {
      built_open(&b, &ivf_ways[w]);
      bool flat = ivf_ways[w].type == VECDB_INDEX_IVF_FLAT;
      struct vdb_search some = {.effort = 60}, all = {.effort = ALL_LISTS};
      expect_recall(&b, &truth, some, .95, "way", w);
      expect_recall(&b, &truth, all, flat ? 1 : .97, "way", w);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

static bool accept_bits(void *arg, uint32_t row) { return vdb_bit_get((const uint64_t *)arg, row); }

/* The same rows let through by bits and by callback; a walk takes another way then. */
static void same_by_callback(const struct built *b, const struct ivf_way *way, uint64_t *allow) {
  struct vdb_near early[K], late[K];
  for (size_t query = 0; query < 5; query++) {
    struct vdb_search s = {.effort = 50, .allow = allow, .top = {early, K, 0}};
    built_search(b, ix_query(&b->data, query), &s);
    s = (struct vdb_search){.effort = 50, .accept = accept_bits, .accept_arg = allow};
    s.top = (struct vdb_topk){late, K, 0};
    built_search(b, ix_query(&b->data, query), &s);
    assert_int_equal(s.top.n, K);
    for (size_t k = 0; k < K; k++)
      assert_true(way->type == VECDB_INDEX_IVF_HNSW || early[k].row == late[k].row);
  }
}

static void filtered_recall(void **state) {
  (void)state;
  static const unsigned shares[] = {90, 50, 20, 5, 1};
  enum { N = TEST_SIZE(4000, 1500), SHARES = VDB_COUNT(shares) };
  uint64_t allow[SHARES][N / 64 + 1] = {{0}};
  struct ix_truth truth[SHARES];
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 32, 1);
  for (size_t i = 0; i < SHARES; i++) {
    struct vdb_rng rng = {i};
    for (size_t row = 0; row < N; row++)
      if (vdb_rng_below(&rng, 100) < shares[i])
        vdb_bit_set(allow[i], row);
    truth[i] = ix_truth_of(&b.data, allow[i], K);
  }
  for (size_t w = 2 % TURN; w < VDB_COUNT(ivf_ways); w += TURN) {
    built_open(&b, &ivf_ways[w]);
    for (size_t i = 0; i < SHARES; i++) {
      struct vdb_search how = {.effort = 50, .allow = allow[i]};
      expect_recall(&b, &truth[i], how, .93, "share", shares[i]);
      same_by_callback(&b, &ivf_ways[w], allow[i]);
    }
    built_drop(&b);
  }
  ix_data_free(&b.data);
}

/* However few lists are asked for, allowed rows are found as long as there are some. */
static void lists_grow(void **state) {
  (void)state;
  enum { N = TEST_SIZE(4000, 1000) };
  for (size_t w = 0; w < VDB_COUNT(ivf_ways); w += TURN) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, VECDB_COSINE, N, 16, 1);
    built_open(&b, &ivf_ways[w]);
    struct vdb_near items[K];
    uint64_t allow[N / 64 + 1] = {0};
    struct vdb_search s = {.effort = 1, .allow = allow, .top = {items, K, 0}};
    built_search(&b, ix_query(&b.data, 0), &s);
    assert_int_equal(s.top.n, 0);
    for (uint32_t n = 1; n < 3 * K; n++) {
      vdb_bit_set(allow, n * (N / (3 * K)));
      s.top.n = 0;
      built_search(&b, ix_query(&b.data, n), &s);
      assert_int_equal(s.top.n, vdb_min_u32(n, K));
    }
    struct vdb_near *all = malloc(N * sizeof *all);
    s = (struct vdb_search){.effort = 1, .top = {all, N, 0}};
    built_search(&b, ix_query(&b.data, 0), &s);
    assert_int_equal(s.top.n, N);
    free(all);
    built_close(&b);
  }
}

static void same_bytes_for_any_workers(void **state) {
  (void)state;
  for (size_t w = 1 % TURN; w < VDB_COUNT(ivf_ways); w += TURN) {
    struct ix_data d;
    struct ix_sections one, other;
    struct vdb_mem mem;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    enum vdb_elem elem = w % 2 ? VDB_F16 : VDB_F32;
    ix_data_make(&d, elem, w % 3 ? VECDB_L2 : VECDB_COSINE, TEST_SIZE(2500, 500), 24,
                 1 + w % 2);
    ix_sections_init(&one);
    ix_sections_init(&other);
    assert_int_equal(ivf_build(&mem, &d, &ivf_ways[w], 1, &one, &err), VECDB_OK);
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
      assert_int_equal(ivf_build(&mem, &d, &ivf_ways[w], workers, &other, &err), VECDB_OK);
      assert_true(ix_sections_equal(&one, &other));
      ix_sections_free(&other);
    }
    ix_sections_free(&one);
    ix_data_free(&d);
  }
}

/* ---- Odd rows -------------------------------------------------------------------------------- */

static void equal_rows(void **state) {
  (void)state;
  static const size_t copies[] = {3, 100, 100000};
  for (size_t i = 0; i < VDB_COUNT(copies); i++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, VECDB_L2, TEST_SIZE(3000, 500), 16, copies[i]);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t w = i % TURN; w < VDB_COUNT(ivf_ways); w += TURN) {
      built_open(&b, &ivf_ways[w]);
      struct vdb_search how = {.effort = 40};
      expect_recall(&b, &truth, how, .95, "copies", copies[i]);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

/* Zero vectors among the rows and as a query; under COSINE these are as far from all others. */
static void zero_rows(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_L2, VECDB_COSINE};
  enum { N = TEST_SIZE(2000, 500) };
  for (size_t m = 0; m < VDB_COUNT(metrics); m++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, metrics[m], N, 16, 1);
    for (uint32_t row = 0; row < N; row += 2) {
      memset(b.data.rows + row * b.data.vecs.stride, 0, b.data.vecs.stride);
      if (b.data.inv_norms)
        b.data.inv_norms[row] = 0;
    }
    memset(b.data.queries, 0, b.data.vecs.stride);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t w = m % TURN; w < VDB_COUNT(ivf_ways); w += TURN) {
      built_open(&b, &ivf_ways[w]);
      struct vdb_search how = {.effort = 60};
      expect_recall(&b, &truth, how, .95, "zeroes", (size_t)metrics[m]);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

/* Lengths from 1 to 1,000: the largest inner products are found among the longest. Sub-vectors of
   such rows have no centroids that are near, so a product quantizer finds but most of them. */
static void rows_of_many_lengths(void **state) {
  (void)state;
  enum { N = TEST_SIZE(3000, 750) };
  struct built b;
  struct vdb_rng rng = {3};
  ix_data_make(&b.data, VDB_F32, VECDB_IP, N, 32, 1);
  for (uint32_t row = 0; row < N; row++) {
    float by = (float)exp(vdb_rng_unit(&rng) * 6.9);
    float *x = (float *)(void *)(b.data.rows + row * b.data.vecs.stride);
    for (size_t i = 0; i < 32; i++)
      x[i] *= by;
  }
  struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
  for (size_t w = 2 % TURN; w < VDB_COUNT(ivf_ways); w += TURN) {
    built_open(&b, &ivf_ways[w]);
    struct vdb_search how = {.effort = ALL_LISTS};
    expect_recall(&b, &truth, how, .9, "lengths, way", w);
    built_drop(&b);
  }
  ix_data_free(&b.data);
}

static void tiny_sizes(void **state) {
  (void)state;
  for (size_t w = 0; w < VDB_COUNT(ivf_ways); w++) {
    for (size_t n = 0; n < 60; n += n < 10 ? 1 : 7) {
      struct built b;
      ix_data_make(&b.data, VDB_F32, VECDB_L2, n, 4, 1);
      built_open(&b, &ivf_ways[w]);
      for (size_t query = 0; query < 5; query++) {
        struct vdb_near items[64];
        struct vdb_search s = {.effort = 64, .top = {items, 64, 0}};
        built_search(&b, ix_query(&b.data, query), &s);
        assert_int_equal(s.top.n, n);
        uint64_t allow[1] = {5};
        allow[0] &= ((uint64_t)1 << n) - 1;
        s.allow = allow;
        s.top.n = 0;
        built_search(&b, ix_query(&b.data, query), &s);
        assert_int_equal(s.top.n, (size_t)__builtin_popcountll(allow[0]));
        s.top.k = s.top.n = 0;
        built_search(&b, ix_query(&b.data, query), &s);
        assert_int_equal(s.top.n, 0);
      }
      built_close(&b);
    }
  }
}

static void odd_dimensions(void **state) {
  (void)state;
  static const size_t dims[] = {1, 2, 3, 7, 33, 65, 100};
  for (size_t i = 0; i < VDB_COUNT(dims); i++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, VECDB_L2, TEST_SIZE(800, 300), dims[i], 1);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t w = i % PART; w < VDB_COUNT(ivf_ways); w += PART) {
      built_open(&b, &ivf_ways[w]);
      struct vdb_search how = {.effort = ALL_LISTS};
      expect_recall(&b, &truth, how, .85, "dim", dims[i]);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

/* Makes the index one of a file from before lists had signs, spreads and a reach. */
static void built_older(struct built *b, const struct ivf_way *way) {
  static const uint32_t tags[] = {VDB_TAG('I', 'V', 'F', 'S'), VDB_TAG('I', 'V', 'F', 'O')};
  enum { FLAGS = 56 }; /* of the header, for these two */
  vecdb_error err = {0};
  size_t dropped = 0;
  b->index->ops->close(&b->mem, b->index);
  for (size_t i = 0; i < b->sections.n; i++) {
    struct ix_section *s = &b->sections.items[i];
    if (s->tag == VDB_TAG('I', 'V', 'F', 'H'))
      memset(s->data + FLAGS, 0, 8);
    for (size_t t = 0; t < VDB_COUNT(tags); t++)
      if (s->tag == tags[t]) {
        s->tag = 0;
        dropped++;
      }
  }
  assert_int_equal(dropped, VDB_COUNT(tags));
  assert_int_equal(ivf_open_way(&b->mem, &b->data, way, &b->sections, &b->index, &err), VECDB_OK);
}

static struct ix_section *built_section(struct built *b, uint32_t tag) {
  for (size_t i = 0; i < b->sections.n; i++)
    if (b->sections.items[i].tag == tag)
      return &b->sections.items[i];
  return NULL;
}

static void built_answers(const struct built *b, struct vdb_near *out) {
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_search s = {.effort = 8, .top = {out + i * K, K, 0}};
    built_search(b, ix_query(&b->data, i), &s);
    assert_int_equal(s.top.n, K);
  }
}

/* Rows that binary16 holds are copied to it unasked, and searches with the copies, which do not
   touch the rows, find what they find by the rows in a file of version 1. */
static void copies_lose_nothing(void **state) {
  (void)state;
  enum { VERSION = 0, EXACT = 40 }; /* in the header */
  static const struct ivf_way way = {VECDB_INDEX_IVF_RABITQ, 0, 0, 0, 0, 0};
  static const int32_t metrics[] = {VECDB_L2, VECDB_COSINE};
  const uint32_t older[] = {1, 1};
  for (size_t i = 0; i < VDB_COUNT(metrics); i++) {
    struct built b;
    vecdb_error err = {0};
    ix_data_make(&b.data, VDB_F32, metrics[i], 1000, 40, 1);
    float *rows = (float *)(void *)b.data.rows, *kept = malloc(1000 * 40 * sizeof *kept);
    for (size_t k = 0; k < 1000 * 40; k++)
      rows[k] = roundf(rows[k] * 64) / 64;
    memcpy(kept, rows, 1000 * 40 * sizeof *kept);
    free(b.data.inv_norms);
    ix_data_norms(&b.data);
    struct vdb_near *by_copies = malloc(b.data.n_queries * K * sizeof *by_copies);
    struct vdb_near *by_rows = malloc(b.data.n_queries * K * sizeof *by_rows);
    built_open(&b, &way);
    memset(rows, 0, 1000 * 40 * sizeof *rows);
    built_answers(&b, by_copies);
    memcpy(rows, kept, 1000 * 40 * sizeof *rows);
    struct ix_section *copies = built_section(&b, VDB_TAG('I', 'V', 'F', '2'));
    struct ix_section *header = built_section(&b, VDB_TAG('I', 'V', 'F', 'H'));
    assert_non_null(copies);
    copies->tag = 0;
    memcpy(header->data + VERSION, &older[0], sizeof *older);
    memcpy(header->data + EXACT, &older[1], sizeof *older);
    b.index->ops->close(&b.mem, b.index);
    assert_int_equal(ivf_open_way(&b.mem, &b.data, &way, &b.sections, &b.index, &err), VECDB_OK);
    built_answers(&b, by_rows);
    assert_memory_equal(by_copies, by_rows, b.data.n_queries * K * sizeof *by_rows);
    free(by_copies);
    free(by_rows);
    free(kept);
    built_close(&b);
  }
}

/* Rows that it does not hold are copied when asked for, and keys are off by what is lost then. */
static void copies_that_lose(void **state) {
  (void)state;
  const struct ivf_way ways[] = {{VECDB_INDEX_IVF_RABITQ, 0, 0, 0, VECDB_REFINE_AUTO, 0},
                                 {VECDB_INDEX_IVF_RABITQ, 0, 0, 0, VECDB_REFINE_F16, 0},
                                 {VECDB_INDEX_IVF_SQ8, 0, 0, 0, VECDB_REFINE_F16, 0}};
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 1000, 40, 1);
  struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
  for (size_t w = 0; w < VDB_COUNT(ways); w++) {
    bool asked = ways[w].refine == VECDB_REFINE_F16;
    built_open(&b, &ways[w]);
    assert_int_equal(built_section(&b, VDB_TAG('I', 'V', 'F', '2')) != NULL, asked);
    assert_true(recall(&b, &truth, (struct vdb_search){.effort = ALL_LISTS},
                       asked ? 0x1p-9 : 1e-4) >= .95);
    built_drop(&b);
  }
  ix_data_free(&b.data);
}

/* Vectors compared by all queries. */
static double built_distances(const struct built *b, uint32_t effort) {
  double sum = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = {.effort = effort, .top = {items, K, 0}};
    built_search(b, ix_query(&b->data, i), &s);
    sum += (double)s.distances;
  }
  return sum;
}

/* So many lists that most are told far by their signs, and that searches look through more or fewer
   than they were asked to: they find no less than searches of older files, and cost about the
   same. */
static void many_lists(void **state) {
  (void)state;
  static const struct ivf_way ways[] = {{VECDB_INDEX_IVF_FLAT, 256, 0, 0, 0, 0},
                                        {VECDB_INDEX_IVF_RABITQ, 256, 0, 0, 0, 0}};
  static const int32_t metrics[] = {VECDB_L2, VECDB_COSINE};
  for (size_t i = 0; i < VDB_COUNT(metrics); i++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, metrics[i], TEST_SIZE(4000, 2000), 64, 1);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t w = 0; w < VDB_COUNT(ways); w++) {
      struct vdb_search how = {.effort = 6}, all = {.effort = ALL_LISTS};
      built_open(&b, &ways[w]);
      double now = recall(&b, &truth, how, 1e-4), cost = built_distances(&b, 6);
      expect_recall(&b, &truth, all, w ? .97 : 1, "way", w);
      built_older(&b, &ways[w]);
      double before = recall(&b, &truth, how, 1e-4), cost_before = built_distances(&b, 6);
      expect_recall(&b, &truth, all, w ? .97 : 1, "older way", w);
      assert_true(now > before - .02);
      assert_true(cost > .5 * cost_before && cost < 1.6 * cost_before);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

/* ---- Long calls ------------------------------------------------------------------------------ */

static bool stop_second(void *arg) { return ++*(int *)arg >= 2; }

static void searches_stop(void **state) {
  (void)state;
  for (size_t w = 0; w < VDB_COUNT(ivf_ways); w += TURN) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, VECDB_L2, 4000, 16, 1);
    built_open(&b, &ivf_ways[w]);
    struct vdb_near items[K];
    int polls = 0;
    struct vdb_search s = {.effort = ALL_LISTS, .stop = stop_second, .stop_arg = &polls};
    s.top = (struct vdb_topk){items, K, 0};
    built_search(&b, ix_query(&b.data, 0), &s);
    assert_in_range(polls, 2, 4); /* once more by the walk of IVF_HNSW */
    assert_true(s.distances < 3000);
    assert_true(s.top.n > 0);
    built_close(&b);
  }
}

struct progress {
  uint64_t done;
  uint64_t total;
  uint64_t percent; /* from which it cancels */
};

static bool note_progress(void *arg, uint64_t done, uint64_t total) {
  struct progress *p = arg;
  assert_true(done >= p->done && done <= total);
  p->done = done;
  p->total = total;
  return done * 100 >= p->percent * total;
}

static void builds_report_and_cancel(void **state) {
  (void)state;
  static const uint64_t percents[] = {101, 0, 1, 50, 67};
  struct vdb_par par = vdb_par_serial();
  for (size_t w = 0; w < VDB_COUNT(ivf_ways); w++) {
    struct ix_data d;
    struct vdb_mem mem;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_F32, VECDB_L2, TEST_SIZE(1000, 400), 8, 1);
    for (size_t i = 0; i < VDB_COUNT(percents); i++) {
      struct ix_sections out;
      struct progress p = {0, 0, percents[i]};
      ix_sections_init(&out);
      struct vdb_index_build b = {.mem = &mem, .vecs = &d.vecs, .par = &par, .seed = 1,
                                  .kind = vdb_index_kind(ivf_ways[w].type),
                                  .progress = note_progress, .progress_arg = &p,
                                  .out = &out.writer};
      assert_int_equal(ivf_params(&d, &ivf_ways[w], &b.params, &err), VECDB_OK);
      int rc = vdb_index_ops_of(ivf_ways[w].type, VDB_F32)->build(&b, &err);
      assert_int_equal(rc, i ? VECDB_ERR_CANCELLED : VECDB_OK);
      assert_true(i || p.done == p.total);
      assert_int_equal(mem.used, 0);
      ix_sections_free(&out);
    }
    ix_data_free(&d);
  }
}

static void failed_writes_come_back(void **state) {
  (void)state;
  for (size_t w = 0; w < VDB_COUNT(ivf_ways); w++) {
    struct ix_data d;
    struct ix_sections out;
    struct vdb_mem mem;
    vecdb_error err = {0};
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, VDB_F32, VECDB_L2, 300, 8, 1);
    ix_sections_init(&out);
    out.fail = true;
    assert_int_equal(ivf_build(&mem, &d, &ivf_ways[w], 1, &out, &err), VECDB_ERR_IO);
    assert_int_equal(mem.used, 0);
    out.n = VDB_COUNT(out.items) - 1; /* with the section under way */
    ix_sections_free(&out);
    ix_data_free(&d);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recall_floors),
      cmocka_unit_test(filtered_recall),
      cmocka_unit_test(lists_grow),
      cmocka_unit_test(same_bytes_for_any_workers),
      cmocka_unit_test(equal_rows),
      cmocka_unit_test(zero_rows),
      cmocka_unit_test(rows_of_many_lengths),
      cmocka_unit_test(tiny_sizes),
      cmocka_unit_test(odd_dimensions),
      cmocka_unit_test(copies_lose_nothing), cmocka_unit_test(copies_that_lose),
      cmocka_unit_test(many_lists),
      cmocka_unit_test(searches_stop),
      cmocka_unit_test(builds_report_and_cancel),
      cmocka_unit_test(failed_writes_come_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
