/* guard.c - see guard.h. */
#include "server/guard.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth.h"
#include "server/json_schema.h"
#include "server/observe.h"
#include "server/server.h"
#include "server/staleness.h"
#include "server/tenant.h"

enum { GUARD_STRIPES = 256 };

/* A tenant's upsert looks whose the rows with its keys are, and writes. Until it has, nobody else
   writes these keys: each write holds the mutexes that its keys fall to. Deletes need not. */
struct srv_guard {
  pthread_mutex_t stripes[GUARD_STRIPES];
};

struct srv_guard *srv_guard_new(void) {
  struct srv_guard *guard = calloc(1, sizeof *guard);
  for (int i = 0; guard && i < GUARD_STRIPES; i++)
    pthread_mutex_init(&guard->stripes[i], NULL);
  return guard;
}

void srv_guard_free(struct srv_guard *guard) {
  for (int i = 0; guard && i < GUARD_STRIPES; i++)
    pthread_mutex_destroy(&guard->stripes[i]);
  free(guard);
}

/* ---- Who may --------------------------------------------------------------------------------- */

static bool guard_is_open(const struct srv_call *call) {
  return !call->server->auth || !srv_auth_is_required(call->server->auth);
}

static bool guard_is_bound(const struct srv_call *call) {
  return call->who && *call->who->tenant;
}

/* Who is unknown, on a route that is public, may nothing here. */
static bool guard_may(const struct srv_call *call, enum srv_permission permission,
                      const char *collection) {
  return guard_is_open(call) ||
         (call->who && srv_identity_may(call->who, permission, collection));
}

static int guard_deny(struct srv_call *call, vecdb_error *error) {
  call->denied = "no role allows this on the collection";
  return srv_tenant_error(error, VECDB_ERR_READ_ONLY, -1, "this is not permitted");
}

static int guard_no_memory(vecdb_error *error) {
  return srv_tenant_error(error, VECDB_ERR_NO_MEMORY, -1, "the server is out of memory");
}

/* ---- Collections ----------------------------------------------------------------------------- */

int srv_guard_get_collection(struct srv_call *call, const char *name,
                             struct engine_collection **out, vecdb_error *error) {
  *out = NULL;
  if (!guard_may(call, call->route->permission, name))
    return guard_deny(call, error);
  int rc = engine_collection_get(call->server->engine, name, out, error);
  if (rc)
    return rc;
  (*out)->how.timeout_ms = call->timeout_ms;
  rc = srv_staleness_check(call, *out, error);
  if (rc) {
    engine_collection_release(*out);
    *out = NULL;
  }
  return rc;
}

int srv_guard_create(struct srv_call *call, const char *name, const vecdb_schema *schema,
                     struct engine_collection **out, vecdb_error *error) {
  if (!guard_may(call, SRV_ADMIN, name))
    return guard_deny(call, error);
  return engine_collection_create(call->server->engine, name, schema, out, error);
}

int srv_guard_drop(struct srv_call *call, const char *name, vecdb_error *error) {
  if (!guard_may(call, SRV_ADMIN, name))
    return guard_deny(call, error);
  return engine_collection_drop(call->server->engine, name, error);
}

bool srv_guard_may_read(const struct srv_call *call, const char *collection) {
  return guard_may(call, SRV_READ, collection);
}

struct guard_walk {
  struct srv_call *call;
  int (*visit)(void *user, const char *name);
  void *user;
};

static int guard_visit(void *user, const char *name) {
  const struct guard_walk *walk = user;
  return srv_guard_may_read(walk->call, name) ? walk->visit(walk->user, name) : 0;
}

int srv_guard_list(struct srv_call *call, int (*visit)(void *user, const char *name), void *user,
                   vecdb_error *error) {
  struct guard_walk walk = {call, visit, user};
  return engine_collection_list(call->server->engine, guard_visit, &walk, error);
}

int srv_guard_stats(struct srv_call *call, struct engine_collection *collection, vecdb_stats *out,
                    vecdb_error *error) {
  if (!guard_is_bound(call))
    return engine_collection_stats(collection, out, error);
  *out = (vecdb_stats)VECDB_STATS_INIT;
  return srv_guard_count(call, collection, NULL, &out->rows, error);
}

