/*
 * test_ctl.c - `vecdb cluster`: collections made, moves planned, written, taken step by step, with
 * nodes that this test plays; on the model, also with lost answers and a controller that dies after
 * every step, and on a real etcd.
 */
#include "cluster/ctltest.h"
#include "place/route.h"
#include "wire/reshape.h"

/* ---- What must hold at every moment ---- */

static void tc_check(struct tc *t, uint32_t replicas) {
  const struct cache_view *view = ctl_view(&t->ctl);
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 0, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *s = all[i]->doc;
    assert_non_null(s);
    assert_true(s->n_isr >= replicas && s->n_replicas <= replicas + 1);
    assert_int_equal(s->state, DOC_SHARD_ACTIVE);
  }
  for (uint32_t node = 1; node <= 7; node++)
    assert_true(ctl_moves_of(view, node) <= CTL_MOVES_OF_NODE);
  cache_give(view);
}

/* Until no move is open. With `crashes` the controller dies after each thing that it does. */
static void tc_finish(struct tc *t, uint32_t replicas, bool crashes) {
  size_t steps, open = 1;
  for (int turns = 0; open; turns++) {
    assert_true(turns < 10000);
    tc_settle(t);
    if (crashes) {
      const struct cache_view *view = ctl_view(&t->ctl);
      size_t n, first = 0;
      const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
      struct ctl_step step = {.next = CTL_NEXT_OVER};
      bool held;
      open = 0;
      for (; first < n; first++)
        if (ctl_step(view, all[first]->a, all[first]->b, &step) && step.next != CTL_NEXT_OVER) {
          open++;
          if (step.next == CTL_NEXT_STEP)
            break;
        }
      cache_give(view);
      if (step.next == CTL_NEXT_STEP)
        ctl_apply(&t->ctl, &step, &held);
      tc_restart(t);
    } else {
      ctl_drive(&t->ctl, &steps, &open);
    }
    tc_check(t, replicas);
    tc_settle(t);
    tc_play(t);
  }
}

/* How many replicas each node has, and no two of a shard in one zone. */
static void tc_count(struct tc *t, uint32_t *held) {
  tc_settle(t);
  const struct cache_view *view = ctl_view(&t->ctl);
  size_t n;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 0, &n);
  memset(held, 0, 8 * sizeof *held);
  for (size_t i = 0; i < n; i++) {
    const struct doc_shard *s = all[i]->doc;
    for (uint32_t a = 0; a < s->n_replicas; a++) {
      held[s->replicas[a].node]++;
      for (uint32_t b = 0; b < a && s->n_replicas <= 3; b++) {
        const struct doc_node *x = cache_doc(view, DOC_PATH_NODE, s->replicas[a].node, 0);
        const struct doc_node *y = cache_doc(view, DOC_PATH_NODE, s->replicas[b].node, 0);
        assert_string_not_equal(x->zone, y->zone);
      }
    }
  }
  cache_give(view);
}

/* ---- Tests ---- */

static void tc_story(struct tc *t, bool crashes) {
  char text[8192];
  uint32_t held[8];
  struct doc_coll coll = tc_coll("rows", 12, 3);
  assert_int_equal(ctl_create(&t->ctl, &coll, NULL), CTL_OK);
  tc_count(t, held);
  for (uint32_t i = 1; i <= 6; i++)
    assert_int_equal(held[i], 6);
  assert_int_equal(tc_type(t, "status", text, sizeof text), 0);
  assert_non_null(strstr(text, "rows"));
  assert_null(strstr(text, "short of replicas"));
  assert_int_equal(tc_type(t, "balance", text, sizeof text), 0);
  assert_non_null(strstr(text, "nothing is to be moved"));

  assert_int_equal(tc_type(t, "drain 1", text, sizeof text), 0); /* all to 2, in the same zone */
  assert_non_null(strstr(text, "6 moves for 36 replicas"));
  tc_finish(t, 3, crashes);
  tc_count(t, held);
  assert_int_equal(held[1], 0);
  assert_int_equal(held[2], 12);

  tc_add_node(t, 7, "a",
              ""); /* a node comes: it takes its share of its zone, and nothing else moves */
  assert_int_equal(tc_type(t, "balance --collection rows --dry-run", text, sizeof text), 0);
  assert_non_null(strstr(text, "6 moves"));
  assert_int_equal(tc_type(t, "balance --collection rows", text, sizeof text), 0);
  tc_finish(t, 3, crashes);
  tc_count(t, held);
  assert_int_equal(held[7], 6);
  assert_int_equal(held[2], 6);
  assert_int_equal(held[3], 6);
  assert_int_equal(tc_type(t, "status", text, sizeof text), 0);
  assert_null(strstr(text, "short of replicas"));
}

