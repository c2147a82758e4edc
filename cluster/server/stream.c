/* stream.c - bytes over a plain socket; see stream.h. */
#include "server/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

void srv_stream_open(struct srv_stream *s, int fd) {
  int one = 1;
  s->fd = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* answers are whole: no waiting */
}

static ssize_t stream_failed(void) {
  return errno == EAGAIN || errno == EINTR ? SRV_STREAM_LATER : SRV_STREAM_LOST;
}

ssize_t srv_stream_read(struct srv_stream *s, void *to, size_t n) {
  ssize_t got = recv(s->fd, to, n, 0);
  return got < 0 ? stream_failed() : got;
}

ssize_t srv_stream_write(struct srv_stream *s, const void *from, size_t n) {
  ssize_t sent = send(s->fd, from, n, MSG_NOSIGNAL);
  return sent < 0 ? stream_failed() : sent;
}

void srv_stream_end(struct srv_stream *s) {
  shutdown(s->fd, SHUT_WR);
}

void srv_stream_cut(struct srv_stream *s) {
  shutdown(s->fd, SHUT_RDWR);
}

void srv_stream_close(struct srv_stream *s) {
  close(s->fd);
}
