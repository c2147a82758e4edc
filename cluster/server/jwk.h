/*
 * jwk.h - public keys that sign tokens, from a JSON Web Key Set (RFC 7517), and checking signatures
 * with them. A key fixes its algorithm: RSA means RS256, P-256 ES256, Ed25519 EdDSA.
 */
#ifndef SRV_JWK_H
#define SRV_JWK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_JWK_KID = 64 }; /* bytes of a key's name, at most */

struct srv_jwk;
struct srv_jwks;

/* Reads a key set. Keys for other purposes or of other kinds are passed over; a set with a key that
   is malformed, too weak, private or there twice is refused, and one without any key for us, too.
   NULL with a sentence in `error` (SRV_CONFIG_ERROR bytes). */
struct srv_jwks *srv_jwks_read(const char *text, size_t n, char *error);
void srv_jwks_free(struct srv_jwks *keys);
/* NULL: there is none of that name. */
const struct srv_jwk *srv_jwks_find(const struct srv_jwks *keys, const char *kid);
/* Whether a text may be the name of a key: letters, digits and ._:- */
bool srv_jwk_is_kid(const char *text);
/* The name of its algorithm in tokens. */
const char *srv_jwk_algorithm(const struct srv_jwk *key);
/* Whether the signature, in the form that tokens have it, is the key's over these bytes. */
bool srv_jwk_verify(const struct srv_jwk *key, const uint8_t *signature, size_t n_signature,
                    const void *bytes, size_t n);

#endif
