/*
 * grpc_call.c - the way of one gRPC call; see grpc_call.h. A call that a worker has may outlive its
 * connection: then `conn` is NULL, and the worker frees it.
 */
#include "server/grpc_call.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/auth.h"
#include "server/milvus.h"
#include "server/observe.h"
#include "server/routes.h"
#include "server/staleness.h"

enum grpc_status {
  GRPC_OK = 0,
  GRPC_INVALID_ARGUMENT = 3,
  GRPC_DEADLINE_EXCEEDED = 4,
  GRPC_PERMISSION_DENIED = 7,
  GRPC_RESOURCE_EXHAUSTED = 8,
  GRPC_UNIMPLEMENTED = 12,
  GRPC_INTERNAL = 13,
  GRPC_UNAVAILABLE = 14,
  GRPC_UNAUTHENTICATED = 16
};

enum {
  GRPC_PREFIX = 5, /* of a message: whether it is compressed, and its length */
  GRPC_ARENA = 1024 * 1024 * 1024,
  GRPC_REASON = 256
};

struct grpc_call {
  struct srv_call call; /* first: `body` is the message that came */
  struct grpc_conn *conn;
  struct grpc_peer *peer;
  struct srv_credentials shown;
  struct grpc_call *next; /* of the connection's calls */
  int32_t stream;
  bool is_grpc; /* the content type says so */
  bool encoded; /* the client names an encoding other than identity */
  bool whole;   /* all of it has come */
  bool working; /* a worker has it */
  bool decided; /* status is set: what still comes is dropped */
  bool answered; /* nghttp2 has the answer */
  enum grpc_status status;
  char reason[GRPC_REASON];
  uint8_t prefix[GRPC_PREFIX];
  size_t got; /* bytes of the stream so far, the prefix included */
  uint64_t arrived_ns;
  const char *traceparent, *tracestate; /* headers; NULL: not there */
  uint64_t timeout_ns;             /* as the client asked; 0: none */
  uint8_t out_prefix[GRPC_PREFIX]; /* of the answer */
  size_t sent;
};

/* ---- The life of a call ---------------------------------------------------------------------- */

static void grpc_call_free(struct grpc_call *c) {
  atomic_fetch_sub(&c->peer->server->in_flight, 1);
  free(c->call.body);
  srv_call_free(&c->call);
  free(c);
}

static struct grpc_call *grpc_call_begin(struct grpc_conn *conn, int32_t stream) {
  struct grpc_call *c = calloc(1, sizeof *c);
  if (!c)
    return NULL;
  c->conn = conn;
  c->peer = conn->peer;
  c->stream = stream;
  c->arrived_ns = srv_now_ns();
  c->call.server = conn->peer->server;
  c->call.peer = conn->stream.peer;
  c->call.arena.limit = GRPC_ARENA;
  c->next = conn->calls;
  conn->calls = c;
  conn->receiving++;
  atomic_fetch_add(&c->peer->server->in_flight, 1);
  return c;
}

static void grpc_call_came(struct grpc_call *c) {
  if (!c->whole)
    c->conn->receiving--;
  c->whole = true;
}

/* Takes the call from its connection. */
static void grpc_call_leave(struct grpc_call *c) {
  struct grpc_call **at = &c->conn->calls;
  while (*at != c)
    at = &(*at)->next;
  *at = c->next;
  grpc_call_came(c);
  c->conn->unread -= c->answered;
  c->conn->buffered -= c->call.body_bytes;
  c->conn->ended = true;
  c->conn = NULL;
  if (!c->working)
    grpc_call_free(c);
}

int32_t srv_grpc_owed(const struct grpc_conn *conn) {
  int32_t oldest = 0;
  if (conn->receiving == 0 && conn->unread == 0)
    return 0;
  for (const struct grpc_call *c = conn->calls; c; c = c->next) /* the newest is the first */
    if (!c->whole || c->answered)
      oldest = c->stream;
  return oldest;
}

