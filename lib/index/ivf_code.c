/*
 * ivf_code.c - rows in the lists, coded; see ivf.h. PQ and RABITQ are quantizers of quant.h. FLAT
 * and SQ8 are blocks of 8-bit integers:
 *
 *   i8 codes[32][stride], f32 add[32], f32 rescale[32]
 *
 * Row x' = c + r is r^ = code * scale and e = r - r^. Beside base = |q - c|^2 or -<q, c> and the
 * look-up <q, code> stand
 *
 *   L2   add = |r^|^2 + 2 <c, r^> + |e|^2   rescale = -2 scale
 *   IP   add = 0                            rescale = -scale
 *
 * Keys are then off by 2 <q - c - r^, e>, which is small for rows near the query, or by <q, e>.
 */
#include <math.h>

#include "base/check.h"
#include "index/ivf.h"
#include "kern/walk.h"

enum { CODE_MAX = 127 };

static const float *code_factors(const uint8_t *block, size_t stride) {
  return (const float *)(const void *)(block + VDB_IVF_BLOCK * stride);
}

/* As vdb_scan_fn; the table's lut is the query in 8 bits, m the stride. */
static uint32_t code_scan(const struct vdb_scan_table *q, const uint8_t *block, float base,
                          float bound, float keys[VDB_SCAN_ROWS]) {
  float dots[VDB_IVF_BLOCK];
  const float *add = code_factors(block, q->m);
  const float *rescale = add + VDB_IVF_BLOCK;
  vdb_kern()->kern[VDB_I8][VDB_OP_DOT].many(q->lut, block, q->m, VDB_IVF_BLOCK, q->m, dots);
  uint32_t below = 0;
  for (uint32_t i = 0; i < VDB_IVF_BLOCK; i++) {
    keys[i] = base + add[i] + rescale[i] * (q->scale * dots[i]);
    below |= (uint32_t)(keys[i] < bound) << i;
  }
  return below;
}

VDB_INTERNAL void vdb_ivf_coder_init(struct vdb_ivf_coder *coder, enum vdb_ivf_code code,
                                     uint32_t dim, bool l2, struct vdb_quant *quant) {
  size_t stride = vdb_ivf_stride(dim);
  vdb_assert((quant != NULL) == (code == VDB_IVF_PQ || code == VDB_IVF_RABITQ));
  coder->code = code;
  coder->quant = quant;
  coder->scan = quant ? vdb_quant_scan(quant) : code_scan;
  coder->block_bytes =
      quant ? quant->block_bytes : VDB_IVF_BLOCK * (stride + 2 * sizeof(float));
  coder->table_bytes = quant ? quant->table_bytes : 0;
  coder->dim = dim;
  coder->l2 = l2;
}

/* Vectors that every processor has: wider ones would be taken apart, through memory. */
typedef int32_t code_ints __attribute__((vector_size(16)));

/* The largest magnitude. */
static float code_most(const float *x, uint32_t dim) {
  code_ints most = {0}, v;
  float best = 0;
  uint32_t i = 0;
  for (; i + 4 <= dim; i += 4) {
    memcpy(&v, x + i, sizeof v);
    v &= INT32_MAX;
    code_ints more = v > most; /* positive floats compare as their bits do */
    most = (v & more) | (most & ~more);
  }
  float sizes[4];
  memcpy(sizes, &most, sizeof sizes);
  for (size_t lane = 0; lane < 4; lane++)
    best = sizes[lane] > best ? sizes[lane] : best;
  for (; i < dim; i++)
    best = fabsf(x[i]) > best ? fabsf(x[i]) : best;
  return best;
}

VDB_INTERNAL float vdb_ivf_round(const float *x, uint32_t dim, int8_t *out) {
  const struct vdb_walk_kern *kern = vdb_walk_kern();
  float scale = code_most(x, dim) / CODE_MAX, last[16] = {0};
  float by = scale > 0 && scale < __builtin_inff() ? 1 / scale : 0;
  size_t stride = vdb_ivf_stride(dim), whole = dim / 16 * 16;
  kern->narrow(x, whole, by, out);
  memset(out + whole, 0, stride - whole);
  if (whole < dim) {
    memcpy(last, x + whole, (dim - whole) * sizeof *x);
    kern->narrow(last, 16, by, out + whole);
  }
  return scale;
}

VDB_INTERNAL void vdb_ivf_block_clear(const struct vdb_ivf_coder *coder, uint8_t *block) {
  if (coder->quant) {
    vdb_quant_block_clear(coder->quant, block);
    return;
  }
  memset(block, 0, coder->block_bytes);
  float *add = (float *)(uintptr_t)code_factors(block, vdb_ivf_stride(coder->dim));
  for (uint32_t i = 0; i < VDB_IVF_BLOCK; i++)
    add[i] = __builtin_inff();
}

static float code_put_bytes(const struct vdb_ivf_coder *coder, const float *residual,
                            const float *centre, float more, uint8_t *block, uint32_t slot) {
  size_t stride = vdb_ivf_stride(coder->dim);
  int8_t *code = (int8_t *)block + slot * stride;
  float scale = vdb_ivf_round(residual, coder->dim, code);
  float rest = 0, coded = 0, across = 0;
  for (uint32_t i = 0; i < coder->dim; i++) {
    float r = (float)code[i] * scale;
    float e = residual[i] - r;
    rest += e * e;
    coded += r * r;
    across += centre[i] * r;
  }
  float *add = (float *)(uintptr_t)code_factors(block, stride);
  add[slot] = more + (coder->l2 ? coded + 2 * across + rest : 0);
  add[VDB_IVF_BLOCK + slot] = coder->l2 ? -2 * scale : -scale;
  return sqrtf(rest);
}

VDB_INTERNAL float vdb_ivf_put(const struct vdb_ivf_coder *coder, const float *residual,
                               const float *centre, float more, uint8_t *codes, uint8_t *block,
                               uint32_t slot) {
  if (!coder->quant)
    return code_put_bytes(coder, residual, centre, more, block, slot);
  struct vdb_quant_row row = {codes, 0, 0, 0};
  coder->quant->ops->encode(coder->quant, residual, centre, &row);
  row.add += more;
  vdb_quant_put(coder->quant, block, slot, &row);
  return 0;
}

/* What a query in 8 bits leaves out. */
static float code_error(const struct vdb_ivf_query *query, uint32_t dim) {
  float rest = 0;
  for (uint32_t i = 0; i < dim; i++) {
    float e = query->x[i] - (float)query->code[i] * query->scale;
    rest += e * e;
  }
  return sqrtf(rest);
}

VDB_INTERNAL void vdb_ivf_query_set(const struct vdb_ivf_coder *coder,
                                    struct vdb_ivf_query *query) {
  uint32_t dim = coder->dim;
  query->scale = vdb_ivf_round(query->x, dim, query->code);
  query->norm = sqrtf(vdb_kern()->kern[VDB_F32][VDB_OP_DOT].one(query->x, query->x, dim));
  query->error = coder->code == VDB_IVF_FLAT ? code_error(query, dim) : 0;
  if (coder->quant) {
    coder->quant->ops->table(coder->quant, query->x, query->memory, &query->table);
    return;
  }
  query->table = (struct vdb_scan_table){.lut = (const uint8_t *)query->code,
                                         .m = (uint32_t)vdb_ivf_stride(coder->dim),
                                         .scale = query->scale};
}
