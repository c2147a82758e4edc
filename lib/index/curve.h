/*
 * curve.h - measuring what an index finds at which effort, and choosing the effort for a recall.
 *
 * Queries of users are not known when a segment seals, and rows make queries that are too easy: a
 * row is its own nearest neighbour, and near neighbours of each other lie where the index is good.
 * The queries are mixes of two rows drawn at random, 0.55 to 0.85 of one and the rest of the other,
 * which lie between groups of rows as real questions do: on passages asked for by questions and on
 * image descriptors their recall at one effort was a little below that of the real queries.
 */
#ifndef VDB_INDEX_CURVE_H
#define VDB_INDEX_CURVE_H

#include "base/curve.h"
#include "index/index.h"

/* Where neither settings nor a search ask for a recall. */
#define VDB_DEFAULT_RECALL 0.95f

enum { VDB_CURVE_ROWS = 1000 }; /* fewest rows that are worth measuring */

struct vdb_curve_measure {
  struct vdb_mem *mem;
  const struct vdb_index *index;
  const struct vdb_par *par;
  uint64_t seed;
  bool (*stop)(void *arg); /* polled now and then from all workers; once true, true for good;
                              NULL: never */
  void *stop_arg;
};

/* The same rows, index and seed give the same curve for any number of workers. Few rows give a
   curve without points. Errors: NO_MEMORY, CANCELLED when stopped. */
VDB_INTERNAL int vdb_curve_measure(const struct vdb_curve_measure *m, struct vdb_curve *out,
                                   vecdb_error *err);

/* The least effort that surely finds that share of the true k, between the measured ones, or 0 when
   none does: then the index cannot give it. The curve has points. */
VDB_INTERNAL uint32_t vdb_curve_effort(const struct vdb_curve *curve, enum vdb_effort kind,
                                       uint32_t k, float recall);
/* The stretch (index.h) of searches for k of that effort; 0: none. */
VDB_INTERNAL float vdb_curve_stretch(const struct vdb_curve *curve, size_t k, uint32_t effort);
/* Vectors compared by a search of that effort. The curve has points. */
VDB_INTERNAL double vdb_curve_distances(const struct vdb_curve *curve, double effort);

#endif
