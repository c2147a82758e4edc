/*
 * walk_body.h - the loops over codes of all vector tables, written once. A file defines primitives
 * and includes this one inside its target region; hence no include guard. What it needs, with
 * WB_SUFFIX behind each name:
 *
 *   WB_SUFFIX           such as avx2
 *   WB_STEP             bytes of code read at a time
 *   walk_sum            a type: the sums of one code
 *   walk_zero()
 *   walk_add4(sum, code, n, low, high), walk_add8(sum, code, n, t)
 *                       adds the products of the next n <= WB_STEP bytes; t is readable to WB_STEP
 *   walk_finish(query, factors[4], a, b, c, d, keys)    four keys of four sums
 */

#define WB_JOIN2(name, suffix) walk_##name##_##suffix
#define WB_JOIN(name, suffix) WB_JOIN2(name, suffix)
#define WB(name) WB_JOIN(name, WB_SUFFIX)

/* Makes keys4 or keys8. Four codes at a time, so that what is read of the query serves for all; at
   the end the last row stands in for those that are missing. */
#define WB_KEYS(name, step)                                                                      \
  static void WB(name)(const struct vdb_walk_codes *codes, const struct vdb_walk_query *query,   \
                       const uint32_t *ids, const float *pairs, size_t n, float *keys) {         \
    const size_t bytes = codes->bytes;                                                           \
    const int8_t *t = query->t;                                                                  \
    for (size_t k = 0; k < n; k += 4) {                                                          \
      const uint8_t *code[4];                                                                    \
      const float *factors[4];                                                                   \
      for (size_t j = 0; j < 4; j++) {                                                           \
        size_t at = vdb_min_size(k + j, n - 1);                                                  \
        code[j] = codes->codes + ids[at] * bytes;                                                \
        factors[j] = pairs ? pairs + 2 * at : codes->factors + 2 * (size_t)ids[at];              \
      }                                                                                          \
      WB(sum) a = WB(zero)(), b = a, c = a, d = a;                                               \
      for (size_t i = 0; i + WB_STEP <= bytes; i += WB_STEP) {                                   \
        step(a, 0, WB_STEP);                                                                     \
        step(b, 1, WB_STEP);                                                                     \
        step(c, 2, WB_STEP);                                                                     \
        step(d, 3, WB_STEP);                                                                     \
      }                                                                                          \
      if (bytes < WB_STEP) {                                                                     \
        const size_t i = 0;                                                                      \
        step(a, 0, bytes);                                                                       \
        step(b, 1, bytes);                                                                       \
        step(c, 2, bytes);                                                                       \
        step(d, 3, bytes);                                                                       \
      }                                                                                          \
      float four[4];                                                                             \
      if (k + 4 <= n) {                                                                          \
        WB(finish)(query, factors, a, b, c, d, keys + k);                                        \
      } else {                                                                                   \
        WB(finish)(query, factors, a, b, c, d, four);                                            \
        memcpy(keys + k, four, (n - k) * sizeof *keys);                                          \
      }                                                                                          \
    }                                                                                            \
  }

#define WB_STEP4(sum, j, part) sum = WB(add4)(sum, code[j] + i, part, t + i, t + bytes + i)
#define WB_STEP8(sum, j, part) sum = WB(add8)(sum, code[j] + i, part, t + i)
WB_KEYS(keys4, WB_STEP4)
WB_KEYS(keys8, WB_STEP8)
#undef WB_STEP4
#undef WB_STEP8
#undef WB_KEYS
#undef WB
#undef WB_JOIN
#undef WB_JOIN2
#undef WB_STEP
#undef WB_SUFFIX
