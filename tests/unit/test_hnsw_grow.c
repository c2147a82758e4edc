/*
 * test_hnsw_grow.c - HNSW indexes built upon older ones: as good as those built anew, over
 * generations of deletes and new rows and for each element type; equal bytes for any number of
 * workers; valid graphs, also where copies lose their first and where the older links are noise;
 * when it pays and when not; progress, cancelling and lack of memory.
 */
/* TSAN: yes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/ixgraph.h"
#include "../tlib/ixreal.h"
#include "../tlib/thorough.h"

enum { K = 10, M = 16, QUERIES = TEST_SIZE(200, 50) };

static struct vdb_mem mem;

/* An index over some rows of a larger set. */
struct part {
  struct ix_data data; /* its queries are the set's */
  struct ix_sections sections;
  struct vdb_index *index;
  uint32_t *rows; /* of the set */
};

static const struct vdb_hnsw_graph *graph_of(const struct part *p) {
  return &((const struct vdb_hnsw *)p->index)->graph;
}

/* Takes the first n rows of the set, or n rows of `rows`. */
static void part_take(struct part *p, const struct ix_data *set, const uint32_t *rows, uint32_t n) {
  const struct vdb_vecs *v = &set->vecs;
  ix_data_alloc(&p->data, v->elem, v->metric, n, v->dim);
  memcpy(p->data.queries, set->queries, p->data.n_queries * v->stride);
  p->rows = malloc((n + 1) * sizeof *p->rows);
  for (uint32_t i = 0; i < n; i++) {
    p->rows[i] = rows ? rows[i] : i;
    memcpy(p->data.rows + i * v->stride, v->data + p->rows[i] * v->stride, v->stride);
  }
  ix_data_norms(&p->data);
  p->index = NULL;
  ix_sections_init(&p->sections);
}

static void part_free(struct part *p) {
  if (p->index)
    p->index->ops->close(&mem, p->index);
  ix_sections_free(&p->sections);
  ix_data_free(&p->data);
  free(p->rows);
}

static vecdb_index_params part_params(int32_t type) {
  vecdb_index_params params = {.size = sizeof params, .type = type};
  if (type != VECDB_INDEX_IVF_FLAT) {
    params.m = M;
    params.ef_construction = 100;
  }
  return params;
}

/* What each row of `older` is in `p`, both in ascending order; to be freed. */
static uint32_t *part_map(const struct part *older, const struct part *p) {
  uint32_t *map = malloc((older->data.vecs.n + 1) * sizeof *map);
  for (uint32_t i = 0, k = 0; i < older->data.vecs.n; i++) {
    while (k < p->data.vecs.n && p->rows[k] < older->rows[i])
      k++;
    map[i] = k < p->data.vecs.n && p->rows[k] == older->rows[i] ? k : VDB_INDEX_GONE;
  }
  return map;
}

static int part_build_in(struct vdb_mem *from_mem, struct part *p, const struct part *older,
                         int32_t type, unsigned workers, vecdb_error *err) {
  struct vdb_par par = {ix_par_run, workers, NULL};
  uint32_t *map = older ? part_map(older, p) : NULL;
  struct vdb_index_from from = {older ? older->index : NULL, map};
  int rc = ix_build_from(from_mem, &p->data, &par, part_params(type), older ? &from : NULL,
                         &p->sections, err);
  free(map);
  return rc;
}

/* Builds and opens; upon `older` unless that is NULL. */
static void part_build(struct part *p, const struct part *older, int32_t type, unsigned workers) {
  vecdb_error err = {0};
  assert_int_equal(part_build_in(&mem, p, older, type, workers, &err), VECDB_OK);
  assert_int_equal(ix_open_type(&mem, &p->data, type, &p->sections, &p->index, &err), VECDB_OK);
}

/* Keys of the k-th nearest of each query, to be freed. */
static double *part_kths(const struct part *p, const struct ix_data *set) {
  double *kths = malloc(set->n_queries * sizeof *kths);
  for (size_t i = 0; i < set->n_queries; i++)
    kths[i] = ix_true_kth(&p->data, ix_query(set, i), NULL, K);
  return kths;
}

