/*
 * test_copy.c - a server that follows collections of a cluster (cluster/nodetest.h), beside one
 * that asks the cluster: what is written there is read here, with its age in each answer, also
 * while the cluster is away; nothing is written here.
 */
#include "cluster/nodetest.h"
#include "server/authtest.h"
#include "server/routes.h"
#include "server/rpctest.h"

#define DOCS   "/v1/collections/docs"
#define POINTS "/collections/pts/points"
#define MILVUS "/v2/vectordb/"

struct follow {
  struct nt nt;
  struct web far, copy;
};

static void join(struct follow *f, struct web *w) {
  nt_nodes(&f->nt, w->config.nodes, sizeof w->config.nodes);
  snprintf(w->config.cluster_id, sizeof w->config.cluster_id, "%s", nt_cluster);
  w->config.cluster_shards = NT_SHARDS;
  w->config.cluster_replicas = NT_NODES;
}

static int setup(void **state) {
  struct follow *f = calloc(1, sizeof *f);
  nt_open(&f->nt, NULL);
  web_init(&f->far);
  join(f, &f->far);
  web_start(&f->far);
  web_init(&f->copy);
  join(f, &f->copy);
  snprintf(f->copy.config.edge_collections, sizeof f->copy.config.edge_collections,
           "docs, more, qdrant_pts");
  snprintf(f->copy.config.milvus, sizeof f->copy.config.milvus, "127.0.0.1:0");
  f->copy.config.edge_poll_ms = 5;
  f->copy.config.edge_call_ms = 500;
  web_start(&f->copy);
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct follow *f = *state;
  web_end(&f->copy);
  web_end(&f->far);
  nt_close(&f->nt);
  free(f);
  return 0;
}

static void silence(struct follow *f, bool silent) {
  pthread_mutex_lock(&f->nt.mutex);
  f->nt.silent = silent;
  pthread_mutex_unlock(&f->nt.mutex);
}

/* Asks for a collection of the copy until the answer has this status. */
static void await_status(struct follow *f, const char *path, long wanted) {
  for (long status = 0; status != wanted;) {
    struct web_answer a = web_ask(&f->copy, "GET", path, NULL);
    status = a.status;
    web_done(&a);
  }
}

/* Asks the copy until it has so many rows. */
static void await_rows(struct follow *f, json_int_t n) {
  for (;;) {
    struct web_answer a = web_ask(&f->copy, "POST", DOCS "/count", "{}");
    bool there = a.status == 200 && json_integer_value(json_object_get(a.json, "count")) == n;
    if (a.status != 200 && a.status != 404 && a.status != 503)
      fail_msg("%ld %s", a.status, a.text ? a.text : "");
    web_done(&a);
    if (there)
      return;
  }
}

static void fill(struct follow *f, int from, int n) {
  char body[4096], *at = body;
  at += sprintf(at, "{\"rows\": [");
  for (int i = from; i < from + n; i++)
    at += sprintf(at, "%s{\"id\": %d, \"v\": [%d, 1]}", i > from ? ", " : "", i, i);
  strcpy(at, "]}");
  web_do(&f->far, 200, "PUT", DOCS "/rows", body);
}

static void create(struct follow *f) {
  web_do(&f->far, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}");
}

