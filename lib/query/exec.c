/*
 * exec.c - one query over all segments; see exec.h. Whatever the plan of a segment, it gives the
 * nearest k allowed rows or all of them: a graph search that brings fewer is widened and then
 * repeated as an exact scan.
 */
#include "query/exec.h"

#include "base/check.h"
#include "index/curve.h"
#include "query/exec_device.h"

enum {
  EXEC_MAX_EFFORT = 16384,
  EXEC_WIDEN = 4, /* each further attempt of a late filter is that much wider */
  /* A walk among restricted rows is given up when it takes so many times longer than expected, or
     has met so many times fewer allowed rows. Counted in looks at `stop`, which come every few
     hundred distances. */
  EXEC_PATIENCE = 8,
  EXEC_PATIENCE_LEAST = 4,
  EXEC_STARVED = 4,
  EXEC_STARVED_LEAST = 2,
  EXEC_LOOK = 256,
  /* A walk may take so many times longer than a scan, by the share of allowed rows near the query:
     that is known roughly. */
  EXEC_ASTRAY_GAIN = 3,
  /* A walk before a scan is judged after so many looks, must be so many times cheaper, and may take
     so many times longer than expected. */
  EXEC_PROBE_LOOKS = 1,
  EXEC_PROBE_GAIN = 2,
  EXEC_PROBE_SLACK = 3,
  /* A scan of codes scores so many again at most: for each of k, besides, and one in so many. */
  EXEC_AGAIN_PER = 8,
  EXEC_AGAIN = 48,
  EXEC_AGAIN_SHARE = 64,
  /* Queries that are answered together: fewer are not worth it, more do not gain; their lists shall
     not take much memory. */
  EXEC_BATCH_LEAST = 4,
  EXEC_BATCH_MOST = 256,
  EXEC_BATCH_MAX_K = 1024,
  EXEC_BATCH_ROWS_PER_K = 16 /* a segment must have: its first rows are scored twice */
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
  uint64_t passed;   /* rows that entered the result */
  uint64_t patience; /* looks after which the search is given up */
  double share;      /* of allowed rows; 0: a walk cannot starve */
  const struct vdb_search *search; /* NULL: not known */
  double enough;     /* rows in the result, with which no walk starves */
  bool given_up;
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
  bool pass = !vdb_seg_row_dead(g->view, row, g->seq) &&
              (!g->filter || vdb_filter_row(g->filter, g->columns, row));
  g->passed += pass;
  return pass;
}

/* Where a set decides, rows are only counted. */
static bool exec_gate_count(void *arg, uint32_t row) {
  (void)row;
  ((struct exec_gate *)arg)->passed++;
  return true;
}

/* A walk starves when it meets far fewer allowed rows than there are: these are then elsewhere, and
   a scan of them is cheaper than a walk through the others. */
static bool exec_gate_starves(const struct exec_gate *g) {
  double met = g->share * EXEC_LOOK * (double)g->looks;
  double enough = met < g->enough ? met : g->enough;
  return g->looks >= EXEC_STARVED_LEAST && (double)g->passed * EXEC_STARVED < enough;
}

static bool exec_gate_stop(void *arg) {
  struct exec_gate *g = arg;
  g->looks++;
  bool asked = !g->search || !g->search->plain;
  g->given_up = g->given_up || g->looks > g->patience || (asked && exec_gate_starves(g));
  return g->given_up || vdb_request_stopped(g->request) != 0;
}

static int exec_scan_part(const struct vdb_request *r, const struct vdb_seg_part *part,
                          struct vdb_search *s, vecdb_error *err) {
  if (!r->sparse) {
    struct vdb_vecs vecs = part->vecs[r->field_no];
    vecs.n = part->n;
    vdb_flat_scan(&vecs, part->first, s);
    return VECDB_OK;
  }
  const struct vdb_column *column = &part->columns[r->field_no];
  if (part->inverted)
    return vdb_inverted_search(&part->inverted[r->field_no], column, s, err);
  vdb_sparse_scan(column, part->n, part->first, s);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_exec_scan(struct vdb_request *request, const struct vdb_seg_view *view,
                               const uint64_t *bits, struct vdb_search *s, vecdb_error *err) {
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
    s->allow = bits ? bits + part.first / 64 : NULL;
    VDB_TRY(exec_scan_part(request, &part, s, err));
  }
  vdb_topk_sort(&s->top);
  return VECDB_OK;
}

