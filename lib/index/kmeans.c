/* kmeans.c - see kmeans.h. */
#include "index/kmeans.h"

#include <math.h>

#include "base/check.h"
#include "base/rng.h"
#include "kern/linear.h"
#include "kern/tile.h"

enum {
  KMEANS_CHUNK = 64,      /* rows assigned per item of a parallel loop */
  KMEANS_PANEL = 512,     /* centroids they meet at a time */
  KMEANS_FLAT = 64,       /* up to so many centroids are found without groups */
  KMEANS_FIRST_ROUNDS = 8, /* of groups, and of the children of each: */
  KMEANS_CHILD_ROUNDS = 6,
  KMEANS_GROUP_ROWS = 512, /* over so many rows for each group, */
  KMEANS_CHILD_ROWS = 48,  /* and for each child */
  KMEANS_LAST_ROUNDS = 2,
  KMEANS_SAMPLE = 256,
  KMEANS_SEED_ROWS = 16,  /* rows for each centroid to begin with */
  KMEANS_MOST_NEAR = 64
};

/* Centroids packed for products, in panels. */
struct kmeans_packed {
  float *data;
  uint32_t k, dim;
};

struct kmeans_work {
  const struct vdb_kmeans *job;
  uint32_t *ids;    /* rows of the sample; grouped later */
  uint32_t *which;  /* the centroid of each */
  uint32_t *order;  /* places in `ids`, by centroid */
  uint32_t *starts; /* where each centroid's begin; k + 1 */
  float *keys;      /* of each row and its centroid */
  float *halves;    /* of the centroids, with what large clusters cost */
  uint32_t *taken;  /* how often centroids without rows took half of this one's */
  float *scratch;   /* of all workers */
  struct kmeans_packed packed;
  struct vdb_rng rng;
  uint64_t done, total; /* rounds, for progress */
};

/* What one call of Lloyd's rounds works on: n rows of ids, k centroids. */
struct kmeans_part {
  struct kmeans_work *w;
  uint32_t first; /* in w->ids */
  uint32_t n;
  uint32_t k;
  float *centroids;
};

static size_t kmeans_packed_floats(uint32_t k, uint32_t dim) {
  size_t full = vdb_tile_packed_floats(KMEANS_PANEL, dim);
  size_t rest = k % KMEANS_PANEL ? vdb_tile_packed_floats(k % KMEANS_PANEL, dim) : 0;
  return k / KMEANS_PANEL * full + rest + 16;
}

static void kmeans_pack(struct kmeans_packed *p, const float *centroids, uint32_t k,
                        uint32_t dim) {
  float *out = p->data;
  p->k = k;
  p->dim = dim;
  for (uint32_t from = 0; from < k; from += KMEANS_PANEL) {
    struct vdb_tile_rows panel = {centroids + (size_t)from * dim, dim,
                                  vdb_min_u32(KMEANS_PANEL, k - from)};
    vdb_tile_pack(&panel, dim, out);
    out += vdb_tile_packed_floats(panel.n, dim);
  }
}

