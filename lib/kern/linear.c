/* linear.c - the choice among the loops over floats, and those in vectors of four, which every
   processor has; see linear.h. */
#include "linear.h"

#include <math.h>
#include <stdatomic.h>

#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define LB_MIN(a, b) _mm_min_ps(a, b)
#define LB_MAX(a, b) _mm_max_ps(a, b)
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LB_MIN(a, b) vminnmq_f32(a, b)
#define LB_MAX(a, b) vmaxnmq_f32(a, b)
#else
#define LB_BITS(v) ((linear_ints_plain)(v))
#define LB_PICK(a, b, of) \
  ((linear_vec_plain)((LB_BITS(a) & ((a)of(b))) | (LB_BITS(b) & ~((a)of(b)))))
#define LB_MIN(a, b) LB_PICK(a, b, <)
#define LB_MAX(a, b) LB_PICK(a, b, >)
#endif
#define LB_FMA(a, b, c) ((a) * (b) + (c))
#define LB_SUFFIX plain
#define LB_WIDTH 4
#include "linear_body.h"

static const struct vdb_linear linear_plain = LB_TABLE("plain");
#include "linear_end.h"

VDB_INTERNAL const struct vdb_linear *vdb_linear_available(size_t i) {
  const struct vdb_linear *have[3] = {&linear_plain};
  size_t n = 1;
#if defined(__x86_64__)
  unsigned bits = vdb_cpu_bits();
  if (bits & VDB_CPU_AVX2)
    have[n++] = vdb_linear_avx2();
  if (bits & VDB_CPU_AVX512)
    have[n++] = vdb_linear_avx512();
#endif
  return i < n ? have[i] : NULL;
}

/* The last whose name the name of the distance kernels starts with. */
static const struct vdb_linear *linear_choose(void) {
  const char *kern = vdb_kern()->name;
  const struct vdb_linear *best = &linear_plain, *linear;
  for (size_t i = 0; (linear = vdb_linear_available(i)) != NULL; i++)
    if (strncmp(kern, linear->name, strlen(linear->name)) == 0)
      best = linear;
  return best;
}

VDB_INTERNAL const struct vdb_linear *vdb_linear(void) {
  static const struct vdb_linear *_Atomic linear_chosen;
  const struct vdb_linear *linear = atomic_load_explicit(&linear_chosen, memory_order_acquire);
  if (VDB_UNLIKELY(linear == NULL)) {
    linear = linear_choose();
    atomic_store_explicit(&linear_chosen, linear, memory_order_release);
  }
  return linear;
}
