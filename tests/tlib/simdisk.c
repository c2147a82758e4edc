/* simdisk.c - handles, counting, faults and limits over the model of a disk; see simdisk.h. */
#include "tlib/simdisk.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tlib/simmodel.h"

enum { SIMDISK_KINDS = 14 };

struct simdisk {
  vecdb_vfs vfs;
  pthread_mutex_t mutex;
  struct simmodel model;
  uint64_t generation; /* crashes so far; handles of older ones are dead */
  uint64_t ops[SIMDISK_KINDS];
  uint64_t stop_left;  /* UINT64_MAX: no stop */
  bool stopped;
  struct simdisk_fault fault;
  uint64_t faults_hit;
  uint64_t capacity;
  size_t borrowed;     /* handles and mappings out */
};

struct simdisk_handle {
  vecdb_file base;
  struct simmodel_node *node;
  uint64_t generation;
  bool writable;
  bool direct; /* reads must be of whole blocks */
  bool holds_lock;
};

static struct simdisk *simdisk_enter(const vecdb_vfs *vfs) {
  struct simdisk *disk = vfs->user;
  pthread_mutex_lock(&disk->mutex);
  return disk;
}

static int simdisk_leave(struct simdisk *disk, int rc) {
  pthread_mutex_unlock(&disk->mutex);
  return rc;
}

/* ---- Counting and faults, mutex held --------------------------------------------------------- */

/* Counts an operation of one kind; 0, or the error it is to fail with. *faulted: by the fault. */
static int simdisk_count(struct simdisk *disk, uint32_t kind, bool *faulted) {
  *faulted = false;
  disk->ops[__builtin_ctz(kind)]++;
  if ((kind & SIMDISK_CHANGES) && disk->stop_left != UINT64_MAX) {
    if (disk->stop_left == 0) {
      disk->stopped = true;
      return EIO;
    }
    disk->stop_left--;
  }
  struct simdisk_fault *fault = &disk->fault;
  if (fault->nth == 0 || !(fault->kinds & kind))
    return 0;
  if (fault->nth > 1) {
    fault->nth--;
    return 0;
  }
  if (!fault->from_then_on)
    fault->nth = 0;
  disk->faults_hit++;
  *faulted = true;
  return fault->error;
}

static int simdisk_begin(struct simdisk *disk, uint32_t kind) {
  bool faulted;
  return simdisk_count(disk, kind, &faulted);
}

/* What the file takes of the capacity. */
static uint64_t simdisk_space(const struct simmodel_node *file) {
  return file->length > file->reserved ? file->length : file->reserved;
}

static uint64_t simdisk_used_now(const struct simdisk *disk) {
  uint64_t total = 0;
  for (size_t i = 0; i < disk->model.n_nodes; i++) {
    const struct simmodel_node *node = disk->model.nodes[i];
    if (!node->folder && node->links + node->handles > 0)
      total += simdisk_space(node);
  }
  return total;
}

/* How far the file may reach, at most `end`. */
static uint64_t simdisk_reach(const struct simdisk *disk, const struct simmodel_node *file,
                              uint64_t end) {
  uint64_t space = simdisk_space(file);
  if (disk->capacity == 0 || end <= space)
    return end;
  uint64_t used = simdisk_used_now(disk);
  uint64_t left = disk->capacity > used ? disk->capacity - used : 0;
  return end - space <= left ? end : space + left;
}

/* ---- Paths, mutex held ----------------------------------------------------------------------- */

/* A path's last component (n 0: the root), the folder it is in, and who has the name, or NULL. */
struct simdisk_place {
  struct simmodel_node *folder;
  struct simmodel_node *node;
  const char *name;
  size_t n;
};

/* The next component, "." left out; n 0 at the end. */
static const char *simdisk_component(const char **path, size_t *n) {
  for (;;) {
    const char *at = *path + strspn(*path, "/");
    *n = strcspn(at, "/");
    *path = at + *n;
    if (*n != 1 || at[0] != '.')
      return at;
  }
}

static int simdisk_find(struct simdisk *disk, const char *path, struct simdisk_place *out) {
  struct simdisk_place place = {disk->model.root, NULL, NULL, 0};
  place.name = simdisk_component(&path, &place.n);
  for (;;) {
    place.node = place.n ? simmodel_find(place.folder, place.name, place.n) : place.folder;
    size_t n;
    const char *next = simdisk_component(&path, &n);
    if (n == 0)
      break;
    if (!place.node)
      return ENOENT;
    if (!place.node->folder)
      return ENOTDIR;
    place.folder = place.node;
    place.name = next;
    place.n = n;
  }
  *out = place;
  return 0;
}

