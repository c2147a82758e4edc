/* apivfs.c - a file system in memory for tests of the VFS hook; see apivfs.h. */
#include "tlib/apivfs.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Contents outlive their name while they are open or mapped. */
struct av_node {
  char path[300]; /* "": removed */
  unsigned char *data;
  uint64_t length, capacity;
  unsigned long uses; /* open files and mappings */
  bool folder, locked;
  struct av_node *next;
};

struct av_map {
  void *address;
  struct av_node *node;
  struct av_map *next;
};

struct av_disk {
  vecdb_vfs vfs;
  pthread_mutex_t mutex;
  struct av_node *nodes;
  struct av_map *maps;
  unsigned long calls, files, mappings;
  int failing;
  int failing_reads;
};

struct av_file {
  vecdb_file base;
  struct av_node *node;
  bool lock;
};

static struct av_disk *av_enter(const vecdb_vfs *vfs) {
  struct av_disk *disk = vfs->user;
  pthread_mutex_lock(&disk->mutex);
  disk->calls++;
  return disk;
}

static int av_leave(struct av_disk *disk, int os) {
  pthread_mutex_unlock(&disk->mutex);
  return os;
}

static struct av_node *av_find(const struct av_disk *disk, const char *path) {
  struct av_node *node = disk->nodes;
  while (node && strcmp(node->path, path) != 0)
    node = node->next;
  return node;
}

static struct av_node *av_make(struct av_disk *disk, const char *path) {
  struct av_node *node = calloc(1, sizeof *node);
  if (!node)
    abort();
  snprintf(node->path, sizeof node->path, "%s", path);
  node->next = disk->nodes;
  disk->nodes = node;
  return node;
}

static bool av_grow(struct av_node *node, uint64_t capacity) {
  if (capacity <= node->capacity)
    return true;
  capacity += capacity / 2 + 64;
  unsigned char *data = realloc(node->data, capacity);
  if (!data)
    return false;
  memset(data + node->capacity, 0, capacity - node->capacity);
  node->data = data;
  node->capacity = capacity;
  return true;
}

static int av_new_file(struct av_disk *disk, struct av_node *node, vecdb_file **out) {
  struct av_file *file = calloc(1, sizeof *file);
  if (!file)
    return ENOMEM;
  file->base.vfs = &disk->vfs;
  file->node = node;
  node->uses++;
  disk->files++;
  *out = &file->base;
  return 0;
}

static int av_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  struct av_disk *disk = av_enter(vfs);
  struct av_node *node = av_find(disk, path);
  if (mode == VECDB_OPEN_CREATE && disk->failing)
    return av_leave(disk, disk->failing);
  if (mode == VECDB_OPEN_CREATE && node) {
    node->path[0] = '\0'; /* whoever has it open keeps the old one */
    node = NULL;
  }
  if (!node && mode != VECDB_OPEN_CREATE)
    return av_leave(disk, ENOENT);
  if (!node)
    node = av_make(disk, path);
  return av_leave(disk, av_new_file(disk, node, out));
}

static void av_close(vecdb_file *base) {
  struct av_file *file = (struct av_file *)base;
  struct av_disk *disk = av_enter(base->vfs);
  file->node->uses--;
  disk->files--;
  if (file->lock)
    file->node->locked = false;
  free(file);
  av_leave(disk, 0);
}

static int av_read(vecdb_file *base, void *buf, size_t n, uint64_t offset) {
  const struct av_node *node = ((struct av_file *)base)->node;
  struct av_disk *disk = av_enter(base->vfs);
  if (disk->failing_reads)
    return av_leave(disk, disk->failing_reads);
  if (offset > node->length || n > node->length - offset)
    return av_leave(disk, EIO);
  if (n)
    memcpy(buf, node->data + offset, n);
  return av_leave(disk, 0);
}

/* Mapped bytes must not move: a file that is mapped is written by nobody, as vecdb does it. */
static int av_write(vecdb_file *base, const void *buf, size_t n, uint64_t offset) {
  struct av_node *node = ((struct av_file *)base)->node;
  struct av_disk *disk = av_enter(base->vfs);
  if (disk->failing)
    return av_leave(disk, disk->failing);
  if (!av_grow(node, offset + n))
    return av_leave(disk, ENOSPC);
  if (n)
    memcpy(node->data + offset, buf, n);
  if (offset + n > node->length)
    node->length = offset + n;
  return av_leave(disk, 0);
}

static int av_sync(vecdb_file *base) {
  struct av_disk *disk = av_enter(base->vfs);
  return av_leave(disk, disk->failing);
}

static int av_truncate(vecdb_file *base, uint64_t length) {
  struct av_node *node = ((struct av_file *)base)->node;
  struct av_disk *disk = av_enter(base->vfs);
  if (!av_grow(node, length))
    return av_leave(disk, ENOSPC);
  if (length < node->length)
    memset(node->data + length, 0, node->length - length);
  node->length = length;
  return av_leave(disk, 0);
}

static int av_length(vecdb_file *base, uint64_t *out) {
  struct av_disk *disk = av_enter(base->vfs);
  *out = ((struct av_file *)base)->node->length;
  return av_leave(disk, 0);
}

