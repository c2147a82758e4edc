/*
 * test_cluster.c - a server whose collections are on the nodes of a cluster (cluster/nodetest.h),
 * beside one with a database of its own: whatever is asked, in each dialect, both answer alike. And
 * what only a cluster has: shards that do not answer, or have too much to do. TSAN: yes.
 */
#include "cluster/nodetest.h"
#include "server/authtest.h"

struct pair {
  struct nt nt;
  struct web near, far; /* with a database; with the cluster */
};

static void join(struct nt *nt, struct web *w) {
  nt_open(nt, NULL);
  nt_nodes(nt, w->config.nodes, sizeof w->config.nodes);
  snprintf(w->config.cluster_id, sizeof w->config.cluster_id, "%s", nt_cluster);
  w->config.cluster_shards = NT_SHARDS;
  w->config.cluster_replicas = NT_NODES;
  strcpy(w->config.cluster_tenant_field, "owner");
}

static int setup(void **state) {
  struct pair *p = calloc(1, sizeof *p);
  web_init(&p->near);
  web_start(&p->near);
  web_init(&p->far);
  join(&p->nt, &p->far);
  web_start(&p->far);
  *state = p;
  return 0;
}

static int teardown(void **state) {
  struct pair *p = *state;
  web_end(&p->near);
  web_end(&p->far);
  nt_close(&p->nt);
  free(p);
  return 0;
}

/* ---- Alike ----------------------------------------------------------------------------------- */

/* What may differ: how a search went, how long it took, and an error's sentence, not its code. */
static void forget(json_t *json) {
  json_object_del(json_object_get(json, "error"), "message");
  json_object_del(json, "info");
  json_object_del(json, "time");
}

/* Asks both; the status, which must be the same, as must be the rest of the answers. */
static long alike(struct pair *p, const char *method, const char *path, const char *body) {
  struct web_answer near = web_ask(&p->near, method, path, body);
  struct web_answer far = web_ask(&p->far, method, path, body);
  forget(near.json);
  forget(far.json);
  if (near.status != far.status || !near.json || !json_equal(near.json, far.json))
    fail_msg("%s %s %s:\n%ld %s\nnot\n%ld %s", method, path, body ? body : "", far.status,
             far.text ? far.text : "", near.status, near.text ? near.text : "");
  long status = near.status;
  web_done(&near);
  web_done(&far);
  return status;
}

struct question {
  int status;
  const char *method, *path, *body;
};

static void ask_all(struct pair *p, const struct question *q, size_t n) {
  for (size_t i = 0; i < n; i++) {
    long status = alike(p, q[i].method, q[i].path, q[i].body);
    if (status != q[i].status)
      fail_msg("%s %s %s: %ld", q[i].method, q[i].path, q[i].body ? q[i].body : "", status);
  }
}
#define ASK_ALL(p, list) ask_all(p, list, sizeof(list) / sizeof(list)[0])

/* Rows with the keys 1 to n; their vectors go round. */
static void fill(struct pair *p, int n) {
  char *body = malloc((size_t)n * 128 + 64), *at = body;
  at += sprintf(at, "{\"rows\": [");
  for (int i = 1; i <= n; i++)
    at += sprintf(at, "%s{\"id\": %d, \"kind\": \"k%d\", \"size\": %s, \"v\": [%.6f, %.6f, 0.5]}",
                  i > 1 ? ", " : "", i, i % 7, i % 5 ? "3" : "null", cos(i * 0.37), sin(i * 0.61));
  strcpy(at, "]}");
  assert_int_equal(alike(p, "POST", "/v1/collections/docs/rows", body), 200);
  free(body);
}

#define DOCS "/v1/collections/docs"
#define ROWS "/v2/vectordb/entities"

