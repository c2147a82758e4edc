/*
 * test_server.c - the native HTTP interface: collections, rows of every type, searches beside a
 * naive one, wrong requests, and the description against the routes.
 * TSAN: yes
 */
#include "server/routes.h"
#include "server/webtest.h"

#define DOCS "/v1/collections/docs"

static const char docs_schema[] =
    "{\"name\": \"docs\", \"fields\": ["
    "{\"name\": \"doc_id\", \"type\": \"INT64\", \"primary_key\": true},"
    "{\"name\": \"embedding\", \"type\": \"FLOAT_VECTOR\", \"dim\": 4, \"metric\": \"L2\"},"
    "{\"name\": \"tenant_id\", \"type\": \"INT64\"},"
    "{\"name\": \"category\", \"type\": \"VARCHAR\", \"max_length\": 16, \"nullable\": true},"
    "{\"name\": \"price\", \"type\": \"FLOAT\", \"default\": 1.5}]}";

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

static int setup_docs(void **state) {
  setup(state);
  web_do(*state, 201, "POST", "/v1/collections", docs_schema);
  return 0;
}

static json_t *rows_of(const struct web *w, const char *body) {
  json_t *answer = web_expect(w, 200, "POST", DOCS "/query", body);
  json_t *rows = json_incref(json_object_get(answer, "rows"));
  json_decref(answer);
  return rows;
}

static void test_collections(void **state) {
  const struct web *w = *state;
  web_do(w, 201, "POST", "/v1/collections", docs_schema);
  web_fails(w, 409, "EXISTS", "POST", "/v1/collections", docs_schema);
  json_t *list = web_expect(w, 200, "GET", "/v1/collections", NULL);
  assert_string_equal(json_string_value(json_array_get(json_object_get(list, "collections"), 0)),
                      "docs");
  json_decref(list);
  /* What is told about a collection makes the same collection again. */
  json_t *told = web_expect(w, 200, "GET", DOCS, NULL);
  json_object_set_new(told, "name", json_string("copy"));
  char *text = json_dumps(told, 0);
  web_do(w, 201, "POST", "/v1/collections", text);
  json_t *again = web_expect(w, 200, "GET", "/v1/collections/copy", NULL);
  assert_true(json_equal(told, again));
  json_decref(told);
  json_decref(again);
  free(text);
  web_do(w, 200, "DELETE", "/v1/collections/copy", NULL);
  web_fails(w, 404, "NOT_FOUND", "GET", "/v1/collections/copy", NULL);
}

/* Every type goes in and comes out as it was. */
static void test_every_type(void **state) {
  const struct web *w = *state;
  web_do(
      w, 201, "POST", "/v1/collections",
      "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"VARCHAR\", \"max_length\": "
      "9,"
      "\"primary_key\": true}, {\"name\": \"b\", \"type\": \"BOOL\"}, {\"name\": \"i8\", \"type\":"
      "\"INT8\"}, {\"name\": \"i16\", \"type\": \"INT16\"}, {\"name\": \"i32\", \"type\": "
      "\"INT32\"},"
      "{\"name\": \"f\", \"type\": \"FLOAT\"}, {\"name\": \"d\", \"type\": \"DOUBLE\"},"
      "{\"name\": \"a\", \"type\": \"ARRAY\", \"element_type\": \"INT16\", \"max_capacity\": 4},"
      "{\"name\": \"s\", \"type\": \"ARRAY\", \"element_type\": \"VARCHAR\", \"max_length\": 8,"
      "\"max_capacity\": 4}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2},"
      "{\"name\": \"h\", \"type\": \"FLOAT16_VECTOR\", \"dim\": 2}, {\"name\": \"g\", \"type\":"
      "\"BFLOAT16_VECTOR\", \"dim\": 2}, {\"name\": \"c\", \"type\": \"INT8_VECTOR\", \"dim\": 2},"
      "{\"name\": \"x\", \"type\": \"BINARY_VECTOR\", \"dim\": 16}]}");
  json_t *row = json_pack(
      "{s:s, s:b, s:i, s:i, s:i, s:f, s:f, s:[i,i], s:[s,s], s:[f,f], s:[f,f], s:[f,f], s:[i,i],"
      " s:[i,i]}",
      "k", "caf\xc3\xa9", "b", 1, "i8", -128, "i16", 32767, "i32", -2147483647, "f", 0.25, "d",
      1e300, "a", -5, 6, "s", "x", "", "v", 0.5, -2.0, "h", 1.5, 0.25, "g", 3.0, -0.5, "c", -128,
      127, "x", 255, 1);
  assert_non_null(row);
  json_t *rows = json_pack("{s:[O]}", "rows", row);
  char *text = json_dumps(rows, 0);
  web_do(w, 200, "POST", DOCS "/rows", text);
  free(text);
  json_decref(rows);
  json_t *got = web_expect(w, 200, "GET", DOCS "/rows/caf%C3%A9", NULL);
  assert_true(json_equal(row, got));
  json_decref(row);
  json_decref(got);
}

/* Long arrays, which the server keeps in one piece, in a field of each type that could take or
   mistake them: they come out as they went in, or are refused. */
