/*
 * divide.c - requests under way when shards are split. A read begins anew with all shards of the
 * new map, so that its answer is of one map. A write keeps the numbers it has been sent under: the
 * child knows all that its parent knew at the split, so each does of it what it has not done.
 */
#include <stdlib.h>
#include <string.h>

#include "router/result.h"
#include "router/state.h"

int divide_order(const struct router_map *old, const struct router_map *now) {
  uint32_t n = old->n_shards > now->n_shards ? old->n_shards : now->n_shards;
  int order = 0;
  for (uint32_t i = 0; i < n && order >= 0; i++) {
    uint32_t had = doc_slots_generation(&old->slots, i), has = doc_slots_generation(&now->slots, i);
    order = has < had ? -1 : has > had ? 1 : order;
  }
  return order;
}

/* Which shards have slots that were the shard's. */
static void divide_heirs(const struct router_map *old, const struct router_map *now, uint32_t shard,
                         bool *heirs) {
  memset(heirs, 0, now->n_shards * sizeof *heirs);
  for (uint32_t i = 0; i < now->slots.n && i < old->slots.n; i++)
    if (old->slots.shard[i] == shard)
      heirs[now->slots.shard[i]] = true;
}

void divide_numbers(struct coll_state *coll, const struct router_map *old) {
  const struct router_map *now = coll->map;
  for (uint32_t i = 0; i < now->slots.n && i < old->slots.n; i++) {
    uint32_t from = old->slots.shard[i], to = now->slots.shard[i];
    if (from != to && !router_map_shard(old, to) && coll->shards[to].next < coll->shards[from].next)
      coll->shards[to].next = coll->shards[from].next;
  }
}

/* ---- Reads ---- */

static void divide_read(struct router *r, struct request *q) {
  vecdb_error error = {.code = VECDB_ERR_NO_MEMORY, .row = -1, .position = -1};
  for (uint32_t i = 0; i < q->n_parts; i++) {
    struct part *p = q->parts[i];
    part_cancel(r, p);
    wire_out_free(&p->payload);
    wire_mem_free(&p->mem);
    free(p->data);
  }
  timers_release(&r->timers, q->timers);
  r->stats.bytes -= q->bytes;
  free(q->parts);
  wire_mem_free(&q->mem);
  q->mem = (struct wire_mem){0};
  q->parts = NULL;
  q->bytes = 0;
  q->n_parts = q->open = q->timers = 0;
  int code = ask_parts(r, q, &error);
  request_account(r, q);
  if (code) {
    request_give_up(r, q, &error);
    return;
  }
  for (uint32_t i = 0; i < q->n_parts; i++)
    timers_set(&r->timers, &q->parts[i]->timer, 0);
}

/* ---- Writes ---- */

/* The part is of this shard from now on, under the number that it has. */
static void divide_place(struct router *r, struct part *p, uint32_t shard, uint64_t count) {
  struct shard_state *s = &p->request->coll->shards[shard];
  p->share.shard = shard;
  p->count = count;
  p->state = PART_WAITING;
  p->paid = true;
  p->code = 0;
  p->again_us = 0;
  p->avoid = 0;
  wire_out_free(&p->payload);
  if (count && !p->request->ask.op && s->next > count && s->next - 1 - count < 64)
    s->open |= UINT64_C(1) << (s->next - 1 - count);
  timers_set(&r->timers, &p->timer, 0);
}

/* One more, behind the part, and before what was to come behind that. */
static bool divide_more(struct router *r, struct part *p, struct router_share share,
                        uint64_t count) {
  struct request *q = p->request;
  uint32_t n = q->n_parts;
  if (!timers_reserve(&r->timers, 1))
    return false;
  q->timers++;
  struct part *more = ask_part(q, share, p);
  if (!more)
    return false;
  for (uint32_t i = 0; i < n; i++)
    if (q->parts[i]->before == p)
      q->parts[i]->before = more;
  more->sent_once = p->sent_once;
  more->doubt = p->doubt;
  divide_place(r, more, share.shard, count);
  return true;
}

