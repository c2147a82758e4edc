/*
 * flat_batch.c - the exact scan for many queries at once; see index.h. A block of rows meets all
 * queries in one product of matrices (kern/tile.h), which gives every distance up to a rounding
 * error. Whatever may be among the nearest by that is scored again with the kernels that a single
 * query is scored with; so the answers are the same, bit by bit.
 *
 * The bound. Let u = 2^-24. A product of a query q and a row r of dim elements is off by at most
 * dim u |q| |r| (1 + small) in whatever order it is added up, and so is the kernels' score of
 * IP; that of L2 is off by dim u times itself, squared norms by dim u times themselves. All that,
 * and the rounding of the thresholds themselves, fits into c = (2 dim + 40) u, and what is lost
 * below the least normal float into dim 2^-148. A pair is dropped where its product s is below
 *
 *   IP      -bound - c |q| max |r|
 *   COSINE  (-bound - c) |q| |r|
 *   L2      ((|q|^2 + |r|^2) (1 - c) - bound (1 + c)) / 2
 *
 * all of which are scale[row] * below[query] + shift[row]. Norms so large or small that squares or
 * inverses leave the range of floats drop nothing.
 *
 * Rows of bits are counted instead: flat_bits.c.
 */
#include <math.h>

#include "base/bitmap.h"
#include "base/check.h"
#include "index/flat_bits.h"
#include "index/index.h"
#include "kern/bits.h"
#include "kern/tile.h"

enum {
  BATCH_ROWS = 256,
  BATCH_FIRST = 64, /* rows of a block before there is a bound: all of them are scored again */
  BATCH_LANES = 16  /* queries compared at a time */
};
static const float batch_large = 1e18f;

struct vdb_flat_batch {
  struct vdb_mem *mem;
  struct vdb_flat_bits *bits; /* does it all for rows of bits; else NULL */
  struct vdb_search *s; /* one a query */
  uint32_t n;
  uint32_t columns; /* n, rounded up to BATCH_LANES */
  uint32_t dim;
  double slack; /* c */
  float tiny;
  float *packed; /* the queries */
  double *norms; /* of them */
  float *below;
  float *rows; /* of a block, as floats */
  float *products;
  uint32_t *ids; /* BATCH_ROWS a query: rows of the block to be scored again */
  uint32_t *n_ids;
  float keys[BATCH_ROWS];
  float scale[BATCH_ROWS], shift[BATCH_ROWS];
  uint32_t block[BATCH_ROWS]; /* its rows */
  uint32_t n_block;
};

/* The elements as floats. Of queries those of F16 and BF16 are floats already. */
static void batch_floats(const void *from, enum vdb_elem elem, size_t dim, float *out) {
  const int8_t *bytes = from;
  if (elem == VDB_F32)
    memcpy(out, from, dim * sizeof *out);
  else if (elem == VDB_F16)
    vdb_kern()->f16_to_f32(from, out, dim);
  else if (elem == VDB_BF16)
    vdb_kern()->bf16_to_f32(from, out, dim);
  else
    for (size_t i = 0; i < dim; i++)
      out[i] = bytes[i];
}

VDB_INTERNAL bool vdb_flat_batch_fits(enum vdb_elem elem) {
  if (elem == VDB_BITS)
    return vdb_bits_table() != vdb_bits_available(0);
  return vdb_tile_fast();
}

static bool batch_alloc(struct vdb_flat_batch *b) {
  struct vdb_mem *mem = b->mem;
  size_t packed = vdb_tile_packed_floats(b->columns, b->dim) * sizeof(float);
  b->packed = vdb_alloc_wide(mem, packed);
  b->rows = vdb_alloc_wide(mem, (size_t)BATCH_ROWS * b->dim * sizeof *b->rows);
  b->products = vdb_alloc_wide(mem, (size_t)BATCH_ROWS * b->columns * sizeof *b->products);
  b->norms = vdb_alloc_array(mem, b->columns, sizeof *b->norms);
  b->below = vdb_alloc_array(mem, b->columns, sizeof *b->below);
  b->ids = vdb_alloc_array(mem, (size_t)b->n * BATCH_ROWS, sizeof *b->ids);
  b->n_ids = vdb_alloc_zero(mem, b->n * sizeof *b->n_ids);
  return b->packed && b->rows && b->products && b->norms && b->below && b->ids && b->n_ids;
}

