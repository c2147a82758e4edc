/* faultrig.c - a cluster of processes with faults; see faultrig.h. */
#include "cluster/faultrig.h"

#include <sys/mman.h>

#include "ctl/create.h"
#include "ctl/split.h"
#include "net/cert.h"
#include "place/table.h"
#include "replica/types.h"
#include "wire/message.h"

enum { RIG_CLIENT = 1, RIG_AGO_S = 7200 };

static const char rig_schema[] =
    "{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
    "{\"name\": \"version\", \"type\": \"INT64\"},"
    "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 4, \"metric\": \"L2\"}]}";

static void rig_pause(void) {
  const struct timespec t = {0, 2000000};
  nanosleep(&t, NULL);
}

/* ---- Nodes and members ---- */

void rig_node_start(struct rig *r, int node) {
  char cluster[33], data[128], name[16], address[32], switches[128];
  doc_uuid_text(r->cluster, cluster);
  snprintf(name, sizeof name, "node%d", node);
  snprintf(address, sizeof address, "127.0.0.1:%d", r->port[node]);
  et_path(&r->etcd, name, data);
  snprintf(name, sizeof name, "switches%d", node);
  const struct fault_node n = {.id = (uint32_t)node,
                               .cluster = cluster,
                               .data = data,
                               .listen = address,
                               .endpoints = r->endpoints,
                               .switches = et_path(&r->etcd, name, switches),
                               .certificates = r->config.tls ? r->etcd.folder : NULL};
  r->pid[node] = fault_node_start(&n);
  assert_true(r->pid[node] > 0);
  fault_proxy_down(r->proxy, node, false);
}

void rig_node_kill(struct rig *r, int node) {
  int status = 0;
  if (r->pid[node] <= 0)
    return;
  kill(r->pid[node], SIGKILL);
  fault_proxy_down(r->proxy, node, true);
  waitpid(r->pid[node], &status, 0);
  assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* not by a sanitizer */
  r->pid[node] = 0;
}

void rig_node_signal(struct rig *r, int node, int signal) { kill(r->pid[node], signal); }

void rig_etcd_kill(struct rig *r, int member) {
  et_kill(&r->etcd, member);
  fault_proxy_down(r->proxy, RIG_ETCD_END + member, true);
}

void rig_etcd_start(struct rig *r, int member) {
  et_start_member(&r->etcd, member);
  fault_proxy_down(r->proxy, RIG_ETCD_END + member, false);
}

void rig_hold(struct rig *r, int from, int to, bool held) {
  fault_proxy_hold(r->proxy, from, to, held);
}

/* ---- The metadata ---- */

void rig_ctl_open(struct rig *r, struct ctl *ctl) {
  char why[ETCD_WHY];
  const struct etcd_config config = {.endpoints = r->etcd.endpoints};
  struct meta_store *store = etcd_open(&config, why);
  assert_non_null(store);
  memset(ctl, 0, sizeof *ctl);
  assert_int_equal(ctl_open(ctl, store, r->cluster), CTL_OK);
}

static void rig_documents(struct rig *r) {
  struct ctl ctl;
  rig_ctl_open(r, &ctl);
  assert_int_equal(ctl_init(&ctl, "test"), CTL_OK);
  for (int i = 1; i <= r->config.nodes; i++) {
    struct doc_node node = {.id = (uint32_t)i, .weight = PLACE_WEIGHT};
    snprintf(node.name, sizeof node.name, "node%d", i);
    snprintf(node.address, sizeof node.address, "127.0.0.1:%d", r->shown[i]);
    assert_int_equal(ctl_add_node(&ctl, &node), CTL_OK);
  }
  struct doc_coll coll = {.name = "rows",
                          .slots = 64,
                          .window = 1,
                          .shards = r->config.shards,
                          .replicas = r->config.replicas,
                          .min_isr = r->config.min_isr,
                          .schema_version = 1,
                          .index_version = 1,
                          .schema = strdup(rig_schema)};
  assert_int_equal(ctl_create(&ctl, &coll, NULL), CTL_OK);
  doc_coll_free(&coll);
  ctl_close(&ctl);
}

void rig_shard(struct ctl *ctl, uint32_t shard, struct rig_shard *out) {
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_shard *doc = cache_doc(view, DOC_PATH_SHARD, RIG_COLLECTION, shard);
  assert_non_null(doc);
  *out = (struct rig_shard){
      .primary = doc->primary, .n_replicas = doc->n_replicas, .n_isr = doc->n_isr};
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    out->replicas[i] = doc->replicas[i].node;
  cache_give(view);
}

static bool rig_has(const struct rig_shard *s, uint32_t node) {
  bool has = false;
  for (uint32_t i = 0; i < s->n_replicas; i++)
    has |= s->replicas[i] == node;
  return has;
}

