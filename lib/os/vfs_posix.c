/*
 * vfs_posix.c - the system's files, the only file with file system calls; see vecdb_vfs.
 *
 * - Files are plain files: anything else (folder, pipe, device) is EINVAL or EISDIR, and a symbolic
 *   link as the last component is ELOOP, so that nobody can point a database's file elsewhere. The
 *   folder of a database may be reached through links.
 * - sync is fdatasync: on Linux it makes the data durable and all metadata needed to read it back,
 *   the file's size among them; only times of access and change are left out. It does not make the
 *   file's name durable: sync_dir does, by fsync of the folder.
 * - A failed sync is never repeated here: the system may have dropped the unwritten pages and would
 *   answer 0 the second time.
 * - reserve keeps the file's length, so a file is always as long as what was written to it and
 *   recovery never meets a tail of zeros that came from a reservation.
 * - A file for direct reads is opened with O_DIRECT only where io_uring keeps many of them under
 *   way; else the page cache does that, told by posix_fadvise of what will be read.
 * - lock is flock: it belongs to the open file, so a second open by the same process is refused
 *   too, and closing another handle on the file does not drop it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* rename */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/env.h"
#include "os/queue.h"

enum {
  VFS_POSIX_FILE_MODE = 0644,
  VFS_POSIX_DIR_MODE = 0755,
  /* O_NONBLOCK means nothing for plain files and keeps the opening of a pipe from waiting. */
  VFS_POSIX_FLAGS = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK
};

struct vfs_posix_file {
  vecdb_file base;
  int fd;
  bool direct;
  struct vdb_mem mem; /* the table is shared by all databases, so each handle counts for itself */
};

/* What a mapping of length 0 points to. */
static const uint8_t vfs_posix_nothing[64];

/* As open(2) with `flags`, for plain files only; 0 or an errno value. */
static int vfs_posix_open_fd(const char *path, int flags, int *out) {
  int fd;
  do
    fd = open(path, flags | VFS_POSIX_FLAGS, VFS_POSIX_FILE_MODE);
  while (fd < 0 && errno == EINTR);
  if (fd < 0)
    return errno;
  struct stat st;
  int rc = fstat(fd, &st) != 0 ? errno : 0;
  if (rc == 0 && !S_ISREG(st.st_mode))
    rc = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
  if (rc != 0) {
    close(fd);
    return rc;
  }
  *out = fd;
  return 0;
}

/* Takes over fd; on failure it is closed. */
static int vfs_posix_wrap(const vecdb_vfs *vfs, int fd, bool direct, vecdb_file **out) {
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vfs_posix_file *file = vdb_alloc(&mem, sizeof *file);
  if (!file) {
    close(fd);
    return ENOMEM;
  }
  file->base.vfs = vfs;
  file->fd = fd;
  file->direct = direct;
  file->mem = mem;
  *out = &file->base;
  return 0;
}

static int vfs_posix_fd(const vecdb_file *file) {
  return ((const struct vfs_posix_file *)file)->fd;
}

/* For blocks here and there: past the page cache, or without its reading ahead. */
static int vfs_posix_open_direct(const vecdb_vfs *vfs, const char *path, vecdb_file **out) {
  int fd;
  bool direct = vdb_uring_works();
  int rc = direct ? vfs_posix_open_fd(path, O_RDONLY | O_DIRECT, &fd) : EINVAL;
  if (rc == EINVAL) { /* not for this file system */
    direct = false;
    rc = vfs_posix_open_fd(path, O_RDONLY, &fd);
  }
  if (rc != 0)
    return rc;
  if (!direct)
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
  return vfs_posix_wrap(vfs, fd, direct, out);
}

static int vfs_posix_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  static const int flags[] = {
      [VECDB_OPEN_READ] = O_RDONLY,
      [VECDB_OPEN_WRITE] = O_RDWR,
      [VECDB_OPEN_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
  };
  *out = NULL;
  if (mode == VECDB_OPEN_DIRECT)
    return vfs_posix_open_direct(vfs, path, out);
  if (mode < 0 || (size_t)mode >= VDB_COUNT(flags))
    return EINVAL;
  int fd;
  int rc = vfs_posix_open_fd(path, flags[mode], &fd);
  return rc != 0 ? rc : vfs_posix_wrap(vfs, fd, false, out);
}

