/*
 * routes.h - the one table of what the server answers: method, path, what the caller must be
 * allowed to do, what body is taken, and who handles it.
 */
#ifndef SRV_ROUTES_H
#define SRV_ROUTES_H

#include "server/call.h"
#include "server/json_read.h"

/* What a caller must be allowed to do; checked before the body is read. */
enum srv_permission {
  SRV_PUBLIC,  /* nothing: anybody may */
  SRV_KNOWN,   /* to say who they are */
  SRV_READ,    /* to see rows of a collection, */
  SRV_WRITE,   /* to change them, */
  SRV_ADMIN,   /* to change the collection itself */
  SRV_MONITOR, /* to see how the server does */
  SRV_OPERATE  /* to do what concerns all collections */
};

/* The method of calls over gRPC, whose routes are in milvus_methods.c. */
#define SRV_METHOD_GRPC "gRPC"

enum srv_body {
  SRV_BODY_NONE, /* a body is ignored up to a small size */
  SRV_BODY_JSON, /* an object; none counts as an empty one */
  SRV_BODY_ROWS, /* the same, with vectors (json_numbers.h) among rows, */
  SRV_BODY_QUERY, /* as a search's own, */
  SRV_BODY_POINTS, /* in Qdrant's points, */
  SRV_BODY_NEAREST, /* in Qdrant's searches, */
  SRV_BODY_DATA, /* or in Milvus's rows and searches */
  SRV_BODY_TEXT  /* handed on as it is */
};

struct srv_route {
  const char *method;
  const char *path; /* parts in braces match any one segment */
  enum srv_permission permission;
  enum srv_body body;
  bool inline_answer; /* cheap: answered by the network thread, also under overload */
  srv_handler *handler;
};

enum { SRV_ALLOW = 64 };

/* All routes, of every dialect and gRPC's methods, are numbered from 0: the i-th, or NULL, and the
   name of its dialect; and the number of one. */
const struct srv_route *srv_route_numbered(size_t i, const char **api);
size_t srv_route_number(const struct srv_route *route);

/* The routes of the native interface, in the order of the document; *n says how many. */
const struct srv_route *srv_routes(size_t *n);

/* The i-th route of all dialects over HTTP; NULL: there are not so many. */
const struct srv_route *srv_route_at(size_t i);
/* The library's name of the collection that the call's path names; NULL: it names none, or, after
   answering 400, no collection can have the name. */
const char *srv_route_collection(struct srv_call *call);

/* Where its handler takes arrays of numbers in one piece (json_read.h). */
const struct srv_json_place *srv_route_numbers(const struct srv_route *route);

/* Finds the route, in any dialect, and sets call->args and call->errors. NULL: *allow lists the
   methods that the path knows, separated by ", ", or is "" when no route has the path. `allow` has
   room for SRV_ALLOW bytes. */
const struct srv_route *srv_route_find(struct srv_call *call, const char *method, const char *path,
                                       char *allow);

#endif
