/*
 * wire.c - frames between two nodes on loopback, in one thread: round trips, throughput, and how
 * often each byte is copied. Usage: wire [MIB], how much is sent for each size.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/cert.h"
#include "net/net.h"

static const struct doc_uuid wire_cluster = {{1}};

struct wire_side {
  struct net *net;
  struct net_conn *conn;
  uint64_t frames;
  bool echoes;
};

static void wire_up(void *arg, struct net_conn *conn, const struct hello *hello) {
  (void)hello;
  ((struct wire_side *)arg)->conn = conn;
}

static void wire_frame(void *arg, struct net_conn *conn, struct frame *frame) {
  struct wire_side *side = arg;
  side->frames++;
  if (side->echoes && net_send(conn, frame, frame->payload, true) == NET_SENT)
    frame->payload = NULL;
}

static void wire_down(void *arg, struct net_conn *conn, enum net_reason reason, const char *why) {
  (void)arg;
  (void)conn;
  if (reason == NET_CLOSED || reason == NET_NO_CONNECTION)
    return;
  fprintf(stderr, "wire: %s: %s\n", net_reason_name(reason), why);
  exit(1);
}

static int64_t wire_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void wire_turn(struct wire_side *a, struct wire_side *b) {
  net_run(a->net, wire_now());
  net_run(b->net, wire_now());
}

static void wire_must(bool ok, const char *why) {
  if (ok)
    return;
  fprintf(stderr, "wire: %s\n", why);
  exit(1);
}

static void wire_open(struct wire_side *a, struct wire_side *b, const struct cert_files files[2]) {
  char why[HELLO_WHY] = "", address[32];
  int port = 0;
  struct wire_side *sides[] = {a, b};
  for (uint32_t i = 0; i < 2; i++) {
    struct net_config config = {.self = {.cluster = wire_cluster, .node = i + 1},
                                .handler = {NULL, wire_up, wire_frame, NULL, wire_down, sides[i]}};
    if (files) {
      config.ca_file = files[i].ca_cert;
      config.cert_file = files[i].cert;
      config.key_file = files[i].key;
    }
    memset(sides[i], 0, sizeof *a);
    sides[i]->net = net_open(&config, why);
    wire_must(sides[i]->net, why);
    net_run(sides[i]->net, wire_now());
  }
  wire_must(net_listen(b->net, "127.0.0.1:0", &port, why), why);
  snprintf(address, sizeof address, "127.0.0.1:%d", port);
  wire_must(net_connect(a->net, 2, address, NET_APPEND, why), why);
  while (!a->conn || !b->conn)
    wire_turn(a, b);
}

/* One frame there and back, many times. */
static double wire_round_trip(struct wire_side *a, struct wire_side *b, const void *data,
                              uint32_t n) {
  const struct frame frame = {.type = FRAME_APPEND, .n = n};
  uint64_t before = a->frames, trips = 2000;
  b->echoes = true;
  int64_t start = wire_now();
  for (uint64_t i = 1; i <= trips; i++) {
    net_send(a->conn, &frame, data, false);
    while (a->frames < before + i)
      wire_turn(a, b);
  }
  b->echoes = false;
  return (double)(wire_now() - start) / (double)trips;
}

/* As much as fits into the queue, one way. */
static void wire_stream(struct wire_side *a, struct wire_side *b, const void *data, uint32_t n,
                        uint64_t bytes) {
  const struct frame frame = {.type = FRAME_BULK, .n = n};
  uint64_t frames = bytes / n + 1, sent = 0, before = b->frames;
  struct link_counts out = net_stats(a->conn).bytes, in = net_stats(b->conn).bytes;
  int64_t start = wire_now();
  while (b->frames - before < frames) {
    while (sent < frames && net_stats(a->conn).queued < 4 << 20 &&
           net_send(a->conn, &frame, data, false) == NET_SENT)
      sent++;
    wire_turn(a, b);
  }
  double seconds = (double)(wire_now() - start) / 1e6, total = (double)frames * n;
  struct link_counts out2 = net_stats(a->conn).bytes, in2 = net_stats(b->conn).bytes;
  printf(" %9.0f %8.2f %8.2f %8.2f %8.2f\n", total / seconds / 1e6,
         (double)(out2.copied_out - out.copied_out) / total,
         (double)(out2.crossed_out - out.crossed_out) / total,
         (double)(in2.crossed_in - in.crossed_in) / total,
         (double)(in2.copied_in - in.copied_in) / total);
}

static void wire_measure(const char *name, const struct cert_files *files, uint64_t bytes) {
  static const uint32_t sizes[] = {256, 4096, 65536, 1 << 20, 4 << 20};
  struct wire_side a, b;
  void *data = calloc(1, 4 << 20);
  wire_must(data, "out of memory");
  wire_open(&a, &b, files);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    printf("%-6s %9u", name, sizes[i]);
    if (sizes[i] <= 65536)
      printf(" %9.1f", wire_round_trip(&a, &b, data, sizes[i]));
    else
      printf(" %9s", "-");
    wire_stream(&a, &b, data, sizes[i], bytes);
  }
  net_close(a.net);
  net_close(b.net);
  free(data);
}

int main(int argc, char **argv) {
  static char paths[6][128], folder[] = "/tmp/vecdb-wire-XXXXXX";
  static const char *const names[] = {"ca.pem", "ca.key", "1.pem", "1.key", "2.pem", "2.key"};
  uint64_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 256) << 20;
  char why[HELLO_WHY] = "";
  signal(SIGPIPE, SIG_IGN);
  wire_must(mkdtemp(folder), "no folder for certificates");
  for (size_t i = 0; i < 6; i++)
    snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
  const struct cert_files files[] = {{paths[0], paths[1], paths[2], paths[3], NULL},
                                     {paths[0], paths[1], paths[4], paths[5], NULL}};
  wire_must(cert_authority(&files[0], 1, why) && cert_node(&files[0], wire_cluster, 1, 1, why) &&
                cert_node(&files[1], wire_cluster, 2, 1, why), why);
  printf("%-6s %9s %9s %9s  copies of each byte: %s\n%-6s %9s %9s %9s %8s %8s %8s %8s\n", "link",
         "bytes", "trip", "one way", "sender | kernel in | kernel out | receiver", "", "", "us",
         "MB/s", "sender", "in", "out", "receiver");
  wire_measure("tcp", NULL, bytes);
  wire_measure("tls", files, bytes);
  for (size_t i = 0; i < 6; i++)
    unlink(paths[i]);
  rmdir(folder);
  return 0;
}