/* Groups, updates, and fields that are added to the collection. */
static const struct question changes[] = {
    {200, "POST", DOCS "/search",
     "{\"vectors\": [[1, 0, 0], [0, 1, 0]], \"top_k\": 5, \"group_by\": \"kind\", \"group_size\":"
     " 3, \"fields\": [\"size\"], \"exact\": true}"},
    {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"group_by\": \"nope\"}"},
    {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"group_by\": \"size\"}"},
    {200, "PATCH", DOCS "/rows",
     "{\"rows\": [{\"id\": 9, \"kind\": \"upd\"}, {\"id\": 5000, \"kind\": \"no\"}]}"},
    {200, "POST", DOCS "/query", "{\"filter\": \"kind == 'upd'\"}"},
    {200, "POST", DOCS "/fields",
     "{\"fields\": [{\"name\": \"n\", \"type\": \"INT64\", \"nullable\": true}, {\"name\": \"d\","
     " \"type\": \"VARCHAR\", \"max_length\": 5, \"default\": \"x\"}]}"},
    {409, "POST", DOCS "/fields",
     "{\"fields\": [{\"name\": \"n\", \"type\": \"INT64\", \"nullable\": true}]}"},
    {400, "POST", DOCS "/fields", "{\"fields\": [{\"name\": \"m\", \"type\": \"INT64\"}]}"},
    {200, "PUT", DOCS "/rows",
     "{\"rows\": [{\"id\": 12, \"kind\": \"new\", \"n\": 4, \"v\": [9, 0, 0]}]}"},
    {200, "GET", DOCS, NULL},
    {200, "POST", DOCS "/query", "{\"limit\": 30, \"filter\": \"d == 'x' or n == 4\"}"},
    {400, "PUT", DOCS "/expiry", "{\"field\": \"kind\", \"ttl_ms\": 5}"},
    {400, "PUT", DOCS "/expiry", "{\"field\": \"nope\", \"ttl_ms\": 5}"},
    {200, "PUT", DOCS "/expiry", "{\"field\": \"n\", \"ttl_ms\": 4000000000000}"},
    {200, "GET", DOCS, NULL},
    {200, "PUT", DOCS "/expiry", "{}"},
    {200, "GET", DOCS, NULL},
};

static void test_native(void **state) {
  static const struct question before[] = {
      {200, "GET", "/v1/collections", NULL},
      {404, "GET", DOCS, NULL},
      {404, "POST", DOCS "/search", "{\"vector\": [1, 0, 0]}"},
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true}, {\"name\": \"kind\", \"type\": \"VARCHAR\", \"max_length\": 8},"
       " {\"name\": \"size\", \"type\": \"DOUBLE\", \"nullable\": true},"
       " {\"name\": \"tags\", \"type\": \"ARRAY\", \"element_type\": \"VARCHAR\", \"max_length\":"
       " 9, \"max_capacity\": 4, \"nullable\": true},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 3}]}"},
      {200, "GET", "/v1/collections", NULL},
      {200, "GET", DOCS, NULL},
      {200, "POST", DOCS "/search", "{\"vector\": [1, 0, 0]}"},
  };
  static const struct question after[] = {
      {409, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 1, \"kind\": \"a\", \"v\": [1, 2, 3]}]}"},
      {400, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 900, \"v\": [1, 2, 3]}]}"},
      {200, "PUT", DOCS "/rows",
       "{\"rows\": [{\"id\": 3, \"kind\": \"new\", \"tags\": [\"x\", \"yy\"], \"v\": [9, 0, 0]},"
       " {\"id\": -1, \"kind\": \"neg\", \"tags\": [], \"v\": [0, 9, 0]}]}"},
      {200, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"top_k\": 7, \"exact\": true}"},
      {200, "POST", DOCS "/search",
       "{\"vectors\": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], \"top_k\": 4, \"fields\": [\"kind\","
       " \"size\", \"tags\", \"v\"], \"filter\": \"kind in {k}\", \"params\": {\"k\": [\"k1\","
       " \"new\", \"neg\"]}, \"exact\": true, \"consistency_level\": \"session\"}"},
      {200, "POST", DOCS "/search",
       "{\"vector\": [1, 1, 0], \"top_k\": 300, \"filter\": \"size is null\", \"exact\": true,"
       " \"consistency_level\": \"eventually\", \"partial\": true}"},
      {400, "POST", DOCS "/search", "{\"vector\": [1, 0]}"},
      {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"fields\": [\"nope\"]}"},
      {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"filter\": \"kind = 'a'\"}"},
      {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"top_k\": 0}"},
      {400, "POST", DOCS "/search", "{\"vector\": [1, 0, 0], \"consistency_level\": \"maybe\"}"},
      {200, "POST", DOCS "/query", "{\"limit\": 10, \"filter\": \"id > 3\"}"},
      {200, "POST", DOCS "/query", "{\"fields\": [\"size\"], \"limit\": 1000}"},
      {200, "POST", DOCS "/query", "{\"filter\": \"array_contains(tags, 'yy')\"}"},
      {200, "POST", DOCS "/count", "{\"filter\": \"kind == 'k1'\"}"},
      {200, "POST", DOCS "/rows/get", "{\"keys\": [9, 500, 3, 9], \"fields\": [\"kind\"]}"},
      {200, "GET", DOCS "/rows/3", NULL},
      {404, "GET", DOCS "/rows/500", NULL},
      {200, "POST", DOCS "/rows/delete", "{\"keys\": [1, 2, 500]}"},
      {200, "POST", DOCS "/rows/delete", "{\"filter\": \"kind == 'k2'\"}"},
      {400, "POST", DOCS "/rows/delete", "{\"filter\": \" \"}"},
      {200, "POST", DOCS "/count", "{}"},
      {200, "POST", DOCS "/flush", "{}"},
      {200, "DELETE", DOCS, NULL},
      {404, "DELETE", DOCS, NULL},
      {404, "POST", DOCS "/count", "{}"},
  };
  ASK_ALL(*state, before);
  fill(*state, 150);
  ASK_ALL(*state, changes);
  ASK_ALL(*state, after);
}

