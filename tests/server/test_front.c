/*
 * test_front.c - every protocol on one address: told by the first bytes, however they come; clients
 * that say nothing; too many of them; and no descriptors left. TSAN: yes
 */
#include "base/rng.h"
#include "server/crowd.h"
#include "server/rpctest.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

static const char get_health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
static const char get_root[] = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

/* A server whose gRPC clients come to the address that HTTP's come to. */
static void front_start(struct web *w) {
  web_start(w);
  assert_int_equal(w->milvus_port, 0);
  w->milvus_port = w->port;
}

static void rpc_is_served(const struct web *w) {
  rpc_expect(w, "0", SERVICE "Connect", NULL, NULL, "\0\0\0\0\0", 5);
}

/* Sends bytes one by one, each in a packet of its own as far as the system does so, while the
   server takes them. */
static void send_slowly(int fd, const char *bytes, size_t n) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  for (size_t i = 0; i < n && send(fd, bytes + i, 1, MSG_NOSIGNAL) == 1; i++)
    continue;
}

/* The status of the answer to bytes that come one by one; 0: there was none. */
static int status_slowly(const struct web *w, const char *bytes) {
  char answer[64] = "";
  int fd = web_connect(w), status = 0;
  send_slowly(fd, bytes, strlen(bytes));
  if (recv(fd, answer, sizeof answer - 1, MSG_WAITALL) > 0)
    sscanf(answer, "HTTP/1.%*d %d", &status);
  close(fd);
  return status;
}

static void test_one_address(void **state) {
  (void)state;
  struct web w;
  web_init(&w);
  front_start(&w);
  for (int i = 0; i < 3; i++) {
    web_do(&w, 200, "GET", "/healthz", NULL);
    rpc_is_served(&w);
  }
  assert_int_equal(status_slowly(&w, get_health), 200);
  assert_int_equal(status_slowly(&w, get_root), 405); /* begins as the preface of HTTP/2 does */
  web_end(&w);
}

/* The preface of HTTP/2 byte by byte, then a call. */
static void test_slow_preface(void **state) {
  (void)state;
  enum { PREFACE = 24 };
  struct web w;
  struct rpc c;
  const uint8_t *bytes;
  web_init(&w);
  front_start(&w);
  rpc_open(&w, &c);
  ssize_t n = nghttp2_session_mem_send(c.session, &bytes);
  assert_true(n >= PREFACE);
  send_slowly(c.fd, (const char *)bytes, (size_t)n);
  struct rpc_call *call =
      rpc_start(&c, SERVICE "Connect", "application/grpc", NULL, NULL, "\0\0\0\0\0", 5);
  rpc_await(&c, 1);
  assert_string_equal(call->status, "0");
  rpc_end(&c);
  web_end(&w);
}

/* Neither protocol, or nearly one: an error or the end, and others are served. */
static void test_neither(void **state) {
  (void)state;
  static const char *const bytes[] = {
      "PRI * HTTP/1.1\r\nHost: x\r\n\r\n",    "PRI\r\n\r\n",
      "PRI * HTTP/2.0",                       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense, and more",
      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nmore", "PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "P"};
  struct web w;
  char answer[4096];
  web_init(&w);
  w.config.request_seconds = 1;
  front_start(&w);
  for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
    int status = web_raw(&w, bytes[i], strlen(bytes[i]), answer, sizeof answer);
    if (status != 0 && (status < 400 || status > 499) && status != 505)
      fail_msg("case %zu: status %d", i, status);
    web_do(&w, 200, "GET", "/healthz", NULL);
    rpc_is_served(&w);
  }
  web_end(&w);
}

/* Clients that never tell what they speak keep nobody waiting, are cut off, and do not keep the
   server from stopping. */
static void test_silence(void **state) {
  (void)state;
  enum { SILENT = 200 };
  struct web w;
  int silent[SILENT];
  char c;
  web_init(&w);
  w.config.request_seconds = 1;
  front_start(&w);
  for (int i = 0; i < SILENT; i++) {
    silent[i] = web_connect(&w);
    send(silent[i], "PRI * H", (size_t)i % 8, MSG_NOSIGNAL);
  }
  web_do(&w, 200, "GET", "/healthz", NULL);
  rpc_is_served(&w);
  for (int i = 0; i < SILENT; i++) {
    assert_int_equal(recv(silent[i], &c, 1, 0), 0); /* when it is cut off */
    close(silent[i]);
  }
  silent[0] = web_connect(&w);
  web_stop(&w);
  assert_true(recv(silent[0], &c, 1, 0) <= 0);
  close(silent[0]);
  web_end(&w);
}

/* Of silent clients only so many are kept; when they have gone, others are served. */
static void test_too_many(void **state) {
  (void)state;
  enum { ROOM = 3 };
  struct web w;
  int silent[ROOM + 1];
  char c;
  web_init(&w);
  w.config.connections = ROOM;
  front_start(&w);
  for (int i = 0; i <= ROOM; i++)
    silent[i] = web_connect(&w);
  assert_true(recv(silent[ROOM], &c, 1, 0) <= 0);
  for (int i = 0; i <= ROOM; i++) {
    send(silent[i], get_health, sizeof get_health - 1, MSG_NOSIGNAL);
    assert_true(i == ROOM || recv(silent[i], &c, 1, 0) == 1);
    close(silent[i]);
  }
  rpc_is_served(&w);
  web_end(&w);
}

