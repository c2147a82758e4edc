/* net.c - the loop: listening, dialing, whose turn it is; see net.h. */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"

static bool net_say(char *why, const char *text) {
  snprintf(why, HELLO_WHY, "%s", text);
  return false;
}

/* ---- Addresses ---- */

union net_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* "1.2.3.4:5" or "[::1]:5". */
static bool net_parse(const char *text, union net_address *out, socklen_t *n, char *why) {
  char host[64];
  const char *colon = strrchr(text, ':');
  memset(out, 0, sizeof *out);
  char *end;
  long port = colon ? strtol(colon + 1, &end, 10) : -1;
  if (port < 0 || port > 65535 || !colon[1] || *end || (size_t)(colon - text) >= sizeof host)
    return net_say(why, "an address is number:port");
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = 0;
  size_t length = strlen(host);
  if (length > 2 && host[0] == '[' && host[length - 1] == ']') {
    host[length - 1] = 0;
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons((uint16_t)port);
    *n = sizeof out->v6;
    return inet_pton(AF_INET6, host + 1, &out->v6.sin6_addr) == 1 ||
           net_say(why, "not an IPv6 address");
  }
  out->v4.sin_family = AF_INET;
  out->v4.sin_port = htons((uint16_t)port);
  *n = sizeof out->v4;
  return inet_pton(AF_INET, host, &out->v4.sin_addr) == 1 || net_say(why, "not an IPv4 address");
}

static bool net_loopback(const union net_address *a) {
  if (a->any.sa_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
  return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

/* ---- Opening ---- */

static void net_defaults(struct net_config *c) {
  c->queue_bytes = c->queue_bytes ? c->queue_bytes : 64 * 1024 * 1024;
  c->connections = c->connections ? c->connections : 1024;
  c->hello_us = c->hello_us ? c->hello_us : 3000000;
  c->ping_us = c->ping_us ? c->ping_us : 200000;
  c->dead_us = c->dead_us ? c->dead_us : 1000000;
  c->stall_us = c->stall_us ? c->stall_us : 30000000;
  c->self.version_min = c->self.version_min ? c->self.version_min : FRAME_VERSION_MIN;
  c->self.version_max = c->self.version_max ? c->self.version_max : FRAME_VERSION_MAX;
}

struct net *net_open(const struct net_config *config, char *why) {
  struct net *net = calloc(1, sizeof *net);
  if (!net) {
    net_say(why, "out of memory");
    return NULL;
  }
  net->config = *config;
  net->listener = -1;
  net_defaults(&net->config);
  net->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (net->epoll < 0)
    net_say(why, strerror(errno));
  else if (!config->self.node || doc_uuid_none(config->self.cluster))
    net_say(why, "a node needs an id and a cluster");
  else if (config->ca_file &&
           !(net->tls = link_tls_open(config->ca_file, config->cert_file, config->key_file, why)))
    ; /* `why` is told */
  else
    return net;
  net_close(net);
  return NULL;
}

bool net_listen(struct net *net, const char *address, int *port, char *why) {
  union net_address a;
  socklen_t n;
  int on = 1;
  if (!net_parse(address, &a, &n, why))
    return false;
  if (!net->tls && !net_loopback(&a))
    return net_say(why, "without TLS a node listens on loopback only");
  int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0)
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
  if (fd < 0 || bind(fd, &a.any, n) || listen(fd, 128) ||
      epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event)) {
    snprintf(why, HELLO_WHY, "%s: %s", address, strerror(errno));
    if (fd >= 0)
      close(fd);
    return false;
  }
  getsockname(fd, &a.any, &n);
  if (port)
    *port = ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
  net->listener = fd;
  return true;
}

/* ---- Connections ---- */

/* A connection over the socket, which is this function's to close. */
static struct net_conn *net_add(struct net *net, int fd, enum conn_state state) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct net_conn *conn = calloc(1, sizeof *conn);
  if (!conn) {
    close(fd);
    return NULL;
  }
  bool server = state == CONN_SHAKING;
  conn->link = net->tls ? link_tls_over(net->tls, fd, server) : link_tcp(fd);
  if (!conn->link) {
    free(conn);
    return NULL;
  }
  conn->net = net;
  conn->state = state;
  conn->events = EPOLLIN | (server ? 0u : (uint32_t)EPOLLOUT);
  conn->began_us = conn->heard_us = conn->moved_us = net->now_us;
  frame_reader_init(&conn->reader);
  conn->reader.version_min = net->config.self.version_min;
  conn->reader.version_max = net->config.self.version_max;
  struct epoll_event event = {.events = conn->events, .data.ptr = conn};
  if (epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event)) {
    conn_free(conn);
    return NULL;
  }
  conn->next = net->conns;
  net->conns = conn;
  net->n_conns++;
  return conn;
}

