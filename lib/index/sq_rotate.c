/* sq_rotate.c - see sq_rotate.h. */
#include "index/sq_rotate.h"

#include <math.h>

#include "base/rng.h"

/* Four floats at any address of a float; every processor that has a compiler for this has these. */
typedef float sq_rotate_four __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t sq_rotate_bits __attribute__((vector_size(16), aligned(4), may_alias));

VDB_INTERNAL void vdb_sq_signs(uint64_t seed, uint32_t dim, uint32_t *signs) {
  struct vdb_rng rng = {seed};
  for (size_t i = 0; i < VDB_SQ_ROUNDS * (size_t)dim; i++)
    signs[i] = (uint32_t)(vdb_rng_next(&rng) >> 32) & 0x80000000u;
}

/* The first two steps, within each vector. */
static void sq_rotate_within(float *x, size_t n) {
  const sq_rotate_four one = {1, -1, 1, -1}, two = {1, 1, -1, -1};
  for (size_t i = 0; i < n; i += 4) {
    sq_rotate_four v = *(sq_rotate_four *)(x + i);
    v = __builtin_shufflevector(v, v, 0, 0, 2, 2) +
        one * __builtin_shufflevector(v, v, 1, 1, 3, 3);
    v = __builtin_shufflevector(v, v, 0, 1, 0, 1) +
        two * __builtin_shufflevector(v, v, 2, 3, 2, 3);
    *(sq_rotate_four *)(x + i) = v;
  }
}

/* Steps h and 2 h. */
static void sq_rotate_twice(float *x, size_t n, size_t h) {
  for (size_t from = 0; from < n; from += 4 * h)
    for (size_t i = from; i < from + h; i += 4) {
      sq_rotate_four *a = (sq_rotate_four *)(x + i), *b = (sq_rotate_four *)(x + i + h);
      sq_rotate_four *c = (sq_rotate_four *)(x + i + 2 * h), *d = (sq_rotate_four *)(x + i + 3 * h);
      sq_rotate_four p = *a + *b, q = *a - *b, r = *c + *d, s = *c - *d;
      *a = p + r;
      *b = q + s;
      *c = p - r;
      *d = q - s;
    }
}

static void sq_rotate_once(float *x, size_t n, size_t h) {
  for (size_t i = 0; i < n; i += 2 * h)
    for (size_t k = i; k < i + h; k++) {
      float a = x[k], b = x[k + h];
      x[k] = a + b;
      x[k + h] = a - b;
    }
}

static void sq_rotate_hadamard(float *x, size_t n) {
  size_t h = 1;
  if (n >= 4) {
    sq_rotate_within(x, n);
    for (h = 4; 4 * h <= n; h *= 4)
      sq_rotate_twice(x, n, h);
  }
  for (; h < n; h *= 2)
    sq_rotate_once(x, n, h);
}

static void sq_rotate_flip(const uint32_t *signs, uint32_t dim, float *x) {
  uint32_t i = 0;
  for (; i + 4 <= dim; i += 4)
    *(sq_rotate_bits *)(void *)(x + i) ^= *(const sq_rotate_bits *)(signs + i);
  for (; i < dim; i++)
    x[i] = signs[i] ? -x[i] : x[i];
}

VDB_INTERNAL void vdb_sq_rotate(const uint32_t *signs, uint32_t dim, float *x) {
  uint32_t part = 1;
  while (2 * part <= dim)
    part *= 2;
  float by = 1 / sqrtf((float)part);
  for (uint32_t round = 0; round < VDB_SQ_ROUNDS; round++) {
    float *from = x + (round % 2 ? dim - part : 0);
    sq_rotate_flip(signs + (size_t)round * dim, dim, x);
    sq_rotate_hadamard(from, part);
    for (uint32_t i = 0; i < part; i++)
      from[i] *= by;
  }
}
