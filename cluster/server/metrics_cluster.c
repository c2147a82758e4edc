/* metrics_cluster.c - the part of GET /metrics about the replicas of a cluster; see
   metrics_cluster.h. */
#include "server/metrics_cluster.h"

#include <stdio.h>
#include <string.h>

enum { CLUSTER_NUMBER = 16 }; /* bytes of a number's text */

struct cluster_walk {
  struct srv_replicas *all;
  const char *collection;
};

static void cluster_add(void *user, const struct engine_replica *replica) {
  const struct cluster_walk *walk = user;
  if (walk->all->n < SRV_REPLICAS)
    walk->all->list[walk->all->n++] = (struct srv_replica){walk->collection, *replica};
}

void srv_replicas_learn(struct srv_arena *arena, struct engine_collection *collection,
                        const char *name, struct srv_replicas *all) {
  struct cluster_walk walk = {all, srv_arena_text(arena, name, strlen(name))};
  if (!all->list)
    all->list = srv_arena_array(arena, SRV_REPLICAS, sizeof *all->list);
  if (walk.collection && all->list)
    engine_replicas(collection, cluster_add, &walk, NULL);
}

static void cluster_sample(struct srv_page *page, const struct srv_replica *r, uint64_t value) {
  char shard[CLUSTER_NUMBER], node[CLUSTER_NUMBER];
  snprintf(shard, sizeof shard, "%u", r->replica.shard);
  snprintf(node, sizeof node, "%u", r->replica.node);
  srv_page_number(page,
                  (srv_page_labels){"collection", r->collection, "shard", shard, "node", node},
                  value);
}

/* Shard by shard, as they were learnt. */
static void cluster_missing(struct srv_page *page, const struct srv_replicas *all) {
  for (size_t i = 0, n; i < all->n; i += n) {
    const struct srv_replica *r = &all->list[i];
    char shard[CLUSTER_NUMBER];
    snprintf(shard, sizeof shard, "%u", r->replica.shard);
    for (n = 1; i + n < all->n && r[n].replica.shard == r->replica.shard; n++)
      if (r[n].collection != r->collection)
        break;
    srv_page_number(page, (srv_page_labels){"collection", r->collection, "shard", shard},
                    r->replica.wanted > n ? r->replica.wanted - n : 0);
  }
}

void srv_replicas_page(struct srv_page *page, const struct srv_replicas *all) {
  if (!all->n)
    return;
  srv_page_family(page, "vecdb_replicas_missing", "gauge", "",
                  "Replicas that a shard should have, and that are not in sync.");
  cluster_missing(page, all);
  srv_page_family(page, "vecdb_replica_up", "gauge", "",
                  "Replicas of shards, of those in sync: 1: its node has answered.");
  for (size_t i = 0; i < all->n; i++)
    cluster_sample(page, &all->list[i], all->list[i].replica.reached);
  srv_page_family(page, "vecdb_replica_primary", "gauge", "",
                  "1: the replica leads its shard.");
  for (size_t i = 0; i < all->n; i++)
    cluster_sample(page, &all->list[i], all->list[i].replica.primary);
  srv_page_family(page, "vecdb_replication_lag_entries", "gauge", "entries",
                  "Writes of a shard that are acknowledged and not in the replica's rows yet.");
  for (size_t i = 0; i < all->n; i++)
    if (all->list[i].replica.known)
      cluster_sample(page, &all->list[i], all->list[i].replica.behind);
}
