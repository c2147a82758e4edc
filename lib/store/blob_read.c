/*
 * blob_read.c - opening, mapping and checking section files. Header, trailer and table are read
 * into memory and checked there, so that what is interpreted cannot change afterwards; sections are
 * borrowed from the mapping, and checked once, when they are first asked for. Those of an encrypted
 * file are decrypted into memory then (blob_pages.h), and what is mapped is only copied.
 */
#include <errno.h>
#include <stdatomic.h>

#include "base/hot.h"
#include "os/queue.h"
#include "store/blob.h"
#include "store/blob_pages.h"
#include "store/keys.h"
#include "store/store_format.h"

enum { BLOBR_CHUNK = 4 << 20 }; /* bytes hashed between two polls */

struct vdb_blob {
  struct vdb_sect_reader reader; /* first: the callback gets this */
  struct vdb_env *env;
  const uint8_t *map;
  uint64_t length;
  uint64_t number;
  enum vdb_blob_kind kind;
  struct store_blob_entry *table;
  _Atomic uint8_t *checked; /* per section: 1 once its hash has held */
  size_t n;
  uint64_t table_at;
  uint32_t key;            /* id of the data key; 0: plain */
  struct vdb_pages *pages; /* of an encrypted file; else NULL */
  char *path;
};

static int blobr_corrupt(const struct vdb_blob *b, uint64_t offset, const char *what,
                         vecdb_error *err) {
  return vdb_fail_pos(err, VECDB_ERR_CORRUPT, (int64_t)offset, "%s is damaged: %s", b->path, what);
}

/* ---- checks at opening ---- */

static int blobr_check_header(const struct vdb_blob *b, const struct store_blob_header *h,
                              vecdb_error *err) {
  if (memcmp(h->magic, STORE_BLOB_MAGIC, STORE_MAGIC_BYTES) != 0 || h->version == 0 ||
      h->hash != vdb_store_hash(h, sizeof *h))
    return blobr_corrupt(b, 0, "its header is not valid", err);
  if (h->version > VECDB_FORMAT_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "%s has format %u, newer than %u", b->path,
                    (unsigned)h->version, (unsigned)VECDB_FORMAT_VERSION);
  if (h->kind != (uint32_t)b->kind || h->number != b->number)
    return blobr_corrupt(b, 0, "it holds another file", err);
  return VECDB_OK;
}

static int blobr_check_trailer(const struct vdb_blob *b, const struct store_blob_trailer *t,
                               uint64_t id_hash, vecdb_error *err) {
  uint64_t at = b->length - sizeof *t;
  if (t->hash != vdb_store_hash(t, sizeof *t))
    return blobr_corrupt(b, at, "its trailer is not valid", err);
  if (t->kind != (uint32_t)b->kind || t->number != b->number || t->length != b->length ||
      t->table_hash != id_hash)
    return blobr_corrupt(b, at, "it is not the file that the database wrote last", err);
  if (t->sections > STORE_BLOB_SECTIONS_MAX)
    return blobr_corrupt(b, at, "it has too many sections", err);
  uint64_t table = vdb_round_up((uint64_t)t->sections * sizeof(struct store_blob_entry),
                                STORE_BLOB_ALIGN);
  if (table > at - STORE_HEADER_BYTES || t->table != at - table)
    return blobr_corrupt(b, at, "its table is out of place", err);
  return VECDB_OK;
}

/* Sections must stand one after the other without gaps, which rules out overlaps, and be unique. */
static int blobr_check_table(const struct vdb_blob *b, vecdb_error *err) {
  uint64_t end = STORE_HEADER_BYTES;
  for (size_t i = 0; i < b->n; i++) {
    const struct store_blob_entry *e = &b->table[i];
    if (e->offset != end || e->length > b->table_at - end)
      return blobr_corrupt(b, b->table_at, "a section is out of place", err);
    end = vdb_round_up(e->offset + e->length, STORE_BLOB_ALIGN);
    if (end > b->table_at)
      return blobr_corrupt(b, b->table_at, "a section is out of place", err);
    for (size_t j = 0; j < i; j++)
      if (b->table[j].tag == e->tag && b->table[j].number == e->number)
        return blobr_corrupt(b, b->table_at, "a section is there twice", err);
  }
  return end == b->table_at ? VECDB_OK
                            : blobr_corrupt(b, b->table_at, "there is a gap before it", err);
}

static int blobr_read(struct vdb_blob *b, vecdb_file *file, void *out, size_t n, uint64_t offset,
                      vecdb_error *err) {
  int os = b->env->vfs->read(file, out, n, offset);
  return os ? vdb_fail_os(err, os, "cannot read", b->path) : VECDB_OK;
}

