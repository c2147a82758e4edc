/*
 * smart.h - which shards a query needs: nodes publish centroids of their shards, and the router
 * learns from searches of all shards how far from the nearest shard the neighbours lie. A recall is
 * then met by asking the shards within the gap that had so large a share of them.
 */
#ifndef CLUSTER_ROUTER_SMART_H
#define CLUSTER_ROUTER_SMART_H

#include "wire/message.h"

enum {
  SMART_STEPS = 256,
  SMART_FEWEST = 200, /* queries of all shards before any shard is left out */
  SMART_FADE = 20000, /* queries after which older ones count half */
  SMART_CHECK = 64    /* of so many searches one asks all shards, so that learning goes on */
};

struct smart_shard {
  uint64_t version;
  uint32_t n;
  float *centroids;
};

struct smart {
  uint32_t dim; /* 0: no summary yet */
  char field[VECDB_MAX_NAME + 1];
  uint32_t n_shards;
  struct smart_shard *shards;
  /* By gaps: weights of neighbours found in shards of that gap. */
  double found[SMART_STEPS];
  double queries;
  uint64_t searches;
};

void smart_free(struct smart *s);
/* A shard's centroids, copied; false: no memory, or another field than the first one's. */
bool smart_set(struct smart *s, uint32_t shard, const struct wire_summary *summary);
/* Each shard's gap for a query: 0 for the nearest. False: some shard has no summary, or the metric
   has no centroids. gaps has room for n_shards. */
bool smart_gaps(const struct smart *s, int32_t metric, const float *query, uint32_t n_shards,
                float *gaps);
/* A query of all shards: how many of its neighbours each shard had. */
void smart_learn(struct smart *s, const float *gaps, const uint32_t *had, uint32_t n_shards);
/* The gap within which a share of `recall` of the neighbours lies; infinity while too little is
   known. */
float smart_gap(const struct smart *s, float recall);

#endif
