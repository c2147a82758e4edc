/* part.c - one shard of a request: tries, further tries, second copies, answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/result.h"
#include "router/state.h"

/* ---- Slots: which part a number on the wire is of ---- */

static bool slot_grow(struct router *r) {
  uint32_t n = r->n_slots ? 2 * r->n_slots : 64;
  struct slot *slots = realloc(r->slots, n * sizeof *slots);
  if (!slots)
    return false;
  for (uint32_t i = r->n_slots; i < n; i++)
    slots[i] = (struct slot){.generation = 1, .next_free = i + 1};
  r->free_slot = r->n_slots;
  r->slots = slots;
  r->n_slots = n;
  return true;
}

/* 0: no memory. */
static uint64_t slot_take(struct router *r, struct part *p, uint32_t which) {
  if (r->free_slot == r->n_slots && !slot_grow(r))
    return 0;
  uint32_t i = r->free_slot;
  struct slot *s = &r->slots[i];
  r->free_slot = s->next_free;
  s->part = p;
  s->which = which;
  return (uint64_t)s->generation << 32 | i;
}

static void slot_give(struct router *r, uint64_t id) {
  uint32_t i = (uint32_t)id;
  r->slots[i].part = NULL;
  r->slots[i].generation = r->slots[i].generation % INT32_MAX + 1; /* never 0 */
  r->slots[i].next_free = r->free_slot;
  r->free_slot = i;
}

static struct slot *slot_of(struct router *r, uint64_t id) {
  uint32_t i = (uint32_t)id;
  if (i >= r->n_slots || r->slots[i].generation != id >> 32)
    return NULL;
  return r->slots[i].part ? &r->slots[i] : NULL;
}

/* ---- One try ---- */

static bool part_launch(struct router *r, struct part *p, uint32_t which, uint32_t node,
                        int64_t now_us) {
  struct node_health *h = state_node(r, node);
  uint64_t id = h ? slot_take(r, p, which) : 0;
  int64_t left_us = p->request->ask.deadline_us - now_us;
  /* The answer must come back, too, and where parts may be missing it must do so in time. */
  left_us -= left_us / 10 < 5000 ? left_us / 10 : 5000;
  uint32_t left_ms = left_us < 1000               ? 1
                     : left_us / 1000 > INT32_MAX ? INT32_MAX
                                                  : (uint32_t)(left_us / 1000);
  if (!id)
    return false;
  breaker_begin(&h->breaker, now_us);
  if (!r->host.send(r->host.arg, node, id, left_ms, p->payload.data, p->payload.n)) {
    breaker_end(&h->breaker, false, now_us, (uint8_t)state_random(r, 256));
    slot_give(r, id);
    return false;
  }
  h->under_way++;
  h->bytes += p->payload.n;
  p->tries[which] = (struct try){id, node, now_us, p->payload.n};
  return true;
}

/* The try is over, whatever came of it. */
static struct node_health *part_land(struct router *r, struct part *p, uint32_t which) {
  struct try *t = &p->tries[which];
  struct node_health *h = state_node(r, t->node); /* known since it was launched */
  h->under_way--;
  h->bytes -= t->bytes;
  slot_give(r, t->id);
  t->id = 0;
  return h;
}

static void part_number_done(struct part *p) {
  struct coll_state *coll = p->request->coll;
  if (!p->count || p->request->ask.op)
    return;
  struct shard_state *s = &coll->shards[p->share.shard];
  s->open &= ~(1ull << (s->next - 1 - p->count));
  p->count = 0;
}

void part_cancel(struct router *r, struct part *p) {
  for (uint32_t i = 0; i < 2; i++)
    if (p->tries[i].id) {
      r->host.cancel(r->host.arg, p->tries[i].node, p->tries[i].id);
      breaker_forget(&part_land(r, p, i)->breaker);
    }
  timers_clear(&r->timers, &p->timer);
  part_number_done(p);
}

