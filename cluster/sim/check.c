/*
 * check.c - what must hold. The first replica that says an entry is committed writes the ledger;
 * from it an oracle, which knows nothing of the protocol, has the data and its digest at every
 * position.
 */
#include <string.h>

#include "sim/world.h"

/* Whether a node has the entry on disk: in its log, or in its data. */
static bool check_holds(const struct sim_node *n, const struct rep_pos *pos) {
  const struct sim_image *i = &n->disk.durable;
  const struct rep_entry *e = sim_image_at(i, pos->seq);
  if (!sim_disk_sound(n))
    return true; /* it had */
  return pos->seq <= i->base.seq || pos->seq <= n->map.durable.pos.seq ||
         (e && e->pos.chain == pos->chain);
}

/* I3: on the disk of every ISR member, and of min_isr at least. */
static void check_copies(struct sim_node *n, const struct rep_pos *pos) {
  struct sim_world *w = n->world;
  const struct rep_config *c = sim_meta_record(w);
  uint32_t copies = 0;
  for (uint32_t i = 0; i < c->n_isr; i++) {
    const struct sim_node *m = &w->nodes[c->isr[i].node];
    if (!rep_same_store(m->uuid, c->isr[i].store))
      copies++; /* what it acknowledged was true when it did */
    else if (!check_holds(m, pos))
      sim_fail(w, "I3: %lu is committed, and not on the disk of node %u", pos->seq, m->id);
  }
  for (uint32_t i = 1; i <= w->n_nodes; i++)
    copies += check_holds(&w->nodes[i], pos);
  if (copies < c->min_isr)
    sim_fail(w, "%lu is committed on %u disks of %u", pos->seq, copies, c->min_isr);
}

/* I2: all that is committed in an epoch is committed first by one node, which leads. */
static void check_leader(struct sim_node *n, const struct rep_info *info, uint64_t seq) {
  struct sim_world *w = n->world;
  if (info->role != REP_LEADING && n->has_rotted)
    return; /* it found that it could not apply what it had just committed */
  if (info->role != REP_LEADING) {
    sim_fail(w, "I2: node %u committed %lu without leading", n->id, seq);
    return;
  }
  for (uint32_t i = w->n_leaders; i-- > 0;)
    if (w->leaders[i].epoch == info->epoch) {
      if (w->leaders[i].node != n->id)
        sim_fail(w, "I2: nodes %u and %u commit in epoch %lu", n->id, w->leaders[i].node,
                 info->epoch);
      return;
    }
  if (w->n_leaders < SIM_RECORDS)
    w->leaders[w->n_leaders++] = (struct sim_leader){info->epoch, n->id};
}

static void check_oracle(struct sim_world *w, const struct rep_entry *e) {
  sim_room(w, &w->ledger, &w->ledger_room, w->n_ledger, sizeof *w->ledger);
  struct sim_commit *c = &w->ledger[w->n_ledger++];
  memset(c, 0, sizeof *c);
  c->pos = e->pos;
  c->at = w->now;
  c->key = SIM_KEYS;
  if (e->kind == REP_DATA) {
    uint64_t index;
    memcpy(&index, e->body + 8, 8);
    struct sim_write *write = &w->writes[index];
    uint64_t *max = &w->client_max[write->client];
    if (!write->seq && write->count + 64 > *max) {
      write->seq = e->pos.seq;
      c->key = write->does == SIM_CHECK ? SIM_KEYS : write->key;
      c->value = write->does == SIM_PUT_KEY ? index + 1 : 0;
      if (c->key < SIM_KEYS)
        w->oracle.values[c->key] = c->value;
    }
    *max = rep_max(*max, write->count);
  }
}

static void check_commit(struct sim_node *n, const struct rep_info *info) {
  struct sim_world *w = n->world;
  if (w->forced)
    return;
  for (uint64_t seq = n->seen_commit + 1; seq <= info->commit; seq++) {
    const struct rep_entry *e = sim_image_at(&n->disk.now, seq);
    if (!e)
      continue;
    if (seq <= w->n_ledger) {
      if (w->ledger[seq - 1].pos.chain != e->pos.chain)
        sim_fail(w, "I4: node %u committed another entry %lu", n->id, seq);
      continue;
    }
    if (seq != w->n_ledger + 1) {
      sim_fail(w, "node %u committed %lu behind %zu", n->id, seq, w->n_ledger);
      return;
    }
    check_leader(n, info, seq);
    check_copies(n, &e->pos);
    check_oracle(w, e);
  }
  n->seen_commit = rep_max(n->seen_commit, info->commit);
}

