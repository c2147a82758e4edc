/*
 * rotate.c - see rotate.h. The section:
 *
 *   u32 version, dim, rotation; f32 scale; zeroes up to 64 bytes
 *   f32 mean[dim]
 *   RANDOM: u32 signs[3 dim]; LEARNED: f32 matrix[dim][dim]
 */
#include "index/rotate.h"

#include <math.h>

#include "base/rng.h"
#include "kern/linear.h"
#include "kern/tile.h"

#define ROTATE_TAG VDB_TAG('V', 'T', 'R', 'F')
enum { ROTATE_VERSION = 1, ROTATE_HEADER = 64 };
#define ROTATE_SIGN 0x80000000u

struct rotate_header {
  uint32_t version, dim, rotation;
  float scale;
  uint32_t zeroes[12];
};
_Static_assert(sizeof(struct rotate_header) == ROTATE_HEADER, "as in the file");

/* The numbers of a rotation: of 4 bytes each. */
static size_t rotate_numbers(enum vdb_rotation rotation, uint32_t dim) {
  return rotation == VDB_ROTATE_RANDOM    ? VDB_LINEAR_ROUNDS * (size_t)dim
         : rotation == VDB_ROTATE_LEARNED ? (size_t)dim * dim
                                          : 0;
}

VDB_INTERNAL void vdb_rotate_signs(uint64_t seed, uint32_t dim, uint32_t *signs) {
  struct vdb_rng rng = {seed};
  for (size_t i = 0; i < VDB_LINEAR_ROUNDS * (size_t)dim; i++)
    signs[i] = (uint32_t)(vdb_rng_next(&rng) >> 32) & ROTATE_SIGN;
}

