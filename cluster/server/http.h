/*
 * http.h - HTTP/1.1 by libmicrohttpd: one listening address, its connections, and the way of a
 * request: headers -> route and limits -> body -> a worker -> answer.
 */
#ifndef SRV_HTTP_H
#define SRV_HTTP_H

#include "server/server.h"

/* Listens on "host:port", "[v6]:port" or ":port" (all addresses). NULL with a sentence in `error`
   (SRV_CONFIG_ERROR bytes). */
struct srv_http *srv_http_start(struct srv_server *server, const char *address, char *error);
unsigned srv_http_port(const struct srv_http *http);
/* Takes no new connections from here on. */
void srv_http_quiesce(struct srv_http *http);
/* Ends the rest; no request may be in flight. */
void srv_http_stop(struct srv_http *http);

#endif
