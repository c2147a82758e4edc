/* calls.c - what users ask: each call is a job for the client's thread; see vecdb_client.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/calls.h"
#include "client/defaults.h"
#include "client/session.h"

int calls_fail(vecdb_error *error, int code, const char *field, const char *words) {
  if (error) {
    *error = (vecdb_error){.code = code, .row = -1, .position = -1};
    snprintf(error->field, sizeof error->field, "%.63s", field);
    snprintf(error->message, sizeof error->message, "%s", words);
  }
  return code;
}

int calls_older(int code, const char *field, vecdb_error *error) {
  return code == VECDB_CLIENT_PROTOCOL
             ? calls_fail(error, VECDB_ERR_UNSUPPORTED, field,
                          "a node is of a version that does not know this: upgrade it first")
             : code;
}

/* ---- One job ---- */

int calls_begin(vecdb_client *c, const char *name, const vecdb_client_call *call,
                struct job *job, vecdb_error *error) {
  uint32_t timeout_ms = call && call->timeout_ms ? call->timeout_ms : c ? c->timeout_ms : 0;
  if (!c || !name)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "client and collection must be given");
  if (!*name || strlen(name) > VECDB_MAX_NAME)
    return calls_fail(error, VECDB_ERR_NAME, "", "a collection's name has 1 to 255 bytes");
  if (call && (call->size != sizeof *call || call->level < 0 || call->level > WIRE_STRONG ||
               call->ack < 0 || call->ack > VECDB_CLIENT_ACK_ASYNC))
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_client_call is not understood");
  job->name = name;
  job->deadline_us = client_clock() + timeout_ms * (int64_t)1000;
  if (!call)
    return VECDB_OK;
  job->message.read.level = (uint8_t)call->level;
  job->message.read.max_age_ms = call->max_age_ms;
  job->message.write.ack = (uint8_t)call->ack;
  job->ask.partial = call->partial;
  job->ask.op = call->op;
  job->only = call->collection;
  job->ask.shard_recall = call->shard_recall;
  job->ask.session = call->session ? &call->session->seen : NULL;
  return VECDB_OK;
}

void calls_free(struct job *job) {
  wire_mem_free(&job->mem);
  router_result_free(job->result);
}

int calls_run(vecdb_client *c, struct job *job, vecdb_error *error) {
  client_do(c, job);
  if (job->code && error)
    *error = job->error;
  return job->code;
}

int calls_run_all(vecdb_client *c, struct job *jobs, size_t n, vecdb_error *error) {
  int code = VECDB_OK;
  for (size_t i = 0; i < n; i++)
    client_start(c, &jobs[i]);
  for (size_t i = 0; i < n; i++) {
    client_wait(c, &jobs[i]);
    if (!code && jobs[i].code && error)
      *error = jobs[i].error;
    code = code ? code : jobs[i].code;
  }
  return code;
}

vecdb_client_answer *calls_join(struct router_result *const *results, uint32_t n,
                                uint32_t n_queries, uint32_t k, struct router_hits *hits) {
  vecdb_client_answer *answer = calloc(1, sizeof *answer);
  if (answer)
    answer->result = router_result_join(results, n, n_queries, k, hits);
  if (answer && answer->result)
    return answer;
  free(answer);
  return NULL;
}

/* A job whose result is one number, or nothing. */
static int calls_number(vecdb_client *c, struct job *job, uint64_t *number, vecdb_error *error) {
  int code = calls_run(c, job, error);
  if (!code && number)
    *number = job->result->number;
  calls_free(job);
  return code;
}

static int calls_answer(vecdb_client *c, struct job *job, vecdb_client_answer **out,
                        vecdb_error *error) {
  vecdb_client_answer *answer = calloc(1, sizeof *answer);
  if (!answer)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  int code = calls_run(c, job, error);
  if (!code) {
    answer->result = job->result;
    job->result = NULL;
    *out = answer;
  } else {
    free(answer);
  }
  calls_free(job);
  return code;
}

/* ---- Writes ---- */

/* A write that makes some of its rows: of these alone the shard would have to compute. */
int calls_computed(const struct job *job, const struct router_map *map, vecdb_error *error) {
  const char *field = defaults_missing(&map->schema, &job->message.rows);
  return field ? calls_fail(error, VECDB_ERR_UNSUPPORTED, field,
                            "shards compute no defaults: rows that may be made need a value")
               : VECDB_OK;
}

