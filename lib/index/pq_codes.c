/*
 * pq_codes.c - see pq_codes.h.
 *
 *   params  the sections of the transform and of the quantizer, one behind the other, each after 64
 *           bytes with its size (u64)
 *   data    codes: for up to 4 bits two sub-codes a byte, the first in the low half; else one
 */
#include "index/pq_codes.h"

#include <math.h>

#include "base/bytes.h"
#include "index/opq.h"
#include "index/pq.h"
#include "index/rotate.h"

enum {
  PQ_CODES_ID = 3, /* in files */
  PQ_CODES_SAMPLE = 1 << 15,
  PQ_CODES_CHUNK = 256, /* rows coded per item of a parallel loop */
  PQ_CODES_UNIT = 64    /* to which parts of params are aligned */
};

struct pq_codes_state {
  struct vdb_transform *transform;
  struct vdb_quant *quant;
  enum vdb_elem elem; /* of the rows, and so of queries */
};

static bool pq_codes_fits(const struct vdb_vecs *v) {
  return v->elem != VDB_BITS;
}

static bool pq_codes_pairs(const struct vdb_quant *q) { return !q->wide; }

/* Bytes of a code: up to 32 a power of two, then whole cache lines. */
static size_t pq_codes_stride(const struct vdb_quant *q) {
  size_t bytes = pq_codes_pairs(q) ? (q->m + (size_t)1) / 2 : q->m;
  return bytes <= 16 ? 16 : bytes <= 32 ? 32 : (size_t)vdb_round_up(bytes, 64);
}

/* ---- Params ---------------------------------------------------------------------------------- */

/* Sections in a buffer. */
struct pq_codes_writer {
  struct vdb_sect_writer base;
  struct vdb_writer bytes;
  size_t start; /* of the section begun */
};

static int pq_codes_begin(struct vdb_sect_writer *base, uint32_t tag, uint32_t number,
                          vecdb_error *err) {
  struct pq_codes_writer *w = (struct pq_codes_writer *)base;
  (void)tag;
  (void)number;
  (void)err;
  vdb_write_pad(&w->bytes, PQ_CODES_UNIT);
  vdb_write_u64(&w->bytes, 0);
  vdb_write_pad(&w->bytes, PQ_CODES_UNIT);
  w->start = w->bytes.n;
  return VECDB_OK;
}

static int pq_codes_append(struct vdb_sect_writer *base, const void *data, size_t n,
                           vecdb_error *err) {
  (void)err;
  vdb_write_bytes(&((struct pq_codes_writer *)base)->bytes, data, n);
  return VECDB_OK;
}

static int pq_codes_end(struct vdb_sect_writer *base, vecdb_error *err) {
  struct pq_codes_writer *w = (struct pq_codes_writer *)base;
  uint64_t n = w->bytes.n - w->start;
  if (w->bytes.failed)
    return vdb_fail_memory(err);
  memcpy(w->bytes.data + w->start - PQ_CODES_UNIT, &n, sizeof n);
  return VECDB_OK;
}

/* What a transform and a quantizer wrote, as params, 64-byte aligned. */
static int pq_codes_params(struct vdb_mem *mem, const struct pq_codes_state *s,
                           struct vdb_codes *out, vecdb_error *err) {
  struct pq_codes_writer w = {{pq_codes_begin, pq_codes_append, pq_codes_end, NULL},
                              VDB_WRITER(mem), 0};
  int rc = vdb_transform_write(s->transform, &w.base, 0, err);
  rc = rc ? rc : s->quant->ops->write(s->quant, &w.base, 0, err);
  void *params = rc ? NULL : vdb_alloc_wide(mem, w.bytes.n);
  if (params) {
    memcpy(params, w.bytes.data, w.bytes.n);
    out->params = params;
    out->params_size = w.bytes.n;
  } else if (rc == VECDB_OK) {
    rc = vdb_fail_memory(err);
  }
  vdb_writer_free(&w.bytes);
  return rc;
}

/* One section after the other, whatever is asked for. */
struct pq_codes_reader {
  struct vdb_sect_reader base;
  const uint8_t *at;
  size_t n;
};

