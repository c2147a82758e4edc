/* split.c - the nodes of a shard that is split, their data and the documents; see split.h. */
#include "sim/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/plant.h"
#include "sim/split_world.h"

enum { SP_STEPS = 6000, SP_END = 60000 };

uint64_t sp_below(struct sp_world *w, uint64_t n) {
  w->rng = rep_mix(w->rng, 0x9e3779b97f4a7c15u);
  return w->rng % n;
}

void sp_fail(struct sp_world *w, const char *why) {
  if (!w->result->failed)
    snprintf(w->result->why, sizeof w->result->why, "%s", why);
  w->result->failed = true;
}

/* ---- Data ---- */

static void sp_drop(struct sp_data *d, uint32_t from, uint32_t to) {
  for (uint32_t key = from; key < to; key++)
    d->values[key] = 0;
}

/* Whether the entry is a write that is done now. */
static bool sp_apply(struct sp_data *d, const struct sp_write *writes, const struct sp_entry *e) {
  struct rep_dedup dedup = {d->clients, d->n_clients, SP_CLIENTS + 2};
  d->seq++;
  if (e->split) {
    if (rep_split_apply(&d->split, e->split, e->id) && e->split == REP_SPLIT_RELEASE)
      sp_drop(d, PLANT(SPLIT_KEEPS, SP_MOVED, SP_KEYS), SP_KEYS);
    return false;
  }
  if (!e->write || rep_dedup_look(&dedup, e->op) != REP_NEW)
    return false;
  d->values[writes[e->write].key] = e->write;
  rep_dedup_add(&dedup, e->op, d->seq);
  d->n_clients = dedup.n;
  return true;
}

struct sp_data *sp_leading(struct sp_world *w, enum sp_shard_name shard) {
  uint32_t leader = w->shards[shard].leader;
  return leader ? &w->nodes[leader].replicas[shard].now : NULL;
}

bool sp_pending(const struct sp_shard *s) {
  for (uint64_t i = s->commit; i < s->n; i++)
    if (s->log[i].split)
      return true;
  return false;
}

void sp_append(struct sp_world *w, enum sp_shard_name shard, struct sp_entry e) {
  struct sp_shard *s = &w->shards[shard];
  if (s->n < SP_LOG)
    s->log[s->n++] = e;
}

/* ---- Replication, which is taken for granted ---- */

/* Whether the node has a replica of the shard as its record is now: one of a child whose split came
   to nothing is another's. */
static bool sp_has(const struct sp_world *w, uint32_t node, enum sp_shard_name shard) {
  const struct sp_replica *r = &w->nodes[node].replicas[shard];
  return r->has && r->of == w->shards[shard].of;
}

static uint32_t sp_members(const struct sp_world *w, enum sp_shard_name shard) {
  uint32_t n = 0;
  for (uint32_t i = 1; i <= SP_NODES; i++)
    n += w->nodes[i].up && sp_has(w, i, shard);
  return n;
}

static void sp_catch_up(struct sp_world *w, enum sp_shard_name shard, uint32_t node) {
  struct sp_data *d = &w->nodes[node].replicas[shard].now;
  while (d->seq < w->shards[shard].commit)
    sp_apply(d, w->writes, &w->shards[shard].log[d->seq]);
}

static void sp_committed(struct sp_world *w, enum sp_shard_name shard) {
  struct sp_shard *s = &w->shards[shard];
  const struct sp_entry *e = &s->log[s->commit++];
  if (!sp_apply(&s->truth, w->writes, e))
    return;
  struct sp_write *write = &w->writes[e->write];
  write->order = ++w->order;
  if (++write->done > 1)
    sp_fail(w, "a write was done twice");
}

static void sp_commit(struct sp_world *w, enum sp_shard_name shard) {
  struct sp_shard *s = &w->shards[shard];
  if (!s->leader || sp_members(w, shard) < SP_MIN_ISR)
    return;
  while (s->commit < s->n) {
    const struct sp_entry *e = &s->log[s->commit];
    sp_committed(w, shard);
    sp_catch_up(w, shard, s->leader);
    if (e->client)
      sp_answer(w, e->client, e->attempt, REP_DONE);
  }
}

