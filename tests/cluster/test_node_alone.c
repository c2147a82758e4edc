/*
 * test_node_alone.c - one node in this thread, on the model of the metadata store: no connections,
 * and time that passes when the test says so. What it does with folders that it finds, and with
 * steps of a split that cannot be taken.
 */
#include <unistd.h>

#include "cluster/metatest.h"
#include "ctl/create.h"
#include "ctl/split.h"
#include "node/node_int.h"
#include "place/route.h"
#include "router/map.h"

enum { TA_LOG = 1 << 16, TA_TURNS = 400, TA_SLOTS = 64 };

static const char ta_schema[] =
    "{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
    "{\"name\": \"time\", \"type\": \"INT64\"},"
    "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2, \"metric\": \"L2\"}]}";

struct ta {
  struct model_server *server;
  struct ctl ctl; /* another one, who plans, and breaks documents */
  struct node *n;
  bool removing; /* nobody tells the node that a folder is removed */
  char folder[32];
  char log[TA_LOG];
};

/* ---- The node ---- */

static void ta_log(void *arg, const char *line) {
  struct ta *t = arg;
  size_t at = strlen(t->log);
  snprintf(t->log + at, TA_LOG - at, "%s\n", line);
}

static unsigned ta_said(const struct ta *t, const char *text) {
  unsigned n = 0;
  for (const char *at = t->log; (at = strstr(at, text)); at++)
    n++;
  return n;
}

static void ta_changed(void *arg, const struct cache_entry *old, const struct cache_entry *now) {
  (void)old;
  (void)now;
  ((struct node *)arg)->look = true;
}

static void ta_start(struct ta *t) {
  char why[NODE_WHY];
  struct node *n = t->n = calloc(1, sizeof *n);
  assert_non_null(n);
  n->config = (struct node_config){
      .id = 1, .cluster = t->ctl.cluster, .data = t->folder, .log = ta_log, .log_arg = t};
  n->lock = n->epoll = n->stop = -1;
  n->now_us = ctl_now(&t->ctl);
  n->born = 1;
  assert_true(node_dir_open(n, why));
  const struct cache_config cache = {
      .cluster = n->config.cluster, .changed = ta_changed, .arg = n};
  n->meta = model_connect(t->server);
  n->cache = cache_open(n->meta, &cache);
  n->work = work_open(1);
  n->syncs = work_open(1);
  n->admin = work_open(1);
  assert_true(n->meta && n->cache && n->work && n->syncs && n->admin);
}

static bool ta_busy(const struct ta *t) {
  bool busy = t->n->removing && !t->removing;
  for (const struct node_replica *r = t->n->replicas; r; r = r->next)
    busy |= r->syncing || r->reading || (r->machine && !machine_idle(r->machine));
  return busy;
}

static void ta_threads(struct ta *t) {
  struct node *n = t->n;
  while (ta_busy(t)) {
    struct pollfd fds[] = {{work_fd(n->work), POLLIN, 0},
                           {work_fd(n->syncs), POLLIN, 0},
                           {work_fd(n->admin), POLLIN, 0}};
    poll(fds, t->removing ? 2 : 3, -1);
    work_run(n->syncs);
    work_run(n->work);
    if (!t->removing)
      work_run(n->admin);
  }
}

/* As node_run goes round, in two halves: what the store says, and what the node does about it. */
static void ta_hear(struct ta *t) {
  meta_run(t->n->meta, t->n->now_us);
  cache_run(t->n->cache, t->n->now_us);
}

static void ta_tick(struct ta *t) {
  if (cache_state(t->n->cache).loaded)
    node_live_tick(t->n);
  node_replicas_tick(t->n);
  node_replicas_look(t->n);
  ta_threads(t);
  t->n->now_us += NODE_TICK_US;
}

static void ta_turns(struct ta *t, int turns) {
  while (turns--) {
    ta_hear(t);
    ta_tick(t);
  }
}

