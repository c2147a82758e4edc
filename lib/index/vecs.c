/* vecs.c - preparing queries and turning kernel results into keys; see vecs.h. */
#include "index/vecs.h"

#include <float.h>
#include <math.h>

#include "base/check.h"

VDB_INTERNAL enum vdb_elem vdb_elem_of(int32_t vector_type) {
  switch (vector_type) {
  case VECDB_FLOAT16_VECTOR:
    return VDB_F16;
  case VECDB_BFLOAT16_VECTOR:
    return VDB_BF16;
  case VECDB_INT8_VECTOR:
    return VDB_I8;
  case VECDB_BINARY_VECTOR:
    return VDB_BITS;
  default:
    vdb_assert(vector_type == VECDB_FLOAT_VECTOR);
    return VDB_F32;
  }
}

VDB_INTERNAL enum vdb_op vdb_op_of(int32_t metric) {
  switch (metric) {
  case VECDB_IP:
  case VECDB_COSINE:
    return VDB_OP_DOT;
  case VECDB_HAMMING:
    return VDB_OP_HAMMING;
  case VECDB_JACCARD:
    return VDB_OP_JACCARD;
  default:
    vdb_assert(metric == VECDB_L2);
    return VDB_OP_L2;
  }
}

VDB_INTERNAL const struct vdb_kern *vdb_kern_for(enum vdb_elem elem, int32_t metric) {
  const struct vdb_kern *kern = &vdb_kern()->kern[elem][vdb_op_of(metric)];
  vdb_assert(kern->one && kern->many && kern->gather);
  return kern;
}

VDB_INTERNAL size_t vdb_query_vec_bytes(enum vdb_elem elem, size_t dim) {
  bool widened = elem == VDB_F16 || elem == VDB_BF16;
  return widened ? dim * sizeof(float) : vdb_elem_row_bytes(elem, dim);
}

VDB_INTERNAL void vdb_query_vec_set(struct vdb_query_vec *q, const void *raw, enum vdb_elem elem,
                                    size_t dim, int32_t metric) {
  if (elem == VDB_F16)
    vdb_kern()->f16_to_f32(raw, q->data, dim);
  else if (elem == VDB_BF16)
    vdb_kern()->bf16_to_f32(raw, q->data, dim);
  else
    memcpy(q->data, raw, vdb_elem_row_bytes(elem, dim));
  q->inv_norm = metric == VECDB_COSINE ? vdb_inv_norm(vdb_vec_norm(raw, elem, dim)) : 1.0f;
}

static double vecs_squares_f32(const uint8_t *raw, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; i++) {
    float x;
    memcpy(&x, raw + i * sizeof x, sizeof x);
    sum += (double)x * (double)x;
  }
  return sum;
}

static double vecs_squares_16(const uint8_t *raw, enum vdb_elem elem, size_t dim) {
  const struct vdb_kern_table *k = vdb_kern();
  double sum = 0;
  for (size_t i = 0; i < dim;) {
    uint16_t in[64];
    float out[VDB_COUNT(in)];
    size_t n = vdb_min_size(dim - i, VDB_COUNT(in));
    memcpy(in, raw + i * sizeof in[0], n * sizeof in[0]);
    (elem == VDB_F16 ? k->f16_to_f32 : k->bf16_to_f32)(in, out, n);
    sum += vecs_squares_f32((const uint8_t *)out, n);
    i += n;
  }
  return sum;
}

VDB_INTERNAL double vdb_vec_norm(const void *raw, enum vdb_elem elem, size_t dim) {
  const uint8_t *bytes = raw;
  int64_t sum = 0;
  switch (elem) {
  case VDB_F32:
    return sqrt(vecs_squares_f32(bytes, dim));
  case VDB_F16:
  case VDB_BF16:
    return sqrt(vecs_squares_16(bytes, elem, dim));
  case VDB_I8:
    for (size_t i = 0; i < dim; i++)
      sum += (int64_t)(int8_t)bytes[i] * (int8_t)bytes[i];
    return sqrt((double)sum);
  default:
    for (size_t i = 0; i < dim / 8; i++)
      sum += __builtin_popcount(bytes[i]);
    return (double)sum;
  }
}

VDB_INTERNAL float vdb_inv_norm(double norm) {
  if (!(norm > 0))
    return 0;
  double inverse = 1 / norm;
  return inverse < (double)FLT_MAX ? (float)inverse : FLT_MAX;
}

VDB_INTERNAL void vdb_keys_range(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                                 uint32_t first, size_t n, float *keys) {
  vdb_assert(first <= v->n && n <= v->n - first);
  v->kern->many(q->data, v->data + (size_t)first * v->stride, v->stride, n, v->dim, keys);
  if (v->metric == VECDB_IP) {
    for (size_t i = 0; i < n; i++)
      keys[i] = -keys[i];
  } else if (v->metric == VECDB_COSINE) {
    for (size_t i = 0; i < n; i++)
      keys[i] = -keys[i] * v->inv_norms[first + i] * q->inv_norm;
  }
}

VDB_INTERNAL void vdb_keys_gather(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                                  const uint32_t *ids, size_t n, float *keys) {
  v->kern->gather(q->data, v->data, v->stride, ids, n, v->dim, keys);
  if (v->metric == VECDB_IP) {
    for (size_t i = 0; i < n; i++)
      keys[i] = -keys[i];
  } else if (v->metric == VECDB_COSINE) {
    for (size_t i = 0; i < n; i++)
      keys[i] = -keys[i] * v->inv_norms[ids[i]] * q->inv_norm;
  }
}

VDB_INTERNAL float vdb_key_one(const struct vdb_vecs *v, const struct vdb_query_vec *q,
                               uint32_t row) {
  float key;
  vdb_keys_gather(v, q, &row, 1, &key);
  return key;
}

VDB_INTERNAL void vdb_vecs_floats(const struct vdb_vecs *v, uint32_t row, float *out) {
  const uint8_t *raw = v->data + (size_t)row * v->stride;
  if (v->elem == VDB_F32)
    memcpy(out, raw, v->dim * sizeof *out);
  else if (v->elem == VDB_F16)
    vdb_kern()->f16_to_f32((const uint16_t *)(const void *)raw, out, v->dim);
  else if (v->elem == VDB_BF16)
    vdb_kern()->bf16_to_f32((const uint16_t *)(const void *)raw, out, v->dim);
  else
    for (uint32_t i = 0; i < v->dim; i++)
      out[i] = (float)(int8_t)raw[i];
  for (uint32_t i = 0; v->inv_norms && i < v->dim; i++)
    out[i] *= v->inv_norms[row];
}

VDB_INTERNAL void vdb_query_floats(const struct vdb_query_vec *q, enum vdb_elem elem, size_t dim,
                                   float *out) {
  const float *floats = q->data;
  const int8_t *bytes = q->data;
  for (size_t i = 0; i < dim; i++)
    out[i] = (elem == VDB_I8 ? (float)bytes[i] : floats[i]) * q->inv_norm;
}
