/*
 * ivf_hnsw.c - IVF to shortlist, a graph of the rows to refine: the table of IVF_HNSW. It is two
 * indexes over the same rows side by side, their sections under the same number: lists with rows in
 * 8 bits, whose centroids are found by a graph of their own (ivf_graph.c), and an HNSW graph. A
 * search takes the best of nprobe lists, and walks the graph from there instead of from its entry.
 */
#include "base/bitmap.h"
#include "index/hnsw.h"
#include "index/ivf.h"

enum {
  IVF_HNSW_STARTS = 8, /* rows that the lists find */
  IVF_HNSW_SPARSE = 5, /* a filter that passes fewer than one row in so many is for the lists */
  IVF_HNSW_WIDEN = 2   /* the walk is so much wider than nprobe, unless ef is given */
};

struct ivf_hnsw {
  struct vdb_index base;
  struct vdb_index *lists;
  struct vdb_index *graph;
};

/* Progress of two builds as that of one. */
struct ivf_hnsw_progress {
  const struct vdb_index_build *b;
  uint64_t before; /* rows done by the first */
};

static bool ivf_hnsw_progress(void *arg, uint64_t done, uint64_t total) {
  const struct ivf_hnsw_progress *p = arg;
  uint64_t n = p->b->vecs->n;
  uint64_t here = total ? (uint64_t)((double)done / (double)total * (double)n) : n;
  return p->b->progress(p->b->progress_arg, p->before + here, 2 * n);
}

static int ivf_hnsw_build(const struct vdb_index_build *b, vecdb_error *err) {
  struct ivf_hnsw_progress progress = {b, 0};
  struct vdb_index_build part = *b;
  struct vdb_index_from from;
  if (b->progress) {
    part.progress = ivf_hnsw_progress;
    part.progress_arg = &progress;
  }
  VDB_TRY(vdb_ivf_ops()->build(&part, err));
  progress.before = b->vecs->n;
  part.kind = vdb_index_kind(VECDB_INDEX_HNSW);
  part.params.type = VECDB_INDEX_HNSW;
  if (b->from && b->from->index->ops == vdb_ivf_hnsw_ops()) {
    const struct ivf_hnsw *older = (const struct ivf_hnsw *)b->from->index;
    from = (struct vdb_index_from){older->graph, b->from->rows};
    part.from = &from;
  }
  return vdb_hnsw_ops()->build(&part, err);
}

static void ivf_hnsw_close(struct vdb_mem *mem, struct vdb_index *index) {
  struct ivf_hnsw *both = (struct ivf_hnsw *)index;
  if (!both)
    return;
  vdb_hnsw_ops()->close(mem, both->graph);
  vdb_ivf_ops()->close(mem, both->lists);
  vdb_free(mem, both);
}

static int ivf_hnsw_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                         const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct ivf_hnsw *both = vdb_alloc_zero(mem, sizeof *both);
  if (!both)
    return vdb_fail_memory(err);
  both->base.ops = vdb_ivf_hnsw_ops();
  both->base.vecs = *vecs;
  int rc = vdb_ivf_ops()->open(mem, in, number, vecs, &both->lists, err);
  if (rc == VECDB_OK)
    rc = vdb_hnsw_ops()->open(mem, in, number, vecs, &both->graph, err);
  if (rc != VECDB_OK) {
    ivf_hnsw_close(mem, &both->base);
    return rc;
  }
  *out = &both->base;
  return VECDB_OK;
}

/* Whether so few rows are allowed that a walk may lose its way among them; the lists do not. */
static bool ivf_hnsw_is_sparse(const struct vdb_search *s, uint32_t n) {
  return s->allow && vdb_bits_count(s->allow, n) < n / IVF_HNSW_SPARSE;
}

static int ivf_hnsw_search(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  const struct ivf_hnsw *both = (const struct ivf_hnsw *)index;
  struct vdb_near near[IVF_HNSW_STARTS];
  uint32_t starts[IVF_HNSW_STARTS];
  struct vdb_search lists = *s;
  size_t k = vdb_min_size(s->top.k, IVF_HNSW_STARTS);
  if (ivf_hnsw_is_sparse(s, index->vecs.n))
    return both->lists->ops->search(both->lists, s, err);
  lists.top = (struct vdb_topk){near, k, 0};
  VDB_TRY(both->lists->ops->search(both->lists, &lists, err));
  struct vdb_search walk = *s;
  for (size_t i = 0; i < lists.top.n; i++)
    starts[i] = near[i].row;
  walk.starts = starts;
  walk.n_starts = (uint32_t)lists.top.n;
  walk.effort = s->ef;
  if (walk.effort == 0)
    walk.effort = (uint32_t)vdb_min_size(s->top.k + (size_t)s->effort * IVF_HNSW_WIDEN, UINT32_MAX);
  walk.distances = lists.distances;
  VDB_TRY(both->graph->ops->search(both->graph, &walk, err));
  if (walk.top.n < s->top.k && (s->allow || s->accept)) {
    walk.top.n = 0;
    VDB_TRY(both->lists->ops->search(both->lists, &walk, err));
  }
  s->top = walk.top;
  s->distances = walk.distances;
  return VECDB_OK;
}

static void ivf_hnsw_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct ivf_hnsw *both = (const struct ivf_hnsw *)index;
  struct vdb_index_traits graph;
  both->graph->ops->traits(both->graph, &graph);
  both->lists->ops->traits(both->lists, out);
  out->memory += graph.memory;
  out->links = graph.links;
}

static int ivf_hnsw_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                         vecdb_error *err) {
  const struct ivf_hnsw *both = (const struct ivf_hnsw *)index;
  VDB_TRY(both->lists->ops->warm(both->lists, w, err));
  return both->graph->ops->warm(both->graph, w, err);
}

VDB_INTERNAL const struct vdb_index_ops *vdb_ivf_hnsw_ops(void) {
  static const struct vdb_index_ops ops = {.name = "ivf_hnsw",
                                           .effort = VDB_EFFORT_NPROBE,
                                           .build = ivf_hnsw_build,
                                           .open = ivf_hnsw_open,
                                           .close = ivf_hnsw_close,
                                           .search = ivf_hnsw_search,
                                           .traits = ivf_hnsw_traits,
                                           .warm = ivf_hnsw_warm};
  return &ops;
}
