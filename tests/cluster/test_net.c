/*
 * test_net.c - connections between nodes: who is refused and what is said, frames whole, torn and
 * flipped, a peer that does not read, signs of life; over plain sockets and over TLS. Two sides run
 * in one thread, in a time that this test makes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "net/cert.h"
#include "net/net.h"

static const struct doc_uuid tn_cluster = {{9, 8, 7}};
static char tn_folder[64];

/* One side, and what it was told. */
struct tn_side {
  struct net *net;
  struct net_conn *conn;
  struct hello peer;
  enum net_reason reason;
  char why[HELLO_WHY];
  char fingerprint[65];
  int ups;
  int downs;
  int rooms;
  bool unknown; /* its `known` says no */
  struct frame frames[64];
  size_t n;
  size_t bytes;
  bool keep; /* frames; else only counts them */
};

static bool tn_known(void *arg, const struct hello *hello, const char *fingerprint) {
  struct tn_side *s = arg;
  (void)hello;
  snprintf(s->fingerprint, sizeof s->fingerprint, "%s", fingerprint);
  return !s->unknown;
}

static void tn_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  struct tn_side *s = arg;
  s->conn = conn;
  s->peer = *hello;
  s->ups++;
}

static void tn_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct tn_side *s = arg;
  assert_ptr_equal(conn, s->conn);
  assert_int_equal((uintptr_t)frame->payload % FRAME_ALIGN, 0);
  s->bytes += frame->n;
  if (s->keep && s->n < 64) {
    s->frames[s->n] = *frame;
    frame->payload = NULL;
  }
  s->n++;
}

static void tn_room(void *arg, struct net_conn *conn) {
  (void)conn;
  ((struct tn_side *)arg)->rooms++;
}

static void tn_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  struct tn_side *s = arg;
  (void)conn;
  s->conn = NULL;
  s->reason = reason;
  s->downs++;
  snprintf(s->why, sizeof s->why, "%s", why);
}

/* Two nodes, 1 and 2; the second listens. */
struct tn {
  struct tn_side a;
  struct tn_side b;
  struct net_config ca;
  struct net_config cb;
  int64_t now_us;
  int port;
};

static struct net_config tn_config(struct tn_side *side, uint32_t node) {
  return (struct net_config){
      .self = {.cluster = tn_cluster, .node = node, .store = {{(uint8_t)node}}, .incarnation = 77},
      .handler = {tn_known, tn_up, tn_frame, tn_room, tn_down, side}};
}

static void tn_init(struct tn *t) {
  memset(t, 0, sizeof *t);
  t->ca = tn_config(&t->a, 1);
  t->cb = tn_config(&t->b, 2);
  t->now_us = 1000000;
}

static const char *tn_path(const char *name) {
  static char paths[8][128];
  static size_t next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", tn_folder, name);
  return path;
}

static void tn_certify(struct net_config *c, const char *ca, const char *node) {
  char name[64];
  static char kept[4][3][128];
  static size_t next;
  char(*to)[128] = kept[next++ % 4];
  snprintf(to[0], 128, "%s", tn_path(ca));
  snprintf(name, sizeof name, "%s.pem", node);
  snprintf(to[1], 128, "%s", tn_path(name));
  snprintf(name, sizeof name, "%s.key", node);
  snprintf(to[2], 128, "%s", tn_path(name));
  c->ca_file = to[0];
  c->cert_file = to[1];
  c->key_file = to[2];
}

static void tn_open(struct tn *t, uint32_t called) {
  char why[HELLO_WHY], address[32];
  t->b.net = net_open(&t->cb, why);
  assert_non_null(t->b.net);
  assert_true(net_listen(t->b.net, "127.0.0.1:0", &t->port, why));
  t->a.net = net_open(&t->ca, why);
  assert_non_null(t->a.net);
  net_run(t->a.net, t->now_us);
  snprintf(address, sizeof address, "127.0.0.1:%d", t->port);
  assert_non_null(net_connect(t->a.net, called, address, NET_APPEND, why));
}

static void tn_close(struct tn *t) {
  net_close(t->a.net);
  net_close(t->b.net);
  for (size_t i = 0; i < t->a.n && t->a.keep; i++)
    free(t->a.frames[i].payload);
  for (size_t i = 0; i < t->b.n && t->b.keep; i++)
    free(t->b.frames[i].payload);
}

