/*
 * ivf_lists.c - rows to lists; see ivf_build.h. A row goes to the nearest centroid c, and with
 * spill to a second one as well: the c' with the least
 *
 *   |x - c'|^2 + <x - c', r / |r|>^2, where r = x - c
 *
 * (SOAR: Sun, Simcha, Dopson, Guo, Kumar, 2023). A query to which x is near but c is far lies on
 * the far side of x along r; the second term prefers lists that such a query still finds.
 *
 * The rows of a list are on average farther from a query than its centroid is: their squared
 * distances by the mean of |r|^2. A share of that is added to what orders the lists, so that of two
 * whose centroids are equally far the narrower comes first.
 */
#include "base/check.h"
#include "index/ivf_build.h"
#include "index/kmeans.h"

enum {
  LISTS_CHUNK = 8192, /* rows at a time */
  LISTS_NEAR = 16     /* centroids among which the second is chosen */
};
#define LISTS_SPREAD 0.25f /* of the mean square */

struct lists_work {
  struct vdb_ivf_builder *h;
  float *x;        /* of the rows of a chunk */
  uint32_t *ids;   /* the nearest centroids of each */
  float *keys;     /* |c|^2 / 2 - <x, c> of these */
  float *squares;  /* |x - c|^2 of the nearest of each */
  double *sums;    /* of these, for each list */
  uint32_t *counts;
  uint32_t near;
  uint32_t first;  /* row of the chunk */
};

static void lists_row(void *arg, size_t i, unsigned worker) {
  struct lists_work *w = arg;
  uint32_t dim = w->h->b->vecs->dim;
  vdb_ivf_row(w->h, w->first + (uint32_t)i, w->h->workers[worker].raw, w->x + i * dim);
}

/* The second list of a row, or NONE for a row that is its centroid. */
static uint32_t lists_second(const struct lists_work *w, size_t i, float *residual) {
  const struct vdb_ivf_builder *h = w->h;
  uint32_t dim = h->b->vecs->dim;
  const float *x = w->x + i * dim;
  const uint32_t *ids = w->ids + i * w->near;
  const float *keys = w->keys + i * w->near;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  float dots[LISTS_NEAR];
  const float *centre = h->centres + (size_t)ids[0] * dim;
  for (uint32_t k = 0; k < dim; k++)
    residual[k] = x[k] - centre[k];
  float along = dot->one(residual, x, dim);
  float squares = dot->one(x, x, dim);
  float length = dot->one(residual, residual, dim);
  dot->gather(residual, h->centres, dim * sizeof(float), ids, w->near, dim, dots);
  uint32_t best = VDB_IVF_NONE;
  float least = __builtin_inff();
  for (uint32_t k = 1; k < w->near && length > 0; k++) {
    float distance = squares + 2 * keys[k];
    float parallel = along - dots[k];
    float loss = distance + parallel * parallel / length;
    if (loss < least) {
      least = loss;
      best = ids[k];
    }
  }
  return best;
}

static void lists_choose(void *arg, size_t i, unsigned worker) {
  struct lists_work *w = arg;
  uint32_t *homes = w->h->homes + 2 * (w->first + i);
  uint32_t dim = w->h->b->vecs->dim;
  const float *x = w->x + i * dim;
  w->squares[i] = vdb_kern()->kern[VDB_F32][VDB_OP_DOT].one(x, x, dim) + 2 * w->keys[i * w->near];
  homes[0] = w->ids[i * w->near];
  homes[1] = VDB_IVF_NONE;
  if (w->near > 1)
    homes[1] = lists_second(w, i, w->h->workers[worker].residual);
}

static int lists_chunks(struct lists_work *w, vecdb_error *err) {
  const struct vdb_index_build *b = w->h->b;
  struct vdb_centroids centroids = {w->h->centres, w->h->halves, w->h->n_lists, b->vecs->dim};
  for (uint32_t n; w->first < b->vecs->n; w->first += n) {
    n = vdb_min_u32(b->vecs->n - w->first, LISTS_CHUNK);
    b->par->run(b->par, n, lists_row, w);
    if (vdb_centroids_nearest(b->mem, b->par, &centroids, w->x, n, w->near, w->ids, w->keys))
      return vdb_fail_memory(err);
    b->par->run(b->par, n, lists_choose, w);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t list = w->ids[(size_t)i * w->near];
      w->sums[list] += w->squares[i] > 0 ? (double)w->squares[i] : 0;
      w->counts[list]++;
    }
    VDB_TRY(vdb_ivf_progress(w->h, n, err));
  }
  return VECDB_OK;
}

