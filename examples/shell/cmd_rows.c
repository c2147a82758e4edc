/* cmd_rows.c - commands that write, read and delete rows by key or filter. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "filter.h"
#include "rows.h"
#include "value.h"

#define SCAN_ROWS 20   /* of a scan, unless it says */
#define SCAN_PAGE 1024 /* rows read at a time */

/* ---- insert, upsert ---- */

static int write_rows(struct shell *shell, const struct call *call, bool insert,
                      vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  struct rows rows;
  rows_begin(&rows, vecdb_collection_schema(collection), call->n_places - 1);
  for (size_t i = 1; i < call->n_places && !status; i++) {
    json_error_t wrong;
    json_t *object = json_loads(call->place[i], JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
    status = object ? rows_add(&rows, object, error)
                    : fail(error, VECDB_ERR_TYPE, "a row is a JSON object: %.200s", wrong.text);
  }
  if (!status)
    status = rows_write(&rows, collection, insert, error);
  rows_end(&rows);
  vecdb_collection_release(collection);
  return status;
}

int cmd_insert(struct shell *shell, const struct call *call, vecdb_error *error) {
  return write_rows(shell, call, true, error);
}

int cmd_upsert(struct shell *shell, const struct call *call, vecdb_error *error) {
  return write_rows(shell, call, false, error);
}

/* One row at a time: each brings fields of its own. */
static int update_row(vecdb_collection *collection, const char *text, vecdb_error *error) {
  struct rows rows;
  json_error_t wrong;
  bool found = true;
  rows_begin(&rows, vecdb_collection_schema(collection), 1);
  rows.partial = true;
  json_t *object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
  int status = object ? rows_add(&rows, object, error)
                      : fail(error, VECDB_ERR_TYPE, "a row is a JSON object: %.200s", wrong.text);
  if (!status)
    status = rows_update(&rows, collection, &found, error);
  if (!status && !found)
    status = fail(error, VECDB_ERR_NOT_FOUND, "no row with the key of %.200s", text);
  rows_end(&rows);
  return status;
}

int cmd_update(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  for (size_t i = 1; i < call->n_places && !status; i++)
    status = update_row(collection, call->place[i], error);
  vecdb_collection_release(collection);
  return status;
}

/* ---- Keys ---- */

int keys_read(const struct call *call, size_t first, const vecdb_schema *schema,
              struct key_list *out, vecdb_error *error) {
  bool is_string = key_is_string(schema);
  size_t n = call->n_places - first;
  out->integers = mem_new(n, sizeof *out->integers);
  out->strings = mem_new(n, sizeof *out->strings);
  out->keys = (vecdb_keys){is_string ? NULL : out->integers, is_string ? out->strings : NULL, n};
  int status = VECDB_OK;
  for (size_t i = 0; i < n && !status; i++)
    status = key_parse(call->place[i + first], is_string, &out->integers[i], &out->strings[i],
                       error);
  return status;
}

void keys_free(struct key_list *keys) {
  free(keys->integers);
  free(keys->strings);
}

int cmd_get(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  const char *fields[VECDB_MAX_FIELDS + 1];
  size_t n_fields;
  char *memory;
  struct key_list keys;
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  vecdb_rows *rows = NULL;
  status = keys_read(call, 1, schema, &keys, error);
  int other = fields_read(call, schema, fields, &n_fields, &memory, error);
  status = status ? status : other;
  if (!status)
    status = vecdb_get(collection, &keys.keys, fields, n_fields, NULL, &rows, error);
  if (!status && vecdb_rows_count(rows) == 0)
    status = fail(error, VECDB_ERR_NOT_FOUND, "no such row");
  if (!status)
    rows_print(shell, rows, NULL, vecdb_rows_count(rows), true);
  vecdb_rows_free(rows);
  free(memory);
  keys_free(&keys);
  vecdb_collection_release(collection);
  return status;
}

/* ---- scan, count ---- */

/* The key of the last row, for the page behind it. What it points to goes with the rows. */
static void scan_after(const vecdb_rows *rows, int64_t *integer, vecdb_string *string) {
  vecdb_value key = vecdb_rows_value(rows, vecdb_rows_count(rows) - 1, 0);
  if (key.type == VECDB_VARCHAR)
    *string = (vecdb_string){key.as.data, key.length};
  else
    *integer = key.as.integer;
}

/* Pages of rows from params->after on, up to `limit` rows. */
static int scan_pages(const struct shell *shell, vecdb_collection *collection,
                      vecdb_query_params *params, uint64_t limit, vecdb_error *error) {
  bool is_string = key_is_string(vecdb_collection_schema(collection));
  int64_t integer = params->after.integers ? params->after.integers[0] : 0;
  vecdb_string string = params->after.strings ? params->after.strings[0] : (vecdb_string){"", 0};
  vecdb_rows *rows = NULL;
  uint64_t done = 0;
  int status = VECDB_OK;
  for (bool more = limit > 0; more && !status;) {
    params->limit = limit - done < SCAN_PAGE ? (uint32_t)(limit - done) : SCAN_PAGE;
    vecdb_rows *page = NULL;
    status = vecdb_query(collection, params, &page, error);
    vecdb_rows_free(rows);
    rows = page;
    size_t n = rows ? vecdb_rows_count(rows) : 0;
    if (n) {
      rows_print(shell, rows, NULL, n, false);
      scan_after(rows, &integer, &string);
      params->after = (vecdb_keys){is_string ? NULL : &integer, is_string ? &string : NULL, 1};
      params->offset = 0;
    }
    done += n;
    more = n == params->limit && done < limit;
  }
  vecdb_rows_free(rows);
  if (!status && !done && !shell->json)
    printf("No rows.\n");
  return status;
}

static int scan_options(const struct call *call, vecdb_query_params *params, uint64_t *limit,
                        vecdb_error *error) {
  const char *wanted = call_option(call, "limit");
  int status = call_number(call, "offset", 0, UINT64_MAX, 0, &params->offset, error);
  *limit = UINT64_MAX;
  if (!status && !(wanted && strcmp(wanted, "all") == 0))
    status = call_number(call, "limit", 0, UINT64_MAX, SCAN_ROWS, limit, error);
  return status;
}

int cmd_scan(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  const vecdb_schema *schema = vecdb_collection_schema(collection);
  const char *fields[VECDB_MAX_FIELDS + 1];
  char *memory = NULL;
  struct filter filter;
  vecdb_query_params params = VECDB_QUERY_PARAMS_INIT;
  const char *after = call_option(call, "after");
  int64_t integer = 0;
  vecdb_string string = {NULL, 0};
  uint64_t limit = 0;
  status = filter_read(call, &filter, error);
  if (!status)
    status = scan_options(call, &params, &limit, error);
  if (!status)
    status = fields_read(call, schema, fields, &params.n_fields, &memory, error);
  if (!status && after)
    status = key_parse(after, key_is_string(schema), &integer, &string, error);
  if (!status && after)
    params.after =
        key_is_string(schema) ? (vecdb_keys){NULL, &string, 1} : (vecdb_keys){&integer, NULL, 1};
  params.fields = fields;
  params.filter = filter.filter;
  params.control = control_begin("scanning");
  if (!status)
    status = scan_pages(shell, collection, &params, limit, error);
  control_end();
  filter_free(&filter);
  free(memory);
  vecdb_collection_release(collection);
  return status;
}

int cmd_count(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  struct filter filter;
  uint64_t count = 0;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  status = filter_read(call, &filter, error);
  if (!status)
    status = vecdb_count(collection, &filter.filter, &count, error);
  char text[32];
  if (!status && shell->json)
    printf("{\"count\": %" PRIu64 "}\n", count);
  else if (!status)
    printf("%s\n", number_text(count, text));
  filter_free(&filter);
  vecdb_collection_release(collection);
  return status;
}

/* ---- delete ---- */

int cmd_delete(struct shell *shell, const struct call *call, vecdb_error *error) {
  vecdb_collection *collection;
  int status = call_collection(shell, call, &collection, error);
  if (status)
    return status;
  uint64_t deleted = 0;
  struct filter filter;
  status = filter_read(call, &filter, error);
  if (!status && (call->n_places > 1) == (filter.filter.text != NULL))
    status = fail(error, VECDB_ERR_ARGUMENT, "delete takes keys or where=, one of them");
  if (!status && filter.filter.text) {
    status =
        vecdb_delete_where(collection, &filter.filter, &deleted, control_begin("deleting"), error);
    control_end();
  } else if (!status) {
    struct key_list keys;
    status = keys_read(call, 1, vecdb_collection_schema(collection), &keys, error);
    if (!status)
      status = vecdb_delete(collection, &keys.keys, &deleted, error);
    keys_free(&keys);
  }
  char text[32];
  if (!status && shell->json)
    printf("{\"deleted\": %" PRIu64 "}\n", deleted);
  else if (!status)
    printf("%s deleted\n", number_text(deleted, text));
  filter_free(&filter);
  vecdb_collection_release(collection);
  return status;
}
