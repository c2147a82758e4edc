/* ask.c - what the shards of a request are asked, and its bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/prune.h"
#include "router/state.h"

enum { ASK_HEAD = 4096, ASK_COLUMN = 512 }; /* of a write besides its rows */

static int ask_fail(vecdb_error *error, int code, const char *text) {
  *error = (vecdb_error){.code = code, .row = -1, .position = -1};
  snprintf(error->message, sizeof error->message, "%s", text);
  return code;
}

/* ---- Which shards ---- */

/* Leaves out the shards that no query of a search needs. */
static void ask_narrow(struct router *r, struct request *q, struct router_shares *shares) {
  const struct wire_message *m = q->ask.message;
  struct smart *smart = &q->coll->smart;
  const vecdb_field *field = router_map_vector(q->coll->map, m->search.field);
  uint32_t n_shards = q->coll->map->n_shards, used = 0;
  float limit = smart_gap(smart, q->ask.shard_recall);
  bool *needed = wire_mem_get(&q->mem, n_shards, sizeof *needed);
  float *gaps = wire_mem_get(&q->mem, n_shards, sizeof *gaps);
  struct router_share *kept = wire_mem_get(&q->mem, shares->n, sizeof *kept);
  q->all_shards = true;
  if (!field || strcmp(field->name, smart->field) != 0 || !needed || !gaps || !kept ||
      !isfinite(limit) || ++smart->searches % SMART_CHECK == 0)
    return;
  for (uint32_t i = 0; i < m->search.n_queries; i++) {
    const float *query = (const float *)m->search.queries + (size_t)i * smart->dim;
    if (!smart_gaps(smart, field->metric, query, n_shards, gaps))
      return;
    for (uint32_t s = 0; s < n_shards; s++)
      needed[s] |= gaps[s] <= limit;
  }
  for (uint32_t i = 0; i < shares->n; i++)
    if (needed[shares->shares[i].shard])
      kept[used++] = shares->shares[i];
  r->stats.shards_left_out += shares->n - used;
  q->all_shards = used == shares->n;
  *shares = (struct router_shares){used, kept};
}

/* Leaves out the shards where no row can pass the filter, but one: who asks wants an answer, with
   what is wrong in the filter if something is. */
static int ask_prune(struct router *r, struct request *q, struct router_shares *shares,
                     vecdb_error *error) {
  const struct router_map *map = q->coll->map;
  bool *needed = wire_mem_get(&q->mem, map->n_shards, sizeof *needed);
  struct router_share *kept = wire_mem_get(&q->mem, shares->n, sizeof *kept);
  uint32_t used = 0;
  if (!needed || !kept)
    return ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  memset(needed, true, map->n_shards * sizeof *needed);
  prune_shards(map, &q->ask.message->filter, needed);
  for (uint32_t i = 0; i < shares->n; i++)
    if (needed[shares->shares[i].shard] || (!used && i + 1 == shares->n))
      kept[used++] = shares->shares[i];
  r->stats.shards_pruned += shares->n - used;
  *shares = (struct router_shares){used, kept};
  return VECDB_OK;
}

/* Searches of vectors that summaries are of: dense floats, and no filter, which would have its
   neighbours elsewhere. */
static bool ask_may_narrow(const struct request *q) {
  const struct wire_message *m = q->ask.message;
  return m->kind == WIRE_SEARCH && !(m->has & (WIRE_HAS(WIRE_FILTER) | WIRE_HAS(WIRE_GROUP))) &&
         m->search.type == VECDB_FLOAT_VECTOR && q->coll->smart.dim == m->search.dim;
}

/* The shard that the message itself names. */
static int ask_one_shard(struct request *q, struct router_shares *out, vecdb_error *error) {
  const uint32_t shard = q->ask.message->target.shard;
  struct router_share *one = wire_mem_get(&q->mem, 1, sizeof *one);
  if (shard >= q->coll->map->n_shards)
    return ask_fail(error, VECDB_ERR_NOT_FOUND, "the collection has no such shard");
  if (!one)
    return ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  one->shard = shard;
  *out = (struct router_shares){1, one};
  return VECDB_OK;
}

