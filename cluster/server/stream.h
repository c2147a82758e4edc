/*
 * stream.h - the bytes of a connection, in and out, whatever carries them. Nothing here waits: who
 * is told that no more can be done now has the descriptor watched.
 */
#ifndef SRV_STREAM_H
#define SRV_STREAM_H

#include <stddef.h>
#include <sys/types.h>

struct srv_stream {
  int fd; /* does not block */
};

/* Instead of a number of bytes. */
enum { SRV_STREAM_LATER = -1, SRV_STREAM_LOST = -2 };

/* Takes over a connected socket. */
void srv_stream_open(struct srv_stream *stream, int fd);
/* Up to n bytes that have come: how many, or one of the above; 0: the client says no more. */
ssize_t srv_stream_read(struct srv_stream *stream, void *to, size_t n);
/* How many of n bytes were taken, more than none, or one of the above. */
ssize_t srv_stream_write(struct srv_stream *stream, const void *from, size_t n);
/* Tells the client that nothing more is said; it may still speak. */
void srv_stream_end(struct srv_stream *stream);
/* Has whoever watches the connection see its end. */
void srv_stream_cut(struct srv_stream *stream);
void srv_stream_close(struct srv_stream *stream);

#endif
