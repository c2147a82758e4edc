/*
 * ivf_build.c - building an IVF index; see ivf_build.h. A sample of the rows gives the transform,
 * the centroids and the quantizer; then all rows get their lists, and the lists are coded as they
 * are written. Centroids are rounded to 8 bits at once, and all that follows counts from the
 * rounded ones, so that the rounding costs nothing.
 */
#include <math.h>

#include "base/check.h"
#include "base/rng.h"
#include "index/half_rows.h"
#include "index/ivf_build.h"
#include "index/kmeans.h"
#include "index/opq.h"
#include "index/pq.h"
#include "index/rabitq.h"
#include "index/sq.h"

enum {
  BUILD_LIST_SAMPLE = 48,              /* rows to learn a centroid from */
  BUILD_ROUNDS = 4,                    /* over all rows to learn from, of all centroids */
  BUILD_QUANT_SAMPLE = 1 << 16,        /* rows to learn a quantizer from */
  BUILD_SAMPLE_FLOATS = 1 << 27,       /* numbers in a sample, at most */
  BUILD_CODE_BITS = 4,                 /* of RABITQ's bits, from which rows are coded in 8 bits */
  BUILD_CODE_DIM = 256,                /* dimensions from which they are coded in 4 */
  BUILD_PASSES = 3,                    /* over the rows, for progress: learning, lists, coding */
  BUILD_SAME_NORM = 50                 /* norms within 1 / so much of each other count as equal */
};
#define BUILD_MAX_ROWS (UINT32_C(1) << 30)

/* The sample that everything is learnt from. */
struct build_sample {
  float *rows; /* n x dim: raw, then transformed, then residuals */
  uint32_t n;
  float shortest, longest; /* norms of the raw rows */
};

VDB_INTERNAL void vdb_ivf_row(const struct vdb_ivf_builder *h, uint32_t row, float *raw, float *x) {
  vdb_vecs_floats(h->b->vecs, row, raw);
  vdb_transform_apply(h->transform, raw, x);
}

VDB_INTERNAL int vdb_ivf_progress(struct vdb_ivf_builder *h, uint64_t rows, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  h->done += rows;
  if (b->progress && b->progress(b->progress_arg, h->done, BUILD_PASSES * (uint64_t)b->vecs->n))
    return vdb_fail(err, VECDB_ERR_CANCELLED, "building the index was cancelled");
  return VECDB_OK;
}

/* As k-means asks: whether to stop. */
static bool build_stop(void *arg, uint64_t done, uint64_t total) {
  const struct vdb_ivf_builder *h = arg;
  (void)done;
  (void)total;
  return h->b->progress && h->b->progress(h->b->progress_arg, h->done,
                                          BUILD_PASSES * (uint64_t)h->b->vecs->n);
}

/* ---- Learning -------------------------------------------------------------------------------- */

/* Takes rows evenly, each at random from its share of them. */
static void build_take_sample(const struct vdb_ivf_builder *h, struct build_sample *sample) {
  const struct vdb_vecs *v = h->b->vecs;
  struct vdb_rng rng = {h->b->seed};
  for (uint32_t i = 0; i < sample->n; i++) {
    uint32_t first = (uint32_t)((uint64_t)v->n * i / sample->n);
    uint32_t end = (uint32_t)((uint64_t)v->n * (i + 1) / sample->n);
    float *out = sample->rows + (size_t)i * v->dim;
    vdb_vecs_floats(v, first + vdb_rng_below(&rng, end - first), out);
  }
}

static void build_norms(const struct vdb_ivf_builder *h, struct build_sample *sample) {
  uint32_t dim = h->b->vecs->dim;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  sample->shortest = __builtin_inff();
  sample->longest = 0;
  for (uint32_t i = 0; i < sample->n; i++) {
    const float *x = sample->rows + (size_t)i * dim;
    float norm = sqrtf(dot->one(x, x, dim));
    sample->shortest = norm < sample->shortest ? norm : sample->shortest;
    sample->longest = norm > sample->longest ? norm : sample->longest;
  }
}

