/*
 * hnsw_store.c - what hits are scored again with after a walk among codes; see hnsw.h. Copies of
 * f32 rows in 16 bits are kept unasked where nothing is lost by them.
 */
#include "index/half_rows.h"
#include "index/hnsw.h"

VDB_INTERNAL enum vdb_hnsw_refine vdb_hnsw_store_pick(const struct vdb_hnsw_builder *h) {
  const struct vdb_codes *codes = &h->graph.codes;
  bool f32 = h->b->vecs->elem == VDB_F32;
  if (!codes->ops) /* a walk among the rows has their keys */
    return VDB_HNSW_REFINE_NONE;
  switch (h->b->params.refine) {
  case VECDB_REFINE_NONE:
    return VDB_HNSW_REFINE_NONE;
  case VECDB_REFINE_I8:
    return codes->ops == h->codes.ops ? VDB_HNSW_REFINE_NONE : VDB_HNSW_REFINE_CODES;
  case VECDB_REFINE_F16:
    return f32 ? VDB_HNSW_REFINE_COPY : VDB_HNSW_REFINE_ROWS;
  case VECDB_REFINE_F32:
    return VDB_HNSW_REFINE_ROWS;
  default:
    return f32 && vdb_half_lossless(h->b->par, h->b->vecs) ? VDB_HNSW_REFINE_COPY
                                                           : VDB_HNSW_REFINE_ROWS;
  }
}
