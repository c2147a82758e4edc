/* bits_neon.c - distances of turned bits with NEON, 16 rows a register; see bits.h. */
#include "bits_tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

VDB_INLINE uint8x16_t bits_zero_neon(void) { return vdupq_n_u8(0); }
VDB_INLINE uint8x16_t bits_add_neon(uint8x16_t a, uint8x16_t b) { return vaddq_u8(a, b); }
VDB_INLINE uint8x16_t bits_load_neon(const uint8_t *p) { return vld1q_u8(p); }
VDB_INLINE uint8x16_t bits_low_neon(uint8x16_t v) { return vandq_u8(v, vdupq_n_u8(15)); }
VDB_INLINE uint8x16_t bits_high_neon(uint8x16_t v) { return vshrq_n_u8(v, 4); }
VDB_INLINE uint8x16_t bits_table_neon(const uint8_t *p) { return vld1q_u8(p); }
VDB_INLINE uint8x16_t bits_look_neon(uint8x16_t table, uint8x16_t v) {
  return vqtbl1q_u8(table, v);
}
VDB_INLINE void bits_widen_neon(uint16_t *out, uint8x16_t v, bool add) {
  uint16x8_t first = vmovl_u8(vget_low_u8(v)), second = vmovl_high_u8(v);
  if (add) {
    first = vaddq_u16(first, vld1q_u16(out));
    second = vaddq_u16(second, vld1q_u16(out + 8));
  }
  vst1q_u16(out, first);
  vst1q_u16(out + 8, second);
}

#define BB_SUFFIX neon
#define BB_V uint8x16_t
#define BB_ROWS 16
#include "bits_body.h"

VDB_INTERNAL const struct vdb_bits_table *vdb_bits_neon(void) {
  static const struct vdb_bits_table table = {
      .name = "neon", .distances = bits_distances_neon, .pack = vdb_bits_pack_scalar};
  return &table;
}

#endif
