/*
 * pq_codes.h - product-quantized rows as codes to walk among (codes.h): a transform, then a product
 * quantizer of the whole row. Keys are sums of one look-up per sub-vector, in float; the squared
 * length of a centroid is in its look-up, so that rows need no factors.
 */
#ifndef VDB_PQ_CODES_H
#define VDB_PQ_CODES_H

#include "index/codes.h"

/* Of the parameters pq_m, nbits and rotation count. With fewer rows than 2^nbits `make` takes fewer
   bits. */
VDB_INTERNAL const struct vdb_codes_ops *vdb_pq_codes_ops(void);

#endif