/* A search of one segment that has found nothing yet. */
static struct vdb_search exec_search(const struct vdb_request *r, const struct vdb_exec_worker *w,
                                     const struct vdb_plan_seg *p) {
  struct vdb_search s = {.mem = r->mem, .query = &w->query, .effort = p->effort, .beam = r->beam};
  s.sparse = r->sparse ? &w->sparse : NULL;
  s.top.items = w->near;
  s.top.k = vdb_min_size(w->k, p->view->n);
  if (!w->bounded)
    return s;
  /* Rows that nothing has stand at the bound, and only nearer ones, or as near, push them out. */
  for (s.top.n = 0; s.top.n < s.top.k; s.top.n++)
    s.top.items[s.top.n] = (struct vdb_near){w->bound, UINT32_MAX};
  return s;
}

static void exec_tally(struct vdb_exec_worker *w, const struct vdb_search *s) {
  w->info.distances += s->distances;
  w->info.reads += s->reads;
}

/* Searches a segment on the device. */
static bool exec_on_device(struct vdb_request *r, const struct vdb_plan_seg *p,
                           const struct vdb_allow_set *set, struct vdb_search *s, uint32_t n) {
  struct exec_gate gate = {.view = p->view, .request = r, .seq = r->snapshot->seq};
  bool gated = !set && vdb_seg_has_dead(p->view);
  for (uint32_t i = 0; i < n; i++) {
    s[i].accept = gated ? exec_gate_pass : NULL;
    s[i].accept_arg = &gate;
    s[i].stop = r->controlled ? vdb_control_stop : NULL;
    s[i].stop_arg = vdb_request_control(r);
  }
  bool done = vdb_exec_device(r, p, set, s, n);
  for (uint32_t i = 0; i < n; i++)
    s[i].accept = NULL;
  return done;
}

static int exec_exact(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      size_t *n, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  if (p->bitmap)
    VDB_TRY(vdb_plan_allow(r, p, &set, err));
  struct vdb_search s = exec_search(r, w, p);
  if (!w->bounded && vdb_exec_device_wants(r, p, 1) && exec_on_device(r, p, set, &s, 1)) {
    vdb_topk_sort(&s.top);
    w->info.segments_device++;
  } else {
    VDB_TRY(vdb_exec_scan(r, p->view, set ? set->bits : NULL, &s, err));
  }
  exec_tally(w, &s);
  for (*n = s.top.n; w->bounded && *n > 0 && w->near[*n - 1].row == UINT32_MAX;)
    --*n;
  return VECDB_OK;
}

/* Scans the allowed rows: by codes where the index has some, else exactly. */
static int exec_scan_set(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                         const struct vdb_allow_set *set, size_t *n, vecdb_error *err) {
  struct exec_gate gate = {.view = p->view, .request = r, .patience = UINT64_MAX};
  struct vdb_search s = exec_search(r, w, p);
  if (p->codes) {
    size_t again = EXEC_AGAIN_PER * s.top.k + EXEC_AGAIN + set->n / EXEC_AGAIN_SHARE;
    s.effort = (uint32_t)vdb_min_size(again, set->n);
    s.allow = set->bits;
    s.stop = r->controlled ? exec_gate_stop : NULL;
    s.stop_arg = &gate;
    VDB_TRY(p->index->index->ops->scan(p->index->index, &s, err));
    exec_tally(w, &s);
    *n = s.top.n;
    if (*n >= vdb_min_size(s.top.k, set->n) || vdb_request_stopped(r) != 0)
      return VECDB_OK;
    s = exec_search(r, w, p); /* damaged codes have no order */
  }
  VDB_TRY(vdb_exec_scan(r, p->view, set->bits, &s, err));
  exec_tally(w, &s);
  *n = s.top.n;
  return VECDB_OK;
}

/* Of a walk through all rows, which takes those of a set. */
struct exec_probe {
  struct vdb_request *request;
  const struct vdb_allow_set *set;
  const struct vdb_plan_seg *p;
  uint64_t tested;
  uint64_t passed;
  double looks;
  double patience; /* looks after which it is given up; 0: not judged yet */
  bool given_up;
};

static bool exec_probe_pass(void *arg, uint32_t row) {
  struct exec_probe *g = arg;
  bool pass = vdb_bit_get(g->set->bits, row);
  g->tested++;
  g->passed += pass;
  return pass;
}

/* The first rows tell how many are allowed where the query is, and with it how long the walk would
   take: it goes on if that is less than the scan. */