/* A new leader: what was not committed is lost from somewhere on. */
static void sp_elect(struct sp_world *w, enum sp_shard_name shard) {
  struct sp_shard *s = &w->shards[shard];
  uint32_t node = 1 + (uint32_t)sp_below(w, SP_NODES);
  if (s->leader || !s->there || !w->nodes[node].up || !sp_has(w, node, shard))
    return;
  bool enough = sp_members(w, shard) >= SP_MIN_ISR;
  uint64_t kept = enough ? sp_below(w, s->n - s->commit + 1) : 0;
  s->n = s->commit + kept;
  while (s->commit < s->n)
    sp_committed(w, shard);
  s->leader = node;
  sp_catch_up(w, shard, node);
}

/* ---- Faults ---- */

/* The split that the parent's data is about to release; 0: none. */
static uint64_t sp_releases(const struct sp_world *w, const struct sp_data *d) {
  const struct sp_shard *s = &w->shards[SP_PARENT];
  const struct sp_entry *e = d->seq < s->commit ? &s->log[d->seq] : NULL;
  struct rep_split after = d->split;
  bool does = e && e->split == REP_SPLIT_RELEASE && rep_split_apply(&after, e->split, e->id);
  return does ? e->id : 0;
}

/* The rows go one by one, after it was noted that they do: a crash may come between. */
static void sp_release_some(struct sp_world *w, struct sp_data *d) {
  uint64_t id = sp_releases(w, d);
  if (!id)
    return;
  d->released = id;
  sp_drop(d, SP_MOVED, SP_MOVED + (uint32_t)sp_below(w, SP_KEYS - SP_MOVED + 1));
}

static void sp_crash(struct sp_world *w, uint32_t node) {
  struct sp_node *n = &w->nodes[node];
  if (sp_below(w, 2))
    n->view = w->before;
  if (n->up && n->replicas[SP_PARENT].has) {
    if (sp_below(w, 2))
      n->replicas[SP_PARENT].durable = n->replicas[SP_PARENT].now;
    sp_release_some(w, &n->replicas[SP_PARENT].durable);
  }
  n->up = false;
  w->result->crashes++;
  for (int k = 0; k < SP_SHARDS; k++) {
    n->replicas[k].now = n->replicas[k].durable;
    if (w->shards[k].leader == node)
      w->shards[k].leader = 0;
  }
}

/* Whether another node has the moved rows, when the parent may have dropped them. */
static bool sp_child_spared(const struct sp_world *w, uint32_t node) {
  const struct rep_split_plan *plan = &w->docs.plan;
  bool spared = !w->docs.moved && plan->step != REP_SPLIT_RELEASING;
  for (uint32_t i = 1; i <= SP_NODES; i++) {
    const struct sp_node *n = &w->nodes[i];
    for (uint32_t k = 0; k < plan->n_forks && i != node; k++)
      spared |= plan->forks[k].node == i && rep_same_store(plan->forks[k].store, n->store);
    spared |= i != node && sp_has(w, i, SP_CHILD);
  }
  return spared;
}

static void sp_wipe(struct sp_world *w, uint32_t node) {
  struct sp_node *n = &w->nodes[node];
  bool spared = sp_child_spared(w, node);
  uint32_t others = 0;
  for (uint32_t i = 1; i <= SP_NODES; i++)
    others += i != node && w->nodes[i].replicas[SP_PARENT].has;
  if (!spared || others + 1 < SP_NODES)
    return;
  sp_crash(w, node);
  n->store.lo++;
  n->forked = 0;
  memset(n->replicas, 0, sizeof n->replicas);
  w->result->wipes++;
}

/* A replica without data gets the leader's. */
static void sp_restore(struct sp_world *w, uint32_t node, enum sp_shard_name shard) {
  struct sp_replica *r = &w->nodes[node].replicas[shard];
  const struct sp_data *leading = sp_leading(w, shard);
  if (!w->nodes[node].up || r->has || !leading)
    return;
  r->has = true;
  r->of = w->shards[shard].of;
  r->now = r->durable = *leading;
}

