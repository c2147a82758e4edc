/*
 * state.h - how far collections are followed, in a collection beside their rows: the library's log
 * has all writes in order, so after a crash no position is ahead of the rows.
 */
#ifndef CLUSTER_EDGE_STATE_H
#define CLUSTER_EDGE_STATE_H

#include "edge/edge.h"

struct edge_saved {
  uint32_t id;      /* of the collection in the cluster */
  bool whole;       /* the first copy is */
  uint64_t filter;  /* a hash of whose rows are followed */
  int64_t fresh_ms; /* wall clock: everything acknowledged before then is in the rows; 0: unknown */
  uint32_t n;       /* shards */
  vecdb_client_position *at; /* owned */
};

/* Opens it, and makes it in an empty database; NOT_A_DATABASE in one that has others. */
int edge_state_open(vecdb *db, vecdb_collection **out, vecdb_error *error);
/* NOT_FOUND: nothing is known of it, or what is there makes no sense. */
int edge_state_load(vecdb_collection *state, const char *name, struct edge_saved *out,
                    vecdb_error *error);
/* All of it, in one batch. */
int edge_state_save(vecdb_collection *state, const char *name, const struct edge_saved *saved,
                    vecdb_error *error);
int edge_state_remove(vecdb_collection *state, const char *name, vecdb_error *error);

#endif
