/*
 * replica.c - opening and closing, dispatch of events, applying what is committed; see replica.h.
 */
#include <string.h>

#include "replica/state.h"

void rep_options_default(struct rep_options *o) {
  memset(o, 0, sizeof *o);
  o->heartbeat_ms = 200;
  o->retry_ms = 250;
  o->suspect_ms = 1000;
  o->stagger_ms = 200;
  o->slow_ms = 1000;
  o->read_ms = 3000;
  o->keep = 100000;
  o->window = 4096;
  o->async_window = 1024;
  o->grow_lag = 256;
}

void rep_close(struct rep *r) {
  if (!r)
    return;
  for (uint32_t i = 0; i < REP_MEMBERS; i++)
    if (r->peers[i].node)
      rep_snapshot_end(r, &r->peers[i]);
  r->alloc.put(r->alloc.arg, r->waits);
  r->alloc.put(r->alloc.arg, r->piece);
  r->alloc.put(r->alloc.arg, r);
}

struct rep *rep_open(const struct rep_options *o, const struct rep_alloc *alloc,
                     const struct rep_host *host, const struct rep_store *store,
                     const struct rep_machine *machine, uint64_t now) {
  if (!o->node || !o->life || !o->window || (o->window & (o->window - 1)))
    return NULL;
  struct rep *r = alloc->get(alloc->arg, sizeof *r);
  if (!r)
    return NULL;
  r->o = *o;
  r->alloc = *alloc;
  r->host = *host;
  r->store = *store;
  r->machine = *machine;
  r->now = r->ticked = r->heard = now;
  r->refreshed = now - o->retry_ms;
  r->waits = alloc->get(alloc->arg, o->window * sizeof *r->waits);
  r->piece = alloc->get(alloc->arg, REP_CHUNK);
  if (!r->waits || !r->piece) {
    rep_close(r);
    return NULL;
  }
  if (rep_journal_open(r)) {
    r->epoch = r->state.promised;
    rep_advance(r);
    rep_check_state(r);
    rep_journal_sync(r);
  }
  return r;
}

void rep_stop(struct rep *r, enum rep_reason why) {
  if (r->role == REP_STOPPED)
    return;
  rep_lead_end(r);
  r->role = REP_STOPPED;
  r->why = why;
  rep_reads_serve(r);
  r->host.stopped(r->host.arg, why);
}

struct rep_msg *rep_message(struct rep *r, enum rep_type type, uint32_t to) {
  struct rep_msg *m = &r->out;
  memset(m, 0, offsetof(struct rep_msg, entries));
  m->type = type;
  m->from = r->o.node;
  m->to = to;
  m->shard = r->o.shard;
  m->epoch = r->epoch;
  m->rev = r->have_config ? r->config.rev : 0;
  m->store = r->o.store;
  return m;
}

void rep_send(struct rep *r) { r->host.send(r->host.arg, &r->out); }

void rep_digest_look(struct rep *r) {
  struct rep_digest d;
  if (!r->machine.digest(r->machine.arg, &d.seq, &d.value) || d.seq == r->digests[0].seq)
    return;
  memmove(r->digests + 1, r->digests, (REP_DIGESTS - 1) * sizeof *r->digests);
  r->digests[0] = d;
}

void rep_advance(struct rep *r) {
  uint64_t to = rep_min(r->commit, r->durable);
  to = PLANT(APPLY_UNCOMMITTED, to, r->tail.seq);
  uint64_t seq = r->machine.pos(r->machine.arg).seq;
  struct rep_entry e;
  while (seq < to && !r->state.broken && r->role != REP_STOPPED) {
    if (!r->store.read(r->store.arg, ++seq, &e)) {
      rep_mark_broken(r, seq);
      return;
    }
    enum rep_applied how = r->machine.apply(r->machine.arg, &e);
    if (how == REP_APPLY_FAILED) {
      rep_stop(r, REP_WHY_MACHINE);
      return;
    }
    rep_writes_applied(r, seq, how);
  }
  rep_follow_fresh(r);
  rep_reads_serve(r);
}

