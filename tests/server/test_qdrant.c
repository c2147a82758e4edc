/*
 * test_qdrant.c - Qdrant's dialect without its client: ranges beside a naive comparison, payloads
 * as they were, and the answers to wrong requests. qdrant_client_test.py has the client. TSAN: yes
 */
#include <math.h>

#include "server/qdrant.h"
#include "server/webtest.h"

#define POINTS "/collections/c/points"

static int setup(void **state) {
  struct web *w = malloc(sizeof *w);
  web_init(w);
  web_start(w);
  web_do(w, 200, "PUT", "/collections/c", "{\"vectors\": {\"size\": 2, \"distance\": \"Euclid\"}}");
  *state = w;
  return 0;
}

static int teardown(void **state) {
  web_end(*state);
  free(*state);
  return 0;
}

static long count_of(const struct web *w, const char *filter) {
  char body[512];
  snprintf(body, sizeof body, "{\"filter\": %s}", filter);
  json_t *answer = web_expect(w, 200, "POST", POINTS "/count", body);
  json_t *count = json_object_get(json_object_get(answer, "result"), "count");
  assert_true(json_is_integer(count));
  long n = (long)json_integer_value(count);
  json_decref(answer);
  return n;
}

static const double numbers[] = {-1e300, -255.5, -16,  -15.999, -1,         -1e-300, 0,
                                 1e-308, 0.1,    0.25, 1,       4294967296, 1e17,    1.7e308};

enum { N_NUMBERS = sizeof numbers / sizeof numbers[0] };

/* Every pair of bounds, each of them inside or outside, beside plain comparisons. */
static void test_ranges(void **state) {
  const struct web *w = *state;
  json_t *points = json_array();
  for (int i = 0; i < N_NUMBERS; i++)
    json_array_append_new(points, json_pack("{s:i, s:[i,i], s:{s:f}}", "id", i, "vector", i, 0,
                                            "payload", "x", numbers[i]));
  json_t *body = json_pack("{s:o}", "points", points);
  char *text = json_dumps(body, 0);
  web_do(w, 200, "PUT", POINTS, text);
  free(text);
  json_decref(body);
  for (int i = 0; i < N_NUMBERS; i++)
    for (int j = i; j < N_NUMBERS; j++)
      for (int form = 0; form < 4; form++) {
        char filter[256];
        const char *low = form & 1 ? "gt" : "gte", *high = form & 2 ? "lt" : "lte";
        snprintf(filter, sizeof filter,
                 "{\"must\": {\"key\": \"x\", \"range\": {\"%s\": %.17g, \"%s\": %.17g}}}", low,
                 numbers[i], high, numbers[j]);
        long wanted = 0;
        for (int k = 0; k < N_NUMBERS; k++)
          wanted += (form & 1 ? numbers[k] > numbers[i] : numbers[k] >= numbers[i]) &&
                    (form & 2 ? numbers[k] < numbers[j] : numbers[k] <= numbers[j]);
        if (count_of(w, filter) != wanted)
          fail_msg("%s: %ld, not %ld", filter, count_of(w, filter), wanted);
      }
}

/* Paths and values that could be taken for one another are not. */
static void test_terms(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "PUT", POINTS,
         "{\"points\": ["
         "{\"id\": 1, \"vector\": [0,0], \"payload\": {\"a.b\": \"x\"}},"
         "{\"id\": 2, \"vector\": [0,0], \"payload\": {\"a\": {\"b\": \"x\"}}},"
         "{\"id\": 3, \"vector\": [0,0], \"payload\": {\"a\": \"1\", \"z\": null}},"
         "{\"id\": 4, \"vector\": [0,0], \"payload\": {\"a\": 1, \"z\": []}},"
         "{\"id\": 5, \"vector\": [0,0], \"payload\": {\"a\": true, \"z\": [[3], {\"k\": 4}]}}]}");
  static const struct {
    const char *filter;
    long count;
  } cases[] = {
      {"{\"must\": {\"key\": \"a.b\", \"match\": {\"value\": \"x\"}}}", 1},
      {"{\"must\": {\"key\": \"\\\"a.b\\\"\", \"match\": {\"value\": \"x\"}}}", 1},
      {"{\"must\": {\"key\": \"a\", \"match\": {\"value\": \"1\"}}}", 1},
      {"{\"must\": {\"key\": \"a\", \"match\": {\"value\": 1}}}", 1},
      {"{\"must\": {\"key\": \"a\", \"match\": {\"value\": true}}}", 1},
      {"{\"must\": {\"key\": \"a\", \"match\": {\"any\": [true, 1, \"1\"]}}}", 3},
      {"{\"must\": {\"key\": \"z[].k\", \"range\": {\"gt\": 3}}}", 1},
      {"{\"must\": {\"key\": \"z[][]\", \"match\": {\"value\": 3}}}", 1},
      {"{\"must\": {\"is_null\": {\"key\": \"z\"}}}", 1},
      {"{\"must\": {\"is_empty\": {\"key\": \"z\"}}}", 4},
      {"{\"must\": {\"has_id\": []}}", 0},
      {"{\"must_not\": {\"has_id\": [1, 2]}}", 3},
      {"{\"must\": [], \"should\": null}", 5},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    if (count_of(w, cases[i].filter) != cases[i].count)
      fail_msg("%s: %ld", cases[i].filter, count_of(w, cases[i].filter));
}

