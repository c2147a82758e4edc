/* bits_tables.h - what the files of bits.h share: the tables of look-ups, those of the instruction
 * sets, and how far sums fit a byte. */
#ifndef VDB_BITS_TABLES_H
#define VDB_BITS_TABLES_H

#include "bits.h"
#include "cpu.h"

/* Bytes of a row whose distances are surely summed in a byte: 8 bits each. */
enum { VDB_BITS_DEEP = 31 };

/* Turning rows in plain C. */
VDB_INTERNAL void vdb_bits_pack_scalar(const uint8_t *const rows[VDB_BITS_ROWS], size_t bytes,
                                       uint8_t *block);

#if defined(__x86_64__)
VDB_INTERNAL const struct vdb_bits_table *vdb_bits_avx2(void);
#elif defined(__aarch64__)
VDB_INTERNAL const struct vdb_bits_table *vdb_bits_neon(void);
#endif

#define BITS_OF(x) (((x) & 1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define BITS_FOUR(x, i) \
  BITS_OF((x) ^ (i)), BITS_OF((x) ^ ((i) + 1)), BITS_OF((x) ^ ((i) + 2)), BITS_OF((x) ^ ((i) + 3))
#define BITS_TABLE(x) BITS_FOUR(x, 0), BITS_FOUR(x, 4), BITS_FOUR(x, 8), BITS_FOUR(x, 12)
/* Half byte x has its distances to all 16 at 16 x. */
static const _Alignas(64) uint8_t vdb_bits_tables[256] = {
    BITS_TABLE(0), BITS_TABLE(1), BITS_TABLE(2),  BITS_TABLE(3),  BITS_TABLE(4),  BITS_TABLE(5),
    BITS_TABLE(6), BITS_TABLE(7), BITS_TABLE(8),  BITS_TABLE(9),  BITS_TABLE(10), BITS_TABLE(11),
    BITS_TABLE(12), BITS_TABLE(13), BITS_TABLE(14), BITS_TABLE(15)};
#undef BITS_OF
#undef BITS_FOUR
#undef BITS_TABLE

#endif
