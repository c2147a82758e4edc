/*
 * api_keys.h - static keys for clients that bring no tokens, from a file that keeps only their
 * hashes. Keys are random (vecdbd --make-key), so one round of SHA-256 hides them well enough.
 *
 *   [ingest]                      the key's name: letters, digits and ._-
 *   sha256 = 64 hexadecimal digits          of the key, or
 *   certificate = 64 hexadecimal digits     SHA-256 of the certificate (DER) that a client shows
 *   role = writer                 or several, separated by commas
 *   tenant = acme                 optional: bound to its rows
 *   expires = 1800000000          optional: a second since 1970
 */
#ifndef SRV_API_KEYS_H
#define SRV_API_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SRV_API_KEY_NAME = 64,
  SRV_API_KEY_TEXT = 256,
  SRV_API_KEY_HASH = 32,
  SRV_API_KEY_MADE = 64 /* room for a key that srv_api_key_make makes */
};

struct srv_api_key {
  char name[SRV_API_KEY_NAME + 1];
  char roles[SRV_API_KEY_TEXT]; /* separated by commas */
  char tenant[SRV_API_KEY_TEXT];
  int64_t expires; /* INT64_MAX: never */
  uint8_t hash[SRV_API_KEY_HASH];
  bool has_hash;
  bool is_certificate; /* whose hash it is, and not a key's */
};

struct srv_api_keys;

/* NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_api_keys *srv_api_keys_read(const char *path, const char *text, char *error);
void srv_api_keys_free(struct srv_api_keys *keys);
/* The key, or the certificate, with this hash, in a time that does not tell which one it is or how
   nearly one fits. */
const struct srv_api_key *srv_api_keys_find(const struct srv_api_keys *keys, const uint8_t *hash,
                                            bool certificate);
/* A new random key; false: the system has no randomness. */
bool srv_api_key_make(char *out);
void srv_sha256(const void *bytes, size_t n, uint8_t *hash);

#endif
