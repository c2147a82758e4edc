/*
 * qdrant_filter.c - Qdrant's filters in the library's words; see qdrant.h. Values go into bound
 * parameters, so nothing that a client sends becomes a part of the text.
 */
#include <stdio.h>
#include <string.h>

#include "server/qdrant.h"

enum { FILTER_PIECE = 96 };

struct qdrant_filter {
  struct srv_call *call;
  char *text;
  size_t n, room;
  vecdb_param *params;
  size_t n_params, room_params;
  unsigned depth;
};

typedef bool filter_part(struct qdrant_filter *f, json_t *json);

/* ---- Text and parameters --------------------------------------------------------------------- */

static bool filter_write(struct qdrant_filter *f, const char *text) {
  size_t n = strlen(text);
  if (f->n + n + 1 > f->room) {
    size_t room = 2 * (f->n + n) + FILTER_PIECE;
    char *grown = srv_arena_take(&f->call->arena, room);
    if (!grown) {
      srv_call_no_memory(f->call);
      return false;
    }
    if (f->n)
      memcpy(grown, f->text, f->n);
    f->text = grown;
    f->room = room;
  }
  memcpy(f->text + f->n, text, n + 1);
  f->n += n;
  return true;
}

/* Writes `before`, a parameter with the value, and `after`. */
static bool filter_bind(struct qdrant_filter *f, const char *before, vecdb_value value,
                        const char *after) {
  char text[FILTER_PIECE];
  char *name = srv_arena_take(&f->call->arena, 16);
  if (f->n_params == f->room_params) {
    size_t room = f->room_params ? 2 * f->room_params : 8;
    vecdb_param *grown = srv_arena_array(&f->call->arena, room, sizeof *grown);
    if (grown && f->n_params)
      memcpy(grown, f->params, f->n_params * sizeof *grown);
    f->params = grown;
    f->room_params = room;
  }
  if (!name || !f->params) {
    srv_call_no_memory(f->call);
    return false;
  }
  snprintf(name, 16, "p%zu", f->n_params);
  f->params[f->n_params++] = (vecdb_param){name, value};
  snprintf(text, sizeof text, "%s{%s}%s", before, name, after);
  return filter_write(f, text);
}

static vecdb_value filter_list(const vecdb_string *list, size_t n) {
  vecdb_value v = {.type = VECDB_ARRAY, .length = (uint32_t)n, .element_type = VECDB_VARCHAR};
  v.as.data = list;
  return v;
}

static bool filter_any(struct qdrant_filter *f, const struct srv_qdrant_terms *t) {
  if (t->n == 0)
    return filter_write(f, "false");
  return filter_bind(f, "array_contains_any(" QDRANT_TERMS ", ", filter_list(t->list, t->n), ")");
}

static bool filter_wrong(struct qdrant_filter *f, const char *what) {
  srv_call_fail(f->call, 400, "FILTER", "%s", what);
  return false;
}

/* ---- Conditions ------------------------------------------------------------------------------ */

/* The path of a condition as terms have it: an array stands for its elements. NULL after
   answering. */
static const char *filter_path(struct qdrant_filter *f, json_t *key) {
  const char *text = json_string_value(key);
  if (!text) {
    filter_wrong(f, "a condition's \"key\" must be a string");
    return NULL;
  }
  for (const char *at = strchr(text, '['); at; at = strchr(at + 1, '['))
    if (at[1] != ']' && !strchr(text, '"')) {
      filter_wrong(f, "places in arrays, such as \"key[0]\", are not served in filters");
      return NULL;
    }
  size_t n = strlen(text);
  if (n > 2 && strcmp(text + n - 2, "[]") == 0)
    n -= 2;
  const char *path = srv_arena_text(&f->call->arena, text, n);
  if (!path)
    srv_call_no_memory(f->call);
  return path;
}

static bool filter_terms(struct qdrant_filter *f, const char *path, json_t *values) {
  struct srv_qdrant_terms t = {.call = f->call};
  if (!json_is_array(values))
    return filter_wrong(f, "a match with many values takes an array of them");
  for (size_t i = 0; i < json_array_size(values); i++)
    if (!srv_qdrant_term_match(&t, path, json_array_get(values, i)))
      return false;
  return filter_any(f, &t);
}

