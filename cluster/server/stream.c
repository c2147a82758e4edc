/* stream.c - bytes over a socket, with or without TLS; see stream.h. */
#include "server/stream.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool srv_stream_open(struct srv_stream *s, int fd, struct srv_crowd *crowd, uint64_t most) {
  int one = 1;
  *s = (struct srv_stream){
      .fd = fd, .crowd = crowd, .reading = SRV_READABLE, .writing = SRV_WRITABLE};
  srv_peer_of(fd, &s->peer);
  if (!srv_crowd_enter(crowd, srv_peer_origin(&s->peer), most)) {
    close(fd);
    return false;
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* answers are whole: no waiting */
  return true;
}

void srv_stream_secure(struct srv_stream *s, SSL *tls) {
  s->tls = tls;
  s->broken = SSL_set_fd(tls, s->fd) != 1;
}

static ssize_t stream_failed(void) {
  return errno == EAGAIN || errno == EINTR ? SRV_STREAM_LATER : SRV_STREAM_LOST;
}

/* ---- TLS ------------------------------------------------------------------------------------- *
 * A thread's queue of errors is emptied before each call: what another connection left there would
 * be taken for this one's. */

/* What became of a call that gave `rc`; 0: the client has said its last word. */
static int tls_failed(struct srv_stream *s, int rc, enum srv_ready *waits) {
  switch (SSL_get_error(s->tls, rc)) {
    case SSL_ERROR_WANT_READ:
      *waits = SRV_READABLE;
      return SRV_STREAM_LATER;
    case SSL_ERROR_WANT_WRITE:
      *waits = SRV_WRITABLE;
      return SRV_STREAM_LATER;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      s->broken = true;
      return SRV_STREAM_LOST;
  }
}

static int tls_size(size_t n) {
  return n < INT_MAX ? (int)n : INT_MAX;
}

static ssize_t tls_read(struct srv_stream *s, void *to, size_t n) {
  if (s->broken)
    return SRV_STREAM_LOST;
  ERR_clear_error();
  s->reading = SRV_READABLE;
  int got = SSL_read(s->tls, to, tls_size(n));
  return got > 0 ? got : tls_failed(s, got, &s->reading);
}

static ssize_t tls_write(struct srv_stream *s, const void *from, size_t n) {
  if (s->broken)
    return SRV_STREAM_LOST;
  ERR_clear_error();
  s->writing = SRV_WRITABLE;
  int sent = SSL_write(s->tls, from, tls_size(n));
  if (sent > 0)
    return sent;
  int why = tls_failed(s, sent, &s->writing);
  return why == 0 ? SRV_STREAM_LOST : why;
}

/* Says that no more is said, once; false: when the client can be written to. */
static bool tls_end(struct srv_stream *s) {
  if (s->broken || !SSL_is_init_finished(s->tls) ||
      (SSL_get_shutdown(s->tls) & SSL_SENT_SHUTDOWN))
    return true;
  ERR_clear_error();
  int rc = SSL_shutdown(s->tls);
  return rc >= 0 || tls_failed(s, rc, &s->writing) != SRV_STREAM_LATER;
}

/* Keeps which certificate was shown, where it is one that is believed. */
static void tls_certified(struct srv_stream *s) {
  const X509 *shown = SSL_get0_peer_certificate(s->tls);
  s->peer.certified = shown && SSL_get_verify_result(s->tls) == X509_V_OK &&
                      (SSL_get_verify_mode(s->tls) & SSL_VERIFY_PEER) &&
                      X509_digest(shown, EVP_sha256(), s->peer.certificate, NULL) == 1;
}

int srv_stream_shake(struct srv_stream *s) {
  if (s->broken)
    return SRV_STREAM_LOST;
  ERR_clear_error();
  s->reading = SRV_READABLE;
  int rc = SSL_accept(s->tls);
  if (rc == 1) {
    tls_certified(s);
    return 0;
  }
  rc = tls_failed(s, rc, &s->reading);
  return rc == 0 ? SRV_STREAM_LOST : rc;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static ssize_t stream_receive(struct srv_stream *s, void *to, size_t n) {
  if (s->tls)
    return tls_read(s, to, n);
  ssize_t got = recv(s->fd, to, n, 0);
  return got < 0 ? stream_failed() : got;
}

ssize_t srv_stream_look(struct srv_stream *s, const char **bytes, size_t n) {
  *bytes = s->first;
  while (s->n_first < n) {
    ssize_t got = stream_receive(s, s->first + s->n_first, n - s->n_first);
    if (got == SRV_STREAM_LATER && s->n_first > 0)
      break;
    if (got <= 0)
      return got == 0 ? SRV_STREAM_LOST : got;
    s->n_first += (size_t)got;
  }
  return (ssize_t)s->n_first;
}

ssize_t srv_stream_read(struct srv_stream *s, void *to, size_t n) {
  size_t left = s->n_first - s->first_at;
  if (left == 0)
    return stream_receive(s, to, n);
  size_t taken = left < n ? left : n;
  memcpy(to, s->first + s->first_at, taken);
  s->first_at += taken;
  return (ssize_t)taken;
}

ssize_t srv_stream_write(struct srv_stream *s, const void *from, size_t n) {
  if (s->tls)
    return tls_write(s, from, n);
  ssize_t sent = send(s->fd, from, n, MSG_NOSIGNAL);
  return sent < 0 ? stream_failed() : sent;
}

/* A socket that can be written to, as nearly any can, is looked at at once. */
enum srv_ready srv_stream_awaits(const struct srv_stream *s, enum srv_ready what) {
  if (!s->tls)
    return what;
  bool there = s->first_at < s->n_first || SSL_pending(s->tls) > 0;
  unsigned in = s->reading | (there ? SRV_WRITABLE : 0);
  return (what & SRV_READABLE ? in : 0) | (what & SRV_WRITABLE ? s->writing : 0);
}

int srv_stream_end(struct srv_stream *s) {
  if (s->tls && !tls_end(s))
    return SRV_STREAM_LATER;
  shutdown(s->fd, SHUT_WR);
  return 0;
}

void srv_stream_cut(struct srv_stream *s) {
  shutdown(s->fd, SHUT_RDWR);
}

void srv_stream_close(struct srv_stream *s) {
  if (s->tls) {
    tls_end(s);
    SSL_free(s->tls);
  }
  close(s->fd);
  srv_crowd_leave(s->crowd, srv_peer_origin(&s->peer));
}
