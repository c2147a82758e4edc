/*
 * test_node.c - three nodes as processes, a real etcd, and a client that writes and reads while
 * nodes are killed (kill -9) and stopped (SIGSTOP), one after the other: no acknowledged write is
 * lost, no strong read is older than what was acknowledged before it. Collections that clients make
 * and drop, disks that are replaced by empty ones, moves of shards, a
 * row that changes by itself. VDB_N faults, 4 unless given; given it is the long form.
 * Skipped where etcd is not installed.
 */
#include <math.h>

#include "cluster/noderig.h"
#include "ctl/check.h"
#include "ctl/lag.h"
#include "edge/edge.h"
#include "node/files.h"
#include "nodeline.h"
#include "nodeuse.h"
#include "wire/message.h"

/* ---- The cluster ---- */

/* A client that knows node i alone, to begin with. */
static vecdb_client *tn_writer_of(struct tn *t, int i, uint64_t writer) {
  char cluster[33], nodes[64];
  vecdb_client_options o = VECDB_CLIENT_OPTIONS_INIT;
  vecdb_client *client = NULL;
  snprintf(nodes, sizeof nodes, "%d@127.0.0.1:%d", i + 1, t->ports[i]);
  doc_uuid_text(t->cluster, cluster);
  o.nodes = nodes;
  o.cluster = cluster;
  o.writer = writer;
  assert_int_equal(vecdb_client_open(&o, &client, NULL), VECDB_OK);
  return client;
}

static vecdb_client *tn_client_of(struct tn *t, int i) { return tn_writer_of(t, i, 0); }

/* ---- An edge that follows what has changed ---- */

struct tn_edge {
  vecdb *db;
  struct edge *edge;
};
static void tn_edge_open(struct tn *t, struct tn_edge *e) {
  char cluster[33], nodes[64];
  struct edge_config config = {.collections = "made", .poll_ms = 600000};
  config.origin = (vecdb_client_options)VECDB_CLIENT_OPTIONS_INIT;
  snprintf(nodes, sizeof nodes, "2@127.0.0.1:%d", t->ports[1]);
  doc_uuid_text(t->cluster, cluster);
  config.origin.nodes = nodes;
  config.origin.cluster = cluster;
  assert_int_equal(vecdb_open(":memory:", NULL, &e->db, NULL), VECDB_OK);
  config.db = e->db;
  e->edge = edge_open(&config, NULL);
  assert_non_null(e->edge);
}

/* After a look it has as many rows that pass as there are at the nodes. */
static void tn_edge_has(struct tn_edge *e, const char *text, uint64_t n) {
  const vecdb_filter filter = {text, 0, NULL, 0};
  vecdb_collection *rows;
  vecdb_error error = {0};
  uint64_t count;
  if (edge_sync(e->edge, &error))
    fail_msg("%d %s", error.code, error.message);
  assert_int_equal(vecdb_collection_get(e->db, "made", &rows, NULL), VECDB_OK);
  assert_true(vecdb_count(rows, &filter, &count, NULL) == VECDB_OK && count == n);
  vecdb_collection_release(rows);
}

static void tn_edge_close(struct tn_edge *e) {
  struct edge_info info;
  assert_int_equal(edge_sync(e->edge, NULL), VECDB_OK);
  assert_true(edge_look(e->edge, "made", &info) && info.gone);
  edge_close(e->edge);
  vecdb_close(e->db, NULL);
}

static void tn_restart(struct tn *t) {
  for (int i = 0; i < TN_NODES; i++)
    tn_kill_node(t, i);
  for (int i = 0; i < TN_NODES; i++)
    tn_start_node(t, i);
}

/* A write that was refused is so again under its number, also for another process of its writer and
   by nodes that have been killed meanwhile; and another one is not. */
