/*
 * test_disk.c - DISK indexes: recall against exact answers for element types and metrics, on the
 * passages and questions of examples/data, with and without filters, by walk and by scan; copies;
 * equal bytes for any number of workers; no block read twice; beams; blocks kept in memory. Damage,
 * failing reads and lack of memory are in test_disk_damage.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/disktest.h"
#include "../tlib/thorough.h"
#include "base/hot.h"

enum { K = 10, REAL_ROWS = TEST_SIZE(3000, 800) };

struct built {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
  struct vdb_index *index;
};

/* Builds and opens over b->data. */
static void built_open(struct built *b) {
  vecdb_error err = {0};
  vdb_mem_init(&b->mem, NULL, 0);
  ix_sections_init(&b->sections);
  int rc = disk_build(&b->mem, &b->data, 2, &b->sections, &err);
  if (rc)
    print_error("%s\n", err.message);
  assert_int_equal(rc, VECDB_OK);
  assert_int_equal(b->mem.used, 0);
  assert_int_equal(disk_open(&b->mem, &b->data, &b->sections, &b->index, &err), VECDB_OK);
}

static void built_close(struct built *b) {
  b->index->ops->close(&b->mem, b->index);
  assert_int_equal(b->mem.used, 0);
  ix_sections_free(&b->sections);
  ix_data_free(&b->data);
}

/* Searches or scans, and holds the results against each other and the blocks read. */
static void built_search(struct built *b, const uint8_t *query, bool scan, struct vdb_search *s) {
  const struct vdb_disk *disk = (const struct vdb_disk *)b->index;
  vecdb_error err = {0};
  struct vdb_query_vec q = ix_prepare(&b->data, query);
  long before = atomic_load(&b->sections.reads);
  s->query = &q;
  s->mem = &b->mem;
  int (*run)(const struct vdb_index *, struct vdb_search *, vecdb_error *) =
      scan ? b->index->ops->scan : b->index->ops->search;
  assert_int_equal(run(b->index, s, &err), VECDB_OK);
  for (size_t i = 1; i < s->top.n; i++)
    assert_true(vdb_near_before(s->top.items[i - 1], s->top.items[i]));
  assert_true(s->reads <= disk->shape.n_blocks); /* none twice */
  assert_true(s->reads == (uint64_t)(atomic_load(&b->sections.reads) - before));
  free(q.data);
}

/* The share of results as near as the true ones. Keys must be the true ones, as rows are scored by
   their vectors. */
static double recall(struct built *b, struct vdb_search how, bool scan) {
  size_t good = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = how;
    const uint8_t *query = ix_query(&b->data, i);
    s.top = (struct vdb_topk){items, K, 0};
    built_search(b, query, scan, &s);
    double kth = ix_true_kth(&b->data, query, how.allow, K);
    assert_int_equal(s.top.n, K);
    for (size_t k = 0; k < K; k++) {
      double key = ix_true_key(&b->data, query, items[k].row);
      assert_true(fabs(key - (double)items[k].key) <= 1e-4 * (1 + fabs(key)));
      assert_true(!how.allow || vdb_bit_get(how.allow, items[k].row));
      good += key <= kth + 1e-5 * (1 + fabs(kth));
    }
  }
  return (double)good / (double)(b->data.n_queries * K);
}

static void expect_recall(struct built *b, struct vdb_search how, bool scan, double floor) {
  double got = recall(b, how, scan);
  if (got < floor)
    print_error("ef %u: recall %.3f\n", (unsigned)how.effort, got);
  assert_true(got >= floor);
}

static void recall_floors(void **state) {
  (void)state;
  static const struct {
    enum vdb_elem elem;
    int32_t metric;
    size_t dim;
  } cases[] = {{VDB_F32, VECDB_L2, 64},     {VDB_F32, VECDB_IP, 64},  {VDB_F32, VECDB_COSINE, 48},
               {VDB_F16, VECDB_L2, 64},     {VDB_F16, VECDB_IP, 34},  {VDB_BF16, VECDB_COSINE, 64},
               {VDB_F32, VECDB_COSINE, 1100}};
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    struct built b;
    ix_data_make(&b.data, cases[i].elem, cases[i].metric, TEST_SIZE(2000, 500), cases[i].dim, 1);
    built_open(&b);
    expect_recall(&b, (struct vdb_search){.effort = 100}, false, .95);
    expect_recall(&b, (struct vdb_search){.effort = 400}, false, .99);
    built_close(&b);
  }
}

static uint8_t *whole_file(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  *n = (size_t)ftell(f);
  rewind(f);
  uint8_t *bytes = malloc(*n);
  assert_int_equal(fread(bytes, 1, *n, f), *n);
  fclose(f);
  return bytes;
}

