/*
 * test_transport.c - requests as bytes: framing that two readers could understand differently,
 * limits, clients that are slow or silent, overload, and stopping with requests in flight.
 * TSAN: yes
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <semaphore.h>
#include <time.h>

#include "server/http_head.h"
#include "server/webtest.h"

/* ---- A service that embeds texts when it is told to -------------------------------------------
 */

struct service {
  int socket;
  unsigned port;
  pthread_t thread;
  sem_t asked;   /* posted when a question has come */
  sem_t release; /* waited for before each answer */
  const char *answer;
  char question[4096]; /* the last one */
};

/* Reads a whole request: headers, and the body that Content-Length says. */
static bool service_read(struct service *s, int fd) {
  size_t n = 0, wanted = SIZE_MAX;
  while (n < wanted && n + 1 < sizeof s->question) {
    ssize_t r = recv(fd, s->question + n, sizeof s->question - 1 - n, 0);
    if (r <= 0)
      return false;
    n += (size_t)r;
    s->question[n] = '\0';
    char *end = strstr(s->question, "\r\n\r\n");
    char *length = strcasestr(s->question, "Content-Length:");
    if (end && length)
      wanted = (size_t)(end + 4 - s->question) + strtoul(length + 15, NULL, 10);
  }
  return true;
}

static void *service_work(void *arg) {
  struct service *s = arg;
  int fd;
  while ((fd = accept(s->socket, NULL, NULL)) >= 0) {
    if (service_read(s, fd)) {
      char head[128];
      sem_post(&s->asked);
      sem_wait(&s->release);
      int n = snprintf(head, sizeof head,
                       "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       strlen(s->answer));
      send(fd, head, (size_t)n, MSG_NOSIGNAL);
      send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL);
    }
    close(fd);
  }
  return NULL;
}

static void service_start(struct service *s, const char *answer) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t n = sizeof at;
  memset(s, 0, sizeof *s);
  s->answer = answer;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(s->socket, (struct sockaddr *)&at, sizeof at), 0);
  assert_int_equal(listen(s->socket, 16), 0);
  assert_int_equal(getsockname(s->socket, (struct sockaddr *)&at, &n), 0);
  s->port = ntohs(at.sin_port);
  sem_init(&s->asked, 0, 0);
  sem_init(&s->release, 0, 0);
  assert_int_equal(pthread_create(&s->thread, NULL, service_work, s), 0);
}

static void service_stop(struct service *s) {
  shutdown(s->socket, SHUT_RDWR);
  pthread_join(s->thread, NULL);
  close(s->socket);
  sem_destroy(&s->asked);
  sem_destroy(&s->release);
}

static const char service_vector[] = "{\"data\": [{\"embedding\": [0.0, 1.0]}]}";

static void make_passages(const struct web *w) {
  web_do(
      w, 201, "POST", "/v1/collections",
      "{\"name\": \"passages\", \"fields\": [{\"name\": \"doc_id\", \"type\": \"INT64\","
      "\"primary_key\": true}, {\"name\": \"embedding\", \"type\": \"FLOAT_VECTOR\", \"dim\": 2},"
      "{\"name\": \"tenant_id\", \"type\": \"INT64\"}, {\"name\": \"category\", \"type\":"
      "\"VARCHAR\", \"max_length\": 20}]}");
  web_do(
      w, 200, "POST", "/v1/collections/passages/rows",
      "{\"rows\": [{\"doc_id\": 1, \"embedding\": [1,0.1], \"tenant_id\": 3, \"category\": \"a\"},"
      "{\"doc_id\": 2, \"embedding\": [0.1,1], \"tenant_id\": 3, \"category\": \"b\"},"
      "{\"doc_id\": 3, \"embedding\": [0,1], \"tenant_id\": 4, \"category\": \"b\"}]}");
}