/* The header of an answer without a body of ours, and what it says. */
static long aged(struct follow *f, const char *request, char *out, size_t room) {
  char answer[4096], text[512];
  int n = snprintf(text, sizeof text,
                   "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", request);
  size_t got = (size_t)web_raw(&f->copy, text, (size_t)n, answer, sizeof answer - 1);
  answer[got] = '\0';
  const char *header = strstr(answer, "vecdb-staleness-ms: ");
  snprintf(out, room, "%.20s", header ? header + strlen("vecdb-staleness-ms: ") : "");
  return strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static void test_follows(void **state) {
  struct follow *f = *state;
  char age[32];
  await_status(f, DOCS, 404);
  create(f);
  fill(f, 1, 30);
  await_rows(f, 30);
  json_t *here = web_expect(&f->copy, 200, "POST", DOCS "/search",
                            "{\"vector\": [7, 1], \"top_k\": 3, \"exact\": true,"
                            " \"max_staleness_ms\": 600000}");
  json_t *there = web_expect(&f->far, 200, "POST", DOCS "/search",
                             "{\"vector\": [7, 1], \"top_k\": 3, \"exact\": true}");
  assert_true(json_equal(json_object_get(here, "hits"), json_object_get(there, "hits")));
  assert_true(json_integer_value(json_object_get(here, "staleness_ms")) > 0);
  assert_null(json_object_get(there, "staleness_ms"));
  json_decref(here);
  json_decref(there);
  assert_int_equal(aged(f, "GET " DOCS "/rows/3", age, sizeof age), 200);
  assert_true(strtol(age, NULL, 10) > 0);
  assert_int_equal(aged(f, "GET /healthz", age, sizeof age), 200);
  assert_string_equal(age, "");
  web_do(&f->far, 200, "POST", DOCS "/rows/delete", "{\"filter\": \"id < 11\"}");
  await_rows(f, 20);
  json_t *list = web_expect(&f->copy, 200, "GET", "/v1/collections", NULL);
  char *text = json_dumps(list, JSON_COMPACT);
  assert_non_null(strstr(text, "docs"));
  assert_null(strstr(text, "vecdb_edge"));
  free(text);
  json_decref(list);
}

/* Milvus's clients find the age behind the answer. */
static void test_grpc(void **state) {
  struct follow *f = *state;
  static const char named[] = "\0\0\0\0\x06\x1a\x04" "docs";
  struct rpc_call got = rpc_expect(&f->copy, "0", SERVICE "DescribeCollection", NULL, NULL, named,
                                   sizeof named - 1);
  assert_true(strtol(got.staleness, NULL, 10) > 0);
}

/* A write of each route that there is for one, in each dialect. */
static const struct {
  const char *method, *path, *body;
} writes[] = {
    {"POST", "/v1/collections",
     "{\"name\": \"own\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
     " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}"},
    {"DELETE", DOCS, NULL},
    {"PUT", DOCS "/indexes/v", "{\"type\": \"FLAT\"}"},
    {"DELETE", DOCS "/indexes/v", NULL},
    {"PUT", DOCS "/expiry", "{\"field\": \"id\", \"ttl_ms\": 5}"},
    {"POST", DOCS "/fields",
     "{\"fields\": [{\"name\": \"n\", \"type\": \"INT64\", \"nullable\": true}]}"},
    {"PATCH", DOCS "/fields/v", "{\"name\": \"w\"}"},
    {"DELETE", DOCS "/fields/v", NULL},
    {"POST", DOCS "/json_indexes/j", "{\"path\": \"[\\\"a\\\"]\", \"type\": \"DOUBLE\"}"},
    {"POST", DOCS "/json_indexes/j/delete", "{\"path\": \"[\\\"a\\\"]\", \"type\": \"DOUBLE\"}"},
    {"PUT", DOCS "/optimizers/v", "{}"},
    {"DELETE", DOCS "/optimizers/v", NULL},
    {"POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [15], \"values\": [[0, 1]]}"},
    {"POST", DOCS "/rows", "{\"rows\": [{\"id\": 900, \"v\": [1, 2]}]}"},
    {"PUT", DOCS "/rows", "{\"rows\": [{\"id\": 900, \"v\": [1, 2]}]}"},
    {"PATCH", DOCS "/rows", "{\"rows\": [{\"id\": 15, \"v\": [1, 2]}]}"},
    {"POST", DOCS "/rows/stream", "{\"id\": 900, \"v\": [1, 2]}\n"},
    {"POST", DOCS "/rows/delete", "{\"keys\": [15]}"},
    {"POST", DOCS "/rows/delete", "{\"filter\": \"id > 0\"}"},
    {"PUT", "/collections/own", "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}}"},
    {"DELETE", "/collections/pts", NULL},
    {"PUT", POINTS, "{\"points\": [{\"id\": 900, \"vector\": [1, 2]}]}"},
    {"POST", POINTS "/delete", "{\"points\": [15]}"},
    {"POST", POINTS "/payload", "{\"points\": [15], \"payload\": {\"n\": 1}}"},
    {"PUT", POINTS "/payload", "{\"points\": [15], \"payload\": {\"n\": 1}}"},
    {"POST", POINTS "/payload/delete", "{\"points\": [15], \"keys\": [\"n\"]}"},
    {"POST", POINTS "/payload/clear", "{\"points\": [15]}"},
    {"POST", MILVUS "collections/create", "{\"collectionName\": \"own\", \"dimension\": 2}"},
    {"POST", MILVUS "collections/drop", "{\"collectionName\": \"docs\"}"},
    {"POST", MILVUS "collections/fields/add",
     "{\"collectionName\": \"docs\", \"schema\": {\"fieldName\": \"n\", \"dataType\": \"Int64\","
     " \"nullable\": true}}"},
    {"POST", MILVUS "collections/alter_properties",
     "{\"collectionName\": \"docs\", \"properties\": {\"collection.ttl.seconds\": \"60\"}}"},
    {"POST", MILVUS "entities/insert",
     "{\"collectionName\": \"docs\", \"data\": [{\"id\": 900, \"v\": [1, 2]}]}"},
    {"POST", MILVUS "entities/upsert",
     "{\"collectionName\": \"docs\", \"data\": [{\"id\": 900, \"v\": [1, 2]}]}"},
    {"POST", MILVUS "entities/delete", "{\"collectionName\": \"docs\", \"filter\": \"id > 0\"}"},
};
enum { WRITES = sizeof writes / sizeof *writes };

/* Tries those whose path begins so. */
static void refuse(struct follow *f, const char *prefix) {
  for (size_t i = 0; i < WRITES; i++) {
    if (strncmp(writes[i].path, prefix, strlen(prefix)) != 0)
      continue;
    struct web_answer a = web_ask(&f->copy, writes[i].method, writes[i].path, writes[i].body);
    if (!a.text || !strstr(a.text, "write to the cluster that it follows"))
      fail_msg("%s %s: %ld %s", writes[i].method, writes[i].path, a.status, a.text ? a.text : "");
    web_done(&a);
  }
}

static void test_refuses(void **state) {
  struct follow *f = *state;
  refuse(f, "/v1/");
  refuse(f, MILVUS);
  json_t *told = web_expect(&f->copy, 200, "POST", MILVUS "collections/describe",
                            "{\"collectionName\": \"docs\"}");
  char *text = json_dumps(told, JSON_COMPACT);
  assert_null(strstr(text, "ttl")); /* what was refused is not said to be so */
  free(text);
  json_decref(told);
  web_fails(&f->copy, 403, "READ_ONLY", "DELETE", DOCS, NULL);
  web_fails(&f->copy, 404, "NOT_FOUND", "GET", "/v1/collections/vecdb_edge", NULL);
  await_status(f, "/v1/collections/more", 404);
  await_rows(f, 20);
}

/* ---- Milvus's clients ---- */

static void rpc_pair(struct pb_out *out, uint32_t number, const char *key, const char *value) {
  size_t pair = srv_pb_open(out, number);
  srv_pb_text(out, 1, key);
  srv_pb_text(out, 2, value);
  srv_pb_close(out, pair);
}

static void rpc_type(struct pb_out *out, const char *name, int type, bool primary) {
  srv_pb_text(out, 2, name);
  srv_pb_number(out, 3, primary);
  srv_pb_number(out, 5, type);
  if (type == 101)
    rpc_pair(out, 6, "dim", "2");
  srv_pb_number(out, 15, !primary && type != 101);
}

static void rpc_schema(struct pb_out *out) {
  size_t schema = srv_pb_open(out, 4), field = srv_pb_open(out, 4);
  rpc_type(out, "id", 5, true);
  srv_pb_close(out, field);
  field = srv_pb_open(out, 4);
  rpc_type(out, "v", 101, false);
  srv_pb_close(out, field);
  srv_pb_close(out, schema);
}

static void rpc_field(struct pb_out *out) {
  size_t field = srv_pb_open(out, 5);
  rpc_type(out, "n", 5, false);
  srv_pb_close(out, field);
}

/* One row. */
static void rpc_rows(struct pb_out *out) {
  static const float vector[] = {1, 2};
  size_t field = srv_pb_open(out, 5);
  srv_pb_text(out, 2, "id");
  size_t scalars = srv_pb_open(out, 3), array = srv_pb_open(out, 3), data = srv_pb_open(out, 1);
  srv_pb_varint(out, 900);
  srv_pb_close(out, data);
  srv_pb_close(out, array);
  srv_pb_close(out, scalars);
  srv_pb_close(out, field);
  field = srv_pb_open(out, 5);
  srv_pb_text(out, 2, "v");
  size_t vectors = srv_pb_open(out, 4);
  srv_pb_number(out, 1, 2);
  size_t floats = srv_pb_open(out, 2);
  srv_pb_bytes(out, 1, vector, sizeof vector);
  srv_pb_close(out, floats);
  srv_pb_close(out, vectors);
  srv_pb_close(out, field);
  srv_pb_number(out, 7, 1);
}

static void rpc_ttl(struct pb_out *out) { rpc_pair(out, 5, "collection.ttl.seconds", "60"); }

static void rpc_partition(struct pb_out *out) { srv_pb_text(out, 4, "part"); }

static void rpc_filter(struct pb_out *out) { srv_pb_text(out, 5, "id > 0"); }

static void rpc_none(struct pb_out *out) { (void)out; }

/* A write of each method that there is for one. */
static const struct {
  const char *method, *collection;
  void (*put)(struct pb_out *out);
} calls[] = {
    {"CreateCollection", "own", rpc_schema}, {"DropCollection", "docs", rpc_none},
    {"AlterCollection", "docs", rpc_ttl},    {"AddCollectionField", "docs", rpc_field},
    {"TruncateCollection", "docs", rpc_none}, {"CreatePartition", "docs", rpc_partition},
    {"Insert", "docs", rpc_rows},            {"Upsert", "docs", rpc_rows},
    {"Delete", "docs", rpc_filter},
};
enum { CALLS = sizeof calls / sizeof *calls };

/* Methods that change this server's own names, or files, and no collection; and the one that wants
   a partition, of which none can be made. */
static const char *const own[] = {
    "RenameCollection", "CreateAlias",   "AlterAlias", "DropAlias",      "CreateDatabase",
    "DropDatabase",     "AlterDatabase", "CreateIndex", "DropIndex",     "LoadCollection",
    "ReleaseCollection", "Flush",        "ManualCompaction", "DropPartition"};

static void test_refuses_calls(void **state) {
  struct follow *f = *state;
  for (size_t i = 0; i < CALLS; i++) {
    struct srv_arena arena = {0};
    struct pb_out out = {.arena = &arena};
    uint8_t bytes[RPC_ROOM];
    char path[128];
    srv_pb_text(&out, 3, calls[i].collection);
    calls[i].put(&out);
    size_t n = rpc_framed(&out, bytes, sizeof bytes);
    snprintf(path, sizeof path, SERVICE "%s", calls[i].method);
    struct rpc_call got = rpc_expect(&f->copy, "0", path, NULL, NULL, bytes, n);
    if (!memmem(got.reply, got.n_reply, "write to the cluster that it follows", 36))
      fail_msg("%s: %.*s", calls[i].method, (int)got.n_reply, (const char *)got.reply);
    srv_arena_free(&arena);
  }
  await_rows(f, 20);
}

static bool called(const char *method) {
  bool known = false;
  for (size_t i = 0; i < CALLS; i++)
    known = known || strcmp(calls[i].method, method) == 0;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    known = known || strcmp(own[i], method) == 0;
  return known;
}

/* No other method that writes is left out above. */
static void test_all_calls(void **state) {
  const struct srv_route *route;
  const char *api;
  size_t seen = 0;
  (void)state;
  for (size_t i = 0; (route = srv_route_numbered(i, &api)) != NULL; i++) {
    bool writes_it = route->permission == SRV_WRITE || route->permission == SRV_ADMIN ||
                     route->permission == SRV_OPERATE;
    if (strcmp(route->method, SRV_METHOD_GRPC) != 0 || !writes_it)
      continue;
    seen++;
    if (!called(route->path))
      fail_msg("%s is not tried", route->path);
  }
  assert_int_equal(seen, CALLS + sizeof own / sizeof *own);
}

/* Points in place of the collection. */
static void test_refuses_points(void **state) {
  struct follow *f = *state;
  web_do(&f->far, 200, "DELETE", DOCS, NULL);
  web_do(&f->far, 200, "PUT", "/collections/pts",
         "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}}");
  web_do(&f->far, 200, "PUT", POINTS,
         "{\"points\": [{\"id\": 15, \"vector\": [1, 2], \"payload\": {\"n\": 5}}]}");
  await_status(f, POINTS "/15", 200);
  refuse(f, "/collections/");
  json_t *point = web_expect(&f->copy, 200, "GET", POINTS "/15", NULL);
  char *text = json_dumps(point, JSON_COMPACT);
  assert_non_null(strstr(text, "\"n\":5"));
  free(text);
  json_decref(point);
}

/* Routes that only tidy up the copy's own files, or change nothing of a collection. */
static const char *const idle[] = {
    "POST /v1/collections/{collection}/flush",
    "POST /v1/collections/{collection}/compact",
    "PATCH /collections/{collection}",
    "PUT /collections/{collection}/index",
    "DELETE /collections/{collection}/index/{field}",
    "POST /v2/vectordb/collections/drop_properties",
};

/* No other route that writes is left out above. */
static void test_all_refused(void **state) {
  (void)state;
  bool tried[256] = {false};
  const struct srv_route *route;
  for (size_t i = 0; i < WRITES; i++) {
    struct srv_call call = {0};
    char allow[SRV_ALLOW];
    route = srv_route_find(&call, writes[i].method, writes[i].path, allow);
    assert_non_null(route);
    tried[srv_route_number(route)] = true;
    srv_arena_free(&call.arena);
  }
  for (size_t i = 0; (route = srv_route_at(i)) != NULL; i++) {
    char name[128];
    bool known = tried[i] || (route->permission != SRV_WRITE && route->permission != SRV_ADMIN);
    snprintf(name, sizeof name, "%s %s", route->method, route->path);
    for (size_t k = 0; k < sizeof idle / sizeof *idle; k++)
      known = known || strcmp(name, idle[k]) == 0;
    if (!known)
      fail_msg("%s is not tried", name);
  }
}

/* The cluster says nothing: rows are served, as long as they are not older than is taken. */
static void test_away(void **state) {
  struct follow *f = *state;
  long status = 200;
  silence(f, true);
  while (status == 200) {
    struct web_answer a = web_ask(&f->copy, "POST", DOCS "/count", "{\"max_staleness_ms\": 50}");
    status = a.status;
    web_done(&a);
  }
  web_fails(&f->copy, 503, "NOT_FRESH", "POST", DOCS "/query", "{\"max_staleness_ms\": 50}");
  web_fails(&f->copy, 400, "OPTION", "POST", DOCS "/query", "{\"max_staleness_ms\": 0}");
  web_do(&f->copy, 200, "POST", DOCS "/query", "{\"max_staleness_ms\": 86400000}");
  f->copy.header = "vecdb-max-staleness-ms: 50";
  web_fails(&f->copy, 503, "NOT_FRESH", "GET", DOCS "/rows/15", NULL);
  f->copy.header = "vecdb-max-staleness-ms: 5x";
  web_fails(&f->copy, 400, "OPTION", "GET", DOCS "/rows/15", NULL);
  f->copy.header = "vecdb-max-staleness-ms: 86400000";
  web_do(&f->copy, 200, "GET", DOCS "/rows/15", NULL);
  f->copy.header = NULL;
  web_stop(&f->copy);
  f->copy.config.edge_staleness_ms = 50;
  web_start(&f->copy);
  web_fails(&f->copy, 503, "NOT_FRESH", "POST", DOCS "/count", "{}");
  web_stop(&f->copy);
  f->copy.config.edge_staleness_ms = 0;
  web_start(&f->copy);
  json_t *served = web_expect(&f->copy, 200, "POST", DOCS "/count", "{}");
  assert_int_equal(json_integer_value(json_object_get(served, "count")), 20);
  assert_true(json_integer_value(json_object_get(served, "staleness_ms")) > 50);
  json_decref(served);
  silence(f, false);
  fill(f, 100, 5);
  await_rows(f, 25);
}

static void test_metrics(void **state) {
  struct follow *f = *state;
  static const char *const wanted[] = {
      "vecdb_edge_origin_up 1", "vecdb_edge_staleness_seconds{collection=\"docs\"} 0.",
      "vecdb_edge_copies_total{collection=\"docs\"} 0",
      "vecdb_edge_rows_applied_total{collection=\"docs\"} 5",
      "vecdb_edge_rows_removed_total{collection=\"docs\"} 0"};
  struct web_answer a = web_ask(&f->copy, "GET", "/metrics", NULL);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (!strstr(a.text, wanted[i]))
      fail_msg("%s is not in the metrics", wanted[i]);
  web_done(&a);
}

/* Settings that make no sense, and a database that is somebody else's. */
static void test_settings(void **state) {
  struct follow *f = *state;
  struct web w;
  char error[SRV_CONFIG_ERROR];
  web_init(&w);
  snprintf(w.config.edge_collections, sizeof w.config.edge_collections, "docs");
  assert_null(srv_server_start(&w.config, NULL, error));
  assert_non_null(strstr(error, "cluster.nodes"));
  *w.config.edge_collections = '\0';
  web_start(&w);
  web_do(&w, 201, "POST", "/v1/collections",
         "{\"name\": \"own\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}");
  web_stop(&w);
  snprintf(w.config.edge_collections, sizeof w.config.edge_collections, "docs");
  join(f, &w);
  assert_null(srv_server_start(&w.config, NULL, error));
  assert_non_null(strstr(error, "no edge's"));
  web_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_follows), cmocka_unit_test(test_grpc), cmocka_unit_test(test_refuses),
      cmocka_unit_test(test_all_refused),
      cmocka_unit_test(test_refuses_calls), cmocka_unit_test(test_all_calls),
      cmocka_unit_test(test_away),    cmocka_unit_test(test_metrics),
      cmocka_unit_test(test_refuses_points), cmocka_unit_test(test_settings)};
  signal(SIGPIPE, SIG_IGN);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  return cmocka_run_group_tests(tests, setup, teardown);
}