static void test_payloads(void **state) {
  const struct web *w = *state;
  static const char point[] =
      "{\"id\": \"00112233-4455-6677-8899-aabbccddeeff\", \"vector\": [3.0, 4.0], \"payload\":"
      " {\"s\": \"\xc3\xa9\", \"i\": 9007199254740993, \"r\": 0.1, \"n\": null, \"o\": {\"e\": {}},"
      " \"l\": [1, [], \"x\"]}}";
  char body[1024];
  snprintf(body, sizeof body, "{\"points\": [%s]}", point);
  web_do(w, 200, "PUT", POINTS, body);
  json_t *wanted = json_loads(point, 0, NULL);
  json_t *got = web_expect(w, 200, "GET", POINTS "/00112233445566778899AABBCCDDEEFF", NULL);
  assert_true(json_equal(wanted, json_object_get(got, "result")));
  json_decref(got);
  json_decref(wanted);
  /* The distance, not its square. */
  got = web_expect(w, 200, "POST", POINTS "/query", "{\"query\": [0, 0]}");
  json_t *points = json_object_get(json_object_get(got, "result"), "points");
  assert_int_equal(json_array_size(points), 1);
  assert_float_equal(json_real_value(json_object_get(json_array_get(points, 0), "score")), 5, 1e-6);
  json_decref(got);
}

/* Asks for points by their words; their scores, in order, must be these. */
static void check_words(const struct web *w, const char *using, const double *scores, size_t n) {
  char body[300];
  snprintf(body, sizeof body,
           "{\"query\": {\"indices\": [9, 1], \"values\": [2, 1]}, \"using\": \"%s\"}", using);
  json_t *got = web_expect(w, 200, "POST", "/collections/s/points/query", body);
  json_t *points = json_object_get(json_object_get(got, "result"), "points");
  assert_int_equal(json_array_size(points), n);
  for (size_t i = 0; i < n; i++)
    assert_float_equal(json_real_value(json_object_get(json_array_get(points, i), "score")),
                       scores[i], 1e-6);
  json_decref(got);
}

#define WIDE "[0.5, 1, -2, 0.25, 0, 0, 3, 0.125]"

/* The nearest point has this key, and lies where a vector of eight numbers does: such are kept in
   one piece, wherever they stand. */
static void check_wide(const struct web *w, const char *path, const char *body) {
  json_t *got = web_expect(w, 200, "POST", path, body), *hit = json_object_get(got, "result");
  while (hit && !json_object_get(hit, "id"))
    hit = json_is_array(hit) ? json_array_get(hit, 0) : json_object_get(hit, "points");
  assert_int_equal(json_integer_value(json_object_get(hit, "id")), 2);
  if (!strstr(body, "fusion")) /* 0.25 + 1 + 4 + 0.0625 + 9 + 0.015625 */
    assert_true(json_number_value(json_object_get(hit, "score")) == 14.328125);
  json_decref(got);
}

