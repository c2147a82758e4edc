/* doc.c - the documents of fixed size: their fields by table, their rules; see doc.h. */
#include "meta/doc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "meta/doc_int.h"

_Static_assert(sizeof(enum doc_node_state) == sizeof(uint32_t), "FIELD_CHOICE reads enums so");

#define DOC_AT(member) offsetof(struct DOC, member)
#define DOC_U32(member, max) \
  { #member, FIELD_U32, DOC_AT(member), max, 0, NULL, NULL, 0 }
#define DOC_U64(member) \
  { #member, FIELD_U64, DOC_AT(member), 0, 0, NULL, NULL, 0 }
#define DOC_BOOL(member) \
  { #member, FIELD_BOOL, DOC_AT(member), 0, 0, NULL, NULL, 0 }
#define DOC_CHOICE(member, names) \
  { #member, FIELD_CHOICE, DOC_AT(member), 0, 0, names, NULL, 0 }
#define DOC_TEXT(member) \
  { #member, FIELD_TEXT, DOC_AT(member), sizeof(((struct DOC *)0)->member), 0, NULL, NULL, 0 }
#define DOC_UUID(member) \
  { #member, FIELD_UUID, DOC_AT(member), 0, 0, NULL, NULL, 0 }
#define DOC_NUMBERS(member, max, n) \
  { #member, FIELD_NUMBERS, DOC_AT(member), max, DOC_AT(n), NULL, NULL, 0 }
/* clang-format off */
#define DOC_LIST(member, max, n, items)                               \
  { #member, FIELD_LIST, DOC_AT(member), max, DOC_AT(n), NULL, items, \
    sizeof(((struct DOC *)0)->member[0]) }
/* clang-format on */
#define DOC_END \
  { NULL, FIELD_U32, 0, 0, 0, NULL, NULL, 0 }

#define DOC doc_cluster
static const struct field doc_cluster_fields[] = {DOC_UUID(id), DOC_U32(protocol_min, 255),
                                                  DOC_TEXT(name), DOC_END};
#undef DOC
#define DOC doc_label
static const struct field doc_label_fields[] = {DOC_TEXT(name), DOC_TEXT(value), DOC_END};
#undef DOC
#define DOC doc_node
static const char *const doc_node_states[] = {"active", "draining", "removed", NULL};
static const struct field doc_node_fields[] = {
    DOC_U32(id, UINT32_MAX), DOC_TEXT(name),
    DOC_TEXT(address),       DOC_TEXT(region),
    DOC_TEXT(zone),          DOC_LIST(labels, DOC_LABELS_MAX, n_labels, doc_label_fields),
    DOC_U32(weight, 10000),  DOC_CHOICE(state, doc_node_states),
    DOC_TEXT(fingerprint),   DOC_END};
#undef DOC
#define DOC doc_live
static const struct field doc_live_fields[] = {
    DOC_U32(id, UINT32_MAX),    DOC_UUID(store), DOC_U32(protocol_min, 255),
    DOC_U32(protocol_max, 255), DOC_TEXT(build), DOC_END};
#undef DOC
#define DOC doc_coll
static const char *const doc_coll_states[] = {"creating", "active", "dropping", NULL};
static const char *const doc_policies[] = {"hash", "tenant", "range", NULL};
static const char *const doc_acks[] = {"sync", "chain", "async", NULL};
static const struct field doc_coll_fields[] = {DOC_U32(id, UINT32_MAX),
                                               DOC_TEXT(name),
                                               DOC_CHOICE(state, doc_coll_states),
                                               DOC_CHOICE(policy, doc_policies),
                                               DOC_TEXT(field),
                                               DOC_TEXT(need),
                                               DOC_U32(slots, DOC_SLOTS_MAX),
                                               DOC_U32(window, DOC_SLOTS_MAX),
                                               DOC_U32(shards, DOC_SHARDS_MAX),
                                               DOC_U32(replicas, DOC_REPLICAS_MAX),
                                               DOC_U32(min_isr, DOC_REPLICAS_MAX),
                                               DOC_CHOICE(ack, doc_acks),
                                               DOC_U64(schema_version),
                                               DOC_U64(index_version),
                                               DOC_END};
#undef DOC
#define DOC doc_replica
static const struct field doc_replica_fields[] = {DOC_U32(node, UINT32_MAX), DOC_UUID(store),
                                                  DOC_END};
#undef DOC
#define DOC doc_shard
static const char *const doc_shard_states[] = {"active", "offline", NULL};
static const struct field doc_shard_fields[] = {
    DOC_U32(collection, UINT32_MAX),
    DOC_U32(number, DOC_SHARDS_MAX - 1),
    DOC_CHOICE(state, doc_shard_states),
    DOC_U64(epoch),
    DOC_U32(primary, UINT32_MAX),
    DOC_U32(min_isr, DOC_REPLICAS_MAX),
    DOC_LIST(replicas, DOC_REPLICAS_MAX, n_replicas, doc_replica_fields),
    DOC_NUMBERS(isr, DOC_REPLICAS_MAX, n_isr),
    DOC_NUMBERS(learners, DOC_REPLICAS_MAX, n_learners),
    DOC_U64(unclean),
    DOC_END};
#undef DOC
#define DOC doc_move
static const char *const doc_steps[] = {"planned", "copying",   "catching-up", "switching",
                                        "done",    "cancelled", NULL};
static const struct field doc_move_fields[] = {DOC_U32(collection, UINT32_MAX),
                                               DOC_U32(shard, DOC_SHARDS_MAX - 1),
                                               DOC_U64(id),
                                               DOC_U32(source, UINT32_MAX),
                                               DOC_U32(target, UINT32_MAX),
                                               DOC_CHOICE(step, doc_steps),
                                               DOC_U64(bytes_done),
                                               DOC_U64(bytes_total),
                                               DOC_TEXT(why),
                                               DOC_END};
#undef DOC
#define DOC doc_split
static const char *const doc_split_steps[] = {"planned", "releasing", "done", "cancelled", NULL};
const struct field doc_split_fields[] = {
    DOC_U32(collection, UINT32_MAX),
    DOC_U32(shard, DOC_SHARDS_MAX - 1),
    DOC_U64(id),
    DOC_U32(child, DOC_SHARDS_MAX - 1),
    DOC_CHOICE(step, doc_split_steps),
    DOC_LIST(forks, DOC_REPLICAS_MAX, n_forks, doc_replica_fields),
    DOC_END};
#undef DOC

/* ---- Rules ---- */

bool doc_has(const uint32_t *nodes, uint32_t n, uint32_t node) {
  for (uint32_t i = 0; i < n; i++)
    if (nodes[i] == node)
      return true;
  return false;
}

bool doc_uuid_same(struct doc_uuid a, struct doc_uuid b) {
  return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

bool doc_uuid_none(struct doc_uuid a) { return doc_uuid_same(a, (struct doc_uuid){{0}}); }

const char *doc_step_name(enum doc_step step) { return doc_steps[step]; }

const char *doc_split_step_name(enum doc_split_step step) { return doc_split_steps[step]; }

static bool doc_rule(bool holds, char *why, const char *rule) {
  if (!holds)
    fields_fail(DOC_RULE, why, "%s", rule);
  return holds;
}

static bool doc_power(uint32_t n) { return n && !(n & (n - 1)); }

static bool doc_distinct(const uint32_t *nodes, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (!nodes[i] || doc_has(nodes + i + 1, n - i - 1, nodes[i]))
      return false;
  return true;
}

bool doc_shard_valid(const struct doc_shard *doc, char *why) {
  uint32_t nodes[DOC_REPLICAS_MAX];
  if (!doc_rule(doc->n_replicas <= DOC_REPLICAS_MAX && doc->n_isr <= DOC_REPLICAS_MAX &&
                    doc->n_learners <= DOC_REPLICAS_MAX,
                why, "too many replicas"))
    return false;
  for (uint32_t i = 0; i < doc->n_replicas; i++)
    nodes[i] = doc->replicas[i].node;
  bool members = true;
  for (uint32_t i = 0; i < doc->n_isr; i++)
    members = members && doc_has(nodes, doc->n_replicas, doc->isr[i]) &&
              !doc_has(doc->learners, doc->n_learners, doc->isr[i]);
  for (uint32_t i = 0; i < doc->n_learners; i++)
    members = members && doc_has(nodes, doc->n_replicas, doc->learners[i]);
  bool led = doc->primary && doc_has(doc->isr, doc->n_isr, doc->primary);
  return doc_rule(doc->collection && doc->number < DOC_SHARDS_MAX, why, "no such shard") &&
         doc_rule(doc_distinct(nodes, doc->n_replicas) && doc_distinct(doc->isr, doc->n_isr) &&
                      doc_distinct(doc->learners, doc->n_learners),
                  why, "a node twice, or 0") &&
         doc_rule(members, why, "a member that is no replica, or learner and in sync at once") &&
         doc_rule(doc->epoch > 0, why, "the epoch is 0") &&
         doc_rule(doc->min_isr >= 1 && doc->min_isr <= DOC_REPLICAS_MAX, why, "min_isr") &&
         doc_rule(doc->state == DOC_SHARD_ACTIVE ? led : !doc->primary, why,
                  "the primary is not in sync, or an offline shard has one");
}

static bool doc_cluster_valid(const struct doc_cluster *doc, char *why) {
  return doc_rule(!doc_uuid_none(doc->id) && doc->protocol_min >= 1, why, "no id or no protocol");
}

static bool doc_fingerprint_valid(const char *text) {
  size_t n = strlen(text);
  for (size_t i = 0; i < n; i++)
    if (!isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i]))
      return false;
  return n == 0 || n == 64;
}

static bool doc_node_valid(const struct doc_node *doc, char *why) {
  for (uint32_t i = 0; i < doc->n_labels && i < DOC_LABELS_MAX; i++)
    if (!doc_rule(*doc->labels[i].name, why, "a label without a name"))
      return false;
  return doc_rule(doc->id > 0, why, "the id is 0") &&
         doc_rule(strchr(doc->address, ':') != NULL, why, "the address is not host:port") &&
         doc_rule(doc_fingerprint_valid(doc->fingerprint), why, "the fingerprint is not SHA-256");
}

static bool doc_live_valid(const struct doc_live *doc, char *why) {
  return doc_rule(doc->id > 0 && !doc_uuid_none(doc->store), why, "no id or no store") &&
         doc_rule(doc->protocol_min >= 1 && doc->protocol_min <= doc->protocol_max, why,
                  "no range of protocols");
}

static bool doc_coll_valid(const struct doc_coll *doc, char *why) {
  return doc_rule(doc->id > 0 && *doc->name, why, "no id or no name") &&
         doc_rule(doc_power(doc->slots) && doc->slots <= DOC_SLOTS_MAX, why,
                  "slots are not a power of two up to 65,536") &&
         doc_rule(doc_power(doc->window) && doc->window <= doc->slots, why,
                  "the window is not a power of two up to the slots") &&
         doc_rule(doc->shards >= 1 && doc->shards <= doc->slots, why, "more shards than slots") &&
         doc_rule(doc->replicas >= 1 && doc->min_isr >= 1 && doc->min_isr <= doc->replicas, why,
                  "replicas and min_isr do not fit") &&
         doc_rule((doc->policy == DOC_HASH) == !*doc->field, why,
                  "a field is for the policies tenant and range, and they need one") &&
         doc_rule(doc->policy == DOC_TENANT || doc->window == 1, why, "only tenants have windows");
}

static bool doc_move_valid(const struct doc_move *doc, char *why) {
  return doc_rule(doc->collection && doc->shard < DOC_SHARDS_MAX && doc->id, why, "no such move") &&
         doc_rule(doc->target && doc->source != doc->target, why, "it goes nowhere");
}

bool doc_split_valid(const struct doc_split *doc, char *why) {
  uint32_t nodes[DOC_REPLICAS_MAX], moved = 0;
  bool known = doc->n_forks <= DOC_REPLICAS_MAX;
  for (uint32_t i = 0; known && i < doc->n_forks; i++) {
    nodes[i] = doc->forks[i].node;
    known = !doc_uuid_none(doc->forks[i].store);
  }
  for (uint32_t i = 0; i < doc->n; i++)
    moved += doc->moved[i] != 0;
  return doc_rule(doc->collection && doc->shard < DOC_SHARDS_MAX && doc->id, why,
                  "no such split") &&
         doc_rule(doc->child < DOC_SHARDS_MAX && doc->child != doc->shard, why,
                  "a child that is no other shard") &&
         doc_rule(known && doc_distinct(nodes, doc->n_forks), why,
                  "copies of no node or store, or two of one") &&
         doc_rule(doc_power(doc->n) && doc->n <= DOC_SLOTS_MAX && moved && moved < doc->n, why,
                  "no slots move, or all do");
}

bool doc_split_open(const struct doc_split *doc) {
  return doc && (doc->step == DOC_SPLIT_PLANNED || doc->step == DOC_SPLIT_RELEASING);
}

/* ---- Codecs ---- */

#define DOC_PLAIN(type)                                                                            \
  char *doc_##type##_write(const struct doc_##type *doc, size_t *n) {                              \
    char why[DOC_TEXT_MAX];                                                                        \
    *n = 0;                                                                                        \
    return doc_##type##_valid(doc, why) ? fields_finish(fields_write(doc_##type##_fields, doc), n) \
                                        : NULL;                                                    \
  }                                                                                                \
  enum doc_status doc_##type##_read(struct meta_bytes text, struct doc_##type *out, char *why) {   \
    json_t *object;                                                                                \
    enum doc_status status = fields_begin(text, &object, why);                                     \
    if (status)                                                                                    \
      return status;                                                                               \
    status = fields_read(doc_##type##_fields, object, 0, sizeof *out, out, why);                   \
    json_decref(object);                                                                           \
    return status ? status : doc_##type##_valid(out, why) ? DOC_OK : DOC_RULE;                     \
  }
DOC_PLAIN(cluster)
DOC_PLAIN(node)
DOC_PLAIN(live)
DOC_PLAIN(shard)
DOC_PLAIN(move)

/* A member that is an object, from its text. */
static bool doc_put(json_t *object, const char *name, const char *text, size_t max) {
  json_t *member = strlen(text) <= max ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
  if (json_is_object(member))
    return !json_object_set_new(object, name, member);
  json_decref(member);
  return false;
}

char *doc_coll_write(const struct doc_coll *doc, size_t *n) {
  char why[DOC_TEXT_MAX];
  *n = 0;
  if (!doc_coll_valid(doc, why))
    return NULL;
  json_t *object = fields_write(doc_coll_fields, doc);
  if (doc_put(object, "schema", doc->schema ? doc->schema : "{}", DOC_SCHEMA_MAX) &&
      (!doc->history || doc_put(object, "history", doc->history, DOC_HISTORY_MAX)) &&
      (!doc->expiry || doc_put(object, "expiry", doc->expiry, DOC_EXPIRY_MAX)))
    return fields_finish_as(object,
                            doc->expiry    ? DOC_VERSION_EXPIRY
                            : doc->history ? DOC_VERSION_HISTORY
                                           : DOC_VERSION,
                            n);
  json_decref(object);
  return NULL;
}

/* The object's member as text, to be given back by free(). */
static enum doc_status doc_take(const json_t *object, const char *name, size_t max, char **out,
                                char *why) {
  json_t *member = json_object_get(object, name);
  if (!json_is_object(member))
    return fields_fail(DOC_MALFORMED, why, "%s is not an object", name);
  if (!(*out = json_dumps(member, JSON_COMPACT | JSON_SORT_KEYS)))
    return fields_fail(DOC_NO_MEMORY, why, "out of memory");
  return strlen(*out) <= max ? DOC_OK : fields_fail(DOC_RULE, why, "the %s is too long", name);
}

enum doc_status doc_coll_read(struct meta_bytes text, struct doc_coll *out, char *why) {
  json_t *object;
  enum doc_status status = fields_begin_as(text, DOC_VERSION_EXPIRY, &object, why);
  if (status)
    return status;
  const bool history = json_object_get(object, "history") != NULL;
  const bool expiry = json_object_get(object, "expiry") != NULL;
  status = fields_read(doc_coll_fields, object, 1u + history + expiry, sizeof *out, out, why);
  if (!status && !doc_coll_valid(out, why))
    status = DOC_RULE;
  if (!status)
    status = doc_take(object, "schema", DOC_SCHEMA_MAX, &out->schema, why);
  if (!status && history)
    status = doc_take(object, "history", DOC_HISTORY_MAX, &out->history, why);
  if (!status && expiry)
    status = doc_take(object, "expiry", DOC_EXPIRY_MAX, &out->expiry, why);
  if (status)
    doc_coll_free(out);
  json_decref(object);
  return status;
}

void doc_coll_free(struct doc_coll *doc) {
  free(doc->schema);
  free(doc->history);
  free(doc->expiry);
  doc->schema = doc->history = doc->expiry = NULL;
}
