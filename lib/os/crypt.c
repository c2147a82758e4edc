/*
 * crypt.c - AES-256-GCM and HKDF-SHA-256 by OpenSSL's EVP, or the lack of them; see crypt.h. The
 * only file that knows OpenSSL.
 */
#include "os/crypt.h"

#include <errno.h>

#ifdef VDB_WITH_OPENSSL

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

enum { CRYPT_NONCE_BYTES = 12 };

struct vdb_cipher {
  struct vdb_mem *mem;
  EVP_CIPHER_CTX *ctx;
  uint8_t key[VDB_KEY_BYTES];
};

VDB_INTERNAL bool vdb_crypt_works(void) { return true; }

VDB_INTERNAL int vdb_crypt_random(void *out, size_t n, vecdb_error *err) {
  if (n > INT32_MAX || RAND_bytes(out, (int)n) != 1)
    return vdb_fail(err, VECDB_ERR_IO, "the system gives no random bytes");
  return VECDB_OK;
}

/* ---- ciphers ---- */

static bool crypt_derive(const struct vdb_cipher_from *from, uint8_t *key) {
  size_t n = VDB_KEY_BYTES;
  EVP_PKEY_CTX *kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
  bool ok = kdf && EVP_PKEY_derive_init(kdf) == 1 &&
            EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) == 1 &&
            EVP_PKEY_CTX_set1_hkdf_salt(kdf, from->salt, VDB_SALT_BYTES) == 1 &&
            EVP_PKEY_CTX_set1_hkdf_key(kdf, from->key, VDB_KEY_BYTES) == 1 &&
            EVP_PKEY_CTX_add1_hkdf_info(kdf, from->purpose, (int)from->n_purpose) == 1 &&
            EVP_PKEY_derive(kdf, key, &n) == 1 && n == VDB_KEY_BYTES;
  EVP_PKEY_CTX_free(kdf);
  return ok;
}

/* Sets up the key that is in the cipher. */
static bool crypt_ready(struct vdb_cipher *c) {
  c->ctx = EVP_CIPHER_CTX_new();
  return c->ctx && EVP_CipherInit_ex(c->ctx, EVP_aes_256_gcm(), NULL, c->key, NULL, 1) == 1;
}

static int crypt_cipher(struct vdb_mem *mem, const struct vdb_cipher_from *from,
                        const uint8_t *key, struct vdb_cipher **out, vecdb_error *err) {
  *out = NULL;
  struct vdb_cipher *c = vdb_alloc_zero(mem, sizeof *c);
  if (!c)
    return vdb_fail_memory(err);
  c->mem = mem;
  bool ok = true;
  if (key)
    memcpy(c->key, key, sizeof c->key);
  else
    ok = crypt_derive(from, c->key);
  if (!ok || !crypt_ready(c)) { /* with sound arguments only memory can be missing */
    vdb_cipher_free(c);
    return vdb_fail_memory(err);
  }
  *out = c;
  return VECDB_OK;
}

VDB_INTERNAL int vdb_cipher_new(struct vdb_mem *mem, const struct vdb_cipher_from *from,
                                struct vdb_cipher **out, vecdb_error *err) {
  return crypt_cipher(mem, from, NULL, out, err);
}

VDB_INTERNAL int vdb_cipher_clone(const struct vdb_cipher *cipher, struct vdb_cipher **out,
                                  vecdb_error *err) {
  return crypt_cipher(cipher->mem, NULL, cipher->key, out, err);
}

VDB_INTERNAL void vdb_cipher_free(struct vdb_cipher *cipher) {
  if (!cipher)
    return;
  EVP_CIPHER_CTX_free(cipher->ctx); /* wipes what it holds */
  vdb_wipe(cipher->key, sizeof cipher->key);
  vdb_free(cipher->mem, cipher);
}

/* ---- messages ---- */

/* Begins a message: its nonce, and what is bound to it. */
static bool crypt_begin(EVP_CIPHER_CTX *ctx, const struct vdb_message *m, int encrypt) {
  uint8_t nonce[CRYPT_NONCE_BYTES];
  int n;
  memcpy(nonce, &m->space, sizeof m->space);
  memcpy(nonce + sizeof m->space, &m->number, sizeof m->number);
  if (EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) != 1)
    return false;
  for (size_t i = 0; i < m->n_bound; i++)
    if (m->bound[i].n > 0 &&
        EVP_CipherUpdate(ctx, NULL, &n, m->bound[i].data, (int)m->bound[i].n) != 1)
      return false;
  return true;
}

VDB_INTERNAL int vdb_cipher_seal(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *plain, void *out, uint8_t *tag) {
  EVP_CIPHER_CTX *ctx = cipher->ctx;
  uint8_t end[VDB_TAG_BYTES];
  int n;
  bool ok = m->n <= INT32_MAX && crypt_begin(ctx, m, 1) &&
            (m->n == 0 || EVP_CipherUpdate(ctx, out, &n, plain, (int)m->n) == 1) &&
            EVP_CipherFinal_ex(ctx, end, &n) == 1 &&
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, VDB_TAG_BYTES, tag) == 1;
  return ok ? 0 : ENOMEM;
}

VDB_INTERNAL int vdb_cipher_open(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *sealed, void *out, const uint8_t *tag) {
  EVP_CIPHER_CTX *ctx = cipher->ctx;
  uint8_t end[VDB_TAG_BYTES];
  int n;
  if (m->n > INT32_MAX || !crypt_begin(ctx, m, 0) ||
      (m->n > 0 && EVP_CipherUpdate(ctx, out, &n, sealed, (int)m->n) != 1) ||
      EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, VDB_TAG_BYTES,
                          (void *)(uintptr_t)tag) != 1)
    return ENOMEM;
  if (EVP_CipherFinal_ex(ctx, end, &n) == 1)
    return 0;
  if (m->n > 0)
    memset(out, 0, m->n);
  return EBADMSG;
}

#else

static int crypt_missing(vecdb_error *err) {
  return vdb_fail(err, VECDB_ERR_UNSUPPORTED, "this build of vecdb has no encryption in it");
}

VDB_INTERNAL bool vdb_crypt_works(void) { return false; }

VDB_INTERNAL int vdb_crypt_random(void *out, size_t n, vecdb_error *err) {
  (void)out;
  (void)n;
  return crypt_missing(err);
}

VDB_INTERNAL int vdb_cipher_new(struct vdb_mem *mem, const struct vdb_cipher_from *from,
                                struct vdb_cipher **out, vecdb_error *err) {
  (void)mem;
  (void)from;
  *out = NULL;
  return crypt_missing(err);
}

VDB_INTERNAL int vdb_cipher_clone(const struct vdb_cipher *cipher, struct vdb_cipher **out,
                                  vecdb_error *err) {
  (void)cipher;
  *out = NULL;
  return crypt_missing(err);
}

VDB_INTERNAL void vdb_cipher_free(struct vdb_cipher *cipher) { (void)cipher; }

VDB_INTERNAL int vdb_cipher_seal(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *plain, void *out, uint8_t *tag) {
  (void)cipher;
  (void)m;
  (void)plain;
  (void)out;
  (void)tag;
  return ENOTSUP;
}

VDB_INTERNAL int vdb_cipher_open(struct vdb_cipher *cipher, const struct vdb_message *m,
                                 const void *sealed, void *out, const uint8_t *tag) {
  (void)cipher;
  (void)m;
  (void)sealed;
  (void)out;
  (void)tag;
  return ENOTSUP;
}

#endif
