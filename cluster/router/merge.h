/*
 * merge.h - the best of several sorted lists of hits: exact, nearest first, equal scores by key.
 */
#ifndef CLUSTER_ROUTER_MERGE_H
#define CLUSTER_ROUTER_MERGE_H

#include "wire/message.h"

/* A row of one of the lists. */
struct router_ref {
  uint32_t list;
  uint32_t row;
};

/* -1, 0, 1 by the keys (column 0) of two rows: numbers by size, texts by their bytes. */
int router_key_order(const struct wire_columns *a, uint32_t i, const struct wire_columns *b,
                     uint32_t j);
/* Whether a score is nearer under a metric of vecdb.h. */
bool router_nearer(int32_t metric, float a, float b);

/* Lists of hits, each the answer of a shard to the same queries. */
struct router_lists {
  const struct wire_message *const *answers; /* with hits and rows */
  uint32_t n;
  int32_t metric;
  uint32_t n_queries;
  uint32_t k;
};
/* refs has room for n_queries * k and scores, too; those of query q begin at q * k, and counts[q]
   says how many there are. Rows of equal score and key are one. False: no memory. */
bool router_merge_hits(const struct router_lists *lists, struct wire_mem *mem,
                       struct router_ref *refs, float *scores, uint32_t *counts);
/* The same of lists that are in no order, whole: k is as much as all of a query's have. */
bool router_sort_hits(const struct router_lists *lists, struct wire_mem *mem,
                      struct router_ref *refs, float *scores, uint32_t *counts);
/* Rows of several lists in the order of their keys, without the first `offset`, up to `limit`. */
bool router_merge_rows(const struct wire_columns *const *lists, uint32_t n, uint64_t offset,
                       uint32_t limit, struct wire_mem *mem, struct router_ref *refs,
                       uint32_t *count);

#endif
