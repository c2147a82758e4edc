/* jwk.c - key sets and signatures, by OpenSSL; see jwk.h. */
#include "server/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/base64.h"
#include "server/config.h"
#include "server/json_read.h"

enum {
  JWK_KEYS = 64, /* of a set, at most */
  JWK_RSA_LEAST = 2048,
  JWK_RSA_MOST = 8192,
  JWK_NUMBER = JWK_RSA_MOST / 8, /* bytes of a key's number */
  JWK_P256 = 32,
  JWK_POINT = 1 + 2 * JWK_P256,
  JWK_SIGNATURE = 2 * JWK_P256 /* of ES256 and of EdDSA */
};

struct srv_jwk {
  char kid[SRV_JWK_KID + 1];
  const struct jwk_kind *kind;
  EVP_PKEY *key;
};

struct srv_jwks {
  size_t n;
  struct srv_jwk keys[JWK_KEYS];
};

struct jwk_kind {
  const char *type;  /* "kty" */
  const char *curve; /* "crv"; NULL: it has none */
  const char *algorithm;
  EVP_PKEY *(*read)(json_t *jwk);
  bool (*verify)(EVP_PKEY *key, const uint8_t *signature, size_t n_signature, const void *bytes,
                 size_t n);
};

/* ---- Keys ------------------------------------------------------------------------------------ */

/* The bytes of a member; 0: it is missing, malformed or longer than `room`. */
static size_t jwk_bytes(json_t *jwk, const char *member, uint8_t *out, size_t room) {
  const char *text = json_string_value(json_object_get(jwk, member));
  size_t n = text ? strlen(text) : 0, n_out = 0;
  return n && n * 3 / 4 <= room && srv_base64url(text, n, out, &n_out) ? n_out : 0;
}

static EVP_PKEY *jwk_make(const char *type, OSSL_PARAM_BLD *builder) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
  EVP_PKEY *key = NULL;
  if (context && params && EVP_PKEY_fromdata_init(context) == 1 &&
      EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
    key = NULL;
  OSSL_PARAM_free(params);
  EVP_PKEY_CTX_free(context);
  return key;
}

/* A modulus of the right size, and an exponent that is odd, at least 65537 and of four bytes. */
static bool jwk_rsa_is_sound(const BIGNUM *n, const BIGNUM *e) {
  int bits = BN_num_bits(n);
  return bits >= JWK_RSA_LEAST && bits <= JWK_RSA_MOST && BN_is_odd(n) && BN_is_odd(e) &&
         BN_num_bits(e) <= 32 && BN_get_word(e) >= 65537;
}

static EVP_PKEY *jwk_read_rsa(json_t *jwk) {
  uint8_t n[JWK_NUMBER], e[JWK_NUMBER];
  size_t n_n = jwk_bytes(jwk, "n", n, sizeof n), n_e = jwk_bytes(jwk, "e", e, sizeof e);
  BIGNUM *modulus = BN_bin2bn(n, (int)n_n, NULL), *exponent = BN_bin2bn(e, (int)n_e, NULL);
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
  EVP_PKEY *key = NULL;
  if (modulus && exponent && builder && jwk_rsa_is_sound(modulus, exponent) &&
      OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
      OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent))
    key = jwk_make("RSA", builder);
  OSSL_PARAM_BLD_free(builder);
  BN_free(modulus);
  BN_free(exponent);
  return key;
}

/* Whether the key is a point of its curve. */
static bool jwk_is_on_curve(EVP_PKEY *key) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
  bool good = context && EVP_PKEY_public_check(context) == 1;
  EVP_PKEY_CTX_free(context);
  return good;
}

static EVP_PKEY *jwk_read_p256(json_t *jwk) {
  uint8_t point[JWK_POINT] = {POINT_CONVERSION_UNCOMPRESSED};
  if (jwk_bytes(jwk, "x", point + 1, JWK_P256) != JWK_P256 ||
      jwk_bytes(jwk, "y", point + 1 + JWK_P256, JWK_P256) != JWK_P256)
    return NULL;
  OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
  EVP_PKEY *key = NULL;
  if (builder &&
      OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
      OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
    key = jwk_make("EC", builder);
  OSSL_PARAM_BLD_free(builder);
  if (!key || jwk_is_on_curve(key))
    return key;
  EVP_PKEY_free(key);
  return NULL;
}

static EVP_PKEY *jwk_read_ed25519(json_t *jwk) {
  uint8_t x[32];
  if (jwk_bytes(jwk, "x", x, sizeof x) != sizeof x)
    return NULL;
  return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof x);
}

/* ---- Signatures ------------------------------------------------------------------------------ */

static bool jwk_check(EVP_PKEY *key, const EVP_MD *digest, const uint8_t *signature,
                      size_t n_signature, const void *bytes, size_t n) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool good = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key) == 1 &&
              EVP_DigestVerify(context, signature, n_signature, bytes, n) == 1;
  EVP_MD_CTX_free(context);
  return good;
}

static bool jwk_verify_rsa(EVP_PKEY *key, const uint8_t *signature, size_t n_signature,
                           const void *bytes, size_t n) {
  return n_signature == (size_t)EVP_PKEY_get_size(key) &&
         jwk_check(key, EVP_sha256(), signature, n_signature, bytes, n);
}

