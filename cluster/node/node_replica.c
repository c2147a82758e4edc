/*
 * node_replica.c - which replicas are here, by the shards' documents: opened, closed, and opened
 * again after they have stopped. A folder stays when its shard goes elsewhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/node_int.h"
#include "wire/reshape.h"

static void *replica_get(void *arg, size_t n) {
  (void)arg;
  return calloc(1, n);
}

static void replica_put(void *arg, void *block) {
  (void)arg;
  free(block);
}

static const int64_t replica_again_us = 500000, replica_move_us = 2000000;
static const struct rep_alloc replica_alloc = {NULL, replica_get, replica_put};

struct node_replica *node_replica_of(struct node *n, uint32_t collection, uint32_t number) {
  for (struct node_replica *r = n->replicas; r; r = r->next)
    if (r->collection == collection && r->number == number && !r->closing)
      return r;
  return NULL;
}

/* ---- Opening ---- */

static uint64_t replica_id(const struct node_replica *r) {
  uint64_t hi, lo;
  memcpy(&hi, r->node->store.bytes, 8);
  memcpy(&lo, r->node->store.bytes + 8, 8);
  return rep_mix(rep_mix(hi, lo), (uint64_t)r->collection << 32 | r->number);
}

static bool replica_schema(struct node_replica *r, const struct doc_coll *coll, char *why) {
  /* Of data that has no rows yet: the log brings it through all that came after. */
  const char *text = coll->history ? wire_history_base(coll->history, &r->mem)
                     : coll->schema ? coll->schema
                                    : "{}";
  r->ack = coll->ack;
  if (!text || wire_schema_read(text, strlen(text), &r->mem, &r->schema, why))
    return false;
  /* Rows come with their numbers and defaults: each shard and replica would give others. */
  vecdb_field *fields = wire_mem_get(&r->mem, r->schema.n_fields, sizeof *fields);
  for (uint32_t i = 0; fields && i < r->schema.n_fields; i++) {
    fields[i] = r->schema.fields[i];
    fields[i].flags &= ~(uint32_t)WIRE_SCHEMA_GIVEN;
  }
  r->schema.fields = fields;
  return fields != NULL;
}

/* Whoever waits for an entry is told now, and another replica may lead; rep_apply would find out
   with the next entry only. */
static void replica_failed(void *arg) {
  struct node_replica *r = arg;
  if (!r->stopped)
    node_log(r->node, "shard %u/%u: its data failed, to be opened again", r->collection,
             r->number);
  r->stopped = true;
}

bool node_folder(const struct node *n, uint32_t collection, uint32_t number, char out[NODE_PATH]) {
  return snprintf(out, NODE_PATH, "%s/shards/%u-%u", n->config.data, collection, number) <
         NODE_PATH;
}

static bool replica_files(struct node_replica *r, char *why) {
  char folder[NODE_PATH], log[NODE_PATH + 8];
  struct node *n = r->node;
  struct jlog_found found;
  int error = node_folder(n, r->collection, r->number, folder)
                  ? files_make_dir(files_system(), folder)
                  : ENAMETOOLONG;
  if (error) {
    snprintf(why, NODE_WHY, "its folder cannot be made: %s", strerror(error));
    return false;
  }
  snprintf(log, sizeof log, "%s/log", folder);
  struct jlog_options jo = {.vfs = files_system(), .folder = log, .id = replica_id(r)};
  jo.from.shard = (uint64_t)r->collection << 32 | r->number;
  jo.from.node = n->config.id;
  memcpy(&jo.from.store.hi, n->store.bytes, 8);
  memcpy(&jo.from.store.lo, n->store.bytes + 8, 8);
  const struct machine_options mo = {
      .folder = folder, .schema = &r->schema, .work = n->work, .arg = r, .applied = node_applied,
      .failed = replica_failed,
      .flush = n->config.keep < NODE_FLUSH ? n->config.keep : 0}; /* what is not durable is kept */
  r->log = jlog_open(&jo, &found, why);
  if (r->log && found.damaged)
    node_log(n, "shard %u/%u: %llu entries of its log are damaged", r->collection, r->number,
             (unsigned long long)found.damaged);
  r->machine = r->log ? machine_open(&mo, why) : NULL;
  return r->machine != NULL;
}

static void replica_gone(void *arg) {
  struct node_replica *r = arg;
  r->node->look = true;
}

static void replica_doubt(void *arg) { node_live_doubt(((struct node_replica *)arg)->node); }

