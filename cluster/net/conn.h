/* conn.h - one connection: its queue, its reader, how far it is. For net.c and conn.c. */
#ifndef CLUSTER_NET_CONN_H
#define CLUSTER_NET_CONN_H

#include "net/net.h"

enum conn_state {
  CONN_DIALING, /* the socket is being connected */
  CONN_SHAKING, /* the link is being agreed upon */
  CONN_HELLO,   /* the peer's hello is awaited */
  CONN_UP,
  CONN_ENDING, /* what is queued is sent, then it ends */
  CONN_OVER    /* net.c tells the owner and frees it */
};

/* A frame that waits to be sent. */
struct conn_out {
  struct conn_out *next;
  uint8_t header[FRAME_HEADER];
  void *payload; /* owned */
  size_t n;
};

struct net_conn {
  struct net_conn *next;
  struct net *net;
  struct link *link; /* NULL: it could not be made */
  enum conn_state state;
  enum net_class class;
  uint32_t expected; /* node that was called; 0: it called */
  bool held;
  bool full;          /* net_send said so, and `room` is owed */
  bool blocked;       /* waits until it can write */
  struct hello hello; /* theirs */
  uint8_t version;
  struct frame_reader reader;
  struct conn_out *first;
  struct conn_out *last;
  size_t sent; /* of the first's header and payload */
  size_t queued;
  int64_t began_us;
  int64_t heard_us;
  int64_t moved_us; /* when the queue last moved or was empty */
  int64_t pinged_us;
  int64_t round_trip_us;
  uint64_t frames_sent;
  uint64_t frames_received;
  uint32_t events; /* that epoll waits for */
  enum net_reason reason;
  char why[HELLO_WHY];
  void *user;
};

struct net {
  struct net_config config;
  struct link_tls *tls;
  struct net_conn *conns;
  uint32_t n_conns;
  int epoll;
  int listener;
  int64_t now_us;
};

/* Everything that can be done now without waiting. */
void conn_run(struct net_conn *conn, bool readable);
/* What time has to say: too late, silent, stalled, due for a ping. */
void conn_tick(struct net_conn *conn);
int64_t conn_due(const struct net_conn *conn);
/* It is over, for this reason, unless it was already. */
void conn_fail(struct net_conn *conn, enum net_reason reason, const char *why);
void conn_free(struct net_conn *conn);

#endif
