/*
 * pq.c - codes, tables and sections of product quantizers; see pq.h. The section:
 *
 *   u32 version, dim, m, nbits; i32 metric; zeroes up to 64 bytes
 *   f32 columns[m][dim / m][width], width = 2^nbits rounded up to 16; those added copy column 0
 */
#include "index/pq.h"

#include <math.h>

#include "kern/kern.h"

#define PQ_TAG VDB_TAG('P', 'Q', 'C', 'B')
enum { PQ_VERSION = 1, PQ_HEADER = 64, PQ_NIBBLE = 4, PQ_DEPTH = 4 };

struct pq_header {
  uint32_t version, dim, m, nbits;
  int32_t metric;
  uint32_t zeroes[11];
};
_Static_assert(sizeof(struct pq_header) == PQ_HEADER, "as in the file");

VDB_INTERNAL int vdb_pq_check(const struct vdb_pq_params *params, uint32_t n, uint32_t dim,
                              const char *field, vecdb_error *err) {
  if (params->nbits < 1 || params->nbits > 8)
    return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field, "nbits is %u, not 1 to 8",
                       params->nbits);
  if (params->m < 1 || params->m > dim || dim % params->m != 0)
    return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field,
                       "m is %u, which does not divide the dimension, %u", params->m, dim);
  if (n < UINT32_C(1) << params->nbits)
    return vdb_fail_at(err, VECDB_ERR_INDEX_PARAM, -1, field,
                       "%u rows are too few to learn %u centroids from", n,
                       UINT32_C(1) << params->nbits);
  return VECDB_OK;
}

/* ---- Codes ----------------------------------------------------------------------------------- */

VDB_INTERNAL void vdb_pq_codes(const struct vdb_quant *q, const float *x, uint8_t *codes) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  const struct vdb_linear *linear = vdb_linear();
  for (uint32_t j = 0; j < q->m; j++) {
    uint32_t nearest;
    linear->nearest(x + (size_t)j * pq->part_dim, 1,
                    pq->columns + (size_t)j * pq->part_dim * pq->width,
                    pq->halves + (size_t)j * pq->width, pq->part_dim, pq->width, &nearest);
    codes[j] = (uint8_t)nearest;
  }
}

VDB_INTERNAL void vdb_pq_decode(const struct vdb_quant *q, const uint8_t *codes, float *x) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  const float *column = pq->columns;
  for (uint32_t i = 0; i < q->dim; i++, column += pq->width)
    x[i] = column[codes[i / pq->part_dim] % pq->width];
}

static void pq_encode(const struct vdb_quant *q, const float *residual, const float *centre,
                      struct vdb_quant_row *row) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  const float *column = pq->columns;
  double add = 0;
  vdb_pq_codes(q, residual, row->codes);
  for (uint32_t i = 0; i < q->dim && q->metric == VECDB_L2; i++, column += pq->width) {
    double p = (double)column[row->codes[i / pq->part_dim]];
    add += p * (p + 2 * (double)centre[i]);
  }
  row->add = (float)add;
  row->rescale = 1;
  row->error = 0;
}

static void pq_decode_row(const struct vdb_quant *q, const struct vdb_quant_row *row,
                          float *residual) {
  vdb_pq_decode(q, row->codes, residual);
}

/* ---- Queries --------------------------------------------------------------------------------- */

/* What each centroid adds to a key, `width` floats a part. */
static void pq_products(const struct vdb_quant *q, const float *query, float *out) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  const struct vdb_linear *linear = vdb_linear();
  float weight = q->metric == VECDB_L2 ? -2 : -1;
  for (uint32_t j = 0; j < q->m; j++)
    linear->products(query + (size_t)j * pq->part_dim,
                     pq->columns + (size_t)j * pq->part_dim * pq->width, pq->part_dim, pq->width,
                     weight, out + (size_t)j * pq->width);
}

/* Tables of less than 256 entries are put apart, from the last on, and the gaps filled with their
   first entry, so that they stay within the range of the table. */
static void pq_spread(float *floats, uint32_t m, uint32_t width) {
  for (size_t j = m; j-- > 0;) {
    memmove(floats + j * 256, floats + j * width, width * sizeof *floats);
    for (size_t c = width; c < 256; c++)
      floats[j * 256 + c] = floats[j * 256];
  }
}

static void pq_table(const struct vdb_quant *q, const float *query, void *memory,
                     struct vdb_scan_table *out) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  float *floats = vdb_quant_floats(q, memory);
  pq_products(q, query, floats);
  if (q->wide && pq->width < 256)
    pq_spread(floats, q->m, pq->width);
  vdb_quant_narrow(q, q->wide ? 1 : PQ_DEPTH, memory, out);
}

VDB_INTERNAL void vdb_pq_float_table(const struct vdb_quant *q, const float *query,
                                     float *tables) {
  pq_products(q, query, tables);
}

/* ---- Sections -------------------------------------------------------------------------------- */

