/*
 * ctltest.h - commands on a cluster's metadata, in the model or a real etcd, with nodes that the
 * test plays: what they do for moves, and how they register.
 */
#ifndef CTLTEST_H
#define CTLTEST_H

#include "ctl/create.h"
#include "ctl/ctl.h"
#include "etcdtest.h"

static const struct doc_uuid tc_cluster = {{0xab, 1}};

/* The controller's session and the nodes', each with a client of its own. */
struct tc {
  struct model_server *server; /* NULL: a real etcd */
  struct et etcd;
  struct ctl ctl;
  struct ctl nodes;
};

static inline struct meta_store *tc_store(struct tc *t) {
  char why[ETCD_WHY];
  const struct etcd_config config = {.endpoints = t->etcd.endpoints};
  struct meta_store *store = t->server ? model_connect(t->server) : etcd_open(&config, why);
  assert_non_null(store);
  return store;
}

/* The controller anew, as after a crash. */
static inline void tc_restart(struct tc *t) {
  int64_t now = t->ctl.now_us > t->nodes.now_us ? t->ctl.now_us : t->nodes.now_us;
  if (t->ctl.store)
    ctl_close(&t->ctl);
  if (t->server)
    model_advance(t->server, now);
  assert_int_equal(ctl_open(&t->ctl, tc_store(t), tc_cluster), CTL_OK);
  t->ctl.now_us = now > t->ctl.now_us ? now : t->ctl.now_us;
}

static inline void tc_add_node(struct tc *t, uint32_t id, const char *zone, const char *label) {
  struct doc_node node = {.id = id, .weight = 100};
  snprintf(node.name, sizeof node.name, "n%u", id);
  snprintf(node.address, sizeof node.address, "127.0.0.1:%u", 7000 + id);
  snprintf(node.zone, sizeof node.zone, "%s", zone);
  snprintf(node.labels[0].name, sizeof node.labels[0].name, "%s", label);
  node.n_labels = *label != 0;
  assert_int_equal(ctl_add_node(&t->ctl, &node), CTL_OK);
}

static inline void tc_begin(struct tc *t, struct model_server *server) {
  static const char *const zones[] = {"a", "a", "b", "b", "c", "c"};
  memset(t, 0, sizeof *t);
  t->server = server;
  if (!server) {
    struct mt probe;
    et_start(&t->etcd, 1);
    et_connect(&t->etcd, &probe);
    meta_close(probe.store);
  }
  tc_restart(t);
  assert_int_equal(ctl_init(&t->ctl, "test"), CTL_OK);
  for (uint32_t i = 0; i < 6; i++)
    tc_add_node(t, i + 1, zones[i], i == 5 ? "gpu" : "");
  assert_int_equal(ctl_open(&t->nodes, tc_store(t), tc_cluster), CTL_OK);
}

static inline void tc_end(struct tc *t) {
  ctl_close(&t->ctl);
  ctl_close(&t->nodes);
  if (t->server)
    model_free(t->server);
  else
    et_stop(&t->etcd);
}

static inline struct doc_coll tc_coll(const char *name, uint32_t shards, uint32_t replicas) {
  struct doc_coll coll = {.slots = 256,
                          .window = 1,
                          .shards = shards,
                          .replicas = replicas,
                          .min_isr = replicas > 1 ? 2 : 1};
  snprintf(coll.name, sizeof coll.name, "%s", name);
  return coll;
}