/* ---- Filters --------------------------------------------------------------------------------- */

/* The filter within the tenant's rows; *out is `filter` itself for who is bound to none. */
static int guard_filter(struct srv_call *call, struct engine_collection *collection,
                        const vecdb_filter *filter, vecdb_filter *out, vecdb_error *error) {
  struct srv_tenant tenant;
  if (!guard_is_bound(call)) {
    *out = filter ? *filter : (vecdb_filter){NULL, 0, NULL, 0};
    return VECDB_OK;
  }
  int rc = srv_tenant_of(call, engine_collection_schema(collection), &tenant, error);
  return rc ? rc : srv_tenant_filter(call, &tenant, filter, out, error);
}

/* Leaves of how a search went what tells a tenant nothing of the rows that it passed by. */
static void guard_hide(const struct srv_call *call, vecdb_search_info *info) {
  if (info && guard_is_bound(call))
    *info = (vecdb_search_info){
        .size = info->size, .partial = info->partial, .elapsed_ns = info->elapsed_ns};
}

int srv_guard_search(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_search_params *params, vecdb_hit *hits, uint32_t *counts,
                     vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error) {
  vecdb_search_params own = *params;
  uint64_t began = srv_now_ns();
  int rc = guard_filter(call, collection, &params->filter, &own.filter, error);
  if (!rc)
    rc = engine_search(collection, &own, hits, counts, info, rows, error);
  srv_observe_search(call, collection, params, began);
  guard_hide(call, info);
  for (uint32_t q = 0; !rc && (q < own.n_queries || q == 0); q++)
    srv_auth_rows(call, counts[q]);
  return rc;
}

int srv_guard_search_range(struct srv_call *call, struct engine_collection *collection,
                           const vecdb_search_params *params, float radius, vecdb_hit *hits,
                           uint32_t *count, struct engine_rows **rows, vecdb_error *error) {
  vecdb_search_params own = *params;
  uint64_t began = srv_now_ns();
  int rc = guard_filter(call, collection, &params->filter, &own.filter, error);
  if (!rc)
    rc = engine_search_range(collection, &own, radius, hits, count, NULL, rows, error);
  srv_observe_search(call, collection, params, began);
  if (!rc)
    srv_auth_rows(call, *count);
  return rc;
}

int srv_guard_search_groups(struct srv_call *call, struct engine_collection *collection,
                            const vecdb_search_params *params, const vecdb_group_by *by,
                            vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                            struct engine_rows **rows, vecdb_error *error) {
  vecdb_search_params own = *params;
  size_t groups = (size_t)params->k * (params->n_queries ? params->n_queries : 1);
  uint64_t began = srv_now_ns();
  int rc = guard_filter(call, collection, &params->filter, &own.filter, error);
  if (!rc)
    rc = engine_search_groups(collection, &own, by, hits, counts, info, rows, error);
  srv_observe_search(call, collection, params, began);
  guard_hide(call, info);
  for (size_t g = 0; !rc && g < groups; g++)
    srv_auth_rows(call, counts[g]);
  return rc;
}

int srv_guard_search_hybrid(struct srv_call *call, struct engine_collection *collection,
                            const vecdb_hybrid_params *params, vecdb_hit *hits, uint32_t *counts,
                            struct engine_rows **rows, vecdb_error *error) {
  vecdb_hybrid_params own = *params;
  vecdb_hybrid_search *searches =
      srv_arena_array(&call->arena, params->n_searches, sizeof *searches);
  uint64_t began = srv_now_ns();
  int rc = searches ? VECDB_OK : guard_no_memory(error);
  for (uint32_t i = 0; !rc && i < params->n_searches; i++) {
    searches[i] = params->searches[i];
    rc = guard_filter(call, collection, &params->searches[i].search.filter,
                      &searches[i].search.filter, error);
  }
  own.searches = searches;
  if (!rc)
    rc = engine_search_hybrid(collection, &own, hits, counts, NULL, rows, error);
  srv_observe_hybrid(call, collection, params, began);
  uint32_t n_queries = params->n_searches ? params->searches[0].search.n_queries : 0;
  for (uint32_t q = 0; !rc && (q < n_queries || q == 0); q++)
    srv_auth_rows(call, counts[q]);
  return rc;
}

