/* fetch.c - rows that may have changed are read again from the cluster and written here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/follow.h"

const char *const follow_only_key[] = {NULL};

enum { FETCH_TEXT = 2 * VECDB_MAX_NAME + 64, FETCH_PAGE = 1024 };

int follow_fail(vecdb_error *error, int code, const char *words) {
  if (error) {
    *error = (vecdb_error){.code = code, .row = -1, .position = -1};
    snprintf(error->message, sizeof error->message, "%s", words);
  }
  return code;
}

static int fetch_no_memory(vecdb_error *error) {
  return follow_fail(error, VECDB_ERR_NO_MEMORY, "out of memory");
}

/* ---- Keys ---- */

int follow_key_order(vecdb_value a, vecdb_value b) {
  if (a.type != VECDB_VARCHAR)
    return a.as.integer < b.as.integer ? -1 : a.as.integer > b.as.integer;
  uint32_t n = a.length < b.length ? a.length : b.length;
  int order = n ? memcmp(a.as.data, b.as.data, n) : 0;
  return order ? order : a.length < b.length ? -1 : a.length > b.length;
}

vecdb_value follow_key_at(const vecdb_keys *keys, size_t i) {
  if (keys->strings)
    return (vecdb_value){.type = VECDB_VARCHAR,
                         .length = (uint32_t)keys->strings[i].length,
                         .as = {.data = keys->strings[i].data}};
  return (vecdb_value){.type = VECDB_INT64, .as = {.integer = keys->integers[i]}};
}

static vecdb_keys fetch_part(const vecdb_keys *keys, size_t from, size_t n) {
  return (vecdb_keys){keys->integers ? keys->integers + from : NULL,
                      keys->strings ? keys->strings + from : NULL, n};
}

/* ---- Writing ---- */

static const char *fetch_name(const void *arg, size_t column) {
  const struct follow *f = ((const void *const *)arg)[0];
  return vecdb_collection_schema(f->rows)->fields[column].name;
}

static vecdb_value fetch_value(const void *arg, size_t row, size_t column) {
  const vecdb_client_answer *answer = ((const void *const *)arg)[1];
  return vecdb_client_answer_value(answer, 0, row, fetch_name(arg, column));
}

/* A column without any value must say so: left out it would be the field's default. */
static bool fetch_nulls(const vecdb_schema *schema, const vecdb_batch *batch,
                        struct wire_mem *mem) {
  vecdb_column *columns = (vecdb_column *)(uintptr_t)batch->columns;
  for (uint32_t i = 0; i < batch->n_columns; i++) {
    const vecdb_field *field = &schema->fields[i];
    if (columns[i].data)
      continue;
    columns[i].data =
        wire_mem_get(mem, batch->n_rows, wire_type_bytes(field->type, field->dim));
    columns[i].valid = wire_mem_get(mem, batch->n_rows, 1);
    uint32_t *lengths = wire_mem_get(mem, batch->n_rows, sizeof *lengths);
    columns[i].lengths =
        wire_type_text(field->type) || field->type == VECDB_ARRAY ? lengths : NULL;
  }
  return !mem->failed;
}

int follow_write(struct follow *f, const vecdb_client_answer *answer, vecdb_error *error) {
  const vecdb_schema *schema = vecdb_collection_schema(f->rows);
  const void *const of[] = {f, answer};
  const struct wire_table table = {of, (uint32_t)vecdb_client_answer_rows(answer, 0),
                                   schema->n_fields, fetch_name, fetch_value};
  struct wire_columns columns;
  struct wire_mem mem = {0};
  vecdb_batch batch;
  if (!table.n_rows)
    return VECDB_OK;
  int code = wire_columns_of_table(&table, &mem, &columns)
                 ? wire_batch_of_columns(schema, &columns, &mem, &batch, error)
                 : fetch_no_memory(error);
  if (!code && !fetch_nulls(schema, &batch, &mem))
    code = fetch_no_memory(error);
  if (!code)
    code = vecdb_upsert(f->rows, &batch, NULL, error);
  wire_mem_free(&mem);
  pthread_mutex_lock(f->of->mutex);
  f->info.upserts += code ? 0 : table.n_rows;
  pthread_mutex_unlock(f->of->mutex);
  return code;
}

int follow_delete(struct follow *f, const vecdb_keys *keys, vecdb_error *error) {
  uint64_t deleted = 0;
  int code = keys->n ? vecdb_delete(f->rows, keys, &deleted, error) : VECDB_OK;
  pthread_mutex_lock(f->of->mutex);
  f->info.deletes += code ? 0 : deleted;
  pthread_mutex_unlock(f->of->mutex);
  return code;
}

/* ---- Reading again ---- */

/* Asks for all fields that are known here. */
static int fetch_ask(struct follow *f, const vecdb_keys *keys, vecdb_client_answer **out,
                     vecdb_error *error) {
  const char *names[VECDB_MAX_FIELDS];
  char text[FETCH_TEXT], extra[VECDB_MAX_NAME + 32];
  vecdb_param params[2];
  const uint32_t n = follow_fields(f, names);
  if (!f->of->n_tenants) {
    const vecdb_client_fields fields = {names, n};
    return vecdb_client_get(f->of->client, f->info.name, keys, &fields, &f->call, out, error);
  }
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  q.limit = (uint32_t)keys->n;
  q.fields = names;
  q.n_fields = n;
  snprintf(extra, sizeof extra, "%s in {keys}", f->key->name);
  if (!follow_filter(f, extra, text, sizeof text, params, &q.filter.n_params))
    return follow_fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field says whose a row is");
  params[q.filter.n_params++] = (vecdb_param){
      "keys",
      {.type = VECDB_ARRAY,
       .length = (uint32_t)keys->n,
       .element_type = f->key->type,
       .as = {.data = keys->strings ? (const void *)keys->strings : keys->integers}}};
  q.filter.text = text;
  q.filter.params = params;
  return vecdb_client_query(f->of->client, f->info.name, &q, &f->call, out, error);
}

