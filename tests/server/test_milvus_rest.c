/*
 * test_milvus_rest.c - Milvus's REST interface: collections by dimension and by schema, rows,
 * searches beside a naive one, and its codes for wrong requests.
 */
#include "server/webtest.h"

#define COLLECTIONS "/v2/vectordb/collections"
#define ENTITIES    "/v2/vectordb/entities"

/* Asks, and gives "data" of an answer that must have this code; to be released. */
static json_t *ask(const struct web *w, int code, const char *path, const char *body) {
  json_t *answer = web_expect(w, 200, "POST", path, body);
  json_t *got = json_object_get(answer, "code");
  if (!json_is_integer(got) || json_integer_value(got) != code) {
    char *text = json_dumps(answer, 0);
    fail_msg("%s %s: %s", path, body, text);
  }
  if (code)
    assert_true(json_is_string(json_object_get(answer, "message")));
  json_t *data = json_incref(json_object_get(answer, "data"));
  json_decref(answer);
  return data;
}

static void expect(const struct web *w, const char *path, const char *body, const char *wanted) {
  json_t *data = ask(w, 0, path, body), *json = json_loads(wanted, JSON_DECODE_ANY, NULL);
  assert_non_null(json);
  if (!json_equal(data, json)) {
    char *text = json_dumps(data, JSON_ENCODE_ANY);
    fail_msg("%s %s: %s", path, body, text);
  }
  json_decref(data);
  json_decref(json);
}

static int setup(void **state) {
  struct web *w = malloc(sizeof *w);
  web_init(w);
  web_start(w);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  web_end(*state);
  free(*state);
  return 0;
}

static void test_quick(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create",
         "{\"collectionName\": \"q\", \"dimension\": 2, \"metricType\": \"L2\"}", "{}");
  expect(w, COLLECTIONS "/has", "{\"collectionName\": \"q\"}", "{\"has\": true}");
  expect(w, COLLECTIONS "/list", "{}", "[\"q\"]");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"q\", \"data\": [{\"id\": 1, \"vector\": [0, 0]},"
         " {\"id\": 2, \"vector\": [3, 4]}, {\"id\": 3, \"vector\": [1, 0]}]}",
         "{\"insertCount\": 3, \"insertIds\": [1, 2, 3]}");
  expect(w, ENTITIES "/upsert",
         "{\"collectionName\": \"q\", \"data\": {\"id\": 3, \"vector\": [2, 0]}}",
         "{\"upsertCount\": 1, \"upsertIds\": [3]}");
  expect(w, COLLECTIONS "/get_stats", "{\"collectionName\": \"q\"}", "{\"rowCount\": 3}");
  expect(w, ENTITIES "/search", "{\"collectionName\": \"q\", \"data\": [[0, 0]], \"limit\": 2}",
         "[{\"id\": 1, \"distance\": 0.0}, {\"id\": 3, \"distance\": 4.0}]");
  expect(w, ENTITIES "/search",
         "{\"collectionName\": \"q\", \"data\": [[0, 0], [3, 4]], \"limit\": 1, \"offset\": 1,"
         " \"filter\": \"id > 1\", \"outputFields\": [\"*\"]}",
         "[{\"id\": 2, \"vector\": [3.0, 4.0], \"distance\": 25.0},"
         " {\"id\": 3, \"vector\": [2.0, 0.0], \"distance\": 17.0}]");
  expect(w, ENTITIES "/get",
         "{\"collectionName\": \"q\", \"id\": [2, 9], \"outputFields\": [\"vector\"]}",
         "[{\"id\": 2, \"vector\": [3.0, 4.0]}]");
  expect(w, ENTITIES "/delete", "{\"collectionName\": \"q\", \"filter\": \"id in [1, 2]\"}", "{}");
  expect(w, ENTITIES "/query", "{\"collectionName\": \"q\", \"filter\": \"\"}",
         "[{\"id\": 3, \"vector\": [2.0, 0.0]}]");
  expect(w, COLLECTIONS "/drop", "{\"collectionName\": \"q\"}", "{}");
  expect(w, COLLECTIONS "/drop", "{\"collectionName\": \"q\"}", "{}");
  expect(w, COLLECTIONS "/has", "{\"collectionName\": \"q\"}", "{\"has\": false}");
}

#define WIDE "[0.5, 1.0, -2.0, 0.25, 0.0, 0.0, 3.0, 0.125]"

