/*
 * exec.c - one query over all segments; see exec.h. Whatever the plan of a segment, it gives the
 * nearest k allowed rows or all of them: a graph search that brings fewer is widened and then
 * repeated as an exact scan.
 */
#include "query/exec.h"

#include "base/check.h"

enum {
  EXEC_MAX_EFFORT = 16384,
  EXEC_WIDEN = 4, /* each further attempt of a late filter is that much wider */
  /* A walk among restricted rows is given up when it takes so many times longer than expected:
     allowed rows are then far from the query, and a scan of them is cheaper than a walk through the
     others. Counted in looks at `stop`, which come every few hundred distances. */
  EXEC_PATIENCE = 8,
  EXEC_PATIENCE_LEAST = 16,
  EXEC_LOOK = 256
};

/* What a row must pass to be found, where there is no set of allowed rows; and what may end a
   search early. */
struct exec_gate {
  const struct vdb_seg_view *view;
  const struct vdb_filter *filter;
  const struct vdb_column *columns; /* with a filter: of the whole segment */
  struct vdb_request *request;
  uint64_t seq;
  uint64_t looks;    /* at `stop` */
  uint64_t patience; /* looks after which the search is given up */
};

VDB_INTERNAL int vdb_exec_init(const struct vdb_request *request, struct vdb_exec_worker *worker,
                               vecdb_error *err) {
  memset(worker, 0, sizeof *worker);
  uint64_t rows = 0;
  for (uint32_t i = 0; i < request->snapshot->n_segs; i++)
    rows += request->snapshot->segs[i].n;
  worker->k = rows < request->k ? (size_t)rows : request->k;
  struct vdb_mem *mem = request->mem;
  worker->query.data = vdb_alloc_wide(mem, vdb_query_vec_bytes(request->elem, request->field->dim));
  worker->near = vdb_alloc_array(mem, worker->k, sizeof *worker->near);
  worker->found = vdb_alloc_array(mem, worker->k, sizeof *worker->found);
  worker->hits = vdb_alloc_array(mem, worker->k, sizeof *worker->hits);
  worker->merged = vdb_alloc_array(mem, worker->k, sizeof *worker->merged);
  if (!worker->query.data || !worker->near || !worker->found || !worker->hits || !worker->merged)
    return vdb_fail_memory(err);
  return VECDB_OK;
}

VDB_INTERNAL void vdb_exec_fini(const struct vdb_request *request, struct vdb_exec_worker *worker) {
  vdb_free(request->mem, worker->query.data);
  vdb_free(request->mem, worker->near);
  vdb_free(request->mem, worker->found);
  vdb_free(request->mem, worker->hits);
  vdb_free(request->mem, worker->merged);
}

static bool exec_gate_pass(void *arg, uint32_t row) {
  struct exec_gate *g = arg;
  return !vdb_seg_row_dead(g->view, row, g->seq) &&
         (!g->filter || vdb_filter_row(g->filter, g->columns, row));
}

static bool exec_gate_stop(void *arg) {
  struct exec_gate *g = arg;
  return ++g->looks > g->patience || vdb_request_stopped(g->request) != 0;
}

VDB_INTERNAL void vdb_exec_scan(struct vdb_request *request, const struct vdb_seg_view *view,
                                const uint64_t *bits, struct vdb_search *s) {
  struct exec_gate gate = {.view = view, .request = request, .seq = request->snapshot->seq};
  if (!bits && vdb_seg_has_dead(view)) {
    s->accept = exec_gate_pass;
    s->accept_arg = &gate;
  }
  s->stop = request->controlled ? vdb_control_stop : NULL;
  s->stop_arg = vdb_request_control(request);
  uint32_t n_parts = vdb_seg_parts(view);
  for (uint32_t i = 0; i < n_parts && vdb_request_stopped(request) == 0; i++) {
    struct vdb_seg_part part = vdb_seg_part(view, i);
    struct vdb_vecs vecs = part.vecs[request->field_no];
    vecs.n = part.n;
    s->allow = bits ? bits + part.first / 64 : NULL;
    vdb_flat_scan(&vecs, part.first, s);
  }
  vdb_topk_sort(&s->top);
}

/* A search of one segment that has found nothing yet. */
static struct vdb_search exec_search(const struct vdb_request *r, const struct vdb_exec_worker *w,
                                     const struct vdb_plan_seg *p) {
  struct vdb_search s = {.mem = r->mem, .query = &w->query, .effort = p->effort};
  s.top.items = w->near;
  s.top.k = vdb_min_size(w->k, p->view->n);
  if (!w->bounded)
    return s;
  /* Rows that nothing has stand at the bound, and only nearer ones, or as near, push them out. */
  for (s.top.n = 0; s.top.n < s.top.k; s.top.n++)
    s.top.items[s.top.n] = (struct vdb_near){w->bound, UINT32_MAX};
  return s;
}

static int exec_exact(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      size_t *n, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  if (p->bitmap)
    VDB_TRY(vdb_plan_allow(r, p, &set, err));
  struct vdb_search s = exec_search(r, w, p);
  vdb_exec_scan(r, p->view, set ? set->bits : NULL, &s);
  w->info.distances += s.distances;
  for (*n = s.top.n; w->bounded && *n > 0 && w->near[*n - 1].row == UINT32_MAX;)
    --*n;
  return VECDB_OK;
}