/* What of the part is the shard's: `of` says whose each row or key is; NULL: all of it. */
static bool divide_share(struct part *p, const struct router_share *whole, uint32_t shard,
                         const uint16_t *of, struct router_share *out) {
  uint32_t *at = NULL, n = 0;
  *out = (struct router_share){shard, whole->n, whole->at};
  if (!of)
    return true;
  if (!(at = wire_mem_get(&p->request->mem, whole->n + 1, sizeof *at)))
    return false;
  for (uint32_t i = 0; i < whole->n; i++)
    if (of[whole->at[i]] == shard)
      at[n++] = whole->at[i];
  *out = (struct router_share){shard, n, at};
  return true;
}

static bool divide_part(struct router *r, struct part *p, const bool *heirs, const uint16_t *of) {
  const struct router_map *map = p->request->coll->map;
  const struct router_share whole = p->share;
  const uint64_t count = p->count;
  bool placed = false;
  p->doubt = p->doubt || p->state == PART_SENT;
  part_cancel(r, p); /* what was sent goes on: its number tells, if it comes once more */
  for (uint32_t s = 0; s < map->n_shards; s++) {
    struct router_share share;
    if (!heirs[s])
      continue;
    if (!divide_share(p, &whole, s, of, &share))
      return false;
    if (of && !share.n)
      continue;
    if (placed && !divide_more(r, p, share, count))
      return false;
    if (!placed) {
      p->share = share;
      divide_place(r, p, s, count);
    }
    placed = true;
  }
  return placed;
}

/* Whose each row or key is by the new map, where that is one shard's. */
static int divide_of(struct router *r, struct request *q, uint16_t **of, vecdb_error *error) {
  const struct wire_message *m = q->ask.message;
  struct router_shares shares;
  size_t n = m->has & WIRE_HAS(WIRE_BATCH) ? m->rows.n_rows : m->keys.n;
  bool all = q->coll->map->by && (m->write.kind == WIRE_UPDATE || m->write.kind == WIRE_DELETE);
  *of = NULL;
  if (all || !(m->has & (WIRE_HAS(WIRE_BATCH) | WIRE_HAS(WIRE_KEYS))))
    return VECDB_OK;
  int code = ask_shares(r, q, &shares, error);
  if (!code && !(*of = wire_mem_get(&q->mem, n + 1, sizeof **of)))
    code = VECDB_ERR_NO_MEMORY;
  for (uint32_t i = 0; !code && i < shares.n; i++)
    for (uint32_t k = 0; k < shares.shares[i].n; k++)
      (*of)[shares.shares[i].at[k]] = (uint16_t)shares.shares[i].shard;
  return code;
}

static void divide_write(struct router *r, struct request *q, const struct router_map *old) {
  const struct router_map *now = q->coll->map;
  vecdb_error error = {.code = VECDB_ERR_NO_MEMORY, .row = -1, .position = -1};
  bool *heirs = wire_mem_get(&q->mem, now->n_shards, sizeof *heirs);
  uint32_t n = q->n_parts;
  uint16_t *of;
  int code = heirs ? divide_of(r, q, &of, &error) : VECDB_ERR_NO_MEMORY;
  for (uint32_t i = 0; !code && i < n; i++) {
    struct part *p = q->parts[i];
    uint32_t shard = p->share.shard;
    if (p->state > PART_SENT ||
        doc_slots_generation(&old->slots, shard) == doc_slots_generation(&now->slots, shard))
      continue;
    divide_heirs(old, now, shard, heirs);
    if (!divide_part(r, p, heirs, of))
      code = VECDB_ERR_NO_MEMORY;
  }
  if (code)
    request_expire(r, q, code, "the shard was split");
}

void divide_request(struct router *r, struct request *q, const struct router_map *old) {
  if (q->ask.session && !result_session_room(q->ask.session, q->coll->map->n_shards))
    request_expire(r, q, VECDB_ERR_NO_MEMORY, "out of memory");
  else if (state_reads(q))
    divide_read(r, q);
  else
    divide_write(r, q, old);
}
