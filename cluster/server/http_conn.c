/* http_conn.c - a connection's bytes and states; see http_conn.h. */
#include "server/http_conn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/observe.h"

enum { HTTP_READ = 32 * 1024, CONN_PAST = 64 * 1024 };

/* ---- What the parser tells ------------------------------------------------------------------- */

static int conn_on_target(http_parser *p, const char *text, size_t n) {
  struct http_conn *c = p->data;
  return srv_http_head_add(&c->request.head, HTTP_TARGET, text, n) ? 0 : -1;
}

/* What comes as headers after the body is of no use here. */
static int conn_on_name(http_parser *p, const char *text, size_t n) {
  struct http_conn *c = p->data;
  return c->headed || srv_http_head_add(&c->request.head, HTTP_NAME, text, n) ? 0 : -1;
}

static int conn_on_value(http_parser *p, const char *text, size_t n) {
  struct http_conn *c = p->data;
  return c->headed || srv_http_head_add(&c->request.head, HTTP_VALUE, text, n) ? 0 : -1;
}

/* Both readings of the headers, the parser's and ours, must be one. */
static struct http_framing conn_framing(const struct http_conn *c) {
  const http_parser *p = &c->parser;
  struct http_framing f = srv_http_head_framing(&c->request.head, c->request.minor);
  bool chunked = (p->flags & F_CHUNKED) != 0;
  uint64_t length = p->content_length == UINT64_MAX ? 0 : p->content_length;
  f.clear = f.clear && f.chunked == chunked && (f.length == UINT64_MAX || f.length == length);
  return f;
}

/* Who is over a quota comes again: a small body is read past, so that it need not connect anew. */
static bool conn_reads_past(const struct http_request *r) {
  return r->call.status == 429 && r->framing.clear && !r->framing.chunked &&
         r->framing.length <= CONN_PAST && !srv_http_head_find(&r->head, "Expect");
}

/* A request that is refused is answered here and now; else only one without a body leaves the
   connection fit for another. */
static int conn_on_headers(http_parser *p) {
  struct http_conn *c = p->data;
  struct http_request *r = &c->request;
  if (!srv_http_head_end(&r->head))
    return -1;
  c->headed = true;
  p->upgrade = 0; /* to nothing: the request is served as it is */
  r->method = http_method_str((enum http_method)p->method);
  r->major = p->http_major;
  r->minor = p->http_minor;
  r->framing = conn_framing(c);
  c->last = !http_should_keep_alive(p);
  bool body = r->framing.chunked || r->framing.length > 0;
  if (!srv_http_headers(c)) {
    if ((body || !r->framing.clear) && !conn_reads_past(r)) {
      c->last = true;
      http_parser_pause(p, 1);
    }
    return 0;
  }
  const char *expects = body ? srv_http_head_find(&r->head, "Expect") : NULL;
  c->expects = expects && r->minor >= 1 && strcasecmp(expects, "100-continue") == 0;
  return 0;
}

static int conn_on_body(http_parser *p, const char *data, size_t n) {
  struct http_conn *c = p->data;
  c->expects = false;
  if (!srv_http_body(c, data, n)) {
    c->last = true;
    http_parser_pause(p, 1);
  }
  return 0;
}

static int conn_on_end(http_parser *p) {
  http_parser_pause(p, 1); /* what follows is another request */
  return 0;
}

static const http_parser_settings conn_settings = {
    .on_url = conn_on_target,
    .on_header_field = conn_on_name,
    .on_header_value = conn_on_value,
    .on_headers_complete = conn_on_headers,
    .on_body = conn_on_body,
    .on_message_complete = conn_on_end,
};

/* ---- Life ------------------------------------------------------------------------------------ */

static void conn_look(void *who);

