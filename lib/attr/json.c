/*
 * json.c - texts of JSON fields, checked and made compact in one pass; see json.h. Nothing recurs:
 * a level is a bit that says whether it is an object, and where it starts. What is written never
 * gets ahead of what is read, so a text can be made compact where it stands.
 */
#include "attr/json.h"

#include "base/sum.h"

/* A key that was written. */
struct json_slot {
  uint32_t object; /* where its object starts, plus one; 0: an empty slot */
  uint32_t key;    /* where the key does */
};

struct json_pass {
  const uint8_t *at;
  const uint8_t *end;
  uint8_t *text; /* what is written; NULL: only checked */
  size_t n;
  const char *fault; /* NULL: none so far */
  int code;          /* of the fault */
  struct json_slot *slots;
  size_t mask; /* of the slots */
  bool twice;  /* members were blanked: NULs take their places */
  uint32_t depth;
  uint64_t objects[VECDB_MAX_JSON_DEPTH / 64];
  uint32_t starts[VECDB_MAX_JSON_DEPTH];
};

_Static_assert(VECDB_MAX_JSON_DEPTH % 64 == 0, "a bit for each level");

VDB_INTERNAL void vdb_json_keys_fini(struct vdb_json_keys *keys) {
  vdb_free(keys->mem, keys->slots);
}

static bool json_fail(struct json_pass *p, const char *what) {
  p->fault = what;
  p->code = VECDB_ERR_JSON;
  return false;
}

static void json_put(struct json_pass *p, const void *bytes, size_t n) {
  if (p->text)
    memmove(p->text + p->n, bytes, n);
  p->n += n;
}

static int json_peek(struct json_pass *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
    p->at++;
  return p->at < p->end ? *p->at : -1;
}

/* ---- Strings ---- */

static int json_hex(const uint8_t *at, const uint8_t *end) {
  int code = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = end - at > i ? at[i] : 0;
    int digit = c >= '0' && c <= '9'                     ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                         : -1;
    if (digit < 0)
      return -1;
    code = code * 16 + digit;
  }
  return code;
}

/* The character of \uXXXX, or of two for a surrogate pair; *at stands behind the u. */
static int json_unicode(const uint8_t **at, const uint8_t *end) {
  int code = json_hex(*at, end);
  if (code < 0)
    return -1;
  *at += 4;
  if (code < 0xd800 || code > 0xdfff)
    return code;
  int low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? json_hex(*at + 2, end) : -1;
  if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
    return -1;
  *at += 6;
  return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static size_t json_utf8(uint32_t code, uint8_t out[4]) {
  static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
  size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; code >>= 6)
    out[i] = (uint8_t)(0x80 | (code & 0x3f));
  out[0] = (uint8_t)(leads[n] | code);
  return n;
}

static const char json_names[] = "\"\\/bfnrt", json_meanings[] = "\"\\/\b\f\n\r\t";

VDB_INTERNAL size_t vdb_json_unescape(const uint8_t **at, const uint8_t *end, uint8_t out[4]) {
  int c = *at < end ? *(*at)++ : 0;
  const char *known = c && c != 'u' ? strchr(json_names, c) : NULL;
  int code = known ? json_meanings[known - json_names] : c == 'u' ? json_unicode(at, end) : -1;
  return code < 0 ? 0 : json_utf8((uint32_t)code, out);
}

