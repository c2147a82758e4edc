/* memfault.c - the failing allocator; see memfault.h. */
#include "tlib/memfault.h"

#include <stdlib.h>
#include <string.h>

enum { MEMFAULT_FRESH = 0xa5, MEMFAULT_DEAD = 0x5a };

/* Stands before each block. */
struct memfault_header {
  uint64_t size;
  uint64_t magic;
};
#define MEMFAULT_MAGIC 0x6d656d6661756c74u

/* Counts a call; true when it is to fail. */
static bool memfault_hit(struct memfault *m) {
  uint64_t number = atomic_fetch_add(&m->calls, 1) + 1;
  uint64_t from = atomic_load(&m->fail_from);
  if (from == 0 || number < from || number > atomic_load(&m->fail_to))
    return false;
  atomic_fetch_add(&m->failed, 1);
  return true;
}

/* Spoils a block's bytes: of a large one those at both ends, as the rest is seldom reached before
   them and most of a test's time would go there. */
static void memfault_spoil(void *block, int byte, size_t size) {
  enum { END = 4096 };
  if (size <= 2 * END) {
    memset(block, byte, size);
    return;
  }
  memset(block, byte, END);
  memset((char *)block + size - END, byte, END);
}

static void *memfault_new(struct memfault *m, size_t size) {
  if (size > SIZE_MAX - sizeof(struct memfault_header))
    return NULL;
  struct memfault_header *header = malloc(sizeof *header + size);
  if (!header)
    return NULL;
  header->size = size;
  header->magic = MEMFAULT_MAGIC;
  memfault_spoil(header + 1, MEMFAULT_FRESH, size);
  atomic_fetch_add(&m->live, 1);
  uint64_t bytes = atomic_fetch_add(&m->live_bytes, size) + size;
  uint64_t peak = atomic_load(&m->peak_bytes);
  while (bytes > peak && !atomic_compare_exchange_weak(&m->peak_bytes, &peak, bytes))
    continue;
  return header + 1;
}

static void memfault_release(void *user, void *block) {
  struct memfault *m = user;
  if (!block)
    return;
  struct memfault_header *header = (struct memfault_header *)block - 1;
  if (header->magic != MEMFAULT_MAGIC)
    abort(); /* released twice, or not ours */
  atomic_fetch_sub(&m->live, 1);
  atomic_fetch_sub(&m->live_bytes, header->size);
  memfault_spoil(block, MEMFAULT_DEAD, header->size);
  header->magic = 0;
  free(header);
}

static void *memfault_alloc(void *user, size_t size) {
  struct memfault *m = user;
  return memfault_hit(m) ? NULL : memfault_new(m, size);
}

static void *memfault_resize(void *user, void *block, size_t size) {
  struct memfault *m = user;
  if (memfault_hit(m))
    return NULL;
  void *moved = memfault_new(m, size);
  if (moved && block) {
    size_t old_size = ((struct memfault_header *)block - 1)->size;
    memcpy(moved, block, old_size < size ? old_size : size);
    memfault_release(m, block);
  }
  return moved;
}

void memfault_init(struct memfault *m) {
  m->table.alloc = memfault_alloc;
  m->table.resize = memfault_resize;
  m->table.release = memfault_release;
  m->table.user = m;
  atomic_init(&m->calls, 0);
  atomic_init(&m->fail_from, 0);
  atomic_init(&m->fail_to, 0);
  atomic_init(&m->failed, 0);
  atomic_init(&m->live, 0);
  atomic_init(&m->live_bytes, 0);
  atomic_init(&m->peak_bytes, 0);
}

void memfault_fail(struct memfault *m, uint64_t nth, bool from_then_on) {
  uint64_t number = atomic_load(&m->calls) + nth;
  atomic_store(&m->fail_from, 0);
  atomic_store(&m->failed, 0);
  atomic_store(&m->fail_to, from_then_on ? UINT64_MAX : number);
  atomic_store(&m->fail_from, nth == 0 ? 0 : number);
}

uint64_t memfault_calls(struct memfault *m) { return atomic_load(&m->calls); }
uint64_t memfault_failed(struct memfault *m) { return atomic_load(&m->failed); }
uint64_t memfault_live(struct memfault *m) { return atomic_load(&m->live); }
uint64_t memfault_peak(struct memfault *m) { return atomic_load(&m->peak_bytes); }
