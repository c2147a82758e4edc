/*
 * follower.c - a replica that is not the primary: promises, appends what the primary sends, cuts
 * what differs, and says what it has on disk.
 */
#include <string.h>

#include "replica/state.h"

/* Only once the promise is on disk may anything be said in the epoch's name. */
static bool follow_promised(const struct rep *r) {
  return r->synced >= PLANT(EARLY_ANSWER, r->promise_record, 0);
}

static void follow_stale(struct rep *r, uint32_t primary) {
  rep_message(r, REP_STALE, primary)->epoch = r->state.promised;
  rep_send(r);
}

void rep_mark_broken(struct rep *r, uint64_t seq) {
  if (r->state.broken)
    return;
  r->host.diverged(r->host.arg, r->o.node, seq);
  rep_lead_end(r);
  r->state.broken = true;
  (void)rep_journal_save(r);
}

static bool follow_promise(struct rep *r, uint64_t epoch) {
  r->state.promised = epoch;
  if (!PLANT(PROMISE_LOST, rep_journal_save(r), true))
    return false;
  r->promise_record = r->records;
  return true;
}

bool rep_follow(struct rep *r, const struct rep_msg *m, uint32_t primary) {
  if (PLANT(NO_FENCE, m->epoch < r->state.promised, false)) {
    follow_stale(r, primary);
    return false;
  }
  if (m->epoch != r->epoch || r->leader != primary) {
    if (m->epoch == r->epoch && r->leader) {
      rep_stop(r, REP_WHY_I2);
      return false;
    }
    rep_lead_end(r);
    r->epoch = m->epoch;
    r->leader = primary;
    r->match = 0;
    r->seen_round = r->seen_term = 0;
    r->owes_ack = r->owes_probed = false;
  }
  r->heard = r->now;
  return m->epoch <= r->state.promised || follow_promise(r, m->epoch);
}

static void follow_ack(struct rep *r, uint32_t flags) {
  if (!follow_promised(r)) {
    r->owes_ack = true;
    return;
  }
  struct rep_msg *m = rep_message(r, REP_ACK, r->leader);
  m->prev.seq = r->state.broken ? 0 : rep_min(r->match, PLANT(ACK_UNSYNCED, r->durable, r->match));
  if (PLANT(ACK_LAST, false, !r->state.broken))
    m->prev.seq = r->durable;
  m->round = r->seen_round;
  m->term = r->seen_term;
  m->flags = flags | (r->state.broken ? REP_FLAG_BROKEN : 0);
  m->life = r->o.life;
  m->time = r->now;
  rep_digest_look(r);
  m->digest_seq = r->digests[0].seq;
  m->digest = r->digests[0].value;
  r->owes_ack = false;
  rep_send(r);
}

static void follow_probed(struct rep *r) {
  if (!follow_promised(r)) {
    r->owes_probed = true;
    return;
  }
  r->owes_probed = false;
  struct rep_msg *m = rep_message(r, REP_PROBED, r->leader);
  m->round = r->seen_round;
  m->prev.seq = r->base.seq;
  m->last = r->tail.seq;
  m->flags = r->state.broken ? REP_FLAG_BROKEN : 0;
  m->n_epochs = r->n_epochs;
  memcpy(m->epochs, r->epochs, r->n_epochs * sizeof *r->epochs);
  rep_send(r);
}

/* An entry that the primary speaks of cannot be read. Is it in the data, then it is committed, and
   so the same as the primary's. */
static bool follow_unreadable(struct rep *r, uint64_t seq) {
  if (seq <= r->machine.pos(r->machine.arg).seq)
    return true;
  rep_mark_broken(r, seq);
  return false;
}

/* Appends one entry, unless it is there; what differs goes first. */
static bool follow_entry(struct rep *r, const struct rep_entry *e, uint64_t chain) {
  struct rep_pos here;
  if (e->pos.chain != rep_chain(chain, e))
    return false;
  if (e->pos.seq <= r->tail.seq) {
    if (e->pos.seq <= r->base.seq || PLANT(KEEP_CONFLICT, false, true))
      return true;
    if (!rep_journal_pos(r, e->pos.seq, &here))
      return follow_unreadable(r, e->pos.seq);
    if (here.chain == e->pos.chain && here.epoch == e->pos.epoch)
      return true;
    if (here.epoch == e->pos.epoch) {
      rep_stop(r, REP_WHY_I4);
      return false;
    }
    if (e->pos.seq <= r->commit) {
      r->parted = e->pos.seq;
      rep_mark_broken(r, e->pos.seq);
      return false;
    }
    if (!rep_journal_cut(r, e->pos.seq - 1))
      return false;
  }
  return rep_journal_append(r, e);
}