static bool ta_serves(const struct ta *t, uint32_t shard) {
  struct node_replica *r = node_replica_of(t->n, 1, shard);
  struct rep_info info = {0};
  if (r && r->rep)
    rep_info(r->rep, &info);
  return info.serving;
}

static void ta_await_serving(struct ta *t, uint32_t shard) {
  for (int i = 0; !ta_serves(t, shard); i++) {
    assert_true(i < TA_TURNS);
    ta_turns(t, 1);
  }
}

/* ---- Documents ---- */

static const struct cache_view *ta_view(struct ta *t) {
  t->ctl.now_us = t->n && t->n->now_us > t->ctl.now_us ? t->n->now_us : t->ctl.now_us;
  while (cache_state(t->ctl.cache).revision < model_revision(t->server))
    ctl_turn(&t->ctl, ctl_now(&t->ctl) + 1000);
  return ctl_view(&t->ctl);
}

static enum doc_split_step ta_step(struct ta *t) {
  const struct cache_view *view = ta_view(t);
  const struct doc_split *doc = cache_doc(view, DOC_PATH_SPLIT, 1, 0);
  assert_non_null(doc);
  enum doc_split_step step = doc->step;
  cache_give(view);
  return step;
}

static bool ta_shard_there(struct ta *t, uint32_t shard) {
  const struct cache_view *view = ta_view(t);
  bool there = cache_find(view, DOC_PATH_SHARD, 1, shard) != NULL;
  cache_give(view);
  return there;
}

/* Puts the document whatever it was; gives what it was, to be freed. */
static char *ta_put(struct ta *t, enum doc_kind kind, uint32_t b, const char *text) {
  const struct cache_view *view = ta_view(t);
  const struct cache_entry *e = cache_find(view, kind, 1, b);
  assert_non_null(e);
  char *old = mt_copy(e->text);
  int64_t mod = e->mod;
  bool held;
  cache_give(view);
  assert_int_equal(
      ctl_put(&t->ctl, doc_path(t->ctl.cluster, kind, 1, b), text, strlen(text), mod, &held),
      CTL_OK);
  assert_true(held);
  for (int i = 0; i < 3; i++)
    ta_hear(t);
  return old;
}

static void ta_put_back(struct ta *t, enum doc_kind kind, uint32_t b, char *text) {
  free(ta_put(t, kind, b, text));
  free(text);
}

static void ta_split(struct ta *t) {
  struct ctl_split split;
  bool held = false;
  const struct cache_view *view = ta_view(t);
  assert_int_equal(ctl_plan_split(view, 1, 0, NULL, &split), CTL_OK);
  cache_give(view);
  assert_int_equal(ctl_write_split(&t->ctl, &split, &held), CTL_OK);
  assert_true(held);
  doc_split_free(&split.doc);
}

/* Until the document says so, as the node hears, before it does anything about it. */
static void ta_await_step(struct ta *t, enum doc_split_step step) {
  for (int i = 0;; i++) {
    assert_true(i < TA_TURNS);
    ta_hear(t);
    if (ta_step(t) == step)
      return;
    ta_tick(t);
  }
}

/* A cluster of a node, with a collection of one shard that has three ranges. */
static void ta_begin(struct ta *t) {
  struct doc_key sample[] = {
      {DOC_KEY_INT, 10, 0, ""}, {DOC_KEY_INT, 20, 0, ""}, {DOC_KEY_INT, 30, 0, ""}};
  const struct doc_node node = {.id = 1, .name = "n1", .address = "127.0.0.1:1", .weight = 100};
  struct doc_coll coll = {.name = "rows", .field = "time", .policy = DOC_RANGE,
                          .slots = TA_SLOTS, .window = 1, .shards = 1, .replicas = 1,
                          .min_isr = 1, .schema_version = 1, .index_version = 1};
  struct doc_splits ranges;
  memset(t, 0, sizeof *t);
  t->server = model_new(1);
  strcpy(t->folder, "/tmp/vecdb-alone-XXXXXX");
  assert_non_null(mkdtemp(t->folder));
  assert_int_equal(ctl_open(&t->ctl, model_connect(t->server), (struct doc_uuid){{9}}), CTL_OK);
  assert_int_equal(ctl_init(&t->ctl, "alone"), CTL_OK);
  assert_int_equal(ctl_add_node(&t->ctl, &node), CTL_OK);
  coll.schema = strdup(ta_schema);
  assert_true(place_splits(sample, 3, 3, TA_SLOTS, &ranges));
  assert_int_equal(ctl_create(&t->ctl, &coll, &ranges), CTL_OK);
  doc_splits_free(&ranges);
  doc_coll_free(&coll);
  ta_start(t);
}

