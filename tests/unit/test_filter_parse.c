/* test_filter_parse.c - texts of filters, what is bound of them, and where and how others fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter_fixture.h"

struct tp_good {
  const char *text;
  const char *described;
};

static const struct tp_good tp_goods[] = {
    {"id == 1", "id == 1"},
    {" \t\n id==1\r\n", "id == 1"},
    {"5 < id", "id >= 6"},
    {"id > 5 and id <= 9", "6 <= id <= 9"},
    {"id > 5 AND (d < 1 && id <= 9)", "6 <= id <= 9 and d < 1.0"},
    {"1 < id <= 5", "2 <= id <= 5"},
    {"1 < d < id", "d > 1.0 and d < id"},
    {"id != 3", "id != 3"},
    {"not id == 3", "id != 3"},
    {"NOT NOT Not id == 3", "id != 3"},
    {"!(id == 3)", "id != 3"},
    {"id < 2.5", "id <= 2"},
    {"id >= -2.5", "id >= -2"},
    {"id == 2.5", "id in []"},
    {"id != 2.5", "id not in []"},
    {"id < 1e300", "id not in []"},
    {"i8 < 300", "i8 not in []"},
    {"i8 == 300", "i8 in []"},
    {"i8 <= -128", "i8 == -128"},
    {"i16 > 32767", "i16 in []"},
    {"id > 9223372036854775807", "id in []"},
    {"id == -9223372036854775808", "id == -9223372036854775808"},
    {"id < 9223372036854775807.0", "id not in []"},
    {"d == 9007199254740993", "d in []"},
    {"d < 9007199254740993", "d <= 9007199254740992.0"},
    {"d > 9007199254740995", "d >= 9007199254740996.0"},
    {"f == 0.1", "f == 0.1"},
    {"f < 1e300", "f not in []"},
    {"f > 1e300", "f in []"},
    {"f in [0.1, 1e300, 2]", "f in [0.1, 2.0]"},
    {"id == 0x1F", "id == 31"},
    {"id == 0XfF", "id == 255"},
    {"d == .5 or d == 1. or d == 1e2", "d == 0.5 or d == 1.0 or d == 100.0"},
    {"d == 1e-400", "d == 0.0"},
    {"d == 0.1000000000000000055511151231257827021181583404541015625", "d == 0.1"},
    {"d == 123456789012345678901234567890", NULL},
    {"d == 1.7976931348623157e308", "d == 1.7976931348623157e+308"},
    {"d == 4.9e-324", "d == 4.94065645841247e-324"},
    {"id in [3, 1, 2, 3, 1]", "id in [1, 2, 3]"},
    {"id in []", "id in []"},
    {"id not in [1, 2.5, 2.0]", "id not in [1, 2]"},
    {"id NOT IN [+1, -1]", "id not in [-1, 1]"},
    {"s in ['b', \"a\"]", "s in [\"a\", \"b\"]"},
    {"flag in [true, False]", "flag in [false, true]"},
    {"flag", "flag == true"},
    {"!flag", "flag != true"},
    {"flag == false", "flag == false"},
    {"flag == (id == 1)", "flag == (id == 1)"},
    {"(id < 1) == (d < 1)", "(id <= 0) == (d < 1.0)"},
    {"true", "true"},
    {"flag or true", "true"},
    {"flag and true", "flag == true"},
    {"flag and false", "false"},
    {"1 < 2", "true"},
    {"1 < 2 < 2", "false"},
    {"'a' < 'b'", "true"},
    {"1 / 0 == id", "unknown"},
    {"9223372036854775807 + 1 > id", "unknown"},
    {"1.0 / 0 > id", "unknown"},
    {"id == 7 / 2", "id == 3"},
    {"id == -7 / 2", "id == -3"},
    {"id == 7 % 3 * 2", "id == 2"},
    {"id == 1 + 2 * 3", "id == 7"},
    {"id == (1 + 2) * 3", "id == 9"},
    {"id == 10 - 2 - 3", "id == 5"},
    {"id == 2 ** 3 ** 2", "id == 512"},
    {"id == -2 ** 2", "id == 4"},
    {"id == - -5", "id == 5"},
    {"-id < 5", "(-id) < 5"},
    {"id + 1 == i8 * 2", "(id + 1) == (i8 * 2)"},
    {"id % 3 == 1 and flag", "flag == true and (id % 3) == 1"},
    {"s == \"\"", "s == \"\""},
    {"s == 'it\\'s'", "s == \"it's\""},
    {"s == \"\\u0041\\u00e9\\ud83d\\ude00\"", "s == \"A\xc3\xa9\xf0\x9f\x98\x80\""},
    {"s == 'a\\n\\t\\r\\\\'", "s == \"a\\u000a\\u0009\\u000d\\\\\""},
    {"s > 'a' and s <= 'b' and s > 'a'", "\"a\" < s <= \"b\""},
    {"s >= 'a' and s >= 'b'", "s >= \"b\""},
    {"s > 'b' and s < 'a'", "s in []"},
    {"s like 'abc'", "s == \"abc\""},
    {"s like 'a\\%'", "s == \"a%\""},
    {"s not like 'abc'", "s != \"abc\""},
    {"s like 'abc%'", "s like \"abc%\""},
    {"s LIKE '%a_c\\_%'", "s like \"%a_c\\\\_%\""},
    {"not (s like 'a%b')", "s not like \"a%b\""},
    {"tags[0] like 'a%'", "tags[0] like \"a%\""},
    {"s['a'][0][\"b c\"] > 1", "s[\"a\"][0][\"b c\"] > 1"},
    {"s['a'] and not s['b'] == true", "s[\"a\"] and not (s[\"b\"] == true)"},
    {"s['a'] not in ['b'] or s['a'] like '%c'",
     "s[\"a\"] not in [\"b\"] or s[\"a\"] like \"%c\""},
    {"s['a'] is null or s['b'][1] is not null", "s[\"a\"] is null or s[\"b\"][1] is not null"},
    {"array_contains(s['a'], 1) and array_length(s) == 2",
     "array_contains(s[\"a\"], 1) and array_length(s) == 2"},
    {"array_contains_any(s['a'], ['x', 'y']) and array_contains_all(s, [true])",
     "array_contains_any(s[\"a\"], [\"x\", \"y\"]) and array_contains_all(s, [true])"},
    {"s['a'] + 1 == id and s['a'] % 2 == 1",
     "(s[\"a\"] + 1) == id and (s[\"a\"] % 2) == 1"},
    {"s is null", "s is null"},
    {"s IS NOT NULL", "s is not null"},
    {"not s is null", "s is not null"},
    {"al is null or tags is null", "al is null or tags is null"},
    {"array_contains(tags, 'a')", "array_contains(tags, \"a\")"},
    {"ARRAY_CONTAINS(al, 3.0)", "array_contains(al, 3)"},
    {"array_contains(ai, 300)", "array_contains_any(ai, [])"},
    {"array_contains_all(ai, [1, 300])", "array_contains_any(ai, [])"},
    {"array_contains_any(ai, [1, 300])", "array_contains_any(ai, [1])"},
    {"not array_contains_all(ab, [true])", "not array_contains_all(ab, [true])"},
    {"array_length(tags) >= 2", "array_length(tags) >= 2"},
    {"al[2 - 1] == 4", "al[1] == 4"},
    {"ab[0]", "ab[0]"},
    {"af[0] == 0.1", "af[0] == 0.1"},
    {"title == s", "title == s"},
    {"a_b_c_d_e_f_g_h == 1", NULL},
    {"id == 1 or id == 2 and flag", "id == 1 or (id == 2 and flag == true)"},
    {"(id == 1 or id == 2) and flag", "flag == true and (id == 1 or id == 2)"},
    {"not (id == 1 and flag)", "not (id == 1 and flag == true)"},
    {"id in [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
     "id in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, ... of 17]"},
};

struct tp_bad {
  const char *text;
  int code;
  int64_t position;
  const char *message; /* a part of it */
};