/* The first passages, in 8 bits with a scale each, and questions as floats. */
static void real_data(struct ix_data *d) {
  size_t n_bytes, q_bytes;
  uint8_t *passages = whole_file("examples/data/vectors.bin", &n_bytes);
  uint8_t *questions = whole_file("examples/data/questions.bin", &q_bytes);
  uint32_t n, dim, n_queries;
  memcpy(&n, passages, sizeof n);
  memcpy(&dim, passages + 4, sizeof dim);
  memcpy(&n_queries, questions, sizeof n_queries);
  const float *scales = (const float *)(const void *)(passages + 8);
  const int8_t *elements = (const int8_t *)(passages + 8 + n * sizeof *scales);
  assert_true(n >= REAL_ROWS);
  ix_data_alloc(d, VDB_F32, VECDB_COSINE, REAL_ROWS, dim);
  float *rows = (float *)(void *)d->rows;
  for (size_t i = 0; i < (size_t)REAL_ROWS * dim; i++)
    rows[i] = scales[i / dim] * (float)elements[i];
  d->n_queries = n_queries < d->n_queries ? n_queries : d->n_queries;
  memcpy(d->queries, questions + 8, d->n_queries * dim * sizeof(float));
  ix_data_norms(d);
  free(passages);
  free(questions);
}

static void recall_of_real_questions(void **state) {
  (void)state;
  struct built b;
  real_data(&b.data);
  built_open(&b);
  expect_recall(&b, (struct vdb_search){.effort = 40}, false, .9);
  expect_recall(&b, (struct vdb_search){.effort = 160}, false, .98);
  uint64_t *allow = calloc(vdb_bits_words(b.data.vecs.n), sizeof *allow);
  for (uint32_t row = 0; row < b.data.vecs.n; row += 3)
    vdb_bit_set(allow, row);
  expect_recall(&b, (struct vdb_search){.effort = 100, .allow = allow}, false, .95);
  expect_recall(&b, (struct vdb_search){.effort = 100, .allow = allow}, true, .95);
  free(allow);
  built_close(&b);
}

static bool accept_bits(void *arg, uint32_t row) { return vdb_bit_get((const uint64_t *)arg, row); }

static void filtered_recall(void **state) {
  (void)state;
  static const unsigned shares[] = {90, 60, 20, 5, 1};
  enum { N = TEST_SIZE(5000, 1200) };
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, N, 32, 2);
  built_open(&b);
  for (size_t i = 0; i < VDB_COUNT(shares); i++) {
    struct vdb_rng rng = {i};
    uint64_t allow[N / 64 + 1] = {0};
    for (size_t row = 0; row < N; row++)
      if (vdb_rng_below(&rng, 100) < shares[i])
        vdb_bit_set(allow, row);
    expect_recall(&b, (struct vdb_search){.effort = 80, .allow = allow}, false, .95);
    expect_recall(&b, (struct vdb_search){.effort = 80, .allow = allow}, true, .95);
    /* the same rows by callback, for which there is only the walk */
    for (size_t query = 0; query < 5; query++) {
      struct vdb_near late[K];
      struct vdb_search s = {.effort = 80, .accept = accept_bits, .accept_arg = allow};
      s.top = (struct vdb_topk){late, K, 0};
      built_search(&b, ix_query(&b.data, query), false, &s);
      assert_int_equal(s.top.n, K);
      for (size_t k = 0; k < K; k++)
        assert_true(vdb_bit_get(allow, late[k].row));
    }
  }
  built_close(&b);
}

/* All rows are found when as many are asked for, copies too, once each. */
static void every_row(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 2, 7, 40, 700};
  for (size_t i = 0; i < VDB_COUNT(sizes); i++) {
    for (size_t copies = 1; copies <= 100; copies += 33) {
      struct built b;
      size_t n = sizes[i];
      ix_data_make(&b.data, VDB_F32, VECDB_COSINE, n, 16, copies);
      built_open(&b);
      struct vdb_near *all = malloc(n * sizeof *all);
      uint64_t *found = calloc(vdb_bits_words(n), sizeof *found);
      struct vdb_search s = {.effort = 1, .top = {all, n, 0}};
      built_search(&b, ix_query(&b.data, 0), false, &s);
      assert_int_equal(s.top.n, n);
      for (size_t k = 0; k < n; k++)
        vdb_bit_set(found, all[k].row);
      assert_int_equal(vdb_bits_count(found, n), n);
      free(found);
      free(all);
      built_close(&b);
    }
  }
  struct built none;
  struct vdb_search s = {.effort = 5, .top = {NULL, 0, 0}};
  ix_data_make(&none.data, VDB_F32, VECDB_L2, 0, 16, 1);
  built_open(&none);
  built_search(&none, ix_query(&none.data, 0), false, &s);
  built_close(&none);
}

