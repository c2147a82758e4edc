/* hnsw_link.c - the choice of links, and the links back to new nodes; see hnsw.h. */
#include "base/check.h"
#include "index/hnsw.h"

enum {
  LINK_CHUNK = 64 /* targets, or rows to sort, per item of a parallel loop */
};

/* The candidates of a pool, without the node itself; how many. */
static uint32_t link_candidates(const struct vdb_hnsw_builder *h, struct vdb_hnsw_candidates *left,
                                uint32_t node, const struct vdb_walk_pool *from) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < from->n; i++) {
    uint32_t candidate = vdb_walk_item_node(from->items[i]);
    left->chosen[i] = candidate == node;
    left->rows[n] = vdb_hnsw_row_of(h, candidate);
    left->keys[n] = vdb_walk_item_key(from->items[i]);
    left->places[n] = i;
    n += candidate != node;
  }
  return n;
}

/* Leaves those of n candidates, but the first, that are nearer to the node than to the first; how
   many. */
static uint32_t link_uncovered(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *worker,
                               uint32_t n) {
  struct vdb_hnsw_candidates *left = &worker->left;
  const void *query = vdb_hnsw_row_query(&h->space, &h->space, left->rows[0], &worker->row);
  uint32_t kept = 0;
  vdb_hnsw_keys(&h->space, query, left->rows + 1, n - 1, left->others + 1);
  for (uint32_t i = 1; i < n; i++) {
    float key = left->keys[i];
    left->rows[kept] = left->rows[i];
    left->places[kept] = left->places[i];
    left->keys[kept] = key;
    kept += left->others[i] > key;
  }
  return kept;
}

VDB_INTERNAL void vdb_hnsw_choose(const struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *worker,
                                  uint32_t node, const struct vdb_walk_pool *from,
                                  const struct vdb_hnsw_rule *rule, uint32_t *row, float *keys) {
  struct vdb_hnsw_candidates *left = &worker->left;
  uint32_t width = h->graph.layers[h->layer].width;
  uint32_t n = 0;
  vdb_assert(rule->cap <= width && rule->fill <= width);
  for (uint32_t n_left = link_candidates(h, left, node, from); n_left > 0 && n < rule->cap;) {
    left->chosen[left->places[0]] = 1;
    row[n] = vdb_walk_item_node(from->items[left->places[0]]);
    keys[n++] = left->keys[0];
    n_left = n < rule->cap ? link_uncovered(h, worker, n_left) : 0;
  }
  for (uint32_t i = 0; i < from->n && n < rule->fill; i++) {
    if (left->chosen[i])
      continue;
    row[n] = vdb_walk_item_node(from->items[i]);
    keys[n++] = vdb_walk_item_key(from->items[i]);
  }
  for (; n < width; n++)
    row[n] = VDB_HNSW_NONE;
}

/* Sorts the edges by target; stable, so sources stay in the order of insertion. */
static void link_sort(struct vdb_hnsw_builder *h) {
  enum { BITS = 11, SIZE = 1 << BITS };
  for (uint32_t shift = 0; shift < 32 && (uint64_t)h->b->vecs->n >> shift; shift += BITS) {
    uint32_t start[SIZE] = {0};
    uint32_t sum = 0;
    for (uint32_t i = 0; i < h->n_edges; i++)
      start[h->edges[i].target >> shift & (SIZE - 1)]++;
    for (uint32_t i = 0; i < SIZE; i++) {
      uint32_t count = start[i];
      start[i] = sum;
      sum += count;
    }
    for (uint32_t i = 0; i < h->n_edges; i++)
      h->edges_swap[start[h->edges[i].target >> shift & (SIZE - 1)]++] = h->edges[i];
    struct vdb_hnsw_edge *sorted = h->edges_swap;
    h->edges_swap = h->edges;
    h->edges = sorted;
  }
}