static const struct tp_bad tp_bads[] = {
    {"id ==", VECDB_ERR_FILTER, 5,
     "expected a field, a constant or '(', found the end of the filter"},
    {"id", VECDB_ERR_TYPE, 0, "field 'id' is an integer"},
    {"s", VECDB_ERR_TYPE, 0, "a condition is true or false"},
    {"1", VECDB_ERR_TYPE, 0, "a condition"},
    {"id = 1", VECDB_ERR_FILTER, 3, "equality is written '=='"},
    {"id == 1 and", VECDB_ERR_FILTER, 11, "the end of the filter"},
    {"id == 1 flag", VECDB_ERR_FILTER, 8, "found 'flag'"},
    {"(id == 1", VECDB_ERR_FILTER, 8, "expected ')'"},
    {"id == 1)", VECDB_ERR_FILTER, 7, "found ')'"},
    {"id & 1", VECDB_ERR_FILTER, 3, "&&"},
    {"id == null", VECDB_ERR_FILTER, 6, "is null"},
    {"id <> 1", VECDB_ERR_FILTER, 4, "found '>'"},
    {"id is 1", VECDB_ERR_FILTER, 6, "expected 'null' or 'not null'"},
    {"id not 1", VECDB_ERR_FILTER, 7, "'in' or 'like'"},
    {"id in 1", VECDB_ERR_FILTER, 6, "'['"},
    {"id in [1", VECDB_ERR_FILTER, 8, "',' or ']'"},
    {"id in [1,]", VECDB_ERR_FILTER, 9, "a constant or a parameter in the list"},
    {"id in [1 2]", VECDB_ERR_FILTER, 9, "',' or ']'"},
    {"id in [null]", VECDB_ERR_FILTER, 7, "a constant"},
    {"id in [-'a']", VECDB_ERR_FILTER, 8, "expected a number"},
    {"id in ['a']", VECDB_ERR_TYPE, 7, "holds text where it is compared with an integer"},
    {"id in [1, true]", VECDB_ERR_TYPE, 10, "a truth value"},
    {"s like a", VECDB_ERR_FILTER, 7, "a pattern"},
    {"id like 'a%'", VECDB_ERR_TYPE, 0, "'like' takes text, and field 'id' is an integer"},
    {"s like 'a\\\\'", VECDB_ERR_FILTER, 7, "ends with a backslash"},
    {"prise > 1", VECDB_ERR_UNKNOWN_FIELD, 0, "unknown field 'prise'"},
    {"1 < titel", VECDB_ERR_UNKNOWN_FIELD, 4, "did you mean 'title'?"},
    {"FLAG", VECDB_ERR_UNKNOWN_FIELD, 0, "did you mean 'flag'?"},
    {"x == 1", VECDB_ERR_UNKNOWN_FIELD, 0, "unknown field 'x'"},
    {"v == 1", VECDB_ERR_TYPE, 0, "field 'v' is a vector"},
    {"v is null", VECDB_ERR_TYPE, 0, "a vector"},
    {"tags == 'a'", VECDB_ERR_TYPE, 5, "arrays are not compared"},
    {"tags in ['a']", VECDB_ERR_TYPE, 0, "'in' takes a scalar"},
    {"s == 1", VECDB_ERR_TYPE, 2, "field 's' is text and cannot be compared with an integer"},
    {"1.5 < s", VECDB_ERR_TYPE, 4, "field 's' is text and cannot be compared with a number"},
    {"flag < true", VECDB_ERR_TYPE, 5, "no order"},
    {"flag == 1", VECDB_ERR_TYPE, 5, "a truth value"},
    {"'a' == 1", VECDB_ERR_TYPE, 4, "text cannot be compared with an integer"},
    {"s + 1 == 2", VECDB_ERR_TYPE, 0, "arithmetic takes numbers"},
    {"d % 2 == 1", VECDB_ERR_TYPE, 0, "% takes integers"},
    {"-s == 1", VECDB_ERR_TYPE, 1, "arithmetic takes numbers"},
    {"id and flag", VECDB_ERR_TYPE, 0, "a condition"},
    {"not id", VECDB_ERR_TYPE, 4, "a condition"},
    {"(id + 1) is null", VECDB_ERR_TYPE, 9, "'is null' and 'exists' take a field"},
    {"tags['a'] == 'b'", VECDB_ERR_TYPE, 5, "constant integer"},
    {"tags[-1] == 'b'", VECDB_ERR_TYPE, 5, "constant integer"},
    {"tags[id] == 'b'", VECDB_ERR_TYPE, 5, "constant integer"},
    {"tags[1/0] == 'b'", VECDB_ERR_TYPE, 6, "constant integer"},
    {"id[0] == 'b'", VECDB_ERR_TYPE, 0, "ARRAY or JSON field"},
    {"s['a'] == s['b']", VECDB_ERR_TYPE, 7, "two JSON values"},
    {"s[-1] == 1", VECDB_ERR_TYPE, 2, "constant text or integer"},
    {"s['a'][id] == 1", VECDB_ERR_TYPE, 7, "constant text or integer"},
    {"s['a'] < true", VECDB_ERR_TYPE, 7, "no order"},
    {"1 < s['a'] < 'b'", VECDB_ERR_TYPE, 11, "cannot be compared with text"},
    {"s['a'] in [1, 'b']", VECDB_ERR_TYPE, 14, "holds text"},
    {"tags[0][1] == 'b'", VECDB_ERR_TYPE, 0, "ARRAY or JSON field"},
    {"tags[0 == 'b'", VECDB_ERR_FILTER, 13, "']'"},
    {"array_length(id) == 1", VECDB_ERR_TYPE, 13, "array_length takes an ARRAY or JSON field"},
    {"array_length(tags[0]) == 1", VECDB_ERR_TYPE, 13, "ARRAY or JSON field"},
    {"array_length(1) == 1", VECDB_ERR_FILTER, 13, "an ARRAY or JSON field"},
    {"array_contains(tags)", VECDB_ERR_FILTER, 19, "','"},
    {"array_contains(tags, 1)", VECDB_ERR_TYPE, 21,
     "holds an integer where it is compared with text"},
    {"array_contains(tags, s)", VECDB_ERR_TYPE, 21, "a constant"},
    {"array_contains_all(tags, 'a')", VECDB_ERR_FILTER, 25, "'['"},
    {"array_contains_any(tags, ['a', 1])", VECDB_ERR_TYPE, 31, "an integer"},
    {"json_has(tags, 1)", VECDB_ERR_FILTER, 0, "unknown function 'json_has'"},
    {"'abc", VECDB_ERR_FILTER, 0, "without closing '"},
    {"s == \"a\\\"", VECDB_ERR_FILTER, 5, "without closing \""},
    {"s == 'a\\x'", VECDB_ERR_FILTER, 7, "unknown escape"},
    {"s == '\\u12g4'", VECDB_ERR_FILTER, 6, "four hexadecimal digits"},
    {"s == '\\u0000'", VECDB_ERR_FILTER, 6, "\\u0000 is not a character"},
    {"s == '\\ud800'", VECDB_ERR_FILTER, 6, "not a character"},
    {"s == '\\udc00'", VECDB_ERR_FILTER, 6, "not a character"},
    {"s == '\\ud800\\u0041'", VECDB_ERR_FILTER, 6, "not a character"},
    {"s == '\xff'", VECDB_ERR_UTF8, 6, "UTF-8"},
    {"s == '\xc0\x80'", VECDB_ERR_UTF8, 6, "UTF-8"},
    {"s == 'ok\xe2\x82'", VECDB_ERR_UTF8, 8, "UTF-8"},
    {"id == \x80", VECDB_ERR_UTF8, 6, "UTF-8"},
    {"id == \xc3\xa9", VECDB_ERR_FILTER, 6, "unexpected character '\xc3\xa9'"},
    {"id == \x01", VECDB_ERR_FILTER, 6, "byte 0x01"},
    {"id == #", VECDB_ERR_FILTER, 6, "unexpected character '#'"},
    {"id == 12abc", VECDB_ERR_FILTER, 6, "'12abc' is not a number"},
    {"id == 0x", VECDB_ERR_FILTER, 6, "'0x' is not a number"},
    {"id == 0xfg", VECDB_ERR_FILTER, 6, "'0xfg' is not a number"},
    {"id == 0b11", VECDB_ERR_FILTER, 6, "not a number"},
    {"id == 010", VECDB_ERR_FILTER, 6, "not a number"},
    {"d == 1.2.3", VECDB_ERR_FILTER, 5, "not a number"},
    {"d == 1e", VECDB_ERR_FILTER, 5, "not a number"},
    {"d == 1e+", VECDB_ERR_FILTER, 5, "not a number"},
    {"d == 1e309", VECDB_ERR_FILTER, 5, "too large for a double"},
    {"id == 9223372036854775808", VECDB_ERR_FILTER, 6, "does not fit a 64-bit integer"},
    {"id == 99999999999999999999", VECDB_ERR_FILTER, 6, "does not fit"},
    {"id == 0xffffffffffffffffff", VECDB_ERR_FILTER, 6, "does not fit"},
    {"id in [9223372036854775808]", VECDB_ERR_FILTER, 7, "does not fit"},
    {"id == {", VECDB_ERR_FILTER, 6, "'}'"},
    {"id == {1}", VECDB_ERR_FILTER, 6, "'}'"},
    {"id == {p", VECDB_ERR_FILTER, 6, "'}'"},
    {"id == {p}", VECDB_ERR_FILTER_PARAM, 6, "{p} has no value"},
    {"id in {p}", VECDB_ERR_FILTER_PARAM, 6, "{p} has no value"},
    {"id in [1, {p}]", VECDB_ERR_FILTER_PARAM, 10, "{p} has no value"},
    {"1 < id in [1]", VECDB_ERR_FILTER, 7, "found 'in'"},
};

