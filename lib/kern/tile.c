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

enum { TILE_GROUP_BYTES = 512 << 10 }; /* of panels that many rows meet in turn: they stay in L2 */

/* Packs elements first .. first + len - 1 of n <= 16 rows as one panel. */
static void tile_pack_panel(const float *rows, size_t stride, size_t n, size_t len,
                            float *panel) {
  for (size_t i = 0; i < len; i++, panel += VDB_TILE_PANEL) {
    for (size_t j = 0; j < n; j++)
      panel[j] = rows[j * stride + i];
    for (size_t j = n; j < VDB_TILE_PANEL; j++)
      panel[j] = 0;
  }
}

/* Panels that rows are to meet, and where the results go. */
struct tile_side {
  const float *panels; /* `stride` floats apart */
  size_t stride;
  size_t n; /* rows in them */
  float *out;
  size_t out_stride;
};

static void tile_put(const float *sums, size_t rows, size_t columns, bool add, float *out,
                     size_t out_stride) {
  for (size_t i = 0; i < rows; i++, out += out_stride, sums += VDB_TILE_COLUMNS)
    for (size_t j = 0; j < columns; j++)
      out[j] = add ? out[j] + sums[j] : sums[j];
}

/* `len` elements of up to 12 rows against all panels; `add` to what is in `out` already. */
static void tile_slice(const struct vdb_kern_table *table, const struct vdb_tile_rows *a,
                       size_t len, bool add, const struct tile_side *b) {
  _Alignas(64) float rows[VDB_TILE_ROWS * VDB_TILE_ROW_STRIDE];
  _Alignas(64) float sums[VDB_TILE_ROWS * VDB_TILE_COLUMNS];
  for (size_t i = 0; i < a->n; i++)
    memcpy(rows + i * VDB_TILE_ROW_STRIDE, a->data + i * a->stride, len * sizeof *rows);
  for (size_t j = 0; j < b->n; j += VDB_TILE_COLUMNS) {
    size_t columns = vdb_min_size(b->n - j, VDB_TILE_COLUMNS);
    struct vdb_tile_step step = {rows, a->n, b->panels + j / VDB_TILE_PANEL * b->stride, b->stride,
                                 columns > VDB_TILE_PANEL ? 2 : 1, len};
    table->tile(&step, sums);
    tile_put(sums, a->n, columns, add, b->out + j, b->out_stride);
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
  _Alignas(64) float panels[2 * VDB_TILE_PANEL * VDB_TILE_LEN];
  const size_t stride = VDB_TILE_PANEL * VDB_TILE_LEN;
  for (size_t j = 0; j < b->n; j += VDB_TILE_COLUMNS) {
    size_t at = 0;
    do {
      size_t len = vdb_min_size(dim - at, VDB_TILE_LEN);
      struct vdb_tile_rows columns = tile_part(b, j, VDB_TILE_COLUMNS);
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

/* Whether OpenBLAS is to do it: a table that is named shall be measured and tested, not that. */
static bool tile_blas(void) {
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

#endif

VDB_INTERNAL void vdb_tile_dot(const struct vdb_tile_rows *a, const struct vdb_tile_rows *b,
                               size_t dim, float *out) {
#ifdef VDB_WITH_BLAS
  if (tile_blas()) {
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
  if (tile_blas()) {
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
  if (tile_blas()) {
    struct vdb_tile_rows b = {packed, dim, nb};
    tile_dot_blas(a, &b, dim, out);
    return;
  }
#endif
  tile_dot_panels(vdb_kern(), a, packed, nb, dim, out);
}
