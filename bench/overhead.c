/*
 * overhead.c - what the server adds to a search: the same queries, one at a time, in process, over
 * HTTP and over gRPC, in turn, on one open database. The server's threads run in this process, and
 * the calls in process go to the database that it serves. The client sends with one system call and
 * waits in another. What that alone takes on this machine is measured beside: as many bytes as HTTP
 * has, to a thread that reads them and sends back as many as its answer has ("echo"), or makes the
 * call in process before it does ("bare"). The latter is what no server can do without: each side
 * sleeps as long as it does when a server answers, and is woken as slowly. Client and server have a
 * processor each, as the system mostly places them; else it wakes the echo on the client's.
 *
 *   overhead DIR QUERY.npy [QUERIES [TURN [poll]]]
 *
 * DIR is a database that `load --prepare` made. Each query asks for the 10 nearest rows of one
 * tenant, and all three ways must give the same ones. TURN queries in a row (1) go each way: a
 * client that asks again as soon as it is answered lets a server sleep less. With `poll` the
 * client does not sleep while it waits for an answer, unless over TLS: what waking its processor
 * takes, which is no work of the server's, is then in none of the figures. The environment sets
 * the server, as it does vecdbd; with a certificate, both are asked over TLS, and with
 * OVERHEAD_TOKEN each request shows that as its bearer token. One JSON line: microseconds of each
 * way, and what HTTP, gRPC and the bare way take more than the call in process for the same query.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_util.h"
#include "server/pb.h"
#include "server/server.h"

enum { OVERHEAD_K = 10, OVERHEAD_TENANTS = 10, OVERHEAD_ROOM = 64 * 1024, OVERHEAD_WARM = 100 };

enum overhead_way {
  OVERHEAD_CALL,
  OVERHEAD_HTTP,
  OVERHEAD_GRPC,
  OVERHEAD_ECHO,
  OVERHEAD_BARE,
  OVERHEAD_WAYS
};

/* A query in the words of each way, and what was found. */
struct overhead_query {
  const float *vector;
  uint32_t dim;
  int64_t tenant;
  char *http; /* the whole request */
  size_t n_http;
  uint8_t *grpc; /* the message with its prefix */
  size_t n_grpc;
};

struct overhead_line {
  int fd;
  SSL *tls; /* NULL: none is spoken */
};

struct overhead {
  struct srv_server *server;
  struct engine_collection *collection;
  struct overhead_line http, grpc;
  struct overhead_line echo, echo_end; /* a connection to a thread that echoes */
  size_t n_echo;      /* bytes of its answer */
  nghttp2_session *session;
  const struct overhead_query *asking; /* over gRPC */
  size_t sent;
  bool closed;
  char answer[OVERHEAD_ROOM];
  size_t n_answer;
  int64_t ids[OVERHEAD_K];
  uint32_t n_ids;
};

/* The client waits for answers without sleeping. */
static bool overhead_polls;

/* What each request shows: "Bearer " and a token; "": nothing. */
static char overhead_shown[4096];

static _Noreturn void overhead_die(const char *what) {
  fprintf(stderr, "overhead: %s\n", what);
  exit(1);
}

