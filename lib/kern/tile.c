/*
 * tile.c - the blocking around the tables' micro-kernels; see tile.h. One set of rows is packed
 * into panels of 16 rows, transposed, so that a vector holds one element of each; a micro-kernel
 * multiplies two panels with up to 12 rows of the other set (Goto and van de Geijn 2008, with the
 * roles of the caches as there: the rows' slice and the running sums near, the panels behind).
 */
#include "kern/tile.h"

#include "kern/cpu.h"

#ifdef VDB_WITH_BLAS
#include <cblas.h>
#include <stdatomic.h>
#include <stdlib.h>
#endif

enum { TILE_GROUP_BYTES = 1024 << 10 }; /* of panels that many rows meet in turn: they stay in L2 */

typedef float tile_four __attribute__((vector_size(16)));

/* Elements i .. i + 3 of four rows, transposed, to p[0], p[16], p[32] and p[48]. */
static void tile_transpose(const float *rows, size_t stride, float *p) {
  tile_four r[4];
  for (size_t j = 0; j < 4; j++)
    memcpy(&r[j], rows + j * stride, sizeof r[j]);
  tile_four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  tile_four b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  tile_four c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  tile_four d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
  for (size_t j = 0; j < 4; j++)
    memcpy(p + j * VDB_TILE_PANEL, &r[j], sizeof r[j]);
}

/* Packs `len` elements of n <= 16 rows as one panel, zeroes in the place of further rows. */
static void tile_pack_panel(const float *rows, size_t stride, size_t n, size_t len,
                            float *panel) {
  size_t i = 0;
  for (; n == VDB_TILE_PANEL && i + 4 <= len; i += 4)
    for (size_t j = 0; j < n; j += 4)
      tile_transpose(rows + j * stride + i, stride, panel + i * VDB_TILE_PANEL + j);
  for (; i < len; i++)
    for (size_t j = 0; j < VDB_TILE_PANEL; j++)
      panel[i * VDB_TILE_PANEL + j] = j < n ? rows[j * stride + i] : 0;
}

/* Panels that rows are to meet, and where the results go. */
struct tile_side {
  const float *panels; /* `stride` floats apart */
  size_t stride;
  size_t n; /* rows in them */
  float *out;
  size_t out_stride;
};

/* A step whose last panel is not full: by way of a buffer. */
static void tile_step_part(const struct vdb_kern_table *table, struct vdb_tile_step step,
                           size_t columns) {
  _Alignas(64) float sums[VDB_TILE_ROWS * VDB_TILE_COLUMNS];
  float *out = step.out;
  size_t stride = step.out_stride;
  step.out = sums;
  step.out_stride = VDB_TILE_COLUMNS;
  for (size_t i = 0; step.add && i < step.n_rows; i++)
    memcpy(sums + i * VDB_TILE_COLUMNS, out + i * stride, columns * sizeof *sums);
  table->tile(&step);
  for (size_t i = 0; i < step.n_rows; i++)
    memcpy(out + i * stride, sums + i * VDB_TILE_COLUMNS, columns * sizeof *sums);
}

/* `len` elements of up to 12 rows against all panels; `add` to what is in `out` already. */
static void tile_slice(const struct vdb_kern_table *table, const struct vdb_tile_rows *a,
                       size_t len, bool add, const struct tile_side *b) {
  _Alignas(64) float rows[VDB_TILE_ROWS * VDB_TILE_ROW_STRIDE];
  for (size_t i = 0; i < a->n; i++)
    memcpy(rows + i * VDB_TILE_ROW_STRIDE, a->data + i * a->stride, len * sizeof *rows);
  struct vdb_tile_step step = {.rows = rows, .n_rows = a->n, .panel_stride = b->stride,
                               .len = len, .out_stride = b->out_stride, .add = add};
  for (size_t j = 0; j < b->n; j += VDB_TILE_COLUMNS) {
    size_t columns = vdb_min_size(b->n - j, VDB_TILE_COLUMNS);
    step.panels = b->panels + j / VDB_TILE_PANEL * b->stride;
    step.n_panels = columns > VDB_TILE_PANEL ? 2 : 1;
    step.out = b->out + j;
    if (columns % VDB_TILE_PANEL == 0)
      table->tile(&step);
    else
      tile_step_part(table, step, columns);
  }
}

static struct vdb_tile_rows tile_part(const struct vdb_tile_rows *rows, size_t first, size_t n) {
  return (struct vdb_tile_rows){rows->data + first * rows->stride, rows->stride,
                                vdb_min_size(rows->n - first, n)};
}

/* Rows of a against one group of whole panels. */
static void tile_group(const struct vdb_kern_table *table, const struct vdb_tile_rows *a,
                       size_t dim, struct tile_side b) {
  for (size_t i = 0; i < a->n; i += VDB_TILE_ROWS) {
    struct vdb_tile_rows part = tile_part(a, i, VDB_TILE_ROWS);
    struct tile_side slice = b;
    slice.out = b.out + i * b.out_stride;
    size_t at = 0;
    do {
      size_t len = vdb_min_size(dim - at, VDB_TILE_LEN);
      slice.panels = b.panels + at * VDB_TILE_PANEL;
      tile_slice(table, &part, len, at > 0, &slice);
      part.data += len;
      at += len;
    } while (at < dim);
  }
}

