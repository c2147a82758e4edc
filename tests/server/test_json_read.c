/*
 * test_json_read.c - the reader of JSON beside Jansson's: texts that are right and wrong, numbers
 * of every length, and texts with random changes. Where both read, the values are equal to the bit,
 * and are written in the same bytes. Numbers in one piece stand where they may and nowhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "server/json_numbers.h"
#include "server/json_read.h"
#include "server/json_write.h"
#include "tlib/thorough.h"

/* Equal, with reals compared by their bits: 0.0 and -0.0 are not the same. */
static bool same(const json_t *a, const json_t *b) {
  json_t *other;
  const char *key;
  if (json_typeof(a) != json_typeof(b))
    return false;
  if (json_is_real(a)) {
    double x = json_real_value(a), y = json_real_value(b);
    return memcmp(&x, &y, sizeof x) == 0;
  }
  if (json_is_array(a)) {
    bool equal = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; equal && i < json_array_size(a); i++)
      equal = same(json_array_get(a, i), json_array_get(b, i));
    return equal;
  }
  if (!json_is_object(a))
    return json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
  bool equal = json_object_size(a) == json_object_size(b);
  json_object_foreach((json_t *)(uintptr_t)a, key, other) {
    const json_t *mine = json_object_get(b, key);
    equal = equal && mine && same(other, mine);
  }
  return equal;
}

/* Whether what was read of the text that was written is the value: reals may be other ones where
   both are the same float. */
static bool alike(const json_t *a, const json_t *b) {
  const char *key;
  json_t *member;
  if (json_is_real(a) && json_is_real(b)) {
    double x = json_real_value(a), y = json_real_value(b);
    return x == y || ((double)(float)x == x && (float)x == (float)y);
  }
  bool equal = json_typeof(a) == json_typeof(b) && json_array_size(a) == json_array_size(b) &&
               json_object_size(a) == json_object_size(b);
  for (size_t i = 0; equal && i < json_array_size(a); i++)
    equal = alike(json_array_get(a, i), json_array_get(b, i));
  json_object_foreach((json_t *)(uintptr_t)a, key, member)
    equal = equal && json_object_get(b, key) && alike(member, json_object_get(b, key));
  return equal && (json_is_array(a) || json_is_object(a) ||
                   json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b));
}

/* Written as Jansson does with 9 digits, or else so that it is read as the same. */
static void written_same(const json_t *json) {
  struct srv_text got = {0};
  char *wanted = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
  assert_non_null(wanted);
  assert_true(srv_json_write(json, &got));
  json_t *back = json_loadb(got.data, got.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  json_t *nine = json_loads(wanted, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  bool same_text = got.n == strlen(wanted) && memcmp(got.data, wanted, got.n) == 0;
  if (!back || !alike(json, back) || (nine && same(json, nine) && !same_text))
    fail_msg("written as %.*s, not %s", (int)got.n, got.data, wanted);
  json_decref(back);
  json_decref(nine);
  free(wanted);
  free(got.data);
}

/* Reads a text both ways; whether it is JSON. The text is copied to a block of its size, for the
   address sanitizer. */
static bool both(const char *text, size_t n) {
  json_error_t why, wanted_why;
  char *copy = malloc(n + 1);
  memcpy(copy, text, n);
  copy[n] = '\0';
  json_t *got = srv_json_read(copy, n, &why);
  json_t *wanted = json_loadb(copy, n, JSON_REJECT_DUPLICATES, &wanted_why);
  if (!got != !wanted || (got && !same(got, wanted)))
    fail_msg("read otherwise than by Jansson: %.*s", (int)n, text);
  if (!got)
    assert_string_equal(why.text, wanted_why.text);
  else
    written_same(got);
  bool is_json = got != NULL;
  json_decref(got);
  json_decref(wanted);
  free(copy);
  return is_json;
}

static const char *const right[] = {
    "{}", "[]", " [ ] ", "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":true,\"e\":false}",
    "[0,-0,1,-1,0.0,-0.0,1e5,1E+5,1e-5,0e0,12345678901234567890.5,1.7976931348623157e308]",
    "[4.9e-324,2.2250738585072014e-308,1e-400,9007199254740993.0,9007199254740992.0]",
    "[9223372036854775807,-9223372036854775808,999999999999999999,1000000000000000000]",
    "[\"\",\"a\",\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"]",
    ("[\"gr\xc3\xb6\xc3\x9f" "e \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"]"),
    "{\"\":1,\"a b\":2,\"\\u00e9\":3,\"\xc3\xa9 \":4}", "\t\r\n [\n1\t,\r2 ]\n",
    "[[[[[[[[[[]]]]]]]]]]",
};

static const char *const wrong[] = {
    "", " ", "1", "\"a\"", "null", "[", "]", "{", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{,}",
    "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":2}",
    "{\"a\":1,\"\\u0061\":2}", "[01]", "[-]", "[-01]", "[+1]", "[.5]", "[1.]", "[1.e5]", "[1e]",
    "[1e+]", "[0x1]", "[1e400]", "[-1e400]", "[9223372036854775808]", "[-9223372036854775809]",
    "[NaN]", "[Infinity]", "[tru]", "[truex]", "[nul]", "[True]", "[\"]", "[\"a]", "[\"\\\"]",
    "[\"\\x\"]", "[\"\\u12\"]", "[\"\\u12g4\"]", "[\"\\u0000\"]", "[\"\\ud800\"]",
    "[\"\\ud800\\u0041\"]", "[\"\\udc00\"]", "[\"\\ud800\\udbff\"]", "[\"\n\"]", "[\"\x1f\"]",
    "[\"\x80\"]", "[\"\xc3\"]", "[\"\xc0\xaf\"]", "[\"\xed\xa0\x80\"]", "[\"\xf4\x90\x80\x80\"]",
    "{\"\xff\":1}", "[1]x", "[1] 2", "[1]]", "[]{}", "\xef\xbb\xbf[]", "//\n[]", "['a']",
};

