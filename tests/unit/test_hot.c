/*
 * test_hot.c - blocks kept in memory (base/hot.h): what is found is what was put, whatever threads
 * do; what is asked for often stays, scans displace nothing, what is no longer asked for goes; the
 * memory has its bound, and is given back. TSAN: yes
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../tlib/thorough.h"
#include "base/hot.h"
#include "base/rng.h"

enum { UNIT = VECDB_BLOCK, KEPT = 1024, BYTES = KEPT * (UNIT + 48) + (1 << 14) };

static struct vdb_hot *make(struct vdb_mem *mem, uint64_t limit, uint64_t bytes) {
  struct vdb_hot *hot;
  vecdb_error err;
  vdb_mem_init(mem, NULL, limit);
  assert_int_equal(vdb_hot_new(mem, bytes, &hot, &err), VECDB_OK);
  assert_true(mem->used < bytes);
  return hot;
}

static void done(struct vdb_mem *mem, struct vdb_hot *hot) {
  vdb_hot_free(hot);
  assert_int_equal(mem->used, 0);
}

static uint64_t entries(const struct vdb_hot *hot) {
  struct vdb_hot_counts counts;
  vdb_hot_count(hot, &counts);
  return counts.entries;
}

/* What is in a block: its name, over and over. */
static void fill(uint64_t *block, uint32_t owner, uint32_t number, size_t n) {
  for (size_t i = 0; i < n / 8; i++)
    block[i] = (uint64_t)owner << 32 | number;
}

static bool filled(const uint64_t *block, uint32_t owner, uint32_t number, size_t n) {
  size_t i = 0;
  while (i < n / 8 && block[i] == ((uint64_t)owner << 32 | number))
    i++;
  return i == n / 8;
}

/* Asks for a block as a search does; whether it was kept. */
static bool ask(struct vdb_hot *hot, uint32_t owner, uint32_t number, size_t n) {
  uint64_t block[2 * UNIT / 8];
  if (vdb_hot_get(hot, owner, number, block, n)) {
    if (!filled(block, owner, number, n))
      abort();
    return true;
  }
  fill(block, owner, number, n);
  vdb_hot_put(hot, owner, number, block, n);
  return false;
}

static double share_of(struct vdb_hot *hot, uint32_t owner, uint32_t n) {
  uint32_t found = 0;
  uint64_t block[UNIT / 8];
  for (uint32_t i = 0; i < n; i++)
    found += vdb_hot_get(hot, owner, i, block, UNIT);
  return (double)found / n;
}

/* Half of what fits is asked for five times; then come many others, once each. */
static void scans_displace_nothing(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct vdb_hot *hot = make(&mem, 0, BYTES);
  uint32_t owner = vdb_hot_owner(hot), other = vdb_hot_owner(hot);
  assert_true(owner != 0 && other != 0 && owner != other);
  for (uint32_t round = 0; round < 5; round++)
    for (uint32_t i = 0; i < KEPT / 2; i++)
      ask(hot, owner, i, UNIT);
  assert_true(share_of(hot, owner, KEPT / 2) > .95);
  for (uint32_t i = 0; i < 4 * KEPT; i++)
    ask(hot, other, i, UNIT);
  assert_true(share_of(hot, owner, KEPT / 2) > .9);
  assert_true(entries(hot) > KEPT * 9 / 10 && mem.used <= BYTES);
  done(&mem, hot);
}

/* What was asked for once gives way to what is asked for now. */
static void what_is_cold_goes(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct vdb_hot *hot = make(&mem, 0, BYTES);
  uint32_t owner = vdb_hot_owner(hot), other = vdb_hot_owner(hot);
  for (uint32_t round = 0; round < 12; round++)
    for (uint32_t i = 0; i < KEPT; i++)
      ask(hot, owner, i, UNIT);
  assert_true(share_of(hot, owner, KEPT) > .8);
  for (uint32_t round = 0; round < 40; round++)
    for (uint32_t i = 0; i < KEPT; i++)
      ask(hot, other, i, UNIT);
  assert_true(share_of(hot, other, KEPT) > .8);
  done(&mem, hot);
}

/* Block i of many is asked for in proportion to 1 / (i + 1). The best that any choice of blocks
   finds is the share of the first ones; beside it stands what is found. */
static void near_the_best(void **state) {
  (void)state;
  enum { MANY = 20000, ASKED = TEST_SIZE(300000, 60000) };
  struct vdb_mem mem;
  struct vdb_hot *hot = make(&mem, 0, BYTES);
  uint32_t owner = vdb_hot_owner(hot);
  double *sums = malloc(MANY * sizeof *sums), sum = 0;
  for (uint32_t i = 0; i < MANY; i++)
    sums[i] = sum += 1.0 / (i + 1);
  struct vdb_rng rng = {7};
  uint32_t found = 0;
  for (uint32_t i = 0; i < ASKED; i++) {
    double at = vdb_rng_unit(&rng) * sum;
    uint32_t low = 0, high = MANY - 1;
    while (low < high) {
      uint32_t middle = (low + high) / 2;
      if (sums[middle] < at)
        low = middle + 1;
      else
        high = middle;
    }
    bool kept = ask(hot, owner, low, UNIT);
    found += kept && i >= ASKED / 2;
  }
  double best = sums[KEPT - 1] / sum, got = (double)found / (ASKED / 2);
  if (got < .9 * best)
    print_error("%.3f of %.3f\n", got, best);
  assert_true(got >= .9 * best);
  free(sums);
  done(&mem, hot);
}

