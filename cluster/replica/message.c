/*
 * message.c - the bytes of the messages; see message.h. Little-endian, fields by type, no padding.
 */
#include "replica/message.h"

#include <string.h>

enum {
  MESSAGE_FIXED = 512 + REP_EPOCHS * 16, /* more than all fields that are not entries or data */
  MESSAGE_ENTRY = 8 * 5 + 4 + 4
};

struct message_writer {
  uint8_t *at;
};

struct message_reader {
  const uint8_t *at, *end;
  bool bad;
};

static void message_put(struct message_writer *w, const void *data, size_t n) {
  if (n)
    memcpy(w->at, data, n);
  w->at += n;
}

static void message_put64(struct message_writer *w, uint64_t v) { message_put(w, &v, sizeof v); }
static void message_put32(struct message_writer *w, uint32_t v) { message_put(w, &v, sizeof v); }

static const uint8_t *message_take(struct message_reader *r, size_t n) {
  if (r->bad || n > (size_t)(r->end - r->at)) {
    r->bad = true;
    return NULL;
  }
  r->at += n;
  return r->at - n;
}

static uint64_t message_take64(struct message_reader *r) {
  uint64_t v = 0;
  const uint8_t *p = message_take(r, sizeof v);
  if (p)
    memcpy(&v, p, sizeof v);
  return v;
}

static uint32_t message_take32(struct message_reader *r) {
  uint32_t v = 0;
  const uint8_t *p = message_take(r, sizeof v);
  if (p)
    memcpy(&v, p, sizeof v);
  return v;
}

/* A count of things; 0 when it is over its limit, which makes the message bad. */
static uint32_t message_count(struct message_reader *r, uint32_t limit) {
  uint32_t n = message_take32(r);
  if (n <= limit)
    return n;
  r->bad = true;
  return 0;
}

size_t rep_msg_bytes(const struct rep_msg *m) {
  size_t n = MESSAGE_FIXED + m->n_data;
  for (uint32_t i = 0; i < m->n_entries; i++)
    n += MESSAGE_ENTRY + m->entries[i].n;
  return n;
}

static void message_put_pos(struct message_writer *w, const struct rep_pos *p) {
  message_put64(w, p->seq);
  message_put64(w, p->epoch);
  message_put64(w, p->chain);
}

static struct rep_pos message_take_pos(struct message_reader *r) {
  struct rep_pos p;
  p.seq = message_take64(r);
  p.epoch = message_take64(r);
  p.chain = message_take64(r);
  return p;
}

static void message_put_append(struct message_writer *w, const struct rep_msg *m) {
  message_put_pos(w, &m->prev);
  message_put64(w, m->commit);
  message_put64(w, m->life);
  message_put64(w, m->time);
  message_put32(w, m->primary);
  message_put32(w, m->n_route);
  for (uint32_t i = 0; i < m->n_route; i++)
    message_put32(w, m->route[i]);
  message_put32(w, m->n_entries);
  for (uint32_t i = 0; i < m->n_entries; i++) {
    const struct rep_entry *e = &m->entries[i];
    message_put64(w, e->pos.epoch);
    message_put64(w, e->pos.chain);
    message_put64(w, e->op.client);
    message_put64(w, e->op.count);
    message_put32(w, e->kind);
    message_put32(w, e->n);
    message_put(w, e->body, e->n);
  }
}

static void message_take_append(struct message_reader *r, struct rep_msg *m) {
  m->prev = message_take_pos(r);
  m->commit = message_take64(r);
  m->life = message_take64(r);
  m->time = message_take64(r);
  m->primary = message_take32(r);
  m->n_route = message_count(r, REP_MEMBERS);
  for (uint32_t i = 0; i < m->n_route; i++)
    m->route[i] = message_take32(r);
  m->n_entries = message_count(r, REP_BATCH);
  for (uint32_t i = 0; i < m->n_entries; i++) {
    struct rep_entry *e = &m->entries[i];
    e->pos.seq = m->prev.seq + 1 + i;
    e->pos.epoch = message_take64(r);
    e->pos.chain = message_take64(r);
    e->op.client = message_take64(r);
    e->op.count = message_take64(r);
    e->kind = message_take32(r);
    e->n = message_count(r, REP_BODY_MAX);
    e->body = message_take(r, e->n);
  }
}

static void message_put_ack(struct message_writer *w, const struct rep_msg *m) {
  message_put64(w, m->prev.seq);
  message_put64(w, m->life);
  message_put64(w, m->time);
  message_put32(w, m->flags);
  message_put64(w, m->digest_seq);
  message_put64(w, m->digest);
}