static void test_texts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
    if (!both(right[i], strlen(right[i])))
      fail_msg("not read: %s", right[i]);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    if (both(wrong[i], strlen(wrong[i])))
      fail_msg("read: %s", wrong[i]);
  assert_false(both("[1]\0", 4));
  assert_false(both("[\"a\0b\"]", 7));
}

/* Deeper than the reader itself goes, and deeper than Jansson does. */
static void test_depth(void **state) {
  (void)state;
  enum { DEEP = 5000 };
  static char text[2 * DEEP];
  for (size_t depth = 1; depth < DEEP; depth += 1 + depth / 3) {
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    assert_int_equal(both(text, 2 * depth), depth <= 2048);
  }
}

/* Numbers in many forms: printed with few and many digits, and put together of digits. */
static void test_numbers(void **state) {
  (void)state;
  struct vdb_rng rng = {1};
  for (int i = 0; i < TEST_SIZE(200000, 20000); i++) {
    uint64_t bits = vdb_rng_next(&rng);
    double any, small = ((double)bits / (double)UINT64_MAX - 0.5) * 4;
    char text[128];
    memcpy(&any, &bits, sizeof any);
    any = any - any == 0 ? any : 0.5;
    int n = snprintf(text, sizeof text, "[%.17g,%.9g,%.*g,%lld,%.6e]", any, small,
                     1 + (int)(bits % 20), small, (long long)bits, any);
    assert_true(both(text, (size_t)n));
    n = snprintf(text, sizeof text, "[%s%llu.%0*llu%s%d]", bits & 1 ? "-" : "",
                 (unsigned long long)(bits >> (bits & 63)), 1 + (int)(bits % 30),
                 (unsigned long long)(bits >> (bits >> 6 & 63)), bits & 2 ? "e" : "E",
                 (int)(bits >> 12 & 63) - 32);
    assert_true(both(text, (size_t)n));
  }
}

/* A float is written as a real, and read as itself. */
static void test_floats(void **state) {
  (void)state;
  struct vdb_rng rng = {5};
  struct srv_text text = {0};
  for (int i = 0; i < TEST_SIZE(100000, 10000); i++) {
    uint32_t bits = (uint32_t)vdb_rng_next(&rng);
    float value;
    memcpy(&value, &bits, sizeof value);
    text.n = 0;
    assert_true(srv_json_write_float(value, &text));
    json_t *back = json_loadb(text.data, text.n, JSON_DECODE_ANY, NULL);
    float got = (float)json_real_value(back);
    if (isfinite(value))
      assert_true(json_is_real(back) && memcmp(&got, &value, sizeof got) == 0);
    else
      assert_true(json_is_null(back));
    json_decref(back);
  }
  free(text.data);
}

