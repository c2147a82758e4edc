/*
 * snapshot.c - the machine as a whole, in pieces, to a replica that the log cannot help. Some are
 * under way at a time; the receiver takes them in order, and what is lost is sent again from there
 * on.
 */
#include <string.h>

#include "replica/state.h"

void rep_snapshot_end(struct rep *r, struct rep_peer *p) {
  if (p->state == PEER_SNAPSHOT)
    r->machine.close(r->machine.arg, &p->snapshot);
  p->state = PEER_PROBE;
}

static void snapshot_send(struct rep *r, struct rep_peer *p, uint32_t piece) {
  uint32_t n = 0;
  p->sent = r->now;
  if (!r->machine.read(r->machine.arg, &p->snapshot, piece, r->piece, &n) || n > REP_CHUNK) {
    rep_mark_broken(r, p->snapshot.pos.seq);
    return;
  }
  struct rep_msg *m = rep_message(r, REP_PIECE, p->node);
  m->snapshot = p->snapshot.id;
  m->prev = p->snapshot.pos;
  m->last = r->tail.seq;
  m->flags = p->differs ? REP_FLAG_DIFFERS : 0;
  m->term = p->term;
  m->index = piece;
  m->count = p->snapshot.count;
  m->data = r->piece;
  m->n_data = n;
  rep_send(r);
}

/* What the window has room for. A piece that cannot be read ends it: then nobody leads here. */
static void snapshot_fill(struct rep *r, struct rep_peer *p) {
  while (p->state == PEER_SNAPSHOT && p->behind < p->snapshot.count &&
         p->behind - p->piece < REP_PIECES)
    snapshot_send(r, p, p->behind++);
}

void rep_snapshot_start(struct rep *r, struct rep_peer *p) {
  rep_snapshot_end(r, p);
  p->sent = r->now;
  if (!r->machine.open(r->machine.arg, &p->snapshot))
    return; /* probed again, and so tried again, by the tick */
  p->state = PEER_SNAPSHOT;
  rep_peer_forget(r, p);
  p->piece = p->behind = p->wanted = 0;
  snapshot_fill(r, p);
}

void rep_snapshot_tick(struct rep *r, struct rep_peer *p) {
  if (r->now - p->heard > r->o.slow_ms) {
    rep_peer_probe(r, p);
  } else if (r->now - p->sent >= r->o.retry_ms) {
    p->piece = p->behind = PLANT(PIECES_ON, p->wanted, p->piece);
    snapshot_fill(r, p);
  }
}

void rep_snapshot_answer(struct rep *r, struct rep_peer *p, const struct rep_msg *m) {
  if (p->state != PEER_SNAPSHOT || m->snapshot != p->snapshot.id ||
      m->index > p->snapshot.count)
    return;
  p->wanted = m->index;
  if (m->index == p->snapshot.count) {
    p->broken = p->differs = false;
    uint64_t seq = p->snapshot.pos.seq;
    rep_snapshot_end(r, p);
    rep_peer_stream(r, p, seq);
  } else if (m->index > p->piece) {
    p->piece = m->index;
    p->behind = p->behind > p->piece ? p->behind : p->piece;
    snapshot_fill(r, p);
  }
}

/* The whole is there: it replaces data and log. */
static void snapshot_finish(struct rep *r) {
  struct rep_pos pos = r->install.snapshot.pos;
  r->install.done = r->install.id;
  r->install.id = 0;
  if (r->machine.finish(r->machine.arg) != REP_OK) {
    rep_stop(r, REP_WHY_MACHINE);
    return;
  }
  if (!rep_journal_reset(r, &pos))
    return;
  r->commit = r->match = pos.seq;
  r->fresh_at = r->later_time = 0;
  memset(r->digests, 0, sizeof r->digests);
  if (r->state.broken)
    r->state.heal = r->install.last;
  r->state.broken = false;
  (void)rep_journal_save(r);
}

/* Whether it is of use. What the log has behind the snapshot's position may be committed, and so is
   not dropped when the two agree there. */
static bool snapshot_helps(struct rep *r, const struct rep_pos *pos) {
  struct rep_pos here;
  return r->state.broken || pos->seq > r->tail.seq ||
         (pos->seq >= r->commit && rep_journal_pos(r, pos->seq, &here) &&
          PLANT(SNAPSHOT_ANY, here.chain != pos->chain, true));
}

static bool snapshot_begin(struct rep *r, const struct rep_msg *m) {
  r->install.id = m->snapshot;
  r->install.next = 0;
  r->install.snapshot.id = m->snapshot;
  r->install.snapshot.pos = m->prev;
  r->install.snapshot.count = m->count;
  r->install.last = m->last;
  if (r->machine.begin(r->machine.arg, &r->install.snapshot) == REP_OK)
    return true;
  r->install.id = 0;
  return false;
}

static void snapshot_answer(struct rep *r, const struct rep_msg *m, uint32_t next) {
  struct rep_msg *out = rep_message(r, REP_PIECED, r->leader);
  out->snapshot = m->snapshot;
  out->index = next;
  rep_send(r);
}

void rep_snapshot_receive(struct rep *r, const struct rep_msg *m) {
  if (m->flags & REP_FLAG_DIFFERS && m->snapshot != r->install.done)
    rep_mark_broken(r, m->prev.seq);
  if (r->role == REP_STOPPED)
    return;
  if (!snapshot_helps(r, &m->prev)) {
    snapshot_answer(r, m, m->count);
    return;
  }
  if (m->snapshot != r->install.id && (m->index || !snapshot_begin(r, m)))
    return;
  if (m->index == r->install.next && m->count == r->install.snapshot.count) {
    enum rep_status status = r->machine.piece(r->machine.arg, m->index, m->data, m->n_data);
    if (status == REP_FAILED) {
      r->install.id = 0;
      return;
    }
    r->install.next += status == REP_OK;
  }
  uint32_t next = r->install.next;
  if (next == m->count)
    snapshot_finish(r);
  if (r->role != REP_STOPPED)
    snapshot_answer(r, m, next);
}