/* A plain file or a folder that exists. */
static int simdisk_find_kind(struct simdisk *disk, const char *path, bool folder,
                             struct simdisk_place *out) {
  int rc = simdisk_find(disk, path, out);
  if (rc != 0)
    return rc;
  if (!out->node)
    return ENOENT;
  if (out->node->folder == folder)
    return 0;
  return folder ? ENOTDIR : EISDIR;
}

static char *simdisk_name_of(const struct simdisk_place *place) {
  char *name = simmodel_alloc(place->n + 1);
  memcpy(name, place->name, place->n);
  return name;
}

/* Makes a file or folder at an empty place. */
static void simdisk_make(struct simdisk *disk, struct simdisk_place *place, bool folder) {
  char *name = simdisk_name_of(place);
  place->node = simmodel_node_new(&disk->model, folder);
  simmodel_name(&disk->model, place->folder, place->node, NULL, name);
  simmodel_node_drop(&disk->model, place->node); /* the names hold it now */
  free(name);
}

/* ---- The table ------------------------------------------------------------------------------- */

static struct simdisk_handle *simdisk_handle_new(struct simdisk *disk, struct simmodel_node *node,
                                                 bool writable) {
  struct simdisk_handle *handle = simmodel_alloc(sizeof *handle);
  handle->base.vfs = &disk->vfs;
  handle->node = node;
  handle->generation = disk->generation;
  handle->writable = writable;
  node->refs++;
  node->handles++;
  disk->borrowed++;
  return handle;
}

static int simdisk_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  *out = NULL;
  if (mode < VECDB_OPEN_READ || mode > VECDB_OPEN_DIRECT)
    return EINVAL;
  bool create = mode == VECDB_OPEN_CREATE;
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  int rc = simdisk_begin(disk, create ? SIMDISK_CREATE : SIMDISK_OPEN);
  if (rc == 0)
    rc = simdisk_find(disk, path, &place);
  if (rc == 0 && !place.node && !create)
    rc = ENOENT;
  if (rc == 0 && place.node && place.node->folder)
    rc = EISDIR;
  if (rc == 0) {
    if (!place.node)
      simdisk_make(disk, &place, false);
    if (create) {
      simmodel_truncate(place.node, 0);
      place.node->reserved = 0;
    }
    bool writable = create || mode == VECDB_OPEN_WRITE;
    struct simdisk_handle *handle = simdisk_handle_new(disk, place.node, writable);
    handle->direct = mode == VECDB_OPEN_DIRECT;
    *out = &handle->base;
  }
  return simdisk_leave(disk, rc);
}

static int simdisk_lock(const vecdb_vfs *vfs, const char *path, vecdb_file **out) {
  *out = NULL;
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  int rc = simdisk_find(disk, path, &place);
  if (rc == 0)
    rc = simdisk_begin(disk, place.node ? SIMDISK_LOCK : SIMDISK_CREATE);
  if (rc == 0 && place.node)
    rc = place.node->folder ? EISDIR : place.node->locked ? EBUSY : 0;
  if (rc == 0) {
    if (!place.node)
      simdisk_make(disk, &place, false);
    struct simdisk_handle *handle = simdisk_handle_new(disk, place.node, true);
    handle->holds_lock = true;
    place.node->locked = true;
    *out = &handle->base;
  }
  return simdisk_leave(disk, rc);
}

static void simdisk_close(vecdb_file *file) {
  if (!file)
    return;
  struct simdisk *disk = simdisk_enter(file->vfs);
  struct simdisk_handle *handle = (struct simdisk_handle *)file;
  if (handle->holds_lock && handle->generation == disk->generation)
    handle->node->locked = false;
  handle->node->handles--;
  simmodel_node_drop(&disk->model, handle->node);
  free(handle);
  disk->borrowed--;
  simdisk_leave(disk, 0);
}