static void test_model(void **state) {
  struct tc t;
  (void)state;
  tc_begin(&t, model_new(1));
  tc_story(&t, false);
  tc_end(&t);
}

static void test_crashes(void **state) {
  struct tc t;
  (void)state;
  tc_begin(&t, model_new(2));
  tc_story(&t, true);
  tc_end(&t);
}

static void test_etcd(void **state) {
  struct tc t;
  (void)state;
  if (!et_installed()) {
    print_message("skipped: etcd is not installed (Debian: etcd-server)\n");
    skip();
  }
  tc_begin(&t, NULL);
  tc_story(&t, false);
  tc_end(&t);
}

/* Answers are lost, requests refused or late, reads old and watches lossy: it ends all the same. */
static void test_faults(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 12; seed++) {
    struct tc t;
    uint32_t held[8];
    size_t written, open = 1, steps;
    const struct model_faults faults = {.latency_max_us = 20000,
                                        .refused = 500,
                                        .request_lost = 300,
                                        .answer_lost = 500,
                                        .reset = 500,
                                        .late = 200,
                                        .stale = 1000,
                                        .watch_repeats = 1000,
                                        .watch_loses = 1000,
                                        .watch_lag_us = 100000};
    tc_begin(&t, model_new(seed));
    struct doc_coll coll = tc_coll("rows", 6, 3);
    assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
    tc_settle(&t);
    model_set_faults(t.server, &faults);
    while (ctl_set_state(&t.ctl, 3, DOC_NODE_DRAINING))
      ;
    for (int turns = 0; turns < 400 && (open || held[3]); turns++) {
      struct ctl_plan plan;
      const struct cache_view *view = ctl_view(&t.ctl);
      if (ctl_plan_balance(view, 0, 3, &plan) == CTL_OK)
        ctl_write_plan(&t.ctl, &plan, &written);
      ctl_plan_free(&plan);
      cache_give(view);
      if (ctl_drive(&t.ctl, &steps, &open))
        open = 1;
      tc_play(&t);
      if (turns % 10 == 9)
        tc_settle(&t);
      tc_count(&t, held);
    }
    assert_int_equal(open, 0);
    assert_int_equal(held[3], 0);
    tc_check(&t, 3);
    tc_end(&t);
  }
}

