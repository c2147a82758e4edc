/*
 * test_planted.c - known mistakes of replication protocols, planted one at a time (sim/plants.h):
 * the simulation must catch each of them. `make planted` looks from the first seed on and prints
 * how many seeds it took; make test starts at the seed that caught it. Those that take more
 * coincidence than random runs have are caught by stories (test_sim_story.c). VDB_JOBS processes
 * share the mistakes. PLAIN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/plants.h"
#include "sim/sim.h"

enum { TEST_OPS = 1000, TEST_FEW = 12, TEST_SOME = 200, TEST_MOST = 10000 };

struct test_plant {
  const char *name, *text;
};

static const struct test_plant test_plants[] = {{"none", "none"},
#define TEST_PLANT(name, text) {#name, text},
                                                SIM_PLANTS(TEST_PLANT)
#undef TEST_PLANT
};

/* The seeds that catch those that few seeds do, so that make test need not look for them; 0: none
   is known, and a story does. */
static const struct {
  enum sim_plant plant;
  uint64_t seed;
} test_rare[] = {
    {PLANT_NO_PREV_CHECK, 22},      {PLANT_COMMIT_BEYOND_MATCH, 22}, {PLANT_NO_UNION, 12},
    {PLANT_UNKNOWN_IS_FAILED, 252}, {PLANT_NO_COMPARE, 16},          {PLANT_STORE_CHANGE, 40},
    {PLANT_SERVE_EARLY, 168},       {PLANT_READ_WITHOUT_ROUND, 42},  {PLANT_READ_OLD_ROUND, 1214},
    {PLANT_ROUND_MAJORITY, 1407},   {PLANT_FRESH_BY_RECEIPT, 107},   {PLANT_ASYNC_UNBOUNDED, 55},
    {PLANT_TRIM_UNSAFE, 26},        {PLANT_GROW_AT_COMMIT, 0},       {PLANT_ORPHANS_LOST, 282},
    {PLANT_HEALED_AT_ONCE, 0},      {PLANT_NEVER_SLOW, 27},          {PLANT_OLD_ROT_BREAKS, 330},
    {PLANT_LAST_ROT, 0},         {PLANT_NO_RESEND, 32},           {PLANT_SNAPSHOT_ANY, 0},
    {PLANT_HANDOFF_ANY, 0},         {PLANT_LEAVE_AT_ONCE, 0},        {PLANT_PIECES_ON, 0},
    {PLANT_LATE_ACK, 0},            {PLANT_SPLIT_NO_FENCE, 0},       {PLANT_SPLIT_MAP_EARLY, 0},
    {PLANT_SPLIT_KEEPS, 0},         {PLANT_SPLIT_OPS_LOST, 0},       {PLANT_SPLIT_ANY_MAP, 0},
    {PLANT_SPLIT_FEW_FORKS, 0},     {PLANT_SPLIT_CANCEL_LATE, 0},  {PLANT_SPLIT_COPY_LATE, 0},
    {PLANT_SPLIT_MAP_ENDED, 0},     {PLANT_SPLIT_TOLD_EARLY, 0},     {PLANT_TXN_ONCE, 23},
};

/* Where to begin; 0: not at all. */
static uint64_t test_first(enum sim_plant plant) {
  for (size_t i = 0; i < sizeof test_rare / sizeof *test_rare; i++)
    if (test_rare[i].plant == plant)
      return test_rare[i].seed;
  return 1;
}

/* What became of a mistake; shared by all processes. */
struct test_outcome {
  uint64_t seed; /* that caught it; 0: none */
  bool honest;   /* which is well without the mistake */
  bool story;    /* a story caught it */
  char why[256];
};

struct test_board {
  atomic_uint next;
  struct test_outcome outcomes[SIM_PLANTS_END];
};

/* The seed that catches it, or 0. */
static uint64_t test_catch(enum sim_plant plant, uint64_t from, uint64_t n, struct sim_result *r) {
  rep_planted = plant;
  for (uint64_t seed = from; seed < from + n; seed++) {
    struct sim_options o = {.seed = seed, .ops = TEST_OPS};
    sim_run(&o, r);
    if (r->failed)
      return seed;
  }
  return 0;
}

/* test_sim_story.c */
int test_stories(void);

/* Whether a story fails with the mistake. It says so on standard error, which nobody needs. */
static bool test_story(enum sim_plant plant) {
  int status = 0;
  pid_t child = fork();
  if (!child) {
    rep_planted = plant;
    (void)!freopen("/dev/null", "w", stderr);
    (void)!freopen("/dev/null", "w", stdout);
    _exit(test_stories() > 0);
  }
  assert_true(child > 0 && waitpid(child, &status, 0) == child);
  return status != 0;
}

static void test_plant(enum sim_plant p, bool all, struct test_outcome *out) {
  struct sim_result r;
  if (!test_first(p)) {
    out->story = test_story(p);
    out->honest = !test_story(PLANT_NONE);
    return;
  }
  out->seed = all ? 0 : test_catch(p, test_first(p), TEST_FEW, &r);
  if (!out->seed)
    out->seed = test_catch(p, 1, all ? TEST_MOST : TEST_SOME, &r);
  if (!out->seed)
    return;
  memcpy(out->why, r.why, sizeof out->why);
  out->honest = !test_catch(PLANT_NONE, out->seed, 1, &r);
}

/* Takes one mistake after the other from the board. */
static void test_work(struct test_board *board, bool all) {
  unsigned p;
  while ((p = 1 + atomic_fetch_add(&board->next, 1)) < SIM_PLANTS_END)
    test_plant(p, all, &board->outcomes[p]);
}

static unsigned test_report(const struct test_board *board, bool all) {
  unsigned bad = 0;
  if (all)
    printf("| planted | caught by seed | as |\n| --- | --- | --- |\n");
  for (unsigned p = 1; p < SIM_PLANTS_END; p++) {
    const struct test_outcome *o = &board->outcomes[p];
    unsigned long long seed = o->seed;
    if (all)
      printf("| %s | %llu | %s |\n", test_plants[p].text, seed,
             o->story ? "a story of its own" : o->why);
    if (!seed && !o->story)
      printf("not caught: %s (%s)\n", test_plants[p].name, test_plants[p].text);
    else if (!o->honest)
      printf("%s: seed %llu fails without it, too\n", test_plants[p].name, seed);
    else if (seed > test_first((enum sim_plant)p))
      printf("%s: seed %llu\n", test_plants[p].name, seed); /* where to begin the next time */
    bad += (!seed && !o->story) || !o->honest;
  }
  return bad;
}

static void test_planted(void **state) {
  (void)state;
  bool all = getenv("VDB_N");
  const char *jobs = getenv("VDB_JOBS");
  struct test_board *board =
      mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(board != MAP_FAILED);
  int children = jobs ? atoi(jobs) - 1 : 0;
  for (int i = 0; i < children; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child)
      continue;
    test_work(board, all);
    _exit(0);
  }
  test_work(board, all);
  for (int i = 0; i < children; i++) {
    int status;
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
  unsigned bad = test_report(board, all);
  munmap(board, sizeof *board);
  assert_int_equal(bad, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_planted)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