static int overhead_connect(unsigned port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
    overhead_die("cannot connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* A connection to the server; over TLS, when that is what it speaks. */
static struct overhead_line overhead_open(const struct srv_server *server,
                                          const unsigned char *alpn) {
  struct overhead_line line = {overhead_connect(srv_server_port(server, 0)), NULL};
  if (!server->tls)
    return line;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  line.tls = context ? SSL_new(context) : NULL;
  SSL_CTX_free(context);
  if (!line.tls || SSL_set_alpn_protos(line.tls, alpn, 1u + alpn[0]) != 0 ||
      SSL_set_fd(line.tls, line.fd) != 1 || SSL_connect(line.tls) != 1)
    overhead_die("no TLS");
  return line;
}

static void overhead_close(struct overhead_line *line) {
  SSL_free(line->tls);
  close(line->fd);
}

static ssize_t overhead_receive(const struct overhead_line *line, void *to, size_t n) {
  return line->tls ? SSL_read(line->tls, to, (int)n) : recv(line->fd, to, n, 0);
}

/* The same of an answer, by the client. */
static ssize_t overhead_await(const struct overhead_line *line, void *to, size_t n) {
  ssize_t r;
  if (line->tls || !overhead_polls)
    return overhead_receive(line, to, n);
  do
    r = recv(line->fd, to, n, MSG_DONTWAIT);
  while (r < 0 && errno == EAGAIN);
  return r;
}

static void overhead_send(const struct overhead_line *line, const void *data, size_t n) {
  for (size_t sent = 0; sent < n;) {
    const char *rest = (const char *)data + sent;
    ssize_t r = line->tls ? SSL_write(line->tls, rest, (int)(n - sent))
                          : send(line->fd, rest, n - sent, MSG_NOSIGNAL);
    if (r <= 0)
      overhead_die("the server is gone");
    sent += (size_t)r;
  }
}

/* ---- In process ------------------------------------------------------------------------------ */

static void overhead_ask_call(struct overhead *o, const struct overhead_query *q) {
  vecdb_param param = {"t", {.type = VECDB_INT64, .as.integer = q->tenant}};
  vecdb_search_params params = VECDB_SEARCH_PARAMS_INIT;
  vecdb_hit hits[OVERHEAD_K];
  vecdb_error error;
  params.k = OVERHEAD_K;
  params.queries = q->vector;
  params.filter = (vecdb_filter){"tenant_id == {t}", 0, &param, 1};
  bench_check(engine_search(o->collection, &params, hits, &o->n_ids, NULL, NULL, &error), "search",
              &error);
  for (uint32_t i = 0; i < o->n_ids; i++)
    o->ids[i] = hits[i].id;
}

/* ---- HTTP ------------------------------------------------------------------------------------ */

static void overhead_ask_http(struct overhead *o, const struct overhead_query *q) {
  size_t wanted = OVERHEAD_ROOM;
  overhead_send(&o->http, q->http, q->n_http);
  for (o->n_answer = 0; o->n_answer < wanted;) {
    ssize_t r = overhead_await(&o->http, o->answer + o->n_answer,
                               OVERHEAD_ROOM - 1 - o->n_answer);
    if (r <= 0)
      overhead_die("the server is gone");
    o->n_answer += (size_t)r;
    o->answer[o->n_answer] = '\0';
    char *body = strstr(o->answer, "\r\n\r\n");
    char *length = body ? strcasestr(o->answer, "Content-Length:") : NULL;
    if (length)
      wanted = (size_t)(body + 4 - o->answer) + strtoul(length + 15, NULL, 10);
  }
}

static void overhead_read_http(struct overhead *o) {
  json_t *json = json_loads(strstr(o->answer, "\r\n\r\n") + 4, 0, NULL), *hit;
  size_t i;
  o->n_ids = 0;
  json_array_foreach(json_object_get(json, "hits"), i, hit)
    o->ids[o->n_ids++] = json_integer_value(json_object_get(hit, "id"));
  json_decref(json);
}

static void overhead_words_http(struct overhead_query *q) {
  size_t room = 256 + (size_t)q->dim * 16, n = 0;
  const char *shown = overhead_shown;
  char *body = bench_alloc(room);
  n += (size_t)snprintf(body, room,
                        "{\"top_k\": %d, \"filter\": \"tenant_id == {t}\", \"params\": {\"t\": "
                        "%lld}, \"vector\": [",
                        OVERHEAD_K, (long long)q->tenant);
  for (uint32_t i = 0; i < q->dim; i++)
    n += (size_t)snprintf(body + n, room - n, "%s%.9g", i ? "," : "", (double)q->vector[i]);
  n += (size_t)snprintf(body + n, room - n, "]}");
  q->http = bench_alloc(n + strlen(shown) + 256);
  q->n_http = (size_t)sprintf(q->http,
                              "POST /v1/collections/bench/search HTTP/1.1\r\nHost: bench\r\n"
                              "%s%s%sContent-Type: application/json\r\nContent-Length: %zu\r\n"
                              "\r\n%s",
                              *shown ? "Authorization: " : "", shown, *shown ? "\r\n" : "", n,
                              body);
  free(body);
}

/* ---- Echo ------------------------------------------------------------------------------------ */

/* What each question begins with. */
struct overhead_echo {
  size_t question, answer; /* bytes */
  const struct overhead_query *search; /* to be made before the answer; NULL: none */
};

static void *overhead_echo(void *arg) {
  struct overhead *o = arg;
  static char bytes[OVERHEAD_ROOM];
  struct overhead_echo head = {0};
  for (;;) {
    size_t got = 0, wanted = sizeof head;
    while (got < wanted) {
      ssize_t n = overhead_receive(&o->echo_end, bytes + got, sizeof bytes - got);
      if (n <= 0)
        return NULL;
      got += (size_t)n;
      if (got >= sizeof head) {
        memcpy(&head, bytes, sizeof head);
        wanted = head.question;
      }
    }
    if (head.search)
      overhead_ask_call(o, head.search);
    overhead_send(&o->echo_end, bytes, head.answer);
  }
}

static void overhead_ask_back(struct overhead *o, size_t n, const struct overhead_query *search) {
  static char bytes[OVERHEAD_ROOM];
  const struct overhead_echo head = {n, o->n_echo, search};
  memcpy(bytes, &head, sizeof head);
  overhead_send(&o->echo, bytes, n);
  for (size_t got = 0; got < o->n_echo;) {
    ssize_t r = overhead_await(&o->echo, bytes + got, sizeof bytes - got);
    if (r <= 0)
      overhead_die("the echo is gone");
    got += (size_t)r;
  }
}

static void overhead_ask_echo(struct overhead *o, const struct overhead_query *q) {
  overhead_ask_back(o, q->n_http, NULL);
}

static void overhead_ask_bare(struct overhead *o, const struct overhead_query *q) {
  overhead_ask_back(o, q->n_http, q);
}

/* A connection within this process, and the thread at its other end. */
static pthread_t overhead_echo_start(struct overhead *o) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t n = sizeof at;
  pthread_t thread;
  int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
      listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&at, &n) != 0)
    overhead_die("cannot listen");
  o->echo.fd = overhead_connect(ntohs(at.sin_port));
  o->echo_end.fd = accept(listener, NULL, NULL);
  close(listener);
  if (o->echo_end.fd < 0 || pthread_create(&thread, NULL, overhead_echo, o) != 0)
    overhead_die("no echo");
  setsockopt(o->echo_end.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return thread;
}

