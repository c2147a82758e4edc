/* conn.c - one connection: hello, frames in and out, signs of life; see conn.h. */
#include "net/conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CONN_PARTS = 32, CONN_FRAMES = 64 }; /* at a time, so that others get their turn */

void conn_fail(struct net_conn *conn, enum net_reason reason, const char *why) {
  if (conn->state == CONN_OVER)
    return;
  conn->state = CONN_OVER;
  if (conn->reason != NET_OK) /* it was ending for another one */
    return;
  conn->reason = reason;
  snprintf(conn->why, sizeof conn->why, "%s", why);
}

void conn_free(struct net_conn *conn) {
  while (conn->first) {
    struct conn_out *out = conn->first;
    conn->first = out->next;
    free(out->payload);
    free(out);
  }
  frame_reader_free(&conn->reader);
  if (conn->link)
    conn->link->ops->close(conn->link);
  free(conn);
}

/* ---- Out ---- */

/* Queues a frame whose payload is taken over. */
static bool conn_queue(struct net_conn *conn, const struct frame *frame, void *payload) {
  struct conn_out *out = calloc(1, sizeof *out);
  if (!out)
    return false;
  struct frame full = *frame;
  full.payload = payload;
  full.version = conn->version ? conn->version : conn->net->config.self.version_min;
  frame_write(&full, out->header);
  out->payload = payload;
  out->n = FRAME_HEADER + (size_t)frame->n;
  if (conn->last)
    conn->last->next = out;
  else
    conn->first = out;
  conn->last = out;
  if (!conn->queued)
    conn->moved_us = conn->net->now_us;
  conn->queued += out->n;
  return true;
}

enum net_sent net_send(struct net_conn *conn, const struct frame *frame, const void *payload,
                       bool owned) {
  if (conn->state != CONN_UP)
    return NET_GONE;
  if (frame->n > frame_limit(frame->type, true) || !frame_type_known(frame->type))
    return NET_TOO_LARGE;
  if (conn->queued && conn->queued + frame->n > conn->net->config.queue_bytes) {
    conn->full = true;
    return NET_FULL;
  }
  void *copy = owned ? (void *)payload : NULL;
  if (!owned && frame->n) {
    copy = malloc(frame->n);
    if (!copy)
      return NET_SEND_NO_MEMORY;
    memcpy(copy, payload, frame->n);
    conn->link->counts.copied_out += frame->n;
  }
  if (!conn_queue(conn, frame, copy)) {
    if (!owned)
      free(copy);
    return NET_SEND_NO_MEMORY;
  }
  return NET_SENT;
}

/* A frame of the connection's own, with a small payload. */
static void conn_say(struct net_conn *conn, enum frame_type type, uint64_t request,
                     const void *payload, size_t n) {
  const struct frame frame = {.type = (uint8_t)type, .request = request, .n = (uint32_t)n};
  void *copy = n ? malloc(n) : NULL;
  if (copy)
    memcpy(copy, payload, n);
  if ((n && !copy) || !conn_queue(conn, &frame, copy)) {
    free(copy);
    conn_fail(conn, NET_NO_MEMORY, net_reason_name(NET_NO_MEMORY));
  }
}

/* What is queued, as parts for one call. */
static int conn_parts(const struct net_conn *conn, struct iovec *parts) {
  int n = 0;
  size_t skip = conn->sent;
  for (struct conn_out *out = conn->first; out && n + 2 <= CONN_PARTS; out = out->next) {
    if (skip < FRAME_HEADER)
      parts[n++] = (struct iovec){out->header + skip, FRAME_HEADER - skip};
    size_t done = skip > FRAME_HEADER ? skip - FRAME_HEADER : 0;
    if (out->n - FRAME_HEADER > done)
      parts[n++] = (struct iovec){(char *)out->payload + done, out->n - FRAME_HEADER - done};
    skip = 0;
  }
  return n;
}

static void conn_sent(struct net_conn *conn, size_t put) {
  conn->queued -= put;
  conn->moved_us = conn->net->now_us;
  for (put += conn->sent; conn->first && put >= conn->first->n;) {
    struct conn_out *out = conn->first;
    put -= out->n;
    conn->first = out->next;
    conn->last = conn->first ? conn->last : NULL;
    conn->frames_sent++;
    free(out->payload);
    free(out);
  }
  conn->sent = put;
}

static void conn_write(struct net_conn *conn) {
  struct iovec parts[CONN_PARTS];
  conn->blocked = false;
  while (conn->first && conn->state != CONN_OVER) {
    size_t put;
    enum link_status status =
        conn->link->ops->write(conn->link, parts, conn_parts(conn, parts), &put);
    if (status == LINK_AGAIN) {
      conn->blocked = true;
      return;
    }
    if (status != LINK_OK) {
      conn_fail(conn, NET_NO_CONNECTION, *conn->link->why ? conn->link->why : "the peer is gone");
      return;
    }
    conn_sent(conn, put);
  }
  if (conn->state == CONN_ENDING)
    conn_fail(conn, NET_CLOSED, net_reason_name(NET_CLOSED));
}

