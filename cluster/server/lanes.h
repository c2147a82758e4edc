/*
 * lanes.h - a bounded queue of work in lanes, from which items are taken by turns: whoever has much
 * waiting in one lane does not hold up another. A lane takes what comes first first. Of lanes other
 * than 0 none may fill more than half of the queue. One thread at a time, but for srv_lanes_full.
 */
#ifndef SRV_LANES_H
#define SRV_LANES_H

#include <stdbool.h>
#include <stddef.h>

enum { SRV_LANES = 64 };

struct srv_lanes;
struct srv_lane_item {
  void (*run)(void *item);
  void *item;
};

/* NULL: no memory. */
struct srv_lanes *srv_lanes_new(size_t capacity);
void srv_lanes_free(struct srv_lanes *lanes);
/* False: there is no room. */
bool srv_lanes_add(struct srv_lanes *lanes, unsigned lane, struct srv_lane_item item);
/* False: there is none. */
bool srv_lanes_take(struct srv_lanes *lanes, struct srv_lane_item *out);
size_t srv_lanes_count(const struct srv_lanes *lanes);
/* Whether an item would find no room now. Any thread. */
bool srv_lanes_full(const struct srv_lanes *lanes, unsigned lane);

#endif
