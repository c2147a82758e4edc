/*
 * server.h - a running server: an engine, which has the collections, listeners and the threads that
 * answer.
 */
#ifndef SRV_SERVER_H
#define SRV_SERVER_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "server/config.h"
#include "server/pool.h"
#include "vecdb.h"

struct srv_audit;
struct srv_auth;
struct srv_crowd;
struct srv_embed;
struct srv_front;
struct srv_gpus;
struct srv_grpc;
struct srv_guard;
struct srv_http;
struct srv_metrics;
struct srv_milvus_state;
struct srv_tls;

struct srv_server {
  struct srv_config config;
  struct engine *engine; /* has the collections */
  struct srv_auth *auth; /* who may do what */
  struct srv_guard *guard; /* of rows */
  struct srv_tls *tls;     /* NULL: nobody speaks it */
  struct srv_crowd *crowd; /* of connections */
  struct srv_pool *pool;
  struct srv_embed *embed;         /* NULL: no embedding service is configured */
  struct srv_milvus_state *milvus; /* what the Milvus dialect keeps */
  struct srv_http *http;
  struct srv_grpc *grpc;
  struct srv_front *front; /* listens, for both */
  struct srv_metrics *metrics;
  struct srv_gpus *gpus;   /* for metrics; NULL: there are none */
  struct srv_audit *audit; /* NULL: none is kept */
  _Atomic bool draining;      /* stopping: /readyz says so and connections are not kept */
  _Atomic unsigned in_flight; /* requests between arrival and answer */
  void (*log)(int level, const char *line); /* whole lines; a vecdb_log_level; any thread */
};

/* Opens the engine and listens; what it returns serves until srv_server_stop. With TLS, the
   process must ignore SIGPIPE. NULL with a sentence in error (SRV_CONFIG_ERROR bytes). */
struct srv_server *srv_server_start(const struct srv_config *config,
                                    void (*log)(int level, const char *line), char *error);
/* The port of the i-th address for all protocols; 0: there are not so many. */
unsigned srv_server_port(const struct srv_server *server, unsigned i);
/* The same of the addresses for Milvus's clients alone. */
unsigned srv_server_milvus_port(const struct srv_server *server, unsigned i);
/* Takes no more connections, lets requests in flight finish within drain_seconds, seals and closes
   the database. False with a sentence when the database could not be closed in order. */
bool srv_server_stop(struct srv_server *server, char *error);

/* Copies the database, as it is now, to the folder `name` of DATA.snapshots. */
int srv_server_snapshot(struct srv_server *server, const char *name, vecdb_error *error);

#endif
