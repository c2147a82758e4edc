/* milvus_hybrid.c - HybridSearch: one ranking out of several searches of one collection, by ranks
   (RRF) or by weighted scores; vecdb_search_hybrid does it. */
#include <float.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "server/guard.h"
#include "server/milvus_search.h"

enum { HYBRID_RRF_K = 60, HYBRID_PARTS = 64 };

struct hybrid_request {
  const char *db, *name;
  struct pb_bytes function;
  struct pb_list partitions, parts, params, fields;
  int64_t level, default_level;
};
static const struct pb_field hybrid_table[] = {
    {2, PB_TEXT, offsetof(struct hybrid_request, db)},
    {3, PB_TEXT, offsetof(struct hybrid_request, name)},
    {4, PB_LIST, offsetof(struct hybrid_request, partitions)},
    {5, PB_LIST, offsetof(struct hybrid_request, parts)},
    {6, PB_LIST, offsetof(struct hybrid_request, params)},
    {10, PB_LIST, offsetof(struct hybrid_request, fields)},
    {11, PB_NUMBER, offsetof(struct hybrid_request, level)},
    {12, PB_NUMBER, offsetof(struct hybrid_request, default_level)},
    {13, PB_BYTES, offsetof(struct hybrid_request, function)},
};

struct hybrid {
  struct milvus *m;
  struct hybrid_request r;
  struct milvus_search_run whole; /* what the answer is made from */
  struct milvus_search_run *parts;
  vecdb_hybrid_search *searches; /* what the parts ask for */
  size_t n_parts;
  vecdb_hybrid_params params;
};

/* ---- Reading --------------------------------------------------------------------------------- */

static bool hybrid_weights(struct hybrid *h, json_t *params) {
  json_t *weights = json_object_get(params, "weights");
  json_t *norm = json_object_get(params, "norm_score");
  bool normalised = norm == NULL || json_is_true(norm);
  h->params.fusion = normalised ? VECDB_FUSION_WEIGHTED : VECDB_FUSION_SCORES;
  if (json_array_size(weights) != h->n_parts)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "%zu weights for %zu searches",
                       json_array_size(weights), h->n_parts);
  for (size_t i = 0; i < h->n_parts; i++) {
    double weight = json_number_value(json_array_get(weights, i));
    if (!(weight >= 0 && weight <= 1))
      return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "weights must be from 0 to 1");
    h->searches[i].weight = weight > 0 ? (float)weight : FLT_MIN; /* 0 would be the default */
  }
  return true;
}

static bool hybrid_rank(struct hybrid *h, json_t *params) {
  json_t *k = json_object_get(params, "k");
  h->params.rrf_k = HYBRID_RRF_K + 1; /* Milvus's places count from 1 */
  if (k && (!json_is_number(k) || !(json_number_value(k) > 0 && json_number_value(k) < 16384)))
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "k must be from 1 to 16383");
  if (k)
    h->params.rrf_k = (float)((uint32_t)json_number_value(k) + 1);
  return true;
}

/* "rrf" or "weighted", with or without the quotes of JSON; ranks when nothing is said. */
static bool hybrid_strategy(struct hybrid *h) {
  const char *name = milvus_pair(&h->whole.pairs, "strategy");
  const char *text = milvus_pair(&h->whole.pairs, "params");
  name = name ? name + (*name == '"') : "rrf";
  json_t *params = json_loads(text && *text ? text : "{}", 0, NULL);
  bool weighted = strncasecmp(name, "weighted", 8) == 0;
  bool good = json_is_object(params) ||
              milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "params is no JSON object");
  if (good && !weighted && strncasecmp(name, "rrf", 3) != 0)
    good = milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "the ranker %.60s is not served", name);
  good = good && (weighted ? hybrid_weights(h, params) : hybrid_rank(h, params));
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
  h->searches = srv_arena_array(&h->m->call->arena, h->n_parts, sizeof *h->searches);
  if (!h->parts || !h->searches)
    return milvus_no_memory(h->m);
  memset(h->searches, 0, h->n_parts * sizeof *h->searches);
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

/* Reads one of the searches. Clients send the offset with each, too, but the ranking's it is. */
static bool hybrid_part(struct hybrid *h, size_t i) {
  struct milvus_search_run *s = &h->parts[i];
  vecdb_hybrid_search *out = &h->searches[i];
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
  if (s->group.field || !isnan(s->inner))
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT,
                       "parts of hybrid searches have no groups and no range_filter");
  if (i > 0 && s->params.n_queries != h->whole.params.n_queries)
    return milvus_fail(h->m, SRV_MILVUS_ARGUMENT, "the searches have unequal numbers of vectors");
  h->whole.params.n_queries = s->params.n_queries;
  s->params.k = s->limit;
  out->search = s->params;
  out->bounded = s->ranged;
  out->radius = s->ranged ? (float)s->radius : 0;
  return true;
}

static void hybrid_answer(struct hybrid *h) {
  struct milvus_search_run *w = &h->whole;
  struct milvus_hits hits;
  vecdb_error error;
  hits.hits = srv_arena_array(&h->m->call->arena, (size_t)w->params.n_queries * w->params.k,
                              sizeof *hits.hits);
  hits.counts = srv_arena_array(&h->m->call->arena, w->params.n_queries, sizeof *hits.counts);
  if (!hits.hits || !hits.counts) {
    milvus_no_memory(h->m);
    return;
  }
  h->params.searches = h->searches;
  h->params.n_searches = (uint32_t)h->n_parts;
  h->params.k = w->params.k;
  h->params.fields = w->fields.names;
  h->params.n_fields = w->fields.n;
  h->params.control = h->parts[0].params.control;
  if (srv_guard_search_hybrid(h->m->call, w->open.collection, &h->params, hits.hits, hits.counts,
                              &hits.rows, &error) != VECDB_OK) {
    milvus_error(h->m, &error);
    return;
  }
  milvus_search_answer(w, &hits);
  engine_rows_free(hits.rows);
}

void milvus_hybrid(struct milvus *m) {
  struct hybrid h = {.m = m,
                     .whole = {.m = m, .params = VECDB_SEARCH_PARAMS_INIT},
                     .params = VECDB_HYBRID_PARAMS_INIT};
  if (!MILVUS_REQUEST(m, hybrid_table, &h.r) ||
      !milvus_open_loaded(m, h.r.db, h.r.name, &h.whole.open))
    return;
  milvus_level(&h.whole.open, h.r.level, h.r.default_level);
  bool good = hybrid_read(&h);
  for (size_t i = 0; good && i < h.n_parts; i++)
    good = hybrid_part(&h, i);
  if (good)
    hybrid_answer(&h);
  milvus_close(&h.whole.open);
}
