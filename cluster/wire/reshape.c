/* reshape.c - changes of schemas in JSON, and histories of them; see reshape.h. */
#include "wire/reshape.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The member that names the kind has its field, or the schema of new ones. */
static const char *const reshape_kinds[WIRE_RESHAPE_KINDS] = {
    [WIRE_RESHAPE_ADD] = "add",     [WIRE_RESHAPE_DROP] = "drop",
    [WIRE_RESHAPE_RENAME] = "rename", [WIRE_RESHAPE_INDEX] = "index",
    [WIRE_RESHAPE_UNINDEX] = "unindex"};

static int reshape_fail(char *why, int code, const char *words) {
  snprintf(why, WIRE_WHY, "%s", words);
  return code;
}

static int reshape_bad(char *why) {
  return reshape_fail(why, VECDB_ERR_SCHEMA, "the change of the schema is not understood");
}

static bool reshape_text(json_t *value, struct wire_mem *mem, const char **out) {
  size_t n = json_string_length(value);
  char *text = json_is_string(value) && n ? wire_mem_get(mem, n + 1, 1) : NULL;
  if (text)
    memcpy(text, json_string_value(value), n);
  *out = text;
  return text != NULL;
}

static const char *reshape_dump(json_t *value, struct wire_mem *mem) {
  char *text = json_dumps(value, JSON_COMPACT), *copy = NULL;
  size_t n = text ? strlen(text) : 0;
  if (text && (copy = wire_mem_get(mem, n + 1, 1)))
    memcpy(copy, text, n);
  free(text);
  return copy;
}

/* The kind; WIRE_RESHAPE_KINDS: none of them, or several. */
static enum wire_reshape_kind reshape_kind(const json_t *object) {
  enum wire_reshape_kind kind = WIRE_RESHAPE_KINDS;
  for (int i = 0; i < WIRE_RESHAPE_KINDS; i++)
    if (json_object_get(object, reshape_kinds[i]))
      kind = kind == WIRE_RESHAPE_KINDS ? (enum wire_reshape_kind)i : WIRE_RESHAPE_KINDS;
  return kind;
}

static int reshape_index(json_t *object, struct wire_mem *mem, struct wire_reshape *out,
                         char *why) {
  const json_int_t type = json_integer_value(json_object_get(object, "type"));
  if (!reshape_text(json_object_get(object, "path"), mem, &out->index.path) || type < 0 ||
      type > VECDB_JSON || !json_is_integer(json_object_get(object, "type")))
    return mem->failed ? VECDB_ERR_NO_MEMORY : reshape_bad(why);
  out->index.type = (int32_t)type;
  return VECDB_OK;
}

static int reshape_object(json_t *object, struct wire_mem *mem, struct wire_reshape *out,
                          char *why) {
  static const size_t members[WIRE_RESHAPE_KINDS] = {1, 1, 2, 3, 3};
  *out = (struct wire_reshape){.kind = reshape_kind(object)};
  if (out->kind == WIRE_RESHAPE_KINDS || json_object_size(object) != members[out->kind])
    return reshape_bad(why);
  json_t *of = json_object_get(object, reshape_kinds[out->kind]);
  if (out->kind == WIRE_RESHAPE_ADD) {
    const char *text = reshape_dump(of, mem);
    return text ? wire_schema_read(text, strlen(text), mem, &out->fields, why)
                : reshape_fail(why, VECDB_ERR_NO_MEMORY, "out of memory");
  }
  if (!reshape_text(of, mem, &out->field))
    return reshape_bad(why);
  if (out->kind == WIRE_RESHAPE_RENAME)
    return reshape_text(json_object_get(object, "to"), mem, &out->to) ? VECDB_OK
                                                                      : reshape_bad(why);
  return out->kind == WIRE_RESHAPE_DROP ? VECDB_OK : reshape_index(object, mem, out, why);
}

int wire_reshape_read(const char *text, size_t n, struct wire_mem *mem, struct wire_reshape *out,
                      char *why) {
  json_t *object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
  int code = object ? reshape_object(object, mem, out, why) : reshape_bad(why);
  json_decref(object);
  return mem->failed ? reshape_fail(why, VECDB_ERR_NO_MEMORY, "out of memory") : code;
}

char *wire_reshape_write(const struct wire_reshape *r) {
  json_t *object = NULL;
  if (r->kind == WIRE_RESHAPE_ADD) {
    char *schema = wire_schema_write(&r->fields);
    json_t *fields = schema ? json_loads(schema, 0, NULL) : NULL;
    object = fields ? json_pack("{s:o}", "add", fields) : NULL;
    free(schema);
  } else if (r->kind == WIRE_RESHAPE_DROP) {
    object = json_pack("{s:s}", "drop", r->field);
  } else if (r->kind == WIRE_RESHAPE_RENAME) {
    object = json_pack("{s:s, s:s}", "rename", r->field, "to", r->to);
  } else {
    object = json_pack("{s:s, s:s, s:i}", reshape_kinds[r->kind], r->field, "path",
                       r->index.path, "type", (int)r->index.type);
  }
  char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
  json_decref(object);
  return text;
}

