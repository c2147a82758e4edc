/*
 * test_filter_hostile.c - texts made to hurt: deep, long, broken, cut and mutated. All are answered
 * with rows or an error whose position lies in the text, soon and without a leak.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "filter_fixture.h"

static struct vdb_mem th_mem;

static double th_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Compiles n bytes that lie in a block of exactly that size. */
static int th_compile(const char *text, size_t n, vecdb_error *err) {
  char *exact = malloc(n ? n : 1);
  assert_non_null(exact);
  memcpy(exact, text, n);
  vecdb_filter source = {exact, n, NULL, 0};
  struct vdb_filter *filter = NULL;
  memset(err, 0, sizeof *err);
  int rc = n ? vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, err) : VECDB_OK;
  free(exact);
  if (rc) {
    assert_null(filter);
    assert_int_equal(err->code, rc);
    assert_true(err->position >= 0 && err->position <= (int64_t)n);
    assert_true(strlen(err->message) > 0);
    assert_true(vdb_utf8_valid(err->message, strlen(err->message)));
  }
  vdb_filter_free(&th_mem, filter);
  assert_int_equal(th_mem.used, 0);
  return rc;
}

/* `head`, `unit` as often as fits in n bytes, `tail`. */
static char *th_repeat(const char *head, const char *unit, const char *tail, size_t n,
                       size_t *length) {
  char *text = malloc(n + strlen(head) + strlen(unit) + strlen(tail) + 1);
  assert_non_null(text);
  strcpy(text, head);
  size_t at = strlen(head), step = strlen(unit), all = n > at ? (n - at) / step * step : 0;
  memcpy(text + at, unit, all ? step : 0);
  for (size_t done = step; done < all; done *= 2) /* what is there comes twice */
    memcpy(text + at + done, text + at, done < all - done ? done : all - done);
  at += all;
  strcpy(text + at, tail);
  *length = at + strlen(tail);
  return text;
}

enum { TH_LARGE = 2 << 20, TH_TOLD = 50 /* ms */ };

struct th_case {
  const char *head;
  const char *unit;
  const char *tail;
  int code;
  int other; /* also allowed */
};

