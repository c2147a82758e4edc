/*
 * grpc.c - connections that speak gRPC: waits for sockets, feeds nghttp2 and writes what it has to
 * say; see grpc.h. Calls are in grpc_call.c. Whoever has an answer writes it, with the mutex. But
 * connections are freed only by who looks at the sockets, since events may be in hand.
 */
#include "server/grpc.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/grpc_call.h"

enum {
  GRPC_EVENTS = 64,
  GRPC_READ = 256 * 1024,
  GRPC_GATHER = 4096, /* frames are put together up to this, and beyond it go out singly */
  GRPC_WINDOW = 16 << 20,
  GRPC_FRAME = 1 << 20
};

struct srv_grpc {
  struct grpc_peer peer;
  struct srv_source source; /* the epoll set */
  bool gone_away; /* clients know that no calls are taken; this and the rest: under the mutex */
  struct grpc_conn *conns;
  uint64_t n_conns;
  uint8_t buffer[GRPC_READ];
};

/* ---- Connections ----------------------------------------------------------------------------- */

static void grpc_conn_free(struct srv_grpc *g, struct grpc_conn *c) {
  struct grpc_conn **at = &g->conns;
  while (*at != c)
    at = &(*at)->next;
  *at = c->next;
  g->n_conns--;
  srv_deadlines_gone(g->peer.deadlines, c);
  srv_grpc_forget(c);
  nghttp2_session_del(c->session);
  close(c->fd);
  free(c->pending);
  free(c);
}

static bool grpc_session(struct grpc_conn *c) {
  static const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 128},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_WINDOW},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, GRPC_FRAME},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 16384},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  };
  nghttp2_session_callbacks *callbacks;
  if (nghttp2_session_callbacks_new(&callbacks) != 0)
    return false;
  srv_grpc_callbacks(callbacks);
  int rc = nghttp2_session_server_new(&c->session, callbacks, c);
  nghttp2_session_callbacks_del(callbacks);
  return rc == 0 &&
         nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                 sizeof settings / sizeof settings[0]) == 0 &&
         nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, GRPC_WINDOW) == 0;
}

/* Adds to what is to be written. */
static bool grpc_keep(struct grpc_conn *c, const uint8_t *data, size_t n) {
  if (n > c->room - c->n_pending) {
    size_t room = c->n_pending + n < GRPC_GATHER ? GRPC_GATHER : c->n_pending + n;
    uint8_t *grown = realloc(c->pending, room);
    if (!grown)
      return false;
    c->pending = grown;
    c->room = room;
  }
  memcpy(c->pending + c->n_pending, data, n);
  c->n_pending += n;
  return true;
}

/* Has nghttp2 put into words what it has to say, frame after frame: an answer is three, and one
   packet. False: no more can be said. */
static bool grpc_gather(struct grpc_conn *c) {
  const uint8_t *frame;
  ssize_t n = 1;
  c->sent = c->n_pending = 0;
  while (n > 0 && c->n_pending < GRPC_GATHER) {
    n = nghttp2_session_mem_send(c->session, &frame);
    if (n < 0)
      return false;
    if (n > 0)
      n = grpc_keep(c, frame, (size_t)n) ? n : -1;
  }
  return n >= 0;
}

