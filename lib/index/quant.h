/*
 * quant.h - quantizers of residuals: what the inverted lists of an IVF index hold instead of rows.
 * A list has a centre c; its rows are coded by what they differ from it, r = x - c, and stored in
 * blocks of 32 (kern/fastscan.h). One table per query serves the lists of all centres, because
 * whatever of the distance depends on row and centre alone is a number beside the code:
 *
 *   key(q, x) = base(q, c) + add(x) + rescale(x) * table(q, code(x))
 *
 *   L2   base = |q - c|^2 and key = |q - x|^2, estimated
 *   IP   base = -<q, c>   and key = -<q, x>, estimated
 *
 * COSINE rows are brought to length 1 by the caller and treated as L2 or IP. Rows, centres and
 * queries must all have gone through the same transform (rotate.h), which should bring the mean
 * norm of rows near 1: factors are f16, and saturate at 65,504.
 *
 *   pq.h      product quantization: m sub-vectors, 2^nbits centroids each
 *   rabitq.h  one bit per dimension
 */
#ifndef VDB_QUANT_H
#define VDB_QUANT_H

#include "base/err.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/sect.h"
#include "kern/fastscan.h"
#include "kern/linear.h"

struct vdb_quant_ops;

/* A trained quantizer, immutable. The numbers are for its users to read. */
struct vdb_quant {
  const struct vdb_quant_ops *ops;
  int32_t metric;       /* VECDB_L2 or VECDB_IP */
  uint32_t dim;
  uint32_t m;           /* sub-codes of a row */
  uint32_t nbits;       /* of a sub-code, 1 to 8 */
  bool wide;            /* blocks hold bytes, not nibbles */
  bool rescaled;        /* blocks hold factors `rescale` */
  uint32_t block_codes; /* bytes of a block before its factors */
  uint32_t block_bytes; /* of a block, a multiple of 64 */
  size_t table_bytes;   /* of a query's table, a multiple of 64 */
};

/* A coded row before it is put into a block. */
struct vdb_quant_row {
  uint8_t *codes; /* m of them; memory of the caller's */
  float add;
  float rescale;  /* 1 where blocks have none */
  /* How far the estimate of a key may be off: with a probability that the quantizer states, by at
     most error * |q - c|. 0: not known. */
  float error;
};

struct vdb_quant_ops {
  const char *name;
  /* Codes r = x - c. Any thread. */
  void (*encode)(const struct vdb_quant *q, const float *residual, const float *centre,
                 struct vdb_quant_row *row);
  /* The residual that codes stand for, scaled by `rescale` as estimates are. */
  void (*decode)(const struct vdb_quant *q, const struct vdb_quant_row *row, float *residual);
  /* Fills `memory` (table_bytes, 64-byte aligned), to which `out` then points. `query` is dim
     floats, whole: not less a centre. */
  void (*table)(const struct vdb_quant *q, const float *query, void *memory,
                struct vdb_scan_table *out);
  /* Writes what `open` of the type needs. */
  int (*write)(const struct vdb_quant *q, struct vdb_sect_writer *out, uint32_t number,
               vecdb_error *err);
  void (*close)(struct vdb_mem *mem, struct vdb_quant *q);
};

/* Makes all slots of a block free. */
VDB_INTERNAL void vdb_quant_block_clear(const struct vdb_quant *q, uint8_t *block);
/* Puts a coded row into slot 0 to 31 of a block; other slots are left as they are. */
VDB_INTERNAL void vdb_quant_put(const struct vdb_quant *q, uint8_t *block, uint32_t slot,
                                const struct vdb_quant_row *row);
/* Takes it out again; row->codes has room for m. `error` is not kept in blocks: 0. */
VDB_INTERNAL void vdb_quant_get(const struct vdb_quant *q, const uint8_t *block, uint32_t slot,
                                struct vdb_quant_row *row);
/* The function that scans blocks of this quantizer; fetch it once per query. */
VDB_INTERNAL vdb_scan_fn vdb_quant_scan(const struct vdb_quant *q);
/* base(q, c) of the formula above. */
VDB_INTERNAL float vdb_quant_base(const struct vdb_quant *q, const float *query,
                                  const float *centre);

/* ---- For quantizers -------------------------------------------------------------------------- */

/* Sets block_codes, block_bytes and table_bytes from the numbers before them. */
VDB_INTERNAL void vdb_quant_sizes(struct vdb_quant *q);
/* A table but for its bytes, scale and offset, of bytes up to 255 / depth. */
VDB_INTERNAL void vdb_quant_table_init(const struct vdb_quant *q, uint32_t depth, uint8_t *lut,
                                       struct vdb_scan_table *out);
/* Where in the memory of a query's table its entries as floats are put, 16 (wide: 256) for each
   sub-code; and the table made of these, of bytes up to 255 / depth. */
VDB_INTERNAL float *vdb_quant_floats(const struct vdb_quant *q, void *memory);
VDB_INTERNAL void vdb_quant_narrow(const struct vdb_quant *q, uint32_t depth, void *memory,
                                   struct vdb_scan_table *out);

#endif
