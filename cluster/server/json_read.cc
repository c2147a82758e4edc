/*
 * json_read.cc - simdjson's reader and Jansson's values; see json_read.h. C++ for simdjson's sake,
 * and without exceptions. Whatever is not plainly right here, the wrong as well as the unusual, is
 * left to Jansson: so there is one judge of texts, and one that words what is wrong with them.
 */
#include <cstring>
#include <string_view>

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

extern "C" {
#include "server/json_decimals.h"
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

/* ---- One array of numbers apart --------------------------------------------------------------- *
 * Nearly all of a search's text are the numbers of its vector. They are read by themselves, and the
 * reader gets the text with an empty array in their place. That holds where no other member can be
 * taken for theirs: the text has no escapes, and the member's name once. */

constexpr size_t apart_rest = 1024; /* bytes of the other text */
constexpr int apart_tries = 4;      /* brackets that are looked at */

struct read_apart {
  std::string_view name; /* of the member */
  int level;             /* of the array, below the member's value: the first of the first */
  const char *begin, *end; /* between the brackets */
};

/* Goes back to the byte that is no blank, and gives it; NUL: there is none. */
char byte_before(const char *text, const char *&at) {
  while (at > text && memchr(" \t\n\r", at[-1], 4))
    at--;
  return at > text ? *--at : '\0';
}

/* Whose value begins with the bracket at `at`, with none but brackets between. */
bool apart_name(const char *text, const char *at, read_apart &out) {
  char byte;
  out.level = -1;
  do {
    out.level++;
    byte = byte_before(text, at);
  } while (byte == '[');
  if (byte != ':' || byte_before(text, at) != '"')
    return false;
  auto quote = static_cast<const char *>(memrchr(text, '"', static_cast<size_t>(at - text)));
  if (quote)
    out.name = std::string_view(quote + 1, static_cast<size_t>(at - quote) - 1);
  return quote != nullptr;
}

bool apart_fits(const read_apart &a, const srv_json_place *places) {
  while (places->member && a.name != places->member)
    places++;
  return places->first <= a.level && a.level <= places->last;
}

/* The first array of numbers that may be kept in one piece. */
bool apart_find(const char *text, const char *end, const srv_json_place *places, read_apart &out,
                srv_decimals &numbers) {
  const char *at = text;
  for (int i = 0; i < apart_tries; i++, at++) {
    at = static_cast<const char *>(memchr(at, '[', static_cast<size_t>(end - at)));
    if (!at)
      return false;
    if (!apart_name(text, at, out) || !apart_fits(out, places))
      continue;
    out.begin = at + 1;
    out.end = srv_decimals_read(out.begin, end, &numbers);
    if (out.end)
      return numbers.n >= read_least && numbers.fraction;
  }
  return false;
}

/* Puts the numbers where the text had them, and takes the reference to them. */
bool apart_put(json_t *object, const read_apart &a, json_t *numbers) {
  json_t *in = nullptr, *at = json_object_getn(object, a.name.data(), a.name.size());
  for (int level = a.level; level > 0; level--) {
    in = at;
    at = json_array_get(at, 0);
  }
  if (!numbers || !json_is_array(at) || json_array_size(at) > 0) {
    json_decref(numbers);
    return false;
  }
  return in ? json_array_set_new(in, 0, numbers) == 0
            : json_object_setn_new(object, a.name.data(), a.name.size(), numbers) == 0;
}

/* NULL: the text is to be read as a whole. */
json_t *read_with_apart(dom::parser &parser, const char *text, size_t n,
                        const srv_json_place *places) {
  alignas(double) char bytes[SRV_NUMBERS_BYTES(read_most)];
  char rest[apart_rest + simdjson::SIMDJSON_PADDING];
  double *to = reinterpret_cast<double *>(bytes + SRV_NUMBERS_AT);
  srv_decimals numbers = {to, read_most, 0, false};
  read_apart a;
  const char *end = text + n;
  if (byte_before(text, end) != '}' || !apart_find(text, ++end, places, a, numbers))
    return nullptr;
  size_t before = static_cast<size_t>(a.begin - text), after = static_cast<size_t>(end - a.end);
  if (before + after > apart_rest)
    return nullptr;
  memcpy(rest, text, before);
  memcpy(rest + before, a.end, after);
  std::string_view all(rest, before + after), quoted(a.name.data() - 1, a.name.size() + 2);
  dom::element root;
  if (all.find('\\') != all.npos || all.find(quoted) != all.rfind(quoted) ||
      parser.parse(rest, before + after, false).get(root) != simdjson::SUCCESS || !root.is_object())
    return nullptr;
  json_t *out = read_members(root.get_object().value_unsafe(), places);
  if (out && !apart_put(out, a, srv_numbers_new(bytes, numbers.n))) {
    json_decref(out);
    return nullptr;
  }
  return out;
}

/* ---- Texts ----------------------------------------------------------------------------------- */

json_t *read_text(const char *text, size_t n, const srv_json_place *places) {
  static thread_local dom::parser kept(read_kept);
  if (n <= read_kept) {
    json_t *out = read_with_apart(kept, text, n, places);
    return out ? out : read_with(kept, text, n, places);
  }
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
