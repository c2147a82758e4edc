/*
 * test_filter_json.c - filters over JSON in a VARCHAR field: each kind of value and of place, texts
 * with escapes, numbers against strtod, random documents whose values are known because they were
 * written from them, and texts that are no JSON, cut anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filter_fixture.h"

static struct vdb_mem tj_mem;

enum { TJ_ROOM = 1 << 15, TJ_PATH = 256, TJ_DEPTH = 4 };

/* Whether a row with the text in `s` (NULL: null) passes, one by one and in a block. */
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

/* ---- Random documents ------------------------------------------------------------------------ */

/* A document as it is written, and a condition that holds for one place in it. */
struct tj_doc {
  struct vdb_rng rng;
  char json[TJ_ROOM];
  size_t n;
  char filter[TJ_PATH + 128];
  bool wanted; /* the value being written is the one that the condition is about */
};

static void tj_put(struct tj_doc *d, const char *text) {
  assert_true(d->n + strlen(text) < TJ_ROOM);
  strcpy(d->json + d->n, text);
  d->n += strlen(text);
}

static void tj_blank(struct tj_doc *d) {
  static const char *const blanks[] = {"", "", "", " ", "\n\t", "\r "};
  tj_put(d, blanks[vdb_rng_below(&d->rng, VDB_COUNT(blanks))]);
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
    tj_put(d, escape);
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

static void test_random(void **state) {
  (void)state;
  static struct tj_doc d;
  for (uint64_t seed = 1; seed < 3000; seed++) {
    d.rng = (struct vdb_rng){seed};
    d.n = 0;
    d.wanted = true;
    d.filter[0] = '\0';
    tj_value(&d, "", TJ_DEPTH);
    if (strncmp(d.filter, "s[", 2) != 0)
      continue; /* of the text itself */
    if (!tj_passes(d.json, d.n, d.filter))
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
      cmocka_unit_test(test_random),
      cmocka_unit_test(test_long),
  };
  vdb_mem_init(&tj_mem, NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