VDB_INTERNAL void vdb_centroid_halves(const float *data, uint32_t k, uint32_t dim,
                                      float *halves) {
  for (uint32_t i = 0; i < k; i++) {
    struct vdb_tile_rows row = {data + (size_t)i * dim, dim, 1};
    vdb_tile_dot(&row, &row, dim, &halves[i]);
    halves[i] /= 2;
  }
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static size_t kmeans_scratch_floats(uint32_t dim) {
  return (size_t)vdb_round_up((size_t)KMEANS_CHUNK * (dim + KMEANS_PANEL), 16);
}

static void kmeans_assign_chunk(void *arg, size_t chunk, unsigned worker) {
  const struct kmeans_part *part = arg;
  const struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim, from = (uint32_t)chunk * KMEANS_CHUNK;
  uint32_t n = vdb_min_u32(KMEANS_CHUNK, part->n - from);
  float *rows = w->scratch + worker * kmeans_scratch_floats(dim);
  float *dots = rows + (size_t)KMEANS_CHUNK * dim;
  const uint32_t *ids = w->ids + part->first + from;
  uint32_t *which = w->which + part->first + from;
  float *keys = w->keys + part->first + from;
  const float *packed = w->packed.data;
  struct vdb_tile_rows a = {rows, dim, n};
  for (uint32_t i = 0; i < n; i++) {
    memcpy(rows + (size_t)i * dim, w->job->rows + (size_t)ids[i] * dim, dim * sizeof *rows);
    keys[i] = INFINITY;
    which[i] = 0;
  }
  for (uint32_t c = 0; c < part->k; c += KMEANS_PANEL) {
    uint32_t width = vdb_min_u32(KMEANS_PANEL, part->k - c);
    vdb_tile_dot_packed(&a, packed, width, dim, dots);
    packed += vdb_tile_packed_floats(width, dim);
    for (uint32_t i = 0; i < n; i++) {
      size_t at = vdb_linear()->least(dots + (size_t)i * width, w->halves + c, width, &keys[i]);
      which[i] = at < width ? c + (uint32_t)at : which[i];
    }
  }
}

static void kmeans_normalize(float *x, uint32_t dim) {
  double sum = 0;
  for (uint32_t i = 0; i < dim; i++)
    sum += (double)x[i] * (double)x[i];
  float by = sum > 0 ? (float)(1 / sqrt(sum)) : 1;
  for (uint32_t i = 0; i < dim; i++)
    x[i] *= by;
}

/* The mean of a centroid's rows. */
static void kmeans_mean(void *arg, size_t c, unsigned worker) {
  const struct kmeans_part *part = arg;
  const struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim, from = w->starts[c], n = w->starts[c + 1] - from;
  float *centroid = part->centroids + c * dim;
  (void)worker;
  if (n == 0)
    return;
  memset(centroid, 0, dim * sizeof *centroid);
  for (uint32_t i = from; i < from + n; i++)
    vdb_linear()->add(centroid, w->job->rows + (size_t)w->ids[w->order[i]] * dim, dim);
  for (uint32_t i = 0; i < dim; i++)
    centroid[i] /= (float)n;
  if (w->job->spherical)
    kmeans_normalize(centroid, dim);
}

/* Fills starts and order: rows by centroid, in their order. */
static void kmeans_sort(const struct kmeans_part *part) {
  struct kmeans_work *w = part->w;
  memset(w->starts, 0, ((size_t)part->k + 1) * sizeof *w->starts);
  for (uint32_t i = part->first; i < part->first + part->n; i++)
    w->starts[w->which[i] + 1]++;
  for (uint32_t c = 0; c < part->k; c++)
    w->starts[c + 1] += w->starts[c];
  for (uint32_t i = part->first; i < part->first + part->n; i++)
    w->order[w->starts[w->which[i]]++] = i;
  memmove(w->starts + 1, w->starts, part->k * sizeof *w->starts); /* they have moved on by one */
  w->starts[0] = 0;
}

/* A centroid without rows becomes a row of the largest cluster, which then counts as half. */
static void kmeans_fill(const struct kmeans_part *part) {
  struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim;
  memset(w->taken, 0, part->k * sizeof *w->taken);
  for (uint32_t c = 0; c < part->k; c++) {
    if (w->starts[c + 1] != w->starts[c])
      continue;
    uint32_t largest = 0, most = 0;
    for (uint32_t i = 0; i < part->k; i++) {
      uint32_t n = w->starts[i + 1] - w->starts[i];
      n >>= vdb_min_u32(w->taken[i], 31);
      if (n > most) {
        most = n;
        largest = i;
      }
    }
    if (most < 2)
      return; /* there are not enough different rows */
    w->taken[largest]++;
    uint32_t at = w->starts[largest] +
                  vdb_rng_below(&w->rng, w->starts[largest + 1] - w->starts[largest]);
    memcpy(part->centroids + (size_t)c * dim, w->job->rows + (size_t)w->ids[w->order[at]] * dim,
           dim * sizeof(float));
    if (w->job->spherical)
      kmeans_normalize(part->centroids + (size_t)c * dim, dim);
  }
}

/* What clusters cost that are larger than the mean: a share of the mean distance of rows. */
static void kmeans_cost(const struct kmeans_part *part, float *costs) {
  const struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim;
  double spread = 0;
  for (uint32_t i = part->first; i < part->first + part->n; i++) {
    struct vdb_tile_rows row = {w->job->rows + (size_t)w->ids[i] * dim, dim, 1};
    float square;
    vdb_tile_dot(&row, &row, dim, &square);
    spread += (double)square / 2 + (double)w->keys[i];
  }
  float unit = (float)(spread > 0 ? spread / part->n : 0) / 4;
  for (uint32_t c = 0; c < part->k; c++) {
    float share = (float)(w->starts[c + 1] - w->starts[c]) * (float)part->k / (float)part->n;
    costs[c] += unit * ((share < 4 ? share : 4) - 1);
  }
}

static void kmeans_round(struct kmeans_part *part, float *costs) {
  struct kmeans_work *w = part->w;
  const struct vdb_par *par = w->job->par;
  kmeans_pack(&w->packed, part->centroids, part->k, w->job->dim);
  if (w->job->spherical)
    memset(w->halves, 0, part->k * sizeof *w->halves);
  else
    vdb_centroid_halves(part->centroids, part->k, w->job->dim, w->halves);
  for (uint32_t c = 0; costs && c < part->k; c++)
    w->halves[c] += costs[c];
  par->run(par, (part->n + KMEANS_CHUNK - 1) / KMEANS_CHUNK, kmeans_assign_chunk, part);
  kmeans_sort(part);
}

/* `rounds` rounds from the centroids given. */
static void kmeans_lloyd(struct kmeans_part *part, uint32_t rounds, float *costs) {
  const struct vdb_par *par = part->w->job->par;
  for (uint32_t round = 0; round < rounds; round++) {
    kmeans_round(part, costs);
    par->run(par, part->k, kmeans_mean, part);
    kmeans_fill(part);
    if (costs)
      kmeans_cost(part, costs);
  }
}

/* ---- The whole ------------------------------------------------------------------------------- */

static int kmeans_told(struct kmeans_work *w, vecdb_error *err) {
  const struct vdb_kmeans *job = w->job;
  w->done++;
  if (job->progress && job->progress(job->progress_arg, w->done, w->total))
    return vdb_fail(err, VECDB_ERR_CANCELLED, "k-means was cancelled");
  return VECDB_OK;
}

/* A place among n at random, as likely as its square is large; the first when all are 0. */
static uint32_t kmeans_draw(struct vdb_rng *rng, const float *squares, uint32_t n) {
  double sum = 0;
  for (uint32_t i = 0; i < n; i++)
    sum += (double)squares[i];
  double left = sum * vdb_rng_unit(rng);
  for (uint32_t i = 0; i < n; i++) {
    left -= (double)squares[i];
    if (left < 0)
      return i;
  }
  return 0;
}

/*
 * Rows of the part to begin with, none twice: the more likely the farther they are from those taken
 * before (k-means++: Arthur and Vassilvitskii 2007), among some rows for each centroid: the first
 * of the part, which are in a random order. Brings those taken to the front.
 */
static void kmeans_seed(const struct kmeans_part *part) {
  struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim, *ids = w->ids + part->first;
  uint32_t n = vdb_min_u32(part->n, part->k * KMEANS_SEED_ROWS);
  float *squares = w->keys + part->first, now[KMEANS_CHUNK];
  const struct vdb_kern *kern = &vdb_kern()->kern[VDB_F32][VDB_OP_L2];
  for (uint32_t i = 0; i < n; i++)
    squares[i] = INFINITY;
  for (uint32_t c = 0; c < part->k; c++) {
    uint32_t at = c ? c + kmeans_draw(&w->rng, squares + c, n - c) : 0, id = ids[at];
    ids[at] = ids[c];
    squares[at] = squares[c];
    ids[c] = id;
    for (uint32_t i = c + 1; i < n; i += KMEANS_CHUNK) {
      uint32_t width = vdb_min_u32(KMEANS_CHUNK, n - i);
      kern->gather(w->job->rows + (size_t)id * dim, w->job->rows, dim * sizeof(float), ids + i,
                   width, dim, now);
      for (uint32_t r = 0; r < width; r++)
        squares[i + r] = now[r] < squares[i + r] ? now[r] : squares[i + r];
    }
  }
}

/* k centroids of a part, learnt from some rows for each. */
static void kmeans_flat(struct kmeans_part *part, uint32_t rounds, uint32_t rows_each) {
  struct kmeans_work *w = part->w;
  uint32_t dim = w->job->dim, n = part->n;
  uint32_t *ids = w->ids + part->first;
  if ((uint64_t)part->k * rows_each < n)
    n = part->k * rows_each;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t other = i + vdb_rng_below(&w->rng, part->n - i), id = ids[other];
    ids[other] = ids[i];
    ids[i] = id;
  }
  part->n = n;
  kmeans_seed(part);
  for (uint32_t c = 0; c < part->k; c++) {
    memcpy(part->centroids + (size_t)c * dim,
           w->job->rows + (size_t)ids[c] * dim, dim * sizeof(float));
    if (w->job->spherical)
      kmeans_normalize(part->centroids + (size_t)c * dim, dim);
  }
  kmeans_lloyd(part, rounds, NULL);
}