static bool exec_probe_stop(void *arg) {
  struct exec_probe *g = arg;
  const struct vdb_cost *cost = &g->p->cost;
  g->looks++;
  if (g->patience == 0 && g->looks >= EXEC_PROBE_LOOKS) {
    double scan = (cost->codes - cost->bitmap) / g->request->n_queries;
    double share = ((double)g->passed + 1) / ((double)g->tested + 1);
    double walk = cost->plain * vdb_cost_wider(share);
    g->patience = EXEC_PROBE_SLACK * walk / cost->row / EXEC_LOOK + 1;
    g->given_up = walk * EXEC_PROBE_GAIN > scan;
  }
  g->given_up = g->given_up || (g->patience > 0 && g->looks > g->patience);
  return g->given_up || vdb_request_stopped(g->request) != 0;
}

/* *n are found; *done: they will do, else a scan is to be preferred. */
static int exec_probe(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      const struct vdb_allow_set *set, size_t *n, bool *done, vecdb_error *err) {
  struct exec_probe probe = {.request = r, .set = set, .p = p};
  struct vdb_search s = exec_search(r, w, p);
  s.accept = exec_probe_pass;
  s.stop = exec_probe_stop;
  s.accept_arg = s.stop_arg = &probe;
  VDB_TRY(p->index->index->ops->search(p->index->index, &s, err));
  exec_tally(w, &s);
  *n = s.top.n;
  *done = (!probe.given_up && *n >= vdb_min_size(s.top.k, set->n)) || vdb_request_stopped(r) != 0;
  return VECDB_OK;
}

static int exec_codes(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      size_t *n, vecdb_error *err) {
  const struct vdb_allow_set *set;
  bool done = false;
  VDB_TRY(vdb_plan_allow(r, p, &set, err));
  if (p->probe)
    VDB_TRY(exec_probe(r, w, p, set, n, &done, err));
  return done ? VECDB_OK : exec_scan_set(r, w, p, set, n, err);
}

/* How long a walk may take, and how few allowed rows it may meet. Under AUTO, where the walk can be
   given up for a scan: not longer than the scan would have taken, or than a walk that is some times
   longer than expected. */
static void exec_bound(const struct vdb_request *r, const struct vdb_plan_seg *p,
                       struct exec_gate *gate) {
  gate->patience = UINT64_MAX;
  if (p->reason != VDB_PLAN_CHEAPEST || !vdb_plan_restricted(r, p))
    return;
  double scan = p->codes ? p->cost.codes : p->cost.exact;
  double rows = EXEC_PATIENCE * p->cost.walked;
  double most = (scan - p->cost.bitmap) / r->n_queries / p->cost.row;
  gate->patience = (uint64_t)((rows < most ? rows : most) / EXEC_LOOK) + EXEC_PATIENCE_LEAST;
  gate->share = r->filter ? (double)p->allowed / p->view->n : 0;
  gate->enough = p->effort;
}

/* Under AUTO: the share of allowed rows near the query below which a walk would take so long that
   scanning all of them is the better plan. */
static float exec_least_share(const struct vdb_request *r, const struct vdb_plan_seg *p) {
  if (p->reason != VDB_PLAN_CHEAPEST || !r->filter)
    return 0;
  double scan = ((p->codes ? p->cost.codes : p->cost.exact) - p->cost.bitmap) / r->n_queries;
  return (float)vdb_cost_share(EXEC_ASTRAY_GAIN * scan / p->cost.plain);
}

/* Where a walk may begin, if that is known. */
struct exec_from {
  uint32_t at;
  uint32_t n; /* 0 or 1 */
};

/* First a walk without a set of allowed rows, which takes time to compute; *n are found. Not *done:
   these are too few around the query, and the plan is settled by the size of the set. */
