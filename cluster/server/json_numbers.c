/* json_numbers.c - see json_numbers.h. */
#include "server/json_numbers.h"

#include <string.h>

/* In front of the numbers: 0xff is in no UTF-8. */
static const char numbers_mark[SRV_NUMBERS_AT] = "\xffnumbers";

json_t *srv_numbers_new(char *bytes, size_t n) {
  memcpy(bytes, numbers_mark, SRV_NUMBERS_AT);
  return json_stringn_nocheck(bytes, SRV_NUMBERS_BYTES(n));
}

bool srv_is_numbers(const json_t *value) {
  return json_is_string(value) && json_string_length(value) > SRV_NUMBERS_AT &&
         memcmp(json_string_value(value), numbers_mark, SRV_NUMBERS_AT) == 0;
}

size_t srv_numbers_count(const json_t *value) {
  return srv_is_numbers(value) ? json_string_length(value) / sizeof(double) - 1
                               : json_array_size(value);
}

double srv_numbers_get(const json_t *value, size_t i) {
  double number;
  memcpy(&number, json_string_value(value) + SRV_NUMBERS_AT + i * sizeof number, sizeof number);
  return number;
}

bool srv_numbers_floats(const json_t *value, float *to) {
  if (!srv_is_numbers(value))
    return false;
  const char *from = json_string_value(value) + SRV_NUMBERS_AT;
  for (size_t i = 0, n = srv_numbers_count(value); i < n; i++) {
    double number;
    memcpy(&number, from + i * sizeof number, sizeof number);
    to[i] = (float)number;
  }
  return true;
}
