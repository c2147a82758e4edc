/*
 * rpctest.h - a client for the gRPC side of a server under test: calls with any bytes in them, and
 * what comes back. Functions that say so may be used while the server is killed.
 */
#ifndef RPCTEST_H
#define RPCTEST_H

#include "server/webtest.h"

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include "server/pb.h"

enum { RPC_CALLS = 8, RPC_ROOM = 4096 };

struct rpc_call {
  int32_t stream;
  const uint8_t *body; /* with its prefix */
  size_t n, sent;
  char http[8], status[8], message[512], staleness[24];
  uint8_t reply[RPC_ROOM];
  size_t n_reply;
  bool closed;
};

struct rpc {
  int fd;
  SSL *tls; /* NULL: none is spoken */
  nghttp2_session *session;
  struct rpc_call calls[RPC_CALLS];
  unsigned n_calls, n_closed;
};

static inline ssize_t rpc_send(nghttp2_session *session, const uint8_t *data, size_t n, int flags,
                               void *user) {
  (void)session;
  (void)flags;
  struct rpc *c = user;
  ssize_t sent = c->tls ? SSL_write(c->tls, data, (int)n) : send(c->fd, data, n, MSG_NOSIGNAL);
  return sent <= 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : sent;
}

static inline struct rpc_call *rpc_find(struct rpc *c, int32_t stream) {
  for (unsigned i = 0; i < c->n_calls; i++)
    if (c->calls[i].stream == stream)
      return &c->calls[i];
  return NULL;
}

static inline int rpc_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t n_name, const uint8_t *value,
                             size_t n_value, uint8_t flags, void *user) {
  (void)session;
  (void)n_name;
  (void)n_value;
  (void)flags;
  struct rpc_call *call = rpc_find(user, frame->hd.stream_id);
  if (strcmp((const char *)name, ":status") == 0)
    snprintf(call->http, sizeof call->http, "%s", (const char *)value);
  if (strcmp((const char *)name, "grpc-status") == 0)
    snprintf(call->status, sizeof call->status, "%s", (const char *)value);
  if (strcmp((const char *)name, "grpc-message") == 0)
    snprintf(call->message, sizeof call->message, "%s", (const char *)value);
  if (strcmp((const char *)name, "vecdb-staleness-ms") == 0)
    snprintf(call->staleness, sizeof call->staleness, "%s", (const char *)value);
  return 0;
}

static inline int rpc_data(nghttp2_session *session, uint8_t flags, int32_t stream,
                           const uint8_t *data, size_t n, void *user) {
  (void)session;
  (void)flags;
  struct rpc_call *call = rpc_find(user, stream);
  if (n > RPC_ROOM - call->n_reply)
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  memcpy(call->reply + call->n_reply, data, n);
  call->n_reply += n;
  return 0;
}

static inline int rpc_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  (void)session;
  (void)code;
  struct rpc *c = user;
  rpc_find(c, stream)->closed = true;
  c->n_closed++;
  return 0;
}

/* Over a connection, which rpc_end closes; false: there is none. */
static inline bool rpc_over(struct rpc *c, int fd, SSL *tls) {
  nghttp2_session_callbacks *callbacks;
  memset(c, 0, sizeof *c);
  c->fd = fd;
  c->tls = tls;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_send_callback(callbacks, rpc_send);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, rpc_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, rpc_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, rpc_close);
  int rc = nghttp2_session_client_new(&c->session, callbacks, c);
  nghttp2_session_callbacks_del(callbacks);
  return c->fd >= 0 && rc == 0 &&
         nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0;
}

/* False: nobody listens. Any thread, any time; rpc_end in both cases. */
static inline bool rpc_connect(struct rpc *c, unsigned port) {
  return rpc_over(c, web_socket(port), NULL);
}

static inline void rpc_end(struct rpc *c) {
  nghttp2_session_del(c->session);
  SSL_free(c->tls);
  if (c->fd >= 0)
    close(c->fd);
}

