/*
 * ivf.h - what the files of the inverted-file index share. README.md has the design. One engine
 * serves all IVF_* types; what differs is a row of the table in ivf.c: how the rows in the lists
 * are coded, whether rows go into a second list, how the best are scored again.
 *
 *   ivf.c        the table, opened indexes and their stock of scratch memory
 *   ivf_build.c  training, and the sections written
 *   ivf_lists.c  rows to lists
 *   ivf_code.c   rows in the lists coded: by a quantizer of quant.h, or in 8 bits
 *   ivf_probe.c  the lists nearest to a query
 *   ivf_reach.c  how many of these a search looks through
 *   ivf_signs.c  most of the lists that are not, found by one bit an element
 *   ivf_cut.c    the nearest of many keys
 *   ivf_graph.c  a graph of the centroids
 *   ivf_hnsw.c   lists and a graph of the rows, side by side
 *   ivf_search.c a search: lists, their rows by code, the best again by row
 *   ivf_io.c     sections: checking, opening
 *
 * Rows, centroids and queries are compared after a transform (rotate.h) that takes off the mean m
 * and brings rows to a mean length of 1: x' = R (x - m) s. Keys of the lists are, up to a number
 * that is the same for all rows,
 *
 *   L2           |q' - x'|^2
 *   IP, COSINE   -<q', x'> - <m', x'>, where m' = R m s: <q, x> less what is the same for all
 *
 * COSINE rows and queries have length 1 before that, zero vectors excepted.
 */
#ifndef VDB_IVF_H
#define VDB_IVF_H

#include "index/codes.h"
#include "index/index.h"
#include "index/quant.h"
#include "index/rotate.h"
#include "index/stock.h"
#include "index/visited.h"

enum {
  VDB_IVF_BLOCK = VDB_SCAN_ROWS,
  VDB_IVF_REACHES = 16 /* of 1, 2, 4 and so on lists; 0 where those are too many of all */
};
#define VDB_IVF_NONE UINT32_MAX /* the row of a free slot; only in the last block of a list */

/* How rows are coded in the lists; in files: never changes its meaning. */
enum vdb_ivf_code { VDB_IVF_FLAT, VDB_IVF_SQ8, VDB_IVF_PQ, VDB_IVF_RABITQ, VDB_IVF_CODES };

/* A kind of index, by code. */
struct vdb_ivf_kind {
  enum vdb_ivf_code code;
  bool spill;   /* rows go into a second list */
  bool rotated; /* by default */
  bool recoded; /* the best are scored by codes of whole rows before they are by the rows */
};
VDB_INTERNAL const struct vdb_ivf_kind *vdb_ivf_kind(enum vdb_ivf_code code);

VDB_INTERNAL const struct vdb_index_ops *vdb_ivf_ops(void);
/* The engine of IVF_HNSW. */
VDB_INTERNAL const struct vdb_index_ops *vdb_ivf_hnsw_ops(void);

/* The centroids in 8 bits: element i of centroid c is codes[c * stride + i] * scales[c]. */
struct vdb_ivf_centroids {
  const int8_t *codes;
  const float *scales;
  const float *biases; /* L2: |c|^2. Others: what is added to -<q', c> to order the lists; it is
                          taken off the keys of rows again */
  const float *spreads; /* what is added to order them, as wide lists are more likely to hold near
                           rows than the way to their centroids says; NULL: none */
  size_t stride;
  uint32_t n;
};

/* The centroids in one bit an element; see ivf_signs.c. */
struct vdb_ivf_signs {
  struct vdb_quant *quant; /* NULL: there are none; that of the coder, if it is one of bits */
  const uint8_t *blocks;
};

/* The lists: that of centroid c is blocks starts[c] to starts[c + 1], and their slots. */
struct vdb_ivf_lists {
  const uint32_t *starts;
  const uint32_t *rows; /* of the slots */
  const uint8_t *blocks;
};

/* How a list's rows are coded and compared. */
struct vdb_ivf_coder {
  enum vdb_ivf_code code;
  struct vdb_quant *quant; /* PQ, RABITQ; else NULL */
  vdb_scan_fn scan;
  size_t block_bytes; /* a multiple of 64 */
  size_t table_bytes; /* likewise */
  uint32_t dim;
  bool l2; /* the form of keys */
};

/* Bounds over all rows, for what a key in 8 bits may be off. */
struct vdb_ivf_bounds {
  float norm;  /* of the longest x' */
  float error; /* largest |x' - its code| */
};

/* ---- Codes: ivf_code.c ----------------------------------------------------------------------- */

/* Bytes of an 8-bit code of `dim` elements. */
VDB_INLINE size_t vdb_ivf_stride(uint32_t dim) {
  return (size_t)vdb_round_up(dim, dim > 32 ? 64 : 16);
}

/* A coder for rows of dim; `quant` stays the caller's. */
VDB_INTERNAL void vdb_ivf_coder_init(struct vdb_ivf_coder *coder, enum vdb_ivf_code code,
                                     uint32_t dim, bool l2, struct vdb_quant *quant);
/* A vector in 8 bits, padded with zeroes to the stride; the scale of its elements, at least 0. */
VDB_INTERNAL float vdb_ivf_round(const float *x, uint32_t dim, int8_t *out);
/* Makes all slots of a block free. */
VDB_INTERNAL void vdb_ivf_block_clear(const struct vdb_ivf_coder *coder, uint8_t *block);
/*
 * Codes row x' = centre + residual into a slot; `more` is added to its key. `codes` is scratch of
 * coder->quant->m bytes, unless there is no quantizer. The length of what the code leaves out; 0
 * where nobody needs it.
 */
