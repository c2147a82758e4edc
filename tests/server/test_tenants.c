/*
 * test_tenants.c - rows of tenants: whatever one asks, in any dialect, it is told nothing of
 * another's rows and changes none of them, also with filters made to break out of what is added to
 * them, and while both write the same keys; and what it finds of its own is what a filter would.
 * TSAN: yes
 */
#include "base/rng.h"
#include "server/authtest.h"
#include "server/guard.h"
#include "server/routes.h"
#include "server/rpctest.h"
#include "tlib/thorough.h"

enum { OWN = 5, OTHERS = 40 };

static void as(struct web *w, const char *name) {
  static char header[AUTH_HEADER];
  snprintf(header, sizeof header, "api-key: %s-secret", name);
  w->header = header;
}

/* Rows of acme have the keys 1 to OWN, those of rival the next ones, and say so in their text. */
static void fill(struct web *w, const char *path, const char *method, const char *format,
                 const char *between, const char *end, const char *begin) {
  char *body = malloc(1 << 16), *at = body;
  at += sprintf(at, "%s", begin);
  for (int i = 1; i <= OWN + OTHERS; i++) {
    const char *whose = i <= OWN ? "acme" : "rival";
    at += sprintf(at, "%s", i > 1 ? between : "");
    at += sprintf(at, format, i, i, whose, whose);
  }
  strcpy(at, end);
  web_do(w, 200, method, path, body);
  free(body);
}

static void create(struct web *w) {
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2,"
         " \"metric\": \"L2\"}, {\"name\": \"tenant_id\", \"type\": \"VARCHAR\", \"max_length\":"
         " 16, \"nullable\": true}, {\"name\": \"text\", \"type\": \"VARCHAR\", \"max_length\": 32,"
         " \"default\": \"\"}, {\"name\": \"meta\", \"type\": \"JSON\", \"nullable\": true}]}");
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"nums\", \"fields\": [{\"name\": \"k\", \"type\": \"VARCHAR\","
         " \"max_length\": 8, \"primary_key\": true},"
         " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"tenant_id\", \"type\": \"INT16\", \"default\": 7}]}");
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"common\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}");
  web_do(w, 200, "PUT", "/collections/pts",
         "{\"vectors\": {\"size\": 2, \"distance\": \"Euclid\"}}");
  web_do(w, 200, "PUT", "/v1/collections/docs/optimizers/v", "{}");
  fill(w, "/v1/collections/docs/rows", "POST",
       "{\"k\": %d, \"v\": [%d, 0], \"tenant_id\": \"%s\", \"text\": \"of %s\","
       " \"meta\": {\"n\": 1, \"tenant_id\": \"rival\"}}", ", ", "]}", "{\"rows\": [");
  fill(w, "/collections/pts/points", "PUT",
       "{\"id\": %d, \"vector\": [%d, 0], \"payload\": {\"tenant_id\": \"%s\", \"text\":"
       " \"of %s\"}}", ", ", "]}", "{\"points\": [");
  web_do(w, 200, "POST", "/v1/collections/nums/rows",
         "{\"rows\": [{\"k\": \"a\", \"v\": [1], \"tenant_id\": 7}, {\"k\": \"b\", \"v\": [1],"
         " \"tenant_id\": 8}]}");
}

static int setup(void **state) {
  static char keys[4096];
  struct secured *s = calloc(1, sizeof *s);
  *keys = '\0';
  auth_key(keys, "acme", "writer", "acme");
  auth_key(keys, "rival", "writer", "rival");
  auth_key(keys, "seven", "writer", "7");
  auth_key(keys, "odd", "writer", "07");
  auth_key(keys, "admin", "admin", NULL);
  auth_init(s, keys, "");
  snprintf(s->web.config.search_collection, sizeof s->web.config.search_collection, "docs");
  snprintf(s->web.config.milvus, sizeof s->web.config.milvus, "127.0.0.1:0");
  snprintf(s->web.config.durability, sizeof s->web.config.durability, "off");
  web_start(&s->web);
  as(&s->web, "admin");
  create(&s->web);
  *state = s;
  return 0;
}

/* All rows of rival, as they are. */
static json_t *others(struct web *w) {
  as(w, "admin");
  json_t *out = json_pack(
      "[o, o]",
      web_expect(w, 200, "POST", "/v1/collections/docs/query",
                 "{\"filter\": \"tenant_id == 'rival'\"}"),
      web_expect(w, 200, "POST", "/collections/pts/points/scroll",
                 "{\"limit\": 1000, \"with_vector\": true, \"filter\": {\"must\": [{\"key\":"
                 " \"tenant_id\", \"match\": {\"value\": \"rival\"}}]}}"));
  assert_int_equal(
      json_array_size(json_object_get(json_array_get(out, 0), "rows")), OTHERS);
  return out;
}

/* ---- Whatever one asks ----------------------------------------------------------------------- */

#define DOCS   "/v1/collections/docs"
#define POINTS "/collections/pts/points"
#define ROWS   "/v2/vectordb/entities"