/* I6, and that the data is what the oracle has. */
static void check_applied(struct sim_node *n, const struct rep_info *info) {
  struct sim_world *w = n->world;
  const struct sim_data *d = &n->map.now;
  if (d->pos.seq == n->seen_applied || w->forced)
    return;
  n->seen_applied = d->pos.seq;
  if (d->pos.seq > info->commit || d->pos.seq > w->n_ledger) {
    sim_fail(w, "I6: node %u applied %lu of %lu committed", n->id, d->pos.seq, info->commit);
    return;
  }
  if (!d->pos.seq)
    return;
  struct sim_commit *c = &w->ledger[d->pos.seq - 1];
  if (c->pos.chain != d->pos.chain) {
    sim_fail(w, "node %u applied another entry %lu", n->id, d->pos.seq);
    return;
  }
  uint64_t digest = sim_data_digest(d);
  if (d->pos.seq == w->n_ledger && memcmp(d->values, w->oracle.values, sizeof d->values) != 0)
    sim_fail(w, "node %u has other data than the oracle at %lu", n->id, d->pos.seq);
  if (c->digest && c->digest != digest)
    sim_fail(w, "node %u has other data at %lu", n->id, d->pos.seq);
  c->digest = digest;
}

void sim_check_node(struct sim_node *n) {
  struct sim_world *w = n->world;
  struct rep_info info;
  rep_info(n->rep, &info);
  check_commit(n, &info);
  check_applied(n, &info);
  if (info.rev < n->seen_rev)
    sim_fail(w, "I9: node %u went back to record %lu", n->id, info.rev);
  n->seen_rev = info.rev;
  if (info.uncommitted_acks > w->rep.async_window)
    sim_fail(w, "node %u acknowledged %u writes before their commit", n->id, info.uncommitted_acks);
}

/* I1, when a node comes back: what it has said in an epoch's name, it still knows. */
void sim_check_open(struct sim_node *n) {
  struct rep_info info;
  rep_info(n->rep, &info);
  n->seen_commit = n->seen_applied = 0;
  if (info.promised < n->answered_epoch)
    sim_fail(n->world, "I1: node %u forgot that it promised %lu", n->id, n->answered_epoch);
  sim_check_node(n);
}

void sim_check_send(struct sim_node *n, const struct rep_msg *m) {
  if (m->type == REP_PROBED || m->type == REP_ACK || m->type == REP_PROBE)
    n->answered_epoch = rep_max(n->answered_epoch, m->epoch);
  uint64_t have = rep_max(n->disk.durable.base.seq + n->disk.durable.n, n->map.durable.pos.seq);
  if (m->type == REP_ACK && m->prev.seq > have)
    sim_fail(n->world, "I3: node %u acknowledges %lu before it is on disk", n->id, m->prev.seq);
}

void sim_check_read(struct sim_node *n, const struct sim_ask *ask, const struct sim_reply *r) {
  struct sim_world *w = n->world;
  uint64_t seq = r->answer.pos.seq;
  w->result->reads[ask->level]++;
  if (ask->level == REP_LOCAL && seq < w->n_ledger && !w->forced) {
    uint64_t missed = w->ledger[seq].at, bound = ask->max_age * 1030 + 5000;
    if (w->now > missed + bound)
      sim_fail(w, "a local read at node %u misses a write of %lu ms ago, more than %lu", n->id,
               (w->now - missed) / 1000, ask->max_age);
  }
}

static void check_write_reply(struct sim_world *w, const struct sim_client *c,
                              const struct sim_reply *r) {
  struct sim_write *write = &w->writes[c->ask.index];
  if (r->answer.result == REP_OLD_OP)
    return;
  if (r->answer.result == REP_DONE_LOCAL) {
    write->local = true;
    w->result->local_acks++;
    return;
  }
  if (!write->seq || write->seq > r->answer.pos.seq)
    sim_fail(w, "client %u has an answer for a write that is not committed", c->id);
  if (write->seq && write->seq <= write->floor)
    sim_fail(w, "write at %lu was begun after %lu was acknowledged", write->seq, write->floor);
  write->done = true;
  w->acked = rep_max(w->acked, write->seq);
  w->result->writes_acked++;
  w->healed_writes += w->healing;
}

/* What the oracle has for a key at a position. */
static uint64_t check_value(const struct sim_world *w, uint32_t key, uint64_t seq) {
  for (uint64_t i = rep_min(seq, w->n_ledger); i > 0; i--)
    if (w->ledger[i - 1].key == key)
      return w->ledger[i - 1].value;
  return 0;
}