/* Packs the queries. */
static bool batch_queries(struct vdb_flat_batch *b, enum vdb_elem elem) {
  float *queries = vdb_alloc_array(b->mem, (size_t)b->columns * b->dim, sizeof *queries);
  if (!queries)
    return false;
  memset(queries, 0, (size_t)b->columns * b->dim * sizeof *queries);
  for (uint32_t j = 0; j < b->n; j++) {
    float *query = queries + (size_t)j * b->dim;
    batch_floats(b->s[j].query->data, elem == VDB_I8 ? elem : VDB_F32, b->dim, query);
    b->norms[j] = vdb_vec_norm(query, VDB_F32, b->dim);
  }
  struct vdb_tile_rows rows = {queries, b->dim, b->columns};
  vdb_tile_pack(&rows, b->dim, b->packed);
  vdb_free(b->mem, queries);
  return true;
}

VDB_INTERNAL int vdb_flat_batch_new(const struct vdb_vecs *like, struct vdb_search *s, uint32_t n,
                                    struct vdb_flat_batch **out, vecdb_error *err) {
  struct vdb_mem *mem = s->mem;
  struct vdb_flat_batch *b = vdb_alloc_zero(mem, sizeof *b);
  *out = NULL;
  if (!b)
    return vdb_fail_memory(err);
  b->mem = mem;
  b->s = s;
  b->n = n;
  b->columns = (uint32_t)vdb_round_up(n, BATCH_LANES);
  b->dim = like->dim;
  b->slack = (2.0 * b->dim + 40) * 0x1p-24;
  b->tiny = (float)b->dim * 0x1p-148f;
  int rc = VECDB_OK;
  if (like->elem == VDB_BITS)
    rc = vdb_flat_bits_new(like, s, n, &b->bits, err);
  else if (!batch_alloc(b) || !batch_queries(b, like->elem))
    rc = vdb_fail_memory(err);
  if (rc != VECDB_OK) {
    vdb_flat_batch_free(b);
    return rc;
  }
  *out = b;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_flat_batch_free(struct vdb_flat_batch *b) {
  if (!b)
    return;
  vdb_flat_bits_free(b->bits);
  vdb_free(b->mem, b->packed);
  vdb_free(b->mem, b->rows);
  vdb_free(b->mem, b->products);
  vdb_free(b->mem, b->norms);
  vdb_free(b->mem, b->below);
  vdb_free(b->mem, b->ids);
  vdb_free(b->mem, b->n_ids);
  vdb_free(b->mem, b);
}

/* The rows of the block as floats: in place where they are floats side by side. */
static struct vdb_tile_rows batch_rows(struct vdb_flat_batch *b, const struct vdb_vecs *vecs) {
  const uint32_t *block = b->block, n = b->n_block;
  const uint8_t *first = vecs->data + block[0] * vecs->stride;
  bool aligned = ((uintptr_t)first | vecs->stride) % sizeof(float) == 0;
  if (vecs->elem == VDB_F32 && aligned && block[n - 1] - block[0] == n - 1)
    return (struct vdb_tile_rows){(const float *)(const void *)first,
                                  vecs->stride / sizeof(float), n};
  for (uint32_t i = 0; i < n; i++)
    batch_floats(vecs->data + block[i] * vecs->stride, vecs->elem, b->dim,
                 b->rows + (size_t)i * b->dim);
  return (struct vdb_tile_rows){b->rows, b->dim, n};
}

/* Sets scale and shift of each row; returns the largest norm (COSINE: 1). */
static float batch_terms(struct vdb_flat_batch *b, const struct vdb_vecs *vecs,
                         const struct vdb_tile_rows *rows) {
  const struct vdb_kern *dot = &vdb_kern()->kern[VDB_F32][VDB_OP_DOT];
  float largest = vecs->metric == VECDB_COSINE;
  for (uint32_t i = 0; i < b->n_block; i++) {
    float norm;
    b->scale[i] = 1;
    b->shift[i] = -b->tiny;
    if (vecs->metric == VECDB_COSINE) {
      norm = 1 / vecs->inv_norms[b->block[i]];
      if (norm < batch_large && norm > 1 / batch_large)
        b->scale[i] = norm;
      else
        b->shift[i] = -INFINITY;
      continue;
    }
    const float *row = rows->data + i * rows->stride;
    float square = dot->one(row, row, b->dim);
    norm = sqrtf(square);
    largest = norm > largest ? norm : largest;
    if (!(norm < batch_large))
      b->shift[i] = -INFINITY;
    else if (vecs->metric == VECDB_L2)
      b->shift[i] = (float)((double)square * (1 - b->slack) / 2) - b->tiny;
  }
  return largest;
}

static float batch_below(const struct vdb_flat_batch *b, uint32_t j, int32_t metric,
                         float largest) {
  double bound = (double)vdb_topk_bound(&b->s[j].top), norm = b->norms[j], c = b->slack;
  double inverse = (double)b->s[j].query->inv_norm, x;
  if (!(bound < HUGE_VAL) || !(norm < (double)batch_large) || !(largest < batch_large))
    return -INFINITY;
  if (metric == VECDB_IP) {
    x = -bound - c * norm * (double)largest;
  } else if (metric == VECDB_L2) {
    x = (norm * norm * (1 - c) - bound * (1 + c)) / 2;
  } else {
    if (!(inverse > 1 / (double)batch_large && inverse < (double)batch_large))
      return -INFINITY;
    x = (-bound - c) / inverse;
  }
  return nextafterf((float)x, -INFINITY);
}

typedef float batch_floats4 __attribute__((vector_size(16)));
typedef int32_t batch_ints4 __attribute__((vector_size(16)));

/* Whether all BATCH_LANES products are below their thresholds; not where one is NaN. */
VDB_INLINE bool batch_all_below(const float *products, const float *below, float scale,
                                float shift) {
  batch_ints4 all = {-1, -1, -1, -1};
  uint64_t halves[2];
  for (size_t v = 0; v < BATCH_LANES; v += 4) {
    batch_floats4 s, t;
    memcpy(&s, products + v, sizeof s);
    memcpy(&t, below + v, sizeof t);
    all &= s < t * scale + shift;
  }
  memcpy(halves, &all, sizeof halves);
  return (halves[0] & halves[1]) == UINT64_MAX;
}

/* Lists the rows of the block that each query must score. */
static void batch_select(struct vdb_flat_batch *b) {
  for (uint32_t i = 0; i < b->n_block; i++) {
    const float *products = b->products + (size_t)i * b->columns;
    float scale = b->scale[i], shift = b->shift[i];
    for (uint32_t j = 0; j < b->n; j += BATCH_LANES) {
      if (VDB_LIKELY(batch_all_below(products + j, b->below + j, scale, shift)))
        continue;
      for (uint32_t q = j; q < vdb_min_u32(b->n, j + BATCH_LANES); q++)
        if (!(products[q] < b->below[q] * scale + shift))
          b->ids[q * BATCH_ROWS + b->n_ids[q]++] = b->block[i];
    }
  }
}

/* Compares the rows of the block with all queries. */
static void batch_block(struct vdb_flat_batch *b, const struct vdb_vecs *vecs, uint32_t base) {
  if (b->n_block == 0)
    return;
  struct vdb_tile_rows rows = batch_rows(b, vecs);
  float largest = batch_terms(b, vecs, &rows);
  vdb_tile_dot_packed(&rows, b->packed, b->columns, b->dim, b->products);
  for (uint32_t j = 0; j < b->columns; j++)
    b->below[j] = j < b->n ? batch_below(b, j, vecs->metric, largest) : INFINITY;
  batch_select(b);
  for (uint32_t j = 0; j < b->n; j++) {
    const uint32_t *ids = b->ids + j * BATCH_ROWS;
    b->s[j].distances += b->n_block;
    if (b->n_ids[j] == 0)
      continue;
    vdb_keys_gather(vecs, b->s[j].query, ids, b->n_ids[j], b->keys);
    for (uint32_t i = 0; i < b->n_ids[j]; i++)
      vdb_flat_offer(&b->s[j], base + ids[i], b->keys[i]);
    b->n_ids[j] = 0;
  }
  b->n_block = 0;
}

VDB_INTERNAL void vdb_flat_batch_scan(struct vdb_flat_batch *b, const struct vdb_vecs *vecs,
                                      uint32_t base, const uint64_t *allow) {
  const struct vdb_search *s = b->s;
  vdb_assert(vecs->dim == b->dim);
  if (b->bits) {
    vdb_flat_bits_scan(b->bits, vecs, base, allow);
    return;
  }
  for (size_t row = 0; s->top.k > 0;) {
    uint32_t most = s->top.n < s->top.k ? BATCH_FIRST : BATCH_ROWS;
    if (allow)
      row = vdb_bits_next(allow, vecs->n, row);
    if (row >= vecs->n)
      break;
    b->block[b->n_block++] = (uint32_t)row++;
    if (b->n_block < most)
      continue;
    if (s->stop && s->stop(s->stop_arg)) {
      b->n_block = 0;
      return;
    }
    batch_block(b, vecs, base);
  }
  batch_block(b, vecs, base);
}
