/*
 * test_observe.c - what the server tells about itself: counters beside the requests that were made,
 * both formats of /metrics, traces, the log's lines, and the audit log of a server.
 * TSAN: yes
 */
#include "server/rpctest.h"

#include <sys/stat.h>

#include "server/audit.h"
#include "server/auth.h"
#include "server/gpus.h"
#include "server/line.h"
#include "server/observe.h"
#include "server/routes.h"
#include "server/trace.h"

#define DOCS "/v1/collections/docs"
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "00-" TRACE "-b7ad6b7169203331-01"

static const char docs_schema[] =
    "{\"name\": \"docs\", \"fields\": ["
    "{\"name\": \"id\", \"type\": \"INT64\", \"primary_key\": true},"
    "{\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2}]}";

/* ---- A server whose log is kept -------------------------------------------------------------- */

enum { LOG_ROOM = 256 * 1024 };

static char logged[LOG_ROOM];
static size_t n_logged;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;

static void keep_line(int level, const char *line) {
  (void)level;
  size_t n = strlen(line);
  pthread_mutex_lock(&log_mutex);
  assert_true(n + 2 < LOG_ROOM - n_logged);
  memcpy(logged + n_logged, line, n);
  n_logged += n;
  logged[n_logged++] = '\n';
  logged[n_logged] = '\0';
  pthread_mutex_unlock(&log_mutex);
}

static void start(struct web *w) {
  char error[SRV_CONFIG_ERROR];
  n_logged = 0;
  w->server = srv_server_start(&w->config, keep_line, error);
  if (!w->server)
    fail_msg("%s", error);
  w->port = srv_server_port(w->server, 0);
  w->milvus_port = srv_server_milvus_port(w->server, 0);
}

static int setup(void **state) {
  struct web *w = malloc(sizeof *w);
  web_init(w);
  snprintf(w->config.milvus, sizeof w->config.milvus, "127.0.0.1:0");
  snprintf(w->config.log_format, sizeof w->config.log_format, "json");
  snprintf(w->config.audit_path, sizeof w->config.audit_path, "%.40s/audit", w->folder);
  snprintf(w->config.audit_sync, sizeof w->config.audit_sync, "commit");
  w->config.log_requests = 1;
  start(w);
  web_do(w, 201, "POST", "/v1/collections", docs_schema);
  web_do(w, 200, "POST", DOCS "/rows", "{\"rows\": [{\"id\": 1, \"v\": [1, 0]}]}");
  *state = w;
  return 0;
}

static int teardown(void **state) {
  web_end(*state);
  free(*state);
  return 0;
}

/* ---- Metrics --------------------------------------------------------------------------------- */

/* The value of the sample that begins like this, labels included; -1: it is not there. */
static double sample(const char *page, const char *begins) {
  size_t n = strlen(begins);
  for (const char *line = page; line && *line; line = strchr(line, '\n')) {
    line += *line == '\n';
    if (strncmp(line, begins, n) == 0 && line[n] == ' ')
      return strtod(line + n, NULL);
  }
  return -1;
}

static void expect_sample(const char *page, const char *begins, double value) {
  double got = sample(page, begins);
  if (got != value)
    fail_msg("%s is %g, not %g", begins, got, value);
}

static char *metrics(const struct web *w) {
  struct web_answer a = web_ask(w, "GET", "/metrics", NULL);
  assert_int_equal(a.status, 200);
  json_decref(a.json);
  return a.text;
}

static void search_over_grpc(const struct web *w) {
  uint8_t frame[64];
  struct srv_arena arena = {0};
  struct pb_out out = {.arena = &arena};
  srv_pb_text(&out, 3, "nosuch");
  size_t n = rpc_framed(&out, frame, sizeof frame);
  rpc_expect(w, "0", SERVICE "Search", "traceparent", PARENT, frame, n);
  rpc_expect(w, "12", SERVICE "NoSuchMethod", NULL, NULL, frame, n);
  srv_arena_free(&arena);
}

#define SEARCH_ROUTE \
  "{api=\"vecdb\",method=\"POST\",route=\"/v1/collections/{collection}/search\""

