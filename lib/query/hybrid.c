/*
 * hybrid.c - one ranking out of several searches over one snapshot; see vecdb_search_hybrid. Per
 * query the hits of all searches are put into one table, by row, where what they count adds up;
 * then the table is sorted.
 */
#include <math.h>

#include "base/sum.h"
#include "query/exec.h"
#include "query/query.h"
#include "seg/keymap.h"

enum { HYBRID_SEARCHES = 64 };
#define HYBRID_RRF_K 61.0

/* One of the searches. */
struct hybrid_part {
  struct vdb_request request;
  struct vdb_plan *plan;
  const vecdb_hybrid_search *from;
  bool made;
};

struct hybrid_call {
  const struct vdb_snapshot *snapshot;
  struct vdb_mem *mem;
  const vecdb_hybrid_params *params;
  struct vdb_par par;
  struct hybrid_part *parts;
  uint32_t n_queries;
  size_t room;               /* rows that all searches of a query can find */
  struct vdb_qhit *found;    /* of the query at hand */
  double *sums;              /* what each counts */
  uint32_t n;
  struct vdb_keymap map;     /* places in `found` */
  uint64_t slots;
  struct vdb_pick pick;
  struct vdb_request *ended; /* the search in which the call was stopped; NULL: none */
  vecdb_search_info info;
};

/* ---- Adding up ------------------------------------------------------------------------------- */

/* 0 to 1, larger is nearer. */
static double hybrid_normal(double score, int32_t metric) {
  double turn = 2 * atan(score) / acos(-1.0);
  if (metric == VECDB_COSINE)
    return (1 + score) / 2;
  return metric == VECDB_IP ? 0.5 + turn / 2 : 1 - turn;
}

/* What the hit in place i of a search counts. */
static double hybrid_worth(const struct hybrid_call *c, const struct hybrid_part *part, size_t i,
                           double score) {
  double weight = part->from->weight != 0 ? (double)part->from->weight : 1;
  double k = c->params->rrf_k > 0 ? (double)c->params->rrf_k : HYBRID_RRF_K;
  if (c->params->fusion == VECDB_FUSION_RRF)
    return weight / (k + (double)i);
  if (c->params->fusion == VECDB_FUSION_SCORES)
    return weight * score;
  return weight * hybrid_normal(score, part->request.field->metric);
}

static bool hybrid_within(const struct hybrid_part *part, double score) {
  int32_t metric = part->request.field->metric;
  bool larger = metric == VECDB_IP || metric == VECDB_COSINE;
  double radius = (double)part->from->radius;
  return !part->from->bounded || (larger ? score >= radius : score <= radius);
}

/* The place of a row in the table. */
static uint32_t hybrid_place(struct hybrid_call *c, struct vdb_qhit hit) {
  uint64_t hash = vdb_mix64((uint64_t)hit.seg << 32 | hit.row);
  struct vdb_keymap_walk walk = vdb_keymap_walk(&c->map, hash);
  int64_t at;
  while ((at = vdb_keymap_next(&c->map, &walk)) >= 0)
    if (c->found[at].seg == hit.seg && c->found[at].row == hit.row)
      return (uint32_t)at;
  vdb_keymap_insert(&c->map, hash, c->n);
  c->found[c->n] = hit;
  c->sums[c->n] = 0;
  return c->n++;
}

/* Searches for query q, and adds up what it finds. */
static int hybrid_search(struct hybrid_call *c, struct hybrid_part *part, uint32_t q,
                         vecdb_error *err) {
  struct vdb_request *r = &part->request;
  struct vdb_exec_worker worker;
  int rc = vdb_exec_init(r, &worker, err);
  if (!rc)
    rc = vdb_exec_query(r, part->plan, q, &worker, err);
  for (size_t i = 0; !rc && i < worker.n_hits; i++) {
    double score = (double)vdb_score_of_key(worker.hits[i].key, r->field->metric);
    if (hybrid_within(part, score))
      c->sums[hybrid_place(c, worker.hits[i])] += hybrid_worth(c, part, i, score);
  }
  if (!rc) {
    vdb_search_info_add(&c->info, &worker.info);
    if (part->plan->partial || vdb_request_stopped(r) != 0)
      c->ended = r;
  }
  vdb_exec_fini(r, &worker);
  return rc;
}

