/*
 * test_coded.c - HNSW_PQ, and the BIN_* types over binary rows and over others: recall against
 * exact answers for each element type and metric, on made and on real data, with and without
 * filters; ways to score again; equal bytes for any number of workers; tiny sizes; progress,
 * cancelling and stopping. Damage and lack of memory are in test_coded_damage.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "index/bin_ivf.h"

#include "../tlib/ixreal.h"
#include "../tlib/thorough.h"

#define P(...) ((vecdb_index_params){.size = sizeof(vecdb_index_params), __VA_ARGS__})

enum { K = 10 };

/* Of ways to score again, each type and metric sees every third where all would take too long, */
static uint32_t part(void) { return (uint32_t)test_size(2, 6); }
/* and some tests see every second form. */
static unsigned turn(void) { return (unsigned)test_size(1, 3); }

struct built {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  struct vdb_index *index;
};

static void built_open(struct built *b, vecdb_index_params params) {
  vecdb_error err = {0};
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  int rc = ix_build_with(&b->mem, &b->data, 2, params, &b->sections, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(b->mem.used, 0);
  rc = ix_open_type(&b->mem, &b->data, params.type, &b->sections, &b->index, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
}

/* The index goes, the data stay, for the next form. */
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
static void built_search(const struct built *b, size_t query, struct vdb_search *s) {
  vecdb_error err = {0};
  struct vdb_query_vec q = ix_prepare(&b->data, ix_query(&b->data, query));
  s->query = &q;
  s->mem = (struct vdb_mem *)(uintptr_t)&b->mem;
  assert_int_equal(b->index->ops->search(b->index, s, &err), VECDB_OK);
  for (size_t i = 0; i < s->top.n; i++) {
    uint32_t row = s->top.items[i].row;
    assert_true(row < b->data.vecs.n && (!s->allow || vdb_bit_get(s->allow, row)));
    assert_true(!s->accept || s->accept(s->accept_arg, row));
    assert_true(i == 0 || vdb_near_before(s->top.items[i - 1], s->top.items[i]));
    for (size_t k = 0; k < i; k++)
      assert_true(s->top.items[k].row != row);
  }
  free(q.data);
}

/* The share of results as near as the true ones; keys must be within `slack` of the true ones. */
static double recall(const struct built *b, const struct ix_truth *truth, struct vdb_search how,
                     double slack) {
  size_t good = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    const uint8_t *query = ix_query(&b->data, i);
    struct vdb_search s = how;
    s.top = (struct vdb_topk){items, K, 0};
    built_search(b, i, &s);
    assert_int_equal(s.top.n, K);
    double kth = truth->kth[i];
    for (size_t k = 0; k < K; k++) {
      double key = ix_true_key(&b->data, query, items[k].row);
      if (fabs(key - (double)items[k].key) > slack * (1 + fabs(key)))
        print_error("key %g, of the row %g\n", (double)items[k].key, key);
      assert_true(fabs(key - (double)items[k].key) <= slack * (1 + fabs(key)));
      good += key <= kth + 1e-5 * (1 + fabs(kth));
    }
  }
  return (double)good / (double)(b->data.n_queries * K);
}

static void expect(const struct built *b, const struct ix_truth *truth, uint32_t effort,
                   double floor, const char *what, size_t number) {
  double got = recall(b, truth, (struct vdb_search){.effort = effort}, 1e-4);
  if (got < floor)
    print_error("%s %zu, effort %u: recall %.3f\n", what, number, (unsigned)effort, got);
  assert_true(got >= floor);
}

/* The types and the forms that they come in. */
static const vecdb_index_params forms[] = {
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ},
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ, .pq_m = 16, .nbits = 8,
     .rotation = VECDB_ROTATION_OPQ},
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ, .nbits = 5,
     .rotation = VECDB_ROTATION_NONE, .refine = VECDB_REFINE_F32},
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_HNSW},
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_FLAT},
    {.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_IVF},
};

/* Effort of a form that finds most. */
static uint32_t effort_of(int32_t type) { return type == VECDB_INDEX_BIN_IVF ? 60 : 200; }

