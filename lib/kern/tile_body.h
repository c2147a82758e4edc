/*
 * tile_body.h - the micro-kernel of tile.c for all vector tables, written once. Each instruction
 * set's file includes it inside its target region, behind kern_body.h, whose float primitives it
 * uses; hence no include guard. With TB_SUFFIX behind each name it needs
 *
 *   TB_F, TB_FLOATS    the vector, and the floats in it (1, 2 or 4 vectors are a panel)
 *   TB_ROWS, TB_PANELS rows and panels whose sums fit the registers
 *   kern_one_f(p)      a vector of copies of one float; kern_fma, kern_add, kern_zero_f,
 *                      kern_load_f32, kern_store_f32
 */

#define TB_JOIN2(name, suffix) kern_##name##_##suffix
#define TB_JOIN(name, suffix) TB_JOIN2(name, suffix)
#define TB(name) TB_JOIN(name, TB_SUFFIX)
#if defined(__clang__)
#define TB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TB_UNROLL _Pragma("GCC unroll 16")
#endif
#define TB_VECTORS (VDB_TILE_PANEL / TB_FLOATS)

/* `rows` and `panels` are constants where it is inlined, so the sums live in registers. */
static inline __attribute__((always_inline)) void TB(tile_some)(const struct vdb_tile_step *s,
                                                                size_t row, size_t panel,
                                                                const size_t rows,
                                                                const size_t panels) {
  TB_F sum[TB_ROWS][TB_PANELS * TB_VECTORS], b[TB_PANELS * TB_VECTORS];
  const float *a = s->rows + row * VDB_TILE_ROW_STRIDE;
  const float *p[TB_PANELS];
  const size_t len = s->len, out_stride = s->out_stride;
  const bool add = s->add;
  TB_UNROLL for (size_t j = 0; j < panels; j++)
    p[j] = s->panels + (panel + j) * s->panel_stride;
  TB_UNROLL for (size_t i = 0; i < rows; i++)
    TB_UNROLL for (size_t j = 0; j < panels * TB_VECTORS; j++)
      sum[i][j] = TB(zero_f)();
  for (size_t k = 0; k < len; k++) {
    TB_UNROLL for (size_t j = 0; j < panels * TB_VECTORS; j++)
      b[j] = TB(load_f32)(p[j / TB_VECTORS] + k * VDB_TILE_PANEL + j % TB_VECTORS * TB_FLOATS);
    TB_UNROLL for (size_t i = 0; i < rows; i++) {
      TB_F one = TB(one_f)(a + i * VDB_TILE_ROW_STRIDE + k);
      TB_UNROLL for (size_t j = 0; j < panels * TB_VECTORS; j++)
        sum[i][j] = TB(fma)(one, b[j], sum[i][j]);
    }
  }
  float *out = s->out + row * out_stride + panel * VDB_TILE_PANEL;
  TB_UNROLL for (size_t i = 0; i < rows; i++) {
    TB_UNROLL for (size_t j = 0; j < panels * TB_VECTORS; j++) {
      float *at = out + i * out_stride + j * TB_FLOATS;
      TB(store_f32)(at, add ? TB(add)(TB(load_f32)(at), sum[i][j]) : sum[i][j]);
    }
  }
}

/* What is left after whole blocks is done by fours and ones. */
static void TB(tile)(const struct vdb_tile_step *s) {
  for (size_t panel = 0, panels; panel < s->n_panels; panel += panels) {
    panels = vdb_min_size(s->n_panels - panel, TB_PANELS);
    size_t row = 0;
#define TB_WHILE(rows)                               \
  for (; row + (rows) <= s->n_rows; row += (rows))   \
    if (panels == TB_PANELS)                         \
      TB(tile_some)(s, row, panel, rows, TB_PANELS); \
    else                                             \
      TB(tile_some)(s, row, panel, rows, 1)
    TB_WHILE(TB_ROWS);
    TB_WHILE(4);
    TB_WHILE(1);
#undef TB_WHILE
  }
}

#undef TB_F
#undef TB_FLOATS
#undef TB_ROWS
#undef TB_PANELS
#undef TB_VECTORS
#undef TB_UNROLL
#undef TB
#undef TB_JOIN
#undef TB_JOIN2
#undef TB_SUFFIX
