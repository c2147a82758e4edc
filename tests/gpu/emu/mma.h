/*
 * mma.h - products of 16 x 16 matrices of half floats on the host, as nvcuda::wmma does them. Each
 * of the first 16 lanes holds whole matrices, and of sums the row that it adds up and stores.
 */
#ifndef EMU_MMA_H
#define EMU_MMA_H

#include "cuda_fp16.h"

namespace nvcuda {
namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

/* Numbers as floats, which they are multiplied as. */
template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
  float at[16][16]; /* row, column */
};

/* A lane needs its row of the first matrix, and all of the second. */
static inline void load_matrix_sync(fragment<matrix_a, 16, 16, 16, __half, row_major> &f,
                                    const __half *from, unsigned step) {
  unsigned i = emu_lane();
  for (int j = 0; i < 16 && j < 16; j++)
    f.at[i][j] = __half2float(from[i * step + j]);
}
static inline void load_matrix_sync(fragment<matrix_b, 16, 16, 16, __half, col_major> &f,
                                    const __half *from, unsigned step) {
  for (int j = 0; emu_lane() < 16 && j < 16; j++)
    for (int i = 0; i < 16; i++)
      f.at[i][j] = __half2float(from[j * step + i]);
}
static inline void fill_fragment(fragment<accumulator, 16, 16, 16, float> &f, float value) {
  for (auto &row : f.at)
    for (float &x : row)
      x = value;
}
template <typename A, typename B>
static void mma_sync(fragment<accumulator, 16, 16, 16, float> &d, const A &a, const B &b,
                     const fragment<accumulator, 16, 16, 16, float> &c) {
  int i = (int)emu_lane();
  float sums[16];
  if (i >= 16)
    return;
  memcpy(sums, c.at[i], sizeof sums);
  for (int k = 0; k < 16; k++)
    for (int j = 0; j < 16; j++)
      sums[j] += a.at[i][k] * b.at[k][j];
  memcpy(d.at[i], sums, sizeof sums);
}
static inline void store_matrix_sync(float *to,
                                     const fragment<accumulator, 16, 16, 16, float> &f,
                                     unsigned step, layout_t layout) {
  int i = (int)emu_lane();
  for (int j = 0; i < 16 && j < 16; j++)
    to[layout == mem_row_major ? i * step + j : j * step + i] = f.at[i][j];
}

} // namespace wmma
} // namespace nvcuda

#endif