static void vfs_posix_close(vecdb_file *file) {
  if (!file)
    return;
  struct vfs_posix_file *f = (struct vfs_posix_file *)file;
  /* Not repeated after EINTR: Linux has closed the descriptor by then. */
  close(f->fd);
  struct vdb_mem mem = f->mem;
  vdb_free(&mem, f);
}

/* Whether [offset, offset + n) can be said in an off_t. */
static bool vfs_posix_range(size_t n, uint64_t offset) {
  return offset <= INT64_MAX && n <= INT64_MAX - offset;
}

static int vfs_posix_read(vecdb_file *file, void *buf, size_t n, uint64_t offset) {
  if (!vfs_posix_range(n, offset))
    return EIO;
  char *at = buf;
  while (n > 0) {
    ssize_t got = pread(vfs_posix_fd(file), at, n, (off_t)offset);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      return errno;
    if (got == 0)
      return EIO;
    at += got;
    n -= (size_t)got;
    offset += (uint64_t)got;
  }
  return 0;
}

static int vfs_posix_write(vecdb_file *file, const void *buf, size_t n, uint64_t offset) {
  if (!vfs_posix_range(n, offset))
    return EFBIG;
  const char *at = buf;
  while (n > 0) {
    ssize_t put = pwrite(vfs_posix_fd(file), at, n, (off_t)offset);
    if (put < 0 && errno == EINTR)
      continue;
    if (put < 0)
      return errno;
    if (put == 0)
      return EIO;
    at += put;
    n -= (size_t)put;
    offset += (uint64_t)put;
  }
  return 0;
}

static int vfs_posix_sync(vecdb_file *file) {
  return fdatasync(vfs_posix_fd(file)) != 0 ? errno : 0;
}

static int vfs_posix_truncate(vecdb_file *file, uint64_t length) {
  if (length > INT64_MAX)
    return EFBIG;
  int rc;
  do
    rc = ftruncate(vfs_posix_fd(file), (off_t)length) != 0 ? errno : 0;
  while (rc == EINTR);
  return rc;
}

static int vfs_posix_length(vecdb_file *file, uint64_t *out) {
  struct stat st;
  if (fstat(vfs_posix_fd(file), &st) != 0)
    return errno;
  *out = (uint64_t)st.st_size;
  return 0;
}

static int vfs_posix_reserve(vecdb_file *file, uint64_t length) {
  if (length > INT64_MAX)
    return EFBIG;
  if (length == 0)
    return 0;
  int rc;
  do
    rc = fallocate(vfs_posix_fd(file), FALLOC_FL_KEEP_SIZE, 0, (off_t)length) != 0 ? errno : 0;
  while (rc == EINTR);
  /* A file system that cannot reserve grows the file as it is written. */
  return rc == EOPNOTSUPP || rc == ENOTSUP || rc == ENOSYS ? 0 : rc;
}

static int vfs_posix_map(vecdb_file *file, size_t length, const void **out) {
  *out = NULL;
  uint64_t size;
  int rc = vfs_posix_length(file, &size);
  if (rc != 0)
    return rc;
  if (length > size) /* touching pages past the end would raise SIGBUS */
    return EIO;
  if (length == 0) {
    *out = vfs_posix_nothing;
    return 0;
  }
  void *address = mmap(NULL, length, PROT_READ, MAP_SHARED, vfs_posix_fd(file), 0);
  if (address == MAP_FAILED)
    return errno;
  *out = address;
  return 0;
}

static void vfs_posix_unmap(const vecdb_vfs *vfs, const void *address, size_t length) {
  (void)vfs;
  if (length > 0)
    munmap((void *)(uintptr_t)address, length);
}

static int vfs_posix_remove(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  return remove(path) != 0 ? errno : 0;
}

static int vfs_posix_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  (void)vfs;
  return rename(from, to) != 0 ? errno : 0;
}

static int vfs_posix_make_dir(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  return mkdir(path, VFS_POSIX_DIR_MODE) != 0 ? errno : 0;
}

static int vfs_posix_sync_dir(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  int fd;
  do
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd < 0)
    return errno;
  int rc = fsync(fd) != 0 ? errno : 0;
  close(fd);
  /* Some network file systems have no sync of folders, and say so thus: names are the server's. */
  return rc == EINVAL ? 0 : rc;
}

