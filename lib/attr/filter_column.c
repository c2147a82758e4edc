/*
 * filter_column.c - columns against constants, 64 rows a word. Nulls are no concern here: the rows
 * of null values hold zeros or nothing, and the caller masks them.
 */
#include "attr/filter_tree.h"

enum { FILTER_COLUMN_FEW = 8 };

/* Eight bytes of 0 or 1 as eight bits: the product gathers byte i's lowest bit in bit 56 + i. */
static uint64_t filter_column_pack(const uint8_t hits[64]) {
  uint64_t word = 0;
  for (unsigned i = 0; i < 8; i++) {
    uint64_t eight;
    memcpy(&eight, hits + 8 * i, sizeof eight);
    word |= (eight * 0x0102040810204080u) >> 56 << (8 * i);
  }
  return word;
}

/* Loops over fixed-width values `v` of type T that evaluate `test`; values may be unaligned. */
#define FILTER_COLUMN_LOOP(T, test)                    \
  do {                                                 \
    for (; n >= 64; n -= 64, data += 64 * sizeof(T)) { \
      uint8_t hits[64];                                \
      for (unsigned i = 0; i < 64; i++) {              \
        T v;                                           \
        memcpy(&v, data + i * sizeof v, sizeof v);     \
        hits[i] = (uint8_t)(test);                     \
      }                                                \
      *bits++ = filter_column_pack(hits);              \
    }                                                  \
    uint64_t rest = 0;                                 \
    for (size_t i = 0; i < n; i++) {                   \
      T v;                                             \
      memcpy(&v, data + i * sizeof v, sizeof v);       \
      rest |= (uint64_t)(test) << i;                   \
    }                                                  \
    if (n)                                             \
      *bits = rest;                                    \
  } while (0)

/* low <= v && v <= high as one unsigned comparison. */
#define FILTER_COLUMN_INT(name, T, U)                                             \
  static void name(const struct filter_node *leaf, const uint8_t *data, size_t n, \
                   uint64_t *bits) {                                              \
    const U low = (U)leaf->low.integer, span = (U)((U)leaf->high.integer - low);  \
    FILTER_COLUMN_LOOP(U, (U)(v - low) <= span);                                  \
  }
FILTER_COLUMN_INT(filter_column_i8, int8_t, uint8_t)
FILTER_COLUMN_INT(filter_column_i16, int16_t, uint16_t)
FILTER_COLUMN_INT(filter_column_i32, int32_t, uint32_t)
FILTER_COLUMN_INT(filter_column_i64, int64_t, uint64_t)

static void filter_column_bool(const struct filter_node *leaf, const uint8_t *data, size_t n,
                               uint64_t *bits) {
  const bool want = leaf->low.integer != 0;
  FILTER_COLUMN_LOOP(uint8_t, (v != 0) == want);
}

#define FILTER_COLUMN_REAL(name, T)                                               \
  static void name(const struct filter_node *leaf, const uint8_t *data, size_t n, \
                   uint64_t *bits) {                                              \
    const T low = (T)leaf->low.number, high = (T)leaf->high.number;               \
    if (!leaf->low_open && !leaf->high_open)                                      \
      FILTER_COLUMN_LOOP(T, (v >= low) & (v <= high));                            \
    else if (!leaf->low_open)                                                     \
      FILTER_COLUMN_LOOP(T, (v >= low) & (v < high));                             \
    else if (!leaf->high_open)                                                    \
      FILTER_COLUMN_LOOP(T, (v > low) & (v <= high));                             \
    else                                                                          \
      FILTER_COLUMN_LOOP(T, (v > low) & (v < high));                              \
  }
FILTER_COLUMN_REAL(filter_column_float, float)
FILTER_COLUMN_REAL(filter_column_double, double)

static void filter_column_text_equal(struct vdb_bytes wanted, const struct vdb_column *column,
                                     size_t first, size_t n, uint64_t *bits) {
  for (size_t i = 0; i < n; i++) {
    struct vdb_bytes text = vdb_column_bytes(column, first + i);
    bool hit = text.n == wanted.n && (text.n == 0 || memcmp(text.data, wanted.data, text.n) == 0);
    bits[i / 64] |= (uint64_t)hit << (i % 64);
  }
}

static void filter_column_text(const struct filter_node *leaf, const uint8_t *pool,
                               const struct vdb_column *column, size_t first, size_t n,
                               uint64_t *bits) {
  struct vdb_bytes low = filter_text_bytes(pool, leaf->low.text);
  struct vdb_bytes high = filter_text_bytes(pool, leaf->high.text);
  memset(bits, 0, vdb_bits_words(n) * 8);
  if (leaf->has_low && leaf->has_high && vdb_filter_compare_text(low, high) == 0) {
    filter_column_text_equal(low, column, first, n, bits);
    return;
  }
  int least = leaf->low_open ? 1 : 0, most = leaf->high_open ? -1 : 0;
  for (size_t i = 0; i < n; i++) {
    struct vdb_bytes text = vdb_column_bytes(column, first + i);
    bool hit = (!leaf->has_low || vdb_filter_compare_text(text, low) >= least) &&
               (!leaf->has_high || vdb_filter_compare_text(text, high) <= most);
    bits[i / 64] |= (uint64_t)hit << (i % 64);
  }
}