static struct vdb_mem tp_mem;

static int tp_compile(const char *text, const vecdb_param *params, size_t n_params,
                      struct vdb_filter **out, vecdb_error *err) {
  vecdb_filter source = {text, 0, params, n_params};
  memset(err, 0, sizeof *err);
  return vdb_filter_compile(&tp_mem, &fx_schema, &source, out, err);
}

static void tp_check_described(const struct vdb_filter *filter, const char *wanted) {
  struct vdb_writer out = VDB_WRITER(&tp_mem);
  vdb_filter_describe(filter, &fx_schema, &out);
  vdb_write_u8(&out, 0);
  assert_string_equal(out.data, wanted);
  vdb_writer_free(&out);
}

static void test_good(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(tp_goods); i++) {
    struct vdb_filter *filter;
    vecdb_error err;
    int rc = tp_compile(tp_goods[i].text, NULL, 0, &filter, &err);
    if (!tp_goods[i].described) {
      assert_int_not_equal(rc, VECDB_OK);
      continue;
    }
    if (rc)
      fail_msg("%s: %s", tp_goods[i].text, err.message);
    tp_check_described(filter, tp_goods[i].described);
    vdb_filter_free(&tp_mem, filter);
  }
  assert_int_equal(tp_mem.used, 0);
}

