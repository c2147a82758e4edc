/* session.h - the structs behind the public handles. For the files of this folder. */
#ifndef CLUSTER_CLIENT_SESSION_H
#define CLUSTER_CLIENT_SESSION_H

#include "router/router.h"

struct vecdb_client_session {
  struct router_session seen;
};

struct vecdb_client_about {
  struct router_map *map;
};

struct vecdb_client_answer {
  struct router_result *result;
};

#endif