static void ta_end(struct ta *t) {
  node_close(t->n);
  ctl_close(&t->ctl);
  model_free(t->server);
  files_remove_tree(t->folder);
}

/* ---- Folders ---- */

/* Of a shard's folder; `out` has 64 bytes. */
static const char *ta_path(const struct ta *t, unsigned shard, const char *name, char *out) {
  snprintf(out, 64, "%s/shards/1-%u/%s", t->folder, shard, name);
  return out;
}

static void ta_file(const struct ta *t, unsigned shard, const char *name, const char *text) {
  char path[64];
  assert_int_equal(files_make_dir(files_system(), ta_path(t, shard, "", path)), 0);
  FILE *file = fopen(ta_path(t, shard, name, path), "w");
  assert_true(file && fputs(text, file) > 0 && !fclose(file));
}

static bool ta_there(const struct ta *t, const char *name) {
  char path[64];
  return access(ta_path(t, 0, name, path), F_OK) == 0;
}

/* A copy for a split is the shard's past only where the record names this node with this disk. One
   of a split that came to nothing goes first, and while a folder goes nothing is opened. */
static void test_stale(void **state) {
  struct ta t;
  (void)state;
  ta_begin(&t);
  ta_file(&t, 0, "forked", "7 1 1");
  ta_file(&t, 0, "witness", "7 1 1");
  t.removing = true;
  while (!t.n->removing) {
    assert_null(t.n->replicas);
    ta_turns(&t, 1);
  }
  struct pollfd removed = {work_fd(t.n->admin), POLLIN, 0};
  poll(&removed, 1, -1);
  assert_false(ta_there(&t, "forked"));
  ta_turns(&t, 40);
  assert_null(t.n->replicas);
  t.removing = false;
  ta_await_serving(&t, 0);
  assert_false(ta_there(&t, "forked") || ta_there(&t, "witness"));
  ta_turns(&t, 40); /* the record has this disk by now */
  node_close(t.n);
  ta_file(&t, 0, "forked", "7 1 1");
  ta_file(&t, 0, "witness", "7 1 1");
  ta_start(&t);
  ta_await_serving(&t, 0);
  assert_false(ta_there(&t, "forked"));
  assert_true(ta_there(&t, "witness"));
  ta_end(&t);
}

/* ---- Schemas ---- */

/* A document whose history does not say how its schema came to be: that is said, once. */
static void test_no_history(void **state) {
  struct ta t;
  struct doc_coll doc;
  char why[DOC_TEXT_MAX];
  size_t n;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  char *text = ta_put(&t, DOC_PATH_COLL, 0, "{");
  assert_int_equal(doc_coll_read(meta_text(text), &doc, why), DOC_OK);
  doc.history = strdup("{\"from\": 1}");
  doc.schema_version++;
  ta_put_back(&t, DOC_PATH_COLL, 0, doc_coll_write(&doc, &n));
  ta_turns(&t, 50);
  assert_int_equal(ta_said(&t, "does not say how the schema became that of version 2"), 1);
  free(doc.history);
  doc.history = NULL; /* by new fields alone */
  ta_put_back(&t, DOC_PATH_COLL, 0, doc_coll_write(&doc, &n));
  ta_turns(&t, 50);
  assert_int_equal(machine_schema(node_replica_of(t.n, 1, 0)->machine), 2);
  doc_coll_free(&doc);
  free(text);
  ta_end(&t);
}