static int build_transform(struct vdb_ivf_builder *h, enum vdb_rotation rotation,
                           const float *matrix, struct build_sample *sample, vecdb_error *err) {
  uint32_t dim = h->b->vecs->dim;
  if (h->transform)
    vdb_transform_close(h->b->mem, h->transform);
  h->transform = NULL;
  VDB_TRY(vdb_transform_new(h->b->mem, rotation, dim, h->b->seed, matrix, &h->transform, err));
  build_take_sample(h, sample);
  build_norms(h, sample);
  /* Beside the mean of IP rows of very different lengths a query may be next to nothing, and what
     it is compared by would drown in the errors of what the mean is. */
  h->by_distance = h->b->vecs->metric != VECDB_IP ||
                   (sample->longest - sample->shortest) * BUILD_SAME_NORM <= sample->longest;
  vdb_transform_fit(h->transform, sample->rows, sample->n, h->by_distance);
  /* Nor can few bits tell such rows apart: an error is in proportion to a row's length, and the
     longest rows are the nearest. */
  if (!h->by_distance && h->kind->code != VDB_IVF_FLAT)
    h->kind = vdb_ivf_kind(VDB_IVF_SQ8);
  return VECDB_OK;
}

/* Transforms the sample in place, if need be through a worker's memory. */
static void build_apply(void *arg, size_t i, unsigned worker) {
  struct vdb_ivf_builder *h = ((void **)arg)[0];
  struct build_sample *sample = ((void **)arg)[1];
  uint32_t dim = h->b->vecs->dim;
  float *x = sample->rows + i * dim;
  float *raw = h->workers[worker].raw;
  memcpy(raw, x, dim * sizeof *x);
  vdb_transform_apply(h->transform, raw, x);
}

static int build_centroids(struct vdb_ivf_builder *h, const struct build_sample *sample,
                           vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  struct vdb_kmeans job = {.mem = b->mem,
                           .par = b->par,
                           .rows = sample->rows,
                           .n = sample->n,
                           .dim = b->vecs->dim,
                           .k = h->n_lists,
                           .iterations = BUILD_ROUNDS,
                           .seed = b->seed,
                           .progress = build_stop,
                           .progress_arg = h};
  h->centres = vdb_alloc_wide(b->mem, h->n_lists * (size_t)b->vecs->dim * sizeof *h->centres);
  return h->centres ? vdb_kmeans(&job, h->centres, err) : vdb_fail_memory(err);
}

/* Makes residuals of the sample. */
static int build_residuals(struct vdb_ivf_builder *h, struct build_sample *sample,
                           vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  uint32_t dim = b->vecs->dim;
  struct vdb_centroids centroids = {h->centres, h->halves, h->n_lists, dim};
  uint32_t *ids = vdb_alloc_array(b->mem, sample->n, sizeof *ids);
  int rc = VECDB_ERR_NO_MEMORY;
  if (ids)
    rc = vdb_centroids_nearest(b->mem, b->par, &centroids, sample->rows, sample->n, 1, ids, NULL);
  for (uint32_t i = 0; rc == VECDB_OK && i < sample->n; i++)
    for (uint32_t k = 0; k < dim; k++)
      sample->rows[(size_t)i * dim + k] -= h->centres[(size_t)ids[i] * dim + k];
  vdb_free(b->mem, ids);
  return rc == VECDB_OK ? VECDB_OK : vdb_fail_memory(err);
}

static void build_pq_job(struct vdb_ivf_builder *h, const struct build_sample *sample,
                         struct vdb_pq_train *job) {
  const struct vdb_index_build *b = h->b;
  *job = (struct vdb_pq_train){.mem = b->mem,
                               .par = b->par,
                               .rows = sample->rows,
                               .n = vdb_min_u32(sample->n, BUILD_QUANT_SAMPLE),
                               .dim = b->vecs->dim,
                               .metric = b->vecs->metric == VECDB_L2 ? VECDB_L2 : VECDB_IP,
                               .params = {b->params.pq_m, b->params.nbits},
                               .seed = b->seed};
}

/* Learns a rotation that suits the quantizer, and turns centroids and residuals by it. */
static int build_learn_rotation(struct vdb_ivf_builder *h, struct build_sample *sample,
                                vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  uint32_t dim = b->vecs->dim;
  struct vdb_pq_train job;
  build_pq_job(h, sample, &job);
  float *matrix = vdb_alloc_array(b->mem, dim, dim * sizeof *matrix);
  float *turned = vdb_alloc_array(b->mem, h->n_lists, dim * sizeof *turned);
  int rc = matrix && turned ? vdb_opq_learn(&job, 0, matrix, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK)
    rc = build_transform(h, VDB_ROTATE_LEARNED, matrix, sample, err);
  if (rc == VECDB_OK) {
    for (uint32_t i = 0; i < h->n_lists; i++)
      vdb_transform_rotate(h->transform, h->centres + (size_t)i * dim, turned + (size_t)i * dim);
    memcpy(h->centres, turned, h->n_lists * (size_t)dim * sizeof *turned);
    b->par->run(b->par, sample->n, build_apply, (void *[]){h, sample});
    rc = build_residuals(h, sample, err);
  }
  vdb_free(b->mem, turned);
  vdb_free(b->mem, matrix);
  return rc;
}

