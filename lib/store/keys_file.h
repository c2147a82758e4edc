/*
 * keys_file.h - the file KEYS: data keys, each wrapped by the host's key, read whole and replaced
 * whole by a rename. README.md draws the bytes.
 */
#ifndef VDB_KEYS_FILE_H
#define VDB_KEYS_FILE_H

#include "os/crypt.h"
#include "os/env.h"

struct vdb_keys_entry {
  uint32_t id; /* not 0 */
  uint32_t n;
  uint8_t wrapped[VECDB_MAX_WRAPPED];
};

struct vdb_keys_file {
  uint32_t current; /* id of the data key for new files: one of the entries */
  uint32_t next;    /* no data key ever had a higher id */
  uint8_t salt[VDB_SALT_BYTES];
  char key_id[VECDB_MAX_NAME + 1];
  struct vdb_keys_entry *entries;
  uint32_t n;
  uint8_t *bytes; /* as read */
  size_t n_bytes;
};

/* Reads and decodes dir/KEYS. KEY when there is none, CORRUPT, NEWER_FORMAT, IO, NO_MEMORY. Release
   with vdb_keys_file_fini, also after a failure. */
VDB_INTERNAL int vdb_keys_file_read(struct vdb_env *env, const char *dir,
                                    struct vdb_keys_file *out, vecdb_error *err);
/* Whether what was read was written with the current data key, from which `cipher` is derived. */
VDB_INTERNAL int vdb_keys_file_check(const struct vdb_keys_file *file, struct vdb_cipher *cipher,
                                     const char *dir, vecdb_error *err);
/* Replaces dir/KEYS, synced, but not the folder. */
VDB_INTERNAL int vdb_keys_file_write(struct vdb_env *env, const char *dir,
                                     const struct vdb_keys_file *file, struct vdb_cipher *cipher,
                                     vecdb_error *err);
/* Releases what the file has in memory. */
VDB_INTERNAL void vdb_keys_file_fini(struct vdb_mem *mem, struct vdb_keys_file *file);

#endif
