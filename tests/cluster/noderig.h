/*
 * noderig.h - three nodes as processes, a real etcd, and a client that writes and reads the rows of
 * a collection all the time: what was acknowledged is there, and no strong read is older.
 */
#ifndef NODERIG_H
#define NODERIG_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/vecdb_client.h"
#include "ctl/create.h"
#include "etcdtest.h"
#include "node/node.h"
#include "place/table.h"
#include "replica/types.h"

enum { TN_LOG = 150 }; /* entries that logs keep: who misses more needs the data as a whole */
enum { TN_NODES = 3, TN_KEYS = 60, TN_BATCH = 4, TN_STEP = 40, TN_LIMIT_S = 300 };

static const char tn_schema[] =
    "{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
    "{\"name\": \"version\", \"type\": \"INT64\"},"
    "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 4, \"metric\": \"L2\"}]}";

struct tn {
  struct et etcd;
  struct doc_uuid cluster;
  int ports[TN_NODES];
  pid_t pids[TN_NODES];
  vecdb_client *client;
  _Atomic int64_t tried[TN_KEYS], acked[TN_KEYS];
  atomic_uint writes, failed, reads;
  atomic_bool stop, stale;
};

static inline int tn_node(char **argv) {
  char why[NODE_WHY];
  struct node_config config = {.id = (uint32_t)atoi(argv[2]), .data = argv[4],
                               .listen = argv[5], .endpoints = argv[6],
                               .keep = TN_LOG};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  struct node *n = doc_uuid_parse(argv[3], &config.cluster) ? node_open(&config, why) : NULL;
  if (n)
    node_run(n);
  return 1;
}

static inline void tn_start_node(struct tn *t, int i) {
  char id[8], cluster[33], data[128], name[16], address[32];
  snprintf(id, sizeof id, "%d", i + 1);
  snprintf(name, sizeof name, "node%d", i + 1);
  snprintf(address, sizeof address, "127.0.0.1:%d", t->ports[i]);
  doc_uuid_text(t->cluster, cluster);
  et_path(&t->etcd, name, data);
  t->pids[i] = fork();
  assert_true(t->pids[i] >= 0);
  if (t->pids[i])
    return;
  execl("/proc/self/exe", "test_node", "node", id, cluster, data, address, t->etcd.endpoints,
        (char *)NULL);
  _exit(127);
}

static inline void tn_kill_node(struct tn *t, int i) {
  int status = 0;
  kill(t->pids[i], SIGKILL);
  waitpid(t->pids[i], &status, 0);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* not by a sanitizer */
}

/* Has the document of the cluster ask for this version of all nodes. */
static inline void tn_of_version(struct tn *t, struct ctl *ctl, uint32_t version) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *entry = cache_find(view, DOC_PATH_CLUSTER, 0, 0);
  struct doc_cluster doc = *(const struct doc_cluster *)entry->doc;
  struct doc_path path = doc_path(t->cluster, DOC_PATH_CLUSTER, 0, 0);
  bool held = false;
  size_t n;
  doc.protocol_min = version;
  char *text = doc_cluster_write(&doc, &n);
  assert_int_equal(ctl_put(ctl, path, text, n, entry->mod, &held), CTL_OK);
  assert_true(held);
  free(text);
  cache_give(view);
}

static inline void tn_is_of_version(struct tn *t, uint32_t version) {
  char why[ETCD_WHY];
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  const struct cache_view *view = ctl_view(&ctl);
  const struct doc_cluster *doc = cache_doc(view, DOC_PATH_CLUSTER, 0, 0);
  assert_int_equal(doc->protocol_min, version);
  cache_give(view);
  ctl_close(&ctl);
}

static inline void tn_documents(struct tn *t) {
  char why[ETCD_WHY];
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  struct meta_store *store = etcd_open(&config, why);
  assert_non_null(store);
  assert_int_equal(ctl_open(&ctl, store, t->cluster), CTL_OK);
  assert_int_equal(ctl_init(&ctl, "test"), CTL_OK);
  tn_of_version(t, &ctl, DOC_SPEAKS_RESHAPES); /* which is raised by who needs it */
  for (int i = 0; i < TN_NODES; i++) {
    struct doc_node node = {.id = (uint32_t)i + 1, .weight = PLACE_WEIGHT};
    snprintf(node.name, sizeof node.name, "node%d", i + 1);
    snprintf(node.address, sizeof node.address, "127.0.0.1:%d", t->ports[i]);
    assert_int_equal(ctl_add_node(&ctl, &node), CTL_OK);
  }
  struct doc_coll coll = {.name = "rows",
                          .slots = 64, .window = 1,
                          .shards = 2, .replicas = 3,
                          .min_isr = 2, .schema_version = 1, .index_version = 1,
                          .schema = strdup(tn_schema)};
  assert_int_equal(ctl_create(&ctl, &coll, NULL), CTL_OK);
  doc_coll_free(&coll);
  ctl_close(&ctl);
}

