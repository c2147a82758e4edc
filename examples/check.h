/* check.h - what the short examples do about errors: say what went wrong, and end. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "vecdb.h"

/* check(vecdb_some_call(..., &error), &error); */
static inline void check(int status, const vecdb_error *error) {
  if (status == VECDB_OK)
    return;
  fprintf(stderr, "%s: %s\n", vecdb_status_name(status), error->message);
  exit(EXIT_FAILURE);
}

#endif
