/* sealed_format.h - section tags of rows files and tombstone files; the layout is drawn in
   sealed.h. */
#ifndef VDB_SEALED_FORMAT_H
#define VDB_SEALED_FORMAT_H

#include "base/sect.h"

#define SEALED_VERSION 2u
#define SEALED_META VDB_TAG('M', 'E', 'T', 'A')
#define SEALED_DATA VDB_TAG('D', 'A', 'T', 'A')
#define SEALED_OFFS VDB_TAG('O', 'F', 'F', 'S')
#define SEALED_NULL VDB_TAG('N', 'U', 'L', 'L')
#define SEALED_NORM VDB_TAG('N', 'O', 'R', 'M')
#define SEALED_KEYM VDB_TAG('K', 'E', 'Y', 'M')
/* The deleted rows' bits, rows / 64 words: the one section of a tombstone file, and in a rows file
   those that were deleted when it was written. */
#define SEALED_TOMB VDB_TAG('T', 'O', 'M', 'B')
#define SEALED_SCHM VDB_TAG('S', 'C', 'H', 'M')
#define SEALED_SCHM_VERSION 1u

struct sealed_meta {
  uint32_t version;
  uint32_t n_fields;
  uint64_t n_rows;
  /* since version 2: n_fields u32 ids; before it, the ids are 0 and on */
};
_Static_assert(sizeof(struct sealed_meta) == 16, "META is 16 bytes");

#endif
