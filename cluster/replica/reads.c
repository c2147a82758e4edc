/* reads.c - when a read may look at the machine of this replica, by the level it asks for. */
#include "replica/state.h"

/* REP_DONE: now. REP_UNKNOWN: not yet. */
static enum rep_result reads_strong(const struct rep *r, const struct rep_read *q) {
  if (r->role != REP_LEADING)
    return REP_NOT_PRIMARY;
  if (PLANT(READ_WITHOUT_ROUND, false, r->serving))
    return REP_DONE;
  return r->serving && r->confirmed >= PLANT(READ_OLD_ROUND, q->round, q->round - 1) ? REP_DONE
                                                                                    : REP_UNKNOWN;
}

/* Whether the write of a token is known to have been cut off. */
static bool reads_lost(struct rep *r, const struct rep_pos *token) {
  struct rep_pos pos;
  bool older = r->role == REP_LEADING && r->serving && token->epoch < r->epoch;
  if (token->seq > r->tail.seq)
    return older;
  return rep_journal_pos(r, token->seq, &pos) && pos.epoch != token->epoch &&
         (token->seq <= r->commit || older);
}

static enum rep_result reads_session(struct rep *r, const struct rep_read *q) {
  if (q->token.seq && PLANT(SESSION_IGNORED, reads_lost(r, &q->token), false))
    return REP_LOST;
  uint64_t wanted = PLANT(SESSION_IGNORED, q->token.seq, 0);
  return r->machine.pos(r->machine.arg).seq >= wanted ? REP_DONE : REP_UNKNOWN;
}

static bool reads_try(struct rep *r, const struct rep_read *q) {
  enum rep_result result = REP_UNAVAILABLE;
  if (r->role != REP_STOPPED && !r->state.broken)
    result = q->level == REP_STRONG ? reads_strong(r, q) : reads_session(r, q);
  if (result == REP_UNKNOWN && r->now < q->until)
    return false;
  rep_answer(r, q->ticket, result == REP_UNKNOWN ? REP_UNAVAILABLE : result);
  return true;
}

static void reads_local(struct rep *r, const struct rep_event *ev) {
  bool fresh = r->fresh_at && r->now - r->fresh_at <= ev->number;
  rep_answer(r, ev->ticket, PLANT(LOCAL_UNBOUNDED, fresh, true) ? REP_DONE : REP_UNAVAILABLE);
}

void rep_read(struct rep *r, const struct rep_event *ev) {
  if (r->state.broken) {
    rep_answer(r, ev->ticket, REP_UNAVAILABLE);
    return;
  }
  if (ev->level == REP_LOCAL) {
    reads_local(r, ev);
    return;
  }
  struct rep_read q = {.ticket = ev->ticket, .level = ev->level, .token = ev->token};
  q.round = r->round + 1;
  q.until = r->now + r->o.read_ms;
  if (reads_try(r, &q))
    return;
  if (r->n_reads == REP_READS) {
    rep_answer(r, ev->ticket, REP_OVERLOADED);
    return;
  }
  r->reads[r->n_reads++] = q;
  if (q.level == REP_STRONG && r->confirmed == r->round) {
    rep_round_begin(r);
    rep_peers_beat(r);
  }
}

void rep_reads_serve(struct rep *r) {
  uint32_t kept = 0;
  bool more = false;
  for (uint32_t i = 0; i < r->n_reads; i++) {
    if (reads_try(r, &r->reads[i]))
      continue;
    more |= r->reads[i].level == REP_STRONG && r->reads[i].round > r->round;
    r->reads[kept++] = r->reads[i];
  }
  r->n_reads = kept;
  if (more && r->role == REP_LEADING && r->confirmed == r->round) {
    rep_round_begin(r);
    rep_peers_beat(r);
  }
}