void srv_http_conn_open(struct srv_http *http, const struct srv_stream *of) {
  struct http_conn *c = calloc(1, sizeof *c);
  struct srv_stream stream = *of;
  pthread_mutex_lock(&http->mutex);
  if (!c || http->n_conns >= http->server->config.connections) {
    pthread_mutex_unlock(&http->mutex);
    srv_stream_close(&stream);
    free(c);
    return;
  }
  c->next = http->conns;
  if (c->next)
    c->next->prev = c;
  http->conns = c;
  http->n_conns++;
  pthread_mutex_unlock(&http->mutex);
  c->http = http;
  c->stream = stream;
  c->source = (struct srv_source){stream.fd, conn_look, c, false};
  http_parser_init(&c->parser, HTTP_REQUEST);
  c->parser.data = c;
  srv_http_forget(c);
  srv_deadlines_come(http->deadlines, &c->deadline, stream.fd);
  if (!srv_pool_watch(http->server->pool, &c->source,
                      srv_stream_awaits(&c->stream, SRV_READABLE)))
    srv_http_conn_close(c);
}

void srv_http_conn_close(struct http_conn *c) {
  struct srv_http *http = c->http;
  pthread_mutex_lock(&http->mutex);
  if (c->next)
    c->next->prev = c->prev;
  if (c->prev)
    c->prev->next = c->next;
  else
    http->conns = c->next;
  http->n_conns--;
  pthread_mutex_unlock(&http->mutex);
  srv_deadlines_gone(http->deadlines, &c->deadline);
  srv_stream_close(&c->stream);
  srv_http_forget(c);
  srv_http_head_free(&c->request.head);
  srv_http_answer_free(&c->answer);
  free(c->kept);
  free(c);
}

/* ---- States ---------------------------------------------------------------------------------- *
 * Each does what can be done without waiting. True: go on in the state that is now; false: the
 * connection is watched, a worker's, or closed, and must not be touched. */

static bool conn_await(struct http_conn *c, enum srv_ready what) {
  srv_pool_await(c->http->server->pool, &c->source, srv_stream_awaits(&c->stream, what));
  return false;
}

static bool conn_closed(struct http_conn *c) {
  srv_http_conn_close(c);
  return false;
}

/* Puts the decided answer into bytes; true: they can be written. What was done is kept also when
   there is no memory to say so. A worker may wait. */
static bool conn_prepare(struct http_conn *c, bool worker) {
  struct http_request *r = &c->request;
  c->last = c->last || atomic_load(&c->http->server->draining);
  struct http_answer_how how = {c->last, r->minor == 0, r->method && strcmp(r->method, "HEAD") == 0,
                                r->allow};
  c->state = HTTP_WRITING;
  bool made = srv_http_answer_make(&c->answer, &r->call, &how);
  srv_observe_end(&r->call, made ? c->answer.text.n - c->answer.at : 0, worker);
  return made;
}

static void conn_malformed(struct http_conn *c, enum http_errno why) {
  bool large = why == HPE_HEADER_OVERFLOW || why == HPE_CB_url || why == HPE_CB_header_field ||
               why == HPE_CB_header_value || why == HPE_CB_headers_complete;
  if (large)
    srv_call_fail(&c->request.call, 431, "TOO_LARGE", "the headers may have %d bytes",
                  SRV_HTTP_HEAD_BYTES);
  else
    srv_call_fail(&c->request.call, 400, "HTTP", "no request of HTTP/1.1: %s",
                  http_errno_description(why));
  c->last = true;
}

/* The client may send the body. What it has not taken of so few bytes it will not miss. */
static void conn_continue(struct http_conn *c) {
  static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
  c->expects = false;
  if (srv_stream_write(&c->stream, text, sizeof text - 1) != sizeof text - 1)
    srv_stream_cut(&c->stream);
}

/* After bytes were given to the parser. */
static bool conn_fed(struct http_conn *c) {
  enum http_errno why = HTTP_PARSER_ERRNO(&c->parser);
  if (why == HPE_OK) {
    if (c->expects)
      conn_continue(c);
    return conn_await(c, SRV_READABLE);
  }
  srv_deadlines_met(&c->deadline);
  if (why != HPE_PAUSED && c->request.call.status == 0)
    conn_malformed(c, why);
  if (c->request.call.status == 0 && !srv_http_whole(c))
    return false;
  return conn_prepare(c, false) || conn_closed(c);
}

/* To the parser, no bytes are the end of the connection. */
static size_t conn_parse(struct http_conn *c, const char *bytes, size_t n) {
  return n ? http_parser_execute(&c->parser, &conn_settings, bytes, n) : 0;
}

