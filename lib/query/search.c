/* search.c - k nearest rows and rows in a range, for one query or many; see query.h. */
#include "query/cache.h"
#include "query/exec.h"
#include "query/query.h"

/* One call. */
struct search_call {
  struct vdb_request request;
  struct vdb_plan *plan;
  struct vdb_exec_worker *workers;
  unsigned n_workers;
  vecdb_hit *hits;
  uint32_t *counts;
  struct vecdb_rows *rows;   /* NULL: not wanted */
  struct vdb_writer key;     /* bytes of the result's key, where it may be kept; empty else */
  struct vdb_cache_key id;   /* and these with their hash */
  bool cached;               /* it was */
  uint32_t batch;            /* queries answered together */
  _Atomic uint32_t answered; /* queries */
  _Atomic bool failed;       /* some query has */
};

/* Where the caller wants what; info, rows and radius may be NULL. */
struct search_want {
  vecdb_hit *hits;
  uint32_t *counts;
  vecdb_search_info *info;
  vecdb_rows **rows;
  const float *radius;
};

static int search_check(const struct search_want *want, vecdb_error *err) {
  const vecdb_search_info *info = want->info;
  if (!want->hits || !want->counts)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL", want->hits ? "counts" : "hits");
  if (info && info->size != sizeof *info)
    return vdb_fail(err, VECDB_ERR_OPTION, "info.size is %u; this library knows %zu", info->size,
                    sizeof *info);
  if (want->radius && *want->radius != *want->radius)
    return vdb_fail(err, VECDB_ERR_NOT_FINITE, "radius is NaN");
  return VECDB_OK;
}

/* The answer of one query, to the caller's buffers. Where rows are wanted, id and row hold segment
   and row until search_rows. */
static void search_store(struct search_call *call, uint32_t q, const struct vdb_exec_worker *w) {
  const struct vdb_request *r = &call->request;
  vecdb_hit *out = call->hits + (size_t)q * r->k;
  for (size_t i = 0; i < w->n_hits; i++) {
    struct vdb_qhit hit = w->hits[i];
    out[i].score = vdb_score_of_key(hit.key, r->field->metric);
    out[i].id = call->rows ? (int64_t)hit.seg : vdb_qhit_id(r->snapshot, hit);
    out[i].row = call->rows ? hit.row : 0;
  }
  call->counts[q] = (uint32_t)w->n_hits;
}

static void search_one(void *arg, size_t q, unsigned worker) {
  struct search_call *call = arg;
  struct vdb_exec_worker *w = &call->workers[worker];
  struct vdb_request *r = &call->request;
  if (atomic_load_explicit(&call->failed, memory_order_relaxed))
    return;
  uint32_t done = atomic_fetch_add_explicit(&call->answered, 1, memory_order_relaxed);
  if (worker == 0 && r->controlled)
    vdb_control_progress(&r->control, "search", done, r->n_queries);
  w->rc = vdb_exec_query(r, call->plan, (uint32_t)q, w, &w->err);
  if (w->rc != VECDB_OK)
    atomic_store_explicit(&call->failed, true, memory_order_relaxed);
  else
    search_store(call, (uint32_t)q, w);
}

VDB_INTERNAL void vdb_search_info_add(vecdb_search_info *sum, const vecdb_search_info *one) {
  sum->segments += one->segments;
  sum->segments_exact += one->segments_exact;
  sum->segments_graph += one->segments_graph;
  sum->segments_late += one->segments_late;
  sum->segments_codes += one->segments_codes;
  sum->fallbacks += one->fallbacks;
  sum->rows += one->rows;
  sum->rows_allowed += one->rows_allowed;
  sum->distances += one->distances;
  sum->reads += one->reads;
  sum->segments_device += one->segments_device;
}

/* The queries from `first` on, with a worker each. */
static int search_together(struct search_call *call, uint32_t first, uint32_t n,
                           struct vdb_exec_worker *each, struct vdb_exec_worker *w) {
  for (uint32_t i = 0; i < n; i++)
    VDB_TRY(vdb_exec_init(&call->request, &each[i], &w->err));
  each[0].tells = w == call->workers;
  VDB_TRY(vdb_exec_batch(&call->request, call->plan, first, n, each, &w->err));
  for (uint32_t i = 0; i < n; i++) {
    search_store(call, first + i, &each[i]);
    vdb_search_info_add(&w->info, &each[i].info);
  }
  return VECDB_OK;
}

