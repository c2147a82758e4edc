/* hnsw.c - the table of the HNSW index, opening and closing, scratch memory; see hnsw.h. */
#include "base/bitmap.h"
#include "index/hnsw.h"

enum { HNSW_STARTS = 256 }; /* rows that walks elsewhere start from */

static void hnsw_close(struct vdb_mem *mem, struct vdb_index *index) {
  struct vdb_hnsw *hnsw = (struct vdb_hnsw *)index;
  if (!hnsw)
    return;
  for (size_t i = 0; i < VDB_HNSW_STOCK; i++)
    vdb_hnsw_scratch_free(mem, atomic_load_explicit(&hnsw->stock[i], memory_order_acquire));
  if (hnsw->graph.codes.ops)
    hnsw->graph.codes.ops->close(mem, &hnsw->graph.codes, false);
  if (hnsw->graph.fine.ops)
    hnsw->graph.fine.ops->close(mem, &hnsw->graph.fine, false);
  vdb_free(mem, hnsw->graph.copies.has);
  vdb_free(mem, hnsw);
}

VDB_INTERNAL int vdb_hnsw_mark_copies(struct vdb_mem *mem, uint32_t n,
                                      struct vdb_hnsw_copies *copies, vecdb_error *err) {
  if (copies->n_groups == 0)
    return VECDB_OK;
  copies->has = vdb_alloc_zero(mem, vdb_bits_words(n) * sizeof(uint64_t));
  if (!copies->has)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < copies->n_groups; i++)
    vdb_bit_set(copies->has, copies->firsts[i]);
  return VECDB_OK;
}

static int hnsw_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                     const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_hnsw *hnsw = vdb_alloc_zero(mem, sizeof *hnsw);
  if (!hnsw)
    return vdb_fail_memory(err);
  hnsw->base.ops = vdb_hnsw_ops();
  hnsw->base.vecs = *vecs;
  hnsw->mem = mem;
  for (size_t i = 0; i < VDB_HNSW_STOCK; i++)
    atomic_init(&hnsw->stock[i], NULL);
  int rc = vdb_hnsw_read(mem, in, number, vecs, &hnsw->graph, err);
  if (rc == VECDB_OK)
    rc = vdb_hnsw_mark_copies(mem, vecs->n, &hnsw->graph.copies, err);
  if (rc != VECDB_OK) {
    hnsw_close(mem, &hnsw->base);
    return rc;
  }
  *out = &hnsw->base;
  return VECDB_OK;
}

static void hnsw_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct vdb_hnsw *hnsw = (const struct vdb_hnsw *)index;
  const struct vdb_hnsw_graph *graph = &hnsw->graph;
  const struct vdb_vecs *vecs = &index->vecs;
  memset(out, 0, sizeof *out);
  for (uint32_t l = 0; l < graph->n_layers; l++)
    out->memory += (uint64_t)graph->layers[l].n * graph->layers[l].width * sizeof(uint32_t) *
                   (graph->layers[l].briefs ? 2 : 1);
  const struct vdb_codes *codes = &graph->codes;
  const struct vdb_vecs *store = &graph->store;
  out->memory += codes->data_size + graph->fine.data_size;
  out->memory += store->data ? (uint64_t)vecs->n * store->stride : 0;
  out->scans = codes->ops != NULL;
  out->walk_bytes = (uint32_t)(codes->sketches ? codes->sketch_stride
                               : codes->ops    ? codes->stride
                                               : vdb_elem_row_bytes(vecs->elem, vecs->dim));
  out->links = graph->n_layers ? graph->layers[0].width / 2 : 0;
}

/* By codes alone; copies of rows have codes of their own. */
static int hnsw_scan(const struct vdb_index *index, struct vdb_search *s, vecdb_error *err) {
  const struct vdb_hnsw_graph *graph = &((const struct vdb_hnsw *)index)->graph;
  return vdb_codes_scan(&graph->codes, graph->store.data ? &graph->store : &index->vecs, s, err);
}

/* Rows that equal others are no nodes, and would not be found. */
static bool hnsw_links(const struct vdb_index *index, struct vdb_index_links *out) {
  const struct vdb_hnsw_graph *graph = &((const struct vdb_hnsw *)index)->graph;
  if (graph->n_layers == 0 || graph->copies.n > 0)
    return false;
  out->links = graph->layers[0].links;
  out->width = graph->layers[0].width;
  out->starts = graph->n_layers > 1 ? graph->order : &graph->entry;
  out->n_starts = graph->n_layers > 1 ? vdb_min_u32(graph->layers[1].n, HNSW_STARTS) : 1;
  return true;
}

