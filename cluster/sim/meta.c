/*
 * meta.c - the metadata store of the simulation: the model of meta/model.h with its faults, a
 * client of it in every node (replica/link.h, and the node's registration), and one without faults,
 * which is the controller's and tells the checks what the record is.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

enum {
  META_PATIENCE_US = 500000,
  META_TTL_S = 2,
  META_KEEP_US = 700000,
  META_WATCH_LAG_US = 15000
};

const struct doc_uuid sim_meta_cluster = {{1}};

static struct doc_path meta_shard(void) {
  return doc_path(sim_meta_cluster, DOC_PATH_SHARD, SIM_COLLECTION, SIM_SHARD);
}

const struct rep_config *sim_meta_record(const struct sim_world *w) {
  return &w->records[w->n_records - 1];
}

/* ---- Faults ---- */

static void meta_faults(struct sim_world *w, bool none) {
  struct model_faults f = {0};
  if (!none) {
    f.latency_min_us = 500;
    f.latency_max_us = 4500;
    f.watch_lag_us = META_WATCH_LAG_US;
  }
  if (!none && !w->healing) {
    bool lossy = w->now < w->meta_lossy_until;
    f.slow = w->now < w->meta_slow_until ? 8000 : 50;
    f.slow_us = 3000000;
    f.answer_lost = lossy ? 4000 : 100;
    f.late = lossy ? 2000 : 50;
    f.reset = lossy ? 500 : 50;
    f.request_lost = 50;
    f.stale = 1000;
    f.keep_lies = f.lease_early = 100;
    f.watch_repeats = f.watch_loses = 1000;
    f.watch_lag_us = w->now < w->watch_lag_until ? 3000000 : META_WATCH_LAG_US;
  }
  model_set_faults(w->meta, &f);
}

/* ---- The controller ---- */

static void meta_read(void *arg, const struct meta_result *r) {
  struct sim_world *w = arg;
  char why[DOC_TEXT_MAX];
  struct rep_config c;
  if (r->status != META_OK || !r->answers[0].n)
    return;
  const struct meta_kv *kv = r->answers[0].kvs;
  if (doc_shard_read(kv->value, &w->doc, why) != DOC_OK ||
      !rep_link_config(&w->doc, kv->mod_revision, &c) || w->n_records == SIM_RECORDS) {
    sim_fail(w, "the record cannot be read, or changed too often");
    return;
  }
  if (w->n_records && c.rev == sim_meta_record(w)->rev)
    return;
  w->records[w->n_records++] = c;
  w->n_asked = 0;
  sim_trace(w, "record %lu: epoch %lu primary %u isr %u learners %u", c.rev, c.epoch,
            c.isr[0].node, c.n_isr, c.n_learners);
  if (w->n_records == 1)
    return;
  w->result->promotions += c.isr[0].node != w->records[w->n_records - 2].isr[0].node;
  sim_check_record(w, sim_meta_record(w));
}

/* Looks at the record as it is, if anything was written since. */
static void meta_truth(struct sim_world *w) {
  model_advance(w->meta, (int64_t)w->now);
  if (w->writes_seen == model_writes(w->meta))
    return;
  model_set_down(w->meta, false);
  w->writes_seen = model_writes(w->meta);
  struct doc_path path = meta_shard();
  struct meta_bytes none = {NULL, 0};
  meta_faults(w, true);
  if (meta_get(w->controller, meta_text(path.text), none, 0, meta_read, w) == META_OK)
    meta_run(w->controller, (int64_t)w->now);
  model_set_down(w->meta, w->meta_down);
}

void sim_meta_look(struct sim_world *w) {
  bool down = w->now < w->meta_down_until;
  if (down != w->meta_down)
    model_set_down(w->meta, w->meta_down = down);
  meta_truth(w);
}

static void meta_ignore(void *arg, const struct meta_result *r) {
  (void)arg;
  (void)r;
}

/* Writes of the controller; instant, and without faults. */
static void meta_write(struct sim_world *w, const struct meta_compare *compare,
                       const struct meta_op *op) {
  struct meta_txn txn = {compare, op, NULL, compare ? 1 : 0, 1, 0};
  meta_faults(w, true);
  if (meta_txn(w->controller, &txn, 0, meta_ignore, w) == META_OK)
    meta_run(w->controller, (int64_t)w->now);
  meta_truth(w);
}

static void meta_replica(struct doc_shard *doc, uint32_t node) {
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    if (doc->replicas[i].node == node)
      return;
  doc->replicas[doc->n_replicas++] = (struct doc_replica){.node = node};
}