static void recall_floors(void **state) {
  (void)state;
  size_t each = test_size(2, 6); /* each form on four types of data, or on one or two */
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
  } cases[] = {{VDB_F32, VECDB_L2}, {VDB_F32, VECDB_IP},  {VDB_F32, VECDB_COSINE},
               {VDB_F16, VECDB_IP}, {VDB_BF16, VECDB_L2}, {VDB_I8, VECDB_COSINE},
               {VDB_I8, VECDB_L2},  {VDB_I8, VECDB_IP}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct built b;
    ix_data_make(&b.data, cases[i].elem, cases[i].metric, test_size(1500, 320), 64, 1);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t f = i % each; f < VDB_COUNT(forms); f += each) {
      built_open(&b, forms[f]);
      expect(&b, &truth, effort_of(forms[f].type), .95, "form", f);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

/* What real questions find among real passages, with the efforts for it. */
static void real_data(void **state) {
  (void)state;
  static const struct {
    vecdb_index_params params;
    struct {
      uint32_t effort;
      double floor;
    } want[2];
  } cases[] = {
      {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ}, {{64, .93}, {200, .98}}},
      {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_HNSW_PQ, .pq_m = 48, .nbits = 8},
       {{200, .97}}},
      {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_HNSW}, {{64, .90}, {200, .97}}},
      {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_FLAT}, {{200, .97}}},
      {{.size = sizeof(vecdb_index_params), .type = VECDB_INDEX_BIN_IVF}, {{64, .95}}},
  };
  struct built b;
  ix_data_real(&b.data, VDB_F32, VECDB_IP, (uint32_t)test_size(3000, 320));
  struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
  for (size_t i = 0; i < VDB_COUNT(cases); i += turn()) {
    built_open(&b, cases[i].params);
    for (size_t w = 0; w < VDB_COUNT(cases[i].want) && cases[i].want[w].effort; w++)
      expect(&b, &truth, cases[i].want[w].effort, cases[i].want[w].floor, "real data, case", i);
    built_drop(&b);
  }
  ix_data_free(&b.data);
}

/* ---- Binary rows ----------------------------------------------------------------------------- */

/* The signs of real passages. */
static void binary_rows(void **state) {
  (void)state;
  static const int32_t metrics[] = {VECDB_HAMMING, VECDB_JACCARD};
  for (size_t i = 0; i < 2; i++) {
    struct built b;
    uint32_t n = (uint32_t)test_size(5000, 500);
    ix_data_real(&b.data, VDB_BITS, metrics[i % 2], n);
    built_open(&b, P(.type = VECDB_INDEX_BIN_IVF));
    struct vdb_index_traits traits;
    b.index->ops->traits(b.index, &traits);
    assert_true(n != 5000 || traits.lists == 280);
    assert_int_equal(traits.entries, n);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    expect(&b, &truth, 24, .75, "binary, case", i);
    expect(&b, &truth, 80, .9, "binary, case", i);
    expect(&b, &truth, 160, .95, "binary, case", i);
    expect(&b, &truth, UINT32_MAX, 1, "binary, case", i);
    built_close(&b);
  }
}

static void add_section(struct built *b, uint32_t tag, const void *data, size_t n) {
  struct vdb_sect_writer *out = &b->sections.writer;
  vecdb_error err;
  assert_int_equal(out->begin(out, tag, 3, &err), VECDB_OK);
  assert_int_equal(out->append(out, data, n, &err), VECDB_OK);
  assert_int_equal(out->end(out, &err), VECDB_OK);
}