/* ---- Hello ---- */

/* Says why, to both sides, and ends. */
static void conn_refuse(struct net_conn *conn, enum net_reason reason, const char *why) {
  uint8_t text[1 + HELLO_WHY];
  size_t n = strlen(why);
  text[0] = (uint8_t)reason;
  memcpy(text + 1, why, n);
  conn_say(conn, FRAME_REFUSE, 0, text, 1 + n);
  if (conn->state == CONN_OVER)
    return;
  conn->reason = reason;
  snprintf(conn->why, sizeof conn->why, "%s", why);
  conn->state = CONN_ENDING;
}

static void conn_greet(struct net_conn *conn) {
  uint8_t bytes[HELLO_BYTES];
  struct hello self = conn->net->config.self;
  self.class = (uint8_t)conn->class;
  hello_write(&self, bytes);
  conn_say(conn, FRAME_HELLO, 0, bytes, sizeof bytes);
}

static void conn_on_hello(struct net_conn *conn, const struct frame *frame) {
  char why[HELLO_WHY];
  const struct net_handler *h = &conn->net->config.handler;
  const struct hello_check check = {.own = &conn->net->config.self,
                                    .expected = conn->expected,
                                    .certified = conn->link->certified,
                                    .certificate_cluster = conn->link->cluster,
                                    .certificate_node = conn->link->node};
  uint8_t version;
  if (conn->state != CONN_HELLO || !hello_read(frame->payload, frame->n, &conn->hello)) {
    conn_fail(conn, NET_BAD_FRAME, "a hello that is none, or a second one");
    return;
  }
  enum net_reason reason = hello_judge(&conn->hello, &check, &version, why);
  if (reason == NET_OK && h->known && !h->known(h->arg, &conn->hello, conn->link->fingerprint)) {
    snprintf(why, sizeof why, "node %u with this certificate is not of this cluster",
             conn->hello.node);
    reason = NET_REFUSED_NODE;
  }
  if (reason != NET_OK) {
    conn_refuse(conn, reason, why);
    return;
  }
  conn->version = version;
  if (!conn->expected)
    conn->class = (enum net_class)conn->hello.class;
  conn->reader.known = true;
  conn->state = CONN_UP;
  if (h->up)
    h->up(h->arg, conn, &conn->hello);
}

static void conn_on_refuse(struct net_conn *conn, const struct frame *frame) {
  char why[HELLO_WHY] = "";
  const uint8_t *in = frame->payload;
  size_t n = frame->n ? frame->n - 1 : 0;
  bool sane = frame->n && in[0] >= NET_REFUSED_VERSION && in[0] <= NET_REFUSED_BUSY;
  n = n < sizeof why ? n : sizeof why - 1;
  for (size_t i = 0; i < n; i++)
    why[i] = (char)(in[1 + i] >= ' ' && in[1 + i] < 127 ? in[1 + i] : '?');
  conn_fail(conn, sane ? (enum net_reason)in[0] : NET_BAD_FRAME, why);
}

/* ---- In ---- */

static void conn_on_frame(struct net_conn *conn, struct frame *frame) {
  const struct net_handler *h = &conn->net->config.handler;
  conn->frames_received++;
  switch (frame->type) {
    case FRAME_HELLO:
      conn_on_hello(conn, frame);
      break;
    case FRAME_REFUSE:
      conn_on_refuse(conn, frame);
      break;
    case FRAME_PING:
      conn_say(conn, FRAME_PONG, frame->request, NULL, 0);
      break;
    case FRAME_PONG:
      if (conn->pinged_us && frame->request == (uint64_t)conn->pinged_us)
        conn->round_trip_us = conn->net->now_us - conn->pinged_us;
      conn->pinged_us = 0;
      break;
    default:
      if (conn->state == CONN_UP && h->frame)
        h->frame(h->arg, conn, frame);
      break;
  }
  free(frame->payload);
}

/* Whether more may come at once. */
static bool conn_read_some(struct net_conn *conn) {
  struct frame frame;
  size_t n, got;
  void *space = frame_reader_space(&conn->reader, &n);
  enum link_status status = conn->link->ops->read(conn->link, space, n, &got);
  if (status == LINK_AGAIN)
    return false;
  if (status != LINK_OK) {
    enum net_reason reason = status == LINK_ERROR && conn->net->tls && conn->state == CONN_HELLO
                                 ? NET_BAD_TLS /* it refused this side's certificate */
                                 : NET_NO_CONNECTION;
    conn_fail(conn, reason, *conn->link->why ? conn->link->why : "the peer is gone");
    return false;
  }
  conn->heard_us = conn->net->now_us;
  enum frame_status whole = frame_reader_got(&conn->reader, got, &frame);
  if (whole == FRAME_WHOLE)
    conn_on_frame(conn, &frame);
  else if (whole == FRAME_TOO_NEW || whole == FRAME_TOO_OLD)
    conn_refuse(conn, NET_REFUSED_VERSION, frame_status_name(whole));
  else if (whole != FRAME_MORE)
    conn_fail(conn, whole == FRAME_NO_MEMORY ? NET_NO_MEMORY : NET_BAD_FRAME,
              frame_status_name(whole));
  return true;
}

