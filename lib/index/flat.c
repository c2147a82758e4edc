/*
 * flat.c - the exact scan; see index.h. Rows are compared in blocks. Under a bitmap a block that is
 * mostly allowed is compared whole; allowed rows of other blocks are collected and gathered.
 */
#include "base/bitmap.h"
#include "base/check.h"
#include "index/index.h"

enum {
  FLAT_SOME = 16,             /* keys looked at together */
  FLAT_BLOCK = 256,           /* rows per call of a kernel; a multiple of 64 */
  FLAT_DENSE = FLAT_BLOCK / 2 /* allowed rows from which a block is compared whole */
};

struct flat_scan {
  const struct vdb_vecs *vecs;
  struct vdb_search *s;
  uint32_t base;
  uint32_t n_ids;
  uint32_t ids[FLAT_BLOCK]; /* allowed rows of sparse blocks, not compared yet */
  float keys[FLAT_BLOCK];
};

/* The negated test keeps NaN, which a damaged file can hold, out of the heap. */
VDB_INTERNAL void vdb_flat_offer(struct vdb_search *s, uint32_t row, float key) {
  struct vdb_near candidate = {key, row};
  if (!(key <= vdb_topk_bound(&s->top)))
    return;
  if (s->top.n == s->top.k && !vdb_near_before(candidate, s->top.items[0]))
    return;
  if (!s->accept || s->accept(s->accept_arg, candidate.row))
    vdb_topk_push(&s->top, candidate);
}

static void flat_gather(struct flat_scan *f) {
  vdb_keys_gather(f->vecs, f->s->query, f->ids, f->n_ids, f->keys);
  f->s->distances += f->n_ids;
  for (uint32_t i = 0; i < f->n_ids; i++)
    vdb_flat_offer(f->s, f->base + f->ids[i], f->keys[i]);
  f->n_ids = 0;
}

typedef float flat_floats __attribute__((vector_size(16)));
typedef int32_t flat_ints __attribute__((vector_size(16)));

/* Whether one of FLAT_SOME keys is at most `bound`. */
VDB_INLINE bool flat_any(const float *keys, float bound) {
  flat_ints any = {0};
  uint64_t halves[2];
  for (size_t i = 0; i < FLAT_SOME; i += 4) {
    flat_floats v;
    memcpy(&v, keys + i, sizeof v);
    any |= v <= bound;
  }
  memcpy(halves, &any, sizeof halves);
  return (halves[0] | halves[1]) != 0;
}

/* Hardly any row is near enough once there are some: several are turned down at a time. */
static void flat_dense(struct flat_scan *f, uint32_t first, uint32_t n) {
  const uint64_t *allow = f->s->allow;
  vdb_keys_range(f->vecs, f->s->query, first, n, f->keys);
  f->s->distances += n;
  for (uint32_t at = 0, end; at < n; at = end) {
    end = vdb_min_u32(at + FLAT_SOME, n);
    if (end - at == FLAT_SOME && !flat_any(f->keys + at, vdb_topk_bound(&f->s->top)))
      continue;
    for (uint32_t i = at; i < end; i++)
      if (!allow || vdb_bit_get(allow, first + i))
        vdb_flat_offer(f->s, f->base + first + i, f->keys[i]);
  }
}

static void flat_sparse(struct flat_scan *f, uint32_t first, uint32_t n) {
  const uint64_t *bits = f->s->allow + first / 64;
  for (size_t i = vdb_bits_next(bits, n, 0); i < n; i = vdb_bits_next(bits, n, i + 1)) {
    f->ids[f->n_ids++] = first + (uint32_t)i;
    if (f->n_ids == FLAT_BLOCK)
      flat_gather(f);
  }
}

VDB_INTERNAL void vdb_flat_scan(const struct vdb_vecs *vecs, uint32_t base, struct vdb_search *s) {
  struct flat_scan f;
  f.vecs = vecs;
  f.s = s;
  f.base = base;
  f.n_ids = 0;
  for (uint32_t first = 0, n; s->top.k > 0 && first < vecs->n; first += n) {
    if (s->stop && s->stop(s->stop_arg))
      break;
    n = vdb_min_u32(vecs->n - first, FLAT_BLOCK);
    if (!s->allow || vdb_bits_count(s->allow + first / 64, n) >= FLAT_DENSE)
      flat_dense(&f, first, n);
    else
      flat_sparse(&f, first, n);
  }
  if (f.n_ids > 0)
    flat_gather(&f);
}