static void test_bad(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(tp_bads); i++) {
    const struct tp_bad *bad = &tp_bads[i];
    struct vdb_filter *filter;
    vecdb_error err;
    int rc = tp_compile(bad->text, NULL, 0, &filter, &err);
    assert_null(filter);
    if (rc != bad->code || err.code != rc || err.position != bad->position ||
        !strstr(err.message, bad->message))
      fail_msg("%s: %d at %lld: %s", bad->text, rc, (long long)err.position, err.message);
    assert_int_equal(err.row, -1);
  }
  assert_int_equal(tp_mem.used, 0);
}

static void test_field_in_error(void **state) {
  (void)state;
  struct vdb_filter *filter;
  vecdb_error err;
  assert_int_equal(tp_compile("flga", NULL, 0, &filter, &err), VECDB_ERR_UNKNOWN_FIELD);
  assert_string_equal(err.field, "flga");
  assert_int_equal(tp_compile("s == 1", NULL, 0, &filter, &err), VECDB_ERR_TYPE);
  assert_string_equal(err.field, "s");
}

static void test_blank(void **state) {
  (void)state;
  static const char *const blanks[] = {"", " ", "\t\r\n "};
  struct vdb_filter *filter = (struct vdb_filter *)1;
  vecdb_error err;
  assert_int_equal(vdb_filter_compile(&tp_mem, &fx_schema, NULL, &filter, &err), VECDB_OK);
  assert_null(filter);
  for (size_t i = 0; i < VDB_COUNT(blanks); i++) {
    assert_int_equal(tp_compile(blanks[i], NULL, 0, &filter, &err), VECDB_OK);
    assert_null(filter);
  }
  tp_check_described(NULL, "all rows");
}

