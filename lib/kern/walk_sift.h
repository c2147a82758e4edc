/*
 * walk_sift.h - the loop over sketches of the tables that look at one row at a time. A file that
 * includes this has walk_bound_ with WB_SUFFIX behind it, such as neon. Hence no include guard.
 */

#define WS_JOIN2(name, suffix) walk_##name##_##suffix
#define WS_JOIN(name, suffix) WS_JOIN2(name, suffix)
#define WS(name) WS_JOIN(name, WB_SUFFIX)

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