static void message_take_ack(struct message_reader *r, struct rep_msg *m) {
  m->prev.seq = message_take64(r);
  m->life = message_take64(r);
  m->time = message_take64(r);
  m->flags = message_take32(r);
  m->digest_seq = message_take64(r);
  m->digest = message_take64(r);
}

static void message_put_probed(struct message_writer *w, const struct rep_msg *m) {
  message_put64(w, m->prev.seq);
  message_put64(w, m->last);
  message_put32(w, m->flags);
  message_put32(w, m->n_epochs);
  for (uint32_t i = 0; i < m->n_epochs; i++) {
    message_put64(w, m->epochs[i].epoch);
    message_put64(w, m->epochs[i].first);
  }
}

static void message_take_probed(struct message_reader *r, struct rep_msg *m) {
  m->prev.seq = message_take64(r);
  m->last = message_take64(r);
  m->flags = message_take32(r);
  m->n_epochs = message_count(r, REP_EPOCHS);
  for (uint32_t i = 0; i < m->n_epochs; i++) {
    m->epochs[i].epoch = message_take64(r);
    m->epochs[i].first = message_take64(r);
    if (i && (m->epochs[i].epoch <= m->epochs[i - 1].epoch ||
              m->epochs[i].first <= m->epochs[i - 1].first))
      r->bad = true;
  }
}

static void message_put_piece(struct message_writer *w, const struct rep_msg *m) {
  message_put64(w, m->snapshot);
  message_put64(w, m->last);
  message_put_pos(w, &m->prev);
  message_put32(w, m->flags);
  message_put32(w, m->index);
  message_put32(w, m->count);
  message_put32(w, m->n_data);
  message_put(w, m->data, m->n_data);
}

static void message_take_piece(struct message_reader *r, struct rep_msg *m) {
  m->snapshot = message_take64(r);
  m->last = message_take64(r);
  m->prev = message_take_pos(r);
  m->flags = message_take32(r);
  m->index = message_take32(r);
  m->count = message_take32(r);
  m->n_data = message_count(r, REP_CHUNK);
  m->data = message_take(r, m->n_data);
  r->bad |= m->index >= m->count;
}

size_t rep_msg_write(const struct rep_msg *m, uint8_t *out) {
  struct message_writer w = {out};
  message_put32(&w, m->type | (uint32_t)REP_VERSION << 16);
  message_put32(&w, m->from);
  message_put32(&w, m->to);
  message_put64(&w, m->shard);
  message_put64(&w, m->epoch);
  message_put64(&w, m->rev);
  message_put64(&w, m->store.hi);
  message_put64(&w, m->store.lo);
  message_put64(&w, m->round);
  if (m->type == REP_APPEND)
    message_put_append(&w, m);
  else if (m->type == REP_ACK)
    message_put_ack(&w, m);
  else if (m->type == REP_PROBED)
    message_put_probed(&w, m);
  else if (m->type == REP_PIECE)
    message_put_piece(&w, m);
  else if (m->type == REP_PIECED) {
    message_put64(&w, m->snapshot);
    message_put32(&w, m->index);
  }
  message_put32(&w, REP_ADDED);
  message_put64(&w, m->term);
  return (size_t)(w.at - out);
}

bool rep_msg_read(const uint8_t *data, size_t n, struct rep_msg *m) {
  struct message_reader r = {data, data + n, false};
  memset(m, 0, offsetof(struct rep_msg, entries));
  m->type = message_take32(&r);
  m->version = m->type >> 16;
  m->type &= 0xffff;
  m->from = message_take32(&r);
  m->to = message_take32(&r);
  m->shard = message_take64(&r);
  m->epoch = message_take64(&r);
  m->rev = message_take64(&r);
  m->store.hi = message_take64(&r);
  m->store.lo = message_take64(&r);
  m->round = message_take64(&r);
  if (m->type == REP_APPEND)
    message_take_append(&r, m);
  else if (m->type == REP_ACK)
    message_take_ack(&r, m);
  else if (m->type == REP_PROBED)
    message_take_probed(&r, m);
  else if (m->type == REP_PIECE)
    message_take_piece(&r, m);
  else if (m->type == REP_PIECED) {
    m->snapshot = message_take64(&r);
    m->index = message_take32(&r);
  } else if (m->type != REP_PROBE && m->type != REP_STALE)
    r.bad = true;
  uint32_t added = message_take32(&r);
  if (added >= REP_ADDED) {
    m->term = message_take64(&r);
    added -= REP_ADDED;
  }
  message_take(&r, added);
  return !r.bad && r.at == r.end && m->from && m->to && m->version;
}
