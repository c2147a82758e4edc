/*
 * test_disk_damage.c - DISK indexes whose sections were changed, whose reads fail, and memory that
 * runs out: an error code or sound results, never wrong rows, foreign memory (run under ASan) or a
 * search without end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/disktest.h"
#include "base/sum.h"

enum { N = 90, DIM = 12, K = 5 };

struct whole {
  struct ix_data data;
  struct ix_sections sections;
  struct vdb_mem mem;
};

static void whole_make(struct whole *w, int32_t metric, size_t dim) {
  vecdb_error err = {0};
  vdb_mem_init(&w->mem, NULL, 0);
  ix_data_make(&w->data, VDB_F32, metric, N, dim, 2);
  ix_sections_init(&w->sections);
  assert_int_equal(disk_build(&w->mem, &w->data, 1, &w->sections, &err), VECDB_OK);
}

static void whole_free(struct whole *w) {
  assert_int_equal(w->mem.used, 0);
  ix_sections_free(&w->sections);
  ix_data_free(&w->data);
}

static bool is_damage(int rc) { return rc == VECDB_ERR_CORRUPT || rc == VECDB_ERR_NEWER_FORMAT; }

/* One search; its keys are of the rows it names when it succeeds, `true_keys` said. */
static int try_search(struct whole *w, const struct vdb_index *index, size_t i, bool true_keys) {
  vecdb_error err = {0};
  uint64_t some[2] = {0x1111111111111111, 0x1};
  struct vdb_query_vec q = ix_prepare(&w->data, ix_query(&w->data, i));
  struct vdb_near items[N];
  struct vdb_search s = {.mem = &w->mem, .query = &q, .effort = i % 2 ? N : 3};
  s.top = (struct vdb_topk){items, i % 2 ? N : K, 0};
  s.allow = i % 3 == 1 ? some : NULL;
  int rc = i == 4 ? index->ops->scan(index, (s.allow = some, &s), &err)
                  : index->ops->search(index, &s, &err);
  assert_true(rc == VECDB_OK || s.top.n == 0);
  for (size_t k = 0; k < s.top.n; k++) {
    assert_in_range(items[k].row, 0, N - 1);
    double key = ix_true_key(&w->data, ix_query(&w->data, i), items[k].row);
    assert_true(!true_keys || fabs(key - (double)items[k].key) <= 1e-4 * (1 + fabs(key)));
  }
  free(q.data);
  return rc;
}

/* Opens and, when that works, searches in each way; the first error. */
static int try_sections(struct whole *w, bool true_keys) {
  vecdb_error err = {0};
  struct vdb_index *index = (struct vdb_index *)w;
  int rc = disk_open(&w->mem, &w->data, &w->sections, &index, &err);
  if (rc) {
    assert_true(is_damage(rc));
    assert_null(index);
    return rc;
  }
  for (size_t i = 0; i < 6; i++) {
    int one = try_search(w, index, i, true_keys);
    assert_true(one == VECDB_OK || is_damage(one));
    rc = rc ? rc : one;
  }
  index->ops->close(&w->mem, index);
  return rc;
}

/* Whatever is changed in a block is noticed. */
static void flipped_bits(void **state) {
  (void)state;
  for (int metric = VECDB_L2; metric <= VECDB_COSINE; metric++) {
    struct whole w;
    whole_make(&w, metric, DIM);
    assert_int_equal(try_sections(&w, true), VECDB_OK);
    for (size_t i = 0; i < w.sections.n; i++) {
      struct ix_section *s = &w.sections.items[i];
      for (size_t at = 0; at < s->n; at += 1 + s->n / 300) {
        uint8_t was = s->data[at];
        s->data[at] = (uint8_t)(was ^ 1 << at % 8);
        /* the table of copies names rows, and is verified by who finds the section */
        int rc = try_sections(&w, s->tag == DISK_BLOCKS);
        assert_true(s->tag != DISK_BLOCKS || rc == VECDB_ERR_CORRUPT);
        s->data[at] = was;
      }
    }
    whole_free(&w);
  }
}

static void mend(uint8_t *block, uint64_t number) {
  uint64_t sum = vdb_hash64_seed(block + sizeof sum, VECDB_BLOCK - sizeof sum, number);
  memcpy(block, &sum, sizeof sum);
}

/* Words of blocks and places replaced, under sound checksums. */
static void random_words(void **state) {
  (void)state;
  struct vdb_rng rng = {5};
  struct whole w;
  whole_make(&w, VECDB_L2, DIM);
  for (int round = 0; round < 3000; round++) {
    bool blocks = vdb_rng_below(&rng, 4) > 0;
    struct ix_section *s = disk_section(&w.sections, blocks ? DISK_BLOCKS : DISK_WHERE);
    uint8_t *was = malloc(s->n);
    memcpy(was, s->data, s->n);
    size_t start = blocks ? vdb_rng_below(&rng, (uint32_t)(s->n / VECDB_BLOCK)) * VECDB_BLOCK : 0;
    size_t words = blocks ? 120 : s->n / 4;
    for (uint32_t n = 1 + vdb_rng_below(&rng, 6); n > 0; n--) {
      uint32_t value = vdb_rng_below(&rng, 3) ? vdb_rng_below(&rng, N + 2) : UINT32_MAX;
      memcpy(s->data + start + vdb_rng_below(&rng, (uint32_t)words) * 4, &value, sizeof value);
    }
    if (blocks)
      mend(s->data + start, start / VECDB_BLOCK);
    try_sections(&w, false);
    memcpy(s->data, was, s->n);
    free(was);
  }
  whole_free(&w);
}