static bool filter_match(struct qdrant_filter *f, const char *path, json_t *match) {
  struct srv_qdrant_terms t = {.call = f->call};
  static const char *const keys[] = {"value", "any", "except", NULL};
  json_t *value = json_object_get(match, "value"), *any = json_object_get(match, "any");
  json_t *except = json_object_get(match, "except");
  static const char *const texts[] = {"text", "text_any", "phrase", NULL};
  if (!srv_qdrant_refuse(f->call, match, texts) || !srv_only_keys(f->call, match, keys))
    return false;
  if (json_object_size(match) != 1)
    return filter_wrong(f, "a match takes one of \"value\", \"any\" and \"except\"");
  if (value)
    return srv_qdrant_term_match(&t, path, value) && filter_any(f, &t);
  if (any)
    return filter_terms(f, path, any);
  return srv_qdrant_term(&t, QDRANT_IS_THERE, path, strlen(path), "") && filter_write(f, "(") &&
         filter_any(f, &t) && filter_write(f, " and not ") && filter_terms(f, path, except) &&
         filter_write(f, ")");
}

static bool filter_range(struct qdrant_filter *f, const char *path, json_t *range) {
  static const char *const keys[] = {"gt", "gte", "lt", "lte", NULL};
  struct srv_qdrant_terms t = {.call = f->call};
  uint64_t low = 0, high = UINT64_MAX;
  bool none = false;
  if (!srv_only_keys(f->call, range, keys))
    return false;
  for (unsigned i = 0; keys[i]; i++) {
    json_t *bound = json_object_get(range, keys[i]);
    if (!bound || json_is_null(bound))
      continue;
    if (!json_is_number(bound))
      return filter_wrong(f, "a range is between numbers; ranges of times are not served");
    uint64_t rank = srv_qdrant_order(json_number_value(bound)); /* of a finite one: not an end */
    rank = i == 0 ? rank + 1 : i == 2 ? rank - 1 : rank;
    if (i < 2)
      low = rank > low ? rank : low;
    else
      high = rank < high ? rank : high;
  }
  none = low > high;
  return none ? filter_write(f, "false")
              : srv_qdrant_term_range(&t, path, low, high) && filter_any(f, &t);
}

static bool filter_field(struct qdrant_filter *f, json_t *json) {
  static const char *const others[] = {
      "geo_bounding_box", "geo_radius", "geo_polygon", "values_count", "is_empty", "is_null", NULL};
  static const char *const keys[] = {"key",          "match",       "range",    "geo_bounding_box",
                                     "geo_radius",   "geo_polygon", "is_empty", "is_null",
                                     "values_count", NULL};
  json_t *match = json_object_get(json, "match"), *range = json_object_get(json, "range");
  if (!srv_qdrant_refuse(f->call, json, others) || !srv_only_keys(f->call, json, keys))
    return false;
  const char *path = filter_path(f, json_object_get(json, "key"));
  if (!path)
    return false;
  if (json_is_object(match) && (!range || json_is_null(range)))
    return filter_match(f, path, match);
  if (json_is_object(range) && (!match || json_is_null(match)))
    return filter_range(f, path, range);
  return filter_wrong(f, "a condition with \"key\" takes either \"match\" or \"range\"");
}

static bool filter_has_id(struct qdrant_filter *f, json_t *ids) {
  vecdb_keys keys;
  if (!json_is_array(ids))
    return filter_wrong(f, "\"has_id\" must be an array");
  if (json_array_size(ids) == 0)
    return filter_write(f, "false");
  return srv_qdrant_keys(f->call, ids, &keys) &&
         filter_bind(f, QDRANT_KEY " in ", filter_list(keys.strings, keys.n), "");
}

static bool filter_mark(struct qdrant_filter *f, const char * not, char kind, json_t *of) {
  struct srv_qdrant_terms t = {.call = f->call};
  const char *path = filter_path(f, json_object_get(of, "key"));
  return path && srv_qdrant_term(&t, kind, path, strlen(path), "") && filter_write(f, not ) &&
         filter_any(f, &t);
}

static bool filter_has_vector(struct qdrant_filter *f, json_t *json) {
  struct srv_qdrant_terms t = {.call = f->call};
  const char *name = json_string_value(json);
  if (!name)
    return filter_wrong(f, "\"has_vector\" must be a vector's name");
  return srv_qdrant_term(&t, QDRANT_HAS_VECTOR, name, strlen(name), "") && filter_any(f, &t);
}

