/*
 * test_node_split.c - three nodes as processes, a real etcd: shards are split while rows are
 * written, read strongly, searched, counted and followed by an edge; one is given up; and while
 * whoever leads is killed. VDB_N: the long form. Skipped where etcd is not installed.
 */
#include "cluster/noderig.h"
#include "ctl/split.h"
#include "edge/edge.h"

/* A split of a shard of `rows`: its id, once it is planned. */
static uint64_t tn_split_begin(struct ctl *ctl, uint32_t shard) {
  uint64_t id = 0;
  for (bool held = false; !held; ctl_turn(ctl, ctl_now(ctl) + 20000)) {
    struct ctl_split split = {0};
    const struct cache_view *view = ctl_view(ctl);
    enum ctl_status status = ctl_plan_split(view, 1, shard, NULL, &split);
    cache_give(view);
    if (!status)
      status = ctl_write_split(ctl, &split, &held);
    /* Of a node that has not registered yet nobody knows what it can do. */
    assert_true(!status || status == CTL_NOT_ALLOWED || status == CTL_OLDER);
    id = split.doc.id;
    doc_split_free(&split.doc);
  }
  return id;
}

/* How far it is: its step, and before the first one is over how many have copies; the shard's
   primary, and the new shard. */
struct tn_split {
  enum doc_split_step step;
  uint32_t forks, primary, child;
};

static struct tn_split tn_split_look(struct ctl *ctl, uint32_t shard) {
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, 1, shard);
  const struct doc_shard *doc = cache_doc(view, DOC_PATH_SHARD, 1, shard);
  assert_non_null(doc);
  struct tn_split s = {.primary = doc->primary};
  if (split)
    s = (struct tn_split){split->step, split->n_forks, doc->primary, split->child};
  cache_give(view);
  return s;
}

/* Rows are changed all the time, and there are always TN_KEYS of them: for whoever has seen them
   all once, as a replica may be behind by more than it takes to write them. */
static void *tn_counter(void *arg) {
  struct tn *t = arg;
  static const float query[4] = {1, 2, 3};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.session = vecdb_client_session_new();
  assert_non_null(call.session);
  call.level = VECDB_CLIENT_STRONG; /* the first time */
  while (!t->stop) {
    vecdb_search_params p = VECDB_SEARCH_PARAMS_INIT;
    vecdb_client_answer *answer = NULL;
    uint64_t n = 0, seen = 0;
    p.queries = query;
    p.k = 2 * TN_KEYS;
    if (vecdb_client_count(t->client, "rows", NULL, &n, &call, NULL) ||
        vecdb_client_search(t->client, "rows", &p, &call, &answer, NULL)) {
      t->failed++;
      continue;
    }
    size_t hits = vecdb_client_answer_rows(answer, 0);
    for (size_t i = 0; i < hits; i++)
      seen |= UINT64_C(1) << vecdb_client_answer_key(answer, 0, i).as.integer;
    vecdb_client_answer_free(answer);
    t->stale = t->stale || n != TN_KEYS || hits != TN_KEYS || seen != (UINT64_C(1) << TN_KEYS) - 1;
    t->reads++;
    call.level = VECDB_CLIENT_SESSION;
    tn_pace(5); /* the others want to be heard, too */
  }
  vecdb_client_session_free(call.session);
  return NULL;
}

/* Until the split has come so far; whoever leads is killed then, and comes back. */
static void tn_split_crash(struct tn *t, struct ctl *ctl, uint32_t shard, int when) {
  struct tn_split s = tn_split_look(ctl, shard);
  for (; when && s.step == DOC_SPLIT_PLANNED && (when > 1 || !s.forks);
       s = tn_split_look(ctl, shard))
    ctl_turn(ctl, ctl_now(ctl) + 1000);
  tn_kill_node(t, (int)s.primary - 1);
  tn_start_node(t, (int)s.primary - 1);
}

/* A shard that is split, with whoever leads killed at `crash`: 0 at once, 1 when there is a copy, 2
   when it is being released; below 0 nothing is, and then no request may fail. */
static void tn_split(struct tn *t, struct ctl *ctl, uint32_t shard, int crash) {
  unsigned failed = t->failed;
  uint64_t id = tn_split_begin(ctl, shard);
  if (crash >= 0)
    tn_split_crash(t, ctl, shard, crash);
  while (tn_split_look(ctl, shard).step != DOC_SPLIT_DONE)
    ctl_turn(ctl, ctl_now(ctl) + 20000);
  tn_await(t, TN_STEP);
  const struct cache_view *view = ctl_view(ctl);
  const struct doc_slots *slots = cache_doc(view, DOC_PATH_SLOTS, 1, 0);
  uint32_t child = tn_split_look(ctl, shard).child, n = 0;
  for (uint32_t i = 0; i < slots->n; i++)
    n += slots->shard[i] == child;
  assert_true(n > 0 && id > 0);
  assert_int_equal(doc_slots_generation(slots, child), 1);
  cache_give(view);
  assert_true(crash >= 0 || t->failed == failed);
}

/* A split that is given up when some have their copies, and one cannot make its own: what is in the
   way there is no folder. Nothing of it is left, and no request fails. */
