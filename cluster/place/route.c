/* route.c - from a row to its slot; see route.h. */
#include "place/route.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t place_hash(const void *data, size_t n) { return XXH3_64bits(data, n); }

uint64_t place_hash_number(int64_t number) { return place_hash(&number, sizeof number); }

/* The last range that begins at or below the key; the first when none does. */
static uint32_t route_range(const struct doc_splits *splits, const struct doc_key *key) {
  uint32_t low = 1, high = splits->n;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    if (doc_key_compare(&splits->ranges[mid].from, key) <= 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low - 1;
}

struct place_window place_window(const struct place_route *route, uint64_t tenant,
                                 const struct doc_key *key) {
  if (route->policy == DOC_TENANT) {
    uint32_t windows = route->slots / route->window;
    return (struct place_window){(uint32_t)(tenant >> 32) % windows * route->window, route->window};
  }
  if (route->policy == DOC_RANGE) {
    const struct doc_range *r = &route->splits->ranges[route_range(route->splits, key)];
    return (struct place_window){r->first_slot, r->n_slots};
  }
  return (struct place_window){0, route->slots};
}

/* The upper half of the hash: multiply-shift needs no power of two and has no bias to speak of. */
uint32_t place_slot(struct place_window window, uint64_t id_hash) {
  return window.first + (uint32_t)((id_hash >> 32) * window.n >> 32);
}

void place_ranges(const struct doc_splits *splits, const struct doc_key *low,
                  const struct doc_key *high, uint32_t *first, uint32_t *last) {
  *first = low ? route_range(splits, low) : 0;
  *last = high ? route_range(splits, high) : splits->n - 1;
}

static int route_order(const void *x, const void *y) { return doc_key_compare(x, y); }

bool place_splits(struct doc_key *sample, size_t n, uint32_t ranges, uint32_t slots,
                  struct doc_splits *out) {
  *out = (struct doc_splits){0};
  if (!n || !ranges || ranges > DOC_SPLITS_MAX || ranges > slots || slots > DOC_SLOTS_MAX)
    return false;
  out->ranges = calloc(ranges, sizeof *out->ranges);
  if (!out->ranges)
    return false;
  qsort(sample, n, sizeof *sample, route_order);
  for (uint32_t i = 0; i < ranges; i++) {
    const struct doc_key *from = &sample[(size_t)((uint64_t)n * i / ranges)];
    if (!out->n || doc_key_compare(&out->ranges[out->n - 1].from, from) < 0)
      out->ranges[out->n++].from = *from;
  }
  for (uint32_t i = 0; i < out->n; i++) {
    uint32_t first = (uint32_t)((uint64_t)slots * i / out->n);
    out->ranges[i].first_slot = first;
    out->ranges[i].n_slots = (uint32_t)((uint64_t)slots * (i + 1) / out->n) - first;
  }
  return true;
}

bool place_split(struct doc_splits *splits, const struct doc_key *at) {
  uint32_t i = route_range(splits, at);
  if (splits->n >= DOC_SPLITS_MAX || splits->ranges[i].n_slots < 2 ||
      doc_key_compare(&splits->ranges[i].from, at) >= 0)
    return false;
  struct doc_range *grown = realloc(splits->ranges, (splits->n + 1) * sizeof *grown);
  if (!grown)
    return false;
  splits->ranges = grown;
  memmove(grown + i + 2, grown + i + 1, (splits->n - i - 1) * sizeof *grown);
  uint32_t half = grown[i].n_slots / 2;
  grown[i + 1] = (struct doc_range){*at, grown[i].first_slot + half, grown[i].n_slots - half};
  grown[i].n_slots = half;
  splits->n++;
  return true;
}

void place_ranges_fill(const struct doc_splits *splits, uint32_t shards, uint32_t slots,
                       uint32_t *owner) {
  memset(owner, 0, slots * sizeof *owner);
  for (uint32_t i = 0; i < splits->n; i++) {
    uint32_t first = (uint32_t)((uint64_t)shards * i / splits->n);
    uint32_t n = (uint32_t)((uint64_t)shards * (i + 1) / splits->n) - first;
    for (uint32_t s = 0; s < splits->ranges[i].n_slots; s++)
      owner[splits->ranges[i].first_slot + s] =
          n ? first + (uint32_t)((uint64_t)s * n / splits->ranges[i].n_slots) : first;
  }
}
