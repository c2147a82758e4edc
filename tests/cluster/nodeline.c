/* nodeline.c - a connection to a node; see nodeline.h. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "nodeline.h"
#include "wire/message.h"

enum { LINE_QUERIES = 16384, LINE_K = 32, LINE_DIM = 4, LINE_STATS = 1000 };

static bool line_known(void *arg, const struct hello *hello, const char *fingerprint) {
  (void)arg, (void)hello, (void)fingerprint;
  return true;
}

static void line_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  (void)conn, (void)hello;
  ((struct line *)arg)->up = true;
}

static void line_room(void *arg, struct net_conn *conn) { (void)arg, (void)conn; }

static void line_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  (void)arg, (void)conn;
  if (reason != NET_CLOSED)
    fail_msg("%s", why);
}

static void line_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct line *l = arg;
  struct wire_mem mem = {0};
  struct wire_message m;
  (void)conn;
  assert_int_equal(wire_message_read(frame->payload, frame->n, &mem, &m), WIRE_OK);
  if (frame->request < LINE_STATS) {
    l->answers++;
    l->code = m.result.code;
  } else {
    assert_int_equal(m.result.code, VECDB_OK);
    l->told = frame->request - LINE_STATS;
    l->reads = m.stats.queue;
  }
  wire_mem_free(&mem);
}

static void line_turn(struct line *l) {
  struct timespec now;
  struct pollfd p = {.fd = net_fd(l->net), .events = POLLIN};
  poll(&p, 1, 20);
  clock_gettime(CLOCK_MONOTONIC, &now);
  net_run(l->net, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void line_open(struct line *l, struct doc_uuid cluster, uint32_t node, int port) {
  char why[HELLO_WHY], address[32];
  const struct net_config config = {
      .self = {.cluster = cluster, .node = WIRE_CLIENT | 4711, .store.bytes = {1}},
      .handler = {line_known, line_up, line_frame, line_room, line_down, l},
      .dead_us = 60000000};
  *l = (struct line){.net = net_open(&config, why)};
  assert_non_null(l->net);
  line_turn(l); /* it knows the time from now on */
  snprintf(address, sizeof address, "127.0.0.1:%d", port);
  l->conn = net_connect(l->net, node, address, NET_QUERY, why);
  assert_non_null(l->conn);
  while (!l->up)
    line_turn(l);
}

void line_close(struct line *l) { net_close(l->net); }

static void line_ask(struct line *l, uint64_t request, const struct wire_message *m) {
  struct wire_out out;
  wire_out_init(&out, WIRE_LIMIT);
  wire_message_write(m, &out);
  assert_int_equal(out.status, WIRE_OK);
  const struct frame f = {.type = FRAME_QUERY,
                          .request = request,
                          .deadline_ms = 600000,
                          .n = (uint32_t)out.n};
  assert_int_equal(net_send(l->conn, &f, out.data, false), NET_SENT);
  wire_out_free(&out);
}

void line_search(struct line *l, uint64_t id, uint32_t collection) {
  static const float queries[LINE_QUERIES * LINE_DIM];
  struct wire_message m = {.kind = WIRE_SEARCH, .target = {.collection = collection, .schema = 1}};
  l->collection = collection;
  m.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_VECTORS) | WIRE_HAS(WIRE_READ);
  m.search = (struct wire_search){.field = "v",
                                  .type = VECDB_FLOAT_VECTOR,
                                  .dim = LINE_DIM,
                                  .n_queries = LINE_QUERIES,
                                  .k = LINE_K,
                                  .plan = VECDB_PLAN_EXACT,
                                  .queries = queries};
  line_ask(l, id, &m);
}

int32_t line_delete(struct line *l, uint32_t collection, uint64_t schema) {
  static const int64_t key = -1;
  const uint32_t answers = l->answers;
  struct wire_message m = {.kind = WIRE_WRITE,
                           .target = {.collection = collection, .schema = schema},
                           .write = {.client = 4711, .count = 1, .kind = WIRE_DELETE},
                           .keys = {&key, NULL, 1}};
  m.has = WIRE_HAS(WIRE_TARGET) | WIRE_HAS(WIRE_OP) | WIRE_HAS(WIRE_KEYS);
  line_ask(l, 1, &m);
  while (l->answers == answers)
    line_turn(l);
  return l->code;
}

void line_cancel(struct line *l, uint64_t id) {
  const struct wire_message m = {.kind = WIRE_CANCEL};
  line_ask(l, id, &m);
}

uint32_t line_reads(struct line *l) {
  const struct wire_message m = {.kind = WIRE_STATS,
                                 .has = WIRE_HAS(WIRE_TARGET),
                                 .target = {.collection = l->collection, .schema = 1}};
  line_ask(l, LINE_STATS + ++l->stats, &m);
  while (l->told != l->stats)
    line_turn(l);
  return l->reads;
}
