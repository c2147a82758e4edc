/*
 * json_decimals.h - the numbers of an array in JSON, as doubles: most of the text of a search.
 */
#ifndef SRV_JSON_DECIMALS_H
#define SRV_JSON_DECIMALS_H

#include <stdbool.h>
#include <stddef.h>

struct srv_decimals {
  double *to;
  size_t room;
  size_t n;      /* that were read */
  bool fraction; /* one of them at least is no integer */
};

/* Reads numbers and the commas between them up to the bracket that ends them: where that is. NULL:
   there are more than `room` or none, or one that is not JSON's, an integer that a double may not
   hold, or beyond a double. The text must end with a byte that is in no number and no blank. */
const char *srv_decimals_read(const char *at, const char *end, struct srv_decimals *out);

#endif
