/*
 * hnsw_search.c - searches of an opened index; see hnsw.h. A search with a filter keeps the rows
 * that pass in a pool of their own, as wide as a plain search's, and a heap of nodes to expand. It
 * ends when the nearest of these is farther than the worst of a full pool. Two ways to expand:
 *
 *   late     All links are followed and scored, whether their rows pass or not. Right when many do.
 *   near     Only allowed rows are scored. Where a link leads to a row that is not allowed, that
 *            row's links are looked at instead (Patel et al., ACORN, 2024), until enough rows have
 *            been found. Right when few pass, as a bit is cheaper to read than a vector.
 */
#include "base/bitmap.h"
#include "base/check.h"
#include "index/hnsw.h"

enum {
  SEARCH_NEAR_PERCENT = 15, /* allowed rows below which only these are scored */
  SEARCH_NEAR_ROWS = 48,    /* rows to look for among links of links */
  SEARCH_SAMPLE = 128,      /* words of the bitmap to estimate its share from */
  SEARCH_AGAIN = 10,        /* of codes whose errors are not known: 1.5 k and so many */
  SEARCH_END_K = 10,        /* searches for fewer look as far as one for so many */
  SEARCH_WIDER = 4,         /* times `effort` that a search keeps where it may look farther, */
  SEARCH_WIDEST = 1024,     /* as long as that is not more than so many */
  SEARCH_SEEDS = 16         /* allowed rows from all over that a `near` walk starts from as well */
};

/* Standard deviations of keys by code that a row may be farther than the k-th and be scored again;
   and that squared distances must have to say something. */
#define SEARCH_DEVIATIONS 3.0f

struct hnsw_filtered {
  struct vdb_hnsw_walk *walk;
  struct vdb_search *s;
  struct vdb_mem *mem;
  bool near;
};

VDB_INTERNAL bool vdb_hnsw_frontier_push(struct vdb_mem *mem, struct vdb_hnsw_scratch *scratch,
                                         uint64_t item) {
  if (!VDB_GROW(mem, scratch->frontier, scratch->frontier_capacity, scratch->n_frontier + 1))
    return false;
  uint64_t *heap = scratch->frontier;
  size_t i = scratch->n_frontier++;
  for (; i > 0 && item < heap[(i - 1) / 2]; i = (i - 1) / 2)
    heap[i] = heap[(i - 1) / 2];
  heap[i] = item;
  return true;
}

VDB_INTERNAL uint64_t vdb_hnsw_frontier_pop(struct vdb_hnsw_scratch *scratch) {
  uint64_t *heap = scratch->frontier;
  uint64_t top = heap[0];
  size_t n = --scratch->n_frontier;
  uint64_t item = heap[n];
  size_t i = 0;
  for (size_t child = 1; child < n; child = 2 * i + 1) {
    child += child + 1 < n && heap[child + 1] < heap[child];
    if (item <= heap[child])
      break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = item;
  return top;
}

static bool search_passes(const struct vdb_search *s, uint32_t row) {
  return (!s->allow || vdb_bit_get(s->allow, row)) &&
         (!s->accept || s->accept(s->accept_arg, row));
}

/* Takes a scored node: to expand it, and as results its rows that pass. False: out of memory. */
static bool search_take(struct hnsw_filtered *f, uint64_t item) {
  struct vdb_walk_pool *found = &f->walk->scratch->found;
  uint32_t row = vdb_walk_item_node(item);
  if (!vdb_walk_pool_wants(found, item))
    return true;
  if (!vdb_hnsw_frontier_push(f->mem, f->walk->scratch, item))
    return false;
  if (search_passes(f->s, row))
    vdb_walk_pool_add(found, item);
  const uint32_t *copies;
  uint32_t n = vdb_hnsw_copies_of(&f->walk->graph->copies, row, &copies);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t copy = (item & ~(uint64_t)UINT32_MAX) | (uint64_t)copies[i] << 1;
    if (vdb_walk_pool_wants(found, copy) && search_passes(f->s, copies[i]))
      vdb_walk_pool_add(found, copy);
  }
  return true;
}

static bool search_copy_is_allowed(const struct hnsw_filtered *f, uint32_t node) {
  const uint32_t *copies;
  uint32_t n = vdb_hnsw_copies_of(&f->walk->graph->copies, node, &copies);
  while (n > 0 && !vdb_bit_get(f->s->allow, copies[n - 1]))
    n--;
  return n > 0;
}

/* Whether a node stands for an allowed row. */
VDB_INLINE bool search_is_allowed(const struct hnsw_filtered *f, uint32_t node) {
  const uint64_t *has = f->walk->graph->copies.has;
  return vdb_bit_get(f->s->allow, node) ||
         (has && vdb_bit_get(has, node) && search_copy_is_allowed(f, node));
}