/* How long a walk may take. */
static uint64_t exec_patience(const struct vdb_request *r, const struct vdb_plan_seg *p) {
  if (p->reason != VDB_PLAN_CHEAPEST || !vdb_plan_restricted(r, p))
    return UINT64_MAX;
  return (uint64_t)(EXEC_PATIENCE * p->cost.walked / EXEC_LOOK) + EXEC_PATIENCE_LEAST;
}

/* A graph search; *n are found. */
static int exec_graph(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      size_t *n, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  if (p->bitmap)
    VDB_TRY(vdb_plan_allow(r, p, &set, err));
  struct exec_gate gate = {.view = p->view, .request = r, .seq = r->snapshot->seq};
  gate.patience = exec_patience(r, p);
  bool gated = !set && vdb_plan_restricted(r, p);
  if (gated && r->filter) {
    gate.filter = r->filter;
    gate.columns = vdb_seg_part(p->view, 0).columns;
  }
  size_t wanted = vdb_min_size(w->k, set ? set->n : p->view->n);
  if (wanted == 0)
    return VECDB_OK;
  uint64_t distances = 0;
  for (uint32_t effort = p->effort;; effort *= EXEC_WIDEN) {
    struct vdb_search s = exec_search(r, w, p);
    s.effort = effort;
    s.allow = set ? set->bits : NULL;
    s.accept = gated ? exec_gate_pass : NULL;
    s.accept_arg = gated ? &gate : NULL;
    s.stop = r->controlled || gate.patience != UINT64_MAX ? exec_gate_stop : NULL;
    s.stop_arg = &gate;
    VDB_TRY(p->index->index->ops->search(p->index->index, &s, err));
    distances += s.distances;
    *n = s.top.n;
    bool futile = gate.looks > gate.patience || distances * 2 > p->view->n;
    if (*n >= wanted || !gated || futile || effort > EXEC_MAX_EFFORT / EXEC_WIDEN ||
        vdb_request_stopped(r) != 0)
      break;
  }
  w->info.distances += distances;
  bool given_up = gate.looks > gate.patience;
  if ((*n >= wanted && !given_up) || vdb_request_stopped(r) != 0)
    return VECDB_OK;
  VDB_TRY(vdb_plan_allow(r, p, &set, err));
  if (*n >= vdb_min_size(w->k, set->n) && !given_up)
    return VECDB_OK;
  w->info.fallbacks++;
  struct vdb_search s = exec_search(r, w, p);
  vdb_exec_scan(r, p->view, set->bits, &s);
  w->info.distances += s.distances;
  *n = s.top.n;
  return VECDB_OK;
}

static void exec_count(struct vdb_exec_worker *w, const struct vdb_plan_seg *p) {
  w->info.segments++;
  w->info.segments_exact += p->plan == VECDB_PLAN_EXACT;
  w->info.segments_graph += p->plan == VECDB_PLAN_GRAPH;
  w->info.segments_late += p->plan == VECDB_PLAN_FILTER_LATE;
  w->info.rows += p->view->n;
  w->info.rows_allowed += p->allowed;
}

static int exec_seg(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                    vecdb_error *err) {
  size_t n = 0;
  exec_count(w, p);
  bool exact = p->plan == VECDB_PLAN_EXACT;
  int rc = exact ? exec_exact(r, w, p, &n, err) : exec_graph(r, w, p, &n, err);
  if (rc != VECDB_OK && rc != VECDB_ERR_TIMEOUT)
    return rc;
  const struct vdb_snapshot *snapshot = r->snapshot;
  uint32_t seg = (uint32_t)(p->view - snapshot->segs);
  struct vdb_qhit *into = w->n_hits ? w->found : w->hits;
  vdb_qhits_of(snapshot, seg, w->near, n, into);
  if (w->n_hits == 0) {
    w->n_hits = n;
    return VECDB_OK;
  }
  struct vdb_qhit_list so_far = {w->hits, w->n_hits}, more = {w->found, n};
  w->n_hits = vdb_qhits_merge(snapshot, so_far, more, w->k, w->merged);
  struct vdb_qhit *swap = w->hits;
  w->hits = w->merged;
  w->merged = swap;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_exec_query(struct vdb_request *request, struct vdb_plan *plan, uint32_t q,
                                struct vdb_exec_worker *worker, vecdb_error *err) {
  worker->n_hits = 0;
  vdb_query_vec_set(&worker->query, request->queries + q * request->stride, request->elem,
                    request->field->dim, request->field->metric);
  for (uint32_t i = 0; i < plan->n_segs; i++) {
    if (vdb_request_stopped(request) != 0)
      break;
    if (!plan->segs[i].skipped)
      VDB_TRY(exec_seg(request, worker, &plan->segs[i], err));
  }
  if (vdb_request_stopped(request) == VECDB_ERR_CANCELLED)
    return vdb_control_fail(&request->control, err);
  return VECDB_OK;
}
