/* create.c - the first documents; see create.h. */
#include "ctl/create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "place/route.h"
#include "place/table.h"
#include "wire/schema.h"

enum { CREATE_BATCH = 64, CREATE_TRIES = 64 };

static enum ctl_status create_say(struct ctl *ctl, enum ctl_status status, const char *text) {
  snprintf(ctl->why, sizeof ctl->why, "%s", text);
  return status;
}

enum ctl_status ctl_init(struct ctl *ctl, const char *name) {
  struct doc_cluster doc = {.id = ctl->cluster, .protocol_min = DOC_SPEAKS_LAST};
  size_t n;
  bool held;
  snprintf(doc.name, sizeof doc.name, "%s", name);
  char *text = doc_cluster_write(&doc, &n);
  enum ctl_status status =
      ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_CLUSTER, 0, 0), text, n, 0, &held);
  free(text);
  return status;
}

enum ctl_status ctl_add_node(struct ctl *ctl, const struct doc_node *node) {
  enum ctl_status status;
  bool held = false;
  do {
    const struct cache_view *view = ctl_view(ctl);
    const struct cache_entry *old = cache_find(view, DOC_PATH_NODE, node->id, 0);
    struct doc_node doc = *node;
    if (old && old->doc)
      doc.state = ((const struct doc_node *)old->doc)->state;
    int64_t mod = old ? old->mod : 0;
    cache_give(view);
    size_t n;
    char *text = doc_node_write(&doc, &n);
    status = ctl_put(ctl, doc_path(ctl->cluster, DOC_PATH_NODE, node->id, 0), text, n, mod, &held);
    free(text);
  } while (!status && !held);
  return status;
}

/* ---- A collection ---- */

/* The collection of that name, and as of when; 0: none. */
static uint32_t create_named(struct ctl *ctl, const char *name, int64_t *mod) {
  const struct cache_view *view = ctl_view(ctl);
  size_t n;
  uint32_t id = 0;
  const struct cache_entry *const *all = cache_all(view, DOC_PATH_COLL, 0, &n);
  for (size_t i = 0; i < n && !id; i++) {
    const struct doc_coll *coll = all[i]->doc;
    id = coll && strcmp(coll->name, name) == 0 ? coll->id : 0;
    *mod = all[i]->mod;
  }
  cache_give(view);
  return id;
}

struct create {
  struct ctl *ctl;
  struct doc_coll *coll;
  struct spread_node *nodes;
  size_t n_nodes;
  struct spread_shard *shards;
  uint32_t *owner;
};

static enum ctl_status create_place(struct create *c, const struct doc_splits *splits) {
  struct doc_coll *coll = c->coll;
  struct spread spread = {c->nodes, c->n_nodes, c->shards, coll->shards, coll->replicas};
  struct place_member *members = calloc(coll->shards, sizeof *members);
  uint32_t moved, *none = calloc(coll->shards, sizeof *none);
  enum ctl_status status = members && none ? CTL_OK : CTL_NO_MEMORY;
  enum spread_status placed = status ? SPREAD_NO_MEMORY : spread_place(&spread, true);
  if (placed == SPREAD_TOO_FEW || placed == SPREAD_NO_NODE)
    status = create_say(c->ctl, CTL_NOT_ALLOWED, "too few nodes for the replicas");
  else if (placed || !spread_lead(&spread, none))
    status = CTL_NO_MEMORY;
  for (uint32_t i = 0; !status && i < coll->shards; i++)
    members[i] = (struct place_member){i, PLACE_WEIGHT};
  for (uint32_t i = 0; !status && i < coll->slots; i++)
    c->owner[i] = PLACE_NONE;
  if (!status && coll->policy == DOC_RANGE)
    place_ranges_fill(splits, coll->shards, coll->slots, c->owner);
  else if (!status && !place_fill(members, coll->shards, coll->slots, c->owner, &moved))
    status = CTL_NO_MEMORY;
  free(members);
  free(none);
  return status;
}

/* The next id, by the document that counts them. */
static int64_t create_id(struct ctl *ctl, uint32_t *id) {
  const struct cache_view *view = ctl_view(ctl);
  const struct cache_entry *ids = cache_find(view, DOC_PATH_IDS, 0, 0);
  int64_t mod = ids ? ids->mod : 0;
  *id = 1 + (ids ? (uint32_t)strtoul(ids->text.data, NULL, 10) : 0);
  cache_give(view);
  return mod;
}

static char *create_slots(const struct create *c, size_t *n) {
  struct doc_slots slots = {c->coll->slots, malloc(c->coll->slots * sizeof(uint16_t))};
  if (!slots.shard)
    return NULL;
  for (uint32_t i = 0; i < slots.n; i++)
    slots.shard[i] = (uint16_t)c->owner[i];
  char *text = doc_slots_write(&slots, n);
  doc_slots_free(&slots);
  return text;
}