/* An index as format 1 had it: lists of every seventh row, rows and centroids as they are. */
static void format_1(struct built *b) {
  enum { LISTS = 7 };
  const struct vdb_vecs *v = &b->data.vecs;
  struct vdb_bin_ivf_header header = {1, v->n, v->dim, v->metric, LISTS, 0};
  uint32_t starts[LISTS + 1], slot = 0, *rows = malloc(v->n * sizeof *rows);
  size_t bytes = v->dim / 8;
  uint8_t *bits = malloc(v->n * bytes), centres[LISTS * 64] = {0};
  vecdb_error err;
  for (uint32_t list = 0; list < LISTS; list++) {
    starts[list] = slot;
    memcpy(centres + list * bytes, v->data + list * v->stride, bytes);
    for (uint32_t row = list; row < v->n; row += LISTS, slot++) {
      rows[slot] = row;
      memcpy(bits + slot * bytes, v->data + row * v->stride, bytes);
    }
  }
  starts[LISTS] = slot;
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  add_section(b, VDB_BIN_IVF_TAG, &header, sizeof header);
  add_section(b, VDB_BIN_IVF_TAG_CENTRES, centres, LISTS * bytes);
  add_section(b, VDB_BIN_IVF_TAG_STARTS, starts, sizeof starts);
  add_section(b, VDB_BIN_IVF_TAG_ROWS, rows, v->n * sizeof *rows);
  add_section(b, VDB_BIN_IVF_TAG_BITS, bits, v->n * bytes);
  free(rows);
  free(bits);
  assert_int_equal(
      ix_open_type(&b->mem, &b->data, VECDB_INDEX_BIN_IVF, &b->sections, &b->index, &err), 0);
}

static void older_format(void **state) {
  static const int32_t metrics[] = {VECDB_HAMMING, VECDB_JACCARD};
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    struct built b;
    ix_data_make(&b.data, VDB_BITS, metrics[i], 500, 72, 2);
    format_1(&b);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    expect(&b, &truth, UINT32_MAX, 1, "format 1, metric", i);
    uint64_t allow[500 / 64 + 1];
    memset(allow, 0x55, sizeof allow);
    truth = ix_truth_of(&b.data, allow, K);
    assert_true(recall(&b, &truth, (struct vdb_search){.effort = 7, .allow = allow}, 1e-4) == 1);
    built_close(&b);
  }
}

/* Lists of fewer rows than a block, of one, of none, and of several blocks; all of them are looked
   through, so that answers are exact. */
static void binary_lists(void **state) {
  static const int32_t metrics[] = {VECDB_HAMMING, VECDB_JACCARD};
  static const uint32_t lists[] = {1, 3, 40, 62};
  (void)state;
  for (size_t i = 0; i < 2 * VDB_COUNT(lists); i++) {
    struct built b;
    ix_data_make(&b.data, VDB_BITS, metrics[i % 2], 500, 8 + 40 * i, 1 + i % 3);
    built_open(&b, P(.type = VECDB_INDEX_BIN_IVF, .nlist = lists[i / 2]));
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    expect(&b, &truth, UINT32_MAX, 1, "lists, case", i);
    built_close(&b);
  }
}

/* ---- Filters --------------------------------------------------------------------------------- */

static bool accept_bits(void *arg, uint32_t row) { return vdb_bit_get((const uint64_t *)arg, row); }

enum { FILTER_ROWS = TEST_SIZE(3000, 400), FILTERS = 3 };

/* Rows that may be found, and what is nearest among them. */
struct filtered {
  uint32_t percent;
  uint64_t allow[FILTER_ROWS / 64 + 1];
  struct ix_truth truth;
};

static void filtered_make(struct filtered *f, const struct ix_data *d, uint32_t percent) {
  struct vdb_rng rng = {percent};
  *f = (struct filtered){.percent = percent};
  for (size_t row = 0; row < FILTER_ROWS; row++)
    if (vdb_rng_below(&rng, 100) < percent)
      vdb_bit_set(f->allow, row);
  f->truth = ix_truth_of(d, f->allow, K);
}

static void filtered_find(const struct built *b, uint32_t effort, struct filtered *f,
                          double floor) {
  struct vdb_search by_bitmap = {.effort = effort, .allow = f->allow};
  struct vdb_search by_callback = {.effort = effort, .accept = accept_bits, .accept_arg = f->allow};
  double one = recall(b, &f->truth, by_bitmap, 1e-4);
  double other = recall(b, &f->truth, by_callback, 1e-4);
  if (one < floor || other < floor)
    print_error("type %s, %u %% allowed: recall %.3f and %.3f\n", b->index->ops->name,
                (unsigned)f->percent, one, other);
  assert_true(one >= floor && other >= floor);
}

