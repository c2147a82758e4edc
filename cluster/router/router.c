/* router.c - requests from their beginning to their end; see router.h. */
#include "router/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/result.h"

enum {
  ROUTER_HEDGE_SHARE = 50,
  ROUTER_RETRY_SHARE = 100,
  ROUTER_RETRIES_SAVED = 100, /* that a quiet time leaves for a loud one */
  ROUTER_RETRIES_FIRST = 20,
  ROUTER_RETRIES_RATE = 10000, /* 10 a second, for who asks seldom */
  ROUTER_HEDGES_SAVED = 20
};

uint32_t state_random(struct router *r, uint32_t n) {
  r->random = r->random * 6364136223846793005u + 1442695040888963407u;
  return n ? (uint32_t)((r->random >> 33) % n) : 0;
}

struct coll_state *state_coll(const struct router *r, uint32_t collection) {
  struct coll_state *c = r->colls;
  while (c && c->map->coll.id != collection)
    c = c->next;
  return c;
}

struct node_health *state_node(struct router *r, uint32_t node) {
  for (uint32_t i = 0; i < r->n_nodes; i++)
    if (r->nodes[i].node == node)
      return &r->nodes[i];
  struct node_health *nodes = realloc(r->nodes, (r->n_nodes + 1) * sizeof *nodes);
  if (!nodes)
    return NULL;
  r->nodes = nodes;
  r->nodes[r->n_nodes] = (struct node_health){.node = node};
  return &r->nodes[r->n_nodes++];
}

bool state_reads(const struct request *q) { return q->ask.message->kind != WIRE_WRITE; }

struct router_shard state_shard(const struct coll_state *coll, uint32_t number) {
  const struct router_shard *known = router_map_shard(coll->map, number);
  struct router_shard shard = known ? *known : (struct router_shard){0};
  const struct shard_state *told = number < coll->n_shards ? &coll->shards[number] : NULL;
  if (told &&
      (told->epoch > shard.epoch || (told->epoch == shard.epoch && told->rev > shard.rev))) {
    shard.epoch = told->epoch;
    shard.rev = told->rev;
    shard.primary = told->primary;
  }
  return shard;
}

/* ---- Opening, maps ---- */

struct router *router_open(const struct router_options *options, const struct router_host *host) {
  struct router *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  struct router_options *o = &r->options;
  *o = *options;
  o->bytes = o->bytes ? o->bytes : (size_t)256 << 20;
  o->node_bytes = o->node_bytes ? o->node_bytes : (size_t)32 << 20;
  o->hedge_share = o->hedge_share ? o->hedge_share : ROUTER_HEDGE_SHARE;
  o->retry_share = o->retry_share ? o->retry_share : ROUTER_RETRY_SHARE;
  o->attempt_us = o->attempt_us ? o->attempt_us : 2000000;
  r->host = *host;
  r->random = options->seed;
  budget_init(&r->hedges, o->hedge_share, ROUTER_HEDGES_SAVED, 0, 0);
  budget_init(&r->retries, o->retry_share, ROUTER_RETRIES_SAVED, ROUTER_RETRIES_FIRST,
              ROUTER_RETRIES_RATE);
  return r;
}

static void router_coll_free(struct coll_state *c) {
  router_map_drop(c->map);
  smart_free(&c->smart);
  free(c->shards);
  free(c);
}

static void request_free(struct router *r, struct request *q) {
  for (uint32_t i = 0; i < q->n_parts; i++) {
    struct part *p = q->parts[i];
    wire_out_free(&p->payload);
    wire_mem_free(&p->mem);
    free(p->data);
  }
  *q->link = q->next;
  if (q->next)
    q->next->link = q->link;
  r->stats.bytes -= q->bytes;
  r->stats.under_way--;
  timers_release(&r->timers, q->timers);
  router_map_drop(q->began);
  free(q->parts);
  wire_mem_free(&q->mem);
  free(q);
}

void router_close(struct router *r) {
  if (!r)
    return;
  while (r->requests)
    request_free(r, r->requests);
  for (struct coll_state *c = r->colls, *next; c; c = next) {
    next = c->next;
    router_coll_free(c);
  }
  timers_free(&r->timers);
  free(r->slots);
  free(r->nodes);
  free(r);
}

