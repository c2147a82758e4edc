/*
 * bakeoff.h - AUTO's choice between a graph and lists, by measuring: both are built over a sample
 * of the rows and searched (curve.h), and the vectors that each compares for the wanted recall are
 * counted. A count is the same on every machine and for any number of workers, and what one
 * comparison costs is a number written down in bakeoff.c; so the same rows get the same files,
 * which a race by the clock would not give.
 */
#ifndef VDB_BAKEOFF_H
#define VDB_BAKEOFF_H

#include "index/index.h"

enum {
  VDB_BAKEOFF_LEAST = 1 << 15, /* rows from which it is held; below, building twice takes long */
  VDB_BAKEOFF_SAMPLE = 1 << 13
};

struct vdb_bakeoff_case {
  struct vdb_mem *mem;
  const struct vdb_vecs *vecs;
  const struct vdb_par *par;
  const vecdb_index_params *graph; /* filled */
  const vecdb_index_params *lists;
  float recall;
  uint64_t seed;
  bool (*stop)(void *arg); /* as of vdb_curve_measure */
  void *stop_arg;
};

/* What it found; kept beside the index, as it is here. */
struct vdb_bakeoff {
  uint32_t version;
  uint32_t sample; /* rows */
  float recall;
  int32_t graph, lists; /* types */
  float graph_us, lists_us; /* expected of one search of all rows; infinite: recall not reached */
  uint32_t lists_taken;
};

VDB_INTERNAL bool vdb_bakeoff_wanted(const struct vdb_vecs *vecs);
/* Errors: NO_MEMORY, CANCELLED. */
VDB_INTERNAL int vdb_bakeoff_hold(const struct vdb_bakeoff_case *c, struct vdb_bakeoff *out,
                                  vecdb_error *err);
/* Expected microseconds, from what a search of `sample` rows compared. */
VDB_INTERNAL double vdb_bakeoff_us(bool lists, const struct vdb_index_traits *traits,
                                   double compared, uint32_t sample, uint32_t rows);

VDB_INTERNAL int vdb_bakeoff_write(const struct vdb_bakeoff *bakeoff, struct vdb_sect_writer *out,
                                   uint32_t number, vecdb_error *err);
/* False: there is none, or none that this library knows. */
VDB_INTERNAL bool vdb_bakeoff_read(const struct vdb_sect_reader *in, uint32_t number,
                                   struct vdb_bakeoff *out);

#endif
