/*
 * pq_train.c - learns the centroids of product quantizers; see pq.h. Each part is k-means of its
 * own, of few dimensions, by one worker, so that nothing depends on how work is shared.
 */
#include "base/rng.h"
#include "index/pq.h"

enum {
  PQ_CHUNK = 64, /* rows assigned at a time */
  PQ_ITERATIONS = 12,
  PQ_ROWS_EACH = 96,   /* rows that a centroid is learnt from, */
  PQ_ROWS_LEAST = 8192 /* and the least that all are */
};

struct pq_work {
  const struct vdb_pq_train *t;
  struct vdb_pq *pq;
  uint32_t n;        /* rows in the sample */
  uint32_t *ids;     /* the sample */
  float *parts;      /* of each worker: the sample's parts, n x part_dim */
  uint8_t *which;    /* of each worker: their centroids */
  float *sums;       /* of each worker: width x part_dim */
  uint32_t *counts;  /* of each worker: width */
  _Atomic bool stop;
};

/* What one worker does for one part. */
struct pq_part {
  const float *rows; /* n x dim */
  uint32_t n, dim, width, k;
  float *columns;
  uint8_t *which;
  float *sums;
  uint32_t *counts;
  struct vdb_rng rng;
};

static void pq_set_column(const struct pq_part *p, uint32_t c, const float *x, float by) {
  for (uint32_t d = 0; d < p->dim; d++)
    p->columns[d * p->width + c] = x[d] * by;
}

/* Centroids to begin with: rows at random, none twice. */
static void pq_start(struct pq_part *p, uint32_t *ids) {
  for (uint32_t i = 0; i < p->n; i++)
    ids[i] = i;
  for (uint32_t c = 0; c < p->k; c++) {
    uint32_t other = c + vdb_rng_below(&p->rng, p->n - c), id = ids[other];
    ids[other] = ids[c];
    ids[c] = id;
    pq_set_column(p, c, p->rows + (size_t)id * p->dim, 1);
  }
}

/* A centroid without rows becomes a random row of the largest. */
static void pq_fill(struct pq_part *p, uint32_t c) {
  uint32_t largest = 0;
  for (uint32_t i = 1; i < p->k; i++)
    largest = p->counts[i] > p->counts[largest] ? i : largest;
  uint32_t at = vdb_rng_below(&p->rng, p->n);
  for (uint32_t tries = 0; p->which[at] != largest && tries < p->n; tries++)
    at = at + 1 < p->n ? at + 1 : 0;
  pq_set_column(p, c, p->rows + (size_t)at * p->dim, 1);
  p->counts[c] = p->counts[largest] / 2;
  p->counts[largest] -= p->counts[c];
}

/* Which centroid is nearest to each row; whether that is another than before for any. */
static bool pq_assign(struct pq_part *p, const float *halves) {
  uint32_t now[PQ_CHUNK], changed = 0;
  for (uint32_t from = 0; from < p->n; from += PQ_CHUNK) {
    uint32_t n = vdb_min_u32(PQ_CHUNK, p->n - from);
    vdb_linear()->nearest(p->rows + (size_t)from * p->dim, n, p->columns, halves, p->dim, p->width,
                          now);
    for (uint32_t i = 0; i < n; i++) {
      changed |= now[i] ^ p->which[from + i];
      p->which[from + i] = (uint8_t)now[i];
    }
  }
  return changed != 0;
}

/* Centroids become the means of their rows; whether one had none. */
static bool pq_move(struct pq_part *p) {
  bool filled = false;
  memset(p->sums, 0, (size_t)p->k * p->dim * sizeof *p->sums);
  memset(p->counts, 0, p->k * sizeof *p->counts);
  for (uint32_t i = 0; i < p->n; i++) {
    float *sum = p->sums + (size_t)p->which[i] * p->dim;
    const float *row = p->rows + (size_t)i * p->dim;
    p->counts[p->which[i]]++;
    for (uint32_t d = 0; d < p->dim; d++)
      sum[d] += row[d];
  }
  for (uint32_t c = 0; c < p->k; c++)
    if (p->counts[c])
      pq_set_column(p, c, p->sums + (size_t)c * p->dim, 1 / (float)p->counts[c]);
  for (uint32_t c = 0; c < p->k; c++)
    if (p->counts[c] == 0) {
      pq_fill(p, c);
      filled = true;
    }
  return filled;
}

/* Columns added are copies of the first. */
static void pq_pad(const struct pq_part *p) {
  for (uint32_t d = 0; d < p->dim; d++)
    for (uint32_t c = p->k; c < p->width; c++)
      p->columns[d * p->width + c] = p->columns[d * p->width];
}

