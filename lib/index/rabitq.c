/* rabitq.c - see rabitq.h. */
#include "index/rabitq.h"

#include <math.h>

enum {
  RABITQ_PART = 4,  /* dimensions of a sub-code */
  RABITQ_DEPTH = 8  /* 5-bit look-ups: with 8 bits recall is the same, and a scan half as fast */
};
#define RABITQ_DEVIATIONS 1.9

struct rabitq {
  struct vdb_quant base;
  float columns[RABITQ_PART * 16]; /* the halves that each nibble stands for */
};

static const struct rabitq *rabitq_of(const struct vdb_quant *q) {
  return (const struct rabitq *)(const void *)q;
}

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
  const struct rabitq *r = rabitq_of(q);
  const struct vdb_linear *linear = vdb_linear();
  float *floats = vdb_quant_floats(q, memory), last[RABITQ_PART] = {0};
  uint32_t whole = q->dim / RABITQ_PART;
  for (uint32_t j = 0; j < whole; j++)
    linear->products(query + j * RABITQ_PART, r->columns, RABITQ_PART, 16, 1, floats + j * 16);
  if (whole < q->m) {
    memcpy(last, query + whole * RABITQ_PART, (q->dim - whole * RABITQ_PART) * sizeof *last);
    linear->products(last, r->columns, RABITQ_PART, 16, 1, floats + whole * 16);
  }
  vdb_quant_narrow(q, RABITQ_DEPTH, memory, out);
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
  struct rabitq *r = vdb_alloc_wide(mem, sizeof *r);
  if (!r)
    return vdb_fail_memory(err);
  r->base = (struct vdb_quant){.ops = &rabitq_ops,
                               .metric = metric,
                               .dim = dim,
                               .m = (dim + RABITQ_PART - 1) / RABITQ_PART,
                               .nbits = RABITQ_PART,
                               .rescaled = true};
  vdb_quant_sizes(&r->base);
  for (uint32_t i = 0; i < RABITQ_PART * 16; i++)
    r->columns[i] = i % 16 >> i / 16 & 1 ? 0.5f : -0.5f;
  *out = &r->base;
  return VECDB_OK;
}
