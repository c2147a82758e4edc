/*
 * hnsw_store.c - what hits are scored again with after a walk among codes; see hnsw.h. Copies of
 * f32 rows in 16 bits are kept unasked where all values are such that nothing is lost: then keys
 * are those of the rows, and a search never touches the rows, which are twice as long.
 */
#include <stdatomic.h>

#include "index/hnsw.h"

enum {
  STORE_ROWS = 256,     /* checked per item of a parallel loop */
  STORE_STEP = 1024,    /* values converted at a time */
  STORE_BYTES = 1 << 18 /* written at a time */
};

struct store_check {
  const struct vdb_vecs *vecs;
  _Atomic bool lossy;
};

static bool store_lossy(const float *values, uint32_t n) {
  uint16_t half[STORE_STEP];
  float back[STORE_STEP];
  vdb_kern()->f32_to_f16(values, half, n);
  vdb_kern()->f16_to_f32(half, back, n);
  return memcmp(values, back, n * sizeof *back) != 0;
}

static void store_check_rows(void *arg, size_t chunk, unsigned worker) {
  struct store_check *c = arg;
  const struct vdb_vecs *v = c->vecs;
  size_t end = vdb_min_size((chunk + 1) * STORE_ROWS, v->n);
  (void)worker;
  for (size_t row = chunk * STORE_ROWS; row < end; row++)
    for (uint32_t i = 0, n; i < v->dim; i += n) {
      n = vdb_min_u32(v->dim - i, STORE_STEP);
      if (atomic_load_explicit(&c->lossy, memory_order_relaxed))
        return;
      if (store_lossy((const float *)(const void *)(v->data + row * v->stride) + i, n))
        atomic_store_explicit(&c->lossy, true, memory_order_relaxed);
    }
}

static bool store_lossless(const struct vdb_hnsw_builder *h) {
  struct store_check c = {.vecs = h->b->vecs};
  atomic_init(&c.lossy, false);
  h->b->par->run(h->b->par, ((size_t)c.vecs->n + STORE_ROWS - 1) / STORE_ROWS, store_check_rows,
                 &c);
  return !atomic_load_explicit(&c.lossy, memory_order_relaxed);
}

VDB_INTERNAL enum vdb_hnsw_refine vdb_hnsw_store_pick(const struct vdb_hnsw_builder *h) {
  const struct vdb_codes *codes = &h->graph.codes;
  bool f32 = h->b->vecs->elem == VDB_F32;
  if (!codes->ops) /* a walk among the rows has their keys */
    return VDB_HNSW_REFINE_NONE;
  switch (h->b->params.refine) {
  case VECDB_REFINE_NONE:
    return VDB_HNSW_REFINE_NONE;
  case VECDB_REFINE_I8:
    return codes->ops == h->codes.ops ? VDB_HNSW_REFINE_NONE : VDB_HNSW_REFINE_CODES;
  case VECDB_REFINE_F16:
    return f32 ? VDB_HNSW_REFINE_COPY : VDB_HNSW_REFINE_ROWS;
  case VECDB_REFINE_F32:
    return VDB_HNSW_REFINE_ROWS;
  default:
    return f32 && store_lossless(h) ? VDB_HNSW_REFINE_COPY : VDB_HNSW_REFINE_ROWS;
  }
}

VDB_INTERNAL size_t vdb_hnsw_store_stride(uint32_t dim) { return dim * sizeof(uint16_t); }

VDB_INTERNAL struct vdb_vecs vdb_hnsw_store_view(const struct vdb_vecs *v, const void *data) {
  struct vdb_vecs view = *v;
  view.data = data;
  view.stride = vdb_hnsw_store_stride(v->dim);
  view.elem = VDB_F16;
  view.kern = vdb_kern_for(view.elem, view.metric);
  return view;
}

/* As many rows as fit, at least one, are converted at a time. */
VDB_INTERNAL int vdb_hnsw_store_write(const struct vdb_hnsw_builder *h, vecdb_error *err) {
  const struct vdb_vecs *v = h->b->vecs;
  struct vdb_sect_writer *out = h->b->out;
  size_t stride = vdb_hnsw_store_stride(v->dim);
  uint32_t step = STORE_BYTES / (uint32_t)stride + 1;
  uint8_t *copies = vdb_alloc_array(h->b->mem, step, stride);
  if (!copies)
    return vdb_fail_memory(err);
  int rc = VECDB_OK;
  for (uint32_t row = 0, n; rc == VECDB_OK && row < v->n; row += n) {
    n = vdb_min_u32(v->n - row, step);
    for (size_t i = 0; i < n; i++)
      vdb_kern()->f32_to_f16((const float *)(const void *)(v->data + (row + i) * v->stride),
                             (uint16_t *)(void *)(copies + i * stride), v->dim);
    rc = out->append(out, copies, n * stride, err);
  }
  vdb_free(h->b->mem, copies);
  return rc;
}
