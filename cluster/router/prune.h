/*
 * prune.h - which shards can have rows that pass a filter, where a field says which shard a row
 * belongs to: the filter's text is looked at for conditions on that field.
 */
#ifndef CLUSTER_ROUTER_PRUNE_H
#define CLUSTER_ROUTER_PRUNE_H

#include "router/map.h"

/*
 * Takes out of `needed`, a flag for each shard, those where no row can pass. Conditions count that
 * must hold for the whole to hold: FIELD op VALUE, joined by `and` to whatever else. Everything
 * else, and what is no filter at all, takes out nothing.
 */
void prune_shards(const struct router_map *map, const vecdb_filter *filter, bool *needed);

#endif
