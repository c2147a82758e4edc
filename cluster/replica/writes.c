/* writes.c - clients' writes on the primary, and when each of them is answered. */
#include <string.h>

#include "replica/state.h"

void rep_answer(struct rep *r, uint64_t ticket, enum rep_result result) {
  struct rep_answer a = {.ticket = ticket, .result = result};
  a.hint = r->have_config ? r->config.isr[0].node : 0;
  a.pos = r->machine.pos(r->machine.arg);
  r->host.answer(r->host.arg, &a);
}

static struct rep_wait *writes_slot(struct rep *r, uint64_t seq) {
  return &r->waits[seq & (r->o.window - 1)];
}

static uint32_t writes_copies(struct rep *r, uint64_t seq) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < r->config.n_isr; i++)
    n += rep_lead_durable(r, &r->config.isr[i]) >= seq;
  return n;
}

static void writes_answer(struct rep *r, const struct rep_wait *w, enum rep_result result) {
  struct rep_answer a = {.ticket = w->ticket, .result = result};
  a.pos.seq = w->seq;
  a.pos.epoch = r->epoch;
  a.copies = writes_copies(r, w->seq);
  a.hint = r->o.node;
  r->host.answer(r->host.arg, &a);
}

/* Why a write cannot be taken; REP_DONE: it can. */
static enum rep_result writes_refuse(const struct rep *r, const struct rep_event *ev) {
  if (!ev->op.client || !ev->op.count || ev->n > REP_BODY_MAX)
    return REP_INVALID;
  if (r->role != REP_LEADING)
    return REP_NOT_PRIMARY;
  if (!r->serving || r->handoff || r->config.n_isr < r->config.min_isr)
    return REP_UNAVAILABLE;
  if (r->tail.seq - r->commit >= r->o.window - 1)
    return REP_OVERLOADED;
  return REP_DONE;
}

/* A full disk: let another lead. */
static void writes_full(struct rep *r) {
  if (r->handoff || r->config.n_isr < 2)
    return;
  r->handoff = r->config.isr[1].node;
  r->handoff_began = r->now;
}

void rep_write(struct rep *r, const struct rep_event *ev) {
  enum rep_result refused = writes_refuse(r, ev);
  if (refused != REP_DONE || r->machine.seen(r->machine.arg, ev->op)) {
    rep_answer(r, ev->ticket, refused);
    return;
  }
  struct rep_entry e = {.op = ev->op, .kind = REP_DATA, .n = ev->n, .body = ev->data};
  e.pos.seq = r->tail.seq + 1;
  e.pos.epoch = r->epoch;
  e.pos.chain = rep_chain(r->tail.chain, &e);
  if (!rep_journal_append(r, &e)) {
    rep_answer(r, ev->ticket, r->role == REP_STOPPED ? REP_UNAVAILABLE : REP_NO_SPACE);
    writes_full(r);
    return;
  }
  struct rep_wait *w = writes_slot(r, e.pos.seq);
  w->seq = e.pos.seq;
  w->ticket = ev->ticket;
  w->ack = ev->ack;
  w->answered = false;
}

void rep_writes_applied(struct rep *r, uint64_t seq, enum rep_applied how) {
  struct rep_wait *w = writes_slot(r, seq);
  if (r->role != REP_LEADING || w->seq != seq)
    return;
  if (w->answered)
    r->uncommitted_acks--;
  else
    writes_answer(r, w, how == REP_TOO_OLD ? REP_OLD_OP : REP_DONE);
  w->seq = 0;
}

/* Whether a write may be acknowledged before the others have it. */
static bool writes_may_local(struct rep *r) {
  if (PLANT(ASYNC_UNBOUNDED, r->uncommitted_acks >= r->o.async_window, false))
    return false;
  for (uint32_t i = 1; i < r->config.n_isr; i++) {
    struct rep_peer *p = rep_peer_of(r, r->config.isr[i].node);
    if (p && r->now - p->heard <= r->o.slow_ms)
      return true;
  }
  return r->config.n_isr == 1;
}

void rep_writes_local(struct rep *r) {
  while (r->async_acked < r->durable) {
    struct rep_wait *w = writes_slot(r, ++r->async_acked);
    if (w->seq != r->async_acked || w->ack != REP_ACK_ASYNC || w->answered || !writes_may_local(r))
      continue;
    w->answered = true;
    r->uncommitted_acks++;
    writes_answer(r, w, REP_DONE_LOCAL);
  }
}

void rep_writes_end(struct rep *r) {
  for (uint32_t i = 0; i < r->o.window; i++) {
    struct rep_wait *w = &r->waits[i];
    if (w->seq && !w->answered)
      rep_answer(r, w->ticket, REP_UNKNOWN);
    w->seq = 0;
  }
  r->uncommitted_acks = 0;
  r->handoff = 0;
}
