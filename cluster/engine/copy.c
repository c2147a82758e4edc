/*
 * copy.c - the engine that is a copy of collections of a cluster (cluster/edge): a database of this
 * process whose reads are the library's, and whose writes are refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/edge.h"
#include "engine/ops.h"

/* The table is this engine's own, so that whoever has it finds the rest. */
struct copy {
  struct engine_ops ops;
  const struct engine_ops *local;
  struct edge *edge;
};

static const struct copy *copy_of(const struct engine_ops *ops) {
  return (const struct copy *)(const void *)ops;
}

static int copy_close(struct engine *engine, vecdb_error *error) {
  struct copy *copy = (struct copy *)(uintptr_t)engine->ops;
  edge_close(copy->edge);
  int code = copy->local->close(engine, error);
  free(copy);
  return code;
}

/* ---- Collections ---- */

static int copy_say(vecdb_error *error, int code, const char *name, const char *words) {
  char text[sizeof error->message];
  snprintf(text, sizeof text, "collection '%.255s' %s", name, words);
  return engine_fail(error, code, text);
}

static int copy_get(struct engine *engine, const char *name, struct engine_collection **out,
                    vecdb_error *error) {
  const struct copy *copy = copy_of(engine->ops);
  struct edge_info info;
  *out = NULL;
  if (!edge_look(copy->edge, name, &info) || info.gone)
    return copy_say(error, VECDB_ERR_NOT_FOUND, name, "is not there, or not followed here");
  if (!info.whole)
    return copy_say(error, VECDB_CLIENT_UNAVAILABLE, name, "is not copied yet");
  return copy->local->collection_get(engine, name, out, error);
}

struct copy_walk {
  int (*visit)(void *user, const char *name);
  void *user;
};

static int copy_visit(void *user, const char *name) {
  const struct copy_walk *walk = user;
  return strcmp(name, EDGE_STATE) == 0 ? 0 : walk->visit(walk->user, name);
}

static int copy_list(struct engine *engine, int (*visit)(void *user, const char *name), void *user,
                     vecdb_error *error) {
  struct copy_walk walk = {visit, user};
  return copy_of(engine->ops)->local->collection_list(engine, copy_visit, &walk, error);
}

static bool copy_age(const struct engine_collection *collection, uint64_t *age_ms) {
  const struct copy *copy = copy_of(collection->ops);
  struct edge_info info;
  const char *name = copy->local->collection_name(collection);
  *age_ms = edge_look(copy->edge, name, &info) && info.whole ? info.age_ms : EDGE_UNKNOWN;
  return true;
}

static bool copy_copies(const struct engine *engine, bool *up,
                        void (*visit)(void *user, const struct engine_copy *copy), void *user) {
  const struct copy *copy = copy_of(engine->ops);
  struct edge_info info;
  *up = edge_up(copy->edge);
  for (size_t i = 0; edge_at(copy->edge, i, &info); i++) {
    struct engine_copy told = {.whole = info.whole,
                               .age_ms = info.age_ms,
                               .upserts = info.upserts,
                               .deletes = info.deletes,
                               .copies = info.copies};
    memcpy(told.name, info.name, sizeof told.name);
    visit(user, &told);
  }
  return true;
}

/* ---- Writes ---- */

static int copy_refuse(vecdb_error *error) {
  return engine_fail(error, VECDB_ERR_READ_ONLY,
                     "this server has a copy: write to the cluster that it follows");
}

static int copy_create(struct engine *engine, const char *name, const vecdb_schema *schema,
                       struct engine_collection **out, vecdb_error *error) {
  (void)engine, (void)name, (void)schema;
  if (out)
    *out = NULL;
  return copy_refuse(error);
}

static int copy_drop(struct engine *engine, const char *name, vecdb_error *error) {
  (void)engine, (void)name;
  return copy_refuse(error);
}

static int copy_fields_add(struct engine_collection *c, const vecdb_schema *fields,
                           const vecdb_control *control, vecdb_error *error) {
  (void)c, (void)fields, (void)control;
  return copy_refuse(error);
}

static int copy_field_drop(struct engine_collection *c, const char *field,
                           const vecdb_control *control, vecdb_error *error) {
  (void)c, (void)field, (void)control;
  return copy_refuse(error);
}

static int copy_field_rename(struct engine_collection *c, const char *field, const char *name,
                             const vecdb_control *control, vecdb_error *error) {
  (void)c, (void)field, (void)name, (void)control;
  return copy_refuse(error);
}

static int copy_expire(struct engine_collection *c, const char *field, uint64_t ttl_ms,
                       const vecdb_control *control, vecdb_error *error) {
  (void)c, (void)field, (void)ttl_ms, (void)control;
  return copy_refuse(error);
}

static int copy_optimizer_set(struct engine_collection *c, const char *field,
                              const vecdb_optimizer *optimizer, const vecdb_control *control,
                              vecdb_error *error) {
  (void)c, (void)field, (void)optimizer, (void)control;
  return copy_refuse(error);
}