/* The disk, locked, and the file of a living handle; *rc: whether the operation may go on. */
static struct simdisk *simdisk_use(vecdb_file *file, uint32_t kind, struct simmodel_node **out,
                                   int *rc) {
  struct simdisk *disk = simdisk_enter(file->vfs);
  const struct simdisk_handle *handle = (const struct simdisk_handle *)file;
  *out = handle->node;
  *rc = handle->generation == disk->generation ? 0 : EIO;
  if (*rc == 0 && !handle->writable && (kind & (SIMDISK_WRITE | SIMDISK_RESERVE)))
    *rc = EBADF;
  if (*rc == 0 && !handle->writable && (kind & SIMDISK_TRUNCATE))
    *rc = EINVAL;
  if (*rc == 0 && kind != SIMDISK_WRITE && kind != SIMDISK_SYNC && kind != 0)
    *rc = simdisk_begin(disk, kind);
  return disk;
}

static int simdisk_read(vecdb_file *file, void *buf, size_t n, uint64_t offset) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, SIMDISK_READ, &node, &rc);
  if (rc == 0 && ((const struct simdisk_handle *)file)->direct &&
      (n % VECDB_BLOCK || offset % VECDB_BLOCK || (uintptr_t)buf % VECDB_BLOCK))
    rc = EINVAL;
  if (rc == 0 && n > 0 && (offset > node->length || n > node->length - offset))
    rc = EIO;
  if (rc == 0 && n > 0)
    memcpy(buf, simmodel_bytes(node->now) + offset, n);
  return simdisk_leave(disk, rc);
}

static int simdisk_write(vecdb_file *file, const void *buf, size_t n, uint64_t offset) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, SIMDISK_WRITE, &node, &rc);
  if (rc == 0 && (offset > INT64_MAX || n > INT64_MAX - offset))
    rc = EFBIG;
  if (rc != 0)
    return simdisk_leave(disk, rc);
  bool faulted;
  rc = simdisk_count(disk, SIMDISK_WRITE, &faulted);
  if (faulted && disk->fault.partial)
    n /= 2;
  else if (rc != 0)
    n = 0;
  uint64_t reach = simdisk_reach(disk, node, offset + n);
  if (n > 0 && reach < offset + n) {
    n = reach > offset ? (size_t)(reach - offset) : 0;
    rc = rc != 0 ? rc : ENOSPC;
  }
  simmodel_write(node, buf, n, offset);
  return simdisk_leave(disk, rc);
}

static int simdisk_sync(vecdb_file *file) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, SIMDISK_SYNC, &node, &rc);
  if (rc != 0)
    return simdisk_leave(disk, rc);
  bool faulted;
  rc = simdisk_count(disk, SIMDISK_SYNC, &faulted);
  if (rc == 0)
    simmodel_sync(node);
  else if (faulted)
    simmodel_sync_failed(node);
  return simdisk_leave(disk, rc);
}

static int simdisk_truncate(vecdb_file *file, uint64_t length) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, SIMDISK_TRUNCATE, &node, &rc);
  if (rc == 0 && length > INT64_MAX)
    rc = EFBIG;
  if (rc == 0 && length > node->length && simdisk_reach(disk, node, length) < length)
    rc = ENOSPC;
  if (rc == 0) {
    simmodel_truncate(node, length);
    node->reserved = 0;
  }
  return simdisk_leave(disk, rc);
}

static int simdisk_get_length(vecdb_file *file, uint64_t *out) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, 0, &node, &rc);
  if (rc == 0)
    *out = node->length;
  return simdisk_leave(disk, rc);
}

static int simdisk_reserve(vecdb_file *file, uint64_t length) {
  struct simmodel_node *node;
  int rc;
  struct simdisk *disk = simdisk_use(file, SIMDISK_RESERVE, &node, &rc);
  if (rc == 0 && length > INT64_MAX)
    rc = EFBIG;
  if (rc == 0 && simdisk_reach(disk, node, length) < length)
    rc = ENOSPC;
  if (rc == 0 && length > node->reserved)
    node->reserved = length;
  return simdisk_leave(disk, rc);
}

static int simdisk_map(vecdb_file *file, size_t length, const void **out) {
  static const uint8_t nothing[SIMMODEL_WIDE] __attribute__((aligned(SIMMODEL_WIDE)));
  struct simmodel_node *node;
  int rc;
  *out = NULL;
  struct simdisk *disk = simdisk_use(file, SIMDISK_MAP, &node, &rc);
  if (rc == 0 && length > node->length)
    rc = EIO;
  if (rc == 0 && length == 0)
    *out = nothing;
  if (rc == 0 && length > 0) {
    node->now->refs++;
    disk->borrowed++;
    *out = simmodel_bytes(node->now);
  }
  return simdisk_leave(disk, rc);
}

