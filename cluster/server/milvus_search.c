/* milvus_search.c - Search and Query. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/guard.h"
#include "server/json_rows.h"
#include "server/json_schema.h"
#include "server/milvus_search.h"

static const struct pb_field search_table[] = {
    {2, PB_TEXT, offsetof(struct milvus_search_request, db)},
    {3, PB_TEXT, offsetof(struct milvus_search_request, name)},
    {4, PB_LIST, offsetof(struct milvus_search_request, partitions)},
    {5, PB_TEXT, offsetof(struct milvus_search_request, expr)},
    {6, PB_BYTES, offsetof(struct milvus_search_request, placeholders)},
    {8, PB_LIST, offsetof(struct milvus_search_request, fields)},
    {9, PB_LIST, offsetof(struct milvus_search_request, params)},
    {14, PB_NUMBER, offsetof(struct milvus_search_request, level)},
    {15, PB_NUMBER, offsetof(struct milvus_search_request, default_level)},
    {17, PB_LIST, offsetof(struct milvus_search_request, sub_requests)},
    {18, PB_LIST, offsetof(struct milvus_search_request, values)},
};
static const struct pb_field query_table[] = {
    {2, PB_TEXT, offsetof(struct milvus_search_request, db)},
    {3, PB_TEXT, offsetof(struct milvus_search_request, name)},
    {4, PB_TEXT, offsetof(struct milvus_search_request, expr)},
    {5, PB_LIST, offsetof(struct milvus_search_request, fields)},
    {6, PB_LIST, offsetof(struct milvus_search_request, partitions)},
    {9, PB_LIST, offsetof(struct milvus_search_request, params)},
    {11, PB_NUMBER, offsetof(struct milvus_search_request, level)},
    {12, PB_NUMBER, offsetof(struct milvus_search_request, default_level)},
    {13, PB_LIST, offsetof(struct milvus_search_request, values)},
};

struct search_placeholder {
  int64_t type;
  struct pb_list values;
};
static const struct pb_field search_group_table[] = {{1, PB_LIST, 0}};
static const struct pb_field search_placeholder_table[] = {
    {2, PB_NUMBER, offsetof(struct search_placeholder, type)},
    {3, PB_LIST, offsetof(struct search_placeholder, values)},
};

/* ---- Reading --------------------------------------------------------------------------------- */

static uint32_t search_timeout(const struct srv_call *call) {
  uint32_t most = (uint32_t)call->server->config.timeout_ms;
  return call->timeout_ms && call->timeout_ms < most ? call->timeout_ms : most;
}

/* Milvus's levels have the numbers of engine.h's; what it has beyond them, "Customized", says by a
   timestamp how new the rows must be, and strong ones are. pymilvus makes collections Bounded where
   nobody said so: who reads what he just wrote through this server shall see it there. */
void milvus_level(struct milvus_open *open, int64_t level, bool by_default) {
  if (by_default)
    level = json_integer_value(json_object_get(open->record, "level"));
  if (by_default && level == ENGINE_BOUNDED)
    level = ENGINE_SESSION;
  open->collection->how.level =
      level > ENGINE_STRONG && level <= ENGINE_EVENTUAL ? (enum engine_level)level : ENGINE_STRONG;
}

bool milvus_search_number(struct milvus_search_run *s, const char *key, uint32_t *out) {
  const char *text = milvus_pair(&s->pairs, key);
  return !text || !*text || milvus_u32(s->m, key, text, out);
}

static bool search_field(struct milvus_search_run *s) {
  const char *name = milvus_pair(&s->pairs, "anns_field");
  bool named = name && *name;
  s->field = named ? srv_schema_field(s->open.schema, name) : srv_schema_vector(s->open.schema);
  if (!s->field || !srv_type_is_vector(s->field->type))
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "there is no vector field %.255s",
                       named ? name : "");
  s->params.field = s->field->name;
  const char *metric = milvus_pair(&s->pairs, "metric_type");
  const char *own = srv_milvus_metric_name(s->field->metric);
  if (metric && *metric && srv_milvus_metric(metric) != s->field->metric)
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT,
                       "metric type not match: invalid parameter[expected=%s][actual=%.30s]", own,
                       metric);
  return true;
}