/* Asked as acme; what must come, where it is certain. Rival's keys are from OWN + 1 on. */
static const struct {
  int status;
  const char *method, *path, *body;
} tries[] = {
    {200, "POST", DOCS "/search", "{\"vector\": [20, 0], \"top_k\": 50, \"fields\": [\"text\"]}"},
    {200, "POST", DOCS "/search", "{\"vector\": [20, 0], \"top_k\": 50, \"exact\": true,"
                                  " \"filter\": \"tenant_id == 'rival'\"}"},
    {400, "POST", DOCS "/search", "{\"vector\": [20, 0], \"top_k\": 50,"
                                  " \"filter\": \"true) or (true\"}"},
    {400, "POST", DOCS "/query", "{\"filter\": \"k > {vecdb_tenant}\","
                                 " \"params\": {\"vecdb_tenant\": \"rival\"}}"},
    {400, "POST", DOCS "/query", "{\"filter\": \"true) or tenant_id == 'rival' or (false\"}"},
    {200, "POST", DOCS "/query", "{\"filter\": \"true or tenant_id == 'rival'\"}"},
    {200, "POST", DOCS "/query", "{\"filter\": \"text != ') or (true' or true\"}"},
    {200, "POST", DOCS "/query", "{}"},
    {200, "POST", DOCS "/explain", "{\"vector\": [20, 0], \"filter\": \"text == 'of rival'\"}"},
    {0, "POST", "/search", "{\"query\": \"rival\", \"top_k\": 50, \"fields\": [\"text\"]}"},
    {200, "POST", DOCS "/query", "{\"filter\": \"  \"}"},
    {200, "POST", DOCS "/query", "{\"after\": 5, \"offset\": 1}"},
    {200, "POST", DOCS "/rows/get", "{\"keys\": [1, 6, 2, 7, 7, 99]}"},
    {200, "POST", DOCS "/rows/get", "{\"keys\": [6, 7], \"fields\": [\"text\"]}"},
    {404, "GET", DOCS "/rows/6", NULL},
    {200, "GET", DOCS "/rows/1", NULL},
    {200, "POST", DOCS "/rows/delete", "{\"keys\": [6, 7, 8]}"},
    {200, "POST", DOCS "/rows/delete", "{\"filter\": \"k > 5\"}"},
    {400, "POST", DOCS "/rows/delete", "{\"filter\": \"false) or (k > 5\"}"},
    {400, "POST", DOCS "/rows/delete", "{\"filter\": \" \"}"},
    {403, "POST", DOCS "/rows", "{\"rows\": [{\"k\": 100, \"v\": [0, 0],"
                                " \"tenant_id\": \"rival\"}]}"},
    {403, "POST", DOCS "/rows", "{\"rows\": [{\"k\": 100, \"v\": [0, 0]}]}"},
    {403, "POST", DOCS "/rows", "{\"rows\": [{\"k\": 100, \"v\": [0, 0], \"tenant_id\": null}]}"},
    {403, "PUT", DOCS "/rows", "{\"rows\": [{\"k\": 1, \"v\": [0, 0], \"tenant_id\": \"acme\"},"
                               " {\"k\": 6, \"v\": [0, 0], \"tenant_id\": \"acme\"}]}"},
    {409, "POST", DOCS "/rows", "{\"rows\": [{\"k\": 6, \"v\": [0, 0], \"tenant_id\": \"acme\"}]}"},
    {200, "POST", DOCS "/search", "{\"vector\": [20, 0], \"top_k\": 5, \"group_by\": \"tenant_id\","
                                  " \"group_size\": 20, \"fields\": [\"text\"]}"},
    {200, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 1, \"text\": \"of acme\"}]}"},
    {200, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 99, \"text\": \"none\"}]}"},
    {403, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 1, \"text\": \"of acme\"},"
                                 " {\"k\": 6, \"text\": \"of acme\"}]}"},
    {403, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 6, \"tenant_id\": \"acme\"}]}"},
    {403, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 1, \"tenant_id\": \"rival\"}]}"},
    {403, "PATCH", DOCS "/rows", "{\"rows\": [{\"k\": 98, \"v\": [0, 0]}], \"insert\": true}"},
    {200, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [1], \"values\": [[0, 0]]}"},
    {404, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [97], \"values\": [[0, 0]]}"},
    {403, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [1, 6],"
                                " \"values\": [[0, 0], [1, 1]]}"},
    {403, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [97], \"values\": [[0, 0]],"
                                " \"insert\": true}"},
    {200, "POST", DOCS "/pull", "{\"field\": \"v\", \"keys\": [6, 1, 7]}"},
    {403, "PUT", DOCS "/optimizers/v", "{}"},
    {403, "POST", DOCS "/fields", "{\"fields\": [{\"name\": \"x\", \"type\": \"INT8\","
                                  " \"nullable\": true}]}"},
    {403, "DELETE", DOCS "/fields/text", NULL},
    {403, "PATCH", DOCS "/fields/text", "{\"name\": \"word\"}"},
    {403, "PUT", DOCS "/expiry", "{\"field\": \"k\"}"},
    {403, "POST", DOCS "/rows/stream", "{\"k\": 6, \"v\": [0, 0], \"tenant_id\": \"acme\"}\n"},
    {403, "DELETE", DOCS, NULL},
    {403, "POST", DOCS "/compact", "{}"},
    {403, "PUT", DOCS "/indexes/v", "{\"type\": \"FLAT\"}"},
    {403, "POST", "/v1/snapshots", "{\"name\": \"all\"}"},
    {403, "POST", "/v1/collections/common/query", "{}"},
    {403, "POST", "/v1/collections/common/count", "{}"},
    {403, "POST", "/v1/collections/common/rows", "{\"rows\": [{\"k\": 1, \"v\": [1]}]}"},
    {403, "POST", "/v1/collections/nums/query", "{}"}, /* whose tenants are numbers */
    {200, "POST", POINTS "/scroll", "{\"limit\": 100}"},
    {200, "POST", POINTS "/scroll", "{\"limit\": 100, \"filter\": {\"should\": [{\"key\":"
                                    " \"tenant_id\", \"match\": {\"value\": \"rival\"}}]}}"},
    {200, "POST", POINTS, "{\"ids\": [6, 1, 7], \"with_payload\": true}"},
    {200, "POST", POINTS, "{\"ids\": [6], \"with_payload\": [\"text\"]}"},
    {404, "GET", POINTS "/6", NULL},
    {200, "POST", POINTS "/query", "{\"query\": [20, 0], \"limit\": 50, \"with_payload\": true}"},
    {404, "POST", POINTS "/query", "{\"query\": 6, \"limit\": 50, \"with_payload\": true}"},
    {200, "POST", POINTS "/query/groups", "{\"query\": [20, 0], \"limit\": 5, \"group_by\":"
                                          " \"tenant_id\", \"group_size\": 20,"
                                          " \"with_payload\": true}"},
    {200, "POST", POINTS "/search", "{\"vector\": [20, 0], \"limit\": 50, \"with_payload\": true}"},
    {200, "POST", POINTS "/search/batch", "{\"searches\": [{\"vector\": [20, 0], \"limit\": 50,"
                                          " \"with_payload\": true}]}"},
    {200, "POST", POINTS "/query/batch", "{\"searches\": [{\"query\": [20, 0], \"limit\": 50,"
                                         " \"with_payload\": true}]}"},
    {200, "POST", POINTS "/search/groups", "{\"vector\": [20, 0], \"limit\": 5, \"group_by\":"
                                           " \"tenant_id\", \"group_size\": 20,"
                                           " \"with_payload\": true}"},
    {200, "POST", POINTS "/count", "{\"filter\": {\"must\": [{\"key\": \"tenant_id\", \"match\":"
                                   " {\"value\": \"rival\"}}]}}"},
    {0, "POST", POINTS "/query", "{\"prefetch\": [{\"query\": [20, 0]}, {\"query\": [9, 0]}],"
                                 " \"query\": {\"fusion\": \"rrf\"}, \"with_payload\": true}"},
    {200, "POST", POINTS "/delete", "{\"points\": [6, 7]}"},
    {200, "POST", POINTS "/delete", "{\"filter\": {\"must\": [{\"key\": \"tenant_id\", \"match\":"
                                    " {\"value\": \"rival\"}}]}}"},
    {200, "POST", POINTS "/payload", "{\"points\": [6], \"payload\": {\"text\": \"taken\"}}"},
    {200, "PUT", POINTS "/payload", "{\"points\": [6], \"payload\": {\"tenant_id\": \"acme\"}}"},
    {200, "POST", POINTS "/payload/clear", "{\"points\": [6, 7]}"},
    {200, "POST", POINTS "/payload/delete", "{\"points\": [6, 7], \"keys\": [\"text\"]}"},
    {403, "POST", POINTS "/payload/delete", "{\"points\": [1], \"keys\": [\"tenant_id\"]}"},
    {403, "POST", POINTS "/payload/clear", "{\"points\": [1]}"},
    {403, "POST", POINTS "/payload", "{\"points\": [1], \"payload\": {\"tenant_id\": \"rival\"}}"},
    {403, "POST", POINTS "/payload", "{\"points\": [1], \"payload\": {\"tenant_id\":"
                                     " [\"acme\", \"rival\"]}}"},
    {403, "PUT", POINTS, "{\"points\": [{\"id\": 6, \"vector\": [0, 0], \"payload\":"
                         " {\"tenant_id\": \"acme\"}}]}"},
    {403, "PUT", POINTS, "{\"points\": [{\"id\": 100, \"vector\": [0, 0]}]}"},
    {403, "PUT", POINTS, "{\"points\": [{\"id\": 100, \"vector\": [0, 0], \"payload\":"
                         " {\"tenant_id\": {\"a\": \"acme\"}}}]}"},
    {403, "DELETE", "/collections/pts", NULL},
    {200, "POST", ROWS "/query", "{\"collectionName\": \"docs\", \"filter\": \"k > 0\"}"},
    {200, "POST", ROWS "/get", "{\"collectionName\": \"docs\", \"id\": [6, 1]}"},
    {200, "POST", ROWS "/search", "{\"collectionName\": \"docs\", \"data\": [[20, 0]],"
                                  " \"limit\": 50, \"outputFields\": [\"text\"]}"},
    {403, "POST", ROWS "/insert", "{\"collectionName\": \"docs\", \"data\": [{\"k\": 100, \"v\":"
                                  " [0, 0], \"tenant_id\": \"rival\"}]}"},
    {0, "POST", ROWS "/delete", "{\"collectionName\": \"docs\", \"filter\": \"k > 5\"}"},
    {403, "POST", ROWS "/upsert", "{\"collectionName\": \"docs\", \"data\": [{\"k\": 6, \"v\":"
                                  " [0, 0], \"tenant_id\": \"acme\"}]}"},
    {0, "POST", "/v2/vectordb/collections/get_stats", "{\"collectionName\": \"docs\"}"},
};