/* Queries b * call->batch and on; one by one where memory for all at once is short. */
static void search_batch(void *arg, size_t b, unsigned worker) {
  struct search_call *call = arg;
  struct vdb_request *r = &call->request;
  struct vdb_exec_worker *w = &call->workers[worker];
  uint32_t first = (uint32_t)b * call->batch;
  uint32_t n = vdb_min_u32(call->batch, r->n_queries - first);
  if (atomic_load_explicit(&call->failed, memory_order_relaxed))
    return;
  struct vdb_exec_worker *each = vdb_alloc_zero(r->mem, n * sizeof *each);
  atomic_fetch_add_explicit(&call->answered, n, memory_order_relaxed);
  w->rc = each ? search_together(call, first, n, each, w) : VECDB_ERR_NO_MEMORY;
  for (uint32_t i = 0; each && i < n; i++)
    vdb_exec_fini(r, &each[i]);
  vdb_free(r->mem, each);
  if (w->rc == VECDB_ERR_NO_MEMORY) {
    w->rc = VECDB_OK;
    atomic_fetch_sub_explicit(&call->answered, n, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++)
      search_one(call, first + i, worker);
  } else if (w->rc != VECDB_OK) {
    atomic_store_explicit(&call->failed, true, memory_order_relaxed);
  }
}

/* Copies the rows of all hits and puts the ids in their place. */
static int search_rows(struct search_call *call, vecdb_error *err) {
  const struct vdb_request *r = &call->request;
  uint32_t n = 0;
  for (uint32_t q = 0; q < r->n_queries; q++) {
    vecdb_hit *out = call->hits + (size_t)q * r->k;
    for (uint32_t i = 0; i < call->counts[q]; i++) {
      struct vdb_qhit hit = {0, (uint32_t)out[i].id, out[i].row};
      VDB_TRY(vdb_rows_add(call->rows, &r->snapshot->segs[hit.seg], hit.row, err));
      out[i].id = vdb_qhit_id(r->snapshot, hit);
      out[i].row = n++;
    }
  }
  return VECDB_OK;
}

/* Workers. */
static int search_begin(struct search_call *call, const struct vdb_par *par, const float *radius,
                        vecdb_error *err) {
  struct vdb_request *r = &call->request;
  call->workers = vdb_alloc_zero(r->mem, par->workers * sizeof *call->workers);
  if (!call->workers)
    return vdb_fail_memory(err);
  call->n_workers = par->workers;
  for (unsigned i = 0; i < call->n_workers; i++) {
    VDB_TRY(vdb_exec_init(r, &call->workers[i], err));
    call->workers[i].bounded = radius != NULL;
    call->workers[i].bound = radius ? vdb_score_of_key(*radius, r->field->metric) : 0;
  }
  return VECDB_OK;
}

/* Looks whether the result is in the cache: then it is that of the first worker. */
static void search_recall(struct search_call *call, const vecdb_search_params *params) {
  struct vdb_request *r = &call->request;
  struct vdb_exec_worker *w = &call->workers[0];
  struct vdb_cache *cache = r->snapshot->cache;
  if (!cache || w->bounded)
    return;
  if (!vdb_cache_key_make(r, params, &call->key, &call->id)) {
    vdb_writer_free(&call->key);
    return;
  }
  call->cached = vdb_cache_get(cache, &call->id, w->hits, w->k, &w->n_hits);
}

static int search_run(struct search_call *call, const struct vdb_par *par, vecdb_error *err) {
  struct vdb_request *r = &call->request;
  VDB_TRY(vdb_plan_make(r, false, &call->plan, err));
  VDB_TRY(vdb_plan_prepare(r, call->plan, par, err));
  atomic_init(&call->answered, 0);
  atomic_init(&call->failed, false);
  call->batch = call->workers[0].bounded ? 1 : vdb_exec_batch_size(r, call->plan);
  if (call->batch > 1)
    par->run(par, (r->n_queries + call->batch - 1) / call->batch, search_batch, call);
  else
    par->run(par, r->n_queries, search_one, call);
  for (unsigned i = 0; i < call->n_workers; i++) {
    const struct vdb_exec_worker *w = &call->workers[i];
    if (w->rc != VECDB_OK) {
      *err = w->err;
      return w->rc;
    }
  }
  return VECDB_OK;
}