static void test_counts(void **state) {
  const struct web *w = *state;
  for (int i = 0; i < 5; i++)
    web_do(w, 200, "POST", DOCS "/search", "{\"vector\": [1, 0]}");
  web_fails(w, 400, "DIMENSION", "POST", DOCS "/search", "{\"vector\": [1]}");
  web_fails(w, 404, "NOT_FOUND", "GET", "/nosuch", NULL);
  web_do(w, 200, "POST", "/v2/vectordb/entities/search",
         "{\"collectionName\": \"docs\", \"data\": [[1, 0]], \"annsField\": \"v\"}");
  web_do(w, 200, "POST", "/v2/vectordb/collections/describe", "{\"collectionName\": \"nosuch\"}");
  web_do(w, 200, "PUT", "/collections/points",
         "{\"vectors\": {\"size\": 2, \"distance\": \"Dot\"}}");
  web_do(w, 200, "POST", "/collections/points/points/query", "{\"query\": [1, 0]}");
  search_over_grpc(w);
  char *page = metrics(w);
  expect_sample(page, "vecdb_requests_total" SEARCH_ROUTE ",code=\"200\"}", 5);
  expect_sample(page, "vecdb_requests_total" SEARCH_ROUTE ",code=\"400\"}", 1);
  expect_sample(page, "vecdb_request_duration_seconds_count" SEARCH_ROUTE "}", 6);
  expect_sample(page, "vecdb_request_duration_seconds_bucket" SEARCH_ROUTE ",le=\"+Inf\"}", 6);
  expect_sample(page, "vecdb_requests_total{api=\"none\",method=\"\",route=\"\",code=\"404\"}", 1);
  expect_sample(page, "vecdb_requests_total{api=\"none\",method=\"\",route=\"\",code=\"501\"}", 1);
  expect_sample(page, "vecdb_requests_total{api=\"milvus\",method=\"gRPC\",route=\"Search\","
                      "code=\"200\"}", 1);
  expect_sample(page, "vecdb_errors_total{api=\"vecdb\",error=\"DIMENSION\"}", 1);
  expect_sample(page, "vecdb_errors_total{api=\"milvus\",error=\"NOT_FOUND\"}", 1);
  expect_sample(page, "vecdb_errors_total{api=\"milvus_rest\",error=\"NOT_FOUND\"}", 1);
  expect_sample(page, "vecdb_search_latency_seconds_count{api=\"vecdb\"}", 5);
  expect_sample(page, "vecdb_search_latency_seconds_count{api=\"qdrant\"}", 1);
  expect_sample(page, "vecdb_search_latency_seconds_count{api=\"milvus_rest\"}", 1);
  expect_sample(page, "search_latency_seconds_count", 7);
  expect_sample(page, "search_latency_seconds_bucket{le=\"+Inf\"}", 7);
  expect_sample(page, "vecdb_collection_rows{collection=\"docs\",state=\"live\"}", 1);
  expect_sample(page, "vecdb_collection_searches_total{collection=\"docs\"}", 6);
  expect_sample(page, "vecdb_collections", 2);
  expect_sample(page, "vecdb_ready", 1);
  expect_sample(page, "vecdb_cache_hits_total{purpose=\"results\"}", 0);
  expect_sample(page, "vecdb_cache_misses_total{purpose=\"vectors\"}", 0);
  expect_sample(page, "vecdb_allocated_bytes{purpose=\"vectors\"}", 0);
  assert_true(sample(page, "process_resident_memory_bytes") > 1e6);
  assert_true(sample(page, "vecdb_wal_fsync_duration_seconds_count") >= 1);
  assert_true(sample(page, "process_start_time_seconds") > 1.6e9);
  free(page);
}

/* ---- GPUs: NVML is played ---- */

static pthread_mutex_t gpu_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gpu_signal = PTHREAD_COND_INITIALIZER;
enum { GPU_FINE, GPU_BEGIN_HANGS, GPU_COUNT_HANGS, GPU_NO_DRIVER };
static unsigned gpu_state; /* one of these */
static unsigned gpu_asked, gpu_ended;

/* A call of the driver, which waits as long as it is to hang there. */
static int gpu_call(unsigned hangs) {
  pthread_mutex_lock(&gpu_mutex);
  int failed = gpu_state == GPU_NO_DRIVER;
  gpu_asked += failed || gpu_state == hangs;
  pthread_cond_broadcast(&gpu_signal);
  while (gpu_state == hangs)
    pthread_cond_wait(&gpu_signal, &gpu_mutex);
  pthread_mutex_unlock(&gpu_mutex);
  return failed;
}

