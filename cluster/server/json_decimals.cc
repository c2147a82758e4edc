/*
 * json_decimals.cc - see json_decimals.h. A number of few digits is an integer and a power of ten
 * that are both exact as doubles, so that one division or multiplication rounds it rightly (Clinger
 * 1990, "How to read floating point numbers accurately"); the C++ library reads all others.
 */
#include <charconv>
#include <cstdint>
#include <cstring>

extern "C" {
#include "server/json_decimals.h"
}

namespace {

constexpr uint64_t decimal_exact = uint64_t(1) << 53; /* integers up to this are doubles */
constexpr int decimal_tens = 22;                      /* and so are powers of ten up to this */
constexpr ptrdiff_t decimal_digits = 19;              /* so many digits fit 64 bits */
constexpr ptrdiff_t decimal_exponent = 4;             /* digits of an exponent that is looked at */

const double tens[decimal_tens + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

inline const char *after_blanks(const char *at) {
  while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
    at++;
  return at;
}

/* Whether all eight bytes are digits. */
inline bool eight_digits(uint64_t bytes) {
  return (((bytes + 0x4646464646464646) | (bytes - 0x3030303030303030)) & 0x8080808080808080) == 0;
}

/* What they say, the first in the lowest byte: pairs, then fours, then all. */
inline uint64_t eight_value(uint64_t bytes) {
  bytes -= 0x3030303030303030;
  bytes = bytes * 10 + (bytes >> 8);
  return ((bytes & 0x000000ff000000ff) * 0x000f424000000064 +
          (bytes >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >>
         32;
}

/* Goes past digits and adds them to the value, which runs over where there are many. */
inline const char *past_digits(const char *at, const char *end, uint64_t &value) {
  uint64_t bytes;
  while (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && end - at >= 8 &&
         (memcpy(&bytes, at, sizeof bytes), eight_digits(bytes))) {
    value = value * 100000000 + eight_value(bytes);
    at += 8;
  }
  for (; is_digit(*at); at++)
    value = value * 10 + static_cast<uint64_t>(*at - '0');
  return at;
}

/* The exponent at the e; *at becomes its end, or NULL. One of many digits is beyond all tens. */
int past_exponent(const char *&at, const char *end) {
  const char *sign = at + 1, *first = sign + (*sign == '-' || *sign == '+');
  uint64_t value = 0;
  at = past_digits(first, end, value);
  int size = at - first > decimal_exponent ? INT16_MAX : static_cast<int>(value);
  if (at == first)
    at = nullptr;
  return *sign == '-' ? -size : size;
}

/* NULL: see json_decimals.h. */
inline const char *read_number(const char *begin, const char *end, double &to, bool &fraction) {
  bool minus = *begin == '-';
  const char *whole = begin + minus;
  uint64_t value = 0;
  const char *at = past_digits(whole, end, value);
  ptrdiff_t digits = at - whole, places = 0;
  int power = 0;
  if (digits == 0 || (digits > 1 && *whole == '0'))
    return nullptr;
  bool integer = *at != '.' && *at != 'e' && *at != 'E';
  if (*at == '.') {
    const char *first = at + 1;
    at = past_digits(first, end, value);
    places = at - first;
    if (places == 0)
      return nullptr;
  }
  if (*at == 'e' || *at == 'E')
    power = past_exponent(at, end);
  if (!at)
    return nullptr;
  bool exact = digits + places <= decimal_digits && value <= decimal_exact;
  fraction = fraction || !integer;
  if (integer) {
    to = minus ? static_cast<double>(-static_cast<int64_t>(value)) : static_cast<double>(value);
    return exact ? at : nullptr;
  }
  power -= exact ? static_cast<int>(places) : 0;
  if (exact && power >= -decimal_tens && power <= decimal_tens) {
    double size = static_cast<double>(value);
    size = power < 0 ? size / tens[-power] : size * tens[power];
    to = minus ? -size : size;
    return at;
  }
  auto read = std::from_chars(begin, at, to);
  return read.ec == std::errc() && read.ptr == at ? at : nullptr;
}

} // namespace

const char *srv_decimals_read(const char *at, const char *end, struct srv_decimals *out) {
  out->n = 0;
  out->fraction = false;
  for (;; at++) {
    if (out->n == out->room)
      return nullptr;
    at = read_number(after_blanks(at), end, out->to[out->n++], out->fraction);
    if (!at)
      return nullptr;
    at = after_blanks(at);
    if (*at != ',')
      return *at == ']' ? at : nullptr;
  }
}