static double part_recall(const struct part *p, const struct ix_data *set, const double *kths,
                          uint32_t ef) {
  size_t good = 0;
  for (size_t i = 0; i < set->n_queries; i++) {
    vecdb_error err = {0};
    struct vdb_near items[K];
    struct vdb_query_vec q = ix_prepare(&p->data, ix_query(set, i));
    struct vdb_search s = {.mem = &mem, .query = &q, .effort = ef, .top = {items, K, 0}};
    assert_int_equal(p->index->ops->search(p->index, &s, &err), VECDB_OK);
    assert_int_equal(s.top.n, K);
    for (size_t k = 0; k < K; k++)
      good += ix_true_key(&p->data, ix_query(set, i), items[k].row) <=
              kths[i] + 1e-5 * (1 + fabs(kths[i]));
    free(q.data);
  }
  return (double)good / (double)(set->n_queries * K);
}

/* How much less an index finds at this width than another of the same rows. */
static double part_loses(const struct part *p, const struct part *other, const struct ix_data *set,
                         uint32_t ef) {
  double *kths = part_kths(p, set);
  double loss = part_recall(other, set, kths, ef) - part_recall(p, set, kths, ef);
  free(kths);
  return loss;
}

/* Passages, and passages that are not among them as queries. */
static void real_set(struct ix_data *set, uint32_t n) {
  struct ix_data all;
  ix_data_real(&all, VDB_F32, VECDB_IP, n + QUERIES);
  size_t bytes = all.vecs.stride;
  ix_data_alloc(set, VDB_F32, VECDB_IP, n, all.vecs.dim);
  free(set->queries);
  set->queries = malloc(QUERIES * bytes);
  set->n_queries = QUERIES;
  for (size_t i = 0, row = 0, query = 0; i < n + QUERIES; i++) {
    bool is_query = query < QUERIES && i % (n / QUERIES) == 0;
    uint8_t *to = is_query ? set->queries + query++ * bytes : set->rows + row++ * bytes;
    memcpy(to, all.rows + i * bytes, bytes);
  }
  ix_data_free(&all);
}

/* Rows of `older` with a share deleted at random, and those from *next on up to n rows in all, or
   to the end of the set. */
static void part_churn(struct part *p, const struct part *older, const struct ix_data *set,
                       unsigned percent, uint32_t *next, uint32_t n) {
  struct vdb_rng rng = {*next};
  uint32_t *rows = malloc(set->vecs.n * sizeof *rows), kept = 0;
  for (uint32_t i = 0; i < older->data.vecs.n; i++) {
    rows[kept] = older->rows[i];
    kept += vdb_rng_below(&rng, 100) >= percent;
  }
  for (; kept < n && *next < set->vecs.n; kept++)
    rows[kept] = (*next)++;
  part_take(p, set, rows, kept);
  free(rows);
}

static bool part_differs(const struct part *a, const struct part *b) {
  return !ix_sections_equal(&a->sections, &b->sections);
}

/* A third of the rows goes, and as many new ones come, again and again. */
static void churn_keeps_recall(void **state) {
  (void)state;
  enum { N = TEST_SIZES(2500, 400, 300), GENERATIONS = TEST_SIZES(4, 2, 1) };
  struct ix_data set;
  struct part now, next, anew;
  uint32_t end = N;
  real_set(&set, N + GENERATIONS * (N / 2));
  part_take(&now, &set, NULL, N);
  part_build(&now, NULL, VECDB_INDEX_HNSW, 2);
  double lost = 0;
  for (int g = 0; g < GENERATIONS; g++) {
    part_churn(&next, &now, &set, 30, &end, N);
    part_take(&anew, &set, next.rows, next.data.vecs.n);
    part_build(&next, &now, VECDB_INDEX_HNSW, 2);
    part_build(&anew, NULL, VECDB_INDEX_HNSW, 2);
    assert_true(part_differs(&next, &anew));
    ix_check_graph(graph_of(&next), M);
    lost += part_loses(&next, &anew, &set, 32) / GENERATIONS;
    part_free(&anew);
    part_free(&now);
    now = next;
  }
  if (lost > .006)
    print_error("%.4f of recall lost\n", lost);
  assert_true(lost <= TEST_SIZE(.006, .05));
  part_free(&now);
  ix_data_free(&set);
}