int srv_guard_explain_all(struct srv_call *call, struct engine_collection *collection,
                          const vecdb_search_params *params, char *text, size_t capacity,
                          size_t *length, vecdb_error *error) {
  vecdb_search_params own = *params;
  int rc = guard_filter(call, collection, &params->filter, &own.filter, error);
  return rc ? rc : engine_explain(collection, &own, text, capacity, length, error);
}

/* What a plan counts and estimates is of all tenants' rows. */
int srv_guard_explain(struct srv_call *call, struct engine_collection *collection,
                      const vecdb_search_params *params, char *text, size_t capacity,
                      size_t *length, vecdb_error *error) {
  static const char hidden[] = "the search is good; its plan tells of the rows of all tenants, and "
                               "is not shown to one of them\n";
  if (!guard_is_bound(call))
    return srv_guard_explain_all(call, collection, params, text, capacity, length, error);
  int rc = srv_guard_explain_all(call, collection, params, NULL, 0, NULL, error);
  if (rc != VECDB_OK && rc != VECDB_ERR_BUFFER)
    return rc;
  if (length)
    *length = sizeof hidden - 1;
  if (capacity < sizeof hidden)
    return srv_tenant_error(error, VECDB_ERR_BUFFER, -1, "the text needs more room");
  memcpy(text, hidden, sizeof hidden);
  return VECDB_OK;
}

int srv_guard_query(struct srv_call *call, struct engine_collection *collection,
                    const vecdb_query_params *params, struct engine_rows **out,
                    vecdb_error *error) {
  vecdb_query_params own = *params;
  uint64_t began = srv_now_ns();
  int rc = guard_filter(call, collection, &params->filter, &own.filter, error);
  if (!rc)
    rc = engine_query(collection, &own, out, error);
  srv_observe_query(call, params, began);
  if (!rc)
    srv_auth_rows(call, engine_rows_count(*out));
  return rc;
}

int srv_guard_count(struct srv_call *call, struct engine_collection *collection,
                    const vecdb_filter *filter, uint64_t *count, vecdb_error *error) {
  vecdb_filter own;
  int rc = guard_filter(call, collection, filter, &own, error);
  return rc ? rc : engine_count(collection, &own, count, error);
}

int srv_guard_sparse_counts(struct srv_call *call, struct engine_collection *collection,
                            const char *field, const uint32_t *indices, size_t n, uint64_t *counts,
                            uint64_t *rows, vecdb_error *error) {
  vecdb_filter own;
  int rc = guard_filter(call, collection, NULL, &own, error);
  return rc ? rc
            : engine_sparse_counts(collection, field, &own, indices, n, counts, rows, error);
}

/* A blank filter deletes nothing, here as in the library: it is left as it is. */
int srv_guard_delete_where(struct srv_call *call, struct engine_collection *collection,
                           const vecdb_filter *filter, uint64_t *deleted, vecdb_error *error) {
  vecdb_filter own;
  if (srv_tenant_is_blank(filter))
    return engine_delete_where(collection, filter, deleted, NULL, error);
  int rc = guard_filter(call, collection, filter, &own, error);
  return rc ? rc : engine_delete_where(collection, &own, deleted, NULL, error);
}

/* ---- Rows by key ----------------------------------------------------------------------------- */

/* For a tenant a delete by key is one of rows that have these keys and are the tenant's: one
   transaction sees to both. */
int srv_guard_delete(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_keys *keys, uint64_t *deleted, vecdb_error *error) {
  if (!guard_is_bound(call))
    return engine_delete(collection, keys, deleted, error);
  const vecdb_field *key = srv_schema_key(engine_collection_schema(collection));
  vecdb_param param = {"keys", {.type = VECDB_ARRAY, .length = (uint32_t)keys->n}};
  param.value.element_type = key->type;
  param.value.as.data = key->type == VECDB_VARCHAR ? (const void *)keys->strings : keys->integers;
  if (keys->n == 0 || keys->n > UINT32_MAX || !param.value.as.data)
    return engine_delete(collection, keys, deleted, error); /* which says what is wrong */
  size_t room = strlen(key->name) + 16;
  char *text = srv_arena_take(&call->arena, room);
  if (!text)
    return guard_no_memory(error);
  strcat(strcpy(text, key->name), " in {keys}");
  vecdb_filter filter = {text, 0, &param, 1};
  return srv_guard_delete_where(call, collection, &filter, deleted, error);
}

