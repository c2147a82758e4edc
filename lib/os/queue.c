/* queue.c - what queues of reads share, and the plain one; see queue.h. */
#include "os/queue.h"

#include <errno.h>

enum { QUEUE_TRIES = 1000 }; /* without a byte, before a read is given up */

struct queue_plain {
  vecdb_read_queue base;
  struct vdb_mem *mem;
  vecdb_file *file;
};

static void queue_plain_start(vecdb_read_queue *queue, vecdb_read *read) {
  (void)queue;
  read->done = 0;
}

static void queue_plain_wait(vecdb_read_queue *queue, vecdb_read *read) {
  vecdb_file *file = ((struct queue_plain *)queue)->file;
  if (read->done)
    return;
  read->error = file->vfs->read(file, read->buf, read->n, read->offset);
  read->done = 1;
}

static void queue_plain_close(vecdb_read_queue *queue) {
  struct queue_plain *plain = (struct queue_plain *)queue;
  vdb_free(plain->mem, plain);
}

VDB_INTERNAL int vdb_queue_open(struct vdb_mem *mem, vecdb_file *file, uint32_t depth,
                                vecdb_read_queue **out) {
  if (file->vfs->queue && file->vfs->queue(file, depth, out) == 0)
    return 0;
  struct queue_plain *plain = vdb_alloc(mem, sizeof *plain);
  *out = NULL;
  if (!plain)
    return ENOMEM;
  plain->base =
      (vecdb_read_queue){queue_plain_start, queue_plain_wait, queue_plain_close};
  plain->mem = mem;
  plain->file = file;
  *out = &plain->base;
  return 0;
}

VDB_INTERNAL bool vdb_read_advance(vecdb_read *read, long result, size_t unit) {
  size_t before = read->got;
  bool again = result == -EINTR || result == -EAGAIN;
  if (result > 0) {
    read->got += (size_t)result;
    if (read->got < read->n)
      read->got -= read->got % unit;
    again = read->got > before; /* nothing new, rounded down: the end of the file */
  }
  read->tries = read->got > before ? 0 : read->tries + 1;
  if (read->got < read->n && again && read->tries < QUEUE_TRIES)
    return false;
  read->error = read->got >= read->n ? 0 : result < 0 ? (int)-result : EIO;
  read->done = 1;
  return true;
}
