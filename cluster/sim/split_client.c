/*
 * split_client.c - clients of a shard that is split: writes with op ids, repeated until they are
 * answered, and searches of all shards that the client knows of.
 */
#include <string.h>

#include "sim/split_world.h"

static enum sp_shard_name client_shard_of(const struct sp_client *c, uint32_t key) {
  return c->map.moved && key >= SP_MOVED ? SP_CHILD : SP_PARENT;
}

/* Some node's view of the documents, with what it knows of the split by its data. */
static struct sp_docs client_told(const struct sp_node *n) {
  struct sp_docs docs = n->view;
  const struct sp_replica *r = &n->replicas[SP_PARENT];
  if (n->up && r->has && rep_split_released(&docs.plan, &r->now.split)) {
    docs.moved = true;
    docs.generation[SP_PARENT] = r->now.split.generation;
    docs.generation[SP_CHILD] = 1;
  }
  return docs;
}

/* No generation falls. The child goes on with the parent's numbers, for it has its op ids; what was
   sent to the parent keeps its own. */
static void client_refresh(struct sp_world *w, struct sp_client *c) {
  const struct sp_docs docs = client_told(&w->nodes[1 + sp_below(w, SP_NODES)]);
  uint64_t now = docs.generation[SP_PARENT], had = c->map.generation[SP_PARENT];
  if (now < had || (now == had && docs.mod <= c->map.mod))
    return;
  if (docs.moved && !c->map.moved)
    c->next[SP_CHILD] = c->next[SP_PARENT];
  c->map = docs;
  c->shard = SP_PARENT; /* a search begins anew, with all shards of the new map */
}

static void client_send(struct sp_world *w, struct sp_client *c) {
  struct sp_message *m = &w->flight[sp_below(w, SP_FLIGHT)]; /* what was there is lost */
  *m = (struct sp_message){.used = true,
                           .search = c->searches,
                           .client = (uint32_t)(c - w->clients),
                           .attempt = c->attempt,
                           .write = c->write};
  if (!c->searches)
    c->shard = client_shard_of(c, w->writes[c->write].key);
  m->shard = c->shard;
  m->generation = c->map.generation[c->shard];
  m->op = (struct rep_op){m->client, c->count};
}

static void client_begin(struct sp_world *w, struct sp_client *c) {
  c->busy = true;
  c->attempt++;
  c->searches = w->n_writes >= SP_LOG || sp_below(w, 3) == 0;
  memcpy(c->floor, w->acked, sizeof c->floor);
  c->shard = SP_PARENT;
  if (!c->searches) {
    c->write = ++w->n_writes;
    w->writes[c->write].key = (uint32_t)sp_below(w, SP_KEYS);
    c->count = ++c->next[client_shard_of(c, w->writes[c->write].key)];
  }
  client_send(w, c);
}

void sp_client_turn(struct sp_world *w, uint32_t client) {
  struct sp_client *c = &w->clients[client];
  if (!c->map.mod || sp_below(w, 40) == 0)
    client_refresh(w, c);
  if (!c->busy && !w->ending)
    client_begin(w, c);
  else if (c->busy && sp_below(w, 4) == 0)
    client_send(w, c);
}

bool sp_clients_idle(const struct sp_world *w) {
  for (uint32_t i = 1; i <= SP_CLIENTS; i++)
    if (w->clients[i].busy)
      return false;
  return true;
}

/* ---- Answers ---- */

/* What all shards of the map gave: no row twice, none missing, none older than what was known. */
static void client_searched(struct sp_world *w, const struct sp_client *c) {
  w->result->searches++;
  for (uint32_t key = 0; key < SP_KEYS; key++) {
    uint32_t in = c->found[SP_PARENT][key], out = c->map.moved ? c->found[SP_CHILD][key] : 0;
    if (in && out)
      sp_fail(w, "a search has found a row twice");
    if (w->writes[in | out].order < c->floor[key])
      sp_fail(w, "a search has missed a row, or found an old one");
  }
}

static void client_done(struct sp_world *w, struct sp_client *c) {
  if (c->searches && c->map.moved && c->shard == SP_PARENT) {
    c->shard = SP_CHILD;
    client_send(w, c);
    return;
  }
  c->busy = false;
  if (c->searches) {
    client_searched(w, c);
    return;
  }
  const struct sp_write *write = &w->writes[c->write];
  w->result->writes++;
  if (!write->done)
    sp_fail(w, "a write was acknowledged and not done");
  w->acked[write->key] = rep_max(w->acked[write->key], write->order);
}

void sp_answer(struct sp_world *w, uint32_t client, uint32_t attempt, enum rep_result result) {
  struct sp_client *c = &w->clients[client];
  if (!c->busy || c->attempt != attempt)
    return;
  if (result == REP_DONE) {
    client_done(w, c);
  } else if (result == REP_STALE_MAP) {
    w->result->stale_maps++;
    client_refresh(w, c);
  }
}

/* ---- At the leader ---- */

static enum rep_result client_search_here(struct sp_world *w, const struct sp_message *m,
                                          const struct sp_data *d) {
  struct sp_client *c = &w->clients[m->client];
  enum rep_result result = rep_split_read(&d->split, m->generation);
  if (result == REP_DONE && c->busy && c->attempt == m->attempt && c->shard == m->shard &&
      c->map.generation[m->shard] == m->generation)
    memcpy(c->found[m->shard], d->values, sizeof d->values);
  else if (result == REP_DONE)
    result = REP_UNKNOWN; /* of a search that has begun anew */
  return result;
}

static void client_arrives(struct sp_world *w, const struct sp_message *m) {
  struct sp_shard *s = &w->shards[m->shard];
  struct sp_data *d = sp_leading(w, m->shard);
  if (!d)
    return;
  enum rep_result result;
  if (m->search) {
    result = client_search_here(w, m, d);
  } else {
    struct rep_dedup dedup = {d->clients, d->n_clients, SP_CLIENTS + 2};
    result = rep_split_write(&d->split, sp_pending(s), m->generation);
    if (result == REP_DONE && rep_dedup_look(&dedup, m->op) == REP_NEW) {
      sp_append(w, m->shard, (struct sp_entry){.op = m->op,
                                               .write = m->write,
                                               .client = m->client,
                                               .attempt = m->attempt});
      return;
    }
  }
  sp_answer(w, m->client, m->attempt, result);
}

void sp_deliver(struct sp_world *w) {
  struct sp_message *m = &w->flight[sp_below(w, SP_FLIGHT)];
  if (!m->used)
    return;
  if (sp_below(w, 8))
    m->used = false; /* or it comes once more */
  const struct sp_message copy = *m;
  client_arrives(w, &copy);
}