/* Rows go, and none comes: all that is found is due to the mended links. */
static void deletes_alone(void **state) {
  (void)state;
  static const unsigned percents[] = {5, 30, 48};
  enum { N = TEST_SIZES(2500, 400, 300) };
  struct ix_data set;
  struct part whole, less, anew;
  uint32_t next = N;
  real_set(&set, N);
  part_take(&whole, &set, NULL, N);
  part_build(&whole, NULL, VECDB_INDEX_HNSW, 2);
  for (size_t i = 0; i < VDB_COUNT(percents); i += TEST_SIZE(1, 2)) {
    part_churn(&less, &whole, &set, percents[i], &next, 0);
    part_take(&anew, &set, less.rows, less.data.vecs.n);
    part_build(&less, &whole, VECDB_INDEX_HNSW, 2);
    part_build(&anew, NULL, VECDB_INDEX_HNSW, 2);
    ix_check_graph(graph_of(&less), M);
    double lost = part_loses(&less, &anew, &set, 48);
    if (lost > .01)
      print_error("%u %% deleted: %.4f of recall lost\n", percents[i], lost);
    assert_true(lost <= TEST_SIZE(.01, .05));
    part_free(&less);
    part_free(&anew);
  }
  part_free(&whole);
  ix_data_free(&set);
}

static void each_type_grows(void **state) {
  (void)state;
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
    int32_t type;
  } cases[] = {{VDB_F32, VECDB_L2, VECDB_INDEX_HNSW},
               {VDB_F32, VECDB_COSINE, VECDB_INDEX_HNSW},
               {VDB_F16, VECDB_IP, VECDB_INDEX_HNSW},
               {VDB_BF16, VECDB_L2, VECDB_INDEX_HNSW},
               {VDB_I8, VECDB_COSINE, VECDB_INDEX_HNSW},
               {VDB_BITS, VECDB_HAMMING, VECDB_INDEX_BIN_HNSW},
               {VDB_F32, VECDB_L2, VECDB_INDEX_HNSW_SQ},
               {VDB_F32, VECDB_L2, VECDB_INDEX_BIN_HNSW},
               {VDB_F32, VECDB_L2, VECDB_INDEX_IVF_HNSW}};
  enum { N = TEST_SIZES(1500, 500, 300) };
  for (size_t i = 0; i < VDB_COUNT(cases); i += TEST_SIZES(1, 2, 3)) {
    struct ix_data set;
    struct part old, now, anew;
    uint32_t next = N * 4 / 5;
    ix_data_make(&set, cases[i].elem, cases[i].metric, N, 64, 1);
    part_take(&old, &set, NULL, next);
    part_build(&old, NULL, cases[i].type, 2);
    part_churn(&now, &old, &set, 20, &next, N * 4 / 5);
    part_take(&anew, &set, now.rows, now.data.vecs.n);
    part_build(&now, &old, cases[i].type, 2);
    part_build(&anew, NULL, cases[i].type, 2);
    assert_true(part_differs(&now, &anew));
    uint32_t effort = cases[i].type == VECDB_INDEX_IVF_HNSW ? 4 : 24;
    double lost = part_loses(&now, &anew, &set, effort);
    if (lost > .02)
      print_error("case %zu: %.4f of recall lost\n", i, lost);
    assert_true(lost <= .02);
    part_free(&anew);
    part_free(&now);
    part_free(&old);
    ix_data_free(&set);
  }
}

static void same_bytes_for_any_workers(void **state) {
  (void)state;
  enum { N = TEST_SIZES(4000, 500, 300) };
  struct ix_data set;
  struct part old, one, other;
  uint32_t next = N * 4 / 5;
  ix_data_make(&set, VDB_F32, VECDB_L2, N, 24, 2);
  part_take(&old, &set, NULL, next);
  part_build(&old, NULL, VECDB_INDEX_HNSW, 2);
  part_churn(&one, &old, &set, 25, &next, N * 4 / 5);
  part_build(&one, &old, VECDB_INDEX_HNSW, 1);
  for (unsigned workers = 2; workers <= 4; workers++) {
    part_take(&other, &set, one.rows, one.data.vecs.n);
    part_build(&other, &old, VECDB_INDEX_HNSW, workers);
    assert_false(part_differs(&one, &other));
    part_free(&other);
  }
  part_free(&one);
  part_free(&old);
  ix_data_free(&set);
}