static void tn_refused(struct tn *t, const char *name) {
  const int64_t id = 1000;
  const float bad[] = {INFINITY, 2}, good[] = {1, 2};
  vecdb_column columns[] = {{.field = "id", .data = &id}, {.field = "v", .data = bad, .dim = 2}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  vecdb_client *c = tn_writer_of(t, 1, 77);
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_error first = {0}, again = {0};
  call.op = 1;
  assert_int_equal(vecdb_client_upsert(c, name, &batch, &call, &first), VECDB_ERR_NOT_FINITE);
  assert_string_equal(first.field, "v");
  for (int i = 0; i < 2; i++) {
    assert_int_equal(vecdb_client_upsert(c, name, &batch, &call, &again), VECDB_ERR_NOT_FINITE);
    assert_memory_equal(&again, &first, sizeof first);
    if (i)
      break;
    tn_restart(t);
    vecdb_client_close(c);
    c = tn_writer_of(t, 1, 77);
  }
  columns[1].data = good;
  call.op = 2;
  for (int i = 0; i < 2; i++)
    assert_int_equal(vecdb_client_upsert(c, name, &batch, &call, NULL), VECDB_OK);
  vecdb_client_close(c);
}

/* The names, with blanks between them. */
static void tn_names(vecdb_client *c, char *out, size_t room) {
  vecdb_client_list *list = NULL;
  assert_int_equal(vecdb_client_list_collections(c, NULL, &list, NULL), VECDB_OK);
  *out = 0;
  for (size_t i = 0; i < vecdb_client_list_count(list); i++)
    snprintf(out + strlen(out), room - strlen(out), "%s ", vecdb_client_list_name(list, i));
  vecdb_client_list_free(list);
}

static void tn_described(vecdb_client *c, const char *name, uint32_t *id) {
  vecdb_client_about *about = NULL;
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  assert_int_equal(vecdb_client_describe(c, name, NULL, &about, NULL), VECDB_OK);
  const vecdb_schema *schema = vecdb_client_about_schema(about);
  assert_int_equal(schema->n_fields, 2);
  assert_string_equal(schema->fields[1].name, "v");
  assert_int_equal(schema->fields[1].dim, 2);
  assert_int_equal(vecdb_client_about_layout(about, &layout), VECDB_OK);
  assert_int_equal(layout.shards, 2);
  assert_int_equal(layout.replicas, 2);
  *id = vecdb_client_about_id(about);
  vecdb_client_about_free(about);
}

/* Until no node has a folder of the collection any more. */
static void tn_await_gone(struct tn *t, uint32_t id) {
  const struct timespec pause = {0, 2000000};
  for (int i = 0; i < TN_NODES; i++)
    for (int shard = 0; shard < 2; shard++) {
      char path[160];
      snprintf(path, sizeof path, "%s/node%d/shards/%u-%d", t->etcd.folder, i + 1, id, shard);
      while (access(path, F_OK) == 0)
        nanosleep(&pause, NULL);
    }
}

/* Behind use_reshape, whose last drop made version 5: replicas of shard 0 take no write of who
   knows an older one, whatever it writes. */
static void tn_older_refused(struct tn *t, uint32_t collection) {
  int older = 0, later = 0;
  for (int i = 0; i < TN_NODES; i++) {
    struct line l;
    line_open(&l, t->cluster, (uint32_t)i + 1, t->ports[i]);
    older += line_delete(&l, collection, 4) == WIRE_SCHEMA;
    later += line_delete(&l, collection, 5) == WIRE_SCHEMA;
    line_close(&l);
  }
  assert_int_equal(older, 2);
  assert_int_equal(later, 0);
}

/* What is made or dropped at one node is so at the others at once. */
static void test_collections(void **state) {
  struct tn *t = *state;
  char names[128];
  uint32_t id, again;
  struct tn_edge edge;
  vecdb_client_about *about = NULL;
  vecdb_client *clients[TN_NODES];
  const vecdb_field bad[] = {use_fields[0],
                             {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 1 << 20}};
  for (int i = 0; i < TN_NODES; i++)
    clients[i] = tn_client_of(t, i);
  assert_int_equal(use_create(clients[0], "made", use_fields, 2), VECDB_OK);
  tn_described(clients[1], "made", &id);
  tn_names(clients[2], names, sizeof names);
  assert_string_equal(names, "made rows ");
  assert_int_equal(use_create(clients[1], "made", use_fields, 2), VECDB_ERR_EXISTS);
  assert_int_equal(use_create(clients[1], "bad", bad, 2), VECDB_ERR_LIMIT);
  for (int64_t k = 0; k < 20; k++)
    assert_int_equal(use_put(clients[k % TN_NODES], "made", k), VECDB_OK);
  assert_int_equal(use_count(clients[1], "made", NULL), 20);
  tn_edge_open(t, &edge);
  tn_edge_has(&edge, "id >= 0", 20);
  use_changes(clients[1], "made");
  tn_is_of_version(t, DOC_SPEAKS_RESHAPES);
  use_learn(clients[0], "made");
  tn_is_of_version(t, DOC_SPEAKS_EXPECTED);
  use_upkeep(clients[2], "made");
  use_numbers(clients, TN_NODES);
  use_fields_add(clients[1], "made");
  use_fields_fill(clients[2], "made", 20);
  tn_edge_has(&edge, "extra == 7", 20);
  use_reshape(clients[1], clients[2], "made", 20);
  tn_older_refused(t, id);
  /* What the edge had as "extra" had the form of what has that name now. */
  tn_edge_has(&edge, "more == 7 and extra is null", 20);
  use_expire(clients[0], "made", 18);
  tn_is_of_version(t, DOC_SPEAKS_EXPIRY);
  tn_edge_has(&edge, "id >= 0", 18);
  use_computed(clients[0]);
  tn_refused(t, "made");
  assert_int_equal(vecdb_client_drop(clients[2], "made", NULL, NULL), VECDB_OK);
  assert_int_equal(vecdb_client_describe(clients[2], "none", NULL, &about, NULL),
                   VECDB_ERR_NOT_FOUND);
  assert_int_equal(vecdb_client_drop(clients[0], "made", NULL, NULL), VECDB_ERR_NOT_FOUND);
  tn_names(clients[1], names, sizeof names);
  assert_string_equal(names, "rows ");
  tn_await_gone(t, id);
  tn_edge_close(&edge);
  /* The name again is another collection, also to those who know the old one. */
  assert_int_equal(use_create(clients[0], "made", use_fields, 2), VECDB_OK);
  tn_described(clients[1], "made", &again);
  assert_int_not_equal(again, id);
  assert_int_equal(use_count(clients[1], "made", NULL), 0);
  assert_int_equal(vecdb_client_drop(clients[1], "made", NULL, NULL), VECDB_OK);
  for (int i = 0; i < TN_NODES; i++)
    vecdb_client_close(clients[i]);
}

/* ---- Writing and reading ---- */

static void test_faults(void **state) {
  struct tn *t = *state;
  pthread_t writer, reader;
  int faults = tn_faults();
  assert_int_equal(pthread_create(&writer, NULL, tn_writer, t), 0);
  assert_int_equal(pthread_create(&reader, NULL, tn_reader, t), 0);
  uint64_t random = 1;
  for (int f = 0; f < faults; f++) {
    random = rep_mix(random, (uint64_t)f);
    int node = (int)(random % TN_NODES);
    tn_await(t, TN_STEP);
    if (f % 2) {
      kill(t->pids[node], SIGSTOP);
      tn_await(t, TN_STEP);
      kill(t->pids[node], SIGCONT);
    } else {
      tn_kill_node(t, node);
      tn_await(t, TN_STEP);
      tn_start_node(t, node);
    }
  }
  tn_await(t, TN_STEP);
  t->stop = true;
  pthread_join(writer, NULL);
  pthread_join(reader, NULL);
  for (int64_t id = 0; id < TN_KEYS; id++)
    while (!tn_read(t, id))
      continue;
  printf("%d faults, %u batches acknowledged, %u not, %u strong reads\n", faults, t->writes,
         t->failed, t->reads);
  assert_false(t->stale);
}

/* An answer that is larger than a message may be is refused; nobody waits until the deadline. */
static void test_large(void **state) {
  enum { KEYS = 800000 };
  struct tn *t = *state;
  int64_t *ids = calloc(KEYS, sizeof *ids);
  const vecdb_keys keys = {ids, NULL, KEYS};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_answer *answer = NULL;
  vecdb_error error;
  call.timeout_ms = 60000;
  assert_non_null(ids);
  assert_int_equal(vecdb_client_get(t->client, "rows", &keys, NULL, &call, &answer, &error),
                   VECDB_ERR_LIMIT);
  assert_null(answer);
  free(ids);
}

/* The first node's replicas have their rows by the log alone: none had to be replaced. */
static void tn_not_copied(struct tn *t, const char *name) {
  char path[160];
  vecdb_client_about *about = NULL;
  assert_int_equal(vecdb_client_describe(t->client, name, NULL, &about, NULL), VECDB_OK);
  for (int shard = 0; shard < 2; shard++) {
    snprintf(path, sizeof path, "%s/node1/shards/%u-%d/current", t->etcd.folder,
             vecdb_client_about_id(about), shard);
    assert_int_not_equal(access(path, F_OK), 0);
  }
  vecdb_client_about_free(about);
}

/* A node's disk is replaced by an empty one; in the long run each node's, one after the other, so
   that in the end all data has been shipped. */
static void test_wiped(void **state) {
  struct tn *t = *state;
  char why[ETCD_WHY], path[160];
  pthread_t writer;
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  t->stop = false;
  use_fields_add(t->client, "rows");
  assert_int_equal(use_create(t->client, "short", use_fields, 2), VECDB_OK);
  for (int64_t id = 0; id < 9; id++)
    assert_int_equal(use_put(t->client, "short", id), VECDB_OK);
  use_fields_add(t->client, "short");
  use_fields_fill(t->client, "short", 9);
  use_reshape(t->client, t->client, "short", 9);
  assert_int_equal(pthread_create(&writer, NULL, tn_writer, t), 0);
  for (int i = 0; i < (tn_long() ? TN_NODES : 1); i++) {
    snprintf(path, sizeof path, "%s/node%d", t->etcd.folder, i + 1);
    tn_kill_node(t, i);
    files_remove_tree(path);
    tn_await_sync(&ctl, (uint32_t)i + 1, 0);
    tn_await(t, 2 * TN_LOG);
    tn_start_node(t, i);
    tn_await_sync(&ctl, (uint32_t)i + 1, 2);
    snprintf(path, sizeof path, "%s/node%d/shards/1-0/current", t->etcd.folder, i + 1);
    assert_int_equal(access(path, F_OK), 0);
  }
  t->stop = true;
  pthread_join(writer, NULL);
  ctl_close(&ctl);
  for (int64_t id = 0; id < TN_KEYS; id++)
    while (!tn_read(t, id))
      continue;
  assert_false(t->stale);
  use_fields_fill(t->client, "rows", TN_KEYS);
  /* Replicas without data have gone through the entries of this one, and all names that it had. */
  use_alike(t->client, "short");
  tn_not_copied(t, "short");
  assert_int_equal(vecdb_client_drop(t->client, "short", NULL, NULL), VECDB_OK);
}

/* ---- Moves ---- */

/* The node that takes the steps; 0: none. */
static uint32_t tn_controller(struct ctl *ctl) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *key = cache_find(view, DOC_PATH_CONTROL, 0, 0);
  uint32_t id = key ? (uint32_t)strtoul(key->text.data, NULL, 10) : 0;
  cache_give(view);
  return id;
}