void sim_meta_put(struct sim_world *w, const struct rep_config *c) {
  struct doc_path path = meta_shard();
  uint64_t rev = w->n_records ? sim_meta_record(w)->rev : 0;
  struct meta_compare compare = {.key = meta_text(path.text), .target = META_MOD};
  compare.number = (int64_t)rev;
  w->doc.collection = SIM_COLLECTION;
  w->doc.number = SIM_SHARD;
  w->doc.min_isr = c->min_isr;
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    meta_replica(&w->doc, i);
  rep_link_doc(c, &w->doc);
  size_t n;
  char *text = doc_shard_write(&w->doc, &n);
  struct meta_op op = {.kind = META_PUT, .key = meta_text(path.text), .value = {text, n}};
  if (text)
    meta_write(w, &compare, &op);
  else
    sim_fail(w, "the controller's record breaks the rules");
  free(text);
}

void sim_meta_force(struct sim_world *w, uint32_t node) {
  struct rep_config c = *sim_meta_record(w);
  w->forced = true;
  c.unclean = ++c.epoch;
  c.n_isr = c.n_learners = 0;
  c.isr[c.n_isr++] = (struct rep_member){node, w->nodes[node].uuid};
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    if (i != node)
      c.learners[c.n_learners++] = i;
  sim_meta_put(w, &c);
}

void sim_meta_forget(struct sim_node *n) {
  struct doc_path path = doc_path(sim_meta_cluster, DOC_PATH_LIVE, n->id, 0);
  struct meta_op op = {.kind = META_DELETE, .key = meta_text(path.text)};
  meta_write(n->world, NULL, &op);
}

/* That the node belongs to the cluster. */
static void meta_node(struct sim_world *w, uint32_t id) {
  struct doc_node doc = {.id = id, .name = "node", .address = "10.0.0.1:7000", .weight = 100};
  struct doc_path path = doc_path(sim_meta_cluster, DOC_PATH_NODE, id, 0);
  size_t n;
  char *text = doc_node_write(&doc, &n);
  struct meta_op op = {.kind = META_PUT, .key = meta_text(path.text), .value = {text, n}};
  if (text)
    meta_write(w, NULL, &op);
  else
    sim_fail(w, "a node's document breaks the rules");
  free(text);
}

void sim_meta_start(struct sim_world *w) {
  struct rep_config c = {.epoch = 1};
  uint32_t isr = w->n_nodes > 3 ? 3 : w->n_nodes;
  c.min_isr = sim_chance(w, 0.2) && !w->story ? 1 : w->n_nodes > 5 ? 3 : 2;
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    if (i <= isr)
      c.isr[c.n_isr++] = (struct rep_member){i, w->nodes[i].uuid};
    else
      c.learners[c.n_learners++] = i;
  }
  w->records = sim_memory(w, SIM_RECORDS * sizeof *w->records);
  w->meta = model_new(w->o.seed);
  w->controller = w->meta ? model_connect(w->meta) : NULL;
  if (!w->controller)
    abort();
  sim_meta_put(w, &c);
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    meta_node(w, i);
}

void sim_meta_end(struct sim_world *w) {
  meta_close(w->controller);
  model_free(w->meta);
}

void sim_meta_weather(struct sim_world *w) {
  sim_meta_look(w);
  meta_faults(w, false);
}

/* ---- A node's line ---- */

/* What the server and this node's line to it are like now. */
static void meta_weather(struct sim_world *w, struct sim_node *n) {
  sim_meta_weather(w);
  if (n->line)
    model_set_cut(n->line, w->now < n->meta_cut_until);
}

static int64_t meta_deadline(const struct sim_node *n) {
  return (int64_t)n->world->now + META_PATIENCE_US;
}

/* The node is to be called when its store has something for it. */
static void meta_schedule(struct sim_node *n) {
  int64_t due = meta_due(n->line);
  uint64_t at = due == INT64_MAX ? UINT64_MAX : rep_max((uint64_t)due, n->world->now + 1);
  if (at == UINT64_MAX || (n->meta_at > n->world->now && n->meta_at <= at))
    return;
  n->meta_at = at;
  sim_push(n->world, at, (struct sim_event){.kind = SIM_META, .node = n->id, .life = n->life});
}

static void meta_event(void *arg, const struct rep_event *ev) { sim_node_step(arg, ev); }

static void meta_gone(void *arg) {
  struct sim_node *n = arg;
  sim_fail(n->world, "the record is gone");
}

void sim_meta_asked(struct sim_world *w, const struct rep_config *c) {
  if (c->rev != sim_meta_record(w)->rev)
    return;
  for (uint32_t i = 0; i < w->n_asked; i++)
    if (memcmp(&w->asked[i], c, sizeof *c) == 0)
      return;
  if (w->n_asked < SIM_ASKED)
    w->asked[w->n_asked++] = *c;
}

void sim_meta_txn(struct sim_node *n, const struct rep_txn *txn) {
  meta_weather(n->world, n);
  if (txn->rev == txn->config.rev)
    sim_meta_asked(n->world, &txn->config);
  sim_trace(n->world, "node %u asks for %d at record %lu", n->id, txn->kind, txn->rev);
  rep_link_txn(n->link, txn, meta_deadline(n));
  meta_schedule(n);
}