struct net_conn *net_connect(struct net *net, uint32_t node, const char *address,
                             enum net_class class, char *why) {
  union net_address a;
  socklen_t n;
  if (!net_parse(address, &a, &n, why))
    return NULL;
  if (!net->tls && !net_loopback(&a)) {
    net_say(why, "without TLS a node connects to loopback only");
    return NULL;
  }
  if (net->n_conns >= net->config.connections) {
    net_say(why, net_reason_name(NET_REFUSED_BUSY));
    return NULL;
  }
  int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    net_say(why, strerror(errno));
    return NULL;
  }
  int failed = connect(fd, &a.any, n) && errno != EINPROGRESS ? errno : 0;
  struct net_conn *conn = net_add(net, fd, CONN_DIALING);
  if (!conn) {
    net_say(why, "out of memory");
    return NULL;
  }
  conn->expected = node;
  conn->class = class;
  if (failed)
    conn_fail(conn, NET_NO_CONNECTION, strerror(failed));
  return conn;
}

static void net_accept(struct net *net) {
  for (int i = 0; i < 64; i++) {
    int fd = accept4(net->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    if (net->n_conns >= net->config.connections)
      close(fd); /* not even memory for saying so */
    else
      net_add(net, fd, CONN_SHAKING);
  }
}

/* Tells the owners of those that are over, and frees them. */
static void net_sweep(struct net *net) {
  const struct net_handler *h = &net->config.handler;
  for (struct net_conn **at = &net->conns; *at;) {
    struct net_conn *conn = *at;
    if (conn->state != CONN_OVER) {
      at = &conn->next;
      continue;
    }
    *at = conn->next;
    net->n_conns--;
    if (h->down)
      h->down(h->arg, conn, conn->reason, conn->why);
    /* Closing is not enough: a child that was just forked has the socket, too, until it runs
       another program, and so long it would stay in the set. */
    epoll_ctl(net->epoll, EPOLL_CTL_DEL, conn->link->fd, NULL);
    conn_free(conn);
    at = &net->conns; /* the owner may have begun others */
  }
}

static void net_interest(struct net *net, struct net_conn *conn) {
  uint32_t events = 0;
  bool early = conn->state == CONN_DIALING || conn->state == CONN_SHAKING;
  if (!conn->held && conn->state != CONN_ENDING)
    events |= EPOLLIN;
  if (conn->blocked || conn->state == CONN_DIALING || (early && conn->link->wants_write))
    events |= EPOLLOUT;
  if (events == conn->events)
    return;
  struct epoll_event event = {.events = events, .data.ptr = conn};
  epoll_ctl(net->epoll, EPOLL_CTL_MOD, conn->link->fd, &event);
  conn->events = events;
}

void net_run(struct net *net, int64_t now_us) {
  struct epoll_event events[64];
  net->now_us = now_us;
  int n = epoll_wait(net->epoll, events, 64, 0);
  for (int i = 0; i < n; i++) {
    struct net_conn *conn = events[i].data.ptr;
    if (!conn)
      net_accept(net);
    else if (conn->held && events[i].events & (EPOLLHUP | EPOLLERR))
      conn_fail(conn, NET_NO_CONNECTION, "the peer is gone");
    else
      conn_run(conn, (events[i].events & ~(uint32_t)EPOLLOUT) != 0);
  }
  for (struct net_conn *conn = net->conns; conn; conn = conn->next) {
    if (conn->state != CONN_OVER)
      conn_tick(conn);
    bool held_back = conn->state != CONN_OVER && conn_due(conn) <= now_us;
    if (held_back) /* queued meanwhile, or received but not looked at */
      conn_run(conn, true);
  }
  net_sweep(net);
  for (struct net_conn *conn = net->conns; conn; conn = conn->next)
    if (conn->state != CONN_OVER)
      net_interest(net, conn);
}

int net_fd(const struct net *net) { return net->epoll; }

int64_t net_due(const struct net *net) {
  int64_t due = INT64_MAX;
  for (const struct net_conn *conn = net->conns; conn; conn = conn->next) {
    int64_t at = conn_due(conn);
    due = at < due ? at : due;
  }
  return due;
}

void net_close(struct net *net) {
  if (!net)
    return;
  for (struct net_conn *conn = net->conns; conn; conn = conn->next)
    conn_fail(conn, NET_CLOSED, net_reason_name(NET_CLOSED));
  net_sweep(net);
  if (net->listener >= 0)
    close(net->listener);
  if (net->epoll >= 0)
    close(net->epoll);
  link_tls_close(net->tls);
  free(net);
}