/* Vectors of eight numbers are kept in one piece, among rows, alone and as queries. */
static void test_wide(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create",
         "{\"collectionName\": \"w\", \"dimension\": 8, \"metricType\": \"L2\"}", "{}");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"w\", \"data\": ["
         "{\"id\": 1, \"vector\": [0.5, 0, 0, 0, 0, 0, 0, 0]},"
         " {\"id\": 2, \"vector\": " WIDE "}]}",
         "{\"insertCount\": 2, \"insertIds\": [1, 2]}");
  expect(w, ENTITIES "/upsert",
         "{\"collectionName\": \"w\", \"data\":"
         " {\"id\": 1, \"vector\": [1.5, 0, 0, 0, 0, 0, 0, 0]}}",
         "{\"upsertCount\": 1, \"upsertIds\": [1]}");
  expect(w, ENTITIES "/search",
         "{\"collectionName\": \"w\", \"data\": [" WIDE ", [0.5, 0, 0, 0, 0, 0, 0, 0]],"
         " \"limit\": 1, \"outputFields\": [\"vector\"]}",
         "[{\"id\": 2, \"distance\": 0.0, \"vector\": " WIDE "},"
         " {\"id\": 1, \"distance\": 1.0, \"vector\": [1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]}]");
  json_decref(ask(w, 1100, ENTITIES "/search", "{\"collectionName\": \"w\", \"data\": " WIDE "}"));
  json_decref(ask(w, 1100, ENTITIES "/insert", "{\"collectionName\": \"w\", \"data\": " WIDE "}"));
  json_decref(ask(w, 1100, ENTITIES "/insert",
                  "{\"collectionName\": \"w\", \"data\": {\"id\": " WIDE ","
                  " \"vector\": " WIDE "}}"));
  expect(w, COLLECTIONS "/drop", "{\"collectionName\": \"w\"}", "{}");
}

/* A member of an answer's data, as JSON text, must be this. */
static void has_member(const struct web *w, const char *path, const char *body, const char *key,
                       const char *wanted) {
  json_t *data = ask(w, 0, path, body), *json = json_loads(wanted, JSON_DECODE_ANY, NULL);
  assert_true(json_equal(json_object_get(data, key), json));
  json_decref(json);
  json_decref(data);
}

/* What the library knows of the time to live of "t"; 0: it has none. */
static json_int_t ttl_ms(const struct web *w) {
  json_t *got = web_expect(w, 200, "GET", "/v1/collections/t", NULL);
  json_t *ttl = json_object_get(json_object_get(got, "expiry"), "ttl_ms");
  json_int_t ms = json_integer_value(ttl);
  json_decref(got);
  return ms;
}

#define T "{\"collectionName\": \"t\""

/* Rows of a collection with a time to live go by when they were written, which clients do not see.
   One is made old through the library's own interface. */