void srv_grpc_forget(struct grpc_conn *conn) {
  while (conn->calls)
    grpc_call_leave(conn->calls);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void grpc_decide(struct grpc_call *c, enum grpc_status status, const char *reason) {
  c->decided = true;
  c->status = status;
  snprintf(c->reason, sizeof c->reason, "%s", reason);
}

static nghttp2_nv grpc_header(const char *name, const char *value) {
  return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                      strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* A reason as gRPC wants it: what is not plain ASCII, and %, as %XX. */
static void grpc_escape(const char *text, char *out, size_t size) {
  size_t n = 0;
  for (; *text && n + 4 <= size; text++) {
    unsigned char byte = (unsigned char)*text;
    if (byte >= ' ' && byte <= '~' && byte != '%')
      out[n++] = (char)byte;
    else
      n += (size_t)sprintf(out + n, "%%%02X", byte);
  }
  out[n] = '\0';
}

static ssize_t grpc_fill(nghttp2_session *session, int32_t stream, uint8_t *buffer, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *user) {
  (void)user;
  struct grpc_call *c = source->ptr;
  size_t n = 0;
  while (n < size && c->sent < GRPC_PREFIX)
    buffer[n++] = c->out_prefix[c->sent++];
  size_t done = c->sent - GRPC_PREFIX, left = c->call.text_bytes - done;
  size_t part = left < size - n ? left : size - n;
  if (part)
    memcpy(buffer + n, c->call.text + done, part);
  c->sent += part;
  if (part == left) {
    char aged[SRV_STALENESS_TEXT] = "";
    bool copy = srv_staleness_text(&c->call, aged);
    nghttp2_nv ok[] = {grpc_header("grpc-status", "0"), grpc_header(SRV_STALENESS, aged)};
    *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(session, stream, ok, copy ? 2 : 1) != 0)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  return (ssize_t)(n + part);
}

/* Hands the answer to nghttp2: a message and its trailers, or headers alone. */
static void grpc_submit(struct grpc_call *c) {
  char number[4], escaped[3 * GRPC_REASON + 1];
  snprintf(number, sizeof number, "%d", (int)c->status);
  grpc_escape(c->reason, escaped, sizeof escaped);
  nghttp2_nv headers[] = {
      grpc_header(":status", c->is_grpc ? "200" : "415"),
      grpc_header("content-type", "application/grpc"),
      grpc_header("grpc-accept-encoding", "identity"),
      grpc_header("grpc-status", number),
      grpc_header("grpc-message", escaped),
  };
  nghttp2_data_provider data = {.source.ptr = c, .read_callback = grpc_fill};
  uint32_t length = htonl((uint32_t)c->call.text_bytes);
  c->answered = true;
  c->conn->unread++;
  memcpy(c->out_prefix + 1, &length, sizeof length);
  bool good = c->status == GRPC_OK;
  if (nghttp2_submit_response(c->conn->session, c->stream, headers, good ? 3 : 5,
                              good ? &data : NULL) != 0)
    nghttp2_submit_rst_stream(c->conn->session, NGHTTP2_FLAG_NONE, c->stream,
                              NGHTTP2_INTERNAL_ERROR);
}

/* Keeps what is kept of requests; statuses count as their like in HTTP. */
static void grpc_observe(struct grpc_call *c, bool may_wait) {
  static const struct {
    int status;
    const char *name;
  } likes[] = {
      [GRPC_OK] = {200, NULL},
      [GRPC_INVALID_ARGUMENT] = {400, "ARGUMENT"},
      [GRPC_DEADLINE_EXCEEDED] = {504, "TIMEOUT"},
      [GRPC_PERMISSION_DENIED] = {403, "FORBIDDEN"},
      [GRPC_RESOURCE_EXHAUSTED] = {429, "OVERLOADED"},
      [GRPC_UNIMPLEMENTED] = {501, "UNSUPPORTED"},
      [GRPC_INTERNAL] = {500, "INTERNAL"},
      [GRPC_UNAVAILABLE] = {503, "NO_MEMORY"},
      [GRPC_UNAUTHENTICATED] = {401, "UNAUTHENTICATED"},
  };
  c->call.status = likes[c->status].status;
  if (!c->call.failed)
    c->call.failed = likes[c->status].name;
  srv_observe_end(&c->call, c->call.text_bytes, may_wait);
}

static void grpc_refuse(struct grpc_call *c, enum grpc_status status, const char *reason) {
  grpc_decide(c, status, reason);
  grpc_observe(c, false);
  grpc_submit(c);
}

/* What the handler said, in gRPC's words. */
static void grpc_translate(struct grpc_call *c) {
  const char *text = c->call.text ? c->call.text : "the server is out of memory";
  switch (c->call.status) {
  case 200:
    if (c->call.text_bytes > UINT32_MAX)
      grpc_decide(c, GRPC_RESOURCE_EXHAUSTED, "the answer is too large for one message");
    else
      grpc_decide(c, GRPC_OK, "");
    break;
  case 400:
    grpc_decide(c, GRPC_INVALID_ARGUMENT, text);
    break;
  case 429:
    grpc_decide(c, GRPC_RESOURCE_EXHAUSTED, text);
    break;
  case 501:
    grpc_decide(c, GRPC_UNIMPLEMENTED, text);
    break;
  case 503:
  case 0:
    grpc_decide(c, GRPC_UNAVAILABLE, "the server is out of memory");
    break;
  default:
    grpc_decide(c, GRPC_INTERNAL, text);
  }
}

/* ---- Workers --------------------------------------------------------------------------------- */

static void grpc_handle(struct grpc_call *c) {
  uint64_t waited = srv_now_ns() - c->arrived_ns;
  if (c->timeout_ns && waited >= c->timeout_ns) {
    grpc_decide(c, GRPC_DEADLINE_EXCEEDED, "the deadline passed before the call was begun");
    return;
  }
  if (c->timeout_ns) {
    uint64_t left = (c->timeout_ns - waited) / 1000000 + 1;
    c->call.timeout_ms = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
  }
  c->call.route->handler(&c->call);
  grpc_translate(c);
}

static void grpc_run(void *item) {
  struct grpc_call *c = item;
  struct grpc_peer *peer = c->peer;
  grpc_handle(c);
  grpc_observe(c, true);
  pthread_mutex_lock(&peer->mutex);
  c->working = false;
  if (c->conn) {
    struct grpc_conn *conn = c->conn;
    grpc_submit(c);
    srv_grpc_answered(conn); /* which may end the call */
  } else {
    grpc_call_free(c);
  }
  pthread_mutex_unlock(&peer->mutex);
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* The time of a grpc-timeout: up to 8 digits and a unit; 0: malformed. */
static uint64_t grpc_timeout(const char *text) {
  static const struct {
    char unit;
    uint64_t ns;
  } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000},
               {'m', 1000000},       {'u', 1000},        {'n', 1}};
  char *end;
  size_t digits = strspn(text, "0123456789");
  uint64_t n = strtoull(text, &end, 10);
  for (size_t i = 0; digits && digits <= 8 && i < 6; i++)
    if (units[i].unit == *end && end[1] == '\0')
      return n * units[i].ns + (n == 0);
  return 0;
}

static const char *grpc_copy(struct grpc_call *c, const char *value) {
  return srv_arena_text(&c->call.arena, value, strlen(value));
}

static void grpc_take_header(struct grpc_call *c, const char *name, const char *value) {
  if (strcmp(name, ":path") == 0)
    c->call.route = srv_milvus_route(value, c->reason, sizeof c->reason);
  else if (strcmp(name, "content-type") == 0)
    c->is_grpc = strncmp(value, "application/grpc", 16) == 0;
  else if (strcmp(name, "grpc-encoding") == 0)
    c->encoded = strcmp(value, "identity") != 0;
  else if (strcmp(name, "grpc-timeout") == 0)
    c->timeout_ns = grpc_timeout(value);
  else if (strcmp(name, "dbname") == 0)
    c->call.database = grpc_copy(c, value);
  else if (strcmp(name, SRV_STALENESS_MOST) == 0)
    c->call.max_staleness = grpc_copy(c, value);
  else if (strcmp(name, "traceparent") == 0)
    c->traceparent = grpc_copy(c, value);
  else if (strcmp(name, "tracestate") == 0)
    c->tracestate = grpc_copy(c, value);
  else if (strcmp(name, "client-request-id") == 0) /* of pymilvus */
    c->call.client_id = grpc_copy(c, value);
  else if (strcmp(name, "authorization") == 0) {
    c->shown.twice = c->shown.authorization != NULL;
    c->shown.authorization = grpc_copy(c, value);
  }
}

static void grpc_put_off(struct grpc_call *c) {
  char text[GRPC_REASON];
  snprintf(text, sizeof text, "%s; try again in %u s",
           c->call.who ? "over the quota" : "too many log-ins from this address have failed",
           c->call.retry_seconds);
  grpc_refuse(c, GRPC_RESOURCE_EXHAUSTED, text);
}

/* What srv_authorize said, in gRPC's words. */
static void grpc_forbid(struct grpc_call *c) {
  if (c->call.status == 401)
    grpc_refuse(c, GRPC_UNAUTHENTICATED, "a valid token or key is needed");
  else if (c->call.status == 403)
    grpc_refuse(c, GRPC_PERMISSION_DENIED, "this is not permitted");
  else if (c->call.status == 429)
    grpc_put_off(c);
  else
    grpc_refuse(c, GRPC_UNAVAILABLE, "the server is out of memory");
}

/* The headers have come. */
static void grpc_admit(struct grpc_call *c) {
  srv_observe_begin(&c->call, c->traceparent, c->tracestate);
  if (!c->is_grpc)
    grpc_refuse(c, GRPC_UNIMPLEMENTED, "the content type must be application/grpc");
  else if (!c->call.route) {
    c->decided = true;
    c->status = GRPC_UNIMPLEMENTED;
    grpc_observe(c, false);
    grpc_submit(c);
  } else if (!srv_authorize(&c->call, &c->shown)) {
    grpc_forbid(c);
  } else if (!srv_observe_admits(&c->call)) {
    c->call.failed = "AUDIT";
    grpc_refuse(c, GRPC_UNAVAILABLE, "the audit log cannot be written");
  }
}

/* Looks at the prefix and takes the memory; false after refusing. */
static bool grpc_measure(struct grpc_call *c) {
  uint32_t length;
  memcpy(&length, c->prefix + 1, sizeof length);
  uint64_t n = ntohl(length), limit = c->peer->server->config.body_bytes;
  if (c->prefix[0]) {
    grpc_refuse(c, c->encoded ? GRPC_UNIMPLEMENTED : GRPC_INTERNAL,
                "compressed messages are not read; send with identity");
    return false;
  }
  if (n > limit || n > 2 * limit - c->conn->buffered) {
    grpc_refuse(c, GRPC_RESOURCE_EXHAUSTED,
                n > limit ? "the message is larger than server.body_bytes"
                          : "too many large messages on one connection");
    return false;
  }
  c->call.body = malloc(n + 1);
  if (!c->call.body) {
    grpc_refuse(c, GRPC_UNAVAILABLE, "the server is out of memory");
    return false;
  }
  c->call.body_bytes = n;
  c->conn->buffered += n;
  return true;
}

static void grpc_collect_data(struct grpc_call *c, const uint8_t *data, size_t n) {
  while (n && c->got < GRPC_PREFIX) {
    c->prefix[c->got++] = *data++;
    n--;
    if (c->got == GRPC_PREFIX && !grpc_measure(c))
      return;
  }
  if (n == 0)
    return;
  size_t have = c->got - GRPC_PREFIX;
  if (n > c->call.body_bytes - have) {
    grpc_refuse(c, GRPC_INVALID_ARGUMENT, "more than one message, or more bytes than announced");
    return;
  }
  memcpy(c->call.body + have, data, n);
  c->got += n;
}

/* The client has ended its side. */
static void grpc_whole(struct grpc_call *c) {
  grpc_call_came(c);
  if (c->decided)
    return;
  if (c->got < GRPC_PREFIX || c->got - GRPC_PREFIX < c->call.body_bytes) {
    grpc_refuse(c, GRPC_INVALID_ARGUMENT, "the message is not whole");
    return;
  }
  c->call.body[c->call.body_bytes] = '\0';
  c->call.began_ns = srv_now_ns();
  if (c->call.route->inline_answer) {
    grpc_handle(c);
    grpc_observe(c, false);
    grpc_submit(c);
    return;
  }
  c->working = true;
  if (srv_pool_add(c->peer->server->pool, srv_quota_lane(c->call.quota), grpc_run, c))
    return;
  c->working = false;
  grpc_refuse(c, GRPC_RESOURCE_EXHAUSTED, "too many calls are waiting; try again");
}

/* ---- What nghttp2 tells ---------------------------------------------------------------------- */

static int grpc_on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
    return 0;
  struct grpc_call *c = grpc_call_begin(user, frame->hd.stream_id);
  if (!c)
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, c);
  return 0;
}

