/*
 * vector_check.c - whether a vector can be compared in float arithmetic; batch.h has the rule. A
 * sum of squares in float lanes, which carries every NaN and infinity along, settles the vectors
 * that are not near its bounds; a sum in double decides about the others.
 */
#include <float.h>

#include "attr/batch.h"

typedef float vector_check_f32x4 __attribute__((vector_size(16)));
typedef uint32_t vector_check_u32x4 __attribute__((vector_size(16)));

static float vector_check_at(int32_t type, const uint8_t *data, size_t i) {
  uint32_t bits = 0;
  float x;
  if (type == VECDB_FLOAT_VECTOR) {
    memcpy(&bits, data + i * 4, 4);
  } else {
    uint16_t half;
    memcpy(&half, data + i * 2, 2);
    bits = (uint32_t)half << 16;
  }
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The sum of squares in float. */
static float vector_check_sum_f32(const uint8_t *data, size_t dim) {
  enum { VECTOR_CHECK_STEP = 16 };
  vector_check_f32x4 sum[4] = {{0}, {0}, {0}, {0}};
  size_t i = 0;
  for (; i + VECTOR_CHECK_STEP <= dim; i += VECTOR_CHECK_STEP) {
    vector_check_f32x4 x[4];
    memcpy(x, data + i * sizeof(float), sizeof x);
    for (size_t j = 0; j < 4; j++)
      sum[j] += x[j] * x[j];
  }
  vector_check_f32x4 s = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = (s[0] + s[1]) + (s[2] + s[3]);
  for (; i < dim; i++) {
    float x;
    memcpy(&x, data + i * sizeof x, sizeof x);
    total += x * x;
  }
  return total;
}

/* Of bfloat16: as floats, two elements lie in the halves of each 32-bit word. */
static float vector_check_sum_bf16(const uint8_t *data, size_t dim) {
  enum { VECTOR_CHECK_STEP16 = 16 };
  vector_check_f32x4 sum[4] = {{0}, {0}, {0}, {0}};
  size_t i = 0;
  for (; i + VECTOR_CHECK_STEP16 <= dim; i += VECTOR_CHECK_STEP16) {
    vector_check_u32x4 pairs[2];
    memcpy(pairs, data + i * sizeof(uint16_t), sizeof pairs);
    for (size_t j = 0; j < 2; j++) {
      vector_check_f32x4 even = (vector_check_f32x4)(pairs[j] << 16);
      vector_check_f32x4 odd = (vector_check_f32x4)(pairs[j] & 0xffff0000u);
      sum[2 * j] += even * even;
      sum[2 * j + 1] += odd * odd;
    }
  }
  vector_check_f32x4 s = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = (s[0] + s[1]) + (s[2] + s[3]);
  for (; i < dim; i++) {
    float x = vector_check_at(VECDB_BFLOAT16_VECTOR, data, i);
    total += x * x;
  }
  return total;
}

static int vector_check_not_finite(const struct vdb_field *f, int64_t row, size_t i,
                                   vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_NOT_FINITE, row, f->name,
                     "element %zu of a vector of field '%s' is NaN or infinite", i, f->name);
}

static int vector_check_zero(const struct vdb_field *f, int64_t row, vecdb_error *err) {
  return vdb_fail_at(err, VECDB_ERR_ZERO_VECTOR, row, f->name,
                     "a vector of field '%s' is zero, or too short to have a direction", f->name);
}

static bool vector_check_wants_length(const struct vdb_field *f) {
  return f->metric == VECDB_COSINE && !(f->flags & VECDB_ALLOW_ZERO);
}

