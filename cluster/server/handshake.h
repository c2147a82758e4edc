/*
 * handshake.h - connections between their acceptance and the end of TLS's handshake, and, where
 * that does not tell the protocol, their first bytes; then http.h or grpc.h have them. Each is a
 * source of its own, so that handshakes go on beside one another. Who is not done after
 * request_seconds is cut off.
 */
#ifndef SRV_HANDSHAKE_H
#define SRV_HANDSHAKE_H

#include "server/server.h"
#include "server/stream.h"

struct srv_handshakes;

/* NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_handshakes *srv_handshakes_start(struct srv_server *server, char *error);
/* Takes over a connection that speaks no TLS yet; closes it when there are too many. Where gRPC
   alone is served, nothing else is asked for. Any thread. */
void srv_handshakes_adopt(struct srv_handshakes *handshakes, const struct srv_stream *stream,
                          bool grpc);
/* Closes those that are not done; the pool has stopped. NULL is fine. */
void srv_handshakes_stop(struct srv_handshakes *handshakes);

#endif
