/*
 * http.c - what becomes of a request over HTTP/1.1; see http.h. Connections are in http_conn.c:
 * they tell of headers, body and end, and write the answer once the request is decided.
 */
#include "server/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/auth.h"
#include "server/http_conn.h"
#include "server/json_read.h"
#include "server/observe.h"

enum {
  HTTP_FIRST_BODY = 16 * 1024,
  HTTP_IGNORED_BODY = 64 * 1024, /* what may come with a request that wants no body */
  HTTP_REFUSAL = 512, /* bytes of the answer to one request too many */
  HTTP_ARENA = 1024 * 1024 * 1024
};

/* ---- Headers --------------------------------------------------------------------------------- */

static uint64_t http_limit(const struct http_request *r) {
  return r->call.route->body == SRV_BODY_NONE ? (uint64_t)HTTP_IGNORED_BODY
                                              : r->call.server->config.body_bytes;
}

static bool http_too_large(struct http_request *r) {
  srv_call_fail(&r->call, 413, "TOO_LARGE", "the body may have %llu bytes here",
                (unsigned long long)http_limit(r));
  return false;
}

/* Whether the request can be understood in one way only. */
static bool http_clear(struct http_request *r) {
  if (r->major != 1) {
    srv_call_fail(&r->call, r->major > 1 ? 505 : 400, "HTTP", "HTTP/1.0 and HTTP/1.1 are spoken");
    return false;
  }
  if (!r->framing.clear)
    srv_call_fail(&r->call, 400, "HTTP", "the length of the body is not clear from the headers");
  return r->framing.clear;
}

/* From the headers alone: route, permission and size, before anything of the body is kept. False
   after choosing the answer. */
static bool http_admit(struct http_request *r) {
  struct srv_call *call = &r->call;
  const char *path = r->head.text;
  call->route = srv_route_find(call, r->method, path, r->allow);
  if (!call->route) {
    bool other = *r->allow != '\0';
    srv_call_fail(call, other ? 405 : 404, "NOT_FOUND", "%s %.200s is not served here%s%s",
                  r->method, path, other ? "; this path knows " : "", r->allow);
    return false;
  }
  *r->allow = '\0'; /* by the other routes of the path */
  const struct srv_credentials shown = {srv_http_head_find(&r->head, "authorization"),
                                        srv_http_head_find(&r->head, "api-key"),
                                        srv_http_head_twice(&r->head, "authorization") ||
                                            srv_http_head_twice(&r->head, "api-key")};
  if (!srv_authorize(call, &shown))
    return false;
  if (!srv_observe_admits(call)) {
    srv_call_fail(call, 503, "AUDIT", "the audit log cannot be written");
    return false;
  }
  return r->framing.length <= http_limit(r) || http_too_large(r);
}

static const char *http_header(const struct srv_call *call, const char *name) {
  return srv_http_head_find(&((const struct http_request *)(const void *)call)->head, name);
}

bool srv_http_headers(struct http_conn *c) {
  struct http_request *r = &c->request;
  struct srv_server *server = c->http->server;
  r->call.header = http_header;
  r->call.peer = c->stream.peer;
  srv_observe_begin(&r->call, http_header(&r->call, "traceparent"),
                    http_header(&r->call, "tracestate"));
  r->in_flight = true;
  atomic_fetch_add(&server->in_flight, 1);
  if (!http_clear(r) || !http_admit(r))
    return false;
  r->overloaded = !r->call.route->inline_answer &&
                  srv_pool_full(server->pool, srv_quota_lane(r->call.quota));
  return true;
}

/* ---- The body -------------------------------------------------------------------------------- */

bool srv_http_body(struct http_conn *c, const char *data, size_t n) {
  struct http_request *r = &c->request;
  struct srv_call *call = &r->call;
  if (call->status || call->route->body == SRV_BODY_NONE || r->overloaded)
    return true;
  uint64_t limit = http_limit(r); /* which may be less than it was */
  if (call->body_bytes > limit || n > limit - call->body_bytes)
    return http_too_large(r);
  size_t needed = call->body_bytes + n + 1;
  if (needed > r->capacity) {
    size_t capacity = r->capacity ? r->capacity : HTTP_FIRST_BODY;
    while (capacity < needed)
      capacity *= 2;
    char *grown = realloc(call->body, capacity);
    if (!grown) {
      srv_call_no_memory(call);
      return false;
    }
    call->body = grown;
    r->capacity = capacity;
  }
  memcpy(call->body + call->body_bytes, data, n);
  call->body_bytes += n;
  call->body[call->body_bytes] = '\0';
  return true;
}