static int pq_codes_find(const struct vdb_sect_reader *base, uint32_t tag, uint32_t number,
                         bool bulk, const void **data, size_t *n, vecdb_error *err) {
  const struct pq_codes_reader *r = (const struct pq_codes_reader *)base;
  (void)tag;
  (void)number;
  (void)bulk;
  (void)err;
  uint64_t size = 0;
  *data = NULL;
  if (r->n >= PQ_CODES_UNIT)
    memcpy(&size, r->at, sizeof size);
  if (r->n < PQ_CODES_UNIT || size > r->n - PQ_CODES_UNIT)
    return VECDB_OK;
  *data = r->at + PQ_CODES_UNIT;
  *n = (size_t)size;
  return VECDB_OK;
}

static int pq_codes_metric(int32_t metric) { return metric == VECDB_IP ? VECDB_IP : VECDB_L2; }

/* Opens both from params. */
static int pq_codes_state_open(struct vdb_mem *mem, const struct vdb_codes *codes,
                               struct pq_codes_state *s, vecdb_error *err) {
  struct pq_codes_reader r = {{pq_codes_find, NULL}, codes->params, codes->params_size};
  const void *first;
  size_t n = 0;
  VDB_TRY(vdb_transform_open(mem, &r.base, 0, codes->dim, &s->transform, err));
  VDB_TRY(pq_codes_find(&r.base, 0, 0, false, &first, &n, err));
  size_t step = PQ_CODES_UNIT + (size_t)vdb_round_up(n, PQ_CODES_UNIT);
  r.n = step < r.n ? r.n - step : 0;
  r.at += step;
  VDB_TRY(pq_codes_find(&r.base, 0, 0, false, &first, &n, err));
  if (!first || r.n != PQ_CODES_UNIT + n)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "codes of an index have a wrong size");
  return vdb_pq_open(mem, &r.base, 0, codes->dim, pq_codes_metric(codes->metric), &s->quant, err);
}

static void pq_codes_close(struct vdb_mem *mem, struct vdb_codes *codes, bool made) {
  struct pq_codes_state *s = codes->state;
  if (s && s->transform)
    vdb_transform_close(mem, s->transform);
  if (s && s->quant)
    s->quant->ops->close(mem, s->quant);
  vdb_free(mem, s);
  if (made) {
    vdb_free(mem, (void *)(uintptr_t)codes->params);
    vdb_free(mem, (void *)(uintptr_t)codes->data);
  }
  *codes = (struct vdb_codes){0};
}

static int pq_codes_open(struct vdb_mem *mem, const struct vdb_vecs *vecs, struct vdb_codes *out,
                         vecdb_error *err) {
  struct pq_codes_state *s = vdb_alloc_zero(mem, sizeof *s);
  out->ops = vdb_pq_codes_ops();
  out->n = vecs->n;
  out->dim = vecs->dim;
  out->metric = vecs->metric;
  out->state = s;
  if (s)
    s->elem = vecs->elem;
  int rc = s ? pq_codes_state_open(mem, out, s, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK) {
    out->stride = pq_codes_stride(s->quant);
    if (out->data_size != vecs->n * out->stride)
      rc = vdb_fail(err, VECDB_ERR_CORRUPT, "codes of an index have a wrong size");
  }
  if (rc)
    pq_codes_close(mem, out, false);
  return rc;
}

/* ---- Making ---------------------------------------------------------------------------------- */

struct pq_codes_work {
  const struct vdb_codes_make *make;
  const struct vdb_codes *codes;
  const struct pq_codes_state *state;
  uint8_t *data;
  float *rows;    /* of each worker, two */
  uint8_t *codes_of; /* of each worker, m */
};

/* Learns the transform and the quantizer from rows, which are spoilt; `turned` is as large. */
static int pq_codes_learn(const struct vdb_codes_make *make, float *rows, float *turned, uint32_t n,
                          struct pq_codes_state *s, vecdb_error *err) {
  uint32_t dim = make->vecs->dim;
  const vecdb_index_params *p = make->params;
  struct vdb_pq_train t = {.mem = make->mem,
                           .par = make->par,
                           .rows = turned,
                           .n = n,
                           .dim = dim,
                           .metric = pq_codes_metric(make->vecs->metric),
                           .params = {p->pq_m, p->nbits},
                           .seed = make->seed};
  while (t.params.nbits > 1 && n < UINT32_C(1) << t.params.nbits)
    t.params.nbits--;
  enum vdb_rotation kind = p->rotation == VECDB_ROTATION_NONE  ? VDB_ROTATE_NONE
                           : p->rotation == VECDB_ROTATION_OPQ ? VDB_ROTATE_LEARNED
                                                               : VDB_ROTATE_RANDOM;
  float *matrix = NULL;
  if (kind == VDB_ROTATE_LEARNED && !(matrix = vdb_alloc_array(make->mem, dim, dim * sizeof *rows)))
    return vdb_fail_memory(err);
  if (matrix)
    t.rows = rows;
  int rc = matrix ? vdb_opq_learn(&t, 0, matrix, err) : VECDB_OK;
  t.rows = turned;
  rc = rc ? rc : vdb_transform_new(make->mem, kind, dim, make->seed, matrix, &s->transform, err);
  vdb_free(make->mem, matrix);
  VDB_TRY(rc);
  vdb_transform_fit(s->transform, rows, n, true);
  for (uint32_t i = 0; i < n; i++)
    vdb_transform_apply(s->transform, rows + (size_t)i * dim, turned + (size_t)i * dim);
  return vdb_pq_train(&t, &s->quant, err);
}

