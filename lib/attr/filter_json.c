/*
 * filter_json.c - values inside JSON texts, found anew for each row: from the text, along the keys
 * and places of a path, to one value. No memory is taken and nothing recurs. A text that is no JSON
 * holds no values; how much of it is looked at depends on where the path leads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "attr/filter_tree.h"

enum {
  FILTER_JSON_DIGITS = 64,  /* of a number; later ones only count for its size */
  FILTER_JSON_POWER = 99999 /* bounds exponents before they are added */
};

struct filter_json {
  const uint8_t *at;
  const uint8_t *end;
};

/* ---- Walking ---- */

static int filter_json_peek(struct filter_json *j) {
  while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
    j->at++;
  return j->at < j->end ? *j->at : -1;
}

static bool filter_json_take(struct filter_json *j, int wanted) {
  if (filter_json_peek(j) != wanted)
    return false;
  j->at++;
  return true;
}

/* What is between the quotes of a string; *escapes: there are backslashes in it. */
static bool filter_json_string(struct filter_json *j, struct vdb_bytes *out, bool *escapes) {
  if (!filter_json_take(j, '"'))
    return false;
  out->data = j->at;
  *escapes = false;
  for (; j->at < j->end && *j->at != '"'; j->at++)
    if (*j->at == '\\') {
      *escapes = true;
      if (++j->at == j->end)
        return false;
    }
  out->n = (size_t)(j->at - out->data);
  return filter_json_take(j, '"');
}

/* Passes over a value: brackets are counted, not matched with each other. */
static bool filter_json_skip(struct filter_json *j) {
  struct vdb_bytes text;
  size_t depth = 0;
  bool escapes;
  do {
    int c = filter_json_peek(j);
    if (c < 0)
      return false;
    if (c == '"') {
      if (!filter_json_string(j, &text, &escapes))
        return false;
      continue;
    }
    if (depth == 0 && (c == ',' || c == ':' || c == ']' || c == '}'))
      return false;
    depth += c == '[' || c == '{';
    depth -= c == ']' || c == '}';
    j->at++;
    while (depth == 0 && j->at < j->end && *j->at > ' ' && *j->at != ',' && *j->at != ']' &&
           *j->at != '}' && c != ']' && c != '}')
      j->at++;
  } while (depth);
  return true;
}

/* ---- Strings ---- */

static int filter_json_hex(const uint8_t *at, const uint8_t *end) {
  int code = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t c = at + i < end ? at[i] : 0;
    int digit = c >= '0' && c <= '9'                   ? c - '0'
                : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                       : -1;
    if (digit < 0)
      return -1;
    code = code * 16 + digit;
  }
  return code;
}

/* The character of \uXXXX, or of two for a surrogate pair; *at stands behind the u. */
static int filter_json_unicode(const uint8_t **at, const uint8_t *end) {
  int code = filter_json_hex(*at, end);
  if (code < 0)
    return -1;
  *at += 4;
  if (code < 0xd800 || code > 0xdfff)
    return code;
  int low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? filter_json_hex(*at + 2, end)
                                                                   : -1;
  if (code > 0xdbff || low < 0xdc00 || low > 0xdfff)
    return -1;
  *at += 6;
  return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
}

static size_t filter_json_utf8(uint32_t code, uint8_t out[4]) {
  static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
  size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; code >>= 6)
    out[i] = (uint8_t)(0x80 | (code & 0x3f));
  out[0] = (uint8_t)(leads[n] | code);
  return n;
}

/* The text that a string with escapes stands for, in `scratch` of FILTER_JSON_TEXT bytes; false
   when it does not fit or is malformed. */
