/*
 * kern_scalar.c - the kernels in plain C: the readable truth that other tables are tested against,
 * and the table of processors without a better one. Floats are summed in double.
 */
#include "cpu.h"

/* ---- Conversions ----------------------------------------------------------------------------- */

static float kern_float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint32_t kern_bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float kern_f16_value(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 0x1f;
  uint32_t fraction = half & 0x3ff;
  if (exponent == 0) { /* zero or denormal: a multiple of 2^-24 */
    float value = (float)fraction * 0x1p-24f;
    return sign ? -value : value;
  }
  if (exponent == 0x1f) /* infinity or NaN */
    return kern_float_of_bits(sign | 0x7f800000 | fraction << 13);
  return kern_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static float kern_bf16_value(uint16_t half) { return kern_float_of_bits((uint32_t)half << 16); }

/* v / 2^shift, to nearest, ties to even; 0 < shift < 32. */
static uint32_t kern_round_shift(uint32_t v, uint32_t shift) {
  uint32_t below_half = ((uint32_t)1 << (shift - 1)) - 1;
  return (v + below_half + (v >> shift & 1)) >> shift;
}

static uint16_t kern_f16_of(float value) {
  uint32_t bits = kern_bits_of_float(value);
  uint32_t sign = bits >> 16 & 0x8000;
  uint32_t rest = bits & 0x7fffffff;
  uint32_t half;
  if (rest > 0x7f800000) { /* NaN: made quiet */
    half = 0x7e00 | (rest >> 13 & 0x3ff);
  } else if (rest >= 0x47800000) { /* 65,536 and above */
    half = 0x7c00;
  } else if (rest >= 0x38800000) { /* normal; a carry out of the fraction moves up the exponent */
    half = kern_round_shift(rest - ((uint32_t)112 << 23), 13);
  } else if (rest >= 0x33000000) { /* denormal: the fraction with its leading 1, times 2^24 */
    half = kern_round_shift((rest & 0x7fffff) | 0x800000, 126 - (rest >> 23));
  } else { /* below half of the least denormal */
    half = 0;
  }
  return (uint16_t)(sign | half);
}

static uint16_t kern_bf16_of(float value) {
  uint32_t bits = kern_bits_of_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) /* NaN: made quiet */
    return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Makes the conversion of an array. The addresses may be odd, hence the copies. */
#define KERN_CONVERT_SCALAR(name, from_type, to_type, convert)                           \
  static void kern_##name##_scalar(const from_type *in, to_type *out, size_t n) {        \
    for (size_t i = 0; i < n; i++) {                                                     \
      from_type from;                                                                    \
      memcpy(&from, (const uint8_t *)in + i * sizeof from, sizeof from);                 \
      to_type to = convert(from);                                                        \
      memcpy((uint8_t *)out + i * sizeof to, &to, sizeof to);                            \
    }                                                                                    \
  }
KERN_CONVERT_SCALAR(f32_to_f16, float, uint16_t, kern_f16_of)
KERN_CONVERT_SCALAR(f16_to_f32, uint16_t, float, kern_f16_value)
KERN_CONVERT_SCALAR(f32_to_bf16, float, uint16_t, kern_bf16_of)
KERN_CONVERT_SCALAR(bf16_to_f32, uint16_t, float, kern_bf16_value)
#undef KERN_CONVERT_SCALAR

/* ---- One row --------------------------------------------------------------------------------- */

/* Element i of a row or, with VDB_F32, of a query. */
VDB_INLINE double kern_element_scalar(enum vdb_elem elem, const uint8_t *row, size_t i) {
  float whole;
  uint16_t half;
  if (elem == VDB_F32) {
    memcpy(&whole, row + i * sizeof whole, sizeof whole);
    return whole;
  }
  memcpy(&half, row + i * sizeof half, sizeof half);
  return elem == VDB_F16 ? kern_f16_value(half) : kern_bf16_value(half);
}

VDB_INLINE double kern_term_scalar(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                   const uint8_t *row, size_t i) {
  double q = kern_element_scalar(VDB_F32, query, i);
  double r = kern_element_scalar(elem, row, i);
  return op == VDB_OP_L2 ? (q - r) * (q - r) : q * r;
}

/* Four sums, so that one addition need not wait for the one before it. */
VDB_INLINE float kern_float_scalar(enum vdb_elem elem, enum vdb_op op, const uint8_t *query,
                                   const uint8_t *row, size_t dim) {
  double a = 0, b = 0, c = 0, d = 0;
  size_t i = 0;
  for (; i + 4 <= dim; i += 4) {
    a += kern_term_scalar(elem, op, query, row, i);
    b += kern_term_scalar(elem, op, query, row, i + 1);
    c += kern_term_scalar(elem, op, query, row, i + 2);
    d += kern_term_scalar(elem, op, query, row, i + 3);
  }
  for (; i < dim; i++)
    a += kern_term_scalar(elem, op, query, row, i);
  return (float)(a + b + (c + d));
}

VDB_INLINE float kern_i8_scalar(enum vdb_op op, const uint8_t *query, const uint8_t *row,
                                size_t dim) {
  int64_t sum = 0;
  for (size_t i = 0; i < dim; i++) {
    int q = (int8_t)query[i];
    int r = (int8_t)row[i];
    sum += op == VDB_OP_L2 ? (q - r) * (q - r) : q * r;
  }
  return (float)sum;
}

