/* quant.c - blocks of coded rows; see quant.h. */
#include "index/quant.h"

#include "base/check.h"
#include "kern/kern.h"

#define QUANT_MOST 65504.0f /* the largest f16 */

/* The place of a sub-code in a block; of nibbles also which half of the byte. */
static uint8_t *quant_place(const struct vdb_quant *q, uint8_t *block, uint32_t j, uint32_t slot) {
  if (q->wide)
    return block + (size_t)j * VDB_SCAN_ROWS + slot;
  return block + (size_t)j * 16 + slot % 8 * 2 + slot / 8 % 2;
}

static uint8_t *quant_factor(const struct vdb_quant *q, uint8_t *block, uint32_t slot,
                             bool rescale) {
  return block + q->block_codes + ((rescale ? VDB_SCAN_ROWS : 0) + (size_t)slot) * 2;
}

static void quant_put_f16(uint8_t *at, float value) {
  uint16_t half;
  value = value > QUANT_MOST ? QUANT_MOST : value < -QUANT_MOST ? -QUANT_MOST : value;
  vdb_kern()->f32_to_f16(&value, &half, 1);
  memcpy(at, &half, sizeof half);
}

static float quant_get_f16(const uint8_t *at) {
  uint16_t half;
  float value;
  memcpy(&half, at, sizeof half);
  vdb_kern()->f16_to_f32(&half, &value, 1);
  return value;
}

VDB_INTERNAL void vdb_quant_block_clear(const struct vdb_quant *q, uint8_t *block) {
  const uint16_t infinity = 0x7c00;
  memset(block, 0, q->block_bytes);
  for (uint32_t slot = 0; slot < VDB_SCAN_ROWS; slot++)
    memcpy(quant_factor(q, block, slot, false), &infinity, sizeof infinity);
}

VDB_INTERNAL void vdb_quant_put(const struct vdb_quant *q, uint8_t *block, uint32_t slot,
                                const struct vdb_quant_row *row) {
  vdb_assert(slot < VDB_SCAN_ROWS);
  for (uint32_t j = 0; j < q->m; j++) {
    uint8_t *at = quant_place(q, block, j, slot);
    if (q->wide)
      *at = row->codes[j];
    else if (slot < 16)
      *at = (uint8_t)((*at & 0xf0) | row->codes[j]);
    else
      *at = (uint8_t)((*at & 0x0f) | row->codes[j] << 4);
  }
  quant_put_f16(quant_factor(q, block, slot, false), row->add);
  if (q->rescaled)
    quant_put_f16(quant_factor(q, block, slot, true), row->rescale);
}

VDB_INTERNAL void vdb_quant_get(const struct vdb_quant *q, const uint8_t *block, uint32_t slot,
                                struct vdb_quant_row *row) {
  uint8_t *b = (uint8_t *)(uintptr_t)block;
  for (uint32_t j = 0; j < q->m; j++) {
    uint8_t code = *quant_place(q, b, j, slot);
    row->codes[j] = q->wide ? code : slot < 16 ? code & 15 : code >> 4;
  }
  row->add = quant_get_f16(quant_factor(q, b, slot, false));
  row->rescale = q->rescaled ? quant_get_f16(quant_factor(q, b, slot, true)) : 1;
  row->error = 0;
}

VDB_INTERNAL vdb_scan_fn vdb_quant_scan(const struct vdb_quant *q) {
  return q->wide ? vdb_fastscan()->bytes : vdb_fastscan()->nibbles;
}

VDB_INTERNAL float vdb_quant_base(const struct vdb_quant *q, const float *query,
                                  const float *centre) {
  if (q->metric == VECDB_L2)
    return vdb_kern()->kern[VDB_F32][VDB_OP_L2].one(query, centre, q->dim);
  return -vdb_kern()->kern[VDB_F32][VDB_OP_DOT].one(query, centre, q->dim);
}

VDB_INTERNAL void vdb_quant_sizes(struct vdb_quant *q) {
  size_t places = (size_t)vdb_round_up(q->m, q->wide ? 2 : 4);
  size_t codes = q->wide ? vdb_scan_bytes_bytes(q->m) : vdb_scan_nibbles_bytes(q->m);
  size_t entries = q->wide ? 256 : 16;
  q->block_codes = (uint32_t)codes;
  q->block_bytes = (uint32_t)vdb_round_up(codes + (q->rescaled ? 4u : 2u) * VDB_SCAN_ROWS, 64);
  q->table_bytes = places * entries * (1 + sizeof(float));
}

VDB_INTERNAL float *vdb_quant_floats(const struct vdb_quant *q, void *memory) {
  return (float *)(void *)((uint8_t *)memory + q->table_bytes / (1 + sizeof(float)));
}

VDB_INTERNAL void vdb_quant_table_init(const struct vdb_quant *q, uint32_t depth, uint8_t *lut,
                                       struct vdb_scan_table *out) {
  uint32_t entries = q->wide ? 256 : 16;
  out->lut = lut;
  out->m = (uint32_t)vdb_round_up(q->m, q->wide ? 2 : 4);
  out->depth = depth;
  out->rescaled = q->rescaled;
  memset(lut + (size_t)q->m * entries, 0, (out->m - q->m) * (size_t)entries);
}

VDB_INTERNAL void vdb_quant_narrow(const struct vdb_quant *q, uint32_t depth, void *memory,
                                   struct vdb_scan_table *out) {
  vdb_quant_table_init(q, depth, memory, out);
  vdb_linear()->narrow(vdb_quant_floats(q, memory), q->m, q->wide ? 256 : 16, 255 / depth, memory,
                       &out->scale, &out->offset);
}