static void test_ttl(void **state) {
  const struct web *w = *state;
  static const char seconds[] = "[{\"key\": \"collection.ttl.seconds\", \"value\": \"3600\"}]";
  expect(w, COLLECTIONS "/create", T ", \"dimension\": 2, \"params\": {\"ttlSeconds\": 3600}}",
         "{}");
  assert_int_equal(ttl_ms(w), 3600000);
  has_member(w, COLLECTIONS "/describe", T "}", "properties", seconds);
  expect(w, ENTITIES "/insert",
         T ", \"data\": [{\"id\": 1, \"vector\": [1, 0]}, {\"id\": 2, \"vector\": [0, 1]}]}",
         "{\"insertCount\": 2, \"insertIds\": [1, 2]}");
  expect(w, ENTITIES "/upsert",
         T ", \"partialUpdate\": true, \"data\": [{\"id\": 1, \"vector\": [0, 1]}]}",
         "{\"upsertCount\": 1, \"upsertIds\": [1]}");
  web_do(w, 200, "PUT", "/v1/collections/t/rows",
         "{\"rows\": [{\"id\": 2, \"vector\": [0, 1], \"_written\": 0}]}");
  static const char left[] = "[{\"id\": 1, \"vector\": [0.0, 1.0]}]";
  expect(w, ENTITIES "/query", T ", \"filter\": \"\"}", left);
  expect(w, ENTITIES "/get", T ", \"id\": [1, 2]}", left);
  expect(w, ENTITIES "/search", T ", \"data\": [[0, 1]], \"outputFields\": [\"*\"]}",
         "[{\"id\": 1, \"vector\": [0.0, 1.0], \"distance\": 1.0}]");
  json_t *data = ask(w, 0, COLLECTIONS "/describe", T "}");
  assert_int_equal(json_array_size(json_object_get(data, "fields")), 2);
  json_decref(data);
  expect(w, COLLECTIONS "/alter_properties",
         T ", \"properties\": {\"collection.ttl.seconds\": \"60\", \"mmap.enabled\": true}}", "{}");
  assert_int_equal(ttl_ms(w), 60000);
  expect(w, COLLECTIONS "/drop_properties", T ", \"propertyKeys\": [\"collection.ttl.seconds\"]}",
         "{}");
  assert_int_equal(ttl_ms(w), 0);
  has_member(w, COLLECTIONS "/describe", T "}", "properties",
             "[{\"key\": \"mmap.enabled\", \"value\": \"true\"}]");
  expect(w, COLLECTIONS "/drop", T "}", "{}");
  expect(w, COLLECTIONS "/create", T ", \"dimension\": 2}", "{}");
  has_member(w, COLLECTIONS "/describe", T "}", "properties", "[]");
  expect(w, COLLECTIONS "/alter_properties",
         T ", \"properties\": {\"collection.ttl.seconds\": 3600}}", "{}");
  has_member(w, COLLECTIONS "/describe", T "}", "properties", seconds);
  static const char *const wrong[] = {
      "{}", T "}", T ", \"properties\": []}", T ", \"properties\": {\"a\": [1]}}",
      T ", \"properties\": {\"collection.ttl.seconds\": -1}}",
      T ", \"properties\": {\"collection.ttl.seconds\": \"1h\"}}",
      T ", \"properties\": {\"collection.ttl.seconds\": true}}",
      T ", \"properties\": {\"collection.ttl.seconds\": \"99999999999\"}}"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    json_decref(ask(w, 1100, COLLECTIONS "/alter_properties", wrong[i]));
  json_decref(ask(w, 1100, COLLECTIONS "/drop_properties", T ", \"propertyKeys\": [3]}"));
  assert_int_equal(ttl_ms(w), 3600000);
  expect(w, COLLECTIONS "/drop", T "}", "{}");
  json_decref(ask(w, 1100, COLLECTIONS "/create",
                  T ", \"dimension\": 2, \"params\": {\"ttlSeconds\": \"soon\"}}"));
  expect(w, COLLECTIONS "/has", T "}", "{\"has\": false}");
}

/* Fields that a partial upsert does not name stay; new rows take defaults. */
static void test_partial(void **state) {
  const struct web *w = *state;
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"p\", \"fields\": ["
         "{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\": true},"
         " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"a\", \"type\": \"INT32\", \"default\": 5},"
         " {\"name\": \"b\", \"type\": \"INT32\", \"default\": 6}]}");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"p\", \"data\": {\"k\": 1, \"v\": [1], \"a\": 2, \"b\": 3}}",
         "{\"insertCount\": 1, \"insertIds\": [1]}");
  expect(w, ENTITIES "/upsert",
         "{\"collectionName\": \"p\", \"partialUpdate\": true, \"data\": [{\"k\": 1, \"v\": [7]},"
         " {\"k\": 2, \"v\": [8]}]}",
         "{\"upsertCount\": 2, \"upsertIds\": [1, 2]}");
  expect(w, ENTITIES "/query", "{\"collectionName\": \"p\", \"filter\": \"\"}",
         "[{\"k\": 1, \"v\": [7.0], \"a\": 2, \"b\": 3}, {\"k\": 2, \"v\": [8.0], \"a\": 5,"
         " \"b\": 6}]");
  expect(w, ENTITIES "/upsert",
         "{\"collectionName\": \"p\", \"partialUpdate\": false, \"data\": {\"k\": 1, \"v\": [9]}}",
         "{\"upsertCount\": 1, \"upsertIds\": [1]}");
  expect(w, ENTITIES "/get", "{\"collectionName\": \"p\", \"id\": 1}",
         "[{\"k\": 1, \"v\": [9.0], \"a\": 5, \"b\": 6}]");
  json_decref(ask(w, 1100, ENTITIES "/upsert",
                  "{\"collectionName\": \"p\", \"partialUpdate\": \"yes\", \"data\": {\"k\": 1}}"));
}

/* Any value is one of a JSON field, and filters look into it. */
static void test_json(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create",
         "{\"collectionName\": \"j\", \"schema\": {\"fields\": ["
         "{\"fieldName\": \"id\", \"dataType\": \"Int64\", \"isPrimary\": true},"
         " {\"fieldName\": \"meta\", \"dataType\": \"JSON\", \"nullable\": true},"
         " {\"fieldName\": \"v\", \"dataType\": \"FloatVector\","
         " \"elementTypeParams\": {\"dim\": \"1\"}}]}}",
         "{}");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"j\", \"data\": ["
         "{\"id\": 1, \"v\": [1], \"meta\": {\"a\": {\"b\": [1, \"x\"]}}},"
         " {\"id\": 2, \"v\": [2], \"meta\": \"text\"}, {\"id\": 3, \"v\": [3]}]}",
         "{\"insertCount\": 3, \"insertIds\": [1, 2, 3]}");
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"j\", \"filter\": \"json_contains(meta['a']['b'], 'x')\","
         " \"outputFields\": [\"meta\"]}",
         "[{\"id\": 1, \"meta\": {\"a\": {\"b\": [1, \"x\"]}}}]");
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"j\", \"filter\": \"not exists meta['a']\","
         " \"outputFields\": [\"meta\"]}",
         "[{\"id\": 2, \"meta\": \"text\"}, {\"id\": 3, \"meta\": null}]");
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"j\", \"filter\": \"\", \"outputFields\": [\"count(*)\"]}",
         "[{\"count(*)\": 3}]");
}