static bool router_coll_room(struct coll_state *c, uint32_t n) {
  if (n <= c->n_shards)
    return true;
  struct shard_state *shards = realloc(c->shards, n * sizeof *shards);
  if (!shards)
    return false;
  for (uint32_t i = c->n_shards; i < n; i++)
    shards[i] = (struct shard_state){.next = 1};
  c->shards = shards;
  c->n_shards = n;
  return true;
}

/* What is under way goes on by the new map, when the router is called next. */
static void router_divide(struct router *r, struct coll_state *c, const struct router_map *old) {
  divide_numbers(c, old);
  for (struct request *q = r->requests, *next; q; q = next) {
    next = q->next;
    if (q->coll == c)
      divide_request(r, q, old);
  }
}

bool router_set_map(struct router *r, struct router_map *map) {
  struct coll_state *c = state_coll(r, map->coll.id);
  int order = c ? divide_order(c->map, map) : 0;
  if (order < 0 || (c && !order && c->map->revision > map->revision))
    return true;
  if (!c) {
    c = calloc(1, sizeof *c);
    if (!c || !router_coll_room(c, map->n_shards)) {
      free(c);
      return false;
    }
    c->next = r->colls;
    r->colls = c;
  } else if (!router_coll_room(c, map->n_shards)) {
    return false;
  }
  struct router_map *old = c->map;
  c->map = router_map_share(map);
  if (order)
    router_divide(r, c, old);
  router_map_drop(old);
  return true;
}

const struct router_map *router_get_map(const struct router *r, uint32_t collection) {
  const struct coll_state *c = state_coll(r, collection);
  return c ? c->map : NULL;
}

bool router_set_summary(struct router *r, uint32_t collection, uint32_t shard,
                        const struct wire_summary *summary) {
  struct coll_state *c = state_coll(r, collection);
  return c && shard < c->n_shards && smart_set(&c->smart, shard, summary);
}

/* ---- The end of a request ---- */

/* A search of all shards tells how far from the nearest shard neighbours lie. */
static void request_learn(struct request *q, const struct router_result *result) {
  const struct wire_message *m = q->ask.message;
  struct smart *smart = &q->coll->smart;
  const struct router_map *map = q->coll->map;
  const vecdb_field *field = router_map_vector(map, m->search.field);
  if (m->kind != WIRE_SEARCH || !q->all_shards || result->result.code || result->result.partial ||
      m->has & (WIRE_HAS(WIRE_FILTER) | WIRE_HAS(WIRE_GROUP)) ||
      m->search.type != VECDB_FLOAT_VECTOR ||
      smart->dim != m->search.dim || !field || strcmp(field->name, smart->field) != 0)
    return;
  float *gaps = wire_mem_get(&q->mem, map->n_shards, sizeof *gaps);
  uint32_t *had = wire_mem_get(&q->mem, map->n_shards, sizeof *had);
  for (uint32_t i = 0; gaps && had && i < m->search.n_queries; i++) {
    memset(had, 0, map->n_shards * sizeof *had);
    for (uint32_t j = 0; j < result->counts[i]; j++) {
      uint32_t shard = q->parts[result->refs[(size_t)i * result->k + j].list]->share.shard;
      if (shard < map->n_shards) /* it may have become a smaller collection meanwhile */
        had[shard]++;
    }
    const float *query = (const float *)m->search.queries + (size_t)i * smart->dim;
    if (!smart_gaps(smart, field->metric, query, map->n_shards, gaps))
      return;
    smart_learn(smart, gaps, had, map->n_shards);
  }
}

static void request_end(struct router *r, struct request *q) {
  if (q->over)
    return;
  q->over = true;
  for (uint32_t i = 0; i < q->n_parts; i++)
    part_cancel(r, q->parts[i]);
  timers_clear(&r->timers, &q->timer);
  struct router_result *result = result_make(q);
  if (result) {
    r->stats.partial += result->result.partial;
    request_learn(q, result);
  }
  r->host.done(r->host.arg, q->ask.user, result);
}

static void request_hold(struct request *q) { q->held++; }

