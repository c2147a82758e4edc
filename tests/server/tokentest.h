/*
 * tokentest.h - signs tokens for tests: a key of each kind, the set of their public halves, and
 * tokens of any header and claims.
 */
#ifndef TOKENTEST_H
#define TOKENTEST_H

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_RSA, TOKEN_EC, TOKEN_ED, TOKEN_KINDS, TOKEN_ROOM = 32768, TOKEN_SIGNATURE = 1024 };

struct token_key {
  EVP_PKEY *key;
  const char *kid, *algorithm;
};

static inline void token_keys(struct token_key *keys) {
  keys[TOKEN_RSA] = (struct token_key){EVP_RSA_gen(2048), "rsa-1", "RS256"};
  keys[TOKEN_EC] = (struct token_key){EVP_EC_gen("P-256"), "ec.1", "ES256"};
  keys[TOKEN_ED] = (struct token_key){EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed:1", "EdDSA"};
}

static inline void token_keys_free(struct token_key *keys) {
  for (int i = 0; i < TOKEN_KINDS; i++)
    EVP_PKEY_free(keys[i].key);
}

/* Appends base64url of bytes to a text. */
static inline void token_encode(char *out, const void *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const uint8_t *b = bytes;
  out += strlen(out);
  for (size_t i = 0; i < n; i += 3) {
    uint32_t group = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) |
                     (i + 2 < n ? b[i + 2] : 0);
    for (size_t d = 0; d < 4 && i + d <= n; d++)
      *out++ = digits[group >> (18 - 6 * d) & 63];
  }
  *out = '\0';
}

/* A signature in the form that tokens have it; gives its bytes. */
static inline size_t token_sign(const struct token_key *signer, const char *text, uint8_t *out) {
  size_t n = TOKEN_SIGNATURE;
  uint8_t der[TOKEN_SIGNATURE];
  bool is_ec = strcmp(signer->algorithm, "ES256") == 0;
  bool is_ed = strcmp(signer->algorithm, "EdDSA") == 0;
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (EVP_DigestSignInit(context, NULL, is_ed ? NULL : EVP_sha256(), NULL, signer->key) != 1 ||
      EVP_DigestSign(context, is_ec ? der : out, &n, (const uint8_t *)text, strlen(text)) != 1)
    abort();
  EVP_MD_CTX_free(context);
  if (is_ec) {
    const uint8_t *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)n);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
    ECDSA_SIG_free(pair);
    n = 64;
  }
  return n;
}

/* "HEADER.CLAIMS", what a signature is over. */
static inline void token_unsigned(const char *header, const char *claims, char *out) {
  *out = '\0';
  token_encode(out, header, strlen(header));
  strcat(out, ".");
  token_encode(out, claims, strlen(claims));
}

static inline void token_make(const struct token_key *signer, const char *header,
                              const char *claims, char *out) {
  uint8_t signature[TOKEN_SIGNATURE];
  token_unsigned(header, claims, out);
  size_t n = token_sign(signer, out, signature);
  strcat(out, ".");
  token_encode(out, signature, n);
}

static inline void token_member(char *out, const char *name, const uint8_t *bytes, size_t n) {
  sprintf(out + strlen(out), ", \"%s\": \"", name);
  token_encode(out, bytes, n);
  strcat(out, "\"");
}

/* The public half as a JSON Web Key. */
static inline void token_jwk(const struct token_key *key, char *out) {
  uint8_t bytes[1024];
  size_t n;
  sprintf(out, "{\"kid\": \"%s\", \"use\": \"sig\", \"alg\": \"%s\"", key->kid, key->algorithm);
  if (strcmp(key->algorithm, "EdDSA") == 0) {
    n = sizeof bytes;
    EVP_PKEY_get_raw_public_key(key->key, bytes, &n);
    strcat(out, ", \"kty\": \"OKP\", \"crv\": \"Ed25519\"");
    token_member(out, "x", bytes, n);
  } else {
    bool rsa = strcmp(key->algorithm, "RS256") == 0;
    static const char *const names[2][2] = {{OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y},
                                            {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E}};
    strcat(out, rsa ? ", \"kty\": \"RSA\"" : ", \"kty\": \"EC\", \"crv\": \"P-256\"");
    for (int i = 0; i < 2; i++) {
      BIGNUM *number = NULL;
      EVP_PKEY_get_bn_param(key->key, names[rsa][i], &number);
      n = rsa ? (size_t)BN_num_bytes(number) : 32;
      BN_bn2binpad(number, bytes, (int)n);
      token_member(out, rsa ? (i ? "e" : "n") : (i ? "y" : "x"), bytes, n);
      BN_free(number);
    }
  }
  strcat(out, "}");
}

static inline void token_jwks(const struct token_key *keys, char *out) {
  strcpy(out, "{\"keys\": [");
  for (int i = 0; i < TOKEN_KINDS; i++) {
    strcat(out, i ? ", " : "");
    token_jwk(&keys[i], out + strlen(out));
  }
  strcat(out, "]}");
}

#endif
