/* plan.c - choosing a plan per segment; see plan.h and README.md. */
#include "query/plan.h"

enum {
  PLAN_DEFAULT_EF = 96,     /* of indexes that were not measured */
  PLAN_DEFAULT_NPROBE = 16, /* of these: one list in so many */
  PLAN_SAMPLED_PARTS = 8,   /* of a growing segment, for an estimate */
  PLAN_PROBE = 3            /* so many times must a scan cost what a walk may */
};

VDB_INTERNAL const struct vdb_seg_index *vdb_plan_index(const struct vdb_request *request,
                                                        const struct vdb_seg_view *view) {
  const vecdb_index_params *settings = &request->snapshot->index[request->field_no];
  if (vdb_index_is_scan(settings->type, request->elem))
    return NULL;
  return vdb_seg_vector_index(view, request->field_no);
}

VDB_INTERNAL float vdb_plan_recall(const struct vdb_request *request) {
  const vecdb_index_params *settings = &request->snapshot->index[request->field_no];
  if (request->recall > 0)
    return request->recall;
  return settings->recall > 0 ? settings->recall : VDB_DEFAULT_RECALL;
}

/* By the curve; where the recall is out of reach all that was measured, or nothing if it was asked
   for. */
static uint32_t plan_effort_of_recall(const struct vdb_request *request,
                                      const struct vdb_seg_index *index, uint32_t k) {
  const struct vdb_curve *curve = &index->curve;
  enum vdb_effort kind = index->index->ops->effort;
  if (curve->n > 0) {
    uint32_t effort = vdb_curve_effort(curve, kind, k, vdb_plan_recall(request));
    return effort || request->recall > 0 ? effort : curve->points[curve->n - 1].effort;
  }
  return kind == VDB_EFFORT_NPROBE ? index->params.nlist / PLAN_DEFAULT_NPROBE + 1
                                   : PLAN_DEFAULT_EF;
}

VDB_INTERNAL uint32_t vdb_plan_effort(const struct vdb_request *request,
                                      const struct vdb_seg_index *index, uint32_t k) {
  const vecdb_index_params *settings = &request->snapshot->index[request->field_no];
  bool lists = index->index->ops->effort == VDB_EFFORT_NPROBE;
  uint32_t effort = lists ? request->nprobe : request->ef;
  if (effort == 0 && request->recall == 0)
    effort = lists ? settings->nprobe : settings->ef;
  if (effort == 0)
    effort = plan_effort_of_recall(request, index, k);
  return lists || effort == 0 || effort > k ? effort : k;
}

VDB_INTERNAL struct vdb_cost_case vdb_plan_cost_case(const struct vdb_request *request,
                                                     const struct vdb_seg_view *view,
                                                     const struct vdb_seg_index *index,
                                                     uint32_t effort) {
  struct vdb_cost_case c = {0};
  c.rows = view->n;
  c.bytes = (double)vdb_elem_row_bytes(request->elem, request->field->dim); /* sparse: 0 */
  if (index) {
    struct vdb_index_traits traits;
    index->index->ops->traits(index->index, &traits);
    c.ef = effort;
    c.links = traits.links;
    c.codes = traits.scans;
    c.disk = traits.reads;
    if (index->curve.n > 0)
      c.compared = vdb_curve_distances(&index->curve, effort);
    c.walked = traits.walk_bytes;
  }
  c.queries = request->n_queries;
  c.filter = request->filter != NULL;
  return c;
}

/* Estimates the rows of a segment that pass the filter, among those that live. */
static void plan_estimate(const struct vdb_request *r, struct vdb_plan_seg *p) {
  uint32_t n_parts = vdb_seg_parts(p->view);
  uint32_t step = n_parts / PLAN_SAMPLED_PARTS + 1;
  double passing = 0, rows = 0;
  p->by_index = true;
  for (uint32_t i = 0; i < n_parts; i += step) {
    struct vdb_seg_part part = vdb_seg_part(p->view, i);
    struct vdb_filter_rows over = {part.columns, part.indexes, part.n};
    bool exact = false;
    passing += vdb_filter_estimate(r->filter, &over, &exact) * part.n;
    rows += part.n;
    p->by_index = p->by_index && exact;
  }
  double share = rows > 0 ? passing / rows : 0;
  p->allowed = (uint32_t)(share * p->allowed + 0.5);
}