static void tn_split_cancel(struct tn *t, struct ctl *ctl, uint32_t shard) {
  const unsigned failed = t->failed;
  char path[TN_NODES][128], name[64];
  for (int i = 0; i < TN_NODES; i++) {
    snprintf(name, sizeof name, "node%d/shards/1-2", i + 1);
    et_path(&t->etcd, name, path[i]);
  }
  int other = tn_split_look(ctl, shard).primary == 3 ? 0 : 2;
  FILE *obstacle = fopen(path[other], "wx");
  assert_true(obstacle && !fclose(obstacle));
  tn_split_begin(ctl, shard);
  struct tn_split s = tn_split_look(ctl, shard);
  for (; s.forks < 2; s = tn_split_look(ctl, shard))
    ctl_turn(ctl, ctl_now(ctl) + 1000);
  assert_true(s.child == 2 && s.step == DOC_SPLIT_PLANNED);
  assert_int_equal(ctl_cancel_split(ctl, 1, shard), CTL_OK);
  assert_int_equal(remove(path[other]), 0);
  for (int i = 0; i < TN_NODES; i++)
    while (access(path[i], F_OK) == 0)
      ctl_turn(ctl, ctl_now(ctl) + 20000);
  tn_await(t, TN_STEP);
  assert_true(t->failed == failed);
  assert_int_equal(tn_split_look(ctl, shard).step, DOC_SPLIT_CANCELLED);
}

/* ---- An edge ---- */

/* The version of each row here; false: a row is not. */
static bool tn_edge_rows(vecdb *db, int64_t *versions) {
  static const char *const names[] = {"version"};
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_collection *c;
  vecdb_rows *rows = NULL;
  q.fields = names;
  q.n_fields = 1;
  if (vecdb_collection_get(db, "rows", &c, NULL))
    return false;
  bool whole = !vecdb_query(c, &q, &rows, NULL) && vecdb_rows_count(rows) == TN_KEYS;
  for (size_t i = 0; whole && i < TN_KEYS; i++)
    versions[vecdb_rows_value(rows, i, 0).as.integer] = vecdb_rows_value(rows, i, 1).as.integer;
  vecdb_rows_free(rows);
  vecdb_collection_release(c);
  return whole;
}

/* Follows the rows: a look that is through has what was acknowledged before it; and once they are
   here, all of them are, whatever happens to shards. */
static void *tn_edge(void *arg) {
  struct tn *t = arg;
  char cluster[33], nodes[64];
  struct edge_config config = {.collections = "rows", .poll_ms = 600000};
  config.origin = (vecdb_client_options)VECDB_CLIENT_OPTIONS_INIT;
  snprintf(nodes, sizeof nodes, "2@127.0.0.1:%d", t->ports[1]);
  doc_uuid_text(t->cluster, cluster);
  config.origin.nodes = nodes;
  config.origin.cluster = cluster;
  assert_int_equal(vecdb_open(":memory:", NULL, &config.db, NULL), VECDB_OK);
  struct edge *edge = edge_open(&config, NULL);
  assert_non_null(edge);
  for (bool whole = false, last = false; !last; tn_pace(20)) {
    int64_t least[TN_KEYS], versions[TN_KEYS];
    last = t->stop;
    for (int i = 0; i < TN_KEYS; i++)
      least[i] = t->acked[i];
    bool fresh = !edge_sync(edge, NULL);
    if (!fresh && !whole)
      continue;
    bool all = tn_edge_rows(config.db, versions);
    whole |= fresh;
    for (int i = 0; i < TN_KEYS && all && fresh; i++)
      all = versions[i] >= least[i] && versions[i] <= t->tried[i];
    t->stale = t->stale || !all;
  }
  edge_close(edge);
  vecdb_close(config.db, NULL);
  return NULL;
}

static uint64_t tn_count(vecdb_client *c) {
  vecdb_client_call strong = VECDB_CLIENT_CALL_INIT;
  uint64_t n = UINT64_MAX;
  strong.level = VECDB_CLIENT_STRONG;
  assert_int_equal(vecdb_client_count(c, "rows", NULL, &n, &strong, NULL), VECDB_OK);
  return n;
}

/* Shards are split while rows are written, searched, counted and read strongly: no row is lost,
   none is there twice, and no request fails where no node does. A split that is given up leaves
   nothing behind. */
static void test_split(void **state) {
  struct tn *t = *state;
  char why[ETCD_WHY];
  pthread_t threads[4];
  struct ctl ctl = {0};
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  assert_int_equal(ctl_open(&ctl, etcd_open(&config, why), t->cluster), CTL_OK);
  tn_await_sync(&ctl, 1, 2);
  tn_await_sync(&ctl, 2, 2);
  tn_await_sync(&ctl, 3, 2);
  t->stop = false;
  t->failed = 0;
  assert_int_equal(pthread_create(&threads[0], NULL, tn_writer, t), 0);
  assert_int_equal(pthread_create(&threads[1], NULL, tn_reader, t), 0);
  tn_await(t, TN_KEYS / TN_BATCH); /* each row is there */
  assert_int_equal(pthread_create(&threads[2], NULL, tn_counter, t), 0);
  assert_int_equal(pthread_create(&threads[3], NULL, tn_edge, t), 0);
  tn_split_cancel(t, &ctl, 0);
  for (int i = 0; i < (tn_long() ? 2 : 1); i++)
    tn_split(t, &ctl, 0, -1);
  for (int crash = 0; crash < (tn_long() ? 3 : 1); crash++)
    tn_split(t, &ctl, 1, tn_long() ? crash : 1);
  t->stop = true;
  for (int i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  for (int64_t id = 0; id < TN_KEYS; id++)
    while (!tn_read(t, id))
      continue;
  assert_false(t->stale);
  assert_int_equal(tn_count(t->client), TN_KEYS);
  ctl_close(&ctl);
}

int main(int argc, char **argv) {
  if (argc == 7 && strcmp(argv[1], "node") == 0)
    return tn_node(argv);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_split)};
  if (!et_installed()) {
    printf("skipped: etcd is not installed\n");
    return 0;
  }
  return cmocka_run_group_tests(tests, tn_setup, tn_teardown);
}