static void test_tries(void **state) {
  struct secured *s = *state;
  json_t *before = others(&s->web);
  as(&s->web, "acme");
  for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
    struct web_answer a = web_ask(&s->web, tries[i].method, tries[i].path, tries[i].body);
    if (tries[i].status && a.status != tries[i].status)
      fail_msg("%s %s %s: %ld: %s", tries[i].method, tries[i].path, tries[i].body, a.status,
               a.text);
    if (a.text && strstr(a.text, "of rival"))
      fail_msg("%s %s %s: %s", tries[i].method, tries[i].path, tries[i].body, a.text);
    web_done(&a);
  }
  json_t *after = others(&s->web);
  assert_true(json_equal(before, after));
  json_decref(before);
  json_decref(after);
}

/* Routes that a tenant may ask and that have nothing of rows to show, by what the answers are made
   of: names, schemas and settings of collections; counts, which test_counts has. */
static const char *const rowless[] = {
    "GET /v1/collections",
    "GET /v1/collections/{collection}",
    "GET /v1/collections/{collection}/stats",
    "POST /v1/collections/{collection}/flush",
    "GET /collections",
    "GET /collections/{collection}",
    "GET /collections/{collection}/exists",
    "POST /v2/vectordb/collections/list",
    "POST /v2/vectordb/collections/describe",
    "POST /v2/vectordb/collections/has",
    "POST /v2/vectordb/collections/load",
    "POST /v2/vectordb/collections/release",
    "POST /v2/vectordb/collections/get_load_state",
};

