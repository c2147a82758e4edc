/*
 * http_loop.h - the connections of one libmicrohttpd daemon. Whoever has something to do with them
 * takes its mutex and does it there and then: the loop's own thread when a socket is ready, a
 * worker that has an answer, the thread that brings connections. So an answer leaves without waking
 * another thread first.
 */
#ifndef SRV_HTTP_LOOP_H
#define SRV_HTTP_LOOP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>

struct srv_http;

struct http_loop {
  struct srv_http *http;
  struct MHD_Daemon *daemon; /* with an epoll set, and no thread of its own */
  pthread_mutex_t mutex;     /* of the daemon and all its connections; its callbacks have it */
  pthread_t thread;
  int wake; /* an eventfd */
  _Atomic bool stopping;
};

/* Begins to serve the daemon; false when the system refuses: then the daemon is still the
   caller's. */
bool srv_http_loop_start(struct http_loop *loop, struct MHD_Daemon *daemon);
/* Ends the thread, then the daemon. */
void srv_http_loop_stop(struct http_loop *loop);
/* Adds a connection, or closes the socket. */
void srv_http_loop_add(struct http_loop *loop, int fd, const struct sockaddr *peer, socklen_t n);
/* Wakes a suspended connection and lets it go on. */
void srv_http_loop_resume(struct http_loop *loop, struct MHD_Connection *connection);

#endif
