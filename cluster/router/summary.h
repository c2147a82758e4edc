/*
 * summary.h - where a shard's vectors are, for nodes to publish: centroids of k-means, balls around
 * them that hold every vector, and the range of norms.
 */
#ifndef CLUSTER_ROUTER_SUMMARY_H
#define CLUSTER_ROUTER_SUMMARY_H

#include "wire/message.h"

enum { SUMMARY_ROUNDS = 8, SUMMARY_SAMPLE = 256 /* vectors a centroid that it is learnt from */ };

/* Of n vectors, at most k centroids; `field` and version are the caller's. What it points to lies
   in `mem`. False: no memory, or nothing to sum up. */
bool router_summarise(const float *vectors, size_t n, uint32_t dim, uint32_t k,
                      struct wire_mem *mem, struct wire_summary *out);
/* The nearest centroid, by Euclidean distance, whose square goes to *square. */
uint32_t router_nearest(const struct wire_summary *summary, const float *vector, float *square);

#endif
