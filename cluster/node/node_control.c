/*
 * node_control.c - the one node that takes the steps of moves. Who it is stands in the key `ctl`,
 * on that node's lease; every step compares the key besides the documents that it follows from, so
 * that one who was replaced without knowing changes nothing. The next step follows from the
 * documents alone (ctl/step.h): whoever is next goes on where the last one stopped.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ctl/step.h"
#include "node/node_int.h"

static const int64_t control_us = 200000, control_limit_us = 2000000;

static void control_done(void *arg, const struct meta_result *r) {
  struct node *n = arg;
  n->control.asked = false;
  if (!n->control.standing) /* a step: what came of it is seen in the documents */
    return;
  n->control.standing = false;
  if (!r->status && r->succeeded) {
    n->control.key = r->revision;
    node_log(n, "takes the steps of moves from now on");
  }
}

/* Nobody does: this node, if nobody was faster, as long as it is registered. */
static void control_stand(struct node *n) {
  char id[16];
  struct doc_path path = doc_path(n->config.cluster, DOC_PATH_CONTROL, 0, 0);
  const struct meta_bytes key = meta_text(path.text);
  snprintf(id, sizeof id, "%u", n->config.id);
  const struct meta_compare free_now = {.key = key, .target = META_CREATE};
  const struct meta_op put = {
      .kind = META_PUT, .key = key, .value = meta_text(id), .lease = n->live.lease};
  const struct meta_op look = {.kind = META_GET, .key = key};
  const struct meta_txn txn = {&free_now, &put, &look, 1, 1, 1};
  n->control.standing = true;
  n->control.asked = !meta_txn(n->meta, &txn, n->now_us + control_limit_us, control_done, n);
}

static void control_step(struct node *n, const struct ctl_step *step) {
  struct ctl_change change;
  struct doc_path path = doc_path(n->config.cluster, DOC_PATH_CONTROL, 0, 0);
  if (ctl_change_make(n->config.cluster, step, &change)) {
    const struct meta_compare compares[] = {
        change.compares[0],
        change.compares[1],
        {.key = meta_text(path.text), .target = META_CREATE, .number = n->control.key}};
    struct meta_txn txn = change.txn;
    txn.compares = compares;
    txn.n_compares = 3;
    n->control.asked = !meta_txn(n->meta, &txn, n->now_us + control_limit_us, control_done, n);
    node_log(n, "shard %u/%u: its move to node %u is %s", step->move.collection, step->move.shard,
             step->move.target, doc_step_name(step->move.step));
  }
  ctl_change_free(&change);
}

/* The first move that can go on. */
static void control_moves(struct node *n, const struct cache_view *view) {
  size_t count;
  struct ctl_step step;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_MOVE, 0, &count);
  for (size_t i = 0; i < count; i++)
    if (ctl_step(view, all[i]->a, all[i]->b, &step) && step.next == CTL_NEXT_STEP) {
      control_step(n, &step);
      return;
    }
}

void node_control_tick(struct node *n) {
  if (n->control.asked || n->now_us < n->control.due_us || !n->live.incarnation)
    return;
  n->control.due_us = n->now_us + control_us;
  const struct cache_view *view = cache_take(n->cache);
  if (!view)
    return;
  const struct cache_entry *key = cache_find(view, DOC_PATH_CONTROL, 0, 0);
  if (!key)
    control_stand(n);
  else if (n->control.key && key->create == n->control.key)
    control_moves(n, view);
  cache_give(view);
}
