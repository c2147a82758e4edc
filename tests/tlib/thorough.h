/*
 * thorough.h - how much of its work a test does in the build that it is compiled for. What a
 * sanitizer finds, it finds on few rows as well as on many, and it makes each some ten times as
 * slow; how good the answers are is the plain build's to show.
 */
#ifndef THOROUGH_H
#define THOROUGH_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif

#ifdef TEST_SANITIZED
#define TEST_SIZE(plain, sanitized) (sanitized)
#else
#define TEST_SIZE(plain, sanitized) (plain)
#endif

#endif