static int gpu_begin(void) {
  return gpu_call(GPU_BEGIN_HANGS);
}
static int gpu_end(void) {
  pthread_mutex_lock(&gpu_mutex);
  gpu_ended++;
  pthread_cond_broadcast(&gpu_signal);
  pthread_mutex_unlock(&gpu_mutex);
  return 0;
}
static int gpu_count(unsigned *n) {
  *n = 3;
  return gpu_call(GPU_COUNT_HANGS);
}
/* The second one does not answer. */
static int gpu_find(unsigned i, void **gpu) {
  static unsigned numbers[] = {0, 1, 2};
  *gpu = &numbers[i];
  return i == 1 ? 15 : 0;
}
static int gpu_use(void *gpu, struct srv_gpu_use *out) {
  *out = (struct srv_gpu_use){*(unsigned *)gpu * 30 + 15, 0};
  return 0;
}
static int gpu_memory(void *gpu, struct srv_gpu_memory *out) {
  unsigned long long used = *(unsigned *)gpu + 1;
  *out = (struct srv_gpu_memory){80, 80 - used, used};
  return 0;
}

static const struct srv_gpu_calls gpu_calls = {gpu_begin, gpu_end, gpu_count,
                                               gpu_find,  gpu_use, gpu_memory};

/* The page with these GPUs in place of the server's own. */
static char *gpu_page(const struct web *w, struct srv_gpus *played) {
  struct srv_gpus *real = w->server->gpus;
  w->server->gpus = played;
  char *page = metrics(w);
  w->server->gpus = real;
  return page;
}

/* What is there to count has happened, since it was 0. */
static void gpu_await(const unsigned *what) {
  pthread_mutex_lock(&gpu_mutex);
  while (!*what)
    pthread_cond_wait(&gpu_signal, &gpu_mutex);
  pthread_mutex_unlock(&gpu_mutex);
}

static void test_gpus(void **state) {
  const struct web *w = *state;
  struct srv_gpus *played = srv_gpus_start(NULL, &gpu_calls);
  char *page = gpu_page(w, played);
  while (!strstr(page, "vecdb_gpu_busy_ratio{")) { /* until the thread has read them */
    free(page);
    page = gpu_page(w, played);
  }
  srv_gpus_close(played);
  gpu_await(&gpu_ended);
  expect_sample(page, "vecdb_gpu_busy_ratio{gpu=\"0\"}", 0.15);
  expect_sample(page, "vecdb_gpu_busy_ratio{gpu=\"2\"}", 0.75);
  expect_sample(page, "vecdb_gpu_memory_bytes{gpu=\"2\",state=\"used\"}", 3);
  expect_sample(page, "vecdb_gpu_memory_bytes{gpu=\"0\",state=\"free\"}", 79);
  assert_null(strstr(page, "{gpu=\"1\""));
  free(page);
  assert_null(srv_gpus_open("no-such-library.so"));
  assert_null(srv_gpus_open("libm.so.6")); /* is one of something else */
}

static void gpu_set(unsigned value) {
  pthread_mutex_lock(&gpu_mutex);
  gpu_state = value;
  gpu_asked = 0;
  pthread_cond_broadcast(&gpu_signal);
  pthread_mutex_unlock(&gpu_mutex);
}

/* A driver that does not answer holds up no start, page or end, wherever it hangs. */
static void test_gpus_hang(void **state) {
  const struct web *w = *state;
  for (unsigned hangs = GPU_BEGIN_HANGS; hangs <= GPU_COUNT_HANGS; hangs++) {
    gpu_ended = 0;
    gpu_set(hangs);
    struct srv_gpus *played = srv_gpus_start(NULL, &gpu_calls);
    gpu_await(&gpu_asked);
    char *page = gpu_page(w, played);
    assert_null(strstr(page, "vecdb_gpu_"));
    free(page);
    srv_gpus_close(played);
    assert_int_equal(gpu_ended, 0);
    gpu_set(GPU_FINE);
    gpu_await(&gpu_ended);
  }
}

/* The library without its driver: what has not begun is not ended. */
static void test_no_driver(void **state) {
  (void)state;
  gpu_ended = 0;
  gpu_set(GPU_NO_DRIVER);
  struct srv_gpus *played = srv_gpus_start(NULL, &gpu_calls);
  gpu_await(&gpu_asked);
  srv_gpus_close(played);
  assert_int_equal(gpu_ended, 0);
  gpu_set(GPU_FINE);
}