/* Whether the entry is a plain file; false also when it has just gone. */
static bool vfs_posix_is_plain(DIR *dir, const struct dirent *entry) {
  if (entry->d_type != DT_UNKNOWN)
    return entry->d_type == DT_REG;
  struct stat st;
  return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static int vfs_posix_list(const vecdb_vfs *vfs, const char *path,
                          void (*visit)(void *arg, const char *name), void *arg) {
  (void)vfs;
  DIR *dir = opendir(path); /* close-on-exec, as POSIX has it */
  if (!dir)
    return errno;
  int rc;
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(dir);
    if (!entry) {
      rc = errno;
      break;
    }
    if (vfs_posix_is_plain(dir, entry))
      visit(arg, entry->d_name);
  }
  closedir(dir);
  return rc;
}

static int vfs_posix_lock(const vecdb_vfs *vfs, const char *path, vecdb_file **out) {
  *out = NULL;
  int fd;
  int rc = vfs_posix_open_fd(path, O_RDWR | O_CREAT, &fd);
  if (rc != 0)
    return rc;
  do
    rc = flock(fd, LOCK_EX | LOCK_NB) != 0 ? errno : 0;
  while (rc == EINTR);
  if (rc != 0) {
    close(fd);
    return rc == EWOULDBLOCK ? EBUSY : rc;
  }
  return vfs_posix_wrap(vfs, fd, false, out);
}

/* A queue that leaves the reading to the page cache: a start asks for it, a wait copies. */
struct vfs_posix_queue {
  vecdb_read_queue base;
  vecdb_file *file;
  struct vdb_mem mem;
};

static void vfs_posix_queue_start(vecdb_read_queue *queue, vecdb_read *read) {
  vecdb_file *file = ((struct vfs_posix_queue *)queue)->file;
  read->done = 0;
  if (vfs_posix_range(read->n, read->offset)) /* advice: it may fail without harm */
    posix_fadvise(vfs_posix_fd(file), (off_t)read->offset, (off_t)read->n, POSIX_FADV_WILLNEED);
}

static void vfs_posix_queue_wait(vecdb_read_queue *queue, vecdb_read *read) {
  if (read->done)
    return;
  read->error =
      vfs_posix_read(((struct vfs_posix_queue *)queue)->file, read->buf, read->n, read->offset);
  read->done = 1;
}

static void vfs_posix_queue_close(vecdb_read_queue *queue) {
  struct vfs_posix_queue *q = (struct vfs_posix_queue *)queue;
  struct vdb_mem mem = q->mem;
  vdb_free(&mem, q);
}

static int vfs_posix_queue(vecdb_file *file, uint32_t depth, vecdb_read_queue **out) {
  struct vfs_posix_file *f = (struct vfs_posix_file *)file;
  if (vdb_uring_works() && vdb_uring_queue(f->fd, f->direct, depth, out) == 0)
    return 0;
  *out = NULL;
  struct vdb_mem mem;
  vdb_mem_init(&mem, NULL, 0);
  struct vfs_posix_queue *q = vdb_alloc(&mem, sizeof *q);
  if (!q)
    return ENOMEM;
  q->base = (vecdb_read_queue){vfs_posix_queue_start, vfs_posix_queue_wait, vfs_posix_queue_close};
  q->file = file;
  q->mem = mem;
  *out = &q->base;
  return 0;
}

VDB_INTERNAL const vecdb_vfs *vdb_vfs_posix(void) {
  static const vecdb_vfs table = {
      .size = sizeof(vecdb_vfs),
      .open = vfs_posix_open,
      .close = vfs_posix_close,
      .read = vfs_posix_read,
      .write = vfs_posix_write,
      .sync = vfs_posix_sync,
      .truncate = vfs_posix_truncate,
      .length = vfs_posix_length,
      .reserve = vfs_posix_reserve,
      .map = vfs_posix_map,
      .unmap = vfs_posix_unmap,
      .remove = vfs_posix_remove,
      .rename = vfs_posix_rename,
      .make_dir = vfs_posix_make_dir,
      .sync_dir = vfs_posix_sync_dir,
      .list = vfs_posix_list,
      .lock = vfs_posix_lock,
      .queue = vfs_posix_queue,
  };
  return &table;
}