/* What is added to the keys of lists to order them. IP keys are half a squared distance where they
   go by distance, and where they do not, a wide list is no farther. */
static int lists_spread(struct lists_work *w, vecdb_error *err) {
  struct vdb_ivf_builder *h = w->h;
  float share = h->coder.l2 ? LISTS_SPREAD : h->by_distance ? LISTS_SPREAD / 2 : 0;
  h->spreads = vdb_alloc_array(h->b->mem, h->n_lists, sizeof *h->spreads);
  if (!h->spreads)
    return vdb_fail_memory(err);
  for (uint32_t l = 0; l < h->n_lists; l++)
    h->spreads[l] = w->counts[l] ? share * (float)(w->sums[l] / w->counts[l]) : 0;
  return VECDB_OK;
}

/* Lays out the lists, each in whole blocks, and puts rows into their slots in ascending order. */
static int lists_layout(struct vdb_ivf_builder *h, vecdb_error *err) {
  uint32_t n = h->b->vecs->n;
  uint32_t *next = vdb_alloc_zero(h->b->mem, (h->n_lists + 1) * sizeof *next);
  h->starts = vdb_alloc_array(h->b->mem, h->n_lists + (size_t)1, sizeof *h->starts);
  if (!next || !h->starts) {
    vdb_free(h->b->mem, next);
    return vdb_fail_memory(err);
  }
  for (size_t i = 0; i < 2 * (size_t)n; i++)
    if (h->homes[i] != VDB_IVF_NONE)
      next[h->homes[i]]++;
  uint32_t block = 0;
  for (uint32_t l = 0; l < h->n_lists; l++) {
    h->n_entries += next[l];
    h->starts[l] = block;
    block += (next[l] + VDB_IVF_BLOCK - 1) / VDB_IVF_BLOCK;
  }
  h->starts[h->n_lists] = block;
  size_t slots = (size_t)block * VDB_IVF_BLOCK;
  h->rows = vdb_alloc_array(h->b->mem, slots, sizeof *h->rows);
  if (h->rows) {
    memset(h->rows, 0xff, slots * sizeof *h->rows);
    memset(next, 0, h->n_lists * sizeof *next);
    for (size_t i = 0; i < 2 * (size_t)n; i++) {
      uint32_t list = h->homes[i];
      if (list != VDB_IVF_NONE)
        h->rows[(size_t)h->starts[list] * VDB_IVF_BLOCK + next[list]++] = (uint32_t)(i / 2);
    }
  }
  vdb_free(h->b->mem, next);
  return h->rows ? VECDB_OK : vdb_fail_memory(err);
}

VDB_INTERNAL int vdb_ivf_fill_lists(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  struct lists_work w = {.h = h};
  size_t chunk = vdb_min_u32(b->vecs->n, LISTS_CHUNK);
  w.near = h->kind->spill ? vdb_min_u32(h->n_lists, LISTS_NEAR) : 1;
  w.x = vdb_alloc_wide(b->mem, chunk * b->vecs->dim * sizeof *w.x);
  w.ids = vdb_alloc_array(b->mem, chunk, w.near * sizeof *w.ids);
  w.keys = vdb_alloc_array(b->mem, chunk, w.near * sizeof *w.keys);
  w.squares = vdb_alloc_array(b->mem, chunk, sizeof *w.squares);
  w.sums = vdb_alloc_zero(b->mem, h->n_lists * sizeof *w.sums);
  w.counts = vdb_alloc_zero(b->mem, h->n_lists * sizeof *w.counts);
  h->homes = vdb_alloc_array(b->mem, b->vecs->n, 2 * sizeof *h->homes);
  bool memory = w.x && w.ids && w.keys && w.squares && w.sums && w.counts && h->homes;
  int rc = memory ? lists_chunks(&w, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK)
    rc = lists_spread(&w, err);
  vdb_free(b->mem, w.counts);
  vdb_free(b->mem, w.sums);
  vdb_free(b->mem, w.squares);
  vdb_free(b->mem, w.keys);
  vdb_free(b->mem, w.ids);
  vdb_free(b->mem, w.x);
  return rc == VECDB_OK ? lists_layout(h, err) : rc;
}
