/* remote_calls.c - reads and writes of rows, through the client; see remote.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/remote.h"

enum { CALLS_BOUNDED_MS = 5000, CALLS_EVENTUAL_MS = 3600000, CALLS_STATS_MS = 500,
       CALLS_COMPACT_MS = 86400000 };

static struct remote_collection *calls_of(struct engine_collection *c) {
  return (struct remote_collection *)c;
}

static int calls_no_memory(vecdb_error *error) {
  return engine_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

/* ---- How a call is made ---- */

vecdb_client_call remote_call_of(struct engine_collection *c, const vecdb_control *control) {
  static const struct {
    int32_t level;
    uint32_t max_age_ms;
  } levels[] = {[ENGINE_STRONG] = {VECDB_CLIENT_STRONG, 0},
                [ENGINE_SESSION] = {VECDB_CLIENT_SESSION, 0},
                [ENGINE_BOUNDED] = {VECDB_CLIENT_LOCAL, CALLS_BOUNDED_MS},
                [ENGINE_EVENTUAL] = {VECDB_CLIENT_LOCAL, CALLS_EVENTUAL_MS}};
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  call.timeout_ms = control && control->timeout_ms ? control->timeout_ms
                    : c->how.timeout_ms            ? c->how.timeout_ms
                                                   : calls_of(c)->remote->timeout_ms;
  call.level = levels[c->how.level].level;
  call.max_age_ms = levels[c->how.level].max_age_ms;
  call.partial = c->how.partial;
  call.session = calls_of(c)->known->session;
  return call;
}

/* What an error tells of the collection: what is known of it may be no more so. A session that saw
   a write which was lost is over. */
int remote_call_end(struct engine_collection *c, int rc) {
  if (rc == VECDB_ERR_NOT_FOUND || rc == VECDB_ERR_CLOSED || rc == VECDB_CLIENT_SCHEMA ||
      rc == VECDB_CLIENT_LOST)
    remote_forget(calls_of(c)->remote, calls_of(c)->known->name);
  return rc;
}

static uint64_t calls_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- Writes ---- */

/* The batch's INT64 keys, which the database does not choose here. */
static void calls_ids(const struct remote_known *known, const vecdb_batch *batch, int64_t *ids) {
  for (uint32_t i = 0; ids && known->key->type == VECDB_INT64 && i < batch->n_columns; i++) {
    const vecdb_column *column = &batch->columns[i];
    size_t stride = column->stride ? column->stride : sizeof *ids;
    if (strcmp(column->field, known->key->name) == 0)
      for (uint32_t row = 0; row < batch->n_rows; row++)
        memcpy(&ids[row], (const char *)column->data + row * stride, sizeof *ids);
  }
}

typedef int calls_writer(vecdb_client *client, const char *collection, const vecdb_batch *batch,
                         const vecdb_client_call *call, vecdb_error *error);

static int calls_send(struct engine_collection *c, calls_writer *writer, const vecdb_batch *batch,
                      int64_t *ids, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  vecdb_client_call call = remote_call_of(c, NULL);
  int rc = writer(calls_of(c)->remote->client, known->name, batch, &call, error);
  if (!rc)
    calls_ids(known, batch, ids);
  return remote_call_end(c, rc);
}

/* Rows that are numbered here: the batch and their keys. */
static int calls_number(struct engine_collection *c, calls_writer *writer,
                        const vecdb_batch *batch, int64_t *ids, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  const vecdb_client_call call = remote_call_of(c, NULL);
  int64_t first;
  int rc = vecdb_client_numbers(calls_of(c)->remote->client, batch->n_rows, &first, &call, error);
  if (rc)
    return rc;
  vecdb_batch whole = *batch;
  int64_t *keys = calloc(batch->n_rows, sizeof *keys);
  vecdb_column *columns = calloc(batch->n_columns + 1, sizeof *columns);
  if (keys && columns) {
    for (uint32_t i = 0; i < batch->n_rows; i++)
      keys[i] = first + i;
    if (batch->n_columns)
      memcpy(columns + 1, batch->columns, batch->n_columns * sizeof *columns);
    columns[0] = (vecdb_column){.field = known->key->name, .data = keys};
    whole.columns = columns;
    whole.n_columns++;
    rc = calls_send(c, writer, &whole, ids, error);
  } else {
    rc = calls_no_memory(error);
  }
  free(columns);
  free(keys);
  return rc;
}

