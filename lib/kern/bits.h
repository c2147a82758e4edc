/*
 * bits.h - Hamming distances of many rows of bits at a time, by look-ups in registers. Rows lie in
 * blocks of 32, turned: byte j of row i is at j * 32 + i, so a register holds the same byte of many
 * rows. Half a byte is looked up among the 16 distances that its query has to all half bytes, and
 * sums stay in bytes, of a row each: nothing is added across a register. Four queries share the
 * loads and halves of a block.
 *
 * A query comes as offsets: two for each byte, its half's place among tables of 16 bytes.
 * Distances are integers, and equal in every table.
 */
#ifndef VDB_BITS_H
#define VDB_BITS_H

#include "base/base.h"

enum {
  VDB_BITS_ROWS = 32,   /* of a block */
  VDB_BITS_QUERIES = 4  /* compared at a time */
};

struct vdb_bits_step {
  const uint8_t *offsets[VDB_BITS_QUERIES];
  size_t n_queries; /* up to VDB_BITS_QUERIES */
  size_t bytes;     /* of a row */
  const uint8_t *blocks;
  size_t block_stride; /* at least 32 * bytes */
  size_t n_blocks;
  uint16_t *out; /* of query q and row i at q * out_stride + i */
  size_t out_stride;
};

struct vdb_bits_table {
  const char *name;
  void (*distances)(const struct vdb_bits_step *step);
  /* Turns 32 rows of so many bytes into a block. */
  void (*pack)(const uint8_t *const rows[VDB_BITS_ROWS], size_t bytes, uint8_t *block);
};

/* The one that goes with vdb_kern(). Any thread. */
VDB_INTERNAL const struct vdb_bits_table *vdb_bits_table(void);
/* The i-th that this processor can run (0: scalar), or NULL past the last; for tests. */
VDB_INTERNAL const struct vdb_bits_table *vdb_bits_available(size_t i);

/* The offsets of a query of so many bytes: 2 * bytes of them. */
VDB_INTERNAL void vdb_bits_offsets(const uint8_t *query, size_t bytes, uint8_t *offsets);

#endif
