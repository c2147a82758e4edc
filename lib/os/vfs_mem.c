/*
 * vfs_mem.c - a file tree in memory, for ":memory:" databases and tests; see vecdb_vfs and env.h.
 *
 * Three kinds of things with lives of their own: a node is a name in the tree (folder or file), a
 * file is what names and handles refer to, and a buffer holds a file's bytes and is referred to by
 * the file and its mappings. So a removed file stays readable through its handles, and a mapping
 * stays valid whatever becomes of the file: a file that must grow past a mapped buffer moves to a
 * new one. Mappings start at multiples of 64 bytes, not of pages. One mutex guards all of it;
 * mapped bytes are read without.
 */
#include <errno.h>

#include "base/bytes.h"
#include "base/check.h"
#include "os/env.h"

enum { VFS_MEM_WIDE = 64, VFS_MEM_FIRST = 256 };

/* Stands in the 64 bytes before the bytes. */
struct vfs_mem_buffer {
  uint64_t refs;
  uint64_t capacity;
};
_Static_assert(sizeof(struct vfs_mem_buffer) <= VFS_MEM_WIDE, "the header fits before the bytes");

struct vfs_mem_file {
  uint64_t refs;                 /* nodes and handles */
  uint64_t length;
  struct vfs_mem_buffer *buffer; /* NULL: no bytes yet */
  bool locked;
};

struct vfs_mem_node {
  struct vfs_mem_node *parent;   /* the root is its own */
  struct vfs_mem_file *file;     /* NULL: a folder */
  struct vfs_mem_node **children;
  size_t n_children;
  size_t children_capacity;
  char *name;
};

struct vfs_mem_tree {
  vecdb_vfs vfs;
  struct vdb_mem *mem;
  struct vdb_mutex mutex;
  struct vfs_mem_node root;
  size_t borrowed; /* handles and mappings out */
};

struct vfs_mem_handle {
  vecdb_file base;
  struct vfs_mem_file *file;
  bool writable;
  bool holds_lock;
};

static struct vfs_mem_tree *vfs_mem_tree_of(const vecdb_vfs *vfs) { return vfs->user; }

static struct vfs_mem_handle *vfs_mem_handle_of(vecdb_file *file) {
  return (struct vfs_mem_handle *)file;
}

/* The tree of a handle, its mutex locked. */
static struct vfs_mem_tree *vfs_mem_enter(const vecdb_vfs *vfs) {
  struct vfs_mem_tree *tree = vfs_mem_tree_of(vfs);
  vdb_mutex_lock(&tree->mutex);
  return tree;
}

static int vfs_mem_leave(struct vfs_mem_tree *tree, int rc) {
  vdb_mutex_unlock(&tree->mutex);
  return rc;
}

/* ---- Buffers and files, mutex held ----------------------------------------------------------- */

static uint8_t *vfs_mem_bytes(struct vfs_mem_buffer *buffer) {
  return (uint8_t *)buffer + VFS_MEM_WIDE;
}

static void vfs_mem_buffer_drop(struct vfs_mem_tree *tree, struct vfs_mem_buffer *buffer) {
  if (buffer && --buffer->refs == 0)
    vdb_free(tree->mem, buffer);
}

static void vfs_mem_file_drop(struct vfs_mem_tree *tree, struct vfs_mem_file *file) {
  if (--file->refs == 0) {
    vfs_mem_buffer_drop(tree, file->buffer);
    vdb_free(tree->mem, file);
  }
}

static struct vfs_mem_buffer *vfs_mem_buffer_new(struct vfs_mem_tree *tree, uint64_t capacity) {
  if (capacity > SIZE_MAX / 4)
    return NULL;
  struct vfs_mem_buffer *buffer = vdb_alloc_wide(tree->mem, (size_t)capacity + VFS_MEM_WIDE);
  if (buffer) {
    buffer->refs = 1;
    buffer->capacity = capacity;
  }
  return buffer;
}

