/*
 * test_sim.c - the simulated cluster over many seeds (make sim SEEDS=): each of them a cluster of
 * some shape, faults, healing, and everything that cluster/sim/check.c holds against it. A failure
 * prints its seed; VDB_FROM=SEED VDB_N=1 VDB_TRACE=1 tells its story. VDB_JOBS processes share the
 * seeds. PLAIN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "replica/types.h"
#include "sim/sim.h"
#include "tlib/thorough.h"

enum { TEST_OPS = 1000 };

static uint64_t test_number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text ? strtoull(text, NULL, 10) : otherwise;
}

/* What one process found; all of them share it. */
struct test_share {
  struct sim_result sum;
  uint64_t failed;
};

static void test_add(struct sim_result *sum, const struct sim_result *r) {
  sum->events += r->events;
  sum->ops += r->ops;
  sum->writes_acked += r->writes_acked;
  sum->local_acks += r->local_acks;
  for (int i = 0; i < 3; i++)
    sum->reads[i] += r->reads[i];
  sum->faults += r->faults;
  sum->crashes += r->crashes;
  sum->wipes += r->wipes;
  sum->promotions += r->promotions;
  sum->snapshots += r->snapshots;
  sum->orphans += r->orphans;
  sum->moves += r->moves;
  sum->simulated_us += r->simulated_us;
}

/* Each step-th seed from `from` to below `end`. */
static void test_share_run(struct test_share *share, uint64_t from, uint64_t end, uint64_t step) {
  struct sim_result r;
  for (uint64_t seed = from; seed < end && share->failed < 10; seed += step) {
    struct sim_options o = {seed, TEST_OPS, test_number("VDB_TRACE", 0)};
    sim_run(&o, &r);
    test_add(&share->sum, &r);
    if (!r.failed)
      continue;
    printf("seed %llu: %s\n", (unsigned long long)seed, r.why);
    fflush(stdout);
    share->failed++;
  }
}

/* The seeds by `jobs` processes, each of which takes every jobs-th. */
static void test_jobs(struct test_share *shares, uint64_t jobs, uint64_t from, uint64_t n) {
  for (uint64_t i = 1; i < jobs; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child)
      continue;
    test_share_run(&shares[i], from + i, from + n, jobs);
    _exit(0);
  }
  test_share_run(&shares[0], from, from + n, jobs);
  for (uint64_t i = 1; i < jobs; i++) {
    int status;
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
  }
}

static void test_print(const struct sim_result *sum, uint64_t n, uint64_t failed) {
  printf("| %llu seeds | %llu failed | %.0f h simulated, %llu faults: %llu crashes, "
         "%llu disks lost, %llu failovers, %llu snapshots shipped, %llu moves | %llu operations: "
         "%llu writes acknowledged, %llu by async, %llu strong reads, %llu session, %llu local |\n",
         (unsigned long long)n, (unsigned long long)failed, (double)sum->simulated_us / 3.6e9,
         (unsigned long long)sum->faults, (unsigned long long)sum->crashes,
         (unsigned long long)sum->wipes, (unsigned long long)sum->promotions,
         (unsigned long long)sum->snapshots, (unsigned long long)sum->moves,
         (unsigned long long)sum->ops,
         (unsigned long long)sum->writes_acked, (unsigned long long)sum->local_acks,
         (unsigned long long)sum->reads[2], (unsigned long long)sum->reads[1],
         (unsigned long long)sum->reads[0]);
}

static void test_seeds(void **state) {
  (void)state;
  uint64_t from = test_number("VDB_FROM", 1), n = test_number("VDB_N", TEST_SIZES(500, 25, 5));
  uint64_t jobs = rep_max(1, test_number("VDB_JOBS", 1)), failed = 0;
  size_t bytes = jobs * sizeof(struct test_share);
  struct test_share *shares =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(shares != MAP_FAILED);
  test_jobs(shares, jobs, from, n);
  struct sim_result sum = {0};
  for (uint64_t i = 0; i < jobs; i++) {
    test_add(&sum, &shares[i].sum);
    failed += shares[i].failed;
  }
  munmap(shares, bytes);
  test_print(&sum, n, failed);
  assert_int_equal(failed, 0);
  if (n < 25)
    return;
  /* All of it was tried: a simulation in which nothing happens finds nothing. */
  assert_true(sum.writes_acked > 100 * n && sum.reads[0] > 20 * n && sum.reads[1] > 20 * n &&
              sum.reads[2] > 20 * n);
  assert_true(sum.crashes > 2 * n && sum.promotions > n && sum.wipes > n / 4 &&
              sum.snapshots > n / 4 && sum.orphans > n && sum.local_acks > n && sum.moves > n / 10);
}

/* One seed tells one story. */
static void test_same(void **state) {
  (void)state;
  struct sim_result a, b, c;
  struct sim_options o = {7, 300, false};
  sim_run(&o, &a);
  sim_run(&o, &b);
  o.seed = 8;
  sim_run(&o, &c);
  assert_true(a.digest == b.digest && a.events == b.events && a.writes_acked == b.writes_acked);
  assert_true(a.digest != c.digest);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same),
      cmocka_unit_test(test_seeds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
