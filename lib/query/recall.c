/* recall.c - how much of the exact answer a search finds; see query.h. */
#include "query/exec.h"
#include "query/query.h"

/* One answer to the query of a request. */
struct recall_answer {
  struct vdb_qhit *hits;
  size_t n;
  bool exact; /* no index had a part in it */
};

static int recall_run(struct vdb_request *r, struct vdb_plan *plan, struct vdb_exec_worker *w,
                      struct recall_answer *out, vecdb_error *err) {
  struct vdb_par par = vdb_par_serial();
  VDB_TRY(vdb_plan_prepare(r, plan, &par, err));
  VDB_TRY(vdb_exec_query(r, plan, 0, w, err));
  if (vdb_request_stopped(r) != 0)
    return vdb_control_fail(&r->control, err);
  memcpy(out->hits, w->hits, w->n_hits * sizeof *out->hits);
  out->n = w->n_hits;
  out->exact = w->info.segments_exact == w->info.segments;
  return VECDB_OK;
}

/* Answers anew under another plan; the deadline is that of the request. */
static int recall_ask(struct vdb_request *r, int32_t how, struct recall_answer *out,
                      vecdb_error *err) {
  struct vdb_plan *plan = NULL;
  struct vdb_exec_worker worker = {0};
  r->plan = how;
  int rc = vdb_exec_init(r, &worker, err);
  rc = rc ? rc : vdb_plan_make(r, false, &plan, err);
  rc = rc ? rc : recall_run(r, plan, &worker, out, err);
  vdb_plan_free(r, plan);
  vdb_exec_fini(r, &worker);
  return rc;
}

/* Rows as near as the farthest of the true ones count too, as far as their keys are exact. */
static double recall_share(const struct recall_answer *found, const struct recall_answer *truth) {
  size_t good = 0;
  for (size_t i = 0; i < found->n; i++) {
    struct vdb_qhit hit = found->hits[i];
    bool in = truth->n > 0 && hit.key == truth->hits[truth->n - 1].key;
    for (size_t k = 0; k < truth->n && !in; k++)
      in = hit.seg == truth->hits[k].seg && hit.row == truth->hits[k].row;
    good += in;
  }
  return truth->n > 0 ? (double)vdb_min_size(good, truth->n) / (double)truth->n : 1;
}

VDB_INTERNAL int vdb_query_recall(const struct vdb_snapshot *snapshot,
                                  const vecdb_search_params *params, double *recall, bool *indexed,
                                  vecdb_error *err) {
  struct vdb_request r;
  VDB_TRY(vdb_request_init(&r, snapshot, params, VDB_REQUEST_SEARCH, err));
  struct recall_answer found = {vdb_alloc_array(r.mem, r.k, sizeof *found.hits), 0, false};
  struct recall_answer truth = {vdb_alloc_array(r.mem, r.k, sizeof *truth.hits), 0, false};
  int rc = found.hits && truth.hits ? VECDB_OK : vdb_fail_memory(err);
  rc = rc ? rc : recall_ask(&r, params->plan, &found, err);
  *indexed = !rc && !found.exact;
  if (*indexed)
    rc = recall_ask(&r, VECDB_PLAN_EXACT, &truth, err);
  if (*indexed && !rc)
    *recall = recall_share(&found, &truth);
  vdb_free(r.mem, found.hits);
  vdb_free(r.mem, truth.hits);
  vdb_request_fini(&r);
  return rc;
}
