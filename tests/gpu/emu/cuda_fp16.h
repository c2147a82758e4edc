/* cuda_fp16.h - half floats on the host, as gpu/ uses them: 16 bits, computed as floats. */
#ifndef EMU_CUDA_FP16_H
#define EMU_CUDA_FP16_H

#include "cuda_runtime.h"

struct __half {
  uint16_t bits;
};

extern const float *const emu_halves; /* the value of each half float, by its bits */
uint16_t emu_float_to_half(float x); /* to nearest even */

static inline float __half2float(__half x) { return emu_halves[x.bits]; }
static inline __half __float2half_rn(float x) { return __half{emu_float_to_half(x)}; }
static inline __half __ushort_as_half(uint16_t bits) { return __half{bits}; }

#endif