static void test_long_arrays(void **state) {
  static const char numbers[] = "[0.5, -1, 2.25, 0, 0.125, 4, 5.5, -6, 7]";
  static const struct {
    const char *type, *code; /* NULL: it takes them */
  } cases[] = {
      {"\"FLOAT_VECTOR\", \"dim\": 9, \"metric\": \"L2\"", NULL},
      {"\"FLOAT16_VECTOR\", \"dim\": 9, \"metric\": \"L2\"", NULL},
      {"\"ARRAY\", \"element_type\": \"FLOAT\", \"max_capacity\": 9", NULL},
      {"\"ARRAY\", \"element_type\": \"DOUBLE\", \"max_capacity\": 9", NULL},
      {"\"ARRAY\", \"element_type\": \"FLOAT\", \"max_capacity\": 8", "TOO_LONG"},
      {"\"ARRAY\", \"element_type\": \"INT32\", \"max_capacity\": 9", "TYPE"},
      {"\"ARRAY\", \"element_type\": \"BOOL\", \"max_capacity\": 9", "TYPE"},
      {"\"ARRAY\", \"element_type\": \"VARCHAR\", \"max_length\": 9, \"max_capacity\": 9",
       "TYPE"},
      {"\"VARCHAR\", \"max_length\": 999", "TYPE"},
      {"\"DOUBLE\"", "TYPE"},
      {"\"INT64\"", "TYPE"},
      {"\"BOOL\"", "TYPE"},
      {"\"INT8_VECTOR\", \"dim\": 9", "TYPE"},
      {"\"BINARY_VECTOR\", \"dim\": 72", "TYPE"},
      {"\"SPARSE_VECTOR\"", "TYPE"},
      {"\"FLOAT_VECTOR\", \"dim\": 8", "DIMENSION"},
      {"\"INT8_VECTOR\", \"dim\": 8", "DIMENSION"},
  };
  const struct web *w = *state;
  json_t *wanted = json_loads(numbers, 0, NULL);
  char text[512];
  for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
    snprintf(text, sizeof text,
             "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\", "
             "\"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 9, "
             "\"metric\": \"L2\"}, {\"name\": \"x\", \"type\": %s}]}", cases[c].type);
    web_do(w, 201, "POST", "/v1/collections", text);
    const char *row = "{\"rows\": [{\"k\": 1, \"v\": %s, \"x\": %s}]}";
    snprintf(text, sizeof text, row, numbers, numbers);
    if (cases[c].code) {
      web_fails(w, 400, cases[c].code, "POST", DOCS "/rows", text);
      web_fails(w, 400, cases[c].code, "PUT", DOCS "/rows", text);
      web_fails(w, 400, cases[c].code, "PATCH", DOCS "/rows", text);
    } else {
      web_do(w, 200, "POST", DOCS "/rows", text);
      snprintf(text, sizeof text, "{\"k\": 1, \"v\": %s, \"x\": %s}\n", numbers, numbers);
      web_do(w, 200, "POST", DOCS "/rows/stream", text);
      json_t *got = web_expect(w, 200, "GET", DOCS "/rows/1", NULL);
      for (size_t i = 0; i < json_array_size(wanted); i++)
        for (const char *f = "v"; f; f = *f == 'v' ? "x" : NULL)
          assert_true(json_number_value(json_array_get(json_object_get(got, f), i)) ==
                      json_number_value(json_array_get(wanted, i)));
      json_decref(got);
    }
    web_do(w, 200, "DELETE", "/v1/collections/docs", NULL);
  }
  json_decref(wanted);
}

/* A search by long vectors finds the row that they are of; elsewhere they are refused. */
static void test_long_queries(void **state) {
  static const char numbers[] = "[0.5, -1, 2.25, 0, 0.125, 4, 5.5, -6, 7]";
  const struct web *w = *state;
  char text[512];
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\":"
         " true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 9, \"metric\": \"L2\"}, "
         "{\"name\": \"w\", \"type\": \"FLOAT_VECTOR\", \"dim\": 8, \"metric\": \"L2\"}]}");
  snprintf(text, sizeof text,
           "{\"rows\": [{\"k\": 1, \"v\": [1,1,1,1,1,1,1,1,1], \"w\": [1,2,3,4,5,6,7,8]}, "
           "{\"k\": 2, \"v\": %s, \"w\": [1,2,3,4,5,6,7,8]}]}", numbers);
  web_do(w, 200, "POST", DOCS "/rows", text);
  snprintf(text, sizeof text, "{\"vector\": %s, \"field\": \"v\", \"top_k\": 1}", numbers);
  json_t *got = web_expect(w, 200, "POST", DOCS "/search", text);
  json_t *hit = json_array_get(json_object_get(got, "hits"), 0);
  assert_int_equal(json_integer_value(json_object_get(hit, "id")), 2);
  assert_true(json_number_value(json_object_get(hit, "score")) == 0);
  json_decref(got);
  snprintf(text, sizeof text, "{\"vectors\": [[1,1,1,1,1,1,1,1,1], %s], \"field\": \"v\"}",
           numbers);
  got = web_expect(w, 200, "POST", DOCS "/search", text);
  for (size_t q = 0; q < 2; q++) {
    hit = json_array_get(json_array_get(json_object_get(got, "results"), q), 0);
    assert_int_equal(json_integer_value(json_object_get(hit, "id")), q + 1);
  }
  json_decref(got);
  snprintf(text, sizeof text, "{\"vector\": %s, \"field\": \"w\"}", numbers);
  web_fails(w, 400, "DIMENSION", "POST", DOCS "/search", text);
  snprintf(text, sizeof text, "{\"vectors\": %s, \"field\": \"v\"}", numbers);
  web_fails(w, 400, "DIMENSION", "POST", DOCS "/search", text);
  snprintf(text, sizeof text, "{\"query\": %s, \"field\": \"v\"}", numbers);
  web_fails(w, 400, "ARGUMENT", "POST", DOCS "/search", text);
}

