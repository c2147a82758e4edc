/*
 * grpc_call.h - calls on a gRPC connection, as nghttp2 tells of them. All functions are called by
 * the address's network thread; only a call's run is a worker's.
 */
#ifndef SRV_GRPC_CALL_H
#define SRV_GRPC_CALL_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>

#include "server/deadlines.h"
#include "server/server.h"

struct grpc_call;

/* What calls need of their address. */
struct grpc_peer {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  int wake; /* an eventfd: a worker has answered */
  pthread_mutex_t mutex;
  struct grpc_call *answered; /* under the mutex */
};

struct grpc_conn {
  struct grpc_conn *next;
  struct grpc_peer *peer;
  nghttp2_session *session;
  int fd;
  const uint8_t *pending; /* of nghttp2's output, not written yet */
  size_t n_pending;
  bool writing;  /* waits until the socket takes more */
  bool answered; /* has output since the last flush */
  bool timed;    /* a deadline runs */
  bool ended;    /* a call has ended since the deadline was looked at */
  unsigned receiving;   /* calls that have not come whole */
  uint64_t buffered;    /* bytes of their messages, and of those being answered */
  struct grpc_call *calls;
};

void srv_grpc_callbacks(nghttp2_session_callbacks *callbacks);
/* Hands the answers of workers to nghttp2 and marks their connections. */
void srv_grpc_collect(struct grpc_peer *peer);
/* The connection ends: its calls are freed, or left to their workers. */
void srv_grpc_forget(struct grpc_conn *conn);

#endif
