/*
 * filter_json.c - values inside JSON texts, found anew for each row: from the text, along the keys
 * and places of a path, to one value. No memory is taken and nothing recurs. Texts of JSON fields
 * are compact (json.h), but nothing is trusted: in a VARCHAR field anything may stand. A text that
 * is no JSON holds no values; how much of it is looked at depends on where the path leads.
 */
#include <stdio.h>
#include <stdlib.h>

#include "attr/filter_tree.h"
#include "attr/json.h"
#include "attr/json_path.h"

enum {
  FILTER_JSON_DIGITS = 64,  /* of a number; later ones only count for its size */
  FILTER_JSON_EXACT = 15,   /* digits that a double holds, whichever they are */
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

/* Passes over what is neither a quote nor a backslash, eight bytes at a time while there are. */
static const uint8_t *filter_json_plain(const uint8_t *at, const uint8_t *end) {
  const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
  while (end - at >= 8) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    uint64_t quote = word ^ (ones * '"'), back = word ^ (ones * '\\');
    uint64_t hit = (((quote - ones) & ~quote) | ((back - ones) & ~back)) & high;
    if (hit) /* its lowest bit is of the first one */
      return at + __builtin_ctzll(hit) / 8;
    at += 8;
  }
  while (at < end && *at != '"' && *at != '\\')
    at++;
  return at;
}