/* Prepares the pages of an encrypted file, whose table is there; refuses a plain one where it
   should be encrypted. */
static int blobr_key(struct vdb_blob *b, vecdb_file *file, const struct store_blob_header *h,
                     const struct store_blob_trailer *t, vecdb_error *err) {
  struct vdb_file_key key = {.kind = h->kind, .number = h->number, .id = h->key};
  struct vdb_cipher *cipher;
  memcpy(key.salt, h->key_salt, sizeof key.salt);
  VDB_TRY(vdb_keys_read(b->env, &key, b->path, &cipher, err));
  if (!cipher)
    return VECDB_OK;
  b->key = h->key;
  struct vdb_pages_open open = {vdb_env_for(b->env, VDB_FOR_FILES), file, b->path, h, b->table,
                                b->n, t};
  return vdb_pages_new(&open, cipher, &b->pages, err);
}

static int blobr_load(struct vdb_blob *b, vecdb_file *file, const struct vdb_blob_id *id,
                      vecdb_error *err) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  uint64_t length;
  int os = b->env->vfs->length(file, &length);
  if (os)
    return vdb_fail_os(err, os, "cannot read", b->path);
  if (length != id->length || length < sizeof h + sizeof t || length > INT64_MAX)
    return blobr_corrupt(b, length, "its length is wrong", err);
  b->length = length;
  VDB_TRY(blobr_read(b, file, &h, sizeof h, 0, err));
  VDB_TRY(blobr_check_header(b, &h, err));
  VDB_TRY(blobr_read(b, file, &t, sizeof t, length - sizeof t, err));
  VDB_TRY(blobr_check_trailer(b, &t, id->hash, err));
  b->n = t.sections;
  b->table_at = t.table;
  b->table = vdb_alloc_array(vdb_env_for(b->env, VDB_FOR_FILES), b->n, sizeof *b->table);
  b->checked = vdb_alloc_array(vdb_env_for(b->env, VDB_FOR_FILES), b->n, sizeof *b->checked);
  if (!b->table || !b->checked)
    return vdb_fail_memory(err);
  for (size_t i = 0; i < b->n; i++)
    atomic_init(&b->checked[i], 0);
  if (b->n)
    VDB_TRY(blobr_read(b, file, b->table, b->n * sizeof *b->table, t.table, err));
  if (vdb_hash64(b->table, b->n * sizeof *b->table) != t.table_hash)
    return blobr_corrupt(b, t.table, "its table is not valid", err);
  VDB_TRY(blobr_check_table(b, err));
  VDB_TRY(blobr_key(b, file, &h, &t, err));
  const void *map;
  os = b->env->vfs->map(file, (size_t)length, &map);
  if (os)
    return vdb_fail_os(err, os, "cannot map", b->path);
  b->map = map;
  return VECDB_OK;
}

/* ---- sections ---- */

static int blobr_check_section(const struct vdb_blob *b, size_t i, bool (*stop)(void *),
                               void *stop_arg, vecdb_error *err) {
  const struct store_blob_entry *e = &b->table[i];
  struct vdb_hash_state hash;
  vdb_hash_begin(&hash);
  for (uint64_t done = 0; done < e->length;) {
    if (stop && stop(stop_arg))
      return vdb_fail(err, VECDB_ERR_CANCELLED, "the check was stopped");
    size_t n = vdb_min_size((size_t)(e->length - done), BLOBR_CHUNK);
    vdb_hash_add(&hash, b->map + e->offset + done, n);
    done += n;
  }
  if (vdb_hash_end(&hash) != e->hash)
    return blobr_corrupt(b, e->offset, "the checksum of a section does not match", err);
  atomic_store_explicit(&b->checked[i], 1, memory_order_release);
  return VECDB_OK;
}

static int blobr_find(const struct vdb_sect_reader *reader, uint32_t tag, uint32_t number,
                      bool bulk, const void **data, size_t *n, vecdb_error *err) {
  const struct vdb_blob *b = (const struct vdb_blob *)reader;
  *data = NULL;
  *n = 0;
  for (size_t i = 0; i < b->n; i++) {
    const struct store_blob_entry *e = &b->table[i];
    if (e->tag != tag || e->number != number)
      continue;
    if (b->pages) {
      *n = (size_t)e->length;
      return vdb_pages_find(b->pages, i, b->map, data, err);
    }
    if (!bulk && !atomic_load_explicit(&b->checked[i], memory_order_acquire))
      VDB_TRY(blobr_check_section(b, i, NULL, NULL, err));
    *data = b->map + e->offset;
    *n = (size_t)e->length;
    return VECDB_OK;
  }
  return VECDB_OK;
}

/* ---- sections that are read in pieces ---- */

