/*
 * memfault.h - an allocator for tests: it fails on request, counts, and is unkind in allowed ways.
 * Fresh memory is filled with 0xa5, released memory with 0x5a, and every resize moves the block, so
 * that code which leans on old contents or old addresses shows itself. Thread safe.
 *
 *   struct memfault m;
 *   memfault_init(&m);
 *   options.allocator = &m.table;
 *   memfault_fail(&m, 3, false);        // the third call from now fails, once
 *   ...
 *   assert(memfault_live(&m) == 0);     // no leak
 *
 * To try every allocation of a piece of code: run it with n = 1, 2, 3, ... until memfault_failed
 * tells that the n-th call was not reached.
 */
#ifndef MEMFAULT_H
#define MEMFAULT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vecdb.h"

struct memfault {
  vecdb_allocator table;      /* for vecdb_options.allocator; stays valid as long as the struct */
  _Atomic uint64_t calls;     /* of alloc and resize */
  _Atomic uint64_t fail_from; /* number of the first call to fail; 0: none */
  _Atomic uint64_t fail_to;   /* number of the last call to fail */
  _Atomic uint64_t failed;    /* calls that were made to fail since memfault_fail */
  _Atomic uint64_t live;      /* blocks out */
  _Atomic uint64_t live_bytes;
  _Atomic uint64_t peak_bytes;
};

/* Nothing fails until memfault_fail. Nothing is to be released. */
void memfault_init(struct memfault *m);
/* The nth call from now (1: the next) fails, once or from then on. nth 0: nothing fails. */
void memfault_fail(struct memfault *m, uint64_t nth, bool from_then_on);
/* Calls of alloc and resize so far, failed ones among them. */
uint64_t memfault_calls(struct memfault *m);
/* Calls made to fail since memfault_fail. */
uint64_t memfault_failed(struct memfault *m);
/* Blocks not released yet. */
uint64_t memfault_live(struct memfault *m);
/* The most bytes that were out at one time. */
uint64_t memfault_peak(struct memfault *m);

#endif