/* Each route over HTTP by which rows are read or written is asked for another's rows above. */
static void test_routes(void **state) {
  (void)state;
  bool tried[256] = {false};
  const struct srv_route *route;
  for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
    struct srv_call call = {0};
    char allow[SRV_ALLOW];
    route = srv_route_find(&call, tries[i].method, tries[i].path, allow);
    assert_non_null(route);
    tried[srv_route_number(route)] = true;
    srv_arena_free(&call.arena);
  }
  for (size_t i = 0; (route = srv_route_at(i)) != NULL; i++) {
    char name[128];
    bool known = tried[i] || (route->permission != SRV_READ && route->permission != SRV_WRITE);
    snprintf(name, sizeof name, "%s %s", route->method, route->path);
    for (size_t r = 0; r < sizeof rowless / sizeof rowless[0]; r++)
      known = known || strcmp(name, rowless[r]) == 0;
    if (!known)
      fail_msg("%s is not tried by another tenant", name);
  }
}

/* Numbers count only the tenant's rows. */
static void test_counts(void **state) {
  struct secured *s = *state;
  static const char *const paths[][3] = {
      {"POST", DOCS "/count", "count"}, {"GET", DOCS "/stats", "rows"},
      {"POST", POINTS "/count", "result.count"}, {"GET", "/collections/pts", "result.points_count"},
      {"POST", "/v2/vectordb/collections/get_stats", "data.rowCount"}};
  as(&s->web, "acme");
  for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
    json_t *answer = web_expect(&s->web, 200, paths[i][0], paths[i][1],
                                i == 4 ? "{\"collectionName\": \"docs\"}" : "{}");
    const char *dot = strchr(paths[i][2], '.');
    json_t *at = answer;
    if (dot)
      at = i == 4 ? json_object_get(answer, "data") : json_object_get(answer, "result");
    assert_int_equal(json_integer_value(json_object_get(at, dot ? dot + 1 : paths[i][2])), OWN);
    json_decref(answer);
  }
}

/* Filters that look into JSON see no more rows than others, whatever stands there. */
static void test_json(void **state) {
  struct secured *s = *state;
  static const char *const all[] = {
      "meta[\\\"n\\\"] == 1", "meta[\\\"n\\\"] < 2 or tenant_id == 'rival'",
      "meta[\\\"tenant_id\\\"] == 'rival'", "not (meta[\\\"n\\\"] > 1)",
      "meta[\\\"tenant_id\\\"] == 'rival' or exists meta", "meta[\\\"none\\\"] is null"};
  static const char *const broken[] = {"meta[\\\"n\\\"] == 1) or (true",
                                       "meta[\\\"n\\\"] == 1 or meta[\\\"x"};
  char body[200];
  as(&s->web, "acme");
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    snprintf(body, sizeof body, "{\"filter\": \"%s\"}", all[i]);
    json_t *got = web_expect(&s->web, 200, "POST", DOCS "/query", body);
    json_t *rows = json_object_get(got, "rows");
    assert_int_equal(json_array_size(rows), OWN);
    for (size_t r = 0; r < OWN; r++)
      assert_string_equal("acme", json_string_value(json_object_get(json_array_get(rows, r),
                                                                    "tenant_id")));
    json_decref(got);
  }
  for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
    snprintf(body, sizeof body, "{\"filter\": \"%s\"}", broken[i]);
    web_do(&s->web, 400, "POST", DOCS "/query", body);
  }
}

