/* routersim.c - a cluster for routers in one thread; see routersim.h. */
#include "cluster/routersim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t rs_random(struct rs *s, uint32_t n) {
  s->random = s->random * 6364136223846793005u + 1442695040888963407u;
  return n ? (uint32_t)((s->random >> 33) % n) : 0;
}

/* Failing memory is not what this is about. */
static void *rs_must(void *p) {
  if (!p)
    abort();
  return p;
}

/* ---- Documents ---- */

static const char rs_schema[] =
    "{\"fields\":[{\"name\":\"id\",\"type\":\"INT64\",\"primary_key\":true},"
    "{\"name\":\"stamp\",\"type\":\"INT64\"},"
    "{\"name\":\"v\",\"type\":\"FLOAT_VECTOR\",\"dim\":4,\"metric\":\"L2\"}]}";

static void rs_document(struct wire_document *d, uint32_t kind, uint32_t a, uint32_t b,
                        uint64_t mod, char *text) {
  *d = (struct wire_document){kind, a, b, (int64_t)mod, rs_must(text), strlen(text)};
}

static char *rs_shard_text(const struct rs *s, uint32_t i) {
  const struct rs_shard *shard = &s->shards[i];
  struct doc_shard doc = {.collection = RS_COLL,
                          .number = i,
                          .epoch = shard->epoch,
                          .primary = shard->primary,
                          .min_isr = 1};
  size_t n;
  for (uint32_t j = 0; j < RS_REPLICAS; j++) {
    doc.replicas[doc.n_replicas++] = (struct doc_replica){shard->nodes[j], {{1}}};
    doc.isr[doc.n_isr++] = shard->nodes[j];
  }
  return doc_shard_write(&doc, &n);
}

static char *rs_coll_text(void) {
  struct doc_coll doc = {.id = RS_COLL,
                         .name = "docs",
                         .state = DOC_COLL_ACTIVE,
                         .slots = RS_SLOTS,
                         .window = 1,
                         .shards = RS_SHARDS, /* which nobody looks at */
                         .replicas = RS_REPLICAS,
                         .min_isr = 1,
                         .schema_version = 1,
                         .index_version = 1,
                         .schema = (char *)rs_schema};
  size_t n;
  return doc_coll_write(&doc, &n);
}

static char *rs_node_text(uint32_t id) {
  struct doc_node doc = {.id = id, .address = "127.0.0.1:1", .weight = 100};
  size_t n;
  snprintf(doc.name, sizeof doc.name, "n%u", id);
  return doc_node_write(&doc, &n);
}

struct router_map *rs_map(const struct rs *s) {
  struct wire_document d[2 + RS_MOST + RS_NODES];
  uint16_t of[RS_SLOTS];
  struct doc_slots slots = {.n = RS_SLOTS, .shard = of};
  char why[DOC_TEXT_MAX];
  size_t n = 0, bytes;
  uint64_t newest = 1;
  memcpy(of, s->told.of, sizeof of);
  for (uint32_t i = 0; i < s->told.n_shards; i++) {
    if (!doc_slots_set_generation(&slots, i, (uint32_t)s->told.generation[i]))
      abort();
    newest = s->shards[i].rev > newest ? s->shards[i].rev : newest;
    rs_document(&d[n++], DOC_PATH_SHARD, RS_COLL, i, s->shards[i].rev, rs_shard_text(s, i));
  }
  rs_document(&d[n++], DOC_PATH_COLL, RS_COLL, 0, newest, rs_coll_text());
  rs_document(&d[n++], DOC_PATH_SLOTS, RS_COLL, 0, 1, doc_slots_write(&slots, &bytes));
  for (uint32_t i = 1; i <= RS_NODES; i++)
    rs_document(&d[n++], DOC_PATH_NODE, i, 0, 1, rs_node_text(i));
  free(slots.generation);
  struct router_map *map = router_map_make(d, n, why);
  if (!map)
    fprintf(stderr, "%s\n", why);
  for (size_t i = 0; i < n; i++)
    free((void *)(uintptr_t)d[i].text);
  return rs_must(map);
}

/* ---- Events ---- */

