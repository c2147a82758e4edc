/*
 * vfs_uring.c - a queue of reads by io_uring; see queue.h. Without VDB_WITH_URING there is none.
 *
 * Started reads are handed to the kernel together, when one is waited for. A ring holds as many
 * entries as reads may be under way, so neither of its queues can overflow; a start beyond that
 * first waits for some read to end. COOP_TASKRUN (Linux 5.19) spares interrupts; the other setup
 * flags tie a ring to one thread, which a queue is not.
 */
#include "os/queue.h"

#include <errno.h>

#ifdef VDB_WITH_URING

#include <liburing.h>
#include <stdatomic.h>

enum { URING_MAX_DEPTH = 256 };

struct uring_queue {
  vecdb_read_queue base;
  struct vdb_mem mem; /* counts for itself, as the handles of vfs_posix.c do */
  struct io_uring ring;
  int fd;
  size_t unit;
  uint32_t depth;
  uint32_t under_way;
  bool waiting; /* something is prepared that the kernel was not told of */
};

static struct uring_queue *uring_of(vecdb_read_queue *queue) { return (struct uring_queue *)queue; }

static int uring_init(struct io_uring *ring, uint32_t depth) {
  int rc = -EINVAL;
#ifdef IORING_SETUP_COOP_TASKRUN
  rc = io_uring_queue_init(depth, ring, IORING_SETUP_COOP_TASKRUN);
#endif
  return rc == -EINVAL ? io_uring_queue_init(depth, ring, 0) : rc;
}

/* Prepares what is left of a read. */
static void uring_prepare(struct uring_queue *q, vecdb_read *read) {
  struct io_uring_sqe *sqe = io_uring_get_sqe(&q->ring);
  if (!sqe) { /* as many entries as reads under way: cannot be */
    read->error = EIO;
    read->done = 1;
    return;
  }
  size_t n = vdb_min_size(read->n - read->got, 1u << 30);
  io_uring_prep_read(sqe, q->fd, (uint8_t *)read->buf + read->got, (unsigned)n,
                     read->offset + read->got);
  io_uring_sqe_set_data(sqe, read);
  q->under_way++;
  q->waiting = true;
}

/* Tells the kernel of what is prepared, and waits for `n` completions. An error (EINTR; EAGAIN when
   it is short of memory) leaves some of it prepared, for the next call. */
static void uring_submit(struct uring_queue *q, unsigned n) {
  if (!q->waiting)
    return;
  io_uring_submit_and_wait(&q->ring, n);
  q->waiting = io_uring_sq_ready(&q->ring) > 0;
}

/* Takes in one completion, of any read. An error of the ring itself leaves reads with the kernel,
   so callers try again: their memory cannot be given back before they end. */
static void uring_reap(struct uring_queue *q) {
  struct io_uring_cqe *cqe;
  uring_submit(q, 1);
  if (q->under_way == io_uring_sq_ready(&q->ring) || io_uring_wait_cqe(&q->ring, &cqe) < 0)
    return;
  vecdb_read *read = io_uring_cqe_get_data(cqe);
  int result = cqe->res;
  io_uring_cqe_seen(&q->ring, cqe);
  q->under_way--;
  if (!vdb_read_advance(read, result, q->unit))
    uring_prepare(q, read);
}

static void uring_start(vecdb_read_queue *queue, vecdb_read *read) {
  struct uring_queue *q = uring_of(queue);
  while (q->under_way >= q->depth)
    uring_reap(q);
  read->done = 0;
  uring_prepare(q, read);
}

static void uring_wait(vecdb_read_queue *queue, vecdb_read *read) {
  struct uring_queue *q = uring_of(queue);
  if (read->done)
    uring_submit(q, 0); /* the others are not to wait for this one's successor */
  while (!read->done)
    uring_reap(q);
}

static void uring_close(vecdb_read_queue *queue) {
  struct uring_queue *q = uring_of(queue);
  io_uring_queue_exit(&q->ring);
  struct vdb_mem mem = q->mem;
  vdb_free(&mem, q);
}

VDB_INTERNAL int vdb_uring_queue(int fd, bool direct, uint32_t depth, vecdb_read_queue **out) {
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  *out = NULL;
  struct uring_queue *q = vdb_alloc_zero(&mem, sizeof *q);
  if (!q)
    return ENOMEM;
  q->base = (vecdb_read_queue){uring_start, uring_wait, uring_close};
  q->mem = mem;
  q->fd = fd;
  q->unit = direct ? VECDB_BLOCK : 1;
  q->depth = vdb_min_u32(depth ? depth : 1, URING_MAX_DEPTH);
  int rc = uring_init(&q->ring, q->depth);
  if (rc < 0) {
    vdb_free(&mem, q);
    return -rc;
  }
  *out = &q->base;
  return 0;
}

VDB_INTERNAL bool vdb_uring_works(void) {
  static _Atomic int known; /* 0: not asked yet, 1: no, 2: yes */
  int answer = atomic_load(&known);
  if (answer == 0) {
    struct io_uring ring;
    int rc = uring_init(&ring, 1);
    if (rc == 0)
      io_uring_queue_exit(&ring);
    answer = rc == 0 ? 2 : 1;
    if (rc == 0 || rc == -ENOSYS || rc == -EPERM || rc == -EACCES)
      atomic_store(&known, answer); /* other errors, as of too many files, pass */
  }
  return answer == 2;
}

#else

VDB_INTERNAL int vdb_uring_queue(int fd, bool direct, uint32_t depth, vecdb_read_queue **out) {
  (void)fd;
  (void)direct;
  (void)depth;
  *out = NULL;
  return ENOSYS;
}

VDB_INTERNAL bool vdb_uring_works(void) { return false; }

#endif