struct blobr_source {
  struct vdb_sect_source base;
  struct vdb_mem *mem;
  vecdb_file *file;
  const struct vdb_pages *pages; /* of the blob, which outlives the source; NULL: plain */
  size_t section;
};

static int blobr_source_queue(struct vdb_sect_source *source, uint32_t depth,
                              vecdb_read_queue **out) {
  struct blobr_source *s = (struct blobr_source *)source;
  int os = vdb_queue_open(s->mem, s->file, depth, out);
  return os || !s->pages ? os : vdb_pages_queue(s->pages, s->section, out);
}

static void blobr_source_close(struct vdb_sect_source *source) {
  struct blobr_source *s = (struct blobr_source *)source;
  if (source->hot)
    vdb_hot_forget(source->hot, source->owner);
  s->file->vfs->close(s->file);
  vdb_free(s->mem, s);
}

static int blobr_source_open(const struct vdb_blob *b, const struct store_blob_entry *e,
                             struct vdb_sect_source **out, vecdb_error *err) {
  if (e->offset % VECDB_BLOCK != 0)
    return blobr_corrupt(b, e->offset, "a section does not start at a block", err);
  struct blobr_source *s = vdb_alloc_zero(vdb_env_for(b->env, VDB_FOR_FILES), sizeof *s);
  if (!s)
    return vdb_fail_memory(err);
  const vecdb_vfs *vfs = b->env->vfs;
  int os = vfs->open(vfs, b->path, VECDB_OPEN_DIRECT, &s->file);
  if (os == EINVAL) /* the host's files know no such mode */
    os = vfs->open(vfs, b->path, VECDB_OPEN_READ, &s->file);
  if (os) {
    vdb_free(vdb_env_for(b->env, VDB_FOR_FILES), s);
    return vdb_fail_os(err, os, "cannot open", b->path);
  }
  s->base = (struct vdb_sect_source){.offset = e->offset,
                                     .length = e->length,
                                     .queue = blobr_source_queue,
                                     .close = blobr_source_close,
                                     .hot = b->env->hot,
                                     .owner = b->env->hot ? vdb_hot_owner(b->env->hot) : 0};
  s->mem = vdb_env_for(b->env, VDB_FOR_FILES);
  s->pages = b->pages;
  s->section = (size_t)(e - b->table);
  *out = &s->base;
  return VECDB_OK;
}

static int blobr_source(const struct vdb_sect_reader *reader, uint32_t tag, uint32_t number,
                        struct vdb_sect_source **out, vecdb_error *err) {
  const struct vdb_blob *b = (const struct vdb_blob *)reader;
  *out = NULL;
  for (size_t i = 0; i < b->n; i++)
    if (b->table[i].tag == tag && b->table[i].number == number)
      return blobr_source_open(b, &b->table[i], out, err);
  return VECDB_OK;
}

VDB_INTERNAL const struct vdb_sect_reader *vdb_blob_reader(const struct vdb_blob *blob) {
  return &blob->reader;
}

VDB_INTERNAL const void *vdb_blob_bytes(const struct vdb_blob *blob, size_t *n) {
  *n = (size_t)blob->length;
  return blob->map;
}