static void filters_over(enum vdb_elem elem, int32_t metric, const vecdb_index_params *params,
                         size_t n) {
  struct filtered filters[FILTERS];
  struct built b;
  ix_data_make(&b.data, elem, metric, FILTER_ROWS, 64, 1);
  for (uint32_t i = 0; i < FILTERS; i++)
    filtered_make(&filters[i], &b.data, 10 + 40 * i);
  for (size_t f = 0; f < n; f += turn()) {
    built_open(&b, params[f]);
    for (size_t i = 0; i < FILTERS; i++)
      filtered_find(&b, effort_of(params[f].type), &filters[i], .9);
    built_drop(&b);
  }
  ix_data_free(&b.data);
}

static void filters(void **state) {
  (void)state;
  vecdb_index_params bits = P(.type = VECDB_INDEX_BIN_IVF);
  filters_over(VDB_F32, VECDB_L2, forms, VDB_COUNT(forms));
  filters_over(VDB_BITS, VECDB_HAMMING, &bits, 1);
}

/* Codes alone, of the rows that a bitmap allows. */
static void scans(void **state) {
  (void)state;
  enum { N = TEST_SIZE(1500, 400), FIRST = N - 100 };
  for (size_t f = 1 % turn(); f < 5; f += turn()) {
    struct built b;
    struct vdb_near items[K];
    vecdb_error err = {0};
    uint64_t allow[N / 64 + 1] = {0};
    ix_data_make(&b.data, VDB_F32, VECDB_COSINE, N, 64, 1);
    built_open(&b, forms[f]);
    struct vdb_query_vec q = ix_prepare(&b.data, ix_query(&b.data, 0));
    for (uint32_t row = FIRST; row < FIRST + 5; row++)
      vdb_bit_set(allow, row);
    struct vdb_search s = {.mem = &b.mem, .query = &q, .effort = 100, .allow = allow};
    s.top = (struct vdb_topk){items, K, 0};
    assert_int_equal(b.index->ops->scan(b.index, &s, &err), VECDB_OK);
    assert_int_equal(s.top.n, 5);
    for (size_t k = 0; k < 5; k++)
      assert_in_range(items[k].row, FIRST, FIRST + 4);
    free(q.data);
    built_close(&b);
  }
}

/* ---- Ways to score again --------------------------------------------------------------------- */

static void refines(void **state) {
  (void)state;
  static const int32_t types[] = {VECDB_INDEX_HNSW_PQ, VECDB_INDEX_BIN_HNSW, VECDB_INDEX_BIN_FLAT};
  static const int32_t metrics[] = {VECDB_L2, VECDB_IP, VECDB_COSINE};
  static const double slack[] = {
      [VECDB_REFINE_NONE] = 2, [VECDB_REFINE_F32] = 1e-5, [VECDB_REFINE_F16] = 2e-3,
      [VECDB_REFINE_I8] = 2e-2};
  for (size_t m = 0; m < VDB_COUNT(metrics); m++) {
    struct built b;
    ix_data_make(&b.data, VDB_F32, metrics[m], test_size(2000, 400), 64, 1);
    struct ix_truth truth = ix_truth_of(&b.data, NULL, K);
    for (size_t i = 0; i < VDB_COUNT(types) * 4; i++) {
      int32_t type = types[i / 4], refine = VECDB_REFINE_NONE + (int32_t)(i % 4);
      bool can = type != VECDB_INDEX_BIN_FLAT || refine <= VECDB_REFINE_F32;
      if (!can || (m + i / 4 + i % 4) % part())
        continue;
      built_open(&b, P(.type = type, .refine = refine));
      double got = recall(&b, &truth, (struct vdb_search){.effort = 200}, slack[refine]);
      double floor = refine == VECDB_REFINE_NONE ? .3 : refine == VECDB_REFINE_I8 ? .85 : .95;
      if (got < floor)
        print_error("metric %zu, case %zu, refine %d: recall %.3f\n", m, i, (int)refine, got);
      assert_true(got >= floor);
      built_drop(&b);
    }
    ix_data_free(&b.data);
  }
}

