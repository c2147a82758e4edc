/*
 * thorough.h - how much of its work a test does in the build that it is compiled for. What a
 * sanitizer finds, it finds on few rows as well as on many, and it makes each some ten times as
 * slow; how good the answers are is the plain build's to show. An emulated processor is as slow:
 * what is built for one has TEST_SLOW, too.
 */
#ifndef THOROUGH_H
#define THOROUGH_H

#include <stdbool.h>
#include <string.h>

#include "vecdb.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SLOW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SLOW 1
#endif
#endif

#ifdef TEST_SLOW
#define TEST_SIZE(plain, slow) (slow)
#else
#define TEST_SIZE(plain, slow) (plain)
#endif

/* The thread sanitizer asks for less still: of what threads do, one kind shows as much as ten. An
   emulated processor (TEST_EMULATED) is asked whether its instructions are right, no more. */
#if defined(__SANITIZE_THREAD__) || defined(TEST_EMULATED)
#define TEST_SIZES(plain, memory, least) (least)
#else
#define TEST_SIZES(plain, memory, least) TEST_SIZE(plain, memory)
#endif

/* In the list of a program's tests: one that has nothing to do with threads is left out where these
   are looked at. cmocka passes over an entry without a name. */
#ifdef __SANITIZE_THREAD__
#define TEST_ALONE(...) {NULL, NULL, NULL, NULL, NULL}
#else
#define TEST_ALONE(...) __VA_ARGS__
#endif

/* The plain kernels are some ten times as slow, too, and chosen when a program runs. */
static inline size_t test_size(size_t plain, size_t slow) {
  bool all = TEST_SIZE(true, false);
  return all && strcmp(vecdb_kernels(), "scalar") != 0 ? plain : slow;
}

#endif
