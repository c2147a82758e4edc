/* base64.c - see base64.h. */
#include "server/base64.h"

/* The value of a digit whose last two are `c62` and `c63`; -1: none. */
static int base64_digit(char c, char c62, char c63) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == c62 ? 62 : c == c63 ? 63 : -1;
}

static bool base64_read(const char *text, size_t n, char c62, char c63, uint8_t *out,
                        size_t *n_out) {
  uint32_t bits = 0;
  size_t done = 0;
  unsigned held = 0;
  if (n % 4 == 1)
    return false;
  for (size_t i = 0; i < n; i++) {
    int digit = base64_digit(text[i], c62, c63);
    if (digit < 0)
      return false;
    bits = bits << 6 | (uint32_t)digit;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[done++] = (uint8_t)(bits >> held);
    }
  }
  *n_out = done;
  return (bits & ((1u << held) - 1)) == 0; /* else another text means the same bytes */
}

bool srv_base64url(const char *text, size_t n, uint8_t *out, size_t *n_out) {
  return base64_read(text, n, '-', '_', out, n_out);
}

bool srv_base64(const char *text, size_t n, uint8_t *out, size_t *n_out) {
  size_t padding = 0;
  if (n % 4 != 0)
    return false;
  while (padding < 2 && padding < n && text[n - 1 - padding] == '=')
    padding++;
  return base64_read(text, n - padding, '+', '/', out, n_out);
}
