/* remote.c - the engine that is a cluster: opening, collections and what is known of them; see
   remote.h. */
#include "engine/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REMOTE_FRESH_US = 1000000 }; /* for so long a schema is believed without asking */

static struct remote *remote_of(struct engine *engine) { return (struct remote *)engine; }

static const struct remote_collection *remote_collection_of(const struct engine_collection *c) {
  return (const struct remote_collection *)c;
}

static int remote_no_memory(vecdb_error *error) {
  return engine_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

/* In the library's words, where nodes have said no more than the code. */
static int remote_said(int code, const char *name, vecdb_error *error) {
  if (error && code == VECDB_ERR_NOT_FOUND)
    snprintf(error->message, sizeof error->message, "there is no collection '%.255s'", name);
  if (error && code == VECDB_ERR_EXISTS)
    snprintf(error->message, sizeof error->message, "collection '%.255s' is there already", name);
  return code;
}

static int64_t remote_now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static vecdb_client_call remote_call(const struct remote *remote) {
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.timeout_ms = remote->timeout_ms;
  return call;
}

/* ---- What is known ---- */

/* The caller holds the mutex, also for the next two. */
static void known_drop(struct remote_known *known) {
  if (--known->references)
    return;
  vecdb_client_about_free(known->about);
  if (known->before)
    known_drop(known->before);
  else
    vecdb_client_session_free(known->session);
  free(known);
}

static struct remote_known **known_place(struct remote *remote, const char *name) {
  struct remote_known **at = &remote->known;
  while (*at && strcmp((*at)->name, name) != 0)
    at = &(*at)->next;
  return at;
}

static void known_unlink(struct remote_known **at) {
  struct remote_known *known = *at;
  *at = known->next;
  known_drop(known);
}

void remote_forget(struct remote *remote, const char *name) {
  pthread_mutex_lock(&remote->mutex);
  struct remote_known **at = known_place(remote, name);
  if (*at)
    known_unlink(at);
  pthread_mutex_unlock(&remote->mutex);
}

/* What is known and fresh, with a reference; NULL: nothing. */
static struct remote_known *known_fresh(struct remote *remote, const char *name) {
  pthread_mutex_lock(&remote->mutex);
  struct remote_known *known = *known_place(remote, name);
  if (known && remote_now_us() - known->asked_us > REMOTE_FRESH_US)
    known = NULL;
  if (known)
    known->references++;
  pthread_mutex_unlock(&remote->mutex);
  return known;
}

/* Whether the one tells nothing that the other does not. */
static bool known_same(const struct remote_known *a, const struct remote_known *b) {
  uint64_t of_a, of_b;
  const char *x = vecdb_client_about_expiry(a->about, &of_a);
  const char *y = vecdb_client_about_expiry(b->about, &of_b);
  return vecdb_client_about_version(a->about) == vecdb_client_about_version(b->about) &&
         of_a == of_b && (x && y ? !strcmp(x, y) : x == y);
}

/* Takes what a node has just told. The session goes on while the collection is the same one. */
static struct remote_known *known_keep(struct remote *remote, struct remote_known *fresh) {
  pthread_mutex_lock(&remote->mutex);
  struct remote_known **at = known_place(remote, fresh->name), *known = *at;
  bool same = known && vecdb_client_about_id(known->about) == vecdb_client_about_id(fresh->about);
  uint64_t version = vecdb_client_about_version(fresh->about);
  if (same && (vecdb_client_about_version(known->about) > version || known_same(known, fresh))) {
    known->asked_us = fresh->asked_us;
    known_drop(fresh);
  } else {
    if (same) { /* the list's reference is the new one's from now on */
      *at = known->next;
      vecdb_client_session_free(fresh->session);
      fresh->session = known->session;
      fresh->before = known;
    } else if (known) {
      known_unlink(at);
    }
    known = fresh;
    known->next = remote->known;
    remote->known = known;
  }
  known->references++;
  pthread_mutex_unlock(&remote->mutex);
  return known;
}

static const vecdb_field *known_key(const vecdb_schema *schema) {
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (schema->fields[i].flags & VECDB_PRIMARY_KEY)
      return &schema->fields[i];
  return NULL;
}

struct remote_known *remote_ask(struct remote *remote, const char *name, vecdb_error *error) {
  const vecdb_client_call call = remote_call(remote);
  struct remote_known *known = calloc(1, sizeof *known);
  if (!known) {
    remote_no_memory(error);
    return NULL;
  }
  known->references = 1;
  known->asked_us = remote_now_us();
  snprintf(known->name, sizeof known->name, "%s", name);
  known->session = vecdb_client_session_new();
  int rc = known->session ? vecdb_client_describe(remote->client, name, &call, &known->about, error)
                          : remote_no_memory(error);
  known->schema = rc ? NULL : vecdb_client_about_schema(known->about);
  known->key = rc ? NULL : known_key(known->schema);
  if (!rc && !known->key)
    rc = engine_fail(error, VECDB_ERR_SCHEMA, "the collection's schema has no key");
  if (!rc)
    return known_keep(remote, known);
  known_drop(known); /* nobody else has it yet */
  return NULL;
}

/* ---- Collections ---- */

static int remote_get_collection(struct engine *engine, const char *name,
                                 struct engine_collection **out, vecdb_error *error) {
  struct remote *remote = remote_of(engine);
  struct remote_collection *c = calloc(1, sizeof *c);
  *out = NULL;
  if (!c)
    return remote_no_memory(error);
  vecdb_error own;
  c->known = known_fresh(remote, name);
  if (!c->known)
    c->known = remote_ask(remote, name, &own);
  if (!c->known) {
    free(c);
    if (own.code == VECDB_ERR_NOT_FOUND)
      remote_forget(remote, name);
    if (error)
      *error = own;
    return remote_said(own.code, name, error);
  }
  c->base.ops = engine->ops;
  c->remote = remote;
  *out = &c->base;
  return VECDB_OK;
}

static void remote_release(struct engine_collection *collection) {
  struct remote_collection *c = (struct remote_collection *)collection;
  pthread_mutex_lock(&c->remote->mutex);
  known_drop(c->known);
  for (struct remote_former *f = c->former, *next; f; f = next) {
    next = f->next;
    known_drop(f->known);
    free(f);
  }
  pthread_mutex_unlock(&c->remote->mutex);
  free(c);
}

static int remote_create(struct engine *engine, const char *name, const vecdb_schema *schema,
                         struct engine_collection **out, vecdb_error *error) {
  struct remote *remote = remote_of(engine);
  const vecdb_client_call call = remote_call(remote);
  if (out)
    *out = NULL;
  vecdb_client_layout layout = remote->layout;
  for (uint32_t i = 0; remote->tenant_field && i < schema->n_fields; i++)
    if (strcmp(schema->fields[i].name, remote->tenant_field) == 0)
      layout.tenant_field = remote->tenant_field;
  int rc = vecdb_client_create(remote->client, name, schema, &layout, &call, error);
  return rc || !out ? remote_said(rc, name, error)
                    : remote_get_collection(engine, name, out, error);
}

static int remote_drop(struct engine *engine, const char *name, vecdb_error *error) {
  struct remote *remote = remote_of(engine);
  const vecdb_client_call call = remote_call(remote);
  remote_forget(remote, name);
  return remote_said(vecdb_client_drop(remote->client, name, &call, error), name, error);
}

static int remote_list(struct engine *engine, int (*visit)(void *user, const char *name),
                       void *user, vecdb_error *error) {
  struct remote *remote = remote_of(engine);
  const vecdb_client_call call = remote_call(remote);
  vecdb_client_list *list;
  int rc = vecdb_client_list_collections(remote->client, &call, &list, error);
  if (rc)
    return rc;
  const char *name;
  for (size_t i = 0; (name = vecdb_client_list_name(list, i)) && !visit(user, name); i++)
    continue;
  vecdb_client_list_free(list);
  return VECDB_OK;
}

static const char *remote_name(const struct engine_collection *collection) {
  return remote_collection_of(collection)->known->name;
}

static const vecdb_schema *remote_schema(const struct engine_collection *collection) {
  return remote_collection_of(collection)->known->schema;
}

static const char *remote_expiry(const struct engine_collection *collection, uint64_t *ttl_ms) {
  return vecdb_client_about_expiry(remote_collection_of(collection)->known->about, ttl_ms);
}

/* What was acknowledged is on disks. */
static int remote_flush(struct engine_collection *collection, const vecdb_control *control,
                        vecdb_error *error) {
  (void)collection;
  (void)control;
  (void)error;
  return VECDB_OK;
}

/* ---- Opening ---- */

static int remote_close(struct engine *engine, vecdb_error *error) {
  struct remote *remote = remote_of(engine);
  (void)error;
  vecdb_client_close(remote->client);
  while (remote->known)
    known_unlink(&remote->known);
  pthread_mutex_destroy(&remote->mutex);
  free(remote);
  return VECDB_OK;
}

static int remote_numbers(struct engine *engine, uint32_t n, int64_t *first,
                          vecdb_error *error) {
  const vecdb_client_call call = remote_call(remote_of(engine));
  return vecdb_client_numbers(remote_of(engine)->client, n, first, &call, error);
}

static const struct engine_ops remote_ops = {.close = remote_close,
                                             .numbers = remote_numbers,
                                             .collection_create = remote_create,
                                             .collection_get = remote_get_collection,
                                             .collection_drop = remote_drop,
                                             .collection_list = remote_list,
                                             .collection_release = remote_release,
                                             .collection_name = remote_name,
                                             .collection_schema = remote_schema,
                                             .expiry = remote_expiry,
                                             .collection_stats = remote_stats,
                                             .replicas = remote_replicas,
                                             .fields_add = remote_fields_add,
                                             .field_drop = remote_field_drop,
                                             .field_rename = remote_field_rename,
                                             .expire = remote_expire,
                                             .json_index_create = remote_json_index_create,
                                             .json_index_drop = remote_json_index_drop,
                                             .flush = remote_flush,
                                             .compact = remote_compact,
                                             .insert = remote_insert,
                                             .upsert = remote_upsert,
                                             .update = remote_update,
                                             .delete = remote_delete,
                                             .delete_where = remote_delete_where,
                                             .search = remote_search,
                                             .search_range = remote_search_range,
                                             .search_groups = remote_search_groups,
                                             .search_hybrid = remote_search_hybrid,
                                             .explain = remote_explain,
                                             .query = remote_query,
                                             .count = remote_count,
                                             .sparse_counts = remote_sparse_counts,
                                             .get = remote_get,
                                             .optimizer_set = remote_optimizer_set,
                                             .push = remote_push,
                                             .pull = remote_pull};

struct engine *engine_remote_open(const struct engine_cluster *cluster, vecdb_error *error) {
  vecdb_client_options options = VECDB_CLIENT_OPTIONS_INIT;
  struct remote *remote = calloc(1, sizeof *remote);
  if (!remote) {
    remote_no_memory(error);
    return NULL;
  }
  options.nodes = cluster->nodes;
  options.cluster = cluster->id;
  options.ca_file = cluster->ca_file;
  options.cert_file = cluster->cert_file;
  options.key_file = cluster->key_file;
  options.id = cluster->client;
  options.timeout_ms = cluster->timeout_ms;
  if (vecdb_client_open(&options, &remote->client, error)) {
    free(remote);
    return NULL;
  }
  remote->engine.ops = &remote_ops;
  remote->layout = (vecdb_client_layout)VECDB_CLIENT_LAYOUT_INIT;
  remote->layout.shards = cluster->shards;
  remote->layout.replicas = cluster->replicas;
  remote->tenant_field = cluster->tenant_field;
  remote->timeout_ms = cluster->timeout_ms;
  pthread_mutex_init(&remote->mutex, NULL);
  return &remote->engine;
}
