/*
 * bit_codes.c - see bit_codes.h.
 *
 *   params  struct bit_head, then f32 mean[dim]
 *   data    codes of `stride` bytes: bits, the first element lowest, zeroes to a whole byte and to
 *           whole words, then struct bit_factors
 */
#include "index/bit_codes.h"

#include <math.h>

#include "base/check.h"
#include "index/rotate.h"
#include "kern/linear.h"

enum {
  BIT_ID = 4, /* in files */
  BIT_SAMPLE = 1 << 15,
  BIT_CHUNK = 256, /* rows coded per item of a parallel loop */
  BIT_PLANES = 4,  /* bits of an element of a query */
  BIT_TOP = (1 << BIT_PLANES) - 1,
  BIT_STEP = 64 /* rows compared at a time */
};

struct bit_head {
  uint64_t seed;
  uint32_t rotated;
  uint32_t zero;
};

/* key = the query's base + add + rescale * <q', s> */
struct bit_factors {
  float add;
  float rescale;
};

struct bit_state {
  struct bit_head head;
  const float *mean;
  uint32_t *signs; /* of the rotation; behind this struct */
  enum vdb_elem elem;
};

/* A query: planes of bits behind it, then room for a vector. */
struct bit_query {
  float base;
  float step; /* an element of q' is step times an odd number from -BIT_TOP to BIT_TOP */
};

static bool bit_fits(const struct vdb_vecs *v) { return v->elem != VDB_BITS; }

/* Elements with those that fill the last byte. */
static size_t bit_dim(const struct vdb_codes *codes) {
  return (size_t)vdb_round_up(codes->dim, 8);
}

static size_t bit_factors_at(uint32_t dim) {
  return (size_t)vdb_round_up(vdb_round_up(dim, 8) / 8, sizeof(float));
}

/* Bytes of a code: up to 32 a power of two, then whole cache lines. */
static size_t bit_stride(uint32_t dim) {
  size_t bytes = bit_factors_at(dim) + sizeof(struct bit_factors);
  return bytes <= 16 ? 16 : bytes <= 32 ? 32 : (size_t)vdb_round_up(bytes, 64);
}

static size_t bit_params_size(uint32_t dim) {
  return sizeof(struct bit_head) + dim * sizeof(float);
}

static struct bit_state *bit_state_new(struct vdb_mem *mem, const struct vdb_vecs *v,
                                       const struct bit_head *head, const void *params) {
  size_t signs = (size_t)VDB_LINEAR_ROUNDS * v->dim * sizeof(uint32_t);
  struct bit_state *s = vdb_alloc_wide(mem, sizeof *s + signs);
  if (!s)
    return NULL;
  *s = (struct bit_state){.head = *head, .signs = (uint32_t *)(void *)(s + 1), .elem = v->elem};
  s->mean = (const float *)(const void *)((const uint8_t *)params + sizeof *head);
  vdb_rotate_signs(head->seed, v->dim, s->signs);
  return s;
}

static void bit_close(struct vdb_mem *mem, struct vdb_codes *codes, bool made) {
  vdb_free(mem, codes->state);
  if (made) {
    vdb_free(mem, (void *)(uintptr_t)codes->params);
    vdb_free(mem, (void *)(uintptr_t)codes->data);
  }
  *codes = (struct vdb_codes){0};
}

static int bit_open(struct vdb_mem *mem, const struct vdb_vecs *v, struct vdb_codes *out,
                    vecdb_error *err) {
  struct bit_head head;
  out->ops = vdb_bit_codes_ops();
  out->stride = bit_stride(v->dim);
  out->n = v->n;
  out->dim = v->dim;
  out->metric = v->metric;
  if (out->params_size != bit_params_size(v->dim) || out->data_size != v->n * out->stride)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the index is damaged: size of the codes");
  memcpy(&head, out->params, sizeof head);
  out->state = bit_state_new(mem, v, &head, out->params);
  return out->state ? VECDB_OK : vdb_fail_memory(err);
}

/* ---- Making ---------------------------------------------------------------------------------- */