static void tile_dot_panels(const struct vdb_kern_table *table, const struct vdb_tile_rows *a,
                            const float *packed, size_t nb, size_t dim, float *out) {
  size_t row_bytes = vdb_max_size(dim, 1) * sizeof *packed;
  size_t group = vdb_max_size(TILE_GROUP_BYTES / row_bytes, 1);
  group = (size_t)vdb_round_up(group, VDB_TILE_COLUMNS);
  for (size_t j = 0; j < nb; j += group) {
    struct tile_side b = {packed + j * dim, VDB_TILE_PANEL * dim, vdb_min_size(nb - j, group),
                          out + j, nb};
    tile_group(table, a, dim, b);
  }
}

VDB_INTERNAL void vdb_tile_dot_by(const struct vdb_kern_table *table,
                                  const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                                  size_t dim, float *out) {
  enum { COLUMNS = 4 * VDB_TILE_PANEL };
  _Alignas(64) float panels[COLUMNS * VDB_TILE_LEN];
  const size_t stride = VDB_TILE_PANEL * VDB_TILE_LEN;
  for (size_t j = 0; j < b->n; j += COLUMNS) {
    size_t at = 0;
    do {
      size_t len = vdb_min_size(dim - at, VDB_TILE_LEN);
      struct vdb_tile_rows columns = tile_part(b, j, COLUMNS);
      for (size_t p = 0; p < columns.n; p += VDB_TILE_PANEL)
        tile_pack_panel(columns.data + p * b->stride + at, b->stride,
                        vdb_min_size(columns.n - p, VDB_TILE_PANEL), len,
                        panels + p / VDB_TILE_PANEL * stride);
      for (size_t i = 0; i < a->n; i += VDB_TILE_ROWS) {
        struct vdb_tile_rows part = tile_part(a, i, VDB_TILE_ROWS);
        struct tile_side side = {panels, stride, columns.n, out + i * b->n + j, b->n};
        part.data += at;
        tile_slice(table, &part, len, at > 0, &side);
      }
      at += len;
    } while (at < dim);
  }
}

#ifdef VDB_WITH_BLAS

/* A table that is named shall be measured and tested, not OpenBLAS. */
VDB_INTERNAL bool vdb_tile_by_blas(void) {
  static _Atomic int tile_choice;
  int choice = atomic_load_explicit(&tile_choice, memory_order_acquire);
  if (choice == 0) {
    choice = getenv("VECDB_KERN") ? 1 : 2;
    openblas_set_num_threads(1);
    atomic_store_explicit(&tile_choice, choice, memory_order_release);
  }
  return choice == 2;
}

static void tile_dot_blas(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b, size_t dim,
                          float *out) {
  if (a->n > 0 && b->n > 0)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)a->n, (int)b->n, (int)dim, 1,
                a->data, (int)a->stride, b->data, (int)b->stride, 0, out, (int)b->n);
}

#else

VDB_INTERNAL bool vdb_tile_by_blas(void) { return false; }

#endif

VDB_INTERNAL void vdb_tile_dot(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                               size_t dim, float *out) {
#ifdef VDB_WITH_BLAS
  if (vdb_tile_by_blas()) {
    tile_dot_blas(a, b, dim, out);
    return;
  }
#endif
  vdb_tile_dot_by(vdb_kern(), a, b, dim, out);
}

VDB_INTERNAL size_t vdb_tile_packed_floats(size_t n, size_t dim) {
  return (size_t)vdb_round_up(n, VDB_TILE_PANEL) * dim;
}

VDB_INTERNAL void vdb_tile_pack(const struct vdb_tile_rows *b, size_t dim, float *packed) {
#ifdef VDB_WITH_BLAS
  if (vdb_tile_by_blas()) {
    for (size_t j = 0; j < b->n; j++)
      memcpy(packed + j * dim, b->data + j * b->stride, dim * sizeof *packed);
    return;
  }
#endif
  for (size_t j = 0; j < b->n; j += VDB_TILE_PANEL)
    tile_pack_panel(b->data + j * b->stride, b->stride, vdb_min_size(b->n - j, VDB_TILE_PANEL),
                    dim, packed + j * dim);
}

VDB_INTERNAL void vdb_tile_dot_packed(const struct vdb_tile_rows *a, const float *packed, size_t nb,
                                      size_t dim, float *out) {
#ifdef VDB_WITH_BLAS
  if (vdb_tile_by_blas()) {
    struct vdb_tile_rows b = {packed, dim, nb};
    tile_dot_blas(a, &b, dim, out);
    return;
  }
#endif
  tile_dot_panels(vdb_kern(), a, packed, nb, dim, out);
}

VDB_INTERNAL bool vdb_tile_fast(void) {
  return vdb_tile_by_blas() || vdb_kern()->tile != vdb_kern_scalar()->tile;
}