/* Room for `need` bytes; doubles where the memory allows it. */
static bool vfs_mem_room(struct vfs_mem_tree *tree, struct vfs_mem_file *file, uint64_t need) {
  struct vfs_mem_buffer *old = file->buffer;
  if (old && need <= old->capacity)
    return true;
  uint64_t wanted = old && old->capacity <= UINT64_MAX / 2 ? old->capacity * 2 : VFS_MEM_FIRST;
  struct vfs_mem_buffer *grown = NULL;
  if (wanted > need)
    grown = vfs_mem_buffer_new(tree, wanted);
  if (!grown)
    grown = vfs_mem_buffer_new(tree, need);
  if (!grown)
    return false;
  if (old)
    memcpy(vfs_mem_bytes(grown), vfs_mem_bytes(old), (size_t)file->length);
  vfs_mem_buffer_drop(tree, old);
  file->buffer = grown;
  return true;
}

static int vfs_mem_set_length(struct vfs_mem_tree *tree, struct vfs_mem_file *file,
                              uint64_t length) {
  if (length > file->length) {
    if (!vfs_mem_room(tree, file, length))
      return ENOMEM;
    memset(vfs_mem_bytes(file->buffer) + file->length, 0, (size_t)(length - file->length));
  } else if (length == 0) {
    vfs_mem_buffer_drop(tree, file->buffer);
    file->buffer = NULL;
  }
  file->length = length;
  return 0;
}

/* ---- Names, mutex held ----------------------------------------------------------------------- */

static struct vfs_mem_node *vfs_mem_child(const struct vfs_mem_node *folder, const char *name,
                                          size_t n) {
  for (size_t i = 0; i < folder->n_children; i++) {
    struct vfs_mem_node *child = folder->children[i];
    if (strncmp(child->name, name, n) == 0 && child->name[n] == '\0')
      return child;
  }
  return NULL;
}

/* The next component of a path, "." left out; n 0 at the end. */
static const char *vfs_mem_component(const char **path, size_t *n) {
  for (;;) {
    const char *at = *path + strspn(*path, "/");
    *n = strcspn(at, "/");
    *path = at + *n;
    if (*n != 1 || at[0] != '.')
      return at;
  }
}

/* Where a path leads: the folder of its last component, that component (n 0: the folder itself is
   meant), and the node that has the name, or NULL. Relative paths start at the root. */
struct vfs_mem_place {
  struct vfs_mem_node *folder;
  struct vfs_mem_node *node;
  const char *name;
  size_t n;
};

static int vfs_mem_find(struct vfs_mem_tree *tree, const char *path, struct vfs_mem_place *out) {
  struct vfs_mem_node *folder = &tree->root;
  size_t n;
  const char *name = vfs_mem_component(&path, &n);
  for (;;) {
    size_t next_n;
    const char *next = vfs_mem_component(&path, &next_n);
    struct vfs_mem_node *node = n == 0 ? folder : vfs_mem_child(folder, name, n);
    if (n == 2 && memcmp(name, "..", 2) == 0)
      node = folder->parent;
    if (next_n == 0) {
      struct vfs_mem_place place = {folder, node, name, n};
      *out = place;
      return 0;
    }
    if (!node)
      return ENOENT;
    if (node->file)
      return ENOTDIR;
    folder = node;
    name = next;
    n = next_n;
  }
}

/* A new node at an empty place, a folder until it is given a file; NULL without memory. */
static struct vfs_mem_node *vfs_mem_node_new(struct vfs_mem_tree *tree,
                                             const struct vfs_mem_place *place) {
  struct vfs_mem_node *folder = place->folder;
  if (!VDB_GROW(tree->mem, folder->children, folder->children_capacity, folder->n_children + 1))
    return NULL;
  struct vfs_mem_node *node = vdb_alloc_zero(tree->mem, sizeof *node);
  if (!node)
    return NULL;
  node->name = vdb_strndup(tree->mem, place->name, place->n);
  if (!node->name) {
    vdb_free(tree->mem, node);
    return NULL;
  }
  node->parent = folder;
  folder->children[folder->n_children++] = node;
  return node;
}

static void vfs_mem_node_free(struct vfs_mem_tree *tree, struct vfs_mem_node *node) {
  if (node->file)
    vfs_mem_file_drop(tree, node->file);
  vdb_free(tree->mem, node->children);
  vdb_free(tree->mem, node->name);
  vdb_free(tree->mem, node);
}

