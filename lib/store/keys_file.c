/* keys_file.c - the file KEYS as bytes, its reading and its replacement; see keys_file.h.
   Everything read is taken for hostile. */
#include "store/keys_file.h"

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "store/store_format.h"

enum {
  KEYSF_ENTRY_MIN = 4 + 4, /* bytes of an entry, for counts */
  KEYSF_MAX = 1 << 21      /* of the file */
};

static int keysf_path(char out[STORE_PATH_MAX], const char *dir, const char *name,
                      vecdb_error *err) {
  int n = snprintf(out, STORE_PATH_MAX, "%s/%s", dir, name);
  if (n < 0 || n >= STORE_PATH_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the path of the database is too long");
  return VECDB_OK;
}

static int keysf_corrupt(const char *dir, const char *what, vecdb_error *err) {
  return vdb_fail_pos(err, VECDB_ERR_CORRUPT, 0, "%s/KEYS is damaged: %s", dir, what);
}

/* ---- reading ---- */

static void keysf_read_entries(struct vdb_reader *r, struct vdb_keys_file *out) {
  bool current = false;
  for (uint32_t i = 0; i < out->n && !r->bad; i++) {
    struct vdb_keys_entry *e = &out->entries[i];
    e->id = vdb_read_u32(r);
    e->n = vdb_read_u32(r);
    const void *wrapped = e->n <= sizeof e->wrapped ? vdb_read_bytes(r, e->n) : NULL;
    if (wrapped)
      memcpy(e->wrapped, wrapped, e->n);
    if (!wrapped || e->id == 0 || e->id > out->next || (i > 0 && e->id <= e[-1].id))
      r->bad = true;
    current = current || e->id == out->current;
  }
  if (!current)
    r->bad = true;
}

static int keysf_decode(struct vdb_mem *mem, const char *dir, struct vdb_keys_file *out,
                        vecdb_error *err) {
  struct vdb_reader r = vdb_reader_of(out->bytes, out->n_bytes);
  uint64_t hash;
  if (out->n_bytes < STORE_HEADER_BYTES ||
      memcmp(out->bytes, STORE_KEYS_MAGIC, STORE_MAGIC_BYTES) != 0)
    return keysf_corrupt(dir, "its header is not valid", err);
  r.end -= sizeof hash;
  memcpy(&hash, r.end, sizeof hash);
  if (hash != vdb_hash64(out->bytes, out->n_bytes - sizeof hash))
    return keysf_corrupt(dir, "its checksum does not match", err);
  vdb_read_bytes(&r, STORE_MAGIC_BYTES);
  uint32_t version = vdb_read_u32(&r);
  if (version > VECDB_FORMAT_VERSION)
    return vdb_fail(err, VECDB_ERR_NEWER_FORMAT, "%s/KEYS has format %u, newer than %u", dir,
                    (unsigned)version, (unsigned)VECDB_FORMAT_VERSION);
  out->current = vdb_read_u32(&r);
  out->next = vdb_read_u32(&r);
  const void *salt = vdb_read_bytes(&r, sizeof out->salt);
  if (salt)
    memcpy(out->salt, salt, sizeof out->salt);
  uint32_t n = vdb_read_u32(&r);
  const void *name = n > 0 && n <= VECDB_MAX_NAME ? vdb_read_bytes(&r, n) : NULL;
  if (name)
    memcpy(out->key_id, name, n);
  uint32_t count = vdb_read_count(&r, KEYSF_ENTRY_MIN);
  if (!name || count > VECDB_MAX_DATA_KEYS || strlen(out->key_id) != n)
    return keysf_corrupt(dir, "its contents make no sense", err);
  out->entries = vdb_alloc_zero(mem, count * sizeof *out->entries);
  if (!out->entries)
    return vdb_fail_memory(err);
  out->n = count;
  keysf_read_entries(&r, out);
  if (r.bad || vdb_reader_left(&r) != VDB_TAG_BYTES)
    return keysf_corrupt(dir, "its contents make no sense", err);
  return VECDB_OK;
}

static int keysf_load(struct vdb_env *env, vecdb_file *file, const char *path,
                      struct vdb_keys_file *out, vecdb_error *err) {
  uint64_t length;
  int os = env->vfs->length(file, &length);
  if (os)
    return vdb_fail_os(err, os, "cannot read", path);
  if (length > KEYSF_MAX)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s is damaged: it is too long", path);
  out->bytes = vdb_alloc(&env->mem, (size_t)length);
  if (!out->bytes)
    return vdb_fail_memory(err);
  out->n_bytes = (size_t)length;
  os = length ? env->vfs->read(file, out->bytes, out->n_bytes, 0) : 0;
  return os ? vdb_fail_os(err, os, "cannot read", path) : VECDB_OK;
}

VDB_INTERNAL int vdb_keys_file_read(struct vdb_env *env, const char *dir,
                                    struct vdb_keys_file *out, vecdb_error *err) {
  char path[STORE_PATH_MAX];
  vecdb_file *file;
  memset(out, 0, sizeof *out);
  VDB_TRY(keysf_path(path, dir, "KEYS", err));
  int os = env->vfs->open(env->vfs, path, VECDB_OPEN_READ, &file);
  if (os == ENOENT)
    return vdb_fail(err, VECDB_ERR_KEY, "%s is missing: the database cannot be decrypted", path);
  if (os)
    return vdb_fail_os(err, os, "cannot open", path);
  int rc = keysf_load(env, file, path, out, err);
  env->vfs->close(file);
  if (!rc)
    rc = keysf_decode(&env->mem, dir, out, err);
  if (rc)
    vdb_keys_file_fini(&env->mem, out);
  return rc;
}

VDB_INTERNAL int vdb_keys_file_check(const struct vdb_keys_file *file, struct vdb_cipher *cipher,
                                     const char *dir, vecdb_error *err) {
  const uint8_t *tag = file->bytes + file->n_bytes - sizeof(uint64_t) - VDB_TAG_BYTES;
  struct vdb_crypt_part all = {file->bytes, (size_t)(tag - file->bytes)};
  struct vdb_message m = {.bound = &all, .n_bound = 1};
  int os = vdb_cipher_open(cipher, &m, NULL, NULL, tag);
  if (os == EBADMSG)
    return keysf_corrupt(dir, "it was not written with the database's key", err);
  return os ? vdb_fail_memory(err) : VECDB_OK;
}

VDB_INTERNAL void vdb_keys_file_fini(struct vdb_mem *mem, struct vdb_keys_file *file) {
  vdb_free(mem, file->entries);
  vdb_free(mem, file->bytes);
  memset(file, 0, sizeof *file);
}

/* ---- writing ---- */

static int keysf_encode(const struct vdb_keys_file *file, struct vdb_cipher *cipher,
                        struct vdb_writer *w) {
  uint8_t tag[VDB_TAG_BYTES];
  size_t name = strlen(file->key_id);
  vdb_write_bytes(w, STORE_KEYS_MAGIC, STORE_MAGIC_BYTES);
  vdb_write_u32(w, VECDB_FORMAT_VERSION);
  vdb_write_u32(w, file->current);
  vdb_write_u32(w, file->next);
  vdb_write_bytes(w, file->salt, sizeof file->salt);
  vdb_write_u32(w, (uint32_t)name);
  vdb_write_bytes(w, file->key_id, name);
  vdb_write_u32(w, file->n);
  for (uint32_t i = 0; i < file->n; i++) {
    vdb_write_u32(w, file->entries[i].id);
    vdb_write_u32(w, file->entries[i].n);
    vdb_write_bytes(w, file->entries[i].wrapped, file->entries[i].n);
  }
  if (w->failed)
    return ENOMEM;
  struct vdb_crypt_part all = {w->data, w->n};
  struct vdb_message m = {.bound = &all, .n_bound = 1};
  int os = vdb_cipher_seal(cipher, &m, NULL, NULL, tag);
  if (os)
    return os;
  vdb_write_bytes(w, tag, sizeof tag);
  if (!w->failed)
    vdb_write_u64(w, vdb_hash64(w->data, w->n));
  return w->failed ? ENOMEM : 0;
}

static int keysf_replace(struct vdb_env *env, const char *temp, const char *path,
                         const struct vdb_writer *bytes) {
  const vecdb_vfs *vfs = env->vfs;
  vecdb_file *file;
  vfs->remove(vfs, temp); /* one that a crash or failure has left: never written again */
  int os = vfs->open(vfs, temp, VECDB_OPEN_CREATE, &file);
  if (os)
    return os;
  os = vfs->write(file, bytes->data, bytes->n, 0);
  if (!os)
    os = vfs->sync(file);
  vfs->close(file);
  if (!os)
    os = vfs->rename(vfs, temp, path);
  if (os)
    vfs->remove(vfs, temp);
  return os;
}

VDB_INTERNAL int vdb_keys_file_write(struct vdb_env *env, const char *dir,
                                     const struct vdb_keys_file *file, struct vdb_cipher *cipher,
                                     vecdb_error *err) {
  char path[STORE_PATH_MAX];
  char temp[STORE_PATH_MAX];
  struct vdb_writer bytes = VDB_WRITER(&env->mem);
  VDB_TRY(keysf_path(path, dir, "KEYS", err));
  VDB_TRY(keysf_path(temp, dir, "KEYS.tmp", err));
  int os = keysf_encode(file, cipher, &bytes);
  if (!os)
    os = keysf_replace(env, temp, path, &bytes);
  vdb_writer_free(&bytes);
  return os ? vdb_fail_os(err, os, "cannot replace", path) : VECDB_OK;
}
