/*
 * test_failures.c - log-ins that fail: how long an origin has to wait, beside a list that forgets
 * nothing before its time; and over HTTP and gRPC, where what is right is taken again after the
 * wait, and what was known to be right throughout.
 * TSAN: yes
 */
#include "base/rng.h"
#include "server/authtest.h"
#include "server/failures.h"
#include "server/rpctest.h"
#include "tlib/thorough.h"

#define SECOND UINT64_C(1000000000)

/* ---- Waits, by a clock of the test's --------------------------------------------------------- */

static void test_doubling(void **state) {
  (void)state;
  static const struct srv_failure_limits limits = {3, 20}, none = {0, 20};
  static const unsigned waits[] = {0, 0, 0, 1, 2, 4, 8, 16, 20, 20};
  struct srv_failures *f = srv_failures_new();
  uint64_t now = 5 * SECOND;
  for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
    srv_failures_add(f, 7, &limits, now);
    assert_int_equal(srv_failures_wait(f, 7, now), waits[i]);
    if (waits[i])
      assert_int_equal(srv_failures_wait(f, 7, now + 1), waits[i]); /* rounded up */
    assert_int_equal(srv_failures_wait(f, 8, now), 0);
    now += waits[i] * SECOND;
    assert_int_equal(srv_failures_wait(f, 7, now), 0);
  }
  for (int i = 0; i < 100; i++)
    srv_failures_add(f, 7, &limits, now);
  assert_int_equal(srv_failures_wait(f, 7, now), 20);
  now += 2 * 20 * SECOND + 1;
  srv_failures_add(f, 7, &limits, now); /* all before is forgotten */
  assert_int_equal(srv_failures_wait(f, 7, now), 0);
  for (int i = 0; i < 100; i++) {
    srv_failures_add(f, 9, &none, now);
    srv_failures_add(f, 0, &limits, now);
  }
  assert_int_equal(srv_failures_wait(f, 9, now), 0);
  assert_int_equal(srv_failures_wait(f, 0, now), 0);
  srv_failures_free(f);
}

/* One of a list without a limit. */
struct remembered {
  uint64_t n, last, until;
};

static void test_beside_list(void **state) {
  (void)state;
  enum { ORIGINS = 6 }; /* fewer than a set has places, wherever they fall */
  static const struct srv_failure_limits limits = {4, 30};
  struct remembered list[ORIGINS + 1] = {{0}};
  struct srv_failures *f = srv_failures_new();
  struct vdb_rng rng = {11};
  uint64_t now = 1000 * SECOND;
  for (int i = 0; i < TEST_SIZE(50000, 5000); i++) {
    uint64_t origin = 1 + vdb_rng_below(&rng, ORIGINS);
    struct remembered *r = &list[origin];
    now += vdb_rng_below(&rng, 20) ? vdb_rng_below(&rng, 2000000000) : 70 * SECOND;
    uint64_t left = r->until > now ? (r->until - now + SECOND - 1) / SECOND : 0;
    assert_int_equal(srv_failures_wait(f, origin, now), left);
    if (left && vdb_rng_below(&rng, 4))
      continue;
    srv_failures_add(f, origin, &limits, now);
    r->n = now > r->last + 60 * SECOND ? 1 : r->n + 1;
    r->last = now;
    uint64_t wait = r->n > 4 ? 1 : 0;
    for (uint64_t n = 5; n < r->n && wait < 30; n++)
      wait *= 2;
    r->until = now + (wait < 30 ? wait : 30) * SECOND;
  }
  srv_failures_free(f);
}

/* However many fail, the table stays as it is, and who failed last is remembered. */
static void test_many(void **state) {
  (void)state;
  static const struct srv_failure_limits limits = {1, 60};
  struct srv_failures *f = srv_failures_new();
  for (uint64_t origin = 1; origin <= (uint64_t)TEST_SIZE(200000, 20000); origin++) {
    uint64_t now = origin * 1000;
    srv_failures_add(f, origin, &limits, now);
    srv_failures_add(f, origin, &limits, now);
    assert_int_equal(srv_failures_wait(f, origin, now), 1);
  }
  srv_failures_free(f);
}

/* ---- Origins --------------------------------------------------------------------------------- */

