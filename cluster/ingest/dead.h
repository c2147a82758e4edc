/* dead.h - a file of what could not be written: a line of JSON for each, with the reason. */
#ifndef CLUSTER_INGEST_DEAD_H
#define CLUSTER_INGEST_DEAD_H

#include "ingest/source.h"

struct dead {
  int fd; /* -1: none */
  uint64_t n;
  bool dirty;
};

/* Lines are added to what is there. `path` NULL: none are expected. */
int dead_open(struct dead *dead, const char *path, vecdb_error *error);
/* {"position", "code", "reason", "message"}; the message as text, or "base64" if it is no UTF-8. */
int dead_add(struct dead *dead, const struct ingest_message *m, const vecdb_error *why,
             vecdb_error *error);
int dead_sync(struct dead *dead, vecdb_error *error);
void dead_close(struct dead *dead);

#endif