/* Tokens have r and s side by side, OpenSSL wants them in DER. */
static bool jwk_verify_p256(EVP_PKEY *key, const uint8_t *signature, size_t n_signature,
                            const void *bytes, size_t n) {
  if (n_signature != JWK_SIGNATURE)
    return false;
  uint8_t *der = NULL;
  int n_der = 0;
  ECDSA_SIG *pair = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(signature, JWK_P256, NULL);
  BIGNUM *s = BN_bin2bn(signature + JWK_P256, JWK_P256, NULL);
  if (pair && r && s && !BN_is_zero(r) && !BN_is_zero(s) && ECDSA_SIG_set0(pair, r, s) == 1) {
    r = s = NULL; /* the pair's now */
    n_der = i2d_ECDSA_SIG(pair, &der);
  }
  BN_free(r);
  BN_free(s);
  ECDSA_SIG_free(pair);
  bool good = n_der > 0 && jwk_check(key, EVP_sha256(), der, (size_t)n_der, bytes, n);
  OPENSSL_free(der);
  return good;
}

static bool jwk_verify_ed25519(EVP_PKEY *key, const uint8_t *signature, size_t n_signature,
                               const void *bytes, size_t n) {
  return n_signature == JWK_SIGNATURE && jwk_check(key, NULL, signature, n_signature, bytes, n);
}

static const struct jwk_kind jwk_kinds[] = {
    {"RSA", NULL, "RS256", jwk_read_rsa, jwk_verify_rsa},
    {"EC", "P-256", "ES256", jwk_read_p256, jwk_verify_p256},
    {"OKP", "Ed25519", "EdDSA", jwk_read_ed25519, jwk_verify_ed25519},
};

/* ---- Sets ------------------------------------------------------------------------------------ */

static bool jwk_is(json_t *jwk, const char *member, const char *value) {
  const char *text = json_string_value(json_object_get(jwk, member));
  return text && strcmp(text, value) == 0;
}

/* The kind of a key that is for checking tokens; NULL: it is something else. */
static const struct jwk_kind *jwk_kind_of(json_t *jwk) {
  if (json_object_get(jwk, "use") && !jwk_is(jwk, "use", "sig"))
    return NULL;
  for (size_t i = 0; i < sizeof jwk_kinds / sizeof jwk_kinds[0]; i++) {
    const struct jwk_kind *kind = &jwk_kinds[i];
    if (jwk_is(jwk, "kty", kind->type) && (!kind->curve || jwk_is(jwk, "crv", kind->curve)))
      return !json_object_get(jwk, "alg") || jwk_is(jwk, "alg", kind->algorithm) ? kind : NULL;
  }
  return NULL;
}

bool srv_jwk_is_kid(const char *text) {
  size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
  return n > 0 && n <= SRV_JWK_KID && text[n] == '\0';
}

/* Takes a key into the set, or passes it over; false with the reason in `why`. */
static bool jwks_add(struct srv_jwks *keys, json_t *jwk, const char **why) {
  const struct jwk_kind *kind = jwk_kind_of(jwk);
  if (!kind)
    return true;
  const char *kid = json_string_value(json_object_get(jwk, "kid"));
  *why = "has no \"kid\" of 1 to 64 letters, digits and ._:-";
  if (!kid || !srv_jwk_is_kid(kid))
    return false;
  *why = "has the \"kid\" of a key before it";
  if (srv_jwks_find(keys, kid))
    return false;
  *why = "is a private key, which is not for here";
  if (json_object_get(jwk, "d"))
    return false;
  *why = "is one more than a set may have";
  if (keys->n == JWK_KEYS)
    return false;
  *why = "is malformed, or weaker than allowed (RSA: 2048 to 8192 bits, exponent from 65537)";
  struct srv_jwk *out = &keys->keys[keys->n];
  out->key = kind->read(jwk);
  if (!out->key)
    return false;
  out->kind = kind;
  snprintf(out->kid, sizeof out->kid, "%s", kid);
  keys->n++;
  return true;
}

static bool jwks_fill(struct srv_jwks *keys, json_t *list, char *error) {
  size_t i;
  json_t *jwk;
  const char *why;
  json_array_foreach(list, i, jwk) {
    if (!jwks_add(keys, jwk, &why)) {
      snprintf(error, SRV_CONFIG_ERROR, "key %zu %s", i + 1, why);
      return false;
    }
  }
  if (keys->n > 0)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "there is no key for RS256, ES256 or EdDSA");
  return false;
}

struct srv_jwks *srv_jwks_read(const char *text, size_t n, char *error) {
  json_error_t why;
  json_t *json = srv_json_read(text, n, &why);
  json_t *list = json_object_get(json, "keys");
  struct srv_jwks *keys = json_is_array(list) ? calloc(1, sizeof *keys) : NULL;
  snprintf(error, SRV_CONFIG_ERROR, "%s", json ? "there is no array \"keys\"" : "not JSON");
  if (keys && !jwks_fill(keys, list, error)) {
    srv_jwks_free(keys);
    keys = NULL;
  }
  json_decref(json);
  return keys;
}

void srv_jwks_free(struct srv_jwks *keys) {
  for (size_t i = 0; keys && i < keys->n; i++)
    EVP_PKEY_free(keys->keys[i].key);
  free(keys);
}

const struct srv_jwk *srv_jwks_find(const struct srv_jwks *keys, const char *kid) {
  for (size_t i = 0; i < keys->n; i++)
    if (strcmp(keys->keys[i].kid, kid) == 0)
      return &keys->keys[i];
  return NULL;
}

const char *srv_jwk_algorithm(const struct srv_jwk *key) {
  return key->kind->algorithm;
}

bool srv_jwk_verify(const struct srv_jwk *key, const uint8_t *signature, size_t n_signature,
                    const void *bytes, size_t n) {
  return key->kind->verify(key->key, signature, n_signature, bytes, n);
}