/* Takes a node out of its folder and frees it. */
static void vfs_mem_node_remove(struct vfs_mem_tree *tree, struct vfs_mem_node *node) {
  struct vfs_mem_node *folder = node->parent;
  size_t i = 0;
  while (folder->children[i] != node)
    i++;
  folder->children[i] = folder->children[--folder->n_children];
  vfs_mem_node_free(tree, node);
}

static struct vfs_mem_node *vfs_mem_file_new(struct vfs_mem_tree *tree,
                                             const struct vfs_mem_place *place) {
  struct vfs_mem_file *file = vdb_alloc_zero(tree->mem, sizeof *file);
  if (!file)
    return NULL;
  struct vfs_mem_node *node = vfs_mem_node_new(tree, place);
  if (!node) {
    vdb_free(tree->mem, file);
    return NULL;
  }
  file->refs = 1;
  node->file = file;
  return node;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Opens the file at `path`, made if missing when `create`. */
static int vfs_mem_open_node(struct vfs_mem_tree *tree, const char *path, bool create,
                             struct vfs_mem_handle **out) {
  struct vfs_mem_place place;
  int rc = vfs_mem_find(tree, path, &place);
  if (rc != 0)
    return rc;
  if (place.node && !place.node->file)
    return EISDIR;
  if (!place.node && !create)
    return ENOENT;
  struct vfs_mem_handle *handle = vdb_alloc_zero(tree->mem, sizeof *handle);
  if (!handle)
    return ENOMEM;
  if (!place.node)
    place.node = vfs_mem_file_new(tree, &place);
  if (!place.node) {
    vdb_free(tree->mem, handle);
    return ENOMEM;
  }
  handle->base.vfs = &tree->vfs;
  handle->file = place.node->file;
  handle->file->refs++;
  tree->borrowed++;
  *out = handle;
  return 0;
}

static int vfs_mem_open(const vecdb_vfs *vfs, const char *path, int mode, vecdb_file **out) {
  *out = NULL;
  if (mode < VECDB_OPEN_READ || mode > VECDB_OPEN_DIRECT)
    return EINVAL;
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_handle *handle;
  int rc = vfs_mem_open_node(tree, path, mode == VECDB_OPEN_CREATE, &handle);
  if (rc == 0) {
    handle->writable = mode == VECDB_OPEN_WRITE || mode == VECDB_OPEN_CREATE;
    if (mode == VECDB_OPEN_CREATE)
      vfs_mem_set_length(tree, handle->file, 0);
    *out = &handle->base;
  }
  return vfs_mem_leave(tree, rc);
}

static int vfs_mem_lock(const vecdb_vfs *vfs, const char *path, vecdb_file **out) {
  *out = NULL;
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_place place;
  struct vfs_mem_handle *handle;
  int rc = vfs_mem_find(tree, path, &place);
  if (rc == 0 && place.node && place.node->file && place.node->file->locked)
    rc = EBUSY;
  if (rc == 0)
    rc = vfs_mem_open_node(tree, path, true, &handle);
  if (rc == 0) {
    handle->writable = true;
    handle->holds_lock = true;
    handle->file->locked = true;
    *out = &handle->base;
  }
  return vfs_mem_leave(tree, rc);
}

static void vfs_mem_close(vecdb_file *file) {
  if (!file)
    return;
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  struct vfs_mem_handle *handle = vfs_mem_handle_of(file);
  if (handle->holds_lock)
    handle->file->locked = false;
  vfs_mem_file_drop(tree, handle->file);
  vdb_free(tree->mem, handle);
  tree->borrowed--;
  vfs_mem_leave(tree, 0);
}

static int vfs_mem_read(vecdb_file *file, void *buf, size_t n, uint64_t offset) {
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  struct vfs_mem_file *f = vfs_mem_handle_of(file)->file;
  int rc = 0;
  if (n > 0 && (offset > f->length || n > f->length - offset))
    rc = EIO;
  else if (n > 0)
    memcpy(buf, vfs_mem_bytes(f->buffer) + offset, n);
  return vfs_mem_leave(tree, rc);
}

static int vfs_mem_write(vecdb_file *file, const void *buf, size_t n, uint64_t offset) {
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  struct vfs_mem_file *f = vfs_mem_handle_of(file)->file;
  int rc = 0;
  if (!vfs_mem_handle_of(file)->writable)
    rc = EBADF;
  else if (offset > INT64_MAX || n > INT64_MAX - offset)
    rc = EFBIG;
  else if (n > 0 && offset + n > f->length)
    rc = vfs_mem_set_length(tree, f, offset + n);
  if (rc == 0 && n > 0)
    memcpy(vfs_mem_bytes(f->buffer) + offset, buf, n);
  return vfs_mem_leave(tree, rc);
}

static int vfs_mem_sync(vecdb_file *file) {
  (void)file;
  return 0;
}

static int vfs_mem_truncate(vecdb_file *file, uint64_t length) {
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  struct vfs_mem_handle *handle = vfs_mem_handle_of(file);
  int rc = EINVAL; /* as ftruncate has it */
  if (length > INT64_MAX)
    rc = EFBIG;
  else if (handle->writable)
    rc = vfs_mem_set_length(tree, handle->file, length);
  return vfs_mem_leave(tree, rc);
}

static int vfs_mem_length(vecdb_file *file, uint64_t *out) {
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  *out = vfs_mem_handle_of(file)->file->length;
  return vfs_mem_leave(tree, 0);
}

static int vfs_mem_reserve(vecdb_file *file, uint64_t length) {
  /* The caller's guess is not worth memory that may never be written. */
  (void)length;
  return vfs_mem_handle_of(file)->writable ? 0 : EBADF;
}

static int vfs_mem_map(vecdb_file *file, size_t length, const void **out) {
  static const uint8_t nothing[VFS_MEM_WIDE] __attribute__((aligned(VFS_MEM_WIDE)));
  struct vfs_mem_tree *tree = vfs_mem_enter(file->vfs);
  struct vfs_mem_file *f = vfs_mem_handle_of(file)->file;
  int rc = 0;
  *out = NULL;
  if (length > f->length) {
    rc = EIO;
  } else if (length == 0) {
    *out = nothing;
  } else {
    f->buffer->refs++;
    tree->borrowed++;
    *out = vfs_mem_bytes(f->buffer);
  }
  return vfs_mem_leave(tree, rc);
}

static void vfs_mem_unmap(const vecdb_vfs *vfs, const void *address, size_t length) {
  if (length == 0)
    return;
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  void *raw = (void *)((uintptr_t)address - VFS_MEM_WIDE);
  vfs_mem_buffer_drop(tree, raw);
  tree->borrowed--;
  vfs_mem_leave(tree, 0);
}

static int vfs_mem_remove(const vecdb_vfs *vfs, const char *path) {
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_place place;
  int rc = vfs_mem_find(tree, path, &place);
  if (rc == 0 && !place.node)
    rc = ENOENT;
  if (rc == 0 && place.node == &tree->root)
    rc = EBUSY;
  if (rc == 0 && !place.node->file && place.node->n_children > 0)
    rc = ENOTEMPTY;
  if (rc == 0)
    vfs_mem_node_remove(tree, place.node);
  return vfs_mem_leave(tree, rc);
}

/* Moves a file to a place of another name. Folders are never renamed by the library. */
static int vfs_mem_move(struct vfs_mem_tree *tree, struct vfs_mem_node *from,
                        const struct vfs_mem_place *to) {
  if (!from->file)
    return EISDIR;
  struct vfs_mem_node *target = to->node;
  if (target == from)
    return 0;
  if (target && !target->file)
    return EISDIR;
  if (!target)
    target = vfs_mem_node_new(tree, to);
  else
    vfs_mem_file_drop(tree, target->file);
  if (!target)
    return ENOMEM;
  target->file = from->file;
  from->file->refs++;
  vfs_mem_node_remove(tree, from);
  return 0;
}

static int vfs_mem_rename(const vecdb_vfs *vfs, const char *from, const char *to) {
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_place source, target;
  int rc = vfs_mem_find(tree, from, &source);
  if (rc == 0)
    rc = source.node ? vfs_mem_find(tree, to, &target) : ENOENT;
  if (rc == 0)
    rc = vfs_mem_move(tree, source.node, &target);
  return vfs_mem_leave(tree, rc);
}

static int vfs_mem_make_dir(const vecdb_vfs *vfs, const char *path) {
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_place place;
  int rc = vfs_mem_find(tree, path, &place);
  if (rc == 0 && place.node)
    rc = EEXIST;
  if (rc == 0 && !vfs_mem_node_new(tree, &place))
    rc = ENOMEM;
  return vfs_mem_leave(tree, rc);
}

/* The folder at `path`. */
static int vfs_mem_folder(struct vfs_mem_tree *tree, const char *path, struct vfs_mem_node **out) {
  struct vfs_mem_place place;
  int rc = vfs_mem_find(tree, path, &place);
  if (rc != 0)
    return rc;
  *out = place.node;
  if (!place.node)
    return ENOENT;
  return place.node->file ? ENOTDIR : 0;
}

static int vfs_mem_sync_dir(const vecdb_vfs *vfs, const char *path) {
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vfs_mem_node *folder;
  return vfs_mem_leave(tree, vfs_mem_folder(tree, path, &folder));
}

/* The names of the plain files in a folder, one after the other. */
static int vfs_mem_names(struct vfs_mem_tree *tree, const char *path, struct vdb_writer *names) {
  struct vfs_mem_node *folder;
  int rc = vfs_mem_folder(tree, path, &folder);
  if (rc != 0)
    return rc;
  for (size_t i = 0; i < folder->n_children; i++) {
    const struct vfs_mem_node *child = folder->children[i];
    if (child->file)
      vdb_write_bytes(names, child->name, strlen(child->name) + 1);
  }
  return names->failed ? ENOMEM : 0;
}

static int vfs_mem_list(const vecdb_vfs *vfs, const char *path,
                        void (*visit)(void *arg, const char *name), void *arg) {
  /* Copied out, because `visit` may remove what it is told of, or list another folder. */
  struct vfs_mem_tree *tree = vfs_mem_enter(vfs);
  struct vdb_writer names = VDB_WRITER(tree->mem);
  int rc = vfs_mem_leave(tree, vfs_mem_names(tree, path, &names));
  if (rc == 0)
    for (size_t at = 0; at < names.n; at += strlen((char *)names.data + at) + 1)
      visit(arg, (char *)names.data + at);
  vdb_writer_free(&names);
  return rc;
}

VDB_INTERNAL vecdb_vfs *vdb_vfs_mem_new(struct vdb_mem *mem) {
  static const vecdb_vfs table = {
      .size = sizeof(vecdb_vfs),
      .open = vfs_mem_open,
      .close = vfs_mem_close,
      .read = vfs_mem_read,
      .write = vfs_mem_write,
      .sync = vfs_mem_sync,
      .truncate = vfs_mem_truncate,
      .length = vfs_mem_length,
      .reserve = vfs_mem_reserve,
      .map = vfs_mem_map,
      .unmap = vfs_mem_unmap,
      .remove = vfs_mem_remove,
      .rename = vfs_mem_rename,
      .make_dir = vfs_mem_make_dir,
      .sync_dir = vfs_mem_sync_dir,
      .list = vfs_mem_list,
      .lock = vfs_mem_lock,
  };
  struct vfs_mem_tree *tree = vdb_alloc_zero(mem, sizeof *tree);
  if (!tree)
    return NULL;
  if (vdb_mutex_init(&tree->mutex) != 0) {
    vdb_free(mem, tree);
    return NULL;
  }
  tree->vfs = table;
  tree->vfs.user = tree;
  tree->mem = mem;
  tree->root.parent = &tree->root;
  return &tree->vfs;
}

VDB_INTERNAL void vdb_vfs_mem_free(struct vdb_mem *mem, vecdb_vfs *vfs) {
  if (!vfs)
    return;
  struct vfs_mem_tree *tree = vfs_mem_tree_of(vfs);
  vdb_assert(tree->borrowed == 0);
  /* Leaves first, without recursion: paths are as deep as the host made them. */
  struct vfs_mem_node *node = &tree->root;
  for (;;) {
    if (node->n_children > 0) {
      node = node->children[node->n_children - 1];
    } else if (node != &tree->root) {
      struct vfs_mem_node *parent = node->parent;
      vfs_mem_node_remove(tree, node);
      node = parent;
    } else {
      break;
    }
  }
  vdb_free(mem, tree->root.children);
  vdb_mutex_destroy(&tree->mutex);
  vdb_free(mem, tree);
}
