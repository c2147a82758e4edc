/* tenant.c - see tenant.h. */
#include "server/tenant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth.h"
#include "server/json_schema.h"
#include "server/qdrant.h"
#include "server/server.h"

#define TENANT_PARAM "vecdb_tenant" /* what the tenant is called in filters */

int srv_tenant_error(vecdb_error *error, int code, int64_t row, const char *message) {
  if (!error)
    return code;
  memset(error, 0, sizeof *error);
  error->code = code;
  error->row = row;
  error->position = -1;
  snprintf(error->message, sizeof error->message, "%s", message);
  return code;
}

static int tenant_no_memory(vecdb_error *error) {
  return srv_tenant_error(error, VECDB_ERR_NO_MEMORY, -1, "the server is out of memory");
}

/* ---- What tells the rows --------------------------------------------------------------------- */

/* A tenant that is a number in the one way to write it. */
static bool tenant_integer(const char *text, int64_t *out) {
  char again[32], *end;
  errno = 0;
  *out = strtoll(text, &end, 10);
  snprintf(again, sizeof again, "%lld", (long long)*out);
  return errno == 0 && strcmp(again, text) == 0;
}

static vecdb_value tenant_text(const char *text) {
  vecdb_value v = {.type = VECDB_VARCHAR, .length = (uint32_t)strlen(text)};
  v.as.data = text;
  return v;
}

static bool tenant_term(struct srv_call *call, struct srv_tenant *out, json_t *value) {
  struct srv_qdrant_terms list = {.call = call};
  bool good = value && srv_qdrant_term_match(&list, out->path, value);
  if (good)
    out->terms[out->n_terms++] = list.list[0];
  json_decref(value);
  return good;
}

/* A payload may have the tenant as a text or, where it is one, as a number. */
static int tenant_by_terms(struct srv_call *call, struct srv_tenant *out, vecdb_error *error) {
  int64_t number;
  const char *tenant = call->who->tenant;
  out->terms = srv_arena_array(&call->arena, 2, sizeof *out->terms);
  bool good = out->terms && tenant_term(call, out, json_string(tenant)) &&
              (!tenant_integer(tenant, &number) || tenant_term(call, out, json_integer(number)));
  out->by_terms = true;
  out->field = QDRANT_TERMS;
  out->value = (vecdb_value){
      .type = VECDB_ARRAY, .length = out->n_terms, .element_type = VECDB_VARCHAR};
  out->value.as.data = out->terms;
  return good ? VECDB_OK : tenant_no_memory(error);
}

static bool tenant_is_points(const vecdb_schema *schema) {
  const vecdb_field *terms = srv_schema_field(schema, QDRANT_TERMS);
  const vecdb_field *payload = srv_schema_field(schema, QDRANT_PAYLOAD);
  return terms && terms->type == VECDB_ARRAY && terms->element_type == VECDB_VARCHAR && payload &&
         payload->type == VECDB_ARRAY;
}

int srv_tenant_of(struct srv_call *call, const vecdb_schema *schema, struct srv_tenant *out,
                  vecdb_error *error) {
  const char *name = call->server->config.tenant_field;
  const vecdb_field *field = srv_schema_field(schema, name);
  int64_t number;
  *out = (struct srv_tenant){.field = name, .path = name};
  if (field && field->type == VECDB_VARCHAR) {
    out->value = tenant_text(call->who->tenant);
    return VECDB_OK;
  }
  if (field && field->type >= VECDB_INT8 && field->type <= VECDB_INT64 &&
      tenant_integer(call->who->tenant, &number)) {
    out->value = (vecdb_value){.type = VECDB_INT64, .as.integer = number};
    return VECDB_OK;
  }
  if (!field && tenant_is_points(schema))
    return tenant_by_terms(call, out, error);
  call->denied = "the collection does not say whose its rows are";
  return srv_tenant_error(error, VECDB_ERR_READ_ONLY, -1,
                          "the collection has no field that says whose a row is");
}

/* ---- Filters --------------------------------------------------------------------------------- */

