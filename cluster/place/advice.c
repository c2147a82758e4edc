/* advice.c - whether shards have a sensible size; see advice.h. */
#include "place/advice.h"

#include <inttypes.h>
#include <stdio.h>

static uint32_t advice_shards(uint64_t rows, uint32_t most) {
  uint64_t shards = (rows + PLACE_ROWS_AIM - 1) / PLACE_ROWS_AIM;
  shards = shards ? shards : 1;
  return shards < most ? (uint32_t)shards : most;
}

struct place_advice place_advise(const uint64_t *rows, uint32_t n, uint32_t most) {
  struct place_advice a = {.shards = n};
  for (uint32_t i = 0; i < n; i++) {
    a.rows += rows[i];
    a.largest = rows[i] > a.largest ? rows[i] : a.largest;
  }
  uint64_t mean = n ? a.rows / n : 0;
  uint32_t wanted = advice_shards(a.rows, most);
  if (mean > PLACE_ROWS_MAX && wanted > n) {
    a.size = PLACE_SIZE_LARGE;
    a.shards = wanted;
    snprintf(a.text, sizeof a.text,
             "shards are large (%" PRIu64 " rows each): %u of some %d rows would do; "
             "vecdb-cluster split makes two of one",
             mean, wanted, PLACE_ROWS_AIM);
  } else if (mean < PLACE_ROWS_MIN && wanted < n) {
    a.size = PLACE_SIZE_SMALL;
    a.shards = wanted;
    snprintf(a.text, sizeof a.text, "shards are small (%" PRIu64 " rows each): %u would do", mean,
             wanted);
  } else if (a.largest > PLACE_ROWS_MIN && a.largest / 2 > mean) {
    a.size = PLACE_SIZE_UNEVEN;
    snprintf(a.text, sizeof a.text,
             "one shard has %" PRIu64 " rows, the mean is %" PRIu64
             ": spread its tenant or range over more slots, or vecdb-cluster split it",
             a.largest, mean);
  }
  return a;
}