/* Costs and, under AUTO, the cheapest plan; `late` says whether that one may still be taken. */
static void plan_choose(const struct vdb_request *r, struct vdb_plan_seg *p, bool late) {
  struct vdb_cost_case c = vdb_plan_cost_case(r, p->view, p->index, p->effort);
  c.allowed = p->allowed;
  c.by_index = p->by_index;
  p->cost = vdb_plan_restricted(r, p) ? vdb_cost_filtered(&c) : vdb_cost_plain(&c);
  if (p->reason != VDB_PLAN_CHEAPEST)
    return;
  /* Deletes alone: both graph plans walk the whole graph and drop dead rows; it is called GRAPH. */
  double best = p->cost.exact;
  double graph = r->filter ? p->cost.graph : p->cost.late;
  p->plan = VECDB_PLAN_EXACT;
  if (graph < best && (!r->filter || vdb_cost_graph_finds(&c))) {
    p->plan = VECDB_PLAN_GRAPH;
    best = graph;
  }
  if (r->filter && p->codes && p->cost.codes < best) {
    p->plan = VECDB_PLAN_CODES;
    best = p->cost.codes;
  }
  if (late && r->filter && p->cost.late < best)
    p->plan = VECDB_PLAN_FILTER_LATE;
  double one = (p->cost.codes - p->cost.bitmap) / r->n_queries;
  p->probe = p->plan == VECDB_PLAN_CODES && PLAN_PROBE * p->cost.plain < one;
  if (p->plan == VECDB_PLAN_GRAPH) /* indexes have counted the rows that pass: no set is needed */
    p->probe = late && r->filter && r->n_queries == 1 && p->by_index && c.links > 0 && !c.disk &&
               PLAN_PROBE * p->cost.plain < p->cost.graph;
}

static bool plan_scans(const struct vdb_index *index) {
  struct vdb_index_traits traits;
  index->ops->traits(index, &traits);
  return index->ops->scan && traits.scans;
}

static void plan_seg(const struct vdb_request *r, struct vdb_plan_seg *p, bool always) {
  uint32_t n = p->view->n;
  p->index = vdb_plan_index(r, p->view);
  p->effort = p->index ? vdb_plan_effort(r, p->index, r->k) : 0;
  p->codes = p->index && plan_scans(p->index->index);
  p->dead = vdb_seg_has_dead(p->view) ? vdb_min_u32(vdb_tombs_count(p->view->seg->tombs), n) : 0;
  p->allowed = n - p->dead;
  p->counted = p->dead == 0 && !r->filter;
  p->plan = VECDB_PLAN_EXACT;
  if (r->sparse && p->view->seg->sealed)
    p->reason = VDB_PLAN_INVERTED;
  else if (!p->index)
    p->reason = VDB_PLAN_NO_INDEX;
  else if (p->effort == 0)
    p->reason = VDB_PLAN_OUT_OF_REACH;
  else if (r->plan != VECDB_PLAN_AUTO)
    p->reason = VDB_PLAN_FORCED;
  else if (n < r->snapshot->index_rows)
    p->reason = VDB_PLAN_SMALL;
  else
    p->reason = VDB_PLAN_CHEAPEST;
  if (p->reason == VDB_PLAN_FORCED && (r->plan != VECDB_PLAN_CODES || p->codes))
    p->plan = r->plan;
  if (r->filter && (always || p->reason == VDB_PLAN_CHEAPEST))
    plan_estimate(r, p);
  if (always || p->reason == VDB_PLAN_CHEAPEST)
    plan_choose(r, p, true);
  bool graph = p->plan == VECDB_PLAN_GRAPH;
  if (p->plan == VECDB_PLAN_FILTER_LATE)
    p->bitmap = false;
  else if (r->filter || p->plan == VECDB_PLAN_CODES)
    p->bitmap = true;
  else
    p->bitmap = p->dead > 0 && vdb_cost_dead_bitmap((double)p->dead / n, graph);
}