static int calls_prepare_batch(struct job *job, const struct router_map *map, vecdb_error *error) {
  const struct wire_write *w = &job->message.write;
  const bool whole = w->kind != WIRE_UPDATE;
  struct wire_columns *rows = &job->message.rows;
  int code = wire_columns_of_batch(&map->schema, job->params, &job->mem, rows, error);
  if (!code && !whole && w->flags & VECDB_UPDATE_INSERT)
    code = calls_computed(job, map, error);
  return code ? code : defaults_fill(&map->schema, whole, &job->mem, rows, error);
}

int calls_nothing(struct job *job, const struct router_map *map, vecdb_error *error) {
  (void)job;
  (void)map;
  (void)error;
  return VECDB_OK;
}

/* Of a batch, which it checks. */
static int calls_begin_batch(vecdb_client *c, const char *name, uint8_t kind,
                             const vecdb_batch *batch, const vecdb_client_call *call,
                             struct job *job, vecdb_error *error) {
  int code = calls_begin(c, name, call, job, error);
  if (code)
    return code;
  if (!batch || batch->size != sizeof *batch || batch->column_size != sizeof(vecdb_column))
    return calls_fail(error, batch ? VECDB_ERR_OPTION : VECDB_ERR_ARGUMENT, "",
                      "the batch is not understood");
  job->message.kind = WIRE_WRITE;
  job->message.write.kind = kind;
  job->message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_BATCH);
  return VECDB_OK;
}

static int calls_batch(vecdb_client *c, const char *name, uint8_t kind, const vecdb_batch *batch,
                       const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = calls_prepare_batch, .params = batch};
  int code = calls_begin_batch(c, name, kind, batch, call, &job, error);
  return code ? code : calls_number(c, &job, NULL, error);
}

int vecdb_client_insert(vecdb_client *c, const char *name, const vecdb_batch *batch,
                        const vecdb_client_call *call, vecdb_error *error) {
  return calls_batch(c, name, WIRE_INSERT, batch, call, error);
}

int vecdb_client_upsert(vecdb_client *c, const char *name, const vecdb_batch *batch,
                        const vecdb_client_call *call, vecdb_error *error) {
  return calls_batch(c, name, WIRE_UPSERT, batch, call, error);
}

int vecdb_client_update(vecdb_client *c, const char *name, const vecdb_batch *batch,
                        uint32_t flags, uint8_t *found, const vecdb_client_call *call,
                        vecdb_error *error) {
  struct job job = {.prepare = calls_prepare_batch, .params = batch};
  int code = calls_begin_batch(c, name, WIRE_UPDATE, batch, call, &job, error);
  if (!code && flags & ~(uint32_t)VECDB_UPDATE_INSERT)
    code = calls_fail(error, VECDB_ERR_OPTION, "", "unknown flags");
  if (code)
    return code;
  job.message.write.flags = flags;
  code = calls_run(c, &job, error);
  if (!code && found)
    memcpy(found, job.result->found, job.result->n_found);
  calls_free(&job);
  return code;
}

int vecdb_client_delete(vecdb_client *c, const char *name, const vecdb_keys *keys,
                        uint64_t *deleted, const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!keys || keys->n > VECDB_MAX_BATCH_ROWS)
    return calls_fail(error, keys ? VECDB_ERR_LIMIT : VECDB_ERR_ARGUMENT, "",
                      "keys must be given, and not too many");
  job.message.kind = WIRE_WRITE;
  job.message.write.kind = WIRE_DELETE;
  job.message.keys = *keys;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_KEYS);
  return calls_number(c, &job, deleted, error);
}

int vecdb_client_delete_where(vecdb_client *c, const char *name, const vecdb_filter *filter,
                              uint64_t *deleted, const vecdb_client_call *call,
                              vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!filter || !filter->text)
    return calls_fail(error, VECDB_ERR_FILTER, "", "a filter must be given");
  job.message.kind = WIRE_WRITE;
  job.message.write.kind = WIRE_DELETE_WHERE;
  job.message.filter = *filter;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_FILTER);
  return calls_number(c, &job, deleted, error);
}

/* ---- Reads ---- */

void calls_filter(struct job *job, const vecdb_filter *filter) {
  if (!filter || !filter->text)
    return;
  job->message.filter = *filter;
  job->message.has |= WIRE_HAS(WIRE_FILTER);
}

/* NULL names: what the kind of request takes that to be. */
static bool calls_fields(struct job *job, const char *const *names, size_t n) {
  if (!names)
    return true;
  if (n > VECDB_MAX_FIELDS)
    return false;
  job->message.fields = (struct wire_names){names, (uint32_t)n};
  job->message.has |= WIRE_HAS(WIRE_FIELDS);
  return true;
}