#define MANY "[0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]"

/* A row that stands alone has its members where vectors stand in a list of rows. */
static void test_numbers_below(void **state) {
  static const char row[] =
      "{\"id\": 1, \"v\": [1.0], \"meta\": {\"a\": {\"b\": [" MANY ", {\"c\": " MANY "}]}},"
      " \"more\": {\"d\": " MANY "}, \"list\": [" MANY ", 1]";
  const struct web *w = *state;
  char body[1000], wanted[1000];
  expect(w, COLLECTIONS "/create",
         "{\"collectionName\": \"n\", \"schema\": {\"enableDynamicField\": true, \"fields\": ["
         "{\"fieldName\": \"id\", \"dataType\": \"Int64\", \"isPrimary\": true},"
         " {\"fieldName\": \"meta\", \"dataType\": \"JSON\"},"
         " {\"fieldName\": \"v\", \"dataType\": \"FloatVector\","
         " \"elementTypeParams\": {\"dim\": \"1\"}}]}}",
         "{}");
  snprintf(body, sizeof body, "{\"collectionName\": \"n\", \"data\": %s, \"$meta\": {\"e\": " MANY
           ", \"f\": [" MANY "]}}}", row);
  expect(w, ENTITIES "/insert", body, "{\"insertCount\": 1, \"insertIds\": [1]}");
  snprintf(wanted, sizeof wanted, "[%s, \"e\": " MANY ", \"f\": [" MANY "]}]", row);
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"n\", \"filter\": \"more['d'][1] == 1.5 and e[8] == 8.5\"}",
         wanted);
}

/* A field is added while rows are there, which have null in it. */
static void test_field(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create", "{\"collectionName\": \"f\", \"dimension\": 1}", "{}");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"f\", \"data\": {\"id\": 1, \"vector\": [1]}}",
         "{\"insertCount\": 1, \"insertIds\": [1]}");
  expect(w, COLLECTIONS "/fields/add",
         "{\"collectionName\": \"f\", \"schema\": {\"fieldName\": \"t\", \"dataType\": \"VarChar\","
         " \"nullable\": true, \"elementTypeParams\": {\"max_length\": \"9\"}}}",
         "{}");
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"f\", \"data\": {\"id\": 2, \"vector\": [1], \"t\": \"new\"}}",
         "{\"insertCount\": 1, \"insertIds\": [2]}");
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"f\", \"filter\": \"\", \"outputFields\": [\"t\"]}",
         "[{\"id\": 1, \"t\": null}, {\"id\": 2, \"t\": \"new\"}]");
  static const char *const wrong[] = {
      "", ", \"schema\": 1", ", \"schema\": {\"fieldName\": \"u\", \"dataType\": \"Int8\"}",
      ", \"schema\": {\"fieldName\": \"t\", \"dataType\": \"Int8\", \"nullable\": true}",
      ", \"schema\": {\"fieldName\": \"u\", \"dataType\": \"Int64\", \"isPrimary\": true}",
      (", \"schema\": {\"fieldName\": \"u\", \"dataType\": \"Int8\", \"nullable\": true,"
       " \"defaultValue\": 3}")};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    char body[512];
    snprintf(body, sizeof body, "{\"collectionName\": \"f\"%s}", wrong[i]);
    json_t *answer = web_expect(w, 200, "POST", COLLECTIONS "/fields/add", body);
    assert_true(json_integer_value(json_object_get(answer, "code")) != 0);
    json_decref(answer);
  }
}

