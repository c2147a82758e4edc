/*
 * grpc.h - gRPC by nghttp2: one listening address, its connections, and the way of a call: headers
 * -> method and limits -> one message -> a worker -> one message and the status. Unary calls, no
 * compression, no TLS.
 */
#ifndef SRV_GRPC_H
#define SRV_GRPC_H

#include "server/server.h"

/* Listens as srv_listen does. NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_grpc *srv_grpc_start(struct srv_server *server, const char *address, char *error);
unsigned srv_grpc_port(const struct srv_grpc *grpc);
/* Takes no new connections and tells the present ones to send no new calls. */
void srv_grpc_quiesce(struct srv_grpc *grpc);
/* Ends the rest; no worker may have a call of it. NULL is fine. */
void srv_grpc_stop(struct srv_grpc *grpc);

#endif
