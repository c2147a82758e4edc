/*
 * split.h - a shard that is split while clients write and search: replicas that apply one committed
 * log at their own pace, crash, and lose their disks; documents that are changed by comparing, and
 * seen late; clients with old maps, retries, duplicates. What replication itself does (sim.h) is
 * taken for granted; what is decided about the split is the code of replica/split.h.
 */
#ifndef CLUSTER_SIM_SPLIT_H
#define CLUSTER_SIM_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

struct sim_split_result {
  bool failed;
  char why[128];
  uint64_t splits, cancelled, ended, crashes, wipes, writes, searches, stale_maps;
};

/* One run by its seed; what happened is added to `result`. */
void sim_split(uint64_t seed, struct sim_split_result *result);

#endif
