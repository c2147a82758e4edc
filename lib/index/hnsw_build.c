/*
 * hnsw_build.c - batched insertion; see hnsw.h. Layers are built from the top down, each beginning
 * with the finished links of the layer above, whose nodes it shares; or level 0 with those of an
 * older index (hnsw_grow.c). The nodes of a batch search the graph as it was before the batch, in
 * parallel, and are linked back afterwards target by target: no step depends on the number of
 * workers or on their timing.
 */
#include "base/check.h"
#include "base/rng.h"
#include "index/hnsw.h"

enum {
  BUILD_SHARE = 64,  /* a batch is at most this part of what is built */
  BUILD_BATCH = 2048 /* and at most so many nodes */
};

static void build_order(struct vdb_hnsw_builder *h) {
  struct vdb_rng rng = {h->b->seed};
  uint32_t n = h->b->vecs->n;
  for (uint32_t i = 0; i < n; i++)
    h->order[i] = i;
  for (uint32_t i = n; i > 1; i--) {
    uint32_t k = vdb_rng_below(&rng, i);
    uint32_t row = h->order[k];
    h->order[k] = h->order[i - 1];
    h->order[i - 1] = row;
  }
}

/* Sizes of the layers: each has one in m of the nodes below, until few are left. */
static void build_shape(struct vdb_hnsw_builder *h) {
  struct vdb_hnsw_graph *graph = &h->graph;
  uint32_t m = h->b->params.m;
  uint32_t n = h->n_nodes;
  graph->layers[0].n = h->b->vecs->n;
  graph->layers[0].width = (uint32_t)vdb_round_up(2 * (uint64_t)m, VDB_HNSW_ROW_UNIT);
  graph->n_layers = 1;
  while (n > 2 * m) {
    n = (n - 1) / m + 1;
    graph->layers[graph->n_layers].n = n;
    graph->layers[graph->n_layers++].width = m;
  }
}

static bool build_worker_init(struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w) {
  struct vdb_mem *mem = h->b->mem;
  size_t merged = 3 * (size_t)h->graph.layers[0].width;
  size_t most = vdb_max_size(merged, h->b->params.ef_construction);
  w->scratch = vdb_hnsw_scratch_new(mem, h->b->vecs->n);
  w->left.rows = vdb_alloc_array(mem, most, sizeof *w->left.rows);
  w->left.places = vdb_alloc_array(mem, most, sizeof *w->left.places);
  w->left.keys = vdb_alloc_array(mem, most, sizeof *w->left.keys);
  w->left.others = vdb_alloc_array(mem, most, sizeof *w->left.others);
  w->left.chosen = vdb_alloc(mem, most);
  w->row.room = vdb_alloc_wide(mem, vdb_max_size(vdb_hnsw_row_room(&h->space),
                                                 vdb_hnsw_row_room(&h->walked)));
  return w->scratch && w->left.rows && w->left.places && w->left.keys && w->left.others &&
         w->left.chosen && w->row.room && vdb_hnsw_pool_reset(&w->merged, mem, merged) &&
         vdb_hnsw_pool_reset(&w->scratch->pool, mem, h->b->params.ef_construction);
}

static int build_init(struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct vdb_mem *mem = h->b->mem;
  h->order = vdb_alloc_array(mem, h->b->vecs->n, sizeof *h->order);
  if (!h->order)
    return vdb_fail_memory(err);
  build_order(h);
  VDB_TRY(vdb_hnsw_find_copies(h, err));
  VDB_TRY(vdb_hnsw_grow_begin(h, err));
  vdb_free(mem, h->first_of);
  h->first_of = NULL;
  VDB_TRY(vdb_hnsw_codes_build(h, err));
  build_shape(h);
  size_t edges = (size_t)vdb_min_u32(BUILD_BATCH, h->b->vecs->n) * h->graph.layers[0].width;
  h->batch_links = vdb_alloc_array(mem, edges, sizeof *h->batch_links);
  h->batch_keys = vdb_alloc_array(mem, edges, sizeof *h->batch_keys);
  h->edges = vdb_alloc_array(mem, edges, sizeof *h->edges);
  h->edges_swap = vdb_alloc_array(mem, edges, sizeof *h->edges_swap);
  h->groups = vdb_alloc_array(mem, edges + 1, sizeof *h->groups);
  h->workers = vdb_alloc_zero(mem, h->b->par->workers * sizeof *h->workers);
  if (!h->batch_links || !h->batch_keys || !h->edges || !h->edges_swap || !h->groups ||
      !h->workers)
    return vdb_fail_memory(err);
  for (unsigned i = 0; i < h->b->par->workers; i++)
    if (!build_worker_init(h, &h->workers[i]))
      return vdb_fail_memory(err);
  h->graph.order = h->order;
  h->graph.entry = h->order[0];
  return VECDB_OK;
}

