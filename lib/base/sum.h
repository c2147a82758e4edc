/* sum.h - checksums and hashes behind one name, XXH3-64 (xxHash, header-only). */
#ifndef VDB_SUM_H
#define VDB_SUM_H

#include "base.h"

VDB_INTERNAL uint64_t vdb_hash64(const void *data, size_t n);
VDB_INTERNAL uint64_t vdb_hash64_seed(const void *data, size_t n, uint64_t seed);

/* The same hash over bytes that come in pieces: begin, any number of adds, end. The state holds no
   memory. In a block from the heap it needs vdb_alloc_wide. */
struct vdb_hash_state {
  _Alignas(64) uint8_t opaque[576];
};
VDB_INTERNAL void vdb_hash_begin(struct vdb_hash_state *state);
VDB_INTERNAL void vdb_hash_add(struct vdb_hash_state *state, const void *data, size_t n);
/* What vdb_hash64 gives for all bytes so far; more may be added after it. */
VDB_INTERNAL uint64_t vdb_hash_end(const struct vdb_hash_state *state);

/* A bijective mix of 64 bits (splitmix64's finaliser, Steele, Lea, Flood 2014). */
VDB_INLINE uint64_t vdb_mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

#endif
