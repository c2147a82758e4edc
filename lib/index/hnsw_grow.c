/*
 * hnsw_grow.c - building upon an older index, some of whose rows come again; see hnsw.h. Nearly all
 * of the work of building goes into level 0, so that is what is taken over; the order of the rows,
 * and with it the upper layers, is that of an index built from nothing. A node that stays keeps its
 * links. Those that lost links, as these led to nodes that are gone, then choose again, also among
 * the links of the nodes that are gone, so that what was found by way of them is found directly.
 * New nodes come last. Both go in batches, and are linked back.
 *
 * What the older index holds is checked to be in range, no more: whatever its links are, the new
 * ones are nodes, distinct, and none leads to itself.
 */
#include "base/check.h"
#include "index/hnsw.h"

enum {
  GROW_CHUNK = 64, /* nodes per item of a parallel loop */
  /* It pays when so many of the new index's nodes are kept, in percent, and of the older one's. */
  GROW_KEPT_HERE = 20,
  GROW_KEPT_THERE = 50
};

/* The node here of a node there: that of its row or, when this is gone, of one of its copies. */
static uint32_t grow_target(const struct vdb_hnsw_builder *h, const struct vdb_hnsw_graph *graph,
                            uint32_t there) {
  const uint32_t *rows = h->b->from->rows;
  const uint32_t *copies = NULL;
  uint32_t n = vdb_hnsw_copies_of(&graph->copies, there, &copies);
  uint32_t row = rows[there];
  for (uint32_t i = 0; i < n && row == VDB_INDEX_GONE; i++)
    row = rows[copies[i]];
  return row == VDB_INDEX_GONE ? VDB_HNSW_NONE : h->first_of[row];
}

/* Fills the maps; how many nodes there were there. */
static uint32_t grow_map(struct vdb_hnsw_builder *h, const struct vdb_hnsw_graph *graph) {
  struct vdb_hnsw_source *source = &h->source;
  const struct vdb_hnsw_layer *layer = &graph->layers[0];
  uint32_t n = 0;
  memset(source->nodes, 0xff, layer->n * sizeof *source->nodes);
  memset(source->origins, 0xff, h->b->vecs->n * sizeof *source->origins);
  for (uint32_t there = 0; there < layer->n; there++) {
    if (vdb_hnsw_links(layer, there)[0] == VDB_HNSW_NONE)
      continue; /* a copy */
    n++;
    uint32_t node = grow_target(h, graph, there);
    if (node == VDB_HNSW_NONE || source->origins[node] != VDB_HNSW_NONE)
      continue;
    source->nodes[there] = node;
    source->origins[node] = there;
    source->n_kept++;
  }
  return n;
}

/* Whether a node that stays lost links. */
static bool grow_lost(const struct vdb_hnsw_source *source, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &source->graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, source->origins[node]);
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++)
    if (source->nodes[links[i]] == VDB_HNSW_NONE)
      return true;
  return false;
}