/* {"ef", "nprobe", ...}: numbers, or texts of them. Others mean nothing here. */
static bool search_effort(struct milvus_search_run *s, json_t *params, const char *key,
                          uint32_t *out) {
  json_t *value = json_object_get(params, key);
  if (json_is_string(value))
    return milvus_u32(s->m, key, json_string_value(value), out);
  if (json_is_integer(value) && json_integer_value(value) > 0 &&
      json_integer_value(value) <= UINT32_MAX)
    *out = (uint32_t)json_integer_value(value);
  else if (value)
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "%s must be a positive number", key);
  return true;
}

static bool search_bound(struct milvus_search_run *s, json_t *params, const char *key,
                         double *out) {
  json_t *value = json_object_get(params, key);
  *out = (double)NAN;
  if (!value || json_is_null(value))
    return true;
  s->ranged = true;
  *out = json_number_value(value);
  return json_is_number(value) ||
         milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "%s must be a number", key);
}

static bool search_params_json(struct milvus_search_run *s) {
  const char *text = milvus_pair(&s->pairs, "params");
  if (!text || !*text)
    return true;
  json_t *params = json_loads(text, 0, NULL);
  bool good = json_is_object(params) ||
              milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "params is no JSON object");
  good = good && search_bound(s, params, "radius", &s->radius) &&
         search_bound(s, params, "range_filter", &s->inner) &&
         search_effort(s, params, "ef", &s->params.ef) &&
         search_effort(s, params, "nprobe", &s->params.nprobe);
  json_decref(params);
  if (s->params.ef && s->params.ef < s->params.k)
    s->params.ef = s->params.k;
  return good;
}

static bool search_vector(struct milvus_search_run *s, size_t i, struct pb_bytes in, uint8_t *out) {
  size_t bytes = srv_value_bytes(s->field);
  if (s->field->type == VECDB_SPARSE_VECTOR)
    return milvus_sparse_one(s->m, s->field->name, in, (vecdb_sparse *)(void *)out);
  if (in.n != bytes)
    return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "vector %zu has %zu bytes, not %zu (dim %u)", i,
                       in.n, bytes, s->field->dim);
  memcpy(out, in.data, bytes);
  return true;
}

/* The query vectors, packed. */
static bool search_vectors(struct milvus_search_run *s) {
  struct pb_list group;
  struct search_placeholder p;
  struct milvus *m = s->m;
  if (!MILVUS_PART(m, s->r.placeholders, search_group_table, &group))
    return false;
  if (group.n != 1)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a search needs one group of vectors");
  if (!MILVUS_PART(m, group.items[0], search_placeholder_table, &p))
    return false;
  size_t bytes = srv_value_bytes(s->field);
  if (p.values.n == 0 || p.values.n > VECDB_MAX_QUERIES)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "nq must be from 1 to %d", VECDB_MAX_QUERIES);
  if (p.type != srv_milvus_type_number(s->field->type))
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "vectors of type %lld for a field of type %s",
                       (long long)p.type, srv_milvus_type_name(s->field->type));
  uint8_t *data = srv_arena_array(&m->call->arena, p.values.n, bytes);
  if (!data)
    return milvus_no_memory(m);
  for (size_t i = 0; i < p.values.n; i++)
    if (!search_vector(s, i, p.values.items[i], data + i * bytes))
      return false;
  s->params.queries = data;
  s->params.n_queries = (uint32_t)p.values.n;
  return true;
}

bool milvus_search_unserved(struct milvus_search_run *s) {
  static const char *const keys[] = {"group_by_field", "group_by_fields"};
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    const char *value = milvus_pair(&s->pairs, keys[i]);
    if (value && *value && strcasecmp(value, "false") != 0)
      return milvus_fail(s->m, SRV_MILVUS_ARGUMENT, "searches with %s are not served", keys[i]);
  }
  return true;
}

