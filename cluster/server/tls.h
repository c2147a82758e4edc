/*
 * tls.h - the server's certificates and keys, and what of TLS is spoken: 1.3, or 1.2 with forward
 * secrecy and authenticated encryption; and, with server.tls_client_ca, whose certificate a client
 * must show. Of several certificates a client gets the one with the name for which it asks, else
 * the first. The files are read again when they change, seen by the next connection within a
 * second, and on SIGHUP; a connection keeps the certificate that it began with.
 */
#ifndef SRV_TLS_H
#define SRV_TLS_H

#include <openssl/types.h>
#include <stdbool.h>

struct srv_server;
struct srv_tls;

/* Whether the settings name a certificate, or want clients to have one. */
bool srv_tls_is_wanted(const struct srv_server *server);
/* Reads the files that the settings name. NULL with a sentence in `error` (SRV_CONFIG_ERROR
   bytes). */
struct srv_tls *srv_tls_start(struct srv_server *server, char *error);
/* Connections may outlive it. NULL is fine. */
void srv_tls_stop(struct srv_tls *tls);
/* Reads the files again. False with a sentence: then everything is as it was. Any thread. */
bool srv_tls_reload(struct srv_tls *tls, char *error);
/* The server's side of a new connection, with the certificate of now; NULL: out of memory. Any
   thread. */
SSL *srv_tls_open(struct srv_tls *tls);

#endif
