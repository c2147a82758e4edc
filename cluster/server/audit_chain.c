/* audit_chain.c - see audit_chain.h. */
#include "server/audit_chain.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

static const char chain_hash[] = ",\"hash\":\"";

enum {
  CHAIN_SECTOR = 512,
  CHAIN_SHA256 = 32,
  CHAIN_TAIL = sizeof chain_hash - 1 + AUDIT_HASH - 1 + 2 /* from there to the line's end */
};

bool audit_key_read(const char *path, struct audit_key *key, char *error) {
  key->n = 0;
  if (!*path)
    return true;
  FILE *file = fopen(path, "rb");
  if (!file) {
    snprintf(error, SRV_CONFIG_ERROR, "the key of the audit log, %.200s: %s", path,
             strerror(errno));
    return false;
  }
  key->n = fread(key->bytes, 1, sizeof key->bytes, file);
  bool more = fgetc(file) != EOF;
  fclose(file);
  if (key->n >= AUDIT_KEY_LEAST && !more)
    return true;
  snprintf(error, SRV_CONFIG_ERROR, "the key of the audit log, %.200s, must have %d to %d bytes",
           path, AUDIT_KEY_LEAST, AUDIT_KEY);
  return false;
}

void audit_link_first(struct audit_link *link) {
  link->seq = 0;
  memset(link->hash, '0', AUDIT_HASH - 1);
  link->hash[AUDIT_HASH - 1] = '\0';
}

/* The hash as text; false: OpenSSL refuses, for want of memory. */
static bool chain_digest(const struct audit_key *key, const char *data, size_t n, char *out) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  bool good = key->n ? HMAC(EVP_sha256(), key->bytes, (int)key->n, (const unsigned char *)data, n,
                            raw, NULL) != NULL
                     : EVP_Digest(data, n, raw, NULL, EVP_sha256(), NULL) == 1;
  for (int i = 0; good && i < CHAIN_SHA256; i++)
    sprintf(out + 2 * i, "%02x", raw[i]);
  return good;
}

size_t audit_seal(const struct audit_key *key, struct audit_link *last, const char *body, size_t n,
                  char *out) {
  char hash[AUDIT_HASH];
  size_t at = (size_t)sprintf(out, "{\"seq\":%llu,\"prev\":\"%s\",",
                              (unsigned long long)last->seq + 1, last->hash);
  memcpy(out + at, body, n);
  at += n;
  if (!chain_digest(key, out, at, hash))
    return 0;
  last->seq++;
  memcpy(last->hash, hash, sizeof hash);
  return at + (size_t)sprintf(out + at, "%s%s\"}\n", chain_hash, hash);
}

const char *audit_check(const struct audit_key *key, struct audit_link *last, const char *line,
                        size_t n) {
  char head[AUDIT_MORE], hash[AUDIT_HASH];
  size_t body = n > CHAIN_TAIL ? n - CHAIN_TAIL : 0;
  if (body == 0 || memcmp(line + body, chain_hash, sizeof chain_hash - 1) != 0 ||
      memcmp(line + n - 2, "\"}", 2) != 0)
    return "is no record";
  int known = snprintf(head, sizeof head, "{\"seq\":%llu,\"prev\":\"%s",
                       (unsigned long long)last->seq + 1, last->hash);
  size_t seq = strcspn(head, ",");
  if (body < (size_t)known || memcmp(line, head, seq) != 0)
    return "does not have the number that follows: records are missing, or in another order";
  if (memcmp(line, head, (size_t)known) != 0)
    return "does not follow the record before it";
  if (!chain_digest(key, line, body, hash))
    return "cannot be checked for want of memory";
  if (CRYPTO_memcmp(line + body + sizeof chain_hash - 1, hash, AUDIT_HASH - 1) != 0)
    return "was altered, or written with another key";
  last->seq++;
  memcpy(last->hash, hash, sizeof hash);
  return NULL;
}

void audit_file_name(uint64_t seq, char *name) {
  snprintf(name, AUDIT_NAME, "audit-%020llu.log", (unsigned long long)seq);
}

bool audit_file_seq(const char *name, uint64_t *seq) {
  char again[AUDIT_NAME];
  if (strncmp(name, "audit-", 6) != 0)
    return false;
  *seq = strtoull(name + 6, NULL, 10);
  audit_file_name(*seq, again);
  return strcmp(again, name) == 0;
}

/* ---- The head -------------------------------------------------------------------------------- */

/* A sector's text, in which the hash says that who wrote it had the key. */
static bool chain_head_text(const struct audit_key *key, unsigned sector,
                            const struct audit_link *link, char *out) {
  char hash[AUDIT_HASH];
  memset(out, ' ', CHAIN_SECTOR);
  int n = sprintf(out, "{\"seq\":%llu,\"last\":\"%s\",\"sector\":%u",
                  (unsigned long long)link->seq, link->hash, sector);
  if (!chain_digest(key, out, (size_t)n, hash))
    return false;
  n += sprintf(out + n, "%s%s\"}", chain_hash, hash);
  out[n] = ' ';
  out[CHAIN_SECTOR - 1] = '\n';
  return true;
}

int audit_head_write(int fd, unsigned sector, const struct audit_key *key,
                     const struct audit_link *link) {
  char text[CHAIN_SECTOR];
  if (!chain_head_text(key, sector, link, text))
    return ENOMEM;
  ssize_t n = pwrite(fd, text, sizeof text, (off_t)sector * CHAIN_SECTOR);
  return n == (ssize_t)sizeof text ? 0 : n < 0 ? errno : ENOSPC;
}

bool audit_head_read(int fd, const struct audit_key *key, struct audit_link *link, bool *damaged) {
  bool found = false;
  *damaged = false;
  for (unsigned sector = 0; sector < 2; sector++) {
    char text[CHAIN_SECTOR + 1] = "", again[CHAIN_SECTOR];
    struct audit_link here;
    unsigned long long seq;
    bool good = pread(fd, text, CHAIN_SECTOR, (off_t)sector * CHAIN_SECTOR) == CHAIN_SECTOR &&
                sscanf(text, "{\"seq\":%llu,\"last\":\"%64[0-9a-f]\"", &seq, here.hash) == 2;
    here.seq = good ? seq : 0;
    good = good && chain_head_text(key, sector, &here, again) &&
           memcmp(text, again, sizeof again) == 0;
    *damaged = *damaged || !good;
    if (good && (!found || here.seq > link->seq))
      *link = here;
    found = found || good;
  }
  return found;
}
