/* ring.c - the consistent-hash ring; see ring.h. */
#include "place/ring.h"

#include <stdlib.h>

/* splitmix64's finaliser: a bijection, so that different numbers never share a place. */
uint64_t place_mark(uint64_t number) {
  uint64_t x = number + 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Points of different members differ: the id is in the upper half, and place_mark is a bijection.
 */
static uint64_t ring_point(uint32_t id, uint32_t number) {
  return place_mark(place_mark((uint64_t)id << 32 | number));
}

static size_t ring_points(uint32_t weight) {
  size_t points = ((size_t)weight * PLACE_POINTS + PLACE_WEIGHT / 2) / PLACE_WEIGHT;
  return weight && !points ? 1 : points;
}

static int ring_order(const void *x, const void *y) {
  const struct place_point *a = x, *b = y;
  return (a->at > b->at) - (a->at < b->at);
}

bool place_ring_make(struct place_ring *ring, const struct place_member *members, size_t n) {
  size_t total = 0;
  *ring = (struct place_ring){0};
  for (size_t i = 0; i < n; i++)
    total += ring_points(members[i].weight);
  ring->points = malloc((total + 1) * sizeof *ring->points);
  if (!ring->points)
    return false;
  for (size_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < ring_points(members[i].weight); k++)
      ring->points[ring->n++] = (struct place_point){ring_point(members[i].id, k), (uint32_t)i};
  qsort(ring->points, ring->n, sizeof *ring->points, ring_order);
  return true;
}

void place_ring_free(struct place_ring *ring) {
  free(ring->points);
  *ring = (struct place_ring){0};
}

size_t place_ring_find(const struct place_ring *ring, uint64_t at) {
  size_t low = 0, high = ring->n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (ring->points[mid].at < at)
      low = mid + 1;
    else
      high = mid;
  }
  return low == ring->n ? 0 : low;
}

uint32_t place_ring_owner(const struct place_ring *ring, uint64_t at) {
  return ring->n ? ring->points[place_ring_find(ring, at)].member : PLACE_NONE;
}