/* Sums over the buckets never fall, and what took so long is in the sum. */
static void test_histogram(void **state) {
  const struct web *w = *state;
  for (int i = 0; i < 20; i++)
    web_do(w, 200, "POST", DOCS "/search", "{\"vector\": [1, 0]}");
  char *page = metrics(w);
  double before = 0, at;
  unsigned n = 0;
  static const char bucket[] = "\nsearch_latency_seconds_bucket{";
  for (const char *line = page; (line = strstr(line, bucket)) != NULL;) {
    line++;
    at = strtod(strchr(line, ' '), NULL);
    assert_true(at >= before);
    before = at;
    n++;
  }
  assert_int_equal(n, 21);
  assert_true(before == 20);
  at = sample(page, "search_latency_seconds_sum");
  assert_true(at > 0 && at < 20 * 60);
  /* The alert's limit is one of the buckets'. */
  assert_true(sample(page, "search_latency_seconds_bucket{le=\"0.02\"}") >= 0);
  free(page);
}

static void test_formats(void **state) {
  const struct web *w = *state;
  static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            "Accept: application/openmetrics-text;version=1.0.0,text/plain\r\n\r\n";
  char *answer = malloc(256 * 1024);
  assert_int_equal(web_raw(w, ask, sizeof ask - 1, answer, 256 * 1024), 200);
  assert_non_null(strstr(answer, "Content-Type: application/openmetrics-text; version=1.0.0"));
  assert_non_null(strstr(answer, "# TYPE vecdb_requests counter\n"));
  assert_non_null(strstr(answer, "\nvecdb_requests_total{"));
  assert_non_null(strstr(answer, "# UNIT search_latency_seconds seconds\n"));
  assert_string_equal(answer + strlen(answer) - 6, "# EOF\n");
  free(answer);
  char *page = metrics(w);
  assert_non_null(strstr(page, "# TYPE vecdb_requests_total counter\n"));
  assert_null(strstr(page, "# EOF"));
  free(page);
}

/* ---- The console ----------------------------------------------------------------------------- */

/* The page and its parts, with the headers that keep it to itself; the rest is for a browser to try
   (console_test.py). */
static void test_console(void **state) {
  struct web *w = *state;
  static const char *const files[][3] = {
      {"/console", "Content-Type: text/html; charset=utf-8\r\n", "<title>vecdb console</title>"},
      {"/console/console.css", "Content-Type: text/css; charset=utf-8\r\n", ":root {"},
      {"/console/console.js", "Content-Type: text/javascript; charset=utf-8\r\n",
       "\"use strict\";"}};
  char *answer = malloc(256 * 1024), request[256];
  for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", files[i][0]);
    w->server->config.console = 1;
    assert_int_equal(web_raw(w, request, (size_t)n, answer, 256 * 1024), 200);
    assert_non_null(strstr(answer, files[i][1]));
    assert_non_null(strstr(answer, "\r\nContent-Security-Policy: default-src 'none';"));
    assert_non_null(strstr(answer, files[i][2]));
    w->server->config.console = 0;
    assert_int_equal(web_raw(w, request, (size_t)n, answer, 256 * 1024), 404);
  }
  free(answer);
}

/* ---- Traces ---------------------------------------------------------------------------------- */

