/*
 * grpc.c - connections that speak gRPC: one thread that waits for sockets, feeds nghttp2 and writes
 * what it has to say; see grpc.h. Calls are in grpc_call.c.
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
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/grpc_call.h"

enum { GRPC_EVENTS = 64, GRPC_READ = 256 * 1024, GRPC_WINDOW = 16 << 20, GRPC_FRAME = 1 << 20 };

struct srv_grpc {
  struct grpc_peer peer;
  pthread_t thread;
  int epoll;
  struct grpc_conn *arrived; /* not looked at yet; under the peer's mutex */
  _Atomic bool quiesced;
  _Atomic bool stopping;
  bool gone_away; /* the thread's own: clients know that it is quiesced */
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

/* Begins to serve a connection that has arrived. */
static void grpc_greet(struct srv_grpc *g, struct grpc_conn *c) {
  if (g->gone_away || g->n_conns >= g->peer.server->config.connections) {
    close(c->fd);
    free(c);
    return;
  }
  c->next = g->conns;
  g->conns = c;
  g->n_conns++;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* answers are small: no waiting */
  srv_deadlines_come(g->peer.deadlines, c, c->fd);
  c->timed = true;
  if (!grpc_session(c) || epoll_ctl(g->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
    grpc_conn_free(g, c);
}

static void grpc_arrivals(struct srv_grpc *g) {
  pthread_mutex_lock(&g->peer.mutex);
  struct grpc_conn *c = g->arrived, *next;
  g->arrived = NULL;
  pthread_mutex_unlock(&g->peer.mutex);
  for (; c; c = next) {
    next = c->next;
    grpc_greet(g, c);
  }
}

/* Whether the rest of what nghttp2 gave was written; false: the connection is gone. */
static bool grpc_write_some(struct grpc_conn *c) {
  ssize_t n = send(c->fd, c->pending, c->n_pending, MSG_NOSIGNAL);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  c->pending += n;
  c->n_pending -= (size_t)n;
  return true;
}

/* Writes until nothing is left or the socket takes no more; false: the connection is over. */
static bool grpc_flush(struct srv_grpc *g, struct grpc_conn *c) {
  for (;;) {
    if (c->n_pending == 0) {
      ssize_t n = nghttp2_session_mem_send(c->session, &c->pending);
      if (n < 0)
        return false;
      c->n_pending = (size_t)n;
      if (n == 0)
        break;
    }
    size_t before = c->n_pending;
    if (!grpc_write_some(c))
      return false;
    if (c->n_pending == before)
      break;
  }
  bool writing = c->n_pending > 0;
  if (writing != c->writing) {
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(g->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
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
  bool open = grpc_flush(g, c);
  if (alive && open)
    grpc_watch(c);
  else
    grpc_conn_free(g, c);
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void grpc_answers(struct srv_grpc *g) {
  srv_grpc_collect(&g->peer);
  struct grpc_conn *next;
  for (struct grpc_conn *c = g->conns; c; c = next) {
    next = c->next;
    if (!c->answered)
      continue;
    c->answered = false;
    grpc_serve(g, c, 0);
  }
}

/* Once: no new connections, and no new calls on the present ones. */
static void grpc_go_away(struct srv_grpc *g) {
  if (g->gone_away)
    return;
  g->gone_away = true;
  struct grpc_conn *next;
  for (struct grpc_conn *c = g->conns; c; c = next) {
    next = c->next;
    nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
    grpc_serve(g, c, 0);
  }
}

static void *grpc_work(void *arg) {
  struct srv_grpc *g = arg;
  struct epoll_event events[GRPC_EVENTS];
  while (!atomic_load(&g->stopping)) {
    int n = epoll_wait(g->epoll, events, GRPC_EVENTS, -1);
    bool woken = false;
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr == &g->peer)
        woken = true;
      else
        grpc_serve(g, events[i].data.ptr, events[i].events);
    }
    if (!woken)
      continue;
    /* After the events: this may free connections that they name. */
    uint64_t count;
    ssize_t got = read(g->peer.wake, &count, sizeof count);
    (void)got;
    grpc_answers(g);
    if (atomic_load(&g->quiesced))
      grpc_go_away(g);
    grpc_arrivals(g);
  }
  grpc_answers(g); /* those that workers gave before the queue ended */
  return NULL;
}

static void grpc_free(struct srv_grpc *g) {
  g->gone_away = true;
  grpc_arrivals(g); /* which closes them */
  while (g->conns)
    grpc_conn_free(g, g->conns);
  srv_grpc_collect(&g->peer);
  srv_deadlines_stop(g->peer.deadlines);
  if (g->epoll >= 0)
    close(g->epoll);
  if (g->peer.wake >= 0)
    close(g->peer.wake);
  pthread_mutex_destroy(&g->peer.mutex);
  free(g);
}

static bool grpc_prepare(struct srv_grpc *g) {
  g->epoll = epoll_create1(EPOLL_CLOEXEC);
  g->peer.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  g->peer.deadlines = srv_deadlines_start((unsigned)g->peer.server->config.request_seconds);
  struct epoll_event wake = {.events = EPOLLIN, .data.ptr = &g->peer};
  return g->epoll >= 0 && g->peer.wake >= 0 && g->peer.deadlines &&
         epoll_ctl(g->epoll, EPOLL_CTL_ADD, g->peer.wake, &wake) == 0 &&
         pthread_create(&g->thread, NULL, grpc_work, g) == 0;
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

static void grpc_wake(struct srv_grpc *g) {
  uint64_t one = 1;
  ssize_t n = write(g->peer.wake, &one, sizeof one);
  (void)n; /* a full counter wakes as well */
}

void srv_grpc_adopt(struct srv_grpc *g, int fd) {
  struct grpc_conn *c = calloc(1, sizeof *c);
  if (!c) {
    close(fd);
    return;
  }
  c->peer = &g->peer;
  c->fd = fd;
  pthread_mutex_lock(&g->peer.mutex);
  c->next = g->arrived;
  g->arrived = c;
  pthread_mutex_unlock(&g->peer.mutex);
  grpc_wake(g);
}

void srv_grpc_quiesce(struct srv_grpc *g) {
  atomic_store(&g->quiesced, true);
  grpc_wake(g);
}

void srv_grpc_stop(struct srv_grpc *g) {
  if (!g)
    return;
  atomic_store(&g->stopping, true);
  grpc_wake(g);
  pthread_join(g->thread, NULL);
  grpc_free(g);
}
