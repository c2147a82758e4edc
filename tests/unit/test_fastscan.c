/*
 * test_fastscan.c - every fast scan that this processor can run, against sums over unpacked codes
 * and keys in double. Blocks and tables end where an unreadable page begins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"
#include "kern/fastscan.h"
#include "kern/kern.h"

enum { ROWS = VDB_SCAN_ROWS, MAX_M = 1100, ROOM = 1 << 20 };

struct fenced {
  uint8_t *start;
  uint8_t *end; /* of what may be read */
};

static struct fenced fence(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint8_t *p =
      mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(p != MAP_FAILED);
  assert_int_equal(mprotect(p + ROOM, page, PROT_NONE), 0);
  return (struct fenced){p, p + ROOM};
}

static void unfence(struct fenced f) {
  munmap(f.start, ROOM + (size_t)sysconf(_SC_PAGESIZE));
}

struct model {
  struct vdb_rng rng;
  struct fenced block_memory, lut_memory;
  uint8_t *block;
  uint8_t *lut;
  struct vdb_scan_table table;
  bool bytes;
  uint32_t m; /* without sub-codes added */
  uint8_t (*codes)[ROWS];
  double add[ROWS], rescale[ROWS];
};

static void model_init(struct model *t) {
  memset(t, 0, sizeof *t);
  t->rng = (struct vdb_rng){11};
  t->block_memory = fence();
  t->lut_memory = fence();
  t->codes = malloc(MAX_M * sizeof *t->codes);
}

static void model_free(struct model *t) {
  unfence(t->block_memory);
  unfence(t->lut_memory);
  free(t->codes);
}

/* Factors: exact in f16. */
static uint16_t half_of(double value) {
  float x = (float)value;
  uint16_t half;
  vdb_kern_available(0)->f32_to_f16(&x, &half, 1);
  return half;
}

static void model_factors(struct model *t, uint8_t *at) {
  for (size_t i = 0; i < ROWS; i++) {
    t->add[i] = (double)(int)vdb_rng_below(&t->rng, 2000) / 8 - 100;
    t->rescale[i] = t->table.rescaled ? -(double)(1 + vdb_rng_below(&t->rng, 500)) / 256 : 1;
    uint16_t add = half_of(t->add[i]), rescale = half_of(t->rescale[i]);
    memcpy(at + i * 2, &add, 2);
    if (t->table.rescaled)
      memcpy(at + ROWS * 2 + i * 2, &rescale, 2);
  }
}

/* Random codes; a table whose entries are at most `most`. */
static void model_make(struct model *t, bool bytes, uint32_t m, uint32_t depth, uint32_t most,
                       bool rescaled) {
  size_t unit = bytes ? 32 : 16, entries = bytes ? 256 : 16;
  uint32_t padded = (uint32_t)vdb_round_up(m, bytes ? 2 : 4);
  size_t size = (bytes ? vdb_scan_bytes_bytes(m) : vdb_scan_nibbles_bytes(m));
  assert_int_equal(size, padded * unit);
  t->bytes = bytes;
  t->m = m;
  t->table = (struct vdb_scan_table){NULL, padded, depth, rescaled, 0.03125f, -3.5f};
  t->block = t->block_memory.end - (size + (rescaled ? 128 : 64));
  t->lut = t->lut_memory.end - padded * entries;
  t->table.lut = t->lut;
  memset(t->lut, 0, padded * entries);
  for (size_t i = 0; i < m * entries; i++)
    t->lut[i] = (uint8_t)(vdb_rng_below(&t->rng, 4) ? vdb_rng_below(&t->rng, most + 1) : most);
  for (size_t i = 0; i < size; i++)
    t->block[i] = (uint8_t)vdb_rng_next(&t->rng);
  for (uint32_t j = 0; j < m; j++)
    for (size_t row = 0; row < ROWS; row++)
      if (bytes) {
        t->codes[j][row] = t->block[j * 32 + row];
      } else { /* the layout as the header has it */
        uint8_t pair = t->block[j * 16 + 2 * (row % 8) + row / 8 % 2];
        t->codes[j][row] = row < 16 ? pair & 15 : pair >> 4;
      }
  model_factors(t, t->block + size);
}

static uint32_t model_sum(const struct model *t, size_t row) {
  uint32_t sum = 0;
  for (uint32_t j = 0; j < t->m; j++)
    sum += t->lut[j * (t->bytes ? 256 : 16) + t->codes[j][row]];
  assert_true(sum <= 65535);
  return sum;
}

