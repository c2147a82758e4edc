/* faults.c - what goes wrong, and when it ends. */
#include <string.h>

#include "sim/world.h"

static struct sim_node *faults_node(struct sim_world *w) {
  struct sim_node *leading = sim_node_leading(w);
  if (leading && sim_chance(w, 0.5))
    return leading;
  return &w->nodes[1 + sim_below(w, w->n_nodes)];
}

/* Up to 1 s mostly, up to 6 s at times. */
static uint64_t faults_while(struct sim_world *w) {
  return sim_chance(w, 0.8) ? 50000 + sim_below(w, 1500000) : sim_below(w, 6000000);
}

static void faults_unblock(struct sim_world *w) { memset(w->blocked, 0, sizeof w->blocked); }

static void faults_partition(struct sim_world *w) {
  bool side[SIM_NODES + 1];
  faults_unblock(w);
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    side[i] = sim_chance(w, 0.5);
  uint64_t kind = sim_below(w, 3);
  uint32_t bridge = 1 + (uint32_t)sim_below(w, w->n_nodes);
  for (uint32_t a = 1; a <= w->n_nodes; a++)
    for (uint32_t b = 1; b <= w->n_nodes; b++) {
      bool cut = side[a] != side[b];
      if (kind == 1)
        cut = cut && side[a]; /* one way */
      if (kind == 2)
        cut = cut && a != bridge && b != bridge;
      w->blocked[a][b] = cut;
    }
}

static void faults_isolate(struct sim_world *w) {
  uint32_t node = faults_node(w)->id;
  bool in = !sim_chance(w, 0.3), out = !sim_chance(w, 0.3);
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    w->blocked[i][node] |= in;
    w->blocked[node][i] |= out;
  }
}

/* How many members of a record's ISR but n have lost their disks; -1: all of them. */
static int faults_lost_of(struct sim_world *w, const struct rep_config *c,
                          const struct sim_node *n) {
  int lost = 0, others = 0;
  for (uint32_t i = 0; i < c->n_isr; i++) {
    const struct sim_node *m = &w->nodes[c->isr[i].node];
    if (m == n)
      continue;
    if (!sim_disk_sound(m))
      return -1;
    others++;
    lost += !rep_same_store(c->isr[i].store, m->uuid);
  }
  return lost == others ? -1 : lost;
}

/* The same of the record as it is and of every one that a transaction under way may make of it. Rot
   that nobody has noticed yet is as bad as a lost disk, of a learner too: it may grow and lead. */
static int faults_lost(struct sim_world *w, const struct sim_node *n) {
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    if (&w->nodes[i] != n && w->nodes[i].rotten && !sim_disk_sound(&w->nodes[i]))
      return -1;
  sim_meta_look(w);
  int lost = faults_lost_of(w, sim_meta_record(w), n);
  for (uint32_t i = 0; i < w->n_asked && lost >= 0; i++) {
    int then = faults_lost_of(w, &w->asked[i], n);
    lost = then < 0 || then > lost ? then : lost;
  }
  return w->n_asked == SIM_ASKED ? -1 : lost;
}

bool sim_can_spare(struct sim_node *n) { return faults_lost(n->world, n) >= 0; }

/* An entry of the log cannot be read any more. */
static void faults_rot(struct sim_world *w) {
  struct sim_node *n = faults_node(w);
  if (!n->up || !n->disk.now.n || n->rotten || faults_lost(w, n) ||
      sim_meta_record(w)->min_isr < 2) /* or the one that rots may be the last that is left */
    return;
  n->rotten = n->disk.now.base.seq + 1 + sim_below(w, n->disk.now.n);
  n->has_rotted = true;
  sim_check_wipe(n);
  sim_trace(w, "entry %lu of node %u rots", n->rotten, n->id);
}

void sim_wipe(struct sim_node *n, uint64_t back_us) {
  struct sim_world *w = n->world;
  sim_trace(w, "node %u loses its disk", n->id);
  sim_node_crash(n, back_us);
  sim_check_wipe(n);
  sim_disk_wipe(n);
  memset(&n->map, 0, sizeof n->map);
  n->map.node = n->id;
  n->uuid = (struct rep_uuid){sim_random(w), sim_random(w)};
  n->answered_epoch = 0;
  if (w->now >= w->meta_down_until)
    sim_meta_forget(n);
  w->result->wipes++;
}

/* A disk is replaced. */
static void faults_wipe(struct sim_world *w) {
  struct sim_node *n = faults_node(w);
  if (n->up && sim_can_spare(n))
    sim_wipe(n, faults_while(w));
}

static void faults_hand_over(struct sim_world *w) {
  struct sim_node *n = sim_node_leading(w);
  struct rep_event ev = {.type = REP_EV_HANDOFF};
  ev.node = 1 + (uint32_t)sim_below(w, w->n_nodes);
  if (n && ev.node != n->id)
    sim_node_step(n, &ev);
}