/* Whether the log here has the primary's position `prev`; flags for the answer otherwise. */
static bool follow_prev(struct rep *r, const struct rep_pos *prev, uint32_t *flags) {
  struct rep_pos here;
  if (prev->seq > r->tail.seq) {
    *flags = REP_FLAG_GAP;
    return false;
  }
  if (prev->seq < r->base.seq || PLANT(NO_PREV_CHECK, false, true))
    return true; /* committed, and so the same */
  if (!rep_journal_pos(r, prev->seq, &here))
    return follow_unreadable(r, prev->seq);
  if (here.chain == prev->chain && here.epoch == prev->epoch)
    return true;
  if (prev->seq <= r->commit)
    rep_mark_broken(r, prev->seq);
  *flags = REP_FLAG_CONFLICT;
  return false;
}

static void follow_freshness(struct rep *r, const struct rep_msg *m) {
  if (m->life != r->o.life || !m->time || r->later_time)
    return;
  r->later_commit = m->commit;
  r->later_time = PLANT(FRESH_BY_RECEIPT, m->time, r->now);
}

void rep_follow_fresh(struct rep *r) {
  if (!r->later_time || r->machine.pos(r->machine.arg).seq < r->later_commit)
    return;
  r->fresh_at = rep_max(r->fresh_at, r->later_time);
  r->later_time = 0;
}

/* Passes the message on along the chain. */
static void follow_forward(struct rep *r, const struct rep_msg *m) {
  if (!m->n_route)
    return;
  r->out = *m;
  r->out.from = r->o.node;
  r->out.to = m->route[0];
  r->out.store = r->o.store;
  r->out.life = r->out.term = 0;
  r->out.n_route--;
  memmove(r->out.route, r->out.route + 1, r->out.n_route * sizeof *r->out.route);
  rep_send(r);
}

/* What a repaired replica had to have before it may lead is there; a later life knows it, too. */
static void follow_healed(struct rep *r) {
  if (!r->state.heal || r->state.broken || rep_min(r->match, r->durable) < r->state.heal)
    return;
  r->state.heal = 0;
  (void)rep_journal_save(r);
}

static void follow_append(struct rep *r, const struct rep_msg *m) {
  uint32_t flags = 0;
  if (!rep_follow(r, m, m->primary))
    return;
  follow_forward(r, m);
  r->seen_round = rep_max(r->seen_round, m->round);
  r->seen_term = rep_max(r->seen_term, m->term);
  if (PLANT(CUT_AT_COMMIT, false, !r->match && r->tail.seq > r->commit) &&
      !rep_journal_cut(r, r->commit))
    return;
  if (r->state.broken || !follow_prev(r, &m->prev, &flags)) {
    follow_ack(r, flags);
    return;
  }
  uint32_t n = 0;
  for (uint64_t chain = m->prev.chain; n < m->n_entries; n++) {
    if (!follow_entry(r, &m->entries[n], chain))
      break;
    chain = m->entries[n].pos.chain;
  }
  if (r->role == REP_STOPPED)
    return;
  r->match = rep_max(r->match, m->prev.seq + n);
  uint64_t known = PLANT(COMMIT_BEYOND_MATCH, r->match, r->tail.seq);
  r->commit = rep_max(r->commit, rep_min(m->commit, known));
  follow_freshness(r, m);
  follow_healed(r);
  if (r->role == REP_STOPPED)
    return;
  r->owes_ack |= r->durable < r->match;
  if (!m->n_entries || !r->owes_ack || PLANT(ACK_UNSYNCED, false, true)) {
    bool later = r->durable < r->match;
    follow_ack(r, 0);
    r->owes_ack |= later;
  }
}

void rep_follow_message(struct rep *r, const struct rep_msg *m) {
  if (m->type == REP_APPEND) {
    follow_append(r, m);
  } else if (m->type == REP_PROBE) {
    if (!rep_follow(r, m, m->from))
      return;
    r->seen_round = rep_max(r->seen_round, m->round);
    r->seen_term = rep_max(r->seen_term, m->term);
    follow_probed(r);
  } else if (m->type == REP_PIECE) {
    if (!rep_follow(r, m, m->from))
      return;
    r->seen_term = rep_max(r->seen_term, m->term);
    rep_snapshot_receive(r, m);
  }
}

void rep_follow_synced(struct rep *r) {
  follow_healed(r);
  if (r->role == REP_STOPPED)
    return;
  if (r->owes_probed)
    follow_probed(r);
  if (r->owes_ack)
    follow_ack(r, 0);
}
