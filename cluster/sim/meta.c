/*
 * meta.c - the metadata store of the simulation: one record under compare-and-swap, and everything
 * that may be wrong around it: away, slow, answers lost though applied, old reads, late and lost
 * watches.
 */
#include <string.h>

#include "sim/world.h"

enum { META_PATIENCE_US = 500000 };

const struct rep_config *sim_meta_record(const struct sim_world *w) {
  return &w->records[w->n_records - 1];
}

/* Tells everybody, sooner, later, or not at all. */
static void meta_watch(struct sim_world *w) {
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    struct sim_event ev = {.kind = SIM_CONFIG, .node = i, .a = w->n_records - 1};
    uint64_t lag = w->now < w->watch_lag_until ? 3000000 : 15000;
    if (w->now < w->nodes[i].meta_cut_until)
      continue;
    if (w->healing || !sim_chance(w, 0.1))
      sim_push(w, w->now + 500 + sim_below(w, lag), ev);
    if (!w->healing && sim_chance(w, 0.1))
      sim_push(w, w->now + sim_below(w, 4000000), ev);
  }
}

void sim_meta_put(struct sim_world *w, const struct rep_config *c) {
  if (w->n_records == SIM_RECORDS) {
    sim_fail(w, "the record changed %u times", w->n_records);
    return;
  }
  w->records[w->n_records] = *c;
  w->records[w->n_records++].rev = ++w->revision;
  if (w->n_records > 1)
    sim_check_record(w, sim_meta_record(w));
  sim_trace(w, "record %lu: epoch %lu primary %u isr %u learners %u", w->revision, c->epoch,
            c->isr[0].node, c->n_isr, c->n_learners);
  meta_watch(w);
}

void sim_meta_register(struct sim_node *n) {
  struct sim_world *w = n->world;
  n->incarnation = ++w->revision;
  sim_push(w, w->now + 1000 + sim_below(w, 200000),
           (struct sim_event){.kind = SIM_REGISTERED, .node = n->id, .a = n->incarnation});
}

void sim_meta_start(struct sim_world *w) {
  struct rep_config c = {.epoch = 1};
  w->records = sim_memory(w, SIM_RECORDS * sizeof *w->records);
  uint32_t isr = w->n_nodes > 3 ? 3 : w->n_nodes;
  c.min_isr = sim_chance(w, 0.2) ? 1 : w->n_nodes > 5 ? 3 : 2;
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    if (i <= isr)
      c.isr[c.n_isr++] = (struct rep_member){i, w->nodes[i].store};
    else
      c.learners[c.n_learners++] = i;
  }
  sim_meta_put(w, &c);
}

static uint64_t meta_latency(struct sim_world *w) {
  return w->now < w->meta_slow_until ? sim_below(w, 3000000) : 500 + sim_below(w, 4000);
}

static void meta_reply(struct sim_world *w, struct sim_request *q, uint64_t us) {
  struct sim_event ev = {.kind = SIM_META_ANSWER, .node = q->node, .life = q->life, .data = q};
  sim_push(w, w->now + us, ev);
}

static void meta_request(struct sim_node *n, const struct rep_txn *txn) {
  struct sim_world *w = n->world;
  struct sim_request *q = sim_memory(w, sizeof *q);
  q->node = n->id;
  q->life = n->life;
  q->read = !txn;
  q->outcome = REP_TXN_UNKNOWN;
  if (txn)
    q->txn = *txn;
  sim_push(w, w->now + meta_latency(w), (struct sim_event){.kind = SIM_META, .data = q});
  struct sim_request *late = sim_memory(w, sizeof *late);
  *late = *q;
  if (txn)
    meta_reply(w, late, META_PATIENCE_US);
}

void sim_meta_txn(struct sim_node *n, const struct rep_txn *txn) { meta_request(n, txn); }
void sim_meta_refresh(struct sim_node *n) { meta_request(n, NULL); }

/* The request has reached the store. */
static void meta_execute(struct sim_world *w, struct sim_request *q) {
  struct sim_node *n = &w->nodes[q->node];
  if (w->now < w->meta_down_until || w->now < n->meta_cut_until)
    return;
  q->record = w->n_records - 1;
  if (q->read) {
    if (!w->healing && sim_chance(w, 0.1))
      q->record -= (uint32_t)sim_below(w, rep_min(4, w->n_records));
  } else {
    uint64_t rev = sim_meta_record(w)->rev;
    bool holds = q->txn.incarnation == n->incarnation &&
                 (q->txn.rev == rev || PLANT(NO_COMPARE, false, true));
    q->outcome = holds ? REP_TXN_DONE : REP_TXN_FAILED;
    if (holds) {
      w->result->promotions += q->txn.kind == REP_PROMOTE;
      sim_trace(w, "txn %d of node %u", q->txn.kind, q->node);
      sim_meta_put(w, &q->txn.config);
    }
    q->record = w->n_records - 1;
  }
  if (w->now < w->meta_lossy_until && sim_chance(w, 0.6))
    return;
  meta_reply(w, q, meta_latency(w));
}

static void meta_answer(struct sim_world *w, const struct sim_event *ev) {
  struct sim_node *n = &w->nodes[ev->node];
  const struct sim_request *q = ev->data;
  if (!n->up || n->life != ev->life)
    return;
  struct rep_event out = {.type = q->read ? REP_EV_CONFIG : REP_EV_TXN, .outcome = q->outcome};
  if (q->read || q->outcome != REP_TXN_UNKNOWN)
    out.config = &w->records[q->record];
  sim_node_step(n, &out);
}

void sim_meta_event(struct sim_world *w, const struct sim_event *ev) {
  if (ev->kind == SIM_META)
    meta_execute(w, ev->data);
  else
    meta_answer(w, ev);
}
