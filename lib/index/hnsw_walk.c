/* hnsw_walk.c - walks over the graph: descent and beam search; see hnsw.h. */
#include <math.h>

#include "base/check.h"
#include "index/hnsw.h"
#include "index/sq.h"

enum {
  WALK_POLL = 16, /* hops between two looks at `stop` */
  WALK_AHEAD = 2  /* nodes whose links are asked for before they are expanded */
};

VDB_INTERNAL struct vdb_hnsw_scratch *vdb_hnsw_scratch_new(struct vdb_mem *mem, uint32_t n) {
  struct vdb_hnsw_scratch *s = vdb_alloc_zero(mem, sizeof *s);
  if (!s)
    return NULL;
  if (!vdb_visited_init(&s->seen, mem, n)) {
    vdb_free(mem, s);
    return NULL;
  }
  return s;
}

VDB_INTERNAL void vdb_hnsw_scratch_free(struct vdb_mem *mem, struct vdb_hnsw_scratch *scratch) {
  if (!scratch)
    return;
  vdb_visited_free(&scratch->seen, mem);
  vdb_free(mem, scratch->pool.items);
  vdb_free(mem, scratch->found.items);
  vdb_free(mem, scratch->frontier);
  vdb_free(mem, scratch->code_query);
  vdb_free(mem, scratch->fine_query);
  vdb_free(mem, scratch);
}

VDB_INTERNAL void vdb_hnsw_pool_clear(struct vdb_walk_pool *pool, size_t width) {
  vdb_assert(width > 0 && width <= pool->capacity);
  pool->n = 0;
  pool->width = width;
  memset(pool->items, 0xff, vdb_round_up(width, 8) * sizeof *pool->items);
}

VDB_INTERNAL bool vdb_hnsw_pool_reset(struct vdb_walk_pool *pool, struct vdb_mem *mem,
                                      size_t width) {
  if (width > pool->capacity) {
    size_t capacity = vdb_round_up(width, 64);
    uint64_t *items = vdb_alloc_wide(mem, capacity * sizeof *items);
    if (!items)
      return false;
    vdb_free(mem, pool->items);
    pool->items = items;
    pool->capacity = capacity;
  }
  vdb_hnsw_pool_clear(pool, width);
  return true;
}

VDB_INTERNAL size_t vdb_hnsw_row_room(const struct vdb_hnsw_space *space) {
  const struct vdb_codes *codes = space->codes;
  size_t floats = space->vecs->dim * sizeof(float);
  return codes->ops ? vdb_max_size(floats, codes->ops->query_bytes(codes)) : floats;
}

VDB_INTERNAL const void *vdb_hnsw_row_query(const struct vdb_hnsw_space *space,
                                            const struct vdb_hnsw_space *walked, uint32_t row,
                                            struct vdb_hnsw_row *out) {
  const struct vdb_vecs *vecs = space->vecs;
  const uint8_t *raw = vecs->data + (size_t)row * vecs->stride;
  if (space->codes->ops) {
    vdb_sq_row_query(space->codes, row, walked->codes, out->room);
    return out->room;
  }
  out->raw.inv_norm = vecs->inv_norms ? vecs->inv_norms[row] : 1.0f;
  if (vecs->elem == VDB_F16 || vecs->elem == VDB_BF16) {
    out->raw.data = out->room;
    (vecs->elem == VDB_F16 ? vdb_kern()->f16_to_f32 : vdb_kern()->bf16_to_f32)(
        (const uint16_t *)(const void *)raw, out->room, vecs->dim);
  } else {
    out->raw.data = (void *)(uintptr_t)raw; /* kernels only read it */
  }
  return &out->raw;
}

VDB_INTERNAL uint32_t vdb_hnsw_collect(struct vdb_hnsw_scratch *scratch,
                                       const struct vdb_hnsw_layer *layer, uint32_t node) {
  const uint32_t *links = vdb_hnsw_links(layer, node);
  uint32_t n = 0;
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    scratch->nodes[n] = links[i];
    n += vdb_visited_add(&scratch->seen, links[i]);
  }
  return n;
}

/* Asks for the codes of rows, or for their sketches. Inlined, as the compiler takes a function
   that only asks for memory to do nothing. */
VDB_INLINE void walk_fetch(const struct vdb_codes *codes, const uint32_t *rows, uint32_t n,
                           bool sketches) {
  for (uint32_t i = 0; sketches && i < n; i++)
    vdb_codes_prefetch_sketch(codes, rows[i]);
  for (uint32_t i = 0; !sketches && codes->ops && i < n; i++)
    vdb_codes_prefetch(codes, rows[i]);
}

VDB_INTERNAL void vdb_hnsw_score(struct vdb_hnsw_walk *walk, uint32_t layer, uint32_t n) {
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  const uint32_t *rows = scratch->nodes;
  if (layer > 0) {
    for (uint32_t i = 0; i < n; i++)
      scratch->rows[i] = walk->graph->order[scratch->nodes[i]];
    rows = scratch->rows;
  }
  walk_fetch(walk->space->codes, rows, n, false);
  vdb_hnsw_keys(walk->space, walk->query, rows, n, scratch->keys);
  walk->distances += n;
}

