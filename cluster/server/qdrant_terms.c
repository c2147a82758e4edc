/*
 * qdrant_terms.c - what filters can ask of a payload, as a set of short strings; see qdrant.h. A
 * payload has no schema, and the library's collections do: so each value in it becomes a term that
 * says where it is and what, and a condition becomes a search for terms.
 *
 * A term is its kind, the length of the path, a colon, the path, and the value:
 *   s string   of at most TERMS_PLAIN bytes      h the 128-bit hash of a longer one
 *   i integer  in decimal          b 0 or 1
 *   n number   16 of them: the first 1 to 16 hex digits of its rank among doubles
 *              (srv_qdrant_order), so that a range is a union of few prefixes
 *   !          there is a value    0  it is null      v  the point has the vector of that name
 */
#define XXH_INLINE_ALL
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "server/qdrant.h"

enum { TERMS_PLAIN = 64, TERMS_DIGITS = 16, TERMS_PATH = 1024 };

/* ---- Terms ----------------------------------------------------------------------------------- */

static bool terms_append(struct srv_qdrant_terms *t, const char *text, size_t n) {
  if (t->n == t->room) {
    size_t room = t->room ? 2 * t->room : 32;
    vecdb_string *list = srv_arena_array(&t->call->arena, room, sizeof *list);
    if (!list) {
      srv_call_no_memory(t->call);
      return false;
    }
    if (t->n)
      memcpy(list, t->list, t->n * sizeof *list);
    t->list = list;
    t->room = room;
  }
  t->list[t->n++] = (vecdb_string){text, n};
  return true;
}

bool srv_qdrant_term(struct srv_qdrant_terms *t, char kind, const char *path, size_t n_path,
                     const char *value) {
  size_t room = n_path + strlen(value) + 16;
  char *text = srv_arena_take(&t->call->arena, room);
  if (!text) {
    srv_call_no_memory(t->call);
    return false;
  }
  int n = snprintf(text, room, "%c%zu:%.*s%s", kind, n_path, (int)n_path, path, value);
  return terms_append(t, text, (size_t)n);
}

static bool terms_string(struct srv_qdrant_terms *t, const char *path, size_t n_path,
                         json_t *value) {
  char hash[2 + 2 * TERMS_DIGITS + 1];
  const char *text = json_string_value(value);
  size_t n = json_string_length(value);
  if (n <= TERMS_PLAIN)
    return srv_qdrant_term(t, 's', path, n_path, text);
  XXH128_hash_t h = XXH3_128bits(text, n);
  snprintf(hash, sizeof hash, "%016llx%016llx", (unsigned long long)h.high64,
           (unsigned long long)h.low64);
  return srv_qdrant_term(t, 'h', path, n_path, hash);
}

uint64_t srv_qdrant_order(double number) {
  uint64_t bits;
  number += 0.0; /* -0 and 0 are one */
  memcpy(&bits, &number, sizeof bits);
  return bits >> 63 ? ~bits : bits | 1ull << 63;
}

/* The first `digits` hex digits of a rank. */
static bool terms_prefix(struct srv_qdrant_terms *t, const char *path, size_t n_path, uint64_t rank,
                         int digits) {
  char text[TERMS_DIGITS + 1];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)rank);
  text[digits] = '\0';
  return srv_qdrant_term(t, 'n', path, n_path, text);
}

static bool terms_number(struct srv_qdrant_terms *t, const char *path, size_t n_path,
                         json_t *value) {
  char text[32];
  uint64_t rank = srv_qdrant_order(json_number_value(value));
  snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
  if (json_is_integer(value) && !srv_qdrant_term(t, 'i', path, n_path, text))
    return false;
  for (int digits = 1; digits <= TERMS_DIGITS; digits++)
    if (!terms_prefix(t, path, n_path, rank, digits))
      return false;
  return true;
}

bool srv_qdrant_term_match(struct srv_qdrant_terms *t, const char *path, json_t *value) {
  char text[32];
  size_t n = strlen(path);
  if (json_is_string(value))
    return terms_string(t, path, n, value);
  if (json_is_boolean(value))
    return srv_qdrant_term(t, 'b', path, n, json_is_true(value) ? "1" : "0");
  if (json_is_integer(value)) {
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    return srv_qdrant_term(t, 'i', path, n, text);
  }
  srv_call_fail(t->call, 400, "TYPE", "a match is with a string, an integer or a boolean");
  return false;
}