int ask_shares(struct router *r, struct request *q, struct router_shares *out,
               vecdb_error *error) {
  const struct wire_message *m = q->ask.message;
  const struct router_map *map = q->coll->map;
  if (m->kind == WIRE_WRITE && m->write.kind == WIRE_UPDATE)
    return router_split_update(map, &m->rows, m->write.flags & VECDB_UPDATE_INSERT, &q->mem, out,
                               error);
  if (m->kind == WIRE_CHANGES)
    return ask_one_shard(q, out, error);
  if (m->has & WIRE_HAS(WIRE_BATCH))
    return router_split_rows(map, &m->rows, &q->mem, out, error);
  if (m->has & WIRE_HAS(WIRE_KEYS) && m->kind != WIRE_QUERY && m->kind != WIRE_SPARSE)
    return router_split_keys(map, &m->keys, &q->mem, out, error);
  if (!router_split_all(map, &q->mem, out))
    return ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  q->all_shards = true;
  if (map->by && m->has & WIRE_HAS(WIRE_FILTER))
    return ask_prune(r, q, out, error);
  if (q->ask.shard_recall > 0 && ask_may_narrow(q))
    ask_narrow(r, q, out);
  return VECDB_OK;
}

/* ---- Parts ---- */

struct part *ask_part(struct request *q, struct router_share share, struct part *before) {
  struct part *p = wire_mem_get(&q->mem, 1, sizeof *p);
  struct part **parts = p ? realloc(q->parts, (q->n_parts + 1) * sizeof *parts) : NULL;
  if (!parts)
    return NULL;
  q->parts = parts;
  q->parts[q->n_parts++] = p;
  q->open++;
  p->request = q;
  p->share = share;
  p->before = before;
  p->paid = true;
  p->row = p->position = -1;
  wire_out_init(&p->payload, q->ask.message->kind == WIRE_WRITE ? WIRE_BODY_MAX : WIRE_LIMIT);
  return p;
}

/* A shard's rows in pieces that fit a message each, one after the other. */
static int ask_pieces(struct request *q, const struct router_share *share, vecdb_error *error) {
  const struct wire_columns *rows = &q->ask.message->rows;
  const size_t room = WIRE_BODY_MAX - ASK_HEAD - rows->n_columns * (size_t)ASK_COLUMN;
  struct part *last = NULL;
  for (uint32_t from = 0, to; from < share->n; from = to) {
    size_t bytes = 0;
    for (to = from; to < share->n; to++) {
      size_t more = wire_columns_row_bytes(rows, share->at[to]);
      if (bytes + more > room && to > from)
        break;
      bytes += more;
    }
    if (bytes > room) {
      ask_fail(error, VECDB_ERR_LIMIT, "a row that is larger than what a shard's log takes");
      error->row = share->at[from];
      return error->code;
    }
    if (last && q->ask.op)
      return ask_fail(error, VECDB_ERR_LIMIT,
                      "a write with a number has at most 4 MiB for each shard");
    last = ask_part(q, (struct router_share){share->shard, to - from, share->at + from}, last);
    if (!last)
      return ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
    q->bytes += bytes;
  }
  return VECDB_OK;
}

/* What one message cannot carry is refused before anything is asked. */
static int ask_limits(const struct wire_message *m, vecdb_error *error) {
  const uint64_t hits =
      (m->has & WIRE_HAS(WIRE_GROUP) ? m->group.hits : UINT64_C(1)) * m->search.k;
  if (m->has & WIRE_HAS(WIRE_GROUP) && hits > VECDB_MAX_K)
    return ask_fail(error, VECDB_ERR_K, "more hits of groups than a search can have");
  if (m->kind == WIRE_SEARCH && hits * m->search.n_queries > VECDB_MAX_BATCH_ROWS)
    return ask_fail(error, VECDB_ERR_LIMIT, "more hits than one answer can have");
  if (m->kind == WIRE_QUERY && m->page.offset + state_page(&m->page) > VECDB_MAX_BATCH_ROWS)
    return ask_fail(error, VECDB_ERR_LIMIT,
                    "more rows than one answer can have: go on after the last key");
  return VECDB_OK;
}