/* A collection that is made anew is another one, also for a server that knew the one before; its
   keys are texts, and larger scores are nearer in it. */
static void test_anew(void **state) {
  static const struct question asked[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"k\", \"type\": \"VARCHAR\", \"max_length\":"
       " 20, \"primary_key\": true}, {\"name\": \"n\", \"type\": \"INT8\"},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2, \"metric\": \"IP\"}]}"},
      {200, "POST", DOCS "/rows",
       "{\"rows\": [{\"k\": \"a\", \"n\": 1, \"v\": [1, 2]},"
       " {\"k\": \"b\", \"n\": 2, \"v\": [3, 4]},"
       " {\"k\": \"c\", \"n\": 3, \"v\": [5, 1]}, {\"k\": \"d\", \"n\": 4, \"v\": [0, 7]}]}"},
      {200, "POST", DOCS "/search", "{\"vector\": [1, 1], \"top_k\": 3, \"fields\": [\"n\"]}"},
      {200, "POST", DOCS "/rows/get", "{\"keys\": [\"d\", \"zz\", \"a\"]}"},
      {200, "POST", ROWS "/search",
       "{\"collectionName\": \"docs\", \"data\": [[1, 1]], \"limit\": 4, \"outputFields\":"
       " [\"n\"]}"},
      {200, "POST", ROWS "/query",
       "{\"collectionName\": \"docs\", \"filter\": \"n > 1\", \"outputFields\": [\"n\"],"
       " \"limit\": 2, \"offset\": 1}"},
      {200, "DELETE", DOCS, NULL},
  };
  ASK_ALL(*state, asked);
}

/* Fields that go and get other names while there are rows, and indexes of JSON. */
static void test_reshaped(void **state) {
  static const struct question asked[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true}, {\"name\": \"n\", \"type\": \"INT64\"},"
       " {\"name\": \"j\", \"type\": \"JSON\", \"nullable\": true},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}"},
      {200, "POST", DOCS "/rows",
       "{\"rows\": [{\"id\": 1, \"n\": 7, \"j\": {\"a\": 5}, \"v\": [1]},"
       " {\"id\": 2, \"n\": 8, \"v\": [2]}]}"},
      {200, "PATCH", DOCS "/fields/n", "{\"name\": \"m\"}"},
      {400, "PATCH", DOCS "/fields/n", "{\"name\": \"k\"}"},
      {409, "PATCH", DOCS "/fields/m", "{\"name\": \"j\"}"},
      {200, "GET", DOCS, NULL},
      {200, "POST", DOCS "/query", "{\"filter\": \"m == 8\"}"},
      {400, "POST", DOCS "/query", "{\"filter\": \"n == 8\"}"},
      {400, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 3, \"n\": 9, \"v\": [3]}]}"},
      {200, "POST", DOCS "/fields",
       "{\"fields\": [{\"name\": \"n\", \"type\": \"VARCHAR\", \"max_length\": 4,"
       " \"default\": \"d\"}]}"},
      {200, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 3, \"m\": 9, \"v\": [3]}]}"},
      {200, "DELETE", DOCS "/fields/m", NULL},
      {400, "DELETE", DOCS "/fields/m", NULL},
      {400, "DELETE", DOCS "/fields/id", NULL},
      {400, "DELETE", DOCS "/fields/v", NULL},
      {200, "POST", DOCS "/json_indexes/j", "{\"path\": \"[\\\"a\\\"]\", \"type\": \"DOUBLE\"}"},
      {409, "POST", DOCS "/json_indexes/j", "{\"path\": \"[\\\"a\\\"]\", \"type\": \"DOUBLE\"}"},
      {400, "POST", DOCS "/json_indexes/n", "{\"path\": \"[\\\"a\\\"]\", \"type\": \"DOUBLE\"}"},
      {200, "GET", DOCS, NULL},
      {200, "POST", DOCS "/query", "{\"filter\": \"j['a'] == 5\"}"},
      {200, "POST", DOCS "/json_indexes/j/delete", "{\"path\": \"[\\\"a\\\"]\"}"},
      {404, "POST", DOCS "/json_indexes/j/delete", "{\"path\": \"[\\\"a\\\"]\"}"},
      {200, "POST", DOCS "/query", "{\"limit\": 10}"},
      {200, "DELETE", DOCS, NULL},
  };
  ASK_ALL(*state, asked);
}