VDB_INLINE float kern_bits_scalar(enum vdb_op op, const uint8_t *query, const uint8_t *row,
                                  size_t dim) {
  uint32_t differ = 0, any = 0;
  size_t n = dim / 8, i = 0;
  for (; i < n; i += 8) {
    size_t left = vdb_min_size(n - i, 8);
    uint64_t q = 0, r = 0;
    memcpy(&q, query + i, left);
    memcpy(&r, row + i, left);
    differ += (uint32_t)__builtin_popcountll(q ^ r);
    any += (uint32_t)__builtin_popcountll(q | r);
  }
  return vdb_bits_float(op, differ, any);
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

/*
 * a * b + c with one rounding. The product is exact in double. Where the sum is not, its last bit
 * is made odd, towards the part that was cut off (Boldo and Melquiond 2008): then rounding it once
 * more, to float, gives what rounding the exact value would.
 */
VDB_INLINE float kern_fma_scalar(float a, float b, float c) {
  double product = (double)a * (double)b, sum = product + (double)c;
  double back = sum - product;
  double rest = (product - (sum - back)) + ((double)c - back);
  uint64_t bits;
  memcpy(&bits, &sum, sizeof bits);
  if ((rest > 0 || rest < 0) && !(bits & 1)) {
    bits += (rest > 0) == (sum > 0) ? 1 : (uint64_t)-1;
    memcpy(&sum, &bits, sizeof sum);
  }
  return (float)sum;
}

static void kern_tile_scalar(const struct vdb_tile_step *s) {
  for (size_t i = 0; i < s->n_rows; i++)
    for (size_t j = 0; j < s->n_panels * VDB_TILE_PANEL; j++) {
      const float *row = s->rows + i * VDB_TILE_ROW_STRIDE;
      const float *column =
          s->panels + j / VDB_TILE_PANEL * s->panel_stride + j % VDB_TILE_PANEL;
      float sum = 0;
      for (size_t k = 0; k < s->len; k++)
        sum = kern_fma_scalar(row[k], column[k * VDB_TILE_PANEL], sum);
      float *out = s->out + i * s->out_stride + j;
      *out = s->add ? *out + sum : sum;
    }
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Makes one, many and gather of an expression for the distance of `query` and `row`. */
#define KERN_SCALAR(name, distance)                                                           \
  static float kern_##name##_one_scalar(const void *q, const void *r, size_t dim) {           \
    const uint8_t *query = q, *row = r;                                                       \
    return (distance);                                                                        \
  }                                                                                           \
  static void kern_##name##_many_scalar(const void *query, const void *rows, size_t stride,   \
                                        size_t n, size_t dim, float *out) {                   \
    const uint8_t *row = rows;                                                                \
    for (size_t i = 0; i < n; i++)                                                            \
      out[i] = kern_##name##_one_scalar(query, row + i * stride, dim);                        \
  }                                                                                           \
  static void kern_##name##_gather_scalar(const void *query, const void *base, size_t stride, \
                                          const uint32_t *ids, size_t n, size_t dim,          \
                                          float *out) {                                       \
    const uint8_t *row = base;                                                                \
    for (size_t i = 0; i < n; i++)                                                            \
      out[i] = kern_##name##_one_scalar(query, row + ids[i] * stride, dim);                   \
  }

KERN_SCALAR(f32_l2, kern_float_scalar(VDB_F32, VDB_OP_L2, query, row, dim))
KERN_SCALAR(f32_dot, kern_float_scalar(VDB_F32, VDB_OP_DOT, query, row, dim))
KERN_SCALAR(f16_l2, kern_float_scalar(VDB_F16, VDB_OP_L2, query, row, dim))
KERN_SCALAR(f16_dot, kern_float_scalar(VDB_F16, VDB_OP_DOT, query, row, dim))
KERN_SCALAR(bf16_l2, kern_float_scalar(VDB_BF16, VDB_OP_L2, query, row, dim))
KERN_SCALAR(bf16_dot, kern_float_scalar(VDB_BF16, VDB_OP_DOT, query, row, dim))
KERN_SCALAR(i8_l2, kern_i8_scalar(VDB_OP_L2, query, row, dim))
KERN_SCALAR(i8_dot, kern_i8_scalar(VDB_OP_DOT, query, row, dim))
KERN_SCALAR(bits_hamming, kern_bits_scalar(VDB_OP_HAMMING, query, row, dim))
KERN_SCALAR(bits_jaccard, kern_bits_scalar(VDB_OP_JACCARD, query, row, dim))
#undef KERN_SCALAR

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_scalar(void) {
  static const struct vdb_kern_table table = {
      .name = "scalar",
      .kern = {[VDB_F32] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f32_l2, scalar),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f32_dot, scalar)},
               [VDB_F16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(f16_l2, scalar),
                            [VDB_OP_DOT] = VDB_KERN_ENTRY(f16_dot, scalar)},
               [VDB_BF16] = {[VDB_OP_L2] = VDB_KERN_ENTRY(bf16_l2, scalar),
                             [VDB_OP_DOT] = VDB_KERN_ENTRY(bf16_dot, scalar)},
               [VDB_I8] = {[VDB_OP_L2] = VDB_KERN_ENTRY(i8_l2, scalar),
                           [VDB_OP_DOT] = VDB_KERN_ENTRY(i8_dot, scalar)},
               [VDB_BITS] = {[VDB_OP_HAMMING] = VDB_KERN_ENTRY(bits_hamming, scalar),
                             [VDB_OP_JACCARD] = VDB_KERN_ENTRY(bits_jaccard, scalar)}},
      .f32_to_f16 = kern_f32_to_f16_scalar,
      .f16_to_f32 = kern_f16_to_f32_scalar,
      .f32_to_bf16 = kern_f32_to_bf16_scalar,
      .bf16_to_f32 = kern_bf16_to_f32_scalar,
      .tile = kern_tile_scalar,
  };
  return &table;
}