/* The ranking of query q. */
static int hybrid_query(struct hybrid_call *c, uint32_t q, vecdb_error *err) {
  c->n = 0;
  memset((void *)c->map.slots, 0, c->slots * sizeof(uint64_t));
  for (uint32_t i = 0; i < c->params->n_searches && !c->ended; i++)
    VDB_TRY(hybrid_search(c, &c->parts[i], q, err));
  for (uint32_t i = 0; i < c->n; i++)
    c->found[i].key = (float)-c->sums[i]; /* the largest first, then by key */
  vdb_qhits_sort(c->snapshot, c->found, c->n);
  return VECDB_OK;
}

static int hybrid_store(const struct hybrid_call *c, uint32_t q, const struct vdb_hybrid_want *want,
                        vecdb_rows *rows, vecdb_error *err) {
  uint32_t n = vdb_min_u32(c->n, c->params->k);
  for (uint32_t i = 0; i < n; i++) {
    struct vdb_qhit hit = c->found[i];
    vecdb_hit *out = &want->hits[(size_t)q * c->params->k + i];
    out->score = -hit.key;
    out->id = vdb_qhit_id(c->snapshot, hit);
    out->row = rows ? (uint32_t)vecdb_rows_count(rows) : 0;
    if (rows)
      VDB_TRY(vdb_rows_add(rows, &c->snapshot->segs[hit.seg], hit.row, err));
  }
  want->counts[q] = n;
  return VECDB_OK;
}

/* ---- The call -------------------------------------------------------------------------------- */

static int hybrid_check(const struct vdb_hybrid_want *want, vecdb_error *err) {
  const vecdb_hybrid_params *p = want->params;
  if (!p || !want->hits || !want->counts)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL",
                    !p ? "params" : want->hits ? "counts" : "hits");
  if (p->size != sizeof *p || p->search_size != sizeof(vecdb_hybrid_search))
    return vdb_fail(err, VECDB_ERR_OPTION, "params.size is %u and search_size %u; known are %zu, "
                    "%zu", p->size, p->search_size, sizeof *p, sizeof(vecdb_hybrid_search));
  if (want->info && want->info->size != sizeof *want->info)
    return vdb_fail(err, VECDB_ERR_OPTION, "info.size is %u; this library knows %zu",
                    want->info->size, sizeof *want->info);
  if (p->n_searches == 0 || p->n_searches > HYBRID_SEARCHES || !p->searches)
    return vdb_fail(err, VECDB_ERR_LIMIT, "a ranking is made from 1 to %d searches, not %u",
                    HYBRID_SEARCHES, p->searches ? p->n_searches : 0);
  if (p->k == 0 || p->k > VECDB_MAX_K)
    return vdb_fail(err, VECDB_ERR_K, "k is %u; it must be 1 to %d", p->k, VECDB_MAX_K);
  if (p->fusion < VECDB_FUSION_RRF || p->fusion > VECDB_FUSION_SCORES)
    return vdb_fail(err, VECDB_ERR_OPTION, "fusion is %d; known are 0 to %d", p->fusion,
                    VECDB_FUSION_SCORES);
  if (!(p->rrf_k >= 0 && p->rrf_k <= 1e9f))
    return vdb_fail(err, VECDB_ERR_OPTION, "rrf_k is %g; it must be from 0 to 1e9",
                    (double)p->rrf_k);
  return VECDB_OK;
}

