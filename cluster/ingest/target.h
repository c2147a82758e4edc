/*
 * target.h - where rows go: a batch at a time, with the number of a write. One thread at a time.
 */
#ifndef CLUSTER_INGEST_TARGET_H
#define CLUSTER_INGEST_TARGET_H

#include <stdbool.h>

#include "client/vecdb_client.h"

struct ingest_target {
  const struct ingest_target_ops *ops;
};

enum { INGEST_FULL = -1 };

struct ingest_target_ops {
  /* Adds a row. INGEST_FULL: it must wait for the next batch, and error is not filled. Any other
     error is the row's fault. */
  int (*add)(struct ingest_target *target, const char *data, size_t n, vecdb_error *error);
  /* Writes the batch. An error with a row (error->row) is that row's fault and others need not be
     written, either; *again: it may go well later, with the same number. */
  int (*write)(struct ingest_target *target, uint64_t op, bool *again, vecdb_error *error);
  void (*clear)(struct ingest_target *target);
  void (*close)(struct ingest_target *target);
};

/* A collection of a cluster. Numbers of writes are op ids of options->writer, so that what comes
   again is not written twice. NULL with `error` filled. */
struct ingest_target *ingest_cluster_open(const vecdb_client_options *options,
                                          const char *collection, uint32_t rows,
                                          vecdb_error *error);

/* A collection of one server, by PUT to its rows. What comes again is upserted again. */
struct ingest_http {
  const char *url; /* http://host:port */
  const char *key; /* for Authorization: Bearer; NULL: none */
  const char *ca;  /* PEM; NULL: the system's */
  const char *collection;
};
struct ingest_target *ingest_http_open(const struct ingest_http *http, vecdb_error *error);

#endif