/* Sparse vectors go in by any order of their indices, and come out sorted; hits share an index. */
static void test_sparse(void **state) {
  const struct web *w = *state;
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\":"
         "true}, {\"name\": \"w\", \"type\": \"SPARSE_VECTOR\"}]}");
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"k\": 1, \"w\": {\"indices\": [7, 4294967295, 2], \"values\": [1, 2, 3]}},"
         "{\"k\": 2, \"w\": {\"indices\": [2], \"values\": [-1]}},"
         "{\"k\": 3, \"w\": {\"indices\": [], \"values\": []}}]}");
  json_t *wanted = json_pack("{s:i, s:{s:[i,i,I], s:[f,f,f]}}", "k", 1, "w", "indices", 2, 7,
                             (json_int_t)UINT32_MAX, "values", 3.0, 1.0, 2.0);
  json_t *got = web_expect(w, 200, "GET", DOCS "/rows/1", NULL);
  assert_true(json_equal(wanted, got));
  json_decref(got);
  json_decref(wanted);
  got = web_expect(w, 200, "POST", DOCS "/search",
                   "{\"vector\": {\"indices\": [7, 2], \"values\": [10, 1]}, \"top_k\": 5}");
  json_t *hits = json_object_get(got, "hits");
  assert_int_equal(json_array_size(hits), 2);
  json_t *first = json_array_get(hits, 0), *second = json_array_get(hits, 1);
  assert_true(json_number_value(json_object_get(first, "score")) == 13);
  assert_true(json_number_value(json_object_get(second, "score")) == -1);
  json_decref(got);
  web_fails(w, 400, "TYPE", "POST", DOCS "/search",
            "{\"vector\": {\"indices\": [7, 7], \"values\": [1, 1]}, \"top_k\": 5}");
  web_fails(w, 400, "TYPE", "POST", DOCS "/search", "{\"vector\": [1, 2], \"top_k\": 5}");
  web_fails(w, 400, "TYPE", "POST", DOCS "/rows",
            "{\"rows\": [{\"k\": 4, \"w\": {\"indices\": [-1], \"values\": [1]}}]}");
  web_fails(w, 400, "OVERFLOW", "POST", DOCS "/rows",
            "{\"rows\": [{\"k\": 4, \"w\": {\"indices\": [1], \"values\": [1e38]}}]}");
}

/* Any value goes in and comes out as it was, but for keys that came twice, which are refused. */
static void test_json_fields(void **state) {
  const struct web *w = *state;
  static const char rows[] =
      "{\"rows\":[{\"k\":1,\"v\":[1.0],\"j\":{\"a\":{\"b\":[1,\"x\",null,true,0.1,1660085.125]}}},"
      "{\"k\":2,\"v\":[2.0],\"j\":\"text\"},{\"k\":3,\"v\":[3.0],\"j\":null},"
      "{\"k\":4,\"v\":[4.0],\"j\":[0.5,1.5,2.5,3.5,4.5,5.5,6.5,0.30000000000000004]},"
      "{\"k\":5,\"v\":[5.0],\"j\":9007199254740993}]}";
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\":"
         "true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         "{\"name\": \"j\", \"type\": \"JSON\", \"nullable\": true},"
         "{\"name\": \"d\", \"type\": \"JSON\", \"default\": {\"z\": [1, 2]}}]}");
  web_do(w, 200, "POST", DOCS "/rows", rows);
  json_t *sent = json_loads(rows, 0, NULL), *wanted = json_object_get(sent, "rows");
  json_t *got = rows_of(w, "{\"fields\": [\"k\", \"v\", \"j\"]}");
  assert_true(json_equal(got, wanted));
  json_decref(got);
  json_decref(sent);
  got = rows_of(w, "{\"filter\": \"j['a']['b'][0] < {x} and d['z'][1] == 2\", \"params\":"
                   "{\"x\": 1.5}, \"fields\": [\"d\"]}");
  wanted = json_pack("[{s:i, s:{s:[i,i]}}]", "k", 1, "d", "z", 1, 2);
  assert_true(json_equal(got, wanted));
  json_decref(got);
  json_decref(wanted);
  got = rows_of(w, "{\"filter\": \"j == 'text' or j == 9007199254740993\", \"fields\": []}");
  assert_int_equal(json_array_size(got), 2);
  json_decref(got);
  char deep[400] = "{\"rows\": [{\"k\": 6, \"v\": [1], \"j\": ";
  size_t n = strlen(deep), levels = VECDB_MAX_JSON_DEPTH + 1;
  memset(deep + n, '[', levels);
  memset(deep + n + levels, ']', levels);
  strcpy(deep + n + 2 * levels, "}]}");
  web_fails(w, 400, "LIMIT", "POST", DOCS "/rows", deep);
}

/* Fields whose default is computed: for rows that lack them, also where another row has them. */
static void test_computed(void **state) {
  const struct web *w = *state;
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\", \"primary_key\":"
         "true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         "{\"name\": \"at\", \"type\": \"INT64\", \"default_now\": true},"
         "{\"name\": \"u\", \"type\": \"VARCHAR\", \"max_length\": 36, \"default_uuid\": true}]}");
  json_t *told = web_expect(w, 200, "GET", DOCS, NULL);
  json_t *at = json_array_get(json_object_get(told, "fields"), 2);
  assert_true(json_is_true(json_object_get(at, "default_now")));
  json_decref(told);
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"k\": 1, \"v\": [1]},"
         " {\"k\": 2, \"v\": [2], \"at\": 7, \"u\": \"mine\"}]}");
  web_do(w, 200, "POST", DOCS "/rows", "{\"rows\": [{\"k\": 3, \"v\": [3]}]}");
  json_t *rows = rows_of(w, "{\"fields\": [\"at\", \"u\"]}");
  json_int_t times[3];
  for (size_t i = 0; i < 3; i++) {
    json_t *row = json_array_get(rows, i);
    times[i] = json_integer_value(json_object_get(row, "at"));
    assert_int_equal(json_string_length(json_object_get(row, "u")), i == 1 ? 4 : 36);
  }
  assert_true(times[0] > 1500000000000 && times[1] == 7 && times[2] >= times[0]);
  json_decref(rows);
  web_fails(w, 400, "SCHEMA", "POST", "/v1/collections",
            "{\"name\": \"bad\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
            " \"primary_key\": true, \"default_now\": true},"
            " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}");
}