/* Whether the shard is known here, and all its replicas have told of their stores. */
static bool tn_serves(struct ctl *ctl, uint32_t collection) {
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_shard *shard = cache_doc(view, DOC_PATH_SHARD, collection, 0);
  bool all = shard != NULL;
  for (uint32_t i = 0; all && i < shard->n_replicas; i++)
    all = !doc_uuid_none(shard->replicas[i].store);
  cache_give(view);
  return all;
}

static bool tn_moved(struct ctl *ctl, uint32_t collection) {
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_move *move = cache_doc(view, DOC_PATH_MOVE, collection, 0);
  bool done = move && move->step == DOC_MOVE_DONE;
  cache_give(view);
  return done;
}

/* What is told of the replicas of `rows`: none is behind once nothing is written, and there are
   more shards than so few rows need. */
static void tn_lag(struct ctl *ctl) {
  const char *line = "";
  char *text = NULL;
  size_t n, replicas = 0, even = 0, small = 0;
  while (even != 2 * TN_NODES || !small) {
    FILE *out = open_memstream(&text, &n);
    assert_true(ctl_lag(ctl, out));
    fclose(out);
    replicas = even = 0;
    for (line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
      bool rows = strncmp(line, "rows/", 5) == 0;
      const char *behind = rows ? strstr(line, "behind by ") : NULL;
      replicas += rows;
      even += behind && atoi(behind + 10) == 0;
    }
    small = strstr(text, "rows: shards are small") != NULL;
    free(text);
    assert_true(replicas <= 2 * TN_NODES);
  }
}

