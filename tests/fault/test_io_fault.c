/*
 * test_io_fault.c - each operation of the disk failing in turn, once and from then on, in many uses
 * of the API: the call says so, nothing leaks, the database holds what was acknowledged and nothing
 * else, reads go on meanwhile, and when the disk works again, so does the database, in the same
 * handle, and after closing or a power cut.
 *
 * VDB_SEED: the first prepared state. VDB_N: how many of them. VDB_STRIDE: 1 in so many operations.
 * VDB_ENCRYPT: databases are encrypted. CRYPT: yes
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlib/scenario.h"
#include "tlib/thorough.h"

enum { IO_FAULT_READS = SIMDISK_READ | SIMDISK_MAP | SIMDISK_OPEN | SIMDISK_LIST | SIMDISK_LOCK };

/* Each way to fail ends in another way, in turn, so that each operation that changes the disk,
   which can fail in five ways, is seen with all endings; with VDB_N each way has all of them. The
   sanitizer sees every twenty-ninth operation. */
enum {
  IO_FAULT_BASES = 1,
  IO_FAULT_STRIDE = TEST_SIZE(1, 29),
  IO_FAULT_ENDINGS = 4,
  IO_FAULT_EACH = 1
};

/* How an operation fails. */
struct io_fault_kind {
  const char *name;
  uint32_t kinds;
  int error;
  bool from_then_on;
  bool partial;
};

static const struct io_fault_kind io_fault_kinds[] = {
    {"EIO once", SIMDISK_CHANGES, EIO, false, false},
    {"EIO from then on", SIMDISK_CHANGES, EIO, true, false},
    {"short write", SIMDISK_CHANGES, EIO, false, true},
    {"ENOSPC once", SIMDISK_CHANGES, ENOSPC, false, true},
    {"ENOSPC from then on", SIMDISK_CHANGES, ENOSPC, true, true},
    {"failed sync", SIMDISK_SYNC | SIMDISK_SYNC_DIR, EIO, false, false},
    {"failed syncs", SIMDISK_SYNC | SIMDISK_SYNC_DIR, EIO, true, false},
    {"failed read", IO_FAULT_READS, EIO, false, false},
    {"failed reads", IO_FAULT_READS, EIO, true, false},
};

struct io_fault_ledger {
  uint32_t each;   /* endings of an operation */
  uint64_t stride; /* from operation to operation */
  uint64_t trials;
  uint64_t errors; /* calls that reported the failure */
  uint64_t failures;
};

static uint64_t io_fault_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

/* A failed call must say what the disk said. */
static bool io_fault_code(const struct io_fault_kind *kind, const struct scenario_trial *t,
                          int rc) {
  int expected = kind->error == ENOSPC ? VECDB_ERR_DISK_FULL : VECDB_ERR_IO;
  if (rc == VECDB_OK || rc == expected)
    return true;
  return model_differs("%s instead of %s: %s", vecdb_status_name(rc), vecdb_status_name(expected),
                       t->w.err.message);
}

/* One failure; *hit tells whether the call got that far. */
static bool io_fault_trial(struct scenario_trial *t, const struct io_fault_kind *kind, uint64_t nth,
                           uint32_t ending, struct io_fault_ledger *ledger, bool *hit) {
  struct simdisk_fault fault = {.kinds = kind->kinds, .nth = nth, .error = kind->error,
                                .from_then_on = kind->from_then_on, .partial = kind->partial};
  simdisk_set_fault(t->disk, &fault);
  uint64_t before = simdisk_faults_hit(t->disk);
  int rc = t->scenario->run(t);
  *hit = simdisk_faults_hit(t->disk) > before;
  ledger->trials++;
  ledger->errors += rc != VECDB_OK;
  if (rc == WORKLOAD_WRONG || !io_fault_code(kind, t, rc))
    return false;
  if ((kind->kinds & SIMDISK_CHANGES) && !scenario_unharmed(t, rc)) /* reads go on */
    return false;
  simdisk_set_fault(t->disk, NULL);
  if (!scenario_unharmed(t, rc))
    return false;
  if (ending == 0) /* the power goes at once */
    return scenario_comes_back(t, false, nth) && scenario_works(t);
  if (ending == 1) /* first nothing but writes, so that no new manifest clears things up */
    return scenario_writes(t) && scenario_comes_back(t, false, nth) && scenario_works(t);
  return scenario_works(t) && scenario_comes_back(t, ending == 2, nth);
}

/* A folder that is not synced: a file's name in it may be gone, so no call may make light of it.
   Work in the background reports nothing, but is done again. */