static uint64_t origin_of(const char *text) {
  struct srv_peer peer;
  char again[SRV_PEER_TEXT];
  assert_int_equal(inet_pton(AF_INET6, text, peer.address), 1);
  srv_peer_text(&peer, again);
  assert_string_equal(again, strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
  return srv_peer_origin(&peer);
}

static void test_origins(void **state) {
  (void)state;
  assert_true(origin_of("2001:db8:1:2::1") == origin_of("2001:db8:1:2:ffff::9"));
  assert_true(origin_of("2001:db8:1:2::1") != origin_of("2001:db8:1:3::1"));
  assert_true(origin_of("::ffff:192.0.2.1") != origin_of("::ffff:192.0.2.2"));
  assert_true(origin_of("::1") != 0);
  struct srv_peer nobody;
  char text[SRV_PEER_TEXT];
  srv_peer_of(-1, &nobody);
  srv_peer_text(&nobody, text);
  assert_true(srv_peer_origin(&nobody) == 0 && *text == '\0');
}

/* ---- The server ------------------------------------------------------------------------------ */

enum { ALLOWED = 3, FRESH = 10 };

static int setup(void **state) {
  static char keys[2048];
  struct secured *s = calloc(1, sizeof *s);
  *keys = '\0';
  auth_key(keys, "known", "reader", NULL);
  for (int i = 0; i < FRESH; i++) {
    char name[16];
    snprintf(name, sizeof name, "fresh%d", i);
    auth_key(keys, name, "reader", NULL);
  }
  auth_init(s, keys, "");
  s->web.config.failures = ALLOWED;
  snprintf(s->web.config.milvus, sizeof s->web.config.milvus, "127.0.0.1:0");
  snprintf(s->web.config.audit_path, sizeof s->web.config.audit_path, "%s/audit", s->web.folder);
  web_start(&s->web);
  *state = s;
  return 0;
}

/* Asks from an address of this machine, 127.0.0.HOST, with a header; the status, and the answer. */
static int from(const struct web *w, unsigned host, const char *header, char *answer, size_t room) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
  struct sockaddr_in own = {.sin_family = AF_INET};
  char request[1024];
  size_t got = 0;
  ssize_t r;
  int status = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  own.sin_addr.s_addr = htonl(0x7f000000u + host);
  assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  int n = snprintf(request, sizeof request,
                   "GET /v1/version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s\r\n", header,
                   *header ? "\r\n" : "");
  assert_int_equal(send(fd, request, (size_t)n, MSG_NOSIGNAL), n);
  while (got + 1 < room && (r = recv(fd, answer + got, room - 1 - got, 0)) > 0)
    got += (size_t)r;
  answer[got] = '\0';
  close(fd);
  return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* Fails until the address has to wait. */
static void fail_often(const struct web *w, unsigned host, char *answer, size_t room) {
  int status = 401;
  for (int i = 0; i <= ALLOWED; i++)
    assert_int_equal(from(w, host, "api-key: wrong", answer, room), 401);
  for (int i = 0; status == 401 && i < 100; i++) /* a wait may be over before the next comes */
    status = from(w, host, "api-key: wrong", answer, room);
  assert_int_equal(status, 429);
}

/* Asks until there is another answer than 429, which there must be though nobody stops asking. */
static int answer_after_wait(const struct web *w, unsigned host, const char *header) {
  const struct timespec pause = {0, 50000000};
  char answer[4096];
  int status;
  while ((status = from(w, host, header, answer, sizeof answer)) == 429)
    nanosleep(&pause, NULL);
  return status;
}

/* Whoever fails too often waits; who was known does not, nor does anybody at another address. */
static void test_held_off(void **state) {
  const struct secured *s = *state;
  const struct web *w = &s->web;
  char answer[4096];
  size_t room = sizeof answer;
  assert_int_equal(from(w, 5, "api-key: known-secret", answer, room), 200);
  for (int i = 0; i < 10 * ALLOWED; i++) /* which is no failure */
    assert_int_equal(from(w, 5, "", answer, room), 401);
  fail_often(w, 5, answer, room);
  assert_non_null(strstr(answer, "\r\nRetry-After: "));
  assert_non_null(strstr(answer, "TOO_MANY_FAILURES"));
  assert_int_equal(from(w, 5, "api-key: known-secret", answer, room), 200);
  assert_int_equal(from(w, 6, "api-key: wrong", answer, room), 401);
  assert_int_equal(answer_after_wait(w, 5, "api-key: wrong"), 401);
}

/* What is right, but was not known to be, has to wait like the rest, and is taken then. */
static void test_right_after_wait(void **state) {
  const struct secured *s = *state;
  const struct web *w = &s->web;
  char answer[4096], header[64];
  int status = 200;
  for (unsigned i = 0; status == 200 && i < FRESH; i++) { /* unless the wait is over already */
    fail_often(w, 20 + i, answer, sizeof answer);
    snprintf(header, sizeof header, "api-key: fresh%u-secret", i);
    status = from(w, 20 + i, header, answer, sizeof answer);
    if (status == 429)
      assert_int_equal(answer_after_wait(w, 20 + i, header), 200);
  }
  assert_int_equal(status, 429);
}

static void test_rpc(void **state) {
  const struct secured *s = *state;
  static const uint8_t empty[5] = {0};
  char authorization[64];
  struct rpc_call call = {0};
  auth_base64("known:guess", authorization);
  for (int i = 0; i < 100 && strcmp(call.status, "8") != 0; i++) {
    struct rpc c;
    rpc_open(&s->web, &c);
    struct rpc_call *one = rpc_start(&c, SERVICE "ShowCollections", "application/grpc",
                                     "authorization", authorization, empty, sizeof empty);
    rpc_await(&c, 1);
    call = *one;
    assert_true(strcmp(call.status, "16") == 0 || strcmp(call.status, "8") == 0);
    rpc_end(&c);
  }
  assert_string_equal(call.status, "8");
  assert_non_null(strstr(call.message, "log-ins"));
}

/* The audit log has each failure, and the address, but not the tries that nobody looked at. */
static void test_audited(void **state) {
  struct secured *s = *state;
  char answer[4096], path[256], line[4096];
  unsigned refused = 0, looked_at = 0, records = 0;
  for (int i = 0; i < 50; i++) {
    int status = from(&s->web, 77, "api-key: wrong", answer, sizeof answer);
    looked_at += status == 401;
    refused += status == 429;
  }
  assert_true(refused > 0 && looked_at > ALLOWED);
  web_stop(&s->web);
  snprintf(path, sizeof path, "cat %s/audit/*.log", s->web.folder);
  FILE *f = popen(path, "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f))
    records += strstr(line, "127.0.0.77") != NULL;
  pclose(f);
  assert_int_equal(records, looked_at);
}

int main(void) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  signal(SIGPIPE, SIG_IGN);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, setup, auth_end)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_doubling), cmocka_unit_test(test_beside_list),
      cmocka_unit_test(test_many),     cmocka_unit_test(test_origins),
      SERVED(test_held_off),           SERVED(test_right_after_wait),
      SERVED(test_rpc),                SERVED(test_audited),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