/* The names, and that of the field which says whose a row is; NULL: no memory. */
static const char **guard_fields(struct srv_call *call, struct srv_guard_fields *fields,
                                 const char *field) {
  const char **names = srv_arena_array(&call->arena, fields->n + 1, sizeof *names);
  bool there = false;
  for (size_t i = 0; names && i < fields->n; i++) {
    names[i] = fields->names[i];
    there = there || strcmp(names[i], field) == 0;
  }
  if (names && !there)
    names[fields->n++] = field;
  return names;
}

/* Keys that are looked up, and which ones of the caller's they are. */
struct guard_keys {
  int64_t *integers;
  vecdb_string *strings;
  size_t *place;
  size_t n;
};

static bool guard_keys_copy(struct srv_call *call, const vecdb_keys *keys, struct guard_keys *out) {
  struct srv_arena *arena = &call->arena;
  *out = (struct guard_keys){NULL, NULL, srv_arena_array(arena, keys->n, sizeof(size_t)), keys->n};
  if (keys->integers)
    out->integers = srv_arena_array(arena, keys->n, sizeof *out->integers);
  else
    out->strings = srv_arena_array(arena, keys->n, sizeof *out->strings);
  if (!out->place || (!out->integers && !out->strings))
    return false;
  for (size_t i = 0; i < keys->n; i++) {
    out->place[i] = i;
    if (out->integers)
      out->integers[i] = keys->integers[i];
    else
      out->strings[i] = keys->strings[i];
  }
  return true;
}

static void guard_keys_move(struct guard_keys *k, size_t from, size_t to) {
  k->place[to] = k->place[from];
  if (k->integers)
    k->integers[to] = k->integers[from];
  else
    k->strings[to] = k->strings[from];
}

/* Leaves those keys whose rows are the tenant's. True: all rows are, so they may be shown. */
static bool guard_keep(const struct srv_tenant *tenant, const struct engine_rows *rows,
                       const uint8_t *here, struct guard_keys *k) {
  int column = engine_rows_find(rows, tenant->field);
  size_t row = 0, n = 0;
  bool all = true;
  for (size_t i = 0; i < k->n; i++) {
    if (!here[i])
      continue;
    vecdb_value v = engine_rows_value(rows, row++, (size_t)column);
    bool own = column >= 0 && srv_tenant_owns(tenant, v);
    all = all && own;
    if (own)
      guard_keys_move(k, i, n++);
  }
  k->n = n;
  return all;
}

/* Rows are read and looked at, and read again without those of others until there are none: what is
   given was seen to be the tenant's. */
static int guard_get_own(struct srv_call *call, struct engine_collection *collection,
                         const struct srv_tenant *tenant, struct guard_keys *k,
                         struct srv_guard_fields fields, struct engine_rows **out,
                         vecdb_error *error) {
  uint8_t *here = srv_arena_array(&call->arena, k->n + 1, 1);
  if (!here)
    return guard_no_memory(error);
  for (;;) {
    vecdb_keys keys = {k->integers, k->strings, k->n};
    int rc = engine_get(collection, &keys, fields.names, fields.n, here, out, error);
    if (rc || guard_keep(tenant, *out, here, k))
      return rc;
    engine_rows_free(*out);
    *out = NULL;
  }
}

static int guard_get(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_keys *keys, struct srv_guard_fields fields, uint8_t *found,
                     struct engine_rows **out, vecdb_error *error) {
  struct srv_tenant tenant;
  struct guard_keys own;
  if (!guard_is_bound(call))
    return engine_get(collection, keys, fields.names, fields.n, found, out, error);
  int rc = srv_tenant_of(call, engine_collection_schema(collection), &tenant, error);
  if (rc)
    return rc;
  const char **names = fields.names ? guard_fields(call, &fields, tenant.field) : NULL;
  if ((fields.names && !names) || !guard_keys_copy(call, keys, &own))
    return guard_no_memory(error);
  fields.names = names;
  rc = guard_get_own(call, collection, &tenant, &own, fields, out, error);
  if (rc || !found)
    return rc;
  memset(found, 0, keys->n);
  for (size_t i = 0; i < own.n; i++)
    found[own.place[i]] = 1;
  return VECDB_OK;
}