struct bit_work {
  const struct vdb_codes_make *make;
  const struct vdb_codes *codes;
  uint8_t *data;
  float *rows; /* for each worker, a row as floats */
};

static void bit_learn(const struct vdb_codes_make *make, float *row, float *mean) {
  uint32_t n = vdb_min_u32(make->n_order, BIT_SAMPLE), dim = make->vecs->dim;
  memset(mean, 0, dim * sizeof *mean);
  for (uint32_t i = 0; i < n; i++) {
    vdb_vecs_floats(make->vecs, make->order[i], row);
    for (uint32_t d = 0; d < dim; d++)
      mean[d] += (row[d] - mean[d]) / (float)(i + 1);
  }
}

/* Codes a row, given as floats, which are spoilt. */
static void bit_encode(const struct vdb_codes *codes, float *x, uint8_t *out) {
  const struct bit_state *s = codes->state;
  double square = 0, across = 0, size = 0;
  memset(out, 0, codes->stride);
  for (uint32_t i = 0; i < codes->dim; i++) {
    x[i] -= s->mean[i];
    square += (double)x[i] * (double)x[i];
    across += (double)x[i] * (double)s->mean[i];
  }
  if (s->head.rotated)
    vdb_linear()->rotate(s->signs, codes->dim, x);
  for (uint32_t i = 0; i < codes->dim; i++) {
    size += fabs((double)x[i]);
    out[i / 8] = (uint8_t)(out[i / 8] | (x[i] > 0) << i % 8);
  }
  double stretch = size > 0 ? square / size : 0;
  bool l2 = codes->metric == VECDB_L2;
  struct bit_factors factors = {(float)(l2 ? square : -across),
                                (float)(l2 ? -2 * stretch : -stretch)};
  memcpy(out + bit_factors_at(codes->dim), &factors, sizeof factors);
}

static void bit_chunk(void *arg, size_t chunk, unsigned worker) {
  struct bit_work *w = arg;
  const struct vdb_vecs *v = w->make->vecs;
  float *x = w->rows + (size_t)worker * v->dim;
  size_t end = vdb_min_size((chunk + 1) * BIT_CHUNK, v->n);
  for (size_t row = chunk * BIT_CHUNK; row < end; row++) {
    vdb_vecs_floats(v, (uint32_t)row, x);
    bit_encode(w->codes, x, w->data + row * w->codes->stride);
  }
}

static int bit_make(const struct vdb_codes_make *make, struct vdb_codes *out, vecdb_error *err) {
  const struct vdb_vecs *v = make->vecs;
  struct vdb_mem *mem = make->mem;
  struct bit_head head = {make->seed, make->params->rotation != VECDB_ROTATION_NONE, 0};
  struct bit_work w = {.make = make, .codes = out};
  *out = (struct vdb_codes){.ops = vdb_bit_codes_ops(), .stride = bit_stride(v->dim), .n = v->n,
                            .dim = v->dim, .metric = v->metric};
  out->params_size = bit_params_size(v->dim);
  out->data_size = v->n * out->stride;
  uint8_t *params = vdb_alloc_wide(mem, out->params_size);
  out->params = params;
  out->data = w.data = vdb_alloc_wide(mem, out->data_size);
  w.rows = vdb_alloc_array(mem, make->par->workers, v->dim * sizeof *w.rows);
  if (params && w.data && w.rows)
    out->state = bit_state_new(mem, v, &head, params);
  if (!out->state) {
    vdb_free(mem, w.rows);
    bit_close(mem, out, true);
    return vdb_fail_memory(err);
  }
  memcpy(params, &head, sizeof head);
  bit_learn(make, w.rows, (float *)(void *)(params + sizeof head));
  make->par->run(make->par, ((size_t)v->n + BIT_CHUNK - 1) / BIT_CHUNK, bit_chunk, &w);
  vdb_free(mem, w.rows);
  return VECDB_OK;
}

/* ---- Queries --------------------------------------------------------------------------------- */

static size_t bit_plane_bytes(const struct vdb_codes *codes) {
  return (size_t)vdb_round_up(bit_dim(codes) / 8, 64);
}