/* ---- gRPC ------------------------------------------------------------------------------------ */

/* Sends what nghttp2 has to say, in one piece. */
static void overhead_flush(struct overhead *o) {
  uint8_t out[16384];
  const uint8_t *frame;
  size_t n = 0;
  ssize_t part;
  while ((part = nghttp2_session_mem_send(o->session, &frame)) > 0) {
    if ((size_t)part > sizeof out - n)
      overhead_die("a question is too long");
    memcpy(out + n, frame, (size_t)part);
    n += (size_t)part;
  }
  if (part < 0)
    overhead_die("a call cannot be sent");
  overhead_send(&o->grpc, out, n);
}

static ssize_t overhead_on_fill(nghttp2_session *session, int32_t stream, uint8_t *buffer,
                                size_t size, uint32_t *flags, nghttp2_data_source *source,
                                void *user) {
  (void)session;
  (void)stream;
  (void)source;
  struct overhead *o = user;
  size_t left = o->asking->n_grpc - o->sent, n = left < size ? left : size;
  memcpy(buffer, o->asking->grpc + o->sent, n);
  o->sent += n;
  if (n == left)
    *flags = NGHTTP2_DATA_FLAG_EOF;
  return (ssize_t)n;
}

static int overhead_on_data(nghttp2_session *session, uint8_t flags, int32_t stream,
                            const uint8_t *data, size_t n, void *user) {
  (void)session;
  (void)flags;
  (void)stream;
  struct overhead *o = user;
  if (n > OVERHEAD_ROOM - o->n_answer)
    overhead_die("an answer is too long");
  memcpy(o->answer + o->n_answer, data, n);
  o->n_answer += n;
  return 0;
}

