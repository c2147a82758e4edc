/*
 * opq.c - see opq.h. The orthogonal matrix nearest to M = sum of y^ x' is the U V' of its singular
 * values; it is found without them by Newton and Schulz's iteration X <- 3/2 X - 1/2 X X' X (Björck
 * and Bowie 1971), which brings all singular values below sqrt(3) to 1. So that none is 0, a little
 * of the rotation before is added to M.
 */
#include "index/opq.h"

#include <math.h>

#include "index/rotate.h"
#include "kern/tile.h"

enum {
  OPQ_ROUNDS = 10,
  OPQ_ROWS = 16384,       /* learnt from, at most */
  OPQ_FIRST = 8,          /* rounds of k-means, at first and then */
  OPQ_NEXT = 3,
  OPQ_CHUNK = 64,         /* rows of a matrix per item of a parallel loop */
  OPQ_NEWTON = 48,        /* iterations at most */
};
#define OPQ_KEEP 1e-3    /* of the rotation before */
#define OPQ_CLOSE 1e-5   /* to orthogonal */

struct opq_work {
  const struct vdb_pq_train *t;
  uint32_t n, dim;
  float *x, *turned; /* n x dim: the sample, and turned */
  float *x_t, *y_t;  /* dim x n: x and what codes decode to, transposed */
  float *square[3];  /* dim x dim */
  float *decoded;    /* a row of each worker */
  uint8_t *codes;    /* m of each worker */
  double *errors;    /* of each chunk of rows */
  struct vdb_quant *q;
};

/* out = a b' by rows of a, in parallel. */
struct opq_product {
  struct vdb_tile_rows a, b;
  size_t dim;
  float *out;
};

static void opq_product_chunk(void *arg, size_t chunk, unsigned worker) {
  const struct opq_product *p = arg;
  size_t from = chunk * OPQ_CHUNK;
  struct vdb_tile_rows part = {p->a.data + from * p->a.stride, p->a.stride,
                               vdb_min_size(OPQ_CHUNK, p->a.n - from)};
  (void)worker;
  vdb_tile_dot(&part, &p->b, p->dim, p->out + from * p->b.n);
}

/* out[i][j] = <row i of a, row j of b>; rows have `dim` elements. */
static void opq_multiply(const struct opq_work *w, const float *a, size_t na, const float *b,
                         size_t nb, size_t dim, float *out) {
  struct opq_product p = {{a, dim, na}, {b, dim, nb}, dim, out};
  w->t->par->run(w->t->par, (na + OPQ_CHUNK - 1) / OPQ_CHUNK, opq_product_chunk, &p);
}

static void opq_transpose(const float *in, size_t rows, size_t columns, float *out) {
  for (size_t i = 0; i < rows; i += 16)
    for (size_t j = 0; j < columns; j++)
      for (size_t k = i; k < vdb_min_size(rows, i + 16); k++)
        out[j * rows + k] = in[k * columns + j];
}

static double opq_norm(const float *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += (double)x[i] * (double)x[i];
  return sqrt(sum);
}

/* How far s = X X' is from 1, in its worst element. */
static float opq_off(const float *s, uint32_t dim) {
  float worst = 0;
  for (size_t i = 0; i < (size_t)dim * dim; i++) {
    float off = fabsf(s[i] - (i % (dim + 1) == 0 ? 1.0f : 0.0f));
    worst = off > worst ? off : worst;
  }
  return worst;
}

/*
 * The orthogonal matrix nearest to m, into `r`, which holds the one before. Spoils m. Where the
 * iteration does not arrive, r stays.
 */
static void opq_nearest(const struct opq_work *w, float *m, float *r) {
  uint32_t dim = w->dim;
  size_t n = (size_t)dim * dim;
  float *s = w->square[1], *turned = w->square[2];
  double norm = opq_norm(m, n);
  double keep = norm > 0 ? OPQ_KEEP * norm / sqrt(dim) : 1;
  float by = (float)(1 / (norm + keep * sqrt(dim)));
  for (size_t i = 0; i < n; i++)
    m[i] = (m[i] + (float)keep * r[i]) * by;
  for (int round = 0; round < OPQ_NEWTON; round++) {
    opq_multiply(w, m, dim, m, dim, dim, s);
    if (opq_off(s, dim) <= (float)OPQ_CLOSE) {
      memcpy(r, m, n * sizeof *r);
      return;
    }
    for (size_t i = 0; i < n; i++)
      s[i] = (i % (dim + 1) == 0 ? 1.5f : 0.0f) - 0.5f * s[i];
    opq_transpose(m, dim, dim, turned);
    opq_multiply(w, s, dim, turned, dim, dim, m);
  }
}

/* What the codes of a row decode to, in place of the turned row; and how far these were apart. */
static void opq_decode_chunk(void *arg, size_t chunk, unsigned worker) {
  const struct opq_work *w = arg;
  uint8_t *codes = w->codes + (size_t)worker * w->q->m;
  float *p = w->decoded + (size_t)worker * w->dim;
  double error = 0;
  for (size_t i = chunk * OPQ_CHUNK; i < vdb_min_size(w->n, (chunk + 1) * OPQ_CHUNK); i++) {
    float *row = w->turned + i * w->dim;
    vdb_pq_codes(w->q, row, codes);
    vdb_pq_decode(w->q, codes, p);
    for (uint32_t d = 0; d < w->dim; d++)
      error += ((double)row[d] - (double)p[d]) * ((double)row[d] - (double)p[d]);
    memcpy(row, p, w->dim * sizeof *p);
  }
  w->errors[chunk] = error;
}

