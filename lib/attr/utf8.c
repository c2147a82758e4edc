/* utf8.c - text and names: well-formed UTF-8 (RFC 3629) and the alphabet of names; see schema.h. */
#include "attr/schema.h"

/* Whether eight bytes are ASCII without NUL. */
static bool utf8_plain8(const uint8_t *p) {
  const uint64_t high = 0x8080808080808080u;
  const uint64_t ones = 0x0101010101010101u;
  uint64_t w;
  memcpy(&w, p, sizeof w);
  return (w & high) == 0 && ((w - ones) & high) == 0;
}

static bool utf8_tail(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* Bytes of the character at p with `left` bytes behind it (left > 0), or 0 when it is malformed. */
static size_t utf8_char(const uint8_t *p, size_t left) {
  uint8_t c = p[0];
  if (c < 0x80)
    return c != 0;
  if (c < 0xc2 || c > 0xf4)
    return 0;
  if (c < 0xe0)
    return left >= 2 && utf8_tail(p[1]) ? 2 : 0;
  if (c < 0xf0) {
    if (left < 3 || !utf8_tail(p[1]) || !utf8_tail(p[2]))
      return 0;
    bool longer_than_needed = c == 0xe0 && p[1] < 0xa0;
    bool surrogate = c == 0xed && p[1] >= 0xa0;
    return longer_than_needed || surrogate ? 0 : 3;
  }
  if (left < 4 || !utf8_tail(p[1]) || !utf8_tail(p[2]) || !utf8_tail(p[3]))
    return 0;
  bool longer_than_needed = c == 0xf0 && p[1] < 0x90;
  bool past_the_end = c == 0xf4 && p[1] >= 0x90;
  return longer_than_needed || past_the_end ? 0 : 4;
}

VDB_INTERNAL bool vdb_utf8_valid(const char *text, size_t n) {
  const uint8_t *p = (const uint8_t *)text;
  size_t i = 0;
  while (i < n) {
    if (n - i >= 8 && utf8_plain8(p + i)) {
      i += 8;
      continue;
    }
    size_t step = utf8_char(p + i, n - i);
    if (step == 0)
      return false;
    i += step;
  }
  return true;
}

static bool utf8_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

VDB_INTERNAL int vdb_name_check(const char *name, bool dash, const char *what, vecdb_error *err) {
  if (!name || name[0] == '\0')
    return vdb_fail(err, VECDB_ERR_NAME, "%s has no name", what);
  size_t n = strnlen(name, VECDB_MAX_NAME + 1);
  if (n > VECDB_MAX_NAME)
    return vdb_fail(err, VECDB_ERR_NAME, "the name of %s is longer than %d bytes", what,
                    VECDB_MAX_NAME);
  if (!utf8_letter(name[0]))
    return vdb_fail(err, VECDB_ERR_NAME, "the name of %s does not start with a letter or _", what);
  for (size_t i = 1; i < n; i++) {
    char c = name[i];
    if (!utf8_letter(c) && !(c >= '0' && c <= '9') && !(dash && c == '-'))
      return vdb_fail(err, VECDB_ERR_NAME,
                      "the name of %s has a forbidden byte 0x%02x at offset %zu", what,
                      (unsigned)(unsigned char)c, i);
  }
  return VECDB_OK;
}
