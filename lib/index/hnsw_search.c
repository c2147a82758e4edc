/*
 * hnsw_search.c - searches of an opened index: where they begin, how far they look, and what of
 * their pool is scored again; see hnsw.h.
 */
#include "base/check.h"
#include "index/hnsw.h"

enum {
  SEARCH_AGAIN = 10,        /* of codes whose errors are not known: 1.5 k and so many */
  SEARCH_END_K = 10,        /* searches for fewer look as far as one for so many */
  SEARCH_WIDER = 4,         /* times `effort` that a search keeps where it may look farther, */
  SEARCH_WIDEST = 1024      /* as long as that is not more than so many */
};

/* Standard deviations of keys by code that a row may be farther than the k-th and be scored again;
   and that squared distances must have to say something. */
#define SEARCH_DEVIATIONS 3.0f

/* The query among codes, in memory that is taken when it is first needed; NULL: out of memory. */
static const void *search_code_query(const struct vdb_hnsw *hnsw, const struct vdb_codes *codes,
                                     const struct vdb_search *s, void **room) {
  if (!*room)
    *room = vdb_alloc_wide(hnsw->mem, codes->ops->query_bytes(codes));
  if (*room)
    codes->ops->query(codes, s->query, *room);
  return *room;
}

/* Scores the first n of scratch->rows again. */
static void search_again(const struct vdb_hnsw *hnsw, struct vdb_hnsw_scratch *scratch,
                         struct vdb_search *s, size_t n) {
  const struct vdb_hnsw_graph *graph = &hnsw->graph;
  if (graph->refine == VDB_HNSW_REFINE_NONE)
    return;
  if (graph->refine == VDB_HNSW_REFINE_CODES)
    graph->fine.ops->keys(&graph->fine, scratch->fine_query, scratch->rows, n, scratch->keys);
  else
    vdb_keys_gather(graph->store.data ? &graph->store : &hnsw->base.vecs, s->query, scratch->rows,
                    n, scratch->keys);
  s->distances += n;
}

/* How many of a pool are to be scored again: those that may be among the k nearest, as far as their
   keys by code can be off. */
static size_t search_look(const struct vdb_hnsw *hnsw, const struct vdb_hnsw_scratch *scratch,
                          const struct vdb_walk_pool *pool, size_t k) {
  const struct vdb_codes *codes = &hnsw->graph.codes;
  if (!codes->ops || codes->ops->rough || pool->n <= k)
    return pool->n;
  if (!codes->ops->deviation)
    return vdb_min_size(pool->n, k + k / 2 + SEARCH_AGAIN);
  float off = SEARCH_DEVIATIONS * codes->ops->deviation(codes, scratch->code_query);
  float limit = vdb_walk_item_key(pool->items[k - 1]) + off;
  size_t look = pool->n;
  while (look > k && vdb_walk_item_key(pool->items[look - 1]) > limit)
    look--;
  return look;
}

/* Hands the nearest of a pool to the caller; with copies, where the pool holds only nodes. Among
   codes, the nearest are scored again. */
static void search_finish(const struct vdb_hnsw *hnsw, struct vdb_hnsw_scratch *scratch,
                          const struct vdb_walk_pool *pool, const struct vdb_hnsw_copies *copies,
                          struct vdb_search *s) {
  size_t look = search_look(hnsw, scratch, pool, s->top.k);
  for (size_t i = 0, n; i < look; i += n) {
    n = vdb_min_size(look - i, VDB_HNSW_HOP);
    for (size_t k = 0; k < n; k++) {
      scratch->rows[k] = vdb_walk_item_node(pool->items[i + k]);
      scratch->keys[k] = vdb_walk_item_key(pool->items[i + k]);
    }
    search_again(hnsw, scratch, s, n);
    for (size_t k = 0; k < n; k++) {
      struct vdb_near near = {scratch->keys[k], scratch->rows[k]};
      if (!(near.key <= vdb_topk_bound(&s->top)))
        continue;
      const uint32_t *rows;
      uint32_t n_rows = copies ? vdb_hnsw_copies_of(copies, near.row, &rows) : 0;
      vdb_topk_push(&s->top, near);
      for (uint32_t j = 0; j < n_rows; j++)
        vdb_topk_push(&s->top, (struct vdb_near){near.key, rows[j]});
    }
  }
  vdb_topk_sort(&s->top);
}

/* Where to walk from: the nearest of the rows that the caller knows, as long as they have links (a
   copy of another row has none), else what the upper layers lead to. */
