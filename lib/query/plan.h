/*
 * plan.h - how each segment is searched. Made once per call and shared by its queries, which may
 * run on several threads.
 */
#ifndef VDB_PLAN_H
#define VDB_PLAN_H

#include "base/par.h"
#include "query/allow.h"
#include "query/cost.h"
#include "query/request.h"

/* Why a plan was taken. */
enum vdb_plan_reason {
  VDB_PLAN_NO_INDEX,  /* growing, or not built */
  VDB_PLAN_INVERTED,  /* a sparse field, sealed: its inverted index, which is exact */
  VDB_PLAN_SMALL,     /* fewer rows than get an index */
  VDB_PLAN_FORCED,    /* by the caller */
  VDB_PLAN_OUT_OF_REACH, /* the index cannot give the recall that the caller wants */
  VDB_PLAN_CHEAPEST
};

struct vdb_plan_seg {
  const struct vdb_seg_view *view;
  const struct vdb_seg_index *index; /* NULL: none that may be used */
  bool codes;                    /* the index has codes to scan */
  bool probe;                    /* first a short walk: allowed rows may be where the query is;
                                    under GRAPH without the set of these, made when it fails */
  uint32_t effort;               /* of searches of the index; 0: there is no use in any */
  uint32_t dead;                 /* marks, also those the snapshot does not see */
  uint32_t allowed;              /* rows that pass filter and deletes: estimated, or counted */
  bool counted;
  bool by_index;   /* indexes answer the filter */
  bool bitmap;     /* searched by a set of allowed rows */
  bool skipped;    /* the deadline came before its set was there */
  int32_t plan;    /* EXACT, GRAPH or FILTER_LATE */
  enum vdb_plan_reason reason;
  struct vdb_cost cost;
  _Atomic(struct vdb_allow_set *) allow; /* NULL until computed */
};

struct vdb_plan {
  uint32_t n_segs;
  bool partial; /* some segment is skipped */
  struct vdb_plan_seg segs[];
};

/* Plans from estimates. `always` estimates also where the choice does not need it (explain). To be
   freed with vdb_plan_free. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_plan_make(struct vdb_request *request, bool always, struct vdb_plan **out,
                               vecdb_error *err);
/* Computes the sets of allowed rows that the plan wants, and settles exact or graph by their true
   size. The deadline makes the plan partial. Errors: NO_MEMORY, CANCELLED. */
VDB_INTERNAL int vdb_plan_prepare(struct vdb_request *request, struct vdb_plan *plan,
                                  const struct vdb_par *par, vecdb_error *err);
VDB_INTERNAL void vdb_plan_free(struct vdb_request *request, struct vdb_plan *plan);

/* The allowed rows of a segment, computed at the first call of any thread. Errors: NO_MEMORY,
   CANCELLED, TIMEOUT. */
VDB_INTERNAL int vdb_plan_allow(struct vdb_request *request, struct vdb_plan_seg *seg,
                                const struct vdb_allow_set **out, vecdb_error *err);
/* The same, and settles a plan that needs them by how many they are; no other thread uses `seg`. */
VDB_INTERNAL int vdb_plan_settle(struct vdb_request *request, struct vdb_plan_seg *seg,
                                 vecdb_error *err);
/* Whether the rows of a segment are restricted at all. */
VDB_INLINE bool vdb_plan_restricted(const struct vdb_request *request,
                                    const struct vdb_plan_seg *seg) {
  return request->filter || seg->dead > 0;
}
/* The index of the request's field that a search may use, or NULL. */
VDB_INTERNAL const struct vdb_seg_index *vdb_plan_index(const struct vdb_request *request,
                                                        const struct vdb_seg_view *view);
/* The recall to look for where neither request nor settings give an effort. */
VDB_INTERNAL float vdb_plan_recall(const struct vdb_request *request);
/* How hard an index is to look for the nearest k, as the request, its settings or its curve say; 0:
   it cannot give the recall that was asked for. */
VDB_INTERNAL uint32_t vdb_plan_effort(const struct vdb_request *request,
                                      const struct vdb_seg_index *index, uint32_t k);
/* The cost case of a segment as far as it does not depend on the allowed rows; index may be
   NULL. */
VDB_INTERNAL struct vdb_cost_case vdb_plan_cost_case(const struct vdb_request *request,
                                                     const struct vdb_seg_view *view,
                                                     const struct vdb_seg_index *index,
                                                     uint32_t effort);

#endif
