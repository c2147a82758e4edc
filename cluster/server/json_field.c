/* json_field.c - values of JSON fields; see json_field.h. */
#include "server/json_field.h"

#include <string.h>

#include "server/json_numbers.h"
#include "server/json_write.h"

/* An array of numbers that came in one piece, as others are. NULL: out of memory. */
static json_t *field_numbers(const json_t *numbers) {
  json_t *out = json_array();
  size_t n = srv_numbers_count(numbers);
  for (size_t i = 0; out && i < n; i++)
    if (json_array_append_new(out, json_real(srv_numbers_get(numbers, i)))) {
      json_decref(out);
      return NULL;
    }
  return out;
}

/* Whether an array of numbers in one piece is in it, or is it. */
static bool field_is_packed(json_t *value) {
  const char *key;
  json_t *member;
  size_t i;
  json_object_foreach(value, key, member)
    if (field_is_packed(member))
      return true;
  json_array_foreach(value, i, member)
    if (field_is_packed(member))
      return true;
  return srv_is_numbers(value);
}

/* The value with objects and arrays of its own. */
static json_t *field_copy(json_t *value) {
  json_t *out, *member;
  const char *key;
  size_t i;
  if (srv_is_numbers(value))
    return field_numbers(value);
  if (!json_is_object(value) && !json_is_array(value))
    return json_incref(value);
  out = json_is_object(value) ? json_object() : json_array();
  bool good = out != NULL;
  json_object_foreach(value, key, member)
    good = good && json_object_set_new(out, key, field_copy(member)) == 0;
  json_array_foreach(value, i, member)
    good = good && json_array_append_new(out, field_copy(member)) == 0;
  if (good)
    return out;
  json_decref(out);
  return NULL;
}

json_t *srv_json_field_plain(json_t *value) {
  return field_is_packed(value) ? field_copy(value) : json_incref(value);
}

bool srv_json_field_read(struct srv_call *call, json_t *value, void *to, uint32_t *length) {
  json_t *plain = srv_json_field_plain(value);
  struct srv_text text = {0};
  bool good = plain && srv_json_write(plain, &text) && text.n <= UINT32_MAX;
  char *copy = good ? srv_arena_take(&call->arena, text.n + 1) : NULL;
  if (copy) {
    memcpy(copy, text.data, text.n);
    memcpy(to, &copy, sizeof copy);
    *length = (uint32_t)text.n;
  }
  free(text.data);
  json_decref(plain);
  return copy != NULL;
}

json_t *srv_json_field_write(vecdb_value v) {
  size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
  json_t *value = json_loadb(v.as.data, v.length, flags, NULL);
  if (!value)
    value = json_loadb(v.as.data, v.length, flags | JSON_DECODE_INT_AS_REAL, NULL);
  return value ? value : json_stringn(v.as.data, v.length);
}
