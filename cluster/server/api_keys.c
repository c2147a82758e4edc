/* api_keys.c - see api_keys.h. */
#include "server/api_keys.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/secure_file.h"

enum { API_KEYS_MOST = 4096, API_KEY_RANDOM = 32 };

struct srv_api_keys {
  size_t n;
  struct srv_api_key *list;
};

void srv_sha256(const void *bytes, size_t n, uint8_t *hash) {
  SHA256(bytes, n, hash);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool key_is_name(const char *text) {
  size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
  return n > 0 && n <= SRV_API_KEY_NAME && text[n] == '\0';
}

static bool key_hash(const char *text, uint8_t *out) {
  if (strlen(text) != 2 * SRV_API_KEY_HASH)
    return false;
  for (size_t i = 0; i < SRV_API_KEY_HASH; i++) {
    unsigned byte;
    if (!isxdigit((unsigned char)text[2 * i]) || !isxdigit((unsigned char)text[2 * i + 1]) ||
        sscanf(text + 2 * i, "%2x", &byte) != 1)
      return false;
    out[i] = (uint8_t)byte;
  }
  return true;
}

static bool key_text(const char *value, char *out) {
  snprintf(out, SRV_API_KEY_TEXT, "%s", value);
  return *value && strlen(value) < SRV_API_KEY_TEXT;
}

static bool key_expires(const char *value, int64_t *out) {
  char *end;
  errno = 0;
  *out = strtoll(value, &end, 10);
  return isdigit((unsigned char)value[0]) && *end == '\0' && errno == 0;
}

/* The key of a section: the last one, or a new one. */
static struct srv_api_key *keys_section(struct srv_api_keys *keys, const char *name, char *error) {
  if (keys->n && strcmp(keys->list[keys->n - 1].name, name) == 0)
    return &keys->list[keys->n - 1];
  const char *fault = key_is_name(name) ? NULL : "no name of a key";
  for (size_t i = 0; !fault && i < keys->n; i++)
    if (strcmp(keys->list[i].name, name) == 0)
      fault = "there already";
  if (!fault && keys->n == API_KEYS_MOST)
    fault = "one key too many";
  struct srv_api_key *grown =
      fault ? NULL : realloc(keys->list, (keys->n + 1) * sizeof *keys->list);
  if (!grown) {
    snprintf(error, SRV_CONFIG_ERROR, "[%.80s] is %s", name, fault ? fault : "out of memory");
    return NULL;
  }
  keys->list = grown;
  struct srv_api_key *key = &grown[keys->n++];
  *key = (struct srv_api_key){.expires = INT64_MAX};
  snprintf(key->name, sizeof key->name, "%s", name);
  return key;
}

static bool keys_line(void *user, const char *section, const char *name, const char *value,
                      char *error) {
  struct srv_api_key *key = keys_section(user, section, error);
  if (!key)
    return false;
  bool good = false;
  if ((strcmp(name, "sha256") == 0 || strcmp(name, "certificate") == 0) && !key->has_hash) {
    good = key->has_hash = key_hash(value, key->hash);
    key->is_certificate = *name == 'c';
  }
  if (strcmp(name, "role") == 0)
    good = key_text(value, key->roles);
  else if (strcmp(name, "tenant") == 0)
    good = key_text(value, key->tenant);
  else if (strcmp(name, "expires") == 0)
    good = key_expires(value, &key->expires);
  if (!good) /* the value may be a secret that was taken for its hash */
    snprintf(error, SRV_CONFIG_ERROR, "\"%.60s\" of [%s] is unknown or has a wrong value", name,
             section);
  return good;
}

struct srv_api_keys *srv_api_keys_read(const char *path, const char *text, char *error) {
  struct srv_api_keys *keys = calloc(1, sizeof *keys);
  snprintf(error, SRV_CONFIG_ERROR, "out of memory");
  bool good = keys && srv_ini_read(path, text, keys_line, keys, error);
  for (size_t i = 0; good && i < keys->n; i++) {
    good = keys->list[i].has_hash && keys->list[i].roles[0];
    if (!good)
      snprintf(error, SRV_CONFIG_ERROR, "%.200s: [%s] lacks sha256 (or certificate) or role", path,
               keys->list[i].name);
  }
  if (good)
    return keys;
  srv_api_keys_free(keys);
  return NULL;
}

void srv_api_keys_free(struct srv_api_keys *keys) {
  if (keys)
    free(keys->list);
  free(keys);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

const struct srv_api_key *srv_api_keys_find(const struct srv_api_keys *keys, const uint8_t *hash,
                                            bool certificate) {
  const struct srv_api_key *found = NULL;
  for (size_t i = 0; i < keys->n; i++)
    if (CRYPTO_memcmp(keys->list[i].hash, hash, SRV_API_KEY_HASH) == 0 &&
        keys->list[i].is_certificate == certificate)
      found = &keys->list[i];
  return found;
}

bool srv_api_key_make(char *out) {
  uint8_t random[API_KEY_RANDOM];
  if (RAND_bytes(random, sizeof random) != 1)
    return false;
  out += sprintf(out, "vdb");
  for (size_t i = 0; i < sizeof random; i++, out++)
    *out = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[random[i] & 63];
  *out = '\0';
  return true;
}
