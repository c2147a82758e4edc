/* result.c - one answer of those of the parts; see result.h. */
#include "router/result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A result with what it owns: the answers, their payloads and what was read of them. */
struct result {
  struct router_result public;
  uint32_t n_owned;
  struct result_owned {
    struct wire_message answer;
    struct wire_mem mem;
    void *data;
    const struct part *part;
  } * owned;
  struct router_result **joined;
  uint32_t n_joined;
};

void router_result_free(struct router_result *result) {
  struct result *r = (struct result *)result;
  if (!r)
    return;
  for (uint32_t i = 0; i < r->n_owned; i++) {
    wire_mem_free(&r->owned[i].mem);
    free(r->owned[i].data);
  }
  for (uint32_t i = 0; i < r->n_joined; i++)
    router_result_free(r->joined[i]);
  wire_mem_free(&r->public.mem);
  free(r->owned);
  free(r->joined);
  free(r);
}

const struct wire_columns *router_result_rows(const struct router_result *result,
                                              struct router_ref ref) {
  return &result->parts[ref.list]->rows;
}

/* ---- Sessions ---- */

void router_session_free(struct router_session *session) {
  free(session->seen);
  *session = (struct router_session){0};
}

bool result_session_room(struct router_session *session, uint32_t n_shards) {
  if (n_shards <= session->n)
    return true;
  struct router_seen *seen = realloc(session->seen, n_shards * sizeof *seen);
  if (!seen)
    return false;
  memset(seen + session->n, 0, (n_shards - session->n) * sizeof *seen);
  session->seen = seen;
  session->n = n_shards;
  return true;
}

void result_seen(struct router_session *session, uint32_t shard, const struct wire_result *a) {
  struct router_seen *seen = shard < session->n ? &session->seen[shard] : NULL;
  if (seen && (a->seq_epoch > seen->epoch || (a->seq_epoch == seen->epoch && a->seq > seen->seq)))
    *seen = (struct router_seen){a->seq, a->seq_epoch};
}

/* ---- Whether an answer fits ---- */

static bool result_rows_fit(const struct part *p, const struct wire_message *m) {
  const struct wire_columns *rows = &m->rows;
  const struct router_map *map = p->request->coll->map;
  if (!(m->has & WIRE_HAS(WIRE_BATCH)) || !rows->n_columns)
    return false;
  const struct wire_column *key = &rows->columns[0];
  return !rows->n_rows || (key->type == map->key->type && key->data && !key->valid);
}

static bool result_hits_fit(const struct part *p, const struct wire_message *m) {
  const struct wire_message *ask = p->request->ask.message;
  const struct wire_search *s = &ask->search;
  uint32_t most = s->k * (ask->has & WIRE_HAS(WIRE_GROUP) ? ask->group.hits : 1);
  if (!(m->has & WIRE_HAS(WIRE_HITS)) || !result_rows_fit(p, m) ||
      m->hits.n_queries != s->n_queries)
    return false;
  for (uint32_t i = 0; i < s->n_queries; i++)
    if (m->hits.counts[i] > most)
      return false;
  return true;
}

static bool result_get_fits(const struct part *p, const struct wire_message *m) {
  const struct wire_message *ask = p->request->ask.message;
  size_t n = p->share.at ? p->share.n : ask->keys.n, found = 0;
  if (!(m->has & WIRE_HAS(WIRE_FOUND)) || m->n_found != n || !result_rows_fit(p, m))
    return false;
  for (size_t i = 0; i < n; i++)
    found += m->found[i] != 0;
  return found == m->rows.n_rows;
}

/* What is told goes on, or it is told that nothing is known. */
static bool result_changes_fit(const struct part *p, const struct wire_message *m) {
  const struct wire_message *ask = p->request->ask.message;
  const vecdb_field *key = p->request->coll->map->key;
  if (!(m->has & WIRE_HAS(WIRE_CHANGED)) || (ask->since.now && !m->changed.all))
    return false;
  if (m->keys.n && (m->keys.strings != NULL) != (key->type == VECDB_VARCHAR))
    return false;
  return m->changed.all ? !m->keys.n && !m->changed.n_filters && !m->changed.more
                        : m->changed.position.seq >= ask->since.after.seq;
}

