/* test_api_json_index.c - indexes of JSON paths: two collections of the same random documents, one
   of them with indexes, must pass the same rows of random filters, in memory, in files, partly in
   each, merged, opened again, and as indexes come and go; explain says where they are asked. */
#include "tlib/apitest.h"
#include "tlib/memfault.h"
#include "tlib/thorough.h"

enum { ROWS = 300, BATCH = 25, FILTERS = 60, TEXT = 6000, LONG = 4200 };

static const vecdb_json_index indexes[] = {
    {"['a']", VECDB_DOUBLE},         {"meta[ \"a\" ]", VECDB_VARCHAR}, {"['a']", VECDB_BOOL},
    {"['o']['k\\u0065y']", VECDB_DOUBLE}, {"['l'][1]", VECDB_DOUBLE},  {"['l'][1]", VECDB_VARCHAR},
    {"['']", VECDB_DOUBLE}};

static const char *const places[] = {"meta['a']", "meta['o']['key']", "meta['l'][1]", "meta['']",
                                     "meta['b']"};

static uint32_t seed = 1;

static uint32_t below(uint32_t n) { return at_random(&seed) % n; }

/* Values whose types, signs and sizes meet at the edges. */
static const char *const values[] = {
    "0", "-0.0", "1", "1.0", "2", "2.5", "-3", "1e1", "10", "0.1",
    "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993",
    "9223372036854775807", "9223372036854775808", "1e300", "-1e300", "1e999", "9007199254740991.6",
    "\"\"", "\"a\"", "\"ab\"", "\"abc\"", "\"\\u0061b\"", "\"1\"", "\"true\"", "\"a\\nb\"",
    "\"\\u00e9\"", "true", "false", "null", "[1]", "[]", "{}", "{\"key\":1}",
    "12345678901234567890",
    "100", "101", "102"};

static const char *const constants[] = {
    "0", "1", "2", "2.5", "-3", "10", "0.1", "9007199254740991", "9007199254740992",
    "9007199254740993", "9007199254740992.0", "9223372036854775807", "1e300", "101",
    "'a'", "'ab'", "''", "'a\\nb'", "'\xc3\xa9'"};
enum { NUMBERS = 14, WORDS = 5 };

static const char *value(void) { return values[below(AT_COUNT(values))]; }

/* A document: members may be missing or come twice, and long texts may have escapes. */
static void document(char out[TEXT]) {
  int n = 0;
  if (below(30) == 0) {
    snprintf(out, TEXT, "%s", value());
    return;
  }
  n += snprintf(out + n, TEXT, "{\"x\":0");
  for (uint32_t twice = below(8) == 0 ? 2 : below(8) != 0; twice > 0; twice--)
    n += snprintf(out + n, 100, ",\"a\":%s", value());
  if (below(4) != 0)
    n += snprintf(out + n, 100, ",\"o\":{\"q\":[],\"key\":%s}", value());
  if (below(4) != 0)
    n += snprintf(out + n, 100, ",\"l\":[%s,%s]", value(), value());
  if (below(2) != 0)
    n += snprintf(out + n, 100, ",\"\":%s", value());
  if (below(2) != 0)
    n += snprintf(out + n, 100, ",\"b\":%s", value());
  if (below(40) == 0) { /* over what a filter unescapes */
    n += snprintf(out + n, 100, ",\"a\":\"\\\"");
    memset(out + n, 'a', LONG);
    n += LONG;
    n += snprintf(out + n, 10, "\"");
  }
  snprintf(out + n, 10, "}");
}

static int leaf(char *out, size_t room) {
  static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
  const char *place = places[below(AT_COUNT(places))];
  uint32_t kind = below(10), first = below(NUMBERS), second = below(NUMBERS);
  if (kind < 4)
    return snprintf(out, room, "%s %s %s", place, operators[below(6)],
                    constants[below(NUMBERS + WORDS)]);
  if (kind == 4)
    return snprintf(out, room, "%s %s %s", constants[first], operators[below(6)], place);
  if (kind == 5)
    return snprintf(out, room, "%s <= %s < %s", constants[first], place, constants[second]);
  if (kind == 6)
    return snprintf(out, room, "%s %sin [%s, %s, 5]", place, below(2) ? "not " : "",
                    constants[first], constants[second]);
  if (kind == 7)
    return snprintf(out, room, "%s %sin ['ab', '1', '']", place, below(2) ? "not " : "");
  return snprintf(out, room, "%s %slike '%s'", place, below(2) ? "not " : "",
                  below(2) ? "a%" : below(2) ? "ab" : "%b");
}