/* How many of k centroids each group gets: in proportion to its rows, no more than it has rows, and
   all k in the end. `starts` are those of the groups among n rows. */
static void kmeans_shares(const uint32_t *starts, uint32_t groups, uint32_t k, uint32_t *shares) {
  uint32_t n = starts[groups], given = 0;
  for (uint32_t g = 0; g < groups; g++) {
    shares[g] = (uint32_t)((uint64_t)k * (starts[g + 1] - starts[g]) / n);
    given += shares[g];
  }
  while (given < k) { /* to the one with the most rows for each centroid */
    uint32_t best = 0;
    double most = -1;
    for (uint32_t g = 0; g < groups; g++) {
      uint32_t rows = starts[g + 1] - starts[g];
      double each = shares[g] < rows ? (double)rows / (shares[g] + 0.5) : -1;
      if (each > most) {
        most = each;
        best = g;
      }
    }
    shares[best]++;
    given++;
  }
}

/* Reorders ids by group, and finds each group's centroids. `centroids` holds those of the groups
   first. */
static int kmeans_children(struct kmeans_work *w, uint32_t n, uint32_t groups, uint32_t *plan,
                           float *centroids, vecdb_error *err) {
  uint32_t *starts = plan, *shares = plan + groups + 1;
  memcpy(starts, w->starts, (groups + 1) * sizeof *starts);
  for (uint32_t i = 0; i < n; i++)
    w->which[i] = w->ids[w->order[i]];
  memcpy(w->ids, w->which, n * sizeof *w->ids);
  kmeans_shares(starts, groups, w->job->k, shares);
  for (uint32_t g = 0; g < groups; g++) {
    struct kmeans_part part = {w, starts[g], starts[g + 1] - starts[g], shares[g], centroids};
    if (part.k > 0)
      kmeans_flat(&part, KMEANS_CHILD_ROUNDS, KMEANS_CHILD_ROWS);
    centroids += (size_t)part.k * w->job->dim;
    VDB_TRY(kmeans_told(w, err));
  }
  return VECDB_OK;
}

