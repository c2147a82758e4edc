/*
 * hnsw_grow.c - building upon an older index, some of whose rows come again; see hnsw.h. Nearly all
 * of the work of building goes into level 0, so that is what is taken over; the order of the rows,
 * and with it the upper layers, is that of an index built from nothing. A node that stays keeps its
 * links. If some led to nodes that are gone, it chooses again, also among the links of these: what
 * was found by way of them is found directly. The other nodes are then inserted as ever.
 *
 * What the older index holds is checked to be in range, no more: whatever its links are, the new
 * ones are nodes, distinct, and none leads to itself.
 */
#include "base/check.h"
#include "index/hnsw.h"
#include <stdlib.h>

enum {
  GROW_CHUNK = 64 /* nodes per item of a parallel loop */
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

/* Lists the nodes to insert. */
static int grow_list(struct vdb_hnsw_builder *h, vecdb_error *err) {
  struct vdb_hnsw_source *source = &h->source;
  uint32_t n = 0;
  source->added = vdb_alloc_array(h->b->mem, h->n_nodes - source->n_kept, sizeof *source->added);
  if (!source->added)
    return vdb_fail_memory(err);
  for (uint32_t p = 0; p < h->n_nodes; p++)
    if (!vdb_hnsw_is_kept(h, h->order[p]))
      source->added[n++] = h->order[p];
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
  uint32_t n = grow_map(h, graph);
  (void)n;
  if (source->n_kept == 0)
    return VECDB_OK;
  source->graph = graph;
  return grow_list(h, err);
}

VDB_INTERNAL void vdb_hnsw_grow_end(struct vdb_hnsw_builder *h) {
  vdb_free(h->b->mem, h->source.nodes);
  vdb_free(h->b->mem, h->source.origins);
  vdb_free(h->b->mem, h->source.added);
}

/* Offers the links of a node there, as nodes here, to the worker's pool; how many are gone. */
static uint32_t grow_offer(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w,
                           const void *query, uint32_t there) {
  const struct vdb_hnsw_layer *layer = &h->source.graph->layers[0];
  const uint32_t *links = vdb_hnsw_links(layer, there);
  struct vdb_hnsw_scratch *scratch = w->scratch;
  uint32_t degree = vdb_hnsw_degree(layer, there);
  uint32_t n = 0, gone = 0;
  for (uint32_t i = 0; i < degree; i++) {
    uint32_t node = h->source.nodes[links[i]];
    if (node == VDB_HNSW_NONE) {
      gone++;
      continue;
    }
    scratch->nodes[n] = node;
    n += vdb_visited_add(&scratch->seen, node);
  }
  for (uint32_t i = 0; h->space.codes->ops && i < n; i++)
    vdb_codes_prefetch(h->space.codes, scratch->nodes[i]);
  vdb_hnsw_keys(&h->space, query, scratch->nodes, n, scratch->keys);
  vdb_walk_kern()->offer(&w->merged, scratch->nodes, scratch->keys, n);
  return gone;
}

/* Gives a node that stays its links. */
static void grow_node(struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *w, uint32_t node) {
  const struct vdb_hnsw_layer *layer = &h->source.graph->layers[0];
  uint32_t there = h->source.origins[node];
  const uint32_t *links = vdb_hnsw_links(layer, there);
  size_t at = (size_t)node * h->graph.layers[0].width;
  const void *query = vdb_hnsw_row_query(&h->space, &h->space, node, &w->row);
  vdb_hnsw_pool_clear(&w->merged, w->merged.width);
  vdb_visited_clear(&w->scratch->seen);
  vdb_visited_add(&w->scratch->seen, node);
  uint32_t gone = grow_offer(h, w, query, there);
  uint32_t n = (uint32_t)w->merged.n;
  if (gone == 0 && n <= h->rule_new.cap) {
    for (uint32_t i = 0; i < n; i++) {
      h->links[0][at + i] = vdb_walk_item_node(w->merged.items[i]);
      h->link_keys[at + i] = vdb_walk_item_key(w->merged.items[i]);
    }
    return;
  }
  for (uint32_t i = 0; i < layer->width && links[i] != VDB_HNSW_NONE; i++)
    if (h->source.nodes[links[i]] == VDB_HNSW_NONE)
      grow_offer(h, w, query, links[i]);
  struct vdb_hnsw_rule rule = {h->rule_new.cap, vdb_min_u32(n + gone, h->rule_new.cap)}; if (getenv("FILL")) rule.fill = (uint32_t)atoi(getenv("FILL")) == 99 ? rule.fill : (uint32_t)atoi(getenv("FILL"));
  vdb_hnsw_choose(h, w, node, &w->merged, &rule, h->links[0] + at, h->link_keys + at);
}

static void grow_chunk(void *arg, size_t chunk, unsigned worker) {
  struct vdb_hnsw_builder *h = arg;
  uint32_t end = vdb_min_u32(((uint32_t)chunk + 1) * GROW_CHUNK, h->b->vecs->n);
  for (uint32_t node = (uint32_t)chunk * GROW_CHUNK; node < end; node++)
    if (vdb_hnsw_is_kept(h, node))
      grow_node(h, &h->workers[worker], node);
}

VDB_INTERNAL void vdb_hnsw_grow_links(struct vdb_hnsw_builder *h) {
  vdb_assert(h->layer == 0);
  h->b->par->run(h->b->par, (h->b->vecs->n + GROW_CHUNK - 1) / GROW_CHUNK, grow_chunk, h);
}