static int calls_write(struct engine_collection *c, calls_writer *writer, const vecdb_batch *batch,
                       int64_t *ids, vecdb_error *error) {
  const vecdb_field *key = calls_of(c)->known->key;
  if (!(key->flags & VECDB_AUTO_ID))
    return calls_send(c, writer, batch, ids, error);
  for (uint32_t i = 0; i < batch->n_columns; i++)
    if (strcmp(batch->columns[i].field, key->name) == 0) {
      engine_fail(error, VECDB_ERR_ARGUMENT, "the database numbers these rows and takes no column");
      if (error)
        snprintf(error->field, sizeof error->field, "%.63s", key->name);
      return VECDB_ERR_ARGUMENT;
    }
  return calls_number(c, writer, batch, ids, error);
}

int remote_insert(struct engine_collection *c, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error) {
  return calls_write(c, vecdb_client_insert, batch, ids, error);
}

int remote_upsert(struct engine_collection *c, const vecdb_batch *batch, int64_t *ids,
                  vecdb_error *error) {
  return calls_write(c, vecdb_client_upsert, batch, ids, error);
}

int remote_update(struct engine_collection *c, const vecdb_batch *batch, uint32_t flags,
                  uint8_t *found, vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, NULL);
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(c, vecdb_client_update(rc->remote->client, rc->known->name,
                                          batch, flags, found, &call, error));
}

int remote_delete(struct engine_collection *c, const vecdb_keys *keys, uint64_t *deleted,
                  vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, NULL);
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(c, vecdb_client_delete(rc->remote->client, rc->known->name,
                                          keys, deleted, &call, error));
}

int remote_delete_where(struct engine_collection *c, const vecdb_filter *filter, uint64_t *deleted,
                        const vecdb_control *control, vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, control);
  return remote_call_end(
      c, vecdb_client_delete_where(calls_of(c)->remote->client, calls_of(c)->known->name, filter,
                                   deleted, &call, error));
}

/* ---- Searches ---- */

/* The hits of each query, as vecdb_search gives them; at most as many as `room`. */
static void calls_hits(const vecdb_client_answer *answer, uint32_t n_queries, uint32_t k,
                       vecdb_hit *hits, uint32_t *counts) {
  uint32_t row = 0;
  for (uint32_t q = 0; q < n_queries; q++) {
    counts[q] = (uint32_t)vecdb_client_answer_rows(answer, q);
    for (uint32_t i = 0; i < counts[q]; i++) {
      vecdb_value key = vecdb_client_answer_key(answer, q, i);
      hits[(size_t)q * k + i] = (vecdb_hit){.id = key.type == VECDB_INT64 ? key.as.integer : -1,
                                            .score = vecdb_client_answer_score(answer, q, i),
                                            .row = row++};
    }
  }
}

/* What a search was asked for. */
struct calls_wanted {
  const char *const *fields;
  size_t n_fields;
  uint32_t n_lists; /* of hits */
  uint32_t k;       /* hits of each at most */
  vecdb_search_info *info;
  uint64_t began_ns;
};

/* What came of a search, also of one that gives lists of hits for each query. The answer is taken
   over. */
static int calls_searched(const struct remote_known *known, vecdb_client_answer *answer,
                          const struct calls_wanted *w, vecdb_hit *hits, uint32_t *counts,
                          struct engine_rows **rows, vecdb_error *error) {
  calls_hits(answer, w->n_lists, w->k, hits, counts);
  if (w->info)
    *w->info =
        (vecdb_search_info){.size = sizeof *w->info,
                            .partial = (uint32_t)vecdb_client_answer_partial(answer, NULL, NULL),
                            .elapsed_ns = calls_now_ns() - w->began_ns};
  if (!rows) {
    vecdb_client_answer_free(answer);
    return VECDB_OK;
  }
  *rows = remote_rows(known, answer, w->fields, w->n_fields, w->n_lists);
  return *rows ? VECDB_OK : calls_no_memory(error);
}

int remote_search(struct engine_collection *c, const vecdb_search_params *params, vecdb_hit *hits,
                  uint32_t *counts, vecdb_search_info *info, struct engine_rows **rows,
                  vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  const struct calls_wanted wanted = {params->fields, params->n_fields,
                                      params->n_queries ? params->n_queries : 1, params->k,
                                      info, calls_now_ns()};
  vecdb_client_call call = remote_call_of(c, params->control);
  vecdb_client_answer *answer;
  if (rows)
    *rows = NULL;
  int rc =
      vecdb_client_search(calls_of(c)->remote->client, known->name, params, &call, &answer, error);
  return rc ? remote_call_end(c, rc)
            : calls_searched(known, answer, &wanted, hits, counts, rows, error);
}

