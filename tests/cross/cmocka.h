/*
 * cmocka.h - stands in for cmocka where it is not to be had: in tests that are compiled for another
 * processor. The assertions that such tests use, and nothing that continues after a failure.
 */
#ifndef CROSS_CMOCKA_H
#define CROSS_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
  const char *name;
  void (*test)(void **state);
  int (*setup)(void **state);
  int (*teardown)(void **state);
};

#define cmocka_unit_test(f) {#f, f, NULL, NULL}
#define cmocka_unit_test_setup_teardown(f, before, after) {#f, f, before, after}
#define cmocka_run_group_tests_name(name, tests, before, after) \
  cross_run(name, tests, sizeof(tests) / sizeof((tests)[0]), before, after)
#define cmocka_run_group_tests(tests, before, after) \
  cmocka_run_group_tests_name(#tests, tests, before, after)

#define print_error(...) fprintf(stderr, __VA_ARGS__)
#define print_message(...) printf(__VA_ARGS__)

static inline void _fail(const char *file, int line) {
  fprintf(stderr, "%s:%d: failed\n", file, line);
  exit(1);
}

static inline void cross_check(int ok, const char *what, const char *file, int line) {
  if (ok)
    return;
  fprintf(stderr, "%s does not hold\n", what);
  _fail(file, line);
}

static inline void cross_range(unsigned long long x, unsigned long long low,
                               unsigned long long high, const char *file, int line) {
  cross_check(x >= low && x <= high, "the range", file, line);
}

#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), _fail(__FILE__, __LINE__))
#define fail() _fail(__FILE__, __LINE__)
#define assert_true(x) cross_check(!!(x), #x, __FILE__, __LINE__)
#define assert_false(x) cross_check(!(x), "not " #x, __FILE__, __LINE__)
#define assert_null(p) assert_true((p) == NULL)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b) assert_true((long long)(a) == (long long)(b))
#define assert_int_not_equal(a, b) assert_true((long long)(a) != (long long)(b))
#define assert_in_range(x, low, high) \
  cross_range((unsigned long long)(x), (unsigned long long)(low), (unsigned long long)(high), \
              __FILE__, __LINE__)
#define assert_string_equal(a, b) assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_memory_not_equal(a, b, n) assert_true(memcmp(a, b, n) != 0)

static inline int cross_run(const char *name, const struct CMUnitTest *tests, size_t n,
                            int (*before)(void **), int (*after)(void **)) {
  void *group = NULL;
  printf("[==========] %s: Running %zu test(s).\n", name, n);
  cross_check(!before || before(&group) == 0, "the set-up of the group", name, 0);
  for (size_t i = 0; i < n; i++) {
    void *state = group;
    cross_check(!tests[i].setup || tests[i].setup(&state) == 0, "the set-up", tests[i].name, 0);
    tests[i].test(&state);
    cross_check(!tests[i].teardown || tests[i].teardown(&state) == 0, "the end", tests[i].name, 0);
    printf("[       OK ] %s\n", tests[i].name);
    fflush(stdout);
  }
  cross_check(!after || after(&group) == 0, "the end of the group", name, 0);
  printf("[==========] %zu test(s) run.\n[  PASSED  ] %zu test(s).\n", n, n);
  return 0;
}

#endif
