/*
 * authtest.h - a server that asks who asks: its files of keys and roles, and headers that say who.
 */
#ifndef AUTHTEST_H
#define AUTHTEST_H

#include "server/auth.h"
#include "server/tokentest.h"
#include "server/webtest.h"

#include <sys/stat.h>
#include <time.h>

enum { AUTH_PATH = 128, AUTH_HEADER = 2048 };

struct secured {
  struct web web;
  const struct token_key *keys;
  char text[TOKEN_ROOM];
};

/* Made once: an RSA key takes its time. */
static inline const struct token_key *auth_keys(void) {
  static struct token_key keys[TOKEN_KINDS]; /* to the end of the process */
  if (!keys[0].key)
    token_keys(keys);
  return keys;
}

/* Writes a file beside the database, as one that appears whole, and gives its path. */
static inline const char *auth_file(const struct web *w, const char *name, const char *text,
                                    mode_t mode) {
  static char path[AUTH_PATH];
  char fresh[AUTH_PATH + 8];
  snprintf(path, sizeof path, "%s/%s", w->folder, name);
  snprintf(fresh, sizeof fresh, "%s.new", path);
  FILE *f = fopen(fresh, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
  assert_int_equal(chmod(fresh, mode), 0);
  assert_int_equal(rename(fresh, path), 0);
  return path;
}

/* Appends the lines of an API key to a file's text: the key is its name and "-secret". */
static inline void auth_key(char *text, const char *name, const char *role, const char *tenant) {
  char secret[64];
  uint8_t hash[SRV_API_KEY_HASH];
  snprintf(secret, sizeof secret, "%s-secret", name);
  srv_sha256(secret, strlen(secret), hash);
  text += strlen(text);
  text += sprintf(text, "[%s]\nrole = %s\n", name, role);
  if (tenant)
    text += sprintf(text, "tenant = %s\n", tenant);
  text += sprintf(text, "sha256 = ");
  for (size_t i = 0; i < sizeof hash; i++)
    text += sprintf(text, "%02x", hash[i]);
  strcpy(text, "\n");
}

/* Settings and files of a server that takes tokens and keys; web_start then starts it. `key_text`
   and `policy` are the files' texts. */
static inline void auth_init(struct secured *s, const char *key_text, const char *policy) {
  struct srv_config *c = &s->web.config;
  web_init(&s->web);
  s->keys = auth_keys();
  token_jwks(s->keys, s->text);
  snprintf(c->jwks_file, sizeof c->jwks_file, "%s", auth_file(&s->web, "jwks", s->text, 0644));
  snprintf(c->keys_file, sizeof c->keys_file, "%s", auth_file(&s->web, "keys", key_text, 0600));
  snprintf(c->policy_file, sizeof c->policy_file, "%s",
           auth_file(&s->web, "policy", policy, 0644));
  snprintf(c->issuer, sizeof c->issuer, "https://issuer");
  snprintf(c->audience, sizeof c->audience, "vecdb");
  c->failures = 0; /* tests fail a lot, all from one address */
}

/* Ends a test whose state is a struct secured. */
static inline int auth_end(void **state) {
  struct secured *s = *state;
  web_end(&s->web);
  free(s);
  return 0;
}

/* A header with a token of now, for `subject`; `rest` is further claims, each after a comma. `out`
   has TOKEN_ROOM. */
static inline void auth_token(const struct token_key *key, const char *prefix, const char *subject,
                              const char *rest, char *out) {
  char header[256], claims[1024];
  long long now = (long long)time(NULL);
  snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}",
           key->algorithm, key->kid);
  snprintf(claims, sizeof claims,
           "{\"iss\":\"https://issuer\",\"aud\":\"vecdb\",\"sub\":\"%s\",\"iat\":%lld,"
           "\"exp\":%lld%s}",
           subject, now, now + 3600, rest);
  strcpy(out, prefix);
  token_make(key, header, claims, out + strlen(out));
}

/* base64 with padding, as Milvus's clients send it. */
static inline void auth_base64(const char *text, char *out) {
  EVP_EncodeBlock((uint8_t *)out, (const uint8_t *)text, (int)strlen(text));
}

#endif