static void test_traceparent(void **state) {
  (void)state;
  static const struct {
    const char *header;
    bool taken;
  } cases[] = {
      {PARENT, true},
      {"cc-" TRACE "-b7ad6b7169203331-01", true},
      {"cc-" TRACE "-b7ad6b7169203331-01-more", true},
      {"00-" TRACE "-b7ad6b7169203331-01-more", false},
      {"cc-" TRACE "-b7ad6b7169203331-01more", false},
      {"ff-" TRACE "-b7ad6b7169203331-01", false},
      {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
      {"00-" TRACE "-0000000000000000-01", false},
      {"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false},
      {"00-" TRACE "-b7ad6b7169203331-0g", false},
      {"00-" TRACE "-b7ad6b7169203331-1", false},
      {"00-" TRACE "-b7ad6b716920333-001", false},
      {"00_" TRACE "-b7ad6b7169203331-01", false},
      {"0-" TRACE "-b7ad6b7169203331-01", false},
      {"", false},
      {NULL, false},
  };
  char header[SRV_TRACEPARENT], seen[2 * 33] = "";
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct srv_trace t;
    srv_trace_begin(&t, cases[i].header, "a=1");
    if ((strcmp(t.id, TRACE) == 0) != cases[i].taken)
      fail_msg("%s", cases[i].header);
    assert_string_equal(t.parent, cases[i].taken ? "b7ad6b7169203331" : "");
    assert_true(cases[i].taken ? strcmp(t.state, "a=1") == 0 : t.state == NULL);
    assert_string_not_equal(t.span, "b7ad6b7169203331");
    assert_string_not_equal(t.span, seen);
    strcpy(seen, t.span);
    srv_trace_header(&t, header); /* what goes on is a header, too */
    struct srv_trace next;
    srv_trace_begin(&next, header, NULL);
    assert_string_equal(next.id, t.id);
    assert_string_equal(next.parent, t.span);
  }
}

/* An embedding service for one request, which it keeps. */
struct stub {
  int listener;
  char request[4096];
};

static void *stub_run(void *user) {
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 37\r\nConnection: close\r\n\r\n"
                               "{\"data\": [{\"embedding\": [1.0, 0.0]}]}";
  struct stub *s = user;
  int fd = accept(s->listener, NULL, NULL);
  size_t got = 0;
  while (!strstr(s->request, "float\"}")) {
    ssize_t n = recv(fd, s->request + got, sizeof s->request - 1 - got, 0);
    assert_true(n > 0);
    got += (size_t)n;
  }
  assert_true(send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) > 0);
  shutdown(fd, SHUT_WR);
  while (recv(fd, s->request + got, sizeof s->request - 1 - got, 0) > 0) {
  }
  close(fd);
  return NULL;
}