/* What cannot be done is refused, with words, and leaves no trace. */
static void test_refusals(void **state) {
  static const struct {
    const char *line;
    int code;
    const char *word;
  } cases[] = {
      {"", 2, "usage"},
      {"dance", 2, "no such command"},
      {"status --unheard", 2, "not understood"},
      {"move --collection rows --shard 0", 2, "--target-node"},
      {"move --collection rows --shard x --target-node 1", 2, "--shard"},
      {"move --shard 0 --target-node 1", 2, "--collection"},
      {"drain", 2, "number"},
      {"fields --collection rows", 2, "--add, --drop, or --rename"},
      {"fields --collection rows --rename a", 2, "--rename and --to"},
      {"expire --field a", 2, "--collection"},
      {"fields --collection none --drop a", 1, "no such collection"},
      {"fields --collection rows --add /no/such/file", 1, "cannot be read"},
      {"drain 99999999999", 2, "not understood"},
      {"drain 42", 1, "no such node"},
      {"move --collection none --shard 0 --target-node 1", 1, "no such collection"},
      {"move --collection rows --shard 77 --target-node 1", 1, "no such collection or shard"},
      {"move --collection rows --shard 0 --target-node 42", 1, "no such node"},
      {"balance --collection none", 1, "no such collection"},
      {"drain 5", 1, "too few"},
      {"cancel --collection rows --shard 0", 1, "no move"},
      {"move --collection gpus --shard 0 --target-node 1", 1, "lacks the label"},
  };
  struct tc t;
  char text[4096];
  (void)state;
  tc_begin(&t, model_new(3));
  struct doc_coll rows = tc_coll("rows", 2, 6), gpus = tc_coll("gpus", 1, 1);
  rows.replicas = 6; /* on every node: none can be drained */
  strcpy(gpus.need, "gpu");
  assert_int_equal(ctl_create(&t.ctl, &rows, NULL), CTL_OK);
  assert_int_equal(ctl_create(&t.ctl, &gpus, NULL), CTL_OK);
  struct doc_coll again = tc_coll("rows", 1, 1);
  assert_int_equal(ctl_create(&t.ctl, &again, NULL), CTL_EXISTS);
  tc_settle(&t);
  int64_t before = model_revision(t.server);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(tc_type(&t, cases[i].line, text, sizeof text), cases[i].code);
    if (!strstr(text, cases[i].word))
      fail_msg("%s: %s", cases[i].line, text);
  }
  assert_int_equal(model_revision(t.server), before);
  tc_end(&t);
}

/* Numbers end where the keys that they are for do, also when the store says something else. */
static void test_numbers(void **state) {
  static const struct {
    const char *given;
    uint64_t n;
    enum ctl_status status;
  } cases[] = {{"0", 1, CTL_OK},
               {"5", 0, CTL_NOT_ALLOWED},
               {"9223372036854775800", 7, CTL_OK},
               {"9223372036854775800", 8, CTL_NOT_ALLOWED},
               {"9223372036854775808", 1, CTL_NOT_ALLOWED},
               {"18446744073709551615", 1, CTL_NOT_ALLOWED}};
  struct tc t;
  (void)state;
  tc_begin(&t, model_new(6));
  const struct doc_path path = doc_path(tc_cluster, DOC_PATH_NUMBERS, 0, 0);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct cache_view *view = ctl_view(&t.ctl);
    const struct cache_entry *last = cache_find(view, DOC_PATH_NUMBERS, 0, 0);
    const int64_t mod = last ? last->mod : 0;
    int64_t first = 0;
    bool held;
    cache_give(view);
    assert_int_equal(
        ctl_put(&t.ctl, path, cases[i].given, strlen(cases[i].given), mod, &held), CTL_OK);
    assert_true(held);
    assert_int_equal(ctl_numbers(&t.ctl, cases[i].n, &first), cases[i].status);
    if (cases[i].status == CTL_OK)
      assert_int_equal((uint64_t)first, strtoull(cases[i].given, NULL, 10) + 1);
  }
  tc_end(&t);
}