static int exec_probe_late(struct vdb_request *r, struct vdb_exec_worker *w,
                           struct vdb_plan_seg *p, struct exec_from *from, size_t *n, bool *done,
                           vecdb_error *err) {
  struct exec_gate gate = {.view = p->view, .request = r, .seq = r->snapshot->seq};
  gate.filter = r->filter;
  gate.columns = vdb_seg_part(p->view, 0).columns;
  gate.patience = (uint64_t)(p->cost.graph / p->cost.row / EXEC_LOOK) + 1;
  struct vdb_search s = exec_search(r, w, p);
  s.stretch = vdb_curve_stretch(&p->index->curve, s.top.k, s.effort);
  s.least_share = (float)vdb_cost_share(p->cost.graph / p->cost.plain / EXEC_PROBE_GAIN);
  s.accept = exec_gate_pass;
  s.stop = exec_gate_stop;
  s.accept_arg = s.stop_arg = &gate;
  VDB_TRY(p->index->index->ops->search(p->index->index, &s, err));
  exec_tally(w, &s);
  from->at = s.astray_at;
  from->n = s.astray;
  *n = s.top.n;
  *done = (!s.astray && !gate.given_up && *n == s.top.k) || vdb_request_stopped(r) != 0;
  if (*done)
    return VECDB_OK;
  VDB_TRY(vdb_plan_settle(r, p, err));
  p->probe = false; /* there was one */
  return VECDB_OK;
}

/* A graph search; *n are found. */
static int exec_graph(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                      struct exec_from from, size_t *n, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  if (p->bitmap)
    VDB_TRY(vdb_plan_allow(r, p, &set, err));
  struct exec_gate gate = {.view = p->view, .request = r, .seq = r->snapshot->seq};
  exec_bound(r, p, &gate);
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
    s.stretch = vdb_curve_stretch(&p->index->curve, s.top.k, effort);
    s.allow = set ? set->bits : NULL;
    s.starts = &from.at;
    s.n_starts = from.n;
    s.least_share = exec_least_share(r, p);
    s.accept = gated ? exec_gate_pass : gate.share > 0 ? exec_gate_count : NULL;
    s.accept_arg = &gate;
    s.stop = r->controlled || gate.patience != UINT64_MAX ? exec_gate_stop : NULL;
    s.stop_arg = &gate;
    gate.search = &s;
    VDB_TRY(p->index->index->ops->search(p->index->index, &s, err));
    distances += s.distances;
    w->info.reads += s.reads;
    *n = s.top.n;
    gate.given_up = gate.given_up || s.astray;
    bool futile = gate.given_up || distances * 2 > p->view->n;
    if (*n >= wanted || !gated || futile || effort > EXEC_MAX_EFFORT / EXEC_WIDEN ||
        vdb_request_stopped(r) != 0)
      break;
  }
  w->info.distances += distances;
  if ((*n >= wanted && !gate.given_up) || vdb_request_stopped(r) != 0)
    return VECDB_OK;
  VDB_TRY(vdb_plan_allow(r, p, &set, err));
  if (*n >= vdb_min_size(w->k, set->n) && !gate.given_up)
    return VECDB_OK;
  w->info.fallbacks++;
  return exec_scan_set(r, w, p, set, n, err);
}

static void exec_count(struct vdb_exec_worker *w, const struct vdb_plan_seg *p, int32_t plan) {
  w->info.segments++;
  w->info.segments_exact += plan == VECDB_PLAN_EXACT;
  w->info.segments_graph += plan == VECDB_PLAN_GRAPH;
  w->info.segments_late += plan == VECDB_PLAN_FILTER_LATE;
  w->info.segments_codes += plan == VECDB_PLAN_CODES;
  w->info.rows += p->view->n;
  w->info.rows_allowed += p->allowed;
}

/* Merges the n rows in w->near, found in a segment, with the hits so far. */
static void exec_merge(const struct vdb_request *r, struct vdb_exec_worker *w,
                       const struct vdb_plan_seg *p, size_t n) {
  const struct vdb_snapshot *snapshot = r->snapshot;
  uint32_t seg = (uint32_t)(p->view - snapshot->segs);
  struct vdb_qhit *into = w->n_hits ? w->found : w->hits;
  vdb_qhits_of(snapshot, seg, w->near, n, into);
  if (w->n_hits == 0) {
    w->n_hits = n;
    return;
  }
  struct vdb_qhit_list so_far = {w->hits, w->n_hits}, more = {w->found, n};
  w->n_hits = vdb_qhits_merge(snapshot, so_far, more, w->k, w->merged);
  struct vdb_qhit *swap = w->hits;
  w->hits = w->merged;
  w->merged = swap;
}

/* By the plan; *n are found. */
static int exec_planned(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                        size_t *n, vecdb_error *err) {
  struct exec_from from = {0, 0};
  bool done = false;
  int rc = VECDB_OK;
  if (p->probe && p->plan == VECDB_PLAN_GRAPH)
    rc = exec_probe_late(r, w, p, &from, n, &done, err);
  exec_count(w, p, done ? VECDB_PLAN_FILTER_LATE : p->plan);
  if (rc != VECDB_OK || done)
    return rc;
  if (p->plan == VECDB_PLAN_EXACT)
    return exec_exact(r, w, p, n, err);
  if (p->plan == VECDB_PLAN_CODES)
    return exec_codes(r, w, p, n, err);
  return exec_graph(r, w, p, from, n, err);
}

