/* node_host.c - what a replica wants of its node, and what it is told; see replica/replica.h. */
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"

static const int64_t host_txn_us = 1000000;

void node_step(struct node_replica *r, const struct rep_event *ev) {
  if (r->rep && !r->closing)
    rep_step(r->rep, node_ms(r->node), ev);
}

void node_step_all(struct node *n, const struct rep_event *ev) {
  for (struct node_replica *r = n->replicas; r; r = r->next)
    node_step(r, ev);
}

/* ---- What it wants ---- */

static void host_send(void *arg, const struct rep_msg *m) {
  struct node_replica *r = arg;
  node_send(r->node, m);
}

static struct node_replica *host_of_sync(struct work_job *job) {
  return (struct node_replica *)((char *)job - offsetof(struct node_replica, sync));
}

static void host_sync_run(struct work_job *job) {
  struct node_replica *r = host_of_sync(job);
  r->sync_ok = jlog_sync_run(r->log);
}

static void host_sync_done(struct work_job *job) {
  struct node_replica *r = host_of_sync(job);
  struct rep_event ev = {.type = REP_EV_SYNCED};
  r->syncing = false;
  ev.ok = jlog_sync_end(r->log, r->sync_ok);
  node_step(r, &ev);
}

static void host_sync(void *arg) {
  struct node_replica *r = arg;
  r->syncing = true;
  r->sync = (struct work_job){NULL, host_sync_run, host_sync_done};
  jlog_sync_begin(r->log);
  work_add(r->node->syncs, &r->sync);
}

static void host_txn(void *arg, const struct rep_txn *t) {
  static const char *const names[] = {"shrink", "grow", "promote", "resume", "hand-over"};
  struct node_replica *r = arg;
  node_log(r->node, "shard %u/%u: %s asked for, epoch %llu", r->collection, r->number,
           names[t->kind], (unsigned long long)t->config.epoch);
  rep_link_txn(r->link, t, r->node->now_us + host_txn_us);
}

static void host_refresh(void *arg) {
  struct node_replica *r = arg;
  rep_link_refresh(r->link, r->node->now_us + host_txn_us);
}

static void host_answer(void *arg, const struct rep_answer *a) { node_ask_answer(arg, a); }

static void host_diverged(void *arg, uint32_t node, uint64_t seq) {
  struct node_replica *r = arg;
  node_log(r->node, "shard %u/%u: the copy of node %u differs at %llu and will be replaced",
           r->collection, r->number, node, (unsigned long long)seq);
}

static void host_stopped(void *arg, enum rep_reason why) {
  struct node_replica *r = arg;
  node_log(r->node, "shard %u/%u: stopped (%s), to be opened again", r->collection, r->number,
           why == REP_WHY_STORE     ? "its log failed"
           : why == REP_WHY_MACHINE ? "its data failed"
                                    : "an invariant does not hold");
  r->stopped = true;
}

struct rep_host node_host(struct node_replica *r) {
  return (struct rep_host){r,           host_send,   host_sync,     host_txn,
                           host_refresh, host_answer, host_diverged, host_stopped};
}

/* ---- What it is told ---- */

void node_applied(void *arg, const struct machine_outcome *o) { node_ask_applied(arg, o); }

void node_link_event(void *arg, const struct rep_event *ev) { node_step(arg, ev); }