static void test_wide(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "PUT", "/collections/w", "{\"vectors\": {\"size\": 8, \"distance\": \"Dot\"}}");
  web_do(w, 200, "PUT", "/collections/w/points",
         "{\"points\": [{\"id\": 1, \"vector\": [0, 0, 0, 0, 0, 0, 0, 0.5],"
         " \"payload\": {\"list\": " WIDE "}}]}");
  web_do(w, 200, "PUT", "/collections/w/points",
         "{\"batch\": {\"ids\": [2], \"vectors\": [" WIDE "], \"payloads\": [{\"list\": " WIDE
         "}]}}");
  check_wide(w, "/collections/w/points/query", "{\"query\": " WIDE "}");
  check_wide(w, "/collections/w/points/query", "{\"query\": {\"nearest\": " WIDE "}}");
  check_wide(w, "/collections/w/points/query",
             "{\"prefetch\": [{\"query\": " WIDE "}], \"query\": {\"fusion\": \"rrf\"}}");
  check_wide(w, "/collections/w/points/query/batch", "{\"searches\": [{\"query\": " WIDE "}]}");
  check_wide(w, "/collections/w/points/search", "{\"vector\": " WIDE ", \"limit\": 1}");
  json_t *got = web_expect(w, 200, "POST", "/collections/w/points", "{\"ids\": [1, 2]}");
  json_t *points = json_object_get(got, "result"), *list = json_loads(WIDE, 0, NULL);
  for (size_t i = 0; i < 2; i++)
    assert_true(json_equal(
        json_object_get(json_object_get(json_array_get(points, i), "payload"), "list"), list));
  json_decref(list);
  json_decref(got);
  web_do(w, 400, "POST", "/collections/w/points/query",
         "{\"query\": [0.5, 1, 1, 1, 1, 1, 1, 1, 1]}");
  web_do(w, 400, "POST", "/collections/w/points/query",
         "{\"query\": " WIDE ", \"using\": " WIDE "}");
  web_do(w, 400, "POST", "/collections/w/points/query/batch", "{\"searches\": " WIDE "}");
  web_do(w, 400, "PUT", "/collections/w/points", "{\"points\": " WIDE "}");
  web_do(w, 400, "PUT", "/collections/w/points",
         "{\"points\": [{\"id\": 1, \"vector\": " WIDE ", \"payload\": " WIDE "}]}");
  web_do(w, 400, "PUT", "/collections/w/points",
         "{\"batch\": {\"ids\": [2], \"vectors\": " WIDE "}}");
  web_do(w, 200, "DELETE", "/collections/w", NULL);
}

/* The same by name, dense and sparse. */
static void test_wide_names(void **state) {
  const struct web *w = *state;
  static const char sparse[] = "{\"indices\": [1, 2, 3, 4, 5, 6, 7, 8], \"values\": " WIDE "}";
  char body[600];
  web_do(w, 200, "PUT", "/collections/w",
         "{\"vectors\": {\"n\": {\"size\": 8, \"distance\": \"Dot\"}},"
         " \"sparse_vectors\": {\"s\": {}}}");
  snprintf(body, sizeof body,
           "{\"points\": [{\"id\": 2, \"vector\": {\"n\": " WIDE ", \"s\": %s}},"
           " {\"id\": 1, \"vector\": {\"n\": [0, 0, 0, 0, 0, 0, 0, 0.5]}}]}",
           sparse);
  web_do(w, 200, "PUT", "/collections/w/points", body);
  web_do(w, 200, "PUT", "/collections/w/points",
         "{\"batch\": {\"ids\": [3], \"vectors\": {\"n\": [[0.5, 0, 0, 0, 0, 0, 0, 0]]}}}");
  check_wide(w, "/collections/w/points/query", "{\"query\": " WIDE ", \"using\": \"n\"}");
  check_wide(w, "/collections/w/points/search",
             "{\"vector\": {\"name\": \"n\", \"vector\": " WIDE "}, \"limit\": 1}");
  snprintf(body, sizeof body, "{\"query\": %s, \"using\": \"s\"}", sparse);
  check_wide(w, "/collections/w/points/query", body);
  snprintf(body, sizeof body, "{\"query\": {\"nearest\": %s}, \"using\": \"s\"}", sparse);
  check_wide(w, "/collections/w/points/query", body);
  web_do(w, 200, "DELETE", "/collections/w", NULL);
}