static inline ssize_t rpc_fill(nghttp2_session *session, int32_t stream, uint8_t *buffer,
                               size_t size, uint32_t *flags, nghttp2_data_source *source,
                               void *user) {
  (void)session;
  (void)stream;
  (void)user;
  struct rpc_call *call = source->ptr;
  size_t n = call->n - call->sent < size ? call->n - call->sent : size;
  if (n)
    memcpy(buffer, call->body + call->sent, n);
  call->sent += n;
  if (call->sent == call->n)
    *flags = NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

#define RPC_HEADER(name, value)                                                           \
  {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), 0}

/* Sends a call; `extra` is one more header, or NULL. NULL: the connection is gone. Any thread, any
   time. */
static inline struct rpc_call *rpc_submit(struct rpc *c, const char *path, const char *type,
                                          const char *extra, const char *value, const void *body,
                                          size_t n) {
  struct rpc_call *call = &c->calls[c->n_calls++];
  call->body = body;
  call->n = n;
  nghttp2_nv headers[] = {RPC_HEADER(":method", "POST"), RPC_HEADER(":scheme", "http"),
                          RPC_HEADER(":path", path), RPC_HEADER(":authority", "localhost"),
                          RPC_HEADER("content-type", type),
                          RPC_HEADER(extra ? extra : "te", extra ? value : "trailers")};
  nghttp2_data_provider data = {.source.ptr = call, .read_callback = rpc_fill};
  call->stream = nghttp2_submit_request(c->session, NULL, headers, 6, &data, NULL);
  return call->stream > 0 && nghttp2_session_send(c->session) == 0 ? call : NULL;
}

/* Reads until `n` calls are answered; false: the connection is gone. Any thread, any time. */
static inline bool rpc_receive(struct rpc *c, unsigned n) {
  uint8_t buffer[4096];
  while (c->n_closed < n) {
    ssize_t got = c->tls ? SSL_read(c->tls, buffer, sizeof buffer)
                         : recv(c->fd, buffer, sizeof buffer, 0);
    if (got <= 0 || nghttp2_session_mem_recv(c->session, buffer, (size_t)got) != got)
      return false;
    nghttp2_session_send(c->session);
  }
  return true;
}

/* The same of a server that must be there. */
static inline void rpc_open(const struct web *w, struct rpc *c) {
  assert_true(rpc_connect(c, w->milvus_port));
}

static inline struct rpc_call *rpc_start(struct rpc *c, const char *path, const char *type,
                                         const char *extra, const char *value, const void *body,
                                         size_t n) {
  assert_true(c->n_calls < RPC_CALLS);
  struct rpc_call *call = rpc_submit(c, path, type, extra, value, body, n);
  assert_non_null(call);
  return call;
}

static inline void rpc_await(struct rpc *c, unsigned n) {
  if (!rpc_receive(c, n))
    fail_msg("the server closed the connection");
}

#define SERVICE "/milvus.proto.milvus.MilvusService/"

/* One call on a connection of its own, whose status must be this. */
static inline struct rpc_call rpc_expect(const struct web *w, const char *status, const char *path,
                                         const char *extra, const char *value, const void *body,
                                         size_t n) {
  struct rpc c;
  rpc_open(w, &c);
  struct rpc_call *call = rpc_start(&c, path, "application/grpc", extra, value, body, n);
  rpc_await(&c, 1);
  if (strcmp(call->status, status) != 0)
    fail_msg("%s: status %s, not %s: %s", path, call->status, status, call->message);
  struct rpc_call out = *call;
  rpc_end(&c);
  return out;
}

/* A frame of a message: its prefix and what `out` holds. */
static inline size_t rpc_framed(const struct pb_out *out, uint8_t *to, size_t room) {
  uint32_t length = htonl((uint32_t)out->n);
  assert_true(out->n + 5 <= room);
  to[0] = 0;
  memcpy(to + 1, &length, sizeof length);
  memcpy(to + 5, out->data, out->n);
  return out->n + 5;
}

#endif