int srv_guard_get(struct srv_call *call, struct engine_collection *collection,
                  const vecdb_keys *keys, struct srv_guard_fields fields, uint8_t *found,
                  struct engine_rows **out, vecdb_error *error) {
  int rc = guard_get(call, collection, keys, fields, found, out, error);
  if (!rc)
    srv_auth_rows(call, engine_rows_count(*out));
  return rc;
}

/* ---- Writing --------------------------------------------------------------------------------- */

typedef int guard_writer(struct engine_collection *collection, const vecdb_batch *batch,
                         int64_t *ids, vecdb_error *error);

/* A write on its way. */
struct guard_write {
  struct srv_call *call;
  struct engine_collection *collection;
  const vecdb_batch *batch;
  vecdb_keys keys; /* none where the database numbers the rows */
  bool held[GUARD_STRIPES];
};

static unsigned guard_stripe(const void *bytes, size_t n) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (size_t i = 0; i < n; i++)
    hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
  return (unsigned)(hash >> 32) % GUARD_STRIPES;
}

/* The mutexes that the keys fall to. */
static void guard_write_hold(struct guard_write *w) {
  for (size_t i = 0; i < w->keys.n; i++) {
    const vecdb_string *text = w->keys.strings ? &w->keys.strings[i] : NULL;
    w->held[text ? guard_stripe(text->data, text->length)
                 : guard_stripe(&w->keys.integers[i], sizeof *w->keys.integers)] = true;
  }
}

/* The batch's keys, and their mutexes. */
static bool guard_write_keys(struct guard_write *w) {
  struct srv_arena *arena = &w->call->arena;
  const vecdb_field *key = srv_schema_key(engine_collection_schema(w->collection));
  const vecdb_column *column = srv_batch_column(w->batch, key->name);
  size_t n = column ? w->batch->n_rows : 0;
  bool texts = key->type == VECDB_VARCHAR;
  int64_t *integers = texts ? NULL : srv_arena_array(arena, n, sizeof *integers);
  vecdb_string *strings = texts ? srv_arena_array(arena, n, sizeof *strings) : NULL;
  if (!integers && !strings)
    return false;
  w->keys = (vecdb_keys){integers, strings, n};
  for (uint32_t i = 0; i < n; i++) {
    vecdb_value v = srv_batch_value(key, column, i);
    if (texts)
      strings[i] = (vecdb_string){v.type ? v.as.data : "", v.length};
    else
      integers[i] = v.as.integer;
  }
  guard_write_hold(w);
  return true;
}

/* In order, so that two writes never wait for each other. */
static void guard_lock(const struct guard_write *w, int (*change)(pthread_mutex_t *mutex)) {
  for (int i = 0; i < GUARD_STRIPES; i++)
    if (w->held[i])
      change(&w->call->server->guard->stripes[i]);
}

/* Whether tenants keep to keys of their own (security.tenant_keys). */
static bool guard_keys_are_own(const struct srv_call *call) {
  return strcmp(call->server->config.tenant_keys, "yes") == 0 && !call->numbered;
}

/* Whether a key begins with the tenant's name and a colon. A tenant with a colon in its name has no
   such keys: they could be another's, too. */
static bool guard_key_is_named(const struct guard_write *w, size_t i) {
  const char *tenant = w->call->who->tenant;
  size_t n = strlen(tenant);
  const vecdb_string *key = w->keys.strings ? &w->keys.strings[i] : NULL;
  return key && key->length > n && memcmp(key->data, tenant, n) == 0 && key->data[n] == ':' &&
         !memchr(tenant, ':', n);
}

/* Whether the tenant may write these keys: the rows that are replaced must be its own. Where keys
   are, too, one without a row must be named so, and what is refused is so in the same words whether
   or not there is a row. */