static int exec_seg(struct vdb_request *r, struct vdb_exec_worker *w, struct vdb_plan_seg *p,
                    vecdb_error *err) {
  size_t n = 0;
  int rc = exec_planned(r, w, p, &n, err);
  if (rc != VECDB_OK && rc != VECDB_ERR_TIMEOUT)
    return rc;
  exec_merge(r, w, p, n);
  return VECDB_OK;
}

static void exec_start(const struct vdb_request *r, uint32_t q, struct vdb_exec_worker *w) {
  w->n_hits = 0;
  if (r->sparse) {
    w->sparse = vdb_request_sparse(r, q);
    return;
  }
  vdb_query_vec_set(&w->query, r->queries + q * r->stride, r->elem, r->field->dim,
                    r->field->metric);
}

VDB_INTERNAL int vdb_exec_query(struct vdb_request *request, struct vdb_plan *plan, uint32_t q,
                                struct vdb_exec_worker *worker, vecdb_error *err) {
  exec_start(request, q, worker);
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

/* ---- Batches of queries ---------------------------------------------------------------------- */

/* Whether rows can be compared with some queries at a time. */
static bool exec_batch_fits(const struct vdb_request *r, uint32_t n) {
  return n >= EXEC_BATCH_LEAST && r->k <= EXEC_BATCH_MAX_K && !r->sparse &&
         vdb_flat_batch_fits(r->elem);
}

static bool exec_batch_seg(const struct vdb_request *r, const struct vdb_plan_seg *p) {
  return p->plan == VECDB_PLAN_EXACT && !p->skipped &&
         p->allowed / EXEC_BATCH_ROWS_PER_K >= r->k;
}

VDB_INTERNAL uint32_t vdb_exec_batch_size(const struct vdb_request *request,
                                          const struct vdb_plan *plan) {
  uint32_t shares = (request->n_queries + request->threads - 1) / request->threads;
  uint32_t size = vdb_min_u32(shares, EXEC_BATCH_MOST);
  bool fits = exec_batch_fits(request, size);
  uint32_t most = vdb_min_u32(request->n_queries, EXEC_BATCH_MOST);
  for (uint32_t i = 0; i < plan->n_segs; i++)
    if (most > 1 && vdb_exec_device_wants(request, &plan->segs[i], most))
      return most; /* whatever the threads: there is one device */
  for (uint32_t i = 0; i < plan->n_segs; i++)
    if (fits && exec_batch_seg(request, &plan->segs[i]))
      return size;
  return 1;
}

/* Scans one segment for all queries of `batch`, whose searches are at `s`. */
static int exec_batch_scan(struct vdb_request *r, struct vdb_plan_seg *p, struct vdb_search *s,
                           struct vdb_flat_batch *batch, uint32_t n, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  struct exec_gate gate = {.view = p->view, .request = r, .seq = r->snapshot->seq};
  if (p->bitmap) {
    int rc = vdb_plan_allow(r, p, &set, err);
    if (rc != VECDB_OK)
      return rc == VECDB_ERR_TIMEOUT ? VECDB_OK : rc;
  }
  for (uint32_t i = 0; i < n && !set && vdb_seg_has_dead(p->view); i++) {
    s[i].accept = exec_gate_pass;
    s[i].accept_arg = &gate;
  }
  for (uint32_t i = 0; i < vdb_seg_parts(p->view) && vdb_request_stopped(r) == 0; i++) {
    struct vdb_seg_part part = vdb_seg_part(p->view, i);
    struct vdb_vecs vecs = part.vecs[r->field_no];
    vecs.n = part.n;
    vdb_flat_batch_scan(batch, &vecs, part.first, set ? set->bits + part.first / 64 : NULL);
  }
  return VECDB_OK;
}

/* The queries of a batch. */
struct exec_batch_range {
  uint32_t first;
  uint32_t n;
};

/* As if a batch's queries were done one by one, in each segment. */
static void exec_batch_tell(struct vdb_request *r, const struct vdb_exec_worker *w, uint32_t first,
                            uint64_t share) {
  if (w->tells && r->controlled && vdb_request_stopped(r) == 0)
    vdb_control_progress(&r->control, "search", first + share, r->n_queries);
}

static void exec_batch_begin(struct vdb_request *r, const struct vdb_plan_seg *p,
                             const struct vdb_exec_worker *workers, struct vdb_search *s,
                             uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    s[i] = exec_search(r, &workers[i], p);
    s[i].stop = r->controlled ? vdb_control_stop : NULL;
    s[i].stop_arg = vdb_request_control(r);
  }
}