static void test_embedding_trace(void **state) {
  struct web *w = *state;
  struct stub stub = {.listener = socket(AF_INET, SOCK_STREAM, 0)};
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  pthread_t thread;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(bind(stub.listener, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(stub.listener, 1), 0);
  assert_int_equal(getsockname(stub.listener, (struct sockaddr *)&at, &size), 0);
  web_stop(w);
  snprintf(w->config.embed_url, sizeof w->config.embed_url, "http://127.0.0.1:%u",
           ntohs(at.sin_port));
  start(w);
  assert_int_equal(pthread_create(&thread, NULL, stub_run, &stub), 0);
  static const char ask[] = "POST " DOCS "/search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                            "traceparent: " PARENT "\r\ntracestate: vendor=opaque\r\n"
                            "Content-Length: 16\r\n\r\n{\"query\": \"car\"}";
  char answer[4096];
  assert_int_equal(web_raw(w, ask, sizeof ask - 1, answer, sizeof answer), 200);
  pthread_join(thread, NULL);
  close(stub.listener);
  assert_non_null(strstr(stub.request, "\r\ntraceparent: 00-" TRACE "-"));
  assert_null(strstr(stub.request, "b7ad6b7169203331")); /* this server's span, not its client's */
  assert_non_null(strstr(stub.request, "-01\r\n"));
  assert_non_null(strstr(stub.request, "\r\ntracestate: vendor=opaque\r\n"));
  char *page = metrics(w);
  expect_sample(page, "vecdb_embedding_duration_seconds_count", 1);
  free(page);
}

/* ---- The log --------------------------------------------------------------------------------- */

/* The last line with this message and, if it is given, this trace; to be released. */
static json_t *line_with(const char *message, const char *trace) {
  json_t *found = NULL;
  for (char *line = logged, *end; *line; line = end + 1) {
    end = strchr(line, '\n');
    json_t *json = json_loadb(line, (size_t)(end - line), 0, NULL);
    if (!json)
      fail_msg("not JSON: %.*s", (int)(end - line), line);
    const char *id = json_string_value(json_object_get(json, "trace_id"));
    if (strcmp(json_string_value(json_object_get(json, "message")), message) == 0 &&
        (!trace || (id && strcmp(id, trace) == 0))) {
      json_decref(found);
      found = json_incref(json);
    }
    json_decref(json);
  }
  return found;
}

static const char *text_of(const json_t *line, const char *name) {
  const char *text = json_string_value(json_object_get(line, name));
  return text ? text : "";
}

static void test_request_lines(void **state) {
  const struct web *w = *state;
  static const char ask[] = "DELETE /v1/collections/no%01such%FF HTTP/1.1\r\nHost: x\r\n"
                            "Connection: close\r\ntraceparent: " PARENT "\r\n\r\n";
  char answer[4096];
  assert_int_equal(web_raw(w, ask, sizeof ask - 1, answer, sizeof answer), 404);
  json_t *line = line_with("request", TRACE);
  assert_non_null(line);
  assert_string_equal(text_of(line, "level"), "info");
  assert_string_equal(text_of(line, "method"), "DELETE");
  assert_string_equal(text_of(line, "route"), "/v1/collections/{collection}");
  assert_string_equal(text_of(line, "collection"), "no\x01such\xef\xbf\xbd");
  assert_string_equal(text_of(line, "error"), "NOT_FOUND");
  assert_int_equal(json_integer_value(json_object_get(line, "status")), 404);
  json_decref(line);
  search_over_grpc(w); /* whose trace is the same: the line is the last with it */
  line = line_with("request", TRACE);
  assert_string_equal(text_of(line, "route"), "Search");
  assert_string_equal(text_of(line, "client_request_id"), "");
  json_decref(line);
  rpc_expect(w, "12", SERVICE "NoSuchMethod", "client-request-id", "req-7", "", 0);
  line = line_with("request", NULL);
  assert_string_equal(text_of(line, "client_request_id"), "req-7");
  json_decref(line);
}

/* Two thousand searches in one request, which certainly take longer than a millisecond. */
static void search_long(const struct web *w, const char *group_by) {
  json_t *queries = json_array();
  for (int i = 0; i < 2000; i++)
    json_array_append_new(queries, json_pack("[f,f]", (double)i, 0.5));
  json_t *body = json_pack("{s:o, s:s, s:i, s:b, s:s*}", "vectors", queries, "filter", "id >= 5",
                           "top_k", 3, "exact", 1, "group_by", group_by);
  char *text = json_dumps(body, 0);
  json_decref(body);
  web_do(w, 200, "POST", DOCS "/search", text);
  free(text);
}

/* The last line about something slow; the log is empty then. */
static json_t *slow_line(const char *message) {
  json_t *line = line_with(message, NULL);
  if (!line)
    fail_msg("no line \"%s\"", message);
  n_logged = 0;
  logged[0] = '\0';
  assert_string_equal(text_of(line, "level"), "warn");
  assert_string_equal(text_of(line, "filter"), "id >= 5");
  assert_true(json_real_value(json_object_get(line, "duration_ms")) >= 1);
  return line;
}

/* What is slow is told of with its plan; groups are, too. */
static void test_slow_search(void **state) {
  struct web *w = *state;
  json_t *rows = json_array();
  for (int i = 0; i < 2000; i++)
    json_array_append_new(rows, json_pack("{s:i, s:[f,f]}", "id", i, "v", (double)i, 1.0));
  json_t *body = json_pack("{s:o}", "rows", rows);
  char *text = json_dumps(body, 0);
  json_decref(body);
  web_do(w, 200, "PUT", DOCS "/rows", text);
  free(text);
  w->server->config.log_slow_ms = 1;
  search_long(w, NULL);
  json_t *line = slow_line("slow search");
  assert_string_equal(text_of(line, "collection"), "docs");
  assert_int_equal(json_integer_value(json_object_get(line, "queries")), 2000);
  assert_non_null(strstr(text_of(line, "plan"), "exact"));
  json_decref(line);
  search_long(w, "id");
  line = slow_line("slow search");
  assert_non_null(strstr(text_of(line, "plan"), "exact"));
  json_decref(line);
}

/* Hybrid searches by each of their parts, and queries: said to have begun when the machine did. */
static void test_slow_others(void **state) {
  struct web *w = *state;
  struct srv_call call = {.server = w->server};
  static const float vector[] = {1, 0};
  vecdb_hybrid_search parts[2] = {{.search = VECDB_SEARCH_PARAMS_INIT},
                                  {.search = VECDB_SEARCH_PARAMS_INIT}};
  vecdb_hybrid_params hybrid = VECDB_HYBRID_PARAMS_INIT;
  vecdb_query_params query = VECDB_QUERY_PARAMS_INIT;
  struct engine_collection *docs;
  hybrid.searches = parts;
  hybrid.n_searches = 2;
  for (unsigned i = 0; i < 2; i++) {
    parts[i].search.field = "v";
    parts[i].search.queries = vector;
    parts[i].search.n_queries = 1;
    parts[i].search.k = i + 1;
    parts[i].search.filter.text = "id >= 5";
  }
  assert_int_equal(engine_collection_get(w->server->engine, "docs", &docs, NULL), VECDB_OK);
  srv_observe_hybrid(&call, docs, &hybrid, 0);
  engine_collection_release(docs);
  json_t *line = slow_line("slow search");
  assert_int_equal(json_integer_value(json_object_get(line, "part")), 2);
  assert_int_equal(json_integer_value(json_object_get(line, "k")), 2);
  assert_non_null(strstr(text_of(line, "plan"), "filter"));
  assert_true(call.searched);
  json_decref(line);
  query.limit = 7;
  query.filter.text = "id >= 5";
  srv_observe_query(&call, &query, 0);
  line = slow_line("slow query");
  assert_int_equal(json_integer_value(json_object_get(line, "limit")), 7);
  json_decref(line);
  srv_observe_query(&call, &query, srv_now_ns()); /* is not slow */
  assert_null(line_with("slow query", NULL));
  srv_call_free(&call);
}

static void test_lines(void **state) {
  (void)state;
  struct srv_line line;
  char *large = malloc(SRV_LINE + 1);
  memset(large, 'x', SRV_LINE);
  large[SRV_LINE] = '\0';
  srv_line_begin(&line, true);
  srv_line_text(&line, "quoted", "a\"b\\c\nd");
  srv_line_text(&line, "bad", "\xc0\x80\xed\xa0\x80\xf5z\xe2\x82\xac");
  srv_line_text(&line, "none", "");
  srv_line_text(&line, "large", large);
  srv_line_number(&line, "n", UINT64_MAX);
  srv_line_ms(&line, "ms", 1234567);
  json_t *json = json_loads(srv_line_end(&line), JSON_DECODE_INT_AS_REAL, NULL);
  assert_non_null(json);
  assert_string_equal(text_of(json, "quoted"), "a\"b\\c\nd");
#define BAD "\xef\xbf\xbd"
  assert_string_equal(text_of(json, "bad"), BAD BAD BAD BAD BAD BAD "z\xe2\x82\xac");
  assert_null(json_object_get(json, "none"));
  assert_null(json_object_get(json, "large"));
  assert_true(json_is_true(json_object_get(json, "cut")));
  json_decref(json);
  srv_line_begin(&line, false);
  srv_line_bare(&line, "message", "one\ntwo");
  srv_line_text(&line, "plain", "a/b");
  srv_line_text(&line, "quoted", "a b");
  srv_line_ms(&line, "ms", 1234567);
  assert_string_equal(srv_line_end(&line), "one two plain=a/b quoted=\"a b\" ms=1.235");
  free(large);
}

/* ---- The audit log of a server --------------------------------------------------------------- */

static char audit_said[1024];

static void audit_say(const char *text) {
  snprintf(audit_said, sizeof audit_said, "%s", text);
}

/* A record for each request that reads, writes or administers, and none for others. */
static void test_audit(void **state) {
  struct web *w = *state;
  char path[600], line[SRV_LINE + 512];
  web_do(w, 200, "GET", "/healthz", NULL);
  web_do(w, 200, "POST", DOCS "/search", "{\"vector\": [1, 0]}");
  web_fails(w, 404, "NOT_FOUND", "DELETE", "/v1/collections/other", NULL);
  search_over_grpc(w);
  web_stop(w);
  assert_int_equal(srv_audit_verify(w->config.audit_path, "", audit_say), 0);
  static const char *const wanted[][3] = {
      /* after the record of the start */
      {"/v1/collections", "docs", ""},
      {"/v1/collections/{collection}/rows", "docs", ""},
      {"/v1/collections/{collection}/search", "docs", ""},
      {"/v1/collections/{collection}", "other", "NOT_FOUND"},
      {"Search", "nosuch", "NOT_FOUND"}};
  snprintf(path, sizeof path, "%s/audit-00000000000000000001.log", w->config.audit_path);
  FILE *file = fopen(path, "r");
  assert_non_null(fgets(line, sizeof line, file));
  for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
    assert_non_null(fgets(line, sizeof line, file));
    json_t *json = json_loads(line, 0, NULL);
    assert_non_null(json);
    assert_string_equal(text_of(json, "route"), wanted[i][0]);
    assert_string_equal(text_of(json, "collection"), wanted[i][1]);
    assert_string_equal(text_of(json, "error"), wanted[i][2]);
    assert_int_equal(json_integer_value(json_object_get(json, "seq")), (json_int_t)i + 2);
    json_decref(json);
  }
  assert_null(fgets(line, sizeof line, file));
  fclose(file);
  start(w);
}