/* ---- Rows that expire ---- */

static int64_t ta_wall; /* the time of day, in milliseconds */

static int64_t ta_wall_ms(void) { return ta_wall; }

static void ta_row(struct ta *t, int64_t id, int64_t time) {
  static uint64_t count;
  const float v[2] = {1, 2};
  const struct wire_column columns[] = {
      {.name = "id", .type = VECDB_INT64, .data = &id},
      {.name = "time", .type = VECDB_INT64, .data = &time},
      {.name = "v", .type = VECDB_FLOAT_VECTOR, .dim = 2, .data = v}};
  const struct wire_message m = {
      .kind = WIRE_WRITE,
      .has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_BATCH),
      .write = {.client = 5, .count = ++count, .kind = WIRE_UPSERT},
      .rows = {1, 3, columns, NULL}};
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(&m, &out);
  const struct rep_event ev = {.type = REP_EV_WRITE,
                               .op = {5, count},
                               .data = out.data,
                               .n = (uint32_t)out.n};
  node_step(node_replica_of(t->n, 1, 0), &ev);
  wire_out_free(&out);
}

/* The keys that there are after some seconds, as digits in ascending order. */
static void ta_has(struct ta *t, const char *want) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *rows = NULL;
  ta_turns(t, 60);
  assert_int_equal(vecdb_query(machine_rows(node_replica_of(t->n, 1, 0)->machine), &q, &rows,
                               NULL), VECDB_OK);
  assert_int_equal(vecdb_rows_count(rows), strlen(want));
  for (size_t i = 0; want[i]; i++)
    assert_int_equal(vecdb_rows_value(rows, i, 0).as.integer, want[i] - '0');
  vecdb_rows_free(rows);
}

static void ta_expiry(struct ta *t, const char *expiry, const char *history, uint64_t version) {
  struct doc_coll doc;
  char why[DOC_TEXT_MAX];
  size_t n;
  char *text = ta_put(t, DOC_PATH_COLL, 0, "{");
  assert_int_equal(doc_coll_read(meta_text(text), &doc, why), DOC_OK);
  free(text);
  free(doc.expiry);
  free(doc.history);
  doc.expiry = expiry ? strdup(expiry) : NULL;
  doc.history = history ? strdup(history) : NULL;
  doc.schema_version = version;
  ta_put_back(t, DOC_PATH_COLL, 0, doc_coll_write(&doc, &n));
  doc_coll_free(&doc);
}

/* Rows go when the primary's clock says so, wherever it leaps, and what is gone is gone; not while
   the document means another schema than the rows have. */
static void test_expired(void **state) {
  static const char expiry[] = "{\"field\": \"time\", \"ttl_ms\": 100}";
  struct ta t;
  (void)state;
  ta_begin(&t);
  t.n->config.wall_ms = ta_wall_ms;
  ta_wall = 1000;
  ta_await_serving(&t, 0);
  ta_row(&t, 1, 900);
  ta_row(&t, 2, 901);
  ta_row(&t, 3, 5000);
  ta_has(&t, "123");
  ta_expiry(&t, expiry, NULL, 1);
  ta_has(&t, "23");
  ta_wall = 10; /* behind all that was removed */
  ta_row(&t, 1, 900);
  ta_has(&t, "123");
  ta_wall = 1001;
  ta_has(&t, "3");
  ta_wall = INT64_MAX; /* years ahead */
  ta_row(&t, 4, 1);
  ta_has(&t, "");
  ta_row(&t, 5, 1);
  ta_expiry(&t, expiry, "{\"from\": 1}", 2);
  ta_row(&t, 6, 1);
  ta_has(&t, "56");
  ta_expiry(&t, NULL, NULL, 1);
  ta_has(&t, "56");
  ta_expiry(&t, expiry, NULL, 1);
  ta_has(&t, "");
  ta_end(&t);
}