static int guard_keys_may(const struct guard_write *w, const struct srv_tenant *tenant,
                          vecdb_error *error) {
  struct engine_rows *rows;
  bool own = guard_keys_are_own(w->call), good = true;
  uint8_t *here = srv_arena_take(&w->call->arena, w->keys.n + 1);
  if (w->keys.n == 0)
    return VECDB_OK;
  if (!here)
    return guard_no_memory(error);
  int rc = engine_get(w->collection, &w->keys, &tenant->field, 1, here, &rows, error);
  if (rc)
    return rc;
  size_t column = (size_t)engine_rows_find(rows, tenant->field), row = 0;
  for (size_t i = 0; good && i < w->keys.n; i++)
    good = here[i] ? srv_tenant_owns(tenant, engine_rows_value(rows, row++, column))
                   : !own || guard_key_is_named(w, i);
  engine_rows_free(rows);
  if (good)
    return VECDB_OK;
  w->call->denied = own ? "a key that is not the tenant's" : "a row of another tenant's key";
  return srv_tenant_error(error, VECDB_ERR_READ_ONLY, -1,
                          own ? "a key is not one of the tenant's: it must begin with the tenant's "
                                "name and a colon"
                              : "a key is that of another's row");
}

static int guard_tenant_may(const struct guard_write *w, struct srv_tenant *tenant,
                            vecdb_error *error) {
  const vecdb_schema *schema = engine_collection_schema(w->collection);
  int rc = srv_tenant_of(w->call, schema, tenant, error);
  if (!rc)
    rc = srv_tenant_check(tenant, schema, w->batch, error);
  if (rc == VECDB_ERR_READ_ONLY && !w->call->denied)
    w->call->denied = "a row that is not the tenant's";
  return rc;
}

static int guard_put(struct guard_write *w, guard_writer *writer, int64_t *ids,
                     vecdb_error *error) {
  struct srv_tenant tenant;
  bool bound = guard_is_bound(w->call);
  int rc = bound ? guard_tenant_may(w, &tenant, error) : VECDB_OK;
  if (rc)
    return rc;
  if (!guard_write_keys(w))
    return guard_no_memory(error);
  guard_lock(w, pthread_mutex_lock);
  if (bound && (writer == engine_upsert || guard_keys_are_own(w->call)))
    rc = guard_keys_may(w, &tenant, error);
  if (!rc)
    rc = writer(w->collection, w->batch, ids, error);
  guard_lock(w, pthread_mutex_unlock);
  if (!rc)
    srv_auth_rows(w->call, w->batch->n_rows);
  return rc;
}

int srv_guard_insert(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, int64_t *ids, vecdb_error *error) {
  struct guard_write w = {.call = call, .collection = collection, .batch = batch};
  return guard_is_open(call) ? engine_insert(collection, batch, ids, error)
                             : guard_put(&w, engine_insert, ids, error);
}

int srv_guard_upsert(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, int64_t *ids, vecdb_error *error) {
  struct guard_write w = {.call = call, .collection = collection, .batch = batch};
  return guard_is_open(call) ? engine_upsert(collection, batch, ids, error)
                             : guard_put(&w, engine_upsert, ids, error);
}

int srv_guard_update(struct srv_call *call, struct engine_collection *collection,
                     const vecdb_batch *batch, uint32_t flags, uint8_t *found, vecdb_error *error) {
  struct guard_write w = {.call = call, .collection = collection, .batch = batch};
  struct srv_tenant tenant;
  bool bound = guard_is_bound(call);
  if (guard_is_open(call))
    return engine_update(collection, batch, flags, found, error);
  int rc = bound ? srv_tenant_of(call, engine_collection_schema(collection), &tenant, error)
                 : VECDB_OK;
  if (!rc && bound && (flags || srv_batch_column(batch, tenant.field)))
    rc = guard_tenant_may(&w, &tenant, error);
  if (rc)
    return rc;
  if (!guard_write_keys(&w))
    return guard_no_memory(error);
  guard_lock(&w, pthread_mutex_lock);
  if (bound)
    rc = guard_keys_may(&w, &tenant, error);
  if (!rc)
    rc = engine_update(collection, batch, flags, found, error);
  guard_lock(&w, pthread_mutex_unlock);
  if (!rc)
    srv_auth_rows(call, batch->n_rows);
  return rc;
}

