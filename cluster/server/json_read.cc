/*
 * json_read.cc - simdjson's reader and Jansson's values; see json_read.h. C++ for simdjson's sake, and
 * without exceptions. Whatever is not plainly right here, the wrong as well as the unusual, is left
 * to Jansson: so there is one judge of texts, and one that words what is wrong with them.
 */
#include <cstring>
#include <string_view>

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

extern "C" {
#include "server/json_numbers.h"
#include "server/json_read.h"
}

namespace {

namespace dom = simdjson::dom;

/* A thread keeps the memory for texts up to this; for a longer one it is taken and given back. */
constexpr size_t read_kept = 256 * 1024;

/* How many levels below a value arrays may be kept as numbers in one piece: in no other place. */
struct read_place {
  int first, last;
  const char *const *under; /* as in srv_json_place */
};

constexpr read_place read_plain = {0, -1, nullptr};
constexpr size_t read_least = 8, read_most = 4096;

constexpr read_place read_inner(read_place place) {
  return place.last > 0 ? read_place{place.first - 1, place.last - 1, place.under} : read_plain;
}

/* Of a member of an object. */
read_place read_under(read_place place, std::string_view key) {
  const char *const *name = place.under;
  while (name && *name && key != *name)
    name++;
  return name && !*name ? read_plain : read_inner({place.first, place.last, nullptr});
}

json_t *read_value(dom::element from, read_place place);

json_t *read_array(dom::array from, read_place place) {
  json_t *out = json_array();
  for (dom::element item : from)
    if (json_array_append_new(out, read_value(item, read_inner(place))) != 0) {
      json_decref(out);
      return nullptr;
    }
  return out;
}

/* Integers alone are none of these: a double may not tell them apart. */
json_t *read_numbers(dom::array from, read_place place) {
  char bytes[SRV_NUMBERS_BYTES(read_most)];
  char *to = bytes + SRV_NUMBERS_AT;
  bool all = from.size() >= read_least && from.size() <= read_most, fraction = false;
  for (dom::element item : from) {
    double number = 0;
    bool real = item.type() == dom::element_type::DOUBLE;
    all = all && (real || item.is_int64()) && item.get_double().get(number) == simdjson::SUCCESS;
    if (!all)
      break;
    fraction = fraction || real;
    memcpy(to, &number, sizeof number);
    to += sizeof number;
  }
  return all && fraction ? srv_numbers_new(bytes, from.size()) : read_array(from, place);
}

/* Jansson takes no key twice, and none with a NUL in it. */
bool read_member(json_t *out, dom::key_value_pair member, read_place place) {
  std::string_view key = member.key;
  return key.find('\0') == key.npos && !json_object_getn(out, key.data(), key.size()) &&
         json_object_setn_new(out, key.data(), key.size(), read_value(member.value, place)) == 0;
}

json_t *read_object(dom::object from, read_place place) {
  json_t *out = json_object();
  for (dom::key_value_pair member : from)
    if (!read_member(out, member, read_under(place, member.key))) {
      json_decref(out);
      return nullptr;
    }
  return out;
}

/* The outermost object. */
json_t *read_members(dom::object from, const srv_json_place *places) {
  json_t *out = json_object();
  for (dom::key_value_pair member : from) {
    const srv_json_place *place = places;
    while (place->member && member.key != place->member)
      place++;
    if (!read_member(out, member, {place->first, place->last, place->under})) {
      json_decref(out);
      return nullptr;
    }
  }
  return out;
}

json_t *read_string(std::string_view text) {
  return text.find('\0') == text.npos ? json_stringn(text.data(), text.size()) : nullptr;
}

/* NULL: out of memory, or something that Jansson would refuse. */
json_t *read_value(dom::element from, read_place place) {
  switch (from.type()) {
  case dom::element_type::ARRAY:
    return place.first <= 0 && place.last >= 0
               ? read_numbers(from.get_array().value_unsafe(), place)
               : read_array(from.get_array().value_unsafe(), place);
  case dom::element_type::OBJECT:
    return read_object(from.get_object().value_unsafe(), place);
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

json_t *read_with(dom::parser &parser, const char *text, size_t n, const srv_json_place *places) {
  dom::element root;
  if (parser.parse(text, n).get(root) != simdjson::SUCCESS)
    return nullptr;
  if (root.is_object())
    return read_members(root.get_object().value_unsafe(), places);
  return root.is_array() ? read_value(root, read_plain) : nullptr;
}

json_t *read_text(const char *text, size_t n, const srv_json_place *places) {
  static thread_local dom::parser kept(read_kept);
  if (n <= read_kept)
    return read_with(kept, text, n, places);
  dom::parser parser;
  return read_with(parser, text, n, places);
}

} // namespace

json_t *srv_json_read_at(const char *text, size_t n, const struct srv_json_place *places,
                         json_error_t *why) {
  json_t *out = read_text(text, n, places);
  return out ? out : json_loadb(text, n, JSON_REJECT_DUPLICATES, why);
}

json_t *srv_json_read(const char *text, size_t n, json_error_t *why) {
  static const struct srv_json_place nowhere = {nullptr, 0, -1, nullptr};
  return srv_json_read_at(text, n, &nowhere, why);
}
