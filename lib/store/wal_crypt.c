/* wal_crypt.c - headers and records of encrypted log files; see wal_crypt.h. */
#include "store/wal_crypt.h"

#include <errno.h>

#include "store/keys.h"

/* ---- headers ---- */

static struct vdb_message walc_header(const struct vdb_crypt_part *header) {
  return (struct vdb_message){.space = STORE_SPACE_FRAME, .bound = header, .n_bound = 1};
}

VDB_INTERNAL int vdb_walc_new(struct vdb_env *env, struct store_wal_header *h,
                              struct vdb_cipher **out, uint8_t begin[WAL_BEGIN_MAX],
                              vecdb_error *err) {
  struct vdb_file_key key = {.kind = VDB_KEY_WAL, .number = h->number};
  VDB_TRY(vdb_keys_write(env, &key, out, err));
  h->key = key.id;
  memcpy(h->key_salt, key.salt, sizeof key.salt);
  h->hash = vdb_store_hash(h, sizeof *h);
  memcpy(begin, h, sizeof *h);
  struct vdb_crypt_part header = {h, sizeof *h};
  struct vdb_message m = walc_header(&header);
  if (*out && vdb_cipher_seal(*out, &m, NULL, NULL, begin + sizeof *h) != 0) {
    vdb_cipher_free(*out);
    *out = NULL;
    return vdb_fail_memory(err);
  }
  return VECDB_OK;
}

VDB_INTERNAL int vdb_walc_of(struct vdb_env *env, const struct store_wal_header *h,
                             const uint8_t *tag, const char *path, struct vdb_cipher **out,
                             vecdb_error *err) {
  struct vdb_file_key key = {.kind = VDB_KEY_WAL, .number = h->number, .id = h->key};
  memcpy(key.salt, h->key_salt, sizeof key.salt);
  VDB_TRY(vdb_keys_read(env, &key, path, out, err));
  if (!*out)
    return VECDB_OK;
  struct vdb_crypt_part header = {h, sizeof *h};
  struct vdb_message m = walc_header(&header);
  int os = tag ? vdb_cipher_open(*out, &m, NULL, NULL, tag) : EBADMSG;
  if (!os)
    return VECDB_OK;
  vdb_cipher_free(*out);
  *out = NULL;
  if (os != EBADMSG)
    return vdb_fail_memory(err);
  return vdb_fail_pos(err, VECDB_ERR_CORRUPT, 0,
                      "%s is damaged: its header was not written with the database's key", path);
}

/* ---- records ---- */

/* A record's place in the file is its number: nothing is written twice at one place of a file. */
static struct vdb_message walc_record(const struct vdb_crypt_part *header, uint64_t offset,
                                      size_t n) {
  return (struct vdb_message){.number = offset, .bound = header, .n_bound = 1, .n = n};
}

VDB_INTERNAL int vdb_walc_seal(struct vdb_cipher *cipher, uint64_t offset, const uint8_t *record,
                               uint8_t *out) {
  struct store_wal_record h;
  memcpy(&h, record, sizeof h);
  size_t n = h.length - VDB_TAG_BYTES;
  size_t padded = (size_t)vdb_store_record_bytes(h.length) - sizeof h;
  uint8_t *body = out + sizeof h;
  struct vdb_crypt_part header = {&h, offsetof(struct store_wal_record, body_hash)};
  struct vdb_message m = walc_record(&header, offset, n);
  int os = vdb_cipher_seal(cipher, &m, record + sizeof h, body, body + n);
  if (os)
    return os;
  memset(body + h.length, 0, padded - h.length);
  h.body_hash = vdb_hash64(body, padded);
  h.hash = vdb_store_hash(&h, sizeof h);
  memcpy(out, &h, sizeof h);
  return 0;
}

VDB_INTERNAL int vdb_walc_open(struct vdb_cipher *cipher, uint64_t offset,
                               const struct store_wal_record *h, const uint8_t *body,
                               uint8_t *out) {
  if (h->length < VDB_TAG_BYTES)
    return EBADMSG;
  size_t n = h->length - VDB_TAG_BYTES;
  struct vdb_crypt_part header = {h, offsetof(struct store_wal_record, body_hash)};
  struct vdb_message m = walc_record(&header, offset, n);
  return vdb_cipher_open(cipher, &m, body, out, body + n);
}