/* Whether strings and parentheses are closed within the text, so that it stays one operand between
   parentheses of ours. Strings end where the library's lexer ends them (filter_lex.c): at their
   quote, but for one behind a backslash. */
static bool filter_is_closed(const char *text, size_t n) {
  size_t depth = 0;
  char quote = '\0';
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    if (quote && c == '\\')
      i++;
    else if (quote)
      quote = c == quote ? '\0' : quote;
    else if (c == '"' || c == '\'')
      quote = c;
    else if (c == '(')
      depth++;
    else if (c == ')' && depth-- == 0)
      return false;
  }
  return depth == 0 && !quote;
}

static size_t filter_length(const vecdb_filter *filter) {
  return filter->text && !filter->length ? strlen(filter->text) : filter->length;
}

bool srv_tenant_is_blank(const vecdb_filter *filter) {
  size_t n = filter_length(filter);
  for (size_t i = 0; filter->text && i < n; i++)
    if (!strchr(" \t\r\n", filter->text[i]) || filter->text[i] == '\0')
      return false;
  return true;
}

/* The parameters of the filter and the tenant. */
static int filter_params(struct srv_call *call, const struct srv_tenant *tenant,
                         const vecdb_filter *filter, vecdb_filter *out, vecdb_error *error) {
  size_t n = filter->n_params;
  vecdb_param *params = srv_arena_array(&call->arena, n + 1, sizeof *params);
  if (!params)
    return tenant_no_memory(error);
  for (size_t i = 0; i < n; i++) {
    params[i] = filter->params[i];
    if (params[i].name && strcmp(params[i].name, TENANT_PARAM) == 0)
      return srv_tenant_error(error, VECDB_ERR_FILTER_PARAM, -1,
                              "no parameter may be called " TENANT_PARAM);
  }
  params[n] = (vecdb_param){TENANT_PARAM, tenant->value};
  out->params = params;
  out->n_params = n + 1;
  return VECDB_OK;
}

