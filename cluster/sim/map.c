/*
 * map.c - the data of the simulated shard: a few keys and the windows of op ids, written to disk as
 * a whole now and then, shipped in small pieces.
 */
#include <string.h>

#include "sim/world.h"

enum { MAP_PIECE = 40 };

uint64_t sim_data_digest(const struct sim_data *d) {
  uint64_t h = rep_mix(d->pos.chain, d->n_clients);
  for (uint32_t i = 0; i < SIM_KEYS; i++)
    h = rep_mix(h, d->values[i]);
  for (uint32_t i = 0; i < d->n_clients; i++)
    h = rep_mix(rep_mix(h, d->clients[i].max), d->clients[i].bits);
  return h;
}

enum rep_applied sim_data_apply(struct sim_data *d, const struct rep_entry *e) {
  struct rep_dedup dedup = {d->clients, d->n_clients, SIM_CLIENTS + 2};
  d->pos = e->pos;
  if (e->kind != REP_DATA)
    return REP_APPLIED;
  enum rep_known known = rep_dedup_look(&dedup, e->op);
  if (known != REP_NEW)
    return known == REP_KNOWN ? REP_DUPLICATE : REP_TOO_OLD;
  uint32_t key, does;
  uint64_t index;
  memcpy(&key, e->body, 4);
  memcpy(&does, e->body + 4, 4);
  memcpy(&index, e->body + 8, 8);
  if (does != SIM_CHECK)
    d->values[key] = does == SIM_PUT_KEY ? index + 1 : 0;
  rep_dedup_add(&dedup, e->op, e->pos.seq);
  d->n_clients = dedup.n;
  return REP_APPLIED;
}

static struct rep_pos map_pos(void *arg) {
  const struct sim_node *n = arg;
  return n->map.now.pos;
}

static uint64_t map_durable(void *arg) {
  const struct sim_node *n = arg;
  return n->map.durable.pos.seq;
}

static enum rep_applied map_apply(void *arg, const struct rep_entry *e) {
  struct sim_node *n = arg;
  enum rep_applied how = sim_data_apply(&n->map.now, e);
  if (e->kind == REP_DATA && e->body[4] == SIM_CHECK) {
    n->map.checked = e->pos.seq;
    n->map.digest =
        n->map.unreadable ? REP_DIGEST_UNREADABLE : sim_data_digest(&n->map.now);
  }
  if (sim_chance(n->world, 0.03))
    n->map.durable = n->map.now;
  return how;
}

static bool map_seen(void *arg, struct rep_op op) {
  struct sim_node *n = arg;
  struct rep_dedup dedup = {n->map.now.clients, n->map.now.n_clients, SIM_CLIENTS + 2};
  return rep_dedup_look(&dedup, op) == REP_KNOWN;
}

static bool map_digest(void *arg, uint64_t *seq, uint64_t *digest) {
  const struct sim_node *n = arg;
  *seq = n->map.checked;
  *digest = n->map.digest;
  return n->map.checked != 0;
}

static bool map_open(void *arg, struct rep_snapshot *out) {
  struct sim_node *n = arg;
  struct sim_data *copy = sim_memory(n->world, sizeof *copy);
  *copy = n->map.now;
  out->id = ++n->world->snapshots;
  out->pos = copy->pos;
  out->count = (sizeof *copy + MAP_PIECE - 1) / MAP_PIECE;
  out->handle = copy;
  n->map.snapshots++;
  return true;
}

static bool map_read(void *arg, const struct rep_snapshot *s, uint32_t i, uint8_t *out,
                     uint32_t *n) {
  (void)arg;
  size_t at = (size_t)i * MAP_PIECE, left = sizeof(struct sim_data) - at;
  *n = (uint32_t)rep_min(left, MAP_PIECE);
  memcpy(out, (const uint8_t *)s->handle + at, *n);
  return true;
}

static void map_close(void *arg, struct rep_snapshot *s) {
  struct sim_node *n = arg;
  n->map.snapshots--;
  s->handle = NULL;
}

static enum rep_status map_begin(void *arg, const struct rep_snapshot *s) {
  struct sim_node *n = arg;
  (void)s;
  n->map.pieces = 0;
  return REP_OK;
}

static enum rep_status map_piece(void *arg, uint32_t i, const uint8_t *data, uint32_t size) {
  struct sim_node *n = arg;
  size_t at = (size_t)i * MAP_PIECE;
  if (i != n->map.pieces || at + size > sizeof n->map.coming)
    return REP_FAILED;
  memcpy((uint8_t *)&n->map.coming + at, data, size);
  n->map.pieces++;
  return REP_OK;
}

static enum rep_status map_finish(void *arg) {
  struct sim_node *n = arg;
  n->map.now = n->map.durable = n->map.coming;
  n->map.checked = 0;
  n->map.unreadable = false;
  n->world->result->snapshots++;
  return REP_OK;
}

void sim_map_crash(struct sim_node *n) {
  n->map.now = n->map.durable;
  n->map.checked = 0;
  n->map.pieces = 0;
  n->map.snapshots = 0;
}

struct rep_machine sim_map_machine(struct sim_node *n) {
  struct rep_machine m = {n,        map_pos,  map_durable, map_apply, map_seen,  map_digest,
                          map_open, map_read, map_close,   map_begin, map_piece, map_finish,
                          NULL};
  return m;
}
