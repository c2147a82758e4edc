/* base64.c - bytes as text; see base64.h. */
#include "meta/base64.h"

#include <stdint.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_length(size_t n) { return (n + 2) / 3 * 4; }

void base64_write(const void *data, size_t n, char *out) {
  const uint8_t *in = data;
  for (size_t i = 0; i < n; i += 3) {
    size_t left = n - i;
    uint32_t bits = (uint32_t)in[i] << 16;
    bits |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
    bits |= left > 2 ? in[i + 2] : 0;
    *out++ = base64_digits[bits >> 18];
    *out++ = base64_digits[bits >> 12 & 63];
    *out++ = left > 1 ? base64_digits[bits >> 6 & 63] : '=';
    *out++ = left > 2 ? base64_digits[bits & 63] : '=';
  }
}

/* 64 and above: not a digit. */
static uint32_t base64_value(char c) {
  if (c >= 'A' && c <= 'Z')
    return (uint32_t)(c - 'A');
  if (c >= 'a' && c <= 'z')
    return (uint32_t)(c - 'a') + 26;
  if (c >= '0' && c <= '9')
    return (uint32_t)(c - '0') + 52;
  return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool base64_read(const char *text, size_t n, void *out, size_t *n_out) {
  uint8_t *to = out;
  *n_out = 0;
  if (n % 4)
    return false;
  for (size_t i = 0; i < n; i += 4) {
    size_t digits = 4;
    if (i + 4 == n && text[i + 3] == '=')
      digits = text[i + 2] == '=' ? 2 : 3;
    uint32_t bits = 0;
    for (size_t j = 0; j < 4; j++) {
      uint32_t v = j < digits ? base64_value(text[i + j]) : 0;
      if (v > 63)
        return false;
      bits = bits << 6 | v;
    }
    if ((digits == 2 && bits & 0xffff) || (digits == 3 && bits & 0xff))
      return false;
    for (size_t j = 0; j + 1 < digits; j++)
      to[(*n_out)++] = (uint8_t)(bits >> (16 - 8 * j));
  }
  return true;
}
