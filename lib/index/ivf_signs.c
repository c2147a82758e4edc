/*
 * ivf_signs.c - one bit an element of each centroid, in blocks as lists of IVF_RABITQ have them;
 * see ivf.h. Most lists are far from a query, and a bit an element is enough to tell these: a
 * fast scan of all centroids reads an eighth of what 8 bits do, and takes a fraction of the time.
 */
#include "index/ivf_build.h"
#include "index/rabitq.h"

enum {
  SIGNS_LISTS = 128, /* lists from which it pays */
  SIGNS_DIM = 64,    /* elements from which signs tell enough */
  SIGNS_SLACK = 64   /* lists above twice those wanted before the bound is drawn tighter */
};

VDB_INTERNAL bool vdb_ivf_signs_fit(const struct vdb_transform *t, uint32_t n_lists) {
  return t->rotation == VDB_ROTATE_RANDOM && t->dim >= SIGNS_DIM && n_lists >= SIGNS_LISTS;
}

VDB_INTERNAL uint8_t *vdb_ivf_signs_make(const struct vdb_ivf_builder *h,
                                         const struct vdb_quant *quant) {
  struct vdb_mem *mem = h->b->mem;
  uint32_t dim = h->b->vecs->dim;
  uint8_t *blocks = vdb_alloc_wide(mem, vdb_ivf_signs_bytes(quant, h->n_lists));
  uint8_t *codes = vdb_alloc(mem, quant->m);
  float *zero = vdb_alloc_zero(mem, dim * sizeof *zero);
  bool memory = blocks && codes && zero;
  for (uint32_t c = 0; memory && c < h->n_lists; c++) {
    uint8_t *block = blocks + c / VDB_IVF_BLOCK * (size_t)quant->block_bytes;
    struct vdb_quant_row row = {codes, 0, 0, 0};
    if (c % VDB_IVF_BLOCK == 0)
      vdb_quant_block_clear(quant, block);
    memset(codes, 0, quant->m);
    quant->ops->encode(quant, h->centres + (size_t)c * dim, zero, &row);
    row.add = h->biases[c] + h->spreads[c];
    vdb_quant_put(quant, block, c % VDB_IVF_BLOCK, &row);
  }
  vdb_free(mem, zero);
  vdb_free(mem, codes);
  if (memory)
    return blocks;
  vdb_free(mem, blocks);
  return NULL;
}

/* Leaves the `want` nearest of n lists, and few others; how many. */
static uint32_t signs_cut(struct vdb_ivf_scratch *w, uint32_t n, uint32_t want, float *bound) {
  uint32_t left = 0;
  if (n <= want)
    return n;
  *bound = vdb_ivf_cut(w->list_keys, n, want);
  for (uint32_t i = 0; i < n; i++) {
    float key = w->list_keys[i];
    w->list_keys[left] = key;
    w->lists[left].row = w->lists[i].row;
    left += key <= *bound;
  }
  return left;
}

VDB_INTERNAL uint32_t vdb_ivf_signs_scan(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *w,
                                         uint32_t want) {
  const struct vdb_quant *quant = ivf->signs.quant;
  uint32_t n_lists = ivf->centroids.n, n = 0;
  uint32_t limit = 2 * want + SIGNS_SLACK;
  vdb_scan_fn scan = vdb_quant_scan(quant);
  struct vdb_scan_table table = w->query.table;
  float keys[VDB_IVF_BLOCK], bound = __builtin_inff();
  if (quant != ivf->coder.quant)
    quant->ops->table(quant, w->query.x, w->signs_table, &table);
  for (uint32_t first = 0; first < n_lists; first += VDB_IVF_BLOCK) {
    const uint8_t *block = ivf->signs.blocks + first / VDB_IVF_BLOCK * (size_t)quant->block_bytes;
    uint32_t below = scan(&table, block, 0, bound, keys);
    for (; below; below &= below - 1) {
      uint32_t slot = (uint32_t)__builtin_ctz(below);
      if (first + slot >= n_lists) /* a free slot that damage filled */
        break;
      w->list_keys[n] = keys[slot];
      w->lists[n++].row = first + slot;
    }
    if (n >= limit) {
      n = signs_cut(w, n, want, &bound);
      limit = limit > 2 * n ? limit : 2 * n;
    }
  }
  return signs_cut(w, n, want, &bound);
}