static inline void tn_start(struct tn *t) {
  char cluster[33], nodes[256] = "";
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  struct mt store;
  memset(t, 0, sizeof *t);
  t->cluster.bytes[0] = 7;
  et_start(&t->etcd, 1);
  et_connect(&t->etcd, &store);
  meta_close(store.store);
  et_ports(t->ports, TN_NODES);
  tn_documents(t);
  for (int i = 0; i < TN_NODES; i++) {
    tn_start_node(t, i);
    snprintf(nodes + strlen(nodes), sizeof nodes - strlen(nodes), "%s%d@127.0.0.1:%d",
             i ? "," : "", i + 1, t->ports[i]);
  }
  doc_uuid_text(t->cluster, cluster);
  o.nodes = nodes;
  o.cluster = cluster;
  assert_int_equal(vecdb_client_open(&o, &t->client, NULL), VECDB_OK);
}

static inline void tn_end(struct tn *t) {
  vecdb_client_close(t->client);
  for (int i = 0; i < TN_NODES; i++)
    tn_kill_node(t, i);
  et_stop(&t->etcd);
}

static inline bool tn_write(struct tn *t, int64_t first) {
  int64_t ids[TN_BATCH], versions[TN_BATCH];
  const float vectors[4 * TN_BATCH] = {1, 2, 3};
  vecdb_batch batch = VECDB_BATCH_INIT;
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "version", .data = versions},
                                  {.field = "v", .data = vectors, .dim = 4}};
  for (int64_t i = 0; i < TN_BATCH; i++) {
    ids[i] = (first + i) % TN_KEYS;
    versions[i] = ++t->tried[ids[i]];
  }
  batch.columns = columns;
  batch.n_columns = 3;
  batch.n_rows = TN_BATCH;
  if (vecdb_client_upsert(t->client, "rows", &batch, NULL, NULL))
    return false;
  for (int i = 0; i < TN_BATCH; i++)
    t->acked[ids[i]] = versions[i];
  return true;
}

static inline void *tn_writer(void *arg) {
  struct tn *t = arg;
  for (int64_t at = 0; !t->stop; at = (at + TN_BATCH) % TN_KEYS) {
    bool ok = tn_write(t, at);
    t->writes += ok;
    t->failed += !ok;
  }
  return NULL;
}

/* A strong read of one key; false: no answer. What is older than acknowledged before is noted. */
static inline bool tn_read(struct tn *t, int64_t id) {
  static const char *const names[] = {"version"};
  const vecdb_client_fields fields = {names, 1};
  const vecdb_keys keys = {&id, NULL, 1};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_answer *answer = NULL;
  int64_t least = t->acked[id], version = 0;
  call.level = VECDB_CLIENT_STRONG;
  if (vecdb_client_get(t->client, "rows", &keys, &fields, &call, &answer, NULL))
    return false;
  if (vecdb_client_answer_found(answer, 0))
    version = vecdb_client_answer_value(answer, 0, 0, "version").as.integer;
  vecdb_client_answer_free(answer);
  if (version < least || version > t->tried[id])
    t->stale = true;
  return true;
}

/* A load, not all that the machine could bear. */
static inline void tn_pace(int ms) {
  const struct timespec pause = {0, ms * 1000000L};
  nanosleep(&pause, NULL);
}

static inline void *tn_reader(void *arg) {
  struct tn *t = arg;
  for (int64_t id = 0; !t->stop; id = (id + 7) % TN_KEYS, tn_pace(3))
    t->reads += tn_read(t, id);
  return NULL;
}

/* Until so many writes more were acknowledged. */
static inline void tn_await(struct tn *t, unsigned more) {
  unsigned until = t->writes + more;
  while (t->writes < until)
    tn_pace(2);
}

static inline bool tn_long(void) { return getenv("VDB_N") != NULL; }

static inline int tn_faults(void) { return tn_long() ? atoi(getenv("VDB_N")) : 4; }

static inline int tn_setup(void **state) {
  static struct tn t;
  alarm(TN_LIMIT_S + 20 * (unsigned)tn_faults());
  tn_start(&t);
  *state = &t;
  return 0;
}

static inline int tn_teardown(void **state) {
  tn_end(*state);
  return 0;
}

/* For how many of the collection's two shards the node is in sync. */
static inline size_t tn_in_sync(struct ctl *ctl, uint32_t node) {
  const struct cache_view *view = ctl_view(ctl);
  size_t n, in = 0;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 1, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *doc = all[i]->doc;
    in += doc && doc_has(doc->isr, doc->n_isr, node);
  }
  cache_give(view);
  return in;
}

static inline void tn_await_sync(struct ctl *ctl, uint32_t node, size_t shards) {
  while (tn_in_sync(ctl, node) != shards)
    ctl_turn(ctl, ctl_now(ctl) + 20000);
}

#endif