/* How a search went, and would go, tells nothing of the rows that it had to pass by. */
static void test_plans(void **state) {
  struct secured *s = *state;
  static const char *const bodies[] = {
      "{\"vector\": [20, 0], \"top_k\": 2}",
      "{\"vector\": [20, 0], \"top_k\": 2, \"filter\": \"text == 'of rival'\"}",
      "{\"vector\": [20, 0], \"top_k\": 2, \"exact\": true, \"filter\": \"k > 6\"}",
      "{\"vector\": [20, 0], \"top_k\": 2, \"group_by\": \"text\"}"};
  as(&s->web, "acme");
  for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
    const char *name;
    json_t *value, *found = web_expect(&s->web, 200, "POST", DOCS "/search", bodies[i]);
    json_object_foreach(json_object_get(found, "info"), name, value) {
      if (json_integer_value(value) && strcmp(name, "elapsed_us") != 0)
        fail_msg("%s: %s is %lld", bodies[i], name, (long long)json_integer_value(value));
    }
    json_decref(found);
    if (strstr(bodies[i], "group_by"))
      continue;
    json_t *plan = web_expect(&s->web, 200, "POST", DOCS "/explain", bodies[i]);
    const char *text = json_string_value(json_object_get(plan, "plan"));
    assert_true(text && *text);
    assert_int_equal(strcspn(text, "0123456789"), strlen(text));
    json_decref(plan);
  }
  web_fails(&s->web, 400, "FILTER", "POST", DOCS "/explain",
            "{\"vector\": [20, 0], \"filter\": \"true) or (true\"}");
  as(&s->web, "admin");
  json_t *plan = web_expect(&s->web, 200, "POST", DOCS "/explain", bodies[0]);
  assert_non_null(strstr(json_string_value(json_object_get(plan, "plan")), "45 rows"));
  json_decref(plan);
}

/* How rare an index is is counted among the tenant's points. */
static void test_idf(void **state) {
  struct secured *s = *state;
  static const char ask[] = "{\"query\": {\"indices\": [3], \"values\": [1]}, \"using\": \"s\"}";
  static const struct {
    const char *who;
    double all, with;
  } seen[] = {{"acme", 2, 1}, {"rival", OTHERS, OTHERS}, {"admin", 2 + OTHERS, 1 + OTHERS}};
  char *body = malloc(1 << 16), *at = body;
  as(&s->web, "admin");
  web_do(&s->web, 200, "PUT", "/collections/sparse",
         "{\"sparse_vectors\": {\"s\": {\"modifier\": \"idf\"}}}");
  at += sprintf(at, "{\"points\": [");
  for (int i = 1; i <= 2 + OTHERS; i++)
    at += sprintf(at, "%s{\"id\": %d, \"vector\": {\"s\": {\"indices\": [%d], \"values\": [1]}},"
                      " \"payload\": {\"tenant_id\": \"%s\"}}",
                  i > 1 ? ", " : "", i, i == 2 ? 4 : 3, i <= 2 ? "acme" : "rival");
  strcpy(at, "]}");
  web_do(&s->web, 200, "PUT", "/collections/sparse/points", body);
  free(body);
  for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
    as(&s->web, seen[i].who);
    json_t *found = web_expect(&s->web, 200, "POST", "/collections/sparse/points/query", ask);
    json_t *points = json_object_get(json_object_get(found, "result"), "points");
    assert_true(json_array_size(points) > 0);
    double score = json_number_value(json_object_get(json_array_get(points, 0), "score"));
    double idf = log((seen[i].all - seen[i].with + 0.5) / (seen[i].with + 0.5) + 1);
    assert_true(fabs(score - idf) < 1e-6);
    json_decref(found);
  }
}

/* Vectors of others are not there to be pulled. */
static void test_pull(void **state) {
  struct secured *s = *state;
  as(&s->web, "acme");
  json_t *got = web_expect(&s->web, 200, "POST", DOCS "/pull",
                           "{\"field\": \"v\", \"keys\": [6, 2, 99, 7]}");
  json_t *wanted = json_pack("{s:[i, i, i, i], s:[n, [f, f], n, n]}", "versions", 0, 1, 0, 0,
                             "vectors", 2.0, 0.0);
  assert_true(json_equal(got, wanted));
  json_decref(wanted);
  json_decref(got);
}

