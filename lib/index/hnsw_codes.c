/*
 * hnsw_codes.c - a copy of float rows in 8-bit integers, for walking; see hnsw.h. A walk waits for
 * memory most of the time, and a code has a quarter of the bytes of a float row. Results are scored
 * again with the rows themselves.
 *
 * An element's code is (x - mean) / scale, rounded and kept within -127 to 127; the mean is that of
 * its dimension, the scale is one for all. COSINE rows are brought to length 1 first. Then L2
 * between codes orders rows as L2 and COSINE do between the rows. For IP means are 0, and the inner
 * product of codes is taken; a query has a scale of its own there.
 *
 * Rows that differ by less than a step, or values of very different size, are not for codes: a
 * number of rows search for their neighbours among the codes, and unless they find them the index
 * does without.
 */
#include "base/check.h"
#include "index/hnsw.h"

enum {
  CODES_MAX = 127,
  CODES_SAMPLE = 4096,        /* rows to learn mean and scale from */
  CODES_CHUNK = 256,          /* rows coded per item of a parallel loop */
  CODES_QUERIES = 32,         /* rows that search for their neighbours */
  CODES_NEAR = 11,            /* that many, themselves among them */
  CODES_LOOK = 32,            /* within so many by code */
  CODES_CHECK_ROWS = 1 << 18, /* among so many rows */
  CODES_PERCENT = 97          /* of which so many must be found */
};

struct codes_work {
  struct vdb_hnsw_builder *h;
  float *mean;
  int8_t *codes;
  float scale;
  uint32_t found[CODES_QUERIES]; /* neighbours that each query found, out of `wanted` */
  uint32_t wanted[CODES_QUERIES];
};

VDB_INTERNAL bool vdb_hnsw_codes_fit(const struct vdb_vecs *v) {
  return v->elem == VDB_F32 || v->elem == VDB_F16 || v->elem == VDB_BF16;
}

VDB_INTERNAL size_t vdb_hnsw_codes_stride(uint32_t dim) {
  return (size_t)vdb_round_up(dim, dim > 32 ? 64 : 16);
}

VDB_INTERNAL struct vdb_vecs vdb_hnsw_codes_view(const struct vdb_vecs *v, const int8_t *codes) {
  struct vdb_vecs view = *v;
  view.data = (const uint8_t *)codes;
  view.stride = vdb_hnsw_codes_stride(v->dim);
  view.inv_norms = NULL;
  view.elem = VDB_I8;
  view.metric = v->metric == VECDB_IP ? VECDB_IP : VECDB_L2;
  view.kern = vdb_kern_for(view.elem, view.metric);
  return view;
}

/* The comparisons are such that NaN, which damaged sections can bring, ends up as a number. */
static int8_t codes_round(float x) {
  x = x > -CODES_MAX ? x : -CODES_MAX;
  x = x < CODES_MAX ? x : CODES_MAX;
  return (int8_t)(x + (x < 0 ? -0.5f : 0.5f));
}

VDB_INTERNAL void vdb_hnsw_codes_query(const struct vdb_hnsw_codes *codes,
                                       const struct vdb_query_vec *query, int8_t *out) {
  const float *x = query->data;
  float scale = codes->scale;
  uint32_t dim = codes->vecs.dim;
  if (codes->vecs.metric == VECDB_IP) {
    float most = 0;
    for (uint32_t i = 0; i < dim; i++)
      most = x[i] > most ? x[i] : -x[i] > most ? -x[i] : most;
    scale = most / CODES_MAX;
  }
  float by = scale > 0 ? 1 / scale : 0;
  for (uint32_t i = 0; i < dim; i++)
    out[i] = codes_round((x[i] * query->inv_norm - codes->mean[i]) * by);
}

/* A row as floats; COSINE: of length 1. */
static void codes_floats(const struct vdb_vecs *v, uint32_t row, float *out) {
  const uint8_t *raw = v->data + (size_t)row * v->stride;
  if (v->elem == VDB_F32)
    memcpy(out, raw, v->dim * sizeof *out);
  else
    (v->elem == VDB_F16 ? vdb_kern()->f16_to_f32 : vdb_kern()->bf16_to_f32)(
        (const uint16_t *)(const void *)raw, out, v->dim);
  for (uint32_t i = 0; v->inv_norms && i < v->dim; i++)
    out[i] *= v->inv_norms[row];
}

/* The squared error of the sample at a scale, and its largest magnitude. */
static double codes_error(const struct codes_work *c, uint32_t n, float scale, float *most) {
  const struct vdb_vecs *v = c->h->b->vecs;
  float *x = c->h->workers[0].wide;
  float by = scale > 0 ? 1 / scale : 0;
  double error = 0;
  for (uint32_t p = 0; p < n; p++) {
    codes_floats(v, c->h->order[p], x);
    float sum = 0;
    for (uint32_t i = 0; i < v->dim; i++) {
      float y = x[i] - c->mean[i];
      float off = y - (float)codes_round(y * by) * scale;
      sum += off * off;
      *most = y > *most ? y : -y > *most ? -y : *most;
    }
    error += (double)sum;
  }
  return error;
}

