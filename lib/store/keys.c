/*
 * keys.c - the data keys of a database in memory, wrapped and unwrapped by the host's key, and the
 * ciphers of files; see keys.h. How KEYS is read and replaced is in keys_file.c.
 */
#include "store/keys.h"

#include <errno.h>

#include "base/check.h"
#include "store/keys_file.h"
#include "store/store_format.h"

struct keys_data_key {
  uint32_t id;
  uint8_t key[VDB_KEY_BYTES];
};

/* What is kept out of core dumps. */
struct keys_secret {
  size_t bytes;                /* of the whole */
  uint8_t host[VDB_KEY_BYTES]; /* the host's, while it is used */
  struct keys_data_key data[];
};

struct vdb_keys {
  struct vdb_env *env;
  const char *dir;
  vecdb_encryption hooks;
  struct vdb_mutex mutex; /* of what follows, and of calls to the hooks */
  struct keys_secret *secret;
  uint32_t n;       /* data keys; 0: KEYS was not read yet */
  uint32_t current; /* id of the one for new files */
  uint32_t next;    /* id that none had */
  char key_id[VECDB_MAX_NAME + 1]; /* of the host's key */
};

/* ---- making and freeing ---- */

/* Room for n data keys; NULL when there is no memory. */
static struct keys_secret *keys_secret_new(uint32_t n) {
  size_t bytes = sizeof(struct keys_secret) + n * sizeof(struct keys_data_key);
  struct keys_secret *secret = vdb_secret_new(bytes);
  if (secret)
    secret->bytes = bytes;
  return secret;
}

static void keys_secret_free(struct keys_secret *secret) {
  if (secret)
    vdb_secret_free(secret, secret->bytes);
}

static int keys_check_hooks(const vecdb_encryption *e, vecdb_error *err) {
  if (e->size != sizeof *e)
    return vdb_fail(err, VECDB_ERR_OPTION, "vecdb_encryption has size %zu here, not %u", sizeof *e,
                    e->size);
  if (!vdb_crypt_works())
    return vdb_fail(err, VECDB_ERR_UNSUPPORTED, "this build of vecdb has no encryption in it");
  if (!e->get_key && !(e->wrap && e->unwrap))
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "vecdb_encryption lacks its functions");
  if (!e->wrap != !e->unwrap)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "wrap and unwrap go together");
  return VECDB_OK;
}

static int keys_set_name(char out[VECDB_MAX_NAME + 1], const char *name, vecdb_error *err) {
  size_t n = name ? strlen(name) : 0;
  if (n == 0 || n > VECDB_MAX_NAME)
    return vdb_fail(err, VECDB_ERR_ARGUMENT, "the name of a key has 1 to %d bytes, not %zu",
                    VECDB_MAX_NAME, n);
  memcpy(out, name, n + 1);
  return VECDB_OK;
}

VDB_INTERNAL int vdb_keys_new(struct vdb_env *env, const char *dir, const vecdb_encryption *e,
                              struct vdb_keys **out, vecdb_error *err) {
  *out = NULL;
  VDB_TRY(keys_check_hooks(e, err));
  struct vdb_keys *keys = vdb_alloc_zero(&env->mem, sizeof *keys);
  if (!keys)
    return vdb_fail_memory(err);
  keys->env = env;
  keys->dir = dir;
  keys->hooks = *e;
  int rc = keys_set_name(keys->key_id, e->key_id, err);
  keys->secret = rc ? NULL : keys_secret_new(0);
  if (!rc && !keys->secret)
    rc = vdb_fail_memory(err);
  int os = rc ? 0 : vdb_mutex_init(&keys->mutex);
  if (os)
    rc = vdb_fail_os(err, os, "cannot make a mutex for", dir);
  if (rc) {
    keys_secret_free(keys->secret);
    vdb_free(&env->mem, keys);
    return rc;
  }
  *out = keys;
  return VECDB_OK;
}

VDB_INTERNAL void vdb_keys_free(struct vdb_keys *keys) {
  if (!keys)
    return;
  vdb_mutex_destroy(&keys->mutex);
  keys_secret_free(keys->secret);
  vdb_free(&keys->env->mem, keys);
}

