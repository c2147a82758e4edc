/*
 * mem.h - memory through the host's allocator, counted against a limit. mem.c is the only caller of
 * malloc. Every block knows its size, so that freeing needs only the pointer; blocks are aligned to
 * 64 bytes when asked for with vdb_alloc_wide, else to 16.
 */
#ifndef VDB_MEM_H
#define VDB_MEM_H

#include <stdatomic.h>

#include "base.h"

struct vdb_mem {
  vecdb_allocator table;
  uint64_t limit;         /* bytes; 0: none */
  _Atomic uint64_t used;  /* bytes handed out now, headers included */
};

/* table NULL: malloc. */
VDB_INTERNAL void vdb_mem_init(struct vdb_mem *mem, const vecdb_allocator *table, uint64_t limit);

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
