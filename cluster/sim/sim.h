/*
 * sim.h - a whole cluster in one thread from one seed: replicas of one shard, their disks, clocks
 * and network, the metadata store, clients, and everything that can go wrong with them. README.md
 * says what is checked.
 */
#ifndef CLUSTER_SIM_H
#define CLUSTER_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
  uint64_t seed;
  uint32_t ops;      /* client operations under faults, about */
  bool trace;        /* to stderr */
};

struct sim_result {
  bool failed;
  char why[256];
  uint64_t digest;    /* of all that happened: equal for equal seeds */
  uint64_t events, ops, writes_acked, local_acks, reads[3];
  uint64_t faults, crashes, wipes, promotions, snapshots, orphans, moves;
  uint64_t simulated_us;
};

void sim_run(const struct sim_options *o, struct sim_result *result);

#endif
