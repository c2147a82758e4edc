/* walk.c - the kernels of walks in plain C, and the choice of a table; see walk.h. */
#include "walk.h"

#include <stdatomic.h>

#include "kern.h"

VDB_INLINE float walk_key_scalar(const struct vdb_walk_query *q, const float *factor,
                                 int32_t sum) {
  return q->add + factor[0] + factor[1] * (q->weight * (float)sum + q->shift);
}

static void walk_keys4_scalar(const struct vdb_walk_codes *codes, const struct vdb_walk_query *q,
                              const uint32_t *ids, const float *factors, size_t n, float *keys) {
  const int8_t *high = q->t + codes->bytes;
  for (size_t k = 0; k < n; k++) {
    const uint8_t *code = codes->codes + ids[k] * codes->bytes;
    int32_t sum = 0;
    for (size_t i = 0; i < codes->bytes; i++)
      sum += (code[i] & 15) * q->t[i] + (code[i] >> 4) * high[i];
    const float *factor = factors ? factors + 2 * k : codes->factors + 2 * (size_t)ids[k];
    keys[k] = walk_key_scalar(q, factor, sum);
  }
}

static void walk_keys8_scalar(const struct vdb_walk_codes *codes, const struct vdb_walk_query *q,
                              const uint32_t *ids, const float *factors, size_t n, float *keys) {
  for (size_t k = 0; k < n; k++) {
    const uint8_t *code = codes->codes + ids[k] * codes->bytes;
    int32_t sum = 0;
    for (size_t i = 0; i < codes->bytes; i++)
      sum += code[i] * q->t[i];
    const float *factor = factors ? factors + 2 * k : codes->factors + 2 * (size_t)ids[k];
    keys[k] = walk_key_scalar(q, factor, sum);
  }
}

static int32_t walk_narrow_scalar(const float *x, size_t n, float by, int8_t *t) {
  int32_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    float v = x[i] * by; /* the comparisons make a number of NaN */
    v = v > -127 ? v : -127;
    v = v < 127 ? v : 127;
    t[i] = (int8_t)(v + (v < 0 ? -.5f : .5f));
    sum += t[i];
  }
  return sum;
}

static void walk_widen_scalar(const uint32_t *pairs, size_t n, float by, float *factors) {
  vdb_kern()->f16_to_f32((const void *)pairs, factors, 2 * n);
  for (size_t i = 0; i < 2 * n; i++)
    factors[i] *= by;
}

static int32_t walk_spread_scalar(const int8_t *t, size_t words, int8_t *out) {
  int32_t sum = 0;
  memset(out, 0, vdb_walk_spread_bytes(words));
  for (size_t i = 0; i < 64 * words; i++) {
    out[i] = (int8_t)vdb_walk_5_bits(t[i]);
    sum += out[i];
  }
  return sum;
}

static float walk_bound_scalar(const struct vdb_walk_sketch_query *query, const uint64_t *row,
                               size_t words) {
  float factors[2];
  int32_t sum = 0;
  for (size_t i = 0; i < 64 * words; i++)
    sum += row[i / 64] >> (i % 64) & 1 ? query->t[i] : 0;
  memcpy(factors, row + words, sizeof factors);
  return query->add + factors[0] + factors[1] * (query->weight * (float)sum + query->shift);
}

#define WB_SUFFIX scalar
#include "walk_sift.h"
#undef WB_SUFFIX

/* First collects what the pool wants, without a branch, as that is hard to predict. */
VDB_INTERNAL size_t vdb_walk_offer(struct vdb_walk_pool *pool, const uint32_t *nodes,
                                   const float *keys, size_t n) {
  enum { STEP = 32 };
  size_t first = pool->n;
  for (size_t i = 0; i < n; i += STEP) {
    uint64_t wanted[STEP + 1];
    size_t n_wanted = 0;
    for (size_t k = i; k < vdb_min_size(n, i + STEP); k++) {
      wanted[n_wanted] = vdb_walk_item(keys[k], nodes[k]);
      n_wanted += vdb_walk_pool_wants(pool, wanted[n_wanted]);
    }
    for (size_t k = 0; k < n_wanted; k++)
      if (vdb_walk_pool_wants(pool, wanted[k]))
        first = vdb_min_size(first, vdb_walk_pool_add(pool, wanted[k]));
  }
  return first;
}

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_scalar(void) {
  static const struct vdb_walk_kern table = {"scalar", walk_keys4_scalar, walk_keys8_scalar,
                                             walk_widen_scalar, walk_narrow_scalar,
                                             walk_spread_scalar, walk_sift_scalar, vdb_walk_offer};
  return &table;
}

static const struct vdb_walk_kern *walk_kern_beside(const struct vdb_kern_table *table) {
#if defined(__x86_64__)
  if (strncmp(table->name, "avx512v", 7) == 0) /* with VNNI, and more */
    return vdb_walk_kern_avx512vnni();
  if (strcmp(table->name, "avx512") == 0)
    return vdb_walk_kern_avx512();
  if (strncmp(table->name, "avx", 3) == 0)
    return vdb_walk_kern_avx2();
#elif defined(__aarch64__)
  if (strcmp(table->name, "neon") == 0)
    return vdb_walk_kern_neon();
#endif
  (void)table;
  return vdb_walk_kern_scalar();
}

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern(void) {
  /* Threads that come here first at once all choose the same. */
  static const struct vdb_walk_kern *_Atomic walk_chosen;
  const struct vdb_walk_kern *table = atomic_load_explicit(&walk_chosen, memory_order_acquire);
  if (VDB_UNLIKELY(table == NULL)) {
    table = walk_kern_beside(vdb_kern());
    atomic_store_explicit(&walk_chosen, table, memory_order_release);
  }
  return table;
}

VDB_INTERNAL const struct vdb_walk_kern *vdb_walk_kern_available(size_t i) {
  const struct vdb_kern_table *table = vdb_kern_available(i);
  return table ? walk_kern_beside(table) : NULL;
}
