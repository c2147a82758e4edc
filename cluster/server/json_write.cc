/*
 * json_write.cc - Jansson's values as text; see json_write.h. C++ for its fast printing of numbers,
 * and without exceptions.
 */
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {
#include "server/json_write.h"
}

namespace {

constexpr size_t write_number = 40; /* longer than any */
constexpr int write_digits = 9;

bool write_bytes(srv_text *out, const char *bytes, size_t n) {
  if (!srv_text_reserve(out, n))
    return false;
  memcpy(out->data + out->n, bytes, n);
  out->n += n;
  return true;
}

bool write_byte(srv_text *out, char c) {
  return write_bytes(out, &c, 1);
}

/* Of what cannot stand in a string as it is. */
bool write_escape(srv_text *out, unsigned char c) {
  static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt", hex[] = "0123456789ABCDEF";
  const char *known = strchr(plain, c);
  if (c && known) {
    const char two[] = {'\\', letters[known - plain]};
    return write_bytes(out, two, sizeof two);
  }
  const char six[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
  return write_bytes(out, six, sizeof six);
}

bool write_string(srv_text *out, const char *text, size_t n) {
  bool good = write_byte(out, '"');
  size_t from = 0;
  for (size_t i = 0; i < n && good; i++) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    if (c >= ' ' && c != '"' && c != '\\')
      continue;
    good = write_bytes(out, text + from, i - from) && write_escape(out, c);
    from = i + 1;
  }
  return good && write_bytes(out, text + from, n - from) && write_byte(out, '"');
}

bool write_integer(srv_text *out, json_int_t value) {
  if (!srv_text_reserve(out, write_number))
    return false;
  char *at = out->data + out->n;
  out->n += static_cast<size_t>(std::to_chars(at, at + write_number, value).ptr - at);
  return true;
}

/* Told from an integer by a point or an exponent; the exponent without what it can do without. */
bool write_real(srv_text *out, double value) {
  if (!srv_text_reserve(out, write_number))
    return false;
  char *at = out->data + out->n;
  char *end =
      std::to_chars(at, at + write_number, value, std::chars_format::general, write_digits).ptr;
  char *e = static_cast<char *>(memchr(at, 'e', static_cast<size_t>(end - at)));
  if (e) {
    char *to = e + 1, *from = e + 1;
    if (*from == '-')
      to++;
    from++;
    while (*from == '0' && from + 1 < end)
      from++;
    memmove(to, from, static_cast<size_t>(end - from));
    end = to + (end - from);
  } else if (!memchr(at, '.', static_cast<size_t>(end - at))) {
    *end++ = '.';
    *end++ = '0';
  }
  out->n += static_cast<size_t>(end - at);
  return true;
}

bool write_value(srv_text *out, const json_t *value);

bool write_array(srv_text *out, const json_t *array) {
  bool good = write_byte(out, '[');
  for (size_t i = 0; i < json_array_size(array) && good; i++)
    good = (i == 0 || write_byte(out, ',')) && write_value(out, json_array_get(array, i));
  return good && write_byte(out, ']');
}

bool write_object(srv_text *out, const json_t *value) {
  json_t *object = const_cast<json_t *>(value); /* Jansson's way of walking wants it */
  bool good = write_byte(out, '{'), first = true;
  for (void *at = json_object_iter(object); at && good; at = json_object_iter_next(object, at)) {
    good = (first || write_byte(out, ',')) &&
           write_string(out, json_object_iter_key(at), json_object_iter_key_len(at)) &&
           write_byte(out, ':') && write_value(out, json_object_iter_value(at));
    first = false;
  }
  return good && write_byte(out, '}');
}

bool write_value(srv_text *out, const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    return write_object(out, value);
  case JSON_ARRAY:
    return write_array(out, value);
  case JSON_STRING:
    return write_string(out, json_string_value(value), json_string_length(value));
  case JSON_INTEGER:
    return write_integer(out, json_integer_value(value));
  case JSON_REAL:
    return write_real(out, json_real_value(value));
  case JSON_TRUE:
    return write_bytes(out, "true", 4);
  case JSON_FALSE:
    return write_bytes(out, "false", 5);
  default:
    return write_bytes(out, "null", 4);
  }
}

} // namespace

bool srv_text_reserve(struct srv_text *text, size_t more) {
  if (more <= text->room - text->n)
    return true;
  size_t room = text->room ? text->room : 1024;
  while (more > room - text->n) {
    if (room > SIZE_MAX / 2)
      return false;
    room *= 2;
  }
  char *grown = static_cast<char *>(realloc(text->data, room));
  if (!grown)
    return false;
  text->data = grown;
  text->room = room;
  return true;
}

bool srv_json_write(const json_t *json, struct srv_text *text) {
  return write_value(text, json);
}
