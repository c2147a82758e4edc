/*
 * check.h - assertions in tiers. vdb_assert states what must hold whatever the input: it is active
 * in debug builds (VDB_DEBUG) and gone otherwise. vdb_assert_slow is for checks that walk whole
 * structures (VDB_DEBUG_SLOW). What a file, a caller or the machine can break is no matter for
 * assertions: it is checked in every build and answered with an error code (err.h).
 */
#ifndef VDB_CHECK_H
#define VDB_CHECK_H

#include "base.h"

#ifdef VDB_DEBUG
#define vdb_assert(x) ((x) ? (void)0 : __builtin_trap())
#else
#define vdb_assert(x) ((void)sizeof(!(x)))
#endif

#ifdef VDB_DEBUG_SLOW
#define vdb_assert_slow(x) vdb_assert(x)
#else
#define vdb_assert_slow(x) ((void)sizeof(!(x)))
#endif

#endif
