/*
 * touched.h - which rows writes touch: their keys, and the filters of those that delete by one.
 * Taken from the messages that a shard's log holds, for the answer to WIRE_CHANGES.
 */
#ifndef CLUSTER_WIRE_TOUCHED_H
#define CLUSTER_WIRE_TOUCHED_H

#include "wire/message.h"

struct wire_touched {
  struct wire_mem mem; /* of what was read: keys of text and filters point into the messages, which
                          stay where they are until wire_touched_free */
  const char *key;     /* the key's name and type */
  int32_t type;
  int64_t *integers;
  vecdb_string *strings;
  size_t n, room;
  vecdb_filter *filters;
  size_t room_filters;
  uint32_t n_filters;
  bool split;    /* some of the rows are another shard's since */
  bool reshaped; /* a field went or got another name: each row has other values under its names */
};

/* Zeroed, then with the key's name and type. */
void wire_touched_free(struct wire_touched *t);
/* Adds the rows of one entry, the bytes of a message, aligned to WIRE_ALIGN. What is no write, or
   could not be applied, touches nothing. False: no memory, or over VECDB_MAX_BATCH_ROWS keys or
   WIRE_FILTERS filters with it, and then nothing was added. */
bool wire_touched_add(struct wire_touched *t, const void *body, size_t n);
/* Each key once, ascending; they are the struct's. */
vecdb_keys wire_touched_keys(struct wire_touched *t);

#endif
