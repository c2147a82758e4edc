/*
 * json_read.c - a reader of JSON by recursive descent; see json_read.h. It gives up on the first
 * thing that is wrong or rare (deep nesting, say), and then Jansson's reader has the word: so
 * errors have its messages, and nothing that it takes is refused.
 */
#include "server/json_read.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { READ_DEPTH = 64, READ_DIGITS = 18, READ_POWERS = 22 };

struct read_text {
  const char *at;
  const char *end; /* where a NUL is */
  int depth;
};

static json_t *read_value(struct read_text *r);

static void read_blanks(struct read_text *r) {
  while (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r')
    r->at++;
}

static bool read_sign(struct read_text *r, char sign) {
  read_blanks(r);
  if (*r->at != sign)
    return false;
  r->at++;
  return true;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* The parts of a number. */
struct read_number {
  uint64_t digits; /* all of them as one number, unless there are more than READ_DIGITS */
  int n_digits;
  int exponent; /* of ten, that the digits are to be multiplied by */
  bool negative, real;
};

static bool read_digit(const char *c) {
  return *c >= '0' && *c <= '9';
}

/* False: no digits where some must be. */
static bool read_digits(struct read_text *r, struct read_number *number) {
  const char *from = r->at;
  for (; read_digit(r->at); r->at++) {
    if (number->n_digits < READ_DIGITS)
      number->digits = 10 * number->digits + (uint64_t)(*r->at - '0');
    number->n_digits += number->n_digits > 0 || *r->at != '0';
  }
  return r->at > from;
}

static bool read_exponent(struct read_text *r, struct read_number *number) {
  bool negative = *r->at == '-';
  int exponent = 0;
  if (negative || *r->at == '+')
    r->at++;
  if (!read_digit(r->at))
    return false;
  for (; read_digit(r->at); r->at++)
    exponent = exponent < 1000 ? 10 * exponent + (*r->at - '0') : exponent;
  number->exponent += negative ? -exponent : exponent;
  return true;
}

static bool read_number_parts(struct read_text *r, struct read_number *number) {
  number->negative = *r->at == '-';
  r->at += number->negative;
  if (*r->at == '0' && read_digit(r->at + 1))
    return false;
  if (!read_digits(r, number))
    return false;
  if (*r->at == '.') {
    const char *from = ++r->at;
    number->real = true;
    if (!read_digits(r, number))
      return false;
    number->exponent -= (int)(r->at - from < 1000 ? r->at - from : 1000);
  }
  if (*r->at != 'e' && *r->at != 'E')
    return true;
  r->at++;
  number->real = true;
  return read_exponent(r, number);
}

/* Whole numbers below 2^53 and powers of ten up to 10^22 are doubles without error, so one product
   or quotient of them is rounded as the number itself would be. */
static bool read_exact(const struct read_number *number, double *out) {
  static const double powers[READ_POWERS + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  int e = number->exponent;
  if (number->n_digits > READ_DIGITS || number->digits > (uint64_t)1 << 53 || e < -READ_POWERS ||
      e > READ_POWERS)
    return false;
  double whole = (double)number->digits;
  double value = e < 0 ? whole / powers[-e] : whole * powers[e];
  *out = number->negative ? -value : value;
  return true;
}

static json_t *read_number(struct read_text *r) {
  const char *from = r->at;
  struct read_number number = {0};
  double value;
  if (!read_number_parts(r, &number))
    return NULL;
  if (number.real) {
    if (!read_exact(&number, &value))
      value = strtod(from, NULL);
    return json_real(value); /* NULL for one that is too large */
  }
  if (number.n_digits <= READ_DIGITS)
    return json_integer(number.negative ? -(json_int_t)number.digits : (json_int_t)number.digits);
  errno = 0;
  long long integer = strtoll(from, NULL, 10);
  return errno ? NULL : json_integer(integer);
}

/* ---- Strings --------------------------------------------------------------------------------- */

/* Four hexadecimal digits; -1: they are none. */
static long read_hex(const char *text, const char *end) {
  long value = 0;
  if (end - text < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    int c = (unsigned char)text[i] | 0x20;
    if (!read_digit(text + i) && (c < 'a' || c > 'f'))
      return -1;
    value = 16 * value + (read_digit(text + i) ? text[i] - '0' : c - 'a' + 10);
  }
  return value;
}

static char *read_utf8(char *out, unsigned long code) {
  if (code < 0x80) {
    *out++ = (char)code;
    return out;
  }
  int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned char first[] = {0, 0xc0, 0xe0, 0xf0};
  *out++ = (char)(first[more] | code >> (6 * more));
  while (more-- > 0)
    *out++ = (char)(0x80 | ((code >> (6 * more)) & 0x3f));
  return out;
}

/* What follows \u, at *at; false for half a pair, and for a NUL, which strings do not have here. */
static bool read_code(const char **at, const char *end, char **out) {
  long code = read_hex(*at, end);
  if (code <= 0 || (code >= 0xdc00 && code <= 0xdfff))
    return false;
  *at += 4;
  if (code >= 0xd800 && code <= 0xdbff) {
    long low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? read_hex(*at + 2, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
      return false;
    code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
    *at += 6;
  }
  *out = read_utf8(*out, (unsigned long)code);
  return true;
}

/* Writes the string between its quotes without its escapes; its length, or SIZE_MAX. */
static size_t read_escapes(const char *at, const char *end, char *to) {
  static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  char *out = to;
  while (at < end) {
    if (*at != '\\') {
      *out++ = *at++;
      continue;
    }
    const char *name = at + 1 < end && at[1] ? strchr(names, at[1]) : NULL;
    at += 2;
    if (name)
      *out++ = meant[name - names];
    else if (at > end || at[-1] != 'u' || !read_code(&at, end, &out))
      return SIZE_MAX;
  }
  return (size_t)(out - to);
}

/* A string, whose opening quote has been read, as it lies in the text or, with escapes, as a copy
   in *copy, to be freed. NULL: it is none. */
static const char *read_string(struct read_text *r, size_t *n, char **copy) {
  const char *from = r->at;
  bool escapes = false;
  for (; *r->at != '"'; r->at++) {
    if ((unsigned char)*r->at < ' ')
      return NULL; /* the NUL at the end, too */
    if (*r->at == '\\') {
      escapes = true;
      r->at += r->at[1] != '\0';
    }
  }
  *n = (size_t)(r->at++ - from);
  if (!escapes)
    return from;
  *copy = malloc(*n);
  if (!*copy)
    return NULL;
  *n = read_escapes(from, from + *n, *copy);
  return *n == SIZE_MAX ? NULL : *copy;
}

static json_t *read_text_value(struct read_text *r) {
  size_t n;
  char *copy = NULL;
  const char *text = read_string(r, &n, &copy);
  json_t *out = text ? json_stringn(text, n) : NULL; /* NULL when it is no UTF-8 */
  free(copy);
  return out;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* One key and value; false when they are none, or the key is there. */
static bool read_member(struct read_text *r, json_t *object) {
  size_t n;
  char *copy = NULL;
  const char *key = read_sign(r, '"') ? read_string(r, &n, &copy) : NULL;
  bool good = key && !json_object_getn(object, key, n) && read_sign(r, ':');
  json_t *value = good ? read_value(r) : NULL;
  good = value && json_object_setn_new(object, key, n, value) == 0;
  free(copy);
  return good;
}

static bool read_element(struct read_text *r, json_t *array) {
  json_t *value = read_value(r);
  return value && json_array_append_new(array, value) == 0;
}

/* What is between brackets, and the closing one. */
static json_t *read_list(struct read_text *r, json_t *list, char close,
                         bool (*item)(struct read_text *r, json_t *list)) {
  bool good = ++r->depth <= READ_DEPTH && list;
  if (good && !read_sign(r, close)) {
    do
      good = item(r, list);
    while (good && read_sign(r, ','));
    good = good && read_sign(r, close);
  }
  r->depth--;
  if (good)
    return list;
  json_decref(list);
  return NULL;
}

static json_t *read_word(struct read_text *r, const char *word, json_t *value) {
  size_t n = strlen(word);
  if (strncmp(r->at - 1, word, n) != 0)
    return NULL;
  r->at += n - 1;
  return value;
}

static json_t *read_value(struct read_text *r) {
  read_blanks(r);
  switch (*r->at++) {
  case '{':
    return read_list(r, json_object(), '}', read_member);
  case '[':
    return read_list(r, json_array(), ']', read_element);
  case '"':
    return read_text_value(r);
  case 't':
    return read_word(r, "true", json_true());
  case 'f':
    return read_word(r, "false", json_false());
  case 'n':
    return read_word(r, "null", json_null());
  default:
    r->at--;
    return read_number(r);
  }
}

json_t *srv_json_read(const char *text, size_t n, json_error_t *why) {
  struct read_text r = {text, text + n, 0};
  json_t *out = NULL;
  read_blanks(&r);
  if (*r.at == '{' || *r.at == '[')
    out = read_value(&r);
  read_blanks(&r);
  if (out && r.at == r.end)
    return out;
  json_decref(out);
  return json_loadb(text, n, JSON_REJECT_DUPLICATES, why);
}