/* Rows that the database numbers. */
static void test_numbered(void **state) {
  static const struct question asked[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true, \"auto_id\": true}, {\"name\": \"n\", \"type\": \"INT64\"},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}"},
      {200, "GET", DOCS, NULL},
      {200, "POST", DOCS "/rows", "{\"rows\": [{\"n\": 7, \"v\": [1]}, {\"n\": 8, \"v\": [2]}]}"},
      {200, "PUT", DOCS "/rows", "{\"rows\": [{\"n\": 9, \"v\": [3]}]}"},
      {400, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 1, \"n\": 9, \"v\": [3]}]}"},
      {200, "PATCH", DOCS "/rows", "{\"rows\": [{\"id\": 2, \"n\": 80}]}"},
      {200, "POST", DOCS "/query", "{\"limit\": 10}"},
      {200, "DELETE", DOCS, NULL},
  };
  ASK_ALL(*state, asked);
}

/* Defaults that are computed, by this server's clock. */
static void test_computed(void **state) {
  static const struct question asked[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
       " {\"name\": \"at\", \"type\": \"INT64\", \"default_now\": true},"
       " {\"name\": \"u\", \"type\": \"VARCHAR\", \"max_length\": 36, \"default_uuid\": true}]}"},
      {200, "GET", DOCS, NULL},
      {200, "POST", DOCS "/rows",
       "{\"rows\": [{\"id\": 1, \"v\": [1]}, {\"id\": 2, \"v\": [2], \"at\": 7, \"u\": \"m\"}]}"},
      {200, "POST", DOCS "/count", "{\"filter\": \"at > 1600000000000 and not u == 'm'\"}"},
      {200, "POST", DOCS "/count", "{\"filter\": \"at == 7 and u == 'm'\"}"},
      {200, "DELETE", DOCS, NULL},
  };
  ASK_ALL(*state, asked);
}

/* Vectors that learn: what is pushed, and the versions. */
static void test_pushes(void **state) {
  static const struct question asked[] = {
      {400, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [1], \"values\": [[1, 1, 1]]}"},
      {200, "PUT", DOCS "/optimizers/v", "{\"kind\": \"adagrad\", \"rate\": 0.5}"},
      {400, "PUT", DOCS "/optimizers/kind", "{\"rate\": 0.5}"},
      {200, "POST", DOCS "/push",
       "{\"field\": \"v\", \"keys\": [3, 1, 7], \"values\": [[1, 2, 3], [0, 1, 0], [5, 5, 5]]}"},
      {200, "POST", DOCS "/push",
       "{\"field\": \"v\", \"keys\": [7, 8], \"values\": [[1, 0, 0], [0, 0, 1]], \"kind\":"
       " \"delta\"}"},
      {404, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [9999], \"values\": [[1, 0, 0]]}"},
      {200, "POST", DOCS "/push",
       "{\"field\": \"v\", \"keys\": [2, 7, 2, 1], \"values\": [[1, 0, 0], [0, 0, 1],"
       " [1, 1, 1], [2, 2, 2]], \"expected\": [1, 3, 2, 2]}"},
      {409, "POST", DOCS "/push",
       "{\"field\": \"v\", \"keys\": [2], \"values\": [[1, 0, 0]], \"expected\": [1]}"},
      {200, "POST", DOCS "/pull", "{\"field\": \"v\", \"keys\": [7, 8, 1, 9999, 3, 2]}"},
      {200, "POST", DOCS "/rows/get", "{\"keys\": [7, 8], \"fields\": [\"v\"]}"},
      {200, "DELETE", DOCS "/optimizers/v", NULL},
      {400, "POST", DOCS "/push", "{\"field\": \"v\", \"keys\": [1], \"values\": [[1, 1, 1]]}"},
      {200, "DELETE", DOCS, NULL},
  };
  static const struct question create[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true}, {\"name\": \"kind\", \"type\": \"VARCHAR\", \"max_length\": 8},"
       " {\"name\": \"size\", \"type\": \"DOUBLE\", \"nullable\": true},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 3}]}"},
  };
  ASK_ALL(*state, create);
  fill(*state, 40);
  ASK_ALL(*state, asked);
}