/* One thing that some node would do for a move; false: nothing is left to do. */
static inline bool tc_play_move(struct tc *t, const struct cache_view *view, uint32_t a,
                                uint32_t b) {
  const struct cache_entry *m = cache_find(view, DOC_PATH_MOVE, a, b);
  const struct cache_entry *s = cache_find(view, DOC_PATH_SHARD, a, b);
  struct ctl_step step = {.move = *(const struct doc_move *)m->doc,
                          .shard = *(const struct doc_shard *)s->doc,
                          .move_mod = m->mod,
                          .shard_mod = s->mod,
                          .shard_changes = true};
  struct doc_shard *shard = &step.shard;
  uint32_t target = step.move.target;
  if (step.move.step == DOC_MOVE_COPYING && step.move.bytes_done < 100) {
    step.move.bytes_total = 100;
    step.move.bytes_done += 50;
    step.shard_changes = false;
  } else if (step.move.step == DOC_MOVE_CATCHING_UP &&
             doc_has(shard->learners, shard->n_learners, target)) {
    shard->learners[0] = 0; /* one move a shard: it is the only learner */
    shard->n_learners = 0;
    shard->isr[shard->n_isr++] = target;
    for (uint32_t i = 0; i < shard->n_replicas; i++)
      if (shard->replicas[i].node == target)
        shard->replicas[i].store.bytes[0] = (uint8_t)target;
  } else if (step.move.step == DOC_MOVE_SWITCHING && shard->primary == step.move.source) {
    shard->primary = target;
    shard->epoch++;
  } else if (step.move.step == DOC_MOVE_SWITCHING &&
             doc_has(shard->isr, shard->n_isr, step.move.source)) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < shard->n_isr; i++)
      if (shard->isr[i] != step.move.source)
        shard->isr[kept++] = shard->isr[i];
    shard->isr[kept] = 0;
    shard->n_isr = kept;
    shard->learners[shard->n_learners++] = step.move.source;
  } else {
    return false;
  }
  bool held;
  ctl_apply(&t->nodes, &step, &held);
  return true;
}

static inline bool tc_play(struct tc *t) {
  const struct cache_view *view = ctl_view(&t->nodes);
  size_t n;
  bool did = false;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
  for (size_t i = 0; i < n; i++)
    did = tc_play_move(t, view, all[i]->a, all[i]->b) || did;
  cache_give(view);
  return did;
}

/* Both caches have seen what either has done. */
static inline void tc_settle(struct tc *t) {
  struct ctl *both[] = {&t->ctl, &t->nodes};
  int64_t revision = cache_state(t->ctl.cache).revision;
  if (cache_state(t->nodes.cache).revision > revision)
    revision = cache_state(t->nodes.cache).revision;
  for (int i = 0; i < 2; i++) {
    if (t->server && both[1 - i]->now_us > both[i]->now_us)
      both[i]->now_us = both[1 - i]->now_us;
    for (int turns = 0; cache_state(both[i]->cache).revision < revision; turns++) {
      assert_true(turns < 100000);
      ctl_turn(both[i], ctl_now(both[i]) + 1000000);
    }
  }
}

/* A command as its user types it; gives its exit status and what it printed. */
static inline int tc_type(struct tc *t, const char *line, char *printed, size_t n) {
  char copy[256], *argv[16];
  int argc = 0;
  struct ctl_args args;
  tc_settle(t);
  snprintf(copy, sizeof copy, "cluster %s", line);
  for (char *word = strtok(copy, " "); word && argc < 16; word = strtok(NULL, " "))
    argv[argc++] = word;
  FILE *out = fmemopen(printed, n, "w");
  int code = ctl_parse(argc, argv, &args, out) ? ctl_run(&t->ctl, &args, out, out) : 2;
  fclose(out);
  return code;
}

/* The node runs, with a disk of this name, and speaks so much. */
static inline void tc_live_as(struct tc *t, uint32_t id, uint8_t disk, uint32_t speaks) {
  struct doc_live live = {
      .id = id, .store.bytes = {disk}, .protocol_min = 1, .protocol_max = speaks};
  struct doc_path path = doc_path(tc_cluster, DOC_PATH_LIVE, id, 0);
  const struct cache_view *view = ctl_view(&t->nodes);
  const struct cache_entry *old = cache_find(view, DOC_PATH_LIVE, id, 0);
  int64_t mod = old ? old->mod : 0;
  size_t n;
  bool held;
  cache_give(view);
  char *text = doc_live_write(&live, &n);
  assert_non_null(text);
  assert_int_equal(ctl_put(&t->nodes, path, text, n, mod, &held), CTL_OK);
  assert_true(held);
  free(text);
  tc_settle(t);
}

static inline void tc_live(struct tc *t, uint32_t id, uint8_t disk) {
  tc_live_as(t, id, disk, DOC_SPEAKS_LAST);
}

static inline struct doc_shard tc_shard(struct tc *t) {
  const struct cache_view *view = ctl_view(&t->ctl);
  struct doc_shard shard = *(const struct doc_shard *)cache_doc(view, DOC_PATH_SHARD, 1, 0);
  cache_give(view);
  return shard;
}

#endif