static void start_with_service(struct web *w, struct service *s, const char *answer) {
  service_start(s, answer);
  web_init(w);
  snprintf(w->config.embed_url, sizeof w->config.embed_url, "http://127.0.0.1:%u", s->port);
  w->config.workers = 1;
  w->config.queue = 1;
  web_start(w);
  make_passages(w);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* The front-end's call, exactly as the original design writes it. */
static void test_front_search(void **state) {
  (void)state;
  struct web w;
  struct service s;
  start_with_service(&w, &s, service_vector);
  sem_post(&s.release);
  json_t *answer = web_expect(&w, 200, "POST", "/search",
                              "{\"query\": \"latest trends\", \"top_k\": 5, \"tenant_id\": 3}");
  assert_string_equal(json_string_value(json_object_get(answer, "query")), "latest trends");
  assert_non_null(strstr(s.question, "\"input\":[\"latest trends\"]"));
  json_t *hits = json_object_get(answer, "hits");
  assert_int_equal(json_array_size(hits), 2);
  json_t *first = json_array_get(hits, 0);
  assert_int_equal(json_integer_value(json_object_get(first, "doc_id")), 2);
  assert_true(json_number_value(json_object_get(first, "score")) > 0.99);
  json_t *wanted = json_pack("{s:i, s:s}", "tenant_id", 3, "category", "b");
  assert_true(json_equal(json_object_get(first, "metadata"), wanted));
  json_decref(wanted);
  json_decref(answer);
  web_fails(&w, 400, "UNKNOWN_FIELD", "POST", "/search", "{\"query\": \"x\", \"nobody\": 3}");
  web_fails(&w, 400, "ARGUMENT", "POST", "/search", "{\"top_k\": 3}");
  web_end(&w);
  service_stop(&s);
}

/* A service that answers nonsense, or nothing. */
static void test_bad_service(void **state) {
  (void)state;
  static const char *const answers[] = {"", "no JSON", "{\"data\": []}", "{\"data\": [3]}"};
  for (size_t i = 0; i < 4; i++) {
    struct web w;
    struct service s;
    start_with_service(&w, &s, answers[i]);
    sem_post(&s.release);
    web_fails(&w, 502, "EMBEDDING", "POST", "/search", "{\"query\": \"x\"}");
    web_end(&w);
    service_stop(&s);
  }
  struct web w;
  web_init(&w);
  snprintf(w.config.embed_url, sizeof w.config.embed_url, "http://127.0.0.1:1");
  web_start(&w);
  make_passages(&w);
  web_fails(&w, 502, "EMBEDDING", "POST", "/search", "{\"query\": \"x\"}");
  web_end(&w);
}

/* Requests whose end could be seen in two places, and requests that are none: 4xx or no answer, and
   never the answer to a request hidden inside. */
static const char hidden[] = "DELETE /v1/collections/passages HTTP/1.1\r\nHost: x\r\n\r\n";

/* Sends a request and the hidden one behind it: the first must be refused, the other not be run. */
static void is_refused(const struct web *w, const char *head, const char *body) {
  char bytes[1024], answer[4096];
  int n = snprintf(bytes, sizeof bytes, "%s\r\n%s%s", head, body, hidden);
  int status = web_raw(w, bytes, (size_t)n, answer, sizeof answer);
  if (status != 0 && (status < 400 || status > 499))
    fail_msg("\"%s\" \"%s\": status %d", head, body, status);
  web_do(w, 200, "GET", "/v1/collections/passages", NULL); /* the hidden request was not run */
}

/* Each value of a header, or size of a chunk, that some reader might take for another. */
static void test_ambiguous(void **state) {
  (void)state;
  static const char *const lengths[] = {
      "",     "two", "02",  "010", "0x2", "2 2", "2, 2", "2,2",  "2;2",   "+2",   "-2",
      "2.0",  "2e0", "2_0", "'2'", "\"2\"", "2\v", "2-",   "\xc2\xb2", "2\t2", "2\x7f",
      "000000000000000000002", "18446744073709551618"};
  static const char *const codings[] = {
      "",         "identity",        "gzip",       "chunke",     "chunkedd",   "chunked,",
      ",chunked", "chunked,chunked", "chunked;q",  "\"chunked\"", "gzip,chunked", "chunked gzip",
      "\vchunked", "chunked\v",       "chunked\xa0", "c hunked",   "chunked=1",  "x, chunked"};
  static const char *const sizes[] = {"",    "g",   "0x2", "+2",   "-2",    " 2",    "\t2",
                                      "2,2", "2.0", "2_",  "2\v", "\xb2", "\"2\"",
                                      "11111111111111111"};
  static const char *const names[] = {"Content-Length ", "Content-Length\t", "Transfer-Encoding ",
                                      "Content Length",  "Content-Length:",  "(Content-Length)"};
  static const char start[] = "POST /v1/collections HTTP/1.1\r\nHost: x\r\n";
  struct web w;
  char head[512], body[128];
  web_init(&w);
  web_start(&w);
  make_passages(&w);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    snprintf(head, sizeof head, "%sContent-Length: %s\r\n", start, lengths[i]);
    is_refused(&w, head, "{}");
  }
  for (size_t i = 0; i < sizeof codings / sizeof codings[0]; i++) {
    snprintf(head, sizeof head, "%sTransfer-Encoding: %s\r\n", start, codings[i]);
    is_refused(&w, head, "2\r\n{}\r\n0\r\n\r\n");
  }
  snprintf(head, sizeof head, "%sTransfer-Encoding: chunked\r\n", start);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    snprintf(body, sizeof body, "%s\r\n{}\r\n0\r\n\r\n", sizes[i]);
    is_refused(&w, head, body);
  }
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    snprintf(head, sizeof head, "%s%s: 2\r\n", start, names[i]);
    is_refused(&w, head, "{}");
  }
  web_end(&w);
}