/* Right texts with bytes changed, taken out and put in. */
static void test_changes(void **state) {
  (void)state;
  static const char bytes[] = "{}[]\",:\\u0123456789.eE+-tfn \n\x80\xc3\xa9\xed\x01";
  struct vdb_rng rng = {2};
  unsigned read = 0;
  for (int i = 0; i < TEST_SIZE(300000, 30000); i++) {
    char text[256];
    size_t n = strlen(strcpy(text, right[vdb_rng_below(&rng, sizeof right / sizeof right[0])]));
    for (uint32_t changes = 1 + vdb_rng_below(&rng, 3); changes && n; changes--) {
      size_t at = vdb_rng_below(&rng, (uint32_t)n);
      char byte = bytes[vdb_rng_below(&rng, sizeof bytes)];
      uint32_t what = vdb_rng_below(&rng, 3);
      if (what == 0)
        text[at] = byte;
      else if (what == 1)
        memmove(text + at, text + at + 1, --n - at);
      else {
        memmove(text + at + 1, text + at, n++ - at);
        text[at] = byte;
      }
    }
    read += both(text, n);
  }
  assert_true(read > 1000);
}

/* ---- Numbers in one piece -------------------------------------------------------------------- */

/* Whether an array may be kept in one piece: by its elements alone. */
static bool fit(const json_t *array) {
  bool numbers = json_is_array(array) && json_array_size(array) >= 8, real = false;
  for (size_t i = 0; i < json_array_size(array); i++) {
    numbers = numbers && json_is_number(json_array_get(array, i));
    real = real || json_is_real(json_array_get(array, i));
  }
  return numbers && real;
}

/* Equal to what Jansson reads, with numbers in one piece from `first` to `last` levels down, if
   there are objects on the way in this member of the first alone, if one is named: how many. */
static size_t pieces(const json_t *got, const json_t *wanted, int first, int last,
                     const char *under) {
  const char *key;
  json_t *member;
  size_t n = 0;
  assert_int_equal(srv_is_numbers(got), first <= 0 && last >= 0 && fit(wanted));
  if (srv_is_numbers(got)) {
    assert_int_equal(srv_numbers_count(got), json_array_size(wanted));
    for (size_t i = 0; i < json_array_size(wanted); i++) {
      double x = srv_numbers_get(got, i), y = json_number_value(json_array_get(wanted, i));
      assert_memory_equal(&x, &y, sizeof x);
    }
    return 1;
  }
  if (!json_is_array(wanted) && !json_is_object(wanted)) {
    assert_true(same(got, wanted));
    return 0;
  }
  assert_int_equal(json_typeof(got), json_typeof(wanted));
  assert_int_equal(json_array_size(got), json_array_size(wanted));
  assert_int_equal(json_object_size(got), json_object_size(wanted));
  for (size_t i = 0; i < json_array_size(wanted); i++)
    n += pieces(json_array_get(got, i), json_array_get(wanted, i), first - 1, last - 1,
                under);
  json_object_foreach((json_t *)(uintptr_t)wanted, key, member)
    n += pieces(json_object_get(got, key), member, first - 1,
                under && strcmp(key, under) != 0 ? -1 : last - 1, NULL);
  return n;
}

/* Arrays in arrays and objects; the innermost of numbers, here and there with something else. */
static char *write_nest(struct vdb_rng *rng, char *to, unsigned levels) {
  static const char *const others[] = {"true", "\"x\"", "null", "[0.5]", "9007199254740993"};
  bool object = vdb_rng_below(rng, 2) && levels > 0, reals = vdb_rng_below(rng, 4);
  uint32_t n = levels ? 1 + vdb_rng_below(rng, 3) : 6 + vdb_rng_below(rng, 6);
  to += sprintf(to, object ? "{" : "[");
  for (uint32_t i = 0; i < n; i++) {
    to += sprintf(to, i ? "," : "");
    to += object ? sprintf(to, "\"m%u\":", i) : 0;
    if (levels)
      to = write_nest(rng, to, levels - 1);
    else if (vdb_rng_below(rng, 40) == 0)
      to += sprintf(to, "%s", others[vdb_rng_below(rng, 5)]);
    else if (reals && vdb_rng_below(rng, 3))
      to += sprintf(to, "%.9g", (double)vdb_rng_below(rng, 1000000) / 1024 + 0.00048828125);
    else
      to += sprintf(to, "%d", (int)vdb_rng_below(rng, 100) - 50);
  }
  to += sprintf(to, object ? "}" : "]");
  return to;
}