/* ---- The split ---- */

static struct rep_member sp_self(const struct sp_world *w, uint32_t node) {
  return (struct rep_member){node, w->nodes[node].store};
}

static void sp_set(struct sp_world *w, struct sp_docs docs) {
  struct sp_shard *child = &w->shards[SP_CHILD];
  docs.mod++;
  w->docs = docs;
  if (child->of != docs.child)
    *child = (struct sp_shard){.of = docs.child};
}

/* Puts documents if nothing has changed since the node has looked; it may not hear of it. */
static bool sp_put(struct sp_world *w, uint32_t node, struct sp_docs docs) {
  if (docs.mod != w->docs.mod)
    return false;
  if (sp_below(w, 3) == 0)
    w->before = w->docs;
  sp_set(w, docs);
  if (sp_below(w, 3))
    w->nodes[node].view = w->docs;
  return true;
}

/* Documents that were put long ago arrive. */
static void sp_late(struct sp_world *w) {
  if (!w->ending && sp_below(w, 10))
    return;
  if (w->late.mod && w->late.mod == w->docs.mod)
    sp_set(w, w->late);
  w->late.mod = 0;
}

/* The replica's copy of what moves. The data stays as it is meanwhile, so it may be made anew. */
static void sp_fork(struct sp_world *w, uint32_t node) {
  struct sp_node *n = &w->nodes[node];
  struct sp_replica *r = &n->replicas[SP_PARENT];
  struct sp_docs docs = n->view;
  if (!n->up || !r->has || !rep_split_forks(&docs.plan, &r->now.split, sp_self(w, node)) ||
      PLANT(SPLIT_COPY_LATE, r->now.released == docs.plan.id, false))
    return;
  if (n->forked != docs.plan.id && docs.mod != w->docs.mod)
    return; /* it is asked before, so that no copy for a later split is replaced */
  n->fork = r->now;
  n->fork.seq = 0;
  n->fork.split = (struct rep_split){.generation = 1};
  n->fork.released = 0;
  n->fork.n_clients = PLANT(SPLIT_OPS_LOST, n->fork.n_clients, 0);
  sp_drop(&n->fork, 0, SP_MOVED);
  n->forked = docs.plan.id;
  if (sp_below(w, 4) == 0)
    return; /* and is not told yet */
  uint32_t k = 0;
  while (k < docs.plan.n_forks && docs.plan.forks[k].node != node)
    k++;
  docs.plan.forks[k] = sp_self(w, node);
  docs.plan.n_forks = k < docs.plan.n_forks ? docs.plan.n_forks : k + 1;
  sp_put(w, node, docs);
}

static void sp_map(struct sp_world *w, uint32_t node, struct sp_docs docs) {
  docs.plan.step = REP_SPLIT_DONE;
  docs.child = docs.plan.id;
  docs.moved = true;
  docs.generation[SP_PARENT]++;
  docs.generation[SP_CHILD] = 1;
  if (!sp_put(w, node, docs))
    return;
  w->result->splits++;
  if (docs.plan.n_forks < SP_MIN_ISR)
    sp_fail(w, "the child begins with too few copies");
}

static struct rep_config sp_config(const struct sp_world *w) {
  struct rep_config c = {.min_isr = SP_MIN_ISR};
  for (uint32_t i = 1; i <= SP_NODES; i++)
    if (w->nodes[i].up && w->nodes[i].replicas[SP_PARENT].has)
      c.isr[c.n_isr++] = sp_self(w, i);
  return c;
}