bool rig_move(struct ctl *ctl, const struct rig *r, uint32_t shard) {
  struct rig_shard s;
  uint32_t target = 1;
  size_t written = 0, steps, open;
  ctl_turn(ctl, ctl_now(ctl));
  rig_shard(ctl, shard, &s);
  while (target <= (uint32_t)r->config.nodes && rig_has(&s, target))
    target++;
  if (target > (uint32_t)r->config.nodes)
    return false;
  const struct cache_view *view = ctl_view(ctl);
  struct ctl_plan plan = {0};
  enum ctl_status status = ctl_plan_move(view, RIG_COLLECTION, shard, s.primary, target, &plan);
  cache_give(view);
  if (status == CTL_OK)
    status = ctl_write_plan(ctl, &plan, &written);
  ctl_plan_free(&plan);
  return status == CTL_OK && written == 1 && ctl_drive(ctl, &steps, &open) == CTL_OK;
}

bool rig_split(struct ctl *ctl, uint32_t shard) {
  struct ctl_split split;
  bool held = false;
  ctl_turn(ctl, ctl_now(ctl));
  const struct cache_view *view = ctl_view(ctl);
  enum ctl_status status = ctl_plan_split(view, RIG_COLLECTION, shard, NULL, &split);
  cache_give(view);
  if (status == CTL_OK)
    status = ctl_write_split(ctl, &split, &held);
  doc_split_free(&split.doc);
  return status == CTL_OK && held;
}

uint32_t rig_shards(struct ctl *ctl) {
  size_t n, shards;
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *const *splits = cache_all(view, DOC_PATH_SPLIT, RIG_COLLECTION, &n);
  (void)cache_all(view, DOC_PATH_SHARD, RIG_COLLECTION, &shards);
  for (size_t i = 0; i < n; i++)
    shards = doc_split_open(splits[i]->doc) ? 0 : shards;
  cache_give(view);
  return (uint32_t)shards;
}

void rig_whole(struct rig *r, struct ctl *ctl) {
  for (bool whole = false; !whole;) {
    size_t steps, open = 1;
    ctl_turn(ctl, ctl_now(ctl) + 20000);
    r->config.shards = rig_shards(ctl);
    whole = ctl_drive(ctl, &steps, &open) == CTL_OK && open == 0 && r->config.shards;
    for (uint32_t i = 0; i < r->config.shards && whole; i++) {
      struct rig_shard s;
      rig_shard(ctl, i, &s);
      whole = s.n_isr == r->config.replicas && s.n_replicas == r->config.replicas;
    }
  }
}

/* ---- Starting and stopping ---- */

/* Certificates as of two hours ago, so that clocks may be an hour back. */
static void rig_certify(struct rig *r) {
  char path[4][256], why[HELLO_WHY];
  fault_switches->clock_s = -RIG_AGO_S;
  snprintf(path[0], sizeof path[0], "%s/ca.pem", r->etcd.folder);
  snprintf(path[1], sizeof path[1], "%s/ca.key", r->etcd.folder);
  const struct cert_files files = {path[0], path[1], path[2], path[3], NULL};
  assert_true(cert_authority(&files, 1, why));
  for (int i = 0; i <= r->config.nodes; i++) {
    snprintf(path[2], sizeof path[2], "%s/n%d.pem", r->etcd.folder, i);
    snprintf(path[3], sizeof path[3], "%s/n%d.key", r->etcd.folder, i);
    uint32_t id = i ? (uint32_t)i : WIRE_CLIENT + RIG_CLIENT;
    assert_true(cert_node(&files, r->cluster, id, 1, why));
  }
  fault_switches->clock_s = 0;
}

static void rig_client(struct rig *r) {
  char cluster[33], nodes[256] = "", path[3][256];
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  for (int i = 1; i <= r->config.nodes; i++)
    snprintf(nodes + strlen(nodes), sizeof nodes - strlen(nodes), "%s%d@127.0.0.1:%d",
             i > 1 ? "," : "", i, r->shown[i]);
  doc_uuid_text(r->cluster, cluster);
  o.nodes = nodes;
  o.cluster = cluster;
  snprintf(path[0], sizeof path[0], "%s/ca.pem", r->etcd.folder);
  snprintf(path[1], sizeof path[1], "%s/n0.pem", r->etcd.folder);
  snprintf(path[2], sizeof path[2], "%s/n0.key", r->etcd.folder);
  if (r->config.tls) {
    o.ca_file = path[0];
    o.cert_file = path[1];
    o.key_file = path[2];
    o.id = WIRE_CLIENT + RIG_CLIENT;
  }
  assert_int_equal(vecdb_client_open(&o, &r->client, NULL), VECDB_OK);
}

static void rig_proxy(struct rig *r) {
  r->proxy = fault_proxy_open();
  et_ports(r->port + 1, r->config.nodes);
  for (int i = 1; i <= r->config.nodes; i++)
    r->shown[i] = fault_proxy_add(r->proxy, i, r->port[i]);
  for (int i = 0; i < r->etcd.n; i++)
    snprintf(r->endpoints + strlen(r->endpoints), sizeof r->endpoints - strlen(r->endpoints),
             "%shttp://127.0.0.1:%d", i ? "," : "",
             fault_proxy_add(r->proxy, RIG_ETCD_END + i, r->etcd.client_port[i]));
}

