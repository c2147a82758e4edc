/*
 * iterator.c - walking outward from a query; see query.h. Each segment keeps the set of rows that
 * have not come yet and a list of its nearest ones, taken out of that set; a batch merges the
 * lists. A list that runs out is refilled with twice as many rows, so the work for the whole walk
 * stays within a small factor of the work for its end.
 */
#include "query/exec.h"
#include "query/query.h"

enum {
  ITER_LIST_FIRST = 64,
  ITER_LIST_MAX = 1 << 17,
  ITER_BATCH_MAX = VECDB_MAX_K,
  ITER_REACH_MAX = VECDB_MAX_K /* nearest rows asked of a graph; farther out rows are scanned */
};

struct iter_seg {
  struct vdb_allow_set *left;    /* rows that have been in no list yet; NULL: not computed */
  struct vdb_allow_set *allowed; /* with a graph: `left` as it was at first; NULL: all rows */
  struct vdb_near *list; /* nearest first */
  size_t capacity;
  size_t n;
  size_t head; /* the first that has not come */
  size_t want; /* length of the next list */
  size_t came; /* rows that have been in lists */
};

struct vecdb_iterator {
  struct vdb_snapshot *snapshot;
  struct vdb_request request;
  vecdb_control control; /* a copy, for each call */
  bool has_control;
  struct vdb_query_vec query;
  vecdb_sparse sparse;    /* the query of a sparse field; its pairs are at query.data */
  struct vdb_qhit *batch; /* found and not given out: room for ITER_BATCH_MAX at most */
  size_t batch_n;
  size_t batch_capacity;
  struct iter_seg segs[];
};

VDB_INTERNAL void vdb_iterator_free(struct vecdb_iterator *iterator) {
  if (!iterator)
    return;
  struct vdb_snapshot *snapshot = iterator->snapshot;
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  for (uint32_t i = 0; i < snapshot->n_segs; i++) {
    vdb_free(mem, iterator->segs[i].left);
    vdb_free(mem, iterator->segs[i].allowed);
    vdb_free(mem, iterator->segs[i].list);
  }
  vdb_free(mem, iterator->batch);
  vdb_free(mem, iterator->query.data);
  vdb_request_fini(&iterator->request);
  vdb_free(mem, iterator);
  vdb_snapshot_release(snapshot);
}

/* Copies the query; false: no memory. */
static bool iter_keep_query(struct vecdb_iterator *it) {
  const struct vdb_request *r = &it->request;
  if (r->sparse)
    it->sparse = vdb_request_sparse(r, 0);
  size_t bytes = r->sparse ? it->sparse.n * sizeof *it->sparse.pairs
                           : vdb_query_vec_bytes(r->elem, r->field->dim);
  it->query.data = vdb_alloc_wide(r->mem, bytes);
  if (!it->query.data)
    return false;
  if (!r->sparse) {
    vdb_query_vec_set(&it->query, r->queries, r->elem, r->field->dim, r->field->metric);
    return true;
  }
  if (bytes)
    memcpy(it->query.data, it->sparse.pairs, bytes);
  it->sparse.pairs = it->query.data;
  return true;
}

VDB_INTERNAL int vdb_iterator_new(struct vdb_snapshot *snapshot, const vecdb_search_params *params,
                                  struct vecdb_iterator **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vecdb_iterator *it =
      vdb_alloc_zero(mem, sizeof *it + (size_t)snapshot->n_segs * sizeof *it->segs);
  if (!it)
    return vdb_fail_memory(err);
  it->snapshot = snapshot;
  int rc = vdb_request_init(&it->request, snapshot, params, VDB_REQUEST_ITERATOR, err);
  if (rc != VECDB_OK) {
    vdb_free(mem, it);
    return rc;
  }
  struct vdb_request *r = &it->request;
  if (!iter_keep_query(it)) {
    vdb_request_fini(r);
    vdb_free(mem, it);
    return vdb_fail_memory(err);
  }
  r->queries = NULL; /* the caller's from here on */
  it->has_control = params->control != NULL;
  if (it->has_control)
    it->control = *params->control;
  *out = it;
  return VECDB_OK;
}

/* Whether to find the next rows by the graph, as the nearest of all allowed rows, those that have
   come among them: a walk that keeps away from rows that have come would lose its way. */