/* ---- Splits ---- */

/* A copy is not made where an earlier split's shard still lies, or is open. */
static void test_before(void **state) {
  struct ta t;
  char path[64];
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  ta_split(&t);
  for (int i = 0; i < 3; i++)
    ta_hear(&t);
  const struct cache_view *view = cache_take(t.n->cache);
  const struct doc_split *doc = cache_doc(view, DOC_PATH_SPLIT, 1, 0);
  assert_non_null(doc);
  assert_false(node_gone_before(t.n, view, doc));
  ta_file(&t, 1, "forked", "0 1 1");
  assert_false(node_gone_before(t.n, view, doc)); /* its own */
  ta_file(&t, 1, "forked", "0 0 1");
  assert_true(node_gone_before(t.n, view, doc));
  ta_threads(&t);
  assert_int_not_equal(access(ta_path(&t, 1, "", path), F_OK), 0);
  assert_false(node_gone_before(t.n, view, doc));
  ta_await_step(&t, DOC_SPLIT_DONE);
  assert_true(node_replica_of(t.n, 1, 1) && node_gone_before(t.n, view, doc));
  cache_give(view);
  ta_end(&t);
}

/* Documents that cannot be read when the log, and then the map, is to say what they say: the log
   does not, replicas live on, it is said, and the split goes on when they can be read again. */
static void test_broken(void **state) {
  struct ta t;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  struct node_replica *r = node_replica_of(t.n, 1, 0);
  ta_split(&t);
  ta_await_step(&t, DOC_SPLIT_RELEASING);
  char *text = ta_put(&t, DOC_PATH_SPLITS, 0, "{");
  ta_turns(&t, 50);
  assert_true(ta_serves(&t, 0) && !r->stopped && machine_split(r->machine).fenced);
  assert_in_range(ta_said(&t, "split 1 cannot go on: the split's documents"), 2, 4);
  ta_put_back(&t, DOC_PATH_SPLITS, 0, text);
  for (int i = 0; machine_split(r->machine).fenced; i++) {
    assert_true(i < TA_TURNS);
    ta_turns(&t, 1);
  }
  text = ta_put(&t, DOC_PATH_SLOTS, 0, "{");
  ta_turns(&t, 50);
  assert_int_equal(ta_said(&t, "a step of its split is not written: a document"), 1);
  assert_int_equal(ta_step(&t), DOC_SPLIT_RELEASING);
  ta_put_back(&t, DOC_PATH_SLOTS, 0, text);
  ta_await_step(&t, DOC_SPLIT_DONE);
  ta_await_serving(&t, 1);
  assert_true(machine_split(node_replica_of(t.n, 1, 1)->machine).generation == 1);
  ta_end(&t);
}

/* Before anything is in the log it is given up. */
static void test_unreadable(void **state) {
  struct ta t;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  ta_split(&t);
  free(ta_put(&t, DOC_PATH_SPLITS, 0, "{"));
  ta_await_step(&t, DOC_SPLIT_CANCELLED);
  assert_int_equal(machine_split(node_replica_of(t.n, 1, 0)->machine).id, 0);
  ta_end(&t);
}

/* Who was made to lead without the fence: the lost log may have had the release, so the shard is
   divided with the copies that there are. Until it can be, nothing is written to it, and nobody
   gives the split up: the new shard may have been written. */