/* Rows 1 to 12 lie at 1 to 12, in groups of 3: a group is as near as its nearest row. */
static void test_groups(void **state) {
  const struct web *w = *state;
  char body[1024], *at = body;
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"g\", \"fields\": ["
         "{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\": true},"
         " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1, \"metric\": \"L2\"},"
         " {\"name\": \"g\", \"type\": \"INT32\"}]}");
  at += sprintf(at, "{\"collectionName\": \"g\", \"data\": [");
  for (int i = 1; i <= 12; i++)
    at += sprintf(at, "%s{\"k\": %d, \"v\": [%d], \"g\": %d}", i > 1 ? ", " : "", i, i,
                  (i - 1) / 3);
  strcpy(at, "]}");
  json_decref(ask(w, 0, ENTITIES "/insert", body));
  expect(w, ENTITIES "/search",
         "{\"collectionName\": \"g\", \"data\": [[0]], \"limit\": 2, \"groupingField\": \"g\"}",
         "[{\"k\": 1, \"distance\": 1.0}, {\"k\": 4, \"distance\": 16.0}]");
  expect(w, ENTITIES "/search",
         "{\"collectionName\": \"g\", \"data\": [[0], [13]], \"limit\": 1, \"offset\": 1,"
         " \"groupingField\": \"g\", \"groupSize\": 2, \"strictGroupSize\": true,"
         " \"outputFields\": [\"g\"]}",
         "[{\"k\": 4, \"g\": 1, \"distance\": 16.0}, {\"k\": 5, \"g\": 1, \"distance\": 25.0},"
         " {\"k\": 9, \"g\": 2, \"distance\": 16.0}, {\"k\": 8, \"g\": 2, \"distance\": 25.0}]");
  static const char *const wrong[] = {
      "\"limit\": 2, \"groupingField\": \"none\"", "\"limit\": 2, \"groupingField\": 3",
      "\"limit\": 2, \"groupingField\": \"v\"",
      "\"limit\": 2, \"groupingField\": \"g\", \"groupSize\": 0",
      "\"limit\": 1000, \"groupingField\": \"g\", \"groupSize\": 17"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    snprintf(body, sizeof body, "{\"collectionName\": \"g\", \"data\": [[0]], %s}", wrong[i]);
    json_t *answer = web_expect(w, 200, "POST", ENTITIES "/search", body);
    assert_true(json_integer_value(json_object_get(answer, "code")) != 0);
    json_decref(answer);
  }
}

static void test_schema(void **state) {
  const struct web *w = *state;
  expect(
      w, COLLECTIONS "/create",
      "{\"collectionName\": \"s\", \"schema\": {\"autoID\": true, \"fields\": ["
      "{\"fieldName\": \"k\", \"dataType\": \"Int64\", \"isPrimary\": true},"
      "{\"fieldName\": \"v\", \"dataType\": \"FloatVector\","
      " \"elementTypeParams\": {\"dim\": \"2\"}},"
      "{\"fieldName\": \"t\", \"dataType\": \"VarChar\","
      " \"elementTypeParams\": {\"max_length\": 10}},"
      "{\"fieldName\": \"a\", \"dataType\": \"Array\", \"elementDataType\": \"Int32\","
      " \"elementTypeParams\": {\"max_capacity\": 4}}]}, \"indexParams\": [{\"fieldName\": \"v\","
      " \"indexName\": \"v\", \"metricType\": \"IP\", \"indexType\": \"HNSW\","
      " \"params\": {\"M\": 8, \"efConstruction\": 100}}]}",
      "{}");
  json_t *told = ask(w, 0, COLLECTIONS "/describe", "{\"collectionName\": \"s\"}");
  assert_int_equal(json_array_size(json_object_get(told, "fields")), 4);
  json_t *index = json_array_get(json_object_get(told, "indexes"), 0);
  assert_string_equal(json_string_value(json_object_get(index, "metricType")), "IP");
  json_decref(told);
  /* The same collection through the native interface. */
  json_t *native = web_expect(w, 200, "GET", "/v1/collections/s", NULL);
  json_decref(native);
  expect(w, ENTITIES "/insert",
         "{\"collectionName\": \"s\", \"data\": [{\"v\": [1, 2], \"t\": \"x\", \"a\": [1]},"
         " {\"v\": [2, 1], \"t\": \"y\", \"a\": []}]}",
         "{\"insertCount\": 2, \"insertIds\": [1, 2]}");
  expect(w, ENTITIES "/query",
         "{\"collectionName\": \"s\", \"filter\": \"t == {t}\", \"exprParams\": {\"t\": \"y\"},"
         " \"outputFields\": [\"a\"]}",
         "[{\"k\": 2, \"a\": []}]");
  expect(w, ENTITIES "/search",
         "{\"collectionName\": \"s\", \"data\": [[0, 1]], \"annsField\": \"v\", \"limit\": 5,"
         " \"searchParams\": {\"metricType\": \"IP\", \"params\": {\"ef\": 32}},"
         " \"outputFields\": [\"t\"]}",
         "[{\"k\": 1, \"t\": \"x\", \"distance\": 2.0}, {\"k\": 2, \"t\": \"y\","
         " \"distance\": 1.0}]");
}