/* One character of a string, escaped if it must be. */
static void json_put_character(struct json_pass *p, const uint8_t *bytes, size_t n) {
  static const char digits[] = "0123456789abcdef";
  uint8_t c = bytes[0];
  const char *known = c && c != '/' ? strchr(json_meanings, c) : NULL;
  if (known)
    json_put(p, (const uint8_t[]){'\\', (uint8_t)json_names[known - json_meanings]}, 2);
  else if (c < 0x20)
    json_put(p, (const char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
  else
    json_put(p, bytes, n);
}

static bool json_string(struct json_pass *p) {
  json_put(p, p->at++, 1);
  while (p->at < p->end && *p->at != '"') {
    const uint8_t *from = p->at;
    while (p->at < p->end && *p->at != '"' && *p->at != '\\' && *p->at >= 0x20)
      p->at++;
    json_put(p, from, (size_t)(p->at - from));
    if (p->at == p->end || *p->at == '"')
      break;
    if (*p->at != '\\')
      return json_fail(p, "a control character in a string");
    uint8_t bytes[4];
    const uint8_t *escape = p->at++;
    size_t n = vdb_json_unescape(&p->at, p->end, bytes);
    if (n == 0) {
      p->at = escape;
      return json_fail(p, "an escape that is none, or half of a surrogate pair");
    }
    json_put_character(p, bytes, n);
  }
  if (p->at == p->end)
    return json_fail(p, "a string without end");
  json_put(p, p->at++, 1);
  return true;
}

/* ---- Keys that come twice ---- */

/* Behind a string that was written, which starts at `at`. */
static size_t json_past_string(const uint8_t *text, size_t at) {
  for (at++; text[at] != '"'; at++)
    at += text[at] == '\\';
  return at + 1;
}

/* Makes NULs of the member whose key was written at `at`, and of the comma behind it, which is
   there: a later member was written. */
static void json_blank(struct json_pass *p, size_t at) {
  size_t depth = 0, to = at;
  while (depth || p->text[to] != ',') {
    uint8_t c = p->text[to];
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    to = c == '"' ? json_past_string(p->text, to) : to + 1;
  }
  memset(p->text + at, 0, to + 1 - at);
  p->twice = true;
}

/* Enters the key that was just written, from `key` on; another of its object makes way. */
static void json_enter(struct json_pass *p, size_t key) {
  uint32_t object = p->starts[p->depth - 1] + 1;
  size_t n = p->n - key;
  /* The seed makes a flood of chosen keys miss: the table's address is not known outside. */
  uint64_t seed = (uint64_t)(uintptr_t)p->slots ^ ((uint64_t)object << 32);
  size_t at = vdb_hash64_seed(p->text + key, n, seed) & p->mask;
  for (; p->slots[at].object; at = (at + 1) & p->mask) {
    const struct json_slot *slot = &p->slots[at];
    if (slot->object == object && p->n - slot->key > n &&
        memcmp(p->text + slot->key, p->text + key, n) == 0) {
      json_blank(p, slot->key);
      break;
    }
  }
  p->slots[at] = (struct json_slot){object, (uint32_t)key};
}

/* ---- Values ---- */

static bool json_digits(struct json_pass *p) {
  const uint8_t *from = p->at;
  while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
    p->at++;
  return p->at > from;
}

static bool json_number(struct json_pass *p) {
  const uint8_t *from = p->at;
  p->at += *p->at == '-';
  bool zero = p->at < p->end && *p->at == '0';
  if (zero)
    p->at++;
  bool good = zero || json_digits(p);
  if (good && p->at < p->end && *p->at == '.') {
    p->at++;
    good = json_digits(p);
  }
  if (good && p->at < p->end && (*p->at | 0x20) == 'e') {
    p->at++;
    p->at += p->at < p->end && (*p->at == '+' || *p->at == '-');
    good = json_digits(p);
  }
  json_put(p, from, (size_t)(p->at - from));
  return good || json_fail(p, "a number that is none");
}

static bool json_word(struct json_pass *p) {
  static const char *const words[] = {"true", "false", "null"};
  for (size_t i = 0; i < VDB_COUNT(words); i++) {
    size_t n = strlen(words[i]);
    if ((size_t)(p->end - p->at) >= n && memcmp(p->at, words[i], n) == 0) {
      json_put(p, p->at, n);
      p->at += n;
      return true;
    }
  }
  return json_fail(p, "a value is expected");
}

static bool json_in_object(const struct json_pass *p) {
  return p->objects[(p->depth - 1) / 64] >> ((p->depth - 1) % 64) & 1;
}

/* A key and its colon. */
static bool json_key(struct json_pass *p) {
  if (json_peek(p) != '"')
    return json_fail(p, "a key is expected");
  size_t key = p->n;
  if (!json_string(p))
    return false;
  if (p->slots)
    json_enter(p, key);
  if (json_peek(p) != ':')
    return json_fail(p, "':' is expected");
  json_put(p, p->at++, 1);
  return true;
}

/* The start of an object or array; what follows is its first value, unless *closed. */
static bool json_open(struct json_pass *p, bool *closed) {
  bool object = *p->at == '{';
  if (p->depth == VECDB_MAX_JSON_DEPTH) {
    json_fail(p, "it is nested too deep");
    p->code = VECDB_ERR_LIMIT;
    return false;
  }
  uint64_t *word = &p->objects[p->depth / 64], bit = (uint64_t)1 << (p->depth % 64);
  *word = object ? *word | bit : *word & ~bit;
  p->starts[p->depth++] = (uint32_t)p->n;
  json_put(p, p->at++, 1);
  *closed = json_peek(p) == (object ? '}' : ']');
  return *closed || !object || json_key(p);
}

/* What follows a value, up to where the next one starts; *more is false when there is none. */
static bool json_after(struct json_pass *p, bool *more) {
  for (*more = true; p->depth; p->depth--) {
    bool object = json_in_object(p);
    int c = json_peek(p);
    if (c == ',') {
      json_put(p, p->at++, 1);
      return !object || json_key(p);
    }
    if (c != (object ? '}' : ']'))
      return json_fail(p, object ? "',' or '}' is expected" : "',' or ']' is expected");
    json_put(p, p->at++, 1);
  }
  *more = false;
  return true;
}

static bool json_run(struct json_pass *p) {
  bool more = true;
  while (more) {
    int c = json_peek(p);
    bool closed = true, good;
    if (c == '{' || c == '[')
      good = json_open(p, &closed);
    else if (c == '"')
      good = json_string(p);
    else if (c == '-' || (c >= '0' && c <= '9'))
      good = json_number(p);
    else
      good = json_word(p);
    if (!good || (closed && !json_after(p, &more)))
      return false;
  }
  return json_peek(p) < 0 || json_fail(p, "more follows the value");
}

static int json_pass(struct json_pass *p, const struct vdb_field *field, int64_t row,
                     vecdb_error *err) {
  const uint8_t *start = p->at;
  if (!vdb_utf8_valid((const char *)start, (size_t)(p->end - start)))
    return vdb_fail_at(err, VECDB_ERR_UTF8, row, field->name,
                       "a JSON text of field '%s' is not valid UTF-8 or holds a NUL byte",
                       field->name);
  if (json_run(p))
    return VECDB_OK;
  return vdb_fail_at(err, p->code, row, field->name,
                     "a text of field '%s' is no JSON at byte %zu: %s",
                     field->name, (size_t)(p->at - start), p->fault);
}

VDB_INTERNAL int vdb_json_check(const struct vdb_field *field, const uint8_t *text, size_t n,
                                int64_t row, vecdb_error *err) {
  struct json_pass p = {.at = text, .end = text + n};
  return json_pass(&p, field, row, err);
}

/* Empty slots for the keys of a text, twice as many as can be. */
static int json_keys_reset(struct vdb_json_keys *keys, struct json_pass *p, vecdb_error *err) {
  size_t most = 0, n = 4;
  for (const uint8_t *at = p->at; at < p->end; at++)
    most += *at == ':';
  if (most < 2)
    return VECDB_OK;
  while (n < 2 * most)
    n *= 2;
  if (!VDB_GROW(keys->mem, keys->slots, keys->capacity, n))
    return vdb_fail_memory(err);
  memset(keys->slots, 0, n * sizeof *keys->slots);
  p->slots = keys->slots;
  p->mask = n - 1;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_json_compact(struct vdb_json_keys *keys, const struct vdb_field *field,
                                  uint8_t *text, size_t *n, int64_t row, vecdb_error *err) {
  struct json_pass p = {.at = text, .end = text + *n, .text = text};
  VDB_TRY(json_keys_reset(keys, &p, err));
  VDB_TRY(json_pass(&p, field, row, err));
  if (!p.twice) {
    *n = p.n;
    return VECDB_OK;
  }
  *n = 0;
  for (size_t i = 0; i < p.n; i++)
    if (text[i])
      text[(*n)++] = text[i];
  return VECDB_OK;
}
