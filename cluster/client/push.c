/*
 * push.c - vectors as parameters that many learn at once: pushes, pulls, and the optimizers of
 * fields; see vecdb_client.h.
 */
#include <string.h>

#include "client/calls.h"

/* The versions as a column behind the others. */
static int push_expect(struct job *job, const uint64_t *expected, vecdb_error *error) {
  struct wire_columns *rows = &job->message.rows;
  struct wire_column *columns = wire_mem_get(&job->mem, rows->n_columns + 1, sizeof *columns);
  if (!columns)
    return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
  memcpy(columns, rows->columns, rows->n_columns * sizeof *columns);
  columns[rows->n_columns++] =
      (struct wire_column){.name = WIRE_VERSION_COLUMN, .type = VECDB_INT64, .data = expected};
  rows->columns = columns;
  return VECDB_OK;
}

static int push_prepare(struct job *job, const struct router_map *map, vecdb_error *error) {
  const vecdb_push_params *p = job->params;
  const vecdb_keys *keys = p->keys;
  const char **texts = NULL;
  uint32_t *lengths = NULL;
  if (keys->strings) {
    texts = wire_mem_get(&job->mem, keys->n, sizeof *texts);
    lengths = wire_mem_get(&job->mem, keys->n, sizeof *lengths);
    if (!texts || !lengths)
      return calls_fail(error, VECDB_ERR_NO_MEMORY, "", "out of memory");
    for (size_t i = 0; i < keys->n; i++) {
      texts[i] = keys->strings[i].data;
      lengths[i] = (uint32_t)keys->strings[i].length;
    }
  }
  vecdb_column columns[] = {
      {.field = map->key->name, .data = keys->integers, .lengths = lengths},
      {.field = p->field, .data = p->values, .stride = p->stride, .dim = p->dim}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  if (texts)
    columns[0].data = texts;
  batch.columns = columns;
  batch.n_columns = 2;
  batch.n_rows = (uint32_t)keys->n;
  int code = wire_columns_of_batch(&map->schema, &batch, &job->mem, &job->message.rows, error);
  if (!code && p->expected)
    code = push_expect(job, p->expected, error);
  return code || !(p->flags & VECDB_PUSH_INSERT) ? code : calls_computed(job, map, error);
}

int vecdb_client_push(vecdb_client *c, const char *name, const vecdb_push_params *params,
                      const vecdb_client_call *call, vecdb_error *error) {
  struct job job = {.prepare = push_prepare, .params = params};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!params || !params->keys || !params->values || !params->field)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "field, keys and values must be given");
  if (params->size != sizeof *params || params->kind < 0 || params->kind > VECDB_PUSH_VALUE ||
      params->flags & ~(uint32_t)VECDB_PUSH_INSERT)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_push_params is not understood");
  if (!params->keys->n || params->keys->n > VECDB_MAX_BATCH_ROWS)
    return calls_fail(error, VECDB_ERR_LIMIT, "", "a push has 1 to 1,048,576 rows");
  job.message.kind = WIRE_WRITE;
  job.message.write.kind = WIRE_PUSH;
  job.message.write.flags = params->flags + (uint32_t)params->kind * WIRE_PUSH_KIND;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_BATCH);
  code = calls_older(calls_run(c, &job, error), params->field, error);
  calls_free(&job);
  return code;
}

/* The vectors that were found to where the caller wants them. */
static int push_pulled(const vecdb_client_answer *answer, size_t n, const char *field,
                       float *values, size_t stride, uint64_t *versions, vecdb_error *error) {
  size_t row = 0;
  for (size_t i = 0; i < n; i++) {
    bool found = vecdb_client_answer_found(answer, i);
    if (versions)
      versions[i] = 0;
    if (!found)
      continue;
    vecdb_value v = vecdb_client_answer_value(answer, 0, row, field);
    vecdb_value count = vecdb_client_answer_value(answer, 0, row, WIRE_VERSION_COLUMN);
    row++;
    if (v.type != VECDB_FLOAT_VECTOR || count.type != VECDB_INT64)
      return calls_fail(error, VECDB_CLIENT_PROTOCOL, field, "an answer without its vectors");
    size_t bytes = v.length * sizeof *values;
    if (values)
      memcpy((char *)values + i * (stride ? stride : bytes), v.as.data, bytes);
    if (versions)
      versions[i] = (uint64_t)count.as.integer;
  }
  return VECDB_OK;
}

int vecdb_client_pull(vecdb_client *c, const char *name, const char *field, const vecdb_keys *keys,
                      float *values, size_t stride, uint64_t *versions,
                      const vecdb_client_call *call, vecdb_error *error) {
  const char *const names[] = {field, WIRE_VERSION_COLUMN};
  const vecdb_client_fields fields = {names, 2};
  vecdb_client_answer *answer = NULL;
  if (!field || !keys)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "field and keys must be given");
  int code = vecdb_client_get(c, name, keys, &fields, call, &answer, error);
  if (!code)
    code = push_pulled(answer, keys->n, field, values, stride, versions, error);
  vecdb_client_answer_free(answer);
  return code;
}

int vecdb_client_optimizer_set(vecdb_client *c, const char *name, const char *field,
                               const vecdb_optimizer *optimizer, const vecdb_client_call *call,
                               vecdb_error *error) {
  struct job job = {.prepare = calls_nothing};
  int code = calls_begin(c, name, call, &job, error);
  if (code)
    return code;
  if (!field || strlen(field) > VECDB_MAX_NAME)
    return calls_fail(error, VECDB_ERR_ARGUMENT, "", "a field must be given");
  if (optimizer && optimizer->size != sizeof *optimizer)
    return calls_fail(error, VECDB_ERR_OPTION, "", "vecdb_optimizer is not understood");
  job.message.kind = WIRE_WRITE;
  job.message.write.kind = WIRE_OPTIMIZE;
  job.message.optimizer.field = field;
  job.message.optimizer.none = !optimizer;
  if (optimizer)
    job.message.optimizer.optimizer = *optimizer;
  job.message.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_OPTIMIZER);
  code = calls_run(c, &job, error);
  calls_free(&job);
  return code;
}