static void check(struct model *t, const struct vdb_fastscan *scan) {
  uint16_t sums[ROWS];
  float keys[ROWS], base = 12.25f;
  double want[ROWS];
  (t->bytes ? scan->byte_sums : scan->nibble_sums)(&t->table, t->block, sums);
  for (size_t row = 0; row < ROWS; row++) {
    assert_int_equal(sums[row], model_sum(t, row));
    double value = (double)t->table.scale * sums[row] + (double)t->table.offset;
    want[row] = (double)base + t->add[row] + t->rescale[row] * value;
  }
  /* bounds halfway between keys, or where rounding plays no part */
  float bounds[] = {-INFINITY, INFINITY, (float)want[0], (float)want[17], NAN};
  for (size_t b = 0; b < VDB_COUNT(bounds); b++) {
    for (size_t row = 0; row < ROWS; row++)
      keys[row] = NAN;
    uint32_t below = (t->bytes ? scan->bytes : scan->nibbles)(&t->table, t->block, base, bounds[b],
                                                              keys);
    for (size_t row = 0; row < ROWS; row++) {
      /* four roundings of numbers that are below |add| + |base| + |rescale value| */
      double size = fabs(want[row] - t->add[row]) + fabs(t->add[row]) + 2 * (double)base;
      double slack = 4 * 0x1p-24 * size;
      if (below)
        assert_true(fabs((double)keys[row] - want[row]) <= slack);
      if (isnan(bounds[b]) || want[row] > (double)bounds[b] + slack)
        assert_false(below >> row & 1);
      else if (want[row] < (double)bounds[b] - slack)
        assert_true(below >> row & 1);
    }
  }
}

static void nibbles(void **state) {
  (void)state;
  static const uint32_t depths[] = {8, 4, 1};
  struct model t;
  model_init(&t);
  for (uint32_t m = 1; m <= 150; m++)
    for (size_t d = 0; d < VDB_COUNT(depths); d++)
      for (size_t i = 0; vdb_fastscan_available(i); i++) {
        model_make(&t, false, m, depths[d], 255 / depths[d], (m + d) % 2);
        check(&t, vdb_fastscan_available(i));
      }
  model_free(&t);
}

/* Sums up to the largest that a table may give. */
static void long_codes(void **state) {
  (void)state;
  struct model t;
  model_init(&t);
  for (size_t i = 0; vdb_fastscan_available(i); i++) {
    const struct vdb_fastscan *scan = vdb_fastscan_available(i);
    for (int round = 0; round < 5; round++) {
      model_make(&t, false, 257, 1, 255, false);
      check(&t, scan);
      model_make(&t, false, 1040, 4, 63, true);
      check(&t, scan);
      model_make(&t, false, 1100, 8, 31, true);
      check(&t, scan);
      model_make(&t, true, 257, 1, 255, true);
      check(&t, scan);
      model_make(&t, true, 1100, 1, 59, false);
      check(&t, scan);
    }
  }
  memset(t.lut_memory.start, 255, ROOM);
  for (size_t i = 0; vdb_fastscan_available(i); i++) { /* 65,535 in every row */
    uint16_t sums[ROWS];
    struct vdb_scan_table all = {t.lut_memory.start, 260, 1, false, 1, 0};
    memset(t.lut_memory.start + 257 * 16, 0, 3 * 16);
    vdb_fastscan_available(i)->nibble_sums(&all, t.block_memory.start, sums);
    for (size_t row = 0; row < ROWS; row++)
      assert_int_equal(sums[row], 65535);
  }
  model_free(&t);
}

static void bytes(void **state) {
  (void)state;
  struct model t;
  model_init(&t);
  for (uint32_t m = 1; m <= 130; m++)
    for (size_t i = 0; vdb_fastscan_available(i); i++) {
      model_make(&t, true, m, 1, 255, m % 3 == 0);
      check(&t, vdb_fastscan_available(i));
    }
  model_free(&t);
}

/* Free slots and damaged factors pass no bound. */
static void no_numbers(void **state) {
  (void)state;
  static const uint16_t strange[] = {0x7c00, 0x7e00, 0xfe01}; /* infinity, NaN */
  struct model t;
  float keys[ROWS];
  model_init(&t);
  for (size_t s = 0; s < VDB_COUNT(strange); s++)
    for (size_t i = 0; vdb_fastscan_available(i); i++)
      for (int rescaled = 0; rescaled < 2; rescaled++) {
        model_make(&t, false, 16, 8, 31, rescaled);
        memcpy(t.block + 256 + 7 * 2, &strange[s], 2);
        memcpy(t.block + 256 + 30 * 2, &strange[s], 2);
        uint32_t below = vdb_fastscan_available(i)->nibbles(&t.table, t.block, 1, 1e30f, keys);
        assert_int_equal(below, ~(UINT32_C(1) << 7 | UINT32_C(1) << 30));
      }
  model_free(&t);
}

/* The one in use is one of those there are, and goes with the distance kernels. */
static void choice(void **state) {
  (void)state;
  size_t at = 0;
  while (vdb_fastscan_available(at) && vdb_fastscan_available(at) != vdb_fastscan())
    at++;
  assert_non_null(vdb_fastscan_available(at));
  assert_int_equal(vdb_fastscan()->name[0], vdb_kern()->name[0]);
  if (strcmp(vdb_kern()->name, "scalar") == 0)
    assert_string_equal(vdb_fastscan()->name, "scalar");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nibbles),    cmocka_unit_test(long_codes), cmocka_unit_test(bytes),
      cmocka_unit_test(no_numbers), cmocka_unit_test(choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