static int pq_write(const struct vdb_quant *q, struct vdb_sect_writer *out, uint32_t number,
                    vecdb_error *err) {
  const struct vdb_pq *pq = vdb_pq_of(q);
  struct pq_header header = {PQ_VERSION, q->dim, q->m, q->nbits, q->metric, {0}};
  VDB_TRY(out->begin(out, PQ_TAG, number, err));
  VDB_TRY(out->append(out, &header, sizeof header, err));
  VDB_TRY(out->append(out, pq->columns, (size_t)q->dim * pq->width * sizeof *pq->columns, err));
  return out->end(out, err);
}

static void pq_close(struct vdb_mem *mem, struct vdb_quant *q) {
  struct vdb_pq *pq = (struct vdb_pq *)(void *)q;
  vdb_free(mem, pq->own);
  vdb_free(mem, pq->halves);
  vdb_free(mem, pq);
}

static const struct vdb_quant_ops pq_ops = {.name = "PQ",
                                            .encode = pq_encode,
                                            .decode = pq_decode_row,
                                            .table = pq_table,
                                            .write = pq_write,
                                            .close = pq_close};

VDB_INTERNAL int vdb_pq_new(struct vdb_mem *mem, const struct vdb_pq_params *params, uint32_t dim,
                            int32_t metric, const float *columns, struct vdb_pq **out,
                            vecdb_error *err) {
  struct vdb_pq *pq = vdb_alloc_zero(mem, sizeof *pq);
  if (!pq)
    return vdb_fail_memory(err);
  pq->base = (struct vdb_quant){.ops = &pq_ops,
                                .metric = metric,
                                .dim = dim,
                                .m = params->m,
                                .nbits = params->nbits,
                                .wide = params->nbits > PQ_NIBBLE};
  vdb_quant_sizes(&pq->base);
  pq->part_dim = dim / params->m;
  pq->width = (uint32_t)vdb_round_up(UINT64_C(1) << params->nbits, VDB_LINEAR_UNIT);
  pq->own = columns ? NULL : vdb_alloc_wide(mem, (size_t)dim * pq->width * sizeof *pq->own);
  pq->columns = columns ? columns : pq->own;
  pq->halves = vdb_alloc_wide(mem, (size_t)params->m * pq->width * sizeof *pq->halves);
  if (!pq->columns || !pq->halves) {
    pq_close(mem, &pq->base);
    return vdb_fail_memory(err);
  }
  *out = pq;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_pq_settle(struct vdb_pq *pq, uint32_t j) {
  const float *columns = pq->columns + (size_t)j * pq->part_dim * pq->width;
  float *halves = pq->halves + (size_t)j * pq->width;
  for (uint32_t c = 0; c < pq->width; c++) {
    double square = 0;
    for (uint32_t d = 0; d < pq->part_dim; d++)
      square += (double)columns[d * pq->width + c] * (double)columns[d * pq->width + c];
    halves[c] = c >> pq->base.nbits ? INFINITY : (float)(square / 2);
  }
}

/* A header of this dim and metric, and a section of the size that follows from it. */
static bool pq_valid(const struct pq_header *h, uint32_t dim, int32_t metric, const void *data,
                     size_t n) {
  if (h->version != PQ_VERSION || h->dim != dim || h->metric != metric || h->nbits < 1 ||
      h->nbits > 8 || h->m < 1 || h->m > dim || dim % h->m != 0)
    return false;
  size_t floats = (size_t)dim * vdb_round_up(UINT64_C(1) << h->nbits, VDB_LINEAR_UNIT);
  if (n != PQ_HEADER + floats * sizeof(float))
    return false;
  const float *column = (const float *)data + PQ_HEADER / sizeof(float);
  for (size_t i = 0; i < floats; i++)
    if (!isfinite(column[i]))
      return false;
  return true;
}

VDB_INTERNAL int vdb_pq_open(struct vdb_mem *mem, const struct vdb_sect_reader *in, uint32_t number,
                             uint32_t dim, int32_t metric, struct vdb_quant **out,
                             vecdb_error *err) {
  const void *data;
  size_t n;
  struct pq_header h;
  struct vdb_pq *pq;
  VDB_TRY(in->find(in, PQ_TAG, number, false, &data, &n, err));
  if (!data || n < PQ_HEADER)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the product quantizer of an index is missing");
  memcpy(&h, data, sizeof h);
  if (h.version > PQ_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT,
                    "the product quantizer of an index is of a newer version");
  if (!pq_valid(&h, dim, metric, data, n))
    return vdb_fail(err, VECDB_ERR_CORRUPT, "the product quantizer of an index is damaged");
  struct vdb_pq_params params = {h.m, h.nbits};
  const float *columns = (const float *)data + PQ_HEADER / sizeof(float);
  VDB_TRY(vdb_pq_new(mem, &params, dim, metric, columns, &pq, err));
  for (uint32_t j = 0; j < h.m; j++)
    vdb_pq_settle(pq, j);
  *out = &pq->base;
  return VECDB_OK;
}
