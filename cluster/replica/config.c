/* config.c - the shard's record: taking over newer ones, and the one transaction under way. */
#include <string.h>

#include "replica/state.h"

bool rep_config_member(const struct rep *r, const struct rep_config *c) {
  int at = rep_isr_at(c, r->o.node);
  return at >= 0 && PLANT(WIPED_LEADS, rep_same_store(c->isr[at].store, r->o.store), true);
}

const struct rep_config *rep_config_of(const struct rep *r) {
  return r->have_config ? &r->config : NULL;
}

void rep_config_refresh(struct rep *r) {
  if (r->now - r->refreshed < r->o.retry_ms)
    return;
  r->refreshed = r->now;
  r->host.refresh(r->host.arg);
}

static void config_send(struct rep *r) {
  r->txn_sent = r->now;
  r->txn.incarnation = r->incarnation;
  r->host.txn(r->host.arg, &r->txn);
}

/* Starts a transaction from the present record; `make` has put the new one into r->txn.config. */
static void config_begin(struct rep *r, enum rep_txn_kind kind) {
  r->txn.kind = kind;
  r->txn.rev = r->config.rev;
  r->have_txn = true;
  config_send(r);
}

static bool config_may_begin(struct rep *r) {
  if (r->have_txn || !r->have_config || !r->incarnation)
    return false;
  r->txn.config = r->config;
  return true;
}

/* An operator has made this replica the primary, though it may not have all: what it has is where
   the shard goes on from. */
static bool config_forced(struct rep *r) {
  struct rep_pos pos = r->machine.pos(r->machine.arg);
  r->state.broken = false;
  r->state.heal = 0;
  return pos.seq >= r->base.seq || rep_journal_reset(r, &pos);
}

/* Which part this node plays by a record that is new. */
static void config_play(struct rep *r) {
  bool mine = rep_config_member(r, &r->config) && r->config.isr[0].node == r->o.node;
  if (r->role == REP_LEADING || r->role == REP_PROMISING) {
    if (r->config.epoch == r->epoch && mine) {
      if (r->role == REP_LEADING) /* before the promise is on disk nobody is told of it */
        rep_peers_update(r);
      rep_lead_commit(r);
      return;
    }
    if (PLANT(NO_STEP_DOWN, true, false))
      rep_lead_end(r);
  }
  r->heard = r->now;
  if (r->role != REP_FOLLOWER || !mine)
    return;
  bool forced = r->config.unclean == r->config.epoch && r->config.epoch > r->state.promised;
  if (forced ? !config_forced(r) : r->state.broken)
    return;
  if (r->config.epoch > PLANT(RESUME_SAME_EPOCH, r->state.promised, r->state.promised - 1))
    rep_lead(r);
  else if (config_may_begin(r)) {
    r->txn.config.epoch++;
    config_begin(r, REP_RESUME);
  }
}

void rep_config_adopt(struct rep *r, const struct rep_config *c) {
  if (r->have_config && PLANT(STALE_CONFIG, c->rev <= r->config.rev, c->rev == r->config.rev))
    return;
  if (PLANT(STALE_CONFIG, c->rev < r->state.rev, false))
    return; /* a late watch; or the store was put back to an old time */
  if (!rep_config_valid(c)) {
    rep_stop(r, REP_WHY_I8);
    return;
  }
  r->config = *c;
  r->have_config = true;
  if (r->have_txn && c->rev > r->txn.rev)
    r->have_txn = false;
  r->state.rev = c->rev;
  if (rep_journal_save(r))
    config_play(r);
}

void rep_config_outcome(struct rep *r, const struct rep_event *ev) {
  if (ev->outcome == REP_TXN_UNKNOWN) {
    if (PLANT(UNKNOWN_IS_FAILED, false, true))
      r->have_txn = false;
    return;
  }
  rep_config_adopt(r, ev->config);
  /* Refused though the record is as it was: the node's registration had changed, and so it will
     be refused whenever it arrives. */
  if (ev->outcome == REP_TXN_FAILED && r->have_txn && ev->config->rev == r->txn.rev &&
      r->incarnation != r->txn.incarnation)
    r->have_txn = false;
}

/* How many ISR members may leave. */
static bool config_may_shrink(const struct rep *r) {
  return r->config.n_isr > PLANT(SHRINK_BELOW_MIN, r->config.min_isr, 1);
}

/* Silence, or no progress though something is owed. */
static bool config_slow(const struct rep *r, const struct rep_peer *p) {
  if (PLANT(NEVER_SLOW, false, true))
    return false;
  return r->now - p->heard > r->o.slow_ms || r->now - p->progress > r->o.slow_ms || p->broken;
}

/* Whether a member that is to leave may: all others have answered since that was said, and have
   what is committed. The record alone does not show it: a member may have lost its disk. */
static bool config_leaves(struct rep *r, const struct rep_peer *p) {
  if (p->node != r->leaving)
    return false;
  for (uint32_t i = 1; i < r->config.n_isr; i++) {
    const struct rep_peer *q = rep_peer_of(r, r->config.isr[i].node);
    if (q == p || PLANT(LEAVE_AT_ONCE, false, true))
      continue;
    if (!q || q->round < r->leaving_round || rep_lead_durable(r, &r->config.isr[i]) < r->commit)
      return false;
  }
  return true;
}

void rep_config_leave(struct rep *r, uint32_t node) {
  if (r->role != REP_LEADING || rep_isr_at(&r->config, node) <= 0)
    return;
  if (r->leaving != node)
    r->leaving_round = r->round + 1;
  r->leaving = node;
  r->leaving_said = r->now;
}