/* Copies whose first is deleted, and new rows that equal old ones. */
static void copies_take_over(void **state) {
  (void)state;
  static const size_t copies[] = {2, 3, 40};
  enum { N = TEST_SIZES(3000, 400, 300) };
  for (size_t i = 0; i < VDB_COUNT(copies); i++) {
    struct ix_data set;
    struct part old, now;
    uint32_t next = N * 4 / 5 + 1; /* between two copies */
    ix_data_make(&set, VDB_F32, VECDB_L2, N, 16, copies[i]);
    part_take(&old, &set, NULL, next);
    part_build(&old, NULL, VECDB_INDEX_HNSW, 2);
    part_churn(&now, &old, &set, 40, &next, N * 7 / 10);
    part_build(&now, &old, VECDB_INDEX_HNSW, 2);
    ix_check_graph(graph_of(&now), M);
    assert_true(graph_of(&now)->copies.n > 0);
    double *kths = part_kths(&now, &set);
    double got = part_recall(&now, &set, kths, 64);
    free(kths);
    if (got < .96)
      print_error("%zu copies: recall %.3f\n", copies[i], got);
    assert_true(got >= .96);
    part_free(&now);
    part_free(&old);
    ix_data_free(&set);
  }
}

/* All nodes are deleted, and each has a copy that stays. */
static void only_copies_stay(void **state) {
  (void)state;
  enum { N = 800 };
  struct ix_data set;
  struct part old, now, anew;
  uint32_t rows[N], n = 0;
  ix_data_make(&set, VDB_F32, VECDB_L2, N, 16, 2);
  part_take(&old, &set, NULL, N);
  part_build(&old, NULL, VECDB_INDEX_HNSW, 2);
  for (uint32_t row = 0; row < N; row++) {
    rows[n] = row;
    n += vdb_hnsw_degree(&graph_of(&old)->layers[0], row) == 0;
  }
  assert_int_equal(n, N / 2);
  part_take(&now, &set, rows, n);
  part_take(&anew, &set, rows, n);
  part_build(&now, &old, VECDB_INDEX_HNSW, 2);
  part_build(&anew, NULL, VECDB_INDEX_HNSW, 2);
  assert_true(part_differs(&now, &anew)); /* their places in the graph were taken over */
  ix_check_graph(graph_of(&now), M);
  assert_true(part_loses(&now, &anew, &set, 32) <= .02);
  part_free(&anew);
  part_free(&now);
  part_free(&old);
  ix_data_free(&set);
}

/* Links that lead anywhere below `range`, to one node many times, or nowhere: the new graph is
   valid. */
static void survive_noise(const struct ix_data *set, uint32_t range, unsigned percent) {
  struct part old, now;
  struct vdb_rng rng = {range};
  uint32_t next = set->vecs.n * 4 / 5;
  part_take(&old, set, NULL, next);
  part_build(&old, NULL, VECDB_INDEX_HNSW, 1);
  struct vdb_hnsw_layer *layer = &((struct vdb_hnsw *)old.index)->graph.layers[0];
  uint32_t *links = (uint32_t *)(uintptr_t)layer->links;
  for (size_t k = 0; k < (size_t)layer->n * layer->width; k++)
    links[k] = vdb_rng_below(&rng, range);
  part_churn(&now, &old, set, percent, &next, set->vecs.n);
  part_build(&now, &old, VECDB_INDEX_HNSW, 2);
  ix_check_graph(graph_of(&now), M);
  part_free(&now);
  part_free(&old);
}

static void noise_is_survived(void **state) {
  (void)state;
  for (size_t copies = 1; copies <= 2; copies++) {
    struct ix_data set;
    ix_data_make(&set, VDB_F32, VECDB_L2, 500, 8, copies);
    for (uint32_t range = 1; range <= 400; range *= TEST_SIZES(7, 7, 200))
      for (unsigned percent = 0; percent <= 20; percent += 20)
        survive_noise(&set, range, percent);
    survive_noise(&set, 400, 0);
    ix_data_free(&set);
  }
}

