/*
 * map.h - one collection as its documents say: schema, policy, slots, shards and where these are.
 * Made from the texts of the documents, whether a cache has them or a node has sent them, and never
 * changed.
 */
#ifndef CLUSTER_ROUTER_MAP_H
#define CLUSTER_ROUTER_MAP_H

#include "meta/cache.h"
#include "place/route.h"
#include "wire/expiry.h"
#include "wire/message.h"
#include "wire/schema.h"

struct router_shard {
  bool known;
  uint64_t epoch; /* with rev the fence: the larger one is the newer */
  uint64_t rev;
  uint32_t primary; /* 0: nobody leads */
  uint32_t n;
  uint32_t nodes[DOC_REPLICAS_MAX]; /* in sync, the primary first */
};

struct router_node {
  uint32_t id;
  char address[DOC_TEXT_MAX];
};

struct router_map {
  uint32_t references;
  int64_t revision; /* the newest of the documents' */
  struct doc_coll coll;
  struct doc_slots slots;
  struct doc_splits splits; /* DOC_RANGE */
  struct place_route route;
  struct wire_mem mem; /* the schema's */
  vecdb_schema schema;
  struct wire_expiry expiry;
  const vecdb_field *key;
  const vecdb_field *by; /* field that the policy looks at; NULL: none */
  uint32_t n_shards;     /* numbers below it may be known */
  struct router_shard *shards;
  uint32_t n_nodes;
  struct router_node *nodes;
};

/* The map of the one collection among the documents, with one reference; NULL with the reason in
   `why` (DOC_TEXT_MAX bytes). Documents of kinds that no map needs are ignored. */
struct router_map *router_map_make(const struct wire_document *documents, size_t n, char *why);
struct router_map *router_map_share(struct router_map *map);
void router_map_drop(struct router_map *map);

/* The documents that a map of this collection needs, as a cache has them: what a node answers to
   WIRE_MAP. They lie in `mem` and borrow from the view. False: no memory, or no such collection. */
bool router_map_documents(const struct cache_view *view, const char *name, struct wire_mem *mem,
                          const struct wire_document **out, uint32_t *n);
/* The shard; NULL: there is none of that number. */
const struct router_shard *router_map_shard(const struct router_map *map, uint32_t number);
/* The vector field of that name, or the first one for "" and NULL; NULL: none. */
const vecdb_field *router_map_vector(const struct router_map *map, const char *name);
/* The node's address; NULL: unknown. */
const char *router_map_address(const struct router_map *map, uint32_t node);

#endif
