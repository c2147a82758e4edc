/*
 * http_conn.h - one connection of HTTP/1.1: reads, has http_parser take the bytes apart, and writes
 * the answers. It belongs to one thread at a time, and needs no lock: the one that looks at it, the
 * one that runs its request, or, while it is watched, none.
 */
#ifndef SRV_HTTP_CONN_H
#define SRV_HTTP_CONN_H

#include <http_parser.h>
#include <pthread.h>

#include "server/deadlines.h"
#include "server/http_answer.h"
#include "server/http_chunks.h"
#include "server/http_head.h"
#include "server/routes.h"
#include "server/server.h"
#include "server/stream.h"

struct http_conn;

/* What the connections have in common. */
struct srv_http {
  struct srv_server *server;
  struct srv_deadlines *deadlines;
  pthread_mutex_t mutex; /* of the list */
  struct http_conn *conns;
  uint64_t n_conns;
};

/* The request that is being read or answered. It is decided once call.status is set. */
struct http_request {
  struct srv_call call; /* first: its headers are found by it */
  struct http_head head;
  struct http_framing framing;
  struct http_chunks chunks; /* of the body, if it has such */
  const char *method;
  unsigned major, minor; /* of HTTP */
  size_t capacity;       /* of call.body */
  bool in_flight;        /* counted by the server: its headers have come */
  bool overloaded;       /* they came while the queue was full: the body is not kept */
  char allow[SRV_ALLOW];
};

enum http_state { HTTP_READING, HTTP_WRITING, HTTP_ENDING, HTTP_LINGERING };

struct http_conn {
  struct http_request request;
  struct srv_http *http;
  struct http_conn *next, *prev;
  struct srv_stream stream;
  struct srv_source source;
  struct srv_deadline deadline;
  enum http_state state;
  http_parser parser;
  bool headed;  /* the headers have come whole */
  bool expects; /* the client waits to be told that it may send the body */
  bool last;    /* the connection is closed after the answer */
  char *kept;   /* bytes that came after the end of the request, from kept_at to n_kept */
  size_t kept_at, n_kept;
  struct http_answer answer;
};

/* Takes over a connection, or closes it when there are too many. */
void srv_http_conn_open(struct srv_http *http, const struct srv_stream *stream);
/* The request is decided: writes the answer and goes on. The connection is the caller's no more. */
void srv_http_conn_answer(struct http_conn *conn);
void srv_http_conn_close(struct http_conn *conn);

/* In http.c, for what a connection reads. The headers have come; false after deciding. */
bool srv_http_headers(struct http_conn *conn);
/* A part of the body; false after deciding. */
bool srv_http_body(struct http_conn *conn, const char *data, size_t n);
/* All of it. True: it is decided; false: it is a worker's now, and so is the connection. */
bool srv_http_whole(struct http_conn *conn);
/* It is answered, or will never be: gives back what it holds, ready for the next one. */
void srv_http_forget(struct http_conn *conn);

#endif