static bool replica_start(struct node_replica *r) {
  struct node *n = r->node;
  struct rep_options o;
  rep_options_default(&o);
  o.shard = (uint64_t)r->collection << 32 | r->number;
  o.node = n->config.id;
  memcpy(&o.store.hi, n->store.bytes, 8);
  memcpy(&o.store.lo, n->store.bytes + 8, 8);
  o.life = rep_mix(n->born, ++n->lives) | 1;
  o.chain = r->ack == DOC_ACK_CHAIN;
  o.keep = n->config.keep ? n->config.keep : o.keep;
  const struct rep_link_options lo = {.store = n->meta,
                                      .cluster = n->config.cluster,
                                      .collection = r->collection,
                                      .number = r->number,
                                      .node = n->config.id,
                                      .alloc = replica_alloc,
                                      .arg = r,
                                      .event = node_link_event,
                                      .gone = replica_gone,
                                      .doubt = replica_doubt};
  const struct rep_host host = node_host(r);
  const struct rep_store store = jlog_store(r->log);
  const struct rep_machine machine = machine_of(r->machine);
  r->link = rep_link_open(&lo);
  if (r->link)
    r->rep = rep_open(&o, &replica_alloc, &host, &store, &machine, node_ms(n));
  struct rep_event ev = {.type = REP_EV_REGISTERED, .number = (uint64_t)n->live.incarnation};
  if (r->rep && n->live.incarnation)
    node_step(r, &ev);
  return r->rep != NULL;
}

static void replica_close(struct node_replica *r) {
  if (r->closing)
    return;
  r->closing = true;
  node_asks_end(r, WIRE_NO_REPLICA);
  rep_link_close(r->link);
  rep_close(r->rep);
  r->link = NULL;
  r->rep = NULL;
  if (r->machine)
    machine_stop(r->machine);
}

/* Whether no thread works on it any more. */
static bool replica_quiet(const struct node_replica *r) {
  return !r->syncing && !r->reading && (!r->machine || machine_idle(r->machine));
}

static void replica_free(struct node_replica *r) {
  machine_close(r->machine);
  jlog_close(r->log);
  wire_mem_free(&r->mem);
  free(r);
}

static void replica_open(struct node *n, const struct doc_shard *doc, const struct doc_coll *coll) {
  char why[NODE_WHY] = "out of memory";
  struct node_replica *r = calloc(1, sizeof *r);
  if (!r)
    return;
  r->node = n;
  r->collection = doc->collection;
  r->number = doc->number;
  r->next = n->replicas;
  n->replicas = r;
  if (replica_schema(r, coll, why) && replica_files(r, why) && replica_start(r)) {
    node_log(n, "shard %u/%u: open", r->collection, r->number);
    return;
  }
  node_log(n, "shard %u/%u cannot be opened: %s", r->collection, r->number,
           r->machine ? "its log takes no writes, or there is no memory" : why);
  replica_close(r);
}

/* ---- The store in the record ---- */

struct replica_claim {
  struct node *node;
  uint32_t collection, number;
};

static void replica_claimed(void *arg, const struct meta_result *result) {
  struct replica_claim *c = arg;
  struct node_replica *r = node_replica_of(c->node, c->collection, c->number);
  if (r)
    r->claiming = false;
  (void)result; /* the next look tells */
  c->node->look = true;
  free(c);
}

/* A new collection's shards name nodes without their stores: each writes its own. That is safe,
   since nobody without a store has ever acknowledged anything. */
static void replica_claim(struct node_replica *r, const struct cache_entry *entry) {
  struct node *n = r->node;
  struct doc_shard doc = *(const struct doc_shard *)entry->doc;
  struct doc_replica *own = NULL;
  for (uint32_t i = 0; i < doc.n_replicas; i++)
    if (doc.replicas[i].node == n->config.id)
      own = &doc.replicas[i];
  if (!own || !doc_uuid_none(own->store) || r->claiming || !n->live.incarnation ||
      !doc_has(doc.isr, doc.n_isr, n->config.id))
    return;
  own->store = n->store;
  size_t bytes;
  char *text = doc_shard_write(&doc, &bytes);
  struct replica_claim *c = malloc(sizeof *c);
  struct doc_path shard = doc_path(n->config.cluster, DOC_PATH_SHARD, r->collection, r->number);
  struct doc_path live = doc_path(n->config.cluster, DOC_PATH_LIVE, n->config.id, 0);
  const struct meta_compare compares[] = {
      {.key = meta_text(shard.text), .target = META_MOD, .number = entry->mod},
      {.key = meta_text(live.text), .target = META_CREATE, .number = n->live.incarnation}};
  const struct meta_op put = {
      .kind = META_PUT, .key = meta_text(shard.text), .value = {text, bytes}};
  const struct meta_op get = {.kind = META_GET, .key = meta_text(shard.text)};
  const struct meta_txn txn = {compares, &put, &get, 2, 1, 1};
  if (c)
    *c = (struct replica_claim){n, r->collection, r->number};
  r->claiming = text && c && !meta_txn(n->meta, &txn, n->now_us + 2000000, replica_claimed, c);
  if (!r->claiming)
    free(c);
  free(text);
}