/* Blocks of several sizes share the room; nothing is kept for nobody, or in want of memory. */
static void bounds(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct vdb_hot *hot = make(&mem, 0, BYTES);
  uint32_t owner = vdb_hot_owner(hot), other = vdb_hot_owner(hot);
  for (uint32_t round = 0; round < 3; round++)
    for (uint32_t i = 0; i < 2 * KEPT; i++) {
      ask(hot, i % 2 ? owner : other, i, (size_t)UNIT << (i % 2));
      assert_true(mem.used <= BYTES);
    }
  assert_true(mem.used > BYTES / 10 * 9);
  assert_false(ask(hot, 0, 5, UNIT));
  assert_false(ask(hot, 0, 5, UNIT));
  uint64_t before = entries(hot), used = mem.used;
  vdb_hot_forget(hot, owner);
  assert_true(entries(hot) < before && mem.used < used);
  assert_true(share_of(hot, owner, 2 * KEPT) == 0);
  assert_true(vdb_hot_shrink(hot, UNIT) >= UNIT);
  assert_true(entries(hot) > 0);
  vdb_hot_shrink(hot, UINT64_MAX);
  assert_int_equal(entries(hot), 0);
  assert_int_equal(vdb_hot_bytes(hot), 0);
  done(&mem, hot);

  hot = make(&mem, 1 << 20, BYTES); /* of which some is left to others */
  owner = vdb_hot_owner(hot);
  ask(hot, owner, 1, UNIT);
  assert_int_equal(entries(hot), 0);
  done(&mem, hot);
  vecdb_error err;
  for (uint64_t limit = 0; limit < BYTES; limit = limit * 2 + 100) {
    vdb_mem_init(&mem, NULL, limit + 1);
    int rc = vdb_hot_new(&mem, BYTES, &hot, &err);
    assert_true(rc == (hot ? VECDB_OK : VECDB_ERR_NO_MEMORY));
    done(&mem, hot);
  }
}

/* Where the budget has less than the cache may take, what is asked for more often gets in, too. */
static void small_budget(void **state) {
  (void)state;
  struct vdb_mem mem;
  struct vdb_hot *hot = make(&mem, 0, BYTES);
  uint64_t tables = mem.used;
  done(&mem, hot);
  hot = make(&mem, tables + (1 << 20) + KEPT / 4 * UNIT, BYTES);
  uint32_t owner = vdb_hot_owner(hot), other = vdb_hot_owner(hot);
  for (uint32_t i = 0; i < KEPT; i++)
    ask(hot, owner, i, UNIT);
  assert_true(entries(hot) > KEPT / 5 && entries(hot) <= KEPT / 4);
  for (uint32_t round = 0; round < 10; round++)
    for (uint32_t i = 0; i < KEPT / 8; i++)
      ask(hot, other, i, UNIT);
  assert_true(share_of(hot, other, KEPT / 8) > .9);
  assert_true(vdb_mem_left(&mem) >= (1 << 20) - UNIT && entries(hot) > KEPT / 5);
  done(&mem, hot);
}

struct race {
  struct vdb_hot *hot;
  uint32_t seed, owners[3];
};

/* Asks at random, now and then takes memory back; ask() looks at each block that it finds. */
static void *race_run(void *arg) {
  const struct race *race = arg;
  struct vdb_rng rng = {race->seed};
  uint64_t hits = 0, misses = 0; /* which only grow, whoever asks meanwhile */
  for (uint32_t i = 0; i < TEST_SIZES(60000, 20000, 6000); i++) {
    uint32_t number = vdb_rng_below(&rng, 1 + vdb_rng_below(&rng, 600));
    uint32_t owner = race->owners[vdb_rng_below(&rng, 3)];
    ask(race->hot, owner, number, (size_t)UNIT << (number % 5 == 0));
    struct vdb_hot_counts counts;
    vdb_hot_count(race->hot, &counts);
    if (counts.misses < misses || counts.hits < hits)
      abort();
    misses = counts.misses;
    hits = counts.hits;
    if (i % 1000 == 999)
      vdb_hot_shrink(race->hot, 64 * UNIT);
  }
  return NULL;
}

static void threads(void **state) {
  (void)state;
  struct vdb_mem mem;
  pthread_t ids[4];
  struct race races[4];
  struct vdb_hot *hot = make(&mem, 0, 1 << 20);
  uint32_t owners[3];
  for (size_t i = 0; i < VDB_COUNT(owners); i++)
    owners[i] = vdb_hot_owner(hot);
  for (uint32_t t = 0; t < VDB_COUNT(ids); t++) {
    races[t] = (struct race){hot, t, {owners[0], owners[1], owners[2]}};
    assert_int_equal(pthread_create(&ids[t], NULL, race_run, &races[t]), 0);
  }
  for (uint32_t t = 0; t < VDB_COUNT(ids); t++)
    pthread_join(ids[t], NULL);
  struct vdb_hot_counts counts;
  vdb_hot_count(hot, &counts);
  assert_true(counts.hits > 0 && counts.misses > 0);
  assert_true(mem.used <= 1 << 20);
  for (size_t i = 0; i < VDB_COUNT(owners); i++)
    vdb_hot_forget(hot, owners[i]);
  assert_int_equal(entries(hot), 0);
  done(&mem, hot);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scans_displace_nothing),
      cmocka_unit_test(what_is_cold_goes),
      cmocka_unit_test(near_the_best),
      cmocka_unit_test(bounds),
      cmocka_unit_test(small_budget),
      cmocka_unit_test(threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
