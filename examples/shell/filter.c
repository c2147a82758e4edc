/* filter.c - the filter of a command: where=TEXT, with bound parameters :NAME=VALUE. */
#include "filter.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What a parameter's value points to. */
struct param_memory {
  json_t *json;
  void *elements;
};

static int32_t param_kind(const json_t *value) {
  return json_is_string(value)    ? VECDB_VARCHAR
         : json_is_boolean(value) ? VECDB_BOOL
         : json_is_integer(value) ? VECDB_INT64
         : json_is_real(value)    ? VECDB_DOUBLE
                                  : 0;
}

/* The type of a list: that of all elements, or DOUBLE when whole numbers are among others. */
static int32_t param_list_kind(const json_t *list) {
  int32_t kind = json_array_size(list) ? param_kind(json_array_get(list, 0)) : VECDB_INT64;
  for (size_t i = 1; i < json_array_size(list); i++) {
    int32_t other = param_kind(json_array_get(list, i));
    bool numbers = (kind == VECDB_INT64 || kind == VECDB_DOUBLE) &&
                   (other == VECDB_INT64 || other == VECDB_DOUBLE);
    if (other != kind)
      kind = numbers ? VECDB_DOUBLE : 0;
  }
  return kind;
}

static void param_list(const json_t *list, int32_t kind, vecdb_value *out,
                       struct param_memory *memory) {
  size_t n = json_array_size(list);
  memory->elements = mem_new(n, sizeof(vecdb_string));
  *out = (vecdb_value){.type = VECDB_ARRAY, .length = (uint32_t)n, .element_type = kind};
  out->as.data = memory->elements;
  for (size_t i = 0; i < n; i++) {
    const json_t *e = json_array_get(list, i);
    if (kind == VECDB_VARCHAR)
      ((vecdb_string *)memory->elements)[i] =
          (vecdb_string){json_string_value(e), json_string_length(e)};
    else if (kind == VECDB_BOOL)
      ((bool *)memory->elements)[i] = json_is_true(e);
    else if (kind == VECDB_DOUBLE)
      ((double *)memory->elements)[i] = json_number_value(e);
    else
      ((int64_t *)memory->elements)[i] = json_integer_value(e);
  }
}

static int param_read(const struct argument *option, vecdb_param *out, struct param_memory *memory,
                      vecdb_error *error) {
  memory->json = json_loads(option->value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  const json_t *json = memory->json;
  out->name = option->name + 1;
  int32_t kind = json_is_array(json) ? param_list_kind(json) : param_kind(json);
  if (json && !kind)
    return fail(error, VECDB_ERR_FILTER_PARAM,
                "%s: a number, a string, true, false or a list of one kind of these", option->name);
  if (json_is_array(json)) {
    param_list(json, kind, &out->value, memory);
    return VECDB_OK;
  }
  out->value.type = json ? kind : VECDB_VARCHAR;
  if (kind == VECDB_BOOL) {
    out->value.as.boolean = json_is_true(json);
  } else if (kind == VECDB_INT64) {
    out->value.as.integer = json_integer_value(json);
  } else if (kind == VECDB_DOUBLE) {
    out->value.as.number = json_real_value(json);
  } else {
    out->value.as.data = json ? json_string_value(json) : option->value;
    out->value.length = (uint32_t)(json ? json_string_length(json) : strlen(option->value));
  }
  return VECDB_OK;
}

int filter_read(const struct call *call, struct filter *out, vecdb_error *error) {
  memset(out, 0, sizeof *out);
  vecdb_filter *filter = &out->filter;
  filter->text = call_option(call, "where");
  vecdb_param *params = mem_new(call->n_options, sizeof *params);
  filter->params = params;
  out->memory = mem_new(call->n_options, sizeof *out->memory);
  int status = VECDB_OK;
  for (size_t i = 0; i < call->n_options && !status; i++)
    if (call->options[i].name[0] == ':') {
      status = param_read(&call->options[i], &params[filter->n_params],
                          &out->memory[filter->n_params], error);
      filter->n_params++;
    }
  if (!status && filter->n_params && !filter->text)
    return fail(error, VECDB_ERR_FILTER_PARAM,
                "%s has no filter to be bound in: where=", call->options[0].name);
  return status;
}

void filter_free(struct filter *filter) {
  for (size_t i = 0; i < filter->filter.n_params; i++) {
    json_decref(filter->memory[i].json);
    free(filter->memory[i].elements);
  }
  free(filter->memory);
  free((void *)(uintptr_t)filter->filter.params);
  memset(filter, 0, sizeof *filter);
}