static void simdisk_unmap(const vecdb_vfs *vfs, const void *address, size_t length) {
  if (length == 0)
    return;
  struct simdisk *disk = simdisk_enter(vfs);
  void *raw = (void *)((uintptr_t)address - SIMMODEL_WIDE);
  simmodel_buffer_drop(raw);
  disk->borrowed--;
  simdisk_leave(disk, 0);
}

static int simdisk_remove(const vecdb_vfs *vfs, const char *path) {
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  int rc = simdisk_begin(disk, SIMDISK_REMOVE);
  if (rc == 0)
    rc = simdisk_find(disk, path, &place);
  if (rc == 0 && !place.node)
    rc = ENOENT;
  if (rc == 0 && place.node->folder && place.node->names.n > 0)
    rc = ENOTEMPTY;
  if (rc == 0) {
    char *name = simdisk_name_of(&place);
    simmodel_name(&disk->model, place.folder, place.node, name, NULL);
    free(name);
  }
  return simdisk_leave(disk, rc);
}

static int simdisk_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place source, target;
  int rc = simdisk_begin(disk, SIMDISK_RENAME);
  if (rc == 0)
    rc = simdisk_find_kind(disk, from, false, &source);
  if (rc == 0)
    rc = simdisk_find(disk, to, &target);
  if (rc == 0 && target.node && target.node->folder)
    rc = EISDIR;
  if (rc == 0 && source.folder != target.folder)
    rc = EXDEV;
  if (rc == 0 && source.node != target.node) {
    char *old_name = simdisk_name_of(&source), *new_name = simdisk_name_of(&target);
    simmodel_name(&disk->model, source.folder, source.node, old_name, new_name);
    free(old_name);
    free(new_name);
  }
  return simdisk_leave(disk, rc);
}

static int simdisk_make_dir(const vecdb_vfs *vfs, const char *path) {
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  int rc = simdisk_begin(disk, SIMDISK_MAKE_DIR);
  if (rc == 0)
    rc = simdisk_find(disk, path, &place);
  if (rc == 0 && place.node)
    rc = EEXIST;
  if (rc == 0)
    simdisk_make(disk, &place, true);
  return simdisk_leave(disk, rc);
}

static int simdisk_sync_dir(const vecdb_vfs *vfs, const char *path) {
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  int rc = simdisk_begin(disk, SIMDISK_SYNC_DIR);
  if (rc == 0)
    rc = simdisk_find_kind(disk, path, true, &place);
  if (rc == 0)
    simmodel_sync_names(&disk->model, place.node);
  return simdisk_leave(disk, rc);
}

/* Paths of files, copied out because `visit` may call anything. */
struct simdisk_paths {
  struct simdisk_path {
    char *path;
    uint64_t length;
  } *items;
  size_t n;
};

static void simdisk_paths_add(struct simdisk_paths *paths, const char *folder, const char *name,
                              uint64_t length) {
  size_t n = strlen(folder), size = n + strlen(name) + 1;
  char *path = simmodel_alloc(size);
  memcpy(path, folder, n);
  memcpy(path + n, name, size - n);
  paths->items = simmodel_resize(paths->items, (paths->n + 1) * sizeof *paths->items);
  struct simdisk_path item = {path, length};
  paths->items[paths->n++] = item;
}

static void simdisk_paths_free(struct simdisk_paths *paths) {
  for (size_t i = 0; i < paths->n; i++)
    free(paths->items[i].path);
  free(paths->items);
}

static int simdisk_list(const vecdb_vfs *vfs, const char *path,
                        void (*visit)(void *arg, const char *name), void *arg) {
  struct simdisk *disk = simdisk_enter(vfs);
  struct simdisk_place place;
  struct simdisk_paths paths = {NULL, 0};
  int rc = simdisk_begin(disk, SIMDISK_LIST);
  if (rc == 0)
    rc = simdisk_find_kind(disk, path, true, &place);
  if (rc == 0)
    for (size_t i = 0; i < place.node->names.n; i++)
      if (!place.node->names.entries[i].node->folder)
        simdisk_paths_add(&paths, "", place.node->names.entries[i].name, 0);
  simdisk_leave(disk, rc);
  for (size_t i = 0; i < paths.n; i++)
    visit(arg, paths.items[i].path);
  simdisk_paths_free(&paths);
  return rc;
}