/* One shard by hand: the replica in the target's zone gives way; given up, it is as before. */
static void test_move(void **state) {
  struct tc t;
  char text[4096], line[128];
  (void)state;
  tc_begin(&t, model_new(4));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  const struct cache_view *view = ctl_view(&t.ctl);
  const struct doc_shard before = *(const struct doc_shard *)cache_doc(view, DOC_PATH_SHARD, 1, 0);
  cache_give(view);
  bool one = doc_has(before.isr, before.n_isr, 1);
  uint32_t target = one ? 2 : 1, source = one ? 1 : 2, far = 0;
  for (uint32_t node = 3; node <= 6 && !far; node++) /* in a zone where another replica is */
    far = doc_has(before.isr, before.n_isr, node) ? 0 : node;
  snprintf(line, sizeof line, "move --collection rows --shard 0 --target-node %u --source-node %u",
           far, source);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "zone"));
  snprintf(line, sizeof line, "move --collection rows --shard 0 --target-node %u", target);
  for (int given_up = 1; given_up >= 0; given_up--) {
    size_t steps, open;
    assert_int_equal(tc_type(&t, line, text, sizeof text), 0);
    snprintf(text + strlen(text), 64, "node %u -> node %u", source, target);
    assert_int_equal(tc_type(&t, line, text, sizeof text), 1); /* a second one at once */
    assert_int_equal(ctl_drive(&t.ctl, &steps, &open), CTL_OK);
    assert_int_equal(open, 1);
    if (!given_up)
      break;
    assert_int_equal(tc_type(&t, "cancel --collection rows --shard 0", text, sizeof text), 0);
    view = ctl_view(&t.ctl);
    assert_memory_equal(cache_doc(view, DOC_PATH_SHARD, 1, 0), &before, sizeof before);
    cache_give(view);
  }
  tc_finish(&t, 3, false);
  view = ctl_view(&t.ctl);
  const struct doc_shard *after = cache_doc(view, DOC_PATH_SHARD, 1, 0);
  assert_true(doc_has(after->isr, after->n_isr, target));
  assert_false(doc_has(after->isr, after->n_isr, source));
  assert_true(after->epoch == before.epoch + (before.primary == source));
  cache_give(view);
  tc_end(&t);
}

/* The shard's move and record, as a change to be made. */
static struct ctl_step tc_now(struct tc *t) {
  struct ctl_step step;
  const struct cache_view *view = ctl_view(&t->nodes);
  const struct cache_entry *m = cache_find(view, DOC_PATH_MOVE, 1, 0);
  const struct cache_entry *s = cache_find(view, DOC_PATH_SHARD, 1, 0);
  step = (struct ctl_step){.move = *(const struct doc_move *)m->doc,
                           .shard = *(const struct doc_shard *)s->doc,
                           .move_mod = m->mod,
                           .shard_mod = s->mod,
                           .shard_changes = true};
  cache_give(view);
  return step;
}

/* While it switches, a source in the ISR is the primary's to let go; and a target that falls out of
   it has to catch up again. */
static void test_switching(void **state) {
  struct tc t;
  char text[4096];
  size_t steps, open;
  bool held;
  (void)state;
  tc_begin(&t, model_new(8));
  struct doc_coll coll = tc_coll("rows", 1, 2);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  const struct cache_view *view = ctl_view(&t.ctl);
  const struct doc_shard *shard = cache_doc(view, DOC_PATH_SHARD, 1, 0);
  uint32_t source = shard->isr[1], target = 1;
  while (doc_has(shard->isr, shard->n_isr, target) || (target + 1) / 2 == (shard->isr[0] + 1) / 2)
    target++; /* zones have two nodes each */
  cache_give(view);
  snprintf(text, sizeof text,
           "move --collection rows --shard 0 --target-node %u --source-node %u", target, source);
  assert_int_equal(tc_type(&t, text, text, sizeof text), 0);
  tc_settle(&t);
  for (struct ctl_step now = tc_now(&t); now.move.step < DOC_MOVE_SWITCHING; now = tc_now(&t)) {
    assert_int_equal(ctl_drive(&t.ctl, &steps, &open), CTL_OK);
    tc_settle(&t);
    if (tc_now(&t).move.step < DOC_MOVE_SWITCHING)
      tc_play(&t);
    tc_settle(&t);
  }
  assert_int_equal(ctl_drive(&t.ctl, &steps, &open), CTL_OK);
  tc_settle(&t);
  struct ctl_step now = tc_now(&t);
  assert_true(now.move.step == DOC_MOVE_SWITCHING && now.shard.n_isr == 3);
  assert_true(doc_has(now.shard.isr, 3, source) && now.shard.isr[2] == target);
  now.shard.isr[--now.shard.n_isr] = 0;
  now.shard.learners[now.shard.n_learners++] = target;
  assert_int_equal(ctl_apply(&t.nodes, &now, &held), CTL_OK);
  assert_true(held);
  tc_settle(&t);
  assert_int_equal(ctl_drive(&t.ctl, &steps, &open), CTL_OK);
  tc_settle(&t);
  assert_int_equal(tc_now(&t).move.step, DOC_MOVE_CATCHING_UP);
  tc_finish(&t, 2, false);
  tc_end(&t);
}