int remote_search_groups(struct engine_collection *c, const vecdb_search_params *params,
                         const vecdb_group_by *by, vecdb_hit *hits, uint32_t *counts,
                         vecdb_search_info *info, struct engine_rows **rows, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  const struct calls_wanted wanted = {params->fields, params->n_fields,
                                      (params->n_queries ? params->n_queries : 1) * params->k,
                                      by->hits ? by->hits : 1, info, calls_now_ns()};
  vecdb_client_call call = remote_call_of(c, params->control);
  vecdb_client_answer *answer;
  if (rows)
    *rows = NULL;
  int rc = vecdb_client_search_groups(calls_of(c)->remote->client, known->name, params, by, &call,
                                      &answer, error);
  return rc ? remote_call_end(c, rc)
            : calls_searched(known, answer, &wanted, hits, counts, rows, error);
}

int remote_search_hybrid(struct engine_collection *c, const vecdb_hybrid_params *params,
                         vecdb_hit *hits, uint32_t *counts, vecdb_search_info *info,
                         struct engine_rows **rows, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  const uint32_t n = params->n_searches ? params->searches[0].search.n_queries : 0;
  const struct calls_wanted wanted = {params->fields, params->n_fields, n ? n : 1, params->k, info,
                                      calls_now_ns()};
  vecdb_client_call call = remote_call_of(c, params->control);
  vecdb_client_answer *answer;
  if (rows)
    *rows = NULL;
  int rc = vecdb_client_search_hybrid(calls_of(c)->remote->client, known->name, params, &call,
                                      &answer, error);
  return rc ? remote_call_end(c, rc)
            : calls_searched(known, answer, &wanted, hits, counts, rows, error);
}

static const vecdb_field *calls_vector(const struct remote_known *known, const char *name) {
  for (uint32_t i = 0; i < known->schema->n_fields; i++) {
    const vecdb_field *field = &known->schema->fields[i];
    if (name ? strcmp(field->name, name) == 0 : field->type >= VECDB_FLOAT_VECTOR)
      return field;
  }
  return NULL;
}

/* Every allowed row is compared, as the exact plan does, and the nearest are cut at the radius. */
int remote_search_range(struct engine_collection *c, const vecdb_search_params *params,
                        float radius, vecdb_hit *hits, uint32_t *count, vecdb_search_info *info,
                        struct engine_rows **rows, vecdb_error *error) {
  vecdb_search_params exact = *params;
  const vecdb_field *field = calls_vector(calls_of(c)->known, params->field);
  bool larger = field && (field->metric == VECDB_IP || field->metric == VECDB_COSINE);
  uint32_t n = 0;
  exact.plan = VECDB_PLAN_EXACT;
  exact.n_queries = 1;
  int rc = remote_search(c, &exact, hits, count, info, rows, error);
  while (!rc && n < *count && (larger ? hits[n].score >= radius : hits[n].score <= radius))
    n++;
  if (!rc)
    *count = n;
  return rc;
}

/* ---- Other reads ---- */

int remote_query(struct engine_collection *c, const vecdb_query_params *params,
                 struct engine_rows **out, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  vecdb_client_call call = remote_call_of(c, params->control);
  vecdb_client_answer *answer;
  *out = NULL;
  int rc =
      vecdb_client_query(calls_of(c)->remote->client, known->name, params, &call, &answer, error);
  if (rc)
    return remote_call_end(c, rc);
  *out = remote_rows(known, answer, params->fields, params->n_fields, 1);
  return *out ? VECDB_OK : calls_no_memory(error);
}

int remote_count(struct engine_collection *c, const vecdb_filter *filter, uint64_t *count,
                 vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, NULL);
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(c, vecdb_client_count(rc->remote->client, rc->known->name,
                                         filter, count, &call, error));
}

int remote_sparse_counts(struct engine_collection *c, const char *field, const vecdb_filter *filter,
                         const uint32_t *indices, size_t n, uint64_t *counts, uint64_t *rows,
                         vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, NULL);
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(
      c, vecdb_client_sparse_counts(rc->remote->client, rc->known->name, field, filter, indices, n,
                                    counts, rows, &call, error));
}

