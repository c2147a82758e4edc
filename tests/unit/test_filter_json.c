/*
 * test_filter_json.c - JSON made compact, and filters over it, in JSON and in VARCHAR fields: each
 * kind of value and of place, texts with escapes, numbers against strtod, and random documents.
 * These are written twice at once, loosely and compactly, so that what they hold and what must
 * become of them are known. Texts that are no JSON, cut anywhere, and bytes changed at random.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attr/json.h"
#include "filter_fixture.h"

static struct vdb_mem tj_mem;

enum { TJ_ROOM = 1 << 15, TJ_PATH = 256, TJ_DEPTH = 4 };

/* Whether a row with the text (NULL: null) passes, one by one and in a block: in the field `s`, of
   VARCHAR, or `j`, of JSON. */
static bool tj_passes(const char *text, size_t n, const char *filter) {
  vecdb_filter source = {filter, strlen(filter), NULL, 0};
  struct vdb_filter *compiled;
  struct vdb_column columns[FX_FIELDS] = {0};
  uint8_t *copy = malloc(n + 1); /* of this size, for the address sanitizer */
  struct vdb_bytes bytes = {copy, n};
  uint8_t null = text == NULL;
  vecdb_error err;
  uint64_t bits[2] = {0};
  bool stopped;
  assert_non_null(copy);
  if (text && n)
    memcpy(copy, text, n);
  int64_t id = 7;
  columns[FX_ID] = (struct vdb_column){.data = (uint8_t *)&id, .width = 8, .type = VECDB_INT64};
  columns[FX_S] = (struct vdb_column){.refs = &bytes, .nulls = &null, .type = VECDB_VARCHAR};
  columns[FX_J] = (struct vdb_column){.refs = &bytes, .nulls = &null, .type = VECDB_JSON};
  struct vdb_filter_rows rows = {columns, NULL, 1};
  if (vdb_filter_compile(&tj_mem, &fx_schema, &source, &compiled, &err) != VECDB_OK)
    fail_msg("%s: %s", filter, err.message);
  bool one = vdb_filter_row(compiled, columns, 0);
  assert_int_equal(vdb_filter_bitmap(&tj_mem, compiled, &rows, NULL, NULL, bits, &stopped, &err),
                   VECDB_OK);
  assert_int_equal(bits[0] & 1, one);
  vdb_filter_free(&tj_mem, compiled);
  free(copy);
  return one;
}

struct tj_case {
  const char *json; /* NULL: the field is null */
  const char *filter;
  bool passes;
};

static const char tj_doc[] =
    " { \"n\" : 30 , \"f\":-2.5e1,\"s\":\"alice\","
    "\"e\":\"a\\\"b\\\\\\u00e9\\n\\ud83d\\ude00\",\"t\":true,"
    "\"z\":null,\"big\":9007199254740993,"
    "\"a\":[1,\"x\",[2,3],{\"k\":4},true , null],\"o\":{\"o\":{\"n\":7}},"
    "\"k\\u0065y\":1,\"\":0,\"empty\":[ ],\"words\":[\"python\",\"m\\u006c\"],\"n\":31} ";

