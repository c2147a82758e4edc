/*
 * milvus_hybrid.c - HybridSearch: one ranking out of several searches of one collection, by ranks
 * (RRF) or by weighted scores. Per query, all hits are sorted by key, those of one key are added
 * up, and the sums are sorted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/guard.h"
#include "server/milvus_search.h"

enum { HYBRID_RRF_K = 60, HYBRID_PARTS = 64 };

struct hybrid_request {
  const char *db, *name;
  struct pb_bytes function;
  struct pb_list partitions, parts, params, fields;
};
static const struct pb_field hybrid_table[] = {
    {2, PB_TEXT, offsetof(struct hybrid_request, db)},
    {3, PB_TEXT, offsetof(struct hybrid_request, name)},
    {4, PB_LIST, offsetof(struct hybrid_request, partitions)},
    {5, PB_LIST, offsetof(struct hybrid_request, parts)},
    {6, PB_LIST, offsetof(struct hybrid_request, params)},
    {10, PB_LIST, offsetof(struct hybrid_request, fields)},
    {13, PB_BYTES, offsetof(struct hybrid_request, function)},
};

/* A row that some searches found. */
struct hybrid_hit {
  vecdb_value key; /* borrowed from the rows of a part */
  double score;
};

struct hybrid_part {
  struct milvus_search_run run;
  struct milvus_hits hits;
  double weight; /* of its scores */
};

struct hybrid {
  struct milvus *m;
  struct hybrid_request r;
  struct milvus_search_run whole; /* what the answer is made from */
  struct hybrid_part *parts;
  size_t n_parts;
  bool weighted, normalised;
  uint32_t k; /* of RRF */
};

/* ---- Reading --------------------------------------------------------------------------------- */

static bool hybrid_weights(struct hybrid *h, json_t *params) {
  json_t *weights = json_object_get(params, "weights");
  json_t *norm = json_object_get(params, "norm_score");
  h->normalised = norm == NULL || json_is_true(norm);
  if (json_array_size(weights) != h->n_parts)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "%zu weights for %zu searches",
                       json_array_size(weights), h->n_parts);
  for (size_t i = 0; i < h->n_parts; i++) {
    h->parts[i].weight = json_number_value(json_array_get(weights, i));
    if (!(h->parts[i].weight >= 0 && h->parts[i].weight <= 1))
      return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "weights must be from 0 to 1");
  }
  return true;
}

static bool hybrid_rank(struct hybrid *h, json_t *params) {
  json_t *k = json_object_get(params, "k");
  h->k = HYBRID_RRF_K;
  if (k && (!json_is_number(k) || !(json_number_value(k) > 0 && json_number_value(k) < 16384)))
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "k must be from 1 to 16383");
  if (k)
    h->k = (uint32_t)json_number_value(k);
  return true;
}

/* "rrf" or "weighted", with or without the quotes of JSON; ranks when nothing is said. */
static bool hybrid_strategy(struct hybrid *h) {
  const char *name = milvus_pair(&h->whole.pairs, "strategy");
  const char *text = milvus_pair(&h->whole.pairs, "params");
  name = name ? name + (*name == '"') : "rrf";
  json_t *params = json_loads(text && *text ? text : "{}", 0, NULL);
  h->weighted = strncasecmp(name, "weighted", 8) == 0;
  bool good = json_is_object(params) ||
              milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "params is no JSON object");
  if (good && !h->weighted && strncasecmp(name, "rrf", 3) != 0)
    good = milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "the ranker %.60s is not served", name);
  good = good && (h->weighted ? hybrid_weights(h, params) : hybrid_rank(h, params));
  json_decref(params);
  return good;
}