/* ---- Looking ---- */

static const struct doc_coll *replica_wanted(const struct node *n, const struct cache_view *view,
                                             const struct doc_shard *doc) {
  const struct doc_coll *coll = cache_doc(view, DOC_PATH_COLL, doc->collection, 0);
  bool here = false;
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    here |= doc->replicas[i].node == n->config.id;
  return here && coll && coll->state == DOC_COLL_ACTIVE ? coll : NULL;
}

void node_replicas_look(struct node *n) {
  bool due = n->look && n->now_us >= n->look_us;
  const struct cache_view *view = due ? cache_take(n->cache) : NULL;
  size_t count;
  if (!view)
    return;
  n->look = false;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_SHARD, 0, &count);
  for (size_t i = 0; i < count; i++) {
    const struct doc_shard *doc = all[i]->doc;
    const struct doc_coll *coll = doc ? replica_wanted(n, view, doc) : NULL;
    struct node_replica *r = doc ? node_replica_of(n, doc->collection, doc->number) : NULL;
    if (coll && r)
      replica_claim(r, all[i]);
    else if (coll && !n->removing && !node_gone_stale(n, view, doc)) /* its folder, perhaps */
      replica_open(n, doc, coll);
    for (uint32_t k = 0; coll && k < doc->n_replicas; k++)
      node_net_know(n, doc->replicas[k].node);
    n->look |= coll && !r; /* its claim, when it was opened */
  }
  for (struct node_replica *r = n->replicas; r; r = r->next) {
    const struct doc_shard *doc = cache_doc(view, DOC_PATH_SHARD, r->collection, r->number);
    const struct cache_entry *entry = cache_find(view, DOC_PATH_SHARD, r->collection, r->number);
    if (!entry || (doc && !replica_wanted(n, view, doc)))
      replica_close(r);
  }
  node_gone_look(n, view);
  cache_give(view);
}

/* A move's last step: the primary hands over when it is the source, or else lets the source go. */
static void replica_move(struct node_replica *r, const struct cache_view *view) {
  const struct doc_move *move = cache_doc(view, DOC_PATH_MOVE, r->collection, r->number);
  struct rep_info info = {0};
  if (r->rep)
    rep_info(r->rep, &info);
  if (!move || move->step != DOC_MOVE_SWITCHING || !move->source || !info.serving ||
      r->node->now_us < r->move_us)
    return;
  bool own = move->source == r->node->config.id;
  struct rep_event ev = {.type = own ? REP_EV_HANDOFF : REP_EV_LEAVE,
                         .node = own ? move->target : move->source};
  r->move_us = r->node->now_us + replica_move_us;
  node_step(r, &ev);
}

static void replica_moves(struct node *n) {
  const struct cache_view *view = cache_take(n->cache);
  if (!view)
    return;
  for (struct node_replica *r = n->replicas; r; r = r->next) {
    replica_move(r, view);
    node_alter_tick(r, view);
    node_expire_tick(r, view);
    node_split_tick(r, view);
  }
  cache_give(view);
}

void node_replicas_tick(struct node *n) {
  struct rep_event tick = {.type = REP_EV_TICK};
  replica_moves(n);
  for (struct node_replica **at = &n->replicas; *at;) {
    struct node_replica *r = *at;
    node_step(r, &tick);
    node_asks_tick(r);
    node_check_tick(r);
    if (r->machine)
      machine_tick(r->machine, n->now_us);
    if (r->stopped)
      replica_close(r);
    if (r->closing && replica_quiet(r)) {
      *at = r->next;
      replica_free(r);
      n->look = true; /* a stopped one is opened again */
      n->look_us = n->now_us + replica_again_us;
      continue;
    }
    at = &r->next;
  }
}

void node_replicas_close(struct node *n) {
  for (struct node_replica *r = n->replicas; r; r = r->next)
    replica_close(r);
  work_close(n->syncs);
  work_close(n->work);
  work_close(n->tidy);
  n->syncs = n->work = n->tidy = NULL;
  while (n->replicas) {
    struct node_replica *next = n->replicas->next;
    replica_free(n->replicas);
    n->replicas = next;
  }
}
