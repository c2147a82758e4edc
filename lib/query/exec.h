/*
 * exec.h - one query over all segments of a plan. A worker holds the memory for one query at a time
 * and is used by one thread at a time; request and plan are shared.
 */
#ifndef VDB_EXEC_H
#define VDB_EXEC_H

#include "query/hits.h"
#include "query/plan.h"

struct vdb_exec_worker {
  struct vdb_query_vec query;
  vecdb_sparse sparse;     /* the query of a sparse field */
  size_t k;                /* room in each list: the request's k, or all rows if fewer */
  struct vdb_near *near;   /* of one segment, as the index gives them */
  struct vdb_qhit *found;  /* of one segment */
  struct vdb_qhit *hits;   /* of the segments so far: the answer */
  struct vdb_qhit *merged; /* swapped with hits */
  size_t n_hits;
  bool bounded;            /* range: only keys up to `bound` count */
  float bound;
  bool tells;              /* in a batch: tells the control how far it is */
  vecdb_search_info info;  /* counters, summed over the worker's queries */
  vecdb_error err;         /* of a body that failed */
  int rc;
};

/* Makes a worker; release with fini, also when it failed. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_exec_init(const struct vdb_request *request, struct vdb_exec_worker *worker,
                               vecdb_error *err);
VDB_INTERNAL void vdb_exec_fini(const struct vdb_request *request, struct vdb_exec_worker *worker);

/* Answers query `q` of the request: worker->hits in order, worker->n_hits of them. The deadline
   ends it early, with what there is. Errors: NO_MEMORY, CANCELLED. */
VDB_INTERNAL int vdb_exec_query(struct vdb_request *request, struct vdb_plan *plan, uint32_t q,
                                struct vdb_exec_worker *worker, vecdb_error *err);

/* Whether queries of this request are worth answering in batches, and how many at a time. */
VDB_INTERNAL uint32_t vdb_exec_batch_size(const struct vdb_request *request,
                                          const struct vdb_plan *plan);
/* As vdb_exec_query for queries first .. first + n - 1, each with a worker of its own: segments
   with plan EXACT are scanned for all of them at once. The answers are the same. */
VDB_INTERNAL int vdb_exec_batch(struct vdb_request *request, struct vdb_plan *plan, uint32_t first,
                                uint32_t n, struct vdb_exec_worker *workers, vecdb_error *err);

/* Offers every row of a segment that is in `bits` (NULL: every row that is not deleted) to s->top,
   and sorts it. s has mem, query or sparse, and top set. A stopped control ends it early. Errors:
   NO_MEMORY, of sparse fields only. */
VDB_INTERNAL int vdb_exec_scan(struct vdb_request *request, const struct vdb_seg_view *view,
                               const uint64_t *bits, struct vdb_search *s, vecdb_error *err);

#endif