static void exec_batch_end(struct vdb_request *r, const struct vdb_plan_seg *p,
                           struct vdb_exec_worker *workers, struct vdb_search *s,
                           struct exec_batch_range range) {
  for (uint32_t i = 0; i < range.n; i++) {
    exec_batch_tell(r, workers, range.first, i);
    vdb_topk_sort(&s[i].top);
    exec_count(&workers[i], p, p->plan);
    workers[i].info.distances += s[i].distances;
    exec_merge(r, &workers[i], p, s[i].top.n);
  }
}

/* On the device; *done: it answered. */
static int exec_batch_device(struct vdb_request *r, struct vdb_plan_seg *p,
                             struct vdb_exec_worker *workers, struct vdb_search *s,
                             struct exec_batch_range range, bool *done, vecdb_error *err) {
  const struct vdb_allow_set *set = NULL;
  *done = false;
  if (!vdb_exec_device_wants(r, p, range.n))
    return VECDB_OK;
  if (p->bitmap) {
    int rc = vdb_plan_allow(r, p, &set, err);
    if (rc != VECDB_OK)
      return rc == VECDB_ERR_TIMEOUT ? VECDB_OK : rc;
  }
  exec_batch_begin(r, p, workers, s, range.n);
  *done = exec_on_device(r, p, set, s, range.n);
  for (uint32_t i = 0; *done && i < range.n; i++)
    workers[i].info.segments_device++;
  if (*done)
    exec_batch_end(r, p, workers, s, range);
  return VECDB_OK;
}

/* With the searches and the batch made. */
static int exec_batch_segs(struct vdb_request *r, struct vdb_plan *plan,
                           struct vdb_exec_worker *workers, struct vdb_search *s,
                           struct vdb_flat_batch *batch, struct exec_batch_range range,
                           vecdb_error *err) {
  for (uint32_t i = 0; i < plan->n_segs && vdb_request_stopped(r) == 0; i++) {
    struct vdb_plan_seg *p = &plan->segs[i];
    bool done;
    VDB_TRY(exec_batch_device(r, p, workers, s, range, &done, err));
    if (done)
      continue;
    if (batch && exec_batch_seg(r, p)) {
      exec_batch_begin(r, p, workers, s, range.n);
      VDB_TRY(exec_batch_scan(r, p, s, batch, range.n, err));
      exec_batch_end(r, p, workers, s, range);
      continue;
    }
    for (uint32_t q = 0; q < range.n && !p->skipped && vdb_request_stopped(r) == 0; q++)
      VDB_TRY(exec_seg(r, &workers[q], p, err));
  }
  if (vdb_request_stopped(r) == VECDB_ERR_CANCELLED)
    return vdb_control_fail(&r->control, err);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_exec_batch(struct vdb_request *request, struct vdb_plan *plan, uint32_t first,
                                uint32_t n, struct vdb_exec_worker *workers, vecdb_error *err) {
  struct vdb_vecs like = {.dim = request->field->dim, .elem = request->elem,
                          .metric = request->field->metric};
  struct vdb_flat_batch *batch = NULL;
  struct vdb_search *s = vdb_alloc_zero(request->mem, n * sizeof *s);
  int rc = s ? VECDB_OK : vdb_fail_memory(err);
  for (uint32_t i = 0; i < n; i++)
    exec_start(request, first + i, &workers[i]);
  if (rc == VECDB_OK) {
    for (uint32_t i = 0; i < n; i++)
      s[i] = (struct vdb_search){.mem = request->mem, .query = &workers[i].query};
    rc = exec_batch_fits(request, n) ? vdb_flat_batch_new(&like, s, n, &batch, err) : VECDB_OK;
  }
  if (rc == VECDB_OK)
    rc = exec_batch_segs(request, plan, workers, s, batch,
                         (struct exec_batch_range){first, n}, err);
  vdb_flat_batch_free(batch);
  vdb_free(request->mem, s);
  return rc;
}