/* Iterators are no work of ours: clients that get no token walk on by ranges. */
bool milvus_search_read(struct milvus_search_run *s) {
  struct milvus *m = s->m;
  if (!milvus_pairs_read(m, &s->r.params, &s->pairs) ||
      !milvus_search_number(s, "topk", &s->limit) || !milvus_search_number(s, "offset", &s->offset))
    return false;
  uint64_t k = (uint64_t)s->limit + s->offset;
  if (s->limit == 0 || k > VECDB_MAX_K)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "limit + offset must be from 1 to %d", VECDB_MAX_K);
  s->params.k = (uint32_t)k;
  s->control.timeout_ms = search_timeout(m->call);
  s->params.control = &s->control;
  return search_field(s) && search_params_json(s) && search_vectors(s) && milvus_group_read(s) &&
         milvus_filter_read(m, &s->open, s->r.expr, &s->r.values, &s->params.filter) &&
         milvus_partitions(m, &s->open, &s->r.partitions, &s->params.filter) &&
         milvus_fields_read(m, &s->open, &s->r.fields, &s->fields);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void search_ids(struct milvus_search_run *s, const struct engine_rows *rows,
                       const uint32_t *pick, size_t n) {
  struct pb_out *out = &s->m->out;
  bool texts = s->open.key->type == VECDB_VARCHAR;
  size_t ids = srv_pb_open(out, 5), list = srv_pb_open(out, texts ? 2 : 1);
  size_t packed = texts ? 0 : srv_pb_open(out, 1);
  for (size_t i = 0; i < n; i++) {
    vecdb_value v = engine_rows_value(rows, pick[i], 0);
    if (texts)
      srv_pb_bytes(out, 1, v.as.data, v.length);
    else
      srv_pb_varint(out, (uint64_t)v.as.integer);
  }
  if (!texts)
    srv_pb_close(out, packed);
  srv_pb_close(out, list);
  srv_pb_close(out, ids);
}

static void search_asked(struct milvus_search_run *s, uint32_t number) {
  for (size_t i = 0; i < s->fields.n_asked; i++)
    srv_pb_text(&s->m->out, number, s->fields.asked[i]);
}

/* The hits after the offset, query by query: scores and how many, then ids and fields. */
void milvus_search_answer(struct milvus_search_run *s, const struct milvus_hits *hits) {
  struct pb_out *out = &s->m->out;
  const uint32_t *counts = hits->counts;
  uint32_t n_queries = s->params.n_queries, k = s->params.k;
  uint32_t *pick = srv_arena_array(&s->m->call->arena, (size_t)n_queries * k, sizeof *pick);
  size_t n = 0;
  if (!pick) {
    milvus_no_memory(s->m);
    return;
  }
  size_t results = srv_pb_open(out, 2);
  srv_pb_number(out, 1, n_queries);
  srv_pb_number(out, 2, s->limit);
  size_t scores = srv_pb_open(out, 4);
  for (uint32_t q = 0; q < n_queries; q++)
    for (uint32_t i = s->offset; i < counts[q]; i++) {
      const vecdb_hit *hit = &hits->hits[(size_t)q * k + i];
      srv_pb_raw(out, &hit->score, sizeof hit->score);
      pick[n++] = hit->row;
    }
  srv_pb_close(out, scores);
  size_t topks = srv_pb_open(out, 6);
  for (uint32_t q = 0; q < n_queries; q++)
    srv_pb_varint(out, counts[q] > s->offset ? counts[q] - s->offset : 0);
  srv_pb_close(out, topks);
  search_ids(s, hits->rows, pick, n);
  milvus_columns_write(s->m, 3, &s->open, &s->fields, hits->rows, pick, n);
  search_asked(s, 7);
  if (s->group.field)
    milvus_group_write(s, hits->rows, pick, n);
  srv_pb_text(out, 13, s->open.key->name);
  srv_pb_close(out, results);
  srv_pb_text(out, 3, s->open.name);
}

