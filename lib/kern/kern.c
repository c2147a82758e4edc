/* kern.c - picks the table of kernels once; see kern.h. */
#include "kern.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "cpu.h"

VDB_INTERNAL const struct vdb_kern_table *vdb_kern_available(size_t i) {
  const struct vdb_kern_table *have[5] = {vdb_kern_scalar()};
  size_t n = 1;
  unsigned bits = vdb_cpu_bits();
  (void)bits;
#if defined(__x86_64__)
  if (bits & VDB_CPU_AVX2)
    have[n++] = vdb_kern_avx2();
  if (bits & VDB_CPU_AVX512)
    have[n++] = vdb_kern_avx512();
  if (bits & VDB_CPU_VNNI)
    have[n++] = vdb_kern_avx512vnni();
  if (bits & VDB_CPU_VPOPCNTDQ)
    have[n++] = vdb_kern_avx512vpop();
#elif defined(__aarch64__)
  if (bits & VDB_CPU_NEON)
    have[n++] = vdb_kern_neon();
#endif
  return i < n ? have[i] : NULL;
}

/* The table that the environment names, else the last, which is the best. */
static const struct vdb_kern_table *kern_choose(void) {
  const char *forced = getenv("VECDB_KERN");
  const struct vdb_kern_table *best = NULL;
  for (size_t i = 0; vdb_kern_available(i); i++) {
    best = vdb_kern_available(i);
    if (forced && strcmp(forced, best->name) == 0)
      break;
  }
  return best;
}

VDB_INTERNAL const struct vdb_kern_table *vdb_kern(void) {
  /* Threads that come here first at once all choose the same. */
  static const struct vdb_kern_table *_Atomic kern_chosen;
  const struct vdb_kern_table *table = atomic_load_explicit(&kern_chosen, memory_order_acquire);
  if (VDB_UNLIKELY(table == NULL)) {
    table = kern_choose();
    atomic_store_explicit(&kern_chosen, table, memory_order_release);
  }
  return table;
}

const char *vecdb_kernels(void) { return vdb_kern()->name; }