static void test_forced(void **state) {
  struct ta t;
  struct doc_split doc;
  char why[DOC_TEXT_MAX];
  size_t n;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  ta_split(&t);
  const struct cache_view *view = ta_view(&t);
  const struct cache_entry *e = cache_find(view, DOC_PATH_SPLIT, 1, 0);
  assert_int_equal(doc_split_read(e->text, &doc, why), DOC_OK);
  cache_give(view);
  doc.step = DOC_SPLIT_RELEASING;
  doc.forks[0] = (struct doc_replica){1, t.n->store};
  doc.n_forks = 1;
  ta_put_back(&t, DOC_PATH_SPLIT, 0, doc_split_write(&doc, &n));
  char *text = ta_put(&t, DOC_PATH_SPLITS, 0, "{");
  ta_turns(&t, 50);
  assert_int_equal(ta_step(&t), DOC_SPLIT_RELEASING);
  assert_true(node_split_still(node_replica_of(t.n, 1, 0)));
  assert_false(machine_split(node_replica_of(t.n, 1, 0)->machine).fenced);
  ta_put_back(&t, DOC_PATH_SPLITS, 0, text);
  ta_await_step(&t, DOC_SPLIT_DONE);
  assert_int_equal(machine_split(node_replica_of(t.n, 1, 0)->machine).generation, 1);
  ta_await_serving(&t, 1);
  doc_split_free(&doc);
  ta_end(&t);
}

/* An entry that replication does not take is not offered with every tick. */
static void test_refused(void **state) {
  struct ta t;
  struct doc_shard doc;
  char why[DOC_TEXT_MAX];
  size_t n;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  ta_turns(&t, 10);
  char *text = ta_put(&t, DOC_PATH_SHARD, 0, "{");
  assert_int_equal(doc_shard_read(meta_text(text), &doc, why), DOC_OK);
  doc.min_isr = 2; /* more than there are */
  char *more = doc_shard_write(&doc, &n);
  ta_put_back(&t, DOC_PATH_SHARD, 0, more);
  ta_turns(&t, 10);
  assert_true(ta_serves(&t, 0));
  ta_split(&t);
  ta_turns(&t, 100);
  assert_in_range(ta_said(&t, "split 1, writes wait"), 10, 30);
  ta_put_back(&t, DOC_PATH_SHARD, 0, text);
  ta_await_step(&t, DOC_SPLIT_DONE);
  ta_end(&t);
}

/* The metadata store is away while nothing is written: the log gives the split up, and the document
   follows, also one that says by then that nobody may; `late`: that was written, and not heard of,
   so that the new shard is opened and goes again. The next split is done. */
static void ta_cut_off(bool late, bool learns) {
  static const struct model_faults deaf = {.answer_lost = 10000, .watch_lag_us = 60000000};
  struct ta t;
  char path[64];
  ta_begin(&t);
  ta_await_serving(&t, 0);
  struct node_replica *r = node_replica_of(t.n, 1, 0);
  ta_split(&t);
  for (int i = 0; !machine_split(r->machine).fenced; i++) {
    assert_true(i < TA_TURNS);
    ta_turns(&t, 1);
  }
  if (late) {
    const struct cache_view *view = NULL;
    for (uint32_t forks = 0; !forks; cache_give(view)) {
      ta_turns(&t, 1);
      view = ta_view(&t);
      forks = ((const struct doc_split *)cache_doc(view, DOC_PATH_SPLIT, 1, 0))->n_forks;
    }
    model_set_faults(t.server, &deaf);
    ta_turns(&t, 6);
  }
  model_set_cut(t.n->meta, true);
  model_set_faults(t.server, &(struct model_faults){0});
  ta_turns(&t, 60);
  assert_true(machine_split(r->machine).fenced && ta_serves(&t, 0));
  ta_turns(&t, 140);
  assert_false(machine_split(r->machine).fenced || node_split_still(r));
  assert_int_equal(ta_step(&t), late ? DOC_SPLIT_RELEASING : DOC_SPLIT_PLANNED);
  if (learns) /* it has no copy */
    assert_int_equal(remove(ta_path(&t, 1, "forked", path)), 0);
  model_set_cut(t.n->meta, false);
  ta_await_step(&t, DOC_SPLIT_CANCELLED);
  ta_turns(&t, 100);
  assert_true(machine_split(r->machine).generation == 0 && !node_split_still(r));
  assert_false(ta_shard_there(&t, 1) || node_replica_of(t.n, 1, 1));
  assert_int_not_equal(access(ta_path(&t, 1, "", path), F_OK), 0);
  ta_split(&t);
  ta_await_step(&t, DOC_SPLIT_DONE);
  assert_true(machine_split(r->machine).generation == 1);
  ta_end(&t);
}