/* ---- wrapping ---- */

/* The cipher by which the library wraps data key `id`, when the host gives its key. */
static int keys_wrapper(struct vdb_keys *keys, const char *key_id, uint32_t id,
                        const uint8_t *salt, struct vdb_cipher **out, vecdb_error *err) {
  struct {
    char what[16];
    uint32_t id;
    char name[VECDB_MAX_NAME + 1];
  } purpose;
  uint8_t *host = keys->secret->host;
  *out = NULL;
  memset(&purpose, 0, sizeof purpose);
  memcpy(purpose.what, "vecdb wrap", sizeof "vecdb wrap");
  purpose.id = id;
  memcpy(purpose.name, key_id, strlen(key_id));
  if (keys->hooks.get_key(keys->hooks.user, key_id, host) != 0) {
    vdb_wipe(host, VDB_KEY_BYTES);
    return vdb_fail(err, VECDB_ERR_KEY, "the host has no key '%s'", key_id);
  }
  struct vdb_cipher_from from = {host, salt, &purpose, sizeof purpose};
  int rc = vdb_cipher_new(&keys->env->mem, &from, out, err);
  vdb_wipe(host, VDB_KEY_BYTES);
  return rc;
}

/* Wraps by the library: salt, encrypted key, tag. */
static int keys_wrap_here(struct vdb_keys *keys, const char *key_id,
                          const struct keys_data_key *key, struct vdb_keys_entry *out,
                          vecdb_error *err) {
  struct vdb_cipher *cipher;
  struct vdb_message m = {.n = VDB_KEY_BYTES};
  uint8_t *sealed = out->wrapped + VDB_SALT_BYTES;
  out->n = VDB_SALT_BYTES + VDB_KEY_BYTES + VDB_TAG_BYTES;
  VDB_TRY(vdb_crypt_random(out->wrapped, VDB_SALT_BYTES, err));
  VDB_TRY(keys_wrapper(keys, key_id, key->id, out->wrapped, &cipher, err));
  int os = vdb_cipher_seal(cipher, &m, key->key, sealed, sealed + VDB_KEY_BYTES);
  vdb_cipher_free(cipher);
  return os ? vdb_fail_memory(err) : VECDB_OK;
}

static int keys_wrap(struct vdb_keys *keys, const char *key_id, const struct keys_data_key *key,
                     struct vdb_keys_entry *out, vecdb_error *err) {
  out->id = key->id;
  if (!keys->hooks.wrap)
    return keys_wrap_here(keys, key_id, key, out, err);
  size_t n = sizeof out->wrapped;
  if (keys->hooks.wrap(keys->hooks.user, key_id, key->key, out->wrapped, &n) != 0 || n == 0 ||
      n > sizeof out->wrapped)
    return vdb_fail(err, VECDB_ERR_KEY, "the host cannot wrap by its key '%s'", key_id);
  out->n = (uint32_t)n;
  return VECDB_OK;
}

static int keys_unwrap(struct vdb_keys *keys, const char *key_id,
                       const struct vdb_keys_entry *from, uint8_t *key, vecdb_error *err) {
  if (keys->hooks.unwrap) {
    if (keys->hooks.unwrap(keys->hooks.user, key_id, from->wrapped, from->n, key) != 0)
      return vdb_fail(err, VECDB_ERR_KEY, "the host cannot unwrap by its key '%s'", key_id);
    return VECDB_OK;
  }
  struct vdb_cipher *cipher;
  struct vdb_message m = {.n = VDB_KEY_BYTES};
  const uint8_t *sealed = from->wrapped + VDB_SALT_BYTES;
  int os = EBADMSG;
  if (from->n == VDB_SALT_BYTES + VDB_KEY_BYTES + VDB_TAG_BYTES) {
    VDB_TRY(keys_wrapper(keys, key_id, from->id, from->wrapped, &cipher, err));
    os = vdb_cipher_open(cipher, &m, sealed, key, sealed + VDB_KEY_BYTES);
    vdb_cipher_free(cipher);
  }
  if (os == EBADMSG)
    return vdb_fail(err, VECDB_ERR_KEY, "'%s' is not the key of the database in %s", key_id,
                    keys->dir);
  return os ? vdb_fail_memory(err) : VECDB_OK;
}