bool srv_qdrant_term_range(struct srv_qdrant_terms *t, const char *path, uint64_t low,
                           uint64_t high) {
  for (;;) {
    /* The widest block of ranks with one prefix that begins at `low` and ends by `high`. */
    int digits = TERMS_DIGITS;
    uint64_t size = 1;
    while (digits > 1 && low % (16 * size) == 0 && high - low >= 16 * size - 1) {
      size *= 16;
      digits--;
    }
    if (!terms_prefix(t, path, strlen(path), low, digits))
      return false;
    if (high - low < size)
      return true;
    low += size;
  }
}

/* ---- Payloads -------------------------------------------------------------------------------- */

struct terms_walk {
  struct srv_qdrant_terms *terms;
  char path[TERMS_PATH];
  unsigned depth;
};

static bool terms_value(struct terms_walk *w, size_t n, json_t *value);

/* Adds a key to the path of n bytes; keys that would look like a path are quoted, as in filters. */
static bool terms_step(struct terms_walk *w, size_t *n, const char *key) {
  const char *quote = *key == '\0' || strpbrk(key, ".[]\"") ? "\"" : "";
  int more =
      snprintf(w->path + *n, sizeof w->path - *n, "%s%s%s%s", *n ? "." : "", quote, key, quote);
  if (more >= 0 && *n + (size_t)more + 2 < sizeof w->path && w->depth < QDRANT_DEPTH) {
    *n += (size_t)more;
    return true;
  }
  srv_call_fail(w->terms->call, 400, "LIMIT",
                "payloads may be nested %d deep, with paths of %d bytes", QDRANT_DEPTH,
                TERMS_PATH - 2);
  return false;
}

static bool terms_object(struct terms_walk *w, size_t n, json_t *object) {
  const char *key;
  json_t *value;
  w->depth++;
  json_object_foreach(object, key, value) {
    size_t end = n;
    if (!terms_step(w, &end, key) || !terms_value(w, end, value))
      return false;
  }
  w->depth--;
  return true;
}

static bool terms_scalar(struct terms_walk *w, size_t n, json_t *value) {
  struct srv_qdrant_terms *t = w->terms;
  if (json_is_string(value))
    return terms_string(t, w->path, n, value);
  if (json_is_number(value))
    return terms_number(t, w->path, n, value);
  if (json_is_boolean(value))
    return srv_qdrant_term(t, 'b', w->path, n, json_is_true(value) ? "1" : "0");
  return true;
}

/* Elements stand at the array's own path, members of their objects at PATH[].KEY. */
static bool terms_array(struct terms_walk *w, size_t n, json_t *array) {
  for (size_t i = 0; i < json_array_size(array); i++) {
    json_t *value = json_array_get(array, i);
    if (!json_is_object(value) && !json_is_array(value)) {
      if (!terms_scalar(w, n, value))
        return false;
      continue;
    }
    size_t end = n;
    memcpy(w->path + end, "[]", 2); /* terms_step left room */
    end += 2;
    bool good = end + 2 < sizeof w->path && w->depth < QDRANT_DEPTH;
    w->depth++;
    if (!good)
      srv_call_fail(w->terms->call, 400, "LIMIT", "the payload is nested too deep");
    if (!good ||
        !(json_is_object(value) ? terms_object(w, end, value) : terms_array(w, end, value)))
      return false;
    w->depth--;
  }
  return true;
}

static bool terms_value(struct terms_walk *w, size_t n, json_t *value) {
  struct srv_qdrant_terms *t = w->terms;
  if (json_is_null(value))
    return srv_qdrant_term(t, QDRANT_IS_NULL, w->path, n, "");
  bool empty = json_is_array(value) && json_array_size(value) == 0;
  if (!empty && !srv_qdrant_term(t, QDRANT_IS_THERE, w->path, n, ""))
    return false;
  if (json_is_object(value))
    return terms_object(w, n, value);
  if (json_is_array(value))
    return terms_array(w, n, value);
  return terms_scalar(w, n, value);
}

bool srv_qdrant_terms_of(struct srv_qdrant_terms *terms, json_t *payload) {
  struct terms_walk walk = {.terms = terms};
  if (!terms_object(&walk, 0, payload))
    return false;
  if (terms->n <= VECDB_MAX_ARRAY)
    return true;
  srv_call_fail(terms->call, 400, "LIMIT",
                "a payload may have %d values to filter by, counting a number as 18",
                VECDB_MAX_ARRAY);
  return false;
}
