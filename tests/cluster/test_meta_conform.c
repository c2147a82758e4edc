/*
 * test_meta_conform.c - the table of conform.h against the model, without and with delays.
 */
#include "conform.h"

static void conform_model_compact(struct mt *t, int64_t revision) {
  model_compact(t->server, revision);
}

static void conform_model(const struct model_faults *faults) {
  struct mt t = {.server = model_new(1)};
  assert_non_null(t.server);
  t.store = model_connect(t.server);
  assert_non_null(t.store);
  model_set_faults(t.server, faults);
  conform_compaction = conform_model_compact;
  for (size_t i = 0; i < CONFORM_CASES; i++) {
    snprintf(t.prefix, sizeof t.prefix, "case%zu", i);
    conform_cases[i].run(&t);
  }
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),
      cmocka_unit_test(test_model_slow),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
