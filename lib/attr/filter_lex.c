/*
 * filter_lex.c - the tokens of a filter's text. Strings are unescaped into the filter's pool;
 * numbers are converted without regard to the process's locale.
 */
#include <stdio.h>
#include <stdlib.h>

#include "attr/filter_tree.h"

enum {
  FILTER_LEX_DIGITS = 800,  /* more significant digits cannot change a double */
  FILTER_LEX_NUMBER = 4096, /* characters of a number */
};

static bool filter_lex_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool filter_lex_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int filter_lex_hex(char c) {
  if (filter_lex_digit(c))
    return c - '0';
  char lower = (char)(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static char filter_lex_at(const struct filter_lexer *lexer, uint32_t at) {
  return at < lexer->n ? lexer->text[at] : '\0';
}

VDB_INTERNAL const char *vdb_filter_show(const struct filter_lexer *lexer,
                                         const struct filter_token *token, char *buffer) {
  int length = (int)(token->end - token->pos);
  const char *more = "";
  if (length > 32) {
    length = 29;
    more = "...";
  }
  if (token->kind == FILTER_TOKEN_END)
    snprintf(buffer, FILTER_SHOW, "the end of the filter");
  else if (token->kind == FILTER_TOKEN_STRING)
    snprintf(buffer, FILTER_SHOW, "a string");
  else
    snprintf(buffer, FILTER_SHOW, "'%.*s%s'", length, lexer->text + token->pos, more);
  return buffer;
}

/* Bytes of the well-formed character at `at`, 0 when it is not one. */
static uint32_t filter_lex_utf8(const struct filter_lexer *lexer, uint32_t at) {
  uint8_t lead = (uint8_t)lexer->text[at];
  if (lead < 0x80)
    return lead != 0;
  uint32_t n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return n <= lexer->n - at && vdb_utf8_valid(lexer->text + at, n) ? n : 0;
}

/* Skips letters, digits and _ so that a malformed number is shown whole. */
static int filter_lex_bad_number(struct filter_lexer *lexer, uint32_t start, vecdb_error *err) {
  uint32_t end = start;
  while (end - start < 32 && (filter_lex_letter(filter_lex_at(lexer, end)) ||
                              filter_lex_digit(filter_lex_at(lexer, end))))
    end++;
  int length = (int)(end - start);
  return vdb_fail_pos(err, VECDB_ERR_FILTER, start, "'%.*s' is not a number", length,
                      lexer->text + start);
}

static int filter_lex_integer(struct filter_lexer *lexer, struct filter_token *token, uint32_t base,
                              vecdb_error *err) {
  uint64_t value = 0;
  bool over = false;
  for (uint32_t i = base == 16 ? token->pos + 2 : token->pos; i < token->end; i++) {
    uint64_t digit = (uint64_t)filter_lex_hex(lexer->text[i]);
    over = over || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
           __builtin_add_overflow(value, digit, &value);
  }
  if (over || value > (uint64_t)1 << 63) {
    char shown[FILTER_SHOW];
    return vdb_fail_pos(err, VECDB_ERR_FILTER, token->pos, "%s does not fit a 64-bit integer",
                        vdb_filter_show(lexer, token, shown));
  }
  token->kind = FILTER_TOKEN_INTEGER;
  token->integer = value;
  return VECDB_OK;
}

/*
 * Digits with a point at `point` (token->end: none) and an exponent, as a double. strtod gets the
 * digits as an integer with an exponent: without a point the locale does not matter.
 */
static int filter_lex_float(struct filter_lexer *lexer, struct filter_token *token,
                            uint32_t digits_end, int64_t exponent, vecdb_error *err) {
  char digits[FILTER_LEX_DIGITS + 32];
  size_t n = 0;
  bool after_point = false, lost = false;
  for (uint32_t i = token->pos; i < digits_end; i++) {
    char c = lexer->text[i];
    if (c == '.') {
      after_point = true;
      continue;
    }
    exponent -= after_point;
    if (n == 0 && c == '0')
      continue;
    if (n < FILTER_LEX_DIGITS) {
      digits[n++] = c;
    } else {
      lost = lost || c != '0';
      exponent++;
    }
  }
  if (n == 0)
    digits[n++] = '0';
  if (lost)
    digits[n - 1] = '1'; /* the 800th digit decides nothing but whether there is a rest */
  snprintf(digits + n, sizeof digits - n, "e%lld", (long long)exponent);
  token->number = strtod(digits, NULL);
  token->kind = FILTER_TOKEN_NUMBER;
  if (!(token->number < __builtin_inf())) {
    char shown[FILTER_SHOW];
    return vdb_fail_pos(err, VECDB_ERR_FILTER, token->pos, "%s is too large for a double",
                        vdb_filter_show(lexer, token, shown));
  }
  return VECDB_OK;
}

static int filter_lex_number(struct filter_lexer *lexer, struct filter_token *token,
                             vecdb_error *err) {
  uint32_t at = token->pos;
  if (lexer->text[at] == '0' && (filter_lex_at(lexer, at + 1) | 0x20) == 'x') {
    for (at += 2; filter_lex_hex(filter_lex_at(lexer, at)) >= 0; at++)
      if (at - token->pos > FILTER_LEX_NUMBER)
        return filter_lex_bad_number(lexer, token->pos, err);
    if (at == token->pos + 2 || filter_lex_letter(filter_lex_at(lexer, at)))
      return filter_lex_bad_number(lexer, token->pos, err);
    lexer->at = token->end = at;
    return filter_lex_integer(lexer, token, 16, err);
  }
  bool real = false;
  for (; filter_lex_digit(filter_lex_at(lexer, at)) || filter_lex_at(lexer, at) == '.'; at++) {
    if ((lexer->text[at] == '.' && real) || at - token->pos > FILTER_LEX_NUMBER)
      return filter_lex_bad_number(lexer, token->pos, err);
    real = real || lexer->text[at] == '.';
  }
  uint32_t digits_end = at;
  int64_t exponent = 0;
  if ((filter_lex_at(lexer, at) | 0x20) == 'e') {
    real = true;
    char sign = filter_lex_at(lexer, at + 1);
    at += sign == '-' || sign == '+' ? 2 : 1;
    if (!filter_lex_digit(filter_lex_at(lexer, at)))
      return filter_lex_bad_number(lexer, token->pos, err);
    for (; filter_lex_digit(filter_lex_at(lexer, at)) && at - token->pos <= FILTER_LEX_NUMBER; at++)
      exponent = exponent < 100000000 ? exponent * 10 + (lexer->text[at] - '0') : exponent;
    exponent = sign == '-' ? -exponent : exponent;
  }
  bool too_long = filter_lex_digit(filter_lex_at(lexer, at));
  bool leading_zero =
      lexer->text[token->pos] == '0' && filter_lex_digit(filter_lex_at(lexer, token->pos + 1));
  if (leading_zero || too_long || filter_lex_letter(filter_lex_at(lexer, at)))
    return filter_lex_bad_number(lexer, token->pos, err);
  lexer->at = token->end = at;
  return real ? filter_lex_float(lexer, token, digits_end, exponent, err)
              : filter_lex_integer(lexer, token, 10, err);
}

/* \uXXXX (a surrogate pair takes two) at `at`, behind the backslash. */
static int filter_lex_unicode(struct filter_lexer *lexer, uint32_t *at, vecdb_error *err) {
  uint32_t code = 0, low = 0, start = *at - 1;
  for (int half = 0; half < 2; half++) {
    low = 0;
    for (uint32_t i = 1; i <= 4; i++) {
      int digit = filter_lex_hex(filter_lex_at(lexer, *at + i));
      if (digit < 0)
        return vdb_fail_pos(err, VECDB_ERR_FILTER, start, "\\u needs four hexadecimal digits");
      low = low * 16 + (uint32_t)digit;
    }
    *at += 5;
    if (half == 0)
      code = low;
    if (half == 1 || code < 0xd800 || code > 0xdbff)
      break;
    if (filter_lex_at(lexer, *at) != '\\' || filter_lex_at(lexer, *at + 1) != 'u')
      break;
    *at += 1;
  }
  if (code >= 0xd800 && code <= 0xdbff && low >= 0xdc00 && low <= 0xdfff)
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  if (code == 0 || (code >= 0xd800 && code <= 0xdfff))
    return vdb_fail_pos(err, VECDB_ERR_FILTER, start, "\\u%04x is not a character of text", code);
  uint8_t out[4];
  size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = n; i-- > 1; code >>= 6)
    out[i] = (uint8_t)(0x80 | (code & 0x3f));
  out[0] = (uint8_t)(leads[n] | code);
  vdb_write_bytes(lexer->pool, out, n);
  return VECDB_OK;
}

/* The escape whose backslash is at *at; *at moves behind it. */
static int filter_lex_escape(struct filter_lexer *lexer, uint32_t *at, vecdb_error *err) {
  static const char names[] = "\\\"'ntr";
  static const char meanings[] = "\\\"'\n\t\r";
  char c = filter_lex_at(lexer, *at + 1);
  if (c == 'u') {
    *at += 1;
    return filter_lex_unicode(lexer, at, err);
  }
  if (c == '%' || c == '_') { /* for `like`, which reads the backslash itself */
    vdb_write_bytes(lexer->pool, lexer->text + *at, 2);
    *at += 2;
    return VECDB_OK;
  }
  const char *found = c ? strchr(names, c) : NULL;
  if (!found)
    return vdb_fail_pos(err, VECDB_ERR_FILTER, *at,
                        "unknown escape in a string; known are \\\\ \\\" \\' \\n \\t \\r \\uXXXX");
  vdb_write_u8(lexer->pool, (uint8_t)meanings[found - names]);
  *at += 2;
  return VECDB_OK;
}

static int filter_lex_string(struct filter_lexer *lexer, struct filter_token *token,
                             vecdb_error *err) {
  char quote = lexer->text[token->pos];
  uint32_t at = token->pos + 1;
  size_t start = lexer->pool->n;
  while (at < lexer->n && lexer->text[at] != quote) {
    if (lexer->text[at] == '\\') {
      VDB_TRY(filter_lex_escape(lexer, &at, err));
      continue;
    }
    uint32_t run = at;
    while (at < lexer->n && lexer->text[at] != quote && lexer->text[at] != '\\') {
      if (lexer->text[at] > 0) { /* ASCII */
        at++;
        continue;
      }
      uint32_t n = filter_lex_utf8(lexer, at);
      if (n == 0)
        return vdb_fail_pos(err, VECDB_ERR_UTF8, at, "a string in the filter is not valid UTF-8");
      at += n;
    }
    vdb_write_bytes(lexer->pool, lexer->text + run, at - run);
  }
  if (at >= lexer->n)
    return vdb_fail_pos(err, VECDB_ERR_FILTER, token->pos, "a string without closing %c", quote);
  if (lexer->pool->failed)
    return vdb_fail_memory(err);
  token->kind = FILTER_TOKEN_STRING;
  token->text.offset = (uint32_t)start;
  token->text.length = (uint32_t)(lexer->pool->n - start);
  lexer->at = token->end = at + 1;
  return VECDB_OK;
}

/* The token of a word of the language, or FILTER_TOKEN_NAME. */
static int filter_lex_word(const char *name, size_t n) {
  static const struct {
    const char *name;
    int kind;
  } keywords[] = {
      {"and", FILTER_TOKEN_AND},   {"or", FILTER_TOKEN_OR},     {"not", FILTER_TOKEN_NOT},
      {"in", FILTER_TOKEN_IN},     {"like", FILTER_TOKEN_LIKE}, {"is", FILTER_TOKEN_IS},
      {"null", FILTER_TOKEN_NULL}, {"true", FILTER_TOKEN_TRUE}, {"false", FILTER_TOKEN_FALSE},
  };
  char lower[6] = {0};
  if (n >= sizeof lower)
    return FILTER_TOKEN_NAME;
  for (size_t i = 0; i < n; i++)
    lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
  for (size_t i = 0; i < VDB_COUNT(keywords); i++)
    if (strcmp(keywords[i].name, lower) == 0)
      return keywords[i].kind;
  return FILTER_TOKEN_NAME;
}

VDB_INTERNAL bool vdb_filter_keyword(const char *name, size_t n) {
  return filter_lex_word(name, n) != FILTER_TOKEN_NAME;
}

static void filter_lex_name(struct filter_lexer *lexer, struct filter_token *token) {
  uint32_t at = token->pos;
  while (filter_lex_letter(filter_lex_at(lexer, at)) || filter_lex_digit(filter_lex_at(lexer, at)))
    at++;
  lexer->at = token->end = at;
  token->kind = filter_lex_word(lexer->text + token->pos, at - token->pos);
  token->text.offset = token->pos;
  token->text.length = at - token->pos;
}

static uint32_t filter_lex_space(const struct filter_lexer *lexer, uint32_t at) {
  while (at < lexer->n &&
         (lexer->text[at] == ' ' || (lexer->text[at] >= '\t' && lexer->text[at] <= '\r')))
    at++;
  return at;
}

/* {name} */
static int filter_lex_param(struct filter_lexer *lexer, struct filter_token *token,
                            vecdb_error *err) {
  uint32_t start = filter_lex_space(lexer, token->pos + 1), end = start;
  if (filter_lex_letter(filter_lex_at(lexer, start)))
    while (filter_lex_letter(filter_lex_at(lexer, end)) ||
           filter_lex_digit(filter_lex_at(lexer, end)))
      end++;
  uint32_t close = filter_lex_space(lexer, end);
  if (end == start || filter_lex_at(lexer, close) != '}')
    return vdb_fail_pos(err, VECDB_ERR_FILTER, token->pos,
                        "'{' begins a parameter and needs a name and '}'");
  token->kind = FILTER_TOKEN_PARAM;
  token->text.offset = start;
  token->text.length = end - start;
  lexer->at = token->end = close + 1;
  return VECDB_OK;
}

static int filter_lex_unexpected(struct filter_lexer *lexer, uint32_t at, vecdb_error *err) {
  char c = lexer->text[at];
  uint32_t n = filter_lex_utf8(lexer, at);
  if (c == '=')
    return vdb_fail_pos(err, VECDB_ERR_FILTER, at, "found '='; equality is written '=='");
  if (c == '&' || c == '|')
    return vdb_fail_pos(err, VECDB_ERR_FILTER, at, "found '%c'; write 'and', 'or', '&&' or '||'",
                        c);
  if ((uint8_t)c < 0x20 || c == 0x7f)
    return vdb_fail_pos(err, VECDB_ERR_FILTER, at, "unexpected byte 0x%02x", (unsigned)(uint8_t)c);
  if (n == 0)
    return vdb_fail_pos(err, VECDB_ERR_UTF8, at, "the filter is not valid UTF-8");
  return vdb_fail_pos(err, VECDB_ERR_FILTER, at, "unexpected character '%.*s'", (int)n,
                      lexer->text + at);
}

static int filter_lex_operator(struct filter_lexer *lexer, struct filter_token *token,
                               vecdb_error *err) {
  static const struct {
    char text[3];
    uint8_t kind;
  } operators[] = {
      /* those of two characters first */
      {"==", FILTER_TOKEN_EQ},   {"!=", FILTER_TOKEN_NE},       {"<=", FILTER_TOKEN_LE},
      {">=", FILTER_TOKEN_GE},   {"**", FILTER_TOKEN_POWER},    {"&&", FILTER_TOKEN_AND},
      {"||", FILTER_TOKEN_OR},   {"<", FILTER_TOKEN_LT},        {">", FILTER_TOKEN_GT},
      {"+", FILTER_TOKEN_PLUS},  {"-", FILTER_TOKEN_MINUS},     {"*", FILTER_TOKEN_STAR},
      {"/", FILTER_TOKEN_SLASH}, {"%", FILTER_TOKEN_PERCENT},   {"(", FILTER_TOKEN_OPEN},
      {")", FILTER_TOKEN_CLOSE}, {"[", FILTER_TOKEN_LIST_OPEN}, {"]", FILTER_TOKEN_LIST_CLOSE},
      {",", FILTER_TOKEN_COMMA}, {"!", FILTER_TOKEN_NOT},
  };
  char first = lexer->text[token->pos], second = filter_lex_at(lexer, token->pos + 1);
  for (size_t i = 0; i < VDB_COUNT(operators); i++) {
    const char *text = operators[i].text;
    if (text[0] == first && (text[1] == '\0' || text[1] == second)) {
      token->kind = operators[i].kind;
      lexer->at = token->end = token->pos + (text[1] ? 2 : 1);
      return VECDB_OK;
    }
  }
  return filter_lex_unexpected(lexer, token->pos, err);
}

VDB_INTERNAL int vdb_filter_lex(struct filter_lexer *lexer, struct filter_token *token,
                                vecdb_error *err) {
  memset(token, 0, sizeof *token);
  lexer->at = filter_lex_space(lexer, lexer->at);
  token->pos = token->end = lexer->at;
  if (lexer->at >= lexer->n) {
    token->kind = FILTER_TOKEN_END;
    return VECDB_OK;
  }
  char c = lexer->text[lexer->at];
  if (filter_lex_letter(c)) {
    filter_lex_name(lexer, token);
    return VECDB_OK;
  }
  if (filter_lex_digit(c) || (c == '.' && filter_lex_digit(filter_lex_at(lexer, lexer->at + 1))))
    return filter_lex_number(lexer, token, err);
  if (c == '"' || c == '\'')
    return filter_lex_string(lexer, token, err);
  if (c == '{')
    return filter_lex_param(lexer, token, err);
  return filter_lex_operator(lexer, token, err);
}
