/* faultproxy.c - a proxy that holds back and delays; see faultproxy.h. */
#include "cluster/faultproxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROXY_CONNS = 4096, PROXY_BUFFER = 65536 };

/* What one side of a connection has said and the other has not got yet. */
struct proxy_half {
  size_t n, sent;
  int64_t due_ms;
  char bytes[PROXY_BUFFER];
};

struct proxy_conn {
  int end[2]; /* who called, who was called */
  int fd[2];
  struct proxy_half half[2]; /* by who said it */
};

struct fault_proxy {
  pthread_t thread;
  pthread_mutex_t mutex; /* of what follows; the thread has it but while it waits */
  bool closing;
  int wake;
  int port[FAULT_ENDS], shown[FAULT_ENDS]; /* where it listens, where it is called */
  int listener[FAULT_ENDS];                /* -1: none */
  bool held[FAULT_ENDS][FAULT_ENDS];
  int delay_ms[FAULT_ENDS][FAULT_ENDS];
  struct proxy_conn *conns[PROXY_CONNS];
  size_t n;
};

/* Failing memory and descriptors are not what this is about. */
static void proxy_must(bool good) {
  if (!good)
    abort();
}

static int64_t proxy_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct sockaddr_in proxy_address(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)port)};
}

static int proxy_socket(void) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  proxy_must(fd >= 0);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

/* ---- Connections ---- */

static void proxy_accept(struct fault_proxy *p, int end) {
  struct sockaddr_in from, to = proxy_address(p->port[end]);
  socklen_t n = sizeof from;
  int on = 1;
  int fd = accept4(p->listener[end], (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0)
    return;
  if (p->n == PROXY_CONNS) {
    close(fd);
    return;
  }
  struct proxy_conn *c = calloc(1, sizeof *c);
  proxy_must(c != NULL);
  int last = (int)(ntohl(from.sin_addr.s_addr) & 255);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->end[0] = last >= FAULT_ADDRESS && last < FAULT_ADDRESS + FAULT_ENDS ? last - FAULT_ADDRESS : 0;
  c->end[1] = end;
  c->fd[0] = fd;
  c->fd[1] = proxy_socket();
  (void)connect(c->fd[1], (struct sockaddr *)&to, sizeof to); /* reading tells how it went */
  p->conns[p->n++] = c;
}

static bool proxy_held(const struct fault_proxy *p, const struct proxy_conn *c, int side) {
  return p->held[c->end[side]][c->end[!side]];
}

static bool proxy_due(const struct fault_proxy *p, const struct proxy_conn *c, int side,
                      int64_t now) {
  return c->half[side].n && now >= c->half[side].due_ms && !proxy_held(p, c, side);
}

/* False: the connection is over, and all that was said before has been delivered. */
static bool proxy_read(struct fault_proxy *p, struct proxy_conn *c, int side, int64_t now) {
  struct proxy_half *h = &c->half[side];
  if (h->n || proxy_held(p, c, side))
    return true;
  ssize_t got = read(c->fd[side], h->bytes, sizeof h->bytes);
  if (got <= 0)
    return got < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINTR);
  h->n = (size_t)got;
  h->sent = 0;
  h->due_ms = now + p->delay_ms[c->end[side]][c->end[!side]];
  return true;
}

static bool proxy_write(struct fault_proxy *p, struct proxy_conn *c, int side, int64_t now) {
  struct proxy_half *h = &c->half[side];
  if (!proxy_due(p, c, side, now))
    return true;
  ssize_t put = send(c->fd[!side], h->bytes + h->sent, h->n - h->sent, MSG_NOSIGNAL);
  if (put < 0)
    return errno == EAGAIN || errno == ENOTCONN || errno == EINTR;
  h->sent += (size_t)put;
  if (h->sent == h->n)
    h->n = h->sent = 0;
  return true;
}

static void proxy_drop(struct fault_proxy *p, size_t i) {
  close(p->conns[i]->fd[0]);
  close(p->conns[i]->fd[1]);
  free(p->conns[i]);
  p->conns[i] = p->conns[--p->n];
}

static void proxy_move(struct fault_proxy *p) {
  int64_t now = proxy_clock();
  for (size_t i = p->n; i-- > 0;) {
    bool open = true;
    for (int side = 0; side < 2 && open; side++)
      open = proxy_read(p, p->conns[i], side, now) && proxy_write(p, p->conns[i], side, now);
    if (!open)
      proxy_drop(p, i);
  }
}

/* ---- The thread ---- */

struct proxy_wait {
  struct pollfd fds[1 + FAULT_ENDS + 2 * PROXY_CONNS];
  nfds_t n;
  int timeout;
};

