/*
 * http.c - requests and answers over libmicrohttpd; see http.h. A request that is whole goes to the
 * queue, and its connection sleeps until a thread has answered. All that libmicrohttpd calls has
 * the mutex of the connection's loop (http_loop.h).
 */
#include "server/http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/auth.h"
#include "server/deadlines.h"
#include "server/http_loop.h"
#include "server/json_read.h"
#include "server/routes.h"

enum {
  HTTP_HEADER_BYTES = 32 * 1024, /* of one connection: request line, headers, and a read buffer */
  HTTP_FIRST_BODY = 16 * 1024,
  HTTP_IGNORED_BODY = 64 * 1024, /* what may come with a request that wants no body */
  HTTP_ARENA = 1024 * 1024 * 1024
};

struct srv_http {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  _Atomic unsigned turn; /* loops get connections by turns */
  unsigned n_loops;
  struct http_loop loops[];
};

struct http_request {
  struct srv_call call; /* first: `parameter` finds the request by it */
  struct http_loop *loop;
  struct MHD_Connection *connection;
  struct MHD_Response *response; /* once it is made */
  size_t capacity;
  bool too_large;
  bool overloaded; /* its headers came while the queue was full: the body is not kept */
  bool whole; /* handed to a worker, or answered */
};

/* ---- Answers --------------------------------------------------------------------------------- */