/* Rounds the centroids, and notes what orders the lists. */
static int build_round(struct vdb_ivf_builder *h, vecdb_error *err) {
  struct vdb_mem *mem = h->b->mem;
  uint32_t dim = h->b->vecs->dim;
  size_t stride = vdb_ivf_stride(dim);
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  h->codes = vdb_alloc_wide(mem, h->n_lists * stride);
  h->scales = vdb_alloc_array(mem, h->n_lists, sizeof *h->scales);
  h->biases = vdb_alloc_array(mem, h->n_lists, sizeof *h->biases);
  h->mean = vdb_alloc_array(mem, dim, sizeof *h->mean);
  if (!h->codes || !h->scales || !h->biases || !h->mean)
    return vdb_fail_memory(err);
  vdb_transform_rotate(h->transform, h->transform->mean, h->mean);
  for (uint32_t i = 0; i < dim; i++)
    h->mean[i] *= h->transform->scale;
  for (uint32_t c = 0; c < h->n_lists; c++) {
    float *centre = h->centres + (size_t)c * dim;
    int8_t *code = h->codes + c * stride;
    h->scales[c] = vdb_ivf_round(centre, dim, code);
    for (uint32_t i = 0; i < dim; i++)
      centre[i] = (float)code[i] * h->scales[c];
    float squares = dot->one(centre, centre, dim);
    h->biases[c] = h->by_distance ? squares / 2 : -dot->one(h->mean, centre, dim);
    if (h->b->vecs->metric == VECDB_L2)
      h->biases[c] = squares;
  }
  vdb_centroid_halves(h->centres, h->n_lists, dim, h->halves);
  return VECDB_OK;
}

static int build_quantizer(struct vdb_ivf_builder *h, const struct build_sample *sample,
                           vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  bool l2 = b->vecs->metric == VECDB_L2;
  struct vdb_quant *quant = NULL;
  struct vdb_pq_train job;
  if (h->kind->code == VDB_IVF_PQ) {
    build_pq_job(h, sample, &job);
    VDB_TRY(vdb_pq_train(&job, &quant, err));
  } else if (h->kind->code == VDB_IVF_RABITQ) {
    VDB_TRY(vdb_rabitq_new(b->mem, b->vecs->dim, l2 ? VECDB_L2 : VECDB_IP, &quant, err));
  }
  vdb_ivf_coder_init(&h->coder, h->kind->code, b->vecs->dim, l2, quant);
  return VECDB_OK;
}

static int build_learn(struct vdb_ivf_builder *h, struct build_sample *sample, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  bool pq = h->kind->code == VDB_IVF_PQ;
  bool learned = pq && b->params.rotation == VECDB_ROTATION_OPQ;
  bool random = b->params.rotation == VECDB_ROTATION_AUTO
                    ? h->kind->rotated
                    : b->params.rotation == VECDB_ROTATION_RANDOM;
  enum vdb_rotation rotation = random ? VDB_ROTATE_RANDOM : VDB_ROTATE_NONE;
  VDB_TRY(build_transform(h, rotation, NULL, sample, err));
  b->par->run(b->par, sample->n, build_apply, (void *[]){h, sample});
  VDB_TRY(build_centroids(h, sample, err));
  h->halves = vdb_alloc_array(b->mem, h->n_lists, sizeof *h->halves);
  if (!h->halves)
    return vdb_fail_memory(err);
  vdb_centroid_halves(h->centres, h->n_lists, b->vecs->dim, h->halves);
  if (pq)
    VDB_TRY(build_residuals(h, sample, err));
  if (learned)
    VDB_TRY(build_learn_rotation(h, sample, err));
  VDB_TRY(build_round(h, err));
  VDB_TRY(build_quantizer(h, sample, err));
  return vdb_ivf_progress(h, b->vecs->n, err);
}

/* Learns from a sample of the rows. */
static int build_train(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_vecs *v = h->b->vecs;
  struct build_sample sample = {0};
  size_t n = (size_t)h->n_lists * BUILD_LIST_SAMPLE;
  if (h->kind->code == VDB_IVF_PQ)
    n = vdb_max_size(n, BUILD_QUANT_SAMPLE);
  n = vdb_max_size(vdb_min_size(n, BUILD_SAMPLE_FLOATS / v->dim), h->n_lists);
  sample.n = (uint32_t)vdb_min_size(n, v->n);
  sample.rows = vdb_alloc_wide(h->b->mem, (size_t)sample.n * v->dim * sizeof *sample.rows);
  int rc = sample.rows ? build_learn(h, &sample, err) : vdb_fail_memory(err);
  vdb_free(h->b->mem, sample.rows);
  return rc;
}

