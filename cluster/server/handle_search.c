/* handle_search.c - searches by vector and by text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/dynamic.h"
#include "server/embed.h"
#include "server/guard.h"
#include "server/handlers.h"
#include "server/json_numbers.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/search_answer.h"
#include "server/server.h"

enum { SEARCH_TOP_K = 10 };

/* What a search is made of, between the request and the library. */
struct search {
  struct srv_call *call;
  struct engine_collection *collection;
  const vecdb_schema *schema;
  const vecdb_field *field; /* the vector field that is searched */
  vecdb_search_params params;
  vecdb_control control;
  vecdb_group_by group; /* field NULL: hits are not grouped */
  struct srv_dynamic dynamic;
  bool batch;     /* the request has "vectors" */
  json_t *filter; /* made by the server: the parameters borrow from it */
};

/* ---- Reading --------------------------------------------------------------------------------- */

static bool search_field(struct search *s, const char *name) {
  s->field = name ? srv_schema_field(s->schema, name) : srv_schema_vector(s->schema);
  if (s->field && srv_type_is_vector(s->field->type))
    return true;
  srv_call_fail(s->call, 400, "UNKNOWN_FIELD", "there is no vector field \"%.100s\"",
                name ? name : "");
  return false;
}

static void search_wrong_vector(const struct search *s, size_t i) {
  const vecdb_field *f = s->field;
  if (f->type == VECDB_SPARSE_VECTOR)
    srv_call_fail(s->call, 400, "TYPE",
                  "query %zu is no sparse vector: {\"indices\", \"values\"}, each index once", i);
  else
    srv_call_fail(s->call, 400, "DIMENSION",
                  "query %zu is no array of %u numbers fit for \"%s\"", i,
                  f->type == VECDB_BINARY_VECTOR ? f->dim / 8 : f->dim, f->name);
}

/* Puts n vectors, in JSON, into the parameters. */
static bool search_vectors(struct search *s, json_t *const *vectors, size_t n) {
  size_t bytes = srv_value_bytes(s->field);
  uint8_t *data = srv_arena_array(&s->call->arena, n, bytes);
  if (!data) {
    srv_call_no_memory(s->call);
    return false;
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t unused;
    if (srv_value_read(s->call, s->field, vectors[i], data + i * bytes, &unused))
      continue;
    search_wrong_vector(s, i);
    return false;
  }
  s->params.queries = data;
  s->params.n_queries = (uint32_t)n;
  return true;
}

static bool search_text(struct search *s, const char *text) {
  json_t *vector = srv_embed_text(s->call, text);
  bool good = vector && search_vectors(s, &vector, 1);
  json_decref(vector);
  return good;
}

/* Exactly one of "vector", "vectors" and "query". */
static bool search_queries(struct search *s, json_t *json) {
  const char *text = NULL;
  json_t *one = json_object_get(json, "vector"), *many = NULL;
  if (!srv_take_text(s->call, json, "query", &text) ||
      (!json_is_object(one) && !srv_is_numbers(one) &&
       !srv_take_array(s->call, json, "vector", &one)) ||
      !srv_take_array(s->call, json, "vectors", &many))
    return false;
  if ((text != NULL) + (one != NULL) + (many != NULL) != 1) {
    srv_call_fail(s->call, 400, "ARGUMENT",
                  "a search takes one of \"vector\", \"vectors\" and \"query\"");
    return false;
  }
  if (text)
    return search_text(s, text);
  if (one)
    return search_vectors(s, &one, 1);
  size_t n = json_array_size(many);
  json_t **list =
      n && n <= VECDB_MAX_QUERIES ? srv_arena_array(&s->call->arena, n, sizeof *list) : NULL;
  if (!list) {
    srv_call_fail(s->call, 400, "LIMIT", "\"vectors\" must have 1 to %d queries",
                  VECDB_MAX_QUERIES);
    return false;
  }
  for (size_t i = 0; i < n; i++)
    list[i] = json_array_get(many, i);
  s->batch = true;
  return search_vectors(s, list, n);
}

/* What a cluster may leave out: see engine.h. A database of this server meets every level. */
static bool search_consistency(struct search *s, json_t *json) {
  static const char *const levels[] = {[ENGINE_STRONG] = "strong",
                                       [ENGINE_SESSION] = "session",
                                       [ENGINE_BOUNDED] = "bounded",
                                       [ENGINE_EVENTUAL] = "eventually"};
  const char *level = "strong";
  struct engine_how *how = &s->collection->how;
  if (!srv_take_text(s->call, json, "consistency_level", &level) ||
      !srv_take_flag(s->call, json, "partial", &how->partial))
    return false;
  for (how->level = ENGINE_STRONG; how->level <= ENGINE_EVENTUAL; how->level++)
    if (strcasecmp(levels[how->level], level) == 0)
      return true;
  how->level = ENGINE_STRONG;
  srv_call_fail(s->call, 400, "OPTION",
                "\"consistency_level\" must be strong, session, bounded or"
                " eventually");
  return false;
}