static bool result_sparse_fits(const struct part *p, const struct wire_message *m) {
  const struct wire_column *c = m->rows.n_columns == 1 ? m->rows.columns : NULL;
  return m->has & WIRE_HAS(WIRE_NUMBER) && c && m->rows.n_rows == p->request->ask.message->keys.n &&
         (!m->rows.n_rows || (c->type == VECDB_INT64 && c->data && !c->valid));
}

bool result_fits(const struct part *p, const struct wire_message *m) {
  const struct wire_message *ask = p->request->ask.message;
  switch (ask->kind) {
    case WIRE_SEARCH:
      return result_hits_fit(p, m);
    case WIRE_GET:
      return result_get_fits(p, m);
    case WIRE_QUERY:
      return result_rows_fit(p, m);
    case WIRE_COUNT:
      return m->has & WIRE_HAS(WIRE_NUMBER);
    case WIRE_CHANGES:
      return result_changes_fit(p, m);
    case WIRE_EXPLAIN:
      return m->n_documents == 1;
    case WIRE_SPARSE:
      return result_sparse_fits(p, m);
    default:
      return ask->write.kind != WIRE_UPDATE || !(m->has & WIRE_HAS(WIRE_FOUND)) ||
             m->n_found == p->share.n;
  }
}

/* ---- Making ---- */

static struct result *result_new(const struct router_ask *ask, uint32_t n_parts) {
  struct result *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  r->owned = calloc(n_parts + 1, sizeof *r->owned);
  if (!r->owned) {
    free(r);
    return NULL;
  }
  r->public.kind = ask->message->kind;
  r->public.write = ask->message->write.kind;
  r->public.result = (struct wire_result){
      .shard = WIRE_NO_SHARD, .row = -1, .position = -1, .field = "", .message = ""};
  return r;
}

static const char *result_text(struct router_result *r, const char *text) {
  size_t n = strlen(text);
  char *copy = wire_mem_get(&r->mem, n + 1, 1);
  return copy ? memcpy(copy, text, n) : "";
}

struct router_result *result_fail(const struct router_ask *ask, const vecdb_error *error) {
  struct result *r = result_new(ask, 0);
  if (!r)
    return NULL;
  r->public.result.code = error->code;
  r->public.result.row = error->row;
  r->public.result.position = error->position;
  r->public.result.field = result_text(&r->public, error->field);
  r->public.result.message = result_text(&r->public, error->message);
  return &r->public;
}

/* Of groups all hits: which groups they make is seen when they are together. */
static uint32_t result_k(const struct router_result *out, const struct wire_message *ask) {
  uint32_t most = 0;
  if (!(ask->has & WIRE_HAS(WIRE_GROUP)))
    return ask->search.k;
  for (uint32_t q = 0; q < ask->search.n_queries; q++) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < out->n_parts; i++)
      n += out->parts[i]->hits.counts[q];
    most = n > most ? n : most;
  }
  return most;
}

static bool result_search(struct result *r, const struct request *q) {
  struct router_result *out = &r->public;
  const struct wire_search *s = &q->ask.message->search;
  const vecdb_field *field = router_map_vector(q->coll->map, s->field);
  out->k = result_k(out, q->ask.message);
  size_t n = (size_t)s->n_queries * out->k;
  struct router_ref *refs = wire_mem_get(&out->mem, n, sizeof *refs);
  float *scores = wire_mem_get(&out->mem, n, sizeof *scores);
  uint32_t *counts = wire_mem_get(&out->mem, s->n_queries, sizeof *counts);
  const struct router_lists lists = {out->parts, out->n_parts, field ? field->metric : VECDB_L2,
                                     s->n_queries, out->k};
  out->n_queries = s->n_queries;
  out->metric = lists.metric;
  out->refs = refs;
  out->scores = scores;
  out->counts = counts;
  if (!refs || !scores || !counts)
    return false;
  return q->ask.message->has & WIRE_HAS(WIRE_GROUP)
             ? router_sort_hits(&lists, &out->mem, refs, scores, counts)
             : router_merge_hits(&lists, &out->mem, refs, scores, counts);
}

