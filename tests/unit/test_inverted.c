/*
 * test_inverted.c - inverted indexes of sparse columns: against a scan of the rows, at sizes around
 * the windows of a search, with few and many allowed rows; damaged sections, which must be refused
 * or searched without touching foreign memory (run under ASan); lack of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sparse/inverted.h"
#include "sparse/inverted_format.h"
#include "tlib/ixtest.h"
#include "tlib/memfault.h"

enum { MOST = 8, K = 40 };

/* Rows one after the other, in blocks of their exact sizes. */
struct rows {
  vecdb_sparse_pair *pairs;
  uint64_t *offsets;
  uint32_t n;
  struct vdb_column column;
};

static size_t random_pairs(struct vdb_rng *rng, uint32_t indices, vecdb_sparse_pair *out) {
  size_t n = 0;
  uint32_t index = (uint32_t)vdb_rng_below(rng, indices);
  for (size_t want = vdb_rng_below(rng, MOST + 1); n < want; n++) {
    float value = (float)(int)vdb_rng_below(rng, 9) - 3;
    out[n] = (vecdb_sparse_pair){index, value};
    index += 1 + (uint32_t)vdb_rng_below(rng, indices);
  }
  return n;
}

static void rows_make(struct rows *r, uint32_t n, uint32_t indices, uint64_t seed) {
  struct vdb_rng rng = {seed};
  vecdb_sparse_pair *all = malloc((size_t)n * MOST * sizeof *all + 1);
  r->offsets = malloc((n + (size_t)1) * sizeof *r->offsets);
  r->offsets[0] = 0;
  r->n = n;
  size_t total = 0;
  for (uint32_t i = 0; i < n; i++) {
    total += random_pairs(&rng, indices, all + total);
    r->offsets[i + 1] = total * sizeof *all;
  }
  r->pairs = malloc(total * sizeof *all + !total);
  memcpy(r->pairs, all, total * sizeof *all);
  free(all);
  r->column = (struct vdb_column){.data = (const uint8_t *)r->pairs, .offsets = r->offsets,
                                  .type = VECDB_SPARSE_VECTOR};
}

static void rows_free(struct rows *r) {
  free(r->pairs);
  free(r->offsets);
}

static int rows_open(const struct rows *r, const struct ix_sections *sections,
                     struct vdb_inverted *out) {
  vecdb_error err;
  return vdb_inverted_open(&sections->reader, 3, r->n, r->offsets[r->n] / 8, out, &err);
}

static int rows_write(const struct rows *r, struct vdb_mem *mem, struct ix_sections *sections,
                      bool (*stop)(void *arg), void *stop_arg) {
  struct vdb_inverted_build build = {mem, &r->column, r->n, &sections->writer, 3, stop, stop_arg};
  vecdb_error err;
  return vdb_inverted_build(&build, &err);
}

static void rows_build(const struct rows *r, struct vdb_mem *mem, struct ix_sections *sections) {
  ix_sections_init(sections);
  assert_int_equal(rows_write(r, mem, sections, NULL, NULL), VECDB_OK);
}

/* By the index, and row by row: the same rows with the same keys. */
static void compare(const struct vdb_inverted *x, const struct rows *r, const vecdb_sparse *query,
                    const uint64_t *allow, struct vdb_mem *mem) {
  struct vdb_near found[K], wanted[K];
  struct vdb_search by_index = {.mem = mem, .sparse = query, .allow = allow,
                                .top = {found, K, 0}};
  struct vdb_search by_row = {.mem = mem, .sparse = query, .allow = allow, .top = {wanted, K, 0}};
  vecdb_error err;
  assert_int_equal(vdb_inverted_search(x, &r->column, &by_index, &err), VECDB_OK);
  vdb_sparse_scan(&r->column, r->n, 0, &by_row);
  vdb_topk_sort(&by_index.top);
  vdb_topk_sort(&by_row.top);
  assert_int_equal(by_index.top.n, by_row.top.n);
  assert_memory_equal(found, wanted, by_row.top.n * sizeof *found);
  assert_int_equal(by_index.distances, by_row.distances);
}

static void as_scans(void **state) {
  (void)state;
  static const uint32_t sizes[] = {1, 63, 64, 65, 4095, 4096, 4097, 20000};
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  for (size_t s = 0; s < VDB_COUNT(sizes); s++) {
    struct rows r;
    struct ix_sections sections;
    struct vdb_inverted x;
    struct vdb_rng rng = {s + 7};
    rows_make(&r, sizes[s], s % 2 ? 3 : 5000, s + 1);
    rows_build(&r, &mem, &sections);
    assert_int_equal(rows_open(&r, &sections, &x), VECDB_OK);
    assert_true(vdb_inverted_matches(&x, &r.column, NULL, NULL));
    size_t words = vdb_bits_words(r.n);
    uint64_t *allow = calloc(words, sizeof *allow);
    for (int q = 0; q < 30; q++) {
      vecdb_sparse_pair pairs[MOST];
      vecdb_sparse query = {pairs, random_pairs(&rng, q % 3 ? 5000 : 3, pairs)};
      memset(allow, 0, words * sizeof *allow);
      for (uint32_t i = 0; i < r.n; i++)
        if (vdb_rng_below(&rng, 100) < (q % 2 ? 2u : 60u))
          vdb_bit_set(allow, i);
      compare(&x, &r, &query, NULL, &mem);
      compare(&x, &r, &query, allow, &mem);
    }
    free(allow);
    ix_sections_free(&sections);
    rows_free(&r);
  }
  assert_int_equal(mem.used, 0);
}

