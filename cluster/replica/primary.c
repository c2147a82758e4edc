/*
 * primary.c - leading: the promise, the no-op that ends a takeover, the commit rule, the rounds
 * that show that nobody else leads, and what peers answer.
 */
#include <string.h>

#include "replica/state.h"

void rep_lead(struct rep *r) {
  r->role = REP_PROMISING;
  r->epoch = r->config.epoch;
  r->leader = r->o.node;
  r->state.promised = r->epoch;
  r->match = 0;
  r->noop = 0;
  r->serving = false;
  r->round = r->confirmed = r->terms = 0;
  r->handoff = r->leaving = 0;
  r->owes_ack = r->owes_probed = false;
  r->async_acked = r->tail.seq;
  r->install.id = 0;
  if (rep_journal_save(r))
    r->promise_record = r->records;
}

void rep_lead_end(struct rep *r) {
  if (r->role != REP_LEADING && r->role != REP_PROMISING)
    return;
  r->role = REP_FOLLOWER;
  r->leader = 0;
  r->serving = false;
  r->heard = r->now;
  for (uint32_t i = 0; i < REP_MEMBERS; i++)
    rep_snapshot_end(r, &r->peers[i]);
  memset(r->peers, 0, sizeof r->peers);
  rep_writes_end(r);
  rep_reads_serve(r);
}

static void lead_noop(struct rep *r) {
  struct rep_entry e = {.kind = REP_NOOP};
  e.pos.seq = r->tail.seq + 1;
  e.pos.epoch = r->epoch;
  e.pos.chain = rep_chain(r->tail.chain, &e);
  if (rep_journal_append(r, &e))
    r->noop = e.pos.seq;
}

void rep_lead_synced(struct rep *r) {
  if (r->role == REP_PROMISING && r->synced >= r->promise_record) {
    r->role = REP_LEADING;
    rep_peers_update(r);
    lead_noop(r);
  }
  if (r->role != REP_LEADING)
    return;
  rep_writes_local(r);
  rep_lead_commit(r);
}

uint64_t rep_lead_durable(struct rep *r, const struct rep_member *m) {
  if (m->node == r->o.node)
    return PLANT(WITHOUT_SELF, r->durable, r->tail.seq);
  struct rep_peer *p = rep_peer_of(r, m->node);
  if (!p || p->broken || !rep_same_store(p->store, m->store))
    return 0;
  return p->match;
}

/* What every member has. */
static uint64_t lead_all_have(struct rep *r, const struct rep_config *c) {
  uint64_t lowest = UINT64_MAX, second = UINT64_MAX;
  for (uint32_t i = 0; i < c->n_isr; i++) {
    uint64_t seq = rep_lead_durable(r, &c->isr[i]);
    second = rep_min(second, rep_max(lowest, seq));
    lowest = rep_min(lowest, seq);
  }
  return PLANT(MAJORITY, lowest, c->n_isr > 2 ? second : lowest);
}

void rep_lead_commit(struct rep *r) {
  if (r->role != REP_LEADING || r->config.n_isr < r->config.min_isr)
    return;
  uint64_t seq = lead_all_have(r, &r->config);
  if (r->have_txn && PLANT(NO_UNION, true, r->txn.kind != REP_GROW))
    seq = rep_min(seq, lead_all_have(r, &r->txn.config));
  if (PLANT(SHRINK_AT_ONCE, false, r->have_txn && r->txn.kind == REP_SHRINK))
    seq = lead_all_have(r, &r->txn.config);
  r->commit = rep_max(r->commit, seq);
  if (r->noop && PLANT(SERVE_EARLY, r->commit >= r->noop, true))
    r->serving = true;
}

/* Whether all members of an ISR have answered the present round. */
static bool lead_all_answered(struct rep *r, const struct rep_config *c) {
  uint32_t missing = 0;
  for (uint32_t i = 0; i < c->n_isr; i++) {
    struct rep_peer *p = rep_peer_of(r, c->isr[i].node);
    if (c->isr[i].node != r->o.node &&
        (!p || p->round < r->round || !rep_same_store(p->store, c->isr[i].store)))
      missing++;
  }
  return missing <= PLANT(ROUND_MAJORITY, 0, (c->n_isr - 1) / 2);
}

static void lead_round_check(struct rep *r) {
  if (r->role != REP_LEADING || r->confirmed == r->round ||
      !lead_all_answered(r, &r->config) || (r->have_txn && !lead_all_answered(r, &r->txn.config)))
    return;
  r->confirmed = r->round;
  if (!r->serving)
    return;
  r->fresh_at = r->round_began;
  for (uint32_t i = 0; i < REP_MEMBERS; i++) {
    r->peers[i].fresh_life = r->peers[i].round_life;
    r->peers[i].fresh_time = r->peers[i].round_time;
  }
}

void rep_round_begin(struct rep *r) {
  if (r->confirmed != r->round)
    return;
  r->round++;
  r->round_began = r->now;
  for (uint32_t i = 0; i < REP_MEMBERS; i++) {
    r->peers[i].round_life = r->peers[i].life;
    r->peers[i].round_time = r->peers[i].time;
  }
  lead_round_check(r);
}

