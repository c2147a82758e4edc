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

json_t *srv_json_field_plain(json_t *value) {
  return srv_is_numbers(value) ? field_numbers(value) : json_incref(value);
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
