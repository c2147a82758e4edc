/*
 * client.c - clients: one operation at a time, repeated with the same op id until answered,
 * sometimes given up; requests arrive late and twice.
 */
#include <string.h>

#include "sim/world.h"

enum { CLIENT_CHECKS = 8 }; /* each eighth write of a client has replicas compared */

static uint64_t client_latency(struct sim_world *w) { return 100 + sim_below(w, 500); }

static void client_timer(struct sim_client *c, struct sim_world *w, uint64_t us) {
  sim_push(w, w->now + us,
           (struct sim_event){.kind = SIM_CLIENT, .a = c->id, .n = c->attempt << 8 | c->tries});
}

static void client_send(struct sim_client *c, struct sim_world *w) {
  struct sim_ask *ask = sim_memory(w, sizeof *ask);
  *ask = c->ask;
  struct sim_event ev = {.kind = SIM_ASK, .node = c->node, .data = ask};
  c->tries++;
  if (!sim_chance(w, w->drop))
    sim_push(w, w->now + client_latency(w), ev);
  if (!w->healing && sim_chance(w, 0.03)) {
    ev.node = 1 + (uint32_t)sim_below(w, w->n_nodes);
    sim_push(w, w->now + sim_below(w, 6000000), ev);
  }
  client_timer(c, w, 400000 + sim_below(w, 400000));
}

static void client_write(struct sim_client *c, struct sim_world *w) {
  sim_room(w, &w->writes, &w->writes_room, w->n_writes, sizeof *w->writes);
  struct sim_write *write = &w->writes[w->n_writes];
  memset(write, 0, sizeof *write);
  write->client = c->id;
  write->count = ++c->count;
  write->key = c->ask.key;
  write->does = sim_chance(w, 0.2) ? SIM_DELETE_KEY : SIM_PUT_KEY;
  if (c->count % CLIENT_CHECKS == 0)
    write->does = SIM_CHECK;
  write->floor = w->acked;
  c->ask.index = w->n_writes++;
  c->ask.ack = sim_chance(w, w->async_share) ? REP_ACK_ASYNC : REP_ACK_SYNC;
}

static void client_next(struct sim_client *c, struct sim_world *w) {
  memset(&c->ask, 0, sizeof c->ask);
  c->busy = true;
  c->tries = 0;
  c->attempt++;
  c->floor = w->acked;
  c->ask.client = c->id;
  c->ask.attempt = c->attempt;
  c->ask.key = (uint32_t)sim_below(w, SIM_KEYS);
  c->ask.write = sim_chance(w, 0.6);
  c->ask.level = (enum rep_level)sim_below(w, 3);
  c->ask.max_age = 300 + sim_below(w, 3000);
  c->ask.token = c->token;
  c->deadline = w->now + 500000 + sim_below(w, 8000000);
  if (c->ask.write)
    client_write(c, w);
  if (!c->ask.write && c->ask.level != REP_STRONG)
    c->node = 1 + (uint32_t)sim_below(w, w->n_nodes);
  w->result->ops++;
  client_send(c, w);
}

/* The operation is over; the next comes after a while. */
static void client_done(struct sim_client *c, struct sim_world *w) {
  c->busy = false;
  c->tries = 0;
  c->attempt++;
  client_timer(c, w, 1000 + sim_below(w, 12000));
}

static void client_again(struct sim_client *c, struct sim_world *w, uint32_t node) {
  if (w->now > c->deadline && !w->healing) {
    client_done(c, w);
    return;
  }
  c->node = node ? node : 1 + (uint32_t)sim_below(w, w->n_nodes);
  client_send(c, w);
}

static void client_reply(struct sim_world *w, const struct sim_reply *r) {
  struct sim_client *c = &w->clients[r->client - 1];
  if (!c->busy || c->attempt != r->attempt)
    return;
  enum rep_result result = r->answer.result;
  if (result == REP_DONE || result == REP_DONE_LOCAL || result == REP_OLD_OP) {
    sim_check_reply(w, c, r);
    if (r->answer.pos.seq > c->token.seq && result != REP_OLD_OP)
      c->token = r->answer.pos;
    client_done(c, w);
  } else if (result == REP_LOST) {
    if (w->async_share == 0 && !w->forced)
      sim_fail(w, "a session lost a write without async");
    memset(&c->token, 0, sizeof c->token);
    client_done(c, w);
  } else if (c->tries < 200) {
    c->node = result == REP_NOT_PRIMARY ? r->answer.hint : 0;
    c->tries++;
    client_timer(c, w, 2000 + sim_below(w, 60000));
  }
}

static void client_wakes(struct sim_client *c, struct sim_world *w, uint32_t stamp) {
  if (stamp != (c->attempt << 8 | c->tries) || w->ending)
    return;
  if (c->busy)
    client_again(c, w, c->ask.write || c->ask.level == REP_STRONG ? c->node : 0);
  else
    client_next(c, w);
  c->node = sim_chance(w, 0.3) ? 0 : c->node;
}

void sim_client_event(struct sim_world *w, const struct sim_event *ev) {
  if (ev->kind == SIM_REPLY)
    client_reply(w, ev->data);
  else
    client_wakes(&w->clients[ev->a - 1], w, ev->n);
}

void sim_clients_start(struct sim_world *w) {
  for (uint32_t i = 0; i < SIM_CLIENTS; i++) {
    w->clients[i].id = i + 1;
    w->clients[i].node = 1;
    client_timer(&w->clients[i], w, 200000 + sim_below(w, 10000));
  }
}

/* ---- at the node ---- */

void sim_ask_arrives(struct sim_node *n, struct sim_ask *ask) {
  struct sim_world *w = n->world;
  struct rep_event ev = {.type = REP_EV_READ, .ticket = (uint64_t)(uintptr_t)ask};
  uint8_t body[16];
  if (ask->write) {
    const struct sim_write *write = &w->writes[ask->index];
    memcpy(body, &write->key, 4);
    memcpy(body + 4, &write->does, 4);
    memcpy(body + 8, &ask->index, 8);
    ev.type = REP_EV_WRITE;
    ev.op = (struct rep_op){write->client, write->count};
    ev.ack = ask->ack;
    ev.data = body;
    ev.n = sizeof body;
  } else {
    ev.level = ask->level;
    ev.token = ask->token;
    ev.number = ask->max_age;
  }
  sim_node_step(n, &ev);
}

void sim_client_answer(struct sim_node *n, const struct rep_answer *a) {
  struct sim_world *w = n->world;
  const struct sim_ask *ask = (const struct sim_ask *)(uintptr_t)a->ticket;
  struct sim_reply *r = sim_memory(w, sizeof *r);
  r->client = ask->client;
  r->attempt = ask->attempt;
  r->answer = *a;
  r->at = w->now;
  if (!ask->write && a->result == REP_DONE) {
    r->value = n->map.now.values[ask->key];
    sim_check_read(n, ask, r);
  }
  if (!sim_chance(w, w->drop))
    sim_push(w, w->now + client_latency(w), (struct sim_event){.kind = SIM_REPLY, .data = r});
}