static const struct th_case th_cases[] = {
    {"", "(", "", VECDB_ERR_LIMIT, 0},
    {"", "((", "id == 1", VECDB_ERR_LIMIT, 0},
    {"", "!", "", VECDB_ERR_LIMIT, 0},
    {"", "not ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "-", "", VECDB_ERR_LIMIT, 0},
    {"id == ", "+", "1", VECDB_ERR_LIMIT, 0},
    {"id == ", "- ", "1", VECDB_ERR_LIMIT, 0},
    {"", "flag and ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "flag or ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "flag&&", "flag", VECDB_ERR_LIMIT, 0},
    {"", "id == 1 or ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "id<", "1", VECDB_ERR_LIMIT, 0},
    {"id == 1", "+1", "", VECDB_ERR_LIMIT, 0},
    {"id == 2", "**2", "", VECDB_ERR_LIMIT, 0},
    {"id == 2", "*2", "", VECDB_ERR_LIMIT, 0},
    {"", "flag and (id == 1 or ", "", VECDB_ERR_LIMIT, 0},
    {"", "al[", "", VECDB_ERR_LIMIT, 0},
    {"", "array_contains(al,", "", VECDB_ERR_LIMIT, 0},
    {"", "array_contains(al,1) and ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "[", "", VECDB_ERR_FILTER, 0},
    {"", ")", "", VECDB_ERR_FILTER, 0},
    {"", "a", "", VECDB_ERR_UNKNOWN_FIELD, 0},
    {"", "and ", "", VECDB_ERR_FILTER, 0},
    {"", "a ", "", VECDB_ERR_FILTER, 0},
    {"", "9", "", VECDB_ERR_FILTER, 0},
    {"d < 0.", "9", "", VECDB_ERR_FILTER, 0},
    {"d < 1", "9", ".5", VECDB_ERR_FILTER, 0},
    {"d < 1e", "9", "", VECDB_ERR_FILTER, 0},
    {"d < 1e-", "9", "", VECDB_ERR_FILTER, 0},
    {"id == 0x", "f", "", VECDB_ERR_FILTER, 0},
    {"s == '", "a", "'", VECDB_OK, 0},
    {"s == '", "a", "", VECDB_ERR_FILTER, 0},
    {"s == '", "\\u0041", "'", VECDB_OK, 0},
    {"s == '", "\xff", "'", VECDB_ERR_UTF8, 0},
    {"s like '", "%", "'", VECDB_ERR_LIMIT, 0},
    {"s like '", "%_", "'", VECDB_ERR_LIMIT, 0},
    {"s like '", "_", "'", VECDB_ERR_LIMIT, 0},
    {"s like '", "%a", "'", VECDB_ERR_LIMIT, 0},
    {"s like '%", "a", "%'", VECDB_ERR_LIMIT, 0},
    {"s like '%", "a_", "%'", VECDB_ERR_LIMIT, 0},
    {"{", "p", "}", VECDB_ERR_FILTER_PARAM, VECDB_ERR_TYPE},
    {"", "{p} and ", "flag", VECDB_ERR_LIMIT, 0},
    {"id in [1", ",{p}", "]", VECDB_ERR_LIMIT, 0},
    {"id in [1", ", 1", "]", VECDB_OK, 0},
    {"id in [1", ",-1", "]", VECDB_OK, 0},
    {"id in [1", ",", "]", VECDB_ERR_FILTER, 0},
    {"", "id in [1] or ", "flag", VECDB_ERR_LIMIT, 0},
    {"", "\xff", "", VECDB_ERR_UTF8, 0},
    {"", "\xf0\x9f\x98\x80", "", VECDB_ERR_FILTER, 0},
    {"", "\x01", "", VECDB_ERR_FILTER, 0},
    {"", " ", "", VECDB_OK, 0},
    {"", "foo(", "", VECDB_ERR_FILTER, 0},
};

/* The least time of three, of a case of so many bytes. */
static double th_time(const struct th_case *c, size_t bytes) {
  size_t n;
  char *text = th_repeat(c->head, c->unit, c->tail, bytes, &n);
  vecdb_error err;
  double best = 1e9;
  int rc = 0;
  for (int k = 0; k < 3; k++) {
    double start = th_ms();
    rc = th_compile(text, n, &err);
    double took = th_ms() - start;
    best = took < best ? took : best;
  }
  free(text);
  if (bytes == TH_LARGE && rc != c->code && (c->other == 0 || rc != c->other))
    fail_msg("'%s' '%s'...: %d %s", c->head, c->unit, rc, err.message);
  return best;
}

/* Time is linear, whatever the machine: eight times the text takes about eight times as long, not
   64 times. What is fast anyway tells nothing. */
static void test_two_megabytes(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(th_cases); i++) {
    const struct th_case *c = &th_cases[i];
    double large = th_time(c, TH_LARGE);
    if (getenv("FILTER_TIMES"))
      printf("%8.2f ms  '%s' '%s'...\n", large, c->head, c->unit);
    if (large > TH_TOLD && large > 24 * th_time(c, TH_LARGE / 8))
      fail_msg("'%s' '%s'...: %g ms", c->head, c->unit, large);
  }
}

static void test_too_long(void **state) {
  (void)state;
  size_t n;
  char *text = th_repeat("flag", " ", "", VECDB_MAX_FILTER_BYTES + 2, &n);
  vecdb_filter source = {text, n, NULL, 0};
  struct vdb_filter *filter;
  vecdb_error err;
  assert_int_equal(vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, &err),
                   VECDB_ERR_LIMIT);
  source.length = 0; /* up to NUL, which is too far */
  assert_int_equal(vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, &err),
                   VECDB_ERR_LIMIT);
  source.length = VECDB_MAX_FILTER_BYTES;
  assert_int_equal(vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, &err), VECDB_OK);
  vdb_filter_free(&th_mem, filter);
  free(text);
}

/* The limits themselves: what is just allowed compiles. */
static void test_limits(void **state) {
  (void)state;
  char text[4096];
  vecdb_error err;
  for (int depth = 60; depth <= 70; depth++) {
    int at = 0;
    for (int i = 0; i < depth; i++)
      at += sprintf(text + at, "(");
    at += sprintf(text + at, "flag");
    for (int i = 0; i < depth; i++)
      at += sprintf(text + at, ")");
    assert_int_equal(th_compile(text, (size_t)at, &err),
                     depth <= VECDB_MAX_FILTER_DEPTH ? VECDB_OK : VECDB_ERR_LIMIT);
    at = sprintf(text, "id == i8");
    for (int i = 0; i < depth; i++)
      at += sprintf(text + at, " - i16");
    /* the comparison is one level and a field is one */
    assert_int_equal(th_compile(text, (size_t)at, &err),
                     depth + 2 <= VECDB_MAX_FILTER_DEPTH ? VECDB_OK : VECDB_ERR_LIMIT);
  }
}

