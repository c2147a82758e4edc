/*
 * flat_bits.c - the exact scan of rows of bits for many queries at once; see flat_bits.h. A block
 * of rows is turned (kern/bits.h) and meets the queries four at a time. Rows within a query's bound
 * are scored again as for a single query, so that the answers are the same, bit by bit.
 *
 * JACCARD: two sets differ in d places and have q and r elements, so (q + r + d) / 2 are in one of
 * them at least, and the distance is 2 d / (q + r + d). It is at most B where
 * d (2 - B) <= (q + r) B. Both sides are computed to 2^-22 of themselves; the right one is made
 * larger by 2^-20.
 */
#include "index/flat_bits.h"

#include "base/bitmap.h"
#include "base/check.h"
#include "kern/bits.h"

enum {
  BITS_ROWS = 256, /* of a block; a multiple of VDB_BITS_ROWS and 64 */
  BITS_FIRST = 64  /* before there is a bound: all of them are scored again */
};

struct vdb_flat_bits {
  struct vdb_mem *mem;
  struct vdb_search *s; /* one a query */
  uint32_t n;
  size_t bytes;      /* of a row */
  uint8_t *offsets;  /* of the queries */
  uint32_t *ones;    /* bits set in each query */
  uint8_t *blocks;   /* the rows turned */
  uint8_t *none;     /* offsets of a query without bits: distances to it are the bits set */
  uint16_t far[VDB_BITS_QUERIES * BITS_ROWS];
  uint16_t row_ones[BITS_ROWS];
  uint32_t rows[BITS_ROWS]; /* of the block */
  uint32_t n_rows;
  uint32_t ids[BITS_ROWS]; /* to be scored again */
  float keys[BITS_ROWS];
};

VDB_INTERNAL bool vdb_bits_bound_set(struct vdb_bits_bound *b, int32_t metric, float bound,
                                     uint32_t query_ones) {
  b->jaccard = metric == VECDB_JACCARD;
  b->far = bound < UINT16_MAX ? (uint16_t)(bound < 0 ? 0 : bound) : UINT16_MAX;
  b->query_ones = (float)query_ones;
  b->least = bound < 1 ? 2 - bound : 0; /* no distance is above 1 */
  b->share = bound * (1 + 0x1p-20f);
  if (!(bound < 1))
    b->share = 1;
  return bound >= 0;
}

typedef uint16_t bits_shorts __attribute__((vector_size(16)));
typedef int16_t bits_mask __attribute__((vector_size(16)));

/* Of eight rows. */
static uint32_t bits_eight_hamming(const uint16_t *far, uint16_t most) {
  bits_shorts x, bound = {most, most, most, most, most, most, most, most};
  uint64_t halves[2];
  memcpy(&x, far, sizeof x);
  bits_mask in = x <= bound;
  memcpy(halves, &in, sizeof halves);
  uint32_t set = 0;
  if (VDB_LIKELY((halves[0] | halves[1]) == 0))
    return 0;
  for (size_t i = 0; i < 8; i++)
    set |= (uint32_t)(in[i] != 0) << i;
  return set;
}

static uint32_t bits_eight_jaccard(const struct vdb_bits_bound *b, const uint16_t *far,
                                   const uint16_t *ones) {
  uint32_t set = 0;
  for (size_t i = 0; i < 8; i++) {
    float all = (float)ones[i] + b->query_ones;
    set |= (uint32_t)((float)far[i] * b->least <= all * b->share) << i;
  }
  return set;
}

VDB_INTERNAL uint64_t vdb_bits_within(const struct vdb_bits_bound *b, const uint16_t *far,
                                      const uint16_t *ones, size_t n) {
  uint64_t set = 0;
  vdb_assert(n <= 64 && n % 8 == 0);
  for (size_t i = 0; i < n; i += 8) {
    uint64_t eight = b->jaccard ? bits_eight_jaccard(b, far + i, ones + i)
                                : bits_eight_hamming(far + i, b->far);
    set |= eight << i;
  }
  return set;
}