/* From the primary to the node that has no replica of the shard. */
static void tn_plan(struct ctl *ctl, uint32_t collection, uint32_t *source, uint32_t *target) {
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_shard *shard = cache_doc(view, DOC_PATH_SHARD, collection, 0);
  struct ctl_plan plan = {0};
  size_t written;
  assert_non_null(shard);
  *source = shard->primary;
  *target = TN_NODES * (TN_NODES + 1) / 2 - shard->replicas[0].node - shard->replicas[1].node;
  assert_int_equal(ctl_plan_move(view, collection, 0, *source, *target, &plan), CTL_OK);
  cache_give(view);
  assert_int_equal(ctl_write_plan(ctl, &plan, &written), CTL_OK);
  assert_int_equal(written, 1);
  ctl_plan_free(&plan);
}

/* A move is carried out by the nodes themselves, in the long run also when the one that takes the
   steps dies; rows are written meanwhile, and all are there when the source has gone. */
static void test_moved(void **state) {
  struct tn *t = *state;
  char why[ETCD_WHY];
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  uint32_t id, source, target;
  uint64_t rows = 0;
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  assert_int_equal(use_create(t->client, "moved", use_fields, 2), VECDB_OK);
  tn_described(t->client, "moved", &id);
  while (!tn_controller(&ctl) || !tn_serves(&ctl, id))
    ctl_turn(&ctl, ctl_now(&ctl) + 20000);
  assert_int_equal(use_put(t->client, "moved", (int64_t)rows++), VECDB_OK);
  tn_plan(&ctl, id, &source, &target);
  if (tn_long()) {
    int controller = (int)tn_controller(&ctl) - 1;
    tn_kill_node(t, controller);
    tn_start_node(t, controller);
  }
  while (!tn_moved(&ctl, id)) {
    rows += use_put(t->client, "moved", (int64_t)rows) == VECDB_OK;
    ctl_turn(&ctl, ctl_now(&ctl) + 20000);
  }
  const struct cache_view *view = ctl_view(&ctl);
  const struct doc_shard *shard = cache_doc(view, DOC_PATH_SHARD, id, 0);
  assert_true(doc_has(shard->isr, shard->n_isr, target));
  assert_false(doc_has(shard->isr, shard->n_isr, source));
  cache_give(view);
  while (use_put(t->client, "moved", (int64_t)rows))
    continue;
  assert_int_equal(use_count(t->client, "moved", NULL), rows + 1);
  tn_lag(&ctl);
  ctl_close(&ctl);
}

