/* upkeep.c - how shards would search, what their sparse fields have, the merging of their files,
   and when rows go; see vecdb_client.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/calls.h"
#include "client/session.h"

/* ---- Plans ---- */

enum { UPKEEP_HEAD = 64 };

/* What fits is written; the whole length, without the NUL. */
static size_t upkeep_add(char *text, size_t capacity, size_t at, const char *more, size_t n) {
  if (at < capacity) {
    const size_t room = capacity - at;
    memcpy(text + at, more, n < room ? n : room);
  }
  return at + n;
}

static size_t upkeep_plans(const struct router_result *r, char *text, size_t capacity) {
  size_t at = 0;
  for (uint32_t i = 0; i < r->n_parts; i++) {
    const struct wire_document *plan = &r->parts[i]->documents[0];
    char head[UPKEEP_HEAD];
    int n = snprintf(head, sizeof head, "shard %u, by node %u:\n", plan->a, plan->b);
    at = upkeep_add(text, capacity, at, head, (size_t)n);
    at = upkeep_add(text, capacity, at, plan->text, plan->n);
    if (plan->n && plan->text[plan->n - 1] != '\n')
      at = upkeep_add(text, capacity, at, "\n", 1);
  }
  if (capacity)
    text[at < capacity ? at : capacity - 1] = '\0';
  return at;
}

int vecdb_client_explain(vecdb_client *c, const char *name, const vecdb_search_params *params,
                         const vecdb_client_call *call, char *text, size_t capacity,
                         size_t *length, vecdb_error *error) {
  struct job job;
  if (capacity && !text)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "text must be given");
  int code = calls_begin_search(c, name, params, call, &job, error);
  if (code)
    return code;
  job.message.kind = WIRE_EXPLAIN;
  code = calls_older(calls_run(c, &job, error), "", error);
  if (!code) {
    const size_t n = upkeep_plans(job.result, text, capacity);
    if (length)
      *length = n;
    if (n >= capacity)
      code = calls_fail(error, VECDB_ERR_BUFFER, "", "the plan is longer than the room for it");
  }
  calls_free(&job);
  return code;
}

/* ---- Merging ---- */

static int upkeep_compact_all(vecdb_client *c, const struct router_map *map,
                              const vecdb_client_call *call, struct job *jobs,
                              vecdb_error *error) {
  size_t n = 0;
  for (uint32_t i = 0; i < map->n_shards; i++) {
    const struct router_shard *shard = router_map_shard(map, i);
    for (uint32_t k = 0; shard && k < shard->n; k++) {
      struct job *job = &jobs[n++];
      int code = calls_begin(c, map->coll.name, call, job, error);
      if (code)
        return code;
      job->node = shard->nodes[k];
      job->message = (struct wire_message){.kind = WIRE_COMPACT, .has = WIRE_HAS(WIRE_TARGET)};
      job->message.target = (struct wire_target){.collection = map->coll.id, .shard = i};
    }
  }
  int code = calls_older(calls_run_all(c, jobs, n, error), "", error);
  while (n)
    calls_free(&jobs[--n]);
  return code;
}

int vecdb_client_compact(vecdb_client *c, const vecdb_client_about *about,
                         const vecdb_client_call *call, vecdb_error *error) {
  if (!c || !about)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "client and about must be given");
  struct job *jobs = calloc((size_t)about->map->n_shards * DOC_REPLICAS_MAX + 1, sizeof *jobs);
  if (!jobs)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  int code = upkeep_compact_all(c, about->map, call, jobs, error);
  free(jobs);
  return code;
}

/* ---- Counts ---- */

static void upkeep_sum(const struct router_result *r, size_t n, uint64_t *counts) {
  memset(counts, 0, n * sizeof *counts);
  for (uint32_t i = 0; i < r->n_parts; i++) {
    const uint64_t *more = r->parts[i]->rows.columns[0].data;
    for (size_t k = 0; k < n; k++)
      counts[k] += more[k];
  }
}

int vecdb_client_sparse_counts(vecdb_client *c, const char *name, const char *field,
                               const vecdb_filter *filter, const uint32_t *indices, size_t n,
                               uint64_t *counts, uint64_t *rows, const vecdb_client_call *call,
                               vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!field || (n && (!indices || !counts)))
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "field, indices and counts must be given");
  int64_t *keys = n <= VECDB_MAX_SPARSE ? wire_mem_get(&job.mem, n + 1, sizeof *keys) : NULL;
  if (!keys)
    return calls_fail(error, n > VECDB_MAX_SPARSE ? VECDB_ERR_LIMIT : VECDB_ERR_NO_MEMORY, field,
                      "too many indices, or no memory");
  for (size_t i = 0; i < n; i++)
    keys[i] = indices[i];
  job.message.kind = WIRE_SPARSE;
  job.message.keys = (vecdb_keys){keys, NULL, n};
  job.message.fields = (struct wire_names){&field, 1};
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_KEYS) | WIRE_HAS(WIRE_FIELDS) |
                    WIRE_HAS(WIRE_READ);
  calls_filter(&job, filter);
  code = calls_older(calls_run(c, &job, error), field, error);
  if (!code && n)
    upkeep_sum(job.result, n, counts);
  if (!code && rows)
    *rows = job.result->number;
  calls_free(&job);
  return code;
}

/* ---- When rows go ---- */

static int upkeep_taken(struct job *job, const struct wire_message *m, vecdb_error *error) {
  (void)error;
  *(uint64_t *)job->out = m->number;
  return VECDB_OK;
}

/* Until the node that is asked has the document of this revision: then who asks next is told. */
static int upkeep_heard(vecdb_client *c, const char *name, uint64_t revision,
                        const vecdb_client_call *call, vecdb_error *error) {
  static const struct timespec pause = {0, 20000000};
  const uint32_t timeout_ms = call && call->timeout_ms ? call->timeout_ms : c->timeout_ms;
  const int64_t until_us = client_clock() + timeout_ms * INT64_C(1000);
  for (;;) {
    vecdb_client_about *about = NULL;
    int code = vecdb_client_describe(c, name, call, &about, error);
    bool heard = !code && (uint64_t)about->map->revision >= revision;
    vecdb_client_about_free(about);
    if (code || heard)
      return code;
    if (client_clock() >= until_us)
      return calls_fail(error, VECDB_CLIENT_UNKNOWN, "", "the nodes have not heard of it in time");
    nanosleep(&pause, NULL);
  }
}

int vecdb_client_expire(vecdb_client *c, const char *name, const char *field, uint64_t ttl_ms,
                        const vecdb_client_call *call, vecdb_error *error) {
  uint64_t revision = 0;
  struct job job = {.taken = upkeep_taken, .out = &revision};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (ttl_ms > INT64_MAX || (field && (!*field || strlen(field) > VECDB_MAX_NAME)))
    return calls_fail(error, VECDB_ERR_LIMIT, "", "a field's name has 1 to 255 bytes, and a time "
                                                  "is below 2^63 ms");
  char *text = wire_expiry_write(&(struct wire_expiry){field, ttl_ms});
  if (!text)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  job.message.kind = WIRE_EXPIRE;
  job.message.has = WIRE_HAS(WIRE_NAME);
  job.message.name = (struct wire_name){name, text};
  code = calls_older(calls_run(c, &job, error), field ? field : "", error);
  calls_free(&job);
  free(text);
  return code ? code : upkeep_heard(c, name, revision, call, error);
}