static bool filter_json_decode(struct vdb_bytes raw, uint8_t *scratch, struct vdb_bytes *out) {
  static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const uint8_t *at = raw.data, *end = raw.data + raw.n;
  out->data = scratch;
  out->n = 0;
  while (at < end) {
    uint8_t bytes[4] = {*at++};
    size_t n = 1;
    if (bytes[0] == '\\') {
      int c = at < end ? *at++ : 0;
      const char *known = c && c != 'u' ? strchr(names, c) : NULL;
      int code = known ? meanings[known - names] : c == 'u' ? filter_json_unicode(&at, end) : -1;
      if (code < 0)
        return false;
      n = filter_json_utf8((uint32_t)code, bytes);
    }
    if (n > FILTER_JSON_TEXT - out->n)
      return false;
    memcpy(scratch + out->n, bytes, n);
    out->n += n;
  }
  return true;
}

static bool filter_json_text(struct filter_json *j, uint8_t *scratch, struct vdb_bytes *out) {
  struct vdb_bytes raw;
  bool escapes;
  if (!filter_json_string(j, &raw, &escapes))
    return false;
  *out = raw;
  return !escapes || (scratch && filter_json_decode(raw, scratch, out));
}

/* ---- Paths ---- */

/* To the value of a key; false when there is none. */
static bool filter_json_member(struct filter_json *j, struct vdb_bytes key, uint8_t *scratch) {
  if (!filter_json_take(j, '{'))
    return false;
  while (filter_json_peek(j) == '"') {
    struct vdb_bytes raw, name;
    bool escapes;
    if (!filter_json_string(j, &raw, &escapes) || !filter_json_take(j, ':'))
      return false;
    name = raw;
    bool good = !escapes || (scratch && filter_json_decode(raw, scratch, &name));
    if (good && name.n == key.n && (key.n == 0 || memcmp(name.data, key.data, key.n) == 0))
      return true;
    if (!filter_json_skip(j) || !filter_json_take(j, ','))
      return false;
  }
  return false;
}

static bool filter_json_place(struct filter_json *j, int64_t place) {
  if (!filter_json_take(j, '['))
    return false;
  for (int64_t i = 0; i < place; i++)
    if (filter_json_peek(j) == ']' || !filter_json_skip(j) || !filter_json_take(j, ','))
      return false;
  return filter_json_peek(j) != ']';
}

static bool filter_json_find(const struct vdb_filter *filter, uint32_t step, struct filter_json *j,
                             uint8_t *scratch) {
  for (; step != FILTER_NONE; step = filter->nodes[step].next) {
    const struct filter_node *node = &filter->nodes[step];
    bool there = node->type == FILTER_TEXT
                     ? filter_json_member(j, filter_text_bytes(filter->pool.data, node->low.text),
                                          scratch)
                     : filter_json_place(j, node->low.integer);
    if (!there)
      return false;
  }
  return filter_json_peek(j) >= 0;
}

/* ---- Values ---- */

static bool filter_json_word(struct filter_json *j, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
    return false;
  j->at += n;
  return true;
}

static bool filter_json_digit(uint8_t c) {
  return c >= '0' && c <= '9';
}

/* strtod gets the digits as an integer with an exponent: without a point, locales do not matter. */
static bool filter_json_number(struct filter_json *j, double *out) {
  char digits[FILTER_JSON_DIGITS + 24];
  size_t n = 0;
  long power = 0, exponent = 0;
  bool any = false, point = false;
  if (j->at < j->end && *j->at == '-')
    digits[n++] = (char)*j->at++;
  for (; j->at < j->end && (filter_json_digit(*j->at) || (*j->at == '.' && !point)); j->at++) {
    if (*j->at == '.') {
      point = true;
      continue;
    }
    any = true;
    if (n < FILTER_JSON_DIGITS) {
      digits[n++] = (char)*j->at;
      power -= point;
    } else {
      power += !point;
    }
  }
  if (any && j->at < j->end && (*j->at | 0x20) == 'e') {
    bool minus = ++j->at < j->end && *j->at == '-';
    j->at += j->at < j->end && (*j->at == '-' || *j->at == '+');
    for (; j->at < j->end && filter_json_digit(*j->at); j->at++)
      exponent = exponent < FILTER_JSON_POWER ? exponent * 10 + (*j->at - '0') : exponent;
    power += minus ? -exponent : exponent;
  }
  snprintf(digits + n, sizeof digits - n, "e%ld", power);
  *out = strtod(digits, NULL);
  return any && *out - *out == 0;
}