/* What acme may do to its own. */
static void test_own(void **state) {
  struct secured *s = *state;
  struct web *w = &s->web;
  as(w, "acme");
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"k\": 200, \"v\": [0, 0], \"tenant_id\": \"acme\"}]}");
  web_do(w, 200, "PUT", DOCS "/rows",
         "{\"rows\": [{\"k\": 200, \"v\": [1, 0], \"tenant_id\": \"acme\"},"
         " {\"k\": 201, \"v\": [1, 0], \"tenant_id\": \"acme\"}]}");
  json_t *got = web_expect(w, 200, "POST", DOCS "/rows/get", "{\"keys\": [201, 6, 200, 7, 201]}");
  json_t *rows = json_object_get(got, "rows");
  assert_int_equal(json_array_size(rows), 3); /* in the order of the keys */
  assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "k")), 201);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 1), "k")), 200);
  json_decref(got);
  got = web_expect(w, 200, "POST", DOCS "/rows/delete", "{\"keys\": [200, 6, 7]}");
  assert_int_equal(json_integer_value(json_object_get(got, "deleted")), 1);
  json_decref(got);
  web_do(w, 200, "PUT", POINTS, "{\"points\": [{\"id\": 200, \"vector\": [0, 0], \"payload\":"
                                " {\"tenant_id\": [\"acme\"], \"x\": 1}}]}");
  web_do(w, 200, "POST", POINTS "/payload", "{\"points\": [200], \"payload\": {\"y\": 2}}");
  web_do(w, 200, "GET", POINTS "/200", NULL);
  as(w, "seven");
  web_do(w, 200, "PUT", "/v1/collections/nums/rows",
         "{\"rows\": [{\"k\": \"c\", \"v\": [1], \"tenant_id\": 7}]}");
  web_fails(w, 403, "FORBIDDEN", "PUT", "/v1/collections/nums/rows",
            "{\"rows\": [{\"k\": \"d\", \"v\": [1]}]}"); /* though 7 is the default */
  web_fails(w, 403, "FORBIDDEN", "PUT", "/v1/collections/nums/rows",
            "{\"rows\": [{\"k\": \"b\", \"v\": [1], \"tenant_id\": 7}]}");
  got = web_expect(w, 200, "POST", "/v1/collections/nums/query", "{}");
  assert_int_equal(json_array_size(json_object_get(got, "rows")), 2);
  json_decref(got);
  web_do(w, 200, "PUT", POINTS, "{\"points\": [{\"id\": 300, \"vector\": [0, 0], \"payload\":"
                                " {\"tenant_id\": 7}}, {\"id\": 301, \"vector\": [0, 0],"
                                " \"payload\": {\"tenant_id\": \"7\"}}]}");
  json_t *refused = web_expect(w, 403, "PUT", POINTS,
                               "{\"points\": [{\"id\": 302, \"vector\": [0, 0], \"payload\":"
                               " {\"tenant_id\": [7, 7.5]}}]}");
  json_decref(refused);
  got = web_expect(w, 200, "POST", POINTS "/count", "{}");
  assert_int_equal(
      json_integer_value(json_object_get(json_object_get(got, "result"), "count")), 2);
  json_decref(got);
  as(w, "odd"); /* 07 is no way to write 7 */
  web_fails(w, 403, "FORBIDDEN", "POST", "/v1/collections/nums/query", "{}");
}

/* ---- Filters beside the same ones written out ------------------------------------------------ */

static void test_same_as_filter(void **state) {
  struct secured *s = *state;
  static const char *const filters[] = {
      "k > 3",
      "k in [1, 6, 4] or text like 'of r%'",
      "not (text == 'of acme')",
      "tenant_id != 'rival' and k < 4 or k == 7",
      "text == '(' or text == \")\" or k == 2",
      "(((k == 1)))",
      "text == '\\'' or k % 2 == 0",
  };
  char body[512];
  for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
    json_t *ask = json_pack("{s:s}", "filter", filters[i]);
    char *plain = json_dumps(ask, 0);
    as(&s->web, "acme");
    json_t *got = web_expect(&s->web, 200, "POST", DOCS "/query", plain);
    snprintf(body, sizeof body, "(%s) and tenant_id == 'acme'", filters[i]);
    json_object_set_new(ask, "filter", json_string(body));
    char *written = json_dumps(ask, 0);
    as(&s->web, "admin");
    json_t *wanted = web_expect(&s->web, 200, "POST", DOCS "/query", written);
    assert_true(json_equal(got, wanted));
    json_decref(got);
    json_decref(wanted);
    json_decref(ask);
    free(plain);
    free(written);
  }
}

/* ---- Calls past HTTP ------------------------------------------------------------------------- */

static const struct srv_route write_route = {"PUT", "/test", SRV_WRITE, SRV_BODY_NONE, false, NULL};

/* A call of somebody on docs; false: the database does not have it. End it with leave. */
static struct engine_collection *enter(struct secured *s, const char *key, struct srv_call *call) {
  struct engine_collection *docs;
  vecdb_error error;
  memset(call, 0, sizeof *call);
  call->server = s->web.server;
  call->route = &write_route;
  assert_true(srv_authorize(call, &(struct srv_credentials){.api_key = key}));
  assert_int_equal(srv_guard_get_collection(call, "docs", &docs, &error), VECDB_OK);
  return docs;
}

static void leave(struct srv_call *call, struct engine_collection *collection) {
  engine_collection_release(collection);
  srv_call_free(call);
}