static uint64_t done(struct pair *p) {
  pthread_mutex_lock(&p->nt.mutex);
  uint64_t n = p->nt.done;
  pthread_mutex_unlock(&p->nt.mutex);
  return n;
}

/* A collection with the field of `cluster.tenant_field` lays the rows of each owner together, and
   one of whose values nobody can tell where they are is refused. */
static void test_owners(void **state) {
  static const struct question asked[] = {
      {201, "POST", "/v1/collections",
       "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
       " \"primary_key\": true}, {\"name\": \"owner\", \"type\": \"VARCHAR\", \"max_length\": 8},"
       " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}"},
      {200, "POST", DOCS "/rows",
       "{\"rows\": [{\"id\": 1, \"owner\": \"a\", \"v\": [1]}, {\"id\": 2, \"owner\": \"b\", \"v\":"
       " [2]}, {\"id\": 3, \"owner\": \"a\", \"v\": [3]}]}"},
      {200, "POST", DOCS "/search",
       "{\"vector\": [1], \"top_k\": 5, \"filter\": \"owner == 'a'\", \"fields\": [\"owner\"]}"},
  };
  static const struct question one = {200, "POST", DOCS "/count", "{\"filter\": \"owner == 'a'\"}"};
  static const struct question all = {200, "POST", DOCS "/count", "{\"filter\": \"id > 0\"}"};
  static const struct question gone = {200, "DELETE", DOCS, NULL};
  struct pair *p = *state;
  web_fails(&p->far, 400, "SCHEMA", "POST", "/v1/collections",
            "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
            " \"primary_key\": true}, {\"name\": \"owner\", \"type\": \"FLOAT\"},"
            " {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}");
  ASK_ALL(p, asked);
  uint64_t before = done(p);
  ask_all(p, &one, 1);
  uint64_t between = done(p);
  ask_all(p, &all, 1);
  assert_int_equal(between - before, 1);
  assert_int_equal(done(p) - between, NT_SHARDS);
  ask_all(p, &gone, 1);
}

static void test_qdrant(void **state) {
  static const struct question asked[] = {
      {200, "PUT", "/collections/pts", "{\"vectors\": {\"size\": 2, \"distance\": \"Euclid\"}}"},
      {200, "PUT", "/collections/pts/points",
       "{\"points\": [{\"id\": 1, \"vector\": [1, 0], \"payload\": {\"c\": \"red\", \"n\": 5}},"
       " {\"id\": 2, \"vector\": [2, 0], \"payload\": {\"c\": \"blue\"}}, {\"id\":"
       " \"00000000-0000-4000-8000-000000000000\", \"vector\": [3, 1]}]}"},
      {200, "POST", "/collections/pts/points/query",
       "{\"query\": [2, 1], \"limit\": 3, \"with_payload\": true, \"with_vector\": true}"},
      {200, "POST", "/collections/pts/points/query",
       "{\"query\": [2, 1], \"filter\": {\"must\": [{\"key\": \"n\", \"range\": {\"gt\": 4}}]}}"},
      {200, "PUT", "/collections/pts/points",
       "{\"points\": [{\"id\": 8, \"vector\": [1, 0]}, {\"id\": 9, \"vector\": [1, 0]}]}"},
      {200, "POST", "/collections/pts/points/query",
       "{\"prefetch\": [{\"query\": [2, 1], \"limit\": 4}, {\"query\": [0, 0], \"limit\": 4}],"
       " \"query\": {\"fusion\": \"rrf\"}, \"limit\": 5, \"with_payload\": true}"},
      {200, "POST", "/collections/pts/points/payload",
       "{\"payload\": {\"c\": \"green\"}, \"points\": [2, 8]}"},
      {200, "POST", "/collections/pts/points/query/groups",
       "{\"query\": [2, 1], \"group_by\": \"c\", \"group_size\": 2, \"limit\": 3}"},
      {200, "POST", "/collections/pts/points/scroll",
       "{\"limit\": 9, \"with_payload\": true}"},
      {200, "POST", "/collections/pts/points/scroll", "{\"limit\": 2}"},
      {200, "POST", "/collections/pts/points/count", "{}"},
      {200, "POST", "/collections/pts/points", "{\"ids\": [2, 7]}"},
      {200, "POST", "/collections/pts/points/delete", "{\"points\": [1]}"},
      {200, "POST", "/collections/pts/points/count", "{}"},
      {200, "DELETE", "/collections/pts", NULL},
  };
  ASK_ALL(*state, asked);
}

