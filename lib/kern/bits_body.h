/*
 * bits_body.h - the loop of bits.h for all vector tables, written once. Each instruction set's file
 * includes it inside its target region; hence no include guard. With BB_SUFFIX behind each name it
 * needs
 *
 *   BB_V, BB_ROWS       a vector of bytes, and how many rows it holds
 *   bits_zero bits_add  of bytes
 *   bits_load(p)        a vector
 *   bits_low bits_high  the halves of its bytes
 *   bits_table(p)       16 bytes to look up among
 *   bits_look(t, v)     look-ups
 *   bits_widen(out, v, add)  writes BB_ROWS sums in 16 bits, or adds to what is there
 */

#define BB_JOIN2(name, suffix) bits_##name##_##suffix
#define BB_JOIN(name, suffix) BB_JOIN2(name, suffix)
#define BB(name) BB_JOIN(name, BB_SUFFIX)
#if defined(__clang__)
#define BB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define BB_UNROLL _Pragma("GCC unroll 16")
#endif
#define BB_VECTORS (VDB_BITS_ROWS / BB_ROWS) /* of a block */

/* Distances of `blocks` blocks (1 or 2) to `n` queries from the given one on; both are constants
   where it is inlined, so the sums live in registers. */
static inline __attribute__((always_inline)) void BB(some)(const struct vdb_bits_step *s,
                                                           size_t block, size_t query,
                                                           const size_t blocks, const size_t n) {
  BB_V sum[VDB_BITS_QUERIES][2 * BB_VECTORS], low[2 * BB_VECTORS], high[2 * BB_VECTORS];
  const uint8_t *from = s->blocks + block * s->block_stride;
  uint16_t *out = s->out + query * s->out_stride + block * VDB_BITS_ROWS;
  for (size_t at = 0, end; at < s->bytes; at = end) {
    const size_t start = at;
    end = vdb_min_size(s->bytes, at + VDB_BITS_DEEP);
    BB_UNROLL for (size_t q = 0; q < n; q++)
      BB_UNROLL for (size_t v = 0; v < blocks * BB_VECTORS; v++)
        sum[q][v] = BB(zero)();
    for (; at < end; at++) {
      BB_UNROLL for (size_t v = 0; v < blocks * BB_VECTORS; v++) {
        BB_V bytes = BB(load)(from + v / BB_VECTORS * s->block_stride + at * VDB_BITS_ROWS +
                              v % BB_VECTORS * BB_ROWS);
        low[v] = BB(low)(bytes);
        high[v] = BB(high)(bytes);
      }
      BB_UNROLL for (size_t q = 0; q < n; q++) {
        const uint8_t *offsets = s->offsets[query + q] + 2 * at;
        BB_V first = BB(table)(vdb_bits_tables + offsets[0]);
        BB_V second = BB(table)(vdb_bits_tables + offsets[1]);
        BB_UNROLL for (size_t v = 0; v < blocks * BB_VECTORS; v++) {
          sum[q][v] = BB(add)(sum[q][v], BB(look)(first, low[v]));
          sum[q][v] = BB(add)(sum[q][v], BB(look)(second, high[v]));
        }
      }
    }
    BB_UNROLL for (size_t q = 0; q < n; q++)
      BB_UNROLL for (size_t v = 0; v < blocks * BB_VECTORS; v++)
        BB(widen)(out + q * s->out_stride + v * BB_ROWS, sum[q][v], start > 0);
  }
}

static void BB(distances)(const struct vdb_bits_step *s) {
  size_t four = s->n_queries == VDB_BITS_QUERIES ? s->n_queries : 0, block = 0;
  for (; block + 2 <= s->n_blocks; block += 2) {
    if (four)
      BB(some)(s, block, 0, 2, VDB_BITS_QUERIES);
    for (size_t q = four; q < s->n_queries; q++)
      BB(some)(s, block, q, 2, 1);
  }
  if (block == s->n_blocks)
    return;
  if (four)
    BB(some)(s, block, 0, 1, VDB_BITS_QUERIES);
  for (size_t q = four; q < s->n_queries; q++)
    BB(some)(s, block, q, 1, 1);
}

#undef BB_V
#undef BB_ROWS
#undef BB_VECTORS
#undef BB_UNROLL
#undef BB
#undef BB_JOIN
#undef BB_JOIN2
#undef BB_SUFFIX
