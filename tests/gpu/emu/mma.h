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

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment {
  T at[16][16]; /* row, column */
};

template <typename Use, typename T, typename Layout>
static void emu_load(fragment<Use, 16, 16, 16, T, Layout> &f, const T *from, unsigned step,
                     bool by_rows) {
  if (emu_lane() < 16)
    for (int i = 0; i < 16; i++)
      for (int j = 0; j < 16; j++)
        f.at[i][j] = by_rows ? from[i * step + j] : from[j * step + i];
}
template <typename Use, typename T>
static void load_matrix_sync(fragment<Use, 16, 16, 16, T, row_major> &f, const T *from,
                             unsigned step) {
  emu_load(f, from, step, true);
}
template <typename Use, typename T>
static void load_matrix_sync(fragment<Use, 16, 16, 16, T, col_major> &f, const T *from,
                             unsigned step) {
  emu_load(f, from, step, false);
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
  for (int j = 0; i < 16 && j < 16; j++) {
    float sum = c.at[i][j];
    for (int k = 0; k < 16; k++)
      sum += __half2float(a.at[i][k]) * __half2float(b.at[k][j]);
    d.at[i][j] = sum;
  }
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
