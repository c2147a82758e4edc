/*
 * metrics_cluster.h - what /metrics tells of the replicas of collections in a cluster: nothing
 * where there are none.
 */
#ifndef SRV_METRICS_CLUSTER_H
#define SRV_METRICS_CLUSTER_H

#include "engine/engine.h"
#include "server/page.h"

enum { SRV_REPLICAS = 4096 }; /* that the page tells of */

struct srv_replica {
  const char *collection;
  struct engine_replica replica;
};

struct srv_replicas {
  struct srv_replica *list;
  size_t n;
};

/* Adds those of the collection, as far as its nodes tell and there is memory. */
void srv_replicas_learn(struct srv_arena *arena, struct engine_collection *collection,
                        const char *name, struct srv_replicas *all);
void srv_replicas_page(struct srv_page *page, const struct srv_replicas *all);

#endif