static int grpc_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                          size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags,
                          void *user) {
  (void)n_name;
  (void)n_value;
  (void)flags;
  (void)user;
  struct grpc_call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (c && frame->headers.cat == NGHTTP2_HCAT_REQUEST) /* nghttp2 ends both with a NUL */
    grpc_take_header(c, (const char *)name, (const char *)value);
  return 0;
}

static int grpc_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  (void)user;
  if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
    return 0;
  struct grpc_call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (!c)
    return 0;
  if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
    grpc_admit(c);
  if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
    grpc_whole(c);
  return 0;
}

static int grpc_on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
                        const uint8_t *data, size_t n, void *user) {
  (void)flags;
  (void)user;
  struct grpc_call *c = nghttp2_session_get_stream_user_data(session, stream);
  if (c && !c->decided)
    grpc_collect_data(c, data, n);
  return 0;
}

/* An answer that came before the call was whole: the rest is not wanted. */
static int grpc_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user) {
  (void)user;
  struct grpc_call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
  if (c && frame->hd.type == NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
      !c->whole)
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  return 0;
}

static int grpc_on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  (void)code;
  (void)user;
  struct grpc_call *c = nghttp2_session_get_stream_user_data(session, stream);
  if (!c)
    return 0;
  nghttp2_session_set_stream_user_data(session, stream, NULL);
  grpc_call_leave(c);
  return 0;
}

void srv_grpc_callbacks(nghttp2_session_callbacks *callbacks) {
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, grpc_on_begin);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, grpc_on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, grpc_on_frame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, grpc_on_data);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, grpc_on_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, grpc_on_close);
}
