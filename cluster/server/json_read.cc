/*
 * json_read.cc - simdjson's reader and Jansson's values; see json_read.h. C++ for simdjson's sake, and
 * without exceptions. Whatever is not plainly right here, the wrong as well as the unusual, is left
 * to Jansson: so there is one judge of texts, and one that words what is wrong with them.
 */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

extern "C" {
#include "server/json_read.h"
}

namespace {

namespace dom = simdjson::dom;

/* A thread keeps the memory for texts up to this; for a longer one it is taken and given back. */
constexpr size_t read_kept = 256 * 1024;

json_t *read_value(dom::element from);

json_t *read_array(dom::array from) {
  json_t *out = json_array();
  for (dom::element item : from)
    if (json_array_append_new(out, read_value(item)) != 0) {
      json_decref(out);
      return nullptr;
    }
  return out;
}

/* Jansson takes no key twice, and none with a NUL in it. */
bool read_member(json_t *out, dom::key_value_pair member) {
  std::string_view key = member.key;
  return key.find('\0') == key.npos && !json_object_getn(out, key.data(), key.size()) &&
         json_object_setn_new(out, key.data(), key.size(), read_value(member.value)) == 0;
}

json_t *read_object(dom::object from) {
  json_t *out = json_object();
  for (dom::key_value_pair member : from)
    if (!read_member(out, member)) {
      json_decref(out);
      return nullptr;
    }
  return out;
}

json_t *read_string(std::string_view text) {
  return text.find('\0') == text.npos ? json_stringn(text.data(), text.size()) : nullptr;
}

/* NULL: out of memory, or something that Jansson would refuse. */
json_t *read_value(dom::element from) {
  switch (from.type()) {
  case dom::element_type::ARRAY:
    return read_array(from.get_array().value_unsafe());
  case dom::element_type::OBJECT:
    return read_object(from.get_object().value_unsafe());
  case dom::element_type::INT64:
    return json_integer(from.get_int64().value_unsafe());
  case dom::element_type::DOUBLE:
    return json_real(from.get_double().value_unsafe());
  case dom::element_type::STRING:
    return read_string(from.get_string().value_unsafe());
  case dom::element_type::BOOL:
    return json_boolean(from.get_bool().value_unsafe());
  case dom::element_type::NULL_VALUE:
    return json_null();
  default: /* an integer beyond Jansson's */
    return nullptr;
  }
}

json_t *read_with(dom::parser &parser, const char *text, size_t n) {
  dom::element root;
  if (parser.parse(text, n).get(root) != simdjson::SUCCESS)
    return nullptr;
  return root.is_array() || root.is_object() ? read_value(root) : nullptr;
}

json_t *read_text(const char *text, size_t n) {
  static thread_local dom::parser kept(read_kept);
  if (n <= read_kept)
    return read_with(kept, text, n);
  dom::parser parser;
  return read_with(parser, text, n);
}

} // namespace

json_t *srv_json_read(const char *text, size_t n, json_error_t *why) {
  json_t *out = read_text(text, n);
  return out ? out : json_loadb(text, n, JSON_REJECT_DUPLICATES, why);
}