/* A truth value by itself, or null. */
static int word(char *out, size_t room) {
  static const char *const ends[] = {"", " == true", " != false", " is null", " is not null"};
  const char *place = places[below(AT_COUNT(places))];
  if (below(6) == 0)
    return snprintf(out, room, "exists %s", place);
  return snprintf(out, room, "%s%s", place, ends[below(5)]);
}

static int expression(char *out, size_t room, int depth) {
  uint32_t kind = below(6);
  if (depth == 0 || kind == 0)
    return below(4) ? leaf(out, room) : word(out, room);
  if (kind == 1) {
    int n = snprintf(out, room, "not (");
    n += expression(out + n, room - (size_t)n, depth - 1);
    return n + snprintf(out + n, room - (size_t)n, ")");
  }
  int n = snprintf(out, room, "(");
  n += expression(out + n, room - (size_t)n, depth - 1);
  n += snprintf(out + n, room - (size_t)n, kind < 5 ? " and " : " or ");
  n += expression(out + n, room - (size_t)n, depth - 1);
  return n + snprintf(out + n, room - (size_t)n, ")");
}

static vecdb_collection *create(vecdb *db, const char *name, uint32_t n_indexes) {
  vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY},
      {.name = "meta", .type = VECDB_JSON, .flags = VECDB_NULLABLE},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .metric = VECDB_L2}};
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, AT_COUNT(fields)};
  vecdb_collection *coll;
  fields[1].json_indexes = indexes;
  fields[1].n_json_indexes = n_indexes;
  at_ok(vecdb_collection_create(db, name, &schema, &coll, &at_err));
  return coll;
}

/* The same documents into both. */
static void fill(vecdb_collection *const both[2], int64_t from, int64_t to) {
  static char texts[BATCH][TEXT];
  for (int64_t id = from; id < to; id += BATCH) {
    int64_t ids[BATCH];
    float v[2 * BATCH] = {0};
    uint8_t valid[BATCH];
    const char *json[BATCH];
    for (int i = 0; i < BATCH; i++) {
      ids[i] = id + i;
      json[i] = texts[i];
      valid[i] = below(20) != 0;
      document(texts[i]);
    }
    const vecdb_column columns[] = {{.field = "id", .data = ids},
                                    {.field = "v", .data = v},
                                    {.field = "meta", .data = json, .valid = valid}};
    vecdb_batch batch = {sizeof batch, sizeof *columns, columns, AT_COUNT(columns), BATCH};
    for (int c = 0; c < 2; c++)
      at_ok(vecdb_upsert(both[c], &batch, NULL, &at_err));
  }
}

static void compare(vecdb_collection *const both[2], const char *when) {
  static char filter[20000];
  for (int i = 0; i < TEST_SIZE(FILTERS, FILTERS / 3); i++) {
    size_t n, n_indexed;
    expression(filter, sizeof filter, (int)below(4));
    int64_t *ids = at_ids(both[0], filter, &n), *indexed = at_ids(both[1], filter, &n_indexed);
    if (n != n_indexed || memcmp(ids, indexed, n * sizeof *ids) != 0)
      fail_msg("%s, %s: %zu rows pass, by indexes %zu", when, filter, n, n_indexed);
    assert_int_equal(at_count(both[1], filter), n);
    free(ids);
    free(indexed);
  }
}

/* How explain says that a place is found. */
static bool explained(vecdb_collection *coll, const char *filter, const char *text) {
  const float query[2] = {0};
  char plan[8192];
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  params.k = 1;
  params.queries = query;
  params.filter.text = filter;
  at_ok(vecdb_explain(coll, &params, plan, sizeof plan, NULL, &at_err));
  return strstr(plan, text) != NULL;
}

static void check_listed(vecdb_collection *coll, uint32_t n) {
  static const char *const paths[] = {"[\"a\"]", "[\"a\"]", "[\"a\"]", "[\"o\"][\"key\"]",
                                      "[\"l\"][1]", "[\"l\"][1]", "[\"\"]"};
  const vecdb_field *field = &vecdb_collection_schema(coll)->fields[1];
  assert_int_equal(field->n_json_indexes, n);
  for (uint32_t i = 0; i < n; i++) {
    assert_string_equal(field->json_indexes[i].path, paths[i]);
    assert_int_equal(field->json_indexes[i].type, indexes[i].type);
  }
}

static void get(vecdb *db, vecdb_collection *both[2]) {
  at_ok(vecdb_collection_get(db, "plain", &both[0], &at_err));
  at_ok(vecdb_collection_get(db, "indexed", &both[1], &at_err));
}

static void release(vecdb_collection *both[2]) {
  vecdb_collection_release(both[0]);
  vecdb_collection_release(both[1]);
}