/* An operator makes a node go on with what it has, if it runs and a loss is accepted. */
static void test_force(void **state) {
  struct tc t;
  char text[4096], line[128];
  (void)state;
  tc_begin(&t, model_new(6));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  struct doc_shard before = tc_shard(&t);
  uint32_t node = before.isr[2], other = 1;
  while (doc_has(before.isr, before.n_isr, other))
    other++;
  tc_live(&t, other, 9);
  snprintf(line, sizeof line, "force --collection rows --shard 0 --target-node %u", other);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "no replica"));
  snprintf(line, sizeof line, "force --collection rows --shard 0 --target-node %u", node);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "does not run"));
  tc_live(&t, node, 7); /* a disk that the record does not know */
  assert_int_equal(tc_type(&t, line, text, sizeof text), 1);
  assert_non_null(strstr(text, "--accept-loss"));
  assert_non_null(strstr(text, "is lost"));
  struct doc_shard after = tc_shard(&t);
  assert_memory_equal(&after, &before, sizeof after);
  snprintf(line, sizeof line, "force --accept-loss --collection rows --shard 0 --target-node %u",
           node);
  assert_int_equal(tc_type(&t, line, text, sizeof text), 0);
  after = tc_shard(&t);
  assert_true(after.epoch == before.epoch + 1 && after.unclean == after.epoch);
  assert_true(after.primary == node && after.n_isr == 1 && after.n_learners == 2);
  for (uint32_t i = 0; i < after.n_replicas; i++)
    if (after.replicas[i].node == node)
      assert_int_equal(after.replicas[i].store.bytes[0], 7);
  assert_int_equal(tc_type(&t, "status", text, sizeof text), 0);
  assert_non_null(strstr(text, "unclean start in epoch 2"));
  tc_end(&t);
}

/* Many shards take several transactions; every slot and shard is there in the end. */
static void test_create(void **state) {
  struct tc t;
  struct doc_key sample[] = {{DOC_KEY_INT, 10, 0, ""}, {DOC_KEY_INT, 20, 0, ""}};
  struct doc_splits splits;
  (void)state;
  tc_begin(&t, model_new(5));
  struct doc_coll coll = tc_coll("many", 300, 2);
  coll.slots = 1024;
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  const struct cache_view *view = ctl_view(&t.ctl);
  size_t n;
  uint32_t slots[300] = {0};
  cache_all(view, DOC_PATH_SHARD, coll.id, &n);
  assert_int_equal(n, 300);
  const struct doc_coll *made = cache_doc(view, DOC_PATH_COLL, coll.id, 0);
  assert_int_equal(made->state, DOC_COLL_ACTIVE);
  const struct doc_slots *table = cache_doc(view, DOC_PATH_SLOTS, coll.id, 0);
  for (uint32_t s = 0; s < 1024; s++)
    slots[table->shard[s]]++;
  for (size_t i = 0; i < 300; i++)
    assert_true(slots[i] == 3 || slots[i] == 4);
  cache_give(view);
  struct doc_coll tenants = tc_coll("tenants", 1, 1);
  tenants.policy = DOC_TENANT;
  strcpy(tenants.field, "v");
  tenants.schema = strdup("{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": "
                          "true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}");
  assert_int_equal(ctl_create(&t.ctl, &tenants, NULL), CTL_NOT_ALLOWED); /* nothing to hash */
  strcpy(tenants.field, "id");
  assert_int_equal(ctl_create(&t.ctl, &tenants, NULL), CTL_OK);
  doc_coll_free(&tenants);
  struct doc_coll ranges = tc_coll("times", 2, 1);
  ranges.policy = DOC_RANGE;
  strcpy(ranges.field, "time");
  assert_int_equal(ctl_create(&t.ctl, &ranges, NULL), CTL_NOT_ALLOWED); /* without ranges */
  assert_true(place_splits(sample, 2, 2, 256, &splits));
  assert_int_equal(ctl_create(&t.ctl, &ranges, &splits), CTL_OK);
  doc_splits_free(&splits);
  tc_settle(&t);
  view = ctl_view(&t.ctl);
  const struct doc_splits *stored = cache_doc(view, DOC_PATH_SPLITS, ranges.id, 0);
  const struct doc_slots *two = cache_doc(view, DOC_PATH_SLOTS, ranges.id, 0);
  assert_int_equal(stored->n, 2);
  assert_int_equal(two->shard[0], 0);
  assert_int_equal(two->shard[255], 1);
  cache_give(view);
  tc_end(&t);
}

