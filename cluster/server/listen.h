/*
 * listen.h - sockets that listen, for every protocol.
 */
#ifndef SRV_LISTEN_H
#define SRV_LISTEN_H

/* Listens on "host:port", "[v6]:port" or ":port" (all addresses), without blocking. -1 with a
   sentence in `error` (SRV_CONFIG_ERROR bytes). */
int srv_listen(const char *address, char *error);
/* The port that a socket is bound to; 0: unknown. */
unsigned srv_listen_port(int fd);

#endif