static int copy_index_create(struct engine_collection *c, const char *field,
                             const vecdb_index_params *params, const vecdb_control *control,
                             vecdb_error *error) {
  (void)c, (void)field, (void)params, (void)control;
  return copy_refuse(error);
}

static int copy_index_drop(struct engine_collection *c, const char *field, vecdb_error *error) {
  (void)c, (void)field;
  return copy_refuse(error);
}

/* Both ways. */
static int copy_json_index(struct engine_collection *c, const char *field,
                           const vecdb_json_index *index, const vecdb_control *control,
                           vecdb_error *error) {
  (void)c, (void)field, (void)index, (void)control;
  return copy_refuse(error);
}

static int copy_put(struct engine_collection *c, const vecdb_batch *batch, int64_t *ids,
                    vecdb_error *error) {
  (void)c, (void)batch, (void)ids;
  return copy_refuse(error);
}

static int copy_update(struct engine_collection *c, const vecdb_batch *batch, uint32_t flags,
                       uint8_t *found, vecdb_error *error) {
  (void)c, (void)batch, (void)flags, (void)found;
  return copy_refuse(error);
}

static int copy_push(struct engine_collection *c, const vecdb_push_params *params,
                     uint64_t *versions, vecdb_error *error) {
  (void)c, (void)params, (void)versions;
  return copy_refuse(error);
}

static int copy_delete(struct engine_collection *c, const vecdb_keys *keys, uint64_t *deleted,
                       vecdb_error *error) {
  (void)c, (void)keys, (void)deleted;
  return copy_refuse(error);
}

static int copy_delete_where(struct engine_collection *c, const vecdb_filter *filter,
                             uint64_t *deleted, const vecdb_control *control, vecdb_error *error) {
  (void)c, (void)filter, (void)deleted, (void)control;
  return copy_refuse(error);
}

/* What is not named is not offered: so a function that comes to engines and writes is refused. */
static struct engine_ops copy_table(const struct engine_ops *local) {
  return (struct engine_ops){
      .close = copy_close,
      .backup = local->backup,
      .rekey = local->rekey,
      .memory_stats = local->memory_stats,
      .collection_create = copy_create,
      .collection_get = copy_get,
      .collection_drop = copy_drop,
      .collection_list = copy_list,
      .collection_release = local->collection_release,
      .collection_name = local->collection_name,
      .collection_schema = local->collection_schema,
      .expiry = local->expiry,
      .collection_stats = local->collection_stats,
      .age = copy_age,
      .copies = copy_copies,
      .fields_add = copy_fields_add,
      .field_drop = copy_field_drop,
      .field_rename = copy_field_rename,
      .json_index_create = copy_json_index,
      .json_index_drop = copy_json_index,
      .expire = copy_expire,
      .optimizer_set = copy_optimizer_set,
      .optimizer_get = local->optimizer_get,
      .flush = local->flush,
      .compact = local->compact,
      .index_create = copy_index_create,
      .index_drop = copy_index_drop,
      .insert = copy_put,
      .upsert = copy_put,
      .update = copy_update,
      .push = copy_push,
      .delete = copy_delete,
      .delete_where = copy_delete_where,
      .search = local->search,
      .search_range = local->search_range,
      .search_groups = local->search_groups,
      .search_hybrid = local->search_hybrid,
      .explain = local->explain,
      .query = local->query,
      .count = local->count,
      .sparse_counts = local->sparse_counts,
      .get = local->get,
      .pull = local->pull,
  };
}

/* ---- Opening ---- */

struct engine *engine_edge_open(const char *path, const vecdb_options *options,
                                const struct engine_edge *edge, vecdb_error *error) {
  const struct engine_cluster *c = &edge->cluster;
  struct engine *engine = engine_local_open(path, options, error);
  struct copy *copy = engine ? calloc(1, sizeof *copy) : NULL;
  if (!engine)
    return NULL;
  struct edge_config config = {.db = engine_local_db(engine),
                               .origin = VECDB_CLIENT_OPTIONS_INIT,
                               .collections = edge->collections,
                               .tenant_field = edge->tenant_field,
                               .tenants = edge->tenants,
                               .poll_ms = edge->poll_ms,
                               .log = edge->log,
                               .arg = edge->arg};
  config.origin.nodes = c->nodes;
  config.origin.cluster = c->id;
  config.origin.ca_file = c->ca_file;
  config.origin.cert_file = c->cert_file;
  config.origin.key_file = c->key_file;
  config.origin.id = c->client;
  config.origin.timeout_ms = c->timeout_ms;
  if (copy)
    copy->edge = edge_open(&config, error);
  else
    engine_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  if (!copy || !copy->edge) {
    free(copy);
    engine->ops->close(engine, NULL);
    return NULL;
  }
  copy->local = engine->ops;
  copy->ops = copy_table(engine->ops);
  engine->ops = &copy->ops;
  return engine;
}
