/*
 * ring.h - a consistent-hash ring: members own the stretches before their points, and have points
 * in proportion to their weights. Adding a member takes only what becomes its own; removing one
 * gives away only what was its.
 */
#ifndef CLUSTER_PLACE_RING_H
#define CLUSTER_PLACE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PLACE_POINTS = 128, /* of a member of the usual weight: shares are within some 10 % of it */
  PLACE_WEIGHT = 100, /* the usual weight */
  PLACE_WEIGHT_MAX = 10000
};
#define PLACE_NONE UINT32_MAX

/* A node, or a shard among the slots. */
struct place_member {
  uint32_t id;
  uint32_t weight; /* 0: it is to own nothing */
};

struct place_point {
  uint64_t at;
  uint32_t member; /* where it is in the list of members */
};

struct place_ring {
  struct place_point *points; /* ascending; owned */
  size_t n;
};

/* Ids are distinct, weights at most PLACE_WEIGHT_MAX. False: no memory. */
bool place_ring_make(struct place_ring *ring, const struct place_member *members, size_t n);
void place_ring_free(struct place_ring *ring);
/* The first point at or after the place; n > 0. */
size_t place_ring_find(const struct place_ring *ring, uint64_t at);
/* Whose the place is; PLACE_NONE: nobody has a point. */
uint32_t place_ring_owner(const struct place_ring *ring, uint64_t at);

/* Where a slot or a shard stands on a ring. */
uint64_t place_mark(uint64_t number);

#endif
