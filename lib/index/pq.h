/*
 * pq.h - product quantizer: Jégou, Douze and Schmid, Product quantization for nearest neighbor
 * search (2011). A vector is cut into m parts of dim / m dimensions, and each is replaced by the
 * nearest of 2^nbits centroids learnt for that part. Up to 4 bits a sub-code is a nibble of a
 * fast-scan block, above a byte.
 *
 * For L2 |q - c - p|^2 = |q - c|^2 + (|p|^2 + 2 <c, p>) - 2 <q, p>, where p is the decoded
 * residual: the bracket is `add` and the last term a sum of look-ups, so a table needs no centre.
 * For IP add is 0.
 */
#ifndef VDB_PQ_H
#define VDB_PQ_H

#include "index/quant.h"

struct vdb_pq_params {
  uint32_t m;     /* 1 to dim; must divide dim */
  uint32_t nbits; /* 1 to 8 */
};

/* Rows to learn from, f32, one behind the other. The same rows, params and seed give the same
   quantizer for any number of workers. */
struct vdb_pq_train {
  struct vdb_mem *mem;
  const struct vdb_par *par;
  const float *rows; /* residuals */
  uint32_t n;
  uint32_t dim;
  int32_t metric;    /* VECDB_L2 or VECDB_IP */
  struct vdb_pq_params params;
  uint32_t iterations; /* of k-means; 0: 12 */
  const struct vdb_quant *start; /* of the same params, to begin with; NULL: random rows */
  uint64_t seed;
  bool (*stop)(void *arg); /* asked now and then; true cancels. NULL: never */
  void *stop_arg;
};

/* INDEX_PARAM when m does not divide dim or numbers are out of range, or there are fewer rows than
   2^nbits. `field` is for the message (NULL: none). */
VDB_INTERNAL int vdb_pq_check(const struct vdb_pq_params *params, uint32_t n, uint32_t dim,
                              const char *field, vecdb_error *err);
/* Trains; *out is closed with its ops->close. Errors: those of vdb_pq_check, NO_MEMORY,
   CANCELLED. */
VDB_INTERNAL int vdb_pq_train(const struct vdb_pq_train *t, struct vdb_quant **out,
                              vecdb_error *err);
/* Opens what ops->write wrote; the section stays borrowed. CORRUPT when it is not of this dim and
   metric or its sizes do not fit; NO_MEMORY. */
VDB_INTERNAL int vdb_pq_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                             uint32_t dim, int32_t metric, struct vdb_quant **out,
                             vecdb_error *err);

/* Codes a vector, and what codes stand for; without factors. */
VDB_INTERNAL void vdb_pq_codes(const struct vdb_quant *q, const float *x, uint8_t *codes);
VDB_INTERNAL void vdb_pq_decode(const struct vdb_quant *q, const uint8_t *codes, float *x);

/* Look-ups in float, for single rows: tables[j * width + code] is what sub-code j adds to a key;
   width is that of struct vdb_pq. */
VDB_INTERNAL void vdb_pq_float_table(const struct vdb_quant *q, const float *query, float *tables);

/* ---- Shared by pq.c and pq_train.c ----------------------------------------------------------- */

/* Centroids of part j as vdb_linear() takes them: part_dim columns of `width`. */
struct vdb_pq {
  struct vdb_quant base;
  uint32_t part_dim;
  uint32_t width;       /* centroids of a part, rounded up to 16 */
  const float *columns; /* those of part j from j * part_dim * width on */
  float *own;           /* the same, when they are not borrowed from a section */
  float *halves;        /* of part j from j * width on; infinity for columns added */
};

/* A quantizer whose columns are `columns`, or memory of its own to fill (NULL). vdb_pq_settle must
   follow when they are filled. NO_MEMORY. */
VDB_INTERNAL int vdb_pq_new(struct vdb_mem *mem, const struct vdb_pq_params *params, uint32_t dim,
                            int32_t metric, const float *columns, struct vdb_pq **out,
                            vecdb_error *err);
/* Works out the halves of part j. */
VDB_INTERNAL void vdb_pq_settle(struct vdb_pq *pq, uint32_t j);

VDB_INLINE const struct vdb_pq *vdb_pq_of(const struct vdb_quant *q) {
  return (const struct vdb_pq *)(const void *)q;
}

#endif
