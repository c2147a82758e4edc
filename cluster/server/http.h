/*
 * http.h - HTTP/1.1: its connections, and the way of a request: headers -> route and limits -> body
 * -> a worker -> answer.
 */
#ifndef SRV_HTTP_H
#define SRV_HTTP_H

#include "server/server.h"
#include "server/stream.h"

/* NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_http *srv_http_start(struct srv_server *server, char *error);
/* Takes over a connection; closes it when there are too many. Any thread. */
void srv_http_adopt(struct srv_http *http, const struct srv_stream *stream);
/* No request may be in flight, and no connection may come. NULL is fine. */
void srv_http_stop(struct srv_http *http);

#endif