/* Weights by how many points have an index, which is of all shards. */
static void test_idf(void **state) {
  static const struct question asked[] = {
      {200, "PUT", "/collections/pts",
       "{\"sparse_vectors\": {\"text\": {\"modifier\": \"idf\"}}}"},
      {200, "PUT", "/collections/pts/points",
       "{\"points\": [{\"id\": 1, \"vector\": {\"text\": {\"indices\": [1, 2], \"values\": [1,"
       " 1]}}}, {\"id\": 2, \"vector\": {\"text\": {\"indices\": [1, 9], \"values\": [1, 3]}}},"
       " {\"id\": 3, \"vector\": {\"text\": {\"indices\": [1], \"values\": [2]}}},"
       " {\"id\": 4, \"vector\": {\"text\": {\"indices\": [7], \"values\": [2]}}}]}"},
      {200, "POST", "/collections/pts/points/query",
       "{\"query\": {\"indices\": [1, 2, 7, 50], \"values\": [1, 2, 0.5, 1]}, \"using\": \"text\","
       " \"limit\": 9}"},
      {200, "DELETE", "/collections/pts", NULL},
  };
  ASK_ALL(*state, asked);
}

/* ---- What only a cluster has ----------------------------------------------------------------- */

#define CREATE                                                                                  \
  "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": " \
  "true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}"

static void test_unsupported(void **state) {
  static const struct question asked[] = {
      {501, "PUT", DOCS "/indexes/v", "{\"type\": \"HNSW\"}"},
      {501, "POST", "/v1/snapshots", "{\"name\": \"s\"}"},
  };
  struct pair *p = *state;
  web_do(&p->far, 201, "POST", "/v1/collections", CREATE);
  for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++)
    web_fails(&p->far, asked[i].status, "UNSUPPORTED", asked[i].method, asked[i].path,
              asked[i].body);
  web_do(&p->far, 200, "DELETE", DOCS, NULL);
}

/* Each shard says how it would search, and which node says so; every replica merges its files. */
static void test_upkeep(void **state) {
  struct pair *p = *state;
  web_do(&p->far, 201, "POST", "/v1/collections", CREATE);
  struct web_answer a = web_ask(&p->far, "POST", DOCS "/explain",
                                "{\"vector\": [1], \"filter\": \"id > 3\"}");
  assert_int_equal(a.status, 200);
  const char *at = json_string_value(json_object_get(a.json, "plan"));
  for (unsigned shard = 0; shard < NT_SHARDS; shard++) {
    char head[64];
    snprintf(head, sizeof head, "shard %u, by node %u:\n", shard, p->nt.primary[shard]);
    assert_non_null(at = strstr(at, head));
    assert_non_null(at = strstr(at, "filter: id >= 4"));
  }
  web_done(&a);
  web_fails(&p->far, 400, "UNKNOWN_FIELD", "POST", DOCS "/explain",
            "{\"vector\": [1], \"filter\": \"nope > 3\"}");
  web_do(&p->far, 200, "POST", DOCS "/compact", "{}");
  for (int node = 1; node <= NT_NODES; node++)
    assert_int_equal(p->nt.compacted[node], (1u << NT_SHARDS) - 1);
  web_do(&p->far, 200, "DELETE", DOCS, NULL);
}

static void set(struct nt *nt, uint32_t *what, uint32_t value) {
  pthread_mutex_lock(&nt->mutex);
  *what = value;
  pthread_mutex_unlock(&nt->mutex);
}