static void rs_later(struct rs *s, int64_t in_us, struct rs_event event) {
  event.at_us = s->now_us + in_us;
  if (s->n_events == RS_EVENTS)
    abort();
  s->events[s->n_events++] = event;
}

static int64_t rs_latency(struct rs *s, uint32_t node) {
  int64_t us = 200 + rs_random(s, 400);
  if (rs_random(s, 1000) < s->faults.slow)
    us *= 50;
  return us * (s->nodes[node].slower ? s->nodes[node].slower : 1);
}

static bool rs_lost(struct rs *s) { return rs_random(s, 1000) < s->faults.loss; }

/* ---- What a node holds and says ---- */

const struct rs_row *rs_find(const struct rs_shard *shard, uint32_t n, int64_t key) {
  for (uint32_t i = n; i-- > 0;)
    if (shard->log[i].key == key)
      return shard->log[i].gone ? NULL : &shard->log[i];
  return NULL;
}

uint32_t rs_shard_of(const struct rs *s, int64_t key) {
  return s->of[place_slot((struct place_window){0, RS_SLOTS}, place_hash_number(key))];
}

void rs_put(struct rs *s, const struct rs_row *row) {
  struct rs_shard *shard = &s->shards[rs_shard_of(s, row->key)];
  shard->log[shard->n++] = *row;
  for (uint32_t i = 0; i < RS_REPLICAS; i++)
    shard->applied[i] = shard->n;
}

void rs_lead(struct rs *s, uint32_t shard, uint32_t node) {
  struct rs_shard *sh = &s->shards[shard];
  sh->primary = node;
  sh->epoch++;
  sh->rev = (uint64_t)++s->map_rev;
  for (uint32_t i = 0; i < RS_REPLICAS; i++)
    if (sh->nodes[i] == node)
      sh->applied[i] = sh->n;
}

void rs_kill(struct rs *s, uint32_t node, bool hang, int64_t for_us) {
  s->nodes[node].dead = !hang;
  s->nodes[node].hung = hang;
  s->nodes[node].until_us = s->now_us + for_us;
  rs_later(s, hang ? 1000000 : 500, (struct rs_event){.kind = RS_DOWN, .node = node});
  for (uint32_t i = 0; i < s->n_shards; i++) {
    struct rs_shard *sh = &s->shards[i];
    uint32_t next = sh->nodes[rs_random(s, RS_REPLICAS)];
    if (sh->primary == node && next != node && !s->nodes[next].dead && !s->nodes[next].hung)
      rs_lead(s, i, next);
  }
}

struct rs_reply {
  struct wire_message m;
  struct wire_mem mem;
  int64_t *keys;
  int64_t *stamps;
  float *scores;
  uint32_t *counts;
  uint8_t *found;
  struct wire_column columns[2];
  uint32_t n;
};

static void rs_reply_rows(struct rs_reply *r) {
  r->columns[0] = (struct wire_column){"id", VECDB_INT64, 0, 0, r->keys, 0, NULL, NULL};
  r->columns[1] = (struct wire_column){"stamp", VECDB_INT64, 0, 0, r->stamps, 0, NULL, NULL};
  r->m.rows = (struct wire_columns){r->n, 2, r->columns, NULL};
  r->m.has |= WIRE_HAS(WIRE_BATCH);
}

static void rs_add(struct rs_reply *r, const struct rs_row *row) {
  r->keys[r->n] = row->key;
  r->stamps[r->n++] = row->stamp;
}