static int overhead_on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user) {
  (void)session;
  (void)stream;
  (void)code;
  ((struct overhead *)user)->closed = true;
  return 0;
}

static void overhead_session(struct overhead *o) {
  nghttp2_session_callbacks *callbacks;
  if (nghttp2_session_callbacks_new(&callbacks) != 0)
    overhead_die("out of memory");
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, overhead_on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, overhead_on_close);
  if (nghttp2_session_client_new(&o->session, callbacks, o) != 0 ||
      nghttp2_submit_settings(o->session, NGHTTP2_FLAG_NONE, NULL, 0) != 0)
    overhead_die("out of memory");
  nghttp2_session_callbacks_del(callbacks);
}

#define OVERHEAD_HEADER(name, value) \
  { (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), strlen(name), strlen(value), 0 }

static void overhead_ask_grpc(struct overhead *o, const struct overhead_query *q) {
  static const char path[] = "/milvus.proto.milvus.MilvusService/Search";
  nghttp2_nv headers[] = {
      OVERHEAD_HEADER(":method", "POST"),      OVERHEAD_HEADER(":scheme", "http"),
      OVERHEAD_HEADER(":path", path),          OVERHEAD_HEADER(":authority", "bench"),
      OVERHEAD_HEADER("te", "trailers"),       OVERHEAD_HEADER("content-type", "application/grpc"),
      OVERHEAD_HEADER("authorization", overhead_shown),
  };
  nghttp2_data_provider data = {.read_callback = overhead_on_fill};
  uint8_t buffer[16384];
  o->asking = q;
  o->sent = o->n_answer = 0;
  o->closed = false;
  if (nghttp2_submit_request(o->session, NULL, headers, *overhead_shown ? 7 : 6, &data,
                             NULL) < 0)
    overhead_die("a call cannot be sent");
  overhead_flush(o);
  while (!o->closed) {
    ssize_t n = overhead_await(&o->grpc, buffer, sizeof buffer);
    if (n <= 0 || nghttp2_session_mem_recv(o->session, buffer, (size_t)n) != n)
      overhead_die("the server is gone");
    overhead_flush(o);
  }
}

/* SearchResults.results.ids.int_id.data. */
static void overhead_read_grpc(struct overhead *o) {
  static const struct pb_field results[] = {{2, PB_BYTES, 0}}, ids[] = {{5, PB_BYTES, 0}},
                               list[] = {{1, PB_BYTES, 0}}, data[] = {{1, PB_NUMBERS, 0}};
  static const struct pb_field *const path[] = {results, ids, list};
  struct srv_arena arena = {0};
  struct pb_bytes part = {(const uint8_t *)o->answer + 5, o->n_answer > 5 ? o->n_answer - 5 : 0};
  struct pb_numbers numbers = {0};
  bool good = true;
  for (int i = 0; i < 3 && good; i++)
    good = srv_pb_read(&arena, part, path[i], 1, &part, sizeof part);
  good = good && SRV_PB_READ(&arena, part, data, &numbers);
  o->n_ids = good && numbers.n <= OVERHEAD_K ? (uint32_t)numbers.n : 0;
  for (uint32_t i = 0; i < o->n_ids; i++)
    o->ids[i] = numbers.items[i];
  srv_arena_free(&arena);
}

static void overhead_pair(struct pb_out *out, const char *key, const char *value) {
  size_t mark = srv_pb_open(out, 9);
  srv_pb_text(out, 1, key);
  srv_pb_text(out, 2, value);
  srv_pb_close(out, mark);
}