/* All in one block: the struct, the mean, and what the rotation needs. */
VDB_INTERNAL int vdb_transform_new(struct vdb_mem *mem, enum vdb_rotation rotation, uint32_t dim,
                                   uint64_t seed, const float *matrix, struct vdb_transform **out,
                                   vecdb_error *err) {
  size_t head = (size_t)vdb_round_up(sizeof **out, 64);
  size_t numbers = rotate_numbers(rotation, dim);
  uint8_t *block = vdb_alloc_wide(mem, head + (dim + numbers) * 4);
  if (!block)
    return vdb_fail_memory(err);
  struct vdb_transform *t = (void *)block;
  *t = (struct vdb_transform){.rotation = rotation, .dim = dim, .scale = 1};
  t->mean = (void *)(block + head);
  memset(t->mean, 0, dim * sizeof *t->mean);
  void *rest = t->mean + dim;
  if (rotation == VDB_ROTATE_RANDOM) {
    vdb_rotate_signs(seed, dim, rest);
    t->signs = rest;
  } else if (rotation == VDB_ROTATE_LEARNED) {
    memcpy(rest, matrix, numbers * sizeof *matrix);
    t->matrix = rest;
  }
  *out = t;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_transform_fit(struct vdb_transform *t, const float *rows, size_t n,
                                    bool centred) {
  memset(t->mean, 0, t->dim * sizeof *t->mean);
  for (uint32_t d = 0; centred && d < t->dim; d++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
      sum += (double)rows[i * t->dim + d];
    t->mean[d] = n ? (float)(sum / (double)n) : 0;
  }
  double norms = 0;
  for (size_t i = 0; i < n; i++) {
    double square = 0;
    for (uint32_t d = 0; d < t->dim; d++) {
      double x = (double)rows[i * t->dim + d] - (double)t->mean[d];
      square += x * x;
    }
    norms += sqrt(square);
  }
  float scale = (float)((double)n / norms);
  t->scale = isfinite(scale) && scale > 0 ? scale : 1;
}

VDB_INTERNAL void vdb_transform_close(struct vdb_mem *mem, struct vdb_transform *t) {
  vdb_free(mem, t);
}

VDB_INTERNAL void vdb_transform_rotate(const struct vdb_transform *t, const float *x, float *y) {
  if (t->rotation == VDB_ROTATE_LEARNED) {
    struct vdb_tile_rows row = {x, t->dim, 1}, matrix = {t->matrix, t->dim, t->dim};
    vdb_tile_dot(&row, &matrix, t->dim, y);
    return;
  }
  if (x != y)
    memcpy(y, x, t->dim * sizeof *y);
  if (t->rotation == VDB_ROTATE_RANDOM)
    vdb_linear()->rotate(t->signs, t->dim, y);
}

/* A learned rotation is applied to pieces of x, because R (x - mean) needs memory for x - mean. */
VDB_INTERNAL void vdb_transform_apply(const struct vdb_transform *t, const float *x, float *y) {
  if (t->rotation == VDB_ROTATE_LEARNED) {
    float part[256];
    memset(y, 0, t->dim * sizeof *y);
    for (uint32_t from = 0; from < t->dim; from += VDB_COUNT(part)) {
      uint32_t n = vdb_min_u32(VDB_COUNT(part), t->dim - from);
      for (uint32_t i = 0; i < n; i++)
        part[i] = (x[from + i] - t->mean[from + i]) * t->scale;
      for (uint32_t i = 0; i < t->dim; i++) {
        const float *row = t->matrix + (size_t)i * t->dim + from;
        y[i] += vdb_kern()->kern[VDB_F32][VDB_OP_DOT].one(part, row, n);
      }
    }
    return;
  }
  for (uint32_t i = 0; i < t->dim; i++)
    y[i] = (x[i] - t->mean[i]) * t->scale;
  if (t->rotation == VDB_ROTATE_RANDOM)
    vdb_linear()->rotate(t->signs, t->dim, y);
}

VDB_INTERNAL int vdb_transform_write(const struct vdb_transform *t, struct vdb_sect_writer *out,
                                     uint32_t number, vecdb_error *err) {
  struct rotate_header header = {ROTATE_VERSION, t->dim, (uint32_t)t->rotation, t->scale, {0}};
  const void *rest = t->signs ? (const void *)t->signs : t->matrix;
  size_t numbers = rotate_numbers(t->rotation, t->dim);
  VDB_TRY(out->begin(out, ROTATE_TAG, number, err));
  VDB_TRY(out->append(out, &header, sizeof header, err));
  VDB_TRY(out->append(out, t->mean, t->dim * sizeof *t->mean, err));
  if (numbers)
    VDB_TRY(out->append(out, rest, numbers * 4, err));
  return out->end(out, err);
}

/* Whether the numbers of a section are what they should be: finite, or signs. */
static bool rotate_valid(const struct rotate_header *h, const void *data, size_t numbers) {
  const float *floats = (const float *)data + ROTATE_HEADER / 4;
  const uint32_t *signs = (const uint32_t *)(const void *)(floats + h->dim);
  bool random = h->rotation == VDB_ROTATE_RANDOM, good = isfinite(h->scale) && h->scale > 0;
  for (size_t i = 0; i < h->dim + (random ? 0 : numbers); i++)
    good = good && isfinite(floats[i]);
  for (size_t i = 0; random && i < numbers; i++)
    good = good && (signs[i] & ~ROTATE_SIGN) == 0;
  return good;
}

VDB_INTERNAL int vdb_transform_open(struct vdb_mem *mem, const struct vdb_sect_reader *in,
                                    uint32_t number, uint32_t dim, struct vdb_transform **out,
                                    vecdb_error *err) {
  const void *data;
  size_t n;
  struct rotate_header h;
  VDB_TRY(in->find(in, ROTATE_TAG, number, false, &data, &n, err));
  if (!data || n < ROTATE_HEADER)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the transform of an index is missing");
  memcpy(&h, data, sizeof h);
  if (h.version > ROTATE_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "the transform of an index is of a newer version");
  size_t numbers = rotate_numbers((enum vdb_rotation)h.rotation, dim);
  if (h.version != ROTATE_VERSION || h.dim != dim || h.rotation > VDB_ROTATE_LEARNED ||
      n != ROTATE_HEADER + (dim + numbers) * 4 || !rotate_valid(&h, data, numbers))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the transform of an index is damaged");
  struct vdb_transform *t = vdb_alloc(mem, sizeof *t);
  if (!t)
    return vdb_fail_memory(err);
  float *mean = (float *)(uintptr_t)data + ROTATE_HEADER / 4;
  *t = (struct vdb_transform){(enum vdb_rotation)h.rotation, dim, h.scale, mean, NULL, NULL};
  if (h.rotation == VDB_ROTATE_RANDOM)
    t->signs = (const uint32_t *)(const void *)(mean + dim);
  else if (h.rotation == VDB_ROTATE_LEARNED)
    t->matrix = mean + dim;
  *out = t;
  return VECDB_OK;
}