void part_end(struct router *r, struct part *p, enum part_state state, int64_t now_us) {
  part_cancel(r, p);
  p->state = state;
  request_part_ended(r, p->request, p, now_us);
}

/* ---- Trying again ---- */

static int64_t part_backoff(struct router *r, const struct part *p) {
  int64_t us = (int64_t)STATE_BACKOFF_US << (p->attempts < 6 ? p->attempts : 6);
  us = us < STATE_BACKOFF_MAX_US ? us : STATE_BACKOFF_MAX_US;
  return us / 2 + state_random(r, (uint32_t)(us / 2));
}

/* Later; what it says now is what is told if there is no later. */
static void part_again(struct router *r, struct part *p, int32_t code, const char *words,
                       int64_t now_us, int64_t wait_us) {
  p->state = PART_WAITING;
  p->code = code;
  p->paid = false;
  p->attempts++;
  p->again_us = now_us + wait_us;
  snprintf(p->words, sizeof p->words, "%s", words);
  timers_set(&r->timers, &p->timer, now_us + (wait_us < STATE_LOOK_US ? wait_us : STATE_LOOK_US));
}

static void part_refresh(struct router *r, const struct part *p) {
  r->host.refresh(r->host.arg, p->request->ask.collection);
}

static bool part_trying(const struct part *p) { return p->tries[0].id || p->tries[1].id; }

void part_lost(struct router *r, struct part *p, uint32_t which, int64_t now_us) {
  uint32_t node = p->tries[which].node;
  struct node_health *h = part_land(r, p, which);
  breaker_end(&h->breaker, false, now_us, (uint8_t)state_random(r, 256));
  p->avoid = node;
  if (part_trying(p))
    return;
  int32_t code = state_reads(p->request) ? WIRE_UNAVAILABLE : WIRE_UNKNOWN;
  p->doubt = true;
  part_refresh(r, p);
  /* Another replica may answer at once; a primary's successor takes a while. */
  int64_t wait_us = state_reads(p->request) && !p->attempts ? 0 : part_backoff(r, p);
  part_again(r, p, code, "a node gave no answer", now_us, wait_us);
}

/* ---- Sending ---- */

/* A number for the write, which lies within what the shard remembers of this client. */
static bool part_number(struct part *p) {
  struct coll_state *coll = p->request->coll;
  if (state_reads(p->request) || p->count)
    return true;
  p->count = p->request->ask.op;
  if (p->count)
    return true;
  struct shard_state *s = p->share.shard < coll->n_shards ? &coll->shards[p->share.shard] : NULL;
  if (!s || s->open >> (STATE_WINDOW - 1))
    return false;
  p->count = s->next++;
  s->open = s->open << 1 | 1;
  return true;
}

static bool part_hedgeable(const struct router *r, const struct part *p) {
  return !r->options.no_hedging && !p->hedged && state_reads(p->request) &&
         p->request->ask.message->read.level != WIRE_STRONG && !p->to_primary;
}

/* How long a try may take: each twice as long as the one before, as what is asked may simply take
   its time. */
static int64_t part_patience(const struct router *r, const struct part *p,
                             const struct node_health *h) {
  int64_t p95 = latency_p95(&h->latency);
  int64_t us = p95 < INT64_MAX / 1024 ? 8 * p95 : 0;
  us = us > r->options.attempt_us ? us : r->options.attempt_us;
  return us << (p->attempts < 6 ? p->attempts : 6);
}

/* Whether the primary alone can do it. */
static bool part_led(const struct part *p) {
  return !state_reads(p->request) || p->request->ask.message->read.level == WIRE_STRONG ||
         p->to_primary;
}

/* When a part that was sent needs a look: for a second copy, for a successor of who was asked, or
   because a try takes too long. */
