/*
 * inverted.h - the inverted index of a sparse column in a sealed segment: per index that any row
 * has, the rows that have it and their values there. It is part of the rows file, in sections of
 * the field's number, little-endian:
 *
 *   SPIX  u32 indices that occur, ascending
 *   SPBG  their number + 1 u64: where the postings of each begin, in postings; the last is all
 *   SPPO  postings: u32 row, float value; by index, then row
 *
 * What opens has been checked: whatever the bytes, searches stay inside, and end.
 */
#ifndef VDB_INVERTED_H
#define VDB_INVERTED_H

#include "sparse/sparse_scan.h"

struct vdb_posting {
  uint32_t row;
  float value;
};
_Static_assert(sizeof(struct vdb_posting) == 8, "postings are stored as they are");

/* Mapped; all of it borrowed. */
struct vdb_inverted {
  const uint32_t *indices;
  const uint64_t *begins;
  const struct vdb_posting *postings;
  size_t n_indices;
  uint32_t n_rows;
};

struct vdb_inverted_build {
  struct vdb_mem *mem;
  const struct vdb_column *column; /* checked */
  uint32_t n;
  struct vdb_sect_writer *out;
  uint32_t number;         /* of the sections */
  bool (*stop)(void *arg); /* asked now and then; true cancels. NULL: never */
  void *stop_arg;
};
/* Writes the sections for n rows. Takes 24 bytes a pair while it sorts. Errors: NO_MEMORY,
   CANCELLED when stopped, those of `out`. */
VDB_INTERNAL int vdb_inverted_build(const struct vdb_inverted_build *build, vecdb_error *err);
/* Opens the sections over n rows that have so many pairs together. Errors: CORRUPT. */
VDB_INTERNAL int vdb_inverted_open(const struct vdb_sect_reader *in, uint32_t number, uint32_t n,
                                   uint64_t pairs, struct vdb_inverted *out, vecdb_error *err);
/* The postings of one index; none where no row has it. */
struct vdb_postings {
  const struct vdb_posting *items;
  uint64_t n;
};
VDB_INTERNAL struct vdb_postings vdb_inverted_find(const struct vdb_inverted *x, uint32_t index);
/* Whether each posting is a pair of the column. As open has found equally many of both, each pair
   then has its posting. `stop`, asked now and then, makes it false; NULL: never. */
VDB_INTERNAL bool vdb_inverted_matches(const struct vdb_inverted *index,
                                       const struct vdb_column *column, bool (*stop)(void *arg),
                                       void *stop_arg);
/* Offers all allowed rows that have an index in common with s->sparse to s->top, which is not
   sorted; `column` holds the same rows. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_inverted_search(const struct vdb_inverted *index,
                                     const struct vdb_column *column, struct vdb_search *s,
                                     vecdb_error *err);

#endif
