/*
 * http_loop.h - the connections of one libmicrohttpd daemon. Whoever has something to do with them
 * takes its mutex and does it there and then: a thread of the pool when a socket is ready, one that
 * has an answer, one that brings connections. So an answer leaves without waking another thread
 * first.
 */
#ifndef SRV_HTTP_LOOP_H
#define SRV_HTTP_LOOP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "server/pool.h"

struct srv_http;

struct http_loop {
  struct srv_http *http;
  struct srv_pool *pool;
  struct MHD_Daemon *daemon; /* with an epoll set, and no thread of its own */
  pthread_mutex_t mutex;     /* of the daemon and all its connections; its callbacks have it */
  struct srv_source sockets;
  struct srv_source bell; /* a timer: rings each second, and when it is asked to */
};

/* Begins to serve the daemon; false when the system refuses: then the daemon is still the
   caller's. */
bool srv_http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon, struct srv_pool *pool);
/* Ends the daemon; the pool has stopped. */
void srv_http_loop_stop(struct http_loop *loop);
/* Adds a connection, or closes the socket. */
void srv_http_loop_add(struct http_loop *loop, int fd, const struct sockaddr *peer, socklen_t n);
/* Wakes a suspended connection and lets it go on. */
void srv_http_loop_resume(struct http_loop *loop, struct MHD_Connection *connection);

#endif
