/*
 * hot.h - blocks of files that are read here and there, kept where they are asked for often. A
 * block is known by the number of its owner (an opened section) and its own number.
 *
 * What gets in is decided by how often it was asked for lately, as in TinyLFU (Einziger, Friedman,
 * Manes, *TinyLFU: A Highly Efficient Cache Admission Policy*, 2017): a count-min sketch counts all
 * that is asked for, halves its counts now and then, and a block takes the place of another only if
 * it was asked for more often. So a scan, which asks for each block once, displaces nothing.
 *
 * No locks: any number of threads at once. A reader neither waits nor is waited for: a block that
 * is being read cannot be displaced, and one that is being displaced is not found.
 */
#ifndef VDB_HOT_H
#define VDB_HOT_H

#include "base/mem.h"

struct vdb_hot;

struct vdb_hot_counts {
  uint64_t hits, misses, entries;
};

/* A cache of at most so many bytes, its tables included. Errors: NO_MEMORY. */
VDB_INTERNAL int vdb_hot_new(struct vdb_mem *mem, uint64_t bytes, struct vdb_hot **out,
                             vecdb_error *err);
/* While no other thread is there. */
VDB_INTERNAL void vdb_hot_free(struct vdb_hot *hot);

/* A number that no other owner has or has had; 0, which keeps nothing, when there are no more. */
VDB_INTERNAL uint32_t vdb_hot_owner(struct vdb_hot *hot);
/* Frees an owner's blocks. Nobody may ask for them any more. */
VDB_INTERNAL void vdb_hot_forget(struct vdb_hot *hot, uint32_t owner);

/* Whether the block of n bytes is there: it is copied to `out`. Counts as asking for it. */
VDB_INTERNAL bool vdb_hot_get(struct vdb_hot *hot, uint32_t owner, uint32_t number, void *out,
                              size_t n);
/* Offers a block that was asked for in vain. */
VDB_INTERNAL void vdb_hot_put(struct vdb_hot *hot, uint32_t owner, uint32_t number,
                              const void *block, size_t n);

VDB_INTERNAL void vdb_hot_count(const struct vdb_hot *hot, struct vdb_hot_counts *out);
/* What its blocks take, which vdb_hot_shrink could free; 0 for NULL. */
VDB_INTERNAL uint64_t vdb_hot_bytes(const struct vdb_hot *hot);
/* Frees at least so many bytes of blocks, or all that are not being read; what it freed. */
VDB_INTERNAL uint64_t vdb_hot_shrink(struct vdb_hot *hot, uint64_t bytes);

#endif