/* The count of ids, the name and the documents of the whole, in one transaction. */
static enum ctl_status create_whole(struct create *c, const struct doc_splits *splits,
                                    bool *held) {
  struct ctl *ctl = c->ctl;
  char id[16];
  size_t n[3] = {0};
  int64_t ids_mod = create_id(ctl, &c->coll->id);
  snprintf(id, sizeof id, "%u", c->coll->id);
  c->coll->state = DOC_COLL_CREATING;
  char *text[3] = {doc_coll_write(c->coll, &n[0]), create_slots(c, &n[1]),
                   splits ? doc_splits_write(splits, &n[2]) : NULL};
  struct doc_path paths[] = {doc_path(ctl->cluster, DOC_PATH_IDS, 0, 0),
                             doc_path_name(ctl->cluster, c->coll->name),
                             doc_path(ctl->cluster, DOC_PATH_COLL, c->coll->id, 0),
                             doc_path(ctl->cluster, DOC_PATH_SLOTS, c->coll->id, 0),
                             doc_path(ctl->cluster, DOC_PATH_SPLITS, c->coll->id, 0)};
  const struct meta_compare compares[] = {
      {meta_text(paths[0].text), META_MOD, META_EQUAL, ids_mod, {NULL, 0}},
      {meta_text(paths[1].text), META_CREATE, META_EQUAL, 0, {NULL, 0}}};
  struct meta_op ops[5] = {{.kind = META_PUT}};
  for (size_t i = 0; i < 5; i++) {
    ops[i].kind = META_PUT;
    ops[i].key = meta_text(paths[i].text);
    ops[i].value = i < 2 ? meta_text(id) : (struct meta_bytes){text[i - 2], n[i - 2]};
  }
  const struct meta_op look = {.kind = META_GET, .key = ops[1].key};
  const struct meta_txn txn = {compares, ops, &look, 2, splits ? 5u : 4u, 1};
  enum ctl_status status = CTL_NOT_ALLOWED;
  if (text[0] && text[1] && (text[2] || !splits))
    status = ctl_commit(ctl, &txn, held);
  else
    create_say(ctl, status, "a collection that breaks the rules of its document");
  for (size_t i = 0; i < 3; i++)
    free(text[i]);
  return status;
}

static void create_shard(const struct create *c, uint32_t number, struct doc_shard *doc) {
  const struct spread_shard *s = &c->shards[number];
  *doc = (struct doc_shard){.collection = c->coll->id,
                            .number = number,
                            .epoch = 1,
                            .primary = s->node[0],
                            .min_isr = c->coll->min_isr};
  for (uint32_t r = 0; r < s->n; r++) {
    doc->replicas[doc->n_replicas++].node = s->node[r];
    doc->isr[doc->n_isr++] = s->node[r];
  }
}

/* Some shards, as long as the collection is this one. */
static enum ctl_status create_some(struct create *c, uint32_t first, uint32_t n) {
  struct meta_op ops[CREATE_BATCH] = {{.kind = META_PUT}};
  struct doc_path paths[CREATE_BATCH];
  struct doc_path name = doc_path_name(c->ctl->cluster, c->coll->name);
  char id[16];
  bool whole = true, held = false;
  snprintf(id, sizeof id, "%u", c->coll->id);
  for (uint32_t i = 0; i < n; i++) {
    struct doc_shard doc;
    size_t bytes;
    create_shard(c, first + i, &doc);
    char *text = doc_shard_write(&doc, &bytes);
    paths[i] = doc_path(c->ctl->cluster, DOC_PATH_SHARD, c->coll->id, first + i);
    ops[i] =
        (struct meta_op){.kind = META_PUT, .key = meta_text(paths[i].text), .value = {text, bytes}};
    whole = whole && text;
  }
  const struct meta_compare compare = {meta_text(name.text), META_VALUE, META_EQUAL, 0,
                                       meta_text(id)};
  const struct meta_op look = {.kind = META_GET, .key = compare.key};
  const struct meta_txn txn = {&compare, ops, &look, 1, n, 1};
  enum ctl_status status = whole ? ctl_commit(c->ctl, &txn, &held) : CTL_NO_MEMORY;
  if (!status && !held)
    status = create_say(c->ctl, CTL_NOT_ALLOWED, "the collection went away meanwhile");
  for (uint32_t i = 0; i < n; i++)
    free((void *)ops[i].value.data);
  return status;
}

static enum ctl_status create_activate(struct create *c) {
  const struct cache_view *view = ctl_view(c->ctl);
  const struct cache_entry *entry = cache_find(view, DOC_PATH_COLL, c->coll->id, 0);
  int64_t mod = entry ? entry->mod : 0;
  bool held = false;
  size_t n;
  cache_give(view);
  c->coll->state = DOC_COLL_ACTIVE;
  char *text = doc_coll_write(c->coll, &n);
  enum ctl_status status = ctl_put(c->ctl, doc_path(c->ctl->cluster, DOC_PATH_COLL, c->coll->id, 0),
                                   text, n, mod, &held);
  free(text);
  return !status && !held ? create_say(c->ctl, CTL_NOT_ALLOWED, "it was changed meanwhile")
                          : status;
}