static int hybrid_part_begin(struct hybrid_call *c, uint32_t i, vecdb_error *err) {
  struct hybrid_part *part = &c->parts[i];
  part->from = &c->params->searches[i];
  if (!isfinite(part->from->weight) || isnan(part->from->radius))
    return vdb_fail(err, VECDB_ERR_NOT_FINITE, "search %u: weight or radius is no number", i);
  vecdb_search_params params = part->from->search;
  params.control = c->params->control;
  VDB_TRY(vdb_request_init(&part->request, c->snapshot, &params, VDB_REQUEST_SEARCH, err));
  part->made = true;
  if (i > 0 && part->request.n_queries != c->n_queries)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "search %u has %u queries, and search 0 has %u", i,
                    part->request.n_queries, c->n_queries);
  c->n_queries = part->request.n_queries;
  c->room += part->request.k;
  VDB_TRY(vdb_plan_make(&part->request, false, &part->plan, err));
  return vdb_plan_prepare(&part->request, part->plan, &c->par, err);
}

static int hybrid_begin(struct hybrid_call *c, vecdb_error *err) {
  const vecdb_hybrid_params *p = c->params;
  c->par = vdb_par_serial();
  VDB_TRY(vdb_fields_pick(c->snapshot->schema, p->fields, p->n_fields, &c->pick, err));
  c->parts = vdb_alloc_zero(c->mem, p->n_searches * sizeof *c->parts);
  if (!c->parts)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < p->n_searches; i++)
    VDB_TRY(hybrid_part_begin(c, i, err));
  c->slots = vdb_keymap_slots(c->room);
  c->found = vdb_alloc_array(c->mem, c->room, sizeof *c->found);
  c->sums = vdb_alloc_array(c->mem, c->room, sizeof *c->sums);
  c->map.slots = vdb_alloc_array(c->mem, c->slots, sizeof(uint64_t));
  c->map.mask = c->slots - 1;
  return c->found && c->sums && c->map.slots ? VECDB_OK : vdb_fail_memory(err);
}

static void hybrid_end(struct hybrid_call *c) {
  for (uint32_t i = 0; c->parts && i < c->params->n_searches; i++) {
    struct hybrid_part *part = &c->parts[i];
    if (!part->made)
      continue;
    vdb_plan_free(&part->request, part->plan);
    vdb_request_fini(&part->request);
  }
  vdb_free(c->mem, (void *)c->map.slots);
  vdb_free(c->mem, c->sums);
  vdb_free(c->mem, c->found);
  vdb_free(c->mem, c->parts);
}

static int hybrid_run(struct hybrid_call *c, const struct vdb_hybrid_want *want, vecdb_rows **rows,
                      vecdb_error *err) {
  VDB_TRY(hybrid_begin(c, err));
  if (want->rows)
    VDB_TRY(vdb_rows_of(vdb_env_for(c->snapshot->env, VDB_FOR_RESULTS), c->snapshot->schema,
                        &c->pick, rows, err));
  memset(want->counts, 0, c->n_queries * sizeof *want->counts);
  for (uint32_t q = 0; q < c->n_queries && !c->ended; q++) {
    VDB_TRY(hybrid_query(c, q, err));
    VDB_TRY(hybrid_store(c, q, want, *rows, err));
  }
  /* Each search has a control of its own: another one may not have seen the end yet. */
  if (c->ended && (!want->info || vdb_request_stopped(c->ended) == VECDB_ERR_CANCELLED))
    return vdb_control_fail(&c->ended->control, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_hybrid(const struct vdb_snapshot *snapshot,
                                  const struct vdb_hybrid_want *want, uint32_t *n_queries,
                                  vecdb_error *err) {
  struct hybrid_call call = {.snapshot = snapshot, .mem = vdb_env_for(snapshot->env,
                                                                      VDB_FOR_SEARCH),
                             .params = want->params};
  vecdb_rows *rows = NULL;
  VDB_TRY(hybrid_check(want, err));
  uint64_t start = want->info ? vdb_now_ns(snapshot->env) : 0;
  int rc = hybrid_run(&call, want, &rows, err);
  if (rc == VECDB_OK && want->info) {
    call.info.size = sizeof call.info;
    call.info.partial = call.ended != NULL;
    call.info.elapsed_ns = vdb_now_ns(snapshot->env) - start;
    *want->info = call.info;
  }
  *n_queries = call.n_queries * want->params->n_searches;
  hybrid_end(&call);
  if (rc == VECDB_OK && want->rows)
    *want->rows = rows;
  else
    vecdb_rows_free(rows);
  return rc;
}
