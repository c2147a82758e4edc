/*
 * test_bits.c - Hamming distances of rows that lie turned in blocks: every table that this
 * processor can run, for all lengths around those that a byte's sum holds, all numbers of queries
 * and blocks, against bits counted one by one. Blocks and rows end where their memory does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "kern/bits.h"
#include "tlib/thorough.h"

enum { ROWS = VDB_BITS_ROWS, QUERIES = VDB_BITS_QUERIES, MAX_BLOCKS = 3 };

struct model {
  struct vdb_rng rng;
  size_t bytes, n_blocks, stride;
  uint8_t *rows; /* byte after byte, without a gap */
  uint8_t *blocks;
  uint8_t *queries;
};

static uint8_t *noise(struct vdb_rng *rng, size_t n) {
  uint8_t *data = malloc(n);
  for (size_t i = 0; i < n; i++)
    data[i] = (uint8_t)vdb_rng_next(rng);
  return data;
}

static void model_init(struct model *t, size_t bytes, size_t n_blocks, size_t gap) {
  t->bytes = bytes;
  t->n_blocks = n_blocks;
  t->stride = bytes * ROWS + gap;
  t->rows = noise(&t->rng, n_blocks * ROWS * bytes);
  t->queries = noise(&t->rng, QUERIES * bytes);
  t->blocks = malloc(n_blocks * t->stride);
  memset(t->queries, 0xff, bytes); /* one that is as far as can be from a row */
  memset(t->rows, 0, bytes);
}

static void model_free(struct model *t) {
  free(t->rows);
  free(t->queries);
  free(t->blocks);
}

static void pack(struct model *t, const struct vdb_bits_table *table) {
  memset(t->blocks, 0xee, t->n_blocks * t->stride);
  for (size_t block = 0; block < t->n_blocks; block++) {
    const uint8_t *rows[ROWS];
    uint8_t *at = t->blocks + block * t->stride;
    for (size_t i = 0; i < ROWS; i++)
      rows[i] = t->rows + (block * ROWS + i) * t->bytes;
    table->pack(rows, t->bytes, at);
    for (size_t i = 0; i < ROWS; i++)
      for (size_t j = 0; j < t->bytes; j++)
        if (at[j * ROWS + i] != rows[i][j])
          fail_msg("%s: byte %zu of row %zu of %zu bytes", table->name, j, i, t->bytes);
    for (size_t j = t->bytes * ROWS; j < t->stride; j++)
      assert_int_equal(at[j], 0xee);
  }
}

static uint32_t count(const uint8_t *a, const uint8_t *b, size_t bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < 8 * bytes; i++)
    n += (a[i / 8] >> i % 8 & 1) != (b[i / 8] >> i % 8 & 1);
  return n;
}

/* What stands behind the distances of a query stays. */
static void distances(struct model *t, const struct vdb_bits_table *table, size_t n_queries) {
  size_t n = t->n_blocks * ROWS, out_stride = n + 5;
  uint16_t *out = malloc(QUERIES * out_stride * sizeof *out);
  struct vdb_bits_step step = {.n_queries = n_queries, .bytes = t->bytes, .blocks = t->blocks,
                               .block_stride = t->stride, .n_blocks = t->n_blocks, .out = out,
                               .out_stride = out_stride};
  uint8_t *offsets[QUERIES];
  memset(out, 0xee, QUERIES * out_stride * sizeof *out);
  for (size_t q = 0; q < n_queries; q++) {
    step.offsets[q] = offsets[q] = malloc(2 * t->bytes);
    vdb_bits_offsets(t->queries + q * t->bytes, t->bytes, offsets[q]);
  }
  table->distances(&step);
  for (size_t q = 0; q < QUERIES; q++)
    for (size_t i = 0; i < out_stride; i++) {
      bool filled = q < n_queries && i < n;
      uint32_t want = filled ? count(t->queries + q * t->bytes, t->rows + i * t->bytes, t->bytes)
                             : 0xeeee;
      if (out[q * out_stride + i] != want)
        fail_msg("%s: query %zu of %zu, row %zu, %zu bytes: %u, not %u", table->name, q, n_queries,
                 i, t->bytes, out[q * out_stride + i], want);
    }
  for (size_t q = 0; q < n_queries; q++)
    free(offsets[q]);
  free(out);
}

static void all_lengths(void **state) {
  enum { MOST = TEST_SIZE(200, 70) };
  struct model t = {.rng = {5}};
  (void)state;
  for (size_t bytes = 1; bytes <= MOST; bytes++) {
    model_init(&t, bytes, 1 + bytes % MAX_BLOCKS, bytes % 2 * 7);
    for (size_t i = 0; vdb_bits_available(i); i++) {
      pack(&t, vdb_bits_available(i));
      for (size_t n_queries = 1; n_queries <= QUERIES; n_queries++)
        distances(&t, vdb_bits_available(i), n_queries);
    }
    model_free(&t);
  }
}

static void longest(void **state) {
  struct model t = {.rng = {6}};
  (void)state;
  model_init(&t, 65528 / 8, 1, 0);
  for (size_t i = 0; vdb_bits_available(i); i++) {
    pack(&t, vdb_bits_available(i));
    distances(&t, vdb_bits_available(i), 1);
  }
  model_free(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(all_lengths), cmocka_unit_test(longest)};
  return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}
