/* ixgraph.h - what must hold of level 0 of every HNSW graph that was built. */
#ifndef IXGRAPH_H
#define IXGRAPH_H

#include "index/hnsw.h"
#include "ixtest.h"

/* Rows that can be reached from `start` along the links or, turned round, against them. */
static inline size_t ix_reach(const struct vdb_hnsw_graph *g, uint32_t start, bool against) {
  const struct vdb_hnsw_layer *layer = &g->layers[0];
  uint8_t *seen = calloc(layer->n, 1);
  size_t n = 1;
  seen[start] = 1;
  for (size_t before = 0; before != n;) {
    before = n;
    for (uint32_t i = 0; i < layer->n; i++) {
      const uint32_t *links = vdb_hnsw_links(layer, i);
      for (uint32_t k = 0; k < layer->width && links[k] != VDB_HNSW_NONE; k++) {
        uint32_t from = against ? links[k] : i;
        uint32_t to = against ? i : links[k];
        n += seen[from] && !seen[to];
        seen[to] |= seen[from];
      }
    }
  }
  free(seen);
  return n;
}

/* Links are distinct nodes and fit in; all nodes are reached and lead to the entry; copies are none
   of them. */
static inline void ix_check_graph(const struct vdb_hnsw_graph *g, uint32_t m) {
  const struct vdb_hnsw_layer *layer = &g->layers[0];
  assert_int_equal((uintptr_t)layer->links % 64, 0);
  assert_int_equal(ix_reach(g, g->entry, false), layer->n - g->copies.n);
  assert_int_equal(ix_reach(g, g->entry, true), layer->n - g->copies.n);
  for (uint32_t i = 0; i < g->copies.n; i++)
    assert_int_equal(vdb_hnsw_degree(layer, g->copies.rows[i]), 0);
  for (uint32_t i = 0; i < layer->n; i++) {
    const uint32_t *links = vdb_hnsw_links(layer, i);
    for (uint32_t k = 0; k < layer->width; k++) {
      assert_true(links[k] != i);
      assert_true(k < 2 * m || links[k] == VDB_HNSW_NONE);
      for (uint32_t j = 0; j < k && links[k] != VDB_HNSW_NONE; j++)
        assert_true(links[j] != links[k]);
    }
  }
}

#endif
