/* cmd_search.c - the nearest rows to a vector, which comes from a row, a file, the command or a
 * text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "embed.h"
#include "filter.h"
#include "rows.h"
#include "search.h"
#include "value.h"

/* ---- The query ---- */

/* The field to search: the one that is named, or the only vector. */
static int search_field(struct search *s, const struct call *call, vecdb_error *error) {
  const vecdb_schema *schema = vecdb_collection_schema(s->collection);
  const char *name = call_option(call, "field");
  size_t n = 0;
  int at = name ? schema_find(schema, name) : -1;
  if (name && at < 0)
    return fail(error, VECDB_ERR_UNKNOWN_FIELD, "no field '%.80s'", name);
  for (uint32_t i = 0; i < schema->n_fields && !name; i++)
    if (type_is_vector(schema->fields[i].type)) {
      at = (int)i;
      n++;
    }
  if (n > 1)
    return fail(error, VECDB_ERR_ARGUMENT, "there are %zu vectors: say which by field=NAME", n);
  s->field = &schema->fields[at < 0 ? 0 : at];
  if (at < 0 || !type_is_vector(s->field->type))
    return fail(error, VECDB_ERR_TYPE, "'%s' is no vector", s->field->name);
  s->params.field = s->field->name;
  return VECDB_OK;
}

static size_t search_bytes(const struct search *s) {
  return s->field->type == VECDB_SPARSE_VECTOR ? sizeof(vecdb_sparse)
                                               : type_bytes(s->field->type, s->field->dim);
}

/* The vector of the row with that key. */
static int search_row(struct search *s, const char *word, vecdb_error *error) {
  int64_t integer = 0;
  vecdb_string string;
  bool is_string = key_is_string(vecdb_collection_schema(s->collection));
  int status = key_parse(word, is_string, &integer, &string, error);
  if (status)
    return status;
  vecdb_keys key = {is_string ? NULL : &integer, is_string ? &string : NULL, 1};
  vecdb_rows *rows;
  status = vecdb_get(s->collection, &key, &s->field->name, 1, NULL, &rows, error);
  if (status)
    return status;
  if (vecdb_rows_count(rows) == 0) {
    vecdb_rows_free(rows);
    return fail(error, VECDB_ERR_NOT_FOUND, "no row with the key %s", word);
  }
  vecdb_value v = vecdb_rows_value(rows, 0, 1);
  if (v.type == VECDB_SPARSE_VECTOR) {
    vecdb_sparse_pair *pairs = mem_new(v.length, sizeof *pairs);
    if (v.length)
      memcpy(pairs, v.as.data, v.length * sizeof *pairs);
    *(vecdb_sparse *)s->query = (vecdb_sparse){pairs, v.length};
  } else {
    memcpy(s->query, v.as.data, search_bytes(s));
  }
  vecdb_rows_free(rows);
  return VECDB_OK;
}

static int search_file(struct search *s, const struct call *call, const char *path,
                       vecdb_error *error) {
  struct vecfile file;
  uint64_t at;
  int status = call_number(call, "at", 0, UINT64_MAX, 0, &at, error);
  if (!status)
    status = vecfile_open(path, &file, error);
  if (status)
    return status;
  status = vecfile_suits(&file, s->field, error);
  if (!status)
    status = vecfile_read(&file, at, 1, s->field->type, s->query, error);
  vecfile_close(&file);
  return status;
}

static int search_literal(struct search *s, const char *text, vecdb_error *error) {
  json_error_t wrong;
  json_t *json = json_loads(text, 0, &wrong);
  int status = json ? vector_read(json, s->field, s->query, error)
                    : fail(error, VECDB_ERR_TYPE, "no vector: %.200s", wrong.text);
  json_decref(json);
  return status;
}

static int search_text(const struct shell *shell, struct search *s, const char *text,
                       vecdb_error *error) {
  float *floats;
  size_t dim;
  double start = control_seconds();
  int status = embed_text(shell, text, &floats, &dim, error);
  if (status)
    return status;
  s->embedding_seconds = control_seconds() - start;
  if (s->field->dim != dim)
    status = fail(error, VECDB_ERR_DIMENSION,
                  "the service makes vectors of %zu elements, '%s' has "
                  "%" PRIu32,
                  dim, s->field->name, s->field->dim);
  else if (s->field->type == VECDB_FLOAT_VECTOR)
    memcpy(s->query, floats, dim * sizeof *floats);
  else if (s->field->type == VECDB_FLOAT16_VECTOR)
    vecdb_to_float16(floats, s->query, dim);
  else if (s->field->type == VECDB_BFLOAT16_VECTOR)
    vecdb_to_bfloat16(floats, s->query, dim);
  else
    status = fail(error, VECDB_ERR_TYPE, "texts are searched in vectors of floats");
  free(floats);
  return status;
}

static int search_query(const struct shell *shell, struct search *s, const struct call *call,
                        vecdb_error *error) {
  static const char *const ways[] = {"row", "file", "vector", "text"};
  const char *given[4];
  size_t n = 0, way = 0;
  for (size_t i = 0; i < 4; i++) {
    given[i] = call_option(call, ways[i]);
    n += given[i] != NULL;
    way = given[i] ? i : way;
  }
  if (n != 1)
    return fail(error, VECDB_ERR_ARGUMENT,
                "search takes one of row=KEY, file=FILE, vector=[...] and text=TEXT");
  s->query = mem_new(search_bytes(s), 1);
  s->params.queries = s->query;
  switch (way) {
    case 0:
      return search_row(s, given[0], error);
    case 1:
      return search_file(s, call, given[1], error);
    case 2:
      return search_literal(s, given[2], error);
    default:
      return search_text(shell, s, given[3], error);
  }
}

