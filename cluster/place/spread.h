/*
 * spread.h - which nodes hold which shards' replicas: never two in one zone when zones suffice, by
 * weight, with as few moves as that takes; and the list of moves from one placement to the next.
 */
#ifndef CLUSTER_PLACE_SPREAD_H
#define CLUSTER_PLACE_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPREAD_NODES_MAX = 1024, SPREAD_REPLICAS_MAX = 8 };

struct spread_node {
  uint32_t id;     /* from 1 */
  uint32_t zone;   /* 0: a zone of its own */
  uint32_t weight; /* 0: it takes nothing, but keeps what balance does not need elsewhere */
  bool leaves;     /* drained or removed: it must end with nothing */
  bool fits;       /* it has the labels that the collection needs; without it must not hold any */
};

struct spread_shard {
  uint32_t node[SPREAD_REPLICAS_MAX]; /* ids; the first is to be the primary */
  uint32_t n;
};

struct spread {
  const struct spread_node *nodes;
  size_t n_nodes;
  struct spread_shard *shards; /* changed */
  size_t n_shards;
  uint32_t replicas; /* wanted of each */
};

enum spread_status {
  SPREAD_OK,
  SPREAD_TOO_FEW, /* fewer nodes than replicas: as many as there are were placed */
  SPREAD_NO_NODE, /* nobody to hold anything: nothing was changed */
  SPREAD_NO_MEMORY
};

/* Takes replicas from nodes that must not hold them, adds what is missing, then (`balance`) moves
   what is needed for every node to be within one of its share, as far as zones allow. */
enum spread_status spread_place(struct spread *spread, bool balance);

/* What each node should hold: by weight, at most one replica of a shard, at most one of a shard in
   its zone when zones suffice. share[i] of nodes[i]. False: no memory. */
bool spread_shares(const struct spread *spread, double *share);
/* Whether there are at least as many zones of nodes that can hold something as replicas. */
bool spread_zones_suffice(const struct spread *spread);

/* One replica goes from `source` to `target`; source 0: it is a new one; target 0: it only goes. */
struct spread_move {
  uint32_t shard; /* place in the list of shards */
  uint32_t source;
  uint32_t target;
};
/* The moves from one list of n shards to another: the fewest there can be. Writes at most
   n * SPREAD_REPLICAS_MAX; gives how many. */
size_t spread_moves(const struct spread_shard *from, const struct spread_shard *to, size_t n,
                    struct spread_move *moves);

/* Puts the primary first in each shard, so that nodes lead in proportion to their weights; a shard
   whose present primary (primary[i], 0: none) may stay keeps it unless its node leads too many.
   False: no memory. */
bool spread_lead(struct spread *spread, const uint32_t *primary);

#endif