/* ---- Coding ---------------------------------------------------------------------------------- */

struct build_blocks {
  struct vdb_ivf_builder *h;
  uint32_t first;
  uint8_t *blocks;
};

/* The list of a block. */
static uint32_t build_list_of(const struct vdb_ivf_builder *h, uint32_t block) {
  uint32_t low = 0, n = h->n_lists;
  while (n > 1) { /* starts[low] <= block < starts[low + n] */
    uint32_t half = n / 2;
    bool right = h->starts[low + half] <= block;
    low += right ? half : 0;
    n = right ? n - half : half;
  }
  return low;
}

static void build_code_block(void *arg, size_t i, unsigned worker) {
  struct build_blocks *w = arg;
  struct vdb_ivf_builder *h = w->h;
  struct vdb_ivf_worker *memory = &h->workers[worker];
  uint32_t dim = h->b->vecs->dim;
  uint32_t block = w->first + (uint32_t)i;
  uint32_t list = build_list_of(h, block);
  const uint32_t *rows = h->rows + (size_t)block * VDB_IVF_BLOCK;
  const float *centre = h->centres + (size_t)list * dim;
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  uint8_t *out = w->blocks + i * h->coder.block_bytes;
  vdb_ivf_block_clear(&h->coder, out);
  for (uint32_t slot = 0; slot < VDB_IVF_BLOCK && rows[slot] != VDB_IVF_NONE; slot++) {
    float *x = memory->x;
    vdb_ivf_row(h, rows[slot], memory->raw, x);
    float more = h->coder.l2 ? 0 : -h->biases[list] - dot->one(h->mean, x, dim);
    float norm = sqrtf(dot->one(x, x, dim));
    for (uint32_t k = 0; k < dim; k++)
      memory->residual[k] = x[k] - centre[k];
    float rest = vdb_ivf_put(&h->coder, memory->residual, centre, more, memory->codes, out, slot);
    if (norm > memory->bounds.norm)
      memory->bounds.norm = norm;
    if (rest > memory->bounds.error)
      memory->bounds.error = rest;
  }
}

VDB_INTERNAL void vdb_ivf_code_blocks(struct vdb_ivf_builder *h, uint32_t first, uint32_t n,
                                      uint8_t *blocks) {
  struct build_blocks w = {h, first, blocks};
  h->b->par->run(h->b->par, n, build_code_block, &w);
  for (unsigned i = 0; i < h->b->par->workers; i++) {
    const struct vdb_ivf_bounds *bounds = &h->workers[i].bounds;
    h->bounds.norm = bounds->norm > h->bounds.norm ? bounds->norm : h->bounds.norm;
    h->bounds.error = bounds->error > h->bounds.error ? bounds->error : h->bounds.error;
  }
}

/* ---- Codes of all rows ----------------------------------------------------------------------- */

/* The codes by which the best of a scan are scored again, or NULL. */
static const struct vdb_codes_ops *build_codes_of(const struct vdb_ivf_builder *h) {
  const vecdb_index_params *p = &h->b->params;
  const struct vdb_codes_ops *ops = vdb_sq8_ops();
  if (!h->kind->recoded || p->refine == VECDB_REFINE_F32 || p->refine == VECDB_REFINE_F16)
    return NULL;
  bool wide = h->kind->code == VDB_IVF_RABITQ && p->nbits ? p->nbits > BUILD_CODE_BITS
                                                          : h->b->vecs->dim < BUILD_CODE_DIM;
  if (p->refine != VECDB_REFINE_I8 && !wide)
    ops = vdb_sq4_ops();
  return ops->fits(h->b->vecs) ? ops : NULL;
}

static int build_codes(struct vdb_ivf_builder *h, vecdb_error *err) {
  const struct vdb_index_build *b = h->b;
  const struct vdb_codes_ops *ops = build_codes_of(h);
  struct vdb_rng rng = {b->seed};
  if (!ops)
    return VECDB_OK;
  uint32_t *order = vdb_alloc_array(b->mem, b->vecs->n, sizeof *order);
  if (!order)
    return vdb_fail_memory(err);
  for (uint32_t i = 0; i < b->vecs->n; i++) {
    uint32_t k = vdb_rng_below(&rng, i + 1);
    order[i] = order[k];
    order[k] = i;
  }
  struct vdb_codes_make make = {b->mem, b->vecs, b->par, &b->params, order, b->vecs->n, b->seed};
  int rc = ops->make(&make, &h->all, err);
  vdb_free(b->mem, order);
  return rc;
}

