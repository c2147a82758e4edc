/*
 * edge.h - a copy of chosen collections of a cluster in a database of this process, which follows
 * them and is read while the cluster is away. A thread of its own asks each shard what has changed,
 * reads those rows again and writes them. README.md says what a reader may rely on.
 *
 * Any thread may ask; the database is only written here. Collections of it that are not followed
 * are removed, so a database that was not an edge's before must be empty.
 */
#ifndef CLUSTER_EDGE_H
#define CLUSTER_EDGE_H

#include <stdbool.h>

#include "client/vecdb_client.h"

/* The collection in which positions are kept, beside the rows. */
#define EDGE_STATE "vecdb_edge"
enum { EDGE_COLLECTIONS = 1024 }; /* that are followed at most */

struct edge;

struct edge_config {
  vecdb *db; /* outlives the edge */
  vecdb_client_options origin; /* its timeout_ms is that of each question */
  const char *collections;  /* names with commas between them; "*": all there are */
  const char *tenant_field; /* with `tenants`: the field that says whose a row is */
  const char *tenants;      /* values of it with commas, whose rows are followed; "": all rows */
  uint32_t poll_ms;         /* between two looks */
  void (*log)(void *arg, const char *line);
  void *arg;
};

/* It need not reach the cluster. NULL with `error` filled: ARGUMENT, NAME, NOT_A_DATABASE (the
   database has collections and was no edge's), and what opening a client or collection gives. */
struct edge *edge_open(const struct edge_config *config, vecdb_error *error);
/* Ends what is under way, which takes as long as a call of the client may. */
void edge_close(struct edge *edge);

#define EDGE_UNKNOWN UINT64_MAX
/* Looks at once, and returns when all that was acknowledged before the call is here; or the code of
   what went wrong. */
int edge_sync(struct edge *edge, vecdb_error *error);

/* How a collection is followed. */
struct edge_info {
  char name[VECDB_MAX_NAME + 1];
  bool gone;         /* the cluster has no such collection (any more) */
  bool whole;        /* a copy is here; before the first one is whole there is nothing to read */
  uint64_t age_ms;   /* all that was acknowledged so long ago is in it; or EDGE_UNKNOWN */
  uint64_t upserts;  /* rows that were read again and written, since the edge was opened */
  uint64_t deletes;  /* rows that were removed */
  uint64_t copies;   /* of the whole collection */
  int32_t code;      /* of the last look: 0, or why it failed */
};
/* False: it is not followed, or has not been there. */
bool edge_look(struct edge *edge, const char *collection, struct edge_info *out);
/* The i-th that is followed; false: there are fewer. */
bool edge_at(struct edge *edge, size_t i, struct edge_info *out);
/* Whether the cluster answered when it was asked last. */
bool edge_up(struct edge *edge);

#endif
