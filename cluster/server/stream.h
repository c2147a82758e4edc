/*
 * stream.h - the bytes of a connection, in and out, whatever carries them: a socket alone, or TLS
 * over it. Nothing here waits: who is told that no more can be done now has the descriptor watched.
 */
#ifndef SRV_STREAM_H
#define SRV_STREAM_H

#include <openssl/types.h>
#include <stddef.h>
#include <sys/types.h>

#include "server/crowd.h"
#include "server/peer.h"
#include "server/pool.h"

enum { SRV_STREAM_FIRST = 16 };

struct srv_stream {
  int fd;   /* does not block */
  SSL *tls; /* NULL: bytes go as they are */
  struct srv_peer peer;
  struct srv_crowd *crowd; /* in which it is counted */
  enum srv_ready reading, writing; /* what TLS waits for, to go on with either */
  bool broken; /* nothing more can be said in TLS */
  char first[SRV_STREAM_FIRST]; /* bytes that were looked at and are still to be read */
  size_t first_at, n_first;
};

/* Instead of a number of bytes. */
enum { SRV_STREAM_LATER = -1, SRV_STREAM_LOST = -2 };

/* Takes over a connected socket, and counts it in the crowd; closes it, and is false, when as many
   as `most` (crowd.h) from the same address are there. */
bool srv_stream_open(struct srv_stream *stream, int fd, struct srv_crowd *crowd, uint64_t most);
/* From here on TLS is spoken. Takes over a server's side that has said nothing yet. */
void srv_stream_secure(struct srv_stream *stream, SSL *tls);
/* Goes on with TLS's handshake: 0 when it is done, or one of the above. */
int srv_stream_shake(struct srv_stream *stream);
/* The first bytes, n <= SRV_STREAM_FIRST of them or as many as have come; they stay to be read. How
   many there are, or one of the above. */
ssize_t srv_stream_look(struct srv_stream *stream, const char **bytes, size_t n);
/* Up to n bytes that have come: how many, or one of the above; 0: the client says no more. */
ssize_t srv_stream_read(struct srv_stream *stream, void *to, size_t n);
/* How many of n bytes were taken, more than none, or one of the above; after the first of these,
   the next call must bring the same bytes again. */
ssize_t srv_stream_write(struct srv_stream *stream, const void *from, size_t n);
/* What to have the descriptor watched for in order to do `what`. Bytes that are there but no longer
   in the socket have it looked at at once. */
enum srv_ready srv_stream_awaits(const struct srv_stream *stream, enum srv_ready what);
/* Tells the client that nothing more is said; it may still speak. 0, or SRV_STREAM_LATER: call
   again when it can be written to. */
int srv_stream_end(struct srv_stream *stream);
/* Has whoever watches the connection see its end. */
void srv_stream_cut(struct srv_stream *stream);
void srv_stream_close(struct srv_stream *stream);

#endif