/* The value as what a set or an operator wants. */
static struct filter_value filter_json_value(struct filter_json *j, int type, uint8_t *scratch) {
  struct filter_value v = {false, {0}};
  double number;
  switch (type) {
  case FILTER_TEXT:
    v.known = filter_json_text(j, scratch, &v.as.text);
    break;
  case FILTER_BOOL:
    v.as.integer = *j->at == 't';
    v.known = filter_json_word(j, "true") || filter_json_word(j, "false");
    break;
  case FILTER_INT:
    v.known = filter_json_number(j, &number) && number >= -0x1p53 && number <= 0x1p53 &&
              (double)(int64_t)number == number;
    v.as.integer = v.known ? (int64_t)number : 0;
    break;
  default:
    v.known = filter_json_number(j, &v.as.number);
    break;
  }
  return v;
}

static uint32_t filter_json_in(const struct vdb_filter *filter, const struct filter_set *set,
                               struct filter_value v) {
  if (!v.known)
    return FILTER_NONE;
  if (set->type == FILTER_TEXT)
    return vdb_filter_set_text(set, filter->pool.data, v.as.text);
  return set->type == FILTER_DOUBLE ? vdb_filter_set_double(set, v.as.number)
                                    : vdb_filter_set_int(set, v.as.integer);
}

/* Goes through the elements of an array: how many they are, and which of a set are among them.
   False: it is no array. */
static bool filter_json_elements(const struct vdb_filter *filter, const struct filter_set *set,
                                 struct filter_json *j, uint8_t *scratch, uint32_t *n,
                                 uint32_t *found) {
  uint64_t seen[VECDB_MAX_VARCHAR / 64 + 1] = {0}; /* an element takes a byte at least */
  *n = *found = 0;
  if (!filter_json_take(j, '['))
    return false;
  if (filter_json_take(j, ']'))
    return true;
  do {
    struct filter_json element = *j;
    filter_json_peek(&element);
    if (!filter_json_skip(j))
      return false;
    ++*n;
    uint32_t member = FILTER_NONE;
    if (set)
      member = filter_json_in(filter, set, filter_json_value(&element, set->type, scratch));
    if (member < VECDB_MAX_VARCHAR && !(seen[member / 64] >> (member % 64) & 1)) {
      seen[member / 64] |= (uint64_t)1 << (member % 64);
      ++*found;
    }
  } while (filter_json_take(j, ','));
  return filter_json_take(j, ']');
}

VDB_INTERNAL struct filter_value vdb_filter_json(const struct vdb_filter *filter,
                                                 const struct filter_node *node,
                                                 struct vdb_bytes text, uint8_t *scratch) {
  struct filter_json j = {text.data, text.data + text.n};
  struct filter_value v = {false, {0}};
  bool there = filter_json_find(filter, node->right, &j, scratch);
  if (node->cmp == FILTER_JSON_NULL) {
    v.known = true;
    v.as.integer = (!there || filter_json_word(&j, "null")) != node->negate;
    return v;
  }
  if (!there)
    return v;
  if (node->cmp == FILTER_JSON_VALUE)
    return filter_json_value(&j, node->type, scratch);
  const struct filter_set *set =
      node->cmp == FILTER_JSON_LENGTH ? NULL : &filter->sets[node->index];
  uint32_t n, found;
  v.known = filter_json_elements(filter, set, &j, scratch, &n, &found);
  if (node->cmp == FILTER_JSON_LENGTH)
    v.as.integer = n;
  else
    v.as.integer = node->cmp == FILTER_JSON_ALL ? found == set->n : found > 0;
  return v;
}