static void pq_part_learn(void *arg, size_t j, unsigned worker) {
  struct pq_work *w = arg;
  const struct vdb_pq_train *t = w->t;
  struct vdb_pq *pq = w->pq;
  uint32_t dim = pq->part_dim, width = pq->width;
  float *rows = w->parts + (size_t)worker * w->n * dim;
  if (t->stop && t->stop(t->stop_arg))
    atomic_store_explicit(&w->stop, true, memory_order_relaxed);
  if (atomic_load_explicit(&w->stop, memory_order_relaxed))
    return;
  for (uint32_t i = 0; i < w->n; i++)
    memcpy(rows + (size_t)i * dim, t->rows + (size_t)w->ids[i] * t->dim + j * dim,
           dim * sizeof *rows);
  struct pq_part p = {.rows = rows,
                      .n = w->n,
                      .dim = dim,
                      .width = width,
                      .k = UINT32_C(1) << pq->base.nbits,
                      .columns = pq->own + j * dim * width,
                      .which = w->which + (size_t)worker * w->n * sizeof(uint32_t),
                      .sums = w->sums + (size_t)worker * width * dim,
                      .counts = w->counts + (size_t)worker * width,
                      .rng = {vdb_mix64(t->seed + j + 1)}};
  if (t->start)
    memcpy(p.columns, vdb_pq_of(t->start)->columns + j * dim * width,
           (size_t)dim * width * sizeof *p.columns);
  else
    pq_start(&p, (uint32_t *)(void *)p.which);
  pq_pad(&p);
  bool filled = true;
  for (uint32_t i = 0; i < (t->iterations ? t->iterations : PQ_ITERATIONS); i++) {
    vdb_pq_settle(pq, (uint32_t)j);
    bool changed = pq_assign(&p, pq->halves + j * width);
    if (!changed && !filled)
      break; /* the means stay, too */
    filled = pq_move(&p);
    pq_pad(&p);
  }
  vdb_pq_settle(pq, (uint32_t)j);
}

/* The rows to learn from, each at random from its share of all. */
static void pq_sample(struct pq_work *w) {
  struct vdb_rng rng = {w->t->seed};
  for (uint32_t i = 0; i < w->n; i++) {
    uint32_t first = (uint32_t)((uint64_t)w->t->n * i / w->n);
    uint32_t end = (uint32_t)((uint64_t)w->t->n * (i + 1) / w->n);
    w->ids[i] = first + vdb_rng_below(&rng, end - first);
  }
}

static int pq_train_run(struct pq_work *w, vecdb_error *err) {
  const struct vdb_pq_train *t = w->t;
  size_t workers = t->par->workers, part = (size_t)w->pq->part_dim * w->pq->width;
  w->ids = vdb_alloc_array(t->mem, w->n, sizeof *w->ids);
  w->parts = vdb_alloc_array(t->mem, workers * w->n, w->pq->part_dim * sizeof *w->parts);
  w->which = vdb_alloc_array(t->mem, workers * w->n, sizeof(uint32_t)); /* ids, at the start */
  w->sums = vdb_alloc_array(t->mem, workers * part, sizeof *w->sums);
  w->counts = vdb_alloc_array(t->mem, workers * w->pq->width, sizeof *w->counts);
  bool memory = w->ids && w->parts && w->which && w->sums && w->counts;
  if (memory) {
    pq_sample(w);
    t->par->run(t->par, t->params.m, pq_part_learn, w);
  }
  vdb_free(t->mem, w->ids);
  vdb_free(t->mem, w->parts);
  vdb_free(t->mem, w->which);
  vdb_free(t->mem, w->sums);
  vdb_free(t->mem, w->counts);
  if (!memory)
    return vdb_fail_memory(err);
  return w->stop ? vdb_fail(err, VECDB_ERR_CANCELLED, "learning a quantizer was cancelled")
                 : VECDB_OK;
}

VDB_INTERNAL int vdb_pq_train(const struct vdb_pq_train *t, struct vdb_quant **out,
                              vecdb_error *err) {
  struct pq_work w = {.t = t};
  VDB_TRY(vdb_pq_check(&t->params, t->n, t->dim, NULL, err));
  VDB_TRY(vdb_pq_new(t->mem, &t->params, t->dim, t->metric, NULL, &w.pq, err));
  uint32_t most = (uint32_t)PQ_ROWS_EACH << t->params.nbits;
  w.n = vdb_min_u32(t->n, most > PQ_ROWS_LEAST ? most : PQ_ROWS_LEAST);
  int rc = pq_train_run(&w, err);
  if (rc)
    w.pq->base.ops->close(t->mem, &w.pq->base);
  else
    *out = &w.pq->base;
  return rc;
}