/* The message as pymilvus sends it. */
static void overhead_words_grpc(struct overhead_query *q) {
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  char text[64];
  srv_pb_text(&out, 3, "bench");
  snprintf(text, sizeof text, "tenant_id == %lld", (long long)q->tenant);
  srv_pb_text(&out, 5, text);
  size_t group = srv_pb_open(&out, 6), placeholder = srv_pb_open(&out, 1);
  srv_pb_text(&out, 1, "$0");
  srv_pb_number(&out, 2, 101); /* float vectors */
  srv_pb_bytes(&out, 3, q->vector, q->dim * sizeof *q->vector);
  srv_pb_close(&out, placeholder);
  srv_pb_close(&out, group);
  snprintf(text, sizeof text, "%d", OVERHEAD_K);
  overhead_pair(&out, "topk", text);
  overhead_pair(&out, "anns_field", "v");
  overhead_pair(&out, "params", "{}");
  if (out.failed)
    overhead_die("out of memory");
  uint32_t length = htonl((uint32_t)out.n);
  q->n_grpc = out.n + 5;
  q->grpc = bench_alloc(q->n_grpc);
  q->grpc[0] = 0;
  memcpy(q->grpc + 1, &length, sizeof length);
  memcpy(q->grpc + 5, out.data, out.n);
  srv_arena_free(&arena);
}

/* Has this thread, and those that it starts from here on, run on the last processor, or on the
   others, where there are such. */
static void overhead_place(bool last) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  cpu_set_t set;
  CPU_ZERO(&set);
  for (long i = 0; i < n; i++)
    if ((i == n - 1) == last)
      CPU_SET((size_t)i, &set);
  if (n > 1 && sched_setaffinity(0, sizeof set, &set) != 0)
    overhead_die("cannot choose a processor");
}

/* ---- The measurement ------------------------------------------------------------------------- */

static double overhead_ask(struct overhead *o, enum overhead_way way,
                           const struct overhead_query *q) {
  static void (*const ask[])(struct overhead *, const struct overhead_query *) = {
      overhead_ask_call, overhead_ask_http, overhead_ask_grpc, overhead_ask_echo,
      overhead_ask_bare};
  double start = bench_now();
  ask[way](o, q);
  return (bench_now() - start) * 1e6;
}

/* All ways must find the same rows. */
static void overhead_same(struct overhead *o, const struct overhead_query *q) {
  int64_t ids[OVERHEAD_K];
  overhead_ask_call(o, q);
  uint32_t n = o->n_ids;
  memcpy(ids, o->ids, sizeof ids);
  overhead_ask_http(o, q);
  o->n_echo = o->n_answer;
  overhead_read_http(o);
  if (o->n_ids != n || memcmp(o->ids, ids, n * sizeof *ids) != 0)
    overhead_die("HTTP finds other rows");
  overhead_ask_grpc(o, q);
  overhead_read_grpc(o);
  if (o->n_ids != n || memcmp(o->ids, ids, n * sizeof *ids) != 0)
    overhead_die("gRPC finds other rows");
}

static int overhead_compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void overhead_print(const char *name, double *us, size_t n, const char *after) {
  qsort(us, n, sizeof *us, overhead_compare);
  printf("\"%s\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f}%s", name, us[n / 2],
         us[n * 9 / 10], us[n * 99 / 100], after);
}