static void build_fini(struct vdb_hnsw_builder *h) {
  struct vdb_mem *mem = h->b->mem;
  for (unsigned i = 0; h->workers && i < h->b->par->workers; i++) {
    vdb_hnsw_scratch_free(mem, h->workers[i].scratch);
    vdb_free(mem, h->workers[i].merged.items);
    vdb_free(mem, h->workers[i].left.rows);
    vdb_free(mem, h->workers[i].left.places);
    vdb_free(mem, h->workers[i].left.keys);
    vdb_free(mem, h->workers[i].left.others);
    vdb_free(mem, h->workers[i].left.chosen);
    vdb_free(mem, h->workers[i].row.room);
  }
  for (uint32_t l = 0; l < VDB_HNSW_MAX_LAYERS; l++)
    vdb_free(mem, h->links[l]);
  vdb_free(mem, h->workers);
  vdb_free(mem, h->groups);
  vdb_free(mem, h->edges_swap);
  vdb_free(mem, h->edges);
  vdb_free(mem, h->batch_keys);
  vdb_free(mem, h->batch_links);
  vdb_free(mem, h->link_keys);
  vdb_hnsw_grow_end(h);
  vdb_free(mem, h->first_of);
  vdb_free(mem, h->copies_block);
  if (h->graph.codes.ops && h->graph.codes.ops != h->codes.ops)
    h->graph.codes.ops->close(mem, &h->graph.codes, true);
  if (h->codes.ops)
    h->codes.ops->close(mem, &h->codes, true);
  vdb_free(mem, h->order);
}

/* Copies the links of the layer above, by position there, to the nodes they become here, unless
   these have their own. Nodes still to be inserted are thus on the way of walks already. */
static void build_inherit(struct vdb_hnsw_builder *h, const float *keys_above) {
  const struct vdb_hnsw_layer *above = &h->graph.layers[h->layer + 1];
  uint32_t width = h->graph.layers[h->layer].width;
  for (uint32_t p = 0; p < above->n; p++) {
    size_t node = vdb_hnsw_node_of(h, p);
    const uint32_t *links = vdb_hnsw_links(above, p);
    if (vdb_hnsw_is_kept(h, (uint32_t)node))
      continue;
    for (uint32_t i = 0; i < above->width && links[i] != VDB_HNSW_NONE; i++) {
      h->links[h->layer][node * width + i] = vdb_hnsw_node_of(h, links[i]);
      h->link_keys[node * width + i] = keys_above[(size_t)p * above->width + i];
    }
  }
}

/* Makes a layer that has the nodes and links of the one above. */
static int build_begin_layer(struct vdb_hnsw_builder *h, uint32_t l, vecdb_error *err) {
  struct vdb_hnsw_layer *layer = &h->graph.layers[l];
  float *keys_above = h->link_keys;
  size_t slots = (size_t)layer->n * layer->width;
  uint32_t m = h->b->params.m;
  uint32_t cap = l == 0 ? 2 * m : m;
  h->layer = l;
  h->rule_new = (struct vdb_hnsw_rule){cap, cap};
  h->rule_back = (struct vdb_hnsw_rule){cap, m};
  h->link_keys = vdb_alloc_array(h->b->mem, slots, sizeof *h->link_keys);
  h->links[l] = vdb_alloc_wide(h->b->mem, slots * sizeof *h->links[l]);
  int rc = VECDB_OK;
  if (!h->link_keys || !h->links[l]) {
    rc = vdb_fail_memory(err);
  } else {
    layer->links = h->links[l];
    memset(h->links[l], 0xff, slots * sizeof *h->links[l]);
    if (l == 0 && h->source.graph)
      vdb_hnsw_grow_links(h);
    if (l + 1 < h->graph.n_layers)
      build_inherit(h, keys_above);
  }
  vdb_free(h->b->mem, keys_above);
  return rc;
}

/* Scores the items of the pool again, by what links are chosen by. */
static void build_rescore(struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w, uint32_t row) {
  struct vdb_walk_pool *pool = &w->scratch->pool;
  uint32_t n = (uint32_t)pool->n;
  const void *query = vdb_hnsw_row_query(&h->space, &h->space, row, &w->row);
  for (uint32_t i = 0; i < n; i++) {
    w->left.places[i] = vdb_walk_item_node(pool->items[i]);
    w->left.rows[i] = vdb_hnsw_row_of(h, w->left.places[i]);
    vdb_codes_prefetch(h->space.codes, w->left.rows[i]);
  }
  vdb_hnsw_keys(&h->space, query, w->left.rows, n, w->left.keys);
  vdb_hnsw_pool_clear(pool, pool->width);
  vdb_walk_kern()->offer(pool, w->left.places, w->left.keys, n);
}

/* The i-th node of the batch. */
static uint32_t build_batch_node(const struct vdb_hnsw_builder *h, uint32_t i) {
  return h->todo ? h->todo[h->first + i] : h->n_built + h->first + i;
}

