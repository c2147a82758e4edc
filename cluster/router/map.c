/* map.c - one collection as its documents say; see map.h. */
#include "router/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool map_fail(char *why, const char *text) {
  snprintf(why, DOC_TEXT_MAX, "%s", text);
  return false;
}

static bool map_add_shard(struct router_map *map, const struct wire_document *d, char *why) {
  struct doc_shard doc;
  if (doc_shard_read((struct meta_bytes){d->text, d->n}, &doc, why) != DOC_OK)
    return false;
  if (d->b >= map->n_shards)
    return map_fail(why, "a shard beyond the collection's");
  struct router_shard *s = &map->shards[d->b];
  *s = (struct router_shard){
      .known = true, .epoch = doc.epoch, .rev = (uint64_t)d->mod, .primary = doc.primary};
  if (doc.primary)
    s->nodes[s->n++] = doc.primary;
  for (uint32_t i = 0; i < doc.n_isr; i++)
    if (doc.isr[i] != doc.primary)
      s->nodes[s->n++] = doc.isr[i];
  return true;
}

static bool map_add_node(struct router_map *map, const struct wire_document *d, char *why) {
  struct doc_node doc;
  if (doc_node_read((struct meta_bytes){d->text, d->n}, &doc, why) != DOC_OK)
    return false;
  struct router_node *node = &map->nodes[map->n_nodes++];
  node->id = doc.id;
  memcpy(node->address, doc.address, sizeof node->address);
  return true;
}

static bool map_add(struct router_map *map, const struct wire_document *d, char *why) {
  const struct meta_bytes text = {d->text, d->n};
  switch (d->kind) {
    case DOC_PATH_SLOTS:
      doc_slots_free(&map->slots);
      return doc_slots_read(text, &map->slots, why) == DOC_OK;
    case DOC_PATH_SPLITS:
      doc_splits_free(&map->splits);
      return doc_splits_read(text, &map->splits, why) == DOC_OK;
    case DOC_PATH_SHARD:
      return map_add_shard(map, d, why);
    case DOC_PATH_NODE:
      return map_add_node(map, d, why);
    default:
      return true;
  }
}

/* The collection's own document, and room for what the others bring. */
static bool map_begin(struct router_map *map, const struct wire_document *documents, size_t n,
                      char *why) {
  const struct wire_document *coll = NULL;
  size_t nodes = 0;
  map->n_shards = 1;
  for (size_t i = 0; i < n; i++) {
    const struct wire_document *d = &documents[i];
    coll = d->kind == DOC_PATH_COLL ? d : coll;
    nodes += d->kind == DOC_PATH_NODE;
    if (d->kind == DOC_PATH_SHARD && d->b >= map->n_shards && d->b < DOC_SHARDS_MAX)
      map->n_shards = d->b + 1;
  }
  if (!coll)
    return map_fail(why, "no such collection");
  if (doc_coll_read((struct meta_bytes){coll->text, coll->n}, &map->coll, why) != DOC_OK)
    return false;
  map->shards = calloc(map->n_shards, sizeof *map->shards);
  map->nodes = calloc(nodes + 1, sizeof *map->nodes);
  return (map->shards && map->nodes) || map_fail(why, "out of memory");
}

static bool map_schema(struct router_map *map, char *why) {
  const char *text = map->coll.schema ? map->coll.schema : "{}";
  if (wire_schema_read(text, strlen(text), &map->mem, &map->schema, why) != VECDB_OK)
    return false;
  if (map->coll.expiry && !wire_expiry_read(map->coll.expiry, &map->mem, &map->expiry))
    return map_fail(why, "the collection's document does not say when its rows go");
  map->key = wire_schema_key(&map->schema);
  if (!map->key || (map->key->type != VECDB_INT64 && map->key->type != VECDB_VARCHAR))
    return map_fail(why, "the schema has no primary key that is INT64 or VARCHAR");
  map->by = map->coll.policy == DOC_HASH ? NULL : wire_schema_field(&map->schema, map->coll.field);
  if (map->coll.policy == DOC_TENANT && !wire_schema_tenants(map->by))
    return map_fail(why, "the schema has no BOOL, integer or VARCHAR of the tenants' field's name");
  return map->coll.policy == DOC_HASH || map->by ||
         map_fail(why, "the schema lacks the field that the placement looks at");
}

/* Ranges are of the field's kind; of an integer they may be written as numbers with a point. */
static bool map_ranges_fit(const struct router_map *map) {
  const int32_t type = map->by->type;
  const enum doc_key_kind kind = map->splits.ranges[0].from.kind;
  if (type == VECDB_VARCHAR)
    return kind == DOC_KEY_TEXT;
  if (type >= VECDB_INT8 && type <= VECDB_INT64)
    return kind != DOC_KEY_TEXT;
  return kind == DOC_KEY_FLOAT && type != VECDB_BOOL && type != VECDB_ARRAY &&
         type != VECDB_BINARY_VECTOR && type != VECDB_SPARSE_VECTOR;
}

