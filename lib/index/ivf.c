/* ivf.c - the kinds of IVF index, opening and closing, scratch memory; see ivf.h. */
#include "index/ivf_build.h"

static const struct vdb_ivf_kind ivf_kinds[VDB_IVF_CODES] = {
    [VDB_IVF_FLAT] = {VDB_IVF_FLAT, false, true, false},
    [VDB_IVF_SQ8] = {VDB_IVF_SQ8, false, true, false},
    [VDB_IVF_PQ] = {VDB_IVF_PQ, true, false, true},
    [VDB_IVF_RABITQ] = {VDB_IVF_RABITQ, true, true, true},
};

VDB_INTERNAL const struct vdb_ivf_kind *vdb_ivf_kind(enum vdb_ivf_code code) {
  return &ivf_kinds[code];
}

static void ivf_scratch_free(struct vdb_mem *mem, struct vdb_ivf_scratch *w) {
  if (!w)
    return;
  vdb_visited_free(&w->seen, mem);
  vdb_free(mem, w->block);
  vdb_free(mem, w->near);
  vdb_free(mem, w->rows);
  vdb_free(mem, w->keys);
  vdb_free(mem, w);
}

/* Takes n bytes of a block, in whole cache lines; with no block only counts them. */
static void *ivf_carve(uint8_t *block, size_t *used, size_t n) {
  void *at = block ? block + *used : NULL;
  *used += (size_t)vdb_round_up(n, 64);
  return at;
}

/* Lays the fixed parts of a scratch out in a block; the bytes they take. */
static size_t ivf_layout(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w, uint8_t *block) {
  size_t used = 0;
  size_t dim = ivf->base.vecs.dim;
  size_t n = ivf->centroids.n;
  w->query.raw = ivf_carve(block, &used, dim * sizeof(float));
  w->query.x = ivf_carve(block, &used, dim * sizeof(float));
  w->query.code = ivf_carve(block, &used, ivf->centroids.stride);
  w->query.memory = ivf_carve(block, &used, ivf->coder.table_bytes);
  w->list_keys = ivf_carve(block, &used, n * sizeof *w->list_keys);
  w->lists = ivf_carve(block, &used, n * sizeof *w->lists);
  bool apart = ivf->signs.quant && ivf->signs.quant != ivf->coder.quant;
  w->signs_table = ivf_carve(block, &used, apart ? ivf->signs.quant->table_bytes : 0);
  w->graph_query = ivf_carve(block, &used, dim * sizeof(float));
  size_t code = ivf->codes.ops ? ivf->codes.ops->query_bytes(&ivf->codes) : 0;
  w->code_query = ivf_carve(block, &used, code);
  return used;
}

static struct vdb_ivf_scratch *ivf_scratch_new(const struct vdb_ivf *ivf) {
  struct vdb_mem *mem = ivf->mem;
  struct vdb_ivf_scratch *w = vdb_alloc_zero(mem, sizeof *w);
  if (!w)
    return NULL;
  w->block = vdb_alloc_wide(mem, ivf_layout(ivf, w, NULL));
  if (!w->block || !vdb_visited_init(&w->seen, mem, ivf->base.vecs.n)) {
    ivf_scratch_free(mem, w);
    return NULL;
  }
  ivf_layout(ivf, w, w->block);
  return w;
}

static void ivf_close(struct vdb_mem *mem, struct vdb_index *index) {
  struct vdb_ivf *ivf = (struct vdb_ivf *)index;
  if (!ivf)
    return;
  for (struct vdb_ivf_scratch *w; (w = vdb_stock_take(&ivf->stock)) != NULL;)
    ivf_scratch_free(mem, w);
  if (ivf->graph)
    ivf->graph->ops->close(mem, ivf->graph);
  if (ivf->codes.ops)
    ivf->codes.ops->close(mem, &ivf->codes, false);
  if (ivf->signs.quant && ivf->signs.quant != ivf->coder.quant)
    ivf->signs.quant->ops->close(mem, ivf->signs.quant);
  if (ivf->coder.quant)
    ivf->coder.quant->ops->close(mem, ivf->coder.quant);
  if (ivf->transform)
    vdb_transform_close(mem, ivf->transform);
  vdb_free(mem, ivf);
}