#define DYNAMIC "{\"collectionName\": \"dyn\", "

/* Members of rows that the schema does not name: filtered, and given back as they came. */
static void test_dynamic(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create",
         DYNAMIC "\"schema\": {\"enableDynamicField\": true, \"fields\": ["
         "{\"fieldName\": \"id\", \"dataType\": \"Int64\", \"isPrimary\": true},"
         "{\"fieldName\": \"v\", \"dataType\": \"FloatVector\","
         " \"elementTypeParams\": {\"dim\": 1}}]}, \"indexParams\":"
         " [{\"fieldName\": \"v\", \"metricType\": \"L2\"}]}",
         "{}");
  json_t *told = ask(w, 0, COLLECTIONS "/describe", DYNAMIC "\"dbName\": \"default\"}");
  assert_true(json_is_true(json_object_get(told, "enableDynamicField")));
  assert_int_equal(json_array_size(json_object_get(told, "fields")), 2);
  json_decref(told);
  expect(w, ENTITIES "/insert",
         DYNAMIC "\"data\": [{\"id\": 1, \"v\": [1], \"price\": 3, \"_dynamic\": \"own\"},"
         " {\"id\": 2, \"v\": [2], \"price\": 4.5, \"tag\": {\"deep\": [\"x\"]}},"
         " {\"id\": 3, \"v\": [3]}, {\"id\": 4, \"v\": [4], \"price\": \"dear\","
         " \"many\": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5], \"$meta\": {\"more\": 1}}]}",
         "{\"insertCount\": 4, \"insertIds\": [1, 2, 3, 4]}");
  expect(w, ENTITIES "/query", DYNAMIC "\"filter\": \"price > 3\", \"outputFields\":"
         " [\"price\", \"none\"]}", "[{\"id\": 2, \"price\": 4.5}]");
  expect(w, ENTITIES "/query", DYNAMIC "\"filter\": \"price >= {p} or more == 1\","
         " \"exprParams\": {\"p\": 4}, \"outputFields\": [\"*\"]}",
         "[{\"id\": 2, \"v\": [2.0], \"price\": 4.5, \"tag\": {\"deep\": [\"x\"]}},"
         " {\"id\": 4, \"v\": [4.0], \"price\": \"dear\", \"more\": 1,"
         " \"many\": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]}]");
  expect(w, ENTITIES "/query",
         DYNAMIC "\"filter\": \"tag[\\\"deep\\\"][0] == \\\"x\\\" or $meta[\\\"price\\\"] == 3\","
         " \"outputFields\": [\"$meta\"]}",
         "[{\"id\": 1, \"$meta\": {\"price\": 3, \"_dynamic\": \"own\"}},"
         " {\"id\": 2, \"$meta\": {\"price\": 4.5, \"tag\": {\"deep\": [\"x\"]}}}]");
  expect(w, ENTITIES "/search",
         DYNAMIC "\"data\": [[3]], \"limit\": 2, \"filter\": \"exists price\","
         " \"outputFields\": [\"price\", \"v\"]}",
         "[{\"id\": 2, \"price\": 4.5, \"v\": [2.0], \"distance\": 1.0},"
         " {\"id\": 4, \"price\": \"dear\", \"v\": [4.0], \"distance\": 1.0}]");
  expect(w, ENTITIES "/get", DYNAMIC "\"id\": [1, 3]}",
         "[{\"id\": 1, \"v\": [1.0], \"price\": 3, \"_dynamic\": \"own\"},"
         " {\"id\": 3, \"v\": [3.0]}]");
  expect(w, ENTITIES "/query", DYNAMIC "\"filter\": \"exists price\", \"limit\": 1,"
         " \"outputFields\": [\"count(*)\"]}", "[{\"count(*)\": 3}]");
  expect(w, ENTITIES "/upsert", DYNAMIC "\"partialUpdate\": true, \"data\":"
         " {\"id\": 3, \"price\": 9}}", "{\"upsertCount\": 1, \"upsertIds\": [3]}");
  expect(w, ENTITIES "/delete", DYNAMIC "\"filter\": \"price == 4.5\"}", "{}");
  expect(w, ENTITIES "/query", DYNAMIC "\"filter\": \"price > 3\"}",
         "[{\"id\": 3, \"v\": [3.0], \"price\": 9}]");
  json_decref(ask(w, 1100, ENTITIES "/query", DYNAMIC "\"filter\": \"price >\"}"));
  json_decref(ask(w, 1100, ENTITIES "/insert", DYNAMIC "\"data\": [5]}"));
}

