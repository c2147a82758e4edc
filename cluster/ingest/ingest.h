/*
 * ingest.h - from a source to a target, in batches: README.md says what holds over crashes.
 */
#ifndef CLUSTER_INGEST_H
#define CLUSTER_INGEST_H

#include <stdatomic.h>
#include <stdio.h>

#include "ingest/source.h"
#include "ingest/state.h"
#include "ingest/target.h"

struct ingest_options {
  uint32_t rows;      /* of a batch, at most */
  uint32_t linger_ms; /* and how long it is waited for them */
  uint32_t report_ms; /* between two lines of metrics; 0: one at the end */
  const char *dead;   /* file for what cannot be written; NULL: it is an error */
  FILE *report;
  const atomic_bool *stop;
};

/* Until the source ends or *stop. The state is saved as things go on. */
int ingest_run(const struct ingest_options *options, struct ingest_source *source,
               struct ingest_target *target, struct ingest_state *state, vecdb_error *error);

/* Fills in the error and gives the code. */
int ingest_fail(vecdb_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Likewise, with what errno says. */
int ingest_fail_os(vecdb_error *error, const char *what);

/* The program: vecdb_ingest.c is nothing but a call of it, so that tests can make one, too. */
int ingest_main(int argc, char **argv);

#endif