static bool iter_by_graph(const struct vecdb_iterator *it, const struct vdb_seg_view *view,
                          const struct iter_seg *seg, size_t want) {
  const struct vdb_request *r = &it->request;
  size_t reach = seg->came + want;
  const struct vdb_seg_index *index = vdb_plan_index(r, view);
  if (r->plan == VECDB_PLAN_EXACT || !index || reach > ITER_REACH_MAX)
    return false;
  if (r->plan != VECDB_PLAN_AUTO)
    return true;
  uint32_t effort = vdb_plan_effort(r, index, (uint32_t)reach);
  if (effort == 0)
    return false;
  struct vdb_cost_case c = vdb_plan_cost_case(r, view, index, effort);
  c.allowed = (double)seg->came + seg->left->n;
  double exact = vdb_cost_plain(&c).exact;
  double graph = vdb_cost_plain(&c).graph;
  if (seg->allowed) {
    c.by_index = true; /* the set is there */
    struct vdb_cost cost = vdb_cost_filtered(&c);
    exact = cost.exact - cost.bitmap;
    graph = cost.graph - cost.bitmap;
  }
  return graph < exact && vdb_cost_graph_finds(&c);
}

/* The rows left among the nearest came + want, into the list; fewer than `want` or none where the
   graph does not find the same rows again. */
static int iter_graph(struct vecdb_iterator *it, const struct vdb_seg_view *view,
                      struct iter_seg *seg, size_t want, vecdb_error *err) {
  struct vdb_request *r = &it->request;
  size_t reach = seg->came + want;
  if (!VDB_GROW(r->mem, seg->list, seg->capacity, reach))
    return vdb_fail_memory(err);
  const struct vdb_seg_index *index = vdb_plan_index(r, view);
  struct vdb_search s = {.mem = r->mem, .query = &it->query, .beam = r->beam};
  s.top.items = seg->list;
  s.top.k = reach;
  s.effort = vdb_plan_effort(r, index, (uint32_t)reach);
  s.allow = seg->allowed ? seg->allowed->bits : NULL;
  s.stop = r->controlled ? vdb_control_stop : NULL;
  s.stop_arg = vdb_request_control(r);
  VDB_TRY(index->index->ops->search(index->index, &s, err));
  for (size_t i = 0; i < s.top.n; i++)
    if (vdb_bit_get(seg->left->bits, seg->list[i].row))
      seg->list[seg->n++] = seg->list[i];
  return VECDB_OK;
}

/* Finds some of the rows left of a segment, `want` if there are so many, into its empty list. */
static int iter_find(struct vecdb_iterator *it, const struct vdb_seg_view *view,
                     struct iter_seg *seg, size_t want, vecdb_error *err) {
  struct vdb_request *r = &it->request;
  if (iter_by_graph(it, view, seg, want))
    VDB_TRY(iter_graph(it, view, seg, want, err));
  if (seg->n == 0 && vdb_request_stopped(r) == 0) {
    struct vdb_search s = {.mem = r->mem, .query = &it->query};
    s.sparse = r->sparse ? &it->sparse : NULL;
    s.top.items = seg->list;
    s.top.k = want;
    VDB_TRY(vdb_exec_scan(r, view, seg->left->bits, &s, err));
    seg->n = s.top.n;
    if (seg->n < want && vdb_request_stopped(r) == 0)
      seg->left->n = (uint32_t)seg->n; /* the others are damaged, or share no index */
  }
  if (vdb_request_stopped(r) == 0)
    return VECDB_OK;
  seg->n = 0;
  return vdb_control_fail(&r->control, err);
}

/* The sets of a segment, before its first list. */
static int iter_begin(struct vecdb_iterator *it, const struct vdb_seg_view *view,
                      struct iter_seg *seg, vecdb_error *err) {
  struct vdb_request *r = &it->request;
  struct vdb_allow allow = {r->mem, r->filter, it->snapshot->seq, vdb_request_control(r)};
  VDB_TRY(vdb_allow_make(&allow, view, &seg->left, err));
  seg->want = ITER_LIST_FIRST;
  if (seg->left->n == view->n || !vdb_plan_index(r, view))
    return VECDB_OK;
  size_t bytes = sizeof *seg->left + vdb_bits_words(view->n) * sizeof *seg->left->bits;
  seg->allowed = vdb_alloc(r->mem, bytes);
  if (!seg->allowed) {
    vdb_free(r->mem, seg->left);
    seg->left = NULL;
    return vdb_fail_memory(err);
  }
  memcpy(seg->allowed, seg->left, bytes);
  return VECDB_OK;
}