/* Too little is left of the old one, or comes from it; it has no rows, or another type. */
static void what_does_not_pay_is_built_anew(void **state) {
  (void)state;
  static const struct {
    uint32_t before;
    unsigned percent; /* deleted */
    uint32_t after;   /* rows, at least */
    int32_t type;     /* of the old one */
    bool grows;
  } cases[] = {{800, 0, 800, VECDB_INDEX_HNSW, true},    {800, 30, 0, VECDB_INDEX_HNSW, true},
               {800, 60, 0, VECDB_INDEX_HNSW, false},    {150, 0, 900, VECDB_INDEX_HNSW, false},
               {500, 0, 900, VECDB_INDEX_HNSW, true},    {0, 0, 500, VECDB_INDEX_HNSW, false},
               {800, 20, 0, VECDB_INDEX_IVF_FLAT, false}, {2 * M, 0, 0, VECDB_INDEX_HNSW, false},
               {1, 0, 1, VECDB_INDEX_HNSW, false},       {800, 100, 700, VECDB_INDEX_HNSW, false}};
  struct ix_data set;
  ix_data_make(&set, VDB_F32, VECDB_L2, 1800, 8, 1);
  for (size_t i = 0; i < VDB_COUNT(cases); i += TEST_SIZES(1, 1, 4)) {
    struct part old, now, anew;
    uint32_t next = cases[i].before;
    part_take(&old, &set, NULL, next);
    part_build(&old, NULL, cases[i].type, 1);
    part_churn(&now, &old, &set, cases[i].percent, &next, cases[i].after);
    part_take(&anew, &set, now.rows, now.data.vecs.n);
    part_build(&now, &old, VECDB_INDEX_HNSW, 1);
    part_build(&anew, NULL, VECDB_INDEX_HNSW, 1);
    if (cases[i].percent > 0 || cases[i].after > cases[i].before || !cases[i].grows)
      assert_int_equal(part_differs(&now, &anew), cases[i].grows);
    ix_check_graph(graph_of(&now), M);
    part_free(&anew);
    part_free(&now);
    part_free(&old);
  }
  ix_data_free(&set);
}

struct progress {
  uint64_t done;
  uint64_t limit;
};

static bool note_progress(void *arg, uint64_t done, uint64_t total) {
  struct progress *p = arg;
  assert_true(done >= p->done && done <= total);
  p->done = done;
  return done >= p->limit;
}

static void builds_report_and_cancel(void **state) {
  (void)state;
  enum { N = 1000 };
  struct ix_data set;
  struct part old, now;
  uint32_t next = 800;
  ix_data_make(&set, VDB_F32, VECDB_L2, N, 8, 1);
  part_take(&old, &set, NULL, next);
  part_build(&old, NULL, VECDB_INDEX_HNSW, 1);
  part_churn(&now, &old, &set, 20, &next, 700);
  uint32_t *map = part_map(&old, &now);
  struct vdb_index_from from = {old.index, map};
  struct vdb_par par = vdb_par_serial();
  uint64_t used = mem.used;
  for (uint64_t limit = 1; limit <= 800; limit += 100) {
    vecdb_error err = {0};
    struct progress p = {0, limit};
    struct vdb_index_build b = {.mem = &mem, .vecs = &now.data.vecs, .par = &par, .from = &from,
                                .params = part_params(VECDB_INDEX_HNSW), .progress = note_progress,
                                .progress_arg = &p, .out = &now.sections.writer};
    int rc = vdb_hnsw_ops()->build(&b, &err);
    assert_int_equal(rc, limit <= now.data.vecs.n ? VECDB_ERR_CANCELLED : VECDB_OK);
    assert_int_equal(mem.used, used);
    assert_true(rc || p.done == now.data.vecs.n);
  }
  free(map);
  part_free(&now);
  part_free(&old);
  ix_data_free(&set);
}

static void memory_runs_out(void **state) {
  (void)state;
  enum { N = 120 };
  struct ix_data set;
  struct part old, now;
  uint32_t next = 100;
  vecdb_error err = {0};
  ix_data_make(&set, VDB_F32, VECDB_L2, N, 8, 2);
  part_take(&old, &set, NULL, next);
  part_build(&old, NULL, VECDB_INDEX_HNSW, 1);
  part_churn(&now, &old, &set, 20, &next, 100);
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    ix_memory_init(&m, left);
    rc = part_build_in(&m.mem, &now, &old, VECDB_INDEX_HNSW, 2, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    if (rc)
      ix_sections_free(&now.sections);
  }
  part_free(&now);
  part_free(&old);
  ix_data_free(&set);
}

static int memory_begins(void **state) {
  (void)state;
  vdb_mem_init(&mem, NULL, 0);
  return 0;
}

static int memory_ends(void **state) {
  (void)state;
  return mem.used != 0;
}

#define GROWS(f) cmocka_unit_test_setup_teardown(f, memory_begins, memory_ends)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST_ALONE(GROWS(churn_keeps_recall)),
      TEST_ALONE(GROWS(deletes_alone)),
      GROWS(each_type_grows),
      GROWS(same_bytes_for_any_workers),
      TEST_ALONE(GROWS(copies_take_over)),
      TEST_ALONE(GROWS(only_copies_stay)),
      GROWS(noise_is_survived),
      TEST_ALONE(GROWS(what_does_not_pay_is_built_anew)),
      TEST_ALONE(GROWS(builds_report_and_cancel)),
      GROWS(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