static void test_rows(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"doc_id\": 1, \"embedding\": [1,0,0,0], \"tenant_id\": 3, \"category\": "
         "\"a\"},"
         "{\"doc_id\": 2, \"embedding\": [0,1,0,0], \"tenant_id\": 4, \"price\": 9}]}");
  web_fails(w, 409, "EXISTS", "POST", DOCS "/rows",
            "{\"rows\": [{\"doc_id\": 2, \"embedding\": [0,0,0,0], \"tenant_id\": 4}]}");
  web_do(w, 200, "PUT", DOCS "/rows",
         "{\"rows\": [{\"doc_id\": 2, \"embedding\": [0,0,1,0], \"tenant_id\": 5}]}");
  json_t *rows = rows_of(w, "{\"fields\": [\"tenant_id\", \"price\", \"category\"]}");
  json_t *wanted = json_pack("[{s:i, s:i, s:f, s:s}, {s:i, s:i, s:f, s:n}]", "doc_id", 1,
                             "tenant_id", 3, "price", 1.5, "category", "a", "doc_id", 2,
                             "tenant_id", 5, "price", 1.5, "category");
  assert_true(json_equal(rows, wanted));
  json_decref(rows);
  json_decref(wanted);
  json_t *some =
      web_expect(w, 200, "POST", DOCS "/rows/get", "{\"keys\": [7, 2, 1], \"fields\": []}");
  json_t *expected = json_pack("{s:[{s:i}, {s:i}]}", "rows", "doc_id", 2, "doc_id", 1);
  assert_true(json_equal(some, expected));
  json_decref(some);
  json_decref(expected);
  json_t *deleted = web_expect(w, 200, "POST", DOCS "/rows/delete",
                               "{\"filter\": \"tenant_id in {t}\", \"params\": {\"t\": [3, 9]}}");
  assert_int_equal(json_integer_value(json_object_get(deleted, "deleted")), 1);
  json_decref(deleted);
  json_t *count = web_expect(w, 200, "POST", DOCS "/count", "{}");
  assert_int_equal(json_integer_value(json_object_get(count, "count")), 1);
  json_decref(count);
}

/* Lines are acknowledged batch by batch; a bad line says which ones stand. */
static void test_stream(void **state) {
  const struct web *w = *state;
  enum { LINES = 1203, LINE = 96 };
  char *text = malloc(LINES * LINE), *at = text;
  for (int i = 0; i < LINES; i++)
    at += sprintf(at, "{\"doc_id\": %d, \"embedding\": [%d,0,0,0], \"tenant_id\": %d}\n", i, i,
                  i % 7);
  json_t *answer = web_expect(w, 200, "POST", DOCS "/rows/stream", text);
  json_t *wanted = json_pack("{s:i, s:[{s:i,s:i,s:i}, {s:i,s:i,s:i}, {s:i,s:i,s:i}]}", "written",
                             LINES, "batches", "first_line", 1, "last_line", 500, "rows", 500,
                             "first_line", 501, "last_line", 1000, "rows", 500, "first_line", 1001,
                             "last_line", LINES, "rows", LINES - 1000);
  assert_true(json_equal(answer, wanted));
  json_decref(answer);
  json_decref(wanted);
  strcpy(strstr(text, "{\"doc_id\": 700,"), "{\"doc_id\": oops\n");
  answer = web_expect(w, 400, "POST", DOCS "/rows/stream", text);
  assert_int_equal(json_integer_value(json_object_get(answer, "written")), 500);
  const char *message =
      json_string_value(json_object_get(json_object_get(answer, "error"), "message"));
  assert_non_null(strstr(message, "line 701"));
  json_decref(answer);
  free(text);
  json_t *count = web_expect(w, 200, "POST", DOCS "/count", NULL);
  assert_int_equal(json_integer_value(json_object_get(count, "count")), LINES);
  json_decref(count);
}

/* Pages of a query, put together, are all rows once. */
static void test_pages(void **state) {
  const struct web *w = *state;
  char text[8192] = "", *at = text;
  for (int i = 0; i < 50; i++)
    at += sprintf(at, "{\"doc_id\": %d, \"embedding\": [0,0,0,%d], \"tenant_id\": 1}\n", i * 3, i);
  web_do(w, 200, "POST", DOCS "/rows/stream", text);
  json_t *after = json_null();
  int seen = 0;
  do {
    json_t *ask = json_pack("{s:i, s:O, s:[]}", "limit", 7, "after", after, "fields");
    char *body = json_dumps(ask, 0);
    json_decref(after);
    json_t *page = web_expect(w, 200, "POST", DOCS "/query", body);
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(page, "rows"), i, row)
        assert_int_equal(json_integer_value(json_object_get(row, "doc_id")), 3 * seen++);
    after = json_incref(json_object_get(page, "next"));
    free(body);
    json_decref(ask);
    json_decref(page);
  } while (!json_is_null(after));
  assert_int_equal(seen, 50);
}