static float rs_distance(const float *a, const float *b) {
  float sum = 0;
  for (int i = 0; i < RS_DIM; i++)
    sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/* Inserts where it belongs among the hits of this query, which are k at most. */
static void rs_hit(struct rs_reply *r, uint32_t first, uint32_t k, const struct rs_row *row,
                   float score) {
  uint32_t at = r->n;
  while (at > first && (r->scores[at - 1] > score ||
                        (!(r->scores[at - 1] < score) && r->keys[at - 1] > row->key)))
    at--;
  if (at - first >= k)
    return;
  uint32_t n = r->n - first < k ? r->n++ : r->n - 1;
  for (uint32_t i = n; i > at; i--) {
    r->keys[i] = r->keys[i - 1];
    r->stamps[i] = r->stamps[i - 1];
    r->scores[i] = r->scores[i - 1];
  }
  r->keys[at] = row->key;
  r->stamps[at] = row->stamp;
  r->scores[at] = score;
}

static void rs_search(const struct rs_shard *sh, uint32_t applied, const struct wire_message *ask,
                      struct rs_reply *r) {
  const struct wire_search *q = &ask->search;
  for (uint32_t i = 0; i < q->n_queries; i++) {
    uint32_t first = r->n;
    for (uint32_t j = 0; j < applied; j++)
      if (rs_find(sh, applied, sh->log[j].key) == &sh->log[j])
        rs_hit(r, first, q->k, &sh->log[j],
               rs_distance((const float *)q->queries + i * RS_DIM, sh->log[j].v));
    r->counts[i] = r->n - first;
  }
  r->m.hits = (struct wire_hits){q->n_queries, r->n, r->counts, r->scores};
  r->m.has |= WIRE_HAS(WIRE_HITS);
}

static void rs_query(const struct rs_shard *sh, uint32_t applied, const struct wire_message *ask,
                     struct rs_reply *r) {
  int64_t after = ask->has & WIRE_HAS(WIRE_KEYS) ? ask->keys.integers[0] : INT64_MIN;
  uint32_t n = ask->page.limit ? ask->page.limit : UINT32_MAX;
  while (r->n < n) {
    const struct rs_row *least = NULL;
    for (uint32_t j = 0; j < applied; j++)
      if (sh->log[j].key > after && (!least || sh->log[j].key < least->key) &&
          rs_find(sh, applied, sh->log[j].key))
        least = &sh->log[j];
    if (!least)
      return;
    after = least->key;
    rs_add(r, rs_find(sh, applied, after));
  }
}

static void rs_get(const struct rs_shard *sh, uint32_t applied, const struct wire_message *ask,
                   struct rs_reply *r) {
  for (size_t i = 0; i < ask->keys.n; i++) {
    const struct rs_row *row = rs_find(sh, applied, ask->keys.integers[i]);
    r->found[i] = row != NULL;
    if (row)
      rs_add(r, row);
  }
  r->m.found = r->found;
  r->m.n_found = (uint32_t)ask->keys.n;
  r->m.has |= WIRE_HAS(WIRE_FOUND);
}

static void rs_count(const struct rs_shard *sh, uint32_t applied, struct rs_reply *r) {
  for (uint32_t j = 0; j < applied; j++)
    r->m.number += rs_find(sh, applied, sh->log[j].key) == &sh->log[j];
  r->m.has |= WIRE_HAS(WIRE_NUMBER);
}

static void rs_apply(struct rs *s, struct rs_shard *sh, const struct wire_message *ask,
                     struct rs_reply *r) {
  for (uint32_t i = 0; i < sh->n_ops; i++)
    if (sh->ops[i] == ask->write.count)
      return;
  if (sh->n_ops == 4096 || sh->n + ask->rows.n_rows + ask->keys.n > RS_LOG / RS_SHARDS)
    abort();
  sh->ops[sh->n_ops++] = ask->write.count;
  for (uint32_t i = 0; i < ask->rows.n_rows; i++) {
    struct rs_row row = {.key = wire_columns_value(&ask->rows, i, 0).as.integer,
                         .stamp = wire_columns_value(&ask->rows, i, 1).as.integer};
    memcpy(row.v, wire_columns_value(&ask->rows, i, 2).as.data, sizeof row.v);
    sh->log[sh->n++] = row;
  }
  for (size_t i = 0; i < ask->keys.n; i++) {
    r->m.number += rs_find(sh, sh->n, ask->keys.integers[i]) != NULL;
    sh->log[sh->n++] = (struct rs_row){.key = ask->keys.integers[i], .gone = true};
  }
  r->m.has |= WIRE_HAS(WIRE_NUMBER);
  for (uint32_t i = 0; i < RS_REPLICAS; i++)
    if (sh->nodes[i] == sh->primary || !s->faults.lag)
      sh->applied[i] = sh->n;
}

/* The code of the answer; 0: it can be given from what replica `at` has. */
static int rs_judge(struct rs *s, const struct rs_shard *sh, uint32_t node, uint32_t *at,
                    const struct wire_message *ask) {
  bool primary = sh->primary == node;
  for (*at = 0; *at < RS_REPLICAS && sh->nodes[*at] != node;)
    ++*at;
  if (*at == RS_REPLICAS)
    return WIRE_NO_REPLICA;
  if (rs_random(s, 1000) < s->faults.refused)
    return rs_random(s, 2) ? WIRE_OVERLOADED : WIRE_UNAVAILABLE;
  if (ask->target.generation != sh->generation)
    return ask->target.generation < sh->generation ? WIRE_STALE_MAP : WIRE_UNAVAILABLE;
  if (ask->kind == WIRE_WRITE && sh->fenced_us)
    return WIRE_UNAVAILABLE;
  if (!primary && (ask->kind == WIRE_WRITE || ask->read.level == WIRE_STRONG))
    return WIRE_NOT_PRIMARY;
  if (ask->kind != WIRE_WRITE && ask->read.level == WIRE_SESSION &&
      sh->applied[*at] < ask->read.seq)
    return WIRE_NOT_FRESH;
  return VECDB_OK;
}

static void rs_do(struct rs *s, struct rs_shard *sh, uint32_t at, const struct wire_message *ask,
                  struct rs_reply *r) {
  size_t n = ask->kind == WIRE_GET ? ask->keys.n : sh->n;
  n = ask->kind == WIRE_SEARCH ? (size_t)ask->search.n_queries * (ask->search.k + 1) : n;
  r->keys = rs_must(wire_mem_get(&r->mem, n, sizeof *r->keys));
  r->stamps = rs_must(wire_mem_get(&r->mem, n, sizeof *r->stamps));
  r->scores = rs_must(wire_mem_get(&r->mem, n, sizeof *r->scores));
  r->counts = rs_must(wire_mem_get(&r->mem, ask->search.n_queries, sizeof *r->counts));
  r->found = rs_must(wire_mem_get(&r->mem, n, 1));
  if (ask->kind == WIRE_SEARCH)
    rs_search(sh, sh->applied[at], ask, r);
  else if (ask->kind == WIRE_GET)
    rs_get(sh, sh->applied[at], ask, r);
  else if (ask->kind == WIRE_QUERY)
    rs_query(sh, sh->applied[at], ask, r);
  else if (ask->kind == WIRE_COUNT)
    rs_count(sh, sh->applied[at], r);
  else
    rs_apply(s, sh, ask, r);
  if (ask->kind == WIRE_SEARCH || ask->kind == WIRE_GET || ask->kind == WIRE_QUERY)
    rs_reply_rows(r);
}

static void rs_asked(struct rs *s, const struct rs_event *e) {
  struct wire_mem mem = {0};
  struct wire_message ask;
  struct rs_reply r = {.m = {.kind = WIRE_ANSWER, .has = WIRE_HAS(WIRE_RESULT)}};
  if (wire_message_read(e->data, e->n, &mem, &ask) != WIRE_OK || ask.target.shard >= s->n_shards ||
      ask.target.collection != RS_COLL || !e->deadline_ms)
    abort();
  struct rs_shard *sh = &s->shards[ask.target.shard];
  uint32_t at;
  int code = rs_judge(s, sh, e->node, &at, &ask);
  if (!code)
    rs_do(s, sh, at, &ask, &r);
  r.m.result = (struct wire_result){.code = code,
                                    .shard = ask.target.shard,
                                    .epoch = sh->epoch,
                                    .rev = sh->rev,
                                    .retry_ms = code == WIRE_OVERLOADED ? 5 : 0,
                                    .seq = code ? 0 : sh->applied[at],
                                    .seq_epoch = sh->epoch,
                                    .row = -1,
                                    .position = -1,
                                    .copies = RS_REPLICAS};
  if (code == WIRE_NOT_PRIMARY && rs_random(s, 4))
    r.m.result.node = sh->primary;
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(&r.m, &out);
  if (out.status)
    abort();
  if (rs_lost(s))
    wire_out_free(&out);
  else
    rs_later(s, rs_latency(s, e->node),
             (struct rs_event){.kind = RS_ANSWER,
                               .node = e->node,
                               .request = e->request,
                               .data = out.data,
                               .n = out.n});
  wire_mem_free(&r.mem);
  wire_mem_free(&mem);
}

/* ---- The router's host ---- */

static bool rs_send(void *arg, uint32_t node, uint64_t request, uint32_t deadline_ms,
                    const void *payload, size_t n) {
  struct rs *s = arg;
  if (node > RS_NODES || !node || s->nodes[node].dead)
    return false;
  s->sent++;
  s->nodes[node].asked++;
  if (rs_lost(s))
    return true;
  struct rs_event e = {.kind = RS_ASK,
                       .node = node,
                       .request = request,
                       .deadline_ms = deadline_ms,
                       .data = rs_must(malloc(n)),
                       .n = n};
  memcpy(e.data, payload, n);
  rs_later(s, rs_latency(s, node), e);
  return true;
}

static void rs_cancelled(void *arg, uint32_t node, uint64_t request) {
  (void)node;
  (void)request;
  ((struct rs *)arg)->cancelled++;
}

static void rs_done(void *arg, void *user, struct router_result *result) {
  struct rs *s = arg;
  s->done(s, user, result);
}

static void rs_refresh(void *arg, uint32_t collection) {
  struct rs *s = arg;
  if (collection != RS_COLL)
    abort();
  if (s->map_wanted)
    return;
  s->map_wanted = true;
  rs_later(s, 1000 + rs_random(s, 20000), (struct rs_event){.kind = RS_MAP});
}

/* ---- The world ---- */

void rs_open(struct rs *s, uint64_t seed, const struct router_options *options) {
  const struct router_host host = {s, rs_send, rs_cancelled, rs_done, rs_refresh};
  memset(s, 0, sizeof *s);
  s->random = seed * 2654435761u + 1;
  s->now_us = 1000000;
  s->n_shards = s->told.n_shards = RS_SHARDS;
  for (uint32_t i = 0; i < RS_SLOTS; i++)
    s->of[i] = s->told.of[i] = (uint16_t)(i % RS_SHARDS);
  for (uint32_t i = 0; i < RS_SHARDS; i++) {
    struct rs_shard *sh = &s->shards[i];
    for (uint32_t j = 0; j < RS_REPLICAS; j++)
      sh->nodes[j] = 1 + (i + j) % RS_NODES;
    rs_lead(s, i, sh->nodes[0]);
  }
  s->router = rs_must(router_open(options, &host));
  struct router_map *map = rs_map(s);
  if (!router_set_map(s->router, map))
    abort();
  router_map_drop(map);
}

void rs_close(struct rs *s) {
  for (uint32_t i = 0; i < s->n_events; i++)
    free(s->events[i].data);
  router_close(s->router);
}

/* Every other slot of the shard is a new one's: with its rows, and with all op ids. The log that
   the shard has keeps its places. */
static void rs_split(struct rs *s, uint32_t shard) {
  struct rs_shard *parent = &s->shards[shard], *child = &s->shards[s->n_shards];
  uint32_t n = parent->n, slots = 0;
  *child = *parent;
  child->n = 0;
  for (uint32_t i = 0; i < RS_SLOTS; i++)
    if (s->of[i] == shard && slots++ % 2)
      s->of[i] = (uint16_t)s->n_shards;
  for (uint32_t i = 0; i < n; i++) {
    const struct rs_row row = parent->log[i];
    if (rs_shard_of(s, row.key) != s->n_shards)
      continue;
    child->log[child->n++] = row;
    if (rs_find(parent, parent->n, row.key))
      parent->log[parent->n++] = (struct rs_row){.key = row.key, .gone = true};
  }
  if (parent->n > RS_LOG / RS_SHARDS)
    abort();
  for (uint32_t i = 0; i < RS_REPLICAS; i++) {
    parent->applied[i] = parent->n;
    child->applied[i] = child->n;
  }
  parent->generation++;
  child->generation = 1;
  parent->fenced_us = child->fenced_us = 0;
  rs_lead(s, s->n_shards++, child->primary);
}

/* A shard is fenced, then split, and some time later the documents say so. */
static void rs_splits(struct rs *s) {
  uint32_t i = rs_random(s, s->n_shards), slots = 0, fenced = 0;
  for (uint32_t k = 0; k < RS_SLOTS; k++)
    slots += s->of[k] == i;
  for (uint32_t k = 0; k < s->n_shards; k++)
    fenced += s->shards[k].fenced_us != 0;
  if (s->n_shards < RS_MOST && slots > 1 && !fenced && rs_random(s, 1000) < s->faults.splits)
    s->shards[i].fenced_us = s->now_us + rs_random(s, 100000);
  for (i = 0; i < s->n_shards; i++)
    if (s->shards[i].fenced_us && s->now_us >= s->shards[i].fenced_us)
      rs_split(s, i);
  if (rs_random(s, 4))
    return;
  s->told.n_shards = s->n_shards;
  memcpy(s->told.of, s->of, sizeof s->of);
  for (i = 0; i < s->n_shards; i++)
    s->told.generation[i] = s->shards[i].generation;
}

/* What may happen in any 10 ms. */
static void rs_fate(struct rs *s) {
  for (uint32_t i = 1; i <= RS_NODES; i++)
    if ((s->nodes[i].dead || s->nodes[i].hung) && s->now_us >= s->nodes[i].until_us) {
      s->nodes[i].dead = s->nodes[i].hung = false;
      router_up(s->router, s->now_us, i);
    }
  for (uint32_t i = 0; i < s->n_shards; i++) {
    struct rs_shard *sh = &s->shards[i];
    uint32_t j = rs_random(s, RS_REPLICAS);
    if (!s->nodes[sh->nodes[j]].dead)
      sh->applied[j] = sh->n;
    if (rs_random(s, 1000) < s->faults.moves && !s->nodes[sh->nodes[j]].dead)
      rs_lead(s, i, sh->nodes[j]);
    if ((s->nodes[sh->primary].dead || s->nodes[sh->primary].hung) &&
        !s->nodes[sh->nodes[j]].dead && !s->nodes[sh->nodes[j]].hung && !rs_random(s, 20))
      rs_lead(s, i, sh->nodes[j]);
  }
  if (s->faults.splits || s->n_shards > RS_SHARDS)
    rs_splits(s);
  uint32_t node = 1 + rs_random(s, RS_NODES), away = 0;
  for (uint32_t i = 1; i <= RS_NODES; i++)
    away += s->nodes[i].dead || s->nodes[i].hung;
  if (rs_random(s, 1000) < s->faults.deaths && away < 2 && !s->nodes[node].dead &&
      !s->nodes[node].hung)
    rs_kill(s, node, rs_random(s, 3) == 0, 100000 + rs_random(s, 3000000));
}

static void rs_happen(struct rs *s, struct rs_event e) {
  bool away = e.node && (s->nodes[e.node].dead || s->nodes[e.node].hung);
  if (e.kind == RS_ASK && !away)
    rs_asked(s, &e);
  if (e.kind == RS_ANSWER && !away) {
    router_answer(s->router, s->now_us, e.node, e.request, e.data, e.n);
    return;
  }
  if (e.kind == RS_DOWN && away)
    router_down(s->router, s->now_us, e.node);
  if (e.kind == RS_MAP) {
    struct router_map *map = rs_map(s);
    s->map_wanted = false;
    if (!router_set_map(s->router, map))
      abort();
    router_map_drop(map);
  }
  free(e.data);
}

void rs_run(struct rs *s, int64_t until_us) {
  while (s->now_us < until_us) {
    int64_t fate_us = (s->now_us / 10000 + 1) * 10000, due_us = router_due(s->router);
    int64_t next_us = fate_us < until_us ? fate_us : until_us;
    uint32_t first = UINT32_MAX;
    next_us = due_us < next_us ? due_us : next_us;
    for (uint32_t i = 0; i < s->n_events; i++)
      if (s->events[i].at_us <= next_us) {
        next_us = s->events[i].at_us;
        first = i;
      }
    s->now_us = next_us > s->now_us ? next_us : s->now_us;
    if (first != UINT32_MAX) {
      struct rs_event e = s->events[first];
      s->events[first] = s->events[--s->n_events];
      rs_happen(s, e);
    } else if (due_us <= s->now_us) {
      router_tick(s->router, s->now_us);
    } else if (s->now_us == fate_us) {
      rs_fate(s);
    }
  }
}