static void test_pieces(void **state) {
  (void)state;
  static const char *const under[] = {"m1", NULL};
  static const struct srv_json_place places[] = {
      {"a", 0, 0, NULL}, {"b", 1, 1, NULL}, {"c", 1, 2, under}, {NULL, 0, -1, NULL}};
  static const struct srv_json_place all[] = {{NULL, 0, 0, NULL}};
  static char text[1 << 20];
  struct vdb_rng rng = {3};
  size_t found = 0;
  for (int i = 0; i < TEST_SIZE(3000, 300); i++) {
    char *at = text + sprintf(text, "{");
    for (size_t p = 0; p < 4; p++) {
      at += sprintf(at, "%s\"%c\":", p ? "," : "", "abcd"[p]);
      at = write_nest(&rng, at, vdb_rng_below(&rng, 4));
    }
    sprintf(at, "}");
    json_error_t why;
    json_t *got = srv_json_read_at(text, strlen(text), places, &why);
    json_t *one = srv_json_read_at(text, strlen(text), all, &why);
    json_t *wanted = json_loads(text, 0, &why);
    assert_true(got && one && wanted);
    found += pieces(json_object_get(got, "a"), json_object_get(wanted, "a"), 0, 0, NULL);
    found += pieces(json_object_get(got, "b"), json_object_get(wanted, "b"), 1, 1, NULL);
    found += pieces(json_object_get(got, "c"), json_object_get(wanted, "c"), 1, 2, "m1");
    assert_int_equal(pieces(json_object_get(got, "d"), json_object_get(wanted, "d"), 0, -1, NULL),
                     0);
    found += pieces(one, wanted, 1, 1, NULL);
    json_decref(got);
    json_decref(one);
    json_decref(wanted);
  }
  assert_true(found > 100);
}

/* Numbers in an array, of forms that readers may take differently; now and then a changed byte. */
static void write_array(struct vdb_rng *rng, char *to) {
  static const char *const forms[] = {
      "0", "-0", "-0.0", "0e0", "1E-3", "1e-22", "-7.25e+22", "1e23", "9007199254740992",
      "9007199254740993", "9007199254740993.0", "12345678.12345678", "123456789012345678.5",
      "1234567890123456789012345678.5", "0.00000000000000000000000012345", "1e00000005",
      "1.7976931348623157e308", "4.9e-324", "1e-400", "1e400", "-9223372036854775808"};
  static const char bytes[] = "0123456789.eE+-, ]x";
  uint32_t n = 7 + vdb_rng_below(rng, 6);
  char *at = to + sprintf(to, "[%s", vdb_rng_below(rng, 4) ? "" : " ");
  for (uint32_t i = 0; i < n; i++) {
    double small = (double)(int64_t)vdb_rng_next(rng) * 0x1p-66;
    at += sprintf(at, i ? vdb_rng_below(rng, 4) ? "," : " ,\n" : "");
    if (vdb_rng_below(rng, 8) == 0)
      at += sprintf(at, "%s", forms[vdb_rng_below(rng, sizeof forms / sizeof forms[0])]);
    else
      at += sprintf(at, "%.*g", 1 + (int)vdb_rng_below(rng, 18), small);
  }
  sprintf(at, "]");
  if (vdb_rng_below(rng, 4) == 0)
    to[1 + vdb_rng_below(rng, (uint32_t)(at - to))] = bytes[vdb_rng_below(rng, sizeof bytes - 1)];
}

/* One array of numbers in a text that is short but for it, also where its member has a namesake, is
   named with an escape, or is not the one that it seems to be; and texts that are not JSON. */