/* Leaves the edges whose source a target does not link to; how many. */
static uint32_t link_unknown(const uint32_t *row, uint32_t degree, struct vdb_hnsw_edge *edges,
                             uint32_t n) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < n; i++) {
    bool known = false;
    for (uint32_t k = 0; k < degree; k++)
      known |= row[k] == edges[i].source;
    edges[kept] = edges[i];
    kept += !known;
  }
  return kept;
}

/* Links a target to the sources of its edges. */
static void link_target(struct vdb_hnsw_builder *h, struct vdb_hnsw_worker *worker,
                        struct vdb_hnsw_edge *edges, uint32_t n) {
  uint32_t node = edges[0].target;
  uint32_t width = h->graph.layers[h->layer].width;
  uint32_t *row = h->links[h->layer] + (size_t)node * width;
  float *keys = h->link_keys + (size_t)node * width;
  uint32_t degree = vdb_hnsw_degree(&h->graph.layers[h->layer], node);
  n = link_unknown(row, degree, edges, n);
  if (degree + n <= h->rule_back.cap) {
    for (uint32_t i = 0; i < n; i++) {
      row[degree + i] = edges[i].source;
      keys[degree + i] = edges[i].key;
    }
    return;
  }
  struct vdb_walk_pool *merged = &worker->merged;
  vdb_hnsw_pool_clear(merged, merged->width);
  for (uint32_t i = 0; i < degree + n; i++) {
    uint64_t item = i < degree ? vdb_walk_item(keys[i], row[i])
                               : vdb_walk_item(edges[i - degree].key, edges[i - degree].source);
    if (vdb_walk_pool_wants(merged, item))
      vdb_walk_pool_add(merged, item);
  }
  vdb_hnsw_choose(h, worker, node, merged, &h->rule_back, row, keys);
}

static void link_chunk(void *arg, size_t chunk, unsigned worker) {
  struct vdb_hnsw_builder *h = arg;
  size_t end = vdb_min_size((chunk + 1) * LINK_CHUNK, h->n_groups);
  for (size_t g = chunk * LINK_CHUNK; g < end; g++)
    link_target(h, &h->workers[worker], h->edges + h->groups[g], h->groups[g + 1] - h->groups[g]);
}

VDB_INTERNAL void vdb_hnsw_link_back(struct vdb_hnsw_builder *h) {
  link_sort(h);
  h->n_groups = 0;
  for (uint32_t i = 0; i < h->n_edges; i++)
    if (i == 0 || h->edges[i].target != h->edges[i - 1].target)
      h->groups[h->n_groups++] = i;
  h->groups[h->n_groups] = h->n_edges;
  size_t chunks = (h->n_groups + LINK_CHUNK - 1) / LINK_CHUNK;
  h->b->par->run(h->b->par, chunks, link_chunk, h);
}

static void link_sort_chunk(void *arg, size_t chunk, unsigned worker) {
  struct vdb_hnsw_builder *h = arg;
  const struct vdb_hnsw_layer *layer = &h->graph.layers[h->layer];
  struct vdb_walk_pool *sorted = &h->workers[worker].merged;
  size_t end = vdb_min_size((chunk + 1) * LINK_CHUNK, layer->n);
  for (size_t node = chunk * LINK_CHUNK; node < end; node++) {
    uint32_t *row = h->links[h->layer] + node * layer->width;
    float *keys = h->link_keys + node * layer->width;
    vdb_hnsw_pool_clear(sorted, sorted->width);
    uint32_t n = vdb_hnsw_degree(layer, (uint32_t)node);
    for (uint32_t i = 0; i < n; i++)
      vdb_walk_pool_add(sorted, vdb_walk_item(keys[i], row[i]));
    for (uint32_t i = 0; i < n; i++) {
      row[i] = vdb_walk_item_node(sorted->items[i]);
      keys[i] = vdb_walk_item_key(sorted->items[i]);
    }
  }
}

VDB_INTERNAL void vdb_hnsw_sort_rows(struct vdb_hnsw_builder *h) {
  size_t chunks = (h->graph.layers[h->layer].n + LINK_CHUNK - 1) / LINK_CHUNK;
  h->b->par->run(h->b->par, chunks, link_sort_chunk, h);
}
