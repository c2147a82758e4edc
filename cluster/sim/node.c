/* node.c - the host of a replica: carries out its actions, and ends and begins its lives. */
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

enum { NODE_TICK_US = 50000 };

static uint64_t node_clock(const struct sim_node *n) {
  double us = (double)n->world->now * n->clock_rate + (double)n->clock_offset_us;
  return (uint64_t)(us / 1000);
}

static uint64_t node_latency(struct sim_world *w) {
  uint64_t us = 150 + sim_below(w, 600);
  return w->late > 0 && sim_chance(w, w->late) ? us + sim_below(w, 700000) : us;
}

/* Makes a message one of the next version, with something behind that this code does not know. */
static uint32_t node_newer(struct sim_world *w, uint8_t *data, uint32_t n) {
  uint32_t more = 1 + (uint32_t)sim_below(w, 40), added = REP_ADDED + more;
  data[2]++; /* the version */
  memcpy(data + n - REP_ADDED - sizeof added, &added, sizeof added);
  for (uint32_t i = 0; i < more; i++)
    data[n + i] = (uint8_t)sim_random(w);
  return n + more;
}

static void node_send(void *arg, const struct rep_msg *m) {
  struct sim_node *n = arg;
  struct sim_world *w = n->world;
  sim_check_send(n, m);
  if (m->type == w->armed) {
    w->armed = 0;
    n->crashes_soon = true;
  }
  if (w->blocked[n->id][m->to] || m->to > w->n_nodes || sim_chance(w, w->drop))
    return;
  struct sim_event ev = {.kind = SIM_MESSAGE, .node = m->to};
  if (rep_msg_bytes(m) + 40 > sizeof w->scratch) {
    sim_fail(w, "a message of %zu bytes", rep_msg_bytes(m));
    return;
  }
  ev.n = (uint32_t)rep_msg_write(m, w->scratch);
  if (n->newer)
    ev.n = node_newer(w, w->scratch, ev.n);
  ev.data = memcpy(sim_memory(w, ev.n), w->scratch, ev.n);
  sim_push(w, w->now + node_latency(w), ev);
  if (sim_chance(w, w->twice))
    sim_push(w, w->now + node_latency(w) + sim_below(w, 2000000), ev);
}

static void node_sync(void *arg) { sim_disk_sync(arg); }
static void node_txn(void *arg, const struct rep_txn *t) { sim_meta_txn(arg, t); }
static void node_refresh(void *arg) { sim_meta_refresh(arg); }
static void node_answer(void *arg, const struct rep_answer *a) { sim_client_answer(arg, a); }

static void node_diverged(void *arg, uint32_t node, uint64_t seq) {
  struct sim_node *n = arg;
  if (n->world->nodes[node].has_rotted || n->world->forced)
    return;
  sim_fail(n->world, "node %u says that node %u differs at %lu", n->id, node, seq);
}

static void node_stopped(void *arg, enum rep_reason why) {
  struct sim_node *n = arg;
  n->stopped = true;
  if (why != REP_WHY_STORE)
    sim_fail(n->world, "node %u stopped: %s", n->id, rep_reason_text(why));
}

static void *node_get(void *arg, size_t size) {
  (void)arg;
  return calloc(1, size);
}

static void node_put(void *arg, void *block) {
  (void)arg;
  free(block);
}

void sim_node_start(struct sim_node *n) {
  struct sim_world *w = n->world;
  struct rep_host host = {n,            node_send,   node_sync,     node_txn,
                          node_refresh, node_answer, node_diverged, node_stopped};
  struct rep_alloc alloc = {NULL, node_get, node_put};
  struct rep_store store = sim_disk_store(n);
  struct rep_machine machine = sim_map_machine(n);
  struct rep_options o = w->rep;
  o.node = n->id;
  o.store = n->uuid;
  o.life = n->life = ++w->lives;
  n->up = true;
  n->newer = w->upgrading && sim_chance(w, 0.5);
  sim_meta_join(n);
  n->stopped = n->crashes_soon = false;
  n->paused_until = 0;
  n->seen_rev = 0;
  n->rep = rep_open(&o, &alloc, &host, &store, &machine, node_clock(n));
  if (!n->rep)
    abort();
  sim_trace(w, "node %u starts, life %lu", n->id, n->life);
  sim_check_open(n);
  sim_push(w, w->now + sim_below(w, NODE_TICK_US),
           (struct sim_event){.kind = SIM_TICK, .node = n->id, .life = n->life});
}

void sim_node_close(struct sim_node *n) {
  n->up = false;
  sim_meta_leave(n);
  rep_close(n->rep);
  n->rep = NULL;
  if (n->map.snapshots)
    sim_fail(n->world, "node %u left %lu snapshots open", n->id, n->map.snapshots);
}

void sim_node_crash(struct sim_node *n, uint64_t back_us) {
  if (!n->up)
    return;
  sim_trace(n->world, "node %u crashes", n->id);
  sim_node_close(n);
  sim_disk_crash(n);
  sim_map_crash(n);
  n->world->result->crashes++;
  sim_push(n->world, n->world->now + back_us,
           (struct sim_event){.kind = SIM_START, .node = n->id});
}

void sim_node_step(struct sim_node *n, const struct rep_event *ev) {
  if (!n->up)
    return;
  rep_step(n->rep, node_clock(n), ev);
  sim_check_node(n);
  if ((n->stopped || n->crashes_soon) && !n->in_meta)
    sim_node_crash(n, 100000);
}

static void node_tick(struct sim_node *n, const struct sim_event *ev) {
  struct sim_world *w = n->world;
  struct rep_event tick = {.type = REP_EV_TICK};
  sim_push(w, w->now + NODE_TICK_US, *ev);
  sim_meta_tick(n);
  if (sim_chance(w, 0.02))
    sim_meta_refresh(n);
  sim_node_step(n, &tick);
}

static void node_message(struct sim_node *n, const struct sim_event *ev) {
  struct rep_msg m;
  if (!rep_msg_read(ev->data, ev->n, &m)) {
    sim_fail(n->world, "a message cannot be read");
    return;
  }
  struct rep_event out = {.type = REP_EV_MESSAGE, .msg = &m};
  if (!n->world->blocked[m.from][n->id])
    sim_node_step(n, &out);
}

void sim_node_event(struct sim_world *w, const struct sim_event *ev) {
  struct sim_node *n = &w->nodes[ev->node];
  struct rep_event out = {.type = REP_EV_SYNCED, .ok = true};
  if (ev->kind == SIM_START) {
    if (!n->up && n->id != w->left_out)
      sim_node_start(n);
    return;
  }
  if (!n->up || (ev->life && ev->life != n->life))
    return;
  switch (ev->kind) {
    case SIM_TICK: node_tick(n, ev); break;
    case SIM_MESSAGE: node_message(n, ev); break;
    case SIM_SYNCED:
      out.ok = !(w->drop > 0 && sim_chance(w, 0.0005));
      if (!out.ok || sim_disk_synced(n, ev->a))
        sim_node_step(n, &out);
      break;
    case SIM_META:
      sim_meta_event(n);
      if (n->stopped || n->crashes_soon)
        sim_node_crash(n, 100000);
      break;
    default: sim_ask_arrives(n, ev->data);
  }
}

struct sim_node *sim_node_leading(struct sim_world *w) {
  struct rep_info info;
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    struct sim_node *n = &w->nodes[i];
    if (!n->up)
      continue;
    rep_info(n->rep, &info);
    if (info.role == REP_LEADING && info.serving && info.epoch == sim_meta_record(w)->epoch)
      return n;
  }
  return NULL;
}
