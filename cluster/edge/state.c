/* state.c - how far collections are followed; see state.h. */
#include "edge/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A row for each shard, and one of the number -1 for the collection. */
enum { STATE_NUMBERS = 8, STATE_KEY = VECDB_MAX_NAME + 16, STATE_SHARDS = 4096 };
enum { STATE_NUMBER, STATE_ID, STATE_WHOLE, STATE_FILTER, STATE_FRESH, STATE_SEQ, STATE_EPOCH,
       STATE_CHAIN };
static const char *const state_names[STATE_NUMBERS] = {"number", "id",  "whole", "filter",
                                                       "fresh",  "seq", "epoch", "chain"};

static int state_fail(vecdb_error *error, int code, const char *words) {
  if (error) {
    *error = (vecdb_error){.code = code, .row = -1, .position = -1};
    snprintf(error->message, sizeof error->message, "%s", words);
  }
  return code;
}

/* ---- Opening ---- */

static int state_count(void *user, const char *name) {
  (void)name;
  ++*(size_t *)user;
  return 0;
}

/* A collection has a vector. */
static int state_create(vecdb *db, vecdb_collection **out, vecdb_error *error) {
  vecdb_field fields[STATE_NUMBERS + 3] = {{0}};
  vecdb_schema schema = VECDB_SCHEMA_INIT;
  fields[0] = (vecdb_field){.name = "key",
                            .type = VECDB_VARCHAR,
                            .max_length = STATE_KEY,
                            .flags = VECDB_PRIMARY_KEY};
  fields[1] =
      (vecdb_field){.name = "collection", .type = VECDB_VARCHAR, .max_length = VECDB_MAX_NAME};
  fields[2] = (vecdb_field){.name = "none", .type = VECDB_BINARY_VECTOR, .dim = 8};
  for (int i = 0; i < STATE_NUMBERS; i++)
    fields[3 + i] = (vecdb_field){.name = state_names[i], .type = VECDB_INT64};
  schema.fields = fields;
  schema.n_fields = STATE_NUMBERS + 3;
  return vecdb_collection_create(db, EDGE_STATE, &schema, out, error);
}

int edge_state_open(vecdb *db, vecdb_collection **out, vecdb_error *error) {
  size_t n = 0;
  int code = vecdb_collection_get(db, EDGE_STATE, out, error);
  if (code != VECDB_ERR_NOT_FOUND)
    return code;
  code = vecdb_collection_list(db, state_count, &n, error);
  if (!code && n)
    code = state_fail(error, VECDB_ERR_NOT_A_DATABASE,
                      "the database has collections that are no edge's: give an edge one of its "
                      "own");
  return code ? code : state_create(db, out, error);
}

/* ---- Reading ---- */

/* The key is column 0. */
static int64_t state_value(const vecdb_rows *rows, size_t row, int which) {
  return vecdb_rows_value(rows, row, (size_t)which + 1).as.integer;
}

/* Whether the rows, one for the collection and one for each shard, are all there. */
static bool state_take(const vecdb_rows *rows, struct edge_saved *out) {
  size_t n = vecdb_rows_count(rows), seen = 0;
  bool head = false;
  for (size_t i = 0; i < n; i++) {
    int64_t number = state_value(rows, i, STATE_NUMBER);
    if (number >= 0 && (size_t)number < n - 1) {
      out->at[number] =
          (vecdb_client_position){.seq = (uint64_t)state_value(rows, i, STATE_SEQ),
                                  .epoch = (uint64_t)state_value(rows, i, STATE_EPOCH),
                                  .chain = (uint64_t)state_value(rows, i, STATE_CHAIN)};
      seen++;
      continue;
    }
    head = number == -1;
    out->id = (uint32_t)state_value(rows, i, STATE_ID);
    out->whole = state_value(rows, i, STATE_WHOLE) != 0;
    out->filter = (uint64_t)state_value(rows, i, STATE_FILTER);
    out->fresh_ms = state_value(rows, i, STATE_FRESH);
  }
  out->n = (uint32_t)(n - 1);
  return head && seen == n - 1;
}