static void pq_codes_chunk(void *arg, size_t chunk, unsigned worker) {
  struct pq_codes_work *w = arg;
  const struct vdb_vecs *v = w->make->vecs;
  const struct vdb_quant *q = w->state->quant;
  float *raw = w->rows + (size_t)worker * 2 * v->dim, *x = raw + v->dim;
  uint8_t *one = w->codes_of + (size_t)worker * q->m;
  size_t end = vdb_min_size((chunk + 1) * PQ_CODES_CHUNK, v->n);
  for (size_t row = chunk * PQ_CODES_CHUNK; row < end; row++) {
    uint8_t *out = w->data + row * w->codes->stride;
    vdb_vecs_floats(v, (uint32_t)row, raw);
    vdb_transform_apply(w->state->transform, raw, x);
    vdb_pq_codes(q, x, one);
    memset(out, 0, w->codes->stride);
    for (uint32_t j = 0; j < q->m; j++)
      if (pq_codes_pairs(q))
        out[j / 2] = (uint8_t)(out[j / 2] | one[j] << j % 2 * 4);
      else
        out[j] = one[j];
  }
}

static int pq_codes_code(const struct vdb_codes_make *make, const struct pq_codes_state *s,
                         struct vdb_codes *out, vecdb_error *err) {
  struct vdb_mem *mem = make->mem;
  size_t workers = make->par->workers, n = make->vecs->n;
  out->stride = pq_codes_stride(s->quant);
  out->data_size = n * out->stride;
  struct pq_codes_work w = {.make = make, .codes = out, .state = s};
  out->data = w.data = vdb_alloc_wide(mem, out->data_size);
  w.rows = vdb_alloc_array(mem, workers * 2, make->vecs->dim * sizeof *w.rows);
  w.codes_of = vdb_alloc_array(mem, workers, s->quant->m);
  bool memory = w.data && w.rows && w.codes_of;
  if (memory)
    make->par->run(make->par, (n + PQ_CODES_CHUNK - 1) / PQ_CODES_CHUNK, pq_codes_chunk, &w);
  vdb_free(mem, w.rows);
  vdb_free(mem, w.codes_of);
  return memory ? VECDB_OK : vdb_fail_memory(err);
}

static int pq_codes_make(const struct vdb_codes_make *make, struct vdb_codes *out,
                         vecdb_error *err) {
  const struct vdb_vecs *v = make->vecs;
  uint32_t n = vdb_min_u32(make->n_order, PQ_CODES_SAMPLE);
  n = n > 1 ? n : 2; /* a single row is learnt from twice: two are needed */
  struct pq_codes_state *s = vdb_alloc_zero(make->mem, sizeof *s);
  float *rows = vdb_alloc_array(make->mem, n, 2 * (size_t)v->dim * sizeof *rows);
  *out = (struct vdb_codes){
      .ops = vdb_pq_codes_ops(), .n = v->n, .dim = v->dim, .metric = v->metric, .state = s};
  int rc = s && rows ? VECDB_OK : vdb_fail_memory(err);
  if (s)
    s->elem = v->elem;
  for (uint32_t i = 0; rc == VECDB_OK && i < n; i++)
    vdb_vecs_floats(v, make->order[i % make->n_order], rows + (size_t)i * v->dim);
  rc = rc ? rc : pq_codes_learn(make, rows, rows + (size_t)n * v->dim, n, s, err);
  vdb_free(make->mem, rows);
  rc = rc ? rc : pq_codes_params(make->mem, s, out, err);
  rc = rc ? rc : pq_codes_code(make, s, out, err);
  if (rc)
    pq_codes_close(make->mem, out, true);
  return rc;
}

