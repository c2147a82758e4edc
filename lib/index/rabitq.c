/* rabitq.c - see rabitq.h. */
#include "index/rabitq.h"

#include <math.h>

enum {
  RABITQ_PART = 4,  /* dimensions of a sub-code */
  RABITQ_DEPTH = 8  /* 5-bit look-ups: with 8 bits recall is the same, and a scan half as fast */
};
#define RABITQ_DEVIATIONS 1.9

/*
 * Writes the signs of r and finds the factors. A residual of 0 is its centre: nothing is added, and
 * the sum counts nothing.
 */
static void rabitq_encode(const struct vdb_quant *q, const float *residual, const float *centre,
                          struct vdb_quant_row *row) {
  double square = 0, s1 = 0, s2 = 0, dot = 0;
  memset(row->codes, 0, q->m);
  for (uint32_t i = 0; i < q->dim; i++) {
    double r = (double)residual[i], c = (double)centre[i];
    bool above = residual[i] > 0;
    row->codes[i / RABITQ_PART] |= (uint8_t)(above << i % RABITQ_PART);
    square += r * r;
    s1 += fabs(r) / 2;
    s2 += above ? c / 2 : -c / 2;
    dot += r * c;
  }
  double stretch = s1 > 0 ? square / s1 : 0;
  /* |x~|^2 |r|^2 / <r, x~>^2 - 1: the squared tangent of the angle between r and x~ */
  double tangent = s1 > 0 ? (double)q->dim / 4 * square / (s1 * s1) - 1 : 0;
  double spread = q->dim > 1 ? sqrt((tangent > 0 ? tangent : 0) / (q->dim - 1)) : 0;
  bool l2 = q->metric == VECDB_L2;
  row->add = (float)(l2 ? square + 2 * stretch * s2 : stretch * s2 - dot);
  row->rescale = (float)(l2 ? -2 * stretch : -stretch);
  row->error = (float)((l2 ? 2 : 1) * RABITQ_DEVIATIONS * sqrt(square) * spread);
}

static void rabitq_decode(const struct vdb_quant *q, const struct vdb_quant_row *row,
                          float *residual) {
  float half = row->rescale / (q->metric == VECDB_L2 ? -4.0f : -2.0f);
  for (uint32_t i = 0; i < q->dim; i++)
    residual[i] = row->codes[i / RABITQ_PART] >> i % RABITQ_PART & 1 ? half : -half;
}

static void rabitq_table(const struct vdb_quant *q, const float *query, void *memory,
                         struct vdb_scan_table *out) {
  uint8_t *lut = memory;
  vdb_quant_table_init(q, RABITQ_DEPTH, lut, out);
  vdb_linear()->signs(query, q->dim, 255 / RABITQ_DEPTH, lut, &out->scale, &out->offset);
}

static int rabitq_write(const struct vdb_quant *q, struct vdb_sect_writer *out, uint32_t number,
                        vecdb_error *err) {
  (void)q;
  (void)out;
  (void)number;
  (void)err;
  return VECDB_OK;
}

static void rabitq_close(struct vdb_mem *mem, struct vdb_quant *q) { vdb_free(mem, q); }

static const struct vdb_quant_ops rabitq_ops = {.name = "RABITQ",
                                                .encode = rabitq_encode,
                                                .decode = rabitq_decode,
                                                .table = rabitq_table,
                                                .write = rabitq_write,
                                                .close = rabitq_close};

VDB_INTERNAL int vdb_rabitq_new(struct vdb_mem *mem, uint32_t dim, int32_t metric,
                                struct vdb_quant **out, vecdb_error *err) {
  struct vdb_quant *q = vdb_alloc_wide(mem, sizeof *q);
  if (!q)
    return vdb_fail_memory(err);
  *q = (struct vdb_quant){.ops = &rabitq_ops,
                          .metric = metric,
                          .dim = dim,
                          .m = (dim + RABITQ_PART - 1) / RABITQ_PART,
                          .nbits = RABITQ_PART,
                          .rescaled = true};
  vdb_quant_sizes(q);
  *out = q;
  return VECDB_OK;
}