/* The cluster is of this version, whose nodes may be of later ones; what it is of now. */
static uint32_t tc_of_version(struct tc *t, uint32_t version) {
  struct doc_path path = doc_path(tc_cluster, DOC_PATH_CLUSTER, 0, 0);
  const struct cache_view *view = ctl_view(&t->ctl);
  const struct cache_entry *entry = cache_find(view, DOC_PATH_CLUSTER, 0, 0);
  struct doc_cluster doc = *(const struct doc_cluster *)entry->doc;
  uint32_t was = doc.protocol_min;
  size_t n;
  bool held = true;
  doc.protocol_min = version ? version : was;
  char *text = doc_cluster_write(&doc, &n);
  if (version)
    assert_int_equal(ctl_put(&t->ctl, path, text, n, entry->mod, &held), CTL_OK);
  assert_true(held);
  free(text);
  cache_give(view);
  return was;
}

static uint64_t tc_schema_version(struct tc *t, uint32_t collection) {
  const struct cache_view *view = ctl_view(&t->ctl);
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, collection, 0);
  uint64_t version = coll->schema_version;
  cache_give(view);
  return version;
}

static enum ctl_status tc_field_add(struct tc *t, const char *name) {
  const vecdb_field field = {.name = name, .type = VECDB_INT64, .flags = VECDB_NULLABLE};
  const vecdb_schema more = {sizeof more, sizeof field, NULL, &field, 1};
  uint64_t version;
  tc_settle(t);
  return ctl_fields_add(&t->ctl, "rows", &more, &version);
}

/* Other changes want all nodes to know them, and the schema to be as who asks has seen it; what is
   added from then on has its place among them. */
static void tc_reshapes(struct tc *t, uint32_t collection) {
  static const char change[] = "{\"drop\":\"a\"}";
  static const char schema[] = "{\"fields\":[{\"name\":\"id\",\"type\":\"INT64\"}]}";
  uint64_t version = 0;
  bool held = true;
  assert_int_equal(ctl_reshape(&t->ctl, "rows", 4, change, schema, &version, &held), CTL_OLDER);
  assert_false(held);
  for (uint32_t id = 1; id <= 6; id++)
    tc_live(t, id, 1);
  tc_settle(t);
  assert_int_equal(ctl_reshape(&t->ctl, "none", 4, change, schema, &version, &held), CTL_NO_SUCH);
  assert_int_equal(ctl_reshape(&t->ctl, "rows", 3, change, schema, &version, &held), CTL_OK);
  assert_false(held);
  assert_int_equal(ctl_reshape(&t->ctl, "rows", 4, change, schema, &version, &held), CTL_OK);
  assert_true(held && version == 5);
  assert_int_equal(tc_field_add(t, "a"), CTL_OK); /* its name is free */
  const struct cache_view *view = ctl_view(&t->ctl);
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, collection, 0);
  struct wire_mem mem = {0};
  struct wire_step step;
  assert_int_equal(wire_history_step(coll->history, 3, &mem, &step), VECDB_OK);
  assert_true(step.version == 4 && step.add && strstr(step.text, "\"a\""));
  assert_int_equal(wire_history_step(coll->history, 4, &mem, &step), VECDB_OK);
  assert_string_equal(step.text, change);
  assert_int_equal(wire_history_step(coll->history, 5, &mem, &step), VECDB_OK);
  assert_true(step.add && strstr(step.text, "\"a\"") && !strstr(step.text, "\"id\""));
  wire_mem_free(&mem);
  cache_give(view);
}