int ask_parts(struct router *r, struct request *q, vecdb_error *error) {
  struct router_shares shares;
  if (!state_reads(q) && r->options.numbered != (q->ask.op != 0))
    return ask_fail(error, VECDB_ERR_OPTION,
                    "writes have numbers if and only if their client has a name as a writer");
  int code = ask_limits(q->ask.message, error);
  if (!code)
    code = ask_shares(r, q, &shares, error);
  if (code)
    return code;
  bool pieces = q->ask.message->has & WIRE_HAS(WIRE_BATCH);
  for (uint32_t i = 0; i < shares.n && !code; i++) {
    if (pieces)
      code = ask_pieces(q, &shares.shares[i], error);
    else if (!ask_part(q, shares.shares[i], NULL))
      code = ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  }
  if (code)
    return code;
  q->timers = q->n_parts + 1;
  if (timers_reserve(&r->timers, q->timers))
    return VECDB_OK;
  q->timers = 0;
  return ask_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

bool ask_outdated(const struct request *q) {
  const uint32_t computed = VECDB_DEFAULT_NOW | VECDB_DEFAULT_UUID;
  const struct router_map *map = q->coll->map;
  const struct wire_columns *rows = &q->ask.message->rows;
  if (!q->began || q->began->coll.schema_version == map->coll.schema_version)
    return false;
  for (uint32_t i = 0; i < rows->n_columns; i++) {
    const vecdb_field *was = wire_schema_field(&q->began->schema, rows->columns[i].name);
    const vecdb_field *is = wire_schema_field(&map->schema, rows->columns[i].name);
    const uint32_t how = was ? was->flags & computed : 0;
    if (how && (!is || (is->flags & computed) != how))
      return true;
  }
  return false;
}

/* ---- Bytes ---- */

/* The keys of the share. */
static bool ask_pick_keys(struct part *p, struct wire_mem *mem, vecdb_keys *keys) {
  const struct router_share *share = &p->share;
  if (!share->at)
    return true;
  if (keys->strings) {
    vecdb_string *strings = wire_mem_get(mem, share->n, sizeof *strings);
    for (uint32_t i = 0; strings && i < share->n; i++)
      strings[i] = keys->strings[share->at[i]];
    *keys = (vecdb_keys){NULL, strings, share->n};
    return strings != NULL;
  }
  int64_t *integers = wire_mem_get(mem, share->n, sizeof *integers);
  for (uint32_t i = 0; integers && i < share->n; i++)
    integers[i] = keys->integers[share->at[i]];
  *keys = (vecdb_keys){integers, NULL, share->n};
  return integers != NULL;
}

static void ask_read(const struct request *q, const struct part *p, struct wire_read *read) {
  const struct router_session *session = q->ask.session;
  read->partial = q->ask.partial;
  if (read->level != WIRE_SESSION || !session || p->share.shard >= session->n)
    return;
  read->seq = session->seen[p->share.shard].seq;
  read->epoch = session->seen[p->share.shard].epoch;
}

bool ask_write(struct router *r, struct part *p, const struct router_shard *shard) {
  const struct request *q = p->request;
  struct wire_mem mem = {0};
  struct wire_message m = *q->ask.message;
  m.target = (struct wire_target){q->ask.collection, p->share.shard,
                                  q->coll->map->coll.schema_version, shard->epoch, shard->rev,
                                  doc_slots_generation(&q->coll->map->slots, p->share.shard)};
  m.write.client = r->options.client;
  m.write.count = p->count;
  ask_read(q, p, &m.read);
  if (m.kind == WIRE_QUERY) {
    m.page.limit = (uint32_t)m.page.offset + state_page(&m.page);
    m.page.offset = 0;
  }
  if (m.has & WIRE_HAS(WIRE_BATCH)) {
    m.rows.pick = p->share.at;
    m.rows.n_rows = p->share.n;
  }
  bool good = !(m.has & WIRE_HAS(WIRE_KEYS)) || ask_pick_keys(p, &mem, &m.keys);
  wire_out_free(&p->payload);
  if (good)
    wire_message_write(&m, &p->payload);
  wire_mem_free(&mem);
  p->epoch = shard->epoch;
  p->rev = shard->rev;
  p->schema = m.target.schema;
  p->generation = m.target.generation;
  return good && !p->payload.status;
}