/* ---- the keys in force; keys->mutex held ---- */

static const struct keys_data_key *keys_of_id(const struct vdb_keys *keys, uint32_t id) {
  for (uint32_t i = 0; i < keys->n; i++)
    if (keys->secret->data[i].id == id)
      return &keys->secret->data[i];
  return NULL;
}

static int keys_cipher(struct vdb_keys *keys, const struct keys_data_key *key,
                       const struct vdb_file_key *file, struct vdb_cipher **out,
                       vecdb_error *err) {
  struct {
    char what[16];
    uint64_t number;
    uint32_t kind;
    uint32_t id;
  } purpose;
  memset(&purpose, 0, sizeof purpose);
  memcpy(purpose.what, "vecdb file", sizeof "vecdb file");
  purpose.number = file->number;
  purpose.kind = file->kind;
  purpose.id = file->id;
  struct vdb_cipher_from from = {key->key, file->salt, &purpose, sizeof purpose};
  return vdb_cipher_new(&keys->env->mem, &from, out, err);
}

/* Takes over what KEYS says. */
static int keys_adopt(struct vdb_keys *keys, const struct vdb_keys_file *file, vecdb_error *err) {
  struct keys_secret *fresh = keys_secret_new(file->n);
  if (!fresh)
    return vdb_fail_memory(err);
  int rc = VECDB_OK;
  for (uint32_t i = 0; !rc && i < file->n; i++) {
    fresh->data[i].id = file->entries[i].id;
    rc = keys_unwrap(keys, file->key_id, &file->entries[i], fresh->data[i].key, err);
  }
  if (rc) {
    keys_secret_free(fresh);
    return rc;
  }
  keys_secret_free(keys->secret);
  keys->secret = fresh;
  keys->n = file->n;
  keys->current = file->current;
  keys->next = file->next;
  memcpy(keys->key_id, file->key_id, sizeof keys->key_id);
  return VECDB_OK;
}

/* Reads KEYS, and checks that who wrote it had the data key that it calls the current one. */
static int keys_load(struct vdb_keys *keys, vecdb_error *err) {
  struct vdb_keys_file file = {0};
  struct vdb_cipher *cipher = NULL;
  VDB_TRY(vdb_keys_file_read(keys->env, keys->dir, &file, err));
  int rc = keys_adopt(keys, &file, err);
  if (!rc) {
    struct vdb_file_key of = {VDB_KEY_KEYS, 0, file.current, {0}};
    memcpy(of.salt, file.salt, sizeof of.salt);
    rc = keys_cipher(keys, keys_of_id(keys, file.current), &of, &cipher, err);
  }
  if (!rc)
    rc = vdb_keys_file_check(&file, cipher, keys->dir, err);
  if (rc)
    keys->n = 0;
  vdb_cipher_free(cipher);
  vdb_keys_file_fini(&keys->env->mem, &file);
  return rc;
}

/* ---- changes ---- */

/* The keys that are to be in KEYS, into `data`; how many. 0: too many. */
static uint32_t keys_chosen(const struct vdb_keys *keys, const struct vdb_keys_change *change,
                            struct keys_data_key *data) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < keys->n; i++) {
    const struct keys_data_key *key = &keys->secret->data[i];
    if (key->id == keys->current || !change->in_use || change->in_use(change->arg, key->id))
      data[n++] = *key;
  }
  n += change->new_data_key;
  return n <= VECDB_MAX_DATA_KEYS ? n : 0;
}