static void test_same(void **state) {
  (void)state;
  char *folder = at_folder();
  const char *path = at_path(folder, "db");
  vecdb *db = at_open(path, NULL);
  vecdb_collection *both[2] = {create(db, "plain", 0), create(db, "indexed", AT_COUNT(indexes))};
  fill(both, 0, ROWS);
  compare(both, "in memory");
  assert_true(explained(both[1], "meta['a'] > 1", "[\"a\"] by the texts"));
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  compare(both, "in files");
  assert_true(explained(both[1], "meta['a'] > 1", "[\"a\"] by its index (DOUBLE)"));
  assert_false(explained(both[1], "meta['a'] like 'b%'", "DOUBLE"));
  assert_false(explained(both[1], "meta['b'] > 1", "by its index"));
  assert_true(explained(both[1], "not exists meta['o']['key']", "by its index (DOUBLE)"));
  fill(both, ROWS / 2, ROWS + ROWS / 2);
  compare(both, "in files and in memory");
  release(both);
  at_close(db);
  db = at_open(path, NULL);
  get(db, both);
  check_listed(both[1], AT_COUNT(indexes));
  compare(both, "opened again");
  at_ok(vecdb_compact(both[1], NULL, &at_err));
  compare(both, "merged");
  at_ok(vecdb_check(db, NULL, NULL, NULL, &at_err));
  at_ok(vecdb_field_rename(both[1], "meta", "data", NULL, &at_err));
  assert_true(explained(both[1], "data['a'] > 1", "data[\"a\"] by its index"));
  release(both);
  at_close(db);
  at_remove(folder);
}

/* Indexes that come and go while there are rows. */
static void test_live(void **state) {
  (void)state;
  char *folder = at_folder();
  vecdb *db = at_open(at_path(folder, "db"), NULL);
  vecdb_collection *both[2] = {create(db, "plain", 0), create(db, "indexed", 0)};
  fill(both, 0, ROWS);
  for (uint32_t i = 0; i < AT_COUNT(indexes); i++) {
    at_ok(vecdb_json_index_create(both[1], "meta", &indexes[i], NULL, &at_err));
    check_listed(both[1], i + 1);
  }
  compare(both, "created, in older files");
  assert_true(explained(both[1], "meta['l'][1] == 'a'", "[1] by the texts"));
  fill(both, ROWS, ROWS + BATCH);
  at_ok(vecdb_flush_all(db, NULL, &at_err));
  compare(both, "in some files");
  at_ok(vecdb_compact(both[1], NULL, &at_err));
  assert_true(explained(both[1], "meta['l'][1] == 'a'", "[1] by its index (VARCHAR)"));
  compare(both, "in all files");
  vecdb_json_index gone = {"['a']", 0};
  at_ok(vecdb_json_index_drop(both[1], "meta", &gone, NULL, &at_err));
  at_fails(VECDB_ERR_NOT_FOUND, vecdb_json_index_drop(both[1], "meta", &gone, NULL, &at_err));
  assert_int_equal(vecdb_collection_schema(both[1])->fields[1].n_json_indexes,
                   AT_COUNT(indexes) - 3);
  compare(both, "dropped");
  at_ok(vecdb_json_index_create(both[1], "meta", &indexes[0], NULL, &at_err));
  assert_true(explained(both[1], "meta['a'] == 1", "by the texts")); /* not by what was dropped */
  at_ok(vecdb_compact(both[1], NULL, &at_err)); /* one segment, of which no row is dead */
  assert_true(explained(both[1], "meta['a'] == 1", "by its index"));
  compare(both, "created again");
  at_ok(vecdb_field_drop(both[1], "meta", NULL, &at_err));
  assert_int_equal(at_count(both[1], NULL), at_count(both[0], NULL));
  release(both);
  at_close(db);
  at_remove(folder);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *field;
    vecdb_json_index index;
    int code;
  } cases[] = {
      {"meta", {NULL, VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"a", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"['a'", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"['a]", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"['a'] x", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"['\\x']", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"[01]", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"[-1]", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"meta", {"[65536]", VECDB_DOUBLE}, VECDB_ERR_LIMIT},
      {"meta", {"['\xff']", VECDB_DOUBLE}, VECDB_ERR_UTF8},
      {"meta", {"['a']", 0}, VECDB_ERR_SCHEMA},
      {"meta", {"['a']", VECDB_INT64}, VECDB_ERR_SCHEMA},
      {"meta", {"[\"a\"]", VECDB_DOUBLE}, VECDB_ERR_EXISTS},
      {"v", {"['a']", VECDB_DOUBLE}, VECDB_ERR_SCHEMA},
      {"none", {"['a']", VECDB_DOUBLE}, VECDB_ERR_UNKNOWN_FIELD}};
  char *folder = at_folder();
  char text[VECDB_MAX_JSON_PATH + 2] = "['";
  vecdb_json_index longest = {text, VECDB_BOOL};
  vecdb *db = at_open(at_path(folder, "db"), NULL);
  vecdb_collection *coll = create(db, "c", 1);
  for (size_t i = 0; i < AT_COUNT(cases); i++)
    if (vecdb_json_index_create(coll, cases[i].field, &cases[i].index, NULL, &at_err) !=
        cases[i].code)
      fail_msg("%s: %s", cases[i].index.path, at_err.message);
  memset(text + 2, 'a', sizeof text - 2);
  text[sizeof text - 1] = '\0';
  at_fails(VECDB_ERR_LIMIT, vecdb_json_index_create(coll, "meta", &longest, NULL, &at_err));
  memcpy(text + VECDB_MAX_JSON_PATH - 2, "']", 3);
  at_ok(vecdb_json_index_create(coll, "meta", &longest, NULL, &at_err));
  for (uint32_t i = 2; i <= VECDB_MAX_JSON_INDEXES; i++) {
    vecdb_json_index more = {text, VECDB_BOOL};
    snprintf(text, sizeof text, "[%u]", i);
    if (i < VECDB_MAX_JSON_INDEXES)
      at_ok(vecdb_json_index_create(coll, "meta", &more, NULL, &at_err));
    else
      at_fails(VECDB_ERR_LIMIT, vecdb_json_index_create(coll, "meta", &more, NULL, &at_err));
  }
  vecdb_collection_release(coll);
  at_close(db);
  at_remove(folder);
}