/* ---- Queries --------------------------------------------------------------------------------- */

static const struct pq_codes_state *pq_codes_state_of(const struct vdb_codes *codes) {
  return codes->state;
}

static size_t pq_codes_tables(const struct vdb_quant *q) {
  return (size_t)q->m * vdb_pq_of(q)->width;
}

/* The tables, and room for two vectors. */
static size_t pq_codes_query_bytes(const struct vdb_codes *codes) {
  size_t floats = pq_codes_tables(pq_codes_state_of(codes)->quant) + 2 * (size_t)codes->dim;
  return floats * sizeof(float);
}

/* With y = R (q - mean) scale, and p what a code stands for, tables sum to |p|^2 - 2 <y, p> or, for
 * IP, to -<R q, p>. The key is
 *
 *   L2       (|y|^2 + sum) / scale^2, which estimates |q - x|^2
 *   COSINE   half of that, less 1: rows and query have length 1
 *   IP       -<q, mean> + sum / scale
 */
static void pq_codes_query(const struct vdb_codes *codes, const struct vdb_query_vec *query,
                           void *out) {
  const struct pq_codes_state *s = pq_codes_state_of(codes);
  const struct vdb_pq *pq = vdb_pq_of(s->quant);
  const struct vdb_transform *t = s->transform;
  bool dot = codes->metric == VECDB_IP;
  float *tables = out, *x = tables + pq_codes_tables(s->quant), *y = x + codes->dim;
  float by = codes->metric == VECDB_COSINE ? 0.5f : 1.0f;
  float sum = 0, mean = 0;
  vdb_query_floats(query, s->elem, codes->dim, x);
  (dot ? vdb_transform_rotate : vdb_transform_apply)(t, x, y);
  for (uint32_t i = 0; i < codes->dim; i++) {
    mean += x[i] * t->mean[i];
    sum += y[i] * y[i];
  }
  by /= dot ? t->scale : t->scale * t->scale;
  vdb_pq_float_table(s->quant, y, tables);
  for (size_t i = 0; i < pq_codes_tables(s->quant); i++)
    tables[i] = by * (tables[i] + (!dot && pq->halves[i] < INFINITY ? 2 * pq->halves[i] : 0));
  float add = dot ? -mean : codes->metric == VECDB_COSINE ? by * sum - 1 : by * sum;
  for (uint32_t i = 0; i < pq->width; i++)
    tables[i] += add; /* once for every row */
}

/* A sub-code outside of its table, which damage can bring, is read as one within. */
static void pq_codes_keys(const struct vdb_codes *codes, const void *query, const uint32_t *ids,
                          size_t n, float *keys) {
  const struct vdb_quant *q = pq_codes_state_of(codes)->quant;
  const float *tables = query;
  size_t width = vdb_pq_of(q)->width, mask = width - 1, m = q->m;
  for (size_t i = 0; i < n; i++) {
    const uint8_t *code = codes->data + (size_t)ids[i] * codes->stride;
    const float *table = tables;
    float sums[2] = {0, 0};
    size_t j = 0;
    for (; j + 2 <= m; j += 2, table += 2 * width) {
      unsigned first = pq_codes_pairs(q) ? code[j / 2] & 15u : code[j];
      unsigned second = pq_codes_pairs(q) ? code[j / 2] >> 4 : code[j + 1];
      sums[0] += table[first & mask];
      sums[1] += table[width + (second & mask)];
    }
    if (j < m)
      sums[0] += table[(pq_codes_pairs(q) ? code[j / 2] & 15u : code[j]) & mask];
    keys[i] = sums[0] + sums[1];
  }
}

VDB_INTERNAL const struct vdb_codes_ops *vdb_pq_codes_ops(void) {
  static const struct vdb_codes_ops ops = {.id = PQ_CODES_ID,
                                           .name = "PQ",
                                           .fits = pq_codes_fits,
                                           .make = pq_codes_make,
                                           .open = pq_codes_open,
                                           .close = pq_codes_close,
                                           .query_bytes = pq_codes_query_bytes,
                                           .query = pq_codes_query,
                                           .keys = pq_codes_keys,
                                           .rough = true};
  return &ops;
}
