/*
 * test_cost.c - the cost model's order of plans, in cases where there is no doubt which is best:
 * rows in memory, and rows on a disk (DISK), where what counts is how many blocks are read.
 */
#include "query/cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A million rows of 512 bytes with a graph, walked at 64; a share of them allowed. */
static struct vdb_cost_case big(bool disk, double share) {
  return (struct vdb_cost_case){.rows = 1e6, .allowed = 1e6 * share, .ef = 64, .links = 16,
                                .bytes = 512, .walked = 64, .codes = true, .disk = disk,
                                .queries = 1, .filter = true, .by_index = true};
}

static void without_filter(void **state) {
  (void)state;
  for (int disk = 0; disk < 2; disk++) {
    struct vdb_cost_case c = big(disk, 1);
    struct vdb_cost cost = vdb_cost_plain(&c);
    assert_true(cost.graph < cost.exact / 50);
  }
  struct vdb_cost_case memory = big(false, 1), disk = big(true, 1);
  assert_true(vdb_cost_plain(&disk).graph > 2 * vdb_cost_plain(&memory).graph);
  assert_true(vdb_cost_plain(&disk).exact > 5 * vdb_cost_plain(&memory).exact);
}

/* One row in a thousand: in memory these rows are looked at themselves or by code; on a disk a
   thousand reads, each waited for, are far dearer than codes and the blocks of the best. */
static void few_rows(void **state) {
  (void)state;
  struct vdb_cost_case memory = big(false, 1e-3), disk = big(true, 1e-3);
  struct vdb_cost in_memory = vdb_cost_filtered(&memory), on_disk = vdb_cost_filtered(&disk);
  assert_true(in_memory.exact < in_memory.late);
  assert_true(on_disk.codes < on_disk.exact / 10);
  assert_true(on_disk.codes < on_disk.late);
}

/* A handful of rows: these are read. */
static void hardly_any(void **state) {
  (void)state;
  struct vdb_cost_case disk = big(true, 1e-6 * 2);
  struct vdb_cost cost = vdb_cost_filtered(&disk);
  assert_true(cost.exact < cost.late && cost.exact < cost.graph);
}

/* Nearly all rows: a walk; and the dearer the fewer pass. */
static void most_rows(void **state) {
  (void)state;
  double before = 0;
  for (double share = 0.9; share > 0.01; share /= 2) {
    struct vdb_cost_case disk = big(true, share);
    struct vdb_cost cost = vdb_cost_filtered(&disk);
    assert_true(cost.late > before);
    assert_true(share < 0.8 || (cost.late < cost.codes && cost.late < cost.exact));
    assert_true(cost.row > 0 && cost.plain > 0 && cost.plain < cost.late * 2);
    before = cost.late;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(without_filter), cmocka_unit_test(few_rows),
                                     cmocka_unit_test(hardly_any), cmocka_unit_test(most_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