/* Finds nodes near a node, as links to choose among. */
static const struct vdb_walk_pool *build_search(struct vdb_hnsw_builder *h,
                                                struct vdb_hnsw_worker *w, uint32_t node) {
  uint32_t row = vdb_hnsw_row_of(h, node);
  const void *query = vdb_hnsw_row_query(&h->space, &h->walked, row, &w->row);
  struct vdb_hnsw_walk walk = {&h->graph, &h->walked, query, w->scratch, NULL, NULL, 0,
                               {0, 0, 0, 0}};
  uint64_t start = vdb_hnsw_descend(&walk, h->layer);
  vdb_hnsw_pool_clear(&w->scratch->pool, h->b->params.ef_construction);
  vdb_hnsw_beam(&walk, h->layer, start);
  if (h->walked.codes != h->space.codes)
    build_rescore(h, w, row);
  return &w->scratch->pool;
}

/* Finds and chooses the links of the i-th node of the batch. */
static void build_node(void *arg, size_t i, unsigned worker) {
  struct vdb_hnsw_builder *h = arg;
  struct vdb_hnsw_worker *w = &h->workers[worker];
  uint32_t node = build_batch_node(h, (uint32_t)i);
  size_t at = i * h->graph.layers[h->layer].width;
  bool kept = vdb_hnsw_is_kept(h, node);
  const struct vdb_walk_pool *near =
      kept ? vdb_hnsw_grow_near(h, w, node) : build_search(h, w, node);
  vdb_hnsw_choose(h, w, node, near, kept ? &h->rule_back : &h->rule_new, h->batch_links + at,
                  h->batch_keys + at);
}

/* Puts the rows of the batch into the graph, and lists their links as edges back. */
static void build_edges(struct vdb_hnsw_builder *h, uint32_t batch) {
  uint32_t width = h->graph.layers[h->layer].width;
  h->n_edges = 0;
  for (uint32_t i = 0; i < batch; i++) {
    uint32_t node = build_batch_node(h, i);
    const uint32_t *links = h->batch_links + (size_t)i * width;
    const float *keys = h->batch_keys + (size_t)i * width;
    memcpy(h->links[h->layer] + (size_t)node * width, links, width * sizeof *links);
    memcpy(h->link_keys + (size_t)node * width, keys, width * sizeof *keys);
    for (uint32_t k = 0; k < width && links[k] != VDB_HNSW_NONE; k++)
      h->edges[h->n_edges++] = (struct vdb_hnsw_edge){links[k], node, keys[k]};
  }
}

/* Which nodes of a layer have their links, and which are to get them; how many these are. */
static uint32_t build_plan(struct vdb_hnsw_builder *h, uint32_t l) {
  uint32_t n = l == 0 ? h->n_nodes : h->graph.layers[l].n;
  h->n_built = l + 1 < h->graph.n_layers ? h->graph.layers[l + 1].n : 1;
  h->todo = l == 0 ? h->order + h->n_built : NULL;
  if (l == 0 && h->source.graph) {
    h->n_built = n - h->source.n_todo;
    h->todo = h->source.todo;
  }
  return n - h->n_built;
}

/* Tells of nodes that have their links. Never fewer than before, though few of those that the
   layer above has may count in level 0. */
static int build_tell(struct vdb_hnsw_builder *h, uint32_t done, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  h->told = done > h->told ? done : h->told;
  if (b->progress && b->progress(b->progress_arg, h->told, b->vecs->n))
    return vdb_fail(err, VECDB_ERR_CANCELLED, "building the index was cancelled");
  return VECDB_OK;
}

static int build_layer(struct vdb_hnsw_builder *h, uint32_t l, vecdb_error *err) {
  VDB_TRY(build_begin_layer(h, l, err));
  const struct vdb_par *par = h->b->par;
  uint32_t n = build_plan(h, l);
  uint32_t batch;
  for (h->first = 0; h->first < n; h->first += batch) {
    uint32_t built = h->n_built + h->first;
    batch = vdb_min_u32(built / BUILD_SHARE + 1, BUILD_BATCH);
    batch = vdb_min_u32(batch, n - h->first);
    par->run(par, batch, build_node, h);
    build_edges(h, batch);
    vdb_hnsw_link_back(h);
    VDB_TRY(build_tell(h, built + batch, err));
  }
  vdb_hnsw_sort_rows(h);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_hnsw_build_as(const struct vdb_index_build *b, vdb_hnsw_write_fn finish,
                                   vecdb_error *err) {
  struct vdb_hnsw_builder h = {0};
  h.b = b;
  if (b->vecs->n == 0)
    return finish(&h, err);
  if (b->vecs->n > VDB_HNSW_MAX_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%u rows are too many for one graph",
                    (unsigned)b->vecs->n);
  int rc = build_init(&h, err);
  for (uint32_t l = h.graph.n_layers; rc == VECDB_OK && l-- > 0;)
    rc = build_layer(&h, l, err);
  if (rc == VECDB_OK)
    rc = vdb_hnsw_connect(&h, err);
  if (rc == VECDB_OK)
    rc = finish(&h, err);
  build_fini(&h);
  return rc;
}

VDB_INTERNAL int vdb_hnsw_build(const struct vdb_index_build *b, vecdb_error *err) {
  return vdb_hnsw_build_as(b, vdb_hnsw_write, err);
}
