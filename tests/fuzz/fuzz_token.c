/*
 * fuzz_token.c - any bytes as what says who may do what. The first byte says as what: a token, the
 * claims or the header of one that is then signed well, a key set, a file of API keys, of roles.
 * Nothing that was not signed may be believed, and nothing without what a token must say.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api_keys.h"
#include "server/base64.h"
#include "server/config.h"
#include "server/jwt.h"
#include "server/policy.h"
#include "server/tokentest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1000000100
#define HEADER "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"at+jwt\"}"
#define CLAIMS \
  "{\"iss\":\"i\",\"aud\":\"a\",\"sub\":\"s\",\"iat\":1000000000,\"exp\":1000000200}"

enum { MOST = 4096 };

static struct token_key key;
static struct srv_jwt_rules rules = {NULL, "i", "a", "at+jwt", "roles", "tenant", 30, 86400};

static void prepare(void) {
  static const uint8_t secret[32] = {42};
  static char text[1024];
  char error[SRV_CONFIG_ERROR];
  key = (struct token_key){EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, 32), "k",
                           "EdDSA"};
  strcpy(text, "{\"keys\": [");
  token_jwk(&key, text + strlen(text));
  strcat(text, "]}");
  rules.keys = srv_jwks_read(text, strlen(text), error);
  if (!rules.keys)
    abort();
}

static bool read_token(const char *token, size_t n) {
  struct srv_jwt jwt;
  const char *why;
  bool good = srv_jwt_read(&rules, token, n, NOW, &jwt, &why);
  if (good && (!*jwt.subject || jwt.expires <= NOW - 30 || strcmp(jwt.kid, "k") != 0))
    abort();
  return good;
}

static void read_signed(const char *header, const char *claims) {
  static char token[TOKEN_ROOM];
  token_make(&key, header, claims, token);
  read_token(token, strlen(token));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static char text[MOST];
  char error[SRV_CONFIG_ERROR];
  if (!key.key)
    prepare();
  if (size == 0 || size > MOST)
    return 0;
  size_t n = size - 1;
  memcpy(text, data + 1, n);
  text[n] = '\0';
  switch (data[0]) {
  case 't':
    if (read_token(text, n))
      abort();
    break;
  case 'c':
    read_signed(HEADER, text);
    break;
  case 'h':
    read_signed(text, CLAIMS);
    break;
  case 'j':
    srv_jwks_free(srv_jwks_read(text, n, error));
    break;
  case 'k':
    srv_api_keys_free(srv_api_keys_read("keys", text, error));
    break;
  case 'p':
    srv_policy_free(srv_policy_read("policy", text, error));
    break;
  default:
    break;
  }
  return 0;
}