static void part_wait(struct router *r, struct part *p, int64_t now_us) {
  int64_t due_us = INT64_MAX;
  for (uint32_t i = 0; i < 2; i++) {
    const struct try *t = &p->tries[i];
    if (!t->id)
      continue;
    const struct node_health *h = state_node(r, t->node);
    int64_t p95 = latency_p95(&h->latency), late_us = t->sent_us + part_patience(r, p, h);
    due_us = late_us < due_us ? late_us : due_us;
    if (part_hedgeable(r, p) && p95 != INT64_MAX && t->sent_us + p95 < due_us)
      due_us = t->sent_us + p95;
  }
  if (part_led(p) && now_us + STATE_LOOK_US < due_us)
    due_us = now_us + STATE_LOOK_US;
  timers_set(&r->timers, &p->timer, due_us);
}

static void part_fail(struct router *r, struct part *p, int32_t code, const char *words,
                      int64_t now_us) {
  p->code = code;
  snprintf(p->words, sizeof p->words, "%s", words);
  part_end(r, p, PART_FAILED, now_us);
}

/* Whether its bytes are for the shard as it is known now. */
static bool part_written(const struct part *p, const struct router_shard *shard) {
  return p->payload.n && p->epoch == shard->epoch && p->rev == shard->rev &&
         p->schema == p->request->coll->map->coll.schema_version &&
         p->generation == doc_slots_generation(&p->request->coll->map->slots, p->share.shard);
}

static void part_send(struct router *r, struct part *p, int64_t now_us) {
  const struct router_shard shard = state_shard(p->request->coll, p->share.shard);
  uint32_t node = choose_node(r, p, 0, now_us);
  const struct node_health *h = node ? state_node(r, node) : NULL;
  if (!h) {
    bool paid = p->paid;
    part_refresh(r, p);
    part_again(r, p, p->sent_once ? p->code : WIRE_UNAVAILABLE,
               "no node leads the shard or may be asked at the moment", now_us, part_backoff(r, p));
    p->paid = paid;
    return;
  }
  if ((h->under_way && h->bytes + p->payload.n > r->options.node_bytes) || !part_number(p)) {
    timers_set(&r->timers, &p->timer, now_us + STATE_POLL_US);
    return;
  }
  if (!p->paid && !budget_spend(&r->retries, now_us)) {
    timers_set(&r->timers, &p->timer, now_us + STATE_BACKOFF_US);
    return;
  }
  if (!part_written(p, &shard) && ask_outdated(p->request)) {
    part_fail(r, p, p->doubt ? WIRE_UNKNOWN : WIRE_SCHEMA,
              "the collection has another schema by now, in which a field that was computed is not "
              "so", now_us);
    return;
  }
  if (!part_written(p, &shard) && !ask_write(r, p, &shard)) {
    bool large = p->payload.status == WIRE_TOO_LARGE;
    part_fail(r, p, large ? VECDB_ERR_LIMIT : VECDB_ERR_NO_MEMORY,
              large ? "a message over its limit" : "out of memory", now_us);
    return;
  }
  r->stats.retries += !p->paid;
  r->stats.messages += !p->sent_once;
  p->paid = false;
  p->hedged = false;
  if (!part_launch(r, p, 0, node, now_us)) {
    p->avoid = node;
    part_refresh(r, p);
    part_again(r, p, p->sent_once ? WIRE_UNKNOWN : WIRE_NO_NODE, "a node could not be reached",
               now_us, part_backoff(r, p));
    return;
  }
  p->sent_once = true;
  p->state = PART_SENT;
  part_wait(r, p, now_us);
}

/* A second copy, of those that the budget allows. */
static void part_hedge(struct router *r, struct part *p, int64_t now_us) {
  uint32_t which = p->tries[0].id ? 1 : 0;
  uint32_t node = choose_node(r, p, p->tries[1 - which].node, now_us);
  p->hedged = true;
  if (node && budget_spend(&r->hedges, now_us) && part_launch(r, p, which, node, now_us))
    r->stats.hedges++;
}

