/*
 * kern_body.h - the loops of all vector tables, written once. Each instruction set's file defines
 * primitives and includes this file inside its target region, once for each suffix; hence no
 * include guard. What the file needs, with KB_SUFFIX behind each name:
 *
 *   KB_SUFFIX     such as avx2
 *   KB_FLOATS     floats in a vector (0: make no float kernels), and KB_F, its type
 *                 kern_zero_f kern_add kern_sub kern_fma(a, b, c) = a * b + c
 *                 kern_load_T(p), kern_part_T(p, n): for T = f32, f16, bf16 a vector, or its first
 *                 n elements and zeroes; kern_store_T(p, v)
 *                 kern_sum(v) and kern_sum2(out, v, w): one order of addition for both
 *   KB_I8         bytes read at a time by the I8 kernels (0: make none; -1: make them of the file's
 *                 own kern_i8_one and kern_i8_four), and KB_I, an integer vector
 *                 kern_zero_i kern_isum(v) kern_isum4(out, a, b, c, d): 32-bit lanes
 *                 kern_load_i8(p) kern_part_i8(p, n): as 16-bit lanes
 *                 kern_sub_i16, kern_dot_i16(acc, a, b): adds products to 32-bit lanes
 *   KB_BITS       bytes read at a time by the BITS kernels (0: none)
 *                 kern_load_bytes kern_part_bytes kern_xor kern_or
 *                 kern_count(acc, v): adds numbers of set bits to lanes of 32 or 64 bits
 *   KB_BASE       where the integer primitives other than kern_count have the names of another
 *                 suffix: that one
 *
 * Of one table, `one`, `many` and `gather` give the same float for the same query and row, bit by
 * bit: a score must not depend on which rows stood beside it. So the sums of a row are split the
 * same way everywhere: vector i goes to sum i % 4.
 */

#define KB_JOIN2(name, suffix) kern_##name##_##suffix
#define KB_JOIN(name, suffix) KB_JOIN2(name, suffix)
#define KB(name) KB_JOIN(name, KB_SUFFIX)
#ifndef KB_BASE
#define KB_BASE KB_SUFFIX
#endif
#define KBI(name) KB_JOIN(name, KB_BASE)
#define KB_INLINE static inline __attribute__((always_inline, unused))
/* The loop over a row, made for each element and operation; with sanitizers one for all of them,
   which is compiled in a third of the time. */
#ifdef VDB_KERN_ONCE
#define KB_INLINE_LOOP static __attribute__((noinline, unused))
#else
#define KB_INLINE_LOOP KB_INLINE
#endif

/* Makes one, many and gather of an element and operation from `kind`_one, the distance of one row,
   and `kind`_four, of four rows. */