static void test_apart(void **state) {
  (void)state;
  static const char *const around[] = {
      "{\"k\":1,\"a\":%s}", "{\"a\" : %s , \"x\":{\"y\":[]}} \n", "{\"a\":%s,\"x\":{\"a\":[]}}",
      "{\"a\":[],\"x\":{\"a\":%s}}", "{\"x\":{\"a\":%s}}", "{\"x\":\"a\",\"a\":%s}",
      "{\"x\":\"[1]\",\"a\":%s}", "{\"b\":[%s,[]]}", "{\"b\": [ %s ]}", "{\"b\":[[],%s]}",
      "{\"b\":%s}", "{\"b\":[[%s]]}", "{\"a\":%s,\"a\":1}", "{\"\\u0061\":%s}",
      "{\"x\":\"\\\"a\\\":[\",\"a\":%s}", "{\"x\":\"y\"a\":%s,\"b\":\"\"}", "[{\"a\":%s}]", "a:%s}",
      "{\"a\":%s,}", "{\"a\":%s}x", "{\"a\":%s", "{\"a\"%s}", "{a\":%s}", "\"a\":%s}", "%s}",
      "{\"c\":[1.5,%s]}", "{\"q\":1,\"q\":2,\"a\":%s}", "{\"x\":\"\x80\",\"a\":%s}"};
  static const struct srv_json_place places[] = {
      {"a", 0, 0, NULL}, {"b", 1, 1, NULL}, {NULL, 0, -1, NULL}};
  struct vdb_rng rng = {4};
  size_t found = 0;
  for (int i = 0; i < TEST_SIZE(200000, 20000); i++) {
    char array[1024], text[2048];
    json_error_t why, wanted_why;
    write_array(&rng, array);
    const char *form = around[vdb_rng_below(&rng, sizeof around / sizeof around[0])];
    size_t n = (size_t)snprintf(text, sizeof text, form, array);
    char *copy = malloc(n); /* of its size, for the address sanitizer */
    memcpy(copy, text, n);
    json_t *got = srv_json_read_at(copy, n, places, &why);
    json_t *wanted = json_loadb(copy, n, JSON_REJECT_DUPLICATES, &wanted_why), *member;
    const char *key;
    if (!got != !wanted || json_object_size(got) != json_object_size(wanted))
      fail_msg("read otherwise than by Jansson: %s", text);
    if (!got)
      assert_string_equal(why.text, wanted_why.text);
    json_object_foreach(wanted, key, member) {
      int level = strcmp(key, "a") == 0 ? 0 : strcmp(key, "b") == 0 ? 1 : -1;
      found += pieces(json_object_get(got, key), member, level, level, NULL);
    }
    json_decref(got);
    json_decref(wanted);
    free(copy);
  }
  assert_true(found > 100);
}

/* No text that a client can send is taken for one. */
static void test_forged(void **state) {
  (void)state;
  static const char text[] = "{\"a\":\"\xffnumbers01234567\"}";
  static const struct srv_json_place all[] = {{NULL, 0, 0, NULL}};
  json_error_t why;
  assert_null(srv_json_read_at(text, sizeof text - 1, all, &why));
}

/* Numbers without a value around them: floats as short as floats may be, and no text that is no
   number. */
static void test_written(void **state) {
  (void)state;
  static const struct {
    double value;
    const char *text;
  } reals[] = {
      {0, "0.0"}, {1, "1.0"}, {-13.5, "-13.5"}, {0.1, "0.1"}, {(double)0.1f, "0.1"},
      {(double)-16777216.0f, "-16777216.0"}, {100000, "100000.0"}, {1e-5, "1e-5"}, {1e9, "1e9"},
      {(double)1e-5f, "1e-5"}, {0.1 + 0.2, "0.30000000000000004"}, {HUGE_VAL, "null"},
      {-HUGE_VAL, "null"}, {(double)NAN, "null"},
  };
  struct srv_text text = {0};
  for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++) {
    text.n = 0;
    assert_true(srv_json_write_real(reals[i].value, &text));
    assert_true(srv_text_add(&text, "", 1));
    assert_string_equal(text.data, reals[i].text);
  }
  static const struct {
    float value;
    const char *text;
  } floats[] = {
      {0, "0.0"}, {-0.0f, "-0.0"}, {1, "1.0"}, {-13.5f, "-13.5"}, {0.1f, "0.1"}, {1e-5f, "1e-5"},
      {1e9f, "1e9"}, {16777216, "16777216.0"}, {HUGE_VALF, "null"}, {NAN, "null"},
  };
  for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
    text.n = 0;
    assert_true(srv_json_write_float(floats[i].value, &text) && srv_text_add(&text, "", 1));
    assert_string_equal(text.data, floats[i].text);
  }
  text.n = 0;
  assert_true(srv_json_write_integer(INT64_MIN, &text) && srv_text_add(&text, "", 1));
  assert_string_equal(text.data, "-9223372036854775808");
  free(text.data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_written),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_floats),
      cmocka_unit_test(test_changes),
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_apart),
      cmocka_unit_test(test_forged),
  };
  return cmocka_run_group_tests_name("json_read", tests, NULL, NULL);
}
