/*
 * grpc.h - gRPC by nghttp2: its connections, and the way of a call: headers -> method and limits ->
 * one message -> a worker -> one message and the status. Unary calls, no compression.
 */
#ifndef SRV_GRPC_H
#define SRV_GRPC_H

#include "server/server.h"
#include "server/stream.h"

/* NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_grpc *srv_grpc_start(struct srv_server *server, char *error);
/* Takes over a connection; closes it when there are too many. Any thread. */
void srv_grpc_adopt(struct srv_grpc *grpc, const struct srv_stream *stream);
/* Tells the present connections to send no new calls, and closes those that come. */
void srv_grpc_quiesce(struct srv_grpc *grpc);
/* Ends the rest; no worker may have a call of it, and no connection may come. NULL is fine. */
void srv_grpc_stop(struct srv_grpc *grpc);

#endif