static uint64_t search_start(struct vdb_hnsw_walk *walk, const struct vdb_search *s) {
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  const struct vdb_hnsw_layer *layer = &walk->graph->layers[0];
  uint64_t best = UINT64_MAX;
  uint32_t n = 0;
  for (uint32_t i = 0; i < vdb_min_u32(s->n_starts, VDB_HNSW_HOP); i++)
    if (vdb_hnsw_links(layer, s->starts[i])[0] != VDB_HNSW_NONE)
      scratch->nodes[n++] = s->starts[i];
  if (n == 0)
    return vdb_hnsw_descend(walk, 0);
  vdb_hnsw_score(walk, 0, n);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t item = vdb_walk_item(scratch->keys[i], scratch->nodes[i]);
    best = item < best ? item : best;
  }
  return best;
}

/* How wide the pool of a search is, and where it ends; see vdb_search.stretch. */
static size_t search_width(const struct vdb_hnsw *hnsw, const struct vdb_search *s,
                           struct vdb_hnsw_walk *walk) {
  const struct vdb_codes *codes = &hnsw->graph.codes;
  size_t width = vdb_max_size(s->effort, s->top.k);
  if (s->stretch <= 0 || !codes->ops || !codes->ops->squared || width < SEARCH_END_K)
    return width;
  float least = SEARCH_DEVIATIONS * codes->ops->deviation(codes, walk->query);
  walk->end = (struct vdb_hnsw_end){vdb_max_size(s->top.k, SEARCH_END_K), width, least, s->stretch};
  size_t wider = vdb_min_size(SEARCH_WIDER * width, SEARCH_WIDEST);
  return vdb_max_size(width, vdb_min_size(wider, hnsw->base.vecs.n));
}

/* How far a search without a stretch has looked. */
static float search_stretched(const struct vdb_hnsw_walk *walk, const struct vdb_search *s) {
  const struct vdb_walk_pool *pool = &walk->scratch->pool;
  const struct vdb_codes *codes = walk->space->codes;
  size_t k = vdb_max_size(s->top.k, SEARCH_END_K);
  if (!codes->ops || !codes->ops->squared || pool->n < k)
    return 0;
  float kth = vdb_walk_item_key(pool->items[k - 1]);
  float last = vdb_walk_item_key(pool->items[pool->n - 1]);
  float squared = codes->ops->squared(codes, walk->query, kth);
  float least = SEARCH_DEVIATIONS * codes->ops->deviation(codes, walk->query);
  return squared >= least ? (last - kth) / squared : 0;
}

static int search_walk(const struct vdb_hnsw *hnsw, struct vdb_search *s,
                       struct vdb_hnsw_scratch *scratch, vecdb_error *err) {
  const struct vdb_hnsw_graph *graph = &hnsw->graph;
  struct vdb_hnsw_space space = {&hnsw->base.vecs, &graph->codes};
  struct vdb_hnsw_walk walk = {graph, &space, s->query, scratch, s->stop, s->stop_arg, 0,
                               {0, 0, 0, 0}};
  if (graph->codes.ops)
    walk.query = search_code_query(hnsw, &graph->codes, s, &scratch->code_query);
  if (!walk.query ||
      (graph->fine.ops && !search_code_query(hnsw, &graph->fine, s, &scratch->fine_query)))
    return vdb_fail_memory(err);
  bool filtered = s->allow || s->accept;
  struct vdb_walk_pool *pool = filtered ? &scratch->found : &scratch->pool;
  if (!vdb_hnsw_pool_reset(pool, hnsw->mem, search_width(hnsw, s, &walk)))
    return vdb_fail_memory(err);
  uint64_t start = search_start(&walk, s);
  if (filtered) {
    if (!vdb_hnsw_filtered(&walk, s, hnsw->mem, start))
      return vdb_fail_memory(err);
  } else {
    vdb_hnsw_beam(&walk, 0, start);
    s->stretched = search_stretched(&walk, s);
  }
  s->distances += walk.distances;
  search_finish(hnsw, scratch, pool, filtered ? NULL : &graph->copies, s);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_hnsw_search(const struct vdb_index *index, struct vdb_search *s,
                                 vecdb_error *err) {
  const struct vdb_hnsw *hnsw = (const struct vdb_hnsw *)index;
  if (hnsw->graph.n_layers == 0 || s->top.k == 0)
    return VECDB_OK;
  struct vdb_hnsw_scratch *scratch = vdb_hnsw_take(hnsw);
  if (!scratch)
    return vdb_fail_memory(err);
  int rc = search_walk(hnsw, s, scratch, err);
  vdb_hnsw_give(hnsw, scratch);
  return rc;
}