static const struct tj_case tj_cases[] = {
    {tj_doc, "s['n'] == 30", true}, /* of a key that comes twice, the first counts */
    {tj_doc, "s['n'] > 29.5 and s['n'] < 31", true},
    {tj_doc, "29 < s['n'] <= 30", true},
    {tj_doc, "s['f'] == -25", true},
    {tj_doc, "s['n'] == '30'", false},
    {tj_doc, "s['n'] != '30'", false}, /* a number is no text: unknown */
    {tj_doc, "not (s['n'] == '30')", false},
    {tj_doc, "s['n'] in [1, 30]", true},
    {tj_doc, "s['n'] not in [1, 30]", false},
    {tj_doc, "s['n'] + 1 == 31 and s['n'] % 7 == 2 and -s['n'] == -30", true},
    {tj_doc, "s['f'] % 7 == -4", true},
    {tj_doc, "s['s'] == 'alice' and s['s'] like 'al%' and s['s'] in ['bob', 'alice']", true},
    {tj_doc, "s['s'] < 'alicf' and s['s'] >= 'alice'", true},
    {tj_doc, "s['e'] == 'a\"b\\\\\xc3\xa9\\n\xf0\x9f\x98\x80'", true},
    {tj_doc,
     "s['e'] like 'a\"b%' and s['e'] in ['x', 'a\"b\\\\\xc3\xa9\\n\xf0\x9f\x98\x80']", true},
    {tj_doc, "s['t']", true},
    {tj_doc, "not s['t']", false},
    {tj_doc, "s['t'] == true and s['t'] != false and s['t'] in [true]", true},
    {tj_doc, "s['z'] is null and s['none'] is null and s['n'] is not null", true},
    {tj_doc, "s['z'] is not null or s['n'] is null", false},
    {tj_doc, "s['none'] == 1 or s['none'] != 1", false},
    {tj_doc, "s['a'][0] == 1 and s['a'][1] == 'x' and s['a'][2][1] == 3", true},
    {tj_doc, "s['a'][3]['k'] == 4", true},
    {tj_doc, "s['a'][4] and s['a'][5] is null and s['a'][6] is null", true},
    {tj_doc, "s['a']['k'] is null and s['s'][0] is null and s[0] is null", true},
    {tj_doc, "s['o']['o']['n'] == 7", true},
    {tj_doc, "s['key'] == 1 and s[''] == 0", true},
    {tj_doc, "array_contains(s['a'], 1) and array_contains(s['a'], 'x')", true},
    {tj_doc, "array_contains(s['a'], true) and not array_contains(s['a'], 2)", true},
    {tj_doc, "array_contains_all(s['words'], ['ml', 'python', 'ml'])", true},
    {tj_doc, "array_contains_all(s['words'], ['ml', 'go'])", false},
    {tj_doc, "array_contains_any(s['words'], ['go', 'ml'])", true},
    {tj_doc, "array_contains_all(s['empty'], [])", true},
    {tj_doc, "array_contains_any(s['empty'], [1])", false},
    {tj_doc, "array_length(s['a']) == 6 and array_length(s['empty']) == 0", true},
    {tj_doc, "array_length(s['o']) >= 0 or array_contains(s['n'], 30)", false},
    {tj_doc, "s['n'] == id", false},
    {tj_doc, "s['o']['o']['n'] == id", true},
    {"[1,2]", "s[1] == 2 and array_length(s) == 2 and array_contains(s, 1)", true},
    {"5", "s[0] == 5 or s['a'] is not null", false},
    {NULL, "s['a'] is null", true},
    {NULL, "s['a'] is not null or s['a'] == 1 or array_length(s['a']) == 0", false},
    {"", "s['a'] is null", true},
    {"{", "s['a'] == 1", false},
    {"{\"a\":1", "s['a'] == 1", true}, /* what follows is not looked at */
    {"{\"b\":[1,2,\"a\":1}", "s['a'] == 1", false},
    {"{\"a\":-}", "s['a'] <= 0", false},
    {"{\"a\":1e999}", "s['a'] > 0", false},
    {"{\"a\":\"\\ud800\"}", "s['a'] != 'x'", false},
    {"{\"a\":\"\\q\"}", "s['a'] != 'x'", false},
    {"{\"a\":\"\\u12g4\"}", "s['a'] != 'x'", false},
    {"{\"a\":tru}", "s['a']", false},
    {tj_doc, "exists s['z'] or exists s['none'] or exists(s['a'][9])", false},
    {tj_doc, "exists s['n'] and EXISTS s['a'] and not exists s['o']['x'] and exists(s['s'])", true},
    {tj_doc, "json_contains(s['a'], 'x') and JSON_CONTAINS_ANY(s['words'], ['ml'])", true},
    {tj_doc, "json_contains_all(s['words'], ['ml', 'python'])", true},
    {tj_doc, "s['big'] == 9007199254740993 and s['big'] > 9007199254740992", true},
    {tj_doc, "s['big'] == 9007199254740992 or s['big'] == 9007199254740992.0", false},
    {tj_doc, "s['big'] in [1, 9007199254740993] and s['big'] not in [9007199254740992]", true},
    {tj_doc, "s['n'] in [30.0, 1] and s['f'] in [-25]", true},
    {"{\"a\":-9223372036854775808}", "s['a'] == -9223372036854775808", true},
    {"{\"a\":9223372036854775807}", "s['a'] < 9223372036854775807", false},
    {"{\"a\":9223372036854775808}", "s['a'] > 9223372036854775807", true},
    {"{\"a\":[1,9007199254740993]}", "array_contains(s['a'], 9007199254740992)", false},
    /* a JSON field is a value itself */
    {"7", "j == 7 and j in [7] and exists j and j is not null", true},
    {"\"ab\"", "j == 'ab' and j like 'a%'", true},
    {"\"ab\"", "j == 7 or j[0] == 'a' or j['a'] is not null", false},
    {"true", "j", true},
    {"null", "j is null and j['a'] is null and not exists j", true},
    {"null", "j == 1 or j != 1 or not j", false},
    {NULL, "j is null and j['a'] is null and not exists j['a']", true},
    {NULL, "j == 1 or not (j['a'] == 1) or array_length(j) >= 0", false},
    {"[1,\"x\"]", "json_contains(j, 'x') and array_length(j) == 2 and j[0] < 2", true},
    {"{\"a\":{\"b\":[0,\"c\"]}}", "j['a']['b'][1] == 'c' and j[\"a\"]['b'][0] * 2 == id - 7", true},
};

