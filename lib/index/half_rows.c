/* half_rows.c - see half_rows.h. */
#include "index/half_rows.h"

#include <stdatomic.h>

enum {
  HALF_ROWS = 256,     /* checked per item of a parallel loop */
  HALF_STEP = 1024,    /* values converted at a time */
  HALF_BYTES = 1 << 18 /* written at a time */
};

struct half_check {
  const struct vdb_vecs *vecs;
  _Atomic bool lossy;
};

static bool half_lossy(const float *values, uint32_t n) {
  uint16_t half[HALF_STEP];
  float back[HALF_STEP];
  vdb_kern()->f32_to_f16(values, half, n);
  vdb_kern()->f16_to_f32(half, back, n);
  return memcmp(values, back, n * sizeof *back) != 0;
}

static void half_check_rows(void *arg, size_t chunk, unsigned worker) {
  struct half_check *c = arg;
  const struct vdb_vecs *v = c->vecs;
  size_t end = vdb_min_size((chunk + 1) * HALF_ROWS, v->n);
  (void)worker;
  for (size_t row = chunk * HALF_ROWS; row < end; row++)
    for (uint32_t i = 0, n; i < v->dim; i += n) {
      n = vdb_min_u32(v->dim - i, HALF_STEP);
      if (atomic_load_explicit(&c->lossy, memory_order_relaxed))
        return;
      if (half_lossy((const float *)(const void *)(v->data + row * v->stride) + i, n))
        atomic_store_explicit(&c->lossy, true, memory_order_relaxed);
    }
}

VDB_INTERNAL bool vdb_half_lossless(const struct vdb_par *par, const struct vdb_vecs *v) {
  struct half_check c = {.vecs = v};
  atomic_init(&c.lossy, false);
  par->run(par, ((size_t)v->n + HALF_ROWS - 1) / HALF_ROWS, half_check_rows, &c);
  return !atomic_load_explicit(&c.lossy, memory_order_relaxed);
}

VDB_INTERNAL size_t vdb_half_stride(uint32_t dim) { return dim * sizeof(uint16_t); }

VDB_INTERNAL struct vdb_vecs vdb_half_view(const struct vdb_vecs *v, const void *data) {
  struct vdb_vecs view = *v;
  view.data = data;
  view.stride = vdb_half_stride(v->dim);
  view.elem = VDB_F16;
  view.kern = vdb_kern_for(view.elem, view.metric);
  return view;
}

/* As many rows as fit, at least one, are converted at a time. */
VDB_INTERNAL int vdb_half_write(struct vdb_mem *mem, const struct vdb_vecs *v,
                                struct vdb_sect_writer *out, vecdb_error *err) {
  size_t stride = vdb_half_stride(v->dim);
  uint32_t step = HALF_BYTES / (uint32_t)stride + 1;
  uint8_t *copies = vdb_alloc_array(mem, step, stride);
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
  vdb_free(mem, copies);
  return rc;
}
