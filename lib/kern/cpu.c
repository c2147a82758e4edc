/* cpu.c - asks the processor what it can do; see cpu.h. Asks once, and remembers. */
#include "cpu.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { CPU_KNOWN = 1 << 30 };

#if defined(__x86_64__)

/* Register states that the system saves: XCR0, or 0 where it cannot be read. */
static uint64_t cpu_saved_states(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
    return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (uint64_t)d << 32 | a;
}

static bool cpu_all(unsigned word, unsigned wanted) { return (word & wanted) == wanted; }

static unsigned cpu_ask(void) {
  const uint64_t ymm = 0x06, zmm = 0xe6; /* SSE and AVX; these and the three states of AVX-512 */
  unsigned a, b1, c1, d1, b7, c7, d7, bits = 0;
  uint64_t saved = cpu_saved_states();
  if (!__get_cpuid(1, &a, &b1, &c1, &d1) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
    return 0;
  if ((saved & ymm) != ymm || !cpu_all(c1, bit_AVX | bit_FMA | bit_F16C) || !cpu_all(b7, bit_AVX2))
    return 0;
  bits |= VDB_CPU_AVX2;
  if ((saved & zmm) != zmm ||
      !cpu_all(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL))
    return bits;
  bits |= VDB_CPU_AVX512;
  if (cpu_all(c7, bit_AVX512VBMI))
    bits |= VDB_CPU_VBMI;
  if (!cpu_all(c7, bit_AVX512VNNI))
    return bits;
  bits |= VDB_CPU_VNNI;
  if (cpu_all(c7, bit_AVX512VPOPCNTDQ))
    bits |= VDB_CPU_VPOPCNTDQ;
  return bits;
}

#elif defined(__aarch64__)

static unsigned cpu_ask(void) { return VDB_CPU_NEON; }

#else

static unsigned cpu_ask(void) { return 0; }

#endif

VDB_INTERNAL unsigned vdb_cpu_bits(void) {
  static _Atomic unsigned cpu_known;
  unsigned bits = atomic_load_explicit(&cpu_known, memory_order_relaxed);
  if (bits == 0) {
    bits = cpu_ask() | CPU_KNOWN;
    atomic_store_explicit(&cpu_known, bits, memory_order_relaxed);
  }
  return bits & ~(unsigned)CPU_KNOWN;
}
