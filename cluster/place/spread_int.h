/* spread_int.h - what the files of spread share: nodes by number, who holds what, what is allowed.
 */
#ifndef CLUSTER_PLACE_SPREAD_INT_H
#define CLUSTER_PLACE_SPREAD_INT_H

#include "place/spread.h"

/* The placement with nodes by their place in the list instead of by id. */
struct spread_state {
  const struct spread *spread;
  struct spread_shard *shards; /* of places; owned */
  uint32_t *zone;              /* of each node, from 0; owned */
  uint32_t *held;              /* replicas on each node; owned */
  double *share;               /* owned */
  uint32_t n_zones;
  bool apart; /* zones suffice: no two replicas of a shard in one */
};

bool spread_takes(const struct spread_node *node);
bool spread_holds(const struct spread_shard *shard, uint32_t node);
/* Whether the shard could have `node` besides its others, `instead` of one (PLACE_NONE: of none).
 */
bool spread_allowed(const struct spread_state *s, const struct spread_shard *shard, uint32_t node,
                    uint32_t instead);

/* Moves replicas from nodes above their share to nodes below it; of spread_balance.c. */
bool spread_balance(struct spread_state *s);

#endif