/* Gives bytes to the parser; how many it took. */
static size_t conn_feed(struct http_conn *c, const char *bytes, size_t n) {
  struct http_request *r = &c->request;
  size_t head = srv_http_head_see(&r->head, bytes, n), body = n - head;
  size_t used = conn_parse(c, bytes, head);
  if (used < head || HTTP_PARSER_ERRNO(&c->parser) != HPE_OK)
    return used;
  if (r->framing.chunked)
    body = srv_http_chunks_see(&r->chunks, bytes + head, body);
  used += conn_parse(c, bytes + head, body);
  if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK || used == n)
    return used;
  if (r->call.status == 0)
    srv_call_fail(&r->call, 400, "HTTP", "no request of HTTP/1.1: the body's chunks are malformed");
  c->last = true;
  http_parser_pause(&c->parser, 1);
  return used;
}

/* Bytes that came with an earlier request. */
static bool conn_feed_kept(struct http_conn *c) {
  c->kept_at += conn_feed(c, c->kept + c->kept_at, c->n_kept - c->kept_at);
  if (c->kept_at == c->n_kept) {
    free(c->kept);
    c->kept = NULL;
  }
  return conn_fed(c);
}

static bool conn_read(struct http_conn *c) {
  char bytes[HTTP_READ];
  if (c->kept)
    return conn_feed_kept(c);
  ssize_t n = srv_stream_read(&c->stream, bytes, sizeof bytes);
  if (n == SRV_STREAM_LATER)
    return conn_await(c, SRV_READABLE);
  if (n <= 0)
    return conn_closed(c);
  srv_deadlines_heard(c->http->deadlines, &c->deadline);
  size_t used = conn_feed(c, bytes, (size_t)n);
  if (used < (size_t)n && HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED && !c->last) {
    c->n_kept = (size_t)n - used;
    c->kept_at = 0;
    c->kept = malloc(c->n_kept);
    if (!c->kept)
      return conn_closed(c);
    memcpy(c->kept, bytes + used, c->n_kept);
  }
  return conn_fed(c);
}

/* The answer is sent. */
static bool conn_next(struct http_conn *c) {
  srv_http_answer_free(&c->answer);
  srv_http_forget(c);
  srv_deadlines_set(c->http->deadlines, &c->deadline);
  if (c->last) {
    c->state = HTTP_ENDING;
    return true;
  }
  c->headed = false;
  c->state = HTTP_READING;
  http_parser_pause(&c->parser, 0);
  return c->kept || conn_await(c, SRV_READABLE);
}

static bool conn_write(struct http_conn *c) {
  struct http_answer *a = &c->answer;
  while (a->at < a->text.n) {
    ssize_t n = srv_stream_write(&c->stream, a->text.data + a->at, a->text.n - a->at);
    if (n == SRV_STREAM_LATER) {
      srv_deadlines_owe(c->http->deadlines, &c->deadline, a->text.n - a->at,
                        c->http->server->config.least_rate);
      srv_deadlines_heard(c->http->deadlines, &c->deadline);
      return conn_await(c, SRV_WRITABLE);
    }
    if (n < 0)
      return conn_closed(c);
    a->at += (size_t)n;
  }
  return conn_next(c);
}

static bool conn_end(struct http_conn *c) {
  if (srv_stream_end(&c->stream) == SRV_STREAM_LATER)
    return conn_await(c, SRV_WRITABLE);
  c->state = HTTP_LINGERING;
  return true;
}

/* Until the client ends, too: what it still sends would otherwise make the system throw away the
   answer that it has not read. */
static bool conn_linger(struct http_conn *c) {
  char bytes[HTTP_READ];
  ssize_t n = srv_stream_read(&c->stream, bytes, sizeof bytes);
  if (n == SRV_STREAM_LATER || n > 0)
    return conn_await(c, SRV_READABLE);
  return conn_closed(c);
}

static void conn_go(struct http_conn *c) {
  static bool (*const states[])(struct http_conn *) = {
      [HTTP_READING] = conn_read,
      [HTTP_WRITING] = conn_write,
      [HTTP_ENDING] = conn_end,
      [HTTP_LINGERING] = conn_linger};
  while (states[c->state](c))
    continue;
}

static void conn_look(void *who) {
  conn_go(who);
}

void srv_http_conn_answer(struct http_conn *c) {
  if (conn_prepare(c, true) || conn_closed(c))
    conn_go(c);
}
