/* qdrant_names.c - answers, names and ids of Qdrant's dialect; see qdrant.h. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/guard.h"
#include "server/json_schema.h"
#include "server/observe.h"
#include "server/qdrant.h"
#include "server/server.h"

#define QDRANT_COLLECTION "qdrant_"

enum { QDRANT_UUID = 36, QDRANT_KEY_BYTES = 40 };

/* ---- Answers --------------------------------------------------------------------------------- */

void srv_qdrant_answer(struct srv_call *call, json_t *result) {
  srv_call_answer(call, 200,
                  result ? json_pack("{s:o, s:s}", "result", result, "status", "ok") : NULL);
}

void srv_qdrant_written(struct srv_call *call) {
  srv_qdrant_answer(call, json_pack("{s:i, s:s}", "operation_id", 0, "status", "completed"));
}

json_t *srv_qdrant_error(int *status, const char *code, const char *message) {
  (void)status;
  (void)code;
  return json_pack("{s:{s:s}}", "status", "error", message);
}

bool srv_qdrant_refuse(struct srv_call *call, json_t *object, const char *const *keys) {
  for (; *keys; keys++) {
    json_t *value = json_object_get(object, *keys);
    if (!value || json_is_null(value))
      continue;
    srv_call_fail(call, 400, "UNSUPPORTED", "\"%s\" is not served here", *keys);
    return false;
  }
  return true;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* Any text as a name of the library: letters and digits stay, other bytes become _ and two hex
   digits. */
static char *names_escape(struct srv_call *call, const char *prefix, const char *name) {
  size_t n = strlen(name);
  char *out = srv_arena_take(&call->arena, strlen(prefix) + 3 * n + 1);
  if (!out) {
    srv_call_no_memory(call);
    return NULL;
  }
  char *to = out + sprintf(out, "%s", prefix);
  for (size_t i = 0; i < n; i++)
    to += sprintf(to, isalnum((unsigned char)name[i]) ? "%c" : "_%02x", (unsigned char)name[i]);
  if (to - out <= VECDB_MAX_NAME)
    return out;
  srv_call_fail(call, 400, "NAME", "the name \"%.100s\" is too long", name);
  return NULL;
}

static bool names_unescape(const char *prefix, const char *name, char *out) {
  size_t n = strlen(prefix);
  if (strncmp(name, prefix, n) != 0)
    return false;
  for (name += n; *name; name++) {
    unsigned byte = (unsigned char)*name;
    if (*name == '_') {
      if (!isxdigit((unsigned char)name[1]) || sscanf(name + 1, "%2x", &byte) != 1 || byte == 0)
        return false;
      name += 2;
    }
    *out++ = (char)byte;
  }
  *out = '\0';
  return true;
}

char *srv_qdrant_collection_name(struct srv_call *call, const char *name) {
  char *out = names_escape(call, QDRANT_COLLECTION, name);
  if (out)
    srv_call_about(call, out);
  return out;
}

char *srv_qdrant_vector_name(struct srv_call *call, const char *name) {
  return names_escape(call, QDRANT_VECTOR, name);
}

bool srv_qdrant_collection_of(const char *name, char *out) {
  return names_unescape(QDRANT_COLLECTION, name, out);
}

bool srv_qdrant_vector_of(const char *name, char *out) {
  return names_unescape(QDRANT_VECTOR, name, out);
}

static bool names_is_texts(const vecdb_schema *schema, const char *name) {
  const vecdb_field *field = srv_schema_field(schema, name);
  return field && field->type == VECDB_ARRAY && field->element_type == VECDB_VARCHAR;
}

/* A collection that another interface made can bear such a name: it has other fields, or such of
   other types, whose values must not be read as what they are not. */
static bool names_is_points(const vecdb_schema *schema) {
  const vecdb_field *key = srv_schema_key(schema);
  for (uint32_t i = 0; i < schema->n_fields; i++)
    if (srv_type_is_dense(schema->fields[i].type) &&
        schema->fields[i].type != VECDB_FLOAT_VECTOR)
      return false;
  return names_is_texts(schema, QDRANT_PAYLOAD) && names_is_texts(schema, QDRANT_TERMS) &&
         strcmp(key->name, QDRANT_KEY) == 0 && key->type == VECDB_VARCHAR;
}

struct engine_collection *srv_qdrant_collection(struct srv_call *call) {
  struct engine_collection *collection;
  vecdb_error error;
  const char *name = srv_qdrant_collection_name(call, call->args[0]);
  if (!name)
    return NULL;
  if (srv_guard_get_collection(call, name, &collection, &error) == VECDB_OK) {
    if (names_is_points(engine_collection_schema(collection)))
      return collection;
    engine_collection_release(collection);
  } else if (error.code != VECDB_ERR_NOT_FOUND) {
    srv_call_error(call, &error);
    return NULL;
  }
  srv_call_fail(call, 404, "NOT_FOUND", "Not found: Collection `%.200s` doesn't exist!",
                call->args[0]);
  return NULL;
}

const vecdb_field *srv_qdrant_vector(struct srv_call *call, const vecdb_schema *schema,
                                     const char *name) {
  const char *field_name = srv_qdrant_vector_name(call, name);
  const vecdb_field *field = field_name ? srv_schema_field(schema, field_name) : NULL;
  if (field_name && !field)
    srv_call_fail(call, 400, "UNKNOWN_FIELD", "Wrong input: Not existing vector name error: %.200s",
                  name);
  return field;
}

/* ---- Ids ------------------------------------------------------------------------------------- */

/* A UUID with or without dashes as "u" and its canonical form. */
static bool names_uuid(const char *text, char *out) {
  size_t n = strlen(text), digits = 0;
  if (n != QDRANT_UUID && n != QDRANT_UUID - 4)
    return false;
  *out++ = 'u';
  for (size_t i = 0; i < n; i++) {
    bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (n == QDRANT_UUID && dash) {
      if (text[i] != '-')
        return false;
      continue;
    }
    if (!isxdigit((unsigned char)text[i]))
      return false;
    if (digits == 8 || digits == 12 || digits == 16 || digits == 20)
      *out++ = '-';
    *out++ = (char)tolower((unsigned char)text[i]);
    digits++;
  }
  *out = '\0';
  return true;
}

bool srv_qdrant_key(struct srv_call *call, json_t *id, vecdb_string *out) {
  char *text = srv_arena_take(&call->arena, QDRANT_KEY_BYTES);
  if (!text) {
    srv_call_no_memory(call);
    return false;
  }
  bool good = false;
  if (json_is_integer(id) && json_integer_value(id) >= 0)
    good = sprintf(text, "i%020lld", (long long)json_integer_value(id)) > 0;
  else if (json_is_string(id))
    good = names_uuid(json_string_value(id), text);
  *out = (vecdb_string){text, strlen(text)};
  if (!good)
    srv_call_fail(call, 400, "TYPE", "a point id must be an unsigned integer or a UUID");
  return good;
}

bool srv_qdrant_keys(struct srv_call *call, json_t *ids, vecdb_keys *out) {
  size_t n = json_array_size(ids);
  vecdb_string *keys = srv_arena_array(&call->arena, n + 1, sizeof *keys);
  if (!keys) {
    srv_call_no_memory(call);
    return false;
  }
  for (size_t i = 0; i < n; i++)
    if (!srv_qdrant_key(call, json_array_get(ids, i), &keys[i]))
      return false;
  *out = (vecdb_keys){NULL, keys, n};
  return true;
}

json_t *srv_qdrant_id(vecdb_value key) {
  const char *text = key.as.data;
  char digits[QDRANT_KEY_BYTES] = "";
  if (key.length > 0 && text[0] == 'u')
    return json_stringn(text + 1, key.length - 1);
  if (key.length > 1 && key.length < sizeof digits)
    memcpy(digits, text + 1, key.length - 1);
  return json_integer((json_int_t)strtoull(digits, NULL, 10));
}
