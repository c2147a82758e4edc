/* sum.c - the one place that includes xxHash; see sum.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sum.h"

VDB_INTERNAL uint64_t vdb_hash64(const void *data, size_t n) { return XXH3_64bits(data, n); }

VDB_INTERNAL uint64_t vdb_hash64_seed(const void *data, size_t n, uint64_t seed) {
  return XXH3_64bits_withSeed(data, n, seed);
}
