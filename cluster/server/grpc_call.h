/*
 * grpc_call.h - calls on a gRPC connection, as nghttp2 tells of them. All functions are called with
 * the mutex held, but for a call's run, which is a worker's.
 */
#ifndef SRV_GRPC_CALL_H
#define SRV_GRPC_CALL_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>

#include "server/deadlines.h"
#include "server/server.h"
#include "server/stream.h"

struct grpc_call;

/* What connections and their calls have in common. */
struct grpc_peer {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  pthread_mutex_t mutex; /* of all connections, their sessions and calls */
};

struct grpc_conn {
  struct grpc_peer *peer;   /* this and what the source calls never change */
  struct srv_source source;
  struct grpc_conn *next;
  nghttp2_session *session; /* NULL: the connection has ended */
  struct srv_stream stream;
  struct srv_deadline deadline;
  uint8_t *pending; /* of nghttp2's output, with n_pending bytes in it, of which some are sent */
  size_t room, n_pending, sent;
  bool writing; /* watched until the client takes more, too */
  bool timed;    /* a deadline runs */
  bool ended;    /* a call has ended since the deadline was looked at */
  int32_t timing; /* the stream of the call that the deadline is for; 0: for none in particular */
  unsigned receiving;   /* calls that have not come whole */
  unsigned unread;      /* calls whose answers nghttp2 has, and the client does not have whole */
  uint64_t buffered;    /* bytes of their messages, and of those being answered */
  struct grpc_call *calls;
};

void srv_grpc_callbacks(nghttp2_session_callbacks *callbacks);
/* In grpc.c: a worker has given nghttp2 an answer, which is to be written. */
void srv_grpc_answered(struct grpc_conn *conn);
/* The stream of the oldest call of which the client owes the rest, or the reading of the answer; 0:
   there is none. */
int32_t srv_grpc_owed(const struct grpc_conn *conn);
/* The connection ends: its calls are freed, or left to their workers. */
void srv_grpc_forget(struct grpc_conn *conn);

#endif
