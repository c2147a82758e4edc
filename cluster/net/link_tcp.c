/* link_tcp.c - bytes over a plain socket; see link.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/link.h"

static enum link_status tcp_shake(struct link *link) {
  (void)link;
  return LINK_OK;
}

static enum link_status tcp_failed(struct link *link) {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
    return LINK_AGAIN;
  snprintf(link->why, sizeof link->why, "%s", strerror(errno));
  return LINK_ERROR;
}

static enum link_status tcp_read(struct link *link, void *to, size_t n, size_t *got) {
  ssize_t r = recv(link->fd, to, n, 0);
  *got = r > 0 ? (size_t)r : 0;
  if (r == 0)
    return LINK_END;
  if (r < 0)
    return tcp_failed(link);
  link->counts.received += *got;
  link->counts.crossed_in += *got;
  return LINK_OK;
}

static enum link_status tcp_write(struct link *link, const struct iovec *parts, int n,
                                  size_t *put) {
  struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)n};
  ssize_t r = sendmsg(link->fd, &message, MSG_NOSIGNAL);
  *put = r > 0 ? (size_t)r : 0;
  if (r < 0)
    return tcp_failed(link);
  link->counts.sent += *put;
  link->counts.crossed_out += *put;
  return LINK_OK;
}

static bool tcp_holds(const struct link *link) {
  (void)link;
  return false;
}

static void tcp_close(struct link *link) {
  close(link->fd);
  free(link);
}

struct link *link_tcp(int fd) {
  static const struct link_ops ops = {tcp_shake, tcp_read, tcp_write, tcp_holds, tcp_close};
  struct link *link = calloc(1, sizeof *link);
  if (!link) {
    close(fd);
    return NULL;
  }
  link->ops = &ops;
  link->fd = fd;
  return link;
}
