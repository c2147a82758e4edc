/*
 * probe.h - random questions to a database, held against the model: searches with every plan, in
 * groups, in ranges, iterators, gets, queries page by page, counts; with and without filters. The
 * model's answers come from looking at every row, in double precision.
 */
#ifndef PROBE_H
#define PROBE_H

#include "tlib/model.h"

struct probe {
  struct vdb_rng rng;
  uint64_t questions;
  uint64_t near_hits; /* hits of the planner's searches that are among the true neighbours, */
  uint64_t near_all;  /* and how many there could have been */
};

/* Kinds of questions, for probe_ask. */
enum {
  PROBE_EXACT = 1 << 0,
  PROBE_PLANNED = 1 << 1, /* AUTO and the two graph plans */
  PROBE_RANGE = 1 << 2,
  PROBE_ITERATOR = 1 << 3,
  PROBE_GET = 1 << 4,
  PROBE_QUERY = 1 << 5,
  PROBE_COUNT = 1 << 6,
  PROBE_GROUPS = 1 << 7,
  PROBE_ALL = (1 << 8) - 1
};

/* Asks `n` questions of the kinds in the mask about one collection of the model's. */
bool probe_coll(struct probe *p, const struct model *m, uint32_t c, vecdb_collection *coll,
                uint32_t kinds, uint32_t n);
/* As above, about a random collection that exists. */
bool probe_ask(struct probe *p, const struct model *m, vecdb *db, uint32_t kinds, uint32_t n);

/* ---- filters, for others that need them ---- */
struct probe_filter {
  vecdb_filter filter;
  vecdb_param param;
  uint32_t kind;
  int64_t x;
  char text[96];
};
/* A random filter; must stay where it is. */
void probe_filter_make(struct probe_filter *f, struct vdb_rng *rng);
bool probe_passes(const struct probe_filter *f, const struct model_row *row);

#endif
