/*
 * source.h - where rows come from: a log of messages, each of which has a position that is larger
 * than that of the one before it. A new kind of source is a table of these functions and a line in
 * vecdb_ingest.c. One thread at a time.
 *
 * Delivery is at least once: what was not acknowledged comes again in the next life. What makes it
 * once is ingest.c, which asks for the messages behind a position that it has kept itself.
 */
#ifndef CLUSTER_INGEST_SOURCE_H
#define CLUSTER_INGEST_SOURCE_H

#include <stdbool.h>

#include "vecdb.h"

struct ingest_message {
  const char *data; /* a row as JSON; borrowed until the source is asked for the next one */
  size_t n;
  uint64_t position; /* not 0 */
};

enum ingest_next {
  INGEST_MESSAGE,
  INGEST_NOTHING, /* in that time */
  INGEST_END,     /* and there will be nothing more */
  INGEST_FAILED   /* with `error` filled */
};

struct ingest_source {
  const struct ingest_source_ops *ops;
};

struct ingest_source_ops {
  /* The next message, in the order of positions, none twice. */
  enum ingest_next (*next)(struct ingest_source *source, uint32_t wait_ms,
                           struct ingest_message *out, vecdb_error *error);
  /* All up to this position are done with. A source that loses this, or cannot do it now, sends
     them again to another life at worst. */
  void (*ack)(struct ingest_source *source, uint64_t position);
  void (*close)(struct ingest_source *source);
};

/* Lines of a file, "-": of standard input; the position is the offset behind the line. Standard
   input is given from its beginning in each life. `follow`: waits for lines that are added. Empty
   lines are no messages. NULL with `error` filled, also when the file is shorter than `after`. */
struct ingest_source *ingest_file_open(const char *path, bool follow, uint64_t after,
                                       vecdb_error *error);

struct ingest_nats {
  const char *url;         /* nats://user:password@host:port, tls://...; commas between several */
  const char *stream;      /* of JetStream */
  const char *subject;     /* of its messages; NULL: all */
  const char *consumer;    /* durable, made when it is not there */
  const char *ca;          /* PEM; NULL: the system's */
  const char *credentials; /* a .creds file; NULL: none */
};
/* Messages of a stream by their sequence numbers. The stream must keep messages by limits (that is
   its default), not only until they are acknowledged. UNSUPPORTED where libnats was not there when
   this was built. */
struct ingest_source *ingest_nats_open(const struct ingest_nats *nats, uint64_t after,
                                       vecdb_error *error);

#endif
