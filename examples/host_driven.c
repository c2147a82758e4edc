/*
 * host_driven.c - no threads of the library: the host lends it time from its own event loop. Each
 * turn of the loop handles an event (here: a few new rows) and then gives vecdb at most 2 ms.
 */
#include "check.h"

enum { ROWS = 5000, EVENT = 100, DIM = 8 };

static void on_event(vecdb_collection *coll, uint32_t *seed, vecdb_error *error) {
  float embeddings[EVENT][DIM];
  for (int i = 0; i < EVENT; i++)
    for (int k = 0; k < DIM; k++) {
      *seed = *seed * 1664525u + 1013904223u;
      embeddings[i][k] = (float)(*seed >> 8) / (float)(1 << 24);
    }
  vecdb_column column = {.field = "embedding", .data = embeddings};
  vecdb_batch batch = {sizeof batch, sizeof column, &column, 1, EVENT};
  check(vecdb_insert(coll, &batch, NULL, error), error);
}

int main(void) {
  vecdb_error error;
  vecdb *db;
  vecdb_collection *coll;
  vecdb_options options = VECDB_OPTIONS_INIT;
  options.flags = VECDB_HOST_DRIVEN;
  options.seal_rows = 1000; /* small, so that there is something to do */
  options.index_rows = 1000;
  check(vecdb_open(":memory:", &options, &db, &error), &error);
  const vecdb_field fields[] = {
      {.name = "id", .type = VECDB_INT64, .flags = VECDB_PRIMARY_KEY | VECDB_AUTO_ID},
      {.name = "embedding", .type = VECDB_FLOAT_VECTOR, .dim = DIM, .metric = VECDB_L2},
  };
  vecdb_schema schema = {sizeof schema, sizeof *fields, NULL, fields, 2};
  check(vecdb_collection_create(db, "points", &schema, &coll, &error), &error);

  uint32_t seed = 1;
  unsigned turns = 0;
  bool more = true;
  for (unsigned rows = 0; rows < ROWS || more; turns++) {
    if (rows < ROWS) {
      on_event(coll, &seed, &error);
      rows += EVENT;
    }
    check(vecdb_step(db, 2, 0, &more, &error), &error);
  }
  vecdb_stats stats = VECDB_STATS_INIT;
  check(vecdb_collection_stats(coll, &stats, &error), &error);
  printf("%u turns; %llu rows in %u sealed segments, %u with an index, and %u growing\n", turns,
         (unsigned long long)stats.rows, stats.segments_sealed, stats.segments_indexed,
         stats.segments_growing);

  vecdb_collection_release(coll);
  check(vecdb_close(db, &error), &error);
  return 0;
}