static int calls_prepare_search(struct job *job, const struct router_map *map, vecdb_error *error) {
  const vecdb_search_params *p = job->params;
  struct wire_search *s = &job->message.search;
  const vecdb_field *f = router_map_vector(map, p->field);
  if (!f || f->type < VECDB_FLOAT_VECTOR)
    return calls_fail(error, VECDB_ERR_UNKNOWN_FIELD, p->field ? p->field : "",
                      "the collection has no such vector field");
  if (p->dim && wire_type_dense(f->type) && p->dim != f->dim)
    return calls_fail(error, VECDB_ERR_DIMENSION, f->name,
                      "the queries have another dimension than the field");
  *s = (struct wire_search){.field = p->field ? p->field : "",
                            .type = f->type,
                            .dim = wire_type_dense(f->type) ? f->dim : 0,
                            .n_queries = p->n_queries ? p->n_queries : 1,
                            .k = p->k,
                            .ef = p->ef,
                            .nprobe = p->nprobe,
                            .recall = p->recall,
                            .plan = p->plan,
                            .queries = p->queries};
  return VECDB_OK;
}

int calls_begin_search(vecdb_client *c, const char *name, const vecdb_search_params *params,
                       const vecdb_client_call *call, struct job *job, vecdb_error *error) {
  *job = (struct job){.prepare = calls_prepare_search, .params = params};
  int code = calls_begin(c, name, call, job, error);
  if (code)
    return code;
  if (!params || !params->queries)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "params and queries must be given");
  if (params->size != sizeof *params || params->query_stride)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_search_params is not understood");
  if (!params->k || params->k > VECDB_MAX_K)
    return calls_fail(error, VECDB_ERR_K, "", "k is 1 to 16,384");
  if (params->n_queries > VECDB_MAX_QUERIES || params->plan < 0 ||
      params->plan > VECDB_PLAN_CODES ||
      !calls_fields(job, params->n_fields ? params->fields : NULL, params->n_fields))
    return calls_fail(error, VECDB_ERR_LIMIT, "", "too many queries or fields, or no such plan");
  job->message.kind = WIRE_SEARCH;
  job->message.has |= WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_VECTORS) | WIRE_HAS(WIRE_READ);
  calls_filter(job, &params->filter);
  return VECDB_OK;
}

int vecdb_client_search(vecdb_client *c, const char *name, const vecdb_search_params *params,
                        const vecdb_client_call *call, vecdb_client_answer **out,
                        vecdb_error *error) {
  struct job job;
  if (!out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "out must be given");
  *out = NULL;
  int code = calls_begin_search(c, name, params, call, &job, error);
  return code ? code : calls_answer(c, &job, out, error);
}

int vecdb_client_get(vecdb_client *c, const char *name, const vecdb_keys *keys,
                     const vecdb_client_fields *fields, const vecdb_client_call *call,
                     vecdb_client_answer **out, vecdb_error *error) {
  static const char *const none[] = {NULL};
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!keys || !out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "keys and out must be given");
  *out = NULL;
  const char *const *names = !fields ? NULL : fields->n ? fields->names : none;
  if (keys->n > VECDB_MAX_BATCH_ROWS || !calls_fields(&job, names, fields ? fields->n : 0))
    return calls_fail(error, VECDB_ERR_LIMIT, "", "too many keys or fields");
  job.message.kind = WIRE_GET;
  job.message.keys = *keys;
  job.message.has |= WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_KEYS) | WIRE_HAS(WIRE_READ);
  return calls_answer(c, &job, out, error);
}

int vecdb_client_query(vecdb_client *c, const char *name, const vecdb_query_params *params,
                       const vecdb_client_call *call, vecdb_client_answer **out,
                       vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!params || !out)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "params and out must be given");
  *out = NULL;
  if (params->size != sizeof *params || params->after.n > 1)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_query_params is not understood");
  if (!calls_fields(&job, params->fields, params->n_fields))
    return calls_fail(error, VECDB_ERR_LIMIT, "", "too many fields");
  job.message.kind = WIRE_QUERY;
  job.message.page = (struct wire_page){params->limit, params->offset};
  job.message.keys = params->after;
  job.message.has |= WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_PAGE) | WIRE_HAS(WIRE_READ) |
                     (params->after.n ? WIRE_HAS(WIRE_KEYS) : 0);
  calls_filter(&job, &params->filter);
  return calls_answer(c, &job, out, error);
}

int vecdb_client_count(vecdb_client *c, const char *name, const vecdb_filter *filter,
                       uint64_t *count, const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  job.message.kind = WIRE_COUNT;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_READ);
  calls_filter(&job, filter);
  return calls_number(c, &job, count, error);
}
