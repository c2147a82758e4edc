/* test_pool.c - loops on the pool, and the controls that long calls poll; run under TSan too. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "os/control.h"
#include "os/pool.h"

enum { MAX_WORKERS = 8, CALLERS = 4, ITEMS = 5000 };

struct fixture {
  struct vdb_env env;
  struct vdb_pool *pool;
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  vecdb_error err;
  *state = f;
  return vdb_env_init(&f->env, NULL, false, &err) ||
         vdb_pool_new(&f->env, MAX_WORKERS, &f->pool, &err);
}

static int teardown(void **state) {
  struct fixture *f = *state;
  vdb_pool_free(f->pool);
  int rc = atomic_load(&f->env.mem.used) != 0;
  vdb_env_fini(&f->env);
  free(f);
  return rc;
}

struct loop {
  uint8_t *seen;                    /* per item; plain, so that TSan sees an item done twice */
  uint64_t sum[MAX_WORKERS];        /* per worker; plain, so that TSan sees a number used twice */
  _Atomic int busy[MAX_WORKERS];
  _Atomic int overlaps;
  unsigned workers;
};

static void loop_body(void *arg, size_t i, unsigned worker) {
  struct loop *loop = arg;
  if (worker >= loop->workers || atomic_exchange(&loop->busy[worker], 1))
    atomic_fetch_add(&loop->overlaps, 1);
  loop->seen[i]++;
  loop->sum[worker % MAX_WORKERS] += i;
  atomic_store(&loop->busy[worker], 0);
}

/* Runs a loop of n items and checks it; false when something is wrong. Any thread. */
static bool loop_check(struct vdb_par par, size_t n) {
  struct loop loop;
  memset(&loop, 0, sizeof loop);
  loop.seen = calloc(1, n + 1);
  loop.workers = par.workers;
  par.run(&par, n, loop_body, &loop);
  bool ok = atomic_load(&loop.overlaps) == 0;
  uint64_t sum = 0;
  for (unsigned w = 0; w < MAX_WORKERS; w++)
    sum += loop.sum[w];
  ok = ok && sum == (n == 0 ? 0 : (uint64_t)n * (n - 1) / 2);
  for (size_t i = 0; i < n; i++)
    ok = ok && loop.seen[i] == 1;
  free(loop.seen);
  return ok;
}

static void test_each_once(void **state) {
  struct fixture *f = *state;
  for (unsigned limit = 0; limit <= MAX_WORKERS + 1; limit++) {
    struct vdb_par par = vdb_pool_par(f->pool, limit);
    assert_int_equal(par.workers, limit == 0 || limit > MAX_WORKERS ? MAX_WORKERS : limit);
    assert_true(loop_check(par, 0));
    assert_true(loop_check(par, 1));
    assert_true(loop_check(par, 2));
    assert_true(loop_check(par, ITEMS));
  }
}

static void test_many_short_loops(void **state) {
  struct fixture *f = *state;
  for (size_t i = 0; i < 2000; i++)
    assert_true(loop_check(vdb_pool_par(f->pool, 0), i % 5));
}

struct nest {
  struct vdb_pool *pool;
  _Atomic unsigned bad;
  unsigned depth;
};

static void nest_body(void *arg, size_t i, unsigned worker) {
  struct nest *nest = arg;
  (void)worker;
  if (nest->depth > 0) {
    struct nest inner = {.pool = nest->pool, .depth = nest->depth - 1};
    struct vdb_par par = vdb_pool_par(nest->pool, 0);
    par.run(&par, 4, nest_body, &inner);
    atomic_fetch_add(&nest->bad, atomic_load(&inner.bad));
  } else if (!loop_check(vdb_pool_par(nest->pool, (unsigned)(i % 3)), 50 + i)) {
    atomic_fetch_add(&nest->bad, 1);
  }
}

static void test_nested(void **state) {
  struct fixture *f = *state;
  struct nest nest = {.pool = f->pool, .depth = 3};
  struct vdb_par par = vdb_pool_par(f->pool, 0);
  par.run(&par, 6, nest_body, &nest);
  assert_int_equal(atomic_load(&nest.bad), 0);
}

struct caller {
  struct vdb_thread thread;
  struct vdb_pool *pool;
  bool ok;
};

static void caller_main(void *arg) {
  struct caller *caller = arg;
  caller->ok = true;
  for (unsigned i = 0; i < 200; i++)
    caller->ok = loop_check(vdb_pool_par(caller->pool, i % 4), 100 + i) && caller->ok;
}