/* A shard that gives no answer: the request fails, or its answer says that something is missing. */
static void test_partial(void **state) {
  struct pair *p = *state;
  char body[4096] = "{\"rows\": [", *at = body + strlen(body);
  size_t whole, part;
  for (int i = 0; i < 40; i++)
    at += sprintf(at, "%s{\"id\": %d, \"v\": [1]}", i ? ", " : "", i);
  strcpy(at, "]}");
  web_do(&p->far, 201, "POST", "/v1/collections", CREATE);
  web_do(&p->far, 200, "POST", DOCS "/rows", body);
  set(&p->nt, &p->nt.mute, 1u << 2);
  struct web_answer a = web_ask(&p->far, "POST", DOCS "/search",
                                "{\"vector\": [1], \"top_k\": 50, \"timeout_ms\": 150}");
  assert_true(a.status == 503 || a.status == 504);
  web_done(&a);
  json_t *json = web_expect(&p->far, 200, "POST", DOCS "/search",
                            "{\"vector\": [1], \"top_k\": 50, \"timeout_ms\": 150, \"partial\":"
                            " true}");
  assert_true(json_is_true(json_object_get(json_object_get(json, "info"), "partial")));
  part = json_array_size(json_object_get(json, "hits"));
  json_decref(json);
  set(&p->nt, &p->nt.mute, 0);
  json = web_expect(&p->far, 200, "POST", DOCS "/search",
                    "{\"vector\": [1], \"top_k\": 50, \"partial\": true}");
  assert_true(json_is_false(json_object_get(json_object_get(json, "info"), "partial")));
  whole = json_array_size(json_object_get(json, "hits"));
  json_decref(json);
  assert_true(whole == 40 && part > 0 && part < whole);
  web_do(&p->far, 200, "DELETE", DOCS, NULL);
}

static void test_overload(void **state) {
  struct nt nt;
  struct web w;
  (void)state;
  web_init(&w);
  join(&nt, &w);
  w.config.timeout_ms = 1000; /* until then it is tried again */
  web_start(&w);
  web_do(&w, 201, "POST", "/v1/collections", CREATE);
  set(&nt, &nt.loaded, ~0u);
  web_fails(&w, 429, "OVERLOADED", "POST", DOCS "/search", "{\"vector\": [1]}");
  web_fails(&w, 429, "OVERLOADED", "POST", DOCS "/rows",
            "{\"rows\": [{\"id\": 1, \"v\": [1]}]}");
  set(&nt, &nt.loaded, 0);
  web_do(&w, 200, "POST", DOCS "/search", "{\"vector\": [1], \"timeout_ms\": 30000}");
  web_end(&w);
  nt_close(&nt);
}

#define REPLICA "collection=\"docs\",shard=\"2\",node=\"1\""

/* Shard 2 is led by the third node, which is behind where it follows. */
static void test_replicas(void **state) {
  static const char *const lines[] = {
      "vecdb_replicas_missing{collection=\"docs\",shard=\"3\"} 1\n",
      "vecdb_replica_up{collection=\"docs\",shard=\"0\",node=\"1\"} 1\n",
      "vecdb_replica_up{collection=\"docs\",shard=\"3\",node=\"2\"} 0\n",
      "vecdb_replica_primary{collection=\"docs\",shard=\"2\",node=\"3\"} 1\n",
      "vecdb_replica_primary{collection=\"docs\",shard=\"2\",node=\"1\"} 0\n",
      "vecdb_replication_lag_entries{collection=\"docs\",shard=\"0\",node=\"3\"} 7\n",
      "vecdb_replication_lag_entries{collection=\"docs\",shard=\"0\",node=\"1\"} 0\n",
      "vecdb_replica_rows{collection=\"docs\",shard=\"0\",node=\"3\"} 43\n",
      "vecdb_memory_bytes{" REPLICA ",purpose=\"growing\"} 100\n",
      "vecdb_memory_bytes{" REPLICA ",purpose=\"index\"} 300\n",
      "vecdb_memory_bytes{" REPLICA ",purpose=\"rows\"} 600\n",
      "vecdb_collection_segments{" REPLICA ",state=\"growing\"} 1\n",
      "vecdb_collection_segments{" REPLICA ",state=\"indexed\"} 3\n",
      "vecdb_collection_segments{" REPLICA ",state=\"unindexed\"} 2\n",
      "vecdb_compaction_debt_bytes{" REPLICA "} 700\n",
      "vecdb_index_build_duration_seconds_count{" REPLICA "} 3\n",
      "vecdb_index_build_duration_seconds_sum{" REPLICA "} 2.5\n",
  };
  static const char *const absent[] = { /* what no node tells, or one that does not answer */
      "\nvecdb_wal_bytes", "\nvecdb_collection_searches_total", "\nvecdb_merge_duration_seconds",
      "state=\"deleted\"", "vecdb_replica_rows{collection=\"docs\",shard=\"3\",node=\"2\""};
  struct nt nt;
  struct web w;
  (void)state;
  web_init(&w);
  join(&nt, &w);
  w.config.cluster_replicas = NT_NODES + 1; /* one more than there are nodes */
  web_start(&w);
  web_do(&w, 201, "POST", "/v1/collections", CREATE);
  nt_kill(&nt, 2);
  struct web_answer a = web_ask(&w, "GET", "/metrics", NULL);
  assert_int_equal(a.status, 200);
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
    if (!strstr(a.text, lines[i]))
      fail_msg("%s is not in\n%s", lines[i], a.text);
  for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
    if (strstr(a.text, absent[i]))
      fail_msg("%s is in\n%s", absent[i], a.text);
  web_done(&a);
  web_end(&w);
  nt_close(&nt);
}