void rep_lead_tick(struct rep *r) {
  if (!r->noop)
    lead_noop(r);
  if (r->handoff && !r->have_txn && r->now - r->handoff_began > r->o.slow_ms)
    r->handoff = 0;
  lead_round_check(r); /* who has not answered may have left the ISR */
  if (r->now - r->beat >= r->o.heartbeat_ms) {
    r->beat = r->now;
    rep_round_begin(r);
    rep_peers_beat(r);
  }
  rep_peers_tick(r);
}

static void lead_probed(struct rep *r, struct rep_peer *p, const struct rep_msg *m) {
  uint64_t seq;
  if (p->state != PEER_PROBE)
    return;
  p->broken = p->differs || (m->flags & REP_FLAG_BROKEN);
  if (!p->broken && rep_journal_common(r, m, &seq))
    rep_peer_stream(r, p, seq);
  else
    rep_snapshot_start(r, p);
}

/* How a peer's digest stands to that of the primary at the same position; UNREADABLE: the primary
   cannot read what the peer can. */
enum lead_digest { LEAD_SAME, LEAD_UNLIKE, LEAD_UNREADABLE, LEAD_UNKNOWN };

static enum lead_digest lead_digest_of(const struct rep *r, const struct rep_peer *p,
                                       uint64_t seq) {
  if (!seq || p->digest.seq != seq)
    return LEAD_UNKNOWN;
  for (uint32_t i = 0; i < REP_DIGESTS; i++)
    if (r->digests[i].seq == seq)
      return r->digests[i].value == p->digest.value          ? LEAD_SAME
             : r->digests[i].value == REP_DIGEST_UNREADABLE ? LEAD_UNREADABLE
                                                            : LEAD_UNLIKE;
  return LEAD_UNKNOWN;
}

/* Machines that differ at the same position: the odd one out is replaced, be it the primary's. With
   two machines only it is the other one, and so it is when a third has not spoken for a while. */
static void lead_compare(struct rep *r, struct rep_peer *p) {
  uint64_t seq = p->digest.seq;
  uint32_t others = 0, same = 0, like = 0;
  enum lead_digest its = lead_digest_of(r, p, seq);
  if (its == LEAD_UNREADABLE) {
    rep_mark_broken(r, seq);
    return;
  }
  if (its != LEAD_UNLIKE) {
    p->unlike = its == LEAD_SAME ? 0 : p->unlike;
    return;
  }
  p->unlike = p->unlike ? p->unlike : r->now;
  for (uint32_t i = 1; i < r->config.n_isr; i++) {
    const struct rep_peer *q = rep_peer_of(r, r->config.isr[i].node);
    if (!q || q == p || q->broken)
      continue;
    enum lead_digest digest = lead_digest_of(r, q, seq);
    others++;
    same += digest == LEAD_SAME;
    like += digest == LEAD_UNLIKE && q->digest.value == p->digest.value;
  }
  if (others && same == like && r->now - p->unlike < r->o.slow_ms)
    return;
  if (like > same) {
    rep_mark_broken(r, seq);
    return;
  }
  r->host.diverged(r->host.arg, p->node, seq);
  p->broken = p->differs = true;
  p->unlike = 0;
}

static void lead_ack(struct rep *r, struct rep_peer *p, const struct rep_msg *m) {
  p->life = m->life;
  p->time = m->time;
  p->round = rep_max(p->round, m->round);
  if (m->version > 1 && m->term != p->term) { /* of a log that it may not have any more */
    lead_round_check(r);
    return;
  }
  if (m->prev.seq > p->match) {
    p->match = m->prev.seq;
    p->progress = r->now;
  }
  if (m->version == REP_VERSION) /* others may make it in another way */
    p->digest = (struct rep_digest){m->digest_seq, m->digest};
  rep_digest_look(r);
  if (p->state == PEER_STREAM && !p->broken)
    lead_compare(r, p);
  if (r->role != REP_LEADING)
    return;
  if (m->flags & REP_FLAG_BROKEN)
    p->broken = true;
  if (p->broken && p->state != PEER_SNAPSHOT)
    rep_snapshot_start(r, p);
  else if (m->flags && p->state == PEER_STREAM)
    rep_peer_probe(r, p);
  rep_lead_commit(r);
  lead_round_check(r);
  rep_config_progress(r);
}

void rep_lead_message(struct rep *r, const struct rep_msg *m) {
  if (m->type == REP_STALE) {
    if (m->epoch > r->epoch) {
      if (PLANT(NO_STEP_DOWN, true, false))
        rep_lead_end(r);
      rep_config_refresh(r);
    }
    return;
  }
  struct rep_peer *p = rep_peer_of(r, m->from);
  if (r->role != REP_LEADING || m->epoch != r->epoch || !p)
    return;
  p->heard = r->now;
  if (!rep_same_store(p->store, m->store)) {
    p->store = m->store;
    rep_peer_forget(r, p);
    p->differs = false;
    if (p->state != PEER_PROBE)
      rep_peer_probe(r, p);
  }
  if (m->type == REP_PROBED)
    lead_probed(r, p, m);
  else if (m->type == REP_ACK)
    lead_ack(r, p, m);
  else
    rep_snapshot_answer(r, p, m);
}
