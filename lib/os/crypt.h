/*
 * crypt.h - authenticated encryption (AES-256-GCM), keys derived from keys (HKDF-SHA-256), random
 * bytes and memory for secrets. OpenSSL does the work where it was compiled in (VDB_WITH_OPENSSL);
 * elsewhere nothing of it can be had, and every call says VECDB_ERR_UNSUPPORTED.
 */
#ifndef VDB_CRYPT_H
#define VDB_CRYPT_H

#include "base/err.h"
#include "base/mem.h"

enum { VDB_KEY_BYTES = 32, VDB_SALT_BYTES = 16, VDB_TAG_BYTES = 16 };

/* Whether this build can encrypt. */
VDB_INTERNAL bool vdb_crypt_works(void);
/* Bytes that nobody can guess. Errors: IO when the system has none, UNSUPPORTED. */
VDB_INTERNAL int vdb_crypt_random(void *out, size_t n, vecdb_error *err);

/* Overwrites a secret, whatever the compiler thinks of it. */
VDB_INTERNAL void vdb_wipe(void *secret, size_t n);
/* Zeroed memory of its own pages, left out of core dumps; NULL when there is none. */
VDB_INTERNAL void *vdb_secret_new(size_t n);
/* Wipes and frees; NULL is fine. */
VDB_INTERNAL void vdb_secret_free(void *secret, size_t n);

/* What a cipher's key is derived from: another key, a salt, and what it is for. */
struct vdb_cipher_from {
  const uint8_t *key;  /* VDB_KEY_BYTES */
  const uint8_t *salt; /* VDB_SALT_BYTES */
  const void *purpose;
  size_t n_purpose;
};

/* A derived key, ready for use by one thread at a time. The key is wiped when it is freed. Errors:
   NO_MEMORY, UNSUPPORTED. */
struct vdb_cipher;
VDB_INTERNAL int vdb_cipher_new(struct vdb_mem *mem, const struct vdb_cipher_from *from,
                                struct vdb_cipher **out, vecdb_error *err);
/* The same key, for another thread. */
VDB_INTERNAL int vdb_cipher_clone(const struct vdb_cipher *cipher, struct vdb_cipher **out,
                                  vecdb_error *err);
/* NULL is fine. */
VDB_INTERNAL void vdb_cipher_free(struct vdb_cipher *cipher);

struct vdb_crypt_part {
  const void *data;
  size_t n;
};

/* One message of a cipher. No two messages that are sealed have the same (space, number). */
struct vdb_message {
  uint32_t space;
  uint64_t number;
  const struct vdb_crypt_part *bound; /* authenticated with it, but not encrypted */
  size_t n_bound;
  size_t n; /* bytes of it, below 2 GiB */
};

/* Encrypts m->n bytes, also in place; the tag has VDB_TAG_BYTES. 0 or ENOMEM. */
VDB_INTERNAL int vdb_cipher_seal(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *plain, void *out, uint8_t *tag);
/* Decrypts, also in place. 0, EBADMSG when anything differs from what was sealed (`out` is then
   zeroed), or ENOMEM. */
VDB_INTERNAL int vdb_cipher_open(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *sealed, void *out, const uint8_t *tag);

#endif
