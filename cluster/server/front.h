/*
 * front.h - the addresses that a server listens on. Accepts for all of them, sees from a
 * connection's first bytes what it speaks, and hands it to http.h or grpc.h; where TLS is spoken,
 * handshake.h does that. A client that says nothing keeps nobody waiting, and is cut off after
 * request_seconds.
 */
#ifndef SRV_FRONT_H
#define SRV_FRONT_H

#include "server/server.h"

struct srv_front;

/* Who is served at an address. */
enum srv_front_kind {
  SRV_FRONT_ALL,    /* server.listen: HTTP/1.1 and gRPC */
  SRV_FRONT_MILVUS, /* server.milvus: gRPC, which is not waited to be told */
  SRV_FRONT_KINDS
};

/* Listens on the addresses of the settings; server->http and server->grpc must be there. NULL with
   a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_front *srv_front_start(struct srv_server *server, char *error);
/* The port of the i-th address of a kind; 0: there are not so many. */
unsigned srv_front_port(const struct srv_front *front, enum srv_front_kind kind, unsigned i);
/* Takes no new connections from here on; those that have come are still handed over. */
void srv_front_quiesce(struct srv_front *front);
/* Closes what has not been handed over; the pool has stopped. NULL is fine. */
void srv_front_stop(struct srv_front *front);

#endif
