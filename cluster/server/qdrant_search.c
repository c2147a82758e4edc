/* qdrant_search.c - nearest points in Qdrant's dialect; see qdrant.h. */
#include <math.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_numbers.h"
#include "server/json_rows.h"
#include "server/json_sparse.h"
#include "server/qdrant.h"
#include "server/server.h"

enum { SEARCH_LIMIT = 10, SEARCH_BATCH = 1000, SEARCH_CANDIDATES = 1000 };

/* One search between its request and the library. */
struct qdrant_search {
  struct srv_call *call;
  struct engine_collection *collection;
  const vecdb_field *field;
  json_t *vector;  /* the query, borrowed */
  json_t *stored;  /* a point's vector as the query: owned */
  vecdb_string id; /* of that point: it is no hit */
  const char *name;
  struct srv_qdrant_want want;
  vecdb_search_params params;
  vecdb_control control;
  uint32_t limit, offset;
  float threshold;
  bool has_threshold;
  json_t *mmr; /* NULL: the hits as they come */
  float diversity;
  uint32_t candidates;
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* Takes the vector of a stored point as the query. */
static bool search_stored(struct qdrant_search *s, json_t *id) {
  struct engine_rows *rows;
  vecdb_error error;
  if (!srv_qdrant_key(s->call, id, &s->id))
    return false;
  vecdb_keys one = {NULL, &s->id, 1};
  struct srv_guard_fields fields = {&s->field->name, 1};
  if (srv_guard_get(s->call, s->collection, &one, fields, NULL, &rows, &error) != VECDB_OK) {
    srv_call_error(s->call, &error);
    return false;
  }
  bool found = engine_rows_count(rows) == 1;
  if (found)
    s->stored = srv_value_write(engine_rows_value(rows, 0, 1));
  else
    srv_call_fail(s->call, 404, "NOT_FOUND", "Not found: there is no point with the query's id");
  engine_rows_free(rows);
  s->vector = s->stored;
  if (found && !s->stored)
    srv_call_no_memory(s->call);
  return s->stored != NULL;
}

static bool search_mmr_read(struct qdrant_search *s, json_t *mmr) {
  static const char *const keys[] = {"diversity", "candidates_limit", NULL};
  s->diversity = 0.5f;
  if (!mmr || json_is_null(mmr))
    return true;
  if (!json_is_object(mmr)) {
    srv_call_fail(s->call, 400, "TYPE", "\"mmr\" must be an object");
    return false;
  }
  s->mmr = mmr;
  if (!srv_only_keys(s->call, mmr, keys) ||
      !srv_take_float(s->call, mmr, "diversity", &s->diversity) ||
      !srv_take_u32(s->call, mmr, "candidates_limit", &s->candidates))
    return false;
  if (s->diversity >= 0 && s->diversity <= 1 && s->candidates <= SEARCH_CANDIDATES)
    return true;
  srv_call_fail(s->call, 400, "LIMIT",
                "\"diversity\" must be from 0 to 1, \"candidates_limit\" at most %d",
                SEARCH_CANDIDATES);
  return false;
}

/* A query is an array of numbers, a sparse vector or an id, or any of these as {"nearest"}. */
static bool search_query(struct qdrant_search *s, json_t *query) {
  static const char *const keys[] = {"nearest", "mmr", NULL};
  if (json_is_object(query) && !srv_is_sparse(query)) {
    json_t *nearest = json_object_get(query, "nearest");
    if (!nearest) {
      srv_call_fail(s->call, 400, "UNSUPPORTED",
                    "of the kinds of queries, only \"nearest\" is served");
      return false;
    }
    if (!srv_only_keys(s->call, query, keys) || !search_mmr_read(s, json_object_get(query, "mmr")))
      return false;
    query = nearest;
  }
  bool numbers = srv_is_numbers(query);
  if (json_is_integer(query) || (json_is_string(query) && !numbers))
    return search_stored(s, query);
  s->vector = query;
  if (json_is_array(query) || numbers || srv_is_sparse(query))
    return true;
  srv_call_fail(s->call, 400, "TYPE", "a query must be a vector or the id of a point");
  return false;
}

static bool search_vector(struct qdrant_search *s) {
  uint32_t unused;
  void *data = srv_arena_take(&s->call->arena, srv_value_bytes(s->field));
  if (!data) {
    srv_call_no_memory(s->call);
    return false;
  }
  s->params.queries = data;
  if (s->field->type == VECDB_SPARSE_VECTOR)
    return srv_qdrant_sparse_query(s->call, s->collection, s->field, s->vector, data);
  if (srv_value_read(s->call, s->field, s->vector, data, &unused))
    return true;
  srv_call_fail(s->call, 400, "DIMENSION",
                "Wrong input: Vector dimension error: expected dim: %u, got %zu", s->field->dim,
                srv_numbers_count(s->vector));
  return false;
}

static bool search_params(struct qdrant_search *s, json_t *json) {
  static const char *const keys[] = {"hnsw_ef",      "exact", "quantization",
                                     "indexed_only", "acorn", NULL};
  bool exact = false;
  if (!json || json_is_null(json))
    return true;
  if (!json_is_object(json)) {
    srv_call_fail(s->call, 400, "TYPE", "\"params\" must be an object");
    return false;
  }
  if (!srv_only_keys(s->call, json, keys) ||
      !srv_take_u32(s->call, json, "hnsw_ef", &s->params.ef) ||
      !srv_take_flag(s->call, json, "exact", &exact))
    return false;
  s->params.plan = exact ? VECDB_PLAN_EXACT : VECDB_PLAN_AUTO;
  return true;
}

/* How many hits are asked for, and with which fields. */
static bool search_width(struct qdrant_search *s) {
  uint64_t k = (uint64_t)s->limit + s->offset;
  uint64_t most = s->mmr ? SEARCH_CANDIDATES : VECDB_MAX_K;
  if (s->limit == 0 || k > most) {
    srv_call_fail(s->call, 400, "K", "\"limit\" must be from 1 on, and with \"offset\" at most %u",
                  (unsigned)most);
    return false;
  }
  uint32_t candidates = s->candidates ? s->candidates : s->limit;
  s->params.k = s->mmr ? candidates : (uint32_t)k;
  const char **fields = srv_arena_array(&s->call->arena, s->want.n_fields + 1, sizeof *fields);
  if (!fields) {
    srv_call_no_memory(s->call);
    return false;
  }
  size_t n = s->want.n_fields;
  bool there = !s->mmr;
  for (size_t i = 0; i < n; i++) {
    fields[i] = s->want.fields[i];
    there = there || fields[i] == s->field->name;
  }
  if (!there)
    fields[n++] = s->field->name;
  s->params.fields = fields;
  s->params.n_fields = n;
  return true;
}

/* What all forms of a search have; the query comes before, since a stored one adds to the filter.
 */
static bool search_options(struct qdrant_search *s, json_t *json) {
  s->limit = SEARCH_LIMIT;
  s->control.timeout_ms = (uint32_t)s->call->server->config.timeout_ms;
  s->params.control = &s->control;
  s->params.field = s->field->name;
  json_t *threshold = json_object_get(json, "score_threshold");
  s->has_threshold = threshold && !json_is_null(threshold);
  if (!srv_take_u32(s->call, json, "limit", &s->limit) ||
      !srv_take_u32(s->call, json, "offset", &s->offset) ||
      !srv_take_float(s->call, json, "score_threshold", &s->threshold) ||
      !search_params(s, json_object_get(json, "params")) ||
      !srv_qdrant_want_read(s->call, json, engine_collection_schema(s->collection), &s->want) ||
      !srv_qdrant_filter(s->call, json_object_get(json, "filter"),
                         s->stored ? QDRANT_KEY " != " : NULL, s->id, &s->params.filter))
    return false;
  bool sparse = s->field->type == VECDB_SPARSE_VECTOR;
  if (sparse && s->mmr) {
    srv_call_fail(s->call, 400, "UNSUPPORTED", "\"mmr\" is not served over sparse vectors");
    return false;
  }
  if (*s->name && !sparse && !srv_qdrant_filter_vector(s->call, s->name, &s->params.filter))
    return false;
  return search_width(s);
}

static bool search_begin(struct qdrant_search *s, struct srv_call *call,
                         struct engine_collection *collection, const char *name) {
  *s = (struct qdrant_search){.call = call, .collection = collection, .name = name};
  s->params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  s->control = (vecdb_control)VECDB_CONTROL_INIT;
  s->field = srv_qdrant_vector(call, engine_collection_schema(collection), name);
  return s->field != NULL;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* Qdrant's distance is not squared. */
static double search_score(const struct qdrant_search *s, const vecdb_hit *hit) {
  return s->field->metric == VECDB_L2 ? sqrt((double)hit->score) : (double)hit->score;
}

static bool search_near(const struct qdrant_search *s, double score) {
  if (!s->has_threshold)
    return true;
  return s->field->metric == VECDB_L2 ? score <= (double)s->threshold
                                      : score >= (double)s->threshold;
}

/* Puts the hits into the order that MMR chooses; *count says how many. */
static bool search_choose(struct qdrant_search *s, vecdb_hit *hits, uint32_t *count,
                          const struct engine_rows *rows) {
  struct srv_arena *arena = &s->call->arena;
  uint32_t n = *count, wanted = s->limit + s->offset;
  while (n && !search_near(s, search_score(s, &hits[n - 1])))
    n--;
  const float **vectors = srv_arena_array(arena, n, sizeof *vectors);
  double *relevance = srv_arena_array(arena, n, sizeof *relevance);
  uint32_t *order = srv_arena_array(arena, n, sizeof *order);
  vecdb_hit *copy = srv_arena_array(arena, n, sizeof *copy);
  if (!vectors || !relevance || !order || !copy) {
    srv_call_no_memory(s->call);
    return false;
  }
  int column = engine_rows_find(rows, s->field->name);
  for (uint32_t i = 0; i < n; i++) {
    copy[i] = hits[i];
    vectors[i] = engine_rows_value(rows, hits[i].row, (size_t)column).as.data;
    relevance[i] = (double)hits[i].score * (s->field->metric == VECDB_L2 ? -1 : 1);
  }
  struct srv_qdrant_candidates candidates = {vectors, relevance, n, s->field->dim,
                                             s->field->metric};
  *count = wanted < n ? wanted : n;
  if (!srv_qdrant_mmr(s->call, &candidates, (double)s->diversity, order, *count))
    return false;
  for (uint32_t i = 0; i < *count; i++)
    hits[i] = copy[order[i]];
  return true;
}

/* The hits as points with scores; NULL after answering. */
static json_t *search_run(struct qdrant_search *s) {
  vecdb_hit *hits = srv_arena_array(&s->call->arena, s->params.k, sizeof *hits);
  struct engine_rows *rows;
  vecdb_error error;
  uint32_t count = 0;
  if (!hits) {
    srv_call_no_memory(s->call);
    return NULL;
  }
  if (srv_guard_search(s->call, s->collection, &s->params, hits, &count, NULL, &rows, &error) !=
      VECDB_OK) {
    srv_call_error(s->call, &error);
    return NULL;
  }
  if (s->mmr && !search_choose(s, hits, &count, rows)) {
    engine_rows_free(rows);
    return NULL;
  }
  json_t *out = json_array();
  for (uint32_t i = s->offset; i < count; i++) {
    double score = search_score(s, &hits[i]);
    json_t *point = search_near(s, score) ? srv_qdrant_point(&s->want, rows, hits[i].row) : NULL;
    if (!point)
      continue;
    json_object_set_new(point, "version", json_integer(0));
    json_object_set_new(point, "score", json_real(score));
    json_array_append_new(out, point);
  }
  engine_rows_free(rows);
  if (!out)
    srv_call_no_memory(s->call);
  return out;
}

static json_t *search_finish(struct qdrant_search *s, json_t *query, json_t *options) {
  json_t *out = search_query(s, query) && search_options(s, options) && search_vector(s)
                    ? search_run(s)
                    : NULL;
  json_decref(s->stored);
  return out;
}

/* ---- The two forms --------------------------------------------------------------------------- */

json_t *srv_qdrant_nearest(struct srv_call *call, struct engine_collection *collection,
                           json_t *json) {
  static const char *const refused[] = {"prefetch", NULL};
  struct qdrant_search s;
  const char *name = "";
  if (!srv_qdrant_refuse(call, json, refused) || !srv_take_text(call, json, "using", &name) ||
      !search_begin(&s, call, collection, name))
    return NULL;
  json_t *hits = search_finish(&s, json_object_get(json, "query"), json);
  return hits ? json_pack("{s:o}", "points", hits) : NULL;
}

static json_t *search_by_query(struct srv_call *call, struct engine_collection *collection,
                               json_t *json) {
  static const char *const keys[] = {
      "query",    "using",     "filter",       "params",      "score_threshold",
      "limit",    "offset",    "with_payload", "with_vector", "with_vectors",
      "prefetch", "shard_key", "lookup_from",  NULL};
  static const char *const refused[] = {"shard_key", "lookup_from", NULL};
  if (!srv_only_keys(call, json, keys) || !srv_qdrant_refuse(call, json, refused))
    return NULL;
  json_t *prefetch = json_object_get(json, "prefetch");
  bool fuses = json_is_object(prefetch) || json_array_size(prefetch);
  return fuses ? srv_qdrant_fusion(call, collection, json)
               : srv_qdrant_nearest(call, collection, json);
}

/* The older form: the vector is an array, or {"name", "vector"}. */
static json_t *search_by_vector(struct srv_call *call, struct engine_collection *collection,
                                json_t *json) {
  static const char *const keys[] = {
      "vector",       "filter",      "params",       "score_threshold", "limit", "offset",
      "with_payload", "with_vector", "with_vectors", "shard_key",       NULL};
  static const char *const refused[] = {"shard_key", NULL};
  struct qdrant_search s;
  const char *name = "";
  json_t *vector = json_object_get(json, "vector");
  if (!srv_only_keys(call, json, keys) || !srv_qdrant_refuse(call, json, refused) ||
      (json_is_object(vector) && !srv_take_text(call, vector, "name", &name)) ||
      !search_begin(&s, call, collection, name))
    return NULL;
  if (json_is_object(vector))
    vector = json_object_get(vector, "vector");
  return search_finish(&s, vector, json);
}

static void search_one(struct srv_call *call, srv_qdrant_form *form) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  json_t *out = form(call, collection, call->json);
  if (out)
    srv_qdrant_answer(call, out);
  engine_collection_release(collection);
}

static void search_many(struct srv_call *call, srv_qdrant_form *form) {
  static const char *const keys[] = {"searches", NULL};
  json_t *searches = NULL;
  if (!srv_only_keys(call, call->json, keys) ||
      !srv_take_array(call, call->json, "searches", &searches))
    return;
  size_t n = json_array_size(searches);
  if (!searches || n > SEARCH_BATCH) {
    srv_call_fail(call, 400, "LIMIT", "\"searches\" must be an array of at most %d", SEARCH_BATCH);
    return;
  }
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  json_t *out = json_array();
  for (size_t i = 0; out && i < n; i++) {
    json_t *one = json_array_get(searches, i), *result = NULL;
    if (json_is_object(one))
      result = form(call, collection, one);
    else
      srv_call_fail(call, 400, "TYPE", "search %zu must be an object", i);
    if (result)
      json_array_append_new(out, result);
    if (result)
      continue;
    json_decref(out);
    out = NULL;
  }
  if (out || call->status == 0)
    srv_qdrant_answer(call, out);
  engine_collection_release(collection);
}

void srv_qdrant_query(struct srv_call *call) {
  search_one(call, search_by_query);
}

void srv_qdrant_query_batch(struct srv_call *call) {
  search_many(call, search_by_query);
}

void srv_qdrant_search(struct srv_call *call) {
  search_one(call, search_by_vector);
}

void srv_qdrant_search_batch(struct srv_call *call) {
  search_many(call, search_by_vector);
}

static void search_groups(struct srv_call *call, srv_qdrant_form *form) {
  struct engine_collection *collection = srv_qdrant_collection(call);
  if (!collection)
    return;
  json_t *out = srv_qdrant_groups(call, collection, call->json, form);
  if (out)
    srv_qdrant_answer(call, out);
  engine_collection_release(collection);
}

void srv_qdrant_query_groups(struct srv_call *call) {
  search_groups(call, search_by_query);
}

void srv_qdrant_search_groups(struct srv_call *call) {
  search_groups(call, search_by_vector);
}