/* Writes until nothing is left or the socket takes no more; false: the connection is over. */
static bool grpc_flush(struct grpc_conn *c) {
  for (;;) {
    if (c->sent == c->n_pending && !grpc_gather(c))
      return false;
    if (c->n_pending == 0)
      break;
    ssize_t n = send(c->fd, c->pending + c->sent, c->n_pending - c->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      break;
    if (n < 0)
      return false;
    c->sent += (size_t)n;
  }
  bool writing = c->n_pending > 0;
  if (writing != c->writing) {
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(c->peer->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
      return false;
    c->writing = writing;
  }
  return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

/* The clock runs while the client owes something: the rest of a call, the reading of an answer, or,
   with no call under way, the next one. A call that ends sets it anew. */
static void grpc_watch(struct grpc_conn *c) {
  bool owes = c->receiving > 0 || c->n_pending > 0 || !c->calls;
  if (owes && (!c->timed || c->ended))
    srv_deadlines_set(c->peer->deadlines, c);
  if (!owes && c->timed)
    srv_deadlines_met(c->peer->deadlines, c);
  c->timed = owes;
  c->ended = false;
}

static bool grpc_read(struct srv_grpc *g, struct grpc_conn *c) {
  ssize_t n = recv(c->fd, g->buffer, sizeof g->buffer, 0);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  return n > 0 && nghttp2_session_mem_recv(c->session, g->buffer, (size_t)n) == n;
}

static void grpc_serve(struct srv_grpc *g, struct grpc_conn *c, uint32_t events) {
  bool alive = !(events & EPOLLERR);
  if (alive && (events & (EPOLLIN | EPOLLHUP)))
    alive = grpc_read(g, c);
  /* What nghttp2 says about a faulty client (GOAWAY) is still sent. */
  bool open = grpc_flush(c);
  if (alive && open)
    grpc_watch(c);
  else
    grpc_conn_free(g, c);
}

void srv_grpc_answered(struct grpc_conn *c) {
  if (grpc_flush(c))
    grpc_watch(c);
  else
    shutdown(c->fd, SHUT_RDWR); /* which the thread sees */
}

void srv_grpc_adopt(struct srv_grpc *g, int fd) {
  struct epoll_event event = {.events = EPOLLIN};
  int one = 1;
  struct grpc_conn *c = calloc(1, sizeof *c);
  pthread_mutex_lock(&g->peer.mutex);
  if (!c || g->gone_away || g->n_conns >= g->peer.server->config.connections) {
    free(c);
    close(fd);
  } else {
    c->peer = &g->peer;
    c->fd = fd;
    c->next = g->conns;
    g->conns = c;
    g->n_conns++;
    event.data.ptr = c;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* answers are small: no waiting */
    srv_deadlines_come(g->peer.deadlines, c, fd);
    c->timed = true;
    if (!grpc_session(c) || epoll_ctl(g->peer.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
      grpc_conn_free(g, c); /* of which no event can be in hand */
  }
  pthread_mutex_unlock(&g->peer.mutex);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

static void grpc_look(void *who) {
  struct srv_grpc *g = who;
  struct epoll_event events[GRPC_EVENTS];
  pthread_mutex_lock(&g->peer.mutex);
  int n = epoll_wait(g->peer.epoll, events, GRPC_EVENTS, 0);
  for (int i = 0; i < n; i++)
    grpc_serve(g, events[i].data.ptr, events[i].events);
  pthread_mutex_unlock(&g->peer.mutex);
}

static void grpc_free(struct srv_grpc *g) {
  while (g->conns)
    grpc_conn_free(g, g->conns);
  srv_deadlines_stop(g->peer.deadlines);
  if (g->peer.epoll >= 0)
    close(g->peer.epoll);
  pthread_mutex_destroy(&g->peer.mutex);
  free(g);
}

static bool grpc_prepare(struct srv_grpc *g) {
  g->peer.epoll = epoll_create1(EPOLL_CLOEXEC);
  g->peer.deadlines = srv_deadlines_start((unsigned)g->peer.server->config.request_seconds);
  g->source = (struct srv_source){g->peer.epoll, grpc_look, g};
  return g->peer.epoll >= 0 && g->peer.deadlines &&
         srv_pool_watch(g->peer.server->pool, &g->source);
}

struct srv_grpc *srv_grpc_start(struct srv_server *server, char *error) {
  struct srv_grpc *g = calloc(1, sizeof *g);
  if (!g) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&g->peer.mutex, NULL);
  g->peer.server = server;
  if (grpc_prepare(g))
    return g;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve gRPC: %s", strerror(errno));
  grpc_free(g);
  return NULL;
}

void srv_grpc_quiesce(struct srv_grpc *g) {
  pthread_mutex_lock(&g->peer.mutex);
  g->gone_away = true;
  for (struct grpc_conn *c = g->conns; c; c = c->next) {
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    srv_grpc_answered(c);
  }
  pthread_mutex_unlock(&g->peer.mutex);
}

void srv_grpc_stop(struct srv_grpc *g) {
  if (g)
    grpc_free(g);
}