/* Nearest by L2 among points on a line, with a filter: known without the library. */
static void test_search(void **state) {
  const struct web *w = *state;
  char text[16384] = "", *at = text;
  for (int i = 0; i < 100; i++)
    at += sprintf(at, "{\"doc_id\": %d, \"embedding\": [%d,0,0,0], \"tenant_id\": %d}\n", i, i,
                  i % 2);
  web_do(w, 200, "POST", DOCS "/rows/stream", text);
  json_t *answer =
      web_expect(w, 200, "POST", DOCS "/search",
                 "{\"vector\": [40.2,0,0,0], \"top_k\": 3, \"filter\": \"tenant_id == {t}\","
                 "\"params\": {\"t\": 1}, \"fields\": [\"tenant_id\"],"
                 "\"consistency_level\": \"Strong\"}");
  static const int nearest[] = {41, 39, 43};
  json_t *hits = json_object_get(answer, "hits");
  assert_int_equal(json_array_size(hits), 3);
  for (size_t i = 0; i < 3; i++) {
    json_t *hit = json_array_get(hits, i);
    double distance = nearest[i] - 40.2;
    assert_int_equal(json_integer_value(json_object_get(hit, "id")), nearest[i]);
    assert_true(fabs(json_number_value(json_object_get(hit, "score")) - distance * distance) <
                1e-3);
    json_t *fields = json_object_get(hit, "fields");
    assert_int_equal(json_integer_value(json_object_get(fields, "tenant_id")), 1);
  }
  json_decref(answer);
  answer = web_expect(w, 200, "POST", DOCS "/search",
                      "{\"vectors\": [[0,0,0,0], [99,0,0,0]], \"top_k\": 1, \"exact\": true}");
  json_t *results = json_object_get(answer, "results");
  for (size_t q = 0; q < 2; q++)
    assert_int_equal(
        json_integer_value(json_object_get(json_array_get(json_array_get(results, q), 0), "id")),
        q * 99);
  json_decref(answer);
  answer = web_expect(w, 200, "POST", DOCS "/explain", "{\"vector\": [1,0,0,0]}");
  assert_non_null(strstr(json_string_value(json_object_get(answer, "plan")), "EXACT"));
  json_decref(answer);
}

/* Indexes of places in a JSON field, with the field and by themselves. */
static void test_json_indexes(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "POST", DOCS "/fields",
         "{\"fields\": [{\"name\": \"meta\", \"type\": \"JSON\", \"nullable\": true,"
         "\"json_indexes\": [{\"path\": \"['a']\", \"type\": \"DOUBLE\"}]}]}");
  web_do(w, 200, "POST", DOCS "/json_indexes/meta", "{\"path\": \"['b'][0]\", \"type\": \"BOOL\"}");
  web_fails(w, 409, "EXISTS", "POST", DOCS "/json_indexes/meta",
            "{\"path\": \"meta['a']\", \"type\": \"DOUBLE\"}");
  json_t *answer = web_expect(w, 200, "POST", DOCS "/json_indexes/meta/delete",
                              "{\"path\": \"['a']\"}");
  json_t *list = json_object_get(answer, "fields");
  list = json_object_get(json_array_get(list, json_array_size(list) - 1), "json_indexes");
  assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "type")), "BOOL");
  json_decref(answer);
  web_fails(w, 404, "NOT_FOUND", "POST", DOCS "/json_indexes/meta/delete", "{\"path\": \"[0]\"}");
}

/* Some fields of rows, fields of the collection, groups and expiry. */
static void test_changes(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"doc_id\": 1, \"embedding\": [1,0,0,0], \"tenant_id\": 1},"
         "{\"doc_id\": 2, \"embedding\": [2,0,0,0], \"tenant_id\": 1},"
         "{\"doc_id\": 3, \"embedding\": [3,0,0,0], \"tenant_id\": 2}]}");
  json_t *answer = web_expect(w, 200, "PATCH", DOCS "/rows",
                              "{\"rows\": [{\"doc_id\": 2, \"category\": \"news\"},"
                              "{\"doc_id\": 9, \"category\": \"news\"}]}");
  json_t *wanted = json_pack("{s:i, s:[b,b]}", "found", 1, "rows", 1, 0);
  assert_true(json_equal(answer, wanted));
  json_decref(answer);
  json_decref(wanted);
  web_do(w, 200, "POST", DOCS "/fields",
         "{\"fields\": [{\"name\": \"until\", \"type\": \"INT64\", \"nullable\": true},"
         "{\"name\": \"stars\", \"type\": \"INT8\", \"default\": 3}]}");
  web_do(w, 200, "PATCH", DOCS "/fields/stars", "{\"name\": \"grade\"}");
  web_do(w, 200, "DELETE", DOCS "/fields/category", NULL);
  answer = web_expect(w, 200, "GET", DOCS "/rows/2", NULL);
  wanted = json_pack("{s:i, s:i, s:f, s:n, s:i}", "doc_id", 2, "tenant_id", 1, "price", 1.5,
                     "until", "grade", 3);
  json_t *numbers = json_object_get(answer, "embedding");
  assert_int_equal(json_number_value(json_array_get(numbers, 0)), 2);
  json_object_del(answer, "embedding");
  assert_true(json_equal(answer, wanted));
  json_decref(answer);
  json_decref(wanted);
  answer = web_expect(w, 200, "POST", DOCS "/search",
                      "{\"vector\": [0,0,0,0], \"top_k\": 5, \"group_by\": \"tenant_id\","
                      "\"group_size\": 2}");
  static const int groups[2][2] = {{1, 2}, {3, 0}};
  json_t *list = json_object_get(answer, "groups");
  assert_int_equal(json_array_size(list), 2);
  for (size_t g = 0; g < 2; g++) {
    assert_int_equal(json_array_size(json_array_get(list, g)), 2 - g);
    for (size_t i = 0; i < 2 - g; i++) {
      json_t *hit = json_array_get(json_array_get(list, g), i);
      assert_int_equal(json_integer_value(json_object_get(hit, "id")), groups[g][i]);
    }
  }
  json_decref(answer);
  web_do(w, 200, "PATCH", DOCS "/rows", "{\"rows\": [{\"doc_id\": 1, \"until\": 1000}]}");
  answer = web_expect(w, 200, "PUT", DOCS "/expiry", "{\"field\": \"until\", \"ttl_ms\": 500}");
  wanted = json_pack("{s:s, s:i}", "field", "until", "ttl_ms", 500);
  assert_true(json_equal(json_object_get(answer, "expiry"), wanted));
  json_decref(answer);
  json_decref(wanted);
  answer = web_expect(w, 200, "POST", DOCS "/count", NULL);
  assert_int_equal(json_integer_value(json_object_get(answer, "count")), 2);
  json_decref(answer);
  web_fails(w, 400, "SCHEMA", "DELETE", DOCS "/fields/until", NULL);
  web_do(w, 200, "PUT", DOCS "/expiry", "{}");
  web_do(w, 200, "DELETE", DOCS "/fields/until", NULL);
  web_fails(w, 400, "UNKNOWN_FIELD", "DELETE", DOCS "/fields/until", NULL);
  web_fails(w, 400, "SCHEMA", "POST", DOCS "/fields",
            "{\"fields\": [{\"name\": \"x\", \"type\": \"INT8\"}]}");
  web_fails(w, 409, "EXISTS", "PATCH", DOCS "/fields/grade", "{\"name\": \"tenant_id\"}");
  web_fails(w, 400, "ARGUMENT", "PATCH", DOCS "/rows",
            "{\"rows\": [{\"doc_id\": 1, \"grade\": 1}, {\"doc_id\": 2}]}");
  web_fails(w, 400, "TYPE", "POST", DOCS "/search",
            "{\"vector\": [0,0,0,0], \"group_by\": \"embedding\"}");
  web_fails(w, 400, "K", "POST", DOCS "/search",
            "{\"vector\": [0,0,0,0], \"group_by\": \"tenant_id\", \"group_size\": 9999999}");
}