static void filter_column_range(const struct vdb_filter *filter, const struct filter_node *leaf,
                                const struct vdb_column *column, size_t first, size_t n,
                                uint64_t *bits) {
  /* Texts have their bytes elsewhere. */
  const uint8_t *data = column->data ? column->data + first * column->width : NULL;
  switch (column->type) {
  case VECDB_BOOL:
    filter_column_bool(leaf, data, n, bits);
    break;
  case VECDB_INT8:
    filter_column_i8(leaf, data, n, bits);
    break;
  case VECDB_INT16:
    filter_column_i16(leaf, data, n, bits);
    break;
  case VECDB_INT32:
    filter_column_i32(leaf, data, n, bits);
    break;
  case VECDB_INT64:
    filter_column_i64(leaf, data, n, bits);
    break;
  case VECDB_FLOAT:
    filter_column_float(leaf, data, n, bits);
    break;
  case VECDB_DOUBLE:
    filter_column_double(leaf, data, n, bits);
    break;
  default:
    filter_column_text(leaf, filter->pool.data, column, first, n, bits);
    break;
  }
}

/* A list of a few integers is as many comparisons of the whole block. */
static void filter_column_few(const struct vdb_filter *filter, const struct filter_set *set,
                              const struct vdb_column *column, size_t first, size_t n,
                              uint64_t *bits) {
  struct filter_node leaf;
  memset(&leaf, 0, sizeof leaf);
  memset(bits, 0, vdb_bits_words(n) * 8);
  uint64_t one[FILTER_BLOCK / 64];
  for (uint32_t i = 0; i < set->n; i++) {
    if (set->type == FILTER_DOUBLE)
      leaf.low.number = leaf.high.number = vdb_filter_member_double(set->members[i].key);
    else
      leaf.low.integer = leaf.high.integer = vdb_filter_member_int(set->members[i].key);
    filter_column_range(filter, &leaf, column, first, n, one);
    for (size_t w = 0; w < vdb_bits_words(n); w++)
      bits[w] |= one[w];
  }
}

static void filter_column_set(const struct vdb_filter *filter, const struct filter_set *set,
                              const struct vdb_column *column, size_t first, size_t n,
                              uint64_t *bits) {
  const uint8_t *pool = filter->pool.data;
  memset(bits, 0, vdb_bits_words(n) * 8);
  for (size_t i = 0; i < n; i++) {
    struct vdb_bytes text = vdb_column_bytes(column, first + i);
    bool hit = vdb_filter_set_text(set, pool, text) != FILTER_NONE;
    bits[i / 64] |= (uint64_t)hit << (i % 64);
  }
}

static uint32_t filter_column_find_float(const struct filter_set *set, float value) {
  return vdb_filter_set_double(set, (double)value);
}

/* Widens each value v of type T and looks it up. */
#define FILTER_COLUMN_FIND(T, find)                                      \
  for (size_t i = 0; i < n; i++) {                                       \
    T v;                                                                 \
    memcpy(&v, data + i * sizeof v, sizeof v);                           \
    bits[i / 64] |= (uint64_t)(find(set, v) != FILTER_NONE) << (i % 64); \
  }                                                                      \
  break

static void filter_column_numbers(const struct filter_set *set, const struct vdb_column *column,
                                  size_t first, size_t n, uint64_t *bits) {
  const uint8_t *data = column->data + first * column->width;
  memset(bits, 0, vdb_bits_words(n) * 8);
  switch (column->type) {
  case VECDB_INT8:
    FILTER_COLUMN_FIND(int8_t, vdb_filter_set_int);
  case VECDB_INT16:
    FILTER_COLUMN_FIND(int16_t, vdb_filter_set_int);
  case VECDB_INT32:
    FILTER_COLUMN_FIND(int32_t, vdb_filter_set_int);
  case VECDB_INT64:
    FILTER_COLUMN_FIND(int64_t, vdb_filter_set_int);
  case VECDB_FLOAT:
    FILTER_COLUMN_FIND(float, filter_column_find_float);
  default:
    FILTER_COLUMN_FIND(double, vdb_filter_set_double);
  }
}

VDB_INTERNAL void vdb_filter_pack(const uint8_t *data, size_t n, uint64_t *bits) {
  FILTER_COLUMN_LOOP(uint8_t, v != 0);
}

static void filter_column_match(const struct vdb_filter *filter, const struct filter_node *leaf,
                                const struct vdb_column *column, size_t first, size_t n,
                                uint64_t *bits) {
  if (leaf->op == FILTER_OP_RANGE) {
    if (leaf->none)
      memset(bits, 0, vdb_bits_words(n) * 8);
    else
      filter_column_range(filter, leaf, column, first, n, bits);
    return;
  }
  const struct filter_set *set = &filter->sets[leaf->index];
  if (set->type == FILTER_TEXT)
    filter_column_set(filter, set, column, first, n, bits);
  else if (set->n <= FILTER_COLUMN_FEW)
    filter_column_few(filter, set, column, first, n, bits);
  else
    filter_column_numbers(set, column, first, n, bits);
}

VDB_INTERNAL void vdb_filter_match(const struct vdb_filter *filter, const struct filter_node *leaf,
                                   const struct vdb_column *column, size_t first, size_t n,
                                   uint64_t *bits) {
  vdb_assert(n > 0 && n <= FILTER_BLOCK);
  if (!column->constant) {
    filter_column_match(filter, leaf, column, first, n, bits);
    return;
  }
  filter_column_match(filter, leaf, column, 0, 1, bits);
  bool matches = bits[0] & 1;
  memset(bits, 0, vdb_bits_words(n) * sizeof *bits);
  if (matches)
    vdb_bits_fill(bits, n);
}