/* A length counts, whatever follows; bytes of 0 inside it are faults. */
static void test_length(void **state) {
  (void)state;
  struct vdb_filter *filter;
  vecdb_error err;
  vecdb_filter source = {"id == 12345", 8, NULL, 0};
  assert_int_equal(vdb_filter_compile(&tp_mem, &fx_schema, &source, &filter, &err), VECDB_OK);
  tp_check_described(filter, "id == 12");
  vdb_filter_free(&tp_mem, filter);
  vecdb_filter inside = {"id == 1\0 or flag", 16, NULL, 0};
  assert_int_equal(vdb_filter_compile(&tp_mem, &fx_schema, &inside, &filter, &err),
                   VECDB_ERR_FILTER);
  assert_int_equal(err.position, 7);
  vecdb_filter quoted = {"s == 'a\0b'", 10, NULL, 0};
  assert_int_equal(vdb_filter_compile(&tp_mem, &fx_schema, &quoted, &filter, &err), VECDB_ERR_UTF8);
  assert_int_equal(err.position, 7);
}

/* ---- Parameters ---------------------------------------------------------------------------------
 */

#define TP_INT(name, x)                   \
  {                                       \
    name, {                               \
      VECDB_INT64, 0, {.integer = (x)}, 0 \
    }                                     \
  }