void sim_check_reply(struct sim_world *w, const struct sim_client *c, const struct sim_reply *r) {
  if (w->forced)
    return;
  if (c->ask.write) {
    check_write_reply(w, c, r);
    return;
  }
  uint64_t seq = r->answer.pos.seq;
  if (r->value != check_value(w, c->ask.key, seq))
    sim_fail(w, "client %u read a value that key %u never had at %lu", c->id, c->ask.key, seq);
  if (c->ask.level == REP_STRONG && seq < c->floor)
    sim_fail(w, "a strong read of %lu was begun after %lu was known", seq, c->floor);
  if (c->ask.level == REP_SESSION && seq < c->ask.token.seq)
    sim_fail(w, "a session went back from %lu to %lu", c->ask.token.seq, seq);
  if (c->ask.level == REP_STRONG)
    w->acked = rep_max(w->acked, seq);
}

void sim_check_record(struct sim_world *w, const struct rep_config *c) {
  const struct rep_config *before = c - 1;
  if (!rep_config_valid(c) || c->epoch < before->epoch)
    sim_fail(w, "I8: a record breaks the rules");
  if (c->epoch == before->epoch && c->isr[0].node != before->isr[0].node)
    sim_fail(w, "the primary changed in epoch %lu", c->epoch);
  if (c->n_isr < c->min_isr && !w->forced)
    sim_fail(w, "the ISR has %u members of %u", c->n_isr, c->min_isr);
}

/* Writes that only this disk had are lost with it; async says so. */
void sim_check_wipe(struct sim_node *n) {
  for (size_t i = 0; i < n->world->n_writes; i++)
    if (!n->world->writes[i].seq)
      n->world->writes[i].excused = true;
}

static void check_end_node(struct sim_node *n) {
  struct sim_world *w = n->world;
  struct rep_info info;
  rep_info(n->rep, &info);
  if (w->forced) {
    if (sim_data_digest(&n->map.now) != sim_data_digest(&sim_node_leading(w)->map.now))
      sim_fail(w, "after healing node %u has other data than the primary", n->id);
  } else if (info.applied != w->n_ledger || info.broken) {
    sim_fail(w, "after healing node %u has %lu of %zu", n->id, info.applied, w->n_ledger);
  } else if (memcmp(n->map.now.values, w->oracle.values, sizeof w->oracle.values) != 0) {
    sim_fail(w, "after healing node %u has other data", n->id);
  }
}

/* Where everybody stands, for who reads a failed run's story. */
static void check_tell(struct sim_world *w) {
  struct rep_info i;
  for (uint32_t id = 1; id <= w->n_nodes; id++) {
    struct sim_node *n = &w->nodes[id];
    const struct rep_config *c = sim_meta_record(w);
    int at = rep_isr_at(c, id);
    if (!n->rep) {
      sim_trace(w, "node %u is away", id);
      continue;
    }
    rep_info(n->rep, &i);
    sim_trace(w, "node %u (%s): role %d%s, epoch %lu, promised %lu, log %lu to %lu, match %lu, "
              "commit %lu, record %lu, incarnation %ld", id,
              at < 0 ? "no member" : rep_same_store(c->isr[at].store, n->uuid) ? "ISR" : "wiped",
              (int)i.role, i.broken ? ", broken" : "", i.epoch, i.promised, i.base, i.last,
              i.match, i.commit, i.rev, n->incarnation);
  }
}

void sim_check_end(struct sim_world *w) {
  const struct rep_config *c = sim_meta_record(w);
  check_tell(w);
  if (!sim_node_leading(w))
    sim_fail(w, "after healing nobody leads");
  if (!w->healed_writes)
    sim_fail(w, "after healing no write is answered");
  for (uint32_t i = 1; i <= w->n_nodes && !w->result->failed; i++)
    if (i == w->left_out)
      continue;
    else if (rep_isr_at(c, i) < 0)
      sim_fail(w, "after healing node %u has not grown", i);
    else
      check_end_node(&w->nodes[i]);
  for (size_t i = 0; i < w->n_writes; i++) {
    const struct sim_write *write = &w->writes[i];
    if (write->done && !write->seq)
      sim_fail(w, "an acknowledged write is lost");
    if (write->local && !write->seq && !write->excused && !write->orphan_on)
      sim_fail(w, "a write acknowledged by async is neither there nor an orphan");
  }
}