static size_t bit_floats_at(const struct vdb_codes *codes) {
  return 64 + BIT_PLANES * bit_plane_bytes(codes);
}

static size_t bit_query_bytes(const struct vdb_codes *codes) {
  return bit_floats_at(codes) + codes->dim * sizeof(float);
}

static const uint8_t *bit_plane(const struct vdb_codes *codes, const void *query, size_t plane) {
  return (const uint8_t *)query + 64 + plane * bit_plane_bytes(codes);
}

/* The nearest of the levels 0 to BIT_TOP, which stand for steps from -BIT_TOP to BIT_TOP. NaN,
   which damage can bring, becomes 0. */
static unsigned bit_level(float x, float by) {
  float at = (x * by + (float)BIT_TOP) / 2 + 0.5f;
  return at > 0 ? at < (float)BIT_TOP + 0.5f ? (unsigned)at : (unsigned)BIT_TOP : 0;
}

static void bit_query(const struct vdb_codes *codes, const struct vdb_query_vec *query, void *out) {
  const struct bit_state *s = codes->state;
  struct bit_query *q = out;
  float *x = (float *)(void *)((uint8_t *)out + bit_floats_at(codes));
  float square = 0, mean = 0, most = 0;
  memset(out, 0, bit_floats_at(codes));
  vdb_query_floats(query, s->elem, codes->dim, x);
  for (uint32_t i = 0; i < codes->dim; i++) {
    mean += x[i] * s->mean[i];
    x[i] -= s->mean[i];
    square += x[i] * x[i];
  }
  if (s->head.rotated)
    vdb_linear()->rotate(s->signs, codes->dim, x);
  for (uint32_t i = 0; i < codes->dim; i++)
    most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
  q->base = codes->metric == VECDB_L2 ? square : -mean;
  q->step = most / (float)BIT_TOP;
  float by = q->step > 0 ? 1 / q->step : 0;
  for (uint32_t i = 0; i < codes->dim; i++) {
    unsigned level = bit_level(x[i], by);
    for (size_t p = 0; p < BIT_PLANES; p++) {
      uint8_t *plane = (uint8_t *)(uintptr_t)bit_plane(codes, out, p);
      plane[i / 8] = (uint8_t)(plane[i / 8] | (level >> p & 1) << i % 8);
    }
  }
}

/* Of each plane <plane, s> is the dimension less twice the bits that differ. */
static void bit_keys(const struct vdb_codes *codes, const void *query, const uint32_t *ids,
                     size_t n, float *keys) {
  const struct bit_query *q = query;
  const struct vdb_kern *kern = &vdb_kern()->kern[VDB_BITS][VDB_OP_HAMMING];
  float differ[BIT_STEP], dots[BIT_STEP];
  size_t at = bit_factors_at(codes->dim);
  for (size_t first = 0, step; first < n; first += step) {
    step = vdb_min_size(n - first, BIT_STEP);
    for (size_t i = 0; i < step; i++)
      dots[i] = (float)codes->dim * (float)BIT_TOP;
    for (size_t p = 0; p < BIT_PLANES; p++) {
      kern->gather(bit_plane(codes, query, p), codes->data, codes->stride, ids + first, step,
                   bit_dim(codes), differ);
      for (size_t i = 0; i < step; i++)
        dots[i] -= (float)(2u << p) * differ[i];
    }
    for (size_t i = 0; i < step; i++) {
      struct bit_factors f;
      memcpy(&f, codes->data + (size_t)ids[first + i] * codes->stride + at, sizeof f);
      keys[first + i] = q->base + f.add + f.rescale * (q->step * dots[i]);
    }
  }
}

VDB_INTERNAL const struct vdb_codes_ops *vdb_bit_codes_ops(void) {
  static const struct vdb_codes_ops ops = {.id = BIT_ID,
                                           .name = "bits",
                                           .fits = bit_fits,
                                           .make = bit_make,
                                           .open = bit_open,
                                           .close = bit_close,
                                           .query_bytes = bit_query_bytes,
                                           .query = bit_query,
                                           .keys = bit_keys,
                                           .rough = true};
  return &ops;
}