/* The controller takes a learner out of the record, or a node that is not in it in. */
static void faults_members(struct sim_world *w) {
  sim_meta_look(w);
  struct rep_config c = *sim_meta_record(w);
  uint32_t node = 1 + (uint32_t)sim_below(w, w->n_nodes);
  if (rep_isr_at(&c, node) >= 0 || w->now < w->meta_down_until)
    return;
  int at = rep_learner_at(&c, node);
  if (at < 0)
    c.learners[c.n_learners++] = node;
  else
    c.learners[at] = c.learners[--c.n_learners];
  sim_meta_put(w, &c);
}

static void faults_network(struct sim_world *w) {
  w->drop = sim_chance(w, 0.5) ? 0.002 : 0.1 * (double)sim_below(w, 4);
  w->twice = 0.05 * (double)sim_below(w, 4);
  w->late = sim_chance(w, 0.5) ? 0.002 : 0.1 * (double)sim_below(w, 4);
}

/* The others are told that a node refuses connections, which may be wrong. */
static void faults_down(struct sim_world *w, uint32_t node) {
  struct rep_event ev = {.type = REP_EV_DOWN, .node = node};
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    if (i != node)
      sim_node_step(&w->nodes[i], &ev);
}

/* The primary loses its peers and the metadata store, but not its clients. */
static void faults_depose(struct sim_world *w) {
  struct sim_node *n = sim_node_leading(w);
  if (!n)
    return;
  bool alone = sim_chance(w, 0.5);
  n->meta_cut_until = w->now + 2000000 + sim_below(w, 3000000);
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    w->blocked[i][n->id] = w->blocked[n->id][i] = i != n->id && (alone || sim_chance(w, 0.5));
  if (sim_chance(w, 0.5))
    faults_down(w, n->id);
}

void sim_fault(struct sim_world *w) {
  struct sim_node *n = faults_node(w);
  w->result->faults++;
  uint32_t kind = (uint32_t)sim_below(w, 23);
  if (!(w->fault_kinds >> kind & 1))
    return;
  switch (kind) {
    case 0: case 1: case 2: sim_node_crash(n, faults_while(w)); break;
    case 3: case 4: n->paused_until = w->now + faults_while(w); break;
    case 5: case 6: faults_partition(w); break;
    case 7: faults_isolate(w); break;
    case 8: case 9: faults_unblock(w); break;
    case 10: faults_network(w); break;
    case 11: faults_wipe(w); break;
    case 12: n->slow_until = w->now + faults_while(w); break;
    case 13: n->full_until = w->now + faults_while(w); break;
    case 14:
      w->meta_down_until = sim_chance(w, 0.5) ? w->now + faults_while(w) : 0;
      w->watch_lag_until = w->now + faults_while(w);
      break;
    case 15:
      w->meta_slow_until = w->now + faults_while(w);
      w->meta_lossy_until = w->now + faults_while(w);
      break;
    case 16:
      sim_meta_expire(n);
      faults_down(w, n->id);
      break;
    case 17:
      if (sim_chance(w, 0.4))
        faults_rot(w);
      break;
    case 18: n->meta_cut_until = w->now + faults_while(w); break;
    case 19: faults_depose(w); break;
    case 20: w->armed = 1 + (uint32_t)sim_below(w, REP_TYPES - 1); break;
    case 21: n->clock_offset_us += 1000000 + (int64_t)sim_below(w, 30000000); break; /* leaps */
    default:
      if (sim_chance(w, 0.5))
        faults_hand_over(w);
      else
        faults_members(w);
  }
}

/* At times one node stays away for good: the others must do without it. */
static void faults_leave_out(struct sim_world *w) {
  struct sim_node *n = faults_node(w);
  if (!n->up || !sim_chance(w, 0.4) || !sim_can_spare(n) ||
      w->n_nodes <= sim_meta_record(w)->min_isr)
    return;
  w->left_out = n->id;
  sim_check_wipe(n);
  sim_node_crash(n, 0);
}

void sim_heal(struct sim_world *w) {
  sim_trace(w, "healing");
  w->healing = true;
  faults_leave_out(w);
  faults_unblock(w);
  w->drop = w->twice = w->late = 0;
  w->meta_down_until = w->meta_slow_until = w->meta_lossy_until = w->watch_lag_until = 0;
  sim_meta_look(w);
  struct rep_config c = *sim_meta_record(w);
  bool changed = false;
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    struct sim_node *n = &w->nodes[i];
    n->slow_until = n->full_until = n->meta_cut_until = 0;
    n->paused_until = rep_min(n->paused_until, w->now);
    if (!n->up)
      sim_push(w, w->now, (struct sim_event){.kind = SIM_START, .node = i});
    if (i != w->left_out && rep_isr_at(&c, i) < 0 && rep_learner_at(&c, i) < 0) {
      c.learners[c.n_learners++] = i;
      changed = true;
    }
  }
  if (changed)
    sim_meta_put(w, &c);
}
