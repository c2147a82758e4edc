/*
 * test_together.c - questions asked together: a device that tests hold up, and that answers a query
 * by numbers made of it; what is asked meanwhile comes as one question. TSAN: yes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <string.h>

#include "accel/together.h"

enum { MOST = 12, MAX_K = 4, MAX_N = 40 };

/* The device, and those who ask it. */
struct rig {
  struct vdb_mem mem;
  struct vdb_mutex mutex, gate;
  struct vdb_cond answered, opened;
  struct vdb_together group;
  struct vdb_together_how how;
  uint64_t waiting, together;
  bool open, fails;
  uint32_t calls, inside;
};

static bool rig_call(void *arg, bool walk, const struct vdb_accel_ask *ask) {
  struct rig *r = arg;
  vdb_mutex_lock(&r->gate);
  r->calls++;
  r->inside++;
  while (!r->open)
    vdb_cond_wait(&r->opened, &r->gate);
  r->inside--;
  bool fails = r->fails;
  vdb_mutex_unlock(&r->gate);
  const uint32_t *queries = ask->queries;
  for (uint32_t i = 0; i < ask->n; i++) {
    ask->counts[i] = ask->k;
    for (uint32_t j = 0; j < ask->k; j++) {
      ask->rows[i * ask->k + j] = queries[i] + j + (walk ? 1000000 : 0);
      ask->keys[i * ask->k + j] = (float)queries[i] / 2;
    }
  }
  return !fails;
}

static void rig_begin(struct rig *r) {
  memset(r, 0, sizeof *r);
  vdb_mem_init(&r->mem, NULL, 0);
  assert_int_equal(vdb_mutex_init(&r->mutex) + vdb_mutex_init(&r->gate), 0);
  assert_int_equal(vdb_cond_init(&r->answered) + vdb_cond_init(&r->opened), 0);
  r->how = (struct vdb_together_how){.mem = &r->mem, .mutex = &r->mutex, .answered = &r->answered,
                                  .waiting = &r->waiting, .together = &r->together,
                                  .query_bytes = sizeof(uint32_t), .call = rig_call, .arg = r};
}

static void rig_end(struct rig *r) {
  assert_null(r->group.waiting);
  assert_int_equal(r->group.under_way + r->waiting, 0);
  vdb_cond_destroy(&r->opened);
  vdb_cond_destroy(&r->answered);
  vdb_mutex_destroy(&r->gate);
  vdb_mutex_destroy(&r->mutex);
}

struct asker {
  struct rig *rig;
  struct vdb_thread thread;
  struct vdb_accel_ask ask;
  uint64_t allow;
  uint32_t queries[MAX_N], rows[MAX_N * MAX_K], counts[MAX_N];
  float keys[MAX_N * MAX_K];
  bool walk, answered;
};

static void asker_run(void *arg) {
  struct asker *a = arg;
  struct vdb_together_how how = a->rig->how;
  how.walk = a->walk;
  a->answered = vdb_together_ask(&a->rig->group, &how, &a->ask);
}

static void asker_start(struct rig *r, struct asker *a, uint32_t n, uint32_t k, bool walk) {
  static uint32_t next;
  memset(a, 0, sizeof *a);
  a->rig = r;
  a->walk = walk;
  for (uint32_t i = 0; i < n; i++)
    a->queries[i] = next += 10;
  a->ask = (struct vdb_accel_ask){.queries = a->queries, .n = n, .k = k, .width = k,
                                  .rows = a->rows, .keys = a->keys, .counts = a->counts};
  assert_int_equal(vdb_thread_start(&a->thread, asker_run, a), 0);
}

/* Waits until so many wait, and so many are with the device. */
static void settle(struct rig *r, uint64_t waiting, uint32_t inside) {
  for (bool there = false; !there; sched_yield()) {
    vdb_mutex_lock(&r->mutex);
    vdb_mutex_lock(&r->gate);
    there = r->waiting == waiting && r->inside == inside;
    vdb_mutex_unlock(&r->gate);
    vdb_mutex_unlock(&r->mutex);
  }
}

static void gate(struct rig *r, bool open, bool fails) {
  vdb_mutex_lock(&r->gate);
  r->open = open;
  r->fails = fails;
  vdb_cond_broadcast(&r->opened);
  vdb_mutex_unlock(&r->gate);
}