/* A block in the place of another has a sound checksum of its own. */
static void swapped_blocks(void **state) {
  (void)state;
  struct whole w;
  uint8_t block[VECDB_BLOCK];
  whole_make(&w, VECDB_L2, DIM);
  struct ix_section *s = disk_section(&w.sections, DISK_BLOCKS);
  assert_true(s->n >= 2 * VECDB_BLOCK);
  memcpy(block, s->data, VECDB_BLOCK);
  memcpy(s->data, s->data + VECDB_BLOCK, VECDB_BLOCK);
  memcpy(s->data + VECDB_BLOCK, block, VECDB_BLOCK);
  assert_int_equal(try_sections(&w, true), VECDB_ERR_CORRUPT);
  whole_free(&w);
}

static void other_lengths(void **state) {
  (void)state;
  struct whole w;
  whole_make(&w, VECDB_COSINE, DIM);
  for (size_t i = 0; i < w.sections.n; i++) {
    struct ix_section *s = &w.sections.items[i];
    uint8_t *data = s->data;
    size_t n = s->n;
    uint8_t extra[4] = {0};
    for (size_t length = 0; length <= n + sizeof extra; length += 1 + n / 80) {
      if (length == n)
        continue;
      s->data = NULL;
      ix_section_set(s, data, vdb_min_size(length, n), extra, length > n ? length - n : 0);
      assert_int_equal(try_sections(&w, true), VECDB_ERR_CORRUPT);
      free(s->data);
    }
    s->data = data;
    s->n = n;
    uint32_t tag = s->tag;
    s->tag = 0;
    assert_int_equal(try_sections(&w, true), VECDB_ERR_CORRUPT);
    s->tag = tag;
  }
  whole_free(&w);
}

/* Each read in turn fails, and all after it: the search says so, and the index works on when the
   disk does. */
static void reads_fail(void **state) {
  (void)state;
  struct whole w;
  struct vdb_index *index;
  vecdb_error err = {0};
  whole_make(&w, VECDB_L2, 200);
  assert_int_equal(disk_open(&w.mem, &w.data, &w.sections, &index, &err), VECDB_OK);
  for (size_t i = 0; i < 6; i++) {
    long before = atomic_load(&w.sections.reads);
    assert_int_equal(try_search(&w, index, i, true), VECDB_OK);
    long reads = atomic_load(&w.sections.reads) - before;
    for (long left = 0; left <= reads; left++) {
      atomic_store(&w.sections.reads_left, left);
      assert_int_equal(try_search(&w, index, i, true), left < reads ? VECDB_ERR_IO : VECDB_OK);
      atomic_store(&w.sections.reads_left, -1);
      assert_int_equal(try_search(&w, index, i, true), VECDB_OK);
    }
  }
  index->ops->close(&w.mem, index);
  whole_free(&w);
}

/* Builds with ever more memory until it works. */
static void build_short_of_memory(const struct ix_data *d, struct ix_sections *sections) {
  vecdb_error err = {0};
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    ix_memory_init(&m, left);
    rc = disk_build(&m.mem, d, 2, sections, &err);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
    if (rc) {
      sections->n = VDB_COUNT(sections->items) - 1; /* with the section under way */
      ix_sections_free(sections);
    }
  }
}

static void memory_runs_out(void **state) {
  (void)state;
  struct ix_data d;
  struct ix_sections sections;
  vecdb_error err = {0};
  ix_data_make(&d, VDB_F16, VECDB_L2, N, DIM, 2);
  ix_sections_init(&sections);
  build_short_of_memory(&d, &sections);
  struct vdb_query_vec q = ix_prepare(&d, ix_query(&d, 0));
  uint64_t all[2] = {~(uint64_t)0, ~(uint64_t)0};
  int rc = VECDB_ERR_NO_MEMORY;
  for (long left = 0; rc != VECDB_OK; left++) {
    struct ix_memory m;
    struct vdb_index *index;
    struct vdb_near items[K];
    struct vdb_search s = {.query = &q, .effort = 20, .allow = all, .top = {items, K, 0}};
    ix_memory_init(&m, left);
    s.mem = &m.mem;
    rc = disk_open(&m.mem, &d, &sections, &index, &err);
    if (rc == VECDB_OK) {
      rc = index->ops->search(index, &s, &err);
      assert_int_equal(s.top.n, rc ? 0 : K);
      s.top.n = 0;
      rc = rc ? rc : index->ops->scan(index, &s, &err);
      m.left = -1;
      s.top.n = 0; /* a failed search leaves the index as good as new */
      assert_int_equal(index->ops->search(index, &s, &err), VECDB_OK);
      assert_int_equal(s.top.n, K);
      index->ops->close(&m.mem, index);
    }
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(m.mem.used, 0);
  }
  free(q.data);
  ix_sections_free(&sections);
  ix_data_free(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(flipped_bits),   cmocka_unit_test(random_words),
      cmocka_unit_test(swapped_blocks), cmocka_unit_test(other_lengths),
      cmocka_unit_test(reads_fail),     cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
