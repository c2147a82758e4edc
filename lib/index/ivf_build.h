/* ivf_build.h - what the files that build an IVF index share; see ivf.h. */
#ifndef VDB_IVF_BUILD_H
#define VDB_IVF_BUILD_H

#include "index/ivf.h"

/* Memory of one worker: each has room for dim floats, `codes` for those of a row. */
struct vdb_ivf_worker {
  float *raw;
  float *x;
  float *residual;
  uint8_t *codes;
  struct vdb_ivf_bounds bounds; /* so far */
};

struct vdb_ivf_builder {
  const struct vdb_index_build *b;
  const struct vdb_ivf_kind *kind;
  struct vdb_ivf_worker *workers;
  void *workers_block;
  struct vdb_transform *transform;
  struct vdb_ivf_coder coder;
  bool by_distance;         /* lists are ordered by distance, not by inner product */
  float *mean;              /* m': dim floats */
  uint32_t n_lists;
  float *centres;           /* n_lists x dim: what the codes of the centroids stand for */
  float *halves;            /* of these, as k-means wants them */
  int8_t *codes;            /* the memory of `centroids` */
  float *scales, *biases;
  float *spreads;           /* as struct vdb_ivf_centroids has it */
  float reach[VDB_IVF_REACHES];
  uint32_t *homes;          /* row i's lists at [2i] and [2i + 1], where the second may be NONE */
  uint32_t *starts;         /* as struct vdb_ivf_lists has it */
  uint32_t *rows;
  uint32_t n_entries;
  struct vdb_ivf_bounds bounds;
  struct vdb_codes all;     /* codes of all rows; ops NULL: none */
  bool f16;                 /* rows are kept in 16 bits, too */
  uint64_t done;            /* rows' worth of work, for progress */
};

/* x' of a row. `raw` is scratch. */
VDB_INTERNAL void vdb_ivf_row(const struct vdb_ivf_builder *h, uint32_t row, float *raw, float *x);
/* Reports `rows` more of work done; CANCELLED. */
VDB_INTERNAL int vdb_ivf_progress(struct vdb_ivf_builder *h, uint64_t rows, vecdb_error *err);

/* Gives each row its lists, and each list its slots (ivf_lists.c). */
VDB_INTERNAL int vdb_ivf_fill_lists(struct vdb_ivf_builder *h, vecdb_error *err);

/* Whether an index has signs of its centroids (ivf_signs.c). */
VDB_INTERNAL bool vdb_ivf_signs_fit(const struct vdb_transform *t, uint32_t n_lists);
/* Their blocks, vdb_ivf_signs_bytes; NULL when out of memory. */
VDB_INTERNAL uint8_t *vdb_ivf_signs_make(const struct vdb_ivf_builder *h,
                                         const struct vdb_quant *quant);

/* Learns h->reach, from the centroids and their spreads (ivf_reach.c). */
VDB_INTERNAL int vdb_ivf_reach_learn(struct vdb_ivf_builder *h, vecdb_error *err);

/* Builds (ivf_build.c). */
VDB_INTERNAL int vdb_ivf_build(const struct vdb_index_build *b, vecdb_error *err);
/* Writes all sections (ivf_io.c). Blocks are coded on the way; `bounds` are known after. */
VDB_INTERNAL int vdb_ivf_write(struct vdb_ivf_builder *h, vecdb_error *err);
/* Builds the graph of the centroids and writes its sections (ivf_graph.c). */
VDB_INTERNAL int vdb_ivf_graph_build(const struct vdb_ivf_builder *h, vecdb_error *err);
/* Codes blocks first to first + n - 1, into memory (ivf_build.c). */
VDB_INTERNAL void vdb_ivf_code_blocks(struct vdb_ivf_builder *h, uint32_t first, uint32_t n,
                                      uint8_t *blocks);

#endif