static bool hybrid_read(struct hybrid *h) {
  struct milvus_search_run *w = &h->whole;
  if (h->r.function.n)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "ranking functions are not served");
  if (h->r.parts.n == 0 || h->r.parts.n > HYBRID_PARTS)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "a hybrid search has 1 to %d searches",
                       HYBRID_PARTS);
  h->n_parts = h->r.parts.n;
  h->parts = srv_arena_array(&h->m->call->arena, h->n_parts, sizeof *h->parts);
  if (!h->parts)
    return milvus_no_memory(h->m);
  memset(h->parts, 0, h->n_parts * sizeof *h->parts);
  if (!milvus_pairs_read(h->m, &h->r.params, &w->pairs) || !milvus_search_unserved(w) ||
      !milvus_search_number(w, "limit", &w->limit) ||
      !milvus_search_number(w, "offset", &w->offset) || !hybrid_strategy(h) ||
      !milvus_fields_read(h->m, &w->open, &h->r.fields, &w->fields))
    return false;
  uint64_t k = (uint64_t)w->limit + w->offset;
  if (w->limit == 0 || k > VECDB_MAX_K)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "limit + offset must be from 1 to %d",
                       VECDB_MAX_K);
  w->params.k = (uint32_t)k;
  return true;
}

/* Runs one of the searches, for keys alone. */
static bool hybrid_search(struct hybrid *h, size_t i) {
  struct milvus_search_run *s = &h->parts[i].run;
  *s = (struct milvus_search_run){.m = h->m,
                                  .open = h->whole.open,
                                  .params = VECDB_SEARCH_PARAMS_INIT,
                                  .control = VECDB_CONTROL_INIT};
  if (!milvus_search_take(s, h->r.parts.items[i]))
    return false;
  s->r.fields = (struct pb_list){0};
  if (s->r.partitions.n == 0)
    s->r.partitions = h->r.partitions;
  if (!milvus_search_read(s))
    return false;
  if (s->group.field)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "hybrid searches are not grouped");
  if (i > 0 && s->params.n_queries != h->whole.params.n_queries)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "the searches have unequal numbers of vectors");
  h->whole.params.n_queries = s->params.n_queries;
  return milvus_search_hits(s, &h->parts[i].hits);
}

/* ---- Ranking --------------------------------------------------------------------------------- */

/* What a score counts: larger is nearer, and 0 to 1 where that is asked for. */
static double hybrid_worth(const struct hybrid *h, int32_t metric, double score) {
  double turn = 2 * atan(score) / acos(-1.0);
  if (!h->normalised)
    return score;
  if (metric == VECDB_COSINE)
    return (1 + score) / 2;
  return metric == VECDB_IP ? 0.5 + turn / 2 : 1 - turn;
}

