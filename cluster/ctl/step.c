/* step.c - one move, step by step; see step.h. */
#include "ctl/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void step_wait(struct ctl_step *s, const char *what) {
  s->next = CTL_NEXT_WAIT;
  snprintf(s->waits, sizeof s->waits, "%s", what);
}

static void step_to(struct ctl_step *s, enum doc_step step) {
  s->next = CTL_NEXT_STEP;
  s->move.step = step;
}

static bool step_replica(const struct doc_shard *shard, uint32_t node) {
  for (uint32_t i = 0; i < shard->n_replicas; i++)
    if (shard->replicas[i].node == node)
      return true;
  return false;
}

static void step_without(uint32_t *nodes, uint32_t *n, uint32_t node) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < *n; i++)
    if (nodes[i] != node)
      nodes[kept++] = nodes[i];
  for (uint32_t i = kept; i < *n; i++)
    nodes[i] = 0;
  *n = kept;
}

/* The node is no replica any more. */
static void step_remove(struct doc_shard *shard, uint32_t node) {
  uint32_t kept = 0;
  step_without(shard->isr, &shard->n_isr, node);
  step_without(shard->learners, &shard->n_learners, node);
  for (uint32_t i = 0; i < shard->n_replicas; i++)
    if (shard->replicas[i].node != node)
      shard->replicas[kept++] = shard->replicas[i];
  for (uint32_t i = kept; i < shard->n_replicas; i++)
    shard->replicas[i] = (struct doc_replica){0};
  shard->n_replicas = kept;
}

static bool step_cancel(struct ctl_step *s, const char *why) {
  struct doc_shard *shard = &s->shard;
  if (step_replica(shard, s->move.target) && !doc_has(shard->isr, shard->n_isr, s->move.target)) {
    step_remove(shard, s->move.target);
    s->shard_changes = true;
  }
  step_to(s, DOC_MOVE_CANCELLED);
  snprintf(s->move.why, sizeof s->move.why, "%s", why);
  return true;
}

/* ---- The steps ---- */

static void step_planned(const struct cache_view *view, struct ctl_step *s) {
  struct doc_shard *shard = &s->shard;
  const struct doc_node *target = cache_doc(view, DOC_PATH_NODE, s->move.target, 0);
  if (!target || target->state != DOC_NODE_ACTIVE) {
    step_cancel(s, "the target is no active node");
    return;
  }
  if (ctl_moves_of(view, s->move.target) >= CTL_MOVES_OF_NODE ||
      (s->move.source && ctl_moves_of(view, s->move.source) >= CTL_MOVES_OF_NODE)) {
    step_wait(s, "for other moves of its nodes");
    return;
  }
  if (!step_replica(shard, s->move.target)) {
    if (shard->n_replicas == DOC_REPLICAS_MAX) {
      step_cancel(s, "the shard has too many replicas");
      return;
    }
    shard->replicas[shard->n_replicas++] = (struct doc_replica){.node = s->move.target};
    shard->learners[shard->n_learners++] = s->move.target;
    s->shard_changes = true;
  } else if (!doc_has(shard->isr, shard->n_isr, s->move.target) &&
             !doc_has(shard->learners, shard->n_learners, s->move.target)) {
    shard->learners[shard->n_learners++] = s->move.target; /* out of sync: it learns anew */
    s->shard_changes = true;
  }
  step_to(s, DOC_MOVE_COPYING);
}

static void step_copying(struct ctl_step *s) {
  bool in = doc_has(s->shard.isr, s->shard.n_isr, s->move.target);
  bool copied = s->move.bytes_total && s->move.bytes_done >= s->move.bytes_total;
  if (!step_replica(&s->shard, s->move.target))
    step_cancel(s, "the target was taken out meanwhile");
  else if (in || copied)
    step_to(s, DOC_MOVE_CATCHING_UP);
  else
    step_wait(s, "for the segments to be copied");
}

static void step_catching_up(struct ctl_step *s) {
  if (!step_replica(&s->shard, s->move.target))
    step_cancel(s, "the target was taken out meanwhile");
  else if (doc_has(s->shard.isr, s->shard.n_isr, s->move.target))
    step_to(s, DOC_MOVE_SWITCHING);
  else
    step_wait(s, "for the target to be in sync");
}

/* The primary lets the source go, for it alone knows whether the others in sync are there; here it
   is taken out only when nothing counts on it any more. */
