/* front.c - accepts, and looks at first bytes without taking them; see front.h. */
#include "server/front.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/auth.h"
#include "server/deadlines.h"
#include "server/handshake.h"
#include "server/listen.h"
#include "server/sight.h"

enum { FRONT_ADDRESSES = 16, FRONT_EVENTS = 64 };

struct front_address {
  enum srv_front_kind kind;
  int socket; /* -1: closed */
  unsigned port;
};

/* A connection that has not said what it speaks. */
struct front_client {
  struct front_client *next, *prev;
  struct srv_deadline deadline;
  struct srv_stream stream;
};

struct srv_front {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  struct srv_handshakes *handshakes; /* NULL: TLS is not spoken */
  struct srv_source source; /* the epoll set */
  pthread_mutex_t mutex;    /* of all else: one thread looks at a time, but not always the same */
  int epoll;
  int wake;  /* an eventfd */
  int spare; /* given up for a moment when there are no more descriptors */
  _Atomic bool quiesced;
  struct front_client *clients;
  uint64_t n_clients;
  unsigned n_addresses;
  struct front_address addresses[2 * FRONT_ADDRESSES];
};

/* ---- Clients --------------------------------------------------------------------------------- */

/* What the bytes that have come say. */
static enum srv_sight front_look(int fd) {
  char first[SRV_SIGHT_BYTES];
  ssize_t n = recv(fd, first, sizeof first, MSG_PEEK);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR ? SRV_SIGHT_NOTHING : SRV_SIGHT_GONE;
  return n == 0 ? SRV_SIGHT_GONE : srv_sight_of(first, (size_t)n);
}

static void front_forget(struct srv_front *f, struct front_client *c) {
  srv_deadlines_gone(f->deadlines, &c->deadline);
  if (c->next)
    c->next->prev = c->prev;
  if (c->prev)
    c->prev->next = c->next;
  else
    f->clients = c->next;
  f->n_clients--;
  free(c);
}

/* Something has come, or nothing more will: the client has gone or was cut off. What it said before
   is still there to be looked at then. */