/* Whether a score is closer than the radius, and not closer than the inner bound. */
static bool search_within(const struct milvus_search_run *s, float score) {
  bool larger = s->field->metric == VECDB_IP || s->field->metric == VECDB_COSINE;
  double sign = larger ? -1 : 1, far = sign * (double)score;
  return !(far >= sign * s->radius) && !(far < sign * s->inner);
}

/* The nearest hits within the bounds. Those too near are found, too, and left out: more are asked
   for until enough remain. */
static bool search_ranged(struct milvus_search_run *s, struct milvus_hits *out) {
  struct milvus *m = s->m;
  bool larger = s->field->metric == VECDB_IP || s->field->metric == VECDB_COSINE;
  float radius = isnan(s->radius) ? (larger ? -FLT_MAX : FLT_MAX) : (float)s->radius;
  uint32_t wanted = s->params.k, found, kept;
  vecdb_error error;
  if (s->params.n_queries != 1)
    return milvus_fail(m, SRV_MILVUS_ARGUMENT, "a range search takes one vector at a time");
  for (uint32_t k = wanted;; k = k < VECDB_MAX_K / 4 ? 4 * k : VECDB_MAX_K) {
    s->params.k = k;
    out->hits = srv_arena_array(&m->call->arena, k, sizeof *out->hits);
    if (!out->hits)
      return milvus_no_memory(m);
    if (srv_guard_search_range(m->call, s->open.collection, &s->params, radius, out->hits,
                               &found, &out->rows, &error) != VECDB_OK)
      return milvus_error(m, &error);
    kept = 0;
    for (uint32_t i = 0; i < found; i++)
      if (search_within(s, out->hits[i].score))
        out->hits[kept++] = out->hits[i];
    if (kept >= wanted || found < k)
      break;
    engine_rows_free(out->rows);
    out->rows = NULL;
    if (k == VECDB_MAX_K)
      return milvus_fail(m, SRV_MILVUS_ARGUMENT, "over %d rows are nearer than range_filter",
                         VECDB_MAX_K - (int)wanted);
  }
  out->counts[0] = kept < wanted ? kept : wanted;
  s->params.k = wanted;
  return true;
}

bool milvus_search_hits(struct milvus_search_run *s, struct milvus_hits *out) {
  struct milvus *m = s->m;
  size_t n = (size_t)s->params.n_queries * s->params.k;
  vecdb_error error;
  out->hits = srv_arena_array(&m->call->arena, n, sizeof *out->hits);
  out->counts = srv_arena_array(&m->call->arena, s->params.n_queries, sizeof *out->counts);
  if (!out->hits || !out->counts)
    return milvus_no_memory(m);
  s->params.fields = s->fields.names;
  s->params.n_fields = s->fields.n;
  if (s->ranged)
    return search_ranged(s, out);
  return srv_guard_search(m->call, s->open.collection, &s->params, out->hits, out->counts, NULL,
                          &out->rows, &error) == VECDB_OK ||
         milvus_error(m, &error);
}

static void search_now(struct milvus_search_run *s) {
  struct milvus_hits hits;
  if (!(s->group.field ? milvus_group_hits(s, &hits) : milvus_search_hits(s, &hits)))
    return;
  milvus_search_answer(s, &hits);
  engine_rows_free(hits.rows);
}

bool milvus_search_take(struct milvus_search_run *s, struct pb_bytes in) {
  return MILVUS_PART(s->m, in, search_table, &s->r);
}

void milvus_search(struct milvus *m) {
  struct milvus_search_run s = {.m = m,
                         .params = VECDB_SEARCH_PARAMS_INIT,
                         .control = VECDB_CONTROL_INIT};
  if (!MILVUS_REQUEST(m, search_table, &s.r))
    return;
  if (s.r.sub_requests.n) {
    milvus_fail(m, SRV_MILVUS_ARGUMENT, "a search goes over one vector field");
    return;
  }
  if (!milvus_open_loaded(m, s.r.db, s.r.name, &s.open))
    return;
  milvus_level(&s.open, s.r.level, s.r.default_level);
  if (milvus_search_read(&s))
    search_now(&s);
  milvus_close(&s.open);
}

/* ---- Query ----------------------------------------------------------------------------------- */

