/* store_format.c - names of numbered files and a test for zeros; see store_format.h. */
#include "store/store_format.h"

#include <inttypes.h>
#include <stdio.h>

enum { STORE_NAME_DIGITS = 16 };

VDB_INTERNAL bool vdb_store_zero(const void *data, size_t n) {
  const uint8_t *p = data;
  /* the first bytes one by one, the rest by comparing the block with itself shifted */
  size_t head = vdb_min_size(n, 16);
  for (size_t i = 0; i < head; i++)
    if (p[i])
      return false;
  return n <= head || memcmp(p, p + head, n - head) == 0;
}

VDB_INTERNAL int vdb_store_path(char *out, size_t n, const char *dir, uint64_t number,
                                const char *suffix, vecdb_error *err) {
  int length = snprintf(out, n, "%s/%016" PRIx64 "%s", dir, number, suffix);
  if (length < 0 || (size_t)length >= n)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the path of the database is too long");
  return VECDB_OK;
}

VDB_INTERNAL bool vdb_store_parse(const char *name, const char *suffix, uint64_t *number) {
  uint64_t value = 0;
  for (size_t i = 0; i < STORE_NAME_DIGITS; i++) {
    char c = name[i];
    unsigned digit;
    if (c >= '0' && c <= '9')
      digit = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = (unsigned)(c - 'a') + 10;
    else
      return false;
    value = value << 4 | digit;
  }
  if (strcmp(name + STORE_NAME_DIGITS, suffix) != 0)
    return false;
  *number = value;
  return true;
}