/* To the successor of who was asked, which is no further try of what has failed. */
static void part_follow(struct router *r, struct part *p) {
  p->paid = p->hops++ < STATE_HOPS;
  p->attempts = 0;
  r->stats.redirects += p->paid;
}

/* A primary that has not answered yet may have been replaced: then its successor is asked at once.
 */
static void part_look(struct router *r, struct part *p, uint32_t which, int64_t now_us) {
  const struct router_shard shard = state_shard(p->request->coll, p->share.shard);
  const struct try t = p->tries[which];
  if (!shard.primary || shard.primary == t.node) {
    part_refresh(r, p);
    return;
  }
  r->host.cancel(r->host.arg, t.node, t.id);
  breaker_forget(&part_land(r, p, which)->breaker);
  p->doubt = p->doubt || !state_reads(p->request);
  part_again(r, p, state_reads(p->request) ? WIRE_UNAVAILABLE : WIRE_UNKNOWN,
             "the shard changed hands before it was answered", now_us, 0);
  part_follow(r, p);
}

static void part_late(struct router *r, struct part *p, int64_t now_us) {
  bool early = false;
  for (uint32_t i = 0; i < 2 && p->state == PART_SENT; i++) {
    const struct try t = p->tries[i];
    if (!t.id)
      continue;
    const struct node_health *h = state_node(r, t.node);
    int64_t p95 = latency_p95(&h->latency);
    if (now_us >= t.sent_us + part_patience(r, p, h)) {
      r->host.cancel(r->host.arg, t.node, t.id);
      part_lost(r, p, i, now_us);
    } else if (part_led(p) && now_us >= t.sent_us + STATE_LOOK_US) {
      part_look(r, p, i, now_us);
    } else if (p95 != INT64_MAX && now_us >= t.sent_us + p95) {
      early = true;
    }
  }
  if (p->state != PART_SENT)
    return;
  if (early && part_hedgeable(r, p))
    part_hedge(r, p, now_us);
  part_wait(r, p, now_us);
}

/* What failed is tried again when its time has come, or once its primary has a successor, for whom
   is looked meanwhile. */
static void part_pause(struct router *r, struct part *p, int64_t now_us) {
  const struct router_shard shard = state_shard(p->request->coll, p->share.shard);
  if (p->code == WIRE_STALE_MAP) { /* it is of no use until there is another map (divide.c) */
    part_refresh(r, p);
    timers_set(&r->timers, &p->timer, now_us + STATE_LOOK_US);
    return;
  }
  bool failed = p->attempts && p->avoid && p->code != WIRE_OVERLOADED && part_led(p);
  if (failed && shard.primary && shard.primary != p->avoid) {
    p->avoid = 0;
    part_follow(r, p);
  } else if (now_us < p->again_us) {
    int64_t look_us = now_us + STATE_LOOK_US;
    if (failed)
      part_refresh(r, p);
    timers_set(&r->timers, &p->timer, look_us < p->again_us ? look_us : p->again_us);
    return;
  }
  part_send(r, p, now_us);
}

void part_step(struct router *r, struct part *p, int64_t now_us) {
  if (p->state == PART_SENT)
    part_late(r, p, now_us);
  else if (p->state == PART_WAITING && (!p->before || p->before->state == PART_DONE))
    part_pause(r, p, now_us);
}

/* ---- Answers ---- */

/* What an answer tells of who leads, if it is newer than what is known. */
static bool part_learn(struct part *p, const struct wire_result *a) {
  const struct router_shard known = state_shard(p->request->coll, p->share.shard);
  struct coll_state *coll = p->request->coll;
  bool newer = a->epoch > known.epoch || (a->epoch == known.epoch && a->rev > known.rev);
  if (!a->node || p->share.shard >= coll->n_shards || !newer)
    return false;
  struct shard_state *s = &coll->shards[p->share.shard];
  s->epoch = a->epoch;
  s->rev = a->rev;
  s->primary = a->node;
  return true;
}

