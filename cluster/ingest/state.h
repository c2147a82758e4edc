/*
 * state.h - what an ingestion knows of itself over crashes: a file that is replaced as a whole, and
 * a lock beside it, as two that share one would number different rows alike.
 */
#ifndef CLUSTER_INGEST_STATE_H
#define CLUSTER_INGEST_STATE_H

#include "vecdb.h"

struct ingest_state {
  const char *path;
  int lock;
  uint64_t writer; /* of op ids; random, once */
  uint64_t op;     /* number of the last write that was begun */
  uint64_t acked;  /* everything up to this position is written */
  uint64_t upto;   /* not 0: write `op` has the rows behind `acked` up to here, and may be done */
};

/* What the file says; a file that is not there is the beginning. Errors: BUSY when another has it,
   CORRUPT, IO. */
int ingest_state_open(struct ingest_state *state, const char *path, vecdb_error *error);
/* Durably. */
int ingest_state_save(const struct ingest_state *state, vecdb_error *error);
void ingest_state_close(struct ingest_state *state);

#endif