/* Routers hash the tenant field's values, which is of no use to values that are elsewhere. */
static enum ctl_status create_schema(struct ctl *ctl, const struct doc_coll *coll) {
  char why[WIRE_WHY] = "";
  struct wire_mem mem = {0};
  vecdb_schema schema;
  enum ctl_status status = CTL_OK;
  const char *text = coll->schema ? coll->schema : "{}";
  const int code = wire_schema_read(text, strlen(text), &mem, &schema, why);
  if (code)
    status = code == VECDB_ERR_NO_MEMORY ? CTL_NO_MEMORY : create_say(ctl, CTL_NOT_ALLOWED, why);
  else if (coll->policy == DOC_TENANT &&
           !wire_schema_tenants(wire_schema_field(&schema, coll->field)))
    status = create_say(ctl, CTL_NOT_ALLOWED,
                        "the field of tenants must be a BOOL, an integer or a VARCHAR");
  else if (wire_schema_computed(&schema))
    status = ctl_speaks(ctl, 0, DOC_SPEAKS_FIELDS);
  wire_mem_free(&mem);
  return status;
}

enum ctl_status ctl_create(struct ctl *ctl, struct doc_coll *coll,
                           const struct doc_splits *splits) {
  struct create c = {.ctl = ctl, .coll = coll};
  enum ctl_status status =
      coll->schema || coll->policy == DOC_TENANT ? create_schema(ctl, coll) : CTL_OK;
  if (status)
    return status;
  if (!coll->shards || coll->shards > DOC_SHARDS_MAX || !coll->slots ||
      coll->slots > DOC_SLOTS_MAX || !coll->replicas || coll->replicas > DOC_REPLICAS_MAX ||
      (coll->policy == DOC_RANGE) != (splits != NULL))
    return create_say(ctl, CTL_NOT_ALLOWED, "shards, slots, replicas or ranges make no sense");
  c.shards = calloc(coll->shards, sizeof *c.shards);
  c.owner = calloc(coll->slots, sizeof *c.owner);
  c.nodes = calloc(SPREAD_NODES_MAX, sizeof *c.nodes);
  status = c.shards && c.owner && c.nodes ? CTL_OK : CTL_NO_MEMORY;
  if (!status) {
    const struct cache_view *view = ctl_view(ctl);
    c.n_nodes = ctl_spread_nodes(view, coll->need, 0, c.nodes);
    cache_give(view);
  }
  status = status ? status : create_place(&c, splits);
  bool held = false;
  for (int i = 0; !status && !held; i++) { /* again when another one took the id */
    int64_t mod;
    if (i == CREATE_TRIES)
      status = create_say(ctl, CTL_NOT_ALLOWED, "the name belongs to what cannot be read");
    else if (create_named(ctl, coll->name, &mod))
      status = create_say(ctl, CTL_EXISTS, "the name is taken");
    else
      status = create_whole(&c, splits, &held);
  }
  for (uint32_t i = 0; !status && i < coll->shards; i += CREATE_BATCH)
    status = create_some(&c, i, coll->shards - i < CREATE_BATCH ? coll->shards - i : CREATE_BATCH);
  status = status ? status : create_activate(&c);
  free(c.nodes);
  free(c.shards);
  free(c.owner);
  return status;
}

enum ctl_status ctl_drop(struct ctl *ctl, const char *name) {
  static const enum doc_kind kinds[] = {DOC_PATH_COLL, DOC_PATH_SLOTS, DOC_PATH_SPLITS,
                                        DOC_PATH_SHARD, DOC_PATH_MOVE};
  enum { KINDS = sizeof kinds / sizeof *kinds };
  struct doc_path paths[KINDS], by_name = doc_path_name(ctl->cluster, name);
  char ends[KINDS][META_KEY_MAX];
  enum ctl_status status = CTL_OK;
  for (bool held = false; !status && !held;) {
    struct meta_op ops[KINDS + 1];
    int64_t mod;
    uint32_t id = create_named(ctl, name, &mod);
    if (!id)
      return create_say(ctl, CTL_NO_SUCH, "no such collection");
    for (int i = 0; i < KINDS; i++) {
      bool many = kinds[i] == DOC_PATH_SHARD || kinds[i] == DOC_PATH_MOVE;
      paths[i] = many ? doc_path_all(ctl->cluster, kinds[i], id)
                      : doc_path(ctl->cluster, kinds[i], id, 0);
      ops[i] = (struct meta_op){.kind = META_DELETE, .key = meta_text(paths[i].text)};
      if (many)
        ops[i].end = meta_prefix_end(ops[i].key, ends[i]);
    }
    ops[KINDS] = (struct meta_op){.kind = META_DELETE, .key = meta_text(by_name.text)};
    const struct meta_compare compare = {ops[0].key, META_MOD, META_EQUAL, mod, {NULL, 0}};
    const struct meta_op look = {.kind = META_GET, .key = compare.key};
    const struct meta_txn txn = {&compare, ops, &look, 1, KINDS + 1, 1};
    status = ctl_commit(ctl, &txn, &held);
  }
  return status;
}