/* Wraps the n keys of `fresh`, the last of them the current one. */
static int keys_wrap_all(struct vdb_keys *keys, const struct keys_secret *fresh, uint32_t n,
                         struct vdb_keys_file *file, vecdb_error *err) {
  file->entries = vdb_alloc_array(&keys->env->mem, n, sizeof *file->entries);
  if (!file->entries)
    return vdb_fail_memory(err);
  file->n = n;
  for (uint32_t i = 0; i < n; i++)
    VDB_TRY(keys_wrap(keys, file->key_id, &fresh->data[i], &file->entries[i], err));
  return VECDB_OK;
}

/* Puts KEYS, with the n keys of `fresh`, into a folder. */
static int keys_store(struct vdb_keys *keys, struct vdb_env *env, const char *dir,
                      const struct keys_secret *fresh, uint32_t n, struct vdb_keys_file *file,
                      vecdb_error *err) {
  struct vdb_cipher *cipher;
  const struct keys_data_key *current = NULL;
  for (uint32_t i = 0; i < n; i++)
    if (fresh->data[i].id == file->current)
      current = &fresh->data[i];
  vdb_assert(current);
  VDB_TRY(keys_wrap_all(keys, fresh, n, file, err));
  VDB_TRY(vdb_crypt_random(file->salt, sizeof file->salt, err));
  struct vdb_file_key of = {VDB_KEY_KEYS, 0, file->current, {0}};
  memcpy(of.salt, file->salt, sizeof of.salt);
  VDB_TRY(keys_cipher(keys, current, &of, &cipher, err));
  int rc = vdb_keys_file_write(env, dir, file, cipher, err);
  vdb_cipher_free(cipher);
  return rc;
}

/* A data key of the next id, which none other ever gets. */
static int keys_new_data_key(struct vdb_keys *keys, struct keys_data_key *out, vecdb_error *err) {
  if (keys->next == UINT32_MAX)
    return vdb_fail(err, VECDB_ERR_LIMIT, "the numbers of data keys are used up");
  out->id = ++keys->next;
  return vdb_crypt_random(out->key, sizeof out->key, err);
}

static int keys_replace(struct vdb_keys *keys, const struct vdb_keys_change *change,
                        struct keys_secret *fresh, struct vdb_keys_file *file, vecdb_error *err) {
  uint32_t n = keys_chosen(keys, change, fresh->data);
  if (n == 0)
    return vdb_fail(err, VECDB_ERR_LIMIT, "%d data keys are in use: compact the collections",
                    VECDB_MAX_DATA_KEYS);
  file->current = keys->current;
  if (change->new_data_key) {
    VDB_TRY(keys_new_data_key(keys, &fresh->data[n - 1], err));
    file->current = fresh->data[n - 1].id;
  }
  file->next = keys->next;
  memcpy(file->key_id, keys->key_id, sizeof file->key_id);
  if (change->key_id)
    VDB_TRY(keys_set_name(file->key_id, change->key_id, err));
  VDB_TRY(keys_store(keys, keys->env, keys->dir, fresh, n, file, err));
  int os = keys->env->vfs->sync_dir(keys->env->vfs, keys->dir);
  if (os)
    return vdb_fail_os(err, os, "cannot sync", keys->dir);
  struct keys_secret *old = keys->secret;
  keys->secret = fresh;
  keys->n = n;
  keys->current = file->current;
  memcpy(keys->key_id, file->key_id, sizeof keys->key_id);
  keys_secret_free(old);
  return VECDB_OK;
}

static int keys_change_locked(struct vdb_keys *keys, const struct vdb_keys_change *change,
                              vecdb_error *err) {
  struct vdb_keys_file file = {0};
  struct keys_secret *fresh = keys_secret_new(keys->n + 1);
  if (!fresh)
    return vdb_fail_memory(err);
  int rc = keys_replace(keys, change, fresh, &file, err);
  if (rc)
    keys_secret_free(fresh);
  vdb_keys_file_fini(&keys->env->mem, &file);
  return rc;
}

VDB_INTERNAL int vdb_keys_change(struct vdb_keys *keys, const struct vdb_keys_change *change,
                                 vecdb_error *err) {
  vdb_mutex_lock(&keys->mutex);
  int rc = keys->n ? VECDB_OK : keys_load(keys, err);
  if (!rc)
    rc = keys_change_locked(keys, change, err);
  vdb_mutex_unlock(&keys->mutex);
  return rc;
}