/* Who asked is in the record; who may not is, too, and why. */
static void test_audit_identity(void **state) {
  struct web *w = *state;
  static const char key[] = "vecdb_test-0123456789abcdef0123456789abcdef";
  static const char head[] = "GET " DOCS " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
  enum { CROWDS = 40 };
  char request[512], answer[4096], name[600], line[SRV_LINE + 512], crowded[SRV_LINE + 512];
  uint8_t hash[SRV_API_KEY_HASH];
  web_stop(w);
  snprintf(w->config.keys_file, sizeof w->config.keys_file, "%.40s/keys", w->folder);
  FILE *file = fopen(w->config.keys_file, "w");
  assert_int_equal(fchmod(fileno(file), 0600), 0);
  srv_sha256(key, strlen(key), hash);
  fputs("[ann]\nrole = reader\ntenant = 42\nsha256 = ", file);
  for (size_t i = 0; i < sizeof hash; i++)
    fprintf(file, "%02x", hash[i]);
  fputs("\n", file);
  fclose(file);
  start(w);
  int n = snprintf(request, sizeof request, "%sAuthorization: Bearer %s\r\n\r\n", head, key);
  assert_int_equal(web_raw(w, request, (size_t)n, answer, sizeof answer), 200);
  n = snprintf(request, sizeof request, "%s\r\n", head);
  assert_int_equal(web_raw(w, request, (size_t)n, answer, sizeof answer), 401);
  for (int i = 0; i < CROWDS; i++) { /* a name that leaves no room for who asks */
    n = snprintf(crowded, sizeof crowded,
                 "DELETE /v1/collections/%0*d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 "Authorization: Bearer %s\r\n\r\n", SRV_LINE - 14 * i, 0, key);
    assert_int_equal(web_raw(w, crowded, (size_t)n, answer, sizeof answer), 403);
  }
  web_stop(w);
  snprintf(name, sizeof name, "%s/audit-00000000000000000001.log", w->config.audit_path);
  file = fopen(name, "r");
  for (int i = 0; i < 5; i++) /* two starts, the collection and a row: setup's */
    assert_non_null(fgets(line, sizeof line, file));
  json_t *json = json_loads(line, 0, NULL);
  assert_string_equal(text_of(json, "subject"), "ann");
  assert_string_equal(text_of(json, "tenant"), "42");
  assert_string_equal(text_of(json, "role"), "reader");
  json_decref(json);
  assert_non_null(fgets(line, sizeof line, file));
  json = json_loads(line, 0, NULL);
  assert_string_equal(text_of(json, "subject"), "");
  assert_string_equal(text_of(json, "collection"), "docs");
  assert_string_equal(text_of(json, "error"), "UNAUTHENTICATED");
  assert_string_not_equal(text_of(json, "denied"), "");
  json_decref(json);
  for (int i = 0; i < CROWDS; i++) {
    assert_non_null(fgets(line, sizeof line, file));
    json = json_loads(line, 0, NULL);
    assert_string_equal(text_of(json, "subject"), "ann");
    assert_string_equal(text_of(json, "error"), "FORBIDDEN");
    json_decref(json);
  }
  fclose(file);
  w->config.keys_file[0] = '\0';
  start(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_counts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_histogram, setup, teardown),
      cmocka_unit_test_setup_teardown(test_gpus, setup, teardown),
      cmocka_unit_test_setup_teardown(test_gpus_hang, setup, teardown),
      cmocka_unit_test(test_no_driver),
      cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
      cmocka_unit_test_setup_teardown(test_console, setup, teardown),
      cmocka_unit_test(test_traceparent),
      cmocka_unit_test_setup_teardown(test_embedding_trace, setup, teardown),
      cmocka_unit_test_setup_teardown(test_request_lines, setup, teardown),
      cmocka_unit_test_setup_teardown(test_slow_search, setup, teardown),
      cmocka_unit_test_setup_teardown(test_slow_others, setup, teardown),
      cmocka_unit_test(test_lines),
      cmocka_unit_test_setup_teardown(test_audit, setup, teardown),
      cmocka_unit_test_setup_teardown(test_audit_identity, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