VDB_INTERNAL bool vdb_hnsw_stopped(const struct vdb_hnsw_walk *walk, uint32_t hops) {
  return walk->stop && hops % WALK_POLL == WALK_POLL - 1 && walk->stop(walk->stop_arg);
}

VDB_INTERNAL uint32_t vdb_hnsw_sift(struct vdb_hnsw_walk *walk, uint32_t layer, uint32_t n,
                                    float limit) {
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  const struct vdb_codes *codes = walk->space->codes;
  uint32_t *rows = scratch->nodes;
  if (!codes->ops || !codes->sketches)
    return n;
  if (layer > 0) {
    rows = scratch->rows;
    for (uint32_t i = 0; i < n; i++)
      rows[i] = walk->graph->order[scratch->nodes[i]];
  }
  walk_fetch(codes, rows, n, true);
  uint32_t kept = (uint32_t)codes->ops->sift(codes, walk->query, rows, scratch->nodes, n, limit);
  walk->distances += n - kept;
  return kept;
}

VDB_INTERNAL uint64_t vdb_hnsw_descend(struct vdb_hnsw_walk *walk, uint32_t layer) {
  const struct vdb_hnsw_graph *graph = walk->graph;
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  vdb_assert(layer < graph->n_layers);
  float key;
  vdb_hnsw_keys(walk->space, walk->query, &graph->entry, 1, &key);
  uint64_t best = vdb_walk_item(key, 0);
  walk->distances++;
  for (uint32_t l = graph->n_layers - 1; l > layer; l--) {
    vdb_visited_clear(&scratch->seen);
    for (uint64_t from = UINT64_MAX; from != best;) {
      from = best;
      uint32_t n = vdb_hnsw_collect(scratch, &graph->layers[l], vdb_walk_item_node(from));
      n = vdb_hnsw_sift(walk, l, n, vdb_walk_item_key(best));
      vdb_hnsw_score(walk, l, n);
      for (uint32_t i = 0; i < n; i++) {
        uint64_t item = vdb_walk_item(scratch->keys[i], scratch->nodes[i]);
        best = item < best ? item : best;
      }
    }
  }
  if (layer > 0)
    return best;
  uint32_t position = vdb_walk_item_node(best);
  uint32_t row = graph->n_layers > 1 ? graph->order[position] : graph->entry;
  return (best & ~(uint64_t)UINT32_MAX) | (uint64_t)row << 1;
}

/* The first unexpanded item at or after i. */
static size_t walk_next(const struct vdb_walk_pool *pool, size_t i) {
  while (i < pool->n && (pool->items[i] & 1))
    i++;
  return i;
}

/* Asks for the links of the next nodes to expand. */
static void walk_prefetch(const struct vdb_hnsw_layer *layer, const struct vdb_walk_pool *pool,
                          size_t at) {
  for (uint32_t i = 0; i < WALK_AHEAD && at < pool->n; i++) {
    size_t first = (size_t)vdb_walk_item_node(pool->items[at]) * layer->width;
    for (uint32_t k = 0; k < layer->width; k += VDB_HNSW_ROW_UNIT) {
      VDB_PREFETCH(layer->links + first + k);
      if (layer->briefs)
        VDB_PREFETCH(layer->briefs + first + k);
    }
    at = walk_next(pool, at + 1);
  }
}

/* Rows of the nodes of a stage. */
static const uint32_t *walk_rows(const struct vdb_hnsw_walk *walk, uint32_t l,
                                 const struct vdb_hnsw_stage *stage) {
  uint32_t *rows = walk->scratch->rows;
  if (l == 0)
    return stage->nodes;
  for (uint32_t i = 0; i < stage->n; i++)
    rows[i] = walk->graph->order[stage->nodes[i]];
  return rows;
}

/* Expanding: adds the unseen links of a node to a stage. What is seen is kept in a variable
   meanwhile, so that the compiler need not fear that the stage's arrays overlap with it. */
static void walk_expand(struct vdb_hnsw_scratch *scratch, const struct vdb_hnsw_layer *layer,
                        uint32_t node, struct vdb_hnsw_stage *stage) {
  const uint32_t *links = vdb_hnsw_links(layer, node);
  struct vdb_visited seen = scratch->seen;
  uint32_t n = 0;
  for (uint32_t i = 0, width = layer->width; i < width && links[i] != VDB_HNSW_NONE; i++) {
    uint32_t link = links[i];
    stage->nodes[n] = link;
    stage->places[n] = i;
    n += vdb_visited_add(&seen, link);
  }
  scratch->seen.n_touched = seen.n_touched;
  stage->n = n;
  stage->briefs = layer->briefs ? layer->briefs + (links - layer->links) : NULL;
}

/* Leaves of a stage that is scored what is not beyond the limit. Without a branch, as that is hard
   to predict; NaN, of damaged rows, stays. */
static uint32_t walk_leave(struct vdb_hnsw_scratch *scratch, struct vdb_hnsw_stage *stage,
                           float limit) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < stage->n; i++) {
    float key = scratch->keys[i];
    stage->nodes[kept] = stage->nodes[i];
    scratch->keys[kept] = key;
    kept += !(key > limit);
  }
  return kept;
}

