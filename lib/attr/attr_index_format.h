/*
 * attr_index_format.h - what attr_index_build.c writes and attr_index.c reads, and the order of
 * values that both keep to. Sections, little-endian, left out where they would be empty:
 *
 *   AIXH  the header below
 *   AIXV  distinct values, ascending: fixed width packed, or texts one after the other
 *   AIXO  texts: n_values + 1 u64 offsets into AIXV
 *   AIXC  n_values + 1 u32: rows with smaller values; the last is the number of rows without null
 *   AIXR  u32 rows by value and then row, of all values but the dense ones
 *   AIXB  per dense value, in order, a bitmap of u64 words over all rows
 *   AIXS  u32 rows, ascending, that are kept apart: they count as null, but are not (path_index.h)
 *   AIXE  u32 how many, and u32 rows, ascending, that count as null as something else stands there;
 *         of JSON paths alone, and not in files of before it was thought of
 *
 * A value is dense when more than 1/32 of all rows have it, which is where a bitmap is smaller than
 * its list; so there are at most 31. A range of values is then one run of AIXR and some bitmaps,
 * and counting it is a difference of two numbers of AIXC.
 */
#ifndef VDB_ATTR_INDEX_FORMAT_H
#define VDB_ATTR_INDEX_FORMAT_H

#include "attr/attr_index.h"

#define VDB_AIX_HEADER VDB_TAG('A', 'I', 'X', 'H')
#define VDB_AIX_VALUES VDB_TAG('A', 'I', 'X', 'V')
#define VDB_AIX_OFFSETS VDB_TAG('A', 'I', 'X', 'O')
#define VDB_AIX_STARTS VDB_TAG('A', 'I', 'X', 'C')
#define VDB_AIX_ROWS VDB_TAG('A', 'I', 'X', 'R')
#define VDB_AIX_BITMAPS VDB_TAG('A', 'I', 'X', 'B')
#define VDB_AIX_APART VDB_TAG('A', 'I', 'X', 'S')
#define VDB_AIX_ELSE VDB_TAG('A', 'I', 'X', 'E')

enum { VDB_AIX_VERSION = 1, VDB_AIX_DENSE = 32, VDB_AIX_MAX_DENSE = VDB_AIX_DENSE - 1 };

struct vdb_aix_header {
  uint32_t version;
  int32_t kind;        /* HASH or SORTED */
  int32_t type;        /* of the column */
  uint32_t n_dense;
  uint64_t n_rows;
  uint64_t n_nulls;
  uint64_t n_values;
  uint64_t text_bytes; /* of AIXV, for texts; else 0 */
};
_Static_assert(sizeof(struct vdb_aix_header) == 48, "the header has no padding");

VDB_INLINE bool vdb_aix_dense(size_t count, size_t n_rows) {
  return count * VDB_AIX_DENSE > n_rows;
}

/* A value of a fixed-width scalar type as a number in whose order the values are. -0.0 is 0.0. */
VDB_INLINE uint64_t vdb_aix_key(int32_t type, const uint8_t *value) {
  const uint64_t sign = (uint64_t)1 << 63;
  uint64_t x = 0;
  int8_t i8;
  int16_t i16;
  int32_t i32;
  switch (type) {
  case VECDB_BOOL:
    return value[0];
  case VECDB_INT8:
    memcpy(&i8, value, sizeof i8);
    return (uint64_t)(int64_t)i8 ^ sign;
  case VECDB_INT16:
    memcpy(&i16, value, sizeof i16);
    return (uint64_t)(int64_t)i16 ^ sign;
  case VECDB_INT32:
    memcpy(&i32, value, sizeof i32);
    return (uint64_t)(int64_t)i32 ^ sign;
  case VECDB_FLOAT:
    memcpy(&x, value, sizeof(float));
    x <<= 32; /* sign and magnitude at the top, as in a double */
    break;
  case VECDB_DOUBLE:
    memcpy(&x, value, sizeof x);
    break;
  default:
    memcpy(&x, value, sizeof x);
    return x ^ sign;
  }
  if (x == sign)
    x = 0;
  return x & sign ? ~x : x | sign;
}

/* Bytewise order of texts. */
VDB_INLINE int vdb_aix_compare(struct vdb_bytes a, struct vdb_bytes b) {
  size_t n = vdb_min_size(a.n, b.n);
  int order = n ? memcmp(a.data, b.data, n) : 0;
  return order ? order : (a.n > b.n) - (a.n < b.n);
}

#endif
