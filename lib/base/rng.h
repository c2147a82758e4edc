/* rng.h - a seeded generator that its user owns (splitmix64); never a global one. */
#ifndef VDB_RNG_H
#define VDB_RNG_H

#include "sum.h"

struct vdb_rng {
  uint64_t state;
};

VDB_INLINE uint64_t vdb_rng_next(struct vdb_rng *rng) {
  return vdb_mix64(rng->state += 0x9e3779b97f4a7c15u);
}

/* Uniform in [0, n), n > 0 (multiply-shift; the bias is below 2^-32 for n < 2^32). */
VDB_INLINE uint32_t vdb_rng_below(struct vdb_rng *rng, uint32_t n) {
  return (uint32_t)((vdb_rng_next(rng) >> 32) * n >> 32);
}

/* Uniform in [0, 1). */
VDB_INLINE double vdb_rng_unit(struct vdb_rng *rng) {
  return (double)(vdb_rng_next(rng) >> 11) * 0x1p-53;
}

#endif