/* ---- The disk -------------------------------------------------------------------------------- */

/* Without a model. */
static struct simdisk *simdisk_blank(void) {
  static const vecdb_vfs table = {
      .size = sizeof(vecdb_vfs),
      .open = simdisk_open,
      .close = simdisk_close,
      .read = simdisk_read,
      .write = simdisk_write,
      .sync = simdisk_sync,
      .truncate = simdisk_truncate,
      .length = simdisk_get_length,
      .reserve = simdisk_reserve,
      .map = simdisk_map,
      .unmap = simdisk_unmap,
      .remove = simdisk_remove,
      .rename = simdisk_rename,
      .make_dir = simdisk_make_dir,
      .sync_dir = simdisk_sync_dir,
      .list = simdisk_list,
      .lock = simdisk_lock,
  };
  struct simdisk *disk = simmodel_alloc(sizeof *disk);
  disk->vfs = table;
  disk->vfs.user = disk;
  disk->stop_left = UINT64_MAX;
  if (pthread_mutex_init(&disk->mutex, NULL) != 0)
    abort();
  return disk;
}

struct simdisk *simdisk_new(void) {
  struct simdisk *disk = simdisk_blank();
  simmodel_init(&disk->model);
  return disk;
}

struct simdisk *simdisk_clone(struct simdisk *disk) {
  struct simdisk *copy = simdisk_blank();
  pthread_mutex_lock(&disk->mutex);
  simmodel_clone(&copy->model, &disk->model);
  copy->capacity = disk->capacity;
  pthread_mutex_unlock(&disk->mutex);
  return copy;
}

void simdisk_free(struct simdisk *disk) {
  if (!disk)
    return;
  simmodel_fini(&disk->model);
  pthread_mutex_destroy(&disk->mutex);
  free(disk);
}

const vecdb_vfs *simdisk_vfs(struct simdisk *disk) { return &disk->vfs; }

void simdisk_crash(struct simdisk *disk, uint64_t seed) {
  pthread_mutex_lock(&disk->mutex);
  simmodel_crash(&disk->model, seed);
  disk->generation++;
  disk->stop_left = UINT64_MAX;
  disk->stopped = false;
  disk->fault.nth = 0;
  pthread_mutex_unlock(&disk->mutex);
}

void simdisk_settle(struct simdisk *disk) {
  pthread_mutex_lock(&disk->mutex);
  simmodel_settle(&disk->model);
  pthread_mutex_unlock(&disk->mutex);
}

void simdisk_stop_after(struct simdisk *disk, uint64_t n) {
  pthread_mutex_lock(&disk->mutex);
  disk->stop_left = n;
  disk->stopped = false;
  pthread_mutex_unlock(&disk->mutex);
}

bool simdisk_stopped(struct simdisk *disk) {
  pthread_mutex_lock(&disk->mutex);
  bool stopped = disk->stopped;
  pthread_mutex_unlock(&disk->mutex);
  return stopped;
}

uint64_t simdisk_ops(struct simdisk *disk, uint32_t kinds) {
  uint64_t total = 0;
  pthread_mutex_lock(&disk->mutex);
  for (unsigned i = 0; i < SIMDISK_KINDS; i++)
    total += kinds >> i & 1 ? disk->ops[i] : 0;
  pthread_mutex_unlock(&disk->mutex);
  return total;
}

void simdisk_set_fault(struct simdisk *disk, const struct simdisk_fault *fault) {
  static const struct simdisk_fault none;
  pthread_mutex_lock(&disk->mutex);
  disk->fault = fault ? *fault : none;
  disk->faults_hit = 0;
  pthread_mutex_unlock(&disk->mutex);
}

uint64_t simdisk_faults_hit(struct simdisk *disk) {
  pthread_mutex_lock(&disk->mutex);
  uint64_t hit = disk->faults_hit;
  pthread_mutex_unlock(&disk->mutex);
  return hit;
}

void simdisk_set_capacity(struct simdisk *disk, uint64_t bytes) {
  pthread_mutex_lock(&disk->mutex);
  disk->capacity = bytes;
  pthread_mutex_unlock(&disk->mutex);
}

uint64_t simdisk_used(struct simdisk *disk) {
  pthread_mutex_lock(&disk->mutex);
  uint64_t used = simdisk_used_now(disk);
  pthread_mutex_unlock(&disk->mutex);
  return used;
}