#define TP_NUMBER(name, x)                \
  {                                       \
    name, {                               \
      VECDB_DOUBLE, 0, {.number = (x)}, 0 \
    }                                     \
  }
#define TP_TEXT(name, x)                             \
  {                                                  \
    name, {                                          \
      VECDB_VARCHAR, sizeof(x) - 1, {.data = (x)}, 0 \
    }                                                \
  }
#define TP_ARRAY(name, type, x)                                \
  {                                                            \
    name, {                                                    \
      VECDB_ARRAY, (uint32_t)VDB_COUNT(x), {.data = (x)}, type \
    }                                                          \
  }

static const int8_t tp_i8[] = {3, -1, 3};
static const int16_t tp_i16[] = {300, -300};
static const int32_t tp_i32[] = {70000};
static const int64_t tp_i64[] = {2, 1};
static const float tp_floats[] = {0.1f, 2.5f};
static const double tp_doubles[] = {0.1, 2};
static const double tp_nan[] = {0, __builtin_nan("")};
static const bool tp_bools[] = {true};
static const vecdb_string tp_strings[] = {{"b", 1}, {"a\xc3\xa9", 3}, {NULL, 0}};
static const vecdb_string tp_broken[] = {{"\xff", 1}};

static const vecdb_param tp_params[] = {
    TP_INT("i", 7),
    TP_NUMBER("d", 2.5),
    TP_TEXT("s", "a\"b"),
    TP_TEXT("pattern", "a%"),
    TP_TEXT("broken", "\xff"),
    TP_NUMBER("inf", __builtin_inf()),
    {"yes", {VECDB_BOOL, 0, {.boolean = true}, 0}},
    {"null", {0, 0, {.integer = 0}, 0}},
    {"vector", {VECDB_FLOAT_VECTOR, 4, {.data = tp_floats}, 0}},
    {"strange", {999, 0, {.integer = 0}, 0}},
    {"lost", {VECDB_VARCHAR, 3, {.data = NULL}, 0}},
    TP_ARRAY("i8s", VECDB_INT8, tp_i8),
    TP_ARRAY("i16s", VECDB_INT16, tp_i16),
    TP_ARRAY("i32s", VECDB_INT32, tp_i32),
    TP_ARRAY("i64s", VECDB_INT64, tp_i64),
    TP_ARRAY("floats", VECDB_FLOAT, tp_floats),
    TP_ARRAY("doubles", VECDB_DOUBLE, tp_doubles),
    TP_ARRAY("nans", VECDB_DOUBLE, tp_nan),
    TP_ARRAY("bools", VECDB_BOOL, tp_bools),
    TP_ARRAY("strings", VECDB_VARCHAR, tp_strings),
    TP_ARRAY("brokens", VECDB_VARCHAR, tp_broken),
    TP_ARRAY("odd", VECDB_ARRAY, tp_i64),
    {"empty", {VECDB_ARRAY, 0, {.data = NULL}, VECDB_INT64}},
    {"hole", {VECDB_ARRAY, 2, {.data = NULL}, VECDB_INT64}},
};