/* Whether the best of all are scored by copies in 16 bits. IVF_HNSW has its graph's. */
static bool build_f16(const struct vdb_ivf_builder *h) {
  const struct vdb_index_build *b = h->b;
  if (b->vecs->elem != VDB_F32 || b->params.type == VECDB_INDEX_IVF_HNSW)
    return false;
  return b->params.refine == VECDB_REFINE_F16 ||
         (b->params.refine == VECDB_REFINE_AUTO && h->kind->recoded &&
          vdb_half_lossless(b->par, b->vecs));
}

/* ---- All of it ------------------------------------------------------------------------------- */

static int build_ivf_init(struct vdb_ivf_builder *h, vecdb_error *err) {
  struct vdb_mem *mem = h->b->mem;
  size_t dim = h->b->vecs->dim;
  size_t floats = (size_t)vdb_round_up(dim, 16);
  unsigned workers = h->b->par->workers;
  h->workers = vdb_alloc_zero(mem, workers * sizeof *h->workers);
  h->workers_block = vdb_alloc_wide(mem, workers * 4 * floats * sizeof(float));
  if (!h->workers || !h->workers_block)
    return vdb_fail_memory(err);
  for (unsigned i = 0; i < workers; i++) {
    float *at = (float *)h->workers_block + i * 4 * floats;
    struct vdb_ivf_worker w = {at, at + floats, at + 2 * floats, NULL, {0, 0}};
    w.codes = (uint8_t *)(at + 3 * floats);
    h->workers[i] = w;
  }
  return VECDB_OK;
}

static void build_ivf_fini(struct vdb_ivf_builder *h) {
  struct vdb_mem *mem = h->b->mem;
  if (h->all.ops)
    h->all.ops->close(mem, &h->all, true);
  if (h->coder.quant)
    h->coder.quant->ops->close(mem, h->coder.quant);
  if (h->transform)
    vdb_transform_close(mem, h->transform);
  vdb_free(mem, h->rows);
  vdb_free(mem, h->starts);
  vdb_free(mem, h->homes);
  vdb_free(mem, h->mean);
  vdb_free(mem, h->spreads);
  vdb_free(mem, h->biases);
  vdb_free(mem, h->scales);
  vdb_free(mem, h->codes);
  vdb_free(mem, h->halves);
  vdb_free(mem, h->centres);
  vdb_free(mem, h->workers_block);
  vdb_free(mem, h->workers);
}

/* How the lists of an index are coded. A quantizer that has too few rows to learn from gives way to
   8 bits. */
static enum vdb_ivf_code build_code_of(const struct vdb_index_build *b) {
  switch (b->kind->code) {
  case VDB_CODE_NONE:
    return VDB_IVF_FLAT;
  case VDB_CODE_PQ:
    return b->vecs->n < 1u << b->params.nbits ? VDB_IVF_SQ8 : VDB_IVF_PQ;
  case VDB_CODE_RABITQ:
  case VDB_CODE_BITS:
    return VDB_IVF_RABITQ;
  default:
    return VDB_IVF_SQ8;
  }
}

VDB_INTERNAL int vdb_ivf_build(const struct vdb_index_build *b, vecdb_error *err) {
  struct vdb_ivf_builder h = {.b = b, .kind = vdb_ivf_kind(build_code_of(b))};
  if (b->vecs->n == 0)
    return vdb_ivf_write(&h, err);
  if (b->vecs->n > BUILD_MAX_ROWS)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%u rows are too many for one index",
                    (unsigned)b->vecs->n);
  h.n_lists = vdb_min_u32(b->params.nlist ? b->params.nlist : 1, b->vecs->n);
  int rc = build_ivf_init(&h, err);
  if (rc == VECDB_OK)
    rc = build_train(&h, err);
  if (rc == VECDB_OK)
    rc = vdb_ivf_fill_lists(&h, err);
  if (rc == VECDB_OK)
    rc = vdb_ivf_reach_learn(&h, err);
  if (rc == VECDB_OK)
    rc = build_codes(&h, err);
  h.f16 = rc == VECDB_OK && build_f16(&h);
  if (rc == VECDB_OK)
    rc = vdb_ivf_write(&h, err);
  build_ivf_fini(&h);
  return rc;
}