/* Both sides once, in this test's time; waits (really) only for bytes that are on their way. */
static void tn_turn(struct tn *t) {
  struct pollfd p[2] = {{net_fd(t->a.net), POLLIN, 0}, {net_fd(t->b.net), POLLIN, 0}};
  bool due = net_due(t->a.net) <= t->now_us || net_due(t->b.net) <= t->now_us;
  poll(p, 2, due ? 0 : 20);
  net_run(t->a.net, t->now_us);
  net_run(t->b.net, t->now_us);
}

/* Until the condition holds; time stands still meanwhile. */
#define TN_UNTIL(t, condition)                       \
  for (int tn_turns = 0; !(condition); tn_turn(t)) { \
    assert_true(tn_turns++ < 100000);                \
  }

static void tn_meet(struct tn *t) {
  tn_open(t, 2);
  TN_UNTIL(t, t->a.conn && t->b.conn);
}

/* ---- Frames go both ways ---- */

static void *tn_bytes(size_t n, uint32_t seed) {
  uint8_t *data = malloc(n + 1);
  for (size_t i = 0; i < n; i++)
    data[i] = (uint8_t)((seed + i) * 2654435761u >> 24);
  return data;
}

static void tn_talk(struct tn *t) {
  static const size_t sizes[] = {0, 1, 39, 40, 41, 4096, 70000, 3000000};
  tn_meet(t);
  t->b.keep = true;
  assert_int_equal(t->a.peer.node, 2);
  assert_int_equal(t->b.peer.node, 1);
  assert_int_equal(t->b.peer.incarnation, 77);
  assert_int_equal(net_stats(t->b.conn).class, NET_APPEND);
  for (uint32_t i = 0; i < 8; i++) {
    void *data = tn_bytes(sizes[i], i);
    const struct frame f = {.type = FRAME_APPEND,
                            .flags = (uint16_t)(i * 1000),
                            .stream = i,
                            .request = UINT64_MAX - i,
                            .deadline_ms = 5 * i,
                            .n = (uint32_t)sizes[i]};
    assert_int_equal(net_send(t->a.conn, &f, data, i % 2), NET_SENT);
    if (i % 2 == 0)
      free(data);
  }
  TN_UNTIL(t, t->b.n == 8);
  for (uint32_t i = 0; i < 8; i++) {
    const struct frame *f = &t->b.frames[i];
    void *data = tn_bytes(sizes[i], i);
    assert_int_equal(f->n, sizes[i]);
    assert_int_equal(f->flags, i * 1000);
    assert_int_equal(f->stream, i);
    assert_true(f->request == UINT64_MAX - i);
    assert_int_equal(f->deadline_ms, 5 * i);
    assert_true(!f->n || memcmp(f->payload, data, f->n) == 0);
    free(data);
  }
  const struct frame back = {.type = FRAME_ACK, .n = 3};
  assert_int_equal(net_send(t->b.conn, &back, "abc", false), NET_SENT);
  TN_UNTIL(t, t->a.n == 1);
  const struct frame large = {.type = FRAME_ACK, .n = 64 * 1024 + 1}, odd = {.type = 99};
  assert_int_equal(net_send(t->b.conn, &large, "", false), NET_TOO_LARGE);
  assert_int_equal(net_send(t->b.conn, &odd, "", false), NET_TOO_LARGE);
  net_end(t->a.conn, true);
  TN_UNTIL(t, t->a.downs && t->b.downs);
  assert_int_equal(t->a.reason, NET_CLOSED);
  assert_int_equal(t->b.reason, NET_NO_CONNECTION);
  tn_close(t);
}

static void test_plain(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  tn_talk(&t);
}

static void test_tls(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  tn_certify(&t.ca, "ca.pem", "node1");
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_talk(&t);
  assert_int_equal(strlen(t.b.fingerprint), 64);
  assert_string_not_equal(t.a.fingerprint, t.b.fingerprint);
}

/* ---- Refusals: each has its reason on the side that refuses, and the other is told ---- */

static void tn_refused(struct tn *t, uint32_t called, enum net_reason a, enum net_reason b,
                       const char *word) {
  tn_open(t, called);
  TN_UNTIL(t, t->a.downs && t->b.downs);
  assert_int_equal(t->a.ups + t->b.ups > 1, 0);
  assert_int_equal(t->a.reason, a);
  assert_int_equal(t->b.reason, b);
  assert_true(strstr(t->a.why, word) || strstr(t->b.why, word));
  tn_close(t);
}