static void front_serve(struct srv_front *f, struct front_client *c, uint32_t events) {
  enum srv_sight sight = front_look(c->stream.fd);
  struct srv_stream stream = c->stream;
  if (sight == SRV_SIGHT_NOTHING && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
    return;
  epoll_ctl(f->epoll, EPOLL_CTL_DEL, stream.fd, NULL);
  front_forget(f, c);
  srv_sight_hand(f->server, &stream, sight);
}

/* Keeps a silent client until it says something. Edges are waited for: what was looked at without
   telling enough stays in the socket. */
static void front_keep(struct srv_front *f, struct srv_stream *stream) {
  struct front_client *c =
      f->n_clients < f->server->config.connections ? calloc(1, sizeof *c) : NULL;
  if (!c) {
    srv_stream_close(stream);
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  c->stream = *stream;
  c->next = f->clients;
  if (c->next)
    c->next->prev = c;
  f->clients = c;
  f->n_clients++;
  srv_deadlines_come(f->deadlines, &c->deadline, stream->fd);
  if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, stream->fd, &event) == 0)
    return;
  front_forget(f, c);
  srv_stream_close(stream);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

/* With no descriptor left the client would wait, and the socket would ask to be served for ever:
   so the spare one is used to accept and close. */
static bool front_turn_away(struct srv_front *f, int socket) {
  close(f->spare);
  int fd = accept4(socket, NULL, NULL, SOCK_CLOEXEC);
  if (fd >= 0)
    close(fd);
  f->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return fd >= 0;
}

static void front_begin(struct srv_front *f, int fd, enum srv_front_kind kind) {
  struct srv_server *server = f->server;
  struct srv_stream stream;
  if (!srv_stream_open(&stream, fd, server->crowd, server->config.address_connections))
    return;
  if (f->handshakes) {
    srv_handshakes_adopt(f->handshakes, &stream, kind == SRV_FRONT_MILVUS);
    return;
  }
  enum srv_sight sight = kind == SRV_FRONT_MILVUS ? SRV_SIGHT_HTTP2 : front_look(fd);
  if (sight == SRV_SIGHT_NOTHING)
    front_keep(f, &stream);
  else
    srv_sight_hand(server, &stream, sight);
}

static void front_accept(struct srv_front *f, const struct front_address *a) {
  for (;;) {
    int fd = accept4(a->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    bool full = fd < 0 && (errno == EMFILE || errno == ENFILE);
    if (fd < 0 && !(full && front_turn_away(f, a->socket)))
      return;
    if (fd < 0)
      continue;
    front_begin(f, fd, a->kind);
  }
}

static void front_close(struct srv_front *f) {
  for (unsigned i = 0; i < f->n_addresses; i++) {
    if (f->addresses[i].socket >= 0)
      close(f->addresses[i].socket);
    f->addresses[i].socket = -1;
  }
}

/* ---- What is ready --------------------------------------------------------------------------- */

static bool front_is_address(const struct srv_front *f, const void *p) {
  const struct front_address *a = p;
  return a >= f->addresses && a < f->addresses + f->n_addresses;
}

static void front_look_at_all(void *who) {
  struct srv_front *f = who;
  struct epoll_event events[FRONT_EVENTS];
  pthread_mutex_lock(&f->mutex);
  int n = epoll_wait(f->epoll, events, FRONT_EVENTS, 0);
  bool quiesced = atomic_load(&f->quiesced);
  for (int i = 0; i < n; i++) {
    void *p = events[i].data.ptr;
    uint64_t count;
    if (p == f) {
      ssize_t got = read(f->wake, &count, sizeof count);
      (void)got;
    } else if (!front_is_address(f, p)) {
      front_serve(f, p, events[i].events);
    } else if (!quiesced) {
      front_accept(f, p);
    }
  }
  if (quiesced)
    front_close(f);
  pthread_mutex_unlock(&f->mutex);
  srv_pool_await(f->server->pool, &f->source, SRV_READABLE);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

static bool front_watch(struct srv_front *f, int fd, void *what) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
  return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* The addresses of a comma-separated setting. */
static bool front_listen(struct srv_front *f, enum srv_front_kind kind, const char *setting,
                         char *error) {
  char list[SRV_CONFIG_TEXT];
  char *rest = NULL;
  unsigned n = 0;
  snprintf(list, sizeof list, "%s", setting);
  for (char *a = strtok_r(list, ", ", &rest); a; a = strtok_r(NULL, ", ", &rest)) {
    if (n++ == FRONT_ADDRESSES) {
      snprintf(error, SRV_CONFIG_ERROR, "more than %d addresses to listen on", FRONT_ADDRESSES);
      return false;
    }
    struct front_address *at = &f->addresses[f->n_addresses];
    at->kind = kind;
    at->socket = srv_listen(a, error);
    if (at->socket < 0)
      return false;
    f->n_addresses++;
    if (!srv_auth_may_listen(f->server->auth, at->socket, error))
      return false;
    at->port = srv_listen_port(at->socket);
    if (!front_watch(f, at->socket, at)) {
      snprintf(error, SRV_CONFIG_ERROR, "cannot serve on %.200s: %s", a, strerror(errno));
      return false;
    }
  }
  return true;
}

static bool front_prepare(struct srv_front *f, char *error) {
  const struct srv_config *c = &f->server->config;
  f->epoll = epoll_create1(EPOLL_CLOEXEC);
  f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  f->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  f->deadlines = srv_deadlines_start((unsigned)c->request_seconds, 0);
  if (f->epoll < 0 || f->wake < 0 || f->spare < 0 || !f->deadlines ||
      !front_watch(f, f->wake, f)) {
    snprintf(error, SRV_CONFIG_ERROR, "cannot serve: %s", strerror(errno));
    return false;
  }
  f->handshakes = f->server->tls ? srv_handshakes_start(f->server, error) : NULL;
  if (f->server->tls && !f->handshakes)
    return false;
  if (!front_listen(f, SRV_FRONT_ALL, c->listen, error))
    return false;
  if (f->n_addresses == 0) {
    snprintf(error, SRV_CONFIG_ERROR, "server.listen names no address");
    return false;
  }
  if (!front_listen(f, SRV_FRONT_MILVUS, c->milvus, error))
    return false;
  f->source = (struct srv_source){f->epoll, front_look_at_all, f, false};
  if (srv_pool_watch(f->server->pool, &f->source, SRV_READABLE))
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve: %s", strerror(errno));
  return false;
}

struct srv_front *srv_front_start(struct srv_server *server, char *error) {
  struct srv_front *f = calloc(1, sizeof *f);
  if (!f) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  f->server = server;
  pthread_mutex_init(&f->mutex, NULL);
  if (front_prepare(f, error))
    return f;
  srv_front_stop(f);
  return NULL;
}

unsigned srv_front_port(const struct srv_front *f, enum srv_front_kind kind, unsigned i) {
  for (unsigned a = 0; a < f->n_addresses; a++)
    if (f->addresses[a].kind == kind && i-- == 0)
      return f->addresses[a].port;
  return 0;
}

void srv_front_quiesce(struct srv_front *f) {
  uint64_t one = 1;
  atomic_store(&f->quiesced, true);
  ssize_t n = write(f->wake, &one, sizeof one);
  (void)n; /* a full counter wakes as well */
}

void srv_front_stop(struct srv_front *f) {
  if (!f)
    return;
  while (f->clients) {
    struct srv_stream stream = f->clients->stream;
    front_forget(f, f->clients);
    srv_stream_close(&stream);
  }
  front_close(f);
  srv_handshakes_stop(f->handshakes);
  srv_deadlines_stop(f->deadlines);
  pthread_mutex_destroy(&f->mutex);
  const int all[] = {f->epoll, f->wake, f->spare};
  for (int i = 0; i < 3; i++)
    if (all[i] >= 0)
      close(all[i]);
  free(f);
}