/* The same over the native interface, in a collection made there. */
static void test_dynamic_native(void **state) {
  const struct web *w = *state;
  static const char create[] =
      "{\"name\": \"loose\", \"dynamic\": true, \"fields\": ["
      "{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
      "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}";
  web_do(w, 201, "POST", "/v1/collections", create);
  web_do(w, 200, "POST", "/v1/collections/loose/rows",
         "{\"rows\": [{\"id\": 1, \"v\": [1], \"price\": 3, \"_dynamic\": \"own\"},"
         "{\"id\": 2, \"v\": [1], \"tags\": [\"a\"]}]}");
  static const struct {
    const char *method, *path, *ask, *answer;
  } asks[] = {
      {"GET", "/rows/1", NULL, "{\"id\": 1, \"v\": [1.0], \"price\": 3, \"_dynamic\": \"own\"}"},
      {"POST", "/rows/get", "{\"keys\": [2, 1], \"fields\": [\"price\", \"tags\"]}",
       "{\"rows\": [{\"id\": 2, \"tags\": [\"a\"]}, {\"id\": 1, \"price\": 3}]}"},
      {"POST", "/query", "{\"filter\": \"price > 2\", \"fields\": [\"$meta\"]}",
       "{\"rows\": [{\"id\": 1, \"$meta\": {\"price\": 3, \"_dynamic\": \"own\"}}],"
       " \"next\": null}"},
      {"POST", "/count", "{\"filter\": \"json_contains(tags, 'a')\"}", "{\"count\": 1}"},
      {"POST", "/rows/delete", "{\"filter\": \"price == 3\"}", "{\"deleted\": 1}"}};
  for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "/v1/collections/loose%s", asks[i].path);
    json_t *answer = web_expect(w, 200, asks[i].method, path, asks[i].ask);
    json_t *wanted = json_loads(asks[i].answer, 0, NULL);
    if (!json_equal(answer, wanted))
      fail_msg("%s: %s", asks[i].path, json_dumps(answer, 0));
    json_decref(answer);
    json_decref(wanted);
  }
  json_t *answer = web_expect(w, 200, "POST", "/v1/collections/loose/search",
                              "{\"vector\": [1], \"filter\": \"tags[0] == 'a'\","
                              "\"fields\": [\"tags\"]}");
  json_t *hit = json_array_get(json_object_get(answer, "hits"), 0);
  assert_int_equal(json_integer_value(json_object_get(hit, "id")), 2);
  json_t *tags = json_object_get(json_object_get(hit, "fields"), "tags");
  assert_string_equal(json_string_value(json_array_get(tags, 0)), "a");
  json_decref(answer);
  web_fails(w, 400, "UNKNOWN_FIELD", "PATCH", "/v1/collections/loose/rows",
            "{\"rows\": [{\"id\": 2, \"price\": 1}]}");
  /* places in filters are those of the text that was sent, which names of its own make longer */
  static const struct {
    const char *filter;
    int position;
  } faults[] = {{"id > and 1", 5}, {"price > 1 and tags == ]", 22}, {"tags > 1 and $meta ] x", 19},
                {"id > 1 and (a == b[0]", 21}, {"a like 'x' and b like 7", 22}, {"v + a > 1", 0},
                {"a > 1 and v == 1", 10}};
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    char body[128];
    snprintf(body, sizeof body, "{\"filter\": \"%s\"}", faults[i].filter);
    answer = web_expect(w, 400, "POST", "/v1/collections/loose/count", body);
    json_t *position = json_object_get(json_object_get(answer, "error"), "position");
    if (json_integer_value(position) != faults[i].position)
      fail_msg("%s: %s", faults[i].filter, json_dumps(answer, 0));
    json_decref(answer);
  }
}

static void test_dynamic_quick(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create",
         "{\"collectionName\": \"q1\", \"dimension\": 1, \"enableDynamicField\": true}", "{}");
  expect(w, COLLECTIONS "/create", "{\"collectionName\": \"q2\", \"dimension\": 1,"
         " \"params\": {\"enableDynamicField\": true}}", "{}");
  for (int i = 1; i <= 2; i++) {
    char body[200];
    snprintf(body, sizeof body, "{\"collectionName\": \"q%d\", \"data\": [{\"id\": 1,"
             " \"vector\": [1], \"more\": null}]}", i);
    expect(w, ENTITIES "/insert", body, "{\"insertCount\": 1, \"insertIds\": [1]}");
    snprintf(body, sizeof body, "{\"collectionName\": \"q%d\", \"filter\": \"true\"}", i);
    expect(w, ENTITIES "/query", body, "[{\"id\": 1, \"vector\": [1.0], \"more\": null}]");
  }
}