static void request_release(struct router *r, struct request *q) {
  if (!--q->held && q->over)
    request_free(r, q);
}

void request_part_ended(struct router *r, struct request *q, const struct part *p, int64_t now_us) {
  bool fatal = p->state == PART_FAILED && state_reads(q) && !q->ask.partial;
  request_hold(q);
  q->open--;
  for (uint32_t i = 0; i < q->n_parts && !q->over; i++) {
    struct part *after = q->parts[i];
    if (after->before != p || after->state != PART_WAITING)
      continue;
    /* What follows a piece that failed is not written: rows stay in their order. */
    if (p->state == PART_FAILED) {
      after->code = p->code;
      snprintf(after->words, sizeof after->words, "a piece before it failed: %.400s", p->words);
      part_end(r, after, PART_FAILED, now_us);
    } else {
      part_step(r, after, now_us);
    }
  }
  if (!q->open || fatal)
    request_end(r, q);
  request_release(r, q);
}

/* What a part says that is waited for no more: nodes that have refused it to the end had too much
   to do; a write that was sent may have happened. */
static int32_t request_late(const struct part *p, int32_t code) {
  bool reads = state_reads(p->request);
  if (code == VECDB_ERR_TIMEOUT && p->state == PART_WAITING && p->code == WIRE_OVERLOADED &&
      (reads || !p->doubt))
    return WIRE_OVERLOADED;
  return p->sent_once && !reads ? WIRE_UNKNOWN : code;
}

/* The deadline has come, or there is another reason to wait no more. */
void request_expire(struct router *r, struct request *q, int32_t code, const char *why) {
  for (uint32_t i = 0; i < q->n_parts; i++) {
    struct part *p = q->parts[i];
    if (p->state > PART_SENT)
      continue;
    char last[WIRE_MESSAGE];
    snprintf(last, sizeof last, "%s%s%.400s", why, *p->words ? "; before: " : "", p->words);
    memcpy(p->words, last, sizeof last);
    p->code = request_late(p, code);
    p->state = PART_FAILED;
  }
  request_hold(q);
  request_end(r, q);
  request_release(r, q);
}

/* ---- The beginning ---- */

static void router_refuse(struct router *r, const struct router_ask *ask, int code,
                          const char *words) {
  vecdb_error error = {.code = code, .row = -1, .position = -1};
  snprintf(error.message, sizeof error.message, "%s", words);
  struct router_result *result = result_fail(ask, &error);
  if (result && code == WIRE_OVERLOADED)
    result->result.retry_ms = STATE_BACKOFF_US / 1000;
  r->host.done(r->host.arg, ask->user, result);
}

/* What the request keeps in memory besides the rows of a write: its vectors, once a shard. */
static size_t request_bytes(const struct request *q) {
  const struct wire_message *m = q->ask.message;
  size_t bytes = WIRE_MESSAGE;
  if (m->kind == WIRE_SEARCH)
    bytes += m->search.n_queries * wire_type_bytes(m->search.type, m->search.dim);
  return bytes * (q->n_parts + 1);
}

void request_account(struct router *r, struct request *q) {
  q->bytes += request_bytes(q);
  r->stats.bytes += q->bytes;
}

void request_give_up(struct router *r, struct request *q, const vecdb_error *error) {
  for (uint32_t i = 0; i < q->n_parts; i++)
    part_cancel(r, q->parts[i]);
  timers_clear(&r->timers, &q->timer);
  r->host.done(r->host.arg, q->ask.user, result_fail(&q->ask, error));
  request_free(r, q);
}

static struct request *request_new(struct router *r, const struct router_ask *ask,
                                   struct coll_state *coll) {
  struct request *q = calloc(1, sizeof *q);
  if (!q)
    return NULL;
  q->ask = *ask;
  q->coll = coll;
  if (!state_reads(q) && ask->message->has & WIRE_HAS(WIRE_BATCH))
    q->began = router_map_share(coll->map);
  q->timer.request = true;
  q->next = r->requests;
  q->link = &r->requests;
  if (q->next)
    q->next->link = &q->next;
  r->requests = q;
  r->stats.under_way++;
  return q;
}