static void test_cases(void **state) {
  (void)state;
  for (size_t i = 0; i < VDB_COUNT(tj_cases); i++) {
    const struct tj_case *c = &tj_cases[i];
    if (tj_passes(c->json, c->json ? strlen(c->json) : 0, c->filter) != c->passes)
      fail_msg("%s over %s: not %d", c->filter, c->json ? c->json : "null", c->passes);
  }
  assert_int_equal(tj_mem.used, 0);
}

/* ---- Compact texts --------------------------------------------------------------------------- */

static const struct vdb_field tj_field = {.name = "j", .type = VECDB_JSON,
                                          .max_length = VECDB_MAX_JSON};

/* Makes a text compact, in a block of its size, and checks it, too. */
static int tj_compact(const char *text, size_t n, char *out, size_t *n_out, vecdb_error *err) {
  struct vdb_json_keys keys = {&tj_mem, NULL, 0};
  vecdb_error other;
  uint8_t *copy = malloc(n + !n);
  assert_non_null(copy);
  memcpy(copy, text, n);
  assert_true(n == 0 || copy[0] == (uint8_t)text[0]);
  int checked = vdb_json_check(&tj_field, copy, n, 3, &other);
  *n_out = n;
  int rc = vdb_json_compact(&keys, &tj_field, copy, n_out, 3, err);
  assert_int_equal(rc, checked);
  assert_true(*n_out <= n);
  if (rc == VECDB_OK)
    memcpy(out, copy, *n_out);
  else
    assert_string_equal(err->message, other.message);
  vdb_json_keys_fini(&keys);
  free(copy);
  return rc;
}

static void test_compact(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"0", "0"},
      {" -0.50E+07\r\n", "-0.50E+07"},
      {"[ ]", "[]"},
      {"\t{ }", "{}"},
      {"[ 1 , [ ] , { \"a\" : [ true , false , null ] } ]", "[1,[],{\"a\":[true,false,null]}]"},
      {"\"\\u0041\\/\\u00e9\\ud83d\\ude00\"", "\"A/\xc3\xa9\xf0\x9f\x98\x80\""},
      {"\"\\\"\\\\\\b\\f\\n\\r\\t\\u0008\\u0000\\u001f\\u0022\\u005c\"",
       "\"\\\"\\\\\\b\\f\\n\\r\\t\\b\\u0000\\u001f\\\"\\\\\""},
      {"123456789012345678901234567890", "123456789012345678901234567890"},
      {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}"},
      {"{\"a\":1,\"\\u0061\":2}", "{\"a\":2}"},
      {"{\"a\":{\"x\":1,\"x\":[\",\",{}]},\"a\":{\"x\":1}}", "{\"a\":{\"x\":1}}"},
      {"{\"a\":{\"b\":1},\"b\":{\"a\":1,\"b\":2}}", "{\"a\":{\"b\":1},\"b\":{\"a\":1,\"b\":2}}"},
      {"[{\"a\":1},{\"a\":2}]", "[{\"a\":1},{\"a\":2}]"},
      {"{\"\":1,\"\":2,\"\":3}", "{\"\":3}"},
  };
  char out[256];
  size_t n;
  vecdb_error err;
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    if (tj_compact(cases[i][0], strlen(cases[i][0]), out, &n, &err))
      fail_msg("%s: %s", cases[i][0], err.message);
    out[n] = '\0';
    assert_string_equal(out, cases[i][1]);
  }
}

#define TJ_ESCAPE "an escape that is none, or half of a surrogate pair"

