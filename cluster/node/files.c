/* files.c - the system's files; see files.h. */
#include "node/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct files_file {
  vecdb_file base;
  int fd;
};

static int files_fd(vecdb_file *f) { return ((struct files_file *)f)->fd; }

static int files_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  int flags = O_CLOEXEC;
  flags |= mode == VECDB_OPEN_CREATE  ? O_RDWR | O_CREAT | O_TRUNC
           : mode == VECDB_OPEN_WRITE ? O_RDWR
                                      : O_RDONLY;
  struct files_file *f = malloc(sizeof *f);
  if (!f)
    return ENOMEM;
  f->base.vfs = vfs;
  f->fd = open(path, flags, 0600);
  if (f->fd < 0) {
    int error = errno;
    free(f);
    return error;
  }
  *out = &f->base;
  return 0;
}

static void files_close(vecdb_file *f) {
  close(files_fd(f));
  free(f);
}

static int files_read(vecdb_file *f, void *buf, size_t n, uint64_t offset) {
  for (size_t done = 0; done < n;) {
    ssize_t got = pread(files_fd(f), (char *)buf + done, n - done, (off_t)(offset + done));
    if (got < 0 && errno != EINTR)
      return errno;
    if (got == 0)
      return EIO;
    done += got > 0 ? (size_t)got : 0;
  }
  return 0;
}

static int files_write(vecdb_file *f, const void *buf, size_t n, uint64_t offset) {
  for (size_t done = 0; done < n;) {
    ssize_t put = pwrite(files_fd(f), (const char *)buf + done, n - done, (off_t)(offset + done));
    if (put < 0 && errno != EINTR)
      return errno;
    done += put > 0 ? (size_t)put : 0;
  }
  return 0;
}

static int files_sync(vecdb_file *f) { return fdatasync(files_fd(f)) ? errno : 0; }

static int files_truncate(vecdb_file *f, uint64_t length) {
  return ftruncate(files_fd(f), (off_t)length) ? errno : 0;
}

static int files_length(vecdb_file *f, uint64_t *out) {
  struct stat s;
  if (fstat(files_fd(f), &s))
    return errno;
  *out = (uint64_t)s.st_size;
  return 0;
}

static int files_reserve(vecdb_file *f, uint64_t length) {
  int error = posix_fallocate(files_fd(f), 0, (off_t)length);
  return error == EOPNOTSUPP || error == EINVAL ? 0 : error;
}

static int files_remove(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  return remove(path) ? errno : 0;
}

static int files_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  (void)vfs;
  return rename(from, to) ? errno : 0;
}

static int files_mkdir(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  return mkdir(path, 0700) ? errno : 0;
}

static int files_sync_dir(const vecdb_vfs *vfs, const char *path) {
  (void)vfs;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return errno;
  int error = fsync(fd) ? errno : 0;
  close(fd);
  return error;
}

static int files_list(const vecdb_vfs *vfs, const char *path,
                      void (*visit)(void *arg, const char *name), void *arg) {
  (void)vfs;
  DIR *dir = opendir(path);
  if (!dir)
    return errno;
  for (const struct dirent *d; (d = readdir(dir));)
    if (d->d_type != DT_DIR)
      visit(arg, d->d_name);
  closedir(dir);
  return 0;
}

const vecdb_vfs *files_system(void) {
  static const vecdb_vfs vfs = {.size = sizeof vfs,
                                .open = files_open,
                                .close = files_close,
                                .read = files_read,
                                .write = files_write,
                                .sync = files_sync,
                                .truncate = files_truncate,
                                .length = files_length,
                                .reserve = files_reserve,
                                .remove = files_remove,
                                .rename = files_rename,
                                .make_dir = files_mkdir,
                                .sync_dir = files_sync_dir,
                                .list = files_list};
  return &vfs;
}

bool files_join(char *out, size_t room, const char *folder, const char *name) {
  int n = snprintf(out, room, "%s/%s", folder, name);
  return n > 0 && (size_t)n < room;
}

int files_make_dir(const vecdb_vfs *vfs, const char *path) {
  char parent[4096];
  int error = vfs->make_dir(vfs, path);
  if (error && error != EEXIST)
    return error;
  if ((size_t)snprintf(parent, sizeof parent, "%s", path) >= sizeof parent)
    return ENAMETOOLONG;
  char *slash = strrchr(parent, '/');
  if (slash)
    *slash = 0;
  return vfs->sync_dir(vfs, !slash ? "." : *parent ? parent : "/");
}

int files_replace(const vecdb_vfs *vfs, const char *folder, const char *name, const void *data,
                  size_t n) {
  char path[4096], fresh[4096 + 8];
  vecdb_file *file;
  if (!files_join(path, sizeof path, folder, name))
    return ENAMETOOLONG;
  snprintf(fresh, sizeof fresh, "%s.new", path);
  int error = vfs->open(vfs, fresh, VECDB_OPEN_CREATE, &file);
  if (error)
    return error;
  error = vfs->write(file, data, n, 0);
  error = error ? error : vfs->sync(file);
  vfs->close(file);
  error = error ? error : vfs->rename(vfs, fresh, path);
  return error ? error : vfs->sync_dir(vfs, folder);
}

struct files_names {
  char **names;
  size_t n;
};

static void files_note(void *arg, const char *name) {
  struct files_names *list = arg;
  char **names = realloc(list->names, (list->n + 1) * sizeof *names);
  char *copy = strdup(name);
  list->names = names ? names : list->names;
  if (names && copy)
    names[list->n++] = copy;
  else
    free(copy);
}

void files_clear(const vecdb_vfs *vfs, const char *path) {
  struct files_names list = {NULL, 0};
  char file[4096];
  (void)vfs->list(vfs, path, files_note, &list);
  for (size_t i = 0; i < list.n; i++) {
    if (files_join(file, sizeof file, path, list.names[i]))
      (void)vfs->remove(vfs, file);
    free(list.names[i]);
  }
  free(list.names);
  (void)vfs->remove(vfs, path);
}

static int files_gone(const char *path, const struct stat *s, int type, struct FTW *ftw) {
  (void)s;
  (void)type;
  (void)ftw;
  return remove(path);
}

void files_remove_tree(const char *path) { nftw(path, files_gone, 16, FTW_DEPTH | FTW_PHYS); }