/* ---- Vectors that learn ---------------------------------------------------------------------- */

/* Keys of a call, when they are good enough to be looked at; what is wrong with others the library
   says. */
static bool guard_has_keys(const struct engine_collection *collection, const vecdb_keys *keys) {
  bool texts = srv_schema_key(engine_collection_schema(collection))->type == VECDB_VARCHAR;
  return keys->n > 0 && (texts ? keys->strings != NULL : keys->integers != NULL);
}

int srv_guard_push(struct srv_call *call, struct engine_collection *collection,
                   const vecdb_push_params *params, uint64_t *versions, vecdb_error *error) {
  struct guard_write w = {.call = call, .collection = collection};
  struct srv_tenant tenant;
  bool bound = guard_is_bound(call);
  if (guard_is_open(call) || !params->keys || !guard_has_keys(collection, params->keys))
    return engine_push(collection, params, versions, error);
  int rc = bound ? srv_tenant_of(call, engine_collection_schema(collection), &tenant, error)
                 : VECDB_OK;
  if (!rc && bound && params->flags) {
    call->denied = "a push would make a row that is nobody's";
    rc = srv_tenant_error(error, VECDB_ERR_READ_ONLY, -1, "a tenant's pushes make no rows");
  }
  if (rc)
    return rc;
  w.keys = *params->keys;
  guard_write_hold(&w);
  guard_lock(&w, pthread_mutex_lock);
  if (bound)
    rc = guard_keys_may(&w, &tenant, error);
  if (!rc)
    rc = engine_push(collection, params, versions, error);
  guard_lock(&w, pthread_mutex_unlock);
  if (!rc)
    srv_auth_rows(call, w.keys.n);
  return rc;
}

/* Pulls what is the tenant's. Until it has, nobody writes these keys, so the rows that are pulled
   are those that were seen. */
static int guard_pull_own(struct guard_write *w, const struct srv_tenant *tenant,
                          const struct srv_guard_pull *pull, vecdb_error *error) {
  struct guard_keys own;
  uint8_t *here = srv_arena_take(&w->call->arena, w->keys.n);
  float *values = srv_arena_array(&w->call->arena, w->keys.n * pull->dim, sizeof *values);
  uint64_t *versions = srv_arena_array(&w->call->arena, w->keys.n, sizeof *versions);
  struct engine_rows *rows = NULL;
  if (!here || !values || !versions || !guard_keys_copy(w->call, &w->keys, &own))
    return guard_no_memory(error);
  int rc = engine_get(w->collection, &w->keys, &tenant->field, 1, here, &rows, error);
  if (!rc)
    guard_keep(tenant, rows, here, &own);
  engine_rows_free(rows);
  vecdb_keys keys = {own.integers, own.strings, own.n};
  if (!rc)
    rc = engine_pull(w->collection, pull->field, &keys, values, 0, versions, error);
  for (size_t i = 0; !rc && i < own.n; i++) {
    memcpy(pull->values + own.place[i] * pull->dim, values + i * pull->dim,
           pull->dim * sizeof *values);
    pull->versions[own.place[i]] = versions[i];
  }
  return rc;
}

int srv_guard_pull(struct srv_call *call, struct engine_collection *collection,
                   const struct srv_guard_pull *pull, vecdb_error *error) {
  struct guard_write w = {.call = call, .collection = collection, .keys = *pull->keys};
  struct srv_tenant tenant;
  int rc;
  if (guard_is_bound(call) && guard_has_keys(collection, pull->keys)) {
    memset(pull->versions, 0, w.keys.n * sizeof *pull->versions);
    rc = srv_tenant_of(call, engine_collection_schema(collection), &tenant, error);
    if (rc)
      return rc;
    guard_write_hold(&w);
    guard_lock(&w, pthread_mutex_lock);
    rc = guard_pull_own(&w, &tenant, pull, error);
    guard_lock(&w, pthread_mutex_unlock);
  } else {
    rc = engine_pull(collection, pull->field, pull->keys, pull->values, 0, pull->versions, error);
  }
  for (size_t i = 0; !rc && i < w.keys.n; i++)
    srv_auth_rows(call, pull->versions[i] != 0);
  return rc;
}