static void same_bytes_for_any_workers(void **state) {
  (void)state;
  struct ix_data d;
  struct ix_sections one, other;
  struct vdb_mem mem;
  vecdb_error err = {0};
  vdb_mem_init(&mem, NULL, 0);
  ix_data_make(&d, VDB_F16, VECDB_COSINE, TEST_SIZE(3000, 500), 24, 2);
  ix_sections_init(&one);
  ix_sections_init(&other);
  assert_int_equal(disk_build(&mem, &d, 1, &one, &err), VECDB_OK);
  for (unsigned workers = 2; workers <= 4; workers *= 2) {
    assert_int_equal(disk_build(&mem, &d, workers, &other, &err), VECDB_OK);
    assert_true(ix_sections_equal(&one, &other));
    ix_sections_free(&other);
  }
  ix_sections_free(&one);
  ix_data_free(&d);
}

static bool stop_now(void *arg) {
  ++*(int *)arg;
  return true;
}

/* A search that is stopped gives what it has, and waits for its reads. */
static void stops(void **state) {
  (void)state;
  struct built b;
  struct vdb_near items[K];
  int asked = 0;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 2000, 32, 1);
  built_open(&b);
  struct vdb_search s = {.effort = 500, .stop = stop_now, .stop_arg = &asked};
  s.top = (struct vdb_topk){items, K, 0};
  built_search(&b, ix_query(&b.data, 0), false, &s);
  assert_in_range(asked, 1, 2); /* the walk in memory that finds the start may ask too */
  assert_true(s.reads < 30);
  built_close(&b);
}

/* Blocks that all queries read with a beam; what they find is held against the truth. */
static uint64_t reads_of_beam(struct built *b, uint32_t beam) {
  uint64_t reads = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_near items[K];
    struct vdb_search s = {.effort = 100, .beam = beam, .top = {items, K, 0}};
    built_search(b, ix_query(&b->data, i), false, &s);
    reads += s.reads;
  }
  expect_recall(b, (struct vdb_search){.effort = 100, .beam = beam}, false, .95);
  return reads;
}

/* The narrowest beam knows most before it asks, so it reads the fewest blocks; none is wider than
   the buffers. */
static void beams(void **state) {
  (void)state;
  struct built b;
  ix_data_make(&b.data, VDB_F32, VECDB_L2, 3000, 96, 1);
  built_open(&b);
  uint64_t one = reads_of_beam(&b, 1), standard = reads_of_beam(&b, 0);
  uint64_t widest = reads_of_beam(&b, VDB_DISK_DEPTH);
  assert_true(one < standard && standard < widest);
  assert_true(reads_of_beam(&b, UINT32_MAX) == widest);
  built_close(&b);
}

/* The answers of all queries; how many blocks they read. */
static uint64_t answers(struct built *b, struct vdb_near (*items)[K]) {
  uint64_t reads = 0;
  for (size_t i = 0; i < b->data.n_queries; i++) {
    struct vdb_search s = {.effort = 60, .top = {items[i], K, 0}};
    built_search(b, ix_query(&b->data, i), i % 2, &s);
    assert_int_equal(s.top.n, K);
    reads += s.reads;
  }
  return reads;
}

/* With blocks kept in memory the answers are the same, and fewer are read: none when all are
   there. */
static void kept_blocks(void **state) {
  (void)state;
  struct built b;
  struct vdb_hot *hot;
  vecdb_error err;
  ix_data_make(&b.data, VDB_F32, VECDB_COSINE, TEST_SIZE(3000, 800), 48, 2);
  built_open(&b);
  struct vdb_near(*plain)[K] = calloc(b.data.n_queries, sizeof *plain);
  struct vdb_near(*kept)[K] = calloc(b.data.n_queries, sizeof *kept);
  uint64_t reads = answers(&b, plain);
  for (uint64_t bytes = 1 << 17; bytes <= 1 << 24; bytes <<= 7) {
    assert_int_equal(vdb_hot_new(&b.mem, bytes, &hot, &err), VECDB_OK);
    struct vdb_sect_source *source = ((struct vdb_disk *)b.index)->source;
    source->hot = hot;
    source->owner = vdb_hot_owner(hot);
    uint64_t first = answers(&b, kept);
    assert_memory_equal(kept, plain, b.data.n_queries * sizeof *kept);
    uint64_t second = answers(&b, kept);
    assert_memory_equal(kept, plain, b.data.n_queries * sizeof *kept);
    assert_true(first < reads && second < first);
    assert_true(bytes < 1 << 24 || second == 0);
    source->hot = NULL;
    vdb_hot_free(hot);
  }
  free(plain);
  free(kept);
  built_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(recall_floors),
      cmocka_unit_test(recall_of_real_questions),
      cmocka_unit_test(filtered_recall),
      cmocka_unit_test(every_row),
      cmocka_unit_test(same_bytes_for_any_workers),
      cmocka_unit_test(stops),
      cmocka_unit_test(beams),
      cmocka_unit_test(kept_blocks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