/* What is between the quotes of a string; *escapes: there are backslashes in it. */
static bool filter_json_string(struct filter_json *j, struct vdb_bytes *out, bool *escapes) {
  if (!filter_json_take(j, '"'))
    return false;
  out->data = j->at;
  *escapes = false;
  for (;;) {
    j->at = filter_json_plain(j->at, j->end);
    if (j->at == j->end)
      return false;
    if (*j->at == '"')
      break;
    *escapes = true;
    if (++j->at == j->end)
      return false;
    j->at++;
  }
  out->n = (size_t)(j->at++ - out->data);
  return true;
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

/* The text that a string with escapes stands for, in `scratch` of FILTER_JSON_TEXT bytes; false
   when it does not fit or is malformed. */
static bool filter_json_decode(struct vdb_bytes raw, uint8_t *scratch, struct vdb_bytes *out) {
  const uint8_t *at = raw.data, *end = raw.data + raw.n;
  out->data = scratch;
  out->n = 0;
  while (at < end) {
    uint8_t bytes[4] = {*at++};
    size_t n = 1;
    if (bytes[0] == '\\')
      n = vdb_json_unescape(&at, end, bytes);
    if (n == 0 || n > FILTER_JSON_TEXT - out->n)
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

/* A number that is written without point and exponent and fits; else nothing is read. */
static bool filter_json_integer(struct filter_json *j, int64_t *out) {
  const uint8_t *at = j->at;
  bool minus = at < j->end && *at == '-', fits = true;
  const uint8_t *first = at += minus;
  int64_t value = 0;
  for (; at < j->end && filter_json_digit(*at) && fits; at++) /* below zero there is more room */
    fits = !__builtin_mul_overflow(value, (int64_t)10, &value) &&
           !__builtin_sub_overflow(value, (int64_t)(*at - '0'), &value);
  if (!fits || at == first || (!minus && value == INT64_MIN) ||
      (at < j->end && (*at == '.' || (*at | 0x20) == 'e')))
    return false;
  j->at = at;
  *out = minus ? value : -value;
  return true;
}

/* A number as its sign and first digits, n characters, and a power of ten. */
struct filter_json_decimal {
  char digits[FILTER_JSON_DIGITS + 24]; /* room for an exponent behind them */
  size_t n;
  uint64_t mantissa; /* of the digits, while n is up to FILTER_JSON_EXACT */
  long power;
};

static void filter_json_exponent(struct filter_json *j, struct filter_json_decimal *d) {
  long exponent = 0;
  bool minus = ++j->at < j->end && *j->at == '-';
  j->at += j->at < j->end && (*j->at == '-' || *j->at == '+');
  for (; j->at < j->end && filter_json_digit(*j->at); j->at++)
    exponent = exponent < FILTER_JSON_POWER ? exponent * 10 + (*j->at - '0') : exponent;
  d->power += minus ? -exponent : exponent;
}

static bool filter_json_decimal(struct filter_json *j, struct filter_json_decimal *d) {
  bool any = false, point = false;
  if (j->at < j->end && *j->at == '-')
    d->digits[d->n++] = (char)*j->at++;
  for (; j->at < j->end && (filter_json_digit(*j->at) || (*j->at == '.' && !point)); j->at++) {
    if (*j->at == '.') {
      point = true;
      continue;
    }
    any = true;
    if (d->n < FILTER_JSON_DIGITS) {
      d->digits[d->n++] = (char)*j->at;
      d->mantissa = d->n <= FILTER_JSON_EXACT ? d->mantissa * 10 + (uint64_t)(*j->at - '0') : 0;
      d->power -= point;
    } else {
      d->power += !point;
    }
  }
  if (any && j->at < j->end && (*j->at | 0x20) == 'e')
    filter_json_exponent(j, d);
  return any;
}

/* Few digits and a small power of ten are doubles themselves, and so one operation rounds as it
   should. Others go to strtod, as an integer with an exponent: without a point, locales do not
   matter. */
static bool filter_json_number(struct filter_json *j, double *out) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const long most = (long)VDB_COUNT(powers) - 1;
  struct filter_json_decimal d;
  d.n = 0;
  d.mantissa = 0;
  d.power = 0;
  if (!filter_json_decimal(j, &d))
    return false;
  if (d.n <= FILTER_JSON_EXACT && d.power >= -most && d.power <= most) {
    double whole = (double)d.mantissa;
    *out = d.power < 0 ? whole / powers[-d.power] : whole * powers[d.power];
    *out = d.digits[0] == '-' ? -*out : *out;
    return true;
  }
  snprintf(d.digits + d.n, sizeof d.digits - d.n, "e%ld", d.power);
  *out = strtod(d.digits, NULL);
  return *out - *out == 0;
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
    v.known = filter_json_integer(j, &v.as.integer);
    if (v.known)
      break;
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

/* As filter_json_find, along packed steps. */
static bool filter_json_follow(const uint8_t *steps, size_t n_steps, struct filter_json *j,
                               uint8_t *scratch) {
  const uint8_t *end = steps + n_steps;
  struct vdb_json_step step;
  while (vdb_json_path_step(&steps, end, &step)) {
    struct vdb_bytes key = {step.key, step.n};
    if (!(step.place ? filter_json_place(j, step.n) : filter_json_member(j, key, scratch)))
      return false;
  }
  return filter_json_peek(j) >= 0;
}

VDB_INTERNAL struct filter_value vdb_filter_json_at(const uint8_t *steps, size_t n_steps, int type,
                                                    struct vdb_bytes text, uint8_t *scratch) {
  struct filter_json j = {text.data, text.data + text.n};
  struct filter_value v = {false, {0}};
  bool there = filter_json_follow(steps, n_steps, &j, scratch);
  return there ? filter_json_value(&j, type, scratch) : v;
}

VDB_INTERNAL bool vdb_filter_json_there(const uint8_t *steps, size_t n_steps,
                                        struct vdb_bytes text, uint8_t *scratch) {
  struct filter_json j = {text.data, text.data + text.n};
  return filter_json_follow(steps, n_steps, &j, scratch) && !filter_json_word(&j, "null");
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

/* Which of a set are among the elements of an array, `found` of them; of a set of which one is
   wanted, the first. *n: how many elements were looked at. False: it is no array. */
static bool filter_json_elements(const struct vdb_filter *filter, const struct filter_set *set,
                                 bool all, struct filter_json *j, uint8_t *scratch, uint32_t *n,
                                 uint32_t *found) {
  uint64_t seen[VECDB_MAX_VARCHAR / 64 + 1]; /* an element takes a byte at least */
  uint32_t room = set ? vdb_min_u32(set->n, VECDB_MAX_VARCHAR) : 0;
  *n = *found = 0;
  if (!filter_json_take(j, '['))
    return false;
  if (all)
    memset(seen, 0, (room + 63) / 64 * sizeof *seen);
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
    if (member == FILTER_NONE)
      continue;
    if (!all) {
      ++*found;
      return true;
    }
    if (member < room && !(seen[member / 64] >> (member % 64) & 1)) {
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
  bool all = node->cmp == FILTER_JSON_ALL;
  v.known = filter_json_elements(filter, set, all, &j, scratch, &n, &found);
  if (node->cmp == FILTER_JSON_LENGTH)
    v.as.integer = n;
  else
    v.as.integer = all ? found == set->n : found > 0;
  return v;
}