/* A socket of which nothing is wanted is not looked at: its end would be told all the time. */
static void proxy_want(struct proxy_wait *w, int fd, int events) {
  if (events)
    w->fds[w->n++] = (struct pollfd){fd, (short)events, 0};
}

static void proxy_prepare(const struct fault_proxy *p, struct proxy_wait *w) {
  int64_t now = proxy_clock();
  w->n = 0;
  w->timeout = -1;
  proxy_want(w, p->wake, POLLIN);
  for (int end = 0; end < FAULT_ENDS; end++)
    if (p->listener[end] >= 0)
      proxy_want(w, p->listener[end], POLLIN);
  for (size_t i = 0; i < p->n; i++) {
    const struct proxy_conn *c = p->conns[i];
    for (int side = 0; side < 2; side++) {
      const struct proxy_half *h = &c->half[side];
      int wait = h->n && h->due_ms > now ? (int)(h->due_ms - now) : -1;
      bool reads = !h->n && !proxy_held(p, c, side), writes = proxy_due(p, c, !side, now);
      proxy_want(w, c->fd[side], (reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
      w->timeout = wait > 0 && (w->timeout < 0 || wait < w->timeout) ? wait : w->timeout;
    }
  }
}

static void *proxy_thread(void *arg) {
  struct fault_proxy *p = arg;
  static struct proxy_wait w;
  uint64_t woken;
  pthread_mutex_lock(&p->mutex);
  while (!p->closing) {
    proxy_prepare(p, &w);
    pthread_mutex_unlock(&p->mutex);
    poll(w.fds, w.n, w.timeout);
    pthread_mutex_lock(&p->mutex);
    (void)!read(p->wake, &woken, sizeof woken);
    for (int end = 0; end < FAULT_ENDS; end++)
      if (p->listener[end] >= 0)
        proxy_accept(p, end);
    proxy_move(p);
  }
  pthread_mutex_unlock(&p->mutex);
  return NULL;
}

/* ---- What tests call ---- */

static void proxy_changed(struct fault_proxy *p) {
  const uint64_t one = 1;
  proxy_must(write(p->wake, &one, sizeof one) == sizeof one);
  pthread_mutex_unlock(&p->mutex);
}

struct fault_proxy *fault_proxy_open(void) {
  struct fault_proxy *p = calloc(1, sizeof *p);
  proxy_must(p != NULL);
  pthread_mutex_init(&p->mutex, NULL);
  p->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  for (int end = 0; end < FAULT_ENDS; end++)
    p->listener[end] = -1;
  proxy_must(p->wake >= 0 && !pthread_create(&p->thread, NULL, proxy_thread, p));
  return p;
}

void fault_proxy_close(struct fault_proxy *p) {
  pthread_mutex_lock(&p->mutex);
  p->closing = true;
  proxy_changed(p);
  pthread_join(p->thread, NULL);
  while (p->n)
    proxy_drop(p, p->n - 1);
  for (int end = 0; end < FAULT_ENDS; end++)
    if (p->listener[end] >= 0)
      close(p->listener[end]);
  close(p->wake);
  pthread_mutex_destroy(&p->mutex);
  free(p);
}

static void proxy_listen(struct fault_proxy *p, int end) {
  struct sockaddr_in a = proxy_address(p->shown[end]);
  socklen_t n = sizeof a;
  int fd = proxy_socket();
  proxy_must(!bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 128) &&
             !getsockname(fd, (struct sockaddr *)&a, &n));
  p->shown[end] = ntohs(a.sin_port);
  p->listener[end] = fd;
}

int fault_proxy_add(struct fault_proxy *p, int end, int port) {
  pthread_mutex_lock(&p->mutex);
  p->port[end] = port;
  proxy_listen(p, end);
  proxy_changed(p);
  return p->shown[end];
}

void fault_proxy_down(struct fault_proxy *p, int end, bool down) {
  pthread_mutex_lock(&p->mutex);
  if (down && p->listener[end] >= 0) {
    close(p->listener[end]);
    p->listener[end] = -1;
  } else if (!down && p->listener[end] < 0) {
    proxy_listen(p, end);
  }
  proxy_changed(p);
}

void fault_proxy_hold(struct fault_proxy *p, int from, int to, bool held) {
  pthread_mutex_lock(&p->mutex);
  p->held[from][to] = held;
  proxy_changed(p);
}

void fault_proxy_delay(struct fault_proxy *p, int from, int to, int ms) {
  pthread_mutex_lock(&p->mutex);
  p->delay_ms[from][to] = ms;
  proxy_changed(p);
}
