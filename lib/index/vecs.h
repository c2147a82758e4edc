/*
 * vecs.h - the rows an index works over, read-only, and distances to them as keys. A key is a float
 * of which smaller is nearer: the score itself for L2, HAMMING and JACCARD, its negative for IP and
 * COSINE. COSINE rows are stored as given, with their inverse norms beside them (0 for zero
 * vectors).
 */
#ifndef VDB_VECS_H
#define VDB_VECS_H

#include "base/err.h"
#include "base/mem.h"
#include "base/topk.h"
#include "kern/kern.h"

struct vdb_vecs {
  const uint8_t *data;    /* row i at data + i * stride */
  size_t stride;          /* bytes */
  const float *inv_norms; /* COSINE: one per row; else NULL */
  const struct vdb_kern *kern;
  uint32_t n;
  uint32_t dim;
  enum vdb_elem elem;
  int32_t metric; /* a vecdb_metric */
};

/* A query in the form the kernels take; `data` is 64-byte aligned. */
struct vdb_query_vec {
  void *data;
  float inv_norm; /* COSINE; else 1 */
};

VDB_INTERNAL enum vdb_elem vdb_elem_of(int32_t vector_type);
VDB_INTERNAL enum vdb_op vdb_op_of(int32_t metric);
VDB_INTERNAL const struct vdb_kern *vdb_kern_for(enum vdb_elem elem, int32_t metric);
/* Bytes that a prepared query needs. */
VDB_INTERNAL size_t vdb_query_vec_bytes(enum vdb_elem elem, size_t dim);
/* Converts `raw`, dim elements of type elem, into q->data (room for vdb_query_vec_bytes) and sets
   the inverse norm. The input must have been validated. */
VDB_INTERNAL void vdb_query_vec_set(struct vdb_query_vec *q, const void *raw, enum vdb_elem elem,
                                    size_t dim, int32_t metric);
/* The norm of a row in double; not finite when an element is not. Binary rows: set bits. */
VDB_INTERNAL double vdb_vec_norm(const void *raw, enum vdb_elem elem, size_t dim);
/* What is stored in inv_norms for a row of that norm. */
VDB_INTERNAL float vdb_inv_norm(double norm);

/* Keys of rows first .. first + n - 1, or of rows ids[0 .. n - 1]. */
VDB_INTERNAL void vdb_keys_range(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                                 uint32_t first, size_t n, float *keys);
VDB_INTERNAL void vdb_keys_gather(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                                  const uint32_t *ids, size_t n, float *keys);
VDB_INTERNAL float vdb_key_one(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                               uint32_t row);

/* A row that is not binary as floats; COSINE: of length 1. */
VDB_INTERNAL void vdb_vecs_floats(const struct vdb_vecs *v, uint32_t row, float *out);
/* A prepared query of such rows, likewise. */
VDB_INTERNAL void vdb_query_floats(const struct vdb_query_vec *q, enum vdb_elem elem, size_t dim,
                                   float *out);

/* Key to score and back (the same function). */
VDB_INLINE float vdb_score_of_key(float key, int32_t metric) {
  return metric == VECDB_IP || metric == VECDB_COSINE ? -key : key;
}

#endif
