/* peers.c - what a primary sends to each other replica: probes, entries, heartbeats, and again. */
#include <string.h>

#include "replica/state.h"

struct rep_peer *rep_peer_of(struct rep *r, uint32_t node) {
  for (uint32_t i = 0; i < REP_MEMBERS; i++)
    if (r->peers[i].node == node)
      return &r->peers[i];
  return NULL;
}

void rep_peer_probe(struct rep *r, struct rep_peer *p) {
  rep_snapshot_end(r, p);
  p->state = PEER_PROBE;
  p->sent = r->now;
  struct rep_msg *m = rep_message(r, REP_PROBE, p->node);
  m->round = r->round;
  m->term = p->term;
  rep_send(r);
}

void rep_peer_forget(struct rep *r, struct rep_peer *p) {
  p->known = 0;
  p->match = PLANT(STORE_CHANGE, 0, p->match);
  p->term = PLANT(LATE_ACK, ++r->terms, p->term);
}

void rep_peer_stream(struct rep *r, struct rep_peer *p, uint64_t known) {
  p->state = PEER_STREAM;
  p->known = known;
  p->next = rep_max(known, p->match) + 1;
  p->sent = r->now;
}

static void peers_add(struct rep *r, uint32_t node) {
  if (node == r->o.node || rep_peer_of(r, node))
    return;
  struct rep_peer *p = rep_peer_of(r, 0);
  if (!p)
    return;
  memset(p, 0, sizeof *p);
  p->node = node;
  p->term = ++r->terms;
  p->heard = p->progress = r->now;
  rep_peer_probe(r, p);
}

void rep_peers_update(struct rep *r) {
  for (uint32_t i = 0; i < REP_MEMBERS; i++) {
    struct rep_peer *p = &r->peers[i];
    if (!p->node || rep_isr_at(&r->config, p->node) >= 0 ||
        rep_learner_at(&r->config, p->node) >= 0)
      continue;
    rep_snapshot_end(r, p);
    p->node = 0;
  }
  for (uint32_t i = 0; i < r->config.n_isr; i++)
    peers_add(r, r->config.isr[i].node);
  for (uint32_t i = 0; i < r->config.n_learners; i++)
    peers_add(r, r->config.learners[i]);
}

/* An entry that p wants cannot be read: what the data has of it, p can have with the data. */
static void peers_unreadable(struct rep *r, struct rep_peer *p, uint64_t seq) {
  if (PLANT(OLD_ROT_BREAKS, seq <= r->machine.pos(r->machine.arg).seq, false))
    rep_snapshot_start(r, p);
  else
    rep_mark_broken(r, seq);
}

/* An APPEND behind entry `prev` in r->out; NULL when the log does not reach back so far, or is
   damaged there. */
static struct rep_msg *peers_append(struct rep *r, struct rep_peer *p, uint64_t prev) {
  struct rep_pos pos;
  if (prev < r->base.seq) {
    rep_snapshot_start(r, p);
    return NULL;
  }
  if (!rep_journal_pos(r, prev, &pos)) {
    peers_unreadable(r, p, prev);
    return NULL;
  }
  struct rep_msg *m = rep_message(r, REP_APPEND, p->node);
  m->prev = pos;
  m->commit = r->commit;
  m->round = r->round;
  m->primary = r->o.node;
  m->term = p->term;
  m->life = p->fresh_life;
  m->time = p->fresh_time;
  return m;
}

/* Fills r->out with entries from p->next on; false: one of them cannot be read. */
static bool peers_fill(struct rep *r, struct rep_peer *p, struct rep_msg *m) {
  size_t bytes = 0;
  while (p->next + m->n_entries <= r->tail.seq && m->n_entries < REP_BATCH) {
    struct rep_entry *e = &m->entries[m->n_entries];
    if (!r->store.read(r->store.arg, p->next + m->n_entries, e)) {
      peers_unreadable(r, p, p->next + m->n_entries);
      return false;
    }
    bytes += e->n;
    if (m->n_entries && bytes > REP_BATCH_BYTES)
      break;
    m->n_entries++;
  }
  return true;
}

/* Members behind p in the chain that are to get the same entries. */
static void peers_route(struct rep *r, const struct rep_peer *p, struct rep_msg *m) {
  for (uint32_t i = 0; i < r->config.n_isr; i++) {
    struct rep_peer *q = rep_peer_of(r, r->config.isr[i].node);
    if (!q || q == p || q->state != PEER_STREAM || q->next != p->next || q->direct_until > r->now)
      continue;
    m->route[m->n_route++] = q->node;
  }
}

static bool peers_batch(struct rep *r, struct rep_peer *p) {
  struct rep_msg *m = peers_append(r, p, p->next - 1);
  if (!m || !peers_fill(r, p, m))
    return false;
  if (r->o.chain && rep_isr_at(&r->config, p->node) >= 0 && p->direct_until <= r->now)
    peers_route(r, p, m);
  for (uint32_t i = 0; i < m->n_route; i++) {
    struct rep_peer *q = rep_peer_of(r, m->route[i]);
    q->next += m->n_entries;
    q->sent = r->now;
  }
  p->next += m->n_entries;
  p->sent = r->now;
  rep_send(r);
  return true;
}

void rep_peers_feed(struct rep *r) {
  for (uint32_t i = 0; i < REP_MEMBERS && r->role == REP_LEADING; i++) {
    struct rep_peer *p = &r->peers[i];
    while (p->node && p->state == PEER_STREAM && p->next <= r->tail.seq &&
           p->next <= rep_max(p->known, p->match) + r->o.window)
      if (!peers_batch(r, p))
        break;
  }
}

/* Behind what surely is there, so that it is never a gap. */
void rep_peers_beat(struct rep *r) {
  for (uint32_t i = 0; i < REP_MEMBERS && r->role == REP_LEADING; i++) {
    struct rep_peer *p = &r->peers[i];
    if (p->node && p->state == PEER_STREAM && peers_append(r, p, rep_max(p->known, p->match)))
      rep_send(r);
  }
}

void rep_peers_tick(struct rep *r) {
  for (uint32_t i = 0; i < REP_MEMBERS && r->role == REP_LEADING; i++) {
    struct rep_peer *p = &r->peers[i];
    if (!p->node)
      continue;
    if (p->match >= r->tail.seq)
      p->progress = r->now;
    uint64_t have = rep_max(p->known, p->match);
    bool late = r->now - p->sent >= r->o.retry_ms;
    if (p->state == PEER_PROBE && late) {
      rep_peer_probe(r, p);
    } else if (p->state == PEER_SNAPSHOT) {
      rep_snapshot_tick(r, p);
    } else if (p->state == PEER_STREAM && late && p->next > have + 1 &&
               r->now - p->progress >= r->o.retry_ms) {
      p->next = PLANT(NO_RESEND, have + 1, p->next);
      p->direct_until = r->now + 8 * r->o.retry_ms;
    }
  }
}
