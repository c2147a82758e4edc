/*
 * allow.h - the rows of a segment that a request may see: those that pass the filter and are not
 * deleted at the snapshot's sequence number. The one place where filter and deletes meet.
 */
#ifndef VDB_ALLOW_H
#define VDB_ALLOW_H

#include "attr/filter.h"
#include "base/bitmap.h"
#include "os/control.h"
#include "seg/seg.h"

struct vdb_allow {
  struct vdb_mem *mem;
  const struct vdb_filter *filter; /* NULL: all rows pass */
  uint64_t seq;
  struct vdb_control *control; /* NULL: nobody stops the call */
};

/* The allowed rows of a whole segment. */
struct vdb_allow_set {
  uint32_t n;      /* set bits */
  uint64_t bits[]; /* one per row of the view */
};

/* A set to be freed with vdb_free. Errors: NO_MEMORY; CANCELLED and TIMEOUT of the control. */
VDB_INTERNAL int vdb_allow_make(const struct vdb_allow *allow, const struct vdb_seg_view *view,
                                struct vdb_allow_set **out, vecdb_error *err);
/* As make for the rows of one part, into `bits`; bit 0 stands for the part's first row. */
VDB_INTERNAL int vdb_allow_part(const struct vdb_allow *allow, const struct vdb_seg_view *view,
                                const struct vdb_seg_part *part, uint64_t *bits, vecdb_error *err);

/* Calls visit with every part of the snapshot that has allowed rows, in order, and their bits,
   which are good until it returns. A non-zero return ends the walk with that code. */
VDB_INTERNAL int vdb_allow_walk(const struct vdb_allow *allow, const struct vdb_snapshot *snapshot,
                                int (*visit)(void *arg, uint32_t seg,
                                             const struct vdb_seg_part *part, const uint64_t *bits,
                                             vecdb_error *err),
                                void *arg, vecdb_error *err);

#endif
