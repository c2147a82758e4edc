/*
 * keys.h - the data keys of an encrypted database: the file KEYS, which has them wrapped by a key
 * of the host's, and the ciphers of files, derived from them. README.md draws the bytes and argues
 * why no nonce comes twice.
 *
 * An env without keys stands for plain files; then the calls that take an env give a NULL cipher
 * for those, and refuse the others.
 */
#ifndef VDB_KEYS_H
#define VDB_KEYS_H

#include "os/crypt.h"
#include "os/env.h"

/* What a file's cipher is derived from, beside the data key: in its header, but for the first two,
   which say what file it must be. */
struct vdb_file_key {
  uint32_t kind; /* a vdb_key_kind */
  uint64_t number;
  uint32_t id;   /* of the data key; 0: the file is plain */
  uint8_t salt[VDB_SALT_BYTES];
};

enum vdb_key_kind { /* those of section files are their vdb_blob_kind */
  VDB_KEY_WAL = 16,
  VDB_KEY_MANIFEST = 17,
  VDB_KEY_KEYS = 18
};

struct vdb_keys;
/* `env` and `dir` stay borrowed; what the options say is copied. KEYS is read when a key is first
   asked for, and again when one is missing. Errors: NO_MEMORY, OPTION, ARGUMENT, UNSUPPORTED. */
VDB_INTERNAL int vdb_keys_new(struct vdb_env *env, const char *dir, const vecdb_encryption *e,
                              struct vdb_keys **out, vecdb_error *err);
/* Wipes the keys. NULL is fine. */
VDB_INTERNAL void vdb_keys_free(struct vdb_keys *keys);
/* Makes KEYS with a first data key, in a folder that is no database yet; one that is there is
   replaced. Errors: KEY, IO, DISK_FULL, NO_MEMORY. */
VDB_INTERNAL int vdb_keys_create(struct vdb_keys *keys, vecdb_error *err);
/* Writes KEYS, as it stands, to the folder of a copy, synced (not the folder). */
VDB_INTERNAL int vdb_keys_copy(struct vdb_keys *keys, struct vdb_env *env, const char *dir,
                               vecdb_error *err);
/* See vecdb_rekey. *in_use: whether a data key is needed still, by its id; NULL: all are. When it
   fails, KEYS is the old or the new one, and the keys in force are those of before. */
struct vdb_keys_change {
  const char *key_id; /* NULL: as before */
  bool new_data_key;
  bool (*in_use)(void *arg, uint32_t id);
  void *arg;
};
VDB_INTERNAL int vdb_keys_change(struct vdb_keys *keys, const struct vdb_keys_change *change,
                                 vecdb_error *err);
/* Id of the data key that new files get; 0 without keys. */
VDB_INTERNAL uint32_t vdb_keys_current(const struct vdb_env *env);

/* The cipher of a file to be written: fills id and salt. *out is NULL without keys. Errors: KEY,
   IO, CORRUPT, NO_MEMORY. */
VDB_INTERNAL int vdb_keys_write(struct vdb_env *env, struct vdb_file_key *file,
                                struct vdb_cipher **out, vecdb_error *err);
/* The cipher of a file to be read. *out is NULL for a plain one. Errors: KEY when the file is plain
   and should not be, or the other way round, or its key is not in KEYS; UNSUPPORTED; those of
   reading KEYS (KEY when the host's key is wrong; IO, CORRUPT, NO_MEMORY). */
VDB_INTERNAL int vdb_keys_read(struct vdb_env *env, const struct vdb_file_key *file,
                               const char *path, struct vdb_cipher **out, vecdb_error *err);

#endif