/* What the parent's primary does about it. */
static void sp_lead(struct sp_world *w) {
  struct sp_shard *s = &w->shards[SP_PARENT];
  const struct sp_data *d = sp_leading(w, SP_PARENT);
  if (!d)
    return;
  struct sp_docs docs = w->nodes[s->leader].view;
  const struct rep_config c = sp_config(w);
  struct sp_entry e = {.id = docs.plan.id};
  enum rep_split_do next = rep_split_next(&docs.plan, &d->split, sp_pending(s), &c);
  if (next == REP_SPLIT_APPEND_RELEASE && !w->ending &&
      sp_below(w, w->shards[SP_CHILD].leader ? 8 : 20))
    next = REP_SPLIT_NOTHING; /* the child does not lead itself yet, as far as is known here */
  if (rep_split_may_end(next, &d->split, sp_pending(s)) && !w->ending && sp_below(w, 15) == 0) {
    w->result->ended++;
    next = REP_SPLIT_APPEND_CANCEL;
  }
  switch (next) {
    case REP_SPLIT_APPEND_FENCE: e.split = REP_SPLIT_FENCE; break;
    case REP_SPLIT_APPEND_RELEASE: e.split = REP_SPLIT_RELEASE; break;
    case REP_SPLIT_APPEND_CANCEL:
      e.split = REP_SPLIT_CANCEL;
      e.id = d->split.id;
      break;
    case REP_SPLIT_CLOSE:
      docs.plan.step = REP_SPLIT_RELEASING;
      docs.child = docs.plan.id;
      if (!w->late.mod && sp_below(w, 3) == 0)
        w->late = docs;
      else if (!w->late.mod)
        sp_put(w, s->leader, docs);
      return;
    case REP_SPLIT_GIVE_UP:
      docs.plan.step = REP_SPLIT_CANCELLED;
      docs.child = 0;
      sp_put(w, s->leader, docs);
      return;
    case REP_SPLIT_MAP: sp_map(w, s->leader, docs); return;
    case REP_SPLIT_NOTHING: return;
  }
  sp_append(w, SP_PARENT, e);
}

/* Where the child has a record and there is a copy for it, its replica is opened; it goes with the
   record. */
static void sp_open_child(struct sp_world *w, uint32_t node) {
  struct sp_node *n = &w->nodes[node];
  struct sp_replica *r = &n->replicas[SP_CHILD];
  struct sp_shard *s = &w->shards[SP_CHILD];
  const struct rep_split_plan *plan = &n->view.plan;
  bool member = false, late = plan->id == r->of && plan->step == REP_SPLIT_CANCELLED;
  if (n->up && r->has && (plan->id > r->of || late))
    *r = (struct sp_replica){.has = false};
  for (uint32_t i = 0; i < plan->n_forks; i++)
    member |= plan->forks[i].node == node && rep_same_store(plan->forks[i].store, n->store);
  if (!n->up || !n->view.child || r->has || !member || n->forked != plan->id)
    return;
  r->has = true;
  r->of = n->view.child;
  r->now = r->durable = n->fork;
  if (r->of != s->of)
    return; /* by an old view */
  if (!s->there)
    s->truth = n->fork;
  else if (!s->n && memcmp(s->truth.values, n->fork.values, sizeof s->truth.values) != 0)
    sp_fail(w, "copies of the moved rows differ");
  s->there = true;
}

static void sp_operator(struct sp_world *w) {
  struct sp_docs *d = &w->docs;
  bool over = !d->plan.id || d->plan.step == REP_SPLIT_CANCELLED;
  if (over && !d->moved && (w->ending || sp_below(w, 20) == 0)) {
    d->plan = (struct rep_split_plan){.id = d->plan.id + 1};
    d->mod++;
  } else if (!over && !w->ending && rep_split_may_cancel(&d->plan) && sp_below(w, 40) == 0) {
    d->plan.step = REP_SPLIT_CANCELLED;
    d->child = 0;
    sp_set(w, *d);
    w->result->cancelled++;
  }
}

/* ---- A run ---- */

static void sp_fault(struct sp_world *w, uint32_t node) {
  uint64_t what = w->ending ? 0 : sp_below(w, 60);
  if (!w->nodes[node].up && (w->ending || sp_below(w, 8) == 0))
    w->nodes[node].up = true;
  else if (w->nodes[node].up &&
           (what == 1 || (what < 20 && sp_releases(w, &w->nodes[node].replicas[SP_PARENT].now))))
    sp_crash(w, node);
  else if (what == 2 && sp_below(w, 3) == 0 && w->nodes[node].up)
    sp_wipe(w, node);
}

