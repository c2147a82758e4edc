/*
 * dedup.h - which op ids a machine has applied: for each client a window of its last 64 counters.
 * What is before the window counts as too old, so a client has at most 64 operations under way. The
 * client that has been silent longest (by position) makes room, on every replica the same one.
 * Those from REP_CLIENT_KEPT on, which are what a machine knows of itself, never do.
 */
#ifndef CLUSTER_REPLICA_DEDUP_H
#define CLUSTER_REPLICA_DEDUP_H

#include "replica/types.h"

struct rep_client {
  uint64_t client;
  uint64_t max;  /* largest counter */
  uint64_t bits; /* bit i: max - i was applied */
  uint64_t seq;  /* of its last operation */
};

#define REP_CLIENT_KEPT (UINT64_MAX - 4)

/* The user owns the array, which has room for an ordinary client; ascending by client. */
struct rep_dedup {
  struct rep_client *clients;
  uint32_t n, capacity;
};

enum rep_known { REP_NEW, REP_KNOWN, REP_BEFORE };

enum rep_known rep_dedup_look(const struct rep_dedup *d, struct rep_op op);
/* Which of `clients` makes room for the next one, when there is no more. */
uint32_t rep_dedup_oldest(const struct rep_dedup *d);
/* op is new; seq is the position it is applied at. */
void rep_dedup_add(struct rep_dedup *d, struct rep_op op, uint64_t seq);

#endif