/* ---- Parameters ---- */

static int search_plan(const struct call *call, int32_t *plan, vecdb_error *error) {
  static const char *const plans[] = {"auto", "exact", "graph", "late", "codes"};
  const char *name = call_option(call, "plan");
  for (int32_t i = 0; i < 5 && name; i++)
    if (strcmp(plans[i], name) == 0) {
      *plan = i;
      return VECDB_OK;
    }
  return name ? fail(error, VECDB_ERR_OPTION, "plan=%.40s: it is auto, exact, graph, late or codes",
                     name)
              : VECDB_OK;
}

static int search_params(struct search *s, const struct call *call, uint32_t most,
                         vecdb_error *error) {
  const vecdb_schema *schema = vecdb_collection_schema(s->collection);
  uint64_t k, ef, nprobe;
  double recall = 0;
  int status = call_number(call, "k", 1, VECDB_MAX_K, most, &k, error);
  if (status == VECDB_ERR_RANGE)
    return error->code = VECDB_ERR_K;
  if (!status)
    status = call_number(call, "ef", 0, UINT32_MAX, 0, &ef, error);
  if (!status)
    status = call_number(call, "nprobe", 0, UINT32_MAX, 0, &nprobe, error);
  if (!status)
    status = call_real(call, "recall", &recall, error);
  if (!status)
    status = search_plan(call, &s->params.plan, error);
  if (!status)
    status = fields_read(call, schema, s->fields, &s->params.n_fields, &s->memory, error);
  if (status)
    return status;
  s->params.k = (uint32_t)k;
  s->params.ef = (uint32_t)ef;
  s->params.nprobe = (uint32_t)nprobe;
  s->params.recall = (float)recall;
  s->params.filter = s->filter.filter;
  s->params.fields = s->fields;
  return VECDB_OK;
}

int search_read(const struct shell *shell, const struct call *call, vecdb_collection *collection,
                uint32_t k, struct search *s, vecdb_error *error) {
  memset(s, 0, sizeof *s);
  s->params = (vecdb_search_params)VECDB_SEARCH_PARAMS_INIT;
  s->collection = collection;
  int status = filter_read(call, &s->filter, error);
  if (!status)
    status = search_field(s, call, error);
  if (!status)
    status = search_params(s, call, k, error);
  if (!status)
    status = search_query(shell, s, call, error);
  return status;
}

void search_free(struct search *s) {
  if (s->query && s->field->type == VECDB_SPARSE_VECTOR)
    free((void *)(uintptr_t)((vecdb_sparse *)s->query)->pairs);
  free(s->query);
  free(s->memory);
  filter_free(&s->filter);
}

int search_begin(const struct shell *shell, const struct call *call, struct search *s,
                 vecdb_error *error) {
  vecdb_collection *collection;
  memset(s, 0, sizeof *s);
  int status = call_collection(shell, call, &collection, error);
  return status ? status : search_read(shell, call, collection, SEARCH_K, s, error);
}

void search_end(struct search *s) {
  search_free(s);
  vecdb_collection_release(s->collection);
}

/* ---- The commands ---- */

void search_footer(const struct shell *shell, const struct search *s, uint32_t n,
                   const vecdb_search_info *info) {
  char rows[32], distances[32];
  if (shell->json)
    return;
  printf("%s%" PRIu32 " of %s rows in %.2f ms, %s compared", n ? "\n" : "", n,
         number_text(info->rows_allowed, rows), (double)info->elapsed_ns / 1e6,
         number_text(info->distances, distances));
  if (s->embedding_seconds > 0)
    printf("; the text was embedded in %.0f ms", s->embedding_seconds * 1e3);
  putchar('\n');
}

int cmd_search(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct search s;
  vecdb_hit *hits = NULL;
  vecdb_rows *rows = NULL;
  vecdb_search_info info = VECDB_SEARCH_INFO_INIT;
  uint32_t count = 0;
  double radius = 0;
  const char *within = call_option(call, "radius");
  int status = search_begin(shell, call, &s, error);
  if (!status && within)
    status = call_real(call, "radius", &radius, error);
  if (!status) {
    hits = mem_new(s.params.k, sizeof *hits);
    s.params.control = control_begin("searching");
    status = within ? vecdb_search_range(s.collection, &s.params, (float)radius, hits, &count,
                                         &info, &rows, error)
                    : vecdb_search(s.collection, &s.params, hits, &count, &info, &rows, error);
    control_end();
  }
  if (!status) {
    rows_print(shell, rows, hits, count, false);
    search_footer(shell, &s, count, &info);
  }
  vecdb_rows_free(rows);
  free(hits);
  search_end(&s);
  return status;
}

int cmd_explain(struct shell *shell, const struct call *call, vecdb_error *error) {
  struct search s;
  size_t length = 0, capacity = 4096;
  char *text = mem_new(capacity, 1);
  int status = search_begin(shell, call, &s, error);
  if (!status) {
    status = vecdb_explain(s.collection, &s.params, text, capacity, &length, error);
    if (status == VECDB_ERR_BUFFER) {
      capacity = length + 1;
      text = mem_resize(text, capacity, 1);
      status = vecdb_explain(s.collection, &s.params, text, capacity, &length, error);
    }
  }
  if (!status && shell->json) {
    struct text out = {0};
    text_puts(&out, "{\"explain\": ");
    put_string(&out, text, length);
    printf("%s}\n", text_string(&out));
    text_free(&out);
  } else if (!status) {
    printf("%s%s", text, length && text[length - 1] == '\n' ? "" : "\n");
  }
  free(text);
  search_end(&s);
  return status;
}