VDB_INTERNAL int vdb_plan_make(struct vdb_request *request, bool always, struct vdb_plan **out,
                               vecdb_error *err) {
  *out = NULL;
  const struct vdb_snapshot *snapshot = request->snapshot;
  struct vdb_plan *plan = vdb_alloc_zero(
      request->mem, sizeof *plan + (size_t)snapshot->n_segs * sizeof *plan->segs);
  if (!plan)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < snapshot->n_segs; i++) {
    if (snapshot->segs[i].n == 0)
      continue;
    struct vdb_plan_seg *p = &plan->segs[plan->n_segs++];
    p->view = &snapshot->segs[i];
    atomic_init(&p->allow, NULL);
    plan_seg(request, p, always);
  }
  *out = plan;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_plan_free(struct vdb_request *request, struct vdb_plan *plan) {
  if (!plan)
    return;
  for (uint32_t i = 0; i < plan->n_segs; i++)
    vdb_free(request->mem, atomic_load_explicit(&plan->segs[i].allow, memory_order_relaxed));
  vdb_free(request->mem, plan);
}

VDB_INTERNAL int vdb_plan_allow(struct vdb_request *request, struct vdb_plan_seg *seg,
                                const struct vdb_allow_set **out, vecdb_error *err) {
  struct vdb_allow_set *set = atomic_load_explicit(&seg->allow, memory_order_acquire);
  if (!set) {
    struct vdb_allow allow = {request->mem, request->filter, request->snapshot->seq,
                              vdb_request_control(request)};
    VDB_TRY(vdb_allow_make(&allow, seg->view, &set, err));
    struct vdb_allow_set *other = NULL;
    if (!atomic_compare_exchange_strong_explicit(&seg->allow, &other, set, memory_order_acq_rel,
                                                 memory_order_acquire)) {
      vdb_free(request->mem, set);
      set = other;
    }
  }
  *out = set;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_plan_settle(struct vdb_request *request, struct vdb_plan_seg *seg,
                                 vecdb_error *err) {
  const struct vdb_allow_set *set;
  VDB_TRY(vdb_plan_allow(request, seg, &set, err));
  seg->allowed = set->n;
  seg->counted = true;
  if (seg->reason == VDB_PLAN_CHEAPEST)
    plan_choose(request, seg, false);
  return VECDB_OK;
}

/* The segments whose sets are computed in parallel, and the first error. */
struct plan_prepare {
  struct vdb_request *request;
  struct vdb_plan *plan;
  _Atomic int rc;
};

static void plan_prepare_seg(void *arg, size_t i, unsigned worker) {
  (void)worker;
  struct plan_prepare *job = arg;
  struct vdb_plan_seg *p = &job->plan->segs[i];
  if (!p->bitmap || (p->probe && p->plan == VECDB_PLAN_GRAPH))
    return;
  vecdb_error ignored;
  int rc = vdb_plan_settle(job->request, p, &ignored);
  if (rc == VECDB_ERR_TIMEOUT)
    p->skipped = true;
  else if (rc != VECDB_OK)
    atomic_store_explicit(&job->rc, rc, memory_order_relaxed);
}

VDB_INTERNAL int vdb_plan_prepare(struct vdb_request *request, struct vdb_plan *plan,
                                  const struct vdb_par *par, vecdb_error *err) {
  bool any = false;
  for (uint32_t i = 0; i < plan->n_segs; i++)
    any = any || plan->segs[i].bitmap;
  if (!any)
    return VECDB_OK;
  struct plan_prepare job = {.request = request, .plan = plan};
  atomic_init(&job.rc, VECDB_OK);
  par->run(par, plan->n_segs, plan_prepare_seg, &job);
  int rc = atomic_load_explicit(&job.rc, memory_order_relaxed);
  if (rc != VECDB_OK)
    return vdb_fail(err, rc, "%s", vecdb_status_text(rc));
  for (uint32_t i = 0; i < plan->n_segs; i++)
    plan->partial = plan->partial || plan->segs[i].skipped;
  return VECDB_OK;
}
