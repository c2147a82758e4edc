/*
 * mem.h - memory through the host's allocator, counted by purpose and against a limit. mem.c is the
 * only caller of malloc. Every block knows its size, so that freeing needs only the pointer; blocks
 * are aligned to 64 bytes when asked for with vdb_alloc_wide, else to 16.
 */
#ifndef VDB_MEM_H
#define VDB_MEM_H

#include <stdatomic.h>

#include "base.h"

/* What a block is for; vecdb_memory says more. */
enum vdb_purpose {
  VDB_FOR_OTHER,
  VDB_FOR_ROWS,
  VDB_FOR_WRITES,
  VDB_FOR_FILES,
  VDB_FOR_INDEX,
  VDB_FOR_BUILD,
  VDB_FOR_SEARCH,
  VDB_FOR_RESULTS,
  VDB_FOR_CACHE,
  VDB_FOR_VECTORS,
  VDB_PURPOSES
};

/* A door to the allocator. Blocks are counted where the first door is, by the purpose of the door
   they came through; a block may leave by any of them. */
struct vdb_mem {
  struct vdb_mem *first; /* whose limit and counters hold; NULL: its own */
  enum vdb_purpose purpose;
  vecdb_allocator table;
  /* Of the first door: */
  uint64_t limit;                      /* bytes; 0: none */
  _Atomic uint64_t used;               /* bytes handed out now, headers included */
  _Atomic uint64_t by[VDB_PURPOSES];   /* the same, by purpose: together `used` */
  _Atomic uint64_t refused;            /* requests that the limit did not allow */
  uint64_t (*reclaim)(void *arg, uint64_t bytes); /* vdb_mem_reclaim */
  void *reclaim_arg;
};

/* A first door, for VDB_FOR_OTHER. table NULL: malloc. */
VDB_INTERNAL void vdb_mem_init(struct vdb_mem *mem, const vecdb_allocator *table, uint64_t limit);
/* Another door to the same memory; `first` must stay where it is. */
VDB_INTERNAL void vdb_mem_door(struct vdb_mem *mem, struct vdb_mem *first,
                               enum vdb_purpose purpose);
/* Counts a block that came through a door of another count, which forgets it, as of this one. */
VDB_INTERNAL void vdb_mem_adopt(struct vdb_mem *mem, void *block);
/* Whom to ask to free some bytes before a request is refused; it says how many it freed. It is
   called under whatever locks, and must not allocate. NULL: nobody. While no other thread is there.
 */
VDB_INTERNAL void vdb_mem_reclaim(struct vdb_mem *mem, uint64_t (*reclaim)(void *, uint64_t),
                                  void *arg);
/* Bytes that the limit leaves; UINT64_MAX without one. */
VDB_INTERNAL uint64_t vdb_mem_left(const struct vdb_mem *mem);

/* NULL when the limit or the host's memory is reached. A size of 0 gives a valid block. */
VDB_INTERNAL void *vdb_alloc(struct vdb_mem *mem, size_t size);
VDB_INTERNAL void *vdb_alloc_zero(struct vdb_mem *mem, size_t size);
/* count * size bytes; NULL also when the product overflows. */
VDB_INTERNAL void *vdb_alloc_array(struct vdb_mem *mem, size_t count, size_t size);
/* 64-byte aligned, for vectors. Not to be resized. */
VDB_INTERNAL void *vdb_alloc_wide(struct vdb_mem *mem, size_t size);
/* As realloc: on failure NULL, and the old block is untouched. block may be NULL. */
VDB_INTERNAL void *vdb_resize(struct vdb_mem *mem, void *block, size_t size);
VDB_INTERNAL void vdb_free(struct vdb_mem *mem, void *block);
/* A copy of n bytes with a NUL behind. */
VDB_INTERNAL char *vdb_strndup(struct vdb_mem *mem, const char *text, size_t n);

/*
 * Grows a typed array to hold at least `need` elements (doubling). `items` points to the array's
 * pointer, which is NULL with *capacity 0 at first. False: no memory, nothing changed. Use through
 * VDB_GROW.
 */
VDB_INTERNAL bool vdb_grow(struct vdb_mem *mem, void *items, size_t *capacity, size_t need,
                           size_t item_size);
#define VDB_GROW(mem, items, capacity, need) \
  vdb_grow((mem), &(items), &(capacity), (need), sizeof *(items))

#endif