/* After a pause of this process nobody else is to be suspected for it. */
static void replica_tick(struct rep *r) {
  uint64_t gap = r->now - r->ticked;
  r->ticked = r->now;
  if (gap > r->o.suspect_ms / 2) {
    r->heard = r->now;
    for (uint32_t i = 0; i < REP_MEMBERS; i++)
      r->peers[i].heard = r->peers[i].progress = r->now;
  }
  rep_config_tick(r);
  if (r->role == REP_LEADING)
    rep_lead_tick(r);
  if (r->role != REP_STOPPED)
    rep_journal_trim(r);
}

static void replica_synced(struct rep *r, bool ok) {
  if (!ok) {
    rep_stop(r, REP_WHY_STORE);
    return;
  }
  rep_journal_synced(r);
  if (r->role == REP_FOLLOWER)
    rep_follow_synced(r);
  else
    rep_lead_synced(r);
}

static void replica_message(struct rep *r, const struct rep_msg *m) {
  if (m->shard != r->o.shard || m->to != r->o.node || m->from == r->o.node)
    return;
  if (r->have_config && m->rev > r->config.rev)
    rep_config_refresh(r);
  switch (m->type) {
    case REP_PROBED:
    case REP_ACK:
    case REP_PIECED:
    case REP_STALE:
      rep_lead_message(r, m);
      break;
    default:
      rep_follow_message(r, m);
  }
}

void rep_step(struct rep *r, uint64_t now, const struct rep_event *ev) {
  r->now = rep_max(r->now, now);
  if (r->role == REP_STOPPED) {
    if (ev->type == REP_EV_WRITE || ev->type == REP_EV_READ)
      rep_answer(r, ev->ticket, REP_UNAVAILABLE);
    return;
  }
  switch (ev->type) {
    case REP_EV_TICK: replica_tick(r); break;
    case REP_EV_MESSAGE: replica_message(r, ev->msg); break;
    case REP_EV_SYNCED: replica_synced(r, ev->ok); break;
    case REP_EV_CONFIG: rep_config_adopt(r, ev->config); break;
    case REP_EV_TXN: rep_config_outcome(r, ev); break;
    case REP_EV_REGISTERED: r->incarnation = rep_max(r->incarnation, ev->number); break;
    case REP_EV_DOWN:
      if (r->have_config && r->config.isr[0].node == ev->node && r->now > r->o.suspect_ms)
        r->heard = rep_min(r->heard, r->now - r->o.suspect_ms);
      break;
    case REP_EV_WRITE: rep_write(r, ev); break;
    case REP_EV_READ: rep_read(r, ev); break;
    case REP_EV_HANDOFF: rep_config_hand_over(r, ev->node); break;
    case REP_EV_LEAVE: rep_config_leave(r, ev->node); break;
  }
  rep_check_commit(r);
  if (r->role == REP_LEADING)
    rep_peers_feed(r);
  if (r->role != REP_STOPPED)
    rep_advance(r);
  rep_check_state(r);
  rep_journal_sync(r);
}

void rep_info(const struct rep *r, struct rep_info *out) {
  memset(out, 0, sizeof *out);
  out->role = r->role;
  out->why = r->why;
  out->serving = r->serving;
  out->broken = r->state.broken;
  out->full = r->full;
  out->promised = r->state.promised;
  out->rev = r->have_config ? r->config.rev : 0;
  out->epoch = r->epoch;
  out->primary = r->have_config ? r->config.isr[0].node : 0;
  out->base = r->base.seq;
  out->last = r->tail.seq;
  out->durable = r->durable;
  out->commit = r->commit;
  out->applied = r->machine.pos(r->machine.arg).seq;
  out->match = r->match;
  out->uncommitted_acks = r->uncommitted_acks;
  out->fresh_at = r->fresh_at;
}
