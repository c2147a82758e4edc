/*
 * json_write.cc - Jansson's values as text, by RapidJSON's writer; see json_write.h. Real numbers
 * by the C++ library, as RapidJSON cannot be told a number of digits. Without exceptions.
 */
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <rapidjson/writer.h>

extern "C" {
#include "server/json_write.h"
}

namespace {

constexpr size_t write_number = 40; /* longer than any */
constexpr int write_digits = 9;
constexpr double write_least = 1e-4, write_most = 1e9; /* beyond, these have an exponent */
constexpr ptrdiff_t write_short = 14; /* characters of a float that are all written */
constexpr size_t write_levels = 2050; /* one more than values are deep, as they are read */
constexpr size_t write_level = 16;    /* bytes that the writer keeps of an open value */

/* Where the writer puts its characters. What does not fit is left out, and `full` says so. */
struct write_stream {
  typedef char Ch;
  srv_text *text;
  bool full;

  void Put(char c) {
    if (text->n == text->room && !srv_text_reserve(text, 1))
      full = true;
    else
      text->data[text->n++] = c;
  }
  void Flush() {}
};

typedef rapidjson::MemoryPoolAllocator<> write_pool;
typedef rapidjson::Writer<write_stream, rapidjson::UTF8<>, rapidjson::UTF8<>, write_pool>
    write_writer;

/* Digits of a number as it is written, from the first to the last that is no zero. */
int write_significant(const char *text, const char *end) {
  int n = 0, last = 0;
  for (; text < end && *text != 'e'; text++) {
    n += *text >= (n ? '0' : '1');
    last = *text >= '1' ? n : last;
  }
  return last;
}

/* As many digits as it needs; but where nine are enough, as a precision of nine has them, and where
   it is a float that would need many, those that tell it from other floats. The shortest text is
   the one that is quickly found. */
char *write_digits_of(char *text, char *end, double value) {
  char *all = std::to_chars(text, end, value).ptr;
  double size = std::fabs(value);
  bool fixed = !memchr(text, 'e', static_cast<size_t>(all - text));
  if (write_significant(text, all) <= write_digits)
    return fixed && (size == 0 || (size >= write_least && size < write_most))
               ? all
               : std::to_chars(text, end, value, std::chars_format::general, write_digits).ptr;
  float single = static_cast<float>(value);
  if (all - text > write_short && static_cast<double>(single) == value)
    return std::to_chars(text, end, single).ptr;
  return all;
}

/* Told from an integer by a point or an exponent; the exponent without what it can do without.
   The text's new end; there is room for write_number. */
char *write_as_real(char *text, char *end) {
  char *e = static_cast<char *>(memchr(text, 'e', static_cast<size_t>(end - text)));
  if (e) {
    char *to = e + 1, *from = e + 1;
    if (*from == '-')
      to++;
    from++;
    while (*from == '0' && from + 1 < end)
      from++;
    memmove(to, from, static_cast<size_t>(end - from));
    end = to + (end - from);
  } else if (!memchr(text, '.', static_cast<size_t>(end - text))) {
    *end++ = '.';
    *end++ = '0';
  }
  return end;
}

char *write_real_text(char *text, double value) {
  return write_as_real(text, write_digits_of(text, text + write_number - 2, value));
}

bool write_real(write_writer &w, double value) {
  char text[write_number];
  const char *end = write_real_text(text, value);
  return w.RawValue(text, static_cast<size_t>(end - text), rapidjson::kNumberType);
}

bool write_string(write_writer &w, const char *text, size_t n) {
  return w.String(text, static_cast<rapidjson::SizeType>(n));
}

bool write_value(write_writer &w, const json_t *value);

bool write_array(write_writer &w, const json_t *array) {
  bool good = w.StartArray();
  for (size_t i = 0; i < json_array_size(array) && good; i++)
    good = write_value(w, json_array_get(array, i));
  return good && w.EndArray();
}

bool write_object(write_writer &w, const json_t *value) {
  json_t *object = const_cast<json_t *>(value); /* Jansson's way of walking wants it */
  bool good = w.StartObject();
  for (void *at = json_object_iter(object); at && good; at = json_object_iter_next(object, at))
    good = write_string(w, json_object_iter_key(at), json_object_iter_key_len(at)) &&
           write_value(w, json_object_iter_value(at));
  return good && w.EndObject();
}

bool write_value(write_writer &w, const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    return write_object(w, value);
  case JSON_ARRAY:
    return write_array(w, value);
  case JSON_STRING:
    return write_string(w, json_string_value(value), json_string_length(value));
  case JSON_INTEGER:
    return w.Int64(json_integer_value(value));
  case JSON_REAL:
    return write_real(w, json_real_value(value));
  case JSON_TRUE:
  case JSON_FALSE:
    return w.Bool(json_is_true(value));
  default:
    return w.Null();
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

bool srv_text_add(struct srv_text *text, const char *bytes, size_t n) {
  if (!srv_text_reserve(text, n))
    return false;
  memcpy(text->data + text->n, bytes, n);
  text->n += n;
  return true;
}

bool srv_json_write_integer(int64_t value, struct srv_text *text) {
  char digits[write_number];
  const char *end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return srv_text_add(text, digits, static_cast<size_t>(end - digits));
}

bool srv_json_write_real(double value, struct srv_text *text) {
  char digits[write_number];
  if (!std::isfinite(value))
    return srv_text_add(text, "null", 4);
  const char *end = write_real_text(digits, value);
  return srv_text_add(text, digits, static_cast<size_t>(end - digits));
}

bool srv_json_write_float(float value, struct srv_text *text) {
  char digits[write_number];
  if (!std::isfinite(value))
    return srv_text_add(text, "null", 4);
  const char *end =
      write_as_real(digits, std::to_chars(digits, digits + write_number - 2, value).ptr);
  return srv_text_add(text, digits, static_cast<size_t>(end - digits));
}

/* The writer's stack lies in `levels`: it asks for no memory. */
bool srv_json_write(const json_t *json, struct srv_text *text) {
  alignas(std::max_align_t) char levels[write_levels * write_level + 256];
  write_pool pool(levels, sizeof levels);
  write_stream stream = {text, false};
  write_writer writer(stream, &pool, write_levels);
  return write_value(writer, json) && !stream.full;
}