/* Sparse vectors, as they are and weighted by how rare their indices are. */
static void test_sparse(void **state) {
  const struct web *w = *state;
  web_do(w, 200, "PUT", "/collections/s",
         "{\"sparse_vectors\": {\"plain\": {}, \"rare\": {\"modifier\": \"idf\"}}}");
  web_do(w, 200, "PUT", "/collections/s/points",
         "{\"points\": [{\"id\": 1, \"vector\": {\"plain\": {\"indices\": [1], \"values\": [5]},"
         " \"rare\": {\"indices\": [1], \"values\": [5]}}},"
         "{\"id\": 2, \"vector\": {\"plain\": {\"indices\": [9, 1], \"values\": [1, 1]},"
         " \"rare\": {\"indices\": [1, 9], \"values\": [1, 1]}}},"
         "{\"id\": 3, \"vector\": {\"rare\": {\"indices\": [4], \"values\": [1]}}}]}");
  /* 2 of 3 points have index 1, and 1 has 9. */
  double common = log((3 - 2 + 0.5) / (2 + 0.5) + 1), rare = log((3 - 1 + 0.5) / (1 + 0.5) + 1);
  check_words(w, "plain", (double[]){5, 3}, 2);
  check_words(w, "rare", (double[]){2 * rare + common, 5 * common}, 2);
  web_do(w, 200, "POST", "/collections/s/points/delete", "{\"points\": [1]}");
  check_words(w, "plain", (double[]){3}, 1);
  common = log((2 - 1 + 0.5) / (1 + 0.5) + 1); /* of both indices now */
  check_words(w, "rare", (double[]){3 * common}, 1);
  web_do(w, 200, "DELETE", "/collections/s", NULL);
}

/* Nothing of what other interfaces make is a collection of points, and the other way round. */
static void test_apart(void **state) {
  const struct web *w = *state;
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"qdrant_x\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         "\"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}");
  web_do(w, 404, "GET", "/collections/x", NULL);
  web_do(w, 404, "POST", "/collections/x/points/count", "{}");
  web_do(w, 200, "DELETE", "/collections/x", NULL);
  web_do(w, 200, "GET", "/v1/collections/qdrant_x", NULL);
}

/* A collection whose fields have the right names and may have other types. */
static void make_alike(const struct web *w, const char *payload, const char *terms,
                       const char *vector, const char *row) {
  char body[1024];
  snprintf(body, sizeof body,
           "{\"name\": \"qdrant_y\", \"fields\": [{\"name\": \"id\", \"type\": \"VARCHAR\","
           " \"max_length\": 64, \"primary_key\": true}, {\"name\": \"payload\", \"type\":"
           " \"ARRAY\", \"max_capacity\": 9, %s}, {\"name\": \"terms\", \"type\": \"ARRAY\","
           " \"max_capacity\": 9, %s}, {\"name\": \"vector_\", \"type\": \"%s\", \"dim\": 2}]}",
           payload, terms, vector);
  web_do(w, 201, "POST", "/v1/collections", body);
  web_do(w, 200, "POST", "/v1/collections/qdrant_y/rows", row);
}

/* What is read as texts must be texts: numbers would be taken for where these lie. */
static void test_alike(void **state) {
  const struct web *w = *state;
  static const char text[] = "\"element_type\": \"VARCHAR\", \"max_length\": 99";
  static const char number[] = "\"element_type\": \"INT64\"";
  static const struct {
    long status;
    const char *payload, *terms, *vector, *row;
  } all[] = {
      {200, text, text, "FLOAT_VECTOR", "\"payload\": [\"{}\"], \"terms\": [\"a\"]"},
      {404, number, text, "FLOAT_VECTOR", "\"payload\": [1, 2], \"terms\": [\"a\"]"},
      {404, text, number, "FLOAT_VECTOR", "\"payload\": [\"{}\"], \"terms\": [1, 2]"},
      {404, text, text, "INT8_VECTOR", "\"payload\": [\"{}\"], \"terms\": [\"a\"]"},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    char row[256];
    snprintf(row, sizeof row, "{\"rows\": [{\"id\": \"i1\", \"vector_\": [1, 2], %s}]}",
             all[i].row);
    make_alike(w, all[i].payload, all[i].terms, all[i].vector, row);
    web_do(w, all[i].status, "POST", "/collections/y/points/scroll", "{\"with_vector\": true}");
    web_do(w, 200, "DELETE", "/v1/collections/qdrant_y", NULL);
  }
}

