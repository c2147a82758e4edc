/*
 * base.h - the ground every file stands on: fixed-width types, compiler conditions, small helpers.
 * All conditions on compiler and platform that the library needs are in this file, except the
 * instruction sets of lib/kern.
 */
#ifndef VDB_BASE_H
#define VDB_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vecdb.h"

/* Linkage of functions shared between files. The amalgamation defines it as `static`. */
#ifndef VDB_INTERNAL
#define VDB_INTERNAL extern __attribute__((visibility("hidden")))
#endif

#define VDB_INLINE static inline __attribute__((unused, always_inline))
#define VDB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define VDB_MUST_USE __attribute__((warn_unused_result))
#define VDB_LIKELY(x) __builtin_expect(!!(x), 1)
#define VDB_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VDB_PREFETCH(p) __builtin_prefetch((p), 0, 3)

#define VDB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

_Static_assert(sizeof(size_t) == 8, "vecdb needs a 64-bit platform");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vecdb maps its files and so needs a little-endian platform"
#endif

VDB_INLINE size_t vdb_min_size(size_t a, size_t b) { return a < b ? a : b; }
VDB_INLINE size_t vdb_max_size(size_t a, size_t b) { return a > b ? a : b; }
VDB_INLINE uint32_t vdb_min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* The least multiple of `unit` (a power of two) that is not below n. */
VDB_INLINE uint64_t vdb_round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) & ~(unit - 1); }

/* a * b, or false when it does not fit. */
VDB_INLINE bool vdb_mul(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}

#endif
