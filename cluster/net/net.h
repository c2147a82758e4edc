/*
 * net.h - connections between nodes: who is at the other end is settled before anything else, then
 * frames go both ways. One thread and one epoll descriptor; driven as a metadata store is, by
 * net_run with the present time.
 *
 * Back-pressure is in bytes: net_send refuses what would make a connection's queue larger than its
 * limit, and net_hold makes the other side's queue grow instead of this side's memory. A peer that
 * takes nothing for a while is cut off.
 */
#ifndef CLUSTER_NET_NET_H
#define CLUSTER_NET_NET_H

#include "net/link.h"

struct net;
struct net_conn;

enum net_sent { NET_SENT, NET_FULL, NET_GONE, NET_TOO_LARGE, NET_SEND_NO_MEMORY };

struct net_handler {
  /* The cluster knows this node with this certificate (SHA-256 in hex; "" without TLS), and `store`
     and incarnation may be looked at. False: it is refused. */
  bool (*known)(void *arg, const struct hello *hello, const char *fingerprint);
  /* Both sides said hello. */
  void (*up)(void *arg, struct net_conn *conn, const struct hello *hello);
  /* The payload is freed after the call, unless frame->payload was set to NULL: taken over. */
  void (*frame)(void *arg, struct net_conn *conn, struct frame *frame);
  /* The queue is below half of its limit again after net_send said NET_FULL. */
  void (*room)(void *arg, struct net_conn *conn);
  /* The last call for this connection, which is gone after it; also for one that never was up. */
  void (*down)(void *arg, struct net_conn *conn, enum net_reason reason, const char *why);
  void *arg;
};

struct net_config {
  struct hello self;
  const char *ca_file; /* PEM; NULL: no TLS, which is for development on loopback alone */
  const char *cert_file;
  const char *key_file;
  struct net_handler handler;
  size_t queue_bytes;   /* of a connection; 0: 64 MiB */
  uint32_t connections; /* at most; 0: 1,024 */
  int64_t hello_us;     /* time to connect and say hello; 0: 3 s */
  int64_t ping_us;      /* a silent connection is pinged; 0: 200 ms */
  int64_t dead_us;      /* a connection without a sign of life ends; 0: 1 s */
  int64_t stall_us;     /* a queue that does not move ends its connection; 0: 30 s */
};

/* NULL with the reason in `why` (HELLO_WHY bytes). */
struct net *net_open(const struct net_config *config, char *why);
/* Ends every connection: `down` is called for each. */
void net_close(struct net *net);
/* Begins to take connections at "address:port"; port 0 picks one, and `port` (may be NULL) tells.
 */
bool net_listen(struct net *net, const char *address, int *port, char *why);
/* Begins to connect to a node; what comes of it is told by `up` or `down`. The address is numeric.
   NULL with the reason: it cannot even begin. */
struct net_conn *net_connect(struct net *net, uint32_t node, const char *address,
                             enum net_class class, char *why);

int net_fd(const struct net *net);
int64_t net_due(const struct net *net);
void net_run(struct net *net, int64_t now_us);

/* Queues a frame (version and payload are filled in here). The payload is copied; or with `owned`
   taken over when NET_SENT, from frame_alloc or malloc. */
enum net_sent net_send(struct net_conn *conn, const struct frame *frame, const void *payload,
                       bool owned);
/* Nothing is read any more, until it is released. Pings are not answered meanwhile, so hold only
   for as long as the other side's patience (dead_us does not count against a held one here). */
void net_hold(struct net_conn *conn, bool hold);
/* Ends the connection, after what is queued was sent or at once. `down` tells when. */
void net_end(struct net_conn *conn, bool flush);

struct net_stats {
  uint8_t version;
  uint32_t node;
  enum net_class class;
  size_t queued;         /* bytes */
  int64_t round_trip_us; /* of the last ping; 0: none yet */
  uint64_t frames_sent;
  uint64_t frames_received;
  struct link_counts bytes; /* copies into the queue are counted in copied_out */
};
struct net_stats net_stats(const struct net_conn *conn);
/* For the owner's own use. */
void net_set_user(struct net_conn *conn, void *user);
void *net_user(const struct net_conn *conn);

#endif