/* The filter for a collection's rows. */
static vecdb_filter state_of(const char *name, vecdb_param *param) {
  *param = (vecdb_param){
      "c", {.type = VECDB_VARCHAR, .length = (uint32_t)strlen(name), .as = {.data = name}}};
  return (vecdb_filter){"collection == {c}", 0, param, 1};
}

int edge_state_load(vecdb_collection *state, const char *name, struct edge_saved *out,
                    vecdb_error *error) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_param param;
  vecdb_rows *rows = NULL;
  q.filter = state_of(name, &param);
  q.fields = state_names;
  q.n_fields = STATE_NUMBERS;
  *out = (struct edge_saved){0};
  int code = vecdb_query(state, &q, &rows, error);
  if (code)
    return code;
  size_t n = vecdb_rows_count(rows);
  bool good = n > 1 && n <= STATE_SHARDS + 1;
  if (good && !(out->at = calloc(n - 1, sizeof *out->at)))
    code = state_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
  good = good && !code && state_take(rows, out);
  vecdb_rows_free(rows);
  if (!code && !good)
    code = state_fail(error, VECDB_ERR_NOT_FOUND, "nothing is known of the collection");
  if (code) {
    free(out->at);
    *out = (struct edge_saved){0};
  }
  return code;
}

/* ---- Writing ---- */

static void state_fill(const struct edge_saved *saved, const char *name, char (*keys)[STATE_KEY],
                       const char **texts, int64_t *numbers) {
  for (uint32_t i = 0; i <= saved->n; i++) {
    const bool head = i == saved->n;
    const vecdb_client_position p = head ? (vecdb_client_position){0, 0, 0} : saved->at[i];
    const int64_t values[STATE_NUMBERS] = {head ? -1 : (int64_t)i, saved->id,
                                           saved->whole,           (int64_t)saved->filter,
                                           saved->fresh_ms,        (int64_t)p.seq,
                                           (int64_t)p.epoch,       (int64_t)p.chain};
    if (head)
      snprintf(keys[i], sizeof keys[i], "%s#head", name);
    else
      snprintf(keys[i], sizeof keys[i], "%s#%u", name, i);
    texts[2 * i] = keys[i];
    texts[2 * i + 1] = name;
    memcpy(numbers + (size_t)i * STATE_NUMBERS, values, sizeof values);
  }
}

int edge_state_save(vecdb_collection *state, const char *name, const struct edge_saved *saved,
                    vecdb_error *error) {
  const size_t n = (size_t)saved->n + 1;
  char(*keys)[STATE_KEY] = calloc(n, sizeof *keys);
  const char **texts = calloc(2 * n, sizeof *texts);
  int64_t *numbers = calloc(n, STATE_NUMBERS * sizeof *numbers);
  uint8_t *none = calloc(n, 1);
  vecdb_column columns[STATE_NUMBERS + 3] = {{0}};
  vecdb_batch batch = VECDB_BATCH_INIT;
  int code = VECDB_ERR_NO_MEMORY;
  if (keys && texts && numbers && none) {
    state_fill(saved, name, keys, texts, numbers);
    columns[0] = (vecdb_column){.field = "key", .data = texts, .stride = 2 * sizeof *texts};
    columns[1] =
        (vecdb_column){.field = "collection", .data = texts + 1, .stride = 2 * sizeof *texts};
    columns[2] = (vecdb_column){.field = "none", .data = none};
    for (int i = 0; i < STATE_NUMBERS; i++)
      columns[3 + i] = (vecdb_column){.field = state_names[i],
                                      .data = numbers + i,
                                      .stride = STATE_NUMBERS * sizeof *numbers};
    batch.columns = columns;
    batch.n_columns = STATE_NUMBERS + 3;
    batch.n_rows = (uint32_t)n;
    code = vecdb_upsert(state, &batch, NULL, error);
  } else {
    state_fail(error, code, "out of memory");
  }
  free(keys);
  free(texts);
  free(numbers);
  free(none);
  return code;
}

int edge_state_remove(vecdb_collection *state, const char *name, vecdb_error *error) {
  vecdb_param param;
  const vecdb_filter filter = state_of(name, &param);
  return vecdb_delete_where(state, &filter, NULL, NULL, error);
}