static const struct tp_good tp_param_goods[] = {
    {"id == {i}", "id == 7"},
    {"id < { d }", "id <= 2"},
    {"s == {s}", "s == \"a\\\"b\""},
    {"s like {pattern}", "s like \"a%\""},
    {"flag == {yes} and {yes}", "flag == true"},
    {"id in {i8s}", "id in [-1, 3]"},
    {"i8 in {i16s}", "i8 in []"},
    {"id in {i32s}", "id in [70000]"},
    {"d in {i64s}", "d in [1.0, 2.0]"},
    {"f in {floats}", "f in [0.1, 2.5]"},
    {"f in {doubles}", "f in [0.1, 2.0]"},
    {"d in {floats}", "d in [0.10000000149011612, 2.5]"},
    {"flag not in {bools}", "flag not in [true]"},
    {"s in {strings}", "s in [\"\", \"a\xc3\xa9\", \"b\"]"},
    {"id in {empty}", "id in []"},
    {"id in [{i}, 1, {d}, {i}]", "id in [1, 7]"},
    {"array_contains(al, {i})", "array_contains(al, 7)"},
    {"array_contains_all(al, {i64s})", "array_contains_all(al, [1, 2])"},
    {"array_contains_any(tags, {strings})",
     "array_contains_any(tags, [\"\", \"a\xc3\xa9\", \"b\"])"},
    {"al[{i}] == 1", "al[7] == 1"},
};

static const struct tp_bad tp_param_bads[] = {
    {"id == {nope}", VECDB_ERR_FILTER_PARAM, 6, "{nope} has no value"},
    {"id == {ii}", VECDB_ERR_FILTER_PARAM, 6, "{ii} has no value"},
    {"id == {null}", VECDB_ERR_FILTER_PARAM, 6, "is null"},
    {"id == {s}", VECDB_ERR_FILTER_PARAM, 6,
     "field 'id' is an integer and cannot be compared with text"},
    {"id == {i64s}", VECDB_ERR_FILTER_PARAM, 6, "is an array"},
    {"id == {vector}", VECDB_ERR_FILTER_PARAM, 6, "unknown type"},
    {"id == {strange}", VECDB_ERR_FILTER_PARAM, 6, "unknown type"},
    {"d == {inf}", VECDB_ERR_FILTER_PARAM, 5, "not finite"},
    {"s == {lost}", VECDB_ERR_FILTER_PARAM, 5, "no data"},
    {"s == {broken}", VECDB_ERR_UTF8, 5, "UTF-8"},
    {"id in {i}", VECDB_ERR_FILTER_PARAM, 6, "must be an array"},
    {"id in {strings}", VECDB_ERR_FILTER_PARAM, 6, "holds text"},
    {"id in {odd}", VECDB_ERR_FILTER_PARAM, 6, "no scalar type"},
    {"id in {hole}", VECDB_ERR_FILTER_PARAM, 6, "must be an array"},
    {"d in {nans}", VECDB_ERR_FILTER_PARAM, 5, "number 1 of the parameter is not finite"},
    {"s in {brokens}", VECDB_ERR_UTF8, 5, "UTF-8"},
    {"id in [1, {s}]", VECDB_ERR_FILTER_PARAM, 10, "holds text"},
    {"id in [{i64s}]", VECDB_ERR_FILTER_PARAM, 7, "not a finite scalar"},
    {"id in [{null}]", VECDB_ERR_FILTER_PARAM, 7, "not a finite scalar"},
    {"d in [{inf}]", VECDB_ERR_FILTER_PARAM, 6, "not a finite scalar"},
    {"s in [{broken}]", VECDB_ERR_UTF8, 6, "UTF-8"},
    {"s like {i}", VECDB_ERR_FILTER_PARAM, 7, "a pattern is text"},
    {"array_contains(tags, {i})", VECDB_ERR_FILTER_PARAM, 21, "holds an integer"},
    {"{i} and flag", VECDB_ERR_FILTER_PARAM, 0, "a condition"},
};

