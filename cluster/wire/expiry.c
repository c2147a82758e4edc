/* expiry.c - when rows go, in JSON and as a filter; see expiry.h. */
#include "wire/expiry.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static bool expiry_object(json_t *object, struct wire_mem *mem, struct wire_expiry *out) {
  json_t *field = json_object_get(object, "field"), *ttl = json_object_get(object, "ttl_ms");
  const size_t n = json_string_length(field);
  *out = (struct wire_expiry){NULL, 0};
  if (json_is_object(object) && !json_object_size(object))
    return true;
  if (json_object_size(object) != 2 || !json_is_string(field) || !n || n > VECDB_MAX_NAME ||
      !json_is_integer(ttl) || json_integer_value(ttl) < 0)
    return false;
  char *copy = wire_mem_get(mem, n + 1, 1);
  if (copy)
    out->field = memcpy(copy, json_string_value(field), n);
  out->ttl_ms = (uint64_t)json_integer_value(ttl);
  return copy != NULL;
}

bool wire_expiry_read(const char *text, struct wire_mem *mem, struct wire_expiry *out) {
  json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
  bool good = expiry_object(object, mem, out);
  json_decref(object);
  return good;
}

char *wire_expiry_write(const struct wire_expiry *e) {
  json_t *object = e->field ? json_pack("{s:s, s:I}", "field", e->field, "ttl_ms",
                                        (json_int_t)e->ttl_ms)
                            : json_object();
  char *text = object ? json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
  json_decref(object);
  return text;
}

void wire_expiry_filter(const struct wire_expiry *e, int64_t now_ms, char out[WIRE_EXPIRY_TEXT]) {
  snprintf(out, WIRE_EXPIRY_TEXT, "%s <= %" PRId64, e->field, now_ms - (int64_t)e->ttl_ms);
}