static const struct {
  int code;
  const char *path, *body;
} wrong[] = {
    {100, COLLECTIONS "/describe", "{\"collectionName\": \"none\"}"},
    {100, ENTITIES "/query", "{\"collectionName\": \"none\", \"filter\": \"true\"}"},
    {1100, COLLECTIONS "/describe", "{}"},
    {1100, COLLECTIONS "/describe", "{\"collectionName\": 5}"},
    {1100, COLLECTIONS "/describe", "{"},
    {1100, COLLECTIONS "/create", "{\"collectionName\": \"c\"}"},
    {1100, COLLECTIONS "/create", "{\"collectionName\": \"c\", \"dimension\": \"many\"}"},
    {1100, COLLECTIONS "/create",
     "{\"collectionName\": \"c\", \"dimension\": 2, \"metricType\": \"X\"}"},
    {1100, COLLECTIONS "/create", "{\"collectionName\": \"c\", \"schema\": {\"fields\": [5]}}"},
    {1100, COLLECTIONS "/create",
     "{\"collectionName\": \"c\", \"schema\": {\"fields\": [{\"fieldName\": \"k\","
     " \"dataType\": \"SparseFloatVector\"}]}}"},
    {1100, COLLECTIONS "/create", /* a field without a name, when one is looked for */
     "{\"collectionName\": \"c\", \"schema\": {\"fields\": [{\"dataType\": \"Int64\","
     " \"isPrimary\": true}]}, \"indexParams\": [{\"fieldName\": \"v\"}]}"},
    {1100, COLLECTIONS "/create",
     "{\"collectionName\": \"c\", \"schema\": {\"fields\": [{\"dataType\": \"Int64\","
     " \"isPrimary\": true}]}}"},
    {1100, ENTITIES "/insert", "{\"collectionName\": \"d\", \"data\": 5}"},
    {1100, ENTITIES "/insert", "{\"collectionName\": \"d\", \"data\": [{\"id\": 1}]}"},
    {1100, ENTITIES "/insert",
     "{\"collectionName\": \"d\", \"data\": [{\"id\": 1, \"vector\": [1]}]}"},
    {1100, ENTITIES "/insert",
     "{\"collectionName\": \"d\", \"data\": [{\"id\": 1, \"vector\": [1, 2], \"more\": 1}]}"},
    {1100, ENTITIES "/search", "{\"collectionName\": \"d\", \"data\": [[1]]}"},
    {1100, ENTITIES "/search", "{\"collectionName\": \"d\", \"data\": []}"},
    {1100, ENTITIES "/search", "{\"collectionName\": \"d\", \"data\": [[1, 2]], \"limit\": 0}"},
    {1100, ENTITIES "/search",
     "{\"collectionName\": \"d\", \"data\": [[1, 2]], \"annsField\": \"id\"}"},
    {1100, ENTITIES "/search",
     "{\"collectionName\": \"d\", \"data\": [[1, 2]], \"searchParams\": {\"metricType\": \"L2\"}}"},
    {1100, ENTITIES "/query", "{\"collectionName\": \"d\", \"filter\": \"id ==\"}"},
    {1100, ENTITIES "/delete", "{\"collectionName\": \"d\"}"},
    {1100, ENTITIES "/get", "{\"collectionName\": \"d\", \"id\": [\"x\"]}"},
};

static void test_wrong_requests(void **state) {
  const struct web *w = *state;
  expect(w, COLLECTIONS "/create", "{\"collectionName\": \"d\", \"dimension\": 2}", "{}");
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    json_decref(ask(w, wrong[i].code, wrong[i].path, wrong[i].body));
  web_do(w, 405, "GET", COLLECTIONS "/list", NULL);
  expect(w, COLLECTIONS "/get_stats", "{\"collectionName\": \"d\"}", "{\"rowCount\": 0}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_quick, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wide, setup, teardown),
      cmocka_unit_test_setup_teardown(test_ttl, setup, teardown),
      cmocka_unit_test_setup_teardown(test_schema, setup, teardown),
      cmocka_unit_test_setup_teardown(test_partial, setup, teardown),
      cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
      cmocka_unit_test_setup_teardown(test_field, setup, teardown),
      cmocka_unit_test_setup_teardown(test_json, setup, teardown),
      cmocka_unit_test_setup_teardown(test_numbers_below, setup, teardown),
      cmocka_unit_test_setup_teardown(test_dynamic, setup, teardown),
      cmocka_unit_test_setup_teardown(test_dynamic_native, setup, teardown),
      cmocka_unit_test_setup_teardown(test_dynamic_quick, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_requests, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