/* ---- Clauses --------------------------------------------------------------------------------- */

static bool filter_clauses(struct qdrant_filter *f, json_t *json);

static bool filter_condition(struct qdrant_filter *f, json_t *json) {
  if (!json_is_object(json))
    return filter_wrong(f, "a condition must be an object");
  if (json_object_get(json, "key"))
    return filter_field(f, json);
  json_t *value;
  if (json_object_size(json) == 1) {
    if ((value = json_object_get(json, "has_id")))
      return filter_has_id(f, value);
    if ((value = json_object_get(json, "is_null")))
      return filter_mark(f, "", QDRANT_IS_NULL, value);
    if ((value = json_object_get(json, "is_empty")))
      return filter_mark(f, "not ", QDRANT_IS_THERE, value);
    if ((value = json_object_get(json, "has_vector")))
      return filter_has_vector(f, value);
    if (json_object_get(json, "nested"))
      return filter_wrong(f, "\"nested\" conditions are not served");
  }
  if (f->depth >= QDRANT_DEPTH)
    return filter_wrong(f, "the filter is nested too deep");
  f->depth++;
  bool good = filter_clauses(f, json);
  f->depth--;
  return good;
}

/* Conditions, one or an array of them, joined by a word, in parentheses behind `before`. */
static bool filter_join(struct qdrant_filter *f, json_t *list, const char *before,
                        const char *word) {
  size_t n = json_is_array(list) ? json_array_size(list) : 1;
  if (!filter_write(f, before) || !filter_write(f, "("))
    return false;
  for (size_t i = 0; i < n; i++)
    if ((i && !filter_write(f, word)) ||
        !filter_condition(f, json_is_array(list) ? json_array_get(list, i) : list))
      return false;
  return filter_write(f, ")");
}

static bool filter_given(json_t *list) {
  return list && !json_is_null(list) && (!json_is_array(list) || json_array_size(list) > 0);
}

static bool filter_clauses(struct qdrant_filter *f, json_t *json) {
  static const struct {
    const char *key, *before, *word;
  } clauses[] = {{"must", "", " and "}, {"should", "", " or "}, {"must_not", "not ", " or "}};
  static const char *const keys[] = {"must", "should", "must_not", "min_should", NULL};
  static const char *const others[] = {"min_should", NULL};
  if (!json_is_object(json))
    return filter_wrong(f, "a filter must be an object");
  if (!srv_only_keys(f->call, json, keys) || !srv_qdrant_refuse(f->call, json, others) ||
      !filter_write(f, "(true"))
    return false;
  for (size_t i = 0; i < sizeof clauses / sizeof clauses[0]; i++) {
    json_t *list = json_object_get(json, clauses[i].key);
    if (filter_given(list) &&
        (!filter_write(f, " and ") || !filter_join(f, list, clauses[i].before, clauses[i].word)))
      return false;
  }
  return filter_write(f, ")");
}

bool srv_qdrant_filter(struct srv_call *call, json_t *filter, const char *also, vecdb_string key,
                       vecdb_filter *out) {
  struct qdrant_filter f = {.call = call};
  vecdb_value operand = {.type = VECDB_VARCHAR, .length = (uint32_t)key.length};
  operand.as.data = key.data;
  bool given = filter && !json_is_null(filter);
  *out = (vecdb_filter){NULL, 0, NULL, 0};
  if ((given && !filter_clauses(&f, filter)) ||
      (also && ((given && !filter_write(&f, " and ")) || !filter_bind(&f, also, operand, ""))))
    return false;
  if (f.n)
    *out = (vecdb_filter){f.text, f.n, f.params, f.n_params};
  return true;
}

bool srv_qdrant_filter_vector(struct srv_call *call, const char *name, vecdb_filter *filter) {
  struct srv_qdrant_terms t = {.call = call};
  struct qdrant_filter f = {.call = call};
  if (filter->text) {
    f.n_params = f.room_params = filter->n_params; /* full: it is copied to grow */
    f.params = (vecdb_param *)(uintptr_t)filter->params;
    if (!filter_write(&f, filter->text) || !filter_write(&f, " and "))
      return false;
  }
  if (!srv_qdrant_term(&t, QDRANT_HAS_VECTOR, name, strlen(name), "") || !filter_any(&f, &t))
    return false;
  *filter = (vecdb_filter){f.text, f.n, f.params, f.n_params};
  return true;
}