static void test_concurrent(void **state) {
  struct fixture *f = *state;
  struct caller callers[CALLERS];
  for (unsigned i = 0; i < CALLERS; i++) {
    callers[i].pool = f->pool;
    assert_int_equal(vdb_thread_start(&callers[i].thread, caller_main, &callers[i]), 0);
  }
  for (unsigned i = 0; i < CALLERS; i++) {
    vdb_thread_join(&callers[i].thread);
    assert_true(callers[i].ok);
  }
}

/* Each item waits for the other: they end only when two threads work at the same time. */
struct meet {
  struct vdb_mutex mutex;
  struct vdb_cond cond;
  unsigned here;
  bool late;
};

static void meet_body(void *arg, size_t i, unsigned worker) {
  struct meet *meet = arg;
  (void)i;
  (void)worker;
  vdb_mutex_lock(&meet->mutex);
  meet->here++;
  vdb_cond_broadcast(&meet->cond);
  while (meet->here < 2 && !meet->late)
    meet->late = !vdb_cond_wait_ns(&meet->cond, &meet->mutex, 20000000000u);
  vdb_mutex_unlock(&meet->mutex);
}

static void test_is_parallel(void **state) {
  struct fixture *f = *state;
  struct meet meet = {.here = 0};
  assert_int_equal(vdb_mutex_init(&meet.mutex), 0);
  assert_int_equal(vdb_cond_init(&meet.cond), 0);
  struct vdb_par par = vdb_pool_par(f->pool, 2);
  par.run(&par, 2, meet_body, &meet);
  assert_int_equal(meet.here, 2);
  assert_false(meet.late);
  vdb_cond_destroy(&meet.cond);
  vdb_mutex_destroy(&meet.mutex);
}

static void test_pool_of_one(void **state) {
  struct fixture *f = *state;
  struct vdb_pool *pool;
  vecdb_error err;
  assert_int_equal(vdb_pool_new(&f->env, 1, &pool, &err), VECDB_OK);
  assert_int_equal(vdb_pool_par(pool, 0).workers, 1);
  assert_true(loop_check(vdb_pool_par(pool, 0), 100));
  vdb_pool_free(pool);
  vdb_pool_free(NULL);
}

static void test_pool_no_memory(void **state) {
  struct fixture *f = *state;
  struct vdb_pool *pool = f->pool;
  vecdb_error err;
  f->env.mem.limit = atomic_load(&f->env.mem.used);
  assert_int_equal(vdb_pool_new(&f->env, 4, &pool, &err), VECDB_ERR_NO_MEMORY);
  assert_null(pool);
  f->env.mem.limit = 0;
}

static void test_wait_runs_out(void **state) {
  (void)state;
  struct vdb_mutex mutex;
  struct vdb_cond cond;
  assert_int_equal(vdb_mutex_init(&mutex), 0);
  assert_int_equal(vdb_cond_init(&cond), 0);
  vdb_mutex_lock(&mutex);
  uint64_t before = vdb_clock_posix().monotonic_ns(NULL);
  while (vdb_cond_wait_ns(&cond, &mutex, 2000000))
    continue;
  assert_true(vdb_clock_posix().monotonic_ns(NULL) - before >= 2000000);
  vdb_mutex_unlock(&mutex);
  assert_true(vdb_mutex_try(&mutex));
  vdb_mutex_unlock(&mutex);
  vdb_cond_destroy(&cond);
  vdb_mutex_destroy(&mutex);
}

/* ---- Environment and controls ---------------------------------------------------------------- */

static uint64_t fake_now(void *user) { return *(uint64_t *)user; }

static int stop_at_three(void *user, const char *phase, uint64_t done, uint64_t total) {
  (void)user;
  assert_string_equal(phase, "build");
  assert_int_equal(total, 9);
  return done == 3;
}