/* Learns mean and scale from the rows that come first in the order, which is random. */
static void codes_learn(struct codes_work *c) {
  static const float parts[] = {1.0f, 0.85f, 0.7f, 0.6f, 0.5f, 0.4f, 0.3f, 0.2f};
  const struct vdb_vecs *v = c->h->b->vecs;
  uint32_t n = vdb_min_u32(c->h->n_nodes, CODES_SAMPLE);
  float *x = c->h->workers[0].wide;
  memset(c->mean, 0, v->dim * sizeof *c->mean);
  for (uint32_t p = 0; p < n && v->metric != VECDB_IP; p++) {
    codes_floats(v, c->h->order[p], x);
    for (uint32_t i = 0; i < v->dim; i++)
      c->mean[i] += x[i] / (float)n;
  }
  float most = 0;
  codes_error(c, n, 0, &most);
  double least = __builtin_inf();
  for (size_t i = 0; i < VDB_COUNT(parts); i++) {
    float scale = most * parts[i] / CODES_MAX;
    double error = codes_error(c, n / 4 + 1, scale, &most);
    if (!(error < least))
      continue;
    least = error;
    c->scale = scale;
  }
}

static void codes_chunk(void *arg, size_t chunk, unsigned worker) {
  struct codes_work *c = arg;
  const struct vdb_vecs *v = c->h->b->vecs;
  size_t stride = vdb_hnsw_codes_stride(v->dim);
  float *x = c->h->workers[worker].wide;
  float by = c->scale > 0 ? 1 / c->scale : 0;
  size_t end = vdb_min_size((chunk + 1) * CODES_CHUNK, v->n);
  for (size_t row = chunk * CODES_CHUNK; row < end; row++) {
    int8_t *out = c->codes + row * stride;
    codes_floats(v, (uint32_t)row, x);
    for (uint32_t i = 0; i < v->dim; i++)
      out[i] = codes_round((x[i] - c->mean[i]) * by);
    memset(out + v->dim, 0, stride - v->dim);
  }
}

/* Searches by code for the neighbours of a row. */
static void codes_check_row(void *arg, size_t i, unsigned worker) {
  struct codes_work *c = arg;
  struct vdb_hnsw_builder *h = c->h;
  struct vdb_near near[CODES_NEAR], look[CODES_LOOK];
  struct vdb_query_vec query;
  uint32_t row = h->order[i];
  struct vdb_vecs rows = *h->b->vecs;
  struct vdb_vecs codes = vdb_hnsw_codes_view(&rows, c->codes);
  rows.n = codes.n = vdb_min_u32(rows.n, CODES_CHECK_ROWS);
  struct vdb_search s = {.query = &query, .top = {look, CODES_LOOK, 0}};
  vdb_hnsw_row_query(&codes, row, NULL, &query);
  vdb_flat_scan(&codes, 0, &s);
  size_t n_look = s.top.n;
  vdb_hnsw_row_query(&rows, row, h->workers[worker].wide, &query);
  s.top = (struct vdb_topk){near, CODES_NEAR, 0};
  vdb_flat_scan(&rows, 0, &s);
  float bound = s.top.n > 0 ? near[0].key : 0; /* of a heap: the farthest */
  uint32_t found = 0;
  for (size_t k = 0; k < n_look; k++)
    found += vdb_key_one(&rows, &query, look[k].row) <= bound;
  c->wanted[i] = (uint32_t)s.top.n;
  c->found[i] = vdb_min_u32(found, c->wanted[i]);
}

static bool codes_good(struct codes_work *c) {
  uint32_t n = vdb_min_u32(c->h->n_nodes, CODES_QUERIES);
  uint64_t found = 0;
  uint64_t wanted = 0;
  c->h->b->par->run(c->h->b->par, n, codes_check_row, c);
  for (uint32_t i = 0; i < n; i++) {
    found += c->found[i];
    wanted += c->wanted[i];
  }
  return found * 100 >= wanted * CODES_PERCENT;
}

VDB_INTERNAL int vdb_hnsw_codes_make(struct vdb_hnsw_builder *h, vecdb_error *err) {
  const struct vdb_vecs *v = h->b->vecs;
  struct codes_work c = {0};
  if (!vdb_hnsw_codes_fit(v))
    return VECDB_OK;
  c.h = h;
  h->code_mean = c.mean = vdb_alloc_array(h->b->mem, v->dim, sizeof *c.mean);
  h->codes = c.codes = vdb_alloc_wide(h->b->mem, v->n * vdb_hnsw_codes_stride(v->dim));
  if (!c.mean || !c.codes)
    return vdb_fail_memory(err);
  codes_learn(&c);
  h->b->par->run(h->b->par, ((size_t)v->n + CODES_CHUNK - 1) / CODES_CHUNK, codes_chunk, &c);
  if (!codes_good(&c))
    return VECDB_OK;
  h->graph.codes.vecs = vdb_hnsw_codes_view(v, c.codes);
  h->graph.codes.mean = c.mean;
  h->graph.codes.scale = c.scale;
  h->vecs = &h->graph.codes.vecs;
  return VECDB_OK;
}