static int ivf_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                    const struct vdb_vecs *vecs, struct vdb_index **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_ivf *ivf = vdb_alloc_zero(mem, sizeof *ivf);
  if (!ivf)
    return vdb_fail_memory(err);
  ivf->base.ops = vdb_ivf_ops();
  ivf->base.vecs = *vecs;
  ivf->mem = mem;
  vdb_stock_init(&ivf->stock);
  int rc = vdb_ivf_read(ivf, in, number, err);
  if (rc != VECDB_OK) {
    ivf_close(mem, &ivf->base);
    return rc;
  }
  *out = &ivf->base;
  return VECDB_OK;
}

static void ivf_traits(const struct vdb_index *index, struct vdb_index_traits *out) {
  const struct vdb_ivf *ivf = (const struct vdb_ivf *)index;
  const struct vdb_ivf_centroids *c = &ivf->centroids;
  uint64_t blocks = c->n ? ivf->lists.starts[c->n] : 0;
  uint64_t signs = ivf->signs.quant ? vdb_ivf_signs_bytes(ivf->signs.quant, c->n) : 0;
  memset(out, 0, sizeof *out);
  out->memory = blocks * (ivf->coder.block_bytes + VDB_IVF_BLOCK * sizeof(uint32_t)) +
                c->n * (c->stride + 2 * sizeof(float)) + signs + ivf->codes.data_size +
                (ivf->f16.data ? ivf->f16.n * ivf->f16.stride : 0);
  out->walk_bytes = (uint32_t)(ivf->coder.block_bytes / VDB_IVF_BLOCK);
  out->lists = c->n;
  out->entries = ivf->n_entries;
}

/* The blocks of the lists in which the rows are, and what they are scored again with. */
static int ivf_warm(const struct vdb_index *index, const struct vdb_index_warm *w,
                    vecdb_error *err) {
  const struct vdb_ivf *ivf = (const struct vdb_ivf *)index;
  const struct vdb_ivf_lists *lists = &ivf->lists;
  uint32_t n = index->vecs.n, turn = 0;
  uint32_t blocks = ivf->centroids.n ? lists->starts[ivf->centroids.n] : 0;
  (void)err;
  for (uint32_t b = 0; b < blocks && !(b % VDB_WARM_POLL == 0 && w->stop(w->stop_arg)); b++) {
    bool wanted = false;
    for (uint32_t i = 0; i < VDB_IVF_BLOCK && !wanted; i++) {
      uint32_t row = lists->rows[(size_t)b * VDB_IVF_BLOCK + i];
      wanted = row < n && vdb_bit_get(w->rows, row);
    }
    if (wanted)
      vdb_touch(lists->blocks + b * ivf->coder.block_bytes, ivf->coder.block_bytes);
  }
  for (uint32_t row = vdb_index_warm_next(w, n, 0, &turn); row < n;
       row = vdb_index_warm_next(w, n, row + 1, &turn)) {
    vdb_codes_touch(&ivf->codes, row);
    if (ivf->f16.data)
      vdb_touch(ivf->f16.data + row * ivf->f16.stride, ivf->f16.stride);
  }
  return VECDB_OK;
}

static const struct vdb_index_ops ivf_ops = {
    .name = "ivf",
    .effort = VDB_EFFORT_NPROBE,
    .build = vdb_ivf_build,
    .open = ivf_open,
    .close = ivf_close,
    .search = vdb_ivf_search,
    .traits = ivf_traits,
    .warm = ivf_warm,
};

VDB_INTERNAL const struct vdb_index_ops *vdb_ivf_ops(void) { return &ivf_ops; }

/* The stock of an index may change, alone. */
static struct vdb_stock *ivf_stock(const struct vdb_ivf *ivf) {
  return &((struct vdb_ivf *)(uintptr_t)ivf)->stock;
}

VDB_INTERNAL struct vdb_ivf_scratch *vdb_ivf_take(const struct vdb_ivf *ivf) {
  struct vdb_ivf_scratch *scratch = vdb_stock_take(ivf_stock(ivf));
  return scratch ? scratch : ivf_scratch_new(ivf);
}

VDB_INTERNAL void vdb_ivf_give(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *scratch) {
  if (!vdb_stock_give(ivf_stock(ivf), scratch))
    ivf_scratch_free(ivf->mem, scratch);
}