#define KB_KERNEL(name, kind, elem, op)                                                     \
  static float KB(name##_one)(const void *query, const void *row, size_t dim) {             \
    return KB(kind##_one)(elem, op, query, row, dim);                                       \
  }                                                                                         \
  static void KB(name##_many)(const void *query, const void *rows, size_t stride, size_t n, \
                              size_t dim, float *out) {                                     \
    const uint8_t *row = rows;                                                              \
    size_t bytes = vdb_elem_row_bytes(elem, dim), i = 0;                                    \
    for (; i + 4 <= n; i += 4, row += 4 * stride) {                                         \
      const uint8_t *four[4] = {row, row + stride, row + 2 * stride, row + 3 * stride};     \
      if (i + VDB_KERN_AHEAD_ROWS + 4 <= n)                                                 \
        for (size_t j = 0; j < 4; j++)                                                      \
          kern_prefetch_row(four[j] + VDB_KERN_AHEAD_ROWS * stride, bytes);                 \
      KB(kind##_four)(elem, op, query, four, dim, out + i);                                 \
    }                                                                                       \
    for (; i < n; i++, row += stride)                                                       \
      out[i] = KB(name##_one)(query, row, dim);                                             \
  }                                                                                         \
  static void KB(name##_gather)(const void *query, const void *base, size_t stride,         \
                                const uint32_t *ids, size_t n, size_t dim, float *out) {    \
    const uint8_t *row = base;                                                              \
    size_t bytes = vdb_elem_row_bytes(elem, dim), next = 0, i = 0;                          \
    for (; next < vdb_min_size(n, VDB_KERN_AHEAD_ROWS); next++)                             \
      kern_prefetch_row(row + ids[next] * stride, bytes);                                   \
    for (; i + 4 <= n; i += 4) {                                                            \
      const uint8_t *four[4] = {row + ids[i] * stride, row + ids[i + 1] * stride,           \
                                row + ids[i + 2] * stride, row + ids[i + 3] * stride};      \
      for (size_t end = vdb_min_size(n, next + 4); next < end; next++)                      \
        kern_prefetch_row(row + ids[next] * stride, bytes);                                 \
      KB(kind##_four)(elem, op, query, four, dim, out + i);                                 \
    }                                                                                       \
    for (; i < n; i++)                                                                      \
      out[i] = KB(name##_one)(query, row + ids[i] * stride, dim);                           \
  }

/* ---- Floats ---------------------------------------------------------------------------------- */

#if KB_FLOATS

/* The vector of a row (or, with VDB_F32, of a query) that starts with element i; n 0: a whole one,
   else its first n elements. */
KB_INLINE KB_F KB(row)(enum vdb_elem elem, const uint8_t *row, size_t i, size_t n) {
  if (elem == VDB_F32)
    return n ? KB(part_f32)(row + i * 4, n) : KB(load_f32)(row + i * 4);
  if (elem == VDB_F16)
    return n ? KB(part_f16)(row + i * 2, n) : KB(load_f16)(row + i * 2);
  return n ? KB(part_bf16)(row + i * 2, n) : KB(load_bf16)(row + i * 2);
}

KB_INLINE KB_F KB(term)(enum vdb_op op, KB_F sum, KB_F q, KB_F r) {
  if (op == VDB_OP_DOT)
    return KB(fma)(q, r, sum);
  KB_F d = KB(sub)(q, r);
  return KB(fma)(d, d, sum);
}

/* The walk over a row that the next two functions share, so that both add in the same order. */
#define KB_WALK(step)                                    \
  for (; i + 4 * KB_FLOATS <= dim; i += 4 * KB_FLOATS) { \
    step(a, i, 0);                                       \
    step(b, i + KB_FLOATS, 0);                           \
    step(c, i + 2 * KB_FLOATS, 0);                       \
    step(d, i + 3 * KB_FLOATS, 0);                       \
  }                                                      \
  if (i + 2 * KB_FLOATS <= dim) {                        \
    step(a, i, 0);                                       \
    step(b, i + KB_FLOATS, 0);                           \
    i += 2 * KB_FLOATS;                                  \
  }                                                      \
  if (i + KB_FLOATS <= dim) {                            \
    step(c, i, 0);                                       \
    i += KB_FLOATS;                                      \
  }                                                      \
  if (i < dim)                                           \
    step(d, i, dim - i)

KB_INLINE_LOOP float KB(float_one)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                   const uint8_t *row, size_t dim) {
  KB_F a = KB(zero_f)(), b = a, c = a, d = a;
  size_t i = 0;
#define KB_STEP(sum, at, n) \
  sum = KB(term)(op, sum, KB(row)(VDB_F32, query, at, n), KB(row)(elem, row, at, n))
  KB_WALK(KB_STEP);
#undef KB_STEP
  return KB(sum)(KB(add)(KB(add)(a, b), KB(add)(c, d)));
}

/* Two rows, so that a vector of the query is read once for both. */
KB_INLINE_LOOP void KB(float_two)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                  const uint8_t *const row[2], size_t dim, float *out) {
  KB_F a0 = KB(zero_f)(), b0 = a0, c0 = a0, d0 = a0, a1 = a0, b1 = a0, c1 = a0, d1 = a0, q;
  size_t i = 0;
#define KB_STEP(sum, at, n)                                       \
  q = KB(row)(VDB_F32, query, at, n),                             \
  sum##0 = KB(term)(op, sum##0, q, KB(row)(elem, row[0], at, n)), \
  sum##1 = KB(term)(op, sum##1, q, KB(row)(elem, row[1], at, n))
  KB_WALK(KB_STEP);
#undef KB_STEP
  KB(sum2)(out, KB(add)(KB(add)(a0, b0), KB(add)(c0, d0)),
           KB(add)(KB(add)(a1, b1), KB(add)(c1, d1)));
}
#undef KB_WALK

KB_INLINE void KB(float_four)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                              const uint8_t *const row[4], size_t dim, float *out) {
  KB(float_two)(elem, op, query, row, dim, out);
  KB(float_two)(elem, op, query, row + 2, dim, out + 2);
}

KB_KERNEL(f32_l2, float, VDB_F32, VDB_OP_L2)
KB_KERNEL(f32_dot, float, VDB_F32, VDB_OP_DOT)
KB_KERNEL(f16_l2, float, VDB_F16, VDB_OP_L2)
KB_KERNEL(f16_dot, float, VDB_F16, VDB_OP_DOT)
KB_KERNEL(bf16_l2, float, VDB_BF16, VDB_OP_L2)
KB_KERNEL(bf16_dot, float, VDB_BF16, VDB_OP_DOT)

/* Makes a conversion; the last vector goes by way of a buffer. */
#define KB_CONVERT(from, from_type, to, to_type)                                \
  static void KB(from##_to_##to)(const from_type *in, to_type *out, size_t n) { \
    to_type last[KB_FLOATS];                                                    \
    size_t i = 0;                                                               \
    for (; i + KB_FLOATS <= n; i += KB_FLOATS)                                  \
      KB(store_##to)(out + i, KB(load_##from)(in + i));                         \
    if (i < n) {                                                                \
      KB(store_##to)(last, KB(part_##from)(in + i, n - i));                     \
      memcpy(out + i, last, (n - i) * sizeof *out);                             \
    }                                                                           \
  }
KB_CONVERT(f32, float, f16, uint16_t)
KB_CONVERT(f16, uint16_t, f32, float)
KB_CONVERT(f32, float, bf16, uint16_t)
KB_CONVERT(bf16, uint16_t, f32, float)
#undef KB_CONVERT

#undef KB_F
#endif
#undef KB_FLOATS

/* ---- Bytes as numbers ------------------------------------------------------------------------ */

#if KB_I8 > 0

/* A vector of a row; n as above. */
KB_INLINE KB_I KB(row_i8)(const uint8_t *at, size_t n) {
  return n ? KBI(part_i8)(at, n) : KBI(load_i8)(at);
}

KB_INLINE KB_I KB(term_i8)(enum vdb_op op, KB_I sum, KB_I q, KB_I r) {
  if (op == VDB_OP_DOT)
    return KBI(dot_i16)(sum, q, r);
  KB_I d = KBI(sub_i16)(q, r);
  return KBI(dot_i16)(sum, d, d);
}

KB_INLINE_LOOP float KB(i8_one)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                const uint8_t *row, size_t dim) {
  KB_I a = KBI(zero_i)();
  size_t i = 0;
  (void)elem;
  for (; i + KB_I8 <= dim; i += KB_I8)
    a = KB(term_i8)(op, a, KB(row_i8)(query + i, 0), KB(row_i8)(row + i, 0));
  if (i < dim)
    a = KB(term_i8)(op, a, KB(row_i8)(query + i, dim - i), KB(row_i8)(row + i, dim - i));
  return kern_i8_float(op, KBI(isum)(a));
}

KB_INLINE_LOOP void KB(i8_four)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                const uint8_t *const row[4], size_t dim, float *out) {
  KB_I a = KBI(zero_i)(), b = a, c = a, d = a, q;
  uint32_t sum[4];
  size_t i = 0;
  (void)elem;
#define KB_STEP(n)                                      \
  q = KB(row_i8)(query + i, n),                         \
  a = KB(term_i8)(op, a, q, KB(row_i8)(row[0] + i, n)), \
  b = KB(term_i8)(op, b, q, KB(row_i8)(row[1] + i, n)), \
  c = KB(term_i8)(op, c, q, KB(row_i8)(row[2] + i, n)), \
  d = KB(term_i8)(op, d, q, KB(row_i8)(row[3] + i, n))
  for (; i + KB_I8 <= dim; i += KB_I8)
    KB_STEP(0);
  if (i < dim)
    KB_STEP(dim - i);
#undef KB_STEP
  KBI(isum4)(sum, a, b, c, d);
  for (size_t j = 0; j < 4; j++)
    out[j] = kern_i8_float(op, sum[j]);
}

#endif

/* KB_I8 < 0: the file has its own i8_one and i8_four. */
#if KB_I8
KB_KERNEL(i8_l2, i8, VDB_I8, VDB_OP_L2)
KB_KERNEL(i8_dot, i8, VDB_I8, VDB_OP_DOT)
#endif
#undef KB_I8

/* ---- Bits ------------------------------------------------------------------------------------ */

#if KB_BITS

KB_INLINE KB_I KB(row_bits)(const uint8_t *at, size_t n) {
  return n ? KBI(part_bytes)(at, n) : KBI(load_bytes)(at);
}

/* Adds to `x` the bits that differ and, for JACCARD, to `any` those that q or r has. */
KB_INLINE void KB(term_bits)(enum vdb_op op, KB_I *x, KB_I *any, KB_I q, KB_I r) {
  *x = KB(count)(*x, KBI(xor)(q, r));
  if (op == VDB_OP_JACCARD)
    *any = KB(count)(*any, KBI(or)(q, r));
}

KB_INLINE_LOOP float KB(bits_one)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                  const uint8_t *row, size_t dim) {
  KB_I x = KBI(zero_i)(), any = x;
  size_t n = dim / 8, i = 0;
  (void)elem;
  for (; i + KB_BITS <= n; i += KB_BITS)
    KB(term_bits)(op, &x, &any, KB(row_bits)(query + i, 0), KB(row_bits)(row + i, 0));
  if (i < n)
    KB(term_bits)(op, &x, &any, KB(row_bits)(query + i, n - i), KB(row_bits)(row + i, n - i));
  return vdb_bits_float(op, KBI(isum)(x), KBI(isum)(any));
}

KB_INLINE_LOOP void KB(bits_four)(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                  const uint8_t *const row[4], size_t dim, float *out) {
  KB_I a = KBI(zero_i)(), b = a, c = a, d = a, any_a = a, any_b = a, any_c = a, any_d = a, q;
  uint32_t x[4], any[4];
  size_t n = dim / 8, i = 0;
  (void)elem;
#define KB_STEP(part)                                               \
  q = KB(row_bits)(query + i, part),                                \
  KB(term_bits)(op, &a, &any_a, q, KB(row_bits)(row[0] + i, part)), \
  KB(term_bits)(op, &b, &any_b, q, KB(row_bits)(row[1] + i, part)), \
  KB(term_bits)(op, &c, &any_c, q, KB(row_bits)(row[2] + i, part)), \
  KB(term_bits)(op, &d, &any_d, q, KB(row_bits)(row[3] + i, part))
  for (; i + KB_BITS <= n; i += KB_BITS)
    KB_STEP(0);
  if (i < n)
    KB_STEP(n - i);
#undef KB_STEP
  KBI(isum4)(x, a, b, c, d);
  KBI(isum4)(any, any_a, any_b, any_c, any_d);
  for (size_t j = 0; j < 4; j++)
    out[j] = vdb_bits_float(op, x[j], any[j]);
}

KB_KERNEL(bits_hamming, bits, VDB_BITS, VDB_OP_HAMMING)
KB_KERNEL(bits_jaccard, bits, VDB_BITS, VDB_OP_JACCARD)

#endif
#undef KB_BITS

#undef KB_I
#undef KB_KERNEL
#undef KB_INLINE
#undef KB_INLINE_LOOP
#undef KB
#undef KBI
#undef KB_BASE
#undef KB_JOIN
#undef KB_JOIN2
#undef KB_SUFFIX
