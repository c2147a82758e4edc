/*
 * manifest.c - the manifest file: read whole, and replaced whole by a rename; its body is encrypted
 * where the database is; see manifest.h.
 */
#include <errno.h>
#include <stdio.h>

#include "store/keys.h"
#include "store/manifest.h"
#include "store/store_format.h"

static int man_path(char *out, size_t n, const char *dir, const char *name, vecdb_error *err) {
  int length = snprintf(out, n, "%s/%s", dir, name);
  if (length < 0 || (size_t)length >= n)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the path of the database is too long");
  return VECDB_OK;
}

/* ---- encryption ---- */

enum { MAN_SEAL_BYTES = VDB_SALT_BYTES + VDB_TAG_BYTES }; /* around the body */

/* What stands before the body. */
struct man_head {
  char magic[STORE_MAGIC_BYTES];
  uint32_t version;
  uint32_t key; /* id of the data key; 0: plain */
  uint64_t generation;
  uint64_t length; /* of the body, with what encryption puts around it */
};
_Static_assert(sizeof(struct man_head) == STORE_MANIFEST_HEAD, "no hidden padding");

static struct vdb_message man_message(const struct vdb_crypt_part *head, size_t n) {
  return (struct vdb_message){.bound = head, .n_bound = 1, .n = n};
}

/* The encrypted form of a manifest that is encoded as a plain one. */
static int man_seal(struct vdb_env *env, uint64_t generation, const struct vdb_writer *plain,
                    struct vdb_writer *out, vecdb_error *err) {
  struct man_head head;
  struct vdb_file_key key = {.kind = VDB_KEY_MANIFEST, .number = generation};
  struct vdb_cipher *cipher;
  uint8_t tag[VDB_TAG_BYTES];
  size_t body = plain->n - sizeof head - sizeof(uint64_t);
  VDB_TRY(vdb_keys_write(env, &key, &cipher, err));
  memcpy(&head, plain->data, sizeof head);
  head.key = key.id;
  head.length = body + MAN_SEAL_BYTES;
  struct vdb_crypt_part bound = {&head, sizeof head};
  struct vdb_message m = man_message(&bound, body);
  vdb_write_bytes(out, &head, sizeof head);
  vdb_write_bytes(out, key.salt, sizeof key.salt);
  void *sealed = vdb_write_space(out, body);
  if (!sealed || vdb_cipher_seal(cipher, &m, plain->data + sizeof head, sealed, tag) != 0)
    out->failed = true;
  vdb_cipher_free(cipher);
  vdb_write_bytes(out, tag, out->failed ? 0 : sizeof tag);
  if (!out->failed)
    vdb_write_u64(out, vdb_hash64(out->data, out->n));
  return out->failed ? vdb_fail_memory(err) : VECDB_OK;
}

/* Decrypts n bytes of a whole encrypted manifest into the form of a plain one. */
static int man_open(struct vdb_cipher *cipher, const struct vdb_file_key *key,
                    const uint8_t *data, size_t n, struct vdb_writer *out, vecdb_error *err) {
  struct man_head head;
  size_t body = n - sizeof head - MAN_SEAL_BYTES - sizeof(uint64_t);
  const uint8_t *sealed = data + sizeof head + sizeof key->salt;
  memcpy(&head, data, sizeof head);
  struct vdb_crypt_part bound = {&head, sizeof head};
  struct vdb_message m = man_message(&bound, body);
  vdb_write_space(out, sizeof head); /* filled below */
  void *plain = vdb_write_space(out, body);
  int os = plain ? vdb_cipher_open(cipher, &m, sealed, plain, sealed + body) : ENOMEM;
  if (os == EBADMSG)
    return vdb_fail_pos(err, VECDB_ERR_CORRUPT, sizeof head, "the manifest is damaged: it was "
                        "not written with the database's key");
  if (os)
    return vdb_fail_memory(err);
  head.key = 0;
  head.length = body;
  memcpy(out->data, &head, sizeof head);
  vdb_write_u64(out, vdb_hash64(out->data, out->n));
  return out->failed ? vdb_fail_memory(err) : VECDB_OK;
}

/* The key of a manifest whose frame is sound; id 0 also for one that is not: then the decoder says
   what is wrong with it. */
static struct vdb_file_key man_key(const uint8_t *data, size_t n) {
  struct vdb_file_key key = {.kind = VDB_KEY_MANIFEST};
  struct man_head head;
  uint64_t hash;
  if (n < sizeof head + MAN_SEAL_BYTES + sizeof hash)
    return key;
  memcpy(&head, data, sizeof head);
  memcpy(&hash, data + n - sizeof hash, sizeof hash);
  if (memcmp(head.magic, STORE_MANIFEST_MAGIC, STORE_MAGIC_BYTES) != 0 ||
      head.version > VECDB_FORMAT_VERSION || head.length != n - sizeof head - sizeof hash ||
      hash != vdb_hash64(data, n - sizeof hash))
    return key;
  key.id = head.key;
  key.number = head.generation;
  memcpy(key.salt, data + sizeof head, sizeof key.salt);
  return key;
}