/* Nobody is there: that is said, and the server starts all the same. */
static void test_nobody(void **state) {
  (void)state;
  struct web w;
  web_init(&w);
  snprintf(w.config.nodes, sizeof w.config.nodes, "1@127.0.0.1:1");
  snprintf(w.config.cluster_id, sizeof w.config.cluster_id, "%s", nt_cluster);
  w.config.timeout_ms = 100;
  web_start(&w);
  web_fails(&w, 503, "NO_NODE", "GET", "/v1/collections", NULL);
  web_fails(&w, 503, "NO_NODE", "POST", DOCS "/search", "{\"vector\": [1]}");
  web_end(&w);
}

/* ---- Tenants --------------------------------------------------------------------------------- */

static void as(struct web *w, const char *key) {
  static char header[AUTH_HEADER];
  snprintf(header, sizeof header, "Authorization: Bearer %s-secret", key);
  w->header = header;
}

static size_t rows_seen(struct web *w, const char *key) {
  as(w, key);
  json_t *json = web_expect(w, 200, "POST", DOCS "/search", "{\"vector\": [1], \"top_k\": 50}");
  size_t n = json_array_size(json_object_get(json, "hits"));
  json_decref(json);
  return n;
}

static void test_tenants(void **state) {
  (void)state;
  static char keys[4096];
  static struct secured s;
  static struct nt nt;
  struct web *w = &s.web;
  auth_key(keys, "acme", "writer", "acme");
  auth_key(keys, "rival", "writer", "rival");
  auth_key(keys, "admin", "admin", NULL);
  auth_init(&s, keys, "");
  join(&nt, w);
  web_start(w);
  as(w, "admin");
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"docs\", \"fields\": [{\"name\": \"id\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"tenant_id\", \"type\": \"VARCHAR\", \"max_length\":"
         " 9}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1}]}");
  as(w, "acme");
  web_do(w, 200, "POST", DOCS "/rows",
         "{\"rows\": [{\"id\": 1, \"tenant_id\": \"acme\", \"v\": [1]}, {\"id\": 2, \"tenant_id\":"
         " \"acme\", \"v\": [1]}, {\"id\": 3, \"tenant_id\": \"acme\", \"v\": [1]}]}");
  as(w, "rival");
  web_fails(w, 403, "FORBIDDEN", "PUT", DOCS "/rows",
            "{\"rows\": [{\"id\": 4, \"tenant_id\": \"acme\", \"v\": [1]}]}");
  web_fails(w, 403, "FORBIDDEN", "PUT", DOCS "/rows",
            "{\"rows\": [{\"id\": 2, \"tenant_id\": \"rival\", \"v\": [1]}]}");
  web_do(w, 200, "PUT", DOCS "/rows",
         "{\"rows\": [{\"id\": 5, \"tenant_id\": \"rival\", \"v\": [1]}]}");
  json_t *json = web_expect(w, 200, "POST", DOCS "/rows/delete", "{\"keys\": [1, 5]}");
  assert_int_equal(json_integer_value(json_object_get(json, "deleted")), 1);
  json_decref(json);
  assert_int_equal(rows_seen(w, "rival"), 0);
  assert_int_equal(rows_seen(w, "acme"), 3);
  assert_int_equal(rows_seen(w, "admin"), 3);
  web_end(w);
  nt_close(&nt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_native),  cmocka_unit_test(test_anew),
      cmocka_unit_test(test_numbered), cmocka_unit_test(test_computed),
      cmocka_unit_test(test_reshaped),
      cmocka_unit_test(test_pushes),   cmocka_unit_test(test_owners),
      cmocka_unit_test(test_qdrant),  cmocka_unit_test(test_unsupported),
      cmocka_unit_test(test_upkeep), cmocka_unit_test(test_idf),
      cmocka_unit_test(test_partial), cmocka_unit_test(test_overload),
      cmocka_unit_test(test_nobody),  cmocka_unit_test(test_tenants),
      cmocka_unit_test(test_replicas),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, setup, teardown);
}
