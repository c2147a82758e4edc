/*
 * wal_crypt.h - encrypted log files: the tag behind the header, and the bodies of records. A record
 * of an encrypted file has a body that is VDB_TAG_BYTES longer, with the tag at its end; the header
 * stays as it is, but is authenticated. In memory, before it is written, those bytes are anything.
 * README.md draws the bytes.
 */
#ifndef VDB_WAL_CRYPT_H
#define VDB_WAL_CRYPT_H

#include "os/env.h"
#include "store/store_format.h"

enum { WAL_BEGIN_MAX = STORE_HEADER_BYTES + VDB_TAG_BYTES };

/* Where the records of a file begin. */
VDB_INLINE uint64_t vdb_walc_begin(bool encrypted) {
  return STORE_HEADER_BYTES + (encrypted ? VDB_TAG_BYTES : 0);
}

/* Begins a file: completes its header, whose other fields are set, makes the cipher (NULL without
   keys), and gives the bytes that the file begins with. */
VDB_INTERNAL int vdb_walc_new(struct vdb_env *env, struct store_wal_header *h,
                              struct vdb_cipher **out, uint8_t begin[WAL_BEGIN_MAX],
                              vecdb_error *err);
/* The cipher of a file that is read, NULL for a plain one, from its valid header; `tag` are the
   bytes behind it (NULL: the file ends before). CORRUPT when the header is not what was written;
   errors of vdb_keys_read. */
VDB_INTERNAL int vdb_walc_of(struct vdb_env *env, const struct store_wal_header *h,
                             const uint8_t *tag, const char *path, struct vdb_cipher **out,
                             vecdb_error *err);

/* Encrypts the record at `record`, with its padding, to `out`, for the place `offset` of the file:
   its header is complete up to the hashes, which are set. 0 or ENOMEM. */
VDB_INTERNAL int vdb_walc_seal(struct vdb_cipher *cipher, uint64_t offset, const uint8_t *record,
                               uint8_t *out);
/* Decrypts the body of a record whose checksums hold to h->length - VDB_TAG_BYTES bytes at `out`,
   also in place. 0, EBADMSG when it was not written so, or ENOMEM. */
VDB_INTERNAL int vdb_walc_open(struct vdb_cipher *cipher, uint64_t offset,
                               const struct store_wal_record *h, const uint8_t *body,
                               uint8_t *out);

#endif