static void query_count(struct milvus_search_run *s, const vecdb_filter *filter) {
  struct pb_out *out = &s->m->out;
  uint64_t count;
  vecdb_error error;
  if (srv_guard_count(s->m->call, s->open.collection, filter->text ? filter : NULL, &count,
                      &error) != VECDB_OK) {
    milvus_error(s->m, &error);
    return;
  }
  size_t data = srv_pb_open(out, 2);
  srv_pb_number(out, 1, srv_milvus_type_number(VECDB_INT64));
  srv_pb_text(out, 2, "count(*)");
  size_t scalars = srv_pb_open(out, 3), list = srv_pb_open(out, 3), packed = srv_pb_open(out, 1);
  srv_pb_varint(out, count);
  srv_pb_close(out, packed);
  srv_pb_close(out, list);
  srv_pb_close(out, scalars);
  srv_pb_close(out, data);
  srv_pb_text(out, 4, "count(*)");
}

/* The key is always among the fields of a query's answer. */
static bool query_fields(struct milvus_search_run *s) {
  struct pb_list *list = &s->r.fields;
  const char *key = s->open.key->name;
  struct pb_bytes *items = srv_arena_array(&s->m->call->arena, list->n + 1, sizeof *items);
  if (!items)
    return milvus_no_memory(s->m);
  bool there = false;
  for (size_t i = 0; i < list->n; i++) {
    const struct pb_bytes *b = &list->items[i];
    items[i] = *b;
    there = there || (b->n == strlen(key) && memcmp(b->data, key, b->n) == 0) ||
            (b->n == 1 && *b->data == '*');
  }
  size_t n = list->n;
  if (!there)
    items[n++] = (struct pb_bytes){(const uint8_t *)key, strlen(key)};
  struct pb_list with_key = {items, n};
  return milvus_fields_read(s->m, &s->open, &with_key, &s->fields);
}

static void query_rows(struct milvus_search_run *s, const vecdb_filter *filter) {
  struct milvus *m = s->m;
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  struct engine_rows *rows;
  vecdb_error error;
  if (!query_fields(s))
    return;
  s->control.timeout_ms = search_timeout(m->call);
  params.limit = s->limit;
  params.offset = s->offset;
  params.filter = *filter;
  params.fields = s->fields.names;
  params.n_fields = s->fields.n;
  params.control = &s->control;
  if (srv_guard_query(m->call, s->open.collection, &params, &rows, &error) != VECDB_OK) {
    milvus_error(m, &error);
    return;
  }
  milvus_columns_write(m, 2, &s->open, &s->fields, rows, NULL, engine_rows_count(rows));
  search_asked(s, 4);
  engine_rows_free(rows);
}

static bool query_counts(const struct milvus_search_request *r) {
  static const char count[] = "count(*)";
  return r->fields.n == 1 && r->fields.items[0].n == sizeof count - 1 &&
         memcmp(r->fields.items[0].data, count, sizeof count - 1) == 0;
}

void milvus_query(struct milvus *m) {
  struct milvus_search_run s = {.m = m, .control = VECDB_CONTROL_INIT};
  vecdb_filter filter;
  if (!MILVUS_REQUEST(m, query_table, &s.r) || !milvus_pairs_read(m, &s.r.params, &s.pairs) ||
      !milvus_search_number(&s, "limit", &s.limit) ||
      !milvus_search_number(&s, "offset", &s.offset) ||
      !milvus_open_loaded(m, s.r.db, s.r.name, &s.open))
    return;
  milvus_level(&s.open, s.r.level, s.r.default_level);
  if (milvus_filter_read(m, &s.open, s.r.expr, &s.r.values, &filter) &&
      milvus_partitions(m, &s.open, &s.r.partitions, &filter)) {
    if (query_counts(&s.r))
      query_count(&s, &filter);
    else
      query_rows(&s, &filter);
    srv_pb_text(&m->out, 3, s.open.name);
    srv_pb_text(&m->out, 6, s.open.key->name);
  }
  milvus_close(&s.open);
}