static bool result_query(struct result *r, const struct request *q) {
  struct router_result *out = &r->public;
  const struct wire_page *page = &q->ask.message->page;
  size_t n = 0;
  const struct wire_columns **lists = wire_mem_get(&out->mem, out->n_parts, sizeof *lists);
  for (uint32_t i = 0; lists && i < out->n_parts; i++) {
    lists[i] = &out->parts[i]->rows;
    n += lists[i]->n_rows;
  }
  struct router_ref *refs = wire_mem_get(&out->mem, n, sizeof *refs);
  out->refs = refs;
  return lists && refs &&
         router_merge_rows(lists, out->n_parts, page->offset, state_page(page), &out->mem, refs,
                           &out->n);
}

/* Rows in the order of the keys; of a key that two shards have, the first one's. */
static bool result_get(struct result *r, const struct request *q) {
  struct router_result *out = &r->public;
  uint32_t n = (uint32_t)q->ask.message->keys.n;
  uint8_t *found = wire_mem_get(&out->mem, n, 1);
  struct router_ref *by_key = wire_mem_get(&out->mem, n, sizeof *by_key);
  if (!found || !by_key)
    return false;
  for (uint32_t i = 0; i < r->n_owned; i++) {
    const struct router_share *share = &r->owned[i].part->share;
    const struct wire_message *m = out->parts[i];
    for (uint32_t j = 0, row = 0; j < m->n_found; j++) {
      uint32_t key = share->at ? share->at[j] : j;
      if (!m->found[j])
        continue;
      if (!found[key])
        by_key[key] = (struct router_ref){i, row};
      found[key] = 1;
      row++;
    }
  }
  for (uint32_t i = 0; i < n; i++)
    if (found[i])
      by_key[out->n++] = by_key[i];
  out->refs = by_key;
  out->found = found;
  out->n_found = n;
  return true;
}

static bool result_found(struct result *r, const struct request *q) {
  struct router_result *out = &r->public;
  uint8_t *found = wire_mem_get(&out->mem, q->ask.message->rows.n_rows, 1);
  for (uint32_t i = 0; found && i < r->n_owned; i++) {
    const struct wire_message *m = out->parts[i];
    for (uint32_t j = 0; j < m->n_found; j++)
      found[r->owned[i].part->share.at[j]] |= m->found[j];
  }
  out->found = found;
  out->n_found = q->ask.message->rows.n_rows;
  return found != NULL;
}

static bool result_reduce(struct result *r, const struct request *q) {
  struct router_result *out = &r->public;
  for (uint32_t i = 0; i < out->n_parts; i++)
    out->number += out->parts[i]->number;
  switch (out->kind) {
    case WIRE_SEARCH:
      return result_search(r, q);
    case WIRE_GET:
      return result_get(r, q);
    case WIRE_QUERY:
      return result_query(r, q);
    default:
      return out->write != WIRE_UPDATE || result_found(r, q);
  }
}

/* Takes over the answer of a part that has one. */
static void result_adopt(struct result *r, struct part *p) {
  struct result_owned *o = &r->owned[r->n_owned++];
  *o = (struct result_owned){p->answer, p->mem, p->data, p};
  p->data = NULL;
  p->mem = (struct wire_mem){0};
  struct wire_result *all = &r->public.result;
  const struct wire_result *one = &o->answer.result;
  all->partial |= one->partial;
  all->copies = r->n_owned == 1 || one->copies < all->copies ? one->copies : all->copies;
}

/* Whether a part of a write may have happened that no answer tells of: then the write cannot be
   made anew under other numbers. */
static bool result_doubtful(const struct request *q) {
  for (uint32_t i = 0; i < q->n_parts && !state_reads(q); i++) {
    const struct part *p = q->parts[i];
    if (p->state != PART_DONE && (p->doubt || p->code == WIRE_UNKNOWN))
      return true;
  }
  return false;
}