/* Scores a stage and offers it to the pool; the first place that changed. */
static size_t walk_offer(struct vdb_hnsw_walk *walk, uint32_t l, struct vdb_hnsw_stage *stage,
                         float limit) {
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  const struct vdb_codes *codes = walk->space->codes;
  uint32_t n = stage->n;
  for (uint32_t i = 0; stage->briefs && i < n; i++)
    scratch->briefs[i] = stage->briefs[stage->places[i]];
  if (stage->briefs)
    codes->ops->keys_brief(codes, walk->query, stage->nodes, scratch->briefs, n, scratch->keys);
  else
    vdb_hnsw_keys(walk->space, walk->query, walk_rows(walk, l, stage), n, scratch->keys);
  walk->distances += n;
  if (walk->end.k > 0 && limit < INFINITY)
    n = walk_leave(scratch, stage, limit);
  stage->n = 0;
  return vdb_walk_kern()->offer(&scratch->pool, stage->nodes, scratch->keys, n);
}

/* The lesser; of NaN, of damaged rows, and a limit the limit. */
VDB_INLINE float walk_lesser(float limit, float other) { return other < limit ? other : limit; }

VDB_INTERNAL float vdb_hnsw_limit(const struct vdb_hnsw_walk *walk,
                                  const struct vdb_walk_pool *pool) {
  const struct vdb_codes *codes = walk->space->codes;
  float limit = INFINITY;
  if (pool->n == pool->width)
    limit = vdb_walk_item_key(pool->items[pool->width - 1]);
  if (walk->end.k == 0 || pool->n < walk->end.k)
    return limit;
  float kth = vdb_walk_item_key(pool->items[walk->end.k - 1]);
  float squared = codes->ops->squared(codes, walk->query, kth);
  if (squared >= walk->end.least)
    return walk_lesser(limit, kth + walk->end.stretch * squared);
  if (pool->n >= walk->end.width)
    return walk_lesser(limit, vdb_walk_item_key(pool->items[walk->end.width - 1]));
  return limit;
}

/* Takes nodes beyond the limit out of the pool. */
static void walk_cut(struct vdb_walk_pool *pool, size_t k, float limit) {
  while (pool->n > k && vdb_walk_item_key(pool->items[pool->n - 1]) > limit)
    pool->items[--pool->n] = UINT64_MAX;
}

VDB_INTERNAL void vdb_hnsw_beam(struct vdb_hnsw_walk *walk, uint32_t l, uint64_t start) {
  const struct vdb_hnsw_layer *layer = &walk->graph->layers[l];
  const struct vdb_codes *codes = walk->space->codes;
  struct vdb_hnsw_scratch *scratch = walk->scratch;
  struct vdb_walk_pool *pool = &scratch->pool;
  struct vdb_hnsw_stage *stages = scratch->stages;
  bool sketches = l == 0 && codes->ops && codes->sketches;
  uint32_t under_way = 0, lag = sketches ? 2 : 1;
  float limit = INFINITY;
  size_t at = 0;
  vdb_assert(pool->n == 0 && layer->width <= VDB_HNSW_HOP);
  vdb_visited_clear(&scratch->seen);
  vdb_visited_add(&scratch->seen, vdb_walk_item_node(start));
  vdb_walk_pool_add(pool, start);
  for (uint32_t i = 0; i < VDB_COUNT(scratch->stages); i++)
    stages[i].n = 0;
  for (uint32_t hop = 0; (at < pool->n || under_way > 0) && !vdb_hnsw_stopped(walk, hop); hop++) {
    struct vdb_hnsw_stage *fresh = &stages[hop % 3], *sifted = &stages[(hop + 2) % 3];
    struct vdb_hnsw_stage *scored = &stages[(hop + 3 - lag) % 3];
    if (at < pool->n) {
      pool->items[at] |= 1;
      walk_expand(scratch, layer, vdb_walk_item_node(pool->items[at]), fresh);
      fresh->sketches = sketches && limit < INFINITY;
      walk_fetch(codes, walk_rows(walk, l, fresh), fresh->n, fresh->sketches);
      at = walk_next(pool, at + 1);
      walk_prefetch(layer, pool, at);
    }
    if (sifted->n > 0 && sifted->sketches) {
      walk->distances += sifted->n;
      sifted->n = (uint32_t)codes->ops->sift(codes, walk->query, sifted->nodes, sifted->places,
                                             sifted->n, limit);
      walk->distances -= sifted->n; /* each row counts once */
      walk_fetch(codes, sifted->nodes, sifted->n, false);
    }
    if (scored->n > 0) {
      size_t first = walk_offer(walk, l, scored, limit);
      limit = vdb_hnsw_limit(walk, pool);
      if (walk->end.k > 0)
        walk_cut(pool, walk->end.k, limit);
      at = walk_next(pool, vdb_min_size(first, at));
      walk_prefetch(layer, pool, at);
    }
    under_way = stages[0].n + stages[1].n + stages[2].n;
  }
}
