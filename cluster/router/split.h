/*
 * split.h - which shards a request concerns, and which of its rows or keys go to each: arithmetic
 * on a map.
 */
#ifndef CLUSTER_ROUTER_SPLIT_H
#define CLUSTER_ROUTER_SPLIT_H

#include "router/map.h"

/* What goes to one shard: places in the request's rows or keys, ascending. */
struct router_share {
  uint32_t shard;
  uint32_t n;
  const uint32_t *at; /* NULL: nothing in particular, the request is the same for every shard */
};

struct router_shares {
  uint32_t n;
  const struct router_share *shares; /* by ascending shard */
};

/* By a row's key and the field of the placement. Errors: MISSING_FIELD when the batch lacks either,
   NULL_VALUE, UNSUPPORTED for keys that the database numbers itself, NO_MEMORY. */
int router_split_rows(const struct router_map *map, const struct wire_columns *rows,
                      struct wire_mem *mem, struct router_shares *out, vecdb_error *error);
/* Of an update, whose rows have their keys and some fields: by key where that alone says where a
   row is; otherwise every shard has all of them and changes those that it finds. Errors: as above,
   and UNSUPPORTED for what would move a row or make one there. */
int router_split_update(const struct router_map *map, const struct wire_columns *rows,
                        bool inserts, struct wire_mem *mem, struct router_shares *out,
                        vecdb_error *error);
/* By key where the key alone says where a row is; otherwise every shard has all of them. Errors:
   TYPE, NO_MEMORY. */
int router_split_keys(const struct router_map *map, const vecdb_keys *keys, struct wire_mem *mem,
                      struct router_shares *out, vecdb_error *error);
/* Where rows with this value of the placement's field lie; the slot of the one with this key; and,
   of ranges, the value as they have it. */
struct place_window router_split_window(const struct router_map *map, const vecdb_value *by);
uint32_t router_split_slot(const struct place_route *route, const vecdb_value *key,
                           const vecdb_value *by);
struct doc_key router_split_key(const struct router_map *map, const vecdb_value *by);
/* Every shard; false: no memory. */
bool router_split_all(const struct router_map *map, struct wire_mem *mem,
                      struct router_shares *out);

#endif