static void asker_check(struct asker *a) {
  vdb_thread_join(&a->thread);
  assert_true(a->answered);
  for (uint32_t i = 0; i < a->ask.n; i++) {
    assert_int_equal(a->counts[i], a->ask.k);
    for (uint32_t j = 0; j < a->ask.k; j++) {
      assert_int_equal(a->rows[i * a->ask.k + j], a->queries[i] + j + (a->walk ? 1000000 : 0));
      assert_true(a->keys[i * a->ask.k + j] == (float)a->queries[i] / 2);
    }
  }
}

/* Two are with the device; of those behind them go together who ask alike. */
static void test_together(void **state) {
  (void)state;
  static struct rig r;
  static struct asker a[MOST];
  rig_begin(&r);
  for (uint32_t i = 0; i < 2; i++) {
    asker_start(&r, &a[i], 1, 2, false);
    settle(&r, 0, i + 1);
  }
  for (uint32_t i = 2; i < 9; i++) {
    asker_start(&r, &a[i], 1 + i % 3, i == 4 ? 3 : 2, i == 6);
    settle(&r, i - 1, 2);
  }
  gate(&r, true, false);
  for (uint32_t i = 0; i < 9; i++)
    asker_check(&a[i]);
  assert_int_equal(r.calls, 2 + 3); /* five together, and of another k, and a walk */
  assert_int_equal(r.together, 5);
  rig_end(&r);
}

/* Not more queries than a module does at a time. */
static void test_most(void **state) {
  (void)state;
  static struct rig r;
  static struct asker a[MOST];
  rig_begin(&r);
  for (uint32_t i = 0; i < 2 + 7; i++) {
    asker_start(&r, &a[i], MAX_N, 1, false);
    settle(&r, i < 2 ? 0 : i - 1, i < 2 ? i + 1 : 2);
  }
  gate(&r, true, false);
  for (uint32_t i = 0; i < 2 + 7; i++)
    asker_check(&a[i]);
  assert_int_equal(r.calls, 2 + 3); /* of three, three and one */
  rig_end(&r);
}

/* A failure is that of all who asked together; out of memory each asks alone. */
static void test_failing(void **state) {
  (void)state;
  static struct rig r;
  static struct asker a[MOST];
  rig_begin(&r);
  for (uint32_t turn = 0; turn < 2; turn++) {
    gate(&r, false, false);
    r.calls = 0;
    for (uint32_t i = 0; i < 5; i++) {
      asker_start(&r, &a[i], 1, 1, false);
      settle(&r, i < 2 ? 0 : i - 1, i < 2 ? i + 1 : 2);
    }
    if (turn == 1)
      vdb_mem_init(&r.mem, NULL, 1);
    gate(&r, true, turn == 0);
    for (uint32_t i = 0; i < 5; i++) {
      vdb_thread_join(&a[i].thread);
      assert_int_equal(a[i].answered, turn == 1);
    }
    assert_int_equal(r.calls, turn == 0 ? 3 : 5);
  }
  rig_end(&r);
}

/* What has a bitmap of its own waits for nobody. */
static void test_apart(void **state) {
  (void)state;
  static struct rig r;
  static struct asker a[MOST];
  rig_begin(&r);
  for (uint32_t i = 0; i < 2; i++) {
    asker_start(&r, &a[i], 1, 2, false);
    settle(&r, 0, i + 1);
  }
  memset(&a[2], 0, sizeof a[2]);
  a[2].rig = &r;
  a[2].ask = (struct vdb_accel_ask){.queries = a[2].queries, .n = 1, .k = 1, .width = 1,
                                    .allow = &a[2].allow, .rows = a[2].rows, .keys = a[2].keys,
                                    .counts = a[2].counts};
  assert_int_equal(vdb_thread_start(&a[2].thread, asker_run, &a[2]), 0);
  settle(&r, 0, 3);
  gate(&r, true, false);
  for (uint32_t i = 0; i < 3; i++)
    asker_check(&a[i]);
  assert_int_equal(r.together, 0);
  rig_end(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_together), cmocka_unit_test(test_most),
      cmocka_unit_test(test_failing), cmocka_unit_test(test_apart)};
  return cmocka_run_group_tests_name("together", tests, NULL, NULL);
}