/* Lists the nodes that links are to be found for: first those that stay. */
static int grow_list(struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct vdb_hnsw_source *source = &h->source;
  source->todo = vdb_alloc_array(h->b->mem, h->n_nodes, sizeof *source->todo);
  if (!source->todo)
    return vdb_fail_memory(err);
  for (int fresh = 0; fresh < 2; fresh++)
    for (uint32_t p = 0; p < h->n_nodes; p++) {
      uint32_t node = h->order[p];
      bool kept = source->origins[node] != VDB_HNSW_NONE;
      if (fresh ? !kept : kept && grow_lost(source, node))
        source->todo[source->n_todo++] = node;
    }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_hnsw_grow_begin(struct vdb_hnsw_builder *h, vecdb_error *err) {
  const struct vdb_index_from *from = h->b->from;
  struct vdb_hnsw_source *source = &h->source;
  if (!from || from->index->ops != vdb_hnsw_ops() || from->index->vecs.n == 0)
    return VECDB_OK;
  const struct vdb_hnsw_graph *graph = &((const struct vdb_hnsw *)from->index)->graph;
  struct vdb_mem *mem = h->b->mem;
  source->nodes = vdb_alloc_array(mem, graph->layers[0].n, sizeof *source->nodes);
  source->origins = vdb_alloc_array(mem, h->b->vecs->n, sizeof *source->origins);
  if (!source->nodes || !source->origins)
    return vdb_fail_memory(err);
  uint64_t there = grow_map(h, graph);
  uint64_t kept = source->n_kept;
  /* Without upper layers all walks start at one node, and that may be new. */
  if (h->n_nodes <= 2 * h->b->params.m || kept * 100 < (uint64_t)h->n_nodes * GROW_KEPT_HERE ||
      kept * 100 < there * GROW_KEPT_THERE)
    return VECDB_OK;
  source->graph = graph;
  return grow_list(h, err);
}

VDB_INTERNAL void vdb_hnsw_grow_end(struct vdb_hnsw_builder *h) {
  vdb_free(h->b->mem, h->source.nodes);
  vdb_free(h->b->mem, h->source.origins);
  vdb_free(h->b->mem, h->source.todo);
}

/* Offers the links of a node there, as nodes here that were not seen yet, to the worker's pool. */
static void grow_offer(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w,
                       const void *query, uint32_t there) {
  const struct vdb_hnsw_layer *layer = &h->source.graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, there);
  struct vdb_hnsw_scratch *scratch = w->scratch;
  uint32_t n = 0;
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++) {
    uint32_t node = h->source.nodes[links[i]];
    if (node == VDB_HNSW_NONE)
      continue;
    scratch->nodes[n] = node;
    n += vdb_visited_add(&scratch->seen, node);
  }
  for (uint32_t i = 0; h->space.codes->ops && i < n; i++)
    vdb_codes_prefetch(h->space.codes, scratch->nodes[i]);
  vdb_hnsw_keys(&h->space, query, scratch->nodes, n, scratch->keys);
  vdb_walk_kern()->offer(&w->merged, scratch->nodes, scratch->keys, n);
}

/* Empties the worker's pool, for nodes near one that stays; that node as a query. */
static const void *grow_start(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w,
                              uint32_t node) {
  vdb_hnsw_pool_clear(&w->merged, w->merged.width);
  vdb_visited_clear(&w->scratch->seen);
  vdb_visited_add(&w->scratch->seen, node);
  return vdb_hnsw_row_query(&h->space, &h->space, node, &w->row);
}

VDB_INTERNAL const struct vdb_walk_pool *vdb_hnsw_grow_near(const struct vdb_hnsw_builder *h,
                                                            struct vdb_hnsw_worker *worker,
                                                            uint32_t node) {
  const struct vdb_hnsw_layer *here = &h->graph.layers[0], *there = &h->source.graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(here, node);
  const float *keys = h->link_keys + (size_t)node * here->width;
  const void *query = grow_start(h, worker, node);
  uint32_t n = vdb_hnsw_degree(here, node);
  for (uint32_t i = 0; i < n; i++)
    vdb_visited_add(&worker->scratch->seen, links[i]);
  vdb_walk_kern()->offer(&worker->merged, links, keys, n);
  links = vdb_hnsw_links(there, h->source.origins[node]);
  for (uint32_t i = 0; i < there->width && links[i] != VDB_HNSW_NONE; i++)
    if (h->source.nodes[links[i]] == VDB_HNSW_NONE)
      grow_offer(h, worker, query, links[i]);
  return &worker->merged;
}

static void grow_chunk(void *arg, size_t chunk, unsigned worker) {
  struct vdb_hnsw_builder *h = arg;
  struct vdb_hnsw_worker *w = &h->workers[worker];
  uint32_t width = h->graph.layers[0].width;
  uint32_t end = vdb_min_u32(((uint32_t)chunk + 1) * GROW_CHUNK, h->b->vecs->n);
  for (uint32_t node = (uint32_t)chunk * GROW_CHUNK; node < end; node++) {
    if (!vdb_hnsw_is_kept(h, node))
      continue;
    grow_offer(h, w, grow_start(h, w, node), h->source.origins[node]);
    size_t n = vdb_min_size(w->merged.n, h->rule_new.cap);
    for (size_t i = 0; i < n; i++) {
      h->links[0][(size_t)node * width + i] = vdb_walk_item_node(w->merged.items[i]);
      h->link_keys[(size_t)node * width + i] = vdb_walk_item_key(w->merged.items[i]);
    }
  }
}

VDB_INTERNAL void vdb_hnsw_grow_links(struct vdb_hnsw_builder *h) {
  vdb_assert(h->layer == 0);
  h->b->par->run(h->b->par, (h->b->vecs->n + GROW_CHUNK - 1) / GROW_CHUNK, grow_chunk, h);
}
