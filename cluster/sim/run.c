/*
 * run.c - one run from a seed: a cluster of some shape, faults, healing, the end; or a story, in
 * which only what a test does goes wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

#ifdef REP_PLANT
enum sim_plant rep_planted;
#endif

enum {
  RUN_LONGEST_US = 40000000,
  RUN_HEALED_US = 10000000, /* clients go on so long after healing */
  RUN_END_US = 3000000      /* and then everybody has time to catch up */
};

static void run_options(struct sim_world *w) {
  rep_options_default(&w->rep);
  w->rep.shard = SIM_SHARD;
  w->rep.window = 64;
  w->rep.async_window = 8;
  w->rep.grow_lag = 16;
  w->rep.keep = 40 + sim_below(w, 100);
  w->rep.chain = sim_chance(w, 0.3);
  bool harsh = sim_chance(w, 0.6);
  w->fault_gap_us = harsh ? 100000 + sim_below(w, 500000) : 500000 + sim_below(w, 2000000);
  w->longest_us = harsh ? RUN_LONGEST_US : RUN_LONGEST_US / 2;
  w->fault_kinds = (uint32_t)sim_random(w) | (uint32_t)sim_random(w);
  w->async_share = sim_chance(w, 0.3) ? 0.6 : 0;
  w->moving = sim_chance(w, 0.3);
  w->upgrading = sim_chance(w, 0.3);
}

static uint32_t run_size(struct sim_world *w) {
  static const uint32_t sizes[] = {3, 3, 3, 3, 5, 5, 5, 4, 7, 2};
  return sizes[sim_below(w, sizeof sizes / sizeof *sizes)];
}

static void run_nodes(struct sim_world *w, uint32_t count) {
  w->n_nodes = count;
  for (uint32_t i = 1; i <= w->n_nodes; i++) {
    struct sim_node *n = &w->nodes[i];
    n->world = w;
    n->id = n->map.node = i;
    n->uuid = (struct rep_uuid){sim_random(w), sim_random(w)};
    n->clock_rate = 0.99 + 0.02 * (double)sim_below(w, 100) / 100;
    n->clock_offset_us = (int64_t)sim_below(w, 100000000) + 10000000;
    n->sync_us = 500 + sim_below(w, 4000);
  }
}

static bool run_paused(struct sim_world *w, const struct sim_event *ev) {
  if (!ev->node || ev->kind == SIM_START)
    return false;
  struct sim_node *n = &w->nodes[ev->node];
  if (!n->up || w->now >= n->paused_until)
    return false;
  sim_push(w, n->paused_until, *ev);
  return true;
}

static void run_event(struct sim_world *w, const struct sim_event *ev) {
  if (run_paused(w, ev))
    return;
  switch (ev->kind) {
    case SIM_CLIENT:
    case SIM_REPLY: sim_client_event(w, ev); break;
    case SIM_FAULT:
      if (w->healing)
        break;
      sim_fault(w);
      if (w->result->ops < w->o.ops && w->now < w->longest_us) {
        sim_push(w, w->now + sim_below(w, 2 * w->fault_gap_us), *ev);
      } else {
        sim_heal(w);
        sim_push(w, w->now + RUN_HEALED_US, (struct sim_event){.kind = SIM_HEAL});
      }
      break;
    case SIM_MOVES: sim_moves_event(w, ev); break;
    case SIM_HEAL: w->ending = true; break;
    default: sim_node_event(w, ev);
  }
}

/* False: nothing happens before `end`, or the run has failed. */
static bool run_next(struct sim_world *w, uint64_t end) {
  struct sim_event ev;
  if (w->result->failed || !w->n_events || w->heap[0].at >= end || !sim_pop(w, &ev))
    return false;
  w->now = ev.at;
  w->result->events++;
  w->result->digest = rep_mix(w->result->digest, rep_mix(ev.at, ev.kind << 8 | ev.node));
  run_event(w, &ev);
  return true;
}

static struct sim_world *run_begin(const struct sim_options *o, struct sim_result *result) {
  struct sim_world *w = calloc(1, sizeof *w);
  if (!w)
    abort();
  memset(result, 0, sizeof *result);
  w->o = *o;
  w->result = result;
  w->rng = o->seed * 0x9e3779b97f4a7c15u + 1;
  w->now = 1;
  run_options(w);
  return w;
}

static void run_start(struct sim_world *w) {
  sim_meta_start(w);
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    sim_node_start(&w->nodes[i]);
  sim_clients_start(w);
  sim_moves_start(w);
}

static void run_end(struct sim_world *w) {
  if (!w->result->failed)
    sim_check_end(w);
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    if (w->nodes[i].rep)
      sim_node_close(&w->nodes[i]);
  sim_moves_end(w);
  sim_meta_end(w);
  w->result->simulated_us = w->now;
  sim_memory_free(w);
  free(w);
}

void sim_run(const struct sim_options *o, struct sim_result *result) {
  struct sim_world *w = run_begin(o, result);
  run_nodes(w, run_size(w));
  run_start(w);
  sim_push(w, 1000000, (struct sim_event){.kind = SIM_FAULT});
  uint64_t end = UINT64_MAX;
  while (run_next(w, end))
    if (w->ending && end == UINT64_MAX)
      end = w->now + RUN_END_US;
  run_end(w);
}

struct sim_world *sim_story(const struct sim_options *o, uint32_t nodes,
                            struct sim_result *result) {
  struct sim_world *w = run_begin(o, result);
  w->story = w->healing = true;
  w->async_share = 0;
  w->rep.keep = 100000;
  w->moving = w->upgrading = w->rep.chain = false;
  run_nodes(w, nodes);
  run_start(w);
  return w;
}

void sim_story_for(struct sim_world *w, uint64_t us) {
  uint64_t end = w->now + us;
  while (run_next(w, end))
    ;
  w->now = end;
}

void sim_story_end(struct sim_world *w) {
  w->ending = true;
  sim_story_for(w, RUN_END_US);
  run_end(w);
}