/* The collection as the node tells it; router_map_drop. */
static struct router_map *ta_map(struct ta *t) {
  char why[DOC_TEXT_MAX];
  struct wire_mem mem = {0};
  struct wire_message m = {0};
  const struct cache_view *view = cache_take(t->n->cache);
  assert_true(node_map(t->n, view, "rows", &mem, &m));
  struct router_map *map = router_map_make(m.documents, m.n_documents, why);
  assert_non_null(map);
  wire_mem_free(&mem);
  cache_give(view);
  return map;
}

/* The new shard leads itself before the rows change hands. They do also when the metadata store is
   away from then on for a minute: both shards are served, and the node tells whose which rows are.
   When the store is back, the documents say the same. */
static void test_away(void **state) {
  struct ta t;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  struct node_replica *r = node_replica_of(t.n, 1, 0);
  ta_split(&t);
  ta_await_serving(&t, 1);
  assert_true(machine_split(r->machine).fenced);
  struct router_map *map = ta_map(&t);
  assert_int_equal(map->n_shards, 1);
  router_map_drop(map);
  model_set_cut(t.n->meta, true);
  ta_turns(&t, 1200);
  assert_int_equal(ta_step(&t), DOC_SPLIT_RELEASING);
  assert_true(ta_serves(&t, 0) && ta_serves(&t, 1));
  assert_true(machine_split(r->machine).generation == 1 && !node_split_still(r));
  map = ta_map(&t);
  assert_int_equal(map->coll.shards, 2);
  for (uint32_t shard = 0; shard < 2; shard++)
    assert_int_equal(doc_slots_generation(&map->slots, shard), 1);
  model_set_cut(t.n->meta, false);
  ta_await_step(&t, DOC_SPLIT_DONE);
  const struct cache_view *view = ta_view(&t);
  const struct doc_slots *slots = cache_doc(view, DOC_PATH_SLOTS, 1, 0);
  const struct doc_split *split = cache_doc(view, DOC_PATH_SPLIT, 1, 0);
  for (uint32_t i = 0; i < TA_SLOTS; i++) {
    assert_int_equal(map->slots.shard[i], split->moved[i]);
    assert_int_equal(slots->shard[i], split->moved[i]);
  }
  cache_give(view);
  router_map_drop(map);
  ta_end(&t);
}

/* Rows do not change hands before the new shard leads itself, but it is not waited for for ever. */
static void test_held(void **state) {
  struct ta t;
  (void)state;
  ta_begin(&t);
  ta_await_serving(&t, 0);
  struct node_replica *r = node_replica_of(t.n, 1, 0);
  ta_split(&t);
  ta_await_step(&t, DOC_SPLIT_RELEASING);
  t.removing = t.n->removing = true; /* nothing is opened meanwhile */
  ta_turns(&t, 100);
  assert_true(machine_split(r->machine).fenced && ta_shard_there(&t, 1));
  ta_await_step(&t, DOC_SPLIT_DONE);
  t.removing = t.n->removing = false;
  t.n->look = true;
  ta_await_serving(&t, 1);
  ta_end(&t);
}

static void test_cut_off(void **state) {
  (void)state;
  ta_cut_off(false, false);
}

static void test_cut_off_late(void **state) {
  (void)state;
  ta_cut_off(true, false);
  ta_cut_off(true, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_stale), cmocka_unit_test(test_broken),
                                     cmocka_unit_test(test_no_history),
                                     cmocka_unit_test(test_expired),
                                     cmocka_unit_test(test_before),
                                     cmocka_unit_test(test_unreadable),
                                     cmocka_unit_test(test_forced),
                                     cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_away),
                                     cmocka_unit_test(test_held),
                                     cmocka_unit_test(test_cut_off),
                                     cmocka_unit_test(test_cut_off_late)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