/* The fixed parts once more, as the mapping shows them, and the padding. */
static int blobr_check_frame(const struct vdb_blob *b, vecdb_error *err) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  size_t table = b->n * sizeof *b->table;
  uint64_t trailer_at = b->length - sizeof t;
  memcpy(&h, b->map, sizeof h);
  VDB_TRY(blobr_check_header(b, &h, err));
  memcpy(&t, b->map + trailer_at, sizeof t);
  VDB_TRY(blobr_check_trailer(b, &t, vdb_hash64(b->table, table), err));
  if (memcmp(b->map + b->table_at, b->table, table) != 0)
    return blobr_corrupt(b, b->table_at, "its table is not valid", err);
  uint64_t at = b->table_at + table;
  for (size_t i = 0; i <= b->n; i++) {
    uint64_t end = vdb_round_up(at, STORE_BLOB_ALIGN);
    if (!vdb_store_zero(b->map + at, (size_t)(end - at)))
      return blobr_corrupt(b, at, "padding is not zero", err);
    if (i < b->n)
      at = b->table[i].offset + b->table[i].length;
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_blob_verify(const struct vdb_blob *blob, bool (*stop)(void *), void *stop_arg,
                                 vecdb_error *err) {
  VDB_TRY(blobr_check_frame(blob, err));
  for (size_t i = 0; i < blob->n; i++) {
    VDB_TRY(blobr_check_section(blob, i, stop, stop_arg, err));
    if (blob->pages)
      VDB_TRY(vdb_pages_check(blob->pages, i, blob->map, stop, stop_arg, err));
  }
  return VECDB_OK;
}

VDB_INTERNAL uint32_t vdb_blob_key(const struct vdb_blob *blob) { return blob->key; }

/* ---- opening and closing ---- */

VDB_INTERNAL void vdb_blob_close(struct vdb_blob *blob) {
  if (!blob)
    return;
  struct vdb_mem *mem = vdb_env_for(blob->env, VDB_FOR_FILES);
  if (blob->map)
    blob->env->vfs->unmap(blob->env->vfs, blob->map, (size_t)blob->length);
  vdb_pages_free(blob->pages);
  vdb_free(mem, blob->table);
  vdb_free(mem, (void *)blob->checked);
  vdb_free(mem, blob->path);
  vdb_free(mem, blob);
}

static int blobr_open_file(struct vdb_blob *b, const struct vdb_blob_id *id, vecdb_error *err) {
  const vecdb_vfs *vfs = b->env->vfs;
  vecdb_file *file;
  int os = vfs->open(vfs, b->path, VECDB_OPEN_READ, &file);
  if (os == ENOENT) {
    vdb_fail(err, VECDB_ERR_CORRUPT, "%s is missing", b->path);
    err->os_code = os;
    return VECDB_ERR_CORRUPT;
  }
  if (os)
    return vdb_fail_os(err, os, "cannot open", b->path);
  int rc = blobr_load(b, file, id, err);
  vfs->close(file);
  return rc;
}

struct blobr_open {
  const char *path;
  enum vdb_blob_kind kind;
  const struct vdb_blob_id *id;
  bool full;
};

static int blobr_open(struct vdb_env *env, const struct blobr_open *o, struct vdb_blob **out,
                      vecdb_error *err) {
  struct vdb_blob *b = vdb_alloc_zero(vdb_env_for(env, VDB_FOR_FILES), sizeof *b);
  if (!b)
    return vdb_fail_memory(err);
  b->reader.find = blobr_find;
  b->reader.source = blobr_source;
  b->env = env;
  b->kind = o->kind;
  b->number = o->id->file;
  b->path = vdb_strndup(vdb_env_for(env, VDB_FOR_FILES), o->path, strlen(o->path));
  int rc = b->path ? blobr_open_file(b, o->id, err) : vdb_fail_memory(err);
  if (rc == VECDB_OK && o->full)
    rc = vdb_blob_verify(b, NULL, NULL, err);
  if (rc)
    vdb_blob_close(b);
  else
    *out = b;
  return rc;
}

VDB_INTERNAL int vdb_blob_open(struct vdb_env *env, const char *dir, enum vdb_blob_kind kind,
                               const struct vdb_blob_id *id, bool full, struct vdb_blob **out,
                               vecdb_error *err) {
  *out = NULL;
  char path[STORE_PATH_MAX];
  VDB_TRY(vdb_blob_path(path, sizeof path, dir, kind, id->file, err));
  struct blobr_open o = {path, kind, id, full};
  return blobr_open(env, &o, out, err);
}

/* What the file says it is; opening it checks that. */
static int blobr_identify(struct vdb_env *env, vecdb_file *file, const char *path,
                          enum vdb_blob_kind kind, struct vdb_blob_id *id, vecdb_error *err) {
  struct store_blob_header h;
  struct store_blob_trailer t;
  int os = env->vfs->length(file, &id->length);
  bool fits = !os && id->length >= sizeof h + sizeof t && id->length <= INT64_MAX;
  if (fits)
    os = env->vfs->read(file, &h, sizeof h, 0);
  if (fits && !os)
    os = env->vfs->read(file, &t, sizeof t, id->length - sizeof t);
  if (os)
    return vdb_fail_os(err, os, "cannot read", path);
  if (!fits || memcmp(h.magic, STORE_BLOB_MAGIC, STORE_MAGIC_BYTES) != 0 ||
      h.kind != (uint32_t)kind)
    return vdb_fail(err, VECDB_ERR_NOT_A_DATABASE,
                    "%s is neither a folder nor a file of a segment's rows", path);
  id->file = h.number;
  id->hash = t.table_hash;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_blob_open_alone(struct vdb_env *env, const char *path,
                                     enum vdb_blob_kind kind, bool full, struct vdb_blob_id *id,
                                     struct vdb_blob **out, vecdb_error *err) {
  vecdb_file *file;
  *out = NULL;
  int os = env->vfs->open(env->vfs, path, VECDB_OPEN_READ, &file);
  if (os)
    return vdb_fail_os(err, os, "cannot open", path);
  int rc = blobr_identify(env, file, path, kind, id, err);
  env->vfs->close(file);
  struct blobr_open o = {path, kind, id, full};
  return rc ? rc : blobr_open(env, &o, out, err);
}