static void test_no_json(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int code;
    const char *message; /* its end */
  } cases[] = {
      {"", VECDB_ERR_JSON, "byte 0: a value is expected"},
      {"  ", VECDB_ERR_JSON, "byte 2: a value is expected"},
      {"{\"a\":}", VECDB_ERR_JSON, "byte 5: a value is expected"},
      {"{\"a\" 1}", VECDB_ERR_JSON, "byte 5: ':' is expected"},
      {"{\"a\":1,}", VECDB_ERR_JSON, "byte 7: a key is expected"},
      {"{a:1}", VECDB_ERR_JSON, "byte 1: a key is expected"},
      {"[1,]", VECDB_ERR_JSON, "byte 3: a value is expected"},
      {"[1 2]", VECDB_ERR_JSON, "byte 3: ',' or ']' is expected"},
      {"{\"a\":1]", VECDB_ERR_JSON, "byte 6: ',' or '}' is expected"},
      {"[1", VECDB_ERR_JSON, "byte 2: ',' or ']' is expected"},
      {"1 2", VECDB_ERR_JSON, "byte 2: more follows the value"},
      {"01", VECDB_ERR_JSON, "byte 1: more follows the value"},
      {"-", VECDB_ERR_JSON, "byte 1: a number that is none"},
      {"1.", VECDB_ERR_JSON, "byte 2: a number that is none"},
      {"1e+", VECDB_ERR_JSON, "byte 3: a number that is none"},
      {".5", VECDB_ERR_JSON, "byte 0: a value is expected"},
      {"NaN", VECDB_ERR_JSON, "byte 0: a value is expected"},
      {"tru", VECDB_ERR_JSON, "byte 0: a value is expected"},
      {"'a'", VECDB_ERR_JSON, "byte 0: a value is expected"},
      {"\"a", VECDB_ERR_JSON, "byte 2: a string without end"},
      {"\"a\\", VECDB_ERR_JSON, "byte 2: " TJ_ESCAPE},
      {"\"\\x\"", VECDB_ERR_JSON, "byte 1: " TJ_ESCAPE},
      {"\"\\ud800\"", VECDB_ERR_JSON, "byte 1: " TJ_ESCAPE},
      {"\"\\udc00\\ud800\"", VECDB_ERR_JSON,
       "byte 1: " TJ_ESCAPE},
      {"\"\\u12g4\"", VECDB_ERR_JSON, "byte 1: " TJ_ESCAPE},
      {"\"a\nb\"", VECDB_ERR_JSON, "byte 2: a control character in a string"},
      {"\"\xff\"", VECDB_ERR_UTF8, "holds a NUL byte"},
  };
  char out[64];
  size_t n;
  for (size_t i = 0; i < VDB_COUNT(cases); i++) {
    vecdb_error err = {0};
    int rc = tj_compact(cases[i].text, strlen(cases[i].text), out, &n, &err);
    size_t at = strlen(err.message) - strlen(cases[i].message);
    if (rc != cases[i].code || strcmp(err.message + at, cases[i].message) != 0)
      fail_msg("%s: %d %s", cases[i].text, rc, err.message);
    assert_int_equal(err.row, 3);
    assert_string_equal(err.field, "j");
  }
}

static void test_depth(void **state) {
  (void)state;
  char text[2 * (VECDB_MAX_JSON_DEPTH + 1) * 5], out[sizeof text];
  for (unsigned depth = VECDB_MAX_JSON_DEPTH; depth <= VECDB_MAX_JSON_DEPTH + 1; depth++) {
    size_t n = 0, kept;
    vecdb_error err;
    for (unsigned i = 0; i < depth; i++)
      n += (size_t)sprintf(text + n, i % 3 ? "[" : "{\"a\":");
    text[n++] = '1';
    for (unsigned i = depth; i-- > 0;)
      text[n++] = i % 3 ? ']' : '}';
    assert_int_equal(tj_compact(text, n, out, &kept, &err),
                     depth <= VECDB_MAX_JSON_DEPTH ? VECDB_OK : VECDB_ERR_LIMIT);
    assert_true(depth > VECDB_MAX_JSON_DEPTH || (kept == n && memcmp(out, text, n) == 0));
  }
}