static int av_reserve(vecdb_file *base, uint64_t length) {
  (void)length;
  struct av_disk *disk = av_enter(base->vfs);
  return av_leave(disk, 0);
}

static int av_map(vecdb_file *base, size_t length, const void **out) {
  struct av_node *node = ((struct av_file *)base)->node;
  struct av_disk *disk = av_enter(base->vfs);
  if (length > node->length)
    return av_leave(disk, EIO);
  struct av_map *map = calloc(1, sizeof *map);
  void *copy = aligned_alloc(4096, (length / 4096 + 1) * 4096); /* as aligned as a real mapping */
  if (!map || !copy)
    abort();
  memcpy(copy, node->data, length);
  map->address = copy;
  map->node = node;
  map->next = disk->maps;
  disk->maps = map;
  disk->mappings++;
  *out = copy;
  return av_leave(disk, 0);
}

static void av_unmap(const vecdb_vfs *vfs, const void *address, size_t length) {
  (void)length;
  struct av_disk *disk = av_enter(vfs);
  for (struct av_map **at = &disk->maps; *at; at = &(*at)->next) {
    struct av_map *map = *at;
    if (map->address != address)
      continue;
    *at = map->next;
    free(map->address);
    free(map);
    disk->mappings--;
    break;
  }
  av_leave(disk, 0);
}

static int av_remove(const vecdb_vfs *vfs, const char *path) {
  struct av_disk *disk = av_enter(vfs);
  struct av_node *node = av_find(disk, path);
  if (node)
    node->path[0] = '\0';
  return av_leave(disk, node ? 0 : ENOENT);
}

static int av_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  struct av_disk *disk = av_enter(vfs);
  struct av_node *node = av_find(disk, from), *old = av_find(disk, to);
  if (!node || disk->failing)
    return av_leave(disk, disk->failing ? disk->failing : ENOENT);
  if (old)
    old->path[0] = '\0';
  snprintf(node->path, sizeof node->path, "%s", to);
  return av_leave(disk, 0);
}

static int av_make_dir(const vecdb_vfs *vfs, const char *path) {
  struct av_disk *disk = av_enter(vfs);
  if (av_find(disk, path))
    return av_leave(disk, EEXIST);
  av_make(disk, path)->folder = true;
  return av_leave(disk, 0);
}

static int av_sync_dir(const vecdb_vfs *vfs, const char *path) {
  (void)path;
  struct av_disk *disk = av_enter(vfs);
  return av_leave(disk, disk->failing);
}

static int av_list(const vecdb_vfs *vfs, const char *path,
                   void (*visit)(void *arg, const char *name), void *arg) {
  struct av_disk *disk = av_enter(vfs);
  size_t n = strlen(path);
  if (!av_find(disk, path))
    return av_leave(disk, ENOENT);
  for (const struct av_node *node = disk->nodes; node; node = node->next)
    if (strncmp(node->path, path, n) == 0 && node->path[n] == '/')
      visit(arg, node->path + n + 1);
  return av_leave(disk, 0);
}

static int av_lock(const vecdb_vfs *vfs, const char *path, vecdb_file **out) {
  struct av_disk *disk = av_enter(vfs);
  struct av_node *node = av_find(disk, path);
  if (node && node->locked)
    return av_leave(disk, EBUSY);
  if (!node)
    node = av_make(disk, path);
  int os = av_new_file(disk, node, out);
  if (!os) {
    node->locked = true;
    ((struct av_file *)*out)->lock = true;
  }
  return av_leave(disk, os);
}

struct av_disk *av_new(void) {
  struct av_disk *disk = calloc(1, sizeof *disk);
  if (!disk || pthread_mutex_init(&disk->mutex, NULL) != 0)
    abort();
  const vecdb_vfs vfs = {sizeof vfs, disk,       av_open,    av_close,  av_read,     av_write,
                         av_sync,    av_truncate, av_length, av_reserve, av_map,     av_unmap,
                         av_remove,  av_rename,  av_make_dir, av_sync_dir, av_list,  av_lock,
                         NULL};
  disk->vfs = vfs;
  return disk;
}

void av_free(struct av_disk *disk) {
  while (disk->nodes) {
    struct av_node *next = disk->nodes->next;
    free(disk->nodes->data);
    free(disk->nodes);
    disk->nodes = next;
  }
  pthread_mutex_destroy(&disk->mutex);
  free(disk);
}

const vecdb_vfs *av_vfs(struct av_disk *disk) { return &disk->vfs; }
unsigned long av_calls(const struct av_disk *disk) { return disk->calls; }
void av_fail_writes(struct av_disk *disk, int os) {
  pthread_mutex_lock(&disk->mutex);
  disk->failing = os;
  pthread_mutex_unlock(&disk->mutex);
}
void av_fail_reads(struct av_disk *disk, int os) {
  pthread_mutex_lock(&disk->mutex);
  disk->failing_reads = os;
  pthread_mutex_unlock(&disk->mutex);
}
unsigned long av_open_files(const struct av_disk *disk) { return disk->files; }
unsigned long av_mappings(const struct av_disk *disk) { return disk->mappings; }
