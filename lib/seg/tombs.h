/*
 * tombs.h - which rows of a segment are deleted, and since when: one sequence number per row, 0 for
 * a live row, in pages made when first needed. A reader at sequence number S sees a row as deleted
 * when its mark is not 0 and not above S, so older snapshots keep seeing rows that a newer write
 * deleted.
 *
 * Marks are set under the writer's lock and read by anyone without a lock. A growing segment hands
 * its tombs to the sealed segment made from it (same row numbers).
 */
#ifndef VDB_TOMBS_H
#define VDB_TOMBS_H

#include "base/bitmap.h"
#include "base/err.h"
#include "base/mem.h"

struct vdb_tombs;

/* For n rows. References are counted; starts with one. NULL: no memory. */
VDB_INTERNAL struct vdb_tombs *vdb_tombs_new(struct vdb_mem *mem, uint32_t n);
VDB_INTERNAL struct vdb_tombs *vdb_tombs_ref(struct vdb_tombs *tombs);
VDB_INTERNAL void vdb_tombs_unref(struct vdb_mem *mem, struct vdb_tombs *tombs);

/* Makes sure that marking `row` will not need memory. Writer's lock. */
VDB_INTERNAL bool vdb_tombs_reserve(struct vdb_mem *mem, struct vdb_tombs *tombs, uint32_t row);
/* Gives back pages without marks, of tombs that nobody else has yet. */
VDB_INTERNAL void vdb_tombs_trim(struct vdb_mem *mem, struct vdb_tombs *tombs);
/* Marks a live row, whose page is reserved, as deleted from `seq` (> 0) on. Writer's lock. */
VDB_INTERNAL void vdb_tombs_mark(struct vdb_tombs *tombs, uint32_t row, uint64_t seq);
/* Takes back a mark that no reader can have seen. Writer's lock. */
VDB_INTERNAL void vdb_tombs_unmark(struct vdb_tombs *tombs, uint32_t row);

/* The mark of a row. */
VDB_INTERNAL uint64_t vdb_tombs_at(const struct vdb_tombs *tombs, uint32_t row);
/* Marks so far, also those above a reader's sequence number. */
VDB_INTERNAL uint32_t vdb_tombs_count(const struct vdb_tombs *tombs);
/* Clears the bits of rows first .. first + n - 1 that are deleted at `seq`; bit 0 stands for
   `first`. */
VDB_INTERNAL void vdb_tombs_clear_dead(const struct vdb_tombs *tombs, uint32_t first, uint32_t n,
                                       uint64_t seq, uint64_t *bits);

#endif