/* The upper layers, a sixteenth of the nodes, lie on the way to any row. */
static void hnsw_warm_upper(const struct vdb_hnsw_graph *graph) {
  for (uint32_t l = 1; l < graph->n_layers; l++) {
    const struct vdb_hnsw_layer *layer = &graph->layers[l];
    vdb_touch(layer->links, (size_t)layer->n * layer->width * sizeof *layer->links);
    if (layer->briefs)
      vdb_touch(layer->briefs, (size_t)layer->n * layer->width * sizeof *layer->briefs);
  }
}

static int hnsw_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                     vecdb_error *err) {
  const struct vdb_hnsw_graph *graph = &((const struct vdb_hnsw *)index)->graph;
  const struct vdb_hnsw_layer *layer = &graph->layers[0];
  uint32_t n = index->vecs.n, turn = 0;
  size_t links = layer->width * sizeof *layer->links;
  (void)err;
  hnsw_warm_upper(graph);
  for (uint32_t row = vdb_index_warm_next(w, n, 0, &turn); row < n;
       row = vdb_index_warm_next(w, n, row + 1, &turn)) {
    vdb_touch(vdb_hnsw_links(layer, row), links);
    if (layer->briefs)
      vdb_touch(layer->briefs + (size_t)row * layer->width, links);
    vdb_codes_touch(&graph->codes, row);
    vdb_codes_touch(&graph->fine, row);
    if (graph->store.data)
      vdb_touch(graph->store.data + row * graph->store.stride, graph->store.stride);
  }
  return VECDB_OK;
}

static const struct vdb_index_ops hnsw_ops = {
    .name = "hnsw",
    .effort = VDB_EFFORT_EF,
    .build = vdb_hnsw_build,
    .open = hnsw_open,
    .close = hnsw_close,
    .search = vdb_hnsw_search,
    .traits = hnsw_traits,
    .scan = hnsw_scan,
    .links = hnsw_links,
    .warm = hnsw_warm,
};

VDB_INTERNAL const struct vdb_index_ops *vdb_hnsw_ops(void) { return &hnsw_ops; }

/* Where a thread begins to look in the stock: threads have stacks of their own, so that each tends
   to get back what it gave. */
static size_t hnsw_stock_start(const void *stack) {
  return (size_t)(((uintptr_t)stack >> 16) * 0x9e3779b97f4a7c15u >> 32);
}

VDB_INTERNAL struct vdb_hnsw_scratch *vdb_hnsw_take(const struct vdb_hnsw *index) {
  struct vdb_hnsw *hnsw = (struct vdb_hnsw *)(uintptr_t)index; /* the stock may change, alone */
  size_t start = hnsw_stock_start(&hnsw);
  for (size_t i = 0; i < VDB_HNSW_STOCK; i++) {
    _Atomic(struct vdb_hnsw_scratch *) *slot = &hnsw->stock[(start + i) % VDB_HNSW_STOCK];
    if (!atomic_load_explicit(slot, memory_order_relaxed))
      continue;
    struct vdb_hnsw_scratch *scratch = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
    if (scratch)
      return scratch;
  }
  return vdb_hnsw_scratch_new(hnsw->mem, hnsw->graph.layers[0].n);
}

VDB_INTERNAL void vdb_hnsw_give(const struct vdb_hnsw *index, struct vdb_hnsw_scratch *scratch) {
  struct vdb_hnsw *hnsw = (struct vdb_hnsw *)(uintptr_t)index;
  size_t start = hnsw_stock_start(&hnsw);
  for (size_t i = 0; i < VDB_HNSW_STOCK; i++) {
    _Atomic(struct vdb_hnsw_scratch *) *slot = &hnsw->stock[(start + i) % VDB_HNSW_STOCK];
    struct vdb_hnsw_scratch *empty = NULL;
    if (atomic_compare_exchange_strong_explicit(slot, &empty, scratch, memory_order_release,
                                                memory_order_relaxed))
      return;
  }
  vdb_hnsw_scratch_free(hnsw->mem, scratch);
}