/* Of the values for all tests those that a text names. */
static size_t tp_named(const char *text, vecdb_param *out) {
  size_t n = 0;
  for (size_t i = 0; i < VDB_COUNT(tp_params); i++) {
    size_t length = strlen(tp_params[i].name);
    bool named = false;
    for (const char *at = text; !named && (at = strstr(at, tp_params[i].name)); at++)
      named = at > text && strchr("{ ", at[-1]) && strchr("} ", at[length]);
    if (named)
      out[n++] = tp_params[i];
  }
  return n;
}

static void test_params(void **state) {
  (void)state;
  size_t n = VDB_COUNT(tp_params);
  vecdb_param named[VDB_COUNT(tp_params)];
  struct vdb_filter *filter;
  vecdb_error err;
  for (size_t i = 0; i < VDB_COUNT(tp_param_goods); i++) {
    size_t n_named = tp_named(tp_param_goods[i].text, named);
    if (tp_compile(tp_param_goods[i].text, named, n_named, &filter, &err))
      fail_msg("%s: %s", tp_param_goods[i].text, err.message);
    tp_check_described(filter, tp_param_goods[i].described);
    vdb_filter_free(&tp_mem, filter);
  }
  for (size_t i = 0; i < VDB_COUNT(tp_param_bads); i++) {
    const struct tp_bad *bad = &tp_param_bads[i];
    int rc = tp_compile(bad->text, tp_params, n, &filter, &err);
    if (rc != bad->code || err.code != rc || err.position != bad->position ||
        !strstr(err.message, bad->message))
      fail_msg("%s: %d at %lld: %s", bad->text, rc, (long long)err.position, err.message);
  }
  const vecdb_param twice[] = {tp_params[0], tp_params[0]};
  char text[64];
  snprintf(text, sizeof text, "id is null or {%s} == {%s}", twice[0].name, twice[0].name);
  assert_int_equal(tp_compile(text, twice, 1, &filter, &err), VECDB_OK);
  vdb_filter_free(&tp_mem, filter);
  assert_int_equal(tp_compile(text, twice, 2, &filter, &err), VECDB_ERR_FILTER_PARAM);
  assert_int_equal(tp_compile("id == 1", twice, 1, &filter, &err), VECDB_ERR_FILTER_PARAM);
  assert_non_null(strstr(err.message, "is not in the filter"));
  assert_int_equal(tp_compile("id == 1", NULL, 3, &filter, &err), VECDB_ERR_FILTER_PARAM);
  assert_int_equal(tp_compile("id == 1", tp_params, 100000, &filter, &err), VECDB_ERR_LIMIT);
  assert_int_equal(tp_mem.used, 0);
}

static void test_reads(void **state) {
  (void)state;
  struct vdb_filter *filter;
  vecdb_error err;
  assert_int_equal(
      tp_compile("id == 1 and (s is null or array_length(tags) > 1)", NULL, 0, &filter, &err),
      VECDB_OK);
  for (uint32_t f = 0; f < FX_FIELDS; f++)
    assert_int_equal(vdb_filter_reads(filter, f), f == FX_ID || f == FX_S || f == FX_AS);
  assert_false(vdb_filter_reads(filter, 1000));
  assert_false(vdb_filter_reads(NULL, 0));
  vdb_filter_free(&tp_mem, filter);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),           cmocka_unit_test(test_bad),
      cmocka_unit_test(test_field_in_error), cmocka_unit_test(test_blank),
      cmocka_unit_test(test_length),         cmocka_unit_test(test_params),
      cmocka_unit_test(test_reads),
  };
  vdb_mem_init(&tp_mem, NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