void sim_meta_refresh(struct sim_node *n) {
  meta_weather(n->world, n);
  rep_link_refresh(n->link, meta_deadline(n));
  meta_schedule(n);
}

/* ---- Registration: a lease, the old key away, the new one under the lease ---- */

static void meta_registered(void *arg, const struct meta_result *r) {
  struct sim_node *n = arg;
  bool ok = r->status == META_OK && (r->succeeded || n->join == SIM_LEASE);
  if (!n->up)
    return;
  n->joining = false;
  if (n->join == SIM_LEASE && ok)
    n->lease = r->lease;
  if (n->join == SIM_JOINED) { /* the key was looked at */
    if (r->status == META_OK && !r->succeeded)
      n->join = SIM_LEASE;
    return;
  }
  n->join = ok ? n->join + 1 : SIM_LEASE;
  if (n->join != SIM_JOINED)
    return;
  struct rep_event ev = {.type = REP_EV_REGISTERED, .number = (uint64_t)r->revision};
  n->incarnation = r->revision;
  n->kept = n->world->now;
  sim_node_step(n, &ev);
}

static void meta_kept(void *arg, const struct meta_result *r) {
  struct sim_node *n = arg;
  if (n->up && r->status == META_NO_LEASE)
    n->join = SIM_LEASE;
}

static void meta_join_txn(struct sim_node *n) {
  struct doc_path path = doc_path(sim_meta_cluster, DOC_PATH_LIVE, n->id, 0);
  struct meta_bytes key = meta_text(path.text);
  struct meta_compare compare = {.key = key, .target = META_CREATE};
  struct meta_op op = {.kind = META_DELETE, .key = key};
  struct meta_txn txn = {&compare, &op, NULL, 0, 1, 0};
  if (n->join == SIM_PUT) {
    op.kind = META_PUT;
    op.value = meta_text("{}");
    op.lease = n->lease;
    txn.n_compares = 1;
  } else if (n->join == SIM_JOINED) {
    compare.number = n->incarnation;
    txn.n_compares = 1;
    op.kind = META_GET;
  }
  n->joining = meta_txn(n->line, &txn, meta_deadline(n), meta_registered, n) == META_OK;
}

/* Its key may be gone, by a request to take it away that was slow. */
static void meta_doubt(void *arg) {
  struct sim_node *n = arg;
  if (n->up && n->join == SIM_JOINED && !n->joining)
    meta_join_txn(n);
}

void sim_meta_tick(struct sim_node *n) {
  struct sim_world *w = n->world;
  meta_weather(w, n);
  if (n->join == SIM_JOINED && !n->joining && w->now - n->kept > META_KEEP_US) {
    n->kept = w->now;
    (void)meta_keep(n->line, n->lease, meta_deadline(n), meta_kept, n);
    if (sim_chance(w, 0.3))
      meta_join_txn(n);
  } else if (n->join == SIM_LEASE && !n->joining) {
    n->joining = meta_grant(n->line, META_TTL_S, meta_deadline(n), meta_registered, n) == META_OK;
  } else if (n->join != SIM_JOINED && !n->joining) {
    meta_join_txn(n);
  }
  meta_schedule(n);
}

void sim_meta_expire(struct sim_node *n) {
  if (n->up && n->lease)
    model_expire(n->world->meta, n->lease);
}

static void *meta_get_memory(void *arg, size_t size) {
  (void)arg;
  return calloc(1, size);
}

static void meta_put_memory(void *arg, void *block) {
  (void)arg;
  free(block);
}

void sim_meta_join(struct sim_node *n) {
  struct rep_link_options o = {.cluster = sim_meta_cluster,
                               .collection = SIM_COLLECTION,
                               .number = SIM_SHARD,
                               .node = n->id,
                               .alloc = {NULL, meta_get_memory, meta_put_memory},
                               .arg = n,
                               .event = meta_event,
                               .gone = meta_gone,
                               .doubt = meta_doubt};
  n->line = o.store = model_connect(n->world->meta);
  n->link = n->line ? rep_link_open(&o) : NULL;
  if (!n->link)
    abort();
  n->join = SIM_LEASE;
  n->joining = false;
  n->lease = 0;
  n->meta_at = 0;
}

void sim_meta_leave(struct sim_node *n) {
  rep_link_close(n->link);
  meta_close(n->line);
  n->link = NULL;
  n->line = NULL;
}

void sim_meta_event(struct sim_node *n) {
  struct sim_world *w = n->world;
  meta_weather(w, n);
  n->meta_at = 0;
  n->in_meta = true;
  meta_run(n->line, (int64_t)w->now);
  n->in_meta = false;
  meta_schedule(n);
}