static void part_redirect(struct router *r, struct part *p, const struct wire_result *a,
                          int64_t now_us) {
  bool learnt = part_learn(p, a);
  part_refresh(r, p);
  if (!learnt || p->hops >= STATE_HOPS) {
    part_again(r, p, a->code, a->message, now_us, part_backoff(r, p));
    return;
  }
  p->hops++;
  r->stats.redirects++;
  part_again(r, p, a->code, a->message, now_us, 0);
  p->attempts--;
  p->paid = true;
}

static void part_refused(struct router *r, struct part *p, const struct wire_result *a,
                         struct node_health *h, int64_t now_us) {
  int64_t wait_us = part_backoff(r, p);
  p->avoid = h->node;
  p->retry_ms = a->retry_ms;
  if (a->code == WIRE_OVERLOADED && a->retry_ms * (int64_t)1000 > wait_us)
    wait_us = a->retry_ms * (int64_t)1000;
  if (a->code == WIRE_OVERLOADED)
    h->busy_until_us = now_us + wait_us;
  if (a->code == WIRE_NOT_FRESH) {
    p->to_primary = true;
    p->paid = !p->attempts;
    wait_us = 0;
  }
  bool free_try = p->paid;
  if (a->code != WIRE_OVERLOADED && a->code != WIRE_NOT_FRESH)
    part_refresh(r, p);
  part_again(r, p, a->code, a->message, now_us, wait_us);
  p->paid = free_try;
}

static void part_taken(struct router *r, struct part *p, const struct wire_message *m,
                       struct wire_mem *mem, void *data, int64_t now_us) {
  struct router_session *session = p->request->ask.session;
  p->answer = *m;
  p->mem = *mem;
  p->data = data;
  p->code = m->result.code;
  if (session)
    result_seen(session, p->share.shard, &m->result);
  part_end(r, p, PART_DONE, now_us);
}

static void part_judge(struct router *r, struct part *p, struct node_health *h,
                       const struct wire_message *m, int64_t now_us) {
  const struct wire_result *a = &m->result;
  p->doubt = p->doubt || a->code == WIRE_UNKNOWN;
  if (!wire_code_again(a->code)) {
    p->row = a->row;
    p->position = a->position;
    snprintf(p->field, sizeof p->field, "%.63s", a->field);
    part_fail(r, p, a->code, *a->message ? a->message : wire_code_text(a->code), now_us);
  } else if (part_trying(p)) {
    return; /* the other copy may fare better */
  } else if (a->code == WIRE_NOT_PRIMARY) {
    part_redirect(r, p, a, now_us);
  } else {
    part_refused(r, p, a, h, now_us);
  }
}

void router_answer(struct router *r, int64_t now_us, uint32_t node, uint64_t request, void *data,
                   size_t n) {
  struct slot *s = slot_of(r, request);
  struct part *p = s ? s->part : NULL;
  struct wire_mem mem = {0};
  struct wire_message m;
  if (!p || p->tries[s->which].node != node) {
    free(data);
    return;
  }
  uint32_t which = s->which;
  int64_t took_us = now_us - p->tries[which].sent_us;
  struct node_health *h = part_land(r, p, which);
  enum wire_status status = wire_message_read(data, n, &mem, &m);
  bool good = status == WIRE_OK && m.kind == WIRE_ANSWER;
  breaker_end(&h->breaker, good, now_us, (uint8_t)state_random(r, 256));
  if (good && !m.result.code)
    latency_add(&h->latency, took_us);
  if (good && !m.result.code && result_fits(p, &m)) {
    part_cancel(r, p);
    part_taken(r, p, &m, &mem, data, now_us);
    return;
  }
  if (good && m.result.code)
    part_judge(r, p, h, &m, now_us);
  else
    part_fail(r, p, WIRE_PROTOCOL,
              good ? "an answer that does not fit its request" : wire_status_name(status), now_us);
  wire_mem_free(&mem);
  free(data);
}
