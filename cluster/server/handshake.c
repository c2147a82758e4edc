/* handshake.c - see handshake.h. */
#include "server/handshake.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/deadlines.h"
#include "server/sight.h"
#include "server/stream.h"
#include "server/tls.h"

struct handshake {
  struct srv_handshakes *all;
  struct handshake *next, *prev;
  struct srv_stream stream;
  struct srv_source source;
  struct srv_deadline deadline;
  bool grpc; /* whatever the client asks for */
  bool done; /* what follows is the protocol's */
};

struct srv_handshakes {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  pthread_mutex_t mutex; /* of the list */
  struct handshake *first;
  uint64_t n;
};

static void handshake_forget(struct handshake *h) {
  struct srv_handshakes *all = h->all;
  pthread_mutex_lock(&all->mutex);
  if (h->next)
    h->next->prev = h->prev;
  if (h->prev)
    h->prev->next = h->next;
  else
    all->first = h->next;
  all->n--;
  pthread_mutex_unlock(&all->mutex);
  srv_deadlines_gone(all->deadlines, &h->deadline);
  free(h);
}

/* What the client asked for by ALPN, or, without that, begins to say. */
static enum srv_sight handshake_sight(struct handshake *h) {
  const unsigned char *name;
  const char *first;
  unsigned n_name;
  if (h->grpc)
    return SRV_SIGHT_HTTP2;
  SSL_get0_alpn_selected(h->stream.tls, &name, &n_name);
  if (n_name > 0)
    return n_name == 2 ? SRV_SIGHT_HTTP2 : SRV_SIGHT_HTTP1; /* "h2" */
  ssize_t n = srv_stream_look(&h->stream, &first, SRV_SIGHT_BYTES);
  if (n < 0)
    return n == SRV_STREAM_LATER ? SRV_SIGHT_NOTHING : SRV_SIGHT_GONE;
  return srv_sight_of(first, (size_t)n);
}

/* Tells who speaks HTTP without TLS, and takes what has come: closing a socket with bytes left in
   it would make the system throw away what was sent. */
static void handshake_explain(const struct handshake *h) {
  static const char plain[] =
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 26\r\n"
      "Connection: close\r\n\r\nTLS is spoken here: https\n";
  char bytes[4096];
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
    send(h->stream.fd, plain, sizeof plain - 1, MSG_NOSIGNAL);
  ssize_t taken = recv(h->stream.fd, bytes, sizeof bytes, MSG_DONTWAIT);
  (void)taken;
}

static enum srv_sight handshake_go(struct handshake *h) {
  if (!h->done) {
    int rc = srv_stream_shake(&h->stream);
    if (rc == SRV_STREAM_LATER)
      return SRV_SIGHT_NOTHING;
    if (rc == SRV_STREAM_LOST) {
      handshake_explain(h);
      return SRV_SIGHT_GONE;
    }
    h->done = true;
  }
  return handshake_sight(h);
}

static void handshake_look(void *who) {
  struct handshake *h = who;
  struct srv_server *server = h->all->server;
  enum srv_sight sight = handshake_go(h);
  if (sight == SRV_SIGHT_NOTHING) {
    srv_pool_await(server->pool, &h->source, h->stream.reading);
    return;
  }
  struct srv_stream stream = h->stream;
  srv_pool_forget(server->pool, &h->source);
  handshake_forget(h);
  srv_sight_hand(server, &stream, sight);
}

/* Puts it into the list, unless there are too many. */
static bool handshake_enter(struct srv_handshakes *all, struct handshake *h) {
  pthread_mutex_lock(&all->mutex);
  bool room = all->n < all->server->config.connections;
  if (room) {
    h->next = all->first;
    if (h->next)
      h->next->prev = h;
    all->first = h;
    all->n++;
  }
  pthread_mutex_unlock(&all->mutex);
  return room;
}

void srv_handshakes_adopt(struct srv_handshakes *all, const struct srv_stream *stream, bool grpc) {
  struct srv_stream taken = *stream;
  struct handshake *h = calloc(1, sizeof *h);
  SSL *tls = h ? srv_tls_open(all->server->tls) : NULL;
  if (!tls || !handshake_enter(all, h)) {
    SSL_free(tls);
    free(h);
    srv_stream_close(&taken);
    return;
  }
  srv_stream_secure(&taken, tls);
  h->all = all;
  h->grpc = grpc;
  h->source = (struct srv_source){taken.fd, handshake_look, h, false};
  h->stream = taken;
  srv_deadlines_come(all->deadlines, &h->deadline, taken.fd);
  if (srv_pool_watch(all->server->pool, &h->source, SRV_READABLE))
    return;
  handshake_forget(h);
  srv_stream_close(&taken);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

struct srv_handshakes *srv_handshakes_start(struct srv_server *server, char *error) {
  struct srv_handshakes *all = calloc(1, sizeof *all);
  if (!all) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&all->mutex, NULL);
  all->server = server;
  all->deadlines = srv_deadlines_start((unsigned)server->config.request_seconds, 0);
  if (all->deadlines)
    return all;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve TLS: %s", strerror(errno));
  srv_handshakes_stop(all);
  return NULL;
}

void srv_handshakes_stop(struct srv_handshakes *all) {
  if (!all)
    return;
  while (all->first) {
    struct srv_stream stream = all->first->stream;
    handshake_forget(all->first);
    srv_stream_close(&stream);
  }
  srv_deadlines_stop(all->deadlines);
  pthread_mutex_destroy(&all->mutex);
  free(all);
}