size_t simdisk_handles(struct simdisk *disk) {
  pthread_mutex_lock(&disk->mutex);
  size_t n = disk->borrowed;
  pthread_mutex_unlock(&disk->mutex);
  return n;
}

/* ---- Looking and damaging -------------------------------------------------------------------- */

/* Locks the disk and finds the plain file at `path`; *rc is an error when there is none, or when
   the n bytes at offset are not all on the disk. */
static struct simmodel_node *simdisk_look(struct simdisk *disk, const char *path, size_t n,
                                          uint64_t offset, int *rc) {
  struct simdisk_place place;
  pthread_mutex_lock(&disk->mutex);
  *rc = simdisk_find_kind(disk, path, false, &place);
  if (*rc != 0)
    return NULL;
  if (offset > place.node->disk_length || n > place.node->disk_length - offset)
    *rc = EIO;
  return place.node;
}

int simdisk_length(struct simdisk *disk, const char *path, uint64_t *out) {
  int rc;
  const struct simmodel_node *node = simdisk_look(disk, path, 0, 0, &rc);
  if (rc == 0)
    *out = node->disk_length;
  return simdisk_leave(disk, rc);
}

int simdisk_peek(struct simdisk *disk, const char *path, void *buf, size_t n, uint64_t offset) {
  int rc;
  const struct simmodel_node *node = simdisk_look(disk, path, n, offset, &rc);
  if (rc == 0 && n > 0)
    memcpy(buf, node->disk + offset, n);
  return simdisk_leave(disk, rc);
}

int simdisk_poke(struct simdisk *disk, const char *path, const void *buf, size_t n,
                 uint64_t offset) {
  int rc;
  struct simmodel_node *node = simdisk_look(disk, path, n, offset, &rc);
  for (size_t i = 0; rc == 0 && i < n; i++) {
    node->disk[offset + i] = ((const uint8_t *)buf)[i];
    if (offset + i < node->length)
      simmodel_bytes(node->now)[offset + i] = ((const uint8_t *)buf)[i];
  }
  return simdisk_leave(disk, rc);
}

int simdisk_flip(struct simdisk *disk, const char *path, uint64_t offset, uint8_t mask) {
  uint8_t byte;
  int rc = simdisk_peek(disk, path, &byte, 1, offset);
  if (rc != 0)
    return rc;
  byte ^= mask;
  return simdisk_poke(disk, path, &byte, 1, offset);
}

int simdisk_cut(struct simdisk *disk, const char *path, uint64_t length) {
  int rc;
  struct simmodel_node *node = simdisk_look(disk, path, 0, 0, &rc);
  if (rc == 0) {
    uint8_t *data = simmodel_alloc((size_t)length);
    uint64_t kept = length < node->disk_length ? length : node->disk_length;
    if (kept)
      memcpy(data, node->disk, (size_t)kept);
    simmodel_set(node, data, length);
  }
  return simdisk_leave(disk, rc);
}

static void simdisk_gather(const struct simmodel_node *folder, const char *path,
                           struct simdisk_paths *paths) {
  for (size_t i = 0; i < folder->names.n; i++) {
    const struct simmodel_entry *entry = &folder->names.entries[i];
    if (!entry->node->folder) {
      simdisk_paths_add(paths, path, entry->name, entry->node->length);
      continue;
    }
    struct simdisk_paths sub = {NULL, 0};
    simdisk_paths_add(&sub, path, entry->name, 0);
    simdisk_paths_add(&sub, sub.items[0].path, "/", 0);
    simdisk_gather(entry->node, sub.items[1].path, paths);
    simdisk_paths_free(&sub);
  }
}

static int simdisk_path_order(const void *a, const void *b) {
  return strcmp(((const struct simdisk_path *)a)->path, ((const struct simdisk_path *)b)->path);
}

void simdisk_each(struct simdisk *disk, void (*visit)(void *arg, const char *path, uint64_t length),
                  void *arg) {
  struct simdisk_paths paths = {NULL, 0};
  pthread_mutex_lock(&disk->mutex);
  simdisk_gather(disk->model.root, "/", &paths);
  pthread_mutex_unlock(&disk->mutex);
  if (paths.n > 0)
    qsort(paths.items, paths.n, sizeof *paths.items, simdisk_path_order);
  for (size_t i = 0; i < paths.n; i++)
    visit(arg, paths.items[i].path, paths.items[i].length);
  simdisk_paths_free(&paths);
}