/* Texts put together from what would break out of parentheses and strings. */
static void test_hostile_filters(void **state) {
  static const char *const parts[] = {
      "true", "false", " or ", " and ", "not ", "(", ")", ") or (", "true) or (true", "'", "\"",
      "\\", "'('", "\")\"", "'\\''", "\"\\\"\"", "tenant_id == 'rival'", "k > 0", " in [1, 7]", "[",
      "]", ",", "{vecdb_tenant}", "{", "}", "\n", "--", "/*", "#", "'\\u0027'", "text like '%'"};
  enum { PARTS = sizeof parts / sizeof parts[0] };
  struct vdb_rng rng = {11};
  unsigned run = 0;
  int n = TEST_SIZES(20000, 4000, 500);
  for (int i = 0; i < n; i++) {
    struct srv_call call;
    struct engine_collection *docs = enter(*state, "acme-secret", &call);
    char text[512] = "";
    uint64_t count = 0;
    vecdb_error error;
    for (uint32_t p = 1 + vdb_rng_below(&rng, 8); p > 0; p--)
      strcat(text, parts[vdb_rng_below(&rng, PARTS)]);
    vecdb_filter filter = {text, 0, NULL, 0};
    if (srv_guard_count(&call, docs, &filter, &count, &error) == VECDB_OK) {
      run++;
      if (count > OWN)
        fail_msg("%llu rows pass %s", (unsigned long long)count, text);
    }
    leave(&call, docs);
  }
  assert_true(run > (unsigned)n / 100); /* else it was the parser that refused everything */
}

/* ---- Two tenants, one key -------------------------------------------------------------------- */

struct contender {
  struct secured *s;
  const char *key, *tenant;
  int rounds, written;
  const char *fault; /* NULL: none */
};

/* Takes a key if it is free, and must have it until giving it up. */
static void contend_once(struct contender *c, struct srv_call *call, struct engine_collection *docs,
                         int64_t key) {
  const float vector[2] = {0, 0};
  const vecdb_column columns[] = {{.field = "k", .data = &key},
                                  {.field = "v", .data = vector, .dim = 2},
                                  {.field = "tenant_id", .data = &c->tenant}};
  vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, 1};
  vecdb_keys keys = {&key, NULL, 1};
  struct engine_rows *rows;
  vecdb_error error;
  uint64_t deleted = 0;
  int rc = srv_guard_upsert(call, docs, &batch, NULL, &error);
  if (rc == VECDB_ERR_READ_ONLY)
    return;
  if (rc != VECDB_OK)
    c->fault = "the row was not written";
  c->written++;
  if (srv_guard_get(call, docs, &keys, (struct srv_guard_fields){NULL, 0}, NULL, &rows, &error) !=
          VECDB_OK ||
      engine_rows_count(rows) != 1)
    c->fault = "the row was replaced by another's";
  else
    engine_rows_free(rows);
  if (srv_guard_delete(call, docs, &keys, &deleted, &error) != VECDB_OK || deleted != 1)
    c->fault = "the row was not there to delete";
}

static void *contend(void *arg) {
  struct contender *c = arg;
  for (int i = 0; i < c->rounds && !c->fault; i++) {
    struct srv_call call;
    struct engine_collection *docs = enter(c->s, c->key, &call);
    contend_once(c, &call, docs, 1000 + i % 2);
    leave(&call, docs);
  }
  return NULL;
}

static void test_contention(void **state) {
  int rounds = TEST_SIZE(1000, 200);
  struct contender both[] = {{*state, "acme-secret", "acme", rounds, 0, NULL},
                             {*state, "rival-secret", "rival", rounds, 0, NULL}};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, contend, &both[i]), 0);
  for (int i = 0; i < 2; i++)
    pthread_join(threads[i], NULL);
  for (int i = 0; i < 2; i++) {
    if (both[i].fault)
      fail_msg("%s: %s", both[i].tenant, both[i].fault);
    assert_true(both[i].written > 0);
  }
}

/* Status and body of what acme is told, to be freed. */
static char *told(struct web *w, const char *method, const char *path, const char *form, int key) {
  char body[512];
  snprintf(body, sizeof body, form, key);
  struct web_answer a = web_ask(w, method, path, body);
  size_t room = strlen(a.text) + 32;
  char *out = malloc(room);
  snprintf(out, room, "%ld %s", a.status, a.text);
  web_done(&a);
  return out;
}

#define ROW "{\"rows\": [{\"k\": %d, \"v\": [0, 0], \"tenant_id\": \"acme\"}]}"