static void test_wrong_cluster(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  t.ca.self.cluster.bytes[15] = 1;
  tn_refused(&t, 2, NET_REFUSED_CLUSTER, NET_REFUSED_CLUSTER, "belongs to cluster");
}

static void test_wrong_node(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  t.b.unknown = true;
  tn_refused(&t, 2, NET_REFUSED_NODE, NET_REFUSED_NODE, "not of this cluster");
  tn_init(&t);
  t.ca.self.node = 2;
  tn_refused(&t, 2, NET_REFUSED_NODE, NET_REFUSED_NODE, "own id");
  tn_init(&t); /* the address is another node's by now */
  tn_refused(&t, 3, NET_REFUSED_NODE, NET_REFUSED_NODE, "node 3 was called, node 2 answers");
}

static void test_versions(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  t.ca.self.version_min = t.cb.self.version_min = 1;
  t.ca.self.version_max = 2; /* the next release's, beside this one's */
  t.cb.self.version_max = 1;
  tn_meet(&t);
  assert_int_equal(net_stats(t.a.conn).version, 1);
  assert_int_equal(net_stats(t.b.conn).version, 1);
  tn_close(&t);
  tn_init(&t);
  t.ca.self.version_min = 2;
  t.ca.self.version_max = 3;
  t.cb.self.version_min = t.cb.self.version_max = 1;
  tn_refused(&t, 2, NET_REFUSED_VERSION, NET_REFUSED_VERSION, "too");
}

static void test_certificates(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t); /* signed by another authority */
  tn_certify(&t.ca, "ca.pem", "stranger");
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_refused(&t, 2, NET_BAD_TLS, NET_BAD_TLS, "certificate is refused");
  tn_init(&t); /* node 3's, in node 1's hands */
  tn_certify(&t.ca, "ca.pem", "node3");
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_refused(&t, 2, NET_REFUSED_CERTIFICATE, NET_REFUSED_CERTIFICATE, "certificate is node 3's");
  tn_init(&t); /* of another cluster, by the same authority */
  tn_certify(&t.ca, "ca.pem", "foreign1");
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_refused(&t, 2, NET_REFUSED_CERTIFICATE, NET_REFUSED_CERTIFICATE, "certificate");
  tn_init(&t); /* an authority's, which names no node */
  tn_certify(&t.ca, "ca.pem", "ca");
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_open(&t, 2);
  TN_UNTIL(&t, t.a.downs && t.b.downs);
  assert_int_equal(t.b.reason, NET_BAD_TLS);
  tn_close(&t);
  tn_init(&t); /* one side without TLS */
  tn_certify(&t.cb, "ca.pem", "node2");
  tn_open(&t, 2);
  TN_UNTIL(&t, t.a.downs && t.b.downs);
  assert_int_equal(t.a.ups + t.b.ups, 0);
  tn_close(&t);
}