int srv_tenant_filter(struct srv_call *call, const struct srv_tenant *tenant,
                      const vecdb_filter *filter, vecdb_filter *out, vecdb_error *error) {
  static const vecdb_filter none = {NULL, 0, NULL, 0};
  filter = filter ? filter : &none;
  size_t n = filter_length(filter);
  bool blank = srv_tenant_is_blank(filter);
  if (!blank && !filter_is_closed(filter->text, n))
    return srv_tenant_error(error, VECDB_ERR_FILTER, -1,
                            "a string or a parenthesis of the filter is not closed");
  size_t room = n + 2 * strlen(tenant->field) + 64;
  char *text = srv_arena_take(&call->arena, room);
  if (!text)
    return tenant_no_memory(error);
  size_t used = 0;
  if (!blank) {
    text[used++] = '(';
    memcpy(text + used, filter->text, n);
    used += n;
  }
  used += (size_t)snprintf(text + used, room - used, "%s%s%s%s{" TENANT_PARAM "}%s",
                           blank ? "" : ") and ", tenant->by_terms ? "array_contains_any(" : "",
                           tenant->field, tenant->by_terms ? ", " : " == ",
                           tenant->by_terms ? ")" : "");
  *out = (vecdb_filter){text, used, NULL, 0};
  return filter_params(call, tenant, filter, out, error);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool string_is(vecdb_string a, const void *data, size_t n) {
  return a.length == n && (n == 0 || memcmp(a.data, data, n) == 0);
}

static bool terms_has(const struct srv_tenant *t, vecdb_string term) {
  for (uint32_t i = 0; i < t->n_terms; i++)
    if (string_is(t->terms[i], term.data, term.length))
      return true;
  return false;
}

/* Whether a term says a value at the path of tenants: its kind, the path's length, a colon and the
   path stand before it. */
static bool terms_is_value(const struct srv_tenant *t, vecdb_string term) {
  char head[SRV_CONFIG_TEXT + 32];
  int n = snprintf(head, sizeof head, "%zu:%s", strlen(t->path), t->path);
  return term.length > (size_t)n && strchr("sihbn", term.data[0]) &&
         memcmp(term.data + 1, head, (size_t)n) == 0;
}

/* Exactly one value, and it is the tenant. A whole number has its ranks among the doubles, too. */
static bool terms_only(const struct srv_tenant *t, vecdb_value value) {
  enum { RANKS = 16 };
  const vecdb_string *terms = value.as.data;
  uint32_t mine = 0, others = 0, ranks = 0;
  bool number = false;
  for (uint32_t i = 0; i < value.length; i++) {
    if (!terms_is_value(t, terms[i]))
      continue;
    if (terms_has(t, terms[i])) {
      mine++;
      number = terms[i].data[0] == 'i';
    } else if (terms[i].data[0] == 'n') {
      ranks++;
    } else {
      others++;
    }
  }
  return mine == 1 && others == 0 && ranks == (number ? RANKS : 0);
}

bool srv_tenant_owns(const struct srv_tenant *t, vecdb_value value) {
  if (t->by_terms) {
    const vecdb_string *terms = value.as.data;
    for (uint32_t i = 0; value.type == VECDB_ARRAY && i < value.length; i++)
      if (terms_has(t, terms[i]))
        return true;
    return false;
  }
  if (t->value.type == VECDB_VARCHAR)
    return value.type == VECDB_VARCHAR &&
           string_is((vecdb_string){t->value.as.data, t->value.length}, value.as.data,
                     value.length);
  return value.type >= VECDB_INT8 && value.type <= VECDB_INT64 &&
         value.as.integer == t->value.as.integer;
}

/* ---- Batches --------------------------------------------------------------------------------- */

static int64_t batch_integer(const void *at, size_t size) {
  int8_t one;
  int16_t two;
  int32_t four;
  int64_t eight = 0;
  switch (size) {
  case 1:
    memcpy(&one, at, size);
    return one;
  case 2:
    memcpy(&two, at, size);
    return two;
  case 4:
    memcpy(&four, at, size);
    return four;
  default:
    memcpy(&eight, at, sizeof eight);
    return eight;
  }
}

vecdb_value srv_batch_value(const vecdb_field *field, const vecdb_column *column, uint32_t row) {
  vecdb_value v = {.type = 0};
  if (!column->data || (column->valid && !column->valid[row]))
    return v;
  bool pointers = field->type == VECDB_VARCHAR || field->type == VECDB_ARRAY;
  size_t size = pointers ? sizeof(void *) : (size_t)1 << (field->type - VECDB_INT8);
  const char *at = (const char *)column->data + row * (column->stride ? column->stride : size);
  v.type = field->type;
  v.element_type = field->element_type;
  if (!pointers) {
    v.as.integer = batch_integer(at, size);
    return v;
  }
  memcpy(&v.as.data, at, sizeof v.as.data);
  if (column->lengths)
    v.length = column->lengths[row];
  else if (field->type == VECDB_VARCHAR && v.as.data)
    v.length = (uint32_t)strlen(v.as.data);
  if (!v.as.data && v.length)
    v.type = 0;
  return v;
}

const vecdb_column *srv_batch_column(const vecdb_batch *batch, const char *field) {
  const vecdb_column *found = NULL;
  for (uint32_t i = 0; i < batch->n_columns; i++) {
    if (strcmp(batch->columns[i].field, field) != 0)
      continue;
    if (found)
      return NULL;
    found = &batch->columns[i];
  }
  return found;
}

int srv_tenant_check(const struct srv_tenant *t, const vecdb_schema *schema,
                     const vecdb_batch *batch, vecdb_error *error) {
  const vecdb_column *column = srv_batch_column(batch, t->field);
  const vecdb_field *field = srv_schema_field(schema, t->field);
  for (uint32_t i = 0; i < batch->n_rows; i++) {
    vecdb_value v = column ? srv_batch_value(field, column, i) : (vecdb_value){.type = 0};
    if (t->by_terms ? v.type != VECDB_ARRAY || !terms_only(t, v) : !srv_tenant_owns(t, v))
      return srv_tenant_error(error, VECDB_ERR_READ_ONLY, i,
                              "a row must say that it belongs to the tenant who writes it");
  }
  return VECDB_OK;
}
