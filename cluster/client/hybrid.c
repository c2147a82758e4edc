/*
 * hybrid.c - one ranking out of several searches, each merged of all shards; see vecdb_client.h.
 * Per query the hits of all searches are sorted by key, what they count adds up by row, and the
 * rows are sorted by that.
 */
#include <math.h>
#include <stdlib.h>

#include "client/calls.h"
#include "client/session.h"

enum { HYBRID_SEARCHES = 64 };
#define HYBRID_RRF_K 61.0

/* A hit, and from the adding up on a row. */
struct hybrid_hit {
  const struct wire_columns *rows;
  struct router_ref ref; /* in the joined result */
  uint32_t search;
  double worth;
  float score;
};

/* ---- What a hit counts: as the library does ---- */

static double hybrid_normal(double score, int32_t metric) {
  double turn = 2 * atan(score) / acos(-1.0);
  if (metric == VECDB_COSINE)
    return (1 + score) / 2;
  return metric == VECDB_IP ? 0.5 + turn / 2 : 1 - turn;
}

static double hybrid_worth(const vecdb_hybrid_params *p, const vecdb_hybrid_search *s,
                           int32_t metric, uint32_t place, double score) {
  double weight = s->weight != 0 ? (double)s->weight : 1;
  double k = p->rrf_k > 0 ? (double)p->rrf_k : HYBRID_RRF_K;
  if (p->fusion == VECDB_FUSION_RRF)
    return weight / (k + (double)place);
  if (p->fusion == VECDB_FUSION_SCORES)
    return weight * score;
  return weight * hybrid_normal(score, metric);
}

static bool hybrid_within(const vecdb_hybrid_search *s, int32_t metric, double score) {
  bool larger = metric == VECDB_IP || metric == VECDB_COSINE;
  double radius = (double)s->radius;
  return !s->bounded || (larger ? score >= radius : score <= radius);
}

/* ---- Putting together ---- */

static int hybrid_key_order(const struct hybrid_hit *a, const struct hybrid_hit *b) {
  return router_key_order(a->rows, a->ref.row, b->rows, b->ref.row);
}

static int hybrid_by_key(const void *a, const void *b) {
  const struct hybrid_hit *x = a, *y = b;
  int order = hybrid_key_order(x, y);
  return order ? order : (x->search > y->search) - (x->search < y->search);
}

static int hybrid_by_score(const void *a, const void *b) {
  const struct hybrid_hit *x = a, *y = b;
  if (x->score > y->score || x->score < y->score)
    return x->score > y->score ? -1 : 1;
  return hybrid_key_order(x, y);
}

static size_t hybrid_gather(const vecdb_hybrid_params *p, struct router_result *const *results,
                            uint32_t query, struct hybrid_hit *hits) {
  uint32_t before = 0;
  size_t n = 0;
  for (uint32_t s = 0; s < p->n_searches; s++) {
    const struct router_result *r = results[s];
    for (uint32_t i = 0; i < r->counts[query]; i++) {
      const size_t at = (size_t)query * r->k + i;
      const double score = (double)r->scores[at];
      if (!hybrid_within(&p->searches[s], r->metric, score))
        continue;
      struct router_ref ref = r->refs[at];
      hits[n] = (struct hybrid_hit){.rows = router_result_rows(r, ref), .search = s};
      hits[n].worth = hybrid_worth(p, &p->searches[s], r->metric, i, score);
      hits[n++].ref = (struct router_ref){ref.list + before, ref.row};
    }
    before += r->n_parts;
  }
  return n;
}

/* Hits of one row, which follow one another by search, become one. */
static size_t hybrid_add(struct hybrid_hit *hits, size_t n) {
  size_t rows = 0;
  qsort(hits, n, sizeof *hits, hybrid_by_key);
  for (size_t i = 0; i < n; i++) {
    if (rows && hybrid_key_order(&hits[rows - 1], &hits[i]) == 0)
      hits[rows - 1].worth += hits[i].worth;
    else
      hits[rows++] = hits[i];
  }
  for (size_t i = 0; i < rows; i++)
    hits[i].score = (float)hits[i].worth;
  qsort(hits, rows, sizeof *hits, hybrid_by_score);
  return rows;
}