/* Cancels while indexes of paths are made, and counts what memory is still taken for. */
enum { HALT_GATHER = 8 /* more than the column itself takes, less than the indexes */ };
struct halt {
  vecdb_allocator inner;
  volatile int32_t cancel;
  bool armed;
  uint32_t calls;
};

static void *halt_alloc(void *user, size_t size) {
  struct halt *h = user;
  h->calls += h->armed;
  h->cancel = h->calls > HALT_GATHER;
  return h->inner.alloc(h->inner.user, size);
}

static void *halt_resize(void *user, void *block, size_t size) {
  struct halt *h = user;
  return h->inner.resize(h->inner.user, block, size);
}

static void halt_release(void *user, void *block) {
  struct halt *h = user;
  h->inner.release(h->inner.user, block);
}

static int halt_progress(void *user, const char *phase, uint64_t done, uint64_t total) {
  struct halt *h = user;
  (void)total;
  h->armed = strcmp(phase, "write") == 0 && done == 1; /* the next field is that with the paths */
  return 0;
}

/* A call that is cancelled makes no more indexes: of many paths of one field not even the next. */
static void test_cancelled(void **state) {
  (void)state;
  char *folder = at_folder(), texts[VECDB_MAX_JSON_INDEXES][16];
  struct memfault memory;
  memfault_init(&memory);
  struct halt h = {.inner = memory.table};
  vecdb_allocator table = {halt_alloc, halt_resize, halt_release, &h};
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.allocator = &table;
  options.flags = VECDB_HOST_DRIVEN;
  vecdb *db = at_open(at_path(folder, "db"), &options);
  vecdb_collection *both[2] = {create(db, "plain", 0), create(db, "indexed", 0)};
  for (int i = 0; i < VECDB_MAX_JSON_INDEXES; i++) {
    vecdb_json_index index = {texts[i], VECDB_DOUBLE};
    snprintf(texts[i], sizeof texts[i], "['%d']", i);
    at_ok(vecdb_json_index_create(both[1], "meta", &index, NULL, &at_err));
  }
  fill(both, 0, BATCH);
  vecdb_control control = VECDB_CONTROL_INIT;
  control.cancel = &h.cancel;
  control.progress = halt_progress;
  control.user = &h;
  at_fails(VECDB_ERR_CANCELLED, vecdb_flush(both[1], &control, &at_err));
  if (h.calls <= HALT_GATHER || h.calls >= VECDB_MAX_JSON_INDEXES)
    fail_msg("%u allocations", h.calls);
  h.armed = false;
  assert_int_equal(at_count(both[1], NULL), BATCH);
  at_ok(vecdb_flush(both[1], NULL, &at_err));
  compare(both, "after what was cancelled");
  release(both);
  at_close(db);
  assert_int_equal(memfault_live(&memory), 0);
  at_remove(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {TEST_ALONE(cmocka_unit_test(test_same)),
                                     TEST_ALONE(cmocka_unit_test(test_live)),
                                     TEST_ALONE(cmocka_unit_test(test_refused)),
                                     TEST_ALONE(cmocka_unit_test(test_cancelled))};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
