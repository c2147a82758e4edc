/* model.c - the model's server, its clients and the requests under way; see model.h. */
#include "meta/model.h"

#include <stdlib.h>
#include <string.h>

#include "meta/model_int.h"

enum { MODEL_SECOND = 1000000, MODEL_TTL_MIN_S = 2 }; /* etcd's least with its usual settings */
static const int64_t model_time_limit_us = 5 * MODEL_SECOND;

uint64_t model_random(struct model_server *server) {
  uint64_t x = server->random += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Draws nothing when it cannot happen, so that a fault that is off leaves the others' draws alone.
 */
bool model_happens(struct model_server *server, uint32_t chance) {
  return chance && model_random(server) % 10000 < chance;
}

int64_t model_between(struct model_server *server, int64_t low, int64_t high) {
  if (high <= low)
    return low;
  return low + (int64_t)(model_random(server) % (uint64_t)(high - low + 1));
}

struct model_server *model_new(uint64_t seed) {
  struct model_server *server = calloc(1, sizeof *server);
  if (!server)
    return NULL;
  model_kv_init(&server->kv);
  server->random = seed;
  return server;
}

static void model_request_free(struct model_request *r) {
  model_reply_free(&r->reply);
  free(r->txn);
  free(r);
}

void model_free(struct model_server *server) {
  if (!server)
    return;
  while (server->requests) {
    struct model_request *r = server->requests;
    server->requests = r->next;
    model_request_free(r);
  }
  model_kv_free(&server->kv);
  free(server);
}

/* When the request takes effect and when its answer is there, by the faults of the moment. */
static void model_draw(struct model_server *server, struct model_request *r) {
  const struct model_faults *f = &server->faults;
  int64_t wait = model_between(server, f->latency_min_us, f->latency_max_us);
  if (model_happens(server, f->slow))
    wait += model_between(server, 0, f->slow_us);
  r->apply_us = server->now_us + model_between(server, 0, wait);
  r->answer_us = server->now_us + wait;
  if (r->client->cut || model_happens(server, f->request_lost))
    r->apply_us = r->answer_us = INT64_MAX;
  else if (model_happens(server, f->answer_lost))
    r->answer_us = INT64_MAX;
  else if (model_happens(server, f->late)) {
    r->apply_us = r->deadline_us + model_between(server, 1, model_time_limit_us);
    r->answer_us = INT64_MAX;
  } else if (model_happens(server, f->reset)) {
    r->reset = true;
    if (model_random(server) & 1)
      r->apply_us = INT64_MAX;
  }
  r->stale = !r->writes && model_happens(server, f->stale);
}

/* A request that refuses itself before it reaches the server. */
static void model_refuse(struct model_server *server, struct model_request *r) {
  r->applied = true;
  r->reply = (struct model_reply){.status = META_UNAVAILABLE};
  r->answer_us = server->now_us;
}

static enum meta_status model_send(struct meta_store *store, struct model_request made,
                                   int64_t deadline_us, meta_done *done, void *arg) {
  struct model_client *client = (struct model_client *)store;
  struct model_server *server = client->server;
  struct model_request *r = client->n_pending < META_PENDING_MAX ? malloc(sizeof *r) : NULL;
  if (!r) {
    free(made.txn);
    return client->n_pending < META_PENDING_MAX ? META_NO_MEMORY : META_LIMIT;
  }
  *r = made;
  r->client = client;
  r->deadline_us = deadline_us ? deadline_us : server->now_us + model_time_limit_us;
  r->order = server->orders++;
  r->done = done;
  r->arg = arg;
  if (!client->cut && (server->down || model_happens(server, server->faults.refused)))
    model_refuse(server, r);
  else
    model_draw(server, r);
  struct model_request **end = &server->requests;
  while (*end)
    end = &(*end)->next;
  *end = r;
  client->n_pending++;
  return META_OK;
}

static enum meta_status model_txn(struct meta_store *store, const struct meta_txn *txn,
                                  int64_t deadline_us, meta_done *done, void *arg) {
  struct model_request r = {.kind = MODEL_TXN, .txn = model_txn_copy(txn)};
  if (!r.txn)
    return META_NO_MEMORY;
  r.writes = model_txn_writes(txn);
  return model_send(store, r, deadline_us, done, arg);
}

static enum meta_status model_grant(struct meta_store *store, int64_t ttl_s, int64_t deadline_us,
                                    meta_done *done, void *arg) {
  struct model_request r = {.kind = MODEL_GRANT, .number = ttl_s, .writes = true};
  return model_send(store, r, deadline_us, done, arg);
}

static enum meta_status model_keep(struct meta_store *store, int64_t lease, int64_t deadline_us,
                                   meta_done *done, void *arg) {
  struct model_request r = {.kind = MODEL_KEEP, .number = lease, .writes = true};
  return model_send(store, r, deadline_us, done, arg);
}

static enum meta_status model_revoke(struct meta_store *store, int64_t lease, int64_t deadline_us,
                                     meta_done *done, void *arg) {
  struct model_request r = {.kind = MODEL_REVOKE, .number = lease, .writes = true};
  return model_send(store, r, deadline_us, done, arg);
}

/* ---- Taking effect ---- */

static void model_apply_txn(struct model_server *server, struct model_request *r) {
  int64_t before = server->kv.revision, as_of = 0;
  if (r->stale && !r->txn->n_compares)
    as_of = model_between(server, server->kv.compacted, before);
  model_kv_txn(&server->kv, r->txn, as_of, &r->reply);
  server->writes += server->kv.revision != before;
}

static void model_apply_grant(struct model_server *server, struct model_request *r) {
  struct model_lease *lease = model_lease_add(&server->kv, server->last_lease + 1);
  if (!lease) {
    r->reply.status = META_NO_MEMORY;
    return;
  }
  server->last_lease++;
  lease->ttl_us = MODEL_SECOND * (r->number < MODEL_TTL_MIN_S ? MODEL_TTL_MIN_S : r->number);
  lease->expires_us = server->now_us + lease->ttl_us;
  r->reply.lease = lease->id;
  r->reply.ttl_us = lease->ttl_us;
}

static void model_apply_keep(struct model_server *server, struct model_request *r) {
  struct model_lease *lease = model_lease(&server->kv, r->number);
  r->reply.lease = r->number;
  if (!lease) {
    if (!model_happens(server, server->faults.keep_lies))
      r->reply.status = META_NO_LEASE;
    r->reply.ttl_us = MODEL_TTL_MIN_S * MODEL_SECOND;
    return;
  }
  lease->expires_us = server->now_us + lease->ttl_us;
  r->reply.ttl_us = lease->ttl_us;
  if (model_happens(server, server->faults.lease_early))
    model_lease_drop(&server->kv, r->number);
}

static void model_apply(struct model_server *server, struct model_request *r) {
  r->applied = true;
  r->reply = (struct model_reply){0};
  switch (r->kind) {
    case MODEL_TXN:
      model_apply_txn(server, r);
      return;
    case MODEL_GRANT:
      model_apply_grant(server, r);
      break;
    case MODEL_KEEP:
      model_apply_keep(server, r);
      break;
    case MODEL_REVOKE:
      if (!model_lease(&server->kv, r->number))
        r->reply.status = META_NO_LEASE;
      else if (!model_lease_drop(&server->kv, r->number))
        r->reply.status = META_NO_MEMORY;
      break;
  }
  r->reply.revision = server->kv.revision;
}

/* The request that takes effect next, at or before the time. */
static struct model_request *model_next(const struct model_server *server, int64_t until) {
  struct model_request *best = NULL;
  for (struct model_request *r = server->requests; r; r = r->next)
    if (!r->applied && r->apply_us <= until && (!best || r->apply_us < best->apply_us))
      best = r;
  return best;
}

static struct model_lease *model_expiring(const struct model_server *server, int64_t until) {
  struct model_lease *best = NULL;
  for (size_t i = 0; i < server->kv.n_leases && !server->down; i++) {
    struct model_lease *l = &server->kv.leases[i];
    if (l->expires_us <= until && (!best || l->expires_us < best->expires_us))
      best = l;
  }
  return best;
}

static void model_forget(struct model_server *server) {
  for (struct model_request **at = &server->requests; *at;) {
    struct model_request *r = *at;
    if (r->client || (!r->applied && r->apply_us != INT64_MAX)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    model_request_free(r);
  }
}

void model_advance(struct model_server *server, int64_t now_us) {
  if (now_us < server->now_us)
    now_us = server->now_us;
  for (;;) {
    struct model_request *r = model_next(server, now_us);
    struct model_lease *l = model_expiring(server, now_us);
    if (!r && !l)
      break;
    int64_t at = r && (!l || r->apply_us <= l->expires_us) ? r->apply_us : l->expires_us;
    if (at > server->now_us)
      server->now_us = at;
    if (r && at == r->apply_us)
      model_apply(server, r);
    else if (!model_lease_drop(&server->kv, l->id))
      break; /* no memory: at the next call */
  }
  server->now_us = now_us;
  model_forget(server);
}

/* ---- Answers ---- */

static bool model_heard(const struct model_request *r) {
  return (r->applied || r->reset) && !r->client->cut && r->answer_us <= r->deadline_us;
}

static int64_t model_answer_at(const struct model_request *r) {
  return model_heard(r) ? r->answer_us : r->deadline_us;
}

static void model_answer(struct model_request *r) {
  bool heard = model_heard(r) && r->answer_us <= r->client->server->now_us;
  struct meta_result result = {.status = r->writes ? META_UNKNOWN : META_UNAVAILABLE};
  if (heard && !r->reset)
    result = (struct meta_result){.status = r->reply.status,
                                  .revision = r->reply.revision,
                                  .succeeded = r->reply.succeeded,
                                  .answers = r->reply.answers,
                                  .n_answers = r->reply.status ? 0 : r->reply.n_answers,
                                  .lease = r->reply.lease,
                                  .ttl_us = r->reply.ttl_us};
  result.message = meta_status_name(result.status);
  r->client->n_pending--;
  r->client = NULL;
  r->done(r->arg, &result);
}

/* The client's answer that is due first. */
static struct model_request *model_ripe(const struct model_client *client, int64_t now_us) {
  struct model_request *best = NULL;
  for (struct model_request *r = client->server->requests; r; r = r->next)
    if (r->client == client && model_answer_at(r) <= now_us &&
        (!best || model_answer_at(r) < model_answer_at(best)))
      best = r;
  return best;
}

static void model_run(struct meta_store *store, int64_t now_us) {
  struct model_client *client = (struct model_client *)store;
  model_advance(client->server, now_us);
  now_us = client->server->now_us;
  uint64_t before = client->server->orders; /* what callbacks ask is for the next run */
  for (struct model_request *r; (r = model_ripe(client, now_us)) && r->order < before;)
    model_answer(r);
  model_watch_run(client);
  model_forget(client->server);
}

static int64_t model_due(const struct meta_store *store) {
  const struct model_client *client = (const struct model_client *)store;
  int64_t due = model_watch_due(client);
  for (const struct model_request *r = client->server->requests; r; r = r->next) {
    if (!r->applied && r->apply_us < due)
      due = r->apply_us;
    if (r->client == client && model_answer_at(r) < due)
      due = model_answer_at(r);
  }
  for (size_t i = 0; i < client->server->kv.n_leases && !client->server->down; i++)
    if (client->server->kv.leases[i].expires_us < due)
      due = client->server->kv.leases[i].expires_us;
  return due;
}

static int model_fd(const struct meta_store *store) {
  (void)store;
  return -1;
}

static void model_close(struct meta_store *store) {
  struct model_client *client = (struct model_client *)store;
  struct model_server *server = client->server;
  for (;;) {
    struct model_request *r = server->requests;
    while (r && r->client != client)
      r = r->next;
    if (!r)
      break;
    model_answer(r);
  }
  model_watch_close(client);
  for (struct model_client **at = &server->clients; *at; at = &(*at)->next)
    if (*at == client) {
      *at = client->next;
      break;
    }
  free(client);
}

struct meta_store *model_connect(struct model_server *server) {
  static const struct meta_ops ops = {
      .txn = model_txn,
      .grant = model_grant,
      .keep = model_keep,
      .revoke = model_revoke,
      .watch = model_watch_add,
      .cancel = model_watch_cancel,
      .fd = model_fd,
      .due = model_due,
      .run = model_run,
      .close = model_close,
  };
  struct model_client *client = calloc(1, sizeof *client);
  if (!client)
    return NULL;
  client->store.ops = &ops;
  client->server = server;
  client->next = server->clients;
  server->clients = client;
  return &client->store;
}

/* ---- What a test turns ---- */

void model_set_faults(struct model_server *server, const struct model_faults *faults) {
  server->faults = *faults;
}

void model_set_down(struct model_server *server, bool down) {
  for (size_t i = 0; server->down && !down && i < server->kv.n_leases; i++)
    server->kv.leases[i].expires_us = server->now_us + server->kv.leases[i].ttl_us;
  server->down = down;
}

void model_set_cut(struct meta_store *client, bool cut) {
  ((struct model_client *)client)->cut = cut;
}

void model_compact(struct model_server *server, int64_t revision) {
  model_kv_compact(&server->kv, revision);
}

void model_expire(struct model_server *server, int64_t lease) {
  model_lease_drop(&server->kv, lease);
}

int64_t model_revision(const struct model_server *server) { return server->kv.revision; }
uint64_t model_writes(const struct model_server *server) { return server->writes; }
