/*
 * walk_sift.h - the loops over sketches of all tables, written once: a file that includes this
 * inside its target region gets them for its processor. What it needs: WB_SUFFIX, such as avx2.
 * Hence no include guard.
 */

#define WS_JOIN2(name, suffix) walk_##name##_##suffix
#define WS_JOIN(name, suffix) WS_JOIN2(name, suffix)
#define WS(name) WS_JOIN(name, WB_SUFFIX)

VDB_INLINE float WS(bound)(const struct vdb_walk_sketch_query *query, const uint64_t *row,
                           size_t words) {
  uint64_t c0 = 0, c1 = 0, c2 = 0, c3 = 0;
  const uint64_t *plane = query->planes;
  float factors[2];
  for (size_t w = 0; w < words; w++, plane += 4) {
    uint64_t bits = row[w];
    c0 += (uint64_t)__builtin_popcountll(bits ^ plane[0]);
    c1 += (uint64_t)__builtin_popcountll(bits ^ plane[1]);
    c2 += (uint64_t)__builtin_popcountll(bits ^ plane[2]);
    c3 += (uint64_t)__builtin_popcountll(bits ^ plane[3]);
  }
  memcpy(factors, row + words, sizeof factors);
  float sum = (float)(int64_t)(c0 + 2 * c1 + 4 * c2 + 8 * c3);
  return query->add + factors[0] +
         factors[1] * (query->shift + query->weight * sum - query->slack);
}

/* Without a branch on what is kept, as that is hard to predict. NaN, of damaged rows, is kept. */
static size_t WS(sift)(const struct vdb_walk_sketches *sketches,
                       const struct vdb_walk_sketch_query *query, uint32_t *ids,
                       uint32_t *beside, size_t n, float limit) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) {
    const uint64_t *row = sketches->rows + ids[i] * sketches->stride;
    ids[kept] = ids[i];
    beside[kept] = beside[i];
    kept += !(WS(bound)(query, row, sketches->words) > limit);
  }
  return kept;
}

#undef WS
#undef WS_JOIN
#undef WS_JOIN2