static void search_fill_info(const struct search_call *call, bool partial, uint64_t start,
                             vecdb_search_info *info) {
  vecdb_search_info sum = VECDB_SEARCH_INFO_INIT;
  for (unsigned i = 0; i < call->n_workers; i++)
    vdb_search_info_add(&sum, &call->workers[i].info);
  sum.partial = partial;
  sum.cached = call->cached;
  sum.elapsed_ns = vdb_now_ns(call->request.snapshot->env) - start;
  *info = sum;
}

static void search_end(struct search_call *call) {
  struct vdb_request *r = &call->request;
  for (unsigned i = 0; i < call->n_workers; i++)
    vdb_exec_fini(r, &call->workers[i]);
  vdb_free(r->mem, call->workers);
  vdb_writer_free(&call->key);
  vdb_plan_free(r, call->plan);
  vdb_request_fini(r);
}

/* Everything behind the checks; call->request is made. */
static int search_do(struct search_call *call, const struct vdb_par *par,
                     const vecdb_search_params *params, const struct search_want *want,
                     vecdb_error *err) {
  struct vdb_request *r = &call->request;
  uint64_t start = want->info ? vdb_now_ns(r->snapshot->env) : 0;
  memset(call->counts, 0, r->n_queries * sizeof *call->counts);
  int rc = search_begin(call, par, want->radius, err);
  if (rc == VECDB_OK && want->rows)
    rc = vdb_rows_of(vdb_env_for(r->snapshot->env, VDB_FOR_RESULTS), r->snapshot->schema, &r->pick,
                     &call->rows, err);
  if (rc == VECDB_OK)
    search_recall(call, params);
  if (rc == VECDB_OK && call->cached)
    search_store(call, 0, &call->workers[0]);
  else if (rc == VECDB_OK)
    rc = search_run(call, par, err);
  bool partial = rc == VECDB_OK && !call->cached &&
                 (call->plan->partial || vdb_request_stopped(r) != 0);
  if (rc == VECDB_OK && call->key.n > 0 && !call->cached && !partial && call->batch == 1)
    vdb_cache_put(r->snapshot->cache, &call->id, call->workers[0].hits,
                  call->workers[0].n_hits);
  if (rc == VECDB_OK && call->rows)
    rc = search_rows(call, err);
  if (partial && (!want->info || vdb_request_stopped(r) == VECDB_ERR_CANCELLED))
    rc = vdb_control_fail(&r->control, err);
  if (rc == VECDB_OK && want->info)
    search_fill_info(call, partial, start, want->info);
  return rc;
}

/* Both calls: `radius` NULL is the search for the nearest. */
static int search_entry(const struct vdb_snapshot *snapshot, struct vdb_pool *pool,
                       const vecdb_search_params *params, const struct search_want *want,
                       vecdb_error *err) {
  if (want->rows)
    *want->rows = NULL;
  VDB_TRY(search_check(want, err));
  struct search_call call = {.hits = want->hits, .counts = want->counts};
  VDB_TRY(vdb_request_init(&call.request, snapshot, params,
                           want->radius ? VDB_REQUEST_RANGE : VDB_REQUEST_SEARCH, err));
  call.key = (struct vdb_writer)VDB_WRITER(call.request.mem);
  struct vdb_par par = vdb_par_serial();
  uint32_t threads = vdb_min_u32(call.request.threads, call.request.n_queries);
  if (pool && threads > 1)
    par = vdb_pool_par(pool, threads);
  int rc = search_do(&call, &par, params, want, err);
  search_end(&call);
  if (rc == VECDB_OK && want->rows)
    *want->rows = call.rows;
  else
    vecdb_rows_free(call.rows);
  return rc;
}

VDB_INTERNAL int vdb_query_search(const struct vdb_snapshot *snapshot, struct vdb_pool *pool,
                                  const vecdb_search_params *params, vecdb_hit *hits,
                                  uint32_t *counts, vecdb_search_info *info, vecdb_rows **rows,
                                  vecdb_error *err) {
  struct search_want want = {hits, counts, info, rows, NULL};
  return search_entry(snapshot, pool, params, &want, err);
}

VDB_INTERNAL int vdb_query_range(const struct vdb_snapshot *snapshot,
                                 const vecdb_search_params *params, float radius, vecdb_hit *hits,
                                 uint32_t *count, vecdb_search_info *info, vecdb_rows **rows,
                                 vecdb_error *err) {
  struct search_want want = {hits, count, info, rows, &radius};
  return search_entry(snapshot, NULL, params, &want, err);
}