VDB_INTERNAL int vdb_flat_bits_new(const struct vdb_vecs *like, struct vdb_search *s, uint32_t n,
                                   struct vdb_flat_bits **out, vecdb_error *err) {
  struct vdb_mem *mem = s->mem;
  struct vdb_flat_bits *b = vdb_alloc_zero(mem, sizeof *b);
  *out = NULL;
  if (!b)
    return vdb_fail_memory(err);
  b->mem = mem;
  b->s = s;
  b->n = n;
  b->bytes = vdb_elem_row_bytes(VDB_BITS, like->dim);
  b->offsets = vdb_alloc_array(mem, n, 2 * b->bytes);
  b->ones = vdb_alloc_array(mem, n, sizeof *b->ones);
  b->blocks = vdb_alloc_array(mem, BITS_ROWS, b->bytes);
  b->none = vdb_alloc_zero(mem, 2 * b->bytes);
  if (!b->offsets || !b->ones || !b->blocks || !b->none) {
    vdb_flat_bits_free(b);
    return vdb_fail_memory(err);
  }
  for (uint32_t j = 0; j < n; j++) {
    const uint8_t *query = s[j].query->data;
    vdb_bits_offsets(query, b->bytes, b->offsets + j * 2 * b->bytes);
    b->ones[j] = (uint32_t)vdb_vec_norm(query, VDB_BITS, like->dim);
  }
  *out = b;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_flat_bits_free(struct vdb_flat_bits *b) {
  if (!b)
    return;
  vdb_free(b->mem, b->offsets);
  vdb_free(b->mem, b->ones);
  vdb_free(b->mem, b->blocks);
  vdb_free(b->mem, b->none);
  vdb_free(b->mem, b);
}

/* Turns the rows of the block; free places hold the last row once more. */
static void bits_turn(struct vdb_flat_bits *b, const struct vdb_vecs *vecs, size_t n_blocks) {
  const uint8_t *rows[VDB_BITS_ROWS];
  for (size_t block = 0; block < n_blocks; block++) {
    for (size_t i = 0; i < VDB_BITS_ROWS; i++) {
      size_t place = vdb_min_size(block * VDB_BITS_ROWS + i, b->n_rows - 1);
      rows[i] = vecs->data + b->rows[place] * vecs->stride;
    }
    vdb_bits_table()->pack(rows, b->bytes, b->blocks + block * VDB_BITS_ROWS * b->bytes);
  }
}

static struct vdb_bits_step bits_step(const struct vdb_flat_bits *b, size_t n_blocks) {
  return (struct vdb_bits_step){.bytes = b->bytes,
                                .blocks = b->blocks,
                                .block_stride = VDB_BITS_ROWS * b->bytes,
                                .n_blocks = n_blocks,
                                .out_stride = BITS_ROWS};
}

/* Scores the rows of the block that are within query j's bound, by `far`. */
static void bits_offer(struct vdb_flat_bits *b, const struct vdb_vecs *vecs, uint32_t base,
                       uint32_t j, const uint16_t *far) {
  struct vdb_search *s = &b->s[j];
  struct vdb_bits_bound bound;
  uint32_t n_ids = 0;
  s->distances += b->n_rows;
  if (!vdb_bits_bound_set(&bound, vecs->metric, vdb_topk_bound(&s->top), b->ones[j]))
    return;
  for (uint32_t i = 0; i < b->n_rows; i += 64) {
    uint32_t n = vdb_min_u32(b->n_rows - i, 64);
    uint64_t in = vdb_bits_within(&bound, far + i, b->row_ones + i, vdb_round_up(n, 8));
    for (; in; in &= in - 1) {
      uint32_t place = i + (uint32_t)__builtin_ctzll(in);
      if (place < b->n_rows)
        b->ids[n_ids++] = b->rows[place];
    }
  }
  if (n_ids == 0)
    return;
  vdb_keys_gather(vecs, s->query, b->ids, n_ids, b->keys);
  for (uint32_t i = 0; i < n_ids; i++)
    vdb_flat_offer(s, base + b->ids[i], b->keys[i]);
}

/* Compares the rows of the block with all queries. */
static void bits_block(struct vdb_flat_bits *b, const struct vdb_vecs *vecs, uint32_t base) {
  size_t n_blocks = (b->n_rows + VDB_BITS_ROWS - 1) / VDB_BITS_ROWS;
  struct vdb_bits_step step = bits_step(b, n_blocks);
  if (b->n_rows == 0)
    return;
  bits_turn(b, vecs, n_blocks);
  if (vecs->metric == VECDB_JACCARD) {
    step.n_queries = 1;
    step.offsets[0] = b->none;
    step.out = b->row_ones;
    vdb_bits_table()->distances(&step);
  }
  step.out = b->far;
  for (uint32_t j = 0; j < b->n; j += VDB_BITS_QUERIES) {
    step.n_queries = vdb_min_size(b->n - j, VDB_BITS_QUERIES);
    for (size_t q = 0; q < step.n_queries; q++)
      step.offsets[q] = b->offsets + (j + q) * 2 * b->bytes;
    vdb_bits_table()->distances(&step);
    for (uint32_t q = 0; q < step.n_queries; q++)
      bits_offer(b, vecs, base, j + q, b->far + q * BITS_ROWS);
  }
  b->n_rows = 0;
}

VDB_INTERNAL void vdb_flat_bits_scan(struct vdb_flat_bits *b, const struct vdb_vecs *vecs,
                                     uint32_t base, const uint64_t *allow) {
  const struct vdb_search *s = b->s;
  for (size_t row = 0; s->top.k > 0;) {
    uint32_t most = s->top.n < s->top.k ? BITS_FIRST : BITS_ROWS;
    if (allow)
      row = vdb_bits_next(allow, vecs->n, row);
    if (row >= vecs->n)
      break;
    b->rows[b->n_rows++] = (uint32_t)row++;
    if (b->n_rows < most)
      continue;
    if (s->stop && s->stop(s->stop_arg)) {
      b->n_rows = 0;
      return;
    }
    bits_block(b, vecs, base);
  }
  bits_block(b, vecs, base);
}