/* Clients that were cut off, or went, in the middle of the preface give their places back. */
static void test_half_said(void **state) {
  (void)state;
  enum { ROOM = 3, TRIES = 10000 };
  struct web w;
  char c;
  web_init(&w);
  w.config.connections = ROOM;
  w.config.request_seconds = 1;
  front_start(&w);
  for (int gone = 0; gone < 2; gone++) {
    int half[ROOM], tries = 0;
    for (int i = 0; i < ROOM; i++) {
      half[i] = web_connect(&w);
      assert_int_equal(send(half[i], "PRI * H", 7, MSG_NOSIGNAL), 7);
    }
    for (int i = 0; i < ROOM; i++) {
      assert_true(gone || recv(half[i], &c, 1, 0) == 0);
      if (gone)
        close(half[i]);
    }
    while (status_slowly(&w, get_root) != 405) /* until the server has seen that they have gone */
      assert_true(tries++ < TRIES);
    for (int i = 0; i < ROOM && !gone; i++)
      close(half[i]);
  }
  web_end(&w);
}

/* Without descriptors clients are turned away, not left waiting; with them they are served. */
static void test_no_descriptors(void **state) {
  (void)state;
  enum { LIMIT = 64, MANY = 100 };
  struct web w;
  struct rlimit usual, few;
  int fds[MANY], served = 0;
  web_init(&w);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
  few = usual;
  few.rlim_cur = LIMIT;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  pid_t child = web_fork(&w);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
  for (int i = 0; i < MANY; i++) {
    char c;
    fds[i] = web_connect(&w);
    send(fds[i], get_health, sizeof get_health - 1, MSG_NOSIGNAL);
    served += recv(fds[i], &c, 1, 0) == 1;
  }
  assert_true(served > 0 && served < LIMIT);
  for (int i = 0; i < MANY; i++)
    close(fds[i]);
  struct web_answer answer = {0};
  do { /* until the server has seen that they are closed */
    web_done(&answer);
    answer = web_ask(&w, "GET", "/healthz", NULL);
  } while (answer.status == 0);
  assert_int_equal(answer.status, 200);
  web_done(&answer);
  web_kill(child);
  web_end(&w);
}

/* Beside an array. */
static void test_crowd(void **state) {
  (void)state;
  enum { ORIGINS = 50, MOST = 4 };
  uint64_t there[ORIGINS] = {0};
  struct srv_crowd *crowd = srv_crowd_new();
  struct vdb_rng rng = {5};
  for (int i = 0; i < 20000; i++) {
    uint64_t origin = vdb_rng_below(&rng, ORIGINS);
    if (vdb_rng_below(&rng, 2) && there[origin]) {
      srv_crowd_leave(crowd, origin);
      there[origin]--;
    } else {
      uint64_t most = origin ? MOST : 0;
      bool room = !most || there[origin] < most;
      assert_int_equal(srv_crowd_enter(crowd, origin, most), room);
      there[origin] += room;
    }
  }
  for (uint64_t origin = 0; origin < ORIGINS; origin++)
    while (there[origin]-- > 0)
      srv_crowd_leave(crowd, origin);
  srv_crowd_free(crowd);
}

/* A connection from 127.0.0.HOST. */
static int connect_from(const struct web *w, unsigned host) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w->port)};
  struct sockaddr_in own = {.sin_family = AF_INET};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  own.sin_addr.s_addr = htonl(0x7f000000u + host);
  assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
  return fd;
}

/* Whether a connection is served, and stays. */
static bool is_served(int fd) {
  char c;
  send(fd, get_health, sizeof get_health - 1, MSG_NOSIGNAL);
  return recv(fd, &c, 1, 0) == 1;
}

/* One address may have so many connections, whatever they do; another has its own. */
static void test_address_connections(void **state) {
  (void)state;
  enum { MOST = 4 };
  struct web w;
  int fds[MOST];
  web_init(&w);
  w.config.address_connections = MOST;
  w.config.idle_seconds = 60;
  front_start(&w);
  for (int i = 0; i < MOST; i++) {
    fds[i] = connect_from(&w, 2);
    if (i % 2) /* the others say nothing */
      assert_true(is_served(fds[i]));
  }
  for (int i = 0; i < 3; i++) {
    int more = connect_from(&w, 2), other = connect_from(&w, 3);
    assert_true(is_served(other)); /* which came later */
    assert_false(is_served(more));
    close(more);
    close(other);
  }
  close(fds[0]);
  close(fds[1]);
  for (int served = 0; served < 2;) { /* once the server has seen that they are closed */
    int fd = connect_from(&w, 2);
    bool good = is_served(fd);
    if (good)
      fds[served++] = fd;
    else
      close(fd);
  }
  for (int i = 0; i < MOST; i++)
    close(fds[i]);
  web_end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_one_address), cmocka_unit_test(test_slow_preface),
      cmocka_unit_test(test_neither),     cmocka_unit_test(test_silence),
      cmocka_unit_test(test_too_many),    cmocka_unit_test(test_half_said),
      cmocka_unit_test(test_no_descriptors), cmocka_unit_test(test_crowd),
      cmocka_unit_test(test_address_connections),
  };
  return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}