static void check_pull(const struct web *w, int version, double x, double y) {
  json_t *answer = web_expect(w, 200, "POST", DOCS "/pull",
                              "{\"field\": \"embedding\", \"keys\": [9, 1]}");
  json_t *wanted = json_pack("{s:[i, i], s:[n, [f, f, f, f]]}", "versions", 0, version, "vectors",
                             x, y, 0.0, 0.0);
  assert_true(json_equal(answer, wanted));
  json_decref(wanted);
  json_decref(answer);
}

#define PUSHED(key, vector) \
  "{\"field\": \"embedding\", \"keys\": [" key "], \"values\": [" vector "]"

/* Vectors that learn. */
static void test_pushes(void **state) {
  static const char delta[] = PUSHED("1, 1", "[1,0,0,0], [0,2,0,0]")
      ", \"kind\": \"delta\", \"expected\": [1, 2]}";
  static const struct {
    long status;
    const char *code, *body;
  } wrong[] = {
      {400, "ARGUMENT", "{\"keys\": [1], \"values\": [[1,0,0,0]]}"},
      {400, "ARGUMENT", PUSHED("1", "") "}"},
      {400, "ARGUMENT", PUSHED("1", "[1,0,0,0]") ", \"expected\": [1, 2]}"},
      {400, "DIMENSION", PUSHED("1", "[1,0,0]") "}"},
      {400, "DIMENSION", PUSHED("1", "5") "}"},
      {400, "OPTION", PUSHED("1", "[1,0,0,0]") ", \"kind\": \"sum\"}"},
      {400, "UNKNOWN_FIELD", "{\"field\": \"x\", \"keys\": [1], \"values\": [[1,0,0,0]]}"},
      {400, "TYPE", "{\"field\": \"tenant_id\", \"keys\": [1], \"values\": [[1,0,0,0]]}"},
      {404, "NOT_FOUND", PUSHED("9", "[1,0,0,0]") "}"},
  };
  const struct web *w = *state;
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"doc_id\": 1, \"embedding\": [1,0,0,0], \"tenant_id\": 1}]}");
  web_fails(w, 400, "SCHEMA", "POST", DOCS "/push", delta);
  web_do(w, 200, "PUT", DOCS "/optimizers/embedding",
         "{\"kind\": \"adagrad\", \"rate\": 0.5}");
  check_pull(w, 1, 1, 0);
  json_t *answer = web_expect(w, 200, "POST", DOCS "/push", delta);
  json_t *wanted = json_pack("{s:[i, i]}", "versions", 2, 3);
  assert_true(json_equal(answer, wanted));
  json_decref(wanted);
  json_decref(answer);
  check_pull(w, 3, 2, 2);
  web_fails(w, 409, "VERSION", "POST", DOCS "/push", delta);
  web_do(w, 200, "POST", DOCS "/push", PUSHED("1", "[3,0,0,0]") "}");
  check_pull(w, 4, 1.5, 2);
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    web_fails(w, wrong[i].status, wrong[i].code, "POST", DOCS "/push", wrong[i].body);
  web_fails(w, 400, "RANGE", "PUT", DOCS "/optimizers/embedding", "{\"rate\": -1}");
  web_fails(w, 400, "OPTION", "PUT", DOCS "/optimizers/embedding", "{\"kind\": \"sgd\"}");
  web_do(w, 200, "DELETE", DOCS "/optimizers/embedding", NULL);
  web_fails(w, 400, "SCHEMA", "POST", DOCS "/pull",
            "{\"field\": \"embedding\", \"keys\": [1]}");
}

