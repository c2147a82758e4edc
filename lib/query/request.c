/* request.c - checking search requests; see request.h. */
#include "query/request.h"

#include "attr/sparse.h"
#include "query/query.h"

enum {
  REQUEST_MAX_EF = 16384,
  REQUEST_MAX_NPROBE = 1 << 20,
  REQUEST_MAX_BEAM = 32
};

VDB_INTERNAL int vdb_request_check_control(const vecdb_control *control, vecdb_error *err) {
  if (control && control->size != sizeof *control)
    return vdb_fail(err, VECDB_ERR_OPTION, "control.size is %u; this library knows %zu",
                    control->size, sizeof *control);
  return VECDB_OK;
}

/* Sizes, flags, numbers: what can be judged without the schema. */
static int request_check_numbers(const vecdb_search_params *p, enum vdb_request_kind kind,
                                 vecdb_error *err) {
  if (p->size != sizeof *p)
    return vdb_fail(err, VECDB_ERR_OPTION, "params.size is %u; this library knows %zu", p->size,
                    sizeof *p);
  VDB_TRY(vdb_request_check_control(p->control, err));
  if (p->flags & ~VECDB_SEARCH_CPU)
    return vdb_fail(err, VECDB_ERR_OPTION, "params.flags %#x are not all known", p->flags);
  if (p->plan < VECDB_PLAN_AUTO || p->plan > VECDB_PLAN_CODES)
    return vdb_fail(err, VECDB_ERR_OPTION, "params.plan is %d; known are 0 to %d", p->plan,
                    VECDB_PLAN_CODES);
  if (kind != VDB_REQUEST_ITERATOR && (p->k == 0 || p->k > VECDB_MAX_K))
    return vdb_fail(err, VECDB_ERR_K, "k is %u; it must be 1 to %d", p->k, VECDB_MAX_K);
  if (p->ef > REQUEST_MAX_EF)
    return vdb_fail(err, VECDB_ERR_INDEX_PARAM, "ef is %u; the most is %d", p->ef,
                    REQUEST_MAX_EF);
  if (p->nprobe > REQUEST_MAX_NPROBE)
    return vdb_fail(err, VECDB_ERR_INDEX_PARAM, "nprobe is %u; the most is %d", p->nprobe,
                    REQUEST_MAX_NPROBE);
  if (p->beam > REQUEST_MAX_BEAM)
    return vdb_fail(err, VECDB_ERR_INDEX_PARAM, "beam is %u; the most is %d", p->beam,
                    REQUEST_MAX_BEAM);
  if (p->recall != 0 && !(p->recall >= 0.5f && p->recall <= 0.999f))
    return vdb_fail(err, VECDB_ERR_INDEX_PARAM, "recall is %g, outside 0.5 to 0.999",
                    (double)p->recall);
  if (p->n_queries > VECDB_MAX_QUERIES)
    return vdb_fail(err, VECDB_ERR_LIMIT, "n_queries is %u; the most is %d", p->n_queries,
                    VECDB_MAX_QUERIES);
  bool one = kind == VDB_REQUEST_RANGE || kind == VDB_REQUEST_ITERATOR;
  if (one && p->n_queries > 1)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "n_queries is %u; this call takes one query",
                    p->n_queries);
  if (!p->queries && kind != VDB_REQUEST_EXPLAIN)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "queries is NULL");
  return VECDB_OK;
}

static int request_check_query(const struct vdb_request *r, uint32_t q, vecdb_error *err) {
  if (!r->sparse)
    return vdb_vector_check(r->field, r->queries + q * r->stride, (int64_t)q, err);
  vecdb_sparse query = vdb_request_sparse(r, q);
  VDB_TRY(vdb_sparse_shape(r->field, query.pairs, query.n, (int64_t)q, err));
  return vdb_sparse_check(r->field, query.pairs, query.n, (int64_t)q, err);
}

/* Where the queries lie, and what is in them. */
static int request_check_queries(struct vdb_request *r, const vecdb_search_params *p,
                                 vecdb_error *err) {
  size_t bytes = r->sparse ? sizeof(vecdb_sparse) : vdb_elem_row_bytes(r->elem, r->field->dim);
  if (p->dim != 0 && p->dim != r->field->dim)
    return vdb_fail_at(err, VECDB_ERR_DIMENSION, -1, r->field->name,
                       "the queries have dimension %u, field \"%.64s\" has %u", p->dim,
                       r->field->name, r->field->dim);
  r->stride = p->query_stride ? p->query_stride : bytes;
  if (r->stride < bytes)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "query_stride is %zu; one query has %zu bytes",
                    r->stride, bytes);
  size_t span;
  if (!vdb_mul(r->stride, r->n_queries, &span) || span > SIZE_MAX - (uintptr_t)p->queries)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "query_stride is %zu, too far for %u queries",
                    r->stride, r->n_queries);
  if (!p->queries)
    return VECDB_OK;
  for (uint32_t q = 0; q < r->n_queries; q++)
    VDB_TRY(request_check_query(r, q, err));
  return VECDB_OK;
}

VDB_INTERNAL int vdb_query_filter(const struct vdb_snapshot *snapshot, const vecdb_filter *text,
                                  struct vdb_filter **out, vecdb_error *err) {
  struct vdb_mem *mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  struct vdb_filter *unexpired;
  VDB_TRY(vdb_filter_compile(mem, snapshot->schema, text, out, err));
  int rc = vdb_filter_unexpired(mem, snapshot->schema, snapshot->now_ms, &unexpired, err);
  if (rc == VECDB_OK) {
    *out = vdb_filter_push(unexpired, *out);
    return VECDB_OK;
  }
  vdb_filter_free(mem, *out);
  *out = NULL;
  return rc;
}

VDB_INTERNAL int vdb_request_init(struct vdb_request *request, const struct vdb_snapshot *snapshot,
                                  const vecdb_search_params *params, enum vdb_request_kind kind,
                                  vecdb_error *err) {
  struct vdb_request *r = request;
  if (!params)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "params is NULL");
  VDB_TRY(request_check_numbers(params, kind, err));
  vdb_control_init(&r->control, snapshot->env, params->control);
  r->controlled = params->control != NULL;
  r->snapshot = snapshot;
  r->mem = vdb_env_for(snapshot->env, VDB_FOR_SEARCH);
  VDB_TRY(vdb_fields_vector(snapshot->schema, params->field, &r->field_no, err));
  r->field = &snapshot->schema->fields[r->field_no];
  r->sparse = r->field->type == VECDB_SPARSE_VECTOR;
  r->elem = r->sparse ? VDB_F32 : vdb_elem_of(r->field->type);
  r->queries = params->queries;
  r->n_queries = params->n_queries ? params->n_queries : 1;
  r->k = kind == VDB_REQUEST_ITERATOR ? 1 : params->k;
  r->plan = kind == VDB_REQUEST_RANGE ? VECDB_PLAN_EXACT : params->plan;
  r->threads = params->threads ? params->threads : 1;
  r->ef = params->ef;
  r->nprobe = params->nprobe;
  r->beam = params->beam;
  r->device = params->flags & VECDB_SEARCH_CPU ? NULL : snapshot->env->device;
  r->recall = params->recall;
  VDB_TRY(request_check_queries(r, params, err));
  VDB_TRY(vdb_fields_pick(snapshot->schema, params->fields, params->n_fields, &r->pick, err));
  return vdb_query_filter(snapshot, &params->filter, &r->filter, err);
}

VDB_INTERNAL void vdb_request_fini(struct vdb_request *request) {
  vdb_filter_free(request->mem, request->filter);
  request->filter = NULL;
}