static int hybrid_key_order(const vecdb_value *a, const vecdb_value *b) {
  if (a->type != VECDB_VARCHAR)
    return (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
  uint32_t n = a->length < b->length ? a->length : b->length;
  int order = n ? memcmp(a->as.data, b->as.data, n) : 0;
  return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int hybrid_by_key(const void *a, const void *b) {
  const struct hybrid_hit *x = a, *y = b;
  return hybrid_key_order(&x->key, &y->key);
}

static int hybrid_by_score(const void *a, const void *b) {
  const struct hybrid_hit *x = a, *y = b;
  if (x->score != y->score)
    return x->score < y->score ? 1 : -1;
  return hybrid_key_order(&x->key, &y->key);
}

/* The hits of all parts. Clients send the offset with each part too, but the ranking's it is. */
static size_t hybrid_collect(const struct hybrid *h, uint32_t q, struct hybrid_hit *out) {
  size_t n = 0;
  for (size_t p = 0; p < h->n_parts; p++) {
    const struct hybrid_part *part = &h->parts[p];
    const vecdb_hit *hits = part->hits.hits + (size_t)q * part->run.params.k;
    for (uint32_t i = 0; i < part->hits.counts[q] && i < part->run.limit; i++) {
      double worth = hybrid_worth(h, part->run.field->metric, (double)hits[i].score);
      out[n].key = vecdb_rows_value(part->hits.rows, hits[i].row, 0);
      out[n++].score = h->weighted ? part->weight * worth : 1.0 / (h->k + i + 1);
    }
  }
  return n;
}

/* The ranking of one query; how many there are. */
static size_t hybrid_ranking(const struct hybrid *h, uint32_t q, struct hybrid_hit *hits) {
  size_t n = hybrid_collect(h, q, hits), distinct = 0;
  qsort(hits, n, sizeof *hits, hybrid_by_key);
  for (size_t i = 0; i < n; i++) {
    if (distinct && hybrid_by_key(&hits[distinct - 1], &hits[i]) == 0)
      hits[distinct - 1].score += hits[i].score;
    else
      hits[distinct++] = hits[i];
  }
  qsort(hits, distinct, sizeof *hits, hybrid_by_score);
  return distinct < h->whole.params.k ? distinct : h->whole.params.k;
}

/* ---- The answer ------------------------------------------------------------------------------ */

/* Keys of all rankings, and what is said of each. */
struct hybrid_all {
  int64_t *integers;
  vecdb_string *strings;
  uint8_t *found;
  size_t n;
};

static void hybrid_note(struct hybrid_all *all, const struct hybrid_hit *hit) {
  all->integers[all->n] = hit->key.as.integer;
  if (hit->key.type == VECDB_VARCHAR)
    all->strings[all->n] = (vecdb_string){hit->key.as.data, hit->key.length};
  all->n++;
}

static bool hybrid_rank_all(struct hybrid *h, struct milvus_hits *out, struct hybrid_all *all) {
  struct srv_arena *arena = &h->m->call->arena;
  uint32_t queries = h->whole.params.n_queries, k = h->whole.params.k;
  size_t room = 0, most = (size_t)queries * k;
  for (size_t p = 0; p < h->n_parts; p++)
    room += h->parts[p].run.params.k;
  struct hybrid_hit *hits = srv_arena_array(arena, room, sizeof *hits);
  out->hits = srv_arena_array(arena, most, sizeof *out->hits);
  out->counts = srv_arena_array(arena, queries, sizeof *out->counts);
  all->integers = srv_arena_array(arena, most, sizeof *all->integers);
  all->strings = srv_arena_array(arena, most, sizeof *all->strings);
  all->found = srv_arena_array(arena, most, sizeof *all->found);
  if (!hits || !out->hits || !out->counts || !all->integers || !all->strings || !all->found)
    return milvus_no_memory(h->m);
  for (uint32_t q = 0; q < queries; q++) {
    out->counts[q] = (uint32_t)hybrid_ranking(h, q, hits);
    for (uint32_t i = 0; i < out->counts[q]; i++) {
      out->hits[(size_t)q * k + i].score = (float)hits[i].score;
      hybrid_note(all, &hits[i]);
    }
  }
  return true;
}

/* Rows that were deleted since they were found are no hits. */
static void hybrid_place(const struct hybrid *h, struct milvus_hits *out, const uint8_t *found) {
  uint32_t row = 0, k = h->whole.params.k;
  for (uint32_t q = 0; q < h->whole.params.n_queries; q++) {
    vecdb_hit *hits = out->hits + (size_t)q * k;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < out->counts[q]; i++)
      if (*found++) {
        hits[kept] = hits[i];
        hits[kept++].row = row++;
      }
    out->counts[q] = kept;
  }
}

static void hybrid_answer(struct hybrid *h) {
  struct milvus_hits hits;
  struct hybrid_all all = {0};
  vecdb_error error;
  if (!hybrid_rank_all(h, &hits, &all))
    return;
  bool texts = h->whole.open.key->type == VECDB_VARCHAR;
  vecdb_keys keys = {texts ? NULL : all.integers, texts ? all.strings : NULL, all.n};
  struct srv_guard_fields fields = {h->whole.fields.names, h->whole.fields.n};
  if (srv_guard_get(h->m->call, h->whole.open.collection, &keys, fields, all.found, &hits.rows,
                    &error) != VECDB_OK) {
    milvus_error(h->m, &error);
    return;
  }
  hybrid_place(h, &hits, all.found);
  milvus_search_answer(&h->whole, &hits);
  vecdb_rows_free(hits.rows);
}

void milvus_hybrid(struct milvus *m) {
  struct hybrid h = {.m = m, .whole = {.m = m, .params = VECDB_SEARCH_PARAMS_INIT}};
  if (!MILVUS_REQUEST(m, hybrid_table, &h.r) ||
      !milvus_open_loaded(m, h.r.db, h.r.name, &h.whole.open))
    return;
  bool good = hybrid_read(&h);
  for (size_t i = 0; good && i < h.n_parts; i++)
    good = hybrid_search(&h, i);
  if (good)
    hybrid_answer(&h);
  for (size_t i = 0; h.parts && i < h.n_parts; i++)
    vecdb_rows_free(h.parts[i].hits.rows);
  milvus_close(&h.whole.open);
}