/* ---- Rows that differ ---- */

/* Where node 2 has the first shard's data. */
static void tn_data_of(struct tn *t, char *out, size_t room) {
  char path[160];
  unsigned number = 0;
  snprintf(path, sizeof path, "%s/node2/shards/1-0/current", t->etcd.folder);
  FILE *file = fopen(path, "r");
  if (file) {
    assert_int_equal(fscanf(file, "%u", &number), 1);
    fclose(file);
  }
  snprintf(out, room, "%s/node2/shards/1-0/data", t->etcd.folder);
  if (number)
    snprintf(out + strlen(out), room - strlen(out), "-%u", number);
}

/* One row of a database has another version than it should. */
static void tn_alter(const char *path) {
  vecdb *db = NULL;
  vecdb_collection *rows = NULL;
  vecdb_rows *found = NULL;
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  const int64_t wrong = -1;
  q.limit = 1;
  assert_int_equal(vecdb_open(path, NULL, &db, NULL), VECDB_OK);
  assert_int_equal(vecdb_collection_get(db, "rows", &rows, NULL), VECDB_OK);
  assert_int_equal(vecdb_query(rows, &q, &found, NULL), VECDB_OK);
  const int64_t id = vecdb_rows_value(found, 0, 0).as.integer;
  const vecdb_column columns[] = {{.field = "id", .data = &id},
                                  {.field = "version", .data = &wrong}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 2, 1};
  assert_int_equal(vecdb_update(rows, &batch, 0, NULL, NULL), VECDB_OK);
  vecdb_rows_free(found);
  vecdb_collection_release(rows);
  assert_int_equal(vecdb_close(db, NULL), VECDB_OK);
}

/* A node's row changes by itself, which no log and no checksum shows: a check finds it, the node is
   given the data anew, and after that all are equal. */
static void test_differs(void **state) {
  struct tn *t = *state;
  char why[ETCD_WHY], had[192], has[192], *text = NULL;
  size_t n;
  const struct timespec pause = {0, 2000000};
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  tn_await_sync(&ctl, 2, 2);
  tn_kill_node(t, 1);
  tn_data_of(t, had, sizeof had);
  tn_alter(had);
  tn_start_node(t, 1);
  tn_await_sync(&ctl, 2, 2);
  while (vecdb_client_check(t->client, "rows", NULL, NULL))
    continue;
  for (tn_data_of(t, has, sizeof has); !strcmp(had, has); tn_data_of(t, has, sizeof has))
    nanosleep(&pause, NULL);
  tn_await_sync(&ctl, 2, 2);
  FILE *out = open_memstream(&text, &n);
  assert_true(ctl_check(&ctl, "rows", out));
  fclose(out);
  assert_non_null(strstr(text, "rows/0: 3 of 3 replicas have the "));
  assert_non_null(strstr(text, "rows/1: 3 of 3 replicas have the "));
  free(text);
  ctl_close(&ctl);
}

