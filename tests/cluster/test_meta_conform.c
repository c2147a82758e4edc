/*
 * test_meta_conform.c - the table of conform.h against the model, without and with delays, and
 * against a real etcd; and what the client of etcd does when its endpoints fail.
 */
#include "conform.h"
#include "etcdtest.h"

static void conform_model_compact(struct mt *t, int64_t revision) {
  model_compact(t->server, revision);
}

static void conform_all(struct mt *t) {
  for (size_t i = 0; i < CONFORM_CASES; i++) {
    snprintf(t->prefix, sizeof t->prefix, "case%zu", i);
    conform_cases[i].run(t);
  }
}

static void conform_model(const struct model_faults *faults) {
  struct mt t = {.server = model_new(1)};
  assert_non_null(t.server);
  t.store = model_connect(t.server);
  assert_non_null(t.store);
  model_set_faults(t.server, faults);
  conform_compaction = conform_model_compact;
  conform_all(&t);
  meta_close(t.store);
  model_free(t.server);
}

static void test_model(void **state) {
  (void)state;
  conform_model(&(struct model_faults){0});
}

static void test_model_slow(void **state) {
  (void)state;
  conform_model(&(struct model_faults){.latency_min_us = 100,
                                       .latency_max_us = 20000,
                                       .slow = 500,
                                       .slow_us = 1000000,
                                       .watch_lag_us = 300000});
}

static void conform_etcd_compact(struct mt *t, int64_t revision) {
  struct mt_result r = {0};
  assert_int_equal(etcd_compact(t->store, revision, mt_done, &r), META_OK);
  mt_wait(t, &r);
  assert_int_equal(r.r.status, META_OK);
}

static void test_etcd(void **state) {
  struct et e;
  struct mt t;
  (void)state;
  if (!et_installed()) {
    print_message("skipped: etcd is not installed (Debian: etcd-server)\n");
    skip();
  }
  et_start(&e, 1);
  et_connect(&e, &t);
  conform_compaction = conform_etcd_compact;
  conform_all(&t);
  meta_close(t.store);
  et_stop(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),
      cmocka_unit_test(test_model_slow),
      cmocka_unit_test(test_etcd),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