/* As many keys as fit, each of them twice: time is linear in them. */
static void test_many_keys(void **state) {
  (void)state;
  static char text[VECDB_MAX_JSON + 32], out[sizeof text], expected[sizeof text];
  enum { KEYS = 3500 };
  size_t n = 0, n_expected = 0, kept;
  vecdb_error err;
  for (unsigned i = 0; i < 2 * KEYS; i++) {
    char member[32];
    int length = snprintf(member, sizeof member, "%c\"%u\":%u", i ? ',' : '{', i % KEYS, i / KEYS);
    memcpy(text + n, member, (size_t)length);
    n += (size_t)length;
    if (i >= KEYS) {
      member[0] = i > KEYS ? ',' : '{';
      memcpy(expected + n_expected, member, (size_t)length);
      n_expected += (size_t)length;
    }
  }
  text[n++] = expected[n_expected++] = '}';
  assert_true(n <= VECDB_MAX_JSON);
  assert_int_equal(tj_compact(text, n, out, &kept, &err), VECDB_OK);
  assert_int_equal(kept, n_expected);
  assert_memory_equal(out, expected, kept);
}

/* ---- Random documents ------------------------------------------------------------------------ */

/* A document as it is written, as it is when compact, and a condition that holds for one place in
   it. */
struct tj_doc {
  struct vdb_rng rng;
  char json[TJ_ROOM];
  size_t n;
  char compact[TJ_ROOM];
  size_t n_compact;
  bool twice; /* some keys come twice */
  char filter[TJ_PATH + 128];
  bool wanted; /* the value being written is the one that the condition is about */
};

static void tj_put_loose(struct tj_doc *d, const char *text) {
  assert_true(d->n + strlen(text) < TJ_ROOM);
  strcpy(d->json + d->n, text);
  d->n += strlen(text);
}

static void tj_put(struct tj_doc *d, const char *text) {
  tj_put_loose(d, text);
  strcpy(d->compact + d->n_compact, text); /* no longer than the other */
  d->n_compact += strlen(text);
}

static void tj_blank(struct tj_doc *d) {
  static const char *const blanks[] = {"", "", "", " ", "\n\t", "\r "};
  tj_put_loose(d, blanks[vdb_rng_below(&d->rng, VDB_COUNT(blanks))]);
}

/* A text as JSON may have it, and as a filter has it: one character is often written as \uXXXX. */
static void tj_text(struct tj_doc *d, const char *text) {
  char escape[8];
  tj_put(d, "\"");
  for (; *text; text++) {
    bool must = *text == '"' || *text == '\\';
    snprintf(escape, sizeof escape, "\\u%04x", (unsigned char)*text);
    if (!must && vdb_rng_below(&d->rng, 3))
      snprintf(escape, sizeof escape, "%c", *text);
    tj_put_loose(d, escape);
    snprintf(d->compact + d->n_compact, 3, must ? "\\%c" : "%c", *text);
    d->n_compact += must ? 2 : 1;
  }
  tj_put(d, "\"");
}

static void tj_scalar(struct tj_doc *d, const char *path) {
  static const char *const texts[] = {"", "a", "b:,]}[{", "it is so", "x\"y", "back\\slash"};
  static const char *const quoted[] = {"", "a", "b:,]}[{", "it is so", "x\\\"y", "back\\\\slash"};
  char number[40];
  size_t which = vdb_rng_below(&d->rng, VDB_COUNT(texts));
  double value = ((double)vdb_rng_next(&d->rng) - 0x1p63) * (which % 2 ? 1e-25 : 1e3);
  switch (vdb_rng_below(&d->rng, 4)) {
  case 0:
    tj_text(d, texts[which]);
    if (d->wanted)
      snprintf(d->filter, sizeof d->filter, "s%s == \"%s\"", path, quoted[which]);
    break;
  case 1:
    tj_put(d, which % 2 ? "true" : "false");
    if (d->wanted)
      snprintf(d->filter, sizeof d->filter, "s%s == %s", path, which % 2 ? "true" : "false");
    break;
  case 2:
    tj_put(d, "null");
    if (d->wanted)
      snprintf(d->filter, sizeof d->filter, "s%s is null", path);
    break;
  default: /* as filters read it, which test_filter_parse.c has tested */
    snprintf(number, sizeof number, "%.*g", (int)(1 + vdb_rng_below(&d->rng, 17)), value);
    tj_put(d, number);
    if (d->wanted)
      snprintf(d->filter, sizeof d->filter, "s%s == %s", path, number);
    break;
  }
}

