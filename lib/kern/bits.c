/* bits.c - the choice among the tables of bits.h, and the plain one, which is the truth for the
 * others. */
#include "bits.h"

#include <stdatomic.h>

#include "bits_tables.h"

/* ---- Plain C --------------------------------------------------------------------------------- */

static void bits_distances_scalar(const struct vdb_bits_step *s) {
  for (size_t q = 0; q < s->n_queries; q++)
    for (size_t i = 0; i < s->n_blocks * VDB_BITS_ROWS; i++) {
      const uint8_t *row = s->blocks + i / VDB_BITS_ROWS * s->block_stride + i % VDB_BITS_ROWS;
      const uint8_t *offsets = s->offsets[q];
      uint32_t sum = 0;
      for (size_t j = 0; j < s->bytes; j++) {
        uint8_t byte = row[j * VDB_BITS_ROWS];
        sum += vdb_bits_tables[offsets[2 * j] + (byte & 15)];
        sum += vdb_bits_tables[offsets[2 * j + 1] + (byte >> 4)];
      }
      s->out[q * s->out_stride + i] = (uint16_t)sum;
    }
}

VDB_INTERNAL void vdb_bits_pack_scalar(const uint8_t *const rows[VDB_BITS_ROWS], size_t bytes,
                                       uint8_t *block) {
  for (size_t j = 0; j < bytes; j++)
    for (size_t i = 0; i < VDB_BITS_ROWS; i++)
      block[j * VDB_BITS_ROWS + i] = rows[i][j];
}

static const struct vdb_bits_table *bits_scalar(void) {
  static const struct vdb_bits_table table = {
      .name = "scalar", .distances = bits_distances_scalar, .pack = vdb_bits_pack_scalar};
  return &table;
}

VDB_INTERNAL void vdb_bits_offsets(const uint8_t *query, size_t bytes, uint8_t *offsets) {
  for (size_t j = 0; j < bytes; j++) {
    offsets[2 * j] = (uint8_t)(query[j] << 4);
    offsets[2 * j + 1] = query[j] & 0xf0;
  }
}

/* ---- Choice ---------------------------------------------------------------------------------- */

VDB_INTERNAL const struct vdb_bits_table *vdb_bits_available(size_t i) {
  const struct vdb_bits_table *have[2] = {bits_scalar()};
  size_t n = 1;
#if defined(__x86_64__)
  if (vdb_cpu_bits() & VDB_CPU_AVX2)
    have[n++] = vdb_bits_avx2();
#elif defined(__aarch64__)
  have[n++] = vdb_bits_neon();
#endif
  return i < n ? have[i] : NULL;
}

/* The plain one where plain distance kernels are in use, else the last. */
VDB_INTERNAL const struct vdb_bits_table *vdb_bits_table(void) {
  static const struct vdb_bits_table *_Atomic bits_chosen;
  const struct vdb_bits_table *table = atomic_load_explicit(&bits_chosen, memory_order_acquire);
  if (VDB_UNLIKELY(table == NULL)) {
    const struct vdb_bits_table *best = vdb_bits_available(1);
    table = vdb_kern() == vdb_kern_scalar() || !best ? bits_scalar() : best;
    atomic_store_explicit(&bits_chosen, table, memory_order_release);
  }
  return table;
}