/* The keys of which the answer has no row; both ascend. False: it has a row that nobody asked for,
   or no memory. */
static bool fetch_missing(const vecdb_client_answer *answer, const vecdb_keys *keys,
                          struct wire_mem *mem, vecdb_keys *missing) {
  size_t rows = vecdb_client_answer_rows(answer, 0), row = 0, n = 0;
  vecdb_string *strings = keys->strings ? wire_mem_get(mem, keys->n, sizeof *strings) : NULL;
  int64_t *integers = keys->strings ? NULL : wire_mem_get(mem, keys->n, sizeof *integers);
  for (size_t i = 0; i < keys->n && !mem->failed; i++) {
    const vecdb_value key = follow_key_at(keys, i);
    if (row < rows && !follow_key_order(key, vecdb_client_answer_key(answer, 0, row)))
      row++;
    else if (strings)
      strings[n++] = keys->strings[i];
    else
      integers[n++] = keys->integers[i];
  }
  *missing = (vecdb_keys){integers, strings, n};
  return !mem->failed && row == rows;
}

static int fetch_some(struct follow *f, const vecdb_keys *keys, vecdb_error *error) {
  vecdb_client_answer *answer = NULL;
  struct wire_mem mem = {0};
  vecdb_keys missing;
  int code = fetch_ask(f, keys, &answer, error);
  if (code)
    return code;
  if (!fetch_missing(answer, keys, &mem, &missing))
    code = mem.failed ? fetch_no_memory(error)
                      : follow_fail(error, VECDB_CLIENT_PROTOCOL,
                                    "an answer has rows that nobody asked for");
  if (!code)
    code = follow_write(f, answer, error);
  if (!code)
    code = follow_delete(f, &missing, error);
  wire_mem_free(&mem);
  vecdb_client_answer_free(answer);
  return code;
}

/* An answer that is too large, or takes too long, is asked for in smaller parts. */
int follow_fetch(struct follow *f, const vecdb_keys *keys, vecdb_error *error) {
  int code = VECDB_OK;
  for (size_t from = 0, n; from < keys->n && !code; from += code ? 0 : n) {
    if (*f->of->stopped)
      return follow_fail(error, VECDB_ERR_CANCELLED, "the edge is being closed");
    n = keys->n - from < f->chunk ? keys->n - from : f->chunk;
    const vecdb_keys some = fetch_part(keys, from, n);
    code = fetch_some(f, &some, error);
    if ((code == VECDB_ERR_LIMIT || code == VECDB_ERR_TIMEOUT) && n > 1) {
      f->chunk = (uint32_t)(n / 2);
      code = code == VECDB_ERR_LIMIT ? VECDB_OK : code;
      n = code ? n : 0;
    }
  }
  return code;
}

static int fetch_page(struct follow *f, const vecdb_rows *rows, vecdb_error *error) {
  size_t n = vecdb_rows_count(rows);
  struct wire_mem mem = {0};
  bool texts = f->key->type == VECDB_VARCHAR;
  vecdb_string *strings = texts ? wire_mem_get(&mem, n, sizeof *strings) : NULL;
  int64_t *integers = texts ? NULL : wire_mem_get(&mem, n, sizeof *integers);
  for (size_t i = 0; i < n && !mem.failed; i++) {
    const vecdb_value v = vecdb_rows_value(rows, i, 0);
    if (texts)
      strings[i] = (vecdb_string){v.as.data, v.length};
    else
      integers[i] = v.as.integer;
  }
  const vecdb_keys keys = {integers, strings, n};
  int code = mem.failed ? fetch_no_memory(error) : follow_fetch(f, &keys, error);
  wire_mem_free(&mem);
  return code;
}

int follow_fetch_where(struct follow *f, const vecdb_filter *filter, vecdb_error *error) {
  vecdb_query_params q = VECDB_QUERY_PARAMS_INIT;
  vecdb_rows *page = NULL, *before = NULL;
  int64_t integer;
  vecdb_string string;
  int code;
  q.limit = FETCH_PAGE;
  q.filter = *filter;
  q.fields = follow_only_key;
  do {
    code = vecdb_query(f->rows, &q, &page, error);
    if (code)
      break;
    size_t n = vecdb_rows_count(page);
    code = n ? fetch_page(f, page, error) : VECDB_OK;
    vecdb_rows_free(before); /* its last key was the beginning of this page */
    before = page;
    if (n < FETCH_PAGE)
      break;
    const vecdb_value last = vecdb_rows_value(page, n - 1, 0);
    integer = last.as.integer;
    string = (vecdb_string){last.as.data, last.length};
    q.after = f->key->type == VECDB_VARCHAR ? (vecdb_keys){NULL, &string, 1}
                                            : (vecdb_keys){&integer, NULL, 1};
  } while (!code);
  vecdb_rows_free(before);
  return code;
}