static void refused(void **state) {
  (void)state;
  static const struct {
    vecdb_index_params params;
    enum vdb_elem elem;
  } cases[] = {
      {{.type = VECDB_INDEX_HNSW_PQ, .pq_m = 7}, VDB_F32},
      {{.type = VECDB_INDEX_HNSW_PQ, .pq_m = 65}, VDB_F32},
      {{.type = VECDB_INDEX_HNSW_PQ, .nbits = 9}, VDB_F32},
      {{.type = VECDB_INDEX_HNSW_PQ, .m = 3}, VDB_F32},
      {{.type = VECDB_INDEX_HNSW_PQ, .nlist = 3}, VDB_F32},
      {{.type = VECDB_INDEX_HNSW_PQ}, VDB_BITS},
      {{.type = VECDB_INDEX_BIN_HNSW, .nbits = 1}, VDB_F32},
      {{.type = VECDB_INDEX_BIN_HNSW, .rotation = VECDB_ROTATION_OPQ}, VDB_F32},
      {{.type = VECDB_INDEX_BIN_FLAT, .m = 16}, VDB_F32},
      {{.type = VECDB_INDEX_BIN_FLAT, .refine = VECDB_REFINE_F16}, VDB_F32},
      {{.type = VECDB_INDEX_BIN_FLAT, .refine = VECDB_REFINE_I8}, VDB_F32},
      {{.type = VECDB_INDEX_BIN_IVF, .nlist = 4, .nprobe = 5}, VDB_BITS},
      {{.type = VECDB_INDEX_BIN_IVF, .refine = VECDB_REFINE_NONE}, VDB_BITS},
  };
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct vdb_index_field field = {"v", cases[i].elem, 64,
                                    cases[i].elem == VDB_BITS ? VECDB_HAMMING : VECDB_L2};
    vecdb_index_params p = cases[i].params;
    vecdb_error err = {0};
    assert_int_equal(vdb_index_params_fill(&p, &field, &err), VECDB_ERR_INDEX_PARAM);
    assert_string_equal(err.field, "v");
  }
}

/* ---- Bytes, sizes, long calls ---------------------------------------------------------------- */

/* Each form, and one over binary rows. */
static vecdb_index_params form_of(size_t f, enum vdb_elem *elem, int32_t *metric) {
  bool bits = f == VDB_COUNT(forms);
  *elem = bits ? VDB_BITS : VDB_F32;
  *metric = bits ? VECDB_JACCARD : VECDB_COSINE;
  return bits ? P(.type = VECDB_INDEX_BIN_IVF) : forms[f];
}

static void same_bytes_for_any_workers(void **state) {
  (void)state;
  for (size_t f = 0; f <= VDB_COUNT(forms); f++) {
    struct ix_data d;
    struct ix_sections one, other;
    struct vdb_mem mem;
    vecdb_error err = {0};
    enum vdb_elem elem;
    int32_t metric;
    vecdb_index_params params = form_of(f, &elem, &metric);
    vdb_mem_init(&mem, NULL, 0);
    ix_data_make(&d, elem, metric, test_size(1500, 320), 32, 2);
    ix_sections_init(&one);
    ix_sections_init(&other);
    assert_int_equal(ix_build_with(&mem, &d, 1, params, &one, &err), VECDB_OK);
    for (unsigned workers = 2; workers <= 4; workers += turn()) {
      assert_int_equal(ix_build_with(&mem, &d, workers, params, &other, &err), VECDB_OK);
      assert_true(ix_sections_equal(&one, &other));
      ix_sections_free(&other);
    }
    ix_sections_free(&one);
    ix_data_free(&d);
  }
}

