/*
 * invariant.c - what must hold after every event, whatever came (README.md, I1 to I10), looked at
 * in every build: a replica that finds one broken stops, before it says anything more.
 */
#include "replica/state.h"

const char *rep_reason_text(enum rep_reason why) {
  static const char *const texts[] = {
      [REP_WHY_NONE] = "it runs",
      [REP_WHY_STORE] = "the log failed",
      [REP_WHY_MACHINE] = "the data failed, or could not apply an entry",
      [REP_WHY_I1] = "I1: a promise was taken back",
      [REP_WHY_I2] = "I2: two primaries in one epoch",
      [REP_WHY_I3] = "I3: committed without being on the disk of every member of the ISR",
      [REP_WHY_I4] = "I4: two entries at one position of one epoch",
      [REP_WHY_I5] = "I5: a cut of what is committed",
      [REP_WHY_I6] = "I6: applied before it was committed",
      [REP_WHY_I7] = "I7: on disk in the data before it was committed",
      [REP_WHY_I8] = "I8: the shard's record breaks the rules",
      [REP_WHY_I9] = "I9: an older record replaced a newer one",
      [REP_WHY_I10] = "I10: a growing member did not count"};
  return (unsigned)why < sizeof texts / sizeof *texts ? texts[why] : "not known";
}

static bool invariant_has(struct rep *r, const struct rep_member *m, uint64_t seq) {
  if (m->node == r->o.node)
    return r->durable >= seq;
  const struct rep_peer *p = rep_peer_of(r, m->node);
  return p && !p->broken && rep_same_store(p->store, m->store) && p->match >= seq;
}

static bool invariant_all_have(struct rep *r, const struct rep_config *c, uint64_t seq) {
  for (uint32_t i = 0; i < c->n_isr; i++)
    if (!invariant_has(r, &c->isr[i], seq))
      return false;
  return c->n_isr >= c->min_isr;
}

void rep_check_commit(struct rep *r) {
  bool more = r->commit > r->was.commit;
  r->was.commit = r->commit;
  if (r->role != REP_LEADING)
    return;
  if (r->state.promised != r->epoch || r->config.epoch != r->epoch)
    rep_stop(r, REP_WHY_I2);
  else if (more && !invariant_all_have(r, &r->config, r->commit))
    rep_stop(r, REP_WHY_I3);
  else if (more && r->have_txn && r->txn.kind == REP_GROW &&
           !invariant_all_have(r, &r->txn.config, r->commit))
    rep_stop(r, REP_WHY_I10);
}

void rep_check_state(struct rep *r) {
  uint64_t applied = r->machine.pos(r->machine.arg).seq;
  if (r->role == REP_STOPPED)
    return;
  if (r->state.promised < r->was.promised)
    rep_stop(r, REP_WHY_I1);
  else if (applied > r->commit)
    rep_stop(r, REP_WHY_I6);
  else if (r->machine.durable(r->machine.arg) > r->commit)
    rep_stop(r, REP_WHY_I7);
  else if (r->state.rev < r->was.rev || (r->have_config && r->config.rev < r->state.rev))
    rep_stop(r, REP_WHY_I9);
  r->was.promised = r->state.promised;
  r->was.rev = r->state.rev;
}