static void test_framing(void **state) {
  (void)state;
  static const struct {
    const char *head;
    const char *body;
  } cases[] = {
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: "
       "chunked\r\n",
       "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 58\r\n",
       ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 0,0\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n",
       "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
       "chunked\r\nTransfer-Encoding:"
       " identity\r\n",
       "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n", "0\r\n\r\n"},
      {"GET /healthz HTTP/1.1\r\n", ""},
      {"GET /healthz\r\n", ""},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", ""},
      {"GARBAGE\r\n", ""},
      {"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n", ""},
      {"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nFolded: 1\r\n\t2\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n",
       "0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n 0\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n", ""},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "fffffffffffffffff\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "2\r\n{}x\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "2\r\n{}xx0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "2\rx{}\r\n0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "2;a\nb\r\n{}\r\n0\r\n\r\n"},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n",
       "2\r\n{}\r\n0\r\n\rx"},
      {"GET /healthz HTTP/1.1\r\nHost: x\r\n\rx", ""},
  };
  struct web w;
  web_init(&w);
  web_start(&w);
  make_passages(&w);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    is_refused(&w, cases[i].head, cases[i].body);
  web_end(&w);
}

/* Bytes and what the answer must hold, in this order. */
struct exchange {
  const char *bytes;
  const char *parts[4];
};

static void exchange_do(const struct web *w, const struct exchange *x) {
  char answer[8192];
  const char *at = answer;
  web_raw(w, x->bytes, strlen(x->bytes), answer, sizeof answer);
  for (int i = 0; i < 4 && x->parts[i]; i++) {
    at = strstr(at, x->parts[i]);
    if (!at)
      fail_msg("no \"%s\" in its place in the answer to %s: %s", x->parts[i], x->bytes, answer);
    at += strlen(x->parts[i]);
  }
}