/* What call->answer or call->text says. */
static struct MHD_Response *http_body(struct http_request *r) {
  struct srv_call *call = &r->call;
  if (call->answer) {
    char *text = json_dumps(call->answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
      return MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    srv_call_no_memory(call);
  }
  return MHD_create_response_from_buffer(call->text_bytes, (void *)(uintptr_t)call->text,
                                         MHD_RESPMEM_MUST_COPY);
}

/* Makes the response, and gives back all that it was made of. */
static void http_respond(struct http_request *r) {
  r->response = http_body(r);
  if (r->response) {
    const char *type = r->call.content_type ? r->call.content_type : "application/json";
    MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (r->call.status == 401)
      MHD_add_response_header(r->response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (r->call.status == 429 || r->call.status == 503)
      MHD_add_response_header(r->response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
  }
  free(r->call.body);
  r->call.body = NULL;
  srv_call_free(&r->call);
}

static enum MHD_Result http_send(struct http_request *r) {
  if (!r->response)
    http_respond(r);
  if (!r->response)
    return MHD_NO;
  if (atomic_load(&r->loop->http->server->draining))
    MHD_add_response_header(r->response, MHD_HTTP_HEADER_CONNECTION, "close");
  return MHD_queue_response(r->connection, (unsigned)r->call.status, r->response);
}

/* Answers before the body has come: the connection is closed afterwards. */
static enum MHD_Result http_refuse(struct http_request *r) {
  r->whole = true;
  return http_send(r);
}

/* ---- Workers --------------------------------------------------------------------------------- */

/* Parses the body where the route wants JSON; false after answering. */
static bool http_parse(struct http_request *r) {
  struct srv_call *call = &r->call;
  if (r->call.route->body != SRV_BODY_JSON)
    return true;
  if (call->body_bytes == 0) {
    call->json = json_object();
    return call->json != NULL;
  }
  json_error_t why;
  call->json = srv_json_read(call->body, call->body_bytes, &why);
  if (!call->json) {
    srv_call_fail(call, 400, "JSON", "the body is not JSON: line %d, column %d: %s", why.line,
                  why.column, why.text);
    return false;
  }
  if (json_is_object(call->json))
    return true;
  srv_call_fail(call, 400, "JSON", "the body must be a JSON object");
  return false;
}

static void http_handle(struct http_request *r) {
  if (http_parse(r))
    r->call.route->handler(&r->call);
  if (r->call.status == 0)
    srv_call_no_memory(&r->call);
}

static void http_run(void *item) {
  struct http_request *r = item;
  http_handle(r);
  http_respond(r);
  srv_http_loop_resume(r->loop, r->connection);
}

static void http_end_body(struct http_request *r) {
  if (r->call.body)
    r->call.body[r->call.body_bytes] = '\0';
}

/* A whole request: to a worker, unless they have too much to do already. One that is turned away is
   answered here and now: waking a sleeping connection costs more than the rest of a refusal. */
static enum MHD_Result http_submit(struct http_request *r) {
  r->whole = true;
  if (r->call.route->inline_answer) {
    http_end_body(r);
    http_handle(r);
    return http_send(r);
  }
  if (!r->overloaded) {
    http_end_body(r);
    if (srv_pool_add(r->loop->http->server->pool, http_run, r)) {
      MHD_suspend_connection(r->connection); /* the worker cannot wake it before: it waits for us */
      return MHD_YES;
    }
  }
  srv_call_fail(&r->call, 429, "OVERLOADED", "too many requests are waiting; try again");
  return http_send(r);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static const char *http_parameter(const struct srv_call *call, const char *name) {
  const struct http_request *r = (const struct http_request *)(const void *)call;
  return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct http_framing {
  unsigned lengths;
  unsigned encodings;
  bool bad;
};

/* Looks at what tells the end of the body: two readers of one request must agree on it. */
static enum MHD_Result http_frame(void *user, enum MHD_ValueKind kind, const char *key,
                                  const char *value) {
  (void)kind;
  struct http_framing *f = user;
  if (strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0) {
    f->lengths++;
    for (const char *c = value; !f->bad && c && *c; c++)
      f->bad = !isdigit((unsigned char)*c);
    f->bad = f->bad || !value || !*value;
  } else if (strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0) {
    f->encodings++;
    f->bad = f->bad || !value || strcasecmp(value, "chunked") != 0;
  } else {
    f->bad = f->bad || strpbrk(key, " \t") != NULL;
  }
  return MHD_YES;
}

static const char *http_header(const struct http_request *r, const char *name) {
  return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* Route, framing, permission and size, from the headers alone; false after choosing the answer. */
static bool http_admit(struct http_request *r, const char *url, const char *method,
                       const char *version) {
  struct srv_call *call = &r->call;
  char allow[SRV_ALLOW];
  struct http_framing framing = {0, 0, false};
  MHD_get_connection_values(r->connection, MHD_HEADER_KIND, http_frame, &framing);
  bool once = framing.lengths + framing.encodings <= 1;
  if (framing.bad || !once || (framing.encodings && strcmp(version, "HTTP/1.1") != 0)) {
    srv_call_fail(call, 400, "HTTP", "the length of the body is not clear from the headers");
    return false;
  }
  r->call.route = srv_route_find(call, method, url, allow);
  if (!r->call.route) {
    srv_call_fail(call, *allow ? 405 : 404, "NOT_FOUND", "%s %.200s is not served here%s%s", method,
                  url, *allow ? "; this path knows " : "", allow);
    return false;
  }
  const struct srv_credentials shown = {http_header(r, MHD_HTTP_HEADER_AUTHORIZATION),
                                        http_header(r, "api-key")};
  if (!srv_authorize(call, &shown))
    return false;
  const char *length =
      MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  uint64_t limit = r->call.route->body == SRV_BODY_NONE ? (uint64_t)HTTP_IGNORED_BODY
                                                   : r->loop->http->server->config.body_bytes;
  if (length && (strlen(length) > 18 || strtoull(length, NULL, 10) > limit)) {
    srv_call_fail(call, 413, "TOO_LARGE", "the body may have %llu bytes here",
                  (unsigned long long)limit);
    return false;
  }
  r->overloaded = !r->call.route->inline_answer && srv_pool_full(r->loop->http->server->pool);
  return true;
}

static void http_collect(struct http_request *r, const char *data, size_t n) {
  uint64_t limit = r->loop->http->server->config.body_bytes;
  if (r->call.route->body == SRV_BODY_NONE || r->too_large || r->overloaded)
    return;
  if (n > limit || r->call.body_bytes > limit - n) {
    r->too_large = true;
    return;
  }
  size_t needed = r->call.body_bytes + n + 1;
  if (needed > r->capacity) {
    size_t capacity = r->capacity ? r->capacity : HTTP_FIRST_BODY;
    while (capacity < needed)
      capacity *= 2;
    char *grown = realloc(r->call.body, capacity);
    if (!grown) {
      r->too_large = true;
      return;
    }
    r->call.body = grown;
    r->capacity = capacity;
  }
  memcpy(r->call.body + r->call.body_bytes, data, n);
  r->call.body_bytes += n;
}

static struct http_request *http_begin(struct http_loop *loop, struct MHD_Connection *connection) {
  struct http_request *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  r->loop = loop;
  r->connection = connection;
  r->call.server = loop->http->server;
  r->call.arena.limit = HTTP_ARENA;
  r->call.parameter = http_parameter;
  atomic_fetch_add(&r->call.server->in_flight, 1);
  return r;
}

/* Called with the headers, then with each part of the body, then with none, and once more when a
   sleeping connection is woken. */
static enum MHD_Result http_access(void *user, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *n, void **state) {
  struct http_loop *loop = user;
  struct http_request *r = *state;
  if (!r) {
    *state = r = http_begin(loop, connection);
    if (!r)
      return MHD_NO;
    return http_admit(r, url, method, version) ? MHD_YES : http_refuse(r);
  }
  if (r->whole)
    return http_send(r);
  if (*n) {
    http_collect(r, data, *n);
    *n = 0;
    return MHD_YES;
  }
  srv_deadlines_met(loop->http->deadlines, connection);
  if (r->too_large) {
    srv_call_fail(&r->call, 413, "TOO_LARGE", "the body may have %llu bytes here",
                  (unsigned long long)loop->http->server->config.body_bytes);
    return http_refuse(r);
  }
  return http_submit(r);
}

static void http_done(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode how) {
  (void)how;
  struct http_loop *loop = user;
  struct http_request *r = *state;
  srv_deadlines_set(loop->http->deadlines, connection);
  if (!r)
    return;
  if (r->response)
    MHD_destroy_response(r->response);
  free(r->call.body);
  srv_call_free(&r->call);
  free(r);
  *state = NULL;
  atomic_fetch_sub(&loop->http->server->in_flight, 1);
}

static void http_connection(void *user, struct MHD_Connection *connection, void **state,
                            enum MHD_ConnectionNotificationCode what) {
  (void)state;
  struct srv_http *http = ((struct http_loop *)user)->http;
  if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
    srv_deadlines_gone(http->deadlines, connection);
    return;
  }
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  srv_deadlines_come(http->deadlines, connection, info ? info->connect_fd : -1);
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

static size_t http_keep_escapes(void *user, struct MHD_Connection *connection, char *text) {
  (void)user;
  (void)connection;
  return strlen(text);
}

/* Without a thread, a socket to listen on, or a way to be woken: http_loop.c sees to all that. */
static struct MHD_Daemon *http_daemon(struct http_loop *loop) {
  const struct srv_config *c = &loop->http->server->config;
  unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
                   ((unsigned)MHD_ALLOW_SUSPEND_RESUME & ~(unsigned)MHD_USE_ITC);
  return MHD_start_daemon(
      flags, 0, NULL, NULL, http_access, loop,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)(c->connections / loop->http->n_loops + 1),
      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)c->idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_BYTES,
      MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, http_keep_escapes, NULL,
      MHD_OPTION_NOTIFY_COMPLETED, http_done, loop,
      MHD_OPTION_NOTIFY_CONNECTION, http_connection, loop, MHD_OPTION_END);
}

static bool http_loop_start(struct srv_http *http, struct http_loop *loop) {
  loop->http = http;
  struct MHD_Daemon *daemon = http_daemon(loop);
  if (daemon && srv_http_loop_start(loop, daemon, http->server->pool))
    return true;
  if (daemon)
    MHD_stop_daemon(daemon);
  return false;
}

struct srv_http *srv_http_start(struct srv_server *server, char *error) {
  unsigned n = (unsigned)server->config.network_threads, started = 0;
  struct srv_http *http = calloc(1, sizeof *http + n * sizeof *http->loops);
  if (!http) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  http->server = server;
  http->n_loops = n;
  http->deadlines = srv_deadlines_start((unsigned)server->config.request_seconds);
  while (http->deadlines && started < n && http_loop_start(http, &http->loops[started]))
    started++;
  if (started == n)
    return http;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve HTTP: %s", strerror(errno));
  http->n_loops = started;
  srv_http_stop(http);
  return NULL;
}

void srv_http_adopt(struct srv_http *http, int fd) {
  struct sockaddr_storage peer;
  socklen_t n = sizeof peer;
  unsigned turn = atomic_fetch_add(&http->turn, 1);
  if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
    srv_http_loop_add(&http->loops[turn % http->n_loops], fd, (struct sockaddr *)&peer, n);
  else
    close(fd);
}

void srv_http_stop(struct srv_http *http) {
  if (!http)
    return;
  for (unsigned i = 0; i < http->n_loops; i++)
    srv_http_loop_stop(&http->loops[i]);
  srv_deadlines_stop(http->deadlines);
  free(http);
}