void rig_start(struct rig *r, const struct rig_config *config) {
  struct mt store;
  char name[16], path[128];
  memset(r, 0, sizeof *r);
  r->config = *config;
  r->cluster.bytes[0] = 7;
  et_start(&r->etcd, ET_MEMBERS);
  if (config->tls)
    rig_certify(r);
  rig_proxy(r);
  et_connect(&r->etcd, &store);
  meta_close(store.store);
  rig_documents(r);
  for (int i = 1; i <= config->nodes; i++) {
    snprintf(name, sizeof name, "switches%d", i);
    r->switches[i] = fault_node_switches(et_path(&r->etcd, name, path));
    assert_non_null(r->switches[i]);
    rig_node_start(r, i);
  }
  rig_client(r);
}

void rig_end(struct rig *r) {
  vecdb_client_close(r->client);
  for (int i = 1; i <= r->config.nodes; i++) {
    rig_node_kill(r, i);
    munmap(r->switches[i], sizeof *r->switches[i]);
  }
  fault_proxy_close(r->proxy);
  et_stop(&r->etcd);
}

/* ---- What replicas hold ---- */

struct rig_rows {
  uint64_t position, digest; /* the digest does not depend on the rows' order */
};

static uint64_t rig_digest(const vecdb_rows *rows) {
  uint64_t sum = 0;
  for (size_t i = 0; i < vecdb_rows_count(rows); i++) {
    vecdb_value v = vecdb_rows_value(rows, i, 2);
    uint64_t row = rep_mix((uint64_t)vecdb_rows_value(rows, i, 0).as.integer,
                           (uint64_t)vecdb_rows_value(rows, i, 1).as.integer);
    for (uint32_t d = 0; d < RIG_DIM; d++) {
      uint32_t bits;
      memcpy(&bits, (const float *)v.as.data + d, sizeof bits);
      row = rep_mix(row, bits);
    }
    sum += row;
  }
  return sum;
}

static bool rig_query(vecdb *db, const char *name, const char *const *fields, size_t n,
                      vecdb_rows **out) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_collection *c;
  q.fields = fields;
  q.n_fields = n;
  q.limit = 1 << 20;
  if (vecdb_collection_get(db, name, &c, NULL))
    return false;
  int code = vecdb_query(c, &q, out, NULL);
  vecdb_collection_release(c);
  return !code;
}

/* The data of a replica, beside the node that has it open. False: it cannot be read just now. */
/* The folder of a replica's data: `data`, or the one that `current` names. */
static void rig_data(const struct rig *r, uint32_t node, uint32_t shard, char *out, size_t n) {
  char path[192];
  unsigned number = 0;
  int used = snprintf(out, n, "%s/node%u/shards/%d-%u/", r->etcd.folder, node, RIG_COLLECTION,
                      shard);
  snprintf(path, sizeof path, "%scurrent", out);
  FILE *file = fopen(path, "r");
  if (file) {
    (void)!fscanf(file, "%u", &number);
    fclose(file);
  }
  used += snprintf(out + used, n - (size_t)used, "data");
  if (number)
    snprintf(out + used, n - (size_t)used, "-%u", number);
}

static bool rig_rows(struct rig *r, uint32_t node, uint32_t shard, struct rig_rows *out) {
  static const char *const fields[] = {"id", "version", "v"}, *const seq[] = {"seq"};
  char path[160];
  vecdb_options o = VECDB_OPTIONS_INIT;
  vecdb *db;
  vecdb_rows *rows = NULL, *clients = NULL;
  *out = (struct rig_rows){0, 0};
  rig_data(r, node, shard, path, sizeof path);
  o.flags = VECDB_READ_ONLY | VECDB_FOLLOW;
  if (vecdb_open(path, &o, &db, NULL))
    return false;
  bool ok = rig_query(db, "clients", seq, 1, &clients) && rig_query(db, "rows", fields, 3, &rows);
  for (size_t i = 0; ok && i < vecdb_rows_count(clients); i++) {
    uint64_t at = (uint64_t)vecdb_rows_value(clients, i, 0).as.integer;
    out->position = at > out->position ? at : out->position;
  }
  out->digest = ok ? rig_digest(rows) : 0;
  vecdb_rows_free(rows);
  vecdb_rows_free(clients);
  vecdb_close(db, NULL);
  return ok;
}

bool rig_same(struct rig *r, struct ctl *ctl, uint32_t shard) {
  struct rig_shard s;
  struct rig_rows rows[RIG_NODES] = {{0, 0}};
  bool even = false, same = true;
  rig_shard(ctl, shard, &s);
  while (!even) {
    even = true;
    for (uint32_t i = 0; i < s.n_replicas && even; i++)
      even = rig_rows(r, s.replicas[i], shard, &rows[i]) && rows[i].position == rows[0].position;
    if (!even)
      rig_pause();
  }
  for (uint32_t i = 0; i < s.n_replicas; i++)
    same &= rows[i].digest == rows[0].digest;
  return same;
}
