/*
 * opq.h - learns the rotation that suits a product quantizer: Ge, He, Ke and Sun, Optimized product
 * quantization for approximate nearest neighbor search (2013), the non-parametric way: train a
 * quantizer on rotated rows, then take the orthogonal R that brings rows nearest to what their
 * codes decode to (Procrustes), and again.
 */
#ifndef VDB_OPQ_H
#define VDB_OPQ_H

#include "index/pq.h"

/* `matrix` gets dim x dim floats, rows of R, for vdb_transform_new. t->rows are rows or residuals
   as the quantizer will see them but for R; t->metric does not matter. Rounds 0: 10. The same input
   gives the same matrix for any number of workers. Errors: those of vdb_pq_train. */
VDB_INTERNAL int vdb_opq_learn(const struct vdb_pq_train *t, uint32_t rounds, float *matrix,
                               vecdb_error *err);

#endif