/* Many elements: a million in all lists is the limit. */
static void test_list_limit(void **state) {
  (void)state;
  enum { MOST = 1000000 };
  char *text = malloc(2 * MOST + 200);
  vecdb_error err;
  for (int over = 0; over < 2; over++) {
    size_t at = (size_t)sprintf(text, "i8 in [1");
    for (int i = 1; i < MOST - 3 + over; i++, at += 2)
      memcpy(text + at, ",1", 2);
    at += (size_t)sprintf(text + at, "] or i8 in [1,2,3]");
    assert_int_equal(th_compile(text, at, &err), over ? VECDB_ERR_LIMIT : VECDB_OK);
  }
  free(text);
  static int64_t many[MOST];
  vecdb_param param = {"p", {VECDB_ARRAY, MOST, {.data = many}, VECDB_INT64}};
  vecdb_filter source = {"id in {p}", 0, &param, 1};
  struct vdb_filter *filter;
  for (int64_t i = 0; i < MOST; i++)
    many[i] = i * 7919 % MOST;
  assert_int_equal(vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, &err), VECDB_OK);
  vdb_filter_free(&th_mem, filter);
  source.text = "id in {p} or id in {p}";
  assert_int_equal(vdb_filter_compile(&th_mem, &fx_schema, &source, &filter, &err),
                   VECDB_ERR_LIMIT);
  assert_int_equal(th_mem.used, 0);
}

static const char *const th_valid[] = {
    "id == 1 and not (flag or s like \"a%b\\\\_c\")",
    "1 < d <= 5.25e-3 || i8 in [1, -2, 0x1F] && title != 'it\\'s \\u00e9\\ud83d\\ude00'",
    "array_contains_all(tags, ['a', \"b\"]) or array_length(al) % 2 == 1",
    "af[0] * -2 ** 3 >= f + 1 - i64 / 7",
    "s is not null and title not in ['x', '\xc3\xa9'] and al[2] IS NULL == false",
    "flag == (id > 3) and ARRAY_CONTAINS(ab, true) and tags[1] like '%_\xe2\x82\xac%'",
};

static void test_prefixes(void **state) {
  (void)state;
  vecdb_error err;
  for (size_t i = 0; i < VDB_COUNT(th_valid); i++)
    for (size_t n = 0; n <= strlen(th_valid[i]); n++)
      th_compile(th_valid[i], n, &err);
}

static void test_mutations(void **state) {
  static const char pool[] =
      "()[]{}'\"\\%_,.<>=!&|+-*/ \n\t\r0129aeixXuEn\0\x80\xff\xc3\xe2\xf0\x7f";
  (void)state;
  struct vdb_rng rng = {4711};
  vecdb_error err;
  for (int i = 0; i < 20000; i++) {
    char text[512];
    size_t n = strlen(th_valid[i % (int)VDB_COUNT(th_valid)]);
    memcpy(text, th_valid[i % (int)VDB_COUNT(th_valid)], n);
    for (uint32_t k = 1 + vdb_rng_below(&rng, 4); k > 0; k--) {
      size_t at = vdb_rng_below(&rng, (uint32_t)n);
      uint32_t how = vdb_rng_below(&rng, 4);
      char c = pool[vdb_rng_below(&rng, sizeof pool - 1)];
      if (how == 0) {
        text[at] = c;
      } else if (how == 1) {
        memmove(text + at + 1, text + at, n - at);
        text[at] = c;
        n++;
      } else if (how == 2 && n > 1) {
        memmove(text + at, text + at + 1, n - at - 1);
        n--;
      } else {
        size_t from = vdb_rng_below(&rng, (uint32_t)n), length = vdb_rng_below(&rng, 16);
        length = length > n - from ? n - from : length;
        length = length > n - at ? n - at : length;
        memmove(text + at, text + from, length);
      }
    }
    th_compile(text, n, &err);
  }
}

/* Every byte in every place of a short filter. */
static void test_every_byte(void **state) {
  static const char base[] = "id in[1]or s=='a\\n'";
  (void)state;
  vecdb_error err;
  for (size_t at = 0; at < sizeof base - 1; at++) {
    for (int c = 0; c < 256; c++) {
      char text[sizeof base];
      memcpy(text, base, sizeof base);
      text[at] = (char)c;
      th_compile(text, sizeof base - 1, &err);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_two_megabytes), cmocka_unit_test(test_too_long),
      cmocka_unit_test(test_limits),        cmocka_unit_test(test_list_limit),
      cmocka_unit_test(test_prefixes),      cmocka_unit_test(test_mutations),
      cmocka_unit_test(test_every_byte),
  };
  vdb_mem_init(&th_mem, NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