/* Adds the unseen allowed links of a node to the first n of scratch->nodes; how many are there. */
static uint32_t search_allowed(struct hnsw_filtered *f, uint32_t node, uint32_t n) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  struct vdb_hnsw_scratch *scratch = f->walk->scratch;
  const uint32_t *links = vdb_hnsw_links(layer, node);
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    if (search_is_allowed(f, links[i]) && vdb_visited_add(&scratch->seen, links[i]))
      scratch->nodes[n++] = links[i];
    if (n == VDB_HNSW_HOP)
      break;
  }
  return n;
}

/* Unseen allowed rows among the links of a node and, as long as they are few, the links of those
   links that are not allowed. */
static uint32_t search_collect_near(struct hnsw_filtered *f, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  struct vdb_visited *seen = &f->walk->scratch->seen;
  const uint32_t *links = vdb_hnsw_links(layer, node);
  uint32_t n = search_allowed(f, node, 0);
  uint32_t bridges[VDB_HNSW_HOP];
  uint32_t n_bridges = 0;
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    if (vdb_visited_has(seen, links[i]) || search_is_allowed(f, links[i]))
      continue;
    VDB_PREFETCH(vdb_hnsw_links(layer, links[i]));
    VDB_PREFETCH(vdb_hnsw_links(layer, links[i]) + VDB_HNSW_ROW_UNIT);
    bridges[n_bridges++] = links[i];
  }
  for (uint32_t i = 0; i < n_bridges && n < SEARCH_NEAR_ROWS; i++) {
    vdb_visited_add(seen, bridges[i]);
    n = search_allowed(f, bridges[i], n);
  }
  return n;
}

/* Scores and takes the first n of scratch->nodes. False: out of memory. */
static bool search_take_nodes(struct hnsw_filtered *f, uint32_t n) {
  struct vdb_hnsw_scratch *scratch = f->walk->scratch;
  const struct vdb_walk_pool *found = &scratch->found;
  if (found->n == found->width)
    n = vdb_hnsw_sift(f->walk, 0, n, vdb_walk_item_key(found->items[found->width - 1]));
  vdb_hnsw_score(f->walk, 0, n);
  for (uint32_t i = 0; i < n; i++)
    if (!search_take(f, vdb_walk_item(scratch->keys[i], scratch->nodes[i])))
      return false;
  return true;
}

/* Nodes to start from besides the entry, spread evenly: the first allowed row after each mark. Rows
   without links are copies. */
static uint32_t search_seeds(struct hnsw_filtered *f) {
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  uint32_t n = 0;
  for (uint32_t i = 0; i < SEARCH_SEEDS; i++) {
    size_t mark = (size_t)layer->n * i / SEARCH_SEEDS;
    size_t row = vdb_bits_next(f->s->allow, layer->n, mark);
    if (row < layer->n && vdb_hnsw_links(layer, (uint32_t)row)[0] != VDB_HNSW_NONE &&
        vdb_visited_add(&f->walk->scratch->seen, (uint32_t)row))
      f->walk->scratch->nodes[n++] = (uint32_t)row;
  }
  return n;
}

static bool search_filtered(struct hnsw_filtered *f, uint64_t start) {
  struct vdb_hnsw_scratch *scratch = f->walk->scratch;
  const struct vdb_hnsw_layer *layer = &f->walk->graph->layers[0];
  scratch->n_frontier = 0;
  vdb_visited_clear(&scratch->seen);
  vdb_visited_add(&scratch->seen, vdb_walk_item_node(start));
  if (!search_take(f, start) || (f->near && !search_take_nodes(f, search_seeds(f))))
    return false;
  for (uint32_t hops = 0; scratch->n_frontier > 0 && !vdb_hnsw_stopped(f->walk, hops); hops++) {
    uint64_t item = vdb_hnsw_frontier_pop(scratch);
    if (!vdb_walk_pool_wants(&scratch->found, item))
      break;
    uint32_t node = vdb_walk_item_node(item);
    uint32_t n = f->near ? search_collect_near(f, node) : vdb_hnsw_collect(scratch, layer, node);
    if (!search_take_nodes(f, n))
      return false;
  }
  return true;
}

/* Whether so few rows are allowed that only these should be scored. */
static bool search_is_near(const struct vdb_search *s, uint32_t n) {
  if (!s->allow)
    return false;
  size_t words = vdb_bits_words(n);
  size_t step = words / SEARCH_SAMPLE + 1;
  size_t bits = 0;
  size_t looked = 0;
  for (size_t w = 0; w < words; w += step, looked++)
    bits += (size_t)__builtin_popcountll(s->allow[w]);
  return bits * 100 < vdb_min_size(looked * 64, n) * SEARCH_NEAR_PERCENT;
}

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

/* How wide the pool of a plain search is, and where it ends; see vdb_search.stretch. */
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
  size_t width = filtered ? vdb_max_size(s->effort, s->top.k) : search_width(hnsw, s, &walk);
  if (!vdb_hnsw_pool_reset(pool, hnsw->mem, width))
    return vdb_fail_memory(err);
  uint64_t start = search_start(&walk, s);
  if (filtered) {
    struct hnsw_filtered f = {&walk, s, hnsw->mem, search_is_near(s, hnsw->base.vecs.n)};
    if (!search_filtered(&f, start))
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