static bool map_whole(struct router_map *map, char *why) {
  if (!map->slots.n || map->slots.n != map->coll.slots)
    return map_fail(why, "the collection's slots are missing");
  if (map->coll.policy == DOC_RANGE && !map->splits.n)
    return map_fail(why, "the collection's ranges are missing");
  if (map->coll.policy == DOC_RANGE && !map_ranges_fit(map))
    return map_fail(why, "the collection's ranges are not of its field's type");
  for (uint32_t i = 0; i < map->splits.n; i++)
    if (map->splits.ranges[i].first_slot + map->splits.ranges[i].n_slots > map->slots.n)
      return map_fail(why, "a range beyond the collection's slots");
  for (uint32_t i = 0; i < map->slots.n; i++)
    if (!router_map_shard(map, map->slots.shard[i]))
      return map_fail(why, "a slot of a shard that is not there");
  map->route = (struct place_route){map->coll.policy, map->coll.slots, map->coll.window,
                                    map->coll.policy == DOC_RANGE ? &map->splits : NULL};
  return true;
}

struct router_map *router_map_make(const struct wire_document *documents, size_t n, char *why) {
  struct router_map *map = calloc(1, sizeof *map);
  if (!map) {
    map_fail(why, "out of memory");
    return NULL;
  }
  map->references = 1;
  bool good = map_begin(map, documents, n, why) && map_schema(map, why);
  for (size_t i = 0; i < n && good; i++) {
    good = map_add(map, &documents[i], why);
    map->revision = documents[i].mod > map->revision ? documents[i].mod : map->revision;
  }
  if (good && map_whole(map, why))
    return map;
  router_map_drop(map);
  return NULL;
}

struct router_map *router_map_share(struct router_map *map) {
  map->references++;
  return map;
}

void router_map_drop(struct router_map *map) {
  if (!map || --map->references)
    return;
  doc_coll_free(&map->coll);
  doc_slots_free(&map->slots);
  doc_splits_free(&map->splits);
  wire_mem_free(&map->mem);
  free(map->shards);
  free(map->nodes);
  free(map);
}

const struct router_shard *router_map_shard(const struct router_map *map, uint32_t number) {
  return number < map->n_shards && map->shards[number].known ? &map->shards[number] : NULL;
}

const vecdb_field *router_map_vector(const struct router_map *map, const char *name) {
  if (name && *name)
    return wire_schema_field(&map->schema, name);
  for (uint32_t i = 0; i < map->schema.n_fields; i++)
    if (map->schema.fields[i].type >= VECDB_FLOAT_VECTOR)
      return &map->schema.fields[i];
  return NULL;
}

const char *router_map_address(const struct router_map *map, uint32_t node) {
  for (uint32_t i = 0; i < map->n_nodes; i++)
    if (map->nodes[i].id == node)
      return map->nodes[i].address;
  return NULL;
}

/* ---- What a node tells of ---- */

static const struct doc_coll *map_named(const struct cache_view *view, const char *name) {
  size_t n;
  const struct cache_entry *const *entries = cache_all(view, DOC_PATH_COLL, 0, &n);
  for (size_t i = 0; i < n; i++) {
    const struct doc_coll *coll = entries[i]->status == DOC_OK ? entries[i]->doc : NULL;
    if (coll && coll->state == DOC_COLL_ACTIVE && !strcmp(coll->name, name))
      return coll;
  }
  return NULL;
}

/* The new shard of a split that is under way, whose rows are not its own yet; UINT32_MAX: none. */
static uint32_t map_heir(const struct cache_view *view, uint32_t collection) {
  size_t n;
  const struct cache_entry *const *splits = cache_all(view, DOC_PATH_SPLIT, collection, &n);
  for (size_t i = 0; i < n; i++)
    if (doc_split_open(splits[i]->doc))
      return ((const struct doc_split *)splits[i]->doc)->child;
  return UINT32_MAX;
}

bool router_map_documents(const struct cache_view *view, const char *name, struct wire_mem *mem,
                          const struct wire_document **out, uint32_t *n) {
  static const enum doc_kind kinds[] = {DOC_PATH_NODE, DOC_PATH_COLL, DOC_PATH_SLOTS,
                                        DOC_PATH_SPLITS, DOC_PATH_SHARD};
  enum { MAP_KINDS = sizeof kinds / sizeof *kinds };
  const struct cache_entry *const *found[MAP_KINDS];
  size_t counts[MAP_KINDS], total = 0;
  const struct doc_coll *coll = map_named(view, name);
  if (!coll)
    return false;
  for (size_t k = 0; k < MAP_KINDS; k++) {
    found[k] = cache_all(view, kinds[k], kinds[k] == DOC_PATH_NODE ? 0 : coll->id, &counts[k]);
    total += counts[k];
  }
  struct wire_document *documents = wire_mem_get(mem, total, sizeof *documents);
  if (!documents || total > WIRE_DOCUMENTS)
    return false;
  const uint32_t heir = map_heir(view, coll->id);
  *n = 0;
  *out = documents;
  for (size_t k = 0; k < MAP_KINDS; k++)
    for (size_t i = 0; i < counts[k]; i++) {
      const struct cache_entry *e = found[k][i];
      if (e->status == DOC_OK && (e->kind != DOC_PATH_SHARD || e->b != heir))
        documents[(*n)++] =
            (struct wire_document){e->kind, e->a, e->b, e->mod, e->text.data, e->text.n};
    }
  return true;
}
