/*
 * need.h - how much memory building an index takes: an upper bound that depends on the type, its
 * parameters and the shape of the rows alone, so that it can be had before there are rows.
 */
#ifndef VDB_NEED_H
#define VDB_NEED_H

#include "index/index.h"

/* The most bytes that a build has from its vdb_mem at one time, by what they hold. */
struct vdb_need {
  uint64_t codes;   /* of rows as they are searched, and samples that quantizers learn from */
  uint64_t graph;
  uint64_t lists;   /* and the sample that centroids are learnt from */
  uint64_t scratch; /* of workers, of writing the file, and of measuring the recall curve */
};

VDB_INLINE uint64_t vdb_need_all(const struct vdb_need *need) {
  return need->codes + need->graph + need->lists + need->scratch;
}

/* For params that are filled and settled; the type is not AUTO. FLAT: nothing. */
VDB_INTERNAL void vdb_index_need(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 unsigned workers, struct vdb_need *out);

/* As vdb_index_need, for params that may be AUTO or not settled, and are then what is built. */
VDB_INTERNAL void vdb_index_need_of(vecdb_index_params *params,
                                    const struct vdb_index_field *field, uint64_t rows,
                                    const struct vdb_room *room, struct vdb_need *out);
/* Whether params can be built in that room, and the bytes they need. AUTO: what it takes,
   for which there is always room. */
VDB_INTERNAL bool vdb_index_fits(const vecdb_index_params *params,
                                 const struct vdb_index_field *field, uint64_t rows,
                                 const struct vdb_room *room, uint64_t *need);

#endif