int remote_get(struct engine_collection *c, const vecdb_keys *keys, const char *const *fields,
               size_t n_fields, uint8_t *found, struct engine_rows **out, vecdb_error *error) {
  const struct remote_known *known = calls_of(c)->known;
  const vecdb_client_fields wanted = {fields, n_fields};
  vecdb_client_call call = remote_call_of(c, NULL);
  vecdb_client_answer *answer;
  *out = NULL;
  int rc = vecdb_client_get(calls_of(c)->remote->client, known->name, keys, fields ? &wanted : NULL,
                            &call, &answer, error);
  if (rc)
    return remote_call_end(c, rc);
  for (size_t i = 0; found && i < keys->n; i++)
    found[i] = (uint8_t)vecdb_client_answer_found(answer, i);
  *out = remote_rows(known, answer, fields, n_fields, 1);
  return *out ? VECDB_OK : calls_no_memory(error);
}

int remote_explain(struct engine_collection *c, const vecdb_search_params *params, char *text,
                   size_t capacity, size_t *length, vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, params->control);
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(c, vecdb_client_explain(rc->remote->client, rc->known->name, params, &call,
                                                 text, capacity, length, error));
}

int remote_stats(struct engine_collection *c, vecdb_stats *out, vecdb_error *error) {
  *out = (vecdb_stats)VECDB_STATS_INIT;
  return remote_count(c, NULL, &out->rows, error);
}

/* ---- Replicas ---- */

struct calls_walk {
  void (*visit)(void *user, const struct engine_replica *replica);
  void *user;
  uint32_t wanted;
  bool led; /* the shard's primary has answered */
  uint64_t committed; /* and this was its position */
};

static vecdb_stats calls_stats(const vecdb_client_replica *r) {
  return (vecdb_stats){.size = sizeof(vecdb_stats),
                       .segments_growing = (uint32_t)r->segments_growing,
                       .segments_sealed = (uint32_t)r->segments_sealed,
                       .segments_indexed = (uint32_t)r->segments_indexed,
                       .rows = r->rows,
                       .bytes_memory = r->bytes_growing,
                       .bytes_files = r->bytes > r->bytes_growing ? r->bytes - r->bytes_growing : 0,
                       .bytes_index = r->bytes_index,
                       .merge_bytes = r->merge_bytes,
                       .index_builds = r->index_builds,
                       .index_build_ns = r->index_build_ns};
}

static int calls_replica(void *user, const vecdb_client_replica *r) {
  struct calls_walk *walk = user;
  if (r->primary) {
    walk->led = r->reached;
    walk->committed = r->committed;
  }
  const struct engine_replica out = {
      .shard = r->shard,
      .node = r->node,
      .wanted = walk->wanted,
      .primary = r->primary,
      .reached = r->reached,
      .known = r->reached && walk->led,
      .behind = walk->committed > r->applied ? walk->committed - r->applied : 0,
      .stats = calls_stats(r)};
  walk->visit(walk->user, &out);
  return 0;
}

/* What the collection is like is asked anew: who is in sync may have changed. */
static int calls_describe(struct engine_collection *c, const vecdb_client_call *call,
                          vecdb_client_about **about, vecdb_error *error) {
  const struct remote_collection *rc = calls_of(c);
  return remote_call_end(
      c, vecdb_client_describe(rc->remote->client, rc->known->name, call, about, error));
}

int remote_replicas(struct engine_collection *c,
                    void (*visit)(void *user, const struct engine_replica *replica), void *user,
                    vecdb_error *error) {
  struct calls_walk walk = {visit, user, 0, false, 0};
  vecdb_client_layout layout = VECDB_CLIENT_LAYOUT_INIT;
  vecdb_client_call call = VECDB_CLIENT_CALL_INIT;
  vecdb_client_about *about;
  call.timeout_ms = CALLS_STATS_MS;
  int rc = calls_describe(c, &call, &about, error);
  if (rc)
    return rc;
  vecdb_client_about_layout(about, &layout);
  walk.wanted = layout.replicas;
  rc = vecdb_client_replicas(calls_of(c)->remote->client, about, &call, calls_replica, &walk,
                             error);
  vecdb_client_about_free(about);
  return rc;
}

/* It takes as long as it does, where nothing else is asked for. */
int remote_compact(struct engine_collection *c, const vecdb_control *control, vecdb_error *error) {
  vecdb_client_call call = remote_call_of(c, control);
  vecdb_client_about *about;
  int rc = calls_describe(c, &call, &about, error);
  if (rc)
    return rc;
  if (!control || !control->timeout_ms)
    call.timeout_ms = CALLS_COMPACT_MS;
  rc = vecdb_client_compact(calls_of(c)->remote->client, about, &call, error);
  vecdb_client_about_free(about);
  return rc;
}
