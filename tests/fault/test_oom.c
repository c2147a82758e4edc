/*
 * test_oom.c - each allocation failing in turn, once and from then on, in many uses of the API: the
 * call answers VECDB_ERR_NO_MEMORY or does its work all the same, nothing leaks, the database is in
 * the state of before the call or, where it did its work, of after it, and it goes on working when
 * there is memory again, in the same handle and after it is opened anew.
 *
 * VDB_SEED: the first prepared state. VDB_N: how many of them. VDB_STRIDE: 1 in so many failures.
 * VDB_ENCRYPT: databases are encrypted. CRYPT: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tlib/scenario.h"
#include "tlib/thorough.h"

enum { OOM_BASES = 1, OOM_STRIDE = TEST_SIZE(1, 47) };

struct oom_ledger {
  uint64_t trials;
  uint64_t errors; /* calls that reported the failure */
  uint64_t failures;
};

static uint64_t oom_number(const char *name, uint64_t standard) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : standard;
}

static bool oom_trial(struct scenario_trial *t, uint64_t nth, bool from_then_on,
                      struct oom_ledger *ledger, bool *hit) {
  memfault_fail(&t->memory, nth, from_then_on);
  int rc = t->scenario->run(t);
  *hit = memfault_failed(&t->memory) > 0;
  memfault_fail(&t->memory, 0, false);
  ledger->trials++;
  ledger->errors += rc != VECDB_OK;
  if (rc == WORKLOAD_WRONG)
    return false;
  if (rc != VECDB_OK && rc != VECDB_ERR_NO_MEMORY)
    return model_differs("%s: %s", vecdb_status_name(rc), t->w.err.message);
  if (!scenario_unharmed(t, rc))
    return false;
  /* of the two ways that this allocation fails, in turn; what it comes back to shows the rest */
  bool work = (nth + from_then_on) % 2;
  return (!work || scenario_works(t)) && scenario_comes_back(t, nth / 2 % 2, nth);
}

/* False: the failure was not reached, so that there are no more. */
static bool oom_one(struct scenario_base *base, const struct scenario *scenario, uint64_t nth,
                    bool from_then_on, struct oom_ledger *ledger) {
  struct scenario_trial t;
  bool hit = false;
  bool ok = scenario_begin(&t, base, scenario) && oom_trial(&t, nth, from_then_on, ledger, &hit);
  char text[600] = "";
  if (!ok)
    snprintf(text, sizeof text, "%s", model_trouble());
  if (!scenario_finish(&t) && ok) {
    ok = false;
    snprintf(text, sizeof text, "%s", model_trouble());
  }
  if (!ok && ledger->failures++ < 20)
    fprintf(stderr, "VDB_SEED=%llu %s, allocation %llu%s: %s\n",
            (unsigned long long)base->w.config.seed, scenario->name, (unsigned long long)nth,
            from_then_on ? " and all later ones" : "", text);
  return hit;
}

static void test_each_allocation_fails(void **state) {
  (void)state;
  struct oom_ledger ledger = {0};
  uint64_t first = oom_number("VDB_SEED", 1), n = oom_number("VDB_N", OOM_BASES);
  uint64_t stride = oom_number("VDB_STRIDE", OOM_STRIDE);
  for (uint64_t seed = first; seed < first + n; seed++) {
    struct scenario_base base;
    scenario_base_make(&base, seed);
    for (size_t s = 0; s < scenario_count; s++) {
      uint64_t start = 1 + (seed + s) % stride;
      for (uint64_t nth = start; oom_one(&base, &scenario_list[s], nth, false, &ledger);
           nth += stride)
        continue;
      for (uint64_t nth = start; oom_one(&base, &scenario_list[s], nth, true, &ledger);
           nth += stride)
        continue;
    }
    scenario_base_free(&base);
  }
  printf("out of memory: scenarios=%zu trials=%llu reported=%llu failures=%llu\n", scenario_count,
         (unsigned long long)ledger.trials, (unsigned long long)ledger.errors,
         (unsigned long long)ledger.failures);
  assert_int_equal(ledger.failures, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_allocation_fails),
  };
  return cmocka_run_group_tests_name("out of memory", tests, NULL, NULL);
}
