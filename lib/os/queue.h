/*
 * queue.h - reads of a file of which many are under way at a time; see vecdb_read_queue. A VFS may
 * bring a queue of its own: the system's files have two.
 *
 *   vfs_uring.c  io_uring, where it was compiled in and the kernel lets us: reads past the page
 *                cache (VECDB_OPEN_DIRECT), so that a budget of memory is kept
 *   vfs_posix.c  else: a start tells the page cache what will be read, a wait reads it from there
 *   queue.c      for any other VFS: a wait reads
 *
 * What was measured is in README.md.
 */
#ifndef VDB_QUEUE_H
#define VDB_QUEUE_H

#include "base/mem.h"

/* A queue over the file, its VFS's own or else a plain one; 0 or ENOMEM. */
VDB_INTERNAL int vdb_queue_open(struct vdb_mem *mem, vecdb_file *file, uint32_t depth,
                                vecdb_read_queue **out);

/* Makes a read ready to be started. */
VDB_INLINE void vdb_read_set(vecdb_read *read, void *buf, size_t n, uint64_t offset) {
  *read = (vecdb_read){.buf = buf, .n = n, .offset = offset};
}

/*
 * Takes in what the system says of a read: bytes, or a negative errno value. True when the read is
 * done; else the rest, from read->got on, is to be asked for. `unit` is what a rest must start at
 * a multiple of (1, or VECDB_BLOCK for direct reads). EINTR and EAGAIN are tried again, for a
 * while.
 */
VDB_INTERNAL bool vdb_read_advance(vecdb_read *read, long result, size_t unit);

/* A queue over a file descriptor by io_uring (vfs_uring.c); `direct` when it was opened so. ENOSYS
   where it was not compiled in, or what the kernel answers. */
VDB_INTERNAL int vdb_uring_queue(int fd, bool direct, uint32_t depth, vecdb_read_queue **out);
/* Whether such queues can be had: asked of the kernel once. */
VDB_INTERNAL bool vdb_uring_works(void);

#endif