static void test_settings(void **state) {
  struct tn t;
  char why[HELLO_WHY] = "";
  (void)state;
  tn_init(&t);
  t.b.net = net_open(&t.cb, why);
  assert_false(net_listen(t.b.net, "0.0.0.0:0", NULL, why)); /* plain, for everybody */
  assert_non_null(strstr(why, "loopback"));
  assert_null(net_connect(t.b.net, 1, "192.0.2.1:7000", NET_QUERY, why));
  assert_non_null(strstr(why, "loopback"));
  const char *const bad[] = {"",       "localhost:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
                             "[::1:5", "127.0.0.1:1x"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(net_listen(t.b.net, bad[i], NULL, why));
  net_close(t.b.net);
  tn_certify(&t.cb, "ca.pem", "none");
  assert_null(net_open(&t.cb, why));
  assert_non_null(strstr(why, "certificate cannot be read"));
  tn_certify(&t.cb, "ca.pem", "node1");
  t.cb.key_file = tn_path("node2.key");
  assert_null(net_open(&t.cb, why));
  assert_non_null(strstr(why, "key"));
  t.cb.ca_file = NULL;
  t.cb.self.node = 0;
  assert_null(net_open(&t.cb, why));
}

/* ---- A peer that is no node: raw bytes ---- */

static int tn_dial(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in a = {.sin_family = AF_INET,
                          .sin_port = htons((uint16_t)port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
  return fd;
}

static void tn_listen(struct tn *t) {
  char why[HELLO_WHY];
  tn_init(t);
  t->b.net = net_open(&t->cb, why);
  assert_true(net_listen(t->b.net, "127.0.0.1:0", &t->port, why));
}

static void tn_turn_b(struct tn *t) {
  struct pollfd p = {net_fd(t->b.net), POLLIN, 0};
  poll(&p, 1, net_due(t->b.net) <= t->now_us ? 0 : 20);
  net_run(t->b.net, t->now_us);
}

#define TN_UNTIL_B(t, condition)                       \
  for (int tn_turns = 0; !(condition); tn_turn_b(t)) { \
    assert_true(tn_turns++ < 100000);                  \
  }

/* A hello of node 1 and one frame, as bytes. */
static size_t tn_stream(uint8_t *out, uint8_t type, uint32_t n) {
  const struct hello self = {.version_min = 1, .version_max = 1, .cluster = tn_cluster, .node = 1};
  uint8_t hello[HELLO_BYTES];
  hello_write(&self, hello);
  struct frame f = {.version = 1, .type = FRAME_HELLO, .n = HELLO_BYTES, .payload = hello};
  frame_write(&f, out);
  memcpy(out + FRAME_HEADER, hello, HELLO_BYTES);
  uint8_t *second = out + FRAME_HEADER + HELLO_BYTES;
  f = (struct frame){.version = 1, .type = type, .n = n, .payload = second + FRAME_HEADER};
  memset(f.payload, 'x', n);
  frame_write(&f, second);
  return FRAME_HEADER + HELLO_BYTES + FRAME_HEADER + n;
}

/* Sends the bytes and hangs up; gives what the node made of them. */
static enum net_reason tn_feed(struct tn *t, const uint8_t *data, size_t n) {
  int fd = tn_dial(t->port), before = t->b.downs;
  assert_int_equal(send(fd, data, n, MSG_NOSIGNAL), (ssize_t)n);
  shutdown(fd, SHUT_WR);
  TN_UNTIL_B(t, t->b.downs > before);
  close(fd);
  return t->b.reason;
}

/* Every bit of a frame flipped, and the stream cut at every byte: nothing that was not sent is ever
   taken for a frame, and the connection ends. */
static void test_damage(void **state) {
  struct tn t;
  uint8_t good[256], bad[256];
  (void)state;
  tn_listen(&t);
  size_t n = tn_stream(good, FRAME_CONTROL, 24), frame = n - FRAME_HEADER - 24;
  assert_int_equal(tn_feed(&t, good, n), NET_NO_CONNECTION);
  assert_int_equal(t.b.n, 1);
  for (size_t bit = frame * 8; bit < n * 8; bit++) {
    memcpy(bad, good, n);
    bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
    enum net_reason reason = tn_feed(&t, bad, n);
    assert_true(reason == NET_BAD_FRAME || reason == NET_REFUSED_VERSION);
    assert_int_equal(t.b.n, 1);
  }
  for (size_t cut = 0; cut < n; cut++) {
    assert_int_equal(tn_feed(&t, good, cut), NET_NO_CONNECTION);
    assert_int_equal(t.b.n, 1);
  }
  for (size_t bit = 0; bit < frame * 8; bit++) { /* in the hello: never up as somebody else */
    memcpy(bad, good, n);
    bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
    tn_feed(&t, bad, n);
    assert_int_equal(t.b.n, 1);
  }
  net_close(t.b.net);
}

/* What may not come, or not be so large, is refused from the header alone. */
static void test_limits(void **state) {
  static const struct {
    uint8_t type;
    uint32_t n;
    bool taken;
  } cases[] = {{FRAME_CONTROL, 65536, true},
               {FRAME_CONTROL, 65537, false},
               {FRAME_BULK, 4 << 20, true},
               {FRAME_BULK, (4 << 20) + 1, false},
               {FRAME_QUERY, 16 << 20, true},
               {FRAME_QUERY, (16 << 20) + 1, false},
               {FRAME_PING, 0, true},
               {FRAME_PING, 1, false},
               {0, 0, false},
               {FRAME_BULK + 1, 0, false},
               {255, 0, false},
               {FRAME_APPEND, UINT32_MAX, false}};
  struct frame_reader reader;
  struct frame out;
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct frame f = {.version = 1, .type = cases[i].type};
    uint8_t header[FRAME_HEADER];
    size_t n;
    frame_write(&f, header);
    memcpy(header + 8, &cases[i].n, 4);
    uint32_t hash = XXH32(header, 36, 0);
    memcpy(header + 36, &hash, 4);
    frame_reader_init(&reader);
    reader.known = true;
    memcpy(frame_reader_space(&reader, &n), header, FRAME_HEADER);
    enum frame_status status = frame_reader_got(&reader, FRAME_HEADER, &out);
    assert_int_equal(status == FRAME_MORE || status == FRAME_WHOLE, cases[i].taken);
    assert_true(cases[i].taken || !reader.frame.payload);
    frame_reader_free(&reader);
  }
}

/* Before its hello a peer may say hello only, and little. */
static void test_early(void **state) {
  struct tn t;
  uint8_t bytes[256];
  (void)state;
  tn_listen(&t);
  size_t n = tn_stream(bytes, FRAME_CONTROL, 8);
  assert_int_equal(tn_feed(&t, bytes + FRAME_HEADER + HELLO_BYTES, n - FRAME_HEADER - HELLO_BYTES),
                   NET_BAD_FRAME);
  memmove(bytes + FRAME_HEADER + HELLO_BYTES, bytes, FRAME_HEADER + HELLO_BYTES);
  assert_int_equal(tn_feed(&t, bytes, 2 * (FRAME_HEADER + HELLO_BYTES)), NET_BAD_FRAME);
  int fd = tn_dial(t.port), before = t.b.downs; /* it says nothing at all */
  tn_turn_b(&t);
  tn_turn_b(&t);
  t.now_us += 3000000;
  TN_UNTIL_B(&t, t.b.downs > before);
  assert_int_equal(t.b.reason, NET_SILENT);
  close(fd);
  net_close(t.b.net);
}

/* ---- Back-pressure ---- */

static void test_slow_reader(void **state) {
  struct tn t;
  struct frame f = {.type = FRAME_APPEND, .n = 100000};
  (void)state;
  tn_init(&t);
  t.ca.queue_bytes = 1000000;
  t.ca.dead_us = t.cb.dead_us = INT64_MAX / 4;
  tn_meet(&t);
  void *data = tn_bytes(f.n, 1);
  net_hold(t.b.conn, true);
  size_t sent = 0;
  enum net_sent said = NET_SENT;
  while (said == NET_SENT) { /* the kernel's buffers fill, then the queue */
    said = net_send(t.a.conn, &f, data, false);
    sent += said == NET_SENT;
    assert_true(net_stats(t.a.conn).queued <= 1000000 + 40 * 100);
    tn_turn(&t);
  }
  assert_int_equal(said, NET_FULL);
  assert_int_equal(t.b.n, 0);
  assert_int_equal(t.a.rooms, 0);
  net_hold(t.b.conn, false);
  TN_UNTIL(&t, t.b.n == sent);
  assert_int_equal(t.a.rooms, 1);
  assert_int_equal(net_stats(t.a.conn).queued, 0);

  net_hold(t.b.conn, true); /* and when it never reads again it is cut off */
  do {
    said = net_send(t.a.conn, &f, data, false);
    tn_turn(&t);
  } while (said == NET_SENT);
  t.now_us += 30000000;
  TN_UNTIL(&t, t.a.downs);
  assert_int_equal(t.a.reason, NET_SLOW);
  free(data);
  tn_close(&t);
}

/* ---- Signs of life ---- */

static void test_heartbeat(void **state) {
  struct tn t;
  (void)state;
  tn_init(&t);
  tn_meet(&t);
  for (int i = 0; i < 50; i++) { /* ten seconds without a word of the owners' */
    t.now_us += 200000;
    uint64_t before = net_stats(t.a.conn).frames_received;
    TN_UNTIL(&t, net_stats(t.a.conn).frames_received > before);
  }
  assert_int_equal(t.a.downs + t.b.downs, 0);
  for (int i = 0; i < 8; i++) { /* the other side hangs */
    t.now_us += 200000;
    net_run(t.a.net, t.now_us);
  }
  assert_int_equal(t.a.downs, 1);
  assert_int_equal(t.a.reason, NET_SILENT);
  tn_close(&t);
}

static void test_nobody(void **state) {
  struct tn t;
  char address[32], why[HELLO_WHY];
  (void)state;
  tn_listen(&t);
  net_close(t.b.net); /* nobody listens there any more */
  t.a.net = net_open(&t.ca, why);
  snprintf(address, sizeof address, "127.0.0.1:%d", t.port);
  net_run(t.a.net, t.now_us);
  assert_non_null(net_connect(t.a.net, 2, address, NET_QUERY, why));
  for (int i = 0; i < 100 && !t.a.downs; i++) {
    struct pollfd p = {net_fd(t.a.net), POLLIN, 0};
    poll(&p, 1, 20);
    net_run(t.a.net, t.now_us);
  }
  assert_int_equal(t.a.downs, 1);
  assert_int_equal(t.a.reason, NET_NO_CONNECTION);
  net_close(t.a.net);
}

/* ---- Hello and certificates' names ---- */

static void test_uris(void **state) {
  char uri[96];
  struct doc_uuid cluster;
  uint32_t node;
  (void)state;
  hello_uri_write(tn_cluster, 4294967295u, uri);
  assert_true(hello_uri_read(uri, &cluster, &node));
  assert_true(doc_uuid_same(cluster, tn_cluster) && node == 4294967295u);
  const char *const bad[] = {"",
                             "vdb://",
                             "vdb://09080700000000000000000000000000/node/",
                             "vdb://09080700000000000000000000000000/node/01",
                             "vdb://09080700000000000000000000000000/node/1x",
                             "vdb://09080700000000000000000000000000/node/-1",
                             "vdb://0908070000000000000000000000000G/node/1",
                             "VDB://09080700000000000000000000000000/node/1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(hello_uri_read(bad[i], &cluster, &node));
}

/* ---- Certificates are made once ---- */

static void tn_make(const char *ca, const char *name, struct doc_uuid cluster, uint32_t node) {
  char path[4][128], why[HELLO_WHY];
  snprintf(path[0], 128, "%s/%s.pem", tn_folder, ca);
  snprintf(path[1], 128, "%s/%s.key", tn_folder, ca);
  snprintf(path[2], 128, "%s/%s.pem", tn_folder, name);
  snprintf(path[3], 128, "%s/%s.key", tn_folder, name);
  const struct cert_files files = {path[0], path[1], path[2], path[3], NULL};
  assert_true(node ? cert_node(&files, cluster, node, 1, why) : cert_authority(&files, 1, why));
}

static int tn_setup(void **state) {
  struct doc_uuid other = {{1}};
  (void)state;
  strcpy(tn_folder, "/tmp/vecdb-net-XXXXXX");
  if (!mkdtemp(tn_folder))
    return -1;
  tn_make("ca", "", tn_cluster, 0);
  tn_make("ca2", "", tn_cluster, 0);
  tn_make("ca", "node1", tn_cluster, 1);
  tn_make("ca", "node2", tn_cluster, 2);
  tn_make("ca", "node3", tn_cluster, 3);
  tn_make("ca", "foreign1", other, 1);
  tn_make("ca2", "stranger", tn_cluster, 1);
  return 0;
}

static int tn_teardown(void **state) {
  static const char *const names[] = {"ca",    "ca2",      "node1",   "node2",
                                      "node3", "foreign1", "stranger"};
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char name[32];
    snprintf(name, sizeof name, "%s.pem", names[i]);
    unlink(tn_path(name));
    snprintf(name, sizeof name, "%s.key", names[i]);
    unlink(tn_path(name));
  }
  return rmdir(tn_folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain),         cmocka_unit_test(test_tls),
      cmocka_unit_test(test_wrong_cluster), cmocka_unit_test(test_wrong_node),
      cmocka_unit_test(test_versions),      cmocka_unit_test(test_certificates),
      cmocka_unit_test(test_settings),      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_limits),        cmocka_unit_test(test_early),
      cmocka_unit_test(test_slow_reader),   cmocka_unit_test(test_heartbeat),
      cmocka_unit_test(test_nobody),        cmocka_unit_test(test_uris),
  };
  return cmocka_run_group_tests(tests, tn_setup, tn_teardown);
}
