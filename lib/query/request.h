/*
 * request.h - a search request, checked completely before anything is done for it. What it points
 * to (snapshot, queries) is borrowed.
 */
#ifndef VDB_REQUEST_H
#define VDB_REQUEST_H

#include "attr/filter.h"
#include "os/control.h"
#include "query/fields.h"
#include "seg/seg.h"

/* Which call asks; they differ in what they need. */
enum vdb_request_kind {
  VDB_REQUEST_SEARCH,
  VDB_REQUEST_RANGE,    /* one query */
  VDB_REQUEST_ITERATOR, /* one query, no k */
  VDB_REQUEST_EXPLAIN   /* the queries may be missing */
};

struct vdb_request {
  const struct vdb_snapshot *snapshot;
  struct vdb_mem *mem;
  const struct vdb_field *field;
  uint32_t field_no;
  bool sparse;            /* the field; elem is then of no use */
  enum vdb_elem elem;
  const uint8_t *queries; /* query q at queries + q * stride; sparse: a vecdb_sparse */
  size_t stride;
  uint32_t n_queries;
  uint32_t k;
  uint32_t ef;       /* as asked for; 0: not */
  uint32_t nprobe;   /* as asked for; 0: not */
  uint32_t beam;     /* as asked for; 0: not */
  float recall;      /* as asked for; 0: not */
  int32_t plan;      /* a vecdb_plan */
  uint32_t threads;  /* at least 1 */
  struct vdb_device *device; /* that may be used; NULL: none */
  struct vdb_filter *filter; /* owned; NULL: all rows pass */
  struct vdb_pick pick;
  struct vdb_control control; /* runs from vdb_request_init on */
  bool controlled;            /* the caller gave a control */
};

/* On success release with vdb_request_fini. Errors: as vecdb_search lists them, each naming its
   argument, before memory in proportion to k or n_queries is taken. */
VDB_INTERNAL int vdb_request_init(struct vdb_request *request, const struct vdb_snapshot *snapshot,
                                  const vecdb_search_params *params, enum vdb_request_kind kind,
                                  vecdb_error *err);
VDB_INTERNAL void vdb_request_fini(struct vdb_request *request);

/* Query q of a sparse field. */
VDB_INLINE vecdb_sparse vdb_request_sparse(const struct vdb_request *r, uint32_t q) {
  vecdb_sparse query;
  memcpy(&query, r->queries + q * r->stride, sizeof query);
  return query;
}

/* OPTION unless `control` is NULL or of a known size. */
VDB_INTERNAL int vdb_request_check_control(const vecdb_control *control, vecdb_error *err);

/* The control, or NULL when nobody can stop the call. */
VDB_INLINE struct vdb_control *vdb_request_control(struct vdb_request *r) {
  return r->controlled ? &r->control : NULL;
}
/* 0, or why the call was stopped. */
VDB_INLINE int vdb_request_stopped(struct vdb_request *r) {
  return r->controlled ? vdb_control_poll(&r->control) : 0;
}

#endif
