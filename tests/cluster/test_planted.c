/*
 * test_planted.c - known mistakes of replication protocols, planted one at a time (sim/plants.h):
 * the simulation must catch each of them. `make planted` looks from the first seed on and prints
 * how many seeds it took; make test starts at the seed that caught it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/plants.h"
#include "sim/sim.h"
#include "tlib/thorough.h"

enum { TEST_OPS = 1000, TEST_FEW = 12, TEST_SOME = 200, TEST_MOST = 10000 };

struct test_plant {
  const char *name, *text;
};

static const struct test_plant test_plants[] = {
    {"none", "none"},
#define TEST_PLANT(name, text) {#name, text},
    SIM_PLANTS(TEST_PLANT)
#undef TEST_PLANT
};

/* The seeds that catch those that few seeds do, so that make test need not look for them; 0: so few
   that only `make planted` looks. */
static const struct {
  enum sim_plant plant;
  uint64_t seed;
} test_rare[] = {
    {PLANT_ACK_LAST, 21},      {PLANT_NO_PREV_CHECK, 24},      {PLANT_NO_UNION, 24},
    {PLANT_NO_STEP_DOWN, 22},  {PLANT_READ_WITHOUT_ROUND, 30}, {PLANT_UNKNOWN_IS_FAILED, 23},
    {PLANT_ROUND_MAJORITY, 28}, {PLANT_FRESH_BY_RECEIPT, 22},  {PLANT_TRIM_UNSAFE, 28},
    {PLANT_NO_RESEND, 54},     {PLANT_READ_OLD_ROUND, 0},      {PLANT_SNAPSHOT_ANY, 0},
    {PLANT_HEALED_AT_ONCE, 0},
};

/* Where to begin; 0: not at all. */
static uint64_t test_first(enum sim_plant plant) {
  for (size_t i = 0; i < sizeof test_rare / sizeof *test_rare; i++)
    if (test_rare[i].plant == plant)
      return test_rare[i].seed;
  return 1;
}

/* The seed that catches it, or 0. */
static uint64_t test_catch(enum sim_plant plant, uint64_t from, uint64_t n, struct sim_result *r) {
  rep_planted = plant;
  for (uint64_t seed = from; seed < from + n; seed++) {
    struct sim_options o = {seed, TEST_OPS, false};
    sim_run(&o, r);
    if (r->failed)
      return seed;
  }
  return 0;
}

/* What catches a mistake must not be there without it. */
static void test_honest(enum sim_plant plant, uint64_t seed) {
  struct sim_result r;
  if (test_catch(PLANT_NONE, seed, 1, &r))
    fail_msg("%s: seed %llu fails without it, too: %s", test_plants[plant].name,
             (unsigned long long)seed, r.why);
}

static void test_planted(void **state) {
  (void)state;
  bool all = getenv("VDB_N");
  uint32_t missed = 0, step = TEST_SIZE(1, 8);
  if (all)
    printf("| planted | caught by seed | as |\n| --- | --- | --- |\n");
  for (enum sim_plant p = PLANT_NONE + 1; p < SIM_PLANTS_END; p += step) {
    struct sim_result r;
    if (!all && !test_first(p))
      continue;
    uint64_t seed = all ? 0 : test_catch(p, test_first(p), TEST_FEW, &r);
    if (!seed)
      seed = test_catch(p, 1, all ? TEST_MOST : TEST_SOME, &r);
    if (all)
      printf("| %s | %llu | %s |\n", test_plants[p].text, (unsigned long long)seed, r.why);
    if (seed)
      test_honest(p, seed);
    else
      printf("not caught: %s (%s)\n", test_plants[p].name, test_plants[p].text);
    missed += !seed;
  }
  assert_int_equal(missed, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_planted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