static const struct {
  long status;
  const char *method, *path, *body;
} wrong[] = {
    {400, "PUT", "/collections/d", "{\"vectors\": {"},
    {400, "PUT", "/collections/d", "[]"},
    {400, "PUT", "/collections/d", "{}"},
    {400, "PUT", "/collections/d", "{\"vectors\": {\"size\": 2}}"},
    {400, "PUT", "/collections/d", "{\"vectors\": {\"size\": -2, \"distance\": \"Dot\"}}"},
    {400, "PUT", "/collections/d", "{\"vectors\": {\"size\": 99999, \"distance\": \"Dot\"}}"},
    {400, "PUT", "/collections/d", "{\"vectors\": {\"a\": 5}}"},
    {400, "PUT", "/collections/d",
     "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\", \"speed\": 1}}"},
    {400, "PUT", "/collections/d",
     "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}, \"sparse_vectors\": {\"s\": 5}}"},
    {400, "PUT", "/collections/d", "{\"sparse_vectors\": {\"s\": {\"modifier\": \"tf\"}}}"},
    {400, "PUT", POINTS,
     "{\"points\": [{\"id\": 1, \"vector\": {\"indices\": [1], \"values\": []}}]}"},
    {400, "POST", POINTS "/query", "{\"query\": {\"indices\": [1], \"values\": [1]}}"},
    {409, "PUT", "/collections/c", "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}}"},
    {404, "GET", "/collections/d", NULL},
    {405, "POST", "/collections/c", "{}"},
    {400, "PUT", POINTS, "{}"},
    {400, "PUT", POINTS, "{\"points\": {}}"},
    {400, "PUT", POINTS, "{\"points\": [5]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"vector\": [1, 2]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": -1, \"vector\": [1, 2]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1.5, \"vector\": [1, 2]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": [1, 2, 3]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": [1, \"2\"]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": [1, 1e300]}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": {\"a\": [1, 2]}}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"payload\": []}]}"},
    {400, "PUT", POINTS, "{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"colour\": 1}]}"},
    {400, "PUT", POINTS, "{\"batch\": {\"ids\": [1, 2], \"vectors\": [[1, 2]]}}"},
    {400, "POST", POINTS, "{\"ids\": [\"abc\"]}"},
    {400, "POST", POINTS, "{\"ids\": [1], \"with_payload\": 7}"},
    {400, "GET", POINTS "/abc", NULL},
    {404, "GET", POINTS "/77", NULL},
    {400, "POST", POINTS "/delete", "{}"},
    {400, "POST", POINTS "/delete", "{\"points\": [1], \"filter\": {}}"},
    {400, "POST", POINTS "/scroll", "{\"limit\": 0}"},
    {400, "POST", POINTS "/scroll", "{\"limit\": 4294967295}"},
    {400, "POST", POINTS "/scroll", "{\"offset\": \"next\"}"},
    {400, "POST", POINTS "/scroll", "{\"order_by\": \"x\"}"},
    {400, "POST", POINTS "/query", "{}"},
    {400, "POST", POINTS "/query", "{\"query\": [1]}"},
    {400, "POST", POINTS "/query", "{\"query\": [1, 2], \"limit\": 99999}"},
    {400, "POST", POINTS "/query", "{\"query\": [1, 2], \"using\": \"other\"}"},
    {400, "POST", POINTS "/query", "{\"query\": {\"fusion\": \"rrf\"}, \"prefetch\": []}"},
    {404, "POST", POINTS "/query", "{\"query\": 12345}"},
    {400, "POST", POINTS "/query/batch", "{\"searches\": [5]}"},
    {400, "POST", POINTS "/search", "{\"vector\": {\"name\": 5, \"vector\": [1, 2]}}"},
    {400, "POST", POINTS "/payload", "{\"payload\": 5, \"points\": [1]}"},
    {400, "POST", POINTS "/payload/delete", "{\"keys\": [5], \"points\": [1]}"},
    {400, "POST", POINTS "/count", "{\"filter\": 5}"},
    {400, "POST", POINTS "/count", "{\"filter\": {\"perhaps\": []}}"},
    {400, "POST", POINTS "/count", "{\"filter\": {\"must\": [5]}}"},
    {400, "POST", POINTS "/count", "{\"filter\": {\"must\": {\"key\": \"a\"}}}"},
    {400, "POST", POINTS "/count", "{\"filter\": {\"must\": {\"key\": 5, \"match\": {}}}}"},
    {400, "POST", POINTS "/count",
     "{\"filter\": {\"must\": {\"key\": \"a\", \"match\": {\"value\": 1.5}}}}"},
    {400, "POST", POINTS "/count",
     "{\"filter\": {\"must\": {\"key\": \"a[0]\", \"match\": {\"value\": 1}}}}"},
    {400, "POST", POINTS "/count",
     "{\"filter\": {\"must\": {\"key\": \"a\", \"range\": {\"gt\": \"2024-01-01\"}}}}"},
    {400, "PUT", "/collections/c/index", "{}"},
};