static void test_each_folder_sync_fails(void **state) {
  (void)state;
  struct scenario_base base;
  uint64_t trials = 0;
  scenario_base_make(&base, 1);
  for (size_t s = 0; s < scenario_count; s++) {
    bool hit = true, silent = strcmp(scenario_list[s].name, "step") == 0;
    for (uint64_t nth = 1; hit; nth++) {
      struct scenario_trial t;
      struct simdisk_fault fault = {.kinds = SIMDISK_SYNC_DIR, .nth = nth, .error = EIO};
      assert_true(scenario_begin(&t, &base, &scenario_list[s]));
      simdisk_set_fault(t.disk, &fault);
      int rc = t.scenario->run(&t);
      hit = simdisk_faults_hit(t.disk) > 0;
      simdisk_set_fault(t.disk, NULL);
      if (hit && rc != VECDB_ERR_IO && !silent)
        fail_msg("%s, folder %llu: %s", t.scenario->name, (unsigned long long)nth,
                 vecdb_status_name(rc));
      if (!scenario_works(&t) || !scenario_finish(&t))
        fail_msg("%s, folder %llu: %s", t.scenario->name, (unsigned long long)nth,
                 model_trouble());
      trials += hit;
    }
  }
  scenario_base_free(&base);
  assert_true(trials > scenario_count / 2);
}

static void io_fault_scenario(struct scenario_base *base, const struct scenario *scenario,
                              size_t way, uint64_t first, struct io_fault_ledger *ledger) {
  const struct io_fault_kind *kind = &io_fault_kinds[way];
  bool hit = true;
  for (uint64_t nth = first; hit; nth += ledger->stride) {
    for (uint32_t e = 0; e < ledger->each; e++) {
      uint32_t ending = (uint32_t)(nth + way + 2 * base->w.config.seed + e) % IO_FAULT_ENDINGS;
      struct scenario_trial t;
      bool ok = scenario_begin(&t, base, scenario) &&
                io_fault_trial(&t, kind, nth, ending, ledger, &hit);
      char text[600] = "";
      if (!ok)
        snprintf(text, sizeof text, "%s", model_trouble());
      simdisk_set_fault(t.disk, NULL);
      if (!scenario_finish(&t) && ok) {
        ok = false;
        snprintf(text, sizeof text, "%s", model_trouble());
      }
      if (!ok && ledger->failures++ < 20)
        fprintf(stderr, "VDB_SEED=%llu %s, %s, operation %llu, ending %u: %s\n",
                (unsigned long long)base->w.config.seed, scenario->name, kind->name,
                (unsigned long long)nth, ending, text);
    }
  }
}

static void test_each_operation_fails(void **state) {
  (void)state;
  struct io_fault_ledger ledger = {.each = getenv("VDB_N") ? IO_FAULT_ENDINGS : IO_FAULT_EACH,
                                   .stride = io_fault_number("VDB_STRIDE", IO_FAULT_STRIDE)};
  uint64_t first = io_fault_number("VDB_SEED", 1), n = io_fault_number("VDB_N", IO_FAULT_BASES);
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct scenario_base base;
    scenario_base_make(&base, seed);
    for (size_t s = 0; s < scenario_count; s++)
      for (size_t k = 0; k < sizeof io_fault_kinds / sizeof *io_fault_kinds; k++)
        io_fault_scenario(&base, &scenario_list[s], k, 1 + (seed + s + k) % ledger.stride,
                          &ledger);
    scenario_base_free(&base);
  }
  printf("io faults: scenarios=%zu kinds=%zu trials=%llu reported=%llu failures=%llu\n",
         scenario_count, sizeof io_fault_kinds / sizeof *io_fault_kinds,
         (unsigned long long)ledger.trials, (unsigned long long)ledger.errors,
         (unsigned long long)ledger.failures);
  assert_int_equal(ledger.failures, 0);
}

/* The disk fills up in the middle of random work: an error, reads go on, and when there is space
   again writes go on. */
static bool io_fault_full(struct scenario_base *base, uint64_t room) {
  struct scenario_trial t;
  bool full = false;
  bool ok = scenario_begin(&t, base, &scenario_list[scenario_count - 2]);
  simdisk_set_capacity(t.disk, simdisk_used(t.disk) + room);
  for (int i = 0; ok && i < 40; i++) {
    int rc = workload_do(&t.w, i % 5 == 4 ? WORKLOAD_FLUSH : WORKLOAD_UPSERT);
    full = full || rc == VECDB_ERR_DISK_FULL;
    if (rc && rc != VECDB_ERR_DISK_FULL)
      ok = model_differs("%s: %s", vecdb_status_name(rc), t.w.err.message);
    ok = ok && scenario_unharmed(&t, rc);
  }
  if (ok && !full)
    ok = model_differs("the disk did not fill up");
  simdisk_set_capacity(t.disk, 0);
  ok = ok && scenario_works(&t) && scenario_comes_back(&t, room % 2 == 0, room);
  char text[600];
  snprintf(text, sizeof text, "%s", model_trouble());
  if (!scenario_finish(&t) && ok) {
    ok = false;
    snprintf(text, sizeof text, "%s", model_trouble());
  }
  if (!ok)
    fprintf(stderr, "disk full after %llu bytes: %s\n", (unsigned long long)room, text);
  return ok;
}

static void test_disk_full(void **state) {
  (void)state;
  uint64_t failures = 0;
  struct scenario_base base;
  scenario_base_make(&base, 7);
  for (uint64_t room = 0; room < 12000; room += 331)
    failures += !io_fault_full(&base, room);
  scenario_base_free(&base);
  assert_int_equal(failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_operation_fails),
      cmocka_unit_test(test_each_folder_sync_fails),
      cmocka_unit_test(test_disk_full),
  };
  return cmocka_run_group_tests_name("io faults", tests, NULL, NULL);
}
