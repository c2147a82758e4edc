/*
 * ivf_reach.c - how far a search of lists looks; see ivf.h. A fixed number of lists spends as
 * much on easy queries as on hard ones. A search takes instead the lists that are hardly farther
 * than the nearest one, up to twice the number asked for. How much farther they may be is such
 * that rows of the index, as queries, get that number on average; that is learnt when the index
 * is built, for powers of two.
 */
#include "index/ivf_build.h"

enum {
  REACH_ROWS = 256,           /* that it is learnt from, */
  REACH_KEYS = 1 << 22,       /* fewer if so many keys do not hold them all */
  REACH_STEPS = 24,           /* halvings of the range of a reach */
  REACH_MOST = 2,             /* lists looked through at most, times those asked for */
  REACH_SHARE = 8             /* one list in so many is the most that it is for */
};

/* Keys of lists from rows of a sample, less that of the nearest. */
struct reach_work {
  struct vdb_ivf_builder *h;
  float *keys; /* rows x n_lists */
  uint32_t rows;
};

static void reach_row(void *arg, size_t i, unsigned worker) {
  const struct reach_work *w = arg;
  const struct vdb_ivf_builder *h = w->h;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  struct vdb_ivf_worker *memory = &h->workers[worker];
  uint32_t dim = h->b->vecs->dim;
  float *keys = w->keys + i * h->n_lists, nearest = __builtin_inff();
  float by = h->coder.l2 ? -2 : -1;
  vdb_ivf_row(h, (uint32_t)((uint64_t)h->b->vecs->n * i / w->rows), memory->raw, memory->x);
  dot->many(memory->x, h->centres, dim * sizeof(float), h->n_lists, dim, keys);
  for (uint32_t c = 0; c < h->n_lists; c++) {
    keys[c] = h->biases[c] + h->spreads[c] + by * keys[c];
    nearest = keys[c] < nearest ? keys[c] : nearest;
  }
  for (uint32_t c = 0; c < h->n_lists; c++)
    keys[c] -= nearest;
}

/* How many lists lie within a reach, on average; no row counts more than `most`. */
static double reach_mean(const struct reach_work *w, float reach, uint32_t most) {
  uint32_t n_lists = w->h->n_lists;
  uint64_t total = 0;
  for (uint32_t i = 0; i < w->rows; i++) {
    const float *keys = w->keys + (size_t)i * n_lists;
    uint32_t n = 0;
    for (uint32_t c = 0; c < n_lists; c++)
      n += keys[c] <= reach;
    total += vdb_min_u32(n, most);
  }
  return (double)total / w->rows;
}

static float reach_of(const struct reach_work *w, uint32_t n, float low) {
  float high = 0;
  for (size_t i = 0; i < (size_t)w->rows * w->h->n_lists; i++)
    high = w->keys[i] > high ? w->keys[i] : high;
  for (int step = 0; step < REACH_STEPS; step++) {
    float middle = low + (high - low) / 2;
    if (reach_mean(w, middle, REACH_MOST * n) < n)
      low = middle;
    else
      high = middle;
  }
  return high;
}

VDB_INTERNAL int vdb_ivf_reach_learn(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  struct reach_work w = {h, NULL, vdb_min_u32(b->vecs->n, REACH_ROWS)};
  w.rows = vdb_min_u32(w.rows, REACH_KEYS / h->n_lists + 1);
  w.keys = vdb_alloc_array(b->mem, w.rows, h->n_lists * sizeof *w.keys);
  if (!w.keys)
    return vdb_fail_memory(err);
  b->par->run(b->par, w.rows, reach_row, &w);
  memset(h->reach, 0, sizeof h->reach);
  for (uint32_t i = 1; i < VDB_IVF_REACHES && 1u << i <= h->n_lists / REACH_SHARE; i++)
    h->reach[i] = reach_of(&w, 1u << i, h->reach[i - 1]);
  vdb_free(b->mem, w.keys);
  return VECDB_OK;
}

VDB_INTERNAL float vdb_ivf_reach(const struct vdb_ivf *ivf, uint32_t *n) {
  if (!ivf->reach || *n < 2 || *n > ivf->centroids.n / REACH_SHARE)
    return __builtin_inff();
  uint32_t i = 31 - (uint32_t)__builtin_clz(*n), low = 1u << i;
  float share = (float)(*n - low) / (float)low, reach = ivf->reach[i];
  if (share > 0 && i + 1 < VDB_IVF_REACHES && ivf->reach[i + 1] > reach)
    reach += share * (ivf->reach[i + 1] - reach);
  *n *= REACH_MOST;
  return reach;
}
