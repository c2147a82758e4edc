/*
 * scenario.h - single uses of the API, each from a state that random work has prepared, for tests
 * that let something fail in the middle of one.
 *
 *   scenario_base(&base, seed);                    // a disk with a database, closed
 *   scenario_begin(&trial, &base, scenario, allocator);
 *   ... arrange for a failure ...
 *   rc = scenario->run(&trial);
 *   ... nothing fails any more ...
 *   scenario_end(&trial, rc)                       // is everything as it should be?
 */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "tlib/memfault.h"
#include "tlib/simdisk.h"
#include "tlib/workload.h"

/* A database that was worked on for a while, and closed. */
struct scenario_base {
  struct simdisk *disk;
  struct workload w;
};

struct scenario_trial {
  struct simdisk *disk;
  struct workload w;
  struct memfault memory; /* counts; fails when told to */
  struct model found;
  const struct scenario *scenario;
};

struct scenario {
  const char *name;
  bool closed; /* starts without an open database */
  int (*run)(struct scenario_trial *t);
};

extern const struct scenario scenario_list[];
extern const size_t scenario_count;

void scenario_base_make(struct scenario_base *base, uint64_t seed);
void scenario_base_free(struct scenario_base *base);

/* A copy of the base, opened unless the scenario begins with a closed database. */
bool scenario_begin(struct scenario_trial *t, struct scenario_base *base,
                    const struct scenario *scenario);
/* Whether the open database is in the state before the call that failed with rc, or after the one
   that succeeded. */
bool scenario_unharmed(struct scenario_trial *t, int rc);
/* Whether it takes some writes. */
bool scenario_writes(struct scenario_trial *t);
/* Whether it goes on working: writes, flushes, answers, passes the check. */
bool scenario_works(struct scenario_trial *t);
/* Closes (if `close`) or lets the power go, opens with full verification, and compares. */
bool scenario_comes_back(struct scenario_trial *t, bool close, uint64_t seed);
/* Frees everything; false if something of the library was left. */
bool scenario_finish(struct scenario_trial *t);

#endif
