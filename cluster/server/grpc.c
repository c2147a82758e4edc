/*
 * grpc.c - connections that speak gRPC: feeds nghttp2 what has come and writes what it has to say;
 * see grpc.h. Calls are in grpc_call.c. Whoever has an answer writes it, with the mutex. Threads
 * may be about to look at a connection that has ended, so its memory stays, for the next one: they
 * find it closed, or look once too often.
 */
#include "server/grpc.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/grpc_call.h"

enum {
  GRPC_READ = 256 * 1024,
  GRPC_GATHER = 4096, /* frames are put together up to this, and beyond it go out singly */
  GRPC_WINDOW = 16 << 20,
  GRPC_FRAME = 1 << 20
};

struct srv_grpc {
  struct grpc_peer peer; /* first: connections find the rest by it */
  bool gone_away; /* clients know that no calls are taken; this and the rest: under the mutex */
  struct grpc_conn *conns, *spare; /* present ones, and memory of those that have ended */
  uint64_t n_conns;
  uint8_t buffer[GRPC_READ];
};

/* ---- Connections ----------------------------------------------------------------------------- */

static void grpc_conn_end(struct srv_grpc *g, struct grpc_conn *c) {
  struct grpc_conn **at = &g->conns;
  while (*at != c)
    at = &(*at)->next;
  *at = c->next;
  g->n_conns--;
  srv_deadlines_gone(g->peer.deadlines, &c->deadline);
  srv_grpc_forget(c);
  nghttp2_session_del(c->session);
  srv_stream_close(&c->stream);
  free(c->pending);
  c->session = NULL;
  c->pending = NULL;
  c->room = c->n_pending = c->sent = 0;
  c->next = g->spare;
  g->spare = c;
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
    ssize_t n = srv_stream_write(&c->stream, c->pending + c->sent, c->n_pending - c->sent);
    if (n == SRV_STREAM_LATER)
      break;
    if (n < 0)
      return false;
    c->sent += (size_t)n;
  }
  return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

/* The clock runs while the client owes something: the rest of a call, the reading of an answer, or,
   with no call under way, the next one. It runs for the oldest call of which something is owed, and
   other calls do not set it anew. */
static void grpc_watch(struct grpc_conn *c) {
  int32_t owed = srv_grpc_owed(c);
  bool owes = owed || c->n_pending > 0 || !c->calls;
  if (owes && (!c->timed || (owed ? owed != c->timing : c->ended)))
    srv_deadlines_set(c->peer->deadlines, &c->deadline);
  c->timing = owed;
  if (!owes && c->timed)
    srv_deadlines_met(&c->deadline);
  c->timed = owes;
  c->ended = false;
}

static void grpc_await(struct grpc_conn *c) {
  c->writing = c->n_pending > 0;
  enum srv_ready what = c->writing ? SRV_READABLE | SRV_WRITABLE : SRV_READABLE;
  srv_pool_await(c->peer->server->pool, &c->source, srv_stream_awaits(&c->stream, what));
}

/* Until the client falls silent, or others should have their turn. */
static bool grpc_read(struct srv_grpc *g, struct grpc_conn *c) {
  ssize_t n = srv_stream_read(&c->stream, g->buffer, sizeof g->buffer);
  if (n == SRV_STREAM_LATER)
    return true;
  return n > 0 && nghttp2_session_mem_recv(c->session, g->buffer, (size_t)n) == n;
}

static void grpc_look(void *who) {
  struct grpc_conn *c = who;
  struct srv_grpc *g = (struct srv_grpc *)c->peer;
  pthread_mutex_lock(&g->peer.mutex);
  if (c->session) {
    bool alive = grpc_read(g, c);
    /* What nghttp2 says about a faulty client (GOAWAY) is still sent. */
    bool open = grpc_flush(c);
    if (alive && open) {
      grpc_watch(c);
      grpc_await(c);
    } else {
      grpc_conn_end(g, c);
    }
  }
  pthread_mutex_unlock(&g->peer.mutex);
}

void srv_grpc_answered(struct grpc_conn *c) {
  if (!grpc_flush(c)) {
    srv_stream_cut(&c->stream); /* which who looks sees */
    return;
  }
  grpc_watch(c);
  if (c->n_pending > 0 && !c->writing)
    grpc_await(c);
}

/* Memory that another connection had, if there is such. */
static struct grpc_conn *grpc_conn_new(struct srv_grpc *g) {
  struct grpc_conn *c = g->spare;
  if (c) {
    g->spare = c->next;
    return c;
  }
  c = calloc(1, sizeof *c);
  if (c) {
    c->peer = &g->peer;
    c->source = (struct srv_source){-1, grpc_look, c, false};
  }
  return c;
}

void srv_grpc_adopt(struct srv_grpc *g, const struct srv_stream *stream) {
  struct srv_stream taken = *stream;
  pthread_mutex_lock(&g->peer.mutex);
  bool room = !g->gone_away && g->n_conns < g->peer.server->config.connections;
  struct grpc_conn *c = room ? grpc_conn_new(g) : NULL;
  if (!c) {
    srv_stream_close(&taken);
  } else {
    c->stream = taken;
    c->source.fd = taken.fd;
    c->next = g->conns;
    g->conns = c;
    g->n_conns++;
    srv_deadlines_come(g->peer.deadlines, &c->deadline, taken.fd);
    c->timed = true;
    c->writing = c->ended = false;
    c->timing = 0;
    if (!grpc_session(c) || !srv_pool_watch(g->peer.server->pool, &c->source,
                                            srv_stream_awaits(&c->stream, SRV_READABLE)))
      grpc_conn_end(g, c);
  }
  pthread_mutex_unlock(&g->peer.mutex);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

static void grpc_free(struct srv_grpc *g) {
  while (g->conns)
    grpc_conn_end(g, g->conns);
  while (g->spare) {
    struct grpc_conn *next = g->spare->next;
    free(g->spare);
    g->spare = next;
  }
  srv_deadlines_stop(g->peer.deadlines);
  pthread_mutex_destroy(&g->peer.mutex);
  free(g);
}

struct srv_grpc *srv_grpc_start(struct srv_server *server, char *error) {
  struct srv_grpc *g = calloc(1, sizeof *g);
  if (!g) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&g->peer.mutex, NULL);
  g->peer.server = server;
  g->peer.deadlines = srv_deadlines_start((unsigned)server->config.request_seconds, 0);
  if (g->peer.deadlines)
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