static void test_wrong_requests(void **state) {
  static const struct {
    long status;
    const char *code, *method, *path, *body;
  } cases[] = {
      {404, "NOT_FOUND", "GET", "/none", NULL},
      {404, "NOT_FOUND", "GET", "/v1/collections/", NULL},
      {404, "NOT_FOUND", "GET", "/v1/collections/docs/extra/deep", NULL},
      {404, "NOT_FOUND", "GET", "/v1/collections/%00", NULL},
      {405, "NOT_FOUND", "PATCH", DOCS, NULL},
      {404, "NOT_FOUND", "GET", "/v1/collections/none", NULL},
      {400, "JSON", "POST", DOCS "/search", "{"},
      {400, "JSON", "POST", DOCS "/search", "[]"},
      {400, "JSON", "POST", DOCS "/search", "{\"top_k\": 1, \"top_k\": 2}"},
      {400, "ARGUMENT", "POST", DOCS "/search", "{}"},
      {400, "ARGUMENT", "POST", DOCS "/search",
       "{\"vector\": [1,2,3,4], \"vectors\": [[1,2,3,4]]}"},
      {400, "ARGUMENT", "POST", DOCS "/search", "{\"vector\": [1,2,3,4], \"topk\": 3}"},
      {400, "ARGUMENT", "POST", DOCS "/search", "{\"vector\": \"x\"}"},
      {400, "DIMENSION", "POST", DOCS "/search", "{\"vector\": [1,2,3]}"},
      {400, "DIMENSION", "POST", DOCS "/search", "{\"vector\": [1,2,3,\"4\"]}"},
      {400, "NOT_FINITE", "POST", DOCS "/search", "{\"vector\": [1,2,3,1e99]}"},
      {400, "K", "POST", DOCS "/search", "{\"vector\": [1,2,3,4], \"top_k\": 0}"},
      {400, "K", "POST", DOCS "/search", "{\"vector\": [1,2,3,4], \"top_k\": 99999999}"},
      {400, "ARGUMENT", "POST", DOCS "/search", "{\"vector\": [1,2,3,4], \"top_k\": -1}"},
      {400, "LIMIT", "POST", DOCS "/search", "{\"vectors\": []}"},
      {400, "UNKNOWN_FIELD", "POST", DOCS "/search",
       "{\"vector\": [1,2,3,4], \"field\": \"price\"}"},
      {400, "OPTION", "POST", DOCS "/search",
       "{\"vector\": [1,2,3,4], \"consistency_level\": \"sometimes\"}"},
      {400, "FILTER", "POST", DOCS "/search",
       "{\"vector\": [1,2,3,4], \"filter\": \"tenant_id ==\"}"},
      {400, "FILTER_PARAM", "POST", DOCS "/count", "{\"filter\": \"tenant_id == {t}\"}"},
      {400, "FILTER_PARAM", "POST", DOCS "/count",
       "{\"filter\": \"tenant_id in {t}\", \"params\": {\"t\": [1, \"x\"]}}"},
      {501, "NO_EMBEDDING", "POST", DOCS "/search", "{\"query\": \"text\"}"},
      {400, "TYPE", "GET", DOCS "/rows/abc", NULL},
      {404, "NOT_FOUND", "GET", DOCS "/rows/1", NULL},
      {400, "LIMIT", "POST", DOCS "/rows", "{\"rows\": []}"},
      {400, "ARGUMENT", "POST", DOCS "/rows", "{\"rows\": [3]}"},
      {400, "UNKNOWN_FIELD", "POST", DOCS "/rows", "{\"rows\": [{\"nope\": 3}]}"},
      {400, "MISSING_FIELD", "POST", DOCS "/rows", "{\"rows\": [{\"doc_id\": 3}]}"},
      {400, "TYPE", "POST", DOCS "/rows",
       "{\"rows\": [{\"doc_id\": \"3\", \"embedding\": [1,2,3,4], \"tenant_id\": 1}]}"},
      {400, "DIMENSION", "POST", DOCS "/rows",
       "{\"rows\": [{\"doc_id\": 3, \"embedding\": [1,2], \"tenant_id\": 1}]}"},
      {400, "TOO_LONG", "POST", DOCS "/rows",
       "{\"rows\": [{\"doc_id\": 3, \"embedding\": [1,2,3,4], \"tenant_id\": 1,"
       "\"category\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}]}"},
      {400, "ARGUMENT", "POST", DOCS "/rows/delete", "{}"},
      {400, "ARGUMENT", "POST", DOCS "/rows/delete", "{\"keys\": [1], \"filter\": \"true\"}"},
      {400, "NAME", "POST", "/v1/snapshots", "{\"name\": \"../x\"}"},
      {400, "NAME", "POST", "/v1/snapshots", "{}"},
      {400, "NAME", "POST", "/v1/collections", "{\"name\": \"../x\", \"fields\": []}"},
      {400, "SCHEMA", "POST", "/v1/collections", "{\"name\": \"x\", \"fields\": []}"},
      {400, "OPTION", "POST", "/v1/collections",
       "{\"name\": \"x\", \"fields\": [{\"name\": \"k\", \"type\": \"INT65\"}]}"},
      {400, "TYPE", "POST", "/v1/collections",
       "{\"name\": \"x\", \"fields\": [{\"name\": \"k\", \"type\": \"INT8\", \"default\": 300}]}"},
  };
  const struct web *w = *state;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    web_fails(w, cases[i].status, cases[i].code, cases[i].method, cases[i].path, cases[i].body);
  json_t *rows = rows_of(w, "{}");
  assert_int_equal(json_array_size(rows), 0);
  json_decref(rows);
}

/* Whether the description of a route says what it asks of the caller. */
static bool says_permission(json_t *route, enum srv_permission permission) {
  static const char *const names[] = {
      [SRV_PUBLIC] = "public", [SRV_KNOWN] = "known",     [SRV_READ] = "read",
      [SRV_WRITE] = "write",   [SRV_ADMIN] = "admin",     [SRV_MONITOR] = "monitor",
      [SRV_OPERATE] = "operate"};
  const char *name = json_string_value(json_object_get(route, "x-permission"));
  json_t *none = json_object_get(route, "security"); /* as one asks for no more than the rest */
  return name && strcmp(name, names[permission]) == 0 &&
         (permission == SRV_PUBLIC ? json_is_array(none) && json_array_size(none) == 0 : !none);
}

/* Both ways to say who asks are described, and wanted unless a route says otherwise. */
static void has_security(json_t *document) {
  json_t *schemes =
      json_object_get(json_object_get(document, "components"), "securitySchemes");
  json_t *wanted = json_object_get(document, "security"), *one;
  size_t i;
  assert_int_equal(json_object_size(schemes), 2);
  assert_int_equal(json_array_size(wanted), 2);
  json_array_foreach(wanted, i, one) {
    assert_int_equal(json_object_size(one), 1);
    assert_non_null(json_object_get(schemes, json_object_iter_key(json_object_iter(one))));
  }
  one = json_object_get(schemes, "apiKey");
  assert_string_equal(json_string_value(json_object_get(one, "name")), "api-key");
  assert_string_equal(json_string_value(json_object_get(one, "in")), "header");
}