static void test_control(void **state) {
  (void)state;
  uint64_t now = 1000;
  vecdb_clock clock = {fake_now, fake_now, &now};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.clock = &clock;
  struct vdb_env env;
  vecdb_error err;
  assert_int_equal(vdb_env_init(&env, &options, false, &err), VECDB_OK);
  struct vdb_control c;
  vdb_control_init(&c, &env, NULL);
  assert_int_equal(vdb_control_poll(&c), 0);
  assert_int_equal(vdb_control_progress(&c, "build", 1, 9), 0);
  assert_false(vdb_control_stop(&c));

  int32_t cancel = 0;
  vecdb_control options_of_call = VECDB_CONTROL_INIT;
  options_of_call.timeout_ms = 5;
  options_of_call.cancel = &cancel;
  vdb_control_init(&c, &env, &options_of_call);
  now += 4999999;
  assert_int_equal(vdb_control_poll(&c), 0);
  now++;
  assert_int_equal(vdb_control_poll(&c), VECDB_ERR_TIMEOUT);
  cancel = 1; /* the first reason stays */
  assert_int_equal(vdb_control_poll(&c), VECDB_ERR_TIMEOUT);
  assert_int_equal(vdb_control_fail(&c, &err), VECDB_ERR_TIMEOUT);
  assert_int_equal(err.code, VECDB_ERR_TIMEOUT);
  vdb_control_init(&c, &env, &options_of_call);
  assert_int_equal(vdb_control_poll(&c), VECDB_ERR_CANCELLED);
  assert_true(vdb_control_stop(&c));

  vecdb_control with_progress = VECDB_CONTROL_INIT;
  with_progress.progress = stop_at_three;
  vdb_control_init(&c, &env, &with_progress);
  assert_int_equal(vdb_control_progress(&c, "build", 2, 9), 0);
  assert_int_equal(vdb_control_progress(&c, "build", 3, 9), VECDB_ERR_CANCELLED);
  assert_int_equal(vdb_control_progress(&c, "build", 4, 9), VECDB_ERR_CANCELLED);
  now = UINT64_MAX - 10; /* a deadline past the end of time is none */
  vdb_control_init(&c, &env, &options_of_call);
  assert_true(c.deadline_ns == UINT64_MAX);
  vdb_env_fini(&env);
}

struct log_seen {
  char line[2000];
  int level;
  unsigned n;
};

static void log_note(void *user, int level, const char *line) {
  struct log_seen *seen = user;
  seen->level = level;
  seen->n++;
  strncpy(seen->line, line, sizeof seen->line - 1);
}

static void test_env(void **state) {
  (void)state;
  struct vdb_env env;
  vecdb_error err;
  struct log_seen seen = {.n = 0};
  assert_int_equal(vdb_env_init(&env, NULL, false, &err), VECDB_OK);
  assert_ptr_equal(env.vfs, vdb_vfs_posix());
  assert_true(env.threads >= 1);
  assert_true(env.seed != 0);
  assert_true(vdb_now_ns(&env) <= vdb_now_ns(&env));
  assert_true(vdb_wall_ns(&env) > 1600000000u * (uint64_t)1000000000);
  vdb_log(&env, VECDB_LOG_INFO, "%d", 1); /* no hook, no line */
  vdb_env_fini(&env);

  vecdb_options options = VECDB_OPTIONS_INIT;
  options.seed = 7;
  options.threads = 3;
  options.log = log_note;
  options.log_user = &seen;
  assert_int_equal(vdb_env_init(&env, &options, true, &err), VECDB_OK);
  assert_int_equal(env.seed, 7);
  assert_int_equal(env.threads, 3);
  assert_non_null(env.owned_vfs);
  assert_ptr_equal(env.vfs, env.owned_vfs);
  vdb_log(&env, VECDB_LOG_WARN, "%s %d", "line", 2);
  assert_string_equal(seen.line, "line 2");
  assert_int_equal(seen.level, VECDB_LOG_WARN);
  vdb_log(&env, VECDB_LOG_WARN, "%01500d", 5); /* cut to fit */
  assert_int_equal(seen.n, 2);
  assert_true(strlen(seen.line) > 500);
  vdb_env_fini(&env);
  assert_int_equal(atomic_load(&env.mem.used), 0);

  options.memory_limit = 8;
  assert_int_equal(vdb_env_init(&env, &options, true, &err), VECDB_ERR_NO_MEMORY);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_each_once, setup, teardown),
      cmocka_unit_test_setup_teardown(test_many_short_loops, setup, teardown),
      cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
      cmocka_unit_test_setup_teardown(test_concurrent, setup, teardown),
      cmocka_unit_test_setup_teardown(test_is_parallel, setup, teardown),
      cmocka_unit_test_setup_teardown(test_pool_of_one, setup, teardown),
      cmocka_unit_test_setup_teardown(test_pool_no_memory, setup, teardown),
      cmocka_unit_test(test_wait_runs_out),
      cmocka_unit_test(test_control),
      cmocka_unit_test(test_env),
  };
  return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
