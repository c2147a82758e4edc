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

/* Look-ups in float, for single rows: tables[j * 2^nbits + code] is what sub-code j adds to a key.
   `tables` has room for m * 2^nbits. */
VDB_INTERNAL void vdb_pq_float_table(const struct vdb_quant *q, const float *query, float *tables);

#endif