/* Takes `n` rows of the job's, each at random from its share of them. */
static void kmeans_sample(struct kmeans_work *w, uint32_t n) {
  uint64_t all = w->job->n;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t first = (uint32_t)(all * i / n), end = (uint32_t)(all * (i + 1) / n);
    w->ids[i] = first + vdb_rng_below(&w->rng, end - first);
  }
}

static int kmeans_run(struct kmeans_work *w, uint32_t n, uint32_t *plan, float *costs,
                      float *centroids, vecdb_error *err) {
  const struct vdb_kmeans *job = w->job;
  uint32_t rounds = job->iterations ? job->iterations : KMEANS_LAST_ROUNDS;
  struct kmeans_part all = {w, 0, n, job->k, centroids};
  kmeans_sample(w, n);
  if (job->k <= KMEANS_FLAT) {
    w->total = 1 + rounds;
    kmeans_flat(&all, KMEANS_FIRST_ROUNDS, n);
    VDB_TRY(kmeans_told(w, err));
  } else {
    uint32_t groups = (uint32_t)sqrt(job->k);
    w->total = 1 + groups + rounds;
    struct kmeans_part top = {w, 0, n, groups, centroids};
    kmeans_flat(&top, KMEANS_FIRST_ROUNDS, KMEANS_GROUP_ROWS);
    top.n = n;
    kmeans_round(&top, NULL);
    VDB_TRY(kmeans_told(w, err));
    VDB_TRY(kmeans_children(w, n, groups, plan, centroids, err));
  }
  if (costs)
    memset(costs, 0, job->k * sizeof *costs);
  for (uint32_t round = 0; round < rounds; round++) {
    kmeans_lloyd(&all, 1, costs);
    VDB_TRY(kmeans_told(w, err));
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_kmeans(const struct vdb_kmeans *job, float *centroids, vecdb_error *err) {
  if (job->k == 0 || job->k > job->n)
    return vdb_fail(err, VECDB_ERR_INDEX_PARAM, "%u clusters cannot be made of %u rows", job->k,
                    job->n);
  uint64_t sample = (uint64_t)job->k * (job->sample ? job->sample : KMEANS_SAMPLE);
  uint32_t n = (uint32_t)(sample < job->n ? sample : job->n);
  struct kmeans_work w = {.job = job, .rng = {job->seed}};
  struct vdb_mem *mem = job->mem;
  uint32_t *plan = vdb_alloc_array(mem, 2 * (size_t)job->k + 2, sizeof *plan);
  float *costs = job->balanced ? vdb_alloc_array(mem, job->k, sizeof *costs) : NULL;
  w.ids = vdb_alloc_array(mem, n, sizeof *w.ids);
  w.which = vdb_alloc_array(mem, n, sizeof *w.which);
  w.order = vdb_alloc_array(mem, n, sizeof *w.order);
  w.starts = vdb_alloc_array(mem, (size_t)job->k + 1, sizeof *w.starts);
  w.keys = vdb_alloc_array(mem, n, sizeof *w.keys);
  w.halves = vdb_alloc_array(mem, job->k, sizeof *w.halves);
  w.taken = vdb_alloc_array(mem, job->k, sizeof *w.taken);
  w.scratch = vdb_alloc_wide(mem, job->par->workers * kmeans_scratch_floats(job->dim) * 4);
  w.packed.data = vdb_alloc_wide(mem, kmeans_packed_floats(job->k, job->dim) * 4);
  bool memory = plan && (costs || !job->balanced) && w.ids && w.which && w.order && w.starts &&
                w.keys && w.halves && w.taken && w.scratch && w.packed.data;
  int rc = memory ? kmeans_run(&w, n, plan, costs, centroids, err) : vdb_fail_memory(err);
  void *const blocks[] = {plan,     costs,    w.ids,   w.which,   w.order,      w.starts,
                          w.keys,   w.halves, w.taken, w.scratch, w.packed.data};
  for (size_t i = 0; i < VDB_COUNT(blocks); i++)
    vdb_free(mem, blocks[i]);
  return rc;
}

/* ---- The nearest of many --------------------------------------------------------------------- */

struct kmeans_nearest {
  const struct vdb_centroids *c;
  struct kmeans_packed packed;
  const float *halves;
  const float *rows;
  size_t n;
  uint32_t near;
  uint32_t *ids;
  float *keys;
  float *scratch;
};

static size_t kmeans_nearest_floats(uint32_t near) {
  return (size_t)vdb_round_up((size_t)KMEANS_CHUNK * (KMEANS_PANEL + near), 16);
}

/* Puts centroids from `first` on that are nearer than the last of the row's list into it; `have` is
   how many there are, and the new number is returned. */
static uint32_t kmeans_insert(const struct kmeans_nearest *t, const float *dots, uint32_t first,
                              uint32_t width, uint32_t have, uint32_t *ids, float *keys) {
  for (uint32_t c = 0; c < width; c++) {
    float key = t->halves[first + c] - dots[c];
    if (have == t->near && !(key < keys[have - 1]))
      continue;
    uint32_t at = have < t->near ? have++ : have - 1;
    for (; at > 0 && key < keys[at - 1]; at--) {
      keys[at] = keys[at - 1];
      ids[at] = ids[at - 1];
    }
    keys[at] = key;
    ids[at] = first + c;
  }
  return have;
}

static void kmeans_nearest_chunk(void *arg, size_t chunk, unsigned worker) {
  const struct kmeans_nearest *t = arg;
  uint32_t dim = t->c->dim;
  size_t from = chunk * KMEANS_CHUNK;
  float *dots = t->scratch + worker * kmeans_nearest_floats(t->near);
  float *own = dots + (size_t)KMEANS_CHUNK * KMEANS_PANEL;
  float *keys = t->keys ? t->keys + from * t->near : own;
  uint32_t *ids = t->ids + from * t->near;
  uint32_t have[KMEANS_CHUNK] = {0};
  struct vdb_tile_rows a = {t->rows + from * dim, dim, vdb_min_size(KMEANS_CHUNK, t->n - from)};
  const float *packed = t->packed.data;
  for (uint32_t c = 0; c < t->c->k; c += KMEANS_PANEL) {
    uint32_t width = vdb_min_u32(KMEANS_PANEL, t->c->k - c);
    vdb_tile_dot_packed(&a, packed, width, dim, dots);
    packed += vdb_tile_packed_floats(width, dim);
    for (size_t i = 0; i < a.n; i++) {
      const float *row = dots + i * width;
      if (t->near > 1) {
        have[i] = kmeans_insert(t, row, c, width, have[i], ids + i * t->near, keys + i * t->near);
        continue;
      }
      if (c == 0) {
        keys[i] = INFINITY;
        ids[i] = 0;
      }
      size_t at = vdb_linear()->least(row, t->halves + c, width, &keys[i]);
      ids[i] = at < width ? c + (uint32_t)at : ids[i];
    }
  }
}

VDB_INTERNAL int vdb_centroids_nearest(struct vdb_mem *mem, const struct vdb_par *par,
                                       const struct vdb_centroids *c, const float *rows, size_t n,
                                       uint32_t near, uint32_t *ids, float *keys) {
  struct kmeans_nearest t = {.c = c, .rows = rows, .n = n, .near = near, .ids = ids, .keys = keys};
  vdb_assert(near >= 1 && near <= KMEANS_MOST_NEAR && near <= c->k);
  float *zeroes = c->halves ? NULL : vdb_alloc_zero(mem, c->k * sizeof *zeroes);
  t.halves = c->halves ? c->halves : zeroes;
  t.packed.data = vdb_alloc_wide(mem, kmeans_packed_floats(c->k, c->dim) * 4);
  t.scratch = vdb_alloc_wide(mem, par->workers * kmeans_nearest_floats(near) * 4);
  bool memory = t.halves && t.packed.data && t.scratch;
  if (memory) {
    kmeans_pack(&t.packed, c->data, c->k, c->dim);
    par->run(par, (n + KMEANS_CHUNK - 1) / KMEANS_CHUNK, kmeans_nearest_chunk, &t);
  }
  vdb_free(mem, zeroes);
  vdb_free(mem, t.packed.data);
  vdb_free(mem, t.scratch);
  return memory ? VECDB_OK : VECDB_ERR_NO_MEMORY;
}
