/*
 * expiry.h - when the rows of a collection go, as JSON in its document and in messages: a field and
 * a time, as vecdb_expire has them.
 */
#ifndef CLUSTER_WIRE_EXPIRY_H
#define CLUSTER_WIRE_EXPIRY_H

#include "vecdb.h"
#include "wire/bytes.h"

enum { WIRE_EXPIRY_TEXT = 2 * VECDB_MAX_NAME };

struct wire_expiry {
  const char *field; /* NULL: rows stay */
  uint64_t ttl_ms;   /* up to INT64_MAX */
};

/* False: it is none. The field lies in `mem`, which fails where there is no memory. */
bool wire_expiry_read(const char *text, struct wire_mem *mem, struct wire_expiry *out);
/* To be given back by free(); NULL: no memory, or a name that is no text. */
char *wire_expiry_write(const struct wire_expiry *expiry);
/* A filter of the rows that are gone at the time, in milliseconds since 1970. */
void wire_expiry_filter(const struct wire_expiry *expiry, int64_t now_ms,
                        char out[WIRE_EXPIRY_TEXT]);

#endif
