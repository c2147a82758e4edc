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

constexpr uint64_t decimal_zeros = 0x3030303030303030;
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
  while (*at <= ' ' && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

/* The top bit of each byte that is no digit, up to the first of them. */
inline uint64_t no_digits(uint64_t bytes) {
  return ((bytes + 0x4646464646464646) | (bytes - decimal_zeros)) & 0x8080808080808080;
}

/* What eight digits say, 0 to 9, the first in the lowest byte: pairs, then fours, then all. */
inline uint64_t eight_value(uint64_t digits) {
  digits = digits * 10 + (digits >> 8);
  return ((digits & 0x000000ff000000ff) * 0x000f424000000064 +
          (digits >> 16 & 0x000000ff000000ff) * 0x0000271000000001) >>
         32;
}

/* Goes past digits and adds them to the value, which runs over where there are many. */
inline const char *past_digits(const char *at, uint64_t &value) {
  for (; is_digit(*at); at++)
    value = value * 10 + static_cast<uint64_t>(*at - '0');
  return at;
}

/* The exponent at the e; *at becomes its end, or NULL. One of many digits is beyond all tens. */
int past_exponent(const char *&at) {
  const char *sign = at + 1, *first = sign + (*sign == '-' || *sign == '+');
  uint64_t value = 0;
  at = past_digits(first, value);
  int size = at - first > decimal_exponent ? INT16_MAX : static_cast<int>(value);
  if (at == first)
    at = nullptr;
  return *sign == '-' ? -size : size;
}

/* Without a branch: half of a vector's numbers are negative, in no order. */
inline double with_sign(double size, bool minus) {
  uint64_t bits;
  memcpy(&bits, &size, sizeof bits);
  bits ^= static_cast<uint64_t>(minus) << 63;
  memcpy(&size, &bits, sizeof bits);
  return size;
}

__extension__ typedef unsigned __int128 two_words;

/* Nearly all numbers of a vector: "0." and fewer than sixteen digits, taken at once, in steps
   that depend on no digit. NULL: it is another one. */
inline const char *read_usual(const char *whole, const char *end, bool minus, double &to) {
  uint64_t first, second;
  if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || end - whole < 2 + 16 || whole[0] != '0' ||
      whole[1] != '.')
    return nullptr;
  memcpy(&first, whole + 2, sizeof first);
  memcpy(&second, whole + 2 + 8, sizeof second);
  uint64_t stop = no_digits(first), later = no_digits(second);
  if ((stop | later) == 0)
    return nullptr;
  int places = stop ? __builtin_ctzll(stop) / 8 : 8 + __builtin_ctzll(later) / 8;
  const char *at = whole + 2 + places;
  if (places == 0 || *at == 'e' || *at == 'E')
    return nullptr;
  two_words digits = static_cast<two_words>(second ^ decimal_zeros) << 64 |
                     (first ^ decimal_zeros); /* the first in the lowest byte, ... */
  digits <<= 128 - 8 * places;                /* ... the last in the highest */
  uint64_t value = eight_value(static_cast<uint64_t>(digits)) * 100000000 +
                   eight_value(static_cast<uint64_t>(digits >> 64));
  to = with_sign(static_cast<double>(value) / tens[places], minus);
  return at; /* fifteen digits are below 2^53 */
}

/* NULL: see json_decimals.h. */
inline const char *read_number(const char *begin, const char *end, double &to, bool &fraction) {
  bool minus = *begin == '-';
  const char *whole = begin + minus;
  uint64_t value = 0;
  const char *at = read_usual(whole, end, minus, to);
  if (at) {
    fraction = true;
    return at;
  }
  at = past_digits(whole, value);
  ptrdiff_t digits = at - whole, places = 0;
  int power = 0;
  if (digits == 0 || (digits > 1 && *whole == '0'))
    return nullptr;
  bool integer = *at != '.' && *at != 'e' && *at != 'E';
  if (*at == '.') {
    const char *first = at + 1;
    at = past_digits(first, value);
    places = at - first;
    if (places == 0)
      return nullptr;
  }
  if (*at == 'e' || *at == 'E')
    power = past_exponent(at);
  if (!at)
    return nullptr;
  bool exact = digits + places <= decimal_digits && value <= decimal_exact;
  fraction = fraction || !integer;
  if (integer && !exact)
    return nullptr;
  if (integer) {
    to = minus ? static_cast<double>(-static_cast<int64_t>(value)) : static_cast<double>(value);
    return at;
  }
  power -= exact ? static_cast<int>(places) : 0;
  if (exact && power >= -decimal_tens && power <= decimal_tens) {
    double size = static_cast<double>(value);
    size = power < 0 ? size / tens[-power] : size * tens[power];
    to = with_sign(size, minus);
    return at;
  }
  auto read = std::from_chars(begin, at, to);
  return read.ec == std::errc() && read.ptr == at ? at : nullptr;
}

} // namespace

const char *srv_decimals_read(const char *at, const char *end, struct srv_decimals *out) {
  size_t n = 0;
  bool fraction = false;
  for (; n < out->room; at++) {
    at = read_number(after_blanks(at), end, out->to[n++], fraction);
    if (!at)
      return nullptr;
    at = after_blanks(at);
    if (*at == ',')
      continue;
    out->n = n;
    out->fraction = fraction;
    return *at == ']' ? at : nullptr;
  }
  return nullptr;
}