static char *tc_expiry(struct tc *t, uint32_t collection) {
  const struct cache_view *view = ctl_view(&t->ctl);
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, collection, 0);
  char *text = coll->expiry ? strdup(coll->expiry) : NULL;
  cache_give(view);
  return text;
}

/* Rows expire by a field of the schema as who asks has seen it; the field has another name then, or
   stays. */
static void test_expiry(void **state) {
  static const char schema[] = "{\"fields\":[{\"name\":\"id\",\"type\":\"INT64\"}]}";
  const struct wire_expiry expiry = {"n", 5}, none = {NULL, 0};
  struct tc t;
  uint64_t version = 0;
  int64_t mod = 0;
  bool held = true;
  (void)state;
  tc_begin(&t, model_new(8));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  coll.schema_version = 1;
  coll.schema = strdup(schema);
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  assert_int_equal(tc_of_version(&t, DOC_SPEAKS_EXPECTED), DOC_SPEAKS_LAST);
  for (uint32_t id = 1; id <= 6; id++)
    tc_live_as(&t, id, 1, id == 6 ? DOC_SPEAKS_EXPECTED : DOC_SPEAKS_LAST);
  tc_settle(&t);
  assert_int_equal(ctl_expire(&t.ctl, "rows", 1, &expiry, &mod, &held), CTL_OLDER);
  assert_true(!held && !mod);
  tc_live(&t, 6, 1);
  tc_settle(&t);
  assert_int_equal(ctl_expire(&t.ctl, "none", 1, &expiry, &mod, &held), CTL_NO_SUCH);
  assert_int_equal(ctl_expire(&t.ctl, "rows", 2, &expiry, &mod, &held), CTL_OK);
  assert_true(!held && !mod);
  assert_int_equal(ctl_expire(&t.ctl, "rows", 1, &expiry, &mod, &held), CTL_OK);
  assert_true(held && mod > 0);
  assert_int_equal(ctl_reshape(&t.ctl, "rows", 1, "{\"drop\":\"n\"}", schema, &version, &held),
                   CTL_NOT_ALLOWED);
  assert_int_equal(ctl_reshape(&t.ctl, "rows", 1, "{\"rename\":\"m\",\"to\":\"k\"}", schema,
                               &version, &held), CTL_OK);
  assert_int_equal(ctl_reshape(&t.ctl, "rows", 2, "{\"rename\":\"n\",\"to\":\"m\"}", schema,
                               &version, &held), CTL_OK);
  char *text = tc_expiry(&t, coll.id);
  assert_string_equal(text, "{\"field\":\"m\",\"ttl_ms\":5}");
  free(text);
  assert_int_equal(ctl_expire(&t.ctl, "rows", 3, &none, &mod, &held), CTL_OK);
  assert_null(tc_expiry(&t, coll.id));
  doc_coll_free(&coll);
  tc_end(&t);
}

/* Fields and expiry by commands: tried first, as shards would do it. */
#define TC_FIELDS "/tmp/vecdb-ctl-fields"
static void test_fields(void **state) {
  static const struct {
    const char *line;
    int code;
    const char *word;
  } typed[] = {
      {"fields --collection rows --add " TC_FIELDS, 0, "version 2"},
      {"fields --collection rows --add " TC_FIELDS, 1, "n"},
      {"fields --collection rows --drop id", 1, "id"},
      {"fields --collection rows --rename id --to key", 1, "id: a cluster does not rename keys"},
      {"expire --collection rows --field v --ttl-seconds 60", 1, "v"},
      {"expire --collection rows --field n --ttl-seconds 60", 0, "60 s after their n"},
      {"fields --collection rows --rename n --to m", 0, "version 3"},
      {"fields --collection rows --drop m", 1, "rows expire by the field"},
      {"expire --collection rows", 0, "rows stay"},
      {"fields --collection rows --drop m", 0, "version 4"},
      {"fields --collection rows --drop m", 1, "m"}};
  struct tc t;
  char text[4096];
  (void)state;
  FILE *file = fopen(TC_FIELDS, "w");
  assert_true(file && fputs("{\"fields\": [{\"name\": \"n\", \"type\": \"INT64\", "
                            "\"nullable\": true}]}", file) > 0 && !fclose(file));
  tc_begin(&t, model_new(9));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  coll.schema_version = 1;
  coll.schema = strdup("{\"fields\": [{\"name\": \"id\", \"type\": \"INT64\", "
                       "\"primary_key\": true}, {\"name\": \"v\", \"type\": "
                       "\"FLOAT_VECTOR\", \"dim\": 2}]}");
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
    const int code = tc_type(&t, typed[i].line, text, sizeof text);
    if (code != typed[i].code || !strstr(text, typed[i].word))
      fail_msg("%s: %d, %s", typed[i].line, code, text);
  }
  remove(TC_FIELDS);
  doc_coll_free(&coll);
  tc_end(&t);
}