static void test_wrong_requests(void **state) {
  const struct web *w = *state;
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    json_t *answer = web_expect(w, wrong[i].status, wrong[i].method, wrong[i].path, wrong[i].body);
    if (!json_is_string(json_object_get(json_object_get(answer, "status"), "error")))
      fail_msg("%s %s %s: not Qdrant's error", wrong[i].method, wrong[i].path, wrong[i].body);
    json_decref(answer);
  }
  assert_int_equal(count_of(w, "{}"), 0);
}

/* Nesting that the walk of a payload and of a filter must end, not follow. */
static void test_deep(void **state) {
  const struct web *w = *state;
  static const char *const around[][3] = {
      {"{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"payload\": {\"a\": ", "[", "]"},
      {"{\"points\": [{\"id\": 1, \"vector\": [1, 2], \"payload\": {\"a\": ", "{\"a\":", "}"},
  };
  for (size_t i = 0; i < 2; i++) {
    char body[8192] = "";
    strcat(body, around[i][0]);
    for (int d = 0; d < 900; d++)
      strcat(body, around[i][1]);
    strcat(body, "1");
    for (int d = 0; d < 900; d++)
      strcat(body, around[i][2]);
    strcat(body, "}}]}");
    web_do(w, 400, "PUT", POINTS, body);
  }
}

/* ---- Fusion ---------------------------------------------------------------------------------- */

#define ODD "{\"must\": {\"key\": \"odd\", \"match\": {\"value\": true}}}"

enum { FUSED = 40, FUSED_SEARCHES = 2 };

struct fused {
  double vector[FUSED][2];
  double score[FUSED];            /* of the fusion */
  double near[FUSED];             /* of the search at hand; what may not come has -inf */
  double query[FUSED_SEARCHES][2];
};

/* What a search adds to the scores, done as plainly as can be: ranks by counting who is nearer. */
static void fused_add(struct fused *f, const double *query, int limit, bool odd_only, int k) {
  double mean = 0, squares = 0;
  int n = 0, rank[FUSED];
  for (int i = 0; i < FUSED; i++)
    f->near[i] = odd_only && i % 2 == 0 ? -INFINITY
                                        : f->vector[i][0] * query[0] + f->vector[i][1] * query[1];
  for (int i = 0; i < FUSED; i++) {
    rank[i] = 0;
    for (int j = 0; j < FUSED; j++)
      rank[i] += f->near[j] > f->near[i];
    if (f->near[i] > -INFINITY && rank[i] < limit) {
      mean += f->near[i];
      n++;
    }
  }
  mean /= n;
  for (int i = 0; i < FUSED; i++)
    if (f->near[i] > -INFINITY && rank[i] < limit)
      squares += (f->near[i] - mean) * (f->near[i] - mean);
  double deviation = sqrt(squares / (n - 1));
  for (int i = 0; i < FUSED; i++)
    if (f->near[i] > -INFINITY && rank[i] < limit)
      f->score[i] += k ? 1.0 / (k + rank[i])
                       : (f->near[i] - mean + 3 * deviation) / (6 * deviation);
}

