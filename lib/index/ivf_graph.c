/*
 * ivf_graph.c - a graph of the centroids, by which the lists nearest to a query are found where
 * there are very many; see ivf.h. It is an HNSW index over the centroids as floats, with sections
 * of its own number. Lists are ordered by |q' - c| or, where IP rows differ much in length, by the
 * inner product of c and q' + m'.
 */
#include "index/hnsw.h"
#include "index/ivf_build.h"

enum { GRAPH_WIDEN = 2 }; /* the search is so much wider than the lists asked for */
#define GRAPH_NUMBER UINT32_C(0x80000000) /* added to the number of the sections */

static struct vdb_vecs graph_vecs(const float *centres, uint32_t n, uint32_t dim, bool l2) {
  int32_t metric = l2 ? VECDB_L2 : VECDB_IP;
  const struct vdb_kern *kern = vdb_kern_for(VDB_F32, metric);
  return (struct vdb_vecs){(const uint8_t *)centres, dim * sizeof *centres, NULL, kern, n, dim,
                           VDB_F32, metric};
}

VDB_INTERNAL int vdb_ivf_graph_build(const struct vdb_ivf_builder *h, vecdb_error *err) {
  uint32_t dim = h->b->vecs->dim;
  struct vdb_vecs vecs = graph_vecs(h->centres, h->n_lists, dim, h->by_distance);
  struct vdb_index_build part = *h->b;
  part.vecs = &vecs;
  part.kind = vdb_index_kind(VECDB_INDEX_HNSW);
  part.params.type = VECDB_INDEX_HNSW;
  part.params.refine = VECDB_REFINE_AUTO;
  part.progress = NULL;
  part.number |= GRAPH_NUMBER;
  return vdb_hnsw_ops()->build(&part, err);
}

VDB_INTERNAL int vdb_ivf_graph_open(struct vdb_ivf *ivf, const struct vdb_sect_reader *in,
                                    uint32_t number, const float *centres, bool l2,
                                    vecdb_error *err) {
  uint32_t n = ivf->centroids.n;
  uint32_t dim = ivf->base.vecs.dim;
  struct vdb_vecs vecs = graph_vecs(centres, n, dim, l2);
  ivf->graph_shift = centres + (size_t)n * dim;
  return vdb_hnsw_ops()->open(ivf->mem, in, number | GRAPH_NUMBER, &vecs, &ivf->graph, err);
}

VDB_INTERNAL uint32_t vdb_ivf_graph_probe(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w,
                                          uint32_t n) {
  vecdb_error err;
  struct vdb_query_vec query = {w->graph_query, 1};
  for (uint32_t i = 0; i < ivf->base.vecs.dim; i++)
    w->graph_query[i] = w->query.x[i] + ivf->graph_shift[i];
  struct vdb_search s = {.mem = ivf->mem, .query = &query, .effort = n * GRAPH_WIDEN};
  s.top = (struct vdb_topk){w->lists, n, 0};
  if (ivf->graph->ops->search(ivf->graph, &s, &err) != VECDB_OK)
    return 0;
  return (uint32_t)s.top.n;
}
