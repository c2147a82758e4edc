/*
 * ivftest.h - what the tests of the IVF index share: each way of making one over the data of
 * ixtest.h, and building, opening and searching.
 */
#ifndef IVFTEST_H
#define IVFTEST_H

#include "ixtest.h"

/* Ways of making an index that differ in what is in its sections. */
struct ivf_way {
  int32_t type;
  uint32_t nlist;
  uint32_t pq_m;
  uint32_t nbits;
  int32_t refine;
  int32_t rotation;
};

static const struct ivf_way ivf_ways[] = {
    {VECDB_INDEX_IVF_FLAT, 0, 0, 0, 0, 0},
    {VECDB_INDEX_IVF_SQ8, 0, 0, 0, 0, 0},
    {VECDB_INDEX_IVF_PQ, 0, 0, 4, 0, 0},
    {VECDB_INDEX_IVF_PQ, 0, 0, 8, 0, 0},
    {VECDB_INDEX_IVF_PQ, 0, 0, 4, 0, VECDB_ROTATION_OPQ},
    {VECDB_INDEX_IVF_RABITQ, 0, 0, 0, 0, 0},
    {VECDB_INDEX_IVF_HNSW, 0, 0, 0, 0, 0},
};

static inline int ivf_params(const struct ix_data *d, const struct ivf_way *way,
                             vecdb_index_params *params, vecdb_error *err) {
  const struct vdb_index_field field = {"v", d->vecs.elem, d->vecs.dim, d->vecs.metric};
  *params = (vecdb_index_params)VECDB_INDEX_PARAMS_INIT;
  params->type = way->type;
  params->nlist = way->nlist;
  params->pq_m = way->pq_m;
  params->nbits = way->nbits;
  params->refine = way->refine;
  params->rotation = way->rotation;
  int rc = vdb_index_params_fill(params, &field, err);
  vdb_index_params_settle(params, d->vecs.n);
  return rc;
}

static inline int ivf_build(struct vdb_mem *mem, const struct ix_data *d, const struct ivf_way *way,
                            unsigned workers, struct ix_sections *out, vecdb_error *err) {
  struct vdb_par par = {ix_par_run, workers, NULL};
  if (workers == 1)
    par = vdb_par_serial();
  struct vdb_index_build b = {.mem = mem, .vecs = &d->vecs, .par = &par, .seed = 1,
                              .out = &out->writer, .number = 3};
  int rc = ivf_params(d, way, &b.params, err);
  if (rc)
    return rc;
  b.kind = vdb_index_kind(way->type);
  return vdb_index_ops_of(way->type, d->vecs.elem)->build(&b, err);
}

static inline int ivf_open_way(struct vdb_mem *mem, const struct ix_data *d,
                               const struct ivf_way *way, const struct ix_sections *in,
                               struct vdb_index **out, vecdb_error *err) {
  const struct vdb_index_ops *ops = vdb_index_ops_of(way->type, d->vecs.elem);
  return ops->open(mem, &in->reader, 3, &d->vecs, out, err);
}

#endif