/* ---- Requests that nobody waits for ---- */

enum { TN_LONG = 8, TN_MANY = 20000 };

/* Each row is nearer to the searches' queries than those before it: they take many seconds. */
static void tn_fill_many(vecdb_client *c) {
  static int64_t ids[TN_MANY];
  static float v[TN_MANY * 4];
  for (int64_t i = 0; i < TN_MANY; i++) {
    ids[i] = 100000 + i;
    v[i * 4] = (float)(TN_MANY - i);
  }
  const vecdb_column columns[] = {{.field = "id", .data = ids},
                                  {.field = "version", .data = ids},
                                  {.field = "v", .data = v, .dim = 4}};
  const vecdb_batch batch = {sizeof batch, sizeof *columns, columns, 3, TN_MANY};
  assert_int_equal(vecdb_client_upsert(c, "rows", &batch, NULL, NULL), VECDB_OK);
}

/* Searches end when they are cancelled: all others before the first one, as long as nobody cancels
   that; and none is answered. Numbers that nobody has, or has no more, do nothing. */
static void test_cancelled(void **state) {
  struct tn *t = *state;
  struct line l;
  tn_fill_many(t->client);
  line_open(&l, t->cluster, 1, t->ports[0]);
  for (uint64_t id = 1; id <= TN_LONG; id++)
    line_search(&l, id, 1);
  while (line_reads(&l) < TN_LONG)
    assert_int_equal(l.answers, 0);
  for (int twice = 0; twice < 2; twice++)
    for (uint64_t id = 2; id <= TN_LONG + 3; id++)
      line_cancel(&l, id);
  while (line_reads(&l) > 1)
    assert_int_equal(l.answers, 0);
  assert_int_equal(l.reads, 1);
  line_cancel(&l, 1);
  while (line_reads(&l))
    continue;
  assert_int_equal(l.answers, 0);
  line_close(&l);
}

/* ---- A cluster that is of a later version than a node ---- */

static bool tn_registered(struct ctl *ctl, uint32_t node) {
  const struct cache_view *view = ctl_view(ctl);
  bool is = cache_find(view, DOC_PATH_LIVE, node, 0) != NULL;
  cache_give(view);
  return is;
}

/* Such a node takes no part, and does once the cluster is of its version. */
static void test_too_old(void **state) {
  struct tn *t = *state;
  char why[ETCD_WHY], names[128];
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  tn_kill_node(t, 2);
  tn_of_version(t, &ctl, DOC_SPEAKS_LAST + 1);
  while (tn_registered(&ctl, 3)) /* until its lease has ended */
    ctl_turn(&ctl, ctl_now(&ctl) + 20000);
  tn_start_node(t, 2);
  vecdb_client *c = tn_client_of(t, 2);
  for (int i = 0; i < 100; i++) { /* by when it would be registered long since */
    tn_names(c, names, sizeof names);
    ctl_turn(&ctl, ctl_now(&ctl) + 20000);
  }
  assert_false(tn_registered(&ctl, 3));
  tn_of_version(t, &ctl, DOC_SPEAKS_LAST);
  while (!tn_registered(&ctl, 3))
    ctl_turn(&ctl, ctl_now(&ctl) + 20000);
  vecdb_client_close(c);
  ctl_close(&ctl);
}

int main(int argc, char **argv) {
  if (argc == 7 && strcmp(argv[1], "node") == 0)
    return tn_node(argv);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_collections), cmocka_unit_test(test_faults),
      cmocka_unit_test(test_large),       cmocka_unit_test(test_wiped),
      cmocka_unit_test(test_moved),       cmocka_unit_test(test_differs),
      cmocka_unit_test(test_cancelled),   cmocka_unit_test(test_too_old)};
  if (!et_installed()) {
    printf("skipped: etcd is not installed\n");
    return 0;
  }
  return cmocka_run_group_tests(tests, tn_setup, tn_teardown);
}
