/* advice.h - whether shards have a sensible size, and how many there should be instead. */
#ifndef CLUSTER_PLACE_ADVICE_H
#define CLUSTER_PLACE_ADVICE_H

#include <stddef.h>
#include <stdint.h>

/* The rule of thumb to start from, in vectors a shard. */
enum { PLACE_ROWS_MIN = 10000, PLACE_ROWS_MAX = 100000, PLACE_ROWS_AIM = 50000 };

enum place_size {
  PLACE_SIZE_GOOD,
  PLACE_SIZE_SMALL, /* each search visits more shards than it must */
  PLACE_SIZE_LARGE, /* building indexes and moving shards takes long */
  PLACE_SIZE_UNEVEN /* one has more than twice the mean: another policy or key would be better */
};

struct place_advice {
  enum place_size size;
  uint64_t rows;
  uint64_t largest;
  uint32_t shards; /* suggested; the present number when it is good */
  char text[192];  /* "" when it is good */
};

/* rows[i] of n shards; shards are at most `most`. */
struct place_advice place_advise(const uint64_t *rows, uint32_t n, uint32_t most);

#endif
