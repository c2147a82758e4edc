/* sum.c - the one place that includes xxHash; see sum.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "sum.h"

VDB_INTERNAL uint64_t vdb_hash64(const void *data, size_t n) { return XXH3_64bits(data, n); }

VDB_INTERNAL uint64_t vdb_hash64_seed(const void *data, size_t n, uint64_t seed) {
  return XXH3_64bits_withSeed(data, n, seed);
}

_Static_assert(sizeof(XXH3_state_t) <= sizeof(struct vdb_hash_state), "the state has room");
_Static_assert(_Alignof(XXH3_state_t) <= _Alignof(struct vdb_hash_state), "the state is aligned");

VDB_INTERNAL void vdb_hash_begin(struct vdb_hash_state *state) {
  XXH3_64bits_reset((XXH3_state_t *)(void *)state->opaque);
}

VDB_INTERNAL void vdb_hash_add(struct vdb_hash_state *state, const void *data, size_t n) {
  if (n)
    XXH3_64bits_update((XXH3_state_t *)(void *)state->opaque, data, n);
}

VDB_INTERNAL uint64_t vdb_hash_end(const struct vdb_hash_state *state) {
  return XXH3_64bits_digest((const XXH3_state_t *)(const void *)state->opaque);
}
