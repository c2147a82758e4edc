/*
 * plan.h - what should move, from the documents alone: for balance, for a node that is drained, for
 * one shard that an operator names. Moves that are open already count as done.
 */
#ifndef CLUSTER_CTL_PLAN_H
#define CLUSTER_CTL_PLAN_H

#include "meta/cache.h"
#include "place/spread.h"

enum { CTL_WHY = 256 };

enum ctl_status {
  CTL_OK,
  CTL_NOTHING,     /* nothing is to be done */
  CTL_NO_SUCH,     /* no such collection, shard or node */
  CTL_EXISTS,      /* the name is taken */
  CTL_NOT_ALLOWED, /* it would break a rule; the reason is told */
  CTL_OLDER,       /* a node is of a version that does not know it, or may be; likewise */
  CTL_STORE,       /* the metadata store did not do it */
  CTL_USAGE,
  CTL_NO_MEMORY
};

struct ctl_plan {
  struct doc_move *moves; /* owned; their steps are DOC_MOVE_PLANNED */
  size_t n;
  size_t replicas; /* in all collections that were looked at */
  double worst;    /* how far the fullest node is over its share, as a part of it, at present */
  char why[CTL_WHY];
};
void ctl_plan_free(struct ctl_plan *plan);

/* Balance of one collection, or of all (0), as if `leaving` (0: none) were drained. Without a node
   that leaves nothing is planned while nobody is more than 10 % and one replica over its share. */
enum ctl_status ctl_plan_balance(const struct cache_view *view, uint32_t collection,
                                 uint32_t leaving, struct ctl_plan *out);
/* One replica of a shard to a node; from `source`, or (0) from the one that zones ask for, or else
   from the fullest node. */
enum ctl_status ctl_plan_move(const struct cache_view *view, uint32_t collection, uint32_t shard,
                              uint32_t source, uint32_t target, struct ctl_plan *out);

/* The nodes as spread.h takes them: their zones as numbers, whether they have the label that is
   needed. SPREAD_NODES_MAX of them; gives how many. */
size_t ctl_spread_nodes(const struct cache_view *view, const char *need, uint32_t leaving,
                        struct spread_node *out);

/* By name, or as a number; 0: none such. */
uint32_t ctl_collection(const struct cache_view *view, const char *name);

#endif