/* What HTTP asks of a server beside the answers: ways of staying and leaving, and of sending. */
static void test_protocol(void **state) {
  (void)state;
  static const struct exchange all[] = {
      {"GET /healthz HTTP/1.0\r\n\r\n", {"HTTP/1.1 200 OK\r\nDate: ", "Connection: close\r\n"}},
      {"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /livez HTTP/1.0\r\n\r\n",
       {"Connection: keep-alive\r\n", "Connection: close\r\n"}},
      {"\r\nGET /healthz?x=1&y HTTP/1.1\r\nhOST: x\r\nEmpty:\r\n\r\n", {"200 OK\r\n"}},
      {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /livez HTTP/1.0\r\n\r\n",
       {"Connection: close\r\n"}},
      {"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
       {" 404 Not Found\r\n", " 200 OK\r\n"}},
      {"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
       "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
       {" 200 OK\r\n", " 404 Not Found\r\n"}},
      {"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
       {" 405 Method Not Allowed\r\n", "Allow: GET\r\n\r\nHTTP/1.1 200 OK\r\n"}},
      {"GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n", {" 505 "}},
      {"POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
       "1;a=b\r\n{\r\n1\r\n}\r\n0\r\nContent-Length: 7\r\nTrailer: x\r\n\r\n"
       "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
       {" 400 Bad Request\r\n", "no name", " 200 OK\r\n"}},
      {"PUT /v1/collections/x/rows HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
       "Content-Length: 9999\r\n\r\n",
       {"HTTP/1.1 100 Continue\r\n\r\n"}},
      {"PUT /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
       {"HTTP/1.1 404 Not Found\r\n", "Connection: close\r\n"}},
  };
  struct web w;
  web_init(&w);
  web_start(&w);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    exchange_do(&w, &all[i]);
  static const char nul[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nA:\0b\r\n\r\n";
  char answer[1024];
  assert_int_equal(web_raw(&w, nul, sizeof nul - 1, answer, sizeof answer), 400);
  web_end(&w);
}

/* Sends a request in two pieces, cut at each place: each time the answer is 400. */
static void send_cut(const struct web *w, const char *request) {
  char answer[1024];
  size_t n = strlen(request);
  for (size_t cut = 1; cut < n; cut++) {
    int fd = web_connect(w), now = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &now, sizeof now);
    send(fd, request, cut, MSG_NOSIGNAL);
    send(fd, request + cut, n - cut, MSG_NOSIGNAL);
    ssize_t got = recv(fd, answer, sizeof answer - 1, 0);
    answer[got > 0 ? got : 0] = '\0';
    if (strncmp(answer + 9, "400", 3) != 0 || !strstr(answer, "no name"))
      fail_msg("cut at %zu: %s", cut, answer);
    close(fd);
  }
}

/* Requests cut anywhere are as those that come whole, also many in a row. */
static void test_pieces(void **state) {
  (void)state;
  enum { MANY = 500 };
  static const char one[] =
      "POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
  struct web w;
  char *all = malloc(MANY * (sizeof one - 1)), *end;
  web_init(&w);
  web_start(&w);
  send_cut(&w, one);
  send_cut(&w, "POST /v1/collections HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
               "001;a=b\r\n{\r\n1 \r\n}\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n");
  for (size_t i = 0; i < MANY; i++)
    memcpy(all + i * (sizeof one - 1), one, sizeof one - 1);
  size_t room = MANY * 512, answers = 0;
  char *text = malloc(room);
  web_raw(&w, all, MANY * (sizeof one - 1), text, room);
  for (end = text; (end = strstr(end, "HTTP/1.1 400")); end++)
    answers++;
  assert_int_equal(answers, MANY);
  free(text);
  free(all);
  web_end(&w);
}

