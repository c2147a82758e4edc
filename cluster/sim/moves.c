/*
 * moves.c - the controller that moves the shard from node to node, by the steps of ctl/step.h, on a
 * line with all the faults of the metadata store. Whatever it knows is in the documents, so it may
 * be another one at any time.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl/step.h"
#include "sim/world.h"

enum { MOVES_EVERY_US = 150000, MOVES_PATIENCE_US = 500000 };

static void moves_connect(struct sim_world *w) {
  struct cache_config config = {.cluster = sim_meta_cluster, .reread_us = 1000000};
  w->mover.line = model_connect(w->meta);
  w->mover.cache = w->mover.line ? cache_open(w->mover.line, &config) : NULL;
  if (!w->mover.cache)
    abort();
}

void sim_moves_end(struct sim_world *w) {
  if (!w->mover.line)
    return;
  meta_close(w->mover.line);
  cache_close(w->mover.cache);
  w->mover.line = NULL;
}

void sim_moves_start(struct sim_world *w) {
  if (!w->moving)
    return;
  moves_connect(w);
  sim_push(w, MOVES_EVERY_US, (struct sim_event){.kind = SIM_MOVES});
}

static void moves_ignore(void *arg, const struct meta_result *r) {
  (void)arg;
  (void)r;
}

/* Asks for it; whether it comes about is seen in the documents. */
static void moves_ask(struct sim_world *w, const struct ctl_step *step) {
  struct ctl_change change;
  struct rep_config c;
  sim_trace(w, "move %u to %u: %s", step->move.source, step->move.target,
            doc_step_name(step->move.step));
  if (step->shard_changes && rep_link_config(&step->shard, step->shard_mod, &c))
    sim_meta_asked(w, &c);
  int64_t deadline = (int64_t)w->now + MOVES_PATIENCE_US;
  if (ctl_change_make(sim_meta_cluster, step, &change))
    (void)meta_txn(w->mover.line, &change.txn, deadline, moves_ignore, w);
  else
    sim_fail(w, "a step of a move breaks the rules of its documents");
  ctl_change_free(&change);
}

/* From where to where: from a member to any node; in the end, to a node that is no replica. */
static bool moves_choose(struct sim_world *w, struct ctl_step *step) {
  const struct doc_shard *shard = &step->shard;
  if (!w->healing) {
    step->move.source = shard->isr[sim_below(w, shard->n_isr)];
    step->move.target = 1 + (uint32_t)sim_below(w, w->n_nodes);
    return step->move.source != step->move.target;
  }
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    bool in = i == w->left_out;
    for (uint32_t k = 0; k < shard->n_replicas; k++)
      in |= shard->replicas[k].node == i;
    if (!in)
      step->move.target = i;
  }
  return step->move.target;
}

static void moves_plan(struct sim_world *w, const struct cache_view *view) {
  const struct cache_entry *shard = cache_find(view, DOC_PATH_SHARD, SIM_COLLECTION, SIM_SHARD);
  const struct cache_entry *old = cache_find(view, DOC_PATH_MOVE, SIM_COLLECTION, SIM_SHARD);
  struct ctl_step step = {.move = {.collection = SIM_COLLECTION, .shard = SIM_SHARD, .id = 1}};
  if (!shard || !shard->doc)
    return;
  step.shard = *(const struct doc_shard *)shard->doc;
  step.shard_mod = shard->mod;
  if (old) {
    const struct doc_move *before = old->doc;
    w->result->moves += before->step == DOC_MOVE_DONE;
    step.move.id = before->id + 1;
    step.move_mod = old->mod;
  }
  if (moves_choose(w, &step))
    moves_ask(w, &step);
}

/* What the nodes of a move have to do themselves. */
static void moves_wait(struct sim_world *w, const struct ctl_step *step) {
  struct ctl_step mine = *step;
  struct sim_node *leading = sim_node_leading(w);
  if (step->move.step == DOC_MOVE_COPYING && sim_chance(w, 0.3)) {
    mine.move.bytes_done = mine.move.bytes_total = 1;
    moves_ask(w, &mine);
  } else if (step->move.step == DOC_MOVE_SWITCHING && leading) {
    bool leads = leading->id == step->move.source;
    struct rep_event ev = {.type = leads ? REP_EV_HANDOFF : REP_EV_LEAVE};
    ev.node = leads ? step->move.target : step->move.source;
    sim_node_step(leading, &ev);
  }
}

static void moves_look(struct sim_world *w, const struct cache_view *view) {
  struct ctl_step step, cancel;
  bool any = ctl_step(view, SIM_COLLECTION, SIM_SHARD, &step);
  bool cancels = w->healing ? any && step.move.target == w->left_out : sim_chance(w, 0.02);
  if (any && cancels && step.next != CTL_NEXT_OVER &&
      ctl_cancel(view, SIM_COLLECTION, SIM_SHARD, "it is not wanted any more", &cancel))
    moves_ask(w, &cancel);
  else if (any && step.next == CTL_NEXT_STEP)
    moves_ask(w, &step);
  else if (any && step.next == CTL_NEXT_WAIT)
    moves_wait(w, &step);
  else if (sim_chance(w, 0.3))
    moves_plan(w, view);
}

void sim_moves_event(struct sim_world *w, const struct sim_event *ev) {
  sim_push(w, w->now + MOVES_EVERY_US, *ev);
  if (sim_chance(w, 0.05)) { /* another controller */
    sim_moves_end(w);
    moves_connect(w);
  }
  sim_meta_weather(w);
  meta_run(w->mover.line, (int64_t)w->now);
  cache_run(w->mover.cache, (int64_t)w->now);
  const struct cache_view *view = cache_take(w->mover.cache);
  if (!view)
    return;
  moves_look(w, view);
  cache_give(view);
}
