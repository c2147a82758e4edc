/*
 * visited.h - the rows a walk has seen: a bitmap, and a list of its words that are not zero, so
 * that clearing costs what the walk has touched and not what the index holds.
 */
#ifndef VDB_VISITED_H
#define VDB_VISITED_H

#include "base/mem.h"

struct vdb_visited {
  uint64_t *words;
  uint32_t *touched; /* room for each word, and one slot more that is written and not counted */
  uint32_t n_touched;
  uint32_t n_words;
};

/* For rows 0 .. n - 1; false when out of memory. */
VDB_INTERNAL bool vdb_visited_init(struct vdb_visited *v, struct vdb_mem *mem, uint32_t n);
VDB_INTERNAL void vdb_visited_free(struct vdb_visited *v, struct vdb_mem *mem);
/* Makes it empty. */
VDB_INTERNAL void vdb_visited_clear(struct vdb_visited *v);

VDB_INLINE bool vdb_visited_has(const struct vdb_visited *v, uint32_t i) {
  return v->words[i / 64] >> (i % 64) & 1;
}

/* Adds row i; true when it is new. Without branches, as the outcome is hard to predict. */
VDB_INLINE bool vdb_visited_add(struct vdb_visited *v, uint32_t i) {
  uint64_t word = v->words[i / 64];
  v->touched[v->n_touched] = i / 64;
  v->n_touched += word == 0;
  v->words[i / 64] = word | (uint64_t)1 << (i % 64);
  return !(word >> (i % 64) & 1);
}

#endif