/* The status of a request whose one header has so many bytes. */
static int with_header(const struct web *w, int bytes) {
  char answer[4096], *request = malloc((size_t)bytes + 128), *at = request;
  at += sprintf(at, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ");
  memset(at, 'x', (size_t)bytes);
  strcpy(at + bytes, "\r\n\r\n");
  int status = web_raw(w, request, strlen(request), answer, sizeof answer);
  free(request);
  return status;
}

static void test_limits(void **state) {
  (void)state;
  /* What is kept of the other parts of the head: each with a NUL. */
  enum { BODY = 4096, REST = sizeof "/healthz" + sizeof "Host" + sizeof "x" + sizeof "X" + 1 };
  struct web w;
  web_init(&w);
  w.config.body_bytes = BODY;
  web_start(&w);
  make_passages(&w);
  char exact[BODY + 2];
  memset(exact, ' ', sizeof exact);
  memcpy(exact + BODY - 2, "{}", 3);
  web_do(&w, 200, "POST", "/v1/collections/passages/query", exact);
  memcpy(exact + BODY - 2, " {}", 4);
  web_fails(&w, 413, "TOO_LARGE", "POST", "/v1/collections/passages/query", exact);
  assert_int_equal(with_header(&w, SRV_HTTP_HEAD_BYTES - REST), 200);
  assert_int_equal(with_header(&w, SRV_HTTP_HEAD_BYTES - REST + 1), 431);
  char *body = malloc(8193), answer[4096];
  memset(body, ' ', 8192);
  body[8192] = '\0';
  web_fails(&w, 413, "TOO_LARGE", "POST", "/v1/collections/passages/search", body);
  /* The same without saying so before: */
  static const char head[] = "POST /v1/collections/passages/search HTTP/1.1\r\nHost: "
                             "x\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "2000\r\n";
  char *chunked = malloc(sizeof head + 8192 + 16);
  int n = sprintf(chunked, "%s%s\r\n0\r\n\r\n", head, body);
  assert_int_equal(web_raw(&w, chunked, (size_t)n, answer, sizeof answer), 413);
  /* More headers than the server takes: */
  char *headers = malloc(65536 + 256);
  n = sprintf(headers, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: ");
  memset(headers + n, 'x', 65536);
  n += 65536 + sprintf(headers + n + 65536, "\r\n\r\n");
  assert_int_equal(web_raw(&w, headers, (size_t)n, answer, sizeof answer), 431);
  /* Deep JSON: */
  memset(body, '[', 4000);
  body[4000] = '\0';
  web_fails(&w, 400, "JSON", "POST", "/v1/collections/passages/search", body);
  free(headers);
  free(chunked);
  free(body);
  web_end(&w);
}

/* Connections that never send a whole request are cut off, and others are served meanwhile. */
static void test_slow_clients(void **state) {
  (void)state;
  enum { SLOW = 300 };
  struct web w;
  web_init(&w);
  w.config.request_seconds = 1;
  web_start(&w);
  int slow[SLOW];
  for (int i = 0; i < SLOW; i++) {
    static const char *const starts[] = {
        "GET /healthz HT",
        "POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{", ""};
    slow[i] = web_connect(&w);
    send(slow[i], starts[i % 3], strlen(starts[i % 3]), MSG_NOSIGNAL);
  }
  web_do(&w, 200, "GET", "/healthz", NULL);
  for (int i = 0; i < SLOW; i++) {
    char c[256];
    while (recv(slow[i], c, sizeof c, 0) > 0)
      ; /* ends when the server has cut it off */
    close(slow[i]);
  }
  web_do(&w, 200, "GET", "/healthz", NULL);
  web_end(&w);
}

/* Rows whose texts are some megabytes together. */
static void make_texts(const struct web *w, int rows, int bytes) {
  char *body = malloc((size_t)rows * (size_t)(bytes + 64)), *at = body;
  char *text = malloc((size_t)bytes + 1);
  memset(text, 't', (size_t)bytes);
  text[bytes] = '\0';
  web_do(w, 201, "POST", "/v1/collections",
         "{\"name\": \"texts\", \"fields\": [{\"name\": \"k\", \"type\": \"INT64\","
         " \"primary_key\": true}, {\"name\": \"v\", \"type\": \"FLOAT_VECTOR\", \"dim\": 1},"
         " {\"name\": \"t\", \"type\": \"VARCHAR\", \"max_length\": 65535}]}");
  at += sprintf(at, "{\"rows\": [");
  for (int i = 0; i < rows; i++)
    at += sprintf(at, "%s{\"k\": %d, \"v\": [1], \"t\": \"%s\"}", i ? ", " : "", i, text);
  strcpy(at, "]}");
  web_do(w, 200, "POST", "/v1/collections/texts/rows", body);
  free(text);
  free(body);
}

/* An answer that is taken in drops is cut off, though the client is never silent for long. */
static void test_drip(void **state) {
  (void)state;
  enum { ROWS = 200, TEXT = 60000 };
  static const char ask[] = "POST /v1/collections/texts/query HTTP/1.1\r\nHost: x\r\n"
                            "Content-Length: 17\r\n\r\n{\"limit\": 100000}";
  const struct timespec pause = {0, 10000000};
  char drop[512];
  int room = 4096;
  size_t taken = 0;
  ssize_t n;
  struct web w;
  web_init(&w);
  snprintf(w.config.durability, sizeof w.config.durability, "off");
  web_start(&w);
  make_texts(&w, ROWS, TEXT);
  web_stop(&w);
  w.config.idle_seconds = 60;
  w.config.request_seconds = 1;
  w.config.least_rate = 1u << 30;
  web_start(&w);
  int fd = web_connect(&w);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  assert_int_equal(send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL), sizeof ask - 1);
  while ((n = recv(fd, drop, sizeof drop, 0)) > 0 && taken < ROWS * TEXT) {
    taken += (size_t)n;
    nanosleep(&pause, NULL);
  }
  assert_true(taken > 0 && taken < ROWS * TEXT);
  close(fd);
  web_end(&w);
}

struct asking {
  const struct web *web;
  pthread_t thread;
  long status;
};

static void *ask_in_thread(void *arg) {
  struct asking *a = arg;
  struct web_answer answer = web_ask(a->web, "POST", "/search", "{\"query\": \"x\"}");
  a->status = answer.status;
  web_done(&answer);
  return NULL;
}

/* One worker is busy and one request waits: the next is refused at once, and health still answers.
 */
static void test_overload(void **state) {
  (void)state;
  struct web w;
  struct service s;
  start_with_service(&w, &s, service_vector);
  struct asking two[2] = {{.web = &w}, {.web = &w}};
  pthread_create(&two[0].thread, NULL, ask_in_thread, &two[0]);
  sem_wait(&s.asked); /* the worker is inside */
  pthread_create(&two[1].thread, NULL, ask_in_thread, &two[1]);
  /* Until the second waits, a third may take its place; from then on all are refused. */
  struct web_answer third;
  for (;;) {
    if (atomic_load(&w.server->in_flight) == 2) {
      third = web_ask(&w, "POST", "/search", "{}");
      if (third.status == 429)
        break;
      web_done(&third);
    }
    sched_yield();
  }
  assert_string_equal(
      json_string_value(json_object_get(json_object_get(third.json, "error"), "code")),
      "OVERLOADED");
  web_done(&third);
  for (int i = 0; i < 3; i++)
    web_fails(&w, 429, "OVERLOADED", "POST", "/search", "{}");
  web_do(&w, 200, "GET", "/healthz", NULL);
  struct web_answer metrics = web_ask(&w, "GET", "/metrics", NULL); /* each has been counted */
  assert_non_null(strstr(metrics.text, "{api=\"vecdb\",error=\"OVERLOADED\"} 4\n"));
  web_done(&metrics);
  sem_post(&s.release);
  sem_post(&s.release);
  pthread_join(two[0].thread, NULL);
  pthread_join(two[1].thread, NULL);
  assert_int_equal(two[0].status, 200);
  assert_int_equal(two[1].status, 200);
  web_end(&w);
  service_stop(&s);
}

/* While a worker has the first of two requests that came together, others are served; then both are
   answered in order. The same for a client that has gone meanwhile, whose answers nobody reads. */
static void test_pipelined(void **state) {
  (void)state;
  static const char both[] =
      "POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"query\": \"x\"}"
      "GET /v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  struct web w;
  struct service s;
  char answer[8192];
  ssize_t r;
  start_with_service(&w, &s, service_vector);
  for (int gone = 0; gone < 2; gone++) {
    size_t n = 0;
    int fd = web_connect(&w);
    assert_int_equal(send(fd, both, sizeof both - 1, MSG_NOSIGNAL), sizeof both - 1);
    sem_wait(&s.asked);
    if (gone)
      close(fd);
    web_do(&w, 200, "GET", "/healthz", NULL);
    sem_post(&s.release);
    while (!gone && (r = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
      n += (size_t)r;
    answer[n] = '\0';
    if (gone)
      continue;
    char *first = strstr(answer, "\"hits\""), *second = strstr(answer, "\"version\"");
    assert_true(first && second && first < second);
    close(fd);
  }
  web_end(&w);
  service_stop(&s);
}

/* A client that asks again as soon as it is answered, on one connection; in `got`, the answers. */
struct asker {
  int fd;
  unsigned got;
  pthread_t thread;
};

static void *ask_often(void *arg) {
  static const char ask[] = "POST /v1/collections/passages/count HTTP/1.1\r\nHost: x\r\n\r\n";
  struct asker *a = arg;
  for (unsigned i = 0; i < 50; i++) {
    char answer[4096];
    size_t n = 0;
    ssize_t r = send(a->fd, ask, sizeof ask - 1, MSG_NOSIGNAL);
    answer[0] = '\0';
    while (r > 0 && !strchr(answer, '}') && (r = recv(a->fd, answer + n, 4095 - n, 0)) > 0) {
      n += (size_t)r;
      answer[n] = '\0';
    }
    a->got += strncmp(answer, "HTTP/1.1 200", 12) == 0 && strstr(answer, "\"count\":3");
  }
  return NULL;
}

/* Threads that wait asleep, and one that waits awake, miss nothing, whether one client asks or more
   than there are threads; and stop. */
static void test_waiting(void **state) {
  (void)state;
  static const unsigned polls[] = {0, 100, 100000};
  for (size_t i = 0; i < 3; i++) {
    struct web w;
    web_init(&w);
    w.config.poll_us = polls[i];
    w.config.workers = 2;
    web_start(&w);
    make_passages(&w);
    for (unsigned n = 1; n <= 8; n += 7) {
      struct asker askers[8] = {{0}};
      for (unsigned c = 0; c < n; c++) {
        askers[c].fd = web_connect(&w);
        assert_int_equal(pthread_create(&askers[c].thread, NULL, ask_often, &askers[c]), 0);
      }
      for (unsigned c = 0; c < n; c++) {
        pthread_join(askers[c].thread, NULL);
        close(askers[c].fd);
        assert_int_equal(askers[c].got, 50);
      }
    }
    web_end(&w);
  }
}

/* A connection that says nothing more is closed after idle_seconds, asked or not. */
static void test_idle(void **state) {
  (void)state;
  struct web w;
  char answer[4096];
  web_init(&w);
  w.config.idle_seconds = 1;
  web_start(&w);
  int fd = web_connect(&w);
  static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
  send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL);
  ssize_t n, all = 0;
  while ((n = recv(fd, answer, sizeof answer, 0)) > 0)
    all += n;
  assert_true(all > 0 && n == 0);
  close(fd);
  web_end(&w);
}

static void *stop_in_thread(void *arg) {
  char error[SRV_CONFIG_ERROR];
  srv_server_stop(((struct web *)arg)->server, error);
  return NULL;
}

/* Stopping waits for the request in flight, whose answer comes. */
static void test_drain(void **state) {
  (void)state;
  struct web w;
  struct service s;
  start_with_service(&w, &s, service_vector);
  struct asking one = {.web = &w};
  pthread_t stopping;
  pthread_create(&one.thread, NULL, ask_in_thread, &one);
  sem_wait(&s.asked);
  pthread_create(&stopping, NULL, stop_in_thread, &w);
  while (!atomic_load(&w.server->draining))
    sched_yield();
  sem_post(&s.release);
  pthread_join(one.thread, NULL);
  pthread_join(stopping, NULL);
  assert_int_equal(one.status, 200);
  w.server = NULL;
  web_end(&w);
  service_stop(&s);
}

static void test_config(void **state) {
  (void)state;
  struct srv_config c;
  char error[SRV_CONFIG_ERROR], path[] = "/tmp/vecdb-config-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  static const char text[] = "[server]\nlisten = 0.0.0.0:9 ; and so on\n[embedding]\nmodel = m\n";
  assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
  srv_config_init(&c);
  assert_true(srv_config_file(&c, path, error));
  assert_string_equal(c.listen, "0.0.0.0:9");
  assert_string_equal(c.embed_model, "m");
  setenv("VECDBD_SERVER_WORKERS", "7", 1);
  assert_true(srv_config_environment(&c, error));
  assert_int_equal(c.workers, 7);
  setenv("VECDBD_SERVER_WORKERS", "7x", 1);
  assert_false(srv_config_environment(&c, error));
  assert_non_null(strstr(error, "server.workers"));
  unsetenv("VECDBD_SERVER_WORKERS");
  assert_false(srv_config_set(&c, "server", "nope", "1", error));
  assert_false(srv_config_set(&c, "server", "queue", "-1", error));
  assert_false(srv_config_set(&c, "server", "queue", "0", error));
  static const char bad[] = "[server]\nqueue = many\n";
  assert_int_equal(pwrite(fd, bad, sizeof bad - 1, 0), sizeof bad - 1);
  assert_int_equal(ftruncate(fd, sizeof bad - 1), 0);
  assert_false(srv_config_file(&c, path, error));
  assert_non_null(strstr(error, "line 2"));
  close(fd);
  unlink(path);
  assert_false(srv_config_file(&c, path, error));
}

static void test_bad_start(void **state) {
  (void)state;
  static const char *const addresses[] = {"",      "nowhere",     "127.0.0.1:", "127.0.0.1:99999",
                                          "x y:1", "192.0.2.1:80"};
  char error[SRV_CONFIG_ERROR];
  struct web w;
  web_init(&w);
  for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
    snprintf(w.config.listen, sizeof w.config.listen, "%s", addresses[i]);
    assert_null(srv_server_start(&w.config, NULL, error));
    assert_true(strlen(error) > 10);
  }
  snprintf(w.config.listen, sizeof w.config.listen, "127.0.0.1:0");
  snprintf(w.config.durability, sizeof w.config.durability, "sometimes");
  assert_null(srv_server_start(&w.config, NULL, error));
  assert_non_null(strstr(error, "durability"));
  snprintf(w.config.durability, sizeof w.config.durability, "off");
  snprintf(w.config.device, sizeof w.config.device, "tpu");
  assert_null(srv_server_start(&w.config, NULL, error));
  assert_non_null(strstr(error, "device is \"tpu\""));
  web_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_front_search), cmocka_unit_test(test_bad_service),
      cmocka_unit_test(test_framing),      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_ambiguous),
      cmocka_unit_test(test_protocol),     cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_slow_clients), cmocka_unit_test(test_overload),
      cmocka_unit_test(test_drip),
      cmocka_unit_test(test_drain),        cmocka_unit_test(test_config),
      cmocka_unit_test(test_bad_start),
      cmocka_unit_test(test_pipelined),    cmocka_unit_test(test_idle),
      cmocka_unit_test(test_waiting),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