/* Parses the body where the route wants JSON; false after answering. */
static bool http_parse(struct srv_call *call) {
  if (call->route->body == SRV_BODY_NONE || call->route->body == SRV_BODY_TEXT)
    return true;
  if (call->body_bytes == 0) {
    call->json = json_object();
    return call->json != NULL;
  }
  json_error_t why;
  call->json = srv_json_read_at(call->body, call->body_bytes, srv_route_numbers(call->route), &why);
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

/* ---- The answer ------------------------------------------------------------------------------ */

static void http_handle(struct srv_call *call) {
  if (http_parse(call))
    call->route->handler(call);
  if (call->status == 0)
    srv_call_no_memory(call);
}

static void http_run(void *item) {
  struct http_conn *c = item;
  http_handle(&c->request.call);
  srv_http_conn_answer(c);
}

/* The refusal in the words of the call's dialect. A thread that turns many away puts it together
   once: under overload each costs what a search does not get. It is this thread that writes it. */
static void http_turn_away(struct srv_call *call) {
  static _Thread_local struct {
    srv_error_shape *errors;
    int status; /* 0: it is to be put together */
    size_t n;
    char text[HTTP_REFUSAL];
  } last;
  if (!last.status || last.errors != call->errors) {
    srv_call_fail(call, 429, "OVERLOADED", "too many requests are waiting; try again");
    last.n = call->answer ? json_dumpb(call->answer, last.text, HTTP_REFUSAL, JSON_COMPACT) : 0;
    last.errors = call->errors;
    last.status = last.n > 0 && last.n <= HTTP_REFUSAL ? call->status : 0;
    return;
  }
  srv_call_text(call, last.status, last.text, last.n);
  call->failed = "OVERLOADED";
}

bool srv_http_whole(struct http_conn *c) {
  struct http_request *r = &c->request;
  r->call.began_ns = srv_now_ns();
  if (r->call.route->inline_answer) {
    http_handle(&r->call);
    return true;
  }
  unsigned lane = srv_quota_lane(r->call.quota);
  if (!r->overloaded && srv_pool_add(c->http->server->pool, lane, http_run, c))
    return false;
  http_turn_away(&r->call);
  return true;
}

void srv_http_forget(struct http_conn *c) {
  struct http_request *r = &c->request;
  struct srv_server *server = c->http->server;
  if (r->in_flight)
    atomic_fetch_sub(&server->in_flight, 1);
  free(r->call.body);
  srv_call_free(&r->call);
  srv_http_head_clear(&r->head);
  *r = (struct http_request){.head = r->head,
                             .call = {.server = server, .arena.limit = HTTP_ARENA}};
}

/* ---- Starting and stopping ------------------------------------------------------------------- */

struct srv_http *srv_http_start(struct srv_server *server, char *error) {
  struct srv_http *http = calloc(1, sizeof *http);
  if (!http) {
    snprintf(error, SRV_CONFIG_ERROR, "out of memory");
    return NULL;
  }
  pthread_mutex_init(&http->mutex, NULL);
  http->server = server;
  http->deadlines = srv_deadlines_start((unsigned)server->config.request_seconds,
                                        (unsigned)server->config.idle_seconds);
  if (http->deadlines)
    return http;
  snprintf(error, SRV_CONFIG_ERROR, "cannot serve HTTP: %s", strerror(errno));
  srv_http_stop(http);
  return NULL;
}

void srv_http_adopt(struct srv_http *http, const struct srv_stream *stream) {
  srv_http_conn_open(http, stream);
}

void srv_http_stop(struct srv_http *http) {
  if (!http)
    return;
  while (http->conns)
    srv_http_conn_close(http->conns);
  srv_deadlines_stop(http->deadlines);
  pthread_mutex_destroy(&http->mutex);
  free(http);
}