/* Makes sure that the list of a segment has rows unless all of them have come. */
static int iter_refill(struct vecdb_iterator *it, const struct vdb_seg_view *view,
                       struct iter_seg *seg, size_t least, vecdb_error *err) {
  if (seg->head < seg->n || view->n == 0)
    return VECDB_OK;
  if (!seg->left)
    VDB_TRY(iter_begin(it, view, seg, err));
  size_t want = vdb_min_size(vdb_max_size(seg->want, least), seg->left->n);
  seg->head = seg->n = 0;
  if (want == 0)
    return VECDB_OK;
  if (!VDB_GROW(it->request.mem, seg->list, seg->capacity, want))
    return vdb_fail_memory(err);
  VDB_TRY(iter_find(it, view, seg, want, err));
  for (size_t i = 0; i < seg->n; i++)
    vdb_bit_clear(seg->left->bits, seg->list[i].row);
  seg->left->n -= (uint32_t)seg->n;
  seg->came += seg->n;
  seg->want = vdb_min_size(want * 2, ITER_LIST_MAX);
  return VECDB_OK;
}

/* Moves hits to the batch until it holds `n` or none is left. What is found stays when a refill
   fails, for the next call. */
static int iter_fill(struct vecdb_iterator *it, size_t n, vecdb_error *err) {
  const struct vdb_snapshot *snapshot = it->snapshot;
  if (!VDB_GROW(it->request.mem, it->batch, it->batch_capacity, n))
    return vdb_fail_memory(err);
  while (it->batch_n < n) {
    struct vdb_qhit best = {0, UINT32_MAX, 0};
    for (uint32_t i = 0; i < snapshot->n_segs; i++) {
      struct iter_seg *seg = &it->segs[i];
      VDB_TRY(iter_refill(it, &snapshot->segs[i], seg, n - it->batch_n, err));
      if (seg->head == seg->n)
        continue;
      struct vdb_qhit hit = {seg->list[seg->head].key, i, seg->list[seg->head].row};
      if (best.seg == UINT32_MAX || vdb_qhit_before(snapshot, hit, best))
        best = hit;
    }
    if (best.seg == UINT32_MAX)
      break;
    it->segs[best.seg].head++;
    it->batch[it->batch_n++] = best;
  }
  vdb_qhits_sort(snapshot, it->batch, it->batch_n);
  return VECDB_OK;
}

/* The first n of the batch as rows. */
static int iter_rows(const struct vecdb_iterator *it, size_t n, vecdb_rows **out,
                     vecdb_error *err) {
  VDB_TRY(vdb_rows_of(vdb_env_for(it->snapshot->env, VDB_FOR_RESULTS), it->snapshot->schema,
                      &it->request.pick, out, err));
  for (size_t i = 0; i < n; i++) {
    int rc = vdb_rows_add(*out, &it->snapshot->segs[it->batch[i].seg], it->batch[i].row, err);
    if (rc != VECDB_OK) {
      vecdb_rows_free(*out);
      *out = NULL;
      return rc;
    }
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_iterator_step(struct vecdb_iterator *iterator, uint32_t capacity,
                                   vecdb_hit *hits, uint32_t *count, vecdb_rows **rows,
                                   vecdb_error *err) {
  struct vecdb_iterator *it = iterator;
  if (rows)
    *rows = NULL;
  if (!hits || !count)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "%s is NULL", hits ? "count" : "hits");
  *count = 0;
  if (capacity == 0)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "capacity is 0");
  struct vdb_request *r = &it->request;
  vdb_control_init(&r->control, it->snapshot->env, it->has_control ? &it->control : NULL);
  size_t n = vdb_min_size(capacity, ITER_BATCH_MAX);
  VDB_TRY(iter_fill(it, n, err));
  n = vdb_min_size(n, it->batch_n);
  if (rows)
    VDB_TRY(iter_rows(it, n, rows, err));
  for (size_t i = 0; i < n; i++) {
    hits[i].id = vdb_qhit_id(it->snapshot, it->batch[i]);
    hits[i].score = vdb_score_of_key(it->batch[i].key, r->field->metric);
    hits[i].row = rows ? (uint32_t)i : 0;
  }
  *count = (uint32_t)n;
  it->batch_n -= n;
  memmove(it->batch, it->batch + n, it->batch_n * sizeof *it->batch);
  return VECDB_OK;
}