/* Reads all but the queries. */
static bool search_options(struct search *s, json_t *json) {
  static const char *const keys[] = {
      "query",  "vector", "vectors", "field",  "top_k", "filter",     "params",
      "fields", "ef",     "nprobe",  "recall", "exact", "timeout_ms", "consistency_level",
      "group_by", "group_size", "partial", "max_staleness_ms", NULL};
  struct srv_call *call = s->call;
  bool exact = false;
  const char *field = NULL;
  s->params.k = SEARCH_TOP_K;
  s->control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  s->params.control = &s->control;
  if (!srv_only_keys(call, json, keys) || !srv_take_text(call, json, "field", &field) ||
      !srv_take_u32(call, json, "top_k", &s->params.k) ||
      !srv_take_u32(call, json, "ef", &s->params.ef) ||
      !srv_take_u32(call, json, "nprobe", &s->params.nprobe) ||
      !srv_take_float(call, json, "recall", &s->params.recall) ||
      !srv_take_u32(call, json, "timeout_ms", &s->control.timeout_ms) ||
      !srv_take_flag(call, json, "exact", &exact) ||
      !srv_take_text(call, json, "group_by", &s->group.field) ||
      !srv_take_u32(call, json, "group_size", &s->group.hits) ||
      !srv_take_names(call, json, "fields", &s->params.fields, &s->params.n_fields) ||
      !srv_filter_read(call, json, &s->params.filter) || !search_consistency(s, json) ||
      !search_field(s, field))
    return false;
  if (!srv_dynamic_settle(call, s->schema, &s->params.filter,
                          s->params.fields ? &s->params.fields : NULL, &s->params.n_fields,
                          &s->dynamic))
    return false;
  s->group.hits += s->group.hits == 0; /* 0: the default */
  s->params.plan = exact ? VECDB_PLAN_EXACT : VECDB_PLAN_AUTO;
  s->params.field = s->field->name;
  return true;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* The name and the member that hold a hit's key and its other fields. */
struct search_shape {
  const char *key;
  const char *rest;
};

/* Searches, for groups if so asked; a NULL field of groups is none. */
static int search_ask(struct search *s, vecdb_hit *hits, uint32_t *counts,
                      vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error) {
  if (s->group.field)
    return srv_guard_search_groups(s->call, s->collection, &s->params, &s->group, hits, counts,
                                   info, rows, error);
  return srv_guard_search(s->call, s->collection, &s->params, hits, counts, info, rows, error);
}

/* Runs the search and answers; `query`: the text that is searched for, to be repeated. */
static void search_run(struct search *s, const struct search_shape *shape, const char *query) {
  uint32_t n = s->params.n_queries, k = s->params.k;
  bool groups = s->group.field != NULL, fields = s->params.n_fields || !s->params.fields;
  if (k > VECDB_MAX_K || s->group.hits > VECDB_MAX_K)
    k = 0; /* the library says what is wrong with it */
  vecdb_hit *hits = srv_arena_array(&s->call->arena, (size_t)n * k * s->group.hits + 1,
                                    sizeof *hits);
  uint32_t *counts = srv_arena_array(&s->call->arena, groups ? (size_t)n * k + 1 : n,
                                     sizeof *counts);
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  struct engine_rows *rows;
  vecdb_error error;
  if (!hits || !counts) {
    srv_call_no_memory(s->call);
    return;
  }
  if (search_ask(s, hits, counts, &info, &rows, &error) != VECDB_OK) {
    srv_call_error(s->call, &error);
    return;
  }
  const struct srv_search_answer answer = {
      shape->key, fields ? shape->rest : NULL, n, k, groups ? s->group.hits : 0, s->batch, query,
      hits, counts, rows, &s->dynamic, &info};
  srv_search_answer(s->call, &answer);
  engine_rows_free(rows);
}

static bool search_begin(struct search *s, struct srv_call *call, const char *collection) {
  memset(s, 0, sizeof *s);
  s->call = call;
  s->params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  s->control = (vecdb_control)VECDB_CONTROL_INIT;
  s->group = (vecdb_group_by)VECDB_GROUP_BY_INIT;
  s->group.hits = 1;
  s->collection = srv_call_collection(call, collection);
  if (!s->collection)
    return false;
  s->schema = engine_collection_schema(s->collection);
  return true;
}

static void search_end(struct search *s) {
  json_decref(s->filter);
  engine_collection_release(s->collection);
}

void srv_search(struct srv_call *call) {
  static const struct search_shape shape = {"id", "fields"};
  static const char *const none[] = {NULL};
  struct search s;
  if (!search_begin(&s, call, call->args[0]))
    return;
  if (search_options(&s, call->json) && search_queries(&s, call->json)) {
    if (!s.params.fields)
      s.params.fields = none; /* only the key, unless fields are asked for */
    search_run(&s, &shape, NULL);
  }
  search_end(&s);
}

void srv_explain(struct srv_call *call) {
  struct search s;
  if (!search_begin(&s, call, call->args[0]))
    return;
  size_t length = 0;
  char *text = NULL;
  vecdb_error error = {0};
  bool good = search_options(&s, call->json) && search_queries(&s, call->json);
  int rc = VECDB_OK;
  if (good)
    rc = srv_guard_explain(call, s.collection, &s.params, NULL, 0, &length, &error);
  while (rc == VECDB_ERR_BUFFER) { /* again where it has grown meanwhile */
    const size_t room = length + length / 4 + 1;
    text = srv_arena_take(&call->arena, room);
    rc = VECDB_OK;
    if (text)
      rc = srv_guard_explain(call, s.collection, &s.params, text, room, &length, &error);
  }
  if (good && rc != VECDB_OK)
    srv_call_error(call, &error);
  else if (good)
    srv_call_answer(call, 200, text ? json_pack("{s:s}", "plan", text) : NULL);
  search_end(&s);
}

/* ---- The front-end's call -------------------------------------------------------------------- */

/* Adds "NAME == {NAME}" to the filter's text, and the value to its parameters. */
static bool front_term(struct search *s, const char *name, json_t *value, char *text,
                       json_t *params) {
  const vecdb_field *field = srv_schema_field(s->schema, name);
  if (!field || srv_type_is_vector(field->type)) {
    srv_call_fail(s->call, 400, "UNKNOWN_FIELD", "there is no field \"%.100s\" to filter by", name);
    return false;
  }
  size_t n = strlen(text);
  sprintf(text + n, "%s%s == {%s}", n ? " and " : "", name, name);
  return json_object_set(params, name, value) == 0;
}

/* Makes a filter of the members that are scalar fields: each must be equal. */
static bool front_filter(struct search *s, json_t *json) {
  size_t length = 1;
  const char *name;
  json_t *value;
  json_object_foreach(json, name, value) {
    length += 2 * strlen(name) + sizeof " and  == {}";
  }
  char *text = srv_arena_take(&s->call->arena, length);
  s->filter = json_pack("{s:{}}", "params");
  if (!text || !s->filter) {
    srv_call_no_memory(s->call);
    return false;
  }
  json_t *params = json_object_get(s->filter, "params");
  json_object_foreach(json, name, value) {
    bool own = strcmp(name, "query") == 0 || strcmp(name, "top_k") == 0;
    if (!own && !front_term(s, name, value, text, params))
      return false;
  }
  if (!*text)
    return true;
  json_object_set_new(s->filter, "filter", json_string(text));
  return srv_filter_read(s->call, s->filter, &s->params.filter);
}

/* The scalar fields but the key: the metadata of a hit. */
static bool front_fields(struct search *s) {
  const char **names = srv_arena_array(&s->call->arena, s->schema->n_fields, sizeof *names);
  if (!names)
    return false;
  for (uint32_t i = 0; i < s->schema->n_fields; i++) {
    const vecdb_field *f = &s->schema->fields[i];
    if (!srv_type_is_vector(f->type) && !(f->flags & VECDB_PRIMARY_KEY))
      names[s->params.n_fields++] = f->name;
  }
  s->params.fields = names;
  return true;
}

/* {"query": "text", "top_k": 5, FIELD: VALUE...} on the configured collection. */
void srv_front_search(struct srv_call *call) {
  static const struct search_shape shape = {"doc_id", "metadata"};
  struct search s;
  if (!search_begin(&s, call, call->server->config.search_collection))
    return;
  const char *text = NULL;
  json_t *json = call->json;
  s.params.k = 5;
  s.control.timeout_ms = (uint32_t)call->server->config.timeout_ms;
  s.params.control = &s.control;
  bool good = srv_take_text(call, json, "query", &text) &&
              srv_take_u32(call, json, "top_k", &s.params.k) && search_field(&s, NULL);
  if (good && !text) {
    srv_call_fail(call, 400, "ARGUMENT", "\"query\" is missing: the text to search for");
    good = false;
  }
  s.params.field = good ? s.field->name : NULL;
  if (good && front_filter(&s, json) && front_fields(&s) && search_text(&s, text))
    search_run(&s, &shape, text);
  search_end(&s);
}