static int man_decode(struct vdb_env *env, const char *path, const uint8_t *data, size_t n,
                      struct vdb_manifest *out, vecdb_error *err) {
  struct vdb_file_key key = man_key(data, n);
  struct vdb_cipher *cipher;
  if (key.id == 0) {
    VDB_TRY(vdb_manifest_decode(&env->mem, data, n, out, err));
    int rc = vdb_keys_read(env, &key, path, &cipher, err);
    if (rc)
      vdb_manifest_fini(&env->mem, out);
    return rc;
  }
  struct vdb_writer plain = VDB_WRITER(&env->mem);
  VDB_TRY(vdb_keys_read(env, &key, path, &cipher, err));
  int rc = man_open(cipher, &key, data, n, &plain, err);
  if (!rc)
    rc = vdb_manifest_decode(&env->mem, plain.data, plain.n, out, err);
  vdb_cipher_free(cipher);
  vdb_writer_free(&plain);
  return rc;
}

/* ---- reading ---- */

static int man_load(struct vdb_env *env, vecdb_file *file, const char *path,
                    struct vdb_manifest *out, vecdb_error *err) {
  uint64_t length;
  int os = env->vfs->length(file, &length);
  if (os)
    return vdb_fail_os(err, os, "cannot read", path);
  if (length > STORE_MANIFEST_MAX)
    return vdb_fail(err, VECDB_ERR_CORRUPT, "%s is damaged: it is too long", path);
  void *data = vdb_alloc(&env->mem, (size_t)length);
  if (!data)
    return vdb_fail_memory(err);
  os = length ? env->vfs->read(file, data, (size_t)length, 0) : 0;
  int rc = os ? vdb_fail_os(err, os, "cannot read", path)
              : man_decode(env, path, data, (size_t)length, out, err);
  vdb_free(&env->mem, data);
  return rc;
}

static int man_read(struct vdb_env *env, const char *dir, struct vdb_manifest *out,
                    vecdb_error *err) {
  char path[STORE_PATH_MAX];
  memset(out, 0, sizeof *out);
  VDB_TRY(man_path(path, sizeof path, dir, "MANIFEST", err));
  vecdb_file *file;
  int os = env->vfs->open(env->vfs, path, VECDB_OPEN_READ, &file);
  if (os == ENOENT)
    return vdb_fail(err, VECDB_ERR_NOT_FOUND, "there is no %s", path);
  if (os)
    return vdb_fail_os(err, os, "cannot open", path);
  int rc = man_load(env, file, path, out, err);
  env->vfs->close(file);
  return rc;
}

VDB_INTERNAL int vdb_manifest_read(struct vdb_env *env, const char *dir, struct vdb_manifest *out,
                                   vecdb_error *err) {
  int rc = man_read(env, dir, out, err);
  /* A writer in another process may have replaced it, and given its data key up, since it was read:
     then another one is there. */
  return rc == VECDB_ERR_KEY && env->keys ? man_read(env, dir, out, err) : rc;
}

/* ---- writing ---- */

/* Writes and syncs a new file. On failure it is removed. */
static int man_store(struct vdb_env *env, const char *path, const struct vdb_writer *bytes,
                     vecdb_error *err) {
  const vecdb_vfs *vfs = env->vfs;
  vecdb_file *file;
  vfs->remove(vfs, path); /* one that a crash or failure has left: never written again */
  int os = vfs->open(vfs, path, VECDB_OPEN_CREATE, &file);
  if (os)
    return vdb_fail_os(err, os, "cannot create", path);
  os = vfs->write(file, bytes->data, bytes->n, 0);
  if (!os)
    os = vfs->sync(file);
  vfs->close(file);
  if (!os)
    return VECDB_OK;
  vfs->remove(vfs, path);
  return vdb_fail_os(err, os, "cannot write", path);
}

static int man_replace(struct vdb_env *env, const char *dir, const struct vdb_writer *bytes,
                       bool *unknown, vecdb_error *err) {
  const vecdb_vfs *vfs = env->vfs;
  char path[STORE_PATH_MAX];
  char temp[STORE_PATH_MAX];
  VDB_TRY(man_path(path, sizeof path, dir, "MANIFEST", err));
  VDB_TRY(man_path(temp, sizeof temp, dir, "MANIFEST.tmp", err));
  VDB_TRY(man_store(env, temp, bytes, err));
  *unknown = true;
  int os = vfs->rename(vfs, temp, path);
  if (os)
    return vdb_fail_os(err, os, "cannot replace", path);
  os = vfs->sync_dir(vfs, dir);
  if (os)
    return vdb_fail_os(err, os, "cannot sync", dir);
  *unknown = false;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_manifest_write(struct vdb_env *env, const char *dir,
                                    struct vdb_manifest *manifest, bool *unknown,
                                    vecdb_error *err) {
  struct vdb_writer bytes = VDB_WRITER(&env->mem);
  struct vdb_writer sealed = VDB_WRITER(&env->mem);
  *unknown = false;
  manifest->generation++;
  vdb_manifest_encode(manifest, &bytes);
  int rc;
  if (bytes.failed)
    rc = vdb_fail_memory(err);
  else if (bytes.n > STORE_MANIFEST_MAX - MAN_SEAL_BYTES)
    rc = vdb_fail(err, VECDB_ERR_LIMIT, "the manifest is too large");
  else
    rc = env->keys ? man_seal(env, manifest->generation, &bytes, &sealed, err) : VECDB_OK;
  if (!rc)
    rc = man_replace(env, dir, env->keys ? &sealed : &bytes, unknown, err);
  if (rc && !*unknown)
    manifest->generation--;
  vdb_writer_free(&bytes);
  vdb_writer_free(&sealed);
  return rc;
}
