/*
 * route.h - from a row to its slot. Every policy picks a window of slots by the row's field, and in
 * it one by the hash of its id:
 *   hash    the window is all slots
 *   tenant  the window begins where the tenant's hash says: a search of one tenant visits few
 * shards range   each range of an ordered field (a number, a timestamp, a text, the norm of a
 * vector) has its own window; a window that lies in one shard is pure range placement, one over
 * several shards is hash within a range
 */
#ifndef CLUSTER_PLACE_ROUTE_H
#define CLUSTER_PLACE_ROUTE_H

#include "meta/doc.h"

struct place_route {
  enum doc_policy policy;
  uint32_t slots;                  /* a power of two */
  uint32_t window;                 /* a power of two, of DOC_TENANT */
  const struct doc_splits *splits; /* of DOC_RANGE */
};

struct place_window {
  uint32_t first;
  uint32_t n;
};

/* XXH3-64 of the id's or tenant's bytes. A number is hashed as its 8 bytes, little-endian. */
uint64_t place_hash(const void *data, size_t n);
uint64_t place_hash_number(int64_t number);
/* The window of rows with this field: `tenant` its hash, `key` its value, whichever the policy
   wants. */
struct place_window place_window(const struct place_route *route, uint64_t tenant,
                                 const struct doc_key *key);
uint32_t place_slot(struct place_window window, uint64_t id_hash);
/* Which ranges meet [low, high] (NULL: without end): first and last. */
void place_ranges(const struct doc_splits *splits, const struct doc_key *low,
                  const struct doc_key *high, uint32_t *first, uint32_t *last);

/* Ranges of about equal numbers of rows from values that were sampled (of one kind; put in order
   here); each gets an equal window. At most `ranges`: equal values stay together. False: no memory
   or arguments that make no sense. doc_splits_free(out). */
bool place_splits(struct doc_key *sample, size_t n, uint32_t ranges, uint32_t slots,
                  struct doc_splits *out);
/* Cuts the range that `at` lies in: from there on its rows go to the second half of its window.
   Rows that were there before `at` keep slots of the first half only if they hash so: the caller
   moves what changes. False: the window is one slot, the range begins at `at`, too many ranges, or
   no memory. */
bool place_split(struct doc_splits *splits, const struct doc_key *at);
/* Slots of ranges to shards 0 to shards - 1, evenly; with at least as many shards as ranges no
   shard has slots of two. owner[slot] of all slots; those of no range go to shard 0. */
void place_ranges_fill(const struct doc_splits *splits, uint32_t shards, uint32_t slots,
                       uint32_t *owner);

#endif