/* The exact rule, for the vectors that the float sum does not settle. */
static int vector_check_exact(const struct vdb_field *f, const uint8_t *data, int64_t row,
                              vecdb_error *err) {
  double sum = 0;
  for (size_t i = 0; i < f->dim; i++) {
    float x = vector_check_at(f->type, data, i);
    if (!__builtin_isfinite(x))
      return vector_check_not_finite(f, row, i, err);
    sum += (double)x * (double)x;
  }
  if (sum > (double)FLT_MAX)
    return vdb_fail_at(err, VECDB_ERR_OVERFLOW, row, f->name,
                       "the squared norm of a vector of field '%s' is too large for a float",
                       f->name);
  if (sum < (double)FLT_MIN && vector_check_wants_length(f))
    return vector_check_zero(f, row, err);
  return VECDB_OK;
}

static int vector_check_float(const struct vdb_field *f, const uint8_t *data, int64_t row,
                              vecdb_error *err) {
  float sum = f->type == VECDB_FLOAT_VECTOR ? vector_check_sum_f32(data, f->dim)
                                            : vector_check_sum_bf16(data, f->dim);
  if (VDB_LIKELY(sum > 4 * FLT_MIN && sum < FLT_MAX / 4))
    return VECDB_OK;
  return vector_check_exact(f, data, row, err);
}

/* Ors the magnitudes of binary16 elements together; *bad is set when one is NaN or infinite. Adding
   0x0400 to a magnitude carries into the top bit just when its exponent is all ones. */
static uint32_t vector_check_any_half(const uint8_t *data, size_t dim, bool *bad) {
  enum { VECTOR_CHECK_HALVES = 8 };
  const uint32_t magnitude = 0x7fff7fffu;
  vector_check_u32x4 any = {0}, carry = {0};
  size_t i = 0;
  for (; i + VECTOR_CHECK_HALVES <= dim; i += VECTOR_CHECK_HALVES) {
    vector_check_u32x4 x;
    memcpy(&x, data + i * sizeof(uint16_t), sizeof x);
    x &= magnitude;
    any |= x;
    carry |= x + 0x04000400u;
  }
  uint32_t all = any[0] | any[1] | any[2] | any[3];
  uint32_t top = carry[0] | carry[1] | carry[2] | carry[3];
  for (; i < dim; i++) {
    uint16_t x;
    memcpy(&x, data + i * sizeof x, sizeof x);
    all |= x & magnitude & 0xffffu;
    top |= (x & 0x7fffu) + 0x0400u;
  }
  *bad = (top & 0x80008000u) != 0;
  return all;
}

/* binary16: squared norms always fit a float, whatever the dimension. */
static int vector_check_half(const struct vdb_field *f, const uint8_t *data, int64_t row,
                             vecdb_error *err) {
  bool bad;
  uint32_t any = vector_check_any_half(data, f->dim, &bad);
  for (size_t i = 0; bad && i < f->dim; i++) {
    uint16_t x;
    memcpy(&x, data + i * sizeof x, sizeof x);
    if ((x & 0x7c00u) == 0x7c00u)
      return vector_check_not_finite(f, row, i, err);
  }
  return any == 0 && vector_check_wants_length(f) ? vector_check_zero(f, row, err) : VECDB_OK;
}

static int vector_check_int8(const struct vdb_field *f, const uint8_t *data, int64_t row,
                             vecdb_error *err) {
  if (!vector_check_wants_length(f))
    return VECDB_OK;
  for (size_t i = 0; i < f->dim; i++)
    if (data[i])
      return VECDB_OK;
  return vector_check_zero(f, row, err);
}

VDB_INTERNAL int vdb_vector_check(const struct vdb_field *field, const void *vector, int64_t row,
                                  vecdb_error *err) {
  switch (field->type) {
  case VECDB_FLOAT_VECTOR:
  case VECDB_BFLOAT16_VECTOR:
    return vector_check_float(field, vector, row, err);
  case VECDB_FLOAT16_VECTOR:
    return vector_check_half(field, vector, row, err);
  case VECDB_INT8_VECTOR:
    return vector_check_int8(field, vector, row, err);
  default:
    return VECDB_OK; /* any bits are a binary vector */
  }
}
