/* linear_avx512.c - the loops of linear.h with AVX-512, in vectors of 16 floats. */
#include "linear.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#define LB_MIN(a, b) _mm512_min_ps(a, b)
#define LB_MAX(a, b) _mm512_max_ps(a, b)
#define LB_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LB_SUFFIX avx512
#define LB_WIDTH 16
#include "linear_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

VDB_INTERNAL const struct vdb_linear *vdb_linear_avx512(void) {
  static const struct vdb_linear table = LB_TABLE("avx512");
  return &table;
}
#include "linear_end.h"

#endif