static void step_switching(struct ctl_step *s) {
  struct doc_shard *shard = &s->shard;
  uint32_t source = s->move.source;
  if (!source || !step_replica(shard, source)) {
    step_to(s, DOC_MOVE_DONE);
    return;
  }
  if (!doc_has(shard->isr, shard->n_isr, s->move.target)) {
    step_to(s, DOC_MOVE_CATCHING_UP); /* it has fallen out again */
    return;
  }
  if (shard->primary == source) {
    step_wait(s, "for the source to hand over");
    return;
  }
  if (doc_has(shard->isr, shard->n_isr, source)) {
    step_wait(s, "for the primary to let the source go");
    return;
  }
  if (shard->state != DOC_SHARD_ACTIVE || shard->n_isr < shard->min_isr) {
    step_wait(s, "for enough replicas in sync");
    return;
  }
  step_remove(shard, source);
  s->shard_changes = true;
  step_to(s, DOC_MOVE_DONE);
}

static bool step_begin(const struct cache_view *view, uint32_t collection, uint32_t shard,
                       struct ctl_step *out) {
  const struct cache_entry *m = cache_find(view, DOC_PATH_MOVE, collection, shard);
  const struct cache_entry *s = cache_find(view, DOC_PATH_SHARD, collection, shard);
  *out = (struct ctl_step){.next = CTL_NEXT_OVER};
  if (!m || !m->doc || !s || !s->doc)
    return false;
  out->move = *(const struct doc_move *)m->doc;
  out->shard = *(const struct doc_shard *)s->doc;
  out->move_mod = m->mod;
  out->shard_mod = s->mod;
  return true;
}

bool ctl_step(const struct cache_view *view, uint32_t collection, uint32_t shard,
              struct ctl_step *out) {
  if (!step_begin(view, collection, shard, out))
    return false;
  switch (out->move.step) {
    case DOC_MOVE_PLANNED:
      step_planned(view, out);
      break;
    case DOC_MOVE_COPYING:
      step_copying(out);
      break;
    case DOC_MOVE_CATCHING_UP:
      step_catching_up(out);
      break;
    case DOC_MOVE_SWITCHING:
      step_switching(out);
      break;
    case DOC_MOVE_DONE:
    case DOC_MOVE_CANCELLED:
      break;
  }
  return true;
}

bool ctl_cancel(const struct cache_view *view, uint32_t collection, uint32_t shard, const char *why,
                struct ctl_step *out) {
  return step_begin(view, collection, shard, out) && out->move.step < DOC_MOVE_SWITCHING &&
         step_cancel(out, why);
}

bool ctl_change_make(struct doc_uuid cluster, const struct ctl_step *step, struct ctl_change *out) {
  const struct doc_move *m = &step->move;
  size_t n[2] = {0, 0};
  *out = (struct ctl_change){
      .keys = {doc_path(cluster, DOC_PATH_MOVE, m->collection, m->shard),
               doc_path(cluster, DOC_PATH_SHARD, m->collection, m->shard)}};
  out->texts[0] = doc_move_write(m, &n[0]);
  out->texts[1] = step->shard_changes ? doc_shard_write(&step->shard, &n[1]) : NULL;
  const int64_t mods[2] = {step->move_mod, step->shard_mod};
  for (int i = 0; i < 2; i++) {
    struct meta_bytes key = meta_text(out->keys[i].text);
    out->compares[i] = (struct meta_compare){.key = key, .target = META_MOD, .number = mods[i]};
    out->puts[i] = (struct meta_op){META_PUT, .key = key, .value = {out->texts[i], n[i]}};
  }
  out->look = (struct meta_op){.kind = META_GET, .key = meta_text(out->keys[0].text)};
  out->txn = (struct meta_txn){
      out->compares, out->puts, &out->look, 2, step->shard_changes ? 2u : 1u, 1};
  return out->texts[0] && (out->texts[1] || !step->shard_changes);
}

void ctl_change_free(struct ctl_change *change) {
  free(change->texts[0]);
  free(change->texts[1]);
}

uint32_t ctl_moves_of(const struct cache_view *view, uint32_t node) {
  size_t n;
  uint32_t busy = 0;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_move *m = all[i]->doc;
    bool runs = m && (m->step == DOC_MOVE_COPYING || m->step == DOC_MOVE_CATCHING_UP);
    busy += runs && (m->source == node || m->target == node);
  }
  return busy;
}