static void tj_value(struct tj_doc *d, const char *path, int depth) {
  char below[TJ_PATH];
  bool wanted = d->wanted, object = vdb_rng_below(&d->rng, 2) == 0;
  tj_blank(d);
  if (depth == 0 || vdb_rng_below(&d->rng, 4) == 0) {
    tj_scalar(d, path);
    tj_blank(d);
    return;
  }
  unsigned n = 1 + (unsigned)vdb_rng_below(&d->rng, 5);
  unsigned chosen = (unsigned)vdb_rng_below(&d->rng, n);
  tj_put(d, object ? "{" : "[");
  for (unsigned i = 0; i < n; i++) {
    char key[16];
    snprintf(key, sizeof key, "k %u]", i);
    snprintf(below, sizeof below, object ? "%s[\"k %u]\"]" : "%s[%u]", path, i);
    tj_put(d, i ? "," : "");
    if (object) {
      tj_blank(d);
      if (d->twice && vdb_rng_below(&d->rng, 2)) {
        tj_put_loose(d, "\"");
        tj_put_loose(d, key);
        tj_put_loose(d, i % 2 ? "\":{\"k 0]\":[\"}\",2]}," : "\" : \"\\\"\" ,");
      }
      tj_text(d, key);
      tj_blank(d);
      tj_put(d, ":");
    }
    d->wanted = wanted && i == chosen;
    tj_value(d, below, depth - 1);
  }
  d->wanted = wanted;
  tj_put(d, object ? "}" : "]");
  tj_blank(d);
}

/* The document becomes the compact one, of which the condition holds, and which stays as it is. Of
   a text with a changed byte, cut anywhere, nothing but an error or compact JSON comes. */
static void tj_random_compact(struct tj_doc *d) {
  static char out[TJ_ROOM], again[TJ_ROOM];
  size_t n, n_again;
  vecdb_error err;
  if (tj_compact(d->json, d->n, out, &n, &err))
    fail_msg("%s: %s", d->json, err.message);
  if (n != d->n_compact || memcmp(out, d->compact, n) != 0)
    fail_msg("%s became %.*s, not %s", d->json, (int)n, out, d->compact);
  d->filter[0] = 'j';
  if (!tj_passes(out, n, d->filter))
    fail_msg("%s does not pass %s", d->compact, d->filter);
  d->filter[0] = 's';
  for (unsigned i = 0; i < 4; i++) {
    size_t at = vdb_rng_below(&d->rng, (uint32_t)d->n);
    char kept = d->json[at];
    d->json[at] = i % 2 ? "\"\\{}[],:0eu "[vdb_rng_below(&d->rng, 12)]
                        : (char)vdb_rng_below(&d->rng, 256);
    if (tj_compact(d->json, i < 3 ? d->n : at, out, &n, &err) == VECDB_OK) {
      assert_int_equal(tj_compact(out, n, again, &n_again, &err), VECDB_OK);
      assert_int_equal(n, n_again);
      assert_memory_equal(out, again, n);
    }
    d->json[at] = kept;
  }
}

static void test_random(void **state) {
  (void)state;
  static struct tj_doc d;
  for (uint64_t seed = 1; seed < 3000; seed++) {
    d.rng = (struct vdb_rng){seed};
    d.n = d.n_compact = 0;
    d.wanted = true;
    d.twice = seed % 2;
    d.filter[0] = '\0';
    tj_value(&d, "", TJ_DEPTH);
    tj_random_compact(&d);
    if (strncmp(d.filter, "s[", 2) != 0)
      continue; /* of the text itself */
    if (!d.twice && !tj_passes(d.json, d.n, d.filter))
      fail_msg("%s does not pass %s", d.json, d.filter);
    for (size_t n = 0; n < d.n; n += 1 + d.n / 40)
      tj_passes(d.json, n, d.filter); /* whatever it says, nothing past the end is read */
  }
  assert_int_equal(tj_mem.used, 0);
}

/* Texts with escapes are decoded up to a length; longer ones are unknown. */
static void test_long(void **state) {
  (void)state;
  static char json[3 * TJ_ROOM], filter[2 * TJ_ROOM];
  for (unsigned n = 4094; n <= 4098; n++) {
    int head = snprintf(json, sizeof json, "{\"a\":\"\\u0061%0*d\"}", (int)n - 1, 0);
    snprintf(filter, sizeof filter, "s['a'] == \"a%0*d\"", (int)n - 1, 0);
    assert_int_equal(tj_passes(json, (size_t)head, filter), n <= 4096);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases),
      cmocka_unit_test(test_compact),
      cmocka_unit_test(test_no_json),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_many_keys),
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_long),
  };
  vdb_mem_init(&tj_mem, NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