static void overhead_measure(struct overhead *o, const struct overhead_query *queries, size_t n,
                             size_t turn) {
  double *us[OVERHEAD_WAYS], *more[OVERHEAD_WAYS];
  for (int w = 0; w < OVERHEAD_WAYS; w++) {
    us[w] = bench_alloc(n * sizeof **us);
    more[w] = bench_alloc(n * sizeof **more);
  }
  for (size_t i = 0; i < n && i < OVERHEAD_WARM; i++)
    overhead_same(o, &queries[i]);
  for (size_t at = 0; at < n; at += turn)
    for (size_t w = 0; w < OVERHEAD_WAYS; w++) { /* by turns the first, whose caches are cold */
      size_t way = (at / turn + w) % OVERHEAD_WAYS;
      for (size_t i = at; i < at + turn && i < n; i++)
        us[way][i] = overhead_ask(o, (enum overhead_way)way, &queries[i]);
    }
  for (size_t w = 0; w < OVERHEAD_WAYS; w++)
    for (size_t i = 0; i < n; i++)
      more[w][i] = us[w][i] - us[OVERHEAD_CALL][i];
  printf("{\"queries\": %zu, ", n);
  overhead_print("in_process_us", us[OVERHEAD_CALL], n, ", ");
  overhead_print("http_us", us[OVERHEAD_HTTP], n, ", ");
  overhead_print("grpc_us", us[OVERHEAD_GRPC], n, ", ");
  overhead_print("http_more_us", more[OVERHEAD_HTTP], n, ", ");
  overhead_print("grpc_more_us", more[OVERHEAD_GRPC], n, ", ");
  overhead_print("bare_more_us", more[OVERHEAD_BARE], n, ", ");
  overhead_print("echo_us", us[OVERHEAD_ECHO], n, "}\n");
  for (int w = 0; w < OVERHEAD_WAYS; w++) {
    free(us[w]);
    free(more[w]);
  }
}

static struct overhead_query *overhead_words(const struct npy *array, size_t n) {
  struct overhead_query *queries = calloc(n, sizeof *queries);
  float *vectors = bench_alloc(n * array->columns * sizeof *vectors);
  if (!queries)
    overhead_die("out of memory");
  for (size_t i = 0; i < n; i++) {
    float *vector = vectors + i * array->columns;
    npy_floats(array, i % array->rows, vector);
    queries[i].vector = vector;
    queries[i].dim = (uint32_t)array->columns;
    queries[i].tenant = (int64_t)(i % OVERHEAD_TENANTS);
    overhead_words_http(&queries[i]);
    overhead_words_grpc(&queries[i]);
  }
  return queries;
}

int main(int argc, char **argv) {
  static struct overhead o;
  struct srv_config config;
  char error[SRV_CONFIG_ERROR];
  vecdb_error why;
  if (argc < 3 || argc > 6) {
    fprintf(stderr, "usage: overhead DIR QUERY.npy [QUERIES [TURN [poll]]]\n");
    return 2;
  }
  struct npy array = npy_open(argv[2]);
  size_t n = argc > 3 ? strtoul(argv[3], NULL, 10) : array.rows;
  size_t turn = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
  overhead_polls = argc > 5;
  const char *token = getenv("OVERHEAD_TOKEN");
  if (token)
    snprintf(overhead_shown, sizeof overhead_shown, "Bearer %s", token);
  signal(SIGPIPE, SIG_IGN); /* as vecdbd does */
  srv_config_init(&config);
  if (!srv_config_environment(&config, error))
    overhead_die(error);
  snprintf(config.data, sizeof config.data, "%s", argv[1]);
  snprintf(config.listen, sizeof config.listen, "127.0.0.1:0");
  overhead_place(false);
  o.server = n && turn ? srv_server_start(&config, NULL, error) : NULL;
  if (!o.server)
    overhead_die(n && turn ? error : "no queries");
  bench_check(engine_collection_get(o.server->engine, "bench", &o.collection, &why), "bench", &why);
  struct overhead_query *queries = overhead_words(&array, n);
  o.http = overhead_open(o.server, (const unsigned char *)"\x08http/1.1");
  o.grpc = overhead_open(o.server, (const unsigned char *)"\x02h2");
  overhead_session(&o);
  pthread_t echo = overhead_echo_start(&o);
  overhead_place(true);
  overhead_measure(&o, queries, n, turn);
  shutdown(o.echo.fd, SHUT_RDWR);
  pthread_join(echo, NULL);
  overhead_close(&o.echo);
  overhead_close(&o.echo_end);
  nghttp2_session_del(o.session);
  overhead_close(&o.http);
  overhead_close(&o.grpc);
  engine_collection_release(o.collection);
  if (!srv_server_stop(o.server, error))
    overhead_die(error);
  for (size_t i = 0; i < n; i++) {
    free(queries[i].http);
    free(queries[i].grpc);
  }
  free((void *)(uintptr_t)queries[0].vector);
  free(queries);
  return 0;
}