VDB_INTERNAL float vdb_ivf_put(const struct vdb_ivf_coder *coder, const float *residual,
                               const float *centre, float more, uint8_t *codes, uint8_t *block,
                               uint32_t slot);

/* A query in the forms that lists and rows are compared with. */
struct vdb_ivf_query {
  float *raw;     /* q; COSINE: of length 1 */
  float *x;       /* q' */
  int8_t *code;   /* q' in 8 bits */
  float scale;    /* of the code */
  float error;    /* |q' - its code|; FLAT */
  float norm;     /* |q'| */
  void *memory;   /* of the table, coder->table_bytes */
  struct vdb_scan_table table;
};
/* Fills all but raw and x, which are there. */
VDB_INTERNAL void vdb_ivf_query_set(const struct vdb_ivf_coder *coder, struct vdb_ivf_query *query);

/* A bound that at least `want` of n keys, none of them NaN, do not exceed, and few more unless they
   are about equal; infinity when there are no more than wanted (ivf_cut.c). */
VDB_INTERNAL float vdb_ivf_cut(const float *keys, size_t n, size_t want);

/* ---- Opened indexes -------------------------------------------------------------------------- */

/* Memory of one search. */
struct vdb_ivf_scratch {
  void *block;            /* what is not of the pool's size lies in it */
  struct vdb_visited seen;
  struct vdb_ivf_query query;
  float *list_keys;       /* of the query and each centroid, if they have been needed */
  bool all_lists;         /* they have */
  void *signs_table;      /* memory of the query's, unless that of the coder serves */
  float *graph_query;     /* the query among the centroids of the graph */
  struct vdb_near *lists; /* the nearest, in order; room for all */
  uint32_t n_lists;
  uint32_t *rows;         /* the pool: rows, and what is known of their keys */
  float *keys;
  size_t n_pool;
  size_t capacity;        /* of the pool */
  struct vdb_near *near;  /* room for as many */
  void *code_query;       /* the query among the codes of all rows */
};

struct vdb_ivf {
  struct vdb_index base;
  struct vdb_mem *mem;
  struct vdb_transform *transform;
  struct vdb_ivf_coder coder;
  struct vdb_ivf_centroids centroids;
  const float *reach; /* VDB_IVF_REACHES; NULL: searches look through a fixed number of lists */
  struct vdb_ivf_signs signs;
  struct vdb_index *graph;  /* of the centroids; NULL: none */
  const float *graph_shift; /* what is added to q' there */
  struct vdb_ivf_lists lists;
  struct vdb_ivf_bounds bounds;
  struct vdb_codes codes; /* of all rows, to score the best again; ops NULL: none */
  struct vdb_vecs f16;    /* rows in 16 bits, to score these again; data NULL: by the rows */
  uint32_t n_entries;     /* rows in all lists */
  bool exact;             /* the best are scored by the rows */
  struct vdb_stock stock; /* of struct vdb_ivf_scratch */
};

/* Finds and checks the sections, which stay borrowed. On an error there is nothing to undo but
   vdb_ivf_release. */
VDB_INTERNAL int vdb_ivf_read(struct vdb_ivf *ivf, const struct vdb_sect_reader *in,
                              uint32_t number, vecdb_error *err);
VDB_INTERNAL int vdb_ivf_search(const struct vdb_index *index, struct vdb_search *s,
                                vecdb_error *err);

/* Puts the lists nearest to scratch->query into scratch->lists, in order: at least the nearest `n`
   whose keys are at most `reach` above the least one. */
VDB_INTERNAL void vdb_ivf_probe(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *scratch,
                                uint32_t n, float reach);
/* How far a search may look that was asked to look through *n lists, as said above; *n becomes the
   most that it shall (ivf_reach.c). */
VDB_INTERNAL float vdb_ivf_reach(const struct vdb_ivf *ivf, uint32_t *n);
/* Makes these at least `n`; those that are there stay in their places. */
VDB_INTERNAL void vdb_ivf_probe_more(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *scratch,
                                     uint32_t n);

/* Bytes of the blocks of signs. */
VDB_INLINE size_t vdb_ivf_signs_bytes(const struct vdb_quant *quant, uint32_t n_lists) {
  return ((size_t)n_lists + VDB_IVF_BLOCK - 1) / VDB_IVF_BLOCK * quant->block_bytes;
}
/* Puts the numbers of at least `want` lists that are nearest to scratch->query by their signs into
   scratch->lists, in no order; how many there are, which is less than that of a damaged file. */
VDB_INTERNAL uint32_t vdb_ivf_signs_scan(const struct vdb_ivf *ivf,
                                         struct vdb_ivf_scratch *scratch, uint32_t want);

/* Opens the graph of the centroids: n x dim floats and the shift behind them, borrowed. */
VDB_INTERNAL int vdb_ivf_graph_open(struct vdb_ivf *ivf, const struct vdb_sect_reader *in,
                                    uint32_t number, const float *centres, bool l2,
                                    vecdb_error *err);
/* Puts about `n` of the lists nearest to scratch->query into scratch->lists, keys undefined; how
   many: 0 when out of memory. */
VDB_INTERNAL uint32_t vdb_ivf_graph_probe(const struct vdb_ivf *ivf,
                                          struct vdb_ivf_scratch *scratch, uint32_t n);

/* Scratch memory from the stock, or new; NULL when out of memory. */
VDB_INTERNAL struct vdb_ivf_scratch *vdb_ivf_take(const struct vdb_ivf *ivf);
VDB_INTERNAL void vdb_ivf_give(const struct vdb_ivf *ivf, struct vdb_ivf_scratch *scratch);

#endif