/* No field is added while a node with replicas does not know how, or may not; others do not matter.
   What all nodes have spoken once is not asked again of those that are away. */
static void test_older(void **state) {
  struct tc t;
  (void)state;
  tc_begin(&t, model_new(7));
  struct doc_coll coll = tc_coll("rows", 1, 3);
  coll.schema_version = 1;
  coll.schema = strdup("{\"fields\":[{\"name\":\"id\",\"type\":\"INT64\"}]}");
  assert_int_equal(ctl_create(&t.ctl, &coll, NULL), CTL_OK);
  tc_settle(&t);
  assert_int_equal(tc_of_version(&t, DOC_SPEAKS_FIRST), DOC_SPEAKS_LAST);
  const struct doc_shard shard = tc_shard(&t);
  assert_int_equal(tc_field_add(&t, "a"), CTL_OLDER);
  assert_non_null(strstr(t.ctl.why, "does not run"));
  for (uint32_t i = 0; i < 3; i++)
    tc_live_as(&t, shard.isr[i], 1, i ? DOC_SPEAKS_FIELDS : DOC_SPEAKS_FIRST);
  assert_int_equal(tc_field_add(&t, "a"), CTL_OLDER);
  assert_non_null(strstr(t.ctl.why, "upgrade it first"));
  assert_int_equal(tc_schema_version(&t, coll.id), 1);
  tc_live(&t, shard.isr[0], 1);
  assert_int_equal(tc_field_add(&t, "a"), CTL_OK);
  assert_int_equal(tc_of_version(&t, 0), DOC_SPEAKS_FIRST); /* the other three are away */
  for (uint32_t id = 1; id <= 6; id++)
    tc_live(&t, id, 1);
  assert_int_equal(tc_field_add(&t, "b"), CTL_OK);
  assert_int_equal(tc_of_version(&t, 0), DOC_SPEAKS_FIELDS);
  /* One that was exchanged for an older one all the same. */
  tc_live_as(&t, shard.isr[1], 1, DOC_SPEAKS_FIRST);
  assert_int_equal(tc_field_add(&t, "c"), CTL_OLDER);
  struct doc_path path = doc_path(tc_cluster, DOC_PATH_LIVE, shard.isr[1], 0);
  const struct meta_op gone = {.kind = META_DELETE, .key = meta_text(path.text)};
  const struct meta_txn txn = {.then = &gone, .n_then = 1};
  bool held;
  assert_int_equal(ctl_commit(&t.ctl, &txn, &held), CTL_OK);
  assert_int_equal(tc_field_add(&t, "c"), CTL_OK);
  assert_int_equal(tc_schema_version(&t, coll.id), 4);
  tc_reshapes(&t, coll.id);
  doc_coll_free(&coll);
  tc_end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_model),  cmocka_unit_test(test_crashes),  cmocka_unit_test(test_etcd),
      cmocka_unit_test(test_faults), cmocka_unit_test(test_refusals), cmocka_unit_test(test_move),
      cmocka_unit_test(test_create), cmocka_unit_test(test_force), cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_switching), cmocka_unit_test(test_older),
      cmocka_unit_test(test_expiry), cmocka_unit_test(test_fields),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