static void request_begin(struct router *r, struct request *q, int64_t now_us) {
  r->stats.requests++;
  timers_set(&r->timers, &q->timer, q->ask.deadline_us);
  request_hold(q);
  for (uint32_t i = 0; i < q->n_parts; i++) {
    budget_request(&r->retries);
    if (state_reads(q))
      budget_request(&r->hedges);
  }
  for (uint32_t i = 0; i < q->n_parts && !q->over; i++)
    part_step(r, q->parts[i], now_us);
  if (!q->n_parts)
    request_end(r, q);
  request_release(r, q);
}

void router_submit(struct router *r, int64_t now_us, const struct router_ask *ask) {
  struct coll_state *coll = state_coll(r, ask->collection);
  vecdb_error error;
  if (!coll) {
    router_refuse(r, ask, VECDB_ERR_NOT_FOUND, "no such collection");
    return;
  }
  if (now_us >= ask->deadline_us) {
    router_refuse(r, ask, VECDB_ERR_TIMEOUT, "the deadline passed before the request began");
    return;
  }
  struct request *q = request_new(r, ask, coll);
  bool room = q && (!ask->session || result_session_room(ask->session, coll->map->n_shards));
  if (!room) {
    if (q)
      request_free(r, q);
    router_refuse(r, ask, VECDB_ERR_NO_MEMORY, "out of memory");
    return;
  }
  int code = ask_parts(r, q, &error);
  request_account(r, q);
  if (!code && r->stats.bytes > r->options.bytes && r->stats.under_way > 1) {
    r->stats.refused++;
    code = WIRE_OVERLOADED;
  }
  if (!code) {
    request_begin(r, q, now_us);
    return;
  }
  request_free(r, q);
  if (code == WIRE_OVERLOADED)
    router_refuse(r, ask, code, "too many bytes are under way");
  else
    r->host.done(r->host.arg, ask->user, result_fail(ask, &error));
}

void router_cancel(struct router *r, int64_t now_us, void *user) {
  (void)now_us;
  for (struct request *q = r->requests; q; q = q->next)
    if (q->ask.user == user) {
      request_expire(r, q, VECDB_ERR_CANCELLED, "cancelled");
      return;
    }
}

void router_drop_map(struct router *r, uint32_t collection, int64_t now_us) {
  (void)now_us;
  struct coll_state **at = &r->colls;
  while (*at && (*at)->map->coll.id != collection)
    at = &(*at)->next;
  struct coll_state *c = *at;
  if (!c)
    return;
  for (struct request *q = r->requests, *next; q; q = next) {
    next = q->next;
    if (q->coll == c)
      request_expire(r, q, VECDB_ERR_CLOSED, "the collection was dropped");
  }
  *at = c->next;
  router_coll_free(c);
}

/* ---- What happens meanwhile ---- */

void router_up(struct router *r, int64_t now_us, uint32_t node) {
  struct node_health *h = state_node(r, node);
  if (h && h->breaker.state == BREAKER_OPEN && h->breaker.until_us > now_us)
    h->breaker.until_us = now_us;
}

void router_down(struct router *r, int64_t now_us, uint32_t node) {
  for (uint32_t i = 0; i < r->n_slots; i++) {
    struct part *p = r->slots[i].part;
    if (p && p->tries[r->slots[i].which].node == node)
      part_lost(r, p, r->slots[i].which, now_us);
  }
}

static struct part *router_part(struct timer *timer) {
  return (struct part *)(void *)((char *)timer - offsetof(struct part, timer));
}

static struct request *router_request(struct timer *timer) {
  return (struct request *)(void *)((char *)timer - offsetof(struct request, timer));
}

void router_tick(struct router *r, int64_t now_us) {
  for (struct timer *t; (t = timers_first(&r->timers)) && t->due_us <= now_us;) {
    if (t->request) {
      request_expire(r, router_request(t), VECDB_ERR_TIMEOUT, "the deadline passed");
    } else {
      timers_clear(&r->timers, t);
      part_step(r, router_part(t), now_us);
    }
  }
}

int64_t router_due(const struct router *r) {
  const struct timer *t = timers_first(&r->timers);
  return t ? t->due_us : INT64_MAX;
}

struct router_stats router_stats(const struct router *r) {
  return r->stats;
}