static void fused_check(const struct web *w, struct fused *f, const char *method, int k,
                        bool odd_only) {
  char body[1024];
  snprintf(body, sizeof body,
           "{\"prefetch\": [{\"query\": [%.9g,%.9g], \"limit\": 9}, {\"query\": [%.9g,%.9g],"
           " \"limit\": 15, \"filter\": " ODD "}],"
           " \"query\": %s, \"limit\": 6, \"offset\": 2, \"with_payload\": true, \"filter\": %s}",
           f->query[0][0], f->query[0][1], f->query[1][0], f->query[1][1], method,
           odd_only ? ODD : "null");
  json_t *answer = web_expect(w, 200, "POST", "/collections/dots/points/query", body), *hit;
  json_t *points = json_object_get(json_object_get(answer, "result"), "points");
  memset(f->score, 0, sizeof f->score);
  fused_add(f, f->query[0], 9, odd_only, k);
  fused_add(f, f->query[1], 15, true, k);
  assert_int_equal(json_array_size(points), 6);
  size_t at;
  json_array_foreach(points, at, hit) {
    size_t better = 0;
    json_int_t id = json_integer_value(json_object_get(hit, "id"));
    double score = json_number_value(json_object_get(hit, "score"));
    assert_true(id >= 0 && id < FUSED && fabs(score - f->score[id]) < 1e-4);
    for (int i = 0; i < FUSED; i++)
      better += f->score[i] > f->score[id] + 1e-4;
    assert_true(better <= at + 2); /* fewer when some are as good */
    assert_int_equal(json_is_true(json_object_get(json_object_get(hit, "payload"), "odd")), id % 2);
  }
  json_decref(answer);
}

/* Rankings of two searches in one, beside a naive fusion. */
static void test_fusion(void **state) {
  const struct web *w = *state;
  struct fused f = {.query = {{1, 0.2}, {-0.3, 1}}};
  json_t *points = json_array();
  web_do(w, 200, "PUT", "/collections/dots",
         "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}}");
  for (int i = 0; i < FUSED; i++) {
    f.vector[i][0] = (i * 7 % 41) / 8.0;
    f.vector[i][1] = (i * 11 % 37) / 8.0;
    json_array_append_new(points, json_pack("{s:i, s:[f,f], s:{s:b}}", "id", i, "vector",
                                            f.vector[i][0], f.vector[i][1], "payload", "odd",
                                            i % 2));
  }
  json_t *body = json_pack("{s:o}", "points", points);
  char *text = json_dumps(body, 0);
  web_do(w, 200, "PUT", "/collections/dots/points", text);
  free(text);
  json_decref(body);
  for (int odd_only = 0; odd_only < 2; odd_only++) {
    fused_check(w, &f, "{\"fusion\": \"rrf\"}", 2, odd_only);
    fused_check(w, &f, "{\"rrf\": {\"k\": 60}}", 60, odd_only);
    fused_check(w, &f, "{\"fusion\": \"dbsf\"}", 0, odd_only);
  }
}

static void test_wrong_fusion(void **state) {
  const struct web *w = *state;
  static const char *const bodies[] = {
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": [0,0]}",
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": {\"fusion\": \"sum\"}}",
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": {\"fusion\": \"dbsf\"}}", /* Euclid */
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": {\"rrf\": {\"k\": 0}}}",
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": {\"fusion\": \"rrf\", \"rrf\": {}}}",
      "{\"prefetch\": [3], \"query\": {\"fusion\": \"rrf\"}}",
      "{\"prefetch\": {\"query\": [0]}, \"query\": {\"fusion\": \"rrf\"}}",
      "{\"prefetch\": {\"query\": [0,0], \"filter\": 3}, \"query\": {\"fusion\": \"rrf\"},"
      " \"filter\": {}}",
      "{\"prefetch\": {\"query\": [0,0], \"offset\": 1}, \"query\": {\"fusion\": \"rrf\"}}",
      "{\"prefetch\": {\"prefetch\": {\"query\": [0,0]}, \"query\": {\"fusion\": \"rrf\"}},"
      " \"query\": {\"fusion\": \"rrf\"}}",
      "{\"prefetch\": {\"query\": [0,0]}, \"query\": {\"fusion\": \"rrf\"}, \"limit\": 0}",
  };
  for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
    web_do(w, 400, "POST", POINTS "/query", bodies[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
      cmocka_unit_test_setup_teardown(test_terms, setup, teardown),
      cmocka_unit_test_setup_teardown(test_payloads, setup, teardown),
      cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wide, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wide_names, setup, teardown),
      cmocka_unit_test_setup_teardown(test_apart, setup, teardown),
      cmocka_unit_test_setup_teardown(test_alike, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_requests, setup, teardown),
      cmocka_unit_test_setup_teardown(test_deep, setup, teardown),
      cmocka_unit_test_setup_teardown(test_fusion, setup, teardown),
      cmocka_unit_test_setup_teardown(test_wrong_fusion, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