/* Why there is no whole answer: what the first part says that failed for good. */
static void result_failure(struct result *r, const struct request *q) {
  struct wire_result *all = &r->public.result;
  for (uint32_t i = 0; i < q->n_parts; i++) {
    const struct part *p = q->parts[i];
    if (p->state == PART_DONE || (all->code && p->state != PART_FAILED))
      continue;
    if (all->code && wire_code_again(all->code) <= wire_code_again(p->code))
      continue;
    all->code = p->code;
    all->shard = p->share.shard;
    all->retry_ms = p->retry_ms;
    all->row = p->row >= 0 && p->share.at && p->row < p->share.n ? p->share.at[p->row] : p->row;
    all->position = p->position;
    all->field = result_text(&r->public, p->field);
    all->message = result_text(&r->public, p->words);
  }
  if (all->code == WIRE_SCHEMA && result_doubtful(q))
    all->code = WIRE_UNKNOWN;
}

struct router_result *router_result_join(struct router_result *const *results, uint32_t n,
                                         uint32_t n_queries, uint32_t k,
                                         struct router_hits *hits) {
  static const struct wire_message search = {.kind = WIRE_SEARCH};
  const struct router_ask ask = {.message = &search};
  size_t room = (size_t)n_queries * k;
  struct result *r = result_new(&ask, 0);
  struct router_result *out = r ? &r->public : NULL;
  if (!out)
    return NULL;
  for (uint32_t i = 0; i < n; i++)
    out->n_parts += results[i]->n_parts;
  const struct wire_message **parts = wire_mem_get(&out->mem, out->n_parts, sizeof *parts);
  hits->refs = wire_mem_get(&out->mem, room, sizeof *hits->refs);
  hits->scores = wire_mem_get(&out->mem, room, sizeof *hits->scores);
  hits->counts = wire_mem_get(&out->mem, n_queries, sizeof *hits->counts);
  r->joined = calloc(n + 1, sizeof(struct router_result *));
  if (out->mem.failed || !r->joined) {
    router_result_free(out);
    return NULL;
  }
  out->n_queries = n_queries;
  out->k = k;
  out->refs = hits->refs;
  out->scores = hits->scores;
  out->counts = hits->counts;
  out->parts = parts;
  for (; r->n_joined < n; r->n_joined++) {
    struct router_result *one = results[r->n_joined];
    if (one->n_parts)
      memcpy((void *)parts, (const void *)one->parts, one->n_parts * sizeof(void *));
    parts += one->n_parts;
    out->result.partial |= one->result.partial;
    out->result.shards_ok += one->result.shards_ok;
    out->result.shards_all += one->result.shards_all;
    r->joined[r->n_joined] = one;
  }
  return out;
}

struct router_result *result_make(struct request *q) {
  struct result *r = result_new(&q->ask, q->n_parts);
  const struct wire_message **parts =
      r ? wire_mem_get(&r->public.mem, q->n_parts, sizeof *parts) : NULL;
  if (!parts) {
    router_result_free(r ? &r->public : NULL);
    return NULL;
  }
  struct wire_result *all = &r->public.result;
  for (uint32_t i = 0; i < q->n_parts; i++)
    if (q->parts[i]->state == PART_DONE)
      result_adopt(r, q->parts[i]);
  for (uint32_t i = 0; i < r->n_owned; i++)
    parts[i] = &r->owned[i].answer;
  r->public.parts = parts;
  r->public.n_parts = r->n_owned;
  all->shards_ok = r->n_owned;
  all->shards_all = q->n_parts;
  bool partial = q->ask.partial && state_reads(q) && r->n_owned;
  if (r->n_owned < q->n_parts && partial)
    all->partial = true;
  else if (r->n_owned < q->n_parts)
    result_failure(r, q);
  if (!result_reduce(r, q)) {
    router_result_free(&r->public);
    return NULL;
  }
  return &r->public;
}