static void config_shrink(struct rep *r) {
  for (uint32_t i = 1; i < r->config.n_isr; i++) {
    struct rep_peer *p = rep_peer_of(r, r->config.isr[i].node);
    bool gone = p && p->store.hi | p->store.lo && !rep_same_store(p->store, r->config.isr[i].store);
    if (!p || !(config_slow(r, p) || gone || config_leaves(r, p)) || !config_may_shrink(r) ||
        !config_may_begin(r))
      continue;
    if (rep_config_demote(&r->txn.config, p->node))
      config_begin(r, REP_SHRINK);
    return;
  }
}

/* Whether a peer has all that was ever committed, and so may count from now on: what earlier
   primaries have committed without this one knowing is before its no-op. */
static bool config_ready(const struct rep *r, const struct rep_peer *p) {
  if (PLANT(GROW_EARLY, false, p->state == PEER_STREAM && (p->store.hi | p->store.lo)))
    return true;
  return p->state == PEER_STREAM && !p->broken && r->now - p->heard < r->o.slow_ms &&
         r->noop && p->match >= rep_max(r->commit, PLANT(GROW_AT_COMMIT, r->noop, 0)) &&
         p->match + r->o.grow_lag >= r->tail.seq;
}

static void config_grow(struct rep *r) {
  for (uint32_t i = 0; i < REP_MEMBERS; i++) {
    struct rep_peer *p = &r->peers[i];
    if (!p->node || !config_ready(r, p) || r->have_txn)
      continue;
    int at = rep_isr_at(&r->config, p->node), learner = rep_learner_at(&r->config, p->node);
    if (at >= 0 ? rep_same_store(r->config.isr[at].store, p->store)
                : learner < 0 || p->node == r->leaving)
      continue;
    if (!config_may_begin(r))
      return;
    struct rep_config *c = &r->txn.config;
    struct rep_member member = {p->node, p->store};
    if (at >= 0) {
      c->isr[at] = member;
    } else {
      c->n_learners--;
      memmove(c->learners + learner, c->learners + learner + 1,
              (c->n_learners - (uint32_t)learner) * sizeof *c->learners);
      c->isr[c->n_isr++] = member;
    }
    config_begin(r, REP_GROW);
    return;
  }
}

static void config_hand_over(struct rep *r) {
  int at = r->handoff ? rep_isr_at(&r->config, r->handoff) : -1;
  struct rep_peer *p = at > 0 ? rep_peer_of(r, r->handoff) : NULL;
  if (!p || !rep_same_store(p->store, r->config.isr[at].store) || p->match < r->tail.seq ||
      r->commit < r->tail.seq || !config_may_begin(r))
    return;
  rep_config_lead(&r->txn.config, r->handoff);
  r->txn.config.epoch++;
  config_begin(r, REP_HANDOFF);
}

/* No writes are taken until it is done or given up, so it is not tried with a member that does not
   answer or has much to do, nor over and over. */
void rep_config_hand_over(struct rep *r, uint32_t node) {
  struct rep_peer *p = rep_isr_at(&r->config, node) > 0 ? rep_peer_of(r, node) : NULL;
  bool again = r->handoff_began && r->now - r->handoff_began < 2 * r->o.slow_ms;
  bool soon = p && !config_slow(r, p) && !r->handoff && !again &&
              p->match + r->o.grow_lag >= r->tail.seq;
  if (r->role != REP_LEADING || !r->serving || !PLANT(HANDOFF_ANY, soon, true))
    return;
  r->handoff = node;
  r->handoff_began = r->now;
}

void rep_config_progress(struct rep *r) {
  if (r->role != REP_LEADING)
    return;
  config_hand_over(r);
  config_grow(r);
}

/* An ISR member that has not heard of its primary for long enough asks to be it. */
static void config_promote(struct rep *r) {
  const struct rep_config *c = &r->config;
  int at = rep_isr_at(c, r->o.node);
  if (at <= 0 || !rep_config_member(r, c) || r->state.broken ||
      r->match < PLANT(HEALED_AT_ONCE, r->state.heal, 0))
    return;
  uint64_t patience = r->o.suspect_ms + (uint64_t)(at - 1) * r->o.stagger_ms;
  if (r->full)
    patience += r->o.suspect_ms;
  if (r->now - r->heard < patience || !config_may_begin(r))
    return;
  uint32_t suspect = c->isr[0].node;
  rep_config_lead(&r->txn.config, r->o.node);
  if (config_may_shrink(r))
    rep_config_demote(&r->txn.config, suspect);
  r->txn.config.epoch++;
  config_begin(r, REP_PROMOTE);
}

void rep_config_tick(struct rep *r) {
  if (!r->have_config) {
    rep_config_refresh(r);
    return;
  }
  if (r->have_txn && r->now - r->txn_sent >= PLANT(TXN_ONCE, 2 * r->o.retry_ms, UINT64_MAX))
    config_send(r);
  bool left = rep_isr_at(&r->config, r->leaving) < 0 && rep_learner_at(&r->config, r->leaving) < 0;
  if (left || r->now - r->leaving_said > 3 * r->o.slow_ms)
    r->leaving = 0;
  if (r->role == REP_LEADING) {
    config_shrink(r);
    rep_config_progress(r);
  } else if (r->role == REP_FOLLOWER) {
    config_promote(r);
    /* The record names this node, but it has led that epoch in an earlier life, or its
       transaction was refused. */
    if (r->config.isr[0].node == r->o.node)
      config_play(r);
  }
}