static bool conn_reads(const struct net_conn *conn) {
  return (conn->state == CONN_HELLO || conn->state == CONN_UP) && !conn->held;
}

static void conn_read(struct net_conn *conn) {
  uint64_t until = conn->frames_received + CONN_FRAMES;
  while (conn_reads(conn) && conn->frames_received < until && conn_read_some(conn))
    ;
}

/* ---- Steps ---- */

static void conn_dialed(struct net_conn *conn) {
  int error = 0;
  socklen_t n = sizeof error;
  if (getsockopt(conn->link->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error) {
    conn_fail(conn, NET_NO_CONNECTION, strerror(error));
    return;
  }
  struct sockaddr_storage peer;
  socklen_t size = sizeof peer;
  if (getpeername(conn->link->fd, (struct sockaddr *)&peer, &size) == 0)
    conn->state = CONN_SHAKING;
}

static void conn_shake(struct net_conn *conn) {
  enum link_status status = conn->link->ops->shake(conn->link);
  if (status == LINK_AGAIN)
    return;
  if (status == LINK_OK) {
    conn->state = CONN_HELLO;
    conn_greet(conn);
  } else {
    conn_fail(conn, status == LINK_END ? NET_NO_CONNECTION : NET_BAD_TLS,
              *conn->link->why ? conn->link->why : "the peer hung up during the handshake");
  }
}

void conn_run(struct net_conn *conn, bool readable) {
  const struct net_handler *h = &conn->net->config.handler;
  if (conn->state == CONN_DIALING)
    conn_dialed(conn);
  if (conn->state == CONN_SHAKING)
    conn_shake(conn);
  if (readable || (conn->state == CONN_HELLO && !conn->hello.node))
    conn_read(conn);
  if (conn->state == CONN_HELLO || conn->state == CONN_UP || conn->state == CONN_ENDING)
    conn_write(conn);
  if (conn->state == CONN_UP && conn->full && conn->queued <= conn->net->config.queue_bytes / 2) {
    conn->full = false;
    if (h->room)
      h->room(h->arg, conn);
  }
}

void conn_tick(struct net_conn *conn) {
  const struct net_config *c = &conn->net->config;
  int64_t now = conn->net->now_us;
  bool up = conn->state == CONN_UP;
  if (conn->state == CONN_ENDING && now >= conn->began_us + c->hello_us)
    conn_fail(conn, NET_SLOW, "the rest could not be sent");
  else if (!up && now >= conn->began_us + c->hello_us)
    conn_fail(conn, conn->state == CONN_DIALING ? NET_NO_CONNECTION : NET_SILENT,
              "no hello within the time for it");
  else if (conn->queued && now >= conn->moved_us + c->stall_us)
    conn_fail(conn, NET_SLOW, "the peer takes nothing of what is sent");
  else if (up && !conn->held && now >= conn->heard_us + c->dead_us)
    conn_fail(conn, NET_SILENT, "the peer gives no sign of life");
  else if (up && !conn->held && !conn->pinged_us && now >= conn->heard_us + c->ping_us) {
    conn->pinged_us = now;
    conn_say(conn, FRAME_PING, (uint64_t)now, NULL, 0);
  }
}

int64_t conn_due(const struct net_conn *conn) {
  const struct net_config *c = &conn->net->config;
  int64_t due = INT64_MAX, at;
  if (conn->state == CONN_OVER || (conn->first && !conn->blocked))
    return conn->net->now_us;
  if (conn->state != CONN_UP)
    due = conn->began_us + c->hello_us;
  else if (!conn->held)
    due = conn->heard_us + (conn->pinged_us ? c->dead_us : c->ping_us);
  at = conn->queued ? conn->moved_us + c->stall_us : INT64_MAX;
  due = at < due ? at : due;
  bool waits = conn_reads(conn) && conn->link->ops->holds(conn->link);
  return waits ? conn->net->now_us : due;
}

void net_hold(struct net_conn *conn, bool hold) {
  conn->held = hold;
  conn->heard_us = conn->net->now_us;
}

void net_end(struct net_conn *conn, bool flush) {
  if (flush && conn->state == CONN_UP && conn->first) {
    conn->began_us = conn->net->now_us; /* hello_us to get rid of it */
    conn->state = CONN_ENDING;
    return;
  }
  conn_fail(conn, NET_CLOSED, net_reason_name(NET_CLOSED));
}

struct net_stats net_stats(const struct net_conn *conn) {
  return (struct net_stats){.version = conn->version,
                            .node = conn->hello.node,
                            .class = conn->class,
                            .queued = conn->queued,
                            .round_trip_us = conn->round_trip_us,
                            .frames_sent = conn->frames_sent,
                            .frames_received = conn->frames_received,
                            .bytes = conn->link->counts};
}

void net_set_user(struct net_conn *conn, void *user) { conn->user = user; }
void *net_user(const struct net_conn *conn) { return conn->user; }