/* Each route is described, and nothing else is. */
static void test_description(void **state) {
  const struct web *w = *state;
  json_t *document = web_expect(w, 200, "GET", "/openapi.json", NULL);
  json_t *paths = json_object_get(document, "paths");
  has_security(document);
  size_t n, described = 0;
  const struct srv_route *routes = srv_routes(&n);
  for (size_t i = 0; i < n; i++) {
    char method[16] = "";
    for (size_t c = 0; routes[i].method[c]; c++)
      method[c] = (char)(routes[i].method[c] | 0x20);
    json_t *route = json_object_get(json_object_get(paths, routes[i].path), method);
    if (!route || !says_permission(route, routes[i].permission))
      fail_msg("%s %s is not in openapi.json", routes[i].method, routes[i].path);
  }
  const char *path, *key;
  json_t *item, *value;
  json_object_foreach(paths, path, item) {
    json_object_foreach(item, key, value) {
      described += strcmp(key, "parameters") != 0;
    }
  }
  assert_int_equal(described, n);
  json_decref(document);
}

/* What the database has allocated, by purpose, is all that it has; as the description names it. */
static void test_memory(void **state) {
  const struct web *w = *state;
  json_t *memory = web_expect(w, 200, "GET", "/v1/memory", NULL), *value;
  static const char *const purposes[] = {"rows",     "writes",  "files", "indexes", "builds",
                                         "searches", "results", "cache", "vectors", "other"};
  json_int_t total = 0;
  for (size_t i = 0; i < sizeof purposes / sizeof purposes[0]; i++)
    total += json_integer_value(json_object_get(memory, purposes[i]));
  assert_true(total > 0 && total == json_integer_value(json_object_get(memory, "total")));
  json_t *document = web_expect(w, 200, "GET", "/openapi.json", NULL);
  json_t *named = json_object_get(document, "paths");
  static const char *const way[] = {"/v1/memory", "get", "responses", "200", "content",
                                    "application/json", "schema", "properties"};
  for (size_t i = 0; i < sizeof way / sizeof way[0]; i++)
    named = json_object_get(named, way[i]);
  assert_int_equal(json_object_size(named), json_object_size(memory));
  const char *name;
  json_object_foreach(memory, name, value) {
    assert_non_null(json_object_get(named, name));
  }
  json_decref(document);
  json_decref(memory);
}

/* What was acknowledged is there after a stop, and after a snapshot. */
static void test_restart(void **state) {
  struct web *w = *state;
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"doc_id\": 1, \"embedding\": [1,0,0,0], \"tenant_id\": 3}]}");
  web_do(w, 201, "POST", "/v1/snapshots", "{\"name\": \"first\"}");
  web_fails(w, 409, "EXISTS", "POST", "/v1/snapshots", "{\"name\": \"first\"}");
  web_stop(w);
  web_start(w);
  web_do(w, 200, "GET", DOCS "/rows/1", NULL);
  web_stop(w);
  snprintf(w->config.data, sizeof w->config.data, "%.40s/db.snapshots/first", w->folder);
  web_start(w);
  web_do(w, 200, "GET", DOCS "/rows/1", NULL);
}

static char noted[256];

static void note(const char *line) {
  strncat(noted, line, sizeof noted - 1 - strlen(noted));
}

/* What is wrong with the server's files is told without naming them. */
static void test_own_affairs(void **state) {
  const struct web *w = *state;
  char path[SRV_CONFIG_TEXT + 16];
  snprintf(path, sizeof path, "%s.snapshots", w->config.data);
  FILE *f = fopen(path, "w"); /* where a folder should be */
  assert_non_null(f);
  fclose(f);
  struct web_answer a = web_ask(w, "POST", "/v1/snapshots", "{\"name\": \"x\"}");
  assert_int_equal(a.status, 500);
  assert_null(strstr(a.text, w->folder));
  assert_non_null(strstr(a.text, "\"message\""));
  web_done(&a);
}

/* New settings hold for the next request of a connection that stays open. */
static void test_new_settings(void **state) {
  struct web *w = *state;
  struct srv_config fresh = w->config;
  char request[256], answer[4096] = "";
  snprintf(request, sizeof request,
           "POST " DOCS "/count HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n");
  fresh.body_bytes = 1024;
  fresh.workers = w->config.workers + 1;
  int fd = web_connect(w);
  for (int i = 0; i < 2; i++) {
    char spaces[2000];
    memset(spaces, ' ', sizeof spaces);
    spaces[0] = '{';
    spaces[sizeof spaces - 1] = '}';
    size_t head = strlen(request);
    assert_int_equal(send(fd, request, head, MSG_NOSIGNAL), (ssize_t)head);
    assert_true(send(fd, spaces, sizeof spaces, MSG_NOSIGNAL) > 0);
    ssize_t n = recv(fd, answer, sizeof answer - 1, 0);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, i ? " 413 " : " 200 "));
    if (i == 0)
      srv_config_adopt(&w->server->config, &fresh, note);
  }
  close(fd);
  assert_string_equal(noted, "server.workers has changed, which takes a restart");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_collections, setup, teardown),
      cmocka_unit_test_setup_teardown(test_every_type, setup, teardown),
      cmocka_unit_test_setup_teardown(test_long_arrays, setup, teardown),
      cmocka_unit_test_setup_teardown(test_long_queries, setup, teardown),
      cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
      cmocka_unit_test_setup_teardown(test_json_fields, setup, teardown),
      cmocka_unit_test_setup_teardown(test_computed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_rows, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_stream, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_pages, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_search, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_json_indexes, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_changes, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_pushes, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_requests, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_description, setup, teardown),
      cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
      cmocka_unit_test_setup_teardown(test_restart, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_new_settings, setup_docs, teardown),
      cmocka_unit_test_setup_teardown(test_own_affairs, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