/* Turns the rows by r, trains a quantizer on them, from that of w or anew, and decodes the rows. */
static int opq_round(struct opq_work *w, const float *r, bool anew, double *error,
                     vecdb_error *err) {
  const struct vdb_pq_train *t = w->t;
  struct vdb_quant *before = w->q;
  struct vdb_pq_train job = *t;
  size_t chunks = (w->n + OPQ_CHUNK - 1) / OPQ_CHUNK;
  job.rows = w->turned;
  job.n = w->n;
  job.start = anew ? NULL : before;
  job.iterations = anew ? OPQ_FIRST : OPQ_NEXT;
  opq_multiply(w, w->x, w->n, r, w->dim, w->dim, w->turned);
  VDB_TRY(vdb_pq_train(&job, &w->q, err));
  if (before)
    before->ops->close(t->mem, before);
  t->par->run(t->par, chunks, opq_decode_chunk, w);
  *error = 0;
  for (size_t i = 0; i < chunks; i++)
    *error += w->errors[i];
  return VECDB_OK;
}

/* A rotation to begin with: none or a random one, whichever leaves less error. */
static int opq_start(struct opq_work *w, float *r, vecdb_error *err) {
  uint32_t dim = w->dim;
  struct vdb_transform *random;
  double with, without;
  memset(r, 0, (size_t)dim * dim * sizeof *r);
  for (size_t i = 0; i < dim; i++)
    r[i * dim + i] = 1;
  VDB_TRY(opq_round(w, r, true, &without, err));
  VDB_TRY(vdb_transform_new(w->t->mem, VDB_ROTATE_RANDOM, dim, w->t->seed, NULL, &random, err));
  for (size_t i = 0; i < dim; i++)
    vdb_transform_rotate(random, r + i * dim, r + i * dim);
  vdb_transform_close(w->t->mem, random);
  VDB_TRY(opq_round(w, r, true, &with, err));
  if (with <= without)
    return VECDB_OK;
  memset(r, 0, (size_t)dim * dim * sizeof *r);
  for (size_t i = 0; i < dim; i++)
    r[i * dim + i] = 1;
  return opq_round(w, r, true, &without, err);
}

static int opq_run(struct opq_work *w, uint32_t rounds, float *r, vecdb_error *err) {
  uint32_t dim = w->dim, n = w->n;
  double error;
  VDB_TRY(opq_start(w, r, err));
  for (uint32_t round = 0; round < rounds; round++) {
    if (round)
      VDB_TRY(opq_round(w, r, false, &error, err));
    opq_transpose(w->turned, n, dim, w->y_t);
    opq_multiply(w, w->y_t, dim, w->x_t, dim, n, w->square[0]);
    opq_nearest(w, w->square[0], r);
  }
  return VECDB_OK;
}

/* The rows to learn from, evenly, and what they are when transposed. */
static void opq_sample(struct opq_work *w) {
  for (size_t i = 0; i < w->n; i++)
    memcpy(w->x + i * w->dim, w->t->rows + (size_t)w->t->n * i / w->n * w->dim,
           w->dim * sizeof *w->x);
  opq_transpose(w->x, w->n, w->dim, w->x_t);
}

VDB_INTERNAL int vdb_opq_learn(const struct vdb_pq_train *t, uint32_t rounds, float *matrix,
                               vecdb_error *err) {
  VDB_TRY(vdb_pq_check(&t->params, t->n, t->dim, NULL, err));
  struct opq_work w = {.t = t, .dim = t->dim, .n = vdb_min_u32(t->n, OPQ_ROWS)};
  size_t rows = (size_t)w.n * w.dim, square = (size_t)w.dim * w.dim;
  size_t workers = t->par->workers;
  /* One block: four times the rows, three square matrices, a row for each worker. */
  w.x = vdb_alloc_array(t->mem, 4 * rows + 3 * square + workers * w.dim, sizeof *w.x);
  w.errors = vdb_alloc_array(t->mem, w.n / OPQ_CHUNK + 1, sizeof *w.errors);
  w.codes = vdb_alloc_array(t->mem, workers, t->params.m);
  int rc = VECDB_OK;
  if (w.x && w.errors && w.codes) {
    w.turned = w.x + rows;
    w.x_t = w.turned + rows;
    w.y_t = w.x_t + rows;
    for (size_t i = 0; i < VDB_COUNT(w.square); i++)
      w.square[i] = w.y_t + rows + i * square;
    w.decoded = w.square[2] + square;
    opq_sample(&w);
    rc = opq_run(&w, rounds ? rounds : OPQ_ROUNDS, matrix, err);
  } else {
    rc = vdb_fail_memory(err);
  }
  if (w.q)
    w.q->ops->close(t->mem, w.q);
  vdb_free(t->mem, w.x);
  vdb_free(t->mem, w.errors);
  vdb_free(t->mem, w.codes);
  return rc;
}