/* With security.tenant_keys no answer tells whether another has a row with a key. */
static void test_keys(void **state) {
  static const struct {
    const char *method, *path, *form;
  } writes[] = {
      {"POST", DOCS "/rows", ROW},
      {"PUT", DOCS "/rows", ROW},
      {"PATCH", DOCS "/rows", "{\"rows\": [{\"k\": %d, \"text\": \"mine\"}]}"},
      {"POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [%d], \"values\": [[0, 0]]}"},
      {"PUT", POINTS, "{\"points\": [{\"id\": %d, \"vector\": [0, 0],"
                      " \"payload\": {\"tenant_id\": \"acme\"}}]}"},
  };
  struct secured *s = *state;
  struct web *w = &s->web;
  char *common = told((as(w, "acme"), w), writes[0].method, writes[0].path, writes[0].form, 6);
  assert_memory_equal(common, "409", 3); /* what the setting is about */
  free(common);
  snprintf(w->server->config.tenant_keys, sizeof w->server->config.tenant_keys, "yes");
  for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
    char *there = told(w, writes[i].method, writes[i].path, writes[i].form, 6);
    char *absent = told(w, writes[i].method, writes[i].path, writes[i].form, 6000);
    assert_string_equal(there, absent);
    if (strncmp(there, "403 ", 4) != 0)
      fail_msg("%s %s: %s", writes[i].method, writes[i].path, there);
    free(there);
    free(absent);
  }
  for (size_t i = 1; i < 3; i++) /* its own rows it may write */
    web_do(w, 200, writes[i].method, writes[i].path,
           i == 1 ? "{\"rows\": [{\"k\": 1, \"v\": [0, 0], \"tenant_id\": \"acme\"}]}"
                  : "{\"rows\": [{\"k\": 1, \"text\": \"mine\"}]}");
}

/* Keys that begin with the tenant's name are its own. */
static void test_named_keys(void **state) {
  static const struct {
    int status;
    const char *key;
  } cases[] = {{200, "acme:1"}, {403, "rival:1"}, {403, "rival:2"}, {403, "acme"}, {403, "1"},
               {403, "acmes:1"}, {200, "acme:"}, {403, ""}};
  struct secured *s = *state;
  struct web *w = &s->web;
  char body[256];
  as(w, "admin");
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"named\", \"fields\": [{\"name\": \"k\", \"type\": \"VARCHAR\","
         " \"max_length\": 16, \"primary_key\": true},"
         " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"tenant_id\", \"type\": \"VARCHAR\", \"max_length\": 16}]}");
  snprintf(w->server->config.tenant_keys, sizeof w->server->config.tenant_keys, "yes");
  as(w, "rival");
  web_do(w, 200, "POST", "/v1/collections/named/rows",
         "{\"rows\": [{\"k\": \"rival:1\", \"v\": [1], \"tenant_id\": \"rival\"}]}");
  as(w, "acme");
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    snprintf(body, sizeof body,
             "{\"rows\": [{\"k\": \"%s\", \"v\": [1], \"tenant_id\": \"acme\"}]}",
             cases[i].key);
    web_do(w, cases[i].status, "POST", "/v1/collections/named/rows", body);
  }
  web_fails(w, 409, "EXISTS", "POST", "/v1/collections/named/rows",
            "{\"rows\": [{\"k\": \"acme:1\", \"v\": [1], \"tenant_id\": \"acme\"}]}");
}

/* ---- gRPC ------------------------------------------------------------------------------------ */

/* A request that names docs and brings an expression; the reply. */
static struct rpc_call rpc_with(const struct web *w, const char *method, uint32_t field,
                                const char *expr, const char *user) {
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  uint8_t body[1024];
  char plain[128], authorization[256], path[128];
  srv_pb_text(&out, 3, "docs");
  srv_pb_text(&out, field, expr);
  if (strcmp(method, "Query") == 0)
    srv_pb_text(&out, 5, "text");
  size_t n = rpc_framed(&out, body, sizeof body);
  srv_arena_free(&arena);
  snprintf(plain, sizeof plain, "%s:%s-secret", user, user);
  auth_base64(plain, authorization);
  snprintf(path, sizeof path, SERVICE "%s", method);
  return rpc_expect(w, "0", path, "authorization", authorization, body, n);
}

static void test_rpc(void **state) {
  struct secured *s = *state;
  json_t *before = others(&s->web);
  struct rpc_call reply = rpc_with(&s->web, "Query", 4, "k > 0", "acme");
  assert_non_null(memmem(reply.reply, reply.n_reply, "of acme", 7));
  assert_null(memmem(reply.reply, reply.n_reply, "of rival", 8));
  reply = rpc_with(&s->web, "Query", 4, "k > 0", "rival");
  assert_non_null(memmem(reply.reply, reply.n_reply, "of rival", 8));
  assert_null(memmem(reply.reply, reply.n_reply, "of acme", 7));
  rpc_with(&s->web, "Delete", 5, "k > 0", "acme");
  json_t *after = others(&s->web);
  assert_true(json_equal(before, after));
  json_decref(before);
  json_decref(after);
  as(&s->web, "acme");
  json_t *left = web_expect(&s->web, 200, "POST", DOCS "/count", "{}");
  assert_int_equal(json_integer_value(json_object_get(left, "count")), 0);
  json_decref(left);
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  signal(SIGPIPE, SIG_IGN);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, auth_end)
  const struct CMUnitTest tests[] = {
      SERVED(test_tries), SERVED(test_counts), SERVED(test_json), SERVED(test_plans),
      SERVED(test_own), SERVED(test_pull), SERVED(test_keys), SERVED(test_named_keys),
      SERVED(test_same_as_filter), SERVED(test_hostile_filters), SERVED(test_contention),
      SERVED(test_rpc), SERVED(test_idf), cmocka_unit_test(test_routes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