static void sp_node_turn(struct sp_world *w, uint32_t node, enum sp_shard_name shard) {
  struct sp_node *n = &w->nodes[node];
  struct sp_replica *r = &n->replicas[shard];
  switch (n->up ? sp_below(w, 8) : 8) {
    case 0:
      if (sp_has(w, node, shard) && r->now.seq < w->shards[shard].commit)
        sp_apply(&r->now, w->writes, &w->shards[shard].log[r->now.seq]);
      break;
    case 1: r->durable = r->now; break;
    case 2: n->view = w->docs; break;
    case 3: sp_fork(w, node); break;
    case 4: sp_open_child(w, node); break;
    case 5: sp_restore(w, node, shard); break;
    default: break;
  }
}

static void sp_step(struct sp_world *w) {
  uint32_t node = 1 + (uint32_t)sp_below(w, SP_NODES);
  enum sp_shard_name shard = (enum sp_shard_name)sp_below(w, SP_SHARDS);
  sp_node_turn(w, node, shard);
  sp_fault(w, node);
  switch (sp_below(w, 7)) {
    case 0: sp_commit(w, shard); break;
    case 1: sp_elect(w, shard); break;
    case 2: sp_lead(w); break;
    case 3: sp_operator(w); break;
    case 4: sp_deliver(w); break;
    case 5: sp_late(w); break;
    default: sp_client_turn(w, 1 + (uint32_t)sp_below(w, SP_CLIENTS));
  }
}

/* Everybody has everything: replicas are equal, and each key is in one shard. */
static void sp_check_end(struct sp_world *w) {
  for (int k = 0; k < SP_SHARDS; k++)
    for (uint32_t i = 1; i <= SP_NODES; i++) {
      struct sp_replica *r = &w->nodes[i].replicas[k];
      if (!sp_has(w, i, (enum sp_shard_name)k))
        continue;
      sp_catch_up(w, (enum sp_shard_name)k, i);
      if (memcmp(r->now.values, w->shards[k].truth.values, sizeof r->now.values) != 0)
        sp_fail(w, "replicas differ in the end");
    }
  for (uint32_t key = 0; key < SP_KEYS; key++) {
    uint32_t in = w->shards[SP_PARENT].truth.values[key];
    uint32_t out = w->shards[SP_CHILD].truth.values[key];
    uint64_t last = 0;
    for (uint32_t i = 1; i <= w->n_writes; i++)
      if (w->writes[i].key == key)
        last = rep_max(last, w->writes[i].order);
    if (in && out)
      sp_fail(w, "a row is in both shards");
    if (w->writes[in | out].order != last)
      sp_fail(w, "a row is not as it was written last");
  }
}

static bool sp_over(const struct sp_world *w) {
  return w->docs.plan.step == REP_SPLIT_DONE && w->shards[SP_CHILD].leader &&
         w->shards[SP_PARENT].leader && sp_clients_idle(w);
}

void sim_split(uint64_t seed, struct sim_split_result *result) {
  struct sp_world *w = calloc(1, sizeof *w);
  if (!w)
    abort();
  w->rng = seed;
  w->result = result;
  w->shards[SP_PARENT].there = true;
  for (uint32_t i = 1; i <= SP_NODES; i++) {
    w->nodes[i].up = w->nodes[i].replicas[SP_PARENT].has = true;
    w->nodes[i].store = (struct rep_uuid){i, 1};
  }
  uint32_t step = 0;
  for (; step < SP_STEPS && !result->failed; step++)
    sp_step(w);
  w->ending = true;
  for (; step < SP_STEPS + SP_END && !result->failed && !sp_over(w); step++)
    sp_step(w);
  if (!result->failed && !sp_over(w))
    sp_fail(w, "it does not come to an end");
  if (!result->failed)
    sp_check_end(w);
  free(w);
}