/* ---- Histories ---- */

struct history {
  json_t *root, *base, *changes;
  uint64_t from;
};

/* NULL: it is no JSON, or, which *code says, there is no memory: then jansson seldom has words. */
static json_t *history_json(const char *text, int *code) {
  json_error_t error;
  json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
  if (!value && !*error.text)
    *code = VECDB_ERR_NO_MEMORY;
  return value;
}

/* A code: SCHEMA for what is none. history_close in any case. */
static int history_open(const char *text, struct history *h) {
  int code = VECDB_ERR_SCHEMA;
  *h = (struct history){.root = history_json(text, &code)};
  h->base = json_object_get(h->root, "base");
  h->changes = json_object_get(h->root, "changes");
  json_int_t from = json_integer_value(json_object_get(h->root, "from"));
  h->from = from > 0 ? (uint64_t)from : 0;
  return json_is_object(h->base) && json_is_array(h->changes) && h->from ? VECDB_OK : code;
}

static void history_close(struct history *h) { json_decref(h->root); }

static int history_fail(char *why, int code) {
  return code == VECDB_ERR_NO_MEMORY ? reshape_fail(why, code, "out of memory") : reshape_bad(why);
}

/* One without changes, that begins with the schema. */
static int history_begin(uint64_t version, const char *schema, struct history *h) {
  int code = VECDB_ERR_SCHEMA;
  *h = (struct history){.base = history_json(schema, &code), .from = version};
  if (!h->base)
    return code;
  h->root = json_pack("{s:I, s:o, s:[]}", "from", (json_int_t)version, "base", h->base, "changes");
  h->changes = json_object_get(h->root, "changes");
  return h->changes ? VECDB_OK : VECDB_ERR_NO_MEMORY;
}

int wire_history_add(const char *history, uint64_t version, const char *schema, const char *change,
                     char **out, char *why) {
  struct history h;
  int code = history ? history_open(history, &h) : history_begin(version, schema, &h);
  int read = VECDB_ERR_SCHEMA;
  json_t *more = history_json(change, &read);
  *out = NULL;
  code = code || more ? code : read;
  if (code)
    history_fail(why, code);
  else if (json_array_size(h.changes) >= WIRE_RESHAPES)
    code = reshape_fail(why, VECDB_ERR_LIMIT, "the collection's schema has changed too often");
  else if (json_array_append(h.changes, more) || !(*out = json_dumps(h.root, JSON_COMPACT)))
    code = history_fail(why, VECDB_ERR_NO_MEMORY);
  json_decref(more);
  history_close(&h);
  return code;
}

int wire_history_step(const char *history, uint64_t version, struct wire_mem *mem,
                      struct wire_step *out) {
  struct history h;
  int code = history_open(history, &h);
  *out = (struct wire_step){.version = version + 1};
  if (!code && version < h.from) {
    *out = (struct wire_step){h.from, true, reshape_dump(h.base, mem)};
  } else if (!code) {
    json_t *change = json_array_get(h.changes, version - h.from);
    json_t *fields = json_object_get(change, reshape_kinds[WIRE_RESHAPE_ADD]);
    out->add = fields != NULL;
    out->text = change ? reshape_dump(fields ? fields : change, mem) : NULL;
    code = change ? VECDB_OK : VECDB_ERR_NOT_FOUND;
  }
  if (!code && !out->text)
    code = VECDB_ERR_NO_MEMORY;
  history_close(&h);
  return code;
}

uint64_t wire_history_broke(const char *history, uint64_t version) {
  struct history h;
  uint64_t broke = 0;
  size_t n = !history_open(history, &h) && version > h.from ? (size_t)(version - h.from) : 0;
  size_t all = json_array_size(h.changes);
  for (size_t i = n < all ? n : all; i && !broke; i--) {
    enum wire_reshape_kind kind = reshape_kind(json_array_get(h.changes, i - 1));
    if (kind == WIRE_RESHAPE_DROP || kind == WIRE_RESHAPE_RENAME)
      broke = h.from + i;
  }
  history_close(&h);
  return broke;
}

const char *wire_history_base(const char *history, struct wire_mem *mem) {
  struct history h;
  const char *text = history_open(history, &h) ? NULL : reshape_dump(h.base, mem);
  history_close(&h);
  return text;
}
