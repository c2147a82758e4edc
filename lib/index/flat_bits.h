/* flat_bits.h - the part of the exact scan for many queries (index.h) that compares bits. */
#ifndef VDB_FLAT_BITS_H
#define VDB_FLAT_BITS_H

#include "index/index.h"

/* As vdb_flat_batch_new, scan and free. */
struct vdb_flat_bits;
VDB_INTERNAL int vdb_flat_bits_new(const struct vdb_vecs *like, struct vdb_search *s, uint32_t n,
                                   struct vdb_flat_bits **out, vecdb_error *err);
VDB_INTERNAL void vdb_flat_bits_scan(struct vdb_flat_bits *b, const struct vdb_vecs *vecs,
                                     uint32_t base, const uint64_t *allow);
VDB_INTERNAL void vdb_flat_bits_free(struct vdb_flat_bits *b);

/*
 * Which of n rows, a multiple of 8 up to 64, may have a key of at most `bound`, from their Hamming
 * distances: bit i for row i. JACCARD: `ones` are the bits set in each row, `query_ones` those in
 * the query; some whose key is a little above pass. HAMMING: exact, `ones` may be NULL.
 */
struct vdb_bits_bound {
  uint16_t far; /* HAMMING: the largest distance that passes */
  bool jaccard;
  float least, share; /* JACCARD: far * least <= (ones + query_ones) * share passes */
  float query_ones;
};
/* False: no row can pass. */
VDB_INTERNAL bool vdb_bits_bound_set(struct vdb_bits_bound *b, int32_t metric, float bound,
                                     uint32_t query_ones);
VDB_INTERNAL uint64_t vdb_bits_within(const struct vdb_bits_bound *b, const uint16_t *far,
                                      const uint16_t *ones, size_t n);

#endif