VDB_INTERNAL int vdb_keys_create(struct vdb_keys *keys, vecdb_error *err) {
  struct vdb_keys_change change = {.new_data_key = true};
  vdb_mutex_lock(&keys->mutex);
  keys->n = keys->current = keys->next = 0;
  int rc = keys_change_locked(keys, &change, err);
  vdb_mutex_unlock(&keys->mutex);
  return rc;
}

VDB_INTERNAL int vdb_keys_copy(struct vdb_keys *keys, struct vdb_env *env, const char *dir,
                               vecdb_error *err) {
  struct vdb_keys_file file = {0};
  vdb_mutex_lock(&keys->mutex);
  int rc = keys->n ? VECDB_OK : keys_load(keys, err);
  if (!rc) {
    file.current = keys->current;
    file.next = keys->next;
    memcpy(file.key_id, keys->key_id, sizeof file.key_id);
    rc = keys_store(keys, env, dir, keys->secret, keys->n, &file, err);
  }
  vdb_mutex_unlock(&keys->mutex);
  vdb_keys_file_fini(&keys->env->mem, &file);
  return rc;
}

/* ---- files ---- */

VDB_INTERNAL uint32_t vdb_keys_current(const struct vdb_env *env) {
  struct vdb_keys *keys = env->keys;
  if (!keys)
    return 0;
  vdb_mutex_lock(&keys->mutex);
  uint32_t current = keys->current;
  vdb_mutex_unlock(&keys->mutex);
  return current;
}

VDB_INTERNAL int vdb_keys_write(struct vdb_env *env, struct vdb_file_key *file,
                                struct vdb_cipher **out, vecdb_error *err) {
  struct vdb_keys *keys = env->keys;
  *out = NULL;
  file->id = 0;
  memset(file->salt, 0, sizeof file->salt);
  if (!keys)
    return VECDB_OK;
  VDB_TRY(vdb_crypt_random(file->salt, sizeof file->salt, err));
  vdb_mutex_lock(&keys->mutex);
  int rc = keys->n ? VECDB_OK : keys_load(keys, err);
  if (!rc) {
    file->id = keys->current;
    rc = keys_cipher(keys, keys_of_id(keys, file->id), file, out, err);
  }
  vdb_mutex_unlock(&keys->mutex);
  return rc;
}

/* The cipher of an encrypted file. A writer in another process may have made the data key since
   KEYS was read. */
static int keys_read_locked(struct vdb_keys *keys, const struct vdb_file_key *file,
                            const char *path, struct vdb_cipher **out, vecdb_error *err) {
  const struct keys_data_key *key = keys_of_id(keys, file->id);
  if (!key) {
    VDB_TRY(keys_load(keys, err));
    key = keys_of_id(keys, file->id);
  }
  if (!key)
    return vdb_fail(err, VECDB_ERR_KEY, "%s is encrypted by data key %u, which is not in KEYS",
                    path, (unsigned)file->id);
  return keys_cipher(keys, key, file, out, err);
}

VDB_INTERNAL int vdb_keys_read(struct vdb_env *env, const struct vdb_file_key *file,
                               const char *path, struct vdb_cipher **out, vecdb_error *err) {
  struct vdb_keys *keys = env->keys;
  *out = NULL;
  if (!keys && file->id == 0)
    return VECDB_OK;
  if (!keys && !vdb_crypt_works())
    return vdb_fail(err, VECDB_ERR_UNSUPPORTED,
                    "%s is encrypted, and this build of vecdb has no encryption in it", path);
  if (!keys)
    return vdb_fail(err, VECDB_ERR_KEY, "%s is encrypted, and no key was given", path);
  if (file->id == 0)
    return vdb_fail(err, VECDB_ERR_KEY, "%s is not encrypted, and a key was given", path);
  vdb_mutex_lock(&keys->mutex);
  int rc = keys_read_locked(keys, file, path, out, err);
  vdb_mutex_unlock(&keys->mutex);
  return rc;
}