/* Also fewer rows than a sub-vector has centroids. */
static void tiny_sizes(void **state) {
  (void)state;
  for (size_t f = 0; f <= VDB_COUNT(forms); f++)
    for (size_t n = 0; n < 60; n += n < 20 ? 1 : 7) {
      struct built b;
      enum vdb_elem elem;
      int32_t metric;
      vecdb_index_params params = form_of(f, &elem, &metric);
      ix_data_make(&b.data, elem, metric, n, 16, 1);
      built_open(&b, params);
      for (size_t query = 0; query < 3; query++) {
        struct vdb_near items[64];
        uint64_t allow[1] = {5 & (((uint64_t)1 << n) - 1)};
        struct vdb_search s = {.effort = 64, .top = {items, 64, 0}};
        built_search(&b, query, &s);
        assert_int_equal(s.top.n, n);
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

static bool stop_second(void *arg) { return ++*(int *)arg >= 2; }

static void searches_stop(void **state) {
  (void)state;
  enum { N = TEST_SIZE(4000, 2500) };
  for (size_t f = 3; f <= VDB_COUNT(forms); f += turn()) {
    struct built b;
    enum vdb_elem elem;
    int32_t metric;
    vecdb_index_params params = form_of(f, &elem, &metric);
    ix_data_make(&b.data, elem, metric, N, 64, 1);
    built_open(&b, params);
    struct vdb_near items[K];
    int polls = 0;
    struct vdb_search s = {.effort = N, .stop = stop_second, .stop_arg = &polls};
    s.top = (struct vdb_topk){items, K, 0};
    built_search(&b, 0, &s);
    assert_int_equal(polls, 2);
    assert_true(s.distances < N);
    built_close(&b);
  }
}

struct progress {
  uint64_t done;
  uint64_t percent; /* from which it cancels */
};

static bool note_progress(void *arg, uint64_t done, uint64_t total) {
  struct progress *p = arg;
  assert_true(done >= p->done && done <= total);
  p->done = done;
  return done * 100 >= p->percent * total;
}

static void builds_cancel_and_fail(void **state) {
  (void)state;
  static const uint64_t percents[] = {101, 0, 50, 100};
  struct vdb_par par = vdb_par_serial();
  for (size_t f = 3; f <= VDB_COUNT(forms); f++)
    for (size_t i = 0; i <= VDB_COUNT(percents); i++) {
      struct ix_data d;
      struct vdb_mem mem;
      struct ix_sections out;
      vecdb_error err = {0};
      enum vdb_elem elem;
      int32_t metric;
      vecdb_index_params params = form_of(f, &elem, &metric);
      bool fails = i == VDB_COUNT(percents);
      struct progress p = {0, percents[fails ? 0 : i]};
      vdb_mem_init(&mem, NULL, 0);
      ix_data_make(&d, elem, metric, 1000, 16, 1);
      ix_sections_init(&out);
      out.fail = fails;
      struct vdb_index_field field = {"v", elem, 16, metric};
      assert_int_equal(vdb_index_params_fill(&params, &field, &err), VECDB_OK);
      vdb_index_params_settle(&params, 1000);
      struct vdb_index_build b = {.mem = &mem, .vecs = &d.vecs, .par = &par, .seed = 1,
                                  .params = params, .kind = vdb_index_kind(params.type),
                                  .progress = note_progress, .progress_arg = &p,
                                  .out = &out.writer};
      int rc = vdb_index_ops_of(params.type, elem)->build(&b, &err);
      assert_int_equal(rc, fails ? VECDB_ERR_IO : i ? VECDB_ERR_CANCELLED : VECDB_OK);
      assert_int_equal(mem.used, 0);
      if (fails)
        out.n = VDB_COUNT(out.items) - 1; /* with the section under way */
      ix_sections_free(&out);
      ix_data_free(&d);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recall_floors),
      cmocka_unit_test(real_data),
      cmocka_unit_test(binary_rows), cmocka_unit_test(binary_lists),
      cmocka_unit_test(older_format),
      cmocka_unit_test(filters),
      cmocka_unit_test(scans),
      cmocka_unit_test(refines),
      cmocka_unit_test(refused),
      cmocka_unit_test(same_bytes_for_any_workers),
      cmocka_unit_test(tiny_sizes),
      cmocka_unit_test(searches_stop),
      cmocka_unit_test(builds_cancel_and_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