/* A row that has one pair of another value, or in its place another row's. */
static void not_its_rows(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct rows r;
  struct ix_sections sections;
  struct vdb_inverted x;
  vdb_mem_init(&mem, NULL, 0);
  rows_make(&r, 50, 9, 5);
  rows_build(&r, &mem, &sections);
  assert_int_equal(rows_open(&r, &sections, &x), VECDB_OK);
  r.pairs[20].value += 1;
  assert_false(vdb_inverted_matches(&x, &r.column, NULL, NULL));
  r.pairs[20].value -= 1;
  r.pairs[20].index ^= 1u << 30;
  assert_false(vdb_inverted_matches(&x, &r.column, NULL, NULL));
  ix_sections_free(&sections);
  rows_free(&r);
}

/* Searches what opened in spite of a changed bit; vecdb_check finds that bit. */
static void use_damaged(const struct vdb_inverted *x, const struct rows *r, struct vdb_mem *mem,
                        uint64_t seed) {
  struct vdb_rng rng = {seed};
  vecdb_sparse_pair pairs[MOST];
  vecdb_sparse query = {pairs, random_pairs(&rng, 9, pairs)};
  struct vdb_near found[K];
  struct vdb_search search = {.mem = mem, .sparse = &query, .top = {found, K, 0}};
  vecdb_error err;
  assert_int_equal(vdb_inverted_search(x, &r->column, &search, &err), VECDB_OK);
  for (size_t i = 0; i < search.top.n; i++)
    assert_in_range(found[i].row, 0, r->n - 1);
  assert_false(vdb_inverted_matches(x, &r->column, NULL, NULL));
}

/* Each bit of each section, and each length: refused, or the search keeps to its rows. */
static void damage(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct rows r;
  struct ix_sections sections;
  struct vdb_inverted x;
  size_t refused = 0, opened = 0;
  vdb_mem_init(&mem, NULL, 0);
  rows_make(&r, 70, 9, 11);
  rows_build(&r, &mem, &sections);
  for (size_t s = 0; s < sections.n; s++) {
    struct ix_section *section = &sections.items[s];
    for (size_t bit = 0; bit < section->n * 8; bit++) {
      section->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
      bool open = rows_open(&r, &sections, &x) == VECDB_OK;
      if (open)
        use_damaged(&x, &r, &mem, bit);
      opened += open;
      refused += !open;
      section->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    size_t n = section->n;
    for (section->n = 0; section->n < n; section->n++)
      assert_int_equal(rows_open(&r, &sections, &x), VECDB_ERR_CORRUPT);
  }
  assert_true(refused > 0 && opened > 0);
  ix_sections_free(&sections);
  rows_free(&r);
}

static bool stop_at(void *arg) {
  int *left = arg;
  return (*left)-- == 0;
}

/* Building and comparing look now and then whether to stop, and do. */
static void stopped(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct rows r;
  struct ix_sections sections;
  struct vdb_inverted x;
  int looks = 0;
  vdb_mem_init(&mem, NULL, 0);
  rows_make(&r, 20000, 5000, 3);
  for (int rc = VECDB_ERR_CANCELLED; rc; looks++) {
    int left = looks;
    ix_sections_init(&sections);
    rc = rows_write(&r, &mem, &sections, stop_at, &left);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_CANCELLED);
    assert_int_equal(mem.used, 0);
    if (rc)
      ix_sections_free(&sections);
  }
  assert_true(looks > 2);
  assert_int_equal(rows_open(&r, &sections, &x), VECDB_OK);
  int left = -1;
  assert_true(vdb_inverted_matches(&x, &r.column, stop_at, &left));
  assert_true(left < -2);
  left = 1;
  assert_false(vdb_inverted_matches(&x, &r.column, stop_at, &left));
  ix_sections_free(&sections);
  rows_free(&r);
}

static void no_memory(void **state) {
  (void)state;
  struct memfault fault;
  struct vdb_mem mem;
  struct rows r;
  memfault_init(&fault);
  vdb_mem_init(&mem, &fault.table, 0);
  rows_make(&r, 100, 9, 13);
  int rc = VECDB_ERR_NO_MEMORY;
  for (uint64_t nth = 1; rc != VECDB_OK; nth++) {
    struct ix_sections sections;
    vecdb_error err;
    ix_sections_init(&sections);
    memfault_fail(&fault, nth, false);
    rc = rows_write(&r, &mem, &sections, NULL, NULL);
    assert_true(rc == VECDB_OK || rc == VECDB_ERR_NO_MEMORY);
    assert_int_equal(memfault_failed(&fault) > 0, rc != VECDB_OK);
    struct vdb_inverted x;
    for (uint64_t n = 1, failed = 1; rc == VECDB_OK && failed; n++) {
      vecdb_sparse query = {r.pairs, 3};
      struct vdb_near found[K];
      struct vdb_search search = {.mem = &mem, .sparse = &query, .top = {found, K, 0}};
      assert_int_equal(rows_open(&r, &sections, &x), VECDB_OK);
      memfault_fail(&fault, n, false);
      int searched = vdb_inverted_search(&x, &r.column, &search, &err);
      failed = memfault_failed(&fault);
      assert_int_equal(searched, failed ? VECDB_ERR_NO_MEMORY : VECDB_OK);
    }
    ix_sections_free(&sections);
    assert_int_equal(memfault_live(&fault), 0);
  }
  rows_free(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(as_scans), cmocka_unit_test(not_its_rows),
                                     cmocka_unit_test(damage), cmocka_unit_test(stopped),
                                     cmocka_unit_test(no_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
