/*
 * http.c - requests and answers over libmicrohttpd; see http.h. The network threads read and write;
 * a request that is whole goes to the queue and its connection sleeps until a worker has answered.
 */
#include "server/http.h"

#include <ctype.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/deadlines.h"
#include "server/routes.h"

enum {
  HTTP_HEADER_BYTES = 32 * 1024, /* of one connection: request line, headers, and a read buffer */
  HTTP_FIRST_BODY = 16 * 1024,
  HTTP_IGNORED_BODY = 64 * 1024, /* what may come with a request that wants no body */
  HTTP_ARENA = 1024 * 1024 * 1024
};

struct srv_http {
  struct srv_server *server;
  struct MHD_Daemon *daemon;
  struct srv_deadlines *deadlines;
};

struct http_request {
  struct srv_call call; /* first: `parameter` finds the request by it */
  struct srv_http *http;
  struct MHD_Connection *connection;
  size_t capacity;
  bool too_large;
  bool overloaded; /* its headers came while the queue was full: the body is not kept */
  bool whole; /* handed to a worker, or answered */
};

/* ---- Answers --------------------------------------------------------------------------------- */

static enum MHD_Result http_queue(struct http_request *r, struct MHD_Response *response) {
  if (!response)
    return MHD_NO;
  const char *type = r->call.content_type ? r->call.content_type : "application/json";
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
  if (r->call.status == 429 || r->call.status == 503)
    MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
  if (atomic_load(&r->http->server->draining))
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)r->call.status, response);
  MHD_destroy_response(response);
  return result;
}

/* Sends call->answer or call->text. */
static enum MHD_Result http_send(struct http_request *r) {
  if (r->call.answer) {
    char *text = json_dumps(r->call.answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
      return http_queue(r,
                        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
    srv_call_no_memory(&r->call);
  }
  return http_queue(r, MHD_create_response_from_buffer(r->call.text_bytes,
                                                       (void *)(uintptr_t)r->call.text,
                                                       MHD_RESPMEM_MUST_COPY));
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
  call->json = json_loadb(call->body, call->body_bytes, JSON_REJECT_DUPLICATES, &why);
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
  MHD_resume_connection(r->connection);
}

static void http_overload(struct http_request *r) {
  srv_call_fail(&r->call, 429, "OVERLOADED", "too many requests are waiting; try again");
}

/* A whole request: to a worker, unless they have too much to do already. One that is turned away is
   answered here and now: waking a sleeping connection costs more than the rest of a refusal. */
static enum MHD_Result http_submit(struct http_request *r) {
  r->whole = true;
  if (r->overloaded || (!r->call.route->inline_answer && srv_queue_full(r->http->server->queue))) {
    http_overload(r);
    return http_send(r);
  }
  if (r->call.body)
    r->call.body[r->call.body_bytes] = '\0';
  if (r->call.route->inline_answer) {
    http_handle(r);
    return http_send(r);
  }
  MHD_suspend_connection(r->connection);
  if (srv_queue_add(r->http->server->queue, http_run, r))
    return MHD_YES;
  http_overload(r);
  MHD_resume_connection(r->connection);
  return MHD_YES;
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

/* Route, framing and size, from the headers alone; false after choosing the answer. */
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
  const char *length =
      MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  uint64_t limit = r->call.route->body == SRV_BODY_NONE ? (uint64_t)HTTP_IGNORED_BODY
                                                   : r->http->server->config.body_bytes;
  if (length && (strlen(length) > 18 || strtoull(length, NULL, 10) > limit)) {
    srv_call_fail(call, 413, "TOO_LARGE", "the body may have %llu bytes here",
                  (unsigned long long)limit);
    return false;
  }
  r->overloaded = !r->call.route->inline_answer && srv_queue_full(r->http->server->queue);
  return true;
}

static void http_collect(struct http_request *r, const char *data, size_t n) {
  uint64_t limit = r->http->server->config.body_bytes;
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

static struct http_request *http_begin(struct srv_http *http, struct MHD_Connection *connection) {
  struct http_request *r = calloc(1, sizeof *r);
  if (!r)
    return NULL;
  r->http = http;
  r->connection = connection;
  r->call.server = http->server;
  r->call.arena.limit = HTTP_ARENA;
  r->call.parameter = http_parameter;
  atomic_fetch_add(&http->server->in_flight, 1);
  return r;
}

/* Called with the headers, then with each part of the body, then with none, and once more when a
   sleeping connection is woken. */
static enum MHD_Result http_access(void *user, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *n, void **state) {
  struct srv_http *http = user;
  struct http_request *r = *state;
  if (!r) {
    *state = r = http_begin(http, connection);
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
  srv_deadlines_met(http->deadlines, connection);
  if (r->too_large) {
    srv_call_fail(&r->call, 413, "TOO_LARGE", "the body may have %llu bytes here",
                  (unsigned long long)http->server->config.body_bytes);
    return http_refuse(r);
  }
  return http_submit(r);
}

static void http_done(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode how) {
  (void)how;
  struct srv_http *http = user;
  struct http_request *r = *state;
  srv_deadlines_set(http->deadlines, connection);
  if (!r)
    return;
  free(r->call.body);
  srv_call_free(&r->call);
  free(r);
  *state = NULL;
  atomic_fetch_sub(&http->server->in_flight, 1);
}

static void http_connection(void *user, struct MHD_Connection *connection, void **state,
                            enum MHD_ConnectionNotificationCode what) {
  (void)state;
  struct srv_http *http = user;
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

static struct MHD_Daemon *http_daemon(struct srv_http *http) {
  const struct srv_config *c = &http->server->config;
  unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                   MHD_USE_NO_LISTEN_SOCKET;
  return MHD_start_daemon(
      flags, 0, NULL, NULL, http_access, http,
      MHD_OPTION_THREAD_POOL_SIZE, c->network_threads > 1 ? (unsigned)c->network_threads : 0u,
      MHD_OPTION_CONNECTION_LIMIT, (unsigned)c->connections,
      MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)c->idle_seconds,
      MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADER_BYTES,
      MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, http_keep_escapes, NULL,
      MHD_OPTION_NOTIFY_COMPLETED, http_done, http,
      MHD_OPTION_NOTIFY_CONNECTION, http_connection, http, MHD_OPTION_END);
}

struct srv_http *srv_http_start(struct srv_server *server, char *error) {
  struct srv_http *http = calloc(1, sizeof *http);
  if (!http) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  http->server = server;
  http->deadlines = srv_deadlines_start((unsigned)server->config.request_seconds);
  http->daemon = http->deadlines ? http_daemon(http) : NULL;
  if (http->daemon)
    return http;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve HTTP: %s", strerror(errno));
  srv_deadlines_stop(http->deadlines);
  free(http);
  return NULL;
}

void srv_http_adopt(struct srv_http *http, int fd) {
  struct sockaddr_storage peer;
  socklen_t n = sizeof peer;
  if (getpeername(fd, (struct sockaddr *)&peer, &n) == 0)
    MHD_add_connection(http->daemon, fd, (struct sockaddr *)&peer, n); /* or it closes the socket */
  else
    close(fd);
}

void srv_http_stop(struct srv_http *http) {
  if (!http)
    return;
  MHD_stop_daemon(http->daemon);
  srv_deadlines_stop(http->deadlines);
  free(http);
}
