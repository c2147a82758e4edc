/* lanes.c - lists of places in one array; see lanes.h. */
#include "server/lanes.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define LANES_NONE SIZE_MAX

struct lanes_place {
  struct srv_lane_item item;
  size_t next; /* of the lane, or of the free places; LANES_NONE: the last */
};

struct lanes_lane {
  size_t first, last;
  _Atomic size_t n;
  unsigned next; /* of the lanes that have something, in a ring */
};

struct srv_lanes {
  size_t capacity;
  size_t free;
  _Atomic size_t n;
  unsigned before; /* the lane before the one whose turn it is, where any has something */
  struct lanes_lane lanes[SRV_LANES];
  struct lanes_place places[];
};

struct srv_lanes *srv_lanes_new(size_t capacity) {
  struct srv_lanes *l = calloc(1, sizeof *l + capacity * sizeof *l->places);
  if (!l)
    return NULL;
  l->capacity = capacity;
  for (size_t i = 0; i < capacity; i++)
    l->places[i].next = i + 1 < capacity ? i + 1 : LANES_NONE;
  return l;
}

void srv_lanes_free(struct srv_lanes *l) {
  free(l);
}

size_t srv_lanes_count(const struct srv_lanes *l) {
  return atomic_load_explicit(&l->n, memory_order_relaxed);
}

bool srv_lanes_full(const struct srv_lanes *l, unsigned lane) {
  size_t n = atomic_load_explicit(&l->lanes[lane].n, memory_order_relaxed);
  return srv_lanes_count(l) >= l->capacity || (lane && n >= (l->capacity + 1) / 2);
}

/* A lane that has something again is the last to have its turn. */
static void lanes_join(struct srv_lanes *l, unsigned lane) {
  if (srv_lanes_count(l) == 0)
    l->lanes[lane].next = lane;
  else {
    l->lanes[lane].next = l->lanes[l->before].next;
    l->lanes[l->before].next = lane;
  }
  l->before = lane;
}

bool srv_lanes_add(struct srv_lanes *l, unsigned lane, struct srv_lane_item item) {
  struct lanes_lane *to = &l->lanes[lane];
  if (srv_lanes_full(l, lane))
    return false;
  size_t place = l->free;
  l->free = l->places[place].next;
  l->places[place] = (struct lanes_place){item, LANES_NONE};
  if (to->n == 0) {
    lanes_join(l, lane);
    to->first = place;
  } else {
    l->places[to->last].next = place;
  }
  to->last = place;
  to->n++;
  l->n++;
  return true;
}

bool srv_lanes_take(struct srv_lanes *l, struct srv_lane_item *out) {
  if (srv_lanes_count(l) == 0)
    return false;
  unsigned lane = l->lanes[l->before].next;
  struct lanes_lane *from = &l->lanes[lane];
  size_t place = from->first;
  *out = l->places[place].item;
  from->first = l->places[place].next;
  l->places[place].next = l->free;
  l->free = place;
  l->n--;
  if (--from->n == 0)
    l->lanes[l->before].next = from->next;
  else
    l->before = lane;
  return true;
}