static void hybrid_rank(const vecdb_hybrid_params *p, struct router_result *const *results,
                        uint32_t query, struct hybrid_hit *hits, const struct router_hits *out) {
  size_t n = hybrid_add(hits, hybrid_gather(p, results, query, hits));
  n = n < p->k ? n : p->k;
  for (size_t i = 0; i < n; i++) {
    out->refs[(size_t)query * p->k + i] = hits[i].ref;
    out->scores[(size_t)query * p->k + i] = hits[i].score;
  }
  out->counts[query] = (uint32_t)n;
}

/* Takes over the results. */
static int hybrid_answer(const vecdb_hybrid_params *p, struct router_result *const *results,
                         vecdb_client_answer **out, vecdb_error *error) {
  const uint32_t n_queries = results[0]->n_queries;
  struct router_hits ranking;
  size_t room = 1;
  for (uint32_t s = 0; s < p->n_searches; s++)
    room += results[s]->k;
  struct hybrid_hit *hits = calloc(room, sizeof *hits);
  if (hits)
    *out = calls_join(results, p->n_searches, n_queries, p->k, &ranking);
  for (uint32_t s = 0; s < p->n_searches && !*out; s++)
    router_result_free(results[s]);
  for (uint32_t q = 0; q < n_queries && *out; q++)
    hybrid_rank(p, results, q, hits, &ranking);
  free(hits);
  return *out ? VECDB_OK : calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
}

/* ---- The call ---- */

static int hybrid_check(const vecdb_hybrid_params *p, vecdb_error *error) {
  if (!p)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "params must be given");
  if (p->size != sizeof *p || p->search_size != sizeof(vecdb_hybrid_search) || p->fusion < 0 ||
      p->fusion > VECDB_FUSION_SCORES || !(p->rrf_k >= 0 && p->rrf_k <= 1e9f))
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_hybrid_params is not understood");
  if (!p->searches || !p->n_searches || p->n_searches > HYBRID_SEARCHES)
    return calls_fail(error, VECDB_ERR_LIMIT, "", "a ranking is made from 1 to 64 searches");
  if (!p->k || p->k > VECDB_MAX_K)
    return calls_fail(error, VECDB_ERR_K, "", "k is 1 to 16,384");
  for (uint32_t i = 0; i < p->n_searches; i++) {
    const vecdb_hybrid_search *s = &p->searches[i];
    if (!isfinite(s->weight) || isnan(s->radius))
      return calls_fail(error, VECDB_ERR_NOT_FINITE, "", "a weight or a radius is no number");
    if (s->search.n_queries != p->searches[0].search.n_queries)
      return calls_fail(error, VECDB_ERR_ARGUMENT, "", "searches of unequal numbers of queries");
  }
  return VECDB_OK;
}

/* Each search has the ranking's fields: the row of any of its hits may be asked for. */
static int hybrid_begin(vecdb_client *c, const char *name, const vecdb_hybrid_params *p,
                        const vecdb_client_call *call, vecdb_search_params *searches,
                        struct job *jobs, vecdb_error *error) {
  int code = VECDB_OK;
  for (uint32_t i = 0; i < p->n_searches && !code; i++) {
    searches[i] = p->searches[i].search;
    searches[i].fields = p->fields;
    searches[i].n_fields = p->n_fields;
    code = calls_begin_search(c, name, &searches[i], call, &jobs[i], error);
  }
  return code;
}

int vecdb_client_search_hybrid(vecdb_client *c, const char *name, const vecdb_hybrid_params *p,
                               const vecdb_client_call *call, vecdb_client_answer **out,
                               vecdb_error *error) {
  struct router_result *results[HYBRID_SEARCHES];
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = hybrid_check(p, error);
  if (code)
    return code;
  struct job *jobs = calloc(p->n_searches, sizeof *jobs);
  vecdb_search_params *searches = calloc(p->n_searches, sizeof *searches);
  if (!jobs || !searches)
    code = calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  if (!code)
    code = hybrid_begin(c, name, p, call, searches, jobs, error);
  if (!code)
    code = calls_run_all(c, jobs, p->n_searches, error);
  for (uint32_t i = 0; i < p->n_searches && !code; i++) {
    results[i] = jobs[i].result;
    jobs[i].result = NULL;
  }
  if (!code)
    code = hybrid_answer(p, results, out, error);
  for (uint32_t i = 0; jobs && i < p->n_searches; i++)
    calls_free(&jobs[i]);
  free(jobs);
  free(searches);
  return code;
}
